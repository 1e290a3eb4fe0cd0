"""One exponential rate for each coefficient: the ReLU layer with its biases (Bowren 2021)."""

import numpy as np

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import CONFIRMED, REFUTED, Evidence, trials

place = 4


def chapter(sign=1):
    """The chapter; ``sign=-1`` gives the layer the bias ``+lam``."""

    def layer():
        def trial(rng):
            d = sc.Dictionary.orthonormal(6, rng)
            lam, x = rng.uniform(-0.3, 1, 6), rng.standard_normal((4, 6))
            network = sc.Network([sc.Linear(d.atoms, -sign * lam), sc.Activation("relu")])
            codes = network.forward(x)[0]
            gap = sc.SparseCodingProblem(x, d, sc.Exponential(lam)).relative_gap(codes).max()
            return float(gap), {"lam_0": lam[0], "code": codes[0, 0]}

        return trials(trial, 20, tolerance=1e-12, what="the layer's output has no duality gap")

    def improper():
        others = [sc.Exponential([0.2, -0.5]), sc.Exponential([0.2, 0.0]), sc.NonNegative()]
        holds = sc.Exponential([0.2, 0.5]).is_proper and not any(p.is_proper for p in others)
        detail = "is_proper is True for rates (0.2, 0.5), False for (0.2, -0.5), (0.2, 0), and 0"
        return Evidence("numeric", CONFIRMED if holds else REFUTED, detail)

    def kkt():
        def trial(rng):
            d = sc.Dictionary.random(7, 6, rng)
            lam, x = rng.uniform(0.1, 0.8), rng.standard_normal((1, 6))
            b, gram = d.analyze(x)[0], d.atoms @ d.atoms.T
            code = np.maximum(b - lam, 0)
            v, g = (gram - np.eye(7)) @ code, gram @ code - b + lam
            certified = (
                np.abs(v[code > 0]).max(initial=0) < 1e-12 and g[code == 0].min(initial=0) > -1e-12
            )
            gap = sc.SparseCodingProblem(x, d, sc.Exponential(lam)).relative_gap(code[None])[0]
            return float(certified != (gap < 1e-9)), {"gap": gap, "residual": np.abs(v).max()}

        return trials(trial, 40, tolerance=0.5, what="certificate and duality gap agree")

    def stable():
        def trial(rng):
            d, lam = sc.Dictionary.orthonormal(6, rng), rng.uniform(0, 1)
            x, y = rng.standard_normal((2, 1, 6))
            prior = sc.Exponential(lam)
            moved = np.linalg.norm(prior.prox(d.analyze(x)) - prior.prox(d.analyze(y)))
            return max(0.0, moved - np.linalg.norm(x - y)), {"moved": moved}

        return trials(trial, 40, tolerance=1e-12, what="no output moves further than its input")

    steps = (
        Step(
            "The layer $\\mathrm{ReLU}(D^T x - \\lambda)$, bias $-\\lambda_i$ for each unit, is "
            "the exact code.",
            "each scalar problem $\\tfrac12(z - b)^2 + \\lambda z$ on $z \\geq 0$ is solved by "
            "$\\max(b - \\lambda, 0)$.",
            ("orthonormal atoms", "rates of any sign"),
            layer,
            prior=sc.Exponential(0.7),
        ),
        Step(
            "A positive bias is a negative rate, and such a prior is no density; nor is one "
            "without a bias.",
            "$e^{-\\lambda z/\\sigma^2}$ on $z \\geq 0$ has a finite integral only if "
            "$\\lambda > 0$.",
            (),
            improper,
        ),
        Step(
            "For any atoms the layer is the code iff $v_i = 0$ where active and $g_i \\geq 0$ "
            "elsewhere, with $v = (G - I)z$ and $g = Gz - b + \\lambda$.",
            "these are the Kuhn-Tucker conditions, and $g_i = v_i$ where active: there the "
            "overlaps with the other active atoms, weighted by the code, must cancel.",
            ("unit atoms", "active: $z_i > 0$"),
            kkt,
        ),
        Step(
            "The layer is 1-Lipschitz.",
            "ReLU is, and $\\|D^T\\| = 1$.",
            ("orthonormal atoms",),
            stable,
        ),
    )
    source = (
        "One parameter of an exponential prior for each coefficient, read as the layer's bias, is "
        "stated in the abstract of Bowren 2021 (its body was not at hand). Negative rates, the "
        "certificate for any atoms and the Lipschitz constant are derived here."
    )
    return Derivation("The ReLU layer", steps, source=source)


derivation = chapter()
