"""The tests are tested: a plausible one-line fault planted in a copy makes the named test fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FAULTS

ROOT = Path(__file__).parents[1]
#: what a fault may cost before its test counts as hanging
SECONDS = 600


def sources(folder, place):
    """The files of a module or package of the copy ``folder``; ``chapters`` is one of them."""
    module = folder.joinpath(*place.split("."))
    return sorted(module.rglob("*.py")) if module.is_dir() else [module.with_suffix(".py")]


def plant(folder, fault):
    """Put the fault into the copy ``folder``: its old line must stand there once."""
    old, new = f"\n{fault.old}\n", f"\n{fault.new}\n"
    found = [(file, file.read_text()) for file in sources(folder, fault.place)]
    assert sum(text.count(old) for _, text in found) == 1, f"{fault.place}: {fault.old!r}"
    for file, text in found:
        if old in text:
            file.write_text(text.replace(old, new))


def copied(folder):
    """A copy of the package that can be imported from ``folder``, its chapters where they install.

    Compiled files come along, so that only a changed file is compiled again.
    """
    shutil.copytree(ROOT / "sparsecnn", folder / "sparsecnn")
    shutil.copytree(ROOT / "derivations", folder / "sparsecnn" / "chapters")
    return folder / "sparsecnn"


def run(folder, *nodes):
    """Run tests on the package in ``folder``; nothing that another run remembers is seen."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "SPARSECNN_CACHE": str(folder / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA"]
    return subprocess.run(
        [*command, "--tb=no", *(f"tests/{node}" for node in nodes)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS + 3 * len(nodes),
    )


def test_every_fault_is_one_line_of_the_code_as_it_is(tmp_path):
    package = copied(tmp_path)
    for fault in FAULTS:
        plant(package, fault)
    assert len(FAULTS) >= 44
    assert len({(fault.place, fault.new) for fault in FAULTS}) == len(FAULTS)
    assert len({fault.place.split(".")[0] for fault in FAULTS}) >= 20
    for fault in FAULTS:
        assert "\n" not in fault.old + fault.new
        assert (ROOT / "tests" / fault.node.partition("::")[0]).is_file()


@pytest.mark.full
def test_without_a_fault_every_one_of_these_tests_passes(tmp_path):
    copied(tmp_path)
    nodes = sorted({fault.node for fault in FAULTS})
    answer = run(tmp_path, *nodes)
    assert answer.returncode == 0, answer.stdout[-4000:]
    passed = {line.removeprefix("PASSED tests/") for line in answer.stdout.splitlines()}
    assert set(nodes) <= passed  # not skipped, not deselected


@pytest.mark.full
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.place}: {fault.what}")
def test_a_planted_fault_is_caught(fault, tmp_path):
    plant(copied(tmp_path), fault)
    answer = run(tmp_path, fault.node)
    # 1: tests ran and some failed; a fault that cannot even be imported is none of these
    assert answer.returncode == 1, answer.stdout[-4000:]
    assert f"FAILED tests/{fault.node}" in answer.stdout
