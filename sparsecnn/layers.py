"""Layers of a network: ``forward(x) -> (y, pullback)``, no hidden state.

A convolutional layer is the analysis of a dictionary, an activation the prox of a prior. Forward
and backward formulas: Murugan 2017, Feed forward and backward run in deep convolution neural
network.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from .activations import activation_function
from .engine import ConvGeometry, engine_for
from .validation import InputError, InputTypeError, as_float_array, as_pair


class Layer:
    """A map with parameters and an exact pullback.

    Attributes
    ----------
    params : dict
        Trainable arrays, keyed by the constructor's argument names.
    """

    params: dict = {}

    def forward(self, x):
        """Return ``(y, pullback)``, where ``pullback(dy) -> (dx, grads)``, keyed like ``params``.

        A pullback owns what it reads: later calls of ``forward`` do not change it.
        """
        raise NotImplementedError

    def with_params(self, params):
        """The same layer with other parameter values (for training); unnamed ones stay."""
        if params:
            raise InputError(f"{type(self).__name__} has no parameters; got {sorted(params)}.")
        return self

    def __call__(self, x):
        return self.forward(x)[0]

    def __repr__(self):
        return f"{type(self).__name__}()"


class Conv2D(Layer):
    """Cross-correlation with filters, ``y_k = sum_c phi_kc * x_c + b_k``: a dictionary's analysis.

    Parameters
    ----------
    filters : array-like, shape (n_filters, n_channels, height, width)
    bias : array-like, shape (n_filters,), optional
        One number per feature map; ``-lam`` of an exponential prior.
    stride : int or (int, int)
    padding : int or {"valid", "same", "circular"}
        As in ``ConvDictionary``.
    flip : bool
        Rotate the filters by 180 degrees first: a true convolution instead of the
        cross-correlation.

    Notes
    -----
    Input (n, n_channels, h, w), output (n, n_filters, out_h, out_w). The filters follow the input's
    dtype.
    """

    def __init__(self, filters, bias=None, stride=1, padding=0, flip=False):
        self.filters = as_float_array(
            filters, "filters", ndim=4, expected="filters (n_filters, n_channels, height, width)"
        )
        self.bias = _checked_bias(bias, len(self.filters))
        self.stride, self.padding, self.flip = as_pair(stride, "stride"), padding, bool(flip)

    @property
    def params(self):
        return _present(filters=self.filters, bias=self.bias)

    def with_params(self, params):
        merged = {**self.params, **params}
        return Conv2D(
            merged["filters"], merged.get("bias"), self.stride, self.padding, flip=self.flip
        )

    def forward(self, x):
        x = _checked_input(x, self, 4, "(n, n_channels, height, width)", self.filters.shape[1])
        engine = engine_for(x)
        geometry = ConvGeometry.of(x.shape[2:], self.filters.shape, self.stride, self.padding)
        filters = self._oriented(self.filters).astype(x.dtype, copy=False)
        y = engine.analyze(geometry, x, filters)
        if self.bias is not None:
            y += self.bias.astype(y.dtype, copy=False)[:, None, None]

        def pullback(dy):
            grads = {"filters": self._oriented(engine.filter_gradient(geometry, x, dy))}
            if self.bias is not None:
                grads["bias"] = dy.sum(axis=(0, 2, 3))
            return engine.synthesize(geometry, dy, filters), grads

        return y, pullback

    def _oriented(self, filters):
        return filters[:, :, ::-1, ::-1] if self.flip else filters

    def __repr__(self):
        k = self.filters.shape
        return (
            f"Conv2D({k[0]} filters {k[2]}x{k[3]}x{k[1]}, stride {self.stride}, "
            f"padding {self.padding})"
        )


class Linear(Layer):
    """Dense layer ``y = x W^T + b``.

    Parameters
    ----------
    weights : array-like, shape (n_outputs, n_inputs)
    bias : array-like, shape (n_outputs,), optional
    """

    def __init__(self, weights, bias=None):
        self.weights = as_float_array(
            weights, "weights", ndim=2, expected="weights (n_outputs, n_inputs)"
        )
        self.bias = _checked_bias(bias, len(self.weights))

    @property
    def params(self):
        return _present(weights=self.weights, bias=self.bias)

    def with_params(self, params):
        merged = {**self.params, **params}
        return Linear(merged["weights"], merged.get("bias"))

    def forward(self, x):
        x = _checked_input(x, self, 2, "(n, n_inputs)", self.weights.shape[1])
        weights = self.weights.astype(x.dtype, copy=False)
        y = x @ weights.T
        if self.bias is not None:
            y += self.bias.astype(y.dtype, copy=False)

        def pullback(dy):
            grads = {"weights": dy.T @ x}
            if self.bias is not None:
                grads["bias"] = dy.sum(axis=0)
            return dy @ weights, grads

        return y, pullback

    def __repr__(self):
        return f"Linear({self.weights.shape[1]} -> {self.weights.shape[0]})"


class Activation(Layer):
    """The prox of a prior, or an elementwise function by its name.

    Parameters
    ----------
    prior : Prior or str
        A prior (its parameters are the layer's), or a name of ``torch.nn.functional`` such as
        ``"relu"`` or ``"gelu"``, also one that is no prox at all.

    Examples
    --------
    >>> Activation("relu").forward(np.array([[-1.0, 2.0]]))[0]
    array([[0., 2.]])
    """

    def __init__(self, prior):
        if isinstance(prior, type) or not (isinstance(prior, str) or hasattr(prior, "prox_vjp")):
            raise InputTypeError(
                f"prior is {prior!r}; expected a prior such as Exponential(0.5), or a name such "
                "as 'relu'."
            )
        self.prior = prior
        self._function = activation_function(prior) if isinstance(prior, str) else None

    @property
    def params(self):
        return {} if isinstance(self.prior, str) else dict(self.prior.parameters)

    def with_params(self, params):
        import dataclasses

        return Activation(dataclasses.replace(self.prior, **params)) if params else self

    def forward(self, x):
        x = _checked_input(x, self)
        if self._function is not None:
            y, slope = self._function(array_api_compat.array_namespace(x), x)
            return y, lambda dy: (dy * slope, {})

        def pullback(dy):
            dx, grads = self.prior.prox_vjp(x, 1.0, dy)
            grads.pop("step")
            return dx, grads

        return self.prior.prox(x), pullback

    def __repr__(self):
        return f"Activation({self.prior!r})"


class _Pool(Layer):
    """What the pools share: windows of ``size`` every ``stride`` pixels,
    incomplete ones at the end dropped.
    """

    def __init__(self, size, stride=None):
        self.size = as_pair(size, "size")
        self.stride = self.size if stride is None else as_pair(stride, "stride")

    def _windows(self, x):
        x = _checked_input(x, self, 4, "(n, n_channels, height, width)")
        if x.shape[2] < self.size[0] or x.shape[3] < self.size[1]:
            raise InputError(
                f"{type(self).__name__}: x has {x.shape[2]}x{x.shape[3]} pixels, fewer than the "
                "window's "
                f"{self.size[0]}x{self.size[1]}; expected larger maps. Use a smaller pool."
            )
        return x, engine_for(x).windows(x, self.size, self.stride)

    def _scatter(self, values, shape):
        return engine_for(values).scatter_windows(values, shape, self.stride)

    def __repr__(self):
        stride = "" if self.stride == self.size else f", stride {self.stride}"
        return f"{type(self).__name__}({self.size}{stride})"


class MaxPool(_Pool):
    """Largest value of each window; the gradient goes to the first maximum.

    Parameters
    ----------
    size : int or (int, int)
        Window, (vertical, horizontal).
    stride : int or (int, int), optional
        Distance of windows; default ``size``.
    """

    def forward(self, x):
        x, windows = self._windows(x)
        flat = windows.reshape(*windows.shape[:4], -1)
        first = flat.argmax(axis=-1)[..., None]
        shapes = x.shape, windows.shape, flat.shape  # all that is kept of those arrays

        def pullback(dy):
            values = np.zeros(shapes[2], dtype=dy.dtype)
            np.put_along_axis(values, first, dy[..., None], axis=-1)
            return self._scatter(values.reshape(shapes[1]), shapes[0]), {}

        return np.take_along_axis(flat, first, axis=-1)[..., 0], pullback


class AveragePool(_Pool):
    """Mean of each window.

    Parameters
    ----------
    size : int or (int, int)
        Window, (vertical, horizontal).
    stride : int or (int, int), optional
        Distance of windows; default ``size``.
    """

    def forward(self, x):
        x, windows = self._windows(x)
        count, shape, spread = self.size[0] * self.size[1], x.shape, windows.shape

        def pullback(dy):
            values = np.broadcast_to(dy[..., None, None] / count, spread)
            return self._scatter(values, shape), {}

        return windows.mean(axis=(4, 5)), pullback


class L2Pool(_Pool):
    """Euclidean norm of each window (gradient 0 where the norm is 0).

    Parameters
    ----------
    size : int or (int, int)
        Window, (vertical, horizontal).
    stride : int or (int, int), optional
        Distance of windows; default ``size``.
    """

    def forward(self, x):
        x, windows = self._windows(x)
        scale = np.abs(windows).max(axis=(4, 5), keepdims=True)
        scale = np.where(scale > 0, scale, 1)  # so that squares neither overflow nor vanish
        y = scale[..., 0, 0] * np.sqrt(((windows / scale) ** 2).sum(axis=(4, 5)))

        def pullback(dy):
            gain = np.divide(dy, y, out=np.zeros_like(dy), where=y > 0)
            return self._scatter(windows * gain[..., None, None], x.shape), {}

        return y, pullback


class Flatten(Layer):
    """Each sample as one row: (n, ...) -> (n, product)."""

    def forward(self, x):
        x = _checked_input(x, self)
        shape = x.shape
        return x.reshape(shape[0], -1), lambda dy: (dy.reshape(shape), {})


def _present(**params):
    return {name: value for name, value in params.items() if value is not None}


def _checked_bias(bias, n_outputs):
    if bias is None:
        return None
    bias = as_float_array(bias, "bias", ndim=1, expected=f"one number per output, ({n_outputs},)")
    if bias.shape != (n_outputs,):
        raise InputError(
            f"bias has shape {bias.shape}; expected ({n_outputs},), one number per output."
        )
    return bias


def _checked_input(x, layer, ndim=None, expected="an array", channels=None):
    """``x`` in a real floating dtype, which the weights follow; integers become float64."""
    owner = type(layer).__name__
    if isinstance(x, np.ma.MaskedArray):
        raise InputTypeError(
            f"{owner}: x is a masked array, whose mask a layer cannot honour; expected {expected}. "
            "Use x.filled(0), or code it with SparseCodingProblem(mask=...)."
        )
    if isinstance(x, list | tuple):
        x = as_float_array(x, f"{owner}: x", expected=expected, finite=False)
    if not array_api_compat.is_array_api_obj(x) or ndim not in (None, x.ndim):
        raise InputError(
            f"{owner}: x has shape {getattr(x, 'shape', None)}; expected {expected}, batch first. "
            "Use numpy.asarray and add missing axes, or put Flatten() before a Linear layer."
        )
    if channels is not None and x.shape[1] != channels:
        raise InputError(
            f"{owner}: x has {x.shape[1]} on axis 1, shape {tuple(x.shape)}; expected "
            f"{channels}, {expected}."
        )
    xp = array_api_compat.array_namespace(x)
    if xp.isdtype(x.dtype, ("bool", "integral")):
        return xp.astype(x, xp.float64)
    if not xp.isdtype(x.dtype, "real floating"):
        raise InputTypeError(
            f"{owner}: x has dtype {x.dtype}; expected real numbers. Use x.real or x.astype(float)."
        )
    return x
