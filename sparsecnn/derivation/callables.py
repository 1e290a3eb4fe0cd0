"""A user's callable as a function of arrays: it works on copies and may not look at its batch."""

from __future__ import annotations

import sys

import numpy as np

from ..validation import InputError, InputTypeError
from .modules import array_function, name_of
from .sampling import real

#: at these points, and in batches of them that begin with each, an elementwise function is compared
_PROBE = np.array([-60, -7, -3.3, -2, -1, -0.7, -0.02, 0, 0.02, 0.3, 1, 1.7, 2, 4.4, 13, 60.0])
#: inputs in the largest batch that is compared
_BATCH = 20_000


def refuse_class(thing, argument):
    """Refuse a class where an instance is meant."""
    if isinstance(thing, type):
        name = thing.__name__
        raise InputTypeError(
            f"{argument} is the class {name}; expected an instance of it. Pass {name}(...) with "
            "its parameters."
        )


def elementwise(thing):
    """A callable of arrays, tensors or single numbers as an elementwise function of arrays.

    Parameters
    ----------
    thing : callable

    Returns
    -------
    callable
        Of float64 arrays of one axis or more; never changes its input.

    Raises
    ------
    InputError
        If it cannot be called, changes the shape, or the value at a point depends on the other
        points of the batch, on their order, or on chance.
    """
    name = name_of(thing)
    function = _on_arrays(thing, _PROBE, "number", _ByNumber)
    values = checked(function, _PROBE, name)
    n = len(_PROBE)
    for k in range(n):
        _compare(function(_PROBE[k : k + 1]), values[k : k + 1], name, _ELEMENTWISE)
        _compare(function(np.roll(_PROBE, -k)), np.roll(values, -k), name, _ELEMENTWISE)
    if not isinstance(function, _ByNumber):
        crowd = np.concatenate([np.linspace(-59, 59, _BATCH), _PROBE])
        _compare(function(crowd)[-n:], values, name, _ELEMENTWISE)
    return function


def along_rows(thing, dim):
    """A callable of vectors of length ``dim`` (last axis) as a function of arrays of them.

    Raises
    ------
    InputError
        As ``elementwise``, a point being a row.
    """
    name = name_of(thing)
    rows = np.random.default_rng(1).standard_normal((6, dim)) * np.geomspace(0.1, 30, 6)[:, None]
    inner = _on_arrays(thing, rows, "vector", _ByRow)

    def function(x):
        found = inner(x.reshape(-1, dim))
        return found.reshape(*x.shape[:-1], *found.shape[1:])

    values = checked(function, rows, name)
    for k in range(len(rows)):
        _compare(function(rows[k : k + 1]), values[k : k + 1], name, _BY_ROWS)
        _compare(function(np.roll(rows, -k, axis=0)), np.roll(values, -k, axis=0), name, _BY_ROWS)
    return function


def checked(function, x, name):
    """The values at ``x``: real numbers in the shape of ``x``."""
    with np.errstate(all="ignore"):
        values = real(function(x), name)
    if values.shape != x.shape:
        raise InputError(
            f"{name} maps shape {x.shape} to {values.shape}; expected the same: an elementwise "
            "function, or with dim=... a map of vectors (last axis)."
        )
    return values


# -- ways of calling ------------------------------------------------------------------------
class _OnCopies:
    """Whole arrays at a time."""

    def __init__(self, thing):
        self.thing = thing

    def __call__(self, x):
        with np.errstate(all="ignore"):
            return np.array(self.thing(np.array(x, dtype=float)))


class _ByNumber(_OnCopies):
    """For functions of one number, such as ``math.tanh``; nan where they raise at a number."""

    def __call__(self, x):
        x = np.asarray(x, dtype=float)
        return np.array([self._at(v) for v in x.ravel().tolist()]).reshape(x.shape)

    def _at(self, v):
        try:
            return float(self.thing(v))
        except (ArithmeticError, ValueError):
            return np.nan


class _ByRow(_OnCopies):
    """For functions of one vector."""

    def __call__(self, x):
        with np.errstate(all="ignore"):
            return np.array([np.asarray(self.thing(row)) for row in np.array(x, dtype=float)])


def _on_arrays(thing, probe, item, by_item):
    """The first way of calling that does not raise at ``probe``."""
    if hasattr(thing, "named_parameters"):
        return array_function(thing)
    ways = [_OnCopies, *([array_function] if "torch" in sys.modules else []), by_item]
    failures = []
    for way in ways:
        function = way(thing)
        try:
            found = function(probe)
        except Exception as error:
            failures.append(error)
            continue
        if way is not by_item or np.isfinite(real(found, name_of(thing))).any():
            return function
    first = failures[0]
    raise InputError(
        f"{name_of(thing)} cannot be called: {type(first).__name__} ({str(first)[:200]}) for an "
        f"array, and no finite value for a single {item} either; expected a function of one array "
        f"or of one {item}."
    ) from first


_ELEMENTWISE = (
    "its input stands alone or in another order; expected a deterministic elementwise function "
    "(np.vectorize takes its type from the first value: give it otypes=[float]), or dim=... for a "
    "map of vectors."
)
_BY_ROWS = (
    "a vector stands alone or in another order; expected a deterministic map of the last axis. "
    "Write axis=-1 with keepdims=True, or pass lambda x: np.apply_along_axis(f, -1, x)."
)


def _compare(found, expected, name, what):
    found, finite = np.asarray(found), np.isfinite(expected)
    size = np.abs(expected).max(where=finite, initial=1.0)
    rounding = size * (1e-12 if expected.dtype.itemsize >= 8 else 1e-5)
    same = found.shape == expected.shape and np.allclose(
        found, expected, rtol=1e-6, atol=rounding, equal_nan=True
    )
    if not same:
        raise InputError(f"{name} gives another value when {what}")
