"""The calls that change the disk: nobody else makes them.

Owns each call, and that a test may log it, kill the process at it or make it fail (`faults`).
Leaves to `files` which of them, in which order, make something durable.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from holdfast.store import faults

Buffer = bytes | bytearray | memoryview

# Tests set this, here or by the environment; for all others it is None.
switch: faults.Faults | None = faults.from_environment()


class File:
    """A file open for writing. Use it as a context manager, or close it.

    Args:
        path: of the file, which is made where it is not there.
        new: whether it must not be there.
        append: whether all that is written goes to its end.
    """

    def __init__(self, path: Path, *, new: bool = False, append: bool = False) -> None:
        self.path = path
        self._append = append
        self.handle = -1
        flags = os.O_RDWR | os.O_CREAT
        flags |= (os.O_EXCL if new else 0) | (os.O_APPEND if append else 0)
        with _operation("create", path) as go:
            if go:
                self.handle = os.open(path, flags, 0o644)
        self._end = self.size

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        return os.fstat(self.handle).st_size

    def write(self, data: Buffer, at: int | None = None) -> None:
        """Write `data` as a whole at an offset, by default after what was written before."""
        whole = memoryview(data).cast("B")
        begin = self._end if at is None else at

        def half() -> None:
            self._write(whole[: len(whole) // 2], begin)

        with _operation("write", self.path, data=whole, at=begin, half=half) as go:
            if go:
                self._write(whole, begin)
        self._end = max(self._end, begin + len(whole))

    def truncate(self, size: int) -> None:
        with _operation("truncate", self.path, at=size) as go:
            if go:
                os.ftruncate(self.handle, size)
        self._end = size

    def begin_sync(self, begin: int, end: int) -> None:
        """Have the kernel begin to write some of the data to the disk, where it can be asked to.

        That is a hint: it promises nothing, and changes nothing but when `sync` is done.
        """
        if sys.platform == "linux":  # there, what is not on the disk yet is written and stays
            with contextlib.suppress(OSError):
                os.posix_fadvise(self.handle, begin, end - begin, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Make the data durable."""
        with _operation("sync", self.path) as go:
            if go:
                _sync(self.handle)

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1  # another file may have the number soon

    def _write(self, rest: memoryview, at: int) -> None:
        while len(rest):  # the kernel takes at most 2 GiB at a time
            count = (
                os.write(self.handle, rest) if self._append else os.pwrite(self.handle, rest, at)
            )
            rest, at = rest[count:], at + count


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    with _operation("sync directory", path) as go:
        if go:
            _sync_at(path)


def sync_file(path: Path) -> None:
    """Make the data of a file, which another library wrote, durable."""
    with _operation("sync", path) as go:
        if go:
            _sync_at(path)


def rename(source: Path, target: Path) -> None:
    """Rename a file or a directory; a file that has the name `target` is replaced."""
    with _operation("rename", source, target=target) as go:
        if go:
            os.replace(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, which nothing has."""
    with _operation("link", source, target=target) as go:
        if go:
            os.link(source, target)


def remove(path: Path) -> None:
    """Remove a file; one that is gone is no error."""
    with _operation("remove", path) as go:
        if go:
            path.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """Make a directory; one that is there is no error."""
    with _operation("make directory", path) as go:
        if go:
            path.mkdir(exist_ok=True)


def remove_directory(path: Path) -> None:
    """Remove an empty directory."""
    with _operation("remove directory", path) as go:
        if go:
            path.rmdir()


def _sync_at(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        _sync(handle)
    finally:
        os.close(handle)


def _sync(handle: int) -> None:
    if sys.platform == "darwin":
        # There fsync leaves the data in the drive's own memory.
        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    else:
        os.fsync(handle)


def _operation(
    kind: faults.Kind,
    path: Path,
    *,
    target: Path | None = None,
    data: memoryview | None = None,
    at: int = 0,
    half: Callable[[], None] | None = None,
) -> AbstractContextManager[bool]:
    if switch is None:
        return _GO
    return switch.around(kind, path, target=target, data=data, at=at, half=half)


_GO = nullcontext(True)
