"""The verdict on a function of one variable: each claim with the evidence it rests on."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import sympy as sp

from ..priors import SymbolicPrior
from ..symbolic.cancellation import precise
from ..symbolic.evaluation import Z, numeric
from ..symbolic.evidence import CONFIRMED, PROVED, REFUTED, Evidence, weakest
from ..symbolic.parser import names_in, symbol
from ..symbolic.penalty import Penalty
from ..symbolic.signs import Rise, is_tame, is_zero_at, larger, rise
from ..validation import InputError
from .explanation import Explanation
from .inverse import ActivationPrior
from .known import KNOWN, KnownActivation
from .sampling import NEAR, REACH, sample, underflows

#: agreement of the prior's prox with the activation, relative to order one
_SAME = 1e-9


UNLISTED = KnownActivation("")


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a verdict is about.

    Attributes
    ----------
    name : str
    function : callable
        On arrays.
    expression : sympy.Expr or None
        The same of ``Z`` alone, with exact numbers.
    known : KnownActivation
        With the parameters' actual values.
    parts : tuple of Subject
        If it is a composition: the functions, first to last.
    black_box : bool
        Whether it can only be evaluated.
    """

    name: str
    function: object
    expression: object = None
    known: KnownActivation = UNLISTED
    parts: tuple = ()
    black_box: bool = False

    @functools.cached_property
    def rise(self):
        """What is proved of its slope, or None."""
        if self.parts:
            return _composed([part.rise for part in self.parts])
        if self.expression is None or sp.count_ops(self.expression) > 150:
            return None
        try:
            return rise(self.expression)
        except (ArithmeticError, InputError, NotImplementedError, RecursionError, TypeError,
                ValueError):  # fmt: skip
            return None


def exact(expression, parameters):
    """The expression at these parameters, floats taken as the rationals they print as."""
    table = {
        s: sp.Rational(repr(float(parameters[s.name])))
        for s in expression.free_symbols
        if s.name in parameters
    }
    return expression.xreplace(table)


def _composed(rises):
    """Compositions of nondecreasing functions are, and of 1-Lipschitz ones too."""
    if any(r is None for r in rises):
        return None
    found = []
    for field, claim in (("monotone", "nondecreasing"), ("lipschitz", "1-Lipschitz")):
        verdict = weakest([getattr(r, field) for r in rises])
        found.append(Evidence("symbolic", verdict, f"each of {len(rises)} parts is {claim}"))
    return Rise(*found, ())


def explain_black_box(name, function):
    """The verdict on an elementwise function that can only be evaluated."""
    known = KNOWN.get(name, UNLISTED)  # a claim about it is tested before it is made
    return explain_scalar(Subject(name, function, known=known, black_box=True))


def explain_scalar(subject):
    """The verdict on one subject."""
    samples = sample(subject.function, subject.name)
    pair = _falling_pair(subject, samples)
    if pair is not None:
        return _refuted(subject, samples, *pair)
    reach, seen = _reach(samples)
    monotone = _proved(subject, "monotone") or Evidence("numeric", CONFIRMED, f"no fall at {seen}")
    steep, largest = _steepness(subject, samples)
    facts = {"convex": steep is None, "largest_slope": largest, **_zeros(subject, samples)}
    prior, penalty, inverse, known = _prior_of(subject, samples, facts)
    facts["posterior_mean"] = _posterior_reading(known, samples)
    checks = [monotone, steep or _proved(subject, "lipschitz")]
    if checks[1] is None:
        quotient = f"no difference quotient above 1 + 1e-6 at {reach}: {largest:.10g} at most"
        checks[1] = Evidence("numeric", CONFIRMED, quotient)
    checks.append(inverse)
    verdict = weakest([c for c in checks if c is not None])
    proper = facts.pop("proper")
    return Explanation(
        subject.name,
        True,
        "sampled" if subject.black_box else {PROVED: "proved"}.get(verdict, "confirmed"),
        prior,
        penalty,
        proper=prior.is_proper if isinstance(prior, SymbolicPrior) else proper,
        reason=_reason(facts["convex"], checks, seen if subject.black_box else ""),
        formula=subject.known.formula,
        parameters=subject.known.parameters,
        support=known.support if known.penalty else "real",
        checks=tuple(c for c in checks if c is not None),
        sampling=samples.confidence(),
        **facts,
    )


def _reason(convex, checks, seen):
    """Why it is a prox, and how far the numbers reach that stand in for a proof."""
    reason = "nondecreasing" + (
        " and 1-Lipschitz, so the prox of a convex penalty (Moreau)"
        if convex
        else ", so the prox of a penalty that is not convex (Gribonval and Nikolova)"
    )
    open_ = [c.detail for c in checks if c is not None and c.verdict != PROVED]
    return "; ".join([reason, *([f"no fall at {seen}"] if seen else open_)])


def _reach(samples):
    """How far the samples speak, in words: short, and with what a fall must be to be seen."""
    reach = f"{len(samples.x)} points of an adaptive grid in [-{REACH:g}, {REACH:g}]"
    seen = (
        f"{reach}, smallest slope {samples.slopes.min():.2g}; a fall that stays lower for more "
        f"than {samples.confidence()['widest_unseen_dip'][f'|x| <= {NEAR:g}']:g} "
        f"(beyond |x| = {NEAR:g}: ten times that), by more than {samples.rounding:g} max(1, |f|), "
        "would have been seen"
    )
    return reach, seen


def _proved(subject, claim):
    found = None if subject.black_box or subject.rise is None else getattr(subject.rise, claim)
    return found if found is not None and found.verdict == PROVED else None


def _steepness(subject, samples):
    """Evidence of a slope above 1 (None without one), and the largest slope."""
    largest = samples.largest_slope
    if largest <= 1 + (1e-6 if samples.rounding < 1e-8 else 1e-2):
        return None, largest
    h = np.diff(samples.x)
    quotient = np.where(h >= 1e-6, np.diff(samples.y) / h, -np.inf)
    k = int(np.argmax(quotient))
    x, y = float(samples.x[k]), float(samples.x[k + 1])
    where = f"(f(y) - f(x))/(y - x) = {quotient[k]:.6g} at x = {x:.10g}, y = {y:.10g}"
    if subject.expression is not None:
        found = larger(subject.expression - Z, y, x)
        if found.verdict == PROVED:
            return Evidence("exact", PROVED, f"a slope above 1: {where}"), largest
    return Evidence("numeric", CONFIRMED, f"a slope above 1: {where}"), largest


def _zeros(subject, samples):
    """Dead zone, and whether the tails of ``exp(-phi)`` are integrable."""
    x, y = samples.x, samples.y
    sparse = any(_is_dead(subject, *ends) for ends in samples.zero_stretches)
    if not subject.black_box and subject.rise is not None and subject.rise.flat:
        sparse = True
    # phi'(z) = sigma^{-1}(z) - z: the prior is proper if it exceeds 1/z where z is unbounded
    far = np.array([20.0, 40.0, REACH])
    ends = []
    for sign in (-1, 1):
        at = np.interp(sign * far, x, y)
        unbounded = abs(at[-1] - at[0]) > 0.02 * abs(at[-1]) and abs(at[-1]) > 2
        with np.errstate(over="ignore"):
            rises = ((far - sign * at) * sign * at > 1.05).all()
        ends.append(bool(rises) if unbounded else True)
    return {"sparse": sparse, "proper": all(ends)}


def _is_dead(subject, low, high):
    """Whether a stretch of computed zeros holds zeros and not numbers too small for doubles."""
    if subject.expression is None:
        return not underflows(subject.function, low, high)
    return is_zero_at(subject.expression, low + (high - low) * np.array([0.31, 0.5, 0.77]))


def _posterior_reading(known, samples):
    """Of which prior it is the posterior mean; a flat or a kink says of none."""
    if known.posterior_mean:
        return known.posterior_mean
    h = 1e-3
    at = np.arange(-5, 5 + h / 2, h)
    slopes = np.diff(np.interp(at, samples.x, samples.y)) / h
    kinks = np.abs(np.diff(slopes)) > 0.02 + 20 * h
    return False if (slopes == 0).any() or kinks.any() else None


# -- no prox --------------------------------------------------------------------------------
def _falling_pair(subject, samples):
    """Two points between which it falls, or None: seen by the samples, or proved of the formula."""
    if samples.fall is not None:
        low, high = (float(x) for x in samples.x[list(samples.fall)])
        if _falls(subject, low, high):
            return low, high
    if subject.black_box or subject.rise is None or not subject.rise.falls:
        return None
    return subject.rise.falls[0]


def _falls(subject, low, high):
    """Whether a fall of the computed values is one of the function, and none of its rounding."""
    if subject.expression is None:
        return True
    found = larger(subject.expression, low, high).verdict
    return found == PROVED or (found != REFUTED and _heights(subject, low, high)[2] > 0)


def _heights(subject, low, high):
    """``(f(low), f(high), f(low) - f(high))``, of a formula with as many digits as it takes."""
    if subject.expression is None:
        at, to = subject.function(np.array([low, high], dtype=float))
        return float(at), float(to), float(at - to)
    at, to = (
        subject.expression.subs(Z, Z + (x if isinstance(x, sp.Basic) else sp.Rational(repr(x))))
        for x in (low, high)
    )
    return tuple(float(precise(e, np.zeros(1))[0]) for e in (at, to, at - to))


def _refuted(subject, samples, low, high):
    """A decreasing pair, rounded to numbers a reader can check by hand if such a pair exists."""
    depth = float(np.subtract(*subject.function(np.array([low, high], dtype=float))))
    for reach, digits in ((4, 0), (8, 0), (8, 1), (8, 2), (8, 3)):
        nice = np.unique(np.round(samples.x[np.abs(samples.x) <= reach], digits)) + 0.0
        at = np.asarray(subject.function(nice), dtype=float)
        gap = np.maximum.accumulate(at) - at
        k = int(np.argmax(gap))
        if depth > 1e-4 and gap[k] > max(1e-4, 0.02 * min(depth, 1.0)):
            pair = float(nice[np.argmax(at[: k + 1])]), float(nice[k])
            if _falls(subject, *pair):
                low, high = pair
                break
    f_low, f_high, fall = _heights(subject, low, high)
    check = _fall_evidence(subject, low, high, fall, samples)
    low, high = float(low), float(high)
    digits = 10 if f"{low:.10g}" != f"{high:.10g}" else 17
    return Explanation(
        subject.name,
        False,
        {PROVED: "proved", CONFIRMED: "sampled"}[check.verdict],
        witness={"x": low, "y": high, "f(x)": f_low, "f(y)": f_high, "fall": fall},
        convex=False,
        reason=f"decreasing: f({low:.{digits}g}) - f({high:.{digits}g}) = {fall:.4g} > 0, and a "
        "prox is nondecreasing",
        formula=subject.known.formula,
        parameters=subject.known.parameters,
        checks=(check,),
        sampling=samples.confidence(),
    )


def _fall_evidence(subject, low, high, fall, samples):
    """A fall of a formula is proved if intervals enclose it, of a black box far beyond rounding."""
    if subject.expression is not None:
        found = larger(subject.expression, low, high)
        if found.verdict == PROVED:
            return found
        text = f"f(x) - f(y) = {fall:.6g} where two precisions agree; not enclosed by intervals"
        return Evidence("numeric", CONFIRMED, text)
    text = f"f(x) - f(y) = {fall:.6g} as computed"
    if fall > 1e4 * samples.rounding * max(1.0, abs(low), abs(high)):
        return Evidence("exact", PROVED, f"{text}, far more than rounding")
    return Evidence("numeric", CONFIRMED, f"{text}; it might be rounding")


# -- the prior ------------------------------------------------------------------------------
def _prior_of(subject, samples, facts):
    """The prior, its penalty in words, the evidence for it, and the row it came from."""
    known = subject.known
    prior = _closed(subject)
    if prior is not None:
        proof = None if subject.black_box else _inverse_proof(known, subject)
        return prior, known.penalty, proof, known
    prior = ActivationPrior(
        subject.function,
        subject.name,
        convex=all(_proved(subject, claim) is not None for claim in ("monotone", "lipschitz")),
        sparse=facts["sparse"],
        proper=facts["proper"],
    )
    mean = known.posterior_mean if not known.penalty else ""
    text = "phi(sigma(x)) = x sigma(x) - int_0^x sigma - sigma(x)^2/2"
    return prior, text, None, KnownActivation("", posterior_mean=mean)


def _closed(subject):
    """The prior of the table's penalty, if its prox is this function."""
    known = subject.known
    if not known.penalty:
        return None
    used = {n: v for n, v in known.parameters.items() if n in _names_of(known)}
    try:
        prior = SymbolicPrior(known.penalty, support=known.support, **used)
    except InputError:
        return None  # these parameters are outside what the closed form covers
    x = np.concatenate([np.linspace(-9, 9, 361), [-30.0, 25.0]]) + 0.0123
    error = float(np.abs(prior.prox(x) - subject.function(x)).max())
    return prior if error <= _SAME else None


def _names_of(known):
    texts = [known.penalty]
    if not isinstance(known.support, str):
        texts += [e for e in known.support if isinstance(e, str)]
    return {n for t in texts for n in names_in(t) if n != "z"}


def _inverse_proof(known, subject):
    """Evidence that the penalty's prox is the activation: ``sigma(z + phi'(z)) = z`` on pieces."""
    what = "sigma(z + phi'(z)) = z on every piece of the penalty"
    try:
        penalty = _exact_penalty(known)
        tame = is_tame(penalty.expression) and is_tame(subject.expression)
        if tame and _inverts(penalty, subject.expression):
            return Evidence("symbolic", PROVED, f"{what}, by simplification; the support is right")
    except (ArithmeticError, NotImplementedError, RecursionError, StopIteration, TypeError,
            ValueError):  # fmt: skip
        pass
    return Evidence(
        "numeric", CONFIRMED, f"the penalty's prox agrees to {_SAME:g} at 363 inputs in [-30, 25]"
    )


def _exact_penalty(known):
    signed = [n for n, v in known.parameters.items() if v <= 0]
    names = tuple(known.parameters)
    penalty = Penalty.from_text(known.penalty, known.support, names, signed)
    assert all(s == symbol(s.name, s.name in signed) for s in penalty.parameters)
    parts = (exact(e, known.parameters) for e in (penalty.expression, penalty.low, penalty.high))
    expression, low, high = parts
    return Penalty(expression, (), low, high)


def _inverts(penalty, sigma):
    """Whether a continuous activation and a continuous penalty are inverse to each other.

    On each piece of the penalty ``sigma(F(z)) = z`` with ``F(z) = z + phi'(z)`` and one piece of
    ``sigma``; F cannot leave that piece, because its ends have images outside the penalty's piece;
    and the penalty is finite exactly on the closed range of ``sigma``. With ``sigma``
    nondecreasing, F is then its inverse, so ``phi + z^2 / 2`` is convex with this derivative.
    """
    whole = Penalty(sigma, ())
    curves = whole.pieces({})
    if not (_continuous(curves) and _continuous(penalty.pieces({}))):
        return False
    ends = (curves[0].at(-sp.oo), curves[-1].at(sp.oo))
    if any(sp.simplify(a - b) != 0 for a, b in zip(ends, (penalty.low, penalty.high), strict=True)
           if a != b):  # fmt: skip
        return False
    for piece in penalty.pieces({}):
        forward = Z + piece.slope
        at = float(numeric(forward, (Z,))(np.array([_middle(piece)]))[0])
        inner = next(c for c in curves if float(c.low) <= at <= float(c.high))
        for end in (inner.low, inner.high):
            image = inner.at(end)
            if float(piece.low) < float(image) < float(piece.high):
                return False
        if not _vanishes(inner.value.subs(Z, forward) - Z, piece):
            return False
    return True


def _vanishes(residue, piece):
    """Zero by simplification, or a constant (its slope simplifies to zero) that is zero once."""
    if sp.simplify(residue) == 0:
        return True
    inside = sp.S.Zero if float(piece.low) < 0 < float(piece.high) else None
    return inside is not None and sp.simplify(sp.diff(residue, Z)) == 0 == residue.subs(Z, inside)


def _continuous(pieces):
    return all(sp.simplify(a.at(a.high) - b.at(b.low)) == 0 for a, b in itertools.pairwise(pieces))


def _middle(piece):
    from ..symbolic.solve import probe_points

    return float(probe_points(float(piece.low), float(piece.high), 3)[1])
