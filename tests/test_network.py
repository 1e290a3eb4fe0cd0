"""Networks: the classes they predict, the inputs they take, what a file keeps of both."""

from __future__ import annotations

import json

import numpy as np
import pytest
import test_storage

import sparsecnn as sc
from sparsecnn import cli

RNG = np.random.default_rng(0)
LABELS = {
    "texts": ["no", "yes, often", "ünïcode\n"],
    "integers": [-3, 7, 2**40],
    "small integers": np.array([3, 5, 9], np.uint8),
    "floats": [0.5, -1.25, 1e300],
    "single floats": np.array([0.1, 0.2, 0.3], np.float32),
    "texts in an array": np.array(["a", "bb", "c"]),
    "texts as objects": np.array(["a", "bb", "c"], object),
    "truth values": [False, True],
}


def draw(*shape):
    return RNG.standard_normal(shape)


def dense(n_outputs, **known):
    return sc.Network([sc.Flatten(), sc.Linear(draw(n_outputs, 6), draw(n_outputs))], **known)


def there_and_back(model, tmp_path):
    sc.save(model, tmp_path / "model.zip")
    return sc.load(tmp_path / "model.zip")


# -- classes --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("two", [False, True], ids=["a column a class", "one column for two"])
def test_a_network_predicts_its_classes_also_from_its_file(name, two, tmp_path):
    labels = np.asarray(LABELS[name])[:2] if two else np.asarray(LABELS[name])
    network, x = dense(1 if two else len(labels), classes=labels), draw(50, 1, 2, 3)
    scores = network(x)
    index = (scores[:, 0] > 0).astype(int) if two else scores.argmax(axis=1)
    assert len(np.unique(index)) == len(labels)
    loaded = there_and_back(network, tmp_path)
    assert repr(loaded) == repr(network)
    for model in (network, loaded, network.with_params(network.params)):
        predicted = model.predict(x)
        assert np.array_equal(predicted, labels[index])
        assert np.array_equal(model.classes, labels) and model.classes.dtype == predicted.dtype
        assert labels.dtype == object or predicted.dtype.kind == labels.dtype.kind
    if labels.dtype.kind in "iufb":
        assert loaded.classes.dtype == labels.dtype


@pytest.mark.parametrize("n_outputs", [1, 2, 5])
def test_a_network_without_classes_predicts_indices(n_outputs):
    network, x = dense(n_outputs), draw(200, 6)
    logits = network(x) if n_outputs > 1 else np.hstack([0 * network(x), network(x)])
    predicted = network.predict(x)
    assert np.array_equal(predicted, logits.argmax(axis=1)) and predicted.dtype.kind == "i"
    assert len(set(predicted)) > 1
    assert network.predict(np.zeros((0, 6))).shape == (0,)


@pytest.mark.parametrize("names", [["cat", "dog"], [3, 8], [1.0, 2.0], [False, True], "abc"])
def test_the_network_of_a_classifier_predicts_what_the_classifier_predicts(names, tmp_path):
    from sklearn.datasets import load_digits

    digits, n_classes = load_digits(), len(names)
    chosen = digits.target < n_classes
    images, y = digits.images[chosen][:160] / 16, np.array(list(names))[digits.target[chosen][:160]]
    classifier = sc.SparseCNNClassifier((4,), pool=2, n_epochs=1, random_state=0).fit(images, y)
    network = classifier.to_network()
    assert network.input_shape == classifier.image_shape_ == (1, 8, 8)
    expected = classifier.predict(images)
    assert set(expected) == set(names) and (expected == y).mean() > 0.9
    for model in (network, there_and_back(network, tmp_path)):
        predicted = model.predict(images[:, None])
        assert np.array_equal(predicted, expected) and predicted.dtype == y.dtype
        assert (model(images[:, None]).shape[1] == 1) == (n_classes == 2)


@pytest.mark.parametrize(
    "classes, error, said",
    [
        ("ab", sc.InputTypeError, "Write them as a list"),
        ({"a", "b"}, sc.InputTypeError, "Write them as a list"),
        (2, sc.InputTypeError, "Write them as a list"),
        (["a", 1], sc.InputTypeError, "of one kind"),
        ([True, 2], sc.InputTypeError, "of one kind"),
        ([b"a", b"b"], sc.InputTypeError, "of one kind"),
        ([1j, 2], sc.InputTypeError, "of one kind"),
        (np.array(["2024-01-01", "2024-01-02"], "M8[D]"), sc.InputTypeError, "convert them"),
        ([[1, 2], [3, 4]], sc.InputTypeError, "of one kind"),
        ([2**70, 1], sc.InputTypeError, "of one kind"),
        ([], sc.InputTypeError, "of one kind"),
        (["a"], sc.InputError, "at least two"),
        (["a", "b", "a"], sc.InputError, "all different"),
        ([1.0, np.nan], sc.InputError, "none NaN"),
    ],
)
def test_labels_that_cannot_name_classes_are_refused(classes, error, said):
    with pytest.raises(error, match=said):
        dense(2, classes=classes)


def test_outputs_that_name_no_class_are_refused():
    for n_outputs, n_classes in ((3, 2), (2, 3), (1, 3)):
        with pytest.raises(sc.InputError, match=rf"{n_outputs} outputs and {n_classes} classes"):
            dense(n_outputs, classes=range(n_classes)).predict(draw(2, 6))
    with pytest.raises(sc.InputError, match=r"shape \(2, 3, 2, 2\); expected one score per class"):
        sc.Network([sc.Activation("relu")]).predict(draw(2, 3, 2, 2))
    for n_outputs in (1, 4):
        x = draw(5, 6)
        x[3:, 2] = np.nan
        with pytest.raises(sc.InputError, match=r"NaN for 2 of 5 samples, first x\[3\]"):
            dense(n_outputs).predict(x)


def test_the_classes_of_a_network_are_its_own():
    names = np.array([1, 2])
    network = dense(2, classes=names)
    names[:] = 7
    assert network.classes.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        network.classes[0] = 7


# -- the input's shape ----------------------------------------------------------------------
def conv(**known):
    layers = [sc.Conv2D(draw(2, 1, 3, 3)), sc.Activation("relu"), sc.Flatten()]
    return sc.Network([*layers, sc.Linear(draw(3, 24), draw(3))], **known)


def test_a_network_that_knows_its_input_refuses_another(tmp_path):
    network = conv(input_shape=[1, 5, np.int64(6)])
    for model in (network, there_and_back(network, tmp_path), network.with_params({})):
        assert model.input_shape == (1, 5, 6)
        assert model(draw(2, 1, 5, 6)).shape == (2, 3)
        for wrong in ((2, 1, 6, 5), (2, 5, 6), (1, 5, 6), (2, 30), (2, 1, 5, 6, 1)):
            said = r"Network: a sample of x has shape .*; expected \(1, 5, 6\).* adds a channel"
            with pytest.raises(sc.InputError, match=said):
                model.forward(draw(*wrong))
        with pytest.raises(sc.InputError, match=r"expected \(1, 5, 6\)"):
            model.predict(draw(2, 1, 4, 6).tolist())


def test_a_network_that_begins_with_flatten_takes_its_features_in_any_arrangement():
    x = draw(4, 1, 2, 3)
    network = dense(2, input_shape=(6,))
    for arranged in (x, x.reshape(4, 6), x.reshape(4, 3, 2)):
        np.testing.assert_array_equal(network(arranged), network(x))
    with pytest.raises(sc.InputError, match=r"shape \(1, 2, 2\); expected \(6,\)"):
        network(x[..., :2])
    pictures = dense(2, input_shape=(1, 2, 3))
    assert pictures(x).shape == (4, 2)
    with pytest.raises(sc.InputError, match=r"shape \(6,\); expected \(1, 2, 3\)"):
        pictures(x.reshape(4, 6))


@pytest.mark.parametrize("wrong", [6, (2.5,), (0, 3), "ab", (True, 2)])
def test_a_shape_that_is_none_is_refused(wrong):
    with pytest.raises((sc.InputError, sc.InputTypeError), match="input_shape is"):
        conv(input_shape=wrong)


# -- summary and repr -----------------------------------------------------------------------
def test_the_summary_needs_no_shape_where_the_network_knows_it():
    known = conv(input_shape=(1, 5, 6), classes=["a", "b", "c"])
    unknown = sc.Network(known.layers)
    lines = known.summary().splitlines()
    assert lines[:-1] == unknown.summary((1, 5, 6)).splitlines()
    assert lines[-1] == "3 classes: 'a', 'b', 'c'"
    assert [line.split()[-1] for line in lines[1:-1]] == ["6)", "18", "0", "0", "75", "93"]
    assert lines == known.summary((1, 5, 6)).splitlines()
    with pytest.raises(sc.InputTypeError, match="input_shape is None; expected the shape of one"):
        unknown.summary()
    with pytest.raises(sc.InputError, match=r"shape \(1, 6, 5\); expected \(1, 5, 6\)"):
        known.summary((1, 6, 5))


def test_what_a_network_knows_is_shown():
    assert repr(dense(2)) == "Network(Flatten(), Linear(6 -> 2))"
    told = repr(dense(2, input_shape=(6,), classes=["no", "yes"]))
    assert told == "Network(Flatten(), Linear(6 -> 2), input_shape=(6,), classes=['no', 'yes'])"
    many = dense(20, input_shape=(6,), classes=range(20))
    assert repr(many).endswith("classes=[0, 1, 2, 3, ..., 19])")
    assert many.summary().endswith("20 classes: 0, 1, 2, 3, ..., 19")


def test_what_a_network_takes_is_said():
    with pytest.raises(sc.InputTypeError, match=r"Write Network\(\[Flatten\(\)\]\)"):
        sc.Network(sc.Flatten())
    with pytest.raises(sc.InputTypeError, match="layers is 3; expected a sequence"):
        sc.Network(3)
    with pytest.raises(sc.InputTypeError, match=r"layers\[1\] is 'relu'; expected a Layer"):
        sc.Network([sc.Flatten(), "relu"])
    with pytest.raises(sc.InputError, match="layers is empty"):
        sc.Network([])
    network = sc.Network([sc.Flatten()])
    with pytest.raises(sc.InputTypeError, match=r"input_shape is 6.*\(6,\)"):
        network.summary(6)
    with pytest.raises(sc.InputTypeError, match=r"input_shape is 2.5.*Convert it with int"):
        network.summary((2.5,))
    with pytest.raises(sc.InputTypeError, match=r"integer >= 1\.$"):
        network.summary("ab")


# -- parameters and gradients ---------------------------------------------------------------
def test_parameters_and_gradients_are_named_by_layer():
    network, x = conv(), draw(4, 1, 5, 6)
    assert list(network.params) == ["0.filters", "3.weights", "3.bias"]
    y, pullback = network.forward(x)
    dx, grads = pullback(y)
    assert dx.shape == x.shape and grads.keys() == network.params.keys()
    hidden, first = sc.Network(network.layers[:3]).forward(x)
    np.testing.assert_array_equal(grads["3.weights"], y.T @ hidden)
    wanted = first(y @ network.layers[3].weights)
    np.testing.assert_array_equal(dx, wanted[0])
    np.testing.assert_array_equal(grads["0.filters"], wanted[1]["0.filters"])
    bias = np.array([1.0, 2.0, 3.0])
    moved = network.with_params({"3.bias": bias})
    np.testing.assert_array_equal(moved.params["3.bias"], bias)
    assert moved.layers[0] is network.layers[0]
    with pytest.raises(sc.InputError, match=r"Network: params has unknown names \['4.bias'\]"):
        network.with_params({"4.bias": bias})


# -- files and the command line -------------------------------------------------------------
def test_a_file_from_before_networks_knew_more_is_read(tmp_path):
    layers = [{"kind": "Flatten", "params": {}}]
    node = {"kind": "Network", "params": {"layers": layers}}
    path = tmp_path / "old.zip"
    path.write_bytes(test_storage.forged([test_storage.manifest(node)]))
    network = sc.load(path)
    assert network.input_shape is None and network.classes is None
    np.testing.assert_array_equal(network(np.ones((2, 1, 3))), np.ones((2, 3)))


@pytest.mark.parametrize(
    "known, said",
    [
        ({"input_shape": [10**5, 10**5]}, "pixels or codes"),
        ({"input_shape": [-1]}, "input_shape"),
        ({"input_shape": "ab"}, "input_shape"),
        ({"classes": ["a", "a"]}, "all different"),
        ({"classes": [["a"], ["b"]]}, "of one kind"),
        ({"classes": {"kind": "Flatten", "params": {}}}, "of one kind"),
    ],
    ids=str,
)
def test_what_a_hostile_file_says_of_a_network_is_checked(known, said, tmp_path):
    layers = [{"kind": "Flatten", "params": {}}]
    node = {"kind": "Network", "params": {"layers": layers, **known}}
    path = tmp_path / "hostile.zip"
    path.write_bytes(test_storage.forged([test_storage.manifest(node)]))
    with pytest.raises(sc.ModelFileError, match=said):
        sc.load(path)


def test_the_command_takes_the_input_s_shape_from_the_file(capsys, tmp_path):
    layers = [sc.Conv2D(draw(2, 1, 1, 2), draw(2)), sc.Activation("relu")]
    path = tmp_path / "network.zip"
    sc.save(sc.Network(layers, input_shape=(1, 1, 4)), path)
    assert cli.main(["regions", str(path), "--json", "--samples", "100"]) == 0
    counted = json.loads(capsys.readouterr().out)["network"]["given"]["exact"]
    assert counted == sc.regions.count(layers, (1, 1, 4)).exact
    assert cli.main(["regions", str(path), "--input", "1,1,4", "--samples", "100"]) == 0
    capsys.readouterr()
    assert cli.main(["regions", str(path), "--input", "1,1,5"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "(1, 1, 5)" in err and "made for inputs of shape (1, 1, 4)" in err
