"""What Keras 2.11 and later call `.keras`: a zip or a directory of a configuration and weights.

Owns which member is what. Leaves the zip to `zip_members`, weights to `hdf5`, `npz` and `shards`,
and what a configuration means to `legacy`.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from holdfast.errors import FormatError
from holdfast.formats import npz, shards
from holdfast.formats.guard import parse_json
from holdfast.formats.hdf5 import DEPENDENCIES, by_path
from holdfast.formats.hdf5_tree import Tree
from holdfast.formats.members import Folder, Members
from holdfast.formats.model_file import ByPath, ModelFile
from holdfast.formats.problems import find_problems
from holdfast.formats.region import open_region
from holdfast.formats.zip_members import ZipMembers
from holdfast.types import Json

CONFIG, _METADATA, _ASSETS = "config.json", "metadata.json", "assets/"
_HDF5, _NPZ, _SHARDS = (
    ("model.weights.h5", "variables.h5"),
    "model.weights.npz",
    "model.weights.json",
)
WEIGHTS = (*_HDF5, _NPZ, _SHARDS)
"""The names under which a file may have its weights."""


def is_keras(names: Collection[str]) -> bool:
    """Return whether members of these names are a model of Keras."""
    return CONFIG in names and any(name in names for name in WEIGHTS)


def read(path: Path) -> ModelFile:
    """Open a `.keras` file, or a directory of what is in one, reading no arrays yet.

    Raises:
        FormatError: it is damaged, not safe, or lacks a part.
    """
    with contextlib.ExitStack() as closing:
        if path.is_dir():
            return read_members(Folder(path, closing), path, closing)
        return read_members(ZipMembers(open_region(path, closing)), path, closing)


def read_members(members: Members, path: Path, closing: contextlib.ExitStack) -> ModelFile:
    """Open the members of a `.keras` file. See `read`.

    Args:
        members: of the zip or directory.
        path: of what has them.
        closing: what is to be closed with the result; it is handed over to it.
    """
    names = members.names
    config = _object(members, CONFIG)
    metadata = _object(members, _METADATA) if _METADATA in names else {}
    version = metadata.get("keras_version")
    weights = _weights(members, names)
    assets = {
        name.removeprefix(_ASSETS).replace(DEPENDENCIES, "layers"): functools.partial(
            members.read, name
        )
        for name in names
        if name.startswith(_ASSETS)
    }
    return ModelFile(
        path,
        "keras",
        ByPath(weights.entries, assets, counted=_is_counted(weights, config)),
        keras_version=version if isinstance(version, str) else None,
        config=config,
        training=_training(config),
        problems=find_problems(config),
        closing=closing.pop_all(),
    )


def _training(config: Json) -> Json | None:
    """Return how the model was compiled; Keras 2.11 kept it within the model's arguments."""
    inner = config.get("config")
    found = config.get("compile_config")
    return inner.get("compile_config") if found is None and isinstance(inner, dict) else found


def _weights(members: Members, names: Collection[str]) -> ByPath:
    found = next((name for name in WEIGHTS if name in names), None)
    if found is None:
        raise FormatError(
            f"{members.title}: expected weights as {', '.join(WEIGHTS)}, found only "
            f"{', '.join(sorted(names)[:10])}"
        )
    if found == _SHARDS:
        plan = _json(members, found)
        return shards.joined(plan, f"{members.title}: {found}", lambda name: _tree(members, name))
    if found == _NPZ:
        region = members.open(found)
        return npz.by_path(region, members.budget_of(region))
    return by_path(_tree(members, found))


def _tree(members: Members, name: str) -> Tree:
    region = members.open(name)
    return Tree(region, members.budget_of(region))


def _object(members: Members, name: str) -> dict[str, Json]:
    value = _json(members, name)
    if not isinstance(value, dict):
        found = type(value).__name__
        raise FormatError(f"{members.title}: {name} should be an object, found {found}")
    return value


def _json(members: Members, name: str) -> Json:
    region = members.open(name)
    data = members.read(name)
    return parse_json(data, f"{members.title}: {name}", members.budget_of(region))


def group_names(layers: list[Json]) -> list[str]:
    """Return the names of the groups in which layers keep their arrays.

    Args:
        layers: as a configuration lists them.
    """
    counts: dict[str, int] = {}
    names = []
    for layer in layers:
        kind = str(layer.get("class_name")) if isinstance(layer, dict) else ""
        kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
        place = counts[kind] = counts.get(kind, -1) + 1
        names.append(f"{kind}_{place}" if place else kind)
    return names


def _is_counted(weights: ByPath, config: Json) -> bool:
    """Return whether groups are named by class and counter, and not by the layers' names."""
    parts = config.get("config")
    layers = parts.get("layers") if isinstance(parts, dict) else None
    if not isinstance(layers, list):
        return True
    groups = {path.split("/")[1] for path in weights.entries if path.startswith("layers/")}
    return groups <= set(group_names(layers)) or not groups <= set(_named(layers))


def _named(layers: list[Json]) -> Iterator[str]:
    for layer in layers:
        config = layer.get("config") if isinstance(layer, dict) else None
        if isinstance(config, dict) and isinstance(config.get("name"), str):
            yield config["name"]
