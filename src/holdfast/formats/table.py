"""LevelDB's table: sorted keys and their values in one file, in blocks with checksums.

Owns reading a table block by block, and writing one as TensorFlow does. Leaves what keys and
values mean to `bundle` and `bundle_v1`.

    table  := block* metaindex-block index-block footer
    block  := entry* restarts(uint32[n]) n(uint32) | type(1) | masked crc32c(4)
    entry  := shared, unshared, value's length (varints) | unshared bytes of the key | value
    footer := handles of metaindex and index (offset, size as varints), zeros to 40 | magic(8)

The index block's values are the handles of the data blocks, its keys no less than the last key of
each. Checked on reading: every checksum, every length, and that keys increase.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from holdfast.errors import FormatError, MissingExtraError
from holdfast.formats.crc import crc32c, mask
from holdfast.formats.wire import Buffer, read_varint, varint

MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER = 48
_TRAILER = 5
_RAW, _SNAPPY = 0, 1
_BLOCK_SIZE = 256 * 1024
_RESTART_INTERVAL = 16
# Keys share what they begin with, so that a few bytes can claim a long key: real tables hold
# about as many bytes of keys as they have bytes.
_ROOM_FOR_KEYS = 16 << 20
# A real ratio is at most 21.
_ROOM_FOR_SNAPPY = 32 << 20


class Table:
    """A table to read.

    Args:
        data: the whole file. It is not copied, so that a memory map costs only what is read.
        name: the file's, for errors.

    Raises:
        FormatError: it is no table, or its index is damaged.
        MissingExtraError: it is compressed, and `cramjam` is not installed.
    """

    def __init__(self, data: Buffer, name: str) -> None:
        self.name = name
        self._data = memoryview(data)
        self._last: tuple[int, dict[bytes, memoryview]] | None = None
        size = len(self._data)
        if size < _FOOTER or self._data[-8:] != MAGIC:
            raise FormatError(
                f"{name} is no table of TensorFlow's: its last 8 bytes should be {MAGIC.hex()} and "
                f"are {bytes(self._data[-8:]).hex() or 'not there'}. It may be cut off, or be "
                "another kind of file."
            )
        footer = size - _FOOTER
        at = footer
        handle: list[int] = []
        for _ in range(4):
            number, at = read_varint(self._data, at, size - 8, f"{name}: the footer")
            handle.append(number)
        self._end = footer
        index = self._block(handle[2], handle[3])
        self._keys: list[bytes] = []
        self._handles: list[tuple[int, int]] = []
        room = _ROOM_FOR_KEYS + size
        for key, value in self._entries(index):
            offset, at = read_varint(value, 0, len(value), f"{name}: the index")
            length, at = read_varint(value, at, len(value), f"{name}: the index")
            room -= len(key) + 128
            if room < 0:
                raise FormatError(f"{name} is refused: its index is too large for the file.")
            self._keys.append(key)
            self._handles.append((offset, length))

    def items(self) -> Iterator[tuple[bytes, memoryview]]:
        """Yield all keys, sorted, and their values.

        Raises:
            FormatError: a block is damaged, or keys do not increase.
        """
        room = _ROOM_FOR_KEYS + len(self._data)
        before: bytes | None = None
        for offset, size in self._handles:
            for key, value in self._entries(self._block(offset, size)):
                if before is not None and key <= before:
                    raise self._unsorted(key, before)
                room -= len(key)
                if room < 0:
                    raise FormatError(f"{self.name} is refused: its keys are too long for it.")
                before = key
                yield key, value

    def get(self, key: bytes) -> memoryview | None:
        """Return the value of one key, or None; reads one block.

        Raises:
            FormatError: the block is damaged.
        """
        k = bisect_left(self._keys, key)
        if k == len(self._keys):
            return None
        # Keys asked for in order are mostly in the block of the one before.
        if self._last is None or self._last[0] != k:
            self._last = None
            self._last = (k, self._known(k))
        return self._last[1].get(key)

    def _known(self, k: int) -> dict[bytes, memoryview]:
        block = self._block(*self._handles[k])
        room = _ROOM_FOR_KEYS + len(block)
        known = {}
        for key, value in self._entries(block):
            room -= len(key) + 256
            if room < 0:
                raise FormatError(f"{self.name} is refused: its keys are too long for it.")
            known[key] = value
        return known

    def _block(self, offset: int, size: int) -> memoryview:
        if offset + size + _TRAILER > self._end:
            raise FormatError(
                f"{self.name} is not sound: a block at {offset:,} of {size:,} bytes does not lie "
                f"within the {self._end:,} bytes there are. The file may be cut off."
            )
        end = offset + size
        said = int.from_bytes(self._data[end + 1 : end + _TRAILER], "little")
        found = mask(crc32c(self._data[offset : end + 1]))
        if said != found:
            raise FormatError(
                f"{self.name} is damaged: the checksum of the block at {offset:,} should be "
                f"{said:08x} and is {found:08x}. Take another copy of the file."
            )
        kind = self._data[end]
        if kind == _RAW:
            return self._data[offset:end]
        if kind == _SNAPPY:
            return self._inflated(self._data[offset:end])
        raise FormatError(f"{self.name}: a block at {offset:,} is compressed in an unknown way.")

    def _inflated(self, block: memoryview) -> memoryview:
        size, _ = read_varint(block, 0, len(block), f"{self.name}: a compressed block")
        most = min(_ROOM_FOR_SNAPPY + 2 * len(self._data), 22 * len(block))
        if size > most:
            raise FormatError(
                f"{self.name} is refused: a block of {len(block):,} bytes says that it holds "
                f"{size:,}, and {most:,} is the most that is taken."
            )
        try:
            import cramjam
        except ImportError:
            raise MissingExtraError("cramjam", "snappy", f"To read {self.name}, Holdfast") from None
        try:
            whole = bytes(cramjam.snappy.decompress_raw(block))
        except cramjam.DecompressionError as error:
            raise FormatError(f"{self.name}: a compressed block is damaged ({error}).") from None
        return memoryview(whole)

    def _entries(self, block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
        name = self.name
        count = int.from_bytes(block[-4:], "little")
        end = len(block) - 4 - 4 * count
        if len(block) < 4 or end < 0:
            raise FormatError(f"{name} is not sound: a block is too short for its {count} restarts")
        at, key, first = 0, b"", True
        while at < end:
            shared, at = read_varint(block, at, end, name)
            unshared, at = read_varint(block, at, end, name)
            size, at = read_varint(block, at, end, name)
            if shared > len(key) or unshared + size > end - at:
                raise FormatError(
                    f"{name} is not sound: an entry says that it has {shared:,} bytes of the key "
                    f"before it, which has {len(key):,}, and {unshared + size:,} of its own, where "
                    f"{end - at:,} are left."
                )
            before, key = key, key[:shared] + block[at : at + unshared]
            if key <= before and not first:
                raise self._unsorted(key, before)
            first = False
            at += unshared + size
            yield key, block[at - size : at]

    def _unsorted(self, key: bytes, before: bytes) -> FormatError:
        return FormatError(
            f"{self.name} is not sound: its keys should increase, and {key[:80]!r} comes after "
            f"{before[:80]!r}."
        )


def write_table(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a table of these keys and values, not compressed, byte for byte as TensorFlow's.

    Args:
        items: sorted by key; no key twice.
    """
    out = bytearray()
    index: list[tuple[bytes, bytes]] = []
    block = _Block(_RESTART_INTERVAL)
    last, waiting = b"", b""
    for key, value in items:
        if waiting:
            index.append((_between(last, key), waiting))
            waiting = b""
        block.add(key, value)
        last = key
        if block.size >= _BLOCK_SIZE:
            waiting = _append(out, block)
            block = _Block(_RESTART_INTERVAL)
    if block.data:
        waiting = _append(out, block)
    if waiting:
        index.append((_after(last), waiting))
    footer = _append(out, _Block(_RESTART_INTERVAL))
    block = _Block(1)
    for key, value in index:
        block.add(key, value)
    footer += _append(out, block)
    return bytes(out) + footer.ljust(40, b"\0") + MAGIC


class _Block:
    def __init__(self, interval: int) -> None:
        self.data = bytearray()
        self._interval = interval
        self._restarts = [0]
        self._count = 0
        self._last = b""

    @property
    def size(self) -> int:
        return len(self.data) + 4 * len(self._restarts) + 4

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._count == self._interval:
            self._restarts.append(len(self.data))
            self._count = 0
        else:
            shared = _common(self._last, key)
        self._count += 1
        self._last = key
        self.data += varint(shared) + varint(len(key) - shared) + varint(len(value))
        self.data += key[shared:] + value

    def bytes(self) -> bytes:
        tail = [*self._restarts, len(self._restarts)]
        return bytes(self.data) + b"".join(n.to_bytes(4, "little") for n in tail)


def _append(out: bytearray, block: _Block) -> bytes:
    data = block.bytes()
    handle = varint(len(out)) + varint(len(data))
    data += bytes([_RAW])
    out += data + mask(crc32c(data)).to_bytes(4, "little")
    return handle


def _common(a: bytes, b: bytes) -> int:
    least = min(len(a), len(b))
    return next((k for k in range(least) if a[k] != b[k]), least)


def _between(low: bytes, high: bytes) -> bytes:
    """Return a short key that is no less than `low` and less than `high`."""
    k = _common(low, high)
    if k < min(len(low), len(high)) and low[k] < 0xFF and low[k] + 1 < high[k]:
        return low[:k] + bytes([low[k] + 1])
    return low


def _after(low: bytes) -> bytes:
    """Return a short key that is no less than `low`."""
    k = next((k for k in range(len(low)) if low[k] != 0xFF), len(low))
    return low[:k] + bytes([low[k] + 1]) if k < len(low) else low
