"""What a SavedModel can compute, as a value: its signatures, its graph and its variables.

Owns what `ModelFile.graph` is. Opening it costs the signatures; the graph is read when asked for.
Leaves running to `live.served`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from holdfast.errors import FormatError
from holdfast.formats.graph import operations
from holdfast.formats.graph.definition import Graph, read_partial_shape
from holdfast.formats.model_file import Entry, ObjectNode
from holdfast.formats.saved_objects import SavedObjects
from holdfast.formats.tensor_types import TYPES, type_name
from holdfast.formats.wire import Message

_FIRST = ("serving_default", "serve", "predict")
_INTERNAL = "__"
_VARIABLES = frozenset(("VarHandleOp", "Variable", "VariableV2"))
_CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))


@dataclass(frozen=True, slots=True)
class Spec:
    """An input or output of a signature.

    Args:
        tensor: what it is in the graph, such as `StatefulPartitionedCall:0`.
        dtype: numpy's name for its type; `string`; or `unknown`.
        shape: None for dimensions that are not fixed; None where not even their number is.
    """

    tensor: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Signature:
    """Something that a SavedModel computes.

    Args:
        name: such as `serving_default`.
        inputs, outputs: by the names that callers use.
    """

    name: str
    inputs: Mapping[str, Spec]
    outputs: Mapping[str, Spec]


class ServedGraph:
    """The functions of a SavedModel.

    Args:
        name: of the file, for errors.
        signatures: SignatureDefs by name.
        open_graph: reads the graph.
        objects: of the SavedModel.
        stored: which object of the checkpoint is which of them.
        by_name: arrays of a checkpoint without objects.

    Raises:
        FormatError: a signature is not sound.
    """

    def __init__(
        self,
        name: str,
        signatures: Mapping[str, Message],
        open_graph: Callable[[], Graph],
        objects: SavedObjects,
        stored: Mapping[int, ObjectNode],
        by_name: Mapping[str, Entry],
    ) -> None:
        self.name = name
        self.signatures = {
            key: Signature(key, _specs(message, 1, name), _specs(message, 2, name))
            for key, message in sorted(signatures.items())
            if not key.startswith(_INTERNAL)
        }
        self._open_graph = open_graph
        self._graph: Graph | None = None
        self._objects = objects
        self._stored = stored
        self._by_name = by_name

    @property
    def graph(self) -> Graph:
        """The graph itself, read at the first use."""
        if self._graph is None:
            self._graph = self._open_graph()
        return self._graph

    def signature(self, name: str | None = None) -> Signature:
        """Return a signature.

        Args:
            name: which; None for the one that servers take.

        Raises:
            FormatError: there is none of that name, or none to choose without a name.
        """
        names = [name] if name is not None else [*_FIRST, *self.signatures][: len(_FIRST) + 1]
        for key in names:
            if key in self.signatures:
                return self.signatures[key]
        known = ", ".join(self.signatures) or "none"
        raise FormatError(f"{self.name}: expected a signature to serve, found {known}.")

    def problem(self, name: str | None = None) -> tuple[bool, str] | None:
        """Return why a signature cannot be served: whether it is unsafe, and what it is."""
        try:
            outputs = [spec.tensor for spec in self.signature(name).outputs.values()]
            return operations.problem(self.graph, outputs)
        except FormatError as error:
            return False, str(error)

    def variables(self, signature: Signature) -> dict[str, Entry]:
        """Return the arrays that a signature reads, by the nodes of the graph that stand for them.

        Raises:
            FormatError: an array is not there.
        """
        graph = self.graph
        wanted = tuple(spec.tensor for spec in signature.outputs.values())
        needed = operations.order(graph.nodes, wanted, graph.name)
        captured: dict[str, int] = {}
        for node in needed:
            if node.op in _CALLS:
                bound = self._objects.captures.get(node.attributes.function("f"), ())
                if len(bound) <= len(node.inputs):
                    last = node.inputs[len(node.inputs) - len(bound) :]
                    captured.update(zip(map(operations.name_of, last), bound, strict=True))
        found: dict[str, Entry] = {}
        for node in needed:
            if node.op in _VARIABLES:
                found[node.name] = self._array(
                    node.name, node.attributes.text("shared_name"), captured.get(node.name)
                )
        return found

    def _array(self, node: str, shared: str, number: int | None) -> Entry:
        stored = None if number is None else self._stored.get(number)
        if stored is not None and stored.value is not None:
            return stored.value
        for name in (shared, node):
            if name in self._by_name:
                return self._by_name[name]
        raise FormatError(f"{self.name}: the variable {shared or node!r} is not in the checkpoint.")


def _specs(signature: Message, number: int, name: str) -> dict[str, Spec]:
    found = {}
    for pair in signature.messages(number, name):
        info = pair.message(2)
        if info is not None:
            dtype = TYPES.get(info.integer(2))
            found[pair.text(1)] = Spec(
                tensor=info.text(1),
                dtype="unknown" if dtype is None else type_name(dtype),
                shape=read_partial_shape(info.message(3), name),
            )
    return dict(sorted(found.items()))
