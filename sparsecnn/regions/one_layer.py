"""One convolutional layer with generic weights: formula, exact count, bounds, rank, growth.

Each question is its own method and says what it answers; ``architecture`` puts the answers side by
side.

Regions = sets of neurons with independent normals, if no dependent set meets in a point. With free
biases none does at generic weights (derived here). Let ``lambda_ik`` be a relation among the
normals of filters ``k`` at positions ``i``, and write it as polynomials
``p_k(z) = sum_i lambda_ik z^i``. A common point needs ``sum_k b_k p_k(1) = 0``; the biases being
free, ``p_k(1) = 0`` for every ``k``. Scaling the image, pixel ``j`` by ``t^j`` and so tap ``a`` by
``t^a``, makes generic weights of generic weights and of the relation another, ``lambda_ik t^i``; so
``p_k(t) = 0`` for almost all ``t > 0`` and ``lambda = 0``. Padding cuts monomials off, stride and
dilation change exponents: nothing else changes. On a circle ``t`` runs through the roots of unity
of its length: then every Fourier coefficient of ``lambda_k`` is zero, and ``lambda = 0`` again.
Fixed breakpoints shift the biases of a relation and leave ``p_k(1) = 0``. Independence is an open
condition, so the generic count is the maximum over all weights, and the average for weights from
any density.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np

from ..validation import InputError, as_integer
from . import formulas, modular, orbits
from .arrangement import characteristic_counts
from .geometry import LayerGeometry
from .result import STOPPED, Interrupted, RegionCount, TooLarge

#: independent sets that the plain search may list: some ten seconds at 0.1 to 0.4 microseconds
LARGEST_PLAIN = 30_000_000
#: orbits of independent sets that the symmetric search may list, at one to two microseconds
LARGEST_ORBITS = 8_000_000
#: operations of the rank's elimination: some ten seconds
LARGEST_RANK = 10**9
#: neurons times pixels up to which general position is worked out
LARGEST_GENERAL = 10**9

_PRIME_FIELD = (
    "random weights in a field of 2^61 - 1 elements stand for generic ones; the chance of a wrong "
    "count is below 1e-8"
)


@dataclasses.dataclass(frozen=True)
class LayerArchitecture:
    """One convolutional layer without its weights.

    Attributes
    ----------
    geometry : LayerGeometry
    n_filters : int
    breakpoints : int
        Breakpoints of the piecewise-linear activation: 1 for ReLU, 2 for a clipped one.
    shared : bool
        One filter bank for all positions (convolution), or one per position (locally connected).
    bias : bool
        Free biases (one per filter; per neuron if not shared), or none.
    """

    geometry: LayerGeometry
    n_filters: int
    breakpoints: int = 1
    shared: bool = True
    bias: bool = True

    @property
    def n_neurons(self):
        """Neurons that see at least one pixel."""
        return self.n_filters * sum(map(bool, self.geometry.windows))

    @property
    def n_parameters(self):
        """Weights and biases."""
        per_filter = self.geometry.n_taps + self.bias
        return self.n_filters * per_filter * (1 if self.shared else len(self.geometry.windows))

    def formula(self):
        """Return the published value, an upper bound of the number of regions.

        Xiong et al. 2020, Theorem 2; with ``breakpoints`` p every chosen hyperplane counts p times.

        Raises
        ------
        TooLarge
            When the sweep over positions would not fit into memory.
        """
        return formulas.layer_formula(self.geometry, self.n_filters, self.breakpoints)

    def closed_form(self):
        """Return ``(value, name)`` where a closed form is known, else None; biases assumed free."""
        g, d, p = self.geometry, self.n_filters, self.breakpoints
        windows = [set(w) for w in g.windows if w]
        if len(windows) == 1:
            return formulas.zaslavsky(d, len(windows[0]), p), "one window: general position"
        if all(len(w) == 1 for w in windows) and len(set(map(min, windows))) == len(windows):
            return (d * p + 1) ** len(windows), "one pixel per window"
        if sum(map(len, windows)) == len(set().union(*windows)):
            value = math.prod(formulas.zaslavsky(d, len(w), p) for w in windows)
            return value, "windows that do not overlap"
        if g.is_one_dimensional and [sorted(w) for w in windows] == [[0, 1], [1, 2]] and p == 1:
            return (d + 1) * (d * d + 1), "three pixels, windows of two"
        return None

    @property
    def formula_is_exact(self):
        """Whether formula = count is proved: free biases, and unshared or one-dimensional.

        One dimension (derived here): let position ``q`` see the pixels from ``q`` on and give tap
        ``a`` of filter ``k`` the weight ``s^(a^2 + e_k a)``, with different ``0 <= e_k < 2``. For
        neurons ``(q, k)`` and as many pixels the determinant sums, over the matchings to pixels
        ``x`` of the windows, ``+- s`` to the power ``sum (x - q)^2 + e_k (x - q)``; what depends on
        the matching is ``sum x (e_k - 2 q)``. These factors differ, so over all bijections the one
        that gives larger pixels to larger ``(q, -e_k)`` is the only one of least order. If Hall's
        condition holds there is a matching for some pixels; windows start and end in the order of
        ``q``, so exchanging two pixels out of order stays within windows, and the ordered bijection
        is a matching. Hence the determinant is not zero. Channels make longer pixels, padding
        shorter windows, dilation separate signals. On a circle windows have no order, and nothing
        is claimed.
        """
        return self.bias and (not self.shared or self.geometry.is_one_dimensional)

    def counts(self, limit=None):
        """Return ``c_k >= 0``: characteristic polynomial ``sum (-1)^k c_k t^(n-k)``, exactly.

        Parameters
        ----------
        limit : int, optional
            Largest number of sets to list before refusing (two defaults, one per method).

        Raises
        ------
        TooLarge
            With the estimate, before a search that would not finish.
        Interrupted
            On Ctrl-C, with the sets found so far.
        """
        if not self.bias:
            return self._central_counts(limit)
        try:
            sizes, stopped = self._independent(limit), False
        except Interrupted as stop:
            sizes, stopped = stop.counts, True
        counts = [c * self.breakpoints**k for k, c in enumerate(sizes)]
        if stopped:
            raise Interrupted(counts)
        return counts

    def _independent(self, limit):
        """Independent sets of neurons by size."""
        if self.formula_is_exact:
            return formulas.formula_by_size(self.geometry, self.n_filters)
        sizes = [1]
        for windows, times in self.geometry.components():
            try:
                part = self._shared_counts(windows, limit)
            except Interrupted as stop:
                raise Interrupted(_convolve(sizes, stop.counts)) from None
            for _ in range(times):
                sizes = _convolve(sizes, part)
        return sizes

    def exact(self, limit=None):
        """Return the number of regions of the layer at generic weights, exactly."""
        if self.formula_is_exact:
            return self.formula()
        return sum(self.counts(limit))

    def _shared_counts(self, windows, limit):
        """Independent sets by size, for one group of overlapping windows."""
        _refuse_hopeless(windows, limit)
        fields = [[frozenset(w) for w in windows]]
        pixels = len(frozenset().union(*fields[0]))
        work = formulas.count_tuples(fields, formulas.binomial_weights(self.n_filters))
        used = min(self.n_filters, pixels)
        by_orbit = orbits.estimate(len(windows), used, pixels) if len(windows) < 60 else math.inf
        symmetric = by_orbit < work / 6
        least, allowed = (by_orbit, LARGEST_ORBITS) if symmetric else (work, LARGEST_PLAIN)
        if least > (allowed if limit is None else limit):
            raise TooLarge(
                f"the exact count would list up to {least:.3g} sets of neurons (limit "
                f"{allowed if limit is None else limit:.3g}). Use formula() and the bounds, fewer "
                "filters or a smaller image, or raise the limit."
            )
        rng = np.random.default_rng(0)

        def normals(n_filters):
            taps = modular.random((n_filters, self.geometry.n_taps), rng)
            return _lay(taps, windows, pixels)

        if symmetric:
            table = orbits.orbit_counts(normals, self.n_filters, len(windows), pixels)
            return orbits.evaluate(table, self.n_filters)
        return characteristic_counts(normals(self.n_filters), pixels)

    def _central_counts(self, limit):
        """No-broken-circuit sets of a layer without biases."""
        _refuse_hopeless(self.geometry.windows, limit)
        rows, n = self.generic_rows(), self.geometry.n_pixels
        work = formulas.zaslavsky(len(rows), modular.rank(rows[:, :n]))
        if self.breakpoints == 1:
            work = min(work, formulas.layer_formula(self.geometry, self.n_filters))
        allowed = LARGEST_PLAIN // 3 if limit is None else limit
        if work > allowed:
            raise TooLarge(
                f"the exact count without biases would list up to {work:.3g} sets of hyperplanes "
                f"(limit {allowed:.3g}). Use upper() and lower(), or raise the limit."
            )
        return characteristic_counts(rows, n, generic_offsets=False)

    def generic_rows(self, random_state=0):
        """Return the neurons' normals at random weights of the prime field.

        Without biases and with several breakpoints a last column holds the (generic, common)
        breakpoints; otherwise offsets are generic or zero and there is none.
        """
        rng, g = np.random.default_rng(random_state), self.geometry
        if self.shared:
            rows = g.normals(modular.random((self.n_filters, g.n_taps), rng), np.uint64(0))
        else:
            rows = g.normals(np.ones((self.n_filters, g.n_taps), np.uint64), np.uint64(0))
            rows = rows * modular.random(rows.shape, rng)
        if self.bias or self.breakpoints == 1:
            return rows
        steps = np.repeat(modular.random((self.breakpoints, 1), rng), len(rows), axis=0)
        return np.hstack([np.tile(rows, (self.breakpoints, 1)), steps])

    def rank(self):
        """Return the rank of the normals at generic weights: the input dimensions that count."""
        pixels = self.geometry.n_pixels
        work = self.n_neurons * pixels * min(self.n_neurons, pixels)
        if work > LARGEST_RANK:
            raise TooLarge(
                f"the rank of {self.n_neurons:,} normals of {pixels:,} entries takes {work:.2g} "
                f"operations (limit {LARGEST_RANK:.0e}). Use a smaller image or fewer filters."
            )
        return modular.rank(self.generic_rows()[:, : self.geometry.n_pixels])

    def invisible_directions(self):
        """Return the number of input dimensions along which no neuron changes."""
        return self.geometry.n_pixels - self.rank()

    def characteristic_polynomial(self, limit=None):
        """Return the coefficients of ``t^n, t^(n-1), .., t^0``, with their signs."""
        counts = self.counts(limit)
        signed = [(-1) ** k * c for k, c in enumerate(counts)]
        return signed + [0] * (self.geometry.n_pixels + 1 - len(counts))

    def bounded_regions(self, limit=None):
        """Return the number of bounded regions, modulo the invisible directions."""
        return abs(sum((-1) ** k * c for k, c in enumerate(self.counts(limit))))

    def lower(self):
        """Return a proved lower bound: some neurons alone, of windows apart or independent."""
        count = formulas.zaslavsky if self.bias else formulas.zaslavsky_central
        extra = (self.breakpoints,) if self.bias else ()
        windows = _apart(self.geometry.windows)
        apart = math.prod(count(self.n_filters, len(window), *extra) for window in windows)
        try:
            return max(apart, (self.breakpoints + 1) ** self.rank())
        except TooLarge:
            return apart

    def upper(self):
        """Return a proved upper bound: the formula, or general position where it is too large."""
        pixels = len(set().union(*self.geometry.windows))
        pieces = self.n_neurons * self.breakpoints
        if pixels * self.n_neurons > LARGEST_GENERAL:  # sum_(i <= n) binom(m, i) p^i, bounded again
            return min((self.breakpoints + 1) ** self.n_neurons, (pieces + 1) ** pixels)
        general = formulas.zaslavsky(self.n_neurons, pixels, self.breakpoints)
        if not self.bias and self.breakpoints == 1:
            general = formulas.zaslavsky_central(self.n_neurons, pixels)
        try:
            return min(general, self.formula())
        except TooLarge:
            return general

    def growth(self):
        """Return how the count grows with the number of filters, and per parameter.

        Returns
        -------
        dict
            ``degree`` u and ``coefficient`` c of ``c d^u``; ``dense_coefficient``, the same for a
            dense layer with as many neurons (always the larger one); ``per_parameter`` and
            ``per_parameter_local``: the ratio of leading terms of this layer, or of the locally
            connected one, to a dense layer of the same number of parameters.

        Raises
        ------
        InputError
            For a layer without biases: its regions grow by another power.
        """
        if not self.bias:
            raise InputError("growth is known for free biases; expected a layer with bias=True.")
        degree, coefficient = formulas.leading_coefficient(self.geometry)
        n, positions = self.geometry.n_pixels, len(self.geometry.windows)
        coefficient *= self.breakpoints**degree
        dense = Fraction(self.breakpoints**n, math.factorial(n))
        cost, dense_cost = self.geometry.n_taps + 1, n + 1
        ratio = coefficient * Fraction(dense_cost**n, cost**degree) / dense
        return {
            "degree": degree,
            "coefficient": coefficient,
            "dense_coefficient": dense * positions**n,
            "per_parameter": float(ratio),
            "per_parameter_local": float(ratio / positions**degree),
        }


def _apart(windows):
    """Windows that share no pixel, the largest first."""
    taken, chosen = set(), []
    for window in sorted(windows, key=len, reverse=True):
        if window and taken.isdisjoint(window):
            taken.update(window)
            chosen.append(window)
    return chosen


def _refuse_hopeless(windows, limit):
    """One filter at windows apart makes independent sets of all of them, in whatever order."""
    least, allowed = len(_apart(windows)), LARGEST_PLAIN if limit is None else limit
    if 2.0 ** min(least, 1000) > allowed:
        raise TooLarge(
            f"the exact count would list at least 2^{least} sets of neurons (limit {allowed:.3g}). "
            "Use formula() and the bounds, or a smaller image."
        )


def _lay(taps, windows, n_pixels):
    """Rows of all filters at all windows, filter by filter."""
    rows = np.zeros((len(taps), len(windows), n_pixels), dtype=np.uint64)
    for q, window in enumerate(windows):
        rows[:, q, list(window)] = taps[:, list(window.values())]
    return rows.reshape(-1, n_pixels)


def _convolve(a, b):
    out = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


def layer(
    input_shape, n_filters, kernel_size, stride=1, padding=0, dilation=1, breakpoints=1,
    shared=True, bias=True,
):  # fmt: skip
    """Return the `LayerArchitecture` with these arguments (those of `architecture`)."""
    geometry = LayerGeometry.of(input_shape, kernel_size, stride, padding, dilation)
    return LayerArchitecture(
        geometry,
        as_integer(n_filters, "n_filters"),
        as_integer(breakpoints, "breakpoints"),
        bool(shared),
        bool(bias),
    )


def architecture(
    input_shape, n_filters, kernel_size, stride=1, padding=0, dilation=1, breakpoints=1,
    shared=True, bias=True,
):  # fmt: skip
    """Count the linear regions of one convolutional layer with generic weights.

    Parameters
    ----------
    input_shape : tuple of int
        ``(channels, height, width)``.
    n_filters : int
    kernel_size, stride, dilation : int or pair of int
        ``(vertical, horizontal)``.
    padding : int, pair of int, "valid", "same" or "circular"
        Zero padding, whose pixels are no inputs; or a periodic image, whose windows wrap around.
    breakpoints : int
        Breakpoints of the activation: 1 for ReLU.
    shared : bool
        Convolution (True) or locally connected layer (False).
    bias : bool
        With free biases, or without any.

    Returns
    -------
    RegionCount
        ``exact`` is the count at generic weights, which is also the maximum over all weights and
        the average over any density; ``formula`` is the published value, an upper bound.

    References
    ----------
    Xiong et al., On the number of linear regions of convolutional neural networks, 2020, Theorem 2.
    Zaslavsky, Facing up to arrangements, 1975.

    Examples
    --------
    >>> from sparsecnn import regions
    >>> result = regions.architecture((1, 3, 3), n_filters=2, kernel_size=2)
    >>> result.exact, result.formula
    (255, 256)
    """
    model = layer(
        input_shape, n_filters, kernel_size, stride, padding, dilation, breakpoints, shared, bias
    )
    exact, formula, found = None, None, 0
    upper = (model.breakpoints + 1) ** model.n_neurons  # every neuron on any of its pieces
    assumes = ["generic weights" + (" and biases" if model.bias else ", no biases")]
    try:
        try:
            formula = model.formula() if model.bias else None
        except TooLarge as reason:
            assumes.append(f"formula left out: {reason}")
        upper = model.upper()
        exact, method = _exact_with_method(model)
    except TooLarge as reason:
        method = "bounds: some neurons alone below; formula or general position above"
        assumes.append(f"exact count left out: {reason}")
    except KeyboardInterrupt as stop:
        method = "sets found so far below; formula or general position above"
        found = sum(getattr(stop, "counts", ()))
        assumes.append(STOPPED)
    if "prime field" in method or "sets found" in method:
        assumes.append(_PRIME_FIELD)
    if model.geometry.circular and formula is not None:
        assumes.append("formula: Hall's count for wrapped windows, an upper bound; none published")
    if not model.bias and model.breakpoints > 1:
        assumes.append("breakpoints generic, the same for every neuron")
    if exact is None:
        bounds = max(found, model.lower()), upper
    else:
        bounds = exact, exact
    return RegionCount(exact, formula, *bounds, None, method, tuple(assumes))


def _exact_with_method(model):
    if model.formula_is_exact:
        why = "one-dimensional" if model.shared else "unshared"
        return model.formula(), f"formula, which is exact for {why} weights"
    if not model.bias:
        return model.exact(), "no-broken-circuit sets over a prime field"
    return model.exact(), "independent sets of normals over a prime field"
