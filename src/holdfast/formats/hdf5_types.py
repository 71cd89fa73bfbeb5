"""What the elements of an HDF5 dataset or attribute are, and how many.

Owns the messages that describe a type and a shape. Leaves where the elements are to `hdf5_tree`.

Only what Keras writes is known: whole numbers, floating-point numbers, truth values, complex
numbers and texts. References, lists of any length and compounds of other kinds are refused: no
weights are made of them.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Literal

from holdfast.errors import FormatError

_MOST_DIMENSIONS = 32
_LARGEST = 2**63 - 1
_WHOLE, _FLOAT, _TEXT, _OPAQUE, _COMPOUND, _ENUM, _LIST = 0, 1, 3, 5, 6, 8, 9
# (bits, exponent's place, its bits, mantissa's bits, bias)
_FLOATS = {
    (16, 10, 5, 10, 15): "float16",
    (16, 7, 8, 7, 127): "bfloat16",
    (32, 23, 8, 23, 127): "float32",
    (64, 52, 11, 52, 1023): "float64",
}


@dataclass(frozen=True)
class Elements:
    """The type of elements.

    Args:
        kind: `number`, `text` of a fixed length, `long text` that lies elsewhere, or `other`.
        dtype: numpy's name, of numbers.
        size: bytes of one.
        big: whether the most significant byte comes first.
        what: in words, for messages.
    """

    kind: Literal["number", "text", "long text", "other"]
    dtype: str
    size: int
    big: bool = False
    what: str = ""


def read_elements(body: bytes, name: str) -> Elements:
    """Return the type that a message describes.

    Raises:
        FormatError: the message is damaged.
    """
    try:
        return _elements(body, name)
    except (struct.error, IndexError) as error:
        raise FormatError(f"{name}: the description of its type is cut short") from error


def read_shape(body: bytes, name: str) -> tuple[int, ...] | None:
    """Return the shape that a message describes; None where there are no elements at all.

    Raises:
        FormatError: the message is damaged, or the shape is none an array can have.
    """
    try:
        version, rank = body[0], body[1]
        if version not in (1, 2) or rank > _MOST_DIMENSIONS:
            raise FormatError(f"{name}: a shape of version {version} with {rank} dimensions")
        if version == 2 and body[3] == 2:
            return None
        shape = struct.unpack_from(f"<{rank}Q", body, 8 if version == 1 else 4)
    except (struct.error, IndexError) as error:
        raise FormatError(f"{name}: the description of its shape is cut short") from error
    if math.prod(size or 1 for size in shape) > _LARGEST:
        raise FormatError(f"{name}: no array can have the shape {shape}")
    return shape


def _elements(body: bytes, name: str) -> Elements:
    version, kind = body[0] >> 4, body[0] & 15
    bits = int.from_bytes(body[1:4], "little")
    size = int(struct.unpack_from("<I", body, 4)[0])
    if version not in (1, 2, 3) or not size:
        raise FormatError(f"{name}: a type of version {version} with elements of {size} bytes")
    if kind == _WHOLE:
        return _whole(body, bits, size, name)
    if kind == _FLOAT:
        return _float(body, bits, size, name)
    if kind == _TEXT:
        return Elements("text", "", size, what="text")
    if kind == _LIST and bits & 15 == 1 and size == 16:
        return Elements("long text", "", size, what="text")
    if kind == _OPAQUE and size == 2:
        # h5py has no better type for bfloat16, and Keras has no other without one in numpy.
        return Elements("number", "bfloat16", size)
    if kind == _COMPOUND:
        return _complex(body, bits, size, version, name)
    if kind == _ENUM:
        return _truth(body, bits, size, version, name)
    words = {4: "bits", 7: "references", _LIST: "lists of any length", 10: "arrays"}
    return _other(words.get(kind, f"a type of class {kind}"), size)


def _other(what: str, size: int) -> Elements:
    return Elements("other", "", size, what=what)


def _whole(body: bytes, bits: int, size: int, name: str) -> Elements:
    offset, precision = struct.unpack_from("<HH", body, 8)
    if size not in (1, 2, 4, 8) or offset or precision != 8 * size:
        raise FormatError(f"{name}: whole numbers of {precision} bits in {size} bytes")
    return Elements("number", f"{'' if bits & 8 else 'u'}int{8 * size}", size, bool(bits & 1))


def _float(body: bytes, bits: int, size: int, name: str) -> Elements:
    offset, precision, place, exponent, low, mantissa, bias = struct.unpack_from(
        "<HHBBBBI", body, 8
    )
    dtype = _FLOATS.get((precision, place, exponent, mantissa, bias))
    # The mantissa's first bit is implied, the sign is the highest bit, the bytes are in order.
    usual = bits & 0x70 == 0x20 and bits >> 8 & 255 == precision - 1
    if dtype is None or not usual or offset or low or precision != 8 * size:
        raise FormatError(f"{name}: floating-point numbers of {precision} bits of no known kind")
    return Elements("number", dtype, size, bool(bits & 1))


def _name(body: bytes, at: int, version: int) -> tuple[bytes, int]:
    """Return a name that ends with a zero byte, and where the next thing is."""
    text = body[at : body.index(b"\0", at)] if b"\0" in body[at:] else body[at:]
    length = len(text) + 1
    return text, at + (length if version == 3 else length + -length % 8)


def _complex(body: bytes, count: int, size: int, version: int, name: str) -> Elements:
    if count & 0xFFFF != 2 or size not in (8, 16):
        return _other("compounds", size)
    at, parts, names = 8, [], []
    for _ in range(2):
        text, at = _name(body, at, version)
        width = 1 if version == 3 else 4
        offset = int.from_bytes(body[at : at + width], "little")
        at += 32 if version == 1 else width
        if body[at] & 15 != _FLOAT:
            return _other("compounds", size)
        part = _elements(body[at : at + 20], name)
        at += 20
        parts.append((offset, part.dtype, part.big))
        names.append(text)
    big = parts[0][2]
    wanted = [(0, f"float{4 * size}", big), (size // 2, f"float{4 * size}", big)]
    if names != [b"r", b"i"] or parts != wanted:
        return _other("compounds", size)
    return Elements("number", f"complex{8 * size}", size, big)


def _truth(body: bytes, count: int, size: int, version: int, name: str) -> Elements:
    if count & 0xFFFF != 2 or size != 1 or body[8] & 15 != _WHOLE:
        return _other("enumerations", size)
    first, at = _name(body, 20, version)
    second, at = _name(body, at, version)
    if (first, second, body[at : at + 2]) != (b"FALSE", b"TRUE", b"\0\1"):
        return _other("enumerations", size)
    return Elements("number", "bool", size)
