"""Protocol Buffers on the wire: what a message holds, by field number, and how to write one.

Owns the encoding and its limits: a varint of at most ten bytes, a length within its message, a
bounded nesting, a bounded number of fields. Leaves what the numbers mean to the modules that read
the messages.

A wrong length, a wrong kind of field or a cut end is a `FormatError`, never a guess.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import Any

import numpy as np

from holdfast.errors import FormatError

Buffer = bytes | bytearray | memoryview | mmap
"""What holds bytes to read."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KINDS = {_VARINT: "a number", _FIXED64: "8 bytes", _BYTES: "bytes", _FIXED32: "4 bytes"}
_DEEPEST = 64
_MOST_FIELDS = 1_000_000
_WORD = 1 << 64
_PIECE = 1 << 20


def read_varint(data: memoryview, at: int, end: int, name: str) -> tuple[int, int]:
    """Return the number at `at` and where the next byte is.

    Raises:
        FormatError: it does not end before `end`, or is no number of 64 bits.
    """
    # Most are of one byte, and there are many of them.
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise FormatError(f"{name} is cut off: it ends within a number, at byte {at}.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= _WORD:
                break
            return value, at
    raise FormatError(f"{name} is not sound: the number before byte {at} is longer than 64 bits.")


class Message:
    """One message, its fields found but not yet read.

    Args:
        data: the message's bytes, and nothing else. They are not copied.
        name: what it is and where, for errors.
        depth: how many messages it lies within.

    Raises:
        FormatError: the bytes are no message.
    """

    __slots__ = ("_data", "_depth", "_fields", "name")

    def __init__(self, data: Buffer, name: str, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise FormatError(f"{name} is refused: it is nested more than {_DEEPEST} deep.")
        self.name = name
        self._data = memoryview(data)
        self._depth = depth
        # By tag, so that a field of the wrong kind is found by its absence: pairs of numbers,
        # which are a varint and 0, or where the field's bytes begin and end. Arrays, because
        # a hostile message of two-byte fields would cost a hundred times its size as objects.
        self._fields: dict[int, array[int]] = {}
        self._find()

    def _find(self) -> None:
        data, at, end = self._data, 0, len(self._data)
        room = _MOST_FIELDS + end // 16
        while at < end:
            tag, at = read_varint(data, at, end, self.name)
            kind = tag & 7
            if not 0 < tag >> 3 < 1 << 29:
                raise FormatError(f"{self.name} is not sound: there is no field {tag >> 3}.")
            if kind == _VARINT:
                value, at = read_varint(data, at, end, self.name)
                pair = (value, 0)
            else:
                if kind == _BYTES:
                    size, at = read_varint(data, at, end, self.name)
                elif kind in _KINDS:
                    size = 8 if kind == _FIXED64 else 4
                else:
                    raise FormatError(
                        f"{self.name} is not sound: field {tag >> 3} is of kind {kind}, "
                        f"expected one of {sorted(_KINDS)}."
                    )
                if size > end - at:
                    raise FormatError(
                        f"{self.name} is not sound: field {tag >> 3} says that it has {size:,} "
                        f"bytes, where {end - at:,} are left."
                    )
                pair = (at, at + size)
                at += size
            found = self._fields.get(tag)
            if found is None:
                found = self._fields[tag] = array("Q")
            found.extend(pair)
            room -= 1
            if room < 0:
                raise FormatError(f"{self.name} is refused: it has too many fields for its size.")

    def _all(self, number: int, kind: int) -> array[int]:
        found = self._fields.get(number << 3 | kind)
        if found is not None:
            return found
        for other, what in _KINDS.items():
            if number << 3 | other in self._fields:
                raise FormatError(
                    f"{self.name} is not sound: field {number} should be {_KINDS[kind]} "
                    f"and is {what}."
                )
        return _NOTHING

    def has(self, number: int) -> bool:
        """Return whether the field is there, of whatever kind."""
        return any(number << 3 | kind in self._fields for kind in _KINDS)

    def integer(self, number: int, default: int = 0) -> int:
        """Return a number as int32, int64, enum and bool are stored: with its sign."""
        found = self._all(number, _VARINT)
        if not found:
            return default
        return _signed(found[-2])

    def integers(self, number: int) -> list[int]:
        """Return a repeated number, packed or not."""
        if number << 3 | _BYTES in self._fields:
            return [int(v) for blob in self.blobs(number) for v in _packed(blob, self.name)]
        return [_signed(value) for value in self._all(number, _VARINT)[::2]]

    def fixed32(self, number: int, default: int = 0) -> int:
        """Return four bytes as an unsigned number."""
        found = self._all(number, _FIXED32)
        return int.from_bytes(self._data[found[-2] : found[-1]], "little") if found else default

    def real(self, number: int, default: float = 0.0) -> float:
        """Return four bytes as a float."""
        return (
            float(struct.unpack("<f", self.fixed32(number).to_bytes(4, "little"))[0])
            if (self._all(number, _FIXED32))
            else default
        )

    def blobs(self, number: int) -> Iterator[memoryview]:
        """Yield a repeated field's bytes, not copied."""
        found = self._all(number, _BYTES)
        for k in range(0, len(found), 2):
            yield self._data[found[k] : found[k + 1]]

    def blob(self, number: int) -> memoryview | None:
        """Return a field's bytes, not copied, or None where there is no such field.

        Raises:
            FormatError: it is there more than once.
        """
        found = self._all(number, _BYTES)
        if len(found) > 2:
            raise FormatError(f"{self.name} is not sound: it has field {number} more than once.")
        return self._data[found[0] : found[1]] if found else None

    def text(self, number: int, default: str = "") -> str:
        """Return a field's text."""
        blob = self.blob(number)
        return default if blob is None else _text(blob, number, self.name)

    def texts(self, number: int) -> Iterator[str]:
        """Yield a repeated field's texts."""
        return (_text(blob, number, self.name) for blob in self.blobs(number))

    def message(self, number: int, name: str | None = None) -> Message | None:
        """Return the message in a field, or None where there is no such field.

        Args:
            number: the field's.
            name: what it is, for errors; this message's name if None.
        """
        blob = self.blob(number)
        return None if blob is None else Message(blob, name or self.name, self._depth + 1)

    def messages(self, number: int, name: str | None = None) -> Iterator[Message]:
        """Yield a repeated field's messages."""
        for blob in self.blobs(number):
            yield Message(blob, name or self.name, self._depth + 1)

    def count(self, number: int) -> int:
        """Return how many times the field is there, as bytes or messages."""
        return len(self._all(number, _BYTES)) // 2


_NOTHING: array[int] = array("Q")


def _signed(value: int) -> int:
    return value - _WORD if value >> 63 else value


def _text(blob: memoryview, number: int, name: str) -> str:
    try:
        return str(blob, "utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{name} is not sound: field {number} should be text and is no UTF-8 ({error.reason})."
        ) from None


def _packed(blob: memoryview, name: str) -> Iterator[int]:
    for piece in packed_varints(blob, name):
        yield from piece.view(np.int64).tolist()


def packed_varints(data: memoryview, name: str) -> Iterator[np.ndarray[Any, np.dtype[np.uint64]]]:
    """Yield the numbers that follow each other in `data`, some at a time.

    Raises:
        FormatError: the last one is cut off, or one is longer than 64 bits.
    """
    whole = np.frombuffer(data, np.uint8)
    at = 0
    while at < whole.size:
        piece = whole[at : at + _PIECE]
        ends = np.flatnonzero(piece < 0x80)
        if not ends.size:
            wrong = "is longer than 64 bits" if piece.size >= 10 else "is cut off"
            raise FormatError(f"{name} is not sound: the number at byte {at} {wrong}.")
        starts = np.concatenate(([0], ends[:-1] + 1))
        lengths = ends - starts + 1
        if lengths.max() > 10 or (piece[ends[lengths == 10]] > 1).any():
            raise FormatError(f"{name} is not sound: a number is longer than 64 bits.")
        values = np.zeros(ends.size, np.uint64)
        for k in range(int(lengths.max())):
            longer = np.flatnonzero(lengths > k)
            values[longer] |= (piece[starts[longer] + k] & np.uint8(0x7F)).astype(
                np.uint64
            ) << np.uint64(7 * k)
        yield values
        at += int(ends[-1]) + 1


def leading_varints(
    data: memoryview, count: int, name: str
) -> tuple[np.ndarray[Any, np.dtype[np.uint64]], int]:
    """Return the `count` numbers that `data` begins with, and where they end.

    Raises:
        FormatError: there are not so many, or one is longer than 64 bits.
    """
    whole = np.frombuffer(data, np.uint8)
    ends = np.zeros(0, np.int64)
    seen = 0
    # The bytes after the last number are none: look no further.
    while ends.size < count and seen < whole.size:
        step = max(count - ends.size, 4096)
        piece = np.flatnonzero(whole[seen : seen + step] < 0x80) + seen
        ends = np.concatenate((ends, piece))[:count]
        seen += step
    if ends.size < count:
        raise FormatError(f"{name} is not sound: it ends after {ends.size:,} of {count:,} numbers.")
    at = int(ends[-1]) + 1 if count else 0
    numbers = [*packed_varints(data[:at], name)]
    return np.concatenate(numbers) if numbers else np.zeros(0, np.uint64), at


def varint(value: int) -> bytes:
    """Return a number as it is stored; a negative one as its two's complement in 64 bits."""
    value %= _WORD
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer_field(number: int, value: int) -> bytes:
    """Return a field that holds a number; nothing where it is 0, as everyone writes it."""
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field that holds bytes, text or a message."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    """Return a field that holds text; nothing where it is empty."""
    return bytes_field(number, value.encode()) if value else b""


def fixed32_field(number: int, value: int) -> bytes:
    """Return a field that holds four bytes."""
    return varint(number << 3 | _FIXED32) + value.to_bytes(4, "little")


def join(fields: Iterable[bytes]) -> bytes:
    """Return a message of these fields, in this order."""
    return b"".join(fields)
