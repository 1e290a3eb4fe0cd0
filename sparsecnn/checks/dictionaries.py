"""What makes a dictionary one: an exact adjoint, and measurements that are measured."""

from __future__ import annotations

import numpy as np

from ..validation import as_generator
from .contract import ROUNDING, close, inner, require

#: largest number of codes for which a Gram matrix is formed
GRAM_CODES = 1500


def check_dictionary(dictionary, *, n_samples=3, random_state=0):
    """Check adjointness, linearity and every measured attribute of a dictionary.

    ``<analyze(x), z> = <x, synthesize(z)>``; ``lipschitz`` is not below the largest Gram
    eigenvalue; ``mutual_coherence``, ``is_orthonormal`` and ``gram_deviation`` agree with an
    explicit Gram matrix (when there are at most 1500 codes); ``atom_gradient`` is the
    gradient of ``<signals, synthesize(codes)>`` in the atoms.

    Parameters
    ----------
    dictionary : Dictionary or ConvDictionary
    n_samples : int
        Number of random signals and codes.
    random_state : None, int or Generator

    Raises
    ------
    ContractError
        With the property and a counterexample.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> check_dictionary(sc.Dictionary.random(8, 5, random_state=0))
    """
    rng = as_generator(random_state)
    d = dictionary.astype(np.float64)
    x = rng.standard_normal((n_samples, *d.signal_shape))
    z = rng.standard_normal((n_samples, *d.code_shape))
    _check_linear_map(d, x, z)
    low = dictionary.astype(np.float32)
    kept = low.synthesize(z.astype(np.float32)).dtype, low.analyze(x.astype(np.float32)).dtype
    require(kept == (np.float32, np.float32), dictionary, "float32 is not kept", got=kept)
    direction = rng.standard_normal(d.atoms.shape)
    gradient = d.atom_gradient(x, z)
    got, wanted = (gradient * direction).sum(), (x * d.with_atoms(direction).synthesize(z)).sum()
    size = 1 + np.abs(gradient).sum()
    good = close(got, wanted, 1e-12, size)
    require(good, d, "atom_gradient is not the gradient", gradient=got, differences=wanted)
    if int(np.prod(d.code_shape)) <= GRAM_CODES:
        _check_measurements(d)


def _check_linear_map(d, x, z):
    before = x.copy(), z.copy()
    projections, signals = d.analyze(x), d.synthesize(z)
    untouched = np.array_equal(x, before[0]) and np.array_equal(z, before[1])
    require(untouched, d, "a method modifies its input")
    shapes = projections.shape, signals.shape
    require(
        shapes == (z.shape, x.shape), d, "shapes differ from code_shape, signal_shape", got=shapes
    )
    left, right = inner(projections, z), inner(x, signals)
    size = 1 + np.sqrt(inner(projections, projections) * inner(z, z))
    good = close(left, right, 1e-12, size)
    i = int(np.argmin(good))
    require(good[i], d, "<analyze(x), z> is not <x, synthesize(z)>", left=left[i], right=right[i])
    sum_first = d.synthesize(2 * z + np.roll(z, 1, axis=0))
    good = close(sum_first, 2 * signals + np.roll(signals, 1, axis=0), ROUNDING)
    require(good.all(), d, "synthesize is not linear")
    for method, argument, result in ((d.analyze, x, projections), (d.synthesize, z, signals)):
        out = np.empty_like(result)
        answer = method(argument, out=out)
        same = answer is out and np.array_equal(out, result)
        require(same, d, f"{method.__name__}(out=...) does not write the result into out")


def _check_measurements(d):
    n_codes = int(np.prod(d.code_shape))
    atoms = d.synthesize(np.eye(n_codes).reshape(n_codes, *d.code_shape)).reshape(n_codes, -1)
    gram = atoms @ atoms.T
    top = float(np.linalg.eigvalsh(gram)[-1])
    above = d.lipschitz >= top * (1 - 1e-12)
    require(above, d, "lipschitz is below the top eigenvalue", lipschitz=d.lipschitz, top=top)
    norms = np.sqrt(np.diag(gram))
    scale = np.outer(norms, norms)
    cosine = np.divide(np.abs(gram), scale, out=np.zeros_like(gram), where=scale > 0)
    np.fill_diagonal(cosine, 0.0)
    coherence, got = float(cosine.max()), d.mutual_coherence
    require(close(got, coherence, ROUNDING), d, "mutual_coherence is wrong", is_=coherence, got=got)
    difference = gram - np.eye(n_codes)
    entry = float(np.abs(difference).max())
    if not 1e-11 < entry < 1e-4:  # between the two, rounding decides
        is_so = entry <= 1e-11
        require(d.is_orthonormal == is_so, d, "is_orthonormal is wrong", largest_entry=entry)
    deviation = float(np.abs(np.linalg.eigvalsh(difference)).max())
    good = close(d.gram_deviation, deviation, 1e-6)
    require(good, d, "gram_deviation is wrong", is_=deviation, got=d.gram_deviation)
