"""The activation table: every value and slope against mpmath, and torch's choices at the kinks."""

from __future__ import annotations

import functools

import mpmath
import numpy as np
import pytest
from mpmath import mp
from tolerances import ACTIVATION_ULPS, ROUNDING, TORCH_KINK

import sparsecnn as sc
from sparsecnn.activations import ACTIVATIONS
from sparsecnn.checks import check_layer

INF, NAN = np.inf, np.nan
SELU_A, SELU_S = mp.mpf(1.6732632423543772), mp.mpf(1.0507009873554805)


def clip(x, low, high):
    return min(max(x, mp.mpf(low)), mp.mpf(high))


def elu(x):
    return x if x > 0 else mp.expm1(x)


def gelu(x):
    return x * mp.erfc(-clip(x, -1000, 1000) / mp.sqrt(2)) / 2


#: name -> the function as its definition says it, for mpmath
DEFINITIONS = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, mp.mpf(0)),
    "relu6": lambda x: clip(x, 0, 6),
    "leaky_relu": lambda x: x if x > 0 else x * mp.mpf(0.01),
    "elu": elu,
    "celu": elu,
    "selu": lambda x: SELU_S * (x if x > 0 else SELU_A * mp.expm1(x)),
    "gelu": gelu,
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
    "hardswish": lambda x: x * clip(x + 3, 0, 6) / 6,
    "hardtanh": lambda x: clip(x, -1, 1),
    "hardsigmoid": lambda x: clip(x + 3, 0, 6) / 6,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "tanh": mp.tanh,
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "tanhshrink": lambda x: x - mp.tanh(x),
    "logsigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    "softshrink": lambda x: x - clip(x, -0.5, 0.5),
    "hardshrink": lambda x: x if abs(x) > 0.5 else mp.mpf(0),
}
#: name -> ((value, slope) at -inf, (value, slope) at inf)
LIMITS = {
    "identity": ((-INF, 1), (INF, 1)),
    "relu": ((0, 0), (INF, 1)),
    "relu6": ((0, 0), (6, 0)),
    "leaky_relu": ((-INF, 0.01), (INF, 1)),
    "elu": ((-1, 0), (INF, 1)),
    "celu": ((-1, 0), (INF, 1)),
    "selu": ((-float(SELU_S * SELU_A), 0), (INF, float(SELU_S))),
    "gelu": ((0, 0), (INF, 1)),
    "silu": ((0, 0), (INF, 1)),
    "mish": ((0, 0), (INF, 1)),
    "hardswish": ((0, 0), (INF, 1)),
    "hardtanh": ((-1, 0), (1, 0)),
    "hardsigmoid": ((0, 0), (1, 0)),
    "sigmoid": ((0, 0), (1, 0)),
    "tanh": ((-1, 0), (1, 0)),
    "softplus": ((0, 0), (INF, 1)),
    "softsign": ((-1, 0), (1, 0)),
    "tanhshrink": ((-INF, 1), (INF, 1)),
    "logsigmoid": ((-INF, 1), (0, 0)),
    "softshrink": ((-INF, 1), (INF, 1)),
    "hardshrink": ((-INF, 1), (INF, 1)),
}
KINKS = (0.0, 0.5, 1.0, 3.0, 6.0)
#: name -> {kink: slope there}
SLOPES = {
    "relu": {0: 0},
    "relu6": {0: 0, 6: 0},
    "leaky_relu": {0: 0.01},
    "elu": {0: 1},
    "celu": {0: 1},
    "selu": {0: float(SELU_S * SELU_A)},
    "hardswish": {-3: 0, 3: 1},
    "hardtanh": {-1: 0, 1: 0},
    "hardsigmoid": {-3: 0, 3: 0},
    "softshrink": {-0.5: 0, 0.5: 0},
    "hardshrink": {-0.5: 0, 0.5: 0},
}


def grid(dtype):
    """Numbers of both signs from the smallest to the largest, none of them a kink."""
    rng = np.random.default_rng(0)
    sizes = [
        *(1e-40, 1e-37, 1e-30, 1e-20, 1e-10, 1e-8, 1e-5, 1e-3, 0.03, 0.25, 0.4999),
        *(0.75, 0.99, 1.01, 1.278, 2.0, 2.9999, 3.0001, 5.0, 9.0, 13.0, 16.0, 20.0, 37.5, 40.0),
        *(52.0, 88.0, 100.0, 103.0, 372.0, 700.0, 745.0, 1e3, 1e6, 1e10, 1e30),
        *rng.uniform(0, 8, 12),
    ]
    sizes += [1e-300, 1e-160, 1e160, 1e300] if dtype == np.float64 else []
    sizes = np.array(sizes).astype(np.float32).astype(float) if dtype == np.float32 else sizes
    return np.array([*sizes, *np.negative(sizes)]).astype(dtype)


@functools.cache
def exact(name, x):
    """Value and slope, by the definition and its central difference in many digits."""
    # what cancels: 1 - tanh^2 in e^(-2 |x|), x - tanh x in x^3; the difference in 60 digits
    digits = 200 + (abs(x) if abs(x) < 1000 else 0) - 3 * min(np.log10(abs(x)), 0)
    with mp.workdps(int(digits)):
        function, x = DEFINITIONS[name], mp.mpf(x)
        h = abs(x) * mp.mpf(10) ** -60
        return function(x), (function(x + h) - function(x - h)) / (2 * h)


def ulps(got, wanted, scale, dtype):
    """Distance in units in the last place of ``scale``, or of the smallest normal number."""
    limits = np.finfo(dtype)
    return float(abs(mp.mpf(float(got)) - wanted) / max(abs(scale), mp.mpf(float(limits.tiny)))
                 / float(limits.eps))  # fmt: skip


def test_the_tables_here_are_of_the_names_there():
    assert DEFINITIONS.keys() == LIMITS.keys() == ACTIVATIONS.keys()
    assert mpmath.__version__


@pytest.mark.share(3)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_values_and_slopes_are_right_to_a_few_ulps_from_the_smallest_to_the_largest(name, dtype):
    x = grid(dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, slope = ACTIVATIONS[name](np, x)
    assert (y.dtype, slope.dtype) == (dtype, dtype)
    for i, number in enumerate(x.tolist()):
        value, derivative = exact(name, number)
        assert ulps(y[i], value, value, dtype) <= ACTIVATION_ULPS, number
        # the slope of x g(x) is g + x g', which has a zero: there it is right to ulps of g
        scale = max(abs(derivative), abs(value / number))
        assert ulps(slope[i], derivative, scale, dtype) <= ACTIVATION_ULPS, number


@pytest.mark.parametrize("name", ["elu", "celu", "selu"])
def test_the_slope_of_the_exponential_units_is_the_exponential(name):
    gain = float(SELU_S * SELU_A) if name == "selu" else 1.0
    for x, dtype in ((-20.0, np.float32), (-40.0, np.float64), (-700.0, np.float64)):
        y, pullback = sc.Activation(name).forward(np.array([x], dtype))
        np.testing.assert_allclose(y, -gain, rtol=np.finfo(dtype).eps)
        slope = pullback(np.ones(1, dtype))[0]
        np.testing.assert_allclose(slope, gain * np.exp(x), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LIMITS)
def test_infinity_gives_the_limit_and_nan_gives_nan(name, dtype):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, pullback = sc.Activation(name).forward(np.array([-INF, INF, NAN], dtype))
        slope = pullback(np.ones(3, dtype))[0]
    assert np.isnan(y[2])
    for i, (value, derivative) in enumerate(LIMITS[name]):
        np.testing.assert_allclose(y[i], value, rtol=np.finfo(dtype).eps)
        np.testing.assert_allclose(slope[i], derivative, rtol=np.finfo(dtype).eps)


@pytest.mark.parametrize("name", SLOPES)
def test_a_kink_has_the_slope_that_is_agreed_on(name):
    x = np.array(list(SLOPES[name]), float)
    slope = sc.Activation(name).forward(x)[1](np.ones(len(x)))[0]
    np.testing.assert_allclose(slope, list(SLOPES[name].values()), rtol=np.finfo(float).eps)


def of_torch(torch, name):
    own = {"identity": lambda x: x * 1, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
    return own.get(name) or getattr(torch.nn.functional, name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_subgradient_at_a_kink_is_the_one_of_torch(name):
    torch = pytest.importorskip("torch")
    x = np.array([sign * kink for kink in KINKS for sign in (1, -1)])
    tensor = torch.tensor(x, requires_grad=True)
    value = of_torch(torch, name)(tensor)
    value.sum().backward()
    y, slope = ACTIVATIONS[name](np, x)
    np.testing.assert_allclose(y, value.detach().numpy(), rtol=TORCH_KINK)
    np.testing.assert_allclose(slope, tensor.grad.numpy(), rtol=TORCH_KINK)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_tensors_of_torch_go_through_the_same_formulas(name):
    torch = pytest.importorskip("torch")
    x = grid(np.float64)
    y, pullback = sc.Activation(name).forward(torch.tensor(x))
    dx = pullback(torch.ones(len(x), dtype=torch.float64))[0]
    wanted, slope = ACTIVATIONS[name](np, x)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=ROUNDING, atol=1e-300)
    np.testing.assert_allclose(dx.numpy(), slope, rtol=ROUNDING, atol=1e-300)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_keeps_the_contract_of_a_layer(name):
    check_layer(sc.Activation(name), np.linspace(-7, 7, 57)[None])


def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(sc.InputError, match=r"prior is 'swosh'; expected a Prior or one of.*silu"):
        sc.Activation("swosh")
