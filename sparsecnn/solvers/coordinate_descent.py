"""Coordinate descent on the Gram matrix: one coefficient after the other, all samples at once."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..validation import InputError
from .base import Solver, refuse_unbounded


@dataclasses.dataclass(frozen=True)
class CoordinateDescent(Solver):
    """Minimise exactly over one coefficient at a time.

    ``z_j <- prox(z_j + d_j^T r / ||d_j||^2, 1 / ||d_j||^2)`` with the residual ``r``. For dense
    dictionaries and separable priors. One iteration is a sweep over all atoms.

    Parameters
    ----------
    tol : float
        Relative duality gap (fixed-point residual for non-convex priors) at which a sample is
        finished.
    max_iter : int
        Sweeps.

    References
    ----------
    Wu & Lange 2008, Coordinate descent algorithms for lasso penalized regression.
    """

    tol: float = 1e-6
    max_iter: int = 1000

    def check(self, problem):
        super().check(problem)
        if len(problem.dictionary.code_shape) != 1:
            raise InputError(
                "CoordinateDescent works on dense dictionaries; use FISTA() for convolutional ones."
            )
        if not problem.prior.is_separable:
            raise InputError(
                f"CoordinateDescent: {type(problem.prior).__name__} couples coefficients, so one "
                f"at a time can stall. Use {'FISTA' if problem.prior.is_convex else 'ISTA'}()."
            )
        if problem.mask is not None and not problem.mask.all():
            raise InputError(
                "CoordinateDescent shares one Gram matrix among samples, which a mask forbids. "
                "Use FISTA()."
            )
        refuse_unbounded(problem, self)

    def iterates(self, problem, start):
        gram = problem.dictionary.gram.astype(problem.x.dtype)
        curvature = np.diag(gram)
        steps = np.where(curvature > 0, 1.0 / np.where(curvature > 0, curvature, 1.0), 1.0)
        priors = [problem.prior.restricted(slice(j, j + 1)) for j in range(len(gram))]
        codes = np.zeros(problem.shape, dtype=problem.x.dtype) if start is None else start.copy()
        while True:
            pull = -problem.gradient(codes)
            for j, prior in enumerate(priors):
                step = float(steps[j])
                old = codes[:, j : j + 1]
                new = prior.prox(old + step * pull[:, j : j + 1], step)
                moved = new - old
                if moved.any():
                    pull -= moved * gram[j]
                    codes[:, j : j + 1] = new
            keep = yield codes
            if keep is not None:
                codes, problem = codes[keep], problem.subset(keep)
