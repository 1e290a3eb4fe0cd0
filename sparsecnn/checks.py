"""The contracts as runnable checks, for the package's own classes and for yours.

Each ``check_*`` returns None or raises ``ContractError``, which names the property that fails and a
counterexample. An island: knows no module of the package but validation, only the methods it calls.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from .validation import ConvergenceWarning, InputError, as_generator

#: objectives and inner products: rounding of a few hundred operations, relative to their size
_ROUNDING = 1e-9
#: central differences with step 1e-5: truncation 1e-10 times a third derivative, rounding 1e-11
_STEP, _DERIVATIVE = 1e-5, 1e-5
#: largest number of codes for which a Gram matrix is formed
_GRAM_CODES = 1500


class ContractError(AssertionError):
    """Something breaks its contract; the message names the property and a counterexample."""


def _require(holds, owner, claim, **evidence):
    if not holds:
        shown = "; ".join(f"{name} = {_shown(value)}" for name, value in evidence.items())
        raise ContractError(f"{owner!r}: {claim}. Counterexample: {shown}.")


def _shown(value):
    return np.array2string(np.asarray(value), precision=6, threshold=24).replace("\n", "")


def _close(a, b, tol, size=1.0):
    """Whether ``a`` equals ``b`` up to ``tol * (size + |b|)``; equal infinities are equal."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return (a == b) | (np.abs(a - b) <= tol * (size + np.abs(b)))


def _inner(a, b):
    return np.einsum("ni,ni->n", a.reshape(len(a), -1), b.reshape(len(b), -1))


# -- priors ---------------------------------------------------------------------------------
def check_prior(prior, code_shape=None, *, n_points=40, steps=(0.3, 1.0, 2.5), random_state=0):
    """Check that a prior's value, prox, derivative, conjugate and predicates belong together.

    No candidate point (grid along each coefficient, neighbours, zero, the input) may have a lower
    ``1/2 ||v - z||^2 + step phi(z)`` than the prox; the prox is monotone, and firmly non-expansive
    if the prior is convex; then also ``phi(z) + phi*(u) = <u, z>`` holds at ``u = (v - z) / step``
    (Moreau), so ``conjugate``, ``conjugate_inside``, ``dual_domain`` and ``feasible_fraction`` must
    be there; ``prox_vjp`` equals central differences away from kinks; ``scaled`` is the same prior
    in other units; values are per sample; inputs stay untouched; float32 stays float32.

    Parameters
    ----------
    prior : Prior
    code_shape : tuple, optional
        Shape of one sample's codes; default: that of the prior's largest array, else ``(3,)``.
    n_points : int
        Number of random inputs.
    steps : sequence of float
        Step sizes.
    random_state : None, int or Generator

    Raises
    ------
    ContractError
        With the property and a counterexample.

    References
    ----------
    Moreau 1965, Proximite et dualite dans un espace hilbertien.
    Gribonval & Nikolova 2020, A characterization of proximity operators.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> check_prior(sc.Exponential([0.5, 1.0]))
    >>> class Greedy(sc.Laplace):
    ...     def _prox(self, xp, v, step, lam):
    ...         return 0.9 * super()._prox(xp, v, step, lam)
    >>> check_prior(Greedy(0.5))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    sparsecnn.checks.ContractError: Greedy(lam=0.5): a point beats the prox. Counterexample: ...
    """
    rng = as_generator(random_state)
    shape = _code_shape(prior) if code_shape is None else tuple(code_shape)
    spread = np.array([0.3, 2.0, 2.0, 8.0])[np.arange(n_points) % 4]
    v = rng.standard_normal((n_points, *shape)) * spread.reshape((-1,) + (1,) * len(shape))
    v[0] = 0.0
    _check_prior_arrays(prior, v)
    for step in steps:
        z = prior.prox(v, step)
        _check_no_point_beats(prior, v, step, z, rng)
        _check_monotone(prior, v, step, z)
        if prior.is_convex:
            _check_conjugate(prior, v, step, z)
        _check_prior_derivatives(prior, v, step, rng)
        _check_scaled(prior, v, step, z)
    _check_predicates(prior, v, prior.prox(v))


def _code_shape(prior):
    arrays = [a for a in vars(prior).values() if isinstance(a, np.ndarray) and a.ndim]
    return max((a.shape for a in arrays), key=np.prod, default=(3,))


def _check_prior_arrays(prior, v):
    """Shapes, dtypes, ``out``, samples on their own, inputs untouched."""
    original = v.copy()
    z, value = prior.prox(v), prior.value(prior.prox(v))
    prior.prox_vjp(v, 1.0, np.ones_like(v))
    _require(np.array_equal(v, original), prior, "a method modifies its input", v=original[0])
    _require(z.shape == v.shape, prior, "prox changes the shape", came=v.shape, got=z.shape)
    _require(np.shape(value) == v.shape[:1], prior, "value is not per sample", got=np.shape(value))
    for i in range(min(4, len(v))):
        alone = prior.prox(v[i : i + 1])[0]
        same = _close(alone, z[i], 1e-12).all()  # an iterative prox may differ in the last places
        _require(same, prior, "prox depends on the batch", v=v[i])
        own = prior.value(z[i : i + 1])[0]
        _require(_close(own, value[i], _ROUNDING), prior, "value depends on the batch", z=z[i])
    out = np.empty_like(v)
    _require(prior.prox(v, 1.0, out=out) is out, prior, "prox does not return out", v=v[0])
    _require(np.array_equal(out, z), prior, "prox(out=...) differs from prox", v=v[0])
    np.copyto(out, v)
    prior.prox(out, 1.0, out=out)
    _require(np.array_equal(out, z), prior, "prox(v, out=v) differs from prox", v=v[0])
    single = v.astype(np.float32)
    _require(prior.prox(single).dtype == np.float32, prior, "prox does not keep float32", v=v[0])
    dv = prior.prox_vjp(single, 1.0, single)[0]
    _require(dv.dtype == np.float32, prior, "prox_vjp does not keep float32", v=v[0])


def _energies(prior, v, step, z):
    return 0.5 * _inner(v - z, v - z) + step * np.asarray(prior.value(z), dtype=np.float64)


def _check_no_point_beats(prior, v, step, z, rng):
    energy = _energies(prior, v, step, z)
    finite = np.isfinite(energy)
    _require(finite.all(), prior, "the prox has an infinite value", v=v[~finite][:1], step=step)
    for candidate in _candidates(v, z, rng):
        other = _energies(prior, v, step, candidate)
        _require(not np.isnan(other).any(), prior, "value is nan", z=candidate[np.isnan(other)][:1])
        excess = energy - other - _ROUNDING * (1 + np.abs(energy))
        i = int(np.argmax(excess))
        _require(
            excess[i] <= 0,
            prior,
            "a point beats the prox",
            v=v[i],
            step=step,
            prox=z[i],
            point=candidate[i],
            by=energy[i] - other[i],
        )


def _candidates(v, z, rng):
    """Points that may be better than ``z``: far and near, all coefficients or one at a time."""
    yield np.zeros_like(v)
    yield v
    for t in (0.25, 0.5, 0.75):
        yield z + t * (v - z)
        yield t * z
    for size in (1e-5, 1e-3, 1e-1, 1.0):
        noise = size * rng.standard_normal(v.shape)
        yield z + noise
        yield np.abs(z + noise)
        yield z * (1 + noise)
    flat_z, flat_v = z.reshape(len(z), -1), v.reshape(len(v), -1)
    for j in range(min(flat_z.shape[1], 8)):
        reach = 1.0 + np.maximum(np.abs(flat_v[:, j]), np.abs(flat_z[:, j]))
        for place in np.linspace(-1.0, 1.0, 101):
            moved = flat_z.copy()
            moved[:, j] = place * reach
            yield moved.reshape(z.shape)


def _check_monotone(prior, v, step, z):
    dv, dz = v - np.roll(v, 1, axis=0), z - np.roll(z, 1, axis=0)
    along, squared = _inner(dz, dv), _inner(dz, dz)
    floor = squared if prior.is_convex else np.zeros_like(along)
    claim = "firmly non-expansive, though is_convex says so" if prior.is_convex else "monotone"
    i = int(np.argmin(along - floor))
    holds = along[i] >= floor[i] - _ROUNDING * (1 + squared[i])
    _require(holds, prior, f"the prox is not {claim}", v=v[i], w=v[i - 1], step=step)


def _check_conjugate(prior, v, step, z):
    u = (v - z) / step
    low, high = _dual_side(prior, "dual_domain", u)
    at_u, bound = _dual_side(prior, "conjugate_inside", u), _dual_side(prior, "conjugate", v)
    fraction = _dual_side(prior, "feasible_fraction", 0 * v, v)
    room = np.minimum(u - low, high - u) + _ROUNDING * (1 + np.abs(u))
    i = int(np.argmin(room.reshape(len(u), -1).min(axis=1)))
    _require((room[i] >= 0).all(), prior, "dual_domain lacks (v - z) / step", v=v[i], u=u[i])
    value, pairing = prior.value(z), _inner(u, z)
    good = _close(value + at_u, pairing, _ROUNDING, 1 + np.abs(value) + _inner(v, v))
    i = int(np.argmin(good))
    _require(good[i], prior, "phi(z) + phi*(u) is not <u, z> at u = (v - z) / step", v=v[i], z=z[i])
    with np.errstate(invalid="ignore"):
        room = value + bound - _inner(v, z)
    i = int(np.argmin(room))
    enough = room[i] >= -_ROUNDING * (1 + np.abs(value[i]) + _inner(v, z)[i] ** 2)
    _require(enough, prior, "phi(z) + phi*(u) < <u, z>", u=v[i], z=z[i])
    in_range = ((fraction >= 0) & (fraction <= 1)).all()
    _require(in_range, prior, "feasible_fraction leaves [0, 1]", got=fraction)
    if np.isfinite(prior.conjugate(0 * v)).all():
        _check_fraction(prior, v, np.asarray(fraction))


def _dual_side(prior, method, *arguments):
    try:
        return getattr(prior, method)(*arguments)
    except (AttributeError, NotImplementedError) as error:
        raise ContractError(
            f"{prior!r}: convex, but without {method}, which the duality gap needs."
        ) from error


def _check_fraction(prior, v, fraction):
    column = fraction.reshape((-1,) + (1,) * (v.ndim - 1))
    inside = np.isfinite(prior.conjugate((1 - 1e-9) * column * v))
    i = int(np.argmin(inside))
    _require(inside[i], prior, "feasible_fraction is infeasible", direction=v[i], t=fraction[i])
    beyond = np.isinf(prior.conjugate((column * (1 + 1e-6) + 1e-6) * v)) | (fraction > 0.999)
    i = int(np.argmin(beyond))
    _require(beyond[i], prior, "feasible_fraction is too small", direction=v[i], t=fraction[i])


def _check_prior_derivatives(prior, v, step, rng):
    """``prox_vjp`` in the input, the step and every parameter, against central differences."""
    v = v + 1e-2 * rng.standard_normal(v.shape)  # off the kink that many priors have at zero
    grad, direction = rng.standard_normal((2, *v.shape))
    dv, dparams = prior.prox_vjp(v, step, grad)
    names = {*prior.parameters, "step"}
    _require(set(dparams) == names, prior, "prox_vjp's keys are not the parameters", got=[*dparams])
    smooth, slope = _differences(lambda t: _inner(grad, prior.prox(v + t * direction, step)))
    _require(2 * smooth.sum() > len(v), prior, "the prox is smooth almost nowhere", step=step)
    wrong = smooth & ~_close(_inner(dv, direction), slope, _DERIVATIVE)
    i = int(np.argmax(wrong))
    _require(
        not wrong[i],
        prior,
        "prox_vjp is not the derivative in v",
        v=v[i],
        step=step,
        vjp=_inner(dv, direction)[i],
        differences=slope[i],
    )
    _compare_parameter(prior, "step", v, step, grad, np.float64(step), 1.0)
    for name, value in prior.parameters.items():
        towards = rng.standard_normal(np.shape(value))
        _compare_parameter(prior, name, v, step, grad, value, towards)


def _compare_parameter(prior, name, v, step, grad, value, towards):
    def along(t):
        if name == "step":
            return _inner(grad, prior.prox(v, step + t))
        return _inner(grad, dataclasses.replace(prior, **{name: value + t * towards}).prox(v, step))

    try:
        smooth, slope = _differences(along)
    except InputError:  # the parameter stands at the edge of its range
        return
    kept = grad * smooth.reshape((-1,) + (1,) * (v.ndim - 1))
    gradient = prior.prox_vjp(v, step, kept)[1][name]
    shapes = np.shape(gradient), np.shape(value)
    _require(shapes[0] == shapes[1], prior, f"the gradient in {name} has another shape", got=shapes)
    got, wanted = float(np.sum(gradient * towards)), float(slope[smooth].sum())
    size = 1.0 + np.abs(slope[smooth]).sum()
    _require(
        _close(got, wanted, _DERIVATIVE, size),
        prior,
        f"prox_vjp is not the derivative in {name}",
        step=step,
        vjp=got,
        differences=wanted,
    )


def _differences(function):
    """(where ``function`` is smooth around 0, its central difference there), entrywise.

    Halving the step quarters the second difference of a smooth function; a kink or a jump within
    the step breaks that rule (unless it is too small to matter).
    """
    h = _STEP
    low, middle, high = function(-h), function(0.0), function(h)
    bend = np.abs(high - 2 * middle + low)
    half = np.abs(function(0.5 * h) - 2 * middle + function(-0.5 * h))
    flat = bend <= 0.5 * _DERIVATIVE * h
    return flat | ((3 * half <= bend) & (bend <= 6 * half)), (high - low) / (2 * h)


def _check_scaled(prior, v, step, z):
    for s in (0.25, 8.0):
        twin = prior.scaled(s)
        again = twin.prox(v / s, step) * s
        good = _close(again, z, _ROUNDING).reshape(len(v), -1).all(axis=1)
        i = int(np.argmin(good))
        _require(good[i], prior, f"scaled({s}) has another prox", v=v[i], got=again[i], prox=z[i])
        value, other = prior.value(z), twin.value(z / s) * s**2
        offset, size = other - value, 1 + np.abs(value).max()
        steady = np.ptp(offset) <= _ROUNDING * size * max(1.0, s**2)
        _require(steady, prior, f"scaled({s}) has another value", offsets=offset[:4])


def _check_predicates(prior, v, z):
    if prior.is_nonnegative:
        _require((z >= 0).all(), prior, "is_nonnegative, but the prox is negative", z=z[0])
        negative = prior.value(-1 - np.abs(v))
        _require(np.isinf(negative).all(), prior, "is_nonnegative, but negative codes are allowed")
    if prior.is_convex:
        value, middle = prior.value(z), prior.value(0.5 * (z + np.roll(z, 1, axis=0)))
        excess = middle - 0.5 * (value + np.roll(value, 1)) - _ROUNDING * (1 + np.abs(value).max())
        i = int(np.argmax(excess))
        _require(excess[i] <= 0, prior, "is_convex, but a midpoint is higher", a=z[i], b=z[i - 1])
    if prior.is_homogeneous:
        same = _close(prior.value(2 * z), 2 * prior.value(z), _ROUNDING)
        _require(same.all(), prior, "is_homogeneous, but phi(2 z) != 2 phi(z)", z=z[~same][:1])
    if not prior.is_sparse:
        line = np.linspace(-10, 10, 1999).reshape((-1,) + (1,) * (v.ndim - 1)) + 0 * v[:1]
        zeros = prior.prox(line) == 0
        dead = zeros[1:] & zeros[:-1]
        _require(not dead.any(), prior, "not is_sparse, but an interval of inputs gives zeros")


# -- dictionaries ---------------------------------------------------------------------------
def check_dictionary(dictionary, *, n_samples=3, random_state=0):
    """Check adjointness, linearity and every measured attribute of a dictionary.

    ``<analyze(x), z> = <x, synthesize(z)>``; ``lipschitz`` is not below the largest Gram
    eigenvalue; ``mutual_coherence``, ``is_orthonormal`` and ``gram_deviation`` agree with an
    explicit Gram matrix (when there are at most 1500 codes); ``atom_gradient`` is the
    gradient of ``<signals, synthesize(codes)>`` in the atoms.

    Parameters
    ----------
    dictionary : Dictionary or ConvDictionary
    n_samples : int
        Number of random signals and codes.
    random_state : None, int or Generator

    Raises
    ------
    ContractError
        With the property and a counterexample.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> check_dictionary(sc.Dictionary.random(8, 5, random_state=0))
    """
    rng = as_generator(random_state)
    d = dictionary.astype(np.float64)
    x = rng.standard_normal((n_samples, *d.signal_shape))
    z = rng.standard_normal((n_samples, *d.code_shape))
    _check_linear_map(d, x, z)
    low = dictionary.astype(np.float32)
    kept = low.synthesize(z.astype(np.float32)).dtype, low.analyze(x.astype(np.float32)).dtype
    _require(kept == (np.float32, np.float32), dictionary, "float32 is not kept", got=kept)
    direction = rng.standard_normal(d.atoms.shape)
    gradient = d.atom_gradient(x, z)
    got, wanted = (gradient * direction).sum(), (x * d.with_atoms(direction).synthesize(z)).sum()
    size = 1 + np.abs(gradient).sum()
    good = _close(got, wanted, 1e-12, size)
    _require(good, d, "atom_gradient is not the gradient", gradient=got, differences=wanted)
    if int(np.prod(d.code_shape)) <= _GRAM_CODES:
        _check_measurements(d)


def _check_linear_map(d, x, z):
    before = x.copy(), z.copy()
    projections, signals = d.analyze(x), d.synthesize(z)
    untouched = np.array_equal(x, before[0]) and np.array_equal(z, before[1])
    _require(untouched, d, "a method modifies its input")
    shapes = projections.shape, signals.shape
    _require(
        shapes == (z.shape, x.shape), d, "shapes differ from code_shape, signal_shape", got=shapes
    )
    left, right = _inner(projections, z), _inner(x, signals)
    size = 1 + np.sqrt(_inner(projections, projections) * _inner(z, z))
    good = _close(left, right, 1e-12, size)
    i = int(np.argmin(good))
    _require(good[i], d, "<analyze(x), z> is not <x, synthesize(z)>", left=left[i], right=right[i])
    sum_first = d.synthesize(2 * z + np.roll(z, 1, axis=0))
    good = _close(sum_first, 2 * signals + np.roll(signals, 1, axis=0), _ROUNDING)
    _require(good.all(), d, "synthesize is not linear")
    for method, argument, result in ((d.analyze, x, projections), (d.synthesize, z, signals)):
        out = np.empty_like(result)
        answer = method(argument, out=out)
        same = answer is out and np.array_equal(out, result)
        _require(same, d, f"{method.__name__}(out=...) does not write the result into out")


def _check_measurements(d):
    n_codes = int(np.prod(d.code_shape))
    atoms = d.synthesize(np.eye(n_codes).reshape(n_codes, *d.code_shape)).reshape(n_codes, -1)
    gram = atoms @ atoms.T
    top = float(np.linalg.eigvalsh(gram)[-1])
    above = d.lipschitz >= top * (1 - 1e-12)
    _require(above, d, "lipschitz is below the top eigenvalue", lipschitz=d.lipschitz, top=top)
    norms = np.sqrt(np.diag(gram))
    scale = np.outer(norms, norms)
    cosine = np.divide(np.abs(gram), scale, out=np.zeros_like(gram), where=scale > 0)
    np.fill_diagonal(cosine, 0.0)
    coherence, got = float(cosine.max()), d.mutual_coherence
    _require(
        _close(got, coherence, _ROUNDING), d, "mutual_coherence is wrong", is_=coherence, got=got
    )
    difference = gram - np.eye(n_codes)
    entry = float(np.abs(difference).max())
    if not 1e-11 < entry < 1e-4:  # between the two, rounding decides
        is_so = entry <= 1e-11
        _require(d.is_orthonormal == is_so, d, "is_orthonormal is wrong", largest_entry=entry)
    deviation = float(np.abs(np.linalg.eigvalsh(difference)).max())
    good = _close(d.gram_deviation, deviation, 1e-6)
    _require(good, d, "gram_deviation is wrong", is_=deviation, got=d.gram_deviation)


# -- solvers --------------------------------------------------------------------------------
def check_solver(solver, problem, *, random_state=0):
    """Check that a solver's answer is what it says it is, and reaches its tolerance.

    The reported objective and gap are the problem's own; ``converged`` says exactly whether the
    certificate is within ``tol``; every sample converges (unless the solver promises nothing:
    ``warns`` is False); signals and start stay untouched; a sample's answer does not depend on its
    batch.

    Parameters
    ----------
    solver : Solver
    problem : SparseCodingProblem
        One the solver's ``check`` admits.
    random_state : None, int or Generator

    Raises
    ------
    ContractError
        With the property and a counterexample.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> x = np.random.default_rng(0).standard_normal((4, 6))
    >>> atoms = sc.Dictionary.random(9, 6, random_state=0)
    >>> check_solver(sc.FISTA(), sc.SparseCodingProblem(x, atoms, sc.Exponential(0.3)))
    """
    rng = as_generator(random_state)
    x = problem.x.copy()
    start = problem.prior.prox(rng.standard_normal(problem.shape)).astype(x.dtype)
    begin = start.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solution, warm = solver.solve(problem), solver.solve(problem, start)
        rows = range(min(3, problem.n_samples))
        alone = [solver.solve(problem.subset(slice(i, i + 1))) for i in rows]
    _require(np.array_equal(problem.x, x), solver, "the signals were modified")
    _require(np.array_equal(start, begin), solver, "the start was modified", start=begin[0])
    for answer in (solution, warm):
        _check_answer(solver, problem, answer)
    slack = max(4 * solver.tol, _ROUNDING)
    for i, single in enumerate(alone):
        pair = single.objective[0], solution.objective[i]
        if single.converged[0] and solution.converged[i]:
            size = max(float(problem.objective(np.zeros(problem.shape, x.dtype))[i]), pair[1])
            same = _close(*pair, slack, size if np.isfinite(size) else 1.0)
            _require(same, solver, "a sample's answer depends on its batch", objectives=pair)


def _check_answer(solver, problem, answer):
    shape = answer.codes.shape
    _require(shape == problem.shape, solver, "codes have another shape", got=shape)
    _require(np.isfinite(answer.codes).all(), solver, "codes are not finite")
    certificate = problem.certificate(answer.codes)
    good = _close(answer.objective, certificate.objective, _ROUNDING)
    _require(good.all(), solver, "objective is not the problem's", got=answer.objective[~good])
    good = _close(answer.gap, certificate.relative_gap, _ROUNDING) | np.isnan(answer.gap)
    _require(good.all(), solver, "gap is not the problem's", got=answer.gap[~good])
    if problem.prior.is_convex and answer.certificate == "relative duality gap":
        measure = answer.gap
    else:
        _require(
            problem.prior.is_convex or np.isnan(answer.gap).all(),
            solver,
            "a gap is reported for a prior that is not convex",
            gap=answer.gap,
        )
        measure = np.fmin(answer.gap, answer.residual)
    honest = answer.converged == (measure <= solver.tol)
    _require(honest.all(), solver, "converged is not gap <= tol", measure=measure[~honest])
    promised = getattr(solver, "warns", True)
    late = ~answer.converged
    _require(not (promised and late.any()), solver, "tol is not reached", measure=measure[late])


# -- layers ---------------------------------------------------------------------------------
def check_layer(layer, x, *, n_directions=4, random_state=0):
    """Check a layer's pullback against central differences, and that pullbacks own what they read.

    Parameters
    ----------
    layer : Layer
        ``forward(x) -> (y, pullback)``, ``pullback(dy) -> (dx, grads)``; ``params`` and ``grads``
        keyed alike; ``with_params(params)`` gives the layer with other values.
    x : array, shape (n_samples, ...)
        Input; a small noise is added so that no kink is hit exactly.
    n_directions : int
        Random directions for the input and for each parameter.
    random_state : None, int or Generator

    Raises
    ------
    ContractError
        With the property and a counterexample.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> check_layer(sc.Linear([[1.0, 2.0], [0.5, -1.0]], bias=[0.1, 0.2]), np.ones((3, 2)))
    """
    rng = as_generator(random_state)
    x = np.asarray(x, dtype=np.float64)
    x = x + 1e-2 * (1 + np.abs(x)) * rng.standard_normal(x.shape)
    original = x.copy()
    y, pullback = layer.forward(x)
    dy = rng.standard_normal(y.shape)
    kept = dy.copy()
    dx, grads = pullback(dy)
    _require(np.array_equal(x, original), layer, "forward or pullback modifies its input")
    _require(np.array_equal(dy, kept), layer, "pullback modifies dy")
    _require(dx.shape == x.shape, layer, "dx has another shape than x", got=dx.shape)
    names = set(layer.params), set(grads)
    _require(names[0] == names[1], layer, "grads and params have other keys", got=sorted(grads))
    _compare_directions(
        layer, "x", dx, lambda s: (dy * layer.forward(x + s)[0]).sum(), rng, n_directions
    )
    for name, value in layer.params.items():
        value = np.asarray(value, dtype=np.float64)
        got = np.shape(grads[name])
        _require(got == value.shape, layer, f"the gradient in {name} has another shape", got=got)

        def moved(s, name=name, value=value):
            return (dy * layer.with_params({name: value + s}).forward(x)[0]).sum()

        _compare_directions(layer, name, np.asarray(grads[name]), moved, rng, n_directions)
    _check_two_forwards(layer, x, rng)
    single, pullback = layer.forward(x.astype(np.float32))
    kept = single.dtype, pullback(np.ones_like(single))[0].dtype
    _require(kept == (np.float32, np.float32), layer, "float32 is not kept", y_and_dx=kept)


def _compare_directions(layer, name, gradient, function, rng, n_directions):
    compared = 0
    for _ in range(4 * n_directions):
        direction = rng.standard_normal(gradient.shape)
        direction /= max(np.sqrt((direction**2).sum()), 1e-300)
        smooth, slope = _differences(lambda t, d=direction: function(t * d))
        if smooth:
            got, size = float((gradient * direction).sum()), 1 + np.abs(gradient).max()
            _require(
                _close(got, slope, _DERIVATIVE, size),
                layer,
                f"pullback is not the derivative in {name}",
                pullback=got,
                differences=slope,
            )
            compared += 1
        if compared == n_directions:
            return
    _require(compared, layer, f"no smooth direction was found in {name}")


def _check_two_forwards(layer, x, rng):
    other = x[::-1] + 0.1 * rng.standard_normal(x.shape)
    wanted = [_flat(*_forward_and_back(layer, a)) for a in (x, other)]
    for order in ((0, 1), (1, 0)):
        results = [layer.forward(a) for a in (x, other)]
        outputs = [y.copy() for y, _ in results]
        for i in order:
            y, pullback = results[i]
            got = _flat(outputs[i], *pullback(np.ones_like(y)))
            same = all(np.array_equal(a, b) for a, b in zip(got, wanted[i], strict=True))
            _require(
                same, layer, "two forwards, then both pullbacks, give other results", order=order
            )


def _forward_and_back(layer, x):
    y, pullback = layer.forward(x)
    y = y.copy()
    return y, *pullback(np.ones_like(y))


def _flat(y, dx, grads):
    return [y, np.array(dx), *(np.array(grads[name]) for name in sorted(grads))]
