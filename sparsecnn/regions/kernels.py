"""Wide convolutional networks as kernels: random-feature and tangent kernel of a patch hierarchy.

Cagnetta, Favero, Wyart 2023, What can be learnt with wide convolutional neural networks?
"""

from __future__ import annotations

import math

import numpy as np

from ..validation import InputError, as_float_array
from .result import TooLarge

#: numbers of one layer's kernels: two gigabytes, and several arrays of that size
LARGEST_KERNEL = 250_000_000


def _kappa0(t):
    return (math.pi - np.arccos(t)) / math.pi


def _kappa1(t):
    return (np.sqrt(1 - t * t) + t * (math.pi - np.arccos(t))) / math.pi


def hierarchical_kernels(x, y, filter_sizes):
    """Return random-feature and tangent kernel of a deep convolutional ReLU network.

    The first layer sees patches of ``filter_sizes[0]`` entries, normalised to the sphere, the next
    ones group that many patches; the last averages whatever is left.

    Parameters
    ----------
    x, y : arrays of shape (n, d) and (m, d)
    filter_sizes : sequence of int
        Their product must divide ``d``.

    Returns
    -------
    rfk, ntk : arrays of shape (n, m)

    Raises
    ------
    TooLarge
        When the kernels of the first layer's patches would not fit into memory.
    """
    x, y = (as_float_array(a, n, ndim=2, expected="inputs (n, d)") for a, n in ((x, "x"), (y, "y")))
    sizes = [int(s) for s in filter_sizes]
    d = x.shape[1]
    if y.shape[1] != d or not sizes or min(sizes) < 1 or d % math.prod(sizes):
        raise InputError(
            f"filter_sizes {sizes} must have a product that divides the dimension {d} of x and "
            f"{y.shape[1]} of y. Use e.g. filter_sizes=({d},)."
        )
    numbers = len(x) * len(y) * (d // sizes[0])
    if numbers > LARGEST_KERNEL:
        raise TooLarge(
            f"the first layer's kernels are {numbers:.3g} numbers, {numbers * 8 / 1e9:.3g} GB. Use "
            "fewer inputs at a time, or larger first filters."
        )
    patches = [a.reshape(len(a), d // sizes[0], sizes[0]) for a in (x, y)]
    units = [p / np.linalg.norm(p, axis=2, keepdims=True) for p in patches]
    feature = np.clip(np.einsum("npk,mpk->nmp", *units), -1, 1)
    tangent = feature
    for size in [*sizes[1:], None]:
        group = feature.shape[2] if size is None else size
        step = (*feature.shape[:2], -1, group)
        slope = (_kappa0(feature) * tangent).reshape(step).mean(axis=3)
        feature = np.clip(_kappa1(feature).reshape(step).mean(axis=3), -1, 1)
        tangent = slope + feature
    return feature[..., 0], tangent[..., 0]


def effective_dimension(filter_sizes, level):
    """Return ``(s_1 - 1) prod_{2 <= l <= level} s_l``: the dimension of a level's functions."""
    return (filter_sizes[0] - 1) * math.prod(filter_sizes[1:level])


def learning_curve_exponent(filter_sizes, level, smoothness=0.5):
    """Return the predicted ``beta`` in ``error(n) ~ n^-beta`` of a ridgeless deep student.

    A Gaussian teacher on level ``level`` of the hierarchy, learnt by the student with all of
    ``filter_sizes``: ``(1 + 1/d_eff(L)) / (1 + d_eff(level))`` for the tangent kernel.

    Parameters
    ----------
    filter_sizes : sequence of int
        Of the student.
    level : int
        Depth of the teacher, 1 to ``len(filter_sizes)``.
    smoothness : float
        Only 1/2, the tangent kernel's.
    """
    sizes = [int(s) for s in filter_sizes]
    if smoothness != 0.5 or not 1 <= level <= len(sizes) or sizes[0] < 2:
        raise InputError(
            f"level {level}, smoothness {smoothness}: expected 1 <= level <= {len(sizes)}, "
            "smoothness 0.5 and a first filter of at least 2 entries."
        )
    deepest = effective_dimension(sizes, len(sizes))
    return (1 + 1 / deepest) / (1 + effective_dimension(sizes, level))
