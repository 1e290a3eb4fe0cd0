"""Penalties typed by a user: refused safely, or turned into a prior that obeys every contract."""

import copy
import pickle
import subprocess
import sys
import time

import mpmath
import numpy as np
import pytest
import sympy as sp
import tolerances

import sparsecnn as sc
from sparsecnn.symbolic.curvature import curvature
from sparsecnn.symbolic.envelope import Curve, Envelope
from sparsecnn.symbolic.evaluation import Z
from sparsecnn.symbolic.evidence import PROVED, REFUTED, exact_minimum, excess
from sparsecnn.symbolic.parser import parse
from sparsecnn.symbolic.penalty import Penalty
from sparsecnn.symbolic.prox import solve_prox
from sparsecnn.symbolic.verify import verify_prox

HOSTILE = [
    "().__class__", "__import__('os').system('true')", "z.__class__", "9**9**9", "z**999",
    "10**12**12", "lambda: 1", "[z]", "{z: 1}", "z if z else 1", "f'{z}'", "'z'", "exec('1')",
    "z; z", "z = 1", "(z := 1)", "*z", "z[0]", "abs(z, 1, 2)", "abs(z=1)", "1e999", "0**-1", "1/0",
    "log(-1)", "sqrt(-2)*z", "oo - oo", "Piecewise((z, z > 0))", "z < 1", "unknown*z", "z and 1",
    "z" * 600, "abs(" * 60 + "z" + ")" * 60, "+".join(["z"] * 200), "", "norm(z)", "1j*z", "z @ z",
    "Piecewise((z, True), (z, False), 3)", "z // 2", "z % 2", "yield z", "Symbol('z')",
]  # fmt: skip

#: (class, formula's keyword arguments): the same prior written twice
TWINS = [
    (sc.Laplace(0.5), "real"),
    (sc.Exponential([0.1, 0.7, -0.4]), "nonnegative"),
    (sc.AsymmetricLaplace(0.3, 0.6), "real"),
    (sc.NonNegative(), "nonnegative"),
    (sc.Gaussian(0.8), "real"),
    (sc.HalfNormal([0.2, 0.5, 3.0]), "nonnegative"),
    (sc.ElasticNet(0.3, 0.5), "real"),
    (sc.Uniform(-1.0, 2.0), ("low", "high")),
    (sc.TruncatedExponential(0.3, 1.5), (0, "high")),
    (sc.Huber(0.6, 0.7), "real"),
    (sc.Gamma(0.6, 0.7), "nonnegative"),
    (sc.StudentT(1.6, 0.7), "real"),
    (sc.StudentT(1.6, 0.3), "real"),
    (sc.SpikeSlab(0.3, 0.2, 0.1), "real"),
    (sc.LogSum(1.6, [0.3, 1.0, 2.0]), "real"),
    (sc.SCAD(0.6, 3.7), "real"),
    (sc.MCP(0.6, 2.0), "real"),
    (sc.Lp(0.6, 0.5), "real"),
    (sc.Lp(0.6, 1.5), "real"),
]

#: penalties no class of the package has
NOVEL = [
    ("lam*abs(z)/(abs(z) + eps)", "real", dict(lam=1.0, eps=0.5)),
    ("lam*log(cosh(z))", "real", dict(lam=0.8)),
    ("lam*(1 - exp(-abs(z)/s))", "real", dict(lam=1.0, s=0.5)),
    ("lam*(1 - exp(-abs(z)/s))", "real", dict(lam=1.0, s=[0.5, 1.2, 3.0])),
    ("lam*sqrt(z**2 + eps**2)", "real", dict(lam=1.2, eps=0.3)),
    ("lam*min(abs(z), theta)", "real", dict(lam=1.0, theta=0.8)),
    ("lam*abs(abs(z) - 1)", "real", dict(lam=0.5)),
    ("lam*z*log(z)", "nonnegative", dict(lam=0.6)),
    ("lam*exp(z)", "real", dict(lam=0.6)),
    ("lam*z + mu*z**2 - nu*log(z)", (0, 3), dict(lam=0.2, mu=0.4, nu=0.3)),
]


def _twin(prior, support):
    return sc.SymbolicPrior(prior.formula, support=support, **prior.parameters)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_without_being_evaluated(text):
    started = time.perf_counter()
    with pytest.raises(sc.InputError):
        parse(text, {"z": Z})
    with pytest.raises(sc.InputError):
        sc.SymbolicPrior(text)
    assert time.perf_counter() - started < 1.0


def test_text_that_is_no_string_is_a_type_error():
    for value in (None, 3, b"z", ["z"], Z):
        with pytest.raises(sc.InputTypeError):
            parse(value, {"z": Z})


def test_numbers_are_read_exactly():
    assert parse("0.1*z", {"z": Z}) == Z / 10
    assert parse("z**0.5", {"z": Z}) == Z ** (parse("1", {}) / 2)


@pytest.mark.share(3)
@pytest.mark.parametrize("prior, support", TWINS, ids=lambda v: str(v)[:40])
def test_a_formula_gives_the_same_prior_as_the_hand_written_class(prior, support):
    rng = np.random.default_rng(0)
    twin, x = _twin(prior, support), rng.standard_normal((40, 3)) * 2.5
    grad = rng.standard_normal(x.shape)
    for step in (1.0, 0.37):
        np.testing.assert_allclose(
            twin.prox(x, step), prior.prox(x, step), atol=tolerances.ROUNDING
        )
        mine, theirs = twin.prox_vjp(x, step, grad), prior.prox_vjp(x, step, grad)
        np.testing.assert_allclose(mine[0], theirs[0], atol=tolerances.ROUNDING)
        assert mine[1].keys() == theirs[1].keys()
        for name in theirs[1]:
            np.testing.assert_allclose(mine[1][name], theirs[1][name], atol=1e-11)
    codes = prior.prox(x)
    np.testing.assert_allclose(twin.value(codes), prior.value(codes), atol=tolerances.ROUNDING)
    np.testing.assert_allclose(twin.scaled(4.0).prox(x), prior.scaled(4.0).prox(x), atol=1e-12)
    for name in ("is_convex", "is_nonnegative", "is_sparse", "is_proper", "is_homogeneous"):
        assert getattr(twin, name) == getattr(prior, name), name


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "formula, support, parameters", NOVEL, ids=[f"{n[0]} {i}" for i, n in enumerate(NOVEL)]
)
def test_a_penalty_nobody_listed_obeys_the_contract_of_a_prior(formula, support, parameters, scale):
    prior = sc.SymbolicPrior(formula, support=support, **parameters)
    sc.check_prior(prior, code_shape=(3,), n_points=scale(12, 60), steps=(0.6,))


def test_a_root_beside_an_end_without_a_slope_is_not_mistaken_for_the_end():
    """Newton's first step from x = 1/4 lands exactly on z = 0, where the slope is infinite."""
    prior = sc.SymbolicPrior("2*z**(3/2)/3 - z**2/2", support="nonnegative")
    x = np.arange(65) / 16
    np.testing.assert_allclose(prior.prox(x), x**2, rtol=tolerances.ROUNDING)


def test_ill_posed_models_are_refused_with_the_reason():
    with pytest.raises(sc.InputError, match="minus infinity at z = 0"):
        sc.SymbolicPrior("lam*log(abs(z))", lam=0.5)
    with pytest.raises(sc.InputError, match="has no minimum for some inputs"):
        sc.SymbolicPrior("-alpha*z**2", alpha=1.0)
    with pytest.raises(sc.InputError, match="not a real number"):
        sc.SymbolicPrior("sqrt(z)", support="real")
    with pytest.raises(sc.InputError, match="low < high"):
        sc.SymbolicPrior("z", support=(2, 1))
    with pytest.raises(sc.InputError, match="bends up and down"):
        sc.SymbolicPrior("2*cos(9*z)")


def test_a_step_that_is_too_long_for_a_concave_penalty_is_refused():
    prior = sc.SymbolicPrior("-alpha*z**2/2", alpha=0.5)
    np.testing.assert_allclose(prior.prox([1.0]), [2.0])
    with pytest.raises(sc.InputError, match="no minimum"):
        prior.prox([1.0], 3.0)


def test_missing_and_unknown_parameters_are_named():
    with pytest.raises(sc.InputError, match=r"expected \['lam'\]"):
        sc.SymbolicPrior("lam*abs(z)")
    with pytest.raises(sc.InputError, match="mu"):
        sc.SymbolicPrior("lam*abs(z)", lam=1.0, mu=2.0)


def test_a_symbolic_prior_survives_copies_and_pickles():
    prior = sc.SymbolicPrior("lam*abs(z)/(abs(z) + eps)", lam=[0.5, 1.0], eps=0.4)
    x = np.linspace(-3, 3, 14).reshape(7, 2)
    for twin in (copy.deepcopy(prior), pickle.loads(pickle.dumps(prior))):
        np.testing.assert_array_equal(twin.prox(x), prior.prox(x))
    assert prior.eps == 0.4
    assert prior.restricted(slice(0, 1)).lam.shape == (1,)


@pytest.mark.parametrize("solver", [sc.ISTA, sc.FISTA, sc.CoordinateDescent, sc.LCA])
def test_every_solver_accepts_a_symbolic_prior(solver):
    rng = np.random.default_rng(0)
    dictionary = sc.Dictionary.random(12, 8, random_state=0)
    x = rng.standard_normal((5, 8))
    problem = sc.SparseCodingProblem(x, dictionary, sc.SymbolicPrior("lam*abs(z)", lam=0.3))
    other = sc.SparseCodingProblem(x, dictionary, sc.Laplace(0.3))
    settings = dict(tol=1e-8, max_iter=20000)
    ours, theirs = solver(**settings).solve(problem), solver(**settings).solve(other)
    np.testing.assert_allclose(ours.codes, theirs.codes, atol=1e-7)
    np.testing.assert_allclose(ours.gap, theirs.gap, atol=1e-9)


def test_the_duality_gap_of_a_smooth_penalty_certifies_the_code():
    rng = np.random.default_rng(1)
    x, dictionary = rng.standard_normal((4, 6)), sc.Dictionary.random(9, 6, random_state=1)
    for prior in (
        sc.SymbolicPrior("lam*log(cosh(z))", lam=0.4),
        sc.SymbolicPrior("lam*sqrt(z**2 + eps**2)", lam=0.4, eps=0.2),
        sc.SymbolicPrior("lam*z - mu*log(z)", support="nonnegative", lam=0.5, mu=0.1),
    ):
        problem = sc.SparseCodingProblem(x, dictionary, prior)
        solution = sc.FISTA(tol=1e-8, max_iter=20000).solve(problem)
        assert solution.converged.all()
        worse = problem.dual_gap(solution.codes * 1.01)
        excess = problem.objective(solution.codes * 1.01) - solution.objective
        assert (worse >= excess - 1e-9).all()


def test_a_layer_of_a_symbolic_prior_has_exact_gradients_in_its_parameters():
    x = np.random.default_rng(0).standard_normal((30, 2)) * 2
    prior = sc.SymbolicPrior("c*log(1 + z**2/gamma**2)", c=np.array([0.5, 0.9]), gamma=0.8)
    layer = sc.Activation(prior)
    y, pullback = layer.forward(x)
    weights = np.cos(np.arange(y.size)).reshape(y.shape)
    grads = pullback(weights)[1]
    for name, value in prior.parameters.items():
        towards = np.ones(np.shape(value)) * 0.7
        ends = [
            (weights * layer.with_params({**layer.params, name: value + t * towards})(x)).sum()
            for t in (1e-6, -1e-6)
        ]
        expected = (ends[0] - ends[1]) / 2e-6
        assert abs((grads[name] * towards).sum() - expected) < 1e-5


def test_importing_the_package_does_not_import_sympy():
    code = "import sys, sparsecnn, sparsecnn.priors; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- derivations of single penalties --------------------------------------------------------
@pytest.mark.share(2)
@pytest.mark.parametrize(
    "formula, values, condition",
    [
        ("c*log(1 + z**2/gamma**2)", dict(c=1.0, gamma=1.0), dict(c=4.0, gamma=1.0)),
        ("lam*log(1 + abs(z)/eps)", dict(lam=1.0, eps=1.5), dict(lam=1.0, eps=1.0)),
        ("lam*(1 - exp(-abs(z)/s))", dict(lam=1.0, s=1.5), dict(lam=4.0, s=2.0)),
        (sc.SCAD.formula, dict(lam=1.0, a=3.7), dict(lam=1.0, a=2.0)),
        (sc.MCP.formula, dict(lam=1.0, gamma=3.0), dict(lam=1.0, gamma=1.0)),
    ],
)
def test_the_uniqueness_condition_is_derived(formula, values, condition):
    """Known: c <= 4 gamma^2, lam <= eps^2, lam <= s^2, a >= 2, gamma >= 1."""
    least = curvature(solve_prox(Penalty.from_text(formula), values)).least
    at_edge = least.subs({s: condition[s.name] for s in least.free_symbols})
    assert abs(float(at_edge) + 1) < 1e-12


def test_a_wrong_prox_is_refuted_with_a_counterexample():
    solution = solve_prox(Penalty.from_text("lam*abs(z)"), dict(lam=0.5))
    wrong = verify_prox(solution, lambda x, values: np.sign(x) * (np.abs(x) + values["lam"]))
    numeric = [e for e in wrong if e.kind == "numeric"]
    assert numeric[0].verdict == "REFUTED"
    where = numeric[0].counterexample
    mine = 0.5 * (where["x"] - where["claimed z"]) ** 2 + where["lam"] * abs(where["claimed z"])
    zero = 0.5 * where["x"] ** 2
    soft = np.sign(where["x"]) * max(abs(where["x"]) - where["lam"], 0)
    best = 0.5 * (where["x"] - soft) ** 2 + where["lam"] * abs(soft)
    assert mine > min(zero, best) + 1e-6


def test_compare_measures_a_formula_like_any_prior():
    x = np.random.default_rng(0).standard_normal((4, 6))
    dictionary = sc.Dictionary.random(8, 6, random_state=0)
    for prior in (
        sc.SymbolicPrior("lam*sqrt(z**2 + eps**2)", lam=0.3, eps=0.2),
        sc.SymbolicPrior("lam*abs(z)/(abs(z) + eps)", lam=0.1, eps=1.0),
        sc.SymbolicPrior("lam*(1 - exp(-abs(z)/s))", lam=0.1, s=1.0),
    ):
        found = sc.compare(sc.SparseCodingProblem(x, dictionary, prior))
        last = "exact" if prior.is_convex else "stationary"
        assert "forward" in found.summary() and found.reference == last


def test_threads_that_meet_new_numbers_at_once_agree():
    """SymPy and mpmath keep global state; what they compute is computed one at a time."""
    from concurrent.futures import ThreadPoolExecutor

    x = np.linspace(-3, 3, 31)
    values = np.linspace(0.31, 0.93, 24)

    def prox(lam):
        return sc.SymbolicPrior("lam*log(1 + abs(z)/0.7)", lam=lam).prox(x, 0.9)

    with ThreadPoolExecutor(8) as executor:
        together = list(executor.map(prox, values))
    for lam, found in zip(values, together, strict=True):
        np.testing.assert_allclose(found, sc.LogSum(lam, 0.7).prox(x, 0.9), atol=1e-12)


# -- evaluation: divisions, closed forms, Newton -----------------------------------------------
@pytest.mark.parametrize(
    "formula, support, parameters, step, method",
    [
        ("lam*abs(z)", "real", dict(lam=0.7), 1.0, "linear"),
        (sc.SCAD.formula, "real", dict(lam=0.7, a=3.7), 0.8, "linear"),
        ("lam*min(abs(z), theta)", "real", dict(lam=0.6, theta=0.9), 1.3, "linear"),
        ("lam*log(1 + abs(z)/eps)", "real", dict(lam=0.6, eps=1.0), 0.8, "closed form"),
        ("lam*z - mu*log(z)", "nonnegative", dict(lam=0.6, mu=0.4), 1.7, "closed form"),
        ("lam*abs(z)**(4/3)", "real", dict(lam=0.6), 0.5, "closed form"),
        ("lam*abs(z)**(1/2)", "real", dict(lam=0.6), 1.0, "closed form"),
        ("z*atanh(z) + log(1 - z**2)/2 - z**2/2", (-1, 1), {}, 1.0, "closed form"),
        ("lam*log(cosh(z))", "real", dict(lam=0.8), 1.0, "Newton"),
        ("lam*z*log(z)", "nonnegative", dict(lam=0.6), 1.0, "Newton"),
    ],
)
def test_a_closed_form_changes_the_way_to_the_prox_and_not_its_value(
    formula, support, parameters, step, method
):
    """Also where the closed form cancels or overflows: far from zero and next to the jumps."""
    prior = sc.SymbolicPrior(formula, support=support, **parameters)
    assert method in sc.SymbolicPrior(formula, support=support, **parameters).prox_methods
    newton = Penalty.from_text(formula, support, tuple(parameters)).envelope(parameters, step)
    far = np.array([1e-8, 30.0, 700.0, 1e4, 1e9])
    at_starts = (newton.starts[:, None] + np.array([-1e-9, 1e-9])).ravel()
    x = np.concatenate([np.linspace(-6, 6, 2001), far, -far, at_starts])
    with np.errstate(all="ignore"):
        wanted = newton.prox(x)[0]
    np.testing.assert_allclose(prior.prox(x, step), wanted, rtol=1e-11, atol=1e-14)


def test_the_prox_has_one_value_before_and_after_its_closed_form_is_asked_for():
    x = np.linspace(-4, 4, 1001)
    prior = sc.SymbolicPrior("lam*log(1 + abs(z)/eps)", lam=0.61, eps=1.03)
    before = prior.prox(x)
    assert "sqrt" in prior.prox_formula
    sc.derive(prior)
    np.testing.assert_array_equal(prior.prox(x), before)
    assert sc.SymbolicPrior("lam*log(cosh(z))", lam=0.8).prox_formula is None


#: formulas that once made SymPy run for minutes, lost a kink, or overflowed
NASTY = [
    ("lam*sqrt(z**2 + eps**2) + mu*log(cosh(z))**2*exp(z)", dict(lam=0.5, eps=0.3, mu=0.1)),
    ("lam*log(1 + z**2/g**2)*tanh(z)**2 + mu*sqrt(abs(z))", dict(lam=0.5, g=0.7, mu=0.2)),
    ("(lam*abs(z)**0.7 + mu*abs(z)**1.3)*exp(-abs(z)/s)", dict(lam=0.5, mu=0.4, s=2.0)),
    ("lam*log(1 + exp(-z))", dict(lam=1.0)),
    ("lam*abs(z**3 - z)", dict(lam=0.5)),
    ("(z**2 - 1)**2", {}),
    ("lam*abs(z)**p", dict(lam=0.5, p=0.01)),
    ("lam*exp(abs(z)**3)", dict(lam=0.01)),
    ("lam*cos(z)", dict(lam=0.5)),
    ("lam*abs(z - m)", dict(lam=0.5, m=-0.7)),
    (
        "Piecewise((lam*abs(z), abs(z) < 1), (lam + 2, abs(z) < 2), (lam*z**2, True))",
        dict(lam=0.3),
    ),
]


def some(cases, ids):
    """Every third case always, all of them with --full."""
    marks = [() if k % 3 == 0 else pytest.mark.full for k in range(len(cases))]
    rows = zip(cases, marks, ids, strict=True)
    return [pytest.param(*case, marks=mark, id=name) for case, mark, name in rows]


@pytest.mark.share(2)
@pytest.mark.parametrize("formula, parameters", some(NASTY, [n[0] for n in NASTY]))
def test_a_nasty_formula_is_derived_in_bounded_time_with_exact_gradients(formula, parameters):
    started = time.process_time()
    prior = sc.SymbolicPrior(formula, **parameters)
    assert sc.derive(prior).verify().passed
    assert time.process_time() - started < 10
    x, h = np.random.default_rng(0).uniform(-4, 4, 60), 1e-6
    penalty = Penalty.from_text(formula, "real", tuple(parameters), ("m",))
    assert excess(penalty, parameters, x, prior.prox(x)).max() <= tolerances.PROX_EXCESS
    gradients = prior.prox_vjp(x, 1.0, np.ones_like(x))
    slope = (prior.prox(x + h) - prior.prox(x - h)) / (2 * h)
    np.testing.assert_allclose(gradients[0], slope, rtol=1e-6, atol=1e-6)
    for name, value in parameters.items():
        ends = [
            sc.SymbolicPrior(formula, **{**parameters, name: value + d}).prox(x).sum()
            for d in (h, -h)
        ]
        assert abs(gradients[1][name] - (ends[0] - ends[1]) / (2 * h)) < 1e-5


def test_a_kink_whose_place_has_no_closed_form_is_refused_and_not_overlooked():
    with pytest.raises(sc.InputError, match="bends near"):
        sc.SymbolicPrior("max(abs(z)**3, lam*exp(z))", lam=0.3)


def test_the_command_line_takes_a_formula_for_a_prior():
    from sparsecnn.cli.compare import _prior, _prior_name

    made = _prior(_prior_name("lam*log(1 + abs(z)/eps)"), 0.2)
    assert made.formula.startswith("lam*log") and made.parameters == dict(lam=0.2, eps=1.0)
    assert _prior(_prior_name("student_t"), 0.2).parameters == sc.derive("student_t").layer().params
    assert repr(_prior("laplace", 0.2)) == repr(sc.Laplace(0.2))


# -- Newton's method cannot get lost -----------------------------------------------------------
@pytest.mark.parametrize(
    "formula, slope",
    [
        ("exp(z)", np.exp),
        ("exp(z) - 1 - z", np.expm1),
        ("cosh(z)", np.sinh),
        ("exp(abs(z)) - 1", lambda z: np.sign(z) * np.exp(np.abs(z))),
    ],
)
def test_a_slope_that_grows_exponentially_is_inverted_far_out(formula, slope):
    """Newton's steps are about 1 long there, and the first starts thousands away."""
    x = np.array([-1e8, -600.0, 3.0, 600.0, 2e3, 1e4, 1e12])
    z = sc.SymbolicPrior(formula).prox(x)
    np.testing.assert_allclose(z + slope(z), x, rtol=tolerances.ROUNDING * 100)


def test_newtons_method_does_not_take_an_end_of_its_bracket_for_the_root():
    """From 0.8 the steps once went to 0.074 and back to 0.8, which came out."""
    prior, x = sc.SymbolicPrior("exp(-1/z**2)"), np.linspace(-3, 3, 10001)
    z = prior.prox(x)
    assert (np.diff(z) >= 0).all()
    away = z != 0
    forward = z[away] + 2 / z[away] ** 3 * np.exp(-1 / z[away] ** 2)
    np.testing.assert_allclose(forward, x[away], atol=tolerances.ROUNDING)


def test_an_equation_that_newtons_method_cannot_solve_is_no_silent_answer():
    """A slope that is no number on a part of what was taken for one increasing stretch."""
    hole = Curve(
        -np.inf,
        np.inf,
        np.square,
        lambda z: np.where(np.abs(z - 1) < 0.1, np.nan, z),
        np.ones_like,
    )
    x = np.linspace(-3, 3, 101)
    np.testing.assert_allclose(Envelope([hole], []).prox(x[:50])[0], x[:50] / 2)
    with pytest.raises(sc.InputError, match="was not solved between"):
        Envelope([hole], []).prox(x)


# -- bends far from zero -----------------------------------------------------------------------
#: (formula, support, parameters, its only minimum): narrow wells that no grid around zero meets
WELLS = [
    ("c*log(1 + (z - m)**2/g**2)", "real", dict(c=0.5, m=5.0, g=0.1), 5.0),
    ("lam*(1 - exp(-(z - c)**2/s))", "real", dict(lam=3.0, s=0.003, c=2.0), 2.0),
    ("lam*(1 - exp(-(z**2 - 2*c*z + c**2)/s))", "real", dict(lam=3.0, s=0.003, c=2.0), 2.0),
    ("k*(z - c)**2/((z - c)**2 + e)", "real", dict(k=0.8, c=2.2, e=0.001), 2.2),
    ("k*tanh(w*(z - c))**2", "real", dict(k=0.8, c=2.2, w=300.0), 2.2),
    ("k*(1 - exp(-(log(z) - m)**2/s))", "nonnegative", dict(k=1.0, m=0.5, s=1e-6), np.exp(0.5)),
    ("-".join(["5"] + [f"exp(-{10**k}*(z - {k}.3)**2)" for k in range(3, 8)]), "real", {}, 7.3),
    ("sqrt((z - exp(m))**2 + e)", "real", dict(m=1.0, e=1e-12), np.exp(1.0)),
]


@pytest.mark.parametrize(
    "formula, support, parameters, well",
    some(WELLS, [f"{w[0]} {i}" for i, w in enumerate(WELLS)]),
)
def test_a_narrow_well_far_from_zero_is_found(formula, support, parameters, well):
    prior = sc.SymbolicPrior(formula, support=support, **parameters)
    x = well + np.array([-0.3, -0.013, -1e-4, 0.0, 1e-4, 0.013, 0.3])
    z = prior.prox(x)
    reached = 0.5 * (x - z) ** 2 + prior.value(z[:, None])
    near = well + np.concatenate([[0.0], *(s * np.geomspace(1e-9, 1, 1500) for s in (-1, 1))])
    objective = 0.5 * (x[:, None] - near) ** 2 + prior.value(near[:, None])
    assert (reached <= objective.min(axis=1) + tolerances.PROX_EXCESS).all()
    np.testing.assert_allclose(z[3], well, rtol=tolerances.ROUNDING)
    assert (np.diff(z) >= 0).all()


def test_an_oscillation_too_fast_to_be_followed_is_refused():
    for w in (400.0, 800.0, 1000.0):
        with pytest.raises(sc.InputError, match="bends up and down"):
            sc.SymbolicPrior("lam*sin(w*z)", (-1, 1), lam=1.0, w=w)
    with pytest.raises(sc.InputError, match="too often to find"):
        sc.SymbolicPrior("lam*sin(w*z)", (-1, 1), lam=1e-9, w=1e6)


@pytest.mark.share(2)
@pytest.mark.parametrize(
    "formula, parameters",
    [
        ("z**2/2 + lam*exp(-(z - m)**2/s)", dict(lam=0.02, m=7.77, s=0.001)),
        ("-sqrt(abs(z))", {}),
        ("1/abs(z)", {}),
        ("abs(z)**(-0.5)", {}),
        ("-log(abs(z))", {}),
        ("z**(-2)", {}),
        ("Piecewise((-1/z, z < 0), (0, True))", {}),
    ],
)
def test_a_penalty_with_a_hill_or_a_pole_inside_is_not_convex(formula, parameters):
    assert not sc.SymbolicPrior(formula, **parameters).is_convex


@pytest.mark.share(4)
@pytest.mark.parametrize("formula, function, at_zero", [
    ("exp(1/z)", lambda z: np.exp(1 / z), 0.0), ("exp(-1/z)", lambda z: np.exp(-1 / z), 0.0),
    ("tanh(1/z)", lambda z: np.tanh(1 / z), -1.0), ("1/(1 + exp(1/z))", lambda z: 1 / (1 + np.exp(
        1 / z)), 0.0), ("atan(1/z)", lambda z: np.arctan(1 / z), -np.pi / 2),
    ("2*abs(z) - atan(1/z)", lambda z: 2 * np.abs(z) - np.arctan(1 / z), -np.pi / 2),
])  # fmt: skip
@pytest.mark.parametrize("at", [0, 1, -2])
def test_a_penalty_with_another_limit_on_each_side_sends_inputs_to_the_lower_one(
    formula, function, at_zero, at
):
    """The lower limit counts at the place itself, wherever that is."""
    formula = formula.replace("z", f"(z - {at})") if at else formula
    x = np.linspace(-4, 4, 41)
    z = sc.SymbolicPrior(formula).prox(x + at) - at
    grid = np.setdiff1d(np.linspace(-6, 6, 120_001), [0.0])
    with np.errstate(over="ignore"):
        best = ((x[:, None] - grid) ** 2 / 2 + function(grid)).min(axis=1)
        best = np.minimum(best, x**2 / 2 + at_zero)
        inside = np.where(np.abs(z) > 1e-12, function(np.where(z == 0, 1.0, z)), at_zero)
    assert ((x - z) ** 2 / 2 + inside <= best + 1e-7).all()


@pytest.mark.share(2)
@pytest.mark.parametrize("formula, convex", [
    ("abs(z**2 - 2)", False), ("max(z**2 - 2, 0)", True), ("max(z**2 - 2, 0)*z**2", True),
    ("abs(z**3 - z - 1) + z**4", False), ("max(z**3 - z - 1, 0)", True),
    ("max(z**3 - z - 1, z)", True), ("max(z**2 - 2, 0) - z**2/2", False),
])  # fmt: skip
def test_facts_are_proved_between_joints_that_are_roots_of_polynomials(formula, convex):
    """Exactly: a Sturm sequence between rational numbers that leave out no root."""
    ends = np.random.default_rng(0).uniform(0, 3, (2, 2000))
    prior = sc.SymbolicPrior(formula, support="nonnegative")
    chord = (prior.value(ends[0][:, None]) + prior.value(ends[1][:, None])) / 2
    inside = prior.value(ends.mean(axis=0)[:, None])
    assert prior.is_convex == convex == (inside <= chord + 1e-12).all()
    assert not prior.is_homogeneous


def test_a_pole_at_the_end_of_the_support_may_be_convex():
    for formula in ("-log(z)", "1/z", "z*log(z)", "-sqrt(z)"):
        assert sc.SymbolicPrior(formula, support="nonnegative").is_convex


def test_a_formula_that_overflows_far_out_is_not_said_to_fall():
    prior, x = sc.SymbolicPrior("lam*log(1 + exp(-z) + exp(z/2))", lam=1.0), np.linspace(-9, 9, 7)
    z = prior.prox(x)
    slope = (np.exp(z / 2) / 2 - np.exp(-z)) / (1 + np.exp(-z) + np.exp(z / 2))
    np.testing.assert_allclose(z + slope, x, atol=tolerances.ROUNDING)
    with pytest.raises(sc.InputError, match="was not solved"):
        prior.prox([1e4])  # phi' itself is not a number there
    with pytest.raises(sc.InputError, match="no minimum"):
        sc.SymbolicPrior("-z**2/2 + 5*log(1 + exp(-z) + exp(z/2))")


def test_a_bound_that_is_no_number_at_the_sample_leaves_the_condition_open():
    """Both have a candidate for ``inf phi''`` with a power or a quotient of zero."""
    for formula, support, values in (
        ("lam*log(1 + abs(z)**p/e**q)", "real", dict(lam=1.0, p=1.0, e=1.0, q=1.0)),
        ("Piecewise(((z + a)*log(1 + z/a) - z, z < 0), (0, True))", (-1.0, np.inf), dict(a=1.0)),
    ):
        found = curvature(solve_prox(Penalty.from_text(formula, support), values))
        assert found.least is None and found.condition is None


def test_no_code_at_all_has_a_prox_of_its_own_shape():
    prior = sc.SymbolicPrior("lam*abs(z)", lam=[1.0, 2.0])
    nothing = np.zeros((0, 2))
    assert prior.prox(nothing).shape == (0, 2)
    dx, params = prior.prox_vjp(nothing, 1.0, nothing)
    assert dx.shape == (0, 2) and (params["lam"] == 0).all()


def test_exact_arithmetic_tells_a_touching_root_from_a_crossing():
    lam, inputs = sp.Rational(1, 2), [sp.Rational(k, 4) for k in (-9, -2, 0, 1, 2, 7)]
    penalty = Penalty.from_text("lam*abs(z)")

    def prox(x, rate=lam):
        return sp.sign(x) * sp.Max(abs(x) - rate, 0)

    # at its minimum the objective touches its least value: a root of even multiplicity
    assert exact_minimum(penalty, prox, {"lam": lam}, inputs).verdict == PROVED
    for wrong in (lam + sp.Rational(1, 1000), lam - sp.Rational(1, 1000)):
        found = exact_minimum(penalty, lambda x, w=wrong: prox(x, w), {"lam": lam}, inputs)
        assert found.verdict == REFUTED


@pytest.mark.parametrize("formula, support", [
    ("lam*abs(z)", (0, [1, 2])), ("lam*abs(z)", {}), ("lam*abs(z)", (0, {})),
    ("lam*abs(z)", (0, object())), ({}, "real"), ([[1], [2, 3]], "real"),
    (np.zeros(0), "real"),
])  # fmt: skip
def test_what_is_no_text_and_no_support_is_refused_by_name(formula, support):
    with pytest.raises(sc.InputTypeError, match=r"(formula|support) is .*expected a text"):
        sc.SymbolicPrior(formula, support=support, lam=1.0)
    allowed = sc.SymbolicPrior("lam*abs(z)", support=np.array([0, 1]), lam=1.0)
    assert allowed.prox(np.array([3.0])) == [1.0]


# -- signals much smaller than the penalty's length -------------------------------------------
#: penalties of which no term is as small as the whole, near zero; in mpmath
CANCELLING = {
    "sqrt(1+z**2) - 1": lambda z: mpmath.sqrt(1 + z * z) - 1,
    "cosh(z) - 1": lambda z: mpmath.cosh(z) - 1,
    "log(cosh(z))": lambda z: mpmath.log(mpmath.cosh(z)),
    "z*atan(z) - log(1+z**2)/2": lambda z: z * mpmath.atan(z) - mpmath.log(1 + z * z) / 2,
    "abs(z) - log(1+abs(z))": lambda z: abs(z) - mpmath.log(1 + abs(z)),
    "exp(z) - z - 1": lambda z: mpmath.exp(z) - z - 1,
    "(1+abs(z))*log(1+abs(z)) - abs(z)": lambda z: (1 + abs(z)) * mpmath.log(1 + abs(z)) - abs(z),
    "1e6*(sqrt(1+(z/1e3)**2) - 1)": lambda z: 10**6 * (mpmath.sqrt(1 + (z / 1000) ** 2) - 1),
    "log(cosh(1e3*z)) + z**2/1e6": lambda z: mpmath.log(mpmath.cosh(1000 * z)) + z * z / 10**6,
}


@pytest.mark.parametrize("formula", CANCELLING)
def test_a_penalty_keeps_its_digits_where_its_terms_cancel(formula):
    prior, phi = sc.SymbolicPrior(formula), CANCELLING[formula]
    with mpmath.workdps(400):
        for size in (1e-120, 1e-60, 1e-20, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 0.03, 0.3, 1.0):
            for z in (size, -size):
                wanted = phi(mpmath.mpf(z))
                if abs(wanted) < 1e250:
                    assert abs(prior.value([z])[0] - wanted) <= 1e-12 * abs(wanted)


@pytest.mark.share(4)
@pytest.mark.parametrize("formula", CANCELLING)
@pytest.mark.parametrize("x", [1e-60, 1e-12, 1e-9, 1e-4])
def test_small_signals_have_the_code_and_the_gap_of_the_parabola_they_see(formula, x):
    """With curvature c at zero the code is x / (1 + c), to first order in x."""
    prior, phi = sc.SymbolicPrior(formula), CANCELLING[formula]
    with mpmath.workdps(400):
        z = mpmath.findroot(lambda z: z - x + mpmath.diff(phi, z), (0, x), solver="anderson")
        least = float(((x - z) ** 2 / 2 + phi(z)) / mpmath.mpf(x) ** 2)
        whole = float(phi(mpmath.mpf(x)) / mpmath.mpf(x) ** 2)
    problem = sc.SparseCodingProblem([[x]], sc.Dictionary([[1.0]]), prior)
    solution = sc.solve(problem, tol=1e-9)
    for code in (prior.prox([[x]])[0, 0], solution.codes[0, 0]):
        assert abs(code - float(z)) <= 1e-9 * float(z)
    assert solution.converged.all()
    assert abs(solution.objective[0] / x**2 - least) <= 1e-12
    for code, energy in ((0.0, 0.5), (x, whole)):
        stated = problem.dual_gap([[code]])[0] / x**2
        assert stated >= (energy - least) * (1 - 1e-9)


# -- pieces that depend on the parameters -----------------------------------------------------
@pytest.mark.parametrize("formula, settings", [
    ("max(a*abs(z), b*abs(z))", [{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}]),
    ("abs((a - 1)*z)", [{"a": 2.0}, {"a": 0.5}]),
    ("max(0, (a - b)*z)", [{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}]),
    ("Piecewise((a*abs(z), a > 1), (z**2, True))", [{"a": 2.0}, {"a": 0.5}]),
])  # fmt: skip
def test_the_pieces_are_those_of_these_parameters_whatever_was_made_before(formula, settings):
    from sympy import Abs, Max, Piecewise, lambdify, sympify

    z = np.array([-2.0, -0.5, 0.5, 2.0])
    text = formula.replace("max", "Max").replace("abs", "Abs")
    expression = sympify(text, locals={"Abs": Abs, "Max": Max, "Piecewise": Piecewise})
    for setting in [*settings, *reversed(settings)]:
        prior = sc.SymbolicPrior(formula, **setting)
        wanted = [float(lambdify("z", expression.subs(setting))(v)) for v in z]
        np.testing.assert_allclose(prior.value(z[:, None]), wanted, rtol=1e-14)
    together = {k: np.array([s[k] for s in settings]) for k in settings[0]}
    both = sc.SymbolicPrior(formula, **together).value(np.repeat(z[:, None], 2, axis=1))
    alone = sum(sc.SymbolicPrior(formula, **s).value(z[:, None]) for s in settings)
    np.testing.assert_allclose(both, alone, rtol=1e-14)
