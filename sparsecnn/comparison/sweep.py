"""How the error of one step grows with the overlap of the atoms."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..dictionaries import ConvDictionary, Dictionary, unit_rows
from ..engine import single_threaded_blas
from ..problem import SparseCodingProblem
from ..validation import as_float_array, as_generator, as_integer
from .levels import in_own_unit
from .measures import jaccard, known_mean, relative_error
from .results import CoherencePoint, CoherenceSweep
from .run import standard_solvers

#: Relative gap of the codes that one step is compared with: a hundredth of the errors that show.
SWEEP_TOL = 1e-3
#: Codes of so small a gap are the code itself.
_SAME = 1e-12


def coherence_sweep(x, dictionary, prior, *, n_samples=64, random_state=0, progress=None):
    """How the error of one step grows with the mutual coherence of the dictionary.

    A convolutional dictionary is varied in its stride, from the kernel size down to 1; a dense one
    in its number of atoms. Three families share the geometry: the given atoms, random ones, and
    orthonormal ones (as many as there can be), all of unit norm. The code that one step is compared
    with has a relative gap of 1e-3.

    Parameters
    ----------
    x : array-like, shape (n, *dictionary.signal_shape)
    dictionary : Dictionary or ConvDictionary
    prior : Prior
        With one rate for all coefficients, so that it fits every member of the sweep.
    n_samples : int
        The first so many signals are coded.
    random_state : None, int or Generator
        For the random and the orthonormal atoms.
    progress : callable, optional
        Called before each dictionary, as ``progress(text, done, total)``.

    Returns
    -------
    CoherenceSweep

    Examples
    --------
    >>> import sparsecnn as sc
    >>> x = np.random.default_rng(0).standard_normal((4, 1, 6, 6))
    >>> sweep = coherence_sweep(x, sc.ConvDictionary.dct(2, (6, 6)), sc.Exponential(0.1))
    >>> [p.mutual_coherence < 1e-12 for p in sweep.points if p.setting == "stride 2"]
    [True, False, True]
    """
    x = as_float_array(x, "x", expected=f"signals (n, *{dictionary.signal_shape})")
    x = x[: as_integer(n_samples, "n_samples")].astype(np.float64)
    rng = as_generator(random_state)
    members, points = _sweep_members(dictionary, rng), []
    dial = standard_solvers(prior)
    forward, calibrated, *_, reference = dial.values()
    reference = dataclasses.replace(reference, tol=SWEEP_TOL)
    with single_threaded_blas():
        for k, (family, setting, member) in enumerate(members):
            if progress:
                progress(f"{family}, {setting}", k, len(members))
            problem = in_own_unit(SparseCodingProblem(x, member, prior))
            one, scaled = (solver.solve(problem) for solver in (forward, calibrated))
            exact = (one.gap <= _SAME).all()
            code = one if exact else reference.solve(problem.astype(np.float32))
            errors = [known_mean(relative_error(s.codes, code.codes)) for s in (one, scaled)]
            overlap = float(np.mean(jaccard(one.codes != 0, code.codes != 0)))
            gap, coherence = float(np.mean(one.gap)), member.mutual_coherence
            points.append(
                CoherencePoint(family, setting, coherence, gap, errors[0], overlap, errors[1])
            )
    return CoherenceSweep(tuple(points), repr(prior), len(x))


def _sweep_members(dictionary, rng):
    """(family, setting, dictionary) of every member, least overlap first."""
    atoms = unit_rows(np.asarray(dictionary.atoms))
    flat = (len(atoms), int(np.prod(atoms.shape[1:])))
    noise = unit_rows(rng.standard_normal(flat)).reshape(atoms.shape)
    basis = np.linalg.qr(rng.standard_normal((flat[1], flat[1])))[0][: flat[0]]
    basis = basis.reshape(-1, *atoms.shape[1:])
    families = {"these atoms": atoms, "random": noise, "orthonormal": basis}
    if hasattr(dictionary, "filters"):
        kernel = max(atoms.shape[2:])
        strides = np.unique(np.geomspace(1, kernel, 5).round().astype(int))[::-1]
        return [
            (
                name,
                f"stride {s}",
                ConvDictionary(a, dictionary.image_shape, int(s), dictionary.padding),
            )
            for name, a in families.items()
            for s in strides
        ]
    sizes = np.unique(np.geomspace(min(2, flat[0]), flat[0], 6).round().astype(int))
    return [
        (name, f"{n} atoms", Dictionary(a[:n]))
        for name, a in families.items()
        for n in sizes
        if n <= len(a)
    ]
