"""A prox that is piecewise linear, as its pieces: nothing but constants and straight lines.

Pieces that only rounding tells apart are one piece where the exact slopes say so. Knows no prior.
"""

from __future__ import annotations

import numpy as np

from .bounded import simplified
from .facts import as_printed
from .penalty import SYMBOLS
from .signs import TRIED

#: pieces nearer than this, relative to their size, may be one piece and rounding
_NEAR = 1e-9


def linear_pieces(penalty, values, envelope):
    """The pieces ``(start, slope, constant)`` of the prox at step 1.

    Parameters
    ----------
    penalty : Penalty
    values : dict of str to float
    envelope : Envelope
        Of the penalty at these values.

    Returns
    -------
    list of (float, float, float) or None
        In order, the first from minus infinity on; None if a piece is curved.
    """
    branches = envelope.branches
    if not all(branch.is_joint or branch.curve.is_affine for branch in branches):
        return None
    ends = [*envelope.starts, np.inf]
    branches = [
        branch
        for k, (branch, end) in enumerate(zip(branches, ends, strict=True))
        if not (_is_thin(branch, end) and _is_smooth(penalty, values, branches[k - 1 : k + 2]))
    ]
    found = []
    for k, branch in enumerate(branches):
        slope, constant = _line(branch)
        if not np.isfinite(constant):  # a formula that is no number at zero
            return None
        near = found and np.allclose([slope, constant], found[-1][1:], rtol=_NEAR, atol=0)
        if near and _slopes_agree(penalty, values, branches[k - 1], branch):
            continue
        found.append((branch.start, slope, constant))
    return found


def _line(branch):
    """Slope and constant of a branch: the inverse of ``F(z) = (1 + bend) z + shift``."""
    if branch.is_joint:
        return 0.0, branch.low
    bend, shift = (float(f(np.zeros(1))[0]) for f in (branch.curve.curvature, branch.curve.slope))
    return 1 / (1 + bend), -shift / (1 + bend)


def _is_thin(branch, end):
    """Whether the dead zone of a joint may be rounding only."""
    return branch.is_joint and end - branch.start <= _NEAR * max(abs(branch.start), abs(end))


def _is_smooth(penalty, values, neighbours):
    """Whether the slopes on both sides of the joint in the middle are equal: no dead zone."""
    if len(neighbours) < 3 or neighbours[0].is_joint or neighbours[2].is_joint:
        return False
    return _slopes_agree(penalty, values, neighbours[0], neighbours[2], at_end=True)


def _slopes_agree(penalty, values, before, after, at_end=False):
    """Whether two curves have one slope, everywhere or where they meet; proved, or False."""
    with SYMBOLS:
        left, right = (penalty.pieces(values)[b.index] for b in (before, after))
        slopes = left.slope, right.slope
        if at_end:
            slopes = left.at(left.high, 1), right.at(right.low, 1)
        try:
            difference = simplified(slopes[0] - slopes[1])
            return (
                difference == 0 or simplified(difference.xreplace(as_printed(penalty, values))) == 0
            )
        except TRIED:
            return False
