"""What a comparison and a coherence sweep found: frozen numbers, their table and dictionary."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..tables import Table, fragment


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
        return "\n".join(table.text(indent="  ") for table in self._tables())

    def _repr_html_(self):
        return fragment(*self._tables())

    def _tables(self):
        head = "solver", "gap", "code error", "support", "density", "recon.", "bound", "ms/1000"
        tables = []
        for info in self.levels:
            rows = [r for r in self.rows if r.level == info.level]
            cells = [
                (
                    r.solver, _gap_text(r), _text(r.code_error), f"{r.support_overlap:.3f}",
                    f"{r.density:.3f}", f"{r.reconstruction_error:.3f}", _text(r.bound),
                    f"{r.milliseconds:.1f}",
                )
                for r in rows
            ]  # fmt: skip
            title = (
                f"level {info.level}: {info.dictionary}, {info.prior}\n"
                f"  mutual coherence {info.mutual_coherence:.3f}   ||G - I||_2 "
                f"{info.gram_deviation:.4g}   L {info.lipschitz:.4g}"
            )
            gapless = any(not np.isfinite(r.gap) for r in rows)
            note = "  (in brackets: fixed-point residual, where there is no duality gap)"
            tables.append(Table(head, cells, title, (note,) * gapless))
        if self.readouts:
            noises = list(self.readouts[0].accuracy)
            head = ("readout on", *("clean" if s == 0 else f"noise {s:g}" for s in noises), "drift")
            cells = [
                (r.solver, *(f"{r.accuracy[s]:.1%}" for s in noises), f"{r.drift:.2e}")
                for r in self.readouts
            ]
            tables.append(Table(head, cells, "logistic readout, accuracy on held-out images"))
        return tables

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


@dataclasses.dataclass(frozen=True)
class CoherencePoint:
    """One dictionary of a sweep; averages over the samples.

    Attributes
    ----------
    family, setting : str
        Which atoms, and what was varied ("stride 2", "16 atoms").
    mutual_coherence : float
    gap, code_error, support_overlap : float
        Of the forward transform, against the code (relative gap 1e-3).
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
        return self._table().text(indent="  ")

    def _repr_html_(self):
        return fragment(self._table())

    def __repr__(self):
        return f"CoherenceSweep({len(self.points)} dictionaries, {self.prior})"

    def _table(self):
        head = ("dictionary", "coherence", "gap", "code error", "calibrated", "support")
        rows = [
            (
                f"{p.family}, {p.setting}", f"{p.mutual_coherence:.3f}", _text(p.gap),
                _text(p.code_error), _text(p.calibrated_error), f"{p.support_overlap:.3f}",
            )
            for p in self.points
        ]  # fmt: skip
        title = f"one step against the code, {self.n_samples} samples, {self.prior}"
        return Table(head, rows, title)

    def to_dict(self):
        """Plain numbers and strings, ready for JSON (nan becomes None).

        Returns
        -------
        dict
        """
        return _plain(dataclasses.asdict(self))


# -- text and plain numbers ---------------------------------------------------------------------
def _gap_text(row):
    return f"{row.gap:.1e}" if np.isfinite(row.gap) else f"({row.residual:.1e})"


def _text(value):
    return "-" if np.isnan(value) else f"{value:.2e}"


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
