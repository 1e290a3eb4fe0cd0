"""Facts of a scalar penalty that a certificate may rest on: each is proved, or it is not claimed.

Judged from the formula's pieces, joints and slopes, with the parameters as positive symbols where
that suffices, else as the exact numbers they print as. So no fact depends on the unit of the codes.
Knows no prior.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import sympy as sp

from .bounded import kinds, limit, simplified
from .evaluation import SYMBOLS, Z, number, numeric
from .intervals import bounds
from .penalty import Penalty
from .signs import TRIED, is_one_case, nonnegative


def facts(penalty, values):
    """Predicates of a penalty at parameter values; False is "not proved".

    Parameters
    ----------
    penalty : Penalty
    values : dict of str to float

    Returns
    -------
    dict of bool
        ``convex``, ``nonnegative`` (support), ``homogeneous``: the same in every unit of length.
    """
    return {
        "convex": _holds(_is_convex, penalty, values),
        "nonnegative": number(penalty.low, values) >= 0,
        "homogeneous": _holds(_is_homogeneous, penalty, values),
    }


def is_proper(penalty, values, unit=1.0):
    """Whether ``exp(-phi / unit^2)`` has a finite integral, judged by its tails."""
    return all(_tail_is_integrable(penalty, values, unit, end) for end in (-1, 1))


def is_convex(penalty, values):
    """Whether the penalty is proved to be convex at these parameters."""
    return _holds(_is_convex, penalty, values)


def _holds(claim, penalty, values):
    """Whether a claim is proved, of every term (sums keep it) or of the whole."""
    terms = _terms(penalty)
    if len(terms) > 1 and all(_holds_of_one(claim, term, values) for term in terms):
        return True
    return _holds_of_one(claim, penalty, values)


@functools.lru_cache(maxsize=512)
def _terms(penalty):
    """The terms of a sum on the same support, each with the parameters it holds."""
    found = []
    for term in sp.Add.make_args(penalty.expression):
        free = sp.Tuple(term, penalty.low, penalty.high).free_symbols
        kept = tuple(p for p in penalty.parameters if p in free)
        found.append(Penalty(term, kept, penalty.low, penalty.high))
    return found


def _holds_of_one(claim, penalty, values):
    """Whether a claim is proved for all parameters of this order, or for these numbers."""
    values = {name: values[name] for name in penalty.names}
    with SYMBOLS:
        ends = tuple(sp.Tuple(p.low, p.high) for p in penalty.pieces(values))
        if _proved(claim, penalty, ends, _Values(values)):
            return True
        return bool(penalty.parameters) and _proved(claim, exact(penalty, values), None, _Values())


class _Values(dict):
    """Sample values that stand for every other of the same order of breakpoints."""

    def __hash__(self):
        return 0

    def __eq__(self, other):
        return isinstance(other, _Values)


@functools.lru_cache(maxsize=512)
def _proved(claim, penalty, ends, values):
    try:
        return claim(penalty, values)
    except TRIED:
        return False


def exact(penalty, values):
    """The penalty at parameter values, floats taken as the decimal numbers they print as."""
    table = {s: sp.Rational(repr(float(values[s.name]))) for s in penalty.parameters}
    parts = (penalty.expression, penalty.low, penalty.high)
    expression, low, high = (part.xreplace(table) for part in parts)
    return Penalty(expression, (), low, high)


def _is_convex(penalty, values):
    """Slopes increase along every piece and across joints, and no joint is a step."""
    pieces, joints = penalty.pieces(values), dict(penalty.joints(values))
    return (
        all(is_one_case(penalty.expression, piece, values) for piece in pieces)
        and all(nonnegative(piece.curvature, piece.low, piece.high) for piece in pieces)
        and all(_closes(piece, end, joints[end]) for piece in pieces
                for end in (piece.low, piece.high) if not end.is_infinite)
        and all(_turns_up(left, right) for left, right in itertools.pairwise(pieces))
    )  # fmt: skip


def _closes(piece, end, level):
    """Whether the penalty is its piece's limit at an end (where it may be infinite)."""
    reached = piece.at(end)
    return reached == level or simplified(reached - level) == 0


def _turns_up(left, right):
    before, after = left.at(left.high, 1), right.at(right.low, 1)
    if left.at(left.high).is_infinite or before == sp.oo or after == -sp.oo:
        return False
    return before == -sp.oo or after == sp.oo or _is_nonnegative(after - before)


def _is_nonnegative(expression):
    """Whether a formula without ``Z`` is proved to be at least zero."""
    expression = simplified(expression)
    if expression.is_nonnegative is not None or expression.free_symbols:
        return bool(expression.is_nonnegative)
    return bool(bounds(expression, 0, 0)[0] >= 0)


def _is_homogeneous(penalty, values):
    """Every piece is a multiple of ``z``, with one factor on each side of zero."""
    if not {penalty.low, penalty.high} <= {-sp.oo, sp.S.Zero, sp.oo}:
        return False
    pieces, factors = penalty.pieces(values), {}
    for piece in pieces:
        if kinds(piece.value, Z):
            return False
        factor = simplified(piece.value / Z)
        right, left = piece.low.is_nonnegative, piece.high.is_nonpositive
        if not (right or left) or factor.has(Z):
            return False
        if not is_one_case(penalty.expression, piece, values):
            return False
        factors.setdefault(right, set()).add(factor)
    level = dict(penalty.joints(values)).get(sp.S.Zero, sp.S.Zero)
    return level == 0 and all(len(found) == 1 for found in factors.values())


def _tail_is_integrable(penalty, values, unit, end):
    """``phi`` grows faster than ``log |z|`` towards an infinite end."""
    edge = penalty.high if end > 0 else penalty.low
    if not edge.is_infinite:
        return True
    with SYMBOLS:
        piece = penalty.pieces(values)[-1 if end > 0 else 0]
        try:
            steepness = number(piece.at(edge, 1), values) * end
            if steepness != 0:
                return bool(steepness > 0)
            growth = limit(Z * piece.slope, Z, edge, "-" if end > 0 else "+")
            return bool(number(growth, values) > unit**2)
        except TypeError:  # no limit was found, or it is no real number
            return False


# -- derivatives of the prox ----------------------------------------------------------------
@functools.lru_cache(maxsize=256)
def _mixed(piece, parameters):
    """``d phi' / d parameter`` of a piece, one function each."""
    return [numeric(sp.diff(piece.slope, p), (Z, *parameters)) for p in parameters]


@functools.lru_cache(maxsize=1024)
def _derivative_plan(penalty, key):
    """Per piece ``d phi' / d parameter`` as functions; per joint its derivatives as numbers."""
    values = dict(key)
    with SYMBOLS:
        mixed = [_mixed(piece, penalty.parameters) for piece in penalty.pieces(values)]
        finite = np.isfinite([value for _, value in penalty.joint_values(values)])
        motions = [
            [number(sp.diff(end, p), values) for p in penalty.parameters]
            for (end, _), known in zip(penalty.joints(values), finite, strict=True)
            if known
        ]
    return mixed, motions


def prox_derivatives(penalty, values, step, x, envelope):
    """Derivatives of ``prox_{step phi}`` where it is differentiable.

    Implicit differentiation of ``z + step phi'(z) = x``; a joint moves with its own parameters.

    Returns
    -------
    list of array
        In ``x``, in ``step``, and in every parameter.
    """
    z, which = envelope.prox(x)
    results = [np.zeros(z.shape) for _ in range(2 + len(penalty.parameters))]
    mixed_slopes, motions = _derivative_plan(penalty, tuple(values.items()))
    arguments = [values[name] for name in penalty.names]
    for k, branch in enumerate(envelope.branches):
        here = which == k
        if not here.any():
            continue
        if branch.is_joint:
            for result, motion in zip(results[2:], motions[branch.index], strict=True):
                result[here] = motion
            continue
        inside = z[here]
        gain = 1 / (1 + branch.curve.curvature(inside))
        results[0][here] = gain
        results[1][here] = -gain * branch.curve.slope(inside) / step
        for result, mixed in zip(results[2:], mixed_slopes[branch.index], strict=True):
            result[here] = -gain * step * mixed(inside, *arguments)
    return results
