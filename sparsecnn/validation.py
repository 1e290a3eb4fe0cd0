"""Checks at the public edge, and the package's error and warning classes.

Every message names the argument, what came, what was expected and one way out. Knows no other
module.
"""

from __future__ import annotations

import difflib
import numbers

import numpy as np


class InputError(ValueError):
    """An argument has a value the method cannot work with."""


class InputTypeError(TypeError):
    """An argument has a type the method cannot work with."""


class ModelFileError(ValueError):
    """A model file cannot be written, read or trusted; the message names the file."""


class ConvergenceWarning(UserWarning):
    """A solver stopped before its tolerance; the message carries the worst measured certificate."""


def did_you_mean(name, choices):
    """The nearest of ``choices`` as a question to end a message with; empty where none is near.

    Examples
    --------
    >>> did_you_mean("Laplce", ["Laplace", "Gamma"])
    " Did you mean 'Laplace'?"
    >>> did_you_mean("xyz", ["Laplace", "Gamma"])
    ''
    """
    spelt = {str(choice).lower(): choice for choice in reversed([*choices])}
    near = difflib.get_close_matches(str(name)[:80].lower(), spelt, n=1)
    return f" Did you mean {spelt[near[0]]!r}?" if near else ""


def as_float_array(value, name, *, ndim=None, expected="a numeric array", finite=True, copy=False):
    """Return ``value`` as a float32 or float64 array (native byte order), or refuse it clearly.

    Parameters
    ----------
    value : array-like
        Anything NumPy can read as real numbers. Integers and booleans become float64.
    name : str
        The argument's name, for the message.
    ndim : int or tuple of int, optional
        Allowed numbers of dimensions.
    expected : str
        What the caller wanted, in words, for the message.
    finite : bool
        Refuse NaN and infinity.
    copy : bool
        Always return a fresh array.

    Raises
    ------
    InputTypeError
        For strings, objects, sparse matrices, complex numbers and masked arrays.
    InputError
        For empty arrays, wrong dimensions and non-finite values.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise InputTypeError(
            f"{name} is a masked array, whose mask would be lost here; expected {expected}. "
            f"Fill it first ({name}.filled(0)), or pass the mask to SparseCodingProblem(mask=...)."
        )
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise InputTypeError(
            f"{name} is a sparse matrix; expected {expected}. Use {name}.toarray()."
        )
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputTypeError(f"{name} cannot be read as an array ({error}); expected {expected}.")
    if array.dtype.kind == "c":
        raise InputTypeError(
            f"{name} holds complex numbers; expected {expected} of real numbers. "
            f"Pass {name}.real, or the real and imaginary parts as two channels."
        )
    if array.dtype.kind not in "fiub":
        raise InputTypeError(
            f"{name} has dtype {array.dtype}; expected {expected}. Convert it with "
            f"numpy.asarray({name}, dtype=float)."
        )
    dtype = np.float32 if array.dtype.itemsize == 4 and array.dtype.kind == "f" else np.float64
    array = np.array(array, dtype=dtype) if copy else array.astype(dtype, copy=False)
    if ndim is not None and array.ndim not in (ndim if isinstance(ndim, tuple) else (ndim,)):
        raise InputError(
            f"{name} has {array.ndim} dimension(s), shape {array.shape}; expected {expected}. "
            f"Reshape it; a single sample needs a batch axis, {name}[None]."
        )
    if array.size == 0:
        raise InputError(f"{name} is empty, shape {array.shape}; expected {expected}.")
    if finite and not np.isfinite(array).all():
        bad = "NaN" if np.isnan(array).any() else "infinity"
        raise InputError(
            f"{name} contains {bad}; expected {expected} of finite numbers. "
            "Impute it, or mark missing pixels with a mask of the problem."
        )
    return array


def as_integer(value, name, *, minimum=1):
    """Return ``value`` as an int not below ``minimum``, or refuse it."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        raise InputTypeError(
            f"{name} is {value!r}; expected an integer >= {minimum}."
            + (" Convert it with int(...)." if number else "")
        )
    if value < minimum:
        raise InputError(f"{name} is {value}; expected an integer >= {minimum}.")
    return int(value)


def as_float(value):
    """A real number as a float, infinite where it is beyond the largest.

    Examples
    --------
    >>> as_float(-(10**400))
    -inf
    """
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def as_number(value, name, *, minimum=None, positive=False):
    """Return ``value`` as a finite float within the stated range, or refuse it."""
    wanted = "a positive number" if positive else "a finite number"
    if minimum is not None:
        wanted = f"a number >= {minimum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputTypeError(f"{name} is {value!r}; expected {wanted}.")
    found = as_float(value)
    too_low = (positive and not found > 0) or (minimum is not None and not found >= minimum)
    if not np.isfinite(found) or too_low:
        raise InputError(f"{name} is {found if np.isinf(found) else value}; expected {wanted}.")
    return found


def as_pair(value, name, *, minimum=1):
    """Return an integer or a pair of integers as ``(vertical, horizontal)``."""
    if isinstance(value, numbers.Integral):
        value = (value, value)
    try:
        first, second = value
    except (TypeError, ValueError):
        raise InputTypeError(
            f"{name} is {value!r}; expected an integer or a pair of integers (vertical, "
            "horizontal)."
        )
    return as_integer(first, name, minimum=minimum), as_integer(second, name, minimum=minimum)


def refuse_channels_last(shape, name, otherwise=None):
    """Refuse a batch of images whose last axis can only be colours: there are 1, 3 or 4 of them.

    One colour photograph ``(height, width, 3)`` is not as many pictures of width 3, and ``(n,
    height, width, 3)`` has not that many channels. ``otherwise`` says how to state that it has.
    """
    if len(shape) not in (3, 4):
        return
    *_, rows, columns, last = shape
    if last not in (1, 3, 4)[len(shape) == 3 :] or min(rows, columns) <= 4:
        return
    if len(shape) == 3:
        looks, expected = "one colour picture", "(n, height, width) or (n, channels, height, width)"
        way, kind = f"{name}.transpose(2, 0, 1)[None]", "pictures"
    else:
        looks, expected = "channels last", "(n, channels, height, width)"
        way, kind = f"{name}.transpose(0, 3, 1, 2)", "channels"
    if otherwise is not None:
        way += f", or, if these really are {rows} {kind} of {columns} x {last} pixels, {otherwise}"
    raise InputError(
        f"{name} has shape {tuple(shape)}, which looks like {looks}; expected {expected}. Pass "
        f"{way}."
    )


def as_generator(random_state):
    """Return a ``numpy.random.Generator`` from None, a seed, a RandomState or a Generator."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    seed = isinstance(random_state, numbers.Integral) and random_state >= 0
    if random_state is None or seed:
        return np.random.default_rng(random_state)
    raise InputTypeError(
        f"random_state is {random_state!r}; expected None, an integer seed >= 0 or a "
        "numpy.random.Generator."
    )
