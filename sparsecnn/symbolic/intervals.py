"""Bounds of an expression over an interval: what a sign that holds everywhere may rest on.

Interval arithmetic in 100-bit numbers (more where asked for), every result widened outwards by all
but the last 20 bits, so that rounding (and an error of an elementary function far above what mpmath
allows itself) is enclosed.
Knows no activation.
"""

from __future__ import annotations

import mpmath
import sympy as sp

from .evaluation import SYMBOLS, Z

#: arithmetic of its own: the library's global precision is left alone
_M = mpmath.mp.clone()
_M.prec = 100
_INF, _ALL, _FAR = _M.inf, (-_M.inf, _M.inf), _M.mpf(10) ** 6


class NoBounds(ArithmeticError):
    """The expression holds something this file cannot bound, or leaves its domain."""


def bounds(expression, low, high, digits=30):
    """An interval that holds every value of ``expression`` for ``Z`` in ``[low, high]``.

    Parameters
    ----------
    expression : sympy.Expr
        Of ``Z`` alone, without cases.
    low, high : mpmath.mpf
        May be infinite.
    digits : int
        Decimal digits of the arithmetic.

    Returns
    -------
    (mpmath.mpf, mpmath.mpf)

    Raises
    ------
    NoBounds
    """
    with SYMBOLS, _M.workprec(round(digits * 10 / 3)):
        return _bounds(expression, (_M.mpf(low), _M.mpf(high)), {})


def exact_number(value):
    """A SymPy number, or plus or minus infinity, as a number of this file's precision."""
    return _M.inf if value == sp.oo else -_M.inf if value == -sp.oo else _middle(value)


def _middle(value):
    low, high = bounds(sp.sympify(value, strict=True), 0, 0)
    return (low + high) / 2


def _bounds(e, box, seen):
    if e not in seen:
        seen[e] = _of(e, box, seen)
    return seen[e]


def _of(e, box, seen):
    if e == Z:
        return box
    if isinstance(e, sp.Rational):
        return _wide(*[_M.mpf(e.p) / e.q] * 2)
    if isinstance(e, sp.NumberSymbol | sp.Float):
        return _wide(*[_M.mpf(sp.N(e, _M.dps + 10)._mpf_)] * 2)
    parts = [_bounds(a, box, seen) for a in e.args]
    if isinstance(e, sp.Add):
        total = parts[0]
        for part in parts[1:]:
            total = _add(total, part)
        return total
    if isinstance(e, sp.Mul):
        total = parts[0]
        for part in parts[1:]:
            total = _times(total, part)
        return total
    if isinstance(e, sp.Pow):
        return _power(parts[0], e.exp, parts[1])
    if isinstance(e, sp.exp):
        return _exp(parts[0])
    rule = _RULES.get(e.func)
    if rule is None:
        raise NoBounds(f"{e.func} has no rule")
    return rule(*parts)


def _wide(low, high):
    if _M.isnan(low):
        low = -_INF
    if _M.isnan(high):
        high = _INF
    widen = _M.ldexp(1, 20 - _M.prec)
    return low - abs(low) * widen if _M.isfinite(low) else low, (
        high + abs(high) * widen if _M.isfinite(high) else high
    )


def _add(a, b):
    return _wide(a[0] + b[0], a[1] + b[1])


def _times(a, b):
    # zero times infinity is zero: the factors are finite, only their bounds are not
    products = [u * v if u and v else _M.zero for u in a for v in b]
    return _wide(min(products), max(products))


def _inverse(a):
    low, high = a
    if low > 0 or high < 0:
        return _wide(1 / high, 1 / low)
    if low == 0 and high > 0:
        return _wide(1 / high, _INF)
    if high == 0 and low < 0:
        return _wide(-_INF, 1 / low)
    return _ALL


def _power(base, exponent, exponent_bounds):
    if exponent.is_Integer:
        n = abs(int(exponent))
        if n > 1000:
            raise NoBounds("a huge power")
        ends = sorted(v**n for v in base)
        if n % 2 == 0 and base[0] <= 0 <= base[1]:
            ends[0] = _M.zero
        found = _wide(*ends)
        return _inverse(found) if exponent < 0 else found
    if base[0] < 0:
        raise NoBounds("a root of a number that may be negative")
    if exponent.is_number and exponent_bounds[0] > 0:
        return _increasing(lambda u: u ** (sum(exponent_bounds) / 2), base)
    if exponent.is_number and exponent_bounds[1] < 0:
        return _inverse(_increasing(lambda u: u ** (-sum(exponent_bounds) / 2), base))
    return _exp(_times(exponent_bounds, _log(base)))


def _increasing(function, a):
    return _wide(function(a[0]), function(a[1]))


def _exp(a):
    """``exp``; beyond 1e6 its size is not worked out, only bounded."""
    low = _M.zero if a[0] < -_FAR else _M.exp(min(a[0], _FAR))
    high = _INF if a[1] > _FAR else _M.exp(max(a[1], -_FAR))
    return _wide(low, high)


def _sinh(a):
    up, down = _exp(a), _exp((-a[1], -a[0]))
    return _times(_add(up, (-down[1], -down[0])), (_M.mpf(0.5), _M.mpf(0.5)))


def _inside(function, low, high):
    def rule(a):
        if a[0] < low or a[1] > high:
            raise NoBounds("outside the domain")
        return _increasing(function, a)

    return rule


def _log(a):
    if a[0] < 0:
        raise NoBounds("the logarithm of a number that may be negative")
    return _wide(_M.log(a[0]) if a[0] else -_INF, _M.log(a[1]) if a[1] else -_INF)


def _atanh(a):
    if a[0] < -1 or a[1] > 1:
        raise NoBounds("outside the domain")
    ends = [_INF * _M.sign(v) if abs(v) == 1 else _M.atanh(v) for v in a]
    return _wide(*ends)


def _abs(a):
    low = _M.zero if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))
    return low, max(abs(a[0]), abs(a[1]))


def _cosh(a):
    size = _abs(a)
    up, down = _exp(size), _exp((-size[1], -size[0]))
    return _times(_add(up, down), (_M.mpf(0.5), _M.mpf(0.5)))


def _cosine(a):
    low, high = a
    if not (abs(low) < _FAR and abs(high) < _FAR) or high - low >= 6:
        return -_M.one, _M.one
    ends = _wide(*sorted(_M.cos(v) for v in a))
    slack = _M.ldexp(1, 40 - _M.prec) * (1 + abs(low) + abs(high))
    if _M.floor((high + slack) / (2 * _M.pi)) >= _M.ceil((low - slack) / (2 * _M.pi)):
        ends = ends[0], _M.one
    turn = (low - slack) / _M.pi - 1, (high + slack) / _M.pi - 1
    if _M.floor(turn[1] / 2) >= _M.ceil(turn[0] / 2):
        ends = -_M.one, ends[1]
    return max(ends[0], -_M.one), min(ends[1], _M.one)


def _sine(a):
    half = _M.pi / 2
    return _cosine(_add(a, (-half, -half)))


def _decreasing(function, a):
    return _wide(function(a[1]), function(a[0]))


_RULES = {
    sp.log: _log,
    sp.atanh: _atanh,
    sp.Abs: _abs,
    sp.cosh: _cosh,
    sp.sinh: _sinh,
    sp.cos: _cosine,
    sp.sin: _sine,
    sp.tan: lambda a: _times(_sine(a), _inverse(_cosine(a))),
    sp.sign: lambda a: (_M.sign(a[0]), _M.sign(a[1])),
    sp.Max: lambda *parts: (max(p[0] for p in parts), max(p[1] for p in parts)),
    sp.Min: lambda *parts: (min(p[0] for p in parts), min(p[1] for p in parts)),
    sp.erfc: lambda a: _decreasing(_M.erfc, a),
    sp.asin: _inside(_M.asin, -1, 1),
    sp.acosh: _inside(_M.acosh, 1, _INF),
    **{
        rule: lambda a, f=function: _increasing(f, a)
        for rule, function in {
            sp.tanh: _M.tanh, sp.atan: _M.atan, sp.asinh: _M.asinh,
            sp.erf: _M.erf,
        }.items()
    },
}  # fmt: skip
