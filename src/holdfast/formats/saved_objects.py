"""The objects of a SavedModel and the edges between them: SavedObjectGraph.

Owns what `saved_model.pb` says of objects, and which array of the checkpoint is whose. Leaves what
Keras wrote of them to `keras_metadata`, and functions to `graph`.

The checkpoint beside it has a graph of its own. Its numbers are mostly the first of these, but no
document says so: both are walked together by the names of their edges, from the root.

The edges that Keras 2 wrote, in both:

    of a model      layer-K, layer_with_weights-K, its attributes, optimizer, keras_api, signatures
    of keras_api    layers and metrics, as lists with the edges "0", "1" and so on
    of a layer      variables and trainable_variables, as lists, if traces were saved; its
                    attributes: kernel, bias; cell; forward_layer, backward_layer; layer; cells, a
                    list; _query_dense; _lookup_layer; lookup_table
    of optimizer    _variables, a list, since TensorFlow 2.11; slots and hyper-parameters before
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.errors import FormatError
from holdfast.formats.model_file import ByName, ByObject, ObjectNode
from holdfast.formats.wire import Buffer, Message

_MOST_PARTS = 100_000


@dataclass(frozen=True, slots=True)
class SavedObject:
    """An object of a SavedModel.

    Args:
        children: by the name of the edge, the number of the object.
        identifier: of a user's object, its kind: `_tf_keras_layer`, `signature_map`.
        metadata: what TensorFlow 2.0 to 2.4 kept of it, as JSON.
        functions: the names of the functions it stands for.
        constant: of a constant, the name of its node in the graph.
        asset: of a file, its number among the assets.
        is_variable: whether it is one.
        is_trainable: whether it was made to be trained.
    """

    children: Mapping[str, int] = field(default_factory=dict)
    identifier: str = ""
    metadata: bytes = b""
    functions: tuple[str, ...] = ()
    constant: str = ""
    asset: int | None = None
    is_variable: bool = False
    is_trainable: bool = False


@dataclass(frozen=True, slots=True)
class SavedObjects:
    """All objects of a SavedModel.

    Args:
        nodes: by their number; 0 is the root.
        captures: by a function's name, the objects whose values it takes after its arguments.
    """

    nodes: tuple[SavedObject, ...] = ()
    captures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def read_objects(data: Buffer | None, name: str) -> SavedObjects:
    """Return the objects of a SavedObjectGraph; none where there is no such message.

    Args:
        data: the message's bytes.
        name: of the file, for errors.

    Raises:
        FormatError: it is not sound, or names an object that it does not have.
    """
    if data is None:
        return SavedObjects()
    message = Message(data, name)
    count = message.count(1)
    # Objects cost a multiple of the bytes they come from, and the smallest come from two.
    room = _MOST_PARTS + len(data) // 16
    nodes = []
    for node in message.messages(1, name):
        room -= 1 + node.count(1)
        if room < 0:
            raise FormatError(f"{name} is refused: it has too many objects for its size.")
        nodes.append(_object(node, count, name))
    captures = {}
    for pair in message.messages(2, name):
        function = pair.message(2)
        bound = [] if function is None else function.integers(2)
        room -= 1 + len(bound)
        if room < 0:
            raise FormatError(f"{name} is refused: it has too many functions for its size.")
        captures[pair.text(1)] = tuple(_number(number, count, name) for number in bound)
    return SavedObjects(tuple(nodes), captures)


def _object(node: Message, count: int, name: str) -> SavedObject:
    children: dict[str, int] = {}
    for child in node.messages(1):
        children[child.text(2)] = _number(child.integer(1), count, name)
    user, asset, function = node.message(4), node.message(5), node.message(6)
    variable, bare, constant = node.message(7), node.message(8), node.message(9)
    functions: tuple[str, ...] = ()
    if function is not None:
        functions = tuple(function.texts(1))
    elif bare is not None:
        functions = (bare.text(1),)
    return SavedObject(
        children=children,
        identifier="" if user is None else user.text(1),
        metadata=b"" if user is None else bytes(user.blob(3) or b""),
        functions=functions,
        constant="" if constant is None else constant.text(1),
        asset=None if asset is None else asset.integer(1),
        is_variable=variable is not None,
        is_trainable=variable is not None and bool(variable.integer(3)),
    )


def _number(number: int, count: int, name: str) -> int:
    if not 0 <= number < count:
        raise FormatError(
            f"{name} is not sound: it says object {number}, and there are {count:,} objects."
        )
    return number


def named(arrays: ByObject) -> ByObject:
    """Return arrays by object, called by the variables' own names where these are unique.

    Keys say how TensorFlow happened to walk the objects; names say whose an array is.
    """
    names = Counter(node.full_name for node in arrays.nodes)
    return ByObject(
        tuple(
            replace(node, value=replace(node.value, name=node.full_name))
            if node.value is not None and node.full_name and names[node.full_name] == 1
            else node
            for node in arrays.nodes
        )
    )


def in_checkpoint(
    objects: Sequence[SavedObject], arrays: ByObject | ByName | None
) -> Mapping[int, ObjectNode]:
    """Return which object of the checkpoint is which of the SavedModel, by the latter's number."""
    if not objects or not isinstance(arrays, ByObject):
        return {}
    found = {0: arrays.nodes[0]}
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        node = found[number]
        for edge, child in objects[number].children.items():
            if child not in found and edge in node.children:
                found[child] = arrays.nodes[node.children[edge]]
                waiting.append(child)
    return found
