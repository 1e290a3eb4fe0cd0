"""What an activation says about the model: the result of ``explain``."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What an activation says about the model.

    Attributes
    ----------
    name : str
    is_prox : bool
        Whether it is the prox of some penalty.
    evidence : {"proved", "confirmed", "sampled"}
        Proved: ``sigma(z + phi'(z)) = z`` simplifies on every piece, or two points refute it.
        Confirmed: a known formula, tested at numbers. Sampled: a black box on an adaptive grid.
    prior : Prior or None
    penalty : str or None
        In closed form, or the parametric form.
    convex : bool or None
    proper, sparse : bool or None
        Whether ``exp(-penalty)`` is integrable; whether an interval of inputs gives exact zeros.
    posterior_mean : str, False or None
        Of which prior it is the posterior mean; False if of none; None if not known.
    witness : dict or None
        Two points that prove it is no prox.
    reason : str
    bias_rule : str
        What a bias does to the prior.
    largest_slope : float
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

    def summary(self):
        """The verdict in words."""
        lines = [f"{self.name}: {'a prox' if self.is_prox else 'no prox'} ({self.evidence})"]
        lines.append(f"  {self.reason}")
        if self.witness:
            lines.append(
                "  witness: " + ", ".join(f"{k} = {v:.10g}" for k, v in self.witness.items())
            )
        if self.is_prox:
            words = {True: "yes", False: "no", None: "not known"}
            lines.append(f"  penalty: {self.penalty}")
            lines.append(
                f"  convex: {words[self.convex]}; proper: {words[self.proper]}; exact zeros: "
                f"{words[self.sparse]}; largest slope {self.largest_slope:.4g}"
            )
            mean = {False: "of no prior", None: "not known"}.get(
                self.posterior_mean, self.posterior_mean
            )
            lines.append(f"  posterior mean: {mean}")
            lines.append(f"  bias: {self.bias_rule}")
        return "\n".join(lines)

    def to_dict(self):
        """Plain data for JSON."""
        found = dataclasses.asdict(dataclasses.replace(self, prior=None))
        return {**found, "prior": None if self.prior is None else repr(self.prior)}
