"""How parameters meet codes: from the first axis after the batch, and in which power of a unit.

Knows no prior.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from ..validation import InputError


def is_one_sample(shape, codes_shape):
    """Whether codes as long as a list of parameters are one sample, not a batch of scalar codes."""
    return len(shape) == 1 and tuple(shape) == tuple(codes_shape)


def aligned(xp, name, value, codes, positive=False):
    """A parameter as an array that broadcasts against the codes, within their float range."""
    limits = xp.finfo(codes.dtype)  # a float64 parameter may exceed float32 codes
    low, high = float(limits.smallest_normal if positive else -limits.max), float(limits.max)
    if isinstance(value, np.ndarray):
        value = left_aligned(name, np.clip(value, low, high), codes)
    else:
        value = min(max(value, low), high)
    return xp.asarray(value, dtype=codes.dtype, device=array_api_compat.device(codes))


def left_aligned(name, value, codes):
    """``value`` with trailing axes, so that it broadcasts from the first axis after the batch."""
    if not value.ndim or is_one_sample(value.shape, codes.shape):
        return value
    free = codes.ndim - 1 - value.ndim
    if free < 0 or tuple(codes.shape[1 : 1 + value.ndim]) != value.shape:
        raise InputError(
            f"{name} has shape {value.shape} but the codes have shape {tuple(codes.shape)}, "
            f"batch first; expected a number, ({codes.shape[1] if codes.ndim > 1 else 1},) "
            "for one per atom, or the full shape of one sample."
        )
    return value.reshape(value.shape + (1,) * free)


def sum_per_sample(xp, elementwise, prior):
    """Sum of every sample's entries; all are one sample if a parameter has one for each of them."""
    single = any(
        isinstance(p, np.ndarray) and is_one_sample(p.shape, elementwise.shape)
        for p in prior.parameters.values()
    )
    axes = tuple(range(0 if single else 1, elementwise.ndim))
    return xp.sum(elementwise, axis=axes) if axes else elementwise


def reduce_like(xp, array, parameter):
    """Sum ``array`` over the axes along which ``parameter`` was broadcast."""
    if not isinstance(parameter, np.ndarray):
        return xp.sum(array)
    if is_one_sample(parameter.shape, array.shape):
        return array
    trailing = tuple(range(1 + parameter.ndim, array.ndim))
    return xp.sum(array, axis=(0, *trailing))


def times_power(value, s, exponent):
    """``value * s**exponent``, clipped to the float range; exact where the factor is exact.

    Positive values stay positive.
    """
    limits = np.finfo(np.float64)
    mantissa, twos = np.frexp(s)
    power = twos * np.asarray(exponent, dtype=float)
    whole = np.floor(power)
    with np.errstate(over="ignore", under="ignore"):
        scaled = value * mantissa**exponent * np.exp2(power - whole)
        scaled = np.clip(np.ldexp(scaled, whole.astype(int)), -limits.max, limits.max)
    scaled = np.where(np.asarray(value) > 0, np.maximum(scaled, limits.tiny), scaled)
    return scaled if scaled.ndim else float(scaled)


def times_two_to(array, exponent):
    """``array * 2**exponent`` for an even exponent whose power may leave the array's range."""
    half = 2.0 ** (exponent // 2)
    return array * half * half
