"""Images for the main job: digits and photographs of scikit-learn, IDX files, archives, folders.

Nothing is fetched from anywhere. Every reader refuses a damaged or oversized file with one clear
error.
"""

from __future__ import annotations

import dataclasses
import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from .validation import (
    InputError,
    InputTypeError,
    as_generator,
    as_integer,
    as_number,
    did_you_mean,
)

#: Refuse to expand a file into more numbers than this (8 GiB of float32).
MAX_NUMBERS = 2**31
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Training and held-out images with what is known about them.

    Attributes
    ----------
    name : str
    train, test : array, shape (n, n_channels, height, width), float32
        In [0, 1], or contrast-normalised tiles of photographs.
    train_labels, test_labels : array of int or None
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None


def load(source="digits", *, tile=32, test_fraction=0.25, random_state=0):
    """Load a named set or a path.

    Parameters
    ----------
    source : {"digits", "images"} or path
        scikit-learn's 1,797 handwritten digits (8 x 8); its two photographs, cut into tiles whose
        label is the photograph; an IDX file or a folder of IDX files (MNIST's names, gzip or not);
        an ``.npz`` or ``.npy`` file; a folder of pictures (labels are the sub-folders' names, if
        there are any).
    tile : int
        Side of the square tiles that photographs of different or large sizes are cut into.
    test_fraction : float
        Share held out where the source has no test set of its own.
    random_state : None, int or Generator
        For the split.

    Returns
    -------
    ImageSet

    Raises
    ------
    InputError
        If the source is unknown, unreadable, damaged, or holds too few images.
    """
    rng, tile = as_generator(random_state), as_integer(tile, "tile")
    test_fraction = as_number(test_fraction, "test_fraction", positive=True)
    if not isinstance(source, str | os.PathLike):
        raise InputTypeError(f"source is {source!r}; expected 'digits', 'images' or a path.")
    if source == "digits":
        images, labels = _digits()
        return _split("digits", images, labels, test_fraction, rng)
    if source == "images":
        return _split("sample photographs", *_photographs(tile), test_fraction, rng)
    path = Path(source)
    if not path.exists():
        raise InputError(
            f"data is {str(source)!r}, which is no file or folder here; expected 'digits', "
            "'images', an "
            "IDX, npz or npy file, or a folder of images. Check the path."
            + did_you_mean(source, ("digits", "images"))
        )
    if path.is_dir():
        return _folder(path, tile, test_fraction, rng)
    if path.suffix in (".npz", ".npy"):
        return _archive(path, tile, test_fraction, rng)
    if path.suffix.lower() in _PICTURES:
        return _split(path.name, *_tiles([(_picture(path), 0)], tile), test_fraction, rng)
    return _split(path.name, _as_images(read_idx(path), path), None, test_fraction, rng)


# -- bundled --------------------------------------------------------------------------------
def _digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images[:, None] / 16.0).astype(np.float32), bunch.target


def _photographs(tile):
    from sklearn.datasets import load_sample_images

    pictures = load_sample_images().images
    return _tiles([(picture / 255.0, i) for i, picture in enumerate(pictures)], tile)


# -- IDX ------------------------------------------------------------------------------------
def read_idx(path):
    """Read one IDX file (the format of MNIST), gzip-compressed or not.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    array
        Of the file's type, native byte order.

    Raises
    ------
    InputError
        If the header is malformed, or the file is longer or shorter than the header says.

    References
    ----------
    LeCun, Cortes & Burges, The MNIST database of handwritten digits (file format).
    """
    path = Path(path)
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            shape, dtype = _idx_header(file, path)
            count = math.prod(shape)
            body = file.read(count * dtype.itemsize + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read ({error}); expected an IDX file, gzip or not. Fetch it again."
        )
    if len(body) != count * dtype.itemsize:
        longer = "longer" if len(body) > count * dtype.itemsize else "shorter"
        raise InputError(
            f"{path} is {longer} than its header says ({count * dtype.itemsize:,} bytes for "
            f"shape {shape}); expected exactly "
            "that many. Fetch it again."
        )
    return np.frombuffer(body, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _idx_header(file, path):
    """Shape and type of what follows."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _IDX_TYPES or start[3] == 0:
        raise InputError(
            f"{path}: the first bytes are {start!r}; expected an IDX header (two zeros, "
            "a type code, a number of dimensions). Is this an IDX file?"
        )
    dims = file.read(4 * start[3])
    if len(dims) < 4 * start[3]:
        raise InputError(f"{path}: the IDX header is cut off; expected {start[3]} dimensions.")
    shape = struct.unpack(f">{start[3]}I", dims)
    dtype = np.dtype(_IDX_TYPES[start[2]])
    count = math.prod(shape)
    if count > MAX_NUMBERS:
        raise InputError(
            f"{path}: the header claims {count:,} numbers; expected at most {MAX_NUMBERS:,}."
        )
    return shape, dtype


def _idx_folder(path):
    """The IDX files of a folder by role, or None: {"train images": path, ...}."""
    found = {}
    for file in sorted(path.iterdir()):
        name = file.name.lower()
        if ("ubyte" not in name and "idx" not in name) or not file.is_file():
            continue
        if file.suffix.lower() in _PICTURES:
            continue
        part = "test" if "t10k" in name or "test" in name else "train"
        kind = "labels" if "label" in name or "idx1" in name else "images"
        other = found.setdefault(f"{part} {kind}", file)
        if file.name not in (other.name, f"{other.name}.gz"):  # unpacked and kept is one file
            raise InputError(
                f"{path}: {other.name} and {file.name} both look like the {part} {kind}; expected "
                "one file for each. Keep one set in a folder of its own."
            )
    return found if "train images" in found or "test images" in found else None


# -- files and folders ----------------------------------------------------------------------
def _folder(path, tile, test_fraction, rng):
    idx = _idx_folder(path)
    if idx:
        parts = {role: read_idx(file) for role, file in idx.items()}
        there = [p for p in ("train", "test") if f"{p} images" in parts]
        pairs = [(parts[f"{p} images"], parts.get(f"{p} labels")) for p in there]
        if len(pairs) == 2:
            return _given_split(path, *pairs)
        images = _as_images(pairs[0][0], path)
        _check_labels(pairs[0][1], images, path)
        return _split(path.name, images, pairs[0][1], test_fraction, rng)
    classes = sorted(p for p in path.iterdir() if p.is_dir())
    files = [
        (f, i)
        for i, folder in enumerate(classes)
        for f in sorted(folder.iterdir())
        if _is_picture(f)
    ]
    labelled = bool(files)
    if not files:
        files = [(f, i) for i, f in enumerate(sorted(path.iterdir())) if _is_picture(f)]
    if not files:
        archives = sorted(path.glob("*.npz"))
        if len(archives) == 1:
            return _archive(archives[0], tile, test_fraction, rng)
        raise InputError(
            f"{path} holds no images; expected IDX files, pictures "
            f"({', '.join(sorted(_PICTURES))}), or sub-folders of "
            "pictures, one per class."
        )
    pictures = [(_picture(file), label) for file, label in files]
    sizes = {picture.shape[:2] for picture, _ in pictures}
    if len(sizes) == 1 and max(*sizes.pop()) <= 2 * tile:
        if len({picture.shape for picture, _ in pictures}) > 1:  # some grey, some in colour
            pictures = [(_grey(picture), label) for picture, label in pictures]
        images = np.stack([_channels_first(picture) for picture, _ in pictures])
        labels = np.array([label for _, label in pictures]) if labelled else None
        return _split(path.name, images, labels, test_fraction, rng)
    images, labels = _tiles(pictures, tile)
    return _split(path.name, images, labels, test_fraction, rng)


def _archive(path, tile, test_fraction, rng):
    """npz (keys x/images/data, y/labels/target, x_train.. x_test..; unnamed images and labels;
    else every image-like array) or npy.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {"x": loaded}
        else:
            with loaded:
                arrays = {name.lower(): loaded[name] for name in loaded.files}
    except Exception as error:  # a damaged zip makes zipfile raise nearly anything
        raise InputError(
            f"{path} cannot be read ({error}); expected a NumPy archive without objects."
        )

    (train, labels), (test, test_labels) = _named(arrays)
    if train is None:
        pictures = [
            (a, i)
            for i, a in enumerate(arrays.values())
            if a.ndim in (2, 3) and a.dtype.kind in "uif"
        ]
        if not pictures:
            raise InputError(
                f"{path} has arrays {sorted(arrays)}; expected images under 'x', 'images' or "
                "'x_train', with labels under "
                "'y', 'labels' or 'y_train'."
            )
        largest = _common_white([a for a, _ in pictures])
        pictures = [(_unit_range(a, largest), i) for a, i in pictures]
        return _split(path.name, *_tiles(pictures, tile), test_fraction, rng)
    if test is not None:
        return _given_split(path, (train, labels), (test, test_labels))
    train = _as_images(train, path)
    _check_labels(labels, train, path)
    if train.shape[1] == 1 and min(train.shape[2:]) > 2 * tile:
        pictures = [(image[0], i) for i, image in enumerate(train)]
        return _split(path.name, *_tiles(pictures, tile), test_fraction, rng)
    return _split(path.name, train, labels, test_fraction, rng)


def _named(arrays):
    """(images, labels) of an archive twice: to train on and held out; None for what is missing."""

    def first(*names):
        return next((arrays[n] for n in names if n in arrays), None)

    def flat(labels):
        column = labels is not None and labels.ndim == 2 and labels.shape[1] == 1
        return labels[:, 0] if column else labels

    train = first("x_train", "train_images", "train", "x", "images", "data")
    labels = first("y_train", "train_labels", "y", "labels", "target")
    test, test_labels = first("x_test", "test_images", "test"), first("y_test", "test_labels")
    if train is None and test is not None:  # one set, to be split
        train, labels, test, test_labels = test, test_labels, None, None
    elif train is None and sorted(arrays) == ["arr_0", "arr_1"]:
        images, numbers = sorted(arrays.values(), key=lambda a: -a.ndim)
        numbers = flat(numbers)
        whole = numbers.dtype.kind in "ui" and images.ndim in (3, 4)
        if whole and numbers.shape == images.shape[:1]:
            train, labels = images, numbers
    return (train, flat(labels)), (test, flat(test_labels))


# -- arrays ---------------------------------------------------------------------------------
def _given_split(path, train, test):
    """An ``ImageSet`` of (images, labels) twice: one unit for all pixels, one numbering for all
    labels.
    """
    both = [images for images, _ in (train, test)]
    largest = _common_white(both)
    both = [_as_images(a, path, largest) for a in both]
    if both[0].shape[1:] != both[1].shape[1:]:
        raise InputError(
            f"{path}: training images have shape {both[0].shape[1:]} and test images "
            f"{both[1].shape[1:]}; expected one shape."
        )
    for images, (_, labels) in zip(both, (train, test), strict=True):
        _check_labels(labels, images, path)
    if train[1] is None or test[1] is None:
        return ImageSet(path.name, *both, None, None)
    labels = _as_labels(np.concatenate([train[1], test[1]]))
    n = len(both[0])
    return ImageSet(path.name, *both, *((None, None) if labels is None else np.split(labels, [n])))


def _as_images(array, source, largest=None):
    if array.ndim not in (3, 4) or array.dtype.kind not in "uifb" or array.size == 0:
        raise InputError(
            f"{source}: an array of shape {array.shape} and type {array.dtype} is not a stack of "
            "images; expected "
            "(n, height, width), (n, channels, height, width) or (n, height, width, channels)."
        )
    images = _unit_range(array, largest)
    if not np.isfinite(images).all():
        raise InputError(f"{source} contains NaN or infinity; expected finite pixels.")
    if images.ndim == 3:
        return images[:, None]
    channels_last = images.shape[3] in (1, 3, 4) and images.shape[1] not in (1, 3, 4)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if channels_last else images


def _unit_range(array, largest=None):
    """float32 pixels, divided by ``largest`` (default: their white)."""
    largest = largest or _white(array)
    return (array if largest == 1 else array / np.float32(largest)).astype(np.float32)


def _common_white(arrays):
    """One unit for arrays of one kind; None if some are whole numbers and some are not."""
    if all(a.dtype.kind in "ui" for a in arrays):
        return max(_white(a) for a in arrays)
    if all(a.dtype.kind == "f" for a in arrays):
        low = min(a.min(initial=0) for a in arrays)
        return _white(np.array([low, *(a.max(initial=0) for a in arrays)]))
    return None


def _white(array):
    """255 for bytes and for other numbers in their range, 1 for the rest of these; the largest
    of other integers.
    """
    if array.dtype == np.uint8:
        return 255
    if array.dtype.kind in "ui":
        return max(int(array.max(initial=0)), 1)
    like_bytes = array.dtype.kind == "f" and array.min(initial=0) >= 0
    return 255 if like_bytes and 1.5 < array.max(initial=0) <= 255 else 1


def _check_labels(labels, images, source):
    if labels is not None and labels.shape != (len(images),):
        raise InputError(
            f"{source}: {len(images)} images but labels of shape {labels.shape}; expected one "
            "label per image."
        )


def _as_labels(labels):
    """Numbers from 0; None if there are none, or only one class."""
    if labels is None:
        return None
    classes, numbers = np.unique(labels, return_inverse=True)
    return numbers.reshape(-1) if len(classes) > 1 else None


def _is_picture(path):
    return path.is_file() and path.suffix.lower() in _PICTURES


def _picture(path):
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I;16"):
                return np.asarray(picture, dtype=np.float32) / 65535.0
            if picture.mode in ("I", "F"):  # measured values stay in their own unit
                return _unit_range(np.asarray(picture), 1 if picture.mode == "F" else None)
            colour = picture.mode not in ("1", "L")
            return np.asarray(picture.convert("RGB" if colour else "L"), dtype=np.float32) / 255.0
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}). Remove or replace it.")


def _channels_first(picture):
    return picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)


def _grey(picture):
    """Luma of a picture (ITU-R BT.601), float32."""
    if picture.ndim == 3:
        picture = picture[..., :3] @ np.array([0.299, 0.587, 0.114])
    return picture.astype(np.float32)


def _tiles(pictures, tile):
    """Grey tiles, mean removed, divided by their common standard deviation; (tiles, labels)."""
    images, labels = [], []
    for picture, label in pictures:
        grey = _grey(picture)
        rows, columns = grey.shape[0] // tile, grey.shape[1] // tile
        cut = (
            grey[: rows * tile, : columns * tile].reshape(rows, tile, columns, tile).swapaxes(1, 2)
        )
        images.append(cut.reshape(-1, 1, tile, tile))
        labels.append(np.full(rows * columns, label))
    images, labels = np.concatenate(images).astype(np.float32), np.concatenate(labels)
    if len(images) < 8:
        raise InputError(
            f"the pictures give only {len(images)} tiles of {tile} x {tile} pixels; expected at "
            "least 8. Use larger pictures."
        )
    images -= images.mean(axis=(2, 3), keepdims=True)
    spread = float(images.std())
    if spread == 0:
        raise InputError("the pictures are constant; expected pictures with some contrast.")
    return images / np.float32(spread), (labels if len(set(labels.tolist())) > 1 else None)


def _split(name, images, labels, test_fraction, rng):
    if len(images) < 4:
        raise InputError(
            f"{name}: only {len(images)} images; expected at least 4 to hold some out."
        )
    order = rng.permutation(len(images))
    n_test = min(max(round(test_fraction * len(images)), 1), len(images) - 2)
    test, train = order[:n_test], order[n_test:]
    labels = _as_labels(labels)
    parts = (None, None) if labels is None else (labels[train], labels[test])
    return ImageSet(name, images[train], images[test], *parts)
