"""Engines: the few operations without a standard elementwise name; the arrays decide which runs."""

import contextlib
import functools
import sys
import threading

from ..validation import InputTypeError
from .base import ConvGeometry, Engine
from .numpy_engine import ENGINE as _NUMPY

#: Who is inside ``single_threaded_blas``; with the plan cache the package's only module state.
_lock, _users, _limits = threading.Lock(), 0, None

__all__ = ["ConvGeometry", "Engine", "engine_for", "single_threaded_blas"]


@contextlib.contextmanager
def single_threaded_blas():
    """Context in which matrix products use one thread each; parallelism is over blocks of samples.

    Small products on several BLAS threads spend most of their time waiting for each other. The
    limit belongs to the whole process: the first to enter sets it, and the last to leave restores
    what was there.
    """
    global _users, _limits
    with _lock:
        if _users == 0:
            _limits = _thread_pools(len(sys.modules)).limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limits.restore_original_limits()


@functools.lru_cache(maxsize=1)
def _thread_pools(_):
    """The BLAS libraries of the process: looked for again, at milliseconds, after an import."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


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
