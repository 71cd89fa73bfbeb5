"""SavedModels for the fuzzer: whole ones, and the messages within, which flips seldom reach."""

import tempfile
from pathlib import Path

from fuzzed_bundles import join, split
from saved_models import manifest, small, special

from holdfast.formats import saved_model
from holdfast.formats.graph import operations
from holdfast.formats.graph.definition import Graph
from holdfast.formats.graph.tensor import read_tensor
from holdfast.formats.keras_metadata import read_metadata
from holdfast.formats.model_file import ByLayer, ByObject
from holdfast.formats.saved_objects import SavedObject, read_objects
from holdfast.formats.wire import Message

_PARTS = (
    "saved_model.pb",
    "keras_metadata.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets/vocabulary.txt",
)
_MODELS = ("string_lookup_adapted", "text_vectorization", "time_distributed")


def _read_saved_model(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as name:
        for part, content in zip(_PARTS, split(data, len(_PARTS)), strict=True):
            path = Path(name, part)
            if content or part == _PARTS[0]:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
        with saved_model.read(name) as file:
            _read_all(file)


def _read_all(file: object) -> None:
    weights = file.weights
    found = []
    if isinstance(weights, ByLayer):
        waiting = list(weights.layers)
        while waiting:
            layer = waiting.pop()
            waiting += layer.layers
            found += layer.entries
    elif isinstance(weights, ByObject):
        found = [node.value for node in weights.nodes if node.value is not None]
    else:
        found = list(weights.entries.values())
    for entry in found:
        entry.read()
    for name in file.graph.signatures:
        signature = file.graph.signature(name)
        if file.graph.problem(name) is None:
            file.graph.variables(signature)


def _read_objects(data: bytes) -> None:
    read_objects(data, "fuzzed")


def _read_metadata(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as name:
        Path(name, "keras_metadata.pb").write_bytes(data)
        for item in read_metadata(Path(name), (SavedObject(),) * 100).values():
            assert isinstance(item.name, str)


def _read_graph(data: bytes) -> None:
    graph = Graph(data, "fuzzed")
    for name in graph.nodes:
        operations.problem(graph, [name])
    operations.order(graph.nodes, tuple(graph.nodes), "fuzzed")
    for node in graph.nodes.values():
        for key in node.attributes.functions():
            function = graph.function(key)
            for inner in operations.order(function.nodes, function.results, "fuzzed"):
                for source in inner.inputs:
                    operations.place_of(source, function.nodes, "fuzzed")
                if inner.op == "Const":
                    inner.attributes.tensor("value")


def _read_tensor(data: bytes) -> None:
    array = read_tensor(Message(data, "fuzzed"), "fuzzed")
    assert array.size >= 0


def _folders() -> list[Path]:
    models = manifest()
    return [*(models[name][1] for name in _MODELS), small("flow"), special("module")]


def _saved_models() -> list[bytes]:
    return [
        join(*((f / part).read_bytes() if (f / part).is_file() else b"" for part in _PARTS))
        for f in _folders()
    ]


def _meta_graphs() -> list[Message]:
    files = [(folder / "saved_model.pb").read_bytes() for folder in _folders()]
    return [Message(Message(data, "seed").blob(2), "seed") for data in files]


def _metadata() -> list[bytes]:
    paths = [folder / "keras_metadata.pb" for folder in _folders()]
    return [path.read_bytes() for path in paths if path.is_file()]


def _tensors() -> list[bytes]:
    found = set()
    for meta in _meta_graphs():
        for node in meta.message(2).messages(1):
            for pair in node.messages(5):
                tensor = pair.message(2).blob(8)
                if tensor is not None and len(tensor) < 4000:
                    found.add(bytes(tensor))
    return sorted(found)


READERS = {
    "SavedModel's tables and signatures": (_read_saved_model, _saved_models),
    "SavedModel's objects": (
        _read_objects,
        lambda: [bytes(meta.blob(7)) for meta in _meta_graphs()],
    ),
    "SavedModel's metadata": (_read_metadata, _metadata),
    "SavedModel's graph": (_read_graph, lambda: [bytes(meta.blob(2)) for meta in _meta_graphs()]),
    "SavedModel's tensors": (_read_tensor, _tensors),
}
"""What reads bytes to the end, and real files to start from, by name."""
