"""A graph and its functions: GraphDef, read as far as it is asked for.

Owns the messages of a graph and that each is what it should be. Leaves which operations may be run
to `operations`, and running them to `live.served`.

    GraphDef     1 node, 2 library{1 function}
    NodeDef      1 name, 2 op, 3 input, 5 attr
    FunctionDef  1 signature{1 name, 2 input_arg{1 name}, 3 output_arg{1 name}}, 3 node_def, 4 ret

An input is `node:3` in a graph, `node:output:3` in a function, `argument` alone there, and
`^node` where it only has to come before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.graph.tensor import read_tensor
from holdfast.formats.tensor_types import read_type
from holdfast.formats.wire import Buffer, Message

_MOST_NODES = 40_000


class Attributes:
    """The attributes of an operation, each read when asked for.

    Args:
        node: the NodeDef.
        name: what it is, for errors.
    """

    __slots__ = ("_name", "_node", "_read")

    def __init__(self, node: Message, name: str) -> None:
        self._name = name
        self._node = node
        self._read: dict[str, Message] | None = None

    @property
    def _values(self) -> dict[str, Message]:
        # Of most operations nobody asks, and as objects they are large.
        if self._read is None:
            self._read = dict(self._pairs())
        return self._read

    def _pairs(self) -> Iterator[tuple[str, Message]]:
        for pair in self._node.messages(5, self._name):
            value = pair.message(2)
            if value is not None:
                yield pair.text(1), value

    def text(self, key: str, default: str = "") -> str:
        """Return a text, such as `SAME`."""
        value = self._values.get(key)
        blob = None if value is None else value.blob(2)
        return default if blob is None else bytes(blob).decode("utf-8", "replace")

    def integer(self, key: str, default: int = 0) -> int:
        """Return a number."""
        value = self._values.get(key)
        return default if value is None else value.integer(3)

    def real(self, key: str, default: float = 0.0) -> float:
        """Return a number with a point."""
        value = self._values.get(key)
        return default if value is None else value.real(4)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return whether something is so."""
        value = self._values.get(key)
        return default if value is None else bool(value.integer(5))

    def integers(self, key: str) -> list[int]:
        """Return a list of numbers."""
        value = self._values.get(key)
        listed = None if value is None else value.message(1)
        return [] if listed is None else listed.integers(3)

    def reals(self, key: str) -> list[float]:
        """Return a list of numbers with a point."""
        value = self._values.get(key)
        listed = None if value is None else value.message(1)
        blob = None if listed is None else listed.blob(4)
        if blob is None or len(blob) % 4:
            return []
        return [float(number) for number in np.frombuffer(blob, "<f4")]

    def texts(self, key: str) -> list[str]:
        """Return a list of texts."""
        value = self._values.get(key)
        listed = None if value is None else value.message(1)
        if listed is None:
            return []
        return [bytes(blob).decode("utf-8", "replace") for blob in listed.blobs(2)]

    def dtype(self, key: str, default: int = 1) -> np.dtype[Any]:
        """Return a type of elements."""
        value = self._values.get(key)
        number = default if value is None else value.integer(6)
        return read_type(number, f"{self._name}: {key}")

    def shape(self, key: str) -> tuple[int | None, ...] | None:
        """Return a shape, or None where the rank is not known."""
        value = self._values.get(key)
        return read_partial_shape(None if value is None else value.message(7), self._name)

    def tensor(self, key: str) -> NDArray[Any]:
        """Return an array.

        Raises:
            FormatError: there is none, or it is not sound.
        """
        value = self._values.get(key)
        tensor = None if value is None else value.message(8)
        if tensor is None:
            raise FormatError(f"{self._name} is not sound: it has no tensor {key!r}.")
        return read_tensor(tensor, self._name)

    def function(self, key: str) -> str:
        """Return the name of a function, or nothing."""
        value = self._values.get(key)
        called = None if value is None else value.message(10)
        return "" if called is None else called.text(1)

    def functions(self) -> Iterator[str]:
        """Yield the names of all functions that the attributes name."""
        for _, value in self._pairs():
            called = value.message(10)
            if called is not None:
                yield called.text(1)
            if value.has(1):
                listed = value.message(1)
                if listed is not None:
                    yield from (one.text(1) for one in listed.messages(9))


@dataclass(frozen=True, slots=True)
class Node:
    """An operation in its place.

    Args:
        name: unique in its graph or function.
        op: what it does, such as `MatMul`.
        inputs: of data.
        before: nodes that only have to come before.
        attributes: what it is told besides.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    before: tuple[str, ...]
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a graph.

    Args:
        name: unique among the graph's functions.
        arguments: their names, in order.
        results: which input each output is, in order.
        nodes: by name.
    """

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    nodes: Mapping[str, Node]


class Graph:
    """A graph to read.

    Args:
        data: the GraphDef.
        name: of the file, for errors.

    Raises:
        FormatError: it is not sound.
    """

    def __init__(self, data: Buffer, name: str) -> None:
        message = Message(data, name)
        self.name = name
        # As objects they cost many times their bytes.
        self._room = _MOST_NODES + len(data) // 400
        self.nodes = self._nodes(message.messages(1), name)
        self._stored: dict[str, Message] = {}
        self._functions: dict[str, Function] = {}
        library = message.message(2)
        for function in library.messages(1) if library is not None else ():
            signature = function.message(1)
            if signature is None:
                raise FormatError(f"{name} is not sound: a function of its has no name.")
            self._spend(name)
            self._stored[signature.text(1)] = function

    def function(self, key: str) -> Function:
        """Return a function.

        Raises:
            FormatError: there is none of that name, or it is not sound.
        """
        if key not in self._functions:
            if key not in self._stored:
                raise FormatError(f"{self.name} is not sound: it has no function {key!r}.")
            self._functions[key] = self._function(self._stored[key], key)
        return self._functions[key]

    def _function(self, message: Message, key: str) -> Function:
        name = f"{self.name}: {key}"
        signature = message.message(1)
        assert signature is not None
        returned = {pair.text(1): pair.text(2) for pair in message.messages(4)}
        results = []
        for result in signature.messages(3):
            source = returned.get(result.text(1))
            if source is None:
                raise FormatError(f"{name} is not sound: nothing gives {result.text(1)!r}.")
            results.append(source)
        return Function(
            name=key,
            arguments=tuple(argument.text(1) for argument in signature.messages(2)),
            results=tuple(results),
            nodes=self._nodes(message.messages(3), name),
        )

    def _nodes(self, messages: Iterable[Message], name: str) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for message in messages:
            key = message.text(1)
            if key in found:
                raise FormatError(f"{name} is not sound: it has {key!r} twice.")
            self._spend(name)
            inputs: list[str] = []
            before: list[str] = []
            for text in message.texts(3):
                (before if text.startswith("^") else inputs).append(text)
            attributes = Attributes(message, f"{name}: {key}")
            found[key] = Node(key, message.text(2), tuple(inputs), tuple(before), attributes)
        return found

    def _spend(self, name: str) -> None:
        self._room -= 1
        if self._room < 0:
            raise FormatError(f"{name} is refused: the graph has too many parts for its size.")


def read_partial_shape(message: Message | None, name: str) -> tuple[int | None, ...] | None:
    """Return the dimensions that a TensorShapeProto holds, None for those that are not known.

    Returns:
        None where not even their number is known.

    Raises:
        FormatError: it is no shape.
    """
    if message is None or message.integer(3):
        return None
    if message.count(2) > 64:
        raise FormatError(f"{name} is refused: it has {message.count(2)} dimensions.")
    sizes = [dimension.integer(1) for dimension in message.messages(2)]
    return tuple(size if size >= 0 else None for size in sizes)
