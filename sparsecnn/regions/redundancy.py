"""How redundant the last hidden layer is: random chunks of its units instead of all of them.

Doimo et al. 2022, Redundant representations help generalization in wide neural networks.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..validation import InputError, as_float_array, as_generator, as_integer


@dataclasses.dataclass(frozen=True)
class Redundancy:
    """Three diagnostics per chunk size.

    Attributes
    ----------
    sizes : tuple of int
        Units in a chunk, from all of them down to one.
    accuracies : tuple of float
        Mean accuracy of the read-out restricted to a chunk, its weights unchanged.
    r_squared : tuple of float
        Mean variance-weighted R^2 of ridge regression from a chunk to all units.
    residual_correlations : tuple of float
        Mean absolute off-diagonal correlation of what that regression leaves.
    """

    sizes: tuple
    accuracies: tuple
    r_squared: tuple
    residual_correlations: tuple

    def summary(self):
        """Return a table as text."""
        lines = ["units  accuracy  R^2     residual correlation"]
        rows = zip(
            self.sizes, self.accuracies, self.r_squared, self.residual_correlations, strict=True
        )
        lines += [f"{s:>5}  {a:8.4f}  {r:6.4f}  {c:.4f}" for s, a, r, c in rows]
        return "\n".join(lines)

    def to_dict(self):
        """Return the numbers as a plain dictionary."""
        return dataclasses.asdict(self)


def measure_redundancy(
    features, weights, bias, labels, *, n_accuracy=100, n_ridge=40, ridge=1e-8, random_state=None
):
    """Measure how well random chunks of units stand for the whole layer.

    Parameters
    ----------
    features : array of shape (n_samples, n_units)
        The last hidden layer.
    weights : array of shape (n_classes, n_units)
        Read-out; a chunk uses its columns as they are.
    bias : array of shape (n_classes,)
    labels : int array of shape (n_samples,)
    n_accuracy, n_ridge : int
        Random chunks per size for the accuracy and for the regression.
    ridge : float
        Penalty of the regression.
    random_state : None, int or Generator

    Returns
    -------
    Redundancy
    """
    x = as_float_array(features, "features", ndim=2, expected="(n_samples, n_units)")
    v = as_float_array(weights, "weights", ndim=2, expected="(n_classes, n_units)")
    labels, rng = np.asarray(labels), as_generator(random_state)
    if v.shape[1] != x.shape[1] or len(labels) != len(x):
        raise InputError(
            f"features {x.shape}, weights {v.shape}, {len(labels)} labels: expected (n, units), "
            "(classes, units) and n labels."
        )
    draws = as_integer(n_accuracy, "n_accuracy"), as_integer(n_ridge, "n_ridge")
    size, rows = x.shape[1], []
    while size:
        rows.append((size, *_chunk_scores(x, v, np.asarray(bias), labels, size, draws, ridge, rng)))
        size //= 2
    return Redundancy(*(tuple(column) for column in zip(*rows, strict=True)))


def _chunk_scores(x, v, bias, labels, size, draws, ridge, rng):
    """Accuracy, R^2 and residual correlation of random chunks of one size."""
    n_units = x.shape[1]
    if size == n_units:
        draws = (1, 1)
    accuracy = []
    for _ in range(draws[0]):
        chunk = rng.permutation(n_units)[:size]
        accuracy.append(np.mean((x[:, chunk] @ v[:, chunk].T + bias).argmax(axis=1) == labels))
    centred = x - x.mean(axis=0)
    fits = [_ridge_fit(centred, rng.permutation(n_units)[:size], ridge) for _ in range(draws[1])]
    r_squared, correlation = np.mean(fits, axis=0)
    return float(np.mean(accuracy)), float(r_squared), float(correlation)


def _ridge_fit(centred, chunk, ridge):
    """R^2 of predicting all units from a chunk, and how correlated the residuals are."""
    part = centred[:, chunk]
    gram = part.T @ part + ridge * np.eye(len(chunk))
    residual = centred - part @ np.linalg.lstsq(gram, part.T @ centred, rcond=None)[0]
    r_squared = 1 - (residual**2).sum() / (centred**2).sum()
    covariance = np.cov(residual, rowvar=False)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / (np.outer(deviation, deviation) + 1e-8)
    off = ~np.eye(len(correlation), dtype=bool)
    return r_squared, np.abs(correlation[off]).mean()
