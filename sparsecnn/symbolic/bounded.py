"""SymPy's open-ended operations, asked only where they are known to end soon.

``simplify`` and ``limit`` may run for hours on a formula that mixes several transcendental
functions; no derivation may hang, so such a formula stays as it is and is left to numbers.
"""

from __future__ import annotations

import sympy as sp

#: expressions with one kind of function, and any others, up to which SymPy is asked
_ONE_KIND, _MIXED = 150, 25
_PLAIN = (sp.Abs, sp.sign)
_FAMILIES = {sp.sin: sp.tan, sp.cos: sp.tan, sp.sinh: sp.tanh, sp.cosh: sp.tanh}


def kinds(expression, unknown=None):
    """Which transcendental functions and roots of non-numbers occur (with the unknown in them)."""
    found = {
        _FAMILIES.get(f.func, f.func)
        for f in expression.atoms(sp.Function)
        if not isinstance(f, _PLAIN) and (unknown is None or f.has(unknown))
    }
    for power in expression.atoms(sp.Pow):
        inside = power.base.free_symbols
        if power.exp.is_integer is not True and (inside if unknown is None else unknown in inside):
            found.add(sp.Pow)
    return found


def is_tame(expression):
    """Whether SymPy may be asked to simplify it or to take its limits."""
    most = _ONE_KIND if len(kinds(expression)) <= 1 else _MIXED
    return sp.count_ops(expression) <= most


def simplified(expression):
    """``sympy.simplify`` of a tame expression, another as it is."""
    return sp.simplify(expression) if is_tame(expression) else expression


def limit(expression, variable, end, direction):
    """One-sided limit of a tame expression; nan where SymPy finds none or is not asked."""
    if not is_tame(expression):
        return sp.nan
    try:
        return sp.limit(expression, variable, end, direction)
    except (NotImplementedError, ValueError):
        return sp.nan
