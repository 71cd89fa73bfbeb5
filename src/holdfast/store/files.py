"""Durable files: the only module that writes, renames or removes anything.

Owns the primitive operations and when each is on the disk to stay. Leaves names to
`layout` and the order of operations to the modules that call it.

A file is durable once its data is synced and the directory that names it is synced;
the functions here say which of the two they do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from holdfast.store.layout import temporary, temporary_names

Buffer = bytes | bytearray | memoryview


def make_directory(path: Path) -> None:
    """Create `path` and its parents; each new name is durable when this returns."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    # A process that was killed may have made this one and not have come to its sync. Where it
    # was there long before, its parent may be one that cannot be read or synced.
    with contextlib.suppress(OSError):
        sync_directory(path.parent)
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_new(path: Path, buffers: Iterable[Buffer]) -> int:
    """Write a file that must not exist yet; data and name are durable when this returns.

    Returns the number of bytes written. What a failed write has left is removed.
    """
    size = _write(path, buffers)
    sync_directory(path.parent)
    return size


def replace(path: Path, data: Buffer) -> None:
    """Put `data` in place of what is at `path`, or was not; durable when this returns.

    A reader sees the old file whole or the new one whole, at any moment and after any cut.
    """
    aside = temporary(path)
    _write(aside, [data])
    try:
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_by(path: Path, write: Callable[[Path], object]) -> None:
    """Put the file that `write` makes in place of what is at `path`, or was not; durable then.

    For files that other libraries write: `write` is given a path of the same name in a
    directory of its own beside it. A reader sees the old file whole or the new one whole, at
    any moment and after any cut. What a process that died has left of this is removed.
    """
    for left in path.parent.glob(temporary_names(path)):
        remove_tree(left)
    aside = temporary(path)
    aside.mkdir()
    try:
        whole = aside / path.name
        write(whole)
        sync_file(whole)
        os.replace(whole, path)
    finally:
        remove_tree(aside)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make a file's data durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(paths: Iterable[Path]) -> None:
    """Remove files; durable when this returns. Those already gone are no error."""
    folders = set()
    for path in paths:
        path.unlink(missing_ok=True)
        folders.add(path.parent)
    for folder in sorted(folders):
        sync_directory(folder)


def move_directory(source: Path, target: Path) -> None:
    """Rename a directory; durable when this returns."""
    source.rename(target)
    sync_directory(source.parent)


def remove_tree(path: Path) -> None:
    """Remove a directory of disposable files and all in it. Makes nothing durable."""
    shutil.rmtree(path, ignore_errors=True)


def publish(source: Path, target: Path) -> None:
    """Give a whole file a second name, its data durable before; what has the name stays.

    The name itself is not made durable: it is for files that can be made again.
    """
    if target.exists():
        return
    sync_file(source)
    with contextlib.suppress(FileExistsError):
        os.link(source, target)


class Appender:
    """A file that only grows. `sync` makes all that was appended durable."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self.size = os.fstat(self._handle).st_size
            # For a file that is there too: the process that made it, and other names in the
            # directory, may have been killed before its sync.
            sync_directory(path.parent)
        except BaseException:
            os.close(self._handle)
            raise

    def append(self, data: Buffer) -> None:
        """Append `data` as a whole; where that fails, what it left is cut off again."""
        try:
            _write_all(self._handle, data)
        except OSError:
            os.ftruncate(self._handle, self.size)
            raise
        self.size += len(data)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(self._handle, size)
        self.size = size

    def sync(self) -> None:
        """Make all that was appended durable."""
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)
        self._handle = -1  # another file may have the number soon


def _write(path: Path, buffers: Iterable[Buffer]) -> int:
    """Write a new file and make its data durable. What a failed write has left is removed."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        try:
            size = sum(_write_all(handle, buffer) for buffer in buffers)
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return size


def _write_all(handle: int, buffer: Buffer) -> int:
    rest = memoryview(buffer).cast("B")
    size = len(rest)
    while len(rest):  # the kernel takes at most 2 GiB at a time
        rest = rest[os.write(handle, rest) :]
    return size
