"""``sparsecnn regions``: linear regions of an architecture, or of a saved network."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import sys

from .arguments import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    add_common,
    at_least,
    check_picture,
    numbers,
    source,
)
from .saved_regions import run_saved


def add_regions(commands):
    """Declare the command."""
    parser = commands.add_parser(
        "regions",
        help="linear regions of a convolutional network: formula, exact count, bounds and sample",
        description=(
            "Count the linear regions of convolutional ReLU layers. One layer: the published "
            "formula, the exact count at generic weights, bounds, and the patterns that random "
            "inputs meet. Several layers (lists such as --filters 2,3 --kernel 1x2,1x2): bounds, "
            "and count and sample of one network with random weights. A saved MODEL: the same for "
            "each of its layers and for the network with its weights."
        ),
    )
    parser.add_argument(
        "model", nargs="?", type=source, metavar="MODEL", help="file written by sparsecnn.save"
    )
    lists = {"type": numbers(at_least(1)), "metavar": "N,N"}
    for flag, settings, text in (
        ("--input", lists, "channels,height,width (default 1,3,3, or what the model knows)"),
        ("--filters", {**lists, "default": (2,)}, "filters of each layer (default 2)"),
        ("--kernel", {"type": numbers(size), "default": ((2, 2),), "metavar": "HxW,HxW"},
         "filter size of each layer (default 2x2)"),
        ("--stride", {**lists, "default": (1,)}, "stride of each layer (default 1)"),
        ("--padding", {"type": numbers(at_least(0)), "default": (0,), "metavar": "N,N"},
         "zeros around each layer's input (default 0)"),
        ("--dilation", {**lists, "default": (1,)}, "step between a filter's taps (default 1)"),
        ("--samples", {"type": at_least(1), "default": 20_000, "metavar": "N"},
         "random inputs (default 20000)"),
        ("--points", {"metavar": "FILE"}, "three inputs, npy or npz: cut their triangle in MODEL"),
    ):  # fmt: skip
        parser.add_argument(flag, help=text, **settings)
    add_common(parser, out=None, writes="picture of a plane to write: png, svg or pdf")
    parser.set_defaults(run=_run_regions, default_of=parser.get_default)


def size(text):
    """A filter size: ``3`` or ``1x2``."""
    parts = tuple(at_least(1)(part) for part in text.split("x"))
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no filter size such as 3 or 1x2")
    return parts * 2 if len(parts) == 1 else parts


def _run_regions(arguments):
    if arguments.model is not None:
        return run_saved(arguments)
    if arguments.points is not None:
        from ..validation import InputError

        raise InputError("--points cuts a plane through a saved network; expected a MODEL too.")
    import numpy as np

    from .. import regions

    arguments.input = arguments.input or (1, 3, 3)
    if arguments.out:
        check_picture(arguments.out)
    sys.set_int_max_str_digits(0)  # counts of long signals have thousands of digits
    layers, rng = _layers_of(arguments), np.random.default_rng(arguments.seed)
    network = regions.random_network(arguments.input, layers, random_state=rng)
    if len(layers) == 1:
        result = regions.architecture(arguments.input, **layers[0])
    else:
        result = _count_within_bounds(network, arguments.input, layers)
    sample = None
    with contextlib.suppress(KeyboardInterrupt):  # the count is there all the same
        if not result.interrupted:
            sample = regions.sample(network, arguments.input, arguments.samples, random_state=rng)
    if sample is None or sample.n_samples < arguments.samples:
        print(json.dumps(result.to_dict(), indent=2) if arguments.json else result.summary())
        return EXIT_INTERRUPTED
    result = dataclasses.replace(result, sampled=sample.sampled)
    if arguments.json:
        report = {"input": list(arguments.input), "layers": layers, **result.to_dict()}
        print(json.dumps({**report, "sample": sample.to_dict()}, indent=2))
    else:
        print(result.summary())
        print(f"sample   {sample.summary()}")
    if arguments.out:
        from .. import plots

        corners = rng.standard_normal((3, *arguments.input))
        cut = regions.plane_slice(network, corners, (-4, 4))
        plots.plot_regions(cut).figure.savefig(arguments.out)
        if not arguments.json:
            print(f"a plane through the network of random weights: {arguments.out}")
    return EXIT_OK


def _layers_of(arguments):
    """One dictionary a layer; a single kernel, stride, padding or dilation serves all layers."""
    n, names = len(arguments.filters), ("kernel", "stride", "padding", "dilation")
    said = {f"--{name}": getattr(arguments, name) for name in names}
    wrong = [f"{flag} has {len(v)}" for flag, v in said.items() if len(v) not in (1, n)]
    if wrong or len(arguments.input) != 3:
        from ..validation import InputError

        raise InputError(
            f"--input needs channels,height,width and has {len(arguments.input)} numbers; "
            f"--filters has {n} layers{''.join(', ' + w for w in wrong)}; expected one kernel, "
            "stride, padding and dilation for each layer, or one for all."
        )
    columns = [v * n if len(v) == 1 else v for v in said.values()]
    keys = ("n_filters", "kernel_size", "stride", "padding", "dilation")
    rows = zip(arguments.filters, *columns, strict=True)
    return [dict(zip(keys, row, strict=True)) for row in rows]


def _count_within_bounds(network, shape, layers):
    """The count of one network, or why there is none, with bounds on the architecture's maximum."""
    from .. import regions
    from ..regions.counting import closed_upper
    from ..regions.piecewise import stages
    from ..regions.result import STOPPED

    try:
        bounds = regions.conv_bounds(shape, layers)
    except KeyboardInterrupt:
        upper = closed_upper(stages(network, shape), math.prod(shape))
        return regions.RegionCount(None, None, 1, upper, None, "a closed bound above", (STOPPED,))
    upper = min(v for name, v in bounds.items() if "upper" in name and v is not None)
    lower = bounds["lower"] or 1  # with padding no construction is known
    within = f"the maximum over weights lies in [{lower:,}, {upper:,}]"
    try:
        counted = regions.count(network, shape, limit=500_000)
    except regions.TooLarge as reason:
        return regions.RegionCount(
            None, None, lower, upper, None, "bounds on the maximum over weights",
            (f"exact count left out: {reason}",),
        )  # fmt: skip
    if counted.interrupted:
        said = (*counted.assumptions, f"lower: one network with random weights; {within}")
        upper = min(upper, counted.upper)
        return dataclasses.replace(counted, upper=upper, assumptions=said)
    said = (*counted.assumptions, f"exact: one network with random weights; {within}")
    return dataclasses.replace(counted, assumptions=said)
