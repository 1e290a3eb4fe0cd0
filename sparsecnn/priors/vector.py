"""Priors that couple coefficients: group sparsity and hard cardinality.

A 1-D array is one sample here (scalar codes make no sense for a coupled prior); otherwise batch
first.
"""

from __future__ import annotations

import math

import numpy as np

from ..validation import InputError, as_integer
from .arguments import checked_grad, checked_step, delivered, float_codes, single_step
from .base import Prior


class GroupLaplace(Prior):
    """Group sparsity, ``phi(z) = sum_g lam_g ||z_g||_2``; its prox is the block soft threshold.

    For convolutional codes a group couples feature maps at the same position.

    Parameters
    ----------
    lam : float or array of shape (n_groups,)
        Weight of each group's norm, >= 0.
    groups : array of int, shape (n_atoms,), or sequence of index sequences
        Group label of each atom, or the atoms of each group (a partition of the atoms).

    References
    ----------
    Yuan & Lin 2006, Model selection and estimation in regression with grouped variables.

    Examples
    --------
    >>> GroupLaplace(1.0, [0, 0, 1]).prox([[3.0, 4.0, 0.5]])
    array([[2.4, 3.2, 0. ]])
    """

    lam: float
    groups: np.ndarray  # the labels, whichever way they are given
    is_separable = False
    is_homogeneous = True
    formula = "lam*norm(z)"
    _scaling = {"lam": -1}

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "groups", _group_labels(self.groups))
        if isinstance(self.lam, np.ndarray) and self.lam.shape != (self.n_groups,):
            raise InputError(
                f"GroupLaplace(lam=...) has shape {self.lam.shape}; expected a number or one "
                f"value for each of the {self.n_groups} groups."
            )

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(np.asarray(self.lam) > 0))

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any(np.asarray(self.lam) > 0))

    @property
    def n_groups(self):
        """int: number of groups."""
        return int(self.groups.max()) + 1

    def restricted(self, index):
        """Refused: the coefficients of a group cannot be separated."""
        raise InputError(
            "GroupLaplace couples coefficients, so it cannot be restricted to some of them."
        )

    def _batched(self, codes, name="codes"):
        xp, codes = float_codes(codes, name)
        batched = codes[None] if codes.ndim == 1 else codes
        if batched.shape[1] != self.groups.size:
            raise InputError(
                f"{name} has {batched.shape[1]} atoms on axis 1; expected {self.groups.size}, one "
                "for each label in groups."
            )
        return xp, codes, batched

    def _sum_by_group(self, xp, a):
        """Sum over the atoms of every group, shape (n_samples, n_groups, ...)."""
        members = [xp.asarray(np.flatnonzero(self.groups == g)) for g in range(self.n_groups)]
        return xp.stack([xp.sum(xp.take(a, m, axis=1), axis=1) for m in members], axis=1)

    def _norms(self, xp, z):
        members = [xp.asarray(np.flatnonzero(self.groups == g)) for g in range(self.n_groups)]
        size = xp.abs(z)
        peak = xp.stack([xp.max(xp.take(size, m, axis=1), axis=1) for m in members], axis=1)
        unit = xp.where((peak > 0) & xp.isfinite(peak), peak, xp.ones_like(peak))
        return unit * xp.sqrt(self._sum_by_group(xp, (z / self._spread(xp, unit)) ** 2))

    def _weights(self, xp, norms):
        lam = np.broadcast_to(np.asarray(self.lam, dtype=np.float64), (self.n_groups,))
        return xp.asarray(lam.reshape((-1,) + (1,) * (norms.ndim - 2)), dtype=norms.dtype)

    def value(self, codes):
        xp, codes, z = self._batched(codes)
        if z.dtype == xp.float32:
            z = xp.astype(z, xp.float64)
        norms = self._norms(xp, z)
        total = xp.sum(self._weights(xp, norms) * norms, axis=tuple(range(1, norms.ndim)))
        return total[0] if codes.ndim == 1 else total

    def _gain(self, xp, v, step):
        norms = self._norms(xp, v)
        safe = xp.where(norms == 0, xp.ones_like(norms), norms)
        weights = self._weights(xp, norms)
        shrink = xp.where(weights > 0, step * (weights / safe), xp.zeros_like(safe))
        gain = xp.maximum(1 - shrink, 0.0)
        return norms, safe, xp.where((norms == 0) & (weights > 0), xp.zeros_like(gain), gain)

    def _spread(self, xp, per_group):
        return xp.take(per_group, xp.asarray(self.groups), axis=1)

    def prox(self, v, step=1.0, out=None):
        xp, original, v = self._batched(v, "v")
        gain = self._gain(xp, v, checked_step(step))[2]
        result = xp.reshape(v * self._spread(xp, gain), original.shape)
        return delivered(result, out)

    def prox_vjp(self, v, step, grad):
        xp, original, v = self._batched(v, "v")
        step, grad = single_step(step), checked_grad(xp, grad, original)
        grad = xp.reshape(grad, v.shape)
        norms, safe, gain = self._gain(xp, v, step)
        unit = v / self._spread(xp, safe)
        active = xp.astype(gain > 0, v.dtype)
        # d/dv (1 - w/|v|) v = gain I + (w/|v|) u u^T ; d/dw = -u
        along = self._sum_by_group(xp, grad * unit)
        weights = self._weights(xp, norms)
        ratio = active * step * weights / safe
        dv = grad * self._spread(xp, gain) + unit * self._spread(xp, ratio * along)
        per_group = -active * along
        axes = (0, *range(2, per_group.ndim))
        dlam = xp.sum(per_group, axis=axes) * step
        dlam = dlam if isinstance(self.lam, np.ndarray) else xp.sum(dlam)
        dstep = xp.sum(per_group * weights)
        return xp.reshape(dv, original.shape), {"lam": dlam, "step": dstep}

    def conjugate(self, v):
        xp, original, v = self._batched(v, "v")
        norms = self._norms(xp, v)
        inside = xp.all(norms <= self._weights(xp, norms), axis=tuple(range(1, norms.ndim)))
        result = xp.where(inside, xp.zeros(inside.shape, dtype=v.dtype), xp.inf)
        return result[0] if original.ndim == 1 else result

    def conjugate_inside(self, v):
        """Zero: the conjugate is the indicator of the dual ball."""
        xp, original, v = self._batched(v, "v")
        zeros = xp.zeros(v.shape[0], dtype=v.dtype)
        return zeros[0] if original.ndim == 1 else zeros

    def dual_domain(self, codes):
        """Per-coefficient bounds that any dual point must satisfy (the group's ball adds more)."""
        xp, _, codes = self._batched(codes)
        edge = self._spread(xp, self._weights(xp, codes)[None])[0]
        return -edge, edge

    def feasible_fraction(self, start, direction):
        xp, original, direction = self._batched(direction, "direction")
        start = xp.zeros_like(direction) + start
        radius = self._weights(xp, direction)
        unit = xp.maximum(radius, xp.ones_like(radius))  # squares of large weights overflow
        by_atom = self._spread(xp, unit[None])
        start, direction, radius = start / by_atom, direction / by_atom, radius / unit
        quadratic, linear, constant = (
            self._sum_by_group(xp, a * b)
            for a, b in ((direction, direction), (start, direction), (start, start))
        )
        room = radius**2 - constant
        disc = xp.sqrt(xp.maximum(linear**2 + quadratic * room, 0.0))
        # largest t with |start + t direction| <= lam, in the form that does not cancel
        bottom, moves = linear + disc, quadratic > 0
        there = room / xp.where(bottom > 0, bottom, 1.0)
        back = (disc - linear) / xp.where(moves, quadratic, 1.0)  # from the ball's surface, or in 0
        fraction = xp.where(moves, xp.where(bottom > 0, there, back), xp.inf)
        fraction = xp.min(xp.clip(fraction, 0.0, 1.0), axis=tuple(range(1, fraction.ndim)))
        return fraction[0] if original.ndim == 1 else fraction


class TopK(Prior):
    """At most ``k`` nonzero coefficients per sample; its prox keeps the ``k`` largest magnitudes.

    Also known as k winners take all.

    Parameters
    ----------
    k : int
        Number of coefficients kept, >= 1, over all axes of a sample. Ties keep the first in memory
        order. A dictionary with fewer than ``k`` codes is refused.

    Examples
    --------
    >>> TopK(1).prox([[1.0, -3.0, 2.0]])
    array([[ 0., -3.,  0.]])
    """

    k: int
    is_convex = False
    is_separable = False
    is_proper = False
    formula = "Piecewise((0, count_nonzero(z) <= k), (oo, True))"

    def __post_init__(self):
        object.__setattr__(self, "k", as_integer(self.k, "TopK(k=...)"))

    def check_fits(self, code_shape):
        n = math.prod(code_shape)
        if self.k > n:
            raise InputError(
                f"TopK(k=...) is {self.k}, but a sample has {n} codes; expected at most that many. "
                f"Lower k, or use more atoms: with k = {n} nothing is silenced."
            )

    def restricted(self, index):
        """Refused: the budget is shared by all coefficients."""
        raise InputError(
            "TopK shares one budget among all coefficients; it cannot be restricted to some of "
            "them."
        )

    def value(self, codes):
        xp, codes = float_codes(codes)
        flat = _rows(xp, codes)
        count = xp.sum(xp.astype(flat != 0, xp.float64), axis=1)
        value = xp.where(count <= self.k, xp.zeros_like(count), xp.inf)
        return value[0] if codes.ndim == 1 else value

    def _kept(self, xp, v):
        flat = _rows(xp, v)
        order = xp.argsort(-xp.abs(flat), axis=1, stable=True)
        rank = xp.argsort(order, axis=1, stable=True)
        return xp.reshape(rank < self.k, v.shape)

    def prox(self, v, step=1.0, out=None):
        xp, v = float_codes(v, "v")
        checked_step(step)
        result = xp.where(self._kept(xp, v) | xp.isnan(v), v, xp.zeros_like(v))
        return delivered(result, out)

    def prox_vjp(self, v, step, grad):
        xp, v = float_codes(v, "v")
        single_step(step)
        grad = checked_grad(xp, grad, v)
        return xp.where(self._kept(xp, v), grad, xp.zeros_like(grad)), {"step": xp.sum(grad) * 0}


def _group_labels(groups):
    """Labels 0..n_groups-1 of the atoms, from labels or from index lists that partition them."""
    if isinstance(groups, list | tuple) and groups and all(map(_is_sequence, groups)):
        members = [np.asarray(g) for g in groups]
        whole = all(g.ndim == 1 and g.dtype.kind in "iu" for g in members)
        every = np.concatenate(members) if whole else np.empty(0)
        if not whole or not np.array_equal(np.sort(every), np.arange(every.size)):
            raise InputError(
                "GroupLaplace(groups=...) is a list of index lists that does not use each atom "
                "0..n_atoms-1 exactly once; expected a partition, or one label per atom."
            )
        labels = np.empty(every.size, dtype=int)
        for g, indices in enumerate(members):
            labels[indices] = g
    else:
        try:
            labels = np.asarray(groups)
        except ValueError:  # ragged
            labels = np.empty(0)
        if labels.ndim != 1 or labels.size == 0 or labels.dtype.kind not in "iu":
            raise InputError(
                f"GroupLaplace(groups=...) is {groups!r}; expected a non-empty 1-D array of "
                "integer labels, one per atom."
            )
        labels = np.unique(labels, return_inverse=True)[1].reshape(-1)
    labels.setflags(write=False)
    return labels


def _is_sequence(value):
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _rows(xp, codes):
    """One row for each sample, of which there may be none; one code is one row."""
    shape = codes.shape if codes.ndim > 1 else (1, *codes.shape)
    return xp.reshape(codes, (shape[0], math.prod(shape[1:])))
