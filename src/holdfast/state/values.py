"""Python values <-> JSON and named arrays.

Owns which values can be kept. JSON has no tuple, no set, no NaN and no array: these are
written as an object with one member whose name begins with `$`.

| value | written as |
| --- | --- |
| None, bool, int, str, finite float | itself |
| NaN, infinities | `{"$float": "nan"}` |
| list; dict with plain string keys | itself |
| other dict; tuple; set; frozenset | `{"$dict": [[key, value], …]}`, `{"$tuple": […]}`, … |
| numpy scalar | `{"$scalar": ["float32", 0.5]}` |
| array, of numpy or a backend | `{"$array": name}`, the elements as an array of the snapshot |
| one of four comparisons | `{"$function": "keras.ops.less"}` |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import ml_dtypes  # noqa: F401  registers bfloat16 and float8 with numpy
import numpy as np
from numpy.typing import NDArray

from holdfast.store.packs import storable
from holdfast.types import Array, Json

# Functions that Keras's callbacks keep as attributes. A literal table: a file names one of
# these or none, so that opening a file never runs code from it.
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "keras.ops.less": keras.ops.less,
    "keras.ops.greater": keras.ops.greater,
    "numpy.less": np.less,
    "numpy.greater": np.greater,
}
_DEEPEST = 24
_SMALL = 1 << 20


class CannotKeepError(Exception):
    """A value that has no JSON form. The message says which part of it, and its type."""


def to_array(name: str, value: NDArray[Any], label: str = "") -> Array:
    """Return a numpy array as the store sees it. Its memory is not copied if contiguous."""
    shape = value.shape
    contiguous = np.ascontiguousarray(value).reshape(-1)
    return Array(name, value.dtype.name, shape, contiguous.view(np.uint8).data, label)


def from_array(array: Array) -> NDArray[Any]:
    """Return an array of the store as a numpy array over the same memory."""
    flat = np.frombuffer(array.data, dtype=np.dtype(array.dtype))
    return flat.reshape(array.shape)


def encode(
    value: Any, name: str, arrays: list[Array], *, copy: bool = True, depth: int = 0
) -> Json:
    """Return the JSON form of `value`; arrays within are added to `arrays`.

    Args:
        value: to encode.
        name: of the value: a path, which names its arrays and stands in errors.
        arrays: the snapshot's arrays so far.
        copy: whether large numpy arrays may be written to later, and so are copied; small
            ones always are.

    Raises:
        CannotKeepError: the value, or a part of it, is of another kind.
    """
    if depth > _DEEPEST:
        raise CannotKeepError(f"{name} is nested more than {_DEEPEST} deep")
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, np.generic) and storable(value.dtype.name):
        return {"$scalar": [value.dtype.name, encode(value.item(), name, arrays)]}
    if isinstance(value, np.ndarray) or keras.ops.is_tensor(value):
        return _encode_array(value, name, arrays, copy)
    if callable(value):
        return _encode_function(value, name)

    def inner(part: Any, key: object) -> Json:
        # A slash in a key would make it look like a path of two.
        path = f"{name}/{str(key).replace('/', '%2F')}"
        return encode(part, path, arrays, copy=copy, depth=depth + 1)

    if type(value) in (list, tuple):
        items = [inner(part, index) for index, part in enumerate(value)]
        return items if type(value) is list else {"$tuple": items}
    if type(value) in (set, frozenset):
        ordered = sorted(value, key=repr)
        return {f"${type(value).__name__}": [inner(part, i) for i, part in enumerate(ordered)]}
    if type(value) is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: inner(part, key) for key, part in value.items()}
        return {
            "$dict": [
                [inner(key, f"{index}.key"), inner(part, index)]
                for index, (key, part) in enumerate(value.items())
            ]
        }
    raise CannotKeepError(f"{name} is a {type(value).__module__}.{type(value).__qualname__}")


def decode(value: Json, arrays: Mapping[str, Array]) -> Any:
    """Return the value whose JSON form this is. Arrays come back as numpy arrays."""

    def inner(part: Json) -> Any:
        return decode(part, arrays)

    if isinstance(value, list):
        return [inner(part) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not (mark := next(iter(value))).startswith("$"):
        return {key: inner(part) for key, part in value.items()}
    content = value[mark]
    if mark == "$float":
        return float(content)
    if mark == "$scalar":
        return np.dtype(content[0]).type(inner(content[1]))
    if mark == "$array":
        return from_array(arrays[content]).copy()
    if mark == "$function":
        return _FUNCTIONS[content]
    if mark == "$dict":
        return {inner(key): inner(part) for key, part in content}
    return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[mark](map(inner, content))


def _encode_array(value: Any, name: str, arrays: list[Array], copy: bool) -> Json:
    kept = value
    if copy or not isinstance(value, np.ndarray) or value.nbytes <= _SMALL:
        kept = np.array(keras.ops.convert_to_numpy(value))
    if not storable(kept.dtype.name):
        raise CannotKeepError(f"{name} is an array of type {kept.dtype}")
    arrays.append(to_array(name, kept))
    return {"$array": name}


def _encode_function(value: Any, name: str) -> Json:
    for known, function in _FUNCTIONS.items():
        if value is function:
            return {"$function": known}
    raise CannotKeepError(f"{name} is code")
