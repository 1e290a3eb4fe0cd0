"""Picture files: every page, upright, without transparency, grey where they are grey.

Numbers stay those of the file (bytes, 16 bits, whole numbers or floats); what they are divided by
is decided for the whole data set.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..validation import InputError
from .pixels import checked_pixels, refuse_oversized

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
#: formats whose further frames are pictures of their own (a telephone's JPEG keeps previews there)
_PAGED = {"TIFF", "GIF", "PNG", "WEBP"}
_PHOTOMETRIC = 262  # TIFF tag; 0: white is stored as 0
_REDUCED = 254  # TIFF tag; its lowest bit marks a smaller copy of another page


def is_picture(path):
    """Whether the file's ending is that of a picture."""
    return path.suffix.lower() in PICTURES


def read_pictures(files):
    """All pages of some picture files.

    Parameters
    ----------
    files : list of Path

    Returns
    -------
    pictures : list of array, shape (height, width) or (height, width, 3)
        uint8, uint16, int32 or float32, as stored.
    counts : list of int
        Pages of each file.
    notes : list of str

    Raises
    ------
    InputError
        If a file is damaged, holds NaN, or all of them together would not fit in memory.
    """
    n_numbers = 0
    for path in files:  # headers first
        n_numbers += _opened(path, _size)
        refuse_oversized([(n_numbers, 4)], f"{path} with the pictures before it")
    pages = [_opened(path, _pages) for path in files]
    pictures = [array for page in pages for array, _ in page]
    counts = [len(page) for page in pages]
    notes = []
    if len(pictures) > len(files):
        notes.append(
            f"{len(pictures)} pages of {len(files)} file{'s'[: len(files) > 1]}, every one an image"
        )
    n_blended = sum(blended for page in pages for _, blended in page)
    if n_blended:
        notes.append(
            f"transparent pixels blended over white ({n_blended} of {len(pictures)} pictures)"
        )
    return pictures, counts, notes


def _opened(path, read):
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes below our own cap, of odd metadata
            # by its bytes: a path would be mapped into memory, of the size before it is turned
            with open(path, "rb") as file, Image.open(file) as picture:
                return read(picture, path)
    except InputError:
        raise
    except Exception as error:  # damaged files raise nearly anything
        raise InputError(f"{path} cannot be read as a picture ({error}). Remove or replace it.")


def _n_frames(picture):
    return getattr(picture, "n_frames", 1) if picture.format in _PAGED else 1


def _page_numbers(picture):
    """Turn to every page; only a TIFF's differ in size."""
    for number in range(_n_frames(picture)):
        picture.seek(number)
        if picture.format != "TIFF" or not picture.tag_v2.get(_REDUCED, 0) & 1:
            yield number


def _size(picture, path):
    """How many numbers the file's pages are, from their headers."""
    if picture.format != "TIFF":
        return picture.width * picture.height * len(picture.getbands()) * _n_frames(picture)
    return sum(
        picture.width * picture.height * len(picture.getbands()) for _ in _page_numbers(picture)
    )


def _pages(picture, path):
    found = []
    for number in _page_numbers(picture):
        if picture.format == "TIFF" and _stored_area(picture) < picture.width * picture.height:
            raise InputError(
                f"{path}: page {number + 1} is {picture.width} x {picture.height} by its header, "
                "but its strips do not cover that. Remove or replace it."
            )
        array, blended = _page(picture)
        found.append((checked_pixels(array, path), blended))
    if not found:
        raise InputError(f"{path} holds only reduced copies; expected a page of full size.")
    return found


def _stored_area(picture):
    """Pixels that the strips or tiles of a page say they hold; a missing one would be read as 0."""
    extents = [tile[1] for tile in picture.tile]
    return sum((right - left) * (lower - upper) for left, upper, right, lower in extents)


def _negative(array):
    """What a deep page that stores white as 0 shows."""
    if array.dtype != np.uint16:
        raise ValueError(f"white is 0 in {array.dtype} numbers, whose black is not known")
    return np.uint16(65535) - array


def _page(picture):
    """Pixels of the current page, and whether some were transparent."""
    from PIL import Image, ImageOps

    deep = picture.mode in ("I", "F") or picture.mode.startswith("I;16")
    is_png = picture.format == "PNG"
    page = ImageOps.exif_transpose(picture)
    if deep:
        array = np.asarray(page)
        array = array.astype(np.uint16) if is_png and page.mode == "I" else array
        if not is_png and picture.format == "TIFF" and picture.tag_v2.get(_PHOTOMETRIC) == 0:
            return _negative(array), False
        clear = page.info.get("transparency") if is_png else None
        if clear is None or not (array == clear).any():
            return array, False
        return np.where(array == clear, np.uint16(65535), array), True
    if page.mode in ("1", "L") and "transparency" not in page.info:
        return np.asarray(page.convert("L")), False
    blended = False
    if page.has_transparency_data:
        page = page.convert("RGBA")
        blended = page.getextrema()[3][0] < 255
        if blended:
            page = Image.alpha_composite(Image.new("RGBA", page.size, "white"), page)
    array = np.asarray(page.convert("RGB"))
    is_grey = (array[..., 0] == array[..., 1]).all() and (array[..., 0] == array[..., 2]).all()
    return (array[..., 0] if is_grey else array), blended
