"""Every prior: its prox against brute force, its derivative against differences, closed forms."""

from __future__ import annotations

import warnings

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import best_objective, best_support, supremum
from sklearn.base import clone
from strategies import CONVEX, COUPLED, N_ATOMS, PRIORS, SEPARABLE, name_of, points
from tolerances import FEW_ULPS, PROX_EXCESS, ROUNDING, SINGLE, SUPREMUM

import sparsecnn as sc
from sparsecnn.checks import check_prior

STEPS = (0.3, 1.0, 2.5)

every = pytest.mark.parametrize("prior", PRIORS, ids=name_of)
every_separable = pytest.mark.parametrize("prior", SEPARABLE, ids=name_of)


def columns(prior):
    """The prior of each atom on its own, as (index, prior of codes shaped (n, 1))."""
    arrays = any(isinstance(p, np.ndarray) for p in prior.parameters.values())
    return [(j, prior.restricted(slice(j, j + 1))) for j in range(N_ATOMS if arrays else 1)]


# -- the prox is a minimiser ----------------------------------------------------------------
@pytest.mark.share(4)
@every_separable
@pytest.mark.parametrize("step", STEPS)
def test_no_grid_point_beats_the_prox(prior, step, scale):
    v = np.linspace(-6, 6, scale(121, 601))
    z = prior.prox(np.repeat(v[:, None], N_ATOMS, axis=1), step)
    for j, alone in columns(prior):

        def penalty(points, alone=alone):
            return alone.value(points[:, None])

        energy = 0.5 * (v - z[:, j]) ** 2 + step * penalty(z[:, j])
        assert (energy - best_objective(penalty, v, step)).max() <= PROX_EXCESS


@pytest.mark.share(2)
@every
def test_every_prior_keeps_its_contract(prior, scale):
    check_prior(prior, n_points=scale(20, 200), random_state=1)


@pytest.mark.share(3)
@pytest.mark.parametrize(
    "prior", [p for p in PRIORS if "array" in repr(p) or p in COUPLED], ids=name_of
)
def test_per_atom_parameters_keep_the_contract_on_feature_maps(prior, scale):
    check_prior(prior, (N_ATOMS, 2, 2), n_points=scale(8, 40), steps=(0.7,), random_state=2)


@given(st.sampled_from(PRIORS), points(2), st.floats(0.05, 4.0))
def test_the_prox_is_monotone_and_firmly_nonexpansive_if_convex(prior, v, step):
    z = prior.prox(v, step)
    dv, dz = v[0] - v[1], z[0] - z[1]
    floor = dz @ dz if prior.is_convex else 0.0
    assert dv @ dz >= floor - ROUNDING * (1 + dv @ dv)


@given(st.sampled_from(CONVEX), points(4), st.floats(0.05, 4.0))
def test_moreau_identity_holds_for_convex_priors(prior, v, step):
    z = prior.prox(v, step)
    u = (v - z) / step
    pairing = (u * z).sum(axis=1)
    size = 1 + (v**2).sum(axis=1) / step + np.abs(prior.value(z))
    assert (np.abs(prior.value(z) + prior.conjugate_inside(u) - pairing) <= ROUNDING * size).all()


@every
def test_a_step_of_zero_or_less_is_refused(prior):
    for step in (0.0, -1.0, np.nan):
        with pytest.raises(sc.InputError, match="step"):
            prior.prox(np.ones((1, N_ATOMS)), step)


# -- the dual side --------------------------------------------------------------------------
@pytest.mark.parametrize("prior", [p for p in SEPARABLE if p.is_convex], ids=name_of)
def test_the_conjugate_is_the_supremum(prior):
    for j, alone in columns(prior):
        for v in np.linspace(-3.02, 3.03, 23):
            bound = float(alone.conjugate(np.array([[v]]))[0])

            def dual(z, v=v, alone=alone):
                return v * z - alone.value(z[:, None])

            if np.isinf(bound):
                assert dual(np.array([-1e7, 1e7])).max() > 1e3, (j, v)
            else:
                assert abs(supremum(dual, -100.0, 100.0) - bound) <= SUPREMUM * (1 + abs(bound))


def test_feasible_fractions_by_hand():
    cases = [
        (sc.Laplace(1.0), [0.0, 0.0], [2.0, 0.5], 0.5),
        (sc.Laplace(1.0), [0.0, 0.0], [0.9, -1.0], 1.0),
        (sc.Exponential(1.0), [0.0, 0.0], [-9.0, 4.0], 0.25),
        (sc.Exponential(-0.5), [-1.0, -1.0], [0.0, 1.0], 0.5),
        (sc.AsymmetricLaplace(1.0, 3.0), [0.0, 0.0], [-4.0, 3.0], 0.25),
        (sc.NonNegative(), [-1.0, -1.0], [4.0, 0.0], 0.25),
        (sc.Gaussian(1.0), [0.0, 0.0], [100.0, -100.0], 1.0),
        (sc.ElasticNet(1.0, [0.0, 1.0]), [0.0, 0.0], [5.0, 100.0], 0.2),
        (sc.Uniform(-1.0, 1.0), [0.0, 0.0], [100.0, -100.0], 1.0),
        (sc.Huber(1.0, 2.0), [0.0, 0.0], [5.0, 0.0], 0.2),
        (sc.Lp([1.0, 1.0], [1.0, 2.0]), [0.0, 0.0], [4.0, 100.0], 0.25),
        (sc.GroupLaplace(1.0, [0, 0]), [0.0, 0.0], [3.0, 4.0], 0.2),
        (sc.GroupLaplace([1.0, 2.0], [0, 1]), [0.0, 0.0], [2.0, 8.0], 0.25),
    ]
    for prior, start, direction, expected in cases:
        got = prior.feasible_fraction(np.array([start]), np.array([direction]))
        assert got.shape == (1,)
        assert abs(got[0] - expected) <= FEW_ULPS, prior


@pytest.mark.parametrize("prior", [p for p in PRIORS if not p.is_convex], ids=name_of)
def test_a_prior_that_is_not_convex_offers_no_conjugate(prior):
    with pytest.raises((sc.InputTypeError, NotImplementedError)):
        prior.conjugate(np.ones((1, N_ATOMS)))


# -- coupled priors -------------------------------------------------------------------------
def test_group_laplace_satisfies_its_optimality_conditions(scale):
    rng = np.random.default_rng(0)
    prior, weights = sc.GroupLaplace([0.6, 1.4], [1, 0, 1]), {0: 0.6, 1: 1.4}
    v = 2 * rng.standard_normal((scale(200, 2000), 3))
    for step in STEPS:
        z = prior.prox(v, step)
        for group, weight in weights.items():
            index = np.flatnonzero(np.array([1, 0, 1]) == group)
            size = np.linalg.norm(z[:, index], axis=1)
            rest = v[:, index] - z[:, index]
            dead = size == 0
            assert dead.any() and not dead.all()
            assert (np.linalg.norm(rest[dead], axis=1) <= step * weight * (1 + FEW_ULPS)).all()
            direction = z[~dead][:, index] / size[~dead, None]
            assert np.abs(rest[~dead] - step * weight * direction).max() <= ROUNDING


def test_no_random_point_beats_group_laplace_in_three_dimensions(scale):
    rng = np.random.default_rng(1)
    prior = sc.GroupLaplace(0.8, [0, 0, 1])
    for v in 2 * rng.standard_normal((20, 3)):
        z = prior.prox(v[None])[0]
        energy = 0.5 * ((v - z) ** 2).sum() + prior.value(z[None])[0]
        spread = np.geomspace(1e-4, 3, scale(4000, 100_000))[:, None]
        cloud = np.concatenate(
            [z + spread * rng.standard_normal((len(spread), 3)), np.zeros((1, 3))]
        )
        other = 0.5 * ((v - cloud) ** 2).sum(axis=1) + prior.value(cloud)
        assert energy <= other.min() + PROX_EXCESS


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_is_the_best_of_all_supports(k):
    v = np.random.default_rng(k).standard_normal((30, 5))
    z = sc.TopK(k).prox(v)
    assert ((z != 0).sum(axis=1) <= k).all()
    for before, after in zip(v, z, strict=True):
        assert abs(((before - after) ** 2).sum() - best_support(before, k)) <= ROUNDING


def test_top_k_counts_over_all_axes_and_keeps_the_first_of_a_tie():
    z = sc.TopK(2).prox(np.ones((1, 2, 2, 2)))
    assert z.sum() == 2 and (z.ravel()[:2] == 1).all()


def test_groups_may_be_given_as_lists_of_atoms():
    v = np.random.default_rng(0).standard_normal((4, 3))
    a, b = sc.GroupLaplace(0.5, [0, 1, 0]), sc.GroupLaplace(0.5, [[0, 2], [1]])
    assert np.array_equal(a.prox(v), b.prox(v))


def test_a_group_at_zero_has_no_gradient():
    dv, dparams = sc.GroupLaplace(0.5, [0, 0]).prox_vjp(np.zeros((1, 2)), 1.0, np.ones((1, 2)))
    assert not dv.any() and dparams["lam"] == 0


@every
def test_dead_units_and_zeros_have_finite_derivatives(prior):
    for step in STEPS:
        dv, dparams = prior.prox_vjp(np.zeros((2, N_ATOMS)), step, np.ones((2, N_ATOMS)))
        assert np.isfinite(dv).all()
        assert all(np.isfinite(gradient).all() for gradient in dparams.values())


@every_separable
def test_very_large_and_very_small_inputs_give_finite_codes_without_a_warning(prior):
    sizes = np.array([1e-300, 1e-100, 1e-30, 1e-8, 1e8, 1e30, 1e60])
    v = np.repeat(np.r_[-sizes, sizes][:, None], N_ATOMS, axis=1)
    z = prior.prox(v)
    assert np.isfinite(z).all() and np.isfinite(prior.prox_vjp(v, 1.0, v)[0]).all()
    assert not np.isnan(prior.value(z)).any()
    for s in (1e-100, 1e150):  # the units a problem may choose
        assert np.isfinite(prior.scaled(s).prox(np.ones((1, N_ATOMS)))).all()


@every
def test_nan_stays_nan_and_a_penalty_on_the_whole_line_keeps_infinity(prior):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(prior.prox(np.array([[0.3, -5.0, np.nan]]))[0, 2])
        z = prior.prox(np.array([[np.inf, 0.2, -np.inf]]))
    assert not np.isnan(z).any()
    if not isinstance(prior, sc.TopK) and prior.support == "real":
        assert (z[0, 0], z[0, 2]) == (np.inf, -np.inf)


@every
def test_the_place_of_the_result_must_hold_it(prior):
    v = np.array([[0.3, -5.0, 2.0]])
    out = np.empty_like(v)
    assert prior.prox(v, out=out) is out
    np.testing.assert_array_equal(out, prior.prox(v))
    for wrong in (np.empty(v.shape, dtype=int), np.empty((2, 3)), [[0.0, 0.0, 0.0]]):
        with pytest.raises(sc.InputError, match=r"out has shape.*floating array.*\(1, 3\)"):
            prior.prox(v, out=wrong)


@pytest.mark.parametrize(
    "make", [lambda f: sc.ElasticNet(1, 1, f), lambda f: sc.SpikeSlab(1, 0, 0, f)]
)
def test_a_flag_is_true_or_false(make):
    assert make(np.bool_(True)).nonnegative is True
    for wrong in ("no", 1, None):
        with pytest.raises(sc.InputTypeError, match=r"\(nonnegative=...\) is .*True or False"):
            make(wrong)


# -- closed forms ---------------------------------------------------------------------------
LINE = np.linspace(-6, 6, 1201)


def test_soft_threshold_relu_clip_and_friends_by_hand():
    v = np.array([-3.0, -0.5, 0.0, 0.4, 1.0, 8.0])
    relu = np.maximum
    cases = [
        (sc.Laplace(0.5), np.sign(v) * relu(np.abs(v) - 0.5, 0)),
        (sc.Exponential(0.5), relu(v - 0.5, 0)),
        (sc.Exponential(-0.5), relu(v + 0.5, 0)),
        (sc.AsymmetricLaplace(1.0, 0.5), np.where(v < -1, v + 1, relu(v - 0.5, 0))),
        (sc.NonNegative(), relu(v, 0)),
        (sc.Gaussian(1.0), v / 2),
        (sc.HalfNormal(1.0), relu(v, 0) / 2),
        (sc.ElasticNet(0.5, 1.0), np.sign(v) * relu(np.abs(v) - 0.5, 0) / 2),
        (sc.ElasticNet(0.5, 1.0, nonnegative=True), relu(v - 0.5, 0) / 2),
        (sc.Uniform(-1.0, 1.0), np.clip(v, -1, 1)),
        (sc.TruncatedExponential(0.5, 6.0), np.clip(v - 0.5, 0, 6)),
        (sc.Huber(1.0, 0.5), np.where(np.abs(v) <= 1.5, v / 3, v - np.sign(v))),
        (sc.Gamma(0.5, 2.0), 0.5 * (v - 0.5 + np.sqrt((v - 0.5) ** 2 + 8))),
    ]
    for prior, expected in cases:
        assert np.abs(prior.prox(v) - expected).max() <= ROUNDING, prior


def test_a_soft_threshold_is_two_relus():
    positive = sc.Exponential(0.7)
    assert np.array_equal(sc.Laplace(0.7).prox(LINE), positive.prox(LINE) - positive.prox(-LINE))


@pytest.mark.parametrize("lam", [0.3, 1.7])
def test_lp_one_half_has_its_trigonometric_form(lam):
    above = np.abs(LINE) > 1.5 * lam ** (2 / 3) + 1e-9
    x = LINE[above]
    angle = np.arccos(lam / 4 * (np.abs(x) / 3) ** -1.5)
    expected = 2 / 3 * x * (1 + np.cos(2 * np.pi / 3 - 2 / 3 * angle))
    z = sc.Lp(lam, 0.5).prox(LINE)
    assert np.abs(z[above] - expected).max() <= ROUNDING
    assert not z[np.abs(LINE) < 1.5 * lam ** (2 / 3) - 1e-9].any()


@pytest.mark.parametrize("lam", [0.3, 1.7])
def test_lp_two_thirds_has_its_hyperbolic_form(lam):
    threshold = 2 * (2 * lam / 3) ** 0.75
    above = np.abs(LINE) > threshold + 1e-9
    x = np.abs(LINE[above])
    theta = np.arccosh(27 * x**2 / (16 * (2 * lam) ** 1.5))
    a = 2 / np.sqrt(3) * (2 * lam) ** 0.25 * np.sqrt(np.cosh(theta / 3))
    expected = np.sign(LINE[above]) * ((a + np.sqrt(2 * x / a - a**2)) / 2) ** 3
    z = sc.Lp(lam, 2 / 3).prox(LINE)
    assert np.abs(z[above] - expected).max() <= ROUNDING
    assert not z[np.abs(LINE) < threshold - 1e-9].any()


@pytest.mark.parametrize("lam", [0.3, 1.7])
def test_lp_four_thirds_three_halves_three_and_four_have_their_closed_forms(lam):
    x, size, sign = LINE, np.abs(LINE), np.sign(LINE)
    chi = np.sqrt(x**2 + 256 * lam**3 / 729)
    four_thirds = x + 4 * lam / (3 * 2 ** (1 / 3)) * (np.cbrt(chi - x) - np.cbrt(chi + x))
    three_halves = x + 9 / 8 * lam**2 * sign * (1 - np.sqrt(1 + 16 * size / (9 * lam**2)))
    cube = sign * (np.sqrt(1 + 12 * lam * size) - 1) / (6 * lam)
    chi = np.sqrt(x**2 + 1 / (27 * lam))
    fourth = np.cbrt((chi + x) / (8 * lam)) - np.cbrt((chi - x) / (8 * lam))
    for p, expected in ((4 / 3, four_thirds), (1.5, three_halves), (3.0, cube), (4.0, fourth)):
        assert np.abs(sc.Lp(lam, p).prox(LINE) - expected).max() <= ROUNDING, p


def test_lp_one_is_laplace_and_two_is_gaussian():
    assert np.abs(sc.Lp(0.7, 1.0).prox(LINE) - sc.Laplace(0.7).prox(LINE)).max() <= FEW_ULPS
    assert np.abs(sc.Lp(0.7, 2.0).prox(LINE) - sc.Gaussian(1.4).prox(LINE)).max() <= ROUNDING


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_lp_jumps_to_its_threshold_height(p):
    lam = 0.8
    height = (2 * lam * (1 - p)) ** (1 / (2 - p))
    threshold = height + lam * p * height ** (p - 1)
    below, above = sc.Lp(lam, p).prox(np.array([threshold - 1e-9, threshold + 1e-9]))
    assert (
        below == 0 and abs(above - height) <= 1e-6
    )  # the slope there is finite: 1e-9 moves it less


def largest_jump(prior, reach=8.0):
    """Largest step of the prox between neighbours 1e-4 apart; slopes in these tests are < 60."""
    z = prior.prox(np.linspace(0, reach, int(reach * 1e4) + 1))
    return np.diff(z).max()


def test_student_t_is_unique_if_and_only_if_c_is_at_most_four_gamma_squared():
    gamma = 0.9
    for factor, unique in ((0.2, True), (0.95, True), (1.05, False), (2.0, False)):
        c = 4 * gamma**2 * factor
        counts = [
            np.sum(np.abs(np.roots([1, -v, gamma**2 + 2 * c, -v * gamma**2]).imag) < 1e-9)
            for v in np.linspace(4, 9, 401)  # where the curve folds, at z = sqrt(3) gamma
        ]
        assert (max(counts) == 1) == unique
        assert (largest_jump(sc.StudentT(c, gamma)) < 0.01) == unique


def test_student_t_solves_its_cubic_and_never_gives_exact_zeros():
    for c, gamma in ((1.0, 1.0), (6.0, 0.7)):
        z = sc.StudentT(c, gamma).prox(LINE)
        cubic = z**3 - LINE * z**2 + (gamma**2 + 2 * c) * z - LINE * gamma**2
        assert np.abs(cubic).max() <= ROUNDING * 1e3  # a cubic of numbers up to 6
        assert (z[np.abs(LINE) > 1e-9] != 0).all()


def test_log_sum_is_continuous_if_and_only_if_root_lam_is_at_most_eps():
    eps = 0.8
    for factor, continuous in ((0.5, True), (0.98, True), (1.02, False), (3.0, False)):
        prior = sc.LogSum((factor * eps) ** 2, eps)
        assert (largest_jump(prior) < 0.02) == continuous
    below = np.linspace(0, 0.25 / 0.8, 50)
    assert not sc.LogSum(0.25, 0.8).prox(below).any()  # zero exactly up to lam / eps
    assert sc.LogSum(0.25, 0.8).prox(np.array([0.25 / 0.8 + 1e-6])) > 0


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_mcp_is_a_hard_threshold_for_gamma_up_to_one(gamma):
    threshold = 0.9 * np.sqrt(gamma)
    z = sc.MCP(0.9, gamma).prox(LINE)
    far = np.abs(np.abs(LINE) - threshold) > 1e-9
    assert np.array_equal(z[far], np.where(np.abs(LINE) > threshold, LINE, 0)[far])


def test_mcp_is_a_firm_threshold_for_gamma_above_one():
    lam, g, size = 0.9, 2.5, np.abs(LINE)
    firm = np.sign(LINE) * g / (g - 1) * np.maximum(size - lam, 0)
    expected = np.where(size <= g * lam, firm, LINE)
    assert np.abs(sc.MCP(lam, g).prox(LINE) - expected).max() <= ROUNDING


def test_scad_has_its_three_pieces():
    lam, a, size, sign = 0.9, 3.7, np.abs(LINE), np.sign(LINE)
    soft = sign * np.maximum(size - lam, 0)
    middle = ((a - 1) * LINE - sign * a * lam) / (a - 2)
    expected = np.where(size <= 2 * lam, soft, np.where(size <= a * lam, middle, LINE))
    assert np.abs(sc.SCAD(lam, a).prox(LINE) - expected).max() <= ROUNDING


@pytest.mark.parametrize(
    "kappa, lam, alpha", [(0.5, 0, 0), (0.5, 0.4, 0), (0.5, 0, 2), (0.3, 0.4, 2)]
)
def test_spike_and_slab_switches_on_at_its_threshold(kappa, lam, alpha):
    threshold = lam + np.sqrt(2 * kappa * (1 + alpha))
    v = threshold + np.array([-1e-9, 1e-9])
    for nonnegative in (False, True):
        off, on = sc.SpikeSlab(kappa, lam, alpha, nonnegative).prox(v)
        assert off == 0 and abs(on - (v[1] - lam) / (1 + alpha)) <= ROUNDING
    assert sc.SpikeSlab(kappa, lam, alpha).prox(-v)[1] < 0
    assert not sc.SpikeSlab(kappa, lam, alpha, nonnegative=True).prox(-v).any()


def test_values_by_hand():
    z = np.array([[-2.0, 0.5]])
    cases = [
        (sc.Laplace([1.0, 2.0]), 3.0),
        (sc.Exponential(1.0), np.inf),
        (sc.AsymmetricLaplace(0.5, 2.0), 2.0),
        (sc.NonNegative(), np.inf),
        (sc.Gaussian(2.0), 4.25),
        (sc.ElasticNet(1.0, 2.0), 6.75),
        (sc.Uniform(-2.0, 0.5), 0.0),
        (sc.Uniform(-1.0, 0.5), np.inf),
        (sc.Huber(1.0, 1.0), 1.5 + 0.125),
        (sc.StudentT(1.0, 1.0), np.log(5) + np.log(1.25)),
        (sc.SpikeSlab(1.0, 2.0, 2.0), 2 + 5 + 4.25),
        (sc.LogSum(1.0, 0.5), np.log(5) + np.log(2)),
        (sc.SCAD(1.0, 3.0), (12 - 4 - 1) / 4 + 0.5),
        (sc.MCP(1.0, 2.0), 1.0 + 0.5 - 0.0625),
        (sc.Lp(1.0, 3.0), 8.125),
        (sc.GroupLaplace(2.0, [0, 0]), 2 * np.sqrt(4.25)),
        (sc.TopK(1), np.inf),
        (sc.TopK(2), 0.0),
    ]
    for prior, expected in cases:
        assert prior.value(z)[0] == pytest.approx(expected, abs=FEW_ULPS * 10), prior
    positive = np.array([[2.0, 0.5]])
    assert sc.Gamma(1.0, 2.0).value(positive)[0] == pytest.approx(2.5, abs=ROUNDING)  # log 1 = 0
    assert sc.TruncatedExponential(-1.0, 2.0).value(positive)[0] == -2.5
    assert np.isinf(sc.TruncatedExponential(-1.0, 1.9).value(positive)[0])
    assert np.isinf(sc.Gamma(1.0, 2.0).value(np.array([[0.0, 1.0]]))[0])


# -- predicates -----------------------------------------------------------------------------
#: prior -> convex, nonnegative, sparse, proper, homogeneous, each decided by hand
PREDICATES = [
    (sc.Laplace(1.0), "convex sparse proper homogeneous"),
    (sc.Laplace(0.0), "convex homogeneous"),
    (sc.Laplace([0.0, 1.0, 1.0]), "convex sparse homogeneous"),
    (sc.Exponential(1.0), "convex nonnegative sparse proper homogeneous"),
    (sc.Exponential(-1.0), "convex nonnegative sparse homogeneous"),
    (sc.Exponential([1.0, 0.0, 1.0]), "convex nonnegative sparse homogeneous"),
    (sc.AsymmetricLaplace(1.0, 2.0), "convex sparse proper homogeneous"),
    (sc.AsymmetricLaplace(-1.0, 2.0), "convex sparse homogeneous"),
    (sc.AsymmetricLaplace(-1.0, 1.0), "convex homogeneous"),
    (sc.NonNegative(), "convex nonnegative sparse homogeneous"),
    (sc.Gaussian(1.0), "convex proper"),
    (sc.Gaussian(0.0), "convex"),
    (sc.HalfNormal(1.0), "convex nonnegative sparse proper"),
    (sc.ElasticNet(1.0, 1.0), "convex sparse proper"),
    (sc.ElasticNet(0.0, 1.0), "convex proper"),
    (sc.ElasticNet(0.0, 1.0, nonnegative=True), "convex nonnegative sparse proper"),
    (sc.ElasticNet(0.0, 0.0), "convex"),
    (sc.Uniform(-1.0, 1.0), "convex proper"),
    (sc.Uniform(0.0, 1.0), "convex nonnegative sparse proper"),
    (sc.TruncatedExponential(-1.0, 1.0), "convex nonnegative sparse proper"),
    (sc.Huber(1.0, 1.0), "convex proper"),
    (sc.Gamma(1.0, 1.0), "convex nonnegative proper"),
    (sc.Gamma(0.0, 1.0), "convex nonnegative"),
    (sc.StudentT(1.0, 1.0), "proper"),
    (sc.StudentT(0.5, 1.0), ""),  # (1 + z^2)^(-1/2) has no finite integral
    (sc.SpikeSlab(1.0), "sparse"),
    (sc.SpikeSlab(1.0, 1.0), "sparse proper"),
    (sc.SpikeSlab(1.0, 0.0, 1.0, nonnegative=True), "nonnegative sparse proper"),
    (sc.LogSum(2.0, 1.0), "sparse proper"),
    (sc.LogSum(1.0, 1.0), "sparse"),  # 1 / (1 + |z|) has no finite integral
    (sc.SCAD(1.0, 3.7), "sparse"),
    (sc.MCP(1.0, 2.0), "sparse"),
    (sc.Lp(1.0, 0.5), "sparse proper"),
    (sc.Lp(1.0, 1.0), "convex sparse proper homogeneous"),
    (sc.Lp(1.0, 1.5), "convex proper"),
    (sc.GroupLaplace(1.0, [0, 1, 1]), "convex sparse proper homogeneous coupled"),
    (sc.GroupLaplace(0.0, [0, 1, 1]), "convex homogeneous coupled"),
    (sc.TopK(1), "sparse coupled"),
]


@pytest.mark.parametrize("prior, words", PREDICATES, ids=lambda value: repr(value)[:40])
def test_predicates_say_what_the_penalty_is(prior, words):
    expected = set(words.split())
    for name in ("convex", "nonnegative", "sparse", "proper", "homogeneous"):
        answer = getattr(prior, f"is_{name}")
        assert isinstance(answer, bool), name
        assert answer == (name in expected), name
    assert prior.is_separable == ("coupled" not in expected)


def test_every_prior_of_the_package_stands_in_the_examples_twice():
    names = [type(p).__name__ for p in PRIORS]
    classes = {n for n in sc.__all__ if isinstance(getattr(sc, n), type)}
    priors = {n for n in classes if issubclass(getattr(sc, n), sc.Prior)} - {"Prior"}
    # NonNegative has no parameter; formulas have their own examples in test_symbolic
    assert {n for n in priors if names.count(n) < 2} <= {"NonNegative", "SymbolicPrior"}


# -- alignment ------------------------------------------------------------------------------
def test_one_rate_per_atom_aligns_with_the_first_axis_after_the_batch():
    lam = np.array([0.1, 0.5, 1.5])
    v = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    whole = sc.Laplace(lam).prox(v)
    for k in range(3):
        assert np.array_equal(whole[:, k], sc.Laplace(lam[k]).prox(v[:, k]))
    dense = sc.Laplace(lam).prox(v[:, :, 0, 0])
    assert np.array_equal(dense, whole[:, :, 0, 0])


def test_a_rate_for_every_coefficient_of_one_sample():
    rng = np.random.default_rng(1)
    lam, v = rng.uniform(0.1, 2, (3, 2, 4)), rng.standard_normal((5, 3, 2, 4))
    whole = sc.Exponential(lam).prox(v)
    assert np.array_equal(whole, np.maximum(v - lam, 0))
    value = sc.Exponential(lam).value(np.abs(v))
    assert np.abs(value - (lam * np.abs(v)).sum(axis=(1, 2, 3))).max() <= ROUNDING
    gradient = sc.Exponential(lam).prox_vjp(v, 1.0, np.ones_like(v))[1]["lam"]
    assert np.array_equal(gradient, -(whole > 0).sum(axis=0))


def test_a_batch_as_large_as_the_atoms_is_still_a_batch():
    v = np.random.default_rng(2).standard_normal((3, 3))
    lam = np.array([0.1, 0.5, 1.5])
    assert np.array_equal(sc.Laplace(lam).prox(v)[1], sc.Laplace(lam).prox(v[1:2])[0])


def test_codes_without_their_batch_axis_are_refused_and_a_batch_axis_of_rates_too():
    for rates, codes in (((4, 3), (4, 3)), ((1, 4, 3), (1, 4, 3)), ((1, 4), (1, 4))):
        prior = sc.Laplace(np.ones(rates))
        for method in (prior.value, prior.prox, prior.conjugate, prior.dual_domain):
            with pytest.raises(sc.InputError, match="lam has shape"):
                method(np.ones(codes))
    assert sc.Laplace(np.ones(3)).value(np.ones(3)) == 3  # one sample of a dense code is allowed


@pytest.mark.parametrize(
    "prior", [sc.Laplace(0.5), sc.StudentT(0.5, 1.0), sc.GroupLaplace(0.5, [0, 0, 1]), sc.TopK(1)]
)
def test_a_derivative_takes_one_step(prior):
    v = np.ones((2, 3))
    with pytest.raises(sc.InputError, match=r"step has shape \(2, 1\); expected one number"):
        prior.prox_vjp(v, np.ones((2, 1)), v)
    assert np.shape(prior.prox_vjp(v, np.float32(0.5), v)[1]["step"]) == ()


def test_a_parameter_without_its_scaling_is_refused_when_the_class_is_made():
    with pytest.raises(sc.InputTypeError, match=r"Forgetful\._scaling .* parameter 'width'"):

        class Forgetful(sc.Laplace):
            width: float = 1.0


@every_separable
def test_rates_that_do_not_fit_the_codes_are_refused_by_name(prior):
    arrays = [n for n, p in prior.parameters.items() if isinstance(p, np.ndarray)]
    for shape in ((2, 4), (2, 4, 3), (2,)):
        if arrays:
            with pytest.raises(sc.InputError, match=arrays[0]):
                prior.prox(np.ones(shape))
        else:
            assert prior.prox(np.ones(shape)).shape == shape


def test_parameters_are_copied_and_frozen():
    lam = np.array([0.1, 0.2])
    prior = sc.Exponential(lam)
    lam[0] = 9
    assert prior.lam[0] == 0.1
    with pytest.raises(ValueError):
        prior.lam[0] = 1
    with pytest.raises(AttributeError):
        prior.lam = 1


# -- bad input ------------------------------------------------------------------------------
GOOD = {
    sc.Laplace: dict(lam=1.0),
    sc.Exponential: dict(lam=1.0),
    sc.AsymmetricLaplace: dict(lam_minus=1.0, lam_plus=1.0),
    sc.Gaussian: dict(alpha=1.0),
    sc.HalfNormal: dict(alpha=1.0),
    sc.ElasticNet: dict(lam=1.0, alpha=1.0),
    sc.Uniform: dict(low=-1.0, high=1.0),
    sc.TruncatedExponential: dict(lam=1.0, high=1.0),
    sc.Huber: dict(lam=1.0, delta=1.0),
    sc.Gamma: dict(lam=1.0, mu=1.0),
    sc.StudentT: dict(c=1.0, gamma=1.0),
    sc.SpikeSlab: dict(kappa=1.0, lam=1.0, alpha=1.0),
    sc.LogSum: dict(lam=1.0, eps=1.0),
    sc.SCAD: dict(lam=1.0, a=3.0),
    sc.MCP: dict(lam=1.0, gamma=1.0),
    sc.Lp: dict(lam=1.0, p=1.0),
    sc.GroupLaplace: dict(lam=1.0, groups=[0, 1]),
}
PARAMETERS = [(c, name) for c, values in GOOD.items() for name in values if name != "groups"]
MAY_BE_NEGATIVE = {
    (sc.Exponential, "lam"),
    (sc.AsymmetricLaplace, "lam_minus"),
    (sc.AsymmetricLaplace, "lam_plus"),
    (sc.TruncatedExponential, "lam"),
    (sc.Uniform, "low"),
    (sc.Uniform, "high"),
}
MUST_BE_POSITIVE = [
    (sc.TruncatedExponential, "high"),
    (sc.Huber, "delta"),
    (sc.Gamma, "mu"),
    (sc.StudentT, "gamma"),
    (sc.LogSum, "eps"),
    (sc.MCP, "gamma"),
    (sc.Lp, "p"),
]


@pytest.mark.parametrize("cls, name", PARAMETERS, ids=lambda v: getattr(v, "__name__", v))
def test_a_parameter_that_is_no_finite_number_is_refused_by_name(cls, name):
    for bad in (np.nan, np.inf, -np.inf, [0.5, np.nan], []):
        with pytest.raises(sc.InputError, match=name):
            cls(**{**GOOD[cls], name: bad})
    masked = np.ma.masked_array([1.0, 2.0], mask=[0, 1])
    for bad in ("0.5", ["a", "b"], 1j, None, True, object(), [[1.0], [1.0, 2.0]], masked):
        with pytest.raises(sc.InputTypeError, match=name):
            cls(**{**GOOD[cls], name: bad})


@pytest.mark.parametrize("cls, name", PARAMETERS, ids=lambda v: getattr(v, "__name__", v))
def test_negative_parameters_are_refused_where_the_prior_does_not_allow_them(cls, name):
    for bad in (-0.5, [0.5, -0.5]):
        if (cls, name) in MAY_BE_NEGATIVE:
            assert np.min(getattr(cls(**{**GOOD[cls], name: bad}), name)) == -0.5
        else:
            with pytest.raises(sc.InputError, match=f"{name}|low < high"):
                cls(**{**GOOD[cls], name: bad})


@pytest.mark.parametrize("cls, name", MUST_BE_POSITIVE, ids=lambda v: getattr(v, "__name__", v))
def test_zero_is_refused_where_a_parameter_must_be_positive(cls, name):
    with pytest.raises(sc.InputError, match=name):
        cls(**{**GOOD[cls], name: 0.0})


def test_inconsistent_parameters_are_refused():
    for build in (
        lambda: sc.AsymmetricLaplace(0.5, -0.6),
        lambda: sc.Uniform(1.0, 1.0),
        lambda: sc.Uniform([0.0, 2.0], 1.0),
        lambda: sc.SCAD(1.0, 2.0),
        lambda: sc.GroupLaplace([1.0, 2.0, 3.0], [0, 1, 1]),
        lambda: sc.GroupLaplace(1.0, [[0, 1], [1, 2]]),
        lambda: sc.GroupLaplace(1.0, []),
        lambda: sc.GroupLaplace(1.0, [0.5, 1.0]),
        lambda: sc.TopK(0),
    ):
        with pytest.raises(sc.InputError):
            build()
    for k in (1.5, "2", True, None):
        with pytest.raises(sc.InputTypeError, match="k"):
            sc.TopK(k)


@every
def test_codes_that_are_no_real_numbers_are_refused(prior):
    masked = np.ma.masked_array(np.ones((2, N_ATOMS)), mask=np.eye(2, N_ATOMS))
    for bad in (masked, np.ones((2, N_ATOMS)) * 1j, np.full((2, N_ATOMS), "a")):
        with pytest.raises((sc.InputTypeError, TypeError)):
            prior.prox(bad)


# -- arrays of other kinds ------------------------------------------------------------------
@pytest.mark.share(2)
@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_prox_and_vjp_follow_the_array_api_standard(prior, dtype):
    rng = np.random.default_rng(0)
    v, grad = (rng.standard_normal((2, 5, N_ATOMS)) * 2).astype(dtype)
    strict_v, strict_grad = array_api_strict.asarray(v), array_api_strict.asarray(grad)
    tolerance = ROUNDING if dtype == "float64" else SINGLE
    z = prior.prox(strict_v, 0.7)
    dv, dparams = prior.prox_vjp(strict_v, 0.7, strict_grad)
    expected_dv, expected = prior.prox_vjp(v, 0.7, grad)
    pairs = [(z, prior.prox(v, 0.7)), (dv, expected_dv)]
    pairs += [(prior.value(z), prior.value(prior.prox(v, 0.7)))]
    pairs += [(dparams[name], expected[name]) for name in expected]
    for strict, plain in pairs:
        assert isinstance(strict, type(strict_v))
        np.testing.assert_allclose(np.asarray(strict), plain, rtol=tolerance, atol=tolerance)
    assert z.dtype == strict_v.dtype and dv.dtype == strict_v.dtype


@every
def test_float32_codes_stay_float32_and_close_to_float64(prior):
    v = np.random.default_rng(3).standard_normal((50, N_ATOMS)) * 2
    for step in (0.7, np.float64(0.7), np.float32(0.7)):
        single = prior.prox(v.astype(np.float32), step)
        assert single.dtype == np.float32
        assert np.abs(single - prior.prox(v.astype(np.float32).astype(float), step)).max() <= SINGLE


@every
def test_lists_and_integers_are_read_as_float64(prior):
    z = prior.prox([[1, -2, 3]])
    assert z.dtype == np.float64
    assert np.array_equal(z, prior.prox(np.array([[1.0, -2.0, 3.0]])))


@given(st.sampled_from(PRIORS), points(3), st.integers(-8, 8))
def test_a_prior_in_other_units_gives_the_same_code(prior, v, exponent):
    s = 2.0**exponent
    again = s * prior.scaled(s).prox(v / s)
    energy, other = (
        0.5 * ((v - z) ** 2).sum(axis=1) + prior.value(z) for z in (prior.prox(v), again)
    )
    assert (np.abs(energy - other) <= 10 * PROX_EXCESS * (1 + np.abs(energy))).all()


@every
def test_extreme_units_keep_parameters_finite(prior):
    for s in (1e-200, 1e200):
        for value in prior.scaled(s).parameters.values():
            assert np.isfinite(value).all()
            assert np.shape(value) in {np.shape(p) for p in prior.parameters.values()}
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(sc.InputError, match="s is"):
            prior.scaled(bad)


@every
def test_the_name_of_a_prior_shows_its_parameters(prior):
    text = repr(prior)
    assert text.startswith(type(prior).__name__)
    assert all(name in text for name in prior.parameters)


# -- parameters, as scikit-learn asks for them ----------------------------------------------
@pytest.mark.parametrize("prior", [*PRIORS, sc.SymbolicPrior("lam*abs(z)", lam=0.3)], ids=name_of)
def test_a_prior_is_what_its_parameters_make_and_stays_so(prior):
    params = prior.get_params()
    v = np.linspace(-4.0, 4.0, 3 * 8).reshape(8, 3)
    np.testing.assert_array_equal(type(prior)(**params).prox(v), prior.prox(v))
    assert clone(prior) is prior
    for name in prior.parameters:
        before, changed = prior.prox(v), prior.set_params(**{name: params[name] * 1.5})
        assert type(changed) is type(prior)
        np.testing.assert_equal(changed.get_params(), {**params, name: params[name] * 1.5})
        np.testing.assert_equal(prior.get_params(), params)
        np.testing.assert_array_equal(prior.prox(v), before)
    with pytest.raises(sc.InputError, match=f"{type(prior).__name__} has no parameter 'rate'"):
        prior.set_params(rate=1.0)


def test_no_sample_at_all_has_a_prox_too():
    for prior in (sc.TopK(3), sc.Laplace(0.1)):
        assert prior.prox(np.zeros((0, 5))).shape == (0, 5)
        assert prior.value(np.zeros((0, 5))).shape == (0,)


def test_without_a_dead_zone_the_slope_at_zero_is_the_gain():
    for alpha, gain in ((0.0, 1.0), (0.5, 0.5)):
        prior = sc.SpikeSlab(0.0, 0.0, alpha)
        slope, _ = prior.prox_vjp(np.zeros((1, 1)), 2.0, np.ones((1, 1)))
        assert slope[0, 0] == gain
    assert sc.SpikeSlab(0.1).prox_vjp(np.zeros((1, 1)), 1.0, np.ones((1, 1)))[0][0, 0] == 0
