"""The published one-layer formula: counting the tuples that Hall's condition admits.

``F = sum over t in K of prod_q binom(d, t_q) p^t_q`` with ``K = {t : sum_J t <= #union_J S_q for
every set J of positions}`` (Xiong et al. 2020, Theorem 2; Proposition 2 for the inequality). These
are numbers of tuples: how many regions a layer really has is counted in ``arrangement``.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from .result import TooLarge

#: numbers that one sweep may hold at a time: two hundred megabytes of 16-bit slacks
LARGEST_STATE = 100_000_000
#: pixel sets that a sweep may distinguish, and the bits that they may take
LARGEST_FAMILY, LARGEST_SETS = 100_000, 10**8


def zaslavsky(n_hyperplanes, dimension, breakpoints=1):
    """Return ``sum_{i <= dimension} binom(n_hyperplanes, i) breakpoints^i``.

    The regions of hyperplanes in general position (Zaslavsky 1975), and an upper bound for any
    arrangement whose normals have that rank (Serra et al. 2018).
    """
    total = term = 1
    for i in range(min(dimension, n_hyperplanes)):
        term = term * (n_hyperplanes - i) * breakpoints // (i + 1)
        total += term
    return total


def zaslavsky_central(n_hyperplanes, dimension):
    """Return ``2 sum_{i < dimension} binom(n_hyperplanes - 1, i)``: generic normals, no offsets."""
    if n_hyperplanes == 0 or dimension == 0:
        return 1
    return 2 * sum(math.comb(n_hyperplanes - 1, i) for i in range(dimension))


def binomial_weights(n_filters, breakpoints=1, scale=1):
    """Return the function ``t -> binom(n_filters, t) (breakpoints * scale)^t`` as a list."""
    return lambda most: [
        math.comb(n_filters, t) * (breakpoints * scale) ** t
        for t in range(min(most, n_filters) + 1)
    ]


def count_interval_tuples(intervals, weights):
    """Return the weighted number of admissible tuples for intervals of pixels, of any length.

    Positions own half-open intervals whose ends both increase, so filling pixels from the left is
    optimal and the first free pixel is all that the rest needs to know.

    Parameters
    ----------
    intervals : sequence of (start, end)
        Sorted; starts and ends both non-decreasing.
    weights : callable
        ``weights(most)`` lists the weight of 0, 1, .., at most ``most`` private pixels.

    Returns
    -------
    int
        Exact, whatever its size.
    """
    states = {0: 1}
    for start, end in intervals:
        gathered = {}
        for free, total in states.items():
            free = max(free, start)
            gathered[free] = gathered.get(free, 0) + total
        table = weights(end - start)
        states = {}
        for free, total in gathered.items():
            for t, weight in enumerate(table[: end - free + 1]):
                states[free + t] = states.get(free + t, 0) + total * weight
    return sum(states.values())


def count_tuples(families, weights):
    """Return the weighted number of tuples that satisfy Hall's condition in every family.

    A sweep over positions. What the processed positions leave to the later ones is the function
    ``h(X) = min_J #(union_J S minus X) - sum_J t`` on the pixel sets ``X`` that later positions
    can ask for; adding ``t`` at a position with field ``S`` gives
    ``h'(X) = min(h(X), h(X + S) + #(S minus X) - t)``. Tuples with the same ``h`` are merged.

    Parameters
    ----------
    families : list of lists of sets
        Each family gives one field per position; a tuple must be admissible for all of them.
    weights : callable
        As in `count_interval_tuples`.

    Returns
    -------
    int

    Raises
    ------
    TooLarge
        When the sweep would need more memory than `LARGEST_STATE` numbers.
    """
    widest = max(len(field) for family in families for field in family)
    if widest > np.iinfo(np.int16).max:
        raise TooLarge(
            f"a window of {widest:,} values does not fit the formula's sweep. Use fewer filters "
            "or a smaller image."
        )
    pixels = max((p for family in families for field in family for p in field), default=0)
    if len(families[0]) * pixels > 10 * LARGEST_SETS:
        raise TooLarge(
            f"the formula's sweep over {len(families[0]):,} positions of {pixels + 1:,} "
            "pixels would not fit into memory. Use a smaller image, or a larger stride."
        )
    tables = [_sweep_tables([_as_mask(s) for s in family]) for family in families]
    n_positions = len(families[0])
    slack = np.zeros((1, len(tables)), dtype=np.int16)
    totals = np.array([1], dtype=object)
    for q in range(n_positions):
        options = weights(min(len(family[q]) for family in families))
        size = sum(len(table[q][0]) for table in tables)
        if len(slack) * len(options) * size > LARGEST_STATE:
            raise TooLarge(
                f"the formula's sweep holds {len(slack):,} states of {size:,} numbers at position "
                f"{q + 1} of {n_positions}, about {len(slack) * len(options) * size * 2 / 1e9:.1f} "
                "GB. Use fewer filters, a smaller image or a larger stride."
            )
        slack, totals = _add_position(slack, totals, [table[q] for table in tables], options)
    return int(totals.sum())


def _as_mask(pixels):
    return sum(1 << p for p in pixels)


def _sweep_tables(masks):
    """For each position: where to read h(X) and h(X + S), and #(S minus X), for every new X."""
    n, done = len(masks), [0]
    for mask in masks:
        done.append(done[-1] | mask)
    most = min(LARGEST_FAMILY, LARGEST_SETS // max(1, done[-1].bit_length()))
    wanted = [{0}]
    for q in range(n - 1, -1, -1):
        later = {x & done[q] for x in wanted[0]}
        later |= {(x | masks[q]) & done[q] for x in wanted[0]}
        if len(later) > most:
            raise TooLarge(
                f"the formula's sweep over {n} positions must tell more than {most:,.0f} "
                "sets of pixels apart. Use a smaller image or filter, or a larger stride."
            )
        wanted.insert(0, later)
    order = [sorted(sets) for sets in wanted]
    tables = []
    for q, mask in enumerate(masks):
        place = {x: k for k, x in enumerate(order[q])}
        same = [place[x & done[q]] for x in order[q + 1]]
        grown = [place[(x | mask) & done[q]] for x in order[q + 1]]
        fresh = [(mask & ~x).bit_count() for x in order[q + 1]]
        tables.append((np.array(same), np.array(grown), np.array(fresh, dtype=np.int16)))
    return tables


def _add_position(slack, totals, tables, options):
    """Branch every state into the admissible values of ``t`` and merge equal ones."""
    keep, give, empty, offset = [], [], [], 0
    for same, grown, fresh in tables:
        width = int(max(same.max(), grown.max())) + 1
        keep.append(slack[:, offset + same])
        give.append(slack[:, offset + grown] + fresh)
        empty.append(sum(part.shape[1] for part in keep[:-1]))
        offset += width
    keep, give = np.hstack(keep), np.hstack(give)
    rows, sums = [], []
    for t, weight in enumerate(options):
        new = np.minimum(keep, give - np.int16(t))
        valid = (new[:, empty] >= 0).all(axis=1)
        if not valid.any():
            break
        rows.append(new[valid])
        sums.append(totals[valid] * weight)
    return _merge(np.concatenate(rows), np.concatenate(sums))


def _merge(rows, sums):
    """Add up the totals of identical rows."""
    rows = np.ascontiguousarray(rows)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1]])
    return rows[order[starts]], np.add.reduceat(sums[order], starts)


def layer_formula(geometry, n_filters, breakpoints=1, scale=1):
    """Return the published count of one layer, as a product over groups that share no pixel.

    Parameters
    ----------
    geometry : LayerGeometry
    n_filters, breakpoints : int
    scale : int
        Extra weight per chosen hyperplane; a large power of two separates the subset sizes.
    """
    weights = binomial_weights(n_filters, breakpoints, scale)
    if geometry.is_one_dimensional:
        return math.prod(
            count_interval_tuples(intervals, weights) ** times
            for intervals, times in geometry.line_components()
        )
    return math.prod(
        count_tuples([[frozenset(w) for w in windows]], weights) ** times
        for windows, times in geometry.components()
    )


def formula_by_size(geometry, n_filters):
    """Return the formula's count split by subset size: the coefficients ``c_0, c_1, ..``."""
    bits = layer_formula(geometry, n_filters).bit_length() + 1
    packed = layer_formula(geometry, n_filters, scale=1 << bits)
    sizes = []
    while packed:
        sizes.append(packed & ((1 << bits) - 1))
        packed >>= bits
    return sizes


def is_admissible(counts, fields):
    """Tell whether position ``q`` can be given ``counts[q]`` private pixels of its field.

    Augmenting paths from positions to pixels (a maximum flow); works for any number of positions,
    where listing the subsets of Hall's condition would not.
    """
    owner = {}

    def augment(q, seen):
        for pixel in fields[q]:
            if pixel not in seen:
                seen.add(pixel)
                if pixel not in owner or augment(owner[pixel], seen):
                    owner[pixel] = q
                    return True
        return False

    return all(augment(q, set()) for q, count in enumerate(counts) for _ in range(count))


def count_tuples_by_search(fields, weights):
    """Return the same number as `count_tuples` by listing every admissible tuple.

    The plain statement of the formula, one flow test per tuple; the oracle of the sweep.
    """

    def extend(counts):
        q = len(counts)
        if q == len(fields):
            return 1
        total = 0
        for t, weight in enumerate(weights(len(fields[q]))):
            longer = [*counts, t]
            if not is_admissible(longer, fields[: q + 1]):
                break
            total += weight * extend(longer)
        return total

    return extend([])


def leading_coefficient(geometry):
    """Return degree ``u`` and coefficient ``c`` of the formula's growth ``c d^u`` with d filters.

    ``u`` is the number of pixels that some window sees; ``c`` sums ``prod 1/t_q!`` over the
    admissible tuples of total ``u``. Both hold for shared and unshared weights.
    """
    degree = len(frozenset().union(*geometry.fields))
    if geometry.is_one_dimensional:
        parts = [(len(part), part, count_interval_tuples) for part, _ in geometry.line_components()]
        times = [n for _, n in geometry.line_components()]
    else:
        fields = [[frozenset(w) for w in part] for part, _ in geometry.components()]
        parts = [(len(part), [part], count_tuples) for part in fields]
        times = [n for _, n in geometry.components()]
    coefficient = Fraction(1)
    for (n_positions, part, count), power in zip(parts, times, strict=True):
        coefficient *= _top_coefficient(n_positions, part, count, geometry.n_taps) ** power
    return degree, coefficient


def _top_coefficient(n_positions, part, count, n_taps):
    """Sum ``prod 1/t_q!`` over the tuples of largest total, by packing totals into digits."""
    most = math.factorial(n_taps)
    digit = (4 * most) ** n_positions  # sum_t most/t! < 4 most, so that no digit overflows
    bits = digit.bit_length()
    if bits * n_taps * n_positions > 10**8:
        raise TooLarge("the leading coefficient needs more than 10^8 bits. Use a smaller image.")
    packed = count(part, lambda top: [(most // math.factorial(t)) << bits * t
                                      for t in range(top + 1)])  # fmt: skip
    top = (packed.bit_length() - 1) // bits
    return Fraction(packed >> (bits * top), most**n_positions)
