"""`.keras` files: of every version, as a zip, a packed zip and a directory; numpy's zip; shards."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from test_formats_hdf5 import MADE

from holdfast.errors import FormatError
from holdfast.formats import keras_zip, shards
from holdfast.formats.model_file import ByPath, ModelFile
from holdfast.formats.opening import open_file

DATA = Path(__file__).parent / "data" / "keras_files"
CONFIG = {"class_name": "Sequential", "config": {"name": "s", "layers": []}}


def arrays(file: ModelFile) -> dict[str, np.ndarray]:
    assert isinstance(file.weights, ByPath)
    return {name: entry.read() for name, entry in file.weights.entries.items()}


def weights(**values: object) -> bytes:
    """Return HDF5 with an array for each name, as Keras 3 lays them out."""
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, value in values.items():
            file[f"layers/{name}/vars/0"] = value
    return data.getvalue()


def packed(path: Path, how: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """Write a zip with a configuration and these members; `__` stands for a dot."""
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("config.json", json.dumps(CONFIG))
        for name, data in members.items():
            file.writestr(name.replace("__", "."), data)
    return path


def test_what_keras_3_writes_today_is_read(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.save(tmp_path / "model.keras")
    with keras_zip.read(tmp_path / "model.keras") as file:
        found = arrays(file)
        for layer, group in zip(model.layers, ("dense", "dense_1"), strict=True):
            for place, value in enumerate(layer.get_weights()):
                assert np.array_equal(found[f"layers/{group}/vars/{place}"], value)
        assert file.keras_version == keras.__version__
        assert file.config["class_name"] == "Sequential"
        assert file.training["optimizer"]["class_name"] == "Adam"
        assert any(name.startswith("optimizer/vars/") for name in found)


def test_what_keras_3_writes_as_a_directory_is_read(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "folder", zipped=False)
    with (
        keras_zip.read(tmp_path / "model.keras") as one,
        keras_zip.read(tmp_path / "folder") as two,
    ):
        assert arrays(one).keys() == arrays(two).keys()
        assert all(np.array_equal(value, arrays(two)[name]) for name, value in arrays(one).items())


def test_the_first_keras_files_are_read() -> None:
    with (
        keras_zip.read(DATA / "keras-2.11.keras") as file,
        np.load(DATA / "keras-2.11.npz") as values,
    ):
        found = arrays(file)
        for place, name in enumerate(MADE):
            assert np.array_equal(found[name], values[f"arr_{place}"]), name
        assert file.keras_version == "2.11.0"


def test_keras_files_of_2_15_are_read() -> None:
    with keras_zip.read(DATA / "keras-2.15.keras") as file:
        found = arrays(file)
        assert found["layers/bidirectional/forward_layer/cell/vars/0"].shape == (3, 8)
        assert found["optimizer/vars/0"] == 1
        assert file.training["loss"] == "mse"


def test_a_packed_zip_is_unpacked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((100, 100), np.float32)
    data = {"model__weights__h5": weights(dense=values)}
    with keras_zip.read(packed(tmp_path / "m.keras", zipfile.ZIP_DEFLATED, **data)) as file:
        assert np.array_equal(arrays(file)["layers/dense/vars/0"], values)


def test_opening_reads_no_weights_of_a_zip_as_keras_writes_it(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.keras", model__weights__h5=weights(dense=np.ones(1000)))
    data = bytearray(path.read_bytes())
    ones = np.ones(1000).tobytes()
    at = data.index(ones)
    data[at : at + len(ones)] = (2 * np.ones(1000)).tobytes()
    path.write_bytes(data)  # the zip's own sum is wrong now, and nobody asked for it
    with keras_zip.read(path) as file:
        assert set(arrays(file)["layers/dense/vars/0"]) == {2.0}


def test_assets_are_given_by_their_owners_path(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.keras", model__weights__h5=weights())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("assets\\layers\\string_lookup\\vocabulary.txt", b"a\nb")
        file.writestr("assets/_/", b"")
    with keras_zip.read(path) as opened:
        assert isinstance(opened.weights, ByPath)
        assert [*opened.weights.assets] == ["layers/string_lookup/vocabulary.txt"]
        assert opened.weights.assets["layers/string_lookup/vocabulary.txt"]() == b"a\nb"


@pytest.mark.parametrize(("group", "counted"), [("dense", True), ("mine", False)])
def test_groups_named_by_layers_are_told_apart(tmp_path: Path, group: str, counted: bool) -> None:
    layer = {"class_name": "Dense", "config": {"name": "mine"}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", weights(**{group: 1.0}))
    with keras_zip.read(tmp_path / "m.keras") as opened:
        assert isinstance(opened.weights, ByPath)
        assert opened.weights.counted is counted


def test_plain_arrays_of_numpy_are_read(tmp_path: Path) -> None:
    data = io.BytesIO()
    values = {
        "layers/dense/vars/0": np.arange(6, dtype=np.float32).reshape(2, 3),
        "layers/dense/vars/1": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "layers/dense_1/vars/0": np.arange(3, dtype=">i4"),
        "optimizer/vars/0": np.array(7),
    }
    np.savez_compressed(data, **values)
    with keras_zip.read(packed(tmp_path / "m.keras", model__weights__npz=data.getvalue())) as file:
        found = arrays(file)
        assert found.keys() == values.keys()
        assert all(np.array_equal(found[name], value) for name, value in values.items())


def test_pickled_arrays_of_numpy_are_refused() -> None:
    with pytest.raises(FormatError, match="never unpickled"):
        keras_zip.read(DATA / "keras-2.12-npz.keras")


def test_weights_in_several_files_are_joined(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((200,)), *(keras.layers.Dense(200) for _ in range(4))])
    model.save_weights(tmp_path / "w.weights.json", max_shard_size=0.0002)
    assert len(list(tmp_path.glob("*.h5"))) > 2
    with shards.read(tmp_path / "w.weights.json") as file:
        found = arrays(file)
    with open_file(tmp_path) as file:
        assert arrays(file).keys() == found.keys()
    values = [np.asarray(variable) for variable in model.weights]
    assert len(found) == len(values)
    for number, layer in enumerate(model.layers):
        group = f"dense_{number}" if number else "dense"
        for place, value in enumerate(layer.get_weights()):
            assert np.array_equal(found[f"layers/{group}/vars/{place}"], value)


@pytest.mark.parametrize("name", ["../w.h5", "/etc/w.h5", "c:w.h5", "w.txt", 5, "gone.h5"])
def test_a_list_of_files_names_only_files_beside_it(tmp_path: Path, name: object) -> None:
    plan = {"metadata": {}, "weight_map": {"/layers/dense/vars": name}}
    (tmp_path / "w.weights.json").write_text(json.dumps(plan))
    with pytest.raises(FormatError, match=r"no file beside it|gone.h5"):
        shards.read(tmp_path / "w.weights.json")


def test_a_keras_file_without_weights_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"model\.weights\.h5.*other\.txt"):
        keras_zip.read(packed(tmp_path / "m.keras", other__txt=b""))


def test_a_configuration_that_is_no_json_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as file:
        file.writestr("config.json", "{")
        file.writestr("model.weights.h5", weights())
    with pytest.raises(FormatError, match=r"config\.json: expected JSON"):
        keras_zip.read(tmp_path / "m.keras")


def test_a_zip_cut_short_says_so(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.keras", model__weights__h5=weights(dense=np.ones(100)))
    data = path.read_bytes()
    for size in (10, 500, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError):
            keras_zip.read(path)
