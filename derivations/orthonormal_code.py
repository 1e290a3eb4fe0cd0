"""Orthonormal atoms: one threshold is the code (Bowren 2021, orthogonal basis functions)."""

import numpy as np

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import trials

place = 3


def _soft(b, lam):
    return np.sign(b) * np.maximum(np.abs(b) - lam, 0)


def _basis(rng, n=8, atoms=5):
    return sc.Dictionary(sc.Dictionary.orthonormal(n, rng).atoms[:atoms])


def chapter(sign=1):
    """The chapter; ``sign=-1`` flips the sign in the least energy."""

    def splits():
        def trial(rng):
            d, x, z = _basis(rng), rng.standard_normal((1, 8)), rng.standard_normal((1, 5))
            b = d.analyze(x)
            left = 0.5 * ((x - d.synthesize(z)) ** 2).sum()
            right = 0.5 * ((x**2).sum() - (b**2).sum() + ((z - b) ** 2).sum())
            return abs(left - right), {"energy": left, "sum of scalars": right}

        return trials(trial, 30, tolerance=1e-12, what="the identity holds")

    def exact():
        def trial(rng):
            d, x = _basis(rng), rng.standard_normal((3, 8))
            prior = sc.Laplace(rng.uniform(0, 1, 5))
            forward = sc.ForwardTransform().solve(sc.SparseCodingProblem(x, d, prior))
            error = np.abs(forward.codes - _soft(d.analyze(x), prior.lam)).max()
            return max(error, forward.gap.max()), {"gap": forward.gap.max()}

        return trials(trial, 20, tolerance=1e-12, what="one step has no duality gap")

    def energy():
        def trial(rng):
            d, x = _basis(rng), rng.standard_normal((1, 8))
            lam = rng.uniform(-0.5, 1, 5)  # any sign of the rates
            problem = sc.SparseCodingProblem(x, d, sc.Exponential(lam))
            codes = problem.prior.prox(d.analyze(x))
            left = problem.objective(codes)[0]
            right = 0.5 * (x**2).sum() - sign * 0.5 * (codes**2).sum()
            return abs(left - right), {"E(z*)": left, "claimed": right}

        return trials(trial, 30, tolerance=1e-12, what="the least energy")

    def norms():
        def trial(rng):
            c, lam = rng.uniform(0.5, 2, (5, 1)), rng.uniform(0.1, 1)
            d = sc.Dictionary(_basis(rng).atoms * c)
            x = rng.standard_normal((1, 8))
            problem = sc.SparseCodingProblem(x, d, sc.Exponential(lam))
            claimed = np.maximum(d.analyze(x) - lam, 0) / c[:, 0] ** 2
            return float(problem.relative_gap(claimed)[0]), {"c": c[0, 0], "lam": lam}

        return trials(trial, 20, tolerance=1e-12, what="no duality gap")

    def doubled():
        def trial(rng):
            d, lam, x = _basis(rng), rng.uniform(0.1, 1), rng.standard_normal((1, 8))
            twice = sc.Dictionary(np.vstack([d.atoms, -d.atoms]))
            b = d.analyze(x)
            pair = np.maximum(np.concatenate([b, -b], axis=1) - lam, 0)
            gap = sc.SparseCodingProblem(x, twice, sc.Exponential(lam)).relative_gap(pair)[0]
            error = np.abs(pair[:, :5] - pair[:, 5:] - _soft(b, lam)).max()
            return max(float(gap), float(error)), {"lam": lam}

        return trials(trial, 20, tolerance=1e-12, what="the doubled dictionary's exact code")

    steps = (
        Step(
            "$\\|x - Dz\\|^2 = \\|x\\|^2 - \\|b\\|^2 + \\|z - b\\|^2$ with $b = D^T x$.",
            "expand and use $D^T D = I$.",
            ("orthonormal atoms, as many as pixels or fewer",),
            splits,
        ),
        Step(
            "The code is the soft threshold of the projections; one step has no duality gap.",
            "the energy is a sum of scalar problems, each solved by its prox.",
            ("orthonormal atoms",),
            exact,
            prior=sc.Laplace(0.7),
        ),
        Step(
            "The least energy is $\\tfrac12\\|x\\|^2 - \\tfrac12\\|z^*\\|^2$.",
            "at the minimum $\\langle z^*, z^* - b + \\lambda\\rangle = 0$.",
            ("orthonormal atoms", "rates of any sign"),
            energy,
        ),
        Step(
            "Atoms of norm $c_i$: the code is $\\mathrm{ReLU}(b_i - \\lambda_i)/c_i^2$.",
            "the scalar problems become $\\tfrac12 c_i^2 z_i^2 - b_i z_i + \\lambda_i z_i$.",
            ("orthogonal atoms",),
            norms,
        ),
        Step(
            "Two ReLUs make a soft threshold, $\\mathrm{ReLU}(b - \\lambda) - "
            "\\mathrm{ReLU}(-b - \\lambda)$, and the pair is the exact nonnegative code of "
            "$[D, -D]$.",
            "at most one of each pair is active, and active atoms are orthogonal.",
            ("$\\lambda > 0$",),
            doubled,
        ),
    )
    source = (
        "That orthogonal basis functions make the code a soft threshold of the projections, and "
        "nonnegativity a ReLU, is stated in the abstract of Bowren 2021 (its body was not at "
        "hand). The proofs, the least energy, atoms of other norms and the doubled dictionary are "
        "derived here."
    )
    return Derivation("The orthonormal code", steps, source=source)


derivation = chapter()
