"""Closed forms for evaluation: where ``z + step phi'(z) = x`` has a root, Newton starts from it.

One Newton step then checks the root and repairs its rounding, input by input; whatever misses goes
on iterating, so a closed form can save time but never change the answer. Lambert W is left out: it
costs more than the iteration. Knows no prior.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import sympy as sp

from .evaluation import SYMBOLS, Z, numeric
from .prox import X
from .solve import elementary_candidates, probe_points

STEP = sp.Symbol("step", positive=True)
#: a longer stationarity equation is left to Newton's method
MOST_OPERATIONS = 60


def with_inverses(envelope, penalty, values, step=1.0):
    """The envelope whose smooth branches know their inverse where it has a closed form.

    Parameters
    ----------
    envelope : Envelope
        Of ``step * phi`` at ``values``.
    penalty : Penalty
    values : dict of str to float
    step : float

    Returns
    -------
    Envelope
        The same branches, each with its ``inverse`` or None.
    """
    pieces = penalty.pieces(values)
    arguments = [*(() if step == 1.0 else (step,)), *(values[n] for n in penalty.names)]
    arguments = [np.float64(v) for v in arguments]  # which divide by zero without an exception
    branches = []
    for branch in envelope.branches:
        inverse = None
        if branch.curve is not None and not branch.curve.is_affine:
            with SYMBOLS:
                inverse = _inverse(penalty, pieces[branch.index], branch, step == 1.0, arguments)
        branches.append(dataclasses.replace(branch, inverse=inverse))
    return envelope.with_branches(branches)


def _inverse(penalty, piece, branch, unit_step, arguments):
    first = branch.solve(np.array([branch.start]))[0]
    z = probe_points(max(branch.low, first), branch.high, 4)
    x = branch.curve.forward(z)
    z, x = z[np.isfinite(x)], x[np.isfinite(x)]
    for root in roots_of(piece, penalty.parameters, unit_step) if z.size else ():
        with np.errstate(all="ignore"):
            near = np.abs(root(x, *arguments) - z) <= 1e-8 * np.maximum(1.0, np.abs(z))
        if near.all():
            return lambda x: root(x, *arguments)
    return None


@functools.lru_cache(maxsize=512)
def roots_of(piece, parameters, unit_step):
    """Every root a closed form was found for, as functions of ``x``, ``step`` and parameters."""
    equation = Z + (1 if unit_step else STEP) * piece.slope - X
    if sp.count_ops(equation) > MOST_OPERATIONS or _is_mixed(equation):
        return ()
    arguments = (X, *(() if unit_step else (STEP,)), *parameters)
    found = {}
    for sign in (1, -1):
        for root, _ in elementary_candidates(equation, Z, sign):
            if not root.has(Z, sp.I, sp.Integral):
                found.setdefault(root, None)
    functions = []
    for root in found:
        try:
            functions.append(numeric(root, arguments))
        except (TypeError, ValueError, NotImplementedError, SyntaxError):  # no code for it
            continue
    return tuple(functions)


def _is_mixed(equation):
    """Whether ``z`` stands inside a transcendental function and outside of all: no pattern fits."""
    functions = [f for f in equation.atoms(sp.Function) if f.has(Z)]
    holes = dict(zip(functions, sp.symbols(f"f:{len(functions)}"), strict=True))
    return bool(functions) and sp.expand(equation.xreplace(holes)).has(Z)
