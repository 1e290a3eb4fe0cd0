"""The least objective of one code by brute force, and whether any code beats a given one.

Takes the penalty as a black box, ``phi(z)`` at numbers; knows no step of a derivation.
"""

from __future__ import annotations

import mpmath
import numpy as np
import sympy as sp

from ..symbolic.evaluation import SYMBOLS, Z, number

_OFFSETS = np.concatenate([-np.geomspace(1e-9, 8, 40), np.geomspace(1e-9, 8, 40)])
_FINE = np.linspace(-1, 1, 33)


def objective(penalty, values, x, z):
    """``1/2 (x - z)^2 + phi(z)`` at arrays."""
    found = 0.5 * (x - z) ** 2 + penalty.evaluate(z, values)
    return np.where(np.isnan(found), np.inf, found)


def minimise(penalty, values, x):
    """Least objective and where, by grids at every scale around ``x`` and the joints."""
    x = np.asarray(x, dtype=np.float64)
    low, high = number(penalty.low, values), number(penalty.high, values)
    far = 1.5 * np.abs(x).max() + 3.0
    left, right = max(low, -far), min(high, far)
    joints = np.array([z for z, _ in penalty.joint_values(values)])
    around = joints[:, None] + _OFFSETS * np.maximum(1.0, np.abs(joints))[:, None]
    shared = np.concatenate([np.linspace(left, right, 801), joints, around.ravel()])
    shared = np.unique(np.clip(shared, low, high))
    table = 0.5 * (x[:, None] - shared) ** 2 + penalty.evaluate(shared, values)
    table = np.where(np.isnan(table), np.inf, table)
    beside = np.pad(table, ((0, 0), (1, 1)), constant_values=np.inf)
    valleys = (table <= beside[:, 2:]) & (table <= beside[:, :-2])
    rows = np.arange(len(x))
    order = np.argsort(np.where(valleys, table, np.inf), axis=1)[:, :3]
    best, at = table[rows, order[:, 0]], shared[order[:, 0]]
    steps = np.diff(shared, prepend=shared[0], append=shared[-1])
    for rank in order.T:
        centre, radius = shared[rank], np.maximum(steps[rank], steps[rank + 1])
        for _ in range(7):
            near = np.clip(centre[:, None] + radius[:, None] * _FINE, low, high)
            local = objective(penalty, values, x[:, None], near)
            k = np.argmin(local, axis=1)
            centre, radius = near[rows, k], radius / 12
            better = local[rows, k] < best
            best, at = np.where(better, local[rows, k], best), np.where(better, centre, at)
    return best, at


def excess(penalty, values, x, z):
    """Objective at ``z`` minus the least by brute force, relative to its size."""
    mine, (least, _) = objective(penalty, values, x, z), minimise(penalty, values, x)
    return (mine - least) / np.maximum(1.0, np.abs(least))


def beaten(penalty, values, joint, x, halvings=2**16):
    """Whether some code has a smaller objective at ``x`` than a joint has, however little smaller.

    Tried are the best code in double precision and codes ``2^-1, 2^-2, 2^-4, ...`` from the joint
    (``z**1.01`` is better only below ``z = x**100``), each with as many digits as it needs.
    """
    near = [(s * mpmath.mpf(2) ** -far, far) for far in _doublings(halvings) for s in (-1, 1)]
    (best,) = minimise(penalty, values, np.array([x]))[1]
    with SYMBOLS:
        change = _change_from(penalty, values, joint, x)
        return any(change(h, 30 + int(0.7 * far)) for h, far in [(best - joint, 40), *near])


def _doublings(most):
    return [2**k for k in range(int(most).bit_length())]


def _in_mpmath(value, symbols):
    """``value`` as a function in the working precision, also of roots of polynomials."""
    roots = sorted(value.atoms(sp.CRootOf), key=sp.default_sort_key)
    places = sp.symbols(f"root:{len(roots)}", cls=sp.Dummy)
    value = value.xreplace(dict(zip(roots, places, strict=True)))
    function = sp.lambdify((*symbols, *places), value, "mpmath")

    def evaluate(*arguments):
        digits = mpmath.mp.dps
        return function(*arguments, *(r.evalf(digits)._to_mpmath(mpmath.mp.prec) for r in roots))

    return evaluate


def _change_from(penalty, values, joint, x):
    """``(h, digits) -> whether the objective is smaller at joint + h``, from the joint's own."""
    symbols = penalty.parameters
    arguments = [mpmath.mpf(values[s.name]) for s in symbols]
    room = 1e-9 * max(1.0, abs(joint))  # told apart from the joint in double precision
    ends = [
        (number(e, values), *(_in_mpmath(part, symbols) for part in (e, phi)))
        for e, phi in penalty.joints(values)
    ]
    _, *exact = min(ends, key=lambda end: abs(end[0] - joint))
    pieces = [
        (*(number(e, values) for e in (p.low, p.high)), _in_mpmath(p.value, (Z, *symbols)))
        for p in penalty.pieces(values)
    ]  # fmt: skip

    def change(h, digits):
        place = joint + max(float(abs(h)), room) * float(mpmath.sign(h))
        other = [pair for at, *pair in ends if abs(at - place) < room < abs(h)]
        inside = [f for low, high, f in pieces if low < place < high]
        if not other and not inside:
            return False
        with mpmath.workdps(digits):
            z0, phi0, step = (mpmath.mpf(v) for v in (*(f(*arguments) for f in exact), h))
            if other:
                z, phi = (mpmath.mpf(f(*arguments)) for f in other[0])
                step, rise = z - z0, phi - phi0
            else:
                rise = inside[0](z0 + step, *arguments) - phi0
            tilt = step * (z0 + step / 2 - x)
            return bool(rise + tilt < -(abs(rise) + abs(tilt)) / 10**15)

    return change
