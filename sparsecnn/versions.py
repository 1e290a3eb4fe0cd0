"""What runs here: Python, the libraries with their versions, the linear algebra and its threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

from .tables import Table, fragment

_CORE = ("sparsecnn", "numpy", "scipy", "scikit-learn", "sympy", "matplotlib", "Pillow", "rich",
         "Jinja2", "array-api-compat")  # fmt: skip
_EXTRAS = ("numba", "torch", "onnx", "onnxruntime", "dask")
_ABSENT = "not installed"


class Versions(dict):
    """Names and versions; shows itself as a table, in a shell and in a notebook."""

    def _table(self):
        return Table((), tuple(self.items()), words=2)

    def __repr__(self):
        return self._table().text()

    def _repr_html_(self):
        return fragment(self._table())


def show_versions():
    """What a report of a fault should name: system, Python, libraries, linear algebra, threads.

    Returns
    -------
    Versions
        A dict of str to str that shows itself as a table; nothing is imported that was not.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> sc.show_versions()["sparsecnn"] == sc.__version__
    True
    """
    found = Versions(system=platform.platform(), python=sys.version.split()[0])
    found.update((name, _version(name)) for name in (*_CORE, *_EXTRAS))
    found["linear algebra"] = _linear_algebra()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found["processor cores"] = str(cores)
    return found


def engines():
    """One line about what computes: NumPy with its linear algebra, and which extras are there."""
    absent = [name for name in _EXTRAS if _version(name) == _ABSENT]
    there = [f"{name} {_version(name)}" for name in _EXTRAS if name not in absent]
    words = [f"numpy {_version('numpy')} ({_linear_algebra()})", *there]
    without = f"; {_ABSENT}: {', '.join(absent)}" if absent else ""
    return f"engines: {', '.join(words)}{without}"


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return _ABSENT


def _linear_algebra():
    import numpy as np  # noqa: F401 - loads what is asked for
    from threadpoolctl import threadpool_info

    found = dict.fromkeys(
        f"{info['internal_api']} {info['version']}, {info['num_threads']} "
        f"thread{'s' * (info['num_threads'] != 1)}"
        for info in threadpool_info()
        if info["user_api"] == "blas"
    )
    return "; ".join(found) or "unknown"
