"""One layer where nothing separates: the first step of ISTA, and how far it is from the code.

Measured on random dictionaries of the kind at hand with the package's own solvers.
"""

from __future__ import annotations

import numpy as np

from ..problem import SparseCodingProblem
from ..solvers import FISTA, ISTA, ForwardTransform
from ..symbolic.evidence import trials
from ..validation import InputError
from .model import Step
from .separation import atoms_of, signals_for


def one_step(prior, kind):
    """The steps "one layer is one ISTA step" and "how far it is from the code"."""
    scale = ""
    if prior.is_homogeneous:
        scale = " Here the step of size $1/L$ is the same layer divided by $L$."
    yield Step(
        "One layer is the first step of ISTA: from $z = 0$ a step of size $s$ is "
        "$\\mathrm{prox}_{s\\varphi}(s D^T x)$, with $s = 1$ the layer, and a step of size "
        "$1/L$ never "
        f"raises the energy.{scale}",
        "the gradient of $\\tfrac12\\|x - Dz\\|^2$ at zero is $-D^T x$; $L$ is at least the "
        "largest "
        "eigenvalue of $D^T D$.",
        (),
        lambda: _first_iterate(prior, kind),
    )
    if not prior.is_convex:
        yield Step(
            "How far the step is from a best code has no bound for a penalty that is not "
            "convex; the "
            "energy still falls at every step of size $1/L$, and the fixed-point residual "
            "$\\|z - \\mathrm{prox}_{\\varphi/L}(z - \\nabla/L)\\|$ certifies a stationary code.",
            "each step minimises a majoriser of the energy.",
            ("a step $1/L$",),
            lambda: _energy_falls(prior, kind),
        )
        return
    yield Step(
        "How far the step is from the code: after $t$ steps of size $1/L$ the energy is within "
        "$L\\|z^*\\|^2/(2t)$ of the least, and a layer's own code $z_1$ satisfies "
        "$\\tfrac12\\|D(z_1 - z^*)\\|^2 \\leq E(z_1) - E^*$ (which the duality gap bounds) "
        "and, for "
        "independent atoms, $\\|z_1 - z^*\\| \\leq \\|(D^T D - I) z_1\\|/\\mu$.",
        "Beck and Teboulle 2009, theorem 3.1; and $D^T x - z_1$ is a subgradient of the penalty at "
        "$z_1$, so $(D^T D - I) z_1$ is one of the energy, which is $\\mu$-strongly convex. "
        "It is zero "
        "for orthonormal atoms.",
        ("a convex penalty with a least energy", "$\\mu$: the least eigenvalue of $D^T D$"),
        lambda: [_rate(prior, kind), _reconstruction(prior, kind), _distance(prior)],
    )


def _problem(prior, kind, rng):
    dictionary = atoms_of(kind, rng)
    return SparseCodingProblem(signals_for(dictionary, rng), dictionary, prior)


def _first_iterate(prior, kind):
    def trial(rng):
        problem = _problem(prior, kind, rng)
        layer = ForwardTransform().solve(problem).codes
        step = next(iter(ISTA(step=1.0).iterates(problem, None)))
        error = float(np.abs(layer - step).max())
        if prior.is_homogeneous:
            short = next(iter(ISTA().iterates(problem, None)))
            error = max(error, float(np.abs(layer / problem.dictionary.lipschitz - short).max()))
        return error, {"x": problem.x.flat[0]}

    return trials(trial, 10, tolerance=1e-12, what="the layer is the first ISTA iterate")


def _energies(problem):
    iterates = ISTA().iterates(problem, None)
    return np.array([problem.objective(next(iterates))[0] for _ in range(8)])


def _energy_falls(prior, kind):
    def trial(rng):
        energies = _energies(_problem(prior, kind, rng))
        return max(0.0, float(np.max(np.diff(energies)))), {"E(z_1)": energies[0]}

    return trials(trial, 6, tolerance=1e-9, what="the energy decreases for 8 steps")


def _least(problem, max_iter=60):
    """A good code of a convex problem, or None where there is no best; its gap tells how good."""
    try:
        return FISTA(tol=1e-9, max_iter=max_iter).quietly.solve(problem)
    except InputError:  # rates so negative that the energy is unbounded below
        return None


def _slack(problem, best):
    """How far the energy of ``best`` may be above the least: its duality gap."""
    return max(0.0, float(problem.dual_gap(best.codes)[0]))


def _rate(prior, kind):
    def trial(rng):
        problem = _problem(prior, kind, rng)
        best = _least(problem)  # the bound holds against any code
        if best is None:
            return 0.0, {}
        bound = problem.dictionary.lipschitz * (best.codes**2).sum() / (2 * np.arange(1, 9))
        over = _energies(problem) - best.objective[0] - bound
        return max(0.0, float(over.max())), {"E*": best.objective[0]}

    what = "the energy bound holds for 8 steps"
    return trials(trial, 2, tolerance=1e-7, what=what)


def _reconstruction(prior, kind):
    def trial(rng):
        problem = _problem(prior, kind, rng)
        best = _least(problem)
        if best is None:
            return 0.0, {}
        layer = ForwardTransform().solve(problem)
        moved = np.linalg.norm(problem.dictionary.synthesize(layer.codes - best.codes))
        excess = max(0.0, layer.objective[0] - best.objective[0])
        slack = _slack(problem, best)
        bound = np.sqrt(2 * (excess + slack)) + np.sqrt(2 * slack)
        return max(0.0, float(moved - bound)), {"||D(z_1 - z*)||": moved, "bound": bound}

    return trials(trial, 2, tolerance=1e-7, what="the reconstruction bound holds")


def _distance(prior):
    """On independent atoms, where the least eigenvalue is positive."""

    def trial(rng):
        problem = _problem(prior, "independent", rng)
        best = _least(problem)
        if best is None:
            return 0.0, {}
        gram = problem.dictionary.atoms @ problem.dictionary.atoms.T
        layer = ForwardTransform().solve(problem).codes
        least = np.linalg.eigvalsh(gram)[0]
        bound = np.linalg.norm(layer @ gram - layer) / least
        bound += np.sqrt(2 * _slack(problem, best) / least)
        distance = np.linalg.norm(layer - best.codes)
        return max(0.0, float(distance - bound)), {"distance": distance, "bound": bound}

    return trials(trial, 3, tolerance=1e-7, what="the distance bound holds on independent atoms")
