"""Docstrings: every example runs, every public object documents its parameters."""

from __future__ import annotations

import dataclasses
import doctest
import functools
import importlib
import inspect
import pkgutil

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import sparsecnn as sc

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(sc.__path__, "sparsecnn.")
    if not module.name.endswith("__main__")
)

#: numpydoc's names of the faults: no docstring, no summary, summary not one sentence that starts
#: with a capital and ends with a period, section titles, undocumented / unknown / misordered
#: parameters, a parameter without description where it has a type but no name, no blank line
CODES = {"GL08", "GL06", "GL07", "SS01", "SS03", "SS04", "PR01", "PR02", "PR03"}


def importable(name):
    """The module, or a skip when an optional dependency of it is absent."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {"torch", "onnx", "onnxruntime", "numba"}:
            pytest.skip(f"{name} needs {error.name}")
        raise


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_every_module_run(name):
    results = doctest.testmod(importable(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_lives_in_it(name):
    doc = importable(name).__doc__
    assert doc and doc.split("\n")[0].rstrip().endswith((".", ":", ";")), "one sentence first"


def attributes(item):
    """Names in the Attributes section: where results and measured properties are documented."""
    entries = NumpyDocString(inspect.getdoc(item) or "")["Attributes"]
    return {name.strip() for entry in entries for name in entry.name.split(",")}


@pytest.mark.parametrize("name", sc.__all__)
def test_public_objects_document_their_parameters(name):
    item = getattr(sc, name)
    faults = validate(f"{item.__module__}.{item.__qualname__}")["errors"]
    if dataclasses.is_dataclass(item):  # the fields of a result are its attributes
        fields = {field.name for field in dataclasses.fields(item) if field.init}
        faults = [f for f in faults if f[0] != "PR01" or not fields <= attributes(item)]
    assert not [f"{code}: {text}" for code, text in faults if code in CODES]


@pytest.mark.parametrize("name", [n for n in sc.__all__ if inspect.isclass(getattr(sc, n))])
def test_public_members_are_documented_where_they_stand_or_in_the_class(name):
    cls = getattr(sc, name)
    documented = {word for base in cls.__mro__ for word in attributes(base)}
    own = {
        member: value
        for base in cls.__mro__
        if base.__module__.startswith("sparsecnn")
        for member, value in vars(base).items()
        if not member.startswith("_")
        and (callable(value) or isinstance(value, property | functools.cached_property))
    }
    bare = [m for m in own if not inspect.getdoc(getattr(cls, m, None)) and m not in documented]
    bare = [m for m in bare if not inspect.getdoc(inspect.getattr_static(cls, m))]
    assert not bare
