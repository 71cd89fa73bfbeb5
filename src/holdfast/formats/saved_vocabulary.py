"""The vocabularies of lookup layers in a SavedModel.

Owns finding a table's keys and values: in the checkpoint, in the function that fills the table, or
in a file among the assets. Leaves special tokens, which are none of the table's, to the layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.bundle import map_file
from holdfast.formats.graph.definition import Graph, Node
from holdfast.formats.model_file import ObjectNode
from holdfast.formats.saved_objects import SavedObjects

Vocabulary = tuple[bytes | int, ...]
Table = tuple[NDArray[Any], NDArray[Any]]
"""Keys and values."""

_LAYERS_WITHIN = ("_lookup_layer", "_index_lookup_layer")
_TABLES = ("lookup_table", "_table")
_FILLS = frozenset(("LookupTableImportV2", "InitializeTableV2"))
_MOST_LINES = 500_000
_WHOLE_LINE, _LINE_NUMBER = -2, -1


class Tables:
    """The tables of a SavedModel.

    Args:
        folder: of the SavedModel.
        objects: of its `saved_model.pb`.
        stored: which object of the checkpoint is which of them.
        graph: of `saved_model.pb`.
        assets: the names of its files, by their number.
    """

    def __init__(
        self,
        folder: Path,
        objects: SavedObjects,
        stored: Mapping[int, ObjectNode],
        graph: Graph,
        assets: Sequence[str],
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._stored = stored
        self._graph = graph
        self._assets = assets

    def vocabulary(self, layer: int) -> Vocabulary | None:
        """Return the vocabulary of a layer, in the order of its indices; None if it has no table.

        Args:
            layer: the object's number.

        Raises:
            FormatError: it is not sound.
        """
        nodes = self._objects.nodes
        for edge in _LAYERS_WITHIN:
            layer = nodes[layer].children.get(edge, layer)
        for edge in _TABLES:
            number = nodes[layer].children.get(edge)
            table = None if number is None else self.table(number)
            if table is not None:
                return _in_order(table, f"{self._folder}: object {number}")
        return None

    def table(self, number: int) -> Table | None:
        """Return the keys and values of a table, or None where the file does not say them.

        Args:
            number: of the table's object.

        Raises:
            FormatError: they are not sound.
        """
        stored = self._stored.get(number)
        if stored is not None and "table-keys" in stored.others:
            keys, values = stored.others["table-keys"], stored.others["table-values"]
            if keys.shape != (0,):
                return keys.read(), values.read()
        for tables in (self._filled(number), self._from_file(number)):
            table = next(tables, None)
            if table is not None:
                return table
        return None

    def _filled(self, number: int) -> Iterator[Table]:
        """Yield what the function that fills a table puts into it."""
        initialize = self._objects.nodes[number].children.get("_initialize")
        names = () if initialize is None else self._objects.nodes[initialize].functions
        for name in names:
            function = self._graph.function(name)
            bound = dict(
                zip(function.arguments, self._objects.captures.get(name, ()), strict=False)
            )
            for node in function.nodes.values():
                if node.op in _FILLS and len(node.inputs) == 3:
                    keys, values = (
                        self._constant(source, function.nodes, bound) for source in node.inputs[1:]
                    )
                    if keys is not None and values is not None:
                        yield keys, values

    def _constant(
        self, source: str, nodes: Mapping[str, Node], bound: Mapping[str, int]
    ) -> NDArray[Any] | None:
        name = source.partition(":")[0]
        node = nodes.get(name)
        if name in bound:
            node = self._graph.nodes.get(self._objects.nodes[bound[name]].constant)
        if node is None or node.op != "Const":
            return None
        return node.attributes.tensor("value")

    def _from_file(self, number: int) -> Iterator[Table]:
        """Yield the table of whole lines and their numbers that a file among the assets is."""
        nodes = self._objects.nodes
        initializer = nodes[nodes[number].children.get("_initializer", number)]
        file = initializer.children.get("_filename")
        asset = None if file is None else nodes[file].asset
        initialize = nodes[number].children.get("_initialize")
        if asset is None or initialize is None:
            return
        for name in nodes[initialize].functions:
            for node in self._graph.function(name).nodes.values():
                if node.op == "InitializeTableFromTextFileV2" and _by_line(node):
                    lines = self._lines(asset)
                    yield np.array(lines, object), np.arange(len(lines))

    def _lines(self, asset: int) -> list[bytes]:
        if not 0 <= asset < len(self._assets):
            raise FormatError(f"{self._folder} is not sound: it has no file {asset} of assets.")
        path = asset_path(self._folder, self._assets[asset])
        text = bytes(map_file(path))
        # Lines cost a multiple of the bytes they come from.
        if text.count(b"\n") + text.count(b"\r") > _MOST_LINES + len(text) // 8:
            raise FormatError(f"{path} is refused: it has too many lines for its size.")
        return text.splitlines()


def asset_path(folder: Path, name: str) -> Path:
    """Return where a file of the assets is.

    Raises:
        FormatError: its name leads elsewhere, or it is not there.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if len(parts) != 1 or parts[0] in ("..", "/") or "\0" in name or ":" in name:
        raise FormatError(f"{folder} is refused: it names {name!r}, outside its assets.")
    path = folder / "assets" / name
    if path.is_symlink() or not path.is_file():
        raise FormatError(f"{folder} is not whole: {path} is not there, or is no file.")
    return path


def _by_line(node: Node) -> bool:
    numbers = node.attributes.integer("key_index"), node.attributes.integer("value_index")
    return numbers == (_WHOLE_LINE, _LINE_NUMBER)


def _in_order(table: Table, name: str) -> Vocabulary:
    keys, values = table
    if keys.ndim != 1 or keys.shape != values.shape:
        raise FormatError(
            f"{name} is not sound: a table with keys of shape {keys.shape} and values of shape "
            f"{values.shape}."
        )
    if keys.size > 1 and 0 in (*keys.strides, *values.strides):
        raise FormatError(f"{name} is refused: a table of {keys.size:,} equal keys or values.")
    if keys.dtype.kind not in "iuO":
        raise FormatError(f"{name} is refused: a table whose keys are {keys.dtype.name}.")
    # A layer with invert=True has the table the other way round.
    if values.dtype.kind == "O" and keys.dtype.kind != "O":
        keys, values = values, keys
    if values.dtype.kind not in "iu":
        raise FormatError(f"{name} is refused: a table whose values are {values.dtype.name}.")
    return tuple(keys[np.argsort(values, kind="stable")].tolist())
