"""A given network layer by layer: formula, generic count, count, bounds and sample side by side.

A layer alone is counted on the whole of its own input space; the last row is the network. What is
true of the architecture (the best weights) and what of these weights stays in different fields.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from decimal import Decimal

import numpy as np

from ..layers import Conv2D, Flatten, Linear
from ..network import Network
from ..tables import Table, fragment
from ..validation import as_generator, as_integer
from . import formulas, inequalities
from .counting import closed_upper, count
from .one_layer import architecture
from .piecewise import Affine, Bend, Winner, as_layers, stages
from .result import STOPPED, RegionCount, TooLarge
from .sampling import RegionSample, sample

#: numbers in the functions of all listed cells, and of one cell
_ALL_CELLS, _ONE_CELL = 2**27, 10**6
#: the sum over activity patterns of all layers takes products of so many sizes
_SERRA_WORK = 500_000


@dataclasses.dataclass(frozen=True)
class LayerRegions:
    """One layer that bends, alone on its own input space; or the whole network.

    Attributes
    ----------
    name : str
    output_shape : tuple of int
    architecture : RegionCount
        Formula, count and bounds at generic weights: the most that any weights reach.
    given : RegionCount
        Of these weights: ``exact`` where it could be counted, else ``lower`` and ``upper``.
    sample : RegionSample
        Patterns of these weights that random inputs met.
    """

    name: str
    output_shape: tuple
    architecture: RegionCount
    given: RegionCount
    sample: RegionSample

    def to_dict(self):
        """Return the fields as a plain dictionary."""
        parts = {k: getattr(self, k).to_dict() for k in ("architecture", "given", "sample")}
        return {"name": self.name, "output_shape": list(self.output_shape), **parts}


@dataclasses.dataclass(frozen=True)
class NetworkRegions:
    """The counts of every layer and of the network.

    Attributes
    ----------
    rows : tuple of LayerRegions
        One per layer that bends, and the network last.
    input_shape : tuple of int
    """

    rows: tuple
    input_shape: tuple

    def summary(self):
        """Return the table, and below it why a number is missing."""
        return self._table().text()

    def _repr_html_(self):
        return fragment(self._table())

    def __repr__(self):
        return f"NetworkRegions({len(self.rows) - 1} layers, input {self.input_shape})"

    def _table(self):
        head = ("", "output", "formula", "generic", "lower", "upper", "these weights", "sampled")
        table, missing = [], {}
        for row in self.rows:
            generic = row.architecture
            numbers = (generic.formula, generic.exact, generic.lower, generic.upper)
            numbers += (row.given.exact, row.sample.sampled)
            shape = "x".join(map(str, row.output_shape))
            table.append((row.name, shape, *map(_short, numbers)))
            said = (*generic.assumptions, *row.given.assumptions)
            for text in said:
                if "left out" in text:
                    missing.setdefault(text, row.name)  # a network of one layer says the same twice
        notes = [f"{name}: {text}" for text, name in missing.items()]
        last = self.rows[-1].sample
        notes.append(f"network: {last.summary()}; a sample is a lower bound")
        notes.append(
            "each layer alone, on all of its input space; formula, generic, lower and upper are "
            "about the best weights, and upper holds for these too"
        )
        return Table(head, table, notes=notes)

    def to_dict(self):
        """Return the rows as a plain dictionary."""
        rows = [row.to_dict() for row in self.rows]
        return {"input": list(self.input_shape), "layers": rows[:-1], "network": rows[-1]}


def by_layer(network, input_shape, *, n_samples=20_000, limit=50_000, random_state=None):
    """Count a network's linear regions layer by layer, and as a whole.

    Parameters
    ----------
    network, input_shape : as in `count`
    n_samples : int
        Random inputs for each row.
    limit : int
        Regions that one count may list before it is left out, with the reason.
    random_state : None, int or Generator

    Returns
    -------
    NetworkRegions
        After Ctrl-C with the layers that were counted, bounds for the one that was not, and the
        network's; ``given.interrupted`` marks these two.

    Raises
    ------
    InputError
        If a layer is curved, such as an L2 pool.

    Examples
    --------
    >>> from sparsecnn import Activation, Linear
    >>> layers = [Linear([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, -1.0])]
    >>> found = by_layer([*layers, Activation("relu")], (2,), n_samples=10, random_state=0)
    >>> found.rows[0].given.exact, found.rows[0].architecture.exact
    (7, 7)
    """
    limit, rng = as_integer(limit, "limit"), as_generator(random_state)
    shape = tuple(int(n) for n in np.atleast_1d(input_shape))
    layers = as_layers(network)
    stages(layers, shape)  # refuses a curved layer before anything is counted
    blocks = list(_blocks(layers, shape))
    output = Network(layers).forward(np.zeros((1, *shape)))[0].shape[1:]
    rows, stopped = [], False
    for name, block, inside, outside in blocks:
        generic = functools.partial(_generic, block, inside)
        rows.append(_row((name, outside), block, inside, generic, n_samples, limit, rng))
        if stopped := rows[-1].given.interrupted:
            break
    last = ("network", output), layers, shape
    if stopped:
        least = max(1, rows[0].given.lower or 1)  # deeper layers only cut further
        rows.append(_stopped_row(*last, least))
    else:
        bounds = functools.partial(_network_bounds, layers, shape, blocks, rows)
        rows.append(_row(*last, bounds, n_samples, limit, rng))
    return NetworkRegions(tuple(rows), shape)


def _row(named, layers, shape, bounds, n_samples, limit, rng):
    """One row; after Ctrl-C with what it had by then, and marked."""
    generic = drawn = None
    try:
        generic = bounds()
        drawn = sample(layers, shape, n_samples, random_state=rng)
        if drawn.n_samples < n_samples or generic.interrupted:
            raise KeyboardInterrupt
        given = _given(layers, shape, limit, generic.upper, drawn)
        if not given.interrupted:
            return LayerRegions(*named, generic, given, drawn)
        least = given.lower
    except KeyboardInterrupt:
        least = 1
    return _stopped_row(named, layers, shape, least, generic, drawn)


def _stopped_row(named, layers, shape, least, generic=None, drawn=None):
    """The bounds of a row that was not counted to its end."""
    upper = closed_upper(stages(layers, shape), math.prod(shape))
    why = (STOPPED, "exact count left out: interrupted")
    generic = generic or RegionCount(None, None, None, upper, None, "a closed bound", why)
    drawn = drawn or sample(layers, shape, 1, random_state=0)
    least, upper = max(least, drawn.sampled), min(upper, generic.upper)
    how = "regions found by then, below; a closed bound above"
    given = RegionCount(None, None, least, upper, drawn.sampled, how, why)
    return LayerRegions(*named, generic, given, drawn)


def _blocks(layers, shape):
    """Runs of layers up to one that bends: (name, layers, input shape, output shape)."""
    block, inside, number = [], shape, 0
    for layer in layers:
        bends = not all(isinstance(s, Affine) for s in stages([layer], shape))
        block.append(layer)
        shape = layer.forward(np.zeros((1, *shape)))[0].shape[1:]
        if bends:
            number += 1
            name = " ".join([str(number), *(type(part).__name__ for part in block)])
            yield name, block, inside, shape
            block, inside = [], shape


def _generic(block, shape):
    """Formula and count at generic weights, for one convolution or dense layer and its bends."""
    affine = [layer for layer in block[:-1] if not isinstance(layer, Flatten)]
    work = stages(block, shape)
    only_bound = RegionCount(upper=_product_upper(work, shape), method="hyperplanes")
    if not affine and isinstance(work[-1], Winner) and _is_disjoint(work[-1]):
        return _disjoint_count(work[-1])
    if len(affine) != 1 or not isinstance(affine[0], Conv2D | Linear):
        return only_bound
    if not isinstance(work[-1], Bend) or not np.isfinite(work[-1].thresholds).all():
        return only_bound  # one count for all neurons needs as many breakpoints in each
    layer, breakpoints = affine[0], len(work[-1].thresholds)
    free = layer.bias is not None or (breakpoints == 1 and bool(work[-1].thresholds.any()))
    named = {"breakpoints": breakpoints, "bias": free}
    if isinstance(layer, Linear):  # one window that sees everything
        width, size = layer.weights.shape
        return architecture((1, 1, size), width, (1, size), **named)
    n_filters, _, *kernel = layer.filters.shape
    return architecture(shape, n_filters, kernel, layer.stride, layer.padding, **named)


def _given(layers, shape, limit, upper, drawn):
    """The count of these weights, or what is certain and why there is no count."""
    work = stages(layers, shape)
    bends, n = [s for s in work if not isinstance(s, Affine)], int(np.prod(shape))
    if len(work) == 1 and isinstance(work[0], Winner) and _is_disjoint(work[0]):
        return _disjoint_count(work[0])
    units = max((_planes(bend)[1] for bend in bends), default=1)
    try:
        if units * (n + 1) > _ONE_CELL:
            raise TooLarge(f"each region would carry {units:,} functions of {n:,} inputs")
        return count(layers, shape, limit=max(1, min(limit, _ALL_CELLS // (units * (n + 1)))))
    except TooLarge as reason:
        return RegionCount(
            None, None, drawn.sampled, upper, drawn.sampled, "patterns met below; proved above",
            (f"exact count left out: {reason}",),
        )  # fmt: skip


def _is_disjoint(winner):
    return len(np.unique(winner.windows)) == winner.windows.size


def _disjoint_count(winner):
    """Any winner in one window goes with any in another."""
    outputs, size = winner.windows.shape
    exact = size**outputs
    return RegionCount(exact, None, exact, exact, None, "windows that do not overlap")


def _planes(bend):
    """Numbers of hyperplanes and of outputs of a place where the network bends."""
    if isinstance(bend, Bend):
        return len(bend.breakpoints[0]), bend.width
    outputs, size = bend.windows.shape
    return outputs * math.comb(size, 2), outputs


def _network_bounds(layers, shape, blocks, rows):
    """Bounds on the most regions that any weights of this architecture reach."""
    if len(blocks) == 1:
        return rows[0].architecture
    work = stages(layers, shape)
    bends = [s for s in work if not isinstance(s, Affine)]
    uppers, lower = [_product_upper(work, shape)], None
    relu = all(isinstance(s, Bend) and _is_relu(s) for s in bends)
    widths = [s.thresholds.shape[1] for s in bends] if relu else []
    if widths and int(np.prod(shape)) ** 2 * len(widths) < _SERRA_WORK:
        uppers.append(inequalities.serra_upper(int(np.prod(shape)), widths))
    described = [_description(block) for _, block, _, _ in blocks]
    if relu and described and all(described):
        bounds = inequalities.conv_bounds(shape, described)
        lower = bounds["lower"]
        uppers += [v for k, v in bounds.items() if "upper" in k and v is not None]
    elif widths and all(_is_dense(block) for _, block, _, _ in blocks):
        bounds = inequalities.dense_bounds(int(np.prod(shape)), widths)
        lower = max((v for k, v in bounds.items() if "lower" in k and v is not None), default=None)
    return RegionCount(None, None, lower, min(uppers), None, "bounds on the maximum over weights")


def _is_dense(block):
    """Whether one dense layer with biases stands before the bend: no narrower one hides there."""
    affine = [layer for layer in block[:-1] if not isinstance(layer, Flatten)]
    return len(affine) == 1 and isinstance(affine[0], Linear) and affine[0].bias is not None


def _is_relu(bend):
    """Flat below its only breakpoint, without a jump: what the bounds by active neurons need."""
    if len(bend.thresholds) != 1 or not np.isfinite(bend.thresholds).all() or bend.slopes[0].any():
        return False
    rise = bend.slopes[1] * bend.thresholds[0]
    jump = np.abs(rise + bend.constants[1] - bend.constants[0])
    return bool((jump <= 1e-12 * (np.abs(rise) + np.abs(bend.constants[0]))).all())


def _description(block):
    """A block as `conv_bounds` takes it, or None where it is another."""
    layer = block[0]
    if len(block) != 2 or not isinstance(layer, Conv2D) or layer.padding == "circular":
        return None
    n_filters, _, *kernel = layer.filters.shape
    return {
        "n_filters": n_filters, "kernel_size": kernel, "stride": layer.stride,
        "padding": layer.padding, "bias": layer.bias is not None,
    }  # fmt: skip


def _product_upper(work, shape):
    """Product over the bends of what their hyperplanes make of the least dimension so far.

    Inside a region of the layers before, a bend's hyperplanes are pulled back from a space whose
    dimension is at most the number of inputs and of the outputs of every bend in between.
    """
    value, dimension = 1, int(np.prod(shape))
    for stage in work:
        if isinstance(stage, Affine):
            continue
        planes, outputs = _planes(stage)
        value *= formulas.zaslavsky(planes, dimension)
        dimension = min(dimension, outputs)
    return value


def _short(value):
    """A number in full up to twelve digits, else its leading digits."""
    if value is None:
        return "-"
    return f"{value:,}" if value < 10**12 else f"{Decimal(value):.3e}"
