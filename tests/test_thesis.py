"""The thesis and its limits: a CNN layer is a sparse-coding solver stopped after one step.

Bowren 2021 states links 1-3 (soft threshold, ReLU, one exponential rate per coefficient); the
numbered statements below are derived from them, and each is checked against an independent solver.
"""

import numpy as np
import pytest
from models import bounded_least_energy, dense_atoms
from tolerances import FAR_INTERIOR, LBFGS, ROUNDING

import sparsecnn as sc

TOL = 1e-12  # what the exact codes below are asked for
RHOS = (0.0, 0.3, 0.6, 0.9)


def rotation(n, seed):
    return sc.Dictionary.orthonormal(n, random_state=seed).atoms


def exact(x, atoms, prior, tol=TOL):
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
    return sc.FISTA(tol, 200_000).solve(problem).codes


def relu(v):
    return np.maximum(v, 0.0)


def soft(v, lam):
    return np.sign(v) * relu(np.abs(v) - lam)


# -- orthonormal atoms ----------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
def test_orthonormal_atoms_split_the_energy_into_scalar_problems(seed):
    """Bowren 2021, derived: 1/2 |x - Dz|^2 = 1/2 |x|^2 - 1/2 |b|^2 + 1/2 |z - b|^2."""
    rng = np.random.default_rng(seed)
    atoms = rotation(9, seed)[:6]  # fewer atoms than pixels will do
    x, z = rng.standard_normal((4, 9)), rng.standard_normal((4, 6))
    b = x @ atoms.T
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Laplace(0.0))
    split = 0.5 * ((x**2).sum(1) - (b**2).sum(1) + ((z - b) ** 2).sum(1))
    np.testing.assert_allclose(problem.objective(z), split, rtol=ROUNDING)


@pytest.mark.parametrize("seed", range(5))
def test_the_soft_threshold_of_the_projections_is_the_laplace_code(seed):
    """Bowren 2021, orthogonal basis functions (link 1)."""
    rng = np.random.default_rng(seed)
    atoms, x, lam = rotation(8, seed), rng.standard_normal((3, 8)), rng.uniform(0.05, 0.6, 8)
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Laplace(lam))
    solution = sc.Orthogonal().solve(problem)
    np.testing.assert_allclose(solution.codes, soft(x @ atoms.T, lam), atol=ROUNDING)
    assert solution.gap.max() < ROUNDING
    for row, codes in zip(x, solution.codes, strict=True):
        found, _ = bounded_least_energy(row, atoms, plus=lam, minus=lam)
        np.testing.assert_allclose(codes, found, atol=LBFGS)
    # stationarity: -b + z + lam sign z = 0 on the support, |b| <= lam off it
    b, z = x @ atoms.T, solution.codes
    np.testing.assert_allclose((z - b + lam * np.sign(z))[z != 0], 0.0, atol=ROUNDING)
    assert (np.abs(b) <= lam + ROUNDING)[z == 0].all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sign", ["proper", "any"])
def test_the_relu_of_the_projections_is_the_exponential_code_for_rates_of_any_sign(seed, sign):
    """Bowren 2021 (links 2 and 3): the bias is minus the rate, one for every coefficient."""
    rng = np.random.default_rng(seed)
    atoms, x = rotation(8, seed), rng.standard_normal((3, 8))
    lam = rng.uniform(0.05, 0.6, 8) if sign == "proper" else rng.normal(0, 0.5, 8)
    prior = sc.Exponential(lam)
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
    bias = -lam
    layer = relu(x @ atoms.T + bias)
    np.testing.assert_allclose(sc.ForwardTransform().solve(problem).codes, layer, atol=ROUNDING)
    assert problem.relative_gap(layer).max() < FAR_INTERIOR
    for row, codes in zip(x, layer, strict=True):
        np.testing.assert_allclose(codes, bounded_least_energy(row, atoms, plus=lam)[0], atol=LBFGS)
    assert prior.is_proper == (lam > 0).all()  # a positive bias is no density on z >= 0


@pytest.mark.parametrize("prior", [sc.Laplace, sc.Exponential])
def test_the_least_energy_is_half_of_what_the_code_leaves_of_the_signals_norm(prior):
    """Bowren 2021, derived (minimum energy): E(z*) = 1/2 |x|^2 - 1/2 |z*|^2."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 8))
    lam = rng.normal(0.2, 0.3, 8) if prior is sc.Exponential else rng.uniform(0, 0.5, 8)
    problem = sc.SparseCodingProblem(x, sc.Dictionary(rotation(8, 1)), prior(lam))
    solution = sc.Orthogonal().solve(problem)
    expected = 0.5 * (x**2).sum(axis=1) - 0.5 * (solution.codes**2).sum(axis=1)
    np.testing.assert_allclose(solution.objective, expected, rtol=ROUNDING)


@pytest.mark.parametrize("signed", [True, False])
def test_a_layer_of_orthogonal_atoms_with_other_norms_is_the_code_up_to_a_gain(signed):
    """Bowren 2021, derived (non-unit norms): z* = prox(b) / c^2, unit by unit."""
    rng = np.random.default_rng(2)
    norms = rng.uniform(0.5, 2.0, 8)
    atoms, x = norms[:, None] * rotation(8, 2), rng.standard_normal((3, 8))
    prior = sc.Laplace(0.3) if signed else sc.Exponential(0.3)
    layer = (
        sc.ForwardTransform().solve(sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)).codes
    )
    np.testing.assert_allclose(exact(x, atoms, prior), layer / norms**2, atol=1e-6)  # sqrt(TOL)


@pytest.mark.parametrize("c", [0.5, 3.0])
@pytest.mark.parametrize(
    "prior",
    [
        sc.Laplace(0.3),
        sc.ElasticNet(0.2, 0.5),
        sc.Huber(0.3, 0.4),
        sc.Gamma(0.3, 0.2),
        sc.Uniform(-0.2, 0.3),
        sc.GroupLaplace(0.3, [0, 0, 1, 1, 2, 2, 3, 3]),
    ],
    ids=lambda p: type(p).__name__,
)
def test_atoms_of_norm_c_need_the_prox_of_the_penalty_over_c_squared(prior, c):
    """z* = prox_{phi / c^2}(D^T x / c^2); and in codes c z the atoms are orthonormal again."""
    atoms = c * rotation(8, 3)
    x = np.random.default_rng(3).standard_normal((4, 8))
    problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), prior)
    codes = prior.prox(x @ atoms.T / c**2, 1 / c**2)
    assert problem.relative_gap(codes).max() < ROUNDING
    # Prior.scaled(s) is phi(s z) / s^2: with u = c z, phi(u / c) = scaled(1 / c)(u) / c^2
    unit = prior.scaled(1 / c).prox(x @ rotation(8, 3).T, 1 / c**2) / c
    np.testing.assert_allclose(unit, codes, atol=ROUNDING)


def test_two_relus_make_a_soft_threshold():
    """Bowren 2021, derived: S_lam(b) = ReLU(b - lam) - ReLU(-b - lam)."""
    b, lam = np.linspace(-3, 3, 601), 0.7
    np.testing.assert_array_equal(soft(b, lam), relu(b - lam) - relu(-b - lam))
    two = sc.Exponential(lam).prox(b) - sc.Exponential(lam).prox(-b)
    np.testing.assert_allclose(sc.Laplace(lam).prox(b), two, atol=1e-15)


def test_the_doubled_dictionary_is_coded_exactly_by_one_step_although_it_is_not_orthogonal():
    rng = np.random.default_rng(4)
    basis, x = rotation(7, 4), rng.standard_normal((4, 7))
    doubled = sc.Dictionary(np.vstack([basis, -basis]))
    problem = sc.SparseCodingProblem(x, doubled, sc.Exponential(0.3))
    assert not doubled.is_orthonormal and doubled.mutual_coherence == pytest.approx(1.0)
    solution = sc.ForwardTransform().solve(problem)
    assert solution.gap.max() < ROUNDING and solution.converged.all()
    signed = solution.codes[:, :7] - solution.codes[:, 7:]
    np.testing.assert_allclose(signed, soft(x @ basis.T, 0.3), atol=ROUNDING)
    # for a negative rate both halves are active at once and the step is wrong: here unbounded
    with pytest.raises(sc.InputError, match="unbounded below"):
        sc.solve(sc.SparseCodingProblem(x, doubled, sc.Exponential(-0.3)))


@pytest.mark.parametrize("prior", [sc.Laplace(0.2), sc.Exponential(0.2), sc.NonNegative()])
def test_orthonormal_layers_do_not_expand_distances(prior):
    """Bowren 2021, derived (robustness of one layer), also for a stack of them."""
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 50, 8))
    b = a + rng.uniform(0, 1, (50, 1)) * (b - a)
    distance = np.linalg.norm(a - b, axis=1)
    for seed in range(3):
        d = sc.Dictionary(rotation(8, seed))
        a, b = (sc.Orthogonal().solve(sc.SparseCodingProblem(v, d, prior)).codes for v in (a, b))
        closer = np.linalg.norm(a - b, axis=1)
        assert (closer <= distance * (1 + ROUNDING)).all()
        distance = closer


# -- one step beyond orthogonality ----------------------------------------------------------
def test_the_kkt_certificate_says_exactly_when_one_step_is_the_code():
    """Bowren 2021, derived: v = (G - I) z is zero on the support, g = G z - b + lam >= 0 off it."""
    rng = np.random.default_rng(6)
    seen = {True: 0, False: 0}
    for _ in range(300):
        dictionary = sc.Dictionary.random(rng.integers(2, 6), rng.integers(4, 9), rng)
        lam, gram = 0.4, dictionary.gram
        x = rng.standard_normal((1, dictionary.signal_shape[0]))
        b = dictionary.analyze(x)
        one = relu(b - lam)
        on = one > 0
        v, g = one @ (gram - np.eye(len(gram))), one @ gram - b + lam
        certified = bool(np.all(np.abs(v[on]) <= ROUNDING) and np.all(g[~on] >= -ROUNDING))
        gap = (
            sc.ForwardTransform()
            .solve(sc.SparseCodingProblem(x, dictionary, sc.Exponential(lam)))
            .gap[0]
        )
        assert (gap <= 1e-10) == certified
        seen[certified] += 1
    assert min(seen.values()) > 20


def test_the_distance_to_the_code_is_bounded_without_solving():
    """Bowren 2021, derived (a-posteriori bound): |z_1 - z*| <= |r| / lambda_min(G)."""
    rng = np.random.default_rng(7)
    tight = []
    for _ in range(200):
        m = int(rng.integers(2, 7))
        dictionary = sc.Dictionary.random(m, m + int(rng.integers(1, 6)), rng)
        lam, gram = rng.uniform(0.02, 0.4), dictionary.gram
        x = rng.standard_normal((1, dictionary.signal_shape[0]))
        b = dictionary.analyze(x)
        one = relu(b - lam)
        v, g = one @ (gram - np.eye(m)), one @ gram - b + lam
        r = np.where(one > 0, v, np.minimum(g, 0))
        bound = np.linalg.norm(r) / np.linalg.eigvalsh(gram)[0]
        distance = np.linalg.norm(one - exact(x, dictionary.atoms, sc.Exponential(lam)))
        assert distance <= bound * (1 + ROUNDING) + 1e-5  # known to sqrt(TOL / lambda_min)
        assert np.abs(v).max() <= dictionary.mutual_coherence * np.abs(one).sum() + ROUNDING
        tight.append(distance / bound if bound > 1e-9 else 1.0)
    assert max(tight) > 0.5  # the bound says something


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("lam", [0.1, 0.5])
def test_two_atoms_explain_away_what_one_step_counts_twice(rho, lam):
    """Bowren 2021, derived: (1 - lam, max(rho - lam, 0)) by one step, (1 - lam, 0) in truth."""
    atoms = np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]])
    problem = sc.SparseCodingProblem(atoms[:1], sc.Dictionary(atoms), sc.Exponential(lam))
    one = sc.ForwardTransform().solve(problem)
    np.testing.assert_allclose(one.codes, [[1 - lam, max(rho - lam, 0)]], atol=ROUNDING)
    np.testing.assert_allclose(exact(problem.x, atoms, problem.prior), [[1 - lam, 0]], atol=1e-5)
    assert problem.relative_gap(np.array([[1 - lam, 0.0]])).max() < ROUNDING
    assert one.converged[0] == (rho <= lam)


def test_the_envelope_theorem_gives_the_gradient_of_the_least_energy():
    """Bowren 2021, derived: d min E / dD = -(x - Dz*) z*^T and d min E / d lam_i = z*_i."""
    rng = np.random.default_rng(8)
    atoms, x, lam = (
        rng.standard_normal((6, 8)),
        rng.standard_normal((1, 8)),
        rng.uniform(0.1, 0.4, 6),
    )

    def least(atoms, lam):
        problem = sc.SparseCodingProblem(x, sc.Dictionary(atoms), sc.Exponential(lam))
        return problem.objective(exact(x, atoms, sc.Exponential(lam), tol=1e-14))[0]

    codes = exact(x, atoms, sc.Exponential(lam), tol=1e-14)
    h = 1e-5  # truncation h^2, rounding 1e-14 / h
    residual = x - codes @ atoms
    for _ in range(4):
        d_atoms, d_lam = rng.standard_normal(atoms.shape), rng.standard_normal(6)
        slope = (least(atoms + h * d_atoms, lam) - least(atoms - h * d_atoms, lam)) / (2 * h)
        assert slope == pytest.approx(-np.sum(codes.T @ residual * d_atoms), abs=1e-6)
        slope = (least(atoms, lam + h * d_lam) - least(atoms, lam - h * d_lam)) / (2 * h)
        assert slope == pytest.approx(np.sum(codes * d_lam), abs=1e-6)


# -- convolution ----------------------------------------------------------------------------
EXACT_LAYERS = {
    "stride = kernel": sc.ConvDictionary.orthonormal(5, 3, (9, 9), n_channels=2, random_state=0),
    "stride = kernel, DCT": sc.ConvDictionary.dct(3, (9, 6)),
    "Haar": sc.ConvDictionary.haar((8, 6), n_channels=2),
    "Daubechies-4": sc.ConvDictionary.daubechies4((8, 8)),
}


@pytest.mark.parametrize("name", EXACT_LAYERS)
@pytest.mark.parametrize("prior", [sc.Exponential, sc.Laplace])
def test_a_layer_of_orthonormal_copies_is_the_code_of_the_whole_image(name, prior):
    """Against a solver of the global problem that knows no convolution."""
    dictionary = EXACT_LAYERS[name]
    assert dictionary.is_orthonormal and dictionary.gram_deviation < ROUNDING
    atoms = dense_atoms(dictionary)
    np.testing.assert_allclose(atoms @ atoms.T, np.eye(len(atoms)), atol=ROUNDING)
    rng = np.random.default_rng(9)
    x = rng.standard_normal((2, *dictionary.signal_shape))
    lam = rng.uniform(0.1, 0.5, dictionary.n_atoms)  # one rate, so one bias, per feature map
    solution = sc.Orthogonal().solve(sc.SparseCodingProblem(x, dictionary, prior(lam)))
    assert solution.gap.max() < ROUNDING
    rates = np.repeat(lam, int(np.prod(dictionary.code_shape[1:])))
    for row, codes in zip(x.reshape(2, -1), solution.codes.reshape(2, -1), strict=True):
        minus = rates if prior is sc.Laplace else None
        found, _ = bounded_least_energy(row, atoms, plus=rates, minus=minus)
        np.testing.assert_allclose(codes, found, atol=1e-6)


def test_orthonormal_filters_at_stride_one_are_not_an_orthonormal_dictionary():
    """Six orthonormal 3 x 3 filters slid over an image: one step is worse than no code at all."""
    rng = np.random.default_rng(0)
    dictionary = sc.ConvDictionary.orthonormal(6, 3, (12, 12), stride=1, random_state=0)
    flat = dictionary.filters.reshape(6, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(6), atol=ROUNDING)
    assert not dictionary.is_orthonormal and dictionary.gram_deviation > 1
    problem = sc.SparseCodingProblem(
        rng.standard_normal((1, 1, 12, 12)), dictionary, sc.Exponential(0.2)
    )
    one = sc.ForwardTransform().solve(problem)
    zero, best = problem.objective(np.zeros(problem.shape)), sc.solve(problem).objective
    assert one.objective > 2 * zero > 2 * best  # the pattern: overshoot, nothing, optimum
    assert best < 0.5 * zero
    assert not one.converged.any() and one.gap.min() > 0.5
    calibrated = sc.ForwardTransform(calibrate=True).solve(problem)
    assert best <= calibrated.objective <= zero
    with pytest.raises(sc.InputError, match=r"not orthonormal.*FISTA\(\)"):
        sc.Orthogonal().solve(problem)


@pytest.mark.parametrize(
    "channels,stride,size", [(1, 1, 4), (1, 2, 4), (2, 1, 4), (2, 2, 4), (1, 2, 6)]
)
def test_periodic_copies_cannot_be_orthonormal_beyond_channels_times_stride_squared(
    channels, stride, size
):
    """K (N / s)^2 atoms do not fit into C N^2 dimensions: K <= C s^2, and the bound is attained."""
    rng = np.random.default_rng(10)
    most = channels * stride**2
    fits = sc.ConvDictionary.orthonormal(
        most, stride, (size, size), n_channels=channels, padding="circular", random_state=0
    )
    assert fits.is_orthonormal
    for kernel in (2, 3):
        filters = rng.standard_normal((most + 1, channels, kernel, kernel))
        if channels * kernel**2 > most:  # as orthonormal among themselves as filters can be
            q = np.linalg.qr(filters.reshape(most + 1, -1).T)[0].T
            filters = q.reshape(filters.shape)
        beyond = sc.ConvDictionary(filters, (size, size), stride=stride, padding="circular")
        assert np.prod(beyond.code_shape) > np.prod(beyond.signal_shape)
        assert not beyond.is_orthonormal and beyond.gram_deviation >= 1 - ROUNDING


def test_a_complete_orthonormal_set_at_stride_one_is_a_tight_frame_and_one_kth_of_it_is_safe():
    """Bowren 2021, derived: all squared singular values are k^2; filters / k descend."""
    dictionary = sc.ConvDictionary.orthonormal(
        9, 3, (6, 7), stride=1, padding="circular", random_state=1
    )
    values = np.linalg.svd(dense_atoms(dictionary), compute_uv=False)
    np.testing.assert_allclose(values**2, 9.0, rtol=ROUNDING)
    assert dictionary.lipschitz == pytest.approx(9.0, rel=1e-10)
    x = np.random.default_rng(11).standard_normal((5, 1, 6, 7))
    safe = sc.SparseCodingProblem(
        x, dictionary.with_atoms(dictionary.filters / 3), sc.Exponential(0.1)
    )
    one = sc.ForwardTransform().solve(safe)
    assert (one.objective <= safe.objective(np.zeros(safe.shape))).all()


def test_an_overcomplete_layer_can_have_more_energy_than_the_zero_code():
    rng = np.random.default_rng(0)
    worse = 0
    for seed in range(20):
        dictionary = sc.Dictionary.random(20, 12, seed)
        problem = sc.SparseCodingProblem(
            rng.standard_normal((1, 12)), dictionary, sc.Exponential(0.2)
        )
        one, zero = sc.ForwardTransform().solve(problem), problem.objective(np.zeros((1, 20)))
        assert one.objective >= sc.solve(problem).objective - ROUNDING
        worse += int(one.objective[0] > zero[0])
        calibrated = sc.ForwardTransform(calibrate=True).solve(problem)
        assert calibrated.objective[0] <= zero[0] + ROUNDING
    assert worse >= 1


# -- bounds between the forward pass and the code -------------------------------------------
@pytest.mark.parametrize("signed", [True, False])
def test_the_forward_pass_stays_within_the_computable_bounds_of_the_code(signed):
    """Elementary, for unit atoms and 1-Lipschitz prox: with G = I + H,

    1. |z* - z0| <= |H| |z*| entrywise, hence mu |z*|_1 in the sup norm and ||H|| |z*| in the norm;
    2. |z* - z0|_inf <= mu / lam min(P(z0), P(0)), without solving;
    3. |D z0 - D z*| <= sqrt(2 gap(z0)).
    """
    rng = np.random.default_rng(12)
    informative = []
    for _ in range(60):
        m, n = rng.integers(3, 16), rng.integers(3, 12)
        dictionary = sc.Dictionary.random(m, n, rng)
        lam = rng.uniform(0.05, 0.5)
        prior = sc.Laplace(lam) if signed else sc.Exponential(lam)
        problem = sc.SparseCodingProblem(rng.standard_normal((1, n)), dictionary, prior)
        forward = sc.ForwardTransform().solve(problem)
        solved = sc.FISTA(TOL, 200_000).solve(problem)
        # an exact code: one more prox of the stationary point only moves it by this much
        z0, z = forward.codes[0], solved.codes[0]
        slack = dictionary.lipschitz * np.sqrt(2 * TOL * (1 + solved.objective[0])) + ROUNDING
        off = np.abs(dictionary.gram - np.eye(m))
        mu = dictionary.mutual_coherence
        assert (np.abs(z - z0) <= off @ np.abs(z) + slack * (1 + m)).all()
        assert np.abs(z - z0).max() <= mu * np.abs(z).sum() + slack * (1 + m)
        spectral = np.linalg.norm(dictionary.gram - np.eye(m), 2)
        assert spectral == pytest.approx(dictionary.gram_deviation, rel=1e-9)
        assert np.linalg.norm(z - z0) <= spectral * np.linalg.norm(z) + slack * (1 + m)
        zero = problem.objective(np.zeros((1, m)))[0]
        assert np.abs(z - z0).max() <= mu / lam * min(forward.objective[0], zero) + slack * (1 + m)
        distance = np.linalg.norm((z0 - z) @ dictionary.atoms)
        bound = np.sqrt(2 * forward.dual_gap[0])
        assert distance <= bound + slack
        if bound > slack:
            informative.append(distance / bound)
    assert np.median(informative) > 0.4  # tight within a small factor


def test_without_coherence_every_bound_is_zero_and_one_step_is_the_code():
    dictionary = sc.Dictionary.dct(9)
    problem = sc.SparseCodingProblem(
        np.random.default_rng(0).standard_normal((3, 9)), dictionary, sc.Exponential(0.2)
    )
    forward = sc.ForwardTransform().solve(problem)
    assert dictionary.mutual_coherence < ROUNDING and dictionary.gram_deviation < ROUNDING
    assert np.sqrt(2 * forward.dual_gap).max() < 1e-6  # the root of a gap that is rounding
    np.testing.assert_allclose(forward.codes, sc.FISTA(1e-13).solve(problem).codes, atol=1e-12)


# -- hierarchies ----------------------------------------------------------------------------
def stacks():
    rng = np.random.default_rng(13)
    lam = rng.uniform(0.05, 0.3, 6)
    first = sc.ConvDictionary.random(6, 3, (10, 10), padding="same", random_state=1)
    second = sc.ConvDictionary.random(5, 3, (5, 5), n_channels=6, stride=2, random_state=2)
    whole = sc.Dictionary.random(12, 20, random_state=3)
    improper = rng.normal(0, 0.2, 12)
    return {
        "three levels, all shapes of rate": [
            sc.Level(first, sc.Exponential(lam), sc.MaxPool(2)),
            sc.Level(second, sc.Exponential(0.1)),
            sc.Level(whole, sc.Exponential(improper)),
        ],
        "one rate per coefficient": [
            sc.Level(
                first, sc.Exponential(rng.uniform(0, 0.3, first.code_shape)), sc.AveragePool(2)
            ),
            sc.Level(second, sc.NonNegative()),
        ],
        "other activations": [
            sc.Level(first, sc.Laplace(lam), sc.L2Pool(2)),
            sc.Level(second, sc.ElasticNet(0.1, 0.5, nonnegative=True)),
            sc.Level(whole, sc.Huber(0.3, 0.2)),
        ],
        "periodic wavelets": [
            sc.Level(sc.ConvDictionary.haar((10, 10)), sc.Exponential(0.1)),
            sc.Level(
                sc.ConvDictionary.random(
                    3, 2, (5, 5), n_channels=4, padding="circular", random_state=4
                ),
                sc.Exponential(0.2),
            ),
        ],
    }


@pytest.mark.parametrize("name", stacks())
def test_greedy_one_step_inference_is_the_forward_pass_of_the_network(name):
    """Bowren 2021 (links 4 and 5): the hierarchy is the CNN, level by level."""
    hierarchy = sc.Hierarchy(stacks()[name])
    x = np.random.default_rng(14).standard_normal((7, 1, 10, 10))
    codes = hierarchy.encode(x, sc.ForwardTransform())
    outputs = hierarchy.to_network().forward(x)[0]
    np.testing.assert_allclose(codes, outputs, rtol=ROUNDING, atol=ROUNDING)
    assert np.abs(codes).max() > 0.1


def test_a_hierarchy_with_a_logistic_readout_has_the_logits_of_the_cnn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(15)
    hierarchy = sc.Hierarchy(stacks()["three levels, all shapes of rate"])
    x, y = rng.standard_normal((30, 1, 10, 10)), rng.integers(0, 3, 30)
    codes = hierarchy.encode(x, sc.ForwardTransform()).reshape(30, -1)
    readout = LogisticRegression(max_iter=500).fit(codes, y)
    logits = hierarchy.to_network(readout).forward(x)[0]
    expected = readout.decision_function(codes)
    np.testing.assert_allclose(logits, expected, rtol=ROUNDING, atol=ROUNDING)


def test_biases_and_rates_make_the_round_trip():
    lam = np.array([0.3, 0.0, -0.2, 0.1])
    dictionary = sc.ConvDictionary.random(4, 3, (6, 6), random_state=0)
    network = sc.Hierarchy([sc.Level(dictionary, sc.Exponential(lam))]).to_network()
    bias = network.layers[0].params["bias"]
    np.testing.assert_array_equal(bias, -lam)
    assert not sc.Exponential(-bias).is_proper  # two of four biases are not negative
    assert [sc.Exponential(rate).is_proper for rate in -bias] == [True, False, False, True]


def test_greedy_energies_telescope_for_orthonormal_levels():
    """Bowren 2021, derived: the energies of all levels add to 1/2 |x|^2 - 1/2 |top code|^2."""
    rng = np.random.default_rng(16)
    levels = [
        sc.Level(sc.ConvDictionary.haar((8, 8)), sc.Exponential(rng.normal(0.1, 0.1, 4))),
        sc.Level(sc.ConvDictionary.haar((4, 4), n_channels=4), sc.Exponential(0.05)),
        sc.Level(sc.Dictionary.orthonormal(64, random_state=0), sc.Laplace(0.1)),
    ]
    x = rng.standard_normal((5, 1, 8, 8))
    solutions = sc.Hierarchy(levels).solutions(x)
    total = sum(solution.objective for solution in solutions)
    top = solutions[-1].codes
    expected = 0.5 * (x**2).sum(axis=(1, 2, 3)) - 0.5 * (top**2).sum(axis=1)
    np.testing.assert_allclose(total, expected, rtol=ROUNDING)
    for solution in solutions:
        assert solution.gap.max() < FAR_INTERIOR


def test_a_dense_first_level_takes_images_flattened_in_both_worlds():
    levels = [sc.Level(sc.Dictionary.random(10, 36, random_state=0), sc.Exponential(0.1))]
    hierarchy = sc.Hierarchy(levels)
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 6))
    for images in (x, x.reshape(2, 36)):
        forward = hierarchy.encode(images, sc.ForwardTransform())
        assert np.abs(forward - hierarchy.to_network().forward(images)[0]).max() < 1e-12
