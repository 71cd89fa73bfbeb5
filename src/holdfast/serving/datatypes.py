"""The datatypes of the Open Inference Protocol, and arrays of them from JSON and from bytes.

Owns the names, what may stand for a number in JSON, and the layout of binary tensors. Leaves
whether a model takes the array to `judge/signature`, and the request to `serving/protocol`.

BF16 comes in as float32, which holds every one of its numbers; texts are Python's str.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.judge.signature import shown
from holdfast.prediction.bounds import largest
from holdfast.serving.refusal import RequestError
from holdfast.types import Json

NAMES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "bfloat16": "BF16",
    "string": "BYTES",
}
"""By the names that a signature has for them."""

_LITTLE = {
    name: np.dtype(dtype).newbyteorder("<")
    for dtype, name in NAMES.items()
    if dtype not in ("bfloat16", "string")
}


def nested(value: Json, name: str) -> tuple[list[Any], tuple[int, ...]]:
    """Return what is in lists of lists, in order, and their shape.

    Args:
        value: of JSON.
        name: of the input, for the error.

    Raises:
        RequestError: it is no list, or its lists are of different lengths.
    """
    if type(value) is not list:
        raise RequestError(f"{name}: expected a list, found {_called(value)}")
    shape = [len(value)]
    level: list[Any] = value
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list}:
            raise RequestError(
                f"{name}: expected lists alone at depth {len(shape)}, found values too"
            )
        lengths = set(map(len, level))
        if len(lengths) > 1:
            raise RequestError(
                f"{name}: expected lists of one length at depth {len(shape) + 1}, found "
                f"{min(lengths)} to {max(lengths)}"
            )
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))
    return level, tuple(shape)


def from_json(flat: list[Any], dtype: str, name: str) -> NDArray[Any]:
    """Return the array of JSON's values; nothing is read as what it is not.

    Args:
        flat: the values, in order.
        dtype: as a signature names it.
        name: of the input, for the error.

    Raises:
        RequestError: a value is of another kind, or beyond what the type holds.
    """
    found = set(map(type, flat))
    if dtype == "string":
        _only(found, {str}, "texts", name)
        return np.array(flat, dtype=object)
    wanted = np.dtype("float32" if dtype == "bfloat16" else dtype)
    if wanted.kind == "b":
        _only(found, {bool}, "true and false", name)
    elif wanted.kind == "f":
        _only(found, {int, float}, "numbers", name)
        return _floats(flat, dtype, name)
    else:
        _only(found, {int, float}, "whole numbers", name)
        if float in found:
            flat = _whole(flat, name)
    try:
        return np.array(flat, dtype=wanted)
    except OverflowError:
        raise _beyond(dtype, name) from None


def from_bytes(raw: memoryview, datatype: str, shape: Sequence[int], name: str) -> NDArray[Any]:
    """Return the array of a binary tensor; its bytes are not copied where they lie well.

    Args:
        raw: the bytes.
        datatype: the protocol's name.
        shape: as declared.
        name: of the input, for the error.

    Raises:
        RequestError: the bytes are not those of such a tensor.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _texts(raw, count, name).reshape(shape)
    size = count * (2 if datatype == "BF16" else _LITTLE[datatype].itemsize)
    if len(raw) != size:
        raise RequestError(
            f"{name}: expected {size} bytes for {datatype}{shown(shape)}, found {len(raw)}"
        )
    if datatype == "BF16":
        wide = np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(shape)
    if datatype == "BOOL":
        truths: NDArray[np.bool_] = np.frombuffer(raw, np.uint8) != 0
        return truths.reshape(shape)
    array = np.frombuffer(raw, _LITTLE[datatype]).reshape(shape)
    return array if array.flags.aligned else array.copy()


def datatype(array: NDArray[Any]) -> str:
    """Return the protocol's name for an array's type."""
    return "BYTES" if array.dtype.kind in "OUST" else NAMES[array.dtype.name]


def to_json(array: NDArray[Any]) -> Json:
    """Return an array as `json_text.write` takes it."""
    if datatype(array) == "BYTES":
        return (
            [_text(value) for value in array.ravel()]
            if array.ndim < 2
            else [to_json(part) for part in array]
        )
    if array.dtype.name in ("bfloat16", "float16"):
        return array.astype(np.float32)
    return np.ascontiguousarray(array)


def to_bytes(array: NDArray[Any]) -> bytes:
    """Return an array as a binary tensor."""
    if datatype(array) == "BYTES":
        texts = [_text(value).encode() for value in array.ravel()]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if array.dtype.name == "bfloat16":
        return array.tobytes()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _only(found: set[type], wanted: set[type], what: str, name: str) -> None:
    for kind in found - wanted:
        raise RequestError(f"{name}: expected {what}, found {_WORDS.get(kind, kind.__name__)}")


def _floats(flat: list[Any], dtype: str, name: str) -> NDArray[Any]:
    """Return numbers as the type; one beyond its largest is refused, not rounded to it."""
    try:
        wide = np.array(flat, dtype=np.float64)
    except OverflowError:
        raise _beyond(dtype, name) from None
    if (np.isfinite(wide) & (np.abs(wide) > largest(dtype))).any():
        raise _beyond(dtype, name)
    return wide.astype("float32" if dtype == "bfloat16" else dtype)


def _beyond(dtype: str, name: str) -> RequestError:
    return RequestError(f"{name}: a number is beyond what {dtype} holds")


def _whole(flat: list[Any], name: str) -> list[int]:
    for value in flat:
        if type(value) is float and not value.is_integer():
            raise RequestError(f"{name}: expected whole numbers, found {value}")
    return [int(value) for value in flat]


def _texts(raw: memoryview, count: int, name: str) -> NDArray[Any]:
    texts: list[str] = []
    at = 0
    while at + 4 <= len(raw) and len(texts) < count:
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if length > len(raw) - at:
            raise RequestError(
                f"{name}: text {len(texts)} is to have {length} bytes, and {len(raw) - at} are left"
            )
        try:
            texts.append(str(raw[at : at + length], "utf-8"))
        except UnicodeDecodeError:
            raise RequestError(f"{name}: text {len(texts)} is not UTF-8") from None
        at += length
    if len(texts) != count or at != len(raw):
        raise RequestError(
            f"{name}: expected {count} texts, each after its length in 4 bytes; found {len(texts)} "
            f"and {len(raw) - at} bytes after them"
        )
    return np.array(texts, dtype=object)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_WORDS = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _called(value: Json) -> str:
    return _WORDS.get(type(value), type(value).__name__)
