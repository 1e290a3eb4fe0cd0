"""Evidence for a derived prox: re-substitution, brute force, exact arithmetic. Knows no prior."""

from __future__ import annotations

import numpy as np
import sympy as sp

from ..validation import InputError
from .evaluation import Z, number, numeric
from .evidence import (
    CONFIRMED,
    REFUTED,
    UNDECIDED,
    Evidence,
    brute_force,
    exact_minimum,
    identity,
)
from .prox import X, same_branches
from .solve import probe_points


def verify_prox(solution, prox=None, *, n=60, seed=0, tolerance=1e-10):
    """The three kinds of evidence for a derived prox, reported separately.

    Parameters
    ----------
    solution : ScalarProx
    prox : callable, optional
        ``prox(x, values) -> z`` to put to the numeric test; default: the closed form itself.

    Returns
    -------
    tuple of Evidence
        Symbolic re-substitution; brute force; and, for piecewise polynomials, the exact check.
    """
    found = [*substitution(solution, seed=seed)]
    found.append(
        brute_force(
            solution.penalty,
            prox or solution.numeric,
            solution.samples[:2],
            n=n,
            seed=seed,
            tolerance=tolerance,
        )
    )
    exact = _exact(solution, seed)
    return (*found, exact) if exact is not None else tuple(found)


def substitution(solution, *, seed=0):
    """Evidence that every branch solves its own equation."""
    rng = np.random.default_rng(seed)
    for k, branch in enumerate(solution.branches):
        if branch.piece is None:
            continue
        if branch.value is None:
            yield _implicit_residual(solution, branch, k)
            continue
        points = [
            {**values, "x": float(x)}
            for values in solution.samples
            for x in _inputs(solution, k, values, rng)
        ]
        residue = branch.equation.subs(Z, branch.value)
        yield identity(residue, points, what=f"z* + phi'(z*) = x on branch {k + 1}")


def _implicit_residual(solution, branch, k):
    """Newton's answer put back into ``z + phi'(z) - x``."""
    forward = numeric(Z + branch.piece.slope, (Z, *solution.penalty.parameters))
    worst, count = 0.0, 0
    for values in solution.samples:
        x = _inputs(solution, k, values, None)
        z = solution.half.envelope(values).prox(x)[0]
        arguments = [values[name] for name in solution.penalty.names]
        error = np.abs(forward(z, *arguments) - x) / np.maximum(1.0, np.abs(x))
        error = np.where(_is_nearest(branch.piece, forward, z, x, values, arguments), 0.0, error)
        worst, count = max(worst, float(error.max())), count + len(x)
    verdict = CONFIRMED if worst <= 1e-9 else (REFUTED if np.isfinite(worst) else UNDECIDED)
    detail = f"implicit branch {k + 1}: z + phi'(z) = x after Newton at {count} inputs, "
    return Evidence("numeric", verdict, detail + f"worst residual {worst:.1e}")


def _is_nearest(piece, forward, z, x, values, arguments):
    """Where the root is within rounding of ``z``, for slopes too steep to compare inputs."""
    room = 1e-12 * np.abs(z) + 1e-300
    low, high = (number(end, values) for end in (piece.low, piece.high))
    below = (z - room <= low) | (forward(z - room, *arguments) <= x)
    return below & ((z + room >= high) | (forward(z + room, *arguments) >= x))


def _inputs(solution, k, values, rng):
    branches = solution.half.envelope(values).branches
    branch = branches[k + len(branches) - len(solution.branches)]
    position = branches.index(branch)
    high = branches[position + 1].start if position + 1 < len(branches) else branch.last
    low = max(branch.start, branch.first)
    return probe_points(low, min(high, branch.last), 4)


def _exact(solution, seed):
    if not solution.is_closed:
        return None
    rng = np.random.default_rng(seed)
    values = {
        name: sp.Rational(round(value * 20), 20) if round(value * 20) else sp.Rational(1, 20)
        for name, value in solution.samples[0].items()
    }
    table = {s: values[s.name] for s in solution.penalty.parameters}
    floats = {name: float(v) for name, v in values.items()}
    try:
        half = solution.half
        if not same_branches(half, floats, solution.samples[0]):
            return None
    except InputError:
        return None
    starts = [b.start.value.xreplace(table) for b in solution.branches[1:]]

    def prox(x):
        size = abs(x) if solution.is_even else x
        k = sum(1 for start in starts if bool(size > start))
        value = solution.branches[k].value.xreplace({**table, X: size})
        value = sp.nsimplify(value) if value.is_Float else value
        return sp.sign(x) * value if solution.is_even else value

    xs = [sp.Rational(int(k), 16) for k in rng.integers(-80, 81, 12)]
    return exact_minimum(solution.penalty, prox, values, xs)
