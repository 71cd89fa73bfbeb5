"""An array in numpy's format, from bytes that a stranger sent, and back.

Owns the format's bounds: nothing is run, and no more memory is taken than the body has.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.judge.signature import shown
from holdfast.serving.refusal import RequestError

MAGIC = b"\x93NUMPY"
"""How such a file begins."""

_HEADER = 10_000  # letters; numpy's own bound
_DIMENSIONS = 32


def read(body: bytes) -> NDArray[Any]:
    """Return the array of an npy file; its bytes are not copied where they lie well.

    Raises:
        RequestError: it is none, or has objects, or other bytes than its header says.
    """
    file = io.BytesIO(body)
    shape, by_column, dtype = _header(file)
    if dtype.hasobject or dtype.kind not in "biufUS" or not dtype.itemsize:
        raise RequestError(f"expected an npy file of numbers, found one of {str(dtype)[:40]}")
    if len(shape) > _DIMENSIONS or any(type(size) is not int or size < 0 for size in shape):
        raise RequestError("expected an npy file, and its header has a shape that cannot be")
    size, rest = math.prod(shape) * dtype.itemsize, len(body) - file.tell()
    if size != rest:
        raise RequestError(
            f"npy: expected {size} bytes after the header for {dtype}{shown(shape)[:80]}, "
            f"found {rest}"
        )
    if not size:
        raise RequestError(f"npy: expected one sample or more, found {dtype}{shown(shape)[:80]}")
    array = np.frombuffer(body, dtype, offset=file.tell())
    array = array.reshape(shape, order="F" if by_column else "C")
    return array.astype(dtype.newbyteorder("="), order="C", copy=not array.flags.aligned)


def write(array: NDArray[Any]) -> bytes:
    """Return an array as an npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        return readers[np.lib.format.read_magic(file)](file, max_header_size=_HEADER)
    # Python's parser of literals, which numpy calls, raises what it will.
    except Exception:
        raise RequestError("expected an npy file, and its header cannot be read") from None
