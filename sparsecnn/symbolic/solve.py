"""One equation in one unknown, solved by patterns whose answers are then tried at numbers.

SymPy's general solver is asked only where one transcendental function occurs; cubics come out in
their real trigonometric or hyperbolic form. An answer that misses its probes is no answer.
"""

from __future__ import annotations

import math

import numpy as np
import sympy as sp

from .bounded import is_half_power, kinds, simplified, square_roots, without_square_root
from .evaluation import number

#: of the roots of the unknown in an equation that is written as a polynomial
_LARGEST_ROOT = 100


def solve_by_probes(equation, unknown, probes, *, tolerance=1e-8):
    """An expression for ``unknown`` with ``equation = 0`` that takes the probes' values.

    Parameters
    ----------
    equation : sympy.Expr
    unknown : sympy.Symbol
    probes : sequence of (dict, float)
        Values of the other symbols by name, and the value the right root has there.

    Returns
    -------
    (sympy.Expr, str) or None
        The root and the method's name.
    """
    sign = -1 if all(wanted < 0 for _, wanted in probes) else 1
    for candidate, method in _candidates(equation, unknown, sign):
        if all(_hits(candidate, values, wanted, tolerance) for values, wanted in probes):
            return candidate, method
    return None


def _hits(candidate, values, wanted, tolerance):
    try:
        found = number(candidate, values, digits=40)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return False
    return not isinstance(found, complex) and abs(found - wanted) <= tolerance * max(1, abs(wanted))


def _candidates(equation, unknown, sign):
    yield from elementary_candidates(equation, unknown, sign)
    yield from _by_lambert(equation, unknown)


def elementary_candidates(equation, unknown, sign=1):
    """Pairs (root, method) to be tried at numbers; most are no root of the branch at hand.

    ``sign`` is that of the unknown.
    """
    if len(kinds(equation, unknown)) > 1:
        return  # no pattern covers two transcendental functions at once
    if equation.atoms(sp.Function) or square_roots(equation, unknown):
        equation = simplified(equation.replace(is_half_power, _with_one_denominator))
    y = sp.Dummy("y", positive=True)
    reduced = sp.expand_log(sp.powdenest(sp.expand(equation.subs(unknown, sign * y)), force=True))
    yield from _by_inverse(equation, unknown)
    for root, method in _by_polynomial(reduced, y):
        yield simplified(sign * root) if method != "a cubic equation" else sign * root, method
    for root, method in _by_squaring(reduced, y):
        yield simplified(sign * root), method
    yield from _by_logarithms(equation, unknown)


def _by_lambert(equation, unknown):
    root = _of_linear_and_one_function(equation, unknown)
    if root is not None:
        yield root, "Lambert W"
        yield from _other_lambert_branches(root)
    elif kinds(equation, unknown) in ({sp.exp}, {sp.log}) and _is_polynomial(equation, unknown):
        w = sp.Dummy("w")
        try:
            for root in sp.solve(equation.subs(unknown, w), w, check=False):
                yield root, "Lambert W" if root.has(sp.LambertW) else "SymPy's solver"
                yield from _other_lambert_branches(root)
        except (NotImplementedError, ValueError, TypeError):
            return


def _is_polynomial(equation, unknown):
    """Whether it is a polynomial in the unknown and functions of it: SymPy finds no other root."""
    holes = {f: sp.Dummy() for f in equation.atoms(sp.Function) if f.has(unknown)}
    return sp.expand(equation).xreplace(holes).is_polynomial(unknown)


def _of_linear_and_one_function(equation, unknown):
    """``a z + b + c f(d z + e) = 0`` for ``f`` the exponential or the logarithm; None otherwise."""
    terms = sp.collect(sp.expand(equation), unknown).as_independent(unknown, as_Add=True)
    b, linear, function = terms[0], [], []
    for term in sp.Add.make_args(terms[1]):
        factor, core = term.as_independent(unknown, as_Add=False)
        (linear if core == unknown else function).append((factor, core))
    if len(linear) != 1 or len(function) != 1:
        return None
    (a, _), (c, core) = linear[0], function[0]
    d = sp.diff(core.args[0], unknown) if isinstance(core, sp.exp | sp.log) else unknown
    if d.has(unknown):
        return None
    e = core.args[0].subs(unknown, 0)
    if isinstance(core, sp.exp):
        return simplified(-b / a - sp.LambertW(c * d / a * sp.exp(e - b * d / a)) / d)
    share = a / (c * d)
    return simplified((sp.LambertW(share * sp.exp((a * e / d - b) / c)) / share - e) / d)


def _with_one_denominator(power):
    return sp.together(power.base) ** power.exp


def _by_squaring(equation, y):
    """``A + B sqrt(Q) = 0`` whose square is of degree 1 or 2."""
    squared = without_square_root(equation, y)
    if squared is not None and squared.degree() in (1, 2):
        for found in sp.roots(squared):
            yield found, "a quadratic equation after squaring"


def _other_lambert_branches(root):
    flipped = root.replace(
        lambda e: isinstance(e, sp.LambertW) and len(e.args) == 1,
        lambda e: sp.LambertW(e.args[0], -1),
    )
    if flipped != root:
        yield flipped, "Lambert W"


_INVERSES = {
    sp.atanh: sp.tanh, sp.tan: sp.atan, sp.sinh: sp.asinh, sp.exp: sp.log, sp.log: sp.exp,
    sp.asinh: sp.sinh, sp.erf: sp.erfinv,
}  # fmt: skip


def _by_inverse(equation, unknown):
    """``a f(b unknown + c) + d = 0`` for a function with a known inverse."""
    rest, with_unknown = equation.expand().as_independent(unknown, as_Add=True)
    factor, core = with_unknown.as_independent(unknown, as_Add=False)
    inverse = _INVERSES.get(core.func)
    if inverse is None:
        return
    inside = core.args[0]
    slope = sp.diff(inside, unknown)
    if slope != 0 and not slope.has(unknown):
        offset = inside.subs(unknown, 0)
        root = (inverse(simplified(-rest / factor)) - offset) / slope
        yield simplified(root), f"the inverse of {core.func.__name__}"


def _by_logarithms(equation, unknown):
    """Logarithms only, all with one coefficient: exponentiate, then solve a rational equation."""
    logs = [t for t in sp.Add.make_args(sp.expand(equation)) if t.has(unknown)]
    if len(logs) < 2 or not all(t.has(sp.log) for t in logs):
        return
    total, scale = sp.S.One, None
    for term in logs:
        factor, core = term.as_independent(unknown, as_Add=False)
        if not isinstance(core, sp.log):
            return
        scale = factor if scale is None else scale
        power = simplified(factor / scale)
        if power not in (1, -1):
            return
        total *= core.args[0] ** power
    rest = simplified(-(sp.expand(equation) - sp.Add(*logs)) / scale)
    w = sp.Dummy("w")
    rational = sp.fraction(sp.together(total.subs(unknown, w) - sp.exp(rest)))[0]
    if rational.is_polynomial(w) and sp.degree(rational, w) <= 2:
        for root in sp.roots(sp.Poly(rational, w)):
            yield simplified(root), "exponentials of both sides"


def _by_polynomial(equation, y):
    """Polynomials in a root of the unknown, of degree 1 or 2, or cubics without a square term."""
    exponents = [p.exp for p in equation.atoms(sp.Pow) if p.base == y]
    if any(not e.is_rational for e in exponents):
        return
    q = math.lcm(*(int(e.q) for e in exponents))
    if q > _LARGEST_ROOT:
        return
    w = sp.Dummy("w", positive=True)
    numerator = sp.fraction(sp.together(sp.powdenest(equation.subs(y, w**q), force=True)))[0]
    try:
        polynomial = sp.Poly(sp.expand(numerator), w)
    except sp.PolynomialError:
        return
    while polynomial.degree() > 0 and polynomial.eval(0) == 0:
        polynomial = polynomial.quo(sp.Poly(w, w))
    degree, coefficients = polynomial.degree(), polynomial.all_coeffs()
    if degree == 1:
        yield (-coefficients[1] / coefficients[0]) ** q, "a linear equation"
    elif degree == 2:
        a, b, c = coefficients
        root = sp.sqrt(sp.factor(b**2 - 4 * a * c))
        for s in (1, -1):
            yield ((-b + s * root) / (2 * a)) ** q, "a quadratic equation"
    elif degree > 2 and all(c == 0 for c in coefficients[1:-1]):
        yield (-coefficients[-1] / coefficients[0]) ** sp.Rational(q, degree), "a power"
    elif degree == 3 and coefficients[1] == 0:
        for root in _cubic(coefficients[2] / coefficients[0], coefficients[3] / coefficients[0]):
            yield root**q, "a cubic equation"


def _cubic(p, minus_q):
    """Real roots of ``w^3 + p w = q``: hyperbolic for ``p > 0``, trigonometric for ``p < 0``."""
    p, q = sp.factor(p), sp.factor(-minus_q)
    yield 2 * sp.sqrt(p / 3) * sp.sinh(sp.asinh(3 * q / (2 * p) * sp.sqrt(3 / p)) / 3)
    r = simplified(-p)
    angle = sp.acos(3 * q / (2 * r) * sp.sqrt(3 / r))
    for k in range(3):
        yield 2 * sp.sqrt(r / 3) * sp.cos((angle - 2 * sp.pi * k) / 3)


def probe_points(low, high, count=5):
    """A few numbers inside an interval."""
    low, high = (low, high) if low <= high else (high, low)
    unit = (np.arange(count) + 0.618) / (count + 0.236)
    if np.isfinite(low) and np.isfinite(high):
        return low + (high - low) * unit
    spread = 4.0 * unit**2 / (1.35 - unit)
    if np.isfinite(low):
        return low + spread
    if np.isfinite(high):
        return high - spread
    return np.concatenate([-spread, spread])
