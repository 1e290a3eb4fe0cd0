"""Batches of convex polygons in the plane, and cutting them by lines.

A batch is ``vertices`` of shape (n, v, 2), padded by repeating the last vertex, and ``sizes``.
Knows nothing of networks.
"""

from __future__ import annotations

import numpy as np


def areas(vertices):
    """Return the areas of the polygons; repeated vertices add nothing."""
    x, y = vertices[..., 0], vertices[..., 1]
    x, y = x - x[:, :1], y - y[:, :1]  # sums of small numbers
    x_next, y_next = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    return np.abs((x * y_next - x_next * y).sum(axis=1)) / 2


def centres(vertices, sizes):
    """Return the mean of each polygon's vertices, a point inside it."""
    real = np.arange(vertices.shape[1]) < sizes[:, None]
    return (vertices * real[..., None]).sum(axis=1) / sizes[:, None]


def clip(vertices, sizes, values):
    """Return the part of each polygon where an affine function is not negative.

    Parameters
    ----------
    vertices : array of shape (n, v, 2) or wider
        Further columns are affine functions, carried along.
    sizes : array of shape (n,)
    values : array of shape (n, v)
        The function at the vertices; every polygon has some positive value.

    Returns
    -------
    vertices, sizes
        Of the clipped polygons, in the same order.
    """
    n, v = values.shape
    k = np.arange(n)
    real = np.arange(v) < sizes[:, None]
    after = np.where(np.arange(1, v + 1) < sizes[:, None], np.arange(1, v + 1), 0)
    next_values = np.take_along_axis(values, after, axis=1)
    crosses = real & (((values > 0) & (next_values < 0)) | ((values < 0) & (next_values > 0)))
    points = np.empty((n, v, 2, vertices.shape[2]))
    points[:, :, 0] = vertices
    points[:, :, 1] = vertices
    c, e = np.nonzero(crosses)
    a, b = values[c, e], next_values[c, e]
    start, end = vertices[c, e], vertices[c, after[c, e]]
    points[c, e, 1] = (start * b[:, None] - end * a[:, None]) / (b - a)[:, None]
    taken = np.stack([real & (values >= 0), crosses], axis=2).reshape(n, 2 * v)
    points = points.reshape(n, 2 * v, -1)
    new_sizes = taken.sum(axis=1)
    width = int(new_sizes.max(initial=1))
    order = np.argsort(~taken, axis=1, kind="stable")[:, :width]
    order = order[k[:, None], np.minimum(np.arange(width), np.maximum(new_sizes, 1)[:, None] - 1)]
    return points[k[:, None], order], new_sizes


def stack(batches):
    """Join batches of different padding into one."""
    width = max(vertices.shape[1] for vertices, _ in batches)
    padded = [
        np.concatenate([v, np.repeat(v[:, -1:], width - v.shape[1], axis=1)], axis=1)
        for v, _ in batches
    ]
    return np.concatenate(padded), np.concatenate([sizes for _, sizes in batches])
