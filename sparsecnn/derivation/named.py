"""What ``derive`` takes for a prior: an object, a row's name, a formula, or an explanation."""

from __future__ import annotations

import dataclasses
import reprlib
from typing import NamedTuple

import numpy as np

from .. import priors
from ..activations import known_name
from ..priors import Prior, SymbolicPrior
from ..priors.symbolic import RESERVED, check_names, own_unit
from ..symbolic.penalty import Penalty
from ..validation import InputError, InputTypeError, did_you_mean
from .callables import refuse_class
from .rows import SCALAR

#: a unit of length from here to its inverse is near enough to 1 to keep the numbers as given
_NEAR = 0.02


def prior_of_row(row, **changed):
    """The prior of a row of ``SCALAR``, of the package's own class where it has one."""
    _, _, kind, penalty, support, values, *_ = row
    values = {**values, **changed}
    if kind:
        return getattr(priors, kind)(**values)
    return SymbolicPrior(penalty, support=support, **values)


def as_prior(prior, parameters=None):
    """A Prior from a Prior, an Explanation, a row's name or a formula."""
    refuse_class(prior, "prior")
    parameters = dict(parameters or {})
    support = parameters.pop("support", "real")
    if isinstance(prior, str):
        rows = {row[0]: row for row in SCALAR}
        name = known_name(prior, rows)
        if name is not None:
            return prior_of_row(rows[name], **parameters)
        return _prior_of_formula(prior, support, parameters)
    if parameters:
        raise InputError(f"got {sorted(parameters)} besides a prior; expected them with a formula.")
    if hasattr(prior, "is_prox"):
        if prior.prior is None:
            raise InputError(f"{prior.name} has no prior: {prior.reason}")
        return prior.prior
    if not isinstance(prior, Prior):
        raise InputTypeError(
            f"prior is {prior!r}; expected a Prior, a formula such as 'lam*abs(z)', or the name of "
            "a row of sc.atlas()."
        )
    return prior


#: names that mean something to ``derive``, on its pages or to the prior
_RESERVED = (
    *RESERVED, "prior", "dictionary", "noise", "estimator", "time_limit", "sigma", "phi"
)  # fmt: skip


def _prior_of_formula(formula, support, parameters):
    if formula.strip().isidentifier() and formula.strip() != "z":
        raise InputError(
            f"prior is {reprlib.repr(formula)}; expected a penalty in z such as 'lam*abs(z)', or "
            f"one of {', '.join(row[0] for row in SCALAR)}."
            + did_you_mean(formula.strip(), [row[0] for row in SCALAR])
        )
    support = tuple(support) if isinstance(support, list) else support
    missing = [n for n in check_names(formula, support, _RESERVED) if n not in parameters]
    rng, refusal = np.random.default_rng(0), None
    for attempt in range(12):
        values = {n: float(np.exp(rng.uniform(-1, 1))) if attempt else 1.0 for n in missing}
        try:
            return SymbolicPrior(formula, support=support, **parameters, **values)
        except InputError as error:
            refusal = refusal or error
            if not missing:
                break
    raise refusal


def scalar_penalty(prior):
    """``(Penalty, values)`` of one coefficient of a scalar prior.

    Raises
    ------
    InputError
        For priors that couple coefficients.

    Notes
    -----
    Of the first atom, where parameters differ from atom to atom.
    """
    if not prior.is_separable or not prior.formula:
        raise InputError(
            f"{type(prior).__name__} couples coefficients or carries no formula; sc.atlas() gives "
            "its prox with the evidence."
        )
    settings = settings_of(prior)
    values = settings[0]
    signed = tuple(n for n in values if any(other[n] <= 0 for other in settings))
    penalty = Penalty.from_text(prior.formula, prior.support, tuple(values), signed)
    return penalty, values


def settings_of(prior):
    """The parameters of every atom of a scalar prior, as dicts; one for a prior of numbers."""
    n = max([np.shape(v)[0] for v in prior.parameters.values() if np.ndim(v)], default=1)
    columns = {k: np.broadcast_to(v, n).tolist() for k, v in prior.parameters.items()}
    return [{k: float(v[atom]) for k, v in columns.items()} for atom in range(n)]


class Setting(NamedTuple):
    """The parameters of one atom, as given and as they are tried.

    ``values`` are ``given`` in units of ``length``, so that the numbers are of order one; a prox
    is the same in any unit.
    """

    atom: int
    given: dict
    values: dict
    length: float


def own_settings(penalty, prior):
    """A ``Setting`` for every atom of a scalar prior; in another unit where the scale is far."""
    found = []
    for atom, given in enumerate(settings_of(prior)):
        own = own_unit(penalty, tuple(given.values()))
        far = not _NEAR < own.length < 1 / _NEAR
        found.append(Setting(atom, given, *((own.named, own.length) if far else (given, 1.0))))
    return found


def uniform_prior(prior):
    """The prior with one value for all atoms, so that it fits any dictionary."""
    changed = {n: float(np.ravel(v)[0]) for n, v in prior.parameters.items() if np.ndim(v)}
    return dataclasses.replace(prior, **changed) if changed else prior


def label(prior):
    """A short name for titles."""
    return prior.formula if type(prior).__name__ == "SymbolicPrior" else type(prior).__name__
