"""What makes a prior one: value, prox, derivatives and dual belong together."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..validation import InputError, as_generator
from .contract import DERIVATIVE, ROUNDING, ContractError, close, differences, inner, require


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
    sparsecnn.checks.contract.ContractError: Greedy(lam=0.5): a point beats the prox. ...
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
    _check_linear_pieces(prior, v)


def _check_linear_pieces(prior, v):
    """What the prior says of its activation's pieces is its prox at step 1, on both sides."""
    pieces = prior.linear_pieces(v.shape[1:])
    if pieces is None:
        return
    finite = np.where(np.isfinite(pieces.starts), pieces.starts, 0.0)
    beside = 1e-6 * (1 + np.abs(finite))
    v = np.concatenate([v, finite - beside, finite + beside])
    which = (v[:, None] > pieces.starts).sum(axis=1)[:, None]
    slope, constant = (
        np.take_along_axis(part[None], which, axis=1)[:, 0]
        for part in (pieces.slopes, pieces.constants)
    )
    found, z = slope * v + constant, prior.prox(v)
    wrong = ~close(found, z, 1e-12 * (1 + np.abs(slope * v))).reshape(len(v), -1).all(axis=1)
    k = wrong.argmax()
    require(not wrong.any(), prior, "linear_pieces is not the prox", v=v[k], prox=z[k],
            pieces=found[k])  # fmt: skip


def _code_shape(prior):
    arrays = [a for a in vars(prior).values() if isinstance(a, np.ndarray) and a.ndim]
    return max((a.shape for a in arrays), key=np.prod, default=(3,))


def _check_prior_arrays(prior, v):
    """Shapes, dtypes, ``out``, samples on their own, inputs untouched."""
    original = v.copy()
    z, value = prior.prox(v), prior.value(prior.prox(v))
    prior.prox_vjp(v, 1.0, np.ones_like(v))
    require(np.array_equal(v, original), prior, "a method modifies its input", v=original[0])
    require(z.shape == v.shape, prior, "prox changes the shape", came=v.shape, got=z.shape)
    require(np.shape(value) == v.shape[:1], prior, "value is not per sample", got=np.shape(value))
    for i in range(min(4, len(v))):
        alone = prior.prox(v[i : i + 1])[0]
        same = close(alone, z[i], 1e-12).all()  # an iterative prox may differ in the last places
        require(same, prior, "prox depends on the batch", v=v[i])
        own = prior.value(z[i : i + 1])[0]
        require(close(own, value[i], ROUNDING), prior, "value depends on the batch", z=z[i])
    out = np.empty_like(v)
    require(prior.prox(v, 1.0, out=out) is out, prior, "prox does not return out", v=v[0])
    require(np.array_equal(out, z), prior, "prox(out=...) differs from prox", v=v[0])
    np.copyto(out, v)
    prior.prox(out, 1.0, out=out)
    require(np.array_equal(out, z), prior, "prox(v, out=v) differs from prox", v=v[0])
    single = v.astype(np.float32)
    require(prior.prox(single).dtype == np.float32, prior, "prox does not keep float32", v=v[0])
    dv = prior.prox_vjp(single, 1.0, single)[0]
    require(dv.dtype == np.float32, prior, "prox_vjp does not keep float32", v=v[0])


def _energies(prior, v, step, z):
    return 0.5 * inner(v - z, v - z) + step * np.asarray(prior.value(z), dtype=np.float64)


def _check_no_point_beats(prior, v, step, z, rng):
    energy = _energies(prior, v, step, z)
    finite = np.isfinite(energy)
    require(finite.all(), prior, "the prox has an infinite value", v=v[~finite][:1], step=step)
    for candidate in _candidates(v, z, rng):
        other = _energies(prior, v, step, candidate)
        require(not np.isnan(other).any(), prior, "value is nan", z=candidate[np.isnan(other)][:1])
        excess = energy - other - ROUNDING * (1 + np.abs(energy))
        i = int(np.argmax(excess))
        require(
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
    along, squared = inner(dz, dv), inner(dz, dz)
    floor = squared if prior.is_convex else np.zeros_like(along)
    claim = "firmly non-expansive, though is_convex says so" if prior.is_convex else "monotone"
    i = int(np.argmin(along - floor))
    holds = along[i] >= floor[i] - ROUNDING * (1 + squared[i])
    require(holds, prior, f"the prox is not {claim}", v=v[i], w=v[i - 1], step=step)


def _check_conjugate(prior, v, step, z):
    u = (v - z) / step
    low, high = _dual_side(prior, "dual_domain", u)
    at_u, bound = _dual_side(prior, "conjugate_inside", u), _dual_side(prior, "conjugate", v)
    fraction = _dual_side(prior, "feasible_fraction", 0 * v, v)
    room = np.minimum(u - low, high - u) + ROUNDING * (1 + np.abs(u))
    i = int(np.argmin(room.reshape(len(u), -1).min(axis=1)))
    require((room[i] >= 0).all(), prior, "dual_domain lacks (v - z) / step", v=v[i], u=u[i])
    value, pairing = prior.value(z), inner(u, z)
    good = close(value + at_u, pairing, ROUNDING, 1 + np.abs(value) + inner(v, v))
    i = int(np.argmin(good))
    require(good[i], prior, "phi(z) + phi*(u) is not <u, z> at u = (v - z) / step", v=v[i], z=z[i])
    with np.errstate(invalid="ignore"):
        room = value + bound - inner(v, z)
    i = int(np.argmin(room))
    enough = room[i] >= -ROUNDING * (1 + np.abs(value[i]) + inner(v, z)[i] ** 2)
    require(enough, prior, "phi(z) + phi*(u) < <u, z>", u=v[i], z=z[i])
    in_range = ((fraction >= 0) & (fraction <= 1)).all()
    require(in_range, prior, "feasible_fraction leaves [0, 1]", got=fraction)
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
    """From zero, and from a point inside: feasible up to the fraction, and not beyond."""
    column = fraction.reshape((-1,) + (1,) * (v.ndim - 1))
    start = 0.4 * np.roll(column * v, 1, axis=0)
    inner = np.asarray(_dual_side(prior, "feasible_fraction", start, v - start))
    for origin, way, t in ((0 * v, v, fraction), (start, v - start, inner)):
        t_column = t.reshape(column.shape)
        inside = np.isfinite(prior.conjugate(origin + (1 - 1e-9) * t_column * way))
        i = int(np.argmin(inside))
        require(inside[i], prior, "feasible_fraction is infeasible", start=origin[i],
                direction=way[i], t=t[i])  # fmt: skip
        further = origin + (t_column * (1 + 1e-6) + 1e-6) * way
        beyond = np.isinf(prior.conjugate(further)) | (t > 0.999)
        i = int(np.argmin(beyond))
        require(beyond[i], prior, "feasible_fraction is too small", start=origin[i],
                direction=way[i], t=t[i])  # fmt: skip


def _check_prior_derivatives(prior, v, step, rng):
    """``prox_vjp`` in the input, the step and every parameter, against central differences."""
    v = v + 1e-2 * rng.standard_normal(v.shape)  # off the kink that many priors have at zero
    grad, direction = rng.standard_normal((2, *v.shape))
    dv, dparams = prior.prox_vjp(v, step, grad)
    names = {*prior.parameters, "step"}
    require(set(dparams) == names, prior, "prox_vjp's keys are not the parameters", got=[*dparams])
    smooth, slope = differences(lambda t: inner(grad, prior.prox(v + t * direction, step)))
    require(2 * smooth.sum() > len(v), prior, "the prox is smooth almost nowhere", step=step)
    wrong = smooth & ~close(inner(dv, direction), slope, DERIVATIVE)
    i = int(np.argmax(wrong))
    require(
        not wrong[i],
        prior,
        "prox_vjp is not the derivative in v",
        v=v[i],
        step=step,
        vjp=inner(dv, direction)[i],
        differences=slope[i],
    )
    _compare_parameter(prior, "step", v, step, grad, np.float64(step), 1.0)
    for name, value in prior.parameters.items():
        towards = rng.standard_normal(np.shape(value))
        _compare_parameter(prior, name, v, step, grad, value, towards)


def _compare_parameter(prior, name, v, step, grad, value, towards):
    def along(t):
        if name == "step":
            return inner(grad, prior.prox(v, step + t))
        return inner(grad, dataclasses.replace(prior, **{name: value + t * towards}).prox(v, step))

    try:
        smooth, slope = differences(along)
    except InputError:  # the parameter stands at the edge of its range
        return
    kept = grad * smooth.reshape((-1,) + (1,) * (v.ndim - 1))
    gradient = prior.prox_vjp(v, step, kept)[1][name]
    shapes = np.shape(gradient), np.shape(value)
    require(shapes[0] == shapes[1], prior, f"the gradient in {name} has another shape", got=shapes)
    got, wanted = float(np.sum(gradient * towards)), float(slope[smooth].sum())
    size = 1.0 + np.abs(slope[smooth]).sum()
    good, claim = (
        close(got, wanted, DERIVATIVE, size),
        f"prox_vjp is not the derivative in {name}",
    )
    require(good, prior, claim, step=step, vjp=got, differences=wanted)


def _check_scaled(prior, v, step, z):
    for s in (0.25, 8.0):
        twin = prior.scaled(s)
        again = twin.prox(v / s, step) * s
        good = close(again, z, ROUNDING).reshape(len(v), -1).all(axis=1)
        i = int(np.argmin(good))
        require(good[i], prior, f"scaled({s}) has another prox", v=v[i], got=again[i], prox=z[i])
        value, other = prior.value(z), twin.value(z / s) * s**2
        offset, size = other - value, 1 + np.abs(value).max()
        steady = np.ptp(offset) <= ROUNDING * size * max(1.0, s**2)
        require(steady, prior, f"scaled({s}) has another value", offsets=offset[:4])


def _check_predicates(prior, v, z):
    if prior.is_nonnegative:
        require((z >= 0).all(), prior, "is_nonnegative, but the prox is negative", z=z[0])
        negative = prior.value(-1 - np.abs(v))
        require(np.isinf(negative).all(), prior, "is_nonnegative, but negative codes are allowed")
    if prior.is_convex:
        value, middle = prior.value(z), prior.value(0.5 * (z + np.roll(z, 1, axis=0)))
        excess = middle - 0.5 * (value + np.roll(value, 1)) - ROUNDING * (1 + np.abs(value).max())
        i = int(np.argmax(excess))
        require(excess[i] <= 0, prior, "is_convex, but a midpoint is higher", a=z[i], b=z[i - 1])
    if prior.is_homogeneous:
        same = close(prior.value(2 * z), 2 * prior.value(z), ROUNDING)
        require(same.all(), prior, "is_homogeneous, but phi(2 z) != 2 phi(z)", z=z[~same][:1])
    if not prior.is_sparse:
        line = np.linspace(-10, 10, 1999).reshape((-1,) + (1,) * (v.ndim - 1)) + 0 * v[:1]
        zeros = prior.prox(line) == 0
        dead = zeros[1:] & zeros[:-1]
        require(not dead.any(), prior, "not is_sparse, but an interval of inputs gives zeros")
