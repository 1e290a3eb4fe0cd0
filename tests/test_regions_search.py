"""Reverse search finds the cells of the incremental enumeration; circular layers; refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsecnn as sc
from sparsecnn.regions import arrangement, cells, counting, enumeration
from sparsecnn.regions.reverse_search import BATCH, reverse_search


def patterns_of(listing, network, shape, domain=None):
    """All patterns that a listing yields, one a row, in order."""
    found = np.concatenate([batch.patterns for batch in listing(network, shape, domain)])
    return found[np.lexsort(found.T)]


def assert_same_cells(network, shape, domain=None):
    one = patterns_of(sc.regions.search_regions, network, shape, domain)
    other = patterns_of(sc.regions.linear_regions, network, shape, domain)
    assert one.shape == other.shape
    assert (one == other).all()
    assert len(np.unique(one, axis=0)) == len(one)


def test_reverse_search_finds_the_cells_of_random_arrangements(scale):
    rng = np.random.default_rng(1)
    for k in range(scale(30, 400)):
        n, m = int(rng.integers(1, 6)), int(rng.integers(1, 11))
        network = (rng.standard_normal((m, n)), rng.standard_normal(m))
        assert_same_cells(network, (n,), None if k % 2 else (-0.7, 1.1))


def test_reverse_search_finds_the_cells_of_degenerate_arrangements(scale):
    rng = np.random.default_rng(2)
    for k in range(scale(40, 600)):
        n, m = int(rng.integers(1, 5)), int(rng.integers(1, 10))
        weights = rng.integers(-2, 3, (m, n)).astype(float)
        bias = rng.integers(-2, 3, m).astype(float)
        if k % 3 == 0:
            bias[:] = 0  # central
        if k % 3 == 1:
            weights[m // 2 :] = weights[0] * rng.choice(
                [-2.0, 1.0, 3.0], (m - m // 2, 1)
            )  # parallel
        if k % 5 == 0:
            weights[-1], bias[-1] = -3 * weights[0], -3 * bias[0]  # the same, turned
        domain = None if k % 4 else (-1.0, 1.5)
        assert_same_cells((weights, bias), (n,), domain)
        if domain is None:
            exact = sc.regions.count((weights, bias), (n,)).exact
            searched = sc.regions.count((weights, bias), (n,), cells=sc.regions.search_regions)
            assert searched.exact == exact
            assert "reverse search" in searched.method


@pytest.mark.parametrize("domain", [None, (-1, 1)])
def test_reverse_search_of_almost_nothing(domain):
    for weights in (np.zeros((1, 1)), np.zeros((2, 3)), np.ones((1, 1)), np.ones((3, 2))):
        assert_same_cells((weights, np.zeros(len(weights))), (weights.shape[1],), domain)


def test_reverse_search_takes_several_breakpoints_and_layers_around_them():
    rng = np.random.default_rng(3)
    network = sc.Network([
        sc.Conv2D(rng.standard_normal((2, 1, 1, 2)), rng.standard_normal(2)),
        sc.Activation("hardtanh"), sc.AveragePool((1, 2)), sc.Flatten(),
        sc.Linear(rng.standard_normal((3, 2))),
    ])  # fmt: skip
    assert_same_cells(network, (1, 1, 3))
    for batch in sc.regions.search_regions(network, (1, 1, 3)):
        assert (cells.depths(batch.rows, batch.points) > 0).all()
        point = np.concatenate([batch.points, np.ones((len(batch), 1))], axis=1)
        values = np.einsum("ckn,cn->ck", batch.functions, point)
        expected = network.forward(batch.points.reshape(-1, 1, 1, 3))[0]
        assert np.allclose(values, expected, rtol=0, atol=1e-9)
    deep = [*network.layers, sc.Activation("relu")]
    with pytest.raises(sc.InputError, match="one layer"):
        next(sc.regions.search_regions(deep, (1, 1, 3)))
    with pytest.raises(sc.regions.TooLarge, match="more than 5 regions"):
        list(sc.regions.search_regions(network, (1, 1, 3), limit=5))


def test_the_search_holds_a_bounded_number_of_cells():
    rng = np.random.default_rng(4)
    planes = rng.standard_normal((12, 5))
    sizes = [len(points) for _, points in reverse_search(planes, np.zeros((0, 5)))]
    assert sum(sizes) == sum(math.comb(12, k) for k in range(5))
    assert max(sizes) <= BATCH


def test_a_count_searches_where_the_walls_of_its_cells_would_not_fit(monkeypatch):
    rng = np.random.default_rng(5)
    network = (rng.standard_normal((6, 3)), rng.standard_normal(6))
    plain = sc.regions.count(network, (3,), (-1, 1))
    assert "cell enumeration" in plain.method
    monkeypatch.setattr(enumeration, "LARGEST_BATCH", 1000)
    searched = sc.regions.count(network, (3,), (-1, 1))
    assert "reverse search" in searched.method
    assert searched.exact == plain.exact
    assert sum(map(len, sc.regions.linear_regions(network, (3,), (-1, 1)))) == plain.exact


CIRCULAR = [
    ((1, 1, 3), 2, (1, 2), 1, 1),
    ((1, 1, 4), 2, (1, 3), 1, 1),
    ((1, 1, 5), 2, (1, 3), 2, 1),
    ((1, 1, 5), 1, (1, 2), 1, 2),
    ((1, 2, 2), 2, 2, 1, 1),
    ((1, 2, 3), 1, 2, 1, 1),
    ((2, 2, 2), 1, 2, 1, 1),
    ((1, 3, 4), 2, 2, 2, 1),
]


@pytest.mark.parametrize(("shape", "filters", "size", "stride", "dilation"), CIRCULAR)
def test_circular_layers_are_counted_as_random_weights_are(shape, filters, size, stride, dilation):
    options = dict(stride=stride, padding="circular", dilation=dilation)
    result = sc.regions.architecture(shape, filters, size, **options)
    assert result.exact <= result.formula
    assert any("wrapped windows" in text for text in result.assumptions)
    geometry = sc.regions.layer(shape, filters, size, **options).geometry
    rng = np.random.default_rng(6)
    taps = rng.integers(-999, 999, (filters, geometry.n_taps))
    bias = rng.integers(-999, 999, filters)
    rows = np.column_stack([geometry.normals(taps, 0), np.repeat(bias, len(geometry.windows))])
    deletion = arrangement.rational_counts(list(map(tuple, rows.tolist())), geometry.n_pixels)
    assert sum(deletion) == result.exact
    if dilation == 1:  # the layer itself, with its own arithmetic of windows
        filters_of = taps.reshape(filters, shape[0], *geometry.kernel_size).astype(float)
        conv = sc.Conv2D(filters_of, bias.astype(float), stride, "circular")
        assert sc.regions.count([conv, sc.Activation("relu")], shape).exact == result.exact


def test_a_filter_that_repeats_around_the_circle_makes_fewer_regions():
    conv = sc.Conv2D(np.array([[[[1.0, 0.0, 1.0]]]]), [1.0], padding="circular")
    special = sc.regions.count([conv, sc.Activation("relu")], (1, 1, 4)).exact
    assert special < sc.regions.architecture((1, 1, 4), 1, (1, 3), padding="circular").exact


def wide_network(rng):
    conv = sc.Conv2D(rng.standard_normal((6, 1, 5, 5)), rng.standard_normal(6))
    dense = sc.Linear(rng.standard_normal((30, 864)))
    relu = sc.Activation("relu")
    return [conv, relu, sc.MaxPool(2), sc.Flatten(), dense, relu]


HOPELESS = {
    "a layer's count": lambda rng: sc.regions.layer((1, 28, 28), 64, 3).exact(),
    "a circular one's": lambda rng: sc.regions.layer((1, 28, 28), 8, 3, padding="circular").exact(),
    "one's without biases": lambda rng: sc.regions.layer((1, 28, 28), 64, 3, bias=False).exact(),
    "a rank": lambda rng: sc.regions.layer((1, 28, 28), 64, 3).rank(),
    "a network's count": lambda rng: sc.regions.count(wide_network(rng), (1, 28, 28)),
    "its count in a box": lambda rng: sc.regions.count(wide_network(rng), (1, 28, 28), (0, 1)),
    "a photograph's": lambda rng: sc.regions.count(
        [sc.Conv2D(rng.standard_normal((2, 3, 7, 7))), sc.Activation("relu")], (3, 224, 224)
    ),
    "its cells": lambda rng: next(
        sc.regions.search_regions((np.ones((2, 3, 7, 7)), None), (3, 224, 224))
    ),
    "a max-pool's": lambda rng: sc.regions.count(sc.MaxPool(2), (1, 28, 28)),
    "a tropical layer's": lambda rng: sc.regions.count(
        sc.regions.TropicalConv2D(rng.uniform(size=(4, 1, 3, 3)), stride=2, padding=1), (1, 28, 28)
    ),
    "a sample": lambda rng: sc.regions.sample(wide_network(rng), (1, 28, 28), 10**12),
    "kernels": lambda rng: sc.regions.hierarchical_kernels(
        np.ones((20_000, 64)), np.ones((20_000, 64)), (2, 2)
    ),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_would_not_finish_is_refused_with_a_number_and_a_way_out(name):
    with pytest.raises(sc.regions.TooLarge, match=r"\d.*\. (Use|Take|Count) "):
        HOPELESS[name](np.random.default_rng(7))


def test_a_slice_of_a_large_network_is_estimated_first():
    rng = np.random.default_rng(8)
    network, points = wide_network(rng), rng.standard_normal((3, 1, 28, 28))
    with pytest.raises(sc.regions.TooLarge, match=r"about .* by \d+ small squares") as no:
        sc.regions.plane_slice(network, points, (-100, 100), limit=1000)
    estimate = float(str(no.value).split()[1])
    with pytest.raises(sc.regions.TooLarge, match="small squares") as no:
        sc.regions.plane_slice(network, points, ((0.3, 0.3), (0.4, 0.4)), limit=10)
    small = float(str(no.value).split()[1])
    found = sc.regions.plane_slice(network, points, ((0.3, 0.3), (0.4, 0.4))).n_regions
    assert found / 3 < small < 3 * found < 3 * estimate


def test_processes_share_one_limit():
    rng = np.random.default_rng(17)
    layers = [sc.Linear(rng.standard_normal((8, 3)), rng.standard_normal(8)),
              sc.Activation("relu"),
              sc.Linear(rng.standard_normal((6, 8)), rng.standard_normal(6)),
              sc.Activation("relu")]  # fmt: skip
    exact = sc.regions.count(layers, (3,)).exact
    work, first = enumeration.start(layers, (3,), None)
    with pytest.raises(sc.regions.TooLarge, match="certain"):
        enumeration.count_in_parallel(work, first, exact - 1, 2)
    assert enumeration.count_in_parallel(work, first, exact, 2) == exact


def test_the_closed_bound_holds_for_every_kind_of_bend(scale):
    rng = np.random.default_rng(18)
    for k in range(scale(20, 200)):
        bend = [sc.Activation("relu"), sc.Activation("leaky_relu"), sc.Activation("hardtanh")][
            k % 3
        ]
        layers = [sc.Linear(rng.standard_normal((4, 2)), rng.standard_normal(4)), bend,
                  sc.Linear(rng.standard_normal((3, 4)), rng.standard_normal(3)), bend]  # fmt: skip
        work, _ = enumeration.start(layers, (2,), None)
        assert sc.regions.count(layers, (2,)).exact <= counting.closed_upper(work, 2)
    work, _ = enumeration.start(sc.MaxPool((1, 3), stride=1), (1, 1, 6), None)
    assert counting.closed_upper(work, 6) >= 36


def counts_every_way(layers, shape, reach=3.0):
    """Cells inside a box and of the whole space, polygons of a plane, pieces of a line."""
    plane = (np.zeros(shape), np.eye(2))
    line = sc.regions.line_slice(layers, np.array([-reach, -2.0]), np.array([reach, 1.7]))
    return (
        sc.regions.count(layers, shape).exact,
        sc.regions.count(layers, shape, cells=sc.regions.linear_regions).exact,
        sc.regions.count(layers, shape, (-reach, reach)).exact,
        sc.regions.plane_slice(layers, plane, (-reach, reach)).n_regions,
        line.n_regions,
    )


def scaled_layers(scales, seed=3, kind="relu"):
    """Two layers, the first's weights and bias times one number, what follows divided by it."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((6, 2)), rng.standard_normal(6)
    c, d = rng.standard_normal((4, 6)), rng.standard_normal(4)
    one, two = scales
    return [sc.Linear(a * one, b * one), sc.Activation(kind),
            sc.Linear(c * two / one, d * two), sc.Activation(kind)]  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(
    st.tuples(*[st.sampled_from([1e-12, 1e-9, 1e-5, 1.0, 1e5, 1e9, 1e12])] * 2),
    st.integers(0, 3),
    st.sampled_from(["relu", "leaky_relu"]),
)
def test_positive_multiples_of_a_layer_change_no_count(scales, seed, kind):
    unit = counts_every_way(scaled_layers((1.0, 1.0), seed, kind), (2,))
    assert counts_every_way(scaled_layers(scales, seed, kind), (2,)) == unit
    assert unit[0] == unit[1] >= unit[2] == unit[3] >= unit[4] > 2


@pytest.mark.parametrize("scale", [1e-13, 1e-12, 1.0, 1e13])
def test_a_tiny_or_huge_layer_has_the_regions_of_the_same_layer(scale):
    weights, bias = np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([0, 0, -1.0])
    network = (weights * scale, bias * scale)
    assert counts_every_way(network, (2,))[:4] == (7, 7, 7, 7)
    rows = np.array([1.0, scale, 1 / scale])  # every neuron in its own unit
    network = (weights * rows[:, None], bias * rows)
    assert counts_every_way(network, (2,))[:4] == (7, 7, 7, 7)


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9, 1e12])
def test_hyperplanes_far_away_are_counted_like_near_ones(far):
    network = ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [-far, 0.0, 0.3])
    for cells_of in (None, sc.regions.linear_regions, sc.regions.search_regions):
        assert sc.regions.count(network, (2,), cells=cells_of).exact == 7


def test_hyperplanes_too_far_for_linear_programs_are_refused():
    network = ([[1e-4, 0.0], [0.0, 1.0]], [-1e9, 0.0])
    assert sc.regions.count(network, (2,)).exact == 4
    for cells_of in (sc.regions.linear_regions, sc.regions.search_regions):
        with pytest.raises(sc.InputError, match="away from the origin"):
            sc.regions.count(network, (2,), cells=cells_of)
    assert sc.regions.count(network, (2,), (-1, 1)).exact == 2


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=2))
def test_a_translation_of_the_input_changes_no_count(shift):
    layers = scaled_layers((1e-9, 1e9), 1)
    shift = np.array(shift, dtype=float)
    first = layers[0]
    moved = [sc.Linear(first.weights, first.bias - first.weights @ shift), *layers[1:]]
    assert sc.regions.count(moved, (2,)).exact == sc.regions.count(layers, (2,)).exact
    plane = (shift, np.eye(2))
    there = sc.regions.plane_slice(moved, plane, (-3, 3)).n_regions
    assert there == sc.regions.plane_slice(layers, (0 * shift, np.eye(2)), (-3, 3)).n_regions
