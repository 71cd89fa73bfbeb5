"""`holdfast inspect`: what it tells of each kind of file, without Keras and without the arrays."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy
from test_formats_hdf5 import whole
from tiny_run import make_run

from holdfast.cli.file_facts import FileFacts, facts_of
from holdfast.cli.inspect_file import inspect
from holdfast.errors import FormatError
from holdfast.formats.opening import open_file

DATA = Path(__file__).parent / "data"
KERAS = DATA / "keras_files"
CORPUS = Path(__file__).parent / "corpus" / "files"


def facts(path: Path) -> FileFacts:
    with open_file(path) as file:
        return facts_of(file)


@pytest.mark.parametrize("name", ["keras-2.15.h5", "keras-2.15.keras"])
def test_a_model_of_keras_2_is_told(name: str) -> None:
    told = facts(KERAS / name)
    assert told.keras_version == "2.15.0"
    assert told.parameters == 128
    assert [(layer.kind, layer.parameters) for layer in told.layers] == [
        ("InputLayer", 0),
        ("TimeDistributed", 27),
        ("Bidirectional", 96),
        ("Dense", 5),
    ]
    kept = [array for array in told.arrays if array.part == "optimizer"]
    assert len(kept) == 25
    assert sum(array.size or 0 for array in kept) == 984
    assert "loss mse" in told.compiled
    assert told.problems == ()


def test_the_number_of_parameters_is_keras_own(tmp_path: Path) -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(4)])
    start = keras.Input((4,))
    shared = keras.layers.BatchNormalization()
    model = keras.Model(start, keras.layers.Dense(2)(shared(inner(shared(start)))))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    for name in ("m.keras", "m.h5", "m.weights.h5"):
        path = tmp_path / name
        model.save_weights(path) if name == "m.weights.h5" else model.save(path)
        told = facts(path)
        assert told.parameters == model.count_params()
        assert sum(layer.parameters or 0 for layer in told.layers) == model.count_params()
        if name != "m.weights.h5":
            wanted = {layer.name: layer.count_params() for layer in model.layers}
            assert {layer.name: layer.parameters for layer in told.layers} == wanted


def test_a_checkpoint_is_told() -> None:
    told = facts(DATA / "bundle" / "model")
    assert told.format == "checkpoint"
    names = {array.name for array in told.arrays if array.part == "model"}
    assert any(name.endswith("/kernel") for name in names)
    assert len(told.arrays) == len({array.name for array in told.arrays})


def test_a_saved_model_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(CORPUS / "trained_nadam.zip") as archive:
        archive.extractall(tmp_path)
    told = facts(next(tmp_path.rglob("saved_model.pb")).parent)
    assert told.format == "saved_model"
    assert told.parameters == 21
    kept = {array.name for array in told.arrays if array.part == "optimizer"}
    assert {f"optimizer/_variables/{number}" for number in range(1, 9)} <= kept
    assert told.compiled == "optimizer Custom>Nadam; loss mse"


def test_weights_alone_are_told(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"dense/kernel": np.ones((2, 3))}, tmp_path / "m.safetensors")
    told = facts(tmp_path / "m.safetensors")
    assert (told.model, told.layers, told.parameters) == ("", (), 6)
    assert [(a.name, a.shape, a.dtype, a.size) for a in told.arrays] == [
        ("dense/kernel", (2, 3), "float64", 48)
    ]


def test_what_is_unsafe_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lambda_layer = {
        "class_name": "Lambda",
        "config": {"name": "evil", "function": ["x", None, None], "function_type": "lambda"},
    }
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [lambda_layer]}}
    inspect(whole(tmp_path / "m.h5", model_config=json.dumps(config)))
    assert "unsafe: evil: a Lambda of Python bytecode" in capsys.readouterr().out


def test_it_is_printed_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    inspect(KERAS / "keras-2.15.keras")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for line in (
        ["format", "keras"],
        ["keras", "2.15.0"],
        ["model", "Functional", "model"],
        ["parameters", "128"],
        ["optimizer", "25", "arrays,", "984", "bytes"],
        ["dense", "Dense", "5"],
        ["layers/dense/vars/0", "4", "x", "1", "float32", "16", "bytes", "model"],
        ["optimizer/vars/0", "()", "int64", "8", "bytes", "optimizer"],
    ):
        assert line in lines


def test_it_is_printed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    inspect(KERAS / "keras-2.15.h5", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["parameters"] == 128
    assert told["layers"][3] == {"name": "dense", "kind": "Dense", "parameters": 5}
    iteration = next(array for array in told["arrays"] if array["name"] == "iteration:0")
    assert (iteration["shape"], iteration["dtype"], iteration["size"]) == ([], "int64", 8)
    assert iteration["part"] == "optimizer"


def test_a_run_is_pointed_to_show(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 1)
    with pytest.raises(FormatError, match="holdfast show"):
        inspect(tmp_path / "run")


def test_keras_is_not_imported_and_the_arrays_are_not_read(tmp_path: Path) -> None:
    """A file of 500 MB whose arrays are not on the disk at all."""
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones((10, 10), np.float32)
    with h5py.File(path, "a") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((125, 1_000_000))
        group = file.create_group("layers/dense_1/vars")
        h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, made)
    assert path.stat().st_size > 500_000_000
    program = (
        "import sys, tracemalloc\n"
        "from holdfast.cli.inspect_file import inspect\n"
        "from pathlib import Path\n"
        "tracemalloc.start()\n"
        "inspect(Path(sys.argv[1]))\n"
        "assert not {'keras', 'jax', 'torch', 'tensorflow', 'h5py'} & set(sys.modules)\n"
        "assert tracemalloc.get_traced_memory()[1] < 50_000_000\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "125 x 1000000" in done.stdout
