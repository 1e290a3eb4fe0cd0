"""The regions of a network with given weights, one batch at a time, each with a point inside.

``linear_regions`` cuts cells by one neuron after the other, for networks of any depth;
``search_regions`` walks from cell to cell of one layer and keeps no walls. Both hold a few batches
only, however many regions there are.
"""

from __future__ import annotations

import dataclasses
import math

import joblib
import numpy as np

from ..validation import InputError, as_float_array
from . import cells
from .piecewise import Affine, Bend, stages
from .result import Interrupted, TooLarge
from .reverse_search import reverse_search

#: cells worked on at a time, and the numbers they may hold together: a quarter of a gigabyte
BATCH, LARGEST_BATCH = 4000, 30_000_000
#: numbers of one cell's functions: two gigabytes
LARGEST_CELL = 250_000_000


@dataclasses.dataclass(frozen=True)
class Cells:
    """Some regions: their walls so far, an interior point, the current layer as functions.

    Attributes
    ----------
    rows : array of shape (n_cells, n_walls, n + 1)
    points : array of shape (n_cells, n)
    functions : array of shape (n_cells, n_values, n + 1)
    patterns : int16 array of shape (n_cells, n_decisions)
        Piece of every activation, place of every winner, layer after layer.
    """

    rows: np.ndarray
    points: np.ndarray
    functions: np.ndarray
    patterns: np.ndarray

    def __len__(self):
        return len(self.points)

    @property
    def at_once(self):
        """How many of these cells are worked on together."""
        numbers = math.prod(self.rows.shape[1:]) + math.prod(self.functions.shape[1:])
        return max(1, min(BATCH, LARGEST_BATCH // max(numbers, 1)))

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

    Raises
    ------
    TooLarge
        When one cell would not fit into memory, or more than ``limit`` regions are certain.
    Interrupted
        On Ctrl-C, with the number of regions that are certain.
    """
    work, first = start(network, input_shape, domain)
    yield from _refine(work, (0, 0, first), np.inf if limit is None else limit)


def search_regions(network, input_shape, domain=None, *, limit=None):
    """Yield the regions of one layer of activations as `linear_regions` does, by reverse search.

    Slower by an order of magnitude, but what waits is ``m + n`` numbers a cell instead of
    ``m (n + 1)``: for layers with many inputs whose cells would not fit into memory.

    Parameters
    ----------
    network, input_shape, domain, limit
        As in `linear_regions`; affine layers around one elementwise activation.

    Yields
    ------
    Cells
        ``rows`` holds the walls of the domain and all breakpoints, whether they touch or not.
    """
    work = stages(network, input_shape)
    if not is_one_layer(work):
        raise InputError(
            "network has more than one layer of activations, or a max-pool; expected one layer for "
            "a reverse search. Use linear_regions."
        )
    n = int(np.prod(input_shape))
    refuse_large(work, n)
    bend = next(k for k, stage in enumerate(work) if isinstance(stage, Bend))
    functions = layer_functions(work[:bend], n)
    hyperplanes = np.column_stack(layer_rows(work[: bend + 1], n))
    walls, _ = _box_rows(as_box(domain, n), n)
    found = 0
    try:
        for signs, points in reverse_search(hyperplanes, walls):
            found += len(points)
            if limit is not None and found > limit:
                raise TooLarge(
                    f"more than {limit:,} regions. Use a smaller box, plane_slice or sampling, or "
                    "raise the limit."
                )
            yield _on_regions(work[bend:], functions, hyperplanes, walls, signs, points)
    except KeyboardInterrupt:
        raise Interrupted([found]) from None


def _on_regions(work, functions, hyperplanes, walls, signs, points):
    """The cells with these signs, and the network's output on them."""
    bend, rest = work[0], work[1:]
    unit = cells.normalised(hyperplanes)
    turned = np.where(signs, 1.0, -1.0)[:, :, None] * unit
    turned[:, ~unit[:, :-1].any(axis=1), -1] = 1.0  # a constant is no wall
    rows = np.concatenate([np.broadcast_to(walls, (len(signs), *walls.shape)), turned], axis=1)
    owner = bend.breakpoints[0][:, None] == np.arange(bend.width)
    patterns = (signs @ owner.astype(np.int16)).astype(np.int16)
    functions = _bent(bend, np.broadcast_to(functions, (len(signs), *functions.shape)), patterns)
    for stage in rest:
        functions = stage.lift(functions)
    return Cells(rows, points, functions, patterns)


def is_one_layer(work):
    """Whether a network bends once only, at an elementwise activation."""
    return [type(stage) for stage in work if not isinstance(stage, Affine)] == [Bend]


def layer_functions(work, n):
    """Return affine stages in a row as functions of the ``n`` inputs, ``(n_values, n + 1)``."""
    functions = np.concatenate([np.eye(n), np.zeros((n, 1))], axis=1)[None]
    for stage in work:
        functions = stage.lift(functions)
    return functions[0]


def layer_rows(work, n):
    """Return the hyperplanes ``(normals, offsets)`` of the first bend, one row per breakpoint."""
    neurons, thresholds = work[-1].breakpoints
    rows = layer_functions(work[:-1], n)[neurons]
    return rows[:, :-1], rows[:, -1] - thresholds


def refuse_large(work, n):
    """Refuse a network one of whose layers, as functions of the input, would not fit."""
    widest = max([n, *(stage.width for stage in work)])
    if widest * (n + 1) > LARGEST_CELL:
        raise TooLarge(
            f"the {widest:,} functions of {n:,} inputs of one region alone are "
            f"{widest * (n + 1) * 8 / 1e9:.3g} GB. Use plane_slice, line_slice or sampling."
        )


def start(network, input_shape, domain):
    """The stages, and the domain as one cell."""
    work = stages(network, input_shape)
    n = int(np.prod(input_shape))
    refuse_large(work, n)
    rows, middle = _box_rows(as_box(domain, n), n)
    identity = np.concatenate([np.eye(n), np.zeros((n, 1))], axis=1)
    first = Cells(rows[None], middle[None], identity[None], np.zeros((1, 0), dtype=np.int16))
    return work, first


def _refine(work, item, limit):
    """Work off a stack of (stage, next decision, cells), the deepest first."""
    stack, found = [item], 0
    try:
        while stack:
            index, neuron, batch = stack[-1]  # popped when its cells stand somewhere else
            known = found + sum(len(rest) for _, _, rest in stack)
            if known > limit:  # every unfinished cell holds a region
                raise TooLarge(
                    f"more than {limit:,} regions: {found:,} finished, {known:,} certain. Use "
                    "a smaller box, plane_slice or sampling, or raise the limit."
                )
            if len(batch) > batch.at_once:
                half = len(batch) // 2
                parts = batch.part(slice(half, None)), batch.part(slice(half))
                stack[-1:] = [(index, neuron, part) for part in parts]
            elif index == len(work):
                found += len(stack.pop()[2])
                yield batch
            else:
                stack[-1] = _step(work, index, neuron, batch)
    except KeyboardInterrupt:
        raise Interrupted([found + sum(len(rest) for _, _, rest in stack)]) from None


def _step(work, index, neuron, batch):
    """One affine layer, or one decision of a stage."""
    stage = work[index]
    if isinstance(stage, Affine):
        return index + 1, 0, dataclasses.replace(batch, functions=stage.lift(batch.functions))
    return (_bend_step if isinstance(stage, Bend) else _winner_step)(index, neuron, batch, stage)


def count_in_parallel(work, batch, limit, n_jobs):
    """Cut until there are cells for every process, then count below each share of them.

    ``limit`` is for all processes together: each share may use what the others leave.
    """
    item = (0, 0, batch)
    while item[0] < len(work) and len(item[2]) < 16 * n_jobs:
        item = _step(work, *item)
    index, neuron, batch = item
    shares = [(index, neuron, batch.part(slice(k, None, 4 * n_jobs))) for k in range(4 * n_jobs)]
    shares = [share for share in shares if len(share[2])]
    certain = len(batch)  # every cell holds a region

    def tasks():
        for share in shares:
            yield joblib.delayed(_count_below)(work, share, limit - certain + len(share[2]))

    try:
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        for share, total in zip(shares, parallel(tasks()), strict=True):
            certain += total - len(share[2])
            if certain > limit:
                raise TooLarge(
                    f"more than {limit:,} regions: {certain:,} certain. Use a smaller box, "
                    "plane_slice or sampling, or raise the limit."
                )
    except KeyboardInterrupt:
        raise Interrupted([certain]) from None
    return certain


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
    neurons, thresholds = bend.breakpoints
    if step == len(neurons):
        functions = _bent(bend, batch.functions, batch.patterns[:, -bend.width :])
        return index + 1, 0, dataclasses.replace(batch, functions=functions)
    function = batch.functions[:, neurons[step]].copy()
    function[:, -1] -= thresholds[step]
    split, _, sides = _split(batch, function)
    patterns = split.patterns
    if step == 0:
        new = np.zeros((len(split), bend.width), np.int16)
        patterns = np.concatenate([patterns, new], axis=1)
    patterns[:, neurons[step] - bend.width] += sides
    return index, step + 1, dataclasses.replace(split, patterns=patterns)


def _bent(bend, functions, pieces):
    """Apply each neuron's piece."""
    pieces, k = pieces.astype(int), np.arange(functions.shape[1])
    functions = functions * bend.slopes[pieces, k][:, :, None]
    functions[:, :, -1] += bend.constants[pieces, k]
    return functions


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
    patterns = np.concatenate([batch.patterns[origin], best[:, None].astype(np.int16)], axis=1)
    return index, step + 1, Cells(rows, current.points[keep], functions, patterns)


def as_box(domain, n):
    """Return a box as two flat arrays ``(low, high)``, or None for the whole space."""
    if domain is None:
        return None
    try:
        low, high = domain
    except (TypeError, ValueError):
        raise InputError(f"domain is {domain!r}; expected None or a box (low, high).")
    expected = f"a box (low, high) of finite numbers, or of {n} each"
    low, high = (
        as_float_array([side], "domain", expected=expected).ravel() for side in (low, high)
    )
    if {low.size, high.size} - {1, n}:
        raise InputError(
            f"domain has {low.size} and {high.size} numbers; expected {expected}. For the whole "
            "space leave domain away."
        )
    low, high = np.broadcast_to(low, n), np.broadcast_to(high, n)
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
