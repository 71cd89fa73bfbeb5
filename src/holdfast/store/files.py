"""Durable files: the only module that makes, replaces, grows or removes one.

Owns when each is on the disk to stay. Leaves names to `layout`, the order among files to the
modules that call it, and the system's calls to `disk`.

A file is durable once its data is synced and the directory that names it is synced;
the functions here say which of the two they do.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from holdfast.store import disk
from holdfast.store.disk import Buffer
from holdfast.store.layout import temporary, temporary_names

_PIECE = 1 << 20


def make_directory(path: Path) -> None:
    """Create `path` and its parents; each new name is durable when this returns."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    # A process that was killed may have made this one and not have come to its sync. Where it
    # was there long before, its parent may be one that cannot be read or synced.
    with contextlib.suppress(OSError):
        disk.sync_directory(path.parent)
    for folder in reversed(missing):
        disk.make_directory(folder)
        disk.sync_directory(folder.parent)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[disk.File]:
    """Make a file that must not exist yet; the block writes it, in pieces and in any order.

    Data and name are durable when the block is left. If the block fails, the file is removed.
    """
    with _whole(path) as file:
        yield file
    disk.sync_directory(path.parent)


def write_new(path: Path, buffers: Iterable[Buffer]) -> int:
    """Write a file that must not exist yet; data and name are durable when this returns.

    Returns the number of bytes written. What a failed write has left is removed.
    """
    size = 0
    with new_file(path) as file:
        for buffer in buffers:
            file.write(buffer)
            size += memoryview(buffer).nbytes
    return size


def replace(path: Path, data: Buffer) -> None:
    """Put `data` in place of what is at `path`, or was not; durable when this returns.

    A reader sees the old file whole or the new one whole, at any moment and after any cut.
    """
    aside = temporary(path)
    with _whole(aside) as file:
        file.write(data)
    try:
        disk.rename(aside, path)
    except BaseException:
        _give_up(aside)
        raise
    disk.sync_directory(path.parent)


def replace_by(path: Path, write: Callable[[Path], object]) -> None:
    """Put the file that `write` makes in place of what is at `path`, or was not; durable then.

    For files that other libraries write: `write` is given a path of the same name in a
    directory of its own beside it. A reader sees the old file whole or the new one whole, at
    any moment and after any cut. What a process that died has left of this is removed.
    """
    remove_halves(path)
    aside = temporary(path)
    disk.make_directory(aside)
    try:
        whole = aside / path.name
        write(whole)
        disk.sync_file(whole)
        disk.rename(whole, path)
    finally:
        remove_tree(aside)
    disk.sync_directory(path.parent)


def remove_halves(path: Path) -> None:
    """Remove what a process that died while it replaced the file at `path` has left beside it."""
    for left in path.parent.glob(temporary_names(path)):
        remove_tree(left)


def new_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Make a directory that is there wholly, or not at all; durable when this returns.

    Args:
        path: of the directory, which must not be there.
        fill: is given an empty directory, and makes what belongs in it, and the names, durable.
    """
    aside = temporary(path)
    disk.make_directory(aside)
    try:
        fill(aside)
        disk.rename(aside, path)
    except BaseException:
        remove_tree(aside)
        raise
    disk.sync_directory(path.parent)


def duplicate(source: Path, target: Path) -> bool:
    """Give a file a second name, or, where that cannot be, make a copy of it.

    The data was durable before and is so in the copy; the name is so when its directory is synced.
    Returns whether it is a second name.
    """
    try:
        disk.link(source, target)
    except OSError:
        with source.open("rb") as old, _whole(target) as new:
            for piece in iter(lambda: old.read(_PIECE), b""):
                new.write(piece)
        return False
    return True


def blank(path: Path, spans: Iterable[tuple[int, int]]) -> None:
    """Fill spans (offset, length) of a text with spaces and a newline; durable when this returns.

    For what holds nothing that anybody wants: it is overwritten where it is.
    """
    with disk.File(path) as file:
        for offset, length in spans:
            file.write(b" " * (length - 1) + b"\n", at=offset)
        file.sync()


def settle(path: Path) -> None:
    """Make a file that another library wrote, and its name, durable."""
    disk.sync_file(path)
    disk.sync_directory(path.parent)


def make_folder(path: Path) -> None:
    """Create a directory in one that is there; its name is durable when that one is synced."""
    disk.make_directory(path)


def make_file(path: Path) -> None:
    """Create an empty file where there is none; its name is durable when the folder is synced."""
    with disk.File(path):
        pass


def settle_names(folder: Path) -> None:
    """Make the names in a directory durable, whoever made them."""
    disk.sync_directory(folder)


def remove(paths: Iterable[Path]) -> None:
    """Remove files; durable when this returns. Those already gone are no error."""
    folders = set()
    for path in paths:
        disk.remove(path)
        folders.add(path.parent)
    for folder in sorted(folders):
        disk.sync_directory(folder)


def discard(paths: Iterable[Path]) -> None:
    """Remove files that do no harm if a cut brings them back: nothing is synced."""
    for path in paths:
        disk.remove(path)


def move(source: Path, target: Path) -> None:
    """Rename a file or a directory; durable when this returns."""
    disk.rename(source, target)
    if target.parent != source.parent:
        disk.sync_directory(target.parent)
    disk.sync_directory(source.parent)


def remove_tree(path: Path) -> None:
    """Remove a directory of disposable files and all in it, if it can be. Nothing is synced."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            disk.remove(path)
        return
    for root, folders, names in os.walk(path, topdown=False):
        for name in names:
            with contextlib.suppress(OSError):
                disk.remove(Path(root, name))
        for name in folders:
            with contextlib.suppress(OSError):
                disk.remove_directory(Path(root, name))
    with contextlib.suppress(OSError):
        disk.remove_directory(path)


def remove_folders(paths: Iterable[Path]) -> None:
    """Remove directories and all in them, if they can be; durable when this returns.

    A cut may leave one with some of its files gone.
    """
    parents = set()
    for path in paths:
        remove_tree(path)
        parents.add(path.parent)
    for folder in sorted(parents):
        disk.sync_directory(folder)


def publish(source: Path, target: Path) -> None:
    """Give a whole file a second name, its data durable before; what has the name stays.

    The name itself is not made durable: it is for files that can be made again.
    """
    if target.exists():
        return
    disk.sync_file(source)
    with contextlib.suppress(FileExistsError):
        disk.link(source, target)


class Appender:
    """A file that only grows. `sync` makes all that was appended durable.

    Where there is none it is made, and its name is durable. What could not be written is written
    before what comes after it: nothing is left out. Safe to use from threads; one that appends
    does not wait for one that syncs.
    """

    def __init__(self, path: Path) -> None:
        missing = not path.exists()
        self._file = disk.File(path, append=True)
        try:
            self.size = self._written = self._durable = self._file.size
            if missing:
                disk.sync_directory(path.parent)
        except BaseException:
            self._file.close()
            raise
        # All since the last sync. After one that failed the kernel may have let go of it, and
        # would say of the next one that all is well.
        self._young = bytearray()
        self._odd = False
        self._guard = threading.Lock()
        # Of two at once the kernel would tell one alone that it failed.
        self._syncing = threading.Lock()

    def append(self, data: Buffer) -> None:
        """Append `data`; where that fails, no part of it stays, and all of it comes later."""
        with self._guard:
            self._young += data
            self.size += len(data)
            self._write()

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, before anything is appended; durable when this returns."""
        self._file.truncate(size)
        self._file.sync()
        self.size = self._written = self._durable = size

    def sync(self) -> None:
        """Make all that was appended durable."""
        with self._syncing:
            with self._guard:
                self._write()
                count = len(self._young)
            try:
                self._file.sync()
            except BaseException:
                with self._guard:
                    self._written, self._odd = self._durable, True
                raise
            with self._guard:
                self._durable += count
                del self._young[:count]

    def close(self) -> None:
        """Close the file. What was appended since the last `sync` is not made durable."""
        self._file.close()

    def _write(self) -> None:
        """Write what is not in the file for sure, which is all beyond `_written`."""
        if self._odd:
            self._cut()
        rest = self._young[self._written - self._durable :]
        if not rest:
            return
        try:
            self._file.write(rest)
        except BaseException:
            self._odd = True
            with contextlib.suppress(OSError):
                self._cut()
            raise
        self._written = self.size

    def _cut(self) -> None:
        self._file.truncate(self._written)
        self._odd = False


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[disk.File]:
    """Make a new file, whose data is durable when the block is left; removed if it fails."""
    with disk.File(path, new=True) as file:
        try:
            yield file
            file.sync()
        except BaseException:
            _give_up(path)
            raise


def _give_up(path: Path) -> None:
    """Remove a file that is of no use, if that can be done: the error before counts."""
    with contextlib.suppress(OSError):
        disk.remove(path)
