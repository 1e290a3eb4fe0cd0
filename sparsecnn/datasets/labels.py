"""What a label is: one class per image, as numbers from 0; and a split that keeps the shares."""

from __future__ import annotations

import numpy as np

from ..validation import InputError


def checked_labels(labels, n_images, where):
    """Labels of shape ``(n_images,)``; a column is flattened, one-hot rows become numbers.

    Raises
    ------
    InputError
        If there is not one label per image, or they are not classes (NaN, measured values).
    """
    if labels.dtype.kind not in "uibfUS":
        raise InputError(
            f"{where}: labels of type {labels.dtype}; expected whole numbers or names."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError(
            f"{where}: the labels contain NaN or infinity; expected one class for every image. "
            "Leave out the images without a label."
        )
    if _is_one_hot(labels) and len(labels) == n_images:
        return labels.argmax(axis=1)
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.reshape(-1)
    if labels.shape != (n_images,):
        raise InputError(
            f"{where}: {n_images} images but labels of shape {labels.shape}; expected one "
            "label per image."
        )
    if labels.dtype.kind == "f" and (labels != np.rint(labels)).any():
        raise InputError(
            f"{where}: the labels are measured values such as {labels[labels % 1 != 0][0]:g}; "
            "expected classes, whole numbers or names. Leave them out, or group them first."
        )
    return labels


def _is_one_hot(labels):
    if labels.ndim != 2 or labels.shape[1] < 2 or labels.dtype.kind not in "uibf":
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def joined_labels(parts, where):
    """The labels of several parts in one array, all numbers or all names."""
    if len({labels.dtype.kind in "US" for labels in parts}) > 1:
        raise InputError(
            f"{where}: some labels are numbers and some are names; expected one kind for all parts."
        )
    return np.concatenate(parts)


def as_classes(labels):
    """Numbers from 0; None if there are none, or only one class."""
    if labels is None:
        return None
    classes, numbers = np.unique(labels, return_inverse=True)
    return numbers.reshape(-1) if len(classes) > 1 else None


def stratified(labels, n_images, n_test, rng):
    """Indices to train on and to hold out, in random order, every class in its share.

    A class holds out its share of ``n_test``, rounded down or up: up where the largest parts were
    cut off. So no class is off by one or more.
    """
    order = rng.permutation(n_images)
    if labels is None:
        return order[n_test:], order[:n_test]
    sizes = np.bincount(labels)
    share = sizes * n_test // n_images
    cut_off = sizes * n_test % n_images
    share[np.argsort(-cut_off, kind="stable")[: n_test - share.sum()]] += 1
    grouped = np.argsort(labels[order], kind="stable")
    rank = np.empty(n_images, dtype=int)
    rank[grouped] = np.concatenate([np.arange(size) for size in sizes])
    held = rank < share[labels[order]]
    return order[~held], order[held]
