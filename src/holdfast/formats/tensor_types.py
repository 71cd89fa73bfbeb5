"""TensorFlow's types of elements, by number, and numpy's for them.

Owns the table of types and the limits of a shape. Leaves where the bytes lie to the readers.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from holdfast.errors import FormatError
from holdfast.formats.wire import Message

STRING = 7

TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    STRING: np.dtype(object),
    8: np.dtype(np.complex64),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    11: np.dtype(np.int8),  # quantized, as are the next four: their numbers without their range
    12: np.dtype(np.uint8),
    13: np.dtype(np.int32),
    14: np.dtype(ml_dtypes.bfloat16),
    15: np.dtype(np.int16),
    16: np.dtype(np.uint16),
    17: np.dtype(np.uint16),
    18: np.dtype(np.complex128),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
    24: np.dtype(ml_dtypes.float8_e5m2),
    25: np.dtype(ml_dtypes.float8_e4m3fn),
}
"""Without resources, variants and types of half a byte, which no checkpoint of Keras holds."""

_QUANTIZED = (11, 12, 13, 15, 16)
NUMBERS = {dtype: number for number, dtype in TYPES.items() if number not in _QUANTIZED}
"""The number to write for a type of numpy's."""

_MOST_DIMENSIONS = 64
_MOST_BYTES = 1 << 62


def type_name(dtype: np.dtype[Any]) -> str:
    """Return the name of a type: numpy's, `bfloat16` and the like, or `string`."""
    return "string" if dtype.kind == "O" else dtype.name


def read_type(number: int, name: str) -> np.dtype[Any]:
    """Return numpy's type for TensorFlow's number.

    Raises:
        FormatError: there is none.
    """
    try:
        return TYPES[number]
    except KeyError:
        raise FormatError(
            f"{name} has elements of type {number}, which Holdfast does not read."
        ) from None


def read_shape(message: Message | None, name: str) -> tuple[int, ...]:
    """Return the dimensions that a TensorShapeProto holds.

    Raises:
        FormatError: it is no shape of an array: negative, unknown, or of an impossible size.
    """
    if message is None:
        return ()
    if message.integer(3):
        raise FormatError(f"{name} is not sound: its shape is unknown.")
    if message.count(2) > _MOST_DIMENSIONS:
        raise FormatError(f"{name} is refused: it has {message.count(2)} dimensions.")
    shape = tuple(dimension.integer(1) for dimension in message.messages(2))
    if any(size < 0 for size in shape):
        raise FormatError(f"{name} is not sound: its shape is {shape}.")
    # numpy counts the bytes as if no dimension were 0.
    if math.prod(size for size in shape if size) * 16 >= _MOST_BYTES:
        raise FormatError(f"{name} is refused: its shape is {shape}, more than any file holds.")
    return shape
