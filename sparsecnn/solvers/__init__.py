"""Solvers of one problem: they differ in how long they run; all return the same certificates."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from ..validation import as_integer, as_number
from .base import Checkpoint, Solution, Solver, check_problem
from .coordinate_descent import CoordinateDescent
from .forward import ForwardTransform, Orthogonal
from .lca import LCA
from .proximal_gradient import FISTA, ISTA

__all__ = [
    "FISTA",
    "ISTA",
    "LCA",
    "Checkpoint",
    "Choice",
    "CoordinateDescent",
    "ForwardTransform",
    "Orthogonal",
    "Solution",
    "Solver",
    "default_solver",
    "proximal_gradient_for",
    "solve",
]


class Choice(NamedTuple):
    """A solver, and the sentence that says why it was chosen."""

    solver: Solver
    reason: str


def proximal_gradient_for(*priors):
    """``FISTA`` if all priors are convex, else ``ISTA``: the class, to be given its limits.

    Parameters
    ----------
    *priors : Prior

    Returns
    -------
    type
    """
    return FISTA if all(prior.is_convex for prior in priors) else ISTA


def default_solver(problem):
    """The solver that ``solve`` would use, and why.

    Parameters
    ----------
    problem : SparseCodingProblem

    Returns
    -------
    Choice
        ``solver`` and ``reason``.
    """
    check_problem(problem)
    masked = problem.mask is not None and not problem.mask.all()
    if problem.dictionary.is_orthonormal and not masked:
        return Choice(Orthogonal(), "the dictionary is orthonormal, so one step is the exact code")
    if problem.prior.is_convex:
        why = (
            "a mask breaks orthonormality"
            if problem.dictionary.is_orthonormal
            else "the atoms overlap"
        )
        return Choice(
            FISTA(max_iter=10_000),
            f"the prior is convex and {why}: accelerated proximal gradient with a gap",
        )
    return Choice(
        ISTA(max_iter=10_000),
        "the prior is not convex: plain proximal gradient, to a stationary point",
    )


def solve(problem, *, tol=1e-6, max_iter=None, start=None):
    """Solve with the default solver.

    Parameters
    ----------
    problem : SparseCodingProblem
    tol : float
        Relative duality gap (fixed-point residual for non-convex priors) for every sample.
    max_iter : int, optional
        Iteration limit; the default solver's own if None.
    start : array-like, optional
        Warm start.

    Returns
    -------
    Solution

    Examples
    --------
    >>> import sparsecnn as sc
    >>> atoms = [[1.0, 0.0], [0.6, 0.8]]
    >>> problem = sc.SparseCodingProblem([[1.0, 0.0]], sc.Dictionary(atoms), sc.Exponential(0.2))
    >>> sc.solve(problem, tol=1e-9).codes.round(4)
    array([[0.8, 0. ]])
    """
    changes = {"tol": as_number(tol, "tol", minimum=0.0)}
    if max_iter is not None:
        changes["max_iter"] = as_integer(max_iter, "max_iter")
    solver = default_solver(problem).solver
    if isinstance(solver, Orthogonal):  # one step, whatever the limit
        changes.pop("max_iter", None)
    return dataclasses.replace(solver, **changes).solve(problem, start)
