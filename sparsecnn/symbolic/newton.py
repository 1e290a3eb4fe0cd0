"""The inverse of ``F(z) = z + phi'(z)`` where it increases: Newton's method that cannot get lost.

Newton's steps are taken only inside the open bracket and only while they shrink; else the bracket
is halved, in turns between the floats (by size) and on the line. What comes out is checked.
"""

from __future__ import annotations

import numpy as np

from ..validation import InputError

_CHUNK = 8192
_SMALL_STEP = 1e-10
_TINY = 1e-300
#: what of ``|x| + |z| + |phi'(z)|`` the equation may miss, and how near a change of sign must be
_RESIDUAL = 1e-9
_MOST_STEPS = 400


def invert(curve, x, low, high, inverse=None):
    """Solve ``F(z) = x`` entrywise for ``F`` increasing on ``(low, high)``.

    Parameters
    ----------
    curve : Curve
    x : array
        Between the values of ``F`` at the two ends.
    low, high : float
        Ends of the stretch, possibly infinite.
    inverse : callable, optional
        A closed form to start from.

    Raises
    ------
    InputError
        If an equation stays unsolved: ``F`` does not increase as it should, or is not a number.
    """
    with np.errstate(all="ignore"):
        if curve.is_affine:
            origin = np.zeros(1)
            z = (x - curve.slope(origin)) / (1 + curve.curvature(origin))
            return np.clip(z, low, high)
        z = np.empty(x.shape)
        for k in range(0, x.size, _CHUNK):  # short enough to stay in the processor's cache
            part = slice(k, k + _CHUNK)
            z[part] = _newton(curve, x[part], low, high, inverse)
            _check(curve, x[part], z[part], low, high)
    return z


def _newton(curve, x, low, high, inverse):
    """Inputs that are done drop out."""
    z, left = np.full(x.shape, np.nan), np.arange(x.size)
    if inverse is not None:
        start = inverse(x)
        ends = np.full(x.shape, low), np.full(x.shape, high)
        z, done, *_ = _step(curve, x, start, *ends, np.full(x.shape, np.inf), False)
        left = np.flatnonzero(~(done & np.isfinite(z)))
        if not left.size:
            return z
        x = x[left]
    a, b = _bracket(curve, x, low, high)
    here = np.clip(x, a + 1e-3 * (b - a), b - 1e-3 * (b - a))
    last = before = b - a
    for k in range(_MOST_STEPS):
        here, done, a, b, moved = _step(curve, x, here, a, b, before, k % 2)
        z[left] = here
        moving = ~done & (b - a > 2e-16 * np.maximum(np.abs(a), np.abs(b)) + _TINY)
        if not moving.any():
            break
        before, last = (last, moved) if moving.all() else (last[moving], moved[moving])
        if not moving.all():
            a, b, x, here, left = a[moving], b[moving], x[moving], here[moving], left[moving]
    return z


def _step(curve, x, z, a, b, before, by_size):
    """One step from ``z``: what follows, where it is done, the new bracket, how far it went.

    ``before`` is the step before the last: Newton's must be at most half of it. Errors square from
    one such step to the next, so after one that is small against ``z`` and the distance to the ends
    of the curve (where ``F`` may be singular) the next one is none.
    """
    excess = curve.forward(z) - x
    excess = np.where(np.isnan(excess), z, excess)  # overflow, far out
    below = excess < 0
    a, b = np.where(below, z, a), np.where(below, b, z)
    slope = 1 + curve.curvature(z)
    newton = z - excess / slope
    good = ((newton > a) & (newton < b)) | (newton == z)
    good &= (slope > 0) & (slope < np.inf) & (np.abs(newton - z) <= 0.5 * before)
    following = np.where(good, newton, _middle(a, b) if by_size else 0.5 * (a + b))
    solved = np.abs(excess) <= 1e-16 * (np.abs(x) + np.abs(z))
    following = np.where(solved, z, following)
    size = np.abs(following)
    room = np.minimum(size, np.minimum(following - curve.low, curve.high - following))
    moved = np.abs(following - z)
    small = good & (moved <= np.minimum(_SMALL_STEP * room, 1e-3 * before))
    return following, solved | small | (good & (moved <= 4e-16 * size)), a, b, moved


def _middle(a, b):
    """The middle of the floats between ``a`` and ``b``: their geometric mean if of one sign."""
    floor = np.log(_TINY)
    scale = [np.sign(v) * np.maximum(np.log(np.abs(v)) - floor, 0.0) for v in (a, b)]
    middle = 0.5 * (np.where(a == 0, 0.0, scale[0]) + np.where(b == 0, 0.0, scale[1]))
    middle = np.where(middle < 0, -1.0, 1.0) * np.exp(np.abs(middle) + floor)
    return np.where((middle > a) & (middle < b), middle, 0.5 * (a + b))


def _bracket(curve, x, low, high):
    a, b = np.full(x.shape, low), np.full(x.shape, high)
    for end, sign in ((high, 1), (low, -1)):
        if np.isfinite(end):
            continue
        other = low if sign > 0 else high
        origin = other if np.isfinite(other) else 0.0
        reach = np.maximum(np.abs(x), 1.0)
        for _ in range(1000):
            short = sign * (curve.forward(origin + sign * reach) - x) < 0
            if not short.any():
                break
            reach = np.where(short, 2 * reach, reach)
        if sign > 0:
            b = origin + reach
        else:
            a = origin - reach
    return a, b


def _check(curve, x, z, low, high):
    """Every equation holds, or ``F - x`` changes its sign at ``z`` as nearly as floats can tell."""
    slope = curve.slope(z)
    fits = np.abs(z + slope - x) <= _RESIDUAL * (np.abs(x) + np.abs(z) + np.abs(slope))
    if fits.all():
        return
    x, z = x[~fits], z[~fits]
    width = _RESIDUAL * np.abs(z) + 10 * _TINY
    left, right = z - width, z + width
    good = (left <= low) | (curve.forward(left) <= x)
    good &= (right >= high) | (curve.forward(right) >= x)
    if not good.all():
        raise InputError(
            f"z + phi'(z) = {x[~good][0]:.6g} was not solved between z = {low:.4g} and {high:.4g}: "
            "the left side does not increase there as it should. Write phi in a form that neither "
            "cancels nor overflows, or bound the support."
        )
