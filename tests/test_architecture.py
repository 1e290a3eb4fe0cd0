"""The order of the house: who imports whom, how long things are, who prints."""

import ast
import configparser
import functools
import graphlib
import io
import pathlib
import pkgutil
import tokenize

import grimp
import pytest
from importlinter import cli as import_linter

import sparsecnn as sc

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted((ROOT / "sparsecnn").rglob("*.py"))
FILE_BUDGET, FUNCTION_BUDGET = 400, 40  # lines of code: no docstrings, comments or blank lines
#: library -> the only files, or packages, that may import it
HOMES = {
    "matplotlib": ("sparsecnn/plots.py", "sparsecnn/report/"),
    "jinja2": ("sparsecnn/report/",),
    "rich": ("sparsecnn/cli/progress.py",),
    "sklearn": (
        "sparsecnn/estimators/",
        "sparsecnn/comparison/readouts.py",
        "sparsecnn/datasets/",
    ),
    "torch": ("sparsecnn/engine/torch_engine.py", "sparsecnn/interop/"),
    "onnx": ("sparsecnn/interop/",),
    "sympy": ("sparsecnn/symbolic/", "sparsecnn/derivation/", "sparsecnn/priors/symbolic.py"),
    "numba": ("sparsecnn/solvers/compiled.py",),
}
MODULES = sorted(m.name for m in pkgutil.walk_packages(sc.__path__, "sparsecnn."))


def name_of(path):
    return str(path.relative_to(ROOT))


@functools.cache
def tree(path):
    return ast.parse(path.read_text())


def test_every_source_was_found():
    """The loops below are about something: a file a module, and the package itself."""
    assert len(SOURCES) == len(MODULES) + 1 > 40


# -- imports --------------------------------------------------------------------------------
def test_the_import_contracts_hold(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    status = import_linter.lint_imports("setup.cfg", no_cache=True)
    assert status == import_linter.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_every_contract_names_only_modules_that_exist():
    """A contract on a module that moved would hold for nothing."""
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    contracts = [parsed[s] for s in parsed.sections() if s.startswith("importlinter:contract")]
    assert len(contracts) >= 3
    named = {
        word
        for contract in contracts
        for key in ("source_modules", "forbidden_modules")
        for word in contract.get(key, "").split()
        if word.startswith("sparsecnn.")
    }
    layers = parsed["importlinter:contract:layers"]["layers"].replace("|", " ").split()
    assert named | {f"sparsecnn.{name}" for name in layers} <= set(MODULES)


def test_no_module_imports_itself_through_others():
    graph = grimp.build_graph("sparsecnn", cache_dir=None)
    order = graphlib.TopologicalSorter(
        {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    )
    order.prepare()  # raises CycleError


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_only_where_it_lives(library):
    importers = [name_of(p) for p in SOURCES if library in _imported_libraries(tree(p))]
    assert [name for name in importers if not name.startswith(HOMES[library])] == []


def _imported_libraries(module):
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


# -- sizes ----------------------------------------------------------------------------------
def code_lines(path):
    """Numbers of the lines that hold code."""
    lines = set()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
               tokenize.ENDMARKER)  # fmt: skip
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree(path)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            lines.difference_update(range(body[0].lineno, body[0].end_lineno + 1))
    return lines


def _is_text(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def test_lines_of_code_are_counted_without_docstrings_comments_and_blank_lines(tmp_path):
    path = tmp_path / "five.py"
    text = '"""Two\nlines."""\n\nx = [  # one\n    1,\n]\n# none\ndef f():\n    """One."""\n'
    text += "    return x\n"
    path.write_text(text)
    assert sorted(code_lines(path)) == [4, 5, 6, 8, 10]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_and_its_functions_keep_to_the_budget(path):
    lines = code_lines(path)
    assert len(lines) <= FILE_BUDGET
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    sizes = {
        f"{node.name}, line {node.lineno}": len(
            lines & set(range(node.lineno, node.end_lineno + 1))
        )
        for node in ast.walk(tree(path))
        if isinstance(node, kinds)
    }
    assert {name: n for name, n in sizes.items() if n > FUNCTION_BUDGET} == {}


# -- habits ---------------------------------------------------------------------------------
@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_the_command_line_prints(path):
    called = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    prints = [f.lineno for f in called if isinstance(f, ast.Name) and f.id == "print"]
    assert not prints or path.parent.name == "cli"


def test_nothing_is_called_utils():
    assert [m for m in MODULES if {"utils", "helpers", "misc"} & set(m.split("."))] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_opens_with_what_it_is_about(path):
    assert ast.get_docstring(tree(path))
