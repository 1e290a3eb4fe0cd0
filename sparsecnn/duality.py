"""Where the dual of a sparse-coding problem is feasible: an interior point, or that there is none.

The dual feasible set is ``{u : D^T u in dom phi*}``. It is empty exactly when the energy is
unbounded below (Farkas), so one linear program tells whether a model with negative rates exists.
"""

from __future__ import annotations

import dataclasses
import fractions
import functools

import numpy as np

#: largest constraint matrix (numbers) for which the full linear program is attempted
_LP_NUMBERS = 8_000_000
#: largest matrix whose pseudo-inverse is taken to correct a dual point
_TIGHT_NUMBERS = 1 << 20
#: corrections of a dual point; each leaves the rounding of an inverse to the next
_PASSES = 4
#: multiplications that an exact rank may take
_EXACT_WORK = 200_000
_KEPT = 4
#: masks whose factors are kept
_KEPT_PATTERNS = 64
#: rates below this share of the largest are met by correcting a dual point, not by scaling it
_LITTLE_ROOM = 1e-2
#: share of the resolution below which a rate changes no digit of an energy
_DROWNED = 1e-8


@dataclasses.dataclass(frozen=True)
class DualPoint:
    """A dual point ``u`` and its projections ``D^T u``.

    Attributes
    ----------
    signal : array, shape (1, *signal_shape)
    codes : array, shape (1, *code_shape)
    status : {"interior", "boundary", "empty", "unknown"}
        Strictly feasible (but for atoms without a penalty, which leave no room); feasible without a
        known interior; no feasible point exists (the energy is unbounded below); not determined
        (the program would be too large).
    multiples : (float, float)
        Which multiples of the point serve as well: all from 0 to 1 if zero is feasible, every
        positive one if the set is a cone, not the smallest ones if rates are negative.
    narrow : NarrowAtoms or None
        Atoms whose rates leave the dual hardly any room.
    """

    signal: np.ndarray
    codes: np.ndarray
    status: str
    multiples: tuple[float, float] = (1.0, 1.0)
    narrow: NarrowAtoms | None = None

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


@dataclasses.dataclass(frozen=True)
class NarrowAtoms:
    """Atoms that a dual point has to be (nearly) orthogonal to, because their rates are tiny.

    Scaling the residual into their constraints would leave nothing of it: it is corrected instead.

    Attributes
    ----------
    fixed, tight : array of int
        Places among the flattened codes: without room on either side; with little room.
    atoms : array, shape (n_fixed + n_tight, n_pixels)
        Those atoms, fixed ones first.
    """

    fixed: np.ndarray
    tight: np.ndarray
    atoms: np.ndarray

    def corrected(self, residual, mask, low, high):
        """The nearest signals that are orthogonal to the fixed atoms and respect the tight ones.

        Parameters
        ----------
        residual : array, shape (n_samples, *signal_shape)
        mask : bool array, shape of ``residual``, or None
            Signals stay zero where it is False.
        low, high : array, shape (1, *code_shape)
            Bounds of the dual.

        Returns
        -------
        signals : array, shape of ``residual``
        moves : callable
            ``moves(outside)`` for how far ``D^T`` of these signals is outside of the bounds, shape
            (n_samples, n_codes): pairs of places of atoms and, per sample, how far a signal is at
            most that keeps to those (and the ones before) exactly; infinite where that is not
            known. First the fixed ones, then the tight ones if there are any.
        """
        flat = residual.reshape(len(residual), -1)
        low, high = (b.reshape(-1)[self.tight] for b in (low, high))
        if mask is None:
            groups = [(slice(None), self._factors(np.ones(flat.shape[1], dtype=bool)))]
        else:
            patterns, which = np.unique(mask.reshape(len(flat), -1), axis=0, return_inverse=True)
            groups = [
                (which.reshape(-1) == k, self._factors(observed))
                for k, observed in enumerate(patterns)
            ]
        result = np.empty_like(flat)
        for here, factors in groups:
            result[here] = factors.corrected(flat[here], low, high)
        return result.reshape(residual.shape), functools.partial(self._moves, groups)

    def _moves(self, groups, outside):
        places = [self.fixed, self.tight] if len(self.tight) else [self.fixed]
        outside = outside[:, np.concatenate(places)]
        moves = np.empty((2, len(outside)))
        for here, factors in groups:
            moves[:, here] = factors.moves(outside[here], len(self.fixed))
        return list(zip(places, moves, strict=False))

    def _factors(self, observed):
        """The factors of the atoms where they are observed, of the last patterns kept."""
        kept = self.__dict__.setdefault("_kept", {})
        key = observed.tobytes()
        found = kept.get(key)
        if found is None:
            found = _factors(self.atoms * observed, len(self.fixed))
            if len(kept) >= _KEPT_PATTERNS:
                kept.clear()
            kept[key] = found
        return found


@dataclasses.dataclass(frozen=True)
class _Factors:
    """An orthonormal basis of the fixed atoms, the rest of the tight ones, its pseudo-inverse."""

    basis: np.ndarray
    tight: np.ndarray
    inverse: np.ndarray
    norms: np.ndarray  # of all of them
    known: tuple  # least singular values of the fixed and of the tight, and the tight ones' norm

    def moves(self, outside, n_fixed):
        """How far exact signals are, see ``NarrowAtoms.corrected``."""
        of_fixed, of_tight, size = self.known
        left = outside / self.norms
        first = _over(np.linalg.norm(left[:, :n_fixed], axis=1), of_fixed)
        further = first * size if size > 0 else np.zeros_like(first)
        rest = np.linalg.norm(left[:, n_fixed:], axis=1) + further
        return np.stack([first, first + _over(rest, of_tight)])

    def corrected(self, flat, low, high):
        norms = self.norms[len(self.norms) - len(self.tight) :]
        low, high = low / norms, high / norms
        # a little inside of the bounds, where there is room, so that rounding leaves nothing over
        rounding = 100 * np.finfo(np.float64).eps * np.linalg.norm(flat, axis=1, keepdims=True)
        margin = np.minimum(rounding, high / 4 - low / 4)
        for _ in range(_PASSES):
            flat = flat - (flat @ self.basis) @ self.basis.T
            along = flat @ self.tight.T
            flat = flat - (along - np.clip(along, low + margin, high - margin)) @ self.inverse.T
        return flat


def _over(lengths, least):
    """``lengths / least``, where 0 is 0 over anything."""
    with np.errstate(divide="ignore"):
        return np.divide(lengths, least, out=np.zeros(len(lengths)), where=lengths > 0)


def _factors(atoms, n_fixed):
    """``_Factors`` of atoms (as far as they are observed), each first divided by its norm."""
    norms = np.linalg.norm(atoms, axis=1)
    norms = np.where(norms > 0, norms, 1.0)
    unit = atoms / norms[:, None]
    u, sizes, _ = np.linalg.svd(unit[:n_fixed].T, full_matrices=False)
    kept = sizes > 1e-12 * sizes.max(initial=0.0)
    basis, rank = u[:, kept], int(kept.sum())
    least = sizes[kept].min(initial=1.0)
    if rank < min(n_fixed, atoms.shape[1]) and not _has_rank(atoms[:n_fixed], rank):
        least = 0.0  # what was dropped may be a direction
    tight = unit[n_fixed:] - (unit[n_fixed:] @ basis) @ basis.T
    values = np.linalg.svd(tight, compute_uv=False)
    known = least, values.min(initial=1.0), values.max(initial=0.0)
    return _Factors(basis, tight, np.linalg.pinv(tight, rcond=1e-9), norms, known)


def _has_rank(rows, rank):
    """Whether a matrix has at most this rank, by exact elimination; False if it is too large."""
    rows = np.unique(rows, axis=0)
    if rows.size * rank > _EXACT_WORK:
        return False
    left = [[fractions.Fraction(float(a)) for a in row] for row in rows if row.any()]
    for _ in range(rank):
        if not left:
            return True
        pivot = left.pop()
        place = next(k for k, a in enumerate(pivot) if a)
        left = [
            [a - row[place] / pivot[place] * b for a, b in zip(row, pivot, strict=True)]
            for row in left
        ]
        left = [row for row in left if any(row)]
    return not left


def interior_point(dictionary, prior, observed=None, attained=True, resolution=0.0):
    """Find a point strictly inside ``{u : low <= D^T u <= high}``, zero at unobserved pixels.

    Zero serves whenever all rates are positive (or 0 on both sides); otherwise a linear program
    maximises the distance to the constraints.

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
    bounds = [
        np.broadcast_to(np.asarray(b, dtype=np.float64), (1, *shape))
        for b in prior.dual_domain(zero.codes)
    ]
    low, high = (np.where(np.abs(b) <= resolution, 0.0, b) for b in bounds)
    drowned = _DROWNED * resolution
    around_zero = (bounds[0] <= drowned) & (bounds[1] >= -drowned)
    narrow = _narrow_atoms(dictionary, prior, low, high, around_zero)
    fixed = np.zeros(low.size, dtype=bool)
    if narrow is not None:
        zero = dataclasses.replace(zero, narrow=narrow)
        fixed[narrow.fixed] = True
    fixed = fixed.reshape(low.shape)
    if ((low < 0) & (high > 0) | fixed).all():
        return zero
    status, complete = "unknown", False
    for directions in _search_spaces(dictionary, observed, narrow):
        point, status = _largest_margin(dictionary, directions, low, high, fixed, bounds)
        if status == "interior":
            multiples = _multiples(point.codes, low, high)
            return dataclasses.replace(point, multiples=multiples, narrow=narrow)
        pixels = zero.signal.size if observed is None else int(observed.sum())
        complete = attained and len(directions) == pixels
    if all((b <= 0).all() if k == 0 else (b >= 0).all() for k, b in enumerate(bounds)):
        inside = (bounds[0] < 0).all() and (bounds[1] > 0).all()  # though faintly
        return zero if inside else dataclasses.replace(zero, status="boundary")
    if status == "boundary":
        return dataclasses.replace(point, narrow=narrow)
    if status == "unknown" and resolution > 0:  # rates that drown may still leave nothing below
        return interior_point(dictionary, prior, observed, attained)
    return dataclasses.replace(
        zero, status="empty" if status == "empty" and complete else "unknown"
    )


def remembered_interior_point(dictionary, prior, resolution):
    """``interior_point`` of unmasked problems, kept with the dictionary for the last few priors."""
    known = dictionary.__dict__.setdefault("_interior_points", {})
    key = (prior, resolution)  # priors are immutable and compared by identity
    if key not in known:
        while len(known) >= _KEPT:
            known.pop(next(iter(known)))
        known[key] = interior_point(dictionary, prior, resolution=resolution)
    return known[key]


def _narrow_atoms(dictionary, prior, low, high, around_zero):
    """The atoms with no room, or (of separable priors) little beside the others; None if none."""
    norms = dictionary.atom_norms
    sizes = np.where(norms > 0, norms, 1.0)
    rates = np.abs(np.stack([low, high])) / sizes  # distances of the constraints from zero
    widest = rates.max(initial=0.0, where=np.isfinite(rates))
    nearest = rates.min(axis=0).ravel()
    fixed = ((low == 0) & (high == 0) & around_zero).ravel()
    tight = (nearest < _LITTLE_ROOM * widest) & ~fixed & (norms.ravel() > 0)
    tight &= prior.is_separable
    places = [np.flatnonzero(some) for some in (fixed, tight)]
    pixels = int(np.prod(dictionary.signal_shape))
    # the tightest, as many as a correction can meet and whose pseudo-inverse is soon found
    room = max(0, min(pixels - len(places[0]), _TIGHT_NUMBERS // pixels))
    places[1] = np.sort(places[1][np.argsort(nearest[places[1]], kind="stable")[:room]])
    count = sum(map(len, places))
    if not count or pixels * count > _LP_NUMBERS:
        return None
    units = np.zeros((count, fixed.size))
    units[np.arange(count), np.concatenate(places)] = 1.0
    atoms = dictionary.synthesize(units.reshape(count, *dictionary.code_shape))
    return NarrowAtoms(*places, atoms.reshape(count, -1))


def _multiples(codes, low, high):
    """Multiples that keep an interior point of the box ``[low, high]`` well inside it.

    Where the box excludes zero, the least leaves room by the factor that the point has beside it.
    """
    least = 0.0
    for bound, excluded in ((low, low > 0), (high, high < 0)):
        least = max(least, np.divide(bound, codes, where=excluded, out=0 * codes).max(initial=0.0))
    bounds = np.concatenate([low, high], axis=None)
    return float(np.sqrt(least)), 1.0 if bounds[np.isfinite(bounds)].any() else np.inf


def _search_spaces(dictionary, observed, narrow):
    """Bases of signals to search: constant images (shift-invariant, cheap), then every pixel.

    Signals that fixed atoms allow.
    """
    pixels = int(np.prod(dictionary.signal_shape))
    everything = np.eye(pixels).reshape(pixels, *dictionary.signal_shape)
    has_fixed = narrow is not None and len(narrow.fixed)
    if len(dictionary.signal_shape) == 3 and observed is None and not has_fixed:
        channels = dictionary.signal_shape[0]
        constant = np.zeros((channels, *dictionary.signal_shape))
        constant[np.arange(channels), np.arange(channels)] = 1.0
        yield constant
    if pixels * int(np.prod(dictionary.code_shape)) <= _LP_NUMBERS:
        every = everything if observed is None else everything[observed.ravel()]
        if has_fixed and len(every):
            flat = every.reshape(len(every), -1)
            basis = _factors(narrow.atoms * flat.any(axis=0), len(narrow.fixed)).basis
            every = (flat - (flat @ basis) @ basis.T).reshape(every.shape)
        yield every


def _largest_margin(dictionary, directions, low, high, fixed, stated):
    """Maximise the distance ``t`` to ``low <= D^T u <= high`` over the span of ``directions``.

    What is found has to obey the ``stated`` bounds too, of which some were taken for zero.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    if len(directions) == 0:
        return None, "empty"  # only u = 0 is left, which the caller tries by itself
    projections = dictionary.analyze(directions).reshape(len(directions), -1).T  # one row per code
    norms = dictionary.atom_norms.ravel()
    sizes = np.where(norms > 0, norms, 1.0)
    sides = (high.ravel(), 1.0), (low.ravel(), -1.0)
    kept = [np.isfinite(bound) & ~fixed.ravel() for bound, _ in sides]
    rows = np.vstack(
        [sign * projections[k] / sizes[k, None] for (_, sign), k in zip(sides, kept, strict=True)]
    )
    limits = np.concatenate(
        [sign * bound[k] / sizes[k] for (bound, sign), k in zip(sides, kept, strict=True)]
    )
    unit = float(np.abs(limits).max(initial=0)) or 1.0  # of a cone any will do
    table = np.column_stack([rows, limits / unit])
    table = table[np.unique(table.round(14), axis=0, return_index=True)[1]]
    answer = linprog(
        np.r_[np.zeros(rows.shape[1]), -1.0],
        A_ub=csr_array(np.column_stack([table[:, :-1], np.ones(len(table))])),
        b_ub=table[:, -1],
        bounds=[(None, None)] * rows.shape[1] + [(None, 1.0)],
        method="highs",
    )
    if answer.status != 0:
        return None, "unknown"
    margin, signal = answer.x[-1], np.tensordot(answer.x[:-1] * unit, directions, axes=1)[None]
    point = DualPoint(signal, dictionary.analyze(signal), "interior")
    allowed = ((point.codes >= stated[0]) & (point.codes <= stated[1])) | fixed
    inside = ((point.codes > low) & (point.codes < high)) | fixed
    if margin > 1e-9 and (inside & allowed).all():
        return point, "interior"
    if allowed.all():
        return dataclasses.replace(point, status="boundary"), "boundary"
    return None, "empty" if margin < -1e-9 else "unknown"
