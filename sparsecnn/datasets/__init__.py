"""Images for the main job: digits and photographs of scikit-learn, IDX files, arrays, pictures.

Nothing is fetched from anywhere. Every reader refuses a damaged or oversized file with one clear
error; what is not images is refused by name.
"""

from __future__ import annotations

import os
import reprlib
from pathlib import Path

from ..validation import (
    InputError,
    InputTypeError,
    as_generator,
    as_integer,
    as_number,
    did_you_mean,
)
from .arrays import ARCHIVES, read_archives
from .folders import read_folder, refuse_other_kind
from .idx import read_idx
from .pictures import is_picture, read_pictures
from .pixels import as_pictures
from .sets import ImageSet, Part, Settings, image_set

__all__ = ["ImageSet", "load", "read_idx"]


def load(
    source="digits",
    *,
    tile=32,
    test_fraction=0.25,
    random_state=0,
    scale=None,
    images=None,
    labels=None,
    image_shape=None,
):
    """Load a named set or a path.

    All pixels, training and test together, are divided by one number: a full scale (1, 255, 4095
    or 65535; only 1 for fractions) if the largest pixel takes at least a quarter of it, else the
    largest pixel. ``ImageSet.scale`` and ``notes`` say which.

    Parameters
    ----------
    source : {"digits", "images"} or path
        scikit-learn's 1,797 handwritten digits (8 x 8); its two photographs, cut into tiles whose
        label is the photograph; an IDX file or a folder of IDX files (MNIST's names, gzip or not);
        an npz or npy file, or a folder of them (batches); a picture or a folder of pictures
        (labels are the sub-folders' names, if there are any; ``train/`` with ``test/`` or ``val/``
        is the split). Pages of a file are images of their own; pictures are turned upright, and
        transparent pixels blended over white.
    tile : int
        Side of the square tiles that photographs of different or large sizes are cut into.
    test_fraction : float
        Share held out, between 0 and 1, where the source has no test set of its own; of each class
        alike.
    random_state : None, int or Generator
        For the split.
    scale : float, optional
        The number to divide all pixels by.
    images, labels : str, optional
        Names of the arrays of an npz file, where they are not the usual ones (x or images, y or
        labels, x_train, x_test, ...).
    image_shape : None, (height, width) or (channels, height, width)
        Of the rows of an array (n, features); square images are recognised.

    Returns
    -------
    ImageSet

    Raises
    ------
    InputError
        If the source is unknown, unreadable, damaged, too large, no images, or too few.
    """
    test_fraction = as_number(test_fraction, "test_fraction", positive=True)
    if test_fraction >= 1:
        raise InputError(f"test_fraction is {test_fraction:g}; expected a number between 0 and 1.")
    settings = Settings(
        as_integer(tile, "tile"),
        test_fraction,
        as_generator(random_state),
        None if scale is None else as_number(scale, "scale", positive=True),
        _key(images, "images"),
        _key(labels, "labels"),
        _shape(image_shape),
    )
    return _read(source, settings)


def _read(source, settings):
    if not isinstance(source, str | os.PathLike):
        raise InputTypeError(f"source is {source!r}; expected 'digits', 'images' or a path.")
    path, bundled = Path(source), _BUNDLED.get(source)
    if bundled is None and not (os.fspath(source) and os.path.exists(path)):  # "" is no folder
        raise InputError(
            f"data is {reprlib.repr(str(source))}, which is no file or folder here; expected "
            "'digits', 'images', an IDX, npz or npy file, or a folder of images. Check the path."
            + did_you_mean(source, _BUNDLED)
        )
    if bundled is None and path.is_dir():
        return read_folder(path, settings)
    if bundled is None and path.suffix.lower() in ARCHIVES:
        return read_archives(path, [path], settings)
    rows = bundled is None and not is_picture(path)  # which may need a shape
    for name in ("images", "labels", "image_shape")[: 2 if rows else 3]:
        if getattr(settings, name) is not None:
            raise InputError(
                f"{name} is {getattr(settings, name)!r}, but {str(source)!r} has no arrays of "
                "that kind; expected an npz file. Leave it away."
            )
    return _file(path, settings) if bundled is None else bundled(settings)


def _file(path, settings):
    """A picture, or an IDX file."""
    if is_picture(path):
        pictures, _, notes = read_pictures([path])
        return image_set(path.name, [Part(pictures)], settings, notes)
    refuse_other_kind(path)
    images = as_pictures(read_idx(path), path, settings.image_shape)
    return image_set(path.name, [Part(images)], settings)


def _key(name, argument):
    if name is not None and not isinstance(name, str):
        raise InputTypeError(f"{argument} is {name!r}; expected the name of an array.")
    return name


def _shape(image_shape):
    if image_shape is None:
        return None
    try:
        shape = tuple(as_integer(side, "image_shape") for side in image_shape)
    except TypeError:
        shape = ()
    if len(shape) not in (2, 3):
        raise InputTypeError(
            f"image_shape is {image_shape!r}; expected None, (height, width) or (channels, "
            "height, width)."
        )
    return shape


# -- bundled --------------------------------------------------------------------------------
def _digits(settings):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return image_set("digits", [Part(bunch.images, bunch.target)], settings)


def _photographs(settings):
    from sklearn.datasets import load_sample_images

    return image_set("sample photographs", [Part(load_sample_images().images)], settings)


_BUNDLED = {"digits": _digits, "images": _photographs}
