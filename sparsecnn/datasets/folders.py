"""Folders: IDX files, arrays, or pictures with classes and parts as their sub-folders say.

What is hidden (``.ipynb_checkpoints``, ``._`` files, ``__MACOSX``) is no data.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from ..validation import InputError
from .arrays import ARCHIVES, PARTS, read_archives
from .idx import idx_files, read_idx
from .pictures import PICTURES, is_picture, read_pictures
from .pixels import as_pictures
from .sets import Part, image_set

#: ending -> what it is, and how to come from there to something that is read
_OTHERS = {
    ".mat": ("a MATLAB file", "Load it with scipy.io.loadmat"),
    ".csv": ("a text table", "Load it with numpy.loadtxt(..., delimiter=',')"),
    ".tsv": ("a text table", "Load it with numpy.loadtxt"),
    ".h5": ("an HDF5 file", "Load it with h5py"),
    ".hdf5": ("an HDF5 file", "Load it with h5py"),
    ".parquet": ("a Parquet table", "Load it with pandas.read_parquet"),
    ".pkl": ("a pickle, whose loading could run code", "Load it where you trust it"),
    ".pickle": ("a pickle, whose loading could run code", "Load it where you trust it"),
    ".pt": ("a PyTorch file", "Load it with torch.load"),
    ".pth": ("a PyTorch file", "Load it with torch.load"),
    ".zip": ("an archive", "Unpack it"),
    ".tar": ("an archive", "Unpack it"),
    ".tgz": ("an archive", "Unpack it"),
    ".7z": ("an archive", "Unpack it"),
}


def refuse_other_kind(path):
    """Refuse a file that is known to be no image data, by name and with a way out."""
    kind = next((s.lower() for s in reversed(path.suffixes) if s.lower() in _OTHERS), None)
    if kind is not None:
        what, how = _OTHERS[kind]
        then = ""
        if what != "an archive":
            then = " and keep its arrays with numpy.savez('data.npz', x=images, y=labels)"
        raise InputError(
            f"{path} is {what}; expected pictures, IDX, npz or npy files. {how}{then}."
        )


def read_folder(path, settings):
    """The ``ImageSet`` of a folder."""
    files, folders = _listed(path)
    pictures = [file for file in files if is_picture(file)]
    archives = [file for file in files if file.suffix.lower() in ARCHIVES]
    idx = idx_files([file for file in files if file not in pictures + archives], path)
    if any(kind == "images" for _, kind in idx):
        return _idx_set(path, idx, settings)
    split = _split_folders(folders)
    if split:
        return _given_parts(path, split, folders, settings)
    classes = [folder for folder in folders if _below(folder)]
    if not pictures and not archives and len(classes) <= 1 and len(folders) == 1:
        return dataclasses.replace(read_folder(folders[0], settings), name=path.name)
    if pictures or classes:
        _refuse_names(path, settings)
        part, notes = _read_part(path)
        others = [file.name for file in archives] + [
            f"{folder.name}/" for folder in folders if folder not in classes
        ]
        return image_set(path.name, [part], settings, notes + _left_unread(others))
    if archives:
        found = read_archives(path, archives, settings)
        notes = _left_unread([f"{folder.name}/" for folder in folders])
        return dataclasses.replace(found, notes=(*found.notes, *notes))
    for file in files:
        refuse_other_kind(file)
    raise InputError(
        f"{path} holds no images; expected IDX files, pictures ({', '.join(sorted(PICTURES))}), "
        "npz or npy files, or sub-folders of pictures, one per class."
    )


def _left_unread(names):
    """The note, if there is any, of what lies beside the images."""
    return [f"left unread: {', '.join(names[:8])}{', ...' * (len(names) > 8)}"] if names else []


def _listed(path):
    """Files and folders that are not hidden, in order, without links back to where we are."""
    entries = [p for p in sorted(path.iterdir()) if not _is_hidden(p.name)]
    here = path.resolve()
    above = {here, *here.parents}
    folders = [p for p in entries if p.is_dir() and p.resolve() not in above]
    return [p for p in entries if p.is_file()], folders


def _is_hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _below(folder):
    """The pictures of a folder and of all folders in it."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        found += [Path(place, name) for name in sorted(files) if not _is_hidden(name)]
    return [file for file in found if is_picture(file)]


# -- IDX ------------------------------------------------------------------------------------
def _idx_set(path, idx, settings):
    parts = []
    for part in ("train", "test"):
        if (part, "images") in idx:
            images = as_pictures(read_idx(idx[part, "images"]), path, settings.image_shape)
            labels = idx.get((part, "labels"))
            parts.append(Part(images, None if labels is None else read_idx(labels)))
    return image_set(path.name, parts, settings)


# -- pictures -------------------------------------------------------------------------------
def _refuse_names(path, settings):
    for key in ("images", "labels", "image_shape"):
        if getattr(settings, key) is not None:
            raise InputError(
                f"{key} is {getattr(settings, key)!r}, but {path} holds pictures, no arrays to "
                "name; expected npz or npy files. Leave it away, or name the file."
            )


def _split_folders(folders):
    """The folders of a split by part, {} if there is none (a class may be called "train")."""
    roles = {word: part for part, words in PARTS.items() for word in words}
    found = {}
    for folder in folders:
        if folder.name.lower() in roles and _below(folder):
            found.setdefault(roles[folder.name.lower()], folder)
    return found if "train" in found and len(found) > 1 else {}


def _given_parts(path, split, folders, settings):
    _refuse_names(path, settings)
    held = "test" if "test" in split else "val"
    notes = [
        f"{folder.name}/ is set aside"
        for folder in folders
        if folder not in (split["train"], split[held]) and _below(folder)
    ]
    parts = []
    for name in ("train", held):
        part, said = _read_part(split[name])
        parts.append(part)
        notes += [f"{split[name].name}/: {words}" for words in said]
    return image_set(path.name, parts, settings, [f"{split[held].name}/ is held out", *notes])


def _read_part(path):
    """Pictures with their folders' names as labels, if some sub-folder holds any."""
    files, folders = _listed(path)
    files = [file for file in files if is_picture(file)]
    classes = {folder.name: below for folder in folders if (below := _below(folder))}
    if not classes:
        pictures, _, notes = read_pictures(files)
        return Part(pictures), notes
    named = [(file, name) for name, below in classes.items() for file in below]
    pictures, counts, notes = read_pictures([file for file, _ in named])
    if files:
        notes.append(f"left unread: {len(files)} pictures beside the class folders")
    return Part(pictures, np.repeat([name for _, name in named], counts)), notes
