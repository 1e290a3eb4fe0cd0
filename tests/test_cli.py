"""The command line: its exit codes, what it prints where, and that no page is ever half written."""

import dataclasses
import json
import os
import re
import runpy
import subprocess
import sys
import warnings

import numpy as np
import pytest

import sparsecnn
from sparsecnn import cli, comparison, datasets, report

SMALL = ["--test", "20", "--train", "60", "--learn", "60", "--epochs", "1"]
ONE_LEVEL = ["--atoms", "3", "--test", "8", "--train", "40", "--learn", "40", "--epochs", "1"]
#: what an identical run may print differently
CLOCK = {"milliseconds", "seconds", "peak_memory_mib", "command"}


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of the command in this process."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse stops on its own for --help and usage
        code = stop.code
    return code, *capsys.readouterr()


def without_clock(value):
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in CLOCK}
    return [without_clock(v) for v in value] if isinstance(value, list) else value


# -- words ----------------------------------------------------------------------------------
def test_help_lists_the_commands(capsys):
    code, out, err = run(capsys, "--help")
    assert code == 0 and err == "" and "compare" in out


def test_the_help_of_compare_names_every_option_and_its_default(capsys):
    code, out, _ = run(capsys, "compare", "--help")
    assert code == 0
    for option in ("data", "images", "labels", "image-shape", "scale", "atoms", "kernel", "stride",
                   "padding", "prior", "lam", "epochs", "learn", "train", "test", "noise", "out",
                   "json", "seed"):  # fmt: skip
        assert f"--{option}" in out
    assert "compare.html" in out


def test_version_is_the_version_of_the_package(capsys):
    code, out, err = run(capsys, "--version")
    first, second = out.splitlines()
    assert (code, first, err) == (0, f"sparsecnn {sparsecnn.__version__}", "")
    assert second.startswith(f"engines: numpy {np.__version__} (")


def test_no_command_is_a_usage_error_that_shows_the_help(capsys):
    code, out, _ = run(capsys)
    assert code == 2 and "COMMAND" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "invalid choice"),
        (["compare", "--frobnicate"], "unrecognized arguments"),
        (["compare", "--epochs", "0"], "below 1"),
        (["compare", "--test", "1"], "below 2"),
        (["compare", "--train", "7"], "below 8"),
        (["compare", "--learn", "7"], "below 8"),
        (["compare", "--test", "many"], "not a whole number"),
        (["compare", "--seed", "-1"], "below 0"),
        (["compare", "--atoms", "3;4"], "not a list of numbers"),
        (["compare", "--prior", "cauchy"], "invalid choice"),
        (["compare", "--padding", "reflect"], "invalid choice"),
        (["compare", "--data", ""], "an empty name"),
        (["compare", "--noise", "-0.1"], "not positive"),
        (["compare", "--noise", "0,0.1"], "not positive"),
        (["compare", "--noise", "nan"], "not positive"),
        (["compare", "--noise", "inf"], "not positive"),
        (["compare", "--lam", "nan"], "not a finite number"),
        (["compare", "--lam", "-1"], "not a finite number"),
    ],
)
def test_a_wrong_word_is_a_usage_error_and_writes_nothing(
    arguments, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and said in err
    assert list(tmp_path.iterdir()) == []


# -- the main job ---------------------------------------------------------------------------
@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """``sparsecnn compare`` on a few digits, as a command of its own."""
    folder = tmp_path_factory.mktemp("compare")
    command = [sys.executable, "-m", "sparsecnn", "compare", "--atoms", "3,4", *SMALL]
    command += ["--out", "page.html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_compare_prints_its_table_on_stdout_and_its_stages_on_stderr(finished):
    done, _ = finished
    stages = done.stderr.splitlines()
    assert all(line.startswith("sparsecnn compare: ") for line in stages)
    assert stages[:2] == [f"sparsecnn compare: learning level {k}" for k in (1, 2)]
    assert len(set(stages)) == len(stages)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "digits: images 8x8x1, filters learned on 60, readouts trained on 60"
    )
    assert "compared on 20 held out" in lines[0]
    assert lines[-1].startswith("report: page.html")
    for solver in ("forward", "calibrated", "3 steps", "10 steps", "exact"):
        assert sum(line.startswith(f"  {solver} ") for line in lines) == 3  # two levels, a readout


def test_quiet_names_no_stages(capsys, tmp_path):
    small = ["--atoms", "2,2", *SMALL, "--limit", "20", "--out", str(tmp_path / "page.html")]
    code, out, err = run(capsys, "compare", *small, "-q")
    assert code in (0, 3) and "level 1" in out
    assert not any("learning" in line or "readout" in line for line in err.splitlines())


def test_the_columns_of_the_table_are_the_promised_ones(finished):
    text = finished[0].stdout
    for word in ("mutual coherence", "||G - I||_2", "gap", "code error", "support", "recon.",
                 "bound", "ms/1000", "clean", "noise 0.1", "noise 0.2"):  # fmt: skip
        assert word in text


def test_the_numbers_of_the_table_are_in_order(finished):
    """Gaps shrink down the table; the last line is certified."""
    rows = re.findall(
        r"^  (?:forward|3 steps|10 steps|exact) +(\S+e\S+) ", finished[0].stdout, re.M
    )
    gaps = np.array([float(gap) for gap in rows]).reshape(2, 4)
    assert (np.diff(gaps, axis=1) < 0).all() and gaps[:, -1].max() <= 1e-6 < gaps[:, 0].min()


def test_compare_writes_one_page_that_needs_nothing_else(finished):
    _, folder = finished
    assert [path.name for path in folder.iterdir()] == ["page.html"]
    page = (folder / "page.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert "data:image/png;base64," in page and "data:image/svg+xml;base64," in page
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)  # nothing is fetched
    assert "<script" not in page and "@import" not in page and "url(http" not in page


def test_json_is_the_only_thing_on_stdout_and_a_seed_makes_it_reproducible(
    capsys, tmp_path, monkeypatch
):
    def once(name, seed):
        out = tmp_path / name
        code, text, err = run(capsys, "compare", *ONE_LEVEL, "--json", "--seed", seed, "--out", out)
        assert code == 0 and err == "" and out.exists()
        return without_clock(json.loads(text, parse_constant=pytest.fail))  # no NaN, no Infinity

    first = once("1.html", 3)
    assert (tmp_path / "1.html").stat().st_size > 10_000
    monkeypatch.setattr(report, "_render", lambda *_: "drawn once is enough")
    again, other = once("2.html", 3), once("3.html", 4)
    assert first == again
    assert first["rows"] != other["rows"]
    assert {"levels", "rows", "readouts", "meta", "sweep"} <= set(first)
    assert len(first["levels"]) == 1 and len(first["rows"]) == len(first["readouts"]) == 5
    assert first["meta"]["seed"] == 3 and first["meta"]["compared_on"] == 8


def test_images_without_labels_from_a_file_are_compared_without_a_readout(capsys, tmp_path):
    path = tmp_path / "few.npy"
    np.save(path, np.random.default_rng(0).random((60, 8, 8)))
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, "compare", "--data", path, *ONE_LEVEL, "--out", page)
    assert code == 0 and "few.npy" in out and "readout" not in out
    assert page.exists()


# -- failures -------------------------------------------------------------------------------
def _no_work(*arguments, **named):
    raise AssertionError("the work began")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "/no/such/place"], "no file or folder"),
        (["--atoms", "3,4,5"], "the levels do not agree: --atoms has 3, --kernel has 2"),
        (["--atoms", "3", "--kernel", "4,2"], "the levels do not agree"),
        (["--kernel", "40,2"], "--kernel starts with 40"),
        (["--stride", "40,2"], "--stride starts with 40"),
        (["--kernel", "0,1"], "kernel_size is 0"),
        (["--atoms", "0,1"], "n_atoms is 0"),
        (["--out", "missing/page.html"], "--out is 'missing/page.html', where no page can"),
        (["--out", "."], "--out is '.', where no page can be written"),
        (["--out", ""], "--out is '', where no page can be written"),
        (["--out", "file.txt/page.html"], "where no page can be written"),
    ],
)
def test_bad_input_is_one_sentence_on_stderr_before_any_comparison(
    arguments, said, capsys, tmp_path, monkeypatch
):
    (tmp_path / "file.txt").write_text("old")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "compare", _no_work)
    code, out, err = run(capsys, "compare", *arguments)
    assert code == 1 and out == ""
    assert err.startswith("sparsecnn compare: ") and said in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("kind", ["read-only", "a pipe"])
def test_an_out_that_is_no_writable_file_is_refused_before_the_work(
    kind, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(datasets, "load", _no_work)
    out = tmp_path / "page.html"
    if kind == "a pipe":
        os.mkfifo(out)
    else:
        out.touch(0o444)
    before = out.lstat()
    code, _, err = run(capsys, "compare", "--out", out)
    assert code == 1 and str(out) in err and kind in err and out.lstat() == before


def test_how_the_pixels_were_read_stands_in_the_table_and_on_the_page(
    capsys, tmp_path, monkeypatch, quick
):
    monkeypatch.setattr(report, "_render", lambda comparison, *_: comparison.meta["read"])
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (12, 64)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", pics=x, kind=np.arange(12) % 2, note=np.zeros(3))
    page = tmp_path / "page.html"
    named = ["--images", "pics", "--labels", "kind", "--image-shape", "8,8", "--scale", "200"]
    data = ["--data", tmp_path / "a.npz", "--test", "4", "--out", page]
    code, out, _ = run(capsys, "compare", *data, *named)
    assert code == 0 and "images 8x8x1" in out and "readouts trained on 9" in out
    for said in ("divided by 200, as stated", "left unread: note (3,) float64"):
        assert said in out and said in page.read_text()


def test_a_page_on_codes_that_are_all_zero_is_refused(capsys, tmp_path, quick):
    page = tmp_path / "page.html"
    code, out, err = run(capsys, "compare", "--scale", "1e6", "--test", "4", "--out", page)
    assert code == 1 and out == "" and "every code of level 1 is 0 under Exponential" in err
    assert not page.exists()


def test_a_damaged_file_is_named(capsys, tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04 not an archive")
    code, out, err = run(capsys, "compare", "--data", path, "--out", tmp_path / "page.html")
    assert code == 1 and out == "" and "broken.npz" in err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("module", "stage"),
    [(datasets, "load"), (comparison, "compare"), (comparison, "coherence_sweep"),
     (report, "write_report")],
)  # fmt: skip
def test_ctrl_c_in_any_stage_leaves_no_file_and_says_so(
    module, stage, capsys, tmp_path, monkeypatch, quick
):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, stage, interrupted)
    code, out, err = run(capsys, "compare", "--test", "4", "--out", tmp_path / "page.html")
    assert code == 130 and out == "" and "interrupted" in err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_learning_stops_the_command(capsys, tmp_path, monkeypatch):
    """A library user keeps the atoms learned so far; the command must not go on with them."""

    def interrupted(self, estimator, context):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.progress._FitProgress, "on_fit_task_end", interrupted)
    monkeypatch.setattr(comparison, "compare", _no_work)
    code, out, err = run(capsys, "compare", *ONE_LEVEL, "--out", tmp_path / "page.html")
    assert code == 130 and out == "" and "interrupted" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_page_that_cannot_be_finished_leaves_the_old_one(
    error, capsys, tmp_path, monkeypatch, quick
):
    page = tmp_path / "page.html"
    page.write_text("old")

    def fail(*arguments):
        raise error

    monkeypatch.setattr(report.os, "replace", fail)
    code, out, err = run(capsys, "compare", "--test", "4", "--out", page)
    assert code == (1 if isinstance(error, OSError) else 130)
    assert out == "" and err.startswith(("sparsecnn compare: ", "\nsparsecnn compare: "))
    assert page.read_text() == "old" and list(tmp_path.iterdir()) == [page]


def test_codes_that_do_not_converge_are_an_exit_code_of_their_own(capsys, tmp_path, quick):
    quick(stride=1, max_iter=2, drawn=True)
    code, out, err = run(capsys, "compare", "--test", "4", "--out", tmp_path / "page.html")
    lines = err.splitlines()
    assert all(line.startswith("sparsecnn compare: ") for line in lines)  # stages and warnings
    warned = [line for line in lines if line.startswith("sparsecnn compare: warning: ")]
    assert any("did not reach tol" in line for line in warned)
    assert len(warned) == len(set(warned)) and ".py" not in err
    assert code == cli.arguments.EXIT_NOT_CONVERGED == 3
    assert "level 1" in out and (tmp_path / "page.html").exists()  # the table still says what is


def test_a_level_that_converged_does_not_hide_one_that_did_not(
    capsys, tmp_path, monkeypatch, quick
):
    shortened = comparison.compare

    def half_way(*arguments, **named):
        result = shortened(*arguments, **named)
        late = dataclasses.replace(result.rows[-1], level=2, converged=0.5)
        return dataclasses.replace(result, rows=(*result.rows, late))

    out = tmp_path / "page.html"
    assert run(capsys, "compare", "--test", "4", "--out", out)[0] == cli.arguments.EXIT_OK
    monkeypatch.setattr(comparison, "compare", half_way)
    code, _, _ = run(capsys, "compare", "--test", "4", "--out", out)
    assert code == cli.arguments.EXIT_NOT_CONVERGED


@pytest.mark.parametrize("text", ["0", "0.0", "1e-3", "7"])
def test_a_rate_may_be_zero(text):
    assert cli.arguments.rate(text) == float(text)


def test_a_warning_is_said_once_in_one_line(capsys, tmp_path, monkeypatch, quick):
    sweep = comparison.coherence_sweep

    def warns(*arguments, **named):
        for _ in range(2):
            warnings.warn("not\nyet", sparsecnn.ConvergenceWarning, stacklevel=1)
        return sweep(*arguments, **named)

    monkeypatch.setattr(comparison, "coherence_sweep", warns)
    _, _, err = run(capsys, "compare", "--test", "4", "--out", tmp_path / "page.html")
    assert [line for line in err.splitlines() if "warning:" in line] == [
        "sparsecnn compare: warning: not yet"
    ]


def test_stages_are_named_once_off_a_terminal_and_begin_with_nothing_behind(
    capsys, tmp_path, monkeypatch, quick
):
    said, stage = [], cli.progress.Progress.stage

    def noted(self, text, done=0, total=1):
        said.append((text, done, total))
        stage(self, text, done, total)

    monkeypatch.setattr(cli.progress.Progress, "stage", noted)
    page = tmp_path / "page.html"
    _, _, err = run(capsys, "compare", "--test", "4", "--out", page)
    stages = list(dict.fromkeys(text for text, _, _ in said))
    assert err.splitlines() == [f"sparsecnn compare: {text}" for text in stages]
    assert stages[0] == "error against coherence" and stages[-1] == f"writing {page}"
    assert all(0 <= done < total for _, done, total in said)
    sweep = [call for call in said if call[0] == "error against coherence"]
    assert [done for _, done, _ in sweep] == list(range(sweep[0][2]))  # every member counts
    _, _, err = run(capsys, "compare", "--test", "4", "--out", page, "--json")
    assert err == ""


def test_a_limit_bounds_every_stage(capsys, tmp_path, quick):
    page = tmp_path / "page.html"
    _, out, _ = run(capsys, "compare", "--limit", "12", "--test", "5", "--json", "--out", page)
    found = json.loads(out)
    assert found["meta"]["learned_on"] == 12 and found["meta"]["compared_on"] == 5
    assert found["sweep"]["n_samples"] == 5
    assert "--limit" in run(capsys, "compare", "--help")[1]


@pytest.fixture
def quick(monkeypatch):
    """Nothing is learned, trained or drawn: one level of cosine filters, two solvers, no figure."""
    compare, render = comparison.compare, report._render

    def shorten(stride=4, max_iter=1000, drawn=False):
        monkeypatch.setattr(report, "_render", render if drawn else lambda *_: "a page")
        filters = sparsecnn.ConvDictionary.dct(4, (8, 8), stride=stride)
        level = sparsecnn.Level(filters, sparsecnn.Exponential(0.1))
        solvers = [sparsecnn.ForwardTransform(), sparsecnn.FISTA(1e-6, max_iter)]
        monkeypatch.setattr(
            cli.compare, "_learned_hierarchy", lambda *_: sparsecnn.Hierarchy([level])
        )
        monkeypatch.setattr(
            comparison, "compare", lambda model, *, x, **named: compare(model, solvers, x=x)
        )

    shorten()
    return shorten


# -- what a start costs ---------------------------------------------------------------------
HEAVY = ("numpy", "scipy", "sklearn", "matplotlib", "sympy", "torch", "rich", "jinja2", "PIL")


@pytest.mark.parametrize(
    "start",
    [
        "import sparsecnn",
        "import sparsecnn; dir(sparsecnn); sparsecnn.__all__; sparsecnn.__version__",
        "import sparsecnn.cli; sparsecnn.cli._parser().format_help()",
    ],
)
def test_a_start_loads_no_heavy_library(start):
    code = f"{start}\nimport sys; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_module_runs_as_the_command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sparsecnn", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("sparsecnn", run_name="__main__")
    assert stop.value.code == 0 and capsys.readouterr().out.startswith("sparsecnn ")


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), ([], 2), (["compare", "-x"], 2)])
def test_the_exit_codes_of_the_process_are_those_of_main(arguments, code):
    command = [sys.executable, "-m", "sparsecnn", *arguments]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == code


def test_a_reader_that_stops_early_is_no_error():
    command = [sys.executable, "-u", "-m", "sparsecnn", "derive", "exponential"]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer.stdout.close()
    assert writer.stderr.read() == b"" and writer.wait(60) == 0


def test_a_weight_that_the_prior_does_not_have_is_refused(capsys, tmp_path):
    arguments = ["compare", "--prior", "gaussian", "--lam", "7", "--out", str(tmp_path / "c.html")]
    assert cli.main(arguments) == 1
    assert "no parameter lam" in capsys.readouterr().err
