"""npz and npy files: which array is the images, which the labels, and what is neither.

Headers are read first; only the arrays that are used are then taken into memory.
"""

from __future__ import annotations

import dataclasses
import math
import re
import zipfile
from pathlib import Path

import numpy as np

from ..validation import InputError
from .labels import checked_labels, joined_labels
from .pixels import as_pictures, refuse_oversized
from .sets import Part, image_set

ARCHIVES = {".npz", ".npy"}
#: part of a data set -> words that name it
PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
_IMAGES = ("x", "images", "image", "imgs", "data", "pixels")
_LABELS = ("y", "labels", "label", "targets", "target", "finelabels")
_LEAST_SIDE, _MOST_ASPECT = 16, 4  # of pictures under names of their own


def _names():
    """Plain name -> (part or "", kind, rank)."""
    found = {}
    for kind, bases in (("images", _IMAGES), ("labels", _LABELS)):
        for rank, base in enumerate(bases):
            found[base] = ("", kind, rank)
            for part, words in PARTS.items():
                for word in words:
                    found[base + word] = found[word + base] = (part, kind, rank)
    for part, words in PARTS.items():
        found |= {word: (part, "images", len(_IMAGES)) for word in words}
    return found


_NAMES = _names()


# -- what is stored -------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Stored:
    """An array in a file, known by its header."""

    path: Path
    member: str | None
    shape: tuple
    dtype: np.dtype

    def read(self):
        """The array."""
        return _opened(self.path, lambda: self._content())

    def _content(self):
        if self.member is None:
            return np.load(self.path, allow_pickle=False)
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def __len__(self):
        return self.shape[0] if self.shape else 0

    def __str__(self):
        return f"{self.shape} {self.dtype}"


def stored_arrays(path):
    """The arrays of an npz or npy file by name, from their headers."""

    def read():
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as file:
                return {path.stem: _header(file, path.stat().st_size, path, None)}
        found = {}
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.removesuffix(".npy") in found:
                    raise ValueError(f"{info.filename} is in it twice")
                if info.filename.endswith(".npy"):
                    with archive.open(info) as file:
                        stored = _header(file, info.file_size, path, info.filename)
                    found[info.filename.removesuffix(".npy")] = stored
        return found

    return _opened(path, read)


def _opened(path, read):
    try:
        return read()
    except InputError:
        raise
    except Exception as error:  # a damaged zip makes zipfile raise nearly anything
        raise InputError(
            f"{path} cannot be read ({error}); expected a NumPy archive without objects."
        )


def _header(file, size, path, member):
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    n_bytes = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or (not dtype.hasobject and file.tell() + n_bytes != size):
        raise ValueError(f"{member or 'it'} is not as long as its header says, shape {shape}")
    return Stored(path, member, shape, dtype)


# -- which is which -------------------------------------------------------------------------
def read_archives(path, files, settings):
    """The ``ImageSet`` of an npz or npy file, or of several in a folder.

    npy files of a folder are arrays under their files' names; npz files are batches of one data
    set, for training unless their names say test or val.
    """
    batches = [file for file in files if file.suffix.lower() == ".npz"]
    if len(batches) > 1:
        return _batches(path, batches, settings)
    if len(files) == 1 and not batches and settings.images is None:
        (stored,) = stored_arrays(files[0]).values()
        return _one_set(path, {"x": stored}, settings)
    arrays = {}
    for file in files:
        for name, stored in stored_arrays(file).items():
            if name in arrays:
                raise InputError(
                    f"{path} has two arrays called {name}, in {arrays[name].path.name} and "
                    f"{file.name}; expected one of each name. Move or rename one of them."
                )
            arrays[name] = stored
    return _one_set(path, arrays, settings)


def _one_set(path, arrays, settings):
    chosen = _chosen(path, arrays, settings)
    if not chosen:
        pictures = list(_own_pictures(path, arrays).values())
        _refuse_oversized(path, pictures)
        return image_set(path.name, [Part([stored.read() for stored in pictures])], settings)
    _refuse_oversized(path, _used(arrays, chosen))
    parts = [_part(path, arrays, names, settings) for names in chosen]
    return image_set(path.name, parts, settings, _notes(arrays, chosen))


def _batches(path, files, settings):
    """Several npz files as one set; those for validation only where none is for the test."""
    words = {word: part for part, known in PARTS.items() for word in known}
    batches, stored, notes = {}, [], []
    for file in files:
        named = [words[w] for w in re.split(r"[\W_]+", file.stem.lower()) if w in words]
        arrays = stored_arrays(file)
        chosen = _chosen(file, arrays, settings)
        if len(chosen) != 1:
            raise InputError(
                f"{file} is one of {len(files)} archives in its folder, but {_listing(arrays)} are "
                "not one array of images with labels; expected batches of one data set. Move what "
                "is none, or name its path."
            )
        batches.setdefault(named[0] if named else "train", []).append((file, arrays, chosen[0]))
        stored += _used(arrays, chosen)
        notes += [f"{file.name}: {said}" for said in _notes(arrays, chosen)]
    _refuse_oversized(path, stored)
    if "test" in batches and batches.pop("val", None):
        notes.append("the archives for validation are set aside")
    parts = [
        _joined([_part(*batch, settings) for batch in batches[part]], path)
        for part in PARTS
        if part in batches
    ]
    return image_set(path.name, parts, settings, notes)


def _joined(batches, path):
    shapes = set().union(*(batch.shapes for batch in batches))
    if len(shapes) > 1:
        raise InputError(f"{path}: the archives hold images of shapes {shapes}; expected one.")
    labels = [batch.labels for batch in batches]
    whole = not any(given is None for given in labels)
    if not whole and any(given is not None for given in labels):
        raise InputError(f"{path}: some archives have labels and some have none; expected all.")
    return Part(
        np.concatenate([batch.pictures for batch in batches]),
        joined_labels(labels, path) if whole else None,
    )


def _part(path, arrays, names, settings):
    images, labels = names
    pictures = as_pictures(arrays[images].read(), f"{path}, {images}", settings.image_shape)
    if labels is None:
        return Part(pictures)
    given = checked_labels(arrays[labels].read(), len(pictures), f"{path}, {labels}")
    return Part(pictures, given)


def _used(arrays, chosen):
    return [arrays[name] for names in chosen for name in names if name is not None]


def _refuse_oversized(path, stored):
    refuse_oversized([(math.prod(s.shape), s.dtype.itemsize) for s in stored], path)


# -- names ----------------------------------------------------------------------------------
def _chosen(path, arrays, settings):
    """Names of (images, labels or None), to train on and, if there are any, held out."""
    if settings.images is not None:
        images = _stated("images", settings.images, arrays, path)
        if settings.labels is not None:
            return [(images, _stated("labels", settings.labels, arrays, path))]
        part = _NAMES.get(_plain(images), ("",))[0]
        labels = _named(path, arrays, "labels")
        there = [labels[p] for p in (part, "", "train") if p in labels]
        fitting = [name for name in there if len(arrays[images]) == len(arrays[name])]
        return [(images, next(iter(fitting), None))]
    images, labels = (_named(path, arrays, kind) for kind in ("images", "labels"))
    train = next((part for part in ("train", "", "test", "val") if part in images), None)
    if train is None:
        return _unnamed(path, arrays, settings)
    held = next((part for part in ("test", "val") if part in images and part != train), None)
    own = next((labels[part] for part in (train, "") if part in labels), labels.get("train"))
    if settings.labels is None:
        return [(images[train], own)] + [(images[p], labels.get(p)) for p in (held,) if p]
    own = _stated("labels", settings.labels, arrays, path)
    if held is not None:
        raise InputError(
            f"labels is {settings.labels!r}, but {path} has images to train on and to hold out, "
            f"{images[train]!r} and {images[held]!r}; expected images=KEY beside labels=KEY."
        )
    return [(images[train], own)]


def _unnamed(path, arrays, settings):
    """Arrays that ``numpy.savez`` numbered: images, or images and whole numbers, one for each."""
    if sorted(arrays) == ["arr_0"]:
        return [("arr_0", settings.labels)]
    if sorted(arrays) == ["arr_0", "arr_1"] and settings.labels is None:
        images, numbers = sorted(arrays, key=lambda name: -len(arrays[name].shape))
        column = arrays[numbers].shape in ((len(arrays[images]),), (len(arrays[images]), 1))
        if column and arrays[numbers].dtype.kind in "ui" and len(arrays[images].shape) in (3, 4):
            return [(images, numbers)]
    return []


def _plain(name):
    return re.sub(r"[\W_]", "", name.lower())


def _named(path, arrays, kind):
    """Part -> name of its array of that kind."""
    found = {}
    for name in arrays:
        part, known, rank = _NAMES.get(_plain(name), ("", None, 0))
        if known == kind:
            found.setdefault(part, []).append((rank, name))
    for names in found.values():
        names.sort()
        if len(names) > 1 and names[0][0] == names[1][0]:
            both = f"{names[0][1]!r} and {names[1][1]!r}"
            raise InputError(
                f"{path}: {both} both look like the {kind}; expected one. Name it: {kind}=KEY "
                f"(--{kind} KEY)."
            )
    return {part: names[0][1] for part, names in found.items()}


def _stated(argument, key, arrays, path):
    """The array that was asked for, in any case of letters."""
    same = [name for name in arrays if name == key] or [
        name for name in arrays if name.lower() == key.lower()
    ]
    if len(same) != 1:
        raise InputError(
            f"{argument} is {key!r}, but {path} holds {_listing(arrays)}; expected one of these."
        )
    return same[0]


def _own_pictures(path, arrays):
    """Arrays under names of their own, if every one can only be a picture."""

    def fits(stored):
        sides = stored.shape[:2]
        flat = len(stored.shape) == 2 or (len(stored.shape) == 3 and stored.shape[2] == 3)
        proportioned = (
            flat and min(sides) >= _LEAST_SIDE and max(sides) <= _MOST_ASPECT * min(sides)
        )
        return proportioned and stored.dtype in (np.uint8, np.uint16)

    if len(arrays) > 1 and all(fits(stored) for stored in arrays.values()):
        return arrays
    weights = any(re.search("weight|bias|kernel", name.lower()) for name in arrays)
    raise InputError(
        f"{path} holds {_listing(arrays)}; expected images under 'x', 'images' or 'x_train', with "
        "labels under 'y', 'labels' or 'y_train'. "
        + ("These look like the weights of a network. " if weights else "")
        + "Name the arrays: images=KEY, labels=KEY (--images KEY --labels KEY)."
    )


def _listing(arrays, most=8):
    named = [f"{name} {stored}" for name, stored in arrays.items()]
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return (", ".join(named[:most]) + more) or "no array"


def _notes(arrays, chosen):
    """What is left unread, and what of it could be labels; how rows were read."""
    used = {name for names in chosen for name in names}
    left = {name: stored for name, stored in arrays.items() if name not in used}
    notes = [f"left unread: {_listing(left)}"] if left else []
    images, labels = chosen[0]
    if labels is None:
        notes += [
            f"{name} has one entry per image: labels={name!r} (--labels {name}) reads it"
            for name, stored in left.items()
            if stored.shape in ((len(arrays[images]),), (len(arrays[images]), 1))
            and stored.dtype.kind in "uibUS"
        ]
    return notes
