"""The energy: its value, gradient, residual and masks, each against a statement in plain loops."""

import warnings

import numpy as np
import pytest
from models import CONVEX, DICTIONARIES, NONCONVEX, PRIORS, dense_atoms, signals
from tolerances import QUADRATIC_SLOPE, ROUNDING

import sparsecnn as sc

DENSE = ["orthonormal", "undercomplete", "overcomplete", "zero atom"]


def admissible(prior, dictionary, n_samples=4, seed=1):
    """Random codes inside the prior's support."""
    v = np.random.default_rng(seed).standard_normal((n_samples, *dictionary.code_shape))
    return prior.prox(v)


def naive_penalty(name, prior, z):
    """The penalties of the fixed names once more, one coefficient at a time."""
    lam = np.broadcast_to(np.asarray(getattr(prior, "lam", 0.0)), z.shape)
    if name.startswith(("Laplace", "Exponential", "NonNegative", "TruncatedExponential", "Lp(1)")):
        return sum(weight * abs(value) for weight, value in zip(lam, z, strict=True))
    if name.startswith("AsymmetricLaplace"):
        plus = np.broadcast_to(prior.lam_plus, z.shape)
        return sum(p * v if v > 0 else -prior.lam_minus * v for p, v in zip(plus, z, strict=True))
    if name.startswith(("Gaussian", "HalfNormal")):
        return sum(0.5 * prior.alpha * v * v for v in z)
    if name.startswith("ElasticNet"):
        return sum(prior.lam * abs(v) + 0.5 * prior.alpha * v * v for v in z)
    if name.startswith(("Uniform", "TopK")):
        return 0.0
    if name == "Huber":
        d = prior.delta
        return sum(prior.lam * (v * v / (2 * d) if abs(v) <= d else abs(v) - d / 2) for v in z)
    if name == "Gamma":
        return sum(prior.lam * v - prior.mu * np.log(v) for v in z)
    if name.startswith("Lp"):
        return sum(prior.lam * abs(v) ** prior.p for v in z)
    if name == "GroupLaplace":
        return sum(
            prior.lam * np.hypot(z[i], z[i + 1] if i + 1 < len(z) else 0.0)
            for i in range(0, len(z), 2)
        )
    if name == "StudentT":
        return sum(prior.c * np.log(1 + (v / prior.gamma) ** 2) for v in z)
    if name.startswith("SpikeSlab"):
        each = [prior.kappa + prior.lam * abs(v) + 0.5 * prior.alpha * v * v for v in z if v]
        return sum(each)
    if name == "LogSum":
        return sum(prior.lam * np.log(1 + abs(v) / prior.eps) for v in z)
    return None


@pytest.mark.share(3)
@pytest.mark.parametrize("dictionary", DENSE)
@pytest.mark.parametrize("name", [n for n in PRIORS if n not in ("SCAD", "MCP")])
def test_the_energy_is_the_sum_written_out(name, dictionary):
    dictionary = DICTIONARIES[dictionary]
    prior = PRIORS[name](dictionary.n_atoms)
    x, z = signals(dictionary), admissible(prior, dictionary)
    expected = []
    for signal, code in zip(x, z, strict=True):
        fidelity = 0.0
        for f, pixel in enumerate(signal):
            fidelity += 0.5 * (pixel - sum(c * a[f] for c, a in zip(code, dictionary.atoms))) ** 2  # noqa: B905
        expected.append(fidelity + naive_penalty(name, prior, code))
    actual = sc.SparseCodingProblem(x, dictionary, prior).objective(z)
    np.testing.assert_allclose(actual, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("name", DICTIONARIES)
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_agrees_with_central_differences(name, masked):
    dictionary = DICTIONARIES[name]
    rng = np.random.default_rng(0)
    x = signals(dictionary)
    mask = rng.random(x.shape) < 0.7 if masked else None
    problem = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.0), mask)
    z = rng.standard_normal(problem.shape)
    gradient = problem.gradient(z)
    for _ in range(5):
        d = rng.standard_normal(z.shape)
        h = 1e-4
        slope = (problem.objective(z + h * d) - problem.objective(z - h * d)) / (2 * h)
        np.testing.assert_allclose(
            (gradient * d).reshape(len(z), -1).sum(axis=1),
            slope,
            rtol=QUADRATIC_SLOPE,
            atol=QUADRATIC_SLOPE,
        )


@pytest.mark.parametrize("name", DICTIONARIES)
def test_the_residual_is_what_the_atoms_leave_of_the_signal(name):
    dictionary = DICTIONARIES[name]
    x = signals(dictionary)
    problem = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.1))
    z = np.random.default_rng(1).standard_normal(problem.shape)
    expected = x.reshape(len(x), -1) - z.reshape(len(z), -1) @ dense_atoms(dictionary)
    np.testing.assert_allclose(
        problem.residual(z).reshape(len(x), -1), expected, rtol=ROUNDING, atol=ROUNDING
    )
    np.testing.assert_allclose(
        problem.projections().reshape(len(x), -1),
        x.reshape(len(x), -1) @ dense_atoms(dictionary).T,
        rtol=ROUNDING,
        atol=ROUNDING,
    )


@pytest.mark.parametrize("name", ["overcomplete", "stride 2 same"])
def test_a_masked_array_means_the_same_as_the_mask_argument(name):
    dictionary = DICTIONARIES[name]
    x = signals(dictionary)
    observed = np.random.default_rng(2).random(x.shape) < 0.6
    hidden = np.where(observed, x, np.nan)
    problems = [
        sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.2), observed),
        sc.SparseCodingProblem(hidden, dictionary, sc.Laplace(0.2), observed.astype(int)),
        sc.SparseCodingProblem(np.ma.array(x, mask=~observed), dictionary, sc.Laplace(0.2)),
        sc.SparseCodingProblem(np.ma.array(hidden, mask=~observed), dictionary, sc.Laplace(0.2)),
        sc.SparseCodingProblem(np.ma.masked_invalid(hidden), dictionary, sc.Laplace(0.2)),
    ]
    solutions = [sc.solve(p, tol=1e-10) for p in problems]
    for solution in solutions[1:]:
        np.testing.assert_array_equal(solution.codes, solutions[0].codes)
        np.testing.assert_array_equal(solution.gap, solutions[0].gap)
    assert solutions[0].converged.all()


def test_one_mask_for_all_samples_broadcasts():
    dictionary = DICTIONARIES["overcomplete"]
    x = signals(dictionary)
    row = np.array([1, 0, 1, 1, 0, 1, 1])
    a = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.2), row)
    b = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.2), np.tile(row, (len(x), 1)))
    z = np.random.default_rng(0).standard_normal(a.shape)
    np.testing.assert_array_equal(a.objective(z), b.objective(z))


def test_a_mask_equals_the_problem_with_the_hidden_pixels_deleted():
    rng = np.random.default_rng(3)
    atoms, x = rng.standard_normal((9, 8)), rng.standard_normal((3, 8))
    row = np.array([1, 1, 0, 1, 0, 1, 1, 1], dtype=bool)
    masked = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Exponential(0.2), row)
    deleted = sc.SparseCodingProblem(x[:, row], sc.Dictionary(atoms[:, row]), sc.Exponential(0.2))
    z = np.abs(rng.standard_normal(masked.shape))
    np.testing.assert_allclose(masked.objective(z), deleted.objective(z), rtol=ROUNDING)
    np.testing.assert_allclose(
        masked.gradient(z), deleted.gradient(z), rtol=ROUNDING, atol=ROUNDING
    )
    a, b = sc.solve(masked, tol=1e-12), sc.solve(deleted, tol=1e-12)
    np.testing.assert_allclose(a.objective, b.objective, rtol=1e-11)  # both within tol of the least


def test_hidden_pixels_are_inferred_from_the_code():
    rng = np.random.default_rng(4)
    dictionary = sc.Dictionary.dct(32)
    truth = np.zeros((5, 32))
    truth[:, [2, 5]] = 1 + rng.random((5, 2))
    x = dictionary.synthesize(truth)
    observed = np.ones(32, dtype=bool)
    observed[10:16] = False
    problem = sc.SparseCodingProblem(
        np.where(observed, x, np.nan), dictionary, sc.Laplace(1e-3), observed
    )
    inferred = dictionary.synthesize(sc.solve(problem, tol=1e-9).codes)
    filled = sc.SparseCodingProblem(np.where(observed, x, 0.0), dictionary, sc.Laplace(1e-3))
    explained = dictionary.synthesize(sc.solve(filled).codes)

    def error(y):
        return np.sqrt(np.mean((y - x)[:, ~observed] ** 2))

    assert error(inferred) < 0.01 * error(explained)


def test_an_all_ones_mask_changes_nothing():
    dictionary = DICTIONARIES["orthonormal"]
    x = signals(dictionary)
    plain = sc.SparseCodingProblem(x, dictionary, sc.Exponential(0.2))
    masked = sc.SparseCodingProblem(x, dictionary, sc.Exponential(0.2), np.ones(x.shape))
    assert isinstance(sc.default_solver(masked).solver, sc.Orthogonal)
    np.testing.assert_array_equal(sc.solve(plain).codes, sc.solve(masked).codes)


def test_a_sample_without_any_observed_pixel_gets_the_prior_mode():
    dictionary = DICTIONARIES["overcomplete"]
    x = signals(dictionary)
    mask = np.ones(x.shape)
    mask[1] = 0
    solution = sc.solve(sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.2), mask))
    assert solution.converged.all() and not solution.codes[1].any()
    assert solution.objective[1] == 0.0


@pytest.mark.parametrize("name", NONCONVEX)
def test_a_non_convex_prior_has_no_gap_and_no_text_calls_its_certificate_one(name):
    dictionary = DICTIONARIES["overcomplete"]
    problem = sc.SparseCodingProblem(signals(dictionary), dictionary, NONCONVEX[name](12))
    codes = admissible(problem.prior, dictionary)
    assert np.isnan(problem.dual_gap(codes)).all() and np.isnan(problem.relative_gap(codes)).all()
    solution = sc.solve(problem)
    assert np.isnan(solution.gap).all()
    assert solution.certificate == "fixed-point residual"
    assert "gap" not in repr(solution)
    with pytest.warns(sc.ConvergenceWarning) as caught:
        sc.ISTA(tol=1e-14, max_iter=1).solve(problem)
    assert len(caught) == 1 and "gap" not in str(caught[0].message)


@pytest.mark.parametrize("name", CONVEX)
def test_the_fixed_point_residual_vanishes_only_at_the_code(name):
    dictionary = DICTIONARIES["undercomplete"]
    problem = sc.SparseCodingProblem(signals(dictionary)[:3], dictionary, CONVEX[name](5))
    solution = sc.solve(problem, tol=1e-14, max_iter=3000)
    exact = problem.fixed_point_residual(solution.codes)
    moved = problem.fixed_point_residual(problem.prior.prox(solution.codes + 1.0))
    assert exact.max() < 1e-6 < moved.min()


def test_the_certificate_does_not_depend_on_the_block(monkeypatch):
    import sparsecnn.problem as module

    dictionary = DICTIONARIES["stride 2 same"]
    problem = sc.SparseCodingProblem(signals(dictionary, 9), dictionary, sc.Laplace(0.2))
    z = np.random.default_rng(0).standard_normal(problem.shape)
    whole = problem.certificate(z)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 1)
    for a, b in zip(whole, problem.certificate(z), strict=True):
        np.testing.assert_allclose(a, b, rtol=ROUNDING)


def test_a_subset_is_the_problem_of_those_samples():
    dictionary = DICTIONARIES["overcomplete"]
    x = signals(dictionary, 6)
    mask = np.random.default_rng(1).random(x.shape) < 0.8
    problem = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.2), mask)
    z = np.random.default_rng(0).standard_normal(problem.shape)
    for rows in (slice(1, 4), np.array([5, 0]), np.arange(6) % 2 == 0):
        part = problem.subset(rows)
        np.testing.assert_array_equal(part.x, problem.x[rows])
        np.testing.assert_allclose(
            part.objective(z[rows]), problem.objective(z)[rows], rtol=ROUNDING
        )


def test_inputs_are_never_modified():
    dictionary = DICTIONARIES["overcomplete"]
    x = signals(dictionary)
    mask = np.random.default_rng(1).random(x.shape) < 0.8
    z = np.random.default_rng(0).standard_normal((len(x), 12))
    copies = x.copy(), mask.copy(), z.copy()
    problem = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.2), mask)
    problem.certificate(z), problem.gradient(z), problem.residual(z)
    sc.solve(problem, start=z)
    for array, copy in zip((x, mask, z), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# -- what a problem refuses or says ---------------------------------------------------------
def test_a_budget_larger_than_the_code_is_refused():
    x, dictionary = np.ones((2, 64)), sc.Dictionary.random(128, 64, random_state=0)
    with pytest.raises(sc.InputError, match=r"TopK\(k=...\) is 500, but a sample has 128 codes"):
        sc.SparseCodingProblem(x, dictionary, sc.TopK(500))
    with pytest.raises(sc.InputError, match=r"does not fit the dictionary.* 129, .* 128 codes"):
        sc.Level(dictionary, sc.TopK(129))
    assert sc.SparseCodingProblem(x, dictionary, sc.TopK(128)).shape == (2, 128)
    filters = sc.ConvDictionary.random(2, 3, (5, 5), random_state=0)  # 2 maps of 3 x 3
    assert sc.Level(filters, sc.TopK(18)).prior.k == 18
    with pytest.raises(sc.InputError, match="18 codes"):
        sc.Level(filters, sc.TopK(19))


RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((30, 12))


@pytest.mark.parametrize(
    ("x", "warned"),
    [
        (NOISE + 1e4, True),
        ((NOISE + 1e4) * 1e-200, True),
        ((NOISE + 1e4).astype(np.float32), True),
        (NOISE + 1e4 * RNG.standard_normal(12), True),  # every feature about a mean of its own
        (NOISE + 1e4 * RNG.standard_normal((30, 1)), True),  # every sample
        (NOISE + 100.0, False),
        (NOISE, False),
        (np.full((4, 12), 3.0), False),  # nothing varies, so nothing is lost
        (np.zeros((4, 12)), False),
        (NOISE[:1] + 1e4, True),
    ],
)
def test_signals_far_from_zero_get_one_warning(x, warned):
    problem = sc.SparseCodingProblem(x, sc.Dictionary.orthonormal(12, 0), sc.Laplace(0.1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sc.solve(problem, tol=1e-3)
        sc.ForwardTransform().solve(problem)  # a layer says nothing
    assert [w.category for w in caught] == [sc.ConvergenceWarning] * warned
    if warned:
        assert "relative to the energy of all of it" in str(caught[0].message)


def test_only_observed_numbers_are_called_uncentred():
    x, mask = NOISE.copy(), np.ones(NOISE.shape)
    x[:, 0], mask[:, 0] = 1e4, 0
    x[3, 5], mask[3, 5] = np.nan, 0
    dictionary = sc.Dictionary.random(20, 12, random_state=0)
    for offset, warned in ((0.0, 0), (1e4, 1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sc.solve(sc.SparseCodingProblem(x + offset, dictionary, sc.Laplace(0.1), mask))
        assert len([w for w in caught if "offset" in str(w.message)]) == warned


def test_the_residual_moves_a_short_atom_beside_a_long_one():
    """A step of 1 / L changes no digit of a code of 100 whose atom is ten powers shorter."""
    dictionary = sc.Dictionary([[1e6, 0.0], [0.0, 1e-4]])
    problem = sc.SparseCodingProblem([[0.0, 1e-8]], dictionary, sc.Laplace(0.0))
    assert problem.fixed_point_residual([[0.0, 100.0]])[0] > 1e5  # right is 1e-4
    assert problem.fixed_point_residual([[0.0, 1e-4]])[0] < 1e-12
