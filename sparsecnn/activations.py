"""Elementwise activations by name, with value and slope: the one table of such names.

Names and default constants are those of ``torch.nn.functional``. Many are no prox of any penalty.
"""

from __future__ import annotations

import math

from .validation import InputError

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def activation_function(name):
    """The function ``(xp, x) -> (y, dy/dx)`` of a name.

    Raises
    ------
    InputError
        For an unknown name.
    """
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise InputError(f"prior is {name!r}; expected a Prior or one of {sorted(ACTIVATIONS)}.")


def _step(xp, condition, x):
    return xp.astype(condition, x.dtype)


def _sigmoid(xp, x):
    decay = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))


def _softplus_value(xp, x):
    return xp.clip(x, 0.0, None) + xp.log1p(xp.exp(-xp.abs(x)))


def _normal_cdf(xp, x):
    if hasattr(xp, "special"):  # torch
        return xp.special.ndtr(x)
    from scipy.special import ndtr

    return ndtr(x).astype(x.dtype, copy=False)


def _relu(xp, x):
    return xp.clip(x, 0.0, None), _step(xp, x > 0, x)


def _clip(low, high):
    def function(xp, x):
        return xp.clip(x, low, high), _step(xp, (x > low) & (x < high), x)

    return function


def _leaky_relu(xp, x, slope=0.01):
    one = xp.ones_like(x)
    return xp.where(x > 0, x, slope * x), xp.where(x > 0, one, slope * one)


def _elu(alpha=1.0, scale=1.0):
    def function(xp, x):
        negative = alpha * xp.expm1(xp.clip(x, None, 0.0))
        y = xp.where(x > 0, x, negative)
        return scale * y, scale * xp.where(x > 0, xp.ones_like(x), negative + alpha)

    return function


def _gelu(xp, x):
    cdf = _normal_cdf(xp, x)
    return x * cdf, cdf + x * xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _silu(xp, x):
    gate = _sigmoid(xp, x)
    return x * gate, gate * (1 + x * (1 - gate))


def _mish(xp, x):
    gate = xp.tanh(_softplus_value(xp, x))
    return x * gate, gate + x * (1 - gate**2) * _sigmoid(xp, x)


def _hardsigmoid(xp, x):
    return xp.clip(x / 6 + 0.5, 0.0, 1.0), _step(xp, xp.abs(x) < 3, x) / 6


def _hardswish(xp, x):
    gate, slope = _hardsigmoid(xp, x)
    return x * gate, gate + x * slope


def _logistic(xp, x):
    y = _sigmoid(xp, x)
    return y, y * (1 - y)


def _tanh(xp, x):
    y = xp.tanh(x)
    return y, 1 - y**2


def _softplus(xp, x):
    return _softplus_value(xp, x), _sigmoid(xp, x)


def _softsign(xp, x):
    bottom = 1 + xp.abs(x)
    return x / bottom, 1 / bottom**2


def _tanhshrink(xp, x):
    y = xp.tanh(x)
    return x - y, y**2


def _logsigmoid(xp, x):
    return -_softplus_value(xp, -x), _sigmoid(xp, -x)


def _softshrink(xp, x, threshold=0.5):
    return x - xp.clip(x, -threshold, threshold), _step(xp, xp.abs(x) > threshold, x)


def _hardshrink(xp, x, threshold=0.5):
    kept = _step(xp, xp.abs(x) > threshold, x)
    return x * kept, kept


ACTIVATIONS = {
    "identity": lambda xp, x: (x, xp.ones_like(x)),
    "relu": _relu,
    "relu6": _clip(0.0, 6.0),
    "leaky_relu": _leaky_relu,
    "elu": _elu(),
    "celu": _elu(),
    "selu": _elu(_SELU_ALPHA, _SELU_SCALE),
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
    "hardswish": _hardswish,
    "hardtanh": _clip(-1.0, 1.0),
    "hardsigmoid": _hardsigmoid,
    "sigmoid": _logistic,
    "tanh": _tanh,
    "softplus": _softplus,
    "softsign": _softsign,
    "tanhshrink": _tanhshrink,
    "logsigmoid": _logsigmoid,
    "softshrink": _softshrink,
    "hardshrink": _hardshrink,
}
