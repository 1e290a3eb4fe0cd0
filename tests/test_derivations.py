"""The chapters: every step holds, one planted sign is refuted, and the book renders."""

# ruff: noqa: RUF001 - Greek letters and mathematical signs are meant
import io
import json
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import sparsecnn as sc
from sparsecnn import cli
from sparsecnn.derivation import book, notation
from sparsecnn.derivation.catalogue import Atlas
from sparsecnn.symbolic.evidence import CONFIRMED, PROVED, REFUTED

CHAPTERS = book.chapters()
#: rows of every section, in the atlas's order; --full takes all of them
SOME_ROWS = Atlas(
    row
    for row in sc.atlas()
    if row.key in ("exponential", "gamma", "l0", "log_sum_jump", "student_t_jump", "group_laplace",
                   "jeffreys", "relu6", "softplus", "gelu", "mean_laplace", "mean_sign")
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSECNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The book with some rows of the atlas, verified once: its folder, cache and verdicts."""
    folder, cache = (tmp_path_factory.mktemp("book") / name for name in ("pages", "cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSECNN_CACHE", str(cache))
        return folder, cache, book.write_book(folder, rows=SOME_ROWS)


@pytest.fixture
def pages(written, monkeypatch):
    """The folder of the book; its cache is the one in use."""
    folder, cache, _ = written
    monkeypatch.setenv("SPARSECNN_CACHE", str(cache))
    return folder


@pytest.mark.share(3)
@pytest.mark.parametrize("module", CHAPTERS, ids=lambda m: m.__name__.rsplit(".", 1)[-1])
def test_every_step_of_a_chapter_holds(module):
    verification = module.derivation.verify()
    assert verification.passed, verification.summary()


@pytest.mark.share(3)
@pytest.mark.parametrize("module", CHAPTERS, ids=lambda m: m.__name__.rsplit(".", 1)[-1])
def test_one_wrong_sign_in_a_chapter_is_refuted_with_a_counterexample(module):
    verification = module.chapter(sign=-1).verify()
    assert verification.verdict == REFUTED
    assert not verification.passed
    assert verification.counterexamples


def test_chapters_come_in_the_order_of_their_places():
    places = [module.place for module in CHAPTERS]
    assert places == sorted(set(places)) and len(places) >= 9


def test_every_chapter_says_what_is_read_and_what_is_derived_here():
    for module in CHAPTERS:
        assert "here" in module.derivation.source, module.__name__


# -- the book -------------------------------------------------------------------------------
def test_the_book_is_written_and_read_back_from_the_cache(pages, written, tmp_path, monkeypatch):
    first = written[-1]
    assert set(first.values()) <= {PROVED, CONFIRMED}
    assert len(first) == len(CHAPTERS) + len(SOME_ROWS)
    page = (pages / "book.html").read_text()
    assert page.count("<h2") == len(CHAPTERS)
    latex = (pages / "book.tex").read_text()
    assert latex.count("\\section{") == len(CHAPTERS) + 1  # and the atlas

    def never(*_):
        raise AssertionError("computed again although nothing changed")

    monkeypatch.setattr("sparsecnn.derivation.model.Derivation.verify", never)
    monkeypatch.setattr(book, "card", never)
    again = book.write_book(tmp_path / "again", rows=SOME_ROWS)
    assert again == first
    atlas = (tmp_path / "again" / "atlas.html").read_text()
    assert atlas == (pages / "atlas.html").read_text()


def test_pages_stand_alone_and_every_link_on_them_leads_somewhere(pages):
    for name in ("book.html", "atlas.html"):
        text = (pages / name).read_text()
        for forbidden in ("<script", "https://", "<link", "<img", "<code>", "url("):
            assert forbidden not in text, (name, forbidden)
        assert "http://" not in text.replace("http://www.w3.org/1998/Math/MathML", "")
        root = ElementTree.fromstring(text.split("\n", 1)[1])
        anchors = [e.get("id") for e in root.iter() if e.get("id")]
        assert len(anchors) == len(set(anchors))
        targets = [e.get("href") for e in root.iter("a")]
        assert targets
        for target in targets:
            assert target[1:] in anchors if target[0] == "#" else (pages / target).is_file(), target


def test_every_row_of_the_atlas_page_shows_its_evidence_and_its_picture(pages):
    root = ElementTree.fromstring((pages / "atlas.html").read_text().split("\n", 1)[1])
    sections = {e.get("id"): e for e in root.iter("section")}
    assert list(sections) == [f"{row.section}-{row.key}" for row in SOME_ROWS]
    for row in SOME_ROWS:
        section = sections[f"{row.section}-{row.key}"]
        classes = [e.get("class") for e in section.iter()]
        assert "evidence" in classes and {"PROVED", "CONFIRMED"} & set(classes)
        drawn = [e.get("aria-label") for e in section.iter("svg")]
        scalar = row.section == "forward" or row.key in ("relu6", "softplus", "mean_laplace")
        assert len(drawn) == (4 if scalar else 0), row.key
        assert all(drawn)
        if row.section == "forward":
            assert section.find("details") is not None
        assert "REFUTED" not in classes and "UNDECIDED" not in classes


@pytest.mark.full
def test_the_whole_book_compiles_without_a_line_that_is_too_wide(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    assert set(book.write_book(tmp_path).values()) <= {PROVED, CONFIRMED}
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "book.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stdout[-800:]
    assert b"Overfull" not in (tmp_path / "book.log").read_bytes()


# -- a terminal -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("latex", "shown"),
    [
        ("\\tfrac12\\|x - Dz\\|^2 + \\lambda|z|", "½‖x − Dz‖² + λ|z|"),
        ("\\sum_i \\varphi(z_i)", "Σᵢ φ(zᵢ)"),
        ("-\\sigma^2 \\log p", "−σ² log p"),
        ("\\frac{c}{4 \\gamma^{2}} \\leq 1", "c/(4γ²) ≤ 1"),
        ("z^{l-1} D_{l+1}", "zˡ⁻¹Dₗ₊₁"),
        ("\\sqrt[4]{3} \\sqrt{\\alpha + 1}", "⁴√3 √(α + 1)"),
        ("\\mathrm{prox}_{\\varphi/c^2}(D^T x/c^2)", "prox_(φ/c²)(Dᵀx/c²)"),
        ("\\max(b - \\lambda, 0)", "max(b − λ, 0)"),
        ("x_{unclosed", "x_{unclosed"),
    ],
)
def test_formulas_of_claims_are_shown_as_unicode(latex, shown):
    assert notation.unicode_text(latex) == shown
    assert notation.plain(f"so ${latex}$.") == f"so {shown}."


def _texts(derivation):
    for step in derivation.steps:
        yield from (step.claim, step.because, *step.assumptions)


def test_no_latex_is_left_in_what_a_terminal_shows(scale):
    derivations = [m.derivation for m in CHAPTERS]
    derivations += [sc.derive("exponential", kind) for kind in ("orthogonal", "general")]
    forward = [row for row in scale(SOME_ROWS, sc.atlas()) if row.section == "forward"]
    derivations += [row.derivation() for row in forward]
    for derivation in derivations:
        commands = [
            name
            for text in _texts(derivation)
            for formula in notation.MATH.findall(text)
            for name in notation.commands(formula)
        ]
        assert set(commands) <= notation.KNOWN_COMMANDS, derivation.title
        text = str(derivation)
        assert "$" not in text and "\\" not in text, derivation.title
        assert max(map(len, text.splitlines())) <= 120


def test_a_terminal_shows_the_cases_of_a_prox_and_which_root_is_meant():
    text = sc.derive("exponential").verify().summary()
    assert "for x ≤ λ" in text and "λ⋅z" in text and "- CONFIRMED (numeric)" in text
    text = str(sc.derive("student_t_jump"))
    assert "z₁ is the least root, z₂ is the greatest root of" in text


def test_sparsecnn_derive_without_a_row_lists_them(capsys):
    code, out = _run(capsys, "derive")
    assert code == 0
    for row in sc.atlas():
        assert f"  {row.key} " in out, row.key
    code, out = _run(capsys, "derive", "--json")
    assert [row["key"] for row in json.loads(out)] == [row.key for row in sc.atlas()]


def test_a_terminal_without_greek_letters_still_shows_the_derivation(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert cli.main(["derive", "laplace"]) == 0
    stream.flush()
    assert b"CONFIRMED" in stream.buffer.getvalue()


def test_derive_without_a_row_writes_no_file(capsys, tmp_path):
    assert _run(capsys, "derive", "--out", str(tmp_path / "page.html"))[0] == 1
    assert not list(tmp_path.glob("*.html"))


# -- the cache ------------------------------------------------------------------------------
def test_a_changed_derivation_misses_the_cache():
    module = CHAPTERS[-1]
    assert book.verified(module.derivation).passed
    assert not book.verified(module.chapter(sign=-1), cache=False).passed


# -- the command line -----------------------------------------------------------------------
def _run(capsys, *arguments):
    code = cli.main(list(arguments))
    return code, capsys.readouterr().out


def test_derive_prints_every_step_with_its_verdict(capsys, tmp_path):
    page = tmp_path / "page.html"
    code, out = _run(capsys, "derive", "lam*abs(z) + alpha*z**2/2", "--out", str(page))
    assert code == 0 and "PROVED" in out and "CONFIRMED" in out and "REFUTED" not in out
    assert "<math" in page.read_text()
    code, out = _run(capsys, "derive", "exponential", "--json")
    assert code == 0 and json.loads(out)["verdict"] == "CONFIRMED"


def test_derive_refuses_what_has_no_prox_with_exit_code_one(capsys):
    for text in ("lam*log(abs(z))", "z.__class__", "(-z**2)"):
        assert _run(capsys, "derive", text)[0] == 1


def test_derive_writes_the_book(capsys, tmp_path, monkeypatch, pages):
    monkeypatch.setattr(book, "atlas", lambda: SOME_ROWS)
    code, out = _run(capsys, "derive", "--book", "--out", str(tmp_path / "book"))
    assert code == 0 and out.count("CONFIRMED") + out.count("PROVED") == len(CHAPTERS) + len(
        SOME_ROWS
    )
    assert (tmp_path / "book" / "book.html").is_file()
    assert (tmp_path / "book" / "atlas.html").is_file()
