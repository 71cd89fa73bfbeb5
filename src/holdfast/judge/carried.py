"""What a file of a model carries of what is known of the model, beside what it computes.

Owns where in each kind of file that lies, for reading. Leaves its meaning to `judge/about`, and
writing it to `exporting`. What a file says is not trusted: it is bounded and checked.

    .onnx           metadata_props, `holdfast`
    .tflite         a zip after the end, `holdfast.json`; else `labels.txt`, TFLite's own way
    .stablehlo      a zip after the end, `holdfast.json`
    .keras          the zip that it is, `holdfast.json`
    .h5             an attribute of the root, `holdfast`
    .safetensors    `__metadata__`, `holdfast.about`
    SavedModel      `assets.extra/holdfast.json`
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from holdfast.errors import FormatError
from holdfast.judge.about import LONGEST, About, from_json
from holdfast.types import Json

KEY = "holdfast"
"""The name in an `.onnx`'s metadata, and of the attribute of an HDF5's root."""

MEMBER = "holdfast.json"
"""The name in a zip, and in a SavedModel's `assets.extra`."""

TEXT = "holdfast.about"
"""The name in the header of a `.safetensors`."""

SUM = "sum"
"""In what is told of the export, of the model's own bytes: `bytes`, how many, and `blake2b`."""

LABELS = "labels.txt"
"""The name in the zip of a `.tflite` of the classes alone, one a line: TFLite's own way."""

_PIECE = 1 << 20
_END, _END_SIZE = b"PK\5\6", 22


def of_onnx(path: Path, metadata: Mapping[str, str]) -> About:
    """Return what an `.onnx` carries. Raises: see `about.from_json`."""
    return _about(path, metadata.get(KEY))


def of_appended(path: Path) -> About:
    """Return what the zip carries that begins where a `.tflite` or a `.stablehlo` ends.

    Raises:
        FormatError: the zip is damaged, or says what cannot be.
        NewerFormatError: a newer Holdfast wrote it.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END_SIZE))
        if not file.read(4).startswith(_END):
            return About(name=path.stem)
    return _of_zip(path)


def check_sum(path: Path, about: About) -> None:
    """Check the bytes of a model against the sum that the file has of them, if it has one.

    Runtimes in C++ may crash on damaged ones.

    Raises:
        FormatError: they are others.
    """
    told = about.export.get(SUM)
    if not isinstance(told, dict) or not isinstance(told.get("bytes"), int):
        return
    if sum_of(path, told["bytes"]) != told:
        raise FormatError(f"{path}: the file is damaged: its bytes are not those written")


def sum_of(path: Path, length: int | None = None) -> dict[str, Json]:
    """Return the sum of the first bytes of a file, or of all."""
    found, size = hashlib.blake2b(digest_size=32), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE if length is None else min(_PIECE, length - size)):
            found.update(piece)
            size += len(piece)
    return {"bytes": size, "blake2b": found.hexdigest()}


def of_keras(path: Path) -> About:
    """Return what a file that `load_model` opens carries; nothing, where it is of no such kind.

    Raises:
        FormatError: the file is damaged, or says what cannot be.
        NewerFormatError: a newer Holdfast wrote it.
    """
    from holdfast.formats.detect import family_of

    family = family_of(path)
    if family == "saved_model" and path.is_dir():
        return of_saved_model(path)
    if family == "keras" and path.is_file():
        return _of_zip(path)
    if family == "hdf5":
        return _of_hdf5(path)
    return _of_safetensors(path) if family == "safetensors" else About(name=path.stem)


def of_saved_model(path: Path) -> About:
    """Return what a SavedModel carries. Raises: see `of_keras`."""
    extra = path / "assets.extra" / MEMBER
    try:
        with extra.open("rb") as file:
            text = file.read(LONGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return About(name=path.name)
    return from_json(text, str(extra))


def _about(path: Path, text: str | bytes | None) -> About:
    return About(name=path.stem) if text is None else from_json(text, str(path))


def _of_zip(path: Path) -> About:
    from holdfast.formats.region import open_region
    from holdfast.formats.zip_members import ZipMembers

    with contextlib.ExitStack() as closing:
        members = ZipMembers(open_region(path, closing))
        for name in (MEMBER, LABELS):
            if name in members.names:
                if members.open(name).size > LONGEST:
                    raise FormatError(f"{path}: {name} is longer than the {LONGEST} bytes allowed")
                data = members.read(name)
                return from_json(data, f"{path}: {name}") if name == MEMBER else _labels(path, data)
    return About(name=path.stem)


def _labels(path: Path, data: bytes) -> About:
    """Return the classes that a `labels.txt` names, one a line."""
    lines = data.decode("utf-8", "replace").splitlines()
    return About(name=path.stem, classes=tuple(line.strip() for line in lines if line.strip()))


def _of_hdf5(path: Path) -> About:
    from holdfast.formats.hdf5_tree import Tree
    from holdfast.formats.region import open_region

    with contextlib.ExitStack() as closing:
        tree = Tree(open_region(path, closing))
        attribute = tree.root.attributes.get(KEY)
        texts = tree.texts(attribute) if attribute is not None else []
    return _about(path, texts[0] if len(texts) == 1 else None)


def _of_safetensors(path: Path) -> About:
    from holdfast.formats import safetensors
    from holdfast.formats.guard import Budget, parse_json
    from holdfast.formats.region import open_region

    with contextlib.ExitStack() as closing:
        region = open_region(path, closing)
        length = safetensors.header_length(region.read(0, min(9, region.size)), region.size) or 0
        budget = Budget.of(region)
        budget.spend(length)
        header = parse_json(region.read(8, length), f"{path}: the header", budget)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    text = metadata.get(TEXT) if isinstance(metadata, dict) else None
    if text is not None and not isinstance(text, str):
        raise FormatError(f"{path}: {TEXT}: expected a text, found {type(text).__name__}")
    return _about(path, text)
