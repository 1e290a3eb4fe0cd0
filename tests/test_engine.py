"""The convolution ops against scipy's correlate2d, explicit matrices and loops."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import conv_matrix, correlate
from strategies import conv_cases
from tolerances import ROUNDING, SINGLE

import sparsecnn as sc
from sparsecnn.engine import ConvGeometry, engine_for

ENGINE = engine_for(np.empty(0))


def geometry_of(case):
    return ConvGeometry.of(
        case["image_shape"], case["filters"].shape, case["stride"], case["padding"]
    )


def signals_and_codes(geometry, n_samples, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_samples, *geometry.in_shape))
    return x, rng.standard_normal((n_samples, *geometry.out_shape))


@given(conv_cases(), st.integers(1, 3))
def test_analysis_is_scipys_correlation(case, n_samples):
    geometry = geometry_of(case)
    x, _ = signals_and_codes(geometry, n_samples)
    got = ENGINE.analyze(geometry, x, case["filters"])
    expected = correlate(x, case["filters"], case["stride"], case["padding"])
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= ROUNDING * 10


@given(conv_cases(max_side=5), st.integers(1, 3))
def test_all_three_operations_are_those_of_the_explicit_matrix(case, n_samples):
    geometry = geometry_of(case)
    x, z = signals_and_codes(geometry, n_samples)
    atoms = conv_matrix(**case)
    flat_x, flat_z = x.reshape(n_samples, -1), z.reshape(n_samples, -1)
    analysis = ENGINE.analyze(geometry, x, case["filters"]).reshape(n_samples, -1)
    assert np.abs(analysis - flat_x @ atoms.T).max() <= ROUNDING * 10
    synthesis = ENGINE.synthesize(geometry, z, case["filters"]).reshape(n_samples, -1)
    assert np.abs(synthesis - flat_z @ atoms).max() <= ROUNDING * 10
    other = np.random.default_rng(1).standard_normal(case["filters"].shape)
    along = (ENGINE.filter_gradient(geometry, x, z) * other).sum()
    expected = ((flat_x @ conv_matrix(**{**case, "filters": other}).T) * flat_z).sum()
    assert abs(along - expected) <= ROUNDING * 100 * (1 + abs(expected))


@given(conv_cases(), st.integers(1, 4))
def test_synthesis_is_the_adjoint_of_analysis(case, n_samples):
    geometry = geometry_of(case)
    x, z = signals_and_codes(geometry, n_samples)
    left = (ENGINE.analyze(geometry, x, case["filters"]) * z).sum()
    image = ENGINE.synthesize(geometry, z, case["filters"])
    size = np.linalg.norm(x) * np.linalg.norm(image) + 1
    assert abs(left - (x * image).sum()) <= ROUNDING * size


@pytest.mark.parametrize("n_samples", [1, 63, 64, 65, 130])
def test_batches_are_split_into_blocks_without_a_trace(n_samples):
    case = dict(
        filters=np.random.default_rng(0).standard_normal((3, 2, 3, 3)),
        image_shape=(6, 5),
        stride=(2, 1),
        padding="same",
    )
    geometry = geometry_of(case)
    x, z = signals_and_codes(geometry, n_samples)
    whole = (
        ENGINE.analyze(geometry, x, case["filters"]),
        ENGINE.synthesize(geometry, z, case["filters"]),
    )
    for i in (0, n_samples // 2, n_samples - 1):
        one = slice(i, i + 1)
        alone = ENGINE.analyze(geometry, x[one], case["filters"])
        assert np.abs(whole[0][one] - alone).max() <= ROUNDING
        alone = ENGINE.synthesize(geometry, z[one], case["filters"])
        assert np.abs(whole[1][one] - alone).max() <= ROUNDING
    halves = [ENGINE.filter_gradient(geometry, x[k::2], z[k::2]) for k in (0, 1) if len(x[k::2])]
    total = ENGINE.filter_gradient(geometry, x, z)
    assert np.abs(total - sum(halves)).max() <= ROUNDING * 100


def test_an_image_taller_than_one_chunk_gives_the_same_result():
    filters = np.random.default_rng(0).standard_normal((2, 3, 5, 5))
    geometry = ConvGeometry.of((70, 60), filters.shape, 1, "circular")  # several chunks of 1 MiB
    x, z = signals_and_codes(geometry, 2)
    expected = correlate(x, filters, (1, 1), "circular")
    assert np.abs(ENGINE.analyze(geometry, x, filters) - expected).max() <= ROUNDING * 100
    left, right = (expected * z).sum(), (x * ENGINE.synthesize(geometry, z, filters)).sum()
    assert abs(left - right) <= ROUNDING * np.linalg.norm(expected) * np.linalg.norm(z)


def test_a_plan_used_twice_remembers_nothing():
    filters = np.ones((1, 1, 3, 3))
    for padding in ("same", "circular", 2):
        geometry = ConvGeometry.of((5, 5), filters.shape, 1, padding)
        x, z = signals_and_codes(geometry, 1)
        first = ENGINE.analyze(geometry, x, filters), ENGINE.synthesize(geometry, z, filters)
        for _ in range(2):  # synthesis writes into the border that analysis reads as zeros
            ENGINE.synthesize(geometry, 100 * z, filters)
            assert np.array_equal(ENGINE.analyze(geometry, x, filters), first[0])
            assert np.array_equal(ENGINE.synthesize(geometry, z, filters), first[1])


def test_threads_do_not_share_workspaces():
    filters = np.random.default_rng(0).standard_normal((4, 2, 3, 3))
    geometry = ConvGeometry.of((20, 20), filters.shape, 1, "same")
    batches = [signals_and_codes(geometry, 8, seed)[0] for seed in range(4)]
    expected = [ENGINE.analyze(geometry, x, filters) for x in batches]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(ENGINE.analyze(geometry, batches[i], filters), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_inputs_that_are_views_are_read_as_they_stand():
    filters = np.random.default_rng(0).standard_normal((2, 3, 2, 2))
    geometry = ConvGeometry.of((4, 5), filters.shape, 1, "valid")
    base = np.random.default_rng(1).standard_normal((5, 4, 3, 2))
    view = base.transpose(3, 2, 1, 0)
    got = ENGINE.analyze(geometry, view, filters)
    assert np.array_equal(got, ENGINE.analyze(geometry, view.copy(), filters))


def test_float32_stays_float32():
    filters = np.random.default_rng(0).standard_normal((2, 1, 3, 3))
    geometry = ConvGeometry.of((6, 6), filters.shape, 1, "same")
    x, _ = signals_and_codes(geometry, 2)
    single = ENGINE.analyze(geometry, x.astype(np.float32), filters.astype(np.float32))
    assert single.dtype == np.float32
    assert np.abs(single - ENGINE.analyze(geometry, x, filters)).max() <= SINGLE


def test_double_precision_after_single_is_double():
    filters = np.random.default_rng(0).standard_normal((2, 1, 3, 2))
    geometry = ConvGeometry.of((7, 6), filters.shape, 1, "same")
    x, _ = signals_and_codes(geometry, 3)
    for kind in (np.float32, np.float64):
        found = ENGINE.analyze(geometry, x.astype(kind), filters.astype(kind))
    matrix = conv_matrix(filters, (7, 6), (1, 1), "same")
    np.testing.assert_allclose(found.reshape(3, -1), x.reshape(3, -1) @ matrix.T, atol=ROUNDING)


# -- geometry -------------------------------------------------------------------------------
@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_covers_ceil_n_over_s_and_puts_the_odd_pixel_at_the_end(size, kernel, stride):
    geometry = ConvGeometry.of((size, size), (1, 1, kernel, kernel), stride, "same")
    positions = -(-size // stride)
    assert geometry.out_shape == (1, positions, positions)
    before, after = geometry.pads[0]
    assert before + after == max((positions - 1) * stride + kernel - size, 0)
    assert after - before in (0, 1)


def test_the_odd_pixel_of_same_padding_is_seen_in_the_result():
    x = np.arange(1.0, 5.0).reshape(1, 1, 1, 4)
    geometry = ConvGeometry.of((1, 4), (1, 1, 1, 2), 1, "same")
    got = ENGINE.analyze(geometry, x, np.array([[[[10.0, 1.0]]]]))
    assert np.array_equal(got.ravel(), [12, 23, 34, 40])  # zero after the last, none before


def test_circular_positions_cover_the_pixels_they_name():
    x = np.arange(1.0, 6.0).reshape(1, 1, 1, 5)
    geometry = ConvGeometry.of((1, 5), (1, 1, 1, 2), 2, "circular")
    got = ENGINE.analyze(geometry, x, np.array([[[[10.0, 1.0]]]]))
    assert np.array_equal(got.ravel(), [12, 34, 51])


@pytest.mark.parametrize("padding", ["valid", 0])
def test_filters_larger_than_the_image_are_refused(padding):
    for kernel, name in (((4, 1), "height"), ((1, 4), "width")):
        with pytest.raises(sc.InputError, match=name):
            ConvGeometry.of((3, 3), (1, 1, *kernel), 1, padding)


@pytest.mark.parametrize(
    "stride, padding, error, name",
    [
        (0, "valid", ValueError, "stride"),
        (-1, "valid", ValueError, "stride"),
        (1.5, "valid", TypeError, "stride"),
        ("2", "valid", TypeError, "stride"),
        ((1, 2, 3), "valid", TypeError, "stride"),
        (True, "valid", TypeError, "stride"),
        (1, "full", ValueError, "padding"),
        (1, -1, ValueError, "padding"),
        (1, 0.5, TypeError, "padding"),
        (1, None, TypeError, "padding"),
        (1, True, TypeError, "padding"),
    ],
)
def test_strides_and_paddings_that_mean_nothing_are_refused(stride, padding, error, name):
    with pytest.raises(error, match=name) as caught:
        ConvGeometry.of((5, 5), (1, 1, 3, 3), stride, padding)
    assert isinstance(caught.value, sc.InputError | sc.InputTypeError)


def test_arrays_of_an_unknown_library_are_refused():
    with pytest.raises(sc.InputTypeError, match="no engine"):
        engine_for([[1.0]])


# -- pooling windows ------------------------------------------------------------------------
@given(st.integers(2, 7), st.integers(2, 7), st.integers(1, 3), st.integers(1, 3))
def test_scattering_windows_is_the_adjoint_of_taking_them(height, width, size, stride):
    size = min(size, height, width)
    x = np.random.default_rng(0).standard_normal((2, 3, height, width))
    windows = ENGINE.windows(x, (size, size), (stride, stride))
    for i, j in np.ndindex(windows.shape[2:4]):
        top, left = i * stride, j * stride
        assert np.array_equal(windows[:, :, i, j], x[:, :, top : top + size, left : left + size])
    values = np.random.default_rng(1).standard_normal(windows.shape)
    back = ENGINE.scatter_windows(values, x.shape, (stride, stride))
    assert abs((windows * values).sum() - (x * back).sum()) <= ROUNDING * 100
