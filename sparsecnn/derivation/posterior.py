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
from ..symbolic.evaluation import number
from ..validation import InputError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_GROWING = np.concatenate([-np.geomspace(1e-9, 40, 20), [0.0], np.geomspace(1e-9, 40, 20)])


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean and variance of ``z`` given ``x``, arrays of the input's shape."""

    mean: np.ndarray
    variance: np.ndarray


def posterior_moments(penalty, values, x, noise=1.0):
    """Mean and variance under the density ``exp(-(1/2 (x - z)^2 + phi(z)) / noise^2)``.

    Gauss-Legendre quadrature on panels that shrink towards the mode, the input, the penalty's
    joints and the ends of its wells, halved until a panel and its halves agree.
    """
    x = np.asarray(x, dtype=np.float64)
    flat = x.ravel()
    means, variances = np.empty(flat.shape), np.empty(flat.shape)
    for start in range(0, flat.size, 128):
        here = slice(start, start + 128)
        means[here], variances[here] = _moments(penalty, values, flat[here], noise)
    return Moments(means.reshape(x.shape), variances.reshape(x.shape))


def _moments(penalty, values, x, noise):
    envelope = penalty.envelope(values)
    mode = envelope.prox(x)[0]
    least = 0.5 * (x - mode) ** 2 + penalty.evaluate(mode, values)

    def density(k, z):
        exponent = (x[k][:, None] - z) ** 2 / 2 + penalty.evaluate(z, values) - least[k][:, None]
        return np.exp(np.minimum(-exponent / noise**2, 700.0))

    cuts = [_cuts(penalty, values, envelope, (m, h), noise) for m, h in zip(mode, x, strict=True)]
    k = np.repeat(np.arange(x.size), [len(c) - 1 for c in cuts])
    low, high = (np.concatenate([c[s] for c in cuts]) for s in (slice(None, -1), slice(1, None)))
    k, low, high = _agreed(density, k, low, high, x.size, mode)
    z, weights = _panel_nodes(low, high)
    weights = weights * density(k, z)
    total, first = (np.bincount(k, s, x.size) for s in _sums(weights, z - mode[k][:, None]))
    shift = first / total
    away = z - mode[k][:, None] - shift[k][:, None]
    return mode + shift, np.bincount(k, (weights * away**2).sum(axis=1), x.size) / total


def _sums(weights, away):
    return weights.sum(axis=1), (weights * away).sum(axis=1)


def _agreed(density, k, low, high, n, mode, depth=40):
    """Panels halved until mass, first and second moment are those of both halves together."""
    kept, known = [], np.zeros((3, n))
    for level in range(depth):
        whole = _integrals(density, k, low, high, mode)
        middle = 0.5 * (low + high)
        halves = [_integrals(density, k, a, b, mode) for a, b in ((low, middle), (middle, high))]
        found = np.stack([np.bincount(k, m, n) for m in halves[0] + halves[1]])
        known = np.maximum(known, found)
        error = np.abs(whole - halves[0] - halves[1])
        open_ = (error > 1e-13 * known[:, k] + 1e-300).any(axis=0) & (level < depth - 1)
        kept += [(k[~open_], low[~open_], high[~open_])]
        if not open_.any():
            break
        k, low, middle, high = k[open_], low[open_], middle[open_], high[open_]
        k, low, high = np.tile(k, 2), np.concatenate([low, middle]), np.concatenate([middle, high])
    return tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))


def _integrals(density, k, low, high, mode):
    z, weights = _panel_nodes(low, high)
    weights, away = weights * density(k, z), np.abs(z - mode[k][:, None])
    return np.stack([(weights * away**power).sum(axis=1) for power in range(3)])


def _panel_nodes(low, high):
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    return middle[:, None] + half[:, None] * _NODES, half[:, None] * _WEIGHTS


def _cuts(penalty, values, envelope, centres, noise):
    """Panel ends: everything that bends, and distances from it that grow fourfold."""
    low, high = number(penalty.low, values), number(penalty.high, values)
    left, right = min(centres) - 40 * noise, max(centres) + 40 * noise
    bends = [z for z, _ in penalty.joint_values(values)]
    bends += [end for b in envelope.branches if not b.is_joint for end in (b.low, b.high)]
    bends = np.array([*centres, *(z for z in bends if np.isfinite(z))])
    cuts = (bends[:, None] + noise * _GROWING).ravel()
    inside = cuts[(cuts > max(low, left)) & (cuts < min(high, right))]
    return np.unique([max(low, left), *inside, min(high, right)])


def log_marginal(penalty, values, x, noise=1.0):
    """``log p_X(x) + x^2/(2 noise^2)`` plus a constant, on one mesh for neighbouring inputs.

    Times ``noise^2`` its derivative is ``x + noise^2 (log p_X)'(x)``: a check on the layer.
    """
    x = np.asarray(x, dtype=np.float64)
    envelope, ends = penalty.envelope(values), (x.min(), x.max())
    centres = np.concatenate([ends, envelope.prox(np.array(ends))[0]])
    cuts = _cuts(penalty, values, envelope, centres, noise)
    even = np.linspace(cuts[0], cuts[-1], 1 + int(np.ceil((cuts[-1] - cuts[0]) / (0.2 * noise))))
    fine = np.unique(np.concatenate([even, cuts, 0.5 * (cuts[:-1] + cuts[1:])]))
    z, weights = (a.ravel() for a in _panel_nodes(fine[:-1], fine[1:]))
    exponent = (np.multiply.outer(x, z) - 0.5 * z**2 - penalty.evaluate(z, values)) / noise**2
    top = exponent.max(axis=-1)
    return np.log(np.exp(exponent - top[..., None]) @ weights) + top


def _nodes(low, high, joints, noise):
    """Nodes and weights of panels half a standard deviation wide between the joints."""
    inner = [j for j in joints if low < j < high]
    cuts = np.unique([low, *inner, high])
    counts = [max(2, int(np.ceil((b - a) / (0.5 * noise)))) for a, b in itertools.pairwise(cuts)]
    edges = [
        np.linspace(a, b, n + 1) for (a, b), n in zip(itertools.pairwise(cuts), counts, strict=True)
    ]
    panels = [_panel_nodes(e[:-1], e[1:]) for e in edges]
    return tuple(
        np.concatenate([part.ravel() for part in parts]) for parts in zip(*panels, strict=True)
    )


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
