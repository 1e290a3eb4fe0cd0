"""What a pixel is: one rule for its scale, one for the layout of an array, one cap on memory.

**The rule.** All pixels of a data set, training and test together, are divided by one number. It
is a full scale, 1, 255, 4095 or 65535 (bits, bytes, 12 and 16 bits; fractions know only the 1), if
the largest pixel takes at least a quarter of it, and that largest pixel otherwise.
"""

from __future__ import annotations

import math

import numpy as np

from ..validation import InputError

#: Refuse to read more than this, what is stored and its float32 copy together (4 GiB).
MAX_BYTES = 2**32
FULL_SCALES = (1, 255, 4095, 65535)
_CHANNELS = (1, 3, 4)
_LARGE = 64  # side from which three grey images are rather the colours of one
_LAYOUTS = "(n, height, width), (n, channels, height, width) or (n, height, width, channels)"


def refuse_oversized(sizes, where):
    """Refuse what headers say is too large, (count, itemsize) each, before memory is taken."""
    n_bytes = sum(count * (itemsize + 4) for count, itemsize in sizes)
    if n_bytes > MAX_BYTES:
        size = f"{n_bytes / 2**30:,.1f} GiB" if n_bytes < 2**80 else "more than 2**80 bytes"
        raise InputError(
            f"{where} claims {size} with the float32 copy; expected at most "
            f"{MAX_BYTES / 2**30:g} GiB. Store a part of it."
        )


def checked_pixels(array, where):
    """The array, if its type can be pixels and every one is finite."""
    if array.dtype.kind not in "uifb" or array.size == 0:
        raise InputError(
            f"{where}: an array of shape {array.shape} and type {array.dtype} is not a stack of "
            f"images; expected real numbers, {_LAYOUTS}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"{where} contains NaN or infinity; expected finite pixels. Fill them first, for "
            "example with numpy.nan_to_num."
        )
    return array


# -- the scale ------------------------------------------------------------------------------
def common_scale(arrays, name):
    """The number that all pixels of a data set are divided by, and why, in words.

    Raises
    ------
    InputError
        If the arrays are of types whose ranges ask for different numbers.
    """
    kinds = {}
    for array in arrays:
        kinds.setdefault(_kind(array.dtype), []).append(array)
    found = {kind: _scale(members) for kind, members in kinds.items()}
    if len({scale for scale, _ in found.values()}) > 1:
        units = " and ".join(f"{kind} ({words})" for kind, (_, words) in found.items())
        raise InputError(
            f"{name} mixes {units}; expected pixels of one unit. Store them in one type, or state "
            "the number to divide all of them by: scale=X (--scale X)."
        )
    scale, words = next(iter(found.values()))
    return scale, f"{' and '.join(found)}, {words}, divided by {scale:g}"


def _kind(dtype):
    """Types whose numbers share a unit."""
    named = {np.dtype(np.uint8): "bytes", np.dtype(np.uint16): "16-bit numbers"}
    return named.get(dtype.newbyteorder("="), "floats" if dtype.kind == "f" else "whole numbers")


def _scale(arrays):
    low = float(min(array.min() for array in arrays))
    high = float(max(array.max() for array in arrays))
    largest, words = max(-low, high), f"{low:g} to {high:g}"
    whole = low >= 0 and largest > 1 and all(_is_whole(array) for array in arrays)
    for full in FULL_SCALES if whole else FULL_SCALES[:1]:
        if full / 4 <= largest <= full:
            return full, words
    return largest or 1, words


def _is_whole(array):
    return array.dtype.kind != "f" or bool((array == np.rint(array)).all())


def divided(array, scale):
    """float32 pixels in units of ``scale``."""
    if scale == 1:
        return array.astype(np.float32)
    work = np.result_type(array.dtype, np.float32)
    return np.divide(array, work.type(scale), dtype=work).astype(np.float32, copy=False)


# -- the layout -----------------------------------------------------------------------------
def as_pictures(array, where, image_shape=None):
    """An array as pictures ``(n, height, width)`` or ``(n, height, width, channels)``.

    Parameters
    ----------
    array : array
        Such a stack, with channels first or last; rows ``(n, features)`` of ``image_shape``, or of
        square images with one or three channels; or one colour picture ``(height, width, 3)``.
    where : str
        Its place, for messages.
    image_shape : None, (height, width) or (channels, height, width)
        Of a row.

    Returns
    -------
    array
        A view.

    Raises
    ------
    InputError
        If it is no stack of images.
    """
    checked_pixels(array, where)
    if array.ndim == 2 or image_shape is not None:
        return _from_rows(array, where, image_shape)
    if array.ndim == 3 and array.shape[2] in _CHANNELS and array.shape[1] > 4:
        return _one_picture(array, where)
    if array.ndim == 3 and len(array) == 3 and min(array.shape[1:]) >= _LARGE:
        raise InputError(
            f"{where}: an array of shape {array.shape} is one picture in three colours or three "
            "grey ones; expected a stack (n, channels, height, width). Store x[None] or x[:, None]."
        )
    if array.ndim not in (3, 4):
        raise InputError(
            f"{where}: an array of shape {array.shape} is not a stack of images; expected "
            f"{_LAYOUTS}, or rows (n, features)."
        )
    return _channels_last(array)


def _channels_last(array):
    if array.ndim == 3:
        return array
    first, last = array.shape[1], array.shape[3]
    if first in _CHANNELS or (last not in _CHANNELS and first <= last):
        return _from_channels_first(array)
    return array[..., 0] if last == 1 else array


def _from_channels_first(array):
    return array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)


def _one_picture(array, where):
    """``(height, width, channels)``: never as many pictures of that little width."""
    if array.shape[2] == 4:
        raise InputError(
            f"{where}: an array of shape {array.shape} looks like one picture with transparency; "
            f"expected {_LAYOUTS}. Keep it as a PNG file, or blend it first."
        )
    return array[None, ..., 0] if array.shape[2] == 1 else array[None]


def _from_rows(array, where, image_shape):
    n_features = math.prod(array.shape[1:])
    if image_shape is not None:
        shape = tuple(image_shape)
        if math.prod(shape) != n_features or array.shape[1:] not in ((n_features,), shape):
            raise InputError(
                f"image_shape is {shape}, but {where} has samples of shape {array.shape[1:]}; "
                "expected rows of as many numbers. Correct image_shape, or leave it away."
            )
        return _from_channels_first(array.reshape(len(array), *(1,) * (3 - len(shape)), *shape))
    for channels in (1, 3):
        side = math.isqrt(n_features // channels)
        if side >= 4 and channels * side**2 == n_features and len(array) != n_features:
            return _from_channels_first(array.reshape(len(array), channels, side, side))
    raise InputError(
        f"{where}: rows of {n_features} numbers, shape {array.shape}, are not read as images; "
        f"expected {_LAYOUTS}, or rows of square images.{_hint(array, n_features)}"
    )


def _hint(array, width):
    def square(n):
        return n >= 16 and math.isqrt(n) ** 2 == n

    if len(array) == width:
        return (
            " It may be one picture: store it as a stack of one, x[None]; for rows state "
            "image_shape=(height, width) (--image-shape H,W)."
        )
    bits = next((8 * width - unused for unused in range(8) if square(8 * width - unused)), 0)
    if array.dtype == np.uint8 and bits:
        return f" They look like {bits} packed bits: numpy.unpackbits(x, axis=1)[:, :{bits}]."
    if square(width - 1):
        return " One column seems to be the label: store it as an array of its own, y."
    return " State image_shape=(height, width) (--image-shape H,W)."


# -- tiles ----------------------------------------------------------------------------------
def grey(picture):
    """Luma of a picture (ITU-R BT.601), or of a stack of them."""
    if picture.ndim == 2:
        return picture
    if picture.shape[-1] == 1:
        return picture[..., 0]
    if picture.shape[-1] != 3:
        raise InputError(
            f"pictures of {picture.shape[-1]} channels are too large to be one image each; "
            "expected one or three channels to cut into tiles. Choose some, such as x[..., :3]."
        )
    return picture @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def tiles_of(picture, tile):
    """The ``tile x tile`` squares of a grey picture, shape (n, 1, tile, tile)."""
    rows, columns = picture.shape[0] // tile, picture.shape[1] // tile
    cut = picture[: rows * tile, : columns * tile].reshape(rows, tile, columns, tile)
    return cut.swapaxes(1, 2).reshape(-1, 1, tile, tile)
