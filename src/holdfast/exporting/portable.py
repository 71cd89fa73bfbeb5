"""A model as a child process can read it: a file, names, and where its own classes are.

Owns what stands in the way of that, and saying so. Leaves reading it to `holdfast.load_model`.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from holdfast import keras_private
from holdfast.api import load_model
from holdfast.errors import ExportError, HoldfastError
from holdfast.exporting import reasons
from holdfast.formats import writing
from holdfast.judge.keras_model import signature_of
from holdfast.judge.signature import Signature, Tensor

_PLAIN = "float32"
_NARROW = ("float16", "bfloat16")
_TABLES = (keras.layers.IntegerLookup, keras.layers.StringLookup, keras.layers.TextVectorization)


@dataclass(frozen=True, eq=False)
class Portable:
    """A model that can be exported.

    Args:
        model: as it is written and compared: it computes in float32.
        original: as it was given.
        signature: its inputs and outputs, by the names that they have in the file.
        batch: the size of a batch where it takes no other.
        computed: what the model computed in before.
        own: classes and functions that neither Keras nor Holdfast has, by name.
        custom, modules: where they are, as a task has it.
    """

    model: Any
    original: Any
    signature: Signature
    batch: int | None
    computed: str
    own: Mapping[str, Any]
    custom: Mapping[str, Sequence[str]]
    modules: Sequence[str]


def portable(model: Any, custom_objects: Mapping[str, Any]) -> Portable:
    """Return a model as it can be exported.

    Raises:
        ExportError: it is made of parts that another process cannot have.
        FormatError: it was never built.
    """
    own = _own_objects(model, custom_objects)
    computed = _computed(model)
    wide = model if computed == _PLAIN else _in_float32(model, own)
    return Portable(
        wide,
        model,
        _signature(wide),
        _fixed_batch(model),
        computed,
        own,
        {name: (found.__module__, found.__qualname__) for name, found in own.items()},
        sorted({found.__module__ for found in own.values()}),
    )


def check_portable(model: Any, form: str) -> None:
    """Refuse what no other runtime has.

    Raises:
        ExportError: names the layer.
    """
    for layer in keras_private.all_layers(model):
        if isinstance(layer, keras.layers.RNN) and layer.stateful:
            raise ExportError(
                f"{layer.name} is stateful, and what is exported answers each batch alone: build "
                "the model without stateful=True, and load the weights"
            )
        if isinstance(layer, _TABLES) and form in ("onnx", "stablehlo"):
            raise ExportError(
                f"{layer.name} looks words or numbers up in a table, which {form} has not: look "
                "them up before, and give the model their numbers"
            )


def as_it_is(given: Portable) -> Portable:
    """Return it for a file that Keras reads: nothing of the model need be another."""
    return replace(given, model=given.original, signature=signature_of(given.original))


def write(given: Portable, path: Path, form: str) -> None:
    """Write a file that Keras reads, without what the model was compiled with.

    Raises:
        FormatError: the model cannot be written.
    """
    model = given.model
    if getattr(model, "compiled", False):
        whole = path.with_name("compiled.keras")
        save(model, whole)
        model = load_model(whole, given.own, compile=False)
    try:
        with keras_private.without_tensorflow():
            writing.save_model(model, path, form, compiled=False)
    except HoldfastError:
        raise
    except Exception as error:  # whatever a layer's own get_config raises
        raise ExportError(reasons.readable(error)) from error


def save(model: Any, path: Path) -> None:
    """Write the file that the child reads.

    Raises:
        ExportError: the model cannot be written.
    """
    try:
        with keras_private.without_tensorflow():
            writing.save_model(model, path, "keras")
    except HoldfastError:
        raise
    except Exception as error:  # whatever a layer's own get_config raises
        raise ExportError(
            f"{model.name} cannot be written as a .keras, from which other formats are made: "
            f"{reasons.readable(error)}"
        ) from error


def _own_objects(model: Any, custom_objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes and functions that neither Keras nor Holdfast has, by name."""
    found = dict(custom_objects)
    for layer in keras_private.all_layers(model):
        kind = type(layer)
        if isinstance(layer, keras.layers.Lambda):
            if layer.name not in custom_objects:
                raise ExportError(
                    f"{layer.name} is a Lambda, whose code another process cannot have: write a "
                    "layer of your own in a module in its place, or give a function of a module "
                    f"by custom_objects={{{layer.name!r}: function}}"
                )
        elif not _of_libraries(kind.__module__):
            found.setdefault(kind.__name__, kind)
    for name, thing in found.items():
        _check_importable(name, thing)
    return found


def _of_libraries(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in ("keras", "holdfast")


def _check_importable(name: str, thing: Any) -> None:
    module, within = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    found = sys.modules.get(module or "")
    for part in (within or "").split("."):
        found = getattr(found, part, None)
    if module == "__main__" or found is not thing:
        raise ExportError(
            f"{name} is defined in {'the program itself' if module == '__main__' else within}, and "
            "the process that writes the file must import it: move it into a module beside the "
            "program, and import it from there"
        )


def _signature(model: Any) -> Signature:
    """Return the signature with names that every format takes, each of them once."""
    known = signature_of(model)
    taken: set[str] = set()
    inputs = [_renamed(tensor, taken) for tensor in known.inputs]
    outputs = [_renamed(tensor, taken) for tensor in known.outputs]
    return Signature(tuple(inputs), tuple(outputs))


def _renamed(tensor: Tensor, taken: set[str]) -> Tensor:
    name = plain = re.sub(r"[^A-Za-z0-9_]", "_", tensor.name)
    if not plain[:1].isalpha():
        name = plain = f"x{plain}"
    number = 1
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    taken.add(name)
    return Tensor(name, tensor.shape, tensor.dtype)


def _fixed_batch(model: Any) -> int | None:
    sizes = {tensor.shape[0] for tensor in getattr(model, "inputs", None) or ()} - {None}
    return sizes.pop() if len(sizes) == 1 else None


def _computed(model: Any) -> str:
    """Return the narrow type that some layer computes in, or float32."""
    for layer in keras_private.all_layers(model):
        if layer.compute_dtype in _NARROW:
            return str(layer.compute_dtype)
    return _PLAIN


def _in_float32(model: Any, custom_objects: Mapping[str, Any]) -> Any:
    """Return the model computing in float32, with the same weights, which float32 holds exactly.

    Other runtimes round narrow numbers elsewhere than Keras, so that nothing could be compared.
    """
    with keras_private.without_tensorflow():
        config = copy.deepcopy(keras.saving.serialize_keras_object(model))
    config.pop("compile_config", None)
    for part in _parts(config):
        if part.get("class_name") == "DTypePolicy":
            part["config"] = {"name": _PLAIN}
        elif part.get("dtype") in (*_NARROW, *(f"mixed_{name}" for name in _NARROW)):
            part["dtype"] = _PLAIN
    try:
        wide = keras.saving.deserialize_keras_object(config, custom_objects=dict(custom_objects))
    except (TypeError, ValueError) as error:
        raise ExportError(
            f"{model.name} computes in {_computed(model)}, and cannot be built again in float32, "
            f"in which it is exported: {reasons.readable(error)}"
        ) from error
    if not wide.built:
        wide.build_from_config(model.get_build_config())
    for before, after in zip(model.weights, wide.weights, strict=True):
        after.assign(keras.ops.cast(before.value, after.dtype))
    return wide


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    if isinstance(config, dict):
        yield config
        for value in config.values():
            yield from _parts(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _parts(value)
