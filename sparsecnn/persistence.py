"""Models to files and back: a class is described by its constructor's arguments, by name.

Only what stands in ``KINDS`` is ever built, whatever a file says. The bytes are the business of
``storage``.
"""

from __future__ import annotations

import inspect
import math

import numpy as np

from . import dictionaries, hierarchy, layers, network, priors, regions, storage
from .validation import InputTypeError, ModelFileError

_CLASSES = (
    *(layers.Activation, layers.AveragePool, layers.Conv2D, layers.Flatten, layers.L2Pool),
    *(layers.Linear, layers.MaxPool, regions.TropicalConv2D, network.Network),
    *(priors.AsymmetricLaplace, priors.ElasticNet, priors.Exponential, priors.Gamma),
    *(priors.Gaussian, priors.GroupLaplace, priors.HalfNormal, priors.Huber, priors.Laplace),
    *(priors.LogSum, priors.Lp, priors.MCP, priors.NonNegative, priors.SCAD, priors.SpikeSlab),
    *(priors.StudentT, priors.SymbolicPrior, priors.TopK, priors.TruncatedExponential),
    *(priors.Uniform, dictionaries.Dictionary, dictionaries.ConvDictionary),
    *(hierarchy.Level, hierarchy.Hierarchy),
)
#: what a file may name: classes that keep every constructor argument as an attribute of its name
KINDS = {cls.__name__: cls for cls in _CLASSES}
#: pixels or codes that a file may speak of: a level's pool and a summary work on one such sample
LARGEST_SAMPLE = 2**26


def save(model, path):
    """Write a model into one file, or leave the file that was there.

    The same model gives the same bytes. Nothing in the file is code; its format is a zip of
    ``.npy`` arrays and a JSON manifest, with a checksum over all of it.

    Parameters
    ----------
    model : Network, layer, prior, Dictionary, ConvDictionary, Level or Hierarchy
        Made of the package's own classes.
    path : str or path
        Any name; a link is followed.

    Raises
    ------
    InputTypeError
        If a part is of another class, such as a prior of your own or of an arbitrary function.
    ModelFileError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile, sparsecnn as sc
    >>> path = os.path.join(tempfile.mkdtemp(), "prior.zip")
    >>> sc.save(sc.Laplace(0.5), path)
    >>> sc.load(path)
    Laplace(lam=0.5)
    """
    arrays = {}
    _check_class(model, "model")
    storage.write(path, _described(model, "model", arrays), arrays)


def load(path):
    """Read a model that ``save`` wrote.

    Its outputs are those of the saved model, bit for bit. Safe for files of strangers: a file never
    runs code or opens another file, and does not take more memory than some times its own size.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Network, layer, prior, Dictionary, ConvDictionary, Level or Hierarchy

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, hostile or of a newer version; it names the file.
    """
    content, arrays = storage.read(path)
    try:
        model = _restored(content, "model", arrays)
        _check_class(model, "model")
        if arrays:
            raise ValueError(f"no part of the model uses the arrays {sorted(arrays)}")
    except (ValueError, TypeError, KeyError, ArithmeticError, MemoryError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is not loaded: what it describes is no model ({type(error).__name__}: "
            f"{error}); expected a file as sparsecnn.save writes it. Save the model again."
        ) from error
    return model


def _arguments(cls):
    """Names of the constructor's arguments."""
    every = inspect.signature(cls).parameters.values()
    return [p.name for p in every if p.kind is not p.VAR_KEYWORD]


def _described(value, where, arrays):
    """``value`` as JSON; arrays go into ``arrays`` under the name of their place."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) is np.ndarray and value.dtype.kind in "fiub":
        arrays[where] = value
        return {"array": where}
    if type(value) is np.ndarray and value.dtype.kind == "U":
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_described(part, f"{where}.{i}", arrays) for i, part in enumerate(value)]
    if type(value) is dict:
        parts = {key: _described(part, f"{where}.{key}", arrays) for key, part in value.items()}
        return {"mapping": parts}
    _check_class(value, where)
    names = _arguments(type(value))
    params = {n: _described(getattr(value, n), f"{where}.{n}", arrays) for n in names}
    return {"kind": type(value).__name__, "params": params}


def _check_class(value, where):
    if KINDS.get(type(value).__name__) is not type(value):
        raise InputTypeError(
            f"{where} is {value!r}, whose class is not saved; expected one of {sorted(KINDS)}. "
            "Write a penalty of your own as a SymbolicPrior, a formula."
        )


def _restored(node, where, arrays):
    """The value that a piece of JSON describes."""
    if isinstance(node, list):
        return [_restored(part, f"{where}.{i}", arrays) for i, part in enumerate(node)]
    if not isinstance(node, dict):
        return node
    if node.keys() == {"float"}:
        return float(node["float"])
    if node.keys() == {"array"}:
        return arrays.pop(node["array"])
    if node.keys() == {"mapping"}:
        return _all_restored(node["mapping"], where, arrays)
    if node.keys() != {"kind", "params"} or node["kind"] not in KINDS:
        raise ValueError(f"{where} is a {node.get('kind')!r}, none of {sorted(KINDS)}")
    cls = KINDS[node["kind"]]
    unknown = sorted(set(node["params"]) - set(_arguments(cls)))
    if unknown:
        raise ValueError(f"{where} has arguments {unknown} that {cls.__name__} does not know")
    value = cls(**_all_restored(node["params"], where, arrays))
    if _largest_sample(value) > LARGEST_SAMPLE:
        raise ValueError(f"{where} speaks of more than {LARGEST_SAMPLE:,} pixels or codes")
    return value


def _all_restored(nodes, where, arrays):
    return {name: _restored(node, f"{where}.{name}", arrays) for name, node in nodes.items()}


def _largest_sample(value):
    names = ("signal_shape", "code_shape", "input_shape")
    return max(math.prod(getattr(value, name, None) or ()) for name in names)
