"""Maps of several variables: prox or not, by pairs of points and by Jacobians.

The Jacobian test speaks only where a map is differentiable; monotonicity on pairs of points holds
for every prox, so both are run.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from ..priors import TopK
from ..symbolic.evidence import CONFIRMED, PROVED, Evidence
from ..validation import InputError
from .callables import checked
from .explanation import Explanation
from .sampling import FINE, NARROWEST
from .verdict import explain_black_box


def softmax(x):
    """``exp(x_i) / sum exp(x_j)`` along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmin(x):
    """``softmax(-x)``."""
    return softmax(-x)


def log_softmax(x):
    """``log softmax(x)``."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def rms_norm(x):
    """``sqrt(n) x / |x|``."""
    return x * np.sqrt(x.shape[-1]) / np.linalg.norm(x, axis=-1, keepdims=True)


def layer_norm(x):
    """Layer normalisation without gain and with ``eps = 0``."""
    return rms_norm(x - x.mean(axis=-1, keepdims=True))


def keep_largest(x):
    """The largest entry stays, the others become zero; no prox, though its Jacobian hides it."""
    return np.where(np.arange(x.shape[-1]) == x.argmax(axis=-1)[..., None], x, 0.0)


def top_k(x, k=2):
    """The ``k`` entries of largest size stay, the others become zero: the prox of ``TopK(k)``."""
    return TopK(k).prox(x.reshape(-1, x.shape[-1])).reshape(x.shape)


def sparsemax(x):
    """The nearest point of the simplex (Martins & Astudillo 2016)."""
    above = np.sort(x, axis=-1)[..., ::-1]
    level = (np.cumsum(above, axis=-1) - 1) / np.arange(1, x.shape[-1] + 1)
    return np.maximum(x - level.max(axis=-1, keepdims=True), 0.0)


def entmax15(x):
    """``argmax <x, p> + 4/3 sum (p - p^(3/2))`` on the simplex (Peters, Niculae & Martins 2019).

    ``p = max(x/2 - t, 0)^2`` with the ``t`` at which the entries above it sum to one.
    """
    above = np.sort(x, axis=-1)[..., ::-1] / 2
    m = np.arange(1, x.shape[-1] + 1)
    mean = np.cumsum(above, axis=-1) / m
    spread = np.maximum(np.cumsum(above**2, axis=-1) / m - mean**2, 0.0)
    level = mean - np.sqrt(np.maximum(1 / m - spread, 0.0))
    count = (level <= above).sum(axis=-1, keepdims=True)
    return np.maximum(x / 2 - np.take_along_axis(level, count - 1, axis=-1), 0.0) ** 2


VECTOR_MAPS = {
    f.__name__: f
    for f in (
        softmax, softmin, log_softmax, rms_norm, layer_norm, keep_largest, top_k, sparsemax,
        entmax15,
    )
}  # fmt: skip
#: of those that are a prox; the others have none
VECTOR_PENALTIES = {
    "softmax": "sum z log z - |z|^2/2 on the simplex",
    "rms_norm": "indicator of the sphere of radius sqrt(n)",
    "layer_norm": "indicator of the zero-mean sphere of radius sqrt(n)",
    "top_k": "indicator of at most k = 2 coefficients that are not zero",
    "sparsemax": "indicator of the simplex",
    "entmax15": "4/3 sum z^(3/2) - |z|^2/2 on the simplex",
}
_MEANS = {"softmax": "one-hot codes (with input x/sigma^2 plus the log of their weights)"}
#: points among which cycles are looked for
_CYCLE_POINTS = 120
#: lines on which steep steps are looked for, cells of each, cells bisected in every round, rounds
_LINES, _CELLS, _STEEPEST, _ROUNDS = 60, 96, 400, 60
#: numbers in one call of a map
_ENTRIES = 2**19


def check_dim(dim):
    """The length of the vectors of a map, as it came."""
    if isinstance(dim, bool) or not isinstance(dim, int) or not 2 <= dim <= 512:
        raise InputError(f"dim is {dim!r}; expected an integer from 2 to 512.")
    return dim


def explain_vector(function, dim, name, *, n_points=200, seed=0):
    """The verdict on a map of vectors of length ``dim`` (last axis)."""
    with np.errstate(all="ignore"):
        return _explain(function, name, _test_points(dim, n_points, seed), n_points)


def _explain(function, name, points, n_points):
    points, values, precision = _finite_values(function, points, name)
    witness = _fall(points, values, precision) or _cycle(points, values, precision)
    if witness is not None:
        return _refuted(name, *witness)
    count = min(n_points, max(4, 100_000 // points.shape[1] ** 2))
    skew, eigenvalues, where = _jacobians(function, points[-count:], precision)
    if skew > precision.skew:
        return _skewed(name, skew, where)
    of_one = _function_of_one(function, points, values)
    if of_one is not None:
        found = explain_black_box(name, of_one)
        return dataclasses.replace(found, reason=f"one function of every entry: {found.reason}")
    steepest, pair = steepest_step(function, points[-n_points:], precision)
    seen = (
        f"monotone on all pairs of {len(points)} points and on all cycles of "
        f"{min(len(points), _CYCLE_POINTS)}, Jacobians symmetric with eigenvalues in "
        f"[{max(eigenvalues.min(), 0) + 0:.3g}, {eigenvalues.max():.4g}] at {count} random points"
    )
    largest = max(float(eigenvalues.max()), steepest)
    quotient = f"|f(x) - f(y)| / |x - y| = {steepest:.6g} between near points of {_LINES} lines"
    lipschitz = Evidence("numeric", CONFIRMED, quotient, pair if steepest > 1 else None)
    return Explanation(
        name,
        True,
        "sampled",
        penalty=VECTOR_PENALTIES.get(name),
        convex=bool(largest <= 1 + precision.slope),
        sparse=bool((values[-n_points:] == 0).mean() > 0.01),
        posterior_mean=_MEANS.get(name),
        reason=f"{seen}; {quotient}",
        largest_slope=largest,
        checks=(Evidence("numeric", CONFIRMED, seen), lipschitz),
    )


@dataclasses.dataclass(frozen=True)
class _Precision:
    """What rounding allows: falls, step and skew of Jacobians, narrowest step, slope above 1."""

    fall: float = 1e-7
    difference: float = 1e-5
    skew: float = 1e-5
    narrowest: float = NARROWEST
    slope: float = 1e-5


_SINGLE = _Precision(1e-4, 1e-2, 1e-2, FINE, 1e-2)


def _finite_values(function, points, name):
    """The points at which the map is finite, its values there, and their precision."""
    values = checked(function, points, name)
    precision = _Precision() if values.dtype.itemsize >= 8 else _SINGLE
    values = values.astype(float)
    finite = np.isfinite(values).all(axis=1)
    points, values = points[finite], values[finite]
    if len(points) < 10:
        raise InputError(f"{name} is finite at {len(points)} of the test points; expected most.")
    return points, values, precision


def _function_of_one(function, points, values):
    """The function of one variable that a map applies to every entry, or None.

    Told by rows of all scales, and of many at once: each entry must be what it is among equals. Of
    the values on the diagonal the mean is taken, whose falls and slopes above 1 are the map's.
    """
    dim, rng = points.shape[1], np.random.default_rng(2)
    count = min(len(points), max(4, 2000 // dim))
    some = np.linspace(0, len(points) - 1, count).astype(int)
    mixed = points[some] * 10.0 ** rng.uniform(-5, 1, (len(some), dim))
    even = points[some] * 10.0 ** rng.uniform(-5, 1, (len(some), 1))
    rows = np.concatenate([points[some], mixed, even])
    found = function(rows)
    rounding = 1e-12 if found.dtype.itemsize >= 8 else 1e-5

    def of_one(x):
        flat, parts = np.ravel(np.asarray(x, dtype=float)), []
        for k in range(0, max(flat.size, 1), _ENTRIES // dim):
            at = function(np.repeat(flat[k : k + _ENTRIES // dim, None], dim, axis=1))
            same = (at == at[:, :1]).all(axis=1)
            parts.append(np.where(same, at[:, 0], at.mean(axis=1)))
        return np.concatenate(parts).reshape(np.shape(x))

    for k in (slice(-1, None), slice(None)):  # one row will mostly do
        if not np.allclose(of_one(rows[k]), found[k], rtol=rounding, atol=0, equal_nan=True):
            return None
    return of_one


def steepest_step(function, points, precision):
    """The largest ``|f(x) - f(y)| / |x - y|`` that is found, infinite at a jump, and its pair.

    Lines between random points, and through zero at every scale, are cut into cells; the steepest
    are bisected, which a quotient survives: one half is at least as steep as the whole.
    """
    a, b = _cells(function, points)
    for _ in range(_ROUNDS):
        width, moved = (np.linalg.norm(part, axis=1) for part in np.moveaxis(b - a, 1, 0))
        quotient = np.where(width > 0.5 * precision.narrowest, moved / width, 0.0)  # or rounding
        steepest = np.argsort(-np.nan_to_num(quotient))[:_STEEPEST]
        a, b, width = a[steepest], b[steepest], width[steepest]
        wide = width > 2 * precision.narrowest
        if not wide.any():
            break
        middle = 0.5 * (a[wide, 0] + b[wide, 0])
        middle = np.stack([middle, function(middle)], axis=1)
        a, b = (
            np.concatenate([a[~wide], a[wide], middle]),
            np.concatenate([b[~wide], middle, b[wide]]),
        )
    largest, moved = quotient[steepest[0]], np.linalg.norm(b[0, 1] - a[0, 1])
    jumps = not wide[0] and moved > 1e-3
    return float("inf") if jumps else float(largest), _coordinates([a[0, 0], b[0, 0]], "xy")


def _cells(function, points):
    """Both ends of the cells of every line, each a point and its image."""
    n, dim = _LINES - _LINES // 4, points.shape[1]
    even, scale = np.linspace(0, 1, _CELLS)[:, None], np.geomspace(1e-5, 8, _CELLS // 2)
    scale = np.concatenate([-scale[::-1], scale])[:, None]
    lines = [a + even * (b - a) for a, b in zip(points[:n], points[n : 2 * n], strict=True)]
    lines = np.stack([*lines, *(scale * p for p in points[-_LINES // 4 :])])
    images = function(lines.reshape(-1, dim)).reshape(lines.shape)
    both = np.stack([lines, images], axis=2)
    return (part.reshape(-1, 2, dim) for part in (both[:, :-1], both[:, 1:]))


def _refuted(name, how, witness):
    value = next(reversed(witness.values()))
    reason = f"not {how}: {next(reversed(witness))} = {value:.4g} < 0"
    check = Evidence("exact", PROVED, f"{reason}, far more than rounding", witness)
    return Explanation(
        name, False, "proved", witness=witness, convex=False, reason=reason, checks=(check,)
    )


def _skewed(name, skew, where):
    reason = f"its Jacobian is not symmetric (difference {skew:.3g}), so it is no gradient"
    witness = {f"x{k}": float(v) for k, v in enumerate(where)} | {"skew": skew}
    check = Evidence("numeric", CONFIRMED, reason, witness)
    return Explanation(
        name, False, "confirmed", witness=witness, convex=False, reason=reason, checks=(check,)
    )


def _fall(points, values, precision):
    """A pair with ``<x - y, f(x) - f(y)> < 0``, the most negative relative to its size."""
    squares = (points * values).sum(axis=1)
    products = squares[:, None] + squares - points @ values.T - values @ points.T
    size = np.linalg.norm(points, axis=1) + 1
    size = size * (np.linalg.norm(values, axis=1) + 1e-30)
    bad = products < -precision.fall * (size[:, None] + size)
    if not bad.any():
        return None
    whole = (points == np.round(points)).all(axis=1)  # integers are checked by hand
    by_hand = bad & whole[:, None] & whole
    i, j = np.unravel_index(
        np.argmin(np.where(by_hand if by_hand.any() else bad, products, 0.0)), products.shape
    )
    witness = _coordinates(points[[i, j]], "xy")
    return "monotone", {**witness, "<x - y, f(x) - f(y)>": float(products[i, j])}


def _cycle(points, values, precision):
    """A closed path with ``sum <f(x_k), x_k - x_(k+1)> < 0``: no gradient of a convex function.

    Floyd and Warshall's shortest paths; a negative entry of the diagonal is such a cycle.
    """
    points, values = points[-_CYCLE_POINTS:], values[-_CYCLE_POINTS:]
    n = len(points)
    length = (points * values).sum(axis=1)[:, None] - values @ points.T
    following = np.tile(np.arange(n), (n, 1))
    slack = precision.fall * (1 + np.abs(length).max())
    for k in range(n):
        through = length[:, k, None] + length[k]
        shorter = through < length - 1e-12 * slack
        np.copyto(length, through, where=shorter)
        np.copyto(following, np.broadcast_to(following[:, k, None], (n, n)), where=shorter)
        start = int(np.argmin(np.diag(length)))
        if length[start, start] < -slack:
            return _path(points, values, following, start)
    return None


def _path(points, values, following, start):
    path, at = [start], int(following[start, start])
    while at not in path and len(path) <= len(points):
        path.append(at)
        at = int(following[at, start])
    path = path[path.index(at) :] if at in path else path
    x, f = points[path], values[path]
    total = float((f * (x - np.roll(x, -1, axis=0))).sum())
    if total >= 0:
        return None
    witness = {f"x{k}[{i}]": float(v) for k, row in enumerate(x) for i, v in enumerate(row)}
    key = "sum <f(x_k), x_k - x_(k+1)>"
    return f"cyclically monotone over {len(path)} points", {**witness, key: total}


def _coordinates(points, letters):
    return {
        f"{letter}{k}": float(v)
        for letter, row in zip(letters, points, strict=True)
        for k, v in enumerate(row)
    }


def _test_points(dim, n_points, seed):
    """Small integers, which make witnesses that can be checked by hand, then random points."""
    integers = np.array(list(itertools.product((-2.0, -1.0, 1.0, 2.0), repeat=min(dim, 4))))
    integers = np.pad(integers, ((0, 0), (0, dim - integers.shape[1])))
    random = np.random.default_rng(seed).standard_normal((n_points, dim)) * 2
    return np.concatenate([integers, random])


def _jacobians(function, points, precision):
    """(largest asymmetry, eigenvalues, the worst point) of central-difference Jacobians."""
    dim, h = points.shape[1], precision.difference
    shifts = h * np.eye(dim)
    jacobian = (function(points[:, None] + shifts) - function(points[:, None] - shifts)) / (2 * h)
    skew = np.abs(jacobian - jacobian.transpose(0, 2, 1)).max(axis=(1, 2))
    eigenvalues = np.linalg.eigvalsh(0.5 * (jacobian + jacobian.transpose(0, 2, 1)))
    k = int(np.argmax(skew))
    return float(skew[k]), eigenvalues, points[k]
