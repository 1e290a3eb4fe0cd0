"""Hierarchies: greedy one-step inference is the forward pass of a CNN, pools, readout and all."""

from __future__ import annotations

import numpy as np
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from tolerances import ROUNDING, SINGLE

import sparsecnn as sc

POOLS = [None, sc.MaxPool(2, 1), sc.AveragePool((1, 2)), sc.L2Pool(2, (1, 2))]
#: of every prior the one whose parameters are numbers, as they fit any number of atoms
PRIORS = [
    prior
    for prior in strategies.SEPARABLE
    if all(np.ndim(value) == 0 for value in prior.parameters.values())
]


def level_of(draw, rng, shape, *, last):
    """A random level on signals of ``shape``: convolutional while there are two axes to pool."""
    prior = draw(st.sampled_from([*PRIORS, sc.TopK(2), "bias", "rates"]))
    if len(shape) == 1 or (last and draw(st.booleans())):
        n_atoms = draw(st.integers(1, 6))
        dictionary = sc.Dictionary(rng.standard_normal((n_atoms, int(np.prod(shape)))))
        pool = None
    else:
        n_atoms = draw(st.integers(1, 3))
        filters = rng.standard_normal((n_atoms, shape[0], *draw(st.sampled_from([(2, 1), (2, 2)]))))
        padding = draw(st.sampled_from(["same", "circular", 1]))
        dictionary = sc.ConvDictionary(filters, shape[1:], draw(st.integers(1, 2)), padding)
        pool = draw(st.sampled_from(POOLS)) if min(dictionary.code_shape[1:]) > 1 else None
    if prior == "bias":
        prior = sc.Exponential(rng.normal(0.1, 0.2, n_atoms))
    elif prior == "rates":
        prior = sc.Exponential(rng.normal(0.1, 0.2, dictionary.code_shape))
    elif isinstance(prior, sc.TopK):
        prior = sc.TopK(min(prior.k, int(np.prod(dictionary.code_shape))))
    return sc.Level(dictionary, prior, pool)


@st.composite
def hierarchies(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape, levels = (draw(st.integers(1, 2)), 5, 6), []
    n_levels = draw(st.integers(1, 3))
    for i in range(n_levels):
        levels.append(level_of(draw, rng, shape, last=i == n_levels - 1))
        shape = levels[-1].output_shape
    return sc.Hierarchy(levels), rng


@given(hierarchies())
def test_one_step_codes_are_the_forward_pass_of_the_network(case):
    """The central identity, for random stacks of every prior, padding, stride and pool."""
    hierarchy, rng = case
    network = hierarchy.to_network()
    x = rng.standard_normal((3, *hierarchy.levels[0].dictionary.signal_shape))
    assert network.input_shape == x.shape[1:]
    for signals, tolerance in ((x, ROUNDING), (x.astype(np.float32), SINGLE)):
        codes, outputs = hierarchy.encode(signals, sc.ForwardTransform()), network(signals)
        assert codes.dtype == outputs.dtype == signals.dtype
        if signals is x or continuous(hierarchy):
            np.testing.assert_allclose(codes, outputs, rtol=tolerance, atol=100 * tolerance)


def continuous(hierarchy):
    """Whether no code jumps where single precision rounds to the other side."""
    return all(level.prior.is_convex for level in hierarchy.levels)


@given(hierarchies())
def test_a_hierarchy_and_its_network_come_back_from_their_files(tmp_path_factory, case):
    hierarchy, rng = case
    path = tmp_path_factory.mktemp("models") / "model.zip"
    x = rng.standard_normal((2, *hierarchy.levels[0].dictionary.signal_shape))
    sc.save(hierarchy, path)
    again = sc.load(path).to_network()
    sc.save(hierarchy.to_network(), path)
    loaded = sc.load(path)
    assert repr(again) == repr(loaded) == repr(hierarchy.to_network())
    for network in (again, loaded):
        np.testing.assert_array_equal(network(x), hierarchy.to_network()(x))


def by_hand(x, filters, prior, pool):
    """One level of stride 1 by loops: correlations, prox, and the pool of every window."""
    rows, columns = (n - k + 1 for n, k in zip(x.shape[2:], filters.shape[2:], strict=True))
    v = np.zeros((len(x), len(filters), rows, columns))
    for n, k, i, j in np.ndindex(v.shape):
        patch = x[n, :, i : i + filters.shape[2], j : j + filters.shape[3]]
        v[n, k, i, j] = (patch * filters[k]).sum()
    z = prior.prox(v)
    out = np.zeros((*z.shape[:2], rows // 2, columns // 2))
    for n, k, i, j in np.ndindex(out.shape):
        out[n, k, i, j] = pool(z[n, k, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2])
    return z, out


@pytest.mark.parametrize(
    "pool, reduce",
    [(sc.MaxPool(2), np.max), (sc.AveragePool(2), np.mean), (sc.L2Pool(2), np.linalg.norm)],
    ids=["max", "average", "l2"],
)
def test_pools_are_fed_the_codes_with_their_signs(pool, reduce):
    rng = np.random.default_rng(0)
    filters, x = rng.standard_normal((3, 2, 2, 2)), rng.standard_normal((4, 2, 5, 7))
    prior = sc.Laplace(0.4)
    level = sc.Level(sc.ConvDictionary(filters, (5, 7)), prior, pool)
    codes, pooled = by_hand(x, filters, prior, reduce)
    assert (codes < 0).any() and (reduce is np.linalg.norm or (pooled < 0).any())
    hierarchy = sc.Hierarchy([level])
    np.testing.assert_allclose(level.pass_up(codes), pooled, rtol=ROUNDING)
    for top in (hierarchy.encode(x, sc.ForwardTransform()), hierarchy.to_network()(x)):
        np.testing.assert_allclose(top, pooled, rtol=ROUNDING, atol=ROUNDING)
    solution = hierarchy.solutions(x, sc.ForwardTransform())[0]
    np.testing.assert_allclose(solution.codes, codes, rtol=ROUNDING, atol=ROUNDING)


def test_a_rate_a_feature_map_is_a_bias_and_every_other_prior_an_activation():
    dictionary = sc.ConvDictionary(np.ones((2, 1, 2, 2)), (3, 3))
    rates = np.array([0.3, -0.1])
    for prior, bias in (
        (sc.Exponential(0.3), [-0.3, -0.3]),
        (sc.Exponential(rates), -rates),
        (sc.NonNegative(), None),
        (sc.Exponential(np.full((2, 2, 2), 0.3)), None),
        (sc.Laplace(abs(rates)), None),
    ):
        conv, activation = sc.Hierarchy([sc.Level(dictionary, prior)]).to_network().layers
        assert bias is conv.bias or np.array_equal(conv.bias, bias)
        if bias is None:
            assert activation.prior is prior
        else:  # the rate is in the bias; the sign constraint is left, and its prox is the ReLU
            assert isinstance(activation.prior, sc.NonNegative)


# -- the readout ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images[:300] / 16, data.target[:300]


@pytest.mark.parametrize("n_classes", [2, 10])
def test_the_folded_readout_is_the_regression_on_standardised_codes(n_classes, digits):
    """Shift and scale of the codes are folded into weights and intercept, and change no logit."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    images, y = (part[digits[1] < n_classes] for part in digits)
    classifier = sc.SparseCNNClassifier((4, 6), pool=(2, None), n_epochs=1, random_state=0)
    classifier.fit(images, y)
    codes = classifier.hierarchy_.encode(images[:, None], sc.ForwardTransform())
    codes = codes.reshape(len(images), -1)
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(codes, y)
    wanted = plain.decision_function(codes)
    assert np.abs(plain[-1].intercept_).min() > 0.01
    for got in (
        classifier.decision_function(images),
        np.squeeze(classifier.to_network()(images[:, None])),
        classifier.readout_.decision_function(codes),
    ):
        np.testing.assert_allclose(got, wanted, atol=100 * ROUNDING, rtol=100 * ROUNDING)
    np.testing.assert_array_equal(classifier.predict(images), plain.predict(codes))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("intercept", [True, False])
def test_any_linear_classifier_is_a_readout_and_gives_the_network_its_classes(
    n_classes, intercept, digits
):
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.svm import LinearSVC

    images, y = (part[digits[1] < n_classes] for part in digits)
    names = np.array(["nought", "one", "two", "three"])[y]
    hierarchy = sc.Hierarchy([sc.Level(sc.ConvDictionary.haar((8, 8)), sc.Exponential(0.1))])
    codes = hierarchy.encode(images[:, None], sc.ForwardTransform()).reshape(len(images), -1)
    for kind in (LogisticRegression, RidgeClassifier, LinearSVC):
        readout = kind(fit_intercept=intercept).fit(codes, names)
        network = hierarchy.to_network(readout)
        logits = network(images[:, None])
        decision = readout.decision_function(codes).reshape(len(images), -1)
        np.testing.assert_allclose(logits, decision, rtol=100 * ROUNDING, atol=100 * ROUNDING)
        assert network.classes.tolist() == readout.classes_.tolist()
        np.testing.assert_array_equal(network.predict(images[:, None]), readout.predict(codes))


# -- what a hierarchy takes -----------------------------------------------------------------
def test_levels_that_do_not_meet_are_refused():
    first = sc.Level(sc.ConvDictionary.haar((8, 8)), sc.Exponential(0.1))
    with pytest.raises(sc.InputError, match=r"levels\[1\] expects signals of shape \(5,\)"):
        sc.Hierarchy([first, sc.Level(sc.Dictionary.random(3, 5), sc.Laplace(0.1))])
    with pytest.raises(sc.InputTypeError, match=r"levels\[1\] is .*expected Level"):
        sc.Hierarchy([first, sc.Laplace(0.1)])
    with pytest.raises(sc.InputError, match="levels is empty"):
        sc.Hierarchy([])
    with pytest.raises(sc.InputTypeError, match="pool is 2; expected a pooling layer"):
        sc.Level(first.dictionary, first.prior, 2)


def test_the_network_of_a_hierarchy_knows_its_input():
    levels = [sc.Level(sc.ConvDictionary.haar((8, 6)), sc.Exponential(0.1), sc.MaxPool(2)),
              sc.Level(sc.Dictionary.random(5, 8, random_state=0), sc.Laplace(0.1))]  # fmt: skip
    network = sc.Hierarchy(levels).to_network()
    assert network.input_shape == (1, 8, 6) and network.classes is None
    assert network.summary().splitlines()[1].split() == ["input", "(1,", "8,", "6)"]
    with pytest.raises(sc.InputError, match=r"expected \(1, 8, 6\)"):
        network(np.zeros((2, 1, 6, 8)))
    flat = sc.Hierarchy(levels[1]).to_network()
    assert flat.input_shape == (8,) and flat(np.ones((2, 4, 1, 2))).shape == (2, 5)
