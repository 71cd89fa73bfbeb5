"""Arrays in a graph of objects, as TensorFlow's checkpoints have them, matched with a model.

Owns walking the graph and the model side by side. Leaves the optimizer's slots to `optimizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from holdfast.formats.live.matching import RENAMED, Match, in_order, loads_by_itself
from holdfast.formats.model_file import ByObject, Entry, ObjectNode

# What a checkpoint holds beside the model's own weights.
_BESIDE = frozenset(
    [
        "optimizer",
        "save_counter",
        "signatures",
        "keras_api",
        "keras_metrics",
        "loss_tracker",
        "metrics",
        "layer_metrics",
        "compiled_loss",
        "compiled_metrics",
        "_compile_loss",
        "layers",
        "variables",
        "_all_variables",
        "trainable_variables",
        "non_trainable_variables",
    ]
)
_NUMBERED = ("layer_with_weights-", "layer-")


def match(model: Any, weights: ByObject) -> Match:
    """Match by the names of the edges, as TensorFlow itself does; where they say nothing, by order.

    Args:
        model: built.
        weights: of a checkpoint, or of a SavedModel.
    """
    root = model_node(weights.nodes)
    walk = _Walk(weights.nodes)
    walk.visit(model, root)
    found = walk.found
    if not found.pairs:
        found = _by_list(model, weights.nodes, root)
    have = {entry.name for _, entry in found.pairs}
    have |= {entry.name for _, entries in found.hooks for entry in entries.values()}
    left = [e for e in _model_entries(weights.nodes, root) if e.name not in have]
    return Match(found.pairs, left, found.hooks)


def model_node(nodes: Sequence[ObjectNode]) -> int:
    """Return the node of the model: the root, or the child of it that has layers.

    `tf.train.Checkpoint(model=model, optimizer=optimizer)` puts the model below a root.
    """
    root = nodes[0]
    if _looks_like_model(root):
        return 0
    named = [root.children[name] for name in ("model", "net", "network") if name in root.children]
    below = [
        child
        for name, child in root.children.items()
        if name not in _BESIDE and _looks_like_model(nodes[child])
    ]
    for child in [*named, *below]:
        return child
    return 0


def _looks_like_model(node: ObjectNode) -> bool:
    return any(name.startswith(_NUMBERED) for name in node.children)


class _Walk:
    """A walk over a model and a graph at once; each node is visited with each object once."""

    def __init__(self, nodes: Sequence[ObjectNode]) -> None:
        self._nodes = nodes
        self._seen: set[tuple[int, int]] = set()
        self._matched: set[int] = set()
        self.found = Match()

    def visit(self, owner: Any, number: int) -> None:
        """Match what is below an object with what is below a node."""
        waiting = [(owner, number)]
        while waiting:
            owner, number = waiting.pop()
            if (id(owner), number) in self._seen:
                continue
            self._seen.add((id(owner), number))
            node = self._nodes[number]
            for name, child in node.children.items():
                if name in _BESIDE:
                    continue
                below = self._nodes[child]
                target = _child(owner, name)
                if target is None:
                    self._hook(owner, below)
                    continue
                if isinstance(target, keras.Variable):
                    self._pair(target, below)
                else:
                    waiting.append((target, child))

    def _hook(self, owner: Any, node: ObjectNode) -> None:
        """Keep an array for a layer that has no variable for it and knows what to do with it."""
        alone = isinstance(owner, keras.Layer) and not owner.weights
        if alone and node.value is not None and loads_by_itself(owner):
            self.found.hooks.append((owner, {"0": node.value}))

    def _pair(self, variable: Any, node: ObjectNode) -> None:
        if node.value is not None and id(variable) not in self._matched:
            self._matched.add(id(variable))
            self.found.pairs.append((variable, node.value))


def _child(owner: Any, name: str) -> Any | None:
    """Return what an object has under the name of an edge: a variable, a layer or a list."""
    if isinstance(owner, (list, tuple)):
        return owner[int(name)] if name.isdecimal() and int(name) < len(owner) else None
    if isinstance(owner, dict):
        return owner.get(name)
    layers = getattr(owner, "layers", None)
    for prefix in _NUMBERED:
        number = name.removeprefix(prefix)
        if name != number and number.isdecimal() and isinstance(layers, list):
            counted = [x for x in layers if _had_weights(x)] if prefix == _NUMBERED[0] else layers
            place = int(number)
            return counted[place] if place < len(counted) and prefix == _NUMBERED[0] else None
    cell = getattr(owner, "cell", None)
    for attribute in (RENAMED.get(name, name), name, f"_{name}", name.lstrip("_")):
        found = getattr(owner, attribute, None)
        if isinstance(found, (keras.Variable, keras.Layer, list, tuple, dict)):
            return found
    # What is a cell's now was the layer's own in the layers for CuDNN.
    found = getattr(cell, name, None) if isinstance(cell, keras.Layer) else None
    return found if isinstance(found, keras.Variable) else None


def _had_weights(layer: Any) -> bool:
    """Return whether a layer had weights in Keras 2: one that learned its bins kept them there."""
    learned = isinstance(layer, keras.layers.Discretization) and layer.num_bins is not None
    return bool(layer.weights) or learned


def _by_list(model: Any, nodes: Sequence[ObjectNode], root: int) -> Match:
    """Match by the list of all variables that `model.export()` and others keep."""
    listed = nodes[root].children.get("variables")
    if listed is None:
        return Match()
    children = nodes[listed].children
    numbers = sorted((name for name in children if name.isdecimal()), key=int)
    entries = [value for name in numbers if (value := nodes[children[name]].value) is not None]
    return in_order(model, entries, {})


def _model_entries(nodes: Sequence[ObjectNode], root: int) -> list[Entry]:
    """Return the arrays below the model, but for its optimizer's and metrics'."""
    found: dict[str, Entry] = {}
    seen = {root}
    waiting = [root]
    while waiting:
        node = nodes[waiting.pop()]
        if node.value is not None:
            found.setdefault(node.value.name, node.value)
        for name, child in node.children.items():
            if child not in seen and name not in _BESIDE:
                seen.add(child)
                waiting.append(child)
    return list(found.values())
