"""From a configuration to a model whose variables have shapes and no values yet.

Owns choosing the translator, replacing what the caller gave a replacement for, and building
without drawing or allocating anything: a configuration may claim layers of any size, and what it
claims is compared with the file's arrays before memory is taken for it. Leaves the values to
`bind`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from holdfast import keras_private
from holdfast.errors import CustomObjectError, FormatError
from holdfast.formats.legacy import values
from holdfast.formats.legacy.keras1 import Kernels
from holdfast.formats.legacy.translation import Translation
from holdfast.formats.live import allowed, by_path
from holdfast.formats.model_file import ByLayer, ByPath, ModelFile, Problem
from holdfast.types import Json

# Numbers that Keras may make values of by a configuration: some, and more for a larger file.
_LEAST = 1 << 23
_MOST = 1

# Where the classes are whose module Keras leaves out in HDF5.
_SPACES = (
    "keras.layers",
    "keras.models",
    "keras.src.models.functional",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras",
)
_OPERATIONS = tuple(
    f"keras.src.ops.{name}" for name in ("numpy", "core", "nn", "math", "image", "linalg")
)

# How many problems an error lists.
_LISTED = 8


@dataclass(frozen=True)
class Built:
    """A model built from a file, without values.

    Args:
        model: its variables have shapes; `bind` gives them values.
        translation: of its configuration, where the file is of an older Keras.
    """

    model: Any
    translation: Translation | None = None


def build_model(
    file: ModelFile, custom_objects: Mapping[str, Any] | None, kernels: Kernels | None = None
) -> Built:
    """Build the model that a file describes.

    Args:
        file: with a configuration.
        custom_objects: classes and functions by their names, and replacements of layers by the
            layers' names.
        kernels: for a file of Keras 1 with convolutions, where it was trained.

    Raises:
        CustomObjectError: a part of it must be given in `custom_objects`.
        FormatError: it holds no configuration, or none that makes a model.
    """
    if file.config is None:
        raise FormatError(
            f"{file.path} holds weights and no configuration of a model. Build the model, and call "
            "holdfast.load_weights(model, path)"
        )
    given = allowed.custom(custom_objects)
    config, given = _replace(file.config, given)
    translation = _translate(file, config, given, kernels)
    _refuse(file, translation.problems)
    allowed.check(translation.config, file.path, given)
    model = make(translation.config, file.path, given)
    if not model.built and not _was_not_built(file):
        _build_on_shape(model, file)
    if translation.left_out:
        warnings.warn(
            f"{file.path}: what the layers {', '.join(translation.left_out[:_LISTED])} added to "
            "the loss or the metrics is left out, which changes training and no output. To train "
            "on, compile the model with a loss that adds it",
            stacklevel=4,
        )
    return Built(model, None if _is_current(file) else translation)


def make(config: Json, path: object, custom_objects: Mapping[str, Any]) -> Any:
    """Build the model of a checked configuration of Keras 3; its variables have no values yet.

    Raises:
        FormatError: Keras does not make a model of it.
    """
    try:
        state = _keeps_state(config)
        if state or _normalizes(config):
            _check_size(_without_values(config), path, custom_objects)
        # Variables that have no values yet cannot be beside state.
        with contextlib.nullcontext() if state else keras_private.deferred():
            model = keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    except (FormatError, MemoryError):
        raise
    except Exception as error:
        # Whatever a layer's constructor says of arguments it does not take.
        raise FormatError(f"{path}: Keras cannot build its model: {_short(error)}") from error
    if not isinstance(model, keras.Model):
        raise FormatError(f"{path}: its configuration is of a {type(model).__name__}, no model")
    return model


def _was_not_built(file: ModelFile) -> bool:
    """Return whether a model was saved before it had weights, as Keras 3 allows."""
    return isinstance(file.weights, ByPath) and not by_path.own(file.weights)


def _build_on_shape(model: Any, file: ModelFile) -> None:
    """Build a model of the caller's own class on the shape of what it was called on.

    Raises:
        FormatError: the file does not say on which, or the class does not take it.
    """
    config = values.plain(file.config)
    built = config.get("build_config")
    shape = values.shape(config.get("build_input_shape")) or values.shape(
        built.get("input_shape") if isinstance(built, dict) else None
    )
    way_out = "build it by its own program, and call holdfast.load_weights(model, path)"
    if shape is None:
        raise FormatError(
            f"{file.path}: its model is of the class {type(model).__name__}, and the file does not "
            f"say on what shape it was called: {way_out}"
        )
    try:
        with keras_private.deferred():
            model(keras.KerasTensor(tuple(shape)))
    except Exception as error:
        raise FormatError(
            f"{file.path}: its model of the class {type(model).__name__} cannot be built on the "
            f"shape {shape}: {_short(error)}. To go on, {way_out}"
        ) from error


def _keeps_state(config: Json) -> bool:
    """Return whether a recurrent layer keeps its state between batches: Keras makes its values."""
    if isinstance(config, list):
        return any(map(_keeps_state, config))
    if not isinstance(config, dict):
        return False
    return config.get("stateful") is True or any(map(_keeps_state, config.values()))


def _normalizes(config: Json) -> bool:
    """Return whether a layer normalizes: Keras then makes its numbers for each feature."""
    if isinstance(config, list):
        return any(map(_normalizes, config))
    if not isinstance(config, dict):
        return False
    return config.get("class_name") == "Normalization" or any(map(_normalizes, config.values()))


def _without_values(config: Json) -> Json:
    """Return a configuration with variables in the place of what Keras makes values of.

    But for state, which has to be counted otherwise.
    """
    if isinstance(config, list):
        return [_without_values(part) for part in config]
    if not isinstance(config, dict):
        return config
    made = {
        name: False if name == "stateful" else _without_values(part)
        for name, part in config.items()
    }
    inner = made.get("config")
    if made.get("class_name") == "Normalization" and isinstance(inner, dict):
        made["config"] = {**inner, "mean": None, "variance": None}
    return made


def _check_size(config: Json, path: object, custom_objects: Mapping[str, Any]) -> None:
    """Refuse a model whose variables would take more memory than its file can fill."""
    claimed = keras_private.claimed(
        lambda: keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    )
    whole = Path(str(path))
    parts = whole.rglob("*") if whole.is_dir() else [whole]
    size = sum(part.stat().st_size for part in parts if part.is_file())
    if claimed > _LEAST + size * _MOST:
        raise FormatError(
            f"{path}: its configuration is of {claimed} numbers, more than a file of {size} bytes "
            "can hold"
        )


def _translate(
    file: ModelFile, config: Json, given: Mapping[str, Any], kernels: Kernels | None
) -> Translation:
    if _is_current(file):
        return Translation(_unwrapped(_current(config)))
    if file.major in (0, 1):
        from holdfast.formats.legacy import keras0, keras1

        if file.major == 0:
            config = keras0.to_keras1(config)

        weights = file.weights.layers if isinstance(file.weights, ByLayer) else ()
        shapes = {part.name: [entry.shape for entry in part.entries] for part in weights}
        return keras1.translate(config, file.keras_version, list(given), kernels, shapes)
    from holdfast.formats.legacy import keras2

    return keras2.translate(config, file.keras_version, list(given))


def _is_current(file: ModelFile) -> bool:
    return file.major is not None and file.major >= 3


def _current(config: Json) -> Json:
    """Return a configuration of Keras 3 as it is in `.keras`.

    Without the arguments of `compile` (see `compiling`); and with the modules that Keras leaves out
    in HDF5.
    """
    if isinstance(config, list):
        return [_current(part) for part in config]
    if not isinstance(config, dict):
        return config
    made = {name: _current(part) for name, part in config.items() if name != "compile_config"}
    if "config" in made and isinstance(made.get("class_name"), str) and "module" not in made:
        made["module"] = _module(made)
        made.setdefault("registered_name", None)
    return made


def _unwrapped(config: Json, *, nested: bool = False) -> Json:
    """Return a configuration whose inner models of one input or output have no lists of one.

    Earlier Keras 3 wrote one tensor as a list of one and read it as the tensor. What a model
    gives the layers after it has to be the tensor.
    """
    if isinstance(config, list):
        return [_unwrapped(part, nested=nested) for part in config]
    if not isinstance(config, dict):
        return config
    found = {
        name: _unwrapped(part, nested=nested or name == "layers") for name, part in config.items()
    }
    for name in ("input_layers", "output_layers"):
        ends = found.get(name)
        if nested and isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
            found[name] = ends[0]
    return found


def _module(part: Mapping[str, Json]) -> str:
    """Return where a class is of which HDF5 says the name alone.

    In a graph, an operation may have the name of a layer; a layer says whether it is trainable.
    """
    config = part["config"]
    in_graph = "inbound_nodes" in part and isinstance(config, dict) and "trainable" not in config
    spaces = (*_OPERATIONS, *_SPACES) if in_graph else _SPACES
    name = part["class_name"]
    return next((space for space in spaces if keras_private.saveable(space, name)), "")


def _refuse(file: ModelFile, problems: tuple[Problem, ...]) -> None:
    if not problems:
        return
    lines = [f"  {problem.where}: {problem.what}" for problem in problems[:_LISTED]]
    if len(problems) > _LISTED:
        lines.append(f"  and {len(problems) - _LISTED} more")
    raise CustomObjectError(f"{file.path}: its model cannot be built:\n" + "\n".join(lines))


def _replace(config: Json, given: Mapping[str, Any]) -> tuple[Json, dict[str, Any]]:
    """Put the caller's replacements in the place of the layers they are named for.

    A replacement is a layer, a class of layers, or a function, which a Lambda then calls.
    """
    made = dict(given)

    def visit(part: Json) -> Json:
        if isinstance(part, list):
            return [visit(value) for value in part]
        if not isinstance(part, dict):
            return part
        inner = part.get("config")
        name = inner.get("name") if isinstance(inner, dict) else None
        if isinstance(name, str) and name in given and part.get("class_name") == "Lambda":
            kind = f"replacement>{name}"
            made[kind] = _replacement(name, given[name])
            kept = {"name": name}
            replaced = {**part, "class_name": kind, "registered_name": kind, "config": kept}
            return {**replaced, "module": None}
        return {key: visit(value) for key, value in part.items()}

    try:
        return visit(config), made
    except RecursionError:
        raise FormatError("its configuration is too deep to be a model's") from None


def _replacement(name: str, what: Any) -> type:
    """Return a class of which Keras makes the replacement."""

    def from_config(_: type, config: dict[str, Any]) -> Any:
        if isinstance(what, keras.Layer):
            return what
        if isinstance(what, type) and issubclass(what, keras.Layer):
            return what(name=name)
        return keras.layers.Lambda(what, name=name)

    return type("Replacement", (), {"from_config": classmethod(from_config)})


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (
        (lines[-1] if len(lines) > 1 and "Exception encountered" in str(error) else lines[0])[:500]
        if lines
        else type(error).__name__
    )
