"""What a model's file holds, read off without building anything or reading its arrays.

Owns whose an array is, and how many numbers a layer has. Leaves opening files to `formats`, and how
it is printed to `inspect_file`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.formats import keras_zip
from holdfast.formats.model_file import (
    ByLayer,
    ByName,
    ByObject,
    ByPath,
    Entry,
    LayerEntries,
    ModelFile,
    Problem,
    Weights,
)
from holdfast.types import Json

Part = Literal["model", "optimizer", "metrics"]

_METRICS = ("metrics/", "_metrics/", "_loss_tracker/", "_compile_metrics/", "_compile_loss/")
# What TensorFlow 1 puts behind a variable's name for what its optimizer keeps of it.
_SLOT = re.compile(
    r"(.+)/(Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adagrad|Adadelta|Adadelta_1|Ftrl|Ftrl_1)"
)
_COUNTERS = ("beta1_power", "beta2_power", "global_step", "save_counter")
_LONGEST = 200


@dataclass(frozen=True)
class LayerFacts:
    """A layer of a file.

    Args:
        name: of the layer.
        kind: its class; empty where the file does not say.
        parameters: how many numbers it has; None where the file does not say whose they are.
    """

    name: str
    kind: str
    parameters: int | None


@dataclass(frozen=True)
class ArrayFacts:
    """An array of a file.

    Args:
        name: as the file calls it.
        shape: its dimensions.
        dtype: the type of its elements.
        size: in bytes; None of texts.
        part: whose it is.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int | None
    part: Part


@dataclass(frozen=True)
class FileFacts:
    """What a file holds.

    Args:
        path: of the file.
        format: which kind it is.
        keras_version: that wrote it; None where it does not say.
        backend: on which it was written; None where it does not say.
        size: in bytes.
        model: class and name; empty where the file has no architecture.
        compiled: the arguments of `compile` in a line; empty where it has none.
        parameters: how many numbers the model has, its optimizer's not among them.
        layers: of the model, not those within others.
        arrays: all there are.
        problems: what is unsafe or unsupported in it.
    """

    path: str
    format: str
    keras_version: str | None
    backend: str | None
    size: int
    model: str
    compiled: str
    parameters: int
    layers: tuple[LayerFacts, ...]
    arrays: tuple[ArrayFacts, ...]
    problems: tuple[Problem, ...]


def facts_of(file: ModelFile) -> FileFacts:
    """Return what a file holds."""
    arrays = tuple(_arrays(file))
    own = [array for array in arrays if array.part == "model" and array.dtype != "string"]
    return FileFacts(
        path=str(file.path),
        format=file.format,
        keras_version=file.keras_version,
        backend=file.backend,
        size=_size(file.path),
        model=_model(file.config),
        compiled=_compiled(file.training),
        parameters=sum(math.prod(array.shape) for array in own),
        layers=tuple(_layers(file)),
        arrays=arrays,
        problems=file.problems,
    )


# ---- layers


def _layers(file: ModelFile) -> Iterator[LayerFacts]:
    weights = file.weights
    described = [layer for layer in _described(file.config) if isinstance(layer, Mapping)]
    if isinstance(weights, ByLayer):
        counts = {layer.name: _count(layer) for layer in weights.layers}
        kinds = {_name(layer): str(layer.get("class_name", "")) for layer in described}
        for name in dict.fromkeys([*kinds, *counts]):
            yield LayerFacts(name, kinds.get(name, ""), counts.get(name, 0))
        return
    if not isinstance(weights, ByPath):
        for layer in described:
            yield LayerFacts(_name(layer), str(layer.get("class_name", "")), None)
        return
    groups: dict[str, int] = {}
    for path, entry in weights.entries.items():
        if path.startswith("layers/"):
            group = path.split("/")[1]
            groups[group] = groups.get(group, 0) + math.prod(entry.shape)
    if not described:
        yield from (LayerFacts(name, "", count) for name, count in groups.items())
        return
    names = keras_zip.group_names(list(described))
    for layer, group in zip(described, names, strict=True):
        place = group if weights.counted else _name(layer)
        yield LayerFacts(_name(layer), str(layer.get("class_name", "")), groups.get(place, 0))


def _described(config: Json | None) -> list[Json]:
    """Return the layers that a configuration lists; of Keras 1 it may be a list itself."""
    parts = config.get("config") if isinstance(config, Mapping) else None
    layers = parts.get("layers") if isinstance(parts, Mapping) else parts
    return layers if isinstance(layers, list) else []


def _name(layer: Mapping[str, Json]) -> str:
    config = layer.get("config")
    name = config.get("name") if isinstance(config, Mapping) else None
    return str(name or layer.get("name") or "")


def _count(layer: LayerEntries) -> int:
    own = sum(math.prod(entry.shape) for entry in layer.entries)
    return own + sum(map(_count, layer.layers))


# ---- arrays


def _arrays(file: ModelFile) -> Iterator[ArrayFacts]:
    yield from _arrays_of(file.weights)
    for entry in file.optimizer or ():
        yield _array(entry, "optimizer")
    if file.objects is not None:
        seen = {id(entry) for entry in _by_layer(file.weights)}
        for name, entry, part in _by_object(file.objects):
            if part != "model" and id(entry) not in seen:
                yield _array(entry, part, name)


def _arrays_of(weights: Weights) -> Iterator[ArrayFacts]:
    if isinstance(weights, ByLayer):
        for entry in _by_layer(weights):
            yield _array(entry, "model")
    elif isinstance(weights, ByPath):
        for path, entry in weights.entries.items():
            part: Part = "metrics" if path.startswith(_METRICS) else "model"
            yield _array(entry, "optimizer" if path.startswith("optimizer/") else part)
    elif isinstance(weights, ByObject):
        for name, entry, part in _by_object(weights):
            yield _array(entry, part, name)
    else:
        yield from _by_name(weights)


def _array(entry: Entry, part: Part, name: str = "") -> ArrayFacts:
    width = _width(entry.dtype)
    size = None if width is None else math.prod(entry.shape) * width
    return ArrayFacts(name or entry.name, entry.shape, entry.dtype, size, part)


def _width(dtype: str) -> int | None:
    """Return the bytes of an element, by its type's name."""
    if dtype == "bool":
        return 1
    found = re.match(r"[a-z]+(\d+)", dtype)
    return int(found[1]) // 8 if found else None


def _by_layer(weights: Weights) -> Iterator[Entry]:
    if isinstance(weights, ByLayer):
        for layer in weights.layers:
            yield from _of_layer(layer)
        yield from weights.top


def _of_layer(layer: LayerEntries) -> Iterator[Entry]:
    yield from layer.entries
    for inner in layer.layers:
        yield from _of_layer(inner)


def _by_object(weights: ByObject) -> Iterator[tuple[str, Entry, Part]]:
    """Yield each array once, by the first way that leads to it, the optimizer's last."""
    if not weights.nodes:
        return
    seen: set[int] = {0}
    todo: list[tuple[int, str]] = [(0, "")]
    later: list[tuple[int, str]] = []
    part: Part = "model"
    while todo or later:
        if not todo:
            todo, later, part = [node for node in later if node[0] not in seen], [], "optimizer"
            seen.update(number for number, _ in todo)
            continue
        number, path = todo.pop(0)
        node = weights.nodes[number]
        if node.value is not None:
            counter = path in _COUNTERS
            yield path or node.value.name, node.value, "optimizer" if counter else part
        for name, entry in node.others.items():
            yield f"{path}.{name}" if path else name, entry, part
        for name, child in node.children.items():
            place = f"{path}/{name}" if path else name
            if part == "model" and name == "optimizer":
                later.append((child, place))
            elif child not in seen:
                seen.add(child)
                todo.append((child, place))
        for original, name, slot in node.slots:
            if slot not in seen:
                seen.add(slot)
                owner = weights.nodes[original].full_name or f"variable {original}"
                todo.append((slot, f"{path}/{name} of {owner}"))


def _by_name(weights: ByName) -> Iterator[ArrayFacts]:
    for name, entry in weights.entries.items():
        slot = _SLOT.fullmatch(name)
        kept = name in _COUNTERS or (slot is not None and slot[1] in weights.entries)
        yield _array(entry, "optimizer" if kept else "model")


# ---- in words


def _model(config: Json | None) -> str:
    if not isinstance(config, Mapping):
        return ""
    name = _name(config)
    return f"{config.get('class_name', '')} {name}".strip()[:_LONGEST]


def _compiled(training: Json | None) -> str:
    """Return the arguments of `compile` in a line."""
    if not isinstance(training, Mapping):
        return ""
    said = []
    for name in ("optimizer", "loss", "metrics", "weighted_metrics"):
        value = training.get(name, training.get(f"{name}_config"))
        if value and (words := _words(value)):
            said.append(f"{name} {words}")
    return "; ".join(said)[:_LONGEST]


def _words(value: Json, depth: int = 0) -> str:
    if isinstance(value, Mapping) and "class_name" in value:
        config = value.get("config")
        inner = config.get("fn") if isinstance(config, Mapping) else config
        return inner if isinstance(inner, str) else str(value["class_name"])
    if depth > 4:
        return "…"
    if isinstance(value, Mapping):
        parts: Iterable[str] = (f"{key}: {_words(item, depth + 1)}" for key, item in value.items())
    elif isinstance(value, list):
        parts = (_words(item, depth + 1) for item in value if item is not None)
    else:
        return "" if value is None else str(value)
    return ", ".join(part for part in parts if part)


def _size(path: Path) -> int:
    """Return the bytes of a file, of what is in a directory, or of a checkpoint's files."""
    if path.is_file():
        return path.stat().st_size
    if path.is_dir():
        return sum(
            Path(root, name).lstat().st_size for root, _, names in os.walk(path) for name in names
        )
    return sum(
        entry.stat().st_size
        for entry in os.scandir(path.absolute().parent)
        if entry.name.startswith((f"{path.name}.index", f"{path.name}.data-"))
    )
