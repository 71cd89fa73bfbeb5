"""Kept files: what ModelCheckpoint wrote for the program, kept in the run that wrote it.

Owns `saved/` of a run: when a file stands, it gets a second name here, and is put back where the
program has it when the run is gone on with, or is called again after its end, and something else
is there by then: another training of the same program may have written to the same path. Leaves
which files still matter to the callback, and names to `layout`.

    saved/<sum of the path>-<number>/
      saved.json                        the note: the path, its pattern, the files, the scores
      <name> ...                        the files

Such a directory is there wholly or not at all, and of several of one path the highest number
counts. A file that cannot be kept is not, and no older one in its place: nobody has to wait, and
no training ends, for the sake of one.

All names in it are those of the run's first start: a program may have the time in them, and what is
kept is the same. Callers have those of this start; see `patterns`.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from blake3 import blake3

from holdfast.errors import StoreError
from holdfast.events import build
from holdfast.store import files
from holdfast.store.layout import FORMAT, Layout
from holdfast.store.manifest import sealed, unsealed
from holdfast.store.patterns import Pattern

_PIECE = 1 << 20


@dataclass(frozen=True)
class KeptFile:
    """A file as it was when it was kept.

    Args:
        name: of the file; it begins with that of the path.
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
        pattern: of the paths, as the program first gave it.
        path: where the files belong, as the pattern has it filled in.
        scores: what the model was judged by, and how; empty where it was not.
        files: in the order in which they are put back.
    """

    pattern: str
    path: str
    scores: Mapping[str, float]
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
        stands: the paths at which what is kept stands now, in the order in which it was kept.
        back: those of them at which something else was.
        lost: the paths that could not be put back, each with why.
    """

    stands: tuple[str, ...]
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

    def keep(
        self,
        pattern: Pattern,
        path: str,
        found: Sequence[Path],
        stay: Collection[str],
        scores: Mapping[str, float],
    ) -> None:
        """Keep the files that stand at a path, durably; where the disk refuses, nothing is kept.

        Args:
            pattern: that `path` is made of.
            path: as the program has it.
            found: the files, durable and in the order in which they are to be put back. Their names
                begin with that of the path.
            stay: other paths of the pattern whose files stay. The rest is let go.
            scores: what the model was judged by, and how.
        """
        entries = self._entries()
        kept = {pattern.kept(other) for other in stay}
        name = pattern.kept(path)
        key = "" if name is None else self._layout.saved_key(name)
        own = [entry for entry in entries if entry.key == key]
        number = 1 + max((entry.number for entry in entries), default=0)
        try:
            if not found or name is None:
                raise FileNotFoundError(path)
            note = Note(pattern.first, name, scores, ())
            self._make()
            files.new_folder(
                self._layout.saved_folder(key, number),
                lambda aside: _fill(aside, note, found, Path(path).name),
            )
        except OSError:
            # What was kept before is no longer what stands there.
            self._remove(own)
            return
        notes = [(entry, entry.note) for entry in entries if entry.note is not None]
        old = [
            entry
            for entry, note in notes
            if note.pattern == pattern.first and note.path not in kept and entry.key != key
        ]
        self._remove([*own, *old])

    def let_go(self, pattern: Pattern, paths: Iterable[str]) -> None:
        """Keep the files of some paths no longer; durable, if the disk does not refuse."""
        names = [pattern.kept(path) for path in paths]
        keys = {self._layout.saved_key(name) for name in names if name is not None}
        self._remove([entry for entry in self._entries() if entry.key in keys])

    def forget(self, pattern: Pattern) -> None:
        """Keep no file of a pattern any longer: the run is begun anew."""
        found = [(entry, entry.note) for entry in self._entries() if entry.note is not None]
        self._remove([entry for entry, note in found if note.pattern == pattern.first])

    def scores(self, pattern: Pattern, path: str) -> Mapping[str, float] | None:
        """Return the scores of the model whose files are kept of a path; None if none are."""
        name = pattern.kept(path)
        return next((note.scores for _, note in self._newest() if note.path == name), None)

    def put_back(
        self,
        pattern: Pattern,
        place: Callable[[str], Path],
        standing: Callable[[str], Collection[Path]],
    ) -> PutBack:
        """Put the kept files of a pattern where they belong, if something else is there.

        Args:
            pattern: as the program gives it.
            place: where a path is.
            standing: returns the files that stand at a path now.
        """
        stands: list[str] = []
        back, lost = [], {}
        for folder, note in self._newest():
            # A note does not say where else to write.
            path = pattern.today(note.path) if note.pattern == pattern.first else None
            if path is None:
                continue
            try:
                if _put_all_back(folder, note, place(path), standing(path)):
                    back.append(path)
                stands.append(path)
            except (OSError, _ChangedError) as error:
                lost[path] = str(error)
        return PutBack(tuple(stands), tuple(back), lost)

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
            newest.pop(entry.key, None)
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


class _ChangedError(Exception):
    """A kept file is not what it was."""


def _fill(folder: Path, note: Note, found: Sequence[Path], name: str) -> None:
    kept = []
    for file in found:
        as_kept = folder / f"{Path(note.path).name}{file.name.removeprefix(name)}"
        linked = files.duplicate(file, as_kept)
        stat = file.stat()
        total = _sum(as_kept)
        kept.append(KeptFile(as_kept.name, stat.st_size, stat.st_mtime_ns, linked, total))
    whole = replace(note, files=tuple(kept))
    files.write_new(Layout.saved_note(folder), [sealed(asdict(whole))])


def _read(folder: Path) -> Note | None:
    """Return the note of a directory, or None where it, or a file, is not what was written."""
    path = Layout.saved_note(folder)
    try:
        note = build(Note, unsealed(path.read_bytes(), path))
        sizes = [(folder / file.name).stat().st_size for file in note.files]
    except (OSError, ValueError, StoreError):
        return None
    name = Path(note.path).name
    own = all(
        Path(file.name).name == file.name and file.name.startswith(name) for file in note.files
    )
    return note if own and sizes == [file.size for file in note.files] else None


def _put_all_back(folder: Path, note: Note, place: Path, before: Collection[Path]) -> bool:
    """Put the files of a directory where they belong; returns whether something else was there.

    Args:
        folder: what is kept.
        note: of it.
        place: where it belongs.
        before: the files that stand there now.

    Raises:
        OSError: the disk.
        _ChangedError: they are not what was kept.
    """
    name = Path(note.path).name
    kept = [
        (folder / file.name, place.with_name(place.name + file.name.removeprefix(name)), file)
        for file in note.files
    ]
    for _, to, _ in kept:
        files.remove_halves(to)
    if all(_is_same(*each) for each in kept):
        return False
    if not all(_is_unchanged(each, file) for each, _, file in kept):
        raise _ChangedError("what was kept of it was changed since")
    for each in kept:
        _put_back(*each)
    files.remove([path for path in before if path not in {to for _, to, _ in kept}])
    return True


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
