"""Five ways to count a layer, all small architectures, and what no count may depend on."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest

import sparsecnn as sc
from sparsecnn.regions import arrangement, formulas, modular, orbits

# two-dimensional layers of at most 9 neurons, and those of them for which the formula is too large
N_SMALL, N_TOO_LARGE = 601, 7


@functools.cache
def small_architectures():
    """All two-dimensional layers of at most 9 neurons and 2 channels, each geometry once."""
    found = {}
    sides = [(h, w) for h in range(1, 6) for w in range(h, 6)]
    for channels, side, size, filters, stride, padding, dilation in itertools.product(
        (1, 2), sides, itertools.product((1, 2, 3), repeat=2), (1, 2, 3), (1, 2), (0, 1), (1, 2)
    ):
        try:
            model = sc.regions.layer((channels, *side), filters, size, stride, padding, dilation)
        except sc.InputError:  # the filter does not fit
            continue
        geometry = model.geometry
        if model.n_neurons <= 9 and not geometry.is_one_dimensional:
            found.setdefault((str(geometry.windows), filters), model)
    return list(found.values())


def integer_rows(rng, model, reach=10**6):
    """Normals and offsets of all neurons at random integer weights."""
    taps = rng.integers(-reach, reach, (model.n_filters, model.geometry.n_taps))
    bias = np.repeat(rng.integers(-reach, reach, model.n_filters), len(model.geometry.windows))
    return model.geometry.normals(taps, 0), bias


def ways_to_count(rng, model):
    """The formula two ways, the regions four ways."""
    geometry, fields = model.geometry, model.geometry.fields
    weights = formulas.binomial_weights(model.n_filters)
    formula = {
        formulas.count_tuples([fields], weights),  # sweep
        formulas.count_tuples_by_search(fields, weights),  # flows
    }
    normals, bias = integer_rows(rng, model)
    rows = [tuple(row) for row in np.column_stack([normals, bias]).tolist()]
    cells = sc.regions.linear_regions((normals / 1e6, bias / 1e6), (geometry.n_pixels,))
    table = orbits.orbit_counts(
        lambda used: geometry.normals(modular.random((used, geometry.n_taps), rng), np.uint64(0)),
        model.n_filters, len(fields), geometry.n_pixels,
    )  # fmt: skip
    regions = {
        sum(arrangement.characteristic_counts(model.generic_rows(), geometry.n_pixels)),
        sum(orbits.evaluate(table, model.n_filters)),
        sum(arrangement.rational_counts(rows, geometry.n_pixels)),  # deletion and restriction
        sum(map(len, cells)),  # linear programs
    }
    return formula, regions


def test_every_method_agrees_on_small_architectures(scale):
    models = small_architectures()
    assert len(models) == N_SMALL
    failing = [sc.regions.layer((1, 3, 3), 2, 2), sc.regions.layer((1, 2, 2), 1, 2, padding=1)]
    rng = np.random.default_rng(0)
    for model in models[:: scale(24, 2)] + failing:
        formula, regions = ways_to_count(rng, model)
        assert formula == {model.formula()}, model
        assert regions == {model.exact()}, model
        assert model.lower() <= model.exact() <= model.upper() <= model.formula()
    assert all(model.exact() == model.formula() - 1 for model in failing)


@pytest.mark.full
def test_few_small_architectures_have_fewer_regions_than_the_formula_says():
    losing = [model for model in small_architectures() if model.exact() < model.formula()]
    assert len(losing) == N_TOO_LARGE
    for model in losing:  # padding can lose regions with one filter, else it takes two
        assert min(model.geometry.kernel_size) >= 2
        assert model.n_filters > 1 or any(map(any, model.geometry.pads))


def shares_too_much(model):
    """The condition of failure at stride 1 without padding: room for d0 x d0 minors to cancel."""
    channels, (f1, f2) = model.geometry.input_shape[0], model.geometry.kernel_size
    room = all(
        n >= channels * (f - 1) + 1
        for n, f in zip(model.geometry.output_size, (f1, f2), strict=True)
    )
    return min(f1, f2) >= 2 and model.n_filters >= channels + 1 and room


def test_the_formula_fails_exactly_where_the_syzygy_fits(scale):
    seen = failures = 0
    sides = itertools.product((1, 2, 3), range(1, 6), range(1, 7))
    for k, (shape, size, filters) in enumerate(
        itertools.product(sides, itertools.product((1, 2, 3), repeat=2), range(1, 7))
    ):
        if size[0] > shape[1] or size[1] > shape[2]:
            continue
        model = sc.regions.layer(shape, filters, size)
        if k % scale(40, 4) and not shares_too_much(model):
            continue
        most = 4_500 if model.n_neurons <= scale(12, 36) else 0
        if model.lower() > most or model.formula() > most:
            continue
        regions = sum(
            arrangement.characteristic_counts(model.generic_rows(), model.geometry.n_pixels)
        )
        assert (regions < model.formula()) == shares_too_much(model), model
        seen, failures = seen + 1, failures + shares_too_much(model)
    assert (seen, failures) == scale((45, 6), (389, 6))


@pytest.mark.parametrize(("channels", "filters", "grid"), [(1, 2, 2), (2, 3, 3), (3, 4, 4)])
def test_one_filter_more_than_channels_makes_a_dependent_set_that_hall_admits(
    channels, filters, grid
):
    def surplus(filters, grid):
        model = sc.regions.layer((channels, grid + 1, grid + 1), filters, 2)
        everyone = [filters] * len(model.geometry.windows)
        admitted = formulas.is_admissible(everyone, model.geometry.fields)
        return admitted, model.n_neurons - model.rank()

    assert surplus(filters, grid) == (True, 1)  # one relation, and the formula counts the set
    assert surplus(filters, grid - 1)[1] == 0 or not surplus(filters, grid - 1)[0]
    assert surplus(filters - 1, grid)[1] == 0


def rank(rows):
    return modular.rank(modular.from_integers(rows)) if len(rows) else 0


def whitney(normals, bias):
    """Sum over central subsets of (-1)^(size - rank), and the number of independent subsets."""
    both = np.column_stack([normals, bias])
    regions = independent = 0
    for chosen in itertools.product((False, True), repeat=len(both)):
        chosen = list(chosen)
        size, r = sum(chosen), rank(normals[chosen])
        regions += (-1) ** (size - r) * (rank(both[chosen]) == r)
        independent += size == r
    return regions, independent


def test_regions_are_whitneys_sum_and_at_most_the_independent_sets(scale):
    rng, equal = np.random.default_rng(1), 0
    for _ in range(scale(20, 100)):
        m, n = int(rng.integers(1, 8)), int(rng.integers(1, 4))
        normals, bias = rng.integers(-2, 3, (m, n)), rng.integers(-2, 3, m)
        keep = normals.any(axis=1)  # a zero normal is no hyperplane
        normals, bias = normals[keep], bias[keep]
        if not len(normals):
            continue
        rows = arrangement._distinct([tuple(r) for r in np.c_[normals, bias].tolist()], n)
        plain = np.array(rows)
        exact = sc.regions.count((normals.astype(float), bias.astype(float)), (n,)).exact
        regions, independent = whitney(plain[:, :n], plain[:, n])
        assert exact == regions <= independent
        equal += regions == independent
    assert equal > 0  # and equality where no dependent set is central


def test_general_position_has_zaslavskys_counts():
    rng = np.random.default_rng(2)
    for m, n in itertools.product(range(1, 8), range(1, 5)):
        weights = rng.standard_normal((m, n))
        free = sc.regions.count((weights, rng.standard_normal(m)), (n,)).exact
        assert free == formulas.zaslavsky(m, n) == sum(math.comb(m, i) for i in range(n + 1))
        central = sc.regions.count((weights, np.zeros(m)), (n,)).exact
        assert central == formulas.zaslavsky_central(m, n)
        assert central == 2 * sum(math.comb(m - 1, i) for i in range(n))


def test_a_count_is_deletion_plus_restriction():
    rng = np.random.default_rng(3)
    for _ in range(20):
        m, n = int(rng.integers(2, 8)), int(rng.integers(2, 5))
        rows = [tuple(r) for r in rng.integers(-3, 4, (m, n + 1)).tolist()]
        *rest, last = arrangement._distinct(rows, n)
        restricted = arrangement._restrict(rest, last, n)
        assert sum(arrangement.rational_counts([*rest, last], n)) == sum(
            arrangement.rational_counts(rest, n)
        ) + sum(arrangement.rational_counts(restricted, n - 1))


def random_layer(rng, most=10):
    """Geometry, filters and biases of a small convolution, unpadded."""
    while True:
        shape = (int(rng.integers(1, 3)), int(rng.integers(1, 4)), int(rng.integers(1, 5)))
        size = tuple(int(rng.integers(1, min(3, side) + 1)) for side in shape[1:])
        model = sc.regions.layer(shape, int(rng.integers(1, 4)), size, int(rng.integers(1, 3)))
        if model.n_neurons <= most:
            break
    filters = rng.integers(-9, 10, (model.n_filters, shape[0], *size)).astype(float)
    return model, filters, rng.integers(-9, 10, model.n_filters).astype(float)


def counted(model, filters, bias):
    layers = [sc.Conv2D(filters, bias, model.geometry.stride), sc.Activation("relu")]
    return sc.regions.count(layers, model.geometry.input_shape).exact


def test_what_a_count_may_not_depend_on_and_may_not_exceed(scale):
    rng = np.random.default_rng(4)
    for _ in range(scale(40, 500)):
        model, filters, bias = random_layer(rng)
        exact, shape = counted(model, filters, bias), model.geometry.input_shape
        order = rng.permutation(model.n_filters)
        signs = rng.choice([-1.0, 1.0], model.n_filters) * rng.integers(1, 5, model.n_filters)
        assert counted(model, filters[order], bias[order]) == exact
        assert counted(model, signs[:, None, None, None] * filters, signs * bias) == exact
        assert counted(model, 3 * filters, bias) == exact  # inputs scaled
        normals = model.geometry.normals(filters.reshape(model.n_filters, -1))
        offsets = np.repeat(bias, len(model.geometry.windows))
        shift = rng.integers(-9, 10, model.geometry.n_pixels)  # inputs translated
        moved = (normals, offsets + normals @ shift)
        assert sc.regions.count(moved, (model.geometry.n_pixels,)).exact == exact
        if model.n_filters > 1:
            assert counted(model, filters[1:], bias[1:]) <= exact
        network = [sc.Conv2D(filters, bias, model.geometry.stride), sc.Activation("relu")]
        assert sc.regions.sample(network, shape, 200, random_state=0).sampled <= exact
        assert exact <= model.exact() <= model.formula()
        assert model.lower() <= model.exact() <= model.upper()


def test_deep_counts_stay_below_their_bounds_and_above_their_samples(scale):
    rng = np.random.default_rng(5)
    for k in range(scale(30, 200)):
        length = 3 + k % 2
        layers = [
            dict(n_filters=int(rng.integers(1, 5 - length // 2)), kernel_size=(1, 2)) for _ in "12"
        ]
        network = sc.regions.random_network((1, 1, length), layers, random_state=rng)
        bounds = sc.regions.conv_bounds((1, 1, length), layers)
        exact = sc.regions.count(network, (1, 1, length)).exact
        first = sc.regions.count(network.layers[:2], (1, 1, length)).exact
        assert first <= exact <= bounds["receptive_field_upper"] <= bounds["upper"]
        assert bounds["lower"] <= bounds["receptive_field_upper"]
        found = sc.regions.sample(network, (1, 1, length), 300, random_state=0)
        assert found.sampled <= exact
