"""Weights of Keras 3 in several HDF5 files, and the `.weights.json` that says which has what.

Owns the list of files. Leaves each of them to `hdf5`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from holdfast.errors import FormatError
from holdfast.formats.guard import parse_json
from holdfast.formats.hdf5 import by_path
from holdfast.formats.hdf5_tree import Tree
from holdfast.formats.model_file import ByPath, Entry, ModelFile
from holdfast.formats.region import open_region
from holdfast.types import Json

_MOST_SHARDS = 10_000


def read(path: Path) -> ModelFile:
    """Open a `.weights.json` and the files beside it that it names.

    Raises:
        FormatError: one is missing, damaged or not safe.
    """
    with contextlib.ExitStack() as closing:
        region = open_region(path, closing)
        plan = parse_json(region.read(0, region.size), str(path))
        weights = joined(
            plan, str(path), lambda name: Tree(open_region(path.parent / name, closing))
        )
        return ModelFile(path, "weights.h5", weights, closing=closing.pop_all())


def joined(plan: Json, name: str, opened: Callable[[str], Tree]) -> ByPath:
    """Return the arrays of all the files.

    Args:
        plan: the list, as the JSON has it.
        name: of the JSON, for messages.
        opened: gives the file of a name.

    Raises:
        FormatError: one is missing, damaged or not safe.
    """
    entries: dict[str, Entry] = {}
    for shard in _shards(plan, name):
        for path, entry in by_path(opened(shard)).entries.items():
            if path in entries:
                raise FormatError(f"{name}: {path} is in more than one of its files")
            entries[path] = entry
    return ByPath(entries)


def _shards(plan: Json, name: str) -> list[str]:
    owners = plan.get("weight_map") if isinstance(plan, dict) else None
    if not isinstance(owners, dict):
        raise FormatError(f"{name}: expected an object with a 'weight_map', found none")
    found: dict[str, None] = {}
    for shards in owners.values():
        for shard in shards if isinstance(shards, list) else [shards]:
            if not isinstance(shard, str) or not shard.endswith(".h5") or set(shard) & set("/\\:"):
                raise FormatError(f"{name}: {str(shard)[:80]!r} is no file beside it")
            found[shard] = None
    if len(found) > _MOST_SHARDS:
        raise FormatError(f"{name}: more than {_MOST_SHARDS} files")
    return list(found)
