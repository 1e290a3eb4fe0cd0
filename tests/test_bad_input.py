"""Bad input at every public edge: a clear error of the package, or the right answer."""

import fractions
import warnings

import numpy as np
import pytest
import scipy.sparse

import sparsecnn as sc

X = np.random.default_rng(0).standard_normal((3, 4))
ATOMS = np.random.default_rng(1).standard_normal((5, 4))
FILTERS = np.random.default_rng(2).standard_normal((2, 1, 2, 2))
DICTIONARY, CONV = sc.Dictionary(ATOMS), sc.ConvDictionary(FILTERS, (4, 4))
IMAGES = np.random.default_rng(3).standard_normal((3, 1, 4, 4))
PRIOR = sc.Exponential(0.2)
ERRORS = (sc.InputError, sc.InputTypeError)


class Opaque:
    """An object NumPy can only box."""

    def __repr__(self):
        return "Opaque()"  # the same name in every test process


def poisoned(array, value):
    array = np.array(array, dtype=float)
    array.flat[array.size // 2] = value
    return array


#: what no edge may accept: name -> function of a good array
BAD = {
    "NaN": lambda a: poisoned(a, np.nan),
    "inf": lambda a: poisoned(a, np.inf),
    "-inf": lambda a: poisoned(a, -np.inf),
    "float32 NaN": lambda a: poisoned(a, np.nan).astype(np.float32),
    "list with NaN": lambda a: poisoned(a, np.nan).tolist(),
    "no rows": lambda a: a[:0],
    "no columns": lambda a: a[..., :0],
    "empty list": lambda a: [],
    "scalar": lambda a: 1.0,
    "0-d": lambda a: np.array(1.0),
    "1-D": lambda a: a.ravel(),
    "one axis more": lambda a: a[None, None],
    "too wide": lambda a: np.concatenate([a, a], axis=-1),
    "too narrow": lambda a: a[..., :-1],
    "strings": lambda a: np.full(a.shape, "cat"),
    "numeric strings": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S8"),
    "list of numeric strings": lambda a: a.astype(str).tolist(),
    "complex": lambda a: a + 1j,
    "complex without imaginary part": lambda a: a + 0j,
    "objects": lambda a: np.full(a.shape, Opaque(), dtype=object),
    "None": lambda a: None,
    "array of None": lambda a: np.full(a.shape, None),
    "string": lambda a: "x",
    "dict": lambda a: {"x": 1},
    "set": lambda a: {1.0, 2.0},
    "generator": lambda a: (row for row in a),
    "ragged": lambda a: [[1.0, 2.0], [1.0]],
    "dates": lambda a: np.full(a.shape, np.datetime64("2020-01-01")),
    "durations": lambda a: np.full(a.shape, np.timedelta64(1, "s")),
    "records": lambda a: np.zeros(a.shape, dtype=[("u", float)]),
    "sparse": lambda a: scipy.sparse.csr_array(np.asarray(a).reshape(len(a), -1)),
    "sparse matrix": lambda a: scipy.sparse.csc_matrix(np.asarray(a).reshape(len(a), -1)),
    "function": lambda a: np.sum,
    "class": lambda a: np.ndarray,
}

#: other spellings of the same numbers: the answer has to be the same
FINE = {
    "list": (lambda a: a.tolist(), 0),
    "tuple": (lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else a.tolist(), 0),
    "Fortran order": (np.asfortranarray, 1e-12),
    "strided": (lambda a: np.repeat(a, 2, axis=-1)[..., ::2], 1e-12),
    "reversed twice": (lambda a: np.ascontiguousarray(a[::-1])[::-1], 1e-12),
    "big-endian": (lambda a: a.astype(">f8"), 0),
    "read-only": (lambda a: frozen(a), 0),
    "long double": (lambda a: a.astype(np.longdouble), 0),
    "subclass": (lambda a: a.view(Annotated), 0),
    "memoryview": (lambda a: memoryview(np.ascontiguousarray(a)), 0),
}


class Annotated(np.ndarray):
    """A subclass with nothing to say."""


def frozen(array):
    array = array.copy()
    array.setflags(write=False)
    return array


def refuses(function, *words):
    """``function()`` raises an error of the package that contains one of ``words``, no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ERRORS) as caught:
            function()
    text = str(caught.value)
    assert any(word in text for word in words), text
    assert "expected" in text or "Use" in text or "use" in text, text
    return text


# -- arrays ---------------------------------------------------------------------------------
def problem_of(x, dictionary=DICTIONARY):
    return sc.SparseCodingProblem(x, dictionary, PRIOR)


START = np.random.default_rng(4).random((3, 5))
EDGES = {  # function of the array, a good array, words its message must contain one of
    "SparseCodingProblem(x)": (problem_of, X, ("x ",)),
    "SparseCodingProblem(images)": (lambda x: problem_of(x, CONV), IMAGES, ("x ",)),
    "start of solve": (lambda z: sc.solve(problem_of(X), start=z), START, ("start",)),
    "start of FISTA": (lambda z: sc.FISTA().solve(problem_of(X), z), START, ("start",)),
    "start of CoordinateDescent": (
        lambda z: sc.CoordinateDescent().solve(problem_of(X), z),
        START,
        ("start",),
    ),
    "start of the forward transform": (
        lambda z: sc.ForwardTransform().solve(problem_of(X), z),
        START,
        ("start",),
    ),
    "objective(codes)": (lambda z: problem_of(X).objective(z), START, ("codes",)),
    "dual_gap(codes)": (lambda z: problem_of(X).dual_gap(z), START, ("codes",)),
    "gradient(codes)": (lambda z: problem_of(X).gradient(z), START, ("codes",)),
    "residual(codes)": (lambda z: problem_of(X).residual(z), START, ("codes",)),
}
#: atoms define the shapes, so another shape is another dictionary, not an error
SHAPE_FREE = {"too wide", "too narrow"}
NOT_FINITE = {"NaN", "inf", "-inf", "float32 NaN", "list with NaN"}
ATOM_EDGES = {
    "Dictionary(atoms)": (sc.Dictionary, ATOMS, ("atoms",)),
    "ConvDictionary(filters)": (lambda f: sc.ConvDictionary(f, (4, 4)), FILTERS, ("filters",)),
}


CASES = [
    (edge, bad)
    for edge in EDGES | ATOM_EDGES
    for bad in BAD
    if not (edge.startswith("start") and bad == "None")  # no start is a start
    and not (edge.endswith("(codes)") and bad in NOT_FINITE)  # a test of its own below
]


@pytest.mark.share(4)
@pytest.mark.parametrize("edge,bad", CASES)
def test_a_bad_array_is_refused_by_name(edge, bad):
    function, good, words = (EDGES | ATOM_EDGES)[edge]
    value = BAD[bad](good)
    if edge in ATOM_EDGES and bad in SHAPE_FREE:
        assert function(value).atoms.shape == value.shape
        return
    refuses(lambda: function(value), *words)


@pytest.mark.parametrize("edge", [edge for edge in EDGES if edge.endswith("(codes)")])
@pytest.mark.parametrize("bad", sorted(NOT_FINITE))
def test_codes_that_are_not_finite_never_get_a_finite_energy(edge, bad):
    """Diverging iterations ask for these energies, so they are answered, not refused."""
    function, good, _ = EDGES[edge]
    with np.errstate(all="ignore"):
        out, clean = np.asarray(function(BAD[bad](good))), np.asarray(function(good))
    row = good.size // 2 // good.shape[1]
    assert not np.isfinite(out[row]).any()
    np.testing.assert_allclose(np.delete(out, row, 0), np.delete(clean, row, 0), rtol=1e-6)


@pytest.mark.parametrize("fine", FINE)
def test_another_spelling_of_the_same_numbers_gives_the_same_code(fine):
    spell, tolerance = FINE[fine]
    expected = sc.FISTA().solve(problem_of(X))
    actual = sc.FISTA().solve(
        sc.SparseCodingProblem(spell(X), sc.Dictionary(spell(ATOMS)), PRIOR),
        spell(np.zeros((3, 5))),
    )
    np.testing.assert_allclose(actual.codes, expected.codes, atol=tolerance)
    assert actual.codes.dtype == np.float64 and type(actual.codes) is np.ndarray
    np.testing.assert_allclose(
        problem_of(X).objective(spell(START)), problem_of(X).objective(START), rtol=1e-12
    )


@pytest.mark.parametrize("dtype", ["u1", "i1", "i8", ">i4", "?", "f2", "f4", ">f4", "u8"])
def test_other_numeric_types_are_read_by_their_values(dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 100, (3, 4)).astype(dtype)
    solution = sc.solve(problem_of(x))
    expected = sc.solve(problem_of(np.array(x.tolist(), dtype=float)))
    single = dtype in ("f4", ">f4")
    assert solution.codes.dtype == (np.float32 if single else np.float64)
    tolerance = {"rtol": 1e-3, "atol": 1e-2} if single else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(solution.codes, expected.codes, **tolerance)
    np.testing.assert_allclose(solution.objective, expected.objective, rtol=1e-5 if single else 0)


def test_numbers_that_only_look_like_objects_are_refused_rather_than_guessed():
    for box in (fractions.Fraction(1, 2), np.float64(0.5)):
        x = np.full((3, 4), box, dtype=object)
        refuses(lambda x=x: problem_of(x), "x has dtype object")


@pytest.mark.parametrize("kind", ["atoms", "filters", "start", "mask", "codes"])
def test_a_masked_array_is_refused_wherever_its_mask_would_be_lost(kind):
    def masked(a):
        return np.ma.array(a, mask=np.zeros(np.shape(a), dtype=bool))

    actions = {
        "atoms": lambda: sc.Dictionary(masked(ATOMS)),
        "filters": lambda: sc.ConvDictionary(masked(FILTERS), (4, 4)),
        "start": lambda: sc.solve(problem_of(X), start=masked(START)),
        "mask": lambda: sc.SparseCodingProblem(X, DICTIONARY, PRIOR, masked(np.ones((3, 4)))),
        "codes": lambda: problem_of(X).objective(masked(START)),
    }
    assert "masked array" in refuses(actions[kind], kind)


def test_a_masked_array_and_a_mask_together_are_refused():
    refuses(
        lambda: sc.SparseCodingProblem(np.ma.array(X), DICTIONARY, PRIOR, np.ones((3, 4))), "mask"
    )


def test_the_message_says_how_to_add_a_batch_axis():
    assert "x[None]" in refuses(lambda: problem_of(X[0]), "x has shape")
    assert "x[None]" in refuses(lambda: problem_of(IMAGES[0], CONV), "x has shape")


# -- masks ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "mask",
    [
        np.ones((3, 5)),
        np.ones((2, 4)),
        np.ones((3, 4, 1)),
        np.full((3, 4), 0.5),
        np.full((3, 4), 2),
        np.full((3, 4), -1),
        np.full((3, 4), np.nan),
        "all",
        np.full((3, 4), "1"),
        [],
        [[True, False]],
        np.ones((3, 4)) + 0j,
        {1: 2},
        Opaque(),
    ],
    ids=repr,
)
def test_a_mask_of_a_wrong_shape_or_with_other_values_is_refused(mask):
    refuses(lambda: sc.SparseCodingProblem(X, DICTIONARY, PRIOR, mask), "mask")


def test_a_mask_does_not_excuse_what_is_observed():
    x = poisoned(X, np.nan)
    seen = np.ones(X.shape)
    assert "observed" in refuses(lambda: sc.SparseCodingProblem(x, DICTIONARY, PRIOR, seen), "x ")
    seen.flat[X.size // 2] = 0
    assert sc.solve(sc.SparseCodingProblem(x, DICTIONARY, PRIOR, seen)).converged.all()
    x = poisoned(X, np.inf)
    assert sc.solve(sc.SparseCodingProblem(x, DICTIONARY, PRIOR, seen)).converged.all()


# -- roles ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "wrong",
    [None, 0.5, "Exponential", sc.Exponential, X, PRIOR, {}, np.sum],
    ids=lambda w: type(w).__name__,
)
def test_something_that_is_no_dictionary_is_refused(wrong):
    refuses(lambda: sc.SparseCodingProblem(X, wrong, PRIOR), "dictionary")


@pytest.mark.parametrize(
    "wrong",
    [None, 0.5, "Exponential", sc.Exponential, sc.TopK, DICTIONARY, np.sum],
    ids=lambda w: type(w).__name__,
)
def test_something_that_is_no_prior_is_refused(wrong):
    refuses(lambda: sc.SparseCodingProblem(X, DICTIONARY, wrong), "prior")


@pytest.mark.parametrize(
    "wrong",
    [None, X, DICTIONARY, PRIOR, "problem", sc.SparseCodingProblem],
    ids=lambda w: type(w).__name__,
)
@pytest.mark.parametrize(
    "run",
    [
        sc.solve,
        sc.default_solver,
        sc.FISTA().solve,
        sc.ISTA().solve,
        sc.LCA().solve,
        sc.CoordinateDescent().solve,
        sc.Orthogonal().solve,
        sc.ForwardTransform().solve,
        sc.FISTA().check,
    ],
)
def test_something_that_is_no_problem_is_refused(run, wrong):
    refuses(lambda: run(wrong), "problem")


@pytest.mark.parametrize(
    "make",
    [
        lambda: sc.Exponential(np.full(4, 0.1)),
        lambda: sc.Laplace(np.full(6, 0.1)),
        lambda: sc.Laplace(np.full((5, 2), 0.1)),
        lambda: sc.ElasticNet(0.1, np.full(3, 0.1)),
        lambda: sc.AsymmetricLaplace(np.full(5, 0.1), np.full(4, 0.1)),
        lambda: sc.GroupLaplace(0.1, [0, 0, 1, 1]),
        lambda: sc.GroupLaplace([0.1, 0.2, 0.3], [0, 0, 1, 1, 1]),
        lambda: sc.Uniform(np.zeros(4), np.ones(4)),
        lambda: sc.Lp(0.1, np.ones(4)),
    ],
)
def test_a_prior_that_does_not_fit_the_codes_is_refused(make):
    text = refuses(
        lambda: sc.SparseCodingProblem(X, DICTIONARY, make()),
        "prior",
        "lam",
        "alpha",
        "groups",
        "GroupLaplace",
        "AsymmetricLaplace",
    )
    assert "4" in text or "6" in text or "3" in text or "2" in text


def test_one_rate_per_sample_by_accident_is_not_broadcast_silently():
    """(3, 5) codes and a (3,)-vector of rates: NumPy alone would not say which axis is meant."""
    refuses(lambda: sc.SparseCodingProblem(X, DICTIONARY, sc.Exponential(np.full(3, 0.1))), "lam")


# -- parameters of priors -------------------------------------------------------------------
PARAMETERS = {
    "Laplace(lam)": lambda v: sc.Laplace(v),
    "Exponential(lam)": lambda v: sc.Exponential(v),
    "AsymmetricLaplace(lam_minus)": lambda v: sc.AsymmetricLaplace(v, 5.0),
    "AsymmetricLaplace(lam_plus)": lambda v: sc.AsymmetricLaplace(5.0, v),
    "Gaussian(alpha)": lambda v: sc.Gaussian(v),
    "HalfNormal(alpha)": lambda v: sc.HalfNormal(v),
    "ElasticNet(lam)": lambda v: sc.ElasticNet(v, 0.1),
    "ElasticNet(alpha)": lambda v: sc.ElasticNet(0.1, v),
    "Uniform(low)": lambda v: sc.Uniform(v, 1e9),
    "Uniform(high)": lambda v: sc.Uniform(-1e9, v),
    "TruncatedExponential(lam)": lambda v: sc.TruncatedExponential(v, 1.0),
    "TruncatedExponential(high)": lambda v: sc.TruncatedExponential(0.1, v),
    "Huber(lam)": lambda v: sc.Huber(v, 0.1),
    "Huber(delta)": lambda v: sc.Huber(0.1, v),
    "Gamma(lam)": lambda v: sc.Gamma(v, 0.1),
    "Gamma(mu)": lambda v: sc.Gamma(0.1, v),
    "StudentT(c)": lambda v: sc.StudentT(v, 0.1),
    "StudentT(gamma)": lambda v: sc.StudentT(0.1, v),
    "SpikeSlab(kappa)": lambda v: sc.SpikeSlab(v),
    "SpikeSlab(lam)": lambda v: sc.SpikeSlab(0.1, v),
    "SpikeSlab(alpha)": lambda v: sc.SpikeSlab(0.1, 0.1, v),
    "LogSum(lam)": lambda v: sc.LogSum(v, 0.1),
    "LogSum(eps)": lambda v: sc.LogSum(0.1, v),
    "SCAD(lam)": lambda v: sc.SCAD(v, 3.7),
    "SCAD(a)": lambda v: sc.SCAD(0.1, v),
    "MCP(lam)": lambda v: sc.MCP(v, 3.0),
    "MCP(gamma)": lambda v: sc.MCP(0.1, v),
    "Lp(lam)": lambda v: sc.Lp(v, 0.5),
    "Lp(p)": lambda v: sc.Lp(0.1, v),
    "GroupLaplace(lam)": lambda v: sc.GroupLaplace(v, [0, 0, 1]),
}
SIGNED = {
    "Exponential(lam)",
    "AsymmetricLaplace(lam_minus)",
    "AsymmetricLaplace(lam_plus)",
    "Uniform(low)",
    "Uniform(high)",
    "TruncatedExponential(lam)",
}
POSITIVE = {
    "TruncatedExponential(high)",
    "Huber(delta)",
    "Gamma(mu)",
    "StudentT(gamma)",
    "LogSum(eps)",
    "SCAD(a)",
    "MCP(gamma)",
    "Lp(p)",
}
NONSENSE = {
    "NaN": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "None": None,
    "string": "a",
    "numeric string": "0.1",
    "complex": 0.1 + 0j,
    "bool": True,
    "dict": {},
    "object": Opaque(),
    "empty": [],
    "NaN inside": [0.1, np.nan],
    "strings": ["0.1", "0.2"],
    "complex array": np.array([0.1 + 0j]),
    "bools": np.array([True, False]),
    "masked": np.ma.array([0.1, 0.2], mask=[0, 1]),
    "ragged": [[0.1], [0.1, 0.2]],
    "function": np.sum,
    "sparse": scipy.sparse.csr_array(np.ones((1, 2))),
    "objects": np.array([0.1, None]),
}


@pytest.mark.share(4)
@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_parameter_that_is_no_finite_number_is_refused_by_name(parameter, nonsense):
    name = parameter.split("(")[1][:-1]
    refuses(lambda: PARAMETERS[parameter](NONSENSE[nonsense]), f"{name}=", f"{name} ")


@pytest.mark.parametrize("parameter", sorted(set(PARAMETERS) - SIGNED))
@pytest.mark.parametrize("value", [-0.1, -1e-300, [0.1, -0.1]], ids=repr)
def test_a_negative_parameter_is_refused_where_it_makes_no_prior(parameter, value):
    refuses(lambda: PARAMETERS[parameter](value), parameter.split("(")[1][:-1])


@pytest.mark.parametrize("parameter", sorted(POSITIVE))
def test_a_zero_is_refused_where_a_parameter_has_to_be_positive(parameter):
    refuses(lambda: PARAMETERS[parameter](0.0), parameter.split("(")[1][:-1])


@pytest.mark.parametrize(
    "make,words",
    [
        (lambda: sc.AsymmetricLaplace(0.1, -0.2), ("lam_minus + lam_plus",)),
        (lambda: sc.Laplace(10**400), ("Laplace(lam", "inf")),
        (lambda: sc.Laplace(0.1).prox(np.ones((2, 3)), np.zeros(0)), ("step", "empty")),
        (lambda: sc.SymbolicPrior("lam*abs(z)/a", lam=1.0, a=0.0), ("divides by a,",)),
        (
            lambda: sc.SymbolicPrior("lam*max(abs(z), 1/(a - b))", lam=1.0, a=2.0, b=2.0),
            ("divides by a - b,",),
        ),
        (
            lambda: sc.SymbolicPrior("lam*z**2/(a*z**2 + b)", lam=1.0, a=0.0, b=0.0),
            ("divides by a*z**2 + b,",),
        ),
        (lambda: sc.Uniform(1.0, 1.0), ("low",)),
        (lambda: sc.Uniform(2.0, 1.0), ("low",)),
        (lambda: sc.SCAD(0.1, 2.0), ("SCAD(a",)),
        (lambda: sc.TopK(0), ("TopK(k",)),
        (lambda: sc.TopK(-1), ("TopK(k",)),
        (lambda: sc.TopK(1.5), ("TopK(k",)),
        (lambda: sc.TopK("2"), ("TopK(k",)),
        (lambda: sc.TopK(None), ("TopK(k",)),
        (lambda: sc.TopK(True), ("TopK(k",)),
        (lambda: sc.GroupLaplace(0.1, []), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, 3), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, None), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, "ab"), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, [0.5, 1.0]), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, [[0, 1], [1, 2]]), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, [[0, 1], [3]]), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, [[0, 1], ["a"]]), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, [[0.5], [1.5]]), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, [[0, 1], 2]), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, {0: [0], 1: [1]}), ("groups",)),
        (lambda: sc.GroupLaplace(0.1, Opaque()), ("groups",)),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(make, words):
    refuses(make, *words)


@pytest.mark.parametrize(
    "bad", ["NaN", "strings", "complex", "None", "objects", "string", "ragged", "sparse"]
)
@pytest.mark.parametrize("method", ["prox", "value"])
@pytest.mark.parametrize(
    "prior",
    [
        sc.Laplace(0.1),
        sc.Gamma(0.1, 0.1),
        sc.TopK(2),
        sc.LogSum(0.1, 0.1),
        sc.GroupLaplace(0.1, [0, 0, 1, 1]),
    ],
)
def test_codes_that_are_no_numbers_are_refused_by_the_prior_or_stay_nan(prior, method, bad):
    value = BAD[bad](X)
    if bad == "NaN":  # elementwise functions of codes: NaN in, NaN out, never a number
        out = getattr(prior, method)(value)
        spoiled = np.argwhere(np.isnan(value))[0]
        if not isinstance(prior, sc.TopK):
            assert np.isnan(out[tuple(spoiled)] if method == "prox" else out[spoiled[0]])
        return
    refuses(lambda: getattr(prior, method)(value), "v ", "codes ")


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan, None, "1", 1j], ids=repr)
def test_a_step_that_is_not_positive_is_refused(step):
    refuses(lambda: sc.Laplace(0.1).prox(X, step), "step")


# -- settings -------------------------------------------------------------------------------
SOLVERS = [sc.FISTA, sc.ISTA, sc.CoordinateDescent, sc.LCA]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("tol", [-1e-6, np.nan, np.inf, None, "1e-6", 1j, [1e-6], True], ids=repr)
def test_a_tolerance_that_is_none_is_refused(solver, tol):
    refuses(lambda: solver(tol=tol), "tol")
    refuses(lambda: sc.solve(problem_of(X), tol=tol), "tol")


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("max_iter", [0, -5, 1.5, np.nan, "10", [10], True], ids=repr)
def test_an_iteration_limit_that_is_no_positive_integer_is_refused(solver, max_iter):
    refuses(lambda: solver(max_iter=max_iter), "max_iter")
    refuses(lambda: sc.solve(problem_of(X), max_iter=max_iter), "max_iter")


@pytest.mark.parametrize(
    "tol,max_iter,word", [(-1.0, None, "tol"), (np.nan, 5, "tol"), (1e-6, 0, "max_iter")]
)
def test_settings_are_checked_even_where_the_default_solver_needs_none(tol, max_iter, word):
    problem = sc.SparseCodingProblem(X, sc.Dictionary.dct(4), PRIOR)
    refuses(lambda: sc.solve(problem, tol=tol, max_iter=max_iter), word)


@pytest.mark.parametrize("solver", [sc.ISTA, sc.LCA])
@pytest.mark.parametrize("step", [0, -1.0, np.nan, np.inf, "1", 1j, [0.1], True], ids=repr)
def test_a_solver_step_that_is_not_positive_is_refused(solver, step):
    refuses(lambda: solver(step=step), "step")


@pytest.mark.parametrize("calibrate", ["yes", None, 1, 0.5], ids=repr)
def test_calibrate_is_true_or_false(calibrate):
    refuses(lambda: sc.ForwardTransform(calibrate), "calibrate")


def test_numpy_scalars_serve_as_settings():
    solver = sc.FISTA(tol=np.float32(1e-4), max_iter=np.int64(500))
    assert solver.solve(problem_of(X)).converged.all()
    assert sc.TopK(np.int32(2)).k == 2
    codes = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(sc.TopK(9).prox(codes), codes)  # a budget larger than the code


# -- constructors of dictionaries -----------------------------------------------------------
@pytest.mark.parametrize("state", ["seed", 1.5, [1.0], {}, Opaque(), -1, np.nan], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda s: sc.Dictionary.orthonormal(4, random_state=s),
        lambda s: sc.Dictionary.random(4, 3, random_state=s),
        lambda s: sc.Dictionary.from_patches(np.random.rand(3, 9, 9), 4, 3, random_state=s),  # noqa: NPY002
        lambda s: sc.ConvDictionary.random(2, 3, (5, 5), random_state=s),
        lambda s: sc.ConvDictionary.orthonormal(2, 3, (6, 6), random_state=s),
    ],
)
def test_a_random_state_that_is_none_is_refused(make, state):
    refuses(lambda: make(state), "random_state")


@pytest.mark.parametrize(
    "make,word",
    [
        (lambda: sc.Dictionary.orthonormal(0), "n"),
        (lambda: sc.Dictionary.orthonormal(2.5), "n"),
        (lambda: sc.Dictionary.orthonormal("4"), "n"),
        (lambda: sc.Dictionary.random(0, 3), "n_atoms"),
        (lambda: sc.Dictionary.random(3, -1), "n_features"),
        (lambda: sc.Dictionary.dct(0), "n"),
        (lambda: sc.Dictionary.dct(2.5), "n"),
        (lambda: sc.Dictionary.dct("4"), "n"),
        (lambda: sc.Dictionary.dct((2, 2, 2)), "n"),
        (lambda: sc.Dictionary.dct(None), "n"),
        (lambda: sc.Dictionary.haar(7), "n"),
        (lambda: sc.Dictionary.haar(0), "n"),
        (lambda: sc.Dictionary.daubechies4(-4), "n"),
        (lambda: sc.Dictionary.identity_dct(0), "n"),
        (lambda: sc.Dictionary.from_patches(np.zeros((2, 3, 3)), 2, 5), "patches"),
        (lambda: sc.Dictionary.from_patches(np.ones((2, 8, 8)), 2, 3), "images"),
        (lambda: sc.Dictionary.from_patches(X, 2, 3), "images"),
        (lambda: sc.Dictionary.from_patches(np.ones((2, 8, 8)), 0, 3), "n_atoms"),
        (lambda: sc.ConvDictionary(FILTERS, 4.5), "image_shape"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4, 4)), "image_shape"),
        (lambda: sc.ConvDictionary(FILTERS, (0, 4)), "image_shape"),
        (lambda: sc.ConvDictionary(FILTERS, None), "image_shape"),
        (lambda: sc.ConvDictionary(FILTERS, "44"), "image_shape"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), stride=0), "stride"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), stride=1.5), "stride"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), stride="1"), "stride"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), stride=True), "stride"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), padding="reflect"), "padding"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), padding=-1), "padding"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), padding=1.5), "padding"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), padding=None), "padding"),
        (lambda: sc.ConvDictionary(FILTERS, (4, 4), padding=True), "padding"),
        (lambda: sc.ConvDictionary(FILTERS, (1, 4)), "filters"),
        (lambda: sc.ConvDictionary.random(2, 0, (5, 5)), "kernel_size"),
        (lambda: sc.ConvDictionary.random(2, 3, (5, 5), n_channels=0), "n_channels"),
        (lambda: sc.ConvDictionary.random(2, 3, (5, 5), n_channels="1"), "n_channels"),
        (lambda: sc.ConvDictionary.orthonormal(10, 3, (9, 9)), "n_atoms"),
        (lambda: sc.ConvDictionary.dct(0, (4, 4)), "kernel_size"),
        (lambda: sc.ConvDictionary.haar((4,)), "image_shape"),
        (lambda: sc.Dictionary(ATOMS * 1e200), "atoms"),
        (lambda: sc.Dictionary(ATOMS * 1e-200), "atoms"),
        (lambda: sc.Dictionary(ATOMS.astype(np.float32) * np.float32(1e30)), "atoms"),
    ],
)
def test_a_dictionary_that_cannot_be_built_says_why(make, word):
    refuses(make, word)


def test_degenerate_dictionaries_give_right_answers():
    """Zero atoms and repeated atoms are legal; their codes are zero and share the energy."""
    zero = sc.Dictionary(np.vstack([ATOMS, np.zeros((1, 4))]))
    solution = sc.solve(sc.SparseCodingProblem(X, zero, PRIOR), tol=1e-10)
    expected = sc.solve(problem_of(X), tol=1e-10)
    assert not solution.codes[:, -1].any()
    np.testing.assert_allclose(solution.objective, expected.objective, rtol=1e-9)
    twice = sc.Dictionary(np.vstack([ATOMS, ATOMS]))
    solution = sc.solve(sc.SparseCodingProblem(X, twice, PRIOR), tol=1e-10)
    np.testing.assert_allclose(solution.objective, expected.objective, rtol=1e-9)
    nothing = sc.Dictionary(np.zeros((2, 4)))
    solution = sc.solve(sc.SparseCodingProblem(X, nothing, PRIOR))
    assert solution.converged.all() and not solution.codes.any()
    np.testing.assert_allclose(solution.objective, 0.5 * (X**2).sum(axis=1))
    silent = sc.solve(problem_of(np.zeros((2, 4))))
    assert silent.converged.all() and not silent.codes.any() and not silent.objective.any()
