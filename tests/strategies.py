"""Examples and hypothesis strategies: priors with several parameters, all kinds of dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import sparsecnn as sc

#: per-atom parameters below belong to codes with this many atoms
N_ATOMS = 3

#: every scalar prior with two or more parameter sets; arrays are one value per atom
SEPARABLE = [
    sc.Laplace(0.7),
    sc.Laplace(0.0),
    sc.Laplace([0.1, 0.7, 2.0]),
    sc.Exponential(0.7),
    sc.Exponential(-0.6),
    sc.Exponential([0.3, -0.4, 0.0]),
    sc.AsymmetricLaplace(0.4, 1.3),
    sc.AsymmetricLaplace(-0.2, 0.9),
    sc.AsymmetricLaplace(0.0, 0.5),
    sc.AsymmetricLaplace([0.5, 1.0, -0.1], [0.2, -0.6, 0.3]),
    sc.NonNegative(),
    sc.Gaussian(0.8),
    sc.Gaussian([0.0, 0.5, 3.0]),
    sc.HalfNormal(0.8),
    sc.HalfNormal([0.0, 0.5, 3.0]),
    sc.ElasticNet(0.5, 0.8),
    sc.ElasticNet(0.5, 0.8, nonnegative=True),
    sc.ElasticNet(0.5, 0.0, nonnegative=True),
    sc.ElasticNet([0.0, 0.5, 1.0], [0.3, 0.0, 2.0]),
    sc.Uniform(-1.0, 2.0),
    sc.Uniform(0.0, 6.0),
    sc.Uniform(0.5, [1.0, 2.0, 3.0]),
    sc.TruncatedExponential(0.5, 2.0),
    sc.TruncatedExponential(-0.5, 2.0),
    sc.TruncatedExponential([0.5, -0.5, 0.0], [1.0, 2.0, 3.0]),
    sc.Huber(0.7, 1.2),
    sc.Huber([0.1, 0.7, 2.0], 0.3),
    sc.Gamma(0.7, 1.5),
    sc.Gamma([0.0, 0.7, 2.0], [0.1, 1.0, 3.0]),
    sc.StudentT(1.0, 1.0),
    sc.StudentT(5.0, 0.7),
    sc.StudentT([0.2, 4.0, 9.0], [1.0, 1.0, 0.8]),
    sc.SpikeSlab(0.6),
    sc.SpikeSlab(0.6, 0.4, 0.9),
    sc.SpikeSlab([0.2, 0.6, 1.5], 0.4, 0.9, nonnegative=True),
    sc.LogSum(0.5, 1.0),
    sc.LogSum(1.0, 1.0),
    sc.LogSum(2.0, 0.4),
    sc.LogSum([0.5, 2.0, 4.0], [1.0, 0.4, 2.5]),
    sc.SCAD(0.8, 3.7),
    sc.SCAD([0.3, 0.8, 1.5], 2.2),
    sc.MCP(0.8, 3.0),
    sc.MCP(0.8, 0.6),
    sc.MCP([0.3, 0.8, 1.5], [0.5, 1.0, 4.0]),
    sc.Lp(0.9, 0.5),
    sc.Lp(0.9, 2 / 3),
    sc.Lp(0.9, 1.0),
    sc.Lp(0.9, 4 / 3),
    sc.Lp([0.3, 0.9, 2.0], 0.5),
    sc.Lp([0.3, 0.9, 2.0], [0.3, 1.5, 4.0]),
]

#: priors that couple the coefficients of a sample
COUPLED = [
    sc.GroupLaplace(0.7, [0, 1, 1]),
    sc.GroupLaplace([0.3, 1.2], [1, 0, 1]),
    sc.TopK(1),
    sc.TopK(2),
]

PRIORS = SEPARABLE + COUPLED
CONVEX = [prior for prior in PRIORS if prior.is_convex]


def name_of(prior):
    """A short name for test ids."""
    return repr(prior).replace("array of shape (3,) in ", "")


def _filters(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


#: one dictionary of every kind, small enough for an explicit matrix
DICTIONARIES = {
    "dense orthonormal": sc.Dictionary.orthonormal(6, random_state=0),
    "dense overcomplete": sc.Dictionary.random(9, 5, random_state=0),
    "dense undercomplete": sc.Dictionary.random(3, 7, random_state=0),
    "dense identity + DCT": sc.Dictionary.identity_dct(8),
    "dense with a zero atom": sc.Dictionary([[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]]),
    "conv valid": sc.ConvDictionary(_filters(0, 3, 2, 3, 2), (7, 6)),
    "conv valid stride": sc.ConvDictionary(_filters(1, 4, 1, 3, 3), (8, 7), stride=2),
    "conv same": sc.ConvDictionary(_filters(2, 3, 2, 4, 3), (6, 7), 1, "same"),
    "conv same stride": sc.ConvDictionary(_filters(3, 2, 1, 3, 3), (7, 6), (2, 3), "same"),
    "conv circular": sc.ConvDictionary(_filters(4, 3, 1, 3, 3), (6, 6), 1, "circular"),
    "conv circular odd stride": sc.ConvDictionary(_filters(5, 2, 2, 3, 3), (5, 7), 2, "circular"),
    "conv integer padding": sc.ConvDictionary(_filters(6, 2, 2, 3, 3), (5, 6), 1, 2),
    "conv stride = kernel": sc.ConvDictionary.orthonormal(4, 2, (6, 6), random_state=0),
    "conv Haar": sc.ConvDictionary.haar((6, 8)),
    "conv Daubechies-4": sc.ConvDictionary.daubechies4((8, 8), n_channels=2),
    "conv kernel = image": sc.ConvDictionary(_filters(7, 2, 1, 4, 4), (4, 4)),
}


@st.composite
def conv_cases(draw, max_side=7):
    """Keyword arguments of a random small ConvDictionary: filters, image_shape, stride, padding."""
    padding = draw(st.sampled_from(["valid", "same", "circular", 0, 1, 2, 3]))
    extra = 2 * padding if isinstance(padding, int) else 0
    free = padding in ("same", "circular")
    image = tuple(draw(st.integers(1, max_side)) for _ in range(2))
    kernel = tuple(draw(st.integers(1, min(4, 5 if free else n + extra))) for n in image)
    stride = tuple(draw(st.integers(1, 3)) for _ in range(2))
    n_atoms, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    filters = _filters(draw(st.integers(0, 2**16)), n_atoms, channels, *kernel)
    return dict(filters=filters, image_shape=image, stride=stride, padding=padding)


@st.composite
def points(draw, size, low=-6.0, high=6.0):
    """Arrays (n_samples, N_ATOMS) of inputs within [low, high], zeros and ties included."""
    number = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(low, high, width=64))
    values = draw(st.lists(number, min_size=size * N_ATOMS, max_size=size * N_ATOMS))
    return np.array(values).reshape(size, N_ATOMS)
