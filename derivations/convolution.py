"""The convolutional layer: analysis, and when it is the code of the whole image (Bowren 2021)."""

import numpy as np

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import CONFIRMED, REFUTED, Evidence, trials

place = 5


def chapter(sign=1):
    """The chapter; ``sign=-1`` claims the adjoint with the wrong sign."""

    def adjoint():
        def trial(rng):
            stride, padding = int(rng.integers(1, 4)), rng.choice(["valid", "same", "circular"])
            d = sc.ConvDictionary(rng.standard_normal((3, 2, 3, 3)), (9, 9), stride, str(padding))
            x = rng.standard_normal((1, *d.signal_shape))
            z = rng.standard_normal((1, *d.code_shape))
            left, right = (d.analyze(x) * z).sum(), sign * (x * d.synthesize(z)).sum()
            return abs(left - right), {"<analyze x, z>": left, "<x, synthesize z>": right}

        return trials(trial, 20, tolerance=1e-10, what="adjoint")

    def exact():
        found = []
        for name, d in (
            ("kernel = stride", sc.ConvDictionary.orthonormal(3, 3, (9, 9), random_state=0)),
            ("Haar", sc.ConvDictionary.haar((8, 8))),
            ("Daubechies-4", sc.ConvDictionary.daubechies4((8, 8))),
        ):
            x = np.random.default_rng(0).standard_normal((2, *d.signal_shape))
            prior = sc.Exponential(0.3)
            gap = sc.ForwardTransform().solve(sc.SparseCodingProblem(x, d, prior)).gap.max()
            verdict = CONFIRMED if gap < 1e-12 else REFUTED
            found.append(Evidence("numeric", verdict, f"{name}: relative gap {gap:.1e}"))
        return found

    def overlap():
        d = sc.ConvDictionary.orthonormal(6, 3, (12, 12), stride=1, random_state=0)
        x = np.random.default_rng(0).standard_normal((1, 1, 12, 12))
        problem = sc.SparseCodingProblem(x, d, sc.Exponential(0.1))
        one, zero = (
            problem.objective(sc.ForwardTransform().solve(problem).codes)[0],
            0.5 * (x**2).sum(),
        )
        best = sc.FISTA(tol=1e-6, max_iter=5000).solve(problem).objective[0]
        holds = one > zero > best and not d.is_orthonormal
        detail = f"energies: one step {one:.1f}, zero code {zero:.1f}, exact code {best:.2f}"
        return Evidence("numeric", CONFIRMED if holds else REFUTED, detail)

    def counting():
        found = []
        for padding, atoms, stride, size in (("circular", 2, 1, 6), ("valid", 2, 1, 5)):
            rows = sc.ConvDictionary.orthonormal(
                atoms, 3, (size, size), stride=stride, padding=padding, random_state=1
            )
            verdict = CONFIRMED if not rows.is_orthonormal else REFUTED
            detail = f"{padding}, {atoms} filters, 1 channel, stride {stride}, {size}x{size}: "
            detail += f"||D^T D - I|| = {rows.gram_deviation:.2f}"
            found.append(Evidence("numeric", verdict, detail))
        tiny = sc.ConvDictionary.orthonormal(2, 3, (3, 3), stride=1, random_state=1)
        verdict = CONFIRMED if tiny.is_orthonormal else REFUTED
        found.append(Evidence("numeric", verdict, "valid, 2 filters on a 3x3 image: orthonormal"))
        return found

    steps = (
        Step(
            "The layer's cross-correlation is the adjoint of the synthesis "
            "$\\sum_k \\phi_k * z_k$.",
            "both pair every filter tap with the same pixel and position.",
            ("any stride and padding",),
            adjoint,
        ),
        Step(
            "Where all shifted copies are orthonormal the layer is the code of the whole image: "
            "stride equal to the kernel, Haar and Daubechies-4 filters at stride 2.",
            "the dictionary's Gram matrix is the identity, so one threshold is exact.",
            ("periodic grid for the wavelets",),
            exact,
        ),
        Step(
            "Orthonormal filters are not enough: at stride 1 one step can have more energy than "
            "the zero code.",
            "shifted copies overlap and are correlated, so the projections count the same signal "
            "many times.",
            ("six orthonormal $3 \\times 3$ filters on a $12 \\times 12$ image",),
            overlap,
        ),
        Step(
            "On a periodic grid orthonormality needs $K \\leq C s^2$; with valid padding at "
            "stride 1 it needs $K \\leq C$ once the image has at least $2k - 1$ pixels along "
            "each side; tiny images can be exact.",
            "there cannot be more orthonormal atoms than pixels; and where every shift of one "
            "filter against another occurs, the $K$ filters' responses must be orthonormal in the "
            "$C$ channels at each frequency.",
            ("$K$ filters of size $k$, $C$ channels, stride $s$",),
            counting,
        ),
    )
    source = (
        "That the model with one rate for each coefficient gives the transformation of a "
        "convolutional network is stated in the abstract of Bowren 2021 (its body was not at "
        "hand). When shifted copies are orthonormal, and when they cannot be, is derived and "
        "measured here."
    )
    return Derivation("Convolution", steps, source=source)


derivation = chapter()
