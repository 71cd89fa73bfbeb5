"""What a directory or a zip has in it, by name, whichever of the two it is.

Owns the directory. Leaves the zip to `zip_members`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from holdfast.errors import FormatError
from holdfast.formats.guard import Budget
from holdfast.formats.region import Region, open_region

_MOST_FILES = 10_000
_LARGEST_READ = 1 << 30


class Members(Protocol):
    """Files by name, with `/` on every system.

    Attributes:
        title: of the directory or zip, for messages.
    """

    title: str

    @property
    def names(self) -> list[str]:
        """The names of the files."""

    def open(self, name: str) -> Region:
        """Return the bytes of a file.

        Raises:
            FormatError: there is none, or it is damaged.
        """

    def read(self, name: str) -> bytes:
        """Return the bytes of a small file, all at once. See `open`."""

    def budget_of(self, region: Region) -> Budget:
        """Return what memory may be taken for a file that was opened."""


class Folder:
    """The files of a directory and of those below.

    Args:
        path: of the directory.
        closing: what closes the files that are opened.

    Raises:
        FormatError: it cannot be looked into, or holds too many files to be a model.
    """

    def __init__(self, path: Path, closing: contextlib.ExitStack) -> None:
        self.title = str(path)
        self._path, self._closing = path, closing
        self._names: list[str] = []
        for root, folders, files in os.walk(path):
            folders.sort()
            here = Path(root).relative_to(path)
            self._names += [(here / name).as_posix() for name in sorted(files)]
            if len(self._names) > _MOST_FILES:
                raise FormatError(f"{path} has more than {_MOST_FILES} files: no model has so many")

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return self._names

    def open(self, name: str) -> Region:
        """See `Members.open`."""
        if name not in self._names:
            raise FormatError(f"{self.title}: expected a file {name!r}, found none")
        return open_region(self._path / name, self._closing)

    def read(self, name: str) -> bytes:
        """See `Members.read`."""
        region = self.open(name)
        if region.size > _LARGEST_READ:
            raise FormatError(f"{region.name} is of {region.size} bytes, which no such file is")
        return region.read(0, region.size)

    def budget_of(self, region: Region) -> Budget:
        """See `Members.budget_of`."""
        return Budget.of(region)


class Below:
    """The files of a directory within other members, by their names in it.

    Args:
        members: that have the directory.
        prefix: its name, with `/` at the end.
    """

    def __init__(self, members: Members, prefix: str) -> None:
        self.title = f"{members.title}: {prefix.rstrip('/')}"
        self._members, self._prefix = members, prefix

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        length = len(self._prefix)
        return [name[length:] for name in self._members.names if name.startswith(self._prefix)]

    def open(self, name: str) -> Region:
        """See `Members.open`."""
        return self._members.open(self._prefix + name)

    def read(self, name: str) -> bytes:
        """See `Members.read`."""
        return self._members.read(self._prefix + name)

    def budget_of(self, region: Region) -> Budget:
        """See `Members.budget_of`."""
        return self._members.budget_of(region)
