"""The error of a broken contract, and how claims about numbers are put to the test."""

from __future__ import annotations

import numpy as np

#: objectives and inner products: rounding of a few hundred operations, relative to their size
ROUNDING = 1e-9
#: central differences with step 1e-5: truncation 1e-10 times a third derivative, rounding 1e-11
STEP, DERIVATIVE = 1e-5, 1e-5


class ContractError(AssertionError):
    """Something breaks its contract; the message names the property and a counterexample."""


def require(holds, owner, claim, **evidence):
    """Raise a ContractError with the claim and its counterexample, unless it holds."""
    if not holds:
        found = "; ".join(f"{name} = {_shown(value)}" for name, value in evidence.items())
        raise ContractError(f"{owner!r}: {claim}. Counterexample: {found}.")


def _shown(value):
    return np.array2string(np.asarray(value), precision=6, threshold=24).replace("\n", "")


def close(a, b, tol, size=1.0):
    """Whether ``a`` equals ``b`` up to ``tol * (size + |b|)``; equal infinities are equal."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return (a == b) | (np.abs(a - b) <= tol * (size + np.abs(b)))


def inner(a, b):
    """Inner product of each pair of samples."""
    return np.einsum("ni,ni->n", a.reshape(len(a), -1), b.reshape(len(b), -1))


def differences(function):
    """(where ``function`` is smooth around 0, its central difference there), entrywise.

    Halving the step quarters the second difference of a smooth function; a kink or a jump within
    the step breaks that rule (unless it is too small to matter).
    """
    h = STEP
    low, middle, high = function(-h), function(0.0), function(h)
    bend = np.abs(high - 2 * middle + low)
    half = np.abs(function(0.5 * h) - 2 * middle + function(-0.5 * h))
    flat = bend <= 0.5 * DERIVATIVE * h
    return flat | ((3 * half <= bend) & (bend <= 6 * half)), (high - low) / (2 * h)
