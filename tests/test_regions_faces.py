"""Regions on the command line, as a picture, and in the demo."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import numpy as np
import pytest

import sparsecnn as sc
from sparsecnn import cli, plots

ROOT = pathlib.Path(__file__).parents[1]


def run(capsys, *arguments):
    try:
        code = cli.main(["regions", *arguments])
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def test_the_command_prints_formula_count_and_sample_side_by_side(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    for text in ("exact    255", "formula  256", "sampled ", "coverage"):
        assert text in out


def test_the_command_speaks_json(capsys):
    code, out, _ = run(capsys, "--json", "--input", "1,2,2", "--filters", "3", "--kernel", "1x2")
    result = json.loads(out)
    assert code == 0
    assert (
        result["exact"] == result["formula"] == sc.regions.architecture((1, 2, 2), 3, (1, 2)).exact
    )
    assert result["sampled"] <= result["exact"]


def test_several_layers_get_bounds_and_the_count_of_one_network(capsys):
    code, out, _ = run(capsys, "--input", "1,1,4", "--filters", "2,3", "--kernel", "1x2")
    assert code == 0
    assert "[320, 3,135]" in out
    code, out, _ = run(
        capsys, "--input", "1,6,6", "--filters", "3,2", "--kernel", "2", "--samples", "10"
    )
    assert code == 0 and "exact count left out" in out and "exact    " not in out


def test_a_count_with_thousands_of_digits_is_printed(capsys):
    arguments = ["--input", "1,1,2200", "--filters", "64", "--kernel", "1x3", "--samples", "2"]
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and "e+" in out
    code, out, _ = run(capsys, *arguments, "--json")
    assert len(str(json.loads(out)["exact"])) > 4300


def test_the_command_draws_a_plane(capsys, tmp_path):
    path = tmp_path / "plane.png"
    code, out, _ = run(capsys, "--out", str(path))
    assert code == 0 and str(path) in out
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--kernel", "2,3"], 1, "expected one kernel"),
        (["--input", "3,3"], 1, "channels,height,width"),
        (["--kernel", "5"], 1, "kernel_size"),
        (["--kernel", "ax2"], 2, "not a"),
        (["--filters", "0"], 2, "below 1"),
        (["--out", "plane.html"], 1, "ends in .png"),
        (["--out", "plane"], 1, "ends in .png"),
        (["--out", "/no/such/folder/x.png"], 1, "--out"),
    ],
)
def test_bad_arguments_are_told_apart(capsys, arguments, code, words):
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert words in err


def test_the_picture_shows_every_region_and_the_boundary():
    rng = np.random.default_rng(1)
    network = sc.Network([
        sc.Linear(rng.normal(size=(6, 2)), rng.normal(size=6)), sc.Activation("relu"),
        sc.Linear(rng.normal(size=(3, 6)), rng.normal(size=3)),
    ])  # fmt: skip
    cut = sc.regions.plane_slice(network, (np.zeros(2), np.eye(2)), (-3, 3))
    ax = plots.plot_regions(cut)
    fills, _, lines = ax.collections
    assert len(fills.get_paths()) == cut.n_regions
    assert len(lines.get_segments()) == len(cut.decision_boundary) > 0
    assert ax.get_xlim() == (-3, 3)
    assert f"{cut.n_regions} linear regions" in ax.get_title(loc="left")
    hidden = sc.regions.plane_slice(network.layers[:2], (np.zeros(2), np.eye(2)), (-3, 3))
    assert len(plots.plot_regions(hidden).collections) == 2  # no classes, no boundary


def demo():
    spec = importlib.util.spec_from_file_location("demo_regions", ROOT / "demos" / "regions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_shows_what_sharing_loses():
    module = demo()
    counts = module.counts()
    assert counts["2x2 image, 1 filter 2x2, padded"] == (224, 223, 224)
    assert counts["3x3 image, 2 filters 2x2"] == (256, 255, 256)
    assert counts["1x3 signal, 3 filters 1x2"] == (40, 40, 40)
    assert all(formula == unshared >= shared for formula, shared, unshared in counts.values())
    shared, local = module.determinants()
    assert set(shared) == {0} and 0 not in local


def test_the_determinant_of_the_demo_is_that_of_the_edge_neurons():
    module = demo()
    taps = np.array([[3, 5, 7, 11]])
    geometry = sc.regions.layer((1, 2, 2), 1, 2, padding=1).geometry
    rows = geometry.normals(taps, 0)
    edges = [row for row in rows if np.count_nonzero(row) == 2]
    assert len(edges) == 4 and np.linalg.matrix_rank(np.array(edges)) == 3
    assert module.edge_determinant([[3, 5, 7, 11]] * 4) == 0


def test_samples_of_the_demo_never_exceed_the_count():
    for d, (met, exact) in demo().sampled().items():
        assert met <= exact == (d + 1) * (d * d + 1)
