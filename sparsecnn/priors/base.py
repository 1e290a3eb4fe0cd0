"""The contract of a sparse prior: value, prox (the activation), its derivative, and the dual side.

A prior is stated through its penalty ``phi = -sigma^2 log p`` (constants dropped). Scalar priors
write five short elementwise formulas; this module lines their parameters up with the codes and sums
over coefficients. It knows nothing of dictionaries, problems or solvers.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
from typing import NamedTuple

import array_api_compat
import numpy as np

from ..validation import InputError, InputTypeError, as_float
from .alignment import (
    aligned,
    left_aligned,
    reduce_like,
    sum_per_sample,
    times_power,
    times_two_to,
)
from .arguments import (
    check_unit,
    checked_grad,
    checked_step,
    delivered,
    float_codes,
    short,
    single_step,
)
from .pieces import as_linear_pieces

#: what stands for an infinite step, and what share of an input counts then as nothing left
_ENDLESS, _NOTHING = 2.0**600, 2.0**-60


class Prior:
    """A negative log-density over codes, up to scale: ``phi(z) = -sigma^2 log p(z)``.

    Subclasses are frozen dataclasses whose fields are the parameters: a number, or an array aligned
    with the codes from the first axis after the batch (``(n_atoms,)`` is one value per atom or
    feature map). The class attribute ``_scaling`` gives for each of them the power of ``s`` that
    ``scaled(s)`` multiplies it by, as in ``_scaling = {"lam": -1}``; a field annotated ``float``
    without one is refused with an InputTypeError. ``_signed`` and ``_positive`` name those that may
    be negative or must not be 0.

    Attributes
    ----------
    is_convex, is_separable, is_nonnegative, is_sparse, is_proper : bool
        Whether the penalty is convex; a sum over coefficients; infinite for negative codes; has
        exact zeros as an interval of inputs (a dead zone); is the negative logarithm of an
        integrable density (where that depends on the noise variance: at variance 1).
    is_homogeneous : bool
        Whether ``phi(s z) = s phi(z)`` for all ``s > 0`` (then a closed form calibrates the forward
        transform).
    formula, support : str or tuple
        The penalty of one coefficient in the grammar of ``SymbolicPrior``, and where it is finite.
    """

    is_convex = True
    is_separable = True
    is_nonnegative = False
    is_sparse = True
    is_proper = True
    is_homogeneous = False
    formula = ""
    support = "real"
    #: parameters that may be negative / must be strictly positive; the others must be >= 0
    _signed: tuple[str, ...] = ()
    _positive: tuple[str, ...] = ()
    #: exponent e of each parameter in ``scaled``: parameter * s**e
    _scaling: dict[str, float] = {}
    #: whether every formula is right at any scale, because it squares and divides nothing that may
    #: leave the float range; the prox and derivatives of the others change to a unit of their own
    _any_scale = False

    # -- parameters --------------------------------------------------------------------------
    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        for field in dataclasses.fields(cls):
            if field.type in (float, "float") and field.name not in cls._scaling:
                raise InputTypeError(
                    f"{cls.__name__}._scaling is {cls._scaling}, without the parameter "
                    f"{field.name!r}; expected the power of s that scaled(s) multiplies it by. "
                    f'Write _scaling = {{"{field.name}": -1}} for a rate or a threshold.'
                )

    def __post_init__(self):
        for name in self.parameters:
            object.__setattr__(self, name, self._checked(name, getattr(self, name)))
        for field in dataclasses.fields(self):
            if field.type in (bool, "bool"):
                self._check_flag(field.name)

    def _check_flag(self, name):
        value = getattr(self, name)
        if not isinstance(value, bool | np.bool_):
            raise InputTypeError(
                f"{type(self).__name__}({name}=...) is {value!r}; expected True or False."
            )
        object.__setattr__(self, name, bool(value))

    @property
    def parameters(self):
        """dict: the real-valued parameters by name, in the order of the constructor."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name in self._scaling
        }

    def _checked(self, name, value):
        label = f"{type(self).__name__}({name}=...)"
        if isinstance(value, np.ma.MaskedArray):
            raise InputTypeError(f"{label} is a masked array; expected numbers. Fill it first.")
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            try:
                array = np.asarray(value)
            except (TypeError, ValueError):
                array = np.empty(0, dtype=object)
            if array.dtype.kind not in "fiu":
                raise InputTypeError(
                    f"{label} is {value!r}; expected a number or an array of numbers aligned "
                    "with the codes."
                )
            if array.size == 0:
                raise InputError(f"{label} is empty; expected one value, or one per atom.")
            value = float(array) if array.ndim == 0 else np.array(array, dtype=np.float64)
        else:
            value = as_float(value)
        wanted = (
            "finite numbers"
            if name in self._signed
            else ("positive finite numbers" if name in self._positive else "finite numbers >= 0")
        )
        low = np.min(value)
        wrong = (name not in self._signed and low < 0) or (name in self._positive and low <= 0)
        if wrong or not np.all(np.isfinite(value)):
            hint = "Exponential, AsymmetricLaplace and TruncatedExponential allow negative rates."
            raise InputError(
                f"{label} is {short(value)}; expected {wanted}."
                + (f" {hint}" if name == "lam" else "")
            )
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
        return value

    def _aligned(self, xp, codes):
        """The parameters, reshaped so that they broadcast from the first axis after the batch."""
        return [
            aligned(xp, name, value, codes, name in self._positive)
            for name, value in self.parameters.items()
        ]

    def __repr__(self):
        inside = ", ".join(
            f"{f.name}={short(getattr(self, f.name))}" for f in dataclasses.fields(self)
        )
        return f"{type(self).__name__}({inside})"

    def get_params(self, deep=True):
        """What the constructor was given, by name, as scikit-learn asks for it.

        Parameters
        ----------
        deep : bool
            Ignored: no parameter of a prior has parameters of its own.

        Returns
        -------
        dict
        """
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def set_params(self, **params):
        """The prior with some parameters changed; this one, which others may hold, stays.

        Unlike an estimator's ``set_params``, which changes the estimator: keep what is returned.
        The estimators of this package do, so ``prior__lam`` works in their ``set_params`` and in
        a grid search.

        Parameters
        ----------
        **params : object
            New values, by the constructor's names.

        Returns
        -------
        Prior

        Raises
        ------
        InputError
            If a name is not one of the constructor's, or a value is none the prior allows.
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                raise InputError(
                    f"{type(self).__name__} has no parameter {name!r}; expected one of "
                    f"{', '.join(known) or 'none'}. See get_params()."
                )
        return type(self)(**{**known, **params})

    def __sklearn_clone__(self):
        return self  # nothing can change it, so a clone of what holds it may share it

    def check_fits(self, code_shape):
        """Refuse codes whose shape the parameters do not fit.

        Parameters
        ----------
        code_shape : tuple
            Shape of the codes of one sample.

        Raises
        ------
        InputError
        """
        self.value(np.zeros((1, *code_shape)))

    def restricted(self, index):
        """The prior of the coefficients ``index`` along the first axis after the batch."""
        changed = {
            name: value[index]
            for name, value in self.parameters.items()
            if isinstance(value, np.ndarray)
        }
        return dataclasses.replace(self, **changed) if changed else self

    def scaled(self, s):
        """The prior of codes measured in units of ``s``: ``phi(s z) / s^2``, up to a constant.

        A positive parameter beyond the range of float64 becomes its smallest or largest number.

        Parameters
        ----------
        s : float
            Positive unit.

        Returns
        -------
        Prior
            Solving the problem ``(x / s, scaled prior)`` gives the codes divided by ``s``.
        """
        check_unit(s)
        changed = {
            name: times_power(value, s, self._exponent(name))
            for name, value in self.parameters.items()
        }
        return dataclasses.replace(self, **changed)

    def _exponent(self, name):
        """The power of ``s`` that ``scaled(s)`` multiplies a parameter by."""
        return self._scaling[name]

    # -- the contract ------------------------------------------------------------------------
    def value(self, codes):
        """Penalty of each sample, ``phi(z)``; ``inf`` outside the support.

        Parameters
        ----------
        codes : array, shape (n_samples, ...)
            Codes, batch first. A 1-D array is a batch of scalar codes.

        Returns
        -------
        array, shape (n_samples,)
        """
        raise NotImplementedError

    def prox(self, v, step=1.0, out=None):
        """Proximal operator, ``argmin_z 1/2 ||v - z||^2 + step * phi(z)``: the layer's activation.

        Parameters
        ----------
        v : array, shape (n_samples, ...)
            Points, batch first; never modified (unless it is ``out``).
        step : float or array
            Step size, > 0; an array must broadcast against ``v``.
        out : array, optional
            Where to write the result (may be ``v``); a floating array of ``v``'s shape.

        Returns
        -------
        array, shape of ``v``
        """
        raise NotImplementedError

    def prox_vjp(self, v, step, grad):
        """Vector-Jacobian product of ``prox`` in ``v``, in the parameters and in the step.

        The prox is the gradient of a convex potential, so its Jacobian is symmetric and this is
        also the Jacobian-vector product.

        Parameters
        ----------
        v : array, shape (n_samples, ...)
        step : float
            One number; an array is refused with an InputError.
        grad : array, shape of ``v``
            Gradient of some loss in the prox's output.

        Returns
        -------
        dv : array, shape of ``v``
        dparams : dict
            Gradients keyed like the parameters (each with its parameter's shape), and ``"step"``.
        """
        raise NotImplementedError

    def linear_pieces(self, code_shape):
        """The activation ``prox(v)``, exactly, where it is elementwise and piecewise linear.

        Parameters
        ----------
        code_shape : tuple of int
            Shape of one sample's codes.

        Returns
        -------
        LinearPieces or None
            ``starts``, ``slopes`` and ``constants`` for every coefficient; None where the
            activation is curved, not known in pieces, or couples the coefficients.

        Examples
        --------
        >>> from sparsecnn import Laplace
        >>> starts, slopes, constants = Laplace(0.5).linear_pieces((1,))
        >>> starts.ravel().tolist(), slopes.ravel().tolist(), constants.ravel().tolist()
        ([-0.5, 0.5], [1.0, 0.0, 1.0], [0.5, 0.0, -0.5])
        """
        return None

    # -- the dual side: convex priors only ------------------------------------------------------
    def conjugate(self, v):
        """Convex conjugate per sample, ``sup_z <v, z> - phi(z)``; ``inf`` outside its domain."""
        raise NotImplementedError

    def conjugate_inside(self, v):
        """Conjugate per sample of dual points that are in its domain up to rounding; finite."""
        raise NotImplementedError

    def dual_domain(self, codes):
        """Bounds ``(low, high)`` on every coefficient of a point of the conjugate's domain.

        Broadcastable against ``codes``; necessary, and sufficient for a separable prior.
        """
        raise NotImplementedError

    def feasible_fraction(self, start, direction):
        """Largest ``t`` in [0, 1] per sample with ``start + t direction`` in the conjugate's
        domain.
        """
        raise NotImplementedError


class SeparablePrior(Prior):
    """A prior that is a sum over coefficients; subclasses write elementwise formulas.

    The hooks receive the namespace, the array and the aligned parameters in constructor order:
    ``_value(xp, z, *params)``, ``_prox(xp, v, step, *params)``, ``_partials(xp, v, step, z,
    *params)`` returning ``dz/dv`` and a dict of ``dz/dparameter`` (with ``"step"``), and, when
    convex, ``_conjugate(xp, v, *params)`` on the domain ``[low, high]`` that ``_domain(*params)``
    returns. Where the prox is piecewise linear, ``_pieces(*params)`` returns it at step 1 as a list
    of ``(start, slope, constant)``, the first piece from ``-inf`` on.
    """

    def value(self, codes):
        xp, z = float_codes(codes)
        if z.dtype == xp.float32:
            z = xp.astype(z, xp.float64)
        with np.errstate(over="ignore"):  # infinite where it leaves the float range
            elementwise = self._value(xp, z, *self._aligned(xp, z))
        outside = self._outside(xp, z)
        if outside is not None:
            elementwise = xp.where(outside, xp.inf, elementwise)
        with np.errstate(over="ignore"):
            return sum_per_sample(xp, elementwise, self)

    def prox(self, v, step=1.0, out=None):
        xp, v = float_codes(v, "v")
        step = checked_step(step)
        if np.isinf(np.max(np.asarray(step))):
            return delivered(self._limit(xp, v, step), out)
        if not isinstance(step, float):
            step = xp.astype(step, v.dtype)
        result = xp.empty_like(v)
        with np.errstate(over="ignore", invalid="ignore"):  # beyond the range: inf, the limit
            for part in self._parts(xp, v, step):
                z = self._prox(xp, part.v, part.step, *part.parameters)
                if part.where is None:
                    result = z
                else:
                    result[part.where] = times_two_to(z, part.exponent)
        return delivered(result, out)

    def _limit(self, xp, v, step):
        """The prox where some steps are infinite: of steps so large that nothing else is left."""
        wide, endless = xp.astype(v, xp.float64), xp.isinf(xp.asarray(step))
        z = self.prox(wide, np.minimum(np.asarray(step), _ENDLESS))
        z = xp.where(endless & (xp.abs(z) <= _NOTHING * xp.abs(wide)), 0.0, z)
        far = endless & (xp.abs(z) > (1 + xp.abs(wide)) * _ENDLESS**0.4)
        with np.errstate(over="ignore"):
            return xp.astype(xp.where(far, xp.where(z > 0, xp.inf, -xp.inf), z), v.dtype)

    def prox_vjp(self, v, step, grad):
        xp, v = float_codes(v, "v")
        step, grad = single_step(step), checked_grad(xp, grad, v)
        slope, partials = xp.empty_like(v), {}
        with np.errstate(over="ignore", invalid="ignore"):
            for part in self._parts(xp, v, step):
                z = self._prox(xp, part.v, part.step, *part.parameters)
                found = self._partials(xp, part.v, part.step, z, *part.parameters)
                if part.where is None:
                    slope, partials = found
                    break
                slope[part.where] = found[0]
                for name, value in self._in_given_units(xp, part, found[1]).items():
                    partials.setdefault(name, xp.empty_like(v))[part.where] = value
            gradients = {
                name: reduce_like(xp, grad * partials[name], value)
                for name, value in self.parameters.items()
            }
        gradients["step"] = xp.sum(grad * partials["step"])
        return grad * slope, gradients

    def linear_pieces(self, code_shape):
        pieces = self._pieces(*self._aligned(np, np.empty((1, *code_shape))))
        return None if pieces is None else as_linear_pieces(pieces, code_shape)

    # -- units ---------------------------------------------------------------------------------
    def _parts(self, xp, v, step):
        """The entries of ``v`` as ``_Part``s whose numbers have comfortable sizes."""
        bits = 200 if v.dtype == xp.float64 else 30
        if self._any_scale or not v.size or self._is_comfortable(xp, v, 2.0 ** (bits // 2)):
            yield _Part(None, 0, v, step, self._aligned(xp, v))
            return
        size = xp.where(xp.isfinite(v), xp.abs(v), 0.0)
        for name, length in self._lengths.items():
            size = xp.maximum(size, xp.asarray(aligned(xp, name, length, v), dtype=v.dtype))
        groups = xp.round(xp.log2(xp.where(size > 0, size, 1.0)) / bits)
        step = step if isinstance(step, float) else xp.broadcast_to(step, v.shape)
        for group in np.unique(np.asarray(groups)):
            where, exponent = groups == group, int(group) * bits
            parameters = [self._part_of(xp, name, where, exponent, v) for name in self.parameters]
            here = step if isinstance(step, float) else step[where]
            yield _Part(where, exponent, times_two_to(v[where], -exponent), here, parameters)

    def _is_comfortable(self, xp, v, far):
        """Whether the sizes of ``v`` and of the parameters lie between ``1 / far`` and ``far``."""
        lengths = self._lengths.values()
        if any(np.max(length) > far for length in lengths):
            return False
        if not any(np.min(length) > 1 / far for length in lengths):
            small = xp.abs(v)
            if float(xp.min(xp.where(small > 0, small, 1.0))) < 1 / far:
                return False
        return float(xp.max(xp.abs(v))) <= far  # not if there is an infinity or a nan

    @functools.cached_property
    def _lengths(self):
        """Every parameter with a unit as a length: ``p`` with ``p s^e`` gives ``|p|^(-1/e)``."""
        found = {}
        for name, value in self.parameters.items():
            exponent = np.asarray(self._exponent(name), dtype=float)
            root = -1 / np.where(exponent == 0, -1.0, exponent)
            with np.errstate(over="ignore", divide="ignore"):
                length = np.where(exponent == 0, 0.0, np.abs(value) ** root)
            found[name] = np.where(np.isfinite(length), length, 0.0)
        return {name: length for name, length in found.items() if length.any()}

    def _part_of(self, xp, name, where, exponent, v):
        """A parameter in units of ``2**exponent``, one value for each entry in ``where``."""
        shape = np.empty(v.shape, dtype=np.uint8)

        def spread(value):
            value = np.asarray(value, dtype=float)
            return np.broadcast_to(left_aligned(name, value, v), shape.shape)[np.asarray(where)]

        value = times_power(
            spread(self.parameters[name]), 2.0**exponent, spread(self._exponent(name))
        )
        limits = np.finfo(np.float64 if v.dtype == xp.float64 else np.float32)
        value = np.clip(value, limits.tiny if name in self._positive else -limits.max, limits.max)
        return xp.asarray(value, dtype=v.dtype, device=array_api_compat.device(v))

    def _in_given_units(self, xp, part, partials):
        """``dz / d parameter`` in the codes' own units, from those of a part."""
        found = {"step": times_two_to(partials["step"], part.exponent)}
        for name in self.parameters:
            power = np.asarray(part.exponent * (1 + np.asarray(self._exponent(name), dtype=float)))
            power = np.broadcast_to(left_aligned(name, power, part.where), part.where.shape)
            half = xp.asarray(np.exp2(0.5 * power[np.asarray(part.where)]), dtype=part.v.dtype)
            found[name] = partials[name] * half * half  # the whole power may leave the float range
        return found

    def conjugate(self, v):
        xp, v = float_codes(v, "v")
        if not self.is_convex:
            raise InputTypeError(
                f"{type(self).__name__} is not convex, so its conjugate gives no duality gap; "
                "use the fixed-point residual of the problem instead."
            )
        low, high = self._domain(*self._aligned(xp, v))
        inside = (v >= low) & (v <= high)
        with np.errstate(over="ignore"):
            elementwise = self._conjugate(xp, xp.clip(v, low, high), *self._aligned(xp, v))
        return sum_per_sample(xp, xp.where(inside, elementwise, xp.inf), self)

    def conjugate_inside(self, v):
        """Conjugate after clipping ``v`` into the closed domain (dual points up to rounding)."""
        xp, v = float_codes(v, "v")
        params = self._aligned(xp, v)
        clipped = xp.clip(v, *self._domain(*params))
        with np.errstate(over="ignore"):
            elementwise = self._conjugate(xp, clipped, *params)
        return sum_per_sample(xp, elementwise, self)

    def dual_domain(self, codes):
        """Bounds ``(low, high)`` of the conjugate's domain, broadcastable against ``codes``."""
        xp, codes = float_codes(codes)
        return self._domain(*self._aligned(xp, codes))

    def feasible_fraction(self, start, direction):
        xp, direction = float_codes(direction, "direction")
        low, high = self._domain(*self._aligned(xp, direction))
        bound = xp.where(direction > 0, high, low)
        moving = direction != 0
        with np.errstate(over="ignore"):  # all of a tiny direction
            room = xp.where(moving, bound - start, xp.inf) / xp.where(moving, direction, 1.0)
        room = xp.clip(xp.astype(room, direction.dtype), 0.0, 1.0)
        axes = tuple(range(1, room.ndim))
        return xp.min(room, axis=axes) if axes else room

    # -- hooks with a default ----------------------------------------------------------------
    def _outside(self, xp, z):
        return z < 0 if self.is_nonnegative else None

    def _value(self, xp, z, *params):
        raise NotImplementedError

    def _prox(self, xp, v, step, *params):
        raise NotImplementedError

    def _partials(self, xp, v, step, z, *params):
        raise NotImplementedError

    def _pieces(self, *params):
        return None

    def _conjugate(self, xp, v, *params):
        """Zero: the penalty is homogeneous, so its conjugate is the indicator of the domain."""
        return xp.zeros_like(v)

    def _domain(self, *params):
        raise NotImplementedError


class _Part(NamedTuple):
    """Entries that a formula takes at once: which (None for all), in units of ``2**exponent``."""

    where: object
    exponent: int
    v: object
    step: object
    parameters: list
