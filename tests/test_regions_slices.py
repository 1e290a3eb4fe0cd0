"""Plane slices tile their domain, hold every sampled pattern, and count what theory says."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
from tolerances import AREAS, NETWORK_VALUE, TIE

import sparsecnn as sc
from sparsecnn.regions import polygons


def pooled_network(rng):
    """Two convolutions, two kinds of activation, two pools and a dense layer."""
    return sc.Network([
        sc.Conv2D(rng.normal(size=(3, 1, 3, 3)), rng.normal(size=3), padding=1),
        sc.Activation("relu"), sc.MaxPool(2),
        sc.Conv2D(rng.normal(size=(3, 3, 3, 3)), rng.normal(size=3), padding=1),
        sc.Activation("hardtanh"), sc.MaxPool(2), sc.Flatten(),
        sc.Linear(rng.normal(size=(3, 12)), rng.normal(size=3)),
    ])  # fmt: skip


@pytest.mark.parametrize(("filters", "expected"), [(2, 37), (3, 79)])
def test_a_generic_plane_meets_as_many_regions_as_lines_in_general_position(filters, expected):
    rng = np.random.default_rng(0)
    network = (rng.normal(size=(filters, 1, 2, 2)), rng.normal(size=filters))
    plane = (rng.normal(size=(1, 3, 3)), rng.normal(size=(2, 1, 3, 3)))
    m = 4 * filters
    result = sc.regions.plane_slice(network, plane, (-1e4, 1e4))
    assert result.n_regions == 1 + m + math.comb(m, 2) == expected
    line = sc.regions.line_slice(
        network, plane[0] - 1e4 * plane[1][0], plane[0] + 1e4 * plane[1][0]
    )
    assert line.n_regions == m + 1


@pytest.mark.parametrize("fuse", [True, False])
def test_regions_tile_the_plane_and_contain_every_sampled_pattern(fuse, scale):
    rng = np.random.default_rng(1)
    network = pooled_network(rng)
    points = rng.normal(size=(3, 1, 8, 8))
    result = sc.regions.plane_slice(network, points, fuse_pools=fuse)
    assert abs(result.areas.sum() - 0.5) < AREAS
    assert result.areas.min() > 0
    assert len(np.unique(result.keys)) == result.n_regions > 1000
    weights = rng.dirichlet(np.ones(3), size=scale(20_000, 200_000))
    inputs = np.einsum("nk,kchw->nchw", weights, points)
    keys = sc.regions.pattern_keys(network, inputs, fuse_pools=fuse)
    assert np.isin(keys, result.keys).all()
    middles = polygons.centres(result.vertices, result.sizes)
    inputs = result.origin + np.einsum("nk,kchw->nchw", middles, result.basis)
    assert (sc.regions.pattern_keys(network, inputs, fuse_pools=fuse) == result.keys).all()
    assert (network.predict(inputs) == result.labels).all()


def test_the_network_is_affine_on_every_polygon():
    rng = np.random.default_rng(2)
    network = pooled_network(rng)
    points = rng.normal(size=(3, 1, 8, 8))
    result = sc.regions.plane_slice(network, points)

    def outputs(uv):
        return network.forward(result.origin + np.einsum("nk,kchw->nchw", uv, result.basis))[0]

    for corners in result.polygons[:300]:
        middle = outputs(corners.mean(axis=0)[None])
        average = outputs(corners).mean(axis=0)
        assert np.abs(middle - average).max() < NETWORK_VALUE


def test_two_classes_tie_on_the_decision_boundary():
    rng = np.random.default_rng(1)
    network = pooled_network(rng)
    result = sc.regions.plane_slice(network, rng.normal(size=(3, 1, 8, 8)))
    middles = result.decision_boundary.mean(axis=1)
    assert len(middles) > 10 and len(np.unique(result.labels)) > 1
    scores = network.forward(result.origin + np.einsum("nk,kchw->nchw", middles, result.basis))[0]
    top = np.sort(scores, axis=1)
    assert np.abs(top[:, -1] - top[:, -2]).max() < TIE


def test_a_plane_through_a_dense_network_agrees_with_linear_programs():
    rng = np.random.default_rng(4)
    first = sc.Linear(rng.normal(size=(6, 2)), rng.normal(size=6))
    second = sc.Linear(rng.normal(size=(5, 6)), rng.normal(size=5))
    layers = [first, sc.Activation("relu"), second, sc.Activation("relu")]
    plane = (np.zeros(2), np.eye(2))
    result = sc.regions.plane_slice(layers, plane, (-2, 2))
    assert result.n_regions == sc.regions.count(layers, (2,), domain=(-2, 2)).exact
    assert "areas add up to 16 of 16" in result.summary()
    assert len(result.to_dict()["polygons"]) == result.n_regions


def test_a_line_has_the_pieces_that_dense_sampling_sees():
    rng = np.random.default_rng(5)
    network = pooled_network(rng)
    start, end = rng.normal(size=(2, 1, 8, 8))
    for fuse in (True, False):
        line = sc.regions.line_slice(network, start, end, fuse_pools=fuse)
        t = np.linspace(0, 1, 20_001)
        inputs = start + t[:, None, None, None] * (end - start)
        keys = sc.regions.pattern_keys(network, inputs, fuse_pools=fuse)
        seen = 1 + int((keys[1:] != keys[:-1]).sum())
        assert seen <= line.n_regions <= seen + 5  # a few pieces are shorter than the grid
        middles = (line.knots[1:] + line.knots[:-1]) / 2
        inputs = start + middles[:, None, None, None] * (end - start)
        own = sc.regions.pattern_keys(network, inputs, fuse_pools=fuse)
        assert (own[1:] != own[:-1]).all()
        assert (own == line.keys).all()


def test_bad_planes_are_refused():
    network = ([[1.0, 2.0]], [0.0])
    with pytest.raises(sc.InputError, match="parallel"):
        sc.regions.plane_slice(network, (np.zeros(2), np.ones((2, 2))))
    with pytest.raises(sc.InputTypeError, match="three inputs"):
        sc.regions.plane_slice(network, np.zeros((4, 2)))
    with pytest.raises(sc.InputError, match="low < high"):
        sc.regions.plane_slice(network, (np.zeros(2), np.eye(2)), (1, -1))


def test_a_slice_beyond_the_limit_is_refused():
    rng = np.random.default_rng(1)
    with pytest.raises(sc.regions.TooLarge, match="more than 500 regions"):
        sc.regions.plane_slice(pooled_network(rng), rng.normal(size=(3, 1, 8, 8)), limit=500)


def mnist_network(folder):
    parts = np.load(folder / "weights" / "mnist_cntk.npz")
    dense = parts["Parameter193"].reshape(256, 10).T
    return sc.Network([
        sc.Conv2D(parts["Parameter5"].astype(float), parts["Parameter6"].ravel(), padding="same"),
        sc.Activation("relu"), sc.MaxPool(2),
        sc.Conv2D(parts["Parameter87"].astype(float), parts["Parameter88"].ravel(), padding="same"),
        sc.Activation("relu"), sc.MaxPool(3), sc.Flatten(),
        sc.Linear(dense.astype(float), parts["Parameter194"].ravel()),
    ])  # fmt: skip


def mnist_digits(folder):
    with gzip.open(folder / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return images[:3] / 255.0


def test_a_trained_network_around_three_digits(data_folder):
    network, digits = mnist_network(data_folder), mnist_digits(data_folder)
    box = ((0.3, 0.3), (0.36, 0.36))
    result = sc.regions.plane_slice(network, digits, box)
    assert abs(result.areas.sum() - 0.06**2) < AREAS
    uv = np.random.default_rng(0).uniform(*box, size=(5_000, 2))
    inputs = digits[0] + np.einsum("nk,kchw->nchw", uv, digits[1:] - digits[0])
    assert np.isin(sc.regions.pattern_keys(network, inputs), result.keys).all()


@pytest.mark.full
def test_the_plane_through_three_digits_holds_every_pattern_a_million_samples_meet(data_folder):
    network, digits = mnist_network(data_folder), mnist_digits(data_folder)
    result = sc.regions.plane_slice(network, digits)
    assert abs(result.areas.sum() - 0.5) < AREAS
    assert len(result.decision_boundary) > 0
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights = rng.dirichlet(np.ones(3), size=5_000)
        inputs = np.einsum("nk,kchw->nchw", weights, digits)
        assert np.isin(sc.regions.pattern_keys(network, inputs), result.keys).all()
