"""Names, arrays and a manifest in one checksummed file that is written whole or not at all.

The file is a zip of uncompressed ``.npy`` members behind a JSON manifest; its last bytes are the
SHA-256 of all bytes before them. Reading runs no code, follows no path that the file states and
allocates no more than the file holds. Knows no class of the package: what the manifest's ``model``
means is the caller's business.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import re
import secrets
import stat
import time
import zipfile
from pathlib import Path

import numpy as np

from .validation import InputError, InputTypeError, ModelFileError

VERSION = 1
MANIFEST = "manifest.json"
#: what a manifest may measure: JSON takes up to thirty times its bytes in memory
LARGEST_MANIFEST = 2**21
#: an unfinished file of a save that was killed goes after this many seconds
ABANDONED = 3600
_SEAL = b"sparsecnn model; SHA-256 of the bytes before: "
_NAME = re.compile(r"\w+(\.\w+)*")
_KINDS = "fiub"  # floating, integer and boolean arrays; never objects


# -- writing --------------------------------------------------------------------------------
def write(path, content, arrays):
    """Write a file whole, or leave what was there.

    Parameters
    ----------
    path : str or path
    content : JSON-able
        Handed back by ``read``.
    arrays : dict of str to array
        Of real numbers; names are words joined by dots.

    Raises
    ------
    ModelFileError
        If the file cannot be written; a file that was at ``path`` is unchanged.
    """
    said = _as_path(path)
    size = sum(array.nbytes for array in arrays.values())
    part = Path(os.path.realpath(said)).with_name(f".sparsecnn-{secrets.token_hex(8)}.part")
    try:
        target = _target(said)
        _remove_abandoned(target.parent)
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | _BINARY, 0o666)
        with os.fdopen(descriptor, "w+b") as handle:
            _pack(handle, content, arrays, said)
            _seal(handle)
            handle.flush()
            os.fsync(descriptor)
        if target.exists():
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(part, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise ModelFileError(
            f"{said} cannot be written ({error.strerror or error}); the model needs {size:,} "
            "bytes, and what was there before is unchanged. Make room, or choose another folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _pack(handle, content, arrays, said):
    """The zip: the manifest, then every array, with nothing in it that depends on the day."""
    members = {}
    entries = {}
    for name, array in arrays.items():
        data = _as_npy(array)
        members[f"{name}.npy"] = data
        entries[name] = {**_signature(array), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {"format": "sparsecnn", "version": VERSION, "model": content, "arrays": entries}
    text = json.dumps(manifest, indent=1, allow_nan=False).encode()
    if len(text) > LARGEST_MANIFEST:
        raise ModelFileError(
            f"{said} would need a manifest of {len(text):,} bytes; expected at most "
            f"{LARGEST_MANIFEST:,}. Save the parts of the model in files of their own."
        )
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _SEAL + b"0" * 64
        for name, data in {MANIFEST: text, **members}.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data)


def _as_npy(array):
    """The bytes of a ``.npy`` file, little-endian, in the array's own order of axes."""
    stream = io.BytesIO()
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    np.lib.format.write_array(stream, little, version=(1, 0), allow_pickle=False)
    return stream.getbuffer()


def _signature(array):
    return {"dtype": array.dtype.newbyteorder("<").str, "shape": list(array.shape)}


def _seal(handle):
    """Put the checksum of all bytes before it into the place kept for it at the end."""
    end = handle.seek(0, os.SEEK_END) - 64
    digest = _digest(handle, end)
    handle.seek(end)
    handle.write(digest)


def _digest(handle, end):
    """SHA-256 of the first ``end`` bytes, in hexadecimal."""
    digest, left = hashlib.sha256(), end
    handle.seek(0)
    while left and (block := handle.read(min(left, 2**20))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest().encode()


_BINARY = getattr(os, "O_BINARY", 0)


def _target(said):
    """The file that is replaced: where links lead; nothing but a writable file, or none yet."""
    target = Path(os.path.realpath(said))
    if target.exists() and not (target.is_file() and target.stat().st_mode & 0o222):
        wrong = "read-only" if target.is_file() else "a folder, a device or a pipe"
        raise ModelFileError(
            f"{said} cannot be written: it is {wrong}; expected a file that may be replaced, or "
            "none yet. Choose another name."
        )
    return target


def _remove_abandoned(folder):
    """Clear what a save that was killed left behind."""
    for part in folder.glob(".sparsecnn-*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()


def _sync_folder(folder):
    """Make the new name survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -- reading --------------------------------------------------------------------------------
def read(path):
    """Read a file back, or say what is wrong with it.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    content
        As given to ``write``.
    arrays : dict of str to array

    Raises
    ------
    ModelFileError
        For a file that is missing, damaged, hostile, of a newer version, or none of this kind.
    """
    said = _as_path(path)
    try:
        if not stat.S_ISREG(os.stat(said).st_mode):  # before opening: a pipe would wait for ever
            raise OSError("no regular file")
        handle = open(said, "rb")  # noqa: SIM115 - closed below, where its own errors differ
    except OSError as error:
        raise ModelFileError(
            f"{said} cannot be opened ({error.strerror or error}); expected a file written by "
            "sparsecnn.save. Check the path."
        ) from error
    with handle:
        size = _check_seal(handle, said)
        try:
            with zipfile.ZipFile(handle) as archive:
                return _unpack(archive, size, said)
        except ModelFileError:
            raise
        except Exception as error:  # a hostile zip makes zipfile raise nearly anything
            raise _refusal(said, f"it cannot be read ({type(error).__name__}: {error})")


def _refusal(said, what):
    return ModelFileError(
        f"{said} is not loaded: {what}; expected a file as sparsecnn.save writes it. Take another "
        "copy, or save the model again."
    )


def _check_seal(handle, said):
    """Refuse a file whose last bytes are not the checksum of the others; return its size."""
    size = handle.seek(0, os.SEEK_END)
    tail = len(_SEAL) + 64
    handle.seek(0)
    start = handle.read(4)
    handle.seek(max(size - tail, 0))
    end = handle.read()
    if start != b"PK\x03\x04":
        raise _refusal(said, "it does not begin like a model file")
    if not end.startswith(_SEAL):
        raise _refusal(said, "its checksum is missing, so it was cut off or is another kind of zip")
    if end[-64:] != _digest(handle, size - 64):
        raise _refusal(said, "its checksum is wrong, so it was damaged or changed")
    return size


def _unpack(archive, size, said):
    infos = archive.infolist()
    stored = [i.compress_type == zipfile.ZIP_STORED and not i.flag_bits & 1 for i in infos]
    if not all(stored) or sum(max(i.file_size, i.compress_size) for i in infos) > size:
        raise _refusal(said, "its members are compressed, encrypted, or claim more than it holds")
    if not infos or infos[0].filename != MANIFEST or infos[0].file_size > LARGEST_MANIFEST:
        raise _refusal(said, f"it does not begin with a {MANIFEST} of bounded size")
    manifest = json.loads(archive.read(infos[0]))
    if not isinstance(manifest, dict) or manifest.get("format") != "sparsecnn":
        raise _refusal(said, "its manifest is none of sparsecnn")
    if manifest.get("version") != VERSION:
        raise ModelFileError(
            f"{said} has format version {manifest.get('version')!r}; expected version {VERSION}. "
            "Install the version of sparsecnn that wrote it."
        )
    entries = manifest["arrays"]
    listed = [MANIFEST, *(f"{name}.npy" for name in entries)]
    if [i.filename for i in infos] != listed or not all(map(_NAME.fullmatch, entries)):
        raise _refusal(said, "its members are not those that its manifest lists")
    arrays = {
        name: _array(archive.read(info), entry, said, name)
        for info, (name, entry) in zip(infos[1:], entries.items(), strict=True)
    }
    return manifest["model"], arrays


def _array(data, entry, said, name):
    """One array from the bytes of its ``.npy`` member, checked before anything is allocated."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise _refusal(said, f"array {name} has another .npy version than 1.0")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    if dtype.kind not in _KINDS or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise _refusal(said, f"array {name} claims dtype {dtype} and shape {shape}, and is not it")
    said_entry = {"dtype": dtype.str, "shape": list(shape)}
    if entry != {**said_entry, "sha256": hashlib.sha256(data).hexdigest()}:
        raise _refusal(said, f"array {name} is not the one that the manifest describes")
    flat = np.frombuffer(data, dtype, offset=start).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if by_columns else "C")


def _as_path(path):
    """The path as text, as it appears in messages."""
    if not isinstance(path, str | os.PathLike):
        raise InputTypeError(f"path is {path!r}; expected the name of a file, such as 'model.zip'.")
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise InputError(f"path is {text!r}; expected the name of a file, such as 'model.zip'.")
    return text
