"""Which classes and functions a configuration may name.

Owns the one gate before Keras makes objects of a configuration. Nothing is imported for a file:
what is allowed is Keras's own, Holdfast's, what the program has registered, and what the caller
gave. Leaves old configurations to `legacy`.
"""

from __future__ import annotations

import sys
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

# Keras makes these before it asks whether the program has something of that name.
_CODE = frozenset(["__lambda__", "__typespec__"])

# Of arrays in a configuration.
_TYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "bfloat16",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]

# These run code that a file brings, or reach outside it.
_NEVER = frozenset(
    [
        "Lambda",
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

# Where a configuration may say that they are.
_SPACES = frozenset(["builtins", *(space.__name__ for space in _FUNCTIONS)])

# Packages of which Keras imports whatever module a configuration names.
_IMPORTED = ("keras", "keras_hub", "keras_cv", "keras_nlp")

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
        if name in _CODE or (name in _NEVER and not _taken(part, custom_objects)):
            raise CustomObjectError(_never(path, layer, name))
        if _imports(part) and not _taken(part, custom_objects):
            raise CustomObjectError(_unknown(path, layer, part))
        if _given(part, custom_objects):
            continue
        if _reads_words(part):
            raise FormatError(
                f"{path}: the layer {layer!r} has its vocabulary in another file, which is not "
                "read. Build the layer with the words themselves, and load the weights"
            )
        if name in _VALUES:
            _check_value(part, path)
        elif not _known(part):
            raise CustomObjectError(_unknown(path, layer, part))


def custom(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the caller gave together with what the program has registered."""
    registered = keras.saving.get_custom_objects()
    return {**registered, **keras_private.scoped_objects(), **(given or {})}


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


def _taken(part: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> bool:
    """Return whether Keras takes what was given, and nothing that the configuration names."""
    is_function = part["class_name"] == "function"
    name = part.get("config") if is_function else part.get("registered_name", part["class_name"])
    return isinstance(name, str) and name in custom_objects


def _imports(part: Mapping[str, Any]) -> bool:
    """Return whether Keras would import a module to look for it there."""
    module = part.get("module")
    return (
        isinstance(module, str)
        and module.partition(".")[0] in _IMPORTED
        and module not in sys.modules
    )


def _reads_words(part: Mapping[str, Any]) -> bool:
    config = part.get("config")
    return isinstance(config, dict) and isinstance(config.get("vocabulary"), str)


def _known(part: Mapping[str, Any]) -> bool:
    module, name = part.get("module"), part["class_name"]
    if name == "function":
        function = part.get("config")
        return (
            isinstance(function, str)
            and (module is None or module in _SPACES or module.startswith("keras.src."))
            and any(callable(getattr(space, function, None)) for space in _FUNCTIONS)
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
    # An array of texts or bytes takes as much memory as its type claims, for however few.
    has_type = part["class_name"] not in ("__numpy__", "__tensor__") or (
        isinstance(config, dict) and config.get("dtype") in _TYPES
    )
    if not whole or not has_type:
        raise FormatError(f"{path}: a {part['class_name']} in its configuration is {config!r:.80}")


def _never(path: Path, layer: str, name: str) -> str:
    where = f"the layer {layer!r}" if layer else "a part of it"
    if name == "TorchModuleWrapper":
        return (
            f"{path}: {where} has a pickled PyTorch module, which Holdfast never opens. Build the "
            "model in your program and load its weights: holdfast.load_weights(model, path)"
        )
    return (
        f"{path}: {where} is a {name}, which runs code that the file brings. Holdfast never does. "
        f"Pass what it computes instead: custom_objects={{{layer or name!r}: function_or_layer}}"
    )


def _unknown(path: Path, layer: str, part: Mapping[str, Any]) -> str:
    is_function = part["class_name"] == "function"
    name = part.get("config") if is_function else part["class_name"]
    kind = "function" if is_function else "class"
    where = f"the layer {layer!r} " if layer else "it "
    module = part.get("module")
    of = f" of {module!r}" if isinstance(module, str) and module != "builtins" else ""
    return (
        f"{path}: {where}has the {kind} {name!r}{of}, which neither Keras nor Holdfast has. If "
        f"it is yours, pass it: custom_objects={{{name!r}: {name}}}"
    )
