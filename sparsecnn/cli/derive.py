"""``sparsecnn derive`` and ``sparsecnn explain``: from a prior to its layer, and back."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from .arguments import (
    EXIT_INPUT,
    EXIT_OK,
    add_common,
    check_out,
)

#: one dash and more than a letter, or the variable itself; no short option but -h is declared
_LOOKS_LIKE_A_FORMULA = re.compile(r"-(?!-)(?!h$)")


def with_formulas(argv):
    """Arguments in which a formula such as ``-tanh(x)`` is not taken for an option.

    A leading blank keeps argparse from reading it as one, and formulas do not mind it.
    """
    if not argv or argv[0] not in ("derive", "explain"):
        return argv
    return [f" {a}" if _LOOKS_LIKE_A_FORMULA.match(a) else a for a in argv]


def add_derive(commands):
    """Declare ``derive``."""
    parser = commands.add_parser(
        "derive",
        help="the layer that a prior implies, step by step, each step with its evidence",
        description=(
            "Derive the activation of a prior from Bayes' theorem and check every step. The prior "
            "is a row of the atlas (exponential, scad, student_t, ...) or a penalty in z."
        ),
    )
    parser.add_argument("prior", nargs="?", help="row or formula; without one, lists all rows")
    kinds = ("orthonormal", "orthogonal", "tight_frame", "general", "convolutional")
    parser.add_argument("--dictionary", choices=kinds, default=kinds[0], help="kind of atoms")
    parser.add_argument("--estimator", choices=("map", "mean"), default="map")
    parser.add_argument("--noise", type=float, default=1.0, metavar="X", help="noise deviation")
    parser.add_argument(
        "--support", choices=("real", "nonnegative"), default="real", help="of a formula"
    )
    _add_time_limit(parser)
    parser.add_argument(
        "--book", action="store_true", help="all chapters and the atlas, into the folder --out"
    )
    add_common(parser, out=None)
    parser.set_defaults(run=_run_derive)


def _add_time_limit(parser):
    parser.add_argument(
        "--time-limit", type=float, default=20.0, metavar="S", help="give up after S seconds"
    )


def _run_derive(arguments):
    from ..derivation import atlas, book, derive
    from ..derivation.render import write_page
    from ..validation import InputError

    if arguments.book:
        folder = arguments.out or "book"
        found = book.write_book(folder)
        text = "\n".join(f"{verdict:<10} {title}" for title, verdict in found.items())
        _say(json.dumps(found, indent=2) if arguments.json else f"{text}\nbook: {folder}")
        return EXIT_OK if {*found.values()} <= {"PROVED", "CONFIRMED"} else EXIT_INPUT
    if arguments.prior is None:
        if arguments.out is not None:
            raise InputError("--out needs a row or a formula to derive, or --book.")
        _say(json.dumps([r.to_dict() for r in atlas()], indent=2) if arguments.json else _rows())
        return EXIT_OK
    if arguments.out is not None:
        check_out(arguments.out)
    support = {} if arguments.support == "real" else {"support": arguments.support}
    derivation = derive(
        arguments.prior.strip(),
        arguments.dictionary,
        arguments.noise,
        arguments.estimator,
        time_limit=arguments.time_limit,
        **support,
    )
    verification = book.verified(derivation)
    _say(json.dumps(verification.to_dict(), indent=2) if arguments.json else verification.summary())
    if arguments.out is not None:
        write_page(derivation, verification, arguments.out)
    return EXIT_OK if verification.passed else EXIT_INPUT


def _say(text):
    """Print; where a terminal lacks Greek letters, a question mark stands for each."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def _rows():
    """The rows of the atlas, and what to do with them."""
    from ..derivation import atlas

    return (
        f"{atlas().summary()}\n\nsparsecnn derive ROW derives one of the first list; so does a "
        'formula, "lam*abs(z)";\nsparsecnn explain NAME reads an activation; sparsecnn derive '
        "--book writes all of it as pages."
    )


def add_explain(commands):
    """Declare ``explain``."""
    parser = commands.add_parser(
        "explain",
        help="the prior behind an activation, or two points that prove there is none",
        description=(
            "Say whether an activation is the prox of a penalty, of which one, and what prior that "
            "is; without a name, a table of all of torch.nn.functional's."
        ),
    )
    parser.add_argument("activation", nargs="?", help="name, or a formula in x")
    _add_time_limit(parser)
    add_common(parser, out=None)
    parser.set_defaults(run=_run_explain)


def _run_explain(arguments):
    from ..derivation import atlas, explain, pages

    names, title = [arguments.activation], (arguments.activation or "").strip()
    if arguments.out is not None:
        check_out(arguments.out)
    if arguments.activation is None:
        title = "Activations and their priors"
        names = [row.key for row in atlas() if row.section == "backward"]
    found = [explain(name, time_limit=arguments.time_limit) for name in names]
    if arguments.json:
        rows = [e.to_dict() for e in found]
        text = json.dumps(rows if arguments.activation is None else rows[0], indent=2)
    elif arguments.activation is None:
        text = _table(found)
    else:
        text = found[0].summary()
    _say(text)
    if arguments.out is not None:
        pages.write(found, title, Path(arguments.out))
    return EXIT_OK


def _table(found):
    """One line for each activation: the verdict, and the penalty's nature or the witness."""
    lines = [f"{'activation':<13}{'verdict':<21}{'convex':<8}{'proper':<11}{'zeros':<7}penalty"]
    for e in found:
        answers = dict(e.facts())
        cells = [answers.get(q, "-") for q in ("convex", "proper", "exact zeros")]
        last = (e.penalty or "not known in closed form") if e.is_prox else e.reason
        lines.append(f"{e.name:<13}{e.verdict:<21}{cells[0]:<8}{cells[1]:<11}{cells[2]:<7}{last}")
    return "\n".join(lines)
