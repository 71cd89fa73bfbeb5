"""Safetensors: the library reads ours, we read its, and a hostile header harms nobody."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from holdfast.errors import FormatError
from holdfast.formats import safetensors as codec
from holdfast.formats.model_file import ByName, Entry, ModelFile

CONFIG = {"class_name": "Sequential", "config": {"name": "s", "layers": []}}


def arrays(file: ModelFile) -> dict[str, np.ndarray]:
    assert isinstance(file.weights, ByName)
    return {name: entry.read() for name, entry in file.weights.entries.items()}


def entries(values: dict[str, np.ndarray]) -> list[Entry]:
    return [
        Entry(name, value.shape, value.dtype.name, lambda value=value: value)
        for name, value in values.items()
    ]


def written(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    values = {
        "b": np.arange(3, dtype=np.int64),
        "a/kernel": np.random.default_rng(0).random((3, 4), np.float32),
        "empty": np.zeros((0, 3), np.float16),
        "scalar": np.array(2.5),
        "half": np.array([1.5, -3], ml_dtypes.bfloat16),
        "yes": np.array([True, False]),
    }
    safetensors.numpy.save_file(values, tmp_path / "m.safetensors", {"keras_version": "3.1"})
    with codec.read(tmp_path / "m.safetensors") as file:
        found = arrays(file)
        assert found.keys() == values.keys()
        for name, value in values.items():
            assert found[name].dtype == value.dtype
            assert found[name].shape == value.shape
            assert found[name].tobytes() == value.tobytes()
        assert file.keras_version == "3.1"
        assert file.config is None


def test_what_is_written_the_library_reads(tmp_path: Path) -> None:
    values = {
        "z": np.arange(5, dtype=np.int8),
        "a": np.random.default_rng(0).random((3, 4), np.float32).T,
        "half": np.array([1.5, -3], ml_dtypes.bfloat16),
        "wide": np.arange(3.0),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(7, np.int32),
    }
    texts = {codec.CONFIG: json.dumps(CONFIG), codec.VERSION: "3.15.1"}
    data = b"".join(codec.encode(entries(values), texts))
    assert int.from_bytes(data[:8], "little") % 8 == 0
    (tmp_path / "m.safetensors").write_bytes(data)
    found = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert all(found[name].tobytes() == value.tobytes() for name, value in values.items())
    with safetensors.safe_open(tmp_path / "m.safetensors", "np") as opened:
        assert opened.metadata() == texts
    with codec.read(tmp_path / "m.safetensors") as file:
        again = arrays(file)
        assert all(again[name].tobytes() == value.tobytes() for name, value in values.items())
        assert file.config == CONFIG
        assert file.keras_version == "3.15.1"


def test_each_array_is_read_once_and_in_its_turn() -> None:
    """Writing 500 MB must not need them all at once."""
    read = []

    def loading(name: str) -> np.ndarray:
        read.append(name)
        return np.zeros(4, np.float32)

    made = [Entry(n, (4,), "float32", lambda n=n: loading(n)) for n in "abc"]
    pieces = codec.encode(made, {})
    next(pieces)
    assert read == []
    next(pieces)
    assert read == ["a"]
    next(pieces)
    assert read == ["a", "b"]


@pytest.mark.parametrize("beside", ["m.json", "config.json"])
def test_a_configuration_beside_the_arrays_is_read(tmp_path: Path, beside: str) -> None:
    safetensors.numpy.save_file({"a": np.ones(1)}, tmp_path / "m.safetensors")
    (tmp_path / beside).write_text(json.dumps(CONFIG))
    with codec.read(tmp_path / "m.safetensors") as file:
        assert file.config == CONFIG


def test_json_beside_that_is_no_model_is_left(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"a": np.ones(1)}, tmp_path / "m.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with codec.read(tmp_path / "m.safetensors") as file:
        assert file.config is None


def test_a_type_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(FormatError, match="complex128"):
        list(codec.encode(entries({"a": np.ones(1, np.complex128)}), {}))


def test_two_arrays_of_a_name_are_refused() -> None:
    with pytest.raises(FormatError, match="two arrays"):
        list(codec.encode(entries({"a": np.ones(1)}) * 2, {}))


@pytest.mark.parametrize(
    "said",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 17]},
        {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1] * 40, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0]},
        {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": ["F32"], "shape": [4], "data_offsets": [0, 16]},
        {},
        "F32",
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, said: object) -> None:
    path = written(tmp_path / "m.safetensors", {"a": said}, b"\0" * 16)
    with pytest.raises(FormatError, match="'a'"):
        codec.read(path)


@pytest.mark.parametrize(
    "header", [[1], {"__metadata__": [1]}, {"__metadata__": {codec.CONFIG: 1}}]
)
def test_a_header_of_another_kind_is_refused(tmp_path: Path, header: object) -> None:
    with pytest.raises(FormatError, match=r"object|begin|text"):
        codec.read(written(tmp_path / "m.safetensors", header))


def test_arrays_that_share_their_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A thousand arrays of the same megabyte would be a gigabyte."""
    one = {"dtype": "U8", "shape": [1 << 20], "data_offsets": [0, 1 << 20]}
    path = tmp_path / "m.safetensors"
    written(path, {f"a{n}": one for n in range(1000)}, bytes(1 << 20))
    with pytest.raises(FormatError, match="fill the memory"):
        codec.read(path)
