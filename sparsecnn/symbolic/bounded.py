"""SymPy's open-ended operations, asked only where they are known to end soon.

``simplify`` and ``limit`` may run for hours on a formula that mixes several transcendental
functions; no derivation may hang, so such a formula stays as it is and is left to numbers.
"""

from __future__ import annotations

import functools

import sympy as sp

#: expressions with one kind of function, and any others, up to which SymPy is asked
_ONE_KIND, _MIXED = 150, 25
#: numbers longer than this are not handed to functions: SymPy would look for their prime factors
_LONGEST = 10**8
_PLAIN = (sp.Abs, sp.sign)
_FAMILIES = {sp.sin: sp.tan, sp.cos: sp.tan, sp.sinh: sp.tanh, sp.cosh: sp.tanh}


def kinds(expression, unknown=None):
    """Which transcendental functions and roots of non-numbers occur (with the unknown in them)."""
    found = {
        _FAMILIES.get(f.func, f.func)
        for f in expression.atoms(sp.Function)
        if not isinstance(f, _PLAIN) and (unknown is None or f.has(unknown))
    }
    for power in expression.atoms(sp.Pow):
        inside = power.base.free_symbols
        if power.exp.is_integer is not True and (inside if unknown is None else unknown in inside):
            found.add(sp.Pow)
    return found


def is_tame(expression):
    """Whether SymPy may be asked to simplify it or to take its limits."""
    found = kinds(expression)
    numbers = expression.atoms(sp.Rational) if found or expression.has(sp.Function) else ()
    if any(map(_is_long, numbers)):
        return False
    return sp.count_ops(expression) <= (_ONE_KIND if len(found) <= 1 else _MIXED)


def _is_long(n):
    return max(abs(n.p), n.q) > _LONGEST


def simplified(expression):
    """``sympy.simplify`` of a tame expression, another as it is."""
    return sp.simplify(expression) if is_tame(expression) else expression


def is_half_power(expression):
    """Whether it is an odd power of a square root."""
    return isinstance(expression, sp.Pow) and (2 * expression.exp).is_odd


def square_roots(equation, unknown):
    """What stands under square roots with the unknown in them."""
    return {
        p.base
        for p in equation.atoms(sp.Pow)
        if p.base.has(unknown) and p.base != unknown and is_half_power(p)
    }


def without_square_root(equation, unknown):
    """``A + B sqrt(Q) = 0`` squared, a polynomial that vanishes wherever it does; else None."""
    bases = square_roots(equation, unknown)
    if len(bases) != 1 or equation.atoms(sp.Function):
        return None
    base, s = bases.pop(), sp.Dummy("s")
    inner = equation.replace(
        lambda e: isinstance(e, sp.Pow) and e.base == base and not e.exp.is_integer,
        lambda e: s ** (2 * e.exp),
    )
    numerator = sp.fraction(sp.together(inner))[0]
    try:
        a, b = sp.Poly(numerator, s).all_coeffs()[::-1]
        return sp.Poly(sp.expand(a**2 - b**2 * base), unknown)
    except (sp.PolynomialError, ValueError):
        return None


def limit(expression, variable, end, direction):
    """One-sided limit, term by term where that tells it; nan where none is found.

    Limits of terms add up unless two of them are infinite with opposite signs.
    """
    terms = sp.Add.make_args(sp.expand_mul(expression))
    if len(terms) > 1:
        found = [_limit_of_term(term, variable, end, direction) for term in terms]
        total = sp.Add(*found)
        if not total.has(sp.nan, sp.zoo, sp.AccumBounds):
            return total
    return _limit_of_term(expression, variable, end, direction)


@functools.lru_cache(maxsize=4096)
def _limit_of_term(term, variable, end, direction):
    factor, rest = term.as_independent(variable, as_Add=False)
    named = {}  # long numbers, seen from the end and with a name each, which SymPy cannot factor
    if not (is_tame(rest) or end.is_infinite):
        rest, end = sp.expand_mul(rest.xreplace({variable: variable + end})), sp.S.Zero
        named = {n: sp.sign(n) * sp.Dummy(positive=True) for n in rest.atoms(sp.Rational)
                 if _is_long(n)}  # fmt: skip
        rest = rest.xreplace(named)
    if not is_tame(rest):
        return sp.nan
    try:
        found = sp.limit(rest, variable, end, direction)
    except (NotImplementedError, ValueError):
        return sp.nan
    return factor * found.xreplace({abs(symbol): abs(n) for n, symbol in named.items()})
