"""Forward from a prior to its layer, backward from an activation to its prior, and the atlas."""

import dataclasses
import json
import shutil
import subprocess
import time
from xml.etree import ElementTree

import numpy as np
import pytest
import sympy as sp
import tolerances

import sparsecnn as sc
from sparsecnn import cli
from sparsecnn.activations import ACTIVATIONS
from sparsecnn.derivation import forward, posterior, refuting
from sparsecnn.derivation.known import KNOWN, TORCH_MODULES
from sparsecnn.derivation.model import Derivation, Step
from sparsecnn.derivation.named import own_settings, scalar_penalty
from sparsecnn.derivation.one_step import one_step
from sparsecnn.derivation.render import formula_latex, inline_mathml
from sparsecnn.derivation.reverse import activation_values
from sparsecnn.derivation.separation import DICTIONARIES
from sparsecnn.derivation.vectors import VECTOR_MAPS
from sparsecnn.symbolic.curvature import Curvature, curvature
from sparsecnn.symbolic.evaluation import Z
from sparsecnn.symbolic.evidence import REFUTED, UNDECIDED, Evidence
from sparsecnn.symbolic.prox import solve_prox

FORWARD = [row for row in sc.atlas() if row.section == "forward"]
OTHERS = [row for row in sc.atlas() if row.section not in ("forward", "backward")]
BACKWARD = [row for row in sc.atlas() if row.section == "backward"]
NO_PROX = {
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "hardswish",
    "softmin",
    "log_softmax",
    "keep_largest",
}

#: derived anew in every run; --full derives every row
PLAIN_KEYS = {
    "laplace", "exponential", "truncated_exponential", "huber", "gamma", "bernoulli_elastic",
    "log_sum", "log_sum_jump", "student_t", "mcp_hard", "power_3_2", "binary", "tanh_entropy",
}  # fmt: skip


# -- forward --------------------------------------------------------------------------------
@pytest.mark.share(4)
@pytest.mark.parametrize("row", FORWARD, ids=lambda r: r.key)
def test_no_point_beats_the_prox_of_a_row(row, scale):
    for evidence in row.verify(scale(30, 120)):
        assert evidence.passed, str(evidence)


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.key, marks=() if row.key in PLAIN_KEYS else pytest.mark.full)
        for row in FORWARD
    ],
)
def test_every_step_of_a_derivation_is_confirmed(row):
    derivation = row.derivation()
    verification = derivation.verify()
    assert verification.passed, verification.summary()
    closed = not isinstance(derivation.result, sp.Eq)
    assert closed == (row.how == "derived")
    assert verification.of_kind("symbolic") and verification.of_kind("numeric")


def test_at_least_thirty_penalties_are_marked_as_derived():
    assert sum(row.how == "derived" for row in FORWARD) >= 30


@pytest.mark.full
def test_the_whole_atlas_takes_less_than_ninety_seconds():
    started, times = time.perf_counter(), []
    for row in sc.atlas():
        begun = time.perf_counter()
        row.verify(20)
        if row.section == "forward":
            assert row.derivation().verify().passed
            times.append(time.perf_counter() - begun)
    assert time.perf_counter() - started < 90
    assert np.median(times) < 2


@pytest.mark.share(3)
@pytest.mark.parametrize("row", OTHERS, ids=lambda r: r.key)
def test_vector_rows_ill_posed_rows_and_posterior_means_are_verified(row, scale):
    for evidence in row.verify(scale(20, 120)):
        assert evidence.passed, str(evidence)


@pytest.mark.parametrize("key, kind", [("group_laplace", "GroupLaplace"), ("top_k", "TopK")])
@pytest.mark.parametrize("method", ["prox", "value"])
def test_a_vector_row_of_a_class_of_the_package_fails_when_the_class_does(
    key, kind, method, monkeypatch
):
    row = next(r for r in sc.atlas() if r.key == key)
    cls = getattr(sc, kind)
    right = getattr(cls, method)

    def wrong(self, v, *rest, **options):
        found = right(self, v, *rest, **options)
        if method == "prox":
            return found * 1.01
        return found + 0.01 if kind == "GroupLaplace" else np.zeros_like(found)

    assert all(e.passed for e in row.verify(5))
    monkeypatch.setattr(cls, method, wrong)
    assert [e.verdict for e in row.verify(5)] == [REFUTED]


@pytest.mark.share(2)
@pytest.mark.parametrize("dictionary", DICTIONARIES)
def test_each_kind_of_dictionary_has_its_own_verified_chain(dictionary):
    verification = sc.derive(sc.Exponential([0.3, 0.5]), dictionary=dictionary).verify()
    assert verification.passed, verification.summary()


@pytest.mark.full
@pytest.mark.parametrize("row", FORWARD, ids=lambda r: r.key)
def test_every_row_is_derived_for_every_kind_of_dictionary(row):
    for dictionary in DICTIONARIES[2:]:
        verification = sc.derive(row.make_prior(), dictionary).verify()
        assert verification.passed, verification.summary()


def test_a_tight_frame_separates_nothing_and_the_page_shows_by_how_much():
    verification = sc.derive(sc.Laplace(0.4), "tight_frame").verify()
    assert verification.passed, verification.summary()
    found = [e.detail for group in verification.evidence for e in group]
    assert sum("counterexample" in detail for detail in found) == 2


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "formula, support, parameters, bias",
    [
        ("lam*z", "nonnegative", dict(lam=0.5), "- \\lambda"),
        ("lam*z - mu*log(z)", "nonnegative", dict(lam=0.5, mu=0.3), "- \\lambda"),
        ("lam*abs(z) - t*z", "real", dict(lam=0.5, t=0.2), "t"),
        ("lam*abs(z)", "real", dict(lam=0.5), None),
    ],
)
def test_the_bias_is_read_off_the_linear_term(formula, support, parameters, bias):
    derivation = sc.derive(formula, support=support, **parameters)
    claims = [step.claim for step in derivation.steps]
    said = f"bias ${bias}$" if bias else "no bias"
    assert any(claim.startswith("Read off") and said in claim for claim in claims), claims
    assert derivation.verify().passed


def test_the_distance_of_a_layer_from_the_code_is_zero_for_orthonormal_atoms_only():
    """The bound |(D^T D - I) z_1| / mu, here against a code of another solver."""
    x = np.random.default_rng(3).standard_normal((1, 6))
    for dictionary in (sc.Dictionary.orthonormal(6, 0), sc.Dictionary.random(4, 6, 0)):
        problem = sc.SparseCodingProblem(x, dictionary, sc.Exponential(0.1))
        layer = sc.ForwardTransform().solve(problem).codes
        code = sc.CoordinateDescent(tol=1e-12, max_iter=10000).solve(problem).codes
        gram = dictionary.atoms @ dictionary.atoms.T
        bound = np.linalg.norm(layer @ gram - layer) / np.linalg.eigvalsh(gram)[0]
        distance = np.linalg.norm(layer - code)
        assert distance <= bound + 1e-9
        assert (bound < 1e-9) == dictionary.is_orthonormal
    assert len(list(one_step(sc.Lp(0.5, 0.5), "general"))) == 2


def test_the_derived_layer_is_the_relu_layer():
    derivation = sc.derive("exponential", lam=0.5)
    x = np.linspace(-2, 2, 9)[:, None]
    y, pullback = derivation.layer().forward(x)
    np.testing.assert_allclose(y, np.maximum(x - 0.5, 0), atol=tolerances.ROUNDING)
    assert pullback(np.ones_like(y))[1]["lam"] == -(y > 0).sum()
    assert "bias" in str(derivation)


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "formula, parameters",
    [
        ("lam*abs(z)/(abs(z) + eps)", dict(lam=0.5, eps=1.0)),
        ("lam*log(cosh(z))", dict(lam=0.8)),
        pytest.param("lam*(1 - exp(-abs(z)/s))", dict(lam=0.5, s=1.0), marks=pytest.mark.full),
        pytest.param("lam*sqrt(z**2 + eps**2)", dict(lam=0.5, eps=0.3), marks=pytest.mark.full),
    ],
)
def test_a_penalty_nobody_listed_gets_a_derivation_a_page_and_a_layer(formula, parameters):
    derivation = sc.derive(formula, dictionary="general", **parameters)
    verification = derivation.verify()
    assert verification.passed, verification.summary()
    assert "<math" in derivation.to_html(verification)
    x = np.random.default_rng(0).standard_normal((20, 3)) * 2
    y, pullback = derivation.layer().forward(x)
    assert set(pullback(np.ones_like(y))[1]) == set(parameters)


def test_a_formula_without_values_gets_admissible_ones():
    assert sc.derive("lam*abs(z) + alpha*z**2/2").verify().passed
    with pytest.raises(sc.InputError, match="minus infinity"):
        sc.derive("lam*log(abs(z))")


def test_arguments_that_make_no_sense_are_refused():
    for call in (
        lambda: sc.derive("lam*abs(z)", dictionary="tight"),
        lambda: sc.derive("no_such_prior"),
        lambda: sc.derive("lam*abs(z)", estimator="median"),
        lambda: sc.derive("lam*abs(z)", noise=-1),
        lambda: sc.derive(sc.GroupLaplace(1.0, [0, 0])),
        lambda: sc.derive(sc.Laplace(1.0), lam=2.0),
        lambda: sc.derive(sc.NonNegative(), estimator="mean"),
        lambda: sc.explain("no_such_activation"),
        lambda: sc.explain("x + y"),
        lambda: sc.explain("z.__class__"),
    ):
        with pytest.raises(sc.InputError):
            call()
    for call in (lambda: sc.derive(3), lambda: sc.explain(3)):
        with pytest.raises(sc.InputTypeError):
            call()


@pytest.mark.parametrize("formula, parameters, meant", [
    ("lam*abs(x)", dict(lam=1.0, x=2.0), "'lam*abs(z)'"),
    ("max(u - 1, 0)", dict(u=1.0), "'max(z - 1, 0)'"),
])  # fmt: skip
def test_a_penalty_without_z_is_refused_with_how_to_write_it(formula, parameters, meant):
    for call in (
        lambda: sc.derive(formula),
        lambda: sc.derive(formula, **parameters),
        lambda: sc.SymbolicPrior(formula, **parameters),
    ):
        with pytest.raises(sc.InputError, match="Write it in z, such as") as caught:
            call()
        assert meant in str(caught.value)
    assert sc.derive("0", support=(-1.0, 2.0)).verify().passed  # a number is a flat penalty


@pytest.mark.share(3)
@pytest.mark.parametrize("name", [
    "self", "formula", "support", "values", "unit", "step", "names", "x",
    "prior", "dictionary", "noise", "estimator", "time_limit", "sigma", "phi",
])  # fmt: skip
def test_a_parameter_named_as_something_else_is_refused(name):
    with pytest.raises(sc.InputError, match=f"called '{name}'.*Rename it, such as {name}_0"):
        sc.derive(f"{name}*abs(z)")
    with pytest.raises(sc.InputError, match=f"called '{name}'.*Rename it"):
        sc.derive("lam*abs(z)", support=(0, name))
    assert sc.derive(f"{name}_0*abs(z)").steps


@pytest.mark.share(2)
@pytest.mark.parametrize("formula, support, parameters", [
    ("min(z**2, 2)", "real", {}), ("min(a*z**2, b)", "real", dict(a=2.0, b=0.3)),
    ("min(a*z**2, b)", "real", dict(a=0.5, b=0.7)), ("max(z**2 - 3, 0)", "nonnegative", {}),
    ("Piecewise((z**2, z**2 < 5), (5, True))", "real", {}),
    ("abs(z**3 - z - 1)", "nonnegative", {}), ("max(z**3, z + 1)*a", "nonnegative", dict(a=0.4)),
    pytest.param("max(z**2*(z**2 - 0.7), sqrt(4 - z**2))", (-2, 2), {}, marks=pytest.mark.full),
])  # fmt: skip
def test_polynomials_that_meet_at_an_irrational_point_are_derived(formula, support, parameters):
    verification = sc.derive(formula, support=support, **parameters).verify()
    assert verification.passed, verification.summary()


@pytest.mark.parametrize("formula, support, expected", [
    ("lam*(exp(z) - 1) + z**2/1.3", "nonnegative", "13*x/33 - LambertW(13*lam*exp(13*x/33)/33)"),
    ("exp(z)/0.7 + z", "real", "x - LambertW(10*exp(x - 1)/7) - 1"),
    ("lam*(1 - exp(-z/3))", "nonnegative", "x + 3*LambertW(-lam*exp(-x/3)/9)"),
    ("lam*(z*log(z) - z)", "nonnegative", "lam*LambertW(exp(x/lam)/lam)"),
])  # fmt: skip
def test_a_line_and_one_exponential_or_logarithm_meet_at_one_lambert_w(formula, support, expected):
    """Without roots of minus one, and at once."""
    begun = time.process_time()
    derivation = sc.derive(formula, support=support)
    x, lam = sp.symbols("x lam", real=True)
    wanted = sp.sympify(expected, {"x": x, "lam": lam})
    found = str(derivation.result)
    assert str(wanted) in found and "(-1)**" not in found and "I" not in found
    assert derivation.verify().passed and time.process_time() - begun < 10


@pytest.mark.parametrize("formula", [
    "sin(1/z)", "z**2*sin(1/z)", "cos(log(abs(z)))", "sin(tan(z))", "tan(1/(z - a))",
    "z**2 + cos(1/sqrt(abs(z)))",
])  # fmt: skip
def test_what_turns_infinitely_often_is_refused(formula):
    x = sp.Symbol("x", real=True)
    for call in (
        lambda: sc.derive(formula),
        lambda: sc.explain(formula.replace("z", "x").replace("a)", "1)")),
        lambda: sc.explain(sp.sympify(formula.replace("a)", "1)"), {"z": x, "abs": sp.Abs})),
    ):
        with pytest.raises(sc.InputError, match="turns infinitely often"):
            call()


def test_a_posterior_mean_layer_is_smooth_and_its_slope_is_the_variance():
    derivation = sc.derive(sc.Exponential(1.0), estimator="mean", noise=0.8)
    assert derivation.verify().passed
    x = np.linspace(-2, 3, 11)
    layer = derivation.layer()
    y, pullback = layer.forward(x)
    assert (y > np.maximum(x - 1.0 * 1.0, 0)).all()
    slope = (layer(x + 1e-5) - layer(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(pullback(np.ones_like(x))[0], slope, atol=1e-6)


# -- verdicts -------------------------------------------------------------------------------
def test_undecided_never_counts_as_passed():
    def broken():
        raise NotImplementedError("too hard")

    for check in (None, broken, lambda: []):
        verification = Derivation("t", (Step("c", "b", (), check),)).verify()
        assert not verification.passed or verification.verdict == UNDECIDED
        assert verification.verdict == UNDECIDED
    assert not Derivation("empty", ()).verify().passed


@pytest.mark.share(3)
@pytest.mark.parametrize("key", ["exponential", "huber", "l0", "log_sum", "gamma"])
def test_a_prior_whose_code_has_a_wrong_sign_is_refuted(key):
    prior = sc.derive(key).layer().prior
    right = type(prior)._prox

    class Wrong(type(prior)):
        def _prox(self, xp, v, step, *params):
            return right(self, xp, v + 0.3, step, *params)

    wrong = object.__new__(Wrong)
    wrong.__dict__.update(prior.__dict__)
    verification = sc.derive(wrong).verify()
    assert verification.verdict == REFUTED
    assert verification.counterexamples


def test_evidence_names_its_counterexample():
    text = str(Evidence("numeric", REFUTED, "off", {"x": 0.5}))
    assert "REFUTED" in text and "x = 0.5" in text


# -- planted faults -------------------------------------------------------------------------
def _fresh(text, values, support="real"):
    prior = sc.SymbolicPrior(text, support=support, **values)
    penalty, values = scalar_penalty(prior)
    return prior, penalty, values, solve_prox(penalty, values)


def _settings(prior, solution):
    return [(solution, own_settings(prior._penalty, prior))]


def _with_start(solution, k, **changed):
    """The solution with another threshold before branch ``k``."""
    branches = list(solution.branches)
    start = dataclasses.replace(branches[k].start, **changed)
    branches[k] = dataclasses.replace(branches[k], start=start)
    return dataclasses.replace(solution, branches=tuple(branches))


def _wrong_energy():
    prior, penalty, values, _ = _fresh("lam*abs(z)", dict(lam=0.7))
    other = dataclasses.replace(penalty, expression=2 * penalty.expression)
    return forward._bayes(prior, other, values, 0.6)


def _wrong_slope():
    *_, solution = _fresh("lam*abs(z) + alpha*z**2/2", dict(lam=0.7, alpha=0.5))
    k = next(k for k, b in enumerate(solution.branches) if b.piece is not None)
    piece = dataclasses.replace(solution.branches[k].piece, value=Z**2)
    branches = list(solution.branches)
    branches[k] = dataclasses.replace(branches[k], piece=piece)
    return forward._stationarity(dataclasses.replace(solution, branches=tuple(branches)))


def _wrong_dead_zone(factor):
    *_, solution = _fresh("lam*abs(z)", dict(lam=0.7))
    return forward._joints(
        _with_start(solution, 1, value=factor * solution.branches[1].start.value)
    )


def _wrong_flat_joint(end):
    *_, solution = _fresh("lam*z**1.01", dict(lam=0.7), "nonnegative")
    return forward._joints(_with_start(solution, 1, value=sp.Rational(end)))


def _wrong_jump(**changed):
    *_, solution = _fresh("Piecewise((0, Eq(z, 0)), (k, True))", dict(k=0.4))
    start = solution.branches[1].start
    table = {name: change(getattr(start, name)) for name, change in changed.items()}
    return forward._jump_step(_with_start(solution, 1, **table))


def _wrong_curvature(monkeypatch, text, values, claim):
    *_, solution = _fresh(text, values)
    monkeypatch.setattr(forward, "curvature", lambda s: claim(s, curvature(s)))
    return forward._curvature_step(solution)


def _of(**changed):
    return lambda solution, found: dataclasses.replace(found, **changed)


def _condition(solution, found):
    (lam,) = solution.penalty.parameters
    return Curvature(found.least, sp.Le(lam, sp.Rational(1, 2)), found.convex, found.weakly_convex)


def _wrong_bias(monkeypatch, text, found):
    prior, _, _, solution = _fresh(text, dict(lam=0.7, mu=0.4), "nonnegative")
    monkeypatch.setattr(forward, "_bias", lambda penalty: found(penalty.expression, penalty))
    steps = forward._layer_steps(prior, _settings(prior, solution), "orthonormal")
    return next(iter(steps))


def _wrong_layer(monkeypatch, name, wrong):
    prior, _, _, solution = _fresh("lam*abs(z)", dict(lam=0.7))
    right = getattr(type(prior), name)
    monkeypatch.setattr(
        type(prior), name, lambda self, xp, v, *rest: wrong(right, self, xp, v, *rest)
    )
    return list(forward._layer_steps(prior, _settings(prior, solution), "orthonormal"))[1]


LAPLACE, L0 = ("lam*abs(z)", dict(lam=0.7)), ("Piecewise((0, Eq(z, 0)), (k, True))", dict(k=0.4))
FAULTS = {
    "a doubled penalty in the energy": lambda m: _wrong_energy(),
    "the slope of another penalty": lambda m: _wrong_slope(),
    "a dead zone five times too wide": lambda m: _wrong_dead_zone(5),
    "a dead zone a hundredth too wide": lambda m: _wrong_dead_zone(sp.Rational(101, 100)),
    "a dead zone a hundredth too narrow": lambda m: _wrong_dead_zone(sp.Rational(99, 100)),
    "a flat joint said to reach a millionth too far": lambda m: _wrong_flat_joint("1e-6"),
    "a flat joint said to end a millionth too soon": lambda m: _wrong_flat_joint("-1e-6"),
    "a threshold seven times too far": lambda m: _wrong_jump(value=lambda v: 7 * v),
    "a threshold a thousandth too near": lambda m: _wrong_jump(value=lambda v: v * 999 / 1000),
    "an equation whose root is elsewhere": lambda m: _wrong_jump(equation=lambda e: e + 1),
    "a landing that is elsewhere": lambda m: _wrong_jump(landing=lambda z: 2 * z),
    "a concave penalty called convex": lambda m: _wrong_curvature(
        m, "lam*log(1 + abs(z))", dict(lam=0.5), _of(convex=True)
    ),
    "L0 called continuous": lambda m: _wrong_curvature(m, *L0, _of(weakly_convex=True)),
    "a jump of the soft threshold": lambda m: _wrong_curvature(
        m, *LAPLACE, _of(convex=False, weakly_convex=False)
    ),
    "a boundary that is elsewhere": lambda m: _wrong_curvature(
        m, "lam*log(1 + abs(z))", dict(lam=0.3), _condition
    ),
    "a bias of the wrong size": lambda m: _wrong_bias(
        m, "lam*z + mu*z**2", lambda e, p: (2 * _lam(p), e - _lam(p) * Z)
    ),
    "a bias with its linear term left": lambda m: _wrong_bias(
        m, "lam*z + mu*z**2", lambda e, p: (sp.S.Zero, e)
    ),
    "a layer with another output": lambda m: _wrong_layer(
        m, "_prox", lambda right, self, xp, v, *rest: right(self, xp, v, *rest) * 1.001
    ),
}  # fmt: skip


def _lam(penalty):
    return next(s for s in penalty.parameters if s.name == "lam")


@pytest.mark.parametrize("formula, parameters", [
    ("lam*abs(z)**p", {"p": 1.0}), ("lam*abs(z)**p", {}), ("lam*abs(z)**lam", {}),
])  # fmt: skip
def test_a_power_of_one_is_the_kink_it_is(formula, parameters):
    """Its dead zone is no jump, and no neighbour with another power is of its regime."""
    derivation = sc.derive(formula, **parameters)
    assert derivation.verify().passed and "jump" not in str(derivation).replace("at a jump", "")


@pytest.mark.parametrize("noise", [1e-200, 1e200, 10**400])
def test_a_noise_whose_square_is_no_number_is_refused(noise):
    with pytest.raises(sc.InputError, match="noise"):
        sc.derive("lam*abs(z)", noise=noise)


@pytest.mark.share(3)
@pytest.mark.parametrize("formula", ["exp(1/z)", "tanh(1/(z - 1))", "cos(log(eps + abs(z)))"])
def test_a_pole_of_two_limits_and_a_kink_that_is_just_flat_are_confirmed(formula):
    """With eps = 1 the penalty is flat at zero; a little more, and it falls from there."""
    verification = sc.derive(formula).verify()
    assert verification.passed, verification.summary()


@pytest.mark.share(3)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_planted_into_a_step_is_refuted_with_a_counterexample(fault, monkeypatch):
    found = FAULTS[fault](monkeypatch).verify()
    refuted = [e for e in found if e.verdict == REFUTED]
    assert refuted, [str(e) for e in found]
    assert all(e.counterexample for e in refuted)


def test_a_layer_with_a_wrong_slope_is_refuted(monkeypatch):
    prior, _, _, solution = _fresh("lam*abs(z)", dict(lam=0.7))
    right = refuting.Activation.forward

    def forward_with_wrong_slope(self, x):
        y, pullback = right(self, x)
        return y, lambda dy: (pullback(dy)[0] * np.where(x[:, :1] > 4.5, 1.01, 1.0), {})

    monkeypatch.setattr(refuting.Activation, "forward", forward_with_wrong_slope)
    found = list(forward._layer_steps(prior, _settings(prior, solution), "orthonormal"))[1]
    assert [e.verdict for e in found.verify()] == [REFUTED]


def test_a_chain_whose_numbers_are_large_or_whose_parameter_is_at_its_boundary_is_confirmed():
    for derivation in (
        sc.derive(sc.explain("elu")),
        sc.derive("Piecewise((0, abs(z) <= 1), (10**9, True))"),
    ):
        verification = derivation.verify()
        assert verification.passed, verification.summary()


#: derivations whose differences are far below the objectives they are differences of
DELICATE = {
    "z to the 3/2": lambda: sc.derive("lam*z**1.5", support="nonnegative"),
    "z to the 1.01": lambda: sc.derive("lam*z**1.01", support="nonnegative"),
    "relu squared": lambda: sc.derive(sc.explain("relu_squared")),
    "tiny parameters": lambda: sc.derive("log_sum", lam=1e-6, eps=1e-3),
    "huge parameters": lambda: sc.derive(sc.SCAD(1e9, 3.7), dictionary="orthogonal"),
    "atoms of many scales": lambda: sc.derive(sc.Laplace([1e-9, 1.0, 1e9])),
    "a maximum at zero": lambda: sc.derive("lam*cos(3*z)", support=(-2, 2)),
}


@pytest.mark.share(3)
@pytest.mark.parametrize("name", DELICATE)
def test_a_right_derivation_is_confirmed_where_differences_are_small(name):
    verification = DELICATE[name]().verify()
    assert verification.passed, verification.summary()


def test_powers_above_one_have_no_joint_and_are_confirmed(scale):
    for p in scale((1.01, 1.5, 4), (1.001, 1.01, 1.2, 4 / 3, 1.5, 1.9, 2, 2.5, 3, 4, 6)):
        derivation = sc.derive(sc.Lp(0.8, p))
        text = str(derivation)
        assert "joint" not in text and "0**" not in text and "0^{" not in text
        verification = derivation.verify()
        assert verification.passed, verification.summary()


def test_the_regime_of_tiny_parameters_is_shown_as_given():
    step = next(s for s in sc.derive("log_sum", lam=1e-6, eps=1e-3).steps if s.prior is not None)
    assert step.assumptions == (
        "the regime of $\\lambda = 1e-06$, $\\epsilon = 0.001$; numbers are tried in units of "
        "0.0009766",
    )


def test_atoms_of_two_regimes_are_derived_apart():
    derivation = sc.derive(sc.SymbolicPrior("lam*log(1 + abs(z)/eps)", lam=[0.5, 4.0], eps=1.0))
    claims = [step.claim for step in derivation.steps]
    assert any(c.startswith("Atoms 0 ") and "prox is continuous" in c for c in claims)
    assert any(c.startswith("Atoms 1 ") and "The prox jumps" in c for c in claims)
    verification = derivation.verify()
    assert verification.passed, verification.summary()


def test_a_layer_that_is_wrong_at_its_second_atom_is_refuted():
    class Wrong(sc.Laplace):
        def _prox(self, xp, v, step, lam):
            return super()._prox(xp, v, step, xp.where(lam > 1, 0.9 * lam, lam))

    assert sc.derive(Wrong(np.array([0.5, 2.0]))).verify().verdict == REFUTED


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "formula, support, parameters, noise, x, mean",
    [
        # a truncated normal far out its tail is exponential of scale sigma^2/distance
        ("lam*z", "nonnegative", dict(lam=1.0), 0.05, -30.0, 0.05**2 / 31),
        ("0*z + 1", (-1.0, 1.0), {}, 0.01, -30.0, 0.01**2 / 29 - 1),
        # a dense sum over two million points of [-13, 13], 8 digits
        ("lam*(1 - exp(-(z - c)**2/s)) + z**2/10", "real", dict(lam=3.0, s=1e-4, c=2.0), 0.3,
         0.01, 1.633881),
        ("c*log(1 + z**2/g**2)", "real", dict(c=2.0, g=1e-4), 1.0, 2.0, 2.0e-8),
    ],
)  # fmt: skip
def test_a_posterior_mean_sees_a_prior_of_any_scale(formula, support, parameters, noise, x, mean):
    prior = sc.SymbolicPrior(formula, support=support, **parameters)
    found = sc.derive(prior, estimator="mean", noise=noise).layer()(np.array([x]))[0]
    low = -1.0 if support == (-1.0, 1.0) else 0.0
    np.testing.assert_allclose(found - low, mean - low, rtol=tolerances.DENSE_SUM)


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "prior, noise",
    [
        ("gamma", 1.0),
        ("gamma", 3.0),
        (sc.SymbolicPrior("a*(z**2 - 4)**2", a=5.0), 0.1),
        (sc.Laplace(0.01), 0.001),
    ],
    ids=["gamma", "gamma, noise 3", "two wells", "small noise"],
)
def test_a_right_posterior_mean_is_confirmed_at_every_scale(prior, noise):
    verification = sc.derive(prior, estimator="mean", noise=noise).verify()
    assert verification.passed, verification.summary()


@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_a_posterior_mean_that_is_off_is_refuted(factor, monkeypatch):
    right = posterior.posterior_moments

    def wrong(*arguments):
        found = right(*arguments)
        return posterior.Moments(found.mean * factor, found.variance)

    monkeypatch.setattr(posterior, "posterior_moments", wrong)
    verification = sc.derive("laplace", estimator="mean", noise=0.7).verify()
    assert verification.verdict == REFUTED and verification.counterexamples


def test_a_posterior_mean_is_refused_where_nothing_separates():
    for dictionary in DICTIONARIES[1:]:
        with pytest.raises(sc.InputError, match="not one scalar function"):
            sc.derive("laplace", dictionary, estimator="mean")
    with pytest.raises(sc.InputError, match="once for each setting"):
        sc.derive(sc.Laplace([0.5, 1.0]), estimator="mean")


def test_the_noise_of_a_map_derivation_shows_as_a_rate():
    step = sc.derive(sc.Laplace(0.5), noise=0.5).steps[0]
    assert any("= 2$" in text for text in step.assumptions), step.assumptions


def test_an_empty_dead_zone_is_not_stated():
    claims = [step.claim for step in sc.derive("lam*abs(z)", lam=-1.0).steps]
    assert not any("At a joint" in claim for claim in claims)


@pytest.mark.parametrize("name", ["group_laplace", "top_k"])
def test_the_name_of_a_vector_row_is_answered_with_what_to_use(name):
    with pytest.raises(sc.InputError, match="several coefficients"):
        sc.derive(name)


# -- backward -------------------------------------------------------------------------------
@pytest.mark.parametrize("row", BACKWARD, ids=lambda r: r.key)
def test_every_activation_has_a_verdict_with_evidence(row):
    found = sc.explain(row.key)
    assert found.is_prox == (row.key not in NO_PROX)
    for evidence in row.verify(40):
        assert evidence.passed, str(evidence)
    json.dumps(found.to_dict(), default=str)
    assert row.key in found.summary()


def test_explain_names_the_witness_or_the_penalty(capsys):
    def run(*arguments):
        code = cli.main(["explain", *arguments])
        return code, capsys.readouterr().out

    code, out = run("gelu")
    assert code == 0 and "no prox" in out and "witness: x = -4, y = -1" in out
    code, out = run("softshrink")
    assert code == 0 and "lam*abs(z)" in out
    code, out = run("tanh", "--json")
    assert json.loads(out)["is_prox"] is True
    code, out = run()  # all that the tests above explained
    assert code == 0 and out.count("a prox (") >= 25
    assert run("no_such_thing")[0] == 1


def test_every_activation_the_layers_know_is_explained():
    assert set(ACTIVATIONS) <= set(KNOWN)
    x = np.linspace(-5, 5, 101)
    for name, function in ACTIVATIONS.items():
        np.testing.assert_allclose(
            activation_values(name)(x), function(np, x)[0], atol=1e-12, err_msg=name
        )


@pytest.mark.share(3)
@pytest.mark.parametrize("name", sorted(set(KNOWN) - NO_PROX))
def test_deriving_what_was_explained_gives_the_activation_back(name):
    found = sc.explain(name)
    layer = sc.derive(found).layer()
    x = np.random.default_rng(0).uniform(-8, 8, 200)
    np.testing.assert_allclose(layer(x), activation_values(name)(x), atol=1e-9)


@pytest.mark.share(2)
@pytest.mark.parametrize("name", ["softplus", "tanhshrink", "logsigmoid"])
def test_a_parametric_penalty_is_minimised_by_its_activation(name):
    assert sc.derive(sc.explain(name)).verify().passed
    prior = sc.explain(name).prior
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 12)
    z = prior.prox(x)
    mine = 0.5 * (x - z) ** 2 + prior.value(z[:, None])
    for other in (z + 1e-3, z - 1e-3, z + 0.3, z - 0.3, 0 * z + 0.4):
        theirs = 0.5 * (x - other) ** 2 + prior.value(other[:, None])
        assert (mine <= theirs + 1e-9).all()
    half = prior.prox(x, 0.5)
    mine = 0.5 * (x - half) ** 2 + 0.5 * prior.value(half[:, None])
    for other in (half + 1e-3, half - 1e-3):
        assert (mine <= 0.5 * (x - other) ** 2 + 0.5 * prior.value(other[:, None]) + 1e-9).all()


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "hardswish"])
def test_a_refutation_shows_two_points_a_reader_can_check(name):
    witness = sc.explain(name).witness
    a, b = activation_values(name)(np.array([witness["x"], witness["y"]]))
    assert witness["x"] < witness["y"] and a - b > 0.1
    assert all(float(witness[k]).is_integer() for k in ("x", "y"))


def test_a_threshold_is_a_prox_only_if_it_does_not_jump_down():
    for value, is_prox in ((0.0, True), (-1.0, True), (0.5, True), (2.0, False)):
        module = _torch_module("Threshold", threshold=0.5, value=value)
        assert sc.explain(module).is_prox == is_prox


def _torch_module(kind, **attributes):
    """A stand-in with the name and the attributes of a torch module (torch is not needed here)."""
    return type(kind, (), {"__module__": "torch.nn.modules.activation", **attributes})()


def test_every_scalar_activation_module_of_torch_gets_a_verdict():
    attributes = dict(
        min_val=-1.0, max_val=1.0, threshold=0.1, value=0.0, negative_slope=0.2, lower=0.1,
        upper=0.3, alpha=0.7, lambd=0.4, weight=np.array([0.25]), beta=1.0, approximate="none",
    )  # fmt: skip
    for kind, (name, _) in TORCH_MODULES.items():
        limit = {"threshold": 20.0} if kind == "Softplus" else {}
        found = sc.explain(_torch_module(kind, **{**attributes, **limit}))
        assert found.is_prox == (name not in NO_PROX), kind


def test_callables_and_expressions_are_explained_too():
    assert sc.explain(np.tanh).convex and sc.explain(np.tanh).evidence == "sampled"
    assert not sc.explain(np.sin).is_prox
    x = sp.Symbol("t", real=True)
    assert sc.explain(x + sp.sin(x) / 2).is_prox
    assert not sc.explain(x + sp.sin(x) * 2).is_prox
    assert sc.explain("x/(1 + abs(x))").convex
    assert not sc.explain("-x").is_prox
    assert sc.explain(sc.Activation(sc.Laplace(0.5))).sparse
    assert not sc.explain("2*x").convex


def test_vector_maps_are_decided_by_pairs_and_jacobians():
    assert sc.explain(VECTOR_MAPS["softmax"], dim=3).convex
    assert not sc.explain(lambda x: VECTOR_MAPS["softmax"](3 * x), dim=3).convex
    rng = np.random.default_rng(0)
    w, t = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    tied = sc.explain(lambda x: np.tanh(x @ w) @ w.T, dim=3)
    assert tied.is_prox
    assert not sc.explain(lambda x: np.tanh(x @ w) @ t, dim=3).is_prox


def test_the_bias_rule_holds():
    """sigma(x - lam) is the prox of phi + lam z."""
    found = sc.explain("squareplus")
    tilted = sc.SymbolicPrior("-b*log(z)/4 + lam*z", support="nonnegative", b=4.0, lam=0.6)
    x = np.linspace(-3, 3, 25)
    np.testing.assert_allclose(tilted.prox(x), found.prior.prox(x - 0.6), atol=1e-12)


# -- rendering ------------------------------------------------------------------------------
def test_html_is_well_formed_self_contained_and_shows_cases():
    derivation = sc.derive("bernoulli_elastic")
    page = derivation.to_html()
    for forbidden in ("<script", "http://", "https://", "<link", "<img"):
        assert forbidden not in page.replace("http://www.w3.org/1998/Math/MathML", "")
    assert '<mtable class="cases">' in page and "CONFIRMED" in page and "PROVED" in page
    ElementTree.fromstring(page.split("\n", 1)[1].replace("&nbsp;", " "))
    assert page.count("<h1") == 1
    assert "[code]" not in page and "<code>" not in page


def test_latex_and_markdown_carry_every_step():
    derivation = sc.derive(sc.Huber(0.7, 0.9))
    verification = derivation.verify()
    latex, markdown = derivation.to_latex(verification), derivation.to_markdown(verification)
    assert "\\begin{cases}" in latex and latex.count("\\item") == len(derivation.steps)
    assert latex.count("{") == latex.count("}")
    assert markdown.count("\n## ") == len(derivation.steps)
    assert "x" in formula_latex(sp.Symbol("x"))


def test_claims_are_written_in_latex_the_page_can_show():
    for row in FORWARD[:3]:
        for step in row.derivation().steps:
            for formula in step.claim.split("$")[1::2]:
                assert "<code>" not in inline_mathml(formula), formula


def test_rows_are_data():
    for row in sc.atlas():
        json.dumps(row.to_dict())
        assert dataclasses.is_dataclass(row)
    keys = [(row.section, row.key) for row in sc.atlas()]
    assert len(keys) == len(set(keys))


@pytest.mark.full
def test_latex_compiles_where_a_compiler_is_at_hand(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    for key in ("scad", "log_sum_jump", "bernoulli_elastic"):
        (tmp_path / "page.tex").write_text(sc.derive(key).to_latex())
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout[-800:]


def test_modules_with_unusual_settings_are_read_too():
    def verdict(kind, **attributes):
        found = sc.explain(_torch_module(kind, **attributes))
        return found.is_prox, found.convex

    assert verdict("LeakyReLU", negative_slope=0.0) == (True, True)
    assert verdict("LeakyReLU", negative_slope=2.0) == (True, False)
    assert verdict("PReLU", weight=np.array([-0.5])) == (False, False)
    assert verdict("ELU", alpha=2.5) == (True, False)
    assert verdict("CELU", alpha=2.5) == (True, True)
    assert verdict("Softplus", beta=2.0) == (True, True)
    assert verdict("GELU", approximate="tanh") == (False, False)


def test_the_prior_of_an_activation_without_a_formula_obeys_the_contract_and_is_solved(scale):
    sc.check_prior(
        sc.explain("tanhshrink").prior, code_shape=(2,), n_points=scale(4, 8), steps=(0.5, 1.0)
    )
    x = np.random.default_rng(0).standard_normal((3, 4))
    dictionary = sc.Dictionary.random(6, 4, random_state=0)
    problem = sc.SparseCodingProblem(x, dictionary, sc.explain("softplus").prior)
    solution = sc.FISTA(tol=1e-6, max_iter=500).solve(problem)
    assert solution.converged.all() and (solution.gap <= 1e-6).all()
