"""Kept files: what ModelCheckpoint wrote for the program, kept in the run that wrote it.

Owns `saved/` of a run: when a file stands, it gets a second name here, and is put back where the
program has it when the run is gone on with, or is called again after its end, and something else
is there by then: another training of the same program may have written to the same path. Leaves
which files still matter to the callback, and names to `layout`.

    saved/<sum of the path>-<number>/
      saved.json                        the note: the path, the pattern it is of, the files
      <name> ...                        the files

Such a directory is there wholly or not at all, and of several of one path the highest number
counts. A file that cannot be kept is not, and no older one in its place: nobody has to wait, and
no training ends, for the sake of one.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import string
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from blake3 import blake3

from holdfast.errors import StoreError
from holdfast.events import build
from holdfast.store import files
from holdfast.store.layout import FORMAT, Layout
from holdfast.store.manifest import sealed, unsealed

_PIECE = 1 << 20


@dataclass(frozen=True)
class KeptFile:
    """A file as it was when it was kept.

    Args:
        name: of the file.
        size: in bytes.
        time: of its last change, in nanoseconds since 1970.
        linked: whether what is kept is a second name of it, and not a copy.
        blake3: of its bytes.
    """

    name: str
    size: int
    time: int
    linked: bool
    blake3: str


@dataclass(frozen=True)
class Note:
    """What is kept in a directory.

    Args:
        pattern: of the paths, as the program gave it.
        path: where the files belong, as the pattern has it filled in.
        files: in the order in which they are put back.
    """

    pattern: str
    path: str
    files: tuple[KeptFile, ...]
    format: int = FORMAT


@dataclass(frozen=True)
class _Entry:
    """A directory of `saved/`, and its note, if that can be read and all files are there."""

    folder: Path
    key: str
    number: int
    note: Note | None


@dataclass(frozen=True)
class PutBack:
    """What became of the files of a pattern.

    Args:
        back: the paths at which something else was.
        lost: the paths that could not be put back, each with why.
    """

    back: tuple[str, ...]
    lost: dict[str, str]


class Kept:
    """The kept files of a run. Only the process that holds its lock may change them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._made = False

    def tidy(self) -> None:
        """Remove what a process that died has left: what was not whole, or not needed any more."""
        with contextlib.suppress(OSError):
            for path in self._layout.leftovers(folders=True):
                if path.parent == self._layout.saved:
                    files.remove_tree(path)
        needed = {folder for folder, _ in self._newest()}
        self._remove([entry for entry in self._entries() if entry.folder not in needed])

    def keep(self, pattern: str, path: str, found: Sequence[Path], stay: Collection[str]) -> None:
        """Keep the files that stand at a path, durably; where the disk refuses, nothing is kept.

        Args:
            pattern: that `path` is made of.
            path: as the program has it.
            found: the files, durable and in the order in which they are to be put back.
            stay: other paths of the pattern whose files stay. The rest is let go.
        """
        key, entries = self._layout.saved_key(path), self._entries()
        own = [entry for entry in entries if entry.key == key]
        number = 1 + max((entry.number for entry in entries), default=0)
        try:
            if not found:
                raise FileNotFoundError(path)
            self._make()
            files.new_folder(
                self._layout.saved_folder(key, number),
                lambda aside: _fill(aside, pattern, path, found),
            )
        except OSError:
            # What was kept before is no longer what stands there.
            self._remove(own)
            return
        notes = [(entry, entry.note) for entry in entries if entry.note is not None]
        old = [entry for entry, note in notes if note.pattern == pattern and note.path not in stay]
        self._remove([*own, *(entry for entry in old if entry.key != key)])

    def let_go(self, paths: Iterable[str]) -> None:
        """Keep the files of some paths no longer; durable, if the disk does not refuse."""
        keys = {self._layout.saved_key(path) for path in paths}
        self._remove([entry for entry in self._entries() if entry.key in keys])

    def forget(self, pattern: str) -> None:
        """Keep no file of a pattern any longer: the run is begun anew."""
        found = [(entry, entry.note) for entry in self._entries() if entry.note is not None]
        self._remove([entry for entry, note in found if note.pattern == pattern])

    def holds(self, path: str) -> bool:
        """Return whether the files of a path are kept."""
        return any(note.path == path for _, note in self._newest())

    def put_back(
        self,
        pattern: str,
        place: Callable[[str], Path],
        standing: Callable[[str], Collection[Path]],
    ) -> PutBack:
        """Put the kept files of a pattern where they belong, if something else is there.

        Args:
            pattern: as the program gives it.
            place: where a path is.
            standing: returns the files that stand at a path now.
        """
        back, lost = [], {}
        for folder, note in self._newest():
            if note.pattern != pattern or not _is_made_of(pattern, note.path):
                continue
            target = place(note.path)
            pairs = [(folder / file.name, target.with_name(file.name), file) for file in note.files]
            for _, to, _ in pairs:
                files.remove_halves(to)
            if all(_is_same(*pair) for pair in pairs):
                continue
            try:
                if not all(_is_unchanged(kept, file) for kept, _, file in pairs):
                    lost[note.path] = "what was kept of it was changed since"
                    continue
                before = standing(note.path)
                for pair in pairs:
                    _put_back(*pair)
                files.remove([path for path in before if path not in {to for _, to, _ in pairs}])
                back.append(note.path)
            except OSError as error:
                lost[note.path] = str(error)
        return PutBack(tuple(back), lost)

    def _entries(self) -> list[_Entry]:
        try:
            found = self._layout.saved_folders()
        except OSError:
            return []
        return [_Entry(folder, key, number, _read(folder)) for folder, key, number in found]

    def _newest(self) -> list[tuple[Path, Note]]:
        """Return what is kept of each path, in the order in which it was kept."""
        newest: dict[str, _Entry] = {}
        for entry in sorted(self._entries(), key=lambda entry: entry.number):
            newest[entry.key] = entry
        return [(entry.folder, entry.note) for entry in newest.values() if entry.note is not None]

    def _make(self) -> None:
        if not self._made:
            files.make_directory(self._layout.saved)
            self._made = True

    def _remove(self, entries: Sequence[_Entry]) -> None:
        if entries:
            with contextlib.suppress(OSError):
                files.remove_folders([entry.folder for entry in entries])


def _fill(folder: Path, pattern: str, path: str, found: Sequence[Path]) -> None:
    kept = []
    for file in found:
        linked = files.duplicate(file, folder / file.name)
        stat = file.stat()
        total = _sum(folder / file.name)
        kept.append(KeptFile(file.name, stat.st_size, stat.st_mtime_ns, linked, total))
    note = Note(pattern, path, tuple(kept))
    files.write_new(Layout.saved_note(folder), [sealed(asdict(note))])


def _read(folder: Path) -> Note | None:
    """Return the note of a directory, or None where it, or a file, is not what was written."""
    path = Layout.saved_note(folder)
    try:
        note = build(Note, unsealed(path.read_bytes(), path))
        sizes = [(folder / file.name).stat().st_size for file in note.files]
    except (OSError, ValueError, StoreError):
        return None
    plain = all(Path(file.name).name == file.name for file in note.files)
    return note if plain and sizes == [file.size for file in note.files] else None


def _is_made_of(pattern: str, path: str) -> bool:
    """Return whether a pattern may give a path: a note does not say where else to write."""
    parts = string.Formatter().parse(pattern)
    made = "".join(
        re.escape(literal) + ("" if field is None else "[^/]*") for literal, field, *_ in parts
    )
    return re.fullmatch(made, path) is not None


def _is_same(kept: Path, target: Path, file: KeptFile) -> bool:
    """Return whether what is at a place is what is kept; reads both only where it must."""
    try:
        found = target.stat()
        if os.path.samestat(found, kept.stat()):
            return True
        if found.st_size != file.size:
            return False
        if not file.linked and found.st_mtime_ns == file.time:
            return True
        return filecmp.cmp(kept, target, shallow=False)
    except OSError:
        return False


def _is_unchanged(kept: Path, file: KeptFile) -> bool:
    """Return whether a kept file is what it was: a program may write to it by its other name."""
    if file.linked and kept.stat().st_mtime_ns == file.time:
        return True
    return _sum(kept) == file.blake3


def _sum(path: Path) -> str:
    total = blake3()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            total.update(piece)
    return total.hexdigest()


def _put_back(kept: Path, target: Path, file: KeptFile) -> None:
    if _is_same(kept, target, file):
        return
    files.make_directory(target.parent)
    files.replace_by(target, lambda aside: files.duplicate(kept, aside))
