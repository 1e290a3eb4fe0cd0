"""Maps of several variables: prox or not, by pairs of points and by Jacobians.

The Jacobian test speaks only where a map is differentiable; monotonicity on pairs of points holds
for every prox, so both are run.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..validation import InputError
from .explanation import Explanation


def softmax(x):
    """``exp(x_i) / sum exp(x_j)`` along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmin(x):
    """``softmax(-x)``."""
    return softmax(-x)


def log_softmax(x):
    """``log softmax(x)``."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def rms_norm(x):
    """``sqrt(n) x / |x|``."""
    return x * np.sqrt(x.shape[-1]) / np.linalg.norm(x, axis=-1, keepdims=True)


def layer_norm(x):
    """Layer normalisation without gain and with ``eps = 0``."""
    return rms_norm(x - x.mean(axis=-1, keepdims=True))


def keep_largest(x):
    """The largest entry stays, the others become zero; no prox, though its Jacobian hides it."""
    return np.where(np.arange(x.shape[-1]) == x.argmax(axis=-1)[..., None], x, 0.0)


VECTOR_MAPS = {
    f.__name__: f for f in (softmax, softmin, log_softmax, rms_norm, layer_norm, keep_largest)
}
_PENALTIES = {
    "softmax": "sum z log z - |z|^2/2 on the simplex",
    "rms_norm": "indicator of the sphere of radius sqrt(n)",
    "layer_norm": "indicator of the zero-mean sphere of radius sqrt(n)",
}


def explain_vector(function, dim, name, *, n_points=200, seed=0):
    """The verdict on a map of vectors of length ``dim`` (last axis)."""
    if not isinstance(dim, int) or dim < 2:
        raise InputError(f"dim is {dim!r}; expected an integer of 2 or more.")
    points = _test_points(dim, n_points, seed)
    with np.errstate(all="ignore"):
        values = np.asarray(function(points), dtype=float)
    if values.shape != points.shape:
        raise InputError(f"{name} maps shape {points.shape} to {values.shape}; expected the same.")
    finite = np.isfinite(values).all(axis=1)
    points, values = points[finite], values[finite]
    products = np.einsum("ijk,ijk->ij", points[:, None] - points, values[:, None] - values)
    i, j = np.unravel_index(np.argmin(np.nan_to_num(products)), products.shape)
    if products[i, j] < -1e-9:
        witness = {f"x{k}": float(v) for k, v in enumerate(points[i])}
        witness.update({f"y{k}": float(v) for k, v in enumerate(points[j])})
        witness["<x - y, f(x) - f(y)>"] = float(products[i, j])
        reason = f"not monotone: <x - y, f(x) - f(y)> = {products[i, j]:.4g} < 0"
        return Explanation(name, False, "proved", witness=witness, convex=False, reason=reason)
    skew, eigenvalues, where = _jacobians(function, points[-n_points:])
    if skew > 1e-5:
        witness = {f"x{k}": float(v) for k, v in enumerate(where)} | {"skew": skew}
        reason = f"its Jacobian is not symmetric (difference {skew:.3g}), so it is no gradient"
        return Explanation(name, False, "confirmed", witness=witness, convex=False, reason=reason)
    largest = float(eigenvalues.max())
    reason = (
        f"monotone on {len(points)} points, Jacobians symmetric with eigenvalues in "
        f"[{max(eigenvalues.min(), 0) + 0:.3g}, {largest:.4g}] at {n_points} random points"
    )
    return Explanation(
        name,
        True,
        "sampled",
        penalty=_PENALTIES.get(name),
        convex=bool(largest <= 1 + 1e-5),
        sparse=bool((values == 0).mean() > 0.01),
        reason=reason,
        largest_slope=largest,
    )


def _test_points(dim, n_points, seed):
    """Small integers, which make witnesses that can be checked by hand, then random points."""
    integers = np.array(list(itertools.product((-2.0, -1.0, 1.0, 2.0), repeat=min(dim, 4))))
    integers = np.pad(integers, ((0, 0), (0, dim - integers.shape[1])))
    random = np.random.default_rng(seed).standard_normal((n_points, dim)) * 2
    return np.concatenate([integers, random])


def _jacobians(function, points):
    """(largest asymmetry, eigenvalues, the worst point) of central-difference Jacobians."""
    dim, h = points.shape[1], 1e-5
    shifts = h * np.eye(dim)
    jacobian = (function(points[:, None] + shifts) - function(points[:, None] - shifts)) / (2 * h)
    skew = np.abs(jacobian - jacobian.transpose(0, 2, 1)).max(axis=(1, 2))
    eigenvalues = np.linalg.eigvalsh(0.5 * (jacobian + jacobian.transpose(0, 2, 1)))
    k = int(np.argmax(skew))
    return float(skew[k]), eigenvalues, points[k]
