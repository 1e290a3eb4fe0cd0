"""The duality gap: never below the true distance, zero at the code; and models without a code."""

import numpy as np
import pytest
from models import CONVEX, DICTIONARIES, bounded_least_energy, dense_atoms, long_run, signals
from scipy.optimize import linprog
from tolerances import LBFGS, LBFGS_GAP, ROUNDING

import sparsecnn as sc

TIGHT = 1e-9  # the relative gap a solver has to reach: far below any tolerance a user asks for


def oracle(name, prior, x, atoms):
    """Least energies by L-BFGS-B where the model is a box-constrained quadratic, else None."""
    cases = {
        "Laplace": lambda p: {"plus": p.lam, "minus": p.lam},
        "Exponential": lambda p: {"plus": p.lam},
        "AsymmetricLaplace": lambda p: {"plus": p.lam_plus, "minus": p.lam_minus},
        "NonNegative": lambda p: {},
        "Gaussian": lambda p: {"low": -np.inf, "alpha": p.alpha},
        "HalfNormal": lambda p: {"alpha": p.alpha},
        "Uniform": lambda p: {"low": p.low, "high": p.high},
        "TruncatedExponential": lambda p: {"plus": p.lam, "high": p.high},
    }
    if type(prior).__name__ == "ElasticNet" and prior.nonnegative:
        options = {"plus": prior.lam, "alpha": prior.alpha}
    elif type(prior).__name__ in cases:
        options = cases[type(prior).__name__](prior)
    else:
        return None
    return np.array([bounded_least_energy(row, atoms, **options)[1] for row in x])


@pytest.mark.share(3)
@pytest.mark.parametrize("dictionary", ["orthonormal", "undercomplete", "overcomplete"])
@pytest.mark.parametrize("name", CONVEX)
def test_the_gap_is_never_below_the_distance_to_the_least_energy(name, dictionary):
    dictionary = DICTIONARIES[dictionary]
    prior = CONVEX[name](dictionary.n_atoms)
    x = signals(dictionary)
    problem = sc.SparseCodingProblem(x, dictionary, prior)
    least = oracle(name, prior, x, dictionary.atoms)
    if least is None:  # an upper bound of the least energy: the inequality below stays a fair test
        least = problem.objective(long_run(problem))
    rng = np.random.default_rng(0)
    exact = sc.FISTA(tol=1e-10, max_iter=20_000).solve(problem).codes
    tried = [prior.prox(scale * rng.standard_normal(problem.shape)) for scale in (0.1, 1, 10)]
    tried += [
        prior.prox(exact + scale * rng.standard_normal(problem.shape), 1e-9)
        for scale in (1e-8, 1e-4, 1e-1)
    ]
    tried += [exact, prior.prox(np.zeros(problem.shape))]
    for codes in tried:
        distance = problem.objective(codes) - least
        assert (problem.dual_gap(codes) >= distance - ROUNDING * (1 + np.abs(least))).all()


@pytest.mark.share(4)
@pytest.mark.parametrize("dictionary", DICTIONARIES)
@pytest.mark.parametrize("name", CONVEX)
def test_the_gap_vanishes_at_the_code_wherever_the_dual_has_an_interior(name, dictionary):
    dictionary = DICTIONARIES[dictionary]
    prior = CONVEX[name](dictionary.n_atoms)
    problem = sc.SparseCodingProblem(signals(dictionary), dictionary, prior)
    status = problem.dual_interior.status
    if status == "empty":
        with pytest.raises(sc.InputError, match="unbounded below"):
            sc.FISTA().solve(problem)
        return
    solution = sc.FISTA(tol=TIGHT, max_iter=50_000).solve(problem)
    assert solution.converged.all()
    if status == "interior":
        assert solution.certificate == "relative duality gap"
        assert solution.gap.max() <= TIGHT
        # and the certificate is not vacuous: it grows again away from the code
        moved = prior.prox(solution.codes + 0.5)
        assert (problem.relative_gap(moved)[:-1] > 100 * TIGHT).all()


@pytest.mark.parametrize("name", ["Laplace", "Exponential", "TruncatedExponential", "ElasticNet"])
@pytest.mark.parametrize("dictionary", ["stride 1 valid", "stride 2 same", "circular"])
def test_the_least_energy_of_a_convolutional_model_is_that_of_its_dense_unrolling(name, dictionary):
    dictionary = DICTIONARIES[dictionary]
    prior = CONVEX[name](dictionary.n_atoms)
    x = signals(dictionary, 2, scale=2.0)
    solution = sc.solve(sc.SparseCodingProblem(x, dictionary, prior), tol=1e-11, max_iter=100_000)
    flat = sc.SparseCodingProblem(x.reshape(2, -1), sc.Dictionary(dense_atoms(dictionary)), prior)
    unrolled = sc.solve(flat, tol=1e-11, max_iter=100_000)
    np.testing.assert_allclose(solution.objective, unrolled.objective, rtol=1e-9)
    least = oracle(name, prior, x.reshape(2, -1), dense_atoms(dictionary))
    if least is not None:
        np.testing.assert_allclose(solution.objective, least, rtol=LBFGS)
        assert (solution.objective <= least * (1 + 1e-9)).all()


@pytest.mark.share(3)
@pytest.mark.parametrize("seed", range(20))
def test_the_gap_holds_under_masks_and_vanishes_at_the_code(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(3, 10, 2)
    atoms, x = np.abs(rng.standard_normal((m, n))), rng.standard_normal((3, n))
    mask = rng.random((3, n)) < 0.7
    mask[:, 0] = True  # one pixel all samples share: non-negative atoms then have a dual interior
    for prior in (
        sc.Laplace(0.2),
        sc.NonNegative(),
        sc.Exponential(np.r_[-0.05, np.full(m - 1, 0.1)]),
    ):
        problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior, mask)
        assert problem.dual_interior.status == "interior"
        solution = sc.FISTA(tol=TIGHT, max_iter=50_000).solve(problem)
        assert solution.gap.max() <= TIGHT
        trial = prior.prox(rng.standard_normal(problem.shape))
        distance = problem.objective(trial) - solution.objective
        assert (problem.dual_gap(trial) >= distance - ROUNDING * 10).all()


@pytest.mark.parametrize("lam", [-0.3, 0.0])
def test_the_scaled_residual_alone_would_miss_the_code_of_a_rate_that_is_not_positive(lam):
    """For rates <= 0 the dual point needs the interior; the gap at the exact code is then zero."""
    rng = np.random.default_rng(0)
    atoms = np.abs(rng.standard_normal((6, 9)))  # non-negative atoms: every rate can be held back
    x = np.abs(rng.standard_normal((4, 9)))
    prior = sc.NonNegative() if lam == 0 else sc.Exponential(lam)
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
    codes, least = zip(*(bounded_least_energy(row, atoms, plus=lam) for row in x), strict=True)
    assert problem.dual_interior.status == "interior"
    assert problem.relative_gap(np.array(codes)).max() < LBFGS_GAP
    np.testing.assert_allclose(problem.objective(np.array(codes)), least, rtol=1e-10)
    residual = problem.residual(np.array(codes))
    if lam < 0:  # zero is not dual feasible, so no multiple below one of the residual need be
        assert (problem.dictionary.analyze(0 * residual) > lam).all()


def primal_is_unbounded(atoms, plus, minus=None):
    """Whether some direction in the prior's recession cone has ``z atoms = 0`` at negative cost."""
    wide = atoms if minus is None else np.vstack([atoms, -atoms])
    cost = np.broadcast_to(plus, len(atoms)) if minus is None else np.r_[plus, minus]
    answer = linprog(
        cost,
        A_eq=np.vstack([wide.T, np.ones(len(wide))]),
        b_eq=np.r_[np.zeros(wide.shape[1]), 1.0],
        bounds=(0, None),
        method="highs",
    )
    if answer.status == 2:  # no direction at all leaves the fidelity unchanged
        return False
    assert answer.status == 0
    return answer.fun < -1e-9


@pytest.mark.parametrize("kind", ["Exponential", "AsymmetricLaplace", "NonNegative"])
def test_the_dual_program_and_the_primal_one_agree_on_which_models_exist(kind):
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(150):
        n, m = rng.integers(2, 6), rng.integers(2, 10)
        atoms = rng.standard_normal((m, n))
        plus = rng.normal(rng.choice([-0.2, 0.2, 0.8]), 0.5, m)
        minus = -plus + np.abs(rng.normal(0.6, 0.5, m)) + 1e-3
        if kind == "Exponential":
            prior, exists = sc.Exponential(plus), not primal_is_unbounded(atoms, plus)
        elif kind == "NonNegative":
            prior, exists = sc.NonNegative(), True  # zero is always dual feasible
        else:
            prior = sc.AsymmetricLaplace(minus, plus)
            exists = not primal_is_unbounded(atoms, plus, minus)
        x = rng.standard_normal((1, n))
        problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
        status = problem.dual_interior.status
        assert (status != "empty") == exists, (status, exists)
        assert status != "unknown"
        seen.add(exists)
    assert seen == ({True} if kind == "NonNegative" else {True, False})


def unbounded():
    """Two opposite atoms of rates whose sum is negative: going along both costs less and less."""
    atoms = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]
    return sc.SparseCodingProblem(
        [[1.0, 2.0]], sc.Dictionary(atoms), sc.Exponential([-0.5, 0.2, 0.1])
    )


@pytest.mark.parametrize(
    "solver",
    [sc.FISTA(), sc.ISTA(), sc.CoordinateDescent(), sc.LCA()],
    ids=lambda s: type(s).__name__,
)
def test_solvers_refuse_a_model_without_a_least_energy(solver):
    problem = unbounded()
    ray = np.array([[1.0, 1.0, 0.0]])
    assert problem.objective(1e6 * ray) < -1e5  # it really is unbounded
    with pytest.raises(sc.InputError, match=r"unbounded below.*ForwardTransform"):
        solver.solve(problem)
    with pytest.raises(sc.InputError, match="unbounded below"):
        sc.solve(problem)


def test_the_forward_transform_of_a_model_without_a_code_still_works_and_claims_nothing():
    problem = unbounded()
    solution = sc.ForwardTransform().solve(problem)
    np.testing.assert_allclose(solution.codes, [[1.5, 0.0, 1.9]])
    assert not solution.converged.any() and np.isnan(solution.gap).all()


def test_an_unbounded_model_hidden_behind_the_same_mask_for_all_samples_is_refused_too():
    atoms = np.array([[1.0, 0.0, 5.0], [-1.0, 0.0, 1.0]])
    row = np.array([1, 1, 0])  # the third pixel would hold the rates back, if it were observed
    x = np.ones((2, 3))
    prior = sc.Exponential([-0.5, 0.2])
    assert sc.solve(sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)).converged.all()
    with pytest.raises(sc.InputError, match="unbounded below"):
        sc.solve(sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior, row))


def test_negative_rates_that_the_dictionary_holds_back_are_solved_exactly():
    rng = np.random.default_rng(8)
    for _ in range(20):
        atoms, x = np.abs(rng.standard_normal((7, 5))), rng.standard_normal((2, 5))
        lam = rng.normal(0, 0.3, 7)
        problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Exponential(lam))
        solution = sc.solve(problem, tol=1e-9, max_iter=100_000)
        least = [bounded_least_energy(row, atoms, plus=lam)[1] for row in x]
        assert solution.converged.all()
        np.testing.assert_allclose(solution.objective, least, rtol=1e-6, atol=1e-8)


def test_an_asymmetric_laplace_prior_with_a_negative_side_is_solved_exactly():
    rng = np.random.default_rng(9)
    for _ in range(10):
        atoms, x = rng.standard_normal((5, 7)), rng.standard_normal((2, 7))
        plus, minus = np.array([-0.2, 0.3, 0.3, 0.1, 0.4]), np.array([0.5, -0.1, 0.2, 0.3, 0.1])
        problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.AsymmetricLaplace(minus, plus))
        solution = sc.solve(problem, tol=1e-10, max_iter=100_000)
        least = [bounded_least_energy(row, atoms, plus=plus, minus=minus)[1] for row in x]
        assert solution.converged.all() and np.isfinite(solution.gap).all()
        np.testing.assert_allclose(solution.objective, least, rtol=LBFGS, atol=1e-9)


def test_the_root_of_twice_the_gap_bounds_the_distance_of_the_reconstructions():
    rng = np.random.default_rng(10)
    for _ in range(20):
        dictionary = sc.Dictionary.random(12, 8, rng)
        problem = sc.SparseCodingProblem(rng.standard_normal((3, 8)), dictionary, sc.Laplace(0.2))
        exact = dictionary.synthesize(sc.solve(problem, tol=1e-12).codes)
        trial = rng.standard_normal(problem.shape)
        distance = np.linalg.norm(dictionary.synthesize(trial) - exact, axis=1)
        assert (distance <= np.sqrt(2 * problem.dual_gap(trial)) + 1e-5).all()


def test_a_part_that_observes_more_pixels_does_not_lend_its_dual_point_to_the_whole():
    atoms = [[0.4, -0.1], [0.9, 0.1], [0.8, 0.4]]
    mask = [[1, 1], [0, 1]]
    for scale in (1.0, 1e70):  # samples of unlike size are certified apart
        x = np.array([[2.0, 2.0], [2.0 * scale, 2.0 * scale]])
        problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.NonNegative(), mask)
        problem.subset(slice(0, 1)).dual_interior
        zero = np.zeros(problem.shape)
        excess = problem.objective(zero) - sc.solve(problem, tol=1e-10).objective
        assert (problem.dual_gap(zero) >= excess * (1 - 1e-9)).all()


def test_a_program_is_solved_once_for_a_dictionary_and_a_prior(monkeypatch):
    from sparsecnn import duality

    dictionary, prior = sc.Dictionary.random(6, 8, random_state=0), sc.NonNegative()
    x = np.random.default_rng(0).standard_normal((3, 8))
    zero = np.zeros((3, 6))
    first = sc.SparseCodingProblem(x, dictionary, prior).dual_gap(zero)
    monkeypatch.setattr(duality, "_largest_margin", None)  # a second program would fail
    assert np.array_equal(sc.SparseCodingProblem(x, dictionary, prior).dual_gap(zero), first)


@pytest.mark.parametrize("s", [1.0, 1e3])
def test_one_rate_of_zero_bounds_how_large_a_dual_point_may_be(s):
    """An interior point grows with the data only as far as the other rates allow."""
    for seed in range(25):
        rng = np.random.default_rng(seed)
        atoms, x = rng.standard_normal((4, 3)), s * rng.standard_normal((2, 3))
        prior = sc.AsymmetricLaplace(0.0, 0.5)
        problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
        least = [bounded_least_energy(row, atoms, plus=0.5, minus=0.0)[1] for row in x]
        for codes in (np.zeros(problem.shape), rng.standard_normal(problem.shape)):
            found = problem.certificate(codes)
            lower = found.objective - found.dual_gap
            assert (lower <= np.array(least) + 1e-9 * s * s)[~np.isnan(lower)].all()


def test_masks_that_leave_each_sample_bounded_are_not_taken_for_an_unbounded_batch():
    """What both samples observe alone would be unbounded; each of them observes more."""
    atoms, prior = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]), sc.Exponential([-0.1, 0.2])
    x, mask = np.array([[1.0, 2.0, 9.0], [1.0, 9.0, 0.5]]), np.array([[1, 1, 0], [1, 0, 1]])
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior, mask)
    solution = sc.FISTA().solve(problem)
    np.testing.assert_allclose(solution.codes, [[2.1, 0.8], [0.6, 0.8]], atol=1e-5)
    common = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior, mask.all(axis=0))
    with pytest.raises(sc.InputError, match="unbounded below"):
        sc.FISTA().solve(common)


def test_the_energy_that_a_gap_is_relative_to_ignores_masked_pixels():
    """Away from zero, E(prox(0)): under a mask as with the pixels left out."""
    rng = np.random.default_rng(0)
    atoms, x = rng.standard_normal((4, 6)), rng.standard_normal((3, 6))
    kept = np.array([0, 2, 3, 5])
    mask = np.isin(np.arange(6), kept)
    prior = sc.Uniform(0.5, 2.0)
    masked = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior, mask)
    cut = sc.SparseCodingProblem(x[:, kept], sc.Dictionary(atoms[:, kept]), prior)
    codes = prior.prox(rng.standard_normal(masked.shape))
    np.testing.assert_allclose(masked.relative_gap(codes), cut.relative_gap(codes), rtol=1e-12)
