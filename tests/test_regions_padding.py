"""Padding and dilation from the command line to the count, and what the demo claims."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import numpy as np
import pytest
import scipy.signal
from tolerances import ROUNDING

import sparsecnn as sc
from sparsecnn import cli

CASES = [
    ((1, 2, 2), dict(n_filters=1, kernel_size=2, padding=1), 223),
    ((1, 5, 5), dict(n_filters=2, kernel_size=2, stride=2, dilation=2), 255),
    ((1, 1, 5), dict(n_filters=2, kernel_size=(1, 2), dilation=(1, 3)), 16),
]


@pytest.mark.parametrize(("shape", "layer", "exact"), CASES)
def test_a_random_padded_or_dilated_layer_has_its_architectures_count(shape, layer, exact):
    network = sc.regions.random_network(shape, [layer], random_state=0)
    assert sc.regions.count(network, shape).exact == exact
    assert sc.regions.architecture(shape, **layer).exact == exact


def test_a_dilated_filter_looks_at_every_third_pixel():
    layer = dict(n_filters=1, kernel_size=(1, 3), dilation=(1, 3))
    conv = sc.regions.random_network((1, 1, 12), [layer], random_state=1).layers[0]
    taps = conv.filters[0, 0, 0]
    assert np.flatnonzero(taps).tolist() == [0, 3, 6]
    x = np.random.default_rng(2).standard_normal(12)
    plain = scipy.signal.correlate(x, taps, "valid") + conv.bias[0]
    assert np.abs(conv.forward(x.reshape(1, 1, 1, 12))[0].ravel() - plain).max() < ROUNDING


@pytest.mark.parametrize(
    ("arguments", "exact", "formula"),
    [
        (["--input", "1,2,2", "--filters", "1", "--padding", "1"], 223, 224),
        (["--input", "1,5,5", "--stride", "2", "--dilation", "2"], 255, 256),
    ],
)
def test_the_command_knows_padding_and_dilation(capsys, arguments, exact, formula):
    assert cli.main(["regions", *arguments, "--json", "--samples", "500"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["exact"], result["formula"]) == (exact, formula)
    assert result["sampled"] <= exact


def test_the_command_bounds_padded_layers_without_a_construction(capsys):
    arguments = ["--input", "1,1,2", "--filters", "2,1", "--kernel", "1x2,1x3", "--padding", "1,0"]
    assert cli.main(["regions", *arguments, "--samples", "100"]) == 0
    assert "lies in [1, " in capsys.readouterr().out
    assert cli.main(["regions", "--dilation", "1,2"]) == 1
    assert "--dilation has 2" in capsys.readouterr().err


def test_more_breakpoints_raise_the_bounds_of_later_layers():
    layers = [dict(n_filters=2, kernel_size=(1, 2), breakpoints=p) for p in (1, 2)]
    one = sc.regions.conv_bounds((1, 1, 4), [layers[0], layers[0]])
    two = sc.regions.conv_bounds((1, 1, 4), [layers[0], layers[1]])
    assert two["upper"] > one["upper"]
    assert two["receptive_field_upper"] <= two["upper"]
    conv = sc.regions.random_network((1, 1, 4), [layers[0]] * 2, random_state=3).layers
    network = [conv[0], sc.Activation("relu"), conv[2], sc.Activation("hardtanh")]
    exact = sc.regions.count(network, (1, 1, 4)).exact
    assert one["lower"] < exact <= two["receptive_field_upper"]


def test_a_window_too_wide_for_the_sweep_is_left_to_the_general_bound():
    bounds = sc.regions.conv_bounds(
        (1, 1, 4), [dict(n_filters=40_000, kernel_size=(1, 2)), dict(n_filters=1, kernel_size=1)]
    )
    assert bounds["receptive_field_upper"] is None
    assert 0 < bounds["lower"] < bounds["upper"]


def demo():
    path = pathlib.Path(__file__).parents[1] / "demos" / "regions.py"
    spec = importlib.util.spec_from_file_location("demo_regions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_compares_layers_of_as_many_parameters():
    found, growth = demo().per_parameter()
    shared, local, dense = (
        dict(found[name]) for name in ("convolution", "locally connected", "dense")
    )
    assert shared[20] > local[20] > dense[20]  # at twenty parameters
    assert shared[10] == dense[80] - 1 == 255  # eight neurons each: here the dense layer has more
    assert growth["coefficient"] < growth["dense_coefficient"]
    assert found["convolution, upper bound"][0][1] > shared[25]


def test_the_demo_cuts_a_trained_network_with_its_boundary():
    cut, accuracy = demo().plane()
    assert accuracy > 0.9
    assert len(cut.decision_boundary) > 0 and len(set(cut.labels)) >= 3
