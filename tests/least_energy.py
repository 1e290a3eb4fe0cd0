"""An independent, dumb minimiser of sparse-coding energies: one coefficient after the other.

Golden-section search on a wide bracket, for all samples at once. It knows no prior and no solver,
only a penalty as a function of arrays; whatever it reaches is an upper bound of the least energy.
"""

from __future__ import annotations

import numpy as np

_GOLDEN = (np.sqrt(5) - 1) / 2
#: halvings of a bracket by the golden ratio: to 1e-14 of its width
_SEARCHES = 68


def energy(x, atoms, penalty, z, mask=None):
    """``1/2 ||mask (x - z atoms)||^2 + sum penalty(z)`` of every sample."""
    mask = np.ones_like(x) if mask is None else mask
    residual = mask * (x - z @ atoms)
    with np.errstate(all="ignore"):
        return 0.5 * (residual**2).sum(axis=1) + penalty(z).sum(axis=1)


def improved(x, atoms, penalty, z, *, low=-np.inf, high=np.inf, reach=1.0, mask=None, sweeps=12):
    """Codes of no larger energy than ``z``, by exact-ish minimisation over one coefficient at once.

    Parameters
    ----------
    x : array, shape (n_samples, n_features)
    atoms : array, shape (n_atoms, n_features)
    penalty : callable
        Of codes (n_samples, n_atoms), elementwise, unimodal plus a parabola along each coefficient.
    z : array, shape (n_samples, n_atoms)
    low, high : float or array, shape (n_atoms,)
        Where the penalty is finite.
    reach : float
        A length beyond which the penalty has no feature of its own.
    """
    mask = np.ones_like(x) if mask is None else np.broadcast_to(mask, x.shape).astype(float)
    low, high = (np.broadcast_to(b, (len(atoms),)) for b in (low, high))
    z, before = z.copy(), energy(x, atoms, penalty, z, mask)
    for _ in range(sweeps):
        start = before
        for j, atom in enumerate(atoms):
            observed = mask * atom
            curvature = (observed**2).sum(axis=1)
            pull = ((mask * (x - z @ atoms)) * atom).sum(axis=1)
            centre = z[:, j] + np.divide(pull, curvature, out=0 * pull, where=curvature > 0)
            width = 8 * (np.abs(centre) + np.abs(z[:, j]) + reach)
            trial = z.copy()
            trial[:, j] = _section(
                lambda t, j=j, pull=pull, curvature=curvature: _along(z, j, t, pull, curvature,
                                                                      penalty),
                np.maximum(centre - width, low[j]),
                np.minimum(centre + width, high[j]),
            )  # fmt: skip
            after = energy(x, atoms, penalty, trial, mask)
            better = after < before
            z[better], before = trial[better], np.where(better, after, before)
        if (start - before <= 1e-13 * (np.abs(start) + np.abs(before))).all():
            break
    return z, before


def _along(z, j, t, pull, curvature, penalty):
    trial = z.copy()
    trial[:, j] = t
    step = t - z[:, j]
    with np.errstate(all="ignore"):
        value = 0.5 * curvature * step**2 - pull * step + penalty(trial)[:, j]
    return np.where(np.isnan(value), np.inf, value)


def _section(function, low, high):
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(_SEARCHES):
        leftwards = at_left <= at_right
        low, high = np.where(leftwards, low, left), np.where(leftwards, right, high)
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        at_left, at_right = function(left), function(right)
    candidates = np.stack([low, high, left, right, 0 * low + np.clip(0, low, high)])
    values = np.stack([function(c) for c in candidates])
    return np.take_along_axis(candidates, np.argmin(values, axis=0)[None], axis=0)[0]
