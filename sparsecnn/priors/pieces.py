"""An activation that is piecewise linear, said exactly: where its pieces start and what they are.

Knows no prior.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class LinearPieces(NamedTuple):
    """A piecewise-linear function of one number for every coefficient of a sample; it may jump.

    Piece ``p`` of a coefficient is ``slopes[p] * v + constants[p]``.

    Attributes
    ----------
    starts : array, shape (n_pieces - 1, *code_shape)
        Where each piece but the first begins, increasing. A coefficient with fewer pieces than
        others has ``inf`` in the last places, and repeats its last piece there.
    slopes, constants : array, shape (n_pieces, *code_shape)
    """

    starts: np.ndarray
    slopes: np.ndarray
    constants: np.ndarray


def mirrored(slope, *pieces):
    """The pieces of an odd function, from its slope at zero and its pieces on the positive side."""
    below = [(-np.inf, *_negated(pieces[-1]))]
    inner = [(slope, 0.0), *(_negated(piece) for piece in pieces[:-1])]
    starts = [start for start, _, _ in pieces]
    below += [(-start, *piece) for start, piece in zip(starts[::-1], inner[::-1], strict=True)]
    return [*below, *pieces]


def _negated(piece):
    return piece[1], -piece[2]


def as_linear_pieces(pieces, code_shape):
    """`LinearPieces` of parts ``(start, slope, constant)`` that broadcast against ``code_shape``.

    Parts without width, and parts that go on as the one before, are no pieces of their own.

    Parameters
    ----------
    pieces : sequence of (start, slope, constant)
        In order, the first from minus infinity on.
    code_shape : tuple of int

    Returns
    -------
    LinearPieces
    """
    starts, slopes, constants = (
        np.stack([np.broadcast_to(np.asarray(part, dtype=float), code_shape) for part in column])
        for column in zip(*pieces, strict=True)
    )
    real = starts < np.concatenate([starts[1:], np.full((1, *code_shape), np.inf)])
    slope = constant = np.full(code_shape, np.nan)
    for p in range(len(real)):
        real[p] &= (slopes[p] != slope) | (constants[p] != constant)
        slope = np.where(real[p], slopes[p], slope)
        constant = np.where(real[p], constants[p], constant)
    count = real.sum(axis=0)
    place = np.arange(int(count.max(initial=1))).reshape(-1, *(1,) * len(code_shape))
    order = np.argsort(~real, axis=0, kind="stable")
    order = np.take_along_axis(order, np.minimum(place, count - 1), axis=0)
    starts, slopes, constants = (
        np.take_along_axis(column, order, axis=0) for column in (starts, slopes, constants)
    )
    return LinearPieces(np.where(place < count, starts, np.inf)[1:], slopes, constants)
