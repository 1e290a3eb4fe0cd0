"""Sparse-coding models and the neural networks they imply.

A CNN layer is a sparse-coding solver stopped after one step: state a problem (dictionary, prior),
solve it for as long as you like, and read how far the one step is from the code. Public names load
on first use.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

#: public name -> module that defines it
_HOME = {
    **dict.fromkeys(
        (
            "AsymmetricLaplace", "ElasticNet", "Exponential", "Gamma", "Gaussian", "GroupLaplace",
            "HalfNormal", "Huber", "Laplace", "LogSum", "Lp", "MCP", "NonNegative", "Prior", "SCAD",
            "SpikeSlab", "StudentT", "SymbolicPrior", "TopK", "TruncatedExponential", "Uniform",
        ),
        "priors",
    ),
    **dict.fromkeys(("ConvDictionary", "Dictionary"), "dictionaries"),
    "SparseCodingProblem": "problem",
    **dict.fromkeys(
        (
            "CoordinateDescent", "FISTA", "ForwardTransform", "ISTA", "LCA", "Orthogonal",
            "Solution", "Solver", "Unrolled", "default_solver", "solve",
        ),
        "solvers",
    ),
    **dict.fromkeys(
        ("Activation", "AveragePool", "Conv2D", "Flatten", "L2Pool", "Linear", "MaxPool"), "layers"
    ),
    "Network": "network",
    **dict.fromkeys(
        ("ContractError", "check_dictionary", "check_layer", "check_prior", "check_solver"),
        "checks",
    ),
    **dict.fromkeys(("Comparison", "compare"), "comparison"),
    **dict.fromkeys(("Derivation", "Explanation", "atlas", "derive", "explain"), "derivation"),
    **dict.fromkeys(("LearningRecord", "learn_dictionary"), "learning"),
    **dict.fromkeys(("Hierarchy", "Level"), "hierarchy"),
    **dict.fromkeys(
        (
            "ConvDictionaryLearner", "DictionaryLearner", "HierarchicalSparseCoder",
            "SparseCNNClassifier", "SparseCoder",
        ),
        "estimators",
    ),
    **dict.fromkeys(("load", "save"), "persistence"),
    "show_versions": "versions",
    **dict.fromkeys(
        ("ConvergenceWarning", "InputError", "InputTypeError", "ModelFileError"), "validation"
    ),
}  # fmt: skip

#: modules that are public as they stand: ``sc.regions.count(...)``, ``sc.plots.plot_atoms(...)``
_MODULES = ("datasets", "plots", "regions", "report")

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    from .validation import did_you_mean

    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}.{did_you_mean(name, (*_HOME, *_MODULES))}"
    )


def __dir__():
    return sorted({*globals(), *_HOME, *_MODULES})
