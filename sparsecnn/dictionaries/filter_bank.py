"""Spectra and Gram entries of a strided filter bank, from DFTs and cross-correlations only.

The Gram matrix of shifted copies is block-Toeplitz (block-circulant on a periodic grid); for an
undecimated complete set see Bowren 2021; the polyphase form is Vaidyanathan, Multirate Systems and
Filter Banks, 1993, ch. 5.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from .dense import in_own_units

#: up to this many pixels or codes the spectrum is computed from an explicit matrix
DENSE_LIMIT = 2000


class GramExtremes(NamedTuple):
    """Largest cosine between different atoms, and largest entry of ``|G - I|``."""

    coherence: float
    deviation: float


# -- spectrum -------------------------------------------------------------------------------
def largest_eigenvalue_bound(filters, geometry):
    """Upper bound of ``lambda_max(D^T D)``: the largest polyphase eigenvalue on a torus.

    With zero padding the torus is large enough that nothing wraps around; the dictionary is then a
    compression of the one on the torus, so its norm cannot be larger. On a periodic grid whose size
    the stride divides, the torus is the grid itself and the value is exact.
    """
    rounding = 1 + 1e-14 * max(filters.shape[0], filters[0].size)
    return float(max(block.max() for block in _torus_eigenvalues(filters, geometry)) * rounding)


def gram_deviation(dictionary):
    """``||D^T D - I||_2``; see ``ConvDictionary.gram_deviation`` for when it is exact."""
    geometry = dictionary.geometry
    n_codes, n_pixels = int(np.prod(geometry.out_shape)), int(np.prod(geometry.in_shape))
    if _periodic(geometry) is not None:
        values = np.concatenate(
            [b.ravel() for b in _torus_eigenvalues(dictionary.filters, geometry)]
        )
        low, high = values.min(), values.max()
    elif min(n_codes, n_pixels) <= DENSE_LIMIT:
        low, high = _dense_ends(dictionary, n_codes, n_pixels)
    else:
        high = _lanczos_top(dictionary, sign=1)
        low = (
            dictionary.lipschitz - _lanczos_top(dictionary, sign=-1) if n_codes <= n_pixels else 0.0
        )
    if n_codes > n_pixels:
        low = 0.0
    return float(max(high - 1, 1 - low, 0.0))


def _periodic(geometry):
    """The torus of a periodic grid that the stride divides, else None."""
    size = geometry.in_shape[1:]
    divides = all(n % s == 0 for n, s in zip(size, geometry.stride, strict=True))
    return size if geometry.circular and divides else None


def _torus_eigenvalues(filters, geometry):
    """Eigenvalues of the filter bank at every coarse frequency of the torus, in blocks."""
    torus, (sy, sx) = _periodic(geometry), geometry.stride
    if torus is None and geometry.circular:
        torus, (sy, sx) = geometry.in_shape[1:], (1, 1)  # a sub-grid of the stride-1 dictionary
    elif torus is None:
        torus = tuple(
            -(-p // s) * s for p, s in zip(geometry.padded_shape, geometry.stride, strict=True)
        )
    wrapped = np.zeros((*filters.shape[:2], *torus))
    rows, columns = (np.arange(k) % n for k, n in zip(filters.shape[2:], torus, strict=True))
    np.add.at(wrapped, (slice(None), slice(None), rows[:, None], columns[None]), filters)
    spectrum = np.fft.fft2(wrapped)
    ny, nx = torus[0] // sy, torus[1] // sx
    n_filters, channels = filters.shape[:2]
    spectrum = spectrum.reshape(n_filters, channels, sy, ny, sx, nx).transpose(3, 5, 0, 1, 2, 4)
    spectrum = spectrum[: ny // 2 + 1].reshape(-1, n_filters, channels * sy * sx) / np.sqrt(sy * sx)
    wide = n_filters > spectrum.shape[2]
    for start in range(0, len(spectrum), 4096):
        block = spectrum[start : start + 4096]
        adjoint = block.conj().transpose(0, 2, 1)
        yield np.linalg.eigvalsh(adjoint @ block if wide else block @ adjoint)


def _dense_ends(dictionary, n_codes, n_pixels):
    geometry = dictionary.geometry
    if n_codes <= n_pixels:
        identity = np.eye(n_codes).reshape(n_codes, *geometry.out_shape)
        rows = dictionary.astype(np.float64).synthesize(identity).reshape(n_codes, -1)
    else:
        identity = np.eye(n_pixels).reshape(n_pixels, *geometry.in_shape)
        rows = dictionary.astype(np.float64).analyze(identity).reshape(n_pixels, -1)
    values = np.linalg.eigvalsh(rows @ rows.T)
    return values[0], values[-1]


def _lanczos_top(dictionary, sign):
    """Largest eigenvalue of ``G`` (sign 1) or of ``lipschitz * I - G`` (sign -1), to 1e-7."""
    twin = dictionary.astype(np.float64)
    n_codes = int(np.prod(twin.code_shape))

    def matvec(z):
        product = twin.analyze(twin.synthesize(z.reshape(1, *twin.code_shape))).ravel()
        return product if sign == 1 else twin.lipschitz * z.ravel() - product

    operator = LinearOperator((n_codes, n_codes), matvec=matvec, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n_codes)
    return float(eigsh(operator, k=1, which="LA", tol=1e-7, v0=start, return_eigenvectors=False)[0])


def atom_norms(dictionary):
    """Euclidean norm of every shifted filter, shape (1, *code_shape)."""
    filters, exponents = in_own_units(dictionary.filters.astype(np.float64))
    twin = dictionary.with_atoms(filters)
    if dictionary.geometry.circular:  # all copies are alike, but a long filter meets itself
        first = np.zeros((len(filters), *twin.code_shape))
        first[np.arange(len(filters)), np.arange(len(filters)), 0, 0] = 1.0
        squares = (twin.synthesize(first) ** 2).sum(axis=(1, 2, 3))[None, :, None, None]
    else:
        squares = twin.with_atoms(filters**2).analyze(np.ones((1, *twin.signal_shape)))
    norms = np.ldexp(np.sqrt(np.maximum(squares, 0.0)), exponents[:, None, None])
    return np.broadcast_to(norms, (1, *twin.code_shape))


# -- entries --------------------------------------------------------------------------------
class _Overlap(NamedTuple):
    """How two copies meet along one axis: pieces (start in each, length), and their cuts."""

    pieces: tuple[tuple[int, int, int], ...]
    first_cut: tuple[int, int]
    second_cut: tuple[int, int]
    same_position: bool
    ahead: bool


def gram_extremes(filters, geometry):
    """Coherence and largest deviation from the identity over every pair of copies that occurs."""
    filters, exponents = in_own_units(filters.astype(np.float64))
    sizes = exponents[:, None] + exponents
    vertical, horizontal = (_overlaps(geometry, axis) for axis in (0, 1))
    norms = _norms_by_cut(filters, vertical, horizontal)
    coherence = deviation = 0.0
    for y, x in itertools.product(vertical, horizontal):
        if y.same_position and not x.ahead:
            continue  # the mirror image of a pair already seen
        block = _gram_block(filters, y.pieces, x.pieces)
        target = np.eye(len(filters)) if y.same_position and x.same_position else 0.0
        deviation = max(deviation, np.abs(np.ldexp(block, sizes) - target).max())
        first, second = norms[y.first_cut, x.first_cut], norms[y.second_cut, x.second_cut]
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = np.nan_to_num(np.abs(block) / np.outer(first, second), posinf=0.0)
        coherence = max(coherence, float((cosine * (1 - target)).max()))
    return GramExtremes(min(coherence, 1.0), float(deviation))


def _overlaps(geometry, axis):
    """Distinct ways in which two copies meet along ``axis``: the second ahead vertically, either
    way horizontally.
    """
    size, kernel = geometry.in_shape[1 + axis], geometry.kernel[axis]
    stride, positions = geometry.stride[axis], geometry.out_shape[1 + axis]
    before = geometry.pads[axis][0]
    found = set()
    for i in range(positions):
        if geometry.circular:
            others = range(positions)
        else:
            reach = (kernel - 1) // stride
            others = range(i if axis == 0 else max(i - reach, 0), min(i + reach, positions - 1) + 1)
        for j in others:
            if geometry.circular:
                shift = stride * (j - i) % size
                lags = [
                    m
                    for m in range(shift - size * (kernel // size + 1), kernel, size)
                    if abs(m) < kernel
                ]
                pieces = tuple(sorted((max(m, 0), max(-m, 0), kernel - abs(m)) for m in lags))
                cuts = (0, kernel), (0, kernel)
            else:
                a, b = stride * i - before, stride * j - before
                cuts = tuple((max(-w, 0), min(kernel, size - w)) for w in (a, b))
                low, high = max(a + cuts[0][0], b + cuts[1][0]), min(a + cuts[0][1], b + cuts[1][1])
                pieces = ((low - a, low - b, high - low),) if high > low else ()
            found.add(_Overlap(pieces, *cuts, i == j, j >= i or geometry.circular))
    return found


def _gram_block(filters, vertical, horizontal):
    total = np.zeros((len(filters), len(filters)))
    for (y1, y2, h), (x1, x2, w) in itertools.product(vertical, horizontal):
        first = filters[:, :, y1 : y1 + h, x1 : x1 + w].reshape(len(filters), -1)
        second = filters[:, :, y2 : y2 + h, x2 : x2 + w].reshape(len(filters), -1)
        total += first @ second.T
    return total


def _norms_by_cut(filters, vertical, horizontal):
    selves = [[o for o in axis if o.same_position] for axis in (vertical, horizontal)]
    return {
        (y.first_cut, x.first_cut): np.sqrt(
            np.maximum(np.diag(_gram_block(filters, y.pieces, x.pieces)), 0.0)
        )
        for y, x in itertools.product(*selves)
    }
