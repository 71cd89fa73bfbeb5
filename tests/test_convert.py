"""`holdfast convert`: from any format to any other, proven the same, or nothing is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import holdfast
from holdfast.conversion import convert
from holdfast.errors import FormatError, HoldfastError, MissingExtraError
from holdfast.formats import writing

OLD = Path(__file__).parent / "data" / "keras_files" / "keras-2.15.h5"
WHOLE = ["m.keras", "m.h5", "m.safetensors", "run"]
WEIGHTS = ["w.weights.h5", "w.h5", "w.safetensors", "w.ckpt"]


def to(name: str) -> str | None:
    return "run" if name == "run" else None


def model(*more: keras.Layer) -> keras.Model:
    keras.utils.set_random_seed(1)
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), *more])
    made.compile("adam", "mse")
    return made


def numbers(found: keras.Model) -> list[Any]:
    return [keras.ops.convert_to_numpy(variable.value).tolist() for variable in found.weights]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# ---- what is the same afterwards


@pytest.mark.parametrize("name", WHOLE)
def test_a_model_of_keras_2_becomes_any_format(tmp_path: Path, name: str) -> None:
    proof = holdfast.convert(OLD, tmp_path / name, to(name))
    before, after = holdfast.load_model(OLD), holdfast.load_model(tmp_path / name)
    assert numbers(before) == numbers(after)
    assert proof.arrays == len(before.weights)
    assert proof.difference is not None
    assert proof.difference <= 1e-5
    assert names(tmp_path) == [name]


def test_a_model_goes_through_formats_and_trains_on(tmp_path: Path) -> None:
    made = model()
    x, y = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")
    made.fit(x, y, verbose=0)
    last = tmp_path / "first.keras"
    holdfast.save_model(made, last)
    for number, name in enumerate(["run", "m.h5", "m.keras", "m.hdf5", "run"]):
        target = tmp_path / str(number) / name
        assert holdfast.convert(last, target, to(name)).optimizer is True
        last = target
    again = holdfast.load_model(last)
    assert numbers(again) == numbers(made)
    made.fit(x, y, verbose=0)
    again.fit(x, y, verbose=0)
    assert numbers(again) == numbers(made)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_alone_are_written(tmp_path: Path, name: str) -> None:
    target = tmp_path / "new" / name
    proof = holdfast.convert(OLD, target, weights_only=True)
    made = holdfast.load_model(OLD)
    wanted = numbers(made)
    for variable in made.weights:
        variable.assign(np.zeros(variable.shape))
    holdfast.load_weights(made, target)
    assert numbers(made) == wanted
    assert proof.arrays == len(wanted)
    assert proof.difference is None


def test_the_outputs_of_a_sequential_model_are_compared(tmp_path: Path) -> None:
    holdfast.save_model(model(), tmp_path / "m.keras")
    assert holdfast.convert(tmp_path / "m.keras", tmp_path / "m.h5").difference is not None


def test_a_format_that_keeps_no_optimizer_is_told(tmp_path: Path) -> None:
    made = model()
    made.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    holdfast.save_model(made, tmp_path / "m.h5")
    assert holdfast.convert(tmp_path / "m.h5", tmp_path / "m.safetensors").optimizer is False


# ---- what leaves nothing


@keras.saving.register_keras_serializable()
class Shaky(keras.layers.Layer):
    """Gives something else each time."""

    def call(self, x: Any) -> Any:
        self.add = getattr(self, "add", 0) + np.random.default_rng().uniform(1, 2)
        return x + self.add


@pytest.mark.parametrize("there", [False, True])
def test_another_weight_is_found_and_what_was_there_stands(tmp_path: Path, there: bool) -> None:
    source, target = tmp_path / "m.keras", tmp_path / "out.h5"
    holdfast.save_model(model(), source)
    if there:
        target.write_bytes(b"old")

    def load(path: Path) -> Any:
        made = holdfast.load_model(path)
        if path != source:
            made.weights[0].assign(made.weights[0] + 1)
        return made

    with pytest.raises(FormatError, match=r"the array .*kernel was float32.*other bits"):
        convert(source, target, None, weights_only=False, load=load)
    assert names(tmp_path) == (["m.keras", "out.h5"] if there else ["m.keras"])
    assert not there or target.read_bytes() == b"old"


def test_other_outputs_are_found(tmp_path: Path) -> None:
    source = tmp_path / "m.keras"
    holdfast.save_model(model(Shaky()), source)
    with pytest.raises(FormatError, match=r"output 0 differs by .*was not written"):
        holdfast.convert(source, tmp_path / "out.h5")
    assert names(tmp_path) == ["m.keras"]


# ---- what is refused before any work


@pytest.mark.parametrize(
    ("name", "form", "why"),
    [
        ("out.xyz", None, "no format that can be written"),
        ("out.kears", None, "did you mean '.keras'"),
        ("out.weights.h5", None, "names a file of weights"),
        ("out.keras", "kears", "did you mean 'keras'"),
        ("pipe", "keras", "a device or a pipe"),
        ("folder", "h5", "is a directory"),
        ("folder", "run", "is there already"),
        ("link", "keras", "into itself"),
        ("m.keras", "h5", "into itself"),
    ],
)
def test_targets_that_cannot_be(tmp_path: Path, name: str, form: str | None, why: str) -> None:
    source = tmp_path / "m.keras"
    holdfast.save_model(model(), source)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").touch()
    (tmp_path / "link").symlink_to("m.keras")
    before = names(tmp_path)
    with pytest.raises(HoldfastError, match=why):
        holdfast.convert(source, tmp_path / name, form)
    assert names(tmp_path) == before
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_weights_without_a_configuration_say_the_way_out(tmp_path: Path) -> None:
    holdfast.save_weights(model(), tmp_path / "w.h5")
    with pytest.raises(FormatError, match="load_weights"):
        holdfast.convert(tmp_path / "w.h5", tmp_path / "m.keras")


def test_a_saved_model_without_tensorflow_names_the_extra(tmp_path: Path) -> None:
    if writing.has_tensorflow():
        pytest.skip("TensorFlow is there")
    with pytest.raises(MissingExtraError, match=rf"{tmp_path / 'out'} needs TensorFlow"):
        holdfast.convert(OLD, tmp_path / "out")


# ---- the command


def holdfast_convert(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from holdfast.cli.main import main; main()",
            "convert",
            *map(str, arguments),
        ],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_says_what_it_proved(tmp_path: Path) -> None:
    asked = [
        holdfast_convert(OLD, tmp_path / "m.keras"),
        holdfast_convert(OLD, tmp_path / "w.h5", "--weights-only", "--json"),
    ]
    (said, _), (told, _) = [process.communicate() for process in asked]
    assert [process.returncode for process in asked] == [0, 0]
    assert "bit for bit the same, outputs within" in said
    facts = json.loads(told)
    assert (facts["format"], facts["largest_difference"]) == ("h5", None)
    assert facts["target"] == str(tmp_path / "w.h5")
    assert facts["arrays"] > 0


def test_what_goes_wrong_is_said_in_a_line(tmp_path: Path) -> None:
    full = json.dumps({"fail": [1, None, "ENOSPC"]})
    (tmp_path / "text.h5").write_text("nothing")
    (tmp_path / "old.h5").write_text("old")
    asked = {
        "is not there": (1, holdfast_convert(tmp_path / "no.h5", tmp_path / "m.keras")),
        "no kind of file": (1, holdfast_convert(tmp_path / "text.h5", tmp_path / "m.keras")),
        "Missing argument 'DST'": (2, holdfast_convert(OLD)),
        "No space left": (1, holdfast_convert(OLD, tmp_path / "old.h5", HOLDFAST_DISK=full)),
    }
    for text, (code, process) in asked.items():
        out, wrong = process.communicate()
        assert (process.returncode, out) == (code, ""), wrong
        assert text in wrong
        assert "Traceback" not in wrong
    assert names(tmp_path) == ["old.h5", "text.h5"]
    assert (tmp_path / "old.h5").read_text() == "old"


def test_an_interruption_leaves_what_was_there(heeding: None, tmp_path: Path) -> None:
    (tmp_path / "old.h5").write_text("old")
    process = holdfast_convert(OLD, tmp_path / "old.h5")
    while process.poll() is None and names(tmp_path) == ["old.h5"]:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, wrong = process.communicate()
    assert process.returncode != 0
    assert "Traceback" not in wrong
    assert names(tmp_path) == ["old.h5"]
    assert (tmp_path / "old.h5").read_text() == "old"
