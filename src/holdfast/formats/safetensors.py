"""Safetensors files: named arrays, with the model's configuration in the header.

Owns the file's form, read and written. Leaves what a configuration means to those who build models.

    8 bytes     the length of the header, the least significant byte first
    header      JSON: for each name dtype, shape and data_offsets; under `__metadata__` texts
    data        the arrays, one after the other

The texts that Holdfast writes are `holdfast.config` and `holdfast.training`, each JSON,
`keras_version`, and `holdfast.order`, a list of the names in the order of the model's variables. A
file without them may have its configuration beside it: `NAME.json`, or `config.json`. The header is
read here and not by the safetensors library, which has no type of numpy's for bfloat16 and maps the
file into memory; the store's packs have it too, but with a sum for each array and only as the store
writes them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.errors import FormatError
from holdfast.formats.guard import OBJECT, Budget, parse_json
from holdfast.formats.model_file import ByName, Entry, ModelFile
from holdfast.formats.problems import find_problems
from holdfast.formats.region import Region, open_region
from holdfast.types import Json

CONFIG, TRAINING, VERSION = "holdfast.config", "holdfast.training", "keras_version"
ORDER = "holdfast.order"
"""The names of the texts in the header."""

_TYPES = {
    "BOOL": ("bool", 1), "U8": ("uint8", 1), "I8": ("int8", 1), "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1), "U16": ("uint16", 2), "I16": ("int16", 2),
    "F16": ("float16", 2), "BF16": ("bfloat16", 2), "U32": ("uint32", 4), "I32": ("int32", 4),
    "F32": ("float32", 4), "U64": ("uint64", 8), "I64": ("int64", 8), "F64": ("float64", 8),
    "C64": ("complex64", 8),
}  # fmt: skip
_CODES = {name: code for code, (name, _) in _TYPES.items()}
_METADATA = "__metadata__"
_LONGEST_HEADER = 100_000_000
_MOST_DIMENSIONS = 32
_ALIGNED = 8


class _Span(NamedTuple):
    """Where an array is, in bytes from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_length(start: bytes, size: int) -> int | None:
    """Return how long the header is, or None where a file does not begin with one.

    Args:
        start: the first 9 bytes of the file, or more.
        size: of the file.
    """
    length = int.from_bytes(start[:8], "little")
    fits = len(start) >= 9 and 2 <= length <= min(size - 8, _LONGEST_HEADER)
    return length if fits and start[8:9] == b"{" else None


def read(path: Path) -> ModelFile:
    """Open a file, reading no arrays yet.

    Raises:
        FormatError: it is damaged, or its configuration is no JSON.
    """
    with contextlib.ExitStack() as closing:
        region = open_region(path, closing)
        return read_region(region, path, closing)


def read_region(
    region: Region, path: Path, closing: contextlib.ExitStack, budget: Budget | None = None
) -> ModelFile:
    """Open the bytes of a file. See `read`.

    Args:
        region: the bytes.
        path: of the file that has them.
        closing: what is to be closed with the result; it is handed over to it.
        budget: of the zip it is in; None for its own.
    """
    budget = budget or Budget.of(region)
    length = header_length(region.read(0, min(9, region.size)), region.size)
    if length is None:
        raise FormatError(f"{region.name}: it does not begin as safetensors does, or was cut short")
    budget.spend(2 * length)
    header = parse_json(region.read(8, length), f"{region.name}: the header", budget)
    if not isinstance(header, dict):
        raise FormatError(f"{region.name}: its header should be an object")
    metadata = header.pop(_METADATA, None) or {}
    if not isinstance(metadata, dict):
        raise FormatError(f"{region.name}: its {_METADATA} should be an object")
    start = 8 + length
    spans = sorted(
        (_span(*item, region.size - start, region.name) for item in header.items()),
        key=lambda span: span.begin,
    )
    entries = {}
    for span in spans:
        budget.spend(span.end - span.begin + OBJECT)
        load = functools.partial(region.array, start + span.begin, span.dtype, span.shape)
        entries[span.name] = Entry(span.name, span.shape, span.dtype, load)
    order = _json(metadata, ORDER, region.name, budget)
    ordered = isinstance(order, list) and sorted(map(str, order)) == sorted(entries)
    if isinstance(order, list) and ordered:
        entries = {str(name): entries[str(name)] for name in order}
    config = _json(metadata, CONFIG, region.name, budget)
    if config is None:
        config = _config_beside(path)
    version = metadata.get(VERSION)
    return ModelFile(
        path,
        "safetensors",
        ByName(entries, ordered),
        keras_version=version if isinstance(version, str) else None,
        config=config,
        training=_json(metadata, TRAINING, region.name, budget),
        problems=find_problems(config),
        closing=closing.pop_all(),
    )


def encode(entries: Iterable[Entry], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a file, one array at a time.

    The arrays are written in the order of their elements' size, the largest first, so that each
    begins at a multiple of it.

    Args:
        entries: the arrays, each read when its turn comes.
        metadata: texts for the header; see `CONFIG`, `TRAINING` and `VERSION`.

    Raises:
        FormatError: an array has a type that safetensors does not, or a name that is there twice.
    """
    import numpy as np

    ordered = sorted(entries, key=lambda entry: (-_width(entry), entry.name))
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    end = 0
    for entry in ordered:
        begin, end = end, end + math.prod(entry.shape) * _width(entry)
        if entry.name in header or entry.name == _METADATA:
            raise FormatError(f"two arrays are named {entry.name!r}: safetensors takes one")
        header[entry.name] = {
            "dtype": _CODES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    yield len(text).to_bytes(8, "little") + text
    for entry in ordered:
        array = np.ascontiguousarray(entry.read())
        if array.nbytes:
            yield array.reshape(-1).view(np.uint8).data


def _width(entry: Entry) -> int:
    if entry.dtype not in _CODES:
        raise FormatError(f"{entry.name} is of type {entry.dtype}, which safetensors cannot hold")
    return _TYPES[_CODES[entry.dtype]][1]


def _span(name: str, value: Json, available: int, file: str) -> _Span:
    where = f"{file}: {name[:80]!r}"
    parts = value if isinstance(value, dict) else {}
    code, shape, offsets = (parts.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(code, str) or code not in _TYPES:
        raise FormatError(f"{where} is of the type {str(code)[:20]!r}, which is not known")
    shape, offsets = _counts(shape), _counts(offsets)
    if shape is None or offsets is None or len(offsets) != 2:
        raise FormatError(f"{where} has no sound shape or offsets")
    dtype, width = _TYPES[code]
    begin, end = offsets
    if len(shape) > _MOST_DIMENSIONS or math.prod(size or 1 for size in shape) * width >= 2**63:
        raise FormatError(f"{where} has a shape that no array can have")
    if not begin <= end <= available:
        raise FormatError(f"{where} is at {begin} to {end} of {available} bytes of data")
    if end - begin != math.prod(shape) * width:
        raise FormatError(f"{where} has {end - begin} bytes for {dtype} of shape {shape}")
    return _Span(name, dtype, shape, begin, end)


def _counts(value: Json) -> tuple[int, ...] | None:
    """Return a list of whole numbers that are not negative, or None where it is none."""
    if isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value):
        return tuple(value)
    return None


def _json(metadata: Mapping[str, Json], name: str, file: str, budget: Budget) -> Json | None:
    text = metadata.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise FormatError(f"{file}: {name} should be a text")
    return parse_json(text, f"{file}: {name}", budget)


def _config_beside(path: Path) -> Json | None:
    """Return a model's configuration that lies beside its arrays, or None."""
    for sidecar in (path.with_suffix(".json"), path.with_name("config.json")):
        with contextlib.ExitStack() as closing:
            try:
                region = open_region(sidecar, closing)
            except FormatError:
                continue
            value = parse_json(region.read(0, region.size), str(sidecar))
            if isinstance(value, dict) and {"class_name", "config"} <= value.keys():
                return value
    return None
