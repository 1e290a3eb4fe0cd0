"""Layers: what they accept, what they compute, and that a pullback owns what it reads."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import strategies
from scipy.signal import convolve2d
from tolerances import FEW_ULPS, ROUNDING, SINGLE

import sparsecnn as sc
from sparsecnn.activations import ACTIVATIONS
from sparsecnn.checks import check_layer
from sparsecnn.layers import Layer

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.standard_normal(shape)


def small_network(*more):
    return [sc.Conv2D(draw(3, 2, 2, 2), draw(3)), sc.Activation("tanh"), sc.MaxPool(2, 1), *more]


#: name -> (layer, shape of a sample): every kind of layer with every setting that has its own code
LAYERS = {
    "Conv2D": (sc.Conv2D(draw(3, 2, 2, 2), draw(3)), (2, 4, 4)),
    "Conv2D without bias": (sc.Conv2D(draw(2, 2, 3, 2), stride=(1, 2)), (2, 4, 5)),
    "Conv2D flipped": (sc.Conv2D(draw(3, 2, 2, 3), draw(3), flip=True), (2, 4, 4)),
    "Conv2D circular": (sc.Conv2D(draw(3, 2, 3, 2), draw(3), padding="circular"), (2, 4, 4)),
    "Conv2D same": (sc.Conv2D(draw(3, 2, 3, 2), None, 2, "same", flip=True), (2, 5, 4)),
    "Conv2D padded": (sc.Conv2D(draw(3, 2, 3, 3), draw(3), 2, 1), (2, 4, 5)),
    "Linear": (sc.Linear(draw(4, 3), draw(4)), (3,)),
    "Linear without bias": (sc.Linear(draw(4, 3)), (3,)),
    "MaxPool": (sc.MaxPool(2), (3, 4, 4)),
    "MaxPool overlapping": (sc.MaxPool((2, 3), (1, 2)), (3, 4, 5)),
    "AveragePool": (sc.AveragePool(2), (3, 4, 4)),
    "AveragePool overlapping": (sc.AveragePool((2, 3), (1, 2)), (3, 4, 5)),
    "L2Pool": (sc.L2Pool(2), (3, 4, 4)),
    "L2Pool overlapping": (sc.L2Pool((2, 3), (1, 2)), (3, 4, 5)),
    "Flatten": (sc.Flatten(), (3, 4, 4)),
    "TropicalConv2D": (sc.regions.TropicalConv2D(draw(2, 2, 2, 2), "MaxP-Min", 1, 1), (2, 4, 4)),
    "Network": (sc.Network(small_network(sc.Flatten(), sc.Linear(draw(2, 12)))), (2, 4, 4)),
    "Network that reads x first": (sc.Network([sc.Flatten(), sc.Linear(draw(2, 8))]), (2, 2, 2)),
    "Network that reads y last": (sc.Network(small_network(sc.L2Pool(2), sc.Flatten())), (2, 4, 4)),
    "Network that does nothing": (sc.Network([sc.Flatten(), sc.Activation("identity")]), (2, 2)),
    "Network of networks": (
        sc.Network([sc.Network(small_network()), sc.Network([sc.Activation("relu")])]), (2, 4, 4)
    ),
    **{f"Activation {name}": (sc.Activation(name), (3, 2, 2)) for name in ACTIVATIONS},
    **{
        f"Activation {strategies.name_of(prior)}": (sc.Activation(prior), (strategies.N_ATOMS, 2))
        for prior in strategies.PRIORS
    },
}  # fmt: skip
#: one of each class, for what is the business of the base class
FEW = ["Conv2D", "Linear", "MaxPool", "AveragePool", "L2Pool", "Flatten", "TropicalConv2D",
       "Network", "Activation tanh", "Activation Exponential(lam=0.7)"]  # fmt: skip

every_layer = pytest.mark.parametrize("name", LAYERS)
each_class = pytest.mark.parametrize("name", FEW)


def posed(name, dtype=float, n=2):
    """A layer, an input away from kinks, and a ``dy``."""
    layer, shape = LAYERS[name]
    x = (1.7 * draw(n, *shape)).astype(dtype)
    return layer, x, draw(*layer(x).shape).astype(dtype)


def answers(pullback, dy):
    dx, grads = pullback(dy)
    return [dx, *(grads[name] for name in sorted(grads))]


def assert_equal(got, wanted):
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


# -- the contract ---------------------------------------------------------------------------
@pytest.mark.share(2)
@every_layer
def test_a_layer_keeps_its_contract(name, scale):
    layer, x, _ = posed(name)
    check_layer(layer, x, n_directions=scale(1, 8))


@pytest.mark.share(2)
@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pullback_owns_what_it_reads(name, dtype):
    """Junk in x, then in y, in the params given, and another forward: the gradients stay."""
    layer, x, dy = posed(name, dtype)
    given = {key: np.array(value) for key, value in layer.params.items()}
    layer = layer.with_params(given)
    wanted, kept = answers(layer.forward(x.copy())[1], dy), x.copy()
    y, pullback = layer.forward(x)
    assert not np.may_share_memory(x, y)
    layer.forward(x + 1)[1](dy)
    for array in (x, y, *given.values()):
        array[...] = 7 - 3 * array
    assert_equal(answers(pullback, dy), wanted)
    assert_equal(answers(layer.forward(kept)[1], dy), wanted)


def test_what_only_shows_itself_as_an_array_is_copied_too():
    class Table:
        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return self.values

    table, layer = Table(draw(4, 3)), LAYERS["Linear"][0]
    wanted = layer.forward(table.values)[1](np.ones((4, 4)))[1]["weights"]
    y, pullback = layer.forward(table)
    table.values[...] = 0
    np.testing.assert_array_equal(pullback(np.ones_like(y))[1]["weights"], wanted)


@pytest.mark.parametrize("layer", [LAYERS[name][0] for name in FEW if LAYERS[name][0].params])
def test_the_parameters_of_a_layer_cannot_be_changed_under_it(layer):
    for value in layer.params.values():
        if isinstance(value, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0
    with pytest.raises(sc.InputError, match=r"params has unknown names \['lamb'\]; expected some"):
        layer.with_params({"lamb": 1.0})
    with pytest.raises(sc.InputTypeError, match="params is None; expected a dict"):
        layer.with_params(None)


def test_inside_a_network_arrays_are_handed_on_without_a_copy():
    """Only what the caller holds is copied: the input of the first layer."""
    seen, made = [], []

    class Watched(Layer):
        def _forward(self, x):
            seen.append(x)
            made.append(x + 1)
            return made[-1], lambda dy: (dy, {})

    x = draw(2, 3)
    y = sc.Network([Watched(), sc.Network([Watched(), Watched()])])(x)
    assert not np.may_share_memory(seen[0], x)
    assert seen[1] is made[0] and seen[2] is made[1] and y is made[2]


def test_a_network_calls_a_forward_that_a_subclass_writes_around_the_package_s():
    class Doubled(sc.Linear):
        def forward(self, x):
            y, pullback = super().forward(2 * x)
            return y, lambda dy: (2 * pullback(dy)[0], pullback(dy)[1])

    layer, x = Doubled(draw(2, 3)), draw(4, 3)
    for around in (layer, sc.Network([layer])):
        y, pullback = around.forward(x)
        np.testing.assert_allclose(y, 2 * x @ layer.weights.T, rtol=FEW_ULPS)
        np.testing.assert_allclose(pullback(y)[0], 2 * y @ layer.weights, rtol=FEW_ULPS)


class HandsOver(sc.Exponential):
    """A prior whose prox is its input where that is its own prox."""

    def prox(self, v, step=1.0, out=None):
        return v if (v >= 0).all() and self.lam == 0 else super().prox(v, step, out)


def test_a_prox_that_returns_its_input_gives_no_output_that_the_pullback_reads():
    x = np.abs(draw(2, 3))
    y, pullback = sc.Activation(HandsOver(0.0)).forward(x)
    y[...] = -1
    np.testing.assert_array_equal(pullback(np.ones((2, 3)))[0], np.ones((2, 3)))


# -- dy -------------------------------------------------------------------------------------
@every_layer
def test_a_dy_of_another_shape_is_refused(name):
    layer, x, dy = posed(name)
    pullback = layer.forward(x)[1]
    shape, said = dy.shape, f"{type(layer).__name__}: dy .*expected .* shape, "
    wrong = [
        shape[1:], (1, *shape), (*shape, 1), (1,) * len(shape), (shape[0] + 1, *shape[1:]),
        (1, 1, *shape[2:]), (shape[0], shape[1] - 1, *shape[2:]), (shape[0], 1, *shape[2:]), (0,),
    ]  # fmt: skip
    for other in {s for s in wrong if s != shape}:
        with pytest.raises(sc.InputError, match=said):
            pullback(np.ones(other))
    pullback(dy)


@each_class
def test_a_dy_with_a_mask_or_of_no_real_numbers_is_refused(name):
    layer, x, dy = posed(name)
    pullback, said = layer.forward(x)[1], f"{type(layer).__name__}: dy "
    with pytest.raises(sc.InputTypeError, match=rf"{said}is a masked array.*dy\.filled"):
        pullback(np.ma.masked_array(dy, mask=dy > 0))
    for wrong in (dy.astype(complex), dy.astype(str), dy.astype(object)):
        with pytest.raises(sc.InputTypeError, match=f"{said}has dtype"):
            pullback(wrong)


@each_class
def test_a_dy_of_integers_or_lists_is_read_as_numbers(name):
    layer, x, dy = posed(name)
    pullback, whole = layer.forward(x)[1], np.rint(3 * dy)
    wanted = answers(pullback, whole)
    for other in (whole.astype(int), whole.astype(np.int8), whole.tolist()):
        assert_equal(answers(pullback, other), wanted)
    flags = whole > 0
    assert_equal(answers(pullback, flags), answers(pullback, flags.astype(float)))


@each_class
def test_the_input_s_precision_is_kept_whatever_dy_s_is(name):
    layer, x, dy = posed(name, np.float32)
    single = layer.forward(x)
    double = layer.forward(x.astype(float))
    for other in (dy, dy.astype(float)):
        got = answers(single[1], other)
        assert got[0].dtype == single[0].dtype == np.float32
        for a, b in zip(got, answers(double[1], dy), strict=True):
            np.testing.assert_allclose(a, b, rtol=SINGLE, atol=20 * SINGLE)
    assert double[1](dy)[0].dtype == np.float64


@pytest.mark.parametrize("name", ["Flatten", "Activation relu", "Activation Laplace(lam=0.7)"])
def test_arrays_of_another_library_are_not_mixed_with_numpy_s(name):
    torch = pytest.importorskip("torch")
    layer, x, dy = posed(name)
    tensor = torch.tensor(x)
    y, pullback = layer.forward(tensor)
    tensor[...] = 7.0
    np.testing.assert_allclose(pullback(torch.tensor(dy))[0].numpy(), layer.forward(x)[1](dy)[0])
    with pytest.raises(sc.InputError, match=r"dy is ndarray.*the output's library"):
        pullback(dy)
    assert y.shape == dy.shape


# -- x --------------------------------------------------------------------------------------
@each_class
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_integers_are_read_as_float64(name, dtype):
    layer, x, dy = posed(name)
    x = np.abs(np.rint(x)).astype(dtype)
    (y, pullback), (wanted, expected) = layer.forward(x), layer.forward(x.astype(np.float64))
    assert y.dtype == np.float64
    assert_equal([y, *answers(pullback, dy)], [wanted, *answers(expected, dy)])


@each_class
@pytest.mark.parametrize("dtype", [complex, str, object])
def test_what_is_no_real_number_is_refused(name, dtype):
    layer, x, _ = posed(name)
    with pytest.raises(sc.InputTypeError, match=f"{type(layer).__name__}: x has dtype"):
        layer.forward(x.astype(dtype))


@each_class
def test_a_mask_is_never_ignored_and_lists_are_read_as_arrays(name):
    layer, x, _ = posed(name)
    with pytest.raises(sc.InputTypeError, match=r"masked array.*filled"):
        layer.forward(np.ma.masked_array(x, mask=x > 0))
    np.testing.assert_array_equal(layer.forward(x.tolist())[0], layer.forward(x)[0])
    for wrong in ([["a", "b"]], [[1.0], [1.0, 2.0]]):
        with pytest.raises(sc.InputTypeError, match=f"{type(layer).__name__}: x "):
            layer.forward(wrong)
    with pytest.raises(sc.InputError, match=r"x has shape \(\); expected"):
        layer.forward(np.float64(1.0))


@each_class
def test_a_batch_of_none_goes_through(name):
    layer, x, dy = posed(name)
    y, pullback = layer.forward(x[:0])
    assert y.shape == (0, *dy.shape[1:]) and pullback(y)[0].shape == x[:0].shape


# -- what they compute ----------------------------------------------------------------------
@pytest.mark.parametrize("padding", [0, 2])
def test_flip_makes_a_true_convolution(padding):
    filters, x = draw(3, 2, 2, 3), draw(2, 2, 5, 6)
    y = sc.Conv2D(filters, flip=True, padding=padding)(x)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    for n, k in np.ndindex(2, 3):
        planes = [convolve2d(padded[n, c], filters[k, c], mode="valid") for c in range(2)]
        np.testing.assert_allclose(y[n, k], sum(planes), rtol=ROUNDING, atol=ROUNDING)
    turned = sc.Conv2D(filters[:, :, ::-1, ::-1], padding=padding)
    dy = draw(*y.shape)
    (dx, grads), (dx_turned, others) = (
        layer.forward(x)[1](dy)
        for layer in (sc.Conv2D(filters, flip=True, padding=padding), turned)
    )
    np.testing.assert_array_equal(dx, dx_turned)
    np.testing.assert_array_equal(grads["filters"], others["filters"][:, :, ::-1, ::-1])


def windows_of(x, size, stride):
    """Every window as a list, by loops: (n, channels, rows, columns) -> its numbers."""
    rows = (x.shape[2] - size[0]) // stride[0] + 1
    columns = (x.shape[3] - size[1]) // stride[1] + 1
    found = np.empty((*x.shape[:2], rows, columns), dtype=object)
    for n, c, i, j in np.ndindex(found.shape):
        top, left = i * stride[0], j * stride[1]
        found[n, c, i, j] = x[n, c, top : top + size[0], left : left + size[1]].ravel()
    return found


@pytest.mark.parametrize("stride", [(1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize(
    "pool, reduce",
    [(sc.MaxPool, np.max), (sc.AveragePool, np.mean), (sc.L2Pool, np.linalg.norm)],
    ids=["max", "average", "l2"],
)
def test_a_pool_reduces_every_window_of_the_signed_values(pool, reduce, stride):
    x = draw(2, 3, 6, 7) - 1
    wanted = [reduce(window) for window in windows_of(x, (2, 3), stride).ravel()]
    y = pool((2, 3), stride)(x)
    np.testing.assert_allclose(y.ravel(), wanted, rtol=ROUNDING)
    assert pool is sc.L2Pool or (y < 0).any()


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_the_gradient_of_an_l2_pool_is_the_window_s_direction_in_every_unit(scale):
    x, dy = draw(2, 3, 4, 4), draw(2, 3, 2, 2)
    y, pullback = sc.L2Pool(2).forward(scale * x)
    norms = np.sqrt((x.reshape(2, 3, 2, 2, 2, 2) ** 2).sum(axis=(3, 5)))
    np.testing.assert_allclose(y, scale * norms, rtol=FEW_ULPS)
    spread = np.repeat(np.repeat(dy / norms, 2, axis=2), 2, axis=3)
    np.testing.assert_allclose(pullback(dy)[0], x * spread, rtol=FEW_ULPS)


def test_an_l2_pool_of_infinities_is_infinite_and_its_gradient_a_limit():
    inf, nan = np.inf, np.nan
    x = np.array([[inf, 2], [0, -1]]), np.array([[-inf, 2], [inf, 1]]), np.zeros((2, 2))
    x = np.array([*x, [[inf, nan], [1, 2]]])[:, None]
    y, pullback = sc.L2Pool(2).forward(x)
    np.testing.assert_array_equal(y.ravel(), [inf, inf, 0, nan])
    dx = pullback(np.full(y.shape, 2.0))[0]
    half = np.sqrt(2)
    np.testing.assert_allclose(dx[:2, 0], [[[2, 0], [0, 0]], [[-half, 0], [half, 0]]])
    np.testing.assert_array_equal(dx[2], 0)
    assert np.isnan(dx[3]).all()


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
