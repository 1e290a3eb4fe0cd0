"""Region counts for given weights: over the integers for one layer, by linear programs for more.

``count`` picks the method and says so. The cells of a deep network come one batch at a time, each
with an interior point, so that memory stays bounded however many there are.
"""

from __future__ import annotations

import dataclasses

import joblib
import numpy as np

from ..validation import InputError, as_float_array, as_integer
from . import cells, modular
from .arrangement import characteristic_counts, rational_counts, rational_rows
from .inequalities import serra_upper
from .piecewise import Affine, Bend, stages
from .result import RegionCount, TooLarge

#: cells worked on at a time
BATCH = 4000
#: sets that the integer count may meet before the prime field takes over
LARGEST_RATIONAL = 300_000
#: sets that the prime field may meet, and cells that the linear programs may find
LARGEST_COUNT = 20_000_000


@dataclasses.dataclass(frozen=True)
class Cells:
    """Some regions: their walls so far, an interior point, the current layer as functions.

    Attributes
    ----------
    rows : array of shape (n_cells, n_walls, n + 1)
    points : array of shape (n_cells, n)
    functions : array of shape (n_cells, n_values, n + 1)
    patterns : int8 array of shape (n_cells, n_decisions)
        Piece of every activation, place of every winner, layer after layer.
    """

    rows: np.ndarray
    points: np.ndarray
    functions: np.ndarray
    patterns: np.ndarray

    def __len__(self):
        return len(self.points)

    def part(self, index):
        """The cells with this index."""
        return Cells(
            self.rows[index], self.points[index], self.functions[index], self.patterns[index]
        )


def linear_regions(network, input_shape, domain=None, *, limit=None):
    """Yield the linear regions of a network, batch by batch, as `Cells`.

    Parameters
    ----------
    network, input_shape, domain, limit
        As in `count`; no limit by default.

    Yields
    ------
    Cells
        With ``points`` inside the regions and ``functions`` the network's output on them.
    """
    work, first = _start(network, input_shape, domain)
    yield from _refine(work, (0, 0, first), np.inf if limit is None else limit)


def _start(network, input_shape, domain):
    """The stages, and the domain as one cell."""
    work = stages(network, input_shape)
    n = int(np.prod(input_shape))
    box = _box(domain, n)
    rows, start = _box_rows(box, n)
    identity = np.concatenate([np.eye(n), np.zeros((n, 1))], axis=1)
    first = Cells(rows[None], start[None], identity[None], np.zeros((1, 0), dtype=np.int8))
    return work, first


def _refine(work, item, limit):
    """Work off a stack of (stage, next decision, cells), the deepest first."""
    stack, found = [item], 0
    while stack:
        index, neuron, batch = stack.pop()
        known = found + len(batch) + sum(len(rest) for _, _, rest in stack)
        if known > limit:  # every unfinished cell holds a region
            raise TooLarge(
                f"more than {limit:,} regions: {found:,} finished, {known:,} certain. Use "
                "a smaller box, plane_slice or sampling, or raise the limit."
            )
        if len(batch) > BATCH:
            half = len(batch) // 2
            stack.append((index, neuron, batch.part(slice(half, None))))
            stack.append((index, neuron, batch.part(slice(half))))
        elif index == len(work):
            found += len(batch)
            yield batch
        else:
            stack.append(_step(work, index, neuron, batch))


def _step(work, index, neuron, batch):
    """One affine layer, or one decision of a stage."""
    stage = work[index]
    if isinstance(stage, Affine):
        return index + 1, 0, dataclasses.replace(batch, functions=stage.lift(batch.functions))
    return (_bend_step if isinstance(stage, Bend) else _winner_step)(index, neuron, batch, stage)


def _count_in_parallel(work, batch, limit, n_jobs):
    """Cut until there are cells for every process, then count below each share of them."""
    item = (0, 0, batch)
    while item[0] < len(work) and len(item[2]) < 16 * n_jobs:
        item = _step(work, *item)
    index, neuron, batch = item
    shares = [(index, neuron, batch.part(slice(k, None, 4 * n_jobs))) for k in range(4 * n_jobs)]
    totals = joblib.Parallel(n_jobs=n_jobs)(
        joblib.delayed(_count_below)(work, share, limit) for share in shares if len(share[2])
    )
    return sum(totals)


def _count_below(work, item, limit):
    return sum(len(batch) for batch in _refine(work, item, limit))


def _split(batch, functions):
    """Cut every cell by one function each; a cut cell becomes two. Returns parents and sides."""
    sides, is_cut, points, others, unit = cells.cut(batch.rows, batch.points, functions)
    hit = np.flatnonzero(is_cut)
    parents = np.r_[np.arange(len(batch)), hit]
    sides = np.r_[sides, ~sides[hit]]
    wall = np.where(sides, 1.0, -1.0)[:, None] * unit[parents]
    wall[~wall[:, :-1].any(axis=1), -1] = 1.0  # a constant is no wall
    rows = np.concatenate([batch.rows[parents], wall[:, None]], axis=1)
    points = np.concatenate([points, others[hit]])
    return Cells(rows, points, batch.functions[parents], batch.patterns[parents]), parents, sides


def _bend_step(index, step, batch, bend):
    """Cut by one breakpoint of one neuron; after the last one, apply the pieces."""
    n_breaks, n_neurons = bend.thresholds.shape
    if step == n_breaks * n_neurons:
        piece = batch.patterns[:, -n_neurons:].astype(int)
        k = np.arange(n_neurons)
        functions = batch.functions * bend.slopes[piece, k][:, :, None]
        functions[:, :, -1] += bend.constants[piece, k]
        return index + 1, 0, dataclasses.replace(batch, functions=functions)
    neuron, which = divmod(step, n_breaks)
    function = batch.functions[:, neuron].copy()
    function[:, -1] -= bend.thresholds[which, neuron]
    split, _, sides = _split(batch, function)
    patterns = split.patterns
    if which == 0:
        patterns = np.concatenate([patterns, np.zeros((len(split), 1), np.int8)], axis=1)
    patterns[:, -1] += sides
    return index, step + 1, dataclasses.replace(split, patterns=patterns)


def _winner_step(index, step, batch, winner):
    """Find the winner of one window; a knock-out first, then equal winners are joined again."""
    if step == len(winner.windows):
        best = batch.patterns[:, -step:].astype(int)
        chosen = winner.windows[np.arange(step), best]
        functions = np.take_along_axis(batch.functions, chosen[:, :, None], axis=1)
        return index + 1, 0, dataclasses.replace(batch, functions=functions)
    window = winner.windows[step]
    current = batch
    origin, best = np.arange(len(batch)), np.zeros(len(batch), dtype=int)
    for place in range(1, len(window)):
        k = np.arange(len(current))
        ahead = current.functions[k, window[place]] - current.functions[k, window[best]]
        current, parents, sides = _split(current, ahead)
        origin, best = origin[parents], np.where(sides, place, best[parents])
    _, keep = np.unique(np.stack([origin, best]), axis=1, return_index=True)
    origin, best = origin[keep], best[keep]
    functions = batch.functions[origin]
    k = np.arange(len(keep))[:, None]
    walls = functions[k, window[best][:, None]] - functions[k, window[None]]
    length = np.linalg.norm(walls[:, :, :-1], axis=2)
    flat = length <= 1e-12 * np.maximum(1.0, np.abs(walls[:, :, -1]))
    walls = walls / np.where(flat, 1.0, length)[:, :, None]
    walls[flat] = np.r_[np.zeros(walls.shape[2] - 1), 1.0]
    rows = np.concatenate([batch.rows[origin], walls], axis=1)
    patterns = np.concatenate([batch.patterns[origin], best[:, None].astype(np.int8)], axis=1)
    return index, step + 1, Cells(rows, current.points[keep], functions, patterns)


def _box(domain, n):
    if domain is None:
        return None
    try:
        low, high = domain
    except (TypeError, ValueError):
        raise InputError(f"domain is {domain!r}; expected None or a box (low, high).")
    low, high = (
        np.broadcast_to(as_float_array(side, "domain", expected="a box (low, high)").reshape(-1)
                        if np.size(side) > 1 else float(side), (n,))
        for side in (low, high)
    )  # fmt: skip
    if not (low < high).all():
        raise InputError("domain is empty: expected low < high in every coordinate.")
    return np.array(low, float), np.array(high, float)


def _box_rows(box, n):
    """Walls of a box, and the point to start from."""
    if box is None:
        return np.zeros((0, n + 1)), np.full(n, 0.1) / np.arange(1, n + 1)
    low, high = box
    walls = [np.c_[np.eye(n), -low], np.c_[-np.eye(n), high]]
    return np.concatenate(walls), (low + high) / 2


def count(network, input_shape, domain=None, *, limit=None, n_jobs=1):
    """Count the linear regions of a network with given weights.

    A region is a maximal open set of inputs on which every activation stays on one piece and every
    max-pool window keeps its (first) winner. Average pools and dense layers add none; an L2 pool is
    refused.

    Parameters
    ----------
    network : Network, layer, sequence of layers, or (weights, bias)
    input_shape : tuple of int
        ``(channels, height, width)``, or ``(n_inputs,)`` for dense networks.
    domain : (low, high), optional
        A box, scalars or arrays of the input's shape; the whole space by default.
    limit : int, optional
        Largest number of cells or sets to list (in each process).
    n_jobs : int
        Processes that share the cells, where cells are listed.

    Returns
    -------
    RegionCount
        ``exact``; after an interruption ``lower`` holds the regions found so far.

    Raises
    ------
    TooLarge
        When the count passes ``limit``.

    Examples
    --------
    >>> from sparsecnn import regions
    >>> regions.count(([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -1.0]), (2,)).exact
    7
    """
    limit = LARGEST_COUNT if limit is None else as_integer(limit, "limit")
    work = stages(network, input_shape)
    bends = [k for k, stage in enumerate(work) if not isinstance(stage, Affine)]
    if domain is None and bends and isinstance(work[bends[0]], Bend):
        _refuse_hopeless(work[: bends[0] + 1], input_shape, limit)
    if domain is None and len(bends) == 1 and isinstance(work[bends[0]], Bend):
        return _count_one_layer(work[: bends[0] + 1], input_shape, limit)
    n_jobs = as_integer(n_jobs, "n_jobs")
    return _count_cells(network, input_shape, domain, work, limit, n_jobs)


def _refuse_hopeless(work, input_shape, limit):
    """Hyperplanes with ``r`` independent normals make ``2^r`` orthants: refuse before starting."""
    rank = np.linalg.matrix_rank(layer_rows(work, input_shape)[0])
    if 2.0**rank > limit:
        raise TooLarge(
            f"the first layer alone has at least 2^{rank} = {2.0**rank:.3g} regions (limit "
            f"{limit:,}). Count inside a small box, use plane_slice or sampling, or bound it with "
            "conv_bounds."
        )


def layer_rows(work, input_shape):
    """Return the hyperplanes ``(normals, offsets)`` of the first bend, one row per breakpoint."""
    n = int(np.prod(input_shape))
    functions = np.concatenate([np.eye(n), np.zeros((n, 1))], axis=1)[None]
    for stage in work[:-1]:
        functions = stage.lift(functions)
    rows = np.concatenate([functions[0]] * len(work[-1].thresholds))
    return rows[:, :-1], rows[:, -1] - work[-1].thresholds.reshape(-1)


def _count_one_layer(work, input_shape, limit):
    normals, offsets = layer_rows(work, input_shape)
    rows, n = rational_rows(normals, offsets), normals.shape[1]
    try:
        exact = sum(rational_counts(rows, n, limit=min(limit, LARGEST_RATIONAL)))
        method, assumes = "deletion-restriction over the integers (weights as stored)", ()
    except TooLarge:
        field = modular.from_integers(rows)
        exact = sum(characteristic_counts(field, n, generic_offsets=False, limit=limit))
        method = "no-broken-circuit sets modulo 2^61 - 1 (weights as stored)"
        assumes = ("no minor of the weights is a multiple of 2^61 - 1",)
    return RegionCount(exact, None, exact, exact, None, method, assumes)


def _count_cells(network, input_shape, domain, work, limit, n_jobs):
    n = int(np.prod(input_shape))
    widths = [len(s.thresholds) * s.thresholds.shape[1] for s in work if isinstance(s, Bend)]
    upper = serra_upper(n, widths) if widths and len(widths) == _bent(work) else None
    found = 0
    try:
        if n_jobs > 1:
            found = _count_in_parallel(*_start(network, input_shape, domain), limit, n_jobs)
        else:
            for batch in linear_regions(network, input_shape, domain, limit=limit):
                found += len(batch)
    except KeyboardInterrupt:
        return RegionCount(lower=found, upper=upper, method="interrupted; regions found so far")
    where = "the whole space" if domain is None else "the box"
    return RegionCount(
        found, None, found, found, None, f"cell enumeration by linear programs over {where}",
        (f"regions thinner than {cells.THIN:g} are not told apart from none",),
    )  # fmt: skip


def _bent(work):
    return sum(not isinstance(stage, Affine) for stage in work)
