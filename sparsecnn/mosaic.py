"""Signals and atoms as arrays of grey or colour to look at. Knows no other module."""

from __future__ import annotations

import base64
import io
import math

import numpy as np


def picture(array):
    """One sample as ``(h, w)``, three channels as ``(h, w, 3)``; other channels side by side.

    Features in a row are a square image, grey or of three channels, if there are as many as that.
    """
    if array.ndim == 1:
        sides = {c: math.isqrt(array.size // c) for c in (3, 1)}
        fit = [(c, side, side) for c, side in sides.items() if c * side**2 == array.size]
        array = array.reshape(fit[-1] if fit else (1, 1, -1))
    if len(array) == 3:
        return np.moveaxis(array, 0, -1)
    return array[0] if len(array) == 1 else mosaic(list(array))


def centred(shown):
    """In [0, 1], zero at one half."""
    largest = np.abs(shown[np.isfinite(shown)]).max()
    return 0.5 + 0.5 * shown / largest if largest > 0 else np.full(shown.shape, 0.5)


def mosaic(pictures):
    """Pictures of one shape on a grid about as wide as high; nan (drawn light) where none is."""
    height, width, *colour = pictures[0].shape
    finer = max(1, 12 // max(height, width))  # so that the gap is thin also between small ones
    pictures = [one.repeat(finer, axis=0).repeat(finer, axis=1) for one in pictures]
    height, width = finer * height, finer * width
    between = max(1, max(height, width) // 12)
    columns = min(len(pictures), int(np.ceil(np.sqrt(len(pictures) * height / width))))
    rows = -(-len(pictures) // columns)
    size = rows * (height + between) - between, columns * (width + between) - between
    sheet = np.full((*size, *colour), 0.85 if colour else np.nan)
    for k, one in enumerate(pictures):
        top, left = (k // columns) * (height + between), (k % columns) * (width + between)
        sheet[top : top + height, left : left + width] = one
    return sheet


def stretched(shown):
    """In [0, 1], from the least to the largest."""
    low, high = (f(shown[np.isfinite(shown)]) for f in (np.min, np.max))
    return (shown - low) / (high - low) if high > low else np.zeros_like(shown)


def atoms_html(atoms, n_atoms=100):
    """The first atoms as one picture in a page, zero mid-grey."""
    return _html([centred(picture(np.asarray(a, dtype=np.float64))) for a in atoms[:n_atoms]])


def images_html(images, n_images=36):
    """The first images as one picture in a page."""
    return _html([stretched(picture(np.asarray(a, dtype=np.float64))) for a in images[:n_images]])


def _html(pictures):
    from PIL import Image

    sheet = mosaic(pictures)
    levels = np.uint8(255 * np.nan_to_num(sheet, nan=0.85).clip(0, 1) + 0.5)
    size = max(1, 320 // max(levels.shape[:2]))
    levels = levels.repeat(size, axis=0).repeat(size, axis=1)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "png", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{data}" style="max-width:100%"/>'
