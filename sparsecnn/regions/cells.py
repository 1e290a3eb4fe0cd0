"""Cells of arrangements with an interior point each: many small linear programs at once.

A cell is a batch of inequalities ``rows @ (x, 1) > 0`` with normals of length one, and a point that
satisfies them all. Whether a hyperplane cuts it is one linear program; the simplex method below
solves thousands of them in step, and HiGHS decides the few that rounding leaves open. Knows nothing
of networks.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

#: a cell counts when a ball of this radius, or a point this deep, fits into it
THIN = 1e-9
#: programs whose optimum lies this close to zero are decided by HiGHS
UNSURE = 1e-7
#: distance from the origin up to which hyperplanes are told from constant functions
FARTHEST = 2e12
#: normals shorter than this are rounding, where the layers' weights have sums near one
NOISE = 1e-14
_EPS = 1e-11
_FAR = 1e6


def lowest(rows, points, objective):
    """Minimise one affine function over each cell, starting from its interior point.

    Parameters
    ----------
    rows : array of shape (n_cells, n_rows, n + 1)
    points : array of shape (n_cells, n)
    objective : array of shape (n_cells, n + 1)
        Positive at the cell's point, normal of length one.

    Returns
    -------
    values : array of shape (n_cells,)
        The minimum, or the first value found below minus the value at the point.
    targets : array of shape (n_cells, n)
        Where it is taken.
    """
    n_cells, m, n = len(rows), rows.shape[1], points.shape[1]
    values, targets = np.zeros(n_cells), points.copy()
    if not n_cells:
        return values, targets
    table = np.empty((n_cells, m + 1, n + 1))
    table[:, :m, 1:], table[:, m, 1:] = rows[:, :, :n], objective[:, :n]
    homogeneous = np.concatenate([points, np.ones((n_cells, 1))], axis=1)[:, :, None]
    table[:, :m, 0] = (rows @ homogeneous)[..., 0]
    table[:, m, 0] = (objective * homogeneous[..., 0]).sum(axis=1)
    run = _Run(table, n)
    goal = -table[:, m, 0].copy()
    for _ in range(50 + 5 * (m + n)):
        finished = run.step(goal)
        if finished is not None:
            where, value, step = finished
            values[where], targets[where] = value, points[where] + step
        if not len(run.ids):
            return values, targets
    values[run.ids] = np.nan  # no decision: left to HiGHS
    return values, targets


class _Run:
    """A batch of dictionaries: basic variables as affine functions of the ``n`` non-basic ones.

    Columns start as the free coordinates of the step away from the point, rows as slacks; the last
    row is the objective. ``basic`` holds a row's variable (slack ``-1``, coordinate ``j``),
    ``free`` a column's coordinate or -1, ``sign`` its orientation.
    """

    def __init__(self, table, n):
        count, m = len(table), table.shape[1] - 1
        self.table, self.n = table, n
        self.ids = np.arange(count)
        self.basic = np.full((count, m), -1)
        self.column = np.tile(np.arange(n), (count, 1))
        self.sign = np.ones((count, n))

    def step(self, goal):
        """One pivot for each unfinished program; return those that finished, if any."""
        table, m = self.table, self.table.shape[1] - 1
        k = np.arange(len(table))
        cost = table[:, m, 1:]
        score = np.where(self.column >= 0, np.abs(cost) * 1e3, -cost)
        enter = score.argmax(axis=1)
        done = (score[k, enter] < _EPS) | (table[:, m, 0] < goal[self.ids])
        flip = (self.column[k, enter] >= 0) & (cost[k, enter] > 0)
        turned = k[flip & ~done]
        table[turned, :, 1 + enter[turned]] *= -1
        self.sign[turned, enter[turned]] *= -1
        column = table[k, :m, 1 + enter]
        blocks = (column < -_EPS) & (self.basic < 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(blocks, np.maximum(table[:, :m, 0], 0) / -column, np.inf)
        leave = ratio.argmin(axis=1) if m else np.zeros(len(k), dtype=int)
        endless = ~done & (~blocks.any(axis=1) if m else True)
        stop = done | endless
        result = self._finish(np.flatnonzero(stop), endless, enter) if stop.any() else None
        keep = np.flatnonzero(~stop)
        self._pivot(keep, enter[keep], leave[keep])
        return result

    def _finish(self, which, endless, enter):
        """Values and steps of finished programs; an endless one goes on until well below zero."""
        table, m = self.table[which], self.table.shape[1] - 1
        value = table[:, m, 0].copy()
        j = enter[which]
        rows = np.arange(len(which))
        slope = table[rows, m, 1 + j]
        length = np.where(endless[which], (1 + 2 * np.abs(value)) / np.maximum(-slope, _EPS), 0.0)
        steps = np.zeros((len(which), self.n))
        basics = table[:, :m, 0] + table[rows, :m, 1 + j] * length[:, None]
        r, row = np.nonzero(self.basic[which] >= 0)
        variable = self.basic[which][r, row]
        steps[r, variable % self.n] = basics[r, row] * np.where(variable >= self.n, -1.0, 1.0)
        outside = (self.column[which, j] >= 0) & endless[which]
        steps[rows[outside], self.column[which, j][outside]] = (
            length[outside] * self.sign[which, j][outside]
        )
        return self.ids[which], value + slope * length, steps

    def _pivot(self, keep, enter, leave):
        """Exchange one row and one column of every kept dictionary, and drop the others."""
        k = np.arange(len(keep))
        table = self.table[keep] if len(keep) < len(self.table) else self.table
        basic, column = self.basic[keep], self.column[keep]
        sign = self.sign[keep]
        if len(keep):
            pivot = table[k, leave, 1 + enter]
            row = table[k, leave] / -pivot[:, None]
            row[k, 1 + enter] = 1 / pivot
            factor = table[k, :, 1 + enter]
            table[k, :, 1 + enter] = 0
            table += factor[:, :, None] * row[:, None, :]
            table[k, leave] = row
            entering = column[k, enter]
            orientation = np.where(sign[k, enter] < 0, self.n, 0)
            basic[k, leave] = np.where(entering >= 0, entering + orientation, -1)
            column[k, enter] = -1
            sign[k, enter] = 1
        self.table, self.basic, self.column, self.sign = table, basic, column, sign
        self.ids = self.ids[keep]


def deepest(rows):
    """Return depth and centre of the deepest ball (radius at most one) in a cell, by HiGHS."""
    n = rows.shape[1] - 1
    result = linprog(
        np.r_[np.zeros(n), -1.0],
        A_ub=np.column_stack([-rows[:, :n], np.ones(len(rows))]) if len(rows) else None,
        b_ub=rows[:, n] if len(rows) else None,
        bounds=[(None, None)] * n + [(None, 1.0)],
        method="highs",
    )
    if result.status != 0:
        return -np.inf, np.zeros(n)
    return result.x[n], result.x[:n]


def depths(rows, points):
    """Return the distance of each point to each of its cell's walls."""
    return np.einsum("cmn,cn->cm", rows[:, :, :-1], points) + rows[:, :, -1]


def centre(rows, points, rounds=2):
    """Move points away from their nearest walls: the middle of the chord along that normal."""
    k = np.arange(len(points))
    for _ in range(rounds if rows.shape[1] else 0):
        room = depths(rows, points)
        direction = rows[k, room.argmin(axis=1), :-1]
        slope = np.einsum("cmn,cn->cm", rows[:, :, :-1], direction)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = room / -slope
        ahead = np.where(slope < -_EPS, reach, _FAR).min(axis=1)
        behind = np.where(slope > _EPS, reach, -_FAR).max(axis=1)
        length = np.minimum((ahead + behind) / 2, 1.0)
        points = points + np.maximum(length, 0)[:, None] * direction
    return points


def normalised(functions):
    """Return affine functions with normals of length one; zero where the function is constant."""
    length = np.linalg.norm(functions[:, :-1], axis=1)
    moves = length > np.maximum(NOISE, np.abs(functions[:, -1]) / FARTHEST)
    return np.where(moves[:, None], functions / np.where(moves, length, 1.0)[:, None], 0.0)


def cut(rows, points, functions):
    """Tell which cells an affine function cuts, with a point on either side.

    Parameters
    ----------
    rows, points
        The cells.
    functions : array of shape (n_cells, n + 1)
        One affine function per cell, not normalised; constants are allowed and cut nothing.

    Returns
    -------
    sides : bool array of shape (n_cells,)
        Whether the function is positive at the (possibly moved) own point.
    is_cut : bool array of shape (n_cells,)
    points, others : arrays of shape (n_cells, n)
        Own points, moved off the hyperplane where they lay on it; points of the other side.
    unit : array of shape (n_cells, n + 1)
        The functions with normals of length one; zero where the function is constant.
    """
    unit = normalised(functions)
    moves = unit[:, :-1].any(axis=1)
    points, value = _off_the_wall(rows, points, unit, moves)
    sides = np.where(moves, value > 0, functions[:, -1] > 0)
    is_cut, others = np.zeros(len(points), dtype=bool), points.copy()
    some = np.flatnonzero(moves)
    facing = unit[some] * np.where(sides[some], 1.0, -1.0)[:, None]
    lows, targets = lowest(rows[some], points[some], facing)
    start = np.abs(value[some])
    is_cut[some] = lows < -UNSURE
    share = (start / np.where(is_cut[some], start - lows, 1.0) + 1) / 2
    middle = points[some] + share[:, None] * (targets - points[some])
    others[some] = middle
    flipped = np.concatenate([rows[some], -facing[:, None]], axis=1)
    bad = is_cut[some] & ~(depths(flipped, middle) > 0).all(axis=1)
    for c in np.flatnonzero(bad | ~(np.abs(lows) > UNSURE)):
        depth, spot = deepest(flipped[c])
        is_cut[some[c]], others[some[c]] = depth > THIN, spot
    hit = np.flatnonzero(is_cut[some])
    others[some[hit]] = centre(flipped[hit], others[some[hit]])
    return sides, is_cut, points, others, unit


def _off_the_wall(rows, points, unit, moves):
    """Points that lie on the hyperplane go half their room along its normal."""
    value = (unit[:, :-1] * points).sum(axis=1) + unit[:, -1]
    on = np.flatnonzero(moves & (np.abs(value) < THIN))
    if len(on):
        room = depths(rows[on], points[on]).min(axis=1, initial=1.0)
        points = points.copy()
        points[on] += (room / 2)[:, None] * unit[on, :-1]
        value[on] = (unit[on, :-1] * points[on]).sum(axis=1) + unit[on, -1]
    return points, value
