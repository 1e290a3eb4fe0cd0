"""Exact region counts of hyperplane arrangements, through their independent sets of normals.

With generic offsets no dependent set of hyperplanes has a common point, and the regions are counted
by the sets of linearly independent normals; in general they are counted by the affine
no-broken-circuit sets, which deletion-restriction lists (Zaslavsky 1975; Whitney). Rows are
"choose the next normal, project the earlier ones along it", done for thousands of sets at once.
Over the prime field of ``modular`` for generic weights; over the integers (every float is a
rational) for given ones.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import numpy as np

from . import modular
from .result import Interrupted, TooLarge

#: bytes of one batch of sets; a level that needs more is worked off in parts
BATCH_BYTES = 64_000_000


def characteristic_counts(rows, n_columns, *, random_state=0, generic_offsets=True, limit=None):
    """Return ``c_k``: how many sets of ``k`` hyperplanes count, for ``k = 0, 1, .., rank``.

    The number of regions is ``sum c_k`` and the characteristic polynomial
    ``sum_k (-1)^k c_k t^(n - k)``.

    Parameters
    ----------
    rows : uint64 array of shape (m, n_columns) or (m, n_columns + 1)
        Normals over the prime field; one more column holds the offsets.
    n_columns : int
        Length of the normals.
    random_state : int
        Seed of the random change of basis (it makes a vector zero exactly when its first
        coordinate is).
    generic_offsets : bool
        True: offsets are generic, every independent set of normals counts. False: the offsets are
        those given (or none: a central arrangement).
    limit : int, optional
        Refuse once more sets than this have been met.

    Returns
    -------
    list of int

    Raises
    ------
    TooLarge
        When ``limit`` is exceeded.
    Interrupted
        On Ctrl-C, with the sets found so far.
    """
    rng = np.random.default_rng(random_state)
    normals, offsets = rows[:, :n_columns], rows[:, n_columns:]
    rank = modular.rank(normals)
    tally = [1] + [0] * rank
    if rank == 0:
        return tally
    basis = modular.random((n_columns, rank), rng)
    mixed = modular.matmul(normals, basis)
    if generic_offsets:
        offsets = offsets[:, :0]
    state = np.concatenate([mixed, offsets], axis=1)[None]
    search = _Search(tally, offsets.shape[1], generic_offsets, limit)
    try:
        first = (len(rows), *search.normalise(state, np.ones((1, len(rows)), bool)))
        search.descend([first], rank, 0)
    except KeyboardInterrupt:
        raise Interrupted(tally) from None
    return tally


class _Search:
    """Level by level, all sets of ``k`` chosen normals at once.

    A group holds the sets whose smallest chosen element is ``i``: for each of them the ``i``
    earlier rows, projected along the chosen ones and scaled to a leading 1 that is not stored, and
    a flag for the rows that are still non-zero (and first of their parallel class).
    """

    def __init__(self, tally, n_offsets, generic, limit):
        self.tally, self.n_offsets, self.generic, self.limit = tally, n_offsets, generic, limit

    def normalise(self, vectors, alive):
        """Scale the first coordinate to 1, drop it, and flag zero and repeated rows."""
        lead = vectors[..., 0]
        alive = alive & (lead != 0)
        rest = modular.multiply(vectors[..., 1:], modular.inverse(lead)[..., None])
        if not self.generic:
            alive = self._first_of_each(rest, alive)
        return rest, alive

    def _first_of_each(self, rest, alive):
        """Keep one of several rows that are the same hyperplane."""
        same = np.zeros((*alive.shape, alive.shape[1]), dtype=bool)
        if rest.shape[2]:  # in a random basis two coordinates tell parallel rows
            same = rest[:, :, None, 0] == rest[:, None, :, 0]
            if self.n_offsets:
                same &= rest[:, :, None, -1] == rest[:, None, :, -1]
        else:
            same[:] = True
        earlier = np.tril(np.ones(same.shape[1:], dtype=bool), -1)
        repeated = (same & earlier & alive[:, None, :]).any(axis=2)
        return alive & ~repeated

    def descend(self, groups, rank, depth):
        """Add up all sets that extend the given ones; ``rank`` dimensions are left."""
        if rank == 1:
            self.tally[depth + 1] += sum(int(alive.sum()) for _, _, alive in groups)
            return
        if rank == 2 and self.generic:
            self._close(groups, depth)
            return
        children = list(self._children(groups, rank, depth))
        size = sum(rest.nbytes + alive.nbytes for _, rest, alive in children)
        parts = max(1, -(-size // BATCH_BYTES))
        for part in range(parts):
            batch = [(i, rest[part::parts], alive[part::parts]) for i, rest, alive in children]
            batch = [group for group in batch if len(group[1])]
            if batch:
                self.descend(batch, rank - 1, depth + 1)

    def _children(self, groups, rank, depth):
        """Choose each earlier row in turn and project the rows before it."""
        for j in range(max(i for i, _, _ in groups)):
            deep = [(rest[:, : j + 1], alive[:, : j + 1]) for i, rest, alive in groups if i > j]
            kept = [(rest[alive[:, j]], alive[alive[:, j]]) for rest, alive in deep]
            rest = np.concatenate([r for r, _ in kept])
            alive = np.concatenate([a for _, a in kept])
            self._count(depth + 1, len(rest))
            if j and len(rest):
                moved = modular.subtract(rest[:, :j], rest[:, j : j + 1])
                yield j, *self.normalise(moved, alive[:, :j])

    def _close(self, groups, depth):
        """Two dimensions left: the pairs that count are those with different slopes."""
        for i, rest, alive in groups:
            self._count(depth + 1, int(alive.sum()))
            pairs = 0
            for j in range(1, i):
                differ = rest[:, :j, 0] != rest[:, j : j + 1, 0]
                pairs += int((differ & alive[:, :j] & alive[:, j : j + 1]).sum())
            self._count(depth + 2, pairs)

    def _count(self, size, number):
        self.tally[size] += number
        if self.limit is not None and sum(self.tally) > self.limit:
            raise TooLarge(
                f"the exact count passed {self.limit:,} sets without finishing. Raise the limit, "
                "or use the formula and the bounds."
            )


def rational_rows(normals, offsets=None):
    """Return hyperplanes as rows of integers; every float is a rational number, so nothing rounds.

    Parameters
    ----------
    normals : array of shape (m, n)
    offsets : array of shape (m,), optional
        ``normals @ x + offsets = 0``; without them the rows have no offset column.

    Returns
    -------
    list of tuples of int
    """
    columns = normals if offsets is None else np.column_stack([normals, offsets])
    rows = []
    for row in columns.tolist():
        parts = [Fraction(v) for v in row]
        scale = 1
        for part in parts:
            scale = scale * part.denominator // gcd(scale, part.denominator)
        rows.append(tuple(int(part * scale) for part in parts))
    return rows


def rational_counts(rows, n_columns, *, limit=None):
    """Return the same ``c_k`` as `characteristic_counts` for given integer rows, without chance.

    Deletion-restriction, one hyperplane at a time, in integers of any size: parallel, identical
    and zero rows are what they are. The oracle of the fast search, and the count for given
    weights.
    """
    tally = [0] * (n_columns + 1)
    met = 0

    def recurse(rows, n, depth):
        nonlocal met
        met += 1
        if limit is not None and met > limit:
            raise TooLarge(
                f"the rational count passed {limit:,} sets without finishing. Raise the limit, or "
                "sample."
            )
        tally[depth] += 1
        if n == 1 and rows:
            tally[depth + 1] += len(rows)
            met += len(rows)
            return
        for i, row in enumerate(rows):
            recurse(_restrict(rows[:i], row, n), n - 1, depth + 1)

    try:
        recurse(_distinct(rows, n_columns), n_columns, 0)
    except KeyboardInterrupt:
        raise Interrupted(tally) from None
    while len(tally) > 1 and tally[-1] == 0:
        tally.pop()
    return tally


def _distinct(rows, n):
    """Primitive rows with a positive leading entry, without zero normals and repetitions."""
    seen = {}
    for row in rows:
        lead = next((v for v in row[:n] if v), 0)
        if lead:
            scale = gcd(*row) * (1 if lead > 0 else -1)
            seen[tuple(v // scale for v in row)] = None
    return list(seen)


def _restrict(rows, pivot, n):
    """The hyperplanes ``rows`` within the hyperplane ``pivot``: eliminate one variable."""
    k = next(k for k in range(n) if pivot[k])
    lead = pivot[k]
    moved = []
    for row in rows:
        head = row[k]
        moved.append(
            tuple(lead * v - head * w for j, (v, w) in enumerate(zip(row, pivot, strict=True))
                  if j != k)
        )  # fmt: skip
    return _distinct(moved, n - 1)
