"""Which unit every parameter of a formula carries: dimensional analysis of a penalty.

A code has dimension 1 and a penalty dimension 2, because it is added to ``(x - z)^2 / 2``. A
parameter of dimension ``d`` is divided by ``s**d`` when codes are measured in units of ``s``. Knows
no prior.
"""

from __future__ import annotations

import dataclasses
import functools

import sympy as sp

from .evaluation import Z


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """How a penalty changes with the unit ``s``: ``phi(s z; p) = s^2 phi(z; p / s^d) + k log s``.

    Attributes
    ----------
    of : dict of str to sympy.Expr
        Dimension ``d`` of every parameter: a number, or a formula of parameters without dimension.
    log_weight : sympy.Expr
        ``k``, which only terms such as ``mu*log(z)`` have.
    """

    of: dict
    log_weight: sp.Expr


class _MixedUnits(ValueError):
    """The formula adds or compares what has different units, such as ``abs(z) - 1``."""


@functools.lru_cache(maxsize=256)
def dimensions(expression, parameters, low=-sp.oo, high=sp.oo):
    """Dimension of every parameter, or None if the formula mixes units.

    Parameters
    ----------
    expression : sympy.Expr
        A penalty of ``Z`` and the parameters.
    parameters : tuple of sympy.Symbol
    low, high : sympy.Expr
        Ends of the support.

    Returns
    -------
    Dimensions or None
        Where several choices are consistent, as in ``a*b*abs(z)``, later parameters get 0.

    Examples
    --------
    >>> lam, eps = sp.symbols("lam eps", positive=True)
    >>> dimensions(lam * sp.log(1 + abs(Z) / eps), (lam, eps)).of
    {'lam': 2, 'eps': 1}
    >>> dimensions(lam * abs(Z) + Z**4, (lam,)) is None
    True
    """
    analysis = _Analysis(parameters)
    terms, logs = [], []
    for term in sp.Add.make_args(expression):
        weight, log = _logarithm(term)
        (terms.append(term) if log is None else logs.append((weight, log)))
    try:
        for term in terms:
            analysis.require(analysis.dimension(term), 2)
        for weight, _ in logs:
            analysis.require(analysis.dimension(weight), 2)
        of_logs = [analysis.dimension(log.args[0]) for _, log in logs]
        for end in (low, high):
            analysis.require(analysis.dimension(end), 1)
        found = analysis.solution()
    except _MixedUnits:
        return None
    of = {p.name: found[u] for p, u in analysis.unknown.items()}
    if any(of[s.name] != 0 for d in of.values() for s in d.free_symbols):
        return None
    shift = [w * sp.expand(sp.sympify(d or 0, strict=True).subs(found))
             for (w, _), d in zip(logs, of_logs, strict=True)]  # fmt: skip
    return Dimensions(of, sp.Add(*shift))


def _logarithm(term):
    """``(weight, log)`` of a term that is a weight without ``Z`` times a logarithm."""
    weight, rest = term.as_independent(Z, as_Add=False)
    return (weight, rest) if isinstance(rest, sp.log) else (term, None)


class _Analysis:
    """Linear equations between the dimensions that a formula needs to be consistent."""

    def __init__(self, parameters):
        self.unknown = {p: sp.Dummy(f"d_{p}") for p in parameters}
        self._equations = []

    def require(self, dimension, wanted):
        if dimension is not None:
            self._equations.append(dimension - wanted)

    def dimension(self, e):
        """The dimension of ``e``; None if it may be any (zero and infinity)."""
        if e == Z:
            return sp.S.One
        if e in self.unknown:
            return self.unknown[e]
        if e.is_zero or e.is_infinite or e is sp.nan:
            return None
        if e.is_number:
            return sp.S.Zero
        if isinstance(e, sp.Mul):
            parts = [self.dimension(a) for a in e.args]
            return None if None in parts else sp.Add(*parts)
        if isinstance(e, sp.Add | sp.Abs | sp.Max | sp.Min):
            return self._common([self.dimension(a) for a in e.args])
        if isinstance(e, sp.Piecewise):
            for _, condition in e.args:
                self._compare(condition)
            return self._common([self.dimension(value) for value, _ in e.args])
        if isinstance(e, sp.Pow):
            return self._of_power(*e.args)
        parts = [self.dimension(a) for a in e.args]
        if not isinstance(e, sp.sign):  # a sign has no unit; other functions are of numbers
            for part in parts:
                self.require(part, 0)
        return sp.S.Zero

    def _of_power(self, base, exponent):
        of_base = self.dimension(base)
        self.require(self.dimension(exponent), 0)
        unsure = of_base is not None and of_base.has(*self.unknown.values())
        if exponent.has(Z) or (unsure and exponent.free_symbols):
            self.require(of_base, 0)
            return sp.S.Zero
        return None if of_base is None else of_base * exponent

    def _compare(self, condition):
        if isinstance(condition, sp.core.relational.Relational):
            self._common([self.dimension(a) for a in condition.args])
        else:
            for part in condition.args:
                self._compare(part)

    def _common(self, parts):
        known = [p for p in parts if p is not None]
        for other in known[1:]:
            self.require(other, known[0])
        return known[0] if known else None

    def solution(self):
        """The dimensions by unknown, free ones 0.

        Raises
        ------
        _MixedUnits
            If there is none.
        """
        unknowns, found = list(self.unknown.values()), {}
        for equation in self._equations:
            equation = sp.expand(sp.sympify(equation, strict=True).subs(found))
            if equation == 0:
                continue
            mine = [u for u in unknowns if equation.has(u)]
            slope = sp.diff(equation, mine[0]) if mine else sp.S.Zero
            if slope == 0 or slope.has(*unknowns):
                raise _MixedUnits
            answer = sp.expand(-equation.subs(mine[0], 0) / slope)
            found = {u: sp.expand(value.subs(mine[0], answer)) for u, value in found.items()}
            found[mine[0]] = answer
        free = {u: sp.S.Zero for u in unknowns if u not in found}
        return {u: sp.simplify(found.get(u, u).subs(free)) for u in unknowns}
