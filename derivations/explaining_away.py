"""Two atoms: what iterating does that one threshold cannot (explaining away)."""

import numpy as np
import sympy as sp

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import identity, trials

place = 7


def _problem(rho, lam):
    atoms = np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]])
    return sc.SparseCodingProblem(atoms[:1], sc.Dictionary(atoms), sc.Exponential(lam))


def chapter(sign=1):
    """The chapter; ``sign=-1`` flips the sign of the shrinkage in the exact code."""
    rho, lam = sp.symbols("rho lambda", positive=True)

    def one_threshold():
        def trial(rng):
            r, t = rng.uniform(0, 0.99), rng.uniform(0.02, 0.98)
            z = sc.ForwardTransform().solve(_problem(r, t)).codes[0]
            claimed = np.array([1 - t, max(r - t, 0)])
            return float(np.abs(z - claimed).max()), {"rho": r, "lam": t}

        return trials(trial, 40, tolerance=1e-12, what="the layer's code")

    def exact():
        def trial(rng):
            r, t = rng.uniform(0, 0.99), rng.uniform(0.02, 0.98)
            claimed = np.array([[1 - sign * t, 0.0]])
            return float(_problem(r, t).relative_gap(claimed)[0]), {"rho": r, "lam": t}

        return trials(trial, 40, tolerance=1e-12, what="the claimed code has no duality gap")

    def inactive():
        slope = rho * (1 - sign * lam) - rho + lam  # gradient of the second coefficient at 0
        points = [dict(rho=r, **{"lambda": t}) for r in (0.1, 0.9) for t in (0.2, 0.7)]
        return identity(slope - lam * (1 - rho), points, what="its gradient is lam (1 - rho) > 0")

    def iterating():
        def trial(rng):
            r, t = rng.uniform(0, 0.9), rng.uniform(0.05, 0.9)
            z = sc.ISTA(tol=1e-12, max_iter=20000).solve(_problem(r, t)).codes[0]
            return float(np.abs(z - np.array([1 - t, 0.0])).max()), {"rho": r, "lam": t}

        return trials(trial, 10, tolerance=1e-5, what="ISTA reaches it")

    steps = (
        Step(
            "For $x = d_1$ one threshold gives $(1 - \\lambda, \\max(\\rho - \\lambda, 0))$.",
            "the projections are $1$ and $\\rho = d_1^T d_2$.",
            ("unit atoms", "$0 < \\lambda < 1$", "$0 \\leq \\rho < 1$"),
            one_threshold,
        ),
        Step(
            "The exact code is $(1 - \\lambda, 0)$ for every $\\rho < 1$.",
            "the first atom explains the image, so the second is silenced.",
            ("the same",),
            exact,
        ),
        Step(
            "At that code the second atom stays off.",
            "its gradient $\\rho(1 - \\lambda) - \\rho + \\lambda = \\lambda(1 - \\rho)$ is "
            "positive.",
            (),
            inactive,
            sp.Eq(rho * (1 - sign * lam) - rho + lam, lam * (1 - rho)),
        ),
        Step(
            "Iterating the layer reaches the exact code: lateral inhibition $(G - I)z$.",
            "ISTA subtracts from each projection what the active atoms already explain.",
            (),
            iterating,
        ),
    )
    source = (
        "An example made here. A stronger nonlinear transformation than one threshold is proposed "
        "in the abstract of Bowren 2021 (its body was not at hand)."
    )
    return Derivation("Explaining away", steps, source=source)


derivation = chapter()
