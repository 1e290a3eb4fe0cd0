"""The numbers of the literature that the other files leave out, each computed by the package.

Random experiments whose seeds are unknown are compared within four standard errors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from tolerances import (
    ARCCOS,
    GROWTH_SLOPE,
    LEARNING_SLOPE,
    RIDGE,
    ROUNDING,
    SPECTRAL_SLOPE,
)

import sparsecnn as sc
from sparsecnn.regions import formulas, inequalities, redundancy, tropical


# -- one layer ------------------------------------------------------------------------------
def test_an_integer_network_with_30_patterns_and_27_affine_maps():
    network = [
        sc.Linear([[2, 3], [-2, -2], [2, 2], [0, -2]], [2, 1, 3, 2]), sc.Activation("relu"),
        sc.Linear([[2, 0, -2, -3], [-1, 1, -1, 2], [-3, -1, 0, 3], [-2, 2, -3, -1]], [3, 2, -3, 3]),
        sc.Activation("relu"),
    ]  # fmt: skip
    batches = list(sc.regions.linear_regions(network, (2,)))
    maps = {tuple(np.round(f, 9).ravel() + 0.0) for b in batches for f in b.functions}
    assert (sum(map(len, batches)), len(maps)) == (30, 27)


@pytest.mark.parametrize("filters", range(1, 6))
def test_what_is_lost_on_a_3x3_image_are_eight_sets_and_their_extensions(filters):
    model = sc.regions.layer((1, 3, 3), filters, 2)
    formula = formulas.formula_by_size(model.geometry, filters)
    counts = model.counts() + [0] * 9
    lost = [a - b for a, b in zip(formula, counts, strict=False)] + [0] * 9
    pairs = math.comb(filters, 2)
    assert lost[:10] == [0] * 8 + [pairs, pairs * 4 * (filters - 2) if filters > 1 else 0]


@pytest.mark.parametrize(
    ("shape", "filters", "size", "rank", "pixels"),
    [((1, 8, 8), 2, 3, 56, 64), ((3, 6, 6), 4, 2, 96, 108)],
)
def test_ranks_of_images_that_hide_directions(shape, filters, size, rank, pixels):
    model = sc.regions.layer(shape, filters, size)
    assert (model.rank(), model.geometry.n_pixels) == (rank, pixels)
    free = sc.regions.layer(shape, filters, size, shared=False)
    assert free.rank() == min(free.n_neurons, pixels) > rank


@pytest.mark.parametrize("d", range(1, 9))
def test_dense_and_central_layers_beside_three_pixels(d):
    rng = np.random.default_rng(d)
    dense = (rng.standard_normal((2 * d, 3)), rng.standard_normal(2 * d))
    assert sc.regions.count(dense, (3,)).exact == [4, 15, 42, 93, 176, 299, 470, 697][d - 1]
    if d <= 4:
        free = (rng.standard_normal((d, 1, 1, 2)), np.zeros(d))
        assert sc.regions.count(free, (1, 1, 3)).exact == [4, 14, 28, 46][d - 1]


@pytest.mark.parametrize(("neurons", "inputs"), [(3, 2), (4, 3), (5, 2)])
def test_two_breakpoints_in_a_dense_layer(neurons, inputs):
    rng = np.random.default_rng(0)
    weights, bias = rng.standard_normal((neurons, inputs)), rng.standard_normal(neurons)
    layers = [sc.Linear(weights, bias), sc.Activation("hardtanh")]
    claimed = sum(math.comb(neurons, i) * 2**i for i in range(inputs + 1))
    assert sc.regions.count(layers, (inputs,)).exact == claimed
    assert formulas.zaslavsky(neurons, inputs, 2) == claimed


# -- several layers -------------------------------------------------------------------------
def test_the_folding_network_of_320_regions():
    layers = [dict(n_filters=2, kernel_size=(1, 2)), dict(n_filters=3, kernel_size=(1, 2))]
    assert sc.regions.architecture((1, 1, 3), 3, (1, 2)).exact * 2**3 == 320

    def network(scale):
        return sc.regions.folding_network((1, 1, 4), layers, scale=scale, random_state=3)

    inside = [sc.regions.count(network(s), (1, 1, 4), domain=(0, 1)).exact for s in (20, 200, 1000)]
    assert inside == [312, 320, 320]
    assert sc.regions.count(network(200), (1, 1, 4)).exact == 487


def test_lower_bounds_of_dense_networks_by_hand():
    bounds = sc.regions.dense_bounds(2, [6, 6, 6])
    assert bounds["pascanu2013_lower"] == 3 * 3 * 22
    assert bounds["montufar2014_lower"] == 9 * 9 * 22 == 1782
    assert bounds["serra2018_lower"] == 16 * 16 * 22 == 5632
    for inputs, m, w, depth in [(1, 3, 3, 2), (2, 3, 4, 3), (3, 4, 2, 2)]:
        widths = [2 * m] + [w] * (depth - 1)
        rays = sum(math.comb(m - 1, j) for j in range(inputs))
        bounds = sc.regions.dense_bounds(inputs, widths)
        assert bounds["arora2018_lower"] == 2 * rays * (w + 1) ** (depth - 1)
        assert bounds["arora2018_lower"] <= bounds["antipodal_upper"]
    assert sc.regions.dense_bounds(2, [5, 3])["arora2018_lower"] is None


def test_maxout_units_of_rank_two_bend_once_and_of_rank_three_thrice():
    for inputs, widths in [(2, [4, 4]), (3, [4, 2, 5]), (1, [3, 3])]:
        assert inequalities.maxout_upper(inputs, widths, 2) == inequalities.montufar_upper(
            inputs, widths
        )
    three = (1 + 12 + 66 + 220) * (1 + 6 + 15)  # of rank three: binom(3, 2) lines for each unit
    assert inequalities.maxout_upper(3, [4, 2], 3) == three


@pytest.mark.parametrize(("length", "depth"), [(4, 2), (4, 3), (6, 3)])
def test_the_exponent_of_the_deep_lower_bound(length, depth):
    def log_lower(d):
        layers = [dict(n_filters=d, kernel_size=(1, 2))] * depth
        models = inequalities.layer_models((1, 1, length), layers)
        return math.log(inequalities.theorem5_lower(models, layers))

    slope = (log_lower(10**6) - log_lower(10**3)) / math.log(10**3)
    sizes = [length - k for k in range(1, depth)]  # outputs of all layers but the last
    assert abs(slope - (sum(sizes) + sizes[-1])) < GROWTH_SLOPE


def test_every_lower_bound_is_reached_by_a_folding_network():
    for filters, lower in [((2, 2), 120), ((2, 3), 320), ((1, 3), 40), ((2, 4), 680)]:
        layers = [dict(n_filters=d, kernel_size=(1, 2)) for d in filters]
        network = sc.regions.folding_network((1, 1, 4), layers, scale=1e4, random_state=1)
        assert sc.regions.conv_bounds((1, 1, 4), layers)["lower"] == lower
        assert sc.regions.count(network, (1, 1, 4), domain=(0, 1)).exact == lower


# -- expectations ---------------------------------------------------------------------------
def regions_in_the_disc(rng, m, ratio, runs):
    """Regions of m Gaussian lines in the unit disc: one, one a chord, one a crossing inside."""
    normals, bias = rng.standard_normal((runs, m, 2)), ratio * rng.standard_normal((runs, m))
    total = 1 + (np.abs(bias) < np.linalg.norm(normals, axis=2)).sum(axis=1)
    for i in range(m):
        for j in range(i):
            point = np.linalg.solve(normals[:, [i, j]], bias[:, [i, j], None])[..., 0]
            total = total + (np.linalg.norm(point, axis=1) < 1)
    return total


@pytest.mark.parametrize(
    ("m", "c", "printed", "monte_carlo", "error"),
    [(10, 1, 21.251, 21.26, 0.12), (20, 4, 164.321, 164.23, 0.25), (6, 1, 9.636, 9.68, 0.06)],
)
def test_the_expected_regions_in_a_disc(m, c, printed, monte_carlo, error, scale):
    expected = sc.regions.expected_in_disc(m, 1.0, 1 / c)
    assert round(expected, 3) == printed
    assert abs(expected - monte_carlo) < 4 * error
    found = regions_in_the_disc(np.random.default_rng(m), m, 1 / c, scale(1000, 10_000))
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(len(found))


PIECES = [((64,), 56.7), ((32, 32), 54.0), ((16,) * 4, 50.2), ((8,) * 8, 37.9)]


@pytest.mark.share(2)
@pytest.mark.parametrize(("widths", "printed"), PIECES)
def test_pieces_on_an_interval_at_four_depths(widths, printed, scale):
    rng, runs = np.random.default_rng(3), scale(100, 1000)
    pieces = []
    for _ in range(runs):
        layers, size = [], 1
        for width in widths:
            weights = rng.standard_normal((width, size)) * math.sqrt(2 / size)
            layers += [sc.Linear(weights, 0.3 * rng.standard_normal(width)), sc.Activation("relu")]
            size = width
        pieces.append(sc.regions.line_slice(layers, [-1.0], [1.0]).n_regions)
    # how many networks the printed mean is of is not said; a hundred are assumed
    error = np.std(pieces) * math.sqrt(1 / runs + 1 / 100)
    assert abs(np.mean(pieces) - printed) < 4 * error


def test_two_layers_of_forty_random_networks(scale):
    totals = []
    for seed in range(scale(40, 200)):
        network = sc.regions.paper_network(3, deep=True, random_state=seed)
        assert sc.regions.count(network.layers[:2], (1, 1, 4)).exact == 55
        totals.append(sc.regions.count(network, (1, 1, 4)).exact)
    # printed for 40 networks: 217 to 885, mean 513
    error = np.std(totals) * math.sqrt(1 / len(totals) + 1 / 40)
    assert abs(np.mean(totals) - 513) < 4 * error
    assert min(totals) < 217 and 885 < max(totals) < 3135 < 57 * 57
    assert sc.regions.dense_bounds(4, [6, 6])["montufar2017_upper"] == 57 * 57 == 3249


# -- slices ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "filters", "size", "options", "parallel"),
    [((1, 3, 3), 2, 2, {}, 0), ((1, 1, 5), 2, (1, 2), {}, 0), ((2, 4, 3), 3, (3, 2), {}, 0),
     ((1, 6, 4), 2, 2, {"stride": 2}, 0), ((1, 2, 2), 2, 1, {}, 4)],
)  # fmt: skip
def test_a_plane_meets_the_same_number_whatever_the_geometry(
    shape, filters, size, options, parallel
):
    model, rng = sc.regions.layer(shape, filters, size, **options), np.random.default_rng(4)
    weights = rng.standard_normal((filters, shape[0], *model.geometry.kernel_size))
    network = [sc.Conv2D(weights, rng.standard_normal(filters), **options), sc.Activation("relu")]
    plane = rng.standard_normal(shape), rng.standard_normal((2, *shape))
    m, cut = model.n_neurons, sc.regions.plane_slice(network, plane, (-1e5, 1e5))
    assert cut.n_regions == 1 + m + math.comb(m, 2) - parallel
    start, end = plane[0] - 1e5 * plane[1][0], plane[0] + 1e5 * plane[1][0]
    assert sc.regions.line_slice(network, start, end).n_regions == m + 1


# -- sampling -------------------------------------------------------------------------------
SAMPLED = [  # filters, exact, most patterns in 10^6 inputs over 5 seeds at 6 scales, best mean
    (1, 4, 4, 4.0), (2, 15, 15, 14.4), (3, 40, 40, 38.4), (4, 85, 84, 75.2),
    (5, 156, 151, 134.4), (6, 259, 243, 220.4), (7, 400, 364, 338.2), (8, 585, 513, 487.8),
]  # fmt: skip


@pytest.mark.share(2)
@pytest.mark.parametrize(("d", "exact", "most", "best_mean"), SAMPLED)
def test_sampled_patterns_of_the_papers_layer(d, exact, most, best_mean, scale):
    n_samples, share = scale((1000, 0.35), (40_000, 0.7))
    found = np.array([
        [
            sc.regions.sample(
                sc.regions.paper_network(d, random_state=seed),
                (1, 1, 3), n_samples, scale=deviation, random_state=seed,
            ).sampled
            for seed in range(1, 6)
        ]
        for deviation in (3, 5, 7, 9, 11, 13)
    ])  # fmt: skip
    assert found.max() <= exact
    # the same seeds with fewer inputs find a share of the patterns; the benchmark takes them all
    assert share * most <= found.max() <= most
    assert share * best_mean <= found.mean(axis=1).max() <= best_mean


def test_the_weights_of_the_papers_network_have_their_stated_deviation():
    draws = [sc.regions.paper_network(3, deep=True, random_state=s).layers for s in range(300)]
    for place, fan in ((0, 2 * 2), (2, 2 * 3)):  # filter size times output channels
        values = np.array([np.r_[net[place].filters.ravel(), net[place].bias] for net in draws])
        error = math.sqrt(2 / values.size)  # relative, of a variance
        assert abs(values.var() / (2 / fan) - 1) < 4 * error


# -- tropical layers ------------------------------------------------------------------------
@pytest.mark.parametrize("kind", tropical.KINDS)
def test_a_tropical_layer_is_its_formula_in_loops(kind):
    rng = np.random.default_rng(5)
    weights, x = rng.random((2, 3, 2, 3)), rng.standard_normal((2, 3, 5, 6))
    fold = {"min": min, "max": max, "sum": sum}
    inner, outer = (fold[name] for name in tropical.KINDS[kind])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = sc.regions.TropicalConv2D(weights, kind, stride=2, padding=1).forward(x)[0]
    assert y.shape == (2, 2, 3, 3)
    for n, o, i, j in np.ndindex(y.shape):
        slow = outer(
            inner(
                padded[n, c, 2 * i + a, 2 * j + b] + weights[o, c, a, b]
                for a in range(2)
                for b in range(3)
            )
            for c in range(3)
        )
        assert abs(slow - y[n, o, i, j]) < ROUNDING


TCNN = [("conv", "conv"), ("MinP-S", "MaxP-S"), ("MinP-Max", "MaxP-Min"), ("MinP-S", "conv"),
        ("MinP-Min", "MaxP-Max"), ("MinP-Min", "conv"), ("MinP-Max", "conv")]  # fmt: skip


@pytest.mark.parametrize("kinds", TCNN)
def test_the_seven_networks_of_the_tropical_paper(kinds):
    rng, layers, channels = np.random.default_rng(6), [], 1
    for kind in kinds:
        weights = rng.random((4, channels, 3, 3))
        build = sc.Conv2D if kind == "conv" else sc.regions.TropicalConv2D
        options = {} if kind == "conv" else {"kind": kind}
        layers.append(build(weights, stride=2, padding=1, **options))
        channels = 4
    x = rng.standard_normal((3, 1, 28, 28))
    half = layers[0].forward(x)[0]
    assert half.shape == (3, 4, 14, 14) and layers[1].forward(half)[0].shape == (3, 4, 7, 7)
    network = sc.Network([*layers, sc.Flatten(), sc.Linear(rng.standard_normal((10, 196)))])
    assert network.forward(x)[0].shape == (3, 10)
    near = x[0] + 0.01 * (x[1] - x[0])
    pieces = sc.regions.line_slice(network, x[0], near).n_regions
    assert (pieces == 1) == (kinds == ("conv", "conv"))  # without a tropical layer it is linear


# -- redundancy -----------------------------------------------------------------------------
def test_chunks_are_scored_as_scikit_learn_scores_a_ridge_regression():
    rng = np.random.default_rng(7)
    features = rng.standard_normal((200, 5)) @ rng.standard_normal((5, 16))
    features += 0.3 * rng.standard_normal(features.shape)
    chunk, centred = [0, 3, 7, 11], features - features.mean(axis=0)
    r_squared, correlation = redundancy._ridge_fit(centred, np.array(chunk), 1e-8)
    fitted = Ridge(alpha=1e-8, fit_intercept=False).fit(centred[:, chunk], centred)
    residual = centred - fitted.predict(centred[:, chunk])
    score = r2_score(centred, centred - residual, multioutput="variance_weighted")
    assert abs(r_squared - score) < RIDGE
    left = [k for k in range(16) if k not in chunk]  # what the chunk itself leaves is rounding
    table = np.abs(np.corrcoef(residual[:, left], rowvar=False))
    # the sum over pairs outside the chunk, averaged over all pairs
    off = table[~np.eye(12, dtype=bool)].sum()
    assert abs(correlation * 16 * 15 - off) < 16 * 15 * RIDGE


# -- kernels --------------------------------------------------------------------------------
def circles(n, count):
    """All points of ``count`` circles at ``n`` angles: inputs (n^count, 2 count)."""
    angles = np.meshgrid(*[2 * np.pi * np.arange(n) / n] * count, indexing="ij")
    pairs = [part for a in angles for part in (np.cos(a), np.sin(a))]
    return np.stack(pairs, axis=-1).reshape(-1, 2 * count)


@pytest.mark.parametrize(("count", "n"), [(1, 1024), (2, 256)])
def test_the_spectrum_of_a_level_decays_with_its_effective_dimension(count, n):
    sizes, x = (2, 2)[:count], circles(n, count)
    dimension = sc.regions.effective_dimension(sizes, count)
    assert dimension == count
    for kernel, smoothness in zip(
        sc.regions.hierarchical_kernels(x, x[:1], sizes), (3 / 2, 1 / 2), strict=True
    ):
        spectrum = np.abs(np.fft.fftn(kernel.reshape((n,) * count)))
        waves = np.arange(8, 32, 2)  # one patch has no odd ones
        slope = np.polyfit(np.log(waves), np.log(spectrum[(waves,) * count]), 1)[0]
        assert abs(slope + 2 * smoothness + dimension) < SPECTRAL_SLOPE


def test_orthogonal_patches_by_hand():
    x, y = np.tile([1.0, 0.0], 4)[None], np.tile([0.0, 1.0], 4)[None]
    rfk, ntk = sc.regions.hierarchical_kernels(x, y, (2,))
    assert abs(rfk[0, 0] - 1 / math.pi) < ARCCOS and abs(ntk[0, 0] - 1 / math.pi) < ARCCOS


def learning_errors(seed, sizes, n_test, student=(2, 2, 2)):
    """Test errors ``(teachers, sizes)`` of a ridgeless student; a teacher for every depth."""
    rng, most = np.random.default_rng(seed), max(sizes)
    x = rng.standard_normal((most + n_test, 8))
    kernels = [sc.regions.hierarchical_kernels(x, x, student[:k])[1] for k in (1, 2, 3)]
    errors = []
    for covariance in kernels:
        root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(x)))
        teacher = root @ rng.standard_normal(len(x))
        learnt = [kernels[-1][most:, :n] @ np.linalg.solve(kernels[-1][:n, :n], teacher[:n])
                  for n in sizes]  # fmt: skip
        errors.append([((part - teacher[most:]) ** 2).mean() for part in learnt])
    return np.array(errors)


@pytest.mark.full
def test_learning_curves_have_the_printed_slopes():
    sizes = (128, 256, 512, 1024)  # the benchmark goes on to 2048
    draws = np.array([learning_errors(seed, sizes, 250) for seed in range(4)])
    slopes = np.polyfit(np.log(sizes), np.log(draws.reshape(-1, 4).T), 1)[0].reshape(4, 3)
    printed = np.array([-0.58, -0.397, -0.285])
    theory = [-sc.regions.learning_curve_exponent((2, 2, 2), level) for level in (1, 2, 3)]
    mean, error = slopes.mean(axis=0), slopes.std(axis=0, ddof=1) / 2
    assert (np.diff(mean) > 0).all()  # deeper teachers are learnt more slowly
    spread = np.sqrt(2) * error  # both are means of four draws
    assert (np.abs(mean - printed) < 4 * spread).all()
    assert (np.abs(mean - theory) < 4 * error + LEARNING_SLOPE).all()
