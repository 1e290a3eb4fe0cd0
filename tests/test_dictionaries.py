"""Dictionaries: exact adjoints, and every measured attribute against the explicit Gram matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import conv_matrix, gram_facts
from strategies import DICTIONARIES, conv_cases
from tolerances import EIGENVALUE, FEW_ULPS, LANCZOS, ROUNDING, SINGLE_EIGENVALUE

import sparsecnn as sc
from sparsecnn.checks import check_dictionary
from sparsecnn.dictionaries import filter_bank

every = pytest.mark.parametrize("dictionary", DICTIONARIES.values(), ids=DICTIONARIES)


def explicit(dictionary):
    """The atoms as rows, one synthesis per code."""
    n_codes = int(np.prod(dictionary.code_shape))
    identity = np.eye(n_codes).reshape(n_codes, *dictionary.code_shape)
    return dictionary.synthesize(identity).reshape(n_codes, -1)


# -- the contract ---------------------------------------------------------------------------
@every
def test_every_dictionary_keeps_its_contract(dictionary):
    check_dictionary(dictionary)


@given(conv_cases(), st.integers(1, 4))
def test_analysis_and_synthesis_are_adjoint(case, n_samples):
    d = sc.ConvDictionary(**case)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_samples, *d.signal_shape))
    z = rng.standard_normal((n_samples, *d.code_shape))
    projections, image = d.analyze(x), d.synthesize(z)
    size = np.linalg.norm(x) * np.linalg.norm(image) + 1
    assert abs((projections * z).sum() - (x * image).sum()) <= ROUNDING * size


@given(conv_cases(max_side=6))
def test_the_copies_are_the_rows_of_the_explicit_matrix(case):
    assert np.abs(explicit(sc.ConvDictionary(**case)) - conv_matrix(**case)).max() <= FEW_ULPS


@given(conv_cases(max_side=6))
def test_lipschitz_is_never_below_the_largest_eigenvalue(case):
    top = gram_facts(conv_matrix(**case))[3]
    assert sc.ConvDictionary(**case).lipschitz >= top * (1 - FEW_ULPS)


@given(conv_cases(max_side=6))
def test_coherence_and_gram_deviation_are_those_of_the_explicit_gram_matrix(case):
    d = sc.ConvDictionary(**case)
    coherence, entry, deviation, _ = gram_facts(conv_matrix(**case))
    assert abs(d.mutual_coherence - coherence) <= ROUNDING * 10
    assert abs(d._gram_entries.deviation - entry) <= ROUNDING * 10 * (1 + entry)
    assert abs(d.gram_deviation - deviation) <= EIGENVALUE * (1 + deviation)
    assert d.is_orthonormal == (entry <= 1e-10)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**16))
def test_dense_measurements_are_those_of_the_gram_matrix(n_atoms, n_features, seed):
    atoms = np.random.default_rng(seed).standard_normal((n_atoms, n_features))
    d = sc.Dictionary(atoms)
    coherence, _, deviation, top = gram_facts(atoms)
    assert top * (1 - FEW_ULPS) <= d.lipschitz <= top * (1 + ROUNDING)
    assert abs(d.mutual_coherence - coherence) <= ROUNDING
    assert abs(d.gram_deviation - deviation) <= EIGENVALUE * (1 + deviation)


def test_lipschitz_is_exact_on_a_periodic_grid_that_the_stride_divides():
    rng = np.random.default_rng(0)
    for stride, shape in ((1, (6, 5)), (2, (6, 4)), ((3, 1), (6, 5))):
        d = sc.ConvDictionary(rng.standard_normal((4, 2, 3, 3)), shape, stride, "circular")
        top = gram_facts(explicit(d))[3]
        assert abs(d.lipschitz - top) <= ROUNDING * 10 * top


@pytest.mark.parametrize("n_atoms, stride", [(2, 1), (9, 3), (3, 2), (1, 1)])
def test_large_dictionaries_are_measured_without_their_gram_matrix(monkeypatch, n_atoms, stride):
    """Above the dense limit the deviation comes from Lanczos; here the limit is put at zero."""
    monkeypatch.setattr(filter_bank, "DENSE_LIMIT", 0)
    filters = np.random.default_rng(n_atoms).standard_normal((n_atoms, 1, 3, 3)) / 2
    for shape in ((13, 12), (9, 15)):
        d = sc.ConvDictionary(filters, shape, stride, "same")
        deviation = gram_facts(conv_matrix(filters, shape, (stride, stride), "same"))[2]
        assert abs(d.gram_deviation - deviation) <= LANCZOS * (1 + deviation)


def test_atoms_that_same_padding_cuts_count_with_their_own_norm():
    d = sc.ConvDictionary(np.ones((1, 1, 1, 3)), (1, 2), 1, "same")  # copies cover 2 of 2 pixels
    assert abs(d.mutual_coherence - 1.0) <= FEW_ULPS


# -- thesis: filters and dictionaries -------------------------------------------------------
def test_orthonormal_filters_with_overlapping_copies_are_no_orthonormal_dictionary():
    d = sc.ConvDictionary.orthonormal(6, 3, (12, 12), stride=1, random_state=0)
    flat = d.filters.reshape(6, -1)
    assert np.abs(flat @ flat.T - np.eye(6)).max() <= ROUNDING
    assert not d.is_orthonormal and d.mutual_coherence > 0.1
    assert d.with_atoms(d.filters).is_orthonormal is False
    assert sc.ConvDictionary(d.filters, (12, 12), stride=3).is_orthonormal


def test_the_stride_one_counter_example():
    """Six orthonormal 3 x 3 filters at stride 1: one step has more energy than the zero code."""
    rng = np.random.default_rng(0)
    d = sc.ConvDictionary.orthonormal(6, 3, (12, 12), stride=1, random_state=0)
    problem = sc.SparseCodingProblem(rng.standard_normal((1, 1, 12, 12)), d, sc.Exponential(0.1))
    zero = problem.objective(np.zeros(problem.shape))[0]
    forward = sc.ForwardTransform().solve(problem)
    best = sc.FISTA(max_iter=5000).solve(problem)
    assert forward.objective[0] > zero > best.objective[0]
    assert forward.gap[0] > 0.5 and best.gap[0] <= 1e-6
    with pytest.raises(sc.InputError, match="not orthonormal"):
        sc.Orthogonal().solve(problem)


def test_a_complete_orthonormal_set_at_stride_one_is_a_tight_frame():
    d = sc.ConvDictionary.dct(3, (6, 6), stride=1, padding="circular")
    frame = explicit(d).T @ explicit(d)
    assert np.abs(frame - 9 * np.eye(36)).max() <= ROUNDING * 10
    assert abs(d.lipschitz - 9) <= ROUNDING * 100


@given(
    st.integers(1, 3), st.sampled_from([1, 2, 3]), st.integers(1, 4), st.integers(2, 3), st.data()
)
def test_more_than_c_s_squared_filters_are_never_orthonormal_on_a_periodic_grid(
    channels, stride, kernel, cells, data
):
    n_atoms = channels * stride**2 + data.draw(st.integers(1, 3))
    filters = np.random.default_rng(data.draw(st.integers(0, 999))).standard_normal(
        (n_atoms, channels, kernel, kernel)
    )
    flat = np.linalg.qr(filters.reshape(n_atoms, -1).T)[0].T  # as orthonormal as its size allows
    if len(flat) == n_atoms:
        filters = flat.reshape(filters.shape)
    d = sc.ConvDictionary(filters, (stride * cells,) * 2, stride, "circular")
    assert not d.is_orthonormal
    assert d.gram_deviation >= 1 - ROUNDING  # more codes than pixels: the Gram matrix is singular


def test_the_bound_is_reached_by_haar_daubechies_and_stride_equal_to_kernel():
    for channels in (1, 2):
        for d in (
            sc.ConvDictionary.haar((6, 4), n_channels=channels),
            sc.ConvDictionary.daubechies4((8, 6), n_channels=channels),
            sc.ConvDictionary.dct(2, (6, 4), n_channels=channels),
            sc.ConvDictionary.orthonormal(
                9 * channels, 3, (6, 9), n_channels=channels, random_state=1
            ),
        ):
            assert d.n_atoms == channels * d.stride[0] * d.stride[1]
            assert d.is_orthonormal
            assert np.abs(explicit(d) @ explicit(d).T - np.eye(len(explicit(d)))).max() <= ROUNDING
            assert d.gram_deviation <= ROUNDING and d.mutual_coherence <= ROUNDING


def test_valid_padding_on_a_tiny_image_can_beat_the_bound():
    """One position per filter: the copies are the filters, so K = k^2 > C s^2 is orthonormal."""
    d = sc.ConvDictionary.orthonormal(9, 3, (3, 3), stride=1, random_state=0)
    assert d.n_atoms > 1 and d.is_orthonormal
    assert not sc.ConvDictionary(d.filters, (4, 3), stride=1).is_orthonormal
    pair = np.array([[[[1.0, 0.0]]], [[[0.0, 1.0]]]])  # every overlap occurs from N = 2k - 1 on
    assert not sc.ConvDictionary(pair, (1, 3), stride=1).is_orthonormal


# -- constructors ---------------------------------------------------------------------------
@pytest.mark.parametrize("n", [2, 8, 12, (4, 6)])
def test_classical_bases_are_orthonormal(n):
    bases = [sc.Dictionary.dct(n), sc.Dictionary.haar(n), sc.Dictionary.daubechies4(n)]
    if n in (2, (4, 6)):  # shorter than the four taps somewhere: they wrap, and it still holds
        assert bases[2].atoms.shape[0] == np.prod(n)
    for d in bases:
        assert d.atoms.shape == (np.prod(n), np.prod(n))
        assert d.is_orthonormal and d.gram_deviation <= ROUNDING
        assert abs(d.lipschitz - 1) <= ROUNDING
    with pytest.raises(sc.InputError, match="even"):
        sc.Dictionary.haar(7)


def test_dct_atoms_are_cosines_and_the_first_is_constant():
    atoms = sc.Dictionary.dct(8).atoms
    assert np.abs(atoms[0] - 1 / np.sqrt(8)).max() <= FEW_ULPS
    cosine = np.cos(np.pi * 3 * (np.arange(8) + 0.5) / 8) / 2
    assert np.abs(atoms[3] - cosine).max() <= FEW_ULPS


def test_daubechies_filters_have_two_vanishing_moments():
    filters = sc.ConvDictionary.daubechies4((8, 8)).filters
    taps = np.arange(4.0)
    high = filters[3, 0]
    for power in (0, 1):
        assert abs((high * taps[:, None] ** power).sum()) <= FEW_ULPS * 10
        assert abs((high.sum(axis=0) * taps**power).sum()) <= FEW_ULPS * 10
    expected = np.array([1 + 3**0.5, 3 + 3**0.5, 3 - 3**0.5, 1 - 3**0.5]) / (4 * 2**0.5)
    assert np.abs(filters[0, 0] - np.outer(expected, expected)).max() <= FEW_ULPS


@pytest.mark.parametrize("n", [8, 16, 64])
def test_identity_and_dct_have_coherence_near_root_two_over_n(n):
    d = sc.Dictionary.identity_dct(n)
    assert d.n_atoms == 2 * n
    assert np.sqrt(2 / n) * 0.9 <= d.mutual_coherence <= np.sqrt(2 / n) * (1 + FEW_ULPS)
    assert abs(d.lipschitz - 2) <= ROUNDING and not d.is_orthonormal


def test_orthonormal_bases_follow_their_seed():
    a, b = (sc.Dictionary.orthonormal(9, random_state=s) for s in (0, 1))
    assert a.is_orthonormal and b.is_orthonormal
    assert np.array_equal(a.atoms, sc.Dictionary.orthonormal(9, random_state=0).atoms)
    assert not np.allclose(a.atoms, b.atoms)


def test_random_atoms_have_unit_norm():
    dense = sc.Dictionary.random(20, 7, random_state=0).atoms
    filters = sc.ConvDictionary.random(5, (3, 2), (6, 6), n_channels=2, random_state=0).filters
    assert filters.shape == (5, 2, 3, 2)
    for atoms in (dense, filters.reshape(5, -1)):
        assert np.abs(np.linalg.norm(atoms, axis=1) - 1).max() <= FEW_ULPS


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_have_unit_norm_and_zero_mean(channels):
    images = np.random.default_rng(0).uniform(0, 255, (3, channels, 12, 10))
    dense = sc.Dictionary.from_patches(images, 11, (4, 3), random_state=0).atoms
    conv = sc.ConvDictionary.from_patches(images, 11, (4, 3), random_state=0)
    assert conv.filters.shape == (11, channels, 4, 3) and conv.image_shape == (12, 10)
    for atoms in (dense, conv.filters.reshape(11, -1)):
        assert np.abs(np.linalg.norm(atoms, axis=1) - 1).max() <= FEW_ULPS
        assert np.abs(atoms.mean(axis=1)).max() <= ROUNDING


def test_patches_come_from_the_images():
    images = np.random.default_rng(0).standard_normal((1, 5, 5))
    atom = sc.Dictionary.from_patches(images, 1, 3, random_state=0).atoms[0]
    patches = [images[0, i : i + 3, j : j + 3].ravel() for i in range(3) for j in range(3)]
    centred = [(p - p.mean()) / np.linalg.norm(p - p.mean()) for p in patches]
    assert min(np.abs(atom - p).max() for p in centred) <= FEW_ULPS


@pytest.mark.parametrize("s", [1e-300, 1e-29, 1e300])
def test_patches_do_not_depend_on_the_unit_of_the_images(s):
    images = np.random.default_rng(0).standard_normal((3, 9, 9))
    wanted = sc.Dictionary.from_patches(images, 5, 3, random_state=0).atoms
    found = sc.Dictionary.from_patches(images * s, 5, 3, random_state=0).atoms
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    if 1e-30 < s < 1e30:
        rough = sc.Dictionary.from_patches(np.float32(images * s), 5, 3, random_state=0).atoms
        np.testing.assert_allclose(rough, wanted, rtol=1e-5, atol=1e-6)


def test_constant_or_small_images_have_no_patches_to_offer():
    with pytest.raises(sc.InputError, match="constant"):
        sc.Dictionary.from_patches(np.ones((2, 8, 8)), 4, 3, random_state=0)
    with pytest.raises(sc.InputError, match="fit"):
        sc.Dictionary.from_patches(np.ones((2, 8, 8)), 4, 9, random_state=0)


# -- bad input ------------------------------------------------------------------------------
BAD_VALUES = [np.nan, np.inf, -np.inf]
BAD_TYPES = ["a", 1j, None]


@pytest.mark.parametrize("bad", BAD_VALUES + BAD_TYPES, ids=repr)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_atoms_that_are_no_finite_numbers_are_refused(kind, bad):
    error = sc.InputError if bad in BAD_VALUES or bad is np.nan else sc.InputTypeError
    if kind == "dense":
        with pytest.raises(error, match="atoms"):
            sc.Dictionary([[1.0, bad]])
    else:
        with pytest.raises(error, match="filters"):
            sc.ConvDictionary([[[[1.0, bad]]]], (4, 4))


@pytest.mark.parametrize(
    "atoms", [[], [[]], [1.0], np.ones((2, 2, 2)), np.ones((0, 3)), np.ones((3, 0)), 1.0]
)
def test_dense_atoms_of_the_wrong_shape_are_refused(atoms):
    with pytest.raises(sc.InputError, match="atoms"):
        sc.Dictionary(atoms)


@pytest.mark.parametrize(
    "shape", [(2, 3), (1, 1, 1, 1, 1), (0, 1, 2, 2), (2, 0, 2, 2), (2, 1, 0, 2)]
)
def test_filters_of_the_wrong_shape_are_refused(shape):
    with pytest.raises(sc.InputError, match="filters"):
        sc.ConvDictionary(np.ones(shape), (4, 4))


@pytest.mark.parametrize("image", [(4,), (4, 4, 1), (0, 4), (4, -1), (4.5, 4), "44", None])
def test_image_shapes_that_mean_nothing_are_refused(image):
    with pytest.raises((sc.InputError, sc.InputTypeError), match="image_shape"):
        sc.ConvDictionary(np.ones((1, 1, 2, 2)), image)


def test_masked_arrays_and_extreme_scales_are_refused():
    with pytest.raises(sc.InputTypeError, match="masked"):
        sc.Dictionary(np.ma.masked_array(np.eye(2), mask=np.eye(2)))
    for size in (1e200, 1e-200):
        with pytest.raises(sc.InputError, match="scale the codes"):
            sc.Dictionary(size * np.eye(2))


def test_a_convolution_refuses_what_it_would_have_to_broadcast():
    d = sc.ConvDictionary(np.ones((2, 3, 2, 2)), (5, 5))
    for shape in ((1, 1, 5, 5), (1, 3, 1, 5), (1, 3, 5, 6), (3, 5, 5), (75,)):
        with pytest.raises(sc.InputError, match="x has shape"):
            d.analyze(np.ones(shape))
    for shape in ((1, 1, 4, 4), (1, 2, 4, 1), (2, 4, 4)):
        with pytest.raises(sc.InputError, match="codes has shape"):
            d.synthesize(np.ones(shape))
    assert np.array_equal(d.analyze(np.ones((1, 3, 5, 5), int)), d.analyze(np.ones((1, 3, 5, 5))))


def test_atoms_are_copied_and_frozen():
    atoms = np.eye(3)
    d = sc.Dictionary(atoms)
    atoms[0, 0] = 9
    assert d.atoms[0, 0] == 1
    with pytest.raises(ValueError):
        d.atoms[0, 0] = 2


def test_zero_atoms_are_allowed_and_measured():
    d = sc.Dictionary(np.zeros((2, 3)))
    assert d.lipschitz == 0 and d.mutual_coherence == 0 and not d.is_orthonormal
    conv = sc.ConvDictionary(np.zeros((2, 1, 2, 2)), (4, 4))
    assert conv.lipschitz == 0 and conv.mutual_coherence == 0 and not conv.is_orthonormal


def test_other_dtypes_are_twins_with_the_same_geometry():
    for d in DICTIONARIES.values():
        single = d.astype(np.float32)
        assert single.atoms.dtype == np.float32 and single.code_shape == d.code_shape
        assert d.astype(np.float64) is d and d.astype(np.float32) is single
        assert abs(single.lipschitz - d.lipschitz) <= SINGLE_EIGENVALUE * (1 + d.lipschitz)


# -- batches --------------------------------------------------------------------------------
BATCHED = pytest.mark.parametrize(
    "dictionary", [sc.Dictionary.random(5, 4, 0), sc.ConvDictionary.haar((4, 4))], ids=repr
)


def _calls(dictionary):
    """Each method that reads a batch: its argument, the shape of a sample, the call."""
    signals, codes = np.ones((2, *dictionary.signal_shape)), np.ones((2, *dictionary.code_shape))
    return [
        ("x", signals, dictionary.analyze),
        ("codes", codes, dictionary.synthesize),
        ("signals", signals, lambda s: dictionary.atom_gradient(s, codes)),
        ("codes", codes, lambda z: dictionary.atom_gradient(signals, z)),
    ]


@BATCHED
def test_integers_are_float64_and_complex_numbers_are_refused(dictionary):
    for name, batch, call in _calls(dictionary.astype(np.float32)):
        for kind in (np.uint8, int, bool):
            result = call(batch.astype(kind))
            assert result.dtype == np.float64
            np.testing.assert_array_equal(result, call(batch))
        for kind in (complex, str):
            with pytest.raises(sc.InputTypeError, match=f"^{name} "):
                call(batch.astype(kind))


@BATCHED
def test_a_sample_without_batch_axis_and_a_wrong_width_are_refused_with_both_shapes(dictionary):
    for name, batch, call in _calls(dictionary):
        for wrong in (batch[0], np.ones((*batch.shape[:-1], 7)), batch[None]):
            with pytest.raises(sc.InputError) as caught:
                call(wrong)
            assert f"{name} has shape {wrong.shape}" in str(caught.value)
            assert f"(n_samples, {str(batch.shape[1:]).strip('(),')})" in str(caught.value)


def test_copies_that_meet_only_along_an_antidiagonal_are_found():
    filters = np.array([[[[0.0, 1.0], [1.0, 0.0]]]]) / np.sqrt(2)
    for padding in ("valid", "circular", "same"):
        dictionary = sc.ConvDictionary(filters, (5, 5), padding=padding)
        assert not dictionary.is_orthonormal
        expected = gram_facts(conv_matrix(filters, (5, 5), (1, 1), padding))[0]
        assert expected > 0.49 and abs(dictionary.mutual_coherence - expected) < 1e-12
    problem = sc.SparseCodingProblem(
        np.ones((1, 1, 5, 5)), sc.ConvDictionary(filters, (5, 5)), sc.Laplace(0.1)
    )
    with pytest.raises(sc.InputError, match="not orthonormal"):
        sc.Orthogonal().solve(problem)


@pytest.mark.parametrize("name", sorted(DICTIONARIES))
def test_atom_norms_are_those_of_the_explicit_atoms(name):
    dictionary = DICTIONARIES[name]
    norms = np.linalg.norm(explicit(dictionary), axis=1).reshape(1, *dictionary.code_shape)
    np.testing.assert_allclose(dictionary.atom_norms, norms, rtol=1e-13, atol=1e-13)
