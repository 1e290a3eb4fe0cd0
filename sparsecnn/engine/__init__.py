"""Engines: the few operations without a standard elementwise name; the arrays decide which runs."""

from ..validation import InputTypeError
from .base import ConvGeometry, Engine
from .numpy_engine import ENGINE as _NUMPY

__all__ = ["ConvGeometry", "Engine", "engine_for", "single_threaded_blas"]


def single_threaded_blas():
    """Context in which matrix products use one thread each; parallelism is over blocks of samples.

    Small products on several BLAS threads spend most of their time waiting for each other.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def engine_for(array):
    """The engine that computes on this kind of array.

    Raises
    ------
    InputTypeError
        If no engine knows the array's library.
    """
    library = type(array).__module__.partition(".")[0]
    if library == "numpy":
        return _NUMPY
    raise InputTypeError(
        f"no engine computes on arrays of {library!r} ({type(array).__name__}); expected a NumPy "
        "array. Convert with numpy.asarray(...)."
    )
