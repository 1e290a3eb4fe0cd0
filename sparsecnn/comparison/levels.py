"""All solvers on the problem of one level: certificates, distances to the reference, CPU time."""

from __future__ import annotations

import time
import warnings

import numpy as np

from ..validation import ConvergenceWarning
from .measures import jaccard, known_mean, norms, relative_error
from .results import ComparisonRow, LevelInfo

_TIMED_SAMPLES = 512


class LevelComparison:
    """All solvers on one problem."""

    def __init__(self, level, problem, solvers):
        self.level, self.problem = level, problem
        self.names = list(solvers)
        self.solutions = {
            name: solve_quietly(solver, problem, name == self.names[-1])
            for name, solver in solvers.items()
        }
        self.reference = self.solutions[self.names[-1]]
        self.milliseconds = {
            name: _cpu_milliseconds(solver, problem) for name, solver in solvers.items()
        }
        axes = tuple(range(1, problem.x.ndim))
        observed = problem.x if problem.mask is None else problem.x * problem.mask
        self._size = np.sqrt((observed.astype(np.float64) ** 2).sum(axis=axes))
        self._image = observed - problem.residual(self.reference.codes)
        self.errors = {
            name: relative_error(s.codes, self.reference.codes)
            for name, s in self.solutions.items()
        }

    def info(self):
        d = self.problem.dictionary
        measured = (d.mutual_coherence, d.gram_deviation, d.lipschitz)
        return LevelInfo(self.level, repr(d), repr(self.problem.prior), *measured)

    def row(self, name):
        solution, problem = self.solutions[name], self.problem
        residual = problem.residual(solution.codes)
        observed = problem.x if problem.mask is None else problem.x * problem.mask
        support, wanted = solution.codes != 0, self.reference.codes != 0
        return ComparisonRow(
            level=self.level,
            solver=name,
            gap=float(np.mean(solution.gap)),
            worst_gap=float(np.max(solution.gap)),
            residual=float(np.mean(solution.residual)),
            code_error=known_mean(self.errors[name]),
            support_overlap=float(np.mean(jaccard(support, wanted))),
            density=float(support.mean()),
            reconstruction_error=self._relative_mean(norms(residual)),
            reconstruction_distance=self._relative_mean(norms(observed - residual - self._image)),
            bound=self._relative_mean(np.sqrt(2 * solution.dual_gap)),
            milliseconds=self.milliseconds[name],
            converged=float(solution.converged.mean()),
        )

    def _relative_mean(self, sizes):
        seen = self._size > 0
        return float(np.mean(sizes[seen] / self._size[seen])) if seen.any() else 0.0


def solve_quietly(solver, problem, is_reference):
    """Solve; only the reference is expected to converge, and warns if it does not."""
    with warnings.catch_warnings():
        if not is_reference:
            warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps were asked for
        return solver.solve(problem)


def _cpu_milliseconds(solver, problem):
    """CPU milliseconds per 1,000 samples: the bare iterations of a fixed number of steps,
    else a whole solve.
    """
    part = problem.subset(slice(0, _TIMED_SAMPLES))
    fixed = solver.max_iter <= 100
    start = time.process_time()
    if fixed:
        steps = solver.iterates(part, None)
        for _ in range(solver.max_iter):
            next(steps)
    else:
        solve_quietly(solver, part, False)
    return (time.process_time() - start) * 1e6 / part.n_samples
