"""Tensors that lie within a graph: TensorProto.

Owns the two ways of listing elements, and that a short list cannot claim a huge array. Leaves where
in the graph a tensor is to `definition`.

Elements are the bytes of memory in one field, or numbers in a field that follows from their type.
Of a list that is shorter than the shape says, the last element stands for the rest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.tensor_types import read_shape, read_type
from holdfast.formats.wire import Message, packed_varints

_CONTENT, _STRINGS = 4, 8
_FIXED = {"float32": 5, "float64": 6, "complex64": 9, "complex128": 12}
_VARINTS = {"int64": 10, "bool": 11, "float16": 13, "bfloat16": 13, "uint32": 16, "uint64": 17}
_SMALL_VARINTS = 7
_MOST_REPEATED = 16 << 20
_MOST_ALIKE = 1 << 26


def read_tensor(message: Message, name: str) -> NDArray[Any]:
    """Return the array that a TensorProto holds; of strings an array of objects, each `bytes`.

    Args:
        message: the TensorProto.
        name: what it is, for errors.

    Raises:
        FormatError: it is not sound, or claims an array that is much larger than its bytes.
    """
    dtype = read_type(message.integer(1), name)
    shape = read_shape(message.message(2), name)
    count = math.prod(shape)
    content = message.blob(_CONTENT)
    if content is not None and len(content):
        if dtype.kind == "O" or len(content) != count * dtype.itemsize:
            raise FormatError(
                f"{name} is not sound: {dtype.name} of shape {shape} does not have "
                f"{len(content):,} bytes."
            )
        array = np.frombuffer(content, dtype.newbyteorder("<")).reshape(shape)
        return array.astype(dtype) if not array.flags.aligned else array.astype(dtype, copy=False)
    listed = _strings(message) if dtype.kind == "O" else _numbers(message, dtype, name)
    return _filled(listed, count, name).reshape(shape)


def _filled(listed: NDArray[Any], count: int, name: str) -> NDArray[Any]:
    if listed.size > count:
        raise FormatError(f"{name} is not sound: it has {listed.size:,} elements of {count:,}.")
    if listed.size == count:
        return listed
    if listed.size <= 1 and count <= _MOST_ALIKE:
        # All alike: a view that takes no memory.
        one = listed if listed.size else _zero(listed.dtype)
        return np.broadcast_to(one.reshape(()), (count,))
    if (count - listed.size) * listed.itemsize > _MOST_REPEATED:
        raise FormatError(
            f"{name} is refused: it lists {listed.size:,} elements and claims {count:,}."
        )
    rest = listed[-1:] if listed.size else _zero(listed.dtype)
    return np.concatenate([listed, np.repeat(rest, count - listed.size)])


def _zero(dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.array([b""], object) if dtype.kind == "O" else np.zeros(1, dtype)


def _strings(message: Message) -> NDArray[Any]:
    found = np.empty(message.count(_STRINGS), object)
    for k, blob in enumerate(message.blobs(_STRINGS)):
        found[k] = bytes(blob)
    return found


def _numbers(message: Message, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    if dtype.name in _FIXED:
        blob = message.blob(_FIXED[dtype.name]) or memoryview(b"")
        if len(blob) % dtype.itemsize:
            raise FormatError(f"{name} is not sound: its list of elements ends within one.")
        return np.frombuffer(blob, dtype.newbyteorder("<")).astype(dtype)
    number = _VARINTS.get(dtype.name, _SMALL_VARINTS if dtype.kind in "iu" else 0)
    if not number:
        raise FormatError(
            f"{name} has elements of type {dtype.name}, which Holdfast does not read."
        )
    blob = message.blob(number) or memoryview(b"")
    pieces = list(packed_varints(blob, name))
    found = np.concatenate(pieces) if pieces else np.zeros(0, np.uint64)
    if dtype.kind in "iub":
        return found.view(np.int64).astype(dtype)
    return found.astype(np.uint16).view(dtype)
