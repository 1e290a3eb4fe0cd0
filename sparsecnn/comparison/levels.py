"""All solvers on the problem of one level: certificates, distances to the reference, CPU time."""

from __future__ import annotations

import time

import numpy as np

from .measures import jaccard, known_mean, norms, relative_error
from .results import ComparisonRow, LevelInfo

_TIMED_SAMPLES = 512


class LevelComparison:
    """All solvers on one problem."""

    def __init__(self, level, problem, solvers):
        self.level, self.stated = level, problem
        problem = self.problem = in_own_unit(problem)
        self.names = list(solvers)
        self.solutions, self.milliseconds = {}, {}
        for name, solver in solvers.items():
            start = time.process_time()
            quiet = name != self.names[-1]  # only the reference is expected to converge
            self.solutions[name] = (solver.quietly if quiet else solver).solve(problem)
            seconds = time.process_time() - start
            self.milliseconds[name] = (
                _bare_milliseconds(solver, problem)
                if solver.steps
                else seconds * 1e6 / problem.n_samples
            )
        self.reference = self.solutions[self.names[-1]]
        self._size = norms(problem.x)
        self._residual = problem.residual(self.reference.codes)
        self.errors = {
            name: relative_error(s.codes, self.reference.codes)
            for name, s in self.solutions.items()
        }

    def info(self):
        d = self.stated.dictionary
        measured = (d.mutual_coherence, d.gram_deviation, d.lipschitz)
        return LevelInfo(self.level, repr(d), repr(self.stated.prior), *measured)

    def row(self, name):
        solution, problem = self.solutions[name], self.problem
        residual = problem.residual(solution.codes)
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
            reconstruction_distance=self._relative_mean(norms(residual - self._residual)),
            bound=self._relative_mean(np.sqrt(2 * solution.dual_gap)),
            milliseconds=self.milliseconds[name],
            converged=float(solution.converged.mean()),
        )

    def _relative_mean(self, sizes):
        seen = self._size > 0
        return float(np.mean(sizes[seen] / self._size[seen])) if seen.any() else 0.0


def in_own_unit(problem):
    """The problem of far-off data in their unit: relative numbers are the same there."""
    units = {s for _, s in problem.scale_groups()}
    return problem.in_units(units.pop()) if len(units) == 1 else problem


def _bare_milliseconds(solver, problem):
    """CPU milliseconds per 1,000 samples of a fixed number of steps, without certificates."""
    part = problem.subset(slice(0, _TIMED_SAMPLES))
    start = time.process_time()
    solver.advance(part, solver.steps)
    return (time.process_time() - start) * 1e6 / part.n_samples
