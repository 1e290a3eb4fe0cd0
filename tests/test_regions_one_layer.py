"""One layer with generic weights: every printed number, and methods that must agree."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sparsecnn as sc
from sparsecnn.regions import arrangement, formulas, modular, orbits
from sparsecnn.regions.geometry import LayerGeometry

# input, filters, filter size, options -> formula, exact (Xiong et al.'s formula against the count)
SHARED_2D = [
    ((1, 3, 3), 1, 2, {}, 16, 16),
    ((1, 3, 3), 2, 2, {}, 256, 255),
    ((1, 3, 3), 3, 2, {}, 4013, 3998),
    ((1, 3, 3), 4, 2, {}, 48957, 48903),
    ((1, 3, 3), 5, 2, {}, 392096, 391966),
    ((1, 3, 4), 2, 2, {}, 4096, 4061),
    ((1, 3, 5), 2, (2, 3), {}, 4096, 4095),
    ((1, 5, 5), 2, 2, {"stride": 2, "dilation": 2}, 256, 255),
    ((1, 2, 2), 1, 2, {"padding": 1}, 224, 223),
    ((1, 2, 2), 2, 2, {"padding": 1}, 2766, 2764),
    ((1, 2, 3), 1, 2, {"padding": 1}, 2089, 2083),
    ((1, 4, 4), 4, 3, {}, 65536, 65536),
    ((1, 3, 4), 4, (2, 3), {}, 64835, 64835),
    ((1, 2, 5), 4, 2, {}, 55168, 55168),
    ((1, 3, 3), 2, 3, {"padding": 1}, 155342, 155342),
    ((2, 3, 3), 4, 2, {}, 65536, 65536),
]


def generic_counts(model, **options):
    """Independent sets by size, by the plain search over all neurons."""
    return arrangement.characteristic_counts(
        model.generic_rows(), model.geometry.n_pixels, **options
    )


@pytest.mark.parametrize(("shape", "filters", "size", "options", "formula", "exact"), SHARED_2D)
def test_the_formula_and_the_true_count_of_shared_filters(
    shape, filters, size, options, formula, exact
):
    result = sc.regions.architecture(shape, filters, size, **options)
    assert (result.formula, result.exact) == (formula, exact)
    unshared = sc.regions.architecture(shape, filters, size, shared=False, **options)
    assert unshared.exact == formula


def test_unshared_weights_reach_the_formula_by_counting():
    for shape, filters, size, options, formula, _ in SHARED_2D[:2] + SHARED_2D[8:9]:
        model = sc.regions.layer(shape, filters, size, shared=False, **options)
        assert sum(generic_counts(model)) == formula


@pytest.mark.parametrize("filters", range(1, 6))
def test_what_sharing_loses_on_a_3x3_image_is_a_cubic(filters):
    result = sc.regions.architecture((1, 3, 3), filters, 2)
    assert result.formula - result.exact == math.comb(filters, 2) * (4 * filters - 7)


def test_three_pixels_windows_of_two():
    values = [sc.regions.architecture((1, 1, 3), d, (1, 2)).exact for d in range(1, 9)]
    assert values == [4, 15, 40, 85, 156, 259, 400, 585]
    assert values == [(d + 1) * (d * d + 1) for d in range(1, 9)]
    dense = [formulas.zaslavsky(2 * d, 3) for d in range(1, 9)]
    assert dense == [4, 15, 42, 93, 176, 299, 470, 697]
    central = [
        sc.regions.architecture((1, 1, 3), d, (1, 2), bias=False).exact for d in (1, 2, 3, 4)
    ]
    assert central == [4, 14, 28, 46]


def test_four_pixels_windows_of_two():
    assert [sc.regions.architecture((1, 1, 4), d, (1, 2)).exact for d in (1, 2, 3)] == [8, 55, 217]
    for d in range(1, 6):
        strided = sc.regions.architecture((1, 1, 4), d, (1, 2), stride=2).exact
        assert strided == (1 + d + math.comb(d, 2)) ** 2


@pytest.mark.parametrize(
    ("shape", "size", "degree", "coefficient", "dense", "ratio"),
    [
        ((1, 1, 3), (1, 2), 3, "1", "4/3", 14.2),
        ((1, 1, 4), (1, 2), 4, "7/4", "27/8", 324),
        ((1, 1, 4), (1, 3), 4, "7/12", "2/3", 34.2),
        ((1, 1, 5), (1, 2), 5, "3", "128/15", 11520),
        ((1, 2, 2), (1, 2), 4, "1/4", "2/3", 46.3),
        ((1, 3, 3), (2, 2), 9, "29/72", "2048/2835", 7.48e7),
    ],
)
def test_growth_with_the_number_of_filters(shape, size, degree, coefficient, dense, ratio):
    growth = sc.regions.layer(shape, 1, size).growth()
    assert growth["degree"] == degree
    assert growth["coefficient"] == Fraction(coefficient)
    assert growth["dense_coefficient"] == Fraction(dense)
    assert f"{growth['per_parameter']:.3g}" == f"{ratio:.3g}"


def test_the_leading_coefficient_is_the_limit_of_the_counts():
    model = sc.regions.layer((1, 3, 3), 10**9, 2)
    growth = model.growth()
    assert growth["coefficient"] < growth["dense_coefficient"]  # at equal neurons dense has more
    ratio = Fraction(model.exact(), (10**9) ** growth["degree"]) / growth["coefficient"]
    assert abs(ratio - 1) < Fraction(1, 10**6)  # the next term is of relative order 1/d


@pytest.mark.parametrize(
    ("shape", "size", "filters", "values"),
    [
        ((1, 1, 3), (1, 2), 1, [9, 16]),
        ((1, 1, 3), (1, 2), 2, [65, 175]),
        ((1, 1, 3), (1, 2), 3, [217, 640]),
        ((1, 1, 4), (1, 2), 2, [441, 1747]),
        ((1, 2, 3), 2, 2, [81, 256]),
    ],
)
def test_activations_with_two_and_three_breakpoints(shape, size, filters, values):
    for breakpoints, value in zip((2, 3), values, strict=True):
        result = sc.regions.architecture(shape, filters, size, breakpoints=breakpoints)
        assert result.exact == value
        # the same by brute force: parallel rows, deletion-restriction over the rationals
        steps = [(-1, 1), (-1, 0, 2)][breakpoints - 2]
        rng = np.random.default_rng(breakpoints)
        geometry = LayerGeometry.of(shape, size)
        taps = rng.integers(-999, 999, (filters, geometry.n_taps))
        normals = geometry.normals(taps, 0)
        bias = np.repeat(rng.integers(-999, 999, filters), len(geometry.windows))
        rows = [(*r, b + 1000 * s) for r, b in zip(normals.tolist(), bias.tolist(), strict=True)
                for s in steps]  # fmt: skip
        assert sum(arrangement.rational_counts(rows, geometry.n_pixels)) == value


@pytest.mark.parametrize(
    ("shape", "filters", "size"),
    [((1, 8, 8), 2, 3), ((3, 6, 6), 4, 2), ((1, 3, 3), 2, 2), ((1, 5, 6), 2, (2, 3)),
     ((2, 5, 5), 3, 2), ((1, 6, 6), 2, (3, 3)), ((1, 4, 7), 2, (2, 4)), ((2, 6, 5), 3, (2, 2)),
     ((1, 9, 9), 2, 4), ((3, 7, 7), 4, 2)],
)  # fmt: skip
def test_the_rank_of_one_filter_more_than_channels(shape, filters, size):
    model = sc.regions.layer(shape, filters, size)
    f1, f2 = model.geometry.kernel_size
    channels = shape[0]
    lost = channels * (channels + 1) * (f1 - 1) * (f2 - 1)
    assert model.invisible_directions() == lost
    richer = sc.regions.layer(shape, filters + 1, size)
    assert richer.invisible_directions() == 0


def test_the_characteristic_polynomial_counts_regions_and_bounded_regions():
    model = sc.regions.layer((1, 3, 3), 2, 2)
    polynomial = model.characteristic_polynomial()
    assert len(polynomial) == 10
    assert abs(np.polyval(polynomial, -1)) == model.exact() == 255
    assert abs(np.polyval(polynomial, 1)) == model.bounded_regions()
    line = sc.regions.layer((1, 1, 1), 5, 1)  # five points on a line: four bounded gaps
    assert (line.exact(), line.bounded_regions()) == (6, 4)


def test_one_search_serves_every_number_of_filters():
    rng = np.random.default_rng(5)
    geometry = LayerGeometry.of((1, 3, 3), 2)
    table = orbits.orbit_counts(
        lambda u: geometry.normals(modular.random((u, 4), rng), np.uint64(0)), 9, 4, 9
    )
    for d in range(1, 6):
        model = sc.regions.layer((1, 3, 3), d, 2)
        assert (
            orbits.evaluate(table, d)[: d * 4 + 1]
            == (generic_counts(model) + [0] * 9)[: min(10, d * 4 + 1)]
        )


def random_architecture(rng):
    """A small layer: input, filters, filter size, stride, padding, dilation."""
    while True:
        shape = (int(rng.integers(1, 3)), *map(int, rng.integers(1, 5, 2)))
        size = tuple(map(int, rng.integers(1, 4, 2)))
        options = dict(
            stride=int(rng.integers(1, 3)),
            padding=int(rng.integers(0, 2)),
            dilation=int(rng.integers(1, 3)),
        )
        filters = int(rng.integers(1, 4))
        try:
            model = sc.regions.layer(shape, filters, size, **options)
        except sc.InputError:
            continue
        if model.n_neurons <= 12:
            return model, (shape, filters, size, options)


def test_every_method_agrees_on_random_architectures(scale):
    rng = np.random.default_rng(20)
    for _ in range(scale(60, 600)):
        model, description = random_architecture(rng)
        formula = model.formula()
        fields = model.geometry.fields
        weights = formulas.binomial_weights(model.n_filters)
        assert formulas.count_tuples([fields], weights) == formula, description
        assert formulas.count_tuples_by_search(fields, weights) == formula, description
        independent = sum(generic_counts(model))
        assert model.exact() == independent, description
        taps = rng.integers(-(10**6), 10**6, (model.n_filters, model.geometry.n_taps))
        bias = np.repeat(rng.integers(-(10**6), 10**6, model.n_filters), len(fields))
        normals = model.geometry.normals(taps, 0)
        rows = [tuple(row) for row in np.column_stack([normals, bias]).tolist()]
        deletion = sum(arrangement.rational_counts(rows, model.geometry.n_pixels))
        assert deletion == independent, description
        cells = sc.regions.linear_regions((normals / 1e6, bias / 1e6), (normals.shape[1],))
        assert sum(map(len, cells)) == independent, description
        assert model.lower() <= independent <= formula, description
        if model.geometry.is_one_dimensional:
            assert independent == formula, description


@given(
    d=st.integers(1, 2), height=st.integers(2, 3), width=st.integers(2, 4), stride=st.integers(1, 2)
)
def test_one_more_filter_never_loses_regions(d, height, width, stride):
    fewer = sc.regions.architecture((1, height, width), d, 2, stride=stride)
    more = sc.regions.architecture((1, height, width), d + 1, 2, stride=stride)
    assert fewer.exact < more.exact
    flipped = sc.regions.architecture((1, width, height), d, 2, stride=stride)
    assert flipped.exact == fewer.exact


def test_closed_forms_hold_where_they_exist():
    cases = [
        ((1, 2, 3), 7, (2, 3), {}),
        ((1, 4, 4), 3, 2, {"stride": 2}),
        ((1, 3, 3), 4, 1, {}),
        ((1, 1, 3), 5, (1, 2), {}),
        ((2, 4, 4), 3, 2, {"stride": 2, "breakpoints": 2}),
    ]
    names = set()
    for shape, filters, size, options in cases:
        model = sc.regions.layer(shape, filters, size, **options)
        value, name = model.closed_form()
        assert value == model.exact()
        names.add(name)
    assert len(names) == 4
    assert sc.regions.layer((1, 3, 3), 2, 2).closed_form() is None


def test_the_interval_formula_works_at_any_length():
    value = sc.regions.architecture((1, 1, 1000), 64, (1, 3)).exact
    assert value.bit_length() > 6000
    short = sc.regions.layer((1, 1, 7), 3, (1, 3))
    assert sum(generic_counts(short)) == short.formula()


def test_a_hopeless_count_is_refused_with_its_estimate():
    model = sc.regions.layer((1, 7, 7), 2, 3)
    with pytest.raises(sc.regions.TooLarge, match=r"would list up to .* sets"):
        model.exact()
    result = sc.regions.architecture((1, 7, 7), 2, 3)
    assert result.exact is None
    assert result.lower < result.upper == result.formula
    huge = sc.regions.architecture((1, 28, 28), 32, 5)
    assert huge.formula is None
    assert huge.lower < huge.upper
    assert any("formula left out" in text for text in huge.assumptions)


def test_an_interrupted_count_returns_formula_and_bounds(monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sc.regions.LayerArchitecture, "counts", interrupted)
    result = sc.regions.architecture((1, 3, 3), 2, 2)
    assert (result.exact, result.formula, result.lower, result.upper) == (None, 256, 2**7, 256)
    assert "interrupted" in result.summary()


def test_bad_arguments_are_refused_by_name():
    with pytest.raises(sc.InputTypeError, match="input_shape"):
        sc.regions.architecture(9, 2, 2)
    with pytest.raises(sc.InputError, match="kernel_size"):
        sc.regions.architecture((1, 3, 3), 2, 4)
    with pytest.raises(sc.InputError, match="n_filters"):
        sc.regions.architecture((1, 3, 3), 0, 2)
    with pytest.raises(sc.InputError, match="reflect"):
        sc.regions.architecture((1, 3, 3), 1, 2, padding="reflect")


def test_the_field_arithmetic_is_that_of_python_integers():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, modular.PRIME, 500, dtype=np.uint64) for _ in range(2))
    a[:3], b[:3] = modular.PRIME - 1, modular.PRIME - 1
    expected = [int(x) * int(y) % modular.PRIME for x, y in zip(a, b, strict=True)]
    assert modular.multiply(a, b).tolist() == expected
    assert (modular.multiply(a, modular.inverse(a)) == (a != 0)).all()
