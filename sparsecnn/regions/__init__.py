"""Linear regions of convolutional networks: exact where possible, bounded where not.

``architecture`` counts a layer at generic weights, ``count`` a given network, ``plane_slice`` cuts
a plane exactly, ``conv_bounds`` and ``dense_bounds`` bound what cannot be counted. Exact numbers,
published formulas, bounds and samples stay in separate fields of ``RegionCount``.
"""

from .one_layer import LayerArchitecture, architecture, layer
from .result import RegionCount, TooLarge

__all__ = ["LayerArchitecture", "RegionCount", "TooLarge", "architecture", "layer"]
