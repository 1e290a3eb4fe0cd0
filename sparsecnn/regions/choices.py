"""Every bend of a network as a choice between affine functions, and the patterns of choices.

A pattern is the list of all choices made at an input; a 64-bit hash stands for it. Of equal
functions the first one is chosen.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..layers import Conv2D, Linear
from ..validation import as_float_array
from .piecewise import Affine, Bend, Sparse, Winner, stages

#: two candidates nearer than this, relative to the terms they are sums of, count as equal
ON_LINE = 1e-12
#: share of the terms of earlier layers that goes on: rounding is four digits below `ON_LINE`
CARRIED = 1e-2


@dataclasses.dataclass(frozen=True)
class Choice:
    """A stage as a choice per output: the largest, or the piece, of some affine functions.

    Candidate ``j`` of output ``o`` is ``slope[o, j] * z[source[o, j]] + constant[o, j]``. The
    choice is the first largest of ``gain * z + level`` with the same sources; for a maximum both
    are the same functions.
    """

    source: np.ndarray
    slope: np.ndarray
    constant: np.ndarray
    gain: np.ndarray
    level: np.ndarray

    @property
    def width(self):
        """Number of outputs."""
        return len(self.source)


def _plain(work):
    """Write bends and winners as choices."""
    return [s if isinstance(s, Affine) else _as_choice(s) for s in work]


def _as_choice(stage):
    if isinstance(stage, Winner):
        ones, zeros = np.ones(stage.windows.shape), np.zeros(stage.windows.shape)
        return Choice(stage.windows, ones, zeros, ones, zeros)
    n_breaks, n = stage.thresholds.shape
    source = np.repeat(np.arange(n)[:, None], n_breaks + 1, axis=1)
    # pieces as an upper envelope: piece p has gain p and level minus the sum of breakpoints passed;
    # an unused place repeats the last piece, and of equal ones the first is chosen
    real = np.isfinite(stage.thresholds)
    passed = np.cumsum([real, np.where(real, stage.thresholds, 0.0)], axis=1)
    gain, level = np.concatenate([np.zeros((2, 1, n)), passed], axis=1).transpose(0, 2, 1)
    return Choice(source, stage.slopes.T, stage.constants.T, gain, -level)


def _fused(work):
    """As `_plain`, with ReLU and the max-pool behind it as one maximum with zero."""
    out, k = [], 0
    while k < len(work):
        stage, behind = work[k], work[k + 1] if k + 1 < len(work) else None
        if isinstance(stage, Bend) and isinstance(behind, Winner) and _is_relu(stage):
            windows = behind.windows
            source = np.concatenate([windows[:, :1], windows], axis=1)
            slope = np.ones(source.shape)
            slope[:, 0] = 0
            out.append(Choice(source, slope, 0 * slope, slope, 0 * slope))
            k += 2
        else:
            out.append(stage if isinstance(stage, Affine) else _as_choice(stage))
            k += 1
    return out


def _is_relu(stage):
    return (
        len(stage.thresholds) == 1
        and not stage.thresholds.any()
        and not stage.slopes[0].any()
        and not stage.constants.any()
        and (stage.slopes[1] == 1).all()
    )


def codes(depth, outputs, winners):
    """A 64-bit code per output and winner: a pattern's key is their sum."""
    with np.errstate(over="ignore"):
        z = np.uint64(depth + 1) * np.uint64(0x9E3779B97F4A7C15) + outputs.astype(np.uint64)
        z = (z * np.uint64(64) + winners.astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0x94D049BB133111EB)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0xBF58476D1CE4E5B9)
        return z ^ (z >> np.uint64(31))


def at_candidates(stage, values_of, outputs):
    """Deciding functions of the candidates of some outputs: (candidates, outputs, n_points).

    ``values_of(units)`` gives the current layer's values, (len(units), n_points).
    """
    source = stage.source[outputs].T
    units, place = np.unique(source, return_inverse=True)
    values = values_of(units)[place.reshape(source.shape)]
    if (stage.gain[outputs] != 1).any():
        values *= stage.gain[outputs].T[..., None]
    if stage.level[outputs].any():
        values += stage.level[outputs].T[..., None]
    return values


def absolute(stage):
    """An affine map with the absolute values of its numbers: sizes of terms in, of sums out."""
    if isinstance(stage, Sparse):
        return Sparse(abs(stage.matrix), np.abs(stage.constant))
    layer = stage.layer
    bias = None if getattr(layer, "bias", None) is None else np.abs(layer.bias)
    if isinstance(layer, Conv2D):
        layer = Conv2D(np.abs(layer.filters), bias, layer.stride, layer.padding, flip=layer.flip)
    elif isinstance(layer, Linear):
        layer = Linear(np.abs(layer.weights), bias)
    return dataclasses.replace(stage, layer=layer)


def sizes_at_candidates(stage, sizes_of, outputs):
    """As `at_candidates`, of the sizes of the terms instead of the values."""
    positive = dataclasses.replace(stage, level=np.abs(stage.level))  # a gain is not negative
    return at_candidates(positive, sizes_of, outputs)


def is_top(values, sizes):
    """Which candidates (first axis) are largest, up to rounding of terms of these sizes."""
    slack = ON_LINE * sizes
    return values + slack >= (values - slack).max(axis=0)


def first_largest(stage, values, sizes):
    """The chosen candidate of every output, from the current layer's values: (n, n_outputs)."""
    everything = np.arange(len(stage.source))
    values, sizes = (np.ascontiguousarray(a.T).__getitem__ for a in (values, sizes))
    top = is_top(
        at_candidates(stage, values, everything), sizes_at_candidates(stage, sizes, everything)
    )
    return top.argmax(axis=0).T


def as_choices(work, fuse_pools):
    """Write bends and winners as choices; on request ReLU and a max-pool behind it as one."""
    return _fused(work) if fuse_pools else _plain(work)


def pattern_keys(network, points, *, fuse_pools=True):
    """Return the hash of the pattern at each input, comparable with ``RegionSlice.keys``.

    Parameters
    ----------
    network : as in `plane_slice`
    points : array of shape (n_points, *input_shape)
    fuse_pools : bool
        As in `plane_slice`.
    """
    points = as_float_array(points, "points", expected="inputs, batch first")
    work = as_choices(stages(network, points.shape[1:]), fuse_pools)
    flat = points.reshape(len(points), -1)
    return np.concatenate([_keys(work, flat[k : k + 200]) for k in range(0, len(flat), 200)])


def _keys(work, values):
    """Keys of some flat inputs, few enough for the processor's cache."""
    keys, sizes = np.zeros(len(values), dtype=np.uint64), np.abs(values)
    for depth, stage in enumerate(work):
        if isinstance(stage, Affine):
            values, sizes = stage.apply(values), absolute(stage).apply(sizes)
            continue
        winner, k = first_largest(stage, values, sizes), np.arange(len(stage.source))
        keys += codes(depth, k, winner).sum(axis=1, dtype=np.uint64)
        chosen = np.arange(len(values))[:, None], stage.source[k, winner]
        values = values[chosen] * stage.slope[k, winner] + stage.constant[k, winner]
        sizes = np.abs(values) + CARRIED * np.abs(stage.slope[k, winner]) * sizes[chosen]
    return keys
