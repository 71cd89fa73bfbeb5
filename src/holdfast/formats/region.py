"""Bytes to read from: a file, a part of one, or what was unpacked into memory.

Owns that nothing is read beyond the end, and that what is read is counted. Leaves what the bytes
mean to the codecs.

Reading is by position and into fresh memory, not by a memory map: a file that shrinks meanwhile is
then an error and no crash, and an array is no window onto a file that someone may write to.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where an array begins in memory, JAX on a CPU can take it as it is.
_ALIGNED = 64
# From here on memory is asked of the system itself, all pages at once: numpy asks for huge pages,
# and to make one of them can take longer than to read what goes into it.
_LARGE = 1 << 20
_AT_ONCE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
# What Linux reads at once is less than 2 GiB.
_PIECE = 1 << 30


class Region:
    """A run of bytes. Threads may read it together.

    Args:
        name: of the file, for messages.
        source: an open file's number, or what is in memory.
        start: where in the source the first byte is.
        size: how many bytes there are.

    Attributes:
        name: of the file, for messages.
        size: how many bytes it has.
    """

    def __init__(self, name: str, source: int | memoryview, start: int, size: int) -> None:
        self.name = name
        self.size = size
        self._source = source
        self._start = start

    def read(self, at: int, count: int) -> bytes:
        """Return `count` bytes from `at` on.

        Raises:
            FormatError: it ends before that.
        """
        self._check(at, count)
        if isinstance(self._source, memoryview):
            return bytes(self._source[self._start + at : self._start + at + count])
        room = bytearray(count)
        self.read_into(at, memoryview(room))
        return bytes(room)

    def read_into(self, at: int, room: memoryview) -> None:
        """Fill `room` with the bytes from `at` on.

        Raises:
            FormatError: it ends before that.
        """
        self._check(at, len(room))
        at += self._start
        if isinstance(self._source, memoryview):
            room[:] = self._source[at : at + len(room)]
            return
        while room:
            try:
                count = os.preadv(self._source, [room[:_PIECE]], at)
            except OSError as error:
                raise FormatError(f"{self.name}: cannot be read ({error.strerror})") from error
            if not count:
                raise FormatError(f"{self.name}: the file became shorter while it was read")
            room, at = room[count:], at + count

    def array(self, at: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the elements from `at` on, in memory of their own.

        Args:
            at: where the first is.
            dtype: numpy's name for their type, or ml_dtypes'; the least significant byte first.
            shape: their dimensions.

        Raises:
            FormatError: it ends before the last.
        """
        # Not above: who only looks at a file needs no numpy.
        import ml_dtypes
        import numpy as np

        kind = np.dtype(getattr(ml_dtypes, dtype) if hasattr(ml_dtypes, dtype) else dtype)
        size = math.prod(shape) * kind.itemsize
        self._check(at, size)
        room = fresh(size)
        if size:
            self.read_into(at, room.data)
        return room.view(kind).reshape(shape)

    def within(self, at: int, size: int, name: str) -> Region:
        """Return a part as a region of its own.

        Raises:
            FormatError: it ends before that.
        """
        self._check(at, size)
        return Region(name, self._source, self._start + at, size)

    def _check(self, at: int, count: int) -> None:
        if at < 0 or count < 0 or at + count > self.size:
            raise FormatError(
                f"{self.name}: expected {count} bytes at {at}, and it has only {self.size}: "
                "it was cut short or is damaged"
            )


def fresh(size: int) -> NDArray[Any]:
    """Return so many bytes of memory, aligned for every type and for a backend to take over."""
    import numpy as np

    if size >= _LARGE:
        return np.frombuffer(mmap.mmap(-1, size, flags=_AT_ONCE), np.uint8)
    room = np.empty(size + _ALIGNED, np.uint8)
    begin = -room.ctypes.data % _ALIGNED
    return room[begin : begin + size]


def open_region(path: Path, closing: contextlib.ExitStack) -> Region:
    """Open a file for reading, until `closing` is closed.

    Raises:
        FormatError: it is no file, or may not be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe is to wait for its writer
            raise FormatError(f"{path}: expected a file")
        file = closing.enter_context(path.open("rb", buffering=0))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error
    return Region(str(path), file.fileno(), 0, os.fstat(file.fileno()).st_size)
