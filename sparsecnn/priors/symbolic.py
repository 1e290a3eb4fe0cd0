"""A prior from a formula: any penalty a user can write down becomes a layer with exact gradients.

The mathematics is the ``symbolic`` island's; SymPy is imported when the first such prior is made.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import re
import reprlib
from typing import NamedTuple

import numpy as np

from ..validation import InputError, InputTypeError, did_you_mean
from .alignment import left_aligned, times_power
from .arguments import check_unit, short
from .base import SeparablePrior

#: names a parameter cannot have: they mean something to the class, or the input of the prox
RESERVED = ("self", "formula", "support", "values", "unit", "step", "names", "x")


class SymbolicPrior(SeparablePrior):
    """The prior with penalty ``phi(z)`` given as a formula.

    The prox inverts ``x = z + step phi'(z)`` on each stretch where that increases: by a division
    where the slope is affine, from a closed form where SymPy finds one, otherwise by a safeguarded
    Newton iteration for all inputs at once; ``prox_methods`` and ``prox_formula`` tell which.
    Joints of the penalty give dead zones, and where stretches compete the jump is placed at equal
    objectives. Gradients are exact, also in the parameters:
    ``dz/dx = 1 / (1 + step phi''(z))``.

    Parameters
    ----------
    formula : str
        Penalty of one coefficient: ``z``, parameters, numbers, ``+ - * / **``, ``abs``, ``sign``,
        ``min``, ``max``, ``sqrt``, ``exp``, ``log``, trigonometric and hyperbolic functions,
        ``erf``, and ``Piecewise((value, condition), ..., (value, True))``. Text is rebuilt from a
        whitelisted tree, never evaluated.
    support : {"real", "nonnegative"} or (low, high)
        Where the penalty is finite; ends are numbers or names of parameters.
    values : dict, optional
        Parameters as one dictionary, instead of or besides keywords.
    unit : float
        The codes are measured in these units: the penalty is ``phi(unit z) / unit^2``.
    **parameters : float or array
        One value for every other name in the formula; arrays align with the codes from the first
        axis after the batch. Positive, or any sign if given negative.

    Raises
    ------
    InputError
        If the formula is outside the grammar or has names but not ``z``, a parameter is missing,
        unknown or called as something else is (``x``, ``step``, ``values``, ...), or the model is
        ill-posed: the penalty falls to minus infinity at a point, or as fast as ``-z^2 / 2``.

    References
    ----------
    Gribonval & Nikolova 2020, A characterization of proximity operators (a prox is monotone, with
    jumps allowed).

    Examples
    --------
    >>> prior = SymbolicPrior("lam*log(1 + abs(z)/eps)", lam=1.0, eps=1.0)
    >>> prior.prox([0.5, 3.0]).round(4)
    array([0.    , 2.7321])
    >>> prior.is_sparse, prior.is_convex, prior.prox_methods[-1]
    (True, False, 'closed form')
    """

    formula: str
    support: object = "real"
    values: dict = dataclasses.field(default_factory=dict)
    unit: float = 1.0
    _any_scale = True  # each setting of the parameters is computed in its own unit
    _scaling = {"unit": 1}

    def __init__(self, formula, support="real", *, values=None, unit=1.0, **parameters):
        if not isinstance(values, dict | None):
            raise InputTypeError(f"values is {values!r}; expected a dict of parameters by name.")
        parameters = {**(values or {}), **parameters}
        support = tuple(support) if isinstance(support, list | np.ndarray) else support
        _refuse_what_is_no_text(formula, support)
        expected = check_names(formula, support)
        missing = [n for n in expected if n not in parameters]
        unknown = [n for n in parameters if n not in expected]
        if missing or unknown:
            hint = f"{(missing or expected or ['lam'])[0]}=1.0"
            raise InputError(
                f"SymbolicPrior({formula!r}) got parameters {sorted(parameters)}; expected "
                f"{expected}. Give each name in the formula a value, such as {hint}."
                + "".join(did_you_mean(name, expected) for name in unknown[:1])
            )
        put = object.__setattr__
        put(self, "formula", formula)
        put(self, "support", support)
        put(self, "unit", check_unit(unit, "SymbolicPrior(unit=...)"))
        put(self, "values", dict.fromkeys(expected))
        put(self, "values", {name: self._checked(name, parameters[name]) for name in expected})
        for setting in self._settings():
            self._envelope(setting)  # refuses an ill-posed model

    @property
    def parameters(self):
        """dict: the parameters by name, in the order of the formula."""
        return dict(self.values)

    @property
    def names(self):
        """tuple: the parameters' names."""
        return tuple(self.values)

    @property
    def prox_formula(self):
        """str or None: the prox at step 1 in closed form, for the first atom's regime.

        None where SymPy finds no closed form of a branch or of a jump.
        """
        return _closed_form(self._penalty, own_unit(self._penalty, self._settings()[0]).values)

    @property
    def prox_methods(self):
        """tuple of str: how each branch is evaluated at step 1, in order of the input.

        "constant", "linear" (exact), "closed form" (checked and repaired by one Newton step) or
        "Newton".
        """
        return tuple(b.method for b in self._envelope(self._settings()[0]).branches)

    @property
    def _signed(self):
        return self.names

    def __getattr__(self, name):
        values = self.__dict__.get("values", ())
        if name in values:
            return values[name]
        raise AttributeError(f"SymbolicPrior has no attribute {name!r}")

    def __repr__(self):
        inside = "".join(f", {n}={short(v)}" for n, v in self.parameters.items())
        support = "" if self.support == "real" else f", support={self.support!r}"
        unit = "" if self.unit == 1.0 else f", unit={self.unit:g}"
        return f"SymbolicPrior({self.formula!r}{inside}{support}{unit})"

    def get_params(self, deep=True):
        """What the constructor was given, by name: formula, support, unit, and each parameter."""
        fixed = {"formula": self.formula, "support": self.support, "unit": self.unit}
        return {**fixed, **self.values}

    def restricted(self, index):
        """The prior of the coefficients ``index`` along the first axis after the batch."""
        changed = {n: v[index] for n, v in self.values.items() if isinstance(v, np.ndarray)}
        return dataclasses.replace(self, **changed) if changed else self

    def scaled(self, s):
        """The prior of codes in units of ``s``: ``phi(s z) / s^2``, up to a constant."""
        check_unit(s)
        return dataclasses.replace(self, unit=self.unit * float(s))

    # -- the mathematics ---------------------------------------------------------------------
    @property
    def _penalty(self):
        """The symbolic penalty; parameters with a negative value anywhere count as signed."""
        signed = tuple(n for n, v in self.parameters.items() if np.min(v) <= 0)
        return _penalty(self.formula, self.support, self.names, signed)

    def _settings(self):
        """Every distinct tuple of parameter values, as tuples of floats."""
        values = tuple(self.values.values())
        if not any(isinstance(v, np.ndarray) for v in values):
            return [values]
        arrays = np.broadcast_arrays(*_padded(values))
        rows = np.unique(np.stack([a.ravel() for a in arrays], axis=1), axis=0)
        return [tuple(map(float, row)) for row in rows]

    def _envelope(self, setting):
        return _envelope(self._penalty, own_unit(self._penalty, setting).values, 1.0)

    @functools.cached_property
    def _facts(self):
        own = [own_unit(self._penalty, values).values for values in self._settings()]
        facts = [_facts_of(self._penalty, values) for values in own]
        return {key: [f[key] for f in facts] for key in facts[0]}

    @property
    def is_convex(self):
        return all(self._facts["convex"])

    @property
    def is_nonnegative(self):
        return all(self._facts["nonnegative"])

    @property
    def is_sparse(self):
        return any(self._envelope(setting).has_dead_zone() for setting in self._settings())

    @property
    def is_proper(self):
        from ..symbolic.facts import is_proper

        return all(
            is_proper(self._penalty, dict(zip(self.names, values, strict=True)), self.unit)
            for values in self._settings()
        )

    @property
    def is_homogeneous(self):
        return all(self._facts["homogeneous"])

    def _aligned(self, xp, codes):
        """The parameters in float64, whatever the codes: they may lie beyond float32."""
        return [left_aligned(name, np.asarray(v), codes) for name, v in self.parameters.items()]

    def _outside(self, xp, z):
        return None  # the formula's own value is infinite there

    def _over_settings(self, function, z, steps, params):
        """Apply ``function(values, step, z) -> arrays`` to the entries of each setting."""
        arrays = np.broadcast_arrays(z, *(np.asarray(p, dtype=float) for p in (steps, *params)))
        if all(np.ndim(p) == 0 for p in (steps, *params)) or not arrays[0].size:
            step, *values = (float(np.ravel(p)[0]) for p in (steps, *params))
            return function(tuple(values), step, arrays[0])
        keys = np.stack([a.ravel() for a in arrays[1:]], axis=1)
        settings, which = np.unique(keys, axis=0, return_inverse=True)
        flat, results = arrays[0].ravel(), None
        for k, (step, *values) in enumerate(settings):
            here = which.reshape(-1) == k
            part = function(tuple(map(float, values)), float(step), flat[here])
            if results is None:
                results = [np.empty(flat.shape) for _ in part]
            for whole, piece in zip(results, part, strict=True):
                whole[here] = piece
        return [r.reshape(arrays[0].shape) for r in results]

    def _apply(self, xp, array, step, params, function):
        """Run a NumPy float64 function on any namespace's arrays and give back the same kind."""
        plain = np.asarray(_to_numpy(array), dtype=np.float64)
        params = [_to_numpy(p) for p in params]
        results = self._over_settings(function, plain, _to_numpy(step), params)
        return [xp.asarray(r, dtype=array.dtype, device=_device(array)) for r in results]

    def _value(self, xp, z, *params):
        def value(values, step, z):
            own = own_unit(self._penalty, values)
            length = own.length / self.unit
            with np.errstate(over="ignore"):
                found = self._penalty.evaluate(z / length, own.named) * length * length
            return [found + own.shift / self.unit**2 if own.shift else found]

        return self._apply(xp, z, 1.0, params, value)[0]

    def _prox(self, xp, v, step, *params):
        def prox(values, step, v):
            own = own_unit(self._penalty, values)
            length = own.length / self.unit
            with np.errstate(over="ignore"):
                z = _envelope(self._penalty, own.values, step).prox(v / length)[0]
            return [z * length]

        return self._apply(xp, v, step, params, prox)[0]

    def _partials(self, xp, v, step, z, *params):
        def partials(values, step, v):
            own = own_unit(self._penalty, values)
            length = own.length / self.unit
            slope, *found = _derivatives(self._penalty, own.named, step, v / length)
            of_step, *of_parameters = (part * length for part in found)
            return [slope, of_step, *own.in_given_units(of_parameters)]

        slope, dstep, *rest = self._apply(xp, v, step, params, partials)
        return slope, {"step": dstep, **dict(zip(self.names, rest, strict=True))}

    def _conjugate(self, xp, v, *params):
        def conjugate(values, step, v):
            own = own_unit(self._penalty, values)
            length = own.length / self.unit
            with np.errstate(over="ignore"):
                found = _conjugate_of(self._penalty, own.named, v / length) * length * length
            return [found - own.shift / self.unit**2 if own.shift else found]

        return self._apply(xp, v, 1.0, params, conjugate)[0]

    def _pieces(self, *params):
        found = {values: _scaled_pieces(self._penalty, values) for values in self._settings()}
        if None in found.values():
            return None
        most = max(map(len, found.values()))

        def columns(values, step, z):
            rows = found[values] + [(np.inf, 0.0, 0.0)] * (most - len(found[values]))
            length = np.array([1 / self.unit, 1.0, 1 / self.unit])
            return [np.full(z.shape, part) for part in (np.array(rows) * length).ravel()]

        shape = np.broadcast_shapes(*map(np.shape, params))
        flat = self._over_settings(columns, np.zeros(shape), 1.0, params)
        return [flat[k : k + 3] for k in range(0, len(flat), 3)]

    def _domain(self, *params):
        params = [np.asarray(_to_numpy(p), dtype=float) for p in params]
        shape = np.broadcast_shapes(*(p.shape for p in params)) if params else ()

        def ends(values, step, z):
            own = own_unit(self._penalty, values)
            low, high = _slopes_at_infinity(self._penalty, own.values)
            length = own.length / self.unit
            return [np.full(z.shape, low * length), np.full(z.shape, high * length)]

        return tuple(self._over_settings(ends, np.zeros(shape), 1.0, params))


class OwnUnit(NamedTuple):
    """Parameters in a penalty's own unit of length, in which its numbers are of order one.

    ``phi(length w; given) = length^2 phi(w; values) + shift``; ``powers`` are the factors
    ``d value / d given``, ``couplings`` pairs ``(p, q)`` of parameters with
    ``d value_p / d given_q`` where the unit's power depends on ``q``.
    """

    length: float
    values: tuple
    named: dict
    shift: float
    powers: tuple
    couplings: dict

    def in_given_units(self, partials):
        """Derivatives in the parameters as given, from those in the own unit's parameters."""
        found = [part * power for part, power in zip(partials, self.powers, strict=True)]
        for (p, q), rate in self.couplings.items():
            found[q] = found[q] + partials[p] * rate
        return found


@functools.lru_cache(maxsize=4096)
def own_unit(penalty, given):
    """The own unit of a penalty: the largest length among its parameters, as a power of two."""
    found, named = _dimensions(penalty), dict(zip(penalty.names, given, strict=True))
    ones = (1.0,) * len(given)
    if found is None:
        return OwnUnit(1.0, given, named, 0.0, ones, {})
    dimension = [_evaluated(found.of[name], named) for name in penalty.names]
    exponents = [
        np.log2(abs(p)) / d for p, d in zip(given, dimension, strict=True) if p and d
    ]  # fmt: skip
    exponent = float(np.clip(np.rint(max(exponents, default=0.0)), -1000, 1000))
    length = 2.0**exponent
    values = tuple(times_power(p, length, -d) for p, d in zip(given, dimension, strict=True))
    weight = _evaluated(found.log_weight, named)
    couplings = {}
    for k, name in enumerate(penalty.names):
        for symbol in found.of[name].free_symbols:
            slope = _evaluated(found.of[name].diff(symbol), named)
            q = penalty.names.index(symbol.name)
            couplings[k, q] = -values[k] * exponent * np.log(2.0) * slope
    named = dict(zip(penalty.names, values, strict=True))
    shift = weight * exponent * np.log(2.0)
    powers = tuple(times_power(1.0, length, -d) for d in dimension)
    return OwnUnit(length, values, named, shift, powers, couplings)


def _evaluated(expression, values):
    """A formula of parameters at their values, which may be arrays; a float if it is a number."""
    from ..symbolic.evaluation import numeric

    if expression.is_number:
        return float(expression)
    symbols = tuple(sorted(expression.free_symbols, key=str))
    arrays = np.broadcast_arrays(*(np.asarray(values[s.name], dtype=float) for s in symbols))
    found = numeric(expression, symbols)(*arrays)
    return found if found.ndim else float(found)


def _padded(values):
    """Arrays padded with trailing axes, so that they broadcast from the first axis."""
    most = max(np.ndim(v) for v in values)
    return [np.reshape(v, np.shape(v) + (1,) * (most - np.ndim(v))) for v in values]


def _to_numpy(array):
    if isinstance(array, np.ndarray | float | int | np.number):
        return array
    if hasattr(array, "detach"):
        return array.detach().cpu().numpy()
    return np.asarray(array)


def _device(array):
    import array_api_compat

    return array_api_compat.device(array)


def _refuse_what_is_no_text(formula, support):
    ends = support if isinstance(support, tuple) else (support,)
    for name, value in (("formula", formula), *(("support", end) for end in ends)):
        number = isinstance(value, numbers.Real) and name == "support"
        if not (number or isinstance(value, str | np.number) or hasattr(value, "free_symbols")):
            raise InputTypeError(
                f"{name} is {reprlib.repr(value)}; expected a text such as 'lam*abs(z)' for the "
                "formula, and 'real', 'nonnegative' or a pair of numbers for the support."
            )


def check_names(formula, support="real", reserved=RESERVED):
    """The parameters of a formula and a support, in order; refused where a name is not free.

    Raises
    ------
    InputError
        If the formula has names but not ``z``, or a parameter has a reserved name.
    """
    names, in_formula = _names(formula, support)
    if in_formula and "z" not in in_formula:
        meant = re.sub(rf"\b{in_formula[-1]}\b", "z", formula)
        raise InputError(
            f"formula {formula!r} does not contain z, the coefficient: {', '.join(in_formula)} are "
            f"parameters; expected a penalty of z. Write it in z, such as {meant!r}."
        )
    taken = [name for name in names if name in reserved]
    if taken:
        raise InputError(
            f"formula {formula!r} has a parameter called {taken[0]!r}, which has a meaning of its "
            f"own; expected none of {', '.join(reserved)}. Rename it, such as {taken[0]}_0."
        )
    return list(names)


# -- kept between calls, by formula and numbers ---------------------------------------------
@functools.lru_cache(maxsize=256)
def _names(formula, support):
    from ..symbolic.penalty import Penalty

    if not isinstance(formula, str):
        raise InputTypeError(f"formula is {formula!r}; expected a string such as 'lam*abs(z)'.")
    from ..symbolic.parser import names_in

    return Penalty.from_text(formula, support).names, tuple(names_in(formula))


@functools.lru_cache(maxsize=256)
def _penalty(formula, support, names, signed):
    from ..symbolic.penalty import Penalty

    return Penalty.from_text(formula, support, names, signed)


@functools.lru_cache(maxsize=256)
def _dimensions(penalty):
    from ..symbolic.dimensions import dimensions

    return dimensions(penalty.expression, penalty.parameters, penalty.low, penalty.high)


@functools.lru_cache(maxsize=4096)
def _envelope(penalty, values, step):
    from ..symbolic.inverse import with_inverses

    values = dict(zip(penalty.names, values, strict=True))
    return with_inverses(penalty.envelope(values, step), penalty, values, step)


@functools.lru_cache(maxsize=256)
def _closed_form(penalty, values):
    from ..symbolic.prox import solve_prox

    found = solve_prox(penalty, dict(zip(penalty.names, values, strict=True))).expression
    return None if found is None else str(found)


@functools.lru_cache(maxsize=512)
def _facts_of(penalty, values):
    from ..symbolic.facts import facts

    return facts(penalty, dict(zip(penalty.names, values, strict=True)))


@functools.lru_cache(maxsize=512)
def _slopes_at_infinity(penalty, values):
    from ..symbolic.conjugate import slopes_at_infinity

    return slopes_at_infinity(penalty, dict(zip(penalty.names, values, strict=True)))


@functools.lru_cache(maxsize=4096)
def _scaled_pieces(penalty, values):
    """The pieces of the prox as rows (start, slope, constant), or None where it is curved."""
    from ..symbolic.linear import linear_pieces

    own = own_unit(penalty, values)
    rows = linear_pieces(_envelope(penalty, own.values, 1.0))
    return rows and [(start * own.length, a, b * own.length) for start, a, b in rows]


def _conjugate_of(penalty, values, v):
    from ..symbolic.conjugate import conjugate

    return conjugate(penalty, values, v)


def _derivatives(penalty, values, step, v):
    from ..symbolic.facts import prox_derivatives

    envelope = _envelope(penalty, tuple(values.values()), step)
    return prox_derivatives(penalty, values, step, v, envelope)
