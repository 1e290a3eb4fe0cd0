"""Proxes of several variables, stated and put against every feasible point that can be tried.

A claimed minimiser must not lose to random feasible points, nor to feasible points near itself at
every scale; sets are enumerated where they are finite.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..priors import GroupLaplace, TopK
from ..symbolic.evidence import trials
from .vectors import layer_norm, rms_norm, softmax

_DIM, _LAM = 3, 0.6


def _shrink_block(x, lam=_LAM):
    norm = np.linalg.norm(x)
    return x * max(0.0, 1 - lam / norm) if norm > 0 else x


def _soft(x, lam):
    return np.sign(x) * np.maximum(np.abs(x) - lam, 0)


def _project_simplex(x, total=1.0):
    ordered = np.sort(x)[::-1]
    excess = (np.cumsum(ordered) - total) / np.arange(1, len(x) + 1)
    return np.maximum(x - excess[np.flatnonzero(ordered > excess)[-1]], 0)


def _project_l1(x, radius):
    if np.abs(x).sum() <= radius:
        return x
    return np.sign(x) * _project_simplex(np.abs(x), radius)


def _entropy(z):
    return float(np.sum(np.where(z > 0, z * np.log(np.where(z > 0, z, 1)), 0)) - 0.5 * z @ z)


def _keep(x, k):
    order = np.argsort(-np.abs(x), kind="stable")
    z = np.zeros_like(x)
    z[order[:k]] = x[order[:k]]
    return z


def _anywhere(points):
    return points


def _positive(points):
    return np.maximum(points, 0)


def _simplex(points):
    return np.array([_project_simplex(p) for p in points])


def _sphere(points):
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def _one_hots(points):
    return np.eye(_DIM)


def _two_sparse(points):
    kept = []
    for a, b in itertools.combinations(range(_DIM), 2):
        mask = np.zeros(_DIM)
        mask[[a, b]] = 1
        kept.append(points * mask)
    return np.concatenate(kept)


def _row(prox, penalty, feasible, value=None):
    """A check of a prox; of a class's, ``value`` is its penalty and must be the one stated."""

    def check(n, seed):
        def trial(rng):
            x = rng.uniform(-2.5, 2.5, _DIM)
            z = prox(x)
            near = z + rng.standard_normal((400, _DIM)) * np.geomspace(1e-6, 1, 400)[:, None]
            points = feasible(np.concatenate([rng.uniform(-3, 3, (400, _DIM)), near, x[None]]))
            values = np.array([penalty(p) for p in points])
            least = np.min(0.5 * ((points - x) ** 2).sum(axis=1) + values)
            mine = 0.5 * ((z - x) ** 2).sum() + penalty(z)
            error = max(0.0, float(mine - least))
            if value is not None:  # also where it is infinite
                said = np.append(value(points), value(near))
                stated = np.append(values, [penalty(p) for p in near])
                error = max(error, float(not np.allclose(said, stated, rtol=0, atol=1e-10)))
            where = {f"x{k}": v for k, v in enumerate(x)} | {f"z{k}": v for k, v in enumerate(z)}
            return error, where

        what = "no feasible point beats it"
        return (trials(trial, n, seed=seed, tolerance=1e-10, what=what),)

    return check


def _row_of(prior, penalty, feasible):
    """A check of the package's own prior."""
    return _row(lambda x: prior.prox(x[None])[0], penalty, feasible, lambda p: prior.value(p))


def _zero(z):
    return 0.0


#: (key, prior, penalty, activation, note, check)
VECTOR_ROWS = [
    (
        "group_laplace",
        "group Laplace",
        "lam*norm(z)",
        "block soft threshold",
        "Yuan & Lin 2006",
        _row_of(GroupLaplace(_LAM, [0] * _DIM), lambda z: _LAM * np.linalg.norm(z), _anywhere),
    ),
    (
        "nonnegative_group",
        "nonnegative group",
        "lam*norm(z), z >= 0",
        "block soft threshold of ReLU(x)",
        "",
        _row(
            lambda x: _shrink_block(np.maximum(x, 0)), lambda z: _LAM * np.linalg.norm(z), _positive
        ),
    ),
    (
        "sparse_group",
        "sparse group Laplace",
        "lam*norm(z) + mu*sum abs(z)",
        "block soft after soft",
        "",
        _row(
            lambda x: _shrink_block(_soft(x, 0.3)),
            lambda z: _LAM * np.linalg.norm(z) + 0.3 * np.abs(z).sum(),
            _anywhere,
        ),
    ),
    (
        "max_norm",
        "max norm",
        "lam*max abs(z)",
        "x - projection on the l1 ball",
        "Moreau",
        _row(lambda x: x - _project_l1(x, _LAM), lambda z: _LAM * np.abs(z).max(), _anywhere),
    ),
    (
        "simplex",
        "simplex",
        "indicator of the simplex",
        "sparsemax",
        "Martins & Astudillo 2016",
        _row(_project_simplex, _zero, _simplex),
    ),
    (
        "simplex_entropy",
        "entropy on the simplex",
        "sum z log z - |z|^2/2",
        "softmax",
        "",
        _row(softmax, _entropy, _simplex),
    ),
    (
        "sphere",
        "sphere",
        "indicator of the unit sphere",
        "x/|x|",
        "",
        _row(lambda x: x / np.linalg.norm(x), _zero, _sphere),
    ),
    (
        "scaled_sphere",
        "sphere of radius sqrt(n)",
        "indicator",
        "RMSNorm without gain",
        "",
        _row(rms_norm, _zero, lambda p: np.sqrt(_DIM) * _sphere(p)),
    ),
    (
        "zero_mean_sphere",
        "zero-mean sphere of radius sqrt(n)",
        "indicator",
        "LayerNorm without gain",
        "eps = 0",
        _row(
            layer_norm, _zero, lambda p: np.sqrt(_DIM) * _sphere(p - p.mean(axis=1, keepdims=True))
        ),
    ),
    (
        "top_k",
        "at most k nonzeros",
        "count_nonzero(z) <= k",
        "k winners take all",
        "",
        _row_of(TopK(2), lambda z: 0.0 if np.count_nonzero(z) <= 2 else np.inf, _two_sparse),
    ),
    (
        "nonnegative_top_k",
        "at most k nonzeros, z >= 0",
        "count_nonzero(z) <= k, z >= 0",
        "k winners of ReLU(x)",
        "",
        _row(lambda x: _keep(np.maximum(x, 0), 2), _zero, lambda p: _two_sparse(_positive(p))),
    ),
    (
        "one_hot",
        "one-hot",
        "indicator of the one-hot set",
        "argmax as one-hot",
        "",
        _row(lambda x: np.eye(_DIM)[np.argmax(x)], _zero, _one_hots),
    ),
    (
        "lattice",
        "lattice",
        "indicator of the integers",
        "rounding",
        "scalar; quantised activations",
        _row(np.round, _zero, np.round),
    ),
]
