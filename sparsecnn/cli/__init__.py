"""The command line: ``sparsecnn <command>``. The only place that prints.

Commands import what they need when they run, so that ``--help`` costs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings

from .arguments import (
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    Parser,
)
from .compare import add_compare
from .derive import add_derive, add_explain, with_formulas
from .regions import add_regions


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
    arguments = _parser().parse_args(with_formulas(sys.argv[1:] if argv is None else argv))
    if arguments.run is None:
        _parser().print_help()
        return EXIT_USAGE
    from ..validation import InputError, InputTypeError, ModelFileError

    try:
        with _warnings_as_lines(arguments.command):
            code = arguments.run(arguments)
            sys.stdout.flush()
            return code
    except BrokenPipeError:  # the reader has seen enough, as in ``sparsecnn explain | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except (InputError, InputTypeError, ModelFileError, OSError) as error:
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


class _Version(argparse.Action):
    """Prints the version and the engines, which are asked only then."""

    def __call__(self, parser, *_):
        from .. import __version__
        from ..versions import engines

        print(f"sparsecnn {__version__}\n{engines()}")
        parser.exit()


def _parser():
    parser = Parser(
        prog="sparsecnn",
        description="Sparse-coding models and the neural networks they imply.",
        epilog="sparsecnn COMMAND --help says more about a command.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version, and what computes, and exit"
    )
    parser.set_defaults(run=None)
    commands = parser.commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    add_compare(commands)
    add_derive(commands)
    add_explain(commands)
    add_regions(commands)
    return parser
