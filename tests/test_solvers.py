"""Solvers: every admitted combination reaches its stated gap, and agrees with other people's."""

import dataclasses
import itertools
import warnings

import numpy as np
import pytest
from models import DICTIONARIES, PRIORS, bounded_least_energy, dense_atoms, signals
from scipy.optimize import nnls
from sklearn.linear_model import ElasticNet, Lasso
from tolerances import LBFGS, PEER, ROUNDING

import sparsecnn as sc

#: the relative gap solvers are asked for; ISTA and LCA are linear in L / mu: less, for time's sake
GOAL, SLOW_GOAL = 1e-6, 1e-4

SOLVERS = {
    "FISTA": sc.FISTA(GOAL, 20_000),
    "ISTA": sc.ISTA(SLOW_GOAL, 40_000),
    "CoordinateDescent": sc.CoordinateDescent(GOAL, 20_000),
    "LCA": sc.LCA(SLOW_GOAL, 40_000),
    "Orthogonal": sc.Orthogonal(),
}


def problem_of(dictionary, prior, **kwargs):
    dictionary = DICTIONARIES[dictionary]
    return sc.SparseCodingProblem(
        signals(dictionary, **kwargs), dictionary, PRIORS[prior](dictionary.n_atoms)
    )


def admitted(solver, dictionary, prior):
    try:
        SOLVERS[solver].check(problem_of(dictionary, prior))
    except sc.InputError:
        return False
    return True


MATRIX = [
    (solver, dictionary, prior)
    for solver in SOLVERS
    for dictionary in DICTIONARIES
    for prior in PRIORS
    if admitted(solver, dictionary, prior)
]


def quietly(solver, problem, start=None):
    """The solution, which must come without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return solver.solve(problem, start)


# -- the matrix -----------------------------------------------------------------------------
def test_the_matrix_covers_every_prior_dictionary_and_solver():
    assert len(MATRIX) > 700
    for position, names in enumerate((SOLVERS, DICTIONARIES, PRIORS)):
        assert {case[position] for case in MATRIX} == set(names)


def matrix():
    """The slow solvers take all convolutional dictionaries with --full, otherwise one of them."""
    for case in MATRIX:
        more = case[0] in ("ISTA", "LCA") and case[1] in ("stride 2 same", "circular", "padding 1")
        yield pytest.param(*case, marks=[pytest.mark.full] if more else [])


@pytest.mark.share(4)
@pytest.mark.parametrize("solver,dictionary,prior", list(matrix()))
def test_every_admitted_combination_reaches_its_stated_certificate(solver, dictionary, prior):
    problem = problem_of(dictionary, prior)
    solution = quietly(SOLVERS[solver], problem)
    assert solution.converged.all()
    assert solution.codes.shape == problem.shape
    tol = solution.solver.tol
    if problem.prior.is_convex and problem.dual_interior.status == "interior":
        assert solution.certificate == "relative duality gap"
        assert solution.gap.max() <= tol
    else:  # a small gap still certifies where it occurs
        assert np.fmin(solution.gap, solution.residual).max() <= tol
    np.testing.assert_allclose(solution.objective, problem.objective(solution.codes), rtol=ROUNDING)
    at_start = problem.objective(problem.prior.prox(np.zeros(problem.shape)))
    slack = solution.dual_gap if problem.prior.is_convex else 0.0
    assert (solution.objective <= at_start + slack + ROUNDING).all()
    if problem.prior.is_nonnegative:
        assert (solution.codes >= 0).all()


REFUSED = [
    case
    for case in ((s, d, p) for s in SOLVERS for d in DICTIONARIES for p in PRIORS)
    if case not in set(MATRIX)
]


def test_every_refusal_names_a_solver_that_takes_the_problem():
    seen = set()
    for solver, dictionary, prior in REFUSED:
        problem = problem_of(dictionary, prior)
        with pytest.raises(sc.InputError) as caught:
            SOLVERS[solver].solve(problem)
        text = str(caught.value)
        if text in seen:
            continue
        seen.add(text)
        assert solver in text
        named = [
            n for n in ("FISTA", "ISTA", "ForwardTransform") if f"{n}" in text.split("Use ")[-1]
        ]
        assert named, text
        for name in named:
            if name == "ISTA" and "FISTA" in named:
                continue
            getattr(sc, name)().check(problem)
    assert len(seen) >= 10


def test_the_matrix_holds_under_masks_too():
    rng = np.random.default_rng(0)
    for dictionary in ("undercomplete", "overcomplete", "stride 2 same"):
        for prior in ("Laplace", "Exponential per atom", "ElasticNet", "GroupLaplace", "Uniform"):
            plain = problem_of(dictionary, prior)
            mask = rng.random(plain.x.shape) < 0.7
            problem = sc.SparseCodingProblem(plain.x, plain.dictionary, plain.prior, mask)
            for solver in ("FISTA", "ISTA", "LCA"):
                assert quietly(SOLVERS[solver], problem).gap.max() <= SOLVERS[solver].tol
            for solver in ("CoordinateDescent", "Orthogonal"):
                with pytest.raises(sc.InputError, match=r"FISTA\(\)"):
                    SOLVERS[solver].solve(problem)


# -- first iterates and rates ---------------------------------------------------------------
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("dictionary", ["overcomplete", "stride 1 valid"])
def test_the_first_ista_iterate_with_step_one_is_the_forward_transform(dictionary, prior):
    problem = problem_of(dictionary, prior)
    first = next(sc.ISTA(step=1.0).iterates(problem, None))
    np.testing.assert_array_equal(first, sc.ForwardTransform().solve(problem).codes)
    np.testing.assert_array_equal(first, problem.prior.prox(problem.dictionary.analyze(problem.x)))


RATED = ["Laplace", "Exponential", "NonNegative", "ElasticNet", "Uniform", "Huber", "GroupLaplace"]


@pytest.mark.share(3)
@pytest.mark.parametrize("prior", RATED)
@pytest.mark.parametrize("dictionary", ["undercomplete", "overcomplete", "circular"])
def test_ista_and_fista_obey_their_rates_at_every_iteration(dictionary, prior):
    problem = problem_of(dictionary, prior)
    exact = sc.FISTA(1e-13, 20_000).solve(problem, None)
    reach = problem.dictionary.lipschitz * (exact.codes.reshape(4, -1) ** 2).sum(axis=1)
    for solver, bound in (
        (sc.ISTA(), lambda t: reach / (2 * t)),
        (sc.FISTA(), lambda t: 2 * reach / (t + 1) ** 2),
    ):
        iterates = solver.iterates(problem, None)
        for t in range(1, 201):
            above = problem.objective(next(iterates)) - exact.objective
            assert (above <= bound(t) + ROUNDING).all(), t


@pytest.mark.share(3)
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("dictionary", ["overcomplete", "stride 2 same"])
def test_ista_never_raises_the_energy(dictionary, prior):
    problem = problem_of(dictionary, prior)
    iterates = sc.ISTA().iterates(problem, None)
    energies = np.array([problem.objective(next(iterates)) for _ in range(100)])
    rises = np.diff(energies, axis=0)
    assert (rises <= ROUNDING * (1 + np.abs(energies[1:]))).all()


@pytest.mark.parametrize("prior", ["Laplace", "Exponential", "ElasticNet", "Huber"])
def test_the_code_is_a_fixed_point_of_the_lca_dynamics(prior):
    problem = problem_of("undercomplete", prior)
    codes = sc.FISTA(1e-15, 50_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sc.ConvergenceWarning)  # 1e-15 may be below rounding
        codes = codes.solve(problem).codes
    iterates = sc.LCA().iterates(problem, codes)
    for _ in range(20):
        np.testing.assert_allclose(next(iterates), codes, atol=1e-7)  # sqrt of the gap's 1e-15


@pytest.mark.parametrize(("size", "step"), [(0.5, 1.0), (2.0, 0.25)])
def test_the_time_step_of_lca_is_one_over_the_lipschitz_constant_and_at_most_one(size, step):
    x = np.array([[1.0, -2.0, 0.1]])
    problem = sc.SparseCodingProblem(x, sc.Dictionary(size * np.eye(3)), sc.Laplace(0.1))
    iterates, potential, codes = sc.LCA().iterates(problem, None), 0 * x, 0 * x
    for _ in range(3):  # tau du/dt = D^T x - u - (D^T D - I) a
        potential = potential + step * (size * x - potential - (size**2 - 1) * codes)
        codes = problem.prior.prox(potential)
        np.testing.assert_allclose(next(iterates), codes, rtol=1e-12)


# -- other people's solvers -----------------------------------------------------------------
@pytest.mark.share(3)
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_objective_agrees_with_scikit_learns_lasso(seed, positive):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(5, 30), rng.integers(5, 40)
    atoms, x, lam = rng.standard_normal((m, n)), rng.standard_normal((3, n)), rng.uniform(0.1, 2)
    peer = Lasso(alpha=lam / n, positive=positive, fit_intercept=False, tol=1e-14, max_iter=100_000)
    peer.fit(np.asfortranarray(atoms.T), x.T)
    prior = sc.Exponential(lam) if positive else sc.Laplace(lam)
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
    expected = problem.objective(np.maximum(peer.coef_, 0) if positive else peer.coef_)
    for solver in (sc.FISTA(1e-12, 100_000), sc.CoordinateDescent(1e-12, 100_000)):
        solution = quietly(solver, problem)
        np.testing.assert_allclose(solution.objective, expected, rtol=PEER)


@pytest.mark.parametrize("positive", [False, True])
def test_the_objective_agrees_with_scikit_learns_elastic_net(positive):
    rng = np.random.default_rng(0)
    n, m, lam, alpha = 12, 20, 0.4, 0.7
    atoms, x = rng.standard_normal((m, n)), rng.standard_normal((3, n))
    weight = (lam + alpha) / n  # scikit-learn: alpha * (l1_ratio |z| + (1 - l1_ratio) / 2 z^2)
    peer = ElasticNet(
        alpha=weight,
        l1_ratio=lam / (lam + alpha),
        positive=positive,
        fit_intercept=False,
        tol=1e-14,
        max_iter=100_000,
    )
    codes = peer.fit(np.asfortranarray(atoms.T), x.T).coef_
    prior = sc.ElasticNet(lam, alpha, nonnegative=positive)
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
    solution = quietly(sc.FISTA(1e-12, 100_000), problem)
    np.testing.assert_allclose(solution.objective, problem.objective(codes), rtol=PEER)
    np.testing.assert_allclose(solution.codes, codes, atol=1e-5)  # unique: alpha > 0


@pytest.mark.parametrize("seed", range(5))
def test_non_negative_codes_agree_with_l_bfgs_b(seed):
    rng = np.random.default_rng(seed)
    atoms, x, lam = (
        rng.standard_normal((9, 6)),
        rng.standard_normal((3, 6)),
        rng.uniform(0.05, 0.5, 9),
    )
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Exponential(lam))
    solution = quietly(sc.FISTA(1e-11, 100_000), problem)
    least = np.array([bounded_least_energy(row, atoms, plus=lam)[1] for row in x])
    np.testing.assert_allclose(solution.objective, least, rtol=LBFGS)
    assert (solution.objective <= least * (1 + 1e-10)).all()


@pytest.mark.parametrize("seed", range(5))
def test_plain_non_negative_least_squares_agrees_with_scipys_nnls(seed):
    rng = np.random.default_rng(seed)
    atoms, x = rng.standard_normal((6, 9)), rng.standard_normal((4, 9))
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.NonNegative())
    codes, norms = zip(*(nnls(atoms.T, row) for row in x), strict=True)
    for solver in (sc.FISTA(1e-12, 100_000), sc.CoordinateDescent(1e-12, 10_000)):
        solution = quietly(solver, problem)
        np.testing.assert_allclose(solution.objective, 0.5 * np.array(norms) ** 2, rtol=PEER)
        np.testing.assert_allclose(solution.codes, codes, atol=1e-5)


# -- batches, starts, dtypes ----------------------------------------------------------------
@pytest.mark.share(2)
@pytest.mark.parametrize("solver", ["FISTA", "ISTA", "CoordinateDescent", "LCA"])
def test_a_samples_code_does_not_depend_on_its_batch(solver):
    problem = problem_of("overcomplete", "Laplace", n_samples=40)
    solver = SOLVERS[solver]
    whole = solver.solve(problem)
    order = np.random.default_rng(0).permutation(40)
    shuffled = solver.solve(problem.subset(order))
    np.testing.assert_allclose(shuffled.codes, whole.codes[order], atol=ROUNDING)
    np.testing.assert_array_equal(shuffled.n_iter, whole.n_iter[order])
    for i in (0, 7, 39):
        alone = solver.solve(problem.subset(slice(i, i + 1)))
        np.testing.assert_allclose(alone.codes[0], whole.codes[i], atol=ROUNDING)
        assert alone.n_iter[0] == whole.n_iter[i]


def test_blocks_and_threads_do_not_change_the_codes(monkeypatch):
    import sparsecnn.solvers.base as base

    problem = problem_of("overcomplete", "Exponential", n_samples=100)
    whole = sc.FISTA().solve(problem)
    monkeypatch.setattr(base, "_BLOCK_ROWS", 33)
    pieces = sc.FISTA().solve(problem)
    np.testing.assert_allclose(pieces.codes, whole.codes, atol=ROUNDING)
    np.testing.assert_array_equal(pieces.n_iter, whole.n_iter)
    np.testing.assert_allclose(pieces.history[-1].gap, whole.history[-1].gap, atol=1e-9)
    assert len(pieces.history) == len(whole.history)


@pytest.mark.parametrize("solver", ["FISTA", "ISTA", "CoordinateDescent", "LCA"])
def test_a_warm_start_is_used_and_left_untouched(solver):
    problem = problem_of("overcomplete", "Laplace")
    solver = SOLVERS[solver]
    cold = solver.solve(problem)
    exact = sc.FISTA(1e-12, 100_000).solve(problem).codes
    start = exact.copy()
    warm = solver.solve(problem, start=start)
    np.testing.assert_array_equal(start, exact)
    assert warm.n_iter.max() <= 2 < cold.n_iter.max()
    frozen = exact.copy()
    frozen.setflags(write=False)
    solver.solve(problem, start=frozen)
    solver.solve(problem, start=exact.tolist())


def test_solve_passes_tolerance_limit_and_start_on():
    problem = problem_of("overcomplete", "Laplace")
    loose, tight = sc.solve(problem, tol=1e-2), sc.solve(problem, tol=1e-10)
    assert loose.n_iter.max() < tight.n_iter.max() and tight.gap.max() <= 1e-10
    assert sc.solve(problem, start=tight.codes).n_iter.max() == 1
    with pytest.warns(sc.ConvergenceWarning):
        assert sc.solve(problem, max_iter=3).n_iter.max() == 3


@pytest.mark.parametrize("solver", ["FISTA", "ISTA", "CoordinateDescent", "LCA"])
@pytest.mark.parametrize("dictionary", ["overcomplete", "orthonormal"])
def test_float32_stays_float32_with_certificates_in_float64(solver, dictionary):
    wide = problem_of(dictionary, "Laplace", n_samples=10)
    problem = sc.SparseCodingProblem(wide.x.astype(np.float32), wide.dictionary, wide.prior)
    solution = quietly(SOLVERS[solver], problem)
    assert solution.codes.dtype == np.float32
    certificates = solution.objective, solution.gap, solution.residual, solution.dual_gap
    assert {a.dtype for a in certificates} == {np.dtype(np.float64)}
    assert solution.converged.all()
    np.testing.assert_array_equal(
        solution.gap, problem.astype(np.float64).relative_gap(solution.codes.astype(np.float64))
    )
    exact = SOLVERS[solver].solve(wide)
    np.testing.assert_allclose(solution.objective, exact.objective, rtol=1e-5)


def test_iterations_in_both_precisions_are_counted():
    x = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    problem = sc.SparseCodingProblem(x, sc.Dictionary.random(30, 16, 0), sc.Laplace(0.1))
    # the way to 1e-4 is gone in float32, whatever tol; some samples go on in float64
    rough, fine = (sc.FISTA(tol, 5000).solve(problem).n_iter for tol in (1e-4, 1e-6))
    assert (fine >= rough).all() and (fine > rough).any()


def test_a_float32_dictionary_and_float64_data_certify_in_float64():
    wide = problem_of("overcomplete", "Exponential")
    single = sc.Dictionary(wide.dictionary.atoms.astype(np.float32))
    solution = quietly(sc.FISTA(), sc.SparseCodingProblem(wide.x, single, wide.prior))
    assert solution.codes.dtype == np.float64 and solution.gap.max() <= 1e-6


# -- honesty --------------------------------------------------------------------------------
@pytest.mark.parametrize("solver", ["FISTA", "ISTA", "CoordinateDescent", "LCA"])
def test_non_convergence_warns_exactly_once_with_the_worst_gap(solver):
    problem = problem_of("overcomplete", "Laplace", n_samples=600)  # several blocks
    solver = dataclasses.replace(SOLVERS[solver], max_iter=2, tol=1e-9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solution = solver.solve(problem)
    assert len(caught) == 1 and caught[0].category is sc.ConvergenceWarning
    message = str(caught[0].message)
    late = ~solution.converged
    assert f"{solution.gap[late].max():.3g}" in message and f"{late.sum()} of 600" in message
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(solution.converged, solution.gap <= 1e-9)


def test_a_diverging_step_warns_and_never_returns_numbers_that_are_not_finite():
    problem = problem_of("overcomplete", "NonNegative")
    with pytest.warns(sc.ConvergenceWarning):
        solution = sc.ISTA(max_iter=5000, step=50.0).solve(problem)
    assert np.isfinite(solution.codes).all()
    assert not solution.converged[:-1].any()


def test_the_history_holds_certificates_that_end_at_the_answer():
    problem = problem_of("overcomplete", "Laplace", n_samples=6)
    solution = sc.FISTA(1e-8).solve(problem)
    steps = [c.n_iter for c in solution.history]
    assert steps == sorted(set(steps)) and steps[0] == 1 and steps[-1] == solution.n_iter.max()
    last = solution.history[-1]
    np.testing.assert_allclose(last.gap, solution.gap, rtol=1e-6, atol=1e-15)
    np.testing.assert_allclose(last.objective, solution.objective, rtol=ROUNDING)
    iterates = sc.FISTA().iterates(problem, None)
    by_hand = {t: next(iterates) for t in range(1, 8)}
    for checkpoint in solution.history:
        if checkpoint.n_iter in by_hand and checkpoint.n_iter < solution.n_iter.min():
            np.testing.assert_allclose(
                checkpoint.objective, problem.objective(by_hand[checkpoint.n_iter]), rtol=ROUNDING
            )


def test_the_default_solver_says_what_it_takes_and_why():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 8))
    orthonormal, wide = sc.Dictionary.dct(8), sc.Dictionary.random(12, 8, 0)
    choice = sc.default_solver(sc.SparseCodingProblem(x, orthonormal, sc.Exponential(0.1)))
    assert isinstance(choice.solver, sc.Orthogonal) and "orthonormal" in choice.reason
    choice = sc.default_solver(sc.SparseCodingProblem(x, wide, sc.Exponential(0.1)))
    assert isinstance(choice.solver, sc.FISTA) and "convex" in choice.reason
    choice = sc.default_solver(sc.SparseCodingProblem(x, wide, sc.LogSum(0.1, 0.3)))
    assert isinstance(choice.solver, sc.ISTA) and "not convex" in choice.reason
    masked = sc.SparseCodingProblem(x, orthonormal, sc.Exponential(0.1), rng.random(8) < 0.7)
    choice = sc.default_solver(masked)
    assert isinstance(choice.solver, sc.FISTA) and "mask" in choice.reason
    for problem in (masked, sc.SparseCodingProblem(x, wide, sc.TopK(3))):
        sc.default_solver(problem).solver.check(problem)


def test_a_solver_is_a_frozen_setting():
    for solver in SOLVERS.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            solver.calibrate = solver.tol = 1.0


# -- one step -------------------------------------------------------------------------------
@pytest.mark.share(3)
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("dictionary", ["orthonormal", "overcomplete", "stride 1 valid"])
def test_the_forward_transform_never_warns_and_claims_no_more_than_its_gap(
    dictionary, prior, calibrate
):
    problem = problem_of(dictionary, prior)
    solution = quietly(sc.ForwardTransform(calibrate), problem)
    if problem.prior.is_convex and problem.dual_interior.status == "interior":
        np.testing.assert_array_equal(solution.converged, solution.gap <= 1e-6)
    else:
        certificate = np.fmin(solution.gap, solution.residual)
        np.testing.assert_array_equal(solution.converged, certificate <= 1e-6)
    assert (solution.n_iter == 1).all()
    if not calibrate:
        np.testing.assert_array_equal(solution.codes, problem.prior.prox(problem.projections()))


def test_the_forward_transform_of_overlapping_atoms_is_not_called_converged():
    solution = sc.ForwardTransform().solve(problem_of("overcomplete", "Exponential"))
    assert not solution.converged[:3].any() and (solution.gap[:3] > 1e-3).all()
    assert solution.converged[3]  # the zero signal: its code is zero, exactly


HOMOGENEOUS = [
    sc.Laplace(0.2),
    sc.Exponential(0.2),
    sc.NonNegative(),
    sc.AsymmetricLaplace(0.1, 0.4),
    sc.GroupLaplace(0.3, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
    sc.Exponential(-0.05),
]
OTHERS = [
    sc.ElasticNet(0.2, 0.3),
    sc.Gaussian(0.3),
    sc.Huber(0.3, 0.2),
    sc.TruncatedExponential(0.1, 0.5),
    sc.Uniform(-0.1, 0.3),
    sc.Lp(0.2, 1.5),
]


@pytest.mark.share(2)
@pytest.mark.parametrize("prior", HOMOGENEOUS + OTHERS, ids=lambda p: type(p).__name__)
def test_the_calibrated_code_is_the_best_on_its_ray_and_never_above_the_zero_code(prior, scale):
    rng = np.random.default_rng(0)
    scales = np.linspace(0.0, 10.0, 501)
    for _ in range(scale(15, 60)):
        dictionary = sc.Dictionary(rng.uniform(0.5, 2.0) * sc.Dictionary.random(10, 6, rng).atoms)
        x = rng.uniform(0.1, 3) * rng.standard_normal((1, 6))
        problem = sc.SparseCodingProblem(x, dictionary, prior)
        plain = sc.ForwardTransform().solve(problem)
        best = sc.ForwardTransform(calibrate=True).solve(problem).objective[0]
        slack = ROUNDING * (1 + abs(best))
        assert best <= plain.objective[0] + slack
        assert best <= problem.objective(np.zeros(problem.shape))[0] + slack
        line = sc.SparseCodingProblem(np.repeat(x, scales.size, axis=0), dictionary, prior)
        searched = np.nanmin(line.objective(scales[:, None] * plain.codes))
        assert best <= searched + slack
        if prior.is_homogeneous:  # a parabola along the ray: half a grid step loses at most this
            curvature = dictionary.lipschitz * (plain.codes**2).sum()
            assert best >= searched - 0.5 * curvature * 0.01**2 - slack


def test_orthogonal_refuses_what_is_not_orthonormal_and_says_by_how_much():
    problem = problem_of("overcomplete", "Exponential")
    with pytest.raises(sc.InputError, match=r"not orthonormal.*coherence.*FISTA\(\)"):
        sc.Orthogonal().solve(problem)
    scaled = sc.Dictionary(2.0 * np.eye(3))  # orthogonal, but not of unit norm
    with pytest.raises(sc.InputError, match="not orthonormal"):
        sc.Orthogonal().solve(sc.SparseCodingProblem(np.ones((1, 3)), scaled, sc.Exponential(0.1)))
    solution = quietly(sc.Orthogonal(), problem_of("orthonormal", "Exponential"))
    assert solution.gap.max() < 1e-14


def test_convolutional_atoms_written_out_give_the_same_codes():
    for name in ("stride 1 valid", "stride 2 same", "circular", "padding 1"):
        problem = problem_of(name, "ElasticNet")
        atoms = dense_atoms(problem.dictionary)
        flat = sc.SparseCodingProblem(problem.x.reshape(4, -1), sc.Dictionary(atoms), problem.prior)
        a, b = sc.FISTA(1e-13, 50_000).solve(problem), sc.FISTA(1e-13, 50_000).solve(flat)
        gap = a.dual_gap + b.dual_gap + 1e-14 * a.objective  # what the energies are rounded to
        radius = np.sqrt(2 * gap / problem.prior.alpha)  # strong convexity
        distance = np.linalg.norm(a.codes.reshape(4, -1) - b.codes, axis=1)
        assert (distance <= 2 * radius + ROUNDING).all() and radius.max() < 1e-4


@pytest.mark.parametrize(
    ("prior", "atom", "x"),
    [
        (sc.TruncatedExponential(-0.5, 100.0), [0.3, 0.0], [1.0, 0.0]),
        (sc.Gamma(0.01, 2.0), [0.3, 0.0], [1.0, 0.0]),
        (sc.ElasticNet(0.1, 0.5), [2.0, 1.0], [1.0, 0.3]),
    ],
)
def test_calibration_finds_the_least_energy_however_far_along_the_ray(prior, atom, x):
    problem = sc.SparseCodingProblem([x], sc.Dictionary([atom]), prior)
    plain = sc.ForwardTransform().solve(problem).codes
    calibrated = sc.ForwardTransform(calibrate=True).solve(problem)
    codes = np.geomspace(1e-3, 1e3, 20001)[:, None] * plain
    along = sc.SparseCodingProblem(np.repeat([x], len(codes), axis=0), problem.dictionary, prior)
    assert calibrated.objective[0] <= along.objective(codes).min() + 1e-9


def test_overlapping_solves_leave_the_threads_of_the_process_as_they_were():
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    problem = sc.SparseCodingProblem(
        np.random.default_rng(0).standard_normal((40, 16)),
        sc.Dictionary.random(32, 16, random_state=0),
        sc.Exponential(0.1),
    )
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: sc.solve(problem), range(12)))
        assert threads() == before


def test_a_prior_may_have_a_parameter_called_k():
    class Named(type(sc.Laplace(0.1))):
        k: float = 7.0
        _scaling = {"lam": -1, "k": 0}

        def _prox(self, xp, v, step, lam, k):
            return super()._prox(xp, v, step, lam)

        def _value(self, xp, z, lam, k):
            return super()._value(xp, z, lam)

        def _domain(self, lam, k):
            return super()._domain(lam)

    dictionary = sc.Dictionary.random(4, 3, random_state=0)
    assert sc.solve(sc.SparseCodingProblem([[1.0, 2.0, 0.5]], dictionary, Named(0.1))).converged


# -- the sequences themselves ----------------------------------------------------------------
def _first(solver, problem, n):
    steps = solver.iterates(problem, None)
    return [next(steps).copy() for _ in range(n)]


def test_calibration_prefers_silence_to_a_code_that_costs_more():
    atoms = np.ones((5, 4)) + 0.05 * np.random.default_rng(0).standard_normal((5, 4))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    problem = sc.SparseCodingProblem(np.ones((1, 4)), sc.Dictionary(atoms), sc.SpikeSlab(1.0))
    plain = sc.ForwardTransform().solve(problem)  # five atoms for one signal, at a cost of 1 each
    assert (plain.codes != 0).all() and plain.objective[0] > 5 > 2.0
    calibrated = sc.ForwardTransform(calibrate=True).solve(problem)
    assert not calibrated.codes.any() and calibrated.objective[0] == 2.0


def test_fista_takes_the_points_of_nesterovs_sequence():
    """Beck & Teboulle 2009, (4.1)-(4.3), written out for three iterates."""
    dictionary, lam = DICTIONARIES["overcomplete"], 0.05
    x = signals(dictionary, 3, scale=2.0)
    problem = sc.SparseCodingProblem(x, dictionary, sc.Laplace(lam))
    step, atoms = 1 / dictionary.lipschitz, dictionary.atoms

    def prox(z):
        return np.sign(z) * np.maximum(np.abs(z) - step * lam, 0)

    def gradient_step(y):
        return prox(y + step * (x - y @ atoms) @ atoms.T)

    one = gradient_step(np.zeros(problem.shape))
    t2 = (1 + np.sqrt(5)) / 2
    two = gradient_step(one)  # (t_1 - 1) / t_2 = 0: the first point is the iterate itself
    t3 = (1 + np.sqrt(1 + 4 * t2**2)) / 2
    point = two + (t2 - 1) / t3 * (two - one)
    three = gradient_step(point)
    assert np.abs(point - two).max() > 0.01
    found = _first(sc.FISTA(), problem, 3)
    for got, wanted in zip(found, (one, two, three), strict=True):
        np.testing.assert_allclose(got, wanted, atol=ROUNDING)


def test_fista_restarts_where_momentum_points_uphill():
    """On a long valley it needs far fewer iterations than without, and each restart begins anew."""
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    atoms = basis * np.geomspace(1, 0.02, 12) @ np.linalg.qr(rng.standard_normal((12, 12)))[0]
    norms = np.linalg.norm(atoms, axis=1)
    assert norms.max() < 4 * norms.min()  # no atom gets a step of its own, which would level it
    x = rng.standard_normal((4, 12)) @ atoms
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Gaussian(1e-6))
    restarted = sc.FISTA(1e-8, 200_000).solve(problem)
    step, prior = 1 / problem.dictionary.lipschitz, problem.prior
    point = previous = np.zeros(problem.shape)
    t, count, worst = 1.0, 0, np.inf
    while worst > 1e-8 and count < 20_000:
        codes = prior.prox(point - step * problem.gradient(point), step)
        faster = (1 + np.sqrt(1 + 4 * t * t)) / 2
        point, previous, t = codes + (t - 1) / faster * (codes - previous), codes, faster
        count += 1
        if count % 100 == 0:
            worst = problem.relative_gap(codes).max()
    assert restarted.converged.all() and restarted.n_iter.max() < count / 2


def test_atoms_of_very_different_norms_get_steps_of_their_own():
    rng = np.random.default_rng(1)
    sizes = np.array([1e4, 1.0, 1e-3, 3.0, 30.0])
    atoms = rng.standard_normal((5, 8))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    x, lam = rng.standard_normal((6, 8)), np.full(5, 0.1)
    long = sc.SparseCodingProblem(x, sc.Dictionary(sizes[:, None] * atoms), sc.Laplace(lam * sizes))
    unit = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Laplace(lam))
    found, wanted = sc.FISTA(1e-9, 5000).solve(long), sc.FISTA(1e-9, 5000).solve(unit)
    np.testing.assert_allclose(found.codes * sizes, wanted.codes, atol=1e-6)
    np.testing.assert_allclose(found.objective, wanted.objective, rtol=1e-9)
    assert found.n_iter.max() <= wanted.n_iter.max() + 2


# -- a stated number of steps ---------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("prior", ["Laplace", "LogSum"])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_unrolled_is_that_iterate_whatever_it_reaches(prior, steps, dtype):
    problem = problem_of("overcomplete", prior, n_samples=6).astype(dtype)
    plain = sc.FISTA() if problem.prior.is_convex else sc.ISTA()
    whole = plain if steps > 1 else sc.ForwardTransform()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = sc.Unrolled(steps).solve(problem)
    wanted = next(itertools.islice(whole.iterates(problem, None), steps - 1, None))
    np.testing.assert_allclose(solution.codes, wanted, rtol=1e-5 if dtype == np.float32 else 1e-12)
    blank = ~problem.x.reshape(6, -1).any(axis=1)
    assert (solution.n_iter == steps).all() and (solution.converged == blank).all()
    assert [checkpoint.n_iter for checkpoint in solution.history] == [steps]
    np.testing.assert_array_equal(solution.objective, problem.objective(solution.codes))


def test_unrolled_does_not_stop_where_the_code_is_found():
    problem = problem_of("orthonormal", "Laplace")
    solution = sc.Unrolled(12).solve(problem)
    assert (solution.n_iter == 12).all() and solution.converged.all()
    assert not sc.Unrolled(12, tol=0.0).solve(problem).converged.all()


@pytest.mark.parametrize("steps", [0, -1, 1.5, None, "3", True])
def test_unrolled_needs_a_number_of_steps(steps):
    with pytest.raises((sc.InputError, sc.InputTypeError), match="steps"):
        sc.Unrolled(steps)


def test_quietly_is_the_same_solver_without_the_warning():
    problem = problem_of("overcomplete", "Laplace")
    loud = sc.FISTA(max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = loud.quietly.solve(problem).codes
    with pytest.warns(sc.ConvergenceWarning):
        np.testing.assert_array_equal(loud.solve(problem).codes, codes)
    assert loud.quietly == loud and loud.warns


@pytest.mark.parametrize("prior", HOMOGENEOUS, ids=lambda p: type(p).__name__)
def test_a_layer_costs_more_than_no_code_exactly_where_its_image_is_that_large(prior):
    """``E(z) - E(0) = ||D z||^2 / 2 - ||z||^2``, and the best scale is ``||z||^2 / ||D z||^2``."""
    rng, seen = np.random.default_rng(1), set()
    for k in range(40):
        dictionary = sc.Dictionary(rng.uniform(0.3, 2) * sc.Dictionary.random(10, 6, rng).atoms)
        x, mask = rng.standard_normal((1, 6)), rng.random((1, 6)) < 0.8
        problem = sc.SparseCodingProblem(x, dictionary, prior, mask=mask if k % 2 else None)
        z = sc.ForwardTransform().solve(problem).codes
        image = dictionary.synthesize(z) * (mask if k % 2 else 1)
        size, square = (z**2).sum(), (image**2).sum()
        change = (problem.objective(z) - problem.objective(0 * z))[0]
        assert abs(change - (square / 2 - size)) <= 1e-12 * (size + square + (x**2).sum())
        if size:
            scaled = sc.ForwardTransform(calibrate=True).solve(problem).codes
            np.testing.assert_allclose(scaled, size / square * z, rtol=1e-12)
            seen.add(bool(square > 2 * size))
    assert seen == {True, False}
