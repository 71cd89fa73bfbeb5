"""Which kind of file a path leads to, by what is in it and not by its name.

Owns the table of first bytes and what is said where a path leads to no model. Leaves reading to the
codecs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from holdfast.errors import FormatError, NotThereError, did_you_mean
from holdfast.formats import keras_zip, safetensors
from holdfast.formats.hdf5 import layout_of
from holdfast.formats.hdf5_tree import SIGNATURE, Tree
from holdfast.formats.model_file import Format
from holdfast.formats.region import Region, open_region
from holdfast.formats.zip_members import ZipMembers
from holdfast.store.layout import is_run

Family = Literal[
    "hdf5",
    "zip",
    "folder",
    "keras",
    "safetensors",
    "shards",
    "json",
    "saved_model",
    "checkpoint",
    "run",
]
"""What decides on the codec; `zip` and `folder` hold something else."""

KNOWN = (
    ".keras, .weights.h5, .h5 and .hdf5 of any Keras, a SavedModel's directory, a TensorFlow "
    "checkpoint (its prefix, .index or directory), .safetensors, a Holdfast run, and a zip or a "
    "directory of one of these"
)
"""What can be read, for people."""

_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt", "assets/saved_model.json")
_STATE = "checkpoint"
_ZIP = (b"PK\3\4", b"PK\5\6")
_LONGEST_PLAN = 1 << 24
_START, _SPACE = 512, b" \t\r\n\xef\xbb\xbf"
# What people give by mistake: where it is told from, its bytes there, what it is, the way out.
_OTHERS = (
    (0, b"version https://git-lfs", "a pointer to a file that git-lfs has not fetched",
     "fetch it: git lfs pull"),
    (0, b"<", "a web page or XML, such as a download that failed", "download the file itself"),
    (0, b"\x1f\x8b", "packed by gzip", "unpack it first: gunzip, or tar xzf"),
    (257, b"ustar", "a tar archive", "unpack it first: tar xf"),
    (0, b"BZh", "packed by bzip2", "unpack it first: bunzip2"),
    (0, b"\xfd7zXZ", "packed by xz", "unpack it first: xz -d"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (0, b"Rar!", "a RAR archive", "unpack it first"),
    (4, b"TFL3", "a TensorFlow Lite model, which keeps no Keras model",
     "give the file it was converted from"),
    (0, b"\x93NUMPY", "a single array of numpy's", "give the file of the model"),
    (0, b"GGUF", "a GGUF file of llama.cpp", "give the model it was converted from"),
    (0, b"PAR1", "a table in Parquet", "give the file of the model"),
    (0, b"\x80\2", "a pickle, which is never unpickled", "save the model with model.save"),
    (0, b"\x80\3", "a pickle, which is never unpickled", "save the model with model.save"),
    (0, b"\x80\4", "a pickle, which is never unpickled", "save the model with model.save"),
    (0, b"\x80\5", "a pickle, which is never unpickled", "save the model with model.save"),
)  # fmt: skip


def detect(path: str | os.PathLike[str]) -> Format | Literal["run"]:
    """Return which kind of file a path leads to; of a zip or a directory, what is in it.

    Raises:
        FormatError: there is nothing, or nothing that is known; or it is damaged.
    """
    from holdfast.formats.opening import open_file

    path = Path(path)
    family = family_of(path)
    if family in ("keras", "safetensors", "saved_model", "checkpoint", "json", "run"):
        return family
    if family == "shards":
        return "weights.h5"
    if family == "hdf5":
        with contextlib.ExitStack() as closing:
            paths = layout_of(Tree(open_region(path, closing))) == "paths"
        return "weights.h5" if paths else "hdf5"
    with open_file(path) as file:
        return file.format


def family_of(path: Path) -> Family:
    """Return what decides on the codec for a path.

    Raises:
        FormatError: there is nothing, or nothing that is known.
    """
    try:
        if path.is_dir():
            return _family_of_folder(path)
        if path.is_file() and (family := _family_of_file(path)) is not None:
            return family
        # Not above: who looks at a file of another kind needs no numpy.
        from holdfast.formats.checkpoint_file import find_checkpoint

        if find_checkpoint(path) is not None:
            return "checkpoint"
        if not path.exists():
            raise NotThereError(_not_there(path))
    except (OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: cannot be read ({error})") from error
    if path.name == _SAVED_MODEL[0]:
        return "saved_model"
    with contextlib.ExitStack() as closing:
        return family_of_bytes(open_region(path, closing))


def family_of_bytes(region: Region) -> Family:
    """Return what decides on the codec for a file's bytes.

    Raises:
        FormatError: it is nothing that is known.
    """
    start = region.read(0, min(_START, region.size))
    family = _family_of_start(start, region)
    if family is None:
        raise FormatError(f"{region.name}: {_what(start)}\nKnown are: {KNOWN}.")
    return family


def _family_of_file(path: Path) -> Family | None:
    with contextlib.ExitStack() as closing:
        region = open_region(path, closing)
        return _family_of_start(region.read(0, min(_START, region.size)), region)


def _family_of_start(start: bytes, region: Region) -> Family | None:
    if start.startswith(SIGNATURE):
        return "hdf5"
    if start.startswith(_ZIP):
        members = ZipMembers(region)
        return "keras" if keras_zip.is_keras(members.names) else "zip"
    if safetensors.header_length(start, region.size) is not None:
        return "safetensors"
    if start.lstrip(_SPACE).startswith(b"{") and b'"weight_map"' in region.read(
        0, min(region.size, _LONGEST_PLAN)
    ):
        return "shards"
    return "json" if _is_architecture(start) else None


def _is_architecture(start: bytes) -> bool:
    """Return whether a file begins as the JSON of a model does; of Keras 0 with its layers."""
    text = start.lstrip(_SPACE)
    marks = (b"class_name", b'"config', b'"keras_version', b'"layers', b'"node_config')
    plain = text.replace(b"\\", b"")  # of JSON in JSON
    return text.startswith((b"{", b'"{')) and any(mark in plain for mark in marks)


def _family_of_folder(path: Path) -> Family:
    if is_run(path):
        return "run"
    if any((path / name).exists() for name in _SAVED_MODEL):
        return "saved_model"
    if keras_zip.is_keras({entry.name for entry in os.scandir(path)}):
        return "keras"
    if (path / _STATE).is_file() or len(list(path.glob("*.index"))) == 1:
        return "checkpoint"
    return "folder"


def _what(start: bytes) -> str:
    """Return what a file seems to be, by its first bytes."""
    if not start:
        return "the file is empty: it was not written to its end, or not downloaded"
    text = start.lstrip(_SPACE)
    for place, magic, what, way_out in _OTHERS:
        if (text if magic == b"<" else start)[place:].startswith(magic):
            return f"it is {what}. To go on, {way_out}."
    if text.startswith((b"{", b'"{')):
        return "it is JSON, and not of a model: expected class_name and config."
    if (start[:1] == b"\x08" and b"onnx" in start.lower()) or b"pytorch" in start[:64]:
        return "it seems to be ONNX, which keeps no Keras model. Give the file it was made from."
    if start.startswith((b"class_name:", b"backend:")):
        return "it is YAML, which can name what is to be run and is not read."
    return f"it is no kind of file that is known: it begins with {start[:16]!r}."


def what_zip(names: Collection[str]) -> str:
    """Return what a zip without a model in it seems to be, by the names of its members."""
    if any(name.endswith("data.pkl") for name in names):
        return "it is a model of PyTorch, pickled, which is never unpickled"
    if names and all(name.endswith(".npy") for name in names):
        return "it holds arrays of numpy's and not whose they are: load them by numpy.load"
    return f"expected a model in it, found {', '.join(sorted(names)[:6]) or 'nothing'}"


def _not_there(path: Path) -> str:
    folder = path.absolute().parent
    if path.is_symlink():
        return f"{path} is a link to {os.readlink(path)}, which is not there"
    if not folder.is_dir():
        return f"{path} is not there, nor is its directory {path.parent}"
    names = {entry.name.removesuffix(".index") for entry in os.scandir(folder)}
    return f"{path} is not there{did_you_mean(path.name, names)}"
