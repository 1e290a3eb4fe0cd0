"""Where a penalty is looked at: points close enough together that no bend of it is overlooked.

Every scale around zero, the ends, and each place the formula itself points to (zeros of its
sub-expressions and of their slopes); eight points a radian of what stands inside a sine; more where
``phi'`` is not what its neighbours say; and the extrema of ``phi''``. This is looking, no proof:
beyond some hundred periods an oscillation on an unbounded support is only sampled, and so is what
neither the formula's first sub-expressions nor ``phi'`` between the points betrays. Knows no prior.
"""

from __future__ import annotations

import functools

import numpy as np
import sympy as sp

from ..validation import InputError

FAR = 1e12
_MOST_PARTS = 80
_MOST_FLIPS, _MOST_MARKS = 12, 48
_MOST_POINTS = 30_000
_PERIODIC = (sp.sin, sp.cos, sp.tan)


@functools.lru_cache(maxsize=512)
def parts_of(expression, variable, parameters):
    """What a formula is made of: sub-expressions with their slopes, and the insides of sines.

    Returns
    -------
    (callable, callable)
        Functions of ``(z, *parameters)`` with a list of arrays each.
    """
    inside = [e for e in sp.preorder_traversal(expression) if e.has(variable)][1:]
    inside = [variable, *dict.fromkeys(e for e in inside if e != variable)][:_MOST_PARTS]
    slopes = [sp.diff(e, variable) for e in inside]
    phases = dict.fromkeys(f.args[0] for f in expression.atoms(*_PERIODIC) if f.has(variable))
    groups = inside + [s for s in slopes if s.has(variable)], list(phases)
    return tuple(
        sp.lambdify((variable, *parameters), group, modules=["scipy", "numpy"]) for group in groups
    )


def points_of(curve, parts, phases):
    """The grid of a curve, whatever weight it gets.

    Parameters
    ----------
    curve : Curve
    parts, phases : callable
        As ``parts_of`` gives them, of ``z`` alone.

    Returns
    -------
    array
        Interior points in increasing order, at which ``phi''`` is a number.

    Raises
    ------
    InputError
        If the formula is not real somewhere, or oscillates too fast to be followed.
    """
    low, high = curve.low, curve.high
    grid = interior_grid(low, high)
    with np.errstate(all="ignore"):
        if curve.is_affine:
            return _real(curve, grid)
        marks = np.empty(0)
        for _ in range(2):  # what is close together shows only on the grid around it
            marks = np.union1d(marks, _zeros(parts, grid, marks))
            if marks.size > _MOST_MARKS:
                raise InputError(
                    f"phi may bend at {marks.size} places of its own; expected at most "
                    f"{_MOST_MARKS}. Write it with fewer terms."
                )
            grid = np.union1d(grid, _around(marks, low, high))
        grid = _real(curve, _follow(phases, grid, np.isfinite(high - low)))
        grid = grid[~np.isnan(curve.curvature(grid))]
        grid = _refined(curve, grid)
        return np.union1d(grid, _extrema(curve.curvature, grid))


def interior_grid(low, high):
    """Interior points of an interval at every scale."""
    if np.isfinite(low) and np.isfinite(high):
        near = np.geomspace(1e-12, 0.4, 120)
        unit = np.unique(np.concatenate([near, np.linspace(0, 1, 259)[1:-1], 1 - near]))
        points = low + (high - low) * unit
    else:
        reach = np.geomspace(1e-12, FAR, 24 * 24 + 1)
        if np.isfinite(low):
            points = low + reach
        elif np.isfinite(high):
            points = high - reach[::-1]
        else:
            points = np.concatenate([-reach[::-1], [0.0], reach])
    return np.unique(points[(points > low) & (points < high)])


def _around(marks, low, high):
    """Each mark with points at every scale on both sides."""
    reach = np.geomspace(1e-14, FAR, 26 * 16 + 1)
    offsets = np.concatenate([-reach, [0.0], reach])
    points = (marks[:, None] + offsets).ravel()
    return points[(points > low) & (points < high)]


def _zeros(parts, grid, known):
    """Where a part changes its sign between unknown points of the grid, if only a few times."""
    table = _table(parts, grid)
    up = table > 0
    old = np.isin(grid, known)
    flips = (up[:, 1:] != up[:, :-1]) & ~(old[1:] | old[:-1])
    flips &= np.isfinite(table[:, 1:]) & np.isfinite(table[:, :-1])
    row, cell = np.nonzero(flips & (flips.sum(axis=1) <= _MOST_FLIPS)[:, None])
    if not row.size:
        return np.empty(0)
    a, b, f_a, f_b = grid[cell], grid[cell + 1], table[row, cell], table[row, cell + 1]
    column, size = np.arange(row.size), np.abs(f_a) + np.abs(f_b)
    for k in range(110):
        secant = a - f_a * (b - a) / (f_b - f_a)
        found = np.where((secant > a) & (secant < b) & (k % 3 != 2), secant, 0.5 * (a + b))
        f = _table(parts, found)[row, column]
        if ((np.abs(f) <= 4e-14 * size) | (b - a <= 4e-16 * np.abs(found))).all():
            break
        left = (f > 0) == (f_a > 0)
        a, f_a = np.where(left, found, a), np.where(left, f, f_a)
        b, f_b = np.where(left, b, found), np.where(left, f_b, f)
    return np.unique(found)


def _table(functions, grid):
    rows = [np.broadcast_to(np.asarray(f), grid.shape) for f in functions(grid)]
    return np.stack([np.where(np.imag(r) == 0, np.real(r), np.nan) for r in rows]).astype(float)


def _real(curve, grid):
    """The points at which ``phi`` is a number: all but single ones, or it is no penalty."""
    bad = np.isnan(curve.value(grid))
    if (bad[1:] & bad[:-1]).any() or bad.all():
        raise InputError(
            f"phi is not a real number at z = {grid[bad][0]:.4g}; expected a real formula on the "
            "whole support. Restrict the support, or use abs(z) inside."
        )
    return grid[~bad]


def _follow(phases, grid, is_bounded):
    """More points where what stands inside a sine moves by more than an eighth between two."""
    if not len(phases(grid[:1])):
        return grid
    moves = np.abs(np.diff(_table(phases, grid), axis=1)).max(axis=0)
    count = np.ceil(8 * np.where(np.isfinite(moves), moves, np.inf))
    within = np.zeros(count.size, dtype=bool)
    order = np.argsort(count, kind="stable")
    within[order[np.cumsum(count[order]) <= _MOST_POINTS]] = True
    if is_bounded and not within.all():
        raise InputError(
            f"phi oscillates some {moves.sum() / 6.3:.3g} times on its support, too often to find "
            "every minimum; expected a slower sine. Lower its frequency, or narrow the support."
        )
    count = np.where(within, count, 1).astype(int)
    return np.unique(np.concatenate([_split(grid, k, np.flatnonzero(count == k)) for k in
                                     np.unique(count)] + [grid]))  # fmt: skip


def _split(grid, n, cells):
    """``n - 1`` equally spaced points inside each of the cells."""
    low, high = grid[cells], grid[cells + 1]
    return (low[:, None] + (high - low)[:, None] * (np.arange(1, n) / n)).ravel()


def _refined(curve, grid):
    """Cells halved where ``phi'`` in the middle is not what both ends say, to a hundredth."""
    slope, bend = curve.slope(grid), curve.curvature(grid)
    cells = np.arange(grid.size - 1)
    new = [grid]
    a, b, s_a, s_b, k_a, k_b = (v[i] for v in (grid, slope, bend) for i in (cells, cells + 1))
    for _ in range(40):
        middle, width = 0.5 * (a + b), b - a
        s, k = curve.slope(middle), curve.curvature(middle)
        off = np.abs(s - 0.5 * (s_a + s_b) - width * (k_a - k_b) / 8)
        off -= 1e-14 * (np.abs(s_a) + np.abs(s_b))  # rounding
        scale = 1 + np.abs(k_a) + np.abs(k_b) + np.abs(k)
        open_ = (off > 1e-2 * width * scale) | (np.abs(k - 0.5 * (k_a + k_b)) > 0.1 * scale)
        open_ &= (middle > a) & (middle < b) & (width > 1e-13 * np.abs(middle))
        open_ &= np.isfinite(s) & np.isfinite(k)
        if not open_.any() or 2 * open_.sum() > _MOST_POINTS:
            break
        a, middle, b, s_a, s, s_b, k_a, k, k_b = (
            v[open_] for v in (a, middle, b, s_a, s, s_b, k_a, k, k_b)
        )
        new.append(middle)
        if sum(v.size for v in new) > 2 * _MOST_POINTS:
            break
        a, b = np.concatenate([a, middle]), np.concatenate([middle, b])
        s_a, s_b = np.concatenate([s_a, s]), np.concatenate([s, s_b])
        k_a, k_b = np.concatenate([k_a, k]), np.concatenate([k, k_b])
    return np.unique(np.concatenate(new))


def _extrema(function, grid):
    """Where a function has its local extrema, from three neighbours with the middle one outmost."""
    values = function(grid)
    left, right = values[1:-1] - values[:-2], values[1:-1] - values[2:]
    least = 1e-10 * (1 + np.abs(values[1:-1]))
    sign = np.where((left > least) & (right > least), -1.0, 0.0)
    sign = np.where((left < -least) & (right < -least), 1.0, sign)
    where = np.flatnonzero(sign)
    sign, a, z, b = sign[where], grid[where], grid[where + 1], grid[where + 2]
    best = sign * values[where + 1]
    for _ in range(45):  # golden section: the best point stays, the longer side is divided
        right = b - z > z - a
        trial = z + 0.381966 * np.where(right, b - z, a - z)
        value = sign * function(trial)
        better = value < best
        a = np.where(better & right, z, np.where(~better & ~right, trial, a))
        b = np.where(better & ~right, z, np.where(~better & right, trial, b))
        z, best = np.where(better, trial, z), np.where(better, value, best)
    return z
