"""Ctrl-C in a long count leaves bounds that hold, and what was finished."""

from __future__ import annotations

import itertools
import json

import joblib
import numpy as np
import pytest
from tolerances import AREAS

import sparsecnn as sc
from sparsecnn import cli
from sparsecnn.regions import (
    arrangement,
    cells,
    counting,
    enumeration,
    orbits,
    per_layer,
    sampling,
    slices,
)


def stop_after(monkeypatch, owner, name, calls):
    """Let ``owner.name`` work so many times, then act as one Ctrl-C would."""
    true, count = getattr(owner, name), itertools.count()

    def interrupted(*args, **options):
        if next(count) == calls:
            raise KeyboardInterrupt
        return true(*args, **options)

    monkeypatch.setattr(owner, name, interrupted)


def assert_bounds(result, exact):
    assert result.exact is None
    assert 1 <= result.lower < exact <= result.upper
    assert "interrupted" in " ".join(result.assumptions)


def two_layers(rng):
    return [sc.Linear(rng.standard_normal((6, 3)), rng.standard_normal(6)), sc.Activation("relu"),
            sc.Linear(rng.standard_normal((5, 6)), rng.standard_normal(5)),
            sc.Activation("relu")]  # fmt: skip


@pytest.mark.parametrize("calls", [0, 3, 8])
def test_a_deep_count_keeps_the_cells_it_has(monkeypatch, calls):
    network = two_layers(np.random.default_rng(0))
    exact = sc.regions.count(network, (3,)).exact
    stop_after(monkeypatch, cells, "cut", calls)
    result = sc.regions.count(network, (3,))
    assert_bounds(result, exact)
    assert result.lower > calls  # every cut of this network makes one cell at least


def test_cells_that_wait_count_as_well(monkeypatch):
    network = two_layers(np.random.default_rng(0))
    exact = sc.regions.count(network, (3,)).exact
    monkeypatch.setattr(enumeration, "BATCH", 4)
    stop_after(monkeypatch, cells, "cut", 40)
    assert_bounds(sc.regions.count(network, (3,)), exact)
    stop_after(monkeypatch, cells, "cut", 0)
    with pytest.raises(sc.regions.Interrupted) as stop:
        list(sc.regions.linear_regions(network, (3,)))
    assert isinstance(stop.value, KeyboardInterrupt)


def test_a_reverse_search_keeps_the_cells_it_visited(monkeypatch):
    rng = np.random.default_rng(1)
    network = (rng.standard_normal((9, 4)), rng.standard_normal(9))
    exact = sc.regions.count(network, (4,)).exact
    stop_after(monkeypatch, cells, "cut", 6)
    assert_bounds(sc.regions.count(network, (4,), cells=sc.regions.search_regions), exact)


@pytest.mark.parametrize("place", ["_restrict", "rational_counts"])
def test_a_count_of_given_weights_keeps_the_sets_it_found(monkeypatch, place):
    rng = np.random.default_rng(2)
    network = (rng.standard_normal((3, 1, 2, 2)), rng.standard_normal(3))
    exact = sc.regions.count(network, (1, 3, 3)).exact
    if place == "_restrict":
        stop_after(monkeypatch, arrangement, "_restrict", 50)
    else:  # the prime field's turn
        from sparsecnn.regions import counting

        monkeypatch.setattr(counting, "LARGEST_RATIONAL", 10)
        stop_after(monkeypatch, arrangement.modular, "subtract", 12)
    assert_bounds(sc.regions.count(network, (1, 3, 3)), exact)


def test_an_architecture_keeps_formula_bounds_and_sets_found(monkeypatch):
    exact = sc.regions.architecture((1, 3, 3), 3, 2)
    lower = sc.regions.layer((1, 3, 3), 3, 2).lower()
    stop_after(monkeypatch, arrangement.modular, "subtract", 60)
    result = sc.regions.architecture((1, 3, 3), 3, 2)
    assert_bounds(result, exact.exact)
    assert result.formula == result.upper == exact.formula
    assert result.lower > lower


def test_a_search_of_orbits_keeps_the_sets_its_orbits_stand_for(monkeypatch):
    exact = sc.regions.architecture((1, 3, 3), 9, 2)
    stop_after(monkeypatch, orbits.modular, "subtract", 40)
    assert_bounds(sc.regions.architecture((1, 3, 3), 9, 2), exact.exact)


def test_parts_of_an_image_that_share_no_pixel_multiply_what_was_found(monkeypatch):
    options = dict(stride=(2, 4), breakpoints=2)
    exact = sc.regions.architecture((1, 4, 6), 2, (4, 2), **options)
    shared = sc.regions.LayerArchitecture._shared_counts
    monkeypatch.setattr(
        sc.regions.LayerArchitecture,
        "_shared_counts",
        lambda *args: (_ for _ in ()).throw(sc.regions.Interrupted(shared(*args)[:2])),
    )
    result = sc.regions.architecture((1, 4, 6), 2, (4, 2), **options)
    assert result.exact is None and result.lower <= exact.exact <= result.upper


def test_processes_keep_the_shares_that_came_back(monkeypatch):
    network = two_layers(np.random.default_rng(3))
    exact = sc.regions.count(network, (3,)).exact

    class Two:
        """A pool whose third answer never comes."""

        def __init__(self, **options):
            assert options["return_as"] == "generator"

        def __call__(self, tasks):
            for function, args, options in itertools.islice(tasks, 2):
                yield function(*args, **options)
            raise KeyboardInterrupt

    monkeypatch.setattr(joblib, "Parallel", Two)
    assert_bounds(sc.regions.count(network, (3,), n_jobs=2), exact)


def test_a_slice_keeps_the_polygons_it_finished(monkeypatch):
    rng = np.random.default_rng(4)
    network = [sc.Conv2D(rng.standard_normal((4, 1, 3, 3)), rng.standard_normal(4), padding=1),
               sc.Activation("relu"), sc.MaxPool(2), sc.Flatten(),
               sc.Linear(rng.standard_normal((20, 64))), sc.Activation("relu")]  # fmt: skip
    points = rng.standard_normal((3, 1, 8, 8))
    whole = sc.regions.plane_slice(network, points)
    monkeypatch.setattr(slices, "CHUNK", 50)
    stop_after(monkeypatch, slices, "_finish", 4)
    part = sc.regions.plane_slice(network, points)
    assert whole.complete and not part.complete
    assert 0 < part.n_regions < whole.n_regions
    assert np.isin(part.keys, whole.keys).all()
    place = {key: k for k, key in enumerate(whole.keys)}  # the same pieces, not parts of them
    same = whole.areas[[place[key] for key in part.keys]]
    assert np.abs(part.areas - same).max() < AREAS
    assert "interrupted" in part.summary() and part.to_dict()["complete"] is False


def test_a_slice_without_a_polygon_yet_is_only_interrupted(monkeypatch):
    stop_after(monkeypatch, slices, "_finish", 0)
    with pytest.raises(KeyboardInterrupt):
        sc.regions.plane_slice(([[1.0, 2.0]], [0.0]), (np.zeros(2), np.eye(2)))


def test_a_sample_keeps_the_inputs_it_has_seen(monkeypatch):
    monkeypatch.setattr(sampling, "BATCH", 100)
    stop_after(monkeypatch, sampling, "pattern_keys", 3)
    network = sc.regions.paper_network(3, random_state=0)
    assert sc.regions.sample(network, (1, 1, 3), 1000, random_state=0).n_samples == 300
    stop_after(monkeypatch, sampling, "pattern_keys", 0)
    with pytest.raises(KeyboardInterrupt):
        sc.regions.sample(network, (1, 1, 3), 1000, random_state=0)


@pytest.mark.parametrize(
    "layers", [(), ("--input", "1,1,4", "--filters", "2,3", "--kernel", "1x2")]
)
def test_the_command_prints_the_bounds_so_far_and_exits_130(monkeypatch, capsys, layers):
    owner, name = (cells, "cut") if layers else (arrangement.modular, "subtract")
    stop_after(monkeypatch, owner, name, 3)
    code = cli.main(["regions", *layers, "--samples", "10"])
    out = capsys.readouterr().out
    assert code == 130
    assert "lower " in out and "upper " in out and "exact  " not in out
    assert "interrupted" in out and "sampled" not in out


def test_probes_before_a_count_keep_the_regions_they_met(monkeypatch):
    network = two_layers(np.random.default_rng(0))
    exact = sc.regions.count(network, (3,)).exact
    for calls in (0, 1):
        stop_after(monkeypatch, counting, "pattern_keys", calls)
        result = sc.regions.count(network, (3,), limit=2000)
        assert_bounds(result, exact)
        assert (result.lower > 1) == (calls > 0)
        monkeypatch.undo()


def test_an_architecture_whose_formula_is_interrupted_has_bounds(monkeypatch):
    exact = sc.regions.architecture((1, 3, 3), 3, 2).exact
    stop_after(monkeypatch, sc.regions.LayerArchitecture, "formula", 0)
    result = sc.regions.architecture((1, 3, 3), 3, 2)
    assert_bounds(result, exact)
    assert result.formula is None


@pytest.mark.share(2)
@pytest.mark.parametrize("owner_name", [("architecture", 1), ("sample", 1), ("count", 1),
                                        ("sample", 2), ("count", 2)])  # fmt: skip
def test_a_table_keeps_the_layers_it_counted(monkeypatch, owner_name):
    name, calls = owner_name
    network, options = two_layers(np.random.default_rng(0)), dict(n_samples=50, random_state=0)
    whole = sc.regions.by_layer(network, (3,), **options)
    stop_after(monkeypatch, per_layer, name, calls)
    part = sc.regions.by_layer(network, (3,), **options)
    finished = calls
    assert len(part.rows) == len(whole.rows) == 3 and part.rows[-1].name == "network"
    for row, true in zip(part.rows[:finished], whole.rows, strict=False):
        assert row.given == true.given
    for row, true in zip(part.rows[finished:], whole.rows[finished:], strict=True):
        assert_bounds(row.given, true.given.exact)
    assert "interrupted" in part.summary()


def test_the_command_prints_the_smallest_bound_and_no_exact_network(monkeypatch, capsys):
    shape = ("--input", "1,1,4", "--filters", "2,3", "--kernel", "1x2")
    layers = [{"n_filters": n, "kernel_size": (1, 2)} for n in (2, 3)]
    bounds = sc.regions.conv_bounds((1, 1, 4), layers)
    least = min(v for k, v in bounds.items() if "upper" in k and v is not None)
    stop_after(monkeypatch, cells, "cut", 3)
    assert cli.main(["regions", *shape, "--json"]) == 130
    told = json.loads(capsys.readouterr().out)
    assert told["exact"] is None and 1 <= told["lower"] <= told["upper"] <= least
    assert not any("exact: one network" in text for text in told["assumptions"])
    stop_after(monkeypatch, sc.regions, "conv_bounds", 0)
    assert cli.main(["regions", *shape, "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["upper"] >= 1


def test_the_command_for_a_saved_network_prints_bounds_and_exits_130(monkeypatch, capsys, tmp_path):
    path = str(tmp_path / "two.npz")
    sc.save(sc.Network(two_layers(np.random.default_rng(0))), path)
    stop_after(monkeypatch, per_layer, "count", 1)
    assert cli.main(["regions", path, "--input", "3", "--samples", "50"]) == 130
    assert "interrupted" in capsys.readouterr().out
