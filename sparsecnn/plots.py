"""Figures of results: one function a topic, on given axes or on a figure of its own.

Figures are made without pyplot, so nothing here changes a session's state. Knows results by their
attributes; computes nothing but what is drawn.
"""

from __future__ import annotations

import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from .mosaic import centred, mosaic, picture, stretched
from .validation import InputError, InputTypeError, as_integer

#: Okabe & Ito's colours that stay apart for colour-blind readers, from one step to the exact code.
_DIAL = ("#d55e00", "#e69f00", "#56b4e9", "#0072b2", "#1b2a3a")
_INK, _FAINT, _GRID = "#22272e", "#6b7480", "#e3e6ea"
_SMALL, _TEXT, _TITLE = 8.5, 9.5, 10.5
#: amount of a non-negative code, and of a signed one; no amount is white
_AMOUNT = LinearSegmentedColormap.from_list(
    "amount", ["#ffffff", "#9ecae1", "#2f7fb9", "#08306b"]
).with_extremes(bad=_GRID)
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#7f3b08", "#e08214", "#ffffff", "#3b8bc2", "#08306b"]
).with_extremes(bad=_GRID)
_GREY = LinearSegmentedColormap.from_list("grey", ["#000000", "#ffffff"]).with_extremes(
    bad="#dde5ed"
)
#: a prior's curves, as on the pages of derivations
_CURVES = {"prior": "#5b6b84", "penalty": _DIAL[0], "prox": _DIAL[3], "slope": _DIAL[3]}
#: Gaps below this are rounding: float64 certificates resolve no less.
_LEAST_GAP = 1e-17
#: Code errors are measured against codes of relative gap 1e-6, which are themselves about 1e-3 off.
_LEAST_ERROR = 1e-3


def plot_comparison(comparison):
    """The whole comparison at a glance: one image's codes, the gaps, and what the codes are worth.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    matplotlib.figure.Figure
        Code error against steps takes the place of accuracy where there were no labels.
    """
    figure = _figure(8.6, 6.2)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 1.0))
    _draw_codes(top, comparison, 1, samples=(0,))
    left, right = bottom.subplots(1, 2, width_ratios=(1.15, 1.0))
    plot_gaps(comparison, 1, ax=left)
    (plot_accuracy if comparison.readouts else plot_code_errors)(comparison, ax=right)
    return figure


def plot_derivation(derivation, axes=None, *, title=""):
    """A prior, its penalty, its prox with the identity dotted, and its slope; dead zones shaded.

    Parameters
    ----------
    derivation : Derivation or Prior
        Of single coefficients.
    axes : matplotlib Axes or sequence of four of them, optional
        Default: a figure of its own. On one axes all are drawn over each other: the prior grey
        along the bottom, the penalty, the prox.
    title : str
        Above the first panel.

    Returns
    -------
    list of matplotlib.axes.Axes
        A jump is a gap, a point mass a dot.
    """
    from .derivation import pictures  # SymPy takes a second to load

    found = pictures.curves(derivation)
    panels = pictures.panels(found, title)
    if isinstance(axes, Axes):
        return [_overlaid(axes, found.reach, panels, title)]
    axes = list(_figure(8.6, 2.4).subplots(1, 4)) if axes is None else list(axes)
    if len(axes) != len(panels) or not all(isinstance(ax, Axes) for ax in axes):
        raise InputTypeError(f"axes is {axes!r}; expected matplotlib Axes, one or four of them.")
    for ax, panel in zip(axes, panels, strict=True):
        _dress(ax, panel.heading, panel.below, "")
        ax.set(xlim=panel.box[:2], ylim=panel.box[2:])
        _curve(ax, panel)
        if panel.kind == "prox":
            ax.axline((0, 0), slope=1, color=_FAINT, lw=0.8, ls=":")
    if title:
        axes[0].set_title(f"{title}: {panels[0].heading}", fontsize=_TITLE, color=_INK, loc="left")
    return axes


def _curve(ax, panel, base=0.0):
    """A panel's curve, dots and dead zone, lifted by ``base``."""
    colour = _CURVES[panel.kind]
    if panel.dead is not None:
        ax.axvspan(*np.clip(panel.dead, *panel.box[:2]), color=_DIAL[1], alpha=0.22, lw=0)
    if panel.kind == "prior":
        ax.fill_between(panel.x, base, base + panel.y, color=colour, alpha=0.35, lw=0)
    ax.plot(panel.x, base + panel.y, color=colour, lw=1.6, clip_on=True)
    for x, y in panel.dots:
        ax.plot([x], [base + y], "o", color=colour, ms=4, clip_on=False)


def _overlaid(ax, reach, panels, title):
    """Prior, penalty and prox in one panel, whose axis of codes is as long as that of inputs."""
    prior, penalty, prox, _ = panels
    _dress(ax, title, "", "")
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    _curve(ax, prior, base=-reach)
    _curve(ax, penalty)
    _curve(ax, prox)
    ax.axline((0, 0), slope=1, color=_FAINT, lw=0.8, ls=":")
    return ax


def plot_atoms(dictionary, ax=None, *, below=(), n_atoms=100):
    """Atoms side by side; each on its own scale, zero mid-grey.

    An atom of a higher level is drawn as the image it stands for: synthesised through the
    dictionaries ``below`` it.

    Parameters
    ----------
    dictionary : Dictionary, ConvDictionary or fitted estimator
        Of an estimator the atoms of its last level, with the levels below.
    ax : matplotlib Axes, optional
    below : sequence of dictionaries
        Of the levels below, first level first.
    n_atoms : int
        The first so many are drawn.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if hasattr(dictionary, "hierarchy_"):
        *below, dictionary = (level.dictionary for level in dictionary.hierarchy_.levels)
    if not hasattr(dictionary, "atoms"):
        raise InputTypeError(
            f"dictionary is {dictionary!r}; expected a Dictionary, a ConvDictionary or a fitted "
            "estimator. Call fit first."
        )
    count = min(as_integer(n_atoms, "n_atoms"), dictionary.n_atoms)
    pictures = [centred(p) for p in _atom_pictures((*below, dictionary), count)]
    ax = _axes(ax, 4.2, 4.2)
    ax.imshow(mosaic(pictures), cmap=_GREY, vmin=0, vmax=1, interpolation="none")
    shown = "" if count == dictionary.n_atoms else f" (first {count})"
    through = ", drawn through the level below" if below else ""
    _picture_axes(ax, f"{dictionary.n_atoms} atoms{shown}{through}")
    return ax


def plot_codes(comparison, level=1, *, n_samples=3):
    """The same images through every solver: the image each code draws, and the code itself.

    Parameters
    ----------
    comparison : Comparison
    level : int
        1 sees the images; the codes of higher levels draw images through the levels below.
    n_samples : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    count = min(as_integer(n_samples, "n_samples"), len(comparison.signals))
    figure = _figure(8.6, 0.35 + 2.75 * count)
    _draw_codes(figure, comparison, level, _spread(len(comparison.signals), count))
    return figure


def plot_gaps(comparison, level=1, ax=None):
    """Relative gap of every sample, one histogram a solver, on a logarithmic axis.

    Exact zeros are drawn at the left end, named 0. Where there is no gap (a non-convex prior), the
    fixed-point residual is drawn and the axis says so.

    Parameters
    ----------
    comparison : Comparison
    level : int
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    names = _solver_names(comparison, level)
    certified = all(np.isfinite(comparison.gaps[level, n]).all() for n in names)
    values = comparison.gaps if certified else comparison.residuals
    logs = {n: np.log10(np.maximum(values[level, n], _LEAST_GAP)) for n in names}
    low = np.floor(min(v.min() for v in logs.values()))
    high = max(np.ceil(max(v.max() for v in logs.values())), low + 1)
    edges = np.linspace(low, high, 61)
    ax = _axes(ax, 5.6, 3.4)
    for k, (name, colour) in enumerate(zip(names, _colours(names), strict=True)):
        counts = np.histogram(logs[name], edges)[0]
        base = len(names) - 1 - k
        heights = 0.85 * counts / counts.max()
        ax.stairs(base + heights, edges, baseline=base, fill=True, color=colour, alpha=0.9)
        ax.axhline(base, color=_GRID, lw=0.8, zorder=0)
    ax.set_yticks(np.arange(len(names)) + 0.3, names[::-1])
    ax.set_ylim(-0.05, len(names))
    _log_ticks(ax, low, high)
    what = "relative duality gap" if certified else "fixed-point residual (there is no duality gap)"
    _dress(ax, f"level {level}: how far from the optimum, per sample", what, "")
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    return ax


def plot_code_errors(comparison, ax=None):
    """Mean code error against steps, one line a level.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax, 4.6, 3.4)
    levels = [info.level for info in comparison.levels]
    for level, colour in zip(levels, _colours(levels), strict=True):
        rows = [row for row in comparison.rows if row.level == level]
        errors = np.array([row.code_error for row in rows])
        floored = np.where(np.isnan(errors), np.nan, np.maximum(errors, _LEAST_ERROR))
        ax.plot(range(len(rows)), floored, "o-", color=colour, lw=2, ms=5, label=f"level {level}")
        ax.set_xticks(range(len(rows)), [row.solver for row in rows])
    ax.set_yscale("log")
    _label_lines(ax)
    _dress(ax, "relative code error, against the last solver", "", "‖z - z*‖ / ‖z*‖")
    _floor_tick(ax)
    return ax


def plot_error_against_coherence(sweep, ax=None):
    """Code error of one step against the mutual coherence of the dictionary.

    Parameters
    ----------
    sweep : CoherenceSweep
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Errors below the accuracy of the reference codes are drawn at the bottom.
    """
    ax = _axes(ax, 6.4, 4.0)
    families = list(dict.fromkeys(point.family for point in sweep.points))
    colours = dict(zip(families, (_DIAL[0], _DIAL[2], _DIAL[3]) * len(families), strict=False))
    for k, (family, marker) in enumerate(zip(families, "osD" * len(families), strict=False)):
        points = [p for p in sweep.points if p.family == family and np.isfinite(p.code_error)]
        x = [p.mutual_coherence for p in points]
        y = [max(p.code_error, _LEAST_ERROR) for p in points]
        line = dict(color=colours[family], marker=marker, label=family)
        ax.plot(x, y, lw=1.6, ms=6, clip_on=False, zorder=3, **line)
        for end, (a, b) in enumerate(zip(x, y, strict=True)):
            if (k == 0 and end in (0, len(points) - 1)) or b == _LEAST_ERROR:
                ax.annotate(
                    points[end].setting, (a, b), textcoords="offset points", xytext=(9, -3),
                    fontsize=_SMALL, color=colours[family],
                )  # fmt: skip
    ax.set_yscale("log")
    ax.set_xlim(-0.03, 1.0)
    _dress(
        ax, "error of one step, against the overlap of the atoms",
        "mutual coherence (largest cosine between two atoms)", "relative code error of one step",
    )  # fmt: skip
    _floor_tick(ax)
    ax.legend(frameon=False, fontsize=_TEXT, loc="lower right", labelcolor="linecolor")
    return ax


def plot_accuracy(comparison, ax=None):
    """Accuracy of the readout against steps, one line a noise level; shaded: one standard error.

    Parameters
    ----------
    comparison : Comparison
        With readouts.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    if not comparison.readouts:
        raise InputError(
            "comparison has no readouts, so there is no accuracy to draw; expected one made with "
            "labels. Call compare(hierarchy, x=images, y=labels)."
        )
    ax = _axes(ax, 4.6, 3.4)
    noises = list(comparison.readouts[0].accuracy)
    for noise, colour in zip(noises, _colours(noises)[::-1], strict=True):
        accuracy = np.array([row.accuracy[noise] for row in comparison.readouts])
        spread = standard_error(comparison, accuracy)
        low, high, steps = accuracy - spread, accuracy + spread, range(len(accuracy))
        label = "clean" if noise == 0 else f"noise {noise:g}"
        ax.fill_between(steps, 100 * low, 100 * high, color=colour, alpha=0.12, lw=0)
        ax.plot(steps, 100 * accuracy, "o-", color=colour, lw=2, ms=5, label=label)
    ax.set_xticks(range(len(comparison.readouts)), [row.solver for row in comparison.readouts])
    _label_lines(ax)
    _dress(ax, "what the codes are worth", "", "accuracy of the readout (%)")
    return ax


def standard_error(comparison, accuracy):
    """Binomial standard error of accuracies on the images of a comparison, as fractions."""
    n_images = len(next(iter(comparison.gaps.values())))
    return np.sqrt(accuracy * (1 - accuracy) / n_images)


# -- codes and the images they draw -----------------------------------------------------------
def plot_regions(cut, ax=None):
    """The linear regions that a plane meets, each in a tint of its own, and the decision boundary.

    Parameters
    ----------
    cut : RegionSlice
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        Tints only tell neighbours apart; where outputs are classes, the hue is the class.
    """
    ax = _axes(ax, 4.6, 4.6)
    n_classes = int(cut.labels.max(initial=0)) + 1
    tint = (cut.keys % np.uint64(997)).astype(float) / 997
    hues = np.array([matplotlib.colors.to_rgb(c) for c in _DIAL])[cut.labels % len(_DIAL)]
    strength = 0.15 + 0.45 * tint[:, None]
    fills = 1 - strength * (1 - hues)
    ax.add_collection(PolyCollection(list(cut.vertices), facecolors=fills, edgecolors="none"))
    if cut.n_regions <= 5000:
        outlines = PolyCollection(
            list(cut.vertices), facecolors="none", edgecolors=_INK, linewidths=0.25
        )
        ax.add_collection(outlines)
    if n_classes > 1 and len(cut.decision_boundary):
        lines = LineCollection(cut.decision_boundary, colors=_INK, linewidths=1.6)
        ax.add_collection(lines)
    low, high = cut.domain.min(axis=0), cut.domain.max(axis=0)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    _dress(ax, f"{cut.n_regions:,} linear regions in this plane", "u", "v")
    return ax


def _spread(total, count):
    """``count`` of ``total`` indices, far apart."""
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def _draw_codes(figure, comparison, level, samples):
    names = _solver_names(comparison, level)
    grid = figure.subplots(2 * len(samples), 1 + len(names), squeeze=False)
    signed = any((comparison.examples[level, n] < 0).any() for n in names)
    drawn = {n: _drawn(comparison.dictionaries[:level], comparison.examples[level, n])
             for n in names}  # fmt: skip
    for i, sample in enumerate(samples):
        above, under = grid[2 * i], grid[2 * i + 1]
        _show(above[0], comparison.signals[sample], "image" if i == 0 else "")
        under[0].set_axis_off()
        for name, upper, lower in zip(names, above[1:], under[1:], strict=True):
            picture = drawn[name][sample]
            codes = comparison.examples[level, name][sample]
            _show(upper, picture, name if i == 0 else "")
            _caption(upper, _strength(picture, comparison.signals[sample]))
            _show_codes(lower, codes, signed)
            _caption(lower, f"{(codes != 0).mean():.0%} nonzero")
        _side(above[1], "image\nit draws")
        _side(under[1], "code")


def _drawn(dictionaries, codes):
    """The images that codes of the last dictionary stand for, synthesised level by level."""
    signals = dictionaries[-1].synthesize(codes)
    for dictionary in dictionaries[-2::-1]:
        codes = _unpooled(signals, dictionary.code_shape)
        if codes is None:
            break
        signals = dictionary.synthesize(codes)
    return signals


def _unpooled(signals, shape):
    """Signals of one level as codes of the level below; pooled ones go to their window's middle."""
    if signals[0].size == int(np.prod(shape)):
        return signals.reshape(len(signals), *shape)
    if signals.ndim != 4 or len(shape) != 3 or signals.shape[1] != shape[0]:
        return None
    codes = np.zeros((len(signals), *shape), signals.dtype)
    at = [((np.arange(n) + 0.5) * full / n).astype(int)
          for n, full in zip(signals.shape[2:], shape[1:], strict=True)]  # fmt: skip
    codes[:, :, at[0][:, None], at[1]] = signals
    return codes


def _atom_pictures(dictionaries, count):
    """The first atoms of the last dictionary as images, cut to where any of them is not zero."""
    top = dictionaries[-1]
    if len(dictionaries) == 1:
        pictures = top.atoms[:count]
    else:
        codes = np.zeros((count, *top.code_shape), top.atoms.dtype)
        middle = tuple(n // 2 for n in top.code_shape[1:])
        codes[(np.arange(count), np.arange(count), *middle)] = 1.0
        pictures = _drawn(dictionaries, codes)
    pictures = np.asarray(pictures, dtype=np.float64)
    if pictures.ndim == 4:
        used = (pictures != 0).any(axis=(0, 1))
        rows, columns = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
        if len(rows):
            pictures = pictures[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return [picture(p) for p in pictures]


def _show(ax, signal, title):
    shown = picture(np.asarray(signal, dtype=np.float64))
    ax.imshow(stretched(shown), cmap=_GREY, vmin=0, vmax=1, interpolation="none")
    _picture_axes(ax, title)


def _show_codes(ax, codes, signed):
    codes = np.asarray(codes, dtype=np.float64)
    sheet = mosaic(list(codes if codes.ndim == 3 else codes.reshape(-1, 1, 1)))
    root = np.sign(sheet) * np.sqrt(np.abs(sheet))
    largest = np.abs(root[np.isfinite(root)]).max() or 1.0
    low = -largest if signed else 0.0
    ax.imshow(root, cmap=_SIGNED if signed else _AMOUNT, vmin=low, vmax=largest,
              interpolation="none")  # fmt: skip
    _picture_axes(ax, "")


def _strength(picture, signal):
    size = float(np.linalg.norm(signal))
    return f"norm \N{MULTIPLICATION SIGN} {np.linalg.norm(picture) / size:.2g}" if size > 0 else ""


# -- style ------------------------------------------------------------------------------------
def _figure(width, height):
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    figure.get_layout_engine().set(w_pad=0.07, h_pad=0.07)
    FigureCanvasAgg(figure)
    return figure


def _axes(ax, width, height):
    if ax is None:
        return _figure(width, height).add_subplot()
    if not isinstance(ax, Axes):
        raise InputTypeError(f"ax is {ax!r}; expected matplotlib Axes, or None for a new figure.")
    return ax


def _dress(ax, title, xlabel, ylabel):
    ax.set_title(title, fontsize=_TITLE, color=_INK, loc="left")
    ax.set_xlabel(xlabel, fontsize=_TEXT, color=_INK)
    ax.set_ylabel(ylabel, fontsize=_TEXT, color=_INK)
    ax.tick_params(labelsize=_TEXT, colors=_INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_FAINT)
    ax.grid(axis="y", color=_GRID, lw=0.8)
    ax.set_axisbelow(True)


def _picture_axes(ax, title):
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=_TITLE, color=_INK)


def _caption(ax, text):
    ax.set_xlabel(text, fontsize=_SMALL, color=_FAINT, labelpad=3)


def _side(ax, text):
    ax.set_ylabel(text, fontsize=_SMALL, color=_FAINT, rotation=0, ha="right", va="center")


def _colours(items):
    """One colour an item, spread over the dial."""
    if len(items) <= 1:
        return [_DIAL[3]] * len(items)
    ramp = LinearSegmentedColormap.from_list("dial", _DIAL)
    return [ramp(k / (len(items) - 1)) for k in range(len(items))]


def _label_lines(ax):
    """Names in the lines' own colours, where there is room for them."""
    ax.margins(x=0.08, y=0.08)
    ax.legend(frameon=False, fontsize=_TEXT, labelcolor="linecolor")


def _log_ticks(ax, low, high):
    """Powers of ten on an axis of logarithms; the lowest is "0" where it stands for zeros."""
    step = max(1, int(np.ceil((high - low) / 6)))
    ticks = np.arange(high, low - 1, -step)
    zero = low <= np.log10(_LEAST_GAP)
    if zero:
        ticks = np.append(ticks[ticks > low + step / 2], low)
    labels = ["0" if zero and t == low else f"$10^{{{t:.0f}}}$" for t in ticks]
    ax.set_xticks(ticks, labels)
    ax.set_xlim(low - 0.02 * (high - low), high)


def _floor_tick(ax):
    """Say that the bottom of a logarithmic axis stands for all errors below it, too."""
    high = ax.get_ylim()[1]
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.get_lines()])
    if not np.isfinite(values).any() or np.nanmin(values) > _LEAST_ERROR:
        return
    ticks = 10.0 ** np.arange(-3, np.ceil(np.log10(high)) + 1)
    ax.set_yticks(ticks, [f"≤ {t:g}" if t <= _LEAST_ERROR else f"{t:g}" for t in ticks])
    ax.set_ylim(_LEAST_ERROR * 0.75, max(high, 1.0))


def _solver_names(comparison, level):
    names = [row.solver for row in comparison.rows if row.level == level]
    if not names:
        raise InputError(
            f"level is {level!r}; expected one of {[v.level for v in comparison.levels]}."
        )
    return names
