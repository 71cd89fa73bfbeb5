"""Files are known by what is in them, through zips and directories; what is not known is named."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy
from test_formats_hdf5 import paths, whole
from tiny_run import make_run

from holdfast.errors import FormatError
from holdfast.formats.detect import detect
from holdfast.formats.model_file import ByLayer, ByName, ByObject, ByPath, ModelFile
from holdfast.formats.opening import open_file

DATA = Path(__file__).parent / "data"
KERAS = DATA / "keras_files" / "keras-2.15.keras"
CHECKPOINT = DATA / "bundle" / "model"


def count(file: ModelFile) -> int:
    """Read all arrays and return how many there are."""
    weights = file.weights
    if isinstance(weights, ByLayer):
        return sum(len([entry.read() for entry in layer.entries]) for layer in weights.layers)
    if isinstance(weights, ByObject):
        return len([node.value.read() for node in weights.nodes if node.value is not None])
    assert isinstance(weights, ByPath | ByName)
    return len([entry.read() for entry in weights.entries.values()])


def saved_model(folder: Path) -> Path:
    """Unpack a real SavedModel of the corpus."""
    found = Path(__file__).parent / "corpus" / "files" / "dense_sequential.zip"
    with zipfile.ZipFile(found) as archive:
        archive.extractall(folder)
    return next(folder.rglob("saved_model.pb")).parent


def zipped(path: Path, files: dict[str, bytes | Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data.read_bytes() if isinstance(data, Path) else data)
    return path


def below(folder: Path, prefix: str) -> dict[str, bytes | Path]:
    return {
        f"{prefix}{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["model", "model.txt", "model.h5", "model.keras"])
def test_the_name_does_not_matter(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(KERAS, path)
    assert detect(path) == "keras"
    path.unlink()
    assert detect(whole(path)) == "hdf5"
    path.unlink()
    assert detect(paths(path, dense=1.0)) == "weights.h5"
    path.unlink()
    safetensors.numpy.save_file({"a": np.ones(1)}, path)
    assert detect(path) == "safetensors"


@pytest.mark.parametrize("name", ["ck", "ck.index", "ck.data-00000-of-00001", "", "checkpoint"])
def test_a_checkpoint_is_known_by_each_of_its_names(name: str) -> None:
    assert detect(CHECKPOINT / name) == "checkpoint"
    with open_file(CHECKPOINT / name) as file:
        assert count(file) > 0


def test_a_saved_model_is_known_by_its_directory_and_its_file(tmp_path: Path) -> None:
    folder = saved_model(tmp_path)
    assert detect(folder) == "saved_model"
    assert detect(folder / "saved_model.pb") == "saved_model"


def test_a_run_is_known(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 1)
    assert detect(tmp_path / "run") == "run"
    with pytest.raises(FormatError, match="holdfast show"):
        open_file(tmp_path / "run")


@pytest.mark.parametrize("prefix", ["", "model/", "a/b/"])
@pytest.mark.parametrize("kind", ["keras", "hdf5", "weights.h5", "safetensors"])
def test_a_file_in_a_zip_or_directory_is_found(tmp_path: Path, kind: str, prefix: str) -> None:
    path = tmp_path / "made"
    name = {
        "keras": "m.keras", "hdf5": "m.h5", "weights.h5": "m.weights.h5",
        "safetensors": "m.safetensors",
    }[kind]  # fmt: skip
    if kind == "keras":
        shutil.copy(KERAS, path)
    elif kind == "hdf5":
        whole(path)
    elif kind == "weights.h5":
        paths(path, dense=1.0)
    else:
        safetensors.numpy.save_file({"a": np.ones(1)}, path)
    with open_file(path) as file:
        wanted = count(file)
    files = {f"{prefix}{name}": path, f"{prefix}README.md": b"", f"__MACOSX/{name}": b"\0"}
    archive = zipped(tmp_path / "all.zip", files)
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    for found in (archive, folder):
        assert detect(found) == kind
        with open_file(found) as file:
            assert count(file) == wanted


@pytest.mark.parametrize("prefix", ["", "model/", "a/b/"])
def test_a_directory_in_a_zip_is_found(tmp_path: Path, prefix: str) -> None:
    folder = saved_model(tmp_path / "corpus")
    archive = zipped(tmp_path / "saved.zip", below(folder, prefix))
    with open_file(archive) as file, open_file(folder) as wanted:
        assert file.format == "saved_model"
        assert file.path == archive
        assert count(file) == count(wanted) > 0
    unpacked = below(CHECKPOINT, prefix)
    with open_file(zipped(tmp_path / "ck.zip", unpacked)) as file, open_file(CHECKPOINT) as wanted:
        assert file.format == "checkpoint"
        assert count(file) == count(wanted)
    with zipfile.ZipFile(KERAS) as archive_of_keras:
        members = {f"{prefix}{n}": archive_of_keras.read(n) for n in archive_of_keras.namelist()}
    with open_file(zipped(tmp_path / "keras.zip", members)) as file:
        assert file.format == "keras"
        assert count(file) == 43


def test_what_was_unpacked_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    archive = zipped(tmp_path / "ck.zip", below(CHECKPOINT, ""))
    file = open_file(archive)
    assert len(list(room.iterdir())) == 1
    file.close()
    assert list(room.iterdir()) == []


def test_several_models_in_a_zip_are_named(tmp_path: Path) -> None:
    path = whole(tmp_path / "one.h5")
    archive = zipped(tmp_path / "all.zip", {"a/one.h5": path, "b/two.h5": path})
    for found in (archive, tmp_path):
        shutil.copy(path, tmp_path / "two.h5")
        with pytest.raises(FormatError, match=r"one\.h5.*two\.h5"):
            open_file(found)


def test_a_path_that_is_not_there_is_guessed_at(tmp_path: Path) -> None:
    whole(tmp_path / "model.h5")
    (tmp_path / "weights.ckpt.index").touch()
    with pytest.raises(FormatError, match=r"not there \(did you mean 'model\.h5'"):
        open_file(tmp_path / "modle.h5")
    with pytest.raises(FormatError, match=r"did you mean 'weights\.ckpt'"):
        open_file(tmp_path / "weight.ckpt")
    with pytest.raises(FormatError, match="nor is its directory"):
        open_file(tmp_path / "gone" / "model.h5")


def torch_zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("archive/data.pkl", b"")
    return data.getvalue()


def npz() -> bytes:
    data = io.BytesIO()
    np.savez(data, a=np.ones(1))
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x1f\x8b\x08\x00rest", "gzip"),
        (b"\0" * 257 + b"ustar\0" + b"\0" * 300, "tar"),
        (pickle.dumps({"a": 1}), "never unpickled"),
        (torch_zip(), "PyTorch"),
        (npz(), "numpy.load"),
        (b"\x08\x07\x12\x07pytorch", "ONNX"),
        (b"\x1c\0\0\0TFL3rest", "TensorFlow Lite"),
        (json.dumps({"learning_rate": 0.1}).encode(), "JSON, and not of a model"),
        (b"class_name: Sequential\n", "YAML"),
        (b"whatever it is", "begins with b'whatever"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "model.h5").write_bytes(data)
    with pytest.raises(FormatError, match=what) as error:
        detect(tmp_path / "model.h5")
    assert "model.h5" in str(error.value)
    assert "Known are: .keras" in str(error.value)


def test_a_directory_without_a_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FormatError, match="no model is in it"):
        open_file(tmp_path)


def test_deep_directories_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    whole(tmp_path / "a" / "b" / "c" / "model.h5")
    with pytest.raises(FormatError, match="no model is in it"):
        open_file(tmp_path)
    with h5py.File(tmp_path / "a" / "b" / "c" / "model.h5"):
        pass
