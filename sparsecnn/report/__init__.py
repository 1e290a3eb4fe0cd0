"""One self-contained HTML page of a comparison: no network, no script, every value escaped.

Every sentence with a number in it is computed from the result. Knows results and their plots.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import platform
import stat
from pathlib import Path

import jinja2
import matplotlib
import numpy as np

from .. import __version__, plots
from ..validation import InputError, InputTypeError

__all__ = ["write_report"]

#: A relative gap up to this is a code: the tolerance of the exact solver.
_EXACT = 1e-6


def write_report(comparison, path, *, sweep=None, title="Coding against the forward transform"):
    """Write the page of a comparison; a file is replaced only by a complete page.

    Links are followed, and an old file's mode is kept.

    Parameters
    ----------
    comparison : Comparison
        ``meta`` is listed as it is; its entry ``command`` is shown as the way to reproduce.
    path : str or Path
        The HTML file. Its folder must exist.
    sweep : CoherenceSweep, optional
        Adds the figure of error against coherence.
    title : str

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    InputError
        If the folder does not exist, or ``path`` is a folder, a device or a read-only file.

    Examples
    --------
    >>> import tempfile
    >>> import sparsecnn as sc
    >>> x = np.random.default_rng(0).standard_normal((8, 16))
    >>> problem = sc.SparseCodingProblem(x, sc.Dictionary.random(32, 16, 0), sc.Laplace(0.5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(sc.compare(problem), folder + "/compare.html").read_text("utf-8")
    >>> page.startswith("<!doctype html>")
    True
    """
    if not hasattr(comparison, "readouts"):
        raise InputTypeError(
            f"comparison is {comparison!r}; expected the Comparison that compare() returns."
        )
    path = Path(path)
    target = output_target(path)
    _replace(target, _render(comparison, sweep, title))
    return path


def output_target(path, name="path"):
    """The file that a page at ``path`` is written to: where its links lead.

    Raises
    ------
    InputError
        If it is something else than a file, is read-only, or its folder is missing or read-only.
    """
    said, path, target = os.fspath(path), Path(path), Path(os.path.realpath(path))
    exists = path.exists()
    if path.is_dir():
        wrong = f"which is a folder; expected a file such as {str(path / 'compare.html')!r}"
    elif not target.parent.is_dir():
        wrong = f"whose folder does not exist; make {str(target.parent)!r} first"
    elif exists != target.exists() or target.is_symlink() or (exists and not target.is_file()):
        wrong = "which is a device, a pipe or a link to nowhere; expected a file"
    elif exists and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        wrong = "which is read-only; choose another file, or make it writable"
    elif not os.access(target.parent, os.W_OK):
        wrong = "whose folder is read-only; choose another folder"
    else:
        return target
    raise InputError(f"{name} is {said!r}, where no page can be written: {wrong}.")


def _replace(path, text):
    """Write beside ``path`` and move into place; whatever happens, no part is left behind."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        if path.exists():
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _render(comparison, sweep, title):
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sparsecnn.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, percent=_percent, short=_short)
    meta = dict(comparison.meta)
    return environment.get_template("page.html").render(
        title=title,
        command=meta.pop("command", None),
        facts=[(str(k).replace("_", " "), v) for k, v in meta.items() if v is not None],
        versions=f"sparsecnn {__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}",
        readings=_readings(comparison),
        levels=[_level(comparison, info) for info in comparison.levels],
        readouts=comparison.readouts,
        noises=list(comparison.readouts[0].accuracy) if comparison.readouts else [],
        n_images=len(next(iter(comparison.gaps.values()))),
        sampling_error=_sampling_error(comparison),
        summary_figure=_png(plots.plot_comparison(comparison)),
        accuracy_figure=_svg(plots.plot_accuracy(comparison)) if comparison.readouts else None,
        error_figure=_svg(plots.plot_code_errors(comparison)),
        sweep=sweep,
        sweep_figure=_svg(plots.plot_error_against_coherence(sweep)) if sweep else None,
    )


def _level(comparison, info):
    """What the template needs of one level."""
    rows = [row for row in comparison.rows if row.level == info.level]
    below = comparison.dictionaries[: info.level - 1]
    atoms = plots.plot_atoms(comparison.dictionaries[info.level - 1], below=below)
    return {
        "info": info,
        "rows": rows,
        "certified": all(np.isfinite(row.gap) for row in rows),
        "atoms": _png(atoms),
        "codes": _png(plots.plot_codes(comparison, info.level)),
        "gaps": _svg(plots.plot_gaps(comparison, info.level)),
    }


# -- sentences --------------------------------------------------------------------------------
def _readings(comparison):
    """What the numbers say, one sentence each."""
    sentences = [_level_reading(comparison, info) for info in comparison.levels]
    if comparison.readouts:
        error = _sampling_error(comparison)
        sentences.append(_readout_reading(comparison.readouts, error))
    return sentences


def _level_reading(comparison, info):
    rows = [row for row in comparison.rows if row.level == info.level]
    first, last = rows[0], rows[-1]
    where = f"Level {info.level}: "
    if len(rows) == 1:
        return where + f"only “{first.solver}” was run, so there is nothing to compare it with."
    if first.worst_gap <= _EXACT:
        return where + (
            f"“{first.solver}” already is the code: its largest relative gap is "
            f"{_number(first.worst_gap)}, at mutual coherence {info.mutual_coherence:.2g}."
        )
    if np.isfinite(first.gap):
        short = f"a mean relative duality gap of {_number(first.gap)}"
    else:
        short = f"a fixed-point residual of {_number(first.residual)} (there is no duality gap)"
    return where + (
        f"“{first.solver}” stops at {short}. Against “{last.solver}”, its code has a relative "
        f"error of {_number(first.code_error)} and a support overlap of "
        f"{_percent(first.support_overlap)}; the mutual coherence is {info.mutual_coherence:.2f}."
    )


def _readout_reading(readouts, error):
    first, last = readouts[0], readouts[-1]
    noises = list(first.accuracy)
    best = max(readouts, key=lambda row: row.accuracy[noises[0]])
    text = (
        f"Readout: {_percent(first.accuracy[noises[0]], 1)} of the held-out images are recognised "
        f"from the codes of “{first.solver}”, {_percent(last.accuracy[noises[0]], 1)} from those "
        f"of “{last.solver}”"
    )
    if best not in (first, last):
        text += f"; the highest is “{best.solver}”, {_percent(best.accuracy[noises[0]], 1)}"
    if len(noises) > 1:
        text += (
            f". At noise {noises[-1]:g} it is {_percent(first.accuracy[noises[-1]], 1)} and "
            f"{_percent(last.accuracy[noises[-1]], 1)}"
        )
    return text + f". The standard error of an accuracy is up to {error:.1f} points."


def _sampling_error(comparison):
    """Largest binomial standard error of the accuracies, in percentage points."""
    if not comparison.readouts:
        return None
    rates = np.array([a for row in comparison.readouts for a in row.accuracy.values()])
    return 100 * plots.standard_error(comparison, rates).max()


# -- numbers and pictures ---------------------------------------------------------------------
def _number(value):
    """Three digits; powers of ten as an exponent; nan as n/a."""
    if not np.isfinite(value):
        return "n/a"
    if 1e3 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _percent(value, digits=0):
    return f"{100 * value:.{digits}f}%" if np.isfinite(value) else "n/a"


def _short(value):
    """A fact of ``meta`` as text: floats without their noise."""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_short(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_short(v)}" for k, v in value.items())
    return f"{value:,}" if isinstance(value, int | np.integer) and value >= 10_000 else str(value)


def _png(drawn):
    return _data("image/png", drawn, format="png", dpi=160)


def _svg(drawn):
    with matplotlib.rc_context({"svg.hashsalt": "sparsecnn"}):  # the same page twice, byte for byte
        return _data("image/svg+xml", drawn, format="svg", metadata={"Date": None})


def _data(kind, drawn, **settings):
    """A figure, or the figure of axes, as a data address."""
    figure = drawn if isinstance(drawn, matplotlib.figure.Figure) else drawn.figure
    buffer = io.BytesIO()
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")  # saving would lay it out and draw it twice otherwise
    figure.savefig(buffer, **settings)
    return f"data:{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
