"""One step: the layer as a solver, its calibrated version, and the case where it is exact."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..validation import InputError, InputTypeError
from .base import Solver

_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True)
class ForwardTransform(Solver):
    """The CNN layer: ``prox(D^T x)``, the first proximal-gradient iterate with step 1 from zero.

    It never warns: its answer is what a layer computes, and ``converged`` says whether that happens
    to be the code (relative gap <= 1e-6).

    Parameters
    ----------
    calibrate : bool
        Rescale each code by the non-negative factor of least energy along its ray. For homogeneous
        penalties that is ``s = max(0, (<x, D z> - phi(z)) / ||D z||^2)``, otherwise a line search.
        The result never has more energy than the better of the plain and the zero code.

    References
    ----------
    Bowren 2021, the forward transformation with one exponential prior parameter per coefficient.
    Denil & de Freitas 2012, Recklessly approximate sparse coding (soft-threshold features as one
    step).

    Examples
    --------
    >>> import sparsecnn as sc
    >>> atoms = [[1.0, 0.0], [0.0, 1.0]]
    >>> problem = sc.SparseCodingProblem([[3.0, 0.2]], sc.Dictionary(atoms), sc.Exponential(0.5))
    >>> sc.ForwardTransform().solve(problem).codes
    array([[2.5, 0. ]])
    """

    calibrate: bool = False
    tol = 1e-6
    max_iter = 1
    warns = False

    def __post_init__(self):
        if not isinstance(self.calibrate, bool):
            raise InputTypeError(
                f"ForwardTransform(calibrate=...) is {self.calibrate!r}; expected True or False."
            )

    def iterates(self, problem, start):
        codes = problem.prior.prox(problem.projections())
        if self.calibrate:
            codes = codes * _best_scale(problem, codes).reshape((-1,) + (1,) * (codes.ndim - 1))
        while True:
            yield codes


@dataclasses.dataclass(frozen=True)
class Orthogonal(ForwardTransform):
    """The same step where it is the exact code: refuses masks and dictionaries not orthonormal.

    References
    ----------
    Bowren 2021, orthogonal basis functions: the soft threshold (ReLU) of the projections is the
    optimum.
    """

    calibrate: bool = dataclasses.field(default=False, init=False, repr=False)
    warns = True

    def check(self, problem):
        super().check(problem)
        dictionary = problem.dictionary
        if not dictionary.is_orthonormal:
            raise InputError(
                "Orthogonal: the dictionary is not orthonormal (||D^T D - I|| = "
                f"{dictionary.gram_deviation:.3g}, mutual coherence "
                f"{dictionary.mutual_coherence:.3g}), so one step is not the code. Use FISTA() for "
                "the exact code, or ForwardTransform() for the one-step approximation."
            )
        if problem.mask is not None and not problem.mask.all():
            raise InputError(
                "Orthogonal: a mask makes the observed atoms non-orthogonal. Use FISTA()."
            )


def _best_scale(problem, codes):
    """Energy-minimising non-negative scale of each code along its ray."""
    x = problem.x if problem.mask is None else problem.x * problem.mask
    image = x - problem.residual(codes)  # mask * D z
    cross = np.einsum("ni,ni->n", *(a.reshape(len(a), -1) for a in (x, image)), dtype=np.float64)
    square = np.einsum(
        "ni,ni->n", *(a.reshape(len(a), -1) for a in (image, image)), dtype=np.float64
    )
    safe = np.where(square > 0, square, 1.0)
    if problem.prior.is_homogeneous:
        scale = np.where(square > 0, (cross - problem.prior.value(codes)) / safe, 0.0)
        return np.maximum(scale, 0.0).astype(codes.dtype)
    return _line_search(problem.prior, codes, cross, square, np.maximum(cross / safe, 1.0)).astype(
        codes.dtype
    )


def _line_search(prior, codes, cross, square, high):
    """Golden-section search of ``1/2 s^2 square - s cross + phi(s z)`` on [0, high], 0 and 1."""

    def energy(s):
        column = s.reshape((-1,) + (1,) * (codes.ndim - 1))
        return 0.5 * s**2 * square - s * cross + prior.value(column * codes.astype(np.float64))

    low = np.zeros_like(high)
    for _ in range(60):
        width = _GOLDEN * (high - low)
        left, right = high - width, low + width
        go_left = energy(left) <= energy(right)
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
    candidates = np.stack([0.5 * (low + high), np.ones_like(high), np.zeros_like(high)])
    energies = np.stack([energy(s) for s in candidates])
    return np.take_along_axis(candidates, np.nanargmin(energies, axis=0)[None], axis=0)[0]
