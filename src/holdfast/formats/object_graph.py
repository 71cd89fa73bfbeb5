"""The graph of objects in a TensorFlow checkpoint: which object holds which tensor.

Owns TrackableObjectGraph, read and written, and the keys under which TensorFlow would keep a
graph's tensors. Leaves the tensors to `bundle`.

Keys follow from how TensorFlow happened to walk the objects: readers follow the edges and take
the key that an object says, and never take a key apart. The graph has cycles, and objects with
several names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.wire import Buffer, Message, bytes_field, integer_field, join, text_field

VALUE = "VARIABLE_VALUE"
"""The name of the attribute that is a variable's value."""

_MOST_PARTS = 100_000
_DEEPEST = 64
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something that an object saved.

    Args:
        key: of the tensor in the checkpoint.
        full_name: of a variable, as the program called it.
    """

    key: str
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """A variable that an optimizer keeps for another one.

    Args:
        original: the node of the variable it is for.
        name: `m`, `v`, `momentum`.
        node: its own.
    """

    original: int
    name: str
    node: int


@dataclass(frozen=True, slots=True)
class Node:
    """An object.

    Args:
        children: by the name of the edge, the number of the node.
        attributes: what it saved, by the attribute's name; `VALUE` of a variable.
        slots: of an optimizer.
    """

    children: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: _NOTHING)
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectGraph:
    """Objects by their number; 0 is the root."""

    nodes: tuple[Node, ...]

    def walk(self, start: int = 0) -> Iterator[tuple[tuple[str, ...], int]]:
        """Yield each node that can be reached, once, with the first shortest path to it.

        Raises:
            FormatError: a path is longer than that of any real object.
        """
        seen = {start}
        waiting: deque[tuple[tuple[str, ...], int]] = deque([((), start)])
        while waiting:
            path, number = waiting.popleft()
            yield path, number
            for name, child in self.nodes[number].children.items():
                if child in seen:
                    continue
                if len(path) == _DEEPEST:
                    raise FormatError(
                        f"The object graph is refused: its objects are nested more than {_DEEPEST} "
                        f"deep, at {'/'.join(path)[:80]!r}."
                    )
                seen.add(child)
                waiting.append(((*path, name), child))

    def find(self, path: Iterable[str], start: int = 0) -> int | None:
        """Return the node at the end of a path of edges, or None."""
        number: int | None = start
        for name in path:
            if number is None:
                return None
            number = self.nodes[number].children.get(name)
        return number


def decode(data: Buffer, name: str) -> ObjectGraph:
    """Return the graph that a checkpoint holds.

    Args:
        data: the string under `bundle.OBJECT_GRAPH`.
        name: the checkpoint's, for errors.

    Raises:
        FormatError: it is no graph, or names a node that it does not have.
    """
    name = f"{name}: the object graph"
    graph = Message(data, name)
    count = graph.count(1)
    # Objects cost a multiple of the bytes they come from, and the smallest come from two.
    room = _MOST_PARTS + len(data) // 16 - count
    if room < 0:
        raise FormatError(f"{name} is refused: it has too many objects for its size.")
    nodes = []
    for message in graph.messages(1):
        room -= message.count(1) + message.count(2) + message.count(3)
        if room < 0:
            raise FormatError(f"{name} is refused: it has too many objects for its size.")
        nodes.append(_node(message, count, name))
    if not nodes:
        raise FormatError(f"{name} is not sound: it has no objects.")
    return ObjectGraph(tuple(nodes))


def _node(message: Message, count: int, name: str) -> Node:
    children: dict[str, int] = {}
    for child in message.messages(1):
        edge = child.text(2)
        if edge in children:
            raise FormatError(f"{name} is not sound: an object has {edge!r} twice.")
        children[edge] = _number(child.integer(1), count, name)
    attributes: dict[str, Attribute] = {}
    for attribute in message.messages(2):
        kind = attribute.text(1)
        if kind in attributes:
            raise FormatError(f"{name} is not sound: an object has {kind!r} twice.")
        attributes[kind] = Attribute(attribute.text(3), attribute.text(2))
    slots = tuple(
        Slot(
            _number(slot.integer(1), count, name),
            slot.text(2),
            _number(slot.integer(3), count, name),
        )
        for slot in message.messages(3)
    )
    return Node(children or _NOTHING, attributes or _NOTHING, slots)


def _number(number: int, count: int, name: str) -> int:
    if not 0 <= number < count:
        raise FormatError(
            f"{name} is not sound: it says object {number}, and there are {count:,} objects."
        )
    return number


def encode(graph: ObjectGraph) -> bytes:
    """Return a graph as a checkpoint holds it."""
    return join(bytes_field(1, _encoded(node)) for node in graph.nodes)


def _encoded(node: Node) -> bytes:
    fields = [
        bytes_field(1, integer_field(1, number) + text_field(2, name))
        for name, number in node.children.items()
    ]
    fields += [
        bytes_field(
            2, text_field(1, name) + text_field(2, saved.full_name) + text_field(3, saved.key)
        )
        for name, saved in node.attributes.items()
    ]
    fields += [
        bytes_field(
            3,
            integer_field(1, slot.original)
            + text_field(2, slot.name)
            + integer_field(3, slot.node),
        )
        for slot in node.slots
    ]
    # Whether anything below it holds a tensor: TensorFlow 2.4 and later asks.
    fields.append(bytes_field(5, integer_field(1, 1)))
    return join(fields)


def checkpoint_key(path: Iterable[str], attribute: str = VALUE) -> str:
    """Return the key under which TensorFlow keeps what the object at `path` saved."""
    return "/".join([*map(_escaped, path), ".ATTRIBUTES", _escaped(attribute)])


def slot_key(variable: Iterable[str], optimizer: Iterable[str], slot: str) -> str:
    """Return the key under which TensorFlow keeps an optimizer's slot for a variable."""
    path = [*map(_escaped, variable), ".OPTIMIZER_SLOT", *map(_escaped, optimizer), _escaped(slot)]
    return "/".join([*path, ".ATTRIBUTES", VALUE])


def _escaped(name: str) -> str:
    return name.replace(".", "..").replace("/", ".S")


class GraphBuilder:
    """A graph to write, made from the paths of variables.

    Slots come last, when both the variables and the optimizer have their paths.
    """

    def __init__(self) -> None:
        self._children: list[dict[str, int]] = [{}]
        self._attributes: list[dict[str, Attribute]] = [{}]
        self._slots: list[list[Slot]] = [[]]

    def variable(self, path: Iterable[str], full_name: str = "") -> str:
        """Add a variable at a path, and what is on the way; return its key."""
        path = tuple(path)
        key = checkpoint_key(path)
        self._attributes[self.node(path)][VALUE] = Attribute(key, full_name)
        return key

    def slot(
        self, variable: Iterable[str], optimizer: Iterable[str], name: str, full_name: str = ""
    ) -> str:
        """Add an optimizer's slot for a variable; return its key."""
        variable, optimizer = tuple(variable), tuple(optimizer)
        key = slot_key(variable, optimizer, name)
        number = self._new()
        self._attributes[number][VALUE] = Attribute(key, full_name)
        self._slots[self.node(optimizer)].append(Slot(self.node(variable), name, number))
        return key

    def alias(self, path: Iterable[str], target: Iterable[str]) -> None:
        """Give the object at `target` another path."""
        *way, name = path
        self._children[self.node(way)][name] = self.node(target)

    def node(self, path: Iterable[str]) -> int:
        """Return the number of the object at a path, which is added if it is not there."""
        number = 0
        for name in path:
            children = self._children[number]
            if name not in children:
                children[name] = self._new()
            number = children[name]
        return number

    def graph(self) -> ObjectGraph:
        """Return what was added so far."""
        parts = zip(self._children, self._attributes, self._slots, strict=True)
        return ObjectGraph(
            tuple(
                Node(dict(children), dict(saved), tuple(slots)) for children, saved, slots in parts
            )
        )

    def _new(self) -> int:
        self._children.append({})
        self._attributes.append({})
        self._slots.append([])
        return len(self._children) - 1
