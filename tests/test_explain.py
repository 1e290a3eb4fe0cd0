"""From an activation back to its prior: what is proved, what was sampled, and how it is shown."""

import dataclasses
import functools
import json
import math
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import mpmath
import numpy as np
import pytest
import sympy as sp
import tolerances
from hypothesis import given
from hypothesis import strategies as st

import sparsecnn as sc
from sparsecnn.derivation import pages, sampling
from sparsecnn.derivation.known import KNOWN
from sparsecnn.derivation.reverse import activation_values
from sparsecnn.derivation.vectors import VECTOR_MAPS
from sparsecnn.symbolic.evaluation import Z
from sparsecnn.symbolic.intervals import bounds
from sparsecnn.symbolic.signs import larger, nonnegative, rise

NO_PROX = {"gelu", "gelu_tanh", "silu", "mish", "hardswish"}
PROX = sorted(set(KNOWN) - NO_PROX)
#: verdicts that rest on a proof in every claim; the others say what is left to numbers
PROVED = sorted(set(PROX) - {"threshold", "hardshrink", "squareplus", "isru"})


# -- proofs ---------------------------------------------------------------------------------
_BOUNDED = [
    sp.tanh(Z) ** 2, Z * sp.exp(-(Z**2)), sp.cos(3 * Z), sp.sin(Z) / (1 + Z**2), sp.tan(Z / 4),
    sp.erf(Z) * Z, sp.exp(Z) / (1 + sp.exp(Z)), sp.atan(Z), sp.sqrt(1 + Z**2), sp.asinh(Z),
    sp.Max(Z, sp.sin(Z)), (1 + Z**2) ** sp.Rational(-3, 2), sp.log(2 + sp.cos(Z)), sp.cosh(Z),
    sp.erfc(Z), sp.sinh(Z) - Z, sp.Abs(Z - 1), Z**3 - Z, sp.Min(Z, 1) ** 2, sp.sign(Z) * Z,
]  # fmt: skip


@given(st.sampled_from(_BOUNDED), st.floats(-9, 9), st.floats(-12, 2), st.floats(0, 1))
def test_an_interval_holds_every_value(expression, low, log_width, share):
    width = float(np.exp(log_width))
    x = low + share * width
    down, up = bounds(expression, low, low + width)
    value = sp.lambdify(Z, expression, "mpmath")(mpmath.mpf(x))
    slack = 1e-12 * (1 + abs(value))  # of the value's own double precision
    if low <= x <= low + width:
        assert down - slack <= value <= up + slack


@pytest.mark.parametrize("power", [1, 2, 3, 4, -3, -2])
def test_the_interval_of_a_power_holds_its_ends(power):
    ends = (-2.0, 1.0) if power > 0 else (0.5, 2.0)
    for low, high in (ends, tuple(-e for e in reversed(ends))):
        down, up = bounds(Z**power, low, high)
        assert down <= min(low**power, high**power) and max(low**power, high**power) <= up


def test_signs_are_proved_or_left_open_but_never_wrong():
    for expression, low, high in (
        (1 - sp.tanh(Z) ** 2, -sp.oo, sp.oo),
        (1 - Z / sp.sqrt(Z**2 + 4), -sp.oo, sp.oo),
        (1 + Z * sp.exp(-(Z**2)), -sp.oo, sp.oo),
        (1 + sp.Rational(9, 10) * sp.cos(Z), -sp.oo, sp.oo),
        (Z**4 - Z**2 + 1, -sp.oo, sp.oo),
        (Z - 1, sp.Integer(1), sp.oo),
        (2 - Z, sp.Integer(0), sp.Integer(2)),
    ):
        assert nonnegative(expression, low, high), expression
    for expression in (
        Z,
        sp.cos(Z),
        1 - 2 * sp.exp(-(((Z - 3) * 1000) ** 2)),  # negative on a stretch of 0.002 only
        sp.Integer(-1),
        1 - Z**2 / 10**7,  # negative only beyond 3162
    ):
        assert nonnegative(expression) is None, expression


def test_a_missed_meeting_of_two_cases_is_no_proof():
    """max(x, tanh(x)) has its joint where no formula of ours finds it."""
    found = rise(sp.Max(Z, sp.tanh(Z)))
    assert found.monotone.verdict == "UNDECIDED"
    explained = sc.explain("max(x, tanh(x))")
    assert explained.is_prox and explained.evidence == "confirmed"


def test_a_jump_down_hidden_between_rising_pieces_is_not_proved_to_rise():
    falling = sp.Piecewise((Z, Z < 1), (Z - sp.Rational(1, 10**9), True))
    assert rise(falling).monotone.verdict == "UNDECIDED"
    assert rise(sp.Piecewise((Z, Z < 1), (Z + 1, True))).monotone.verdict == "PROVED"


@pytest.mark.parametrize("name", PROVED)
def test_a_verdict_called_proved_is_so_in_every_claim(name):
    found = sc.explain(name)
    assert found.evidence == "proved"
    assert [c.verdict for c in found.checks] == ["PROVED"] * len(found.checks)
    closed = not found.penalty.startswith("phi(sigma")
    assert len(found.checks) == (3 if closed else 2)


@pytest.mark.parametrize("name", sorted(set(PROX) - set(PROVED)))
def test_a_verdict_called_confirmed_says_what_numbers_it_rests_on(name):
    found = sc.explain(name)
    assert found.evidence == "confirmed"
    assert found.checks[0].verdict == "PROVED"  # that it rises is proved even so
    assert any("inputs" in c.detail for c in found.checks if c.verdict == "CONFIRMED")


@pytest.mark.parametrize("name", sorted(NO_PROX))
def test_a_refutation_is_enclosed_by_interval_arithmetic(name):
    found = sc.explain(name)
    assert found.evidence == "proved" and "interval arithmetic" in found.checks[0].detail
    low, high = found.witness["x"], found.witness["y"]
    assert low < high
    formula = sp.sympify(KNOWN[name].formula, {"x": Z, "max": sp.Max, "min": sp.Min})
    with mpmath.workdps(50):
        at = sp.lambdify(Z, formula.rewrite(sp.Piecewise), "mpmath")
        fall = at(mpmath.mpf(low)) - at(mpmath.mpf(high))
    assert abs(float(fall) - found.witness["fall"]) < tolerances.ROUNDING and fall > 0.1
    assert larger(formula, high, low).verdict == "REFUTED"


def test_a_fall_within_rounding_is_not_called_proved():
    found = sc.explain(lambda x: np.minimum(x, 1) - 3e-10 * (x > 2))
    assert not found.is_prox and found.evidence == "sampled" and "rounding" in str(found.checks[0])
    assert sc.explain("Piecewise((x, x < 1), (x - 1/10**9, True))").evidence == "proved"


@pytest.mark.share(3)
@pytest.mark.parametrize("formula, truth", [
    ("cosh(x)**2 - sinh(x)**2", lambda x: np.ones_like(x)),
    ("sinh(x)*(cosh(x) - sinh(x))", lambda x: -np.expm1(-2 * x) / 2),
    ("exp(2*x)*(1 - tanh(x))", lambda x: 2 / (1 + np.exp(-2 * x))),
    ("(exp(x) - exp(-x))**2 - (exp(x) + exp(-x))**2 + x", lambda x: x - 4),
    ("sinh(x)/cosh(x) - tanh(x)", np.zeros_like),
    ("exp(x)*(1 + exp(2*x))*(1 - tanh(x)) + exp(x)", lambda x: 3 * np.exp(x)),
    ("x - exp(x**2/9)*erfc(x/3)", None),
])  # fmt: skip
def test_cancelling_terms_are_no_fall_and_the_prior_sees_none_either(formula, truth):
    found = sc.explain(formula)
    assert found.is_prox, found.reason
    x = np.linspace(-12, 59, 200)
    if truth is not None:
        at, expected = found.prior.prox(x), truth(x)
        assert (np.abs(at - expected) <= tolerances.UNITS * (1 + np.abs(expected))).all()


def test_a_fall_that_cancellation_hides_is_proved():
    assert sc.explain("cosh(x)**2 - sinh(x)**2 - x/1000").evidence == "proved"
    found = sc.explain("exp(2*x)*(tanh(x) - 1)")  # -2/(1 + exp(-2x)), constant to doubles
    assert not found.is_prox and found.evidence == "proved"


@pytest.mark.share(2)
@pytest.mark.parametrize("formula", [
    "x - 2*max(x - 100, 0)", "Piecewise((x, x < 100), (x - 1, True))", "x - x**3/10**12",
    "Piecewise((x, x < 3.14), (x - 1/10**7, True))", "Piecewise((1, Eq(x, 1/3)), (x, True))",
    "Piecewise((0, Eq(x, 100)), (x, True))", "x + 1.0000001*sin(x)", "x + 1.0000000001*sin(x)",
    "min(x, 3.14) - max(x - 700, 0)/1000", "50 - 4*max(min(x - 2, 1), 0)/10**9",
])  # fmt: skip
def test_a_fall_that_no_grid_sees_is_proved_from_the_formula(formula):
    found = sc.explain(formula)
    assert not found.is_prox and found.evidence == "proved"
    low, high = found.witness["x"], found.witness["y"]
    assert low < high and found.witness["f(x)"] >= found.witness["f(y)"]
    assert found.witness["fall"] > 0 and "interval arithmetic" in found.checks[0].detail


def test_a_case_that_holds_at_one_point_only_is_not_stretched_around_it():
    at_one = sp.Piecewise((1 - 1000 * (Z - 1), sp.Eq(Z, 1)), (Z, True))  # the identity
    tiny = sp.Rational(1, 10**13)
    assert larger(at_one, 1 - tiny, 1 + tiny).verdict == "REFUTED"
    assert sc.explain("Piecewise((1 - 1000*(x - 1), Eq(x, 1)), (x, True))").is_prox


@pytest.mark.parametrize("formula", [
    "Piecewise((x, x < 100), (x + 1, True))", "x + max(x - 100, 0)", "max(x, 3.14)",
    "Piecewise((x, x < 3.14), (x + 1/10**7, True))", "x + 0.9999999*sin(x)",
])  # fmt: skip
def test_no_fall_is_proved_where_there_is_none(formula):
    found = sc.explain(formula)
    assert found.is_prox and found.checks[0].verdict == "PROVED"


def test_what_is_not_proved_says_how_wide_and_how_deep_a_fall_must_be_to_be_seen():
    for thing in (lambda x: 50 - 4e-9 * (x > 2), "max(x, tanh(x))"):
        found = sc.explain(thing)
        assert found.evidence in ("sampled", "confirmed")
        for words in ("[-60, 60]", "stays lower for more than 0.0004", "1e-10 max(1, |f|)"):
            assert words in found.reason
    assert "1e-05 max(1, |f|)" in sc.explain(lambda x: np.tanh(np.float32(x))).reason
    assert "363 inputs in [-30, 25]" in sc.explain("hardshrink").reason


def test_underflow_is_no_dead_zone():
    for thing in (
        "1/(1 + exp(-1000*x))", "exp(x)*erfc(-x)", "exp(-1000*max(-x, 0)) + max(x, 0)",
        lambda x: np.exp(-1000 * np.maximum(-x, 0)) + np.maximum(x, 0),
        lambda x: np.exp(np.minimum(1e5 * x, 0)),
    ):  # fmt: skip
        assert sc.explain(thing).sparse is False
    for thing in (
        "max(x - 30, 0)", "max(x, 0)**3", "sinh(max(x, 0))/cosh(max(x, 0))", np.round,
        lambda x: np.maximum(x, 0) ** 4, lambda x: x * (np.abs(x) > 1),
    ):  # fmt: skip
        assert sc.explain(thing).sparse is True


def test_complex_values_are_refused_not_cut():
    for function in (lambda x: np.sqrt(x + 0j), lambda x: x + 0j):
        with pytest.raises(sc.InputError, match="complex"):
            sc.explain(function)
    with pytest.raises(sc.InputError, match="complex"):
        sc.explain(lambda x: x + 1j, dim=3)


_T_ = sp.Symbol("t")


@pytest.mark.parametrize("expression, word", [
    (sp.Heaviside(_T_), "Heaviside"), (sp.Function("f")(_T_), "f"), (sp.zoo * _T_, "zoo"),
    (sp.Integral(sp.exp(_T_**2), (_T_, 0, _T_)), "Integral"), (sp.I * _T_, "I"),
    (sp.floor(_T_), "floor"), (_T_ > 1, "condition"), (_T_ + sp.nan, "nan"),
])  # fmt: skip
def test_a_sympy_expression_outside_the_grammar_is_refused_by_name(expression, word):
    with pytest.raises(sc.InputError, match=word):
        sc.explain(expression)


def test_floats_of_a_sympy_expression_are_what_they_print():
    assert sc.explain(_T_ + 1.0000001 * sp.sin(_T_)).evidence == "proved"
    assert sc.explain(_T_ + 0.5 * sp.tanh(_T_)).evidence == "proved"


# -- round trip -----------------------------------------------------------------------------
SETTINGS = [
    ("hardtanh", dict(low=-2.0, high=0.5)), ("hardtanh", dict(low=0.25, high=3.0)),
    ("threshold", dict(threshold=0.5, value=-1.0)), ("threshold", dict(threshold=-1.0, value=-1.0)),
    ("threshold", dict(threshold=1.5, value=0.5)), ("leaky_relu", dict(a=0.3)),
    ("leaky_relu", dict(a=2.5)), ("prelu", dict(a=0.75)), ("elu", dict(a=0.4)),
    ("elu", dict(a=2.5)), ("celu", dict(a=0.4)), ("celu", dict(a=2.5)),
    ("softplus", dict(beta=2.5)), ("softplus", dict(beta=0.5)), ("squareplus", dict(b=1.0)),
    ("softshrink", dict(lam=1.7)), ("hardshrink", dict(theta=1.2)),
]  # fmt: skip
FORMULAS = [
    "x", "x/2", "2*x", "x + sin(x)/2", "x - sin(x)", "x/(1 + abs(x))", "erf(x)", "atan(2*x)",
    "tanh(x) + x/3", "x*abs(x)", "max(x, x/10)", "min(x, 1)", "min(max(x - 1/2, 0), 2)", "x**3",
    "sign(x)*max(abs(x) - 1, 0)", "x - tanh(x)", "log(1 + exp(2*x))/2", "exp(min(x, 2))",
    "sign(x)", "max(tanh(x), 0)", "x/sqrt(1 + x**2)", "x + exp(-x**2)/4", "asinh(3*x)",
    "Piecewise((x, x > 1), (0, True))", "x**3/(1 + x**2)", "max(x, exp(x) - 2)",
]  # fmt: skip
CALLABLES = [
    np.tanh, np.arctan, np.arcsinh, np.cbrt, np.round, np.sign, lambda x: np.maximum(x, 0.0),
    lambda x: np.clip(x, -1, 2), lambda x: x / (1 + np.exp(-8 * np.clip(x, 0, None))) + x,
    lambda x: np.where(np.abs(x) > 1, x, 0.0), lambda x: x + 0.3 * np.sin(3 * x),
    lambda x: np.logaddexp(0.0, x), lambda x: np.sign(x) * np.log1p(np.abs(x)),
]  # fmt: skip


def _inputs(n):
    """Random inputs, off the joints, at which a jump may take either value."""
    return np.random.default_rng(0).uniform(-8, 8, n)


@pytest.mark.share(3)
@pytest.mark.parametrize("name, values", SETTINGS, ids=lambda v: str(v))
def test_unusual_parameters_come_back_through_their_prior(name, values, scale):
    from sparsecnn.derivation.reverse import _named

    found = _named(name, values)
    x = _inputs(scale(400, 4000))
    layer = sc.derive(found).layer()
    expected = activation_values(name, values)(x)
    np.testing.assert_allclose(layer(x), expected, atol=tolerances.ROUND_TRIP)
    assert found.parameters == values


@pytest.mark.share(3)
@pytest.mark.parametrize("name", PROX)
def test_every_name_comes_back_through_its_prior(name, scale):
    x = _inputs(scale(400, 4000))
    layer = sc.derive(sc.explain(name)).layer()
    np.testing.assert_allclose(layer(x), activation_values(name)(x), atol=tolerances.ROUND_TRIP)


@pytest.mark.share(3)
@pytest.mark.parametrize("formula", FORMULAS)
def test_every_formula_comes_back_through_its_prior(formula, scale):
    x = _inputs(scale(400, 4000))
    function = sp.lambdify(
        sp.Symbol("x"), sp.sympify(formula, {"max": sp.Max, "min": sp.Min}), ["scipy", "numpy"]
    )
    layer = sc.derive(sc.explain(formula)).layer()
    np.testing.assert_allclose(layer(x), function(x), atol=tolerances.ROUND_TRIP)


@pytest.mark.share(2)
@pytest.mark.parametrize("function", CALLABLES)
def test_every_callable_comes_back_through_its_prior(function, scale):
    x = _inputs(scale(400, 4000))
    found = sc.explain(function)
    assert found.evidence == "sampled"
    layer = sc.derive(found).layer()
    np.testing.assert_allclose(layer(x), function(x), atol=tolerances.ROUND_TRIP)


_INF = np.inf


@pytest.mark.share(2)
@pytest.mark.parametrize("thing, z, expected", [
    ("Piecewise((0, abs(x) < 1), (x, True))", [0, 0.5, 1, 2, -3], [0, _INF, 0.5, 0.5, 0.5]),
    ("Piecewise((0, abs(x) < 1), (2*x, True))", [0, 1, 2, 2.5, -5], [0, _INF, 0, -0.5625, -5.25]),
    ("Piecewise((x, x < 100), (x + 1, True))", [0, 99, 100.5, 101, 150], [0, 0, _INF, -0.5, -49.5]),
    ("Piecewise((x/2, x < 1/3), (x + 1, True))", [0.1, 4 / 3], [0.005, -17 / 36]),
    (np.round, [0, 1, 2, -3, 0.3, 50], [0, 0, 0, 0, _INF, 0]),
    (np.sign, [-1, 0, 1], [-0.5, 0, -0.5]),
    (np.cbrt, [0, 1, -2], [0, -0.25, 2]),
    (lambda x: x + np.sin(100 * x) / 200, [0.0], [0.0]),
])  # fmt: skip
def test_the_penalty_of_an_activation_with_jumps_has_its_exact_values(thing, z, expected):
    value = sc.explain(thing).prior.value
    found = [float(value(np.array([[v]]))[0]) for v in z]
    np.testing.assert_allclose(found, expected, atol=tolerances.ROUND_TRIP)


@pytest.mark.share(2)
@pytest.mark.parametrize("formula", [
    "Piecewise((0, abs(x) < 1), (x, True))", "Piecewise((0, abs(x) < 1), (2*x, True))",
    "Piecewise((x/2, x < 1/3), (x + 1, True))", "sign(x)", "x**3",
])  # fmt: skip
def test_what_a_prox_gives_has_a_finite_penalty_and_the_least_objective(formula, scale):
    found = sc.explain(formula)
    x = _inputs(scale(300, 3000))
    z = found.prior.prox(x)
    mine = 0.5 * (x - z) ** 2 + found.prior.value(z[:, None])
    assert np.isfinite(mine).all()
    for other in np.roll(z, 1), np.roll(z, 7), 0 * z:
        theirs = 0.5 * (x - other) ** 2 + found.prior.value(other[:, None])
        assert (mine <= theirs + tolerances.ROUND_TRIP * (1 + np.abs(theirs))).all()
    assert sc.derive(found).verify().passed


@pytest.mark.share(2)
@pytest.mark.parametrize("name", ["tanh", "softplus", "hardshrink", "selu", "tanhshrink"])
def test_the_derivation_of_what_was_explained_verifies(name):
    verification = sc.derive(sc.explain(name)).verify()
    assert verification.passed, verification.summary()


# -- black boxes ----------------------------------------------------------------------------
def _dip(centre, width):
    return lambda x: x - 3 * np.exp(-(((x - centre) / width) ** 2))


@pytest.mark.parametrize("width", [2.0, 0.1, 0.01, 1e-3, 2e-4])
def test_a_hidden_dip_is_found(width, scale):
    for centre in np.random.default_rng(1).uniform(-11, 11, scale(6, 60)):
        found = sc.explain(_dip(centre, width))
        assert not found.is_prox
        assert found.witness["x"] < found.witness["y"]
        assert found.witness["f(x)"] > found.witness["f(y)"]


def test_a_dip_narrower_than_the_stated_resolution_may_be_missed_and_the_verdict_says_so():
    widths = sc.explain(np.tanh).sampling["widest_unseen_dip"]
    narrow = min(widths.values()) / 100
    found = sc.explain(_dip(2.34 + min(widths.values()) / 2, narrow))
    assert found.is_prox and found.evidence == "sampled"
    assert f"{min(widths.values()):g}" in found.reason and "stays lower" in found.reason


def test_slow_falls_are_found_although_neighbours_hardly_differ():
    assert not sc.explain(lambda x: -1e-5 * x).is_prox
    assert not sc.explain(lambda x: np.where(np.abs(x) < 3, -1e-6 * x, x)).is_prox


def test_the_number_of_evaluations_is_bounded():
    seen = []

    def counted(x):
        seen.append(x.size)
        return np.sin(1000 * x) / 1000 + x + 1e-3 * np.sign(np.sin(50 * x))

    sc.explain(counted)
    base = (
        2 * sampling.NEAR / sampling.FINE + 2 * (sampling.REACH - sampling.NEAR) / sampling.COARSE
    )
    assert sum(seen) < 2 * (base + 2000) + 2 * sampling.ROUNDS * sampling.CELLS


def test_the_confidence_is_stated_as_data():
    found = sc.explain(np.arctan)
    told = found.to_dict()["sampling"]
    assert told["points"] > 10_000 and told["interval"] == [-60.0, 60.0]
    assert 0 < told["smallest_slope"] < 1e-3 and 0.999 < told["largest_slope"] <= 1.000001
    assert f"{told['points']} points" in found.reason


def test_single_precision_is_no_reason_to_refuse():
    found = sc.explain(lambda x: np.tanh(np.float32(x)))
    assert found.is_prox and found.convex


def test_what_is_no_elementwise_function_is_refused_with_the_reason():
    rng = np.random.default_rng(0)
    for function, words in (
        (lambda x: x.sum(), "shape"),
        (lambda x: x - x.mean(), "stands alone"),
        (lambda x: x + rng.standard_normal(x.shape), "stands alone"),
        (lambda x: 1 / np.where(np.abs(x) < 1, 0.0, x), "not finite"),
    ):
        with pytest.raises(sc.InputError, match=words):
            sc.explain(function)


def _absolute_in_place(x):
    np.abs(x, out=x)
    return x


def _relu_in_place(x):
    x[x < 0] = 0
    return x


def test_a_function_that_works_in_place_gets_a_copy():
    assert not sc.explain(_absolute_in_place).is_prox
    assert not sc.explain(_absolute_in_place, dim=3).is_prox
    found = sc.explain(_relu_in_place)
    x = np.linspace(-3, 3, 13)
    assert found.sparse and (found.prior.prox(x) == np.maximum(x, 0)).all() and x[0] == -3


@pytest.mark.parametrize("name, function, dim", [
    ("a type read off the first value", np.vectorize(lambda x: 0 if x < 0 else x), None),
    ("a first value that few inputs have", np.vectorize(lambda x: x if abs(x) > 0.1 else 0), None),
    ("the largest of the batch", lambda x: x / max(1, np.abs(x).max() / 50), None),
    ("the size of the batch", lambda x: np.tanh(x) if x.size > 1000 else np.sin(x), None),
    ("the order", lambda x: np.maximum.accumulate(x), None),
    ("the statistics of the batch", lambda x: (x - x.mean(axis=0)) / (1 + x.std(axis=0)), 3),
    ("the norm of the batch", lambda x: x / np.linalg.norm(x), 3),
])  # fmt: skip
def test_a_function_of_its_batch_is_refused(name, function, dim):
    with pytest.raises(sc.InputError, match="alone or in another order"):
        sc.explain(function, dim=dim)


def _clipped(v):
    """Of one vector: its projection on the unit ball."""
    return v if np.linalg.norm(v, axis=0) <= 1 else v / np.linalg.norm(v, axis=0)


def test_functions_of_one_number_or_one_vector_are_mapped():
    x = np.linspace(-3, 3, 13)
    for function, whole in (
        (math.tanh, np.tanh), (lambda x: x if x > 0 else 0, lambda x: np.maximum(x, 0)),
        (np.vectorize(lambda x: 0 if x < 0 else x, otypes=[float]), lambda x: np.maximum(x, 0)),
    ):  # fmt: skip
        np.testing.assert_allclose(sc.explain(function).prior.prox(x), whole(x), atol=1e-12)
    assert sc.explain(_clipped, dim=3).convex
    with pytest.raises(sc.InputError, match="not finite at x = -60"):
        sc.explain(math.sqrt)


def test_what_cannot_be_called_or_gives_no_numbers_is_refused_with_the_reason():
    for function, words in (
        (lambda x: 1 / 0, "ZeroDivisionError"), (lambda x, y: x, "missing 1 required"),
        (lambda x: None, "expected numbers"), (lambda x: ["a"] * len(x), "expected numbers"),
    ):  # fmt: skip
        with pytest.raises(sc.InputError, match=words):
            sc.explain(function)


@pytest.mark.parametrize("call", [sc.explain, sc.derive])
@pytest.mark.parametrize("kind", [sc.Laplace, sc.Activation, type("MyAct", (), {})])
def test_a_class_in_place_of_an_instance_is_refused_by_name(call, kind):
    with pytest.raises(sc.InputTypeError, match=f"the class {kind.__name__}; expected an instance"):
        call(kind)


def test_posterior_means_are_told_from_maps():
    for name in ("relu", "softshrink", "hardshrink", "hardtanh", "relu6", "leaky_relu"):
        assert sc.explain(name).posterior_mean is False
    assert "-1 or +1" in sc.explain("tanh").posterior_mean
    assert "0 or 1" in sc.explain("sigmoid").posterior_mean
    assert "one-hot" in sc.explain("softmax").posterior_mean
    assert sc.explain("elu").posterior_mean is None


# -- maps of vectors ------------------------------------------------------------------------
_RNG = np.random.default_rng(3)
_W, _T = _RNG.standard_normal((4, 4)), _RNG.standard_normal((4, 4))
_SQUARED = np.linalg.norm(_W, 2) ** 2


def _relu(x):
    return np.maximum(x, 0)


def _windowed(x):
    """Group lasso whose groups overlap: each entry is shrunk by the norm of its neighbourhood."""
    size = np.sqrt(x**2 + np.roll(x, 1, axis=-1) ** 2 + np.roll(x, -1, axis=-1) ** 2)
    return x * _relu(1 - 1 / np.maximum(size, 1e-12))


def _squeeze_excite(x):
    return x / (1 + np.exp(-(_relu(x @ _W) @ _T)))


def _block_soft(x):
    return x * _relu(1 - 1 / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12))


#: name -> (map, is a prox, of a convex penalty)
VECTORS = {
    "softmax": (VECTOR_MAPS["softmax"], True, True),
    "softmax at inverse temperature 3": (lambda x: VECTOR_MAPS["softmax"](3 * x), True, False),
    "softmin": (VECTOR_MAPS["softmin"], False, False),
    "log-softmax": (VECTOR_MAPS["log_softmax"], False, False),
    "RMSNorm": (VECTOR_MAPS["rms_norm"], True, False),
    "LayerNorm": (VECTOR_MAPS["layer_norm"], True, False),
    "LayerNorm, constant gain": (lambda x: 2 * VECTOR_MAPS["layer_norm"](x) + 1, True, False),
    "LayerNorm, gain": (
        lambda x: np.array([1, 2, 0.5, 1.5]) * VECTOR_MAPS["layer_norm"](x), False, False,
    ),
    "tied block": (lambda x: _relu(x @ _W + 0.3) @ _W.T, True, False),
    "tied block, scaled": (lambda x: _relu(x @ _W + 0.3) @ _W.T / _SQUARED, True, True),
    "residual": (lambda x: x - _relu(x @ _W) @ _W.T / _SQUARED, True, True),
    "untied block": (lambda x: _relu(x @ _W), False, False),
    "windowed group lasso": (_windowed, False, False),
    "group lasso": (_block_soft, True, True),
    "squeeze-excite": (_squeeze_excite, False, False),
    "keep the largest": (VECTOR_MAPS["keep_largest"], False, False),
    "keep the largest after ReLU": (lambda x: VECTOR_MAPS["keep_largest"](_relu(x)), True, False),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_vector_maps_get_the_verdict_of_the_theory(name):
    function, is_prox, convex = VECTORS[name]
    found = sc.explain(function, dim=4)
    assert found.is_prox == is_prox, found.reason
    assert found.evidence == ("sampled" if is_prox else found.evidence)
    if is_prox:
        assert found.convex == convex, found.reason
    json.dumps(found.to_dict())


def _two_largest(x):
    kept = np.argsort(-np.abs(x), axis=-1)[..., 2:]
    y = x.copy()
    np.put_along_axis(y, kept, 0.0, axis=-1)
    return y


@pytest.mark.parametrize(
    "function",
    [
        _two_largest,
        lambda x: VECTOR_MAPS["keep_largest"](_relu(x)),
        lambda x: np.eye(x.shape[-1])[x.argmax(axis=-1)],
        lambda x: x * (np.linalg.norm(x, axis=-1, keepdims=True) > 0.02),
        lambda x: np.stack([np.tanh(x[..., 0]), x[..., 1] * (np.abs(x[..., 1]) > 1)], axis=-1),
    ],
    ids=["top 2", "largest of ReLU", "one-hot", "block hard threshold", "one entry jumps"],
)
def test_a_map_that_jumps_is_no_convex_prox_and_two_near_points_show_it(function):
    dim = 2 if "stack" in function.__code__.co_names else 4
    found = sc.explain(function, dim=dim)
    assert found.is_prox and found.convex is False and found.largest_slope == np.inf
    points = np.array(list(found.checks[1].counterexample.values())).reshape(2, 1, dim)
    x, y = points
    assert np.linalg.norm(x - y) < 1e-5 and np.linalg.norm(function(x) - function(y)) > 0.009


def test_entries_that_are_coupled_near_zero_only_are_not_taken_for_a_function_of_one():
    function = lambda x: x * (np.linalg.norm(x, axis=-1, keepdims=True) > 2e-4)  # noqa: E731
    found = sc.explain(function, dim=4)
    assert found.is_prox and found.convex is False and "one function" not in found.reason
    assert "one function" in sc.explain(np.tanh, dim=4).reason


#: of one variable; the same verdict is due when they are passed as maps of vectors
_OF_ONE = [
    np.sign, np.round, np.tanh, _relu, np.sinh, np.abs, lambda x: x * (np.abs(x) > 1),
    lambda x: x * (np.abs(x) > 0.01), lambda x: np.tanh(100 * x), lambda x: x * 0,
    lambda x: x + 0.2 * _relu(x - 3.05), lambda x: x / (1 + np.exp(-x)), lambda x: 0.5 * x,
    lambda x: np.tanh(x.astype(np.float32)), lambda x: x - 2 * _relu(x - 30),
]  # fmt: skip


@pytest.mark.share(3)
@pytest.mark.parametrize("k", range(len(_OF_ONE)))
@pytest.mark.parametrize("dim", [2, 5])
def test_a_function_of_every_entry_gets_the_verdict_of_the_function(k, dim):
    one, many = sc.explain(_OF_ONE[k]), sc.explain(_OF_ONE[k], dim=dim)
    assert one.is_prox == many.is_prox
    if one.is_prox:
        for fact in ("convex", "sparse", "proper", "largest_slope", "penalty"):
            assert getattr(one, fact) == getattr(many, fact), fact


@pytest.mark.parametrize("name", VECTOR_MAPS)
def test_a_vector_row_of_the_atlas_carries_its_evidence_and_can_fail(name):
    row = next(r for r in sc.atlas() if (r.section, r.key) == ("backward", name))
    assert row.verify() == sc.explain(name).checks and all(e.passed for e in row.verify())
    wrong = dataclasses.replace(row, penalty="" if row.penalty else "an indicator")
    assert [e.verdict for e in wrong.verify()] == ["REFUTED"]


def test_keeping_the_largest_entry_is_refuted_by_two_points_of_whole_numbers():
    witness = sc.explain(VECTOR_MAPS["keep_largest"], dim=2).witness
    pair = {(witness["x0"], witness["x1"]), (witness["y0"], witness["y1"])}
    assert pair == {(-1.0, -2.0), (-2.0, -1.0)}
    assert witness["<x - y, f(x) - f(y)>"] == -2


def test_a_rotation_is_monotone_on_pairs_and_refuted_by_a_cycle():
    turn = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    found = sc.explain(lambda x: x @ turn.T, dim=2)
    assert not found.is_prox and found.evidence == "proved"
    points = np.array([v for k, v in found.witness.items() if k.startswith("x")]).reshape(-1, 2)
    total = ((points @ turn.T) * (points - np.roll(points, -1, axis=0))).sum()
    assert len(points) >= 3 and total < -1e-3
    np.testing.assert_allclose(list(found.witness.values())[-1], total)


def test_gradients_of_convex_functions_are_never_refuted(scale):
    rng = np.random.default_rng(0)
    for _ in range(scale(20, 200)):
        w = rng.standard_normal((5, 3)) * np.exp(rng.uniform(-2, 2))
        found = sc.explain(functools.partial(lambda x, w: np.tanh(x @ w) @ w.T, w=w), dim=5)
        assert found.is_prox, found.reason


def test_torch_is_not_loaded_unless_the_user_brought_it():
    code = (
        "import sys, numpy, sparsecnn as sc\n"
        "for thing in ('gelu', 'relu', 'softmax', numpy.tanh): sc.explain(thing)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# -- pages ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*KNOWN, *VECTOR_MAPS])
def test_the_page_of_an_explanation_is_well_formed_and_self_contained(name):
    found = sc.explain(name)
    page = found.to_html()
    bare = page.replace("http://www.w3.org/1998/Math/MathML", "")
    for forbidden in ("<script", "http://", "https://", "<link", "<img"):
        assert forbidden not in bare
    ElementTree.fromstring(page.split("\n", 1)[1])
    assert found.verdict in page and all(c.verdict in page for c in found.checks)
    assert page.count("<h1") == page.count("</h1>") == 1 and f"<h1>{name}</h1>" in page
    if name in KNOWN:
        assert "<math" in page
    markdown = found.to_markdown()
    assert f"Verdict: **{found.verdict}**" in markdown and markdown.count("\n- ") >= 1
    latex = found.to_latex()
    assert latex.count("{") == latex.count("}") and "\\end{document}" in latex


def test_the_page_names_the_witness_the_penalty_and_the_reach():
    page = sc.explain("gelu").to_html()
    assert "0.158528569" in page and "points in [-60, 60]" in page
    page = sc.explain("tanh").to_html()
    assert "<mi>arctanh</mi>" in page and "fair codes -1 or +1" in page


def test_a_page_of_several_has_one_heading_too():
    page = pages.to_html([sc.explain("relu"), sc.explain("gelu")], "Two of them")
    assert page.count("<h1") == 1 and "<h1>Two of them</h1>" in page and page.count("<h2") == 2


@pytest.mark.full
def test_latex_of_explanations_compiles_where_a_compiler_is_at_hand(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    for name in ("gelu", "elu", "softmax", "hardshrink", "tanhshrink", "keep_largest"):
        (tmp_path / "page.tex").write_text(sc.explain(name).to_latex())
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-800:]
