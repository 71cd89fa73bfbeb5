"""int8 and float16: what is lost is measured, said and kept; too much is refused."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from holdfast.errors import ExportError, InputError
from holdfast.exporting.export import export_each
from holdfast.judge import load

FORMS = (".onnx", ".tflite")
MAIN = "from holdfast.cli.main import main; main()"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, digits_run, raw_digits):
    """The digits' model in both formats and precisions, measured on digits with their classes."""
    folder = tmp_path_factory.mktemp("narrow")
    x, y = raw_digits
    np.savez(folder / "digits.npz", x=x, y=y)
    found = {}
    for precision in ("int8", "float16"):
        wanted = [(digits_run, folder / f"{precision}{form}", None) for form in FORMS]
        done = export_each(wanted, precision=precision, calibrate=folder / "digits.npz")
        found |= {path.name: part for (_, path, _), part in zip(wanted, done, strict=True)}
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_the_accuracy_is_measured_on_what_the_file_itself_answers(
    narrow, raw_digits, precision, form
):
    done = narrow[f"{precision}{form}"]
    assert not isinstance(done, Exception), done
    x, y = raw_digits
    judge = load(done.target)
    assert judge.signature.inputs[0].dtype == judge.signature.outputs[0].dtype == "float32"
    right = float(np.mean(judge(x).argmax(axis=1) == y))
    assert done.loss.after == pytest.approx(right, abs=0.002)
    assert done.loss.samples == len(x)
    assert done.loss.before > 0.95
    assert done.loss.after >= done.loss.before - 0.02
    assert judge.about.export["loss"]["after"] == done.loss.after
    assert judge.about.export["precision"] == precision
    # It is narrower indeed.
    assert 0 < max(done.loss.largest.values()) < (0.3 if precision == "int8" else 0.01)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model with enough weights to see them shrink, and some that no int8 can stand for."""
    keras.utils.set_random_seed(6)
    layers = keras.layers
    large = keras.Sequential([keras.Input((64,)), layers.Dense(512, "relu"), layers.Dense(4)])
    # One input a million times larger than the others hides them.
    given = keras.Input((64,))
    scale = np.ones(64, "float32")
    scale[0] = 1e-6
    spread = layers.Normalization(mean=np.zeros(64), variance=1 / np.square(scale))(given)
    uneven = keras.Model(given, layers.Dense(4)(spread))
    return large, uneven, tmp_path_factory.mktemp("wide")


def test_sizes_before_and_after_are_told_and_what_is_lost_without_labels(wide):
    large, _, folder = wide
    x = np.random.default_rng(0).normal(size=(200, 64)).astype("float32")
    wanted = [(large, folder / f"large{form}", None) for form in FORMS]
    for done in export_each(wanted, precision="int8", calibrate=x):
        assert not isinstance(done, Exception), done
        assert done.size == done.target.stat().st_size < done.size_before / 2.5
        assert done.loss.before is None
        assert 0 < max(done.loss.largest.values()) < 0.5
        told = load(done.target).about.export
        assert told["size"] < told["size_before"] / 2.5


def test_what_lost_too_much_leaves_no_file(wide):
    _, uneven, folder = wide
    x = np.random.default_rng(0).normal(size=(200, 64)).astype("float32")
    x[:, 0] *= 1e6
    (done,) = export_each([(uneven, folder / "uneven.onnx", None)], precision="int8", calibrate=x)
    assert isinstance(done, ExportError)
    assert "of their range" in str(done)
    assert not (folder / "uneven.onnx").exists()


def test_labels_that_do_not_belong_are_refused(wide, tmp_path):
    large, _, _ = wide
    given = {"precision": "float16", "calibrate": np.zeros((3, 64), "float32")}
    for labels, says in (
        (np.array([0, 1]), "3 inputs to calibrate on and 2 labels"),
        (np.array(["cat", "dog", "cow"]), "'cat' is no class"),
        (np.array([0.5, 1, 2]), "fractions"),
    ):
        (done,) = export_each([(large, tmp_path / "m.onnx", None)], labels=labels, **given)
        assert isinstance(done, InputError)
        assert says in str(done)


def test_the_command_line_exports_quantizes_and_says_so(tmp_path, digits_run, raw_digits):
    x, y = raw_digits
    rows = [",".join(map(str, row)) for row in x[:300].reshape(300, -1)]
    (tmp_path / "some.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "classes.txt").write_text("\n".join(map(str, y[:300])), encoding="utf-8")
    options = ["--quantize", "int8", "--calibrate", "some.csv", "--labels", "classes.txt"]
    command = [sys.executable, "-c", MAIN, "export", str(digits_run), "q.onnx", "q.tflite", "q.h5"]
    told_of = ["--classes", ",".join("0123456789"), "--input", "image=ink", "--json"]
    done = subprocess.run(
        [*command, *options, *told_of], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "holdfast: int8 can be had in .onnx and .tflite, and not in h5" in done.stderr
    assert "Traceback" not in done.stderr
    told = json.loads(done.stdout)
    assert [part["target"] for part in told] == ["q.onnx", "q.tflite"]
    for part in told:
        assert part["loss"]["after"] > 0.9
        about = load(tmp_path / part["target"]).about
        assert about.classes == tuple("0123456789")
        assert about.inputs == {"image": "ink"}
