"""What random inputs and random weights show: sampled patterns, and expected counts.

A sampled number is a lower bound of the count and says so; coverage tells how much of the sampling
distribution the patterns seen account for.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..layers import Activation, Conv2D
from ..network import Network
from ..validation import as_generator, as_integer, as_number
from .choices import pattern_keys
from .piecewise import stages
from .result import RegionCount, TooLarge

#: inputs worked on at a time, and the numbers that their layers may hold together
BATCH, LARGEST_BATCH = 20_000, 30_000_000
#: numbers worked out by one call: some hours
LARGEST_SAMPLE = 10**12


@dataclasses.dataclass(frozen=True)
class RegionSample:
    """Activation patterns met by random inputs.

    Attributes
    ----------
    sampled : int
        Distinct patterns: a lower bound of the number of regions.
    n_samples : int
    n_once, n_twice : int
        Patterns met exactly once, exactly twice.
    """

    sampled: int
    n_samples: int
    n_once: int
    n_twice: int

    @property
    def coverage(self):
        """Good and Turing's estimate of the probability that the next input's pattern is known."""
        return 1.0 - self.n_once / self.n_samples

    @property
    def estimate(self):
        """Chao's (1984) estimate of the number of patterns with positive probability; no bound."""
        return self.sampled + self.n_once * (self.n_once - 1) / (2 * (self.n_twice + 1))

    def as_count(self):
        """Return the sample as a `RegionCount`."""
        return RegionCount(
            lower=self.sampled,
            sampled=self.sampled,
            method=f"{self.n_samples:,} random inputs, coverage {self.coverage:.4f}",
            assumptions=("sampling misses thin regions and finds none twice",),
        )

    def summary(self):
        """Return the sample as one line of text."""
        return (
            f"{self.sampled:,} patterns in {self.n_samples:,} inputs, coverage "
            f"{self.coverage:.4f}, Chao estimate {self.estimate:,.1f}"
        )

    def to_dict(self):
        """Return the numbers as a plain dictionary."""
        return {
            **dataclasses.asdict(self), "coverage": self.coverage, "estimate": self.estimate,
        }  # fmt: skip


def sample(network, input_shape, n_samples=100_000, *, scale=5.0, random_state=None):
    """Count the distinct patterns of Gaussian inputs.

    Parameters
    ----------
    network : as in `count`
    input_shape : tuple of int
    n_samples : int
    scale : float
        Standard deviation of every input entry.
    random_state : None, int or Generator

    Returns
    -------
    RegionSample
        After Ctrl-C of the inputs so far, if any.

    Raises
    ------
    TooLarge
        When the layers' values at all inputs are more than `LARGEST_SAMPLE` numbers.
    """
    n_samples = as_integer(n_samples, "n_samples")
    scale, rng = as_number(scale, "scale", positive=True), as_generator(random_state)
    shape = tuple(int(n) for n in np.atleast_1d(input_shape))
    each = math.prod(shape) + sum(stage.width for stage in stages(network, shape))
    if each * n_samples > LARGEST_SAMPLE:
        raise TooLarge(
            f"n_samples {n_samples:,} inputs of {each:,} numbers each are more than "
            f"{LARGEST_SAMPLE:.0e}. Use at most {LARGEST_SAMPLE // each:,} inputs."
        )
    size, done = max(1, min(BATCH, LARGEST_BATCH // each)), 0
    keys, counts = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    try:
        while done < n_samples:
            inputs = scale * rng.standard_normal((min(size, n_samples - done), *shape))
            found = pattern_keys(network, inputs, fuse_pools=False)
            keys, counts = _merged(keys, counts, found)
            done += len(inputs)
    except KeyboardInterrupt:
        if not done:
            raise
    return RegionSample(len(keys), done, int((counts == 1).sum()), int((counts == 2).sum()))


def _merged(keys, counts, found):
    """Add the keys found to those known, with how often each was met."""
    new, times = np.unique(found, return_counts=True)
    keys, place = np.unique(np.concatenate([keys, new]), return_inverse=True)
    return keys, np.bincount(place, np.concatenate([counts, times])).astype(np.int64)


def paper_network(n_filters, *, deep=False, random_state=None):
    """Return the network of Xiong et al.'s experiment, with their initialisation.

    One layer: input 1x3, filters 1x2. Two layers: input 1x4, 2 filters 1x2, then filters 1x2x2.
    Weights and biases are ``N(0, 2 / (f1 f2 d_out))``: the fan uses the output channels.

    Parameters
    ----------
    n_filters : int
        Filters of the last layer.
    deep : bool
        Two layers instead of one.
    random_state : None, int or Generator
    """
    rng, layers, channels = as_generator(random_state), [], 1
    for width in [2, n_filters] if deep else [n_filters]:
        deviation = math.sqrt(2 / (2 * width))
        weights = deviation * rng.standard_normal((width, channels, 1, 2))
        layers += [Conv2D(weights, deviation * rng.standard_normal(width)), Activation("relu")]
        channels = width
    return Network(layers)


def expected_on_interval(n_neurons, low, high, bias_ratio):
    """Return the expected number of pieces of one dense ReLU layer on ``[low, high]``.

    Weights ``N(0, s^2)``, biases ``N(0, t^2)``, ``bias_ratio = t / s``: breakpoints are Cauchy, so
    ``1 + m/pi (arctan(high / ratio) - arctan(low / ratio))``, exactly.
    """
    ratio = as_number(bias_ratio, "bias_ratio", positive=True)
    return 1 + n_neurons / math.pi * (math.atan(high / ratio) - math.atan(low / ratio))


def expected_in_disc(n_neurons, radius, bias_ratio):
    """Return the expected number of regions of one dense ReLU layer in a disc of the plane.

    ``1 + m c / sqrt(1 + c^2) + binom(m, 2) (1 - 1 / sqrt(1 + c^2))`` with
    ``c = radius / bias_ratio``, exactly, for Gaussian weights and biases.
    """
    c = as_number(radius, "radius", positive=True) / as_number(
        bias_ratio, "bias_ratio", positive=True
    )
    root = math.sqrt(1 + c * c)
    return 1 + n_neurons * c / root + math.comb(n_neurons, 2) * (1 - 1 / root)
