"""The chapters: every step holds, one planted sign is refuted, and the book renders."""

import pytest

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
