"""Coding against the forward transform: one table per level, one per readout, on the same images.

Every solver faces the same problem at each level (posed on the exact codes of the level below), so
that a level's numbers are its own; the readouts use each solver's own greedy pass through the whole
stack.
"""

from __future__ import annotations

from ..engine import single_threaded_blas
from ..hierarchy import Hierarchy
from ..problem import SparseCodingProblem
from ..solvers import FISTA, ForwardTransform, Solver, Unrolled, proximal_gradient_for
from ..validation import InputError, InputTypeError, as_float_array, as_generator
from .levels import LevelComparison
from .readouts import measured_readouts, readout_data
from .results import Comparison


@single_threaded_blas()
def compare(
    model,
    solvers=None,
    *,
    x=None,
    y=None,
    readout=None,
    noise=(0.0, 0.1, 0.2),
    random_state=0,
    meta=None,
    progress=None,
):
    """How far the forward transform is from the code: the same images through several solvers.

    Parameters
    ----------
    model : SparseCodingProblem or Hierarchy
    solvers : dict of str to Solver, or sequence of Solver, optional
        The last one is the reference ``z*``. Default: forward, calibrated forward, 3 and 10 steps
        of the iterative solver, and the exact code (relative gap 1e-6).
    x : array-like, shape (n_samples, *signal_shape)
        Images for a ``Hierarchy`` (a problem carries its own).
    y : array-like, shape (n_samples,), optional
        Labels of ``x``; with ``readout``, accuracies are measured.
    readout : tuple (x_train, y_train), optional
        Images and labels to train a logistic regression on each solver's codes. Default with ``y``:
        three quarters of ``x`` train and the rest is compared.
    noise : sequence of float
        Standard deviations of the Gaussian noise added to held-out images, in units of ``x``; the
        clean images (0) are always tested too.
    random_state : None, int or Generator
        For the noise.
    meta : dict, optional
        Kept in the result.
    progress : callable, optional
        Called with a sentence before each stage, as ``progress(text, done, total)``.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> import numpy as np
    >>> import sparsecnn as sc
    >>> x = np.random.default_rng(0).standard_normal((8, 16))
    >>> dictionary = sc.Dictionary.orthonormal(16, random_state=0)
    >>> result = sc.compare(sc.SparseCodingProblem(x, dictionary, sc.Exponential(0.5)))
    >>> max(row.gap for row in result.rows if row.solver in ("forward", "exact")) < 1e-14
    True
    """
    stage = progress or (lambda text, done, total: None)
    rng = as_generator(random_state)
    if isinstance(model, SparseCodingProblem):
        if x is not None or y is not None:
            raise InputError(
                "x and y come with a Hierarchy; a problem carries its own signals. Leave them out."
            )
        named = _named_solvers(solvers, model.prior)
        stage("level 1", 0, 1)
        return _collected([LevelComparison(1, model, named)], (), model.x, meta)
    if not isinstance(model, Hierarchy):
        raise InputTypeError(f"model is {model!r}; expected a SparseCodingProblem or a Hierarchy.")
    x = _checked_images(x, model)
    x, y, readout = readout_data(x, y, readout, rng)
    named = _named_solvers(solvers, *(level.prior for level in model.levels))
    done = len(model.levels)
    total = done + (len(named) if readout else 0)
    levels = _compared_levels(model, named, x, lambda text, i: stage(text, i, total))
    readouts = ()
    if readout:
        readouts = measured_readouts(
            model, named, x, y, readout, noise, rng,
            lambda name, k: stage(f"readout on {name}", done + k, total),
        )  # fmt: skip
    return _collected(levels, readouts, x, meta)


def _checked_images(x, hierarchy):
    """``x`` as an array that fits the first level."""
    shape = hierarchy.levels[0].dictionary.signal_shape
    wanted = f"images ({', '.join(map(str, ('n_samples', *shape)))})"
    if x is None:
        raise InputError(f"x is missing; expected {wanted}. Use compare(hierarchy, x=images).")
    x = as_float_array(x, "x", expected=wanted)
    if x.shape[1:] != tuple(shape):
        raise InputError(
            f"x has shape {x.shape}; expected {wanted}, batch and channels first. Reshape or "
            "transpose it."
        )
    return x


def _compared_levels(hierarchy, solvers, x, stage):
    """One ``LevelComparison`` per level, each on the reference codes of the level below."""
    compared = []
    for i, level in enumerate(hierarchy.levels):
        stage(f"level {i + 1} of {len(hierarchy.levels)}", i)
        compared.append(LevelComparison(i + 1, level.problem(x), solvers))
        x = level.pass_up(compared[-1].reference.codes)
    return compared


def standard_solvers(*priors):
    """The dial from one step to the code, by name; the last is the reference.

    For a non-convex prior the last one is named "stationary": its energy may not be the least.

    Parameters
    ----------
    *priors : Prior
        Accelerated proximal gradient if all are convex, otherwise plain.

    Returns
    -------
    dict of str to Solver
    """
    iterative = proximal_gradient_for(*priors)
    return {
        "forward": ForwardTransform(),
        "calibrated": ForwardTransform(calibrate=True),
        "3 steps": Unrolled(3),
        "10 steps": Unrolled(10),
        "exact" if iterative is FISTA else "stationary": iterative(max_iter=10_000),
    }


def _named_solvers(solvers, *priors):
    if solvers is None:
        return standard_solvers(*priors)
    if isinstance(solvers, Solver):
        solvers = [solvers]
    if not isinstance(solvers, dict):
        solvers = {repr(s): s for s in solvers}
    wrong = [s for s in solvers.values() if not isinstance(s, Solver)]
    if wrong or not solvers:
        raise InputTypeError(
            f"solvers is {solvers!r}; expected solvers such as FISTA(), or a dict of them by name."
        )
    return dict(solvers)


def _collected(levels, readouts, signals, meta):
    return Comparison(
        levels=tuple(level.info() for level in levels),
        rows=tuple(level.row(name) for level in levels for name in level.names),
        readouts=tuple(readouts),
        gaps={(v.level, n): v.solutions[n].gap for v in levels for n in v.names},
        residuals={(v.level, n): v.solutions[n].residual for v in levels for n in v.names},
        errors={(v.level, n): v.errors[n] for v in levels for n in v.names},
        examples={(v.level, n): v.solutions[n].codes[:6] for v in levels for n in v.names},
        signals=signals[:6],
        dictionaries=tuple(v.problem.dictionary for v in levels),
        meta=dict(meta or {}),
    )
