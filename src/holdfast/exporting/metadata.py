"""Writes into a file what is known of its model. `judge/carried` says where it lies, and reads it.

Owns changing files of each format so that their own readers still take them.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

from holdfast.judge import about as abouts
from holdfast.judge import carried
from holdfast.judge.about import About

# What HDF5 has room for beside an object: of long trainings the curve stays out, then the layers.
_HDF5_MOST = 60_000


def write(path: Path, form: str, about: About) -> None:
    """Put what is known of a model into its file, which nobody reads yet."""
    if form in ("tflite", "stablehlo"):
        about = dataclasses.replace(
            about, export={**about.export, carried.SUM: carried.sum_of(path)}
        )
    text = abouts.to_json(about)
    if form == "onnx":
        _into_onnx(path, text)
    elif form == "h5":
        _into_hdf5(path, about)
    elif form == "safetensors":
        _into_safetensors(path, text)
    elif form == "saved_model":
        folder = path / "assets.extra"
        folder.mkdir(exist_ok=True)
        (folder / carried.MEMBER).write_text(text, encoding="utf-8")
    else:
        _into_zip(path, text, about.classes if form == "tflite" else ())


def _into_zip(path: Path, text: str, labels: tuple[str, ...]) -> None:
    """Append a zip's member: to a zip, or behind what ends where its reader knows."""
    with zipfile.ZipFile(path, "a") as members:
        # Not packed: whoever maps the file can read it as it lies.
        members.writestr(carried.MEMBER, text)
        if labels:
            members.writestr(carried.LABELS, "".join(f"{name}\n" for name in labels))


def _into_onnx(path: Path, text: str) -> None:
    import onnx

    made = onnx.load(path)
    kept = [part for part in made.metadata_props if part.key != carried.KEY]
    del made.metadata_props[:]
    made.metadata_props.extend(kept)
    made.metadata_props.add(key=carried.KEY, value=text)
    onnx.save(made, path)


def _into_hdf5(path: Path, about: About) -> None:
    import h5py

    text = abouts.to_json(about)
    if len(text.encode()) > _HDF5_MOST:
        text = abouts.to_json(dataclasses.replace(about, curve={}))
    if len(text.encode()) > _HDF5_MOST:
        text = abouts.to_json(dataclasses.replace(about, curve={}, layers=()))
    with h5py.File(path, "a") as file:
        file.attrs[carried.KEY] = text


def _into_safetensors(path: Path, text: str) -> None:
    whole = path.with_name(f"{path.name}.new")
    with path.open("rb") as old, whole.open("wb") as new:
        length = int.from_bytes(old.read(8), "little")
        header = json.loads(old.read(length))
        header.setdefault("__metadata__", {})[carried.TEXT] = text
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)  # arrays begin at multiples of 8
        new.write(len(encoded).to_bytes(8, "little") + encoded)
        shutil.copyfileobj(old, new)
    whole.replace(path)
