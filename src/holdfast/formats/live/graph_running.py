"""Running a served graph: its operations in order, its functions, loops, lists and variables.

Owns control flow and that it ends. Leaves what an operation computes to `graph_math`,
`graph_arrays`, `graph_parts` and `graph_layers`, and which may run at all to `graph.operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from holdfast.errors import FormatError
from holdfast.formats.graph.definition import Graph, Node
from holdfast.formats.graph.operations import order, place_of
from holdfast.formats.live import graph_arrays, graph_layers, graph_math, graph_parts
from holdfast.formats.live.graph_values import (
    MOST_PARTS,
    Operation,
    dtype_of,
    integer,
    integers,
    known,
    room_for,
    tensor,
)

OPERATIONS: Mapping[str, Operation] = {
    **graph_arrays.OPERATIONS,
    **graph_parts.OPERATIONS,
    **graph_math.OPERATIONS,
    **graph_layers.OPERATIONS,
}
"""Those that compute from their inputs and attributes alone."""

_MOST_OPERATIONS = 2_000_000


@dataclass(frozen=True, slots=True)
class TensorList:
    """TensorFlow's list of tensors, which is a value: to set an item is to make another list.

    Args:
        items: None where nothing was set.
        shape: of an item, as far as it is known.
        dtype: of an item.
    """

    items: tuple[Any, ...]
    shape: tuple[int, ...]
    dtype: str

    def item(self, place: int) -> Any:
        """Return an item; zeros where nothing was set."""
        self.check(place)
        found = self.items[place]
        if found is not None:
            return found
        shape = self.shape
        if any(size < 0 for size in shape) or not shape:
            shape = next((tuple(v.shape) for v in self.items if v is not None), shape)
        return ops.zeros(room_for(shape), dtype=self.dtype)

    def of_length(self, count: int) -> TensorList:
        """Return a list with places added at its end."""
        added = (None,) * (count - len(self.items))
        return TensorList((*self.items, *added), self.shape, self.dtype)

    def check(self, place: int) -> None:
        """Refuse a place that is not in the list."""
        if not 0 <= place < len(self.items):
            raise FormatError(
                f"The graph is not sound: it takes item {place} of a list of {len(self.items)}."
            )


@dataclass(frozen=True, slots=True)
class _Step:
    """An operation.

    Args:
        node: the operation.
        sources: the places its inputs come from.
        last: the values that nothing needs after it.
    """

    node: Node
    sources: tuple[tuple[str, int], ...]
    last: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Program:
    """What is to be run for some outputs, in order."""

    steps: tuple[_Step, ...]
    results: tuple[tuple[str, int], ...]


class Running:
    """One run of a graph, from its inputs to its outputs.

    Args:
        graph: checked by `graph.operations.check`.
        variables: gives the value of a variable, by its node.
        programs: what earlier runs of this graph found out about its functions.
    """

    def __init__(
        self, graph: Graph, variables: Callable[[str], Any], programs: dict[Any, Any]
    ) -> None:
        self._graph = graph
        self._variables = variables
        self._programs = programs
        self._room = _MOST_OPERATIONS

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Return the values of outputs.

        Args:
            inputs: values by the nodes they stand in for.
            outputs: as nodes name them, such as `StatefulPartitionedCall:0`.

        Raises:
            FormatError: the graph is not sound, or does not end.
        """
        program = self._program(("", tuple(outputs)), self._graph.nodes, tuple(outputs))
        return self._follow(program, {name: [value] for name, value in inputs.items()})

    def _call(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        function = self._graph.function(name)
        if len(arguments) != len(function.arguments):
            raise FormatError(
                f"{self._graph.name} is not sound: its function {name!r} takes "
                f"{len(function.arguments)} arguments, and is given {len(arguments)}."
            )
        program = self._program((name, ()), function.nodes, function.results)
        given = {key: [value] for key, value in zip(function.arguments, arguments, strict=True)}
        return self._follow(program, given)

    def _program(
        self, key: tuple[str, tuple[str, ...]], nodes: Mapping[str, Node], wanted: tuple[str, ...]
    ) -> _Program:
        if key not in self._programs:
            name = f"{self._graph.name}: {key[0]}"
            results = tuple(place_of(source, nodes, name) for source in wanted)
            needed = {source for source, _ in results}
            steps: list[_Step] = []
            for node in reversed(order(nodes, wanted, name)):
                sources = tuple(place_of(source, nodes, name) for source in node.inputs)
                last = {source for source, _ in sources} - needed
                needed |= last
                steps.append(_Step(node, sources, tuple(last)))
            self._programs[key] = _Program(tuple(reversed(steps)), results)
        found: _Program = self._programs[key]
        return found

    def _follow(self, program: _Program, values: dict[str, list[Any]]) -> list[Any]:
        for step in program.steps:
            if step.node.name not in values:
                inputs = [self._taken(values, source, step.node) for source in step.sources]
                values[step.node.name] = self._outputs(step.node, inputs)
            for name in step.last:
                values.pop(name, None)
        return [self._taken(values, source, None) for source in program.results]

    def _taken(self, values: dict[str, list[Any]], source: tuple[str, int], by: Node | None) -> Any:
        name, place = source
        found = values.get(name, ())
        if place >= len(found):
            who = "its result" if by is None else by.name
            raise FormatError(
                f"{self._graph.name} is not sound: {who} takes output {place} of {name!r}, which "
                "does not have one."
            )
        return found[place]

    def _outputs(self, node: Node, inputs: Sequence[Any]) -> list[Any]:
        held = inputs[0] if inputs else None
        self._spend(1 + (len(held.items) >> 4 if isinstance(held, TensorList) else 0))
        operation = OPERATIONS.get(node.op)
        try:
            if operation is not None:
                found = (
                    self._constant(node)
                    if node.op == "Const"
                    else (operation(inputs, node.attributes))
                )
            else:
                found = self._special(node, inputs)
        except FormatError:
            raise
        except Exception as e:  # whatever a backend says of operands that do not fit
            raise FormatError(
                f"{self._graph.name}: {node.name}: the operation {node.op} cannot be computed: "
                f"{str(e).splitlines()[0] if str(e) else type(e).__name__}"
            ) from e
        return found if isinstance(found, list) else [found]

    def _spend(self, operations: int) -> None:
        self._room -= operations
        if self._room < 0:
            raise FormatError(
                f"{self._graph.name} is refused: after {_MOST_OPERATIONS:,} operations it has not "
                "come to its end."
            )

    def _constant(self, node: Node) -> Any:
        key = ("Const", id(node))
        if key not in self._programs:
            array = node.attributes.tensor("value")
            if array.dtype.kind == "O":
                raise FormatError(
                    f"{self._graph.name}: {node.name}: strings are nothing that Holdfast computes."
                )
            self._programs[key] = array
        return self._programs[key]

    def _special(self, node: Node, inputs: Sequence[Any]) -> Any:
        attributes = node.attributes
        match node.op:
            case "VarHandleOp":
                return _Variable(node.name)
            case "Variable" | "VariableV2":
                return self._variables(node.name)
            case "ReadVariableOp":
                return self._variables(_variable(inputs[0]))
            case "ResourceGather":
                value = self._variables(_variable(inputs[0]))
                return ops.take(value, tensor(inputs[1]), axis=0)
            case "PartitionedCall" | "StatefulPartitionedCall":
                return self._call(attributes.function("f"), inputs)
            case "If" | "StatelessIf":
                branch = "then_branch" if _truth(inputs[0], node.op) else "else_branch"
                return self._call(attributes.function(branch), inputs[1:])
            case "While" | "StatelessWhile":
                return self._loop(node, list(inputs))
            case "Placeholder":
                raise FormatError(f"{self._graph.name}: nothing is given for {node.name!r}.")
            case "PlaceholderWithDefault":
                return inputs[0]
        return _list_operation(node, inputs)

    def _loop(self, node: Node, values: list[Any]) -> list[Any]:
        condition = node.attributes.function("cond")
        body = node.attributes.function("body")
        while _truth(self._call(condition, values)[0], "loop"):
            self._spend(1)
            values = self._call(body, values)
        return values


@dataclass(frozen=True, slots=True)
class _Variable:
    """What stands for a variable: the node of the graph that names it."""

    node: str


def _variable(value: Any) -> str:
    if not isinstance(value, _Variable):
        raise FormatError("The graph is not sound: it reads what is no variable.")
    return value.node


def _truth(value: Any, what: str) -> bool:
    found = known(value, f"{what} condition")
    if found.size != 1:
        raise FormatError(f"The graph is not sound: a condition of its has {found.size} values.")
    return bool(found.reshape(())[()])


def _list_operation(node: Node, inputs: Sequence[Any]) -> Any:
    attributes = node.attributes
    if node.op == "TensorListFromTensor":
        value = tensor(inputs[0])
        if value.shape[0] > MOST_PARTS:
            raise FormatError(f"The graph is refused: it cuts into {value.shape[0]:,} parts.")
        return TensorList(tuple(ops.unstack(value)), tuple(value.shape[1:]), dtype_of(value))
    if node.op in ("TensorListReserve", "EmptyTensorList"):
        count = integer(inputs[1], "length of a list") if node.op == "TensorListReserve" else 0
        if not 0 <= count <= MOST_PARTS:
            raise FormatError(f"The graph is refused: it makes a list of {count:,} items.")
        shape = tuple(integers(inputs[0], "shape of an item"))
        dtype = attributes.dtype("element_dtype").name
        return TensorList((None,) * count, shape, dtype)
    held = inputs[0]
    if not isinstance(held, TensorList):
        raise FormatError(f"The graph is not sound: {node.name} takes what is no list.")
    if node.op == "TensorListLength":
        return np.asarray(len(held.items), np.int32)
    if node.op == "TensorListGetItem":
        return held.item(integer(inputs[1], "place in a list"))
    if node.op == "TensorListPushBack":
        return TensorList((*held.items, inputs[1]), held.shape, held.dtype)
    if node.op == "TensorListSetItem":
        place = integer(inputs[1], "place in a list")
        if attributes.flag("resize_if_index_out_of_bounds") and 0 <= place < MOST_PARTS:
            held = held.of_length(max(place + 1, len(held.items)))
        held.check(place)
        items = (*held.items[:place], inputs[2], *held.items[place + 1 :])
        return TensorList(items, held.shape, held.dtype)
    if node.op == "TensorListStack":
        return ops.stack([tensor(held.item(place)) for place in range(len(held.items))])
    raise FormatError(f"The operation {node.op} is not one that Holdfast can run.")
