"""Images from files: what is right comes back unchanged, what is damaged is refused by name."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sparsecnn as sc
from sparsecnn import datasets
from sparsecnn.datasets.labels import stratified

RNG = np.random.default_rng(0)
CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx(array, code=None, shape=None):
    """Bytes of an IDX file."""
    array = np.asarray(array)
    dtype = next(t for t in CODES if np.dtype(t) == array.dtype or
                 np.dtype(t) == array.dtype.newbyteorder(">"))  # fmt: skip
    shape = array.shape if shape is None else shape
    head = bytes([0, 0, CODES[dtype] if code is None else code, len(shape)])
    return head + struct.pack(f">{len(shape)}I", *shape) + array.astype(dtype).tobytes()


def write(path, content):
    path.write_bytes(content)
    return path


def digits(n, size=6, high=256, dtype=np.uint8):
    return RNG.integers(0, high, (n, size, size)).astype(dtype)


# -- bundled ----------------------------------------------------------------------------------
def test_digits_are_split_by_the_seed():
    one, two = datasets.load("digits", random_state=1), datasets.load("digits", random_state=1)
    np.testing.assert_array_equal(one.train, two.train)
    assert not np.array_equal(one.train, datasets.load("digits", random_state=2).train)
    assert one.train.shape[1:] == one.test.shape[1:] == (1, 8, 8)
    assert len(one.train) + len(one.test) == 1797
    assert len(one.test) == round(0.25 * 1797)
    assert one.train.dtype == np.float32
    assert one.train.min() == 0.0 and one.train.max() == 1.0
    assert len(one.train) == len(one.train_labels)
    assert set(one.test_labels) == set(range(10))


def test_photographs_become_centred_tiles_labelled_by_photograph():
    images = datasets.load("images", tile=64)
    tiles = np.concatenate([images.train, images.test])
    assert tiles.shape[1:] == (1, 64, 64)
    assert len(tiles) == 2 * (427 // 64) * (640 // 64)
    np.testing.assert_allclose(tiles.mean(axis=(2, 3)), 0, atol=1e-5)
    assert tiles.std() == pytest.approx(1.0, abs=1e-5)
    assert set(images.train_labels) == {0, 1}


# -- IDX --------------------------------------------------------------------------------------
@given(
    st.sampled_from(sorted(CODES)),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_every_idx_type_and_shape_comes_back(tmp_path_factory, dtype, shape, packed, seed):
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    content = gzip.compress(idx(array)) if packed else idx(array)
    read = datasets.read_idx(write(tmp_path_factory.mktemp("idx") / "a", content))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype.newbyteorder("=") and read.dtype.isnative


GOOD = idx(digits(5))
DAMAGED = {
    "empty": b"",
    "two bytes": b"\0\0",
    "no magic": b"\1" + GOOD[1:],
    "text": b"not an IDX file at all",
    "unknown type": idx(digits(5), code=0x0A),
    "type of size 0": idx(digits(5), code=0),
    "no dimension": bytes([0, 0, 8, 0]) + b"1",
    "header cut off": GOOD[:9],
    "cut in the middle": GOOD[:60],
    "last byte missing": GOOD[:-1],
    "one byte more": GOOD + b"\0",
    "another file behind it": GOOD + GOOD,
    "claims too much": idx(digits(5), shape=(2**32 - 1, 2**32 - 1, 2**32 - 1)),
    "claims 2^31 + 1": idx(digits(5), shape=(2**31 + 1,)),
    "claims one image more": idx(digits(5), shape=(6, 6, 6)),
    "claims one image less": idx(digits(5), shape=(4, 6, 6)),
    "gzip cut": gzip.compress(GOOD)[:-9],
    "gzip without body": gzip.compress(GOOD)[:12],
    "gzip checksum": gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:],
    "gzip trailing": gzip.compress(GOOD) + b"garbage",
    "gzip of text": gzip.compress(b"hello"),
    "gzip magic only": b"\x1f\x8b",
    "gzip damaged": gzip.compress(GOOD)[:30] + b"\xff\xff\xff\xff" + gzip.compress(GOOD)[34:],
}


@pytest.mark.parametrize("kind", sorted(DAMAGED))
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, kind):
    path = write(tmp_path / "damaged-ubyte", DAMAGED[kind])
    with pytest.raises(sc.InputError, match="damaged-ubyte"):
        datasets.read_idx(path)
    with pytest.raises(sc.InputError, match="damaged-ubyte"):
        datasets.load(path)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.booleans())
def test_one_wrong_byte_gives_an_array_or_an_input_error(tmp_path_factory, at, value, packed):
    content = bytearray(gzip.compress(GOOD, mtime=0) if packed else GOOD)
    content[at % len(content)] = value
    path = write(tmp_path_factory.mktemp("flip") / "a", bytes(content))
    try:
        assert isinstance(datasets.read_idx(path), np.ndarray)
    except sc.InputError as error:
        assert str(path) in str(error)


def _mnist(folder, train, train_labels, test, test_labels):
    files = {
        "train-images-idx3-ubyte": train,
        "train-labels-idx1-ubyte": train_labels,
        "t10k-images-idx3-ubyte": test,
        "t10k-labels-idx1-ubyte": test_labels,
    }
    for name, array in files.items():
        if array is not None:
            write(folder / name, idx(array))
    return folder


def test_a_folder_of_idx_files_keeps_its_own_test_set(tmp_path):
    train, test = digits(9), digits(4)
    labels = np.arange(9, dtype=np.uint8) % 3, np.array([0, 2, 2, 0], dtype=np.uint8)
    images = datasets.load(_mnist(tmp_path, train, labels[0], test, labels[1]))
    np.testing.assert_array_equal(images.train[:, 0], (train / np.float32(255)).astype(np.float32))
    np.testing.assert_array_equal(images.test[:, 0], (test / np.float32(255)).astype(np.float32))
    np.testing.assert_array_equal(images.train_labels, labels[0])


def test_labels_keep_their_meaning_where_the_test_set_lacks_a_class(tmp_path):
    train_labels, test_labels = np.uint8([5, 7, 9, 5, 7, 9]), np.uint8([9, 7, 9])
    images = datasets.load(_mnist(tmp_path, digits(6), train_labels, digits(3), test_labels))
    np.testing.assert_array_equal(images.train_labels, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(images.test_labels, [2, 1, 2])


def test_a_folder_with_one_idx_set_is_split(tmp_path):
    write(tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(idx(digits(12))))
    images = datasets.load(tmp_path)
    assert (len(images.train), len(images.test)) == (9, 3)
    assert images.train_labels is None


def test_the_role_of_an_idx_file_may_stand_anywhere_in_its_name(tmp_path):
    train, test = digits(9), digits(4)
    for part, array in (("train", train), ("test", test)):
        name = f"emnist-digits-{part}-images-idx3-ubyte"
        write(tmp_path / f"{name}.gz", gzip.compress(idx(array)))
        write(tmp_path / name, idx(array))  # unpacked beside the packed one
    (tmp_path / "emnist-digits-train-labels-idx1-ubyte").mkdir()  # as some archives unpack
    picture(tmp_path / "idx-preview.png", digits(1)[0])
    images = datasets.load(tmp_path)
    np.testing.assert_array_equal(images.train[:, 0], np.float32(train) / 255)
    np.testing.assert_array_equal(images.test[:, 0], np.float32(test) / 255)


def test_two_idx_files_for_one_role_are_refused_by_name(tmp_path):
    for kind in ("digits", "letters"):
        write(tmp_path / f"emnist-{kind}-test-images-idx3-ubyte", idx(digits(4)))
    with pytest.raises(sc.InputError, match=r"emnist-digits-test.* and emnist-letters-test"):
        datasets.load(tmp_path)


def test_labels_that_do_not_fit_the_images_are_refused(tmp_path):
    folder = _mnist(tmp_path, digits(9), np.arange(8, dtype=np.uint8), None, None)
    with pytest.raises(sc.InputError, match="9 images but labels of shape"):
        datasets.load(folder)


def test_test_images_of_another_size_are_refused(tmp_path):
    with pytest.raises(sc.InputError, match="expected one shape"):
        datasets.load(_mnist(tmp_path, digits(9), None, digits(4, size=5), None))


# -- archives ---------------------------------------------------------------------------------
@pytest.mark.parametrize("images", ["x", "X", "images", "data", "x_train", "train"])
@pytest.mark.parametrize("labels", ["y", "labels", "target", "y_train", None])
def test_names_in_an_archive(tmp_path, images, labels):
    x, y = digits(8), np.arange(8) % 2
    np.savez(tmp_path / "a.npz", **{images: x}, **({labels: y} if labels else {}))
    loaded = datasets.load(tmp_path / "a.npz")
    assert (len(loaded.train), len(loaded.test)) == (6, 2)
    assert loaded.train.max() <= 1.0
    if labels is None:
        assert loaded.train_labels is None
    else:  # every image still has its own label
        everything = np.concatenate([loaded.train, loaded.test])
        numbers = np.concatenate([loaded.train_labels, loaded.test_labels])
        for image, number in zip(everything, numbers, strict=True):
            same = (np.float32(x / np.float32(255)) == image[0]).all(axis=(1, 2))
            assert y[np.flatnonzero(same)[0]] == number


def test_an_archive_with_its_own_test_set_has_one_unit_and_one_numbering(tmp_path):
    x, x_test = digits(6, high=11, dtype=np.int64), digits(4, high=6, dtype=np.int64)
    x[0, 0, 0] = 10
    np.savez(tmp_path / "a.npz", x_train=x, y_train=list("abcabc"), x_test=x_test,
             y_test=list("ccba"))  # fmt: skip
    loaded = datasets.load(tmp_path / "a.npz")
    np.testing.assert_allclose(loaded.train[:, 0], x / 10, rtol=1e-6)
    np.testing.assert_allclose(loaded.test[:, 0], x_test / 10, rtol=1e-6)
    np.testing.assert_array_equal(loaded.test_labels, [2, 2, 1, 0])


@pytest.mark.parametrize("labels_first", [False, True])
@pytest.mark.parametrize("shape", [(8, 5, 6), (8, 5, 6, 3)])
def test_unnamed_images_and_labels_are_told_apart(tmp_path, shape, labels_first):
    x = np.broadcast_to(np.arange(8).reshape(8, *[1] * (len(shape) - 1)), shape) / 8
    arrays = [x, np.arange(8) % 4]
    np.savez(tmp_path / "a.npz", *(arrays[::-1] if labels_first else arrays))
    loaded = datasets.load(tmp_path / "a.npz")
    assert loaded.train.shape[1:] == (1 if len(shape) == 3 else 3, 5, 6)
    np.testing.assert_array_equal(loaded.train[:, 0, 0, 0] * 8 % 4, loaded.train_labels)


def test_a_test_set_alone_is_split_and_a_column_of_labels_is_flattened(tmp_path):
    x = np.broadcast_to(np.arange(8)[:, None, None], (8, 5, 6)) / 8
    np.savez(tmp_path / "a.npz", x_test=x, y_test=np.arange(8)[:, None] % 2)
    loaded = datasets.load(tmp_path / "a.npz")
    assert (len(loaded.train), len(loaded.test)) == (6, 2)
    np.testing.assert_array_equal(loaded.train[:, 0, 0, 0] * 8 % 2, loaded.train_labels)


@pytest.mark.parametrize(
    ("low", "high", "white"),
    [(0, 255, 255), (0, 16, 16), (0, 2, 2), (0, 1.5, 1.5), (0, 1, 1), (0, 0.26, 1), (0, 0.2, 0.2),
     (-1, 1, 1), (-1, 200, 200), (0, 63, 63), (0, 64, 255), (0, 256, 256), (0, 4000, 4095),
     (0, 4096, 4096), (0, 60_000, 65_535), (0, 70_000, 70_000)],
)  # fmt: skip
def test_pixels_are_divided_by_a_full_scale_or_by_the_largest(tmp_path, low, high, white):
    """By one unit, although the test set alone would say another."""
    x, x_test = np.full((4, 3, 3), float(high)), np.full((4, 3, 3), min(high, 1.0))
    x[0] = low
    np.savez(tmp_path / "a.npz", x_train=x, x_test=x_test)
    loaded = datasets.load(tmp_path / "a.npz")
    assert loaded.scale == white
    np.testing.assert_array_equal(loaded.train[:, 0], np.float32(x / white))
    np.testing.assert_array_equal(loaded.test[:, 0], np.float32(x_test / white))


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((8, 5, 6), 1), ((8, 3, 5, 6), 3), ((8, 5, 6, 3), 3), ((8, 1, 5, 6), 1), ((8, 5, 6, 1), 1)],
)
def test_arrays_with_and_without_channels(tmp_path, shape, channels):
    np.save(tmp_path / "a.npy", RNG.random(shape))
    assert datasets.load(tmp_path / "a.npy").train.shape[1:] == (channels, 5, 6)


def test_pictures_of_different_sizes_in_an_archive_become_tiles(tmp_path):
    first, second = (RNG.integers(0, 256, s).astype(np.uint8) for s in ((40, 33), (24, 64)))
    np.savez(tmp_path / "a.npz", first=first, second=second)
    loaded = datasets.load(tmp_path / "a.npz", tile=8)
    assert len(loaded.train) + len(loaded.test) == 5 * 4 + 3 * 8
    assert set(loaded.train_labels) == {0, 1}


BAD_ARRAYS = {
    "objects": np.array([{}, []], dtype=object),
    "strings": np.array(["a", "b"]),
    "complex": np.zeros((8, 4, 4), complex),
    "one dimension": np.zeros(9),
    "five dimensions": np.zeros((8, 1, 1, 4, 4)),
    "empty": np.zeros((0, 4, 4)),
    "no pixels": np.zeros((8, 0, 4)),
    "NaN": np.full((8, 4, 4), np.nan),
    "infinity": np.full((8, 4, 4), np.inf),
    "three images": np.zeros((3, 4, 4)),
}


@pytest.mark.parametrize("kind", sorted(BAD_ARRAYS))
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_that_are_no_images_are_refused(tmp_path, kind, suffix):
    path = tmp_path / f"bad.{suffix}"
    if suffix == "npy":
        np.save(path, BAD_ARRAYS[kind], allow_pickle=True)
    else:
        np.savez(path, x=BAD_ARRAYS[kind])
    with pytest.raises(sc.InputError, match="bad"):
        datasets.load(path)


def test_an_archive_without_images_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "a.npz", weights=np.zeros(3))
    with pytest.raises(sc.InputError, match="weights"):
        datasets.load(tmp_path / "a.npz")


@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 10**6))
def test_a_damaged_archive_gives_images_or_an_input_error(tmp_path_factory, at, value, end):
    folder = tmp_path_factory.mktemp("npz")
    np.savez_compressed(folder / "a.npz", x=digits(4, size=4), y=np.arange(4))
    content = bytearray((folder / "a.npz").read_bytes())
    content[at % len(content)] = value
    path = write(folder / "b.npz", bytes(content[: end % (2 * len(content))]))
    try:
        assert isinstance(datasets.load(path), datasets.ImageSet)
    except sc.InputError as error:
        assert "b.npz" in str(error)


# -- pictures ---------------------------------------------------------------------------------
def picture(path, array, **settings):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path, **settings)
    return array


def test_a_folder_of_folders_has_their_names_as_labels(tmp_path):
    cats = [picture(tmp_path / "cat" / f"{i}.png", digits(1)[0]) for i in range(4)]
    dogs = [picture(tmp_path / "dog" / f"{i}.PNG", digits(1)[0]) for i in range(4)]
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    loaded = datasets.load(tmp_path)
    everything = np.concatenate([loaded.train, loaded.test])[:, 0]
    numbers = np.concatenate([loaded.train_labels, loaded.test_labels])
    for image, number in zip(everything, numbers, strict=True):
        shown = [np.array_equal(np.float32(a) / 255, image) for a in cats + dogs]
        assert shown.index(True) // 4 == number


@pytest.mark.parametrize("other", [None, "empty folder", "one class"])
def test_pictures_without_classes_have_no_labels(tmp_path, other):
    for i in range(5):
        place = tmp_path / "only" if other == "one class" else tmp_path
        picture(place / f"{i}.png", digits(1)[0])
    if other == "empty folder":
        (tmp_path / "thumbnails").mkdir()
    loaded = datasets.load(tmp_path)
    assert len(loaded.train) + len(loaded.test) == 5
    assert loaded.train_labels is None and loaded.test_labels is None


def test_colour_pictures_keep_three_channels(tmp_path):
    wanted = [picture(tmp_path / f"{i}.png", RNG.integers(0, 256, (6, 7, 3)).astype(np.uint8))
              for i in range(5)]  # fmt: skip
    loaded = datasets.load(tmp_path)
    assert loaded.train.shape[1:] == (3, 6, 7)
    first = np.float32(wanted[0].transpose(2, 0, 1)) / 255
    everything = np.concatenate([loaded.train, loaded.test])
    assert any(np.array_equal(first, image) for image in everything)


def test_grey_and_colour_pictures_of_one_size_become_grey(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png", np.full((6, 6), 100, np.uint8))
        picture(tmp_path / f"colour{i}.png", np.full((6, 6, 3), 100, np.uint8))
    loaded = datasets.load(tmp_path)
    assert loaded.train.shape[1:] == loaded.test.shape[1:] == (1, 6, 6)
    assert loaded.train.dtype == np.float32
    np.testing.assert_allclose(loaded.train, 100 / 255, rtol=1e-6)


def test_sixteen_bits_are_not_clipped(tmp_path):
    deep = np.linspace(0, 65535, 36).astype(np.uint16).reshape(6, 6)
    for i in range(4):
        picture(tmp_path / f"{i}.png", deep)
    np.testing.assert_allclose(datasets.load(tmp_path).train[0, 0], deep / 65535, atol=1e-6)


def test_pictures_of_different_sizes_become_tiles(tmp_path):
    picture(tmp_path / "a.png", digits(1, size=40)[0])
    picture(tmp_path / "b.png", RNG.integers(0, 256, (17, 50, 3)).astype(np.uint8))
    loaded = datasets.load(tmp_path, tile=8)
    assert loaded.train.shape[1:] == (1, 8, 8)
    assert len(loaded.train) + len(loaded.test) == 5 * 5 + 2 * 6


def test_one_picture_is_cut_into_tiles_without_labels(tmp_path):
    picture(tmp_path / "a.png", digits(1, size=40)[0])
    loaded = datasets.load(tmp_path / "a.png", tile=8)
    assert len(loaded.train) + len(loaded.test) == 25
    assert loaded.train_labels is None


def test_a_damaged_picture_is_refused_by_name(tmp_path):
    for i in range(4):
        picture(tmp_path / f"{i}.png", digits(1)[0])
    write(tmp_path / "broken.png", (tmp_path / "0.png").read_bytes()[:40])
    with pytest.raises(sc.InputError, match=r"broken\.png"):
        datasets.load(tmp_path)
    with pytest.raises(sc.InputError, match=r"broken\.png"):
        datasets.load(tmp_path / "broken.png")


def test_constant_and_tiny_pictures_are_refused(tmp_path):
    picture(tmp_path / "flat.png", np.full((40, 40), 9, np.uint8))
    with pytest.raises(sc.InputError, match="constant"):
        datasets.load(tmp_path / "flat.png", tile=8)
    with pytest.raises(sc.InputError, match="only 0 tiles"):
        datasets.load(tmp_path / "flat.png", tile=64)


def test_three_pictures_are_too_few(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png", digits(1)[0])
    with pytest.raises(sc.InputError, match="only 3 images"):
        datasets.load(tmp_path)


@pytest.mark.parametrize("content", [None, "notes.txt"])
def test_a_folder_without_images_is_refused(tmp_path, content):
    if content:
        (tmp_path / content).write_text("nothing to see")
    with pytest.raises(sc.InputError, match="holds no images"):
        datasets.load(tmp_path)


# -- splits -----------------------------------------------------------------------------------
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.floats(0.05, 0.9),
       st.integers(0, 99))  # fmt: skip
def test_every_class_is_held_out_in_its_share(sizes, fraction, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    n_test = round(fraction * len(labels))
    train, test = stratified(labels, len(labels), n_test, np.random.default_rng(seed))
    assert len(test) == n_test
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    held = np.bincount(labels[test], minlength=len(sizes))
    assert np.all(np.abs(held - np.array(sizes) * n_test / len(labels)) < 1)


def test_a_stratified_split_is_in_random_order():
    """The first images of a part, which a limit keeps, are of all classes."""
    labels = np.repeat([0, 1], 50)
    for part in stratified(labels, 100, 40, np.random.default_rng(0)):
        assert 5 <= labels[part[:20]].sum() <= 15


def test_labels_of_larger_images_go_to_their_tiles(tmp_path):
    x = np.broadcast_to(np.arange(4, dtype=np.uint8)[:, None, None] * 60, (4, 20, 20)).copy()
    x[:, ::2] += 1
    np.savez(tmp_path / "a.npz", x=x, y=np.array(list("abba")))
    loaded = datasets.load(tmp_path / "a.npz", tile=8)
    assert loaded.train.shape[1:] == (1, 8, 8) and len(loaded.train) + len(loaded.test) == 16
    assert np.bincount(np.concatenate([loaded.train_labels, loaded.test_labels])).tolist() == [8, 8]
    assert any("4 larger pictures cut into 16 grey tiles" in note for note in loaded.notes)


def test_one_colour_photograph_as_an_array_is_one_picture(tmp_path):
    photograph = RNG.integers(0, 256, (40, 64, 3)).astype(np.uint8)
    np.save(tmp_path / "a.npy", photograph)
    loaded = datasets.load(tmp_path / "a.npy", tile=8)
    picture(tmp_path / "a.png", photograph)
    shown = datasets.load(tmp_path / "a.png", tile=8)
    assert len(loaded.train) + len(loaded.test) == 5 * 8
    np.testing.assert_array_equal(loaded.train, shown.train)


# -- arguments --------------------------------------------------------------------------------
def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(sc.InputError, match="no file or folder"):
        datasets.load(tmp_path / "missing")
    with pytest.raises(sc.InputError, match="no file or folder"):
        datasets.load("")
    with pytest.raises(sc.InputError, match="no file or folder"):
        datasets.load("x" * 5000)


def test_a_link_back_to_the_folder_does_not_count_its_pictures_twice(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(4):
            shade = np.full((8, 8), 20 * k + 60, dtype=np.uint8)
            Image.fromarray(shade).save(tmp_path / name / f"{k}.png")
    alone = datasets.load(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "cat" / "up").symlink_to(tmp_path, target_is_directory=True)
    linked = datasets.load(tmp_path)
    np.testing.assert_array_equal(linked.train, alone.train)
    np.testing.assert_array_equal(linked.train_labels, alone.train_labels)


@pytest.mark.parametrize("source", [None, 3, np.zeros((4, 4))])
def test_a_source_that_is_no_path_is_refused(source):
    with pytest.raises(sc.InputTypeError, match="source is"):
        datasets.load(source)


@pytest.mark.parametrize(
    "wrong", [{"tile": 0}, {"tile": 2.5}, {"test_fraction": -1}, {"test_fraction": float("nan")}]
)
def test_wrong_settings_are_named(wrong):
    (name,) = wrong
    with pytest.raises((sc.InputError, sc.InputTypeError), match=name):
        datasets.load("images", **wrong)


def test_the_smallest_set_keeps_two_to_train_on(tmp_path):
    np.save(tmp_path / "a.npy", RNG.random((4, 3, 3)))
    loaded = datasets.load(tmp_path / "a.npy", test_fraction=0.99)
    assert (len(loaded.train), len(loaded.test)) == (2, 2)


def test_mnist_files_are_read_whole(data_folder):
    folder = next((p.parent for p in sorted(data_folder.rglob("t10k-images*"))), None)
    assert folder is not None, f"no MNIST files under {data_folder}"
    images = datasets.load(folder)
    assert images.train.shape == (60_000, 1, 28, 28)
    assert images.test.shape == (10_000, 1, 28, 28)
    assert set(images.test_labels) == set(range(10))


# -- what would be lost, or turned ----------------------------------------------------------
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_is_upright_however_it_is_stored(tmp_path, dtype, orientation, compression):
    upright = (np.arange(15).reshape(5, 3) * 10 + 5).astype(dtype)
    turn = Image.Transpose
    back = [None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE,
            turn.ROTATE_90, turn.TRANSVERSE, turn.ROTATE_270][orientation - 1]  # fmt: skip
    stored = Image.fromarray(upright)
    stored = stored if back is None else stored.transpose(back)
    for k in range(4):
        stored.save(tmp_path / f"{k}.tif", tiffinfo={0x112: orientation}, compression=compression)
    found = datasets.load(tmp_path, scale=1.0)
    np.testing.assert_array_equal(found.train, np.broadcast_to(upright, found.train.shape))


def test_pictures_smaller_than_a_tile_are_told_and_no_class_is_lost(tmp_path):
    for name, side in (("a", 64), ("b", 64), ("c", 20)):
        (tmp_path / name).mkdir()
        for k in range(5):
            side = 20 if k == 0 else side
            Image.fromarray(digits(1, side)[0]).save(tmp_path / name / f"{k}.png")
            side = 20 if name == "c" else 64
    with pytest.raises(sc.InputError, match="every picture of class c is smaller than a tile"):
        datasets.load(tmp_path, tile=32)
    for k in range(5):
        (tmp_path / "c" / f"{k}.png").unlink()
    (tmp_path / "c").rmdir()
    assert any(
        "2 smaller than a tile left out" in n for n in datasets.load(tmp_path, tile=32).notes
    )


def test_two_arrays_of_one_name_and_folders_beside_arrays_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", x=digits(20), y=np.arange(20) % 2)
    np.save(tmp_path / "x.npy", digits(20))
    with pytest.raises(sc.InputError, match=r"two arrays called x, in a\.npz and x\.npy"):
        datasets.load(tmp_path)
    (tmp_path / "x.npy").unlink()
    (tmp_path / "more").mkdir()
    assert "left unread: more/" in datasets.load(tmp_path).notes


@pytest.mark.parametrize("shape", [(10, 100, 100, 4), (10, 5, 100, 100), (10, 2, 100, 100)])
def test_channels_that_no_tile_would_hold_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", RNG.integers(0, 256, shape).astype(np.uint8))
    with pytest.raises(sc.InputError):
        datasets.load(tmp_path / "a.npy")


def test_a_clear_number_of_a_deep_png_is_white(tmp_path):
    pictures = digits(5, 6, 1000, np.uint16) + 30_000
    pictures[:, 0, 0] = 600
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{k}.png", transparency=600)
    found = datasets.load(tmp_path, scale=1.0)
    assert (found.train[:, 0, 0, 0] == 65535).all() and found.train[:, 0, 1].max() < 31_000
    assert any("blended over white (5 of 5" in note for note in found.notes)
