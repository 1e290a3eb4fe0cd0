"""Evaluation near zero where terms cancel: a Taylor polynomial, compared with exact digits.

A penalty such as ``z - log(1 + z)`` is ``z^2 / 2`` there, of which its two terms leave no digit.
Knows no prior.
"""

from __future__ import annotations

import functools

import mpmath
import numpy as np
import sympy as sp

from .evaluation import SYMBOLS, Z, numeric

#: where a formula is tried, its relative error there that is let pass, and digits to compare with
_TRIED, _PASSED, _DIGITS = (1e-3, 1e-7, 1e-15, 1e-40), 1e-13, 100
#: terms of the polynomial, the radii it may have, and its relative error
_TERMS, _RADII, _AGREED = 16, tuple(2.0**k for k in range(60, -64, -2)), 1e-15

#: a coefficient this much smaller than the others is the rounding of its computation
_ROUNDING = 1e-50


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
    function = _bound(numeric(expression, symbols), arguments)
    if not low <= 0 <= high or expression.is_polynomial(Z) or function(np.zeros(1))[0] != 0:
        return function
    sides = [(sign, abs(end)) for sign, end in ((-1, low), (1, high)) if end]
    points = np.array([sign * min(place, 0.5 * end) for sign, end in sides for place in _TRIED])
    try:
        with SYMBOLS, mpmath.workdps(_DIGITS), np.errstate(all="ignore"):
            exact = _bound(_precise(expression, symbols), arguments)
            if _agree(function(points), exact, points, _PASSED):
                return function
            series = mpmath.taylor(exact, 0, _TERMS)[::-1]
            for radius in _RADII:
                terms = _terms(series, radius)
                points = np.array([s * share * min(radius, e) for s, e in sides
                                   for share in (0.99, 0.6, 0.01)])  # fmt: skip
                if _agree(np.polyval(terms, points), exact, points, _AGREED):
                    return functools.partial(_near_zero, function, terms, radius)
    except (ArithmeticError, TypeError, ValueError, NameError, AttributeError):
        return function  # no digits to compare with
    return function


def _terms(series, radius):
    """The coefficients as floats, the highest first; those that are only rounding are 0."""
    sizes = [abs(c) * mpmath.mpf(radius) ** k for k, c in enumerate(series[::-1])][::-1]
    return [float(c) if s > max(sizes) * _ROUNDING else 0.0
            for c, s in zip(series, sizes, strict=True)]  # fmt: skip


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


def _bound(function, arguments):
    return lambda z: function(z, *arguments)
