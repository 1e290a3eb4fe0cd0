"""How many linear regions a network with given weights has: which method answers, and how surely.

One layer on the whole space is counted over the integers or a prime field, everything else cell by
cell. What would not finish is refused with its estimate; what is stopped keeps what is certain.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..layers import Activation, Conv2D, Linear
from ..priors import Gaussian, NonNegative
from ..validation import InputError, as_generator, as_integer
from . import enumeration, modular
from .arrangement import characteristic_counts, rational_counts, rational_rows
from .cells import FARTHEST, NOISE, THIN
from .choices import pattern_keys
from .formulas import zaslavsky
from .inequalities import serra_upper
from .piecewise import PIECES, Affine, Bend, Winner, as_layers, stages
from .result import STOPPED, Interrupted, RegionCount, TooLarge
from .tropical import TropicalConv2D

#: sets that the integer count may meet before the prime field takes over
LARGEST_RATIONAL = 300_000
#: sets that the prime field may meet, and cells that the linear programs may find
LARGEST_COUNT = 20_000_000
#: operations of the linear programs: some twenty minutes
LARGEST_WORK, WORK_PER_SECOND = 10**11, 10**8
#: numbers that the layers of random inputs may hold, to show a list of cells to be hopeless
LARGEST_PROBE = 10**7


def count(network, input_shape, domain=None, *, limit=None, n_jobs=1, cells=None):
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
        Largest number of cells or sets to list, all processes together; by default what some twenty
        minutes allow.
    n_jobs : int
        Processes that share the cells, where `linear_regions` lists them.
    cells : callable, optional
        `linear_regions`, `search_regions` or another function with their arguments: list the cells
        with it. By default one layer on the whole space is counted without a list; otherwise
        `linear_regions` lists, or `search_regions` where the walls of the cells would not fit.

    Returns
    -------
    RegionCount
        ``exact``; after an interruption ``lower`` and ``upper`` only.

    Raises
    ------
    TooLarge
        Where the count is certain to pass ``limit``, or does.

    Examples
    --------
    >>> from sparsecnn import regions
    >>> regions.count(([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -1.0]), (2,)).exact
    7
    """
    n_jobs = as_integer(n_jobs, "n_jobs")
    work, n = stages(network, input_shape), int(np.prod(input_shape))
    enumeration.refuse_large(work, n)
    listed = LARGEST_COUNT if limit is None else as_integer(limit, "limit")
    each = sum(map(_decisions, work)) ** 2 * (n + 1)  # a linear program a decision
    if limit is None:
        limit = max(100, min(LARGEST_COUNT, LARGEST_WORK // max(each, 1)))
    first = next((k for k, stage in enumerate(work) if not isinstance(stage, Affine)), 0)
    try:
        if domain is None and isinstance(work[first], Bend):
            rows = enumeration.layer_rows(work[: first + 1], n)
            _refuse_hopeless(rows[0], listed)
            if cells is None and enumeration.is_one_layer(work):
                return _count_one_layer(*rows, listed)
            _refuse_far(*rows)
        probes = LARGEST_PROBE // (n + sum(stage.width for stage in work))
        if limit < probes:
            _refuse_certain(network, input_shape, domain, limit, each, probes)
        unit = _at_unit_scale(as_layers(network))
        return _count_cells(unit, input_shape, domain, work, limit, n_jobs, cells)
    except KeyboardInterrupt as stop:
        method = "cells or sets found before the interruption, below; a closed bound above"
        lower = max(1, sum(getattr(stop, "counts", ())))
        return RegionCount(None, None, lower, closed_upper(work, n), None, method, (STOPPED,))


def _at_unit_scale(layers):
    """Layers with the same regions and weights near one: powers of two, so nothing is rounded.

    Where values meet a breakpoint other than zero, or a tropical layer, they keep their scale.
    """
    scaled, scale = [], np.ones(1)  # a channel's values are this many times those given
    for k, layer in enumerate(layers):
        if isinstance(layer, Conv2D | Linear):
            weights = layer.filters if isinstance(layer, Conv2D) else layer.weights
            scale = np.repeat(scale, weights.shape[1] // len(scale))  # flattened channels
            weights = weights / scale.reshape(-1, *(1,) * (weights.ndim - 2))
            sums = np.abs(weights).reshape(len(weights), -1).sum(axis=1)
            behind = itertools.takewhile(
                lambda part: not isinstance(part, Conv2D | Linear), layers[k + 1 :]
            )
            free = (sums > 0) & all(map(_keeps_scale, behind))
            scale = np.where(free, 2.0 ** -np.round(np.log2(np.where(free, sums, 1.0))), 1.0)
            weights = (weights.T * scale).T
            bias = None if layer.bias is None else layer.bias * scale
            if isinstance(layer, Linear):
                layer = Linear(weights, bias)
            else:
                layer = Conv2D(weights, bias, layer.stride, layer.padding, flip=layer.flip)
        scaled.append(layer)
    return scaled


def _keeps_scale(layer):
    """Whether a positive multiple of the input only multiplies the output."""
    if isinstance(layer, Activation):
        prior = layer.prior
        if isinstance(prior, str):
            known = PIECES.get(prior)
            return bool(known) and all(not b and (a in (0, -np.inf)) for a, _, b in known)
        return isinstance(prior, NonNegative | Gaussian)  # and HalfNormal
    return not isinstance(layer, TropicalConv2D)


def _refuse_far(normals, offsets):
    """Linear programs do not see hyperplanes that far away, and would leave them out."""
    length = np.linalg.norm(normals, axis=1)
    real = length > NOISE * length.max(initial=0.0)
    distance = float((np.abs(offsets[real]) / length[real]).max(initial=0.0))
    if distance > FARTHEST:
        raise InputError(
            f"a hyperplane of the first layer is {distance:.1g} away from the origin; expected at "
            f"most {FARTHEST:.1g} for linear programs over the whole space. Count inside a box, "
            "or count one layer without cells."
        )


def _decisions(stage):
    """Hyperplanes that may cut one cell at a stage."""
    if isinstance(stage, Bend):
        return len(stage.breakpoints[0])
    return stage.windows[:, 1:].size if isinstance(stage, Winner) else 0


def _refuse_hopeless(normals, limit):
    """Hyperplanes with ``r`` independent normals make ``2^r`` orthants: refuse before starting."""
    some = normals[:: max(1, len(normals) // (4 * normals.shape[1]))]  # a rank of some is one below
    rank = int(np.linalg.matrix_rank(some))
    if 2**rank > limit:
        raise TooLarge(
            f"the first layer alone has at least 2^{rank} regions (limit "
            f"{limit:,}). Count inside a small box, use plane_slice or sampling, or bound it with "
            "conv_bounds."
        )


def _refuse_certain(network, input_shape, domain, limit, each, probes):
    """Random inputs in more regions than the limit show what a list of cells would come to."""
    probes = min(probes, 2 * limit + 100)
    shape = tuple(int(n) for n in np.atleast_1d(input_shape))
    rng = as_generator(0)
    if domain is None:
        inputs = rng.standard_normal((probes, *shape))
    else:
        low, high = enumeration.as_box(domain, math.prod(shape))
        inputs = rng.uniform(low, high, (probes, math.prod(shape))).reshape(probes, *shape)
    keys = np.zeros(0, dtype=np.uint64)
    try:
        for part in np.array_split(inputs, max(1, probes // 1000)):
            keys = np.union1d(keys, pattern_keys(network, part, fuse_pools=False))
    except KeyboardInterrupt:
        raise Interrupted([len(keys)]) from None
    found = len(keys)
    if found > limit:
        raise TooLarge(
            f"{probes:,} random inputs lie in {found:,} regions (limit {limit:,}), and each region "
            f"takes about {each / WORK_PER_SECOND:.2g} s. Take a smaller box, use plane_slice or "
            "sampling, or raise the limit."
        )


def _count_one_layer(normals, offsets, limit):
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


def _count_cells(network, input_shape, domain, work, limit, n_jobs, cells):
    listing, found = cells or _listing(work, int(np.prod(input_shape)), domain), 0
    if n_jobs > 1 and listing is enumeration.linear_regions:
        start = enumeration.start(network, input_shape, domain)
        found = enumeration.count_in_parallel(*start, limit, n_jobs)
    else:
        try:
            for batch in listing(network, input_shape, domain, limit=limit):
                found += len(batch)
        except KeyboardInterrupt as stop:
            raise Interrupted([max(found, sum(getattr(stop, "counts", ())))]) from None
    how = "reverse search" if listing is enumeration.search_regions else "cell enumeration"
    where = "the whole space" if domain is None else "the box"
    return RegionCount(
        found, None, found, found, None, f"{how} by linear programs over {where}",
        (f"regions thinner than {THIN:g} are not told apart from none",),
    )  # fmt: skip


def _listing(work, n, domain):
    """Cut cells by one neuron after the other, unless too few of them fit into memory."""
    walls = sum(map(_decisions, work)) + (0 if domain is None else 2 * n)
    numbers = (walls + max(stage.width for stage in work)) * (n + 1)
    crowded = numbers * enumeration.BATCH > 16 * enumeration.LARGEST_BATCH
    if crowded and enumeration.is_one_layer(work):
        return enumeration.search_regions
    return enumeration.linear_regions


def closed_upper(work, n):
    """Return a closed bound of the number of regions of any network of this shape.

    Serra et al.'s, if every activation is constant on some piece (then it is a sum of ReLUs, one
    per breakpoint); otherwise general position within the dimensions that the layers before leave.
    """
    bends = [stage for stage in work if not isinstance(stage, Affine)]
    relus = all(isinstance(s, Bend) and (s.slopes == 0).any(axis=0).all() for s in bends)
    if relus and bends:
        return serra_upper(n, [_decisions(stage) for stage in bends])
    value, dimension = 1, n
    for stage in work:
        pairs = _decisions(stage)
        if isinstance(stage, Winner):
            pairs = stage.width * math.comb(stage.windows.shape[1], 2)
        value *= zaslavsky(pairs, dimension)
        dimension = min(dimension, stage.width)
    return value
