"""What a count of linear regions may say, field by field, and the refusal to start a hopeless one.

Exact values, published formulas, bounds and samples never share a field.
"""

from __future__ import annotations

import dataclasses
import math

from ..tables import Table, fragment
from ..validation import InputError


class TooLarge(InputError):
    """A count was refused because its estimate exceeds what one sitting can do."""


class Interrupted(KeyboardInterrupt):
    """A count was stopped by the user; ``counts`` adds up to what is certain by then.

    Attributes
    ----------
    counts : list of int
        Independent or no-broken-circuit sets found, by size, or the number of regions: every one of
        them is part of the full count, so that their sum is a lower bound of it.
    """

    def __init__(self, counts):
        super().__init__(f"interrupted; {sum(counts):,} regions are certain")
        self.counts = counts


#: what a count that was stopped says about itself
STOPPED = "interrupted: lower counts what was certain by then, upper is a closed bound"


@dataclasses.dataclass(frozen=True)
class RegionCount:
    """A number of linear regions together with how it was obtained.

    Attributes
    ----------
    exact : int or None
        The true number, or None when it was not determined.
    formula : int or None
        The published one-layer formula's value; an upper bound in general.
    lower, upper : int or None
        Proved bounds; equal to ``exact`` where that is known.
    sampled : int or None
        Distinct patterns met by sampling; a lower bound that says nothing about what it missed.
    method : str
        How ``exact`` (or, without it, the best bound) was obtained.
    assumptions : tuple of str
        What has to hold for the numbers to mean what their fields say.
    """

    exact: int | None = None
    formula: int | None = None
    lower: int | None = None
    upper: int | None = None
    sampled: int | None = None
    method: str = ""
    assumptions: tuple = ()

    @property
    def interrupted(self):
        """Whether Ctrl-C ended the count, so that only bounds are known."""
        return STOPPED in self.assumptions

    def summary(self):
        """Return the count as a few lines of text, one per known field."""
        return "\n".join(f"{name:<8} {text}" for name, text in self._lines())

    def _repr_html_(self):
        return fragment(Table((), self._lines(), words=2))

    def _lines(self):
        lines = [
            (name, _readable(value))
            for name in ("exact", "formula", "lower", "upper", "sampled")
            if (value := getattr(self, name)) is not None
        ]
        return [*lines, ("method", self.method), *(("assumes", text) for text in self.assumptions)]

    def to_dict(self):
        """Return the fields as a plain dictionary."""
        return {**dataclasses.asdict(self), "assumptions": list(self.assumptions)}


def _readable(value):
    """A count in full, or its first digits and power of ten beyond 24 digits."""
    if value < 10**24:
        return f"{value:,}"
    power = int((value.bit_length() - 1) * math.log10(2))  # at most one too small
    lead = value // 10 ** (power - 3)
    if lead >= 10_000:
        lead, power = lead // 10, power + 1
    return f"{lead / 1000:.3f}e+{power} (all digits: the attribute, or to_dict())"
