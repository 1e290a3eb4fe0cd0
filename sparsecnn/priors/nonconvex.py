"""Non-convex priors of one coefficient (and Lp, convex from p = 1 on). A prox here may jump.

Where several stationary points compete, the candidates are compared by objective, so the result is
a global minimiser for every step size; at the jump itself both sides are minimisers.
"""

from __future__ import annotations

import numpy as np

from ..validation import InputError
from .arguments import check_unit, short
from .base import SeparablePrior
from .convex import soft_threshold
from .pieces import mirrored
from .roots import increasing_root


class _NonConvexPrior(SeparablePrior):
    """What the non-convex scalar priors share: the choice among candidate minimisers."""

    is_convex = False

    def _best(self, xp, v, step, params, candidates):
        best, least = None, None
        for z in candidates:
            objective = 0.5 * (v - z) ** 2 + step * self._value(xp, z, *params)
            if best is None:
                best, least = z, objective
            else:
                better = objective < least
                best, least = xp.where(better, z, best), xp.where(better, objective, least)
        return xp.where(xp.isinf(v), v, best)  # the limit: every penalty here grows slowly


class StudentT(_NonConvexPrior):
    """Student-t prior, ``phi(z) = c log(1 + z^2 / gamma^2)``; heavy tails, but no exact zeros.

    The prox is the real root of ``z^3 - v z^2 + (gamma^2 + 2c) z - v gamma^2 = 0`` of least
    objective; it is unique for every ``v`` if and only if ``c <= 4 gamma^2``.

    Parameters
    ----------
    c : float or array
        ``sigma^2 (nu + 1) / 2`` for ``nu`` degrees of freedom (Cauchy: ``sigma^2``), >= 0.
    gamma : float or array
        ``sqrt(nu)`` times the scale, > 0.

    Examples
    --------
    >>> StudentT(1.0, 1.0).prox([0.0, 3.0]).round(4)
    array([0.    , 2.2599])
    """

    c: float
    gamma: float
    is_sparse = False
    formula = "c*log(1 + z**2/gamma**2)"
    _positive = ("gamma",)
    _scaling = {"c": -2, "gamma": -1}

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density, at noise variance 1.

        At variance ``sigma^2`` that is ``c > sigma^2 / 2``.
        """
        return bool(np.all(np.asarray(self.c) > 0.5))

    def scaled(self, s):
        """See ``Prior.scaled``: far inside ``gamma`` only ``c / gamma^2`` is felt, and kept."""
        check_unit(s)
        return super().scaled(max(s, float(np.max(self.gamma)) * 2.0**-500))

    def _value(self, xp, z, c, gamma):
        ratio = xp.abs(z) / gamma
        far = ratio > 1e9  # there the 1 is below the last place, and the square may overflow
        if not bool(xp.any(far)):
            return c * xp.log1p(ratio**2)
        near = xp.log1p(xp.where(far, 0.0, ratio) ** 2)
        return c * xp.where(far, 2 * _log_one_plus(xp, xp.abs(z), gamma), near)

    def _prox(self, xp, v, step, c, gamma):
        size = xp.abs(v)
        largest = float(xp.finfo(size.dtype).max) / 8
        c = xp.clip(xp.zeros_like(size) + step * c, 0.0, largest)
        square = xp.zeros_like(size) + gamma * gamma
        square = xp.clip(square, _power_floor(xp, size), largest)
        zero = xp.zeros_like(size)

        def residual(z):
            return z + 2 * c * z / (square + z**2) - size

        def slope(z):
            bottom = square + z**2
            return 1 + 2 * (c / bottom) * ((square - z**2) / bottom)

        # residual' = 0 at z^2 = (c - gamma^2) -+ sqrt(c (c - 4 gamma^2)); it increases outside
        spread = xp.sqrt(c) * xp.sqrt(xp.maximum(c - 4 * square, 0.0))
        several = c > 4 * square
        first = xp.where(several, xp.sqrt(xp.maximum(c - square - spread, 0.0)), size)
        second = xp.where(several, xp.sqrt(xp.maximum(c - square + spread, 0.0)), zero)
        lower = increasing_root(xp, residual, slope, zero, xp.minimum(first, size))
        upper = increasing_root(xp, residual, slope, xp.minimum(second, size), size)
        return xp.sign(v) * self._best(xp, size, 1.0, (c, square**0.5), (lower, upper))

    def _partials(self, xp, v, step, z, c, gamma):
        largest = float(xp.finfo(z.dtype).max) / 8
        square = xp.clip(xp.zeros_like(z) + gamma * gamma, _power_floor(xp, z), largest)
        bottom = square + z**2
        derivative = 2 * c * z / bottom
        slope = 1 / (1 + step * 2 * (c / bottom) * ((square - z**2) / bottom))
        return slope, {
            "c": -step * (2 * z / bottom) * slope,
            "gamma": step * 4 * (c / bottom) * (z * gamma / bottom) * slope,
            "step": -derivative * slope,
        }


class SpikeSlab(_NonConvexPrior):
    """Spike and slab, ``phi(z) = kappa 1[z != 0] + lam |z| + alpha z^2 / 2``.

    The code is a joint MAP over support and value. With ``lam = alpha = 0`` its prox is the hard
    threshold at ``sqrt(2 kappa)``. The weight ``kappa`` depends on the units of the codes, because
    a point mass is compared with a density.

    Parameters
    ----------
    kappa : float or array
        Cost of a nonzero coefficient, >= 0.
    lam, alpha : float or array
        Laplace (exponential) and Gaussian weights of the slab, >= 0.
    nonnegative : bool
        Restrict codes to ``z >= 0``.

    Examples
    --------
    >>> SpikeSlab(0.5).prox([-2.0, 0.9, 1.1])
    array([-2. ,  0. ,  1.1])
    """

    kappa: float
    lam: float = 0.0
    alpha: float = 0.0
    nonnegative: bool = False
    formula = "Piecewise((0, Eq(z, 0)), (kappa + lam*abs(z) + alpha*z**2/2, True))"
    _scaling = {"kappa": -2, "lam": -1, "alpha": 0}

    @property
    def is_nonnegative(self):
        """bool: whether negative codes are excluded."""
        return bool(self.nonnegative)

    @property
    def support(self):
        """str or tuple: where the penalty is finite."""
        return "nonnegative" if self.nonnegative else "real"

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(np.asarray(self.lam) + np.asarray(self.alpha) > 0))

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return self.is_nonnegative or bool(
            np.any(np.asarray(self.kappa) + np.asarray(self.lam) > 0)
        )

    def _value(self, xp, z, kappa, lam, alpha):
        return xp.where(z != 0, kappa + lam * xp.abs(z) + 0.5 * (alpha * z) * z, 0.0)

    def _pieces(self, kappa, lam, alpha):
        gain = 1 / (1 + alpha)
        above = (lam + (2 * kappa * (1 + alpha)) ** 0.5, gain, -lam * gain)
        return [(-np.inf, 0.0, 0.0), above] if self.nonnegative else mirrored(0.0, above)

    def _prox(self, xp, v, step, kappa, lam, alpha):
        threshold = step * lam + (2 * step * kappa * (1 + step * alpha)) ** 0.5
        size = v if self.nonnegative else xp.abs(v)
        shrunk = soft_threshold(xp, v, step * lam) / (1 + step * alpha)
        return xp.where(size <= threshold, xp.zeros_like(v), shrunk)

    def _partials(self, xp, v, step, z, kappa, lam, alpha):
        sign, gain = xp.sign(z), 1 / (1 + step * alpha)
        moves = sign != 0
        if not self.nonnegative:
            moves = moves | (kappa + lam == 0)  # no dead zone
        return xp.astype(moves, v.dtype) * gain, {
            "kappa": xp.zeros_like(v),
            "lam": -step * sign * gain,
            "alpha": -step * z * gain,
            "step": -(lam * sign + alpha * z) * gain,
        }


class LogSum(_NonConvexPrior):
    """Log-sum penalty, ``phi(z) = lam log(1 + |z| / eps)``.

    The prox is continuous if and only if ``sqrt(lam) <= eps``; otherwise it jumps.

    Parameters
    ----------
    lam : float or array
        Weight, >= 0.
    eps : float or array
        Width of the peak at zero, > 0.

    References
    ----------
    Candes, Wakin & Boyd 2008, Enhancing sparsity by reweighted l1 minimization.

    Examples
    --------
    >>> LogSum(1.0, 1.0).prox([0.5, 3.0]).round(4)
    array([0.    , 2.7321])
    """

    lam: float
    eps: float
    formula = "lam*log(1 + abs(z)/eps)"
    _positive = ("eps",)
    _scaling = {"lam": -2, "eps": -1}

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density, at noise variance 1.

        At variance ``sigma^2`` that is ``lam > sigma^2``.
        """
        return bool(np.all(np.asarray(self.lam) > 1))

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any(np.asarray(self.lam) > 0))

    def _value(self, xp, z, lam, eps):
        return lam * _log_one_plus(xp, xp.abs(z), eps)

    def _prox(self, xp, v, step, lam, eps):
        size = xp.abs(v)
        reach, peak = size + eps, 2 * (step * lam) ** 0.5
        inside = reach - peak  # (size + eps)^2 - 4 step lam, by factors that do not overflow
        root = xp.sqrt(xp.maximum(inside, 0.0)) * xp.sqrt(reach + peak)
        root = 0.5 * (size - eps + root)
        candidate = xp.where(inside >= 0, xp.maximum(root, 0.0), xp.zeros_like(v))
        return xp.sign(v) * self._best(xp, size, step, (lam, eps), (xp.zeros_like(v), candidate))

    def _partials(self, xp, v, step, z, lam, eps):
        sign, reach = xp.sign(z), xp.abs(z) + eps
        bottom = 1 - step * lam / reach**2  # 0 for a dead unit where step lam = eps^2
        slope = xp.abs(sign) / xp.where(bottom > 0, bottom, xp.ones_like(z))
        return slope, {
            "lam": -step * sign / reach * slope,
            "eps": step * lam * sign / reach**2 * slope,
            "step": -lam * sign / reach * slope,
        }


class SCAD(_NonConvexPrior):
    """Smoothly clipped absolute deviation: ``lam |z|``, then quadratic, constant beyond ``a lam``.

    Parameters
    ----------
    lam : float or array
        Weight, >= 0.
    a : float or array
        Where the penalty becomes flat, in units of ``lam``; > 2 (then the unit-step prox is
        continuous).

    References
    ----------
    Fan & Li 2001, Variable selection via nonconcave penalized likelihood.

    Examples
    --------
    >>> SCAD(1.0, 3.7).prox([0.5, 1.5, 5.0])
    array([0. , 0.5, 5. ])
    """

    lam: float
    a: float
    is_proper = False
    formula = (
        "Piecewise((lam*abs(z), abs(z) <= lam), ((2*a*lam*abs(z) - z**2 - lam**2)/(2*(a - 1)), "
        "abs(z) <= a*lam), (lam**2*(a + 1)/2, True))"
    )
    _positive = ("a",)
    _scaling = {"lam": -1, "a": 0}

    def __post_init__(self):
        super().__post_init__()
        if not np.all(np.asarray(self.a) > 2):
            raise InputError(f"SCAD(a=...) is {short(self.a)}; expected a > 2 (3.7 is customary).")

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any(np.asarray(self.lam) > 0))

    def _value(self, xp, z, lam, a):
        size = xp.abs(z)
        linear = xp.minimum(size, lam + xp.zeros_like(z))
        curved = xp.clip(size - lam, 0.0, (a - 1) * lam + xp.zeros_like(z))
        return lam * linear + curved * (lam - 0.5 * curved / (a - 1))

    def _pieces(self, lam, a):
        middle = (2 * lam, (a - 1) / (a - 2), -a * lam / (a - 2))
        return mirrored(0.0, (lam, 1.0, -lam), middle, (a * lam, 1.0, 0.0))

    def _prox(self, xp, v, step, lam, a):
        size = xp.abs(v)
        zero = xp.zeros_like(v)
        soft = xp.clip(size - step * lam, 0.0, lam + zero)
        room = a - 1 - step
        convex = room + zero > 0  # else the middle piece has no interior minimum
        middle = ((a - 1) * size - step * a * lam) / xp.where(convex, room + zero, 1.0)
        middle = xp.where(convex, xp.clip(middle, lam + zero, a * lam + zero), lam + zero)
        flat = xp.maximum(size, a * lam + zero)
        return xp.sign(v) * self._best(xp, size, step, (lam, a), (soft, middle, flat))

    def _partials(self, xp, v, step, z, lam, a):
        size, sign = xp.abs(z), xp.sign(z)
        zero = xp.zeros_like(v)
        soft = (size > 0) & (size <= lam)
        middle = (size > lam) & (size < a * lam)
        gain = (a - 1) / xp.where(a - 1 - step + zero > 0, a - 1 - step + zero, 1.0)
        # middle piece: phi'(z) = (a lam - |z|) / (a - 1)
        push = (a * lam - size) / (a - 1)
        slope = xp.where(middle, gain, xp.where(size > 0, zero + 1, zero))
        return slope, {
            "lam": xp.where(
                soft, -step * sign, xp.where(middle, -step * a / (a - 1) * sign * gain, zero)
            ),
            "a": xp.where(middle, -step * sign * (lam - push) / (a - 1) * gain, zero),
            "step": xp.where(soft, -lam * sign, xp.where(middle, -push * sign * gain, zero)),
        }


class MCP(_NonConvexPrior):
    """Minimax concave penalty: ``lam |z| - z^2 / (2 gamma)`` up to ``gamma lam``, then constant.

    Its prox is the firm threshold for ``gamma > 1`` and the hard threshold at ``lam sqrt(gamma)``
    for ``gamma <= 1``.

    Parameters
    ----------
    lam : float or array
        Weight, >= 0.
    gamma : float or array
        Where the penalty becomes flat, in units of ``lam``; > 0.

    References
    ----------
    Zhang 2010, Nearly unbiased variable selection under minimax concave penalty.

    Examples
    --------
    >>> MCP(1.0, 2.0).prox([0.5, 1.5, 3.0])
    array([0., 1., 3.])
    """

    lam: float
    gamma: float
    is_proper = False
    formula = (
        "Piecewise((lam*abs(z) - z**2/(2*gamma), abs(z) <= gamma*lam), (gamma*lam**2/2, True))"
    )
    _positive = ("gamma",)
    _scaling = {"lam": -1, "gamma": 0}

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any(np.asarray(self.lam) > 0))

    def _value(self, xp, z, lam, gamma):
        size = xp.minimum(xp.abs(z), gamma * lam + xp.zeros_like(z))
        return size * (lam - 0.5 * size / gamma)

    def _pieces(self, lam, gamma):
        firm, hard = gamma > 1, lam * np.sqrt(gamma)  # with gamma <= 1 the middle has no width
        gain = gamma / np.where(firm, gamma - 1, 1.0)
        middle = (np.where(firm, lam, hard), gain, -lam * gain)
        return mirrored(0.0, middle, (np.where(firm, gamma * lam, hard), 1.0, 0.0))

    def _prox(self, xp, v, step, lam, gamma):
        size = xp.abs(v)
        zero = xp.zeros_like(v)
        room = gamma - step
        convex = room + zero > 0
        firm = gamma * (size - step * lam) / xp.where(convex, room + zero, 1.0)
        firm = xp.where(convex, xp.clip(firm, 0.0, gamma * lam + zero), zero)
        flat = xp.maximum(size, gamma * lam + zero)
        return xp.sign(v) * self._best(xp, size, step, (lam, gamma), (firm, flat))

    def _partials(self, xp, v, step, z, lam, gamma):
        size, sign = xp.abs(z), xp.sign(z)
        zero = xp.zeros_like(v)
        firm = (size > 0) & (size < gamma * lam)
        gain = gamma / xp.where(gamma - step + zero > 0, gamma - step + zero, 1.0)
        return xp.where(firm, gain, xp.where(size > 0, zero + 1, zero)), {
            "lam": xp.where(firm, -step * sign * gain, zero),
            "gamma": xp.where(firm, -step * z / gamma**2 * gain, zero),
            "step": xp.where(firm, -(lam * sign - z / gamma) * gain, zero),
        }


class Lp(_NonConvexPrior):
    """Generalised Gaussian prior, ``phi(z) = lam |z|^p`` for any ``p > 0``; convex iff ``p >= 1``.

    For ``p < 1`` the prox jumps from 0 to ``z_T = (2 step lam (1 - p))^(1 / (2 - p))`` at
    ``v_T = z_T + step lam p z_T^(p - 1)``.

    Parameters
    ----------
    lam : float or array
        Weight, >= 0.
    p : float or array
        Exponent, > 0.

    References
    ----------
    Marjanovic & Solo 2012, On lq optimization and matrix completion (threshold for p < 1).

    Examples
    --------
    >>> Lp(1.0, 0.5).prox([1.4, 3.0]).round(4)
    array([0.    , 2.6955])
    """

    lam: float
    p: float
    formula = "lam*abs(z)**p"
    _positive = ("p",)
    _scaling = {"lam": -1, "p": 0}

    @property
    def is_convex(self):
        """bool: whether the penalty is convex."""
        return bool(np.all(np.asarray(self.p) >= 1))

    @property
    def is_homogeneous(self):
        """bool: whether ``phi(s z) = s phi(z)`` for all ``s > 0``."""
        return bool(np.all(np.asarray(self.p) == 1))

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(np.asarray(self.lam) > 0))

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any((np.asarray(self.p) <= 1) & (np.asarray(self.lam) > 0)))

    def _exponent(self, name):
        return np.asarray(self.p) - 2 if name == "lam" else self._scaling[name]

    def _in_given_units(self, xp, part, partials):
        # the rate follows the unit by a power that depends on p
        lam = part.parameters[0]
        through_lam = partials["lam"] * lam * float(part.exponent * np.log(2))
        return super()._in_given_units(xp, part, {**partials, "p": partials["p"] + through_lam})

    def _value(self, xp, z, lam, p):
        size = xp.abs(z)
        with np.errstate(all="ignore"):
            power = size**p
            lost = (size > 0) & (lam > 0) & ((power == 0) | xp.isinf(power))
            log = p * xp.log(xp.where(size > 0, size, 1.0)) + xp.log(xp.where(lam > 0, lam, 1.0))
            return xp.where(lost, xp.exp(log), lam * power)

    def _pieces(self, lam, p):
        absolute, square = p == 1, p == 2
        if not np.all(absolute | square | (lam == 0)):
            return None  # curved
        gain, threshold = np.where(square, 1 / (1 + 2 * lam), 1.0), np.where(absolute, lam, 0.0)
        return mirrored(0.0, (threshold, gain, -threshold))

    def _prox(self, xp, v, step, lam, p):
        size, sign = xp.abs(v), xp.sign(v)
        zero = xp.zeros_like(size)
        weight = xp.clip(zero + step * lam, 0.0, float(xp.finfo(size.dtype).max))
        p = zero + p
        floor = _power_floor(xp, size)
        below, linear = p < 1, p == 1

        def power(z, exponent):
            return xp.clip(z, floor, None) ** exponent

        curving = xp.where(linear, zero, weight)  # p = 1 has a closed form: nothing to search for

        def residual(z):
            return z + curving * (p * power(z, p - 1)) - size

        def slope(z):
            return 1 + curving * (p * (p - 1) * power(z, p - 2))

        jump = xp.where(
            below,
            power(2 * weight * xp.maximum(1 - p, 0.0), 1 / xp.where(below, 2 - p, 1.0)),
            zero,
        )
        at_zero = xp.where(
            below, jump + weight * p * power(jump, p - 1), xp.where(linear, weight, zero)
        )
        curved = increasing_root(xp, residual, slope, xp.minimum(jump, size), size)
        root = xp.where(linear, size - weight, xp.where(weight > 0, curved, size))
        codes = sign * xp.where(size > xp.where(weight > 0, at_zero, zero), root, zero)
        return xp.where(xp.isinf(v), v, codes)

    def _partials(self, xp, v, step, z, lam, p):
        sign = xp.sign(z)
        size = xp.clip(xp.abs(z), _power_floor(xp, z), None)
        size = xp.where(sign != 0, size, xp.ones_like(z))
        base = size ** (p - 1)
        slope = xp.abs(sign) / (1 + step * lam * p * (p - 1) * base / size)
        return slope, {
            "lam": -step * p * base * sign * slope,
            "p": -step * lam * base * (1 + p * xp.log(size)) * sign * slope,
            "step": -lam * p * base * sign * slope,
        }

    def _conjugate(self, xp, v, lam, p):
        size = xp.abs(v)
        lam, p = xp.zeros_like(size) + lam, xp.zeros_like(size) + p
        curved = (p > 1) & (lam > 0)
        safe = xp.where(curved, p, 2.0)
        argument = (size / (safe * xp.where(curved, lam, 1.0))) ** (1 / (safe - 1))
        return xp.where(curved, size * argument * (1 - 1 / safe), 0.0)

    def _domain(self, lam, p):
        lam, p = np.asarray(lam), np.asarray(p)
        edge = np.where((p > 1) & (lam > 0), np.inf, lam)
        return -edge, edge


def _log_one_plus(xp, size, unit):
    """``log(1 + size / unit)``, also where the quotient leaves the float range."""
    ratio = size / unit
    lost = xp.isinf(ratio)
    if not bool(xp.any(lost)):
        return xp.log1p(ratio)
    apart = xp.log(xp.where(lost, size, 1.0)) - xp.log(unit)
    return xp.where(lost, apart, xp.log1p(xp.where(lost, 0.0, ratio)))


def _power_floor(xp, z):
    """Smallest base whose powers down to -2 stay in the float range."""
    return float(xp.finfo(z.dtype).smallest_normal) ** 0.4
