"""The prox of one scalar penalty at given parameters: its branches in order of the input.

``argmin_z 1/2 (x - z)^2 + phi(z)`` is nondecreasing in ``x``, so it is a row of branches, each on
an interval of ``x``: a joint (constant) or a stretch where ``F(z) = z + phi'(z)`` increases (``F``
inverted by Newton's method). Knows no symbols.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np

from ..validation import InputError
from .grid import FAR, interior_grid
from .newton import invert

_MOST_BRANCHES = 60


def is_flat(before, after):
    """Whether the gap between two branches is too narrow to tell a jump from a flat place."""
    return bool(after.low - before.high <= 1e-5 * max(1.0, abs(after.low)))


@dataclasses.dataclass(frozen=True)
class Curve:
    """A smooth stretch of a penalty: value, slope and curvature as functions of an array.

    ``end_slopes`` and ``end_values`` are the one-sided limits at the two ends (nan: to be read off
    the formula);
    ``is_affine`` says that the slope is affine in ``z``, so that it is inverted by a division;
    ``points`` are where it is looked at.
    """

    low: float
    high: float
    value: Callable
    slope: Callable
    curvature: Callable
    end_slopes: tuple[float, float] = (np.nan, np.nan)
    is_affine: bool = False
    points: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)
    end_values: tuple[float, float] = (np.nan, np.nan)

    @property
    def grid(self):
        """Interior points between which ``phi''`` is monotone, as nearly as can be told."""
        return interior_grid(self.low, self.high) if self.points is None else self.points

    def forward(self, z):
        """``F(z) = z + phi'(z)``, the input that is mapped to ``z``."""
        return z + self.slope(z)

    def limit(self, z):
        """The value at a number; at an end, the limit from inside."""
        for end, known in zip((self.low, self.high), self.end_values, strict=True):
            if z == end and not np.isnan(known):
                return known
        with np.errstate(all="ignore"):
            return float(self.value(np.array([z]))[0])


@dataclasses.dataclass(frozen=True)
class Branch:
    """One branch: ``curve`` inverted on ``(low, high)``, or the constant ``low`` (no curve).

    Attributes
    ----------
    low, high : float
        Values of the prox.
    first, last : float
        ``F`` at the two ends (equal to minus and plus infinity for a joint).
    curve : Curve or None
    index : int
        Which curve, or which joint.
    start : float
        Smallest input of the branch.
    inverse : callable or None
        A closed form of the inverse of ``F``, from which Newton's method starts.
    """

    low: float
    high: float
    first: float
    last: float
    value: float
    curve: Curve | None
    index: int
    start: float = -np.inf
    inverse: Callable | None = None

    @property
    def method(self):
        """How the branch is evaluated: "constant", "linear", "closed form" or "Newton"."""
        if self.is_joint:
            return "constant"
        return "linear" if self.curve.is_affine else "closed form" if self.inverse else "Newton"

    @property
    def is_joint(self):
        return self.curve is None

    def solve(self, x):
        """The minimiser of ``1/2 (x - z)^2 + phi(z)`` over ``[low, high]``, for an array ``x``."""
        if self.is_joint:
            return np.full(x.shape, self.low)
        z = np.where(x <= self.first, self.low, self.high)
        inside = (x > self.first) & (x < self.last)
        if inside.any():
            z[inside] = invert(self.curve, x[inside], self.low, self.high, self.inverse)
        return z

    def reduced(self, x):
        """``(min over the branch of phi(z) + z^2/2 - x z, its minimiser)`` for a number ``x``."""
        if self.is_joint:
            return self.value + 0.5 * self.low**2 - x * self.low, self.low
        z = float(self.solve(np.array([x]))[0])
        return self.curve.limit(z) + 0.5 * z * z - x * z, z


class Envelope:
    """The whole prox: branches and the inputs at which one takes over from the one before.

    Parameters
    ----------
    curves : sequence of Curve
        In order, on adjoining intervals that cover the support.
    joints : sequence of (float, float)
        The finite ends of those intervals with the penalty's value there (its lower limit).

    Raises
    ------
    InputError
        If the problem has no minimiser: the penalty is minus infinity somewhere, or falls faster
        than ``-z^2/2``.
    """

    def __init__(self, curves, joints):
        _refuse_minus_infinity(joints)
        joints = [j for j in joints if np.isfinite(j[1])]
        candidates = [
            Branch(z, z, -np.inf, np.inf, value, None, index)
            for index, (z, value) in enumerate(joints)
        ]
        for index, curve in enumerate(curves):
            candidates += _increasing_stretches(curve, index)
        _refuse_steep_fall(curves)
        candidates.sort(key=lambda b: (b.low, b.high))
        if len(candidates) > _MOST_BRANCHES:
            raise InputError(
                f"phi bends up and down {len(candidates)} times; expected at most "
                f"{_MOST_BRANCHES} stretches. Bound the support of an oscillating penalty."
            )
        values = dict(joints)
        stack = []
        for branch in candidates:
            start = -np.inf
            while stack:
                start = _crossing(stack[-1], branch, values)
                if start > stack[-1].start:
                    break
                stack.pop()
                start = -np.inf
            if start < np.inf:
                stack.append(dataclasses.replace(branch, start=start))
        if not stack:
            raise InputError("phi has no minimiser for any input; expected a penalty with a prox.")
        self.branches = tuple(stack)
        self.starts = np.array([b.start for b in stack[1:]])

    def with_branches(self, branches):
        """The same envelope, its branches replaced by equal ones that know more."""
        twin = copy.copy(self)
        twin.branches = tuple(branches)
        return twin

    def locate(self, x):
        """Index of each input's branch; at a jump the minimiser nearer to zero (from below 0)."""
        left = np.searchsorted(self.starts, x, side="left")
        right = np.searchsorted(self.starts, x, side="right")
        return np.where(x >= 0, left, right)

    def prox(self, x):
        """``(minimiser, index of its branch)`` for an array of inputs."""
        x = np.asarray(x, dtype=np.float64)
        which, z = self.locate(x), np.empty(x.shape)
        for k, branch in enumerate(self.branches):
            here = which == k
            if here.any():
                z[here] = branch.solve(x[here])
        z[np.isnan(x)] = np.nan
        return z, which

    def jumps(self):
        """Inputs at which the prox jumps, with the values on both sides.

        Where a curve turns back over a gap ``g``, ``F`` falls by about ``g^3``: below the cube root
        of rounding a jump cannot be told from a place where ``F`` is flat, and is none.
        """
        found = []
        for before, after in zip(self.branches[:-1], self.branches[1:], strict=True):
            if is_flat(before, after) and before.curve is not None and before.curve is after.curve:
                continue
            x = np.array([after.start])
            low, high = float(before.solve(x)[0]), float(after.solve(x)[0])
            if high - low > 1e-7 * max(1.0, abs(low), abs(high)):
                found.append((after.start, low, high))
        return found

    def has_dead_zone(self):
        """Whether an interval of inputs is mapped to exactly zero."""
        ends = [*self.starts, np.inf]
        for branch, end in zip(self.branches, ends, strict=True):
            finite = [abs(x) for x in (branch.start, end) if np.isfinite(x)]
            wide = end - branch.start > 1e-12 * max(finite, default=0.0)
            if branch.is_joint and branch.low == 0 and wide:
                return True
        return False


def _refuse_minus_infinity(joints):
    for z, value in joints:
        if value == -np.inf:
            raise InputError(
                f"phi is minus infinity at z = {z:g}, so every input is sent there and the model "
                "is ill-posed; expected a penalty bounded below near every point. Add a constant "
                "inside the logarithm, such as log(1 + abs(z)/eps)."
            )


def _refuse_steep_fall(curves):
    for curve, end in ((curves[0], -1), (curves[-1], 1)):
        edge = curve.low if end < 0 else curve.high
        if np.isfinite(edge):
            continue
        if not _rises_without_end(curve, end):
            raise InputError(
                "phi falls as fast as -z^2/2 or faster far from zero, so 1/2 (x - z)^2 + phi(z) "
                "has no minimum for some inputs; expected a penalty that grows more slowly "
                "downwards. Lower its weight or the step, or bound the support."
            )


def _rises_without_end(curve, end):
    """Whether ``F`` tends to infinity, judged as far out as it is a number."""
    far = end * FAR / 10.0 ** np.arange(12)
    with np.errstate(all="ignore"):
        reach = curve.forward(far) * end
        reach = np.where(curve.slope(far) * end == np.inf, np.inf, reach)
        known = np.flatnonzero(~np.isnan(reach))
        if not known.size:
            return False
        most = reach[known[0]]
        if known[0] == 0:
            return most > 1e5
        return bool(most == np.inf or most > 1.2 * curve.forward(0.5 * far[known[:1]])[0] * end > 0)


def _increasing_stretches(curve, index):
    """The maximal intervals of a curve on which ``F' = 1 + phi''`` is positive."""

    def rising(z):
        with np.errstate(all="ignore"):
            bend = curve.curvature(z)
            return (1 + bend > 1e-13 * (1 + np.abs(bend))) | (bend == np.inf)

    grid = curve.grid
    up = rising(grid)
    edges = np.flatnonzero(np.diff(up.astype(int)))
    a, b, side = grid[edges], grid[edges + 1], up[edges]
    for _ in range(80):
        middle = 0.5 * (a + b)
        same = rising(middle) == side
        a, b = np.where(same, middle, a), np.where(same, b, middle)
    cuts = np.concatenate([[curve.low], np.where(side, a, b), [curve.high]])
    kinds = np.concatenate([up[:1], ~side])
    stretches = []
    for low, high, rises in zip(cuts[:-1], cuts[1:], kinds, strict=True):
        if rises and high > low:
            first, last = _end(curve, low, 1), _end(curve, high, -1)
            stretches.append(Branch(low, high, first, last, np.nan, curve, index))
    return stretches


def _end(curve, z, inwards):
    """``F`` at an end of a stretch, from inside."""
    if not np.isfinite(z):
        return z
    if z in (curve.low, curve.high):
        known = z + curve.end_slopes[0 if z == curve.low else 1]
        if not np.isnan(known):
            return known
    with np.errstate(all="ignore"):
        value = float(curve.forward(np.array([z]))[0])
        if np.isnan(value):
            width = min(curve.high - curve.low, 1.0)
            value = float(curve.forward(np.array([z + inwards * 1e-13 * width]))[0])
    return value


def _crossing(before, after, joint_values):
    """The input from which ``after`` (larger values) is at least as good as ``before``."""
    if before.high == after.low and _continuous_there(before, after, joint_values):
        if after.is_joint:
            return before.last
        if before.is_joint or before.last <= after.first:
            return after.first
    return _balance(before, after)


def _continuous_there(before, after, joint_values):
    z = after.low
    if z not in joint_values:
        return True
    reference = joint_values[z]
    slack = 1e-12 * max(1.0, abs(reference))
    curves = [branch.curve for branch in (before, after) if branch.curve is not None]
    return all(curve.limit(z) - reference <= slack for curve in curves)


def _balance(before, after):
    """Root of the increasing function ``objective(before) - objective(after)``."""

    def difference(x):
        (a, z_a), (b, z_b) = before.reduced(x), after.reduced(x)
        return a - b, z_b - z_a

    ends = [e for e in (before.last, after.first, before.high, after.low) if np.isfinite(e)]
    low = high = float(np.mean(ends)) if ends else 0.0
    reach = 1.0
    while difference(low)[0] > 0:
        low, reach = low - reach, reach * 2
        if reach > 1e300:
            return -np.inf
    reach = 1.0
    while difference(high)[0] < 0:
        high, reach = high + reach, reach * 2
        if reach > 1e300:
            return np.inf
    x = 0.5 * (low + high)
    for _ in range(200):
        gap, slope = difference(x)
        low, high = (x, high) if gap < 0 else (low, x)
        newton = x - gap / slope if slope > 0 else np.nan
        if abs(newton - x) <= 4e-16 * max(1.0, abs(x)):
            return newton
        following = newton if low < newton < high else 0.5 * (low + high)
        if high - low <= 4e-16 * max(1.0, abs(high)):
            return following
        x = following
    return x
