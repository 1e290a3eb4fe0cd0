"""The horseshoe prior: its density has a pole at zero, so a mean but no most probable code.

``z ~ N(0, l^2)`` with ``l`` half-Cauchy gives ``p(z) = exp(u) E_1(u) / sqrt(2 pi^3)``,
``u = z^2/2``, which grows like ``log(1/|z|)`` at zero. Carvalho, Polson & Scott 2010, The horseshoe
estimator for sparse signals.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from scipy.special import exp1

from ..symbolic.evidence import PROVED, REFUTED, Evidence, trials

_ANGLE, _WEIGHT = np.polynomial.legendre.leggauss(400)
#: the half-Cauchy's scale is the tangent of an angle that is uniform on (0, pi/2)
_SCALE, _WEIGHT = np.tan(0.25 * np.pi * (_ANGLE + 1)), 0.5 * _WEIGHT


def density(z):
    """The density for ``z != 0``."""
    u = 0.5 * np.asarray(z, dtype=float) ** 2
    return np.exp(u) * exp1(u) / np.sqrt(2 * np.pi**3)


def posterior_mean(x, noise=1.0):
    """``E[z | x]``: shrinkage ``l^2 / (l^2 + noise^2)`` averaged over the scales ``l``."""
    x = np.asarray(x, dtype=float)[..., None]
    total = _SCALE**2 + noise**2
    weights = _WEIGHT * np.exp(-0.5 * x**2 / total) / np.sqrt(total)
    return (weights * x * _SCALE**2 / total).sum(axis=-1) / weights.sum(axis=-1)


def check_refusal(n, seed):
    """Why there is no most probable code: the log density has no upper bound at zero."""
    z = sp.Symbol("z", positive=True)
    pole = sp.limit(sp.exp(z**2 / 2) * sp.expint(1, z**2 / 2), z, 0, "+")
    reason = "the density has a pole at z = 0, so phi is minus infinity there: every x is sent to 0"
    ill_posed = Evidence("symbolic", PROVED if pole == sp.oo else REFUTED, reason)

    def trial(rng):
        at = float(np.exp(rng.uniform(-3, 1.2)))
        mixture = _WEIGHT * np.exp(-0.5 * (at / _SCALE) ** 2) / (np.sqrt(2 * np.pi) * _SCALE)
        return abs(float(mixture.sum() - density(at))), {"z": at}

    what = "the density is the normal mixture over half-Cauchy scales"
    return (ill_posed, trials(trial, n, seed=seed, tolerance=1e-8, what=what))


def check_mean(n, seed):
    """The mean over the scales against quadrature over ``z`` with the closed density."""
    node, weight = np.polynomial.legendre.leggauss(60)
    # z = exp(t): the pole at zero is only logarithmic
    t = np.linspace(-40, 3.6, 140)
    middle, half = 0.5 * (t[1:] + t[:-1]), 0.5 * np.diff(t)
    z = np.exp((middle[:, None] + half[:, None] * node).ravel())
    mass = (half[:, None] * weight).ravel() * z * density(z)

    def trial(rng):
        x, noise = rng.uniform(-4, 4), rng.uniform(0.6, 1.5)
        right = mass * np.exp(-0.5 * ((x - z) / noise) ** 2)
        left = mass * np.exp(-0.5 * ((x + z) / noise) ** 2)
        expected = ((right - left) * z).sum() / (right + left).sum()
        error = abs(float(posterior_mean(x, noise)) - expected)
        return error, {"x": x, "noise": noise}

    what = "equals quadrature over z"
    return (trials(trial, max(5, n // 4), seed=seed, tolerance=1e-8, what=what),)
