"""General atoms: the layer is one ISTA step, and how far that is from the code."""

import numpy as np

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import trials

place = 6


def _problem(rng, atoms=10, pixels=6):
    d = sc.Dictionary.random(atoms, pixels, rng)
    return sc.SparseCodingProblem(
        rng.standard_normal((1, pixels)), d, sc.Exponential(rng.uniform(0.05, 0.4))
    )


def _layer(rng):
    """A problem, its layer's output ``z``, ``||z||^2`` and ``||D z||^2``."""
    problem = _problem(rng, atoms=20, pixels=6)
    z = sc.ForwardTransform().solve(problem).codes
    return problem, z, (z**2).sum(), (problem.dictionary.synthesize(z) ** 2).sum()


def chapter(sign=1):
    """The chapter; ``sign=-1`` takes the gradient step uphill."""

    def iterate():
        def trial(rng):
            problem = _problem(rng)
            eta, start = 1.0, np.zeros(problem.shape)
            step = problem.prior.prox(start - sign * eta * problem.gradient(start), eta)
            layer = sc.ForwardTransform().solve(problem).codes
            return float(np.abs(layer - step).max()), {"layer": layer.max(), "step": step.max()}

        return trials(trial, 20, tolerance=1e-12, what="layer and first iterate agree")

    def rate():
        def trial(rng):
            problem = _problem(rng)
            best = sc.FISTA(tol=1e-12, max_iter=20000).solve(problem)
            size = problem.dictionary.lipschitz * (best.codes**2).sum()
            iterates, worst = sc.ISTA().iterates(problem, None), 0.0
            for t in range(1, 15):
                over = problem.objective(next(iterates))[0] - best.objective[0]
                worst = max(worst, over - size / (2 * t))
            return worst, {"L |z*|^2": size}

        return trials(trial, 8, tolerance=1e-8, what="the bound holds for 14 steps")

    def a_posteriori():
        def trial(rng):
            problem = _problem(rng, atoms=5, pixels=8)
            gram = problem.dictionary.atoms @ problem.dictionary.atoms.T
            lam, b = problem.prior.lam, problem.projections()[0]
            layer = np.maximum(b - lam, 0)
            best = sc.FISTA(tol=1e-13, max_iter=50000).solve(problem).codes[0]
            g = gram @ layer - b + lam
            r = np.where(layer > 0, (gram - np.eye(5)) @ layer, np.minimum(g, 0))
            bound = np.linalg.norm(r) / np.linalg.eigvalsh(gram)[0]
            distance = np.linalg.norm(layer - best)
            return max(0.0, distance - bound), {"distance": distance, "bound": bound}

        return trials(trial, 20, tolerance=1e-6, what="the bound holds")

    def calibrated():
        def trial(rng):
            problem, z, size, square = _layer(rng)
            s = size / square if square else 0.0
            scales = np.append(s, np.linspace(0, 2, 201) * (s or 1.0))
            line = sc.SparseCodingProblem(
                np.repeat(problem.x, scales.size, axis=0), problem.dictionary, problem.prior
            )
            energy = line.objective(scales[:, None] * z)
            found = sc.ForwardTransform(calibrate=True).solve(problem)
            error = float(np.abs(found.codes - s * z).max())
            return max(error, energy[0] - energy.min()), {"s": s}

        return trials(trial, 20, tolerance=1e-10, what="closed form, the least of 200 scales")

    def louder():
        def trial(rng):
            problem, z, size, square = _layer(rng)
            change = float((problem.objective(z) - problem.objective(0 * z))[0])
            said = sign * (square / 2 - size)
            return abs(change - said), {"E(z) - E(0)": change, "||Dz||^2/2 - ||z||^2": said}

        return trials(trial, 20, tolerance=1e-10, what="the difference of energies")

    steps = (
        Step(
            "The layer is the first step of ISTA from $z = 0$ with step $1$.",
            "the gradient of $\\tfrac12\\|x - Dz\\|^2$ at $0$ is $-D^T x$.",
            (),
            iterate,
        ),
        Step(
            "After $t$ steps of size $1/L$ the energy is within $L\\|z^*\\|^2/(2t)$ of the least.",
            "Beck and Teboulle 2009, theorem 3.1.",
            ("convex penalty", "$L$ at least the largest eigenvalue of $D^T D$"),
            rate,
        ),
        Step(
            "If $\\mu$ is the least eigenvalue of $G = D^T D$, the layer is within "
            "$\\|r\\|/\\mu$ of the code, $r$ its Kuhn-Tucker residual.",
            "the energy is $\\mu$-strongly convex; $r_i = ((G - I)z)_i$ where $z_i > 0$, and "
            "elsewhere the negative part of $g_i = (Gz - b + \\lambda)_i$.",
            ("unit atoms, $\\mu > 0$", "exponential prior"),
            a_posteriori,
        ),
        Step(
            "The best rescaling of the layer's output is $s = \\|z\\|^2/\\|Dz\\|^2$; it never "
            "loses to the zero code.",
            "$z$ minimises $\\tfrac12\\|D^T x - z\\|^2 + \\varphi(z)$, along its ray too, so that "
            "$\\langle D^T x - z, z\\rangle = \\varphi(z)$, and $E(sz) = E(0) + "
            "\\tfrac12 s^2\\|Dz\\|^2 - s\\|z\\|^2$.",
            ("$\\varphi(sz) = s\\varphi(z)$ for $s \\ge 0$",),
            calibrated,
        ),
        Step(
            "The layer has more energy than no code exactly where $\\|Dz\\|^2 > 2\\|z\\|^2$.",
            "the parabola at $s = 1$: $E(z) - E(0) = \\tfrac12\\|Dz\\|^2 - \\|z\\|^2$.",
            ("$\\varphi(sz) = s\\varphi(z)$ for $s \\ge 0$",),
            louder,
        ),
    )
    source = (
        "The rate is Beck and Teboulle's (2009). That a threshold of projections is a first step "
        "of sparse coding is in Denil and de Freitas (2012, abstract); the bound on the distance "
        "and the rescaling are derived here."
    )
    return Derivation("One step", steps, source=source)


derivation = chapter()
