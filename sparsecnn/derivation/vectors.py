"""Maps of several variables: prox or not, by pairs of points and by Jacobians.

The Jacobian test speaks only where a map is differentiable; monotonicity on pairs of points holds
for every prox, so both are run.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..priors import TopK
from ..symbolic.evidence import CONFIRMED, PROVED, Evidence
from ..validation import InputError
from .explanation import Explanation
from .sampling import real


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


def top_k(x, k=2):
    """The ``k`` entries of largest size stay, the others become zero: the prox of ``TopK(k)``."""
    return TopK(k).prox(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def sparsemax(x):
    """The nearest point of the simplex (Martins & Astudillo 2016)."""
    above = np.sort(x, axis=-1)[..., ::-1]
    level = (np.cumsum(above, axis=-1) - 1) / np.arange(1, x.shape[-1] + 1)
    return np.maximum(x - level.max(axis=-1, keepdims=True), 0.0)


def entmax15(x):
    """``argmax <x, p> + 4/3 sum (p - p^(3/2))`` on the simplex (Peters, Niculae & Martins 2019).

    ``p = max(x/2 - t, 0)^2`` with the ``t`` at which the entries above it sum to one.
    """
    above = np.sort(x, axis=-1)[..., ::-1] / 2
    m = np.arange(1, x.shape[-1] + 1)
    mean = np.cumsum(above, axis=-1) / m
    spread = np.maximum(np.cumsum(above**2, axis=-1) / m - mean**2, 0.0)
    level = mean - np.sqrt(np.maximum(1 / m - spread, 0.0))
    count = (level <= above).sum(axis=-1, keepdims=True)
    return np.maximum(x / 2 - np.take_along_axis(level, count - 1, axis=-1), 0.0) ** 2


VECTOR_MAPS = {
    f.__name__: f
    for f in (
        softmax, softmin, log_softmax, rms_norm, layer_norm, keep_largest, top_k, sparsemax,
        entmax15,
    )
}  # fmt: skip
#: of those that are a prox; the others have none
VECTOR_PENALTIES = {
    "softmax": "sum z log z - |z|^2/2 on the simplex",
    "rms_norm": "indicator of the sphere of radius sqrt(n)",
    "layer_norm": "indicator of the zero-mean sphere of radius sqrt(n)",
    "top_k": "indicator of at most k = 2 coefficients that are not zero",
    "sparsemax": "indicator of the simplex",
    "entmax15": "4/3 sum z^(3/2) - |z|^2/2 on the simplex",
}
_MEANS = {"softmax": "one-hot codes (with input x/sigma^2 plus the log of their weights)"}
#: points among which cycles are looked for
_CYCLE_POINTS = 120


def explain_vector(function, dim, name, *, n_points=200, seed=0):
    """The verdict on a map of vectors of length ``dim`` (last axis)."""
    if isinstance(dim, bool) or not isinstance(dim, int) or not 2 <= dim <= 512:
        raise InputError(f"dim is {dim!r}; expected an integer from 2 to 512.")
    points, values = _finite_values(function, _test_points(dim, n_points, seed), name)
    witness = _fall(points, values) or _cycle(points, values)
    if witness is not None:
        how, witness = witness
        return _refuted(name, how, witness)
    jacobians = min(n_points, max(4, 100_000 // dim**2))
    skew, eigenvalues, where = _jacobians(function, points[-jacobians:])
    if skew > 1e-5:
        reason = f"its Jacobian is not symmetric (difference {skew:.3g}), so it is no gradient"
        witness = {f"x{k}": float(v) for k, v in enumerate(where)} | {"skew": skew}
        check = Evidence("numeric", CONFIRMED, reason, witness)
        return Explanation(
            name, False, "confirmed", witness=witness, convex=False, reason=reason, checks=(check,)
        )
    largest, least = float(eigenvalues.max()), float(eigenvalues.min())
    reason = (
        f"monotone on all pairs of {len(points)} points and on all cycles of "
        f"{min(len(points), _CYCLE_POINTS)}, Jacobians symmetric with eigenvalues in "
        f"[{max(least, 0) + 0:.3g}, {largest:.4g}] at {jacobians} random points"
    )
    return Explanation(
        name,
        True,
        "sampled",
        penalty=VECTOR_PENALTIES.get(name),
        convex=bool(largest <= 1 + 1e-5),
        sparse=bool((values[-n_points:] == 0).mean() > 0.01),
        posterior_mean=_MEANS.get(name),
        reason=reason,
        largest_slope=largest,
        checks=(Evidence("numeric", CONFIRMED, reason),),
    )


def _finite_values(function, points, name):
    """The points at which the map is finite, and its values there."""
    with np.errstate(all="ignore"):
        values = real(function(points), name).astype(float)
    if values.shape != points.shape:
        raise InputError(f"{name} maps shape {points.shape} to {values.shape}; expected the same.")
    finite = np.isfinite(values).all(axis=1)
    points, values = points[finite], values[finite]
    if len(points) < 10:
        raise InputError(f"{name} is finite at {len(points)} of the test points; expected most.")
    return points, values


def _refuted(name, how, witness):
    value = next(reversed(witness.values()))
    reason = f"not {how}: {next(reversed(witness))} = {value:.4g} < 0"
    check = Evidence("exact", PROVED, f"{reason}, far more than rounding", witness)
    return Explanation(
        name, False, "proved", witness=witness, convex=False, reason=reason, checks=(check,)
    )


def _fall(points, values):
    """A pair with ``<x - y, f(x) - f(y)> < 0``, the most negative relative to its size."""
    squares = (points * values).sum(axis=1)
    products = squares[:, None] + squares - points @ values.T - values @ points.T
    size = np.linalg.norm(points, axis=1) + 1
    size = size * (np.linalg.norm(values, axis=1) + 1e-30)
    bad = products < -1e-7 * (size[:, None] + size)
    if not bad.any():
        return None
    whole = (points == np.round(points)).all(axis=1)  # integers are checked by hand
    by_hand = bad & whole[:, None] & whole
    i, j = np.unravel_index(
        np.argmin(np.where(by_hand if by_hand.any() else bad, products, 0.0)), products.shape
    )
    witness = _coordinates(points[[i, j]], "xy")
    return "monotone", {**witness, "<x - y, f(x) - f(y)>": float(products[i, j])}


def _cycle(points, values):
    """A closed path with ``sum <f(x_k), x_k - x_(k+1)> < 0``: no gradient of a convex function.

    Floyd and Warshall's shortest paths; a negative entry of the diagonal is such a cycle.
    """
    points, values = points[-_CYCLE_POINTS:], values[-_CYCLE_POINTS:]
    n = len(points)
    length = (points * values).sum(axis=1)[:, None] - values @ points.T
    following = np.tile(np.arange(n), (n, 1))
    slack = 1e-7 * (1 + np.abs(length).max())
    for k in range(n):
        through = length[:, k, None] + length[k]
        shorter = through < length - 1e-12 * slack
        np.copyto(length, through, where=shorter)
        np.copyto(following, np.broadcast_to(following[:, k, None], (n, n)), where=shorter)
        start = int(np.argmin(np.diag(length)))
        if length[start, start] < -slack:
            return _path(points, values, following, start)
    return None


def _path(points, values, following, start):
    path, at = [start], int(following[start, start])
    while at not in path and len(path) <= len(points):
        path.append(at)
        at = int(following[at, start])
    path = path[path.index(at) :] if at in path else path
    x, f = points[path], values[path]
    total = float((f * (x - np.roll(x, -1, axis=0))).sum())
    if total >= 0:
        return None
    witness = {f"x{k}[{i}]": float(v) for k, row in enumerate(x) for i, v in enumerate(row)}
    key = "sum <f(x_k), x_k - x_(k+1)>"
    return f"cyclically monotone over {len(path)} points", {**witness, key: total}


def _coordinates(points, letters):
    return {
        f"{letter}{k}": float(v)
        for letter, row in zip(letters, points, strict=True)
        for k, v in enumerate(row)
    }


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
