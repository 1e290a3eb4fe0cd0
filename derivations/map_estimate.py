"""From Bayes to an energy: what a sparse code minimises (Bowren 2021, the model)."""

import numpy as np
import sympy as sp

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import identity, trials

place = 1


def chapter(sign=1):
    """The chapter; ``sign=-1`` plants a wrong sign in the penalty."""
    x, z = sp.symbols("x z", real=True)
    s, b = sp.symbols("sigma beta", positive=True)
    energy = (x - z) ** 2 / 2 + sign * s**2 / b * sp.Abs(z)

    def log_posterior(code):
        likelihood = sp.log(sp.exp(-((x - code) ** 2) / (2 * s**2)) / sp.sqrt(2 * sp.pi * s**2))
        prior = sp.log(sp.exp(-sp.Abs(code) / b) / (2 * b))
        return sp.expand_log(likelihood + prior, force=True)

    def laplace():
        difference = s**2 * (log_posterior(0) - log_posterior(z)) - (energy - energy.subs(z, 0))
        points = [dict(x=0.7, z=v, sigma=0.3, beta=0.5) for v in (-1.1, 0.4, 2.0)]
        return identity(sp.simplify(difference), points, what="energies differ as posteriors do")

    def package():
        def trial(rng):
            d = sc.Dictionary.random(4, 3, random_state=rng)
            noise, means = rng.uniform(0.3, 1), rng.uniform(0.2, 2, 4)
            signal, codes = rng.standard_normal(3), rng.exponential(1, (2, 4))
            problem = sc.SparseCodingProblem(
                np.stack([signal, signal]), d, sc.Exponential(sign * noise**2 / means)
            )
            residual = signal - codes @ d.atoms
            log_density = -(residual**2).sum(axis=1) / (2 * noise**2) - (codes / means).sum(axis=1)
            left = np.diff(problem.objective(codes))[0]
            right = -(noise**2) * np.diff(log_density)[0]
            return abs(left - right), {"noise": noise, "E(z) - E(w)": left, "expected": right}

        return trials(trial, 30, tolerance=1e-10, what="SparseCodingProblem is minus log posterior")

    def scalar():
        noise, mean, projection = 0.3, 0.5, 0.7
        code = sc.Exponential(sign * noise**2 / mean).prox(np.array([projection]))[0]

        def trial(rng):
            z = rng.exponential(1)
            mine = 0.5 * (projection - code) ** 2 + noise**2 / mean * code
            other = 0.5 * (projection - z) ** 2 + noise**2 / mean * z
            return max(mine - other, 0.0), {"code": code, "better": z}

        return trials(trial, 200, tolerance=1e-12, what="the code 0.52 is most probable")

    steps = (
        Step(
            "For a Laplace prior, $-\\sigma^2 \\log p(z|x)$ is $\\tfrac12(x-z)^2 + \\lambda|z|$ "
            "up to a constant, $\\lambda = \\sigma^2/\\beta$.",
            "Bayes: add the logarithms of the Gaussian likelihood and of the prior.",
            (
                "one coefficient, $D = 1$",
                "Gaussian noise of variance $\\sigma^2$",
                "prior scale $\\beta$",
            ),
            laplace,
            sp.Eq(sp.Symbol("E"), energy, evaluate=False),
        ),
        Step(
            "The package's energy is minus the logarithm of the posterior, with one rate "
            "$\\lambda_i = \\sigma^2/\\theta_i$ for each coefficient.",
            "independent exponential priors of means $\\theta_i$: the logarithms add.",
            ("$z \\geq 0$", "Gaussian noise of variance $\\sigma^2$"),
            package,
        ),
        Step(
            "With $\\sigma = 0.3$, $\\theta = 0.5$ and projection $0.7$ the code is $0.52$.",
            "$0.7 - 0.3^2/0.5 = 0.52$.",
            (),
            scalar,
        ),
    )
    source = (
        "The model is that of sparse coding (Olshausen and Field 1996), from which Bowren 2021 "
        "starts; these steps are derived here."
    )
    return Derivation("The MAP estimate", steps, energy, source=source)


derivation = chapter()
