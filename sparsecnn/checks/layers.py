"""What makes a layer one: an exact pullback that owns what it reads, of its output's shape."""

from __future__ import annotations

import numpy as np

from ..validation import as_generator
from .contract import DERIVATIVE, close, differences, require


def check_layer(layer, x, *, n_directions=4, random_state=0):
    """Check a layer's pullback against central differences, and that pullbacks own what they read.

    Parameters
    ----------
    layer : Layer
        ``forward(x) -> (y, pullback)``, ``pullback(dy) -> (dx, grads)``; ``params`` and ``grads``
        keyed alike; ``with_params(params)`` gives the layer with other values.
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

        _compare_directions(layer, name, np.asarray(grads[name]), moved, rng, n_directions)
    _check_two_forwards(layer, x, rng)
    single, pullback = layer.forward(x.astype(np.float32))
    kept = single.dtype, pullback(np.ones_like(single))[0].dtype
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


def _forward_and_back(layer, x):
    y, pullback = layer.forward(x)
    y = y.copy()
    return y, *pullback(np.ones_like(y))


def _flat(y, dx, grads):
    return [y, np.array(dx), *(np.array(grads[name]) for name in sorted(grads))]
