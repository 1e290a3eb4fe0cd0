"""One vectorised root finder for proximal operators without a closed form. Knows no prior."""

from __future__ import annotations


def increasing_root(xp, function, derivative, low, high, max_iter=120):
    """Solve ``function(z) = 0`` entrywise for a function increasing on ``[low, high]``.

    Newton's method, replaced by a bisection step wherever it would leave the bracket; the bracket
    shrinks at every step, so the iteration cannot diverge.

    Parameters
    ----------
    xp : namespace
        Array-API namespace of the arrays.
    function, derivative : callable
        Elementwise functions of an array shaped like ``low``.
    low, high : array
        Brackets; where ``function(low) >= 0`` the answer is ``low``, where ``function(high) <= 0``
        it is ``high``.

    Returns
    -------
    array
        The root, to a few units in the last place.
    """
    eps = xp.finfo(low.dtype).eps
    z = 0.5 * (low + high)
    for _ in range(max_iter):
        value = function(z)
        below = value < 0
        low, high = xp.where(below, z, low), xp.where(below, high, z)
        slope = derivative(z)
        newton = z - value / xp.where(slope > 0, slope, xp.ones_like(slope))
        inside = (slope > 0) & (newton >= low) & (newton <= high)
        step_to = xp.where(inside, newton, 0.5 * (low + high))
        done = xp.abs(step_to - z) <= 2 * eps * xp.abs(step_to)
        z = step_to
        if bool(xp.all(done | (high - low <= 2 * eps * xp.abs(high)))):
            break
    return z
