"""The proximal operators of the package's priors, from their own formulas."""

import numpy as np
import sympy as sp

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.derivation.forward import domain
from sparsecnn.derivation.named import scalar_penalty
from sparsecnn.symbolic.evidence import brute_force, trials

place = 2
PRIORS = (
    sc.Laplace(0.7),
    sc.Exponential(0.7),
    sc.ElasticNet(0.5, 0.8),
    sc.Huber(0.8, 0.6),
    sc.Gamma(0.6, 0.4),
    sc.SpikeSlab(0.4, 0.3, 0.7),
    sc.LogSum(1.2, 0.4),
    sc.SCAD(0.7, 3.7),
    sc.MCP(0.7, 2.5),
    sc.Lp(0.6, 0.5),
    sc.StudentT(2.0, 0.4),
)


def _claimed(prior, sign):
    def prox(x, values):
        right = prior.prox(x)
        return right if sign > 0 else 2 * x - right  # adds where it should subtract

    return prox


def _penalty(prior):
    penalty = scalar_penalty(prior)[0]
    return [sp.Eq(sp.Symbol("phi"), penalty.expression, evaluate=False), *domain(penalty)]


def _minimises(prior, sign):
    penalty, values = scalar_penalty(prior)
    return lambda: brute_force(penalty, _claimed(prior, sign), [values], n=40)


def _derivative(prior):
    def trial(rng):
        x, h = rng.uniform(-4, 4, 1), 1e-6
        slope = (prior.prox(x + h) - prior.prox(x - h)) / (2 * h)
        if abs(slope[0]) > 50:
            return 0.0, {"x": x[0]}  # the difference straddles a jump
        gap = np.abs(prior.prox_vjp(x, 1.0, np.ones(1))[0] - slope)[0]
        nearby = (
            prior.prox_vjp(x + h, 1.0, np.ones(1))[0] - prior.prox_vjp(x - h, 1.0, np.ones(1))[0]
        )
        return (0.0 if abs(nearby[0]) > 1e-3 else float(gap)), {"x": x[0]}

    return lambda: trials(trial, 30, tolerance=1e-5, what=f"slope of {type(prior).__name__}")


def chapter(sign=1):
    """The chapter; ``sign=-1`` claims that a prox moves away from zero."""
    steps = [
        Step(
            f"{type(prior).__name__}: the package's prox minimises "
            "$\\tfrac12(x-z)^2 + \\varphi(z)$.",
            "stationarity on each piece, and at jumps the lower of two minima.",
            (repr(prior),),
            _minimises(prior, sign),
            _penalty(prior),
            prior,
        )
        for prior in PRIORS
    ]
    steps.append(
        Step(
            "The layer's derivative is $1/(1 + \\varphi''(z))$ on a branch and $0$ in a dead zone.",
            "differentiate $x = z + \\varphi'(z)$.",
            ("away from joints and jumps",),
            lambda: [_derivative(prior)() for prior in PRIORS],
        )
    )
    source = (
        "The proximal operator is Moreau's (1965); who found which closed form is said in the "
        "docstrings of the priors. Stated and tested here; the atlas derives them."
    )
    return Derivation("The prox of each prior", tuple(steps), source=source)


derivation = chapter()
