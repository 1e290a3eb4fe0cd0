"""Signs that hold on a whole interval, and what follows: a function rises everywhere, by at most 1.

A sign is decided by SymPy's assumptions, by Sturm sequences over the rationals (polynomials and
rational functions, also of ``exp z``), or by interval arithmetic on a subdivision with both tails;
what none of them decides is not proved. Knows no activation.
"""

from __future__ import annotations

import dataclasses
import itertools

import mpmath
import numpy as np
import sympy as sp

from .evaluation import Z, number, numeric
from .evidence import PROVED, REFUTED, UNDECIDED, Evidence, _negative_inside
from .intervals import NoBounds, bounds, exact_number
from .penalty import Penalty, _between, _resolved

#: intervals looked at in one proof; a box is cut by this factor while it spans many scales
MAX_BOXES, SPAN = 400, 2**16
#: boxes narrower than this, relative to where they are, prove nothing any more
NARROWEST = 1e-6
#: decimal digits tried in turn where terms cancel
DIGITS = (30, 100, 300, 1000)
#: longer expressions (in operations) are not simplified
SHORT = 40
TRIED = (NoBounds, ArithmeticError, NotImplementedError, TypeError, ValueError,
          RecursionError, sp.polys.polyerrors.BasePolynomialError)  # fmt: skip


def nonnegative(expression, low=-sp.oo, high=sp.oo):
    """How it is known that ``expression >= 0`` for every ``Z`` in ``(low, high)``, or None.

    Ends and expression may hold parameters; then for all values that their assumptions allow.

    Examples
    --------
    >>> nonnegative(1 - sp.tanh(Z) ** 2)
    'SymPy'
    >>> nonnegative(Z**2 - Z + 1)
    'Sturm sequences'
    >>> nonnegative(1 + sp.sin(3 * Z) / 2)
    'interval arithmetic'
    >>> nonnegative(Z) is None
    True
    """
    if not expression.free_symbols - {Z} and _is_negative_somewhere(expression, low, high):
        return None
    for how, decide in (
        ("SymPy", _by_assumptions),
        ("Sturm sequences", _by_sturm),
        ("interval arithmetic", _by_intervals),
    ):
        try:
            if decide(expression, low, high):
                return how
        except TRIED:
            continue
    return None


def _is_negative_somewhere(expression, low, high):
    """A look before the work: no proof is tried of what numbers contradict."""
    low, high = float(low), float(high)
    here = max(low, min(-40.0, high - 80.0))  # 80 units, or as much as there is
    there = min(high, max(40.0, low + 80.0))
    at = here + (there - here) * (np.arange(997) + 0.5) / 997
    try:
        return bool((numeric(expression, (Z,))(at) < -1e-9).any())
    except TRIED:
        return False


def _by_assumptions(expression, low, high):
    p = sp.Dummy("p", positive=True)
    places = [sp.Dummy("x", real=True)]
    if low.is_nonnegative:
        places = [p]
    elif high.is_nonpositive:
        places = [-p]
    if high == sp.oo and low.is_positive:
        places.append(low + p)
    if low == -sp.oo and high.is_negative:
        places.append(high - p)
    if not (low.is_infinite or high.is_infinite):
        places.append((low + high * p) / (1 + p))
    for form in _forms(expression):
        for place in places:
            if form.subs(Z, place).is_nonnegative:
                return True
    return False


def is_tame(expression):
    """Whether polynomial algorithms may see it: ``exp(x/c)`` counts as a power of ``exp(x/q)``."""
    return sp.count_ops(expression) <= SHORT and not _is_wild(expression)


def _is_wild(expression):
    """Whether it holds powers (or functions made of them) of anything but small fractions."""
    numbers = {n for part in expression.atoms(sp.exp, sp.Pow) for n in part.exp.atoms(sp.Rational)}
    inside = expression.atoms(sp.tanh, sp.sinh, sp.cosh, sp.sin, sp.cos)
    numbers |= {n for part in inside for n in part.atoms(sp.Rational)}
    return any(max(abs(n.p), n.q) > 24 for n in numbers)


def _forms(expression):
    yield expression
    if is_tame(expression):
        yield sp.factor(expression)
        yield sp.simplify(expression)
        yield sp.factor(sp.together(expression.rewrite(sp.exp)))


def _by_sturm(expression, low, high):
    if not is_tame(expression):
        return False
    for inner, ends in ((Z, (low, high)), (sp.exp(Z), _images(low, high))):
        rational = sp.together(expression.rewrite(sp.exp)).subs(sp.exp(Z), sp.Symbol("u"))
        if inner == Z:
            rational = sp.together(expression)
        elif rational.has(Z):
            return False
        else:
            rational = rational.subs(sp.Symbol("u"), Z)
        if ends is None or not rational.is_rational_function(Z):
            continue
        top, bottom = rational.as_numer_denom()
        both = sp.Poly(sp.expand(top * bottom), Z)
        if not (both.domain.is_ZZ or both.domain.is_QQ):
            continue
        return not _negative_inside(both, *_rational_ends(both, *ends))
    return False


def _rational_ends(polynomial, low, high):
    """Rational numbers so near the algebraic ends of an interval that no root lies between."""
    inside = []
    for end, inwards in ((low, 1), (high, -1)):
        if end.is_infinite or end.is_Rational:
            inside.append(end)
            continue
        own = sp.minimal_polynomial(end, Z, polys=True)
        at_end = int(polynomial.rem(own).is_zero)
        for digits in (20, 40, 80, 160):
            near = sp.Rational(str(end.evalf(digits, strict=True)))
            width = max(abs(near), 1) / sp.Integer(10) ** (digits - 5)
            if polynomial.count_roots(near - width, near + width) == at_end:
                inside.append(near + inwards * width)
                break
        else:
            raise NotImplementedError
    return inside


def _images(low, high):
    """The interval of ``exp``, where its ends are rational."""
    table = {-sp.oo: sp.S.Zero, sp.S.Zero: sp.S.One, sp.oo: sp.oo}
    return (table[low], table[high]) if low in table and high in table else None


def _by_intervals(expression, low, high):
    slope = sp.diff(expression, Z)
    if is_tame(slope):
        slope = sp.factor(sp.together(slope))
    here, there, zero = exact_number(low), exact_number(high), mpmath.mpf(0)
    # even functions touch zero there, and scales are counted from there
    boxes = [(here, zero), (zero, there)] if here < 0 < there else [(here, there)]
    for _ in range(MAX_BOXES):
        if not boxes:
            return True
        box = boxes.pop()
        if _on_box(expression, slope, box):
            continue
        cut = _cut(*box)
        if cut is None:
            return False
        boxes += [(box[0], cut), (cut, box[1])]
    return not boxes


def _cut(low, high):
    """Where a box that spans many scales is cut by size, and a narrow one in the middle."""
    if high <= 0:
        mirrored = _cut(-high, -low)
        return None if mirrored is None else -mirrored
    if low == 0 and not mpmath.isfinite(high):
        return mpmath.mpf(1)
    if low == 0:
        cut = high / SPAN
    elif not mpmath.isfinite(high):
        cut = low * SPAN
    else:
        cut = mpmath.sqrt(low) * mpmath.sqrt(high) if high > 4 * low else low + (high - low) / 2
        if high - low < NARROWEST * high:
            return None
    return cut if mpmath.mpf(2) ** -1100 < cut < mpmath.mpf(2) ** 1100 else None


def _on_box(expression, slope, box):
    """Bounds of the expression itself, else bounds of its slope and its least end."""
    try:
        low, high = bounds(expression, *box)
        if low >= 0 or high < 0:
            return low >= 0
    except NoBounds:
        pass
    down, up = bounds(slope, *box)
    if down >= 0:
        return _at(expression, box[0]) >= 0
    if up <= 0:
        return _at(expression, box[1]) >= 0
    return False


def _at(expression, end):
    """A lower bound at one point, zero if it is exactly that; at infinity of the limit."""
    if mpmath.isfinite(end):
        if expression.subs(Z, sp.Rational(*mpmath.libmp.to_rational(end._mpf_))) == 0:
            return 0
        return bounds(expression, end, end)[0]
    if not is_tame(expression):
        raise NoBounds("a limit that may take long")
    limit = sp.limit(expression, Z, sp.oo if end > 0 else -sp.oo)
    return bounds(limit, 0, 0)[0]


# -- functions of the whole line ------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Rise:
    """What is known about a function of the whole line, each as Evidence.

    Attributes
    ----------
    monotone : Evidence
        That it nowhere falls.
    lipschitz : Evidence
        That it nowhere rises by more than the step taken.
    flat : tuple of (float, float)
        Stretches on which it is exactly zero.
    falls : tuple of (sympy.Expr, sympy.Expr)
        Pairs ``x < y`` that are proved to have ``f(x) > f(y)``, at most one.
    """

    monotone: Evidence
    lipschitz: Evidence
    flat: tuple
    falls: tuple = ()


_UNKNOWN = Rise(
    *[Evidence("symbolic", UNDECIDED, "where its cases meet was not found")] * 2, flat=()
)


def rise(expression):
    """Whether a function is nondecreasing and 1-Lipschitz, piece by piece and at the joints.

    Parameters
    ----------
    expression : sympy.Expr
        Of ``Z`` alone; may hold cases.
    """
    kinks = expression.atoms(sp.Abs, sp.sign, sp.Max, sp.Min, sp.core.relational.Relational)
    if any(_is_wild(kink) for kink in kinks):
        return _UNKNOWN
    pieces = Penalty(expression, ()).pieces({})
    if not all(is_one_case(expression, piece) for piece in pieces):
        return _UNKNOWN
    slopes = [nonnegative(p.slope, p.low, p.high) for p in pieces]
    gentle = [nonnegative(1 - p.slope, p.low, p.high) for p in pieces]
    joins = [_join(expression, a, b) for a, b in itertools.pairwise(pieces)]
    flat = tuple((float(p.low), float(p.high)) for p in pieces if p.value == 0)
    falls = _fall_at(expression, [p.high for p, j in zip(pieces, joins, strict=False) if j == -1])
    if not falls and None in slopes:
        falls = _fall_on(expression, [p for p, s in zip(pieces, slopes, strict=True) if s is None])
    upward = all(j is not None and j >= 0 for j in joins)
    smooth = all(j == 0 for j in joins)
    return Rise(
        _told("its slope is >= 0", slopes, upward, "no jump goes down", len(joins)),
        _told("its slope is <= 1", gentle, smooth, "it is continuous", len(joins)),
        flat,
        falls,
    )


def _fall_at(expression, joints):
    """A proved fall across, into or out of one of these places; empty if there is none."""
    for joint in joints:
        for k in range(3, 15):
            h = sp.Rational(1, 10**k)
            for x, y in ((joint - h, joint + h), (joint - h, joint), (joint, joint + h)):
                if larger(expression, x, y).verdict == PROVED:
                    return ((x, y),)
    return ()


def _fall_on(expression, pieces):
    """A proved fall around the place where the slope of a piece is least, far out included."""
    for piece in pieces:
        low, high = float(piece.low), float(piece.high)
        far = np.concatenate([np.linspace(0, 64, 6400), np.geomspace(64.1, 1e6, 400)])[1:]
        if np.isfinite(low) and np.isfinite(high):
            at = low + (high - low) * (np.arange(6400) + 0.5) / 6400
        else:
            at = np.concatenate([-far, far]) if low == -high else low + far
            at = at if np.isfinite(at).all() else high - far
        try:
            slope = numeric(piece.slope, (Z,))
            where = _least(slope, at)
        except TRIED:
            continue
        found = () if where is None else _fall_at(expression, [sp.Rational(repr(where))])
        if found:
            return found
    return ()


def _least(slope, at):
    """Where the least of the finite values of a slope is taken, if negative; else None."""
    at = np.sort(at)
    for _ in range(4):
        values = np.where(np.isfinite(slope(at)), slope(at), np.inf)
        k = int(np.argmin(values))
        best, value = float(at[k]), values[k]
        at = np.linspace(at[max(k - 1, 0)], at[min(k + 1, len(at) - 1)], 201)
    return best if value < 0 else None


def is_one_case(expression, piece, values=None):
    """Whether nothing that decides between cases changes its sign inside the piece.

    ``values`` are parameters at which the piece was found.
    """
    values = values or {}
    ends = piece.low, piece.high
    middle = _between(*(number(end, values) for end in ends))
    for part in sp.preorder_traversal(expression):
        kinks = ()
        if isinstance(part, sp.Abs | sp.sign):
            kinks = (part.args[0],)
        elif isinstance(part, sp.Max | sp.Min):
            kinks = [a - b for a, b in itertools.combinations(part.args, 2)]
        elif isinstance(part, sp.core.relational.Relational):
            kinks = (part.lhs - part.rhs,)
        for kink in kinks:
            here = _resolved(kink, {**values, "z": middle})
            if not (nonnegative(here, *ends) or nonnegative(-here, *ends)):
                return False
    return True


def _join(expression, left, right):
    """1 for a jump up, 0 for none, -1 for one down, None if not decided."""
    before, after = left.at(left.high), right.at(right.low)
    own = expression.subs(Z, left.high)
    if {before, after} & {sp.nan, sp.zoo}:
        return None
    if sp.simplify(after - before) == 0 == sp.simplify(own - before):
        return 0
    try:
        up = bounds(after - before, 0, 0), bounds(own - before, 0, 0), bounds(after - own, 0, 0)
    except NoBounds:
        return None
    if any(high < 0 for _, high in up):
        return -1
    exact = [sp.simplify(d) == 0 for d in (after - before, own - before, after - own)]
    return 1 if all(low >= 0 or zero for (low, _), zero in zip(up, exact, strict=True)) else None


def _told(claim, hows, joined, at_joints, n_joints):
    pieces = "the line" if len(hows) == 1 else f"each of {len(hows)} pieces"
    if None in hows or not joined:
        return Evidence("symbolic", UNDECIDED, f"{claim} on {pieces}: not proved")
    tail = f"; {at_joints} where they meet" if n_joints else ""
    means = " and ".join(sorted(set(hows)))
    return Evidence("symbolic", PROVED, f"{claim} on {pieces}, by {means}{tail}")


def larger(expression, x, y, what="f(x) - f(y)"):
    """Evidence that ``expression`` is larger at ``x`` than at ``y``, in interval arithmetic.

    Where terms cancel the bounds are computed again with more digits, until they tell the sign
    (REFUTED: it is smaller, or equal as far as 1000 digits tell).
    """
    for digits in DIGITS:
        try:
            at_x, at_y = _value(expression, x, digits), _value(expression, y, digits)
        except TRIED:
            return Evidence("exact", UNDECIDED, f"{what}: no bounds")
        low, high = at_x[0] - at_y[1], at_x[1] - at_y[0]
        if low > 0:
            text = f"{what} > {mpmath.nstr(low, 6)} in interval arithmetic ({digits} digits)"
            return Evidence("exact", PROVED, text)
        if high < 0:
            break
    known = high < 0 or (mpmath.isfinite(low) and mpmath.isfinite(high))
    return Evidence("exact", REFUTED if known else UNDECIDED, f"{what} is not positive")


def is_zero_at(expression, points):
    """Whether 1000 digits do not tell an expression from zero at any of these points."""
    try:
        for x in points:
            for digits in DIGITS:
                low, high = _value(expression, x, digits)
                if low > 0 or high < 0:
                    return False
    except TRIED:
        return False
    return True


def _value(expression, x, digits):
    point = x if isinstance(x, sp.Basic) else sp.Rational(repr(float(x)))
    here = expression.subs(Z, point)  # decides every case exactly, where SymPy can
    if here.has(sp.Piecewise):
        here = _resolved(expression, {"z": float(point)}).subs(Z, point)
    return bounds(here, 0, 0, digits)
