"""The conjugate of a convex scalar penalty: what the dual of a sparse-coding problem needs.

A dual value must not be too large, so a conjugate must not be too small: what the search for its
maximiser leaves open is added, and where no maximiser is found it is infinite. Knows no prior.
"""

from __future__ import annotations

import numpy as np

from .evaluation import SYMBOLS, Z, number
from .facts import exact

#: the difference of two numbers is right within so much of their sizes
_ROUNDING = 4 * np.finfo(np.float64).eps


def slopes_at_infinity(penalty, values):
    """Slopes of a convex penalty at minus and plus infinity: the domain of its conjugate.

    Infinite where the limit is not known; the conjugate says then where it ends. A limit for all
    parameters need not be that at these numbers (``mu*z**2`` has none at ``mu = 0``): where one of
    them is 0, or the slope is not seen to grow, it is taken of the penalty with its numbers.
    """
    with SYMBOLS:
        found = _slope_limits(penalty, values)
        if 0 not in values.values() and all(map(_is_seen, _outer(penalty, values), found, (-1, 1))):
            return found
        return _slope_limits(exact(penalty, values), {})


def _slope_limits(penalty, values):
    pieces = penalty.pieces(values)
    return _slope_limit(pieces[0], penalty.low, values, -1), _slope_limit(
        pieces[-1], penalty.high, values, 1
    )


def _outer(penalty, values):
    curves = penalty.curves(values)
    return curves[0], curves[-1]


def _is_seen(curve, slope, sign):
    """Whether the outer slopes of a curve tell of this limit, or its support ends before."""
    end = curve.low if sign < 0 else curve.high
    if np.isfinite(end) or np.isfinite(slope):
        return True
    near, far = np.abs(curve.slope(sign * 2.0 ** np.array([20.0, 40.0])))
    return bool(far > 1.5 * near)


def _slope_limit(piece, end, values, sign):
    if not end.is_infinite:
        return sign * np.inf
    limit = piece.slope if not piece.slope.has(Z) else piece.at(end, 1)
    try:
        found = float(limit) if limit.is_infinite else number(limit, values)
    except TypeError:
        return sign * np.inf
    return found if isinstance(found, float) and not np.isnan(found) else sign * np.inf


def conjugate(penalty, values, v):
    """``sup_z v z - phi(z)`` of a convex penalty for an array ``v``: never below.

    Infinite where the slope of ``phi`` does not reach ``v``.
    """
    v = np.asarray(v, dtype=np.float64)
    best = np.full(v.shape, -np.inf)
    for end, level in penalty.joint_values(values):
        if np.isfinite(level):
            best = np.maximum(best, v * end - level)
    for curve in penalty.curves(values):
        with np.errstate(all="ignore"):
            best = np.maximum(best, _supremum(curve, v))
    return best


def _supremum(curve, v):
    """The supremum over one curve; ``-inf`` where an end of the curve, a joint, has it."""
    low, high, unreached = _bracket(curve, v)
    found = np.where(unreached, np.inf, -np.inf)
    beyond = np.zeros(v.shape, dtype=bool)
    for at, end, sign in ((low, curve.low, -1), (high, curve.high, 1)):
        here = ~unreached & ~(sign * (curve.slope(at) - v) >= 0)
        beyond |= here
        # between an end without a slope and a point beside it phi lies above the tangent there
        terms = v * at, -curve.value(at), (v - curve.slope(at)) * (end - at)
        rest = sum(terms) + _ROUNDING * sum(map(np.abs, terms))
        here &= at != end
        found[here] = np.where(np.isnan(rest), np.inf, rest)[here]
    inside = ~(unreached | beyond)
    a, b = _slope_inverse(curve, v[inside], low[inside], high[inside])
    z = 0.5 * (a + b)
    # by convexity phi lies above its tangent at z, and the maximiser between a and b
    left_open = np.abs(v[inside] - curve.slope(z)) * (b - a)
    line, level = v[inside] * z, curve.value(z)
    lost = _ROUNDING * (np.abs(line) + np.abs(level))  # far out the two cancel
    reached = line - level + lost + np.where(a < b, left_open, 0.0)
    found[inside] = np.where(np.isnan(reached), np.inf, reached)
    return found


def _bracket(curve, v):
    """``(low, high, unreached)``: where the slope passes ``v``, and whether it never does."""
    origin = next((end for end in (curve.low, curve.high) if np.isfinite(end)), 0.0)
    ends, unreached = [], np.zeros(v.shape, dtype=bool)
    for end, sign in ((curve.low, -1), (curve.high, 1)):
        at = np.full(v.shape, end if np.isfinite(end) else origin + sign)
        if not np.isfinite(end):
            for reach in 2.0 ** np.r_[0:40, 40:500:10]:
                # where the slope is no number any more, no maximiser was found
                short = ~(sign * (curve.slope(at) - v) >= 0)
                if not short.any():
                    break
                at = np.where(short, origin + sign * reach, at)
            unreached |= ~(sign * (curve.slope(at) - v) >= 0)
        ends.append(_inwards(curve, at, end))
    return *ends, unreached


def _inwards(curve, at, end):
    """Off an end of the curve by as little as leaves its slope a number."""
    width = min(curve.high - curve.low, 1.0)
    if not np.isfinite(end) or not np.isnan(curve.slope(np.array([end]))[0]):
        return at
    return at + (1e-13 * width if end == curve.low else -1e-13 * width)


def _slope_inverse(curve, v, a, b):
    """Neighbours between which the nondecreasing slope of a curve passes ``v``.

    Bisection by size and on the line in turns, with Newton's method in between.
    """
    if curve.is_affine:
        slope, bend = float(curve.slope(np.zeros(1))[0]), float(curve.curvature(np.zeros(1))[0])
        z = np.clip((v - slope) / bend, a, b) if bend > 0 else np.where(v > slope, b, a)
        return z, z
    for k in range(260):
        middle = 0.5 * (a + b)
        if k % 3 == 0:  # many scales: halve the exponents
            by_size = np.sign(a + b) * np.sqrt(np.abs(a) + 1e-300) * np.sqrt(np.abs(b) + 1e-300)
            middle = np.where((by_size > a) & (by_size < b), by_size, middle)
        elif k % 3 == 1:
            bend = curve.curvature(middle)
            newton = middle - (curve.slope(middle) - v) / bend
            middle = np.where((bend > 0) & (newton > a) & (newton < b), newton, middle)
        below = curve.slope(middle) < v
        a, b = np.where(below, middle, a), np.where(below, b, middle)
        if (b - a <= 4e-16 * np.maximum(np.abs(a), np.abs(b))).all():
            break
    return a, b
