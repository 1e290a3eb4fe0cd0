"""From a prior to its layer: Bayes, what separates, stationarity, the prox, reading off the layer.

The scalar mathematics is derived by the symbolic island; here it is put into words and bound to the
package's own dictionaries, solvers and layers, which the checks run.
"""

from __future__ import annotations

import dataclasses
import reprlib

import numpy as np
import sympy as sp

from ..activations import known_name
from ..layers import Activation
from ..symbolic.curvature import curvature
from ..symbolic.deadline import within
from ..symbolic.evaluation import Z
from ..symbolic.evidence import trials
from ..symbolic.prox import X, same_regime, solve_prox
from ..symbolic.verify import verify_prox
from ..validation import InputError, as_number
from .inverse import ActivationPrior
from .mean import mean_derivation
from .model import Derivation, Step
from .named import as_prior, label, own_settings, scalar_penalty, settings_of, uniform_prior
from .one_step import one_step
from .parametric import parametric_derivation
from .refuting import (
    check_bayes,
    check_bias,
    check_curvature,
    check_joints,
    check_jumps,
    check_layer,
    check_slopes,
    minimise,
)
from .render import in_greek
from .separation import DICTIONARIES, atoms_of, separation
from .vector_rows import VECTOR_ROWS


def derive(
    prior, dictionary="orthonormal", noise=1.0, estimator="map", *, time_limit=20.0, **parameters
):
    """Derive the layer that codes under a prior, step by step, each step with its evidence.

    Parameters
    ----------
    prior : Prior, Explanation or str
        A scalar prior of the package; what ``explain`` found; the name of a row of ``atlas()``
        such as ``"exponential"``; or a penalty as a formula, ``"lam*abs(z) + alpha*z**2/2"``.
    dictionary : {"orthonormal", "orthogonal", "tight_frame", "general", "convolutional"}
        Which atoms: what separates, and whether one step is the code.
    noise : float
        Standard deviation of the noise. The formula is the penalty ``phi = -noise^2 log p``
        itself, so the MAP layer does not depend on it; the rates it stands for, ``lam/noise^2``,
        and the posterior mean do.
    estimator : {"map", "mean"}
        The most probable code (a prox), or the posterior mean (of orthonormal atoms).
    time_limit : float or None
        Seconds of computing after which it stops with an error; all checks of ``verify`` together
        have as many, and what is left open then is UNDECIDED. None sets no limit.
    **parameters : float
        Values for the names in a formula (default 1, or the nearest admissible).

    Returns
    -------
    Derivation

    Raises
    ------
    InputError
        If the model is ill-posed, an argument is none of the above, or time is over.

    References
    ----------
    Bowren 2021, sparse coding interpretation of neural networks (orthogonal atoms, one exponential
    rate per coefficient). Gribonval 2011, Should penalized least squares regression be interpreted
    as maximum a posteriori estimation?

    Examples
    --------
    >>> d = derive("lam*z", support="nonnegative")
    >>> d.result
    Piecewise((0, x <= lam), (-lam + x, True))
    >>> d.verify().verdict
    'CONFIRMED'
    """
    if dictionary not in DICTIONARIES:
        raise InputError(f"dictionary is {dictionary!r}; expected one of {DICTIONARIES}.")
    _refuse_vectors(prior)
    noise = as_number(noise, "noise", positive=True)
    if not 1e-150 < noise < 1e150:
        raise InputError(
            f"noise is {noise:g}, whose square leaves the range of floats; expected 1e-150 to "
            "1e150. Measure x in another unit."
        )
    found = within(
        time_limit,
        lambda: _derived(as_prior(prior, parameters), dictionary, noise, estimator),
        f"deriving {reprlib.repr(prior)}",
        _WAY_OUT,
    )
    return dataclasses.replace(found, time_limit=time_limit)


_WAY_OUT = (
    "Write the penalty with fewer functions or with simple exponents such as 1/2, or pass a larger "
    "time_limit (in seconds; None for no limit)."
)


def _derived(prior, dictionary, noise, estimator):
    if isinstance(prior, ActivationPrior):
        return parametric_derivation(prior)
    penalty, values = scalar_penalty(prior)
    if estimator == "mean":
        if dictionary != "orthonormal":
            raise InputError(
                f"dictionary is {dictionary!r} with estimator='mean'; expected 'orthonormal'. "
                "Otherwise the noise of D^T x differs or is correlated from coefficient to "
                "coefficient and the posterior mean is not one scalar function of it. Orthogonal "
                "atoms of norm c: scale them to norm 1 and pass the penalty of c z; else use "
                "estimator='map'."
            )
        bayes = _bayes(prior, penalty, values, noise)
        return mean_derivation(prior, penalty, settings_of(prior), noise, bayes)
    if estimator != "map":
        raise InputError(f"estimator is {estimator!r}; expected 'map' or 'mean'.")
    regimes = _regimes(penalty, own_settings(penalty, prior))
    steps = [_bayes(prior, penalty, values, noise), *separation(dictionary, prior)]
    for solution, settings in regimes:
        which = _atoms(settings) if len(regimes) > 1 else ""
        for step in _scalar_steps(prior, solution, settings[0]):
            steps.append(dataclasses.replace(step, claim=which + step.claim))
    solution = regimes[0][0]
    steps += _layer_steps(prior, regimes, dictionary)
    title = f"{label(prior)}, {dictionary} atoms"
    result = solution.expression
    if result is None:
        smooth = [b for b in solution.branches if b.piece is not None]
        open_ones = [b for b in smooth if b.value is None]
        result = sp.Eq(Z + (open_ones or smooth)[-1].piece.slope, X)
    return Derivation(title, tuple(steps), result, lambda: Activation(prior))


def _refuse_vectors(prior):
    rows = {row[0]: row for row in VECTOR_ROWS}
    name = known_name(prior, rows) if isinstance(prior, str) else None
    if name is not None:
        row = rows[name]
        raise InputError(
            f"{prior!r} ({row[1]}) is a prior of several coefficients at once, and derive "
            "takes priors of one. Use sc.atlas(), whose row of this name states the prox and "
            "tests it, or write the penalty of one coefficient as a formula in z."
        )


def _regimes(penalty, settings):
    """``(solution, [setting, ...])`` for every row of branches that some atom has."""
    found = []
    for setting in settings:
        for solution, members in found:
            if any(setting.values == known.values for known in members) or same_regime(
                solution.half, solution.samples[0], setting.values
            ):
                members.append(setting)
                break
        else:
            found.append((solve_prox(penalty, setting.values), [setting]))
    return found


def _atoms(settings):
    listed = ", ".join(str(setting.atom) for setting in settings[:8])
    return f"Atoms {listed}{', ...' if len(settings) > 8 else ''} (counted from 0): "


def latex(expression):
    """LaTeX with the package's parameter names as Greek letters."""
    return sp.latex(in_greek(expression))


# -- the steps ------------------------------------------------------------------------------
def _bayes(prior, penalty, values, noise):
    shown, s = penalty.expression, sp.Symbol("sigma")
    rates = [r for r in penalty.parameters if r.name in values and is_rate(shown, r)]
    names = ["r"] if len(rates) == 1 else [f"r_{k + 1}" for k in range(len(rates))]
    plain_rates = [sp.Symbol(name) for name in names]
    said = ", ".join(
        f"${sp.latex(p)} = {latex(r)}/\\sigma^2 = {values[r.name] / noise**2:.4g}$"
        for p, r in zip(plain_rates, rates, strict=True)
    )
    return Step(
        "By Bayes $\\log p(z\\,|\\,x) = -\\|x - Dz\\|^2/(2\\sigma^2) + \\sum_i \\log p(z_i) + "
        "\\mathrm{const}$, so the most probable code (MAP) minimises $E(z) = \\tfrac12\\|x - "
        "Dz\\|^2 "
        "+ \\sum_i \\varphi(z_i)$, $\\varphi = -\\sigma^2 \\log p$.",
        "minus the logarithm of likelihood times prior, times $\\sigma^2$; what does not depend on "
        "$z$ is dropped.",
        (
            f"$x = Dz + n$ with Gaussian noise of standard deviation $\\sigma = {noise:g}$",
            "independent coefficients of density $p = \\exp(-\\varphi/\\sigma^2)$, up to a factor"
            + (f", of rate {said}" if rates else ""),
        ),
        lambda: check_bayes(prior, penalty, shown, values, noise),
        [
            sp.Eq(sp.Symbol("phi"), shown, evaluate=False),
            *(sp.Eq(r, s**2 * p, evaluate=False) for p, r in zip(plain_rates, rates, strict=True)),
            *domain(penalty),
        ],
    )


def is_rate(penalty, parameter):
    """Whether a penalty is linear in a parameter: the variance of the noise times a rate."""
    slope = sp.diff(penalty, parameter)
    return slope.has(Z) and not slope.has(parameter)


def domain(penalty):
    """Where the penalty is finite, as relations."""
    low = [] if penalty.low == -sp.oo else [sp.Ge(Z, penalty.low, evaluate=False)]
    high = [] if penalty.high == sp.oo else [sp.Le(Z, penalty.high, evaluate=False)]
    return low + high


def _scalar_steps(prior, solution, setting):
    yield _stationarity(solution)
    joints = [b for b in solution.branches if b.piece is None]
    if joints:
        yield _joints(solution)
    yield _curvature_step(solution)
    if solution.jumps:
        yield _jump_step(solution)
    closed = "in closed form"
    if not solution.is_closed:
        branches = all(b.value is not None for b in solution.branches)
        closed += " except for its jump" if branches else " except for branches left to Newton"
    odd = " It is odd, so it is derived for $x \\geq 0$." if solution.is_even else ""
    yield Step(
        f"The prox, {closed}, is the row of branches below.{odd}",
        "each branch inverts $x = z + \\varphi'(z)$; the root is the one that passes its probes; "
        + "; ".join(dict.fromkeys(b.method for b in solution.branches)),
        _regime(setting),
        lambda: verify_prox(solution, tolerance=1e-10 * _size(solution)),
        solution,
        prior,
    )


def _size(solution):
    """The size of the objective at the inputs that are tried, which rounding is relative to."""
    x = np.linspace(-5, 5, 21)
    least = [minimise(solution.penalty, values, x)[0] for values in solution.samples[:2]]
    return max(1.0, float(np.abs(least).max()))


def _regime(setting):
    values = setting.given.items()
    shown = ", ".join(f"${latex(sp.Symbol(name))} = {value:g}$" for name, value in values)
    unit = f"; numbers are tried in units of {setting.length:.4g}" * (setting.length != 1)
    return (f"the regime of {shown}{unit}",) if shown else ()


def _stationarity(solution):
    pieces = dict.fromkeys(b.piece for b in solution.branches if b.piece is not None)
    shown = [(piece, sp.Eq(X, sp.Add(Z, piece.slope))) for piece in pieces]
    return Step(
        "Inside a piece of the penalty the minimiser solves $x = z + \\varphi'(z)$.",
        "the derivative of $\\tfrac12(x - z)^2 + \\varphi(z)$ vanishes there.",
        ("one sample of the noise model; the scalar problem of the step before",),
        lambda: check_slopes(solution.penalty, shown, solution.samples),
        [equation for _, equation in shown],
    )


def _joints(solution):
    formulas = []
    for branch, following in zip(solution.branches, (*solution.branches[1:], None), strict=True):
        if branch.piece is None:
            end = sp.oo if following is None else following.start.value
            formulas.append((branch.value, branch.start.value, end))

    shown = "; ".join(
        f"$z = {latex(v)}$ for ${_interval(a, b, solution.is_even)}$" for v, a, b in formulas
    )
    return Step(
        f"At a joint every input in its subdifferential is sent to it: {shown}.",
        "zero lies between the one-sided derivatives of $\\tfrac12(x - z)^2 + \\varphi(z)$ (or, at "
        "a jump, the objective is lower there).",
        (),
        lambda: check_joints(solution, formulas),
    )


def _interval(low, high, even):
    name = "|x|" if even else "x"
    if low == -sp.oo:
        return f"{name} \\leq {latex(high)}" if high != sp.oo else f"{name} \\in \\mathbb{{R}}"
    if high == sp.oo:
        return f"{name} \\geq {latex(low)}"
    return f"{latex(low)} \\leq {name} \\leq {latex(high)}"


def _curvature_step(solution):
    found = curvature(solution)
    if found.convex:
        claim = "The penalty is convex, so the prox is single-valued and 1-Lipschitz."
        because = "slopes increase along and across the pieces (Moreau)."
    elif found.weakly_convex:
        claim = "The penalty is not convex, but $\\varphi + z^2/2$ is: the prox is continuous."
        because = "$1 + \\varphi'' \\geq 0$ in this regime, with no downward kink."
    else:
        claim = "The prox jumps: $\\varphi + z^2/2$ is not convex in this regime."
        because = "the objective has competing local minima."
    if found.condition not in (None, True, sp.true):
        claim += (
            f" Between the joints $\\inf \\varphi'' = {latex(found.least)}$: the curvature "
            "allows one "
            f"answer for every $x$ iff ${latex(found.condition)}$."
        )

    return Step(claim, because, (), lambda: check_curvature(solution, found))


def _jump_step(solution):
    closed = [t for t in solution.jumps if t.is_closed]
    open_ones = [t for t in solution.jumps if not t.is_closed]
    where = "; ".join(f"$x_T = {latex(t.value)}$" for t in closed)
    if open_ones:
        where = (where + "; " if where else "") + "a transcendental root found by bisection"

    return Step(
        f"The jump is where both sides have equal objectives: {where}.",
        "solved in $z$: $x = z + \\varphi'(z)$ turns the tie into one equation in $z$.",
        (),
        lambda: check_jumps(solution),
        [sp.Eq(t.equation, 0) for t in solution.jumps if t.equation is not None] or None,
    )


# -- reading off the layer ------------------------------------------------------------------
def _layer_steps(prior, regimes, dictionary):
    solution = regimes[0][0]
    bias, rest = _bias(solution.penalty)
    here = _said_of_bias(bias, rest)
    yield Step(
        "The bias rule: a linear term $\\lambda z$ in the penalty is a bias $-\\lambda$ before the "
        f"activation, $\\mathrm{{prox}}_{{\\varphi + \\lambda z}}(x) = "
        f"\\mathrm{{prox}}_\\varphi(x - \\lambda)$. {here}",
        "$\\tfrac12(x - z)^2 + \\lambda z = \\tfrac12(x - \\lambda - z)^2$ up to a constant "
        "in $z$.",
        (),
        lambda: check_bias(solution, bias, rest),
    )
    shown = f"bias ${latex(-bias)}$" if bias != 0 else "no bias"
    yield Step(
        f"Read off the layer: weights are the atoms, {shown}, the activation is the prox.",
        "$b = D^T x$ is what the linear part computes; the prox acts on each coefficient.",
        (),
        lambda: check_layer(prior, regimes),
    )
    if dictionary == "orthogonal":
        yield Step(
            "For atoms of norm $c$ the code is $\\mathrm{prox}_{\\varphi/c^2}(D^T x/c^2)$: a plain "
            "layer up to scale.",
            "divide the scalar problem by $c^2$.",
            ("orthogonal atoms; $c = c_i$ may differ from atom to atom",),
            lambda: _check_scaled_atoms(prior, regimes[0][1][0]),
        )
    if dictionary in ("tight_frame", "general", "convolutional"):
        yield from one_step(uniform_prior(prior), dictionary)


def _said_of_bias(bias, rest):
    if bias == 0:
        return "This penalty has no linear term, so the layer has no bias."
    if rest == 0:
        return (
            f"Here $\\varphi = {latex(bias * Z)}$ on its support, so the bias is ${latex(-bias)}$ "
            "and the activation the projection on the support."
        )
    return (
        f"Here $\\varphi = {latex(rest)} + ({latex(bias)})\\,z$, so the bias is "
        f"${latex(-bias)}$ and the activation the prox of ${latex(rest)}$."
    )


def _bias(penalty):
    """The rate of a linear term and the penalty without it."""
    expanded = sp.expand(penalty.expression)
    rate = sp.Add(*(t / Z for t in sp.Add.make_args(expanded) if t != 0 and not (t / Z).has(Z)))
    return rate, penalty.expression if rate == 0 else sp.expand(expanded - rate * Z)


def _check_scaled_atoms(prior, setting):
    one, (penalty, _) = uniform_prior(prior), scalar_penalty(prior)

    def trial(rng):
        c = rng.uniform(1.0, 2.0)
        d = atoms_of("orthogonal", rng, gain=c)
        x = rng.standard_normal((1, 6)) * 2
        b = d.analyze(x)[0] / c**2
        z = one.prox(b[None] * setting.length, 1 / c**2)[0] / setting.length
        best = penalty.envelope(setting.values, 1 / c**2).prox(b)[0]
        return float(np.abs(z - best).max()), {"c": c, "b": b[0], "z": z[0]}

    return trials(trial, 20, tolerance=1e-9, what="the layer is the scaled prox")
