"""Model files: what is saved comes back bit for bit, and no damaged or hostile file does."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import pickle
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import strategies

import sparsecnn as sc
from sparsecnn import cli, persistence, regions, storage
from sparsecnn.derivation.inverse import ActivationPrior

RNG = np.random.default_rng(0)


def weights(*shape, dtype=float, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def hierarchy(dtype=float):
    filters = [weights(3, 1, 3, 3, dtype=dtype), weights(4, 3, 2, 2, dtype=dtype)]
    return sc.Hierarchy(
        [
            sc.Level(sc.ConvDictionary(filters[0], (8, 8)), sc.Exponential(0.3), sc.MaxPool(2)),
            sc.Level(sc.ConvDictionary(filters[1], (3, 3)), sc.Laplace([0.1, 0.2, 0.3, 0.4])),
            sc.Level(sc.Dictionary(weights(5, 16, dtype=dtype)), sc.TopK(2)),
        ]
    )


#: name -> (a model that maps arrays, the shape of its input)
LAYERS = {
    "Conv2D": (sc.Conv2D(weights(2, 1, 3, 3), [0.1, -0.2], (2, 1), "same", flip=True), (1, 6, 5)),
    "Conv2D circular": (sc.Conv2D(weights(2, 3, 2, 2), padding="circular"), (3, 4, 4)),
    "Conv2D padding 1": (sc.Conv2D(weights(2, 3, 2, 2), stride=2, padding=1), (3, 5, 4)),
    "Linear": (sc.Linear(weights(3, 7), weights(3)), (7,)),
    "Linear by columns": (sc.Linear(np.asfortranarray(weights(30, 70))), (70,)),
    "Linear strided": (sc.Linear(weights(30, 140)[::2, ::2]), (70,)),
    "MaxPool": (sc.MaxPool(3, (2, 1)), (2, 7, 5)),
    "AveragePool": (sc.AveragePool((2, 3)), (2, 7, 6)),
    "L2Pool": (sc.L2Pool(2, 1), (2, 4, 4)),
    "Flatten": (sc.Flatten(), (2, 3, 4)),
    "TropicalConv2D": (regions.TropicalConv2D(weights(2, 1, 2, 2), "MaxP-Min", 2, 1), (1, 4, 5)),
    "Activation by name": (sc.Activation("gelu"), (5,)),
    "Activation of a prior": (sc.Activation(sc.SCAD([0.3, 0.8, 1.5], 2.2)), (3,)),
    "Network": (hierarchy().to_network(), (1, 8, 8)),
    "Network in a network": (sc.Network([hierarchy().to_network(), sc.Activation("relu")]),
                             (1, 8, 8)),
}  # fmt: skip
PRIORS = [
    *strategies.PRIORS,
    sc.SymbolicPrior("lam*log(1 + abs(z)/eps)", lam=[0.5, 1.0, 2.0], eps=1.0),
    sc.SymbolicPrior("lam*z", support="nonnegative", lam=0.4),
    sc.SymbolicPrior("lam*abs(z)", support=(-0.5, "top"), lam=0.4, top=2.0),
    sc.SymbolicPrior("abs(z)", support=(0.0, np.inf)).scaled(3.0),
    sc.GroupLaplace(0.7, [[0, 2], [1]]),
]


def there_and_back(model, path):
    assert sc.save(model, path) is None
    loaded = sc.load(path)
    assert type(loaded) is type(model) and repr(loaded) == repr(model)
    return loaded


# -- round trips ----------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_with_equal_outputs_and_gradients(name, dtype, tmp_path):
    layer, shape = LAYERS[name]
    loaded = there_and_back(layer, tmp_path / "layer.zip")
    x = RNG.standard_normal((3, *shape)).astype(dtype)
    (y, pullback), (z, again) = layer.forward(x), loaded.forward(x)
    assert z.dtype == y.dtype == dtype and np.array_equal(y, z)
    for (dx, grads), (dz, others) in [(pullback(y), again(z))]:
        assert np.array_equal(dx, dz) and grads.keys() == others.keys()
        assert all(np.array_equal(grads[k], others[k]) for k in grads)


@pytest.mark.parametrize("prior", PRIORS, ids=strategies.name_of)
def test_a_prior_comes_back_with_equal_prox_and_value(prior, tmp_path):
    loaded = there_and_back(prior, tmp_path / "prior.zip")
    v = 2 * RNG.standard_normal((20, strategies.N_ATOMS))
    assert np.array_equal(prior.prox(v, 0.7), loaded.prox(v, 0.7))
    assert np.array_equal(prior.value(v), loaded.value(v))
    x = sc.Activation(loaded).with_params(loaded.parameters).forward(v)[0]
    assert np.array_equal(x, sc.Activation(prior).forward(v)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", strategies.DICTIONARIES)
def test_a_dictionary_comes_back_with_its_numbers(name, dtype, tmp_path):
    dictionary = strategies.DICTIONARIES[name].astype(dtype)
    loaded = there_and_back(dictionary, tmp_path / "dictionary.zip")
    assert loaded.atoms.dtype == dtype and np.array_equal(loaded.atoms, dictionary.atoms)
    assert loaded.lipschitz == dictionary.lipschitz
    assert loaded.mutual_coherence == dictionary.mutual_coherence
    codes = RNG.standard_normal((2, *dictionary.code_shape)).astype(dtype)
    x = dictionary.synthesize(codes)
    assert np.array_equal(x, loaded.synthesize(codes))
    assert np.array_equal(dictionary.analyze(x), loaded.analyze(x))


@pytest.mark.filterwarnings("ignore:.*did not reach tol")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_hierarchy_comes_back_with_equal_codes(dtype, tmp_path):
    model = hierarchy(dtype)
    loaded = there_and_back(model, tmp_path / "hierarchy.zip")
    x = RNG.standard_normal((3, 1, 8, 8)).astype(dtype)
    for solver in (sc.ForwardTransform(), sc.ISTA(max_iter=5, tol=1e-1)):
        codes = model.encode(x, solver)
        assert codes.dtype == dtype and np.array_equal(codes, loaded.encode(x, solver))
    level = there_and_back(model.levels[0], tmp_path / "level.zip")
    assert level.output_shape == model.levels[0].output_shape


def test_every_class_that_a_file_may_name_was_tried():
    kinds = {type(layer) for layer, _ in LAYERS.values()} | {type(prior) for prior in PRIORS}
    kinds |= {sc.Dictionary, sc.ConvDictionary, sc.Level, sc.Hierarchy}
    assert kinds == set(persistence.KINDS.values())


def test_a_loaded_network_can_be_trained_on(tmp_path):
    network = there_and_back(hierarchy().to_network(), tmp_path / "n.zip")
    name, value = next(iter(network.params.items()))
    trained = network.with_params({name: value + 1})
    assert np.array_equal(trained.params[name], network.params[name] + 1)
    with pytest.raises(ValueError, match="read-only"):
        value += 1  # a pullback may still read it


def test_the_same_model_gives_the_same_bytes(tmp_path, monkeypatch):
    sc.save(hierarchy(), tmp_path / "a")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    sc.save(sc.load(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_a_plain_zip_that_numpy_and_unzip_read(tmp_path):
    model = sc.Linear(weights(2, 3))
    sc.save(model, tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as archive:
        assert np.array_equal(archive["model.weights"], model.weights)
    with zipfile.ZipFile(tmp_path / "model.npz") as archive:
        assert archive.testzip() is None
        entry = json.loads(archive.read("manifest.json"))["arrays"]["model.weights"]
        data = archive.read("model.weights.npy")
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()


class OwnPrior(sc.Exponential):
    """A subclass would come back as its base."""


@pytest.mark.parametrize(
    "model,where",
    [
        (sc.Activation(ActivationPrior(np.tanh)), "model.prior"),
        (sc.Network([sc.Flatten(), sc.Activation(OwnPrior(0.1))]), "model.layers.1.prior"),
        (sc.explain("softplus"), "model is"),
        (sc.Exponential, "model is"),
        (object(), "model is"),
        (np.ones(3), "model is"),
        ([sc.Flatten()], "model is"),
    ],
)
def test_what_has_no_place_in_a_file_is_refused_by_place(model, where, tmp_path):
    with pytest.raises(sc.InputTypeError, match=where):
        sc.save(model, tmp_path / "model.zip")
    assert list(tmp_path.iterdir()) == []


# -- damage ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file with a few thousand bytes, half of them weights."""
    path = tmp_path_factory.mktemp("good") / "model.zip"
    sc.save(hierarchy().to_network(), path)
    return path.read_bytes()


def refused(data, path, *words):
    path.write_bytes(data)
    with pytest.raises(sc.ModelFileError) as caught:
        sc.load(path)
    text = str(caught.value)
    assert str(path) in text and "expected" in text and len(text) < 1000
    assert all(word in text for word in words), text


def test_no_flipped_bit_goes_unnoticed(good, tmp_path, scale):
    rng = np.random.default_rng(1)
    for _ in range(scale(300, 5000)):
        data = bytearray(good)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        refused(bytes(data), tmp_path / "flipped.zip")


def test_no_cut_goes_unnoticed(good, tmp_path):
    lengths = np.random.default_rng(2).integers(0, len(good), 500)
    for length in [*range(10), *lengths.tolist(), len(good) - 1]:
        refused(good[:length], tmp_path / "cut.zip")


def test_no_splice_goes_unnoticed(good, tmp_path):
    rng = np.random.default_rng(3)
    done = 0
    while done < 500:
        a, b, c = rng.integers(0, len(good), 3)
        n = rng.integers(1, 200)
        data = [
            good[:a] + good[b:],
            good[:a] + good[b : b + n] + good[a:],
            good[:a] + bytes(n) + good[a + n :],
            good[:a] + good[c : c + n] + good[a + n :],
        ][done % 4]
        if data != good:
            refused(data, tmp_path / "spliced.zip")
            done += 1
    refused(good + good, tmp_path / "spliced.zip")
    refused(good + b"\n", tmp_path / "spliced.zip", "checksum")


def test_no_damage_behind_a_right_seal_is_silent_or_another_error(good, tmp_path, scale):
    """Whoever changes a file and its seal meets the structural checks; only our error comes out."""
    rng, path, same = np.random.default_rng(4), tmp_path / "resealed.zip", sc.load
    expected = hierarchy().to_network().params
    for _ in range(scale(300, 3000)):
        data = bytearray(good[:-64])
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data) - len(storage._SEAL))] ^= 1 << rng.integers(8)
        path.write_bytes(sealed(bytes(data)))
        try:
            params = same(path).params
        except sc.ModelFileError:
            continue
        # what is left were bytes that mean nothing, such as a date, or settings without a number
        assert all(np.array_equal(params[k], v) for k, v in expected.items())


@pytest.mark.parametrize("kind", ["pickle", "npz", "npy", "text", "empty", "zip", "picture"])
def test_a_file_of_another_kind_is_refused(kind, tmp_path):
    stream = io.BytesIO()
    if kind == "npz":
        np.savez(stream, x=np.ones(3))
    elif kind == "npy":
        np.save(stream, np.ones(3))
    elif kind == "zip":
        zipfile.ZipFile(stream, "w").close()
    elif kind != "empty":
        texts = {"pickle": pickle.dumps([1, 2]), "text": b"{}", "picture": b"\x89PNG\r\n\x1a\n"}
        stream.write(texts[kind])
    refused(stream.getvalue(), tmp_path / "other.zip")


# -- hostile files --------------------------------------------------------------------------
def sealed(data):
    return data + hashlib.sha256(data).hexdigest().encode()


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0))
    return stream.getvalue()


def npy_header(text, data=b""):
    text = text + " " * (63 - (10 + len(text)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def forged(members, *, compression=zipfile.ZIP_STORED):
    """A zip of these (name, bytes) with a right seal."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of the names that come twice
        archive.comment = storage._SEAL + b"0" * 64
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return sealed(stream.getvalue()[:-64])


def manifest(model, arrays=None, **other):
    stated = {"format": "sparsecnn", "version": 1, "model": model, "arrays": arrays or {}}
    return "manifest.json", json.dumps({**stated, **other}).encode()


def entry(data, dtype="<f8", shape=(1, 2)):
    return {"dtype": dtype, "shape": list(shape), "sha256": hashlib.sha256(data).hexdigest()}


def linear(data, name="w", **described):
    """Members of a file with one dense layer."""
    node = {"kind": "Linear", "params": {"weights": {"array": name}}}
    return [manifest(node, {name: entry(data, **described)}), (f"{name}.npy", data)]


def test_the_forger_can_also_write_a_right_file(tmp_path):
    path = tmp_path / "right.zip"
    path.write_bytes(forged(linear(npy(np.ones((1, 2))))))
    assert np.array_equal(sc.load(path).weights, np.ones((1, 2)))


def kind(name, **params):
    return {"kind": name, "params": params}


ONES = npy(np.ones((1, 2)))
LONG = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"
NODES = {
    "a class of Python": kind("os.system", command="touch x"),
    "a function": kind("eval", source="1"),
    "a class of the package that is no model": kind("FISTA", tol=1.0),
    "a kind that is no text": {"kind": ["Linear"], "params": {}},
    "a kind of another case": kind("linear", weights=[[1.0]]),
    "an unknown argument": kind("Flatten", __class__="Linear"),
    "a missing argument": kind("Linear"),
    "a tree in place of numbers": kind("Linear", weights=kind("Flatten")),
    "weights that are no number": kind("Linear", weights=[["a"]]),
    "an infinite weight": kind("Linear", weights=[[{"float": "inf"}]]),
    "a weight that is none": kind("Linear", weights=[[{"float": "nan"}]]),
    "a float that is none": kind("Laplace", lam={"float": "x"}),
    "an array that is not there": kind("Linear", weights={"array": "w"}),
    "a negative rate": kind("Laplace", lam=-1.0),
    "a network of priors": kind("Network", layers=[kind("NonNegative")]),
    "a network of nothing": kind("Network", layers=[]),
    "levels that do not fit": kind(
        "Hierarchy",
        levels=[
            kind("Level", dictionary=kind("Dictionary", atoms=[[1.0]]), prior=kind("NonNegative")),
            kind("Level", dictionary=kind("Dictionary", atoms=[[1.0] * 3]),
                 prior=kind("NonNegative")),
        ],
    ),
    "an image of 10^18 pixels": kind(
        "ConvDictionary", filters=[[[[1.0]]]], image_shape=[10**9, 10**9]
    ),
    "a formula that runs code": kind("SymbolicPrior", formula="__import__('os').system('ls')"),
    "a formula of many digits": kind("SymbolicPrior", formula="exp(exp(exp(exp(exp(9)))))*abs(z)"),
    "a formula of huge powers": kind("SymbolicPrior", formula="((((2**12)**12)**12)**12)**12*z**2"),
    "a formula of huge merged powers": kind("SymbolicPrior", formula="((z**12)**12)**12"),
    "nothing": {},
    "a list": [kind("Flatten")],
    "a number": 1.5,
}  # fmt: skip
MEMBERS = {
    "a pickled array": linear(npy(np.array([[None, 1]], dtype=object)), dtype="|O"),
    "a header of 8 TB": linear(npy_header(LONG, bytes(16)), shape=(1000000, 1000000)),
    "a negative shape": linear(npy_header(LONG.replace("1000000", "-1"), bytes(8)), shape=(-1, -1)),
    "a header that is code": linear(npy_header("__import__('os').system('ls')")),
    "a long header": linear(npy_header("{'descr': '<f8'," + " " * 50_000 + "}")),
    "text": linear(npy(np.array([["ab", "c"]])), dtype="<U2"),
    "complex numbers": linear(npy(np.ones((1, 2), complex)), dtype="<c16"),
    "records": linear(npy(np.zeros((1, 2), dtype=[("u", "f8")])), dtype="[('u', '<f8')]"),
    "dates": linear(npy(np.zeros((1, 2), "M8[s]")), dtype="<M8[s]"),
    "another shape": linear(ONES, shape=(2, 1)),
    "another type": linear(ONES, dtype="<i8"),
    "another checksum": [linear(npy(np.zeros((1, 2))))[0], ("w.npy", ONES)],
    "NaN weights": linear(npy(np.full((1, 2), np.nan))),
    "an array too many": [*linear(ONES), ("more.npy", ONES)],
    "an array that nothing uses": [
        manifest(kind("Flatten"), {"w": entry(ONES)}), ("w.npy", ONES),
    ],
    "an array that is missing": linear(ONES)[:1],
    "an array twice": [*linear(ONES), ("w.npy", ONES)],
    "two manifests": [linear(ONES)[0], *linear(ONES)],
    "no manifest": linear(ONES)[1:],
    "the manifest last": linear(ONES)[::-1],
    "a name that climbs": linear(ONES, name="../w"),
    "an absolute name": linear(ONES, name="/tmp/w"),
    "a name of another system": linear(ONES, name="C:\\w"),
    "another name than listed": [linear(ONES)[0], ("v.npy", ONES)],
    "a folder": [*linear(ONES), ("folder/", b"")],
    "a manifest of another kind": [manifest(kind("Flatten"), format="onnx")],
    "a manifest that is no object": [("manifest.json", b"[]")],
    "a manifest that is no JSON": [("manifest.json", b"\xff{")],
    "a manifest nested 100,000 deep": [("manifest.json", b"[" * 100_000)],
    "a number of 100,000 digits": [("manifest.json", b"9" * 100_000)],
    "a huge manifest": [manifest("x" * 3_000_000)],
    "arrays that are a list": [("manifest.json", manifest(kind("Flatten"))[1].replace(
        b'"arrays": {}', b'"arrays": []'))],
    "nothing": [],
}  # fmt: skip
HOSTILE = {
    **{f"node: {name}": [manifest(node)] for name, node in NODES.items()},
    **{f"member: {name}": members for name, members in MEMBERS.items()},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_soon_and_without_much_memory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = forged(HOSTILE[name])
    sc.SymbolicPrior("abs(z)")  # what is imported for a formula is not what is measured
    tracemalloc.start()
    started = time.perf_counter()
    refused(data, tmp_path / "m.zip")
    seconds, (_, peak) = time.perf_counter() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10 and peak < 1e8
    assert [p.name for p in tmp_path.iterdir()] == ["m.zip"]


def test_a_newer_version_says_what_to_do(tmp_path):
    refused(forged([manifest(kind("Flatten"), version=2)]), tmp_path / "m.zip", "version 2")


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    data = npy(np.zeros((1, 2**25)))
    bomb = forged(linear(data, shape=(1, 2**25)), compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1e6
    tracemalloc.start()
    refused(bomb, tmp_path / "bomb.zip", "compressed")
    assert tracemalloc.get_traced_memory()[1] < 2e7
    tracemalloc.stop()


def test_a_compressed_member_is_refused_even_if_it_is_no_bomb(tmp_path):
    data = npy(weights(3, 5))
    packed = forged(linear(data, shape=(3, 5)), compression=zipfile.ZIP_DEFLATED)
    refused(packed, tmp_path / "packed.zip", "compressed")


def test_members_that_overlap_are_refused(tmp_path):
    """Many entries that share their bytes would unpack to more than the file holds."""
    data = npy(np.zeros((1, 10_000)))
    forged_once = forged(linear(data, shape=(1, 10_000)))[:-64]
    start = forged_once.index(b"PK\x01\x02", forged_once.index(b"w.npy") + len(data))
    end = forged_once.index(b"PK\x05\x06")
    last = forged_once[forged_once.rindex(b"PK\x01\x02", 0, end) : end]
    tail = bytearray(forged_once[end:])
    count = 2 + 9
    tail[8:10] = tail[10:12] = count.to_bytes(2, "little")
    tail[12:16] = (end - start + 9 * len(last)).to_bytes(4, "little")
    data = forged_once[:end] + last * 9 + bytes(tail)
    refused(sealed(data), tmp_path / "overlap.zip", "more than it holds")


# -- saving ---------------------------------------------------------------------------------
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_keeps_the_old_file_and_leaves_nothing_else(
    call, error, tmp_path, monkeypatch
):
    path = tmp_path / "model.zip"
    sc.save(sc.Laplace(1.0), path)
    old = path.read_bytes()

    def fail(*arguments):
        raise error

    if call == "write":
        monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    else:
        monkeypatch.setattr(storage.os, call, fail)
    expected = sc.ModelFileError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        sc.save(hierarchy(), path)
    if isinstance(error, OSError):
        text = str(caught.value)
        assert str(path) in text and "No space left" in text and "bytes" in text
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_full_disk_keeps_the_old_file(tmp_path):
    """A limit on the size of files stands for the disk; the system itself says no."""
    code = (
        "import resource, signal, sys, numpy as np, sparsecnn as sc\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "sc.save(sc.Laplace(1.0), sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n    sc.save(sc.Linear(np.ones((100, 100))), sys.argv[1])\n"
        "except sc.ModelFileError as error:\n    print(error)\n"
    )
    path = tmp_path / "model.zip"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert str(path) in done.stdout and "80,000 bytes" in done.stdout
    assert repr(sc.load(path)) == "Laplace(lam=1)" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_kill_while_saving_leaves_a_whole_file(tmp_path, scale):
    code = (
        "import sys, numpy as np, sparsecnn as sc\n"
        "models = [sc.Linear(np.full((200, 200), k)) for k in (1.0, 2.0)]\n"
        "sc.save(models[0], sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True:\n    for m in models: sc.save(m, sys.argv[1])\n"
    )
    path, rng = tmp_path / "model.zip", np.random.default_rng(5)
    for _ in range(scale(2, 60)):
        command = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        weights = sc.load(path).weights
        assert weights[0, 0] in (1.0, 2.0) and (weights == weights[0, 0]).all()


def test_what_a_killed_save_left_goes_after_an_hour(tmp_path):
    old, new = tmp_path / ".sparsecnn-0.part", tmp_path / ".sparsecnn-1.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * storage.ABANDONED,) * 2)
    sc.save(sc.NonNegative(), tmp_path / "model.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == [new.name, "model.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links are POSIX")
def test_mode_bits_and_links_survive_a_save(tmp_path):
    path, link = tmp_path / "model.zip", tmp_path / "link"
    sc.save(sc.Laplace(1.0), path)
    path.chmod(0o640)
    link.symlink_to(path)
    sc.save(sc.Laplace(2.0), link)
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sc.load(path).lam == sc.load(link).lam == 2.0


def test_a_place_where_no_file_can_be_is_named(tmp_path):
    locked = tmp_path / "locked.zip"
    locked.write_bytes(b"")
    locked.chmod(0o444)
    for path, word in (
        (tmp_path, "folder"),
        (tmp_path / "none" / "model.zip", "No such file"),
        (locked, "read-only"),
        (tmp_path / ("x" * 300), "too long"),
    ):
        with pytest.raises(sc.ModelFileError, match=word) as caught:
            sc.save(sc.Laplace(1.0), path)
        assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == [locked] and locked.read_bytes() == b""


@pytest.mark.parametrize("path", [None, 3, b"x", 1.5, ["a"], "", "a\0b"], ids=repr)
def test_a_path_that_is_none_is_refused(path):
    for action in (lambda: sc.load(path), lambda: sc.save(sc.Laplace(1.0), path)):
        with pytest.raises((sc.InputError, sc.InputTypeError), match="path is"):
            action()


def test_a_file_that_is_not_there_or_none_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "none.zip", pathlib.Path(os.devnull)):
        with pytest.raises(sc.ModelFileError, match="cannot be opened") as caught:
            sc.load(path)
        assert str(path) in str(caught.value)


# -- on the command line --------------------------------------------------------------------
def run(capsys, *arguments):
    code = cli.main(["regions", *map(str, arguments)])
    return code, *capsys.readouterr()


@pytest.fixture
def saved(tmp_path):
    """A saved network of two layers on four pixels, and the network."""
    layers = [sc.Conv2D(weights(2, 1, 1, 2), [0.3, -0.2]), sc.Activation("relu")]
    layers += [sc.Conv2D(weights(3, 2, 1, 2, seed=2), [0.1, 0.2, -0.4]), sc.Activation("relu")]
    path = tmp_path / "network.zip"
    sc.save(sc.Network(layers), path)
    return path, sc.Network(layers)


def test_the_command_counts_a_saved_network_layer_by_layer(capsys, saved):
    path, network = saved
    code, out, err = run(capsys, path, "--input", "1,1,4", "--json", "--samples", "3000")
    found = json.loads(out)
    assert (code, err) == (0, "")
    first, second = found["layers"]
    whole = found["network"]
    for row, model, shape in ((first, network.layers[:2], (1, 1, 4)),
                              (second, network.layers[2:], (2, 1, 3))):  # fmt: skip
        layer = model[0]
        expected = regions.architecture(shape, len(layer.filters), (1, 2))
        assert row["architecture"]["exact"] == row["architecture"]["formula"] == expected.exact
        assert row["given"]["exact"] == regions.count(model, shape).exact <= expected.exact
    assert whole["given"]["exact"] == regions.count(network, (1, 1, 4)).exact
    bounds = whole["architecture"]
    assert bounds["exact"] is None and bounds["formula"] is None
    assert bounds["lower"] == 320 and whole["given"]["exact"] <= bounds["upper"] <= 3135
    for row in (first, second, whole):
        assert 1 < row["sample"]["sampled"] <= row["given"]["exact"]


def test_the_table_puts_the_numbers_side_by_side(capsys, saved):
    code, out, _ = run(capsys, saved[0], "--input", "1,1,4", "--samples", "100")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["output", "formula", "generic", "lower", "upper", "these",
                                "weights", "sampled"]  # fmt: skip
    assert [line.split("  ")[0] for line in lines[1:4]] == [
        "1 Conv2D Activation", "2 Conv2D Activation", "network"]  # fmt: skip
    assert "about the best weights" in out


def test_a_saved_hierarchy_knows_its_input_and_is_cut_through_digits(capsys, tmp_path):
    filters = weights(2, 1, 3, 3)
    level = sc.Level(sc.ConvDictionary(filters, (8, 8), stride=2), sc.Exponential(0.1))
    path, picture = tmp_path / "hierarchy.zip", tmp_path / "cut.png"
    sc.save(sc.Hierarchy([level]), path)
    code, out, _ = run(capsys, path, "--out", picture, "--samples", "50")
    assert code == 0 and "triangle of three inputs" in out and "areas add up to 0.5 of 0.5" in out
    assert "exact count left out: the first layer alone has at least 2^18" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, _, err = run(capsys, path, "--input", "1,9,9")
    assert code == 1 and "(1, 8, 8)" in err


def test_a_saved_dictionary_is_its_layer_and_points_may_come_from_a_file(capsys, tmp_path):
    path, points = tmp_path / "dictionary.zip", tmp_path / "points.npy"
    sc.save(sc.ConvDictionary(weights(2, 1, 2, 2), (3, 3)), path)
    corners = weights(3, 3, 3)
    np.save(points, corners)
    code, out, _ = run(capsys, path, "--points", points, "--json", "--samples", "50")
    found = json.loads(out)
    layer = [sc.Conv2D(weights(2, 1, 2, 2)), sc.Activation("relu")]
    cut = regions.plane_slice(layer, corners[:, None])
    assert code == 0 and found["slice"]["n_regions"] == cut.n_regions
    assert found["network"]["given"]["exact"] == 254  # eight hyperplanes through one point
    np.savez(tmp_path / "few.npz", weights(2, 3, 3))
    for wrong in (tmp_path / "few.npz", path, tmp_path / "none.npy"):
        code, _, err = run(capsys, path, "--points", wrong)
        assert code == 1 and "--points" in err


def test_pools_and_other_bends_have_rows_of_their_own():
    shape, conv = (1, 2, 3), sc.Conv2D(weights(2, 1, 2, 2), [0.1, 0.2])
    layers = [conv, sc.Activation("leaky_relu"), sc.MaxPool((1, 2)), sc.Flatten(),
              sc.Linear(weights(3, 2))]  # fmt: skip
    first, pool, whole = regions.by_layer(layers, shape, n_samples=2000, random_state=0).rows
    assert first.architecture == regions.architecture(shape, 2, 2)
    assert pool.given.exact == pool.architecture.exact == 2**2
    assert pool.given.exact == regions.count(layers[2], (2, 1, 2)).exact
    assert whole.given.exact == regions.count(layers, shape).exact <= whole.architecture.upper
    clipped = [conv, sc.Activation("hardtanh")]
    (row, _) = regions.by_layer(clipped, shape, n_samples=500, random_state=0).rows
    assert row.architecture.exact == regions.architecture(shape, 2, 2, breakpoints=2).exact


@pytest.mark.share(2)
@pytest.mark.parametrize("seed", range(6))
def test_lower_and_upper_bounds_hold_the_count_of_random_networks(seed):
    rng = np.random.default_rng(seed)
    kinds = ["relu", "leaky_relu", "hardtanh"]
    layers, width = [], 3
    for _ in range(2):
        new = int(rng.integers(2, 4))
        layers += [sc.Linear(rng.standard_normal((new, width)), rng.standard_normal(new)),
                   sc.Activation(kinds[rng.integers(3)])]  # fmt: skip
        width = new
    *_, whole = regions.by_layer(layers, (3,), n_samples=2000, random_state=rng).rows
    assert whole.sample.sampled <= whole.given.exact <= whole.architecture.upper


@pytest.mark.parametrize(
    "arguments,word",
    [
        (["--filters", "3"], "--filters"),
        ([], "--input"),
        (["--input", "2,2"], "Conv2D"),
    ],
)
def test_arguments_that_do_not_go_with_a_saved_network_are_refused(arguments, word, capsys, saved):
    code, out, err = run(capsys, saved[0], *arguments)
    assert (code, out) == (1, "") and word in err


def test_a_bad_file_or_model_is_bad_input(capsys, tmp_path, good):
    bad = tmp_path / "bad.zip"
    bad.write_bytes(good[:-1])
    code, out, err = run(capsys, bad)
    assert (code, out) == (1, "") and str(bad) in err and len(err.splitlines()) == 1
    for model, word in ((sc.Laplace(1.0), "no linear regions"), (sc.L2Pool(2), "curved")):
        sc.save(model, bad)
        code, _, err = run(capsys, bad, "--input", "1,2,2")
        assert code == 1 and word in err
    code, _, err = run(capsys, "--points", "x.npy")
    assert code == 1 and "MODEL" in err
