"""Which classes and functions a configuration may name.

Owns the one gate before Keras makes objects of a configuration. Nothing is imported for a file:
what is allowed is Keras's own, Holdfast's, what the program has registered, and what the caller
gave. Leaves old configurations to `legacy`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

import holdfast.layers  # noqa: F401  (registers what Keras 3 no longer has)
from holdfast import keras_private
from holdfast.errors import CustomObjectError, FormatError
from holdfast.types import Json

# Values that Keras's serialization writes as if they were classes.
_VALUES = frozenset(
    ["__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"]
)

# These run code that a file brings, or reach outside it.
_NEVER = frozenset(
    [
        "Lambda",
        "__lambda__",
        "__typespec__",
        "TFSMLayer",
        "TorchModuleWrapper",
        "JaxLayer",
        "FlaxLayer",
    ]
)

# Where Keras has functions that compute and do nothing else.
_FUNCTIONS = (
    keras.activations,
    keras.losses,
    keras.metrics,
    keras.initializers,
    keras.regularizers,
    keras.constraints,
    keras.ops,
)

_DEEPEST = 200
_LARGEST = 10_000_000


def check(config: Json, path: Path, custom_objects: Mapping[str, Any]) -> None:
    """Refuse a configuration that names what may not be made.

    Args:
        config: in the form of Keras 3.
        path: of the file, for messages.
        custom_objects: the caller's, by name.

    Raises:
        CustomObjectError: it names a class or function that only the caller can give.
        FormatError: it names what runs code that the file brings, or is too deep.
    """
    for part, layer in _objects(config, path):
        name = part["class_name"]
        if not isinstance(name, str):
            raise FormatError(f"{path}: a class in its configuration is named {name!r}")
        if _given(part, custom_objects):
            continue
        if name in _NEVER:
            raise CustomObjectError(_never(path, layer, name))
        if name in _VALUES:
            _check_value(part, path)
        elif not _known(part):
            raise CustomObjectError(_unknown(path, layer, part))


def custom(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the caller gave together with what the program has registered."""
    scoped = keras.saving.get_custom_objects()
    return {**scoped, **(given or {})}


def _objects(config: Json, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each object of a configuration and the name of the layer that it is in."""
    waiting: list[tuple[Json, str, int]] = [(config, "", 0)]
    seen = 0
    while waiting:
        part, layer, depth = waiting.pop()
        seen += 1
        if depth > _DEEPEST or seen > _LARGEST:
            raise FormatError(f"{path}: its configuration is too deep or too large to be a model's")
        if isinstance(part, dict):
            inner = part.get("config")
            if "class_name" in part:
                if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                    layer = inner["name"]
                yield part, layer
            if part.get("class_name") == "__numpy__" or part.get("class_name") == "__tensor__":
                continue
            waiting.extend((value, layer, depth + 1) for value in part.values())
        elif isinstance(part, list):
            waiting.extend((value, layer, depth + 1) for value in part)


def _given(part: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> bool:
    names: Collection[Any] = (part.get("registered_name"), part["class_name"])
    if part["class_name"] == "function":
        names = (part.get("registered_name"), part.get("config"))
    return any(isinstance(name, str) and name in custom_objects for name in names)


def _known(part: Mapping[str, Any]) -> bool:
    module, name = part.get("module"), part["class_name"]
    if name == "function":
        function = part.get("config")
        return isinstance(function, str) and any(
            callable(getattr(space, function, None)) for space in _FUNCTIONS
        )
    if not isinstance(module, str):
        return False
    return keras_private.saveable(module, name) is not None


def _check_value(part: Mapping[str, Any], path: Path) -> None:
    config = part.get("config")
    shape = config.get("shape", []) if isinstance(config, dict) else None
    whole = isinstance(shape, list) and all(
        size is None or (isinstance(size, int) and 0 <= size < 2**40) for size in shape
    )
    if not whole:
        raise FormatError(f"{path}: a {part['class_name']} in its configuration is {config!r:.80}")


def _never(path: Path, layer: str, name: str) -> str:
    where = f"the layer {layer!r}" if layer else "a part of it"
    return (
        f"{path}: {where} is a {name}, which runs code that the file brings. Holdfast never does. "
        f"Pass what it computes instead: custom_objects={{{layer or name!r}: function_or_layer}}"
    )


def _unknown(path: Path, layer: str, part: Mapping[str, Any]) -> str:
    is_function = part["class_name"] == "function"
    name = part.get("config") if is_function else part["class_name"]
    kind = "function" if is_function else "class"
    where = f"the layer {layer!r} " if layer else "it "
    return (
        f"{path}: {where}has the {kind} {name!r}, which neither Keras nor Holdfast has. If it is "
        f"yours, pass it: custom_objects={{{name!r}: {name}}}"
    )
