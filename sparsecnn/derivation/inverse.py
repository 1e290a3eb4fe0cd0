"""The prior of an activation that has no elementary penalty: everything by its own values.

``phi(sigma(x)) = x sigma(x) - psi(x) - sigma(x)^2 / 2`` with ``psi`` an antiderivative of
``sigma``: no inverse is ever needed. Gribonval & Nikolova 2020; Moreau 1965.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ..priors.arguments import check_unit
from ..priors.base import SeparablePrior
from ..validation import InputError

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
#: the function is looked at, and its integral known, as far out as it is a number, or to here
_FURTHEST = 500  # as a power of two
#: halvings of a panel, panels halved in each round (the nearest first), relative error left
_HALVINGS, _PANELS, _LEFT = 60, 3000, 1e-13
#: rounding of ``x - sigma(x)``, relative to ``x``
_ROUNDING = 8 * np.finfo(float).eps


class ActivationPrior(SeparablePrior):
    """The prior whose prox with step 1 is a given nondecreasing function.

    Parameters
    ----------
    function : callable
        Elementwise, nondecreasing.
    name : str
    convex : bool
        Whether the function is proved to be nondecreasing and 1-Lipschitz; without a proof no
        duality gap is claimed.
    sparse, proper : bool
        What ``explain`` found.
    unit : float
        The codes are measured in these units: the prox is ``sigma(unit v) / unit``.

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
    unit: object = 1.0
    _any_scale = True

    @property
    def is_convex(self):
        return self.convex

    @property
    def is_sparse(self):
        return self.sparse

    @property
    def is_proper(self):
        return self.proper

    @functools.cached_property
    def is_nonnegative(self):
        return bool(self._at(np.array([self._reach[0]]))[0] >= 0)

    def scaled(self, s):
        """The prior of codes in units of ``s``: its prox is ``sigma(s v) / s``."""
        return dataclasses.replace(self, unit=self.unit * check_unit(s))

    def _prox(self, xp, v, step):
        z = self._at(self._input(self._in_its_unit(v), step)) / self.unit
        return xp.asarray(z, dtype=v.dtype)

    def _in_its_unit(self, v):
        with np.errstate(over="ignore"):
            return np.asarray(v, dtype=float) * self.unit

    def _at(self, x):
        with np.errstate(all="ignore"):
            return np.array(self.function(np.asarray(x, dtype=float)), dtype=float)  # ours to keep

    def _residual(self, x):
        """``x - sigma(x)``, a subgradient of the penalty at ``sigma(x)``."""
        return x - self._at(x)

    def _input(self, v, step):
        """The ``u`` whose image under ``sigma`` is the prox of ``v``."""
        if np.all(np.asarray(step) == 1.0):
            return v
        if np.any(np.asarray(step) > 1) and not self.convex:
            raise InputError(
                f"step is {step}; the prior of {self.name} is not known to be convex, so only "
                "steps up to 1 have one answer. Use a smaller step."
            )
        return 0.5 * sum(self._bracket(lambda u: (1 - step) * self._at(u) + step * u, v))

    def _partials(self, xp, v, step, z):
        u = self._input(self._in_its_unit(v), step)
        h = 1e-5 * np.maximum(1.0, np.abs(u))
        slope = (self._at(u + h) - self._at(u - h)) / (2 * h)
        gain = slope / ((1 - step) * slope + step)
        of_step = -gain * self._residual(u) / self.unit
        return xp.asarray(gain, dtype=v.dtype), {"step": xp.asarray(of_step, dtype=v.dtype)}

    def _value(self, xp, z):
        z = self._in_its_unit(z)
        low, high = self._bracket(self._at, z)
        misses = [np.abs(self._at(x) - z) for x in (low, high)]
        x = np.where(misses[0] < misses[1], low, high)  # a plateau holds one of its two sides
        reached = np.minimum(*misses) <= 1e-7 * np.maximum(1.0, np.abs(z))
        value = x * z - self._potential(x) - 0.5 * z**2
        return xp.asarray(np.where(reached, value / self.unit / self.unit, np.inf))

    # -- the dual side: x - sigma(x) is a subgradient at sigma(x) ------------------------------
    def _conjugate(self, xp, v):
        # a convex function lies below the larger of its values on both sides
        both = []
        for x in self._bracket(self._residual, self._in_its_unit(v)):
            z = self._at(x)
            lost = _ROUNDING * np.abs(x * z)  # of x - z, far out
            both.append(self._potential(x) - 0.5 * z**2 + lost)
        return xp.asarray(np.maximum(*both) / self.unit / self.unit)

    def _domain(self):
        """What subgradients are met as far out as they can be told from rounding."""
        low, high = self._reach
        ends = []
        for sign, reach in ((-1, -low), (1, high)):
            x = sign * 2.0 ** np.arange(-60.0, np.log2(reach) + 1)
            ends.append(sign * np.max(sign * self._residual(x) - _ROUNDING * np.abs(x)))
        return min(ends[0], 0.0) / self.unit, max(ends[1], 0.0) / self.unit

    @functools.cached_property
    def _reach(self):
        """How far out on both sides the function is a finite number: powers of two."""
        ends = []
        for sign in (-1, 1):
            x = sign * 2.0 ** np.arange(_FURTHEST + 1)
            good = np.isfinite(self._at(x))
            ends.append(x[np.argmin(good) - 1 if not good.all() else -1])
        return tuple(ends)

    def _bracket(self, function, target):
        """Neighbouring ``low < high`` with ``function(low) < target <= function(high)``."""
        target = np.asarray(target, dtype=float)
        (least, most), ends = self._reach, []
        for sign, end in ((-1, least), (1, most)):
            at = np.full(target.shape, sign * 2.0**-60)
            for _ in range(_FURTHEST + 60):
                short = (sign * (function(at) - target) < 0) & (at != end)
                if not short.any():
                    break
                at = np.where(short, sign * np.minimum(2 * np.abs(at), abs(end)), at)
            ends.append(at)
        low, high = ends
        for k in range(240):
            middle = 0.5 * (low + high)
            if k % 2:  # many scales: halve the exponents
                size = np.sqrt(np.abs(low)) * np.sqrt(np.abs(high))
                middle = np.where(low * high > 0, np.sign(high) * size, middle)
            below = function(middle) < target
            low, high = np.where(below, middle, low), np.where(below, high, middle)
            if (high - low <= 4e-16 * np.maximum(np.abs(low), np.abs(high))).all():
                break
        return low, high

    def _potential(self, x):
        """``int_0^x sigma``: whole panels, and the part of the one that holds ``x``."""
        x = np.asarray(x, dtype=float)
        edges, sums = self._panels
        k = np.searchsorted(edges, x) - (x > 0)  # the panel's end that is nearer to zero
        k = np.clip(k, 0, len(edges) - 1)
        return sums[k] + self._integral(edges[k], x)

    @functools.cached_property
    def _panels(self):
        """Edges as far as the function reaches, narrow at jumps and kinks, ``int_0^edge sigma``."""
        sides = []
        for sign, reach in zip((-1, 1), self._reach, strict=True):
            near = np.concatenate([np.arange(0, 60, 0.5), np.geomspace(60, 2.0**20, 45)])
            half = np.concatenate([near, 2.0 ** np.arange(21, _FURTHEST + 1)])
            edges = self._halved(sign * np.append(half[half < abs(reach)], abs(reach)))
            with np.errstate(over="ignore"):
                parts = self._integral(edges[:-1], edges[1:])
            sides.append((edges, np.append(0, np.cumsum(parts))))
        return tuple(np.concatenate([left[:0:-1], right]) for left, right in
                     zip(*sides, strict=True))  # fmt: skip

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
