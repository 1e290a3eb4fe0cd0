"""The prior of an activation that has no elementary penalty: everything by its own values.

``phi(sigma(x)) = x sigma(x) - psi(x) - sigma(x)^2 / 2`` with ``psi`` an antiderivative of
``sigma``: no inverse is ever needed. Gribonval & Nikolova 2020; Moreau 1965.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ..priors.base import SeparablePrior, check_unit
from ..validation import InputError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_FAR = 1e6
#: halvings of a panel, panels halved in each round (the nearest first), relative error left
_HALVINGS, _PANELS, _LEFT = 60, 3000, 1e-13


class ActivationPrior(SeparablePrior):
    """The prior whose prox with step 1 is a given nondecreasing function.

    Parameters
    ----------
    function : callable
        Elementwise, nondecreasing.
    name : str
    convex, sparse, proper, nonnegative : bool
        What ``explain`` found.

    Notes
    -----
    With another step ``s`` the prox is ``sigma(u)`` where ``u`` solves
    ``(1 - s) sigma(u) + s u = v``, which has one solution for ``s <= 1`` and, if ``sigma`` is
    1-Lipschitz, for every ``s``.
    """

    function: object
    name: str = "activation"
    convex: bool = False
    sparse: bool = False
    proper: bool = False
    nonnegative: bool = False

    @property
    def is_convex(self):
        return self.convex

    @property
    def is_sparse(self):
        return self.sparse

    @property
    def is_proper(self):
        return self.proper

    @property
    def is_nonnegative(self):
        return self.nonnegative

    def scaled(self, s):
        """The prior of codes in units of ``s``: its prox is ``sigma(s v) / s``."""
        check_unit(s)
        return dataclasses.replace(self, function=lambda x: self._at(s * x) / s)

    def _prox(self, xp, v, step):
        return xp.asarray(self._at(self._input(np.asarray(v, dtype=float), step)), dtype=v.dtype)

    def _at(self, x):
        with np.errstate(all="ignore"):
            return np.array(self.function(np.asarray(x, dtype=float)), dtype=float)  # ours to keep

    def _input(self, v, step):
        """The ``u`` whose image under ``sigma`` is the prox of ``v``."""
        if np.all(np.asarray(step) == 1.0):
            return v
        if np.any(np.asarray(step) > 1) and not self.convex:
            raise InputError(
                f"step is {step}; the prior of {self.name} is not convex, so only steps up to 1 "
                "have one answer. Use a smaller step."
            )
        return _increasing_root(lambda u: (1 - step) * self._at(u) + step * u, v)

    def _partials(self, xp, v, step, z):
        u = self._input(np.asarray(v, dtype=float), step)
        h = 1e-5 * np.maximum(1.0, np.abs(u))
        slope = (self._at(u + h) - self._at(u - h)) / (2 * h)
        gain = slope / ((1 - step) * slope + step)
        return xp.asarray(gain, dtype=v.dtype), {"step": -gain * (u - self._at(u))}

    def _value(self, xp, z):
        z = np.asarray(z, dtype=float)
        low, high = _increasing_bracket(self._at, z)
        misses = [np.abs(self._at(x) - z) for x in (low, high)]
        x = np.where(misses[0] < misses[1], low, high)  # a plateau holds one of its two sides
        reached = np.minimum(*misses) <= 1e-7 * np.maximum(1.0, np.abs(z))
        value = x * z - self._potential(x) - 0.5 * z**2
        return xp.asarray(np.where(reached, value, np.inf))

    # -- the dual side: x - sigma(x) is a subgradient at sigma(x) ------------------------------
    def _conjugate(self, xp, v):
        x = _increasing_root(lambda u: u - self._at(u), np.asarray(v, dtype=float), reach=1e3)
        return xp.asarray(self._potential(x) - 0.5 * self._at(x) ** 2)

    def _domain(self):
        ends = np.array([-_FAR, _FAR])
        low, high = ends - self._at(ends)
        return (low if low > -1e3 else -np.inf), (high if high < 1e3 else np.inf)

    def _potential(self, x):
        """``int_0^x sigma``: whole panels, and the part of the one that holds ``x``."""
        x = np.asarray(x, dtype=float)
        edges, sums = self._panels
        k = np.searchsorted(edges, x) - (x > 0)  # the panel's end that is nearer to zero
        k = np.clip(k, 0, len(edges) - 1)
        return sums[k] + self._integral(edges[k], x)

    @functools.cached_property
    def _panels(self):
        """Edges from ``-_FAR`` to ``_FAR``, narrow at jumps and kinks, and ``int_0^edge sigma``."""
        half = np.concatenate([np.arange(0, 60, 0.5), np.geomspace(60, _FAR, 45)])
        right = self._halved(half)
        left = self._halved(-half)
        sums = [np.append(0, np.cumsum(self._integral(e[:-1], e[1:]))) for e in (right, left)]
        return (
            np.concatenate([left[:0:-1], right]),
            np.concatenate([sums[1][:0:-1], sums[0]]),
        )

    def _halved(self, edges):
        """The edges, going away from zero, and those of the halves where one panel is not enough.

        Every halving is done where the integral of a panel is not the sum of its halves'.
        """
        low, high, found = edges[:-1], edges[1:], [edges]
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            with np.errstate(all="ignore"):
                whole, one, two = (
                    self._integral(a, b) for a, b in ((low, high), (low, middle), (middle, high))
                )
                off = np.abs(one + two - whole) > _LEFT * (1e-3 + np.abs(whole))
            off &= (middle != low) & (middle != high)
            found.append(middle[off])
            low, middle, high = (e[off][:_PANELS] for e in (low, middle, high))
            if not low.size:
                break
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
            nearest = np.argsort(np.abs(low), kind="stable")
            low, high = low[nearest], high[nearest]
        edges = np.unique(np.concatenate(found))
        return edges if edges[-1] > 0 else edges[::-1]

    def _integral(self, low, high):
        """``int sigma`` from ``low`` to ``high`` by one panel of Gauss and Legendre."""
        half = 0.5 * (high - low)
        nodes = (0.5 * (low + high))[..., None] + half[..., None] * _NODES
        return half * (self._at(nodes) @ _WEIGHTS)


def _increasing_root(function, target, reach=_FAR):
    """Solve ``function(u) = target`` for a nondecreasing function, by bisection."""
    low, high = _increasing_bracket(function, target, reach)
    return 0.5 * (low + high)


def _increasing_bracket(function, target, reach=_FAR):
    """Neighbouring ``low < high`` with ``function(low) < target <= function(high)``."""
    target = np.asarray(target, dtype=float)
    low, high = np.full(target.shape, -1.0), np.full(target.shape, 1.0)
    for _ in range(20):
        short = (function(high) < target) & (high < reach)
        high = np.where(short, 2 * high, high)
    for _ in range(20):
        short = (function(low) > target) & (low > -reach)
        low = np.where(short, 2 * low, low)
    for _ in range(90):
        middle = 0.5 * (low + high)
        below = function(middle) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low, high
