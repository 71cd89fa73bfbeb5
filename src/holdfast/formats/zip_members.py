"""Members of a zip, each a region of bytes.

Owns which zips are read at all, and how a member is unpacked. Leaves what members mean to the
codecs.

Nothing is ever extracted by the names in the zip: a codec asks for a member, and has its bytes. One
that is stored as it is, as Keras does, is a part of the file and not read until asked for.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from holdfast.errors import FormatError
from holdfast.formats.guard import Budget
from holdfast.formats.region import Region

_END, _END_SIZE, _LONGEST_COMMENT = b"PK\5\6", 22, 65535
_END64, _LOCATOR64, _LOCATOR64_SIZE = b"PK\6\6", b"PK\6\7", 20
_LONGEST_INDEX = 2 << 20
_LOCAL = b"PK\3\4"
_ENCRYPTED = 1
_PIECE = 1 << 16
# What zipfile raises for zips that are not sound.
_ERRORS: Final = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
    struct.error,
    OverflowError,
)


class ZipMembers:
    """The members of a zip, by name.

    Args:
        region: the bytes of the zip.
        budget: of the zip this one is in; None for its own.

    Attributes:
        region: the bytes of the zip.
        budget: what else may be taken for it, and for what is in it.
        title: of the zip, for messages.
        names: of the members, with `/` on every system; directories are left out.

    Raises:
        FormatError: it is no sound zip, or has a member that would reach outside a directory, that
            is a link, or that is there twice.
    """

    def __init__(self, region: Region, budget: Budget | None = None) -> None:
        self.region, self.title = region, region.name
        _check_index(region)
        try:
            with zipfile.ZipFile(_Window(region)) as archive:
                found = archive.infolist()
        except _ERRORS as error:
            raise FormatError(f"{region.name}: it is no sound zip ({error})") from error
        self.budget = budget or Budget.of(region)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in found:
            self._add(member)

    @property
    def names(self) -> list[str]:
        """The names of the members."""
        return list(self._members)

    def budget_of(self, region: Region) -> Budget:
        """Return the budget of a member: the zip's, whatever the member unpacks to."""
        return self.budget

    def open(self, name: str) -> Region:
        """Return the bytes of a member.

        Raises:
            FormatError: there is none, or it is damaged, or unpacks to more than it may.
        """
        where = f"{self.region.name}: {name}"
        if name not in self._members:
            raise FormatError(f"{self.region.name}: expected a member {name!r}, found none")
        member = self._members[name]
        if member.flag_bits & _ENCRYPTED:
            raise FormatError(f"{where} is encrypted: unpack the zip, and give what is in it")
        packed = self._packed(member, where)
        if member.compress_type == zipfile.ZIP_STORED:
            if member.file_size != member.compress_size:
                raise FormatError(f"{where} is stored, and claims another size than it has")
            return packed
        if member.compress_type != zipfile.ZIP_DEFLATED:
            raise FormatError(
                f"{where} is packed by the method {member.compress_type}: pack the zip again with "
                "deflate, or unpack it"
            )
        self.budget.spend(member.file_size)
        data = _inflated(packed, member.file_size, where)
        if zlib.crc32(data) != member.CRC:
            raise FormatError(f"{where} is damaged: its CRC is not what it should be")
        return Region(where, memoryview(data), 0, len(data))

    def read(self, name: str) -> bytes:
        """Return the bytes of a small member. See `open`; its sum is checked too."""
        region = self.open(name)
        self.budget.spend(2 * region.size)
        data = region.read(0, region.size)
        if zlib.crc32(data) != self._members[name].CRC:
            raise FormatError(f"{region.name} is damaged: its CRC is not what it should be")
        return data

    def _add(self, member: zipfile.ZipInfo) -> None:
        name = member.filename.replace("\\", "/")
        where = f"{self.region.name}: the member {member.filename[:80]!r}"
        parts = name.rstrip("/").split("/")
        drive = len(parts[0]) == 2 and parts[0][1] == ":"
        if not parts[0] or drive or any(part in ("", ".", "..") for part in parts):
            raise FormatError(f"{where} would lie outside the directory it is unpacked to")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise FormatError(f"{where} is no file but a link or a device")
        if name in self._members:
            raise FormatError(f"{where} is there twice")
        if not name.endswith("/"):
            self._members[name] = member

    def _packed(self, member: zipfile.ZipInfo, where: str) -> Region:
        """Return a member's bytes as they are in the file."""
        head = self.region.read(member.header_offset, 30)
        name_size, extra_size = struct.unpack_from("<HH", head, 26)
        if head[:4] != _LOCAL:
            raise FormatError(f"{where} is damaged: it does not begin where it should")
        begin = member.header_offset + 30 + name_size + extra_size
        return self.region.within(begin, member.compress_size, where)


class _Window(io.RawIOBase):
    """A region as a file that can only be read."""

    def __init__(self, region: Region, budget: Budget | None = None) -> None:
        self._region, self._at = region, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._region.size}[whence]
        if start + offset < 0:
            raise OSError("a place before the beginning")
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._region.size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        data = self._region.read(self._at, count) if count else b""
        self._at += count
        return data


def _check_index(region: Region) -> None:
    """Refuse a zip with so long an index that it alone would fill the memory.

    Raises:
        FormatError: it is too long, or not there.
    """
    size = min(region.size, _END_SIZE + _LONGEST_COMMENT)
    tail = region.read(region.size - size, size)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise FormatError(f"{region.name}: the index at its end is missing: it was cut short")
    (length,) = struct.unpack_from("<I", tail, at + 12)
    locator = tail[max(0, at - _LOCATOR64_SIZE) : at]
    if locator[:4] == _LOCATOR64 and len(locator) == _LOCATOR64_SIZE:
        (place,) = struct.unpack_from("<Q", locator, 8)
        record = region.read(place, 56)
        length = struct.unpack_from("<Q", record, 40)[0] if record[:4] == _END64 else 0
    if length > _LONGEST_INDEX:
        raise FormatError(
            f"{region.name}: an index of {length} bytes, where a model has at most {_LONGEST_INDEX}"
        )


def _inflated(packed: Region, size: int, where: str) -> bytearray:
    """Return what deflate has packed, which must be `size` bytes."""
    stream, out = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    try:
        for piece in _pieces(packed):
            out += stream.decompress(piece, size + 1 - len(out))
            if stream.eof or len(out) > size:
                break
    except zlib.error as error:
        raise FormatError(f"{where} is damaged: it cannot be unpacked ({error})") from error
    if len(out) != size:
        raise FormatError(f"{where} claims {size} bytes, and unpacks to another number of them")
    return out


def _pieces(region: Region) -> Iterator[bytes]:
    for at in range(0, region.size, _PIECE):
        yield region.read(at, min(_PIECE, region.size - at))
