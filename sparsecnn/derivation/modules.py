"""Objects of torch as functions of NumPy arrays, and what their attributes say.

Torch is never imported here: it is used only where the user's object has brought it along.
"""

from __future__ import annotations

import copy
import sys

import numpy as np

from ..validation import InputError
from .known import TORCH_MODULES

#: relative rounding of single precision: a fall below it is invisible there
_SINGLE = 2.0**-24
#: modules that are no map of a space to itself, or of more than one argument
REFUSED = {
    "GLU": "maps n numbers to n/2, so it is no map of a space to itself and the prox of nothing",
    "MultiheadAttention": "takes queries, keys and values, so it is no map of one vector",
}


def is_torch(thing):
    """Whether an object's class was defined by torch."""
    return type(thing).__module__.split(".")[0] == "torch"


def array_function(thing):
    """A function of tensors as one of float64 arrays; modules are copied and set to evaluate."""
    if hasattr(thing, "named_parameters") and hasattr(thing, "double"):
        thing = copy.deepcopy(thing).double().eval()

    def function(x):
        torch = sys.modules["torch"]
        with torch.no_grad():
            return np.asarray(thing(torch.from_numpy(np.array(x, dtype=np.float64))).numpy())

    function.__name__ = name_of(thing)
    return function


def name_of(thing):
    """A name for messages."""
    inner = getattr(thing, "func", thing)  # functools.partial
    name = getattr(inner, "__name__", None) or type(inner).__name__
    return "function" if name == "<lambda>" else name


def parameters_of(module):
    """``(name, values, note)`` of an elementwise module: its row of the table and its numbers."""
    kind = type(module).__name__
    name, attributes = TORCH_MODULES[kind]
    values, note = {}, ""
    for parameter, attribute in attributes.items():
        if isinstance(attribute, tuple):  # RReLU: the mean slope
            values[parameter] = float(np.mean([getattr(module, a) for a in attribute]))
            if getattr(module, "training", False):
                note = "in evaluation; in training the slope is drawn anew for every input"
        else:
            found = np.ravel(_plain(getattr(module, attribute))).astype(float)
            values[parameter] = float(found[0]) if len(set(found)) == 1 else found
    if kind == "GELU" and getattr(module, "approximate", "none") == "tanh":
        name = "gelu_tanh"
    if kind == "Softplus":
        name, values, note = _softplus(module)
    return name, values, note


def _softplus(module):
    """Torch switches to ``x`` above ``beta x > threshold``, which lowers the value there."""
    beta, limit = float(getattr(module, "beta", 1)), float(getattr(module, "threshold", 20))
    values = {"beta": beta}
    fall = np.log1p(np.exp(-limit))
    if fall > _SINGLE * limit:
        return "softplus_switched", {**values, "threshold": limit}, ""
    note = (
        f"without torch's switch to x above {limit / beta:g}, where the value falls by "
        f"{fall / beta:.2g}, less than single precision shows"
    )
    return "softplus", values, note


def _plain(value):
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def normalisation(module):
    """``(function, dim)`` of LayerNorm or RMSNorm on vectors, in float64."""
    shape = tuple(module.normalized_shape)
    dim = int(np.prod(shape))
    if not 2 <= dim <= 512:
        raise InputError(
            f"{type(module).__name__} normalises {dim} numbers; expected 2 to 512. Explain a "
            "smaller one with the same gain."
        )
    inner = array_function(module)

    def function(x):
        return inner(x.reshape(*x.shape[:-1], *shape)).reshape(x.shape)

    return function, dim
