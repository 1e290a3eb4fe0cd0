"""Data of any size: codes scale with it, certificates stay right, and nothing warns."""

import warnings

import numpy as np
import pytest
from strategies import N_ATOMS, name_of
from strategies import PRIORS as EXAMPLES
from tolerances import UNITS

import sparsecnn as sc

#: the relative gap asked for
GAP = 1e-8

WIDE = sc.Dictionary.random(10, 7, random_state=0)
CONV = sc.ConvDictionary.random(2, 3, (5, 5), n_channels=1, padding="circular", random_state=1)
ORTHONORMAL = sc.Dictionary.orthonormal(7, random_state=2)
X = np.random.default_rng(3).standard_normal((3, 7))
IMAGES = np.random.default_rng(4).standard_normal((3, 1, 5, 5))

#: priors of codes in units of s, written out by hand: which parameter carries which unit
PRIORS = {
    "Laplace": lambda s: sc.Laplace(0.3 * s),
    "Exponential": lambda s: sc.Exponential(0.3 * s),
    "Exponential per atom": lambda s: sc.Exponential(np.linspace(0.1, 0.5, 10) * s),
    "AsymmetricLaplace": lambda s: sc.AsymmetricLaplace(0.2 * s, 0.5 * s),
    "HalfNormal": lambda s: sc.HalfNormal(0.4),
    "ElasticNet": lambda s: sc.ElasticNet(0.2 * s, 0.3),
    "Uniform": lambda s: sc.Uniform(-0.2 * s, 0.5 * s),
    "TruncatedExponential": lambda s: sc.TruncatedExponential(0.2 * s, 0.7 * s),
    "TruncatedExponential negative": lambda s: sc.TruncatedExponential(-0.2 * s, 0.7 * s),
    "Huber": lambda s: sc.Huber(0.3 * s, 0.2 * s),
    "GroupLaplace": lambda s: sc.GroupLaplace(0.4 * s, np.arange(10) // 2),
    "Lp(1)": lambda s: sc.Lp(0.3 * s, 1.0),
    "SCAD": lambda s: sc.SCAD(0.3 * s, 3.7),
    "MCP": lambda s: sc.MCP(0.3 * s, 3.0),
    "TopK": lambda s: sc.TopK(2),
}
SCALES = [1e200, 1e300, 1e150, 1e-150, 1e-200, 1e-300]


def silently(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*args, **kwargs)


def expected_energy(reference, s):
    """``s^2`` times the energies, inf or 0 where that leaves the floats."""
    with np.errstate(over="ignore", under="ignore"):
        return (reference * s) * s


@pytest.mark.share(4)
@pytest.mark.parametrize("s", SCALES)
@pytest.mark.parametrize("name", PRIORS)
def test_codes_scale_with_the_data(name, s):
    small = sc.SparseCodingProblem(X, WIDE, PRIORS[name](1.0))
    reference = sc.solve(small, tol=GAP, max_iter=50_000)
    problem = silently(sc.SparseCodingProblem, X * s, WIDE, PRIORS[name](s))
    solution = silently(sc.solve, problem, tol=GAP, max_iter=50_000)
    np.testing.assert_allclose(solution.codes / s, reference.codes, atol=1e-6)
    assert solution.converged.all()
    if small.prior.is_convex:
        assert solution.gap.max() <= GAP
        inside = small.prior.prox(solution.codes / s, 1e-15)  # division may leave a box by one ulp
        in_units = small.relative_gap(inside)  # certified again, at order one
        np.testing.assert_allclose(in_units, solution.gap, atol=1e-12)
    scaled_back = expected_energy(small.objective(small.prior.prox(solution.codes / s, 1e-15)), s)
    np.testing.assert_allclose(solution.objective, scaled_back, rtol=UNITS)
    assert not np.isnan(solution.objective).any()


@pytest.mark.parametrize("s", [1e200, 1e-200])
def test_a_convolutional_model_scales_too(s):
    reference = sc.solve(sc.SparseCodingProblem(IMAGES, CONV, sc.Exponential(0.2)), tol=GAP)
    problem = sc.SparseCodingProblem(IMAGES * s, CONV, sc.Exponential(0.2 * s))
    solution = silently(sc.solve, problem, tol=GAP)
    np.testing.assert_allclose(solution.codes / s, reference.codes, atol=1e-6)
    assert solution.gap.max() <= GAP


@pytest.mark.parametrize("s", [1e30, 1e-30])
@pytest.mark.parametrize("name", ["Laplace", "Exponential", "ElasticNet", "HalfNormal", "Huber"])
def test_float32_data_scale_within_their_narrow_range(name, s):
    reference = sc.solve(sc.SparseCodingProblem(X, WIDE, PRIORS[name](1.0)), tol=GAP)
    x = (X * s).astype(np.float32)
    problem = sc.SparseCodingProblem(x, WIDE, PRIORS[name](s))
    solution = silently(sc.solve, problem, tol=1e-6)
    assert solution.codes.dtype == np.float32 and solution.converged.all()
    np.testing.assert_allclose(solution.codes.astype(float) / s, reference.codes, atol=2e-3)
    np.testing.assert_allclose(solution.objective, reference.objective * s * s, rtol=1e-5)


@pytest.mark.parametrize(
    "solver",
    [
        sc.FISTA(GAP),
        sc.ISTA(1e-6, 50_000),
        sc.LCA(1e-6, 50_000),
        sc.CoordinateDescent(GAP, 5000),
        sc.ForwardTransform(),
        sc.ForwardTransform(calibrate=True),
        sc.Unrolled(5),
    ],
)
@pytest.mark.parametrize("s", [1e200, 1e-200])
def test_every_solver_scales(solver, s):
    def code(unit):
        problem = sc.SparseCodingProblem(X * unit, WIDE, sc.Exponential(0.3 * unit))
        return silently(solver.solve, problem)

    one, other = code(1.0), code(s)
    np.testing.assert_allclose(other.codes / s, one.codes, atol=1e-7)
    np.testing.assert_allclose(other.gap, one.gap, atol=1e-7)
    np.testing.assert_array_equal(other.n_iter, one.n_iter)


def test_one_batch_may_hold_samples_of_all_sizes():
    """Each sample's code is the one it has alone: the rate matters to its own scale only."""
    sizes = np.array([1e200, 1.0, 1e-300, 1e-200, 1e100, 30.0, 0.0, 1e300])
    x = np.random.default_rng(5).standard_normal((8, 7)) * sizes[:, None]
    problem = sc.SparseCodingProblem(x, ORTHONORMAL, sc.Exponential(0.3))
    solution = silently(sc.ForwardTransform().solve, problem)
    expected = np.array([np.maximum(ORTHONORMAL.analyze(row[None])[0] - 0.3, 0) for row in x])
    np.testing.assert_allclose(solution.codes, expected, rtol=1e-12, atol=1e-15)
    assert solution.residual.max() < 1e-13
    # a rate below the rounding of its data (0.3 against 1e100) leaves the dual no room: the gap is
    # a valid bound there, but a loose one
    felt = sizes < 1e12
    assert solution.gap[felt].max() < 1e-13 and solution.converged[felt].all()
    np.testing.assert_array_equal(solution.converged, solution.gap <= 1e-6)
    assert np.isinf(solution.objective[[0, 7]]).all()
    assert np.isfinite(solution.objective[1:7]).all()
    wide = sc.SparseCodingProblem(x, WIDE, sc.Laplace(0.3))
    together = silently(sc.FISTA(1e-6, 100_000).solve, wide)
    assert together.converged.all()
    assert not together.codes[[2, 3, 6]].any()  # far below the rate: the zero code
    for i in (0, 1, 4, 5, 7):
        alone = silently(sc.FISTA(1e-6, 100_000).solve, wide.subset(slice(i, i + 1)))
        np.testing.assert_allclose(alone.codes[0], together.codes[i], rtol=1e-9)
        assert alone.n_iter[0] == together.n_iter[i]


def test_mixed_samples_of_a_scale_free_model_are_scaled_copies():
    tall = sc.Dictionary.random(5, 7, random_state=6)
    sizes = np.array([1e200, 1.0, 1e-300, 1e-150, 1e30])
    row = np.random.default_rng(7).standard_normal(7)
    problem = sc.SparseCodingProblem(sizes[:, None] * row, tall, sc.NonNegative())
    solution = silently(sc.solve, problem, tol=1e-13)
    for codes, size in zip(solution.codes, sizes, strict=True):
        np.testing.assert_allclose(codes / size, solution.codes[1], atol=1e-6)
    np.testing.assert_allclose(solution.gap, 0, atol=1e-13)


def test_a_warm_start_of_the_scaled_problem_is_scaled_with_it():
    for s in (1e200, 1e-200):
        problem = sc.SparseCodingProblem(X * s, WIDE, sc.Laplace(0.3 * s))
        first = sc.FISTA(1e-9, 20_000).solve(problem)
        again = silently(sc.FISTA(1e-8).solve, problem, first.codes)
        assert (again.n_iter == 1).all()


def test_a_tiny_signal_under_a_negative_rate_gets_the_code_the_rate_asks_for():
    x = X * np.array([1e-300, 1e-100, 1.0])[:, None]
    for lam in (-0.2, -1e150):
        problem = sc.SparseCodingProblem(x, ORTHONORMAL, sc.Exponential(lam))
        solution = silently(sc.solve, problem)
        expected = np.maximum(ORTHONORMAL.analyze(x) - lam, 0)
        np.testing.assert_allclose(solution.codes, expected, rtol=1e-12)
        assert solution.converged.all() and solution.gap.max() < 1e-12


@pytest.mark.parametrize("s", [1e-40, 1e-20, 1e-8, 1e8, 1e20, 1e40])
def test_a_gap_without_positive_rates_is_as_sharp_for_any_size_of_data(s):
    """Sizes that are not rescaled: the dual interior point has to follow the data."""
    atoms = sc.Dictionary(np.abs(np.random.default_rng(9).standard_normal((6, 7))))
    for prior in (
        lambda s: sc.NonNegative(),
        lambda s: sc.Exponential(np.r_[0, np.full(5, 0.1 * s)]),
    ):
        one = sc.solve(sc.SparseCodingProblem(X, atoms, prior(1.0)), tol=GAP, max_iter=100_000)
        other = sc.solve(sc.SparseCodingProblem(X * s, atoms, prior(s)), tol=GAP, max_iter=100_000)
        assert other.certificate == one.certificate == "relative duality gap"
        assert other.converged.all() and other.gap.max() <= GAP
        np.testing.assert_allclose(other.objective / s**2, one.objective, rtol=1e-7)


def test_masked_problems_scale():
    mask = np.random.default_rng(8).random(X.shape) < 0.7
    reference = sc.solve(sc.SparseCodingProblem(X, WIDE, sc.Laplace(0.3), mask), tol=GAP)
    for s in (1e200, 1e-200):
        problem = sc.SparseCodingProblem(
            np.where(mask, X * s, np.nan), WIDE, sc.Laplace(0.3 * s), mask
        )
        solution = silently(sc.solve, problem, tol=GAP)
        np.testing.assert_allclose(solution.codes / s, reference.codes, atol=1e-6)
        assert solution.gap.max() <= GAP


def test_negative_rates_scale_with_their_dual_interior():
    atoms = np.abs(np.random.default_rng(9).standard_normal((6, 7)))
    lam = np.array([-0.2, 0.1, 0.3, -0.1, 0.2, 0.1])
    one = sc.SparseCodingProblem(X, sc.Dictionary(atoms), sc.Exponential(lam))
    reference = sc.solve(one, tol=GAP, max_iter=100_000)
    for s in (1e200, 1e-200):
        problem = sc.SparseCodingProblem(X * s, sc.Dictionary(atoms), sc.Exponential(lam * s))
        solution = silently(sc.solve, problem, tol=GAP, max_iter=100_000)
        assert solution.gap.max() <= GAP
        np.testing.assert_allclose(
            one.objective(solution.codes / s), reference.objective, rtol=1e-7
        )
        assert not np.isnan(solution.objective).any()


def test_objectives_alone_overflow_to_infinity_without_a_warning():
    problem = sc.SparseCodingProblem(X * 1e200, WIDE, sc.Laplace(1.0))
    zero = np.zeros(problem.shape)
    assert np.isinf(silently(problem.objective, zero)).all()
    assert np.isfinite(silently(problem.relative_gap, zero)).all()
    assert silently(problem.relative_gap, zero).max() <= 1.0


@pytest.mark.parametrize("scale", [1e12, 1e30, 1e200])
@pytest.mark.parametrize("dictionary", [sc.Dictionary.dct(16), sc.Dictionary.random(24, 16, 0)])
def test_a_rate_that_drowns_in_the_datas_rounding_is_still_certified(dictionary, scale):
    x = scale * np.random.default_rng(0).standard_normal((6, 16))
    solution = sc.solve(sc.SparseCodingProblem(x, dictionary, sc.Exponential(0.1)))
    assert solution.converged.all()


@pytest.mark.share(4)
@pytest.mark.parametrize("s", [1e-300, 1e-160, 1e200])
@pytest.mark.parametrize("prior", EXAMPLES, ids=name_of)
def test_parameters_of_order_one_meet_data_of_any_size(prior, s):
    dictionary = sc.Dictionary.random(N_ATOMS, 4, random_state=0)
    problem = sc.SparseCodingProblem(s * X[:2, :4], dictionary, prior)
    solver = sc.FISTA(1e-6, 20) if prior.is_convex else sc.ISTA(1e-6, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", sc.ConvergenceWarning)  # 20 steps need not be enough
        solution = solver.solve(problem)
    assert np.isfinite(solution.codes).all()
    if prior.is_convex:
        assert not np.isnan(solution.gap).any()


def test_a_student_t_prior_keeps_its_curvature_in_units_far_below_its_width():
    x = 1e-300 * X
    prior = sc.StudentT(1.0, 2.0)  # at codes near 0: c z^2 / gamma^2, a Gaussian with alpha = 1/2
    solution = silently(sc.solve, sc.SparseCodingProblem(x, ORTHONORMAL, prior))
    expected = ORTHONORMAL.analyze(x) / 1.5
    np.testing.assert_allclose(solution.codes, expected, rtol=UNITS)


@pytest.mark.parametrize("lam", [1e200, np.full(10, 1e200)], ids=["number", "per atom"])
def test_a_rate_beyond_float32_silences_float32_data(lam):
    problem = sc.SparseCodingProblem(X.astype(np.float32), WIDE, sc.Exponential(lam))
    solution = silently(sc.solve, problem)
    assert solution.codes.dtype == np.float32
    assert not solution.codes.any() and solution.converged.all()


@pytest.mark.parametrize("exponent", [-400, -220, 220, 400])
def test_an_absolute_gap_scales_with_the_square_of_the_data(exponent):
    x, dictionary = np.random.default_rng(0).standard_normal((4, 6)), sc.Dictionary.random(9, 6, 0)
    t = 2.0**exponent
    problem = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.3))
    codes = sc.ForwardTransform().solve(problem).codes
    scaled = sc.SparseCodingProblem(t * x, dictionary, sc.Laplace(0.3 * t))
    gap = problem.dual_gap(codes)
    assert gap.min() > 0.01
    np.testing.assert_allclose(scaled.dual_gap(t * codes), gap * t * t, rtol=UNITS)
    np.testing.assert_allclose(scaled.objective(t * codes), problem.objective(codes) * t * t)
