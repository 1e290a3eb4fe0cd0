"""What an array is read as: a colour photograph, bytes, rows of pixels."""

import warnings

import numpy as np
import pytest

import sparsecnn as sc

RNG = np.random.default_rng(3)
PHOTOGRAPH = RNG.random((20, 24, 3))
QUICK = {"n_epochs": 1, "random_state": 0}
LEARNERS = {
    "filters": lambda **more: sc.ConvDictionaryLearner(3, 3, steps=1, **QUICK, **more),
    "hierarchy": lambda **more: sc.HierarchicalSparseCoder((3,), 3, steps=1, **QUICK, **more),
    "classifier": lambda **more: sc.SparseCNNClassifier((3,), 3, **QUICK, **more),
}
FITS = {name: lambda X, m=make, **more: m(**more).fit(X, np.arange(len(X)) % 2)
        for name, make in LEARNERS.items()}  # fmt: skip
PATCHES = {
    "dense": lambda X: sc.Dictionary.from_patches(X, 4, 3, random_state=0),
    "convolutional": lambda X: sc.ConvDictionary.from_patches(X, 4, 3, random_state=0),
}


def said_by(fit, *arguments, **more):
    """The warnings of a call that speak of what ``X`` is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(*arguments, **more)
    texts = [str(w.message) for w in caught]
    return [text for text in texts if "X holds" in text or "rows of X" in text]


# -- one colour photograph ------------------------------------------------------------------
@pytest.mark.parametrize("name", [*FITS, *PATCHES])
@pytest.mark.parametrize("channels", [3, 4])
def test_one_colour_photograph_is_not_as_many_pictures_of_that_width(name, channels):
    read = {**FITS, **PATCHES}[name]
    wrong = RNG.random((20, 24, channels))
    with pytest.raises(sc.InputError, match=r"one colour picture.*transpose\(2, 0, 1\)\[None\]"):
        read(wrong)
    with pytest.raises(sc.InputError, match=r"channels last.*transpose\(0, 3, 1, 2\)"):
        read(wrong[None].repeat(6, axis=0))


def test_the_ways_out_work():
    batch = PHOTOGRAPH.transpose(2, 0, 1)[None]
    assert PATCHES["convolutional"](batch).filters.shape == (4, 3, 3, 3)
    assert PATCHES["dense"](PHOTOGRAPH[:, None]).atoms.shape == (4, 9)  # truly 20 of 24 x 3
    narrow = FITS["filters"](PHOTOGRAPH, image_shape=(24, 3))
    assert narrow.image_shape_ == (1, 24, 3)


def test_narrow_maps_between_levels_are_no_photographs():
    """Eight filters over maps of width 3 look like channels last; they are learned from."""
    X = RNG.random((6, 10, 7))
    model = sc.HierarchicalSparseCoder((8, 4), (5, 2), lam=(0.01, 0.01), init="data", **QUICK)
    assert model.fit(X).hierarchy_.levels[1].dictionary.signal_shape == (8, 6, 3)


# -- bytes ----------------------------------------------------------------------------------
BYTES = RNG.integers(0, 256, (12, 6, 6)).astype(np.uint8)
BYTES[0, 0, 0] = 255
CODERS = {
    **FITS,
    "coder": lambda X, **more: sc.SparseCoder(steps=1, **more).fit(X),
    "atoms": lambda X, **more: sc.DictionaryLearner(4, steps=1, **QUICK, **more).fit(X),
}


@pytest.mark.parametrize("name", CODERS)
def test_bytes_under_a_rate_for_fractions_get_a_sentence(name):
    (said,) = said_by(CODERS[name], BYTES)
    assert "whole numbers up to 255, while lam = 0.1" in said and "Divide X by 255" in said
    assert said_by(CODERS[name], BYTES / 255) == []
    assert said_by(CODERS[name], BYTES, prior=sc.Laplace(25.5)) == []


@pytest.mark.parametrize("X", [BYTES // 8, BYTES - 100.0, BYTES + 0.5])
def test_other_numbers_get_none(X):
    assert said_by(CODERS["filters"], X) == []


# -- rows -----------------------------------------------------------------------------------
ROWS = BYTES.reshape(12, 36) / 255


@pytest.mark.parametrize("name", FITS)
def test_rows_of_square_images_are_read_as_signals_with_a_sentence(name):
    (said,) = said_by(FITS[name], ROWS)
    assert "rows of X, of 36 features, are read as 1-D signals" in said and "'square'" in said
    for shape in ("square", (6, 6), (1, 36)):
        assert said_by(FITS[name], ROWS, image_shape=shape) == []
    assert said_by(FITS[name], ROWS.reshape(12, 6, 6)) == []
    assert said_by(FITS[name], ROWS[:, :35]) == []


@pytest.mark.parametrize("name", ["coder", "atoms"])
def test_dense_atoms_span_rows_of_any_shape(name):
    assert said_by(CODERS[name], ROWS) == []
