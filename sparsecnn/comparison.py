"""Coding against the forward transform: one table per level, one per readout, on the same images.

Every solver faces the same problem at each level (posed on the exact codes of the level below), so
that a level's numbers are its own; the readouts use each solver's own greedy pass through the whole
stack.
"""

from __future__ import annotations

import dataclasses
import time
import warnings

import numpy as np

from .dictionaries import ConvDictionary, Dictionary, unit_rows
from .engine import single_threaded_blas
from .hierarchy import Hierarchy
from .problem import SparseCodingProblem
from .solvers import FISTA, ISTA, ForwardTransform, Solver
from .validation import (
    ConvergenceWarning,
    InputError,
    InputTypeError,
    as_float_array,
    as_generator,
    as_integer,
)

_TIMED_SAMPLES = 512


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """One solver at one level, averaged over samples (worst over samples where named so).

    Attributes
    ----------
    level : int
        1 is the level that sees the signals.
    solver : str
    gap : float
        Mean relative duality gap (nan for a non-convex prior); ``worst_gap`` the largest.
    residual : float
        Mean relative fixed-point residual.
    code_error : float
        Mean ``||z - z*|| / ||z*||`` over samples with ``z* != 0``; ``z*`` is the last solver's
        code.
    support_overlap : float
        Mean Jaccard index of the supports of ``z`` and ``z*``.
    density : float
        Fraction of nonzero coefficients.
    reconstruction_error : float
        Mean ``||x - D z|| / ||x||``.
    reconstruction_distance, bound : float
        Mean ``||D z - D z*|| / ||x||``, and its certified bound, mean ``sqrt(2 dual gap) / ||x||``.
    milliseconds : float
        CPU milliseconds per 1,000 samples.
    converged : float
        Fraction of samples certified to the solver's tolerance.
    """

    level: int
    solver: str
    gap: float
    worst_gap: float
    residual: float
    code_error: float
    support_overlap: float
    density: float
    reconstruction_error: float
    reconstruction_distance: float
    bound: float
    milliseconds: float
    converged: float


@dataclasses.dataclass(frozen=True)
class LevelInfo:
    """What is measured of a level's dictionary.

    Attributes
    ----------
    level : int
    dictionary, prior : str
    mutual_coherence, gram_deviation, lipschitz : float
        ``gram_deviation`` is ``||D^T D - I||_2``.
    """

    level: int
    dictionary: str
    prior: str
    mutual_coherence: float
    gram_deviation: float
    lipschitz: float


@dataclasses.dataclass(frozen=True)
class ReadoutRow:
    """Accuracy of a logistic regression trained on one solver's codes.

    Attributes
    ----------
    solver : str
    accuracy : dict
        Noise standard deviation -> accuracy on held-out images.
    drift : float
        Mean ``||z - z*|| / ||z*||`` of the top codes of this solver's own pass (clean images).
    """

    solver: str
    accuracy: dict
    drift: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of ``compare``.

    Attributes
    ----------
    levels : tuple of LevelInfo
    rows : tuple of ComparisonRow
    readouts : tuple of ReadoutRow
        Empty without labels.
    gaps, residuals, errors : dict
        Per-sample relative gaps, fixed-point residuals and code errors, keyed ``(level, solver)``.
    examples : dict
        Codes of the first samples, keyed ``(level, solver)``.
    signals : array
        Those samples.
    dictionaries : tuple
        One per level.
    meta : dict
        What was run: data, sizes, seed, memory, as given by the caller.
    """

    levels: tuple[LevelInfo, ...]
    rows: tuple[ComparisonRow, ...]
    readouts: tuple[ReadoutRow, ...]
    gaps: dict
    residuals: dict
    errors: dict
    examples: dict
    signals: np.ndarray
    dictionaries: tuple
    meta: dict

    @property
    def reference(self):
        """str: the solver whose codes are ``z*``, the last one."""
        return self.rows[-1].solver

    def summary(self):
        """The table as text.

        Returns
        -------
        str
        """
        blocks = []
        for info in self.levels:
            blocks.append(
                f"level {info.level}: {info.dictionary}, {info.prior}\n"
                f"  mutual coherence {info.mutual_coherence:.3f}   ||G - I||_2 "
                f"{info.gram_deviation:.4g}   "
                f"L {info.lipschitz:.4g}"
            )
            rows = [
                (
                    r.solver, _gap_text(r), f"{r.code_error:.2e}", f"{r.support_overlap:.3f}",
                    f"{r.density:.3f}", f"{r.reconstruction_error:.3f}", f"{r.bound:.2e}",
                    f"{r.milliseconds:.1f}",
                )
                for r in self.rows
                if r.level == info.level
            ]  # fmt: skip
            head = (
                "solver", "gap", "code error", "support", "density", "recon.", "bound", "ms/1000"
            )  # fmt: skip
            blocks.append(_table([head, *rows]))
        if self.readouts:
            noises = list(self.readouts[0].accuracy)
            head = ("readout on", *("clean" if s == 0 else f"noise {s:g}" for s in noises), "drift")
            rows = [
                (r.solver, *(f"{r.accuracy[s]:.1%}" for s in noises), f"{r.drift:.2e}")
                for r in self.readouts
            ]
            blocks.append("logistic readout, accuracy on held-out images\n" + _table([head, *rows]))
        return "\n".join(blocks)

    def to_dict(self):
        """The tables as plain numbers and strings, ready for JSON (nan becomes None).

        Returns
        -------
        dict
        """
        readouts = [
            {**dataclasses.asdict(r), "accuracy": {f"{k:g}": v for k, v in r.accuracy.items()}}
            for r in self.readouts
        ]
        return _plain(
            {
                "levels": [dataclasses.asdict(v) for v in self.levels],
                "rows": [dataclasses.asdict(r) for r in self.rows],
                "readouts": readouts,
                "meta": self.meta,
            }
        )

    def __repr__(self):
        solvers = [row.solver for row in self.rows if row.level == 1]
        return f"Comparison({len(self.levels)} level(s), solvers {solvers})"


def compare(
    model,
    solvers=None,
    *,
    x=None,
    y=None,
    readout=None,
    noise=(0.0, 0.1, 0.2),
    meta=None,
    progress=None,
):
    """How far the forward transform is from the code: the same images through several solvers.

    Parameters
    ----------
    model : SparseCodingProblem or Hierarchy
    solvers : dict of str to Solver, or sequence of Solver, optional
        The last one is the reference ``z*``. Default: forward, calibrated forward, 3 and 10 steps
        of the iterative solver, and the exact code (relative gap 1e-6).
    x : array-like, shape (n_samples, *signal_shape)
        Images for a ``Hierarchy`` (a problem carries its own).
    y : array-like, shape (n_samples,), optional
        Labels of ``x``; with ``readout``, accuracies are measured.
    readout : tuple (x_train, y_train), optional
        Images and labels to train a logistic regression on each solver's codes. Default with ``y``:
        three quarters of ``x`` train and the rest is compared.
    noise : sequence of float
        Standard deviations of the Gaussian noise added to held-out images, in units of ``x``.
    meta : dict, optional
        Kept in the result.
    progress : callable, optional
        Called with a sentence before each stage, as ``progress(text, done, total)``.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> import sparsecnn as sc
    >>> x = np.random.default_rng(0).standard_normal((8, 16))
    >>> dictionary = sc.Dictionary.orthonormal(16, random_state=0)
    >>> result = sc.compare(sc.SparseCodingProblem(x, dictionary, sc.Exponential(0.5)))
    >>> max(row.gap for row in result.rows if row.solver in ("forward", "exact")) < 1e-14
    True
    """
    with single_threaded_blas():
        return _compare(model, solvers, x, y, readout, noise, meta, progress)


def _compare(model, solvers, x, y, readout, noise, meta, progress):
    stage = progress or (lambda text, done, total: None)
    if isinstance(model, SparseCodingProblem):
        if x is not None or y is not None:
            raise InputError(
                "x and y come with a Hierarchy; a problem carries its own signals. Leave them out."
            )
        named = _named_solvers(solvers, model.prior)
        stage("level 1", 0, 1)
        return _collected([_LevelComparison(1, model, named)], (), model.x, meta)
    if not isinstance(model, Hierarchy):
        raise InputTypeError(f"model is {model!r}; expected a SparseCodingProblem or a Hierarchy.")
    if x is None:
        raise InputError(
            "x is missing; expected images for the hierarchy, compare(hierarchy, x=images)."
        )
    x = as_float_array(
        x, "x", expected=f"images (n_samples, *{model.levels[0].dictionary.signal_shape})"
    )
    x, y, readout = _readout_data(x, y, readout)
    named = _named_solvers(solvers, model.levels[0].prior)
    total = len(model.levels) + (len(named) if readout else 0)
    levels, below = [], x
    for i, level in enumerate(model.levels):
        stage(f"level {i + 1} of {len(model.levels)}", i, total)
        below = below.reshape(len(below), *level.dictionary.signal_shape)
        problem = SparseCodingProblem(below, level.dictionary, level.prior)
        levels.append(_LevelComparison(i + 1, problem, named))
        below = levels[-1].reference.codes
        if level.pool is not None:
            below = level.pool.forward(below)[0]
    readouts = ()
    if readout:
        done = len(model.levels)
        readouts = _readouts(
            model, named, x, y, readout, noise,
            lambda n, k: stage(f"readout on {n}", done + k, total),
        )  # fmt: skip
    return _collected(levels, readouts, x, meta)


def standard_solvers(prior):
    """The dial from one step to the code, by name; the last is the reference.

    Parameters
    ----------
    prior : Prior
        Decides between accelerated and plain proximal gradient.

    Returns
    -------
    dict of str to Solver
    """
    iterative = FISTA if prior.is_convex else ISTA
    return {
        "forward": ForwardTransform(),
        "calibrated": ForwardTransform(calibrate=True),
        "3 steps": iterative(max_iter=3),
        "10 steps": iterative(max_iter=10),
        "exact": iterative(max_iter=10_000),
    }


# -- levels ---------------------------------------------------------------------------------
class _LevelComparison:
    """All solvers on one problem."""

    def __init__(self, level, problem, solvers):
        self.level, self.problem = level, problem
        self.names = list(solvers)
        self.solutions = {
            name: _quiet_unless_last(solver, problem, name == self.names[-1])
            for name, solver in solvers.items()
        }
        self.reference = self.solutions[self.names[-1]]
        self.milliseconds = {
            name: _cpu_milliseconds(solver, problem) for name, solver in solvers.items()
        }
        axes = tuple(range(1, problem.x.ndim))
        observed = problem.x if problem.mask is None else problem.x * problem.mask
        self._size = np.sqrt((observed.astype(np.float64) ** 2).sum(axis=axes))
        self._image = observed - problem.residual(self.reference.codes)
        self.errors = {
            name: _relative_error(s.codes, self.reference.codes)
            for name, s in self.solutions.items()
        }

    def info(self):
        d = self.problem.dictionary
        measured = (d.mutual_coherence, d.gram_deviation, d.lipschitz)
        return LevelInfo(self.level, repr(d), repr(self.problem.prior), *measured)

    def row(self, name):
        solution, problem = self.solutions[name], self.problem
        residual = problem.residual(solution.codes)
        observed = problem.x if problem.mask is None else problem.x * problem.mask
        support, wanted = solution.codes != 0, self.reference.codes != 0
        return ComparisonRow(
            level=self.level,
            solver=name,
            gap=float(np.mean(solution.gap)),
            worst_gap=float(np.max(solution.gap)),
            residual=float(np.mean(solution.residual)),
            code_error=_mean(self.errors[name]),
            support_overlap=float(np.mean(_jaccard(support, wanted))),
            density=float(support.mean()),
            reconstruction_error=self._relative_mean(_norms(residual)),
            reconstruction_distance=self._relative_mean(_norms(observed - residual - self._image)),
            bound=self._relative_mean(np.sqrt(2 * solution.dual_gap)),
            milliseconds=self.milliseconds[name],
            converged=float(solution.converged.mean()),
        )

    def _relative_mean(self, sizes):
        seen = self._size > 0
        return float(np.mean(sizes[seen] / self._size[seen])) if seen.any() else 0.0


def _quiet_unless_last(solver, problem, is_reference):
    with warnings.catch_warnings():
        if not is_reference:
            warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps were asked for
        return solver.solve(problem)


def _cpu_milliseconds(solver, problem):
    """CPU milliseconds per 1,000 samples: the bare iterations of a fixed number of steps,
    else a whole solve.
    """
    part = problem.subset(slice(0, _TIMED_SAMPLES))
    fixed = solver.max_iter <= 100
    start = time.process_time()
    if fixed:
        steps = solver.iterates(part, None)
        for _ in range(solver.max_iter):
            next(steps)
    else:
        _quiet_unless_last(solver, part, False)
    return (time.process_time() - start) * 1e6 / part.n_samples


def _collected(levels, readouts, signals, meta):
    return Comparison(
        levels=tuple(level.info() for level in levels),
        rows=tuple(level.row(name) for level in levels for name in level.names),
        readouts=tuple(readouts),
        gaps={(v.level, n): v.solutions[n].gap for v in levels for n in v.names},
        residuals={(v.level, n): v.solutions[n].residual for v in levels for n in v.names},
        errors={(v.level, n): v.errors[n] for v in levels for n in v.names},
        examples={(v.level, n): v.solutions[n].codes[:6] for v in levels for n in v.names},
        signals=signals[:6],
        dictionaries=tuple(v.problem.dictionary for v in levels),
        meta=dict(meta or {}),
    )


# -- readouts -------------------------------------------------------------------------------
def _readout_data(x, y, readout):
    if y is not None:
        y = np.asarray(y)
        if y.shape != (len(x),):
            raise InputError(f"y has shape {y.shape}; expected ({len(x)},), one label per image.")
        if readout is None:
            cut = (3 * len(x)) // 4
            readout, x, y = (x[:cut], y[:cut]), x[cut:], y[cut:]
        if len(np.unique(readout[1])) < 2:
            raise InputError(
                "the training labels have one class only; expected at least two. Leave y out."
            )
    return x, y, readout if y is not None else None


def _readouts(hierarchy, solvers, x, y, readout, noise, stage):
    rows, reference = [], None
    rng = np.random.default_rng(0)
    noisy = {float(s): x + s * rng.standard_normal(x.shape).astype(x.dtype) for s in noise}
    for k, name in reversed(list(enumerate(solvers))):  # the reference first
        stage(name, len(solvers) - 1 - k)
        encode = _Encoder(hierarchy, solvers[name])
        classifier, scale = _fit_readout(encode(readout[0]), readout[1])
        accuracy, drift = {}, 0.0
        for s, images in noisy.items():
            features = encode(images)
            accuracy[s] = float((classifier.predict(features / scale) == y).mean())
            if s == 0:
                reference = features if reference is None else reference
                drift = _mean(_relative_error(features, reference))
        rows.append(ReadoutRow(name, accuracy, drift))
    return rows[::-1]


class _Encoder:
    """Flat top codes of one solver's greedy pass."""

    def __init__(self, hierarchy, solver):
        self.hierarchy, self.solver = hierarchy, solver

    def __call__(self, x):
        parts = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the level tables carry the gaps
            for start in range(0, len(x), 4096):
                codes = self.hierarchy.encode(x[start : start + 4096], self.solver)
                parts.append(codes.reshape(len(codes), -1))
        return np.concatenate(parts)


def _fit_readout(features, labels):
    from sklearn.linear_model import LogisticRegression

    scale = float(features.std()) or 1.0
    classifier = LogisticRegression(C=1.0, max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(features / scale, labels)
    return classifier, scale


# -- error against coherence ----------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class CoherencePoint:
    """One dictionary of a sweep; averages over the samples.

    Attributes
    ----------
    family, setting : str
        Which atoms, and what was varied ("stride 2", "16 atoms").
    mutual_coherence : float
    gap, code_error, support_overlap : float
        Of the forward transform, against the exact code (relative gap 1e-6).
    calibrated_error : float
        Code error of the calibrated forward transform.
    """

    family: str
    setting: str
    mutual_coherence: float
    gap: float
    code_error: float
    support_overlap: float
    calibrated_error: float


@dataclasses.dataclass(frozen=True)
class CoherenceSweep:
    """The result of ``coherence_sweep``.

    Attributes
    ----------
    points : tuple of CoherencePoint
    prior : str
    n_samples : int
    """

    points: tuple[CoherencePoint, ...]
    prior: str
    n_samples: int

    def summary(self):
        """The points as a text table.

        Returns
        -------
        str
        """
        head = ("dictionary", "coherence", "gap", "code error", "calibrated", "support")
        rows = [
            (
                f"{p.family}, {p.setting}", f"{p.mutual_coherence:.3f}", f"{p.gap:.1e}",
                f"{p.code_error:.2e}", f"{p.calibrated_error:.2e}", f"{p.support_overlap:.3f}",
            )
            for p in self.points
        ]  # fmt: skip
        title = f"one step against the code, {self.n_samples} samples, {self.prior}\n"
        return title + _table([head, *rows])

    def to_dict(self):
        """Plain numbers and strings, ready for JSON (nan becomes None).

        Returns
        -------
        dict
        """
        return _plain(dataclasses.asdict(self))


def coherence_sweep(x, dictionary, prior, *, n_samples=64, random_state=0, progress=None):
    """How the error of one step grows with the mutual coherence of the dictionary.

    A convolutional dictionary is varied in its stride, from the kernel size down to 1; a dense one
    in its number of atoms. Three families share the geometry: the given atoms, random ones, and
    orthonormal ones (as many as there can be), all of unit norm.

    Parameters
    ----------
    x : array-like, shape (n, *dictionary.signal_shape)
    dictionary : Dictionary or ConvDictionary
    prior : Prior
        With one rate for all coefficients, so that it fits every member of the sweep.
    n_samples : int
        The first so many signals are coded.
    random_state : None, int or Generator
        For the random and the orthonormal atoms.
    progress : callable, optional
        Called before each dictionary, as ``progress(text, done, total)``.

    Returns
    -------
    CoherenceSweep

    Examples
    --------
    >>> import sparsecnn as sc
    >>> x = np.random.default_rng(0).standard_normal((4, 1, 6, 6))
    >>> sweep = coherence_sweep(x, sc.ConvDictionary.dct(2, (6, 6)), sc.Exponential(0.1))
    >>> [p.mutual_coherence < 1e-12 for p in sweep.points if p.setting == "stride 2"]
    [True, False, True]
    """
    x = as_float_array(x, "x", expected=f"signals (n, *{dictionary.signal_shape})")
    x = x[: as_integer(n_samples, "n_samples")].astype(np.float64)
    rng = as_generator(random_state)
    members, points = _sweep_members(dictionary, rng), []
    solvers = standard_solvers(prior)
    with single_threaded_blas():
        for k, (family, setting, member) in enumerate(members):
            if progress:
                progress(f"{family}, {setting}", k, len(members))
            problem = SparseCodingProblem(x, member, prior)
            one, scaled, code = (
                _quiet_unless_last(solvers[n], problem, n == "exact")
                for n in ("forward", "calibrated", "exact")
            )
            errors = [_mean(_relative_error(s.codes, code.codes)) for s in (one, scaled)]
            overlap = float(np.mean(_jaccard(one.codes != 0, code.codes != 0)))
            gap, coherence = float(np.mean(one.gap)), member.mutual_coherence
            points.append(
                CoherencePoint(family, setting, coherence, gap, errors[0], overlap, errors[1])
            )
    return CoherenceSweep(tuple(points), repr(prior), len(x))


def _sweep_members(dictionary, rng):
    """(family, setting, dictionary) of every member, least overlap first."""
    atoms = unit_rows(np.asarray(dictionary.atoms))
    flat = (len(atoms), int(np.prod(atoms.shape[1:])))
    noise = unit_rows(rng.standard_normal(flat)).reshape(atoms.shape)
    basis = np.linalg.qr(rng.standard_normal((flat[1], flat[1])))[0][: flat[0]]
    families = {
        "these atoms": atoms,
        "random": noise,
        "orthonormal": basis.reshape(-1, *atoms.shape[1:]),
    }
    if hasattr(dictionary, "filters"):
        kernel = max(atoms.shape[2:])
        strides = np.unique(np.geomspace(1, kernel, 5).round().astype(int))[::-1]
        return [
            (
                name,
                f"stride {s}",
                ConvDictionary(a, dictionary.image_shape, int(s), dictionary.padding),
            )
            for name, a in families.items()
            for s in strides
        ]
    sizes = np.unique(np.geomspace(min(2, flat[0]), flat[0], 6).round().astype(int))
    return [
        (name, f"{n} atoms", Dictionary(a[:n]))
        for name, a in families.items()
        for n in sizes
        if n <= len(a)
    ]


# -- arithmetic -----------------------------------------------------------------------------
def _named_solvers(solvers, prior):
    if solvers is None:
        return standard_solvers(prior)
    if isinstance(solvers, Solver):
        solvers = [solvers]
    if not isinstance(solvers, dict):
        solvers = {repr(s): s for s in solvers}
    wrong = [s for s in solvers.values() if not isinstance(s, Solver)]
    if wrong or not solvers:
        raise InputTypeError(
            f"solvers is {solvers!r}; expected solvers such as FISTA(), or a dict of them by name."
        )
    return dict(solvers)


def _norms(array):
    flat = array.reshape(len(array), -1).astype(np.float64, copy=False)
    return np.sqrt(np.einsum("ni,ni->n", flat, flat))


def _relative_error(codes, reference):
    """``||z - z*|| / ||z*||`` per sample; nan where ``z* = 0`` and ``z != 0``."""
    distance, size = _norms(codes - reference), _norms(reference)
    relative = np.divide(distance, size, out=np.full(len(size), np.nan), where=size > 0)
    relative[distance == 0] = 0.0
    return relative


def _jaccard(a, b):
    axes = tuple(range(1, a.ndim))
    either, both = (a | b).sum(axis=axes), (a & b).sum(axis=axes)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def _mean(values):
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def _gap_text(row):
    return f"{row.gap:.1e}" if np.isfinite(row.gap) else f"({row.residual:.1e})"


def _table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            f"{row[0]:<{widths[0]}}",
            *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)


def _plain(value):
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
