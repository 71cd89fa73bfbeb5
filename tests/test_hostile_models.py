"""Files whose configuration is made to do harm where a model is built: each is refused.

What may not be run is not run although the program has allowed Keras to, and what is not there is
not imported although it could be.
"""

from __future__ import annotations

import base64
import io
import json
import marshal
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from test_formats_hdf5 import whole

import holdfast
from holdfast.errors import CustomObjectError, FormatError, HoldfastError


def part(kind: str, module: str = "keras.layers", **config: object) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def model(*layers: object, shape: tuple[int, ...] = (4,), batch: int | None = None) -> Any:
    entry = part("InputLayer", batch_shape=[batch, *shape], dtype="float32", name="in")
    return part("Sequential", "keras", name="s", layers=[entry, *layers])


def zipped(folder: Path, config: object, arrays: dict[str, Any] | None = None) -> Path:
    """Write a `.keras` of Keras 3."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, array in (arrays or {}).items():
            file[name] = array
    path = folder / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", data.getvalue())
    return path


def dense(**config: object) -> dict[str, Any]:
    return part("Dense", name="d", units=2, **config)


DENSE = {"layers/dense/vars/0": np.ones((4, 2), "f4"), "layers/dense/vars/1": np.ones(2, "f4")}


# ---- code, although the program trusts it


@pytest.fixture
def trusting() -> Iterator[None]:
    """The program has told Keras that files may bring code."""
    keras.config.enable_unsafe_deserialization()
    yield
    keras.backend.clear_session()


def bytecode(target: Path) -> str:
    code = compile(f"open({str(target)!r}, 'w')", "evil", "exec")
    return base64.b64encode(marshal.dumps(code)).decode()


@pytest.mark.parametrize("kind", ["__lambda__", "__typespec__"])
@pytest.mark.parametrize("registered", [None, "holdfast>old_hard_sigmoid"])
@pytest.mark.usefixtures("trusting")
def test_code_under_a_registered_name_is_refused(
    tmp_path: Path, kind: str, registered: str | None
) -> None:
    function = {
        "module": "builtins",
        "class_name": kind,
        "spec_name": "old_hard_sigmoid",
        "config": {"value": [bytecode(tmp_path / "ran"), None, None]},
        "registered_name": registered,
    }
    path = zipped(tmp_path, model(dense(activation=function)), DENSE)
    with pytest.raises(CustomObjectError, match=f"'d' is a {kind}"):
        holdfast.load_model(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("trusting")
def test_a_lambda_is_refused_although_its_class_is_given(tmp_path: Path) -> None:
    """Keras takes what was given for a class by its registered name alone."""
    layer = part("Lambda", name="mine", function=[bytecode(tmp_path / "ran"), None, None])
    path = zipped(tmp_path, model(layer))
    with pytest.raises(CustomObjectError, match="'mine' is a Lambda"):
        holdfast.load_model(path, {"Lambda": keras.layers.Dense})
    assert not (tmp_path / "ran").exists()


def old(folder: Path, *layers: object, version: str = "2.15.0") -> Path:
    """Write a whole model in HDF5 of Keras 2, or of 1."""
    entry = {
        "class_name": "InputLayer",
        "config": {"name": "in", "batch_input_shape": [None, 3, 4]},
    }
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [entry, *layers]}}
    return whole(folder / "m.h5", model_config=json.dumps(config), keras_version=version)


def old_part(kind: str, **config: object) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": "mine", **config}}


@pytest.mark.parametrize("version", ["1.2.2", "2.15.0"])
@pytest.mark.parametrize("wrapper", ["", "TimeDistributed", "Bidirectional"])
@pytest.mark.usefixtures("trusting")
def test_old_bytecode_is_refused_wherever_it_is(tmp_path: Path, wrapper: str, version: str) -> None:
    code = bytecode(tmp_path / "ran")
    layer = old_part("Lambda", function=[code, None, None], function_type="lambda")
    if wrapper:
        layer = old_part(wrapper, layer=layer)
    with pytest.raises(CustomObjectError, match="Lambda, whose code"):
        holdfast.load_model(old(tmp_path, layer, version=version))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"activation": {"class_name": "__lambda__", "config": {"value": ["4w==", None, None]}}},
        {"activation": {"class_name": "function", "module": "os", "config": "system"}},
        {"kernel_initializer": {"class_name": "system", "module": "os", "config": {}}},
        {"kernel_regularizer": {"class_name": "system", "module": "os", "config": {}}},
    ],
)
@pytest.mark.usefixtures("trusting")
def test_old_parts_that_keras_has_not_are_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(CustomObjectError, match="which Keras 3 does not have"):
        holdfast.load_model(old(tmp_path, old_part("Dense", units=2, **config)))


# ---- imports


def test_nothing_is_imported_that_a_file_names(tmp_path: Path) -> None:
    """Keras itself imports what begins with its own name, and with that of its packages."""
    for name in ("keras_hub", "evil"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("open('ran', 'w')\ndef relu(x): return x")
    lines = ["import holdfast", "from holdfast.errors import FormatError"]
    modules = ("keras_hub", "evil", "keras.src.backend.tensorflow", "keras.src.backend.torch")
    for number, module in enumerate(modules):
        folder = tmp_path / str(number)
        folder.mkdir()
        function = {"module": module, "class_name": "function", "config": "relu"}
        path = zipped(folder, model(dense(activation={**function, "registered_name": "relu"})))
        lines += [
            f"try: holdfast.load_model({str(path)!r})",
            f"except FormatError as error: assert {module!r} in str(error), error",
            f"else: raise SystemExit({module!r})",
        ]
    lines += ["import sys", f"assert not set(sys.modules) & set({modules!r})"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("words", ["/etc/passwd", "https://example.org/words"])
@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_a_vocabulary_in_another_file_is_refused(tmp_path: Path, kind: str, words: str) -> None:
    layer = part(kind, name="mine", vocabulary=words, vocabulary_dtype="int64")
    with pytest.raises(FormatError, match="'mine' has its vocabulary in another file"):
        holdfast.load_model(zipped(tmp_path, model(layer)))


# ---- values that a configuration claims


def stateful(kind: str, **config: object) -> dict[str, Any]:
    return part(kind, name="r", stateful=True, **config)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (stateful("SimpleRNN", units=1), (3, 1)),
        (stateful("LSTM", units=1), (3, 1)),
        (stateful("ConvLSTM2D", filters=1, kernel_size=[1, 1]), (2, 3, 3, 1)),
        (stateful("RNN", cell=part("GRUCell", name="c", units=1)), (3, 1)),
        (
            part("Bidirectional", name="b", layer=stateful("GRU", units=1)),
            (3, 1),
        ),
    ],
)
def test_state_for_a_huge_batch_is_refused(
    tmp_path: Path, layer: dict[str, Any], shape: tuple[int, ...]
) -> None:
    path = zipped(tmp_path, model(layer, shape=shape, batch=10**10))
    with pytest.raises(FormatError, match="more than a file of"):
        holdfast.load_model(path)


def test_state_for_a_batch_of_usual_size_is_made(tmp_path: Path) -> None:
    arrays = [np.ones((1, 4), "f4"), np.ones((1, 4), "f4"), np.ones(4, "f4")]
    named = {f"layers/lstm/cell/vars/{place}": array for place, array in enumerate(arrays)}
    config = model(stateful("LSTM", units=1), shape=(3, 1), batch=1000)
    made = holdfast.load_model(zipped(tmp_path, config, named))
    assert [state.shape for state in made.layers[0].states] == [(1000, 1), (1000, 1)]


@pytest.mark.parametrize("numbers", [(0.0, 1.0), ([0.0], [1.0]), (None, None)])
def test_numbers_repeated_for_very_many_features_are_refused(
    tmp_path: Path, numbers: tuple[Any, Any]
) -> None:
    layer = part("Normalization", name="n", axis=-1, mean=numbers[0], variance=numbers[1])
    with pytest.raises(FormatError, match="more than a file of"):
        holdfast.load_model(zipped(tmp_path, model(layer, shape=(10**10,))))


@pytest.mark.parametrize("mean", [[0.5], [0.5] * 4])
def test_given_numbers_normalize(tmp_path: Path, mean: list[float]) -> None:
    layer = part("Normalization", name="n", axis=-1, mean=mean, variance=[4.0] * len(mean))
    made = holdfast.load_model(zipped(tmp_path, model(layer)))
    assert np.asarray(made(np.ones((1, 4)))).tolist() == [[0.25] * 4]


@pytest.mark.parametrize("kind", ["S1000000000", "U1000000000", "V1000000000", "O", None, [1]])
def test_arrays_of_types_that_are_no_numbers_are_refused(tmp_path: Path, kind: Any) -> None:
    value = {"class_name": "__numpy__", "config": {"value": [1], "dtype": kind}}
    constant = part("Constant", "keras.initializers", value=value)
    with pytest.raises(FormatError, match="a __numpy__ in its configuration"):
        holdfast.load_model(zipped(tmp_path, model(dense(kernel_initializer=constant))))


BOMBS = [
    (dense() | {"config": {"name": "d", "units": 10**12}}, (4,)),
    (part("Embedding", name="e", input_dim=10**9, output_dim=10**9), (4,)),
    (part("Conv2D", name="c", filters=10**9, kernel_size=[3, 3]), (4, 4, 3)),
    (part("RepeatVector", name="r", n=10**12), (4,)),
    (part("UpSampling2D", name="u", size=[10**9, 10**9]), (4, 4, 3)),
    (part("ZeroPadding2D", name="z", padding=10**12), (4, 4, 3)),
    (dense() | {"build_config": {"input_shape": [None, 10**12]}}, (4,)),
    (stateful("LSTM", units=10**6), (10**6, 10**6)),
]


def test_layers_of_any_size_take_no_memory(tmp_path: Path) -> None:
    """As a process sees it that has little: four times the file, and 64 MB."""
    paths = []
    for number, (layer, shape) in enumerate(BOMBS):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(str(zipped(folder, model(layer, shape=shape))))
    program = f"""
import resource, sys, warnings
import holdfast, holdfast.formats.live.reading
from holdfast.errors import HoldfastError
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in {paths!r}:
    try:
        holdfast.load_model(path)
    except HoldfastError as error:
        assert path in str(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# ---- paths that lead to no file


def test_paths_that_would_never_end_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    others = ["/dev/zero", tmp_path / "a" / "b", tmp_path / ("x" * 5000), tmp_path / "a\0b"]
    names = ("pipe", "loop", "gone", "empty", "folder")
    for path in [*(tmp_path / name for name in names), *others]:
        with pytest.raises(HoldfastError):
            holdfast.load_model(path)
