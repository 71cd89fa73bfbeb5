"""Partitioned variables: where a slice lies in the whole, its key, and the whole put together.

Owns TensorSliceProto, the encoding of a slice in a key, and the check that slices cover the whole
exactly once. Leaves where a slice's bytes lie to `bundle` and `bundle_v1`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.wire import Message

Extent = tuple[int, int]
"""Where a slice begins along a dimension, and its length; `FULL` for all of it."""

FULL: Extent = (0, -1)
Slice = tuple[Extent, ...]


def read_slice(message: Message, rank: int, name: str) -> Slice:
    """Return the extents that a TensorSliceProto holds.

    Raises:
        FormatError: they are not `rank` many, or negative.
    """
    if message.count(1) != rank:
        raise FormatError(
            f"{name} is not sound: a slice of it has {message.count(1)} dimensions, not {rank}."
        )
    extents = []
    for extent in message.messages(1):
        start, length = extent.integer(1), extent.integer(2, -1)
        if start < 0 or length < -1 or (length == -1 and start):
            raise FormatError(f"{name} is not sound: a slice begins at {start}, {length} long.")
        extents.append((start, length))
    return tuple(extents)


def slice_shape(extents: Slice, shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return the shape of a slice of a whole of `shape`.

    Raises:
        FormatError: the slice does not lie within it.
    """
    lengths = tuple(
        size if length < 0 else length for (_, length), size in zip(extents, shape, strict=True)
    )
    for (start, _), length, size in zip(extents, lengths, shape, strict=True):
        if start + length > size:
            raise FormatError(
                f"{name} is not sound: a slice from {start} to {start + length} does not lie "
                f"within its {size}."
            )
    return lengths


def slice_key(name: str, extents: Slice) -> bytes:
    """Return the key under which a slice's elements are kept."""
    escaped = name.encode().replace(b"\xff", b"\xff\x00").replace(b"\0", b"\0\xff")
    rank = len(extents)
    count = rank.to_bytes((rank.bit_length() + 7) // 8, "big")
    numbers = b"".join(_signed(n) for extent in extents for n in extent)
    return b"\0" + escaped + b"\0\1" + bytes([len(count)]) + count + numbers


def _signed(value: int) -> bytes:
    """Return a number such that bytes sort as the numbers do.

    As many leading ones as the encoding has bytes, a zero, then the number; all bits turned
    where it is negative.
    """
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    bits = 8 * max(size, 1)
    header = ((1 << size) - 1) << (bits - size)
    return ((value & ((1 << bits) - 1)) ^ header).to_bytes(size, "big")


def assemble(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    slices: Sequence[Slice],
    read: Callable[[Slice], NDArray[Any]],
) -> NDArray[Any]:
    """Return the whole of which `read` gives the slices.

    Raises:
        FormatError: the slices do not cover it exactly once.
    """
    volume = sum(math.prod(slice_shape(extents, shape, name)) for extents in slices)
    if volume != math.prod(shape):
        raise FormatError(
            f"{name} is not sound: its slices have {volume:,} elements, and its shape {shape} "
            f"has {math.prod(shape):,}."
        )
    # Read before there is room for all: what is claimed is not yet what there is.
    parts = [read(extents) for extents in slices]
    whole = np.empty(shape, dtype)
    seen = np.zeros(shape, np.bool_)
    for extents, part in zip(slices, parts, strict=True):
        lengths = slice_shape(extents, shape, name)
        place = tuple(
            slice(start, start + length)
            for (start, _), length in zip(extents, lengths, strict=True)
        )
        if seen[place].any():
            raise FormatError(f"{name} is not sound: its slices overlap.")
        seen[place] = True
        whole[place] = part
    return whole
