"""What the reader makes of every kind of file: pixels, scale and labels, or a refusal by name.

A row of `READ` writes files into an empty folder and says which images, divided by which number,
with which labels must come back; a row of `REFUSED` says which words the error must hold.
"""

import collections
import dataclasses
import gzip
import io
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sparsecnn as sc
from sparsecnn import datasets
from sparsecnn.datasets.pixels import common_scale, divided

RNG = np.random.default_rng(7)
BYTES = RNG.integers(0, 256, (8, 6, 5)).astype(np.uint8)
BYTES[:2, 0, 1] = 255
COLOUR = RNG.integers(0, 256, (8, 6, 5, 3)).astype(np.uint8)
COLOUR[0, 0, 0] = 255
FLAT = RNG.integers(0, 256, (8, 784)).astype(np.uint8)
FLAT[0, 0] = 255
CLASSES = np.array([0, 1, 2, 0, 1, 2, 0, 1])


# -- writing --------------------------------------------------------------------------------
def save(place, pictures, ending="png", mode=None, **settings):
    """Picture files 0, 1, .. in a folder."""
    place.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        image = Image.fromarray(picture)
        (image.convert(mode) if mode else image).save(place / f"{i}.{ending}", **settings)
    return place


def pages(path, pictures, **settings):
    first, *more = (Image.fromarray(picture) for picture in pictures)
    first.save(path, save_all=True, append_images=more, **settings)
    return path


def npz(folder, name="a.npz", **arrays):
    with open(folder / name, "wb") as file:  # numpy would add an ending to A.NPZ
        np.savez(file, **arrays)
    return folder / name


def npy(folder, array, name="a.npy"):
    with open(folder / name, "wb") as file:
        np.save(file, array)
    return folder / name


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def text(path, content="1,2,3\n"):
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path.parent


def classes(place, pictures=BYTES, **settings):
    for i in range(2):
        save(place / "ab"[i], pictures[4 * i : 4 * i + 4], **settings)
    return place


def with_alpha(grey, alpha):
    return np.stack([grey] * 3 + [alpha], axis=-1)


def palette(place, pictures):
    """Grey pictures stored as colours of a palette."""
    place.mkdir(exist_ok=True)
    for i, picture in enumerate(pictures):
        image = Image.fromarray(picture).convert("P")
        image.putpalette([level for level in range(256) for _ in range(3)])
        image.putdata([int(v) for v in picture.ravel()])
        image.save(place / f"{i}.png")
    return place


def upside_down(place):
    """Turned by 180 degrees, and a tag that says so."""
    place.mkdir(exist_ok=True)
    for i, picture in enumerate(BYTES):
        exif = Image.Exif()
        exif[274] = 3
        Image.fromarray(np.ascontiguousarray(picture[::-1, ::-1])).save(
            place / f"{i}.png", exif=exif
        )
    return place


def pyramid(path):
    """Every page is followed by a smaller copy of it."""
    frames = []
    for picture in BYTES:
        frames += [Image.fromarray(picture), Image.fromarray(picture[::2, ::2])]
        frames[-1].encoderinfo = {"tiffinfo": {254: 1}}
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def parts(folder, *names):
    """Class folders below each part, two pictures a class."""
    for k, name in enumerate(names):
        for i in range(2):
            save(folder / name / "ab"[i], BYTES[4 * k + 2 * i : 4 * k + 2 * i + 2])
    return folder


def with_file(folder, write, *arguments):
    write(*arguments)
    return folder


# -- what must come back --------------------------------------------------------------------
@dataclasses.dataclass
class Read:
    write: object
    pixels: np.ndarray  # (n, h, w) or (n, h, w, c), as written
    scale: float = 255
    labels: object = None
    said: str = ""
    n_test: int | None = None
    settings: dict = dataclasses.field(default_factory=dict)


AB = ["a"] * 4 + ["b"] * 4
HALF = with_alpha(BYTES[0] * 0 + 100, np.where(BYTES[0] > 127, 255, 0).astype(np.uint8))
BLENDED = np.where(BYTES[0] > 127, 100, 255).astype(np.uint8)
DEEP = (BYTES.astype(np.uint16) << 8) + 255
COUNTS = BYTES.astype(np.int32) * 5  # up to 1,275: neither bytes nor 12 bits of them
SIXTEEN = RNG.integers(0, 17, (8, 6, 5)).astype(np.uint8)
SIXTEEN[0, 0, 0] = 16
BITS = (BYTES > 127).astype(np.uint8)
UNIT = (BYTES / 255).astype(np.float32)
PLANES = COLOUR.transpose(0, 3, 1, 2)
CIFAR = RNG.integers(0, 256, (8, 3072)).astype(np.uint8)
CIFAR[0, 0] = 255
CIFAR_PICTURES = CIFAR.reshape(8, 3, 32, 32).transpose(0, 2, 3, 1)
ONE_HOT = np.eye(3)[CLASSES]

READ = {
    # one scale for a data set, from its type and range
    "uint8 png": Read(lambda f: save(f, BYTES), BYTES),
    "uint8 tif": Read(lambda f: save(f, BYTES, "tif"), BYTES),
    "uint8 bmp": Read(lambda f: save(f, BYTES, "bmp"), BYTES),
    "pgm": Read(lambda f: save(f, BYTES, "pgm"), BYTES),
    "webp": Read(lambda f: save(f, COLOUR, "webp", lossless=True), COLOUR),
    "uint8 0 and 1": Read(lambda f: save(f, BITS, "tif"), BITS, 1),
    "uint8 0..16": Read(lambda f: npz(f, x=SIXTEEN), SIXTEEN, 16, said="0 to 16"),
    "floats 0..16": Read(lambda f: npz(f, x=SIXTEEN * 1.0), SIXTEEN, 16),
    "floats 0..255": Read(lambda f: npz(f, x=BYTES * 1.0), BYTES),
    "dark bytes": Read(lambda f: save(f, BYTES // 3), BYTES // 3),
    "bilevel": Read(lambda f: save(f, BITS * 255, mode="1"), BITS * 255),
    "bool": Read(lambda f: npz(f, x=BITS == 1), BITS, 1),
    "uint16 png": Read(lambda f: save(f, DEEP), DEEP, 65535),
    "uint16 tif": Read(lambda f: save(f, DEEP, "tif"), DEEP, 65535),
    "12 bits in uint16": Read(lambda f: save(f, DEEP // 16, "tif"), DEEP // 16, 4095),
    "int32 tif": Read(lambda f: save(f, COUNTS, "tif"), COUNTS, 4095),
    "int32 tif, one dark": Read(
        lambda f: save(f, [COUNTS[0] // 50, *COUNTS[1:]], "tif"),
        np.stack([COUNTS[0] // 50, *COUNTS[1:]]),
        4095,
    ),
    "int16 with negatives": Read(
        lambda f: npz(f, x=COUNTS.astype(np.int16) - 1275), COUNTS - 1275, 1275
    ),
    "float tif in [0, 1]": Read(lambda f: save(f, UNIT, "tif"), UNIT, 1),
    "float tif of a small unit": Read(
        lambda f: save(f, UNIT * np.float32(2**-20), "tif"), UNIT * 2.0**-20, 2.0**-20
    ),
    "float16": Read(lambda f: npz(f, x=UNIT.astype(np.float16)), UNIT.astype(np.float16), 1),
    "float64 of 1e200": Read(lambda f: npz(f, x=UNIT.astype(float) * 1e200), UNIT, 1e200),
    "big-endian": Read(lambda f: npy(f, DEEP.astype(">u2")), DEEP, 65535),
    "stated scale": Read(lambda f: save(f, BYTES), BYTES, 100.0, settings={"scale": 100}),
    "stated scale of mixed files": Read(
        lambda f: with_file(save(f, BYTES[:4]), save, f, UNIT[4:] * 255, "tif"),
        np.concatenate([BYTES[:4], UNIT[4:] * 255]),
        255.0,
        settings={"scale": 255},
    ),
    # pages, orientation, transparency, grey and colour
    "multi-page tif": Read(lambda f: pages(f / "a.tif", BYTES), BYTES, said="8 pages of 1 file"),
    "float multi-page tif": Read(lambda f: pages(f / "a.TIFF", UNIT), UNIT, 1),
    "pyramid": Read(lambda f: pyramid(f / "a.tif"), BYTES),
    "animated gif": Read(lambda f: pages(f / "a.gif", BYTES), BYTES, said="8 pages of 1 file"),
    "animated png": Read(lambda f: pages(f / "a.png", BYTES), BYTES),
    "two files of pages": Read(
        lambda f: [pages(f / "a.tif", BYTES[:5]), pages(f / "b.tif", BYTES[5:])] and f, BYTES
    ),
    "orientation": Read(lambda f: upside_down(f), BYTES),
    "grey with alpha": Read(
        lambda f: save(f, [HALF, *(with_alpha(b, b * 0 + 255) for b in BYTES[1:])], mode="LA"),
        np.stack([BLENDED, *BYTES[1:]]),
        said="blended over white (1 of 8 pictures)",
    ),
    "colour with alpha": Read(
        lambda f: save(
            f, [np.dstack([c, b * 0 + 255]) for c, b in zip(COLOUR, BYTES, strict=True)]
        ),
        COLOUR,
    ),
    "hidden colours": Read(
        lambda f: save(f, [HALF, *(with_alpha(b, b * 0 + 255) for b in BYTES[1:])]),
        np.stack([BLENDED, *BYTES[1:]]),
    ),
    "palette of greys": Read(lambda f: palette(f, BYTES), BYTES),
    "grey stored as colour": Read(lambda f: save(f, BYTES, mode="RGB"), BYTES),
    "colour": Read(lambda f: save(f, COLOUR), COLOUR),
    "one grey file among colours": Read(
        lambda f: with_file(save(f, COLOUR[:7]), save, f, [BYTES[7]], "bmp"),
        np.concatenate([COLOUR[:7], np.stack([BYTES[7]] * 3, axis=-1)[None]]),
    ),
    # folders
    "class folders": Read(lambda f: classes(f), BYTES, labels=AB),
    "upper-case endings": Read(lambda f: classes(f, ending="PNG"), BYTES, labels=AB),
    "checkpoints": Read(
        lambda f: with_file(classes(f), save, f / ".ipynb_checkpoints", BYTES), BYTES, labels=AB
    ),
    "checkpoints in a class": Read(
        lambda f: with_file(classes(f), save, f / "a" / ".ipynb_checkpoints", BYTES),
        BYTES,
        labels=AB,
    ),
    "resource forks": Read(
        lambda f: with_file(classes(f), text, f / "a" / "._0.png"), BYTES, labels=AB
    ),
    "macosx": Read(
        lambda f: with_file(classes(f), text, f / "__MACOSX" / "0.png"), BYTES, labels=AB
    ),
    "folders in a class": Read(
        lambda f: (
            [
                save(f / "a" / "day", BYTES[:2]),
                save(f / "a" / "night", BYTES[2:4]),
                save(f / "b", BYTES[4:]),
            ]
            and f
        ),
        BYTES,
        labels=AB,
    ),
    "pages in classes": Read(
        lambda f: (
            [save(f / "b", BYTES[4:]), (f / "a").mkdir(), pages(f / "a" / "a.tif", BYTES[:4])] and f
        ),
        BYTES,
        labels=AB,
    ),
    "pictures beside classes": Read(
        lambda f: with_file(classes(f), save, f, BYTES[:1]),
        BYTES,
        labels=AB,
        said="left unread: 1 pictures beside the class folders",
    ),
    "train and test": Read(
        lambda f: parts(f, "train", "test"), BYTES, labels=list("aabbaabb"), n_test=4
    ),
    "Training and val": Read(
        lambda f: parts(f, "Training", "val"), BYTES, labels=list("aabbaabb"), n_test=4
    ),
    "train, test and val": Read(
        lambda f: with_file(parts(f, "train", "test"), save, f / "val" / "a", BYTES),
        BYTES,
        labels=list("aabbaabb"),
        n_test=4,
        said="val/ is set aside",
    ),
    "train and test without classes": Read(
        lambda f: [save(f / "train", BYTES[:6]), save(f / "test", BYTES[6:])] and f, BYTES, n_test=2
    ),
    "an npz beside pictures": Read(
        lambda f: with_file(save(f, BYTES), npz, f), BYTES, said="left unread: a.npz"
    ),
    "a class called train": Read(
        lambda f: [save(f / "car", BYTES[:4]), save(f / "train", BYTES[4:])] and f,
        BYTES,
        labels=AB,
    ),
    "a folder around all": Read(lambda f: classes(f / "data") and f, BYTES, labels=AB),
    "an npz in a folder, named": Read(
        lambda f: with_file(f, (f / "data").mkdir) and npz(f / "data", pics=BYTES) and f,
        BYTES,
        settings={"images": "pics"},
    ),
    # arrays
    "x and y": Read(lambda f: npz(f, x=BYTES, y=CLASSES), BYTES, labels=CLASSES),
    "X and labels, .NPZ": Read(
        lambda f: npz(f, "A.NPZ", X=BYTES, Labels=CLASSES), BYTES, labels=CLASSES
    ),
    ".NPY": Read(lambda f: npy(f, BYTES, "A.NPY"), BYTES),
    "float labels": Read(lambda f: npz(f, x=BYTES, y=CLASSES * 1.0), BYTES, labels=CLASSES),
    "names as labels": Read(lambda f: npz(f, x=BYTES, y=np.array(AB)), BYTES, labels=AB),
    "one-hot labels": Read(lambda f: npz(f, x=BYTES, y=ONE_HOT), BYTES, labels=CLASSES),
    "a column of labels": Read(
        lambda f: npz(f, x=BYTES, y=CLASSES[:, None]), BYTES, labels=CLASSES
    ),
    "labels under another name": Read(
        lambda f: npz(f, x=BYTES, kind=CLASSES), BYTES, said="--labels kind"
    ),
    "stated labels": Read(
        lambda f: npz(f, x=BYTES, kind=CLASSES), BYTES, labels=CLASSES, settings={"labels": "kind"}
    ),
    "stated images and labels": Read(
        lambda f: npz(f, w=BYTES, kind=CLASSES, x=COLOUR),
        BYTES,
        labels=CLASSES,
        said="left unread: x (8, 6, 5, 3) uint8",
        settings={"images": "W", "labels": "kind"},
    ),
    "flat rows": Read(lambda f: npz(f, x=FLAT, y=CLASSES), FLAT.reshape(8, 28, 28), labels=CLASSES),
    "flat rows of a stated shape": Read(
        lambda f: npz(f, x=BYTES.reshape(8, 30)), BYTES, settings={"image_shape": (6, 5)}
    ),
    "digits as bunch": Read(
        lambda f: npz(f, data=BYTES.reshape(8, 30), images=BYTES, target=CLASSES),
        BYTES,
        labels=CLASSES,
        said="left unread: data (8, 30) uint8",
    ),
    "CIFAR batch": Read(
        lambda f: npz(f, data=CIFAR, labels=CLASSES), CIFAR_PICTURES, labels=CLASSES
    ),
    "CIFAR batches": Read(
        lambda f: (
            [
                npz(f, "data_batch_1.npz", data=CIFAR[:3], labels=CLASSES[:3]),
                npz(f, "data_batch_2.npz", data=CIFAR[3:6], labels=CLASSES[3:6]),
                npz(f, "test_batch.npz", data=CIFAR[6:], labels=CLASSES[6:]),
            ]
            and f
        ),
        CIFAR_PICTURES,
        labels=CLASSES,
        n_test=2,
    ),
    "npy files of a folder": Read(
        lambda f: (
            [
                npy(f, BYTES[:6], "x_train.npy"),
                npy(f, CLASSES[:6], "y_train.npy"),
                npy(f, BYTES[6:], "x_test.npy"),
                npy(f, CLASSES[6:], "y_test.npy"),
            ]
            and f
        ),
        BYTES,
        labels=CLASSES,
        n_test=2,
    ),
    "channels first": Read(lambda f: npz(f, x=PLANES), COLOUR),
    "channels last": Read(lambda f: npz(f, x=COLOUR), COLOUR),
    "two channels last": Read(lambda f: npz(f, x=COLOUR[..., :2]), COLOUR[..., :2]),
    "ten channels first": Read(
        lambda f: npz(f, x=UNIT.repeat(2, axis=0).reshape(8, 2, 6, 5).repeat(5, axis=3)),
        UNIT.repeat(2, axis=0).reshape(8, 2, 6, 5).repeat(5, axis=3).transpose(0, 2, 3, 1),
        1,
    ),
    "training and test arrays": Read(
        lambda f: npz(
            f, x_train=SIXTEEN[:6], y_train=CLASSES[:6], x_test=SIXTEEN[6:] // 2, y_test=CLASSES[6:]
        ),
        np.concatenate([SIXTEEN[:6], SIXTEEN[6:] // 2]),
        16,
        CLASSES,
        n_test=2,
    ),
    "training and validation arrays": Read(
        lambda f: npz(f, train_x=BYTES[:6], val_x=BYTES[6:]), BYTES, n_test=2
    ),
    "gzipped IDX": Read(
        lambda f: with_file(
            f, (f / "train-images-idx3-ubyte.gz").write_bytes, gzip.compress(idx(BYTES))
        ),
        BYTES,
    ),
    "IDX with 0 and 1": Read(
        lambda f: with_file(f, (f / "a-ubyte").write_bytes, idx(BITS)), BITS, 1
    ),
}


def test_settings_for_arrays_are_refused_where_there_are_none(tmp_path):
    for source in ("digits", save(tmp_path, BYTES), tmp_path / "0.png"):
        for settings in ({"images": "x"}, {"labels": "y"}, {"image_shape": (6, 5)}):
            with pytest.raises(sc.InputError, match=f"{next(iter(settings))} is"):
                datasets.load(source, **settings)


def multiset(images, labels):
    """Images with their labels, without their order."""
    names = [None] * len(images) if labels is None else labels
    return collections.Counter(
        (image.tobytes(), name) for image, name in zip(images, names, strict=True)
    )


@pytest.mark.parametrize("kind", READ)
def test_a_file_is_read_as_it_was_written(tmp_path, kind):
    row = READ[kind]
    source = row.write(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = datasets.load(source, **row.settings)
    assert data.scale == row.scale and data.train.dtype == data.test.dtype == np.float32
    work = np.result_type(row.pixels.dtype, np.float32)
    pixels = (row.pixels / work.type(row.scale if row.scale < 1e100 else 1)).astype(np.float32)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    numbers = row.labels if row.labels is None else np.unique(row.labels, return_inverse=True)[1]
    assert (data.train_labels is None) == (data.test_labels is None) == (numbers is None)
    both = np.concatenate([data.train, data.test])
    labels = None if numbers is None else np.concatenate([data.train_labels, data.test_labels])
    assert both.shape == pixels.shape
    assert multiset(both, labels) == multiset(pixels, numbers)
    assert len(data.test) == (2 if row.n_test is None else row.n_test)
    if row.n_test is not None:  # a given split is kept
        assert multiset(data.test, None) == multiset(pixels[-row.n_test :], None)
    assert row.said in "; ".join(data.notes)


# -- what must be refused -------------------------------------------------------------------
def header_only(path, shape, dtype="|u1"):
    """An npy file that is nothing but a claim."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    path.write_bytes(head.getvalue())
    return path


def bomb(path, shape):
    """Three gigabytes of zeros, packed, in an npz: a header that is true."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header_only(path.with_suffix(".head"), shape).read_bytes())
    content = path.read_bytes()  # the directory's sizes are made to agree
    size = struct.pack("<I", int(np.prod(shape)) + 128)
    path.write_bytes(content.replace(struct.pack("<I", 128), size))
    return path


def taller(path):
    """A TIFF whose second page claims a million rows and stores six."""
    pages(path, BYTES[:2])
    content = bytearray(path.read_bytes())
    entry = struct.pack("<HHI", 257, 4, 1) + struct.pack("<I", 6)
    at = content.rindex(entry)
    content[at + 8 : at + 12] = struct.pack("<I", 10**6)
    path.write_bytes(content)
    return path


def twice(path):
    content = io.BytesIO()
    np.save(content, BYTES)
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("x.npy", content.getvalue())
        archive.writestr("x.npy", content.getvalue())
    return path


def large_picture(path):
    """A PNG of 60,000 x 60,000 pixels by its header, and nothing behind it."""
    data = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + data + struct.pack(">I", zlib.crc32(data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    return path


def with_nan(array):
    array = np.array(array, dtype=np.float32)
    array.flat[0] = np.nan
    return array


WEIGHTS = {
    "conv1.weight": RNG.standard_normal((16, 1, 5, 5)),
    "conv1.bias": np.zeros(16),
    "fc.weight": RNG.standard_normal((10, 256)),
}
REFUSED = {
    "network weights": (lambda f: npz(f, **WEIGHTS), "weights of a network.*--images KEY"),
    "weights without names": (
        lambda f: npz(f, W1=WEIGHTS["fc.weight"], W2=WEIGHTS["fc.weight"]), "holds W1"
    ),
    "numbered weights": (
        lambda f: npz(f, arr_0=WEIGHTS["conv1.weight"], arr_1=np.zeros(16)), "holds arr_0"
    ),
    "packed bits": (lambda f: npz(f, x=np.packbits(FLAT > 9, axis=1)), "784 packed bits"),
    "packed bits, own name": (lambda f: npz(f, bits=np.packbits(FLAT > 9, axis=1)), "holds bits"),
    "packed bits under names of their own": (
        lambda f: npz(f, some=np.zeros((500, 98), np.uint8), more=np.zeros((500, 98), np.uint8)),
        "holds some",
    ),
    "floats under names of their own": (
        lambda f: npz(f, some=RNG.random((40, 40)), more=RNG.random((40, 40))), "holds some"
    ),
    "one array under a name of its own": (
        lambda f: npz(f, some=np.zeros((64, 64), np.uint8)), "holds some"
    ),
    "iris": (lambda f: npz(f, data=RNG.random((150, 4)), target=np.arange(150) % 3),
             "rows of 4 numbers"),
    "label in the first column": (lambda f: npz(f, x=np.hstack([CLASSES[:, None], FLAT])),
                                  "the label"),
    "rows of no square": (lambda f: npz(f, x=BYTES.reshape(8, 30)), "image_shape="),
    "one picture or rows": (lambda f: npy(f, RNG.random((64, 64))), "one picture"),
    "three colours or three pictures": (
        lambda f: npy(f, RNG.random((3, 64, 64))), r"three grey ones.*x\[None\]"
    ),
    "one picture with alpha": (lambda f: npy(f, RNG.random((64, 64, 4))), "transparency"),
    "sparse matrix": (lambda f: npz(f, data=np.ones(9), indices=np.arange(9), shape=[3, 3]),
                      "not a stack of images"),
    "MATLAB": (lambda f: text(f / "digits.mat") / "digits.mat", "MATLAB.*scipy.io.loadmat"),
    "folder with MATLAB": (lambda f: text(f / "digits.MAT"), r"digits\.MAT is a MATLAB"),
    "CSV": (lambda f: text(f / "mnist.csv") / "mnist.csv", r"mnist\.csv is a text table"),
    "packed CSV": (lambda f: text(f / "mnist.csv.gz") / "mnist.csv.gz", "text table"),
    "HDF5": (lambda f: text(f / "a.h5") / "a.h5", "h5py"),
    "zip": (lambda f: text(f / "a.zip") / "a.zip", "Unpack it"),
    "pickle": (
        lambda f: with_file(f / "batch", (f / "batch").write_bytes, b"\x80\x04."), "a pickle"
    ),
    "NaN in a float tif": (lambda f: save(f, [*UNIT[1:], with_nan(UNIT[0])], "tif"),
                           r"7\.tif contains NaN"),
    "NaN in an array": (lambda f: npz(f, x=with_nan(UNIT)), "contains NaN"),
    "infinity": (lambda f: npz(f, x=np.full((8, 6, 5), np.inf)), "infinity"),
    "NaN labels": (lambda f: npz(f, x=BYTES, y=with_nan(CLASSES)), "labels contain NaN"),
    "a batch without labels": (
        lambda f: [npz(f, "a.npz", x=BYTES, y=CLASSES), npz(f, "b.npz", x=BYTES)] and f,
        "some have none",
    ),
    "numbers and names": (
        lambda f: npz(f, x_train=BYTES, y_train=CLASSES, x_test=BYTES, y_test=np.array(AB)),
        "some are names",
    ),
    "measured labels": (lambda f: npz(f, x=BYTES, y=CLASSES + 0.5), "measured values such as 0.5"),
    "complex labels": (lambda f: npz(f, x=BYTES, y=CLASSES * 1j), "labels of type complex"),
    "two ones in a row": (lambda f: npz(f, x=BYTES, y=np.ones((8, 3))), r"labels of shape \(8, 3"),
    "labels of another length": (lambda f: npz(f, x=BYTES, y=CLASSES[:7]), "labels of shape"),
    "x and X": (lambda f: npz(f, x=BYTES, X=BYTES), "'X' and 'x' both look like the images"),
    "float tif beside png": (
        lambda f: with_file(save(f, BYTES), save, f, UNIT, "tif"), "mixes .*--scale X"
    ),
    "16 bits beside 8": (
        lambda f: with_file(save(f, BYTES), save, f, DEEP, "tif"), "16-bit numbers"
    ),
    "floats held out from bytes": (lambda f: npz(f, x_train=BYTES, x_test=UNIT), "mixes"),
    "weights among batches": (
        lambda f: [npz(f, "a.npz", x=BYTES), npz(f, "b.npz", **WEIGHTS)] and f, r"b\.npz"
    ),
    "oversized npy": (lambda f: header_only(f / "a.npy", (10**6, 10**3, 10**3)), "as long as"),
    "oversized npz": (lambda f: bomb(f / "a.npz", (3_000_000, 32, 32)), "14.3 GiB"),
    "endless npy": (lambda f: header_only(f / "a.npy", (10**300,) * 3), "as long as"),
    "oversized IDX": (
        lambda f: with_file(f / "a-ubyte", (f / "a-ubyte").write_bytes,
                            bytes([0, 0, 8, 3]) + struct.pack(">III", 2**20, 2**10, 2**10)),
        "5,120.0 GiB",
    ),
    "oversized for its body, IDX": (
        lambda f: with_file(f / "a-ubyte", (f / "a-ubyte").write_bytes,
                            bytes([0, 0, 8, 3]) + struct.pack(">III", 400, 1000, 1000)),
        "shorter than its header says",
    ),
    "oversized for its body, gzip": (
        lambda f: with_file(f / "a-ubyte", (f / "a-ubyte").write_bytes, gzip.compress(
            bytes([0, 0, 8, 3]) + struct.pack(">III", 400, 1000, 1000))),
        "shorter than its header says",
    ),
    "oversized png": (lambda f: large_picture(f / "a.png"), r"a\.png"),
    "a page that is not stored": (lambda f: taller(f / "a.tif"), "page 2 is 5 x 1000000"),
    "damaged png": (lambda f: text(f / "a.png") / "a.png", r"a\.png cannot be read"),
    "all zero": (lambda f: npz(f, x=np.zeros((8, 6, 5), np.uint8)), "every pixel is 0"),
    "an array twice": (lambda f: twice(f / "a.npz"), "x.npy is in it twice"),
    "objects": (lambda f: npz(f, x=np.array([{}, []], dtype=object)), r"a\.npz"),
    "empty parts": (lambda f: npz(f, x_train=BYTES, x_test=BYTES[:0]), "shape"),
}  # fmt: skip
STATED = {
    "no such images": ({"images": "pictures"}, "images is 'pictures', but .* holds x"),
    "no such labels": ({"labels": "kind"}, "labels is 'kind', but"),
    "scale 0": ({"scale": 0}, "scale is 0"),
    "scale of another world": ({"scale": 1e100}, "scale is 1e.100, but the largest pixel"),
    "fraction 1": ({"test_fraction": 1}, "test_fraction is 1"),
    "fraction 25": ({"test_fraction": 25}, "between 0 and 1"),
    "another shape": ({"image_shape": (3, 3)}, "image_shape is"),
    "a word as shape": ({"image_shape": "square"}, "image_shape is 'square'"),
    "a number as name": ({"images": 3}, "images is 3"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_images_is_refused_by_name(tmp_path, kind):
    write, said = REFUSED[kind]
    source = write(tmp_path)
    with pytest.raises(sc.InputError, match=said):
        datasets.load(source)


@pytest.mark.parametrize("kind", STATED)
def test_what_is_stated_must_be_there(tmp_path, kind):
    settings, said = STATED[kind]
    with pytest.raises((sc.InputError, sc.InputTypeError), match=said):
        datasets.load(npz(tmp_path, x=BYTES), **settings)


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if "oversized" in kind])
def test_the_oversized_is_refused_before_memory_is_taken(tmp_path, kind):
    source = REFUSED[kind][0](tmp_path)
    tracemalloc.start()
    with pytest.raises(sc.InputError):
        datasets.load(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


@pytest.mark.parametrize("ending", ["tif", "npz"])
def test_many_small_files_are_counted_together(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(datasets.pixels, "MAX_BYTES", 1500)
    for i, picture in enumerate(BYTES):
        if ending == "tif":
            Image.fromarray(picture).save(tmp_path / f"{i}.tif")
    if ending == "npz":
        npz(tmp_path, x_train=BYTES, x_test=BYTES)
    with pytest.raises(sc.InputError, match="expected at most"):
        datasets.load(tmp_path)


def test_a_preview_behind_a_photograph_is_no_page(tmp_path):
    for i in range(6):
        levels = [Image.fromarray(np.full((8, 8), 40 * i + k, np.uint8)) for k in (3, 4)]
        levels[0].save(tmp_path / f"{i}.jpg", "MPO", save_all=True, append_images=levels[1:])
    data = datasets.load(tmp_path, scale=1)
    both = np.concatenate([data.train, data.test])
    assert sorted(both[:, 0, 0, 0]) == [40 * i + 3 for i in range(6)]


UNITS = [
    (np.uint8, 255), (np.uint16, 65535), (np.int16, 32767), (np.int32, 2**31 - 1),
    (np.float32, 1e30), (np.float64, 1e300),
]  # fmt: skip


@given(st.sampled_from(UNITS), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_the_largest_pixel_lies_between_a_quarter_and_one(unit, size, negative, seed):
    """Whatever the type and range: nothing is so small that every code would be 0."""
    dtype, most = unit
    rng = np.random.default_rng(seed)
    low = 0 if dtype in (np.uint8, np.uint16) else -negative
    largest = max(most ** (2 * size - 1), 1e-30) if np.dtype(dtype).kind == "f" else most**size
    array = (rng.uniform(low, 1, (6, 4)) * largest).astype(dtype)
    array[0, 0] = max(largest, 1) if np.dtype(dtype).kind != "f" else largest
    scale, _ = common_scale([array[:3], array[3:]], "it")
    assert 0.25 <= np.abs(divided(array, scale)).max() <= 1
    assert scale == common_scale([array[::-1]], "it")[0]


def test_the_table_has_more_than_sixty_files():
    assert len(READ) + len(REFUSED) >= 100
