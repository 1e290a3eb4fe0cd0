"""A network as alternating affine maps and places where it bends.

Translates layers into what the exact counts work on: affine maps lifted to functions of the input,
elementwise activations as breakpoints and pieces, max-pools as windows whose winner matters.
A smooth layer is refused. Knows nothing of cells or polygons.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import scipy.sparse
from numpy.lib.stride_tricks import sliding_window_view

from .. import priors
from ..layers import Activation, AveragePool, Conv2D, Flatten, L2Pool, Layer, Linear, MaxPool
from ..network import Network
from ..priors.pieces import as_linear_pieces
from ..validation import InputError, InputTypeError, as_float_array, as_integer
from .tropical import KINDS, TropicalConv2D

#: the named activations that are piecewise linear: where each piece starts, its slope and constant
PIECES = {
    "identity": [(-np.inf, 1.0, 0.0)],
    "relu": [(-np.inf, 0.0, 0.0), (0.0, 1.0, 0.0)],
    "leaky_relu": [(-np.inf, 0.01, 0.0), (0.0, 1.0, 0.0)],
    "relu6": [(-np.inf, 0.0, 0.0), (0.0, 1.0, 0.0), (6.0, 0.0, 6.0)],
    "hardtanh": [(-np.inf, 0.0, -1.0), (-1.0, 1.0, 0.0), (1.0, 0.0, 1.0)],
    "softshrink": [(-np.inf, 1.0, 0.5), (-0.5, 0.0, 0.0), (0.5, 1.0, -0.5)],
    "hardshrink": [(-np.inf, 1.0, 0.0), (-0.5, 0.0, 0.0), (0.5, 1.0, 0.0)],
    "hardsigmoid": [(-np.inf, 0.0, 0.0), (-3.0, 1 / 6, 0.5), (3.0, 0.0, 1.0)],
}


@dataclasses.dataclass(frozen=True)
class Affine:
    """An affine layer and the shapes of one sample before and after it."""

    layer: Layer
    input_shape: tuple
    output_shape: tuple

    @property
    def width(self):
        """Number of outputs."""
        return math.prod(self.output_shape)

    def lift(self, functions):
        """Compose with affine functions of the domain.

        Parameters
        ----------
        functions : array of shape (n_cells, n_inputs, n + 1)
            Coefficients and, last, the constant of each input.

        Returns
        -------
        array of shape (n_cells, n_outputs, n + 1)
        """
        cells, size, columns = functions.shape
        images = functions.transpose(0, 2, 1).reshape(cells * columns, size)
        lifted = self.linear(images).reshape(cells, columns, -1).transpose(0, 2, 1).copy()
        lifted[:, :, -1] += self.apply(np.zeros((1, size)))
        return lifted

    def linear(self, values):
        """The map without its constant, on flat rows."""
        images = np.ascontiguousarray(values).reshape(len(values), *self.input_shape)
        return _without_bias(self.layer).forward(images)[0].reshape(len(values), -1)

    def apply(self, values):
        """The map itself, on flat rows."""
        images = np.ascontiguousarray(values).reshape(len(values), *self.input_shape)
        return self.layer.forward(images)[0].reshape(len(values), -1)


class Sparse(Affine):
    """An affine map as a sparse matrix and a constant: what tropical layers are made of."""

    def __init__(self, matrix, constant):
        object.__setattr__(self, "matrix", matrix.tocsr())
        object.__setattr__(self, "constant", np.asarray(constant, dtype=float))

    @property
    def width(self):
        """Number of outputs."""
        return self.matrix.shape[0]

    def linear(self, values):
        """The map without its constant, on flat rows."""
        return (self.matrix @ values.T).T

    def apply(self, values):
        """The map itself, on flat rows."""
        return self.linear(values) + self.constant


@dataclasses.dataclass(frozen=True)
class Bend:
    """An elementwise piecewise-linear activation, which may jump.

    Attributes
    ----------
    thresholds : array of shape (n_breakpoints, n_neurons)
        Increasing; a neuron with fewer breakpoints than others has ``inf`` in the last places.
    slopes, constants : arrays of shape (n_breakpoints + 1, n_neurons)
    """

    thresholds: np.ndarray
    slopes: np.ndarray
    constants: np.ndarray

    @property
    def width(self):
        """Number of neurons."""
        return self.thresholds.shape[1]

    @functools.cached_property
    def breakpoints(self):
        """Neuron and threshold of every breakpoint, neuron after neuron."""
        neurons, which = np.nonzero(np.isfinite(self.thresholds.T))
        return neurons, self.thresholds[which, neurons]

    @property
    def jumps(self):
        """Whether some neighbouring pieces do not meet, by more than rounding."""
        at, n = np.where(np.isfinite(self.thresholds), self.thresholds, 0.0), len(self.thresholds)
        sloped = [self.slopes[k : k + n] * at for k in (0, 1)]
        constant = [self.constants[k : k + n] for k in (0, 1)]
        apart = np.abs(sloped[1] + constant[1] - sloped[0] - constant[0])
        apart = apart > 1e-12 * sum(np.abs(term) for term in (*sloped, *constant))
        return bool((apart & np.isfinite(self.thresholds)).any())


@dataclasses.dataclass(frozen=True)
class Winner:
    """A max-pool: the region of an input is told by the first largest entry of every window.

    Attributes
    ----------
    windows : int array of shape (n_outputs, window size)
    """

    windows: np.ndarray

    @property
    def width(self):
        """Number of windows."""
        return len(self.windows)


def as_layers(network):
    """Return a flat list of layers from a network, a layer, a sequence or ``(weights, bias)``."""
    if isinstance(network, Network):
        return [part for layer in network.layers for part in as_layers(layer)]
    if isinstance(network, Layer):
        return [network]
    try:
        parts = list(network)
    except TypeError:
        raise InputTypeError(
            f"network is {network!r}; expected a Network, layers, or a pair (weights, bias)."
        )
    if parts and all(isinstance(part, Layer) for part in parts):
        return [flat for part in parts for flat in as_layers(part)]
    if len(parts) != 2:
        raise InputTypeError(
            "network is neither a Network, nor a sequence of layers, nor a pair (weights, bias)."
        )
    weights = as_float_array(parts[0], "weights", ndim=(2, 4), expected="one layer's weights")
    layer = Conv2D if weights.ndim == 4 else Linear
    return [layer(weights, parts[1]), Activation("relu")]


def as_shape(input_shape):
    """Return the shape of one input as positive integers, or refuse it."""
    parts = [input_shape] if isinstance(input_shape, str) else np.atleast_1d(input_shape).tolist()
    return tuple(as_integer(part, "input_shape") for part in parts)


def stages(network, input_shape):
    """Return the list of `Affine`, `Bend` and `Winner` stages of a network.

    Raises
    ------
    InputError
        For layers that are not piecewise linear.
    """
    shape, found = as_shape(input_shape), []
    for layer in as_layers(network):
        output = layer.forward(np.zeros((1, *shape)))[0].shape[1:]
        if isinstance(layer, Conv2D | Linear | AveragePool | Flatten):
            found.append(Affine(layer, shape, output))
        elif isinstance(layer, MaxPool):
            found.append(_winner(layer, shape))
        elif isinstance(layer, Activation):
            found.append(_bend(layer, shape))
        elif isinstance(layer, TropicalConv2D):
            found.extend(_tropical(layer, shape))
        else:
            kind = "an L2 pool is curved" if isinstance(layer, L2Pool) else "it is not known here"
            raise InputError(
                f"{layer!r} has no linear regions ({kind}); expected convolutions, dense layers, "
                "average or max pools and piecewise-linear activations. Count the layers before it."
            )
        shape = output
    return found


def _without_bias(layer):
    if isinstance(layer, Conv2D):
        return Conv2D(layer.filters, None, layer.stride, layer.padding, flip=layer.flip)
    return Linear(layer.weights) if isinstance(layer, Linear) else layer


def _winner(layer, shape):
    index = np.arange(np.prod(shape)).reshape(shape)
    windows = sliding_window_view(index, layer.size, axis=(1, 2))
    windows = windows[:, :: layer.stride[0], :: layer.stride[1]]
    return Winner(windows.reshape(-1, layer.size[0] * layer.size[1]))


def _tropical(layer, shape):
    """A tropical convolution: sums with the weights, winners, sums or winners over channels."""
    inner, outer = KINDS[layer.kind]
    size = int(np.prod(shape))
    index = layer.windows(np.arange(1, size + 1).reshape(1, *shape))[0]
    channels, rows, columns = index.shape[:3]
    outputs, taps = len(layer.weights), layer.weights[0, 0].size
    pixels = np.tile(index.reshape(-1), outputs)
    entries = np.arange(len(pixels))
    real = pixels > 0  # a padded pixel is the constant zero
    sign = 1.0 if inner == "max" else -1.0
    places = (entries[real], pixels[real] - 1)
    sums = scipy.sparse.coo_array((np.full(real.sum(), sign), places), shape=(len(pixels), size))
    weights = np.broadcast_to(
        layer.weights.reshape(outputs, channels, 1, taps), (outputs, channels, rows * columns, taps)
    )
    stages = [Sparse(sums, sign * weights.reshape(-1)), Winner(entries.reshape(-1, taps))]
    values = np.arange(outputs * channels * rows * columns)
    groups = values.reshape(outputs, channels, -1).transpose(0, 2, 1).reshape(-1, channels)
    last = 1.0 if outer != "min" else -1.0
    if outer == "sum":
        owner = np.repeat(np.arange(len(groups)), channels)
        add = scipy.sparse.coo_array(
            (np.full(len(values), sign), (owner, groups.reshape(-1))),
            shape=(len(groups), len(values)),
        )
        return [*stages, Sparse(add, np.zeros(len(groups)))]
    turn = Sparse(sign * last * scipy.sparse.eye_array(len(values)), np.zeros(len(values)))
    back = Sparse(last * scipy.sparse.eye_array(len(groups)), np.zeros(len(groups)))
    return [*stages, turn, Winner(groups), back]


def _bend(layer, shape):
    """The pieces of an activation by its name, or as its prior says them."""
    prior, pieces = layer.prior, None
    if isinstance(prior, str):
        if prior in PIECES:
            pieces = as_linear_pieces(PIECES[prior], shape)
    elif isinstance(prior, priors.Prior):
        pieces = prior.linear_pieces(shape)
    if pieces is None:
        raise InputError(
            f"Activation({prior!r}) is not known to be elementwise and piecewise linear; expected "
            f"one of {sorted(PIECES)}, or a prior whose linear_pieces are known, such as Laplace, "
            'Huber, ElasticNet, MCP or SymbolicPrior("lam*abs(z)"). Replace it, or count the '
            "layers before it."
        )
    thresholds, slopes, constants = (part.reshape(len(part), math.prod(shape)) for part in pieces)
    if len(thresholds):
        return Bend(thresholds, slopes, constants)
    return Sparse(scipy.sparse.diags_array(slopes[0]), constants[0])
