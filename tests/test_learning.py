"""Dictionary learning: what an update may do to the energy, and what earlier batches taught."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import MiniBatchDictionaryLearning

import sparsecnn as sc
from sparsecnn.learning import AtomStatistics

DENSE = sc.Dictionary.random(12, 9, random_state=0)
GEOMETRIES = [  # image, kernel, stride, padding
    ((9, 9), 3, 1, "valid"),
    ((9, 8), (3, 2), 2, "valid"),
    ((5, 9), (5, 3), (1, 2), "valid"),
    ((5, 5), 5, 1, "valid"),
    ((9, 9), 2, 3, "valid"),
    ((8, 8), 4, 2, "same"),
    ((8, 8), 3, 1, "same"),
    ((8, 8), 3, 2, 2),
    ((8, 8), 3, 2, "circular"),
    ((7, 7), 3, 2, "circular"),
    ((4, 4), 6, 2, "circular"),
]
BANKS = [
    sc.ConvDictionary.random(
        5, kernel, image, n_channels=2, stride=stride, padding=padding, random_state=1
    )
    for image, kernel, stride, padding in GEOMETRIES
]
#: where the statistics are the energy, not only an upper bound of it
TIGHT = [DENSE, *BANKS[:5], BANKS[8], BANKS[10]]


def batch(dictionary, rng, n=20):
    """Signals, and sparse codes that have nothing to do with them."""
    codes = np.maximum(rng.standard_normal((n, *dictionary.code_shape)) - 1, 0)
    return rng.standard_normal((n, *dictionary.signal_shape)), codes


def fidelity(dictionary, x, codes):
    return 0.5 * ((x - dictionary.synthesize(codes)) ** 2).sum()


@pytest.fixture(scope="module")
def digits():
    images = load_digits().images[:, None] / 16
    return images[np.random.default_rng(5).permutation(len(images))]


# -- one update -----------------------------------------------------------------------------
@pytest.mark.parametrize("dictionary", [DENSE, *BANKS], ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_no_update_raises_the_energy_of_its_batch(dictionary, seed):
    x, codes = batch(dictionary, np.random.default_rng(seed))
    statistics = AtomStatistics(dictionary)
    statistics.add(dictionary, x - dictionary.synthesize(codes), codes)
    energies = [fidelity(dictionary, x, codes)]
    for _ in range(4):
        dictionary = statistics.improved(dictionary)
        energies.append(fidelity(dictionary, x, codes))
    assert (np.diff(energies) <= 1e-12 * energies[0]).all()
    assert energies[-1] < 0.99 * energies[0]
    norms = np.linalg.norm(dictionary.atoms.reshape(dictionary.n_atoms, -1), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-12)


@pytest.mark.parametrize("dictionary", TIGHT, ids=repr)
def test_many_updates_reach_the_best_atoms_on_the_sphere(dictionary):
    """At the end every atom's gradient is normal to the sphere: nothing is left to gain."""
    x, codes = batch(dictionary, np.random.default_rng(3))
    statistics = AtomStatistics(dictionary)
    statistics.add(dictionary, x - dictionary.synthesize(codes), codes)
    for _ in range(300):
        dictionary = statistics.improved(dictionary)
    slope = dictionary.atom_gradient(x - dictionary.synthesize(codes), codes)
    slope, atoms = (a.reshape(dictionary.n_atoms, -1) for a in (slope, dictionary.atoms))
    tangent = slope - (slope * atoms).sum(axis=1, keepdims=True) * atoms
    size = np.linalg.norm(dictionary.atom_gradient(x, codes))
    assert np.linalg.norm(tangent) < 5e-3 * size


@pytest.mark.parametrize("dictionary", TIGHT, ids=repr)
def test_an_update_minds_all_batches_old_ones_less(dictionary):
    """The weighted energy of all batches never rises: weights (1 - n / N)^8, newest first."""
    rng = np.random.default_rng(1)
    statistics, batches = AtomStatistics(dictionary), []
    for k in range(6):
        x, codes = batch(dictionary, rng)
        statistics.add(dictionary, x - dictionary.synthesize(codes), codes)
        fade = (1 - 1 / (k + 1)) ** 8
        batches = [(w * fade, *b) for w, *b in batches] + [(1.0, x, codes)]
        before = sum(w * fidelity(dictionary, *b) for w, *b in batches)
        dictionary = statistics.improved(dictionary)
        assert sum(w * fidelity(dictionary, *b) for w, *b in batches) < before


def test_an_atom_is_the_weighted_mean_of_what_it_was_used_for():
    """One atom, codes of 1: the direction of sum x, the older batch times (1 - n / N)^8."""
    u, v = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    dictionary = sc.Dictionary([[0.6, 0.0, 0.8]])
    statistics = AtomStatistics(dictionary)
    for x in (np.tile(u, (90, 1)), np.tile(v, (10, 1))):
        codes = np.ones((len(x), 1))
        statistics.add(dictionary, x - dictionary.synthesize(codes), codes)
        dictionary = statistics.improved(dictionary)
    wanted = 90 * 0.9**8 * u + 10 * v
    np.testing.assert_allclose(dictionary.atoms[0], wanted / np.linalg.norm(wanted), rtol=1e-12)


# -- an epoch -------------------------------------------------------------------------------
def learned_energy(x, rows, prior, dictionary, seed):
    """Mean energy of the codes of ``rows`` with atoms learned from ``x``."""
    rng = np.random.default_rng(seed)
    start = dictionary.with_atoms(rng.standard_normal(dictionary.atoms.shape))
    found = sc.learn_dictionary(x, start, prior, random_state=seed).dictionary
    return sc.FISTA(5e-3, 200).solve(sc.SparseCodingProblem(rows, found, prior)).objective.mean()


@pytest.mark.share(2)
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_a_left_over_sample_costs_nothing(kind, digits, scale):
    """One sample more than a batch holds, or many, teach as much up to the noise of the start."""
    bank = sc.ConvDictionary.random(8, 4, (8, 8), stride=2, random_state=0)
    dictionary = sc.Dictionary.random(32, 64, random_state=0) if kind == "dense" else bank
    x = digits.reshape(len(digits), *dictionary.signal_shape)
    means = []
    for n in (256, 257, scale(769, 1797)):
        energies = [
            learned_energy(x[:n], x[:128], sc.Laplace(0.2), dictionary, seed)
            for seed in range(scale(1, 6))
        ]
        means.append(np.mean(energies))
    assert abs(means[1] / means[0] - 1) < 0.03
    assert means[2] < 1.09 * means[0]  # what is taught by all digits suits all of them


def test_learned_atoms_are_as_good_as_scikit_learns(digits):
    """The same start, batches and number of epochs; energies of unseen digits."""
    x, unseen = digits[:768].reshape(-1, 64), digits[1500:].reshape(-1, 64)
    start, prior = sc.Dictionary.random(32, 64, random_state=0), sc.Laplace(0.15)
    ours = sc.learn_dictionary(x, start, prior, n_epochs=5, random_state=0).dictionary
    peer = MiniBatchDictionaryLearning(
        32, alpha=0.15, batch_size=256, max_iter=5, fit_algorithm="cd", dict_init=start.atoms,
        random_state=0, tol=0, max_no_improvement=None,
    ).fit(x)  # fmt: skip
    theirs = sc.Dictionary(peer.components_)
    energy = [
        sc.FISTA(1e-3, 500).solve(sc.SparseCodingProblem(unseen, d, prior)).objective.mean()
        for d in (ours, theirs)
    ]
    assert energy[0] < 1.005 * energy[1]


def test_epochs_are_split_evenly_and_small_sets_further():
    rng = np.random.default_rng(0)
    start = sc.Dictionary.random(4, 6, random_state=0)
    for n, size, wanted in [(257, 128, 8), (600, 64, 10), (100, 256, 3), (40, 256, 1), (5, 2, 3)]:
        record = sc.learn_dictionary(
            rng.standard_normal((n, 6)), start, sc.Laplace(0.1), n_epochs=2, batch_size=size
        )
        assert len(record.objective) == 2 * wanted


def test_atoms_are_revived_in_the_first_half_only():
    """All signals are multiples of one: most atoms are dead for ever."""
    signals = np.outer(np.linspace(1, 2, 64), np.ones(6))
    replaced = []
    record = sc.learn_dictionary(
        signals, sc.Dictionary.random(8, 6, random_state=0), sc.Exponential(0.5), n_epochs=6,
        random_state=0, on_epoch=lambda record: replaced.append(record.n_replaced),
    )  # fmt: skip
    assert 0 == replaced[0] < replaced[1] <= replaced[2] <= replaced[3] == replaced[5]
    assert record.n_replaced == replaced[3]
    once = sc.learn_dictionary(
        signals, sc.Dictionary.random(8, 6, random_state=0), sc.Exponential(0.5), n_epochs=1
    )
    assert once.n_replaced == 0


def test_a_large_unit_changes_nothing_when_learning_goes_on(digits):
    bank = sc.ConvDictionary.random(4, 4, (8, 8), stride=2, random_state=0)
    atoms = []
    for s in (1.0, 2.0**500, 2.0**-600):
        record = sc.learn_dictionary(
            digits[:64] * s, bank, sc.Exponential(0.1 * s), n_epochs=1, random_state=0
        )
        record = sc.learn_dictionary(
            digits[64:128] * s, record.dictionary, sc.Exponential(0.1 * s), n_epochs=1,
            random_state=0, statistics=record.statistics,
        )  # fmt: skip
        atoms.append(record.dictionary.atoms)
    np.testing.assert_allclose(atoms[1], atoms[0], atol=1e-5)
    np.testing.assert_allclose(atoms[2], atoms[0], atol=1e-5)


# -- streams --------------------------------------------------------------------------------
LEARNERS = [
    sc.DictionaryLearner(16, random_state=0),
    sc.ConvDictionaryLearner(4, 4, stride=2, random_state=0),
]


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: type(learner).__name__)
def test_a_blank_batch_of_a_stream_is_passed_over(learner, digits):
    parts = [digits[i : i + 64] for i in range(0, 256, 64)]
    blank = np.zeros_like(parts[0])
    one, other = (type(learner)(**learner.get_params()) for _ in range(2))
    for part in parts:
        one.partial_fit(part)
        other.partial_fit(blank).partial_fit(part).partial_fit(blank)
    np.testing.assert_array_equal(one.dictionary_.atoms, other.dictionary_.atoms)
    np.testing.assert_array_equal(one.objective_, other.objective_)
    with pytest.raises(sc.InputError, match="all zero"):
        one.fit(blank)


def test_blank_mini_batches_are_passed_over(digits):
    x = np.zeros((512, 64))
    x[:64] = digits[:64].reshape(64, 64)
    start = sc.Dictionary.random(8, 64, random_state=0)
    record = sc.learn_dictionary(
        x, start, sc.Laplace(0.1), n_epochs=2, batch_size=2, random_state=0
    )
    assert len(record.objective) < 2 * 256 * 0.3 and (record.objective > 0).all()
    assert np.isfinite(record.dictionary.atoms).all()


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: type(learner).__name__)
def test_a_stream_does_not_forget_what_its_last_batch_lacks(learner, digits):
    """After all digits in parts, one part more leaves the energy of the others where it was."""
    learner = type(learner)(**learner.get_params())
    for i in range(0, 1280, 128):
        learner.partial_fit(digits[i : i + 128])
    whole = digits[:1280].reshape(-1, *learner.dictionary_.signal_shape)

    def energy():
        problem = sc.SparseCodingProblem(whole, learner.dictionary_, sc.Exponential(0.1))
        return sc.FISTA(1e-3, 500).solve(problem).objective.mean()

    before = energy()
    learner.partial_fit(digits[1280:1290])  # ten images
    assert energy() < 1.01 * before
