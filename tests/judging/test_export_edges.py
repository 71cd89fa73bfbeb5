"""Exporting at its edges: what files are compared on, odd names, labels, damage."""

import keras
import numpy as np
import own_layers
import pytest

import holdfast.judge
from holdfast.errors import ExportError, FormatError, InputError
from holdfast.exporting import calibration, describing, drawing, measuring, reasons
from holdfast.exporting.export import export, export_each
from holdfast.exporting.order import folder_beside
from holdfast.exporting.portable import portable
from holdfast.judge.about import About


def drawn(given, *layers):
    """The inputs that a model of these layers would be compared on, all batches of a name."""
    feeds = next(drawing.feeds(portable(keras.Sequential([given, *layers]), {})))
    return [next(iter(feed.values())) for feed in feeds]


def test_a_mask_of_an_embedding_is_compared():
    ids = drawn(keras.Input((6,), dtype="int32"), keras.layers.Embedding(5000, 2, mask_zero=True))[
        -1
    ]
    assert (ids[1::2, 3:] == 0).all()
    assert ids[::2].max() > 1000


def test_inputs_are_drawn_in_the_range_that_the_first_layer_expects():
    far = keras.layers.Normalization(mean=[1000.0] * 3, variance=[4.0] * 3)
    x = drawn(keras.Input((3,)), far)[-1]
    assert 998 < x.mean() < 1002
    assert 1 < x.std() < 3
    pixels = drawn(keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255))[-1]
    assert 200 < pixels.std() < 300
    ids = drawn(keras.Input((6,)), keras.layers.Embedding(50, 2))[-1]
    assert ids.dtype == "float32"
    assert (ids == ids.round()).all()
    assert 0 <= ids.min() < 10
    assert 40 < ids.max() < 50


def test_a_model_that_was_never_built_is_refused(tmp_path):
    with pytest.raises(FormatError, match="never built"):
        export(keras.Sequential([keras.layers.Dense(3)]), tmp_path / "m.keras")


@pytest.mark.parametrize("bound", ["tolerance", "most_loss"])
@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1.0])
def test_a_bound_that_bounds_nothing_is_refused(tmp_path, bound, number):
    with pytest.raises(ExportError, match=bound):
        export("no model", tmp_path / "m.keras", **{bound: number})


def odd_names():
    given = keras.Input((4,), name="in-put")
    return keras.Model(given, keras.layers.Dense(3, name="out.put")(given))


def test_the_meaning_of_an_input_goes_along_where_its_name_is_another(tmp_path):
    keras.utils.set_random_seed(3)
    run = holdfast.Run(tmp_path / "run")
    run.describe(inputs={"in-put": "four numbers"})
    model = odd_names()
    model.compile("sgd", "mse")
    run.fit(model, np.ones((4, 4)), np.ones((4, 3)), verbose=0)
    targets = [tmp_path / "m.stablehlo", tmp_path / "m.keras"]
    found = export_each([(run.path, target, None) for target in targets])
    assert [part for part in found if isinstance(part, Exception)] == []
    for target, name in zip(targets, ("in_put", "in-put"), strict=True):
        judge = holdfast.judge.load(target)
        assert judge.about.inputs == {name: "four numbers"}
        assert judge.signature.inputs[0].name == name
    told = describing.described(About(), portable(odd_names(), {}), None, {"in-put": "by this"})
    assert told.inputs == {"in_put": "by this"}
    # What jax.export wrote is checked before JAX sees it.
    data = bytearray(targets[0].read_bytes())
    data[500] ^= 1
    targets[0].write_bytes(data)
    with pytest.raises(FormatError, match="damaged"):
        holdfast.judge.load(targets[0])


def test_a_damaged_tflite_is_refused_before_litert_sees_it(digits_tflite, tmp_path):
    data = digits_tflite.read_bytes()
    path = tmp_path / "damaged.tflite"
    for place in (100, len(data) // 4, len(data) // 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(FormatError, match="damaged"):
            holdfast.judge.load(path)


def test_labels_that_the_model_cannot_get_right_are_refused():
    x = np.zeros((3, 4), "float32")
    model = portable(odd_names(), {})
    for labels, says in (([0, 1, 7], "3 classes apart"), ([-1, 0, 1], "from -1 to 1")):
        with pytest.raises(InputError, match=says):
            calibration.read(x, np.array(labels), model.signature, About())
    given = keras.Input((4,))
    each = portable(keras.Model(given, keras.layers.Reshape((2, 2))(given)), {})
    with pytest.raises(InputError, match="several"):
        calibration.read(x, np.array([0, 1, 1]), each.signature, About())


def test_outputs_without_labels_are_compared_too():
    loss = measuring.Loss(
        9, {"kind": 0.1, "size": 5.0}, {"kind": 0.3, "size": 0.4}, before=0.9, after=0.9
    )
    with pytest.raises(ExportError, match="size by 40%") as caught:
        measuring.check(loss, 0.02, "m.onnx")
    assert "kind" not in str(caught.value)


def test_the_name_of_a_layer_that_tensorflow_refuses_is_the_reason():
    said = "in user code:\n File \"x\", line 3\n'0out put' is not a valid root scope name. A scope"
    assert "'0out put' is the name of a layer" in reasons.readable(ValueError(said))


def test_two_exports_to_one_target_leave_each_other_alone(tmp_path):
    target = tmp_path / "m.onnx"
    with folder_beside(target) as one, folder_beside(target) as other:
        assert one.is_dir()
        assert other.is_dir()
        assert one != other
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_this_process_brings_its_own_classes(tmp_path):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), own_layers.Doubled(), keras.layers.Dense(2)])
    targets = [tmp_path / "m.keras", tmp_path / "m.keras"]
    first, twice = export_each([(model, target, None) for target in targets])
    assert not isinstance(first, Exception), first
    assert "written twice" in str(twice)
    assert targets[0].is_file()
