"""The elements of an HDF5 dataset: where they are, and how they are unpacked.

Owns layouts and filters. Leaves the structure around them to `hdf5_tree`.

Where a dataset claims more elements than it has bytes for, it is refused before memory is taken:
what was never written counts as nothing there, and what is packed must unpack to the claim.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.errors import FormatError
from holdfast.formats.guard import OBJECT
from holdfast.formats.hdf5_tree import NOWHERE, Dataset, Tree
from holdfast.formats.model_file import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = 0, 1, 2, 3
_GZIP, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
_MOST_FILTERS = 8
_MOST_CHUNKS = 1_000_000


class _Chunk(NamedTuple):
    """A packed piece of a dataset."""

    address: int
    size: int
    skipped: int
    place: tuple[int, ...]


def entry(tree: Tree, dataset: Dataset, name: str) -> Entry:
    """Return a dataset as an array that is read when asked for.

    Args:
        tree: that has it.
        dataset: the array.
        name: for it.

    Raises:
        FormatError: it holds no numbers, or claims more of them than there are bytes.
    """
    where = f"{tree.region.name}: /{dataset.path}"
    elements = dataset.elements
    if elements.kind != "number":
        raise FormatError(f"{where} should hold numbers, and holds {elements.what}")
    try:
        reader = _Reader(tree, dataset, where)
    except struct.error as error:
        raise FormatError(f"{where} is damaged: where its elements are is cut short") from error
    tree.budget.spend(reader.needs + OBJECT)
    return Entry(name, dataset.shape, elements.dtype, reader.read)


class _Reader:
    """Reads a dataset.

    Attributes:
        needs: bytes of memory to read it.
    """

    def __init__(self, tree: Tree, dataset: Dataset, where: str) -> None:
        self._tree, self._dataset, self._where = tree, dataset, where
        size = math.prod(dataset.shape) * dataset.elements.size
        self.needs = size
        layout = dataset.layout
        version, kind = struct.unpack_from("<BB", layout)
        if kind == _VIRTUAL:
            raise FormatError(f"{where} is put together of other files' parts, which is refused")
        if version not in (3, 4) or (version == 4 and kind == _CHUNKED):
            raise FormatError(
                f"{where} is laid out in a way that is not known here (version {version}): "
                "write the file again with h5py's default settings, or h5repack"
            )
        self._kind, self._chunk = kind, (1,)
        if kind == _COMPACT:
            (stored,) = struct.unpack_from("<H", layout, 2)
            stored = min(stored, len(layout) - 4)
        elif kind == _CONTIGUOUS:
            self._address, stored = struct.unpack_from("<QQ", layout, 2)
            if size and self._address == NOWHERE:
                raise FormatError(f"{where} has the shape {dataset.shape}, and was never written")
            if size and self._address + size > tree.region.size:
                raise FormatError(f"{where} lies beyond the end of the file: it was cut short")
        elif kind == _CHUNKED:
            stored = size
            self._read_chunked_layout(layout)
        else:
            raise FormatError(f"{where} is laid out in the unknown way {kind}")
        if stored < size:
            raise FormatError(
                f"{where} has the shape {dataset.shape}, which takes {size} bytes, and has {stored}"
            )
        if dataset.filters and kind != _CHUNKED:
            raise FormatError(f"{where} is packed and not in chunks, which cannot be")

    def read(self) -> NDArray[Any]:
        """Return the elements."""
        import numpy as np

        dataset, region = self._dataset, self._tree.region
        if not math.prod(dataset.shape):
            array = region.array(0, dataset.elements.dtype, dataset.shape)
        elif self._kind == _CONTIGUOUS:
            array = region.array(self._address, dataset.elements.dtype, dataset.shape)
        elif self._kind == _COMPACT:
            size = math.prod(dataset.shape) * dataset.elements.size
            array = np.frombuffer(dataset.layout, np.uint8, size, 4).copy()
            array = array.view(region.array(0, dataset.elements.dtype, (0,)).dtype)
            array = array.reshape(dataset.shape)
        else:
            array = self._read_chunks()
        return array.byteswap(inplace=True) if dataset.elements.big else array

    # ---- chunks

    def _read_chunked_layout(self, layout: bytes) -> None:
        dataset, where = self._dataset, self._where
        (dimensions,) = struct.unpack_from("<B", layout, 2)
        self._address, *chunk = struct.unpack_from(f"<Q{dimensions}I", layout, 3)
        self._chunk = tuple(chunk[:-1])
        fits = len(self._chunk) == len(dataset.shape) and all(self._chunk)
        if not chunk or not fits or chunk[-1] != dataset.elements.size:
            raise FormatError(f"{where} is damaged: its chunks do not fit its shape")
        counts = [-(-size // part) for size, part in zip(dataset.shape, self._chunk, strict=True)]
        if math.prod(counts) > _MOST_CHUNKS:
            raise FormatError(f"{where} has more than {_MOST_CHUNKS} chunks")
        self._places = [
            range(0, n * part, part) for n, part in zip(counts, self._chunk, strict=True)
        ]
        self._chunk_size = math.prod(chunk)
        # While a chunk is unpacked it is there as it was, and twice more to be put in order.
        self.needs = max(self.needs, (math.prod(counts) + 3) * self._chunk_size)
        if math.prod(counts) and self._address == NOWHERE:
            raise FormatError(f"{where} has the shape {dataset.shape}, and was never written")
        self._filters = list(self._read_filters(dataset.filters))

    def _read_filters(self, body: bytes) -> Iterator[int]:
        if not body:
            return
        version, count = struct.unpack_from("<BB", body)
        if version not in (1, 2) or count > _MOST_FILTERS:
            raise FormatError(f"{self._where} is packed by {count} filters of version {version}")
        at = 8 if version == 1 else 2
        for _ in range(count):
            (number,) = struct.unpack_from("<H", body, at)
            named = version == 1 or number >= 256
            length = struct.unpack_from("<H", body, at + 2)[0] if named else 0
            at += 4 if named else 2
            _, values = struct.unpack_from("<HH", body, at)
            at += 4 + length + (-length % 8 if version == 1 else 0) + 4 * values
            at += 4 if version == 1 and values % 2 else 0
            if number not in (_GZIP, _SHUFFLE, _FLETCHER32, _LZF):
                raise FormatError(
                    f"{self._where} is packed by the filter {number}, and only gzip, lzf, shuffle "
                    "and fletcher32 are known here: write it again with one of these, or with none"
                )
            yield number

    def _read_chunks(self) -> NDArray[Any]:
        import numpy as np

        dataset, region = self._dataset, self._tree.region
        kind = region.array(0, dataset.elements.dtype, (0,)).dtype
        missing = set(itertools.product(*self._places))
        array, stored = np.empty(dataset.shape, kind), 0
        try:
            for chunk in self._chunks():
                stored += chunk.size
                if chunk.place not in missing or stored > region.size:
                    raise FormatError(f"{self._where} is damaged: its chunks overlap")
                missing.remove(chunk.place)
                piece = np.frombuffer(self._unpacked(chunk), kind).reshape(self._chunk)
                spans = [
                    slice(begin, min(begin + part, size))
                    for begin, part, size in zip(
                        chunk.place, self._chunk, dataset.shape, strict=True
                    )
                ]
                target = array[tuple(spans)]
                target[...] = piece[tuple(slice(size) for size in target.shape)]
        except struct.error as error:
            raise FormatError(f"{self._where} is damaged: its index is cut short") from error
        if missing:
            raise FormatError(f"{self._where} lacks {len(missing)} of its chunks")
        return array

    def _chunks(self) -> Iterator[_Chunk]:
        rank, nodes, seen = len(self._chunk), [self._address], set()
        width = 8 + 8 * (rank + 1)
        while nodes:
            address = nodes.pop()
            if address in seen:
                raise FormatError(f"{self._where} is damaged: its index goes in a circle")
            seen.add(address)
            magic, kind, level, count = struct.unpack("<4sBBH", self._tree.take(address, 8))
            if magic != b"TREE" or kind != 1:
                raise FormatError(f"{self._where} is damaged: its index is not there")
            data = self._tree.take(address + 24, count * (width + 8))
            for at in range(0, len(data), width + 8):
                size, skipped, *place = struct.unpack_from(f"<II{rank}Q", data, at)
                (child,) = struct.unpack_from("<Q", data, at + width)
                if level:
                    nodes.append(child)
                else:
                    yield _Chunk(child, size, skipped, tuple(place))

    def _unpacked(self, chunk: _Chunk) -> bytes:
        data, size = self._tree.region.read(chunk.address, chunk.size), self._chunk_size
        # The sum, where there is one, stands behind what else is packed.
        room = size + (4 if _FLETCHER32 in self._filters else 0)
        for number in reversed(range(len(self._filters))):
            if chunk.skipped >> number & 1:
                continue
            data = _undone(
                self._filters[number], data, room, self._dataset.elements.size, self._where
            )
        if len(data) != size:
            raise FormatError(f"{self._where} has a chunk of {len(data)} bytes instead of {size}")
        return data


def _undone(number: int, data: bytes, room: int, width: int, where: str) -> bytes:
    """Return what a filter was given, which has at most `room` bytes."""
    if number == _GZIP:
        return _inflated(data, room, where)
    if number == _LZF:
        return _from_lzf(data, room, where)
    if number == _FLETCHER32:
        if _fletcher32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise FormatError(f"{where} is damaged: a chunk's sum is wrong")
        return data[:-4]
    import numpy as np

    whole = len(data) // width * width
    bytes_apart = np.frombuffer(data, np.uint8, whole).reshape(width, -1)
    return bytes_apart.T.tobytes() + data[whole:]


def _inflated(data: bytes, room: int, where: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        out = stream.decompress(data, room + 1)
    except zlib.error as error:
        raise FormatError(f"{where} is damaged: a chunk cannot be unpacked ({error})") from error
    if len(out) > room:
        raise FormatError(f"{where} has a chunk that unpacks to more than {room} bytes")
    return out


def _from_lzf(data: bytes, room: int, where: str) -> bytes:
    """Return what LZF has packed: runs of bytes, and places before them to copy from."""
    out, at = bytearray(), 0
    try:
        while at < len(data) and len(out) <= room:
            control, at = data[at], at + 1
            if control < 32:
                out += data[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length, at = length + data[at], at + 1
            begin = len(out) - ((control & 31) << 8) - data[at] - 1
            at += 1
            if begin < 0:
                raise FormatError(f"{where} is damaged: a chunk refers to what is not there")
            for place in range(begin, begin + length + 2):  # it may copy what it has just written
                out.append(out[place])
    except IndexError as error:
        raise FormatError(f"{where} is damaged: a chunk is cut short") from error
    return bytes(out)


def _fletcher32(data: bytes) -> int:
    import numpy as np

    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    low = high = 0
    for begin in range(0, len(words), 1 << 15):
        part = words[begin : begin + (1 << 15)]
        high = (
            high
            + low * len(part)
            + int((np.arange(len(part), 0, -1, dtype=np.uint64) * part).sum())
        ) % 65535
        low = (low + int(part.sum())) % 65535
    # 0 and 65535 are the same to this sum; the library leaves the latter.
    low, high = (value or (65535 if words.any() else 0) for value in (low, high))
    return high << 16 | low
