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


# -- linear regions -------------------------------------------------------------------------
def read_pieces(function, reach=8.0, spacing=1 / 64):
    """Pieces ``(start, slope, constant)`` of a piecewise-linear function, by looking at it.

    A line is followed along a grid until it is left, and the place bisected; pieces wider than
    three grid points are found.
    """

    def line(x):
        (a, b), dx = function(np.array([x, x + spacing / 2])), spacing / 2
        return (b - a) / dx, a - (b - a) / dx * x

    grid = np.arange(-reach, reach, spacing) + 1e-3 * np.pi
    values = function(grid)
    pieces, k = [(-np.inf, *line(grid[0]))], 0
    while True:
        slope, constant = pieces[-1][1:]
        left = np.flatnonzero(np.abs(values[k:] - slope * grid[k:] - constant) > 1e-9)
        if not left.size:
            return pieces
        k += left[0]
        low, high = grid[k - 1], grid[k]
        for _ in range(60):
            middle = 0.5 * (low + high)
            on = abs(function(np.array([middle]))[0] - slope * middle - constant) <= 1e-12
            low, high = (middle, high) if on else (low, middle)
        pieces.append((high, *line(grid[k] + spacing / 4)))


def clipped(polygon, function):
    """The part of a convex polygon (corners in order) on which ``a x + b y + c >= 0``."""
    kept, level = [], polygon @ function[:2] + function[2]
    for i in range(len(polygon)):
        j = (i + 1) % len(polygon)
        if level[i] >= 0:
            kept.append(polygon[i])
        if level[i] * level[j] < 0:
            share = level[i] / (level[i] - level[j])
            kept.append(polygon[i] + share * (polygon[j] - polygon[i]))
    return np.array(kept).reshape(-1, 2)


def area(polygon):
    """Shoelace formula."""
    x, y = polygon.T
    return 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def count_cells(layers, reach):
    """Patterns of pieces with a cell of positive area in the square ``[-reach, reach]^2``.

    ``layers`` are ``(weights, bias, pieces)`` with a list of pieces for every neuron.
    """
    square = reach * np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    cells = [(square, np.array([[1.0, 0, 0], [0, 1, 0]]))]
    for weights, bias, pieces in layers:
        for neuron, row in enumerate(weights):
            cut = []
            for polygon, inputs, *outputs in cells:
                function = row @ inputs + np.array([0, 0, bias[neuron]])
                ends = [start for start, _, _ in pieces[neuron][1:]]
                for k, (_, slope, constant) in enumerate(pieces[neuron]):
                    part = polygon
                    if k and len(part):
                        part = clipped(part, function - [0, 0, ends[k - 1]])
                    if k < len(ends) and len(part):
                        part = clipped(part, [0, 0, ends[k]] - function)
                    if len(part) > 2 and area(part) > 1e-10:
                        cut.append((part, inputs, *outputs, slope * function + [0, 0, constant]))
            cells = cut
        cells = [(polygon, np.array(outputs)) for polygon, _, *outputs in cells]
    return len(cells)
