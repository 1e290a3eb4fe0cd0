"""The other reading of an activation: the posterior mean of a coefficient under its prior.

``E[z | x] = x + sigma^2 (log p_X)'(x)`` (Tweedie), computed by quadrature, with slope
``Var(z | x) / sigma^2``. Knows the prior's penalty only.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.special import erfcx, expit, log_ndtr

from ..layers import Layer
from ..symbolic.penalty import number
from ..validation import InputError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean and variance of ``z`` given ``x``, arrays of the input's shape."""

    mean: np.ndarray
    variance: np.ndarray


def posterior_moments(penalty, values, x, noise=1.0):
    """Mean and variance under the density ``exp(-(1/2 (x - z)^2 + phi(z)) / noise^2)``.

    Composite Gauss-Legendre quadrature between the penalty's joints, on panels half a standard
    deviation wide that cover 40 of them on both sides of the mode.
    """
    x = np.asarray(x, dtype=np.float64)
    flat = x.ravel()
    mode = penalty.envelope(values).prox(flat)[0]
    low, high = number(penalty.low, values), number(penalty.high, values)
    joints = [z for z, _ in penalty.joint_values(values)]
    means, variances = np.empty(flat.shape), np.empty(flat.shape)
    for k, (here, centre) in enumerate(zip(flat, mode, strict=True)):
        ends = (min(centre, here) - 40 * noise, max(centre, here) + 40 * noise)
        z, weights = _nodes(max(low, ends[0]), min(high, ends[1]), [*joints, centre], noise)
        exponent = -(0.5 * (here - z) ** 2 + penalty.evaluate(z, values)) / noise**2
        weights = weights * np.exp(exponent - exponent.max())
        total = weights.sum()
        means[k] = (weights * z).sum() / total
        variances[k] = (weights * (z - means[k]) ** 2).sum() / total
    return Moments(means.reshape(x.shape), variances.reshape(x.shape))


def _nodes(low, high, joints, noise):
    inner = [j for j in joints if low < j < high]
    cuts = np.unique([low, *inner, high])
    edges = []
    for a, b in itertools.pairwise(cuts):
        count = max(2, int(np.ceil((b - a) / (0.5 * noise))))
        # panels shrink towards both ends, where densities of the Gamma kind are not smooth
        edges.append(a + (b - a) * np.linspace(0, 1, count + 1))
    z, w = [], []
    for panel in edges:
        middle, half = 0.5 * (panel[1:] + panel[:-1]), 0.5 * np.diff(panel)
        z.append((middle[:, None] + half[:, None] * _NODES).ravel())
        w.append((half[:, None] * _WEIGHTS).ravel())
    return np.concatenate(z), np.concatenate(w)


class PosteriorMean(Layer):
    """The posterior mean as an elementwise layer; its slope is ``Var(z | x) / noise^2``.

    Parameters
    ----------
    penalty : Penalty
        From the symbolic island.
    values : dict of str to float
    noise : float
        Standard deviation of the noise, > 0.
    """

    def __init__(self, penalty, values, noise=1.0):
        if not noise > 0:
            raise InputError(f"noise is {noise}; expected a positive number.")
        self.penalty, self.values, self.noise = penalty, dict(values), float(noise)

    def forward(self, x):
        found = posterior_moments(self.penalty, self.values, x, self.noise)
        return found.mean, lambda dy: (dy * found.variance / self.noise**2, {})

    def __repr__(self):
        return f"PosteriorMean({self.penalty.expression}, {self.values}, noise={self.noise:g})"


# -- closed forms ---------------------------------------------------------------------------
def _truncated_normal_mean(u, spread):
    """Mean of a normal with mean ``u`` and deviation ``spread``, restricted to ``z >= 0``."""
    t = u / spread
    ratio = np.exp(-0.5 * t**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(t))
    return u + spread * ratio


def fair_sign(x, noise):
    """Codes +1 or -1 with equal chances: ``tanh(x / noise^2)``."""
    return np.tanh(x / noise**2)


def coin(x, noise, p):
    """Codes 0 or 1, ``P(1) = p``: a logistic sigmoid."""
    return expit((x - 0.5) / noise**2 + np.log(p / (1 - p)))


def one_hot(x, noise, weights):
    """One-hot codes with prior ``weights`` along the last axis: softmax."""
    score = x / noise**2 + np.log(weights)
    score = np.exp(score - score.max(axis=-1, keepdims=True))
    return score / score.sum(axis=-1, keepdims=True)


def exponential(x, noise, rate):
    """Exponential prior of this rate: the smooth ReLU that is a posterior mean."""
    return _truncated_normal_mean(x - rate * noise**2, noise)


def half_normal(x, noise, scale):
    """Half-normal prior of this scale."""
    total = noise**2 + scale**2
    return _truncated_normal_mean(scale**2 * x / total, noise * scale / np.sqrt(total))


def laplace(x, noise, rate):
    """Laplace prior of this rate."""
    plus = erfcx((-x + rate * noise**2) / (noise * np.sqrt(2)))
    minus = erfcx((x + rate * noise**2) / (noise * np.sqrt(2)))
    share = np.where(np.isinf(plus), 1.0, (plus - minus) / (plus + minus))
    share = np.where(np.isinf(minus), -1.0, share)
    return x - rate * noise**2 * share


def uniform(x, noise, low, high):
    """Uniform prior: the mean of a truncated normal."""
    a, b = (low - x) / noise, (high - x) / noise
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    log_b, log_a = log_ndtr(b), log_ndtr(a)
    log_mass = log_b + np.log1p(-np.exp(log_a - log_b))
    density = np.exp(-0.5 * a**2 - log_mass) - np.exp(-0.5 * b**2 - log_mass)
    shift = noise * density / np.sqrt(2 * np.pi)
    return x + np.where(flip, -shift, shift)


def bernoulli_gaussian(x, noise, weight, scale):
    """Zero with chance ``1 - weight``, else normal: a smooth hard threshold."""
    total = noise**2 + scale**2
    odds = np.log(weight / (1 - weight)) + 0.5 * np.log(noise**2 / total)
    odds = odds + 0.5 * x**2 * (1 / noise**2 - 1 / total)
    return expit(odds) * scale**2 * x / total


def bernoulli_exponential(x, noise, weight, rate):
    """Zero with chance ``1 - weight``, else exponential: a smooth thresholded ReLU."""
    u = x - rate * noise**2
    slab = np.log(rate) - rate * x + 0.5 * (rate * noise) ** 2 + log_ndtr(u / noise)
    spike = -0.5 * (x / noise) ** 2 - 0.5 * np.log(2 * np.pi * noise**2)
    return expit(np.log(weight / (1 - weight)) + slab - spike) * exponential(x, noise, rate)
