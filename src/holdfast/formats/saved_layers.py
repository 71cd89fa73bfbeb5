"""The layers of a SavedModel: which arrays and vocabularies are whose.

Owns finding layers by the names that a configuration gives them, and the order of their arrays.
Leaves the objects to `saved_objects` and reading the directory to `saved_model`.

A layer's variables are the edges "0", "1" and so on below its edge `variables`: the order of Keras
2's `layer.weights`. A model's layers are found by the names that its configuration gives them, for
their places on the edges `layer-0` and so on depend on the version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.keras_metadata import KerasObject
from holdfast.formats.model_file import Entry, LayerEntries, ObjectNode
from holdfast.formats.saved_objects import SavedObject
from holdfast.formats.saved_vocabulary import Tables
from holdfast.types import Json

# Edges to what is no part of a layer's weights.
_BESIDE = frozenset(("keras_api", "_random_generator", "num_documents", "optimizer"))
_MOST_STEPS = 2_000_000


class Layers:
    """Finds the arrays of layers.

    Args:
        name: of the SavedModel, for errors.
        nodes: its objects.
        metadata: what Keras says of them.
        stored: which object of the checkpoint is which of them.
        open_tables: gives its tables.
    """

    def __init__(
        self,
        name: str,
        nodes: tuple[SavedObject, ...],
        metadata: Mapping[int, KerasObject],
        stored: Mapping[int, ObjectNode],
        open_tables: Callable[[], Tables],
    ) -> None:
        self._name = name
        self._nodes = nodes
        self._metadata = metadata
        self._stored = stored
        self._open_tables = open_tables
        self._tables: Tables | None = None
        self._room = _MOST_STEPS

    def of_model(self, number: int, configs: list[Any]) -> Iterator[LayerEntries]:
        """Yield what there is of the layers of the model that is object `number`."""
        named = self._named(number)
        for name, config in _by_name(configs):
            layer = named.get(name)
            if layer is None:
                yield LayerEntries(name)
                continue
            inner = self._model_within(layer, config)
            if inner is not None:
                number_within, configs_within = inner
                within = tuple(self.of_model(number_within, configs_within))
                yield LayerEntries(name, layers=within)
            else:
                yield LayerEntries(name, self._entries(layer), vocabulary=self._vocabulary(layer))

    def _named(self, model: int) -> dict[str, int]:
        """Return a model's layers by their names."""
        children = self._nodes[model].children
        numbered = [child for edge, child in children.items() if edge.startswith("layer")]
        listed = self._listed(self._below(model, "keras_api"), "layers")
        found: dict[str, int] = {}
        self._spend(2 * len(children) + len(listed))
        for child in [*numbered, *listed, *children.values()]:
            item = self._metadata.get(child)
            if item is not None and item.kind != "metric":
                found.setdefault(item.name, child)
        return found

    def _model_within(self, layer: int, config: Any) -> tuple[int, list[Any]] | None:
        """Return the model that a layer is or wraps, with the configurations of its layers."""
        seen = set()
        while layer not in seen:
            seen.add(layer)
            layers = layer_configs(config)
            if layers:
                return layer, layers
            inner = self._below(layer, "layer")
            arguments = config.get("config") if isinstance(config, dict) else None
            config = arguments.get("layer") if isinstance(arguments, dict) else None
            if inner is None or config is None:
                return None
            layer = inner
        return None

    def _entries(self, layer: int) -> tuple[Entry, ...]:
        listed = self._listed(layer, "variables") or self._unlisted(layer)
        stored = [self._stored.get(number) for number in listed]
        return tuple(node.value for node in stored if node is not None and node.value is not None)

    def _unlisted(self, layer: int) -> list[int]:
        """Return the variables of a layer that does not list them, as Keras 2 would.

        Those are lookup layers, and all that has layers within, saved without `save_traces`.
        """
        found: dict[int, None] = {}
        waiting, seen = [layer], set()
        while waiting:
            number = waiting.pop()
            if number in seen:
                continue
            seen.add(number)
            if self._nodes[number].is_variable:
                found[number] = None
            self._spend(1 + len(self._nodes[number].children))
            below = [
                child for edge, child in self._nodes[number].children.items() if edge not in _BESIDE
            ]
            below.sort(key=lambda child: not self._nodes[child].is_variable)
            waiting += reversed(below)
        return sorted(found, key=lambda number: not self._nodes[number].is_trainable)

    def _spend(self, steps: int) -> None:
        """Count steps: a short configuration may name the same large objects again and again."""
        self._room -= steps
        if self._room < 0:
            raise FormatError(f"{self._name} is refused: it has too many layers within layers.")

    def _vocabulary(self, layer: int) -> tuple[bytes | int, ...] | None:
        children = self._nodes[layer].children
        if not any("lookup" in edge or edge == "_table" for edge in children):
            return None
        if self._tables is None:
            self._tables = self._open_tables()
        return self._tables.vocabulary(layer)

    def _below(self, number: int | None, edge: str) -> int | None:
        return None if number is None else self._nodes[number].children.get(edge)

    def _listed(self, number: int | None, edge: str) -> list[int]:
        """Return the objects of a list, in its order."""
        holder = self._below(number, edge)
        if holder is None:
            return []
        children = self._nodes[holder].children
        places = sorted((place for place in children if place.isdecimal()), key=_as_number)
        return [children[place] for place in places]


def _as_number(digits: str) -> tuple[int, str]:
    return len(digits.lstrip("0")), digits.lstrip("0")


def layer_configs(config: Json | None) -> list[Any]:
    """Return the configurations of a model's layers; empty for what is no model of layers."""
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    return layers if isinstance(layers, list) else []


def _by_name(configs: list[Any]) -> Iterator[tuple[str, Any]]:
    seen = set()
    for config in configs:
        inner = config.get("config") if isinstance(config, dict) else None
        name = inner.get("name") if isinstance(inner, dict) else None
        if name is None and isinstance(config, dict):
            name = config.get("name")
        if isinstance(name, str) and name not in seen:
            seen.add(name)
            yield name, config
