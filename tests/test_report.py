"""The page of a comparison: complete or absent, self-contained, escaped, true to its numbers."""

import dataclasses
import html
import os
import pathlib
import re

import numpy as np
import pytest

import sparsecnn as sc
from sparsecnn import comparison, report
from sparsecnn.report import write_report

RNG = np.random.default_rng(0)
HOSTILE = "<script>alert('x')</script>\"&"


@pytest.fixture(scope="module")
def labelled():
    dictionary = sc.ConvDictionary.random(6, 3, (6, 6), random_state=0)
    hierarchy = sc.Hierarchy([sc.Level(dictionary, sc.Exponential(0.1))])
    x, y = RNG.random((32, 1, 6, 6)), np.arange(32) % 2
    solvers = {"forward": sc.ForwardTransform(), "exact": sc.FISTA()}
    return sc.compare(hierarchy, solvers, x=x, y=y, meta={"data": "noise", "seed": 0})


@pytest.fixture(scope="module")
def sweep():
    dictionary = sc.ConvDictionary.random(3, 2, (4, 4), random_state=0)
    return comparison.coherence_sweep(RNG.random((5, 1, 4, 4)), dictionary, sc.Exponential(0.1))


@pytest.fixture(scope="module")
def page(labelled, sweep, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "compare.html"
    return write_report(labelled, path, sweep=sweep).read_text(encoding="utf-8")


def _text(page):
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", page,
                                                    flags=re.S)))  # fmt: skip


def test_the_page_needs_no_network_and_no_script(page):
    assert "<script" not in page
    assert not re.search(r"\bon\w+\s*=", re.sub(r'"data:[^"]*"', "", page))
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert len(sources) == 7  # summary, atoms, gaps, codes, errors, accuracy, coherence
    assert all(s.startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
               for s in sources)  # fmt: skip
    assert "url(" not in page and "@import" not in page
    assert len(page) < 5e6


def test_every_row_of_the_comparison_is_in_the_tables(page, labelled):
    text = _text(page)
    for row in labelled.rows:
        cells = [row.solver, report._number(row.gap), report._number(row.worst_gap),
                 report._number(row.code_error)]  # fmt: skip
        assert " ".join(cells) in text.replace("  ", " ")
    for row in labelled.readouts:
        assert f"{row.solver} {100 * row.accuracy[0.0]:.1f}%" in text


def test_the_reading_is_computed_from_the_numbers(labelled):
    sentence = report._readings(labelled)[0]
    assert f"error of {report._number(labelled.rows[0].code_error)}" in sentence
    for worst, is_code in ((1e-15, True), (1e-3, False)):  # the mean alone does not say it
        rows = [dataclasses.replace(row, gap=1e-15, worst_gap=worst) for row in labelled.rows]
        reading = report._readings(dataclasses.replace(labelled, rows=tuple(rows)))[0]
        assert ("already is the code" in reading) == is_code


def test_the_highest_accuracy_is_the_one_without_noise(labelled):
    rates = {"forward": (0.8, 0.5), "3 steps": (0.9, 0.4), "exact": (0.85, 0.6)}
    readouts = [
        dataclasses.replace(labelled.readouts[0], solver=name, accuracy={0.0: clean, 0.1: noisy})
        for name, (clean, noisy) in rates.items()
    ]
    sentence = report._readout_reading(readouts, 1.0)
    assert "80.0% of the held-out images" in sentence and "the highest is “3 steps”" in sentence
    assert "At noise 0.1 it is 50.0% and 60.0%" in sentence


def test_the_standard_error_is_the_largest_binomial_one_in_points(labelled):
    n_images = len(labelled.gaps[1, "exact"])
    rates = [rate for row in labelled.readouts for rate in row.accuracy.values()]
    wanted = max(100 * np.sqrt(rate * (1 - rate) / n_images) for rate in rates)
    assert report._sampling_error(labelled) == pytest.approx(wanted)


def test_hostile_names_are_text(labelled, tmp_path):
    hostile = dataclasses.replace(
        labelled,
        meta={HOSTILE: HOSTILE, "command": HOSTILE},
        levels=(dataclasses.replace(labelled.levels[0], prior=HOSTILE, dictionary=HOSTILE),),
        readouts=tuple(dataclasses.replace(r, solver=HOSTILE) for r in labelled.readouts),
    )
    page = write_report(hostile, tmp_path / "a.html", title=HOSTILE).read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count(html.escape("<script>alert(")) >= 8


def test_without_labels_there_is_no_readout(tmp_path):
    problem = sc.SparseCodingProblem(
        RNG.standard_normal((5, 9)), sc.Dictionary.random(12, 9, 0), sc.Laplace(0.3)
    )
    page = write_report(
        sc.compare(problem, [sc.ForwardTransform(), sc.FISTA()]), tmp_path / "a.html"
    ).read_text(encoding="utf-8")
    assert "Readout" not in page and "Accuracy" not in page and "coherence</h2>" not in page


def test_a_non_convex_prior_shows_residuals_and_no_bound(tmp_path):
    problem = sc.SparseCodingProblem(
        RNG.standard_normal((5, 9)), sc.Dictionary.random(12, 9, 0), sc.SpikeSlab(0.1)
    )
    page = write_report(
        sc.compare(problem, [sc.ForwardTransform(), sc.ISTA()]), tmp_path / "a.html"
    ).read_text(encoding="utf-8")
    heads = re.findall(r"<th>(.*?)</th>", page)
    assert "residual" in heads and "gap" not in heads and "its bound" not in heads
    assert "no duality gap" in page
    assert "nan" not in _text(page)


def test_the_same_comparison_gives_the_same_bytes(labelled, sweep, page, tmp_path):
    again = write_report(labelled, tmp_path / "again.html", sweep=sweep)
    assert again.read_text(encoding="utf-8") == page


class _Stop(BaseException):
    """As an interrupt, no Exception."""


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), _Stop()])
@pytest.mark.parametrize("place", ["write_text", "replace"])
def test_an_old_file_survives_a_failed_write(labelled, tmp_path, monkeypatch, error, place):
    path = tmp_path / "compare.html"
    path.write_text("the old page")
    real = pathlib.Path.write_text

    def partly(self, text, **settings):
        real(self, text[:1000], **settings)
        raise error

    def fails(*_):
        raise error

    monkeypatch.setattr(report, "_render", lambda *_: "x" * 5000)
    if place == "write_text":
        monkeypatch.setattr(pathlib.Path, "write_text", partly)
    else:
        monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(type(error)):
        write_report(labelled, path)
    monkeypatch.undo()
    assert path.read_text() == "the old page"
    assert os.listdir(tmp_path) == ["compare.html"]


def test_a_failing_figure_leaves_nothing(labelled, tmp_path, monkeypatch):
    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report.plots, "plot_gaps", fails)
    with pytest.raises(KeyboardInterrupt):
        write_report(labelled, tmp_path / "compare.html")
    assert os.listdir(tmp_path) == []


def test_a_written_page_replaces_the_old_one_and_leaves_no_other_file(labelled, tmp_path):
    path = tmp_path / "compare.html"
    path.write_text("the old page")
    assert write_report(labelled, str(path)) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert os.listdir(tmp_path) == ["compare.html"]


@pytest.mark.parametrize("where", ["missing/compare.html", "."])
def test_a_path_that_cannot_be_written_is_refused_before_any_work(labelled, tmp_path, where):
    with pytest.raises(sc.InputError, match="path is"):
        write_report(labelled, tmp_path / where)


def test_a_link_stays_a_link_and_the_file_behind_it_keeps_its_mode(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_render", lambda *_: "new")
    page, link = tmp_path / "page.html", tmp_path / "link.html"
    page.write_text("old")
    page.chmod(0o604)
    link.symlink_to(page.name)
    write_report(labelled, link)
    assert link.is_symlink() and page.read_text() == "new"
    assert page.stat().st_mode & 0o777 == 0o604
    page.unlink()
    write_report(labelled, link)  # makes the file that the link names
    assert link.is_symlink() and page.read_text() == "new"


def test_what_is_no_writable_file_is_refused_and_stays(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_render", lambda *_: pytest.fail("the work began"))
    frozen, pipe, loop = (tmp_path / name for name in ("frozen", "pipe", "loop"))
    frozen.write_text("old")
    frozen.chmod(0o444)
    os.mkfifo(pipe)  # stands for every device
    loop.symlink_to(loop)
    to_pipe = tmp_path / "to_pipe"
    to_pipe.symlink_to(pipe)
    before = {path: path.lstat() for path in tmp_path.iterdir()}
    for path, said in ((frozen, "read-only"), (pipe, "a pipe"), (loop, "a link"),
                       (to_pipe, "a pipe")):  # fmt: skip
        with pytest.raises(sc.InputError, match=f"{path.name}.*{said}"):
            write_report(labelled, path)
    assert {path: path.lstat() for path in tmp_path.iterdir()} == before


def test_something_else_than_a_comparison_is_refused(tmp_path):
    with pytest.raises(sc.InputTypeError, match="comparison is"):
        write_report({"rows": []}, tmp_path / "a.html")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "1"), (0.12345, "0.123"), (2.4e-7, "2.4e-7"), (5458.6, "5,459"),
     (float("nan"), "n/a"), (float("inf"), "n/a"), (-3e-5, "-3.0e-5")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert report._number(value) == text
