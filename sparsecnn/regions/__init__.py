"""Linear regions of convolutional networks: exact where possible, bounded where not.

``architecture`` counts a layer at generic weights, ``count`` a given network, ``plane_slice`` cuts
a plane exactly, ``conv_bounds`` and ``dense_bounds`` bound what cannot be counted. Exact numbers,
published formulas, bounds and samples stay in separate fields of ``RegionCount``.

Regions are those of the activation pattern: every neuron's piece and every max-pool window's first
winner. Average pools and dense layers bend nothing; an L2 pool is curved and refused. Out of scope,
as systems of their own: graph convolutions, domain-decomposition training, networks turned into
graph networks, polynomial and shape-tailored networks, approximation rates of residual networks.

- One layer, any weights: ``one_layer``, its ``geometry``, the published ``formulas``; exactly by
  ``arrangement`` and ``orbits`` in ``modular`` arithmetic.
- Given weights: ``piecewise`` and ``choices`` say where a network bends; ``counting`` chooses how
  to count, ``enumeration`` lists regions by ``cells`` or ``reverse_search``; ``per_layer`` puts all
  numbers side by side.
- Cuts: ``slices`` (of ``polygons``) and ``lines``. Not exact: ``inequalities``, ``sampling``.
  Networks that reach a bound: ``constructions``. Neighbours: ``tropical``, ``kernels``,
  ``redundancy``.
"""

from .choices import pattern_keys
from .constructions import folding_network, random_network, zigzag_network
from .counting import count
from .enumeration import linear_regions, search_regions
from .inequalities import conv_bounds, dense_bounds
from .kernels import effective_dimension, hierarchical_kernels, learning_curve_exponent
from .lines import LineSlice, line_slice
from .one_layer import LayerArchitecture, architecture, layer
from .per_layer import LayerRegions, NetworkRegions, by_layer
from .redundancy import Redundancy, measure_redundancy
from .result import Interrupted, RegionCount, TooLarge
from .sampling import RegionSample, expected_in_disc, expected_on_interval, paper_network, sample
from .slices import RegionSlice, plane_slice
from .tropical import TropicalConv2D

__all__ = [
    "Interrupted",
    "LayerArchitecture",
    "LayerRegions",
    "LineSlice",
    "NetworkRegions",
    "Redundancy",
    "RegionCount",
    "RegionSample",
    "RegionSlice",
    "TooLarge",
    "TropicalConv2D",
    "architecture",
    "by_layer",
    "conv_bounds",
    "count",
    "dense_bounds",
    "effective_dimension",
    "expected_in_disc",
    "expected_on_interval",
    "folding_network",
    "hierarchical_kernels",
    "layer",
    "learning_curve_exponent",
    "line_slice",
    "linear_regions",
    "measure_redundancy",
    "paper_network",
    "pattern_keys",
    "plane_slice",
    "random_network",
    "sample",
    "search_regions",
    "zigzag_network",
]
