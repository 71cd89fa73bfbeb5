"""SavedModel, TensorFlow's directory: what Keras saved in it, as a `ModelFile`.

Owns which parts of the directory mean what. Leaves objects and edges to `saved_objects`, whose an
array is to `saved_layers`, Keras's JSON to `keras_metadata`, tables to `saved_vocabulary`, arrays
to `bundle`, and functions to `graph`.

    saved_model.pb       objects, their edges, and the functions that compute
    keras_metadata.pb    what Keras says of the objects, since TensorFlow 2.5
    variables/           a checkpoint: variables.index, variables.data-00000-of-00001
    assets/              files that the functions read
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.bundle import Bundle
from holdfast.formats.checkpoint_file import index_of, weights_of
from holdfast.formats.graph.definition import Graph
from holdfast.formats.graph.served import ServedGraph
from holdfast.formats.keras_metadata import OLD_CONFIG, KerasObject, read_metadata, read_old_config
from holdfast.formats.model_file import (
    ByLayer,
    ByName,
    ByObject,
    ModelFile,
    ObjectNode,
    Problem,
    Weights,
)
from holdfast.formats.problems import find_problems
from holdfast.formats.saved_layers import Layers, layer_configs
from holdfast.formats.saved_objects import SavedObjects, in_checkpoint, named, read_objects
from holdfast.formats.saved_vocabulary import Tables
from holdfast.formats.wire import Message
from holdfast.types import Json

FILE = "saved_model.pb"
_TEXT_FILE = "saved_model.pbtxt"
_VARIABLES = Path("variables", "variables")
_SERVE = "serve"


def read(path: Path | str) -> ModelFile:
    """Open a SavedModel.

    Args:
        path: of the directory, or of its `saved_model.pb`.

    Returns:
        Weights by layer where Keras's configuration lists layers, and else by object or by name.
        `objects` has all arrays by object, those of the optimizer among them. `graph` has the
        functions it serves.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is not sound.
    """
    path = Path(path)
    folder = path.parent if path.name == FILE else path
    if not (folder / FILE).is_file():
        if (folder / _TEXT_FILE).is_file():
            raise FormatError(
                f"{folder / _TEXT_FILE}: a SavedModel in its text form is not read. Load it with "
                "the TensorFlow that wrote it and save it again."
            )
        if (folder / OLD_CONFIG).is_file() and index_of(folder / _VARIABLES).is_file():
            return _read_without_graph(folder, path)
        raise FileNotFoundError(f"There is no SavedModel at {folder}: it has no {FILE}.")
    opened = _Opened.open(folder)
    item = opened.metadata.get(0)
    root = None if item is None else item.read()
    config = read_old_config(folder) if root is None else _config(root)
    graph = opened.served()
    return ModelFile(
        path=path,
        format="saved_model",
        weights=opened.weights(config),
        keras_version=_keras_version(root, config, opened.version),
        backend="tensorflow",
        config=config,
        training=_training(root, config),
        problems=find_problems(config) if config is not None else _unserved(graph),
        objects=opened.arrays if isinstance(opened.arrays, ByObject) else None,
        graph=graph,
    )


def _read_without_graph(folder: Path, path: Path) -> ModelFile:
    """Open what TensorFlow 1.x exported, without the graph that lay beside it."""
    config = read_old_config(folder)
    weights = weights_of(Bundle.open(folder / _VARIABLES))
    return ModelFile(
        path=path,
        format="saved_model",
        weights=weights,
        keras_version=_keras_version(None, config, ""),
        backend="tensorflow",
        config=config,
        training=_training(None, config),
        problems=find_problems(config),
    )


def _unserved(graph: ServedGraph) -> tuple[Problem, ...]:
    """Return what keeps a graph from being served, which is all there is to do with it."""
    found = graph.problem()
    if found is None:
        return ()
    unsafe, what = found
    return (Problem("unsafe" if unsafe else "unsupported", "graph", what),)


@dataclass(frozen=True)
class _Opened:
    """The parts of a SavedModel.

    Args:
        folder: its path.
        version: of the TensorFlow that wrote it.
        message: the MetaGraphDef.
        objects: of `saved_model.pb`.
        metadata: what Keras says of them.
        arrays: of the checkpoint, or None where the model has no variables.
        stored: which object of the checkpoint is which of `objects`.
    """

    folder: Path
    version: str
    message: Message
    objects: SavedObjects
    metadata: Mapping[int, KerasObject]
    arrays: ByObject | ByName | None
    stored: Mapping[int, ObjectNode]

    @classmethod
    def open(cls, folder: Path) -> _Opened:
        file = folder / FILE
        # Not mapped: a served model keeps its graph, and someone may write to the file.
        whole = Message(file.read_bytes(), str(file))
        message = _meta_graph(whole, str(file))
        objects = read_objects(message.blob(7), str(file))
        prefix = folder / _VARIABLES
        arrays = weights_of(Bundle.open(prefix)) if index_of(prefix).is_file() else None
        if isinstance(arrays, ByObject):
            arrays = named(arrays)
        info = message.message(1)
        return cls(
            folder=folder,
            version="" if info is None else info.text(5),
            message=message,
            objects=objects,
            metadata=read_metadata(folder, objects.nodes),
            arrays=arrays,
            stored=in_checkpoint(objects.nodes, arrays),
        )

    def graph(self) -> Graph:
        data = self.message.blob(2)
        name = str(self.folder / FILE)
        if data is None:
            raise FormatError(f"{name} is not sound: it has no graph.")
        return Graph(data, name)

    def tables(self) -> Tables:
        assets = [asset.text(2) for asset in self.message.messages(6)]
        return Tables(self.folder, self.objects, self.stored, self.graph(), assets)

    def served(self) -> ServedGraph:
        name = str(self.folder / FILE)
        return ServedGraph(
            name=name,
            signatures=_signatures(self.message),
            open_graph=self.graph,
            objects=self.objects,
            stored=self.stored,
            by_name=self.arrays.entries if isinstance(self.arrays, ByName) else {},
        )

    def weights(self, config: Json | None) -> Weights:
        """Return the arrays in the way that says most of whose they are."""
        configs = layer_configs(config)
        if self.metadata and configs:
            name, nodes = str(self.folder), self.objects.nodes
            layers = Layers(name, nodes, self.metadata, self.stored, self.tables)
            return ByLayer(tuple(layers.of_model(0, configs)))
        return ByName({}) if self.arrays is None else self.arrays


def _meta_graph(whole: Message, name: str) -> Message:
    """Return the graph to read: what was saved for serving, not for training or for a TPU."""
    graphs = list(whole.messages(2))
    if not graphs:
        raise FormatError(f"{name} is not sound: it has no graphs.")
    for graph in graphs:
        info = graph.message(1)
        if info is not None and list(info.texts(4)) == [_SERVE]:
            return graph
    for graph in graphs:
        if graph.has(7):
            return graph
    return graphs[0]


def _signatures(message: Message) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for pair in message.messages(5):
        signature = pair.message(2)
        if signature is not None:
            found[pair.text(1)] = signature
    return found


def _config(root: dict[str, Any]) -> Json | None:
    """Return the configuration of the model, or None where it could not say one."""
    kept = ("class_name", "config", "build_input_shape")
    config = {key: root[key] for key in kept if root.get(key) is not None}
    return config if "class_name" in config and "config" in config else None


def _training(root: dict[str, Any] | None, config: Json | None) -> Json | None:
    if root is not None:
        return root.get("training_config")
    return config.get("training_config") if isinstance(config, dict) else None


def _keras_version(root: dict[str, Any] | None, config: Json | None, tensorflow: str) -> str | None:
    said = root.get("keras_version") if root is not None else None
    if said is None and isinstance(config, dict):
        said = config.get("keras_version")
    if isinstance(said, str):
        return said
    if root is None and config is None:
        return None
    major, _, rest = tensorflow.partition(".")
    minor = rest.partition(".")[0]
    if not (major.isdecimal() and minor.isdecimal()):
        return None
    # Keras had numbers of its own until it had TensorFlow's.
    return f"{major}.{minor}.0" if (int(major), int(minor)) >= (2, 4) else "2.2.4-tf"
