"""Plain values out of the wrappings in which Keras 2 wrote them: tuples, shapes, arrays, types.

Owns the reading of single values. Leaves what they are for to `layer_configs` and `functional`.
"""

from __future__ import annotations

from typing import Any

from holdfast.errors import FormatError
from holdfast.types import Json

_DEEPEST = 200
_LONGEST = 64  # dimensions of a shape, far above what any program has


def plain(value: Json, depth: int = 0) -> Json:
    """Return a value with its tuples, shapes and arrays as lists and numbers.

    Raises:
        FormatError: it is too deep to be a model's.
    """
    if depth > _DEEPEST:
        raise FormatError(f"the configuration is more than {_DEEPEST} levels deep")
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("class_name")
    if name in ("__tuple__", "TensorShape", "Dimension") and "items" in value:
        return plain(value["items"], depth + 1)
    if name in ("__numpy__", "__tensor__") and isinstance(value.get("config"), dict):
        return plain(value["config"].get("value"), depth + 1)
    if value.keys() == {"type", "value"} and value["type"] in ("ndarray", "tuple", "float32"):
        return plain(value["value"], depth + 1)
    return {key: plain(item, depth + 1) for key, item in value.items()}


def shape(value: Json) -> list[int | None] | None:
    """Return a shape, or None where this is not one."""
    whole = isinstance(value, list) and 0 < len(value) <= _LONGEST
    if whole and all(size is None or (is_whole(size) and 0 < size < 2**40) for size in value):
        return list(value)
    return None


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def policy(value: Json) -> str | None:
    """Return the name of a type or of a policy of types, or None where there is none."""
    if isinstance(value, dict):
        inner = value.get("config")
        value = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(value, str) or value in ("_infer", "infer", "_infer_with_float32_vars"):
        return None
    return value.removeprefix("tf.").removeprefix("<dtype: '").removesuffix("'>")


def variable_dtype(value: Json) -> str:
    """Return the type in which a layer with this policy keeps its weights."""
    name = policy(value) or "float32"
    return "float32" if name.startswith("mixed_") else name
