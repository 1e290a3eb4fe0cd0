"""The comparison's numbers, recomputed by hand from the solutions; its promises; its refusals."""

import json
import warnings

import numpy as np
import pytest
from tolerances import ROUNDING, SINGLE

import sparsecnn as sc
from sparsecnn.comparison import coherence_sweep, standard_solvers

RNG = np.random.default_rng(0)
FOUR = np.ones((4, 1, 4, 4))
STEPS = {"one": sc.ForwardTransform(), "two": sc.ISTA(max_iter=2), "code": sc.FISTA(tol=1e-9)}


def _problem(prior=None, n=20):
    x = np.random.default_rng(1).standard_normal((n, 12))
    x[3] = 0.0
    return sc.SparseCodingProblem(x, sc.Dictionary.random(18, 12, 2), prior or sc.Exponential(0.3))


@pytest.fixture(scope="module")
def digits():
    """Two small convolutional levels on scikit-learn's digits, with a pool between them."""
    from sparsecnn import datasets

    data = datasets.load("digits", random_state=0)
    first = sc.ConvDictionary.orthonormal(8, 4, (8, 8), stride=2, random_state=0)
    second = sc.ConvDictionary.random(12, 2, (3, 3), n_channels=8, random_state=1)
    levels = [sc.Level(first, sc.Exponential(0.05)), sc.Level(second, sc.Exponential(0.05))]
    hierarchy = sc.Hierarchy(levels)
    result = sc.compare(
        hierarchy,
        x=data.test[:150],
        y=data.test_labels[:150],
        readout=(data.train[:500], data.train_labels[:500]),
        noise=(0.0, 0.5),
    )
    return hierarchy, data, result


def _solve(solver, problem):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sc.ConvergenceWarning)  # two steps are what is asked for
        return solver.solve(problem)


def _by_hand(problem, solver, reference):
    """Averages of one row, written out sample by sample."""
    solution, exact = _solve(solver, problem), _solve(reference, problem)
    atoms, errors, overlaps, misfits, distances, bounds = (
        problem.dictionary.atoms,
        [],
        [],
        [],
        [],
        [],
    )
    for x, z, wanted, gap in zip(problem.x, solution.codes, exact.codes, solution.dual_gap,
                                 strict=True):  # fmt: skip
        if wanted.any():
            errors.append(np.linalg.norm(z - wanted) / np.linalg.norm(wanted))
        elif not z.any():
            errors.append(0.0)
        here, there = set(np.flatnonzero(z)), set(np.flatnonzero(wanted))
        overlaps.append(len(here & there) / len(here | there) if here | there else 1.0)
        if x.any():
            size = np.linalg.norm(x)
            misfits.append(np.linalg.norm(x - z @ atoms) / size)
            distances.append(np.linalg.norm((z - wanted) @ atoms) / size)
            bounds.append(np.sqrt(2 * gap) / size)
    averages = [np.mean(v) for v in (errors, overlaps, misfits, distances, bounds)]
    return [np.mean(solution.gap), np.max(solution.gap), np.mean(solution.codes != 0), *averages]


@pytest.mark.parametrize("prior", [sc.Exponential(0.3), sc.Laplace(0.5), sc.ElasticNet(0.2, 0.1)])
def test_rows_are_the_averages_one_computes_by_hand(prior):
    problem = _problem(prior)
    result = sc.compare(problem, STEPS)
    assert [row.solver for row in result.rows] == list(STEPS)
    for row in result.rows:
        got = [row.gap, row.worst_gap, row.density, row.code_error, row.support_overlap,
               row.reconstruction_error, row.reconstruction_distance, row.bound]  # fmt: skip
        wanted = _by_hand(problem, STEPS[row.solver], STEPS["code"])
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=ROUNDING)


def test_per_sample_values_average_to_the_rows():
    result = sc.compare(_problem(), STEPS)
    for row in result.rows:
        key = row.level, row.solver
        assert len(result.gaps[key]) == len(result.residuals[key]) == len(result.errors[key]) == 20
        assert row.gap == pytest.approx(result.gaps[key].mean(), rel=1e-12)
        assert row.residual == pytest.approx(result.residuals[key].mean(), rel=1e-12)
        assert row.code_error == pytest.approx(np.nanmean(result.errors[key]), rel=1e-12)


def test_the_certified_bound_holds_for_every_sample():
    problem = _problem()
    exact = sc.FISTA(tol=1e-13, max_iter=100_000).solve(problem).codes @ problem.dictionary.atoms
    for solver in STEPS.values():
        solution = _solve(solver, problem)
        moved = np.linalg.norm(solution.codes @ problem.dictionary.atoms - exact, axis=1)
        # the reference's own reconstruction is off by at most sqrt(2 gap) of its own
        assert (moved <= np.sqrt(2 * solution.dual_gap) + 1e-5).all()


def test_the_bound_of_every_row_covers_the_measured_distance(digits):
    rows = digits[2].rows
    slack = {row.level: row.bound for row in rows if row.solver == "exact"}
    assert len(rows) == 10
    for row in rows:
        assert row.reconstruction_distance <= row.bound + slack[row.level]


def test_orthonormal_atoms_leave_nothing_to_solve():
    x = RNG.standard_normal((9, 16))
    problem = sc.SparseCodingProblem(x, sc.Dictionary.orthonormal(16, 0), sc.Laplace(0.4))
    result = sc.compare(problem)
    forward = result.rows[0]
    assert forward.solver == "forward"
    assert forward.worst_gap <= 1e-14
    assert forward.support_overlap == 1.0
    assert forward.code_error <= ROUNDING
    assert result.levels[0].mutual_coherence <= ROUNDING
    assert result.levels[0].gram_deviation <= ROUNDING


def test_the_dial_only_gets_better_at_both_levels(digits):
    for level in (1, 2):
        gaps = {r.solver: r.gap for r in digits[2].rows if r.level == level}
        assert list(gaps) == list(standard_solvers(sc.Exponential(0.1)))
        assert gaps["forward"] >= gaps["calibrated"] > gaps["10 steps"] > gaps["exact"]
        assert gaps["exact"] <= 1e-6


def test_a_level_is_posed_on_the_exact_codes_of_the_level_below(digits):
    hierarchy, data, result = digits
    below = sc.FISTA(max_iter=10_000).solve(
        sc.SparseCodingProblem(
            data.test[:150], hierarchy.levels[0].dictionary, sc.Exponential(0.05)
        )
    )
    problem = sc.SparseCodingProblem(
        below.codes, hierarchy.levels[1].dictionary, hierarchy.levels[1].prior
    )
    forward = sc.ForwardTransform().solve(problem)
    np.testing.assert_array_equal(forward.codes[:6], result.examples[2, "forward"])
    np.testing.assert_allclose(forward.gap, result.gaps[2, "forward"], rtol=1e-9)
    assert [info.level for info in result.levels] == [1, 2]
    for info, level in zip(result.levels, hierarchy.levels, strict=True):
        assert info.mutual_coherence == pytest.approx(level.dictionary.mutual_coherence, rel=SINGLE)
        assert info.prior == repr(level.prior)


def test_a_pool_stands_between_the_levels():
    first = sc.ConvDictionary.random(3, 3, (8, 8), random_state=0)
    second = sc.ConvDictionary.random(4, 2, (3, 3), n_channels=3, random_state=1)
    prior = sc.Exponential(0.1)
    hierarchy = sc.Hierarchy([sc.Level(first, prior, sc.MaxPool(2)), sc.Level(second, prior)])
    x = RNG.random((5, 1, 8, 8))
    result = sc.compare(hierarchy, [sc.ForwardTransform(), sc.FISTA()], x=x)
    codes = sc.FISTA().solve(sc.SparseCodingProblem(x, first, prior)).codes
    pooled = sc.MaxPool(2).forward(codes)[0]
    wanted = sc.ForwardTransform().solve(sc.SparseCodingProblem(pooled, second, prior)).codes
    np.testing.assert_array_equal(result.examples[2, repr(sc.ForwardTransform())], wanted)


def test_readouts_see_more_than_chance_and_noise_costs(digits):
    readouts = {row.solver: row for row in digits[2].readouts}
    assert list(readouts) == list(standard_solvers(sc.Exponential(0.1)))
    for name in ("forward", "10 steps", "exact"):
        accuracy = readouts[name].accuracy
        assert accuracy[0.0] > 0.7  # chance is 0.1, its spread over 150 images 0.025
        assert accuracy[0.5] < accuracy[0.0]
    assert readouts["exact"].drift == 0.0
    assert readouts["forward"].drift > readouts["10 steps"].drift > 0.0


def test_labels_alone_make_three_quarters_train():
    x, y = RNG.random((40, 1, 4, 4)), np.arange(40) % 2
    x[y == 1, :, :2] += 2.0
    dictionary = sc.ConvDictionary.random(4, 2, (4, 4), random_state=0)
    hierarchy = sc.Hierarchy([sc.Level(dictionary, sc.Exponential(0.1))])
    result = sc.compare(hierarchy, x=x, y=y)
    assert len(result.gaps[1, "exact"]) == 10
    assert all((x == signal).all(axis=(1, 2, 3)).sum() == 1 for signal in result.signals)
    assert result.readouts[-1].accuracy[0.0] == 1.0


def test_without_labels_there_are_no_readouts():
    result = sc.compare(_problem())
    assert result.readouts == ()
    assert "readout" not in result.summary()


def test_the_dictionary_of_results_is_strict_json(digits):
    for result in (digits[2], sc.compare(_problem(sc.LogSum(0.2, 0.5)))):
        loaded = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert len(loaded["rows"]) == len(result.rows)
        assert loaded["rows"][0]["code_error"] == result.rows[0].code_error
    assert loaded["rows"][0]["gap"] is None
    accuracy = json.loads(json.dumps(digits[2].to_dict()))["readouts"][0]["accuracy"]
    assert set(accuracy) == {"0", "0.5"}


def test_the_summary_says_every_solver_level_and_accuracy(digits):
    text = digits[2].summary()
    for row in digits[2].rows:
        assert f"{row.code_error:.2e}" in text and row.solver in text
    assert "level 1:" in text and "level 2:" in text
    assert f"{digits[2].readouts[0].accuracy[0.5]:.1%}" in text


def test_a_non_convex_prior_prints_no_gap():
    result = sc.compare(_problem(sc.SpikeSlab(0.1)))
    for row in result.rows:
        assert np.isnan(row.gap) and np.isnan(row.worst_gap) and np.isnan(row.bound)
        assert np.isfinite(row.residual) and np.isfinite(row.code_error)
        assert f"({row.residual:.1e})" in result.summary()
    text = result.summary()
    assert "nan" not in text
    assert "fixed-point residual" in text


def test_custom_solvers_keep_their_names_and_the_last_is_the_reference():
    result = sc.compare(_problem(), [sc.ISTA(max_iter=1), sc.CoordinateDescent()])
    assert [row.solver for row in result.rows] == [
        repr(sc.ISTA(max_iter=1)),
        repr(sc.CoordinateDescent()),
    ]
    assert result.rows[-1].code_error == 0.0 and result.rows[-1].support_overlap == 1.0
    single = sc.compare(_problem(), sc.FISTA())
    assert len(single.rows) == 1


def test_solvers_of_one_kind_are_kept_apart_by_their_settings():
    result = sc.compare(_problem(), [sc.ISTA(max_iter=2), sc.ISTA(max_iter=3), sc.FISTA()])
    assert len({row.solver for row in result.rows}) == 3


def test_a_masked_problem_is_measured_on_its_observed_pixels():
    x = RNG.standard_normal((6, 12))
    mask = np.ones(12)
    mask[:4] = 0.0
    dictionary = sc.Dictionary.random(18, 12, 2)
    masked = sc.compare(sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.3), mask=mask), STEPS)
    cut = sc.compare(
        sc.SparseCodingProblem(x[:, 4:], sc.Dictionary(dictionary.atoms[:, 4:]), sc.Laplace(0.3)),
        STEPS,
    )
    for a, b in zip(masked.rows[:1], cut.rows[:1], strict=True):
        assert a.reconstruction_error == pytest.approx(b.reconstruction_error, rel=1e-9)
        assert a.gap == pytest.approx(b.gap, rel=1e-9)


def test_only_an_unfinished_reference_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sc.compare(_problem(), STEPS)
    with pytest.warns(sc.ConvergenceWarning):
        sc.compare(_problem(), [sc.ForwardTransform(), sc.FISTA(tol=1e-12, max_iter=2)])


def test_progress_is_told_before_every_stage_and_meta_is_kept(digits):
    hierarchy, data, _ = digits
    told = []
    result = sc.compare(hierarchy, {"one": sc.ForwardTransform(), "code": sc.FISTA(tol=1e-3)},
                        x=data.test[:20], y=data.test_labels[:20],
                        readout=(data.train[:60], data.train_labels[:60]), noise=[0.0],
                        meta={"seed": 3}, progress=lambda *args: told.append(args))  # fmt: skip
    assert [done for _, done, _ in told] == [0, 1, 2, 3]
    assert {total for _, _, total in told} == {4}
    assert result.meta == {"seed": 3}


@pytest.mark.parametrize(
    ("kind", "call", "name"),
    [
        (sc.InputTypeError, lambda: sc.compare("digits"), "model"),
        (sc.InputTypeError, lambda: sc.compare(None), "model"),
        (sc.InputTypeError, lambda: sc.compare(_problem(), [3]), "solvers"),
        (sc.InputTypeError, lambda: sc.compare(_problem(), []), "solvers"),
        (sc.InputTypeError, lambda: sc.compare(_problem(), {"a": "forward"}), "solvers"),
        (sc.InputError, lambda: sc.compare(_problem(), x=np.ones((2, 12))), "x and y"),
        (sc.InputError, lambda: sc.compare(_problem(), y=[0, 1]), "x and y"),
        (sc.InputError, lambda: sc.compare(_stack()), "x is missing"),
        (sc.InputError, lambda: sc.compare(_stack(), x=np.ones((0, 1, 4, 4))), "x is empty"),
        (sc.InputError, lambda: sc.compare(_stack(), x=np.nan * FOUR), "x contains"),
        (sc.InputError, lambda: sc.compare(_stack(), x=FOUR, y=[0, 1]), "y has"),
        (sc.InputError, lambda: sc.compare(_stack(), x=FOUR, y=[1] * 4), "one class"),
    ],
)  # fmt: skip
def test_wrong_inputs_are_named(kind, call, name):
    with pytest.raises(kind, match=name):
        call()


def _stack():
    dictionary = sc.ConvDictionary.random(2, 2, (4, 4), random_state=0)
    return sc.Hierarchy([sc.Level(dictionary, sc.Exponential(0.1))])


# -- the sweep --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sweep():
    dictionary = sc.ConvDictionary.random(9, 3, (9, 9), random_state=0)
    return coherence_sweep(RNG.random((12, 1, 9, 9)), dictionary, sc.Exponential(0.1))


def test_a_sweep_goes_from_no_overlap_to_most(sweep):
    assert [p.setting for p in sweep.points[:3]] == ["stride 3", "stride 2", "stride 1"]
    assert {p.family for p in sweep.points} == {"these atoms", "random", "orthonormal"}
    for family in ("these atoms", "random", "orthonormal"):
        points = [p for p in sweep.points if p.family == family]
        assert points[-1].mutual_coherence >= points[0].mutual_coherence
        assert points[-1].code_error > points[0].code_error


def test_one_step_is_exact_exactly_where_the_sweep_is_orthonormal(sweep):
    for p in sweep.points:
        exact = p.family == "orthonormal" and p.setting == "stride 3"
        assert (p.mutual_coherence < 1e-12) == exact
        assert (p.gap < 1e-12) == exact
        assert (p.code_error < 1e-9) == exact


def test_a_point_of_the_sweep_is_what_the_solvers_say():
    x, prior = RNG.standard_normal((7, 10)), sc.Laplace(0.2)
    given = 3.0 * sc.Dictionary.random(15, 10, 4).atoms
    point = [p for p in coherence_sweep(x, sc.Dictionary(given), prior).points
             if p.family == "these atoms"][-1]  # fmt: skip
    assert point.setting == "15 atoms"
    unit = sc.Dictionary(given / np.linalg.norm(given, axis=1, keepdims=True))
    problem = sc.SparseCodingProblem(x, unit, prior)
    one, code = (
        sc.ForwardTransform().solve(problem),
        standard_solvers(prior)["exact"].solve(problem),
    )
    errors = np.linalg.norm(one.codes - code.codes, axis=1) / np.linalg.norm(code.codes, axis=1)
    assert point.code_error == pytest.approx(errors.mean(), rel=1e-3)  # codes of gap 1e-3
    assert point.gap == pytest.approx(one.gap.mean(), rel=1e-9)
    assert point.mutual_coherence == pytest.approx(unit.mutual_coherence, rel=1e-12)


def test_a_sweep_is_repeatable_json_and_a_table(sweep):
    loaded = json.loads(json.dumps(sweep.to_dict(), allow_nan=False))
    assert len(loaded["points"]) == len(sweep.points) == 9
    assert all(f"{p.code_error:.2e}" in sweep.summary() for p in sweep.points)
    x, dictionary = RNG.random((3, 8)), sc.Dictionary.random(5, 8, 0)
    one, two = (coherence_sweep(x, dictionary, sc.Laplace(0.1), random_state=5) for _ in range(2))
    assert one == two


def test_a_sweep_refuses_what_does_not_fit():
    dictionary = sc.Dictionary.random(5, 8, 0)
    with pytest.raises(sc.InputError, match="n_samples"):
        coherence_sweep(np.ones((3, 8)), dictionary, sc.Laplace(0.1), n_samples=0)
    with pytest.raises(sc.InputError, match="x contains NaN"):
        coherence_sweep(np.full((3, 8), np.nan), dictionary, sc.Laplace(0.1))


def test_drift_is_measured_on_clean_images_whatever_the_noise():
    rng = np.random.default_rng(0)
    x = rng.random((80, 1, 6, 6))
    hierarchy = sc.Hierarchy(
        [sc.Level(sc.ConvDictionary.random(4, 3, (6, 6), random_state=0), sc.Exponential(0.1))]
    )
    result = sc.compare(hierarchy, x=x, y=np.arange(80) % 2, noise=(0.3,))
    forward, exact = result.readouts[0], result.readouts[-1]
    assert set(forward.accuracy) == {0.0, 0.3}
    assert forward.drift > 0.1 and exact.drift == 0


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_a_comparison_of_far_off_data_is_the_comparison_in_its_own_unit(unit):
    x = np.random.default_rng(7).standard_normal((5, 16))
    dictionary = sc.Dictionary.random(32, 16, random_state=0)
    plain = sc.compare(sc.SparseCodingProblem(x, dictionary, sc.Exponential(0.3)))
    far = sc.compare(sc.SparseCodingProblem(x * unit, dictionary, sc.Exponential(0.3 * unit)))
    for row, same in zip(far.rows, plain.rows, strict=True):
        assert row.bound == pytest.approx(same.bound, rel=1e-6)
        assert row.code_error == pytest.approx(same.code_error, rel=1e-6, abs=1e-9)


def test_images_with_channels_last_are_refused_and_sorted_labels_are_shuffled():
    dictionary = sc.ConvDictionary.random(4, 3, (8, 8), n_channels=3, random_state=0)
    hierarchy = sc.Hierarchy([sc.Level(dictionary, sc.Exponential(0.1))])
    x = np.random.default_rng(0).random((40, 3, 8, 8))
    for wrong in (x.transpose(0, 2, 3, 1), x[0]):
        with pytest.raises(sc.InputError, match="x has shape"):
            sc.compare(hierarchy, x=wrong)
    x[20:] += 1.0
    result = sc.compare(hierarchy, x=x, y=np.repeat([0, 1], 20))
    assert result.readouts[0].accuracy[0.0] > 0.8


def test_the_last_solver_of_a_non_convex_prior_is_not_called_exact():
    x = np.random.default_rng(7).standard_normal((5, 16))
    dictionary = sc.Dictionary.random(32, 16, random_state=0)
    result = sc.compare(sc.SparseCodingProblem(x, dictionary, sc.SpikeSlab(0.1)))
    assert result.reference == "stationary" and "exact" not in result.summary()
    mixed = sc.Hierarchy(
        [
            sc.Level(dictionary, sc.Exponential(0.1)),
            sc.Level(sc.Dictionary.random(8, 32, random_state=0), sc.TopK(3)),
        ]
    )
    assert sc.compare(mixed, x=x).reference == "stationary"


def test_a_level_of_anything_but_a_dictionary_and_a_fitting_prior_is_refused():
    dictionary = sc.Dictionary.random(3, 4, random_state=0)
    for wrong in (("a", 3), (dictionary, 3), (dictionary, sc.Laplace(np.ones(7)))):
        with pytest.raises((sc.InputError, sc.InputTypeError)):
            sc.Level(*wrong)


def test_the_exact_readout_reads_codes_of_gap_1e_4(monkeypatch):
    from sparsecnn.comparison import readouts

    dictionary, prior = sc.ConvDictionary.random(4, 3, (8, 8), random_state=0), sc.Exponential(0.05)
    x, y = np.random.default_rng(0).random((24, 1, 8, 8)), np.arange(24) % 2
    fit, read = readouts._fit_readout, []
    monkeypatch.setattr(readouts, "_fit_readout", lambda f, y: read.append(f) or fit(f, y))
    sc.compare(sc.Hierarchy([sc.Level(dictionary, prior)]), x=x, y=y, readout=(x, y), noise=(0.0,))
    problem = sc.SparseCodingProblem(x, dictionary, prior)
    gaps = [problem.relative_gap(f.reshape(problem.shape)).max() for f in read]
    assert gaps[0] <= 1e-4 < gaps[1]  # the reference comes first, then ten steps
