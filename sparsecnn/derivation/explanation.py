"""What an activation says about the model: the result of ``explain``."""

from __future__ import annotations

import dataclasses

_WORDS = {True: "yes", False: "no", None: "not known"}


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What an activation says about the model.

    Attributes
    ----------
    name : str
    is_prox : bool
        Whether it is the prox of some penalty.
    evidence : {"proved", "confirmed", "sampled"}
        Of the weakest claim made, see ``checks``. Proved: signs of derivatives decided on the whole
        line (or two points that refute, enclosed by interval arithmetic), and a closed penalty
        inverts symbolically. Confirmed: a known formula, tested at numbers. Sampled: a black box,
        to the resolution in ``sampling``.
    prior : Prior or None
    penalty : str or None
        In closed form, or the parametric form.
    convex : bool or None
    proper, sparse : bool or None
        Whether ``exp(-penalty)`` is integrable; whether an interval of inputs gives exact zeros.
    posterior_mean : str, False or None
        Of which prior it is the posterior mean; False if of none; None if not known.
    witness : dict or None
        Points that prove it is no prox.
    reason : str
    bias_rule : str
        What a bias does to the prior.
    largest_slope : float
    formula : str
        The activation as a formula in ``x`` and ``parameters``, if it has one.
    parameters : dict of str to float
    support : str or tuple
        Where a closed penalty is finite.
    checks : tuple of Evidence
        One for each claim.
    sampling : dict or None
        How far the numeric look at a function of one variable reached.
    """

    name: str
    is_prox: bool
    evidence: str
    prior: object = None
    penalty: str | None = None
    convex: bool | None = None
    proper: bool | None = None
    sparse: bool | None = None
    posterior_mean: object = None
    witness: dict | None = None
    reason: str = ""
    bias_rule: str = (
        "sigma(x - lam) has the penalty phi(z) + lam z: a negative bias tilts the prior by "
        "exp(-lam z), a positive bias the other way"
    )
    largest_slope: float = float("nan")
    formula: str = ""
    parameters: dict = dataclasses.field(default_factory=dict)
    support: object = "real"
    checks: tuple = ()
    sampling: dict | None = None

    def __repr__(self):
        return f"Explanation({self.name!r}: {self.verdict})"

    def _repr_html_(self):
        from .pages import notebook

        return notebook(self)

    def facts(self):
        """What it says about the penalty, in words: a list of (question, answer)."""
        if not self.is_prox:
            return []
        mean = {False: "of no prior", None: "not known"}.get(
            self.posterior_mean, self.posterior_mean
        )
        return [
            ("convex", _WORDS[self.convex]),
            ("proper", _WORDS[self.proper]),
            ("exact zeros", _WORDS[self.sparse]),
            ("largest slope", f"{self.largest_slope:.4g}"),
            ("posterior mean", mean),
        ]

    @property
    def witness_text(self):
        """The numbers of the witness on one line."""
        return ", ".join(f"{k} = {v:.10g}" for k, v in (self.witness or {}).items())

    @property
    def verdict(self):
        """The verdict in three words."""
        return f"{'a prox' if self.is_prox else 'no prox'} ({self.evidence})"

    def summary(self):
        """The verdict in words."""
        lines = [f"{self.name}: {self.verdict}", f"  {self.reason}"]
        if self.witness:
            lines.append("  witness: " + self.witness_text)
        if self.is_prox:
            facts = self.facts()
            lines.append(f"  penalty: {self.penalty}")
            lines.append("  " + "; ".join(f"{q}: {a}" for q, a in facts[:-1]))
            lines.append(f"  posterior mean: {facts[-1][1]}")
            lines.append(f"  bias: {self.bias_rule}")
        lines += [f"  {check}" for check in self.checks]
        return "\n".join(lines)

    def to_dict(self):
        """Plain data for JSON."""
        found = dataclasses.asdict(dataclasses.replace(self, prior=None, checks=()))
        return {
            **found,
            "support": str(self.support),
            "prior": None if self.prior is None else repr(self.prior),
            "checks": [str(check) for check in self.checks],
        }

    def to_markdown(self):
        """The explanation as Markdown."""
        from .pages import to_markdown

        return to_markdown(self)

    def to_latex(self):
        """The explanation as a complete LaTeX document."""
        from .pages import to_latex

        return to_latex([self], self.name)

    def to_html(self):
        """The explanation as one self-contained HTML page with MathML."""
        from .pages import to_html

        return to_html([self], self.name)
