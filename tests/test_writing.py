"""What is written, read by Keras 3 and by others, and that nothing is lost on the way.

Keras 2.15 reads it in tests/legacy.
"""

import errno
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from safetensors.numpy import load_file

import holdfast
from holdfast import errors
from holdfast.formats import writing
from holdfast.formats.legacy.to_keras2 import to_keras2
from holdfast.formats.live.describe_objects import configuration, objects
from holdfast.formats.live.write_image import Image, names_attribute
from holdfast.store import disk
from holdfast.store.faults import Failure, Faults

PROGRAM = Path(__file__).parent / "programs" / "writes.py"


def dense():
    return keras.Sequential([keras.Input((3,)), layers.Dense(4, "relu"), layers.Dense(2)])


def convolutions():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.SeparableConv2D(4, 2),
            layers.LeakyReLU(0.1),
            layers.UnitNormalization(axis=[1, 2]),
            layers.GlobalAveragePooling2D(),
        ]
    )


def recurrent():
    inner = layers.LSTM(2, return_sequences=True)
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 3, mask_zero=True),
            layers.Bidirectional(inner, merge_mode="mul"),
            layers.GRU(3, reset_after=False, return_sequences=True),
            layers.RNN([layers.GRUCell(2), layers.LSTMCell(3)]),
        ]
    )


def nested():
    """A model called twice, a model within a model, and layers of equal names."""
    i = keras.Input((3,))
    hidden = layers.BatchNormalization(name="n")(layers.Dense(4, name="a")(i))
    encoder = keras.Model(i, [hidden, layers.Dense(2, name="z")(hidden)], name="encoder")
    head = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a")], name="head")
    i = keras.Input((2,))
    inner = keras.Model(i, layers.Dense(3, name="a")(i), name="inner")
    deep = keras.Model(i, inner(i), name="deep")
    x, y = keras.Input((3,)), keras.Input((3,))
    u, v = encoder(x), encoder(y)
    out = layers.Concatenate()([head(u[0]), head(v[0]), deep(u[1])])
    return keras.Model([x, y], [out, deep(v[1])])


def frozen():
    """Flags that put the arrays in another order, in models of both kinds."""
    i = keras.Input((3,))
    hidden = layers.Dense(4, name="a", trainable=False)(i)
    hidden = layers.BatchNormalization(name="n")(hidden)
    encoder = keras.Model(i, layers.Dense(2, name="b")(hidden), name="encoder")
    parts = [layers.Dense(2), layers.BatchNormalization(), layers.Dense(2)]
    head = keras.Sequential([keras.Input((2,)), *parts], name="head")
    head.trainable = False
    parts[2].trainable = True
    x = keras.Input((3,))
    return keras.Model(x, layers.Dense(1)(head(encoder(x))))


def adapted():
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).random((20, 3)).astype("float32"))
    return keras.Sequential([keras.Input((3,)), normalization, layers.Dense(2)])


def attention():
    x = keras.Input((4, 6))
    return keras.Model(x, layers.MultiHeadAttention(2, 3)(x, x))


def operations():
    x = keras.Input((3,))
    return keras.Model(x, layers.Dense(2)(x * 2 + 1))


BOTH = [dense, convolutions, recurrent, nested, frozen, adapted]
KERAS_3 = [attention, operations]


def filled(build):
    """A model with weights of its own at each place."""
    model = build()
    chance = np.random.default_rng(1)
    for variable in model.weights:
        if not variable.path.startswith("normalization"):
            variable.assign(chance.random(variable.shape) + 0.1)
    return model


def inputs_of(model):
    chance = np.random.default_rng(2)
    found = []
    for tensor in model.inputs:
        shape = [length or 2 for length in tensor.shape]
        whole = "int" in tensor.dtype
        found.append(chance.integers(0, 9, shape) if whole else chance.random(shape))
    return found if len(found) > 1 else found[0]


def outputs(model, given):
    return [np.asarray(out) for out in keras.tree.flatten(model(given, training=False))]


def assert_same(loaded, model):
    given = inputs_of(model)
    for one, other in zip(outputs(loaded, given), outputs(model, given), strict=True):
        np.testing.assert_array_equal(one, other)


def assert_same_weights(loaded, model):
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one.value), np.asarray(other.value))


@pytest.mark.parametrize("ending", [".keras", ".h5", ".hdf5"])
@pytest.mark.parametrize("build", [*BOTH, *KERAS_3])
@pytest.mark.filterwarnings("ignore:.*is written in HDF5 as Keras 3 opens it")
def test_a_model_is_read_by_keras(build, ending, tmp_path):
    model = filled(build)
    writing.save_model(model, tmp_path / f"m{ending}")
    assert_same(keras.models.load_model(tmp_path / f"m{ending}"), model)


@pytest.mark.parametrize("ending", [".keras", ".h5", ".safetensors"])
@pytest.mark.parametrize("build", [*BOTH, *KERAS_3])
@pytest.mark.filterwarnings("ignore:.*is written in HDF5 as Keras 3 opens it")
def test_a_model_is_read_by_holdfast(build, ending, tmp_path):
    model = filled(build)
    holdfast.save_model(model, tmp_path / f"m{ending}")
    loaded = holdfast.load_model(tmp_path / f"m{ending}")
    assert_same(loaded, model)
    ours = sorted(np.asarray(v.value).tobytes() for v in loaded.weights)
    assert ours == sorted(np.asarray(v.value).tobytes() for v in model.weights)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5"])
@pytest.mark.parametrize("build", BOTH)
def test_weights_are_read_by_keras(build, ending, tmp_path):
    model = filled(build)
    writing.save_weights(model, tmp_path / f"w{ending}")
    loaded = build()
    loaded.load_weights(tmp_path / f"w{ending}")
    assert_same_weights(loaded, model)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".safetensors", ".ckpt", ""])
@pytest.mark.parametrize("build", [*BOTH, *KERAS_3])
def test_weights_are_read_by_holdfast(build, ending, tmp_path):
    model = filled(build)
    holdfast.save_weights(model, tmp_path / f"w{ending}")
    loaded = build()
    holdfast.load_weights(loaded, tmp_path / f"w{ending}")
    assert_same_weights(loaded, model)


def test_safetensors_are_read_by_their_own_library(tmp_path):
    model = filled(dense)
    model.compile("adam", "mse")
    writing.save_model(model, tmp_path / "m.safetensors")
    found = load_file(tmp_path / "m.safetensors")
    assert set(found) == {variable.path for variable in model.weights}
    for variable in model.weights:
        np.testing.assert_array_equal(found[variable.path], np.asarray(variable.value))
    loaded = holdfast.load_model(tmp_path / "m.safetensors")
    assert type(loaded.optimizer) is keras.optimizers.Adam


# HDF5 for Keras 2


@pytest.mark.parametrize("build", BOTH)
def test_models_that_keras_2_knows_are_in_its_dialect(build, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writing.save_model(filled(build), tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert file.attrs["keras_version"] == "2.15.0"
        assert file.attrs["backend"] == "tensorflow"
        assert "batch_shape" not in file.attrs["model_config"]


@pytest.mark.parametrize("build", KERAS_3)
def test_a_model_that_keras_2_does_not_know_is_said_to_be(build, tmp_path):
    with pytest.warns(UserWarning, match="as Keras 3 opens it, and Keras 2 does not: "):
        writing.save_model(filled(build), tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert file.attrs["keras_version"] == keras.__version__


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.RMSNormalization, "RMSNormalization 'odd': Keras 2 has no RMSNorm"),
        (lambda: layers.Activation("hard_sigmoid"), "has no activation 'hard_sigmoid' that"),
        (lambda: layers.Dense(2, activation="relu6"), "Dense 'odd': .*'relu6'"),
        (lambda: layers.Resizing(4, 4, antialias=True), "Keras 2 has no antialias=True"),
        (lambda: layers.BatchNormalization(renorm=True), "renorm"),
        (lambda: layers.SpectralNormalization(layers.Dense(2)), "no SpectralNormalization"),
    ],
)
def test_what_keras_2_would_compute_otherwise_is_refused(layer, reason):
    made = layer()
    made.name = "odd"
    shape = (8, 8, 3) if isinstance(made, layers.Resizing) else (3,)
    found = to_keras2(configuration(keras.Sequential([keras.Input(shape), made])))
    assert len(found.reasons) == 1
    assert re.search(reason, found.reasons[0]), found.reasons


def test_the_old_hard_sigmoid_keeps_its_meaning(tmp_path):
    from holdfast.layers import old_hard_sigmoid

    model = keras.Sequential(
        [keras.Input((4, 3)), layers.LSTM(2, recurrent_activation=old_hard_sigmoid)]
    )
    writing.save_model(model, tmp_path / "m.h5")
    assert_same(keras.models.load_model(tmp_path / "m.h5"), model)
    assert_same(holdfast.load_model(tmp_path / "m.h5"), model)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(0.01, amsgrad=True),
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=1.0),
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)),
        keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
        keras.optimizers.Adagrad(0.1),
        keras.optimizers.Adadelta(1.0),
        keras.optimizers.Adamax(0.01),
        keras.optimizers.Ftrl(0.1),
        keras.optimizers.AdamW(0.01),
        keras.optimizers.Lion(0.01),
        keras.optimizers.Nadam(0.01),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
@pytest.mark.filterwarnings("ignore:.*is written in HDF5 so that Keras 2")
def test_a_training_goes_on_from_hdf5(optimizer, tmp_path):
    chance = np.random.default_rng(3)
    x, y = chance.random((16, 3)), chance.random((16, 2))
    model = filled(dense)
    model.compile(optimizer, "mse", metrics=["mae", keras.metrics.RootMeanSquaredError()])
    model.fit(x, y, batch_size=4, verbose=0, shuffle=False)
    writing.save_model(model, tmp_path / "m.h5")
    loaded = holdfast.load_model(tmp_path / "m.h5")
    assert type(loaded.optimizer) is type(model.optimizer)
    for one in (model, loaded):
        one.fit(x, y, batch_size=4, verbose=0, shuffle=False)
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_keras_takes_the_arguments_of_compile_from_hdf5(tmp_path):
    model = filled(dense)
    model.compile(keras.optimizers.Adam(0.025), "mse", metrics=["mae", "accuracy"])
    writing.save_model(model, tmp_path / "m.h5")
    loaded = keras.models.load_model(tmp_path / "m.h5")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.025)
    x = np.ones((4, 3))
    found = loaded.evaluate(x, np.ones((4, 2)), verbose=0, return_dict=True)
    assert found == pytest.approx(
        model.evaluate(x, np.ones((4, 2)), verbose=0, return_dict=True), rel=1e-6
    )


def test_a_training_that_keras_2_does_not_know_is_said_to_be(tmp_path):
    model = filled(dense)
    model.compile(keras.optimizers.Lamb(), "mse")
    with pytest.warns(UserWarning, match="compile=False.*the optimizer Lamb"):
        writing.save_model(model, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert file.attrs["keras_version"] == "2.15.0"


def test_many_names_are_cut_as_keras_cuts_them():
    image = Image()
    names = [f"{'n' * 200}-{number}" for number in range(1000)]
    names_attribute(image.root, "weight_names", names)
    parts = [image.root.attrs[f"weight_names{k}"] for k in range(len(image.root.attrs))]
    assert [name.decode() for part in parts for name in part] == names
    assert len(parts) > 1


def test_the_arrays_of_hdf5_are_not_copied(tmp_path):
    """Not in memory while it is made, and every kind as h5py itself reads it."""
    big = np.arange(3 << 20, dtype="float32")
    arrays = {
        "big": big,
        "scalar": np.float64(0.5),
        "empty": np.zeros((0, 3), "float32"),
        "whole": np.arange(5),
        "half": np.ones((2, 2), "float16"),
        "truth": np.array([True, False]),
        "turned": np.arange(6.0).reshape(2, 3).T,
    }
    image = Image()
    for name, value in arrays.items():
        image.array(image.root.require_group("g"), f"in/{name}", value)
    pieces = list(image.end())
    assert any(np.shares_memory(np.frombuffer(piece, np.uint8), big) for piece in pieces)
    (tmp_path / "a.h5").write_bytes(b"".join(pieces))
    with h5py.File(tmp_path / "a.h5") as file:
        for name, value in arrays.items():
            found = file[f"g/in/{name}"][()]
            np.testing.assert_array_equal(found, value)
            assert found.dtype == np.asarray(value).dtype


def test_hdf5_has_no_bfloat16(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, dtype="bfloat16")])
    for write in (writing.save_model, writing.save_weights):
        with pytest.raises(errors.FormatError, match="HDF5 has no type for bfloat16"):
            write(model, tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())
    writing.save_weights(model, tmp_path / "w.safetensors")
    writing.save_weights(model, tmp_path / "w.ckpt")


# Checkpoints


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(2)
        self.rest = [layers.Dense(3), layers.Dense(1)]

    def call(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return x


def test_the_objects_of_a_checkpoint_are_named_as_keras_2_names_them():
    def paths(model):
        graph, _ = objects(model)
        return {"/".join(path) for path, _ in graph.walk()}

    model = Subclassed()
    model(np.ones((1, 3)))
    assert {"first/kernel", "rest/0/kernel", "rest/1/bias"} <= paths(model)
    found = paths(convolutions())
    assert {"layer_with_weights-0/kernel", "layer_with_weights-2/depthwise_kernel"} <= found
    assert "layer-4" in found
    assert "layer_with_weights-0/mean" in paths(adapted())
    assert "layer_with_weights-1/forward_layer/cell/kernel" in paths(recurrent())
    assert "layer_with_weights-0/_query_dense/kernel" in paths(attention())


def test_a_subclassed_model_is_read_back(tmp_path):
    model, loaded = Subclassed(), Subclassed()
    for one in (model, loaded):
        one(np.ones((1, 3)))
    writing.save_weights(model, tmp_path / "w.ckpt")
    holdfast.load_weights(loaded, tmp_path / "w.ckpt")
    assert_same_weights(loaded, model)


def test_a_checkpoint_that_is_written_again_leaves_no_old_data(tmp_path):
    prefix = tmp_path / "w.ckpt"
    for expected in (["00000-of-00001"], ["00000-of-00002", "00001-of-00002"], ["00000-of-00001"]):
        model = filled(dense)
        writing.save_weights(model, prefix)
        data = sorted(path.name for path in tmp_path.glob("*.data-*"))
        assert data == [f"w.ckpt.data-{name}" for name in expected]
        loaded = dense()
        holdfast.load_weights(loaded, prefix)
        assert_same_weights(loaded, model)
    assert 'model_checkpoint_path: "w.ckpt"' in (tmp_path / "checkpoint").read_text()
    found = {path.name for path in writing.files_of(prefix)}
    assert found == {"w.ckpt.index", "w.ckpt.data-00000-of-00001"}


# Nothing lost


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.h5", "model"),
        ("m.keras", "model"),
        ("m.safetensors", "model"),
        ("w.h5", "weights"),
        ("w.weights.h5", "weights"),
        ("w.ckpt", "weights"),
    ],
)
def test_a_kill_at_any_operation_leaves_the_old_or_the_new(name, kind, memory):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(memory / "folder"), name, kind],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 6, "the test shows nothing"


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.safetensors", "w.weights.h5", "w.ckpt"])
def test_a_full_disk_leaves_the_old(name, tmp_path):
    write = writing.save_weights if name.startswith("w") else writing.save_model
    old, new = filled(dense), dense()
    write(old, tmp_path / name)
    for number in range(1, 40):
        disk.switch = Faults(fail=Failure(number, None, errno.ENOSPC))
        try:
            write(new, tmp_path / name)
            break
        except OSError:
            loaded = dense()
            disk.switch = None
            holdfast.load_weights(loaded, tmp_path / name)
            values = [w.get_weights()[0].tobytes() for w in (loaded, old, new)]
            assert values[0] in values[1:]
            if values[0] != values[1]:
                return  # the new one stands, and what failed came after it
        finally:
            disk.switch = None
    else:
        pytest.fail("it never came to its end")


# What cannot be


@pytest.mark.parametrize(
    ("write", "name", "said"),
    [
        (writing.save_model, "m.kers", r"did you mean '\.keras'\?\): end the name in '\.keras',"),
        (writing.save_model, "m.weights.h5", "names a file of weights"),
        (writing.save_model, "m.pkl", r"or '\.safetensors', or pass format"),
        (writing.save_weights, "w.keras", "names a file of a whole model"),
        (writing.save_weights, "w.onnx", r"'\.weights\.h5', '\.h5', .* '\.ckpt'"),
    ],
)
def test_an_ending_that_is_none(write, name, said, tmp_path):
    with pytest.raises(errors.FormatError, match=said):
        write(filled(dense), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_format_that_is_none(tmp_path):
    with pytest.raises(errors.FormatError, match="did you mean 'safetensors'"):
        holdfast.save_model(filled(dense), tmp_path / "m", format="safetensor")


def test_a_format_that_the_ending_does_not_say(tmp_path):
    model = filled(dense)
    holdfast.save_model(model, tmp_path / "model.dat", format="keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.dat"]
    assert_same(holdfast.load_model(tmp_path / "model.dat"), model)


def test_a_model_without_weights_yet(tmp_path):
    with pytest.raises(errors.FormatError, match="has no weights yet"):
        writing.save_model(keras.Sequential([layers.Dense(2)]), tmp_path / "m.h5")


def test_a_saved_model_needs_tensorflow(tmp_path, monkeypatch):
    # Found nowhere, whether it is installed or not.
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(errors.MissingExtraError, match=r"holdfast\[tensorflow\]"):
        writing.save_model(filled(dense), tmp_path / "folder")


def test_a_configuration_that_cannot_be_written(tmp_path):
    class Odd(keras.Model):
        def __init__(self, what):
            super().__init__()
            self.what = what
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Odd(object())
    model(np.ones((1, 3)))
    with pytest.raises(errors.FormatError, match="configuration cannot be written"):
        writing.save_model(model, tmp_path / "m.h5")
    writing.save_weights(model, tmp_path / "w.h5")


def test_the_configuration_is_plain_json(tmp_path):
    writing.save_model(filled(nested), tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        config = json.loads(file.attrs["model_config"])
    assert config["class_name"] == "Functional"
    assert os.path.getsize(tmp_path / "m.h5") < 100_000
