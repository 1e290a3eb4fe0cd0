"""The exact partition of a plane (or a line) through input space into linear regions.

Polygons are cut stage by stage. A chunk of neighbouring polygons shares almost all of its
activation pattern, so a layer's functions are kept as those of one polygon plus the few units in
which the others differ: a layer is then lifted once per chunk and once per differing unit. A ReLU
followed by a max-pool is read as one maximum over the window and zero.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ..validation import InputError, InputTypeError, as_float_array
from . import polygons
from .choices import (
    CARRIED,
    ON_LINE,
    absolute,
    as_choices,
    at_candidates,
    codes,
    is_top,
    sizes_at_candidates,
)
from .piecewise import Affine, Bend, stages
from .result import TooLarge

#: polygons that are cut together
CHUNK = 500
#: polygons of one slice: some ten minutes and five gigabytes
LARGEST_SLICE = 5_000_000
#: squares, each this share of the area, that estimate the polygons of networks of this many outputs
PROBES, PROBE_SHARE, PROBED_FROM = 16, 1e-5, 500


@dataclasses.dataclass(frozen=True)
class RegionSlice:
    """The linear regions that a piece of a plane meets, as polygons.

    Attributes
    ----------
    vertices : array of shape (n_regions, v, 2)
        Corners in plane coordinates, padded by repeating the last one.
    sizes : array of shape (n_regions,)
        Corners of each polygon.
    keys : uint64 array of shape (n_regions,)
        A hash of each region's pattern; see ``pattern_keys``.
    labels : int array of shape (n_regions,)
        Largest output at the polygon's middle; zeros unless the network ends with an affine layer.
    decision_boundary : array of shape (n_segments, 2, 2)
        Segments along which two largest outputs are equal.
    origin, basis : arrays of the input's shape, and (2, *shape)
        The plane: ``origin + u basis[0] + v basis[1]``.
    domain : array of shape (n_corners, 2)
        The piece of the plane that was cut.
    complete : bool
        False after an interruption: the polygons are regions all the same, but fill a part of the
        domain only.
    """

    vertices: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray
    labels: np.ndarray
    decision_boundary: np.ndarray
    origin: np.ndarray
    basis: np.ndarray
    domain: np.ndarray
    complete: bool = True

    @property
    def n_regions(self):
        """Number of polygons."""
        return len(self.sizes)

    @functools.cached_property
    def areas(self):
        """Area of each polygon, in plane coordinates; they add up to the domain's."""
        return polygons.areas(self.vertices)

    @property
    def polygons(self):
        """The corners of each region, a list of arrays of shape (k, 2)."""
        return [v[:k] for v, k in zip(self.vertices, self.sizes, strict=True)]

    def summary(self):
        """Return the slice as two lines of text."""
        total = float(polygons.areas(self.domain[None])[0])
        stopped = "" if self.complete else " (interrupted: the rest is not cut)"
        return (
            f"{self.n_regions:,} linear regions, {len(np.unique(self.keys)):,} patterns, "
            f"{len(self.decision_boundary):,} boundary segments\n"
            f"areas add up to {self.areas.sum():.12g} of {total:.12g}{stopped}"
        )

    def to_dict(self):
        """Return the numbers as a plain dictionary."""
        return {
            "n_regions": self.n_regions,
            "complete": self.complete,
            "areas": self.areas.tolist(),
            "polygons": [p.tolist() for p in self.polygons],
            "labels": self.labels.tolist(),
            "decision_boundary": self.decision_boundary.tolist(),
        }


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """Neighbouring polygons and the current layer on them.

    Unit ``k`` on polygon ``b`` is ``base[:, k] + sum_c change[:, b, c] columns[c, k]``, the three
    coefficients of an affine function of the plane's coordinates ``(u, v, 1)``; ``sizes[:, k]`` are
    those of the terms it is a sum of, anywhere on the chunk. ``jumps`` says whether an activation
    of the network may jump.
    """

    vertices: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray
    base: np.ndarray
    columns: np.ndarray
    change: np.ndarray
    sizes_of_terms: np.ndarray
    jumps: bool

    def __len__(self):
        return len(self.sizes)

    def part(self, index):
        """The polygons with this index."""
        return dataclasses.replace(
            self, vertices=self.vertices[index], sizes=self.sizes[index], keys=self.keys[index],
            change=self.change[:, index],
        )  # fmt: skip

    def functions(self, units):
        """Affine functions of some units on every polygon, (3, n, len(units))."""
        columns = self.columns[:, units]
        used = np.flatnonzero(columns.any(axis=1))
        return self.base[:, None, units] + self.change[:, :, used] @ columns[used]

    @functools.cached_property
    def corners(self):
        """Distinct corners ``(u, v, 1)``, a polygon of each, and where each polygon finds its own.

        Neighbours share corners: each is worked out once, unless their functions may differ there.
        """
        n, v, _ = self.vertices.shape
        flat = self.vertices.reshape(-1, 2)
        if self.jumps:
            points = np.column_stack([flat, np.ones(n * v)])
            return points, np.repeat(np.arange(n), v), np.arange(n * v).reshape(n, v)
        rounded = np.round(flat, 13).view(complex).reshape(-1)
        _, first, back = np.unique(rounded, return_index=True, return_inverse=True)
        points = np.column_stack([flat[first], np.ones(len(first))])
        return points, first // v, back.reshape(n, v)

    def at_corners(self, units):
        """Values of some units at the distinct corners, (len(units), n_corners)."""
        points, owner, _ = self.corners
        return self.at(units, points, owner)

    def sizes_at(self, units, points):
        """Sizes of the terms of some units at points ``(u, v, 1)``, a row a unit."""
        return self.sizes_of_terms[:, units].T @ np.abs(points).T

    def is_top(self, stage, outputs, points, owner):
        """Which candidates of some outputs are largest at points: (candidates, outputs, points)."""
        values = at_candidates(stage, lambda units: self.at(units, points, owner), outputs)
        far = np.abs(points).max(axis=0, keepdims=True)  # one size serves a chunk of neighbours
        sizes = sizes_at_candidates(stage, lambda units: self.sizes_at(units, far), outputs)
        return is_top(values, sizes)

    def at(self, units, points, owner):
        """Values of some units at points ``(u, v, 1)`` of the polygons ``owner``, a row a unit."""
        values = self.base[:, units].T @ points.T
        if len(self.columns):
            change = sum(self.change[k, owner] * points[:, k, None] for k in range(3))
            values += self.columns[:, units].T @ change.T
        return values


def plane_slice(
    network, plane, box=None, *, input_shape=None, fuse_pools=True, limit=LARGEST_SLICE
):
    """Cut a piece of a plane exactly into the linear regions of a network.

    Parameters
    ----------
    network : Network, layer, sequence of layers, or (weights, bias)
    plane : array of three inputs, or (origin, basis)
        Three inputs ``p`` of any shape span ``p0 + u (p1 - p0) + v (p2 - p0)``; ``basis`` holds two
        directions of the shape of ``origin``.
    box : (low, high), optional
        Corners of a rectangle in ``(u, v)``, scalars or pairs. By default the triangle of the
        three inputs, or the square from -1 to 1.
    input_shape : tuple of int, optional
        If the points are flat.
    fuse_pools : bool
        Whether ReLU and a max-pool behind it count as one maximum of the window and zero (regions
        of what reaches the output), or every neuron's own sign counts too.
    limit : int
        Largest number of polygons.

    Returns
    -------
    RegionSlice
        After Ctrl-C with the polygons that were finished, if any, and ``complete`` False.

    Raises
    ------
    TooLarge
        When more than ``limit`` polygons are certain, with how much of the domain is done.

    Examples
    --------
    >>> from sparsecnn import regions
    >>> weights, bias = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -0.5]
    >>> plane_slice((weights, bias), ([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])).n_regions
    7
    """
    origin, basis, corners = _plane(plane, box)
    shape = origin.shape if input_shape is None else tuple(input_shape)
    bends = stages(network, shape)
    work = as_choices(bends, fuse_pools)
    base = np.stack([basis[0].ravel(), basis[1].ravel(), origin.ravel()])
    chunk = _Chunk(
        corners[None], np.array([len(corners)]), np.zeros(1, dtype=np.uint64), base,
        np.zeros((0, base.shape[1])), np.zeros((3, 1, 0)), np.abs(base),
        any(isinstance(stage, Bend) and stage.jumps for stage in bends),
    )  # fmt: skip
    classes = isinstance(work[-1], Affine)  # scores of classes, not another hidden layer
    if sum(stage.width for stage in work if not isinstance(stage, Affine)) > PROBED_FROM:
        _refuse_hopeless(work, chunk, limit)
    finished, complete = [], True
    try:
        for final in _cut_all(work, chunk, limit):
            finished.append(_finish(final, classes))
    except KeyboardInterrupt:
        if not finished:
            raise
        complete = False
    vertices, sizes = polygons.stack([part[:2] for part in finished])
    keys, labels, boundary = (np.concatenate([part[k] for part in finished]) for k in (2, 3, 4))
    return RegionSlice(vertices, sizes, keys, labels, boundary, origin, basis, corners, complete)


def _refuse_hopeless(work, chunk, limit):
    """Estimate the polygons from some tiny squares, in the piece and in smaller ones within it."""
    corners, rng = chunk.vertices[0], np.random.default_rng(0)
    middle = corners.mean(axis=0)
    sizes = 8.0 ** -np.arange(4)  # far out there may be little to see
    estimate = max(_estimate(work, chunk, middle + f * (corners - middle), rng) for f in sizes)
    if estimate > 1.2 * limit:
        raise TooLarge(
            f"about {estimate:.1g} regions, by {PROBES} small squares of the plane's piece (limit "
            f"{limit:,}). Take a smaller box, or raise the limit."
        )


def _estimate(work, chunk, corners, rng):
    """The polygons of a convex piece, from those of squares of a small share of its area."""
    span, area = np.ptp(corners, axis=0), float(polygons.areas(corners[None])[0])
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * span
    square *= np.sqrt(PROBE_SHARE * area / span.prod())
    total = 0.0
    for place in rng.dirichlet(np.ones(len(corners)), size=PROBES) @ corners:
        probe = dataclasses.replace(chunk, vertices=(place + square)[None], sizes=np.array([4]))
        try:
            found = sum(len(part) for part in _cut_all(work, probe, CHUNK))
        except TooLarge:
            found = CHUNK
        total += (np.sqrt(found) - 1) ** 2  # (k + 1)^2 pieces show where k^2 polygons would fit
    return total / PROBE_SHARE / PROBES


def _plane(plane, box):
    """Origin, basis and the corners of the domain."""
    if isinstance(plane, tuple) and len(plane) == 2:
        origin = as_float_array(plane[0], "origin", expected="one input")
        basis = as_float_array(plane[1], "basis", expected="two directions")
        if basis.shape != (2, *origin.shape):
            raise InputError(
                f"basis has shape {basis.shape}; expected two directions, {(2, *origin.shape)}."
            )
        corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    else:
        points = as_float_array(plane, "plane", expected="three inputs or (origin, basis)")
        if len(points) != 3 or points.ndim < 2:
            raise InputTypeError(
                f"plane has shape {points.shape}; expected three inputs, or (origin, basis)."
            )
        points = points.astype(np.float64)
        origin, basis = points[0], points[1:] - points[0]
        corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    if box is not None:
        low, high = (np.broadcast_to(np.asarray(side, float), (2,)) for side in box)
        if not (low < high).all():
            raise InputError(f"box is {box!r}; expected (low, high) with low < high.")
        corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    if np.linalg.matrix_rank(basis.reshape(2, -1)) < 2:
        raise InputError("the plane's two directions are parallel; expected three points apart.")
    return origin.astype(np.float64), basis.astype(np.float64), corners


def _cut_all(work, chunk, limit):
    """Yield finished chunks, working off a stack of chunks, the deepest first.

    With each chunk go the outputs whose choice varies over it, and those that still cut polygons.
    """
    stack, done, area = [(0, None, None, chunk)], 0, 0.0
    whole = polygons.areas(chunk.vertices).sum()
    while stack:
        depth, varying, active, chunk = stack.pop()
        known = done + len(chunk) + sum(len(item[3]) for item in stack)
        if known > limit:  # every unfinished polygon holds a region
            raise TooLarge(
                f"more than {limit:,} regions are certain after {area / whole:.1%} of the plane's "
                "piece. Take a smaller box, or raise the limit."
            )
        if depth == len(work):
            done, area = done + len(chunk), area + polygons.areas(chunk.vertices).sum()
            yield chunk
            continue
        stage = work[depth]
        if isinstance(stage, Affine):
            stack.append((depth + 1, None, None, _lift(stage, chunk)))
            continue
        varying, active, cuts = _open_outputs(stage, chunk, varying, active)
        if len(chunk) > CHUNK:
            stack.extend((depth, varying, active, half) for half in _halves(chunk))
            continue
        cut, active = _cut_by(stage, chunk, active, cuts)
        if len(active):
            stack.append((depth, varying, active, cut))
        else:
            stack.append((depth + 1, None, None, _choose(stage, depth, cut, varying)))


def _lift(stage, chunk):
    """Pass base and columns through an affine layer."""
    base, columns = np.split(stage.linear(np.concatenate([chunk.base, chunk.columns])), [3])
    base[2] += stage.apply(np.zeros((1, chunk.base.shape[1])))[0]
    positive = absolute(stage)
    sizes = positive.linear(chunk.sizes_of_terms)
    sizes[2] += positive.apply(np.zeros((1, chunk.base.shape[1])))[0]
    return dataclasses.replace(chunk, base=base, columns=columns, sizes_of_terms=sizes)


def _halves(chunk):
    """Split a chunk by the median of its wider coordinate: halves of neighbours."""
    middle = polygons.centres(chunk.vertices, chunk.sizes)
    axis = np.ptp(middle, axis=0).argmax()
    order = np.argsort(middle[:, axis], kind="stable")
    half = len(order) // 2
    return chunk.part(order[:half]), chunk.part(order[half:])


def _open_outputs(stage, chunk, varying, active):
    """Outputs whose choice is not the same on the whole chunk, or not on every polygon of it.

    Third, which polygons the latter may cut: (outputs, n_polygons).
    """
    if varying is None:
        varying = active = np.arange(len(stage.source))
    back = chunk.corners[2]
    differ, cutting, cuts = [varying[:0]], [varying[:0]], [np.zeros((0, len(back)), dtype=bool)]
    for part in np.array_split(varying, max(1, len(varying) * len(back) // 100_000)):
        if len(part):
            top = chunk.is_top(stage, part, *chunk.corners[:2])
            mixed = (top != top[..., :1]).any(axis=(0, 2))  # of equal functions the first stays
            differ.append(part[mixed])
            still = np.flatnonzero(mixed & np.isin(part, active))
            split = ~_on_all_corners(top[:, still], back).any(axis=0)
            crossing = split.any(axis=1)
            cutting.append(part[still][crossing])
            cuts.append(split[crossing])
    return np.concatenate(differ), np.concatenate(cutting), np.concatenate(cuts)


def _on_all_corners(top, back):
    """Candidates that are largest at all corners of a polygon: (candidates, outputs, polygons)."""
    result = top[..., back[:, 0]]
    for corner in back.T[1:]:
        result &= top[..., corner]
    return result


def _cut_by(stage, chunk, outputs, cuts):
    """Cut by one open output after the other, until done or the chunk has doubled."""
    limit = 2 * CHUNK
    for k, output in enumerate(outputs):
        which = np.flatnonzero(cuts[k])
        part = chunk.part(which)
        source, gain, level = stage.source[output], stage.gain[output], stage.level[output]
        values = _at_vertices(part, source) * gain + level
        sizes = _sizes_at_vertices(part, source) * gain + np.abs(level)
        chunk, origin = _cut_polygons(chunk, which, values, sizes)
        cuts = cuts[:, origin]
        if len(chunk) > limit:
            return chunk, outputs[k + 1 :]
    return chunk, outputs[:0]


def _cut_polygons(chunk, which, values, sizes):
    """Replace some polygons by the parts on which one candidate is largest.

    Parameters
    ----------
    chunk : _Chunk
    which : int array of shape (n,)
    values : array of shape (n, v, candidates)
        The candidates at the polygons' corners.
    sizes : array of shape (n, v, candidates)
        Sizes of the terms that they are sums of.

    Returns
    -------
    chunk, origin
        The new chunk and the number of the old polygon that each new one is part of.
    """
    margin = values[..., :, None] - values[..., None, :]
    margin[np.abs(margin) <= ON_LINE * np.maximum(sizes[..., :, None], sizes[..., None, :])] = 0
    above = (margin > 0).any(axis=1)  # (n, j, i): j beats i at some corner
    same = ~above & ~above.transpose(0, 2, 1)
    own = np.arange(values.shape[2])
    same[:, own, own] = False
    doubled = (same & (own[:, None] > own)).any(axis=2)  # of equal functions the first one wins
    above[:, own, own] = True
    kept = (above | same).all(axis=2) & ~doubled
    number = kept.sum(axis=1)
    rest = np.ones(len(chunk), dtype=bool)
    rest[which[number > 1]] = False
    rest = np.flatnonzero(rest)
    pieces = [(chunk.vertices[rest], chunk.sizes[rest], rest)]
    two = np.flatnonzero(number == 2)
    if len(two):
        pieces.extend(_cut_in_two(chunk, which[two], margin[two], kept[two]))
    for n in np.flatnonzero(number > 2):
        pieces.extend(_cut_in_many(chunk, which[n : n + 1], margin[n], np.flatnonzero(kept[n])))
    origin = np.concatenate([piece[2] for piece in pieces])
    vertices, sizes = polygons.stack([piece[:2] for piece in pieces])
    new = dataclasses.replace(
        chunk,
        vertices=vertices,
        sizes=sizes,
        keys=chunk.keys[origin],
        change=chunk.change[:, origin],
    )
    return new, origin


def _cut_in_two(chunk, which, margin, kept):
    """The parts of polygons that two candidates share."""
    k = np.arange(len(which))
    first = kept.argmax(axis=1)
    second = kept.shape[1] - 1 - kept[:, ::-1].argmax(axis=1)
    level = margin[k, :, first, second]
    for side in (level, -level):
        vertices, sizes = polygons.clip(chunk.vertices[which], chunk.sizes[which], side)
        full = sizes > 2
        yield vertices[full], sizes[full], which[full]


def _cut_in_many(chunk, which, margin, kept):
    """The parts of one polygon, each clipped by all other candidates in turn."""
    for j in kept:
        # the margins of new corners are those of points on the edge: carried along as columns
        carried = np.concatenate([chunk.vertices[which], margin[None, :, j]], axis=2)
        sizes = chunk.sizes[which]
        for i in kept:
            level = carried[:, :, 2 + i]
            if i != j and (level < 0).any() and sizes[0] > 2:
                carried, sizes = polygons.clip(carried, sizes, level)
        inside = sizes[0] > 2 and all((carried[0, :, 2 + i] > 0).any() for i in kept if i != j)
        if inside:
            yield carried[..., :2], sizes, which


def _choose(stage, depth, chunk, varying):
    """Fix every output's choice and keep the outputs in which polygons differ as changes."""
    middle = polygons.centres(chunk.vertices, chunk.sizes)
    points = np.column_stack([middle, np.ones(len(middle))])
    k, owner = np.arange(len(stage.source)), np.arange(len(chunk))
    best = chunk.is_top(stage, k, points[:1], owner[:1])[..., 0].argmax(axis=0)
    own = chunk.is_top(stage, varying, points, owner).argmax(axis=0).T
    keys = chunk.keys + codes(depth, k, best).sum(dtype=np.uint64)
    keys += codes(depth, varying, own).sum(axis=1, dtype=np.uint64)
    keys -= codes(depth, varying, best[varying]).sum(dtype=np.uint64)
    source, slope = stage.source[k, best], stage.slope[k, best]
    base, columns = chunk.base[:, source] * slope, chunk.columns[:, source] * slope
    base[2] += stage.constant[k, best]
    deviation = _picked(stage, chunk, varying, own)
    deviation -= _picked(stage, chunk, varying, np.broadcast_to(best[varying], own.shape))
    moved = np.flatnonzero(deviation.any(axis=(0, 1)))
    units = np.zeros((len(moved), len(k)))
    units[np.arange(len(moved)), varying[moved]] = 1.0
    used = np.flatnonzero(columns.any(axis=1))
    columns = np.concatenate([columns[used], units])
    change = np.concatenate([chunk.change[:, :, used], deviation[:, :, moved]], axis=2)
    sizes = np.sqrt(base**2 + (change**2).max(axis=1) @ columns**2)
    terms = chunk.sizes_of_terms[:, stage.source] * np.abs(stage.slope)
    sizes += CARRIED * terms.max(axis=2)
    if len(columns) > len(k):  # fewer numbers as one column a unit
        change, columns = change @ columns, np.eye(len(k))
    return _Chunk(chunk.vertices, chunk.sizes, keys, base, columns, change, sizes, chunk.jumps)


def _picked(stage, chunk, outputs, choice):
    """The chosen affine functions of some outputs on every polygon, (3, n, len(outputs))."""
    source = stage.source[outputs, choice]
    units, place = np.unique(source, return_inverse=True)
    functions = chunk.functions(units)
    picked = functions[:, np.arange(len(chunk))[:, None], place.reshape(source.shape)]
    picked *= stage.slope[outputs, choice]
    picked[2] += stage.constant[outputs, choice]
    return picked


def _at_vertices(chunk, units):
    """Values of some units at every polygon's own vertices, (n, v, len(units))."""
    u, v = chunk.vertices[:, :, :1], chunk.vertices[:, :, 1:]
    by_u, by_v, constant = chunk.functions(units)[:, :, None]
    return by_u * u + by_v * v + constant


def _sizes_at_vertices(chunk, units):
    """Sizes of the terms of some units at every polygon's own vertices, (n, v, len(units))."""
    sizes = chunk.sizes_of_terms[:, units]
    return np.abs(chunk.vertices) @ sizes[:2] + sizes[2]


def _finish(chunk, classes):
    """Labels at the middles and the segments where two largest outputs are equal."""
    if not classes:
        none = np.zeros(len(chunk), dtype=int)
        return chunk.vertices, chunk.sizes, chunk.keys, none, np.zeros((0, 2, 2))
    outputs = np.arange(chunk.base.shape[1])
    middle = polygons.centres(chunk.vertices, chunk.sizes)
    points = np.column_stack([middle, np.ones(len(middle))])
    labels = chunk.at(outputs, points, np.arange(len(chunk))).argmax(axis=0)
    segments = np.zeros((0, 2, 2))
    if len(outputs) > 1:
        sizes = chunk.sizes_at(outputs, chunk.corners[0])
        top = is_top(chunk.at_corners(outputs), sizes)[:, None]
        split = ~_on_all_corners(top, chunk.corners[2]).any(axis=0)[0]
        if split.any():
            segments = _boundary(chunk.part(np.flatnonzero(split)))
    return chunk.vertices, chunk.sizes, chunk.keys, labels, segments


def _boundary(chunk):
    """Edges of the decision cells along which the runner-up ties, each once."""
    n_outputs = chunk.base.shape[1]
    values = chunk.at_corners(np.arange(n_outputs)).T[chunk.corners[2]]
    sizes = _sizes_at_vertices(chunk, np.arange(n_outputs))
    cut, _ = _cut_polygons(chunk, np.arange(len(chunk)), values, sizes)
    points = np.column_stack([polygons.centres(cut.vertices, cut.sizes), np.ones(len(cut))])
    scores = _at_vertices(cut, np.arange(n_outputs))
    winner = cut.at(np.arange(n_outputs), points, np.arange(len(cut))).argmax(axis=0)
    own = np.take_along_axis(scores, winner[:, None, None], axis=2)
    sizes = _sizes_at_vertices(cut, np.arange(n_outputs))
    its_size = np.take_along_axis(sizes, winner[:, None, None], axis=2)
    tied = np.abs(scores - own) <= 1e-9 * np.maximum(sizes, its_size)
    tied &= np.arange(n_outputs) > winner[:, None, None]
    v = scores.shape[1]
    after = np.where(np.arange(1, v + 1) < cut.sizes[:, None], np.arange(1, v + 1), 0)
    both = tied & np.take_along_axis(tied, after[..., None], axis=1)
    on = both.any(axis=2) & (np.arange(v) < cut.sizes[:, None])
    b, e = np.nonzero(on)
    return np.stack([cut.vertices[b, e], cut.vertices[b, after[b, e]]], axis=1)
