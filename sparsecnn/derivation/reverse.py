"""From an activation back to its prior, or the pair of points that proves there is none.

A function of one variable is the prox of some penalty iff it is nondecreasing, of a convex one iff
it is also 1-Lipschitz (Gribonval & Nikolova 2020; Moreau 1965). A map of several variables that is
the prox of something has ``<x - y, f(x) - f(y)> >= 0``, and a symmetric Jacobian where it has one.
"""

from __future__ import annotations

import dataclasses
import functools
import reprlib

import numpy as np
import sympy as sp

from ..activations import ACTIVATIONS, known_name, meant
from ..layers import Activation
from ..symbolic.cancellation import steady
from ..symbolic.deadline import within
from ..symbolic.evaluation import Z
from ..symbolic.parser import FUNCTIONS, names_in, parse, refuse_endless, symbol
from ..validation import InputError, InputTypeError
from .callables import along_rows, elementwise, refuse_class
from .known import KNOWN, VARIANTS, KnownActivation
from .modules import (
    REFUSED,
    TORCH_MODULES,
    array_function,
    is_torch,
    name_of,
    normalisation,
    parameters_of,
)
from .vectors import VECTOR_MAPS, check_dim, explain_vector
from .verdict import Subject, exact, explain_black_box, explain_scalar


def explain(activation, *, dim=None, time_limit=20.0):
    """Say which model an activation implements: its penalty and prior, or why there is none.

    Parameters
    ----------
    activation : str, callable, sympy expression, Activation or torch.nn.Module
        A name of ``torch.nn.functional``; a formula in ``x`` such as ``"x/(1 + abs(x))"``; a
        function of arrays (or tensors); an expression with one free symbol; a layer; an activation
        module of torch, or a Sequential of elementwise ones.
    dim : int, optional
        For a callable that maps vectors (last axis): their length.
    time_limit : float or None
        Seconds of computing after which it stops with an error; None sets no limit.

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
    refuse_class(activation, "activation")
    what = f"explaining {reprlib.repr(activation)}"
    return within(time_limit, lambda: _explained(activation, dim), what, _WAY_OUT)


_WAY_OUT = (
    "Write the formula with fewer functions, pass it as a function of arrays, which is sampled, or "
    "pass a larger time_limit (in seconds; None for no limit)."
)


def _explained(activation, dim):
    if isinstance(activation, Activation):
        activation = activation.prior
    if hasattr(activation, "prox_vjp"):
        return _of_prior(activation)
    if isinstance(activation, str):
        return _of_text(activation)
    if isinstance(activation, sp.Basic):
        return _of_expression(activation)
    if hasattr(activation, "named_parameters") and is_torch(activation) and dim is None:
        return _of_module(activation)
    if callable(activation):
        if dim is not None:
            function = along_rows(activation, check_dim(dim))
            return explain_vector(function, dim, name_of(activation))
        return _of_callable(activation)
    if is_torch(activation) or type(activation).__module__.startswith("torch."):
        return _of_module(activation)
    raise InputTypeError(
        f"activation is {activation!r}; expected a name, a formula in x, a callable, a SymPy "
        "expression or a layer."
    )


def activation_values(name, parameters=None):
    """The function of an activation in the table, on arrays."""
    known = KNOWN[name]
    return _expression(known.formula, {**known.parameters, **(parameters or {})})[1]


def _expression(formula, parameters):
    """``(exact expression of Z, function of arrays)``; floats are taken as what they print."""
    symbols = {"x": Z, **{n: symbol(n, signed=v <= 0) for n, v in parameters.items()}}
    expression = parse(formula, symbols, "activation")
    whole = exact(expression, parameters)
    function = steady(whole)
    return whole, lambda x: function(np.asarray(x, dtype=float))


# -- kinds of input -------------------------------------------------------------------------
def _of_prior(prior):
    if not prior.is_separable:
        raise InputError(
            f"{prior!r} couples coefficients; its prox is known to be one. Explain the prox of a "
            "scalar prior, or pass dim=... with a function."
        )
    found = explain_scalar(Subject(repr(prior), prior.prox))
    return dataclasses.replace(
        found,
        prior=prior,
        penalty=prior.formula or None,
        proper=prior.is_proper,
        sparse=prior.is_sparse,
        convex=prior.is_convex,
    )


def _of_text(text):
    table = (*KNOWN, *VECTOR_MAPS)
    name = known_name(text, table) or text.strip()
    if name in VECTOR_MAPS:
        return explain_vector(VECTOR_MAPS[name], 4, name)
    if name in KNOWN:
        return _named(name)
    if name.isidentifier() and name != "x":
        raise InputError(
            f"activation is {text[:80]!r}; expected a formula in x or one of {sorted(table)}."
            + meant(name, table)
        )
    names = names_in(text, "activation")
    if any(n != "x" for n in names):
        raise InputError(f"activation {text!r} has the free names {names}; expected only x.")
    expression, function = _expression(text, {})
    known = KnownActivation(name)
    return explain_scalar(Subject(name, function, expression, known))


@functools.lru_cache(maxsize=64)
def _named_cached(name, items):
    return explain_scalar(_subject(name, dict(items)))


def _named(name, values=None):
    values = {**(KNOWN.get(name) or VARIANTS[name]).parameters, **(values or {})}
    return _named_cached(name, tuple(values.items()))


def _subject(name, values):
    known = KNOWN.get(name) or VARIANTS[name]
    if name == "hardtanh":
        known = _clip(values)
        values = {n: v for n, v in values.items() if np.isfinite(v)}
    if name == "threshold" and values["value"] <= values["threshold"]:
        known = _threshold_penalty(known, values)
    if known.parameters.keys() == {"a"} and values["a"] == 0:
        known, values = KNOWN["relu"], {}  # no slope, or no curve, below zero
    known = dataclasses.replace(known, parameters=values)
    expression, function = _expression(known.formula, values)
    return Subject(name, function, expression, known)


def _clip(values):
    """``hardtanh`` with ends that may be infinite."""
    formula = "x"
    formula = f"max({formula}, low)" if np.isfinite(values["low"]) else formula
    formula = f"min({formula}, high)" if np.isfinite(values["high"]) else formula
    ends = tuple(n if np.isfinite(values[n]) else values[n] for n in ("low", "high"))
    return KnownActivation(formula, values, "0", ends)


def _threshold_penalty(known, values):
    """``x`` above the threshold, a constant ``v <= threshold`` below: a point mass at ``v``."""
    v, t = sp.Rational(repr(values["value"])), sp.Rational(repr(values["threshold"]))
    if v == t:
        penalty = "0"
    else:
        penalty = f"Piecewise((0, Eq(z, {v})), ({(t - v) ** 2 / 2}, True))"
    support = (float(v), float("inf"))
    return dataclasses.replace(known, penalty=penalty, support=support)


def _of_expression(expression):
    _refuse_foreign(expression)
    refuse_endless(expression, "activation")
    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) != 1:
        raise InputError(f"activation has the symbols {symbols}; expected one, such as x.")
    inner = expression.subs(symbols[0], Z)
    inner = inner.xreplace({f: sp.Rational(str(f)) for f in inner.atoms(sp.Float)})
    function = steady(inner)
    name = str(expression)
    return explain_scalar(Subject(name, lambda x: function(np.asarray(x, float)), inner))


_KINDS = (sp.Symbol, sp.Rational, sp.Float, sp.NumberSymbol, sp.Add, sp.Mul, sp.Pow, sp.exp,
          sp.Piecewise, sp.functions.elementary.piecewise.ExprCondPair, sp.And, sp.Or,
          sp.core.relational.Relational, sp.logic.boolalg.BooleanAtom, sp.Abs, sp.sign, sp.log,
          sp.sin, sp.cos, sp.tan, sp.sinh, sp.cosh, sp.tanh, sp.asin, sp.acos, sp.atan, sp.asinh,
          sp.acosh, sp.atanh, sp.erf, sp.erfc, sp.Max, sp.Min)  # fmt: skip


def _refuse_foreign(expression):
    """Refuse a SymPy expression with a part that formulas may not have."""
    foreign = {
        str(part) if not part.args else type(part).__name__
        for part in sp.preorder_traversal(expression)
        if not isinstance(part, _KINDS)
    }
    if foreign or not isinstance(expression, sp.Expr):
        what = f"holds {', '.join(sorted(foreign))}" if foreign else "is a condition"
        raise InputError(
            f"activation {str(expression)[:80]!r} {what}, which is not supported; expected a real "
            f"expression of + - * / **, Piecewise and {', '.join(FUNCTIONS)}. Write it with these, "
            "or pass a function."
        )


def _of_callable(function):
    return explain_black_box(name_of(function), elementwise(function))


# -- modules of torch -----------------------------------------------------------------------
def _of_module(module):
    kind = type(module).__name__
    if kind in REFUSED:
        raise InputError(f"torch.nn.{kind} {REFUSED[kind]}; explain its parts.")
    if kind in ("LayerNorm", "RMSNorm"):
        return explain_vector(*normalisation(module), kind)
    if kind == "Sequential":
        return explain_scalar(_composition(module))
    if kind not in TORCH_MODULES:
        raise InputError(
            f"torch.nn.{kind} is no activation this table knows; pass it with dim=... as a map of "
            "vectors, or sc.read the network it stands in."
        )
    name = TORCH_MODULES[kind][0]
    if name in VECTOR_MAPS:
        return explain_vector(VECTOR_MAPS[name], 4, name)
    name, values, note = parameters_of(module)
    if any(np.ndim(v) for v in values.values()):
        return _by_channel(name, values["a"])
    if callable(module) and not _computes(module, name, values):
        return _of_callable(module)  # a hook or a changed forward: what it computes counts
    found = _named(name, values)
    if note:
        found = dataclasses.replace(found, reason=f"{found.reason}; {note}")
    return found


def _computes(module, name, values):
    """Whether a module's own forward is the function of its row."""
    x = np.linspace(-50, 50, 801) + 0.0123
    if getattr(module, "num_parameters", 1) > 1:  # PReLU wants its channels
        x = np.tile(x[:, None], (1, module.num_parameters))
    values = {**(KNOWN.get(name) or VARIANTS[name]).parameters, **values}
    expected = _subject(name, values).function(x)
    return bool(np.allclose(array_function(module)(x), expected, rtol=1e-9, atol=1e-9))


def _by_channel(name, slopes):
    """PReLU with one slope for each channel: the verdict of the worst, the prior of all."""
    found = [_named(name, {"a": float(a)}) for a in slopes]
    worst = min(range(len(found)), key=lambda k: (found[k].is_prox, -found[k].largest_slope))
    verdict = found[worst]
    reason = f"one slope for each channel; channel {worst}: {verdict.reason}"
    prior = None
    if verdict.is_prox and (slopes > 0).all():
        prior = dataclasses.replace(verdict.prior, a=np.asarray(slopes))
    elif verdict.is_prox:
        reason += "; channels with slope 0 have the penalty 0 on z >= 0"
    sparse = None if not verdict.is_prox else bool((slopes == 0).any())
    return dataclasses.replace(
        verdict, prior=prior, reason=reason, parameters={"a": slopes.tolist()}, sparse=sparse
    )


def _composition(module):
    """A Sequential of elementwise activations as one function."""
    parts = []
    for part in module:
        kind = type(part).__name__
        if kind not in TORCH_MODULES or TORCH_MODULES[kind][0] in VECTOR_MAPS:
            raise InputError(
                f"the Sequential holds {kind}; expected elementwise activations only. Pass it with "
                "dim=... as a map of vectors."
            )
        name, values, _ = parameters_of(part)
        values = {**(KNOWN.get(name) or VARIANTS[name]).parameters, **values}
        if any(np.ndim(v) for v in values.values()):
            raise InputError("the Sequential holds a PReLU with several slopes; explain it alone.")
        parts.append(_subject(name, values))
    if not parts:
        return _subject("identity", {})
    if len(parts) == 1:
        return parts[0]

    def function(x):
        return functools.reduce(lambda y, part: part.function(y), parts, x)

    name = " then ".join(part.name for part in parts)
    whole = functools.reduce(lambda e, part: part.expression.subs(Z, e), parts, Z)
    return Subject(name, function, whole, parts=tuple(parts))


__all__ = ["LAYER_NAMES", "activation_values", "array_function", "explain"]

#: names that layers of the package know; a test compares both tables
LAYER_NAMES = tuple(ACTIVATIONS)
