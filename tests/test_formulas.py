"""Formulas as people write them, names as they misspell them, and closed forms read back."""

import time

import numpy as np
import pytest
import sympy as sp
import tolerances
from penalties import invented

import sparsecnn as sc
from sparsecnn.activations import ALIASES
from sparsecnn.cli import main
from sparsecnn.derivation.known import KNOWN
from sparsecnn.derivation.named import scalar_penalty
from sparsecnn.derivation.vectors import VECTOR_MAPS
from sparsecnn.symbolic.evaluation import Z, numeric
from sparsecnn.symbolic.parser import SYNONYMS, names_in, parse
from sparsecnn.symbolic.prox import solve_prox

Z_GRID = np.linspace(-2.5, 2.5, 41) + 0.003

#: text -> the same in the plain grammar, or what it means at numbers
WRITTEN = {
    "lambda*Abs(z)": "lam*abs(z)",
    "lam*|z|": "lam*abs(z)",
    "lam*|z|^1.5": "lam*abs(z)**1.5",
    "||z| - 1|": "abs(abs(z) - 1)",
    "|z|*|z - 1| + |-z|": "abs(z)*abs(z - 1) + abs(z)",
    "2*z^2 + 1": "2*z**2 + 1",
    "Max(z, 2*z, 0)": "max(z, 2*z, 0)",
    "Min(z, 1)": "min(z, 1)",
    "np.maximum(z, 0) - torch.minimum(z, 1)": "max(z, 0) - min(z, 1)",
    "relu(z - 1)": "max(z - 1, 0)",
    "sigmoid(z)": "1/(1 + exp(-z))",
    "expit(z)": "1/(1 + exp(-z))",
    "softplus(z)": "log(1 + exp(z))",
    "log1p(fabs(z)) + expm1(z)": "log(1 + abs(z)) + exp(z) - 1",
    "square(z)*sgn(z)": "z**2*sign(z)",
    "clip(z, -1, lam)": "min(max(z, -1), lam)",
    "clamp(z, 0, 1)": "min(max(z, 0), 1)",
    "where(|z| < 1, z^2, 2*|z| - 1)": "Piecewise((z**2, abs(z) < 1), (2*abs(z) - 1, True))",
    "where((z < -1) | (z > 1), 1, 0)": "Piecewise((1, abs(z) > 1), (0, True))",
    "where((z > -1) & (z != 0), 1, 0)": "Piecewise((0, z <= -1), (0, Eq(z, 0)), (1, True))",
    "Piecewise((1, Ne(z, 0)), (0, True))": "Piecewise((0, Eq(z, 0)), (1, True))",
    "Heaviside(z)": "Piecewise((0, z < 0), (1/2, Eq(z, 0)), (1, True))",
    "heaviside(z, 1)": "Piecewise((0, z < 0), (1, True))",
    "sin(arcsin(z/3)) + cos(arccos(z/3))": "2*z/3",
    "cosh(arccosh(2 + |z|))": "2 + abs(z)",
    "erf(erfinv(z/3))": "z/3",
    "LambertW(Abs(z)*exp(Abs(z)))": "abs(z)",
    "LambertW(-exp(-1 - z**2), -1)": "LambertW(-exp(-1 - z**2), -1)",
}


def _at(expression, z):
    values = {"z": z, "lam": 0.7}
    table = {s: sp.Float(values[s.name], 30) for s in expression.free_symbols}
    return float(sp.re(expression.xreplace(table).evalf(20)))


@pytest.mark.parametrize("text", WRITTEN)
def test_what_other_people_write_means_the_same_in_this_grammar(text):
    names = {n: Z if n == "z" else sp.Symbol(n, positive=True) for n in names_in(text)}
    assert set(names) <= {"z", "lam"}
    read, plain = parse(text, names), parse(WRITTEN[text], {**names, "z": Z})
    for z in (0.0, *Z_GRID[::5]):
        assert _at(read, z) == pytest.approx(_at(plain, z), abs=1e-12)


def test_every_synonym_is_read_somewhere_above():
    whole = " ".join(WRITTEN)
    assert [name for name in SYNONYMS if name + "(" not in whole] == []


@pytest.mark.parametrize(
    "text",
    ["|z", "2|z|", "|z|2|", "|z| |", "z |", "np.linalg.norm(z)", "os.abs(z)", "z.abs()",
     "where(z, 1, 0)", "where(z > 0, 1)", "clip(z, 1)", "Heaviside()", "Ne(z)", "abs(z) | 1",
     "lambda z: z", "z ^^ 2", "Heaviside(z, 1, 2)", "(z > 0) & (z < 1)"],
)  # fmt: skip
def test_half_a_spelling_is_refused_with_a_sentence(text):
    with pytest.raises(sc.InputError, match="expected"):
        sc.SymbolicPrior(text)


@pytest.mark.parametrize("text", ["lambda*|z|", "lam*Abs(z)", "lam*relu(z) + lam*Max(-z, 0)"])
def test_spellings_of_one_penalty_are_one_prior(text):
    x = np.linspace(-3, 3, 25)
    assert np.array_equal(sc.SymbolicPrior(text, lam=0.4).prox(x), sc.Laplace(0.4).prox(x))


# -- names ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "known"),
    [("swish", "silu"), ("hard_swish", "hardswish"), ("Hard-Swish", "hardswish"),
     ("log_sigmoid", "logsigmoid"), ("LogSigmoid", "logsigmoid"), ("jumprelu", "threshold"),
     ("JumpReLU", "threshold"), ("LeakyReLU", "leaky_relu"), ("topk", "top_k"), ("Top-K", "top_k"),
     ("entmax_15", "entmax15"), ("SparseMax", "sparsemax"), ("soft_threshold", "softshrink")],
)  # fmt: skip
def test_other_libraries_names_are_the_same_activation(name, known):
    assert sc.explain(name).to_dict() == sc.explain(known).to_dict()


def test_no_alias_stands_in_for_a_name_that_is_known_or_leads_nowhere():
    table = {*KNOWN, *VECTOR_MAPS}
    assert not {a for a in ALIASES if a in {n.replace("_", "") for n in table}}
    assert set(ALIASES.values()) <= table


def test_sparsemax_and_entmax_are_the_best_points_of_the_simplex():
    x = np.random.default_rng(0).standard_normal((200, 5)) * 2
    for name, slope in (("sparsemax", lambda p: p), ("entmax15", lambda p: 2 * np.sqrt(p))):
        p = VECTOR_MAPS[name](x)
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
        rest = x - slope(p)  # the multiplier where p > 0, at most the multiplier elsewhere
        level = np.where(p > 0, rest, -np.inf).max(axis=1, keepdims=True)
        assert (p >= 0).all() and (rest <= level + 1e-12).all()
        assert (np.abs(rest - level)[p > 0] <= 1e-12).all() and (p == 0).any()


def test_top_k_keeps_what_the_prior_keeps():
    x = np.random.default_rng(1).standard_normal((3, 6))
    assert np.array_equal(VECTOR_MAPS["top_k"](x), sc.TopK(2).prox(x))
    assert sc.explain("topk").is_prox and sc.explain("topk").penalty


@pytest.mark.parametrize("name", ["Swish", "hard_swish", "LogSigmoid", "SiLU"])
def test_layers_know_the_names_of_other_libraries(name):
    x = np.linspace(-4, 4, 9)[None]
    known = {"swish": "silu"}.get(name.lower(), name.lower().replace("_", ""))
    assert sc.Activation(name).prior == known
    assert np.array_equal(sc.Activation(name)(x), sc.Activation(known)(x))


@pytest.mark.parametrize(
    ("name", "row"), [("Laplace", "laplace"), ("StudentT", "student_t"), ("SCAD", "scad")]
)
def test_derive_knows_its_rows_by_their_class(name, row):
    assert sc.derive(name).title == sc.derive(row).title


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: sc.Laplce, "Laplace"),
        (lambda: sc.regons, "regions"),
        (lambda: sc.derive("expnential"), "exponential"),
        (lambda: sc.derive("lam*asb(z)"), "abs"),
        (lambda: sc.derive("lam*abs(z)", lamda=1), "lam"),
        (lambda: sc.explain("gleu"), "gelu"),
        (lambda: sc.explain("sofmax"), "softmax"),
        (lambda: sc.explain("sofplus(x)"), "softplus"),
        (lambda: sc.Activation("rleu"), "relu"),
        (lambda: sc.SymbolicPrior("lam*abs(z)", lamda=1), "lam"),
        (lambda: sc.datasets.load("digts"), "digits"),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_answered_with_the_nearest(call, meant):
    with pytest.raises((sc.InputError, AttributeError), match=f"Did you mean '{meant}'"):
        call()


def test_a_name_like_nothing_known_gets_no_suggestion():
    with pytest.raises(AttributeError) as refusal:
        sc.qqqqqq
    assert "mean" not in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "meant"),
    [("deriv scad", "derive"), ("derive expnential", "exponential"), ("explain gleu", "gelu"),
     ("derive scad --dictionry general", "--dictionary"), ("compare --prior laplce", "laplace"),
     ("derive scad --dictionary orthonrmal", "orthonormal"), ("compare --data digts", "digits"),
     ("regions --kernl 3", "--kernel")],
)  # fmt: skip
def test_the_command_line_says_what_may_have_been_meant(line, meant, capsys):
    try:
        code = main(line.split())
    except SystemExit as stop:
        code = stop.code
    assert code in (1, 2)
    assert f"Did you mean {meant!r}?" in capsys.readouterr().err


# -- closed forms ---------------------------------------------------------------------------
#: prox that jump at zero, have a branch no input reaches, or need another function's inverse
TELLING = [
    ("abs(z**2 - 1)", "real"), ("abs(abs(z) - 1)", "real"),
    ("lam*max(abs(z), 2*abs(z) - 1)", "real"),
    ("Piecewise((1, Eq(z, 0)), (abs(z), True))", "real"), ("-lam*abs(z)/2", (-1, 1)),
    ("lam*abs(z)**0.5", "real"), ("lam*z**4/4", "real"), ("exp(z)", "real"),
    ("lam*abs(abs(z) - mu)", "real"), ("-log(z)", "nonnegative"), ("z*log(z) - z", "nonnegative"),
    ("min(abs(z - 1), abs(z + 1))", "real"), ("z**2*(z**2 - 3)/4", (-2, 2)),
]  # fmt: skip


def _prior(formula, support):
    names = [n for n in names_in(formula) if n != "z"]
    return sc.SymbolicPrior(formula, support=support, **dict.fromkeys(names, 1.0))


def _read(prior, text):
    """A printed closed form as a function, by the package's own parser."""
    values = prior.parameters
    symbols = {n: sp.Symbol(n, real=True) for n in ("x", *values)}
    function = numeric(parse(text, symbols), tuple(symbols.values()))
    return lambda x: function(x, *values.values())


def _assert_is_the_prox(prior, function):
    penalty, values = scalar_penalty(prior)
    starts = penalty.envelope(values).starts
    x = np.concatenate([np.linspace(-6, 6, 97), starts - 1e-6, starts + 1e-6, [0.0]])
    z, said = prior.prox(x), function(x)
    near = np.abs(x[:, None] - starts).min(axis=1, initial=9) < 1e-9
    said = np.where(near & (x != 0), z, said)  # rounding decides who takes over
    said = np.where(near & (x == 0), np.copysign(said, z), said)  # both signs are as good
    np.testing.assert_allclose(said, z, rtol=tolerances.CLOSED_FORM, atol=tolerances.CLOSED_FORM)


@pytest.mark.share(2)
@pytest.mark.parametrize(("formula", "support"), TELLING)
def test_a_printed_closed_form_read_back_is_the_prox(formula, support):
    prior = _prior(formula, support)
    _assert_is_the_prox(prior, _read(prior, prior.prox_formula))


@pytest.mark.full
def test_the_closed_forms_of_the_atlas_and_of_penalties_nobody_listed_read_back():
    rows = [row.make_prior() for row in sc.atlas() if row.section == "forward"]
    priors = [sc.SymbolicPrior(p.formula, support=p.support, **p.parameters) for p in rows]
    for formula, support in invented(24):
        try:
            priors.append(_prior(formula, support))
        except sc.InputError:
            continue
    read = [prior for prior in priors if prior.prox_formula is not None]
    assert len(read) >= len(priors) / 3
    for prior in read:
        _assert_is_the_prox(prior, _read(prior, prior.prox_formula))


def test_every_row_of_cases_that_is_shown_is_met_and_holds(scale):
    for formula, support in TELLING[:: scale(2, 1)]:
        prior = _prior(formula, support)
        solution = solve_prox(*scalar_penalty(prior))
        met = {_row_of(solution, x) for x in np.linspace(-8, 8, scale(321, 1601)) + 1e-4}
        assert met == set(range(len(solution.cases))), formula


def _row_of(solution, x):
    values = {**solution.samples[0], "x": x}
    for k, case in enumerate(solution.cases):
        table = {s: values[s.name] for s in getattr(case.condition, "free_symbols", ())}
        if case.condition is None or bool(case.condition.subs(table)):
            return k


#: eight shares of two hundred; without --full a few of the first
PARTS = [0, *(pytest.param(k, marks=pytest.mark.full) for k in range(1, 8))]


@pytest.mark.parametrize("part", PARTS)
def test_penalties_that_nobody_listed_are_confirmed_or_refused_soon(part, scale):
    """By the clock of the processor: the machine may be busy otherwise."""
    verdicts = []
    for formula, support in invented(200)[25 * part :][: scale(3, 25)]:
        begun = time.process_time()
        try:
            verification = sc.derive(formula, support=support, time_limit=20).verify()
            assert verification.passed, verification.summary()
            verdicts.append(verification.verdict)
        except sc.InputError as refusal:
            verdicts.append("refused")
            assert "expected" in str(refusal) or "took longer" in str(refusal), formula
        assert time.process_time() - begun <= 21, formula  # the limit, and what stopping takes
    assert verdicts.count("refused") <= scale(1, 8)
