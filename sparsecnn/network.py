"""A network: layers one after the other, itself a layer."""

from __future__ import annotations

import numpy as np

from .layers import Layer
from .validation import InputError, InputTypeError, as_integer


class Network(Layer):
    """Layers in sequence.

    Parameters
    ----------
    layers : sequence of Layer

    Attributes
    ----------
    layers : tuple of Layer
    params : dict
        All parameters, keyed ``"<index of layer>.<name>"``.

    Examples
    --------
    >>> from sparsecnn import Activation, Linear
    >>> network = Network([Linear([[1.0, -1.0]], [0.5]), Activation("relu")])
    >>> y, pullback = network.forward(np.array([[2.0, 1.0]]))
    >>> y, pullback(np.ones((1, 1)))[1]["0.bias"]
    (array([[1.5]]), array([1.]))
    """

    def __init__(self, layers):
        if not hasattr(layers, "__iter__"):
            raise InputTypeError(
                f"layers is {layers!r}; expected a sequence of layers. Write Network([{layers!r}])."
                if isinstance(layers, Layer)
                else f"layers is {layers!r}; expected a sequence of layers, such as [Flatten()]."
            )
        layers = tuple(layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise InputTypeError(
                    f"layers[{i}] is {layer!r}; expected a Layer, such as Activation('relu')."
                )
        if not layers:
            raise InputError("layers is empty; expected at least one Layer.")
        self.layers = layers

    @property
    def params(self):
        return {
            f"{i}.{k}": v for i, layer in enumerate(self.layers) for k, v in layer.params.items()
        }

    def with_params(self, params):
        """The same network with other values for the named parameters."""
        unknown = sorted(set(params) - set(self.params))
        if unknown:
            raise InputError(
                f"params has unknown names {unknown}; expected some of {sorted(self.params)}."
            )
        parts = [{} for _ in self.layers]
        for name, value in params.items():
            index, _, key = name.partition(".")
            parts[int(index)][key] = value
        return Network(
            layer.with_params(part) if part else layer
            for layer, part in zip(self.layers, parts, strict=True)
        )

    def forward(self, x):
        """Run all layers; the pullback runs theirs in reverse order."""
        pullbacks = []
        for layer in self.layers:
            x, pullback = layer.forward(x)
            pullbacks.append(pullback)

        def backward(dy):
            grads = {}
            for i in reversed(range(len(pullbacks))):
                dy, part = pullbacks[i](dy)
                grads.update({f"{i}.{name}": value for name, value in part.items()})
            return dy, grads

        return x, backward

    def predict(self, x):
        """Index of the largest output of each sample, shape (n_samples,)."""
        y = self.forward(x)[0]
        if y.ndim != 2:
            raise InputError(
                f"the network's output has shape {y.shape}; expected one score per class, (n, "
                "n_classes). "
                "End it with Flatten() and Linear(...), or use forward(x)[0]."
            )
        return np.argmax(y, axis=1)

    def summary(self, input_shape):
        """A table of layers, output shapes and parameter counts.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, (n_channels, height, width) or (n_features,).

        Returns
        -------
        str
        """
        if not hasattr(input_shape, "__iter__"):
            raise InputTypeError(
                f"input_shape is {input_shape!r}; expected the shape of one sample, such as "
                "(n_channels, height, width) or (n_features,). Write one number as a tuple, (6,)."
            )
        input_shape = tuple(as_integer(n, "each entry of input_shape") for n in input_shape)
        x = np.zeros((1, *input_shape))
        rows = [("input", str(input_shape), "")]
        for layer in self.layers:
            x = layer.forward(x)[0]
            count = sum(np.size(p) for p in layer.params.values())
            rows.append((repr(layer), str(x.shape[1:]), f"{count:,}"))
        total = sum(np.size(p) for p in self.params.values())
        rows.append(("total", "", f"{total:,}"))
        widths = [
            max(len(row[i]) for row in [("layer", "output", "parameters"), *rows])
            for i in (0, 1, 2)
        ]
        lines = [("layer", "output", "parameters"), *rows]
        return "\n".join(
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in lines
        )

    def __repr__(self):
        return f"Network({', '.join(map(repr, self.layers))})"
