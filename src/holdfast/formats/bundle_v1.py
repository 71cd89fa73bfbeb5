"""TensorFlow's checkpoint before TensorBundle (`SaverDef.V1`): one table of tensors.

Owns what its entries mean. Leaves the table to `table`. It is read as `bundle.Bundle` is.

    ""            -> SavedTensorSlices{1 meta{1 tensor{1 name, 2 shape, 3 type, 4 slice}}}
    slice's key   -> SavedTensorSlices{2 data{1 name, 2 slice, 3 TensorProto}}

A tensor that is not partitioned has one slice, which is all of it. Elements are a repeated field of
the TensorProto, whose number follows from their type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.bundle import map_file
from holdfast.formats.model_file import Entry
from holdfast.formats.table import Table
from holdfast.formats.tensor_slices import FULL, Slice, assemble, read_slice, slice_key, slice_shape
from holdfast.formats.tensor_types import read_shape, read_type, type_name
from holdfast.formats.wire import Buffer, Message, packed_varints

_MOST_SLICES = 100_000

_FIXED = {"float32": 5, "float64": 6, "complex64": 9, "complex128": 12}
_VARINTS = {
    "int32": 7,
    "int16": 7,
    "int8": 7,
    "uint8": 7,
    "uint16": 7,
    "int64": 10,
    "bool": 11,
    "float16": 13,
    "bfloat16": 13,
    "uint32": 16,
    "uint64": 17,
}
_STRINGS = 8


@dataclass(frozen=True, slots=True)
class OldEntry:
    """What the table says of one tensor.

    Args:
        dtype: of its elements; `object` for strings.
        shape: its dimensions.
        slices: at least one.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    slices: tuple[Slice, ...]


class OldBundle:
    """An old checkpoint to read, its table of contents known.

    Args:
        name: the file's, for errors.
        data: the whole file.

    Raises:
        FormatError: it is no such checkpoint, or its table of contents is not sound.
    """

    def __init__(self, name: str, data: Buffer) -> None:
        self.name = name
        self._table = Table(data, name)
        contents = self._table.get(b"")
        meta = None if contents is None else Message(contents, name).message(1)
        if meta is None:
            raise FormatError(f"{name} is a table, but of no checkpoint: it has no contents.")
        room = _MOST_SLICES + len(data) // 64
        entries: dict[str, OldEntry] = {}
        for tensor in meta.messages(1):
            key = tensor.text(1)
            room -= 1 + tensor.count(2) + tensor.count(4)
            if room < 0:
                raise FormatError(f"{name} is refused: it has too many slices for its size.")
            if key in entries:
                raise FormatError(f"{name} is not sound: it has {key!r} twice.")
            entries[key] = self._entry(tensor, f"{name}: {key}")
        # In the order of the table's keys, so that reading all reads each block once.
        self.entries: Mapping[str, OldEntry] = MappingProxyType(dict(sorted(entries.items())))

    @classmethod
    def open(cls, path: Path | str) -> OldBundle:
        """Open a checkpoint's file.

        Raises:
            OSError: it cannot be opened.
            FormatError: it is no such checkpoint, or its table of contents is not sound.
        """
        return cls(str(path), map_file(Path(path)))

    def tensor(self, key: str) -> Entry:
        """Return a tensor as an array to be read when asked for.

        Raises:
            FormatError: there is no such key.
        """
        entry = self.entries.get(key)
        if entry is None:
            raise FormatError(f"{self.name} has no tensor {key!r}.")
        return Entry(key, entry.shape, type_name(entry.dtype), lambda: self._load(entry, key))

    def read(self, key: str) -> NDArray[Any]:
        """Return the elements of a tensor; of strings an array of objects, each `bytes`.

        Raises:
            FormatError: there is no such key, or the elements are damaged.
        """
        return self.tensor(key).load()

    @staticmethod
    def _entry(tensor: Message, name: str) -> OldEntry:
        shape = read_shape(tensor.message(2), name)
        dtype = read_type(tensor.integer(3), name)
        slices = tuple(read_slice(part, len(shape), name) for part in tensor.messages(4))
        return OldEntry(dtype, shape, slices or ((FULL,) * len(shape),))

    def _load(self, entry: OldEntry, key: str) -> NDArray[Any]:
        name = f"{self.name}: {key}"
        if len(entry.slices) == 1 and all(extent == FULL for extent in entry.slices[0]):
            return self._slice(entry, entry.slices[0], key).reshape(entry.shape)
        return assemble(
            name,
            entry.shape,
            entry.dtype,
            entry.slices,
            lambda extents: self._slice(entry, extents, key).reshape(
                slice_shape(extents, entry.shape, name)
            ),
        )

    def _slice(self, entry: OldEntry, extents: Slice, key: str) -> NDArray[Any]:
        name = f"{self.name}: {key}"
        value = self._table.get(slice_key(key, extents))
        data = None if value is None else Message(value, name).message(2)
        proto = None if data is None else data.message(3)
        if data is None or proto is None:
            raise FormatError(f"{name} is not sound: its slice {extents} is not there.")
        if data.text(1) != key:
            raise FormatError(f"{name} is not sound: its elements are those of {data.text(1)!r}.")
        return _elements(proto, entry.dtype, prod(slice_shape(extents, entry.shape, name)), name)


def _elements(proto: Message, dtype: np.dtype[Any], count: int, name: str) -> NDArray[Any]:
    """Return the `count` elements that a TensorProto lists."""
    if dtype.kind == "O":
        found = proto.count(_STRINGS)
        if found == count:
            strings = np.empty(count, object)
            for k, blob in enumerate(proto.blobs(_STRINGS)):
                strings[k] = bytes(blob)
            return strings
    elif dtype.name in _FIXED:
        blob = proto.blob(_FIXED[dtype.name]) or memoryview(b"")
        found, rest = divmod(len(blob), dtype.itemsize)
        if found == count and not rest:
            return np.frombuffer(blob, dtype.newbyteorder("<")).astype(dtype)
    elif dtype.name in _VARINTS:
        blob = proto.blob(_VARINTS[dtype.name]) or memoryview(b"")
        return _whole_numbers(blob, dtype, count, name)
    else:
        raise FormatError(f"{name}: {dtype.name} is not read from so old a checkpoint.")
    raise FormatError(f"{name} is not sound: it should have {count:,} elements, and has {found:,}.")


def _whole_numbers(blob: memoryview, dtype: np.dtype[Any], count: int, name: str) -> NDArray[Any]:
    # Types that are no whole numbers are stored by their bits.
    stored = dtype if dtype.kind in "iu" else np.dtype(f"u{dtype.itemsize}")
    limits = np.iinfo(stored)
    most = 1 if dtype == np.bool_ else limits.max
    if len(blob) < count:  # before there is room for them
        raise FormatError(
            f"{name} is not sound: {count:,} elements cannot lie in {len(blob):,} bytes."
        )
    elements = np.empty(count, stored)
    at = 0
    for unsigned in packed_varints(blob, name):
        piece = unsigned if stored == np.uint64 else unsigned.view(np.int64)
        if (piece < limits.min).any() or (piece > most).any():
            raise FormatError(f"{name} is not sound: an element is no {dtype.name}.")
        if at + piece.size > count:
            raise FormatError(f"{name} is not sound: it has more than its {count:,} elements.")
        elements[at : at + piece.size] = piece
        at += piece.size
    if at != count:
        raise FormatError(
            f"{name} is not sound: it should have {count:,} elements, and has {at:,}."
        )
    return elements.view(dtype)
