"""Solvers of one problem: they differ in how long they run; all return the same certificates."""

from __future__ import annotations

from typing import NamedTuple

from ..validation import as_integer, as_number
from .base import Checkpoint, Solution, Solver, check_problem
from .coordinate_descent import CoordinateDescent
from .forward import ForwardTransform, Orthogonal
from .lca import LCA
from .proximal_gradient import FISTA, ISTA, proximal_gradient_for
from .unrolled import Unrolled

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
    "Unrolled",
    "default_solver",
    "proximal_gradient_for",
    "solve",
]


class Choice(NamedTuple):
    """A solver, and the sentence that says why it was chosen."""

    solver: Solver
    reason: str


def default_solver(problem, *, tol=1e-6, max_iter=None):
    """The solver that ``solve`` would use, and why.

    Parameters
    ----------
    problem : SparseCodingProblem
    tol : float
        Relative duality gap (fixed-point residual for non-convex priors) for every sample.
    max_iter : int, optional
        Iteration limit; default 10,000 (one step, where that is the code, needs none).

    Returns
    -------
    Choice
        ``solver`` and ``reason``.
    """
    tol = as_number(tol, "tol", minimum=0.0)
    max_iter = 10_000 if max_iter is None else as_integer(max_iter, "max_iter")
    check_problem(problem)
    masked = problem.mask is not None and not problem.mask.all()
    if problem.dictionary.is_orthonormal and not masked:
        return Choice(
            Orthogonal(tol), "the dictionary is orthonormal, so one step is the exact code"
        )
    if problem.prior.is_convex:
        why = (
            "a mask breaks orthonormality"
            if problem.dictionary.is_orthonormal
            else "the atoms overlap"
        )
        return Choice(
            FISTA(tol, max_iter),
            f"the prior is convex and {why}: accelerated proximal gradient with a gap",
        )
    return Choice(
        ISTA(tol, max_iter),
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
    return default_solver(problem, tol=tol, max_iter=max_iter).solver.solve(problem, start)
