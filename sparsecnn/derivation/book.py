"""The book: all chapters in order, verified and rendered; what was computed is kept on disk.

The cache is keyed by the content of the package's sources and the chapter's, so an edit anywhere
makes it stale.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import os
import pathlib
import pkgutil
import sys

from ..symbolic.evidence import Evidence
from .model import Verification
from .render import to_html, to_latex, to_markdown


def chapters():
    """The chapters' modules, in order of their ``place``."""
    package = _package()
    names = [m.name for m in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return sorted(modules, key=lambda m: (m.place, m.__name__))


def _package():
    name = "sparsecnn.chapters"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    # a checkout that was not installed: the chapters lie beside the package
    folder = pathlib.Path(__file__).resolve().parents[2] / "derivations"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package


def cache_folder():
    """Where verifications are kept: ``SPARSECNN_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("SPARSECNN_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(chosen) if chosen else pathlib.Path(base) / "sparsecnn"


@functools.cache
def _package_digest():
    """One digest of every source file of the package and the chapters."""
    digest = hashlib.sha256()
    folders = [pathlib.Path(__file__).resolve().parents[1], *map(pathlib.Path, _package().__path__)]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    import numpy
    import sympy

    digest.update(f"{numpy.__version__} {sympy.__version__}".encode())
    return digest.hexdigest()


def verified(derivation, *, cache=True):
    """The derivation's verification, from the cache if nothing it depends on has changed."""
    content = "\n".join(
        [_package_digest(), derivation.title, str(derivation.result), str(derivation)]
    )
    key = hashlib.sha256(content.encode()).hexdigest()
    path = cache_folder() / f"{key}.json"
    if cache and path.is_file():
        try:
            stored = json.loads(path.read_text())
            evidence = tuple(tuple(Evidence(**e) for e in found) for found in stored)
        except (OSError, ValueError, TypeError):
            evidence = ()
        if len(evidence) == len(derivation.steps):
            return Verification(derivation.title, derivation.steps, evidence)
    found = derivation.verify()
    if cache:
        _store(path, found)
    return found


def _store(path, verification):
    rows = [
        [
            {
                "kind": e.kind,
                "verdict": e.verdict,
                "detail": e.detail,
                "counterexample": e.counterexample
                and {k: str(v) for k, v in e.counterexample.items()},
            }
            for e in found
        ]
        for found in verification.evidence
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(rows))
        partial.replace(path)
    except OSError:
        return  # a cache that cannot be written is no reason to fail


def write_book(folder, *, cache=True):
    """Write ``book.html``, ``book.tex`` and one Markdown file per chapter into ``folder``.

    Returns
    -------
    list of Verification
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [(m.derivation, verified(m.derivation, cache=cache)) for m in chapters()]
    title = "Sparse coding and the networks it implies"
    (folder / "book.html").write_text(to_html(pairs, title), encoding="utf-8")
    (folder / "book.tex").write_text(to_latex(pairs, title), encoding="utf-8")
    for module, (derivation, verification) in zip(chapters(), pairs, strict=True):
        name = module.__name__.rsplit(".", 1)[-1]
        (folder / f"{name}.md").write_text(to_markdown(derivation, verification), encoding="utf-8")
    return [verification for _, verification in pairs]
