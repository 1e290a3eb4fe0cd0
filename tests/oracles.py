"""Dumb oracles: brute force, explicit matrices, loops. They know nothing of the package."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.signal import correlate2d


# -- proximal operators ---------------------------------------------------------------------
def best_objective(penalty, v, step, low=-9.0, high=9.0, n_grid=4001, refinements=4):
    """Least ``1/2 (v - z)^2 + step * penalty(z)`` for every entry of ``v``: a grid, then refined.

    ``penalty`` maps a 1-D array to an array. The grid contains 0 and the inputs; the five best grid
    points of every input are refined, each step 50 times finer.
    """
    grid = np.union1d(np.linspace(low, high, n_grid), np.r_[0.0, v])
    objective = 0.5 * (v[:, None] - grid) ** 2 + step * penalty(grid)
    best = objective.min(axis=1)
    for rank in np.argsort(objective, axis=1)[:, :5].T:
        centre, radius = grid[rank], 2 * (high - low) / (n_grid - 1)
        for _ in range(refinements):
            near = centre[:, None] + radius * np.linspace(-1, 1, 201)
            local = 0.5 * (v[:, None] - near) ** 2
            local = local + step * penalty(near.ravel()).reshape(near.shape)
            place = local.argmin(axis=1)[:, None]
            best = np.minimum(best, np.take_along_axis(local, place, axis=1)[:, 0])
            centre, radius = np.take_along_axis(near, place, axis=1)[:, 0], radius / 50
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
    """Squared distance from ``v`` to the vectors with at most ``k`` nonzeros, by enumeration."""
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
    """Explicit atoms as rows, ``(n_codes, n_pixels)``, one entry at a time."""
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
