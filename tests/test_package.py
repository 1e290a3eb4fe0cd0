"""The package as it is installed and imported: its public names, its metadata, its papers."""

import configparser
import importlib
import importlib.metadata
import pathlib
import pkgutil
import re
import subprocess
import sys
import types

import pytest

import sparsecnn as sc

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(m.name for m in pkgutil.walk_packages(sc.__path__, "sparsecnn."))


# -- names ----------------------------------------------------------------------------------
def test_public_names_are_things_and_not_modules_after_every_module_was_imported():
    """With lazy names, a module called like a public function would hide the function."""
    for name in MODULES:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    shadowed = [name for name in sc.__all__ if isinstance(getattr(sc, name), types.ModuleType)]
    assert shadowed == []
    assert all(callable(getattr(sc, name)) for name in sc.__all__)


def test_public_names_are_not_modules_whichever_module_is_imported_first():
    """The same in fresh interpreters: the name is asked for before, and after, its module."""
    code = (
        "import importlib, types, sparsecnn as sc\n"
        "for name in sc.__all__:\n"
        "    importlib.import_module('sparsecnn.' + sc._HOME[name])\n"
        "    assert not isinstance(getattr(sc, name), types.ModuleType), name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_public_class_says_where_it_lives_and_lives_there():
    for name in sc.__all__:
        home = importlib.import_module(f"sparsecnn.{sc._HOME[name]}")
        assert getattr(home, name) is getattr(sc, name)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Laplacian'"):
        sc.Laplacian


def test_the_listing_of_the_package_has_every_public_name():
    assert set(sc.__all__) <= set(dir(sc))
    assert sc.__all__ == sorted(set(sc.__all__))


# -- the distribution -----------------------------------------------------------------------
def test_the_packages_that_are_installed_are_the_packages_on_disk():
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    elsewhere = [
        line.split(" = ")[0] for line in parsed["options"]["package_dir"].split("\n") if line
    ]
    listed = [p for p in parsed["options"]["packages"].split() if p not in elsewhere]
    files = (ROOT / "sparsecnn").rglob("__init__.py")
    on_disk = [".".join(file.parent.relative_to(ROOT).parts) for file in files]
    assert listed == sorted(on_disk)


def test_data_files_that_are_installed_exist():
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    for package, patterns in parsed["options.package_data"].items():
        for pattern in patterns.split():
            assert list((ROOT / pathlib.Path(*package.split("."))).glob(pattern)), (
                package,
                pattern,
            )


def test_the_version_is_stated_once_and_repeated_right():
    assert re.fullmatch(r"\d+\.\d+\.\d+", sc.__version__)
    assert importlib.metadata.version("sparsecnn") == sc.__version__
    assert f"\nversion: {sc.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {sc.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_licence_is_the_one_that_is_named():
    metadata = importlib.metadata.metadata("sparsecnn")
    assert (metadata["License-Expression"] or metadata["License"]) == "BSD-3-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    assert "\nlicense: BSD-3-Clause\n" in (ROOT / "CITATION.cff").read_text()


def test_the_citation_names_the_five_papers():
    text = (ROOT / "CITATION.cff").read_text()
    for author, year in (("Bowren", 2021), ("Kuo", 2016), ("Murugan", 2017), ("Yu", 2019),
                         ("Xiong", 2020)):  # fmt: skip
        assert f"family-names: {author}\n" in text and f"year: {year}\n" in text
    assert text.count("\n  - type: ") == 5 == text.count("\n    title: ")


def test_the_command_is_installed():
    commands = importlib.metadata.entry_points(group="console_scripts", name="sparsecnn")
    assert {command.value for command in commands} == {"sparsecnn.cli:main"}


def test_what_runs_is_named_with_its_versions():
    import numpy

    found = sc.show_versions()
    assert found["numpy"] == numpy.__version__ and found["sparsecnn"] == sc.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3])) or "+" in found["python"]
    assert "thread" in found["linear algebra"] and int(found["processor cores"]) >= 1
    assert f"numpy             {numpy.__version__}" in repr(found)
    assert "<table" in found._repr_html_()


def test_naming_the_versions_imports_no_extra():
    code = (
        "import sparsecnn as sc, sys; sc.show_versions(); "
        "print([m for m in ('torch', 'numba', 'onnx', 'dask', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
