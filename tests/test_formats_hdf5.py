"""HDF5 files of Keras: every layout and type is read as h5py reads it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest

from holdfast.errors import FormatError
from holdfast.formats import hdf5
from holdfast.formats.model_file import ByLayer, ByPath, ModelFile

DATA = Path(__file__).parent / "data" / "keras_files"
TYPES = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128", ">f4", ">f8", ">i4", ">c8"),
)
# The order of Keras 2's `model.weights` in the models that data/keras_files/make.py saves.
MADE = [
    *(f"layers/dense/vars/{n}" for n in range(2)),
    *(f"layers/sequential/layers/dense/vars/{n}" for n in range(2)),
    *(f"layers/sequential/layers/batch_normalization/vars/{n}" for n in range(4)),
    *(f"layers/sequential/layers/dense_1/vars/{n}" for n in range(2)),
    *(f"layers/bidirectional/forward_layer/cell/vars/{n}" for n in range(3)),
    *(f"layers/bidirectional/backward_layer/cell/vars/{n}" for n in range(3)),
    *(f"layers/dense_1/vars/{n}" for n in range(2)),
    *(f"layers/dense_2/vars/{n}" for n in range(2)),
]


def by_layer(file: ModelFile) -> dict[str, list[np.ndarray]]:
    assert isinstance(file.weights, ByLayer)
    return {layer.name: [entry.read() for entry in layer.entries] for layer in file.weights.layers}


def whole(path: Path, **attributes: object) -> Path:
    """Write a whole model as Keras 2 does, with a layer named `dense`."""
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"dense"]
        layer = weights.create_group("dense")
        layer.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        layer["dense/kernel:0"] = np.ones((2, 3), np.float32)
        layer["dense/bias:0"] = np.zeros(3, np.float32)
    return path


def paths(path: Path, **arrays: object) -> Path:
    """Write weights as Keras 3 does, each in a group `vars`."""
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[f"layers/{name}/vars/0"] = value
    return path


def read_paths(path: Path) -> dict[str, np.ndarray]:
    with hdf5.read(path) as file:
        assert isinstance(file.weights, ByPath)
        return {name: entry.read() for name, entry in file.weights.entries.items()}


def test_every_array_of_a_keras_2_model_is_as_h5py_reads_it() -> None:
    with hdf5.read(DATA / "keras-2.15.h5") as file, h5py.File(DATA / "keras-2.15.h5") as oracle:
        weights = oracle["model_weights"]
        names = [str(name) for name in weights.attrs["layer_names"]]
        assert list(by_layer(file)) == names
        for name, arrays in by_layer(file).items():
            wanted = [weights[name][str(inner)] for inner in weights[name].attrs["weight_names"]]
            assert [array.tobytes() for array in arrays] == [
                array[()].tobytes() for array in wanted
            ]
        kept = oracle["optimizer_weights"]
        assert file.optimizer is not None
        assert [entry.name for entry in file.optimizer] == list(kept.attrs["weight_names"])
        for entry in file.optimizer:
            assert np.array_equal(entry.read(), kept[entry.name][()])
        assert file.config == json.loads(oracle.attrs["model_config"])
        assert file.training == json.loads(oracle.attrs["training_config"])
        assert (file.format, file.keras_version, file.backend) == ("hdf5", "2.15.0", "tensorflow")


def test_what_keras_3_writes_today_is_read(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    model.save(tmp_path / "model.h5")
    model.save_weights(tmp_path / "model.weights.h5")
    values = [np.asarray(variable) for variable in model.weights]
    with hdf5.read(tmp_path / "model.h5") as file:
        found = [array for arrays in by_layer(file).values() for array in arrays]
        assert [a.tobytes() for a in found] == [a.tobytes() for a in values]
        assert file.major == 3
    found = list(read_paths(tmp_path / "model.weights.h5").values())
    assert [a.tobytes() for a in found] == [a.tobytes() for a in values]


def test_weights_of_keras_2_12_have_the_paths_of_newer_versions() -> None:
    """There a layer with weights was listed twice: dense, dense_2, dense_4."""
    found = read_paths(DATA / "keras-2.12.weights.h5")
    with np.load(DATA / "keras-2.12.npz") as oracle:
        for place, name in enumerate(MADE):
            assert np.array_equal(found[name], oracle[f"arr_{place}"]), name
    assert {name for name in found if name.startswith("layers/")} == set(MADE)


def test_groups_named_on_windows_are_read_as_paths(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file["layers\\dense/vars/0"] = [1.0]
        file["layers\\lstm\\cell/vars/0"] = [2.0]
        file["layers/dense_1/vars/0"] = [3.0]
    found = read_paths(tmp_path / "w.weights.h5")
    assert {name: array[0] for name, array in found.items()} == {
        "layers/dense/vars/0": 1.0,
        "layers/lstm/cell/vars/0": 2.0,
        "layers/dense_1/vars/0": 3.0,
    }


def test_numbers_in_a_group_are_in_their_order(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for number in range(12):
            file[f"optimizer/vars/{number}"] = number
    assert list(read_paths(tmp_path / "w.weights.h5")) == [f"optimizer/vars/{n}" for n in range(12)]


@pytest.mark.parametrize("encoding", ["fixed", "long", "bytes"])
def test_names_are_read_in_every_way_h5py_has_written_them(tmp_path: Path, encoding: str) -> None:
    path = whole(tmp_path / "model.h5")
    names = {
        "fixed": np.array([b"dense/kernel:0", b"dense/bias:0"], "S14"),
        "long": np.array(["dense/kernel:0", "dense/bias:0"], h5py.string_dtype()),
        "bytes": [b"dense/kernel:0", b"dense/bias:0"],
    }
    with h5py.File(path, "a") as file:
        file["model_weights/dense"].attrs["weight_names"] = names[encoding]
    with hdf5.read(path) as file:
        assert [array.shape for array in by_layer(file)["dense"]] == [(2, 3), (3,)]


def test_names_split_over_attributes_are_joined(tmp_path: Path) -> None:
    path = whole(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        weights = file["model_weights"]
        del weights.attrs["layer_names"]
        for number in range(12):
            weights.attrs[f"layer_names{number}"] = [f"layer_{number}"]
            weights.create_group(f"layer_{number}").attrs["weight_names"] = [b"w"]
            weights[f"layer_{number}/w"] = float(number)
    with hdf5.read(path) as file:
        assert {name: float(w) for name, (w,) in by_layer(file).items()} == {
            f"layer_{number}": number for number in range(12)
        }


def test_a_file_of_keras_1_says_so(tmp_path: Path) -> None:
    with hdf5.read(whole(tmp_path / "model.h5")) as file:
        assert file.keras_version == "1"
        assert file.major == 1
        assert file.backend is None


def test_json_within_json_is_read(tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "config": []}
    with hdf5.read(whole(tmp_path / "m.h5", model_config=json.dumps(json.dumps(config)))) as file:
        assert file.config == config


def test_an_architecture_beside_the_weights_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense").attrs["weight_names"] = np.array([])
    with hdf5.read(tmp_path / "w.h5") as file:
        assert file.config is None
    config = {"class_name": "Sequential", "config": []}
    (tmp_path / "w.json").write_text(json.dumps(json.dumps(config)))
    with hdf5.read(tmp_path / "w.h5") as file:
        assert file.config == config


def test_the_oldest_files_have_layers_by_number(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["nb_layers"] = 2
        for number in range(2):
            layer = file.create_group(f"layer_{number}")
            layer.attrs["nb_params"] = number
            for place in range(number):
                layer[f"param_{place}"] = np.full((2, 2), place, np.float32)
    with hdf5.read(tmp_path / "w.h5") as file:
        assert file.keras_version == "0"
        assert [len(arrays) for arrays in by_layer(file).values()] == [0, 1]


def test_arrays_of_the_model_itself_are_apart(tmp_path: Path) -> None:
    path = whole(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        top = file["model_weights"].create_group("top_level_model_weights")
        top.attrs["weight_names"] = [b"scale:0"]
        top["scale:0"] = 2.5
    with hdf5.read(path) as file:
        assert isinstance(file.weights, ByLayer)
        assert [float(entry.read()) for entry in file.weights.top] == [2.5]


@pytest.mark.parametrize(
    "dtype",
    TYPES,
)
def test_every_type_of_numbers_is_read(tmp_path: Path, dtype: str) -> None:
    values = (np.arange(6).reshape(2, 3) * 37 % 5).astype(dtype)
    found = read_paths(paths(tmp_path / "w.weights.h5", a=values))["layers/a/vars/0"]
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(found, values)


def test_bfloat16_is_read(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 3e38], ml_dtypes.bfloat16)
    found = read_paths(paths(tmp_path / "w.weights.h5", a=values))["layers/a/vars/0"]
    assert found.dtype == ml_dtypes.bfloat16
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (7, 1, 2)])
def test_every_shape_is_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape, np.float32)
    found = read_paths(paths(tmp_path / "w.weights.h5", a=values))["layers/a/vars/0"]
    assert found.shape == shape
    assert np.array_equal(found, values)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "gzip"},
        {"compression": "lzf"},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"shuffle": True},
        {"fletcher32": True},
    ],
)
def test_packed_chunks_are_unpacked(tmp_path: Path, how: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random((50, 70)) < 0.7, 0, rng.random((50, 70))).astype(np.float32)
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file.create_dataset("layers/a/vars/0", data=values, chunks=(16, 33), **how)
    found = read_paths(tmp_path / "w.weights.h5")["layers/a/vars/0"]
    assert np.array_equal(found, values)


def test_many_members_of_a_group_are_all_found(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for number in range(2000):
            file[f"layers/dense_{number}/vars/0"] = number
    found = read_paths(tmp_path / "w.weights.h5")
    assert len(found) == 2000
    assert all(found[f"layers/dense_{number}/vars/0"] == number for number in range(2000))


def test_small_groups_of_the_newer_kind_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w", libver="latest") as file:
        file["layers/dense/vars/0"] = np.arange(4.0)
    assert np.array_equal(
        read_paths(tmp_path / "w.weights.h5")["layers/dense/vars/0"], np.arange(4.0)
    )


def test_large_groups_of_the_newer_kind_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w", libver="latest") as file:
        for number in range(100):
            file[f"layers/dense/vars/{number}"] = number
    with pytest.raises(FormatError, match="h5repack"):
        hdf5.read(tmp_path / "w.weights.h5")


def test_arrays_are_aligned_and_no_window_onto_the_file(tmp_path: Path) -> None:
    path = paths(tmp_path / "w.weights.h5", a=np.arange(1000, dtype=np.float32))
    with hdf5.read(path) as file:
        assert isinstance(file.weights, ByPath)
        first = file.weights.entries["layers/a/vars/0"].read()
        second = file.weights.entries["layers/a/vars/0"].read()
    assert first.ctypes.data % 64 == 0
    first[:] = 0
    assert second[999] == 999


def test_opening_reads_no_arrays(tmp_path: Path) -> None:
    """The arrays' bytes are cut off once it is open: only reading them can tell."""
    path = paths(tmp_path / "w.weights.h5", a=np.ones(1_000_000, np.float32))
    with hdf5.read(path) as file:
        with path.open("r+b") as handle:
            handle.truncate(100_000)
        assert isinstance(file.weights, ByPath)
        entry = file.weights.entries["layers/a/vars/0"]
        assert entry.shape == (1_000_000,)
        with pytest.raises(FormatError, match="shorter"):
            entry.read()


def test_a_file_cut_short_says_so(tmp_path: Path) -> None:
    path = paths(tmp_path / "w.weights.h5", a=np.ones(1000, np.float32))
    data = path.read_bytes()
    for size in (9, 60, 100, 1000, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match="cut short"):
            hdf5.read(path)


def test_a_name_that_leads_nowhere_says_so(tmp_path: Path) -> None:
    path = whole(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/dense/dense/bias:0"]
    with pytest.raises(FormatError, match="dense/bias:0"):
        hdf5.read(path)
    with h5py.File(path, "a") as file:
        del file["model_weights/dense"]
    with pytest.raises(FormatError, match="'dense'"):
        hdf5.read(path)


def test_hdf5_that_is_not_of_keras_says_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["table"] = np.ones(3)
    with pytest.raises(FormatError, match=r"not of Keras.*table"):
        hdf5.read(tmp_path / "table.h5")


def test_a_packed_chunk_with_a_wrong_sum_is_refused(tmp_path: Path) -> None:
    values = np.arange(1000, dtype=np.float32)
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/a/vars/0", data=values, chunks=(1000,), fletcher32=True)
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<3f", 500, 501, 502))
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="sum is wrong"):
        read_paths(path)
