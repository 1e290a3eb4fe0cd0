"""The prox of a penalty in symbols: stationarity per piece, joints, jumps, the root that inverts.

The order of the branches is read off the numeric envelope at sample parameters and kept as the
derivation's regime; every symbolic root and threshold is tried at several samples of that regime.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import sympy as sp

from ..validation import InputError
from .bounded import simplified
from .curvature import looks_convex
from .penalty import Penalty, Piece, Z, number, numeric
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
    def expression(self):
        """The prox as one expression of ``x``, or None where a branch is implicit."""
        if not self.is_closed:
            return None
        variable = sp.Abs(X) if self.is_even else X
        cases = []
        for branch, following in zip(self.branches, (*self.branches[1:], None), strict=True):
            value = branch.value.subs(X, variable)
            if self.is_even:
                value = sp.sign(X) * value
            condition = True if following is None else variable <= following.start.value
            cases.append((value, condition))
        return cases[0][0] if len(cases) == 1 else sp.Piecewise(*cases, evaluate=False)

    def numeric(self, x, values):
        """The closed form at numbers (the envelope where there is none)."""
        x = np.asarray(x, dtype=np.float64)
        if not self.is_closed:
            return self.penalty.envelope(values).prox(x)[0]
        size = np.abs(x) if self.is_even else x
        arguments = [values[name] for name in self.penalty.names]
        starts = [number(b.start.value, values) for b in self.branches[1:]]
        which = np.searchsorted(starts, size, side="left")
        result = np.empty(x.shape)
        for k, branch in enumerate(self.branches):
            here = which == k
            if here.any():
                result[here] = self._closed(branch, size[here], arguments)
        return np.sign(x) * result if self.is_even else result

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
    if (
        even
        and len(branches) > 1
        and branches[0].value == 0
        and branches[1].start.value.is_nonpositive
    ):  # only x = 0 itself would be sent there
        first = dataclasses.replace(branches[1], start=Threshold(-sp.oo, "ends"))
        branches = [first, *branches[2:]]  # smooth at zero: no dead zone
    return ScalarProx(penalty, even, tuple(branches), tuple(samples))


def _signature(envelope):
    jumps = tuple(
        after.low - before.high > 1e-9 * max(1.0, abs(after.low))
        or (
            abs(after.start - after.first) > 1e-9 * max(1.0, abs(after.start))
            and not after.is_joint
        )
        for before, after in zip(envelope.branches[:-1], envelope.branches[1:], strict=True)
    )
    return tuple((b.is_joint, b.index) for b in envelope.branches), jumps


def same_branches(penalty, first, second):
    """Whether the prox has the same branches at two settings of the parameters."""
    return _signature(penalty.envelope(first)) == _signature(penalty.envelope(second))


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
    return Solved(start, value, piece, equation, method)


def _threshold(penalty, samples, envelopes, k, solved):
    before = [e.branches[k - 1] for e in envelopes]
    after = [e.branches[k] for e in envelopes]
    symbolic = _limit(penalty, samples, before, after)
    if symbolic is None and all(b.start == 0 for b in after):
        symbolic = sp.S.Zero
    if symbolic is not None:
        return Threshold(symbolic, "limit")
    return _jump(penalty, samples, before, after, solved)


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
        value = simplified(end + piece.at(end, 1))
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
