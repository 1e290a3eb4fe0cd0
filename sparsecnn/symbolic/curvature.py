"""What the curvature of a penalty says: convexity, uniqueness of the prox. Knows no prior."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import sympy as sp

from .bounded import is_tame, simplified
from .evaluation import Z, number, numeric
from .solve import probe_points


@dataclasses.dataclass(frozen=True)
class Curvature:
    """What the curvature of a penalty says.

    Attributes
    ----------
    least : sympy.Expr or None
        ``inf phi''`` over the pieces, where found; ``phi`` is convex between its joints iff it is
        >= 0, and the prox is unique for all ``x`` if it is > -1 (and no joint is a concave kink).
    condition : sympy.Rel or bool or None
        ``1 + least >= 0``.
    convex, weakly_convex : bool
        As it looks at the sample parameters.
    """

    least: sp.Expr | None
    condition: object
    convex: bool
    weakly_convex: bool


def curvature(solution):
    """Weak convexity of a penalty, with its condition where ``inf phi''`` was found."""
    values = solution.samples[0]
    half = solution.half
    candidates = []
    for piece in half.pieces(values):
        candidates += _extremes(piece, values)
    whole = solution.penalty
    jumps = bool(whole.envelope(values).jumps())  # of the whole: a mirrored one may jump at zero
    convex = looks_convex(whole, values)
    least = _least(candidates, values)
    condition = None
    if least is not None and not least.is_infinite:
        parts = least.args if isinstance(least, sp.Min) else (least,)
        condition = sp.And(*(simplified(1 + part >= 0) for part in parts))
    return Curvature(least, condition, convex, not jumps)


def _least(candidates, values):
    """The least candidate; their minimum where another one is least at other parameters."""
    rng, smallest = np.random.default_rng(2), {}
    for width in (0.0, *np.linspace(0.2, 2.5, 12)):
        moved = {n: v * float(np.exp(rng.uniform(-width, width))) for n, v in values.items()}
        sizes = [np.nan if c is None else _order(c, moved) for c in candidates]
        if width == 0.0 and (not sizes or np.isnan(sizes).any()):
            return None
        if not np.isnan(sizes).any():
            smallest.setdefault(simplified(candidates[int(np.argmin(sizes))]))
    return next(iter(smallest)) if len(smallest) == 1 else sp.Min(*smallest, evaluate=False)


def _order(expression, values):
    """The candidate's size at the sample; nan where the formula is no real number there."""
    try:
        size = float(expression) if expression.is_infinite else number(expression, values)
    except TypeError:
        return np.nan
    return np.nan if isinstance(size, complex) else size


def _extremes(piece, values):
    """Candidates for ``inf phi''`` on a piece: its ends and the zeros of ``phi'''``."""
    low, high = number(piece.low, values), number(piece.high, values)
    found = []
    for end in (piece.low, piece.high):
        limit = piece.at(end, 2)
        found.append(None if limit.has(sp.nan, sp.Limit, sp.zoo, sp.AccumBounds) else limit)
    third = simplified(sp.diff(piece.curvature, Z))
    if not third.has(Z):
        return found
    if not is_tame(third):
        return [*found, None]
    w = sp.Dummy("w")
    numerator = sp.fraction(sp.together(third.subs(Z, w)))[0]
    try:
        roots = sp.roots(sp.Poly(numerator, w)) if numerator.has(w) else {}
    except sp.PolynomialError:
        roots = {}
        grid = probe_points(low, high, 25)
        bend = numeric(piece.curvature, (Z, *sorted(piece.curvature.free_symbols - {Z}, key=str)))
        names = [s.name for s in sorted(piece.curvature.free_symbols - {Z}, key=str)]
        shape = np.diff(bend(np.sort(grid), *[values[n] for n in names]))
        if (shape > 0).any() and (shape < 0).any():
            found.append(None)
    for root in roots:
        where = number(root, values)
        if not isinstance(where, complex) and low < where < high:
            found.append(simplified(piece.curvature.subs(Z, root)))
    return found


def looks_convex(penalty, values):
    """Whether slopes increase along and across the pieces, on the curves' own grids; no proof."""
    curves, joints = penalty.curves(values), dict(penalty.joint_values(values))
    for curve in curves:
        bend = curve.curvature(curve.grid)
        if not (bend >= -1e-9 * (1 + np.abs(bend))).all():
            return False
        for end in (curve.low, curve.high):
            limit = float(curve.value(np.array([end]))[0]) if np.isfinite(end) else np.nan
            if np.isfinite(limit) and limit - joints[end] > 1e-9 * max(abs(limit), end * end):
                return False
    for left, right in itertools.pairwise(curves):
        before, after = _end(left, left.high, 1), _end(right, right.low, 0)
        if not np.isfinite(joints[left.high]) or before == np.inf or after == -np.inf:
            return False
        if np.isfinite(after) and before - after > 1e-9 * (abs(before) + abs(after)):
            return False
    return True


def _end(curve, z, side):
    known = curve.end_slopes[side]
    if not np.isnan(known):
        return known
    return float(curve.slope(np.array([z]))[0])
