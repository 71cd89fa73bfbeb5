"""Readers of whole files for `fuzzing`: HDF5, `.keras`, SavedModel and safetensors.

What a zip's checksums keep damage from is also damaged before it is zipped.
"""

from __future__ import annotations

import functools
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from corpus_models import unpacked
from fuzzed_bundles import join, split
from safetensors.numpy import save

from holdfast.errors import FormatError
from holdfast.formats.detect import detect
from holdfast.formats.model_file import (
    ByLayer,
    ByName,
    ByObject,
    ByPath,
    Entry,
    LayerEntries,
    ModelFile,
    Weights,
)
from holdfast.formats.opening import open_file

_SAVED_MODEL = (
    "saved_model.pb",
    "keras_metadata.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
)


def entries_of(weights: Weights) -> Iterator[Entry]:
    """Yield all arrays, in whatever way they are said."""
    if isinstance(weights, ByLayer):
        yield from weights.top
        for layer in weights.layers:
            yield from _of_layer(layer)
    elif isinstance(weights, ByObject):
        for node in weights.nodes:
            yield from node.others.values()
            if node.value is not None:
                yield node.value
    elif isinstance(weights, ByPath | ByName):
        yield from weights.entries.values()


def _of_layer(layer: LayerEntries) -> Iterator[Entry]:
    yield from layer.entries
    for inner in layer.layers:
        yield from _of_layer(inner)


def read_all(file: ModelFile) -> None:
    """Read all there is in a file; what is refused does not keep from the rest."""
    refused: list[FormatError] = []
    for entry in (*entries_of(file.weights), *(file.optimizer or ())):
        try:
            entry.read()
        except FormatError as error:
            refused.append(error)
    if isinstance(file.weights, ByPath):
        for load in file.weights.assets.values():
            load()
    if file.objects is not None:
        for entry in entries_of(file.objects):
            entry.read()
    if file.graph is not None:
        for name in file.graph.signatures:
            if file.graph.problem(name) is None:
                file.graph.variables(file.graph.signature(name))
    if refused:
        raise refused[0]


def _read_as(name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        with open_file(path) as file:
            read_all(file)


def _read_saved_model(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder:
        Path(folder, "variables").mkdir()
        for name, part in zip(_SAVED_MODEL, split(data, len(_SAVED_MODEL)), strict=True):
            Path(folder, name).write_bytes(part)
        with open_file(folder) as file:
            read_all(file)


def _read_members(data: bytes) -> None:
    names = ("metadata.json", "config.json", "model.weights.h5")
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, part in zip(names, split(data, len(names)), strict=True):
            archive.writestr(name, part)
    _read_as("model.keras", whole.getvalue())


def _models(member: str) -> list[bytes]:
    return [
        (unpacked() / name / member).read_bytes() for name in ("autoencoder", "batch_normalization")
    ]


def _old_models() -> list[bytes]:
    folder = unpacked("old") / "keras-1.2.2-tensorflow" / "batchnorm"
    return [(folder / name).read_bytes() for name in ("model.h5", "weights.h5")]


def _zipped() -> list[bytes]:
    found = []
    for whole in _models("model.keras"):
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            names = ("metadata.json", "config.json", "model.weights.h5")
            found.append(join(*(archive.read(name) for name in names)))
    return found


def _saved_models() -> list[bytes]:
    folders = [unpacked() / name / "saved_model" for name in ("lstm", "gru", "float64")]
    return [join(*((folder / part).read_bytes() for part in _SAVED_MODEL)) for folder in folders]


def _safetensors() -> list[bytes]:
    arrays = {"dense/kernel": np.ones((3, 2), np.float32), "dense/bias": np.zeros(2, np.float16)}
    return [save(arrays), save(arrays, {"format": "np"})]


def _packed() -> list[bytes]:
    """Return weights in chunks, packed in each way that is known, old structures and new."""
    found = []
    values = np.arange(600, dtype=np.float32).reshape(20, 30) % 7
    ways = ({"compression": "gzip", "shuffle": True}, {"compression": "lzf"}, {"fletcher32": True})
    for libver in ("earliest", "v108"):
        data = io.BytesIO()
        with h5py.File(data, "w", libver=libver) as file:
            for number, how in enumerate(ways):
                name = f"layers/dense_{number}/vars/0"
                file.create_dataset(name, data=values, chunks=(8, 11), **how)
            file["layers/half/vars/0"] = np.ones(3, np.float16)
            file["layers/yes/vars/0"] = np.array([True, False])
            file["layers/pair/vars/0"] = np.ones(2, np.complex64)
        found.append(data.getvalue())
    return found


def _npz() -> list[bytes]:
    data = io.BytesIO()
    np.savez(data, **{"layers/dense/vars/0": np.ones((3, 2)), "optimizer/vars/0": np.array(1)})
    return [data.getvalue()]


def _read_npz(data: bytes) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.npz", data)
    _read_as("model.keras", whole.getvalue())


def _shards() -> list[bytes]:
    owners = {
        "/layers/dense/vars": "m_00000.weights.h5",
        "/layers/dense_1/vars": ["m_00001.weights.h5"],
    }
    plan = {"metadata": {"total_size": 1}, "weight_map": owners}
    parts = []
    for name in ("dense", "dense_1"):
        data = io.BytesIO()
        with h5py.File(data, "w") as file:
            file[f"layers/{name}/vars/0"] = np.ones((3, 2), np.float32)
        parts.append(data.getvalue())
    return [join(json.dumps(plan).encode(), *parts)]


def _read_shards(data: bytes) -> None:
    names = ("m.weights.json", "m_00000.weights.h5", "m_00001.weights.h5")
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder:
        for name, part in zip(names, split(data, len(names)), strict=True):
            Path(folder, name).write_bytes(part)
        with open_file(Path(folder, names[0])) as file:
            read_all(file)


def _zips() -> list[bytes]:
    """Return zips of what is no `.keras`: HDF5, a SavedModel, another zip."""
    found = []
    whole = dict(zip(_SAVED_MODEL, split(_saved_models()[0], len(_SAVED_MODEL)), strict=True))
    contents = (
        {"a/model.h5": _models("model.h5")[0]},
        {"a/m.keras": _models("model.keras")[0], "__MACOSX/a/._m.keras": b"x"},
        whole,
    )
    for members in contents:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, part in members.items():
                archive.writestr(name, part)
        found.append(data.getvalue())
    return found


def _any() -> list[bytes]:
    """Return one of each kind, so that the start of one comes before the rest of another."""
    kinds = (_models("model.h5"), _models("model.keras"), _safetensors(), _zips())
    return [found[0] for found in kinds]


def _read_any(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder:
        path = Path(folder, "a")
        path.write_bytes(data)
        kind = detect(path)
        with open_file(path) as file:
            assert file.format == kind
            read_all(file)


READERS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]]]] = {
    "model.h5": (
        functools.partial(_read_as, "model.h5"),
        lambda: _models("model.h5") + _models("weights_only.h5"),
    ),
    "model.h5 of Keras 1": (functools.partial(_read_as, "model.h5"), _old_models),
    "model.weights.h5": (
        functools.partial(_read_as, "model.weights.h5"),
        lambda: _models("model.weights.h5"),
    ),
    "packed model.weights.h5": (functools.partial(_read_as, "model.weights.h5"), _packed),
    "model.weights.npz": (_read_npz, _npz),
    "model.keras": (functools.partial(_read_as, "model.keras"), lambda: _models("model.keras")),
    "members of model.keras": (_read_members, _zipped),
    "SavedModel": (_read_saved_model, _saved_models),
    "model.weights.json": (_read_shards, _shards),
    "zip": (functools.partial(_read_as, "model.zip"), _zips),
    "file": (_read_any, _any),
    "model.safetensors": (functools.partial(_read_as, "model.safetensors"), _safetensors),
}
"""What reads bytes, and what gives real ones, by name."""
