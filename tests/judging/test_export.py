"""Exporting: what files say of their model, what is refused, and that the old file stands."""

import subprocess
import sys
import time
from pathlib import Path

import architectures
import keras
import numpy as np
import onnx
import own_layers
import pytest

import holdfast
from holdfast.errors import ExportError, FormatError, InputError, MissingExtraError
from holdfast.exporting import children
from holdfast.exporting.export import export, export_each
from holdfast.exporting.order import folder_beside
from holdfast.judge import load

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def every_format(tmp_path_factory, digits_run):
    """The digits' run as every file that is not in the table."""
    folder = tmp_path_factory.mktemp("formats")
    names = ("digits.keras", "digits.h5", "digits.safetensors", "saved", "digits.stablehlo")
    found = export_each([(digits_run, folder / name, None) for name in names])
    assert [part for part in found if isinstance(part, Exception)] == []
    return {part.target.name: part for part in found}


@pytest.mark.parametrize(
    "name", ["digits.keras", "digits.h5", "digits.safetensors", "saved", "digits.stablehlo"]
)
def test_each_file_says_what_is_known_of_its_model(every_format, digits_run, rows, name):
    judge = load(every_format[name].target)
    run = holdfast.Run(digits_run)
    assert judge.about.classes == CLASSES
    assert judge.about.inputs == {"image": "8x8 pixels, 0 (white) to 16 (black)"}
    assert judge.about.run["step"] == run.best().position.total
    assert judge.about.run["digest"] == run.best().digest
    assert judge.about.metrics["val_loss"] == run.best().metrics["val_loss"]
    assert len(judge.about.curve["loss"]) == 20
    assert [layer.kind for layer in judge.about.layers][:2] == ["Rescaling", "Conv2D"]
    assert judge.about.export["differences"]["digit"] <= 1e-5
    expected = load(digits_run)(rows)
    np.testing.assert_allclose(judge(rows), expected, atol=1e-5)


def test_keras_itself_still_opens_the_files_that_say_more(every_format, rows):
    first = keras.saving.load_model(every_format["digits.keras"].target)
    np.testing.assert_allclose(
        first(rows), load(every_format["digits.keras"].target)(rows), atol=1e-6
    )


def test_an_onnx_has_its_batch_and_what_is_known_in_it(digits_onnx):
    made = onnx.load(digits_onnx)
    (image,) = made.graph.input
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"
    about = load(digits_onnx).about
    assert about.classes == CLASSES
    assert set(about.export["versions"]) >= {"holdfast", "keras", "onnx", "tf2onnx", "tensorflow"}


def test_what_is_said_goes_on_from_file_to_file(tmp_path, every_format):
    again = tmp_path / "again.safetensors"
    export(every_format["digits.keras"].target, again, inputs={"image": "ink"})
    assert load(again).about.run == load(every_format["digits.keras"].target).about.run
    assert load(again).about.classes == CLASSES
    assert load(again).about.inputs == {"image": "ink"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Models that are harder, in the formats that they are tried in, by one child process."""
    folder = tmp_path_factory.mktemp("odd")
    layers = keras.layers
    keras.utils.set_random_seed(4)
    given = keras.Input((10, 6))
    masked = keras.Model(given, layers.Dense(2)(layers.LSTM(4)(layers.Masking()(given))))
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = keras.Sequential([keras.Input((12,)), layers.Dense(8, "relu"), layers.Dense(4)])
    keras.config.set_dtype_policy("float32")
    steps = keras.Sequential([keras.Input((None, 6)), layers.LSTM(4), layers.Dense(2)])
    buckets = keras.Sequential([keras.Input((8,)), layers.Discretization([0.0, 1.0])])
    own = keras.Sequential([keras.Input((4,)), own_layers.Doubled(), layers.Dense(2)])
    other = keras.Sequential(
        [keras.Input((4,)), own_layers.OtherwiseElsewhere(), layers.Dense(2, name="answer")]
    )
    (folder / "other.onnx").write_bytes(b"what was there")
    wanted = {
        "masked.onnx": masked,
        "masked.tflite": masked,
        "mixed.onnx": mixed,
        "own.onnx": own,
        "steps.onnx": steps,
        "steps.tflite": steps,
        "buckets.onnx": buckets,
        "buckets.tflite": buckets,
        "other.onnx": other,
        "other.tflite": other,
    }
    found = export_each([(model, folder / name, None) for name, model in wanted.items()])
    return folder, dict(zip(wanted, found, strict=True))


@pytest.mark.parametrize(
    "name",
    ["masked.onnx", "masked.tflite", "mixed.onnx", "own.onnx", "steps.onnx", "buckets.tflite"],
)
def test_harder_models_are_exported(odd, name):
    folder, found = odd
    assert not isinstance(found[name], Exception), found[name]
    assert (folder / name).is_file()


def test_a_model_of_narrow_numbers_is_exported_in_float32(odd):
    assert odd[1]["mixed.onnx"].computed == "bfloat16"
    assert load(odd[0] / "mixed.onnx").signature.outputs[0].dtype == "float32"
    assert load(odd[0] / "mixed.onnx").about.export["trained_in"] == "bfloat16"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("steps.tflite", "a known number of steps"),
        ("buckets.onnx", "TensorFlow's Bucketize"),
    ],
)
def test_what_a_format_has_not_is_refused_with_the_reason(odd, name, reason):
    folder, found = odd
    assert isinstance(found[name], ExportError)
    assert reason in str(found[name])
    assert "\n" not in str(found[name])
    assert not (folder / name).exists()


def test_what_computes_something_else_gets_no_name(odd):
    folder, found = odd
    for name in ("other.onnx", "other.tflite"):
        assert isinstance(found[name], ExportError)
        assert "answer by " in str(found[name])
        assert found[name].differences["answer"] > 0.01
    assert (folder / "other.onnx").read_bytes() == b"what was there"
    assert not (folder / "other.tflite").exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def mlp():
    return architectures.built(architectures.mlp)


@pytest.mark.parametrize(
    ("target", "given", "error", "says"),
    [
        ("m.onx", {}, FormatError, "did you mean '.onnx'"),
        ("m", {"to": "onxx"}, FormatError, "did you mean 'onnx'"),
        ("m.weights.h5", {}, FormatError, "leave out .weights"),
        ("m.onnx", {"precision": "int8"}, ExportError, "--calibrate"),
        ("m.keras", {"precision": "float16"}, ExportError, "not in keras"),
        ("m.onnx", {"calibrate": np.zeros((2, 12))}, ExportError, "--quantize"),
        ("m.onnx", {"classes": ["a", "b"]}, FormatError, "2 names of classes"),
        ("m.onnx", {"classes": ["a", "b", "b", "c"]}, ExportError, "'b'"),
        ("m.onnx", {"inputs": {"imag": "x"}}, ExportError, "no input 'imag'"),
        (
            "m.onnx",
            {"precision": "int8", "calibrate": np.zeros((2, 11), "float32")},
            InputError,
            "float64[?, 12]|float32[?, 12]",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(tmp_path, target, given, error, says):
    with pytest.raises(error) as caught:
        export(mlp(), tmp_path / target, **given)
    assert any(part in str(caught.value) for part in says.split("|"))
    assert list(tmp_path.iterdir()) == []


def test_a_lambda_is_refused_with_the_way_out(tmp_path):
    twice = keras.layers.Lambda(lambda x: 2 * x, name="twice")
    with pytest.raises(ExportError, match=r"twice is a Lambda.*custom_objects=\{'twice'"):
        export(keras.Sequential([keras.Input((4,)), twice]), tmp_path / "m.onnx")


def test_a_layer_that_no_other_process_can_import_is_refused(tmp_path):
    class Hidden(keras.layers.Layer):
        def call(self, x):
            return x

    with pytest.raises(ExportError, match=r"Hidden is defined in .*<locals>.*into a module"):
        export(keras.Sequential([keras.Input((4,)), Hidden()]), tmp_path / "m.onnx")


def test_a_missing_extra_is_named(bare, tmp_path):
    assert bare(_without_tf2onnx, tmp_path) == (
        "Writing m.onnx needs tf2onnx, which is not installed. Install it with: "
        'pip install "holdfast[onnx]"'
    )


def _without_tf2onnx(folder):
    from importlib.machinery import PathFinder

    find = PathFinder.find_spec
    PathFinder.find_spec = lambda name, *given: None if name == "tf2onnx" else find(name, *given)
    from holdfast.exporting import kinds

    try:
        kinds.check_installed(kinds.KINDS["onnx"], "m.onnx")
    except MissingExtraError as error:
        return str(error)


def test_a_child_that_dies_is_a_reason_and_no_hang():
    (reason,) = children.write("no such backend", [_task()])
    assert "no such backend" in reason


def _task():
    from holdfast.exporting.tasks import Task

    return Task(model="none.keras", format="onnx", target="x.onnx", inputs=["x"], outputs=["y"])


def test_an_export_that_is_killed_leaves_the_old_file_and_ends_its_child(
    tmp_path, digits_keras, heeding
):
    target = tmp_path / "digits.onnx"
    target.write_bytes(b"what was there")
    program = (
        f"import holdfast.exporting.export as e; e.export({str(digits_keras)!r}, {str(target)!r})"
    )
    exporting = subprocess.Popen([sys.executable, "-c", program])
    halves, at_work = [], []
    while not (halves and at_work):
        time.sleep(0.01)
        assert exporting.poll() is None
        halves = list(tmp_path.glob(".digits.onnx.*.tmp/model.keras"))
        at_work = _children(exporting.pid)
    exporting.kill()
    exporting.wait()
    assert target.read_bytes() == b"what was there"
    assert len(halves) == 1
    while any(Path("/proc", child).exists() for child in at_work):
        time.sleep(0.01)  # or the test runs out of time
    # The next one to this target removes what lies about.
    with folder_beside(target):
        assert not halves[0].parent.exists()
    assert list(tmp_path.iterdir()) == [target]


def _children(process):
    try:
        return Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return []
