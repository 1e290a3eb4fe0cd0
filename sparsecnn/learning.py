"""Dictionary learning: code a batch roughly, then improve the atoms for those codes.

Olshausen & Field 1996 (gradient of the energy in the dictionary); Mairal et al. 2009
(mini-batches).
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from .dictionaries import unit_rows
from .engine import single_threaded_blas
from .problem import SparseCodingProblem
from .solvers import FISTA, ISTA
from .validation import (
    ConvergenceWarning,
    InputError,
    as_float_array,
    as_generator,
    as_integer,
    as_number,
)

#: An atom used less than this fraction of the mean over an epoch is dead and is replaced.
_DEAD = 1e-3


@dataclasses.dataclass(frozen=True)
class LearningRecord:
    """A learned dictionary and how it came about.

    Attributes
    ----------
    dictionary : Dictionary or ConvDictionary
        Unit-norm atoms.
    objective : array, shape (n_batches,)
        Mean energy of each batch when it was coded (before its update).
    n_replaced : int
        Dead atoms replaced on the way.
    """

    dictionary: object
    objective: np.ndarray
    n_replaced: int


def learn_dictionary(
    x,
    dictionary,
    prior,
    *,
    n_epochs=10,
    batch_size=256,
    tol=1e-2,
    n_updates=5,
    random_state=None,
    on_batch=None,
    on_epoch=None,
):
    """Learn unit-norm atoms for signals ``x`` under a sparse prior.

    Each batch is coded to a relative gap ``tol`` and then the atoms take ``n_updates`` projected
    gradient steps on ``1/2 ||x - D z||^2`` with the codes fixed, none of which raises the batch's
    energy. Atoms that an epoch hardly used are replaced by a normalised piece of the signal that is
    explained worst.

    Parameters
    ----------
    x : array-like, shape (n_samples, *dictionary.signal_shape)
        Training signals; float32 computes in float32.
    dictionary : Dictionary or ConvDictionary
        Where to start; its atoms are scaled to unit norm.
    prior : Prior
    n_epochs, batch_size : int
    tol : float
        Relative gap of the codes while learning.
    n_updates : int
        Gradient steps on the atoms for each batch.
    random_state : None, int or Generator
        Order of the samples.
    on_batch : callable, optional
        Called as ``on_batch(epoch, batch, n_batches, objective)``; returning True stops after that
        batch.
    on_epoch : callable, optional
        Called after every epoch with the LearningRecord so far, whose atoms can be kept or tried
        out; returning True stops.

    Returns
    -------
    LearningRecord

    References
    ----------
    Olshausen & Field 1996, Emergence of simple-cell receptive field properties by learning a sparse
    code. Mairal, Bach, Ponce & Sapiro 2009, Online dictionary learning for sparse coding.
    """
    x = as_float_array(x, "x", expected=f"signals (n_samples, *{dictionary.signal_shape})")
    n_epochs, batch_size = as_integer(n_epochs, "n_epochs"), as_integer(batch_size, "batch_size")
    n_updates, tol = as_integer(n_updates, "n_updates"), as_number(tol, "tol", positive=True)
    SparseCodingProblem(x[:1], dictionary, prior)  # refuse a misfit before any work
    rng = as_generator(random_state)
    unit = _unit_of(x)
    x, prior = x / unit, prior.scaled(unit)
    dictionary = dictionary.with_atoms(unit_rows(dictionary.atoms.astype(x.dtype)))
    solver = (FISTA if prior.is_convex else ISTA)(tol=tol, max_iter=200)
    with single_threaded_blas():
        return _learned(
            x,
            dictionary,
            prior,
            unit,
            n_epochs,
            batch_size,
            n_updates,
            solver,
            rng,
            on_batch,
            on_epoch,
        )


def _learned(
    x,
    dictionary,
    prior,
    unit,
    n_epochs,
    batch_size,
    n_updates,
    solver,
    rng,
    on_batch,
    on_epoch,
):
    """The loop of ``learn_dictionary``, after its checks, in units of ``unit``."""
    steps, objectives, n_replaced, stop = _AtomSteps(), [], 0, False
    for epoch in range(n_epochs):
        order = rng.permutation(len(x))
        batches = [order[i : i + batch_size] for i in range(0, len(x), batch_size)]
        usage, worst = np.zeros(dictionary.n_atoms), _WorstExplained()
        for b, rows in enumerate(batches):
            problem = SparseCodingProblem(x[rows], dictionary, prior)
            solution = _solve_quietly(solver, problem)
            objectives.append(float(solution.objective.mean()) * unit * unit)  # inf, no error
            usage += np.abs(solution.codes).sum(axis=(0, *range(2, solution.codes.ndim)))
            worst.offer(problem, solution.codes)
            dictionary = steps.improved(problem, solution.codes, n_updates)
            stop = bool(on_batch and on_batch(epoch, b, len(batches), objectives[-1]))
            if stop:
                break
        if stop:
            break
        if on_epoch and on_epoch(LearningRecord(dictionary, np.array(objectives), n_replaced)):
            break
        if epoch + 1 < n_epochs:
            dictionary, replaced = _revived(dictionary, usage, worst)
            n_replaced += replaced
    return LearningRecord(dictionary, np.array(objectives), n_replaced)


def _solve_quietly(solver, problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rough codes are wanted here
        return solver.solve(problem)


class _AtomSteps:
    """Projected gradient steps in the atoms, with codes fixed.

    Each atom moves by its gradient over its code energy, times a common damping. On the sphere such
    a step minimises an upper model of the fidelity once the damping covers the overlap of the
    atoms; a step that would raise the energy shows that it does not: the damping is doubled, and
    relaxed again from batch to batch.
    """

    def __init__(self):
        self._damping = 2.0

    def improved(self, problem, codes, n_updates):
        """The problem's dictionary after up to ``n_updates`` steps,
        none of which raises the energy.
        """
        dictionary = problem.dictionary
        energy = (codes.astype(np.float64) ** 2).sum(axis=(0, *range(2, codes.ndim)))
        if not energy.any():
            return dictionary
        weight = np.maximum(energy, 1e-3 * energy.mean()).astype(dictionary.atoms.dtype)
        weight = weight.reshape((-1,) + (1,) * (dictionary.atoms.ndim - 1))
        residual = problem.x - dictionary.synthesize(codes)
        before = _sum_of_squares(residual)
        self._damping = max(0.7 * self._damping, 1.0)
        for _ in range(n_updates):
            direction = dictionary.atom_gradient(residual, codes) / weight
            for _ in range(12):
                moved = dictionary.with_atoms(
                    unit_rows(dictionary.atoms + direction / self._damping)
                )
                rest = problem.x - moved.synthesize(codes)
                after = _sum_of_squares(rest)
                if after <= before:
                    break
                self._damping *= 2
            else:
                break
            dictionary, residual, before = moved, rest, after
        return dictionary


class _WorstExplained:
    """The signal with the largest residual seen, from which a dead atom is reborn."""

    def __init__(self):
        self._pieces = []

    def offer(self, problem, codes):
        residual = problem.residual(codes)
        energy = np.einsum("ni,ni->n", *(residual.reshape(len(residual), -1),) * 2)
        for i in np.argsort(energy)[::-1][:8]:
            self._pieces.append((float(energy[i]), problem.x[i], residual[i]))
        self._pieces = sorted(self._pieces, key=lambda piece: -piece[0])[:64]

    def take(self, n, shape):
        """``n`` unit-norm atoms of ``shape`` from the worst-explained places,
        at most one per signal.
        """
        atoms = []
        for _, signal, residual in self._pieces:
            atom = (
                signal
                if signal.shape == shape
                else _most_energetic_window(signal, residual, shape[1:])
            )
            atom = atom - (atom.mean() if atom.ndim > 1 and atom.size > 1 else 0.0)
            norm = np.linalg.norm(atom)
            if norm > 0:
                atoms.append(atom / norm)
            if len(atoms) == n:
                break
        return atoms


def _most_energetic_window(signal, residual, size):
    from scipy.ndimage import uniform_filter

    energy = uniform_filter(
        (residual.astype(np.float64) ** 2).sum(axis=0), size=size, mode="constant"
    )
    top = [e // 2 for e in size]
    inside = energy[
        top[0] : energy.shape[0] - size[0] + top[0] + 1,
        top[1] : energy.shape[1] - size[1] + top[1] + 1,
    ]
    if inside.size == 0:  # the filter is larger than the image: pad the signal with zeros
        padded = np.zeros((signal.shape[0], *size), dtype=signal.dtype)
        cut = [min(a, b) for a, b in zip(size, signal.shape[1:], strict=True)]
        padded[:, : cut[0], : cut[1]] = signal[:, : cut[0], : cut[1]]
        return padded
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    return signal[:, y : y + size[0], x : x + size[1]]


def _revived(dictionary, usage, worst):
    """Replace atoms that the last epoch hardly used."""
    dead = np.flatnonzero(usage <= _DEAD * usage.mean())
    if len(dead) == 0:
        return dictionary, 0
    fresh = worst.take(len(dead), dictionary.atoms.shape[1:])
    atoms = dictionary.atoms.copy()
    for j, atom in zip(dead, fresh, strict=False):
        atoms[j] = atom
    return dictionary.with_atoms(atoms), len(fresh)


def _unit_of(x):
    """A power of two near the largest magnitude, 1 for ordinary data."""
    largest = float(np.abs(x).max())
    if largest == 0:
        raise InputError(
            "x is all zero; expected signals with some contrast, or there is nothing to learn."
        )
    exponent = int(np.frexp(largest)[1])
    return float(2.0**exponent) if abs(exponent) > 20 else 1.0


def _sum_of_squares(array):
    return float(np.einsum("i,i->", array.ravel(), array.ravel(), dtype=np.float64))
