"""Logistic regression on the top codes: the complete objective of a CNN (Bowren 2021)."""

import numpy as np
import sympy as sp

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import identity, trials

place = 9


def _log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def chapter(sign=1):
    """The chapter; ``sign=-1`` flips the sign of the gradient's data term."""

    def binary():
        a, b = sp.symbols("a b", real=True)
        two = sp.exp(a) / (sp.exp(a) + sp.exp(b))
        points = [dict(a=0.3, b=-1.2), dict(a=-2.0, b=0.1)]
        return identity(two - 1 / (1 + sp.exp(-(a - b))), points, what="two classes")

    def logits():
        def trial(rng):
            levels = [
                sc.Level(sc.ConvDictionary.haar((8, 8)), sc.Exponential(rng.uniform(0, 0.3, 4)))
            ]
            hierarchy, x = sc.Hierarchy(levels), rng.standard_normal((3, 1, 8, 8))
            codes = hierarchy.encode(x, sc.ForwardTransform()).reshape(3, -1)
            weights, bias = rng.standard_normal((5, codes.shape[1])), rng.standard_normal(5)
            layers = [
                sc.Conv2D(levels[0].dictionary.filters, -levels[0].prior.lam, 2, "circular"),
                sc.Activation("relu"),
                sc.Flatten(),
                sc.Linear(weights, bias),
            ]
            network = sc.Network(layers).forward(x)[0]
            error = np.abs(network - (codes @ weights.T + bias)).max()
            return float(error), {"logit": network[0, 0]}

        return trials(
            trial, 10, tolerance=1e-11, what="codes with a readout equal the CNN's logits"
        )

    def gradient():
        def trial(rng):
            codes, labels = rng.standard_normal((4, 6)), rng.integers(0, 3, 4)
            weights, towards = rng.standard_normal((2, 3, 6))

            def loss(w):
                return -_log_softmax(codes @ w.T)[np.arange(4), labels].sum()

            chances = np.exp(_log_softmax(codes @ weights.T))
            claimed = (chances - sign * np.eye(3)[labels]).T @ codes
            h = 1e-6
            slope = (loss(weights + h * towards) - loss(weights - h * towards)) / (2 * h)
            along = float((claimed * towards).sum())
            return abs(slope - along), {"slope": slope, "claimed": along}

        return trials(trial, 20, tolerance=1e-6, what="the gradient of the loss")

    steps = (
        Step(
            "With two classes the softmax of two logits is the logistic function of their "
            "difference.",
            "divide numerator and denominator by the numerator.",
            (),
            binary,
        ),
        Step(
            "A hierarchy with a logistic readout computes the logits of a CNN.",
            "the codes are the forward pass, and the readout is a linear layer.",
            ("no pooling, no normalisation", "exponential priors"),
            logits,
        ),
        Step(
            "The complete objective is $-\\sum_n \\log \\mathrm{softmax}(W z_n)_{y_n}$; its "
            "gradient in $W$ is $\\sum_n (p_n - e_{y_n}) z_n^T$.",
            "the derivative of the log of a softmax; every reconstruction and prior term has gone.",
            (),
            gradient,
        ),
    )
    source = (
        "Logistic regression on top of the hierarchy, as a complete convolutional network without "
        "pooling and normalisation, is stated in the abstract of Bowren 2021 (its body was not at "
        "hand); the formulas are reconstructed here."
    )
    return Derivation("The logistic readout", steps, source=source)


derivation = chapter()
