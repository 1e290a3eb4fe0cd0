"""Every demo runs as a script, and what it claims holds for the numbers that it computes."""

import contextlib
import functools
import importlib.util
import io
import pathlib
import re
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from tolerances import FEW_ULPS, ROUNDING

FOLDER = pathlib.Path(__file__).parents[1] / "demos"
DEMOS = sorted(FOLDER.glob("*.py"))
every_demo = pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)


@functools.cache
def demo(name):
    """The demo as a module: its functions return the numbers that its page prints."""
    spec = importlib.util.spec_from_file_location(f"demo_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """``run(name)``: what a demo returns, prints and where it writes; once, without a warning."""

    @functools.cache
    def once(name):
        folder, printed = tmp_path_factory.mktemp(name), io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)  # as when a script runs
            found = demo(name).main(folder)
        return found, printed.getvalue(), folder

    return once


def _shows_one_figure(name, printed, folder, said):
    assert [p.name for p in folder.iterdir()] == [f"{name}.png"]
    assert printed.splitlines()[-1] == f"figure: {said}"
    start = (folder / f"{name}.png").read_bytes()[:24]
    width, height = struct.unpack(">II", start[16:])
    assert start[:8] == b"\x89PNG\r\n\x1a\n" and width == 1600 and 400 < height < 1600


@every_demo
def test_a_demo_runs_without_a_warning_and_writes_one_figure_that_fits_a_page(path, run):
    _, printed, folder = run(path.stem)
    _shows_one_figure(path.stem, printed, folder, folder / f"{path.stem}.png")


@pytest.mark.full
@every_demo
def test_a_demo_runs_as_a_script_of_its_own(path, tmp_path):
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning
    _shows_one_figure(path.stem, done.stdout, tmp_path, f"{path.stem}.png")


@every_demo
def test_a_demo_is_a_page_of_cells_that_opens_with_prose(path):
    text = path.read_text()
    assert text.startswith("# %% [markdown]\n# # ")
    assert text.count("\n# %%\n") >= 2 and text.count("# %% [markdown]") >= 4
    assert text.endswith('\n\nif __name__ == "__main__":\n    main(*sys.argv[1:2])\n')


# -- one step -------------------------------------------------------------------------------
@pytest.fixture
def steps(run):
    return run("one_step")[0]


def test_one_step_is_the_code_for_each_orthonormal_dictionary_of_the_demo(steps):
    found = {name: result for name, result in steps.items() if result["orthonormal"]}
    assert len(found) == 5
    for result in found.values():
        assert result["gaps"].max() < FEW_ULPS
        assert result["from_code"] < ROUNDING
        assert result["energy_over_zero_code"] < 1


def test_the_same_filters_overlapping_have_a_gap_and_more_energy_than_no_code(steps):
    found = {name: result for name, result in steps.items() if not result["orthonormal"]}
    assert set(found) == {"Haar, stride 1", "Daubechies-4, stride 1"}
    for result in found.values():
        assert result["gaps"].min() > 0.5 and result["from_code"] > 1
        assert result["energy_over_zero_code"] > 5


def test_the_layer_of_the_demo_is_the_first_ista_iterate_for_every_dictionary(steps):
    for result in steps.values():
        assert result["from_first_ista_iterate"] < FEW_ULPS


@pytest.mark.parametrize("c", [0.5, 2.0, 3.0])
def test_atoms_of_norm_c_cost_a_gain_of_c_squared(c):
    assert demo("one_step").gain(c) < ROUNDING


# -- coding against the forward transform ---------------------------------------------------
@pytest.fixture
def measured(run):
    return run("coding_vs_forward")[0]


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_one_step_lets_the_second_atom_answer_and_the_code_does_not(rho):
    one, code = demo("coding_vs_forward").explaining_away(rho, lam=0.2)
    np.testing.assert_allclose(one, [0.8, max(rho - 0.2, 0)], atol=ROUNDING)
    np.testing.assert_allclose(code, [0.8, 0], atol=1e-5)  # tol = 1e-12 of the energy: its root


def test_one_step_overshoots_and_the_calibrated_step_never_does(run, measured):
    found, printed = measured, run("coding_vs_forward")[1]
    coherence, bound = map(float, re.search(r"coherence (\S+), L = (\S+)", printed).groups())
    assert coherence > 0 and bound > 5
    assert (found["one step"]["energy"] > 1).all()
    assert found["one step"]["energy"].mean() > 5
    assert (found["calibrated"]["energy"] <= 1).all()
    assert (found["calibrated"]["energy"] <= found["one step"]["energy"]).all()


def test_more_steps_close_the_gap_of_the_demo(measured):
    found = measured
    dial = ("one step", "3 steps", "10 steps", "30 steps", "100 steps", "exact")
    gaps = [found[name]["gap"].mean() for name in dial]
    energies = [found[name]["energy"].mean() for name in dial]
    assert gaps == sorted(gaps, reverse=True) and gaps[0] > 0.5 and gaps[-1] <= 1e-9
    assert energies == sorted(energies, reverse=True)


def test_no_reconstruction_is_farther_from_the_codes_than_certified(measured):
    found = measured
    reference = found["exact"]["bound"]  # how well the exact reconstruction itself is known
    for name, numbers in found.items():
        assert (numbers["distance"] <= numbers["bound"] + reference).all(), name
        assert name == "exact" or numbers["distance"].min() > 0
    assert found["calibrated"]["bound"].mean() < 3 * found["calibrated"]["distance"].mean()


# -- activations ----------------------------------------------------------------------------
def test_the_demo_of_activations_finds_the_dead_zones_the_theory_names(run):
    found = run("activations")[0]
    assert len(found) == 12
    assert all(numbers["excess"] <= 1e-10 for numbers in found.values())
    assert {key for key, n in found.items() if n["dead"]} == {
        "laplace", "exponential", "elastic_net", "l0", "bernoulli_exponential", "log_sum_jump",
        "scad",
    }  # fmt: skip
    for key, numbers in found.items():
        assert numbers["is_sparse"] == (numbers["dead"] is not None), key


def test_the_readme_says_of_its_figure_what_the_demo_computes(measured):
    words = ["eight", "nine", "ten", "eleven", "twelve"]
    said = words[round(measured["one step"]["energy"].mean()) - 8]
    text = (FOLDER.parent / "README.md").read_text()
    assert f"one step has {said} times the energy of no code at all" in text
