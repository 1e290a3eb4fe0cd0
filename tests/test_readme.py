"""The README keeps its word: its code prints what it says, its commands are the ones CI runs."""

import contextlib
import inspect
import io
import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", README, re.S)

#: Printed numbers depend on the linear algebra library in their last digits.
RELATIVE = 0.05
#: Numbers printed below this are rounding errors; any other rounding error is as good.
ROUNDING = 1e-12


def _same(printed, promised):
    try:
        a, b = float(printed), float(promised)
    except ValueError:
        return printed == promised
    return math.isclose(a, b, rel_tol=RELATIVE) or max(abs(a), abs(b)) < ROUNDING


def test_every_python_block_promises_an_output():
    assert len(EXAMPLES) == README.count("```python") >= 3


@pytest.mark.parametrize(("code", "promised"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_code_prints_what_the_readme_says(code, promised):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    lines, wanted = printed.getvalue().splitlines(), promised.splitlines()
    assert len(lines) == len(wanted)
    timed = False
    for line, want in zip(lines, wanted, strict=True):
        words, want_words = line.split(), want.split()
        timed = timed or "ms/1000" in want_words
        if timed and len(want_words) > 5:  # the last column of the table is a time
            words, want_words = words[:-1], want_words[:-1]
        assert len(words) == len(want_words), line
        different = [w for w, p in zip(words, want_words, strict=True) if not _same(w, p)]
        assert not different, f"{line!r} instead of {want!r}"


def test_ci_calls_exactly_the_test_command():
    command = re.search(r"```sh\n(python3 -m venv.*pytest.*)\n```", README).group(1)
    assert command in (ROOT / ".ci" / "run").read_text()


def test_every_public_name_of_the_readme_exists():
    import sparsecnn as sc

    for name in set(re.findall(r"sc\.([A-Za-z_]\w*)", README)):
        assert hasattr(sc, name), name


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_table_of_priors_is_made_from_the_atlas():
    import sparsecnn as sc

    keys, table = re.search(
        r"<!-- atlas: (.*) -->\n(.*)\n<!-- end of atlas -->", README, re.S
    ).groups()
    assert len(keys.split()) >= 12
    assert table == sc.atlas().to_markdown(keys.split())


def test_what_the_table_calls_a_prior_is_one_of_the_package():
    import sparsecnn as sc

    calls = re.findall(r"^\| `(\w+)\(([^)]*)\)` \|", README, re.M)
    assert len(calls) >= 12
    for name, parameters in calls:
        accepted = inspect.signature(getattr(sc, name)).parameters
        assert set(parameters.split(", ")) - {""} <= set(accepted), name
