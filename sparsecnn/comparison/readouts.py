"""What codes are worth: a logistic regression on each solver's own greedy pass."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from ..validation import InputError
from .measures import known_mean, relative_error
from .results import ReadoutRow

#: Relative gap of the codes that readouts are trained and tested on (levels are compared to 1e-6).
READOUT_TOL = 1e-4


def readout_data(x, y, readout, rng):
    """``(x, y, (x_train, y_train))`` to compare and to train on, or no readout without labels."""
    if y is not None:
        y = np.asarray(y)
        if y.shape != (len(x),):
            raise InputError(f"y has shape {y.shape}; expected ({len(x)},), one label per image.")
        if readout is None:
            order, cut = rng.permutation(len(x)), (3 * len(x)) // 4  # labels may come sorted
            train, held_out = order[:cut], order[cut:]
            readout, x, y = (x[train], y[train]), x[held_out], y[held_out]
        if len(np.unique(readout[1])) < 2:
            raise InputError(
                "the training labels have one class only; expected at least two. Leave y out."
            )
    return x, y, readout if y is not None else None


def measured_readouts(hierarchy, solvers, x, y, readout, noise, rng, stage):
    """One ``ReadoutRow`` per solver, clean and with noise; the last solver is the reference."""
    rows, reference = [], None
    levels = dict.fromkeys([0.0, *map(float, noise)])
    noisy = {s: x + s * rng.standard_normal(x.shape).astype(x.dtype) for s in levels}
    for k, name in reversed(list(enumerate(solvers))):  # the reference first
        stage(name, len(solvers) - 1 - k)
        solver = solvers[name]
        if not solver.steps:
            solver = dataclasses.replace(solver, tol=max(solver.tol, READOUT_TOL))
        encode = _Encoder(hierarchy, solver.quietly)  # the level tables carry the gaps
        classifier, scale = _fit_readout(encode(readout[0]), readout[1])
        accuracy = {}
        for s, images in noisy.items():
            features = encode(images)
            accuracy[s] = float((classifier.predict(features / scale) == y).mean())
            if s == 0:
                reference = features if reference is None else reference
                drift = known_mean(relative_error(features, reference))
        rows.append(ReadoutRow(name, accuracy, drift))
    return rows[::-1]


class _Encoder:
    """Flat top codes of one solver's greedy pass."""

    def __init__(self, hierarchy, solver):
        self.hierarchy, self.solver = hierarchy, solver

    def __call__(self, x):
        parts = []
        for start in range(0, len(x), 4096):
            codes = self._pass(x[start : start + 4096])
            parts.append(codes.reshape(len(codes), -1))
        return np.concatenate(parts)

    def _pass(self, x):
        if not self.solver.steps:
            return self.hierarchy.encode(x, self.solver)
        for level in self.hierarchy.levels:  # nothing to certify
            x = level.pass_up(self.solver.advance(level.problem(x), self.solver.steps))
        return x


def _fit_readout(features, labels):
    from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scale = float(features.std()) or 1.0
    classifier = LogisticRegression(C=1.0, max_iter=300, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SklearnConvergenceWarning)  # accuracy is what is reported
        classifier.fit(features / scale, labels)
    return classifier, scale
