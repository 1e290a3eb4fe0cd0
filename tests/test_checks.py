"""The checks find what they are for: each broken class below fails with the name of its fault."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import sparsecnn as sc
from sparsecnn.checks import (
    ContractError,
    check_dictionary,
    check_layer,
    check_prior,
    check_solver,
)


# -- priors ---------------------------------------------------------------------------------
class Shrunk(sc.Laplace):
    def _prox(self, xp, v, step, lam):
        return 0.99 * super()._prox(xp, v, step, lam)


class IgnoresTheStep(sc.Laplace):
    def _prox(self, xp, v, step, lam):
        return super()._prox(xp, v, 1.0, lam)


class WrongSlope(sc.Gaussian):
    def _partials(self, xp, v, step, z, alpha):
        slope, partials = super()._partials(xp, v, step, z, alpha)
        return 1.01 * slope, partials


class WrongRateGradient(sc.Exponential):
    def _partials(self, xp, v, step, z, lam):
        slope, partials = super()._partials(xp, v, step, z, lam)
        return slope, {**partials, "lam": 2 * partials["lam"]}


class WrongStepGradient(sc.Exponential):
    def _partials(self, xp, v, step, z, lam):
        slope, partials = super()._partials(xp, v, step, z, lam)
        return slope, {**partials, "step": 0 * v}


class ExtraGradient(sc.NonNegative):
    def _partials(self, xp, v, step, z):
        slope, partials = super()._partials(xp, v, step, z)
        return slope, {**partials, "lam": 0 * v}

    def prox_vjp(self, v, step, grad):
        dv, dparams = super().prox_vjp(v, step, grad)
        return dv, {**dparams, "lam": 0.0}


class WrongConjugate(sc.Gaussian):
    def _conjugate(self, xp, v, alpha):
        return 1.1 * super()._conjugate(xp, v, alpha)


class WrongDomain(sc.Laplace):
    def _domain(self, lam):
        return -0.5 * lam, 0.5 * lam


class TimidFraction(sc.Laplace):
    def feasible_fraction(self, start, direction):
        return 0.5 * super().feasible_fraction(start, direction)


class WrongUnits(sc.Gaussian):
    _scaling = {"alpha": -1}


class WrongPieces(sc.Laplace):
    def _pieces(self, lam):
        return [(-np.inf, 1.0, lam), (-lam, 0.0, 0.0), (1.1 * lam, 1.0, -lam)]


class WritesIntoItsInput(sc.Laplace):
    def prox(self, v, step=1.0, out=None):
        result = super().prox(v, step, out)
        v *= 1.0 + 1e-9
        return result


class ForgetsOut(sc.Laplace):
    def prox(self, v, step=1.0, out=None):
        return super().prox(v, step)


class DependsOnTheBatch(sc.Laplace):
    def prox(self, v, step=1.0, out=None):
        return super().prox(v - np.mean(v), step, out)


class AlwaysDouble(sc.Laplace):
    def prox(self, v, step=1.0, out=None):
        return super().prox(np.asarray(v, dtype=float), step, out)


class SumsOverTheBatch(sc.Laplace):
    def value(self, codes):
        return np.sum(super().value(codes))


class ClaimsConvexity(sc.MCP):
    is_convex = True

    def _conjugate(self, xp, v, *params):
        return 0 * v

    def _domain(self, *params):
        return -np.inf, np.inf


class ClaimsNoZeros(sc.Laplace):
    is_sparse = False


class ClaimsNonNegativity(sc.Laplace):
    is_nonnegative = True


class ClaimsHomogeneity(sc.Gaussian):
    is_homogeneous = True


class TakesTheSmallest(sc.TopK):
    def prox(self, v, step=1.0, out=None):
        result = np.where(self._kept(np, v), 0.0, v).astype(v.dtype)
        if out is None:
            return result
        out[...] = result
        return out

    def value(self, codes):
        return np.zeros(len(codes))


BROKEN_PRIORS = [
    (Shrunk(0.5), "a point beats the prox"),
    (IgnoresTheStep(0.5), "a point beats the prox"),
    (WrongSlope(0.5), "not the derivative in v"),
    (WrongRateGradient([0.5, 0.2, 0.1]), "not the derivative in lam"),
    (WrongStepGradient(0.5), "not the derivative in step"),
    (ExtraGradient(), "keys are not the parameters"),
    (WrongConjugate(0.5), "is not <u, z>"),
    (WrongDomain(0.5), "dual_domain lacks"),
    (TimidFraction(0.5), "feasible_fraction is too small"),
    (WrongUnits(0.5), "has another prox"),
    (WrongPieces(0.5), "linear_pieces is not the prox"),
    (WritesIntoItsInput(0.5), "modifies its input"),
    (ForgetsOut(0.5), "does not return out"),
    (DependsOnTheBatch(0.5), "depends on the batch"),
    (AlwaysDouble(0.5), "does not keep float32"),
    (SumsOverTheBatch(0.5), "not per sample"),
    (ClaimsConvexity(0.8, 3.0), "firmly non-expansive|midpoint"),
    (ClaimsNoZeros(0.5), "an interval of inputs gives zeros"),
    (ClaimsNonNegativity(0.5), "infinite value|prox is negative"),
    (ClaimsHomogeneity(0.5), r"phi\(2 z\) != 2 phi\(z\)"),
    (TakesTheSmallest(1), "a point beats the prox"),
]


@pytest.mark.parametrize("prior, fault", BROKEN_PRIORS, ids=lambda v: type(v).__name__)
def test_a_broken_prior_is_found_and_its_fault_is_named(prior, fault):
    with pytest.raises(ContractError, match=fault) as caught:
        check_prior(prior)
    assert "Counterexample" in str(caught.value) and isinstance(caught.value, AssertionError)


@pytest.mark.parametrize(
    "missing", ["conjugate", "conjugate_inside", "dual_domain", "feasible_fraction"]
)
def test_a_convex_prior_must_offer_all_that_the_duality_gap_needs(missing):
    partial = type("Partial", (sc.Laplace,), {missing: getattr(sc.Prior, missing)})
    with pytest.raises(ContractError, match=f"without {missing}, which the duality gap needs"):
        check_prior(partial(0.5))


# -- dictionaries ---------------------------------------------------------------------------
class NotAdjoint(sc.Dictionary):
    def analyze(self, x, out=None):
        return np.matmul(1.001 * x, self.atoms.T, out=out)


class PowerIteration(sc.Dictionary):
    """Approaches the largest eigenvalue from below, as power iteration does."""

    @property
    def lipschitz(self):
        return 0.999 * np.linalg.norm(self.atoms, 2) ** 2


class DeclaredOrthonormal(sc.Dictionary):
    is_orthonormal = True


class DeclaredCoherence(sc.Dictionary):
    mutual_coherence = 0.1


class WrongAtomGradient(sc.Dictionary):
    def atom_gradient(self, signals, codes):
        return 0.5 * super().atom_gradient(signals, codes)


class FilterGramOnly(sc.ConvDictionary):
    """Looks at the filters and forgets their shifted copies."""

    @property
    def is_orthonormal(self):
        flat = self.filters.reshape(self.n_atoms, -1)
        return bool(np.abs(flat @ flat.T - np.eye(self.n_atoms)).max() < 1e-10)


ATOMS = np.random.default_rng(0).standard_normal((4, 6))
FILTERS = sc.ConvDictionary.orthonormal(3, 3, (6, 6), random_state=0).filters


@pytest.mark.parametrize(
    "dictionary, fault",
    [
        (NotAdjoint(ATOMS), "is not <x, synthesize"),
        (PowerIteration(ATOMS), "lipschitz is below"),
        (DeclaredOrthonormal(ATOMS), "is_orthonormal is wrong"),
        (DeclaredCoherence(ATOMS), "mutual_coherence is wrong"),
        (WrongAtomGradient(ATOMS), "atom_gradient is not"),
        (FilterGramOnly(FILTERS, (6, 6)), "is_orthonormal is wrong"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_broken_dictionary_is_found_and_its_fault_is_named(dictionary, fault):
    with pytest.raises(ContractError, match=fault):
        check_dictionary(dictionary)


# -- solvers --------------------------------------------------------------------------------
PROBLEM = sc.SparseCodingProblem(
    np.random.default_rng(0).standard_normal((5, 6)),
    sc.Dictionary.random(9, 6, random_state=0),
    sc.Exponential(0.2),
)
NONCONVEX = sc.SparseCodingProblem(PROBLEM.x, PROBLEM.dictionary, sc.MCP(0.2, 3.0))


class Boastful(sc.FISTA):
    def solve(self, problem, start=None):
        return dataclasses.replace(super().solve(problem, start), gap=np.zeros(problem.n_samples))


class SaysConverged(sc.ISTA):
    def solve(self, problem, start=None):
        converged = np.ones(problem.n_samples, dtype=bool)
        return dataclasses.replace(super().solve(problem, start), converged=converged)


class WritesIntoTheStart(sc.FISTA):
    def solve(self, problem, start=None):
        solution = super().solve(problem, start)
        if start is not None:
            start[...] = solution.codes
        return solution


class ReportsAGapWithoutOne(sc.ISTA):
    def solve(self, problem, start=None):
        solution = super().solve(problem, start)
        return dataclasses.replace(solution, gap=solution.residual)


class OldObjective(sc.FISTA):
    def solve(self, problem, start=None):
        solution = super().solve(problem, start)
        return dataclasses.replace(solution, objective=solution.history[0].objective)


@pytest.mark.filterwarnings("ignore::sparsecnn.ConvergenceWarning")
@pytest.mark.parametrize(
    "solver, problem, fault",
    [
        (Boastful(), PROBLEM, "gap is not the problem's"),
        (SaysConverged(max_iter=2), PROBLEM, "converged is not gap <= tol"),
        (sc.ISTA(max_iter=2), PROBLEM, "tol is not reached"),
        (WritesIntoTheStart(), PROBLEM, "start was modified"),
        (ReportsAGapWithoutOne(max_iter=20_000), NONCONVEX, "gap is not the problem's|not convex"),
        (OldObjective(), PROBLEM, "objective is not the problem's"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_dishonest_solver_is_found_and_its_fault_is_named(solver, problem, fault):
    with pytest.raises(ContractError, match=fault):
        check_solver(solver, problem)


@pytest.mark.parametrize(
    "solver, problem",
    [
        (sc.ForwardTransform(), PROBLEM),
        (sc.ForwardTransform(calibrate=True), PROBLEM),
        (sc.FISTA(), PROBLEM),
        (sc.ISTA(max_iter=20_000), PROBLEM),
        (sc.CoordinateDescent(), PROBLEM),
        (sc.LCA(max_iter=20_000), PROBLEM),
        (sc.ISTA(max_iter=20_000), NONCONVEX),
        (sc.ForwardTransform(), NONCONVEX),
        (sc.Unrolled(1), PROBLEM),
        (sc.Unrolled(7), PROBLEM),
        (sc.Unrolled(7), NONCONVEX),
    ],
    ids=lambda v: type(v).__name__,
)
def test_the_packages_solvers_pass(solver, problem):
    check_solver(solver, problem)


# -- layers ---------------------------------------------------------------------------------
class WrongBiasGradient(sc.Linear):
    def with_params(self, params):
        merged = {**self.params, **params}
        return WrongBiasGradient(merged["weights"], merged["bias"])

    def forward(self, x):
        y, pullback = super().forward(x)

        def wrong(dy):
            dx, grads = pullback(dy)
            return dx, {**grads, "bias": grads["bias"] + 0.1}

        return y, wrong


class WrongInputGradient(sc.Flatten):
    def forward(self, x):
        y, pullback = super().forward(x)
        return y, lambda dy: (2 * pullback(dy)[0], {})


class RemembersOnlyTheLast(sc.Activation):
    """Keeps its mask on itself, so a second forward changes the first pullback."""

    def forward(self, x):
        y, _ = super().forward(x)
        self.active = y > 0
        return y, lambda dy: (dy * self.active, {})

    params = {}


class ReusesItsOutput(sc.Linear):
    def forward(self, x):
        y, pullback = super().forward(x)
        return y, lambda dy: (pullback(dy)[0], {})


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "layer, shape, fault",
    [
        (WrongBiasGradient(ATOMS, np.zeros(4)), (3, 6), "not the derivative in bias"),
        (WrongInputGradient(), (3, 2, 2, 2), "not the derivative in x"),
        (RemembersOnlyTheLast("relu"), (3, 6), "two forwards"),
        (ReusesItsOutput(ATOMS), (3, 6), "other keys"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_broken_layer_is_found_and_its_fault_is_named(layer, shape, fault):
    with pytest.raises(ContractError, match=fault):
        check_layer(layer, RNG.standard_normal(shape))


class OwnTanh:
    """``y = w tanh(x)`` with the whole contract written by hand; a fault leaves one part away."""

    def __init__(self, weights, fault=""):
        self.weights = weights if fault == "keeps what it was given" else np.array(weights)
        self.fault = fault
        self.params = {"weights": self.weights}

    def with_params(self, params):
        return OwnTanh(params.get("weights", self.weights), self.fault)

    def forward(self, x):
        kept, weights = x if self.fault == "keeps x" else x.copy(), self.weights.astype(x.dtype)
        y = weights * np.tanh(x)
        last = y if self.fault == "keeps y" else y.copy()
        if self.fault == "returns x":
            x[...], y, last = y, x, y

        def pullback(dy):
            if isinstance(dy, np.ma.MaskedArray) and self.fault != "overlooks the mask":
                raise TypeError("dy has a mask")
            if np.shape(dy) != last.shape and self.fault != "takes any shape":
                raise ValueError("dy has another shape")
            dtypes = {
                "follows dy's dtype": dy.dtype,
                "follows dy's precision": np.result_type(dy, 0.0),
            }
            tanh = np.tanh(kept)
            slope = weights - last * tanh if self.fault == "keeps y" else weights * (1 - tanh**2)
            dx = (dy * slope).astype(dtypes.get(self.fault, last.dtype))
            return dx, {"weights": (dy * tanh).sum(axis=0)}

        return y, pullback


@pytest.mark.parametrize(
    "fault, claim",
    [
        ("keeps x", "a gradient changes when x is changed"),
        ("keeps y", "a gradient changes when y is changed"),
        ("keeps what it was given", "the next forward changes when weights is changed"),
        ("returns x", "modifies its input"),
        ("takes any shape", "a dy of another shape is not refused"),
        ("overlooks the mask", "a dy with a mask is not refused"),
        ("follows dy's dtype", "integer dy gives other results"),
        ("follows dy's precision", "float32 is not kept"),
    ],
)
def test_a_layer_of_one_s_own_is_held_to_the_whole_contract(fault, claim):
    x, weights = RNG.standard_normal((3, 2)), np.array([0.7, -1.2])
    check_layer(OwnTanh(weights), x)
    with pytest.raises(ContractError, match=claim):
        check_layer(OwnTanh(weights, fault), x)


class GivesViews(sc.Flatten):
    def __init__(self, of_x):
        self.of_x = of_x

    def forward(self, x):
        y, pullback = super().forward(x)
        if self.of_x:
            return x.reshape(y.shape), pullback
        return y, lambda dy: (pullback(dy) and dy.reshape(x.shape), {})


@pytest.mark.parametrize(
    "of_x, claim", [(True, "y shares memory with x"), (False, "dx shares memory with dy")]
)
def test_views_of_what_the_caller_holds_are_found(of_x, claim):
    with pytest.raises(ContractError, match=claim):
        check_layer(GivesViews(of_x), RNG.standard_normal((3, 2, 2)))


def test_the_checks_know_no_module_of_the_package_but_validation():
    import ast
    import pathlib

    import sparsecnn.checks

    files = list(pathlib.Path(sparsecnn.checks.__file__).parent.glob("*.py"))
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    above = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.level == 2]
    named = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    assert len(files) > 4 and set(above) == {"validation"}
    assert not [name for name in named if name.startswith("sparsecnn")]
