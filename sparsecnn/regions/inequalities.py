"""Bounds on the regions of deep networks, dense and convolutional: proved, never exact by claim.

Each bound has its own function; ``dense_bounds`` and ``conv_bounds`` put them side by side.
"""

from __future__ import annotations

import functools
import itertools
import math

from ..validation import InputError, as_integer
from .formulas import binomial_weights, count_tuples, zaslavsky
from .one_layer import layer
from .result import TooLarge


def naive_upper(n_inputs, widths):
    """Return ``2^(number of neurons)``."""
    return 2 ** sum(widths)


def montufar_upper(n_inputs, widths):
    """Return ``prod_l sum_{j <= min(n_0..n_l)} binom(n_l, j)`` (Montufar 2017)."""
    value, smallest = 1, n_inputs
    for width in widths:
        smallest = min(smallest, width)
        value *= zaslavsky(width, smallest)
    return value


def serra_upper(n_inputs, widths):
    """Return the sum over ``j_l <= min(n_0, n_1 - j_1, .., n_l)`` (Serra et al. 2018)."""
    most = min(n_inputs, max(widths))
    total = [1] * (most + 1)  # of the layers behind, by the dimensions that enter
    for width in reversed(widths):
        row = _binomials(width)
        plain = [0, *itertools.accumulate(row)]
        fewer = [c * total[min(most, width - j)] for j, c in enumerate(row)]
        fewer = [0, *itertools.accumulate(fewer)]
        last = [min(width, d) + 1 for d in range(most + 1)]
        kept = [min(max(width - d, -1) + 1, n) for d, n in enumerate(last)]  # d stays up to there
        total = [
            t * plain[k] + fewer[n] - fewer[k] for t, k, n in zip(total, kept, last, strict=True)
        ]
    return total[most]


def pascanu_lower(n_inputs, widths):
    """Return ``prod_{l < L} floor(n_l / n_0) sum_{j <= n_0} binom(n_L, j)`` (Pascanu 2013)."""
    folds = math.prod(width // n_inputs for width in widths[:-1])
    return folds * zaslavsky(widths[-1], n_inputs)


def montufar_lower(n_inputs, widths):
    """Return ``prod_{l < L} floor(n_l / n_0)^n_0 sum_{j <= n_0} binom(n_L, j)``, or None.

    Montufar et al. 2014; needs every width to be at least the number of inputs.
    """
    if min(widths) < n_inputs:
        return None
    folds = math.prod((width // n_inputs) ** n_inputs for width in widths[:-1])
    return folds * zaslavsky(widths[-1], n_inputs)


def serra_lower(n_inputs, widths):
    """Return Montufar's bound with one more fold per layer, or None where it does not apply.

    Serra et al. 2018; needs every width to be at least three times the number of inputs.
    """
    if min(widths) < 3 * n_inputs:
        return None
    folds = math.prod((width // n_inputs + 1) ** n_inputs for width in widths[:-1])
    return folds * zaslavsky(widths[-1], n_inputs)


def arora_lower(n_inputs, widths):
    """Return ``2 sum_{j < n_0} binom(m - 1, j) (w + 1)^(L - 1)`` for widths ``2m, w, .., w``.

    Arora et al., improved by Serra et al. 2018; None for other widths, and for ``w = 1``, where
    one neuron cannot fold.
    """
    first, rest = widths[0], widths[1:]
    if first % 2 or not rest or len(set(rest)) > 1 or rest[0] < 2:
        return None
    folds = (rest[0] + 1) ** len(rest)
    return 2 * sum(math.comb(first // 2 - 1, j) for j in range(n_inputs)) * folds


def maxout_upper(n_inputs, widths, rank):
    """Return the bound for maxout units that take the largest of ``rank`` functions (Serra)."""
    value, smallest = 1, n_inputs
    for width in widths:
        smallest = min(smallest, width)
        value *= zaslavsky(math.comb(rank, 2) * width, smallest)
    return value


def gamma_naive(n, width):
    """Return the histogram ``2^width`` regions, all of full dimension."""
    return [0] * width + [2**width]


def gamma_montufar(n, width):
    """Return the histogram: Zaslavsky's number, all of full dimension."""
    return [0] * width + [zaslavsky(width, n)]


def gamma_serra(n, width):
    """Return the histogram with ``binom(width, j)`` regions of ``width - j`` active neurons."""
    most = min(n, width) + 1
    return [0] * (width + 1 - most) + _binomials(width)[:most][::-1]


@functools.lru_cache(maxsize=16)
def _binomials(width):
    """The row ``binom(width, 0), .., binom(width, width)``."""
    return [math.comb(width, j) for j in range(width + 1)]


def gamma_antipodal(n, width):
    """Return Serra's histogram tightened by antipodal pairs of unbounded regions.

    Unbounded regions come in pairs with complementary patterns, so for ``2J > width`` at most half
    of them have ``J`` active neurons or more: ``sum_{i <= n} binom(width - 1, i)`` in all.
    """
    half, every = zaslavsky(width - 1, n), zaslavsky(width, n)
    tails = [0]  # sums over J and more active neurons, from the last J down
    for serra in reversed(gamma_serra(n, width)):
        tails.append(tails[-1] + serra)
    tails = [
        min(tail, half if 2 * least > width else every) for least, tail in enumerate(tails[::-1])
    ]
    return [tails[j] - tails[j + 1] for j in range(width + 1)]


def matrix_upper(n_inputs, widths, gamma, skips=None):
    """Return the bound ``|B_L M_L .. B_1 M_1 e_n0|_1`` (Hinz and van de Geer 2019).

    A histogram of regions by the dimension their image may have passes through the layers; a layer
    with at most ``n`` input dimensions splits each region into ``gamma(n, width)``, and no image
    dimension exceeds ``n``.

    Parameters
    ----------
    n_inputs : int
    widths : sequence of int
    gamma : callable
        ``gamma(n, width)`` dominates the number of regions with ``j`` active neurons.
    skips : sequence of bool, optional
        Layers whose input is also passed on (added or concatenated): they keep the dimension.
    """
    skips = [False] * len(widths) if skips is None else list(skips)
    histogram = {n_inputs: 1}
    for width, skip in zip(widths, skips, strict=True):
        new = {}
        for dimension, number in histogram.items():
            active = gamma(min(dimension, width), width)
            for j, regions in enumerate(active):
                kept = dimension if skip else min(j, dimension)
                new[kept] = new.get(kept, 0) + number * regions
        histogram = new
    return sum(histogram.values())


def dense_bounds(n_inputs, widths):
    """Return all bounds on the maximal number of regions of a dense ReLU network.

    Parameters
    ----------
    n_inputs : int
    widths : sequence of int
        Hidden widths.

    Returns
    -------
    dict of str to int or None
        Lower bounds are None where their conditions fail.

    Examples
    --------
    >>> dense_bounds(3, [4, 4])["serra2018_upper"]
    161
    """
    n_inputs, widths = as_integer(n_inputs, "n_inputs"), as_widths(widths)
    return {
        "pascanu2013_lower": pascanu_lower(n_inputs, widths),
        "montufar2014_lower": montufar_lower(n_inputs, widths),
        "serra2018_lower": serra_lower(n_inputs, widths),
        "arora2018_lower": arora_lower(n_inputs, widths),
        "naive_upper": naive_upper(n_inputs, widths),
        "montufar2017_upper": montufar_upper(n_inputs, widths),
        "serra2018_upper": serra_upper(n_inputs, widths),
        "antipodal_upper": matrix_upper(n_inputs, widths, gamma_antipodal),
    }


def as_widths(widths):
    """Return hidden widths as a tuple of positive integers, or refuse them."""
    try:
        widths = list(widths)
    except TypeError:
        raise InputError(f"widths is {widths!r}; expected a sequence of integers, e.g. [8, 8].")
    if not widths:
        raise InputError("widths is empty; expected the width of at least one hidden layer.")
    return tuple(as_integer(width, f"widths[{k}]") for k, width in enumerate(widths))


def layer_models(input_shape, layers):
    """The chain of one-layer models of a convolutional network."""
    models, shape = [], input_shape
    for k, description in enumerate(layers):
        try:
            description = dict(description)
            model = layer(shape, **description)
        except TypeError as error:
            raise InputError(
                f"layers[{k}] is {description!r} ({error}); expected a dictionary with n_filters, "
                "kernel_size and perhaps stride, padding, dilation."
            )
        models.append(model)
        shape = (model.n_filters, *model.geometry.output_size)
    if not models:
        raise InputError("layers is empty; expected at least one dictionary.")
    return models


def theorem5_lower(models, layers):
    """Return Xiong et al.'s lower bound (Theorem 5), with the true count of the last layer.

    ``R_N' prod_{l < L} floor(d_l / d_0)^(n_l d_0)``; N' is the last layer on ``d_0`` channels. In
    two dimensions the published formula would overstate N', so the exact count stands in, or its
    own lower bound where that is out of reach. None where the construction does not apply: the
    folds need biases and one breakpoint, and a window cut off by padding is not shrunk with the
    others around the centre of the cube (on one pixel it would need a bias of its own).
    """
    padded = any(any(map(any, model.geometry.pads)) for model in models)
    folding = all(model.bias for model in models) and {m.breakpoints for m in models[:-1]} <= {1}
    if len(models) > 1 and (padded or not folding):
        return None
    channels = models[0].geometry.input_shape[0]
    shape = (channels, *models[-1].geometry.input_shape[1:])
    last = layer(shape, **dict(layers[-1]))
    try:
        value = last.exact()
    except TooLarge:
        value = last.lower()
    for model in models[:-1]:
        size = math.prod(model.geometry.output_size) * channels
        value *= (model.n_filters // channels) ** size
    return max(value, 1)


def theorem5_upper(models):
    """Return Xiong et al.'s upper bound (Theorem 5): later layers count as dense ones."""
    n_inputs = models[0].geometry.n_pixels
    value = models[0].upper()
    for model in models[1:]:
        neurons = model.n_filters * len(model.geometry.windows)
        value *= zaslavsky(neurons, n_inputs, model.breakpoints)
    return value


def receptive_field_upper(models):
    """Return the product of formula counts limited by the fields in every earlier layer.

    Inside a region the neurons of a later layer depend on the pixels of their field only, and
    through no more dimensions than any layer in between has in their field.
    """
    value = 1
    for depth, model in enumerate(models):
        families = [model.geometry.fields]
        channels = models[depth].geometry.input_shape[0]
        for earlier in reversed(models[:depth]):
            families.append([_pull_back(field, earlier, channels) for field in families[-1]])
            channels = earlier.geometry.input_shape[0]
        value *= count_tuples(families, binomial_weights(model.n_filters, model.breakpoints))
    return value


def _pull_back(field, model, channels):
    """Inputs of ``model`` that the output values in ``field`` depend on."""
    size = math.prod(model.geometry.output_size)
    return frozenset().union(*(model.geometry.windows[value % size] for value in field))


def conv_bounds(input_shape, layers):
    """Return bounds on the maximal number of regions of a convolutional ReLU network.

    Parameters
    ----------
    input_shape : tuple of int
        ``(channels, height, width)``.
    layers : sequence of dict
        ``n_filters``, ``kernel_size`` and optionally what else `layer` takes: ``stride``,
        ``padding``, ``dilation``, ``breakpoints``, ``shared``, ``bias``.

    Returns
    -------
    dict of str to int or None
        ``lower`` (None where its construction does not apply), ``upper``,
        ``receptive_field_upper`` (None where it is out of reach).

    References
    ----------
    Xiong et al. 2020, Theorem 5.

    Examples
    --------
    >>> layers = [dict(n_filters=2, kernel_size=(1, 2)), dict(n_filters=3, kernel_size=(1, 2))]
    >>> conv_bounds((1, 1, 4), layers)
    {'lower': 320, 'upper': 3135, 'receptive_field_upper': 3135}
    """
    layers = list(layers)
    models = layer_models(input_shape, layers)
    try:
        narrow = receptive_field_upper(models)
    except TooLarge:
        narrow = None
    return {
        "lower": theorem5_lower(models, layers),
        "upper": theorem5_upper(models),
        "receptive_field_upper": narrow,
    }
