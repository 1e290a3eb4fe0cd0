"""What a convolution is, whoever computes it: its geometry, and the op table of an engine.

Every engine offers the same few operations on arrays ``(n_samples, channels, height, width)``;
everything elementwise is written once elsewhere. Knows no dictionary, layer or prior.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from ..validation import InputError, InputTypeError, as_integer, as_pair

PADDINGS = ("valid", "same", "circular")


@dataclasses.dataclass(frozen=True)
class ConvGeometry:
    """Shapes of a strided cross-correlation of filters with an image.

    ``(phi * x)(i, j) = sum_{c,u,v} phi(c, u, v) x(c, s i + u - p, s j + v - p)``. Pixels outside
    the image are zero, or wrap around when ``circular`` (then nothing is padded in front).

    Attributes
    ----------
    in_shape, out_shape : tuple of int
        (channels, height, width) of the signal; (n_filters, height, width) of the codes.
    kernel, stride : tuple of int
        (vertical, horizontal).
    pads : tuple
        ``((top, bottom), (left, right))``.
    circular : bool
    """

    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    circular: bool

    @classmethod
    def of(cls, image_shape, filters_shape, stride, padding):
        """Work out the geometry for an image ``(height, width)`` and filters ``(K, C, kh, kw)``.

        ``padding`` is "valid", "same" (``out = ceil(n / s)``, the odd pixel at the end),
        "circular", or the number of zero pixels on every side.

        Raises
        ------
        InputError
            If a filter is larger than the image it must fit in, or the padding is unknown.
        """
        n_filters, channels, *kernel = filters_shape
        stride = as_pair(stride, "stride")
        if isinstance(padding, str):
            if padding not in PADDINGS:
                raise InputError(
                    f"padding is {padding!r}; expected one of {PADDINGS} or an integer >= 0."
                )
        elif not isinstance(padding, bool) and hasattr(padding, "__index__"):
            padding = as_integer(padding, "padding", minimum=0)
        else:
            raise InputTypeError(
                f"padding is {padding!r}; expected one of {PADDINGS} or an integer >= 0."
            )
        axes = [
            _axis(n, k, s, padding, name)
            for n, k, s, name in zip(image_shape, kernel, stride, ("height", "width"), strict=True)
        ]
        return cls(
            in_shape=(channels, *image_shape),
            out_shape=(n_filters, axes[0][0], axes[1][0]),
            kernel=tuple(kernel),
            stride=stride,
            pads=(axes[0][1], axes[1][1]),
            circular=padding == "circular",
        )

    @property
    def filters_shape(self):
        """tuple: (n_filters, channels, kernel height, kernel width)."""
        return (self.out_shape[0], self.in_shape[0], *self.kernel)

    @property
    def padded_shape(self):
        """tuple: (height, width) that the windows cover."""
        return tuple(
            (out - 1) * s + k
            for out, s, k in zip(self.out_shape[1:], self.stride, self.kernel, strict=True)
        )


def _axis(size, kernel, stride, padding, name):
    """(number of positions, (pad before, pad after)) along one axis."""
    if padding in ("same", "circular"):
        positions = -(-size // stride)
        total = max((positions - 1) * stride + kernel - size, 0)
        before = total // 2 if padding == "same" else 0
        return positions, (before, total - before)
    before = 0 if padding == "valid" else padding
    if size + 2 * before < kernel:
        raise InputError(
            f"the filters' {name} is {kernel}, larger than the image's {size} (+ {2 * before} of "
            'padding); expected filters that fit. Use smaller filters or padding="same".'
        )
    positions = (size + 2 * before - kernel) // stride + 1
    return positions, (before, max((positions - 1) * stride + kernel - size - before, 0))


class Engine(Protocol):
    """The op table, on arrays ``(n_samples, channels, height, width)``; ``out`` is optional."""

    def analyze(self, geometry, x, filters, out=None):
        """Cross-correlate: ``(n, C, H, W) -> (n, K, oh, ow)``, the adjoint of ``synthesize``."""

    def synthesize(self, geometry, codes, filters, out=None):
        """Add one copy of its filter per coefficient: ``(n, K, oh, ow) -> (n, C, H, W)``."""

    def filter_gradient(self, geometry, x, codes):
        """Gradient of ``<analyze(x, filters), codes>`` in the filters, shape (K, C, kh, kw)."""

    def windows(self, x, size, stride):
        """Read-only view (n, C, oh, ow, h, w) of all pooling windows."""

    def scatter_windows(self, values, shape, stride):
        """Adjoint of ``windows``: add (n, C, oh, ow, h, w) back into an array of ``shape``."""
