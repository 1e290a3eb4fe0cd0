"""The dial between the layer and the code: a stated number of steps."""

from __future__ import annotations

import dataclasses

from ..validation import as_integer, as_number
from .base import Solver
from .forward import ForwardTransform
from .proximal_gradient import proximal_gradient_for


@dataclasses.dataclass(frozen=True)
class Unrolled(Solver):
    """So many steps, whatever they reach: one is the CNN layer, more an unrolled network.

    One step is the forward transform ``prox(D^T x)``, of step size 1; ``k > 1`` are ``k``
    iterations of FISTA (ISTA if the prior is not convex), of step size ``1 / lipschitz``. It never
    warns: the number of steps is what was asked for.

    Parameters
    ----------
    steps : int
    tol : float
        The relative duality gap (fixed-point residual for non-convex priors) that ``converged``
        asks for; it stops nothing.

    References
    ----------
    Gregor & LeCun 2010, Learning fast approximations of sparse coding (iterations as layers).

    Examples
    --------
    >>> import sparsecnn as sc
    >>> dictionary = sc.Dictionary([[1.0, 0.0], [0.6, 0.8]])
    >>> problem = sc.SparseCodingProblem([[1.0, 0.0]], dictionary, sc.Exponential(0.2))
    >>> for steps in (1, 3, 30):
    ...     print(steps, sc.Unrolled(steps).solve(problem).codes.round(4))
    1 [[0.8 0.4]]
    3 [[0.6839 0.0661]]
    30 [[0.8 0. ]]
    """

    steps: int
    tol: float = 1e-6
    warns = False

    def __post_init__(self):
        as_integer(self.steps, "steps")
        as_number(self.tol, "tol", minimum=0.0)

    @property
    def max_iter(self):
        """int: the number of steps."""
        return self.steps

    def iterates(self, problem, start):
        one = self.steps == 1
        return (ForwardTransform() if one else proximal_gradient_for(problem.prior)()).iterates(
            problem, start
        )

    def check(self, problem):
        super().check(problem)
        if self.steps > 1:
            proximal_gradient_for(problem.prior)().check(problem)
