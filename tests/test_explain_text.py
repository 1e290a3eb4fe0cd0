"""Text that a user types: formulas with a leading minus are read, hostile ones refused at once."""

import json
import time

import pytest
from sympy.parsing import sympy_parser

import sparsecnn as sc
from sparsecnn import cli

EXPLAIN, DERIVE = sc.explain, sc.derive  # loads SymPy before anything is timed
DEEP = "(" * 3000 + "x" + ")" * 3000
HOSTILE = [
    "__import__('os').system('true')", "().__class__.__bases__[0].__subclasses__()",
    "x.__class__", "x.func", "(x).free_symbols", "x.subs(x, 1)", "exp.__call__(x)",
    "getattr(x, 'func')", "eval('1')", "exec('1')", "compile('1', '', 'eval')",
    "open('/etc/passwd')", "globals()", "locals()", "vars()", "dir()", "input()",
    "print(x)", "breakpoint()", "exit()", "import os", "from os import system",
    "lambda: x", "(lambda x: x)(x)", "lambda x: x",
    "[x for x in (1, 2)]", "{x: x}", "{x}", "[x]", "(x, x)", "x[0]", "x[::2]", "*x", "**x",
    "f'{x}'", "f'{x.__class__}'", "'x'", "b'x'", "'x' * 10**9", "(y := x)", "x := 1", "x = 1",
    "x; x", "x if x else 1", "not x", "~x", "x @ x", "x // 2", "x % 2", "x << 60", "x >> 1",
    "x & 1", "x | 1", "x ^^ 1", "x is x", "x in x", "await x", "yield x", "...", "None", "True",
    "9**9**9", "9**9**9**9", "x**10000000", "x**(10**9)", "10**(10**10)", "2**99999999",
    "((((((((9**12)**12)**12)**12)**12)**12)**12)**12)", "(((((x**12)**12)**12)**12)**12)**12",
    "exp(exp(exp(exp(exp(9)))))", "exp(10**12)**12", "exp(exp(exp(exp(exp(exp(x))))))",
    "1e999", "1j", "x + 1j", "nan", "inf", "oo - oo", "1/0", "0**x", "0**-1", "log(0)",
    "sqrt(-1)", "acosh(0)", "factorial(9999999)", "gamma(x)", "zeta(x)", "Symbol('x')",
    "sympify('1')", "S('1')", "Integer(3)", "Lambda(x, x)", "Function('f')(x)", "Integral(x, x)",
    "sum(x for _ in x)", "min(x)", "max()", "abs()", "exp(x, x)", "exp(x=1)", "exp(*x)",
    "exp(**{})", "Piecewise((x, x > 0))", "Piecewise(x)", "Piecewise((__import__, True))",
    "x > 0", "x == x", "x and 1", "norm(x)", "unknown", "unknown(x)", "y", "x + y", "X", "lam*x",
    "\u0445", "\u0445 + 1", "\u212f**x", "x\u00b2", "x \u2212 1",
    "x\u200b\u00d72", "\uff58\uff0bx\uff0e__class__", "x\x00",
    "\x00", "x\x001", "x\n+1\n;import os", "#", "x # comment\n.__class__", "", " ", "\t", "\\",
    "\\x41",
    "\ud800", "x" * 100_000, "x+" * 50_000 + "x", "(" * 100_000, DEEP, "-" * 490 + "x",
    "x" + "*x" * 240, "exp(" * 90 + "x" + ")" * 90, "[" * 400, "x." + "a" * 100, "1" * 5000,
    "0x" + "f" * 400, "1_0" * 150, "9" * 400 + "*x",
]  # fmt: skip


@pytest.fixture
def no_evaluation(monkeypatch):
    """The only places of SymPy that evaluate text."""

    def never(*arguments, **options):
        raise AssertionError(f"evaluated {arguments!r}")

    for name in ("parse_expr", "eval_expr"):  # sympify hands every string to the first
        monkeypatch.setattr(sympy_parser, name, never)


def _refused(call):
    begun = time.perf_counter()
    with pytest.raises((sc.InputError, sc.InputTypeError)) as caught:
        call()
    return time.perf_counter() - begun, str(caught.value)


def test_there_are_enough_hostile_strings():
    assert len(set(HOSTILE)) >= 100


@pytest.mark.share(4)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda t: ascii(t[:30]))
def test_a_hostile_activation_is_refused_at_once(text, no_evaluation):
    seconds, message = _refused(lambda: sc.explain(text))
    assert seconds < 1 and message and len(message) < 2000


#: unknown names are parameters in a penalty
NAMES = {"unknown", "y", "x + y", "X", "lam*x"}


@pytest.mark.share(4)
@pytest.mark.parametrize("text", sorted({*HOSTILE} - NAMES), ids=lambda t: ascii(t[:30]))
def test_a_hostile_penalty_is_refused_at_once(text, no_evaluation):
    penalty = text.replace("x", "z") if len(text) < 500 and "'" not in text else text
    seconds, message = _refused(lambda: sc.derive(penalty, dictionary="orthonormal"))
    assert seconds < 1 and message and len(message) < 2000


@pytest.mark.share(4)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda t: ascii(t[:30]))
def test_a_hostile_support_is_refused_at_once(text, no_evaluation):
    for support in (text, (0, text), (text, 1)):
        seconds, message = _refused(lambda s=support: sc.SymbolicPrior("z**2", support=s))
        assert seconds < 1 and message and len(message) < 2000


# -- the command line -----------------------------------------------------------------------
def _run(capsys, *arguments):
    code = cli.main(list(arguments))
    return code, capsys.readouterr()


@pytest.mark.parametrize("formula", ["-tanh(x)", "-x", "-x/2", "-(1/2)*x", "- x", "-1*x**3"])
def test_a_formula_may_begin_with_a_minus(capsys, formula):
    code, out = _run(capsys, "explain", formula)
    assert code == 0 and "no prox (proved)" in out.out


def test_a_penalty_may_begin_with_a_minus(capsys):
    code, out = _run(capsys, "derive", "-z**2/4+lam*abs(z)", "--json")
    assert code == 0 and json.loads(out.out)["verdict"] == "CONFIRMED"
    assert _run(capsys, "derive", "-z**2")[0] == 1  # falls faster than the data term rises


def test_help_is_still_an_option(capsys):
    for flag in ("-h", "--help"):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["explain", flag])
        assert stopped.value.code == 0


@pytest.mark.parametrize("text", ["x.__class__", "9**9**9", "lambda: x", "\u0445", "x" * 10**5])
def test_the_command_line_refuses_hostile_text_in_one_line(capsys, text):
    for command in ("explain", "derive"):
        code, out = _run(capsys, command, text)
        assert code == 1 and not out.out and out.err.count("\n") == 1 and len(out.err) < 2000


@pytest.mark.parametrize(
    "suffix, mark", [(".html", "<math"), (".md", "Verdict: **"), (".tex", "\\end{document}")]
)
def test_explanations_are_written_by_the_ending_of_the_file(capsys, tmp_path, suffix, mark):
    page = tmp_path / f"page{suffix}"
    assert _run(capsys, "explain", "gelu", "--out", str(page))[0] == 0
    assert mark in page.read_text()
    code, out = _run(capsys, "explain", "--out", str(page))
    assert code == 0 and out.out.count("\n") >= 35 and "hardswish" in page.read_text()
