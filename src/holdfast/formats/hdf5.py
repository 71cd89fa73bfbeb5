"""HDF5 files of Keras: whole models and weights, of Keras 0, 1, 2 and 3.

Owns what groups and attributes mean. Leaves the bytes to `hdf5_tree` and `hdf5_arrays`, and what a
configuration means to `legacy`.

There are two ways of laying out weights. Until Keras 2 a group for each layer names its arrays in
order: `ByLayer`. Since 2.12 groups follow the attributes by which objects hold each other, and each
has its arrays in a group `vars`: `ByPath`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from holdfast.errors import FormatError
from holdfast.formats.guard import Budget, parse_json
from holdfast.formats.hdf5_arrays import entry
from holdfast.formats.hdf5_tree import Dataset, Group, Tree
from holdfast.formats.model_file import ByLayer, ByPath, Entry, LayerEntries, ModelFile
from holdfast.formats.problems import find_problems
from holdfast.formats.region import Region, open_region
from holdfast.types import Json

_LAYERS, _TOP = "layer_names", "top_level_model_weights"
_WEIGHTS, _OPTIMIZER = "model_weights", "optimizer_weights"
DEPENDENCIES = "_layer_checkpoint_dependencies"
"""What Keras 2.12 called the list of layers, of which it then listed most twice."""

Layout = Literal["whole", "weights", "oldest", "paths"]


def read(path: Path) -> ModelFile:
    """Open an HDF5 file, reading no arrays yet.

    Args:
        path: of the file.

    Raises:
        FormatError: it is damaged, not safe, or not laid out as Keras does.
    """
    with contextlib.ExitStack() as closing:
        region = open_region(path, closing)
        return read_region(region, path, closing)


def read_region(
    region: Region, path: Path, closing: contextlib.ExitStack, budget: Budget | None = None
) -> ModelFile:
    """Open the bytes of an HDF5 file. See `read`.

    Args:
        region: the bytes.
        path: of the file that has them.
        closing: what is to be closed with the result; it is handed over to it.
        budget: of the zip it is in; None for its own.
    """
    tree = Tree(region, budget)
    layout = layout_of(tree)
    if layout == "paths":
        return ModelFile(path, "weights.h5", by_path(tree), closing=closing.pop_all())
    reader = _ByLayerReader(tree)
    weights = reader.weights(layout)
    config = reader.json("model_config")
    beside = _config_beside(path) if config is None else None
    version = reader.text("keras_version") or ("0" if layout == "oldest" else "1")
    return ModelFile(
        path,
        "hdf5",
        weights,
        keras_version=version,
        backend=reader.text("backend"),
        config=config if config is not None else beside,
        training=reader.json("training_config"),
        optimizer=reader.optimizer(),
        problems=find_problems(config if config is not None else beside),
        closing=closing.pop_all(),
    )


def layout_of(tree: Tree) -> Layout:
    """Return in which way a file is laid out.

    Raises:
        FormatError: in none that Keras ever used.
    """
    root = tree.root
    if _WEIGHTS in root.members or "model_config" in root.attributes:
        return "whole"
    if _LAYERS in root.attributes or f"{_LAYERS}0" in root.attributes:
        return "weights"
    if "nb_layers" in root.attributes:
        return "oldest"
    datasets = list(root.datasets())
    if not datasets or any("vars" in dataset.path.split("/")[:-1] for dataset in datasets):
        return "paths"
    names = ", ".join(dataset.path for dataset in datasets[:3])
    raise tree.wrong(
        f"it is HDF5, and not of Keras: expected an attribute {_LAYERS!r}, a group {_WEIGHTS!r} or "
        f"groups 'vars', found {names}"
    )


def by_path(tree: Tree) -> ByPath:
    """Return the arrays of a file that is laid out by paths.

    Args:
        tree: of the file.
    """
    entries: dict[str, Entry] = {}
    for name, dataset in _renamed(tree.root, "", tree):
        if name in entries:
            raise tree.wrong(f"{name} is there twice")
        entries[name] = entry(tree, dataset, name)
    return ByPath(entries)


def _renamed(group: Group, path: str, tree: Tree) -> Iterator[tuple[str, Dataset]]:
    """Yield each dataset below with its path as newer versions on any system would write it."""
    members = dict(_members(group))
    for name, member in sorted(members.items(), key=lambda item: _numerically(item[0])):
        inner = f"{path}/{name}" if path else name
        if isinstance(member, Dataset):
            yield inner, member
        elif name == DEPENDENCIES:
            if "layers" in members:
                raise tree.wrong(
                    f"it has both layers and {DEPENDENCIES}, which cannot be told apart"
                )
            outer = f"{path}/layers" if path else "layers"
            for number, part in _counted_once(member).items():
                yield from _renamed(part, f"{outer}/{number}", tree)
        else:
            yield from _renamed(member, inner, tree)


def _numerically(name: str) -> tuple[int, str]:
    """Return by what names are ordered: 10 comes after 9."""
    return (int(name) if re.fullmatch("[0-9]{1,9}", name) else -1, name)


def _members(group: Group) -> Iterator[tuple[str, Group | Dataset]]:
    """Yield what is in a group, with names that were paths on Windows taken apart.

    There `layers\\dense` is one group's name.
    """
    nested: dict[str, dict[str, Group | Dataset]] = {}
    # Below the first level the names have been taken apart already.
    paths = [name.replace("\\", "/") for name in group.members]
    windows = {path.partition("/")[0] for path in paths if "/" in path}
    for name, member in group.members.items():
        first, slash, rest = name.replace("\\", "/").partition("/")
        if slash and first and rest:
            nested.setdefault(first, {})[rest] = member
        elif not (name in windows and isinstance(member, Group)):
            yield name, member
    for name, members in nested.items():
        plain = group.members.get(name)
        beside = plain.members if isinstance(plain, Group) else {}
        yield name, Group(f"{group.path}/{name}", {}, {**beside, **members})


def _counted_once(group: Group) -> dict[str, Group]:
    """Return the layers of a `_layer_checkpoint_dependencies` by the names newer versions give.

    A layer with weights is in that list twice, and counted twice: of three Dense layers these are
    `dense`, `dense_2` and `dense_4`. Their order is right, so they are numbered again.
    """
    kinds: dict[str, list[tuple[int, Group]]] = {}
    for name, member in _members(group):
        if isinstance(member, Group):
            kind, number = _kind_and_number(name, group)
            kinds.setdefault(kind, []).append((number, member))
    return {
        f"{kind}_{place}" if place else kind: member
        for kind, members in kinds.items()
        for place, (_, member) in enumerate(sorted(members, key=lambda item: item[0]))
    }


def _kind_and_number(name: str, group: Group) -> tuple[str, int]:
    found = re.fullmatch(r"(.+)_(\d{1,9})", name)
    if found and found[1] in {other.replace("\\", "/") for other in group.members}:
        return found[1], int(found[2])
    return name, 0


class _ByLayerReader:
    """Reads a file in which each layer's group names its arrays."""

    def __init__(self, tree: Tree) -> None:
        self._tree, self._root = tree, tree.root

    def text(self, name: str) -> str | None:
        """Return a text that is said about the file or its weights, or None."""
        weights = self._root.members.get(_WEIGHTS)
        for group in (self._root, weights):
            if isinstance(group, Group) and name in group.attributes:
                texts = self._tree.texts(group.attributes[name])
                return self._decoded(texts[0], name) if texts else None
        return None

    def json(self, name: str) -> Json | None:
        """Return JSON that is said about the file; some versions made JSON of JSON."""
        if name not in self._root.attributes:
            return None
        texts = self._tree.texts(self._root.attributes[name])
        if not texts:
            return None
        where = f"{self._tree.region.name}: {name}"
        value = parse_json(texts[0], where, self._tree.budget)
        if isinstance(value, str):
            value = parse_json(value, where, self._tree.budget)
        if value is not None and not isinstance(value, dict):
            raise self._tree.wrong(f"{name} should be an object, found {type(value).__name__}")
        return value

    def weights(self, layout: Layout) -> ByLayer:
        """Return the arrays of the layers."""
        if layout == "oldest":
            return ByLayer(tuple(self._oldest_layers()))
        group: Group | Dataset | None = self._root
        if layout == "whole":
            group = self._root.members.get(_WEIGHTS, Group(""))
        if not isinstance(group, Group):
            raise self._tree.wrong(f"{_WEIGHTS} should be a group")
        layers = []
        for name in self._names(group, _LAYERS):
            part = group.at(name)
            if not isinstance(part, Group):
                raise self._tree.wrong(f"expected a group for the layer {name!r}, found none")
            layers.append(LayerEntries(name, tuple(self._entries(part, f"{name}/"))))
        top = group.members.get(_TOP)
        return ByLayer(
            tuple(layers),
            tuple(self._entries(top, f"{_TOP}/")) if isinstance(top, Group) else (),
        )

    def optimizer(self) -> tuple[Entry, ...] | None:
        """Return the optimizer's arrays, by the names that the file lists."""
        group = self._root.members.get(_OPTIMIZER)
        return tuple(self._entries(group, "")) if isinstance(group, Group) else None

    def _entries(self, group: Group, prefix: str) -> Iterator[Entry]:
        for name in self._names(group, "weight_names"):
            dataset = group.at(name)
            if not isinstance(dataset, Dataset):
                raise self._tree.wrong(f"/{group.path} lists {name!r}, and it is not there")
            yield entry(self._tree, dataset, f"{prefix}{name}")

    def _names(self, group: Group, name: str) -> list[str]:
        """Return the names in an attribute, which may be split in parts 0, 1, …"""
        if name in group.attributes:
            parts = [group.attributes[name]]
        else:
            parts = []
            while f"{name}{len(parts)}" in group.attributes:
                parts.append(group.attributes[f"{name}{len(parts)}"])
        names = []
        for part in parts:
            # Of an empty list the type is what numpy makes of it, which is no text.
            if part.shape and part.shape != (0,):
                names += [self._decoded(text, name) for text in self._tree.texts(part)]
        return names

    def _oldest_layers(self) -> Iterator[LayerEntries]:
        layers = self._numbered("layer_")
        for number, part in enumerate(layers):
            if not isinstance(part, Group):
                raise self._tree.wrong(f"layer_{number} should be a group")
            entries: list[Entry] = []
            while (dataset := part.members.get(f"param_{len(entries)}")) is not None:
                if not isinstance(dataset, Dataset):
                    raise self._tree.wrong(f"/{dataset.path} should be an array")
                entries.append(entry(self._tree, dataset, dataset.path))
            yield LayerEntries(f"layer_{number}", tuple(entries))

    def _numbered(self, prefix: str) -> list[Group | Dataset]:
        members = self._root.members
        found: list[Group | Dataset] = []
        while f"{prefix}{len(found)}" in members:
            found.append(members[f"{prefix}{len(found)}"])
        return found

    def _decoded(self, text: bytes, what: str) -> str:
        return self._tree.decoded(text, what)


def _config_beside(path: Path) -> Mapping[str, Json] | None:
    """Return what `model.to_json()` said, where it was written beside the weights."""
    sidecar = path.with_suffix(".json")
    try:
        with contextlib.ExitStack() as closing:
            region = open_region(sidecar, closing)
            value = parse_json(region.read(0, region.size), str(sidecar))
            if isinstance(value, str):
                value = parse_json(value, str(sidecar))
    except FormatError:
        return None
    if isinstance(value, dict) and {"class_name", "config"} <= value.keys():
        return value
    return None
