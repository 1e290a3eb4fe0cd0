"""How far codes are from reference codes: distances and overlaps, one number per sample."""

from __future__ import annotations

import numpy as np


def norms(array):
    """Euclidean norm of each sample, float64."""
    flat = array.reshape(len(array), -1).astype(np.float64, copy=False)
    return np.sqrt(np.einsum("ni,ni->n", flat, flat))


def relative_error(codes, reference):
    """``||z - z*|| / ||z*||`` per sample; nan where ``z* = 0`` and ``z != 0``."""
    distance, size = norms(codes - reference), norms(reference)
    relative = np.divide(distance, size, out=np.full(len(size), np.nan), where=size > 0)
    relative[distance == 0] = 0.0
    return relative


def jaccard(a, b):
    """Jaccard index of two supports, per sample; 1 where both are empty."""
    axes = tuple(range(1, a.ndim))
    either, both = (a | b).sum(axis=axes), (a & b).sum(axis=axes)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def known_mean(values):
    """Mean over the values that are not nan."""
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
