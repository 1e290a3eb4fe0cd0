"""Symbolic expressions in the coefficient ``z`` as numbers: exact, at a point, and of arrays."""

from __future__ import annotations

import functools
import threading

import numpy as np
import sympy as sp

Z = sp.Symbol("z", real=True)
#: solvers run in threads, and mpmath keeps its precision in one global place
SYMBOLS = threading.RLock()


def number(expression, values, digits=17):
    """Value of a symbolic expression at parameter values (and ``z``); complex if it is complex."""
    table = {s: sp.Float(float(values[s.name]), digits) for s in expression.free_symbols}
    result = complex(expression.xreplace(table).evalf(digits)) if table else complex(expression)
    return result.real if abs(result.imag) <= 1e-12 * max(1.0, abs(result)) else result


_log_cosh = sp.Function("_log_cosh")
_log_one_plus_exp = sp.Function("_log_one_plus_exp")
_expit = sp.Function("expit")
NUMERIC = {
    "_log_cosh": lambda u: np.abs(u) + np.log1p(np.exp(-2 * np.abs(u))) - np.log(2.0),
    "_log_one_plus_exp": lambda u: np.logaddexp(0.0, u),
    "log1p": np.log1p,
    "LambertW": lambda u, k=0: _lambert(u, k),
}


def _lambert(u, k):
    from scipy.special import lambertw

    return lambertw(u, int(k)).real


def tidy(expression):
    """Powers joined; ``sinh`` as ``tanh cosh``, so that their quotients cannot overflow."""
    expression = sp.powsimp(expression)
    if expression.has(sp.cosh) and expression.has(sp.sinh):
        expression = sp.expand(expression.replace(sp.sinh, lambda u: sp.tanh(u) * sp.cosh(u)))
    return expression


def stable(expression):
    """The same value without overflow: ``log cosh``, ``log(1 + exp)``, ``log(1 + u)``."""

    def rewrite(u):
        if isinstance(u, sp.cosh):
            return _log_cosh(u.args[0])
        rest = u - 1
        if isinstance(rest, sp.exp):
            return _log_one_plus_exp(rest.args[0])
        if isinstance(u, sp.Add) and u.has(Z) and not rest.has(sp.S.One - 2) and rest.is_positive:
            return sp.Function("log1p")(rest)
        return sp.log(u)

    return _sigmoids(expression).replace(sp.log, rewrite)


def _sigmoids(expression):
    """``exp(k u)/(1 + exp(u))^n`` as powers of logistic sigmoids, which cannot overflow."""

    def rewrite(product):
        for power in product.args:
            base, n = power.as_base_exp()
            if not (isinstance(base - 1, sp.exp) and n.is_Integer and n < 0):
                continue
            u = (base - 1).args[0]
            others = [f for f in product.args if f != power]
            k = sum((f.args[0] for f in others if isinstance(f, sp.exp)), sp.S.Zero) / u
            if k.is_Integer and 0 <= k <= -n:
                rest = sp.Mul(*(f for f in others if not isinstance(f, sp.exp)))
                return rest * _expit(u) ** k * _expit(-u) ** (-n - k)
        return product

    return expression.replace(lambda e: isinstance(e, sp.Mul), rewrite)


@functools.lru_cache(maxsize=1024)
def numeric(expression, arguments):
    """``expression`` as a function of arrays, one for each symbol in ``arguments``.

    The expression was rebuilt from a whitelisted tree, so the code that is generated holds nothing
    a user typed.
    """
    expression = expression.xreplace({r: r.evalf(20) for r in expression.atoms(sp.CRootOf)})
    function = sp.lambdify(arguments, stable(expression), modules=[NUMERIC, "scipy", "numpy"])

    def evaluate(first, *rest):
        with np.errstate(all="ignore"):
            value = np.asarray(function(first, *rest))
        if np.iscomplexobj(value):
            real = np.abs(value.imag) <= 1e-12 * np.maximum(1.0, np.abs(value))
            value = np.where(real, value.real, np.nan)
        return np.broadcast_to(np.asarray(value, dtype=np.float64), np.shape(first))

    return evaluate


def bound(function, arguments):
    """A function of ``z`` and parameters, at these parameters."""
    return lambda z: function(z, *arguments)
