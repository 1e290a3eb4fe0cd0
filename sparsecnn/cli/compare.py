"""``sparsecnn compare``: how far the forward transform is from the code."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
import warnings

from .arguments import (
    EXIT_NOT_CONVERGED,
    EXIT_OK,
    add_common,
    at_least,
    check_out,
    noise_levels,
    numbers,
    positive,
    rate,
    source,
)
from .progress import Progress

_SWEPT = 32  # images of the coherence sweep
_PRIORS = {"exponential": "Exponential", "laplace": "Laplace"}
_DATA_HELP = (
    "digits, images (scikit-learn's photographs), or a path: IDX files such as MNIST's, npz, npy, "
    "or a folder of pictures (default digits)"
)
_READING = (
    ("--data", {"type": source, "default": "digits", "metavar": "SOURCE"}, _DATA_HELP),
    ("--images", {"metavar": "KEY"}, "the array of images in an npz (default: x, images, ..)"),
    ("--labels", {"metavar": "KEY"}, "the array of their labels (default: y, labels, ..)"),
    (
        "--image-shape",
        {"type": numbers(int), "metavar": "H,W"},
        "of the rows of an array (default: square)",
    ),
    (
        "--scale",
        {"type": positive, "metavar": "X"},
        "what all pixels are divided by (default: 1, 255, 4095 or 65535 if the largest pixel takes "
        "a quarter of it, else the largest)",
    ),
)


def add_compare(commands):
    """Declare the command."""
    parser = commands.add_parser(
        "compare",
        help="how far a CNN's forward transform is from the sparse code it approximates",
        description=(
            "Learn a convolutional hierarchy on images, code held-out images with one step (the "
            "CNN layer), the calibrated step, 3 and 10 steps and exactly, train a logistic readout "
            "on each, print one table and write one self-contained HTML page."
        ),
    )
    count = {"type": at_least(1), "metavar": "N"}
    many = {**count, "type": at_least(8)}
    levels = {"type": numbers(int), "metavar": "N,N"}
    paddings, priors = ("valid", "same", "circular"), sorted(_PRIORS)
    for flag, settings, text in (
        *_READING,
        ("--atoms", levels, "filters of each level (default: from the image size)"),
        ("--kernel", levels, "kernel size of each level (default: from the image size)"),
        ("--stride", levels, "stride of each level (default: from the image size)"),
        ("--padding", {"default": "valid", "choices": paddings}, "at every level"),
        (
            "--prior",
            {"type": _prior_name, "default": "exponential", "metavar": "NAME"},
            f"of every level: {', '.join(priors)}, a row of the atlas, or a penalty such as "
            '"lam*log(1 + abs(z)/eps)" (default exponential)',
        ),
        ("--lam", {"type": rate, "metavar": "X"}, "sparsity weight (default: from the pixels)"),
        ("--epochs", {**count, "default": 8}, "passes over the images while learning (default 8)"),
        ("--learn", {**many, "default": 4000}, "images the filters learn from, at most (4000)"),
        ("--train", many, "images the readouts are trained on, at most (default: all)"),
        ("--test", {**count, "type": at_least(2)}, "held-out images, at most (default: all)"),
        ("--limit", many, "images in every stage, at most (default: as the other options say)"),
        ("--noise", {"type": noise_levels, "metavar": "X,X"}, "noise levels (default 0.1,0.2)"),
    ):
        parser.add_argument(flag, help=text, **settings)
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="do not name the stages on stderr"
    )
    add_common(parser, out="compare.html")
    parser.set_defaults(run=_run_compare)


def _run_compare(arguments):
    from .. import comparison

    started = time.perf_counter()
    check_out(arguments.out)
    _apply_limit(arguments)
    with Progress("compare", "reading images", quiet=arguments.json or arguments.quiet) as progress:
        data = _data(arguments)
        plan = _plan(data, arguments)
        hierarchy = _learned_hierarchy(data, plan, arguments, progress)
        test, labels, readout = _held_out(data, arguments)
        result = comparison.compare(
            hierarchy,
            x=test,
            y=labels,
            random_state=arguments.seed,
            readout=readout,
            noise=(0.0, *(arguments.noise or (0.1, 0.2))),
            progress=progress.stage,
        )
        _refuse_blank(result)
        first = hierarchy.levels[0]
        sweep = comparison.coherence_sweep(
            test,
            first.dictionary,
            first.prior,
            n_samples=min(_SWEPT, arguments.limit or _SWEPT),
            random_state=arguments.seed,
            progress=lambda _, k, n: progress.stage("error against coherence", k, n),
        )
        seconds = time.perf_counter() - started
        meta = _meta(data, test, readout, plan, arguments, seconds)
        result = dataclasses.replace(result, meta=meta)
        progress.stage(f"writing {arguments.out}")
        from ..report import write_report

        write_report(result, arguments.out, sweep=sweep)
    _print_comparison(result, sweep, arguments)
    exact = [row for row in result.rows if row.solver == result.reference]
    return EXIT_OK if all(row.converged == 1 for row in exact) else EXIT_NOT_CONVERGED


def _apply_limit(arguments):
    """``--limit`` bounds the images of each stage."""
    if arguments.limit is not None:
        for stage in ("learn", "train", "test"):
            said = getattr(arguments, stage)
            setattr(arguments, stage, min(said or arguments.limit, arguments.limit))


def _data(arguments):
    from .. import datasets

    return datasets.load(
        arguments.data,
        random_state=arguments.seed,
        scale=arguments.scale,
        images=arguments.images,
        labels=arguments.labels,
        image_shape=arguments.image_shape,
    )


def _held_out(data, arguments):
    """The images to compare on, their labels, and what the readouts are trained on."""
    test, labels, readout = data.test[: arguments.test], data.test_labels, None
    if labels is not None:
        labels = labels[: arguments.test]
        readout = data.train[: arguments.train], data.train_labels[: arguments.train]
    return test, labels, readout


def _refuse_blank(result):
    """Refuse a page on codes that are all 0, of which every solver says the same."""
    blank = [r.level for r in result.rows if r.solver == result.reference and r.density == 0]
    if blank:
        from ..validation import InputError

        raise InputError(
            f"every code of level {blank[0]} is 0 under {result.levels[blank[0] - 1].prior}; "
            "expected a weight below what the images project on some atom. Lower --lam, or --scale "
            "if you stated it."
        )


def _print_comparison(result, sweep, arguments):
    if arguments.json:
        print(json.dumps({**result.to_dict(), "sweep": sweep.to_dict()}, indent=2, allow_nan=False))
        return
    print(_heading(result.meta))
    print(result.summary())
    print(
        f"report: {arguments.out}   {result.meta['seconds']:.0f} s, peak memory "
        f"{result.meta['peak_memory_mib'] or float('nan'):.0f} MiB"
    )


def _plan(data, arguments):
    """Sizes of the two levels: stated, or from the image size."""
    height, width = data.train.shape[2:]
    small = min(height, width) < 16
    atoms = arguments.atoms or ((12, 32) if small else (16, 32))
    kernel = arguments.kernel or ((4, 2) if small else (6, 4))[: len(atoms)]
    stride = arguments.stride or ((2, 1) if small else (3, 2))[: len(atoms)]
    lengths = {"--atoms": len(atoms), "--kernel": len(kernel), "--stride": len(stride)}
    if len(set(lengths.values())) > 1:
        from ..validation import InputError

        said = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise InputError(f"the levels do not agree: {said}; expected one number per level in each.")
    lam = arguments.lam
    if lam is None:
        lam = round(0.1 * max(1.0, float(abs(data.train).max()) / 2), 3)
    for name, first, what in (("kernel", kernel[0], "filters"), ("stride", stride[0], "steps")):
        if first > min(height, width):
            from ..validation import InputError

            raise InputError(
                f"--{name} starts with {first}, but the images are {height} x {width}; expected "
                f"{what} that fit. Use a smaller {name}."
            )
    prior = _prior(arguments.prior, lam, arguments.lam is not None)
    return {"atoms": atoms, "kernel": kernel, "stride": stride, "prior": prior}


def _learned_hierarchy(data, plan, arguments, progress):
    from ..estimators import HierarchicalSparseCoder

    coder = HierarchicalSparseCoder(
        n_atoms=plan["atoms"],
        kernel_size=plan["kernel"],
        stride=plan["stride"],
        padding=arguments.padding,
        prior=plan["prior"],
        n_epochs=arguments.epochs,
        init="data",
        tol=1e-2,  # of the codes that the next level learns from
        random_state=arguments.seed,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*learning was interrupted")  # said by main
        coder.set_callbacks(progress.callback()).fit(data.train[: arguments.learn])
    if coder.interrupted_:  # a library user keeps what was learned; a command that is stopped stops
        raise KeyboardInterrupt
    return coder.hierarchy_


def _prior_name(text):
    """Argparse type: a name that is known, or a formula (which is read later)."""
    if text in _PRIORS or not text.isidentifier():
        return text
    from ..derivation.rows import SCALAR

    known = [*_PRIORS, *(row[0] for row in SCALAR)]
    if text not in known:
        from ..validation import did_you_mean

        choices = f"invalid choice: {text!r} (of {', '.join(known)})."
        raise argparse.ArgumentTypeError(choices + did_you_mean(text, known))
    return text


def _prior(text, lam, stated=False):
    """The prior of a name or a formula; ``lam`` goes where it has a parameter of that name.

    Raises
    ------
    InputError
        If a weight was stated that this prior does not have.
    """
    import sparsecnn

    if text in _PRIORS:
        return getattr(sparsecnn, _PRIORS[text])(lam)
    from ..derivation.named import as_prior

    prior = as_prior(text)
    if "lam" in prior.parameters:
        return dataclasses.replace(prior, lam=lam)
    if stated:
        from ..validation import InputError

        raise InputError(
            f"--lam is {lam:g}, but {prior!r} has no parameter lam; expected a prior that has one. "
            "Leave --lam away, or write the weight into the formula."
        )
    return prior


def _meta(data, test, readout, plan, arguments, seconds):
    return {
        "data": data.name,
        "read": "; ".join(data.notes),
        "image_shape": list(data.train.shape[1:]),
        "learned_on": min(len(data.train), arguments.learn),
        "readout_trained_on": len(readout[0]) if readout else 0,
        "compared_on": len(test),
        **{name: list(v) if isinstance(v, tuple) else v for name, v in plan.items()},
        "prior": repr(plan["prior"]),
        "padding": arguments.padding,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "seconds": round(seconds, 1),
        "peak_memory_mib": _peak_memory(),
        "command": "sparsecnn " + " ".join(_quoted(sys.argv[1:]))
        if len(sys.argv) > 1
        else "sparsecnn compare",
    }


def _peak_memory():
    """Largest resident memory of this process in MiB, or None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _quoted(words):
    import shlex

    return [shlex.quote(word) for word in words]


def _heading(meta):
    channels, height, width = meta["image_shape"]
    readout = (
        f", readouts trained on {meta['readout_trained_on']:,}"
        if meta["readout_trained_on"]
        else ""
    )
    return (
        f"{meta['data']}: images {height}x{width}x{channels}, filters learned on "
        f"{meta['learned_on']:,}{readout}, "
        f"compared on {meta['compared_on']:,} held out\n"
        f"read: {meta['read']}\n"
        "gap: mean relative duality gap; bound: sqrt(2 (E(z) - its lower bound)) certifies the "
        "distance of the reconstructions, over ||x||\n"
    )
