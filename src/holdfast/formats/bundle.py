"""TensorBundle, TensorFlow's checkpoint since 1.0: an index of tensors and shards of their bytes.

Owns what the index says, checked against the shards before any element is read, and the elements,
checked against their checksum when they are. Leaves the index's encoding to `table`, the search
for the files to `checkpoint_file` and the objects behind the keys to `object_graph`.

    PREFIX.index                 a table: "" -> BundleHeader, KEY -> BundleEntry
    PREFIX.data-00000-of-00002   the elements, one tensor after the other, in the order of memory

A string tensor is its lengths (varints), a masked checksum of them, and all bytes. A partitioned
variable has an entry without bytes that lists its slices, and an entry of each slice.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.crc import crc32c, mask
from holdfast.formats.model_file import Entry
from holdfast.formats.region import fresh
from holdfast.formats.table import Table
from holdfast.formats.tensor_slices import Slice, assemble, read_slice, slice_key, slice_shape
from holdfast.formats.tensor_types import read_shape, read_type, type_name
from holdfast.formats.wire import Buffer, Message, leading_varints

# Copied and summed by pieces, while they are in the processor's cache.
_PIECE = 1 << 18

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the object graph, in a checkpoint that has one."""

_LITTLE, _BIG = 0, 1
_MOST_SHARDS = 99_999
_MOST_ENTRIES = 200_000


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """What the index says of one tensor.

    Args:
        dtype: of its elements; `object` for strings.
        shape: its dimensions.
        shard: where its bytes lie.
        offset: of its first byte in the shard.
        size: in bytes; 0 where it has slices.
        crc: the masked checksum of its bytes.
        slices: of a partitioned variable.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    slices: tuple[Slice, ...] = ()


def shard_name(prefix: str, shard: int, count: int) -> str:
    """Return the name of a file of elements."""
    return f"{prefix}.data-{shard:05d}-of-{count:05d}"


class Bundle:
    """A bundle to read, its index known and checked, its elements still on the disk.

    Args:
        name: its prefix, for errors.
        index: the whole index.
        shard: gives the bytes of a shard, by its number and the number of all of them.

    Raises:
        FormatError: the index is not sound, or says what the shards are not.
    """

    def __init__(self, name: str, index: Buffer, shard: Callable[[int, int], Buffer]) -> None:
        self.name = name
        values = Table(index, f"{name}.index").items()
        count, self._order = self._header(next(values, None))
        self._shards = [memoryview(shard(k, count)) for k in range(count)]
        # Kept as the index has them, not as objects, so that an index costs a small multiple of
        # its size.
        self._values: dict[str, bytes] = {}
        self._parts: dict[bytes, bytes] = {}
        room = _MOST_ENTRIES + len(index) // 64
        for key, value in values:
            if key.startswith(b"\0"):
                self._parts[key] = bytes(value)
            else:
                self._values[_text(key, name)] = bytes(value)
            room -= 1
            if room < 0:
                raise FormatError(f"{name}.index is refused: it has too many entries for its size.")
        self._check()

    @classmethod
    def open(cls, prefix: Path | str) -> Bundle:
        """Open the bundle of a prefix: `ck` for `ck.index` and `ck.data-00000-of-00001`.

        Raises:
            FileNotFoundError: there is no such index.
            FormatError: the index is not sound, or says what the shards are not.
        """
        name = str(prefix)

        def shard(number: int, count: int) -> Buffer:
            path = Path(shard_name(name, number, count))
            if not path.is_file():
                raise FormatError(
                    f"{name}.index says that there are {count:,} files of data, and {path.name} "
                    "is not there. Copy all files of the checkpoint to one directory."
                )
            return map_file(path)

        return cls(name, map_file(Path(f"{name}.index")), shard)

    @property
    def entries(self) -> Mapping[str, BundleEntry]:
        """What the index says of each tensor, by its key, sorted."""
        return _Entries(self._values, lambda key: self._entry(self._values[key], key))

    def tensor(self, key: str) -> Entry:
        """Return a tensor as an array to be read when asked for.

        Raises:
            FormatError: there is no such key.
        """
        value = self._values.get(key)
        if value is None:
            raise FormatError(f"{self.name} has no tensor {key!r}.")
        entry = self._entry(value, key)
        return Entry(key, entry.shape, type_name(entry.dtype), lambda: self._load(entry, key))

    def read(self, key: str) -> NDArray[Any]:
        """Return the elements of a tensor; of strings an array of objects, each `bytes`.

        Raises:
            FormatError: there is no such key, or the elements are damaged.
        """
        return self.tensor(key).load()

    def _header(self, first: tuple[bytes, memoryview] | None) -> tuple[int, Literal["<", ">"]]:
        name = f"{self.name}.index"
        if first is None or first[0]:
            raise FormatError(f"{name} is a table, but of no TensorBundle: it has no header.")
        header = Message(first[1], f"{name}: the header")
        count = header.integer(1)
        if not 0 < count <= _MOST_SHARDS:
            raise FormatError(f"{name} is not sound: it says that there are {count:,} shards.")
        order = header.integer(2)
        if order not in (_LITTLE, _BIG):
            raise FormatError(f"{name} is not sound: its order of bytes is {order}, not 0 or 1.")
        return count, "<" if order == _LITTLE else ">"

    def _check(self) -> None:
        """Check every entry, and that no two lie on the same bytes.

        With that, all tensors together are no more than the files.
        """
        spans: dict[int, list[tuple[int, int]]] = {}
        for key, value in self._values.items():
            entry = self._entry(value, key)
            if entry.slices:
                for extents in entry.slices:
                    part = self._part(entry, extents, key)
                    spans.setdefault(part.shard, []).append((part.offset, part.size))
            else:
                spans.setdefault(entry.shard, []).append((entry.offset, entry.size))
        for shard, taken in spans.items():
            within = np.array([span for span in taken if span[1]], np.int64).reshape(-1, 2)
            within = within[np.argsort(within[:, 0], kind="stable")]
            if (within[:-1].sum(axis=1) > within[1:, 0]).any():
                raise FormatError(
                    f"{self.name}.index is not sound: two tensors lie on the same bytes of "
                    f"{shard_name(Path(self.name).name, shard, len(self._shards))}."
                )

    def _entry(self, value: bytes, key: str) -> BundleEntry:
        name = f"{self.name}: {key}"
        message = Message(value, name)
        shape = read_shape(message.message(2), name)
        entry = BundleEntry(
            dtype=read_type(message.integer(1), name),
            shape=shape,
            shard=message.integer(3),
            offset=message.integer(4),
            size=message.integer(5),
            crc=message.fixed32(6),
            slices=tuple(read_slice(s, len(shape), name) for s in message.messages(7)),
        )
        if entry.slices:
            if entry.dtype.kind == "O":
                raise FormatError(f"{name} is refused: it is a partitioned tensor of strings.")
            return entry
        if not 0 <= entry.shard < len(self._shards):
            raise FormatError(
                f"{name} is not sound: it should lie in shard {entry.shard}, and there are "
                f"{len(self._shards)}."
            )
        there = len(self._shards[entry.shard])
        if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > there:
            raise FormatError(
                f"{name} is not sound: {entry.size:,} bytes at {entry.offset:,} do not lie within "
                f"the {there:,} bytes of its shard. The shard may be cut off."
            )
        self._check_size(entry, name)
        return entry

    def _check_size(self, entry: BundleEntry, name: str) -> None:
        count = prod(entry.shape)
        if entry.dtype.kind == "O":
            if entry.size < count + 4:
                raise FormatError(
                    f"{name} is not sound: {count:,} strings cannot lie in {entry.size:,} bytes."
                )
        elif entry.size != count * entry.dtype.itemsize:
            raise FormatError(
                f"{name} is not sound: {entry.dtype.name} of shape {entry.shape} is "
                f"{count * entry.dtype.itemsize:,} bytes, and it has {entry.size:,}."
            )

    def _part(self, entry: BundleEntry, extents: Slice, key: str) -> BundleEntry:
        name = f"{self.name}: {key}"
        value = self._parts.get(slice_key(key, extents))
        if value is None:
            raise FormatError(f"{name} is not sound: its slice {extents} is not there.")
        part = self._entry(value, key)
        if (
            part.slices
            or part.dtype != entry.dtype
            or part.shape != slice_shape(extents, entry.shape, name)
        ):
            raise FormatError(
                f"{name} is not sound: its slice {extents} is {part.dtype.name} of shape "
                f"{part.shape}, which does not fit into {entry.dtype.name} of {entry.shape}."
            )
        return part

    def _load(self, entry: BundleEntry, key: str) -> NDArray[Any]:
        name = f"{self.name}: {key}"
        if entry.slices:
            return assemble(
                name,
                entry.shape,
                entry.dtype,
                entry.slices,
                lambda extents: self._load(self._part(entry, extents, key), key),
            )
        data = self._shards[entry.shard][entry.offset : entry.offset + entry.size]
        if entry.dtype.kind == "O":
            return self._strings(entry, data, name)
        # A backend may take an array over as it is: as a window onto the file it would change, or
        # end the process, when someone writes to the file.
        room, crc = fresh(len(data)), 0
        for start in range(0, len(data), _PIECE):
            piece = room[start : start + _PIECE]
            piece.data[:] = data[start : start + _PIECE]
            crc = crc32c(piece.data, crc)
        self._compare(mask(crc), entry.crc, name)
        if entry.dtype == np.bool_ and (room > 1).any():
            raise FormatError(f"{name} is not sound: an element should be 0 or 1, and is neither.")
        array = room.view(entry.dtype.newbyteorder(self._order)).reshape(entry.shape)
        return array if array.dtype.isnative else array.astype(entry.dtype)

    def _strings(self, entry: BundleEntry, data: memoryview, name: str) -> NDArray[Any]:
        count = prod(entry.shape)
        lengths, at = leading_varints(data, count, name)
        if at + 4 + int(lengths.sum(dtype=object) if count else 0) != len(data):
            raise FormatError(f"{name} is not sound: the lengths of its strings do not add up.")
        wide = bool(count and lengths.max() >= 1 << 32)
        crc = 0
        if wide:  # each in the size that it needs
            for length in lengths.tolist():
                crc = crc32c(length.to_bytes(8 if length >= 1 << 32 else 4, "little"), crc)
        else:
            crc = crc32c(lengths.astype("<u4").tobytes())
        said = int.from_bytes(data[at : at + 4], "little")
        self._compare(mask(crc), said, f"{name}: the lengths of its strings")
        self._compare(mask(crc32c(data[at:], crc)), entry.crc, name)
        strings = np.empty(count, object)
        at += 4
        for k, length in enumerate(lengths.tolist()):
            strings[k] = bytes(data[at : at + length])
            at += length
        return strings.reshape(entry.shape)

    def _compare(self, found: int, said: int, name: str) -> None:
        if found != said:
            raise FormatError(
                f"{name} is damaged: its checksum should be {said:08x} and is {found:08x}. "
                "Take another copy of the file."
            )


class _Entries(Mapping[str, BundleEntry]):
    """Entries that are made when asked for."""

    def __init__(self, keys: Mapping[str, bytes], make: Callable[[str], BundleEntry]) -> None:
        self._keys = keys
        self._make = make

    def __getitem__(self, key: str) -> BundleEntry:
        if key not in self._keys:
            raise KeyError(key)
        return self._make(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _text(key: bytes, name: str) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise FormatError(f"{name}.index is not sound: its key {key[:80]!r} is no text.") from None


def map_file(path: Path) -> Buffer:
    """Return a file's bytes, which are read from the disk when they are looked at.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        # A map cannot be of nothing.
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
