"""Cells of an arrangement without a list of cells: reverse search.

Every cell but the root has a facet towards the root (the segment from any of its points to the
root's leaves it through one); crossing the first such facet, in the order of the hyperplanes, is
its parent. So the cells form a tree, and walking it needs no record of where one has been: a
neighbour is visited exactly by its parent (Avis and Fukuda 1996; Sleumer 1999; Rada and Cerny
2018). Rays find most facets and a point behind each; the linear programs of ``cells`` decide the
others. Knows nothing of networks.
"""

from __future__ import annotations

import numpy as np

from . import cells

#: cells whose neighbours are sought together
BATCH = 64
#: numbers in one batch of linear programs: thirty megabytes
LARGEST_PROGRAMS = 4_000_000
#: hyperplanes whose unit equations differ by less are one and the same
SAME = 1e-12
#: rays that meet two walls nearer to each other than this decide nothing
CLOSE = 1e-6


def reverse_search(hyperplanes, walls, random_state=0):
    """Yield the cells of an arrangement, some at a time, in memory that no cell adds to.

    Parameters
    ----------
    hyperplanes : array of shape (m, n + 1)
        ``a @ x + b = 0`` with ``(a, b)`` a row; zero, parallel and repeated ones are allowed.
    walls : array of shape (w, n + 1)
        The domain ``walls @ (x, 1) > 0``, not empty, normals of length one; no rows for the space.
    random_state : int
        Seed of the root's point.

    Yields
    ------
    signs : bool array of shape (k, m)
        On which cells each hyperplane's function is positive; its sign where it is constant.
    points : array of shape (k, n)
        A point inside each cell.

    Notes
    -----
    At most ``m BATCH`` cells of ``m + n`` numbers wait at each of at most ``m`` depths.

    References
    ----------
    Avis, Fukuda, Reverse search for enumeration, 1996. Sleumer, Output-sensitive cell enumeration
    in hyperplane arrangements, 1999. Rada, Cerny, A new algorithm for enumeration of cells of
    hyperplane arrangements and a comparison with Avis and Fukuda's reverse search, 2018.
    """
    planes, owner, facing = distinct(hyperplanes)
    constant = hyperplanes[:, -1] > 0
    root = _root(planes, walls, np.random.default_rng(random_state))
    tree = _Tree(planes, walls, planes @ np.r_[root, 1.0] > 0)
    stack = [(tree.root[None], root[None])]
    while stack:
        signs, points = stack.pop()
        if len(signs) > BATCH:
            stack.append((signs[BATCH:], points[BATCH:]))
            signs, points = signs[:BATCH], points[:BATCH]
        padded = np.concatenate([signs, np.zeros((len(signs), 1), dtype=bool)], axis=1)
        yield np.where(owner < len(planes), padded[:, owner] == facing, constant), points
        children = tree.children(signs, points)
        if len(children[0]):
            stack.append(children)


def distinct(hyperplanes):
    """Return the different hyperplanes, and where and how each given one is found among them.

    Returns
    -------
    planes : array of shape (k, n + 1)
        Normals of length one.
    owner : int array of shape (m,)
        Its number among them; ``k`` for a constant.
    facing : bool array of shape (m,)
        Whether its normal has the same direction.
    """
    units = cells.normalised(hyperplanes)
    moves = units[:, :-1].any(axis=1)
    planes = np.zeros((0, hyperplanes.shape[1]))
    owner, facing = np.full(len(hyperplanes), -1), np.ones(len(hyperplanes), dtype=bool)
    for k in np.flatnonzero(moves):
        unit = units[k]
        for sign in (1.0, -1.0):
            apart = np.abs(planes - sign * unit)
            near = (apart[:, :-1] < SAME).all(axis=1)
            # parallel ones with less than a countable cell between them are one as well
            near &= apart[:, -1] < max(2 * cells.THIN, SAME * abs(unit[-1]))
            if near.any():
                owner[k], facing[k] = near.argmax(), sign > 0
                break
        else:
            owner[k], planes = len(planes), np.vstack([planes, unit])
    owner[~moves] = len(planes)
    return planes, owner, facing


def _root(planes, walls, rng):
    """Of some random points of the domain the one farthest from every hyperplane."""
    n = planes.shape[1] - 1
    points = rng.standard_normal((64, n))
    if len(walls):
        depth, middle = cells.deepest(walls)
        points = middle + depth * points / (1 + np.linalg.norm(points, axis=1, keepdims=True))
    room = np.abs(points @ planes[:, :-1].T + planes[:, -1]).min(axis=1, initial=np.inf)
    return points[room.argmax()]


class _Tree:
    """The tree of cells below the root, whose sign vector is ``root``."""

    def __init__(self, planes, walls, root):
        self.planes, self.walls, self.root = planes, walls, root
        self.products = np.concatenate([planes, walls])[:, :-1] @ planes[:, :-1].T
        self.block = max(1, LARGEST_PROGRAMS // (len(self.products) + 1) // planes.shape[1])

    def rows(self, signs):
        """All inequalities of some cells, the domain's walls last."""
        turned = np.where(signs, 1.0, -1.0)[:, :, None] * self.planes
        walls = np.broadcast_to(self.walls, (len(signs), *self.walls.shape))
        return np.concatenate([turned, walls], axis=1)

    def children(self, signs, points):
        """Signs and points of the cells whose parent is one of these."""
        found, behind = self.facets(signs, points, signs == self.root)
        parent, flipped = np.nonzero(found)
        new, points = signs[parent], behind[parent, flipped]
        new[np.arange(len(new)), flipped] ^= True
        points = cells.centre(self.rows(new), points)
        earlier = (new != self.root) & (np.arange(len(self.root)) < flipped[:, None])
        own = np.flatnonzero(~self.has_facet(new, points, earlier))
        return new[own], points[own]

    def has_facet(self, signs, points, wanted):
        """Tell which cells have a facet on one of the wanted hyperplanes."""
        result = (self._by_rays(signs, points)[0] & wanted).any(axis=1)
        while True:  # the next wanted ones of the undecided cells, a block at a time
            open_cells = np.flatnonzero(~result & wanted.any(axis=1))
            if not len(open_cells):
                return result
            rank = wanted[open_cells].cumsum(axis=1)
            take = wanted[open_cells] & (rank <= 2)
            cell, plane = np.nonzero(take)
            is_facet, _ = self._by_programs(signs[open_cells], points[open_cells], cell, plane)
            result[open_cells[cell[is_facet]]] = True
            wanted = wanted.copy()
            wanted[open_cells] &= ~take

    def facets(self, signs, points, wanted):
        """Tell which wanted hyperplanes carry a facet, with a point of the cell behind each."""
        found, behind = self._by_rays(signs, points)
        cell, plane = np.nonzero(wanted & ~found)
        is_facet, others = self._by_programs(signs, points, cell, plane)
        found[cell, plane] = is_facet
        behind[cell, plane] = others
        return found & wanted, behind

    def _by_rays(self, signs, points):
        """Facets that rays along the normals leave through, and points a little further on."""
        k, m = signs.shape
        sense = np.where(signs, 1.0, -1.0)
        room = cells.depths(self.rows(signs), points)
        turned = np.concatenate([sense, np.ones((k, len(self.walls)))], axis=1)
        closing = turned[:, :, None] * self.products * sense[:, None]  # wall by ray
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(closing > 1e-9, room[:, :, None] / closing, np.inf)
            reach = np.concatenate([reach, np.full((k, 2, m), np.inf)], axis=1)  # there are two
            start, end = np.partition(reach, 1, axis=1)[:, :2].transpose(1, 0, 2)
            ahead = np.where(np.isfinite(start), np.minimum((end - start) / 2, 1.0), 0.0)
        first = reach.argmin(axis=1)
        ahead[(first >= m) | (ahead < CLOSE)] = 0
        found, behind = np.zeros((k, m), dtype=bool), np.zeros((k, m, points.shape[1]))
        cell, ray = np.nonzero(ahead)
        order = np.argsort(ahead[cell, ray], kind="stable")  # the longest way behind is kept
        cell, ray = cell[order], ray[order]
        plane, length = first[cell, ray], (start + ahead)[cell, ray]
        found[cell, plane] = True
        step = -(sense[cell, ray] * length)[:, None] * self.planes[ray, :-1]
        behind[cell, plane] = points[cell] + step
        return found, behind

    def _by_programs(self, signs, points, cell, plane):
        """One linear program each: does leaving out this wall let the cell beyond it?"""
        is_facet, others = np.zeros(len(cell), dtype=bool), np.zeros((len(cell), points.shape[1]))
        for start in range(0, len(cell), self.block):
            part = slice(start, start + self.block)
            rows = self.rows(signs[cell[part]])
            each = np.arange(len(rows))
            wall = rows[each, plane[part]]
            rows[each, plane[part]] = np.r_[np.zeros(rows.shape[2] - 1), 1.0]  # no wall at all
            _, is_facet[part], _, others[part], _ = cells.cut(rows, points[cell[part]], wall)
        return is_facet, others
