"""The atlas: one row for each prior and each activation, with its assumptions and its evidence."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from ..priors import SymbolicPrior
from ..symbolic.evidence import CONFIRMED, PROVED, REFUTED, Evidence, excess, trials, weakest
from ..validation import InputError
from . import given, horseshoe, posterior
from .catalogue import Atlas
from .forward import derive
from .known import KNOWN
from .named import prior_of_row, scalar_penalty
from .reverse import activation_values, explain
from .rows import ILL_POSED, SCALAR
from .vector_rows import VECTOR_ROWS
from .vectors import VECTOR_MAPS, VECTOR_PENALTIES


@dataclasses.dataclass(frozen=True)
class AtlasRow:
    """One row.

    Attributes
    ----------
    key : str
        The name ``derive`` (or, backward, ``explain``) understands.
    section : {"forward", "vector", "ill-posed", "backward", "mean"}
    prior, penalty, activation : str
    support : str or tuple
    parameters : dict of str to float
    how : {"derived", "implicit", "given", "refused", "explained"}
        Derived in closed form by the engine; derived with a branch or a jump left to Newton's
        method; stated and verified; refused; read from the activation.
    note : str
        Assumptions or the reference.
    """

    key: str
    section: str
    prior: str
    penalty: str
    activation: str
    support: object = "real"
    parameters: dict = dataclasses.field(default_factory=dict)
    how: str = "given"
    note: str = ""
    package_class: str = ""
    check: Callable | None = dataclasses.field(default=None, repr=False)

    def make_prior(self, **changed):
        """The row's prior, of the package's own class where it has one."""
        if self.section != "forward":
            raise InputError(f"{self.key} is a {self.section} row; it makes no scalar prior.")
        row = next(r for r in SCALAR if r[0] == self.key)
        return prior_of_row(row, **changed)

    def derivation(self):
        """The row's derivation (forward rows)."""
        return derive(self.make_prior(), time_limit=None)  # known to end

    def explanation(self):
        """The row's explanation (backward rows)."""
        if self.section != "backward":
            raise InputError(f"{self.key} is a {self.section} row; only backward rows are read.")
        return explain(self.key, time_limit=None)

    def verify(self, n=40, seed=0):
        """Evidence for the row: a tuple; ``n`` inputs for each of two settings of parameters."""
        if self.check is not None:
            return self.check(n, seed)
        checks = {"forward": _check_forward, "ill-posed": _check_refusal}
        return checks.get(self.section, _check_backward)(self, n, seed)

    def to_dict(self):
        """Plain data."""
        found = dataclasses.asdict(dataclasses.replace(self, check=None))
        found.pop("check")
        return {**found, "support": str(self.support)}


@functools.cache
def atlas():
    """All rows: forward (scalar, vector, ill-posed), backward, and posterior means.

    Returns
    -------
    Atlas
        A tuple of AtlasRow with ``find``, ``summary`` and ``to_markdown``.

    Examples
    --------
    >>> row = find_row("exponential")
    >>> row.penalty, row.activation
    ('lam*z', 'ReLU with bias -lam')
    """
    forward = [
        AtlasRow(key, "forward", prior, penalty, activation, support, values, how, note, kind)
        for key, prior, kind, penalty, support, values, activation, how, note in SCALAR
    ]
    vector = [
        AtlasRow(key, "vector", prior, penalty, activation, note=note, check=check)
        for key, prior, penalty, activation, note, check in VECTOR_ROWS
    ]
    refused = [
        AtlasRow(key, "ill-posed", prior, penalty, "none", support, values, "refused")
        for key, prior, penalty, support, values in ILL_POSED
    ]
    refused.append(
        AtlasRow(
            "horseshoe", "ill-posed", "horseshoe", "-log(exp(z**2/2)*E1(z**2/2))", "none",
            how="refused", note="a posterior mean exists: mean_horseshoe",
            check=horseshoe.check_refusal,
        )
    )  # fmt: skip
    backward = [
        AtlasRow(
            name, "backward", "", known.penalty, known.formula, known.support,
            known.parameters, "explained", known.posterior_mean,
        )
        for name, known in KNOWN.items()
    ]  # fmt: skip
    backward += [AtlasRow(n, "backward", "", VECTOR_PENALTIES.get(n, ""), n, how="explained")
                 for n in VECTOR_MAPS]  # fmt: skip
    means = [
        AtlasRow(key, "mean", prior, "", formula, parameters=values, check=check)
        for key, prior, formula, values, check in _mean_rows()
    ]
    return Atlas((*forward, *vector, *refused, *backward, *means))


def find_row(key):
    """The forward row of this name, or None."""
    return next((r for r in atlas() if r.section == "forward" and r.key == key), None)


# -- evidence -------------------------------------------------------------------------------
def _settings(row, seed):
    """Two random admissible settings of a row's parameters."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(50):
        values = {n: v * float(np.exp(rng.uniform(-0.3, 0.3))) for n, v in row.parameters.items()}
        try:
            row.make_prior(**values)
        except InputError:
            continue
        found.append(values)
        if len(found) == 2:
            break
    return found


def _check_forward(row, n, seed):
    rng, worst, count, stated = np.random.default_rng(seed), -np.inf, 0, []
    for values in _settings(row, seed):
        prior = row.make_prior(**values)
        penalty, numbers = scalar_penalty(prior)
        x = rng.uniform(-5, 5, n)
        over = excess(penalty, numbers, x, prior.prox(x))
        k = int(np.argmax(over))
        if not over[k] <= 1e-10:
            where = {"x": x[k], "claimed z": float(prior.prox(x[k : k + 1])[0]), **values}
            return (Evidence("numeric", REFUTED, f"{row.key}: a grid point is lower", where),)
        worst, count = max(worst, float(over[k])), count + n
        if row.key in given.FORMS:
            stated.append(given.check_given(row.key, prior.prox, values, x))
    detail = f"no grid point beats it at {count} inputs, worst excess {worst:.1e} <= 1e-10"
    if row.key == "student_t":
        stated.append(given.uniqueness_of_student_t())
    return (Evidence("numeric", CONFIRMED, detail), *stated)


def _check_refusal(row, n, seed):
    try:
        SymbolicPrior(row.penalty, support=row.support, **row.parameters)
    except InputError as error:
        return (Evidence("symbolic", PROVED, f"refused: {error}"),)
    return (Evidence("symbolic", REFUTED, "an ill-posed model was accepted", row.parameters),)


def _check_backward(row, n, seed):
    """The verdict's own evidence: the round trip where a prox exists, else the witness."""
    found = row.explanation()
    if row.key in VECTOR_MAPS:
        if found.is_prox != bool(row.penalty):
            return (Evidence("numeric", REFUTED, found.reason, found.witness),)
        return found.checks
    function = activation_values(row.key)
    if not found.is_prox:
        a, b = function(np.array([found.witness["x"], found.witness["y"]]))
        falls = found.witness["x"] < found.witness["y"] and a - b > 1e-6
        verdict = PROVED if falls else REFUTED
        return (Evidence("exact", verdict, found.reason, found.witness),)
    x = np.random.default_rng(seed).uniform(-6, 6, n)
    error = float(np.abs(found.prior.prox(x) - function(x)).max())
    verdict = CONFIRMED if error <= 1e-9 else REFUTED
    detail = f"the prox of its penalty gives it back at {n} inputs, worst difference {error:.1e}"
    return (Evidence("numeric", verdict, detail),)


# -- posterior means ------------------------------------------------------------------------
def _mean_rows():
    """Closed forms of posterior means, each against quadrature or an explicit sum."""
    one_sided = "nonnegative"
    for key, prior, closed, values, log_density, support, text in (
        (
            "mean_exponential", "exponential", posterior.exponential, dict(rate=1.1),
            "rate*z", one_sided, "u + s phi(u/s)/Phi(u/s), u = x - rate s^2",
        ),
        (
            "mean_half_normal", "half-normal", posterior.half_normal, dict(scale=0.9),
            "z**2/(2*scale**2)", one_sided, "the same with u = tau^2 x/(tau^2 + s^2)",
        ),
        (
            "mean_laplace", "Laplace", posterior.laplace, dict(rate=1.3),
            "rate*abs(z)", "real", "x - rate s^2 (w+ - w-)/(w+ + w-)",
        ),
        (
            "mean_uniform", "uniform", posterior.uniform, dict(low=-1.0, high=2.0),
            "0", ("low", "high"), "mean of a truncated normal",
        ),
    ):  # fmt: skip
        yield _density_row(key, prior, closed, values, log_density, support, text)
    signs, bits = np.array([-1.0, 1.0]), np.array([0.0, 1.0])
    fair, coin = np.array([0.5, 0.5]), np.array([0.7, 0.3])
    tanh = _atoms_check(posterior.fair_sign, signs, fair)
    sigmoid = _atoms_check(lambda x, s: posterior.coin(x, s, 0.3), bits, coin)
    yield "mean_sign", "fair -1 or +1", "tanh(x/s^2)", {}, tanh
    yield "mean_coin", "0 or 1, P(1) = 0.3", "sigmoid((x - 1/2)/s^2 + logit p)", {}, sigmoid
    yield "mean_one_hot", "one-hot", "softmax(x/s^2 + log pi)", {}, _one_hot_check
    shrinkage = "x times the mean of l^2/(l^2 + s^2) over the scales l"
    yield "mean_horseshoe", "horseshoe", shrinkage, {}, horseshoe.check_mean
    for key, prior, mean, slab in (
        ("mean_bernoulli_gaussian", "Bernoulli-Gaussian",
         lambda x, s: posterior.bernoulli_gaussian(x, s, 0.3, 1.4),
         (lambda z: np.exp(-0.5 * (z / 1.4) ** 2) / (1.4 * np.sqrt(2 * np.pi)), -np.inf)),
        ("mean_bernoulli_exponential", "Bernoulli-exponential",
         lambda x, s: posterior.bernoulli_exponential(x, s, 0.3, 0.8),
         (lambda z: 0.8 * np.exp(-0.8 * z), 0.0)),
    ):  # fmt: skip
        yield key, prior, "P(slab | x) times the slab's mean", {}, _spike_check(mean, *slab)


def _density_row(key, prior, closed, values, log_density, support, text):
    def check(n, seed):
        from ..symbolic.penalty import Penalty

        signed = [name for name, v in values.items() if v <= 0]
        penalty = Penalty.from_text(log_density, support, tuple(values), signed)

        def trial(rng):
            s, x = rng.uniform(0.4, 1.5), rng.uniform(-4, 4, 4)
            # the penalty is -s^2 log p, so the quadrature sees s^2 times -log p
            scaled = dataclasses.replace(penalty, expression=penalty.expression * _exactly(s**2))
            numeric = posterior.posterior_moments(scaled, values, x, s).mean
            error = np.abs(closed(x, s, **values) - numeric).max()
            return float(error), {"noise": s, "x": x[0]}

        count = max(3, n // 8)
        return (trials(trial, count, seed=seed, tolerance=1e-8, what="equals quadrature"),)

    return key, prior, text, values, check


def _exactly(value):
    import sympy as sp

    return sp.Float(value, 17)


def _atoms_check(closed, atoms, chances):
    def check(n, seed):
        def trial(rng):
            s, x = rng.uniform(0.5, 1.5), rng.uniform(-4, 4)
            weights = chances * np.exp(-0.5 * ((x - atoms) / s) ** 2)
            return abs(float(closed(x, s)) - weights @ atoms / weights.sum()), {"x": x, "noise": s}

        return (trials(trial, n, seed=seed, tolerance=1e-12, what="equals the sum over the atoms"),)

    return check


def _one_hot_check(n, seed):
    def trial(rng):
        s, x, pi = rng.uniform(0.5, 1.5), rng.uniform(-3, 3, 4), rng.dirichlet(np.ones(4))
        weights = pi * np.exp(-0.5 * ((x - np.eye(4)) ** 2).sum(axis=1) / s**2)
        error = np.abs(posterior.one_hot(x, s, pi) - weights / weights.sum()).max()
        return float(error), {"x": x[0], "noise": s}

    return (trials(trial, n, seed=seed, tolerance=1e-12, what="equals the sum over the atoms"),)


def _spike_check(closed, density, low):
    def check(n, seed):
        def trial(rng):
            s, x = rng.uniform(0.5, 1.2), rng.uniform(-4, 4)
            z, w = posterior._nodes(
                max(low, min(x, 0) - 30 * s), max(x, 0) + 30 * s, [0.0], 0.5 * s
            )
            slab = w * 0.3 * density(z) * np.exp(-0.5 * ((x - z) / s) ** 2)
            expected = (slab @ z) / (slab.sum() + 0.7 * np.exp(-0.5 * (x / s) ** 2))
            return abs(float(closed(np.array(x), s)) - expected), {"x": x, "noise": s}

        return (trials(trial, n, seed=seed, tolerance=1e-8, what="equals quadrature"),)

    return check


def verify_atlas(n=40, seed=0):
    """Evidence of every row: ``{(section, key): evidence}``."""
    return {(row.section, row.key): row.verify(n, seed) for row in atlas()}


__all__ = ["AtlasRow", "atlas", "find_row", "verify_atlas", "weakest"]
