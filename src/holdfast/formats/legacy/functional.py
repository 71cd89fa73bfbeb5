"""The graph of a functional model of Keras 2 as Keras 3 writes it.

Owns the calls of layers: what each is given, and which tensors go in and come out of the model.
Leaves the layers themselves to `keras2`, and calls of TensorFlow's operations to `operations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.legacy import arguments, operations
from holdfast.formats.legacy.context import Context, Place, made
from holdfast.formats.legacy.layer_configs import Make
from holdfast.formats.legacy.operations import Reference
from holdfast.formats.legacy.values import is_whole
from holdfast.types import Json

_CONSTANT = "_CONSTANT_VALUE"

# They take the initial state in the list of what they are called on; in Keras 3 by its name.
_RECURRENT = (
    "LSTM GRU SimpleRNN RNN ConvLSTM1D ConvLSTM2D ConvLSTM3D Bidirectional CuDNNLSTM CuDNNGRU"
)
_WITH_STATE = frozenset(_RECURRENT.split())

_WORDS = (
    "training mask initial_state query value key attention_mask return_attention_scores "
    "use_causal_mask count_weights"
)

# What layers can be told in a call, in Keras 2 and 3 alike.
_TOLD = frozenset(_WORDS.split())

# They added to the loss or to the metrics and gave what they were given.
_ADDED = frozenset(["AddLoss", "AddMetric"])


@dataclass(frozen=True)
class _Call:
    """A call of a layer: what it is called on, with references, and what it is told besides."""

    inputs: Json | Reference
    told: Mapping[str, Json | Reference]


@dataclass(frozen=True)
class _Graph:
    """How the layers of a model are known in Keras 3."""

    names: Mapping[str, str]
    first: Mapping[str, int]
    functional: frozenset[str]

    def history(self, tensor: Reference) -> list[Any]:
        """Return [layer, call, output] as Keras 3 writes it where a layer is called."""
        node = max(tensor.node - self.first[tensor.layer], 0)
        return [self.names[tensor.layer], node, tensor.output]

    def end(self, tensor: Reference) -> list[Any]:
        """Return the same as it writes what goes in and comes out: a model counts from 1 there."""
        name, node, output = self.history(tensor)
        return [name, node + (tensor.layer in self.functional), output]


def model(config: Json, context: Context, place: Place, make: Make, new: str) -> Json:
    """Return a functional model as Keras 3 takes it.

    Args:
        config: with `layers`, `input_layers` and `output_layers`.
        context: gathers what cannot be kept.
        place: of the model: the names of the models it is in and its own, without the outermost.
        make: translates layers.
        new: the model's name in Keras 3.

    Raises:
        FormatError: the configuration is not a graph of layers.
    """
    specs = [spec for spec in config["layers"] if _class(spec) not in _ADDED]
    context.left_out += [_name(spec, place) for spec in config["layers"] if _class(spec) in _ADDED]
    olds = [_name(spec, place) for spec in specs]
    if len(set(olds)) != len(olds):
        raise FormatError(f"{place}: two of its layers have the same name")
    known = frozenset(olds)
    calls = {
        old: [_call(data, known, place) for data in _nodes(spec, place)]
        for old, spec in zip(olds, specs, strict=True)
    }
    inputs = _ends(_referring(config["input_layers"], known, 0), place)
    outputs = _ends(_referring(config["output_layers"], known, 0), place)
    names = context.names(place, olds)
    places = {old: place.inner(old, names[old]) for old in olds}
    called = {
        old: operations.read(spec, [(c.inputs, c.told) for c in calls[old]], context, places[old])
        for old, spec in zip(olds, specs, strict=True)
        if operations.is_operation(_class(spec))
    }
    layers = {
        old: make(spec, places[old])
        for old, spec in zip(olds, specs, strict=True)
        if old not in called
    }
    everything = [
        inputs,
        outputs,
        [[call.inputs, dict(call.told)] for old in calls for call in calls[old]],
    ]
    graph = _Graph(
        names,
        _first_nodes(specs, olds, list(references(everything))),
        frozenset(old for old in layers if layers[old]["class_name"] == "Functional"),
    )
    needed = {
        tensor.layer
        for tensor in references(
            [inputs, outputs, [[c.inputs, dict(c.told)] for old in layers for c in calls[old]]]
        )
    }
    written = []
    for spec, old in zip(specs, olds, strict=True):
        if old not in called:
            nodes = [_node(spec, call, graph, context, places[old]) for call in calls[old]]
            written.append({**layers[old], "name": names[old], "inbound_nodes": nodes})
        elif old in needed or not operations.is_shape(old, called):
            layer, tensors = operations.layer(old, called, names[old], context, places[old])
            inbound = [_tensor(tensor, graph) for tensor in tensors]
            nodes = [{"args": [inbound[0] if len(inbound) == 1 else inbound], "kwargs": {}}]
            written.append({**layer, "name": names[old], "inbound_nodes": nodes if inbound else []})
    return made(
        "keras.src.models.functional",
        "Functional",
        {
            "name": new,
            "trainable": bool(config.get("trainable", True)),
            "layers": written,
            "input_layers": _mapped(inputs, graph.end),
            "output_layers": _mapped(outputs, graph.end),
        },
        "Functional",
    )


def references(value: Json | Reference) -> Iterator[Reference]:
    """Yield each tensor that a value refers to."""
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)


def _name(spec: Json, place: Place) -> str:
    name = spec.get("name") if isinstance(spec, dict) else None
    if not isinstance(name, str):
        config = spec.get("config") if isinstance(spec, dict) else None
        name = config.get("name") if isinstance(config, dict) else None
    if not isinstance(name, str) or not isinstance(spec.get("class_name"), str):
        raise FormatError(f"{place}: one of its layers has no name or no class")
    return name


def _class(spec: Json) -> str:
    return str(spec.get("class_name")) if isinstance(spec, dict) else ""


def _nodes(spec: Json, place: Place) -> list[Json]:
    nodes = spec.get("inbound_nodes") or []
    if not isinstance(nodes, list):
        raise FormatError(f"{place}: the calls of {spec['name']!r} are {nodes!r:.60}")
    return nodes


def _call(data: Json, known: frozenset[str], place: Place) -> _Call:
    """Return what a layer is called on and told, by what its configuration has of the call."""
    told: dict[str, Any] = {}

    def inputs(part: Json, depth: int) -> Any:
        if _is_tensor(part, known) or _is_constant(part):
            if len(part) > 3 and isinstance(part[3], dict):
                told.update(_referring(part[3], known, depth))
            return part[2] if part[0] == _CONSTANT else Reference(*part[:3])
        if isinstance(part, dict) and depth < _DEEPEST:
            return {key: inputs(part[key], depth + 1) for key in sorted(part)}
        if isinstance(part, list) and depth < _DEEPEST:
            return [inputs(item, depth + 1) for item in part]
        raise FormatError(
            f"{place}: a layer is called on {part!r:.80}, which is none of its layers'"
        )

    return _Call(inputs(data, 0), told)


_DEEPEST = 100


def _is_tensor(part: Json, known: frozenset[str]) -> bool:
    return (
        isinstance(part, list)
        and len(part) in (3, 4)
        and isinstance(part[0], str)
        and part[0] in known
        and all(is_whole(number) and 0 <= number < 2**31 for number in part[1:3])
    )


def _is_constant(part: Json) -> bool:
    return isinstance(part, list) and len(part) in (3, 4) and part[0] == _CONSTANT


def _referring(value: Json, known: frozenset[str], depth: int) -> Any:
    """Return a value with what refers to tensors as references."""
    if depth > _DEEPEST:
        raise FormatError(f"a call's arguments are more than {_DEEPEST} levels deep")
    if _is_tensor(value, known):
        return Reference(*value[:3])
    if isinstance(value, list):
        return [_referring(item, known, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _referring(item, known, depth + 1) for key, item in value.items()}
    return value


def _ends(ends: Any, place: Place) -> Any:
    """Return what goes in or comes out of a model; Keras 2 wrote one tensor as a list of it."""
    flat = list(references(ends))
    if not flat or len(flat) != len(list(_leaves(ends))):
        raise FormatError(f"{place}: its inputs or outputs are not those of its layers")
    if isinstance(ends, list) and len(flat) == 1:
        return flat[0]
    return {key: ends[key] for key in sorted(ends)} if isinstance(ends, dict) else ends


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _mapped(value: Any, change: Any) -> Json:
    """Return a value with each reference changed."""
    if isinstance(value, Reference):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    return value


def _first_nodes(
    specs: Sequence[Json], olds: Sequence[str], used: Sequence[Reference]
) -> dict[str, int]:
    """Return the number of each layer's first call: 1 of most models within, 0 of all else."""
    from_zero = {tensor.layer for tensor in used if tensor.node == 0}
    models = {
        old
        for spec, old in zip(specs, olds, strict=True)
        if isinstance(spec.get("config"), list)
        or (isinstance(spec.get("config"), dict) and "layers" in spec["config"])
    }
    return {old: int(old in models and old not in from_zero) for old in olds}


def _tensor(tensor: Reference, graph: _Graph) -> Json:
    # The shape and the type are only read by people: Keras takes the tensor from the layer.
    config = {"shape": [None], "dtype": "float32", "keras_history": graph.history(tensor)}
    return {"class_name": "__keras_tensor__", "config": config}


def _node(spec: Json, call: _Call, graph: _Graph, context: Context, place: Place) -> Json:
    """Return a layer's call as Keras 3 writes it."""
    name = arguments.OTHER_NAMES.get(_class(spec), _class(spec))
    inputs = call.inputs
    if isinstance(inputs, list) and len(inputs) == 1:
        inputs = inputs[0]
    told = {key: value for key, value in call.told.items() if value is not None}
    if name in _WITH_STATE and isinstance(inputs, list):
        inputs, states = inputs[0], inputs[1:]
        told["initial_state"] = states
    if name == "Attention" and spec["config"].get("causal"):
        told["use_causal_mask"] = True
    if name in arguments.LAYERS and (unknown := sorted(told.keys() - _TOLD)):
        context.unsupported(place, f"it is called with {unknown[0]}=, which Keras 3 does not take")

    def tensor(reference: Reference) -> Json:
        return _tensor(reference, graph)

    return {"args": [_mapped(inputs, tensor)], "kwargs": _mapped(told, tensor)}
