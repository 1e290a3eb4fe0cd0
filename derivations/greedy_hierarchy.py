"""Stacked models: greedy inference is the forward pass; energies telescope (Bowren 2021)."""

import numpy as np

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import trials

place = 8


def _stack(rng, n=8, depth=3):
    levels = [
        sc.Level(sc.Dictionary.orthonormal(n, rng), sc.Exponential(rng.uniform(0, 0.3, n)))
        for _ in range(depth)
    ]
    return sc.Hierarchy(levels)


def _energies(hierarchy, x, codes):
    below, total = x, []
    for level, z in zip(hierarchy.levels, codes, strict=True):
        problem = sc.SparseCodingProblem(below, level.dictionary, level.prior)
        total.append(problem.objective(z)[0])
        below = z
    return np.array(total)


def chapter(sign=1):
    """The chapter; ``sign=-1`` adds the top code's energy where it must be subtracted."""

    def forward():
        def trial(rng):
            hierarchy, x = _stack(rng), rng.standard_normal((2, 8))
            codes = hierarchy.encode(x, sc.ForwardTransform())
            error = np.abs(codes - hierarchy.to_network().forward(x)[0]).max()
            return float(error), {"largest code": codes.max()}

        return trials(trial, 20, tolerance=1e-12, what="encode equals the network's forward pass")

    def telescope():
        def trial(rng):
            hierarchy, x = _stack(rng), rng.standard_normal((1, 8))
            codes = [s.codes for s in hierarchy.solutions(x, sc.ForwardTransform())]
            left = _energies(hierarchy, x, codes).sum()
            right = 0.5 * (x**2).sum() - sign * 0.5 * (codes[-1] ** 2).sum()
            return abs(left - right), {"sum of energies": left, "claimed": right}

        return trials(trial, 20, tolerance=1e-12, what="the energies telescope")

    def joint():
        def trial(rng):
            hierarchy, x = _stack(rng, depth=2), rng.standard_normal((1, 8))
            codes = [s.codes for s in hierarchy.solutions(x, sc.ForwardTransform())]
            greedy = _energies(hierarchy, x, codes).sum()
            low, high = hierarchy.levels
            first, second = codes
            for _ in range(200):
                pull = low.dictionary.analyze(x) + high.dictionary.synthesize(second)
                first = np.maximum(0.5 * (pull - low.prior.lam), 0)
                second = high.prior.prox(high.dictionary.analyze(first))
            together = _energies(hierarchy, x, [first, second]).sum()
            return max(0.0, together - greedy), {"greedy": greedy, "joint": together}

        return trials(trial, 20, tolerance=1e-12, what="joint inference never has more energy")

    steps = (
        Step(
            "Coding level by level with one step each is the forward pass of a CNN.",
            "each level is a ReLU layer with bias $-\\lambda$.",
            ("exponential priors",),
            forward,
        ),
        Step(
            "For orthonormal levels the energies telescope to "
            "$\\tfrac12\\|x\\|^2 - \\tfrac12\\|z^L\\|^2$.",
            "each level's least energy is half its input's square minus half its code's.",
            ("orthonormal atoms at every level",),
            telescope,
        ),
        Step(
            "Joint inference, $z^l = \\mathrm{ReLU}(\\tfrac12"
            "[D_l^T z^{l-1} + D_{l+1} z^{l+1} - \\lambda^l])$, "
            "has a top-down term and never more energy; the top level keeps its own code.",
            "block coordinate descent on the sum of the energies, started at the greedy code: "
            "$z^l$ stands in two of them, so its square has weight $2 \\cdot \\tfrac12$.",
            ("orthonormal levels",),
            joint,
        ),
    )
    source = (
        "A hierarchy of such models is stated in the abstract of Bowren 2021 (its body was not at "
        "hand). That its forward pass is greedy inference, the telescoping energy and the joint "
        "inference are derived here."
    )
    return Derivation("The greedy hierarchy", steps, source=source)


derivation = chapter()
