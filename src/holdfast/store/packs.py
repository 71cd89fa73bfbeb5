"""Packs: immutable arrays in safetensors files, each with the sums of what it holds.

Owns the bytes of a pack. Leaves which arrays go where to `checkpoints`.

The format is safetensors (https://github.com/huggingface/safetensors): 8 bytes with the
length of the header, little-endian; the header, JSON, padded with spaces so that the data
begins at a multiple of 8; the arrays one after the other. It is written here, not by the
safetensors library, so that the arrays go to the file without a copy and through `files`.

The header stands first and is known last: which arrays a pack gets turns out while they are
written. So it gets the room it would need for all that may come, and what it does not need of
that is spaces.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import reprlib
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamagedError
from holdfast.events import build
from holdfast.store import files
from holdfast.store.disk import File
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
_METADATA, _HEADER = "__metadata__", "__header__"
_UNKNOWN = "0" * 64
_LONGEST_HEADER = 100_000_000
_MOST_DIMENSIONS = 64
# What is read at a time where nobody wants the bytes: it stays in the processor's cache.
_PIECE = 1 << 20
# After so many bytes the disk is told to begin, so that it works while the next are summed.
_BATCH = 1 << 23


def storable(dtype: str) -> bool:
    """Return whether a pack can hold arrays of this type."""
    return dtype in _TYPES


@contextlib.contextmanager
def writing(path: Path, most: Sequence[Array]) -> Iterator[NewPack]:
    """Make a new pack; the block adds arrays to it.

    It is durable when the block is left, and removed if the block fails. Where nothing was
    added there is no file.

    Args:
        path: of the pack, which must not exist yet.
        most: the arrays that may be added.
    """
    with contextlib.ExitStack() as stack:
        pack = NewPack(path, most, stack)
        yield pack
        pack.end()


class NewPack:
    """A pack that is being written. See `writing`.

    Attributes:
        size: bytes of the file so far, its header included.
    """

    def __init__(self, path: Path, most: Sequence[Array], stack: contextlib.ExitStack) -> None:
        self.size = self._begun = 0
        self._path = path
        self._stack = stack
        self._file: File | None = None
        self._spans: dict[str, _Span] = {}
        self._sums: dict[str, str] = {}
        offset, spans = 0, {}
        for array in most:
            if array.name in (_METADATA, _HEADER):
                raise ValueError(f"no array can be named {array.name!r} in a pack")
            offset, begin = offset + array.data.nbytes, offset
            spans[array.name] = _Span(array.dtype, array.shape, begin, offset)
        # Of fewer arrays each header is shorter, since their offsets are no larger.
        self._room = len(_header(spans, dict.fromkeys(spans, _UNKNOWN)))
        self._room += -self._room % 8

    def add(self, array: Array, total: str) -> None:
        """Write an array, whose BLAKE3 is `total`."""
        if self._file is None:
            self._file = self._stack.enter_context(files.new_file(self._path))
            self.size = 8 + self._room
        if array.data.nbytes:
            self._file.write(array.data, self.size)
        begin = self.size - 8 - self._room
        end = begin + array.data.nbytes
        self._spans[array.name] = _Span(array.dtype, array.shape, begin, end)
        self._sums[array.name] = total
        self.size += array.data.nbytes
        if self.size - self._begun >= _BATCH:
            self._file.begin_sync(self._begun, self.size)
            self._begun = self.size

    def end(self) -> None:
        """Write the header; nothing can be added any more."""
        if self._file is not None:
            text = _header(self._spans, self._sums).ljust(self._room)
            self._file.write(len(text).to_bytes(8, "little") + text, 0)


def data_size(path: Path) -> int:
    """Return the bytes of the arrays in a pack, as its length and its header's say.

    Raises:
        DamagedError: it is no pack.
        OSError: it cannot be read, or is not there.
    """
    with _opened(path) as file:
        return _data_size(file, path)


class Pack:
    """A pack open for reading. Use it as a context manager. Threads may read it together.

    Whatever its header says, what is read of it takes no more memory than the file has bytes.

    Attributes:
        data_size: bytes of its arrays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _opened(path)
        try:
            self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, name: str, room: memoryview | None = None) -> Array:
        """Read one array. Its sum is not checked here.

        Args:
            name: of the array.
            room: as many bytes as it has, for it; None for memory of its own.
        """
        dtype, shape, begin, end = self._span(name)
        data = memory(end - begin) if room is None else room
        self._fill(data, self._start + begin, name)
        return Array(name, dtype, shape, data)

    def total(self, name: str) -> str:
        """Return the BLAKE3 of an array's bytes, without keeping them."""
        *_, begin, end = self._span(name)
        found = blake3()
        room = memoryview(bytearray(min(_PIECE, end - begin)))
        while begin < end:
            piece = room[: end - begin]
            self._fill(piece, self._start + begin, name)
            found.update(piece)
            begin += len(piece)
        return found.hexdigest()

    def describe(self, name: str) -> tuple[str, tuple[int, ...], int]:
        """Return type, shape and size in bytes of an array."""
        dtype, shape, begin, end = self._span(name)
        return dtype, shape, end - begin

    def check(self, known: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read the whole pack and check it by itself: every byte is as Holdfast wrote it.

        Takes little memory, however large the pack is.

        Args:
            known: sums, by name, of arrays that have just been read: they are not read again.

        Raises:
            DamagedError: it is not.
            OSError: it cannot be read.
        """
        sums = self._sums
        if not isinstance(sums, dict) or not all(isinstance(text, str) for text in sums.values()):
            raise DamagedError(f"{self.path}: its header names no sums")
        end = 0
        for name, span in self._spans.items():
            if span.begin != end:
                raise DamagedError(f"{self.path}: {name} should begin at {end}, not {span.begin}")
            end = span.end
        if end != self.data_size:
            raise DamagedError(
                f"{self.path}: {self.data_size} bytes of data where its arrays have {end}"
            )
        expected = {name: sums.get(name, "") for name in self._spans}
        if self._text != _header(self._spans, expected).ljust(len(self._text)) or (
            len(self._text) % 8
        ):
            raise DamagedError(f"{self.path}: its header is not what was written")
        for name, wanted in expected.items():
            found = known.get(name) or self.total(name)
            if found != wanted:
                raise DamagedError(
                    f"{self.path}: the BLAKE3 of {name} should be {wanted}, found {found}"
                )

    def _span(self, name: str) -> _Span:
        if name not in self._spans:
            raise DamagedError(f"{self.path}: expected an array {name!r}, found none of that name")
        return self._spans[name]

    def _read_header(self) -> None:
        self.data_size = _data_size(self._file, self.path)
        self._start = os.fstat(self._file.fileno()).st_size - self.data_size
        text = bytearray(self._start - 8)
        self._fill(memoryview(text), 8, "the header")
        self._text = bytes(text)
        try:
            header = json.loads(self._text, object_pairs_hook=_without_twins)
            self._sums = header.pop(_METADATA, None) if isinstance(header, dict) else None
            self._spans = _spans(header, self.data_size)
        except RecursionError as error:
            raise DamagedError(f"{self.path}: the header is nested too deep") from error
        except ValueError as error:
            raise DamagedError(f"{self.path}: the header is not readable ({error})") from error

    def _fill(self, rest: memoryview, at: int, what: str) -> None:
        while rest:
            read = os.preadv(self._file.fileno(), [rest], at)
            if not read:
                raise DamagedError(f"{self.path}: the file ends within {what}")
            rest, at = rest[read:], at + read


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


def _opened(path: Path) -> FileIO:
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe is to wait for its writer
        raise DamagedError(f"{path}: expected a file")
    return path.open("rb", buffering=0)


def _data_size(file: FileIO, path: Path) -> int:
    size = os.fstat(file.fileno()).st_size
    text = os.pread(file.fileno(), 8, 0)
    if len(text) < 8:
        raise DamagedError(f"{path}: expected a header, found a file of {size} bytes")
    length = int.from_bytes(text, "little")
    if 8 + length > size or length > _LONGEST_HEADER:
        raise DamagedError(f"{path}: a header of {length} bytes in a file of {size}")
    return size - 8 - length


def _header(spans: Mapping[str, _Span], sums: Mapping[str, str]) -> bytes:
    """Return the text of a header, but for the spaces after it.

    Its first sum is its own: that of the text as it would be with 64 zeros there.
    """
    header: dict[str, object] = {_METADATA: {_HEADER: _UNKNOWN, **sums}}
    for name, (dtype, shape, begin, end) in spans.items():
        header[name] = {
            "dtype": _TYPES[dtype][0],
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    return text.replace(_UNKNOWN.encode(), blake3(text).hexdigest().encode(), 1)


def _spans(header: Json, available: int) -> dict[str, _Span]:
    """Return where each array is within `available` bytes of data.

    Raises:
        ValueError: the header says what cannot be.
    """
    if not isinstance(header, dict):
        raise ValueError("expected an object")
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


def memory(size: int) -> memoryview:
    """Return memory that, unlike a bytearray's, is not filled with zeros first."""
    # Not above: who only looks at a run needs no numpy.
    import numpy as np

    return np.empty(size, np.uint8).data
