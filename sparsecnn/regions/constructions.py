"""Networks that reach the lower bounds: every layer folds the unit cube onto itself.

The proofs of the lower bounds, as networks that can be counted.
"""

from __future__ import annotations

import numpy as np

from ..layers import Activation, Conv2D, Linear
from ..network import Network
from ..validation import InputError, as_generator, as_number
from .inequalities import as_widths, layer_models


def random_network(input_shape, layers, *, random_state=None):
    """Return convolutional ReLU layers with Gaussian weights and biases.

    Parameters
    ----------
    input_shape : tuple of int
        ``(channels, height, width)``.
    layers : sequence of dict
        As for `conv_bounds`: ``n_filters``, ``kernel_size`` and optionally ``stride``, ``padding``,
        ``dilation``.
    random_state : None, int or Generator

    Returns
    -------
    Network
        Weights of variance ``2 / fan_in``, standard normal biases.
    """
    rng, parts, layers = as_generator(random_state), [], list(layers)
    for model, description in zip(layer_models(input_shape, layers), layers, strict=True):
        geometry = model.geometry
        shape = (model.n_filters, geometry.input_shape[0], *geometry.kernel_size)
        filters = rng.standard_normal(shape) * np.sqrt(2 / geometry.n_taps)
        bias = rng.standard_normal(model.n_filters)
        parts.append(Conv2D(_dilated(filters, geometry.dilation), bias, geometry.stride,
                            dict(description).get("padding", 0)))  # fmt: skip
        parts.append(Activation("relu"))
    return Network(parts)


def _dilated(filters, dilation):
    """The same filters with zeros between their taps: what dilation means."""
    reach = [(f - 1) * e + 1 for f, e in zip(filters.shape[2:], dilation, strict=True)]
    wide = np.zeros((*filters.shape[:2], *reach))
    wide[:, :, :: dilation[0], :: dilation[1]] = filters
    return wide


def folding_network(input_shape, layers, *, scale=1000.0, random_state=0):
    """Return a convolutional network that reaches Theorem 5's lower bound inside the unit cube.

    With ``p = floor(d_l / d_0)``, filters of one tap give ``h_1 = max(0, p x)`` and
    ``h_j = max(0, 2 p x - 2 (j - 1))`` per channel; ``h_1 - h_2 + h_3 - ..`` folds ``[0, 1]`` onto
    itself ``p`` times. The last layer is random, shrunk around the centre of the cube.

    Parameters
    ----------
    input_shape : tuple of int
        ``(channels, height, width)``.
    layers : sequence of dict
        ``n_filters``, ``kernel_size`` and optionally ``stride``; no padding or dilation.
    scale : float
        How far the last layer is shrunk: too small, and some regions miss the cube.
    random_state : int or Generator
        Of the last layer.

    References
    ----------
    Xiong et al. 2020, Theorem 5; Montufar et al. 2014.
    """
    models, rng = layer_models(input_shape, layers), as_generator(random_state)
    scale = as_number(scale, "scale", positive=True)
    channels = models[0].geometry.input_shape[0]
    if any(m.geometry.dilation != (1, 1) or any(map(any, m.geometry.pads)) for m in models):
        raise InputError("layers: expected no padding and no dilation in a folding network.")
    signs = np.eye(channels)  # how the next layer reads the folded channels off this one's output
    parts = []
    for model in models[:-1]:
        folds = model.n_filters // channels
        filters = np.zeros((model.n_filters, channels, *model.geometry.kernel_size))
        bias, read = np.zeros(model.n_filters), np.zeros((channels, model.n_filters))
        for c in range(channels):
            for j in range(folds):
                k = c * folds + j
                filters[k, c, 0, 0] = folds if j == 0 else 2 * folds
                bias[k] = -2.0 * j
                read[c, k] = (-1) ** j
        parts += [_conv(filters, signs, bias, model), Activation("relu")]
        signs = read
    last = models[-1]
    filters = rng.standard_normal((last.n_filters, channels, *last.geometry.kernel_size))
    bias = rng.standard_normal(last.n_filters) - scale / 2 * filters.sum(axis=(1, 2, 3))
    parts += [_conv(scale * filters, signs, bias, last), Activation("relu")]
    return Network(parts)


def _conv(filters, signs, bias, model):
    """A convolution of the folded channels, absorbed into one of the layer below's outputs."""
    absorbed = np.einsum("kcab,ci->kiab", filters, signs)
    return Conv2D(absorbed, bias, model.geometry.stride)


def zigzag_network(widths):
    """Return a dense network on the line with exactly ``prod (n_l + 1)`` linear regions.

    Each layer's units bend at ``t_1 < .. < t_n``, one of them open to the left, and combine to a
    zigzag that maps each of its ``n + 1`` pieces onto ``[0, 1]``. The pieces have slopes
    ``s_i = (-1)^i / L_i`` and ``1/L_0 = 1/L_2 + 1/L_3`` makes the linear term vanish.

    Parameters
    ----------
    widths : sequence of int
        Hidden widths, each at least 3.
    """
    widths = as_widths(widths)
    if min(widths) < 3:
        raise InputError(f"widths is {widths}; expected at least 3 units in every layer.")
    parts, read, shift = [], np.ones((1, 1)), 0.0
    for n in widths:
        lengths = np.full(n + 1, 1 / (n + 0.5))
        lengths[0] /= 2
        knots = np.cumsum(lengths)[:-1]
        slopes = (-1.0) ** np.arange(n + 1) / lengths
        jumps = np.diff(slopes)
        facing = np.where(np.arange(n) == 2, -1.0, 1.0)
        parts += [Linear(facing[:, None] * read, facing * (shift - knots)), Activation("relu")]
        read, shift = jumps[None], -jumps[2] * knots[2]
    return Network(parts)
