"""Runs a SavedModel's `serving_default` by TensorFlow.

Owns which of them are run at all, and running it. Leaves checking inputs to `judge/signature`.

TensorFlow warns that a SavedModel is a program. What of it would reach outside, into files or into
Python, is refused before TensorFlow sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.errors import FormatError, InputError, MissingExtraError
from holdfast.judge.rows import in_blocks, is_free
from holdfast.judge.signature import Feed, Signature, Tensor

_ENDPOINT = "serving_default"
# What every SavedModel has to save and load its variables, called by TensorFlow alone.
_OWN = ("RestoreV2", "SaveV2", "MergeV2Checkpoints", "ShardedFilename")
_SAVERS = ("__inference__traced_save", "__inference__traced_restore")
_OUTSIDE = (
    "PyFunc", "EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile", "MatchingFiles",
    "Save", "SaveSlices", "Restore", "RestoreSlice", "DeserializeSparse", "LoadDataset",
    "LoadDatasetV2", "SaveDataset", "SaveDatasetV2", "TextLineDataset", "TextLineReader",
    "TextLineReaderV2", "TFRecordDataset", "TFRecordReader", "TFRecordReaderV2",
    "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "FixedLengthRecordReader",
    "FixedLengthRecordReaderV2", "WholeFileReader", "WholeFileReaderV2", "CacheDataset",
    "CacheDatasetV2", "WriteSummary", "CreateSummaryFileWriter", "PrintV2",
    "FileSystemSetConfiguration",
    "GenerateVocabRemapping", "LoadAndRemapMatrix", "RpcCall", "RpcClient", "RpcServer",
    "DebugIdentityV2",
)  # fmt: skip


class SavedModel:
    """A SavedModel in TensorFlow. It may be called from several threads at once.

    Args:
        path: of the directory.

    Raises:
        FormatError: TensorFlow refuses it, or it reaches outside of itself.
        MissingExtraError: TensorFlow is not installed.
    """

    name = "TensorFlow"

    def __init__(self, path: Path) -> None:
        try:
            import tensorflow as tf
        except ModuleNotFoundError as error:
            raise MissingExtraError("tensorflow", "tensorflow", "Running a SavedModel") from error
        self._tf = tf
        _check(path)
        try:
            self._model = tf.saved_model.load(str(path))
            self._call = self._model.signatures[_ENDPOINT]
        except KeyError:
            raise FormatError(f"{path}: it has no signature {_ENDPOINT}") from None
        except Exception as error:  # TensorFlow's errors have no base but this
            raise FormatError(f"{path}: TensorFlow refuses it: {error}") from error
        asked = self._call.structured_input_signature[1]
        self.signature = Signature(_tensors(asked), _tensors(self._call.structured_outputs))
        self._free = is_free(self.signature)

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name.

        Raises:
            InputError: the model does not take these inputs, though its signature does.
        """
        return in_blocks(self._block, feed) if self._free else self._block(feed)

    def close(self) -> None:
        """Let go of the model."""
        self._model = self._call = None

    def _block(self, feed: Feed) -> Feed:
        try:
            found = self._call(
                **{name: self._tf.convert_to_tensor(array) for name, array in feed.items()}
            )
        except self._tf.errors.OpError as error:
            raise InputError(f"TensorFlow could not run the model: {error.message}") from error
        return {name: part.numpy() for name, part in found.items()}


def _tensors(parts: dict[str, Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name, tuple(part.shape.as_list()), part.dtype.name) for name, part in parts.items()
    )


def _check(path: Path) -> None:
    """Refuse a program that reaches outside of itself."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as Message

    message = Message()
    try:
        message.ParseFromString((path / "saved_model.pb").read_bytes())
    except (DecodeError, FileNotFoundError) as error:
        raise FormatError(f"{path}: its saved_model.pb is damaged: {error}") from error
    for graph in message.meta_graphs:
        if not graph.object_graph_def.nodes:
            raise FormatError(
                f"{path}: TensorFlow 1 wrote it. Make a model of it that can be judged with: "
                f"holdfast convert {path} OUT.keras"
            )
        for node in _reaching(graph):
            raise FormatError(
                f"{path}: it has a {node.op} ({node.name[:80]}), which reaches outside of the "
                "model, and is not run. If you trust it, run it by TensorFlow itself"
            )


def _reaching(graph: Any) -> Iterator[Any]:
    """Yield what of a graph reaches outside of it."""
    functions = {part.signature.name: part.node_def for part in graph.graph_def.library.function}
    called = {
        attribute.func.name
        for nodes in functions.values()
        for node in nodes
        for attribute in node.attr.values()
    }
    called |= set(graph.object_graph_def.concrete_functions)
    for function, nodes in {"": graph.graph_def.node, **functions}.items():
        own = not function or (function.startswith(_SAVERS) and function not in called)
        for node in nodes:
            if node.op in _OUTSIDE or (node.op in _OWN and not own):
                yield node
