"""Architectures without weights, models of the program's own classes, and what loading says."""

import json
import warnings

import keras
import numpy as np
import pytest
from corpus_models import cases, distance
from safetensors.numpy import save_file

import holdfast
from holdfast.errors import CustomObjectError, FormatError, MismatchError
from holdfast.formats.detect import detect

ALL = {case.name: case for case in (*cases(), *cases("old"))}

SHAPES = (("kernel", (3, 3)), ("bias", (3,)))


class TwoTowers(keras.Model):
    def __init__(self):
        super().__init__()
        self.left = keras.layers.Dense(3, activation="relu", name="left")
        self.norm = keras.layers.BatchNormalization()
        self.blocks = [keras.layers.Dense(3), keras.layers.Dense(3)]
        self.last = keras.layers.Dense(2)

    def call(self, inputs, training=False):
        x = self.norm(self.left(inputs), training=training)
        for block in self.blocks:
            x = block(x) + x
        return self.last(x)


# An architecture: model.json beside weights.h5.


@pytest.mark.parametrize(
    "name", ["keras-0.3.3-theano/dense", "keras-1.2.2-tensorflow/lstm_cpu", "keras-2.2.4/dense"]
)
@pytest.mark.parametrize("twice", [False, True], ids=["", "JSON of JSON"])
def test_an_architecture_and_its_weights(name, twice, tmp_path):
    case = ALL[name]
    text = case.paths()["json"].read_text()
    path = tmp_path / "model.json"
    path.write_text(json.dumps(text) if twice else text)
    assert detect(path) == "json"
    with pytest.warns(UserWarning, match="holds no weights"):
        model = holdfast.load_model(path)
    weights = case.paths().get("h5_weights") or case.paths()["h5"]
    holdfast.load_weights(model, weights)
    inputs, outputs = case.io()
    assert distance(model(inputs, training=False), outputs) <= case.facts["tolerance"]


def test_an_architecture_of_keras_3(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    (tmp_path / "model.json").write_text(model.to_json())
    with pytest.warns(UserWarning, match="load_weights"):
        found = holdfast.load_model(tmp_path / "model.json")
    assert [variable.shape for variable in found.weights] == [(3, 2), (2,)]
    np.testing.assert_array_equal(found.layers[0].bias, [0, 0])


@pytest.mark.parametrize(
    "config",
    [
        {"name": "Graph", "node_config": []},
        {"name": "Sequential", "layers": [3]},
        {"name": "Sequential", "layers": [{"name": "Dense", "layers": []}]},
        {"class_name": "Sequential", "config": 3},
        {"class_name": 3, "config": {}},
        {"layers": {}},
    ],
)
def test_what_is_no_architecture(config, tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(config))
    with pytest.raises(FormatError):
        holdfast.load_model(tmp_path / "model.json")


def test_weights_of_keras_1_that_do_not_say_which():
    case = ALL["keras-1.0.5-theano/batchnorm"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = holdfast.load_model(case.paths()["json"])
    own = keras.Sequential.from_config(model.get_config())
    with pytest.warns(UserWarning, match=r"up to 1\.0\.5"):
        holdfast.load_weights(own, case.paths()["h5_weights"])


# Models of the program's own classes.


@pytest.mark.parametrize("form", ["keras", "saved_model"])
def test_a_class_that_is_given(form):
    case = ALL["subclassed"]
    inputs, outputs = case.io()
    with pytest.raises(CustomObjectError, match=r"custom_objects=\{'TwoTowers'.*load_weights"):
        holdfast.load_model(case.paths()[form])
    model = holdfast.load_model(case.paths()[form], custom_objects={"TwoTowers": TwoTowers})
    assert isinstance(model, TwoTowers)
    assert distance(model(inputs, training=False), outputs) <= case.facts["tolerance"]


@pytest.mark.parametrize("form", ["keras", "saved_model", "checkpoint", "h5_weights", "weights_h5"])
def test_weights_into_a_model_of_a_class(form):
    case = ALL["subclassed"]
    inputs, outputs = case.io()
    model = TwoTowers()
    model(inputs)
    holdfast.load_weights(model, case.paths()[form])
    assert distance(model(inputs, training=False), outputs) <= case.facts["tolerance"]


# What is not as it was is said.


def test_what_was_added_to_the_loss_is_named():
    with pytest.warns(UserWarning, match="add_loss, add_metric"):
        holdfast.load_model(ALL["added_loss"].paths()["h5"])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="others have float64")
def test_digits_that_the_backend_does_not_keep_are_named():
    case = ALL["float64"]
    inputs, outputs = case.io()
    with pytest.warns(UserWarning, match="JAX_ENABLE_X64=1"):
        model = holdfast.load_model(case.paths()["h5"])
    assert distance(model(inputs, training=False), outputs) <= 1e-5


@pytest.mark.parametrize("ending", [".ckpt", ".keras"])
def test_a_damaged_array_leaves_the_model_as_it_was(tmp_path, ending):
    def made():
        layers = [keras.Input((30,)), keras.layers.Dense(40), keras.layers.Dense(50)]
        return keras.Sequential(layers)

    path = tmp_path / f"model{ending}"
    write = holdfast.save_model if ending == ".keras" else holdfast.save_weights
    write(made(), path)
    data = path.with_name("model.ckpt.data-00000-of-00001") if ending == ".ckpt" else path
    whole = data.read_bytes()
    # The last array, after others that are sound; the zip is cut within it.
    kept = len(whole) - 3000
    bad = whole[:kept] + bytes([whole[kept] ^ 1]) + whole[kept + 1 :]
    data.write_bytes(bad if ending == ".ckpt" else whole[:kept])
    model = made()
    before = model.get_weights()
    with pytest.raises(FormatError):
        holdfast.load_weights(model, path)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_arrays_of_equal_shapes_under_foreign_names_are_not_guessed(tmp_path):
    def made(*names):
        layers = [keras.layers.Dense(3, name=name) for name in names]
        return keras.Sequential([keras.Input((3,)), *layers])

    path = tmp_path / "weights.safetensors"
    save_file({f"{n}/{v}": np.ones(s, "float32") for n in "ba" for v, s in SHAPES}, path)
    with pytest.raises(MismatchError, match="expected nothing"):
        holdfast.load_weights(made("dense", "a_dense"), path)
    holdfast.load_weights(made("b", "a"), path)


def test_a_model_compiled_and_never_trained_loads_without_a_word(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.25), "mse")
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = holdfast.load_model(tmp_path / "model.keras")
    assert float(again.optimizer.learning_rate) == 0.25
