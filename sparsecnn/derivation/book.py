"""The book: all chapters in order, verified and rendered; what was computed is kept on disk.

The cache is keyed by the content of the package's sources and the chapter's, so an edit anywhere
makes it stale.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import json
import os
import pathlib
import pkgutil
import sys

from ..symbolic.evidence import UNDECIDED, Evidence
from . import catalogue
from .catalogue import card
from .model import Verification
from .notation import plain
from .render import to_html, to_latex, to_markdown
from .table import atlas


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
    claims = "\n".join(f"{step.claim} {step.assumptions}" for step in derivation.steps)
    content = f"{derivation.title}\n{derivation.result}\n{claims}"

    def compute():
        return [[_stored(e) for e in found] for found in derivation.verify().evidence]

    def usable(rows):
        return len(rows) == len(derivation.steps) and all(
            all(_is_evidence(e) and e["verdict"] != UNDECIDED for e in r) for r in rows
        )

    rows = _cached(content, compute, usable) if cache else compute()
    evidence = tuple(tuple(Evidence(**e) for e in found) for found in rows)
    return Verification(derivation.title, derivation.steps, evidence)


def _stored(evidence):
    where = evidence.counterexample
    found = dataclasses.asdict(evidence)
    return {**found, "counterexample": where and {k: str(v) for k, v in where.items()}}


def _is_evidence(stored):
    return set(stored) == {field.name for field in dataclasses.fields(Evidence)}


def atlas_cards(rows, *, cache=True):
    """Every row of the atlas derived, verified and drawn, from the cache where nothing changed."""

    def usable(found):
        decided = found.get("verdict") != UNDECIDED  # for want of time, say: tried again
        return decided and {"title", "verdict", "html", "latex"} <= set(found)

    return [
        _cached(repr(row), functools.partial(card, row), usable) if cache else card(row)
        for row in rows
    ]


def _cached(content, compute, usable):
    """What ``compute`` returns, as JSON can keep it, kept under the digest of all it depends on."""
    key = hashlib.sha256(f"{_package_digest()}\n{content}".encode()).hexdigest()
    path = cache_folder() / f"{key}.json"
    try:
        found = json.loads(path.read_text())
        if usable(found):
            return found
    except (OSError, ValueError, TypeError):
        pass  # nothing kept, or a damaged file
    found = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(found))
        partial.replace(path)
    except OSError:
        pass  # a cache that cannot be written is no reason to fail
    return found


def write_book(folder, *, cache=True, rows=None):
    """Write the chapters and the atlas into ``folder``, verified.

    ``book.html`` and ``atlas.html``, self-contained; ``book.tex``, both in one document; a
    Markdown file a chapter.

    Parameters
    ----------
    folder : str or Path
    cache : bool
        Whether to read and keep what was computed.
    rows : sequence of AtlasRow, optional
        Of the atlas; default all.

    Returns
    -------
    dict of str to str
        The verdict of each chapter and of each row of the atlas, by title.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    modules, rows = chapters(), atlas() if rows is None else rows
    pairs = [(m.derivation, verified(m.derivation, cache=cache)) for m in modules]
    cards = atlas_cards(rows, cache=cache)
    title = "Sparse coding and the networks it implies"
    pages = {
        "book.html": to_html(pairs, title, [("atlas.html", "Atlas of priors and activations")]),
        "atlas.html": catalogue.to_html(rows, cards),
        "book.tex": to_latex(pairs, title, catalogue.to_latex(rows, cards)),
    }
    for module, pair in zip(modules, pairs, strict=True):
        pages[module.__name__.rsplit(".", 1)[-1] + ".md"] = to_markdown(*pair)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    verdicts = {derivation.title: found.verdict for derivation, found in pairs}
    named = zip(rows, cards, strict=True)
    return verdicts | {f"atlas, {r.section}: {plain(c['title'])}": c["verdict"] for r, c in named}
