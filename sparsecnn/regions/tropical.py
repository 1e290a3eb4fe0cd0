"""Tropical convolutions: layers that add and compare instead of multiplying.

Six kinds (Fan et al. 2021, TCNN): the smallest or largest of ``x + w`` over a window, then the sum,
largest or smallest over channels. Zero padding enters before the comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..layers import Layer, checked_input, own_parameter
from ..validation import InputError, as_pair

#: name -> what is taken over the window, what over the channels
KINDS = {
    "MinP-S": ("min", "sum"),
    "MaxP-S": ("max", "sum"),
    "MinP-Max": ("min", "max"),
    "MaxP-Min": ("max", "min"),
    "MinP-Min": ("min", "min"),
    "MaxP-Max": ("max", "max"),
}
_PICK = {"min": np.argmin, "max": np.argmax}


class TropicalConv2D(Layer):
    """``y_o = outer_c inner_u (x_cu + w_ocu)`` over windows ``u``, without products.

    Parameters
    ----------
    weights : array-like, shape (n_outputs, n_channels, height, width)
    kind : str
        One of `KINDS`: inner and outer operation.
    stride : int or (int, int)
    padding : int or (int, int)
        Zeros around the image.

    Notes
    -----
    The pullback is a sub-gradient: 1 at the first entry that attains the minimum or maximum.

    Examples
    --------
    >>> layer = TropicalConv2D([[[[0.0, 1.0]]]], "MaxP-S")
    >>> layer.forward(np.array([[[[1.0, 2.0, 0.0]]]]))[0]
    array([[[[3., 2.]]]])
    """

    def __init__(self, weights, kind="MinP-S", stride=1, padding=0):
        if kind not in KINDS:
            raise InputError(f"kind is {kind!r}; expected one of {sorted(KINDS)}.")
        self.weights = own_parameter(
            weights, "weights", 4, "weights (n_outputs, n_channels, height, width)"
        )
        self.kind, self.stride = kind, as_pair(stride, "stride")
        self.padding = as_pair(padding, "padding", minimum=0)

    @property
    def params(self):
        return {"weights": self.weights}

    def with_params(self, params):
        weights = self._merged(params)["weights"]
        return TropicalConv2D(weights, self.kind, self.stride, self.padding)

    def windows(self, x):
        """Windows of the padded input, (n, channels, out_height, out_width, height, width)."""
        (top, left), (height, width) = self.padding, self.weights.shape[2:]
        padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
        if padded.shape[2] < height or padded.shape[3] < width:
            raise InputError(
                f"TropicalConv2D: x has {x.shape[2]}x{x.shape[3]} pixels; expected at least "
                f"{height}x{width} with padding. Use smaller weights, or padding."
            )
        windows = sliding_window_view(padded, (height, width), axis=(2, 3))
        return windows[:, :, :: self.stride[0], :: self.stride[1]]

    def _forward(self, x):
        x = checked_input(x, self, 4, "(n, n_channels, height, width)", self.weights.shape[1])
        inner, outer = KINDS[self.kind]
        windows = self.windows(x)
        w = self.weights.astype(x.dtype, copy=False)[:, :, None, None]
        sums = (windows[:, None] + w).reshape(
            len(x), *self.weights.shape[:2], *windows.shape[2:4], self.weights[0, 0].size
        )
        chosen = _PICK[inner](sums, axis=-1)[..., None]
        values = np.take_along_axis(sums, chosen, axis=-1)[..., 0]
        if outer == "sum":
            channel, y = None, values.sum(axis=2)
        else:
            channel = _PICK[outer](values, axis=2)[:, :, None]
            y = np.take_along_axis(values, channel, axis=2)[:, :, 0]
        shapes = x.shape, values.shape, sums.shape  # all that is kept of those arrays

        def pullback(dy):
            spread = np.zeros(shapes[1], dtype=dy.dtype)
            if channel is None:
                spread += dy[:, :, None]
            else:
                np.put_along_axis(spread, channel, dy[:, :, None], axis=2)
            full = np.zeros(shapes[2], dtype=dy.dtype)
            np.put_along_axis(full, chosen, spread[..., None], axis=-1)
            grads = {"weights": full.sum(axis=(0, 3, 4)).reshape(self.weights.shape)}
            return self._scatter(full.sum(axis=1), shapes[0]), grads

        return y, pullback

    def _scatter(self, flat, shape):
        """Add window entries back to the pixels they came from."""
        (top, left), (height, width) = self.padding, self.weights.shape[2:]
        padded = np.zeros((*shape[:2], shape[2] + 2 * top, shape[3] + 2 * left), flat.dtype)
        rows, columns = flat.shape[2:4]
        for k in range(height * width):
            a, b = divmod(k, width)
            padded[
                :, :, a : a + rows * self.stride[0] : self.stride[0],
                b : b + columns * self.stride[1] : self.stride[1],
            ] += flat[..., k]  # fmt: skip
        return padded[:, :, top : top + shape[2], left : left + shape[3]]

    def __repr__(self):
        return f"TropicalConv2D({self.kind}, {self.weights.shape}, stride {self.stride})"
