"""The chapters: every step holds, one planted sign is refuted, and the book renders."""

import json

import pytest

from sparsecnn import cli
from sparsecnn.derivation import book
from sparsecnn.symbolic.evidence import REFUTED

CHAPTERS = book.chapters()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSECNN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("module", CHAPTERS, ids=lambda m: m.__name__.rsplit(".", 1)[-1])
def test_every_step_of_a_chapter_holds(module):
    verification = module.derivation.verify()
    assert verification.passed, verification.summary()


@pytest.mark.parametrize("module", CHAPTERS, ids=lambda m: m.__name__.rsplit(".", 1)[-1])
def test_one_wrong_sign_in_a_chapter_is_refuted_with_a_counterexample(module):
    verification = module.chapter(sign=-1).verify()
    assert verification.verdict == REFUTED
    assert not verification.passed
    assert verification.counterexamples


def test_chapters_come_in_the_order_of_their_places():
    places = [module.place for module in CHAPTERS]
    assert places == sorted(set(places)) and len(places) >= 9


def test_the_book_is_written_and_read_back_from_the_cache(tmp_path, monkeypatch):
    first = book.write_book(tmp_path / "book")
    assert all(v.passed for v in first)
    page = (tmp_path / "book" / "book.html").read_text()
    assert page.count("<h2") == len(CHAPTERS) and "<script" not in page
    assert "<code>" not in page
    assert (tmp_path / "book" / "book.tex").read_text().count("\\section{") == len(CHAPTERS)

    def never(self):
        raise AssertionError("computed again although nothing changed")

    monkeypatch.setattr("sparsecnn.derivation.model.Derivation.verify", never)
    second = book.write_book(tmp_path / "again")
    assert [v.verdicts for v in second] == [v.verdicts for v in first]


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


def test_derive_writes_the_book(capsys, tmp_path):
    code, out = _run(capsys, "derive", "--book", "--out", str(tmp_path / "book"))
    assert code == 0 and out.count("CONFIRMED") == len(CHAPTERS)
    assert (tmp_path / "book" / "book.html").is_file()


def test_explain_names_the_witness_or_the_penalty(capsys):
    code, out = _run(capsys, "explain", "gelu")
    assert code == 0 and "no prox" in out and "witness: x = -4, y = -1" in out
    code, out = _run(capsys, "explain", "softshrink")
    assert code == 0 and "lam*abs(z)" in out
    code, out = _run(capsys, "explain", "tanh", "--json")
    assert json.loads(out)["is_prox"] is True
    code, out = _run(capsys, "explain")
    assert code == 0 and out.count("a prox (") >= 25
    assert _run(capsys, "explain", "no_such_thing")[0] == 1
