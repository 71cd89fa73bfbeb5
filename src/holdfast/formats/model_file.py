"""The neutral value between files and models: a configuration and named arrays.

Owns what a codec gives and what `live` takes. Leaves bytes to the codecs, and what a
configuration means to `legacy` and `live`.

A file says in one of four ways whose an array is, and each is a class here:

| class | whose an array is | files |
| --- | --- | --- |
| `ByLayer` | a layer's name, and a place in the order of Keras 2's `layer.weights` | HDF5 of Keras 1 and 2, SavedModel |
| `ByPath` | the path of attributes by which Keras 3 saves objects | `.keras`, `.weights.h5` |
| `ByObject` | a graph of objects with named edges | TensorFlow's object-based checkpoints |
| `ByName` | a variable's name | TensorFlow 1's checkpoints, safetensors |
"""  # noqa: E501

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from holdfast.errors import FormatError
from holdfast.types import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

Format = Literal[
    "keras",  # the zip that Keras 2.11 and later call .keras
    "weights.h5",  # the weights of Keras 3, or of Keras 2.12 and later
    "hdf5",  # a whole model in HDF5, or its weights, as Keras 1 and 2 laid them out
    "saved_model",  # TensorFlow's directory
    "checkpoint",  # TensorFlow's bundle of variables
    "safetensors",
    "json",  # an architecture without weights
]


@dataclass(frozen=True)
class Entry:
    """An array that a file holds.

    Args:
        name: as the file calls it, unique within the file.
        shape: its dimensions, as the file says, checked against the bytes there are.
        dtype: numpy's name for its type, or ml_dtypes' (`bfloat16`); `string` for bytes.
        load: reads and checks the elements; of strings an array of objects, each `bytes`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]] = field(repr=False, compare=False)

    def read(self) -> NDArray[Any]:
        """Return the array.

        Raises:
            FormatError: the elements are damaged, or not what the file says they are.
        """
        array = self.load()
        if array.shape != self.shape:
            raise FormatError(
                f"{self.name}: the file says its shape is {self.shape}, and holds {array.shape}"
            )
        return array


@dataclass(frozen=True)
class LayerEntries:
    """What a file holds of one layer.

    Args:
        name: of the layer in the configuration.
        entries: its arrays in the order of Keras 2's `layer.weights`. Where the file gives a nested
            model's arrays in one list, they are here, and `layers` is empty.
        layers: those of a nested model, where the file tells them apart.
        vocabulary: of a lookup layer, in the order of its indices.
    """

    name: str
    entries: tuple[Entry, ...] = ()
    layers: tuple[LayerEntries, ...] = ()
    vocabulary: tuple[bytes | int, ...] | None = None


@dataclass(frozen=True)
class ByLayer:
    """Arrays by their layer's name and their place.

    Args:
        layers: in the file's order.
        top: arrays of the model itself, outside its layers.
    """

    layers: tuple[LayerEntries, ...]
    top: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class ByPath:
    """Arrays by the path of attributes: `layers/dense/vars/0`, with `/` on every system.

    Args:
        entries: of the model, its optimizer (`optimizer/vars/0`) and its metrics.
        assets: texts and bytes by the path of their owner, such as
            `layers/string_lookup/vocabulary.txt`.
        counted: whether a group's name is the class and a counter (`layers/dense_1`), as since
            Keras 2.12; else the layers' own names, as in `layers/my_dense` of some versions.
    """

    entries: Mapping[str, Entry]
    assets: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    counted: bool = True


@dataclass(frozen=True)
class ObjectNode:
    """An object of a checkpoint.

    Args:
        children: by the name of the edge, the number of the node.
        value: the array, where the object is a variable.
        full_name: of a variable, as the program called it.
        slots: of an optimizer: (variable's node, slot's name, slot's node).
        others: what it saved besides `value`, by the attribute's name: the parts of a table.
    """

    children: Mapping[str, int] = field(default_factory=dict)
    value: Entry | None = None
    full_name: str = ""
    slots: tuple[tuple[int, str, int], ...] = ()
    others: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class ByObject:
    """Arrays by a graph of objects; node 0 is the root. There may be cycles."""

    nodes: tuple[ObjectNode, ...]


@dataclass(frozen=True)
class ByName:
    """Arrays by the names of variables, without `:0`, in the file's order.

    Args:
        entries: by name.
        ordered: whether that order is known to be the one of the model's variables.
    """

    entries: Mapping[str, Entry]
    ordered: bool = False


Weights = ByLayer | ByPath | ByObject | ByName


@dataclass(frozen=True)
class Problem:
    """Something in a file that Holdfast will not do, or cannot.

    Args:
        kind: `unsafe` where it would run code or reach outside the file, else `unsupported`.
        where: the layer or part it is in.
        what: in words.
    """

    kind: Literal["unsafe", "unsupported"]
    where: str
    what: str


@dataclass(frozen=True)
class ModelFile:
    """What a file holds, read as far as its table of contents. Close it after use.

    Args:
        path: of the file or directory.
        format: which kind it is.
        weights: its arrays, but for those of an optimizer that `optimizer` has.
        keras_version: that wrote it: `1`, `2.15.0`; None where the file does not say.
        backend: on which it was written; None where the file does not say.
        config: the model's configuration as the file has it, or None.
        training: the arguments of `compile` as the file has them, or None.
        optimizer: the optimizer's arrays in the file's order, in HDF5 of Keras 1 and 2.
        problems: what is unsafe or unsupported in it, found without building anything.
        objects: of a SavedModel, all its arrays by object: the optimizer's and their slots too.
        graph: of a SavedModel, the functions it can serve.
        closing: what is to be closed with it.
    """

    path: Path
    format: Format
    weights: Weights
    keras_version: str | None = None
    backend: str | None = None
    config: Json | None = None
    training: Json | None = None
    optimizer: tuple[Entry, ...] | None = None
    problems: tuple[Problem, ...] = ()
    objects: ByObject | None = None
    graph: Any | None = None
    closing: contextlib.ExitStack = field(
        default_factory=contextlib.ExitStack, repr=False, compare=False
    )

    def __enter__(self) -> ModelFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file: arrays not read before can no longer be."""
        self.closing.close()

    @property
    def major(self) -> int | None:
        """The first number of `keras_version`, or None where the file does not say."""
        first = (self.keras_version or "").partition(".")[0]
        return int(first) if first.isdecimal() else None
