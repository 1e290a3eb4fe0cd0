"""What can be said of a function of one variable that can only be evaluated.

It is evaluated on an even grid, then ever finer where it bends, is steep or nearly falls. Whatever
is said afterwards holds to the resolution that is reported with it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..validation import InputError

#: values beyond this are never met as inputs of a layer; verdicts of grids speak of this range
REACH = 60.0
#: the even grid is finer up to here; spacing on both parts
NEAR, FINE, COARSE = 12.0, 4e-4, 4e-3
#: rounds of bisection, cells bisected in each, narrowest cell bisected
ROUNDS, CELLS, NARROWEST = 16, 1500, 1e-6


@dataclasses.dataclass(frozen=True)
class Samples:
    """Values at increasing points, with what they show.

    Attributes
    ----------
    x, y : ndarray
    rounding : float
        Falls up to this, relative to the size of ``x`` (up to 1) and ``y`` at either point, count
        as rounding.
    """

    x: np.ndarray
    y: np.ndarray
    rounding: float

    @property
    def zero_stretches(self):
        """``(a, b)``: longest stretches of samples that are exactly zero, wider than 1e-3."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self.y == 0, [0]])))
        ends = self.x[edges[::2]], self.x[edges[1::2] - 1]
        return [(float(a), float(b)) for a, b in zip(*ends, strict=True) if b - a > 1e-3]

    @property
    def slopes(self):
        """Difference quotients of neighbours far enough apart for rounding not to matter."""
        least = 0.99 * NARROWEST if self.rounding < 1e-8 else FINE
        wide = np.diff(self.x) >= least * np.maximum(1.0, np.abs(self.x[1:]))
        return (np.diff(self.y) / np.diff(self.x))[wide]

    @property
    def fall(self):
        """``(i, j)`` with the largest fall ``y[i] - y[j] > 0``, ``i < j``; None if it only rises.

        Falls are measured from the highest value before, so slow ones are seen too.
        """
        before = np.maximum.accumulate(self.y)
        depth = before - self.y
        size = np.maximum(np.abs(self.y), np.minimum(np.abs(self.x), 1.0))
        highest = np.maximum.accumulate(np.where(self.y == before, np.arange(len(depth)), 0))
        bad = depth > self.rounding * np.maximum(size, size[highest])
        if not bad.any():
            return None
        j = int(np.argmax(np.where(bad, depth, 0)))
        return int(np.argmax(self.y[: j + 1])), j

    @property
    def jumps(self):
        """Whether neighbours a narrowest cell apart still differ visibly."""
        h = np.diff(self.x)
        narrow = h <= 2.02 * NARROWEST * np.maximum(1.0, np.abs(self.x[1:]))
        return bool((narrow & (np.abs(np.diff(self.y)) > 1e-3)).any())

    @property
    def largest_slope(self):
        """Of the difference quotients; infinite at a jump."""
        return float("inf") if self.jumps else float(self.slopes.max())

    def confidence(self):
        """Plain data: how far the verdict of these samples reaches."""
        return {
            "points": len(self.x),
            "interval": [-REACH, REACH],
            "widest_unseen_dip": {f"|x| <= {NEAR:g}": FINE, f"|x| <= {REACH:g}": COARSE},
            "shallowest_seen": f"{self.rounding:g} max(1, |f|)",
            "rounding": self.rounding,
            "smallest_slope": float(self.slopes.min()),
            "largest_slope": self.largest_slope,
        }


def sample(function, name="the activation"):
    """Evaluate a function on the adaptive grid.

    Parameters
    ----------
    function : callable
        Elementwise, on arrays.
    name : str
        For messages.

    Returns
    -------
    Samples

    Raises
    ------
    InputError
        If a value is not finite.
    """
    edge = np.arange(NEAR, REACH, COARSE)
    near = np.geomspace(1e-6, NEAR, 800)
    middle = np.linspace(-NEAR, NEAR, round(2 * NEAR / FINE) + 1)
    x = np.unique(np.concatenate([-edge, middle, edge, -near, near, [-REACH, REACH]]))
    values = real(_call(function, x), name)
    single = values.dtype.itemsize < 8
    y = _finite(values, x, name)
    x, y = _bisected(function, x, y, name)
    return Samples(x, y, 1e-5 if single else 1e-10)


def _bisected(function, x, y, name):
    """The samples and new ones between them, cell by cell."""
    cells = _bent(x, y)
    left, right = np.stack([x[cells], y[cells]]), np.stack([x[cells + 1], y[cells + 1]])
    found = [np.stack([x, y])]
    for _ in range(ROUNDS):
        wide = right[0] - left[0] > 2 * NARROWEST * np.maximum(1.0, np.abs(left[0]))
        left, right = left[:, wide], right[:, wide]
        if not left.size:
            break
        at = 0.5 * (left[0] + right[0])
        middle = np.stack([at, _finite(_call(function, at), at, name)])
        found.append(middle)
        # a straight cell is done; the most bent, and those that nearly fall, are bisected again
        bend = np.abs(middle[1] - 0.5 * (left[1] + right[1]))
        bend[bend <= 1e-10 * np.maximum(1.0, np.abs(middle[1]))] = 0.0
        slope = np.minimum(middle[1] - left[1], right[1] - middle[1]) / (right[0] - left[0])
        keep = np.union1d(np.argsort(-bend)[: CELLS // 2], np.argsort(slope)[:20])
        keep = keep[(bend[keep] > 0) | (slope[keep] < 0)]
        left, right = (
            np.concatenate([left[:, keep], middle[:, keep]], axis=1),
            np.concatenate([middle[:, keep], right[:, keep]], axis=1),
        )
    x, y = np.concatenate(found, axis=1)
    x, first = np.unique(x, return_index=True)
    return x, y[first]


def _call(function, x):
    with np.errstate(all="ignore"):
        return function(x)


def real(values, name):
    """The values as an array; complex ones are refused, whatever their imaginary part."""
    values = np.asarray(values)
    if np.iscomplexobj(values):
        raise InputError(f"{name} returns complex numbers; expected real ones. Return .real of it.")
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise InputError(
            f"{name} returns an array of dtype {values.dtype}; expected numbers. Return floats."
        )
    return values


def _finite(values, x, name):
    y = real(values, name).astype(float)
    if not np.isfinite(y).all():
        bad = x[~np.isfinite(y)][0]
        raise InputError(f"{name} is not finite at x = {bad:g}; expected finite values.")
    return y


def _bent(x, y):
    """Cells in which the function may do something unseen: where neighbouring slopes disagree."""
    h = np.diff(x)
    slope = np.diff(y) / h
    turn = np.abs(np.diff(slope))
    bend = h * np.maximum(np.append(turn, 0.0), np.insert(turn, 0, 0.0))
    bend[bend <= 1e-9 * np.maximum(1.0, np.abs(y[1:]))] = 0.0
    most = np.argpartition(-bend, CELLS)[:CELLS]
    lowest = np.argpartition(slope, 50)[:50]
    return np.union1d(most[bend[most] > 0], lowest)


def underflows(function, low, high):
    """Whether a stretch of zeros is one of numbers too small to be held: its edges are denormal."""
    told = []
    for inside, outside in ((low, low - 2 * COARSE), (high, high + 2 * COARSE)):
        if abs(inside) >= REACH:
            continue
        edge = inside
        for _ in range(60):
            middle = 0.5 * (edge + outside)
            if _call(function, np.array([middle]))[0] == 0:
                edge = middle
            else:
                outside = middle
        beyond = edge + np.copysign(np.geomspace(1e-9, 1e-2, 29), outside - inside)
        size = np.abs(_call(function, beyond))
        told.append(bool(((size > 0) & (size < 1e-290)).any()))
    return bool(told) and all(told)
