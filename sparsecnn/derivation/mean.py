"""The derivation of a posterior mean: Tweedie's formula, its slope, what can be read off."""

from __future__ import annotations

import numpy as np
import sympy as sp

from ..symbolic.evaluation import Z
from ..symbolic.prox import X
from ..validation import InputError
from .model import Derivation, Step
from .named import label
from .posterior import PosteriorMean, log_marginal, posterior_moments
from .refuting import evidence

_STEPS = 10.0 ** -np.arange(1.0, 5.0)


def mean_derivation(prior, penalty, settings, noise, bayes):
    """The posterior mean of one coefficient, ``settings`` being the parameters of every atom."""
    if not prior.is_proper:
        raise InputError(
            f"{label(prior)} is not a density, so its posterior mean need not exist; expected a "
            "proper prior. Use estimator='map'."
        )
    values = settings[0]
    if any(other != values for other in settings):
        raise InputError(
            f"{label(prior)} has other parameters for other atoms; expected one setting with "
            "estimator='mean'. Derive the mean once for each setting."
        )
    layer, x = PosteriorMean(penalty, values, noise), np.linspace(-4, 4, 33)
    steps = (
        bayes,
        Step(
            "The posterior mean is $x + \\sigma^2 (\\log p_X)'(x)$ with slope "
            "$\\mathrm{Var}(z\\,|\\,x)/\\sigma^2 > 0$.",
            "Tweedie's formula: differentiate the marginal density of $x$.",
            ("orthonormal atoms", f"noise $\\sigma = {noise:g}$"),
            lambda: [_check_mean(layer, x[::4]), _check_slope(layer, x)],
        ),
        Step(
            "It is smooth and strictly increasing: the prox of another penalty, never with a dead "
            "zone or a kink.",
            "Gribonval 2011: so ReLU, soft and hard thresholds are never posterior means.",
            (),
            lambda: _check_increase(layer, x),
            prior=layer,
        ),
    )
    mean = sp.Eq(sp.Function("E")(Z), X + sp.Symbol("sigma") ** 2 * sp.Symbol("(log p_X)'(x)"))
    return Derivation(f"{label(prior)}, posterior mean", steps, mean, lambda: layer)


def _check_mean(layer, x):
    """The layer against central differences of the marginal's logarithm, by other quadrature."""
    found, noise = posterior_moments(layer.penalty, layer.values, x, layer.noise), layer.noise
    spread = np.sqrt(found.variance)
    shifts = noise * np.minimum(1.0, noise / spread) * _STEPS[:, None]
    grid = x + np.stack([-shifts, shifts, -shifts / 2, shifts / 2])
    columns = [log_marginal(layer.penalty, layer.values, g, noise) for g in np.moveaxis(grid, 2, 0)]
    a, b, c, d = np.stack(columns, axis=2)
    one, half = (b - a) / (2 * shifts), (d - c) / shifts
    tweedie = noise**2 * (4 * half - one) / 3
    rounding = 1e-14 * noise**2 * (1 + np.abs(a)) / shifts
    error = (np.abs(tweedie - layer(x)) - rounding) / (spread + 1e-9 * np.abs(found.mean))
    return _verdict(error.min(axis=0), x, layer, "x + sigma^2 (log p_X)' equals the mean")


def _check_slope(layer, x):
    """``Var/sigma^2`` against central differences of the layer, at the best of four steps."""
    slope = layer.forward(x)[1](np.ones_like(x))[0]
    spread = layer.noise * np.sqrt(np.maximum(slope, 0))
    h = layer.noise * np.minimum(1.0, layer.noise / spread) * _STEPS[:, None]
    y = layer(x + np.stack([-h, h, -h / 2, h / 2]))
    one, half = (y[1] - y[0]) / (2 * h), (y[3] - y[2]) / h
    rounding = 1e-13 * np.abs(y[0]) / h
    error = (np.abs((4 * half - one) / 3 - slope) - rounding) / slope
    return _verdict(error.min(axis=0), x, layer, "the slope equals Var(z | x) / sigma^2")


def _verdict(error, x, layer, what):
    """Errors are relative to the posterior's own spread, or to the slope."""
    k = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    where = None if error[k] <= 1e-5 else {"x": x[k], "mean": float(layer(x[k : k + 1])[0])}
    return evidence(f"{what} at {len(x)} inputs, relative error {max(error[k], 0):.1e}", where)


def _check_increase(layer, x):
    found = posterior_moments(layer.penalty, layer.values, x, layer.noise)
    steps = np.diff(found.mean) + 1e-12 * np.abs(found.mean[1:])
    k = int(np.argmin(np.minimum(steps, found.variance[1:])))
    falls = steps[k] <= 0 or not (found.variance > 0).all()
    where = {"x": x[k], "y": x[k + 1], "mean rises by": float(np.diff(found.mean)[k])}
    detail = "increasing to rounding, with a positive variance, at 33 inputs"
    return evidence(detail, where if falls else None)
