"""The exact pieces of a network along a line segment between two inputs."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..validation import InputError, as_float_array
from .choices import CARRIED, ON_LINE, absolute, as_choices, codes, first_largest
from .piecewise import Affine, stages


@dataclasses.dataclass(frozen=True)
class LineSlice:
    """The linear pieces of a network along ``start + t (end - start)``, ``0 <= t <= 1``.

    Attributes
    ----------
    knots : array of shape (n_regions + 1,)
        Ends of the pieces, from 0 to 1.
    keys : uint64 array of shape (n_regions,)
        Hash of each piece's pattern, as `pattern_keys` gives it.
    length : float
        Euclidean length of the segment.
    """

    knots: np.ndarray
    keys: np.ndarray
    length: float

    @property
    def n_regions(self):
        """Number of pieces."""
        return len(self.keys)

    @property
    def density(self):
        """Pieces per unit of Euclidean length."""
        return self.n_regions / self.length


def line_slice(network, start, end, *, fuse_pools=True):
    """Cut the segment between two inputs exactly into the linear regions of a network.

    Parameters
    ----------
    network : Network, layer, sequence of layers, or (weights, bias)
    start, end : arrays of the input's shape
    fuse_pools : bool
        As in `plane_slice`.

    Returns
    -------
    LineSlice

    Examples
    --------
    >>> from sparsecnn import regions
    >>> regions.line_slice(([[1.0], [2.0]], [-0.25, -1.0]), [0.0], [1.0]).knots.tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    start = as_float_array(start, "start", expected="one input").astype(np.float64)
    end = as_float_array(end, "end", expected="one input").astype(np.float64)
    if start.shape != end.shape or not (start != end).any():
        raise InputError(
            f"start and end have shapes {start.shape} and {end.shape}; expected two different "
            "inputs of one shape."
        )
    work = as_choices(stages(network, start.shape), fuse_pools)
    functions = np.column_stack([(end - start).ravel(), start.ravel()])[None]
    knots, keys, sizes = np.array([0.0, 1.0]), np.zeros(1, dtype=np.uint64), np.abs(functions)
    for depth, stage in enumerate(work):
        if isinstance(stage, Affine):
            functions = np.concatenate([stage.lift(part) for part in _batches(functions)])
            sizes = np.concatenate([absolute(stage).lift(part) for part in _batches(sizes)])
        else:
            parts = [
                _cut(stage, depth, *part)
                for part in zip(
                    _batches(functions), _batches(sizes), _batches(knots[:-1]),
                    _batches(knots[1:]), _batches(keys), strict=True,
                )
            ]  # fmt: skip
            functions, sizes, lows, highs, keys = (
                np.concatenate(arrays) for arrays in zip(*parts, strict=True)
            )
            knots = np.r_[lows, highs[-1]]
    return LineSlice(knots, keys, float(np.linalg.norm(end - start)))


def _batches(array, size=64):
    return [array[k : k + size] for k in range(0, len(array), size)]


def _cut(stage, depth, functions, sizes, lows, highs, keys):
    """Cut pieces where the choice of some output changes, and apply the choices."""
    source, gain, level = stage.source, stage.gain, stage.level
    decide = functions[:, source] * gain[..., None]
    decide[..., 1] += level
    cell, knots = [], []
    at_ends = [decide[..., 0] * t[:, None, None] + decide[..., 1] for t in (lows, highs)]
    for i in range(source.shape[1]):
        for j in range(i):
            left, right = (values[..., i] - values[..., j] for values in at_ends)
            c, o = np.nonzero(left * right < 0)
            share = left[c, o] / (left[c, o] - right[c, o])
            cell.append(c)
            knots.append(lows[c] + share * (highs - lows)[c])
    cell = np.concatenate([np.arange(len(lows)), np.arange(len(lows)), *cell])
    knots = np.concatenate([lows, highs, *knots])
    order = np.lexsort((knots, cell))
    cell, knots = cell[order], knots[order]
    real = (cell[1:] == cell[:-1]) & (knots[1:] - knots[:-1] > ON_LINE)
    lows, highs, cell = knots[:-1][real], knots[1:][real], cell[:-1][real]
    return _merge(stage, depth, functions[cell], sizes[cell], lows, highs, keys[cell])


def _merge(stage, depth, functions, sizes, lows, highs, keys):
    """Apply the choices at the middles; neighbours with equal patterns become one piece."""
    middle = (lows + highs) / 2
    at_middle = [a[..., 0] * middle[:, None] + a[..., 1] for a in (functions, sizes)]
    k, best = np.arange(len(stage.source)), first_largest(stage, *at_middle)
    new = keys + codes(depth, k, best).sum(axis=1, dtype=np.uint64)
    fresh = np.r_[True, new[1:] != new[:-1]]
    highs = highs[np.r_[np.flatnonzero(fresh)[1:] - 1, len(highs) - 1]]
    best, rows = best[fresh], np.flatnonzero(fresh)[:, None]
    source, slope = stage.source[k, best], stage.slope[k, best][..., None]
    chosen = functions[rows, source] * slope
    chosen[..., 1] += stage.constant[k, best]
    carried = np.abs(chosen) + CARRIED * np.abs(slope) * sizes[rows, source]
    return chosen, carried, lows[fresh], highs, new[fresh]
