"""One step: the layer as a solver, its calibrated version, and the case where it is exact."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..validation import InputError, InputTypeError, as_number
from .base import Solver

_GOLDEN = (np.sqrt(5) - 1) / 2
_DOUBLINGS = 60


@dataclasses.dataclass(frozen=True)
class ForwardTransform(Solver):
    """The CNN layer: ``prox(D^T x)``, the first proximal-gradient iterate with step 1 from zero.

    It never warns: its answer is what a layer computes, and ``converged`` says whether that happens
    to be the code (relative gap <= 1e-6).

    Parameters
    ----------
    calibrate : bool
        Rescale each code by the non-negative factor of least energy along its ray. For homogeneous
        penalties that is ``||z||^2 / ||D z||^2``, so that the plain layer has more energy than no
        code exactly where ``||D z||^2 > 2 ||z||^2``; for other convex ones it is found by a line
        search, for non-convex ones it is a local minimum. The result never has more energy than
        the better of the plain and the zero code.

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
    max_iter = steps = 1
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

    Parameters
    ----------
    tol : float
        Relative duality gap (fixed-point residual for non-convex priors) that counts as converged;
        float32 data may miss a small one by their rounding.

    References
    ----------
    Bowren 2021, orthogonal basis functions: the soft threshold (ReLU) of the projections is the
    optimum.
    """

    calibrate: bool = dataclasses.field(default=False, init=False, repr=False)
    tol: float = 1e-6
    warns = True

    def __post_init__(self):
        as_number(self.tol, "Orthogonal(tol=...)", minimum=0.0)

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
    ray = problem.ray(codes)
    if problem.prior.is_homogeneous:
        # <D^T x - z, z> = phi(z) at z = prox(D^T x), so <x, D z> - phi(z) = ||z||^2
        size = np.square(codes.reshape(len(codes), -1), dtype=np.float64).sum(axis=1)
        scale = np.divide(size, ray.square, out=np.zeros_like(size), where=ray.square > 0)
        return scale.astype(codes.dtype)
    return _line_search(ray).astype(codes.dtype)


def _line_search(ray):
    """Golden-section search of the energy along a ray, compared with the scales 0 and 1."""
    high = np.maximum(np.where(ray.square > 0, ray.cross / np.maximum(ray.square, 1e-300), 0), 1.0)
    for _ in range(_DOUBLINGS):  # a penalty that falls along the ray moves the optimum out
        falling = ray.energy(2 * high) < ray.energy(high)
        if not falling.any():
            break
        high = np.where(falling, 2 * high, high)
    low, high = np.zeros_like(high), 2 * high
    for _ in range(80):
        width = _GOLDEN * (high - low)
        left, right = high - width, low + width
        go_left = ray.energy(left) <= ray.energy(right)
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
    candidates = np.stack([0.5 * (low + high), np.ones_like(high), np.zeros_like(high)])
    energies = np.stack([ray.energy(s) for s in candidates])
    return np.take_along_axis(candidates, np.nanargmin(energies, axis=0)[None], axis=0)[0]
