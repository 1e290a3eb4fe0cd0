"""Elementwise activations by name, with value and slope: the one table of such names.

Names and default constants are those of ``torch.nn.functional``. Many are no prox of any penalty.
"""

from __future__ import annotations

import math
import re

from .validation import InputError, did_you_mean

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
#: beyond it ``exp(-|x| / 2)`` is 0, also as a subnormal number
_FAR = 2000.0
#: ``x cosh x - sinh x = sum_k x^(2k+1) 2k / (2k+1)!``, from k = 9 down to 1, for ``|x| <= 1``
_TANHSHRINK_SERIES = [2 * k / math.factorial(2 * k + 1) for k in range(9, 0, -1)]


#: what other libraries call them, without capitals and separators -> the name here
ALIASES = {
    "swish": "silu", "hswish": "hardswish", "hsigmoid": "hardsigmoid", "htanh": "hardtanh",
    "linear": "identity", "logistic": "sigmoid", "expit": "sigmoid", "lrelu": "leaky_relu",
    "softthreshold": "softshrink", "hardthreshold": "hardshrink", "jumprelu": "threshold",
    "geluapproximate": "gelu_tanh", "gelunew": "gelu_tanh", "gelupytorchtanh": "gelu_tanh",
    "squaredrelu": "relu_squared", "relu2": "relu_squared", "atan": "arctan", "asinh": "arcsinh",
    "symlog": "signed_log", "kwinners": "top_k", "kwta": "top_k",
    "rmsnormalization": "rms_norm", "layernormalization": "layer_norm",
}  # fmt: skip
_NAME = re.compile(r"\s*[A-Za-z][\w -]*\s*")


def known_name(text, names):
    """The one of ``names`` that a text spells, in any capitals and separators, or None.

    Examples
    --------
    >>> known_name("Hard-Swish", ["relu", "hardswish"]), known_name("swish", ["silu"])
    ('hardswish', 'silu')
    """
    if text in names:
        return text
    if not _NAME.fullmatch(text):
        return None
    plain = _plain(text)
    plain = _plain(ALIASES.get(plain, plain))
    return next((name for name in names if _plain(name) == plain), None)


def _plain(text):
    return re.sub(r"[^a-z0-9]", "", text.lower())


def meant(text, names):
    """A question to end the refusal of an unknown name with, such as ``did you mean 'silu'?``."""
    aliases = {alias: name for alias, name in ALIASES.items() if name in names}
    return did_you_mean(text, [*names, *aliases])


def activation_name(name):
    """The name under which an activation stands in ``ACTIVATIONS``.

    Raises
    ------
    InputError
        For an unknown name.
    """
    found = known_name(name, ACTIVATIONS)
    if found is None:
        raise InputError(
            f"prior is {name[:80]!r}; expected a Prior or one of {sorted(ACTIVATIONS)}."
            + meant(name, ACTIVATIONS)
        )
    return found


def _step(xp, condition, x):
    return xp.astype(condition, x.dtype)


# -- piecewise linear -----------------------------------------------------------------------
# Cases are sums of products with 0 or 1, which are exact and several times as fast as ``where``.
def _relu(xp, x):
    return xp.clip(x, 0.0, None), _step(xp, x > 0, x)


def _clip(low, high):
    def function(xp, x):
        return xp.clip(x, low, high), _step(xp, (x > low) & (x < high), x)

    return function


def _leaky_relu(xp, x, slope=0.01):
    y = xp.clip(x, 0.0, None) + slope * xp.clip(x, None, 0.0)
    return y, slope + (1 - slope) * _step(xp, x > 0, x)


def _hardsigmoid(xp, x):
    return xp.clip(x + 3, 0.0, 6.0) / 6, _step(xp, xp.abs(x) < 3, x) / 6


def _hardswish(xp, x):
    middle, inside = xp.clip(x, -3.0, 3.0), _step(xp, xp.abs(x) < 3, x)
    y = xp.clip(x, -3.0, None) * (xp.clip(x + 3, 0.0, 6.0) / 6)
    return y, _step(xp, x >= 3, x) + inside * (2 * middle + 3) / 6


def _softshrink(xp, x, threshold=0.5):
    return x - xp.clip(x, -threshold, threshold), _step(xp, xp.abs(x) > threshold, x)


def _hardshrink(xp, x, threshold=0.5):
    kept = _step(xp, xp.abs(x) > threshold, x)
    return x * kept, kept


# -- smooth ---------------------------------------------------------------------------------
# Written in exp(-|x|), which is right to rounding where 1 - sigmoid(x) or 1 - tanh(x)**2 cancels.
# A tail x exp(-|x|) takes its exponential as a square, so that it is not rounded as a subnormal
# number before x multiplies it; x is clipped there to where the tail is 0, as -inf * 0 is nan.
def _elu(alpha=1.0, scale=1.0):
    def function(xp, x):
        low, slope = xp.clip(x, None, 0.0), alpha + (1 - alpha) * _step(xp, x > 0, x)
        y = xp.clip(x, 0.0, None) + alpha * xp.expm1(low)
        return scale * y, scale * slope * xp.exp(low)

    return function


def _sides(xp, x, rate=1.0):
    """``exp(rate min(x, 0))`` and ``exp(-rate max(x, 0))``, of which one is 1."""
    decay, up = xp.exp(-rate * xp.abs(x)), _step(xp, x >= 0, x)
    return up + (1 - up) * decay, (1 - up) + up * decay


def _logistic(xp, x):
    low, high = _sides(xp, x)
    y, rest = low / (low + high), high / (low + high)
    return y, y * rest


def _softplus(xp, x):
    low, high = _sides(xp, x)
    return xp.clip(x, 0.0, None) + xp.log1p(low * high), low / (low + high)


def _logsigmoid(xp, x):
    y, slope = _softplus(xp, -x)
    return -y, slope


def _silu(xp, x):
    """``x s`` for the logistic ``s``; the slope is ``s (1 + x (1 - s))``."""
    low, high = _sides(xp, x, 0.5)
    c, gain = xp.clip(x, -_FAR, None), 1 / (low**2 + high**2)
    rest = xp.clip(c, None, _FAR) * high * (gain * high)
    return c * gain * low * low, gain * (1 + rest) * low * low


def _mish(xp, x):
    """``x g`` for ``g = tanh(log(1 + e^x)) = n / (n + 2)``, ``n = e^x (e^x + 2)``."""
    root, high = _sides(xp, x, 0.5)
    low, high, c = root**2, high**2, xp.clip(x, -_FAR, None)
    bottom = low * (low + 2 * high) + 2 * high**2
    gate = (low + 2 * high) / bottom
    bend = 4 * (low + high) * (high / bottom) ** 2 * xp.clip(c, None, _FAR)
    return c * gate * root * root, (gate + bend) * root * root


def _gelu(xp, x):
    """``x Phi(x)``; the slope is ``Phi(x) + x Phi'(x)``, with ``Phi(-t) = tail exp(-t^2/2)``."""
    c, up = xp.clip(x, -64.0, 64.0), _step(xp, x >= 0, x)
    coarse = xp.round(16 * c) / 16  # its square is exact
    root = xp.exp(-0.25 * coarse**2) * xp.exp(-0.25 * (c - coarse) * (c + coarse))
    tail = 0.5 * _erfcx(xp, xp.abs(c) / math.sqrt(2))
    y = xp.clip(x, 0.0, None) * (1 - tail * root**2) + xp.clip(c, None, 0.0) * tail * root * root
    density = c / math.sqrt(2 * math.pi)
    return y, up + (density + (1 - 2 * up) * tail) * root * root


def _erfcx(xp, x):
    if hasattr(xp, "special"):  # torch
        return xp.special.erfcx(x)
    from scipy.special import erfcx

    return erfcx(x).astype(x.dtype, copy=False)


def _tanh(xp, x):
    decay = xp.exp(-xp.abs(x))
    return xp.tanh(x), (2 * decay / (1 + decay**2)) ** 2


def _tanhshrink(xp, x):
    """``x - tanh x``, for small ``x`` as ``(x cosh x - sinh x) / cosh x`` by its power series."""
    y, c, small = xp.tanh(x), xp.clip(x, -1.0, 1.0), _step(xp, xp.abs(x) < 1, x)
    square, total = c**2, 0 * c
    for coefficient in _TANHSHRINK_SERIES:
        total = coefficient + total * square
    return small * (c * square * total / xp.cosh(c)) + (1 - small) * (x - y), y**2


def _softsign(xp, x):
    flat = 2 / float(xp.finfo(x.dtype).eps)  # from here on x / (1 + |x|) is 1 to rounding
    c = xp.clip(x, -flat, flat)
    return c / (1 + xp.abs(c)), (1 / (1 + xp.abs(x))) ** 2


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
