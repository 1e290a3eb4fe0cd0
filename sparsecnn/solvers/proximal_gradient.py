"""ISTA and FISTA: a gradient step on the fidelity, then the prior's prox: the layer, iterated."""

from __future__ import annotations

import copy
import dataclasses

import array_api_compat
import numpy as np

from ..dictionaries import row_norms
from ..validation import InputError, as_number
from .base import Solver, refuse_unbounded

#: norms of atoms that differ by more than this get steps of their own
_UNEQUAL = 4.0
#: so few codes, or at most twice an atom's entries, are multiplied by their Gram matrix
_FEW = 256


@dataclasses.dataclass(frozen=True)
class ISTA(Solver):
    """Iterative shrinkage-thresholding, ``z <- prox(z + step D^T (x - D z), step)`` from zero.

    With ``step = 1`` its first iterate is the forward transform. For convex priors and ``step <=
    1 / L`` the energy obeys ``E(z_t) - E* <= ||z*||^2 / (2 step t)``; for others it decreases to a
    stationary point.

    Parameters
    ----------
    tol : float
        Relative duality gap (fixed-point residual for non-convex priors) at which a sample is
        finished.
    max_iter : int
    step : float, optional
        Step size; default 1 / lipschitz. Above 2 / lipschitz the iteration may diverge (it then
        warns).

    References
    ----------
    Daubechies, Defrise & De Mol 2004; Beck & Teboulle 2009, theorem 3.1 (rate).
    """

    tol: float = 1e-6
    max_iter: int = 1000
    step: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.step is not None:
            as_number(self.step, "ISTA(step=...)", positive=True)

    def check(self, problem):
        super().check(problem)
        refuse_unbounded(problem, self)

    def iterates(self, problem, start):
        step = safe_step(problem) if self.step is None else self.step
        prior = problem.prior
        slope = _Descent(problem)
        pull = problem.projections() if start is None else slope.at(start)
        codes = 0 * pull if start is None else start
        while True:
            codes = prior.prox(codes + step * pull, step)
            keep = yield codes
            if keep is not None:
                codes, slope = codes[keep], slope.subset(keep)
            pull = slope.at(codes)


@dataclasses.dataclass(frozen=True)
class FISTA(Solver):
    """ISTA with Nesterov momentum and a restart, per sample, when momentum points uphill.

    From the start (zero codes) to the first restart the energy obeys ``E(z_t) - E* <= 2 L ||z*||^2
    / (t + 1)^2``; after a restart at ``z_k`` the same holds with ``||z_k - z*||`` and ``t`` counted
    anew. Where the norms of the atoms differ by more than a factor 4 (and the prior is separable),
    it runs on the problem whose atoms have norm 1, and ``L`` and ``z`` are that problem's.

    Parameters
    ----------
    tol : float
        Relative duality gap at which a sample is finished.
    max_iter : int

    References
    ----------
    Beck & Teboulle 2009, A fast iterative shrinkage-thresholding algorithm, theorem 4.4.
    O'Donoghue & Candes 2015, Adaptive restart for accelerated gradient schemes (gradient scheme).
    """

    tol: float = 1e-6
    max_iter: int = 1000

    def check(self, problem):
        super().check(problem)
        if not problem.prior.is_convex:
            raise InputError(
                f"FISTA: {type(problem.prior).__name__} is not convex, where momentum has no "
                "guarantee. Use ISTA(), which decreases the energy to a stationary point."
            )
        refuse_unbounded(problem, self)

    def iterates(self, problem, start):
        step, prior, slope = convex_steps(problem), problem.prior, _Descent(problem)
        point = problem.projections() * 0 if start is None else start
        xp = array_api_compat.array_namespace(point)
        previous = point
        trailing = (1,) * (point.ndim - 1)
        momentum = xp.ones((point.shape[0], *trailing), dtype=point.dtype)
        axes = tuple(range(1, point.ndim))
        while True:
            codes = prior.prox(point + step * slope.at(point), step)
            keep = yield codes
            if keep is not None:
                slope = slope.subset(keep)
                codes, previous, point, momentum = (
                    a[keep] for a in (codes, previous, point, momentum)
                )
            change = codes - previous
            uphill = xp.sum((point - codes) * change / step, axis=axes, keepdims=True) > 0
            faster = xp.where(
                uphill, xp.ones_like(momentum), 0.5 * (1 + xp.sqrt(1 + 4 * momentum**2))
            )
            point = (
                codes + xp.where(uphill, xp.zeros_like(momentum), (momentum - 1) / faster) * change
            )
            previous, momentum = codes, faster


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


class _Descent:
    """``D^T (x - D z)`` for many ``z``, by the Gram matrix where that is less work."""

    def __init__(self, problem):
        self._problem, dictionary = problem, problem.dictionary
        n_codes, size = int(np.prod(dictionary.code_shape)), dictionary.atoms[0].size
        self._gram = None
        if problem.mask is None and n_codes <= max(2 * size, _FEW):
            self._gram = dictionary.gram.astype(problem.x.dtype, copy=False)
            self._target = problem.projections()

    def at(self, codes):
        """The steepest descent of the fidelity at ``codes``."""
        if self._gram is None:
            return -self._problem.gradient(codes)
        flat = codes.reshape(len(codes), -1)
        return self._target - (flat @ self._gram).reshape(codes.shape)

    def subset(self, rows):
        """The same for some of the samples."""
        part = copy.copy(self)
        part._problem = self._problem.subset(rows)
        if self._gram is not None:
            part._target = self._target[rows]
        return part


def convex_steps(problem):
    """The step of every coefficient: ``1 / lipschitz``, or its own where norms differ much.

    With unit atoms of Lipschitz constant ``L'`` the steps ``1 / (L' ||d||^2)`` are safe for a
    separable convex prior: they are ``1 / L'`` of the problem whose atoms have norm 1.
    """
    dictionary = problem.dictionary
    norms = row_norms(dictionary.atoms.astype(np.float64))
    used = norms[norms > 0]
    if not problem.prior.is_separable or not used.size or used.max() < _UNEQUAL * used.min():
        return safe_step(problem)
    steps = 1.0 / (dictionary.normalised.lipschitz * np.where(norms > 0, norms, 1.0) ** 2)
    steps = steps.reshape((1, -1) + (1,) * (len(dictionary.code_shape) - 1))
    return np.broadcast_to(steps, (1, *dictionary.code_shape)).astype(dictionary.atoms.dtype)


def safe_step(problem):
    """``1 / lipschitz``, at most the inverse of the largest Gram eigenvalue (1 for zero atoms)."""
    lipschitz = problem.dictionary.lipschitz
    return float(np.float64(1.0) / lipschitz) if lipschitz > 0 else 1.0
