"""Sampling and expectations, tropical layers, wide-network kernels, redundancy of a layer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tolerances import ARCCOS, AREAS, PIECEWISE_SLOPE, ROUNDING

import sparsecnn as sc
from sparsecnn.regions import tropical


def test_sampling_never_exceeds_the_exact_count(scale):
    for d, exact in zip(range(1, 9), [4, 15, 40, 85, 156, 259, 400, 585], strict=True):
        best = 0
        for seed in range(3):
            network = sc.regions.paper_network(d, random_state=seed)
            found = sc.regions.sample(
                network, (1, 1, 3), scale(20_000, 300_000), scale=3.0 + 2 * seed, random_state=seed
            )
            assert found.sampled <= exact == sc.regions.count(network, (1, 1, 3)).exact
            best = max(best, found.sampled)
        if d == 1:
            assert best == exact  # two lines cut the plane into four sectors, all fat


def test_coverage_says_what_sampling_missed():
    network = sc.regions.paper_network(6, random_state=1)
    few = sc.regions.sample(network, (1, 1, 3), 300, random_state=0)
    many = sc.regions.sample(network, (1, 1, 3), 30_000, random_state=0)
    assert few.sampled < many.sampled <= 259
    assert few.coverage < many.coverage <= 1
    assert few.estimate >= few.sampled
    count = many.as_count()
    assert (count.exact, count.sampled, count.lower) == (None, many.sampled, many.sampled)
    assert "coverage" in many.summary() and many.to_dict()["n_samples"] == 30_000


def test_two_layers_of_the_paper_stay_below_the_upper_bound():
    totals = []
    for seed in range(40):
        network = sc.regions.paper_network(3, deep=True, random_state=seed)
        totals.append(sc.regions.count(network, (1, 1, 4)).exact)
    assert 55 <= min(totals) < 320 < np.mean(totals) < max(totals) < 3135


def test_pieces_on_an_interval_have_the_cauchy_expectation(scale):
    rng, m, runs = np.random.default_rng(0), 20, scale(400, 4000)
    pieces = []
    for _ in range(runs):
        knots = -0.3 * rng.standard_normal(m) / rng.standard_normal(m)
        network = (np.ones((m, 1)), -knots)
        pieces.append(sc.regions.line_slice(network, [-1.0], [1.0]).n_regions)
    expected = sc.regions.expected_on_interval(m, -1, 1, 0.3)
    error = np.std(pieces) / math.sqrt(runs)
    assert abs(np.mean(pieces) - expected) < 4 * error


def test_depth_adds_no_pieces_on_average(scale):
    means = []
    for widths in [(64,), (32, 32), (16,) * 4, (8,) * 8]:
        rng, pieces = np.random.default_rng(2), []
        for _ in range(scale(40, 400)):
            layers, size = [], 1
            for width in widths:
                weights = rng.standard_normal((width, size)) * math.sqrt(2 / size)
                layers += [sc.Linear(weights, 0.3 * rng.standard_normal(width)),
                           sc.Activation("relu")]  # fmt: skip
                size = width
            pieces.append(sc.regions.line_slice(layers, [-1.0], [1.0]).n_regions)
        means.append(np.mean(pieces))
    expected = sc.regions.expected_on_interval(64, -1, 1, 0.3 / math.sqrt(2))
    error = 2.6 / math.sqrt(scale(40, 400))  # sd of a sum of 64 coins with p = 0.87
    assert abs(means[0] - expected) < 4 * error
    assert means == sorted(means, reverse=True)  # 56.7, 54.0, 50.2, 37.9 in the reference


def test_expected_pieces_of_a_he_network_of_64_neurons():
    expected = sc.regions.expected_on_interval(64, -1, 1, 0.3 / math.sqrt(2))
    assert round(expected, 2) == 56.48


def test_regions_in_a_disc_have_the_stated_expectation(scale):
    rng, m, runs = np.random.default_rng(1), 8, scale(3000, 30_000)
    normals, bias = rng.standard_normal((runs, m, 2)), 0.5 * rng.standard_normal((runs, m))
    crossing = np.abs(bias) < np.linalg.norm(normals, axis=2)
    total = 1 + crossing.sum(axis=1)
    for i in range(m):
        for j in range(i):
            pair = normals[:, [i, j]]
            point = np.linalg.solve(pair, bias[:, [i, j], None])[..., 0]
            total = total + (np.linalg.norm(point, axis=1) < 1)
    expected = sc.regions.expected_in_disc(m, 1.0, 0.5)
    assert abs(total.mean() - expected) < 4 * total.std() / math.sqrt(runs)


def tropical_net(rng, kind, filters, length, width, channels=1):
    weights = rng.random((filters, channels, 1, width))
    return sc.regions.TropicalConv2D(weights, kind)


@pytest.mark.parametrize("kind", tropical.KINDS)
def test_a_tropical_layer_is_what_its_formula_says(kind):
    rng = np.random.default_rng(2)
    layer = sc.regions.TropicalConv2D(rng.random((3, 2, 3, 3)), kind, stride=2, padding=1)
    x = rng.standard_normal((2, 2, 6, 6))
    y = layer.forward(x)[0]
    assert y.shape == (2, 3, 3, 3)
    inner, outer = (
        {"min": np.min, "max": np.max, "sum": np.sum}[op] for op in tropical.KINDS[kind]
    )
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for o in range(3):
        patch = padded[1, :, 2:5, 4:7] + layer.weights[o]
        assert abs(y[1, o, 1, 2] - outer(inner(patch.reshape(2, -1), axis=1))) < ROUNDING


@pytest.mark.parametrize("kind", tropical.KINDS)
def test_the_subgradient_of_a_tropical_layer_is_its_slope(kind):
    rng = np.random.default_rng(3)
    layer = sc.regions.TropicalConv2D(rng.random((2, 2, 2, 2)), kind, padding=1)
    x = rng.standard_normal((1, 2, 4, 4))
    y, pullback = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    dx, grads = pullback(dy)
    step = 1e-6
    for values, slope, moved in (
        (x, dx, lambda d: layer.forward(x + d)[0]),
        (layer.weights, grads["weights"],
         lambda d: layer.with_params({"weights": layer.weights + d}).forward(x)[0]),
    ):  # fmt: skip
        direction = rng.standard_normal(values.shape)
        change = ((moved(step * direction) - moved(-step * direction)) * dy).sum() / (2 * step)
        assert abs(change - (slope * direction).sum()) < PIECEWISE_SLOPE * (1 + abs(change))


def test_tropical_units_split_the_space_like_simplices():
    rng = np.random.default_rng(4)
    for m, d in [(1, 3), (2, 3), (3, 3), (4, 3), (2, 4), (3, 4)]:
        layer = sc.regions.TropicalConv2D(rng.random((m, 1, 1, d)), "MinP-S")
        exact = sc.regions.count(layer, (1, 1, d)).exact
        assert exact == math.comb(m + d - 1, d - 1)


def test_tropical_windows_of_two_split_each_position_on_its_own():
    rng = np.random.default_rng(5)
    for filters, length in [(1, 4), (2, 3), (3, 3), (2, 4)]:
        for kind in ("MinP-S", "MaxP-S"):
            layer = sc.regions.TropicalConv2D(rng.random((filters, 1, 1, 2)), kind)
            exact = sc.regions.count(layer, (1, 1, length)).exact
            assert exact == (filters + 1) ** (length - 1)


def test_tropical_layers_have_no_generic_count():
    found = set()
    for seed in range(20):
        layer = sc.regions.TropicalConv2D(np.random.default_rng(seed).random((1, 1, 1, 3)))
        found.add(sc.regions.count(layer, (1, 1, 5)).exact)
    assert found == {20, 21}


def test_tropical_networks_can_be_sliced():
    rng = np.random.default_rng(6)
    network = sc.Network([
        sc.regions.TropicalConv2D(rng.random((2, 1, 3, 3)), "MinP-Max", stride=2, padding=1),
        sc.regions.TropicalConv2D(rng.random((2, 2, 3, 3)), "MaxP-Min", stride=2, padding=1),
        sc.Flatten(), sc.Linear(rng.standard_normal((3, 8))),
    ])  # fmt: skip
    points = rng.standard_normal((3, 1, 8, 8))
    result = sc.regions.plane_slice(network, points)
    weights = rng.dirichlet(np.ones(3), size=5000)
    keys = sc.regions.pattern_keys(network, np.einsum("nk,kchw->nchw", weights, points))
    assert np.isin(keys, result.keys).all()
    assert abs(result.areas.sum() - 0.5) < AREAS


def test_equal_inputs_have_feature_kernel_one_and_tangent_kernel_depth_plus_one():
    x = np.random.default_rng(7).standard_normal((4, 8))
    for sizes in [(2,), (2, 2), (2, 2, 2)]:
        rfk, ntk = sc.regions.hierarchical_kernels(x, x, sizes)
        assert np.abs(np.diag(rfk) - 1).max() < ARCCOS
        assert np.abs(np.diag(ntk) - len(sizes) - 1).max() < ARCCOS


@pytest.mark.parametrize(
    ("sizes", "value"), [((2,), 0.3183099), ((2, 2), 0.6857086), ((2, 2, 2), 1.0603881)]
)
def test_the_tangent_kernel_of_orthogonal_patches(sizes, value):
    x, y = np.tile([1.0, 0.0], 4)[None], np.tile([0.0, 1.0], 4)[None]
    assert round(float(sc.regions.hierarchical_kernels(x, y, sizes)[1][0, 0]), 7) == value


def test_kernels_are_positive_semidefinite():
    x = np.random.default_rng(8).standard_normal((20, 8))
    for kernel in sc.regions.hierarchical_kernels(x, x, (2, 2)):
        assert np.linalg.eigvalsh(kernel).min() > -ARCCOS


def test_predicted_learning_curve_exponents():
    values = [sc.regions.learning_curve_exponent((2, 2, 2), level) for level in (1, 2, 3)]
    assert [round(v, 3) for v in values] == [0.625, 0.417, 0.25]
    assert [sc.regions.effective_dimension((2, 2, 2), k) for k in (1, 2, 3)] == [1, 2, 4]
    with pytest.raises(sc.InputError, match="level 4"):
        sc.regions.learning_curve_exponent((2, 2, 2), 4)


def test_clones_are_seen_as_redundant_and_independent_units_are_not():
    rng = np.random.default_rng(9)
    signal = rng.standard_normal((400, 4))
    labels = (signal[:, 0] > 0).astype(int)
    clones = np.repeat(signal, 16, axis=1) + 0.05 * rng.standard_normal((400, 64))
    weights = np.zeros((2, 64))
    weights[1, :16], weights[0, :16] = 1.0, -1.0
    options = dict(n_accuracy=20, n_ridge=10, random_state=0)
    cloned = sc.regions.measure_redundancy(clones, weights, np.zeros(2), labels, **options)
    assert cloned.sizes == (64, 32, 16, 8, 4, 2, 1)
    assert cloned.r_squared[1] > 0.99 and cloned.accuracies[1] > 0.97
    assert cloned.residual_correlations[1] < 0.2 < cloned.residual_correlations[-1]
    noise = rng.standard_normal((400, 64))
    free = sc.regions.measure_redundancy(noise, weights, np.zeros(2), labels, **options)
    assert free.r_squared[1] < 0.7
    assert "R^2" in free.summary() and len(free.to_dict()["sizes"]) == 7


def test_redundancy_is_about_how_units_vary_and_not_about_their_means():
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((60, 4)), rng.integers(0, 2, 60)
    found = [
        sc.regions.measure_redundancy(
            features + means, np.ones((2, 4)), np.zeros(2), labels, random_state=0
        )
        for means in (0.0, 10.0 * np.arange(4))
    ]
    np.testing.assert_allclose(found[1].r_squared, found[0].r_squared, atol=1e-6)
    assert found[0].r_squared[1] < 0.9  # two independent units say nothing of the others


def test_the_estimate_is_chaos():
    sample = sc.regions.sampling.RegionSample(sampled=10, n_samples=100, n_once=4, n_twice=1)
    assert sample.estimate == 10 + 4 * 3 / (2 * (1 + 1))  # Chao 1984, bias-corrected
    assert sample.coverage == 0.96
