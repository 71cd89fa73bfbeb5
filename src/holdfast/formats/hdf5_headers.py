"""The headers of an HDF5 file's objects: messages, old and new.

Owns how messages lie in the file and how much of it may be read. Leaves what they say to
`hdf5_tree`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from holdfast.errors import FormatError
from holdfast.formats.guard import Budget
from holdfast.formats.region import Region

_MORE = 0x10
_MOST_MESSAGES = 100_000


class Message(NamedTuple):
    """A part of an object's header.

    Attributes:
        kind: what it is about.
        shared: whether it only says where the message is.
        body: its bytes.
    """

    kind: int
    shared: bool
    body: bytes


class Structure:
    """What a file has besides the elements of datasets.

    Args:
        region: the file.
        budget: of the file.
    """

    def __init__(self, region: Region, budget: Budget) -> None:
        self.budget = budget
        self._region = region

    def wrong(self, what: str) -> FormatError:
        """Return the error that says what is wrong with the file."""
        return FormatError(f"{self._region.name}: {what}")

    def take(self, at: int, count: int) -> bytes:
        """Return bytes of structure, and count them."""
        self.budget.spend(count)
        return self._region.read(at, count)

    def decoded(self, text: bytes, where: str) -> str:
        """Return a name as text."""
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise self.wrong(f"{where} is damaged: a name in it is no text") from error

    def messages(self, address: int, where: str) -> list[Message]:
        """Return the messages of the header at an address.

        Raises:
            FormatError: there is no header, or it is damaged.
        """
        start = self.take(address, 4)
        if start == b"OHDR":
            return list(self._new_messages(address, where))
        if start[0] != 1:
            raise self.wrong(f"{where} is damaged: there is no object at {address}")
        (size,) = struct.unpack("<I", self.take(address + 8, 4))
        blocks, found = [(address + 16, int(size))], []
        while blocks:
            at, size = blocks.pop(0)
            data, place = self.take(at, size), 0
            while place + 8 <= len(data):
                kind, length, flags = struct.unpack_from("<HHB", data, place)
                body = data[place + 8 : place + 8 + length]
                if len(body) != length:
                    raise self.wrong(f"{where} is damaged: its header is cut short")
                place += 8 + length
                if kind == _MORE:
                    blocks.append(struct.unpack_from("<QQ", body))
                else:
                    found.append(Message(kind, bool(flags & 2), body))
            self._check_count(len(found), where)
        return found

    def _new_messages(self, address: int, where: str) -> Iterator[Message]:
        version, flags = self.take(address + 4, 2)
        if version != 2:
            raise self.wrong(f"{where} has a header of version {version}")
        at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self.take(at, width), "little")
        blocks, count = [(at + width, size)], 0
        ordered = 2 if flags & 4 else 0
        while blocks:
            at, size = blocks.pop(0)
            data, place = self.take(at, size), 0
            while place + 4 + ordered <= len(data):
                kind, length, bits = struct.unpack_from("<BHB", data, place)
                place += 4 + ordered
                body = data[place : place + length]
                if len(body) != length:
                    raise self.wrong(f"{where} is damaged: its header is cut short")
                place += length
                if kind == _MORE:
                    begin, size = struct.unpack_from("<QQ", body)
                    if size < 8 or self.take(begin, 4) != b"OCHK":
                        raise self.wrong(f"{where} is damaged: its header does not go on")
                    blocks.append((begin + 4, size - 8))
                else:
                    count += 1
                    yield Message(kind, bool(bits & 2), body)
            self._check_count(count, where)

    def _check_count(self, count: int, where: str) -> None:
        if count > _MOST_MESSAGES:
            raise self.wrong(f"{where} has a header of more than {_MOST_MESSAGES} messages")
