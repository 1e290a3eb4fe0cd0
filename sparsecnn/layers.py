"""Layers of a network: ``forward(x) -> (y, pullback)``, no hidden state.

A convolutional layer is the analysis of a dictionary, an activation the prox of a prior. Forward
and backward formulas: Murugan 2017, Feed forward and backward run in deep convolution neural
network.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Mapping

import array_api_compat
import numpy as np

from .activations import ACTIVATIONS, activation_name
from .engine import ConvGeometry, engine_for
from .validation import InputError, InputTypeError, as_float_array, as_pair


class Layer:
    """A map with parameters and an exact pullback.

    A layer of your own writes ``_forward(x)`` like ``forward``, for an ``x`` that nobody else
    changes: its pullback may keep that array, but neither changes it nor reads ``y``; ``y`` may be
    ``x``, or a view of it, only where the pullback does not read ``x``. (A class that writes
    ``forward`` itself keeps the whole contract itself; ``check_layer`` runs it.)

    Attributes
    ----------
    params : dict
        Trainable arrays, keyed by the constructor's argument names; copies of what the constructor
        was given, and read-only.

    Examples
    --------
    >>> class Square(Layer):
    ...     def _forward(self, x):
    ...         return x**2, lambda dy: (2 * x * dy, {})
    >>> y, pullback = Square().forward([[3.0, 4.0]])
    >>> pullback([[1, 1]])[0]
    array([[6., 8.]])
    """

    params: dict = {}

    def forward(self, x):
        """Return ``(y, pullback)``, where ``pullback(dy) -> (dx, grads)``, keyed like ``params``.

        A pullback owns what it reads: later calls of ``forward``, and later changes of ``x``, of
        ``y`` or of the arrays that the layer was made of, do not change it. ``dy`` has the shape of
        ``y`` and is read in its dtype, integers too; ``dx`` has the dtype of ``y``.

        Parameters
        ----------
        x : array-like, shape (n_samples, ...)
            Real numbers, batch first; integers are read as float64.

        Returns
        -------
        y : array, shape (n_samples, ...)
        pullback : callable
            Refuses a ``dy`` of another shape with an InputError.
        """
        return _with_checked_dy(self, self._forward(_own(x, self)))

    def _forward(self, x):
        raise NotImplementedError

    def with_params(self, params):
        """The same layer with other parameter values (for training); unnamed ones stay."""
        self._merged(params)
        return self

    def _merged(self, params):
        """All parameters, those in ``params`` in place of the layer's own."""
        if not isinstance(params, Mapping):
            raise InputTypeError(
                f"{type(self).__name__}: params is {reprlib.repr(params)}; expected a dict of "
                f"arrays by name, some of {sorted(self.params)}. Pass {{}} to change none."
            )
        unknown = sorted(set(params) - set(self.params))
        if unknown:
            raise InputError(
                f"{type(self).__name__}: params has unknown names {unknown}; expected some of "
                f"{sorted(self.params)}."
            )
        return {**self.params, **params}

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
        self.filters = own_parameter(
            filters, "filters", 4, "filters (n_filters, n_channels, height, width)"
        )
        self.bias = _checked_bias(bias, len(self.filters))
        self.stride, self.padding, self.flip = as_pair(stride, "stride"), padding, bool(flip)

    @property
    def params(self):
        return _present(filters=self.filters, bias=self.bias)

    def with_params(self, params):
        merged = self._merged(params)
        return Conv2D(
            merged["filters"], merged.get("bias"), self.stride, self.padding, flip=self.flip
        )

    def _forward(self, x):
        x = checked_input(x, self, 4, "(n, n_channels, height, width)", self.filters.shape[1])
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
        self.weights = own_parameter(weights, "weights", 2, "weights (n_outputs, n_inputs)")
        self.bias = _checked_bias(bias, len(self.weights))

    @property
    def params(self):
        return _present(weights=self.weights, bias=self.bias)

    def with_params(self, params):
        merged = self._merged(params)
        return Linear(merged["weights"], merged.get("bias"))

    def _forward(self, x):
        x = checked_input(x, self, 2, "(n, n_inputs)", self.weights.shape[1])
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
        self.prior = activation_name(prior) if isinstance(prior, str) else prior
        self._function = ACTIVATIONS[self.prior] if isinstance(prior, str) else None

    @property
    def params(self):
        return {} if isinstance(self.prior, str) else dict(self.prior.parameters)

    def with_params(self, params):
        merged = self._merged(params)
        return Activation(dataclasses.replace(self.prior, **merged)) if params else self

    def _forward(self, x):
        x = checked_input(x, self)
        xp = array_api_compat.array_namespace(x)
        if self._function is not None:
            y, slope = self._function(xp, x)
            return y, lambda dy: (dy * slope, {})

        def pullback(dy):
            dx, grads = self.prior.prox_vjp(x, 1.0, dy)
            return dx, {name: value for name, value in grads.items() if name != "step"}

        y = self.prior.prox(x)
        return (xp.asarray(y, copy=True) if _overlap(x, y) else y), pullback

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
        x = checked_input(x, self, 4, "(n, n_channels, height, width)")
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

    def _forward(self, x):
        x, windows = self._windows(x)
        flat = windows.reshape(*windows.shape[:4], math.prod(self.size))
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

    def _forward(self, x):
        x, windows = self._windows(x)
        count, shape, spread = self.size[0] * self.size[1], x.shape, windows.shape

        def pullback(dy):
            values = np.broadcast_to(dy[..., None, None] / count, spread)
            return self._scatter(values, shape), {}

        return windows.mean(axis=(4, 5)), pullback


class L2Pool(_Pool):
    """Euclidean norm of each window, ``y = |w|``; the gradient is ``w / |w|``, and 0 where w is 0.

    Where entries are infinite the gradient is the limit along them: it is shared by them alone.

    Parameters
    ----------
    size : int or (int, int)
        Window, (vertical, horizontal).
    stride : int or (int, int), optional
        Distance of windows; default ``size``.
    """

    def _forward(self, x):
        x, windows = self._windows(x)
        scale = np.abs(windows).max(axis=(4, 5), keepdims=True)
        scale = np.where(scale > 0, scale, 1)  # so that squares neither overflow nor vanish
        norm = np.sqrt((_in_units(windows, scale) ** 2).sum(axis=(4, 5)))  # between 1 and sqrt(n)

        def pullback(dy):
            gain = np.divide(dy, norm, out=np.zeros_like(dy), where=norm != 0)
            direction = _in_units(self._windows(x)[1], scale)
            return self._scatter(direction * gain[..., None, None], x.shape), {}

        return scale[..., 0, 0] * norm, pullback


def _in_units(windows, scale):
    """``windows / scale``; of a window with infinities, the direction in which it went there."""
    if not np.isinf(scale).any():
        return windows / scale
    infinite = np.isinf(windows)
    finite = np.where(infinite, 0, windows) / scale
    return np.where(infinite, np.sign(windows), finite)


class Flatten(Layer):
    """Each sample as one row: (n, ...) -> (n, product)."""

    def _forward(self, x):
        x = checked_input(x, self)
        shape, xp = x.shape, array_api_compat.array_namespace(x)
        y = xp.reshape(x, (shape[0], math.prod(shape[1:])))
        return y, lambda dy: (xp.reshape(dy, shape, copy=True), {})


def _present(**params):
    return {name: value for name, value in params.items() if value is not None}


# -- who owns an array, and what it may be ----------------------------------------------------
def run(layer, x):
    """``layer.forward(x)`` of an array that nobody else will change: it is kept without a copy."""
    ours = getattr(layer.forward, "__func__", None) is Layer.forward
    return _with_checked_dy(layer, layer._forward(x) if ours else layer.forward(x))


def _own(x, layer):
    """``x`` as a floating array that the caller does not have."""
    read = checked_input(x, layer)
    return array_api_compat.array_namespace(read).asarray(x, copy=True) if read is x else read


def _overlap(a, b):
    return a is b or (isinstance(a, np.ndarray) and np.may_share_memory(a, b))


def _with_checked_dy(layer, answer):
    """The answer of a layer whose pullback first looks at its ``dy``."""
    y, pullback = answer
    name, xp = f"{type(layer).__name__}: dy", array_api_compat.array_namespace(y)
    shape, dtype = tuple(y.shape), y.dtype  # not y itself, which belongs to the caller
    expected = f"an array of the output's library and shape, {shape}"

    def checked(dy):
        dy = _real_array(dy, name, expected)
        if tuple(dy.shape) != shape or array_api_compat.array_namespace(dy) is not xp:
            raise InputError(
                f"{name} is {type(dy).__name__} of shape {tuple(dy.shape)}; expected {expected}. "
                "Pass the derivative of one number in each entry of the output."
            )
        return pullback(xp.astype(dy, dtype, copy=False))

    return y, checked


def own_parameter(value, name, ndim, expected):
    """A parameter as a read-only array of the layer's own."""
    array = as_float_array(value, name, ndim=ndim, expected=expected, copy=True)
    array.setflags(write=False)
    return array


def _checked_bias(bias, n_outputs):
    if bias is None:
        return None
    bias = own_parameter(bias, "bias", 1, f"one number per output, ({n_outputs},)")
    if bias.shape != (n_outputs,):
        raise InputError(
            f"bias has shape {bias.shape}; expected ({n_outputs},), one number per output."
        )
    return bias


def checked_input(x, layer, ndim=None, expected="real numbers, batch first", channels=None):
    """``x`` in a real floating dtype, which the weights follow; integers become float64."""
    owner = type(layer).__name__
    x = _real_array(x, f"{owner}: x", expected)
    if x.ndim != ndim and (ndim is not None or x.ndim == 0):
        raise InputError(
            f"{owner}: x has shape {tuple(x.shape)}; expected {expected}, batch first. "
            "Use numpy.asarray and add missing axes, or put Flatten() before a Linear layer."
        )
    if channels is not None and x.shape[1] != channels:
        raise InputError(
            f"{owner}: x has {x.shape[1]} on axis 1, shape {tuple(x.shape)}; expected "
            f"{channels}, {expected}."
        )
    return x


def _real_array(x, name, expected):
    """``x`` as an array of a real floating dtype, of whatever library it is."""
    short = name.rpartition(" ")[2]
    if isinstance(x, np.ma.MaskedArray):
        raise InputTypeError(
            f"{name} is a masked array, whose mask a layer cannot honour; expected {expected}. "
            f"Use {short}.filled(0), or code it with SparseCodingProblem(mask=...)."
        )
    if not array_api_compat.is_array_api_obj(x):
        return as_float_array(x, name, expected=expected, finite=False, copy=True)
    xp = array_api_compat.array_namespace(x)
    if xp.isdtype(x.dtype, ("bool", "integral")):
        return xp.astype(x, xp.float64)
    if not xp.isdtype(x.dtype, "real floating"):
        raise InputTypeError(
            f"{name} has dtype {x.dtype}; expected real numbers. Use {short}.real or "
            f"{short}.astype(float)."
        )
    return x
