"""Which part of the energy separates for which kind of dictionary, measured on real ones."""

from __future__ import annotations

import numpy as np

from ..dictionaries import ConvDictionary, Dictionary
from ..priors import Laplace
from ..problem import SparseCodingProblem
from ..solvers import FISTA, ForwardTransform
from ..symbolic.evidence import CONFIRMED, REFUTED, Evidence, trials
from .model import Step
from .named import uniform_prior

DICTIONARIES = ("orthonormal", "orthogonal", "tight_frame", "general", "convolutional")

_TEXTS = {
    "orthonormal": (
        "With orthonormal atoms the energy is a sum of scalar problems "
        "$\\tfrac12(z_i - b_i)^2 + \\varphi(z_i)$, $b = D^T x$.",
        "$\\|x - Dz\\|^2 = \\|x\\|^2 - \\|b\\|^2 + \\|z - b\\|^2$ when $D^T D = I$.",
        ("$D^T D = I$",),
    ),
    "orthogonal": (
        "With orthogonal atoms of norm $c_i$ the energy is a sum of scalar problems "
        "$c_i^2[\\tfrac12(z_i - b_i/c_i^2)^2 + \\varphi(z_i)/c_i^2]$, $b = D^T x$.",
        "$\\|x - Dz\\|^2 = \\|x\\|^2 + \\sum_i (c_i^2 z_i^2 - 2 b_i z_i)$ when "
        "$D^T D = \\mathrm{diag}(c_i^2)$.",
        ("$D^T D = \\mathrm{diag}(c_i^2)$",),
    ),
    "tight_frame": (
        "For an overcomplete tight frame nothing separates: $\\mathrm{prox}_{\\varphi/A}(D^T "
        "x/A)$ is "
        "one ISTA step and in general not the code, although every $x = D D^T x/A$.",
        "$D D^T = A I$ makes $D^T D$ the multiple $A$ of a projection, which couples the "
        "coefficients; its largest eigenvalue is $L = A$.",
        ("$D D^T = A I$, more atoms than features",),
    ),
    "general": (
        "For general atoms nothing separates, but $f(z) = \\tfrac12\\|x - Dz\\|^2$ lies below "
        "$f(w) + \\langle\\nabla f(w), z - w\\rangle + \\tfrac L2\\|z - w\\|^2$, which does, "
        "as the penalty does.",
        "$D^T D \\preceq L I$; minimising the majoriser is one proximal gradient step.",
        ("$L$ at least the largest eigenvalue of $D^T D$",),
    ),
    "convolutional": (
        "For convolutional atoms the energy separates exactly when all shifted copies are "
        "orthonormal: orthonormal filters are not enough where copies overlap. On a periodic "
        "grid it "
        "needs $K \\leq C s^2$ filters ($C$ channels, stride $s$).",
        "the Gram matrix holds the cross-correlations of the filters at every shift that "
        "occurs; a periodic grid has $K(N/s)^2$ atoms in $C N^2$ dimensions. Padding decides which "
        "shifts occur, so the code measures the Gram matrix.",
        ("exact: stride = kernel size; Haar, and periodic Daubechies-4 filters, at stride 2",),
    ),
}


def separation(dictionary, prior):
    """The steps that say what separates for a kind of dictionary."""
    checks = {"tight_frame": _check_tight_frame, "convolutional": _check_convolutional}
    check = checks.get(dictionary, lambda: _check_separation(dictionary))
    yield Step(*_TEXTS[dictionary], check)
    if dictionary == "tight_frame":
        yield Step(
            "The analysis form $\\min_u \\tfrac12\\|x - u\\|^2 + \\sum_i\\varphi((Tu)_i)$ "
            "does have a "
            "closed form when $T T^T = \\nu I$: $u = x + \\tfrac1\\nu T^T"
            "(\\mathrm{prox}_{\\nu\\varphi}(Tx) - Tx)$. The analysis operator of an overcomplete "
            "frame, $T^T T = I$, is not of this kind.",
            "$u$ moves in the row space of $T$ only, where $\\|T(x - u)\\|^2 = \\nu\\|x - "
            "u\\|^2$, and "
            "$T$ maps onto all coefficients, so they are free of each other.",
            ("semi-orthogonal $T$: no more rows than columns",),
            lambda: [_check_semi_orthogonal(prior), _analysis_counterexample()],
        )


def atoms_of(kind, rng, gain=None):
    """A random dictionary of this kind ("independent": fewer atoms than features)."""
    if kind == "convolutional":
        filters = rng.standard_normal((3, 1, 3, 3)) / 3
        padding = ("valid", "circular")[int(rng.integers(2))]
        return ConvDictionary(filters, (6, 6), padding=padding)
    if kind == "tight_frame":
        bases = [Dictionary.orthonormal(6, rng.integers(2**31)).atoms for _ in range(2)]
        return Dictionary(np.concatenate(bases) / np.sqrt(2) * rng.uniform(0.7, 1.4))
    if kind in ("general", "independent"):
        return Dictionary.random(9 if kind == "general" else 4, 6, int(rng.integers(2**31)))
    basis = Dictionary.orthonormal(6, rng.integers(2**31)).atoms[:4]
    if kind == "orthogonal":
        basis = basis * (rng.uniform(0.5, 2.0, (4, 1)) if gain is None else gain)
    return Dictionary(basis)


def signals_for(dictionary, rng):
    """One random signal of a dictionary's shape."""
    convolutional = isinstance(dictionary, ConvDictionary)
    return rng.standard_normal((1, 1, 6, 6) if convolutional else (1, 6))


def _check_separation(kind):
    def trial(rng):
        d = atoms_of(kind, rng)
        x, z, w = rng.standard_normal(6), *rng.standard_normal((2, d.n_atoms))
        energy = 0.5 * ((x - d.synthesize(z[None])[0]) ** 2).sum()
        b, c2 = d.analyze(x[None])[0], (d.atoms**2).sum(axis=1)
        if kind == "general":
            steepest = np.linalg.svd(d.atoms)[0][:, 0]  # where L is just enough
            bound = min(_majoriser(d, x, z, w), _majoriser(d, x, z, z - steepest))
            return max(energy - bound, 0.0), {"E": energy, "bound": bound}
        split = 0.5 * x @ x - 0.5 * (b**2 / c2).sum() + 0.5 * (c2 * (z - b / c2) ** 2).sum()
        return abs(energy - split), {"E": energy, "sum of scalar problems": split}

    return trials(trial, 40, tolerance=1e-10, what="the energy is as stated")


def _majoriser(d, x, z, w):
    """``f(w) + <grad f(w), z - w> + L/2 |z - w|^2`` of ``f = |x - D w|^2 / 2``."""
    at_w = x - d.synthesize(w[None])[0]
    linear = 0.5 * at_w @ at_w - d.analyze(at_w[None])[0] @ (z - w)
    return linear + 0.5 * d.lipschitz * (z - w) @ (z - w)


# -- tight frames ---------------------------------------------------------------------------
def _check_tight_frame():
    def trial(rng):
        atoms = atoms_of("tight_frame", rng).atoms
        bound = (atoms**2).sum() / 6
        error = np.abs(atoms.T @ atoms - bound * np.eye(6)).max()
        gram = atoms @ atoms.T / bound
        return float(max(error, np.abs(gram @ gram - gram).max())), {"A": bound}

    frame = trials(trial, 20, tolerance=1e-12, what="D D^T = A I and D^T D / A is a projection")
    return [frame, _synthesis_counterexample()]


def _synthesis_counterexample():
    """Two orthonormal bases of six features, scaled to a Parseval frame, and a Laplace prior."""
    rng = np.random.default_rng(0)
    bases = [np.eye(6), Dictionary.orthonormal(6, 0).atoms]
    dictionary = Dictionary(np.concatenate(bases) / np.sqrt(2))
    problem = SparseCodingProblem(2 * rng.standard_normal((1, 6)), dictionary, Laplace(0.3))
    step = ForwardTransform().solve(problem)
    code = FISTA(tol=1e-10, max_iter=20000).solve(problem)
    apart = float(np.abs(step.codes - code.codes).max())
    above = float(step.objective[0] - code.objective[0])
    holds = apart > 0.1 and above > 1e-3 and code.gap[0] < 1e-8
    detail = (
        f"counterexample, two bases as a Parseval frame with lam = 0.3: the step is "
        f"{apart:.3g} from "
        f"the code in sup norm, its energy {step.objective[0]:.4g} against {code.objective[0]:.4g}"
    )
    return Evidence("numeric", CONFIRMED if holds else REFUTED, detail)


def _check_semi_orthogonal(prior):
    one = uniform_prior(prior)

    def trial(rng):
        nu = rng.uniform(0.5, 0.95)  # a step below 1, which every prior with a prox allows
        rows = np.sqrt(nu) * Dictionary.orthonormal(6, rng.integers(2**31)).atoms[:4]
        x = 2 * rng.standard_normal(6)
        z = one.prox((rows @ x)[None], nu)[0]
        u = x + rows.T @ (z - rows @ x) / nu
        # feasible rivals: any coefficients w, with the part of x that the rows do not see
        near = z + rng.standard_normal((300, 4)) * np.geomspace(1e-5, 2, 300)[:, None]
        near = one.prox(near, 1e-9)  # into the support
        rivals = x + (near - rows @ x) @ rows / nu
        least = np.min(0.5 * ((x - rivals) ** 2).sum(axis=1) + one.value(near))
        mine = 0.5 * ((x - u) ** 2).sum() + one.value(z[None])[0]
        error = max(0.0, float(mine - least), float(np.abs(rows @ u - z).max()))
        return error, {"nu": nu, "x": x[0]}

    return trials(trial, 10, tolerance=1e-10, what="no other point beats the closed form")


def _analysis_counterexample():
    """The same formula for a Parseval frame, against the dual problem's solution."""
    rng, lam = np.random.default_rng(0), 0.3
    frame = np.concatenate([np.eye(6), Dictionary.orthonormal(6, 0).atoms]) / np.sqrt(2)
    x, dual = 2 * rng.standard_normal(6), np.zeros(12)
    for _ in range(5000):  # projected gradient: max over |p| <= lam of -1/2 |x - T^T p|^2
        dual = np.clip(dual + frame @ (x - frame.T @ dual), -lam, lam)
    best, seen = x - frame.T @ dual, frame @ x
    formula = x + frame.T @ (np.sign(seen) * np.maximum(np.abs(seen) - lam, 0) - seen)
    energies = [0.5 * ((x - u) ** 2).sum() + lam * np.abs(frame @ u).sum() for u in (formula, best)]
    apart = float(np.abs(formula - best).max())
    detail = (
        f"counterexample, a Parseval frame with lam = 0.3: the formula is {apart:.3g} from the "
        f"minimiser, its energy {energies[0]:.6g} against {energies[1]:.6g}"
    )
    holds = energies[0] > energies[1] + 1e-6
    return Evidence("numeric", CONFIRMED if holds else REFUTED, detail)


# -- convolutions ---------------------------------------------------------------------------
def _check_convolutional():
    haar, d4 = ConvDictionary.haar((8, 8)).filters, ConvDictionary.daubechies4((8, 8)).filters
    cases = [
        ("Haar at stride 2, valid", haar, dict(stride=2, padding="valid"), True),
        ("the same at stride 1, valid", haar, dict(stride=1, padding="valid"), False),
        ("the same at stride 1, periodic", haar, dict(stride=1, padding="circular"), False),
        ("Daubechies-4 at stride 2, periodic", d4, dict(stride=2, padding="circular"), True),
        ("one filter, stride = kernel size", d4[:1], dict(stride=4, padding="valid"), True),
    ]
    for name, filters, settings, orthonormal in cases:
        found = ConvDictionary(filters, (8, 8), **settings)
        holds = found.is_orthonormal == orthonormal
        detail = f"measured ||D^T D - I|| = {found.gram_deviation:.2g}: {name}"
        yield Evidence("numeric", CONFIRMED if holds else REFUTED, detail)
