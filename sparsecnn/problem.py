"""The one statement of the energy ``E(z) = 1/2 ||x - D z||^2 + phi(z)``, its gradient and gap.

No other module may restate it. Certificates are computed in float64, a block of samples at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import array_api_compat
import numpy as np

from .duality import DualPoint, interior_point
from .validation import InputError, InputTypeError, as_float_array

#: Codes are certified this many numbers at a time, so that memory does not grow with the batch.
_BLOCK_NUMBERS = 1 << 21


class Certificate(NamedTuple):
    """What is known about codes, one float64 number per sample.

    Attributes
    ----------
    objective : array, shape (n_samples,)
        Energy.
    dual_gap : array
        Upper bound of ``E(z) - min E``; nan where the prior is not convex or no dual point is
        known.
    relative_gap : array
        ``dual_gap / max(|E(z)|, |E(0)|)``, 0 where both are 0 (a prior without mass at 0 is
        measured at its prox of 0 instead).
    fixed_point_residual : array
        ``L ||z - prox(z - grad / L, 1 / L)|| / ||D^T x||``: 0 exactly at stationary points of the
        proximal step.
    """

    objective: np.ndarray
    dual_gap: np.ndarray
    relative_gap: np.ndarray
    fixed_point_residual: np.ndarray


class SparseCodingProblem:
    """Sparse coding of a batch: minimise ``1/2 ||mask * (x - D z)||^2 + phi(z)`` for every sample.

    Parameters
    ----------
    x : array-like, shape (n_samples, *dictionary.signal_shape)
        Signals, batch first. float32 is kept; everything else becomes float64. A masked array's
        mask is honoured.
    dictionary : Dictionary or ConvDictionary
    prior : Prior
        Carries the sparsity weights; arrays align with the codes from the first axis after the
        batch.
    mask : array-like of 0 and 1, broadcastable to ``x``, optional
        1 = observed. Unobserved pixels (which may be NaN) leave the energy, so they are inferred,
        not explained.

    Attributes
    ----------
    x, dictionary, prior, mask, n_samples
        As given; ``mask`` is None or a boolean array shaped like ``x``.
    shape : tuple
        Shape of the codes, (n_samples, *dictionary.code_shape).

    References
    ----------
    Bowren 2021, non-negative and Laplace sparse coding energies.

    Examples
    --------
    >>> import sparsecnn as sc
    >>> atoms = [[1.0, 0.0], [0.0, 1.0]]
    >>> problem = sc.SparseCodingProblem([[3.0, 0.2]], sc.Dictionary(atoms), sc.Laplace(0.5))
    >>> problem.objective(np.array([[2.5, 0.0]]))
    array([1.395])
    >>> problem.dual_gap(np.array([[2.5, 0.0]])).round(12)
    array([0.])
    """

    def __init__(self, x, dictionary, prior, mask=None):
        _check_roles(dictionary, prior)
        x, mask = _signals_and_mask(x, mask, dictionary.signal_shape)
        self.x, self.mask, self.prior = x, mask, prior
        self.dictionary = dictionary.astype(x.dtype)
        self._interior = {}
        _check_alignment(prior, dictionary.code_shape)

    @property
    def n_samples(self):
        """int: number of samples."""
        return len(self.x)

    @property
    def shape(self):
        """tuple: shape of the codes, (n_samples, *dictionary.code_shape)."""
        return (len(self.x), *self.dictionary.code_shape)

    def __repr__(self):
        masked = "" if self.mask is None else f", {1 - self.mask.mean():.1%} masked"
        return (
            f"SparseCodingProblem({self.n_samples} samples, {self.dictionary!r}, "
            f"{self.prior!r}{masked})"
        )

    # -- views of the same problem -----------------------------------------------------------
    def subset(self, rows):
        """The problem of the samples ``rows`` (a slice, or an index or boolean array)."""
        mask = None if self.mask is None else self.mask[rows]
        return self._twin(self.x[rows], mask, self.prior, self.dictionary, self._interior)

    def astype(self, dtype):
        """The problem in another floating dtype."""
        if self.x.dtype == dtype:
            return self
        return self._twin(
            self.x.astype(dtype),
            self.mask,
            self.prior,
            self.dictionary.astype(dtype),
            self._interior,
        )

    def in_units(self, s):
        """The problem whose signals and codes are measured in units of ``s`` (a power of two)."""
        if s == 1.0:
            return self
        interior = {"point": self.dual_interior.in_units(s)} if self.prior.is_convex else {}
        exponent = int(np.log2(s))
        return self._twin(
            np.ldexp(self.x, -exponent), self.mask, self.prior.scaled(s), self.dictionary, interior
        )

    def _twin(self, x, mask, prior, dictionary, interior):
        twin = object.__new__(type(self))
        twin.x, twin.mask, twin.prior, twin.dictionary, twin._interior = (
            x,
            mask,
            prior,
            dictionary,
            interior,
        )
        return twin

    def scale_groups(self):
        """Samples grouped by magnitude: pairs (rows, power-of-two unit).

        In its unit no square leaves the float range. Ordinary data is one group with unit 1.
        """
        limit = 200 if self.x.dtype == np.float64 else 30
        sizes = np.abs(self.x).max(axis=tuple(range(1, self.x.ndim)))
        with np.errstate(over="ignore", invalid="ignore"):
            mode = self.prior.prox(np.zeros((1, *self.dictionary.code_shape)))
        sizes = np.maximum(sizes, np.abs(mode).max())  # where codes go without any data
        steps = np.rint(np.frexp(sizes)[1] / limit).astype(int)
        if not steps.any():
            return [(slice(None), 1.0)]
        return [
            (np.flatnonzero(steps == k), float(2.0 ** (int(k) * limit))) for k in np.unique(steps)
        ]

    # -- the energy --------------------------------------------------------------------------
    def residual(self, codes):
        """Unexplained signal ``mask * (x - D z)``, shape of ``x``."""
        difference = self.x - self.dictionary.synthesize(self._codes(codes))
        return difference if self.mask is None else difference * self.mask

    def gradient(self, codes):
        """Gradient of the smooth part, ``-D^T residual``, shape of the codes."""
        return -self.dictionary.analyze(self.residual(codes))

    def projections(self):
        """``D^T (mask * x)``: the negative gradient at zero, the linear part of a layer."""
        return self.dictionary.analyze(self.x if self.mask is None else self.x * self.mask)

    def objective(self, codes):
        """Energy of each sample, float64, shape (n_samples,); ``inf`` where it overflows."""
        return self.certificate(codes).objective

    def dual_gap(self, codes):
        """Upper bound of ``E(z) - min E`` per sample, float64; nan if the prior is not convex."""
        return self.certificate(codes).dual_gap

    def relative_gap(self, codes):
        """``dual_gap / max(|E(z)|, |E(0)|)`` per sample, float64; what solvers stop on."""
        return self.certificate(codes).relative_gap

    def fixed_point_residual(self, codes):
        """Relative size of one proximal-gradient step from ``codes``, per sample, float64."""
        return self.certificate(codes).fixed_point_residual

    def certificate(self, codes, stationarity=True):
        """All of the above in one pass; without ``stationarity`` no fixed-point residual (nan)."""
        codes = self._codes(codes)
        result = Certificate(*(np.empty(self.n_samples) for _ in Certificate._fields))
        for rows, s in self.scale_groups():
            group = self.subset(rows).in_units(s)
            exponent = int(np.log2(s))
            scaled = np.ldexp(codes[rows], -exponent) if exponent else codes[rows]
            part = group._certificate_in_blocks(scaled, stationarity)
            if s != 1.0:
                part = self._in_original_units(part, rows, codes[rows], exponent)
            for whole, piece in zip(result, part, strict=False):
                whole[rows] = piece
        return result

    def _in_original_units(self, part, rows, codes, exponent):
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            objective = np.ldexp(part.fidelity, 2 * exponent) + self.prior.value(codes)
            whole = np.ldexp(part.objective, 2 * exponent)  # up to a constant, for inf - inf
            objective = np.where(np.isnan(objective), whole, objective)
            gap = np.ldexp(part.dual_gap, 2 * exponent)
        return Certificate(objective, gap, part.relative_gap, part.fixed_point_residual)

    def _certificate_in_blocks(self, codes, stationarity):
        size = max(1, _BLOCK_NUMBERS // int(np.prod(codes.shape[1:])))
        parts = [
            self.subset(slice(start, start + size))
            .astype(np.float64)
            ._block_certificate(codes[start : start + size], stationarity)
            for start in range(0, self.n_samples, size)
        ]
        return _BlockCertificate(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _block_certificate(self, codes, stationarity):
        z = codes.astype(np.float64, copy=False)
        x = self.x if self.mask is None else self.x * self.mask
        residual = self.residual(z)
        pull = self.dictionary.analyze(residual)
        fidelity = 0.5 * _squares(residual)
        objective = fidelity + self.prior.value(z)
        moved = gap = relative = np.full(len(z), np.nan)
        if stationarity:
            moved = self._relative_move(z, pull, x)
        if self.prior.is_convex:
            gap = np.maximum(objective - self._dual_value(x, residual, pull), 0.0)
            relative = _relative(gap, objective, self._start_energy(x))
        return _BlockCertificate(objective, gap, relative, moved, fidelity)

    def _relative_move(self, z, pull, x):
        """``L ||z - prox(z + pull / L, 1 / L)|| / ||D^T x||`` of masked signals."""
        lipschitz = self.dictionary.lipschitz
        step = 1.0 / lipschitz if lipschitz > 0 else 1.0
        moved = np.sqrt(_squares(z - self.prior.prox(z + step * pull, step))) / step
        reach = np.sqrt(_squares(self.dictionary.analyze(x)))
        return np.divide(moved, reach, out=moved, where=reach > 0)

    def _start_energy(self, x):
        """``E(0)`` of masked signals, or ``E(prox(0))`` where zero is outside the support."""
        start = np.zeros((1, *self.dictionary.code_shape))
        penalty = self.prior.value(start)
        if np.isfinite(penalty).all():
            return 0.5 * _squares(x) + penalty
        start = self.prior.prox(start)
        image = self.dictionary.synthesize(start)
        image = image if self.mask is None else image * self.mask
        return 0.5 * _squares(x - image) + self.prior.value(start)

    # -- the dual ----------------------------------------------------------------------------
    @property
    def dual_interior(self):
        """DualPoint: well inside the dual feasible set, found once (an LP if some rate is <= 0)."""
        if "point" not in self._interior:
            observed, attained = None, True
            if self.mask is not None:
                observed = self.mask.all(axis=0)
                same = (self.mask == observed).reshape(self.n_samples, -1).all(axis=1)
                attained = bool(same.any())
            self._interior["point"] = interior_point(
                self.dictionary.astype(np.float64),
                self.prior,
                observed,
                attained,
                resolution=1e-10 * float(np.abs(self.x).max()),
            )
        return self._interior["point"]

    def _dual_value(self, x, residual, pull):
        """Best dual value found on the segment from the interior point to the residual.

        ``-inf`` if none is feasible. ``D(u) = <x, u> - 1/2 ||u||^2 - phi*(D^T u)`` for ``u``
        supported on the observed pixels.
        """
        start = self.dual_interior
        if start.status in ("empty", "unknown"):
            return np.full(len(x), np.nan)
        signal, codes = start.of_size(np.sqrt(_squares(x)))
        direction, along = residual - signal, pull - codes
        limit = self.prior.feasible_fraction(np.zeros_like(pull) + codes, along)
        slope, curvature = _inner(x - signal, direction), _squares(direction)
        best = np.clip(
            np.divide(slope, curvature, out=np.ones_like(slope), where=curvature > 0), 0.0, limit
        )
        if self.prior.is_homogeneous:  # phi* is zero on its domain: a parabola in t
            constant = _inner(x - 0.5 * signal, np.zeros_like(x) + signal)
            return constant + best * slope - 0.5 * best**2 * curvature
        value = np.full(len(x), -np.inf)
        for t in (limit, best, 0.9 * limit):
            t_signal, t_codes = (t.reshape((-1,) + (1,) * (a.ndim - 1)) for a in (x, pull))
            u = signal + t_signal * direction
            conjugate = self.prior.conjugate_inside(codes + t_codes * along)
            value = np.maximum(value, _inner(x, u) - 0.5 * _squares(u) - conjugate)
        return value

    def _codes(self, codes):
        plain = type(codes) is np.ndarray and codes.dtype in (np.float32, np.float64)
        numpy_or_class = isinstance(codes, np.ndarray | type)
        if not plain and (numpy_or_class or not array_api_compat.is_array_api_obj(codes)):
            expected = f"one code per sample of x, {self.shape}"
            codes = as_float_array(codes, "codes", expected=expected, finite=False)
        if tuple(codes.shape) != self.shape:
            raise InputError(
                f"codes have shape {tuple(codes.shape)}; expected {self.shape}, one code per "
                "sample of x. Add a batch axis with codes[None] if this is one sample."
            )
        return codes


class _BlockCertificate(NamedTuple):
    """A certificate in a block's units; the fidelity, which scales as their square, apart."""

    objective: np.ndarray
    dual_gap: np.ndarray
    relative_gap: np.ndarray
    fixed_point_residual: np.ndarray
    fidelity: np.ndarray


def _relative(gap, objective, start_energy):
    """``gap / max(|E(z)|, |E(0)|)``; an energy is negative only where a rate or log density is."""
    scale = np.maximum(np.abs(objective), np.abs(start_energy))
    relative = np.divide(
        gap, scale, out=np.full(len(gap), np.inf), where=(scale > 0) & np.isfinite(gap)
    )
    relative[np.isnan(gap)] = np.nan
    relative[(gap == 0) & (scale <= 0)] = 0.0
    return relative


def _squares(array):
    return _inner(array, array)


def _inner(a, b):
    return np.einsum("ni,ni->n", a.reshape(len(a), -1), b.reshape(len(b), -1))


# -- checks at the edge ---------------------------------------------------------------------
def _check_roles(dictionary, prior):
    for name, value, methods, example in (
        ("dictionary", dictionary, ("analyze", "synthesize", "lipschitz"), "Dictionary(atoms)"),
        ("prior", prior, ("prox", "value", "is_convex"), "Exponential(0.5)"),
    ):
        if isinstance(value, type) or not all(
            hasattr(type(value), m) or hasattr(value, m) for m in methods
        ):
            raise InputTypeError(
                f"{name} is {value!r}; expected a {name} object, such as {example}."
            )


def _signals_and_mask(x, mask, signal_shape):
    expected = f"signals (n_samples, {', '.join(map(str, signal_shape))})"
    if isinstance(x, np.ma.MaskedArray):
        observed = ~np.ma.getmaskarray(x)
        if mask is not None:
            raise InputError(
                "x is a masked array and mask is given too; expected one of them. Use x.filled(0)."
            )
        x, mask = x.filled(0), observed
    x = as_float_array(x, "x", finite=mask is None, expected=expected)
    if x.shape[1:] != tuple(signal_shape) or x.ndim == 0:
        hint = "Reshape x, or build the dictionary for this size."
        if x.shape == tuple(signal_shape):
            hint = "Add a batch axis, x[None], if this is one sample."
        raise InputError(f"x has shape {x.shape}; expected {expected}, batch first. {hint}")
    if mask is None:
        return x, None
    weights = as_float_array(
        mask, "mask", expected="0 (missing) and 1 (observed), broadcastable to x"
    )
    if not np.isin(weights, (0.0, 1.0)).all():
        raise InputError(
            "mask has values other than 0 and 1; expected 1 = observed, 0 = missing. Threshold "
            "it first."
        )
    try:
        mask = np.broadcast_to(weights.astype(bool), x.shape)
    except ValueError:
        raise InputError(
            f"mask has shape {weights.shape}; expected a shape that broadcasts to x, {x.shape}."
        )
    x = np.where(mask, x, 0)
    if not np.isfinite(x).all():
        raise InputError(
            "x contains NaN or infinity at observed pixels; expected finite numbers there. Mask "
            "them too."
        )
    return x, mask


def _check_alignment(prior, code_shape):
    try:
        prior.value(np.zeros((1, *code_shape)))
    except InputError as error:
        raise InputError(f"prior does not fit the dictionary: {error}")
    k = getattr(prior, "k", None)
    if k is not None and k > np.prod(code_shape):
        raise InputError(
            f"prior TopK keeps k = {k} of only {int(np.prod(code_shape))} coefficients; expected "
            "a smaller k."
        )


__all__ = ["Certificate", "DualPoint", "SparseCodingProblem"]
