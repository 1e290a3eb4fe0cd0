"""Where the neurons of one convolutional layer look: positions, receptive fields, normals.

Pure index bookkeeping: which pixel meets which tap of the filter. Knows nothing of counting.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from ..validation import InputError, InputTypeError, as_integer, as_pair
from .result import TooLarge

#: pixels that all positions of a layer see together: some seconds of bookkeeping
LARGEST_LAYER = 10_000_000


def as_input_shape(value):
    """Return ``(channels, height, width)`` as three positive integers, or refuse it."""
    try:
        channels, height, width = value
    except (TypeError, ValueError):
        raise InputTypeError(
            f"input_shape is {value!r}; expected (channels, height, width). A 1-D signal of "
            "length n is (1, 1, n)."
        )
    return tuple(
        as_integer(part, f"input_shape[{axis}]")
        for axis, part in enumerate((channels, height, width))
    )


def _pads(padding, shape, reach, stride):
    """Return ((top, bottom), (left, right)) pixels of padding."""
    if padding == "valid":
        padding = 0
    if padding == "circular":
        return tuple((0, r - 1) for r in reach)
    if padding == "same":
        totals = [max((math.ceil(n / s) - 1) * s + r - n, 0)
                  for n, r, s in zip(shape, reach, stride, strict=True)]  # fmt: skip
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        raise InputError(
            f"padding is {padding!r}; expected an integer, a pair, 'valid', 'same' or 'circular'."
        )
    return tuple((p, p) for p in as_pair(padding, "padding", minimum=0))


@dataclasses.dataclass(frozen=True)
class LayerGeometry:
    """One layer's geometry: input shape, filter size, stride, padding, dilation.

    Attributes
    ----------
    input_shape : tuple of int
        ``(channels, height, width)``.
    kernel_size, stride, dilation : tuple of int
        ``(vertical, horizontal)``.
    pads : tuple of pairs
        ``((top, bottom), (left, right))``.
    circular : bool
        Whether the padding repeats the image instead of holding zeros.
    """

    input_shape: tuple
    kernel_size: tuple
    stride: tuple = (1, 1)
    pads: tuple = ((0, 0), (0, 0))
    dilation: tuple = (1, 1)
    circular: bool = False

    @classmethod
    def of(cls, input_shape, kernel_size, stride=1, padding=0, dilation=1):
        """Read the arguments as a user writes them; refuse a filter larger than the image."""
        input_shape = as_input_shape(input_shape)
        kernel_size = as_pair(kernel_size, "kernel_size")
        stride = as_pair(stride, "stride")
        dilation = as_pair(dilation, "dilation")
        reach = tuple((f - 1) * e + 1 for f, e in zip(kernel_size, dilation, strict=True))
        pads = _pads(padding, input_shape[1:], reach, stride)
        for axis, n, r, pad in zip(("height", "width"), input_shape[1:], reach, pads, strict=True):
            room = n if padding == "circular" else n + sum(pad)
            if room < r:
                raise InputError(
                    f"kernel_size {kernel_size} with dilation {dilation} spans {r} pixels of "
                    f"{axis}; the image with its padding has {room}. Use a smaller filter or zero "
                    "padding."
                )
        geometry = cls(input_shape, kernel_size, stride, pads, dilation, padding == "circular")
        taps = math.prod(geometry.output_size) * geometry.n_taps
        if taps > LARGEST_LAYER:
            raise TooLarge(
                f"the layer looks at {taps:.3g} pixels from {math.prod(geometry.output_size):,} "
                f"positions (limit {LARGEST_LAYER:.0e}). Use less padding or a smaller image."
            )
        return geometry

    @property
    def output_size(self):
        """Height and width of the output grid."""
        return tuple(
            (n + sum(pad) - (f - 1) * e - 1) // s + 1
            for n, pad, f, e, s in zip(
                self.input_shape[1:], self.pads, self.kernel_size, self.dilation, self.stride,
                strict=True,
            )
        )  # fmt: skip

    @property
    def n_taps(self):
        """Weights of one filter."""
        return self.input_shape[0] * math.prod(self.kernel_size)

    @property
    def n_pixels(self):
        """Length of the flattened input."""
        return math.prod(self.input_shape)

    def _axis(self, axis):
        """Per output index: list of (tap, input index) that fall inside the image."""
        n, f = self.input_shape[1 + axis], self.kernel_size[axis]
        s, e, pad = self.stride[axis], self.dilation[axis], self.pads[axis][0]
        lines = [
            [(a, i * s + a * e - pad) for a in range(f)] for i in range(self.output_size[axis])
        ]
        if self.circular:
            return [[(a, x % n) for a, x in line] for line in lines]
        return [[(a, x) for a, x in line if 0 <= x < n] for line in lines]

    @functools.cached_property
    def windows(self):
        """For each output position a dict pixel -> tap; pixels and taps count row by row."""
        channels, height, width = self.input_shape
        f1, f2 = self.kernel_size
        return [
            {
                (c * height + y) * width + x: (c * f1 + a) * f2 + b
                for c in range(channels)
                for a, y in rows
                for b, x in columns
            }
            for rows in self._axis(0)
            for columns in self._axis(1)
        ]

    @property
    def fields(self):
        """Receptive field of each position as a frozenset of pixel numbers."""
        return [frozenset(window) for window in self.windows]

    def normals(self, taps, zero=0.0):
        """Return the matrix whose row ``k * positions + q`` is filter ``k`` laid at position ``q``.

        Parameters
        ----------
        taps : array of shape (n_filters, n_taps)
            Flattened filters (channel, row, column). Any dtype, object included.
        zero : scalar
            What stands outside the window.
        """
        taps = np.asarray(taps)
        rows = np.full((len(taps), len(self.windows), self.n_pixels), zero, dtype=taps.dtype)
        for q, window in enumerate(self.windows):
            pixels = list(window)
            if pixels:
                rows[:, q, pixels] = taps[:, list(window.values())]
        return rows.reshape(-1, self.n_pixels)

    @property
    def is_one_dimensional(self):
        """Whether, on one axis, at most one tap row ever meets the image at one position.

        Then the layer falls apart into independent 1-D convolutions, on a line and not a circle.
        """
        wraps = self.circular and max(self.kernel_size) > 1
        return not wraps and any(
            len({a for line in self._axis(axis) for a, _ in line}) <= 1 for axis in (0, 1)
        )

    def components(self):
        """Split the positions into groups that share no pixel, up to relabelling.

        Returns
        -------
        list of (windows, multiplicity)
            ``windows`` are dicts pixel -> tap with pixels renumbered; a layer's count is the
            product of its components' counts. Positions that see only padding are left out.
        """
        found = {}
        for group in _connected(self.windows):
            label = {p: k for k, p in enumerate(sorted({p for w in group for p in w}))}
            key = tuple(tuple((label[p], tap) for p, tap in w.items()) for w in group)
            found[key] = found.get(key, 0) + 1
        return [([dict(w) for w in key], times) for key, times in found.items()]

    def line_components(self):
        """The groups of a one-dimensional layer as lists of intervals ``(start, end)``."""
        axis = 0 if len({a for line in self._axis(0) for a, _ in line}) > 1 else 1
        channels, height, width = self.input_shape
        step = self.dilation[axis]

        def slot(pixel):
            c, rest = divmod(pixel, height * width)
            along = divmod(rest, width)[axis]
            return along // step * channels + c

        groups = {}
        for group in _connected(self.windows):
            key = tuple(sorted((min(map(slot, w)), max(map(slot, w)) + 1) for w in group))
            groups[key] = groups.get(key, 0) + 1
        return list(groups.items())


def _connected(windows):
    """Group windows that share pixels, keeping their order: a forest, joined pixel by pixel."""
    parent, owner, groups = list(range(len(windows))), {}, {}

    def top(i):
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, window in enumerate(windows):
        for pixel in window:
            other = top(owner.setdefault(pixel, i))
            parent[top(i)] = other
    for i, window in enumerate(windows):
        if window:
            groups.setdefault(top(i), []).append(window)
    return list(groups.values())
