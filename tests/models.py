"""Small models the tests of problems and solvers share: priors, dictionaries, and dumb oracles."""

import numpy as np
from scipy.optimize import minimize

import sparsecnn as sc


def _rates(n_atoms, low=0.1, high=0.6):
    return np.linspace(low, high, n_atoms)


def _one_negative(n_atoms, rest=0.4, negative=-0.1):
    return np.r_[negative, np.full(n_atoms - 1, rest)]


#: name -> function of the number of atoms
CONVEX = {
    "Laplace": lambda n: sc.Laplace(0.3),
    "Laplace per atom": lambda n: sc.Laplace(_rates(n)),
    "Laplace(0)": lambda n: sc.Laplace(0.0),
    "Exponential": lambda n: sc.Exponential(0.3),
    "Exponential per atom": lambda n: sc.Exponential(_rates(n)),
    "Exponential negative": lambda n: sc.Exponential(_one_negative(n)),
    "Exponential(0)": lambda n: sc.Exponential(0.0),
    "AsymmetricLaplace": lambda n: sc.AsymmetricLaplace(0.2, 0.5),
    "AsymmetricLaplace negative": lambda n: sc.AsymmetricLaplace(0.5, _one_negative(n)),
    "NonNegative": lambda n: sc.NonNegative(),
    "Gaussian": lambda n: sc.Gaussian(0.4),
    "HalfNormal": lambda n: sc.HalfNormal(0.4),
    "ElasticNet": lambda n: sc.ElasticNet(0.2, 0.3),
    "ElasticNet nonnegative": lambda n: sc.ElasticNet(0.2, 0.3, nonnegative=True),
    "Uniform": lambda n: sc.Uniform(-0.2, 0.5),
    "Uniform away from 0": lambda n: sc.Uniform(0.1, 0.5),
    "TruncatedExponential": lambda n: sc.TruncatedExponential(0.2, 0.7),
    "TruncatedExponential negative": lambda n: sc.TruncatedExponential(-0.2, 0.7),
    "Huber": lambda n: sc.Huber(0.3, 0.2),
    "Gamma": lambda n: sc.Gamma(0.3, 0.1),
    "Lp(1)": lambda n: sc.Lp(0.3, 1.0),
    "Lp(1.5)": lambda n: sc.Lp(0.3, 1.5),
    "GroupLaplace": lambda n: sc.GroupLaplace(0.4, np.arange(n) // 2),
}

NONCONVEX = {
    "StudentT": lambda n: sc.StudentT(0.3, 0.5),
    "SpikeSlab": lambda n: sc.SpikeSlab(0.1),
    "SpikeSlab nonnegative": lambda n: sc.SpikeSlab(0.1, 0.1, 0.1, nonnegative=True),
    "LogSum": lambda n: sc.LogSum(0.3, 0.5),
    "SCAD": lambda n: sc.SCAD(0.3, 3.7),
    "MCP": lambda n: sc.MCP(0.3, 3.0),
    "Lp(0.5)": lambda n: sc.Lp(0.3, 0.5),
    "TopK": lambda n: sc.TopK(2),
}

PRIORS = CONVEX | NONCONVEX


def _conv(rng_seed, n_filters, channels, k, shape, **geometry):
    rng = np.random.default_rng(rng_seed)
    filters = rng.standard_normal((n_filters, channels, k, k))
    filters /= np.sqrt((filters**2).sum(axis=(1, 2, 3), keepdims=True))
    return sc.ConvDictionary(filters, shape, **geometry)


#: name -> dictionary; coherent, orthonormal, tall, wide, with a zero atom, and convolutional ones
DICTIONARIES = {
    "orthonormal": sc.Dictionary.orthonormal(8, random_state=1),
    "undercomplete": sc.Dictionary.random(5, 9, random_state=2),
    "overcomplete": sc.Dictionary.random(12, 7, random_state=3),
    "scaled atoms": sc.Dictionary(3.0 * sc.Dictionary.random(6, 8, random_state=4).atoms),
    "zero atom": sc.Dictionary(np.vstack([sc.Dictionary.random(5, 8, 5).atoms, np.zeros(8)])),
    "Haar": sc.ConvDictionary.haar((4, 6)),
    "stride = kernel": sc.ConvDictionary.orthonormal(3, 2, (4, 4), random_state=6),
    "stride 1 valid": _conv(7, 2, 1, 2, (4, 5)),
    "stride 2 same": _conv(8, 4, 2, 3, (5, 6), stride=2, padding="same"),
    "circular": _conv(9, 2, 1, 3, (5, 5), padding="circular"),
    "padding 1": _conv(10, 3, 1, 3, (4, 5), stride=2, padding=1),
}


def signals(dictionary, n_samples=4, seed=0, scale=1.0):
    """Gaussian signals, one of them all zero."""
    x = scale * np.random.default_rng(seed).standard_normal((n_samples, *dictionary.signal_shape))
    x[-1] = 0.0
    return x


def dense_atoms(dictionary):
    """Every atom as a row, also for a convolutional dictionary: ``synthesize`` of unit codes."""
    n = int(np.prod(dictionary.code_shape))
    units = np.eye(n).reshape(n, *dictionary.code_shape)
    return dictionary.synthesize(units).reshape(n, -1)


def bounded_least_energy(x, atoms, *, plus=0.0, minus=None, alpha=0.0, low=0.0, high=np.inf):
    """Least ``1/2 |x - z atoms|^2 + plus z_+ + minus z_- + alpha z^2 / 2`` on a box, by L-BFGS-B.

    ``minus=None`` restricts codes to ``[low, high]`` with cost ``plus``. Returns (z, energy).
    """
    n = len(atoms)
    plus = np.broadcast_to(plus, (n,))
    signs = np.ones(n) if minus is None else np.r_[np.ones(n), -np.ones(n)]
    cost = plus if minus is None else np.r_[plus, np.broadcast_to(minus, (n,))]
    wide = atoms if minus is None else np.vstack([atoms, atoms])

    def energy(parts):
        z = signs * parts
        residual = x - z @ wide
        folded = z if minus is None else z[:n] + z[n:]
        pull = alpha * (folded if minus is None else np.r_[folded, folded])
        value = 0.5 * residual @ residual + cost @ parts + 0.5 * alpha * folded @ folded
        return value, signs * (pull - wide @ residual) + cost

    start = np.full(len(wide), max(low, 0.0))
    answer = minimize(
        energy,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, None if np.isinf(high) else high)] * len(wide),
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-12, "maxcor": 30},
    )
    z = signs * answer.x
    return (z if minus is None else z[:n] + z[n:]), float(answer.fun)


def long_run(problem, n_iter=1500):
    """Codes after many plain accelerated proximal-gradient steps, written out: a dumb reference."""
    step = 1.0 / np.linalg.norm(dense_atoms(problem.dictionary), 2) ** 2
    codes = point = np.zeros(problem.shape)
    t = 1.0
    for i in range(n_iter):
        new = problem.prior.prox(point - step * problem.gradient(point), step)
        faster = 0.5 * (1 + np.sqrt(1 + 4 * t * t)) if i % 200 else 1.0
        point, codes, t = new + (t - 1) / faster * (new - codes), new, faster
    return codes
