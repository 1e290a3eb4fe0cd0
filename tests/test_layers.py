"""Layers: what they accept, what they keep, what their pullbacks hold."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import sparsecnn as sc

RNG = np.random.default_rng(0)
LAYERS = [
    sc.Conv2D(RNG.standard_normal((3, 2, 2, 2)), [0.5, -0.5, 0.1]),
    sc.Activation("tanh"),
    sc.Activation(sc.Exponential(0.5)),
    sc.MaxPool(2),
    sc.AveragePool(2),
    sc.L2Pool(2),
    sc.Linear(RNG.standard_normal((3, 2)), [0.5, -0.5, 0.1]),
]


def images(layer):
    return RNG.integers(0, 2, (3, 2, 4, 4) if not isinstance(layer, sc.Linear) else (3, 2))


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_integers_are_read_as_float64(layer, dtype):
    x = images(layer).astype(dtype)
    y, pullback = layer.forward(x)
    wanted, expected_pullback = layer.forward(x.astype(np.float64))
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(pullback(wanted)[0], expected_pullback(wanted)[0])


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize("dtype", [complex, str, object])
def test_what_is_no_real_number_is_refused(layer, dtype):
    with pytest.raises(sc.InputTypeError, match=f"{type(layer).__name__}: x has dtype"):
        layer.forward(images(layer).astype(dtype))


@pytest.mark.parametrize("layer", [*LAYERS, sc.Flatten()], ids=repr)
def test_a_mask_is_never_ignored_and_lists_are_read_as_arrays(layer):
    x = images(layer).astype(float)
    with pytest.raises(sc.InputTypeError, match=r"masked array.*filled"):
        layer.forward(np.ma.masked_array(x, mask=x > 0))
    np.testing.assert_array_equal(layer.forward(x.tolist())[0], layer.forward(x)[0])
    for wrong in ([["a", "b"]], [[1.0], [1.0, 2.0]]):
        with pytest.raises(sc.InputTypeError, match=f"{type(layer).__name__}: x "):
            layer.forward(wrong)


def test_what_a_network_takes_is_said():
    with pytest.raises(sc.InputTypeError, match=r"Write Network\(\[Flatten\(\)\]\)"):
        sc.Network(sc.Flatten())
    with pytest.raises(sc.InputTypeError, match="layers is 3; expected a sequence"):
        sc.Network(3)
    network = sc.Network([sc.Flatten()])
    with pytest.raises(sc.InputTypeError, match=r"input_shape is 6.*\(6,\)"):
        network.summary(6)
    with pytest.raises(sc.InputTypeError, match=r"input_shape is 2.5.*Convert it with int"):
        network.summary((2.5,))
    with pytest.raises(sc.InputTypeError, match=r"integer >= 1\.$"):
        network.summary("ab")


@pytest.mark.parametrize("pool", [sc.MaxPool(8, 1), sc.AveragePool(8, 1)], ids=repr)
def test_a_pullback_does_not_keep_a_copy_of_all_windows(pool):
    x = RNG.standard_normal((4, 2, 32, 32))
    pool.forward(x)
    tracemalloc.start()
    try:
        y, _pullback = pool.forward(x)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 4 * y.nbytes  # the output and the place of each maximum; 64 with the windows
