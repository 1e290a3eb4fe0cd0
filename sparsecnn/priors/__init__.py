"""Sparse priors: one short class each, stated once with value, prox, derivative and dual."""

from .base import Prior, SeparablePrior
from .convex import (
    AsymmetricLaplace,
    ElasticNet,
    Exponential,
    Gamma,
    Gaussian,
    HalfNormal,
    Huber,
    Laplace,
    NonNegative,
    TruncatedExponential,
    Uniform,
)
from .nonconvex import MCP, SCAD, LogSum, Lp, SpikeSlab, StudentT
from .symbolic import SymbolicPrior
from .vector import GroupLaplace, TopK

__all__ = [
    "MCP",
    "SCAD",
    "AsymmetricLaplace",
    "ElasticNet",
    "Exponential",
    "Gamma",
    "Gaussian",
    "GroupLaplace",
    "HalfNormal",
    "Huber",
    "Laplace",
    "LogSum",
    "Lp",
    "NonNegative",
    "Prior",
    "SeparablePrior",
    "SpikeSlab",
    "StudentT",
    "SymbolicPrior",
    "TopK",
    "TruncatedExponential",
    "Uniform",
]
