"""The one statement of the energy ``E(z) = 1/2 ||x - D z||^2 + phi(z)``, its gradient and gap.

No other module may restate it. Certificates are computed in float64, a block of samples at a time.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import array_api_compat
import numpy as np

from .dictionaries import row_norms
from .duality import interior_point, remembered_interior_point
from .validation import ConvergenceWarning, InputError, InputTypeError, as_float_array

#: Codes are certified this many numbers at a time, so that memory does not grow with the batch.
_BLOCK_NUMBERS = 1 << 21
#: A dual point may miss a constraint by so much of ``||u|| ||d||``: rounding of the projections.
_DUAL_ROUNDING = 1e-13
#: norms of atoms that differ by more than this get steps of their own
_UNEQUAL = 4.0
#: share of a sample's largest value that changes no digit of its energy
_UNSEEN = 1e-17
#: Signals whose variation has less than this share of their energy are called uncentred.
_OFFSET = 1e-5


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
        ``||N^-1 (z - prox(z - s grad, s)) / s|| / ||N^-1 D^T x||`` with the atoms' norms ``N``
        (not divided where ``D^T x = 0``) and the step ``s = 1 / L`` (of a separable convex prior
        ``1 / (L' N^2)`` where the norms are unequal): 0 exactly at stationary points.
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
        As given; ``mask`` is None or a boolean array shaped like ``x``, and ``x`` is 0 where it is
        not observed.
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
        check_roles(dictionary, prior)
        x, mask = _signals_and_mask(x, mask, dictionary.signal_shape)
        self.x, self.mask, self.prior = x, mask, prior
        self.dictionary = dictionary.astype(x.dtype)
        self._interior = {}

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
        # a dual point is shared once it is known for all samples: those of a part observe other
        # pixels, so a point found for them is none for the whole
        known = self._interior if self.mask is None or self._interior else {}
        return self._twin(self.x[rows], mask, self.prior, self.dictionary, known)

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
        return self.dictionary.analyze(self.x)

    def objective(self, codes):
        """Energy of each sample, float64, shape (n_samples,); ``inf`` where it overflows."""
        return self.certificate(codes, gap=False, stationarity=False).objective

    def dual_gap(self, codes):
        """Upper bound of ``E(z) - min E`` per sample, float64; nan if the prior is not convex."""
        return self.certificate(codes, stationarity=False).dual_gap

    def relative_gap(self, codes):
        """``dual_gap / max(|E(z)|, |E(0)|)`` per sample, float64; what solvers stop on."""
        return self.certificate(codes, stationarity=False).relative_gap

    def fixed_point_residual(self, codes):
        """Relative size of one proximal-gradient step from ``codes``, per sample, float64."""
        return self.certificate(codes, gap=False).fixed_point_residual

    def certificate(self, codes, *, gap=True, stationarity=True):
        """All of the above in one pass; nan for what is not asked for.

        Parameters
        ----------
        codes : array, shape ``shape``
        gap, stationarity : bool
            Whether the duality gaps (of a convex prior) and the fixed-point residual are wanted.

        Returns
        -------
        Certificate
        """
        codes, gap = self._codes(codes), gap and self.prior.is_convex
        if gap:
            self.dual_interior  # noqa: B018 - of all samples, before they are parted
        result = Certificate(*(np.empty(self.n_samples) for _ in Certificate._fields))
        for rows, s in self.scale_groups():
            group = self.subset(rows).in_units(s)
            exponent = int(np.log2(s))
            scaled = np.ldexp(codes[rows], -exponent) if exponent else codes[rows]
            part = group._certificate_in_blocks(scaled, gap, stationarity)
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

    def _certificate_in_blocks(self, codes, gap, stationarity):
        size = max(1, _BLOCK_NUMBERS // int(np.prod(codes.shape[1:])))
        parts = [
            self.subset(slice(start, start + size))
            .astype(np.float64)
            ._block_certificate(codes[start : start + size], gap, stationarity)
            for start in range(0, self.n_samples, size)
        ]
        return _BlockCertificate(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _block_certificate(self, codes, gap, stationarity):
        z = codes.astype(np.float64, copy=False)
        residual = self.residual(z)
        pull = self.dictionary.analyze(residual) if gap or stationarity else None
        fidelity = 0.5 * _squares(residual)
        objective = fidelity + self.prior.value(z)
        moved = excess = relative = np.full(len(z), np.nan)
        if stationarity:
            moved = self._relative_move(z, pull)
        if gap:
            excess = np.maximum(objective - self._dual_value(residual, pull), 0.0)
            relative = _relative(excess, objective, self._start_energy())
        return _BlockCertificate(objective, excess, relative, moved, fidelity)

    def _relative_move(self, z, pull):
        """``||(z - prox(z + s pull, s)) / s / ||d||||``, over ``||D^T x / ||d||||``.

        Divided by the norms of the atoms, so that it is a signal's size that no long atom drowns;
        ``s`` is ``1 / L``, or of a convex prior each coefficient's own, which moves short atoms.
        """
        step = convex_steps(self) if self.prior.is_convex else safe_step(self)
        norms = self.dictionary.atom_norms
        sizes = np.where(norms > 0, norms, 1.0)
        moved = np.sqrt(_squares((z - self.prior.prox(z + step * pull, step)) / step / sizes))
        reach = np.sqrt(_squares(self.projections() / sizes))
        return np.divide(moved, reach, out=moved, where=reach > 0)

    def _start_energy(self):
        """``E(0)`` of masked signals, or ``E(prox(0))`` where zero is outside the support."""
        start = np.zeros((1, *self.dictionary.code_shape))
        penalty = self.prior.value(start)
        if np.isfinite(penalty).all():
            return 0.5 * _squares(self.x) + penalty
        start = self.prior.prox(start)
        image = self.dictionary.synthesize(start)
        image = image if self.mask is None else image * self.mask
        return 0.5 * _squares(self.x - image) + self.prior.value(start)

    def ray(self, codes):
        """The energy of each code's non-negative multiples, as a ``Ray``."""
        image = (self.x - self.residual(codes)).astype(np.float64, copy=False)  # mask * D z
        codes = codes.astype(np.float64, copy=False)
        cross, square = _inner(self.x.astype(np.float64, copy=False), image), _squares(image)
        return Ray(self.prior, codes, cross, square)

    # -- the dual ----------------------------------------------------------------------------
    @property
    def dual_interior(self):
        """DualPoint: well inside the dual feasible set, found once (an LP if some rate is <= 0)."""
        if "point" not in self._interior:
            dictionary, resolution = self.dictionary.astype(np.float64), self._resolution()
            if self.mask is None:
                point = remembered_interior_point(dictionary, self.prior, resolution)
            else:
                observed = self.mask.all(axis=0)
                same = (self.mask == observed).reshape(self.n_samples, -1).all(axis=1)
                point = interior_point(
                    dictionary, self.prior, observed, bool(same.any()), resolution
                )
            self._interior["point"] = point
        return self._interior["point"]

    def _resolution(self):
        """Rates below this drown in the rounding errors of the data; a power of two."""
        return float(np.ldexp(1e-10, np.frexp(np.abs(self.x).max())[1]))

    def _dual_value(self, residual, pull):
        """Best dual value found on the segment from the interior point to the residual.

        Where rates are tiny, also to the residual corrected for them. ``-inf`` if none is feasible.
        ``D(u) = <x, u> - 1/2 ||u||^2 - phi*(D^T u)`` for ``u`` supported on the observed pixels.
        """
        start = self.dual_interior
        if start.status in ("empty", "unknown"):
            return np.full(len(self.x), np.nan)
        best = self._best_on_segment(start, residual, pull)
        if start.narrow is not None:
            best = np.maximum(best, self._corrected_value(start, residual, pull))
        return np.where(self._is_inside(start), best, -np.inf)

    def _is_inside(self, start):
        """Whether what the starting point is outside of its bounds drowns in each sample's data."""
        codes = start.of_size(np.sqrt(_squares(self.x)))[1]
        low, high = self.prior.dual_domain(codes)
        outside = np.maximum(codes - high, low - codes).reshape(len(codes), -1).max(axis=1)
        largest = np.abs(self.x).reshape(len(self.x), -1).max(axis=1)
        return outside <= _UNSEEN * largest

    def _corrected_value(self, start, residual, pull):
        """The same for the residual corrected for atoms whose rates leave hardly any room.

        Rounding keeps it from being orthogonal to them. A signal that is, exactly, is so near that
        this costs it little; the other atoms get that much room.
        """
        narrow, code_shape = start.narrow, pull.shape[1:]
        low, high = (np.broadcast_to(b, (1, *code_shape)) for b in self.prior.dual_domain(pull[:1]))
        signal, moves = narrow.corrected(residual, self.mask, low, high)
        along, trailing = self.dictionary.analyze(signal), (-1,) + (1,) * len(code_shape)
        inside = np.clip(along, low, high)
        outside = np.abs(along - inside)
        size, norms = np.sqrt(_squares(signal)), self.dictionary.atom_norms
        rounded = outside <= _DUAL_ROUNDING * size.reshape(trailing) * norms
        best, held = np.full(len(pull), -np.inf), np.zeros(code_shape, dtype=bool)
        for which, move in moves(outside.reshape(len(pull), -1)):
            held.reshape(-1)[which] = True
            near = np.where(np.isfinite(move), move, 0.0)
            felt = along + np.sign(along) * norms * near.reshape(trailing)
            felt = np.where(rounded & held, inside, felt)
            cost = move * (np.sqrt(_squares(self.x)) + size + move)
            best = np.maximum(best, self._best_on_segment(start, signal, felt) - cost)
        return best

    def _best_on_segment(self, start, residual, pull):
        """Best dual value from ``start`` to a signal with projections ``pull``."""
        x = self.x
        signal, codes = start.of_size(np.sqrt(_squares(x)))
        direction, along = residual - signal, pull - codes
        limit = self.prior.feasible_fraction(np.zeros_like(pull) + codes, along)
        slope, curvature = _inner(x - signal, direction), _squares(direction)
        best = np.clip(
            np.divide(slope, curvature, out=np.ones_like(slope), where=curvature > 0), 0.0, limit
        )
        flat = self.prior.is_homogeneous  # phi* is zero on its domain: a parabola in t
        if flat and not signal.any():
            return best * slope - 0.5 * best**2 * curvature
        value = np.full(len(x), -np.inf)
        for t in (best,) if flat else (limit, best, 0.9 * limit):
            t_signal, t_codes = (t.reshape((-1,) + (1,) * (a.ndim - 1)) for a in (x, pull))
            u = signal + t_signal * direction
            conjugate = 0.0 if flat else self.prior.conjugate_inside(codes + t_codes * along)
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


class Ray(NamedTuple):
    """``E(s z)`` as a function of the scale ``s``, one per sample; float64, up to ``||x||^2 / 2``.

    Attributes
    ----------
    prior : Prior
    codes : array, shape (n_samples, *code_shape)
    cross, square : array, shape (n_samples,)
        ``<x, D z>`` and ``||D z||^2``.
    """

    prior: object
    codes: np.ndarray
    cross: np.ndarray
    square: np.ndarray

    def energy(self, s):
        """``1/2 s^2 ||D z||^2 - s <x, D z> + phi(s z)`` for scales ``s`` of shape (n_samples,)."""
        scaled = s.reshape((-1,) + (1,) * (self.codes.ndim - 1)) * self.codes
        return 0.5 * s**2 * self.square - s * self.cross + self.prior.value(scaled)


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
def check_roles(dictionary, prior):
    """Refuse what is no dictionary and no prior, or a prior that does not fit the codes."""
    check_role("dictionary", dictionary)
    check_role("prior", prior)
    _check_alignment(prior, dictionary.code_shape)


#: role -> what its object can do, and one of them
_ROLES = {
    "dictionary": (("analyze", "synthesize", "lipschitz"), "Dictionary(atoms)"),
    "prior": (("prox", "value", "check_fits", "is_convex"), "Exponential(0.5)"),
}


def check_role(name, value):
    """Refuse what is no dictionary, or no prior."""
    methods, example = _ROLES[name]
    if isinstance(value, type) or not all(
        hasattr(type(value), m) or hasattr(value, m) for m in methods
    ):
        what = repr(value) if np.ndim(value) == 0 else f"an array of shape {np.shape(value)}"
        raise InputTypeError(f"{name} is {what}; expected a {name} object, such as {example}.")


def warn_of_offset(x, who, mask=None, stacklevel=3):
    """Warn if the signals lie so far from 0 that what they differ by is lost in the gap.

    The relative gap divides by ``E(0)``, half the squared distance from 0.

    Parameters
    ----------
    x : array, shape (n_samples, ...)
        0 where not observed.
    who : str
        Who warns.
    mask : boolean array, shape of ``x``, optional
    stacklevel : int

    Warns
    -----
    ConvergenceWarning
        If neither the batch around its mean sample nor the samples around their mean number have
        1e-5 of the energy: an offset of some 300 deviations.
    """
    size = np.abs(x).max()
    if not size > 0 or not np.isfinite(size):
        return
    rows = (x / size).reshape(len(x), -1).astype(np.float64, copy=False)
    seen = np.ones(rows.shape) if mask is None else mask.reshape(rows.shape).astype(float)
    shares = []
    for axis in (0, 1):
        mean = rows.sum(axis, keepdims=True) / np.maximum(seen.sum(axis, keepdims=True), 1)
        shares.append(_squares((rows - mean) * seen).sum() / _squares(rows).sum())
    nothing = np.finfo(x.dtype).eps ** 2 * rows.size  # equal numbers, up to rounding
    told = [share for share in shares if share > nothing]
    if told and min(told) < _OFFSET:
        warnings.warn(
            f"{who}: x varies by {size * np.sqrt(min(told)):.2g} around an offset of about "
            f"{size:.2g}, and gap and tol are relative to the energy of all of it; what varies "
            f"is {min(told):.1g} of that. Subtract the mean of x first, or lower tol as much.",
            ConvergenceWarning,
            stacklevel=stacklevel,
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
        prior.check_fits(code_shape)
    except InputError as error:
        raise InputError(f"prior does not fit the dictionary: {error}")


def convex_steps(problem):
    """The step of every coefficient: ``1 / lipschitz``, or its own where norms differ much.

    With unit atoms of Lipschitz constant ``L'`` the steps ``1 / (L' ||d||^2)`` are safe for a
    separable convex prior: they are ``1 / L'`` of the problem whose atoms have norm 1.
    """
    dictionary = problem.dictionary
    norms = row_norms(dictionary.atoms.astype(np.float64))
    used = norms[norms > 0]
    if not problem.prior.is_separable or not used.size or used.max() < _UNEQUAL * used.min():
        return safe_step(problem)
    steps = 1.0 / (dictionary.normalised.lipschitz * np.where(norms > 0, norms, 1.0) ** 2)
    steps = steps.reshape((1, -1) + (1,) * (len(dictionary.code_shape) - 1))
    return np.broadcast_to(steps, (1, *dictionary.code_shape)).astype(dictionary.atoms.dtype)


def safe_step(problem):
    """``1 / lipschitz``, at most the inverse of the largest Gram eigenvalue (1 for zero atoms)."""
    lipschitz = problem.dictionary.lipschitz
    return float(np.float64(1.0) / lipschitz) if lipschitz > 0 else 1.0
