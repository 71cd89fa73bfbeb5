"""Initializers, regularizers, constraints and activations of Keras 2 as Keras 3 has them.

Owns what a layer's arguments name. Leaves the layers to `layer_configs`.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.formats.legacy import arguments
from holdfast.formats.legacy.context import Context, Place, given, made
from holdfast.types import Json

_OLD_HARD_SIGMOID = "holdfast>old_hard_sigmoid"

_KINDS = {
    "initializer": ("keras.initializers", arguments.INITIALIZERS),
    "regularizer": ("keras.regularizers", arguments.REGULARIZERS),
    "constraint": ("keras.constraints", arguments.CONSTRAINTS),
}
_ANY = [table for _, table in _KINDS.values()]


def kind_of(argument: str) -> str | None:
    """Return what an argument of this name holds, or None where it is not one of these objects."""
    return next((kind for kind in _KINDS if argument.endswith("_" + kind)), None)


def object_of(kind: str, value: Json, context: Context, place: Place) -> Json:
    """Return an initializer, regularizer or constraint as Keras 3 has it."""
    if value is None:
        return None
    name, config = _named(value)
    if found := _given(value, name, context):
        return given(found, config)
    module, table = _KINDS[kind]
    current = arguments.OTHER_OBJECT_NAMES.get(name, name)
    if current not in table or not isinstance(config, dict):
        context.unsupported(place, _unknown(kind, name))
        return None
    return made(module, current, _config(current, config, table))


def activation(value: Json, context: Context, place: Place) -> Json:
    """Return an activation as Keras 3 has it: a name, or an object where it is none of Keras's."""
    name, _ = _named(value)
    if isinstance(value, dict) and value.get("registered_name") == _OLD_HARD_SIGMOID:
        name = "hard_sigmoid"  # as `to_keras2` writes it
    if value is None or name == "linear":
        return "linear"
    if found := _given(value, name, context):
        return given("function", found)
    if name == "hard_sigmoid":
        return made("holdfast.layers", "function", _OLD_HARD_SIGMOID, _OLD_HARD_SIGMOID)
    if name in arguments.ACTIVATIONS:
        return arguments.ACTIVATIONS[name]
    context.unsupported(place, _unknown("activation", name))
    return None


def is_object(value: Json) -> bool:
    """Return whether a value is an initializer, regularizer or constraint that Keras has."""
    if not isinstance(value, dict) or "config" not in value:
        return False
    name = value.get("class_name")
    current = arguments.OTHER_OBJECT_NAMES.get(name, name) if isinstance(name, str) else ""
    return any(current in table for table in _ANY)


def any_object(value: Json, context: Context, place: Place) -> Json:
    """Return what `is_object` says is one, whichever kind it is of."""
    name, _ = _named(value)
    current = arguments.OTHER_OBJECT_NAMES.get(name, name)
    kind = next(kind for kind, (_, table) in _KINDS.items() if current in table)
    return object_of(kind, value, context, place)


def _named(value: Json) -> tuple[str, Json]:
    """Return the name that an object goes by and its configuration."""
    if not isinstance(value, dict):
        return str(value), {}
    name, config = value.get("class_name"), value.get("config")
    if name == "function" and isinstance(config, str):
        return config, {}
    return str(name), {} if config is None else config


def _given(value: Json, name: str, context: Context) -> str | None:
    registered = value.get("registered_name") if isinstance(value, dict) else None
    return context.given(registered, name, name.rpartition(">")[2])


def _config(name: str, config: Mapping[str, Json], table: Mapping[str, str]) -> Json:
    kept = {key: value for key, value in config.items() if key in table[name].split()}
    if kept.get("distribution") == "normal":
        kept["distribution"] = "truncated_normal"
    return kept


def _unknown(kind: str, name: str) -> str:
    return (
        f"it has the {kind} {name!r}, which Keras 3 does not have. If it is yours, pass it: "
        f"custom_objects={{{name.rpartition('>')[2]!r}: ...}}"
    )
