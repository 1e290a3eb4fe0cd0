"""Regions of activations that priors stand for, against cells cut from what they show."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import count_cells, read_pieces
from tolerances import FEW_ULPS, NETWORK_VALUE

import sparsecnn as sc
from sparsecnn.regions import counting
from sparsecnn.regions.piecewise import PIECES, stages

ODD = "lam*max(abs(z) - t, 0) + kappa*min(abs(z), 1)"

#: name -> (prior of three neurons, skewed; prior of two)
KINDS = {
    "Laplace": (sc.Laplace([0.05, 0.4, 1.3]), sc.Laplace(0.3)),
    "Laplace, one rate 0": (sc.Laplace([0.0, 0.4, 1.3]), sc.Laplace([0.3, 0.0])),
    "Exponential": (sc.Exponential([-0.6, 0.1, 0.8]), sc.Exponential(0.2)),
    "AsymmetricLaplace": (sc.AsymmetricLaplace([0.5, 0.8, 0.1], [0.2, -0.8, 1.3]),
                          sc.AsymmetricLaplace(-0.2, 0.6)),
    "NonNegative": (sc.NonNegative(), sc.NonNegative()),
    "Gaussian": (sc.Gaussian([0.0, 0.4, 3.0]), sc.Gaussian(0.5)),
    "HalfNormal": (sc.HalfNormal([0.0, 0.4, 3.0]), sc.HalfNormal(0.5)),
    "ElasticNet": (sc.ElasticNet([0.0, 0.4, 1.2], [0.5, 0.0, 2.0]), sc.ElasticNet(0.3, 0.4)),
    "ElasticNet, z >= 0": (sc.ElasticNet([0.1, 0.4, 1.2], 0.5, nonnegative=True),
                           sc.ElasticNet(0.0, 0.4, nonnegative=True)),
    "Uniform": (sc.Uniform([-1.5, -0.2, 0.3], [0.4, 0.6, 1.7]), sc.Uniform(-0.5, 0.4)),
    "TruncatedExponential": (sc.TruncatedExponential([-0.5, 0.1, 0.9], [0.2, 1.5, 0.7]),
                             sc.TruncatedExponential(0.1, 0.6)),
    "Huber": (sc.Huber([0.0, 0.4, 1.1], [0.3, 0.1, 0.5]), sc.Huber(0.5, 0.2)),
    "SpikeSlab": (sc.SpikeSlab([0.0, 0.1, 0.8], [0.0, 0.3, 0.1], 0.4), sc.SpikeSlab(0.2)),
    "SpikeSlab, z >= 0": (sc.SpikeSlab([0.02, 0.1, 0.8], 0.2, nonnegative=True),
                          sc.SpikeSlab(0.2, 0.1, 0.3, nonnegative=True)),
    "SCAD": (sc.SCAD([0.1, 0.3, 0.6], [5.0, 3.0, 2.4]), sc.SCAD(0.2, 3.7)),
    "MCP": (sc.MCP([0.2, 0.5, 0.9], [3.0, 0.5, 1.6]), sc.MCP(0.3, 2.0)),
    "MCP, hard": (sc.MCP([0.0, 0.5, 0.9], 0.7), sc.MCP(0.4, 1.0)),
    "Lp of 1 and 2": (sc.Lp([0.2, 0.7, 0.5], [1.0, 2.0, 1.0]), sc.Lp(0.4, 2.0)),
    "typed L1": (sc.SymbolicPrior("lam*abs(z)", lam=[0.05, 0.4, 1.3]),
                 sc.SymbolicPrior("lam*abs(z)", lam=0.3)),
    "typed, with a dead zone, a jump and slopes": (
        sc.SymbolicPrior(ODD, lam=[0.2, 0.9, 0.4], t=[0.3, 0.8, 1.5], kappa=[0.6, 0.2, 0.4]),
        sc.SymbolicPrior("lam*abs(abs(z) - a)", lam=0.3, a=0.5)),
    "typed, bounded": (
        sc.SymbolicPrior("lam*z + z**2/2", (0, "high"), lam=[-0.4, 0.2, 0.7], high=0.6),
        sc.SymbolicPrior("0", (-0.4, 0.7))),
    **{name: (name, name) for name in PIECES},
}  # fmt: skip


def layers_of(priors, seed=0):
    """Two dense layers with these activations, two inputs."""
    rng, layers, inputs = np.random.default_rng(seed), [], 2
    for prior, width in zip(priors, (3, 2), strict=True):
        weights, bias = rng.standard_normal((width, inputs)), 0.5 * rng.standard_normal(width)
        layers += [sc.Linear(weights, bias), sc.Activation(prior)]
        inputs = width
    return layers


def as_seen(layers):
    """What the oracle needs: weights, biases, and the pieces each activation shows when run."""
    for linear, activation in zip(layers[::2], layers[1::2], strict=True):
        width = len(linear.weights)

        def run(v, neuron, activation=activation, width=width):
            return activation(np.repeat(v[:, None], width, axis=1))[:, neuron]

        pieces = [read_pieces(lambda v, k=k, run=run: run(v, k)) for k in range(width)]
        yield linear.weights, linear.bias, pieces


@pytest.mark.share(3)
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_count_finds_the_cells_of_every_piecewise_linear_prior(kind, scale):
    for seed in range(scale(1, 10)):
        layers, reach = layers_of(KINDS[kind], seed), 1.2
        one, both = list(as_seen(layers)), (np.zeros(2), np.eye(2))
        exact = count_cells(one, reach)
        assert sc.regions.count(layers, (2,), (-reach, reach)).exact == exact
        assert sc.regions.plane_slice(layers, both, (-reach, reach)).n_regions == exact
        upper = counting.closed_upper(stages(layers, (2,)), 2)
        everywhere = scale(None, sc.regions.count)  # many cells: with --full
        everywhere = everywhere(layers, (2,)).exact if everywhere else upper
        assert exact <= everywhere <= upper
        assert sc.regions.sample(layers, (2,), 500, random_state=0).sampled <= everywhere
        alone = sc.regions.count(layers[:2], (2,)).exact
        assert alone == count_cells(one[:1], 1e6)
        if kind not in ("Gaussian", "identity"):  # nothing to search where nothing bends
            for listing in (sc.regions.linear_regions, sc.regions.search_regions):
                assert sc.regions.count(layers[:2], (2,), cells=listing).exact == alone


@pytest.mark.parametrize("kind", ["Huber", "MCP", "SpikeSlab", "Laplace, one rate 0"])
def test_the_cells_carry_the_functions_of_priors_that_jump_or_bend_differently(kind):
    layers = layers_of(KINDS[kind])
    for cells_of, part in ((sc.regions.linear_regions, layers),
                           (sc.regions.search_regions, layers[:2])):  # fmt: skip
        for batch in cells_of(part, (2,), (-2, 2)):
            point = np.concatenate([batch.points, np.ones((len(batch), 1))], axis=1)
            values = np.einsum("ckn,cn->ck", batch.functions, point)
            expected = sc.Network(part).forward(batch.points)[0]
            assert np.abs(values - expected).max() < NETWORK_VALUE
            assert len(np.unique(batch.patterns, axis=0)) == len(batch)


@pytest.mark.parametrize(
    ("prior", "breakpoints"),
    [
        (sc.Gaussian(0.4), 0),
        (sc.HalfNormal(0.4), 1),
        (sc.ElasticNet(0.2, 0.3, nonnegative=True), 1),
        (sc.Huber(0.3, 0.2), 2),
        (sc.ElasticNet(0.2, 0.3), 2),
        (sc.SpikeSlab(0.2), 2),
        (sc.MCP(0.3, 0.8), 2),
        (sc.SymbolicPrior("lam*abs(z)", lam=[0.2, 0.7]), 2),
        (sc.MCP([0.3, 0.6], 3.0), 4),
        (sc.SCAD(0.3, [3.7, 2.5]), 6),
    ],
    ids=str,
)
def test_a_convolution_has_the_known_count_of_as_many_breakpoints(prior, breakpoints):
    rng = np.random.default_rng(8)
    conv = sc.Conv2D(rng.standard_normal((2, 1, 1, 2)), rng.standard_normal(2))
    known = 1
    if breakpoints:
        known = sc.regions.architecture((1, 1, 3), 2, (1, 2), breakpoints=breakpoints).exact
    assert known == {0: 1, 1: 15, 2: 65, 4: 369, 6: 1105}[breakpoints]
    assert sc.regions.count([conv, sc.Activation(prior)], (1, 1, 3)).exact == known
    table = sc.regions.by_layer([conv, sc.Activation(prior)], (1, 1, 3), n_samples=10)
    assert table.rows[-1].given.exact == known
    assert len(table.rows) == 1 + (breakpoints > 0)


def test_a_rate_of_every_map_belongs_to_all_its_neurons():
    rng = np.random.default_rng(3)
    conv = sc.Conv2D(rng.standard_normal((2, 1, 1, 2)), rng.standard_normal(2))
    bends = [stages([sc.Activation(p)], (2, 1, 2))[0]
             for p in (sc.Huber([0.3, 1.0], 0.2), sc.Laplace([0.0, 1.0]))]  # fmt: skip
    np.testing.assert_allclose(bends[0].thresholds[1], [0.5, 0.5, 1.2, 1.2])
    none = [np.inf, np.inf]
    np.testing.assert_allclose(bends[1].thresholds, [[*none, -1, -1], [*none, 1, 1]])
    flat = sc.regions.count([conv, sc.Activation(sc.Laplace([0.0, 1.0]))], (1, 1, 3)).exact
    assert flat == 9  # one filter with two breakpoints at two places


@pytest.mark.parametrize(
    "prior",
    [sc.Gamma(0.3, 0.1), sc.StudentT(0.3, 0.5), sc.LogSum(0.3, 0.5), sc.Lp(0.3, 0.5),
     sc.Lp(0.3, [1.0, 1.5]), sc.GroupLaplace(0.3, [0, 0]), sc.TopK(1),
     sc.SymbolicPrior("lam*log(1 + abs(z))", lam=0.2), "gelu"],
    ids=str,
)  # fmt: skip
def test_an_activation_that_is_curved_or_couples_is_refused_by_name(prior):
    layers = [sc.Linear(np.eye(2)), sc.Activation(prior)]
    with pytest.raises(sc.InputError, match="not known to be elementwise and piecewise") as caught:
        sc.regions.count(layers, (2,))
    assert (prior if isinstance(prior, str) else type(prior).__name__) in str(caught.value)


TYPED = [
    ("lam*abs(z)", "real", sc.Laplace, {"lam": [0.1, 0.0, 1.3]}),
    ("lam*abs(z) + alpha*z**2/2", "real", sc.ElasticNet, {"lam": [0.3, 0.7], "alpha": [0.4, 0.0]}),
    (sc.Huber.formula, "real", sc.Huber, {"lam": [0.3, 0.7], "delta": [0.2, 1.1]}),
    (sc.SCAD.formula, "real", sc.SCAD, {"lam": [0.3, 0.7], "a": [2.2, 3.7]}),
    (sc.MCP.formula, "real", sc.MCP, {"lam": [0.3, 0.7], "gamma": [0.6, 3.0]}),
    ("lam*z", (0, "high"), sc.TruncatedExponential, {"lam": [-0.3, 0.7], "high": [0.6, 3.0]}),
]


@pytest.mark.parametrize(
    ("formula", "support", "prior", "values"), TYPED, ids=lambda v: str(v)[:20]
)
@pytest.mark.parametrize("unit", [1.0, 2.0**-600, 2.0**300])
def test_a_typed_penalty_has_the_pieces_of_its_class_in_every_unit(
    formula, support, prior, values, unit
):
    shape = (len(values[next(iter(values))]),)
    known = prior(**values).scaled(unit).linear_pieces(shape)
    typed = sc.SymbolicPrior(formula, support, **values).scaled(unit).linear_pieces(shape)
    for ours, theirs in zip(typed, known, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=FEW_ULPS, atol=0)


@pytest.mark.parametrize(
    ("formula", "values", "starts"),
    [
        ("Piecewise((lam*z**2/3 + a*z**2/7, z < b), ((lam/3 + a/7)*z**2, True))",
         dict(lam=0.31, a=1.46, b=1.07), []),
        ("Piecewise((lam*(z - a)**2, z < b), (lam*(z**2 - 2*a*z + a**2), True))",
         dict(lam=0.81, a=1.79, b=0.49), []),
        ("Piecewise((a*z**2, abs(z) <= b), (2*a*b*abs(z) - a*b**2, True))",
         dict(a=0.7, b=0.1), [-0.24, 0.24]),
        ("abs(z)**2*lam", dict(lam=0.3), []),
        ("lam*abs(abs(z) - a)", dict(lam=0.3, a=1.0), [-1.3, -0.7, 0.0, 0.7, 1.3]),
    ],
)  # fmt: skip
def test_a_joint_of_a_formula_without_a_kink_is_no_breakpoint(formula, values, starts):
    found = sc.SymbolicPrior(formula, **values).linear_pieces((1,)).starts.ravel()
    np.testing.assert_allclose(found, starts, rtol=FEW_ULPS, atol=FEW_ULPS)
