"""From a prior to its layer: Bayes, what separates, stationarity, the prox, reading off the layer.

The scalar mathematics is derived by the symbolic island; here it is put into words and bound to the
package's own dictionaries, solvers and layers, which the checks run.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import sympy as sp

from ..layers import Activation
from ..symbolic.curvature import curvature
from ..symbolic.evidence import CONFIRMED, PROVED, REFUTED, Evidence, identity, trials
from ..symbolic.penalty import Z, number
from ..symbolic.prox import X, solve_prox
from ..symbolic.verify import verify_prox
from ..validation import InputError, as_number
from .inverse import ActivationPrior
from .model import Derivation, Step
from .named import as_prior, label, scalar_penalty, uniform_prior
from .one_step import one_step
from .parametric import parametric_derivation
from .posterior import PosteriorMean, posterior_moments
from .render import in_greek
from .separation import DICTIONARIES, atoms_of, separation


def derive(prior, dictionary="orthonormal", noise=1.0, estimator="map", **parameters):
    """Derive the layer that codes under a prior, step by step, each step with its evidence.

    Parameters
    ----------
    prior : Prior, Explanation or str
        A scalar prior of the package; what ``explain`` found; the name of a row of ``atlas()``
        such as ``"exponential"``; or a penalty as a formula, ``"lam*abs(z) + alpha*z**2/2"``.
    dictionary : {"orthonormal", "orthogonal", "tight_frame", "general", "convolutional"}
        Which atoms: what separates, and whether one step is the code.
    noise : float
        Standard deviation of the noise; ``phi = -noise^2 log p``.
    estimator : {"map", "mean"}
        The most probable code (a prox), or the posterior mean.
    **parameters : float
        Values for the names in a formula (default 1, or the nearest admissible).

    Returns
    -------
    Derivation

    Raises
    ------
    InputError
        If the model is ill-posed, or an argument is none of the above.

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
    noise = as_number(noise, "noise", positive=True)
    prior = as_prior(prior, parameters)
    if isinstance(prior, ActivationPrior):
        return parametric_derivation(prior)
    penalty, values = scalar_penalty(prior)
    if estimator == "mean":
        return _mean_derivation(prior, penalty, values, noise)
    if estimator != "map":
        raise InputError(f"estimator is {estimator!r}; expected 'map' or 'mean'.")
    solution = solve_prox(penalty, values)
    steps = (
        _bayes(penalty, values, noise),
        *separation(dictionary, prior),
        *_scalar_steps(prior, solution),
        *_layer_steps(prior, solution, dictionary),
    )
    title = f"{label(prior)}, {dictionary} atoms"
    result = solution.expression
    if result is None:
        smooth = [b for b in solution.branches if b.piece is not None]
        open_ones = [b for b in smooth if b.value is None]
        result = sp.Eq(Z + (open_ones or smooth)[-1].piece.slope, X)
    return Derivation(title, steps, result, lambda: Activation(prior))


def latex(expression):
    """LaTeX with the package's parameter names as Greek letters."""
    return sp.latex(in_greek(expression))


# -- the steps ------------------------------------------------------------------------------
def _bayes(penalty, values, noise):
    s, c = sp.Symbol("sigma", positive=True), sp.Symbol("c", real=True)
    phi = penalty.pieces(values)[-1].value
    log_posterior = -((X - Z) ** 2) / (2 * s**2) - phi / s**2 + c
    energy = (X - Z) ** 2 / 2 + phi

    def check():
        residue = sp.diff(-(s**2) * log_posterior - energy, Z)
        points = [{**values, "x": 0.3, "z": 0.7, "sigma": noise, "c": 0.1}]
        return identity(residue, points, what="the derivatives in z agree")

    return Step(
        "By Bayes $\\log p(z\\,|\\,x) = -\\|x - Dz\\|^2/(2\\sigma^2) + \\sum_i \\log p(z_i) + "
        "\\mathrm{const}$, so the most probable code (MAP) minimises $E(z) = \\tfrac12\\|x - "
        "Dz\\|^2 "
        "+ \\sum_i \\varphi(z_i)$, $\\varphi = -\\sigma^2 \\log p$.",
        "minus the logarithm of likelihood times prior, times $\\sigma^2$; what does not depend on "
        "$z$ is dropped.",
        ("$x = Dz + n$ with Gaussian noise of variance $\\sigma^2$", "independent coefficients"),
        check,
        [sp.Eq(sp.Symbol("phi"), penalty.expression, evaluate=False), *domain(penalty)],
    )


def domain(penalty):
    """Where the penalty is finite, as relations."""
    low = [] if penalty.low == -sp.oo else [sp.Ge(Z, penalty.low, evaluate=False)]
    high = [] if penalty.high == sp.oo else [sp.Le(Z, penalty.high, evaluate=False)]
    return low + high


def _scalar_steps(prior, solution):
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
        _regime(solution),
        lambda: verify_prox(solution),
        solution,
        prior,
    )


def _regime(solution):
    values = solution.samples[0].items()
    shown = ", ".join(f"${latex(sp.Symbol(name))} = {value:g}$" for name, value in values)
    return (f"the regime of {shown}",) if shown else ()


def _stationarity(solution):
    pieces = [b.piece for b in solution.branches if b.piece is not None]

    def check():
        found = []
        for piece in dict.fromkeys(pieces):
            points = [{**v, "z": z} for v in solution.samples for z in _inside(piece, v)]
            residue = sp.diff(piece.value, Z) - piece.slope
            found.append(identity(residue, points, what="slope of the piece"))
        return found or Evidence("symbolic", PROVED, "no smooth piece is visited: joints only")

    return Step(
        "Inside a piece of the penalty the minimiser solves $x = z + \\varphi'(z)$.",
        "the derivative of $\\tfrac12(x - z)^2 + \\varphi(z)$ vanishes there.",
        ("one sample of the noise model; the scalar problem of the step before",),
        check,
        [sp.Eq(X, sp.Add(Z, p.slope)) for p in dict.fromkeys(pieces)],
    )


def _inside(piece, values):
    from ..symbolic.solve import probe_points

    low, high = number(piece.low, values), number(piece.high, values)
    return [float(z) for z in probe_points(low, high, 4)]


def _joints(solution):
    formulas = []
    for branch, following in zip(solution.branches, (*solution.branches[1:], None), strict=True):
        if branch.piece is None:
            end = sp.oo if following is None else following.start.value
            formulas.append((branch.value, branch.start.value, end))

    def check():
        return [
            _joint_is_best(solution, k) for k, b in enumerate(solution.branches) if b.piece is None
        ]

    shown = "; ".join(
        f"$z = {latex(v)}$ for ${_interval(a, b, solution.is_even)}$" for v, a, b in formulas
    )
    return Step(
        f"At a joint every input in its subdifferential is sent to it: {shown}.",
        "zero lies between the one-sided derivatives of $\\tfrac12(x - z)^2 + \\varphi(z)$ (or, at "
        "a jump, the objective is lower there).",
        (),
        check,
    )


def _interval(low, high, even):
    name = "|x|" if even else "x"
    if low == -sp.oo:
        return f"{name} \\leq {latex(high)}" if high != sp.oo else f"{name} \\in \\mathbb{{R}}"
    if high == sp.oo:
        return f"{name} \\geq {latex(low)}"
    return f"{latex(low)} \\leq {name} \\leq {latex(high)}"


def _joint_is_best(solution, k):
    half, joint = solution.half, solution.branches[k].value

    def prox(x, values):
        return np.full(x.shape, number(joint, values))

    worst = []
    for values in solution.samples[:2]:
        branches = half.envelope(values).branches
        shift = len(branches) - len(solution.branches)
        low = branches[k + shift].start
        last = k + shift + 1 == len(branches)
        high = np.inf if last else branches[k + shift + 1].start
        low = max(low, min(high, 6.0) - 12.0)
        high = min(high, low + 12.0)
        x = low + (high - low) * np.array([0.001, 0.3, 0.6, 0.999])
        worst.append(_excess(half, values, x, prox))
    worst = float(np.max(worst))
    verdict = CONFIRMED if worst <= 1e-10 else REFUTED
    return Evidence(
        "numeric", verdict, f"the joint {joint} is not beaten on its interval, excess {worst:.1e}"
    )


def _excess(penalty, values, x, prox):
    from ..symbolic.evidence import excess

    return float(excess(penalty, values, x, prox(x, values)).max())


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

    def check():
        points = np.linspace(-6, 6, 481)
        slopes = []
        for values in solution.samples[:2]:
            z = solution.penalty.envelope(values).prox(points)[0]
            slopes.append(np.diff(z) / np.diff(points))
        steepest, least = float(np.max(slopes)), float(np.min(slopes))
        holds = least >= -1e-9 and (not found.convex or steepest <= 1 + 1e-9)
        detail = f"difference quotients of the prox lie in [{least:.3g}, {steepest:.4g}]"
        return Evidence("numeric", CONFIRMED if holds else REFUTED, detail)

    return Step(claim, because, (), check)


def _jump_step(solution):
    closed = [t for t in solution.jumps if t.is_closed]
    open_ones = [t for t in solution.jumps if not t.is_closed]
    where = "; ".join(f"$x_T = {latex(t.value)}$" for t in closed)
    if open_ones:
        where = (where + "; " if where else "") + "a transcendental root found by bisection"

    def check():
        worst = 0.0
        for values in solution.samples[:2]:
            envelope = solution.half.envelope(values)
            for x, low, high in envelope.jumps():
                pair = np.array([low, high])
                objective = 0.5 * (x - pair) ** 2 + solution.half.evaluate(pair, values)
                worst = max(worst, abs(float(objective[1] - objective[0])))
        verdict = CONFIRMED if worst <= 1e-9 else REFUTED
        return Evidence("numeric", verdict, f"objectives on both sides differ by {worst:.1e}")

    return Step(
        f"The jump is where both sides have equal objectives: {where}.",
        "solved in $z$: $x = z + \\varphi'(z)$ turns the tie into one equation in $z$.",
        (),
        check,
        [sp.Eq(t.equation, 0) for t in solution.jumps if t.equation is not None] or None,
    )


# -- reading off the layer ------------------------------------------------------------------
def _layer_steps(prior, solution, dictionary):
    bias, rest = _bias(solution.penalty)
    if bias == 0:
        here = "This penalty has no linear term, so the layer has no bias."
    elif rest == 0:
        here = (
            f"Here $\\varphi = {latex(bias * Z)}$ on its support, so the bias is ${latex(-bias)}$ "
            "and the activation the projection on the support."
        )
    else:
        here = (
            f"Here $\\varphi = {latex(rest)} + ({latex(bias)})\\,z$, so the bias is "
            f"${latex(-bias)}$ and the activation the prox of ${latex(rest)}$."
        )
    yield Step(
        "The bias rule: a linear term $\\lambda z$ in the penalty is a bias $-\\lambda$ before the "
        f"activation, $\\mathrm{{prox}}_{{\\varphi + \\lambda z}}(x) = "
        f"\\mathrm{{prox}}_\\varphi(x - \\lambda)$. {here}",
        "$\\tfrac12(x - z)^2 + \\lambda z = \\tfrac12(x - \\lambda - z)^2$ up to a constant "
        "in $z$.",
        (),
        lambda: _check_bias(solution, bias, rest),
    )
    shown = f"bias ${latex(-bias)}$" if bias != 0 else "no bias"
    yield Step(
        f"Read off the layer: weights are the atoms, {shown}, the activation is the prox.",
        "$b = D^T x$ is what the linear part computes; the prox acts on each coefficient.",
        (),
        lambda: _check_layer(prior, solution),
    )
    if dictionary == "orthogonal":
        yield Step(
            "For atoms of norm $c$ the code is $\\mathrm{prox}_{\\varphi/c^2}(D^T x/c^2)$: a plain "
            "layer up to scale.",
            "divide the scalar problem by $c^2$.",
            ("orthogonal atoms; $c = c_i$ may differ from atom to atom",),
            lambda: _check_scaled_atoms(prior, solution),
        )
    if dictionary in ("tight_frame", "general", "convolutional"):
        yield from one_step(uniform_prior(prior), dictionary)


def _bias(penalty):
    """The rate of a linear term and the penalty without it."""
    expanded = sp.expand(penalty.expression)
    rate = sp.Add(*(t / Z for t in sp.Add.make_args(expanded) if t != 0 and not (t / Z).has(Z)))
    return rate, penalty.expression if rate == 0 else sp.expand(expanded - rate * Z)


def _check_bias(solution, bias, rest):
    x, worst = np.linspace(-5, 5, 41) + 0.0137, 0.0
    for values in solution.samples[:2]:
        tilt = sp.Rational(3, 10) if bias == 0 else bias
        without = dataclasses.replace(solution.penalty, expression=rest)
        within = dataclasses.replace(solution.penalty, expression=rest + tilt * Z)
        shifted = without.envelope(values).prox(x - number(tilt, values))[0]
        worst = max(worst, float(np.abs(within.envelope(values).prox(x)[0] - shifted).max()))
    verdict = CONFIRMED if worst <= 1e-9 else REFUTED
    detail = f"the tilted penalty's prox is the shifted prox at {len(x)} inputs to {worst:.1e}"
    return Evidence("numeric", verdict, detail, None if worst <= 1e-9 else {"difference": worst})


def _check_layer(prior, solution):
    values = solution.samples[0]
    layer = Activation(prior)
    x = np.linspace(-5, 5, 41)[:, None] + 0.0137
    x = np.broadcast_to(x, (41, _n_atoms(prior)))
    y, pullback = layer.forward(x)
    expected = solution.penalty.envelope(values).prox(x[:, 0])[0]
    error = float(np.abs(y[:, 0] - expected).max())
    h = 1e-6
    slope = (layer(x + h) - layer(x - h)) / (2 * h)
    dx = pullback(np.ones_like(y))[0]
    smooth = np.abs(slope - dx) < 1e-4
    smooth |= np.abs(slope) > 1e3  # a difference across a jump
    holds = error <= 1e-9 and smooth.mean() > 0.9
    detail = f"the package's layer equals the derived prox to {error:.1e}; its slope is exact"
    where = None if holds else {"largest difference": error}
    return Evidence("numeric", CONFIRMED if holds else REFUTED, detail, where)


def _n_atoms(prior):
    sizes = [np.shape(v)[0] for v in prior.parameters.values() if np.ndim(v)]
    return max(sizes, default=1)


def _check_scaled_atoms(prior, solution):
    one, values = uniform_prior(prior), solution.samples[0]

    def trial(rng):
        c = rng.uniform(1.0, 2.0)
        d = atoms_of("orthogonal", rng, gain=c)
        x = rng.standard_normal((1, 6)) * 2
        b = d.analyze(x)[0] / c**2
        z = one.prox(b[None], 1 / c**2)[0]
        best = solution.penalty.envelope(values, 1 / c**2).prox(b)[0]
        return float(np.abs(z - best).max()), {"c": c, "b": b[0], "z": z[0]}

    return trials(trial, 20, tolerance=1e-9, what="the layer is the scaled prox")


# -- the posterior mean ---------------------------------------------------------------------
def _mean_derivation(prior, penalty, values, noise):
    if not prior.is_proper:
        raise InputError(
            f"{label(prior)} is not a density, so its posterior mean need not exist; expected a "
            "proper prior. Use estimator='map'."
        )
    layer = PosteriorMean(penalty, values, noise)
    x = np.linspace(-4, 4, 33)

    def tweedie():
        h = 1e-4
        grid = np.stack([x - h, x + h])
        slope = (layer(grid)[1] - layer(grid)[0]) / (2 * h)
        moments = posterior_moments(penalty, values, x, noise)
        error = float(np.abs(slope - moments.variance / noise**2).max())
        verdict = CONFIRMED if error < 1e-6 and (moments.variance > 0).all() else REFUTED
        return Evidence("numeric", verdict, f"slope equals variance over noise to {error:.1e}")

    def prox_of_something():
        mean = layer(x)
        verdict = CONFIRMED if (np.diff(mean) > 0).all() else REFUTED
        return Evidence("numeric", verdict, "strictly increasing at 33 inputs")

    steps = (
        _bayes(penalty, values, noise),
        Step(
            "The posterior mean is $x + \\sigma^2 (\\log p_X)'(x)$ with slope "
            "$\\mathrm{Var}(z\\,|\\,x)/\\sigma^2 > 0$.",
            "Tweedie's formula: differentiate the marginal density of $x$.",
            ("orthonormal atoms", f"noise $\\sigma = {noise:g}$"),
            tweedie,
        ),
        Step(
            "It is smooth and strictly increasing: the prox of another penalty, never with a dead "
            "zone or a kink.",
            "Gribonval 2011: so ReLU, soft and hard thresholds are never posterior means.",
            (),
            prox_of_something,
            prior=layer,
        ),
    )
    mean = sp.Eq(sp.Function("E")(Z), X + sp.Symbol("sigma") ** 2 * sp.Symbol("(log p_X)'(x)"))
    return Derivation(f"{label(prior)}, posterior mean", steps, mean, lambda: layer)
