"""Arithmetic modulo the Mersenne prime 2^61 - 1 on whole arrays.

"Generic weights" means: outside the zero set of a polynomial. A random element of a large prime
field stands for such a weight, and arithmetic is exact. Knows nothing of hyperplanes.
"""

from __future__ import annotations

import numpy as np

PRIME = (1 << 61) - 1
_P = np.uint64(PRIME)
_LOW31 = np.uint64((1 << 31) - 1)
_LOW30 = np.uint64((1 << 30) - 1)
_ONE, _S30, _S31, _S61 = (np.uint64(k) for k in (1, 30, 31, 61))


def _fold(a):
    """Reduce values below 2^64 to the range [0, PRIME)."""
    a = (a & _P) + (a >> _S61)
    np.subtract(a, _P, out=a, where=a >= _P)
    return a


def multiply(a, b):
    """Return ``a * b`` modulo the prime, elementwise and with broadcasting.

    Each factor splits into 31 low and 30 high bits; since 2^61 = 1, the partial products recombine
    by shifts and never leave 64 bits.
    """
    a_high, a_low = a >> _S31, a & _LOW31
    b_high, b_low = b >> _S31, b & _LOW31
    middle = a_low * b_high + a_high * b_low
    total = a_high * b_high * np.uint64(2)
    total += middle >> _S30
    total += (middle & _LOW30) << _S31
    total = (total & _P) + (total >> _S61)
    total += a_low * b_low
    return _fold(total)


def subtract(a, b):
    """Return ``a - b`` modulo the prime."""
    return _fold(a + (_P - b))


def inverse(a):
    """Return the inverses of a flat array; the inverse of 0 is given as 0.

    Neighbours are multiplied pairwise up a tree and one inverse walks back down, so that an inverse
    costs three products instead of a power of 61 squarings.
    """
    a = np.asarray(a, dtype=np.uint64)
    flat = a.reshape(-1)
    if not len(flat):
        return a
    safe = np.where(flat == 0, _ONE, flat)
    levels = [safe]
    while len(levels[-1]) > 1:
        level = levels[-1]
        if len(level) % 2:
            level = np.append(level, _ONE)
            levels[-1] = level
        levels.append(multiply(level[0::2], level[1::2]))
    up = np.array([pow(int(levels[-1][0]), PRIME - 2, PRIME)], dtype=np.uint64)
    for level in reversed(levels[:-1]):
        up = up[: len(level) // 2]
        down = np.empty_like(level)
        down[0::2] = multiply(up, level[1::2])
        down[1::2] = multiply(up, level[0::2])
        up = down
    return np.where(flat == 0, np.uint64(0), up[: len(flat)]).reshape(a.shape)


def matmul(a, b):
    """Return the matrix product of ``(m, n)`` and ``(n, k)`` modulo the prime."""
    out = np.zeros((a.shape[0], b.shape[1]), dtype=np.uint64)
    for j in range(a.shape[1]):
        out = _fold(out + multiply(a[:, j, None], b[None, j]))
    return out


def random(shape, rng):
    """Return uniform elements of the field, none of them zero."""
    return rng.integers(1, PRIME, size=shape, dtype=np.uint64)


def from_integers(values):
    """Return a nested sequence of Python integers of any size as field elements."""
    array = np.array(values, dtype=object) % PRIME
    return array.astype(np.uint64)


def rank(rows):
    """Return the rank of a matrix over the field, by elimination."""
    rows = np.array(rows, dtype=np.uint64)
    found = 0
    for column in range(rows.shape[1]):
        candidates = np.flatnonzero(rows[found:, column])
        if not len(candidates):
            continue
        pivot = found + candidates[0]
        rows[[found, pivot]] = rows[[pivot, found]]
        lead = inverse(rows[found, column : column + 1])
        rows[found] = multiply(rows[found], lead)
        below = rows[found + 1 :]
        rows[found + 1 :] = subtract(below, multiply(below[:, column, None], rows[found][None]))
        found += 1
        if found == len(rows):
            break
    return found
