"""Writing TensorBundle: the bytes of a checkpoint that TensorFlow reads.

Owns the bytes. Leaves putting them on the disk to whoever saves, and their keys to
`object_graph`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.formats.bundle import shard_name
from holdfast.formats.crc import crc32c, mask
from holdfast.formats.table import write_table
from holdfast.formats.tensor_types import NUMBERS, STRING
from holdfast.formats.wire import bytes_field, fixed32_field, integer_field, join, varint

_PRODUCER = 1


@dataclass(frozen=True)
class WrittenBundle:
    """A checkpoint as bytes, to be written in this order: the data, then the index.

    Args:
        data: the shard, as parts that follow each other: the arrays themselves, not copied.
        index: the whole index.
    """

    data: tuple[memoryview, ...]
    index: bytes

    @staticmethod
    def names(prefix: str) -> tuple[str, str]:
        """Return the names of both files: the data's, the index's."""
        return shard_name(prefix, 0, 1), f"{prefix}.index"


def write_bundle(tensors: Mapping[str, NDArray[Any]]) -> WrittenBundle:
    """Return the bytes of a checkpoint of these tensors.

    Args:
        tensors: by key, in the order in which they are to lie in the data. An array of objects is
            one of strings, each `bytes`. Arrays must not change until they are written: their
            checksums are in the index.

    Raises:
        TypeError: TensorFlow has no type for the elements of an array.
        ValueError: a key is empty or begins with a zero byte, which bundles keep for themselves.
    """
    entries = [(b"", integer_field(1, 1) + bytes_field(3, integer_field(1, _PRODUCER)))]
    data: list[memoryview] = []
    offset = 0
    for key, array in tensors.items():
        if key[:1] in ("", "\0"):
            raise ValueError(f"a tensor cannot be saved as {key!r}")
        number = STRING if array.dtype.kind == "O" else NUMBERS.get(array.dtype.newbyteorder("="))
        if number is None:
            raise TypeError(f"{key}: TensorFlow has no type for {array.dtype}")
        parts, crc = _strings(array) if number == STRING else _plain(array)
        size = sum(len(part) for part in parts)
        entry = [
            integer_field(1, number),
            bytes_field(2, join(bytes_field(2, integer_field(1, n)) for n in array.shape)),
            integer_field(4, offset),
            integer_field(5, size),
            fixed32_field(6, mask(crc)),
        ]
        entries.append((key.encode(), join(entry)))
        data += parts
        offset += size
    return WrittenBundle(tuple(data), write_table(sorted(entries)))


def state_text(name: str) -> bytes:
    """Return the file `checkpoint`, which says the name of the newest checkpoint beside it."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return (f'model_checkpoint_path: "{quoted}"\nall_model_checkpoint_paths: "{quoted}"\n').encode()


def string_array(strings: Iterable[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return strings as an array of objects, as `write_bundle` takes them."""
    listed = list(strings)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array.reshape(shape)


def _plain(array: NDArray[Any]) -> tuple[list[memoryview], int]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    # As bytes: there is no buffer of bfloat16.
    data = little.reshape(-1).view(np.uint8).data
    return [data], crc32c(data)


def _strings(array: NDArray[Any]) -> tuple[list[memoryview], int]:
    strings = [bytes(string) for string in array.reshape(-1)]
    crc = 0
    for string in strings:
        size = 4 if len(string) < 1 << 32 else 8
        crc = crc32c(len(string).to_bytes(size, "little"), crc)
    check = mask(crc).to_bytes(4, "little")
    lengths = join(varint(len(string)) for string in strings)
    crc = crc32c(check, crc)
    for string in strings:
        crc = crc32c(string, crc)
    return [memoryview(lengths + check), *(memoryview(string) for string in strings)], crc
