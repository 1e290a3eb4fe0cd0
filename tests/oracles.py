"""Dumb oracles: brute force, explicit matrices, loops. Slow, obvious, and knowing nothing of the package."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.signal import correlate2d


# -- proximal operators ---------------------------------------------------------------------
def best_objective(penalty, v, step, low, high, n_grid=4001, refinements=4):
    """Least ``1/2 (v - z)^2 + step * penalty(z)`` over a grid on ``[low, high]``, refined.

    ``penalty`` maps an array to an array. The grid always contains 0 (where in range), the ends
    and ``v``.
    """
    special = [z for z in (0.0, v, low, high) if low <= z <= high and np.isfinite(z)]
    grid = np.concatenate([np.linspace(low, high, n_grid), special])
    with np.errstate(all="ignore"):
        objective = 0.5 * (v - grid) ** 2 + step * penalty(grid)
        best = float(np.nanmin(objective))
        width = (high - low) / (n_grid - 1)
        for centre in grid[np.argsort(objective)[:5]]:
            radius = width
            for _ in range(refinements):
                near = np.clip(np.linspace(centre - radius, centre + radius, 201), low, high)
                local = 0.5 * (v - near) ** 2 + step * penalty(near)
                centre, radius = near[np.nanargmin(local)], radius / 50
                best = min(best, float(np.nanmin(local)))
    return best


def supremum(function, low, high, n_grid=20001, refinements=6):
    """Numeric ``sup function`` on ``[low, high]`` for a function of arrays with one bump."""
    grid = np.linspace(low, high, n_grid)
    with np.errstate(all="ignore"):
        values = function(grid)
        best, centre = np.nanmax(values), grid[np.nanargmax(values)]
        radius = (high - low) / (n_grid - 1)
        for _ in range(refinements):
            near = np.clip(np.linspace(centre - radius, centre + radius, 401), low, high)
            values = function(near)
            best, centre, radius = (
                max(best, np.nanmax(values)),
                near[np.nanargmax(values)],
                radius / 100,
            )
    return float(best)


def best_support(v, k):
    """Squared distance from ``v`` to the nearest vector with at most ``k`` nonzeros, by enumeration."""
    best = np.inf
    for kept in itertools.combinations(range(v.size), min(k, v.size)):
        rest = np.delete(v, kept)
        best = min(best, float(rest @ rest))
    return best


def central_difference(function, at, direction, h=1e-6):
    """``d/dt function(at + t direction)`` at 0."""
    return (function(at + h * direction) - function(at - h * direction)) / (2 * h)


# -- convolutions ---------------------------------------------------------------------------
def positions_and_padding(size, kernel, stride, padding):
    """(number of positions, zeros in front) along one axis, straight from the definitions."""
    if padding == "valid":
        return (size - kernel) // stride + 1, 0
    if padding == "same":
        positions = -(-size // stride)
        return positions, max((positions - 1) * stride + kernel - size, 0) // 2
    if padding == "circular":
        return -(-size // stride), 0
    return (size + 2 * padding - kernel) // stride + 1, padding


def conv_matrix(filters, image_shape, stride, padding):
    """Explicit analysis matrix ``(n_codes, n_pixels)``, one entry at a time: its rows are the atoms."""
    n_filters, channels, kh, kw = filters.shape
    height, width = image_shape
    oh, top = positions_and_padding(height, kh, stride[0], padding)
    ow, left = positions_and_padding(width, kw, stride[1], padding)
    matrix = np.zeros((n_filters, oh, ow, channels, height, width))
    for k, i, j, c, u, v in np.ndindex(n_filters, oh, ow, channels, kh, kw):
        y, x = i * stride[0] + u - top, j * stride[1] + v - left
        if padding == "circular":
            y, x = y % height, x % width
        if 0 <= y < height and 0 <= x < width:
            matrix[k, i, j, c, y, x] += filters[k, c, u, v]
    return matrix.reshape(n_filters * oh * ow, channels * height * width)


def correlate(x, filters, stride, padding):
    """Cross-correlations by ``scipy.signal.correlate2d`` on a padded image, then subsampled."""
    height, width = x.shape[2:]
    kh, kw = filters.shape[2:]
    oh, top = positions_and_padding(height, kh, stride[0], padding)
    ow, left = positions_and_padding(width, kw, stride[1], padding)
    bottom = max((oh - 1) * stride[0] + kh - height - top, 0)
    right = max((ow - 1) * stride[1] + kw - width - left, 0)
    mode = "wrap" if padding == "circular" else "constant"
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=mode)
    out = np.zeros((len(x), len(filters), oh, ow))
    for n, k, c in np.ndindex(len(x), len(filters), x.shape[1]):
        full = correlate2d(padded[n, c], filters[k, c], mode="valid")
        out[n, k] += full[:: stride[0], :: stride[1]][:oh, :ow]
    return out


def gram_facts(atoms):
    """(coherence, largest |G - I| entry, ||G - I||_2, largest eigenvalue) of explicit atom rows."""
    gram = atoms @ atoms.T
    norms = np.linalg.norm(atoms, axis=1)
    outer = np.outer(norms, norms)
    cosine = np.divide(np.abs(gram), outer, out=np.zeros_like(gram), where=outer > 0)
    np.fill_diagonal(cosine, 0.0)
    difference = gram - np.eye(len(gram))
    eigenvalues = np.linalg.eigvalsh(gram)
    spectral = np.abs(np.linalg.eigvalsh(difference)).max()
    return min(cosine.max(), 1.0), np.abs(difference).max(), spectral, eigenvalues[-1]
