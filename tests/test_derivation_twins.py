"""Every check of separation, one step and posterior mean has a false twin, which it refutes."""

import dataclasses

import numpy as np
import pytest

import sparsecnn as sc
from sparsecnn.derivation import mean, one_step, posterior, separation
from sparsecnn.symbolic.evidence import REFUTED

RIGHT_ATOMS, RIGHT_LEAST = separation.atoms_of, one_step._least
RIGHT_ENERGIES, RIGHT_MOMENTS = one_step._energies, posterior.posterior_moments


# -- dictionaries that are not what their kind says -----------------------------------------
def _tilted(kind, rng, gain=None):
    atoms = RIGHT_ATOMS(kind, rng, gain).atoms
    return sc.Dictionary(atoms + 1e-4 * atoms[::-1])


class _SmallBound(sc.Dictionary):
    @property
    def lipschitz(self):
        return 0.9999 * super().lipschitz


class _OneBasis(sc.Dictionary):
    """A frame of one basis twice, for which the formula is the minimiser."""

    @classmethod
    def orthonormal(cls, n, random_state=None):
        return sc.Dictionary(np.eye(n))


class _Contrary(sc.ConvDictionary):
    @property
    def is_orthonormal(self):
        return not super().is_orthonormal


# -- solvers and codes that are not what they say -------------------------------------------
class _Forward:
    """One step whose codes are a millionth too large."""

    def solve(self, problem):
        found = sc.ForwardTransform().solve(problem)
        return dataclasses.replace(found, codes=found.codes * (1 + 1e-6))


def _exact(*arguments, **options):
    """The code itself in place of one step."""
    return sc.FISTA(tol=1e-10, max_iter=20000)


def _ista(step=None):
    """ISTA whose default step is a thousandth too short."""
    return sc.ISTA(step=step or 0.3)


def _scaled_least(factor):
    """Codes away from the best, said to have its energy, of signals too small to be far off."""

    def least(problem, max_iter=60):
        found = RIGHT_LEAST(problem)
        return dataclasses.replace(found, codes=factor * found.codes)

    return dict(
        _least=least,
        _slack=lambda problem, best: 0.0,
        signals_for=lambda dictionary, rng: 0.2 * separation.signals_for(dictionary, rng),
    )


def _last_rises(problem):
    energies = RIGHT_ENERGIES(problem)
    return np.append(energies, energies[-1] + 1e-6)


class _Off(sc.Laplace):
    """A prox that is a thousandth off."""

    def _prox(self, xp, v, step, lam):
        return super()._prox(xp, v, step, 1.001 * lam)


# -- posterior means ------------------------------------------------------------------------
def _moments(of_mean=lambda m: m, of_variance=lambda v: v):
    def wrong(*arguments):
        found = RIGHT_MOMENTS(*arguments)
        return posterior.Moments(of_mean(found.mean), of_variance(found.variance))

    return dict(posterior_moments=wrong)


def _mean(noise=0.7):
    return list(sc.derive("laplace", estimator="mean", noise=noise).steps)


def _separation(kind, prior=None):
    return list(separation.separation(kind, prior or sc.Laplace(0.3)))


def _one_step(prior=None):
    return list(one_step.one_step(prior or sc.Laplace(0.3), "general"))


def _small():
    return _one_step(sc.Laplace(0.06))


#: twin -> the steps, where what is patched, which step and which piece of its evidence
TWINS = {
    "atoms not quite orthonormal": (
        lambda: _separation("orthonormal"), separation, dict(atoms_of=_tilted), 0, 0),
    "atoms not quite orthogonal": (
        lambda: _separation("orthogonal"), separation, dict(atoms_of=_tilted), 0, 0),
    "a majoriser too low": (
        lambda: _separation("general"), separation,
        dict(atoms_of=lambda kind, rng: _SmallBound(RIGHT_ATOMS(kind, rng).atoms)), 0, 0),
    "a frame not quite tight": (
        lambda: _separation("tight_frame"), separation, dict(atoms_of=_tilted), 0, 0),
    "a step that is the code": (
        lambda: _separation("tight_frame"), separation, dict(ForwardTransform=_exact), 0, 1),
    "a closed form of another prox": (
        lambda: _separation("tight_frame", _Off(0.3)), separation, {}, 1, 0),
    "an analysis formula that holds": (
        lambda: _separation("tight_frame"), separation, dict(Dictionary=_OneBasis), 1, 1),
    **{
        f"a convolutional dictionary of the other kind, {k}": (
            lambda: _separation("convolutional"), separation, dict(ConvDictionary=_Contrary), 0, k)
        for k in range(5)
    },
    "a layer that is not the step": (
        _one_step, one_step, dict(ForwardTransform=_Forward), 0, 0),
    "a shorter step that is not the layer": (_one_step, one_step, dict(ISTA=_ista), 0, 0),
    "an energy that rises": (
        lambda: _one_step(sc.Lp(0.5, 0.5)), one_step, dict(_energies=_last_rises), 1, 0),
    "a rate from a shorter distance": (_small, one_step, _scaled_least(0.0), 1, 0),
    "a reconstruction of another code": (_small, one_step, _scaled_least(0.5), 1, 1),
    "a distance from another code": (_small, one_step, _scaled_least(4.0), 1, 2),
    "a mean too large": (_mean, posterior, _moments(lambda m: 1.0001 * m), 1, 0),
    "a variance too large": (_mean, posterior, _moments(of_variance=lambda v: 1.0001 * v), 1, 1),
    "a mean that falls": (_mean, mean, _moments(lambda m: -m), 2, 0),
    "no variance": (_mean, mean, _moments(of_variance=lambda v: 0 * v), 2, 0),
}  # fmt: skip


@pytest.mark.share(3)
@pytest.mark.parametrize("twin", TWINS)
def test_the_false_twin_of_a_step_is_refuted(twin, monkeypatch):
    make, module, patched, step, piece = TWINS[twin]
    if patched:
        assert make()[step].verify()[piece].passed
    for name, value in patched.items():
        monkeypatch.setattr(module, name, value)
    found = make()[step].verify()[piece]
    assert found.verdict == REFUTED, str(found)
