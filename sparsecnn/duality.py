"""Where the dual of a sparse-coding problem is feasible: an interior point, or that there is none.

The dual feasible set is ``{u : D^T u in dom phi*}``. It is empty exactly when the energy is
unbounded below (Farkas), so one linear program tells whether a model with negative rates exists.
"""

from __future__ import annotations

import dataclasses

import numpy as np

#: largest constraint matrix (numbers) for which the full linear program is attempted
_LP_NUMBERS = 8_000_000


@dataclasses.dataclass(frozen=True)
class DualPoint:
    """A dual point ``u`` and its projections ``D^T u``.

    Attributes
    ----------
    signal : array, shape (1, *signal_shape)
    codes : array, shape (1, *code_shape)
    status : {"interior", "boundary", "empty", "unknown"}
        Strictly feasible; feasible without a known interior; no feasible point exists (the energy
        is unbounded below); not determined (the program would be too large).
    multiples : (float, float)
        Which multiples of the point serve as well: all from 0 to 1 if zero is feasible, every
        positive one if the set is a cone.
    """

    signal: np.ndarray
    codes: np.ndarray
    status: str
    multiples: tuple[float, float] = (1.0, 1.0)

    def in_units(self, s):
        """The same point for signals measured in units of ``s``."""
        least, most = self.multiples
        return dataclasses.replace(self, multiples=(least / s, most / s))

    def of_size(self, sizes):
        """``(u, D^T u)`` for each sample, as near to the wanted norms as the multiples allow.

        A point much larger or smaller than the data costs the gap its digits.
        """
        peak = np.abs(self.signal).max()
        if peak == 0:
            return self.signal, self.codes
        norm = np.linalg.norm(self.signal / peak)  # without squaring what may be 1e200
        multiple = np.clip(sizes / norm / peak, *self.multiples)
        return tuple(
            array * multiple.reshape((-1,) + (1,) * (array.ndim - 1))
            for array in (self.signal, self.codes)
        )


def interior_point(dictionary, prior, observed=None, attained=True, resolution=0.0):
    """Find a point strictly inside ``{u : low <= D^T u <= high}``, zero at unobserved pixels.

    Zero serves whenever all rates are positive and larger than the rounding errors of the data;
    otherwise a linear program maximises the margin.

    Parameters
    ----------
    dictionary : Dictionary or ConvDictionary
        float64.
    prior : Prior
        Convex.
    observed : bool array of signal_shape, optional
        Pixels observed in every sample.
    attained : bool
        Whether some sample observes exactly those; only then does "no feasible point" (Farkas)
        say that an energy of the batch is unbounded.
    resolution : float
        Rates of this size drown in the rounding errors of the data: a point is sought that would
        still be inside if they were 0.

    Returns
    -------
    DualPoint
    """
    shape = dictionary.code_shape
    zero = DualPoint(np.zeros((1, *dictionary.signal_shape)), np.zeros((1, *shape)), "interior")
    low, high = (
        np.broadcast_to(np.asarray(b, dtype=np.float64), (1, *shape))
        for b in prior.dual_domain(zero.codes)
    )
    if (low < 0).all() and (high > 0).all():
        faint_low, faint_high = (np.where(np.abs(b) <= resolution, 0.0, b) for b in (low, high))
        if (faint_low < 0).all() and (faint_high > 0).all():
            return zero
        for directions in _search_spaces(dictionary, observed):
            point, status = _largest_margin(dictionary, directions, faint_low, faint_high)
            if status == "interior":
                return dataclasses.replace(point, multiples=_multiples(faint_low, faint_high))
        return zero
    status, complete = "unknown", False
    for directions in _search_spaces(dictionary, observed):
        point, status = _largest_margin(dictionary, directions, low, high)
        if status == "interior":
            return dataclasses.replace(point, multiples=_multiples(low, high))
        pixels = zero.signal.size if observed is None else int(observed.sum())
        complete = attained and len(directions) == pixels
    if (low <= 0).all() and (high >= 0).all():
        return dataclasses.replace(zero, status="boundary")
    if status == "boundary":
        return point
    return dataclasses.replace(
        zero, status="empty" if status == "empty" and complete else "unknown"
    )


def _multiples(low, high):
    """Multiples that keep an interior point of the box ``[low, high]`` inside it."""
    if (low > 0).any() or (high < 0).any():
        return 1.0, 1.0
    bounds = np.concatenate([low, high], axis=None)
    return 0.0, 1.0 if bounds[np.isfinite(bounds)].any() else np.inf


def _search_spaces(dictionary, observed):
    """Bases of signals to search: constant images (shift-invariant, cheap), then every pixel."""
    pixels = int(np.prod(dictionary.signal_shape))
    everything = np.eye(pixels).reshape(pixels, *dictionary.signal_shape)
    if len(dictionary.signal_shape) == 3 and observed is None:
        channels = dictionary.signal_shape[0]
        constant = np.zeros((channels, *dictionary.signal_shape))
        constant[np.arange(channels), np.arange(channels)] = 1.0
        yield constant
    if pixels * int(np.prod(dictionary.code_shape)) <= _LP_NUMBERS:
        yield everything if observed is None else everything[observed.ravel()]


def _largest_margin(dictionary, directions, low, high):
    """Maximise ``t`` with ``low + t w <= D^T u <= high - t w`` over the span of ``directions``."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    if len(directions) == 0:
        return None, "empty"  # only u = 0 is left, which the caller tries by itself
    projections = dictionary.analyze(directions).reshape(len(directions), -1).T  # one row per code
    norms = np.linalg.norm(projections, axis=1)
    bounds = [(projections, high.ravel()), (-projections, -low.ravel())]
    rows = np.vstack([a[np.isfinite(b)] for a, b in bounds])
    limits = np.concatenate([b[np.isfinite(b)] for _, b in bounds])
    weights = np.concatenate([np.maximum(norms, 1e-3)[np.isfinite(b)] for _, b in bounds])
    first = np.unique(
        np.column_stack([rows, weights, limits]).round(14), axis=0, return_index=True
    )[1]
    rows, weights, limits = rows[first], weights[first], limits[first]
    unit = max(float(np.abs(limits).max()), np.finfo(np.float64).tiny) if limits.any() else 1.0
    answer = linprog(
        np.r_[np.zeros(rows.shape[1]), -1.0],
        A_ub=csr_array(np.column_stack([rows, weights])),
        b_ub=limits / unit,
        bounds=[(None, None)] * rows.shape[1] + [(None, 1.0)],
        method="highs",
    )
    if answer.status != 0:
        return None, "unknown"
    margin, signal = answer.x[-1], np.tensordot(answer.x[:-1] * unit, directions, axes=1)[None]
    point = DualPoint(signal, dictionary.analyze(signal), "interior")
    inside = (point.codes > low).all() and (point.codes < high).all()
    if margin > 1e-9 and inside:
        return point, "interior"
    if (point.codes >= low).all() and (point.codes <= high).all():
        return dataclasses.replace(point, status="boundary"), "boundary"
    return None, "empty" if margin < -1e-9 else "unknown"
