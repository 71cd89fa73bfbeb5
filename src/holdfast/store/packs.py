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
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import DamagedError
from holdfast.store import files
from holdfast.types import Array

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
    """A pack open for reading. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        try:
            self._entries, self._start = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str) -> Array:
        """Read one array. Its sum is not checked here."""
        if name not in self._entries:
            raise DamagedError(f"{self.path}: expected an array {name!r}, found none of that name")
        dtype, shape, begin, end = self._entries[name]
        data = bytearray(end - begin)
        self._file.seek(self._start + begin)
        view = memoryview(data)
        while view:
            count = self._file.readinto(view)
            if not count:
                raise DamagedError(f"{self.path}: the file ends within {name!r}")
            view = view[count:]
        return Array(name, dtype, shape, memoryview(data))

    def _read_header(self) -> tuple[dict[str, tuple[str, tuple[int, ...], int, int]], int]:
        size = self.path.stat().st_size
        length = int.from_bytes(self._file.read(8), "little")
        start = 8 + length
        if size < 8 or start > size or length > _LONGEST_HEADER:
            raise DamagedError(f"{self.path}: a header of {length} bytes in a file of {size}")
        try:
            header = json.loads(self._file.read(length))
            entries = {
                name: self._entry(value, size - start)
                for name, value in header.items()
                if name != "__metadata__"
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{self.path}: the header is not readable ({error})") from error
        return entries, start

    def _entry(
        self, value: dict[str, object], available: int
    ) -> tuple[str, tuple[int, ...], int, int]:
        dtype = _NAMES[str(value["dtype"])]
        shape = tuple(int(size) for size in value["shape"])  # type: ignore[attr-defined]
        begin, end = (int(offset) for offset in value["data_offsets"])  # type: ignore[attr-defined]
        expected = math.prod(shape) * _TYPES[dtype][1]
        if min(shape, default=0) < 0 or not 0 <= begin <= end <= available:
            raise ValueError(f"offsets {begin} to {end} in {available} bytes of data")
        if end - begin != expected:
            raise ValueError(f"{end - begin} bytes for {dtype} of shape {shape}")
        return dtype, shape, begin, end
