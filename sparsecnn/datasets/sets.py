"""From pictures and labels, wherever they came from, to one ``ImageSet``: the only way."""

from __future__ import annotations

import dataclasses
import html

import numpy as np

from ..mosaic import images_html
from ..tables import fragment
from ..validation import InputError
from .labels import as_classes, checked_labels, joined_labels, stratified
from .pixels import common_scale, divided, grey, tiles_of


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Training and held-out images with what is known about them.

    Attributes
    ----------
    name : str
    train, test : array, shape (n, n_channels, height, width), float32
        Pixels divided by ``scale``; or contrast-normalised tiles of larger pictures.
    train_labels, test_labels : array of int or None
    scale : float
        The number that every pixel was divided by.
    notes : tuple of str
        How the files were read: the scale and where it is from, what was tiled, composited, set
        aside or left unread.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None
    scale: float = 1.0
    notes: tuple[str, ...] = ()

    def __repr__(self):
        shape = "x".join(map(str, self.train.shape[1:]))
        return f"ImageSet({self.name!r}, {len(self.train)} + {len(self.test)} images {shape})"

    def _repr_html_(self):
        notes = [f"<p>{html.escape(note)}</p>" for note in self.notes]
        return fragment(f"<p>{html.escape(repr(self))}</p>", *notes, images_html(self.train))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What ``load`` was asked for."""

    tile: int
    test_fraction: float
    rng: np.random.Generator
    scale: float | None = None
    images: str | None = None
    labels: str | None = None
    image_shape: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Part:
    """Pictures as they were stored, a stack ``(n, h, w[, c])`` or a list, and their labels."""

    pictures: np.ndarray | list
    labels: np.ndarray | None = None

    @property
    def arrays(self):
        return [self.pictures] if isinstance(self.pictures, np.ndarray) else self.pictures

    @property
    def shapes(self):
        """Shapes of single pictures."""
        first = 1 if isinstance(self.pictures, np.ndarray) else 0
        return {array.shape[first:] for array in self.arrays}


def image_set(name, parts, settings, notes=()):
    """The ``ImageSet`` of one part, which is split, or of two, to train on and held out.

    Raises
    ------
    InputError
        If the parts do not fit each other, or hold too little.
    """
    if not all(len(part.pictures) for part in parts):
        raise InputError(f"{name} has a part without images; expected some in each.")
    parts = [
        part
        if part.labels is None
        else Part(part.pictures, checked_labels(part.labels, len(part.pictures), name))
        for part in parts
    ]
    arrays = [array for part in parts for array in part.arrays]
    scale, words = _scale(arrays, name, settings)
    if not any(array.any() for array in arrays):
        raise InputError(f"{name}: every pixel is 0; expected images with something on them.")
    shapes = set().union(*(part.shapes for part in parts))
    if _are_tiled(shapes, parts, settings.tile):
        parts, said = _tiled(name, parts, scale, settings.tile)
        notes = (said, *notes)
    else:
        parts = _stacked(name, parts, scale, shapes)
    return _split(name, parts, settings, scale, (f"pixels: {words}", *notes))


def _scale(arrays, name, settings):
    if settings.scale is None:
        return common_scale(arrays, name)
    scale = settings.scale
    largest = max(max(float(array.max()), -float(array.min())) for array in arrays)
    if largest and not 1e-30 < largest / scale < 1e30:
        raise InputError(
            f"scale is {scale:g}, but the largest pixel of {name} is {largest:g}; expected a scale "
            "near it. Leave it away to divide by what the pixels' type and range say."
        )
    return scale, f"divided by {scale:g}, as stated"


# -- whole images ---------------------------------------------------------------------------
def _are_tiled(shapes, parts, tile):
    sizes = {shape[:2] for shape in shapes}
    if len(sizes) > 1:
        return any(isinstance(part.pictures, list) for part in parts)
    ((height, width),) = sizes
    single = sum(len(part.pictures) for part in parts) == 1
    return single or (max(height, width) > 2 * tile and min(height, width) >= tile)


def _stacked(name, parts, scale, shapes):
    colour = any(len(shape) == 3 for shape in shapes)
    found = []
    for part in parts:
        pictures = part.pictures
        if isinstance(pictures, list):
            pictures = np.stack([_with_colour(p) if colour else p for p in pictures])
        images = divided(pictures, scale)
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        found.append(Part(np.ascontiguousarray(images), part.labels))
    if len({part.pictures.shape[1:] for part in found}) > 1:
        raise InputError(
            f"{name}: training images have shape {found[0].pictures.shape[1:]} and test images "
            f"{found[1].pictures.shape[1:]}; expected one shape."
        )
    return found


def _with_colour(picture):
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


# -- tiles ----------------------------------------------------------------------------------
def _tiled(name, parts, scale, tile):
    """Grey tiles, mean removed, divided by their common standard deviation."""
    found, left_out = [], 0
    for part in parts:
        cut = [tiles_of(grey(divided(picture, scale)), tile) for picture in part.pictures]
        counts = [len(tiles) for tiles in cut]
        labels = part.labels
        if labels is None and len(parts) == 1:
            labels = np.arange(len(cut))
        left_out += _without_tiles(name, part, counts, tile)
        labels = None if labels is None else np.repeat(labels, counts)
        found.append(Part(np.concatenate(cut), labels))
        if sum(counts) * len(parts) < 8:
            raise InputError(
                f"{name}: the pictures give only {sum(counts)} tiles of {tile} x {tile} pixels; "
                f"expected at least {8 // len(parts)}. Use larger pictures, or several of one size."
            )
    tiles = [part.pictures - part.pictures.mean(axis=(2, 3), keepdims=True) for part in found]
    spread = np.float32(np.sqrt(sum(np.square(t, dtype=float).sum() for t in tiles)
                                / sum(t.size for t in tiles)))  # fmt: skip
    if spread <= 1e-6 * max(float(np.abs(part.pictures).max()) for part in found):
        raise InputError(
            f"{name}: the pictures are constant; expected pictures with some contrast."
        )
    n_pictures, n_tiles = sum(len(part.pictures) for part in parts), sum(map(len, tiles))
    said = (
        f"{n_pictures} larger picture{'s'[: n_pictures > 1]} cut into {n_tiles:,} grey tiles of "
        f"{tile} x {tile}, mean removed, over their common standard deviation"
    )
    if left_out:
        said += f"; {left_out} smaller than a tile left out"
    return [Part(t / spread, part.labels) for t, part in zip(tiles, found, strict=True)], said


def _without_tiles(name, part, counts, tile):
    """How many pictures are smaller than a tile; refused if a class would be lost with them."""
    none = np.array(counts) == 0
    if part.labels is not None and none.any():
        labels = np.asarray(part.labels)
        lost = [str(c) for c in np.unique(labels) if none[labels == c].all()]
        if lost:
            raise InputError(
                f"{name}: every picture of class {', '.join(lost[:8])} is smaller than a tile of "
                f"{tile} x {tile} pixels; expected larger ones. Make the tiles smaller, or the "
                "pictures one size."
            )
    return int(none.sum())


# -- the split ------------------------------------------------------------------------------
def _split(name, parts, settings, scale, notes):
    labels = [part.labels for part in parts]
    if len(parts) == 2:
        images = [part.pictures for part in parts]
        if any(given is None for given in labels):
            if any(given is not None for given in labels):
                notes += ("labels left unused: only one of the training and test parts has any",)
            labels = [None, None]
        else:
            classes = as_classes(joined_labels(labels, name))
            labels = [None] * 2 if classes is None else np.split(classes, [len(images[0])])
        return ImageSet(name, *images, *labels, scale, notes)
    (images,), (labels,) = [part.pictures for part in parts], labels
    if len(images) < 4:
        raise InputError(
            f"{name}: only {len(images)} images; expected at least 4 to hold some out."
        )
    n_test = min(max(round(settings.test_fraction * len(images)), 1), len(images) - 2)
    labels = as_classes(labels)
    train, test = stratified(labels, len(images), n_test, settings.rng)
    given = (None, None) if labels is None else (labels[train], labels[test])
    return ImageSet(name, images[train], images[test], *given, scale, notes)
