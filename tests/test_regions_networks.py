"""Given weights: degenerate layers, deep networks, bounds, and the networks that reach them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tolerances import NETWORK_VALUE

import sparsecnn as sc
from sparsecnn.regions import arrangement, cells, formulas, inequalities
from sparsecnn.regions.geometry import LayerGeometry
from sparsecnn.regions.piecewise import stages


def conv_relu(filters, bias=None, **options):
    return sc.Network([sc.Conv2D(filters, bias, **options), sc.Activation("relu")])


def by_cells(network, input_shape):
    """The count by linear programs, also where the integer count would be taken."""
    return sum(len(batch) for batch in sc.regions.linear_regions(network, input_shape))


def random_conv(rng, filters, size, channels=1, **options):
    weights = rng.standard_normal((filters, channels, *size))
    return conv_relu(weights, rng.standard_normal(filters), **options)


@pytest.mark.parametrize(
    ("filters", "bias", "count"),
    [
        ([[[[1, 2]]], [[[2, 4]]]], [1, 3], 9),  # parallel
        ([[[[1, 2]]], [[[1, 2]]]], [1, 1], 4),  # identical
        ([[[[1, 2]]], [[[3, 1]]], [[[2, -5]]]], None, 28),  # no biases
        ([[[[1, 2]]], [[[0, 0]]]], [1, -1], 4),  # dead
        ([[[[0, 0]]]], [1], 1),
    ],
)
def test_degenerate_filters_are_counted_as_they_are(filters, bias, count):
    network = conv_relu(np.array(filters, float), None if bias is None else np.array(bias, float))
    assert sc.regions.count(network, (1, 1, 3)).exact == count
    assert by_cells(network, (1, 1, 3)) == count


def test_a_dependent_set_that_meets_in_a_point_costs_one_more_region():
    w = np.array([[[[1, 2], [3, -1]]], [[[2, 5], [-3, 1]]]], float)
    bias = np.array([w[0].sum(), w[1].sum()]) * 2
    assert sc.regions.count(conv_relu(w, bias), (1, 3, 3)).exact == 254
    assert sc.regions.count(conv_relu(w), (1, 3, 3)).exact == 254
    assert sc.regions.count(conv_relu(w, [1.0, 2.0]), (1, 3, 3)).exact == 255
    assert by_cells(conv_relu(w, bias), (1, 3, 3)) == 254
    assert sc.regions.architecture((1, 3, 3), 2, 2, bias=False).exact == 254


def test_linear_programs_find_the_generic_counts(scale):
    rng = np.random.default_rng(3)
    for shape, filters, size in [((1, 3, 3), 2, 2), ((1, 3, 3), 3, 2), ((1, 3, 4), 2, 2),
                                 ((1, 1, 4), 3, (1, 2)), ((2, 2, 3), 3, 2)]:  # fmt: skip
        network = random_conv(rng, filters, (size, size) if size == 2 else size, shape[0])
        expected = sc.regions.architecture(shape, filters, size).exact
        assert by_cells(network, shape) == expected
        assert sc.regions.count(network, shape).exact == expected


def test_linear_programs_agree_with_integer_counts_on_random_layers(scale):
    rng = np.random.default_rng(11)
    for _ in range(scale(40, 500)):
        n = int(rng.integers(1, 5))
        weights = rng.integers(-2, 3, (int(rng.integers(1, 8)), n)).astype(float)
        bias = rng.integers(-2, 3, len(weights)).astype(float)
        result = sc.regions.count((weights, bias), (n,))
        assert by_cells((weights, bias), (n,)) == result.exact
        assert result.exact <= formulas.zaslavsky(len(weights), n)


def test_every_region_comes_with_a_point_of_its_own():
    rng = np.random.default_rng(4)
    network = random_conv(rng, 3, (2, 2))
    for batch in sc.regions.linear_regions(network, (1, 3, 3)):
        assert (cells.depths(batch.rows, batch.points) > 0).all()
        hidden = network.layers[0].forward(batch.points.reshape(-1, 1, 3, 3))[0] > 0
        patterns = np.unique(hidden.reshape(len(batch), -1), axis=0)
        assert len(patterns) == len(batch) == 3998
        assert (hidden.reshape(len(batch), -1) == batch.patterns).all()


def test_counts_do_not_see_scale_shift_order_or_sign(scale):
    rng = np.random.default_rng(6)
    for _ in range(scale(5, 50)):
        w, b = rng.integers(-9, 10, (3, 1, 2, 2)), rng.integers(-9, 10, 3)
        count = sc.regions.count(conv_relu(w, b), (1, 3, 3)).exact
        shifted = b + 7 * w.sum(axis=(1, 2, 3))
        assert sc.regions.count(conv_relu(w, shifted), (1, 3, 3)).exact == count
        assert sc.regions.count(conv_relu(w, 4 * b), (1, 3, 3)).exact == count
        assert sc.regions.count(conv_relu(w[::-1], b[::-1]), (1, 3, 3)).exact == count
        assert sc.regions.count(conv_relu(-w, -b), (1, 3, 3)).exact == count
        assert sc.regions.count(conv_relu(w[:2], b[:2]), (1, 3, 3)).exact <= count


def test_breakpoints_of_priors_and_named_activations():
    rng = np.random.default_rng(8)
    conv = sc.Conv2D(rng.standard_normal((2, 1, 1, 2)), rng.standard_normal(2))
    for activation in (sc.Laplace(0.7), sc.Uniform(-1.0, 2.0), "hardtanh", "relu6",
                       sc.TruncatedExponential(0.3, 2.0)):  # fmt: skip
        network = sc.Network([conv, sc.Activation(activation)])
        assert sc.regions.count(network, (1, 1, 3)).exact == 65
        assert by_cells(network, (1, 1, 3)) == 65
    rates = sc.Activation(sc.Exponential(np.array([0.2, 0.9])))
    assert sc.regions.count([conv, rates], (1, 1, 3)).exact == 15
    with pytest.raises(sc.InputError, match="piecewise linear"):
        sc.regions.count([conv, sc.Activation("gelu")], (1, 1, 3))
    with pytest.raises(sc.InputError, match="L2 pool is curved"):
        sc.regions.count([conv, sc.L2Pool((1, 2))], (1, 1, 3))


def test_the_lifted_functions_are_the_network():
    rng = np.random.default_rng(9)
    network = sc.Network([
        sc.Conv2D(rng.standard_normal((2, 1, 2, 2)), rng.standard_normal(2)),
        sc.Activation("relu"), sc.MaxPool(2, stride=1), sc.Flatten(),
        sc.Linear(rng.standard_normal((2, 2)), rng.standard_normal(2)), sc.Activation("relu"),
    ])  # fmt: skip
    total = 0
    for batch in sc.regions.linear_regions(network, (1, 3, 3), domain=(-1, 1)):
        point = np.concatenate([batch.points, np.ones((len(batch), 1))], axis=1)
        values = np.einsum("ckn,cn->ck", batch.functions, point)
        expected = network.forward(batch.points.reshape(-1, 1, 3, 3))[0]
        assert np.abs(values - expected).max() < NETWORK_VALUE
        assert len(np.unique(batch.patterns, axis=0)) == len(batch)
        total += len(batch)
    assert total > 100


# window, strides of one; number of regions of the pool alone for inputs of length 3, 4, ..
POOLS = [(2, [2 ** (n - 1) for n in range(3, 7)]), (3, [3, 7, 16, 36, 81, 182]),
         (4, [4, 10, 24, 56, 128])]  # fmt: skip


@pytest.mark.parametrize(("window", "values"), POOLS)
def test_a_max_pool_alone(window, values):
    for n, value in enumerate(values, start=max(window, 3)):
        if value > 100 and window > 2:
            continue
        pool = sc.MaxPool((1, window), stride=1)
        assert sc.regions.count(pool, (1, 1, n)).exact == value


@pytest.mark.full
def test_a_longer_max_pool_alone():
    assert sc.regions.count(sc.MaxPool((1, 3), stride=1), (1, 1, 8)).exact == 182
    assert sc.regions.count(sc.MaxPool((1, 4), stride=1), (1, 1, 8)).exact == 128


def test_a_max_pool_of_an_image_and_of_separate_windows():
    assert sc.regions.count(sc.MaxPool(2, stride=1), (1, 3, 3)).exact == 150
    assert sc.regions.count(sc.MaxPool(2), (1, 2, 4)).exact == 16
    assert sc.regions.count(sc.MaxPool((1, 3)), (2, 1, 3)).exact == 9


@pytest.mark.parametrize(
    ("size", "stride", "shape", "exact"),
    [
        ((1, 2), (1, 2), (1, 2, 4), 2**4),  # four pairs apart; strides swapped: a row of 4, 2^3
        ((1, 2), (2, 1), (1, 2, 4), 2**3),
        ((2, 1), (2, 1), (1, 4, 2), 2**4),
        ((2, 1), (1, 2), (1, 4, 2), 2**3),
        ((2, 1), (1, 1), (1, 3, 2), 4**2),  # two columns of three, ups and downs
        ((1, 3), (1, 3), (1, 2, 6), 3**4),
    ],
)
def test_a_max_pool_of_other_strides_down_than_across(size, stride, shape, exact):
    pool = sc.MaxPool(size, stride)
    assert sc.regions.count(pool, shape).exact == exact
    (winner,) = stages([pool], shape)
    x = np.random.default_rng(0).standard_normal((5, *shape))
    chosen = x.reshape(5, -1)[:, winner.windows].max(axis=-1)
    np.testing.assert_array_equal(chosen, pool(x).reshape(5, -1))


DENSE = [  # inputs, widths, montufar lower, serra lower, naive, montufar, serra, antipodal
    (1, [3, 3], 12, 16, 64, 16, 16, 16),
    (2, [4, 4], 44, None, 256, 121, 121, 121),
    (2, [6, 6, 6], 1782, 5632, 262144, 10648, 10648, 10648),
    (3, [4, 4], 15, None, 256, 225, 161, 161),
    (4, [6, 6], 57, None, 4096, 3249, 2424, 2424),
    (5, [5, 5, 5], 32, None, 32768, 32768, 12319, 12219),
    (784, [10, 10], None, None, 1048576, 1048576, 616666, 616666),
    (784, [7, 15], None, None, 4194304, 2097152, 280600, 280600),
    (784, [15, 7], None, None, 4194304, 4194304, 4084248, 4084248),
]


@pytest.mark.parametrize("row", DENSE)
def test_the_table_of_dense_bounds(row):
    inputs, widths, *values = row
    bounds = sc.regions.dense_bounds(inputs, widths)
    names = ["montufar2014_lower", "serra2018_lower", "naive_upper", "montufar2017_upper",
             "serra2018_upper", "antipodal_upper"]  # fmt: skip
    assert [bounds[name] for name in names] == values


@pytest.mark.parametrize("row", DENSE)
def test_the_matrix_framework_contains_the_classical_bounds(row):
    inputs, widths, *_ = row
    upper = inequalities.matrix_upper
    bounds = sc.regions.dense_bounds(inputs, widths)
    assert upper(inputs, widths, inequalities.gamma_naive) == bounds["naive_upper"]
    assert upper(inputs, widths, inequalities.gamma_montufar) == bounds["montufar2017_upper"]
    assert upper(inputs, widths, inequalities.gamma_serra) == bounds["serra2018_upper"]
    skipping = upper(inputs, widths, inequalities.gamma_serra, skips=[True] * len(widths))
    assert skipping == math.prod(formulas.zaslavsky(w, inputs) for w in widths)


def test_the_antipodal_histogram_dominates_random_arrangements(scale):
    rng = np.random.default_rng(12)
    for _ in range(scale(30, 300)):
        n, width = int(rng.integers(1, 4)), int(rng.integers(1, 7))
        network = (rng.standard_normal((width, n)), rng.standard_normal(width))
        active = np.concatenate([b.patterns.sum(axis=1)
                                 for b in sc.regions.linear_regions(network, (n,))])  # fmt: skip
        gamma = inequalities.gamma_antipodal(n, width)
        for least in range(width + 1):
            assert (active >= least).sum() <= sum(gamma[least:])


CONV = [  # length, (filter width, filters) per layer, lower, Theorem 5, receptive fields
    (4, [(2, 2), (2, 3)], 320, 3135, 3135),
    (4, [(2, 2), (2, 2)], 120, 880, 880),
    (4, [(2, 2), (2, 4)], 680, 8965, 8855),
    (4, [(2, 2), (2, 5)], 1248, 21230, 20680),
    (4, [(2, 1), (2, 3)], 40, 456, 320),
    (5, [(2, 2), (2, 3)], 3472, 76400, 74000),
    (5, [(2, 2), (2, 2), (2, 2)], 1920, 201600, 201600),
    (6, [(2, 2), (2, 3)], 37088, 1819750, 1659525),
]


@pytest.mark.parametrize(("length", "layers", "lower", "upper", "narrow"), CONV)
def test_the_table_of_convolutional_bounds(length, layers, lower, upper, narrow):
    layers = [dict(n_filters=d, kernel_size=(1, f)) for f, d in layers]
    bounds = sc.regions.conv_bounds((1, 1, length), layers)
    assert bounds == {"lower": lower, "upper": upper, "receptive_field_upper": narrow}


def test_the_lower_bound_uses_the_true_count_of_the_last_layer():
    layers = [dict(n_filters=1, kernel_size=1), dict(n_filters=2, kernel_size=2)]
    bounds = sc.regions.conv_bounds((1, 3, 3), layers)
    assert bounds["lower"] == 255 < 256


def test_a_folding_network_reaches_the_lower_bound_inside_the_cube():
    layers = [dict(n_filters=2, kernel_size=(1, 2)), dict(n_filters=3, kernel_size=(1, 2))]
    network = sc.regions.folding_network((1, 1, 4), layers)
    assert sc.regions.count(network, (1, 1, 4), domain=(0, 1)).exact == 320
    everywhere = sc.regions.count(network, (1, 1, 4)).exact
    assert 320 < everywhere < 3135


@pytest.mark.parametrize("widths", [(3, 3), (4, 4), (3, 3, 3), (4, 3, 3)])
def test_a_zigzag_reaches_the_maximum_on_the_line(widths):
    network = sc.regions.zigzag_network(widths)
    most = math.prod(n + 1 for n in widths)
    assert sc.regions.count(network, (1,)).exact == most
    assert sc.regions.count(network, (1,), domain=(0, 1)).exact == most


def test_two_convolutional_layers_stay_between_their_bounds(scale):
    layers = [dict(n_filters=2, kernel_size=(1, 2)), dict(n_filters=3, kernel_size=(1, 2))]
    bounds = sc.regions.conv_bounds((1, 1, 4), layers)
    totals = []
    for seed in range(scale(12, 300)):
        rng = np.random.default_rng(seed)
        first = sc.Conv2D(rng.normal(0, 0.5**0.5, (2, 1, 1, 2)), rng.normal(0, 0.5**0.5, 2))
        second = sc.Conv2D(rng.normal(0, 3**-0.5, (3, 2, 1, 2)), rng.normal(0, 3**-0.5, 3))
        relu = sc.Activation("relu")
        assert sc.regions.count([first, relu], (1, 1, 4)).exact == 55
        totals.append(sc.regions.count([first, relu, second, relu], (1, 1, 4)).exact)
    assert min(totals) >= 55 and max(totals) <= bounds["receptive_field_upper"] <= bounds["upper"]
    assert len(set(totals)) > 1  # unlike one layer, two have no generic count


def test_dense_networks_stay_below_their_bounds(scale):
    rng = np.random.default_rng(13)
    for _ in range(scale(15, 300)):
        n, widths = int(rng.integers(1, 4)), list(map(int, rng.integers(1, 5, 2)))
        sizes = [n, *widths]
        network = [
            part
            for a, b in itertools.pairwise(sizes)
            for part in (sc.Linear(rng.standard_normal((b, a)), rng.standard_normal(b)),
                         sc.Activation("relu"))
        ]  # fmt: skip
        exact = sc.regions.count(network, (n,)).exact
        bounds = sc.regions.dense_bounds(n, widths)
        ordered = [exact, bounds["antipodal_upper"], bounds["serra2018_upper"],
                   bounds["montufar2017_upper"], bounds["naive_upper"]]  # fmt: skip
        assert ordered == sorted(ordered)


def test_a_box_sees_fewer_regions_than_the_space():
    rng = np.random.default_rng(14)
    network = random_conv(rng, 2, (2, 2))
    inside = sc.regions.count(network, (1, 3, 3), domain=(-0.5, 0.5)).exact
    wide = sc.regions.count(network, (1, 3, 3), domain=(-1e4, 1e4)).exact
    assert inside < wide == 255
    with pytest.raises(sc.InputError, match="low < high"):
        sc.regions.count(network, (1, 3, 3), domain=(1, 0))


def test_a_count_beyond_the_limit_is_refused():
    rng = np.random.default_rng(15)
    network = [sc.Linear(rng.standard_normal((9, 4))), sc.Activation("relu"),
               sc.Linear(rng.standard_normal((9, 9))), sc.Activation("relu")]  # fmt: skip
    with pytest.raises(sc.regions.TooLarge, match=r"random inputs lie in \d+ regions \(limit 50\)"):
        sc.regions.count(network, (4,), limit=50)
    with pytest.raises(sc.regions.TooLarge, match="more than 300 regions"):
        sc.regions.count(network, (4,), limit=300)
    image = sc.Conv2D(rng.standard_normal((8, 1, 5, 5)))
    with pytest.raises(sc.regions.TooLarge, match=r"at least 2\^784"):
        sc.regions.count([image, sc.Activation("relu")], (1, 28, 28))


def test_the_prime_field_and_the_integers_agree_on_given_weights():
    rng = np.random.default_rng(16)
    geometry = LayerGeometry.of((1, 3, 3), 2)
    for bias in (np.zeros(2), rng.standard_normal(2)):
        normals = geometry.normals(rng.standard_normal((2, 4)))
        rows = arrangement.rational_rows(normals, np.repeat(bias, 4))
        field = arrangement.modular.from_integers(rows)
        fast = arrangement.characteristic_counts(field, 9, generic_offsets=False)
        assert fast == arrangement.rational_counts(rows, 9)


def test_two_processes_count_what_one_counts():
    rng = np.random.default_rng(17)
    layers = [sc.Linear(rng.standard_normal((8, 3)), rng.standard_normal(8)),
              sc.Activation("relu"),
              sc.Linear(rng.standard_normal((6, 8)), rng.standard_normal(6)),
              sc.Activation("relu")]  # fmt: skip
    alone = sc.regions.count(layers, (3,))
    assert sc.regions.count(layers, (3,), n_jobs=2) == alone
    small = sc.regions.zigzag_network((3, 3))
    assert sc.regions.count(small, (1,), n_jobs=2).exact == 16
