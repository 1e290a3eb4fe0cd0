"""From a stated prior to its activation, and from an activation back to its prior, with evidence.

Forward is ``derive``, backward ``explain``, the table of both ``atlas``. Speaks in priors and
layers; the mathematics of one scalar penalty is the ``symbolic`` island's.
"""

from .explanation import Explanation
from .forward import derive
from .model import Derivation, Step
from .reverse import explain
from .table import atlas

__all__ = ["Derivation", "Explanation", "Step", "atlas", "derive", "explain"]
