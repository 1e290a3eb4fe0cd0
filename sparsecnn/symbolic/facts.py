"""What a layer and a duality gap need of a scalar penalty at given parameters.

Convexity, dead zones, tails, the conjugate, and the derivatives of the prox. Knows no prior.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import sympy as sp

from .penalty import SYMBOLS, Z, number, numeric

_FAR = 1e8


def facts(penalty, values):
    """Predicates of a penalty at parameter values.

    Returns
    -------
    dict of bool
        ``convex``, ``nonnegative`` (support), ``sparse`` (a dead zone at zero), ``proper``
        (``exp(-phi)`` has a finite integral, judged by its tails), ``homogeneous``.
    """
    curves = penalty.curves(values)
    joints = dict(penalty.joint_values(values))
    low, high = number(penalty.low, values), number(penalty.high, values)
    return {
        "convex": is_convex(curves, joints),
        "nonnegative": low >= 0,
        "sparse": _has_dead_zone(penalty.envelope(values)),
        "proper": all(_tail_is_integrable(c, end) for c, end in ((curves[0], -1), (curves[-1], 1))),
        "homogeneous": _is_homogeneous(penalty, values, low, high),
    }


def is_convex(curves, joints):
    """Whether slopes increase along and across the pieces (on the curves' own grids)."""
    for curve in curves:
        bend = curve.curvature(curve.grid)
        if not (bend >= -1e-9 * (1 + np.abs(bend))).all():
            return False
        for end in (curve.low, curve.high):
            limit = float(curve.value(np.array([end]))[0]) if np.isfinite(end) else np.nan
            if np.isfinite(limit) and limit - joints[end] > 1e-9 * max(1.0, abs(limit)):
                return False
    for left, right in itertools.pairwise(curves):
        before, after = _end(left, left.high, 1), _end(right, right.low, 0)
        if not np.isfinite(joints[left.high]) or before == np.inf or after == -np.inf:
            return False
        if np.isfinite(after) and before > after + 1e-9 * max(1.0, abs(after)):
            return False
    return True


def _end(curve, z, side):
    known = curve.end_slopes[side]
    if not np.isnan(known):
        return known
    return float(curve.slope(np.array([z]))[0])


def _has_dead_zone(envelope):
    ends = [*envelope.starts, np.inf]
    return any(
        b.is_joint and b.low == 0 and end - b.start > 1e-12 * max(1.0, abs(end))
        for b, end in zip(envelope.branches, ends, strict=True)
    )


def _tail_is_integrable(curve, end):
    """``phi`` grows faster than ``log |z|`` towards an infinite end."""
    edge = curve.low if end < 0 else curve.high
    if np.isfinite(edge):
        return True
    far = end * np.array([1e4, 1e6, 1e8])
    growth = far * curve.slope(far)
    return bool((growth > 1 + 1e-6).all())


def _is_homogeneous(penalty, values, low, high):
    cone = (low == -np.inf or low == 0) and (high == np.inf or high == 0)
    z = np.array([0.3, 1.7, -0.3, -1.7])
    z = z[(z > low) & (z < high)]
    if not cone:
        return False
    once, twice = penalty.evaluate(z, values), penalty.evaluate(2.5 * z, values)
    return bool(np.allclose(twice, 2.5 * once, rtol=1e-12, atol=1e-12))


def slopes_at_infinity(penalty, values):
    """Slopes of a convex penalty at minus and plus infinity: the domain of its conjugate."""
    with SYMBOLS:
        pieces = penalty.pieces(values)
        return tuple(
            _slope_limit(piece, end, values, sign)
            for piece, end, sign in ((pieces[0], penalty.low, -1), (pieces[-1], penalty.high, 1))
        )


def _slope_limit(piece, end, values, sign):
    if not end.is_infinite:
        return sign * np.inf
    limit = piece.at(end, 1)
    if limit.is_infinite:
        return float(limit)
    try:
        found = number(limit, values)
        if np.isfinite(found):
            return found
    except TypeError:
        pass
    slope = numeric(piece.slope, (Z, *sorted(piece.slope.free_symbols - {Z}, key=str)))
    names = [s.name for s in sorted(piece.slope.free_symbols - {Z}, key=str)]
    near, far = slope(sign * np.array([_FAR, _FAR**2]), *[values[n] for n in names])
    settled = abs(far - near) <= 1e-6 * max(1.0, abs(near))
    return float(far) if settled else sign * np.inf


def conjugate(penalty, values, v):
    """``sup_z v z - phi(z)`` of a convex penalty, for an array ``v`` in the closed domain."""
    v = np.asarray(v, dtype=np.float64)
    best = np.full(v.shape, -np.inf)
    for end, level in penalty.joint_values(values):
        if np.isfinite(level):
            best = np.maximum(best, v * end - level)
    for curve in penalty.curves(values):
        z = _slope_inverse(curve, v)
        with np.errstate(all="ignore"):
            reached = v * z - curve.value(z)
            before = 0.01 * v * z - curve.value(0.01 * z)
        runaway = (np.abs(z) > 1e14) & (reached > before + 1e-3)  # the supremum is at infinity
        reached = np.where(runaway, np.inf, np.where(np.isnan(reached), -np.inf, reached))
        best = np.maximum(best, reached)
    return best


def _slope_inverse(curve, v):
    """Where the nondecreasing slope of a curve passes ``v``: bisection, then Newton's method."""
    if curve.is_affine:
        return _affine_slope_inverse(curve, v)
    a, b = _finite_bracket(curve, v)
    with np.errstate(all="ignore"):
        for k in range(200):
            middle = 0.5 * (a + b)
            if k > 3:
                bend = curve.curvature(middle)
                newton = middle - (curve.slope(middle) - v) / bend
                middle = np.where((bend > 0) & (newton > a) & (newton < b), newton, middle)
            below = curve.slope(middle) < v
            moved = np.where(below, middle - a, b - middle)
            a, b = np.where(below, middle, a), np.where(below, b, middle)
            if (np.abs(moved) <= 1e-16 * np.abs(middle)).all():
                break
            if k % 3 == 2:  # plain halving now and then: Newton may approach from one side only
                middle = 0.5 * (a + b)
                below = curve.slope(middle) < v
                a, b = np.where(below, middle, a), np.where(below, b, middle)
    return 0.5 * (a + b)


def _affine_slope_inverse(curve, v):
    slope, bend = float(curve.slope(np.zeros(1))[0]), float(curve.curvature(np.zeros(1))[0])
    if bend > 0:
        return np.clip((v - slope) / bend, curve.low, curve.high)
    finite = [end for end in (curve.low, curve.high) if np.isfinite(end)] or [0.0]
    return np.where(v > slope, finite[-1], finite[0])


def _finite_bracket(curve, v):
    reach = np.ones(v.shape)
    low = curve.low if np.isfinite(curve.low) else min(curve.high, 0.0)
    high = curve.high if np.isfinite(curve.high) else max(curve.low, 0.0)
    a, b = np.full(v.shape, low), np.full(v.shape, high)
    with np.errstate(all="ignore"):
        for _ in range(400):
            short = np.zeros(v.shape, dtype=bool)
            if curve.high == np.inf:
                b = high + reach
                short |= curve.slope(b) < v
            if curve.low == -np.inf:
                a = low - reach
                short |= curve.slope(a) > v
            short &= reach < 1e15
            if not short.any():
                break
            reach = np.where(short, 4 * reach, reach)
    return a, b


# -- derivatives of the prox ----------------------------------------------------------------
@functools.lru_cache(maxsize=256)
def _mixed(piece, parameters):
    """``d phi' / d parameter`` of a piece, one function each."""
    return [numeric(sp.diff(piece.slope, p), (Z, *parameters)) for p in parameters]


@functools.lru_cache(maxsize=1024)
def _derivative_plan(penalty, key):
    """Per piece ``d phi' / d parameter`` as functions; per joint its derivatives as numbers."""
    values = dict(key)
    with SYMBOLS:
        mixed = [_mixed(piece, penalty.parameters) for piece in penalty.pieces(values)]
        finite = np.isfinite([value for _, value in penalty.joint_values(values)])
        motions = [
            [number(sp.diff(end, p), values) for p in penalty.parameters]
            for (end, _), known in zip(penalty.joints(values), finite, strict=True)
            if known
        ]
    return mixed, motions


def prox_derivatives(penalty, values, step, x, envelope):
    """Derivatives of ``prox_{step phi}`` where it is differentiable.

    Implicit differentiation of ``z + step phi'(z) = x``; a joint moves with its own parameters.

    Returns
    -------
    list of array
        In ``x``, in ``step``, and in every parameter.
    """
    z, which = envelope.prox(x)
    results = [np.zeros(z.shape) for _ in range(2 + len(penalty.parameters))]
    mixed_slopes, motions = _derivative_plan(penalty, tuple(values.items()))
    arguments = [values[name] for name in penalty.names]
    for k, branch in enumerate(envelope.branches):
        here = which == k
        if not here.any():
            continue
        if branch.is_joint:
            for result, motion in zip(results[2:], motions[branch.index], strict=True):
                result[here] = motion
            continue
        inside = z[here]
        gain = 1 / (1 + branch.curve.curvature(inside))
        results[0][here] = gain
        results[1][here] = -gain * branch.curve.slope(inside) / step
        for result, mixed in zip(results[2:], mixed_slopes[branch.index], strict=True):
            result[here] = -gain * step * mixed(inside, *arguments)
    return results
