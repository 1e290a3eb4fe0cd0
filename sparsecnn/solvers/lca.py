"""The locally competitive algorithm: sparse coding as a recurrent network with inhibition."""

from __future__ import annotations

import dataclasses

from ..problem import safe_step
from ..validation import InputError, as_number
from .base import Solver, refuse_unbounded


@dataclasses.dataclass(frozen=True)
class LCA(Solver):
    """Euler steps of ``tau du/dt = D^T x - u - (D^T D - I) a`` with the activation ``a = prox(u)``.

    Its fixed points are the fixed points of ISTA with step 1, hence the codes.

    Parameters
    ----------
    tol : float
        Relative duality gap at which a sample is finished.
    max_iter : int
    step : float, optional
        Time step over ``tau``; default ``1 / max(1, lipschitz)``.

    References
    ----------
    Rozell, Johnson, Baraniuk & Olshausen 2008, Sparse coding via thresholding and local
    competition.
    """

    tol: float = 1e-6
    max_iter: int = 5000
    step: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.step is not None:
            as_number(self.step, "LCA(step=...)", positive=True)

    def check(self, problem):
        super().check(problem)
        if not problem.prior.is_convex:
            raise InputError(
                f"LCA: {type(problem.prior).__name__} is not convex, so the dynamics can cycle. "
                "Use ISTA()."
            )
        refuse_unbounded(problem, self)

    def iterates(self, problem, start):
        step = min(1.0, safe_step(problem)) if self.step is None else self.step
        prior = problem.prior
        if start is None:
            potential = 0 * problem.projections()
        else:
            potential = start - problem.gradient(start)
        codes = prior.prox(potential)
        while True:
            drive = codes - problem.gradient(codes)
            potential = potential + step * (drive - potential)
            codes = prior.prox(potential)
            keep = yield codes
            if keep is not None:
                codes, potential, problem = codes[keep], potential[keep], problem.subset(keep)
