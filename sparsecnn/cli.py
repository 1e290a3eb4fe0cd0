"""The command line: ``sparsecnn <command>``. The only place that prints.

Commands import what they need when they run, so that ``--help`` costs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import time
import warnings

EXIT_OK, EXIT_INPUT, EXIT_USAGE, EXIT_NOT_CONVERGED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


def main(argv=None):
    """Run one command; return the exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; default ``sys.argv[1:]``.

    Returns
    -------
    int
        0 ok, 1 bad input or failed check, 2 usage, 3 not converged, 130 interrupted.
    """
    arguments = _parser().parse_args(argv)
    if arguments.run is None:
        _parser().print_help()
        return EXIT_USAGE
    from .validation import InputError, InputTypeError

    try:
        with _warnings_as_lines(arguments.command):
            return arguments.run(arguments)
    except (InputError, InputTypeError, OSError) as error:
        print(f"sparsecnn {arguments.command}: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        print(f"\nsparsecnn {arguments.command}: interrupted, no file was written", file=sys.stderr)
        return EXIT_INTERRUPTED


@contextlib.contextmanager
def _warnings_as_lines(command):
    """Say each warning once, as one line without the source that raised it."""
    with warnings.catch_warnings(record=True) as caught:
        try:
            yield
        finally:
            for text in dict.fromkeys(" ".join(str(w.message).split()) for w in caught):
                print(f"sparsecnn {command}: warning: {text}", file=sys.stderr)


def _parser():
    from . import __version__

    parser = argparse.ArgumentParser(
        prog="sparsecnn",
        description="Sparse-coding models and the neural networks they imply.",
        epilog="sparsecnn COMMAND --help says more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"sparsecnn {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_compare(commands)
    _add_derive(commands)
    _add_explain(commands)
    _add_regions(commands)
    return parser


def _add_common(parser, out):
    parser.add_argument(
        "--out", default=out, metavar="FILE", help="page to write (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--seed", type=_at_least(0), default=0, metavar="N", help="random seed (default 0)"
    )


# -- compare --------------------------------------------------------------------------------
def _add_compare(commands):
    parser = commands.add_parser(
        "compare",
        help="how far a CNN's forward transform is from the sparse code it approximates",
        description=(
            "Learn a convolutional hierarchy on images, code held-out images with one step (the "
            "CNN layer), the calibrated step, 3 and 10 steps and exactly, train a logistic readout "
            "on each, print one table and write one self-contained HTML page."
        ),
    )
    count = {"type": _at_least(1), "metavar": "N"}
    many = {**count, "type": _at_least(8)}
    levels = {"type": _numbers(int), "metavar": "N,N"}
    paddings, priors = ("valid", "same", "circular"), sorted(_PRIORS)
    for flag, settings, text in (
        ("--data", {"type": _source, "default": "digits", "metavar": "SOURCE"}, _DATA_HELP),
        ("--atoms", levels, "filters of each level (default: from the image size)"),
        ("--kernel", levels, "kernel size of each level (default: from the image size)"),
        ("--stride", levels, "stride of each level (default: from the image size)"),
        ("--padding", {"default": "valid", "choices": paddings}, "at every level"),
        ("--prior", {"default": "exponential", "choices": priors}, "sparse prior of every level"),
        ("--lam", {"type": _rate, "metavar": "X"}, "sparsity weight (default: from the pixels)"),
        ("--epochs", {**count, "default": 8}, "passes over the images while learning (default 8)"),
        (
            "--learn",
            {**many, "default": 4000},
            "images the filters are learned on, at most (4000)",
        ),
        ("--train", many, "images the readouts are trained on, at most (default: all)"),
        ("--test", {**count, "type": _at_least(2)}, "held-out images, at most (default: all)"),
        ("--noise", {"type": _noise_levels, "metavar": "X,X"}, "noise levels (default 0.1,0.2)"),
    ):
        parser.add_argument(flag, help=text, **settings)
    _add_common(parser, out="compare.html")
    parser.set_defaults(run=_run_compare)


_PRIORS = {"exponential": "Exponential", "laplace": "Laplace"}
_DATA_HELP = (
    "digits, images (scikit-learn's photographs), or a path: IDX files such as MNIST's, npz, npy, "
    "or a folder of pictures (default digits)"
)


def _run_compare(arguments):
    from . import comparison, datasets

    started = time.perf_counter()
    _check_out(arguments.out)
    with _Progress(quiet=arguments.json) as progress:
        progress.stage("reading images", 0, 1)
        data = datasets.load(arguments.data, random_state=arguments.seed)
        plan = _plan(data, arguments)
        hierarchy = _learned_hierarchy(data, plan, arguments, progress)
        test, labels = data.test[: arguments.test], data.test_labels
        readout = None
        if labels is not None:
            labels = labels[: arguments.test]
            readout = data.train[: arguments.train], data.train_labels[: arguments.train]
        result = comparison.compare(
            hierarchy,
            x=test,
            y=labels,
            random_state=arguments.seed,
            readout=readout,
            noise=(0.0, *(arguments.noise or (0.1, 0.2))),
            progress=progress.stage,
        )
        progress.stage("error against coherence", 1, 1)
        first = hierarchy.levels[0]
        sweep = comparison.coherence_sweep(
            test, first.dictionary, first.prior, random_state=arguments.seed
        )
        seconds = time.perf_counter() - started
        meta = _meta(data, test, readout, plan, arguments, seconds)
        result = dataclasses.replace(result, meta=meta)
        progress.stage(f"writing {arguments.out}", 1, 1)
        from .report import write_report

        write_report(result, arguments.out, sweep=sweep)
    _print_comparison(result, sweep, arguments)
    exact = [row for row in result.rows if row.solver == result.reference]
    return EXIT_OK if all(row.converged == 1 for row in exact) else EXIT_NOT_CONVERGED


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
        from .validation import InputError

        said = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise InputError(f"the levels do not agree: {said}; expected one number per level in each.")
    lam = arguments.lam
    if lam is None:
        lam = round(0.1 * max(1.0, float(abs(data.train).max()) / 2), 3)
    for name, first, what in (("kernel", kernel[0], "filters"), ("stride", stride[0], "steps")):
        if first > min(height, width):
            from .validation import InputError

            raise InputError(
                f"--{name} starts with {first}, but the images are {height} x {width}; expected "
                f"{what} that fit. Use a smaller {name}."
            )
    return {"atoms": atoms, "kernel": kernel, "stride": stride, "lam": lam}


def _learned_hierarchy(data, plan, arguments, progress):
    import sparsecnn

    from .estimators import HierarchicalSparseCoder

    coder = HierarchicalSparseCoder(
        n_atoms=plan["atoms"],
        kernel_size=plan["kernel"],
        stride=plan["stride"],
        padding=arguments.padding,
        prior=getattr(sparsecnn, _PRIORS[arguments.prior])(plan["lam"]),
        n_epochs=arguments.epochs,
        init="data",
        tol=1e-3,  # of the codes that the next level learns from
        random_state=arguments.seed,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*learning was interrupted")  # said by main
        coder.set_callbacks(progress.callback()).fit(data.train[: arguments.learn])
    if coder.interrupted_:  # a library user keeps what was learned; a command that is stopped stops
        raise KeyboardInterrupt
    return coder.hierarchy_


def _meta(data, test, readout, plan, arguments, seconds):
    return {
        "data": data.name,
        "image_shape": list(data.train.shape[1:]),
        "learned_on": min(len(data.train), arguments.learn),
        "readout_trained_on": len(readout[0]) if readout else 0,
        "compared_on": len(test),
        "prior": arguments.prior,
        **{name: list(v) if isinstance(v, tuple) else v for name, v in plan.items()},
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
        "gap: relative duality gap; bound: sqrt(2 gap) certifies the distance of the "
        "reconstructions, over ||x||\n"
    )


# -- regions --------------------------------------------------------------------------------
def _add_regions(commands):
    parser = commands.add_parser(
        "regions",
        help="linear regions of a convolutional network: formula, exact count, bounds and sample",
        description=(
            "Count the linear regions of convolutional ReLU layers. One layer: the published "
            "formula, the exact count at generic weights, bounds, and the patterns that random "
            "inputs meet. Several layers (lists such as --filters 2,3 --kernel 1x2,1x2): bounds, "
            "and count and sample of one network with random weights."
        ),
    )
    lists = {"type": _numbers(_at_least(1)), "metavar": "N,N"}
    for flag, settings, text in (
        ("--input", {**lists, "default": (1, 3, 3)}, "channels,height,width (default 1,3,3)"),
        ("--filters", {**lists, "default": (2,)}, "filters of each layer (default 2)"),
        ("--kernel", {"type": _numbers(_size), "default": ((2, 2),), "metavar": "HxW,HxW"},
         "filter size of each layer (default 2x2)"),
        ("--stride", {**lists, "default": (1,)}, "stride of each layer (default 1)"),
        ("--samples", {"type": _at_least(1), "default": 20_000, "metavar": "N"},
         "random inputs (default 20000)"),
    ):  # fmt: skip
        parser.add_argument(flag, help=text, **settings)
    _add_common(parser, out=None)
    parser.set_defaults(run=_run_regions)


def _size(text):
    """A filter size: ``3`` or ``1x2``."""
    parts = tuple(_at_least(1)(part) for part in text.split("x"))
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no filter size such as 3 or 1x2")
    return parts * 2 if len(parts) == 1 else parts


def _run_regions(arguments):
    import numpy as np

    from . import regions

    if arguments.out:
        _check_out(arguments.out)
    sys.set_int_max_str_digits(0)  # counts of long signals have thousands of digits
    layers, rng = _layers_of(arguments), np.random.default_rng(arguments.seed)
    network = regions.random_network(arguments.input, layers, random_state=rng)
    if len(layers) == 1:
        result = regions.architecture(arguments.input, **layers[0])
    else:
        result = _count_within_bounds(network, arguments.input, layers)
    sample = regions.sample(network, arguments.input, arguments.samples, random_state=rng)
    result = dataclasses.replace(result, sampled=sample.sampled)
    if arguments.json:
        report = {"input": list(arguments.input), "layers": layers, **result.to_dict()}
        print(json.dumps({**report, "sample": sample.to_dict()}, indent=2))
    else:
        print(result.summary())
        print(f"sample   {sample.summary()}")
    if arguments.out:
        from . import plots

        corners = rng.standard_normal((3, *arguments.input))
        cut = regions.plane_slice(network, corners, (-4, 4))
        plots.plot_regions(cut).figure.savefig(arguments.out)
        if not arguments.json:
            print(f"a plane through the network of random weights: {arguments.out}")
    return EXIT_OK


def _layers_of(arguments):
    """One dictionary a layer; a single kernel or stride serves all layers."""
    n, said = len(arguments.filters), {"--kernel": arguments.kernel, "--stride": arguments.stride}
    wrong = [f"{flag} has {len(v)}" for flag, v in said.items() if len(v) not in (1, n)]
    if wrong or len(arguments.input) != 3:
        from .validation import InputError

        raise InputError(
            f"--input needs channels,height,width and has {len(arguments.input)} numbers; "
            f"--filters has {n} layers{''.join(', ' + w for w in wrong)}; expected one kernel and "
            "stride for each layer, or one for all."
        )
    kernel, stride = (v * n if len(v) == 1 else v for v in said.values())
    return [
        {"n_filters": f, "kernel_size": k, "stride": s}
        for f, k, s in zip(arguments.filters, kernel, stride, strict=True)
    ]


def _count_within_bounds(network, shape, layers):
    """The count of one network, or why there is none, with bounds on the architecture's maximum."""
    from . import regions

    bounds = regions.conv_bounds(shape, layers)
    upper = min(v for name, v in bounds.items() if "upper" in name and v is not None)
    within = f"the maximum over weights lies in [{bounds['lower']:,}, {upper:,}]"
    try:
        counted = regions.count(network, shape, limit=500_000)
    except regions.TooLarge as reason:
        return regions.RegionCount(
            None, None, bounds["lower"], upper, None, "bounds on the maximum over weights",
            (f"exact count left out: {reason}",),
        )  # fmt: skip
    said = (*counted.assumptions, f"exact: one network with random weights; {within}")
    return dataclasses.replace(counted, assumptions=said)


# -- progress -------------------------------------------------------------------------------
class _Progress:
    """One bar on stderr; silent where stderr is no terminal."""

    def __init__(self, quiet=False):
        self._quiet = quiet or not sys.stderr.isatty()
        self._stack = contextlib.ExitStack()
        self._bar = self._task = None

    def __enter__(self):
        if not self._quiet:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            self._bar = self._stack.enter_context(bar)
            self._task = self._bar.add_task("starting", total=1)
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def stage(self, text, done, total):
        """Show what is being done, and how much of it is behind."""
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=done, total=total)

    def callback(self):
        """A scikit-learn callback that shows the estimator's own progress on this bar."""
        return _FitProgress(self)


class _FitProgress:
    """scikit-learn's fit-callback protocol, shown on a ``_Progress``."""

    def __init__(self, progress):
        self._progress = progress
        self._level = 0
        self._epochs = 0

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to release."""

    def on_fit_task_begin(self, estimator, context):
        """Count levels as they begin."""
        if context.task_name.startswith("level"):
            self._level, self._epochs = self._level + 1, 0

    def on_fit_task_end(self, estimator, context):
        """Advance by one epoch."""
        if context.task_name.startswith("epoch"):
            self._epochs += 1
            self._progress.stage(
                f"learning level {self._level}", self._epochs, context.parent.max_subtasks
            )


# -- derive and explain ---------------------------------------------------------------------
def _add_derive(commands):
    parser = commands.add_parser(
        "derive",
        help="the layer that a prior implies, step by step, each step with its evidence",
        description=(
            "Derive the activation of a prior from Bayes' theorem and check every step. The prior "
            "is a row of the atlas (exponential, scad, student_t, ...) or a penalty in z."
        ),
    )
    parser.add_argument("prior", nargs="?", default="exponential", help="row or formula")
    kinds = ("orthonormal", "orthogonal", "general", "convolutional")
    parser.add_argument("--dictionary", choices=kinds, default=kinds[0], help="kind of atoms")
    parser.add_argument("--estimator", choices=("map", "mean"), default="map")
    parser.add_argument("--noise", type=float, default=1.0, metavar="X", help="noise deviation")
    parser.add_argument(
        "--support", choices=("real", "nonnegative"), default="real", help="of a formula"
    )
    parser.add_argument("--book", action="store_true", help="all chapters, into the folder --out")
    _add_common(parser, out=None)
    parser.set_defaults(run=_run_derive)


def _run_derive(arguments):
    from .derivation import book, derive
    from .derivation.render import write_page

    if arguments.book:
        folder = arguments.out or "book"
        found = book.write_book(folder)
        rows = {v.title: v.verdict for v in found}
        text = "\n".join(f"{verdict:<10} {title}" for title, verdict in rows.items())
        print(json.dumps(rows, indent=2) if arguments.json else f"{text}\nbook: {folder}")
        return EXIT_OK if all(v.passed for v in found) else EXIT_INPUT
    if arguments.out is not None:
        _check_out(arguments.out)
    support = {} if arguments.support == "real" else {"support": arguments.support}
    derivation = derive(
        arguments.prior, arguments.dictionary, arguments.noise, arguments.estimator, **support
    )
    verification = book.verified(derivation)
    print(
        json.dumps(verification.to_dict(), indent=2) if arguments.json else verification.summary()
    )
    if arguments.out is not None:
        write_page(derivation, verification, arguments.out)
    return EXIT_OK if verification.passed else EXIT_INPUT


def _add_explain(commands):
    parser = commands.add_parser(
        "explain",
        help="the prior behind an activation, or two points that prove there is none",
        description=(
            "Say whether an activation is the prox of a penalty, of which one, and what prior that "
            "is; without a name, a table of all of torch.nn.functional's."
        ),
    )
    parser.add_argument("activation", nargs="?", help="name, or a formula in x")
    _add_common(parser, out=None)
    parser.set_defaults(run=_run_explain)


def _run_explain(arguments):
    from .derivation import atlas, explain

    names = [arguments.activation]
    if arguments.activation is None:
        names = [row.key for row in atlas() if row.section == "backward"]
    found = [explain(name) for name in names]
    if arguments.json:
        rows = [e.to_dict() for e in found]
        text = json.dumps(rows if arguments.activation is None else rows[0], indent=2)
    elif arguments.activation is None:
        text = "\n".join(e.summary().split("\n  penalty")[0] for e in found)
    else:
        text = found[0].summary()
    print(text)
    if arguments.out is not None:
        _check_out(arguments.out)
        Path(arguments.out).write_text(text + "\n", encoding="utf-8")
    return EXIT_OK


# -- arguments ------------------------------------------------------------------------------
def _check_out(out):
    """Refuse a page that cannot be written before the work, not after it."""
    from .report import output_target

    output_target(out, "--out")


def _source(text):
    if not text:  # a shell variable that is not set; as a path it would be the current folder
        raise argparse.ArgumentTypeError("an empty name; expected digits, images or a path")
    return text


def _rate(text):
    (rate,) = _numbers(float)(text) if "," not in text else (None,)
    if rate is None or not 0 <= rate < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number >= 0")
    return rate


def _noise_levels(text):
    levels = _numbers(float)(text)
    if not all(0 < level < float("inf") for level in levels):
        raise argparse.ArgumentTypeError(
            f"{text!r} has levels that are not positive (clean images are measured anyway)"
        )
    return levels


def _numbers(kind):
    def parse(text):
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 12,32")

    return parse


def _at_least(minimum):
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is below {minimum}")
        return value

    return parse


if __name__ == "__main__":
    sys.exit(main())
