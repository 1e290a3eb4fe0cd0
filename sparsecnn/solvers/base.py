"""What every solver shares: stopping on certificates, blocks, threads, history, the ``Solution``.

A solver writes only ``iterates``; when to stop is decided here, for each sample on its own.
"""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import itertools
import os
import warnings
from typing import NamedTuple

import numpy as np

from ..engine import single_threaded_blas
from ..problem import Certificate, SparseCodingProblem, warn_of_offset
from ..tables import Table, fragment
from ..validation import (
    ConvergenceWarning,
    InputError,
    InputTypeError,
    as_float_array,
    as_integer,
    as_number,
)

#: A block of samples is run to convergence before the next, so that its arrays stay in the cache.
_BLOCK_NUMBERS, _BLOCK_ROWS = 1 << 19, 512
#: float32 iterates cannot be trusted below this gap; the rest of the way is done in float64.
_FLOAT32_FLOOR = 1e-4


class Checkpoint(NamedTuple):
    """Certificates after ``n_iter`` iterations, float64, per sample (finished ones keep theirs)."""

    n_iter: int
    objective: np.ndarray
    gap: np.ndarray
    residual: np.ndarray


@dataclasses.dataclass(frozen=True)
class Solution:
    """Codes with their certificates.

    Attributes
    ----------
    codes : array, shape (n_samples, *code_shape)
    objective : array, shape (n_samples,)
        Energy, float64.
    gap : array, shape (n_samples,)
        Relative duality gap: ``(E(z) - lower bound) / max(|E(z)|, |E(0)|)``, float64; nan when the
        prior is not (known to be) convex.
    residual : array, shape (n_samples,)
        Relative fixed-point residual of the proximal-gradient step, float64.
    n_iter : array of int, shape (n_samples,)
    converged : array of bool, shape (n_samples,)
    certificate : {"relative duality gap", "fixed-point residual"}
        What ``converged`` was decided on. A small residual says stationary, not globally optimal.
    history : tuple of Checkpoint
        Certificates at the iterations that were certified.
    solver : Solver
    dual_gap : array, shape (n_samples,)
        Absolute duality gap; ``sqrt(2 dual_gap)`` bounds the distance of the reconstruction from
        the exact code's.
    """

    codes: np.ndarray
    objective: np.ndarray
    gap: np.ndarray
    n_iter: np.ndarray
    converged: np.ndarray
    history: tuple[Checkpoint, ...]
    solver: Solver
    residual: np.ndarray
    dual_gap: np.ndarray
    certificate: str

    @property
    def measure(self):
        """array, shape (n_samples,): the number that ``converged`` compares with ``tol``.

        The gap, or, without an interior of the dual, the smaller of gap and residual.
        """
        return _measure(self.gap, self.residual, self.certificate == "relative duality gap")

    def _repr_html_(self):
        measure, density = self.measure, np.mean(self.codes != 0)
        rows = [
            ("samples", f"{len(self.codes)}"),
            ("converged", f"{int(self.converged.sum())}"),
            (f"{self.certificate}, worst", f"{np.max(measure):.2e}"),
            (f"{self.certificate}, median", f"{np.median(measure):.2e}"),
            ("iterations, most", f"{self.n_iter.max()}"),
            ("energy, mean", f"{np.mean(self.objective):.6g}"),
            ("coefficients that are not zero", f"{density:.1%}"),
        ]
        return fragment(Table((), rows, f"Solution by {self.solver!r}"))

    def __repr__(self):
        return (
            f"Solution({len(self.codes)} samples by {self.solver!r}: "
            f"{int(self.converged.sum())} converged, worst {self.certificate} "
            f"{np.max(self.measure):.2e})"
        )


class Solver:
    """Immutable settings whose ``iterates`` yields codes.

    Stopping, history and certificates are the base class's. Subclasses are frozen dataclasses with
    the fields ``tol`` and ``max_iter``.

    Attributes
    ----------
    steps : int or None
        A number of iterations that is run whatever the certificates say; None runs to ``tol``.
    warns : bool
        Whether ``solve`` warns of samples that did not reach ``tol``.
    """

    tol: float
    max_iter: int
    steps = None
    warns = True

    def __post_init__(self):
        name = type(self).__name__
        as_number(self.tol, f"{name}(tol=...)", minimum=0.0)
        as_integer(self.max_iter, f"{name}(max_iter=...)")

    def iterates(self, problem, start):
        """Yield codes, one array per iteration, for ever.

        Parameters
        ----------
        problem : SparseCodingProblem
        start : array, shape ``problem.shape``, or None for zero codes
            Never modified.

        Yields
        ------
        codes : array
            Codes of the samples still under way. ``keep = yield codes`` receives a boolean array
            when some samples are finished; the solver may shrink its arrays to ``keep`` (and then
            yields fewer codes) or ignore it.
        """
        raise NotImplementedError

    @property
    def quietly(self):
        """Solver: the same settings, without a warning where ``tol`` is not reached."""
        twin = copy.copy(self)
        object.__setattr__(twin, "warns", False)  # no setting: it compares equal
        return twin

    def check(self, problem):
        """Refuse a problem this solver is not made for, with a sentence that names one that fits.

        Raises
        ------
        InputError
        """
        check_problem(problem)

    def solve(self, problem, start=None):
        """Run until every sample is certified to ``tol`` or ``max_iter`` iterations are spent.

        Parameters
        ----------
        problem : SparseCodingProblem
        start : array-like, shape ``problem.shape``, optional
            Warm start; left untouched.

        Returns
        -------
        Solution

        Warns
        -----
        ConvergenceWarning
            Once, with the worst measured certificate, if some samples did not reach ``tol``; once
            if ``x`` is so far from 0 that a gap relative to its energy says little.
        """
        self.check(problem)
        start = _checked_start(problem, start)
        if problem.prior.is_convex:
            problem.dual_interior  # noqa: B018 - found once here, not once in every thread
        blocks = _blocks(problem)
        runs = _in_threads(lambda block: self._solve_block(problem, start, *block), blocks)
        solution = self._assemble(problem, blocks, runs)
        if self.warns:
            warn_of_offset(problem.x, type(self).__name__, problem.mask)
            if not solution.converged.all():
                _warn(solution)
        return solution

    def advance(self, problem, n_iter, start=None):
        """Codes after ``n_iter`` iterations, without certificates.

        Parameters
        ----------
        problem : SparseCodingProblem
        n_iter : int
        start : array-like, shape ``problem.shape``, optional
            Warm start; left untouched.

        Returns
        -------
        array, shape ``problem.shape``
        """
        self.check(problem)
        n_iter, start = as_integer(n_iter, "n_iter"), _checked_start(problem, start)
        codes = np.empty(problem.shape, dtype=problem.x.dtype)

        def work(block):
            rows, s = block
            exponent = int(np.log2(s))
            begin = None if start is None else np.ldexp(start[rows], -exponent)
            steps = self.iterates(problem.subset(rows).in_units(s), begin)
            for _ in range(n_iter):
                found = next(steps)
            codes[rows] = np.ldexp(found, exponent)

        _in_threads(work, _blocks(problem))
        return codes

    def _solve_block(self, problem, start, rows, s):
        exponent = int(np.log2(s))
        block = problem.subset(rows).in_units(s)
        begin = None if start is None else np.ldexp(start[rows], -exponent)
        run = _Run(self, block, begin)
        run.codes = np.ldexp(run.codes, exponent) if exponent else run.codes
        run.final = problem.subset(rows).certificate(run.codes)
        return run

    def _assemble(self, problem, blocks, runs):
        codes = np.empty(problem.shape, dtype=problem.x.dtype)
        n_iter = np.empty(problem.n_samples, dtype=int)
        final = Certificate(*(np.empty(problem.n_samples) for _ in Certificate._fields))
        for (rows, _), run in zip(blocks, runs, strict=True):
            codes[rows], n_iter[rows] = run.codes, run.n_iter
            for whole, part in zip(final, run.final, strict=True):
                whole[rows] = part
        objective, dual_gap, gap, residual = final
        on_gap = _certified_by_gap(problem)
        only = Checkpoint(int(n_iter.max()), objective, gap, residual)
        return Solution(
            codes=codes,
            objective=objective,
            gap=gap,
            n_iter=n_iter,
            converged=_measure(gap, residual, on_gap) <= self.tol,
            history=_merged_history(problem.n_samples, blocks, runs) or (only,),
            solver=self,
            residual=residual,
            dual_gap=dual_gap,
            certificate="relative duality gap" if on_gap else "fixed-point residual",
        )


class _Run:
    """One block of samples, run to its certificates."""

    def __init__(self, solver, problem, start):
        self.solver, self.problem = solver, problem
        self.n_iter = np.zeros(problem.n_samples, dtype=int)
        self.codes = np.zeros(problem.shape, dtype=problem.x.dtype)
        self.history = []
        self._latest = np.full((3, problem.n_samples), np.nan)
        self._offset = 0
        self._on_gap = _certified_by_gap(problem)
        everything = np.arange(problem.n_samples)
        steps = 1 if solver.max_iter == 1 else solver.steps
        if steps:  # nothing to decide: the certificate of the result says it all
            iterates = itertools.islice(solver.iterates(problem, start), steps - 1, None)
            self.codes, self.n_iter = next(iterates), self.n_iter + steps
        elif problem.x.dtype == np.float32 and solver.tol < _FLOAT32_FLOOR:
            rough = self._iterate(problem, everything, start, _FLOAT32_FLOOR)
            left = rough[
                (self._measure()[rough] > solver.tol) & (self.n_iter[rough] < solver.max_iter)
            ]
            if len(left):
                self._offset = int(self.n_iter.max())
                twin = problem.subset(left).astype(np.float64)
                # rounding the codes back to float32 costs some of the gap: aim below tol
                self._iterate(twin, left, self.codes[left].astype(np.float64), 0.2 * solver.tol)
        else:
            self._iterate(problem, everything, start, solver.tol)

    def _measure(self):
        return _measure(*self._latest[1:], self._on_gap)

    def _iterate(self, problem, rows, start, tol):
        """Run the solver on samples ``rows``; return those that reached ``tol``."""
        spent = self.n_iter[rows].copy()
        generator = self.solver.iterates(problem, start)
        unfinished = np.ones(len(rows), dtype=bool)
        local = np.arange(len(rows))  # which rows the generator currently yields
        codes = next(generator)
        iteration, due = 1, 1
        while True:
            remaining = int((self.solver.max_iter - spent[unfinished]).min())
            if iteration >= min(due, remaining):
                due = max(iteration + 1, int(1.4 * iteration))
                open_rows = unfinished[local]
                self._certify(problem, rows, local[open_rows], codes[open_rows], spent, iteration)
                measure = self._measure()[rows]
                settled = ~np.isfinite(self._latest[0][rows]) | (measure <= tol)
                unfinished &= ~settled & (spent + iteration < self.solver.max_iter)
                if not unfinished.any():
                    break
                keep = unfinished[local]
                if keep.mean() > 0.9:
                    codes = next(generator)
                else:
                    codes = generator.send(keep)
                    if len(codes) == keep.sum():
                        local = local[keep]
            else:
                codes = next(generator)
            iteration += 1
        generator.close()
        return rows[np.isfinite(self._latest[0][rows])]

    def _certify(self, problem, rows, local, codes, spent, iteration):
        with np.errstate(over="ignore", invalid="ignore"):
            part = problem.subset(local).certificate(codes, stationarity=not self._on_gap)
        finite = np.isfinite(part.objective) & np.isfinite(codes).reshape(len(codes), -1).all(
            axis=1
        )
        good, where = np.flatnonzero(finite), rows[local]
        self.codes[where[good]] = codes[good]
        self.n_iter[where] = spent[local] + iteration
        self._latest[:, where] = part.objective, part.relative_gap, part.fixed_point_residual
        self._latest[0, where[~finite]] = np.inf  # diverged: the last finite codes stay
        self.history.append(Checkpoint(self._offset + iteration, *self._latest.copy()))


def _certified_by_gap(problem):
    """Whether the duality gap must vanish at the exact code (convex,
    and the dual feasible set has an interior).
    """
    return problem.prior.is_convex and problem.dual_interior.status == "interior"


def _measure(gap, residual, on_gap):
    """The number that has to fall below ``tol``; without a dual interior the smaller of the two."""
    return gap if on_gap else np.fmin(gap, residual)


def _merged_history(n_samples, blocks, runs):
    """One history for the batch: each block's last certificate at every certified iteration."""
    merged, current = [], np.full((3, n_samples), np.nan)
    steps = sorted({checkpoint.n_iter for run in runs for checkpoint in run.history})
    at = [{c.n_iter: c for c in run.history} for run in runs]
    for step in steps:
        for (rows, _), found in zip(blocks, at, strict=True):
            if step in found:
                current[:, rows] = found[step][1:]
        merged.append(Checkpoint(step, *current.copy()))
    return tuple(merged)


def _blocks(problem):
    """Pairs (rows, power-of-two unit): samples of like magnitude, a cacheful at a time."""
    cacheful = int(np.clip(_BLOCK_NUMBERS // int(np.prod(problem.shape[1:])), 32, _BLOCK_ROWS))
    blocks = []
    for rows, s in problem.scale_groups():
        members = np.arange(problem.n_samples)[rows]
        size = min(cacheful, max(64, -(-len(members) // 2)))  # two threads are the least to expect
        for start in range(0, len(members), size):
            part = members[start : start + size]
            contiguous = part[-1] - part[0] + 1 == len(part)
            blocks.append((slice(part[0], part[-1] + 1) if contiguous else part, s))
    return blocks


def _in_threads(work, blocks):
    """Map over blocks: one thread per core, each with single-threaded linear algebra."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with single_threaded_blas():
        if len(blocks) == 1 or cores == 1:
            return [work(block) for block in blocks]
        executor = concurrent.futures.ThreadPoolExecutor(min(cores, len(blocks)))
        try:
            return list(executor.map(work, blocks))
        finally:
            executor.shutdown(cancel_futures=True)


def _checked_start(problem, start):
    if start is None:
        return None
    start = as_float_array(start, "start", expected=f"codes of shape {problem.shape}")
    if start.shape != problem.shape:
        raise InputError(
            f"start has shape {start.shape}; expected {problem.shape}, one code per sample of x."
        )
    return start.astype(problem.x.dtype, copy=True)


def _warn(solution):
    late = ~solution.converged
    measure = np.nan_to_num(solution.measure[late], nan=np.inf)
    way_out = "Raise max_iter, loosen tol, or pass start=solution.codes to go on."
    if "max_iter" not in {field.name for field in dataclasses.fields(solution.solver)}:
        way_out = "Loosen tol, or pass float64 data."
    warnings.warn(
        f"{type(solution.solver).__name__}: {int(late.sum())} of {len(late)} samples did not "
        f"reach tol = {solution.solver.tol:g} in {int(solution.n_iter.max())} iterations; worst "
        f"{solution.certificate} {measure.max():.3g}. {way_out}",
        ConvergenceWarning,
        stacklevel=3,
    )


def check_problem(problem):
    """Refuse anything that is not a problem.

    Raises
    ------
    InputTypeError
    """
    if not isinstance(problem, SparseCodingProblem):
        raise InputTypeError(
            f"problem is {problem!r}; expected SparseCodingProblem(x, dictionary, prior)."
        )


def refuse_unbounded(problem, solver):
    """Refuse an energy without minimum: negative rates that the dictionary cannot hold back.

    Raises
    ------
    InputError
    """
    if problem.prior.is_convex and problem.dual_interior.status == "empty":
        raise InputError(
            f"{type(solver).__name__}: the energy is unbounded below, because no u satisfies "
            "D^T u <= the prior's rates; expected rates that the dictionary can hold back. Raise "
            "the negative rates of the prior, or use ForwardTransform, which is defined all the "
            "same."
        )
