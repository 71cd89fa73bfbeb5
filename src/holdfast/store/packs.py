"""Packs: immutable arrays in safetensors files.

Owns the bytes of a pack. Leaves which arrays go where, and their sums, to `checkpoints`.

The format is safetensors (https://github.com/huggingface/safetensors): 8 bytes with the
length of the header, little-endian; the header, JSON, padded with spaces so that the data
begins at a multiple of 8; the arrays one after the other. It is written here, not by the
safetensors library, so that the arrays go to the file without a copy and through `files`.
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import DamagedError
from holdfast.events import build
from holdfast.store import files
from holdfast.types import Array, Json

_TYPES = {
    "bool": ("BOOL", 1),
    "uint8": ("U8", 1),
    "int8": ("I8", 1),
    "float8_e4m3fn": ("F8_E4M3", 1),
    "float8_e5m2": ("F8_E5M2", 1),
    "uint16": ("U16", 2),
    "int16": ("I16", 2),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
    "uint32": ("U32", 4),
    "int32": ("I32", 4),
    "float32": ("F32", 4),
    "uint64": ("U64", 8),
    "int64": ("I64", 8),
    "float64": ("F64", 8),
    "complex64": ("C64", 8),
}
_NAMES = {code: name for name, (code, _) in _TYPES.items()}
_LONGEST_HEADER = 100_000_000
_MOST_DIMENSIONS = 64


def storable(dtype: str) -> bool:
    """Return whether a pack can hold arrays of this type."""
    return dtype in _TYPES


def write(path: Path, arrays: Sequence[Array]) -> int:
    """Write a new pack, durably. Returns its size in bytes."""
    header: dict[str, object] = {}
    offset = 0
    for array in arrays:
        end = offset + array.data.nbytes
        header[array.name] = {
            "dtype": _TYPES[array.dtype][0],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return files.write_new(
        path, [len(text).to_bytes(8, "little"), text, *(array.data for array in arrays)]
    )


class Pack:
    """A pack open for reading. Use it as a context manager.

    Whatever its header says, what is read of it takes no more memory than the file has bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe is to wait for its writer
            raise DamagedError(f"{path}: expected a file")
        self._file = path.open("rb", buffering=0)
        try:
            self._spans, self._start = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> Array:
        """Read one array. Its sum is not checked here."""
        if name not in self._spans:
            raise DamagedError(f"{self.path}: expected an array {name!r}, found none of that name")
        dtype, shape, begin, end = self._spans[name]
        self._file.seek(self._start + begin)
        return Array(name, dtype, shape, memoryview(self._read_bytes(end - begin, name)))

    def _read_header(self) -> tuple[dict[str, _Span], int]:
        size = os.fstat(self._file.fileno()).st_size
        if size < 8:
            raise DamagedError(f"{self.path}: expected a header, found a file of {size} bytes")
        length = int.from_bytes(self._read_bytes(8, "the header"), "little")
        start = 8 + length
        if start > size or length > _LONGEST_HEADER:
            raise DamagedError(f"{self.path}: a header of {length} bytes in a file of {size}")
        text = self._read_bytes(length, "the header")
        try:
            spans = _spans(json.loads(text, object_pairs_hook=_without_twins), size - start)
        except RecursionError as error:
            raise DamagedError(f"{self.path}: the header is nested too deep") from error
        except ValueError as error:
            raise DamagedError(f"{self.path}: the header is not readable ({error})") from error
        return spans, start

    def _read_bytes(self, count: int, what: str) -> bytearray:
        data = bytearray(count)
        rest = memoryview(data)
        while rest:
            read = self._file.readinto(rest)
            if not read:
                raise DamagedError(f"{self.path}: the file ends within {what}")
            rest = rest[read:]
        return data


class _Span(NamedTuple):
    """Where an array is, in bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class _Described:
    """An array as the header describes it."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, ...]


def _spans(header: Json, available: int) -> dict[str, _Span]:
    """Return where each array is within `available` bytes of data.

    Raises:
        ValueError: the header says what cannot be.
    """
    if not isinstance(header, dict):
        raise ValueError("expected an object")
    header.pop("__metadata__", None)
    spans = {name: _span(name, value, available) for name, value in header.items()}
    # Arrays may overlap, but not so that few bytes become many.
    size = sum(span.end - span.begin for span in spans.values())
    if size > available:
        raise ValueError(f"arrays of {size} bytes in {available} bytes of data")
    return spans


def _span(name: str, value: Json, available: int) -> _Span:
    where = reprlib.repr(name)
    try:
        found = build(_Described, value)
    except ValueError as error:
        raise ValueError(f"in {where}, {error}") from None
    if found.dtype not in _NAMES:
        raise ValueError(f"{where} is of the unknown type {reprlib.repr(found.dtype)}")
    dtype = _NAMES[found.dtype]
    width = _TYPES[dtype][1]
    if len(found.shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{where} has {len(found.shape)} dimensions")
    # An empty array may still be of a shape that nobody can make.
    if math.prod(size or 1 for size in found.shape) * width >= 2**63:
        raise ValueError(f"{where} is of shape {reprlib.repr(found.shape)}, which is too large")
    if len(found.data_offsets) != 2:
        raise ValueError(f"{where} should have two offsets, found {len(found.data_offsets)}")
    begin, end = found.data_offsets
    if not begin <= end <= available:
        raise ValueError(f"{where} is at {begin} to {end} in {available} bytes of data")
    if end - begin != math.prod(found.shape) * width:
        raise ValueError(f"{where} has {end - begin} bytes for {dtype} of shape {found.shape}")
    return _Span(dtype, found.shape, begin, end)


def _without_twins(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value: dict[str, Json] = {}
    for name, item in pairs:
        if name in value:
            raise ValueError(f"the name {reprlib.repr(name)} is there twice")
        value[name] = item
    return value
