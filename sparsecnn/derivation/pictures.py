"""What is drawn beside a prior: its density, penalty, prox and slope, sampled; and as inline SVG.

``curves`` is the one place that computes them; the SVG here and ``plots.plot_derivation`` draw the
same numbers. Jumps are gaps (a nan between both sides), never lines.
"""

# ruff: noqa: RUF001 - Greek letters and mathematical signs are meant
from __future__ import annotations

import dataclasses
import functools
import html
import math

import numpy as np

from ..symbolic.evaluation import number
from ..validation import InputTypeError
from .named import scalar_penalty

_POINTS, _REACH = 481, 3.0
#: penalties are drawn up to this far above their least value: there the density is e^-5
_TALLEST = 5.0


@dataclasses.dataclass(frozen=True)
class Curves:
    """Samples of one prior's curves.

    Attributes
    ----------
    z, density, penalty : ndarray, shape (n,)
        ``exp(-phi / noise^2)`` with its peak at 1, and ``phi``; nan where the penalty is infinite.
    x, prox, slope : ndarray, shape (m,)
        The activation and its derivative; nan inside a jump.
    dead : tuple of float or None
        The interval of inputs that become exactly zero; an end may be infinite.
    atom : bool
        Whether zero has a value of its own, lower than its neighbourhood's (a point mass).
    is_proper : bool
        Whether the density can be normalised.
    is_mean : bool
        Whether the activation is the posterior mean instead of the prox.
    """

    z: np.ndarray
    density: np.ndarray
    penalty: np.ndarray
    x: np.ndarray
    prox: np.ndarray
    slope: np.ndarray
    dead: tuple[float, float] | None
    atom: bool
    is_proper: bool
    is_mean: bool = False

    @property
    def reach(self):
        """Both axes of codes and inputs run from minus this to this."""
        return float(self.x[-1])


def curves(drawn):
    """The curves of a scalar prior, of a posterior mean's layer, or of a derivation of either.

    Parameters
    ----------
    drawn : Prior, PosteriorMean or Derivation

    Returns
    -------
    Curves

    Raises
    ------
    InputTypeError
        For anything else, or a prior that couples coefficients.
    """
    if hasattr(drawn, "steps"):
        drawn = next((s.prior for s in reversed(drawn.steps) if s.prior is not None), drawn)
    if hasattr(drawn, "forward") and hasattr(drawn, "penalty"):  # the layer of a posterior mean
        return _curves(
            lambda z: drawn.penalty.evaluate(z, drawn.values),
            drawn.forward, (), True, noise=drawn.noise, is_mean=True,
        )  # fmt: skip
    if not (hasattr(drawn, "prox_vjp") and getattr(drawn, "is_separable", False)):
        raise InputTypeError(
            f"got {drawn!r}; expected a prior of single coefficients or a derivation of one."
        )
    one = _of_one_coefficient(drawn)

    def forward(x):
        return one.prox(x), lambda dy: one.prox_vjp(x, 1.0, dy)

    ends = [end for end in _ends(one) if math.isfinite(end)]
    phi = functools.partial(_values, one)
    return _curves(phi, forward, ends, one.is_proper, is_convex=one.is_convex)


def _of_one_coefficient(prior):
    """The prior with the first atom's parameters."""
    arrays = {n: float(np.ravel(v)[0]) for n, v in prior.parameters.items() if np.ndim(v)}
    return dataclasses.replace(prior, **arrays) if arrays else prior


def _ends(prior):
    """Where the support of a prior with a formula ends."""
    if not prior.formula:
        return ()
    penalty, values = scalar_penalty(prior)
    return number(penalty.low, values), number(penalty.high, values)


def _values(prior, z):
    """The penalty of each single code; one sample each, because priors sum over a sample."""
    if not prior.formula:  # an activation's own prior: infinite where the activation never goes
        low, high = prior.prox(np.array([-100.0, 100.0]))
        inside, found = (z >= low) & (z <= high), np.full(z.shape, np.inf)
        found[inside] = prior.value(z[inside, None])
        return found
    return np.asarray(prior.value(z[:, None]), dtype=float)


def _curves(phi, forward, ends, is_proper, *, noise=1.0, is_mean=False, is_convex=True):
    reach = max([_REACH, *(1.2 * abs(end) for end in ends)])
    x, values, slope = _with_gaps(forward, np.linspace(-reach, reach, _POINTS))
    if not is_convex and np.isfinite(values).all():  # it may jump further out
        wider = _with_gaps(forward, np.linspace(-2 * reach, 2 * reach, _POINTS))
        if np.isnan(wider[1]).any():
            reach, (x, values, slope) = 2 * reach, wider
    inner = [end * (1 + side) for end in ends for side in (-1e-9, 1e-9)]
    z = np.unique([*np.linspace(-reach, reach, _POINTS), -1e-3, -1e-9, 0.0, 1e-9, 1e-3, *inner])
    with np.errstate(all="ignore"):
        penalty = np.asarray(phi(z), dtype=float)
    penalty = np.where(np.isfinite(penalty), penalty, np.nan)
    density = np.exp(-(penalty - np.nanmin(penalty)) / noise**2)
    zero = int(np.searchsorted(z, 0.0))
    rise = penalty[zero - 2 : zero + 3] - penalty[zero]
    atom = bool(max(rise[1] > 0.5 * rise[0] > 0, rise[3] > 0.5 * rise[4] > 0))
    if atom:
        penalty[zero] = density[zero] = np.nan
    dead = _dead_zone(forward, x, values)
    return Curves(z, density, penalty, x, values, slope, dead, atom, bool(is_proper), is_mean)


def _evaluated(forward, x):
    with np.errstate(all="ignore"):
        y, pullback = forward(x)
        slope = pullback(np.ones_like(x))
    return np.asarray(y, dtype=float), np.asarray(slope[0], dtype=float)


def _with_gaps(forward, x):
    """Samples with both sides of every jump, of the activation or its slope; a nan between them."""
    found = _evaluated(forward, x)
    step = x[1] - x[0]
    jumps = [_jumps(forward, x, found, 0, 2.5 * step), _jumps(forward, x, found, 1, 0.1)]
    middles = [sides.mean(axis=0) for sides in jumps]
    x = np.unique(np.concatenate([x, *middles, *(sides.ravel() for sides in jumps)]))
    y, slope = _evaluated(forward, x)
    y[np.isin(x, middles[0])] = np.nan
    slope[np.isin(x, np.concatenate(middles))] = np.nan
    return x, y, slope


def _jumps(forward, x, found, which, least):
    """Close pairs of inputs between which the activation (0) or its slope (1) jumps, (2, n)."""
    k = np.flatnonzero(np.abs(np.diff(found[which])) > least)
    low, high = x[k], x[k + 1]
    below, above = found[which][k], found[which][k + 1]
    for _ in range(20 if len(k) else 0):
        middle = 0.5 * (low + high)
        here = _evaluated(forward, middle)[which]
        right = np.abs(above - here) > np.abs(here - below)
        low, below = np.where(right, middle, low), np.where(right, here, below)
        high, above = np.where(right, high, middle), np.where(right, above, here)
    jumps = np.abs(above - below) > 0.2 * least
    return np.stack([low[jumps], high[jumps]])


def _dead_zone(forward, x, y):
    """The interval of inputs whose output is exactly zero, its ends by bisection."""
    zeros = np.flatnonzero(y == 0)
    if len(zeros) < 4:
        return None
    near = x[zeros[[0, -1]]]
    inner = (zeros[0] > 0, zeros[-1] < len(x) - 1)
    far = np.where(inner, x[np.clip(zeros[[0, -1]] + [-1, 1], 0, len(x) - 1)], near)
    for _ in range(20):
        middle = 0.5 * (near + far)
        is_zero = _evaluated(forward, middle)[0] == 0
        near, far = np.where(is_zero, middle, near), np.where(is_zero, far, middle)
    near[np.abs(near) < 1e-9] = 0.0
    return tuple(float(e) for e in np.where(inner, near, [-np.inf, np.inf]))


def dead_zone_text(found):
    """The dead zone in words, to three digits."""
    if found.dead is None:
        return "no dead zone"
    low, high = found.dead
    if low == -math.inf:
        return f"dead zone x ≤ {high:.3g}".replace("-", "−")
    if abs(low + high) < 1e-6:
        return f"dead zone |x| ≤ {high:.3g}"
    return f"dead zone [{low:.3g}, {high:.3g}]".replace("-", "−")


# -- panels ---------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Panel:
    """One of the four pictures: what is drawn, wherever it is drawn.

    Attributes
    ----------
    kind : {"prior", "penalty", "prox", "slope"}
    title, heading, below : str
        For a reader who cannot see it; above it; on its lower axis.
    box : tuple of float
        ``(left, right, low, high)``.
    x, y : ndarray
        The curve, nan where it has gaps.
    dots : tuple of (float, float)
        Points of their own, such as a point mass.
    dead : tuple of float or None
    """

    kind: str
    title: str
    heading: str
    below: str
    box: tuple[float, float, float, float]
    x: np.ndarray
    y: np.ndarray
    dots: tuple[tuple[float, float], ...] = ()
    dead: tuple[float, float] | None = None


def panels(found, name):
    """Prior, penalty, prox (or posterior mean) and its slope, as four panels."""
    reach, dead = found.reach, dead_zone_text(found)
    least = 0.0 if found.atom else float(np.nanmin(found.penalty))
    low = min(0.0, least)
    tall = max(min(float(np.nanmax(found.penalty)), least + _TALLEST), low + 1.0)
    what = "posterior mean" if found.is_mean else "prox"
    proper = "unnormalised" if found.is_proper else "improper"
    steep = 1.1 * min(float(np.nanmax(found.slope, initial=1.0)), 4.0)
    return (
        Panel(
            "prior", f"{name}: prior exp(−φ(z)), {proper}", "prior exp(−φ)", f"z, {proper}",
            (-reach, reach, 0.0, 1.1), found.z, found.density, ((0.0, 1.0),) * found.atom,
        ),
        Panel(
            "penalty", f"{name}: penalty φ(z)", "penalty φ", "z",
            (-reach, reach, low, 1.05 * tall), found.z, found.penalty, ((0.0, 0.0),) * found.atom,
        ),
        Panel(
            "prox", f"{name}: {what} of x, beside the identity (dotted); {dead}", what, "x",
            (-reach, reach, -reach, reach), found.x, found.prox, (), found.dead,
        ),
        Panel(
            "slope", f"{name}: slope of the {what}; {dead}", "slope of the layer", dead,
            (-reach, reach, 0.0, steep), found.x, found.slope, (), found.dead,
        ),
    )  # fmt: skip


# -- SVG ------------------------------------------------------------------------------------
_WIDTH, _HEIGHT = 216, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 28, 208, 26, 152


def figure_html(found, name):
    """Four panels side by side that wrap in a narrow window; no script, colours of the page."""
    return f'<figure class="curves">{"".join(map(svg, panels(found, name)))}</figure>'


def svg(panel):
    """One panel as an SVG element."""
    box, title = panel.box, html.escape(panel.title)
    along, up = _scales(box)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        f'<text class="heading" x="{_LEFT}" y="15">{html.escape(panel.heading)}</text>',
    ]
    if panel.dead is not None:
        a, b = (along(min(max(end, box[0]), box[1])) for end in panel.dead)
        size = f'width="{b - a:.1f}" height="{_BOTTOM - _TOP}"'
        parts.append(f'<rect class="dead" x="{a:.1f}" y="{_TOP}" {size}/>')
    parts += _axes(box, along, up)
    if panel.kind == "prox":
        path = f"M{along(box[0]):.1f} {up(box[2]):.1f}L{along(box[1]):.1f} {up(box[3]):.1f}"
        parts.append(f'<path class="identity" d="{path}"/>')
    for run in _runs(panel.x, panel.y, box[3]):
        points = _thinned([(along(a), up(b)) for a, b in run])
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        if panel.kind == "prior":
            base = f"{up(0.0):.1f}"
            area = f"M{points[0][0]:.1f} {base}L{line}L{points[-1][0]:.1f} {base}Z"
            parts.append(f'<path class="prior area" d="{area}"/>')
        parts.append(f'<path class="{panel.kind}" d="M{line}"/>')
    for a, b in panel.dots:
        parts.append(f'<circle class="{panel.kind}" cx="{along(a):.1f}" cy="{up(b):.1f}" r="3"/>')
    middle, below = (_LEFT + _RIGHT) / 2, html.escape(panel.below)
    return "".join([*parts, f'<text x="{middle}" y="{_BOTTOM + 30}">{below}</text></svg>'])


def _scales(box):
    left, right, low, high = box

    def along(value):
        return _LEFT + (value - left) / (right - left) * (_RIGHT - _LEFT)

    def up(value):
        return _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)

    return along, up


def _axes(box, along, up):
    left, right, low, high = box
    floor = up(max(low, min(0.0, high)))
    parts = [
        f'<path class="axis" d="M{_LEFT} {floor:.1f}H{_RIGHT}M{along(0):.1f} {_TOP}V{_BOTTOM}"/>'
    ]
    for tick in ticks(left, right):
        parts.append(
            f'<path class="axis" d="M{along(tick):.1f} {_BOTTOM}v3"/>'
            f'<text x="{along(tick):.1f}" y="{_BOTTOM + 15}">{_number(tick)}</text>'
        )
    for tick in ticks(low, high):
        parts.append(
            f'<path class="axis" d="M{_LEFT} {up(tick):.1f}h-3"/>'
            f'<text class="left" x="{_LEFT - 5}" y="{up(tick) + 3.5:.1f}">{_number(tick)}</text>'
        )
    return parts


def ticks(low, high):
    """Two to five round numbers between ``low`` and ``high``."""
    width = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(width))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= width * 0.99)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value):
    return f"{value:g}".replace("-", "−")


def _runs(x, y, highest):
    """Stretches of finite samples; what rises above the panel ends at its edge."""
    run, runs = [], []
    for a, b in zip(x, y, strict=True):
        if not np.isfinite(b) or b > highest * 1.000001:
            runs.append(run)
            run = []
        else:
            run.append((float(a), float(b)))
    return [r for r in (*runs, run) if len(r) > 1]


def _thinned(points, tolerance=0.12):
    """The points without which the line would move by less than ``tolerance`` pixels."""
    if len(points) < 3:
        return points
    (x0, y0), (x1, y1) = points[0], points[-1]
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    off = [abs((x1 - x0) * (y0 - b) - (x0 - a) * (y1 - y0)) / length for a, b in points]
    k = max(range(len(off)), key=off.__getitem__)
    if off[k] <= tolerance:
        return [points[0], points[-1]]
    return _thinned(points[: k + 1], tolerance)[:-1] + _thinned(points[k:], tolerance)


STYLE = """
.curves{display:flex;flex-wrap:wrap;gap:.4rem;margin:.8rem 0}
.curves svg{flex:1 1 10.5rem;max-width:15rem;min-width:9.5rem;height:auto}
.curves text{font:10.5px system-ui,sans-serif;fill:currentColor;text-anchor:middle}
.curves text.heading{font-size:11.5px;font-weight:600;text-anchor:start}
.curves text.left{text-anchor:end}
.curves path{fill:none;stroke-width:2;stroke-linejoin:round}
.curves .axis{stroke:currentColor;stroke-width:1;opacity:.45}
.curves .identity{stroke:currentColor;stroke-width:1;stroke-dasharray:2 3;opacity:.7}
.curves .dead{fill:#e69f00;opacity:.22}
.curves .prior{stroke:#5b6b84}.curves .prior.area{fill:#8896ad;stroke:none;opacity:.35}
.curves .penalty{stroke:#d55e00}.curves .prox,.curves .slope{stroke:#1f7ac4}
.curves circle.penalty{fill:#d55e00}.curves circle.prior{fill:#5b6b84}
"""
