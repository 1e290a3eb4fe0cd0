"""ISTA and FISTA: a gradient step on the fidelity, then the prior's prox: the layer, iterated."""

from __future__ import annotations

import copy
import dataclasses

import array_api_compat
import numpy as np

from ..problem import convex_steps, safe_step
from ..validation import InputError, as_number
from .base import Solver, refuse_unbounded

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
