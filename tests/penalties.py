"""Penalties that nobody listed: parts put together at random, each a text with its support."""

import numpy as np

_PARTS = {
    "real": (
        "|z|", "z^2", "Abs(z - {a})", "sqrt(z^2 + {a}^2)", "relu(z)", "relu(-z)",
        "log(1 + |z|/{a})",
        "|z|^(1/2)", "|z|^(2/3)", "|z|^1.5", "|z|^1.2", "|z|^3", "z^4/4", "1 - exp(-|z|/{a})",
        "1 - exp(-z^2/{a})", "|z|/(|z| + {a})", "z^2/(z^2 + {a}^2)", "min(|z|, {a})",
        "Min(z^2, {a})", "atan(|z|/{a})", "tanh(|z|)", "log(cosh(z))", "|z|*log(1 + |z|)",
        "cosh(z) - 1", "exp(z) - z", "relu(z - {a})", "Heaviside(|z| - {a})", "max(|z| - {a}, 0)^2",
        "||z| - {a}|", "|z^2 - {a}|", "softplus(z)", "softplus(-z) + |z|", "sigmoid(|z|)",
        "where(|z| < {a}, z^2, 2*{a}*|z| - {a}^2)", "where(z == 0, 0, {a})", "log(1 + z^2)",
        "clip(|z|, {a}, 2)", "where(z > 0, {a}*z, -z)", "np.log1p(np.square(z)/{a})", "expm1(|z|)",
        "|z|*(|z| + {a})/(1 + |z|)", "Max(z, -{a}*z, z^2/4)", "asinh(|z|/{a})", "z*tanh(z)",
    ),
    "nonnegative": (
        "z", "z^2", "z^1.5", "sqrt(z)", "log(1 + z/{a})", "z*log(1 + z) - z", "z - {a}*log(z)",
        "-log(z)", "z/(1 + z)", "where(z == 0, 0, {a} + z)", "exp(z) - 1", "|z - {a}|", "z^3",
        "relu(z - {a})^2", "min(z, {a})", "z*log(z)", "1/(1 + z)", "(z - {a})^2", "z^(3/4)",
    ),
    (-2, 2): (
        "cos(3*z)", "z", "|z|", "z^2", "-log(1 - z^2/4)", "sin(z)", "|z - 1/2|", "sqrt(4 - z^2)",
        "-z^2/{a}", "z^3/3", "exp(-z)", "asin(z/2)^2", "|sin(2*z)|", "z^2*(z^2 - {a})",
    ),
}  # fmt: skip
_WHOLES = ("lambda*({0})", "lam*({0}) + mu*({1})", "{n}*({0}) + ({1})/{n}", "max({0}, {1})",
           "min({0}, {1})", "lam*({0}) + z^2/{n}", "({0})*lam + mu*z")  # fmt: skip


def invented(count, seed=0):
    """``count`` different pairs ``(formula, support)``, the same for every run."""
    rng, found = np.random.default_rng(seed), {}
    supports = ["real", "real", "real", "nonnegative", (-2, 2)]
    while len(found) < count:
        support = supports[rng.integers(len(supports))]
        numbers = [str(v) for v in rng.choice(["a", "1/2", "2", "0.7", "1.3", "3"], 3)]
        parts = rng.choice(_PARTS[support], 2, replace=False)
        parts = [p.replace("{a}", v) for p, v in zip(parts, numbers, strict=False)]
        whole = _WHOLES[rng.integers(len(_WHOLES))]
        number = numbers[2] if numbers[2] != "a" else "2"
        formula = whole.replace("{n}", number)
        formula = formula.replace("{0}", parts[0]).replace("{1}", parts[1])
        found[formula, support] = None
    return list(found)
