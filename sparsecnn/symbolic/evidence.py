"""What may be called checked: verdicts, and how each is reached. Knows no prior and no layer.

PROVED is a symbolic zero, CONFIRMED agreement at random admissible points (count, seed and
tolerance kept), REFUTED comes with the counterexample, UNDECIDED never counts as passed.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import sympy as sp

from .bounded import simplified
from .evaluation import Z, number

PROVED, CONFIRMED, REFUTED, UNDECIDED = "PROVED", "CONFIRMED", "REFUTED", "UNDECIDED"
_ORDER = (REFUTED, UNDECIDED, CONFIRMED, PROVED)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One piece of evidence.

    Attributes
    ----------
    kind : {"symbolic", "numeric", "exact"}
        Symbolic re-substitution; a numeric certificate; an exact rational check.
    verdict : {"PROVED", "CONFIRMED", "REFUTED", "UNDECIDED"}
    detail : str
        What was done and how far it held.
    counterexample : dict or None
        Numbers at which it fails.
    """

    kind: str
    verdict: str
    detail: str
    counterexample: dict | None = None

    @property
    def passed(self):
        """Whether the verdict is PROVED or CONFIRMED."""
        return self.verdict in (PROVED, CONFIRMED)

    def __str__(self):
        where = ""
        if self.counterexample:
            where = "; counterexample " + ", ".join(
                f"{k} = {_plain(v)}" for k, v in self.counterexample.items()
            )
        return f"{self.verdict} ({self.kind}): {self.detail}{where}"


def _plain(value):
    return f"{value:.10g}" if isinstance(value, float | np.floating) else str(value)


def weakest(evidence):
    """The verdict of a list of evidence: its weakest member's; UNDECIDED when there is none."""
    return min((e.verdict for e in evidence), key=_ORDER.index, default=UNDECIDED)


def identity(difference, points, *, tolerance=1e-9, simplify=True, what="both sides agree"):
    """Whether an expression is zero: PROVED by simplification, else tried at ``points``.

    Parameters
    ----------
    difference : sympy.Expr
        Claimed to vanish.
    points : sequence of dict of str to float
        Admissible values of its free symbols.
    tolerance : float
        Allowed absolute value at a point, relative to terms of order one.
    """
    if simplify and sp.count_ops(difference) < 400:
        try:
            if sp.expand(difference) == 0 or simplified(difference) == 0:
                return Evidence("symbolic", PROVED, f"{what}: the difference simplifies to 0")
        except (NotImplementedError, TypeError, ValueError, RecursionError):
            pass
    worst = 0.0
    for point in points:
        size = abs(number(difference, point, digits=40))
        if not np.isfinite(size):
            return Evidence("numeric", UNDECIDED, f"{what}: not a number at {point}")
        if size > tolerance:
            return Evidence("numeric", REFUTED, f"{what}: they differ by {size:.3g}", dict(point))
        worst = max(worst, size)
    if not points:
        return Evidence("numeric", UNDECIDED, f"{what}: no admissible point was found")
    return Evidence(
        "numeric", CONFIRMED, f"{what} at {len(points)} points, worst difference {worst:.1e}"
    )


def trials(function, n, *, seed=0, tolerance, what):
    """A numeric certificate: ``function(rng) -> (error, where)`` tried ``n`` times.

    Parameters
    ----------
    function : callable
        Returns a number that the claim says is at most ``tolerance``, and a dict that names the
        example.
    """
    rng, worst = np.random.default_rng(seed), 0.0
    for _ in range(n):
        error, where = function(rng)
        if not np.isfinite(error):
            return Evidence("numeric", UNDECIDED, f"{what}: not a number", dict(where))
        if error > tolerance:
            detail = f"{what}: off by {error:.3g}, tolerance {tolerance:g}"
            return Evidence("numeric", REFUTED, detail, dict(where))
        worst = max(worst, float(error))
    detail = f"{what}: {n} random examples (seed {seed}), worst {worst:.1e} <= {tolerance:g}"
    return Evidence("numeric", CONFIRMED, detail)


def brute_force(penalty, prox, samples, *, n=60, reach=5.0, seed=0, tolerance=1e-10):
    """No grid point has a smaller objective than the prox: the numeric certificate of a row.

    Parameters
    ----------
    penalty : Penalty
    prox : callable
        ``prox(x, values) -> z`` for an array.
    samples : sequence of dict
        Parameter values.
    """
    rng, worst = np.random.default_rng(seed), -np.inf
    for values in samples:
        x = rng.uniform(-reach, reach, n)
        z = prox(x, values)
        over = excess(penalty, values, x, z)
        bad = ~(over <= tolerance)
        if bad.any():
            k = int(np.flatnonzero(bad)[0])
            if np.isnan(over[k]):
                return Evidence(
                    "numeric", UNDECIDED, f"the objective is not a number at x = {x[k]:g}"
                )
            where = {"x": x[k], "claimed z": z[k], **values, "excess": over[k]}
            return Evidence("numeric", REFUTED, "a grid point has a smaller objective", where)
        worst = max(worst, float(over.max()))
    detail = (
        f"no grid point beats it: {n} inputs in [-{reach:g}, {reach:g}] for {len(samples)} "
        f"parameter settings (seed {seed}), worst excess {worst:.1e} <= {tolerance:g}"
    )
    return Evidence("numeric", CONFIRMED, detail)


def excess(penalty, values, x, z):
    """Objective at the claimed minimisers minus the least found by brute force, per input."""
    return _objective(penalty, values, x, z) - _least(penalty, values, x)


def _objective(penalty, values, x, z):
    return 0.5 * (x - z) ** 2 + penalty.evaluate(z, values)


def _least(penalty, values, x, n_grid=4001):
    """Least objective over a grid and four refinements around its three best points."""
    low, high = number(penalty.low, values), number(penalty.high, values)
    far = 1.5 * np.abs(x).max() + 3.0
    low, high = max(low, -far), min(high, far)
    joints = [end for end, _ in penalty.joint_values(values)]
    grid = np.unique(np.concatenate([np.linspace(low, high, n_grid), joints]))
    grid = grid[(grid >= low) & (grid <= high)]
    at_grid = penalty.evaluate(grid, values)
    table = 0.5 * (x[:, None] - grid) ** 2 + at_grid
    best = table.min(axis=1)
    for rank in np.argsort(table, axis=1)[:, :3].T:
        centre, radius = grid[rank], np.full(x.shape, (high - low) / (n_grid - 1))
        for _ in range(5):
            near = np.clip(centre[:, None] + radius[:, None] * np.linspace(-1, 1, 61), low, high)
            local = _objective(penalty, values, x[:, None], near)
            local = np.where(np.isnan(local), np.inf, local)
            k = np.argmin(local, axis=1)
            rows = np.arange(len(x))
            centre, radius = near[rows, k], radius / 20
            best = np.minimum(best, local[rows, k])
    return best


def exact_minimum(penalty, prox, values, xs):
    """Piecewise polynomial penalties: no real ``z`` has a smaller objective, in exact arithmetic.

    The objective minus its claimed least value is a polynomial on every piece; its roots of odd
    multiplicity are counted by Sturm sequences over the rationals.

    Parameters
    ----------
    prox : callable
        ``prox(x) -> z``, both sympy.Rational.
    values : dict of str to sympy.Rational
    xs : sequence of sympy.Rational

    Returns
    -------
    Evidence or None
        None if the penalty is not piecewise polynomial with rational joints and answers.
    """
    floats = {name: float(v) for name, v in values.items()}
    table = {s: values[s.name] for s in penalty.parameters}
    pieces = [
        (p.low.xreplace(table), p.high.xreplace(table), p.value.xreplace(table))
        for p in penalty.pieces(floats)
    ]
    joints = [(e.xreplace(table), v.xreplace(table)) for e, v in penalty.joints(floats)]
    rational = all(e.is_rational or e.is_infinite for low, high, _ in pieces for e in (low, high))
    if not (rational and all(value.is_polynomial(Z) for _, _, value in pieces)):
        return None
    for x in xs:
        z = prox(x)
        if not z.is_rational:
            return None
        least = (x - z) ** 2 / 2 + _exact_value(pieces, joints, z)
        for end, value in joints:
            if (x - end) ** 2 / 2 + value < least:
                return Evidence("exact", REFUTED, "a joint is lower", {"x": x, "z": z, "at": end})
        for low, high, value in pieces:
            rest = sp.Poly((x - Z) ** 2 / 2 + value - least, Z)
            if _negative_inside(rest, low, high):
                where = {"x": x, "claimed z": z, **values}
                return Evidence("exact", REFUTED, "the objective is lower somewhere", where)
    detail = (
        f"objective minus its least value has no sign change on any piece, by Sturm sequences "
        f"over the rationals, at {len(xs)} rational inputs"
    )
    return Evidence("exact", PROVED, detail)


def _exact_value(pieces, joints, z):
    for end, value in joints:
        if end == z:
            return value
    for low, high, value in pieces:
        if low < z < high:
            return value.subs(Z, z)
    return sp.oo


def _negative_inside(polynomial, low, high):
    """Whether a rational polynomial is negative somewhere on the open interval."""
    if polynomial.is_zero:
        return False
    if polynomial.degree() == 0:
        return bool(polynomial.LC() < 0)
    crossings = 0
    for factor, multiplicity in polynomial.factor_list()[1]:
        if multiplicity % 2:
            ends = [None if e.is_infinite else e for e in (low, high)]
            inside = factor.count_roots(*ends)
            at_ends = sum(1 for e in ends if e is not None and factor.eval(e) == 0)
            crossings += inside - at_ends
    return crossings > 0 or bool(polynomial.eval(_inside(polynomial, low, high)) < 0)


def _inside(polynomial, low, high):
    for k in itertools.count(1):
        step = sp.Rational(1, k + 1)
        if not (low.is_infinite or high.is_infinite):
            point = low + (high - low) * step
        elif not low.is_infinite:
            point = low + k
        else:
            point = high - k if not high.is_infinite else sp.Integer(k)
        if polynomial.eval(point) != 0:
            return point
