"""The scikit-learn face: its own checks, every layout of X, and the models underneath."""

import collections
import itertools
import os
import pickle
import subprocess
import sys
import warnings
from unittest import SkipTest

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import AutoPropagatedCallback, FitCallback, ProgressBar
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from tolerances import ROUNDING, SINGLE

import sparsecnn as sc
from sparsecnn.learning import _most_energetic_window

#: small settings, so that hundreds of checks fit in seconds; the atoms are enough for their blobs
CHECKED = [
    sc.SparseCoder(),
    sc.DictionaryLearner(4, n_epochs=1),
    sc.ConvDictionaryLearner(3, 3, n_epochs=1),
    sc.HierarchicalSparseCoder((3, 4), n_epochs=1),
    sc.SparseCNNClassifier((8,), n_epochs=1),
]
#: what scikit-learn 1.9 yields for a transformer and for a classifier with sample weights
N_CHECKS = {
    "SparseCoder": 47,
    "DictionaryLearner": 47,
    "ConvDictionaryLearner": 47,
    "HierarchicalSparseCoder": 47,
    "SparseCNNClassifier": 62,
}
#: the check that scikit-learn skips unless an environment variable is set before SciPy loads
ELSEWHERE = "check_array_api_input"
_passed = collections.Counter()


def _name_of(check):
    return getattr(check, "func", check).__name__


@pytest.mark.share(2)
@parametrize_with_checks(CHECKED)
def test_every_check_of_scikit_learn_passes(estimator, check):
    try:
        check(estimator)
    except SkipTest:
        assert _name_of(check) == ELSEWHERE
        pytest.skip("runs in test_the_array_api_check_passes_where_it_can_run")
    _passed[type(estimator).__name__, _name_of(check) == ELSEWHERE] += 1


@pytest.mark.parametrize("estimator", CHECKED, ids=lambda e: type(e).__name__)
def test_as_many_checks_apply_as_should(estimator):
    # guards against an empty pass: a wrong tag makes nearly all checks not apply
    checks = [_name_of(check) for _, check in estimator_checks_generator(estimator)]
    assert len(checks) == N_CHECKS[type(estimator).__name__]
    assert checks.count(ELSEWHERE) == 1


def test_as_many_checks_passed_as_should(request):
    ran = [
        item
        for item in request.session.items
        if getattr(item, "originalname", "") == "test_every_check_of_scikit_learn_passes"
    ]
    if len(ran) < sum(N_CHECKS.values()) or hasattr(request.config, "workerinput"):
        pytest.skip("this run selected, or this process got, only some of the checks")
    assert {name: _passed[name, False] for name in N_CHECKS} == {
        name: n - 1 for name, n in N_CHECKS.items()
    }


@pytest.mark.full
def test_the_array_api_check_passes_where_it_can_run():
    program = (
        "import sparsecnn as sc\n"
        "from sklearn.utils.estimator_checks import check_array_api_input\n"
        "for e in (sc.SparseCoder(), sc.DictionaryLearner(4, n_epochs=1),\n"
        "          sc.ConvDictionaryLearner(3, 3, n_epochs=1),\n"
        "          sc.HierarchicalSparseCoder((3, 4), n_epochs=1),\n"
        "          sc.SparseCNNClassifier((8,), n_epochs=1)):\n"
        "    check_array_api_input(type(e).__name__, e, array_namespace='numpy',\n"
        "                          expect_only_array_outputs=False)\n"
        "    print('passed')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
    )
    assert run.stdout.split() == ["passed"] * len(CHECKED), run.stderr


# -- data -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.images / 16, data.target


@pytest.fixture(scope="module")
def few(digits):
    return digits[0][:120], digits[1][:120]


def coders(**more):
    """One small estimator of each kind that transforms."""
    return [
        sc.SparseCoder(**more),
        sc.DictionaryLearner(12, n_epochs=1, random_state=0, **more),
        sc.ConvDictionaryLearner(4, 4, stride=2, n_epochs=1, random_state=0, **more),
        sc.HierarchicalSparseCoder((3, 5), n_epochs=1, random_state=0, **more),
    ]


def everything(**more):
    return [*coders(**more), sc.SparseCNNClassifier((4,), n_epochs=1, random_state=0, **more)]


def by_name(estimator):
    return type(estimator).__name__


# -- layouts --------------------------------------------------------------------------------
@pytest.mark.share(2)
@pytest.mark.parametrize("estimator", everything(image_shape=None), ids=by_name)
def test_rows_and_images_give_the_same_model(estimator, few, scale):
    images, y = (part[: scale(40, 120)] for part in few)
    rows = images.reshape(len(images), -1)
    layouts = {
        "images": (images, {}),
        "images with channels": (images[:, None], {}),
        "rows, (h, w)": (rows, {"image_shape": (8, 8)}),
        "rows, (c, h, w)": (rows, {"image_shape": (1, 8, 8)}),
        "rows, square": (rows, {"image_shape": "square"}),
    }
    answers = {}
    for name, (X, how) in layouts.items():
        fitted = clone(estimator).set_params(**how).fit(X, y)
        assert fitted.image_shape_ == (1, 8, 8)
        assert fitted.n_features_in_ == 64
        use = fitted.decision_function if hasattr(fitted, "predict") else fitted.transform
        answers[name] = use(rows)
        np.testing.assert_array_equal(use(images), answers[name])
    for name, answer in answers.items():
        np.testing.assert_array_equal(answer, answers["images"], err_msg=name)


def test_rows_without_a_shape_are_signals_of_height_one(few):
    learner = sc.ConvDictionaryLearner(3, 5, n_epochs=1, random_state=0)
    learner.fit(few[0].reshape(-1, 64))
    assert learner.image_shape_ == (1, 1, 64)
    assert learner.dictionary_.filters.shape == (3, 1, 1, 5)


def test_a_convolutional_dictionary_says_what_a_row_is(few):
    haar = sc.ConvDictionary.haar((8, 8))
    coder = sc.SparseCoder(haar).fit(few[0].reshape(-1, 64))
    assert coder.image_shape_ == (1, 8, 8)


@pytest.mark.parametrize(
    ("X_shape", "image_shape", "words"),
    [
        ((5, 63), "square", "63 features"),
        ((5, 64), (8, 9), "72 numbers, but X has 64"),
        ((5, 8, 8), (4, 4), r"\(1, 8, 8\).*\(1, 4, 4\)"),
        ((3, 8, 8), (3, 8, 8), "either 3 images of 8 x 8.*or one image of 3 channels"),
        ((5, 64), "squared", "'square'"),
        ((5, 64), (8, -8), "image_shape"),
        ((5, 64), 8.5, "image_shape"),
        ((5, 1, 2, 3, 4), None, "5 dimensions"),
        ((5, 8, 8, 3), None, r"channels last.*transpose\(0, 3, 1, 2\).*image_shape=\(8, 8, 3\)"),
    ],
)
@pytest.mark.parametrize("estimator", coders(), ids=by_name)
def test_shapes_that_contradict_are_refused_with_both(estimator, X_shape, image_shape, words):
    X = np.random.default_rng(0).standard_normal(X_shape)
    with pytest.raises((sc.InputError, sc.InputTypeError), match=f"(?s){words}"):
        clone(estimator).set_params(image_shape=image_shape).fit(X)


@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_another_shape_after_fit_is_refused_with_both(estimator, few):
    images, y = few
    fitted = clone(estimator).fit(images, y)
    use = fitted.predict if hasattr(fitted, "predict") else fitted.transform
    with pytest.raises(sc.InputError, match=r"(?s)\(1, 4, 16\).*\(1, 8, 8\)"):
        use(images.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match=r"63 features, but .* is expecting 64"):
        use(images.reshape(-1, 64)[:, 1:])


@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_a_mask_is_never_ignored(estimator, few):
    images, y = few
    with pytest.raises(sc.InputTypeError, match="masked array"):
        clone(estimator).fit(np.ma.masked_less(images, 0.1), y)


@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_numbers_written_as_text_are_refused(estimator, few):
    images, y = few
    for text in (images.astype(str), images.reshape(-1, 64).astype(str).tolist()):
        with pytest.raises(sc.InputTypeError, match="dtype <U"):
            clone(estimator).fit(text, y)


@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_using_it_before_fit_says_so(estimator, few):
    use = estimator.predict if hasattr(estimator, "predict") else estimator.transform
    with pytest.raises(NotFittedError):
        use(few[0])


# -- codes ----------------------------------------------------------------------------------
@pytest.mark.parametrize("estimator", coders(), ids=by_name)
def test_feature_names_say_atom_row_and_column(estimator, few):
    fitted = clone(estimator).set_params(output="maps").fit(few[0])
    maps = fitted.transform(few[0][:2])
    names = fitted.get_feature_names_out()
    assert len(names) == maps[0].size == len(set(names))
    for index in (0, maps[0].size // 2, maps[0].size - 1):
        parts = [int(part.lstrip("atomrc")) for part in names[index].split("_")]
        assert maps[(0, *parts)] == maps[0].ravel()[index]
    if isinstance(fitted, sc.ConvDictionaryLearner):
        assert names[-1] == "atom3_r2_c2"


def test_output_comes_as_rows_maps_csr_or_data_frame(few):
    coder = sc.ConvDictionaryLearner(4, 4, stride=2, n_epochs=1, random_state=0).fit(few[0])
    rows = coder.transform(few[0])
    assert rows.shape == (120, 36)
    maps = coder.set_params(output="maps").transform(few[0])
    np.testing.assert_array_equal(maps, rows.reshape(120, 4, 3, 3))
    sparse = coder.set_params(output="rows", sparse_output=True).transform(few[0])
    np.testing.assert_array_equal(sparse.toarray(), rows)
    frame = coder.set_params(sparse_output=False).set_output(transform="pandas").transform(few[0])
    assert list(frame.columns) == list(coder.get_feature_names_out())
    np.testing.assert_array_equal(frame.to_numpy(), rows)
    for wrong in ({"output": "images"}, {"output": "maps", "sparse_output": True}):
        with pytest.raises(sc.InputError, match="output"):
            clone(coder).set_params(**wrong).fit(few[0])


def test_signals_come_back_from_codes_of_an_orthonormal_dictionary(few):
    for X in (few[0], few[0].reshape(-1, 64), few[0].reshape(-1, 4, 4, 4)):
        for dictionary in (sc.Dictionary.orthonormal(64, random_state=1), None):
            coder = sc.SparseCoder(dictionary, sc.Laplace(0.0))
            back = coder.inverse_transform(coder.fit_transform(X))
            assert back.shape == X.shape
            np.testing.assert_allclose(back, X, atol=ROUNDING)
    haar = sc.SparseCoder(sc.ConvDictionary.haar((8, 8)), sc.Laplace(0.0), output="maps")
    maps = haar.fit_transform(few[0])
    np.testing.assert_allclose(haar.inverse_transform(maps), few[0], atol=ROUNDING)
    as_rows = haar.set_params(output="rows", sparse_output=True).transform(few[0])
    np.testing.assert_allclose(haar.inverse_transform(as_rows), few[0], atol=ROUNDING)
    with pytest.raises(sc.InputError, match=r"\(3, 5\).*\(n, 64\)"):
        haar.inverse_transform(np.ones((3, 5)))


def test_a_pool_that_leaves_no_maps_to_the_next_level_is_refused(few):
    coder = sc.HierarchicalSparseCoder((3, 4), pool=sc.Flatten(), n_epochs=1, random_state=0)
    with pytest.raises(sc.InputError, match=r"expected .channels, height, width.*pool=2"):
        coder.fit(few[0])


def test_a_hierarchy_synthesises_down_its_levels_unless_it_pools(few):
    coder = sc.HierarchicalSparseCoder((3, 5), n_epochs=1, random_state=0).fit(few[0])
    codes = coder.set_params(output="maps").transform(few[0])
    bottom, top = (level.dictionary for level in coder.hierarchy_.levels)
    expected = bottom.synthesize(top.synthesize(codes))[:, 0]
    np.testing.assert_array_equal(coder.inverse_transform(codes), expected)
    pooled = sc.HierarchicalSparseCoder((3,), pool=2, n_epochs=1, random_state=0)
    rows = pooled.fit_transform(few[0])
    with pytest.raises(sc.InputError, match="pool"):
        pooled.inverse_transform(rows)


@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_single_precision_stays_single(estimator, few):
    images, y = few[0].astype(np.float32), few[1]
    fitted = clone(estimator).set_params(tol=1e-3).fit(images, y)
    if hasattr(fitted, "predict"):
        assert fitted.decision_function(images).dtype == np.float32
        logits = fitted.to_network().forward(images[:, None])[0]
        np.testing.assert_allclose(fitted.decision_function(images), logits, atol=SINGLE)
    else:
        assert fitted.transform(images).dtype == np.float32
        assert fitted.inverse_transform(fitted.transform(images)).dtype == np.float32
    assert fitted.gap_.dtype == np.float64


# -- the dial -------------------------------------------------------------------------------
def test_one_step_is_the_forward_pass_of_the_network(few):
    images = few[0]
    coder = sc.HierarchicalSparseCoder((4, 6), pool=(2, None), n_epochs=1, random_state=0, steps=1)
    rows = coder.fit_transform(images)
    forward = coder.hierarchy_.to_network().forward(images[:, None])[0]
    assert np.abs(rows - forward.reshape(len(images), -1)).max() <= ROUNDING
    dense = sc.SparseCoder(sc.Dictionary.random(90, 64, random_state=0), steps=1)
    solved = dense.fit_transform(images)
    forward = dense.hierarchy_.to_network().forward(images.reshape(-1, 64))[0]
    assert np.abs(solved - forward).max() <= ROUNDING
    for fitted, answer in ((coder, rows), (dense, solved)):
        assert np.abs(fitted.transform(images) - answer).max() <= ROUNDING


@pytest.mark.parametrize("prior", [sc.Exponential(0.2), sc.LogSum(0.2, 0.5)], ids=by_name)
def test_more_steps_mean_less_energy_and_no_warning(prior, few):
    dictionary = sc.Dictionary.random(90, 64, random_state=0)
    energies = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for steps in (1, 2, 5, 20, None):
            coder = sc.SparseCoder(dictionary, prior, steps=steps).fit(few[0])
            solution = coder.solutions(few[0])[0]
            energies.append(solution.objective.mean())
            assert coder.n_iter_ == (steps or coder.n_iter_)
    assert all(a > b for a, b in itertools.pairwise(energies)), energies
    assert coder.converged_.all()


def test_the_certificates_are_those_of_the_training_codes(few):
    coder = sc.SparseCoder(sc.Dictionary.random(90, 64, random_state=0)).fit(few[0])
    problem = sc.SparseCodingProblem(
        few[0].reshape(-1, 64), coder.dictionary_, coder.hierarchy_.levels[0].prior
    )
    codes = coder.transform(few[0])
    np.testing.assert_allclose(coder.gap_, problem.relative_gap(codes), atol=ROUNDING)
    np.testing.assert_allclose(coder.dual_gap_, problem.dual_gap(codes), atol=ROUNDING)
    assert coder.converged_.all()
    assert coder.gap_.max() <= coder.tol
    stack = sc.HierarchicalSparseCoder((3, 5), n_epochs=1, random_state=0, steps=1).fit(few[0])
    assert stack.gap_.shape == stack.converged_.shape == (2, 120)
    assert not stack.converged_.any()


def test_missing_the_tolerance_warns_once_with_the_worst_gap(few):
    coder = sc.HierarchicalSparseCoder((6, 6), n_epochs=1, random_state=0, max_iter=2)
    with pytest.warns(sc.ConvergenceWarning, match="worst relative duality gap") as caught:
        coder.fit(few[0])
    assert len(caught) == 1
    worst = coder.gap_[~coder.converged_].max()
    assert f"{worst:.3g}" in str(caught[0].message)
    with pytest.warns(sc.ConvergenceWarning) as caught:
        coder.transform(few[0])
    assert len(caught) == 1


# -- learning -------------------------------------------------------------------------------
def learners(**more):
    return coders(**more)[1:3]


@pytest.mark.parametrize("learner", learners(), ids=by_name)
@pytest.mark.parametrize("init", ["random", "data"])
def test_learning_lowers_the_energy(learner, init, digits):
    learner = clone(learner).set_params(n_epochs=3, init=init).fit(digits[0][:512])
    assert len(learner.objective_) == 3 * 8
    assert learner.n_epochs_ == 3
    assert learner.objective_[-8:].mean() < learner.objective_[:8].mean()
    norms = np.linalg.norm(learner.dictionary_.atoms.reshape(learner.n_atoms, -1), axis=1)
    np.testing.assert_allclose(norms, 1, atol=ROUNDING)


@pytest.mark.parametrize("learner", learners(), ids=by_name)
def test_partial_fit_goes_on_from_the_atoms_it_has(learner, digits):
    parts = digits[0][:128], digits[0][128:256], digits[0][256:384]
    streaming = clone(learner).partial_fit(parts[0])
    once = clone(learner).fit(parts[0])
    np.testing.assert_array_equal(streaming.dictionary_.atoms, once.dictionary_.atoms)
    for part in parts[1:]:
        start, statistics = streaming.dictionary_, streaming._statistics
        signals = part.reshape(len(part), *start.signal_shape)
        record = sc.learn_dictionary(
            signals, start, sc.Exponential(0.1), n_epochs=1, random_state=0, statistics=statistics
        )
        streaming.partial_fit(part)
        np.testing.assert_array_equal(streaming.dictionary_.atoms, record.dictionary.atoms)
    assert not hasattr(once.partial_fit(parts[1]), "gap_")
    with pytest.raises(ValueError, match="features"):
        streaming.partial_fit(np.ones((5, 10)))


def test_parameters_come_for_all_levels_or_one_for_each(few):
    coder = sc.HierarchicalSparseCoder(
        (3, 4),
        (3, (2, 3)),
        stride=(1, 2),
        padding=("same", "circular"),
        lam=(0.1, [0.1, 0.2, 0.3, 0.4]),
        pool=(sc.AveragePool(2), None),
        n_epochs=1,
        random_state=0,
    ).fit(few[0])
    first, second = coder.hierarchy_.levels
    assert first.dictionary.filters.shape == (3, 1, 3, 3)
    assert second.dictionary.filters.shape == (4, 3, 2, 3)
    assert second.dictionary.stride == (2, 2)
    assert isinstance(first.pool, sc.AveragePool)
    assert second.pool is None
    assert second.prior.lam.tolist() == [0.1, 0.2, 0.3, 0.4]
    given = clone(coder).set_params(prior=sc.Laplace(0.2), lam=0.1).fit(few[0])
    assert all(isinstance(level.prior, sc.Laplace) for level in given.hierarchy_.levels)
    with pytest.raises(sc.InputError, match=r"kernel_size is .*each of the 2 levels"):
        clone(coder).set_params(kernel_size=(3, 3, 3)).fit(few[0])


def test_a_level_that_passes_up_nothing_is_named(few):
    with pytest.raises(sc.InputError, match="level 1 passes up only zeros, so level 2 has"):
        sc.HierarchicalSparseCoder((3, 4), lam=(100.0, 0.1), n_epochs=1).fit(few[0])
    with pytest.raises(sc.InputError, match="only zeros, so the readout has nothing to learn"):
        sc.SparseCNNClassifier((3,), lam=100.0, n_epochs=1).fit(*few)


# -- the classifier -------------------------------------------------------------------------
def test_learned_filters_classify_digits_better_than_pixels_do(digits):
    # first 1,000 digits against the other 797, which other people wrote
    (images, y), cut = digits, 1000
    pixels = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pixels.fit(images[:cut].reshape(cut, -1), y[:cut])
    classifier = sc.SparseCNNClassifier((16,), pool=2, n_epochs=1, random_state=0)
    classifier.fit(images[:cut], y[:cut])
    accuracy = classifier.score(images[cut:], y[cut:])
    assert accuracy > 0.93
    assert accuracy > pixels.score(images[cut:].reshape(797, -1), y[cut:])


@pytest.mark.parametrize("classes", [10, 2])
def test_the_logits_are_the_network_s(classes, few):
    images, y = few[0][few[1] < classes], few[1][few[1] < classes]
    names = np.array(list("abcdefghij"))[y]
    classifier = sc.SparseCNNClassifier((4, 6), pool=(2, None), n_epochs=1, random_state=0)
    classifier.fit(images, names)
    logits = classifier.to_network().forward(images[:, None])[0]
    decision = classifier.decision_function(images)
    assert np.abs(logits.reshape(decision.shape) - decision).max() <= ROUNDING
    assert list(classifier.classes_) == sorted(set(names))
    probabilities = classifier.predict_proba(images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=ROUNDING)
    chosen = classifier.classes_[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(classifier.predict(images), chosen)


def test_more_steps_classify_with_the_same_filters(few):
    one = sc.SparseCNNClassifier((4,), n_epochs=1, random_state=0).fit(*few)
    for steps in (3, None):
        more = clone(one).set_params(steps=steps).fit(*few)
        np.testing.assert_array_equal(
            more.hierarchy_.levels[0].dictionary.atoms, one.hierarchy_.levels[0].dictionary.atoms
        )
        assert more.gap_.mean() < one.gap_.mean()
        assert more.score(*few) > 0.9


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_units_change_nothing(scale, few):
    images, y = few
    plain = sc.SparseCNNClassifier((4,), n_epochs=1, random_state=0).fit(images, y)
    moved = sc.SparseCNNClassifier((4,), n_epochs=1, random_state=0, lam=0.1 * scale)
    moved.fit(images * scale, y)
    np.testing.assert_array_equal(moved.predict(images * scale), plain.predict(images))


def test_one_class_is_refused_before_any_learning(few):
    with pytest.raises(sc.InputError, match="one class"):
        sc.SparseCNNClassifier().fit(few[0], np.zeros(len(few[0])))


@pytest.mark.parametrize("scale", [2.0**-18, 1.0])
def test_an_atom_that_is_never_used_is_reborn_from_what_is_explained_worst(scale):
    axis, other, alone = np.eye(3)
    x = np.linspace(1, 2, 40)[:, None] * axis
    x = scale * np.vstack([x, 5 * alone])
    start = sc.Dictionary(np.stack([axis, -other]))  # codes are not negative
    record = sc.learn_dictionary(x, start, sc.Exponential(0.1 * scale), n_epochs=2, random_state=0)
    assert record.n_replaced == 1
    np.testing.assert_allclose(np.abs(record.dictionary.atoms @ alone).max(), 1, atol=1e-6)
    np.testing.assert_allclose(np.abs(record.dictionary.atoms @ axis).max(), 1, atol=1e-6)


def test_a_filter_is_reborn_from_the_window_with_the_largest_residual():
    signal = np.random.default_rng(0).standard_normal((1, 6, 7))
    residual = np.zeros((1, 6, 7))
    residual[:, 3:5, 1:4] = 1.0
    window = _most_energetic_window(signal, residual, (2, 3))
    np.testing.assert_array_equal(window, signal[:, 3:5, 1:4])


@pytest.mark.parametrize("learner", learners(), ids=by_name)
def test_the_certificates_of_training_codes_go_when_learning_goes_on(learner, few):
    certificates = ("gap_", "dual_gap_", "converged_", "n_iter_")
    fitted = clone(learner).fit(few[0])
    assert all(hasattr(fitted, name) for name in certificates)
    fitted.partial_fit(few[0])
    assert not any(hasattr(fitted, name) for name in certificates)


# -- model selection -------------------------------------------------------------------------
def test_a_grid_search_tries_rates_of_a_prior_that_stays_as_it_was(few):
    prior = sc.Laplace(0.1)
    coder = sc.HierarchicalSparseCoder((3,), prior=prior, pool=2, n_epochs=1, random_state=0)
    pipeline = make_pipeline(coder.set_params(steps=1), LogisticRegression())
    grid = {"hierarchicalsparsecoder__prior__lam": [0.05, 50.0]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*few)
    assert search.best_params_ == {"hierarchicalsparsecoder__prior__lam": 0.05}
    tried = search.cv_results_["mean_test_score"]
    assert tried[0] > tried[1] + 0.2  # 50 silences every code
    assert search.best_estimator_[0].hierarchy_.levels[0].prior.lam == 0.05
    assert coder.prior is prior
    assert prior.lam == 0.1


@pytest.mark.parametrize("estimator", everything(prior=sc.ElasticNet(0.1, 0.2)), ids=by_name)
def test_prior_parameters_change_one_estimator_only(estimator):
    prior, twin = estimator.prior, clone(estimator)
    assert estimator.get_params()["prior__alpha"] == 0.2
    assert estimator.set_params(prior__lam=0.7, tol=1e-3) is estimator
    assert (estimator.prior.lam, estimator.prior.alpha, estimator.tol) == (0.7, 0.2, 1e-3)
    assert (prior.lam, twin.prior.lam) == (0.1, 0.1)
    estimator.set_params(prior=sc.Laplace(0.3), prior__lam=0.4)
    assert repr(estimator.prior) == "Laplace(lam=0.4)"
    for wrong, words in (
        ({"prior__rate": 0.1}, "Laplace has no parameter 'rate'; expected one of lam"),
        ({"prior": None, "prior__lam": 0.1}, "prior is None.*Set lam"),
        ({"prior": (sc.Laplace(0.1),), "prior__lam": 0.1}, "Set prior to other priors"),
        ({"prior__lam": -1.0, "tol": 5.0}, "lam"),
    ):
        with pytest.raises(sc.InputError, match=words):
            estimator.set_params(**wrong)
    assert (estimator.prior.lam, estimator.tol) == (0.4, 1e-3)  # a refusal changes nothing


@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_lam_is_the_rate_of_the_exponential_prior_and_gives_way_to_a_prior(estimator, few):
    for params, expected in (
        ({"lam": 0.3}, sc.Exponential(0.3)),
        ({"lam": 0.3, "prior": sc.Laplace(0.2)}, sc.Laplace(0.2)),
    ):
        fitted = clone(estimator).set_params(**params).fit(*few)
        assert repr(fitted.hierarchy_.levels[0].prior) == repr(expected)


@pytest.mark.parametrize("estimator", coders(), ids=by_name)
def test_the_score_is_minus_the_mean_energy(estimator, few):
    seen, other = few[0][:60], few[0][60:]
    fitted = clone(estimator).fit(seen)
    x, energy = other, 0.0
    for level in fitted.hierarchy_.levels:
        dictionary, lam = level.dictionary, level.prior.lam
        x = x.reshape(len(x), *dictionary.signal_shape)
        codes = sc.solve(sc.SparseCodingProblem(x, dictionary, level.prior), tol=1e-9).codes
        left = (x - dictionary.synthesize(codes)).reshape(len(x), -1)
        energy += np.mean(0.5 * (left**2).sum(1) + lam * codes.reshape(len(x), -1).sum(1))
        x = codes
    assert fitted.score(other) == pytest.approx(-energy, rel=1e-4)


def test_the_score_says_when_its_codes_are_not_there_yet(few):
    learner = sc.DictionaryLearner(12, n_epochs=1, random_state=0).fit(few[0])
    exact = learner.score(few[0])
    with pytest.warns(sc.ConvergenceWarning, match="did not reach") as caught:
        assert learner.set_params(max_iter=2).score(few[0]) < exact
    assert len(caught) == 1
    assert learner.set_params(steps=1).score(few[0]) < exact  # as was asked, so nothing is said


def test_the_score_chooses_the_number_of_atoms(few):
    learner = sc.DictionaryLearner(2, sc.Laplace(0.1), n_epochs=2, random_state=0)
    search = GridSearchCV(learner, {"n_atoms": [2, 30], "prior__lam": [0.1]}, cv=2).fit(few[0])
    assert search.best_params_["n_atoms"] == 30


def test_learning_starts_from_a_dictionary_that_is_given(few):
    start = sc.Dictionary(3 * sc.Dictionary.random(7, 64, random_state=3).atoms)
    learner = sc.DictionaryLearner(init=start, n_epochs=1, random_state=0).fit(few[0])
    assert learner.components_ is learner.dictionary_.atoms
    assert learner.components_.shape == (7, 64)
    unit = sc.Dictionary(start.atoms / np.linalg.norm(start.atoms, axis=1, keepdims=True))
    again = sc.learn_dictionary(
        few[0].reshape(-1, 64), unit, sc.Exponential(0.1), n_epochs=1, tol=1e-2,
        random_state=np.random.default_rng(0),
    )  # fmt: skip
    np.testing.assert_array_equal(learner.components_, again.dictionary.atoms)
    filters = sc.ConvDictionary.random(3, 4, (8, 8), stride=2, random_state=0)
    conv = sc.ConvDictionaryLearner(init=filters, n_epochs=1, random_state=0).fit(few[0])
    assert conv.dictionary_.stride == (2, 2)
    assert conv.dictionary_.filters.shape == (3, 1, 4, 4)
    stack = sc.HierarchicalSparseCoder((9, 2), init=(filters, "data"), n_epochs=1).fit(few[0])
    assert [len(level.dictionary.atoms) for level in stack.hierarchy_.levels] == [3, 2]
    for init, kind, words in (
        (sc.Dictionary.random(7, 63), sc.DictionaryLearner, r"\(63,\), but X gives \(64,\)"),
        (filters, sc.DictionaryLearner, "expected a Dictionary"),
        (start, sc.ConvDictionaryLearner, "expected a ConvDictionary"),
        (start.atoms, sc.DictionaryLearner, r"array of shape \(7, 64\).*Dictionary\(atoms\)"),
        ("pca", sc.DictionaryLearner, "init is 'pca'"),
    ):
        with pytest.raises((sc.InputError, sc.InputTypeError), match=words):
            kind(init=init).fit(few[0])


@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_uncentred_data_gets_one_warning(estimator, few):
    with pytest.warns(sc.ConvergenceWarning, match="varies by .* Subtract the mean") as caught:
        clone(estimator).set_params(steps=1).fit(few[0] + 1e4, few[1])
    assert len(caught) == 1


# -- scikit-learn's tools -------------------------------------------------------------------
def test_grid_search_over_a_pipeline_with_images(few):
    pipeline = make_pipeline(
        sc.HierarchicalSparseCoder((3,), pool=2, n_epochs=1, random_state=0, steps=1),
        LogisticRegression(),
    )
    grid = {"hierarchicalsparsecoder__lam": [0.05, 0.5], "hierarchicalsparsecoder__steps": [1, 3]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*few)
    assert search.best_score_ > 0.5
    assert search.score(*few) > 0.9


@pytest.mark.share(2)
@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_clones_repeat_it_and_pickles_keep_it(estimator, few):
    fitted = clone(estimator).fit(*few)
    use = "predict_proba" if hasattr(fitted, "predict") else "transform"
    answer = getattr(fitted, use)(few[0])
    for twin in (pickle.loads(pickle.dumps(fitted)), clone(fitted).fit(*few)):
        np.testing.assert_array_equal(getattr(twin, use)(few[0]), answer)


class Recorder:
    """Notes every task; asks to stop after ``stop_after`` tasks of the name ``stop_at``."""

    max_propagation_depth = None

    def __init__(self, stop_at=None, stop_after=1, interrupt=False):
        self.begun, self.ended, self.tried = [], [], []
        self.stop_at, self.stop_after, self.interrupt = stop_at, stop_after, interrupt

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.ended.append(context.task_name)
        if fitted_estimator is not None and hasattr(fitted_estimator, "transform"):
            self.tried.append(fitted_estimator.transform(X[:2]).shape)
        if self.ended.count(self.stop_at) >= self.stop_after:
            if self.interrupt and context.task_name == self.stop_at:
                raise KeyboardInterrupt
            return context.task_name == self.stop_at
        return False


def test_callbacks_see_levels_and_epochs_and_an_estimator_that_works(few):
    recorder = Recorder()
    assert isinstance(recorder, FitCallback)
    coder = sc.HierarchicalSparseCoder((3, 4), n_epochs=2, random_state=0, steps=1)
    coder.set_callbacks(recorder).fit(few[0])
    assert recorder.ended == ["epoch", "epoch", "level", "epoch", "epoch", "level", "fit"]
    assert sorted(recorder.begun) == sorted(recorder.ended)
    learner = sc.DictionaryLearner(5, n_epochs=2, random_state=0)
    learner.set_callbacks(recorder := Recorder()).fit(few[0])
    assert recorder.ended == ["epoch", "epoch", "level", "fit"]
    assert recorder.tried == [(2, 5)] * 4
    classifier = sc.SparseCNNClassifier((3,), n_epochs=1, random_state=0)
    classifier.set_callbacks(recorder := Recorder()).fit(*few)
    assert recorder.ended[:2] == ["epoch", "level"]
    assert recorder.ended[-1] == "fit"
    assert len(recorder.ended) > 5  # the readout's own iterations


def test_a_callback_can_stop_an_epoch_loop_or_the_stack(few):
    stack = sc.HierarchicalSparseCoder((3, 4), n_epochs=3, random_state=0, steps=1)
    stack.set_callbacks(Recorder(stop_at="epoch")).fit(few[0])
    assert stack.n_epochs_ == (1, 1)
    stack.set_callbacks(Recorder(stop_at="level")).fit(few[0])
    assert stack.n_epochs_ == (3,)
    assert len(stack.hierarchy_.levels) == 1
    assert stack.transform(few[0]).shape == (120, 3 * 36)


@pytest.mark.share(2)
@pytest.mark.parametrize("estimator", everything()[1:], ids=by_name)
def test_ctrl_c_keeps_what_is_learned(estimator, few):
    estimator = clone(estimator).set_params(n_epochs=5)
    estimator.set_callbacks(Recorder(stop_at="epoch", stop_after=2, interrupt=True))
    with pytest.warns(UserWarning, match="interrupted after 2 of 5 epochs of level 1"):
        estimator.fit(*few)
    assert estimator.interrupted_
    use = estimator.predict if hasattr(estimator, "predict") else estimator.transform
    assert np.isfinite(use(few[0])).all()
    two = clone(estimator).set_callbacks().set_params(n_epochs=2).fit(*few)
    assert not two.interrupted_
    np.testing.assert_array_equal(
        two.hierarchy_.levels[0].dictionary.atoms, estimator.hierarchy_.levels[0].dictionary.atoms
    )


def test_progress_nests_under_a_grid_search(few, capsys):
    recorder = Recorder()
    assert isinstance(recorder, AutoPropagatedCallback)
    coder = sc.SparseCNNClassifier((3,), n_epochs=2, random_state=0)
    search = GridSearchCV(coder, {"C": [0.1, 1.0]}, cv=2)
    search.set_callbacks(recorder, ProgressBar(max_propagation_depth=None)).fit(*few)
    assert recorder.ended.count("epoch") == 2 * (2 * 2 + 1)  # candidates x folds, and the refit
    assert "SparseCNNClassifier" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [0, 30, 47])  # the last two were silent before
def test_random_filters_face_the_images_so_that_no_level_is_silent(seed):
    x = 3 * np.random.RandomState(0).uniform(size=(20, 3))
    coder = sc.HierarchicalSparseCoder(n_atoms=(3, 4), n_epochs=1, random_state=seed).fit(x)
    assert all(solution.codes.any() for solution in coder.solutions(x))


def test_k_steps_are_k_steps_however_easy_and_the_most_of_any_level():
    """An easy code is found in a few iterations; twenty were asked for."""
    x = np.random.default_rng(0).random((6, 8))
    easy = sc.SparseCoder(sc.Dictionary.random(4, 8, random_state=0), steps=20).fit(x)
    assert easy.n_iter_ == 20 and easy.gap_.max() < 1e-6
    images = np.random.default_rng(1).random((12, 6, 6))
    coder = sc.HierarchicalSparseCoder(
        (4, 3), 3, stride=(3, 1), lam=(0.3, 0.01), n_epochs=1, init="data", random_state=0
    ).fit(images)
    most = [int(s.n_iter.max()) for s in coder.solutions(images)]
    assert most[0] != most[1] and coder.n_iter_ == max(most)


@pytest.mark.parametrize("wrong", ["relu", 3, sc.Laplace, abs], ids=str)
@pytest.mark.parametrize("estimator", everything(), ids=by_name)
def test_something_that_is_no_prior_is_refused_by_its_name(estimator, wrong, few):
    with pytest.raises(sc.InputTypeError, match=r"prior is .*expected a prior object"):
        clone(estimator).set_params(prior=wrong).fit(*few)


@pytest.mark.parametrize("n_atoms", [8.0, None])
def test_a_number_of_atoms_that_is_none_is_refused(n_atoms, few):
    with pytest.raises(sc.InputTypeError, match="n_atoms is"):
        sc.HierarchicalSparseCoder(n_atoms).fit(few[0])
