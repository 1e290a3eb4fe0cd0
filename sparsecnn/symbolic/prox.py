"""The prox of a penalty in symbols: stationarity per piece, joints, jumps, the root that inverts.

The order of the branches is read off the numeric envelope at sample parameters and kept as the
derivation's regime; every symbolic root and threshold is tried at several samples of that regime.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import sympy as sp

from ..validation import InputError
from .bounded import simplified
from .curvature import looks_convex
from .envelope import is_flat
from .evaluation import Z, number, numeric
from .penalty import Penalty, Piece
from .solve import probe_points, solve_by_probes

X = sp.Symbol("x", real=True)
SIZE = sp.Symbol("u", nonnegative=True)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Where one branch takes over from another.

    Attributes
    ----------
    value : sympy.Expr
        An expression of the parameters, or the symbol ``x_T`` when no closed form was found.
    kind : {"limit", "jump", "ends"}
    equation : sympy.Expr or None
        For a jump: the equation in ``z`` whose root is the value the prox jumps to.
    landing : sympy.Expr or None
        That root, where found.
    """

    value: sp.Expr
    kind: str
    equation: sp.Expr | None = None
    landing: sp.Expr | None = None

    @property
    def is_closed(self):
        return not any(s.name.startswith("x_T") for s in self.value.free_symbols)


@dataclasses.dataclass(frozen=True)
class Solved:
    """One branch of the prox.

    Attributes
    ----------
    start : Threshold
    value : sympy.Expr or None
        The prox there; None where only ``equation`` is known (the implicit layer).
    piece : Piece or None
        The piece of the penalty; None for a joint.
    equation : sympy.Expr or None
        ``z + phi'(z) - x``.
    method : str
    """

    start: Threshold
    value: sp.Expr | None
    piece: Piece | None
    equation: sp.Expr | None
    method: str


class Case(NamedTuple):
    """One row of a prox as it is shown.

    Attributes
    ----------
    value : sympy.Expr
        The value, or an equation whose root ``z`` it is (times the sign of ``x``, if of ``|x|``).
    condition : sympy.Rel or None
        Where it holds, unless an earlier row does; None for the rest.
    root : {"", "least", "greatest", "best"}
        Which root of an equation is meant, where it has several; the best has the least objective.
    """

    value: sp.Expr
    condition: sp.Rel | None
    root: str


_OPPOSITE = {"": "", "least": "greatest", "greatest": "least", "best": "best"}


def _mirrored(value):
    """The value (or the equation) at ``x < 0`` of an odd prox, from the one at ``x > 0``."""
    if isinstance(value, sp.Eq):
        return sp.Eq(-value.lhs.subs(Z, -Z), X, evaluate=False)
    return -value.subs(X, -X)


@dataclasses.dataclass(frozen=True)
class ScalarProx:
    """The derived prox of a scalar penalty in one regime of its parameters.

    Attributes
    ----------
    penalty : Penalty
    is_even : bool
        Derived for ``x >= 0`` and continued as an odd function.
    branches : tuple of Solved
        In order of ``x`` (of ``|x|`` if even).
    samples : tuple of dict
        Admissible parameter values of the regime, used as probes.
    """

    penalty: Penalty
    is_even: bool
    branches: tuple[Solved, ...]
    samples: tuple[dict, ...]

    @property
    def half(self):
        """The penalty the branches were derived for: on ``z >= 0`` if even."""
        if self.is_even:
            return dataclasses.replace(self.penalty, low=sp.S.Zero)
        return self.penalty

    @property
    def is_closed(self):
        """Whether every branch and threshold has a closed form."""
        return all(b.value is not None and b.start.is_closed for b in self.branches)

    @property
    def jumps(self):
        """The thresholds at which the prox jumps."""
        return tuple(b.start for b in self.branches if b.start.kind == "jump")

    @functools.cached_property
    def jumps_at_zero(self):
        """Whether an odd prox jumps from ``-z`` to ``z`` at zero, where both are as good."""
        if not self.is_even:
            return False
        values = self.samples[0]
        branches = self.half.envelope(values).branches
        first = branches[len(branches) - len(self.branches)]
        return bool(first.solve(np.zeros(1))[0] > 1e-7)

    @functools.cached_property
    def cases(self):
        """The prox as rows for all ``x``, each a ``Case``; the last one's condition is None."""
        ends = [b.start.value for b in self.branches[1:]]
        size = sp.Abs(X) if self.is_even and not self.jumps_at_zero else X
        conditions = [*(sp.Le(size, end) for end in ends), None]
        rows = [
            Case(self._row(branch, size), condition, self._root(k))
            for k, (branch, condition) in enumerate(zip(self.branches, conditions, strict=True))
        ]
        if not self.jumps_at_zero:
            return tuple(rows)
        below = [sp.Le(X, 0), *(sp.Lt(X, -end, evaluate=False) for end in ends)]
        mirrored = [
            Case(_mirrored(row.value), condition, _OPPOSITE[row.root])
            for row, condition in zip(rows, below, strict=True)
        ]
        return (*reversed(mirrored), *rows)

    def _row(self, branch, size):
        """A branch at ``x``: its value, or the equation ``z + phi'(z) = size`` of an open one."""
        if branch.value is None:
            return sp.Eq(branch.equation + X, size, evaluate=False)
        is_odd = sp.expand(branch.value + branch.value.xreplace({X: -X})) == 0
        if size == X or is_odd:
            return branch.value
        return sp.sign(X) * branch.value.subs(X, size)

    def _root(self, k):
        """Beyond a dead zone or a jump the greatest root; below a jump on a curve the least."""
        if k and k + 1 == len(self.branches):
            return "greatest"
        if self.jumps_at_zero:
            return "best"
        piece = self.branches[k].piece
        return "least" if any(b.piece == piece for b in self.branches[k + 1 :]) else ""

    @functools.cached_property
    def expression(self):
        """The prox as one expression of ``x``, or None where a branch is implicit."""
        if not self.is_closed:
            return None
        rows = [(c.value, True if c.condition is None else c.condition) for c in self.cases]
        return rows[0][0] if len(rows) == 1 else sp.Piecewise(*rows, evaluate=False)

    def numeric(self, x, values):
        """The closed form at numbers (the envelope where there is none)."""
        x = np.asarray(x, dtype=np.float64)
        if not self.is_closed:
            return self.penalty.envelope(values).prox(x)[0]
        size = np.abs(x) if self.is_even else x
        arguments = [np.float64(values[name]) for name in self.penalty.names]
        starts = [number(b.start.value, values) for b in self.branches[1:]]
        which = np.searchsorted(starts, size, side="left")
        result = np.empty(x.shape)
        for k, branch in enumerate(self.branches):
            here = which == k
            if here.any():
                result[here] = self._closed(branch, size[here], arguments)
        sign = np.where(x > 0, 1.0, -1.0) if self.jumps_at_zero else np.sign(x)
        return sign * result if self.is_even else result

    def _closed(self, branch, x, arguments):
        value = numeric(branch.value, (X, *self.penalty.parameters))
        found = np.array(value(x, *arguments))
        lost = np.isnan(found)
        if lost.any():  # Cardano: real roots by way of complex numbers
            found[lost] = value(x[lost] + 0j, *arguments)
        return found


def is_even(penalty):
    """Whether ``phi(-z) = phi(z)``, with a symmetric support."""
    if penalty.low != -penalty.high:
        return False
    return simplified(penalty.expression.subs(Z, -Z) - penalty.expression) == 0


def solve_prox(penalty, values, *, n_samples=3, seed=0):
    """Derive the prox in the regime of ``values``.

    Parameters
    ----------
    penalty : Penalty
    values : dict of str to float
        Admissible parameter values; they fix the order of the branches.

    Returns
    -------
    ScalarProx

    Raises
    ------
    InputError
        If the problem has no minimiser there.
    """
    penalty.envelope(values)  # refuses an ill-posed model before anything is derived
    even = is_even(penalty)
    half = dataclasses.replace(penalty, low=sp.S.Zero) if even else penalty
    samples = _samples(half, values, n_samples, seed)
    envelopes = [half.envelope(sample) for sample in samples]
    branches = []
    for k in range(len(envelopes[0].branches)):
        start = (
            Threshold(-sp.oo, "ends")
            if k == 0
            else _threshold(half, samples, envelopes, k, branches)
        )
        branches.append(_branch(half, samples, [e.branches[k] for e in envelopes], start))
    if even:
        first = _first_visited(envelopes)
        branches = [
            dataclasses.replace(branches[first], start=Threshold(-sp.oo, "ends")),
            *branches[first + 1 :],
        ]
    return ScalarProx(penalty, even, tuple(branches), tuple(samples))


def _first_visited(envelopes):
    """The branch that the sizes just above zero are sent to; those before have no input."""
    return min(int(np.sum(envelope.starts <= 1e-12)) for envelope in envelopes)


def _signature(envelope):
    jumps = tuple(
        not is_flat(before, after)
        or (
            abs(after.start - after.first) > 1e-9 * max(1.0, abs(after.start))
            and not after.is_joint
        )
        for before, after in zip(envelope.branches[:-1], envelope.branches[1:], strict=True)
    )
    return tuple((b.is_joint, b.index) for b in envelope.branches), jumps


def same_branches(penalty, first, second):
    """Whether the prox has the same branches at two settings of the parameters."""
    one, other = (
        (_signature(penalty.envelope(values)), _at_zero(penalty, values))
        for values in (first, second)
    )
    return one == other


def _at_zero(penalty, values):
    """Of half an even penalty: a downward kink at zero, where the whole prox jumps; a dead zone."""
    if penalty.low != 0:
        return None
    branches = penalty.envelope(values).branches
    dead = branches[0].is_joint and all(b.start > 1e-12 for b in branches[1:2])
    return penalty.curves(values)[0].end_slopes[0] < 0, dead


def same_regime(penalty, first, second):
    """Whether branches and convexity are the same at two settings of the parameters."""
    return same_branches(penalty, first, second) and (
        looks_convex(penalty, first) == looks_convex(penalty, second)
    )


def _samples(penalty, values, count, seed):
    """``values`` and neighbours of the same regime: all parameters moved, or else one of them."""
    rng, found = np.random.default_rng(seed), [dict(values)]
    widths = [(w, tuple(values)) for w in (0.35, 0.35, 0.2, 0.2, 0.1, 0.1, 0.05, 0.02)]
    widths += [(w, (name,)) for w in (0.35, 0.1) for name in values if len(values) > 1]
    for width, moved in widths:
        if len(found) >= count:
            break
        factors = dict.fromkeys(values, 1.0)
        factors |= {name: float(np.exp(rng.uniform(-width, width))) for name in moved}
        trial = {name: v * factors[name] for name, v in values.items()}
        try:
            same = same_regime(penalty, values, trial)
        except InputError:
            continue
        if same and trial not in found:
            found.append(trial)
    return found


def _branch(penalty, samples, numbers, start):
    """Solve one branch, given its numeric twin at every sample."""
    if numbers[0].is_joint:
        end = penalty.joints(samples[0])[numbers[0].index][0]
        return Solved(start, end, None, None, "a joint: every slope in its subdifferential")
    piece = penalty.pieces(samples[0])[numbers[0].index]
    equation = Z + piece.slope - X
    probes = []
    for values, branch in zip(samples, numbers, strict=True):
        low = max(branch.low, branch.solve(np.array([branch.start]))[0])
        for z in probe_points(low, branch.high, 4):
            x = float(branch.curve.forward(np.array([z]))[0])
            if np.isfinite(x):
                probes.append(({**values, "x": x}, float(z)))
    found = solve_by_probes(equation, Z, probes)
    value, method = found if found else (None, "implicit: z + phi'(z) = x inverted by Newton")
    value = _in_reals(value, probes) if found else None
    return Solved(start, value, piece, equation, method)


def _in_reals(root, probes):
    """A cubic's ``cos(acos(u)/3)`` as ``cosh(acosh(u)/3)`` where ``u > 1``: the same number."""

    def is_third(e):
        return isinstance(e, sp.cos) and isinstance(3 * e.args[0], sp.acos)

    def beyond(u):
        sizes = [number(u, values) for values, _ in probes]
        return any(not isinstance(size, complex) and size > 1 for size in sizes)

    def rewrite(e):
        u = (3 * e.args[0]).args[0]
        return sp.Piecewise((e, u <= 1), (sp.cosh(sp.acosh(u) / 3), True)) if beyond(u) else e

    return root.replace(is_third, rewrite)


def _threshold(penalty, samples, envelopes, k, solved):
    before = [e.branches[k - 1] for e in envelopes]
    after = [e.branches[k] for e in envelopes]
    symbolic = _limit(penalty, samples, before, after)
    if symbolic is None and all(b.start == 0 for b in after):
        symbolic = sp.S.Zero
    if symbolic is not None:
        return Threshold(symbolic, "limit")
    return _jump(penalty, samples, before, after, solved)


def _power_of_zero(power, samples):
    """What zero to a power is in the regime at hand: 0, 1, or the power as it is."""
    exponents = [number(power.exp, values) for values in samples]
    if all(exponent > 0 for exponent in exponents):
        return sp.S.Zero
    return power if any(exponents) else sp.S.One


def _agrees(expression, samples, wanted, tolerance=1e-8):
    try:
        found = [number(expression, values) for values in samples]
    except (TypeError, ValueError):
        return False
    return all(
        not isinstance(f, complex) and abs(f - w) <= tolerance * max(1.0, abs(w))
        for f, w in zip(found, wanted, strict=True)
    )


def _limit(penalty, samples, before, after):
    """The threshold as ``F`` at a joint, from the side of the smooth branch."""
    wanted = [b.start for b in after]
    pieces = penalty.pieces(samples[0])
    ends = []
    if not before[0].is_joint:
        ends.append((pieces[before[0].index], "high"))
    if not after[0].is_joint:
        ends.append((pieces[after[0].index], "low"))
    for piece, side in ends:
        end = getattr(piece, side)
        if end.is_infinite:
            continue
        slope = piece.at(end, 1)
        slope = piece.slope.subs(Z, end) if slope.has(sp.nan) else slope
        slope = slope.replace(
            lambda e: e.is_Pow and e.base.is_zero, lambda e: _power_of_zero(e, samples)
        )
        value = simplified(end + slope)
        if not value.is_infinite and not value.has(sp.nan) and _agrees(value, samples, wanted):
            return value
    return None


def _jump(penalty, samples, before, after, solved):
    """A jump: equal objectives on both sides, solved in ``z`` where one side is a joint."""
    wanted = [b.start for b in after]
    name = sp.Symbol(f"x_T{len(solved)}" if len(solved) > 1 else "x_T", real=True)
    joints = penalty.joints(samples[0])
    if before[0].is_joint and after[0].is_joint:
        (a, phi_a), (b, phi_b) = joints[before[0].index], joints[after[0].index]
        value = simplified((a + b) / 2 + (phi_b - phi_a) / (b - a))
        return Threshold(value if _agrees(value, samples, wanted) else name, "jump")
    if before[0].is_joint or after[0].is_joint:
        joint, smooth = (before, after) if before[0].is_joint else (after, before)
        return _jump_from_joint(penalty, samples, joint, smooth, joints, wanted, name)
    return _jump_between_curves(penalty, samples, solved[-1], after, wanted, name)


def _jump_from_joint(penalty, samples, joint, smooth, joints, wanted, name):
    z0, phi0 = joints[joint[0].index]
    piece = penalty.pieces(samples[0])[smooth[0].index]
    forward = Z + piece.slope
    equation = sp.expand((forward - z0) ** 2 / 2 + phi0 - piece.slope**2 / 2 - piece.value)
    landings = [float(b.solve(np.array([x]))[0]) for b, x in zip(smooth, wanted, strict=True)]
    found = solve_by_probes(equation, Z, list(zip(samples, landings, strict=True)))
    if found is None:
        return Threshold(name, "jump", equation)
    value = simplified(forward.subs(Z, found[0]))
    if not _agrees(value, samples, wanted):
        return Threshold(name, "jump", equation)
    return Threshold(value, "jump", equation, found[0])


def _jump_between_curves(penalty, samples, before, after, wanted, name):
    piece = penalty.pieces(samples[0])[after[0].index]
    probes = []
    for values, branch in zip(samples, after, strict=True):
        for z in probe_points(
            max(branch.low, branch.solve(np.array([branch.start]))[0]), branch.high, 3
        ):
            probes.append(
                ({**values, "x": float(branch.curve.forward(np.array([z]))[0])}, float(z))
            )
    found = solve_by_probes(Z + piece.slope - X, Z, probes)
    if found is None or before.value is None or before.piece is None:
        return Threshold(name, "jump")
    z_a, z_b = before.value, found[0]
    difference = (
        (X - z_a) ** 2 / 2
        + before.piece.value.subs(Z, z_a)
        - (X - z_b) ** 2 / 2
        - piece.value.subs(Z, z_b)
    )
    root = solve_by_probes(sp.expand(difference), X, list(zip(samples, wanted, strict=True)))
    return Threshold(root[0] if root else name, "jump")
