"""Classical orthonormal bases as matrices and filter banks: DCT, Haar, Daubechies-4, rotations.

Plain arrays in and out; knows no dictionary class.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import dct as _dct

from ..validation import InputError, as_integer, as_pair

HAAR = np.array([1.0, 1.0]) / np.sqrt(2.0)
#: Daubechies 1992, Ten Lectures on Wavelets, table 6.1 (two vanishing moments)
DAUBECHIES4 = np.array([1 + np.sqrt(3), 3 + np.sqrt(3), 3 - np.sqrt(3), 1 - np.sqrt(3)]) / (
    4 * np.sqrt(2)
)


def random_rotation(n, rng):
    """Orthonormal rows drawn from the rotation-invariant (Haar) distribution, shape (n, n)."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return np.ascontiguousarray((q * np.sign(np.diag(r))).T)


def dct_matrix(n):
    """Rows of the orthonormal DCT-II, shape (n, n), lowest frequency first."""
    return _dct(np.eye(n), norm="ortho", axis=0)


def highpass(lowpass):
    """The quadrature mirror ``g_u = (-1)^u h_{k-1-u}`` of an orthonormal low-pass filter."""
    return lowpass[::-1] * (-1.0) ** np.arange(lowpass.size)


def wavelet_matrix(n, lowpass):
    """Rows of the periodic orthonormal wavelet basis with all levels, shape (n, n), coarsest first.

    The low-pass half is split again as long as its length is even and at least the filter's length.
    """
    if n % 2:
        raise InputError(f"n is {n}; expected an even length for a periodic wavelet basis.")
    low, high = _shifted_rows(n, lowpass), _shifted_rows(n, highpass(lowpass))
    half = n // 2
    if half % 2 == 0 and half >= lowpass.size:
        low = wavelet_matrix(half, lowpass) @ low
    return np.vstack([low, high])


def wavelet_filters(lowpass, n_channels=1):
    """Separable two-dimensional filter bank (4 filters per channel), shape (4 n_channels,
    n_channels, k, k).
    """
    h, g = lowpass, highpass(lowpass)
    bank = np.stack([np.outer(a, b) for a in (h, g) for b in (h, g)])
    return per_channel(bank, n_channels)


def dct_filters(k, n_channels=1):
    """All ``k^2`` separable DCT patches per channel, shape (k^2 n_channels, n_channels, k, k)."""
    rows = dct_matrix(k)
    return per_channel(np.einsum("au,bv->abuv", rows, rows).reshape(k * k, k, k), n_channels)


def per_channel(bank, n_channels):
    """One copy of a single-channel filter bank for every channel, the other channels zero."""
    filters = np.zeros((len(bank) * n_channels, n_channels, *bank.shape[1:]))
    for c in range(n_channels):
        filters[c * len(bank) : (c + 1) * len(bank), c] = bank
    return filters


def separable(build, size):
    """``build(n)`` for an integer, the Kronecker product of two such bases for a pair (height,
    width).
    """
    if isinstance(size, tuple | list):
        height, width = as_pair(size, "n")
        return np.kron(build(height), build(width))
    return build(as_integer(size, "n"))


def _shifted_rows(n, taps):
    rows = np.zeros((n // 2, n))
    for i in range(n // 2):
        np.add.at(rows[i], (2 * i + np.arange(taps.size)) % n, taps)
    return rows
