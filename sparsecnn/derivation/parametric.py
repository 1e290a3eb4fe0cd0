"""The derivation of an activation whose penalty is known only along itself (no elementary form)."""

from __future__ import annotations

import numpy as np

from ..layers import Activation
from ..symbolic.evidence import trials
from .model import Derivation, Step


def parametric_derivation(prior):
    """From ``phi(sigma(x)) = x sigma(x) - psi(x) - sigma(x)^2 / 2`` back to ``sigma``."""

    def minimises():
        def trial(rng):
            x = rng.uniform(-4, 4, 1)
            z = prior.prox(x)
            others = prior.prox(np.concatenate([x + 10.0 ** rng.uniform(-4, 0.5, 40), [x[0] - 1]]))
            mine = 0.5 * (x - z) ** 2 + prior.value(z)
            theirs = 0.5 * (x - others) ** 2 + prior.value(others)
            return float(max(mine[0] - np.nanmin(theirs), 0.0)), {"x": x[0], "z": z[0]}

        return trials(trial, 30, tolerance=1e-9, what="no other value has a smaller objective")

    def monotone():
        def trial(rng):
            a, b = np.sort(rng.uniform(-8, 8, 2))
            low, high = prior.prox(np.array([a, b]))
            return max(0.0, float(low - high)), {"a": a, "b": b, "f(a)": low, "f(b)": high}

        return trials(trial, 200, tolerance=1e-12, what="nondecreasing on pairs of points")

    steps = (
        Step(
            "A nondecreasing $\\sigma$ is the derivative of a convex potential $\\psi$.",
            "an antiderivative of a nondecreasing function is convex.",
            (),
            monotone,
        ),
        Step(
            "Its penalty is $\\varphi(\\sigma(x)) = x\\sigma(x) - \\psi(x) - "
            "\\tfrac12\\sigma(x)^2$, and its prox is $\\sigma$.",
            "$\\varphi = \\psi^* - \\tfrac12 z^2$ and Fenchel's equality at $z = \\sigma(x)$ "
            "(Gribonval and Nikolova 2020).",
            ("$\\psi$ by quadrature",),
            minimises,
            prior=prior,
        ),
    )
    return Derivation(prior.name, steps, prior.name, lambda: Activation(prior))
