"""Coding against the forward transform: what one step leaves undone, level by level."""

from .readouts import READOUT_TOL
from .results import (
    CoherencePoint,
    CoherenceSweep,
    Comparison,
    ComparisonRow,
    LevelInfo,
    ReadoutRow,
)
from .run import compare, standard_solvers
from .sweep import coherence_sweep

__all__ = [
    "READOUT_TOL",
    "CoherencePoint",
    "CoherenceSweep",
    "Comparison",
    "ComparisonRow",
    "LevelInfo",
    "ReadoutRow",
    "coherence_sweep",
    "compare",
    "standard_solvers",
]
