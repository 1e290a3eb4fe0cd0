"""A prox that is piecewise linear, as its pieces: nothing but constants and straight lines.

Knows no prior.
"""

from __future__ import annotations

import numpy as np


def linear_pieces(envelope):
    """The pieces ``(start, slope, constant)`` of a prox.

    Parameters
    ----------
    envelope : Envelope

    Returns
    -------
    list of (float, float, float) or None
        In order, the first from minus infinity on; None if a piece is curved.
    """
    if not all(branch.is_joint or branch.curve.is_affine for branch in envelope.branches):
        return None
    pieces = [(branch.start, *_line(branch)) for branch in envelope.branches]
    return pieces if np.isfinite([piece[1:] for piece in pieces]).all() else None


def _line(branch):
    """Slope and constant of a branch: the inverse of ``F(z) = (1 + bend) z + shift``."""
    if branch.is_joint:
        return 0.0, branch.low
    bend, shift = (float(f(np.zeros(1))[0]) for f in (branch.curve.curvature, branch.curve.slope))
    return 1 / (1 + bend), -shift / (1 + bend)
