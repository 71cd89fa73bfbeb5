"""The inside of an HDF5 file: groups, attributes, datasets and where their bytes are.

Owns the file's structure, as far as Keras and h5py use it. Leaves headers to `hdf5_headers`,
elements to `hdf5_arrays`, and what groups and attributes mean to `hdf5`.

This is not left to the HDF5 library, which h5py is made of: given damaged files it crashes, never
returns, or takes gigabytes, and a process cannot guard itself against its own crash. What is here
reads what such a file may hold and nothing else, each byte about once: links to other places and
files are refused, as is a group that is found a second time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.errors import FormatError
from holdfast.formats.guard import DEEPEST_TREE, OBJECT, Budget
from holdfast.formats.hdf5_headers import Message, Structure
from holdfast.formats.hdf5_types import Elements, read_elements, read_shape
from holdfast.formats.region import Region

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = 2**64 - 1
"""The address of what was never written."""

_NEW_TOOL = "write it again with h5py's default settings (no libver, no track_order), or h5repack"
# What a message of an object's header is about.
_SHAPE, _LINKS, _TYPE, _LINK, _EXTERNAL = 0x01, 0x02, 0x03, 0x06, 0x07
_LAYOUT, _FILTERS, _ATTRIBUTE, _TABLE, _ATTRIBUTES = 0x08, 0x0B, 0x0C, 0x11, 0x15
_HARD, _OUTSIDE = 0, 64


@dataclass(frozen=True)
class Attribute:
    """What is said about a group or a dataset.

    Args:
        name: of the attribute.
        elements: their type.
        shape: how many; None where there are none at all.
        data: their bytes; of long texts, where they are.
    """

    name: str
    elements: Elements
    shape: tuple[int, ...] | None
    data: bytes


@dataclass(frozen=True)
class Dataset:
    """An array, and where its bytes are.

    Args:
        path: of the names down to it, with `/` between.
        elements: their type.
        shape: its dimensions.
        layout: the message that says where the bytes are.
        filters: the message that says how they are packed, or empty.
        attributes: by name.
    """

    path: str
    elements: Elements
    shape: tuple[int, ...]
    layout: bytes
    filters: bytes
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class Group:
    """Datasets and groups by name.

    Args:
        path: of the names down to it, with `/` between; empty for the root.
        attributes: by name.
        members: in the order of their names.
    """

    path: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    members: dict[str, Group | Dataset] = field(default_factory=dict)

    def at(self, path: str) -> Group | Dataset | None:
        """Return what is at a path below, or None."""
        found: Group | Dataset | None = self
        for part in path.split("/"):
            if not part:
                continue
            found = found.members.get(part) if isinstance(found, Group) else None
        return found

    def datasets(self) -> Iterator[Dataset]:
        """Yield each dataset below."""
        for member in self.members.values():
            if isinstance(member, Dataset):
                yield member
            else:
                yield from member.datasets()


class Tree:
    """All groups of a file, its attributes and where its datasets are.

    Args:
        region: the file's bytes.
        budget: of the file, or of the zip it is in; None for its own.

    Attributes:
        region: the file's bytes.
        budget: what else may be taken for it.
        root: the group that has all else.

    Raises:
        FormatError: the file is damaged, reaches outside itself, or is laid out as neither Keras
            nor h5py does.
    """

    def __init__(self, region: Region, budget: Budget | None = None) -> None:
        self.region = region
        self.budget = budget or Budget.of(region)
        self._structure = Structure(region, self.budget)
        self._heaps: dict[int, dict[int, bytes]] = {}
        self._seen: set[int] = set()
        try:
            root = self._object(self._root_address(), "", 0)
        except (struct.error, IndexError) as error:
            raise self.wrong("a part of its structure is cut short") from error
        if not isinstance(root, Group):
            raise self.wrong("its root is no group")
        self.root = root

    def wrong(self, what: str) -> FormatError:
        """Return the error that says what is wrong with the file."""
        return self._structure.wrong(what)

    def take(self, at: int, count: int) -> bytes:
        """Return bytes of structure, and count them."""
        return self._structure.take(at, count)

    def decoded(self, text: bytes, where: str) -> str:
        """Return a name as text."""
        return self._structure.decoded(text, where)

    def texts(self, attribute: Attribute) -> list[bytes]:
        """Return an attribute's texts, of however many dimensions, one after the other.

        Raises:
            FormatError: it holds no texts, or they are damaged.
        """
        size, data = attribute.elements.size, attribute.data
        count = len(data) // size
        if attribute.shape is None or not count:
            return []
        parts = [data[size * place : size * (place + 1)] for place in range(count)]
        if attribute.elements.kind == "text":
            return [part.rstrip(b"\0") for part in parts]
        if attribute.elements.kind == "long text":
            return [self._long_text(part) for part in parts]
        raise self.wrong(f"the attribute {attribute.name!r} should be text")

    def _root_address(self) -> int:
        head = self.take(0, min(96, self.region.size))
        if head[:8] != SIGNATURE:
            raise self.wrong("it does not begin as HDF5 does")
        version = head[8]
        if version in (0, 1):
            sizes, more = head[13:15], 4 * version
            base, _, end, _, _, root = struct.unpack_from("<6Q", head, 24 + more)
        elif version in (2, 3):
            sizes = head[9:11]
            base, _, end, root = struct.unpack_from("<4Q", head, 12)
        else:
            raise self.wrong(f"HDF5 of version {version}, which is not known here; {_NEW_TOOL}")
        if sizes != b"\x08\x08" or base:
            raise self.wrong("its addresses are not of 8 bytes from the file's beginning")
        if end > self.region.size:
            raise self.wrong(
                f"it was cut short: {self.region.size} bytes are left of the {end} it had"
            )
        return int(root)

    def _object(self, address: int, path: str, depth: int) -> Group | Dataset:
        where = f"/{path}"
        if address in self._seen:
            raise self.wrong(f"{where} is there under another name too, which is refused")
        if depth > DEEPEST_TREE:
            raise self.wrong(f"{where} is more than {DEEPEST_TREE} groups deep")
        self._seen.add(address)
        self.budget.spend(OBJECT)
        messages = self._structure.messages(address, where)
        attributes = dict(self._attributes(messages, where))
        found = {message.kind: message for message in messages}
        if _LAYOUT in found:
            return self._dataset(found, path, attributes)
        links = [*self._table_links(found, where), *self._new_links(messages, where)]
        members: dict[str, Group | Dataset] = {}
        for name, place in links:
            if not name or "/" in name or name in (".", "..") or name in members:
                raise self.wrong(f"{where} has a member by the name {name[:80]!r}, or has it twice")
            members[name] = self._object(place, f"{path}/{name}" if path else name, depth + 1)
        return Group(path, attributes, members)

    def _dataset(
        self, found: dict[int, Message], path: str, attributes: dict[str, Attribute]
    ) -> Dataset:
        where = f"{self.region.name}: /{path}"
        if _EXTERNAL in found:
            raise FormatError(f"{where} has its bytes in another file, which is refused")
        if _SHAPE not in found or _TYPE not in found:
            raise FormatError(f"{where} has no type or no shape")
        if any(found[kind].shared for kind in (_SHAPE, _TYPE, _LAYOUT)):
            raise FormatError(f"{where} has a named type; {_NEW_TOOL}")
        shape = read_shape(found[_SHAPE].body, where)
        if shape is None:
            raise FormatError(f"{where} is a dataset with no elements at all")
        filters = found[_FILTERS].body if _FILTERS in found else b""
        elements = read_elements(found[_TYPE].body, where)
        return Dataset(path, elements, shape, found[_LAYOUT].body, filters, attributes)

    # ---- members of groups

    def _table_links(self, found: dict[int, Message], where: str) -> Iterator[tuple[str, int]]:
        """Yield the links of a group as HDF5 has kept them from the beginning."""
        if _TABLE not in found:
            return
        tree, heap = struct.unpack_from("<QQ", found[_TABLE].body)
        head = self.take(heap, 32)
        if head[:4] != b"HEAP":
            raise self.wrong(f"{where} is damaged: the names of its members are not there")
        size, _, begin = struct.unpack_from("<3Q", head, 8)
        names = self.take(begin, size)
        nodes, seen = [tree], set()
        while nodes:
            address = nodes.pop()
            if address in seen:
                raise self.wrong(f"{where} is damaged: its index goes in a circle")
            seen.add(address)
            head = self.take(address, 8)
            if head[:4] == b"SNOD":
                (count,) = struct.unpack_from("<H", head, 6)
                data = self.take(address + 8, 40 * count)
                for place in range(0, len(data), 40):
                    yield self._table_link(data, place, names, where)
            elif head[:4] == b"TREE" and head[4] == 0:
                (count,) = struct.unpack_from("<H", head, 6)
                data = self.take(address + 24, 16 * count + 8)
                children = [struct.unpack_from("<Q", data, 8 + 16 * n)[0] for n in range(count)]
                nodes.extend(reversed(children))
            else:
                raise self.wrong(f"{where} is damaged: its index is not there")

    def _table_link(self, data: bytes, place: int, names: bytes, where: str) -> tuple[str, int]:
        begin, address, cached = struct.unpack_from("<QQI", data, place)
        end = names.find(b"\0", begin)
        if begin >= len(names) or end < 0:
            raise self.wrong(f"{where} is damaged: a member has no name")
        name = self.decoded(names[begin:end], where)
        if cached == 2 or address == NOWHERE:
            raise self._refused_link(name, where)
        return name, address

    def _new_links(self, messages: list[Message], where: str) -> Iterator[tuple[str, int]]:
        """Yield the links of a group as newer HDF5 keeps the few of a small one."""
        for message in messages:
            if message.kind == _LINKS:
                ordered = 8 if message.body[1] & 1 else 0
                (heap,) = struct.unpack_from("<Q", message.body, 2 + ordered)
                if heap != NOWHERE:
                    raise self.wrong(f"{where} lists its many members in a newer way; {_NEW_TOOL}")
            elif message.kind == _LINK:
                yield self._new_link(message.body, where)

    def _new_link(self, body: bytes, where: str) -> tuple[str, int]:
        flags, at = body[1], 2
        kind = body[at] if flags & 8 else _HARD
        at += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(body[at : at + width], "little")
        at += width
        name = self.decoded(body[at : at + length], where)
        if kind != _HARD:
            raise self._refused_link(name, where, "another file" if kind == _OUTSIDE else "")
        return name, struct.unpack_from("<Q", body, at + length)[0]

    def _refused_link(self, name: str, where: str, to: str = "") -> FormatError:
        return self.wrong(
            f"{where} has {name!r} as a link to {to or 'another place'}, which is refused: "
            "copy what it stands for into the file"
        )

    # ---- attributes

    def _attributes(self, messages: list[Message], where: str) -> Iterator[tuple[str, Attribute]]:
        for message in messages:
            if message.kind == _ATTRIBUTES:
                (heap,) = struct.unpack_from("<Q", message.body, 4 if message.body[1] & 1 else 2)
                if heap != NOWHERE:
                    raise self.wrong(f"{where} lists its attributes in a newer way; {_NEW_TOOL}")
            elif message.kind == _ATTRIBUTE:
                if message.shared:
                    raise self.wrong(f"{where} shares an attribute; {_NEW_TOOL}")
                self.budget.spend(OBJECT)
                attribute = self._attribute(message.body, where)
                yield attribute.name, attribute

    def _attribute(self, body: bytes, where: str) -> Attribute:
        version, flags = body[0], body[1]
        lengths = struct.unpack_from("<3H", body, 2)
        if version not in (1, 2, 3) or (version > 1 and flags):
            raise self.wrong(f"{where} has an attribute of version {version} with flags {flags}")
        at, parts = (9 if version == 3 else 8), []
        for length in lengths:
            parts.append(body[at : at + length])
            at += length + (-length % 8 if version == 1 else 0)
        name = self.decoded(parts[0].split(b"\0")[0], where)
        inside = f"{self.region.name}: the attribute {name!r} of {where}"
        elements, shape = read_elements(parts[1], inside), read_shape(parts[2], inside)
        size = 0 if shape is None else elements.size
        for length in shape or ():
            size *= length
        data = body[at : at + size]
        if len(data) != size:
            raise FormatError(f"{inside} is cut short: {size} bytes are expected")
        return Attribute(name, elements, shape, data)

    def _long_text(self, reference: bytes) -> bytes:
        """Return a text that lies in one of the file's heaps."""
        length, address, number = struct.unpack("<IQI", reference)
        if not length:
            return b""
        if address not in self._heaps:
            try:
                self._heaps[address] = dict(self._heap(address))
            except struct.error as error:
                raise self.wrong("a text is damaged: its heap is cut short") from error
        text = self._heaps[address].get(number)
        if text is None or len(text) < length:
            raise self.wrong("a text is damaged: it is not where it should be")
        self.budget.spend(length)
        return text[:length].rstrip(b"\0")

    def _heap(self, address: int) -> Iterator[tuple[int, bytes]]:
        head = self.take(address, 16)
        (size,) = struct.unpack_from("<Q", head, 8)
        if head[:4] != b"GCOL" or size < 16:
            raise self.wrong("a text is damaged: it is in no heap")
        data, at = self.take(address, size), 16
        while at + 16 <= len(data):
            number, _, length = struct.unpack_from("<HH4xQ", data, at)
            if not number:
                return
            text = data[at + 16 : at + 16 + length]
            if len(text) != length:
                raise self.wrong("a text is damaged: it is cut short")
            yield number, text
            at += 16 + length + -length % 8
