"""Convex priors of one coefficient: penalty, prox, derivative, conjugate, one short class each.

Closed forms: Bowren 2021 (soft threshold, ReLU with one rate per coefficient); Bauschke &
Combettes, Convex Analysis and Monotone Operator Theory, 2nd ed. 2017, ch. 24 (the rest).
"""

from __future__ import annotations

import numpy as np

from ..validation import InputError
from .arguments import check_same_shape
from .base import SeparablePrior
from .pieces import mirrored


def soft_threshold(xp, v, threshold):
    """``sign(v) max(|v| - threshold, 0)``, Bowren 2021 (orthogonal Laplace model)."""
    return xp.maximum(v - threshold, 0.0) + xp.minimum(v + threshold, 0.0)


class Laplace(SeparablePrior):
    """Laplace prior, ``phi(z) = lam |z|``; its prox is the soft threshold.

    Parameters
    ----------
    lam : float or array
        Sparsity weight, noise variance over scale; >= 0; a number, one per atom, or one per
        coefficient.

    References
    ----------
    Bowren 2021, sparse coding with orthogonal basis functions (soft threshold of the projections).

    Examples
    --------
    >>> Laplace(1.0).prox([-3.0, 0.5, 2.0])
    array([-2.,  0.,  1.])
    """

    lam: float
    is_homogeneous = True
    _any_scale = True
    formula = "lam*abs(z)"
    _scaling = {"lam": -1}

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(self.lam > 0))

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any(np.asarray(self.lam) > 0))

    def _value(self, xp, z, lam):
        return lam * xp.abs(z)

    def _pieces(self, lam):
        return mirrored(0.0, (lam, 1.0, -lam))

    def _prox(self, xp, v, step, lam):
        return soft_threshold(xp, v, step * lam)

    def _partials(self, xp, v, step, z, lam):
        sign = xp.sign(z)
        return xp.abs(sign), {"lam": -step * sign, "step": -lam * sign}

    def _domain(self, lam):
        return -lam, lam


class Exponential(SeparablePrior):
    """Exponential prior, ``phi(z) = lam z`` on ``z >= 0``; its prox is ``ReLU(v - lam)``.

    It is the CNN layer with bias ``-lam``.

    Parameters
    ----------
    lam : float or array
        Rate times noise variance, one per atom if an array. A negative rate (a positive bias) is
        allowed; it is an improper, anti-sparse prior (``is_proper`` is False).

    References
    ----------
    Bowren 2021, non-negative sparse coding with one exponential prior parameter per coefficient.

    Examples
    --------
    >>> Exponential([0.5, 1.0]).prox([[2.0, 2.0], [-1.0, 0.5]])
    array([[1.5, 1. ],
           [0. , 0. ]])
    """

    lam: float
    is_nonnegative = True
    is_homogeneous = True
    _any_scale = True
    formula = "lam*z"
    support = "nonnegative"
    _signed = ("lam",)
    _scaling = {"lam": -1}

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(self.lam > 0))

    def _value(self, xp, z, lam):
        return lam * z

    def _pieces(self, lam):
        return [(-np.inf, 0.0, 0.0), (lam, 1.0, -lam)]

    def _prox(self, xp, v, step, lam):
        return xp.maximum(v - step * lam, 0.0)

    def _partials(self, xp, v, step, z, lam):
        active = xp.astype(z > 0, v.dtype)
        return active, {"lam": -step * active, "step": -lam * active}

    def _domain(self, lam):
        return -np.inf, lam


class AsymmetricLaplace(SeparablePrior):
    """Two-sided exponential: ``phi(z) = lam_plus z`` if ``z >= 0``, else ``-lam_minus z``.

    Parameters
    ----------
    lam_minus, lam_plus : float or array
        Rates of the two sides; each may be negative as long as ``lam_minus + lam_plus >= 0``
        (convexity).

    Examples
    --------
    >>> AsymmetricLaplace(0.5, 1.0).prox([-2.0, 0.7, 2.0])
    array([-1.5,  0. ,  1. ])
    """

    lam_minus: float
    lam_plus: float
    is_homogeneous = True
    _any_scale = True
    formula = "Piecewise((-lam_minus*z, z < 0), (lam_plus*z, True))"
    _signed = ("lam_minus", "lam_plus")
    _scaling = {"lam_minus": -1, "lam_plus": -1}

    def __post_init__(self):
        super().__post_init__()
        check_same_shape(self, "lam_minus", "lam_plus")
        if np.any(self.lam_minus + self.lam_plus < 0):
            raise InputError(
                "AsymmetricLaplace: lam_minus + lam_plus is negative somewhere, so the penalty "
                "has a concave kink; expected "
                "lam_minus + lam_plus >= 0. Raise one of the two rates."
            )

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(self.lam_minus > 0) and np.all(self.lam_plus > 0))

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any(self.lam_minus + self.lam_plus > 0))

    def _value(self, xp, z, lam_minus, lam_plus):
        return xp.where(z < 0, -lam_minus * z, lam_plus * z)

    def _pieces(self, lam_minus, lam_plus):
        return [(-np.inf, 1.0, lam_minus), (-lam_minus, 0.0, 0.0), (lam_plus, 1.0, -lam_plus)]

    def _prox(self, xp, v, step, lam_minus, lam_plus):
        return xp.maximum(v - step * lam_plus, 0.0) + xp.minimum(v + step * lam_minus, 0.0)

    def _partials(self, xp, v, step, z, lam_minus, lam_plus):
        minus, plus = xp.astype(z < 0, v.dtype), xp.astype(z > 0, v.dtype)
        return minus + plus, {
            "lam_minus": step * minus,
            "lam_plus": -step * plus,
            "step": lam_minus * minus - lam_plus * plus,
        }

    def _domain(self, lam_minus, lam_plus):
        return -lam_minus, lam_plus


class NonNegative(SeparablePrior):
    """Flat on ``z >= 0`` (improper); its prox is the plain ReLU.

    Examples
    --------
    >>> NonNegative().prox([-1.0, 2.0])
    array([0., 2.])
    """

    is_nonnegative = True
    is_proper = False
    is_homogeneous = True
    _any_scale = True
    formula = "0"
    support = "nonnegative"

    def _value(self, xp, z):
        return xp.zeros_like(z)

    def _pieces(self):
        return [(-np.inf, 0.0, 0.0), (0.0, 1.0, 0.0)]

    def _prox(self, xp, v, step):
        return xp.maximum(v, 0.0)

    def _partials(self, xp, v, step, z):
        return xp.astype(v > 0, v.dtype), {"step": xp.zeros_like(v)}

    def _domain(self):
        return -np.inf, 0.0


class Gaussian(SeparablePrior):
    """Normal prior, ``phi(z) = alpha z^2 / 2``; its prox is the linear gain ``v / (1 + alpha)``.

    Parameters
    ----------
    alpha : float or array
        Noise variance over code variance, >= 0.

    Examples
    --------
    >>> Gaussian(1.0).prox([-1.0, 3.0])
    array([-0.5,  1.5])
    """

    alpha: float
    is_sparse = False
    _any_scale = True
    formula = "alpha*z**2/2"
    _scaling = {"alpha": 0}

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(self.alpha > 0))

    def _value(self, xp, z, alpha):
        return 0.5 * (alpha * z) * z

    def _pieces(self, alpha):
        return [(-np.inf, 1 / (1 + alpha), 0.0)]

    def _prox(self, xp, v, step, alpha):
        return v / (1 + step * alpha)

    def _partials(self, xp, v, step, z, alpha):
        slope = xp.ones_like(v) / (1 + step * alpha)
        return slope, {"alpha": -step * z * slope, "step": -alpha * z * slope}

    def _conjugate(self, xp, v, alpha):
        return _quadratic_conjugate(xp, v, alpha)

    def _domain(self, alpha):
        edge = np.where(np.asarray(alpha) > 0, np.inf, 0.0)
        return -edge, edge


class HalfNormal(Gaussian):
    """Half-normal prior, ``phi(z) = alpha z^2 / 2`` on ``z >= 0``; prox ``ReLU(v) / (1 + alpha)``.

    Parameters
    ----------
    alpha : float or array
        Noise variance over the scale squared, >= 0.

    Examples
    --------
    >>> HalfNormal(1.0).prox([-1.0, 3.0])
    array([0. , 1.5])
    """

    is_nonnegative = True
    is_sparse = True
    support = "nonnegative"

    def _pieces(self, alpha):
        return [(-np.inf, 0.0, 0.0), (0.0, 1 / (1 + alpha), 0.0)]

    def _prox(self, xp, v, step, alpha):
        return xp.maximum(v, 0.0) / (1 + step * alpha)

    def _partials(self, xp, v, step, z, alpha):
        slope = xp.astype(v > 0, v.dtype) / (1 + step * alpha)
        return slope, {"alpha": -step * z * slope, "step": -alpha * z * slope}

    def _conjugate(self, xp, v, alpha):
        return _quadratic_conjugate(xp, xp.maximum(v, 0.0), alpha)

    def _domain(self, alpha):
        return -np.inf, super()._domain(alpha)[1]


class ElasticNet(SeparablePrior):
    """Elastic net, ``phi(z) = lam |z| + alpha z^2 / 2``, optionally on ``z >= 0`` only.

    Parameters
    ----------
    lam, alpha : float or array
        Weights of the absolute value and of the square, >= 0.
    nonnegative : bool
        Restrict codes to ``z >= 0`` (prox ``ReLU(v - lam) / (1 + alpha)``).

    References
    ----------
    Zou & Hastie 2005, Regularization and variable selection via the elastic net.

    Examples
    --------
    >>> ElasticNet(1.0, 1.0).prox([-3.0, 0.5])
    array([-1.,  0.])
    """

    lam: float
    alpha: float
    nonnegative: bool = False
    _any_scale = True
    formula = "lam*abs(z) + alpha*z**2/2"
    _scaling = {"lam": -1, "alpha": 0}

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
        return self.is_nonnegative or bool(np.any(np.asarray(self.lam) > 0))

    def _value(self, xp, z, lam, alpha):
        return lam * xp.abs(z) + 0.5 * (alpha * z) * z

    def _pieces(self, lam, alpha):
        gain = 1 / (1 + alpha)
        above = (lam, gain, -lam * gain)
        return [(-np.inf, 0.0, 0.0), above] if self.nonnegative else mirrored(0.0, above)

    def _prox(self, xp, v, step, lam, alpha):
        if self.nonnegative:
            return xp.maximum(v - step * lam, 0.0) / (1 + step * alpha)
        return soft_threshold(xp, v, step * lam) / (1 + step * alpha)

    def _partials(self, xp, v, step, z, lam, alpha):
        sign, gain = xp.sign(z), 1 / (1 + step * alpha)
        return xp.abs(sign) * gain, {
            "lam": -step * sign * gain,
            "alpha": -step * z * gain,
            "step": -(lam * sign + alpha * z) * gain,
        }

    def _conjugate(self, xp, v, lam, alpha):
        excess = xp.maximum((v if self.nonnegative else xp.abs(v)) - lam, 0.0)
        return _quadratic_conjugate(xp, excess, alpha)

    def _domain(self, lam, alpha):
        edge = np.where(np.asarray(alpha) > 0, np.inf, np.asarray(lam))
        return (-np.inf if self.nonnegative else -edge), edge


class Uniform(SeparablePrior):
    """Uniform prior on ``[low, high]``; its prox is the clip (hardtanh, ReLU6).

    Parameters
    ----------
    low, high : float or array
        Ends of the interval, ``low < high``.

    Examples
    --------
    >>> Uniform(0.0, 6.0).prox([-1.0, 3.0, 9.0])
    array([0., 3., 6.])
    """

    low: float
    high: float
    _any_scale = True
    formula = "0"
    _signed = ("low", "high")
    _scaling = {"low": -1, "high": -1}

    def __post_init__(self):
        super().__post_init__()
        check_same_shape(self, "low", "high")
        if not np.all(np.asarray(self.low) < np.asarray(self.high)):
            raise InputError(
                f"Uniform: low is {self.low} and high is {self.high}; expected low < high "
                "everywhere. Swap them."
            )

    @property
    def is_nonnegative(self):
        """bool: whether negative codes are excluded."""
        return bool(np.all(self.low >= 0))

    @property
    def is_sparse(self):
        """bool: whether an interval of inputs gives exact zeros."""
        return bool(np.any(np.asarray(self.low) == 0) or np.any(np.asarray(self.high) == 0))

    @property
    def support(self):
        """str or tuple: where the penalty is finite."""
        return ("low", "high")

    def _outside(self, xp, z):
        low, high = self._aligned(xp, z)
        return (z < low) | (z > high)

    def _value(self, xp, z, low, high):
        return xp.zeros_like(z)

    def _pieces(self, low, high):
        return [(-np.inf, 0.0, low), (low, 1.0, 0.0), (high, 0.0, high)]

    def _prox(self, xp, v, step, low, high):
        return xp.clip(v, low, high)

    def _partials(self, xp, v, step, z, low, high):
        under, over = xp.astype(v < low, v.dtype), xp.astype(v > high, v.dtype)
        return 1 - under - over, {"low": under, "high": over, "step": xp.zeros_like(v)}

    def _conjugate(self, xp, v, low, high):
        return xp.where(v > 0, high * v, low * v)

    def _domain(self, low, high):
        return -np.inf, np.inf


class TruncatedExponential(SeparablePrior):
    """Truncated exponential, ``phi(z) = lam z`` on ``[0, high]``; prox ``clip(v - lam, 0, high)``.

    Parameters
    ----------
    lam : float or array
        Rate; may be negative (the interval is bounded, so the prior is always a density).
    high : float or array
        Upper end, > 0.

    Examples
    --------
    >>> TruncatedExponential(1.0, 6.0).prox([0.5, 3.0, 9.0])
    array([0., 2., 6.])
    """

    lam: float
    high: float
    is_nonnegative = True
    _any_scale = True
    formula = "lam*z"
    support = (0, "high")
    _signed = ("lam",)
    _positive = ("high",)
    _scaling = {"lam": -1, "high": -1}

    def _outside(self, xp, z):
        return (z < 0) | (z > self._aligned(xp, z)[1])

    def _value(self, xp, z, lam, high):
        return lam * z

    def _pieces(self, lam, high):
        return [(-np.inf, 0.0, 0.0), (lam, 1.0, -lam), (lam + high, 0.0, high)]

    def _prox(self, xp, v, step, lam, high):
        return xp.clip(v - step * lam, 0.0, high)

    def _partials(self, xp, v, step, z, lam, high):
        shifted = v - step * lam
        inside = xp.astype((shifted > 0) & (shifted < high), v.dtype)
        return inside, {
            "lam": -step * inside,
            "high": xp.astype(shifted > high, v.dtype),
            "step": -lam * inside,
        }

    def _conjugate(self, xp, v, lam, high):
        return high * xp.maximum(v - lam, 0.0)

    def _domain(self, lam, high):
        return -np.inf, np.inf


class Huber(SeparablePrior):
    """Huber penalty, ``phi(z) = lam h_delta(z)``: quadratic near zero, then linear.

    ``h_delta(z) = z^2 / (2 delta)`` for ``|z| <= delta``, else ``|z| - delta / 2``. Its prox
    shrinks but never gives exact zeros.

    Parameters
    ----------
    lam : float or array
        Weight, >= 0.
    delta : float or array
        Half-width of the quadratic part, > 0.

    References
    ----------
    Huber 1964, Robust estimation of a location parameter.

    Examples
    --------
    >>> Huber(1.0, 1.0).prox([1.0, 4.0])
    array([0.5, 3. ])
    """

    lam: float
    delta: float
    is_sparse = False
    _any_scale = True
    formula = "lam*Piecewise((z**2/(2*delta), abs(z) <= delta), (abs(z) - delta/2, True))"
    _positive = ("delta",)
    _scaling = {"lam": -1, "delta": -1}

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(self.lam > 0))

    def _value(self, xp, z, lam, delta):
        size = xp.abs(z)
        return lam * xp.where(size <= delta, 0.5 * z * (z / delta), size - 0.5 * delta)

    def _pieces(self, lam, delta):
        return mirrored(delta / (delta + lam), (delta + lam, 1.0, -lam))

    def _prox(self, xp, v, step, lam, delta):
        inner = v * (delta / (delta + step * lam))
        return xp.where(xp.abs(v) <= delta + step * lam, inner, v - step * lam * xp.sign(v))

    def _partials(self, xp, v, step, z, lam, delta):
        width = delta + step * lam
        inner, sign = xp.abs(v) <= width, xp.sign(v)
        zero = xp.zeros_like(v)
        d_threshold = xp.where(inner, -(delta / width) * (v / width), -sign)  # in step * lam
        return xp.where(inner, zero + delta / width, zero + 1), {
            "lam": step * d_threshold,
            "delta": xp.where(inner, (step * lam / width) * (v / width), zero),
            "step": lam * d_threshold,
        }

    def _conjugate(self, xp, v, lam, delta):
        return 0.5 * delta * v * (v / xp.where(xp.asarray(lam > 0), lam, 1.0))

    def _domain(self, lam, delta):
        return -lam, lam


class Gamma(SeparablePrior):
    """Gamma prior, ``phi(z) = lam z - mu log z`` on ``z > 0``; its prox is a squareplus.

    ``prox(v) = (u + sqrt(u^2 + 4 mu)) / 2`` with ``u = v - lam``: the squareplus with ``b = 4 mu``.

    Parameters
    ----------
    lam : float or array
        Noise variance times rate, >= 0.
    mu : float or array
        Noise variance times (shape - 1), > 0 (shape < 1 has no finite MAP code; use
        ``Exponential`` for shape 1).

    Examples
    --------
    >>> Gamma(1.0, 2.0).prox([2.0])
    array([2.])
    """

    lam: float
    mu: float
    is_nonnegative = True
    is_sparse = False
    formula = "lam*z - mu*log(z)"
    support = "nonnegative"
    _positive = ("mu",)
    _scaling = {"lam": -1, "mu": -2}

    @property
    def is_proper(self):
        """bool: whether the penalty belongs to an integrable density."""
        return bool(np.all(self.lam > 0))

    def _outside(self, xp, z):
        return z <= 0

    def _value(self, xp, z, lam, mu):
        return lam * z - mu * xp.log(xp.where(z > 0, z, xp.ones_like(z)))

    def _prox(self, xp, v, step, lam, mu):
        u = v - step * lam
        root = xp.hypot(u, xp.zeros_like(u) + 2 * (step * mu) ** 0.5)
        # the root of z^2 - u z - step mu = 0 that does not cancel
        return xp.where(
            u >= 0, 0.5 * (u + root), 2 * step * mu / (root - xp.where(u >= 0, -1.0, u))
        )

    def _partials(self, xp, v, step, z, lam, mu):
        # z + step (lam - mu / z) = v
        slope = 1 / (1 + step * (mu / z) / z)
        return slope, {
            "lam": -step * slope,
            "mu": step * slope / z,
            "step": -(lam - mu / z) * slope,
        }

    def _conjugate(self, xp, v, lam, mu):
        room = xp.clip(lam - v, float(xp.finfo(v.dtype).smallest_normal), None)
        ratio = xp.clip(mu / room, float(xp.finfo(v.dtype).smallest_normal), None)
        return mu * (xp.log(ratio) - 1)

    def _domain(self, lam, mu):
        return -np.inf, lam


def _quadratic_conjugate(xp, v, alpha):
    """``v^2 / (2 alpha)``, with ``0`` where ``alpha = 0`` (there the domain is a point)."""
    positive = xp.asarray(np.asarray(alpha) > 0)
    return xp.where(positive, 0.5 * v * (v / xp.where(positive, xp.asarray(alpha), 1.0)), 0.0)
