"""The scale contract of every prior: in other units the same answer, and facts know no unit."""

import warnings

import numpy as np
import pytest
from strategies import N_ATOMS, PRIORS, name_of
from tolerances import SINGLE, UNITS

import sparsecnn as sc
from sparsecnn.priors.alignment import times_power

V = np.random.default_rng(0).uniform(-4, 4, (6, N_ATOMS))
GRAD = np.random.default_rng(1).standard_normal(V.shape)
#: decimal exponents of the unit, and the error allowed relative to order one
EXPONENTS = {np.float64: [-300, -200, -155, -103, -62, -20, -9, 9, 20, 62, 103, 155, 200, 300],
             np.float32: [-30, -20, -13, -8, 8, 13, 20, 30]}  # fmt: skip
TOLERANCES = {np.float64: UNITS, np.float32: SINGLE}
CASES = [(kind, e) for kind, exponents in EXPONENTS.items() for e in exponents]

#: scalar priors with a number for every parameter: one setting shows what holds
ONE_SETTING = [
    prior
    for prior in PRIORS
    if prior.is_separable and not any(np.ndim(value) for value in prior.parameters.values())
]


def exponents(prior):
    """Powers of the unit that the parameters carry, as the priors state them."""
    found = dict(getattr(type(prior), "_scaling", {}))
    if isinstance(prior, sc.Lp):
        found["lam"] = np.asarray(prior.p) - 2
    return found


def in_units_of(prior, t):
    """The prior whose codes are ``t`` times as large, parameters written out; None if one is no
    float."""
    given = prior.parameters
    with np.errstate(all="ignore"):
        moved = {
            n: np.asarray(v) * (np.float64(t) ** (-1.0 * exponents(prior)[n]))
            for n, v in given.items()
        }
    ordinary = [np.isfinite(m) & ((m == 0) == (np.asarray(given[n]) == 0)) for n, m in
                moved.items()]  # fmt: skip
    tiny = np.finfo(float).tiny
    if not all(o.all() for o in ordinary) or any((np.abs(m[m != 0]) < tiny).any() for m in
                                                 moved.values()):  # fmt: skip
        return None
    plain = {n: float(m) if m.ndim == 0 else m for n, m in moved.items()}
    arguments = {f: getattr(prior, f) for f in getattr(prior, "__dataclass_fields__", {})}
    return type(prior)(**{**arguments, **plain})


def typed(prior):
    return sc.SymbolicPrior(prior.formula, prior.support, **prior.parameters)


def quietly(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return function(*arguments)


@pytest.mark.share(2)
@pytest.mark.parametrize("prior", PRIORS, ids=name_of)
def test_the_prox_of_scaled_inputs_and_parameters_is_the_scaled_prox(prior):
    reference, tried = prior.prox(V), 0
    for kind, e in CASES:
        k = round(e * np.log2(10))
        twin = in_units_of(prior, 2.0**k)
        if twin is None:
            continue
        for step in (1.0, np.ones(V.shape)) if prior.is_separable else (1.0,):
            z = quietly(twin.prox, np.ldexp(V, k).astype(kind), step)
            assert z.dtype == kind
            error = np.abs(np.ldexp(z.astype(float), -k) - reference)
            assert error.max() <= TOLERANCES[kind] * 4, (kind, e)
        tried += 1
    assert tried >= 7


@pytest.mark.share(2)
@pytest.mark.parametrize("prior", PRIORS, ids=name_of)
def test_derivatives_of_the_prox_scale_too(prior):
    slope, reference = prior.prox_vjp(V, 0.7, GRAD)
    for kind, e in CASES:
        k = round(e * np.log2(10))
        twin = in_units_of(prior, 2.0**k)
        if twin is None:
            continue
        found, parameters = quietly(twin.prox_vjp, np.ldexp(V, k).astype(kind), 0.7,
                                    GRAD.astype(kind))  # fmt: skip
        np.testing.assert_allclose(found, slope, atol=20 * TOLERANCES[kind])
        powers = {"step": 1.0, **{n: 1 + np.asarray(p) for n, p in exponents(prior).items()}}
        for name, expected in reference.items():
            if name == "p":  # the rate's unit depends on p, which adds a term of its own
                continue
            factor = times_power(1.0, 2.0**k, powers[name])
            with np.errstate(all="ignore"):
                expected = np.asarray(expected) * factor
            limits = np.finfo(kind)
            known = (np.abs(expected) < limits.max / 1e3) & (np.abs(expected) > 1e3 * limits.tiny)
            got = np.asarray(parameters[name], dtype=float)
            size = 1e-3 * np.abs(factor) + np.abs(expected)
            with np.errstate(all="ignore"):
                assert (np.abs(got - expected) <= 200 * TOLERANCES[kind] * size)[known].all()


def test_the_derivative_in_the_exponent_of_lp_knows_that_the_rate_carries_it():
    v, lam, p, h = 1e150 * V, 0.9 * 1e150**0.5, 1.5, 1e-7
    got = sc.Lp(lam, p).prox_vjp(v, 1.0, GRAD)[1]["p"]
    ends = [(GRAD * sc.Lp(lam, p + sign * h).prox(v)).sum() for sign in (-1, 1)]
    np.testing.assert_allclose(got, (ends[1] - ends[0]) / (2 * h), rtol=1e-5)


@pytest.mark.share(3)
@pytest.mark.parametrize("prior", ONE_SETTING, ids=name_of)
def test_a_typed_penalty_is_right_in_every_unit(prior):
    reference = typed(prior).prox(V)
    slope = typed(prior).prox_vjp(V, 0.7, GRAD)[0]
    for e in EXPONENTS[np.float64]:
        k = round(e * np.log2(10))
        twin = in_units_of(prior, 2.0**k)
        if twin is None:
            continue
        np.testing.assert_allclose(np.ldexp(typed(twin).prox(np.ldexp(V, k)), -k), reference,
                                   atol=UNITS)  # fmt: skip
        found, _ = typed(twin).prox_vjp(np.ldexp(V, k), 0.7, GRAD)
        np.testing.assert_allclose(found, slope, atol=20 * UNITS)


@pytest.mark.parametrize("prior", ONE_SETTING, ids=name_of)
def test_values_of_codes_of_any_size_are_the_formulas(prior):
    """Against exact arithmetic on the formula: no square on the way leaves the float range."""
    import sympy as sp

    from sparsecnn.symbolic.evaluation import Z
    from sparsecnn.symbolic.penalty import Penalty

    for e in (-290, -150, 150, 290):
        twin = in_units_of(prior, 10.0**e)
        if twin is None:
            continue
        z = prior.prox(V[:1, :1] + 6.0) * 10.0**e
        names = tuple(twin.parameters)
        penalty = Penalty.from_text(prior.formula, prior.support, names, names)
        table = {s: sp.Float(float(twin.parameters[s.name]), 40) for s in penalty.parameters}
        exact = penalty.expression.subs({Z: sp.Float(float(z[0, 0]), 40), **table}).evalf(30)
        with np.errstate(over="ignore", under="ignore"):
            expected = float(exact)
        np.testing.assert_allclose(twin.value(z), expected, rtol=1e-11, atol=1e-320)


@pytest.mark.share(2)
@pytest.mark.parametrize("prior", PRIORS, ids=name_of)
def test_an_infinite_step_leaves_what_the_penalty_alone_asks_for(prior):
    z = quietly(prior.prox, V, np.inf)
    assert not np.isnan(z).any()
    near = prior.prox(V, 1e40)
    close = np.abs(z - near) <= 1e-9 * (1 + np.abs(near))
    assert (close | (np.isinf(z) & (np.abs(near) > 1e15)) | ((z == 0) & (near < 1e-9))).all()
    mixed = prior.prox(V, np.where(np.arange(N_ATOMS) == 1, np.inf, 0.7) + 0 * V) \
        if prior.is_separable else None  # fmt: skip
    if mixed is not None:
        np.testing.assert_array_equal(mixed[:, 1], z[:, 1])
        np.testing.assert_allclose(mixed[:, 0], prior.prox(V, 0.7)[:, 0], rtol=1e-12)


def test_spike_and_slab_under_an_infinite_step_is_silent_as_laplace_is():
    x = np.array([[-2.0, 0.3, 5.0]])
    assert not sc.SpikeSlab(0.5).prox(x, np.inf).any()
    assert not sc.Laplace(0.5).prox(x, np.inf).any()
    np.testing.assert_array_equal(sc.Laplace(0.0).prox(x, np.inf), x)


@pytest.mark.parametrize("prior", [*PRIORS, typed(sc.ElasticNet(0.7, 0.3))], ids=name_of)
def test_units_may_be_changed_in_two_steps(prior):
    once, twice = prior.scaled(2.0), prior.scaled(8.0).scaled(0.25)
    np.testing.assert_allclose(twice.prox(V), once.prox(V), rtol=UNITS, atol=UNITS)


@pytest.mark.parametrize("unit", [0, 0.0, -1.0, np.nan, np.inf, "2", True])
def test_a_unit_that_is_no_positive_number_is_refused(unit):
    with pytest.raises(sc.InputError, match="unit"):
        sc.SymbolicPrior("lam*abs(z)", lam=1.0, unit=unit)
    with pytest.raises(sc.InputError, match="expected a positive number"):
        sc.Laplace(0.5).scaled(unit)


@pytest.mark.parametrize("t", [1e-170, 1e-9, 1e9, 1e100])
def test_the_coherence_of_atoms_of_very_different_sizes_is_that_of_their_directions(t):
    atoms = np.random.default_rng(0).standard_normal((3, 5))
    expected = sc.Dictionary(atoms).mutual_coherence
    sizes = np.array([1.0, t, t**0.5])[:, None]
    assert abs(sc.Dictionary(atoms * sizes).mutual_coherence - expected) < 1e-12
    filters = np.random.default_rng(1).standard_normal((3, 1, 2, 2))
    expected = sc.ConvDictionary(filters, (4, 4)).mutual_coherence
    scaled = sc.ConvDictionary(filters * sizes[:, :, None, None], (4, 4))
    assert abs(scaled.mutual_coherence - expected) < 1e-12
