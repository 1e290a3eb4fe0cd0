"""Evaluation near zero where terms cancel: a Taylor polynomial, compared with exact digits.

A penalty such as ``z - log(1 + z)`` is ``z^2 / 2`` there, of which its two terms leave no digit.
Knows no prior.
"""

from __future__ import annotations

import functools

import mpmath
import numpy as np
import sympy as sp

from .evaluation import SYMBOLS, Z, bound, numeric

#: where a formula is tried, and its relative error there that is let pass
_TRIED, _PASSED = (1e-3, 1e-7, 1e-15, 1e-40), 1e-13
#: terms of the polynomial, and its relative error
_TERMS, _AGREED = 16, 1e-15
#: digits, and the circle and its points from which the terms are found: far inside any kink
_DIGITS, _CIRCLE, _POINTS = 420, 20, 32


def steadied(expression, symbols, arguments, low, high):
    """An expression that is 0 at 0 as a function of arrays, with its digits kept near 0.

    Parameters
    ----------
    expression : sympy.Expr
        In ``symbols``, of which the first is ``z``.
    symbols : tuple of sympy.Symbol
    arguments : list of float
        Values of the others.
    low, high : float
        The interval it is asked for in; elsewhere, and where no polynomial fits, it is plainly
        evaluated.

    Returns
    -------
    callable
    """
    function = bound(numeric(expression, symbols), arguments)
    if not low <= 0 <= high or expression.is_polynomial(Z) or function(np.zeros(1))[0] != 0:
        return function
    sides = [(sign, abs(end)) for sign, end in ((-1, low), (1, high)) if end]
    points = np.array([sign * min(place, 0.5 * end) for sign, end in sides for place in _TRIED])
    try:
        with SYMBOLS, mpmath.workdps(_DIGITS), np.errstate(all="ignore"):
            exact = bound(_precise(expression, symbols), arguments)
            if _agree(function(points), exact, points, _PASSED):
                return function
            series = _taylor(exact)
            terms = [float(c) for c in series[::-1]]
            for radius in _radii(series):
                points = np.array([s * share * min(radius, e) for s, e in sides
                                   for share in (0.99, 0.6, 0.01)])  # fmt: skip
                if _agree(np.polyval(terms, points), exact, points, _AGREED):
                    return functools.partial(_near_zero, function, terms, radius)
    except (ArithmeticError, TypeError, ValueError, NameError, AttributeError):
        return function  # no digits to compare with
    return function


def _taylor(exact):
    """Coefficients of the powers of ``z``, the lowest first; what is only rounding is 0."""
    size, turns = mpmath.mpf(10) ** -_CIRCLE, range(_POINTS)
    around = [mpmath.expjpi(mpmath.mpf(2 * k) / _POINTS) for k in turns]
    values, found = [exact(size * w) for w in around], []
    for n in range(_TERMS + 1):
        mean = sum(values[k] * around[-k * n % _POINTS] for k in turns) / _POINTS
        seen = abs(mean) > mpmath.mpf(10) ** (40 - _DIGITS)
        found.append(mpmath.re(mean) / size**n if seen else mpmath.mpf(0))
    return found


def _radii(series):
    """Radii, the largest first, about where the last term is a rounding error of the first."""
    used = [k for k, c in enumerate(series) if c] or [0]
    first, last = used[0], used[-1]
    ratio = abs(series[first] / series[last]) if last > first else 1
    radius = (ratio * 1e-16) ** (mpmath.mpf(1) / max(last - first, 1))
    return [float(radius) * 2.0**k for k in range(1, -8, -1)]


def _near_zero(function, series, radius, z):
    z = np.asarray(z, dtype=np.float64)
    here, value = np.abs(z) < radius, function(z)
    if here.any():
        value = np.where(here, np.polyval(series, np.where(here, z, 0.0)), value)
    return value


def _agree(found, exact, points, tolerance):
    wanted = [exact(mpmath.mpf(float(z))) for z in points]
    errors = [abs(mpmath.mpf(float(f)) - w) for f, w in zip(found, wanted, strict=True)]
    return all(
        mpmath.isfinite(w) and e <= tolerance * abs(w) for e, w in zip(errors, wanted, strict=True)
    )


@functools.lru_cache(maxsize=512)
def _precise(expression, symbols):
    return sp.lambdify(symbols, expression, "mpmath")
