"""A scalar penalty as pieces: where it bends, what it is in between, and how to evaluate it.

The pieces depend on the parameters: which breakpoints there are, in which order, and which side of
a ``max`` is the larger one. ``Penalty.pieces`` takes their values. Knows no prior.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import reprlib

import numpy as np
import sympy as sp

from ..validation import InputError, as_float
from .bounded import limit, without_square_root
from .envelope import Curve, Envelope
from .evaluation import SYMBOLS, Z, bound, number, numeric, tidy
from .grid import parts_of, points_of
from .near_zero import steadied
from .parser import names_in, parse, symbol

_KINKED = (sp.Abs, sp.sign, sp.Max, sp.Min, sp.Piecewise)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A smooth expression in ``z`` on the open interval ``(low, high)``, ends symbolic."""

    low: sp.Expr
    high: sp.Expr
    value: sp.Expr

    @functools.cached_property
    def slope(self):
        """First derivative in ``z``."""
        return tidy(sp.diff(self.value, Z))

    @functools.cached_property
    def curvature(self):
        """Second derivative in ``z``."""
        return tidy(sp.diff(self.slope, Z))

    @functools.lru_cache(maxsize=32)  # noqa: B019 - one entry for each end and order
    def at(self, end, order=0):
        """One-sided limit at ``end`` (one of the two ends) of the value or a derivative."""
        expression = (self.value, self.slope, self.curvature)[order]
        if not end.is_infinite:
            direct = expression.subs(Z, end)
            powers_of_zero = any(power.base == 0 for power in direct.atoms(sp.Pow))
            if not (powers_of_zero or direct.has(*_NO_VALUE)):
                return direct
        return limit(expression, Z, end, "+" if end == self.low else "-")


#: what a formula that has no value at a point turns into there
_NO_VALUE = (sp.nan, sp.zoo, sp.oo, -sp.oo, sp.AccumBounds)


@dataclasses.dataclass(frozen=True)
class Penalty:
    """``phi(z)`` on ``[low, high]`` with named parameters.

    Attributes
    ----------
    expression : sympy.Expr
        In ``Z`` and the parameters.
    parameters : tuple of sympy.Symbol
    low, high : sympy.Expr
        The support.
    """

    expression: sp.Expr
    parameters: tuple[sp.Symbol, ...]
    low: sp.Expr = -sp.oo
    high: sp.Expr = sp.oo

    @classmethod
    def from_text(cls, formula, support="real", names=None, signed=()):
        """Read a formula and a support in the package's grammar.

        Parameters
        ----------
        formula : str
            Such as ``"lam*log(1 + abs(z)/eps)"``.
        support : "real", "nonnegative" or (low, high)
            Ends are numbers or formulas of the parameters.
        names : sequence of str, optional
            The parameters; default: every name but ``z`` that occurs.
        signed : sequence of str
            Parameters that may have either sign; the others are positive.
        """
        ends = _support_ends(support)
        texts = [formula, *(end for end in ends if isinstance(end, str))]
        found = dict.fromkeys(name for text in texts for name in names_in(text) if name != "z")
        names = tuple(found) if names is None else tuple(names)
        symbols = {name: symbol(name, name in signed) for name in names}
        low, high = (
            parse(end, symbols, "support") if isinstance(end, str) else sp.nsimplify(end)
            for end in ends
        )
        expression = parse(formula, {"z": Z, **symbols})
        return cls(expression, tuple(symbols.values()), low, high)

    @property
    def names(self):
        """Names of the parameters, in order."""
        return tuple(s.name for s in self.parameters)

    @functools.cached_property
    def breakpoints(self):
        """Places where the formula may bend, each with the expression that must vanish there."""
        return tuple(sorted(_breakpoints(self.expression), key=sp.default_sort_key))

    def pieces(self, values):
        """The pieces, in order, that the penalty has at these parameters.

        Parameters
        ----------
        values : dict of str to float

        Returns
        -------
        tuple of Piece
        """
        return self._pieces_at(_key(values))

    def joints(self, values):
        """The finite ends of the pieces with the penalty's lower limit there, symbolic.

        Returns
        -------
        list of (sympy.Expr, sympy.Expr)
        """
        pieces = self.pieces(values)
        ends = [pieces[0].low, *(piece.high for piece in pieces)]
        found = []
        for end in ends:
            if end.is_infinite:
                continue
            limits = [p.at(end) for p in pieces if end in (p.low, p.high)]
            point = {**values, "z": number(end, values)}
            limits.append(_resolved(self.expression, point).subs(Z, end))
            known = [v for v in limits if not v.has(sp.nan, sp.zoo, sp.AccumBounds)]
            found.append((end, min(known, key=lambda v: _real(number(v, values)))))
        return found

    def _order(self, values):
        low, high = number(self.low, values), number(self.high, values)
        if not low < high:
            raise InputError(f"support is [{low:g}, {high:g}]; expected low < high. Swap the ends.")
        inside = []
        for point, kink in self.breakpoints:
            where = _real(number(point, values))
            if low < where < high and _vanishes(kink, {**values, "z": where}):
                inside.append((where, point))
        inside.sort(key=lambda pair: pair[0])
        return [(low, self.low), *_told_apart(inside), (high, self.high)]

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - a penalty lives as long as its formula
    def _pieces_at(self, key):
        values, pieces = dict(key), []
        for (low, left), (high, right) in itertools.pairwise(self._order(values)):
            point = {**values, "z": _between(low, high)}
            pieces.append(_piece(left, right, _resolved(self.expression, point)))
        return tuple(pieces)

    # -- numbers -----------------------------------------------------------------------------
    def curves(self, values, step=1.0):
        """The pieces as numeric curves of ``step * phi``."""
        return self._numbers(_key(values), step)[0]

    def joint_values(self, values, step=1.0):
        """``joints`` as pairs of numbers, of ``step * phi``."""
        return self._numbers(_key(values), step)[1]

    def envelope(self, values, step=1.0):
        """The prox of ``step * phi`` at these parameters, as branches."""
        return Envelope(*self._numbers(_key(values), step))

    def _numbers(self, key, step):
        curves, joints = self._unscaled(key)
        if step == 1.0:
            return curves, joints
        curves = [
            Curve(
                c.low,
                c.high,
                *(_scaled(f, step) for f in (c.value, c.slope, c.curvature)),
                tuple(step * slope for slope in c.end_slopes),
                c.is_affine,
                c.points,
                tuple(step * value for value in c.end_values),
            )
            for c in curves
        ]
        return curves, [(z, step * value) for z, value in joints]

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - penalties are few and live long
    def _unscaled(self, key):
        values, symbols = dict(key), (Z, *self.parameters)
        arguments, curves = [values[name] for name in self.names], []
        with SYMBOLS:
            self._refuse_division_by_zero(values)
            # a term of weight 0 is none, even where it is infinite
            none = {s: sp.S.Zero for s in self.parameters if values[s.name] == 0}
            for piece in self.pieces(values):
                piece = _piece(piece.low, piece.high, piece.value.xreplace(none))
                limits, slopes = (
                    tuple(_at_end(piece, e, order, values) for e in (piece.low, piece.high))
                    for order in (0, 1)
                )
                low, high = number(piece.low, values), number(piece.high, values)
                value, slope = (
                    steadied(e, symbols, arguments, low, high) for e in (piece.value, piece.slope)
                )
                curvature = bound(numeric(piece.curvature, symbols), arguments)
                affine = not piece.curvature.has(Z)
                curve = Curve(low, high, value, slope, curvature, slopes, affine)
                looks = (bound(f, arguments) for f in parts_of(piece.value, Z, self.parameters))
                points = points_of(curve, *looks)
                curves.append(dataclasses.replace(curve, points=points, end_values=limits))
            whole = self.expression.xreplace(none)
            _refuse_hidden_bend(whole, curves, numeric(whole, symbols), arguments)
            joints = [
                (number(end, values), _real(number(value, values)))
                for end, value in self.joints(values)
            ]
        return curves, joints

    def _refuse_division_by_zero(self, values):
        table = {s: sp.Float(values[s.name]) for s in self.parameters}
        for power in self.expression.atoms(sp.Pow):
            if power.exp.xreplace(table).is_negative and power.base.xreplace(table).is_zero:
                raise InputError(
                    f"phi divides by {power.base}, which is 0 at these parameters; expected a "
                    "formula that is a number. Choose others."
                )

    def evaluate(self, z, values):
        """``phi(z)`` for an array, infinite outside the support (its lower limit at joints)."""
        z = np.asarray(z, dtype=np.float64)
        curves, joints = self._numbers(_key(values), 1.0)
        result = np.full(z.shape, np.inf)
        for curve in curves:
            inside = (z > curve.low) & (z < curve.high)
            if inside.any():
                result[inside] = curve.value(z[inside])
        for end, value in joints:
            result[z == end] = value
        return result


def _key(values):
    return tuple((name, float(value)) for name, value in values.items())


@functools.lru_cache(maxsize=1024)
def _piece(low, high, value):
    """One and the same for all parameters, so that its derivatives are found once."""
    return Piece(low, high, value)


def _real(value):
    return np.nan if isinstance(value, complex) else value


def _told_apart(places):
    """Of sorted ``(number, formula)`` pairs one for each number, up to rounding."""
    kept = []
    for where, point in places:
        if not kept or where - kept[-1][0] > 1e-12 * max(abs(where), abs(kept[-1][0])):
            kept.append((where, point))
    return kept


def _between(low, high):
    if np.isfinite(low) and np.isfinite(high):
        return 0.5 * low + 0.5 * high
    if np.isfinite(low):
        return low + max(1.0, abs(low))
    return high - max(1.0, abs(high)) if np.isfinite(high) else 0.7310585


def _support_ends(support):
    if isinstance(support, str):
        if support in ("real", "nonnegative"):
            return (-sp.oo if support == "real" else 0), sp.oo
    else:
        try:
            low, high = support
        except (TypeError, ValueError):
            pass
        else:
            return tuple(_support_end(end) for end in (low, high))
    raise InputError(
        f"support is {reprlib.repr(support)}; expected 'real', 'nonnegative' or a pair (low, high) "
        "of numbers or parameter names."
    )


def _support_end(end):
    if isinstance(end, str):
        return end
    value = as_float(end) if end is not None and np.isreal(end) else np.nan
    if np.isnan(value):
        raise InputError(f"support has the end {end!r}; expected a number or a parameter's name.")
    if np.isinf(value):
        return sp.oo if value > 0 else -sp.oo
    return sp.Rational(repr(value))


# -- pieces ---------------------------------------------------------------------------------
def _vanishes(expression, point):
    """Whether a formula is zero at a point, up to the rounding of its largest term."""
    try:
        return abs(number(expression, point)) <= 1e-9 * _largest_term(expression, point)
    except TypeError:
        return False


def _largest_term(expression, point):
    """The size that the terms of a formula reach at a point before they cancel."""
    if isinstance(expression, sp.Add | sp.Mul | sp.Max | sp.Min | sp.Abs):
        sizes = [_largest_term(part, point) for part in expression.args]
        return float(np.prod(sizes)) if isinstance(expression, sp.Mul) else max(sizes)
    if isinstance(expression, sp.Pow) and expression.exp.is_number and expression.exp > 0:
        return _largest_term(expression.base, point) ** float(expression.exp)
    return abs(number(expression, point))


def _breakpoints(expression):
    """Zeros of everything whose sign the expression asks for, and its poles."""
    kinks = set()
    for part in sp.preorder_traversal(expression):
        if isinstance(part, sp.Abs | sp.sign | sp.log):
            kinks.add(part.args[0])
        elif isinstance(part, sp.Max | sp.Min):
            kinks |= {a - b for a, b in itertools.combinations(part.args, 2)}
        elif isinstance(part, sp.core.relational.Relational):
            kinks.add(part.lhs - part.rhs)
        elif isinstance(part, sp.Pow) and (part.exp.is_integer is not True or part.exp.is_negative):
            kinks.add(part.base)
    return {sp.Tuple(zero, kink) for kink in kinks for zero in _zeros(kink)}


def _zeros(expression):
    """Real zeros in ``Z`` (low-degree polynomials), over all choices of signs inside."""
    if not expression.has(Z) or expression.is_positive or expression.is_negative:
        return set()
    for part in expression.atoms(*_KINKED):
        if part.has(Z):
            if isinstance(part, sp.Max | sp.Min):
                inner = part.args
            elif isinstance(part, sp.Piecewise):
                inner = [value for value, _ in part.args]
            elif isinstance(part, sp.sign):
                inner = (sp.S.One, sp.S.NegativeOne)
            else:
                inner = (part.args[0], -part.args[0])
            return set().union(*(_zeros(expression.xreplace({part: i})) for i in inner))
    w = sp.Dummy("w")
    numerator = sp.together(expression.subs(Z, w)).as_numer_denom()[0]
    try:
        polynomial = sp.Poly(numerator, w)
    except sp.PolynomialError:
        return _easy_zeros(numerator, w)
    factors = [factor for factor, _ in polynomial.factor_list()[1]]
    return set().union(*(_zeros_of_factor(factor) for factor in factors))


def _zeros_of_factor(polynomial):
    if polynomial.degree() <= 2 or polynomial.is_homogeneous:
        return set(sp.roots(polynomial))
    if all(c.is_Rational for c in polynomial.all_coeffs()):
        return set(polynomial.real_roots())
    return set()


def _easy_zeros(numerator, w):
    squared = without_square_root(numerator, w)
    if squared is not None:
        return set().union(*(_zeros_of_factor(factor) for factor, _ in squared.factor_list()[1]))
    if len(numerator.atoms(sp.Function)) > 1:
        return set()
    try:
        return {r for r in sp.solve(numerator, w) if r.is_number or r.is_real is not False}
    except (NotImplementedError, ValueError):
        return set()


def _resolved(expression, point):
    """The smooth expression that holds near (or at) a point, given numerically."""
    if not expression.args or not expression.has(Z) or not expression.has(*_KINKED):
        return expression
    if isinstance(expression, sp.Piecewise):
        for value, condition in expression.args:
            if _holds(condition, point):
                return _resolved(value, point)
        return sp.nan
    arguments = [_resolved(a, point) for a in expression.args]
    if isinstance(expression, sp.Abs | sp.sign):
        sign = np.sign(_real(number(arguments[0], point)))
        if isinstance(expression, sp.sign):
            return sp.Integer(int(sign))
        return arguments[0] if sign >= 0 else -arguments[0]
    if isinstance(expression, sp.Max | sp.Min):
        choose = max if isinstance(expression, sp.Max) else min
        return choose(arguments, key=lambda a: _real(number(a, point)))
    return expression.func(*arguments)


def _holds(condition, point):
    if condition in (sp.true, sp.false):
        return condition is sp.true
    if isinstance(condition, sp.And | sp.Or):
        return (all if isinstance(condition, sp.And) else any)(
            _holds(part, point) for part in condition.args
        )
    gap = _resolved(condition.lhs - condition.rhs, point)
    difference = number(gap, point)
    if abs(difference) <= 1e-12 * _largest_term(gap, point):
        difference = 0.0
    return bool(condition.func(sp.Float(difference) if difference else sp.S.Zero, 0))


def _refuse_hidden_bend(expression, curves, whole, arguments):
    """Refuse a formula that takes another branch inside what was taken for one smooth piece."""
    if not expression.has(*_KINKED):
        return
    for curve in curves:
        z = probe_grid(curve.low, curve.high)
        with np.errstate(all="ignore"):
            said, found = whole(z, *arguments), curve.value(z)
            apart = np.abs(said - found) > 1e-8 * (1 + np.abs(said))
        if apart.any():
            raise InputError(
                f"phi bends near z = {z[apart][0]:.4g} at a place that has no closed form; "
                "expected "
                "kinks at zeros of low-degree polynomials. Write it as a Piecewise with its cases."
            )


def probe_grid(low, high):
    """Points of an interval between and beyond the places where penalties usually bend."""
    far = np.concatenate([np.linspace(0, 8, 161), np.geomspace(8.3, 1e3, 30)])[1:] + 1e-4 * np.pi
    if np.isfinite(low) and np.isfinite(high):
        return low + (high - low) * (np.arange(160) + 0.5) / 160
    if np.isfinite(low):
        return low + far
    return high - far if np.isfinite(high) else np.concatenate([-far, far])


def _at_end(piece, end, order, values):
    if end.is_infinite:
        return np.nan
    found = piece.at(end, order)
    if found in (sp.oo, -sp.oo):
        return float(found)
    try:
        return _real(number(found, values))
    except TypeError:
        return np.nan


def _scaled(function, step):
    return lambda z: step * function(z)
