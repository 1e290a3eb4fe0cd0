"""Linear regions of convolutional networks: exact where possible, bounded where not.

``architecture`` counts a layer at generic weights, ``count`` a given network, ``plane_slice`` cuts
a plane exactly, ``conv_bounds`` and ``dense_bounds`` bound what cannot be counted. Exact numbers,
published formulas, bounds and samples stay in separate fields of ``RegionCount``.
"""

from .constructions import folding_network, zigzag_network
from .enumeration import count, linear_regions
from .inequalities import conv_bounds, dense_bounds
from .one_layer import LayerArchitecture, architecture, layer
from .result import RegionCount, TooLarge

__all__ = [
    "LayerArchitecture",
    "RegionCount",
    "TooLarge",
    "architecture",
    "conv_bounds",
    "count",
    "dense_bounds",
    "folding_network",
    "layer",
    "linear_regions",
    "zigzag_network",
]
