"""How many linear regions a convolutional layer has, and why sharing loses some in 2-D."""

import itertools
import math

import numpy as np
import sympy as sp
from sympy.polys.matrices import DomainMatrix

import sparsecnn as sc
from sparsecnn.derivation import Derivation, Step
from sparsecnn.symbolic.evidence import CONFIRMED, PROVED, REFUTED, Evidence, identity, trials

place = 10


def _rank(rows):
    """Rank of integer rows, exactly."""
    if not len(rows):
        return 0
    entries = [[sp.QQ(int(v)) for v in row] for row in rows]
    return DomainMatrix(entries, (len(entries), len(entries[0])), sp.QQ).rank()


def _subsets(n, most=None):
    sizes = range((n if most is None else most) + 1)
    return [s for size in sizes for s in itertools.combinations(range(n), size)]


def _is_hall(chosen, fields):
    """Whether every part of the chosen neurons sees as many pixels as it has members."""
    parts = (part for size in range(1, len(chosen) + 1)
             for part in itertools.combinations(chosen, size))  # fmt: skip
    return all(len(set().union(*(fields[q] for q in part))) >= len(part) for part in parts)


def _equal(found, claimed, what, verdict=CONFIRMED):
    """Whole numbers, or sets, compared without tolerance; PROVED where this is all of a claim."""
    if found == claimed:
        return Evidence("exact", verdict, f"{what}: {claimed}")
    return Evidence("exact", REFUTED, what, {"found": found, "claimed": claimed})


def _symbols(geometry, *names):
    """One symbol for each tap of each filter."""
    return [sp.symbols(f"{name}:{geometry.n_taps}", positive=True) for name in names]


def _as_polynomial(row, geometry):
    """A row of normals as a polynomial: pixel (p, q) stands at x^p y^q."""
    x, y = sp.symbols("x y", positive=True)
    width = geometry.input_shape[2]
    return sum(v * x ** (k // width) * y ** (k % width) for k, v in enumerate(row))


def _sample_point(expression):
    """Some positive value for every symbol."""
    names = sorted(s.name for s in expression.free_symbols)
    return {name: 0.5 + 0.37 * k for k, name in enumerate(names)}


def _whitney():
    def trial(rng):
        rows = rng.integers(-2, 3, (int(rng.integers(2, 6)), 3))
        rows = rows[rows[:, :2].any(axis=1)]
        scaled = {tuple(np.divide(r, r[r != 0][0]).tolist()): r for r in rows}
        planes = np.array(list(scaled.values())).reshape(-1, 3)  # each line once
        total = 0
        for chosen in map(list, _subsets(len(planes))):
            rank = _rank(planes[chosen, :2])
            if _rank(planes[chosen]) == rank:  # a common point
                total += (-1) ** (len(chosen) - rank)
        layer = planes[:, :2].astype(float), planes[:, 2].astype(float)
        exact = sc.regions.count(layer, (2,)).exact
        return abs(exact - total), {"lines": planes.tolist(), "regions": exact, "sum": total}

    return trials(trial, 20, tolerance=0, what="regions of given lines equal the sum")


def _independent():
    model = sc.regions.layer((1, 3, 3), 2, 2)

    def trial(rng):
        taps = rng.integers(-99, 100, (2, 4))
        rows = model.geometry.normals(taps, 0)
        sets = sum(_rank(rows[list(chosen)]) == len(chosen) for chosen in _subsets(8))
        network = taps.reshape(2, 1, 2, 2).astype(float), rng.standard_normal(2)
        exact = sc.regions.count(network, (1, 3, 3)).exact
        return abs(exact - sets), {"taps": taps.tolist(), "regions": exact, "sets": sets}

    return trials(trial, 3, tolerance=0, what="regions equal independent subsets")


def _hall():
    for shape, filters, size, padding in [
        ((1, 1, 4), 2, (1, 2), 0), ((1, 3, 3), 2, 2, 0), ((1, 2, 2), 1, 2, 1), ((2, 2, 2), 2, 1, 0)
    ]:  # fmt: skip
        free = sc.regions.layer(shape, filters, size, padding=padding, shared=False)
        fields = free.geometry.fields * filters
        admitted = sum(_is_hall(s, fields) for s in _subsets(len(fields)))
        rows = free.geometry.normals(np.ones((filters, free.geometry.n_taps)))
        weights = rows * np.random.default_rng(0).integers(1, 999, rows.shape)
        offsets = np.random.default_rng(1).standard_normal(len(rows))
        counted = sc.regions.count((weights, offsets), (free.geometry.n_pixels,)).exact
        name = (
            f"formula, count of unshared weights, Hall's sets (input {shape}, filters: {filters})"
        )
        yield _equal((free.formula(), counted), (admitted, admitted), name)


def _three_pixels():
    d = sp.Symbol("d", positive=True)
    fields = sc.regions.layer((1, 1, 3), 1, (1, 2)).geometry.fields
    total = sum(
        sp.ff(d, s) / math.factorial(s) * sp.ff(d, t) / math.factorial(t)
        for s, t in itertools.product(range(4), repeat=2)
        if _is_hall(range(s + t), [fields[0]] * s + [fields[1]] * t)
    )
    difference = sp.expand_func(total) - (d + 1) * (d**2 + 1)
    yield identity(difference, [{"d": 3.0}], what="the sum over K and (d + 1)(d^2 + 1)")
    counts = [sc.regions.count(sc.regions.paper_network(n, random_state=n), (1, 1, 3)).exact
              for n in range(1, 6)]  # fmt: skip
    claimed = [(n + 1) * (n**2 + 1) for n in range(1, 6)]
    yield _equal(counts, claimed, "regions of given filters, d = 1..5")


def _syzygy(sign):
    for size, image in [((2, 2), (3, 3)), ((2, 3), (3, 5)), ((3, 3), (5, 5))]:
        geometry = sc.regions.layer((1, *image), 2, size).geometry
        u, v = _symbols(geometry, "u", "v")
        first, second = np.split(geometry.normals(np.array([u, v], dtype=object), 0), 2)
        relation = np.array(v, dtype=object) @ first - sign * (np.array(u, dtype=object) @ second)
        difference = sp.expand(_as_polynomial(relation, geometry))
        point = _sample_point(sp.expand(_as_polynomial(first[0] + second[0], geometry)))
        what = f"w2 w1 - w1 w2 = 0 among the normals of two {size[0]}x{size[1]} filters"
        yield identity(difference, [point], what=what, simplify=difference == 0)


def _one_set():
    f, g = sp.symbols("f1 f2", positive=True)
    room = (2 * f - 1) * (2 * g - 1) - 2 * f * g
    what = "pixels minus neurons = 2 (f1 - 1) (f2 - 1) - 1, none missing from f1 = f2 = 2 on"
    yield identity(
        sp.expand(room) - (2 * (f - 1) * (g - 1) - 1), [{"f1": 2.0, "f2": 3.0}], what=what
    )
    model = sc.regions.layer((1, 3, 3), 2, 2)
    yield _equal(_is_hall(range(8), model.geometry.fields * 2), True, "Hall admits all eight")
    rows = model.geometry.normals(np.array([[2, 3, 5, 7], [11, 13, 17, 19]]), 0)
    lost = [s for s in _subsets(8) if _rank(rows[list(s)]) < len(s)]
    yield _equal(lost, [tuple(range(8))], "dependent sets at one choice of integers")
    yield _equal((model.formula(), model.exact()), (256, 255), "formula and count")
    for d in range(1, 6):
        model = sc.regions.layer((1, 3, 3), d, 2)
        claimed = math.comb(d, 2) * (4 * d - 7)
        yield _equal(model.formula() - model.exact(), claimed, f"regions lost, d = {d}")


def _invisible():
    def trial(rng):
        model = sc.regions.layer((1, 4, 4), 2, 2)
        (a, b, c, d), (e, f, g, h) = taps = rng.standard_normal((2, 4))
        # a + b y + x (c + d y) = 0 gives x; inserted into the other filter, a square in y
        square = [g * a - e * c, g * b + h * a - e * d - f * c, h * b - f * d]
        y = np.roots(square[::-1])
        x = -(a + b * y) / (c + d * y)
        p, q = np.divmod(np.arange(16), 4)
        images = x[:, None] ** p * y[:, None] ** q
        images /= np.abs(images).max(axis=1, keepdims=True)
        seen = np.abs(images @ model.geometry.normals(taps).T).max()
        missing = 16 - np.linalg.matrix_rank(model.geometry.normals(taps))
        wrong = abs(missing - len(y)) + abs(model.invisible_directions() - 2)
        return float(seen + wrong), {"zeros": len(y), "missing rank": missing}

    return trials(trial, 10, tolerance=1e-9, what="images x^p y^q at the common zeros are not seen")


def _edges():
    """Geometry of the padded 2x2 image, and the four positions at the middles of its edges."""
    geometry = sc.regions.layer((1, 2, 2), 1, 2, padding=1).geometry
    return geometry, tuple(q for q, field in enumerate(geometry.fields) if len(field) == 2)


def _determinant():
    geometry, edges = _edges()
    (taps,) = _symbols(geometry, "t")
    rows = geometry.normals(np.array([taps], dtype=object), 0)
    matrix = sp.Matrix([list(rows[q]) for q in edges])
    point = {s.name: 1.0 + k for k, s in enumerate(taps)}
    return identity(matrix.det(), [point], what=f"the determinant of {matrix.tolist()}")


def _one_less():
    geometry, edges = _edges()
    model = sc.regions.layer((1, 2, 2), 1, 2, padding=1)
    admitted = [s for s in _subsets(9, most=4) if _is_hall(s, geometry.fields)]
    rows = geometry.normals(np.array([[2, 3, 5, 11]]), 0)
    spanning = [s for s in admitted if _rank(rows[list(s)]) == len(s)]
    yield _equal(len(admitted), 224, "Hall's sets", PROVED)
    yield _equal(set(admitted) - set(spanning), {edges}, "dependent ones", PROVED)
    both = len(admitted), len(spanning)
    yield _equal((model.formula(), model.exact()), both, "formula and count", PROVED)
    given = np.array([[[[2.0, 3.0], [5.0, 11.0]]]])
    layers = [sc.Conv2D(given, [1.0], padding=1), sc.Activation("relu")]
    exact = sc.regions.count(layers, (1, 2, 2)).exact
    yield _equal(exact, 223, "regions of one given filter", PROVED)


def chapter(sign=1):
    """The chapter; ``sign=-1`` adds the two products of filters where they cancel."""
    steps = (
        Step(
            "Hyperplanes cut space into $\\sum_B (-1)^{|B| - \\rho(B)}$ regions, over the subsets "
            "$B$ with a common point; $\\rho(B)$ is the rank of their normals.",
            "Zaslavsky's theorem in Whitney's form: deleting and restricting to one hyperplane "
            "both sides obey $r(A) = r(A \\setminus H) + r(A^H)$.",
            ("distinct hyperplanes",),
            _whitney,
        ),
        Step(
            "For generic biases the regions are the subsets of linearly independent normals.",
            "no dependent subset has a common point, so that every sign is $+1$.",
            ("one layer", "free biases, generic weights"),
            _independent,
        ),
        Step(
            "With a filter of its own at every position a set is independent exactly if every "
            "part of it sees as many pixels as it has members; this is the published formula.",
            "Hall: the members then have private pixels, one term of the determinant that no "
            "other cancels. Each position chooses its $t$ of $d$ filters: $\\prod \\binom{d}{t}$.",
            ("unshared generic weights",),
            lambda: list(_hall()),
        ),
        Step(
            "Three pixels, windows of two, $d$ filters: $(d + 1)(d^2 + 1)$ regions, shared or not.",
            "$K = \\{t_1, t_2 \\le 2, t_1 + t_2 \\le 3\\}$; in one dimension sharing loses none.",
            ("one dimension",),
            lambda: list(_three_pixels()),
        ),
        Step(
            "Two shared filters satisfy $w_2 w_1 - w_1 w_2 = 0$: a linear relation among their "
            "normals at an $f_1 \\times f_2$ block of positions, whatever the weights.",
            "the normal at position $(i, j)$ is the polynomial $x^i y^j w_k(x, y)$; the "
            "coefficients of the relation are the taps of the other filter.",
            ("two filters on one channel", "stride 1, output at least as large as the filter"),
            lambda: list(_syzygy(sign)),
        ),
        Step(
            "On a 3x3 image two 2x2 filters have 255 regions, not 256, and $d \\le 5$ filters "
            "$\\binom{d}{2}(4d - 7)$ fewer than the formula says.",
            "$2 f_1 f_2 \\le (2 f_1 - 1)(2 f_2 - 1)$, so that Hall admits the dependent block of "
            "each pair, alone or with one of the $4(d - 2)$ other neurons.",
            ("shared generic weights",),
            lambda: list(_one_set()),
        ),
        Step(
            "At a common zero $(x, y)$ of two filters the image $x^p y^q$ is invisible to both; "
            "two 2x2 filters have two such images.",
            "a filter's answer at $(i, j)$ is $x^i y^j w_k(x, y)$.",
            ("two filters on one channel",),
            _invisible,
        ),
        Step(
            "One padded 2x2 filter on a 2x2 image: the normals of the four neurons that see two "
            "pixels are dependent, whatever the weights.",
            "their determinant is $\\pm(abcd - abcd)$.",
            ("shared weights",),
            _determinant,
        ),
        Step(
            "That layer has 223 regions, not 224.",
            "of Hall's 224 sets this is the only dependent one: the others are independent for "
            "one choice of integers, hence for generic weights.",
            ("generic weights and bias",),
            lambda: list(_one_less()),
        ),
    )
    source = (
        "The one-layer formula is theorem 2 of Xiong, Huang, Yu, Liu, Zhu and Shao 2020, known "
        "from a reader's notes of it, and Whitney's sum is quoted there from Stanley. That the "
        "formula is only an upper bound for filters shared in two dimensions, and both smallest "
        "cases, are derived here."
    )
    return Derivation("Counting linear regions", steps, source=source)


derivation = chapter()
