"""A derivation is an ordered list of steps, each with its reason, assumptions and check.

Knows no prior: what a check computes is its author's business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..symbolic.deadline import TimeLimitError, clock, within
from ..symbolic.evidence import UNDECIDED, Evidence, weakest
from ..validation import InputError


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes
    ----------
    claim : str
        What is asserted; ``$...$`` encloses formulas in LaTeX.
    because : str
        Why.
    assumptions : tuple of str
        Under which conditions.
    check : callable
        Returns Evidence, or a sequence of it, each time it is called.
    formula : sympy object or None
        The claim's formula, shown on a line of its own.
    prior : Prior, PosteriorMean or None
        Drawn beside the step: its density, penalty and activation.
    """

    claim: str
    because: str
    assumptions: tuple[str, ...] = ()
    check: Callable | None = None
    formula: object = None
    prior: object = None

    def verify(self, time_limit=None):
        """The step's evidence, as a tuple; a check that fails to run in time is UNDECIDED."""
        if self.check is None:
            return (Evidence("numeric", UNDECIDED, "the step has no check"),)
        try:
            return within(time_limit, self._found, "the check", "Verify it with more time.")
        except (ArithmeticError, NotImplementedError, RecursionError, TimeLimitError) as error:
            return (Evidence("numeric", UNDECIDED, f"the check did not finish ({error})"),)

    def _found(self):
        found = self.check()
        return (found,) if isinstance(found, Evidence) else tuple(found)


@dataclasses.dataclass(frozen=True)
class Verification:
    """The evidence of every step, in order.

    Attributes
    ----------
    title : str
    steps : tuple of Step
    evidence : tuple of tuple of Evidence
    """

    title: str
    steps: tuple[Step, ...]
    evidence: tuple[tuple[Evidence, ...], ...]

    @property
    def verdicts(self):
        """Verdict of each step: its weakest evidence's."""
        return tuple(weakest(found) for found in self.evidence)

    @property
    def verdict(self):
        """Verdict of the whole: its weakest step's."""
        return weakest([e for found in self.evidence for e in found])

    @property
    def passed(self):
        """Whether every step is PROVED or CONFIRMED."""
        return bool(self.evidence) and all(e.passed for found in self.evidence for e in found)

    @property
    def counterexamples(self):
        """The counterexamples of the steps that were refuted."""
        return tuple(e.counterexample for found in self.evidence for e in found if e.counterexample)

    def of_kind(self, kind):
        """All evidence of one kind: "symbolic", "numeric" or "exact"."""
        return tuple(e for found in self.evidence for e in found if e.kind == kind)

    def __repr__(self):
        return f"Verification({self.title!r}, {len(self.steps)} steps: {self.verdict})"

    def _repr_html_(self):
        from .render import notebook

        return notebook(self, self.evidence)

    def summary(self):
        """Text: each step with its verdict, reason, formula and every piece of its evidence."""
        from .render import to_text

        return to_text(self, self.evidence)

    def to_dict(self):
        """Plain data for JSON."""
        return {
            "title": self.title,
            "verdict": self.verdict,
            "steps": [
                {
                    "claim": step.claim,
                    "because": step.because,
                    "assumptions": list(step.assumptions),
                    "verdict": weakest(found),
                    "evidence": [str(e) for e in found],
                }
                for step, found in zip(self.steps, self.evidence, strict=True)
            ],
        }


@dataclasses.dataclass(frozen=True)
class Derivation:
    """A titled list of steps that ends in a result.

    Attributes
    ----------
    title : str
    steps : tuple of Step
    result : sympy object or str
        What was derived, such as the activation as an expression of ``x``.
    make_layer : callable or None
        Builds the working layer.
    source : str
        What is read in which paper, and what is reconstructed or measured here.
    time_limit : float or None
        Seconds of computing that all checks together may take; None sets no limit.
    """

    title: str
    steps: tuple[Step, ...]
    result: object = None
    make_layer: Callable | None = None
    source: str = ""
    time_limit: float | None = None

    def layer(self):
        """The layer that computes the result, with exact gradients.

        Raises
        ------
        InputError
            If the derivation is about something other than a layer.
        """
        if self.make_layer is None:
            raise InputError(f"{self.title!r} derives no layer; expected one from sc.derive.")
        return self.make_layer()

    def verify(self):
        """Run every step's check; those that ``time_limit`` leaves no time for are UNDECIDED.

        Returns
        -------
        Verification
        """
        seconds, left, found = clock(), self.time_limit, []
        begun = seconds()
        for step in self.steps:
            if left is not None:
                left = max(self.time_limit - (seconds() - begun), 1e-3)
            found.append(step.verify(left))
        return Verification(self.title, self.steps, tuple(found))

    def __str__(self):
        from .render import to_text

        return to_text(self)

    def __repr__(self):
        return f"Derivation({self.title!r}, {len(self.steps)} steps)"

    def _repr_html_(self):
        from .render import notebook

        return notebook(self)

    def to_markdown(self, verification=None):
        """The derivation as Markdown, with its evidence (computed now unless given)."""
        from .render import to_markdown

        return to_markdown(self, verification or self.verify())

    def to_latex(self, verification=None):
        """The derivation as a complete LaTeX document."""
        from .render import to_latex

        return to_latex([(self, verification or self.verify())], self.title)

    def to_html(self, verification=None):
        """The derivation as one self-contained HTML page with MathML."""
        from .render import to_html

        return to_html([(self, verification or self.verify())], self.title)
