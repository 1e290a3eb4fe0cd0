"""What makes a layer one: an exact pullback that owns what it reads, of its output's shape."""

from __future__ import annotations

import contextlib

import numpy as np

from ..validation import InputError, as_generator
from .contract import DERIVATIVE, close, differences, require


def check_layer(layer, x, *, n_directions=4, random_state=0):
    """Check a layer's pullback against central differences, and that pullbacks own what they read.

    Changing ``x``, ``y`` or an array that became a parameter after ``forward`` changes no gradient,
    and so does another ``forward``. A ``dy`` of another shape, or with a mask, is refused; one of
    integers is read as numbers. float32 stays float32.

    Parameters
    ----------
    layer : Layer
        ``forward(x) -> (y, pullback)``, ``pullback(dy) -> (dx, grads)``; ``params`` and ``grads``
        keyed alike; ``with_params(params)`` gives the layer with other values. A subclass of
        ``sparsecnn.layers.Layer`` that writes ``_forward`` gets copies and checks from there.
    x : array, shape (n_samples, ...)
        Input; a small noise is added so that no kink is hit exactly.
    n_directions : int
        Random directions for the input and for each parameter.
    random_state : None, int or Generator

    Raises
    ------
    ContractError
        With the property and a counterexample.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> check_layer(sc.Linear([[1.0, 2.0], [0.5, -1.0]], bias=[0.1, 0.2]), np.ones((3, 2)))
    """
    rng = as_generator(random_state)
    x = np.asarray(x, dtype=np.float64)
    x = x + 1e-2 * (1 + np.abs(x)) * rng.standard_normal(x.shape)
    original = x.copy()
    y, pullback = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    kept = dy.copy()
    dx, grads = pullback(dy)
    require(np.array_equal(x, original), layer, "forward or pullback modifies its input")
    require(np.array_equal(dy, kept), layer, "pullback modifies dy")
    require(dx.shape == x.shape, layer, "dx has another shape than x", got=dx.shape)
    names = set(layer.params), set(grads)
    require(names[0] == names[1], layer, "grads and params have other keys", got=sorted(grads))
    _compare_directions(
        layer, "x", dx, lambda s: (dy * layer.forward(x + s)[0]).sum(), rng, n_directions
    )
    for name, value in layer.params.items():
        value = np.asarray(value, dtype=np.float64)
        got = np.shape(grads[name])
        require(got == value.shape, layer, f"the gradient in {name} has another shape", got=got)

        def moved(s, name=name, value=value):
            return (dy * layer.with_params({name: value + s}).forward(x)[0]).sum()

        with contextlib.suppress(InputError):  # a parameter at the edge of its range
            _compare_directions(layer, name, np.asarray(grads[name]), moved, rng, n_directions)
    _check_two_forwards(layer, x, rng)
    _check_ownership(layer, x)
    _check_dy(layer, x)
    single, pullback = layer.forward(x.astype(np.float32))
    kept = single.dtype, pullback(np.ones(single.shape))[0].dtype
    require(kept == (np.float32, np.float32), layer, "float32 is not kept", y_and_dx=kept)


def _compare_directions(layer, name, gradient, function, rng, n_directions):
    compared = 0
    for _ in range(4 * n_directions):
        direction = rng.standard_normal(gradient.shape)
        direction /= max(np.sqrt((direction**2).sum()), 1e-300)
        smooth, slope = differences(lambda t, d=direction: function(t * d))
        if smooth:
            got, size = float((gradient * direction).sum()), 1 + np.abs(gradient).max()
            require(
                close(got, slope, DERIVATIVE, size),
                layer,
                f"pullback is not the derivative in {name}",
                pullback=got,
                differences=slope,
            )
            compared += 1
        if compared == n_directions:
            return
    require(compared, layer, f"no smooth direction was found in {name}")


def _check_two_forwards(layer, x, rng):
    other = x[::-1] + 0.1 * rng.standard_normal(x.shape)
    wanted = [_flat(*_forward_and_back(layer, a)) for a in (x, other)]
    for order in ((0, 1), (1, 0)):
        results = [layer.forward(a) for a in (x, other)]
        outputs = [y.copy() for y, _ in results]
        for i in order:
            y, pullback = results[i]
            got = _flat(outputs[i], *pullback(np.ones_like(y)))
            same = all(np.array_equal(a, b) for a, b in zip(got, wanted[i], strict=True))
            require(
                same, layer, "two forwards, then both pullbacks, give other results", order=order
            )


def _check_ownership(layer, x):
    """No gradient changes when the caller changes what it holds: x, y, arrays given as params."""
    for changed in ("x", "y", *layer.params):
        arrays = {name: np.array(value, dtype=float) for name, value in layer.params.items()}
        twin, arrays["x"] = layer.with_params(arrays) if arrays else layer, x.copy()
        wanted = _flat(*_forward_and_back(twin, x))
        y, pullback = twin.forward(arrays["x"])
        shared = any(np.may_share_memory(y, array) for array in arrays.values())
        require(not shared, layer, "y shares memory with x or with a parameter")
        arrays["y"], y = y, y.copy()
        arrays[changed][...] = 3 - 2 * arrays[changed]
        got = _flat(y, *pullback(np.ones_like(y)))
        same = all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
        require(same, layer, f"a gradient changes when {changed} is changed after forward")
        same = np.array_equal(twin.forward(x)[0], y)
        require(same, layer, f"the next forward changes when {changed} is changed")


def _check_dy(layer, x):
    """Only a ``dy`` of y's shape is taken; of whatever real numbers."""
    y, pullback = layer.forward(x)
    ones, shape = np.ones(y.shape), y.shape
    pairs = zip(_flat(y, *pullback(ones)), _flat(y, *pullback(ones.astype(int))), strict=True)
    require(all(np.array_equal(*pair) for pair in pairs), layer, "integer dy gives other results")
    require(not np.may_share_memory(pullback(ones)[0], ones), layer, "dx shares memory with dy")
    for dy in (*map(np.ones, _other_shapes(shape)), np.ma.masked_array(ones, mask=ones > 0)):
        try:
            pullback(dy)
        except (ValueError, TypeError):
            continue
        kind = "with a mask" if isinstance(dy, np.ma.MaskedArray) else "of another shape"
        require(False, layer, f"a dy {kind} is not refused", y=shape, dy=dy.shape)


def _other_shapes(shape):
    """Shapes near ``shape``, those that would broadcast to it among them."""
    axes = range(len(shape))
    lengths = [(*shape[:i], n, *shape[i + 1 :]) for i in axes for n in (1, shape[i] + 1)]
    return {*lengths, (1,) * len(shape), shape[1:], (1, *shape), (*shape, 1), ()} - {shape}


def _forward_and_back(layer, x):
    y, pullback = layer.forward(x)
    y = y.copy()
    return y, *pullback(np.ones_like(y))


def _flat(y, dx, grads):
    return [y, np.array(dx), *(np.array(grads[name]) for name in sorted(grads))]
