"""Independent sets of a shared-weight layer, one per orbit of filter permutations.

Generic filters are exchangeable: whether a set of neurons has independent normals depends only on
which position sets occur, not on which filter has which. So one set per multiset of position sets
is enough, and one search gives the count for every number of filters, a polynomial in it.
"""

from __future__ import annotations

import math

import numpy as np

from . import modular
from .arrangement import BATCH_BYTES
from .result import Interrupted


def estimate(n_positions, n_filters, rank):
    """Return how many multisets of position sets have at most ``rank`` elements: the work ahead."""
    series = [[0] * (rank + 1) for _ in range(n_filters + 1)]  # filters used x total size
    series[0][0] = 1
    for size in range(1, min(n_positions, rank) + 1):
        copies = math.comb(n_positions, size)
        new = [[0] * (rank + 1) for _ in range(n_filters + 1)]
        for used in range(n_filters + 1):
            for total in range(rank + 1):
                if series[used][total]:
                    for k in range(min(n_filters - used, (rank - total) // size) + 1):
                        new[used + k][total + k * size] += series[used][total] * math.comb(
                            copies + k - 1, k
                        )
        series = new
    return sum(map(sum, series))


def orbit_counts(normals_of, n_filters, n_positions, n_columns, *, random_state=0):
    """Return ``N[k][u]``: how many independent ``k``-sets use all of ``u`` given filters.

    With ``d`` filters there are ``sum_u binom(d, u) N[k][u]`` independent sets of size ``k``.

    Parameters
    ----------
    normals_of : callable
        ``normals_of(u)`` returns the ``u * n_positions`` rows of ``u`` generic filters, filter by
        filter, over the prime field.
    n_filters : int
        Largest number of filters of interest.
    n_positions, n_columns : int
        Rows per filter, length of a row.
    random_state : int
        Seed of the random change of basis.
    """
    rng = np.random.default_rng(random_state)
    used = min(n_filters, n_columns)
    rows = normals_of(used)
    rank = modular.rank(rows)
    used = min(used, max(rank, 1))
    table = [[0] * (used + 1) for _ in range(rank + 1)]
    table[0][0] = 1
    if rank:
        mixed = modular.matmul(rows[: used * n_positions], modular.random((n_columns, rank), rng))
        search = _OrbitSearch(table, used, n_positions)
        try:
            search.start(mixed, rank)
        except KeyboardInterrupt:
            raise Interrupted(evaluate(table, n_filters)) from None
    return table


def evaluate(table, n_filters):
    """Return ``c_k`` for ``n_filters`` filters from the table of `orbit_counts`."""
    return [sum(math.comb(n_filters, u) * n for u, n in enumerate(row)) for row in table]


class _OrbitSearch:
    """As ``arrangement._Search``; a group also carries what the canonical order needs.

    Filters are used from the last one downwards and their position sets, read as binary numbers,
    never increase. Labels per set: the previous filter's positions, this filter's, how many equal
    ones ended at the previous filter, and the product of the factorials of equal runs so far.
    """

    def __init__(self, table, n_filters, n_positions):
        self.table, self.n_filters, self.n_positions = table, n_filters, n_positions

    def start(self, mixed, rank):
        """Begin above the last filter: every position of it may come first."""
        lead = mixed[:, 0]
        rest = modular.multiply(mixed[:, 1:], modular.inverse(lead)[:, None])[None]
        labels = np.array([[0, 1 << self.n_positions, 0, 1]], dtype=np.int64)
        self.descend({(self.n_filters, 0): (0, rest, (lead != 0)[None], labels)}, rank, 0)

    def descend(self, groups, rank, depth):
        """Add up all canonical sets that extend the given ones."""
        if rank == 0:
            return
        children = dict(self._children(groups, rank, depth))
        size = sum(group[1].nbytes for group in children.values())
        parts = max(1, -(-size // BATCH_BYTES))
        for part in range(parts):
            batch = {
                key: (low, *(array[part::parts] for array in arrays))
                for key, (low, *arrays) in children.items()
                if len(arrays[0]) > part
            }
            if batch:
                self.descend(batch, rank - 1, depth + 1)

    def _children(self, groups, rank, depth):
        reachable = {g for f, _ in groups for g in (f, f - 1)}
        for f in sorted(reachable & set(range(self.n_filters))):
            for p in range(self.n_positions):
                low = max(0, f - rank + 1) * self.n_positions
                kept = [part for part in self._chosen(groups, f, p, low) if len(part[0])]
                if not kept:
                    continue
                rest, alive, labels = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
                self._count(depth + 1, self.n_filters - f, labels)
                if rank > 1 and rest.shape[1] > 1:
                    moved = modular.subtract(rest[:, :-1], rest[:, -1:])
                    lead = moved[..., 0]
                    rest = modular.multiply(moved[..., 1:], modular.inverse(lead)[..., None])
                    yield (f, p), (low, rest, alive[:, :-1] & (lead != 0), labels)

    def _chosen(self, groups, f, p, low):
        """Sets extended by position ``p`` of filter ``f``: rows from ``low`` up to that one."""
        row = f * self.n_positions + p
        for (g, q), (start, rest, alive, labels) in groups.items():
            if not ((g == f and q > p) or g == f + 1):
                continue
            if g == f:
                moved = labels + np.array([0, 1 << p, 0, 0])
            else:
                run = np.where(labels[:, 0] == labels[:, 1], labels[:, 2] + 1, 1)
                moved = np.stack(
                    [labels[:, 1], np.full(len(labels), 1 << p), run, labels[:, 3] * run], axis=1
                )
            fits = alive[:, row - start] & (moved[:, 1] <= moved[:, 0])
            window = slice(low - start if low > start else 0, row - start + 1)
            yield rest[fits, window], alive[fits, window], moved[fits]

    def _count(self, size, used, labels):
        run = np.where(labels[:, 0] == labels[:, 1], labels[:, 2] + 1, 1)
        self.table[size][used] += int((math.factorial(used) // (labels[:, 3] * run)).sum())
