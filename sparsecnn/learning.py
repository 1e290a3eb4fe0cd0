"""Dictionary learning: code a batch roughly, then improve the atoms for all codes so far.

Olshausen & Field 1996 (the energy as a function of the dictionary); Mairal et al. 2009
(mini-batches whose statistics accumulate).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from .dictionaries import unit_rows
from .engine import single_threaded_blas
from .problem import SparseCodingProblem
from .solvers import proximal_gradient_for
from .validation import InputError, as_float_array, as_generator, as_integer, as_number

#: An atom used less than this fraction of the mean over an epoch is dead and is replaced.
_DEAD = 1e-3
#: Past batches fade as (1 - n / N)**_FADING, for n new samples of N seen: a memory of N / 8.
_FADING = 8.0
#: Passes over the atoms after a batch, at most, and the largest change of an entry that ends them.
_PASSES, _STILL = 3, 1e-2
#: An epoch has so many batches at least, unless they had fewer samples than this.
_BATCHES, _LITTLE = 8, 32
#: An epoch codes about so many coefficients at most, of random samples.
_EPOCH_CODES = 1 << 24
#: Iterations that one batch is worth: at most so many, and fewer for large code maps (so many
#: iterations times codes), each of which shows the filters many times.
_FEWEST, _MOST, _WORK = 5, 200, 100_000
#: In the first epochs codes that the next ones start from may be so much looser, halved each time.
_EARLY = 4.0
#: Codes looser than this are computed in float32, whatever the signals are.
_ROUGH = 1e-4
#: Codes of an epoch are kept as starts for the next if they take at most so many bytes.
_KEPT_BYTES = 1 << 28
#: Codes are transformed this many numbers at a time.
_BLOCK_NUMBERS = 1 << 22


@dataclasses.dataclass(frozen=True)
class LearningRecord:
    """A learned dictionary and how it came about.

    Attributes
    ----------
    dictionary : Dictionary or ConvDictionary
        Unit-norm atoms.
    objective : array, shape (n_batches,)
        Mean energy of each batch when it was coded (before its update).
    n_replaced : int
        Dead atoms replaced on the way.
    statistics : AtomStatistics or None
        What the batches said about the atoms; with it a later call goes on learning.
    """

    dictionary: object
    objective: np.ndarray
    n_replaced: int
    statistics: AtomStatistics | None = dataclasses.field(default=None, repr=False)


@single_threaded_blas()
def learn_dictionary(
    x,
    dictionary,
    prior,
    *,
    n_epochs=10,
    batch_size=256,
    tol=1e-2,
    random_state=None,
    on_epoch=None,
    statistics=None,
):
    """Learn unit-norm atoms for signals ``x`` under a sparse prior.

    Each batch is coded roughly. Its codes join the statistics of the batches before, of which older
    ones fade, and every atom in turn moves to where these statistics have the least energy: what
    earlier batches taught is not overwritten by the last. Blank batches are passed over. In the
    first half of the epochs, atoms that an epoch hardly used are replaced at its end by a
    normalised piece of the signal that is explained worst.

    Parameters
    ----------
    x : array-like, shape (n_samples, *dictionary.signal_shape)
        Training signals; float32 computes in float32.
    dictionary : Dictionary or ConvDictionary
        Where to start; its atoms are scaled to unit norm.
    prior : Prior
    n_epochs : int
    batch_size : int
        At most so many samples in a batch. An epoch is split evenly, a small set into up to 8
        batches of at least 32. Where the codes of all samples are more than 2**24 numbers, an epoch
        takes as many random samples as fill these (a batch at least).
    tol : float
        Mean relative gap of a batch's codes while learning (fixed-point residual where there is no
        gap); four and two times that in the first two of several epochs, and looser where maps are
        so large that a few iterations have to do.
    random_state : None, int or Generator
        Order of the samples.
    on_epoch : callable, optional
        Called after each epoch with the ``LearningRecord`` so far; returning True stops.
    statistics : AtomStatistics, optional
        Of a ``LearningRecord`` of this dictionary, to go on from there; left untouched.

    Returns
    -------
    LearningRecord

    References
    ----------
    Olshausen & Field 1996, Emergence of simple-cell receptive field properties by learning a sparse
    code.
    Mairal, Bach, Ponce & Sapiro 2009, Online dictionary learning for sparse coding, algorithms 1
    and 2, section 3.4.
    """
    x = as_float_array(x, "x", expected=f"signals (n_samples, *{dictionary.signal_shape})")
    n_epochs, batch_size = as_integer(n_epochs, "n_epochs"), as_integer(batch_size, "batch_size")
    tol, rng = as_number(tol, "tol", positive=True), as_generator(random_state)
    SparseCodingProblem(x[:1], dictionary, prior)  # refuse a misfit before any work
    unit = _unit_of(x)
    if unit != 1.0:
        x, prior = x / unit, prior.scaled(unit)
    dictionary = dictionary.with_atoms(unit_rows(dictionary.atoms.astype(x.dtype)))
    coder = _RoughCoder(x, prior, dictionary, tol, keep=n_epochs > 1)
    statistics = (statistics or AtomStatistics(dictionary)).in_units(unit)
    objectives, n_replaced = [], 0
    for epoch in range(n_epochs):
        notes = _Notes()
        for rows in _batches(x, batch_size, rng, dictionary):
            problem, codes, objective = coder.code(rows, dictionary, epoch)
            objectives.append(objective * unit * unit)  # inf, no error
            residual = problem.residual(codes)
            notes.take(problem.x, codes, residual)
            statistics.add(dictionary, residual, codes)
            dictionary = statistics.improved(dictionary)
        record = LearningRecord(dictionary, np.array(objectives), n_replaced, statistics)
        if on_epoch and on_epoch(record):
            break
        if 2 * (epoch + 1) <= n_epochs:
            dictionary, replaced = _revived(dictionary, notes, statistics)
            n_replaced += replaced
    return record


def _batches(x, size, rng, dictionary):
    """Batches of an epoch that are not blank: random rows, at most ``size``, as many in each.

    A small set is parted further, so that the atoms move often enough in an epoch to arrive; a
    large one with large code maps, which show the filters often enough, is not used up.
    """
    order = rng.permutation(len(x))[
        : max(size, _EPOCH_CODES // int(np.prod(dictionary.code_shape)))
    ]
    n_batches = max(-(-len(order) // size), min(_BATCHES, len(order) // _LITTLE))
    parts = np.array_split(order, n_batches)
    return [rows for rows in parts if x[rows].any()]


class _RoughCoder:
    """Codes of batches to a mean certificate of ``tol``, with one certificate for most of them.

    A batch gets as many iterations as the one before it needed, starting from the codes that its
    samples had an epoch ago.
    """

    def __init__(self, x, prior, dictionary, tol, keep):
        self._x = x.astype(np.float32) if tol >= _ROUGH else x
        self._prior, self._tol = prior, tol
        self._solver = proximal_gradient_for(prior)()
        self._most = int(np.clip(_WORK // int(np.prod(dictionary.code_shape)), _FEWEST, _MOST))
        self._n_iter = min(10, self._most)
        shape = (len(x), *dictionary.code_shape)
        fits = int(np.prod(shape)) * self._x.itemsize <= _KEPT_BYTES
        self._codes = np.zeros(shape, self._x.dtype) if keep and fits and prior.is_convex else None

    def code(self, rows, dictionary, epoch):
        """The problem of the samples ``rows``, its codes, and their mean energy."""
        problem = SparseCodingProblem(self._x[rows], dictionary, self._prior)
        codes = None if self._codes is None else self._codes[rows]
        tol = self._tol if self._codes is None else self._tol * max(1.0, _EARLY / 2**epoch)
        spent, more = 0, self._n_iter
        while True:
            codes = self._solver.advance(problem, more, codes)
            spent += more
            if spent >= self._most:  # whatever the gap is: only the energy is wanted
                left, energy = 1.0, float(problem.objective(codes).mean())
                break
            energy, measure = _certified(problem, codes)
            left = np.sqrt(measure / tol)  # the gap falls like the square of the iterations
            if left <= 1:
                break
            more = int(np.clip((left - 1) * spent, 1, self._most - spent))
        self._n_iter = spent if left > 0.7 else -(-4 * spent // 5)
        if self._codes is not None:
            self._codes[rows] = codes
        return problem, codes, energy


def _certified(problem, codes):
    """Mean energy, and the mean of what a solver would stop on."""
    gap = problem.prior.is_convex and problem.dual_interior.status == "interior"
    found = problem.certificate(codes, stationarity=not gap)
    measure = found.relative_gap if gap else np.fmin(found.relative_gap, found.fixed_point_residual)
    return float(found.objective.mean()), float(measure.mean())


class AtomStatistics:
    """What the codes of past batches say about the atoms: sums of ``z z^T`` and ``z x^T``.

    Older batches fade. The sums hold an upper bound of the mean fidelity of those batches as a
    function of the atoms, tight at the atoms they were coded with; it *is* the fidelity for dense
    atoms, and for filters with valid padding or on a periodic grid that the stride divides. For
    filters ``z z^T`` are the correlations of the code maps at the shifts where copies overlap.

    Parameters
    ----------
    dictionary : Dictionary or ConvDictionary
        Whose atoms, or their successors, the statistics are about.

    References
    ----------
    Mairal, Bach, Ponce & Sapiro 2009, algorithm 2 and section 3.4.
    Mairal 2013, Stochastic majorization-minimization algorithms for large-scale optimization.
    """

    def __init__(self, dictionary):
        self._pieces = pieces = _Pieces.of(dictionary)
        n, (qy, qx) = dictionary.n_atoms, pieces.number
        self._lags = np.zeros((n, n, 2 * qy - 1, 2 * qx - 1))
        self._pull = np.zeros_like(pieces.split(dictionary.atoms), dtype=np.float64)
        self._n_seen, self._unit = 0, 1.0

    def in_units(self, unit):
        """A copy for signals and codes measured in units of ``unit`` (a power of two)."""
        twin = object.__new__(AtomStatistics)
        exponent = int(np.clip(2 * (np.log2(self._unit) - np.log2(unit)), -900, 900))
        twin.__dict__.update(self.__dict__, _unit=unit)
        twin._lags, twin._pull = np.ldexp(self._lags, exponent), np.ldexp(self._pull, exponent)
        return twin

    def add(self, dictionary, residual, codes):
        """Take in a batch: its codes and what they left unexplained with these atoms."""
        pieces, n = self._pieces, len(codes)
        lags = pieces.correlations(codes)
        pull = pieces.split(dictionary.atom_gradient(residual, codes)).astype(np.float64)
        pull += _times(lags, pieces.split(dictionary.atoms))
        self._n_seen += n
        fade = (1 - n / self._n_seen) ** _FADING
        self._lags, self._pull = fade * self._lags + lags, fade * self._pull + pull

    def forget(self, atoms):
        """Drop what was known of these atoms, which are replaced."""
        self._lags[atoms] = self._lags[:, atoms] = self._pull[atoms] = 0

    def improved(self, dictionary):
        """The dictionary after block-coordinate passes on the sphere; none raises the bound."""
        pieces = self._pieces
        atoms = np.array(pieces.split(dictionary.atoms), dtype=np.float64, order="C")
        own = np.einsum("kkij->kij", self._lags)[:, None]
        own = np.concatenate([rows for _, rows in _overlaps(own)])
        curvature = np.linalg.eigvalsh(own)[:, -1]
        for _ in range(_PASSES):
            if self._pass(atoms, curvature) < _STILL:
                break
        joined = pieces.join(atoms).reshape(dictionary.atoms.shape)
        return dictionary.with_atoms(joined.astype(dictionary.atoms.dtype))

    def _pass(self, atoms, curvature):
        """Move each atom to the minimum of the bound, or towards it; return the largest move."""
        flat, largest = atoms.reshape(-1, atoms.shape[2]), 0.0
        for first, block in _overlaps(self._lags):
            for k, row in enumerate(block, first):
                if not curvature[k] > 0:
                    continue
                slope = self._pull[k] - row @ flat
                moved = self._pieces.inside(atoms[k] + slope / curvature[k])
                size = np.linalg.norm(moved)
                if size > 0:
                    moved /= size
                    largest = max(largest, np.abs(moved - atoms[k]).max())
                    atoms[k] = moved
        return largest


@dataclasses.dataclass(frozen=True)
class _Pieces:
    """How filters are cut into pieces of the size of the stride, so that copies overlap piecewise.

    With this cut a filter bank is a block-Toeplitz dictionary of its pieces. Dense atoms, and
    filters whose copies do not overlap, are a single piece.

    Attributes
    ----------
    shape : tuple
        Of the filters, (n_atoms, channels, height, width).
    number, size : tuple of int
        Pieces, and pixels of a piece, along (height, width); the last piece may be empty in part.
    period : tuple of int or None
        Of the code maps, on a periodic grid that the stride divides.
    folds : int
        How often a pixel is covered, at most, where copies wrap around otherwise.
    """

    shape: tuple
    number: tuple
    size: tuple
    period: tuple | None
    folds: int

    @classmethod
    def of(cls, dictionary):
        """The cut for this dictionary."""
        if dictionary.atoms.ndim == 2:
            return cls((*dictionary.atoms.shape, 1, 1), (1, 1), (1, 1), None, 1)
        geometry = dictionary.geometry
        image, maps = geometry.in_shape[1:], geometry.out_shape[1:]
        divides = all(n % s == 0 for n, s in zip(image, geometry.stride, strict=True))
        periodic = geometry.circular and divides
        size = tuple(
            k if m == 1 and not periodic else min(k, s)
            for k, s, m in zip(geometry.kernel, geometry.stride, maps, strict=True)
        )
        number = tuple(-(-k // s) for k, s in zip(geometry.kernel, size, strict=True))
        folds = 1
        if geometry.circular and not periodic:
            folds = np.prod([-(-p // n) for p, n in zip(geometry.padded_shape, image, strict=True)])
        return cls(dictionary.atoms.shape, number, size, maps if periodic else None, int(folds))

    def split(self, atoms):
        """Filters as (n_atoms, pieces, numbers of a piece)."""
        (_, channels, *kernel), (qy, qx), (sy, sx) = self.shape, self.number, self.size
        n = len(atoms)
        whole = np.zeros((n, channels, qy * sy, qx * sx), dtype=atoms.dtype)
        whole[:, :, : kernel[0], : kernel[1]] = atoms.reshape(n, *self.shape[1:])
        whole = whole.reshape(n, channels, qy, sy, qx, sx).transpose(0, 2, 4, 1, 3, 5)
        return whole.reshape(n, qy * qx, -1)

    def join(self, pieces):
        """The inverse of ``split``, in four dimensions."""
        (_, channels, *kernel), (qy, qx), (sy, sx) = self.shape, self.number, self.size
        whole = pieces.reshape(-1, qy, qx, channels, sy, sx).transpose(0, 3, 1, 4, 2, 5)
        return whole.reshape(-1, channels, qy * sy, qx * sx)[:, :, : kernel[0], : kernel[1]]

    def correlations(self, codes):
        """``sum z_k(p) z_k'(p + lag)`` over samples, shape (n_atoms, n_atoms, lags, lags)."""
        n_atoms = codes.shape[1]
        if self.number == (1, 1):
            rows = np.moveaxis(codes.reshape(len(codes), n_atoms, -1), 1, 0).reshape(n_atoms, -1)
            return self.folds * (rows @ rows.T).astype(np.float64)[:, :, None, None]
        size = self.period or [
            scipy.fft.next_fast_len(m + q - 1, real=True)
            for m, q in zip(codes.shape[2:], self.number, strict=True)
        ]
        block = max(1, _BLOCK_NUMBERS // (n_atoms * int(np.prod(size))))
        power = 0.0
        for start in range(0, len(codes), block):
            spectrum = scipy.fft.rfft2(codes[start : start + block], size, axes=(2, 3))
            spectrum = np.ascontiguousarray(spectrum.transpose(2, 3, 1, 0))
            power = power + spectrum.conj() @ spectrum.swapaxes(2, 3)
        lags = scipy.fft.irfft2(power, size, axes=(0, 1)).transpose(2, 3, 0, 1)
        rows, columns = (np.arange(1 - q, q) % n for q, n in zip(self.number, size, strict=True))
        return self.folds * lags[:, :, rows[:, None], columns].astype(np.float64)

    def inside(self, atom):
        """One atom's pieces, zero outside the filter."""
        return atom * self._mask

    @functools.cached_property
    def _mask(self):
        return self.split(np.ones((1, *self.shape[1:])))[0]


def _overlaps(lags):
    """Rows of the block-Toeplitz matrix of overlaps, some atoms at a time: pairs (first atom,
    array (atoms, pieces, n_atoms * pieces)).
    """
    n_others, (qy, qx) = lags.shape[1], ((n + 1) // 2 for n in lags.shape[2:])
    step = max(1, _BLOCK_NUMBERS // (n_others * (qy * qx) ** 2))
    for first in range(0, len(lags), step):
        windows = sliding_window_view(lags[first : first + step], (qy, qx), axis=(2, 3))
        rows = windows[..., ::-1, ::-1].transpose(0, 2, 3, 1, 4, 5)
        yield first, rows.reshape(len(rows), qy * qx, -1)


def _times(lags, atoms):
    """The overlap matrix times atoms in pieces."""
    flat = atoms.reshape(-1, atoms.shape[2])
    return np.concatenate([rows @ flat for _, rows in _overlaps(lags)])


class _Notes:
    """What an epoch used, and its worst explained signals, from which dead atoms are reborn."""

    def __init__(self):
        self.usage, self._pieces = 0.0, []

    def take(self, signals, codes, residual):
        self.usage = self.usage + np.abs(codes).sum(axis=(0, *range(2, codes.ndim)))
        energy = np.einsum("ni,ni->n", *(residual.reshape(len(residual), -1),) * 2)
        for i in np.argsort(energy)[::-1][:8]:
            self._pieces.append((float(energy[i]), signals[i].copy(), residual[i].copy()))
        self._pieces = sorted(self._pieces, key=lambda piece: -piece[0])[:64]

    def atoms(self, n, shape):
        """``n`` unit-norm atoms of ``shape`` from the worst-explained places,
        at most one per signal.
        """
        atoms = []
        for _, signal, residual in self._pieces:
            atom = (
                signal
                if signal.shape == shape
                else _most_energetic_window(signal, residual, shape[1:])
            )
            atom = atom - (atom.mean() if atom.ndim > 1 and atom.size > 1 else 0.0)
            norm = np.linalg.norm(atom)
            if norm > 0:
                atoms.append(atom / norm)
            if len(atoms) == n:
                break
        return atoms


def _most_energetic_window(signal, residual, size):
    from scipy.ndimage import uniform_filter

    energy = uniform_filter(
        (residual.astype(np.float64) ** 2).sum(axis=0), size=size, mode="constant"
    )
    top = [e // 2 for e in size]
    inside = energy[
        top[0] : energy.shape[0] - size[0] + top[0] + 1,
        top[1] : energy.shape[1] - size[1] + top[1] + 1,
    ]
    if inside.size == 0:  # the filter is larger than the image: pad the signal with zeros
        padded = np.zeros((signal.shape[0], *size), dtype=signal.dtype)
        cut = [min(a, b) for a, b in zip(size, signal.shape[1:], strict=True)]
        padded[:, : cut[0], : cut[1]] = signal[:, : cut[0], : cut[1]]
        return padded
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    return signal[:, y : y + size[0], x : x + size[1]]


def _revived(dictionary, notes, statistics):
    """Replace atoms that the last epoch hardly used."""
    dead = np.flatnonzero(notes.usage <= _DEAD * np.mean(notes.usage))
    if len(dead) == 0:
        return dictionary, 0
    fresh = notes.atoms(len(dead), dictionary.atoms.shape[1:])
    atoms = dictionary.atoms.copy()
    for j, atom in zip(dead, fresh, strict=False):
        atoms[j] = atom
    statistics.forget(dead[: len(fresh)])
    return dictionary.with_atoms(unit_rows(atoms)), len(fresh)


def _unit_of(x):
    """A power of two near the largest magnitude, 1 for ordinary data."""
    largest = float(np.abs(x).max())
    if largest == 0:
        raise InputError(
            "x is all zero; expected signals with some contrast, or there is nothing to learn."
        )
    exponent = int(np.frexp(largest)[1])
    return float(2.0**exponent) if abs(exponent) > 20 else 1.0
