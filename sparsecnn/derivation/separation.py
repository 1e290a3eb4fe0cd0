"""Which part of the energy separates for which kind of dictionary, measured on real ones."""

from __future__ import annotations

from ..dictionaries import ConvDictionary, Dictionary
from ..symbolic.evidence import CONFIRMED, REFUTED, Evidence, trials
from .model import Step

DICTIONARIES = ("orthonormal", "orthogonal", "general", "convolutional")


def separation(dictionary):
    """The step that says what separates for a kind of dictionary."""
    texts = {
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
        "general": (
            "For general atoms nothing separates, but $f(z) = \\tfrac12\\|x - Dz\\|^2$ lies below "
            "$f(w) + \\langle\\nabla f(w), z - w\\rangle + \\tfrac L2\\|z - w\\|^2$, which does, "
            "as the penalty does.",
            "$D^T D \\preceq L I$; minimising the majoriser is one proximal gradient step.",
            ("$L$ at least the largest eigenvalue of $D^T D$",),
        ),
        "convolutional": (
            "For convolutional atoms the energy separates exactly when all shifted copies are "
            "orthonormal; at stride 1 with more filters than channels they cannot be.",
            "the Gram matrix holds the cross-correlations of the filters at every shift that "
            "occurs; the code measures it.",
            ("stride = kernel size, Haar or Daubechies filters at stride 2: exact",),
        ),
    }
    claim, because, assumptions = texts[dictionary]
    return Step(claim, because, assumptions, lambda: _check_separation(dictionary))


def atoms_of(kind, rng, gain=None):
    """A random dictionary of this kind."""
    basis = Dictionary.orthonormal(6, rng.integers(2**31)).atoms[:4]
    if kind == "orthogonal":
        basis = basis * (rng.uniform(0.5, 2.0, (4, 1)) if gain is None else gain)
    if kind == "general":
        return Dictionary.random(9, 6, int(rng.integers(2**31)))
    return Dictionary(basis)


def _check_separation(kind):
    if kind == "convolutional":
        return _check_convolutional()

    def trial(rng):
        d = atoms_of(kind, rng)
        x, z, w = rng.standard_normal(6), *rng.standard_normal((2, d.n_atoms))
        energy = 0.5 * ((x - d.synthesize(z[None])[0]) ** 2).sum()
        b, c2 = d.analyze(x[None])[0], (d.atoms**2).sum(axis=1)
        if kind == "general":
            at_w = x - d.synthesize(w[None])[0]
            bound = 0.5 * at_w @ at_w - d.analyze(at_w[None])[0] @ (z - w)
            bound += 0.5 * d.lipschitz * (z - w) @ (z - w)
            return max(energy - bound, 0.0), {"E": energy, "bound": bound}
        split = 0.5 * x @ x - 0.5 * (b**2 / c2).sum() + 0.5 * (c2 * (z - b / c2) ** 2).sum()
        return abs(energy - split), {"E": energy, "sum of scalar problems": split}

    return trials(trial, 40, tolerance=1e-10, what="the energy is as stated")


def _check_convolutional():
    filters = ConvDictionary.haar((8, 8)).filters
    exact, overlapping = ConvDictionary.haar((8, 8)), ConvDictionary(filters, (8, 8), stride=1)
    holds = exact.is_orthonormal and not overlapping.is_orthonormal
    detail = (
        f"measured ||D^T D - I||: Haar at stride 2 {exact.gram_deviation:.1e}, the same filters "
        f"at stride 1 {overlapping.gram_deviation:.3g}"
    )
    return Evidence("numeric", CONFIRMED if holds else REFUTED, detail)
