"""IDX files, the format of MNIST: one array, big-endian, gzip-compressed or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ..validation import InputError
from .pixels import refuse_oversized

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PIECE = 2**20


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
        If the header is malformed or claims too much, or the file is longer or shorter than the
        header says.

    References
    ----------
    LeCun, Cortes & Burges, The MNIST database of handwritten digits (file format).
    """
    path = Path(path)
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            shape, dtype = _header(file, path)
            n_bytes = math.prod(shape) * dtype.itemsize
            body = bytearray()  # by pieces: no memory is taken for what is only claimed
            while len(body) <= n_bytes and (piece := file.read(_PIECE)):
                body += piece
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read ({error}); expected an IDX file, gzip or not. Fetch it again."
        )
    if len(body) != n_bytes:
        raise InputError(
            f"{path} is {'longer' if len(body) > n_bytes else 'shorter'} than its header says "
            f"({n_bytes:,} bytes for shape {shape}); expected exactly that many. Fetch it again."
        )
    return np.frombuffer(body, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _header(file, path):
    """Shape and type of what follows."""
    start = file.read(4)
    if start[:1] == b"\x80":
        raise InputError(
            f"{path} is a pickle, whose loading could run code; expected an IDX file. Load it "
            "yourself where you trust it, and keep its arrays with numpy.savez(...)."
        )
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or start[3] == 0:
        raise InputError(
            f"{path}: the first bytes are {start!r}; expected an IDX header (two zeros, "
            "a type code, a number of dimensions). Is this an IDX file?"
        )
    dims = file.read(4 * start[3])
    if len(dims) < 4 * start[3]:
        raise InputError(f"{path}: the IDX header is cut off; expected {start[3]} dimensions.")
    shape = struct.unpack(f">{start[3]}I", dims)
    dtype = np.dtype(_TYPES[start[2]])
    refuse_oversized([(math.prod(shape), dtype.itemsize)], path)
    return shape, dtype


def idx_files(files, folder):
    """The IDX files among the files of a folder by role: ``{("train", "images"): path, ...}``.

    Raises
    ------
    InputError
        If two different files have the same role.
    """
    found = {}
    for file in files:
        name = file.name.lower()
        if "ubyte" not in name and "idx" not in name:
            continue
        part = "test" if "t10k" in name or "test" in name else "train"
        kind = "labels" if "label" in name or "idx1" in name else "images"
        other = found.setdefault((part, kind), file)
        if file.name not in (other.name, f"{other.name}.gz"):  # unpacked and kept is one file
            raise InputError(
                f"{folder}: {other.name} and {file.name} both look like the {part} {kind}; "
                "expected one file for each. Keep one set in a folder of its own."
            )
    return found
