"""What the commands share: exit codes, common options, and argument types that refuse nonsense."""

from __future__ import annotations

import argparse
import re

EXIT_OK, EXIT_INPUT, EXIT_USAGE, EXIT_NOT_CONVERGED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


#: endings of a picture's file
PICTURES = (".png", ".svg", ".pdf")


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that says which command, choice or option may have been meant."""

    def __init__(self, *args, **kwargs):
        self.options = set()
        super().__init__(*args, **kwargs)
        self.commands = None

    def add_argument(self, *names, **kwargs):
        self.options.update(name for name in names if name.startswith("--"))
        return super().add_argument(*names, **kwargs)

    def error(self, message):
        """Print the usage and the message with its nearest choice, and exit."""
        meant = self._meant(message)
        super().error(f"{message}.{meant}" if meant else message)

    def _meant(self, message):
        from ..validation import did_you_mean

        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            return did_you_mean(choice[1], re.findall(r"'([^']*)'", choice[2]))
        option = re.search(r"unrecognized arguments:.*?(--[\w-]+)", message)
        if not option:
            return ""
        parsers = self.commands.choices.values() if self.commands else ()
        return did_you_mean(option[1], self.options.union(*(p.options for p in parsers)))


def add_common(parser, out, writes="page to write"):
    """Options of every command: where to write, JSON, the seed."""
    default = f" (default {out})" if out else ""
    parser.add_argument("--out", default=out, metavar="FILE", help=writes + default)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="random seed (default 0)"
    )


def check_out(out):
    """Refuse a page that cannot be written before the work, not after it."""
    from ..report import output_target

    output_target(out, "--out")


def check_picture(out):
    """Refuse a picture that cannot be written before the work, not after it."""
    from ..validation import InputError

    if not out.lower().endswith(PICTURES):
        raise InputError(
            f"--out is {out!r}; expected a picture, a file that ends in {', '.join(PICTURES)}."
        )
    check_out(out)


def source(text):
    """Argument type: a name or path that is not empty."""
    if not text:  # a shell variable that is not set; as a path it would be the current folder
        raise argparse.ArgumentTypeError("an empty name; expected digits, images or a path")
    return text


def rate(text):
    """Argument type: a finite number that is not negative."""
    (rate,) = numbers(float)(text) if "," not in text else (None,)
    if rate is None or not 0 <= rate < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number >= 0")
    return rate


def positive(text):
    """Argument type: a finite positive number."""
    (number,) = numbers(float)(text) if "," not in text else (None,)
    if number is None or not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number > 0")
    return number


def noise_levels(text):
    """Argument type: positive numbers separated by commas."""
    levels = numbers(float)(text)
    if not all(0 < level < float("inf") for level in levels):
        raise argparse.ArgumentTypeError(
            f"{text!r} has levels that are not positive (clean images are measured anyway)"
        )
    return levels


def numbers(kind):
    """Argument type: numbers of a kind, separated by commas."""

    def parse(text):
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 12,32")

    return parse


def at_least(minimum):
    """Argument type: a whole number not below ``minimum``."""

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{value} is below {minimum}")
        return value

    return parse
