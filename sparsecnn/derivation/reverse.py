"""From an activation back to its prior, or the pair of points that proves there is none.

A function of one variable is the prox of some penalty iff it is nondecreasing, of a convex one iff
it is also 1-Lipschitz (Gribonval & Nikolova 2020; Moreau 1965). A map of several variables that is
the prox of something has ``<x - y, f(x) - f(y)> >= 0``, and a symmetric Jacobian where it has one.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import sympy as sp

from ..activations import ACTIVATIONS
from ..layers import Activation
from ..priors import SymbolicPrior
from ..symbolic.parser import names_in, parse, symbol
from ..symbolic.penalty import Penalty, Z, function_of, number, numeric
from ..symbolic.prox import X
from ..validation import InputError, InputTypeError
from .explanation import Explanation
from .inverse import ActivationPrior
from .known import KNOWN, TORCH_MODULES, KnownActivation
from .vectors import VECTOR_MAPS, explain_vector

#: values beyond this are never met as inputs of a layer; verdicts of grids speak of this range
REACH = 60.0


def explain(activation, *, dim=None):
    """Say which model an activation implements: its penalty and prior, or why there is none.

    Parameters
    ----------
    activation : str, callable, sympy expression, Activation or torch.nn.Module
        A name of ``torch.nn.functional``; a formula in ``x`` such as ``"x/(1 + abs(x))"``; a
        function of arrays; an expression with one free symbol; a layer.
    dim : int, optional
        For a callable that maps vectors (last axis): their length.

    Returns
    -------
    Explanation

    References
    ----------
    Gribonval & Nikolova 2020, A characterization of proximity operators. Combettes & Pesquet 2020,
    Deep neural network structures solving variational inequalities.

    Examples
    --------
    >>> explain("softshrink").penalty
    'lam*abs(z)'
    >>> found = explain("gelu")
    >>> found.is_prox, found.witness["f(x)"] > found.witness["f(y)"]
    (False, True)
    """
    if isinstance(activation, Activation):
        activation = activation.prior
    if hasattr(activation, "prox_vjp"):
        return _of_prior(activation)
    if isinstance(activation, str):
        return _of_text(activation)
    if isinstance(activation, sp.Basic):
        return _of_expression(activation)
    if type(activation).__module__.startswith("torch."):
        return _of_module(activation)
    if callable(activation):
        if dim is not None:
            return explain_vector(activation, dim, getattr(activation, "__name__", "map"))
        return _of_callable(activation)
    raise InputTypeError(
        f"activation is {activation!r}; expected a name, a formula in x, a callable, a SymPy "
        "expression or a layer."
    )


def activation_values(name, parameters=None):
    """The function of an activation in the table, on arrays."""
    known = KNOWN[name]
    return _function(known.formula, {**known.parameters, **(parameters or {})})


def _of_prior(prior):
    found = _scalar(lambda x: prior.prox(x), repr(prior), KnownActivation(""), {}, "confirmed")
    return dataclasses.replace(
        found,
        prior=prior,
        penalty=prior.formula or None,
        proper=prior.is_proper,
        sparse=prior.is_sparse,
        convex=prior.is_convex,
    )


def _of_text(text):
    name = text.strip().lower() if text.strip().lower() in KNOWN else text.strip()
    if name in VECTOR_MAPS:
        return explain_vector(VECTOR_MAPS[name], 4, name)
    if name in KNOWN:
        known = KNOWN[name]
        return _named(name, known.parameters)
    if text.isidentifier() and text != "x":
        raise InputError(
            f"activation is {text!r}; expected a formula in x or one of "
            f"{sorted({*KNOWN, *VECTOR_MAPS})}."
        )
    names = names_in(text, "activation")
    if any(n != "x" for n in names):
        raise InputError(f"activation {text!r} has the free names {names}; expected only x.")
    return _scalar(_function(text, {}), text, KnownActivation(text), {}, "confirmed")


@functools.lru_cache(maxsize=64)
def _named_cached(name, parameters):
    known, values = KNOWN[name], dict(parameters)
    if name == "threshold" and values["value"] <= values["threshold"]:
        known = _threshold_penalty(known, values)
    return _scalar(_function(known.formula, values), name, known, values, "confirmed")


def _named(name, parameters):
    return _named_cached(name, tuple(parameters.items()))


def _threshold_penalty(known, values):
    """``x`` above the threshold, a constant ``v <= threshold`` below: a point mass at ``v``."""
    v, t = sp.Rational(repr(values["value"])), sp.Rational(repr(values["threshold"]))
    if v == t:
        penalty = "0"
    else:
        penalty = f"Piecewise((0, Eq(z, {v})), (({t} - ({v}))**2/2, True))"
    support = (float(v), float("inf"))
    return dataclasses.replace(known, penalty=penalty, support=support)


def _of_expression(expression):
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) != 1:
        raise InputError(f"activation has the symbols {symbols}; expected one, such as x.")
    inner = expression.subs(symbols[0], X)
    function = numeric(inner, (X,))
    return _scalar(function, str(expression), KnownActivation(""), {}, "confirmed", inner)


def _of_module(module):
    kind = type(module).__name__
    if kind not in TORCH_MODULES:
        raise InputError(f"torch.nn.{kind} is no activation this table knows; pass a function.")
    name, attributes = TORCH_MODULES[kind]
    if name in VECTOR_MAPS:
        return explain_vector(VECTOR_MAPS[name], 4, name)
    if kind == "GELU" and getattr(module, "approximate", "none") == "tanh":
        name = "gelu_tanh"
    if kind == "Softplus" and getattr(module, "beta", 1) != 1:
        beta = float(module.beta)
        function = _function(f"log(1 + exp({beta!r}*x))/{beta!r}", {})
        return _scalar(function, f"softplus, beta = {beta:g}", KnownActivation(""), {}, "confirmed")
    values = dict(KNOWN[name].parameters)
    for parameter, attribute in attributes.items():
        if isinstance(attribute, tuple):  # RReLU in evaluation: the mean slope
            values[parameter] = float(np.mean([getattr(module, a) for a in attribute]))
        else:
            found = (
                np.ravel(getattr(module, attribute).detach().numpy())
                if hasattr(getattr(module, attribute), "detach")
                else np.ravel(getattr(module, attribute))
            )
            values[parameter] = float(found[0])
    if values.get("a") == 0 and name != "identity":
        return _named("relu", {})  # no slope below zero
    return _named(name, values)


def _of_callable(function):
    name = getattr(function, "__name__", repr(function))
    x = np.linspace(-2, 2, 5)
    y = np.asarray(function(x), dtype=float)
    if y.shape != x.shape:
        raise InputError(
            f"{name} maps shape {x.shape} to {y.shape}; expected an elementwise function, or "
            "dim=... for a map of vectors."
        )
    return _scalar(function, name, KnownActivation(""), {}, "sampled")


def _function(formula, parameters):
    symbols = {"x": X, **{n: symbol(n, signed=v <= 0) for n, v in parameters.items()}}
    expression = parse(formula, symbols, "activation").subs(X, Z)
    return function_of(expression, [symbols[n] for n in parameters], parameters)


# -- verdicts -------------------------------------------------------------------------------
def _grid():
    near = np.geomspace(1e-6, REACH, 1500)
    return np.unique(np.concatenate([-near, near, np.linspace(-12, 12, 4801)]))


def _scalar(function, name, known, values, strength, expression=None):
    x = _grid()
    with np.errstate(all="ignore"):
        y = np.asarray(function(x), dtype=float)
    if not np.isfinite(y).all():
        bad = x[~np.isfinite(y)][0]
        raise InputError(f"{name} is not finite at x = {bad:g}; expected finite values.")
    falls = np.diff(y) < -1e-9 * np.maximum(1.0, np.abs(y[1:]))
    if falls.any():
        return _refuted(function, name, x, y, falls)
    slopes = _slopes(function, x)
    largest = float(slopes.max())
    facts = {"convex": largest <= 1 + 1e-6, "largest_slope": largest, **_zeros(x, y)}
    facts["posterior_mean"] = _posterior_reading(known, x, y, slopes)
    prior, penalty, evidence = _prior_of(function, name, known, values, facts, strength)
    reason = "nondecreasing" + (
        " and 1-Lipschitz, so the prox of a convex penalty (Moreau)"
        if facts["convex"]
        else ", so the prox of a penalty that is not convex (Gribonval and Nikolova)"
    )
    if evidence == "sampled":
        reason += f"; tested at {len(x)} points in [-{REACH:g}, {REACH:g}]"
    proper = prior.is_proper if isinstance(prior, SymbolicPrior) else facts.pop("proper")
    facts.pop("proper", None)
    return Explanation(name, True, evidence, prior, penalty, proper=proper, reason=reason, **facts)


def _slopes(function, x):
    """Difference quotients at two scales; a jump shows as a huge one."""
    with np.errstate(all="ignore"):
        h = 1e-5
        near = (function(x + h) - function(x - h)) / (2 * h)
    return np.asarray(near, dtype=float)


def _zeros(x, y):
    """Dead zone, and whether the tails of ``exp(-phi)`` are integrable."""
    zero = np.abs(y) <= 0
    width = np.ptp(x[zero]) if zero.sum() > 1 else 0.0
    # phi'(z) = sigma^{-1}(z) - z: the prior is proper if it exceeds 1/z where z is unbounded
    far = np.array([20.0, 40.0, REACH])
    ends = []
    for sign in (-1, 1):
        at = np.interp(sign * far, x, y)
        unbounded = abs(at[-1] - at[0]) > 0.02 * abs(at[-1]) and abs(at[-1]) > 2
        ends.append(bool(((far - sign * at) * sign * at > 1.05).all()) if unbounded else True)
    return {"sparse": bool(width > 1e-3), "proper": all(ends)}


def _posterior_reading(known, x, y, slopes):
    if known.posterior_mean:
        return known.posterior_mean
    middle = np.abs(x) < 5
    flat = (np.diff(y[middle]) == 0).any()
    kinks = np.abs(np.diff(slopes[middle])) > 0.02 + 20 * np.diff(x[middle])
    return False if flat or kinks.any() else None


def _refuted(function, name, x, y, falls):
    """A decreasing pair, rounded to numbers a reader can check by hand if such a pair exists."""
    k = int(np.flatnonzero(falls)[0])
    witness = None
    for reach, digits in ((4, 0), (8, 0), (8, 1), (8, 2), (8, 3)):
        nice = np.unique(np.round(x[np.abs(x) <= reach], digits)) + 0.0
        at = np.asarray(function(nice), dtype=float)
        best_before = np.maximum.accumulate(at)
        gap = best_before - at
        j = int(np.argmax(gap))
        if gap[j] > 1e-4:
            i = int(np.argmax(at[: j + 1]))
            witness = (nice[i], nice[j], at[i], at[j])
            break
    if witness is None:
        witness = (x[k], x[k + 1], y[k], y[k + 1])
    low, high, f_low, f_high = (float(v) for v in witness)
    return Explanation(
        name,
        False,
        "proved",
        witness={"x": low, "y": high, "f(x)": f_low, "f(y)": f_high, "fall": f_low - f_high},
        convex=False,
        reason=f"decreasing: f({low:g}) - f({high:g}) = {f_low - f_high:.4g} > 0, and a prox is "
        "nondecreasing",
    )


def _prior_of(function, name, known, values, facts, strength):
    """The prior, its penalty in words, and the strength of the evidence."""
    if known.penalty:
        used = {n: v for n, v in values.items() if n in _names_of(known)}
        prior = SymbolicPrior(known.penalty, support=known.support, **used)
        x = np.concatenate([np.linspace(-9, 9, 361), [-30.0, 25.0]]) + 0.0123
        error = float(np.abs(prior.prox(x) - function(x)).max())
        if error <= 1e-9:
            return prior, known.penalty, _symbolic_strength(known, values)
    y = function(np.array([-REACH]))
    prior = ActivationPrior(
        function,
        name,
        convex=facts["convex"],
        sparse=facts["sparse"],
        proper=facts["proper"],
        nonnegative=bool(y[0] >= 0),
    )
    return prior, "phi(sigma(x)) = x sigma(x) - int_0^x sigma - sigma(x)^2/2", strength


def _names_of(known):
    texts = [known.penalty]
    if not isinstance(known.support, str):
        texts += [e for e in known.support if isinstance(e, str)]
    return {n for t in texts for n in names_in(t) if n != "z"}


def _symbolic_strength(known, values):
    """ "proved" if ``sigma(z + phi'(z)) = z`` simplifies on every piece, else "confirmed"."""
    signed = [n for n, v in values.items() if v <= 0]
    penalty = Penalty.from_text(known.penalty, known.support, tuple(values), signed)
    symbols = {s.name: s for s in penalty.parameters}
    sigma = Penalty(parse(known.formula, {"x": Z, **symbols}, "activation"), penalty.parameters)
    for piece in penalty.pieces(values):
        forward = Z + piece.slope
        middle = _middle(piece, values, penalty)
        at = float(
            numeric(forward, (Z, *penalty.parameters))(np.array([middle]), *values.values())[0]
        )
        inner = next(
            p.value
            for p, c in zip(sigma.pieces(values), sigma.curves(values), strict=True)
            if c.low <= at <= c.high
        )
        try:
            if sp.simplify(inner.subs(Z, forward) - Z) != 0:
                return "confirmed"
        except (NotImplementedError, TypeError, ValueError):
            return "confirmed"
    return "proved"


def _middle(piece, values, penalty):
    from ..symbolic.solve import probe_points

    low, high = number(piece.low, values), number(piece.high, values)
    return float(probe_points(low, high, 3)[1])


#: names that layers of the package know; a test compares both tables
LAYER_NAMES = tuple(ACTIVATIONS)
