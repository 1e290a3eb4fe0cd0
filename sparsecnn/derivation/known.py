"""Activations by their formulas, with the penalty each one is the prox of where that is elementary.

Data only. Names and constants are those of ``torch.nn.functional``; every penalty here is put to
the test by ``explain``, none is believed.
"""

from __future__ import annotations

import dataclasses

_SELU_A, _SELU_L = "1.6732632423543772", "1.0507009873554805"


@dataclasses.dataclass(frozen=True)
class KnownActivation:
    """One activation.

    Attributes
    ----------
    formula : str
        In ``x`` and the parameters, in the grammar of ``SymbolicPrior``.
    parameters : dict of str to float
        Default values.
    penalty, support : str
        The penalty in ``z``; empty: none elementary is known (or none exists).
    posterior_mean : str
        Of which prior the activation is also the posterior mean.
    """

    formula: str
    parameters: dict = dataclasses.field(default_factory=dict)
    penalty: str = ""
    support: object = "real"
    posterior_mean: str = ""


_X_POSITIVE = "Piecewise((x, x > 0), ({0}, True))"

KNOWN = {
    "identity": KnownActivation("x", {}, "0"),
    "relu": KnownActivation("max(x, 0)", {}, "0", "nonnegative"),
    "relu6": KnownActivation("min(max(x, 0), 6)", {}, "0", (0, 6)),
    "hardtanh": KnownActivation(
        "min(max(x, low), high)", {"low": -1.0, "high": 1.0}, "0", ("low", "high")
    ),
    "threshold": KnownActivation(
        "Piecewise((x, x > threshold), (value, True))", {"threshold": 0.5, "value": 0.0}
    ),
    "leaky_relu": KnownActivation(
        _X_POSITIVE.format("a*x"),
        {"a": 0.01},
        "Piecewise(((1/a - 1)*z**2/2, z < 0), (0, True))",
    ),
    "prelu": KnownActivation(
        _X_POSITIVE.format("a*x"),
        {"a": 0.25},
        "Piecewise(((1/a - 1)*z**2/2, z < 0), (0, True))",
    ),
    "rrelu": KnownActivation(
        _X_POSITIVE.format("a*x"),
        {"a": 11 / 48},
        "Piecewise(((1/a - 1)*z**2/2, z < 0), (0, True))",
    ),
    "elu": KnownActivation(
        _X_POSITIVE.format("a*(exp(x) - 1)"),
        {"a": 1.0},
        "Piecewise(((z + a)*log(1 + z/a) - z - z**2/2, z < 0), (0, True))",
        ("-a", float("inf")),
    ),
    "celu": KnownActivation(
        _X_POSITIVE.format("a*(exp(x/a) - 1)"),
        {"a": 1.0},
        "Piecewise((a*((z + a)*log(1 + z/a) - z) - z**2/2, z < 0), (0, True))",
        ("-a", float("inf")),
    ),
    "selu": KnownActivation(
        f"Piecewise(({_SELU_L}*x, x > 0), ({_SELU_L}*{_SELU_A}*(exp(x) - 1), True))",
        {},
        f"Piecewise(((z + {_SELU_L}*{_SELU_A})*log(1 + z/({_SELU_L}*{_SELU_A})) - z - z**2/2, "
        f"z < 0), ((1/{_SELU_L} - 1)*z**2/2, True))",
        (f"-{_SELU_L}*{_SELU_A}", float("inf")),
    ),
    "softplus": KnownActivation("log(1 + exp(beta*x))/beta", {"beta": 1.0}),
    "logsigmoid": KnownActivation("-log(1 + exp(-x))"),
    "squareplus": KnownActivation(
        "(x + sqrt(x**2 + b))/2", {"b": 4.0}, "-b*log(z)/4", "nonnegative"
    ),
    "sigmoid": KnownActivation(
        "1/(1 + exp(-x))",
        {},
        "z*log(z) + (1 - z)*log(1 - z) - z**2/2",
        (0, 1),
        "codes 0 or 1 (with input (x - 1/2)/sigma^2 and the prior's log-odds)",
    ),
    "tanh": KnownActivation(
        "tanh(x)",
        {},
        "z*atanh(z) + log(1 - z**2)/2 - z**2/2",
        (-1, 1),
        "fair codes -1 or +1 (with input x/sigma^2)",
    ),
    "hardsigmoid": KnownActivation("min(max(x/6 + 1/2, 0), 1)", {}, "5*z**2/2 - 3*z", (0, 1)),
    "arctan": KnownActivation("atan(x)", {}, "-log(cos(z)) - z**2/2", ("-pi/2", "pi/2")),
    "softsign": KnownActivation(
        "x/(1 + abs(x))", {}, "-abs(z) - log(1 - abs(z)) - z**2/2", (-1, 1)
    ),
    "isru": KnownActivation("x/sqrt(1 + x**2)", {}, "-sqrt(1 - z**2) - z**2/2", (-1, 1)),
    "arcsinh": KnownActivation("asinh(x)", {}, "cosh(z) - z**2/2"),
    "signed_log": KnownActivation(
        "sign(x)*log(1 + abs(x))", {}, "exp(abs(z)) - abs(z) - 1 - z**2/2"
    ),
    "relu_squared": KnownActivation("max(x, 0)**2", {}, "2*z**(3/2)/3 - z**2/2", "nonnegative"),
    "tanhshrink": KnownActivation("x - tanh(x)"),
    "softshrink": KnownActivation("x - min(max(x, -lam), lam)", {"lam": 0.5}, "lam*abs(z)"),
    "hardshrink": KnownActivation(
        "Piecewise((0, abs(x) <= theta), (x, True))",
        {"theta": 0.5},
        "Piecewise((0, Eq(z, 0)), (theta**2/2, True))",
    ),
    "gelu": KnownActivation("x*(1 + erf(x/sqrt(2)))/2"),
    "gelu_tanh": KnownActivation("x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2"),
    "silu": KnownActivation("x/(1 + exp(-x))"),
    "mish": KnownActivation("x*tanh(log(1 + exp(x)))"),
    "hardswish": KnownActivation("x*min(max(x/6 + 1/2, 0), 1)"),
}

#: what modules of torch compute with unusual settings; no names of torch.nn.functional
VARIANTS = {
    "softplus_switched": KnownActivation(
        "Piecewise((x, beta*x > threshold), (log(1 + exp(beta*x))/beta, True))",
        {"beta": 1.0, "threshold": 20.0},
    ),
}

#: class of torch.nn -> (name above, {parameter: attribute of the module})
TORCH_MODULES = {
    "Identity": ("identity", {}),
    "ReLU": ("relu", {}),
    "ReLU6": ("relu6", {}),
    "Hardtanh": ("hardtanh", {"low": "min_val", "high": "max_val"}),
    "Threshold": ("threshold", {"threshold": "threshold", "value": "value"}),
    "LeakyReLU": ("leaky_relu", {"a": "negative_slope"}),
    "PReLU": ("prelu", {"a": "weight"}),
    "RReLU": ("rrelu", {"a": ("lower", "upper")}),
    "ELU": ("elu", {"a": "alpha"}),
    "CELU": ("celu", {"a": "alpha"}),
    "SELU": ("selu", {}),
    "Softplus": ("softplus", {}),
    "LogSigmoid": ("logsigmoid", {}),
    "Sigmoid": ("sigmoid", {}),
    "Tanh": ("tanh", {}),
    "Hardsigmoid": ("hardsigmoid", {}),
    "Softsign": ("softsign", {}),
    "Tanhshrink": ("tanhshrink", {}),
    "Softshrink": ("softshrink", {"lam": "lambd"}),
    "Hardshrink": ("hardshrink", {"theta": "lambd"}),
    "GELU": ("gelu", {}),
    "SiLU": ("silu", {}),
    "Mish": ("mish", {}),
    "Hardswish": ("hardswish", {}),
    "Softmax": ("softmax", {}),
    "Softmin": ("softmin", {}),
    "LogSoftmax": ("log_softmax", {}),
    "Softmax2d": ("softmax", {}),
}
