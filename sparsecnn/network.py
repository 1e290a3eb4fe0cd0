"""A network: layers one after the other, itself a layer; what it takes and what it answers."""

from __future__ import annotations

import math
import numbers

import numpy as np

from .layers import Flatten, Layer, checked_input, run
from .tables import Table, fragment
from .validation import InputError, InputTypeError, as_integer

#: what a class label may be; a bool is also a Real number, so it comes first
_LABELS = (str, bool | np.bool_, numbers.Real)


class Network(Layer):
    """Layers in sequence.

    Parameters
    ----------
    layers : sequence of Layer
    input_shape : tuple of int, optional
        Shape of one sample, (n_channels, height, width) or (n_features,). Other inputs are then
        refused; a network that begins with ``Flatten`` takes n_features in any arrangement.
    classes : array-like, shape (n_classes,), optional
        The label of each output: different texts, numbers or truth values. A single output is the
        logit of the second of two classes.

    Attributes
    ----------
    layers : tuple of Layer
    params : dict
        All parameters, keyed ``"<index of layer>.<name>"``.
    input_shape : tuple of int or None
    classes : array, shape (n_classes,), or None

    Examples
    --------
    >>> from sparsecnn import Activation, Linear
    >>> network = Network([Linear([[1.0, -1.0]], [0.5]), Activation("relu")])
    >>> y, pullback = network.forward(np.array([[2.0, 1.0]]))
    >>> y, pullback(np.ones((1, 1)))[1]["0.bias"]
    (array([[1.5]]), array([1.]))
    >>> Network([Linear([[1.0, -1.0]])], classes=["no", "yes"]).predict([[2.0, 1.0], [1.0, 2.0]])
    array(['yes', 'no'], dtype='<U3')
    """

    def __init__(self, layers, input_shape=None, classes=None):
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
        self.input_shape = None if input_shape is None else _as_shape(input_shape)
        self.classes = None if classes is None else _as_labels(classes)

    @property
    def params(self):
        return {
            f"{i}.{k}": v for i, layer in enumerate(self.layers) for k, v in layer.params.items()
        }

    def with_params(self, params):
        """The same network with other values for the named parameters."""
        self._merged(params)
        parts = [{} for _ in self.layers]
        for name, value in params.items():
            index, _, key = name.partition(".")
            parts[int(index)][key] = value
        layers = [
            layer.with_params(part) if part else layer
            for layer, part in zip(self.layers, parts, strict=True)
        ]
        return Network(layers, self.input_shape, self.classes)

    def _forward(self, x):
        x = checked_input(x, self)
        self._check_shape(tuple(x.shape[1:]))
        pullbacks = []
        for layer in self.layers:
            x, pullback = run(layer, x)
            pullbacks.append(pullback)

        def backward(dy):
            grads = {}
            for i in reversed(range(len(pullbacks))):
                dy, part = pullbacks[i](dy)
                grads.update({f"{i}.{name}": value for name, value in part.items()})
            return dy, grads

        return x, backward

    def _check_shape(self, shape):
        """Refuse samples of another shape than the network's, if it knows one."""
        known = self.input_shape
        rows = len(known or ()) == 1 and isinstance(self.layers[0], Flatten)
        if known not in (None, (math.prod(shape),) if rows else shape):
            raise InputError(
                f"Network: a sample of x has shape {shape}; expected {known}, the network's "
                "input_shape, with the batch in front. Reshape x; x[None] is a batch of one, "
                "x[:, None] adds a channel axis."
            )

    def predict(self, x):
        """Class of each sample: the one with the largest output.

        Parameters
        ----------
        x : array-like, shape (n_samples, *input_shape)

        Returns
        -------
        array, shape (n_samples,)
            Labels if the network knows its ``classes``, else indices. A single output stands for
            two classes: the second where it is positive.

        Raises
        ------
        InputError
            If the outputs are not one score per class, or one of them is NaN.
        """
        scores = self.forward(x)[0]
        if scores.ndim != 2:
            raise InputError(
                f"the network's output has shape {scores.shape}; expected one score per class, "
                "(n, n_classes). End it with Flatten() and Linear(...), or use forward(x)[0]."
            )
        n_outputs = scores.shape[1]
        if self.classes is not None and len(self.classes) != max(n_outputs, 2):
            raise InputError(
                f"the network has {n_outputs} outputs and {len(self.classes)} classes; expected "
                "one output per class, or one for two. Build Network(layers, classes=...) anew."
            )
        unknown = np.isnan(scores).any(axis=1)
        if unknown.any():
            raise InputError(
                f"the network's output is NaN for {unknown.sum()} of {len(scores)} samples, first "
                f"x[{unknown.argmax()}]; expected numbers. Look for NaN or infinity in x and in "
                "the parameters."
            )
        index = scores.argmax(axis=1) if n_outputs > 1 else (scores[:, 0] > 0).astype(np.intp)
        return index if self.classes is None else self.classes[index]

    def summary(self, input_shape=None):
        """A table of layers, output shapes and parameter counts.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Shape of one sample, (n_channels, height, width) or (n_features,); not needed where the
            network knows it.

        Returns
        -------
        str
        """
        return self._table(
            _as_shape(self.input_shape if input_shape is None else input_shape)
        ).text()

    def _repr_html_(self):
        return fragment(self._table(self.input_shape))

    def _table(self, input_shape):
        """Layers and parameter counts, and the shapes between them where the first is known."""
        rows, x = [], None
        if input_shape is not None:
            self._check_shape(input_shape)
            x = np.zeros((1, *input_shape))
            rows.append(("input", str(input_shape), ""))
        for layer in self.layers:
            x = None if x is None else run(layer, x)[0]
            count = sum(np.size(p) for p in layer.params.values())
            rows.append((repr(layer), "" if x is None else str(x.shape[1:]), f"{count:,}"))
        rows.append(("total", "", f"{sum(np.size(p) for p in self.params.values()):,}"))
        notes = []
        if self.classes is not None:
            notes.append(f"{len(self.classes)} classes: {_shown(self.classes)}")
        return Table(("layer", "output", "parameters"), rows, notes=notes, words=2)

    def __repr__(self):
        known = [] if self.input_shape is None else [f"input_shape={self.input_shape}"]
        if self.classes is not None:
            known.append(f"classes=[{_shown(self.classes)}]")
        return f"Network({', '.join([*map(repr, self.layers), *known])})"


def _as_shape(input_shape):
    """The shape of one sample as a tuple of positive integers."""
    if not hasattr(input_shape, "__iter__"):
        raise InputTypeError(
            f"input_shape is {input_shape!r}; expected the shape of one sample, such as "
            "(n_channels, height, width) or (n_features,). Write one number as a tuple, (6,)."
        )
    return tuple(as_integer(n, "each entry of input_shape") for n in input_shape)


def _as_labels(classes):
    """Class labels as a read-only array."""
    unordered = isinstance(classes, str | bytes | dict | set | frozenset)
    values = list(classes) if hasattr(classes, "__iter__") and not unordered else []
    kinds = {next((kind for kind in _LABELS if isinstance(v, kind)), None) for v in values}
    labels = np.array(values) if len(kinds) == 1 and None not in kinds else np.empty(0, object)
    if labels.dtype.kind not in "fiubU":
        raise InputTypeError(
            f"classes is {classes!r}; expected labels of one kind: texts, numbers or truth values. "
            "Write them as a list, or convert them with str."
        )
    if len(labels) < 2 or len(np.unique(labels)) < len(labels) or (labels != labels).any():
        raise InputError(
            f"classes is {classes!r}; expected at least two labels, all different and none NaN. "
            "Leave classes away to predict indices."
        )
    labels.setflags(write=False)
    return labels


def _shown(labels):
    """Labels in a line, the middle of many left out."""
    shown = list(map(repr, labels.tolist()))
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", shown[-1]])
