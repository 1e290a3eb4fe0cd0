"""From a stated prior to its activation, and from an activation back to its prior, with evidence.

Forward is ``derive``, backward ``explain``, the table of both ``atlas``. Speaks in priors and
layers; the mathematics of one scalar penalty is the ``symbolic`` island's.

- ``model``: what a derivation is. ``forward`` writes one (``named`` reads its argument,
  ``separation`` and ``one_step`` say what the dictionary does, ``posterior`` is the mean).
- ``reverse`` reads an activation: ``known`` formulas, torch's ``modules``, black boxes by
  ``sampling``, maps of several variables in ``vectors``; ``verdict`` judges, ``inverse`` makes the
  prior, ``parametric`` its derivation, and the result is an ``explanation``.
- ``table`` makes the atlas of ``rows`` and ``vector_rows``, with ``given`` closed forms and the
  ``horseshoe``.
- ``render`` (formulas and derivations), ``notation`` (formulas in sentences), ``pictures``,
  ``pages`` (explanations), ``catalogue`` (the atlas) and ``book`` (the chapters) print all of it.
"""

from .explanation import Explanation
from .forward import derive
from .model import Derivation, Step
from .reverse import explain
from .table import atlas

__all__ = ["Derivation", "Explanation", "Step", "atlas", "derive", "explain"]
