"""Files of models as programs of any Keras name, write and read them, while Holdfast is enabled."""

import errno
import io
import json
import sys
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from keras import layers

import holdfast
from holdfast.compat import old, reading, saved_places, saving
from holdfast.compat.patches import Patches
from holdfast.errors import CustomObjectError, FormatError, MismatchError
from holdfast.formats import writing
from holdfast.formats.detect import detect
from holdfast.formats.live import bind
from holdfast.formats.model_file import ByObject, Entry, ModelFile, ObjectNode
from holdfast.store import disk
from holdfast.store.faults import Failure, Faults

X = np.random.default_rng(3).normal(size=(8, 3)).astype("float32")

# As `to_json` of Keras 2.9 gave it, and of Keras 1.2.
KERAS2 = json.dumps(
    {
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "layers": [
                {
                    "class_name": "Dense",
                    "config": {
                        "name": "d",
                        "trainable": True,
                        "batch_input_shape": [None, 3],
                        "dtype": "float32",
                        "units": 2,
                        "activation": "linear",
                        "use_bias": True,
                        "kernel_initializer": {
                            "class_name": "GlorotUniform",
                            "config": {"seed": None},
                        },
                        "bias_initializer": {"class_name": "Zeros", "config": {}},
                    },
                }
            ],
        },
        "keras_version": "2.9.0",
        "backend": "tensorflow",
    }
)
KERAS1 = json.dumps(
    {
        "class_name": "Sequential",
        "config": [
            {
                "class_name": "Dense",
                "config": {
                    "name": "d",
                    "output_dim": 2,
                    "input_dim": 3,
                    "batch_input_shape": [None, 3],
                    "init": "glorot_uniform",
                    "activation": "linear",
                    "trainable": True,
                    "bias": True,
                },
            }
        ],
        "keras_version": "1.2.2",
    }
)


@pytest.fixture(autouse=True)
def enabled(tmp_path, monkeypatch):
    """The names of Keras are Holdfast's, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    old.begin(quiet=False)
    saved_places._saved.clear()
    patches = Patches()
    saving.put(patches)
    yield patches
    patches.undo()


def network(units=4, seed=1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(units, "relu", name="first"),
            layers.Dense(2, name="last"),
        ]
    )


@pytest.fixture(scope="module")
def model():
    """Compiled, with an optimizer that has state."""
    made = network()
    made.compile("adam", "mse", run_eagerly=True)
    made.optimizer.build(made.trainable_variables)
    made.optimizer.iterations.assign(7)
    return made


def out(model):
    return np.asarray(model(X))


def same(one, other):
    return np.array_equal(out(one), out(other))


@pytest.mark.parametrize(
    ("name", "save_format", "kind"),
    [
        ("m.h5", None, "hdf5"),
        ("m.hdf5", None, "hdf5"),
        ("m.keras", None, "keras"),
        ("m.weights.h5", None, "hdf5"),
        ("m.model", None, "hdf5"),
        ("m.h5", "tf", "hdf5"),
        ("m", "h5", "hdf5"),
        ("m", "keras", "keras"),
        ("m.keras", "h5", "hdf5"),
        ("not/there/m.h5", None, "hdf5"),
    ],
)
def test_models_by_the_names_of_keras2(model, name, save_format, kind):
    given = {} if save_format is None else {"save_format": save_format}
    assert model.save(name, **given) is None
    assert detect(name) == kind
    again = keras.models.load_model(name)
    assert same(again, model)
    assert int(again.optimizer.iterations) == 7


@pytest.mark.parametrize(
    ("name", "save_format", "kind"),
    [
        ("w.h5", None, "hdf5"),
        ("w.hdf5", None, "hdf5"),
        ("w.keras", None, "hdf5"),
        ("w.weights.h5", None, "weights.h5"),
        ("w", None, "checkpoint"),
        ("w.ckpt", None, "checkpoint"),
        ("w.dat", None, "checkpoint"),
        ("cp-0003.ckpt", "tf", "checkpoint"),
        ("w", "h5", "hdf5"),
    ],
)
def test_weights_by_the_names_of_keras2(model, name, save_format, kind):
    given = {} if save_format is None else {"save_format": save_format}
    assert model.save_weights(name, **given) is None
    assert detect(name) == kind
    other = network(seed=2)
    assert not same(other, model)
    other.load_weights(name)
    assert same(other, model)


def test_weights_of_whole_models(model):
    for name in ("m.h5", "m.keras"):
        model.save(name)
        other = network(seed=2)
        assert other.load_weights(name) is None
        assert same(other, model)


def test_weights_of_a_served_model(model):
    """Keras's export keeps each variable twice, in two lists."""
    arrays = model.get_weights()
    nodes = [ObjectNode({"variables": 1, "_all_variables": 2})]
    for at in (3, 3 + len(arrays)):
        nodes.append(ObjectNode({str(place): at + place for place in range(len(arrays))}))
    for name in nodes[0].children:
        for place, array in enumerate(arrays):
            entry = Entry(f"{name}/{place}", array.shape, "float32", lambda array=array: array)
            nodes.append(ObjectNode({}, entry))
    other = network(seed=2)
    file = ModelFile(Path("served"), "saved_model", ByObject(tuple(nodes)))
    assert bind.bind(other, file) == []
    assert same(other, model)


def test_a_checkpoint_returns_what_tensorflow_returned(model, capsys):
    model.save_weights("w.ckpt")
    status = network().load_weights("w.ckpt")
    assert status.expect_partial() is status
    status.assert_consumed()
    assert "expect_partial() is gone since Keras 3.0" in capsys.readouterr().err


def test_old_spellings_are_said_once_with_their_line(model, capsys):
    for _ in range(2):
        model.save("m", save_format="h5")
    said = capsys.readouterr().err
    line = sys._getframe().f_lineno - 2
    assert said.startswith(f"holdfast: test_old_files.py:{line}: save_format= is gone since")
    assert said.count("\n") == 1
    # What today's Keras takes is not old.
    model.save("m.keras")
    model.save("m.h5", save_format="h5")
    model.save_weights("w.weights.h5")
    model.load_weights("w.weights.h5", skip_mismatch=True)
    assert not capsys.readouterr().err


def test_a_saved_model_is_a_file_where_tensorflow_is_not(model, monkeypatch, capsys):
    if writing.has_tensorflow():
        pytest.skip("TensorFlow is installed")
    # As where a program has imported what stands in for it.
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    x = np.random.default_rng(0).random((4, *model.input_shape[1:]))
    for name, given in (("folder", {}), ("other", {"save_format": "tf"})):
        model.save(name, **given)
        assert f"{name} is a file in HDF5" in capsys.readouterr().err
        loaded = keras.models.load_model(name)
        assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_checkpoint_of_the_whole_model_may_have_a_folder_s_name(model, monkeypatch):
    patches = Patches()
    from holdfast.compat import old_callbacks

    old_callbacks.put(patches)
    try:
        best = keras.callbacks.ModelCheckpoint("best_model", save_best_only=True, monitor="loss")
    finally:
        patches.undo()
    x = np.random.default_rng(0).random((4, *model.input_shape[1:]))
    y = np.zeros((4, *model.output_shape[1:]))
    model.fit(x, y, verbose=0, callbacks=[best])
    assert keras.models.load_model("best_model").count_params() == model.count_params()


def test_what_no_format_is(model):
    with pytest.raises(FormatError, match=r"save_format='hd5' is not known \(did you mean 'h"):
        model.save("m.h5", save_format="hd5")
    with pytest.raises(FormatError, match="Leave out save_format for HDF5"):
        model.save_weights("w.h5", save_format="tf")
    with pytest.raises(FormatError, match=r"pathlib\.Path, found BytesIO"):
        model.save(io.BytesIO())
    with pytest.raises(FormatError, match=r"load_model takes .* found BytesIO"):
        keras.models.load_model(io.BytesIO())
    with pytest.raises(FormatError, match="ExportArchive"):
        model.save("folder", signatures=print)


def test_arguments_that_change_nothing_are_dropped(model):
    model.save("m.h5", signatures=None, options=object(), save_traces=False)
    model.save_weights("w", options=object())
    other = network(seed=2)
    other.load_weights("w", options=object())
    assert same(other, model)
    assert same(keras.models.load_model("m.h5", options=object(), safe_mode=False), model)


def test_without_the_optimizer(model):
    model.save("m.h5", include_optimizer=False)
    again = keras.models.load_model("m.h5")
    assert same(again, model)
    assert not again.compiled
    model.save("with.h5")
    assert keras.models.load_model("with.h5").compiled


def test_overwrite_false_asks(model, monkeypatch):
    for name, write in (("m.h5", model.save), ("w.ckpt", model.save_weights)):
        write(name, overwrite=False)
        other = network(seed=2)
        other.compile("sgd", "mse")
        again = getattr(other, write.__name__.replace("_model", ""))
        monkeypatch.setattr("sys.stdin", io.StringIO("what\nn\n"))
        again(name, overwrite=False)
        loaded = network(seed=3)
        loaded.load_weights(name)
        assert same(loaded, model)
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        again(name, overwrite=False)
        loaded.load_weights(name)
        assert same(loaded, other)
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        with pytest.raises(FormatError, match="nobody to ask: pass overwrite=True"):
            again(name, overwrite=False)


def test_weights_of_another_architecture(model):
    model.save_weights("w.h5")
    other = network(units=5)
    before = out(other)
    with pytest.raises(MismatchError, match=r"first/kernel: expected \(3, 5\) .* found \(3, 4\)"):
        other.load_weights("w.h5")
    assert np.array_equal(out(other), before)
    with pytest.warns(UserWarning, match="not all of it matches"):
        other.load_weights("w.h5", skip_mismatch=True)
    bias = model.get_layer("last").bias
    assert np.array_equal(other.get_layer("last").bias, bias)


def test_by_name_loads_the_layers_of_the_same_names(model):
    model.save_weights("w.h5")
    other = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dropout(0.1),
            layers.Dense(4, "relu", name="first"),
            layers.Dense(9, name="new"),
        ]
    )
    new = other.get_layer("new").get_weights()
    other.load_weights("w.h5", by_name=True)
    for got, wanted in zip(
        [*other.get_layer("first").get_weights(), *other.get_layer("new").get_weights()],
        [*model.get_layer("first").get_weights(), *new],
        strict=True,
    ):
        assert np.array_equal(got, wanted)
    # In another order it is the names that count.
    turned = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2, name="last"), layers.Dense(1, name="first_1")]
    )
    turned.load_weights("w.h5", by_name=True)
    assert np.array_equal(turned.get_layer("last").kernel, model.get_layer("last").kernel)


def test_by_name_refuses_or_skips_what_differs(model):
    model.save("m.h5")
    other = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, name="first", use_bias=False),
            layers.Dense(7, name="last"),
        ]
    )
    before = other.get_weights()
    with pytest.raises(MismatchError) as caught:
        other.load_weights("m.h5", by_name=True)
    assert {name.partition("/")[2] or name for name, _, _ in caught.value.differences} >= {
        "first/kernel",
        "last/kernel",
        "last/bias",
    }
    with pytest.warns(UserWarning, match="not all of it matches"):
        other.load_weights("m.h5", by_name=True, skip_mismatch=True)
    # Of a layer with fewer arrays than the file has nothing is loaded.
    for was, now in zip(before, other.get_weights(), strict=True):
        assert np.array_equal(was, now)
    model.save_weights("w.ckpt")
    with pytest.raises(FormatError, match="does not say its layers' names"):
        other.load_weights("w.ckpt", by_name=True)


@keras.saving.register_keras_serializable(package="old_files")
class Registered(layers.Dense):
    pass


class Own(layers.Dense):
    pass


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_custom_objects_count_as_in_keras(name):
    own = keras.Sequential([keras.Input((3,)), Registered(2), Own(2)])
    own.save(name)
    with pytest.raises(CustomObjectError, match=r"custom_objects=\{'Own': Own\}"):
        keras.models.load_model(name)
    assert same(keras.models.load_model(name, custom_objects={"Own": Own}), own)
    with keras.utils.custom_object_scope({"Own": Own}):
        assert same(keras.models.load_model(name), own)
    keras.utils.get_custom_objects()["Own"] = Own
    try:
        assert same(keras.models.load_model(name), own)
    finally:
        del keras.utils.get_custom_objects()["Own"]


def test_no_code_of_a_file_is_run_whatever_is_asked():
    doubled = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: 2 * x, name="twice")])
    doubled.save("m.keras")
    with pytest.raises(CustomObjectError, match=r"custom_objects=\{'twice': function_or_layer\}"):
        keras.models.load_model("m.keras", safe_mode=False)
    again = keras.models.load_model("m.keras", custom_objects={"twice": lambda x: 2 * x})
    assert same(again, doubled)


def test_architectures_as_json_of_any_keras(model, capsys, recwarn):
    assert keras.models.model_from_json(model.to_json()).count_params() == model.count_params()
    assert not capsys.readouterr().err
    for text in (KERAS2, KERAS1):
        keras.utils.set_random_seed(0)
        one = keras.models.model_from_json(text)
        keras.utils.set_random_seed(0)
        other = keras.models.model_from_config(json.loads(text))
        assert out(one).shape == (8, 2)
        assert same(one, other)
        assert np.any(one.get_weights()[0])
    assert "model_from_json(JSON of Keras 1 or 2) is gone" in capsys.readouterr().err
    assert not [one for one in recwarn if "holds no weights" in str(one.message)]
    with pytest.raises(FormatError, match="with class_name and config"):
        keras.models.model_from_json('{"a": 1}')


def test_yaml_is_refused_with_the_way_out(model):
    with pytest.raises(FormatError, match=r"model\.to_json"):
        model.to_yaml()
    with pytest.raises(FormatError, match="model_from_json"):
        keras.models.model_from_yaml("a: 1")


def test_a_file_that_is_elsewhere(model, tmp_path):
    model.save_weights(tmp_path / "far" / "tmp_checkpoint.ckpt")
    (tmp_path / "model_checkpoint.h5").touch()
    with pytest.raises(FileNotFoundError) as caught:
        network().load_weights("tmp_checkpoint.ckpt")
    assert isinstance(caught.value, FormatError)
    assert str(caught.value) == (
        f"tmp_checkpoint.ckpt is not there. This program saved {tmp_path}/far/tmp_checkpoint.ckpt."
    )
    # What ModelCheckpoint is to write has a pattern.
    saved_places.note("training_1/cp-{epoch:04d}.ckpt")
    with pytest.raises(FileNotFoundError, match=r"saved .*training_1/cp-\{epoch:04d\}\.ckpt\."):
        keras.models.load_model("cp-0010.ckpt")
    model.save("model-of-monday.h5")
    with pytest.raises(FileNotFoundError) as caught:
        keras.models.load_model("model_of_monday.h5")
    assert "did you mean 'model-of-monday.h5'?" in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught:
        keras.models.load_model("of-another-kind.h5")
    assert "This program" not in str(caught.value)


def test_a_damaged_file_is_not_one_that_is_not_there(model):
    with open("m.h5", "wb") as file:
        file.write(b"\x89HDF")
    with pytest.raises(FormatError) as caught:
        network().load_weights("m.h5")
    assert not isinstance(caught.value, FileNotFoundError)


def test_a_model_without_weights_yet(model):
    model.save_weights("w.h5")
    with pytest.raises(FormatError, match=r"call it on data, or model\.build"):
        keras.Sequential([layers.Dense(2)]).load_weights("w.h5")


def test_a_model_that_is_not_built_is_kept_as_keras_keeps_it():
    """A Sequential that has seen no data has a configuration, and weights later."""
    early = keras.Sequential([layers.Dense(2, name="d")])
    early.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="not yet been built"):
        early.save("m.keras")
    again = keras.models.load_model("m.keras")
    assert not again.built
    assert again.compiled
    assert out(again).shape == (8, 2)
    with pytest.raises(FormatError, match="has no weights yet"):
        early.save("m.h5")


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "w.ckpt", "w.weights.h5"])
def test_a_full_disk_leaves_the_old_file(model, name):
    def write(one):
        (one.save if name.startswith("m") else one.save_weights)(name)

    write(model)
    disk.switch = Faults(fail=Failure(1, None, errno.ENOSPC))
    try:
        with pytest.raises(OSError, match=r"No space|disk"):
            write(network(seed=2))
    finally:
        disk.switch = None
    loaded = network(seed=3)
    loaded.load_weights(name)
    assert same(loaded, model)


def test_every_way_to_the_same_name(model):
    """Names imported from anywhere, keras.saving's functions, and Keras's own callback."""
    from keras._tf_keras.keras import models as of_tensorflow
    from keras.models import load_model, save_model

    save_model(model, "one.h5")
    keras.saving.save_weights(model, "w.ckpt")
    other = network(seed=2)
    keras.saving.load_weights(other, "w.ckpt")
    for load in (load_model, of_tensorflow.load_model, keras.saving.load_model):
        assert load is reading.load_model
        assert same(load("one.h5"), other)
    callback = keras.callbacks.ModelCheckpoint("best.keras")
    callback.set_model(model)
    callback.on_epoch_end(0, {})
    assert same(keras.models.load_model("best.keras"), model)


def test_holdfasts_own_functions_do_not_go_in_a_circle(model):
    for name in ("m.keras", "m.h5"):
        holdfast.save_model(model, name)
        assert same(holdfast.load_model(name), model)


def test_files_for_keras_alone(model):
    """What Holdfast has no format for is Keras's: weights in several files."""
    keras.saving.save_weights(model, "w.weights.json", max_shard_size=1)
    other = network(seed=2)
    other.load_weights("w.weights.json")
    assert same(other, model)


def test_everything_is_taken_back(enabled):
    enabled.undo()
    assert keras.Model.save.__module__.startswith("keras.")
    assert keras.models.load_model.__module__.startswith("keras.")
    assert not hasattr(keras.Model, "to_yaml")
    assert not hasattr(keras.models, "model_from_yaml")
