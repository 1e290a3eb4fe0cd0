"""What makes a solver one: its answer is what it says it is, and reaches its tolerance."""

from __future__ import annotations

import warnings

import numpy as np

from ..validation import ConvergenceWarning, as_generator
from .contract import ROUNDING, close, require


def check_solver(solver, problem, *, random_state=0):
    """Check that a solver's answer is what it says it is, and reaches its tolerance.

    The reported objective and gap are the problem's own; ``converged`` says exactly whether the
    certificate is within ``tol``; every sample converges (unless the solver promises nothing:
    ``warns`` is False); signals and start stay untouched; a sample's answer does not depend on its
    batch.

    Parameters
    ----------
    solver : Solver
    problem : SparseCodingProblem
        One the solver's ``check`` admits.
    random_state : None, int or Generator

    Raises
    ------
    ContractError
        With the property and a counterexample.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> x = np.random.default_rng(0).standard_normal((4, 6))
    >>> atoms = sc.Dictionary.random(9, 6, random_state=0)
    >>> check_solver(sc.FISTA(), sc.SparseCodingProblem(x, atoms, sc.Exponential(0.3)))
    """
    rng = as_generator(random_state)
    x = problem.x.copy()
    start = problem.prior.prox(rng.standard_normal(problem.shape)).astype(x.dtype)
    begin = start.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solution, warm = solver.solve(problem), solver.solve(problem, start)
        rows = range(min(3, problem.n_samples))
        alone = [solver.solve(problem.subset(slice(i, i + 1))) for i in rows]
    require(np.array_equal(problem.x, x), solver, "the signals were modified")
    require(np.array_equal(start, begin), solver, "the start was modified", start=begin[0])
    for answer in (solution, warm):
        _check_answer(solver, problem, answer)
    slack = max(4 * solver.tol, ROUNDING)
    for i, single in enumerate(alone):
        pair = single.objective[0], solution.objective[i]
        if single.converged[0] and solution.converged[i]:
            size = max(float(problem.objective(np.zeros(problem.shape, x.dtype))[i]), pair[1])
            same = close(*pair, slack, size if np.isfinite(size) else 1.0)
            require(same, solver, "a sample's answer depends on its batch", objectives=pair)


def _check_answer(solver, problem, answer):
    shape = answer.codes.shape
    require(shape == problem.shape, solver, "codes have another shape", got=shape)
    require(np.isfinite(answer.codes).all(), solver, "codes are not finite")
    certificate = problem.certificate(answer.codes)
    good = close(answer.objective, certificate.objective, ROUNDING)
    require(good.all(), solver, "objective is not the problem's", got=answer.objective[~good])
    good = close(answer.gap, certificate.relative_gap, ROUNDING) | np.isnan(answer.gap)
    require(good.all(), solver, "gap is not the problem's", got=answer.gap[~good])
    if problem.prior.is_convex and answer.certificate == "relative duality gap":
        measure = answer.gap
    else:
        require(
            problem.prior.is_convex or np.isnan(answer.gap).all(),
            solver,
            "a gap is reported for a prior that is not convex",
            gap=answer.gap,
        )
        measure = np.fmin(answer.gap, answer.residual)
    honest = answer.converged == (measure <= solver.tol)
    require(honest.all(), solver, "converged is not gap <= tol", measure=measure[~honest])
    promised = getattr(solver, "warns", True)
    late = ~answer.converged
    require(not (promised and late.any()), solver, "tol is not reached", measure=measure[late])
