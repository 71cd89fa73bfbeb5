"""Repair: what is broken or not needed goes to lost+found/ of the run. Nothing is deleted.

Owns what goes there and in which order, and how a journal is mended. Leaves finding it to
`verify`. Only the process that holds the run's lock may call it.

The order (a cut anywhere leaves a run that is no worse, and the next repair does the rest):

    1. the journal: a copy of it as it was is made durable, then it is replaced by a mended one
    2. the journal is told, durably: what was committed before may not be there any more
    3. packs that checkpoints need and that are not wholly as written are replaced likewise
    4. manifests that are broken go, then packs that no sound one needs, then the rest

A run of which nothing sound is left, or whose run.json cannot be read, is left as it is: a copy
of what is missing may still make it whole.
"""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import ANEW, DamagedError, NewerFormatError
from holdfast.events import AttemptStarted, Repaired
from holdfast.store import files, journal, packs
from holdfast.store.checkpoints import load_manifest
from holdfast.store.disk import Buffer
from holdfast.store.identity import load_identity
from holdfast.store.journal import Journal, Record
from holdfast.store.layout import Layout, temporary
from holdfast.store.verify import Examined, Finding, examine, finding, is_foreign

_PIECE = 1 << 20


@dataclass(frozen=True)
class Moved:
    """A file that was moved, why, and where to. Paths are within the run."""

    file: str
    why: str
    to: str


@dataclass(frozen=True)
class Repair:
    """What was done, and what could not be.

    Args:
        moved: what is in lost+found/ now.
        mended: what stands in its place now, where something does.
        unmended: what is wrong and could not be mended.
        checkpoints: how many are sound.
    """

    moved: tuple[Moved, ...]
    mended: tuple[Finding, ...]
    unmended: tuple[Finding, ...]
    checkpoints: int


def repair(layout: Layout) -> Repair:
    """Move what is broken, and what no sound checkpoint needs, to lost+found/ of the run.

    Raises:
        NotARunError: there is no run.json.
        NewerFormatError: a newer Holdfast wrote run.json or a checkpoint; nothing was moved.
        OSError: the disk refused; what was done until then is sound, and may be done again.
    """
    try:
        load_identity(layout)
    except DamagedError as error:
        problem = finding(layout, layout.identity, error).problem
        return _left(
            examine(layout),
            layout.identity,
            f"{problem}. It cannot be mended, and nothing was moved: put a copy of it back. The "
            f"weights of the checkpoints can be read with Run.load_weights. {ANEW}",
        )
    found = examine(layout)
    newer = [error for error in found.obscure.values() if isinstance(error, NewerFormatError)]
    if newer:
        raise newer[0]
    others = _named(found) if found.broken or found.journal else set()
    if others and found.run not in others:
        return _left(
            found,
            layout.identity,
            f"it is of the run {found.run}, and all else is of the run {' and '.join(others)}. "
            f"Nothing was moved: put back the one that belongs here. {ANEW}",
        )
    if (found.broken or found.gone) and not found.sound:
        return _left(
            found,
            layout.checkpoints,
            "none of the checkpoints is there and sound, and nothing was moved: a copy of a file "
            f"that is damaged or gone may still make one whole. {ANEW}",
        )
    refused = {
        path: error
        for path, error in found.packs.items()
        if found.obscure or isinstance(error, OSError)
    }
    wrong = {**found.obscure, **refused}
    obscure = [finding(layout, path, error) for path, error in wrong.items()]
    work = _Work(found)
    work.do()
    return Repair(
        tuple(work.moved),
        tuple(work.mended),
        (*obscure, *found.gone, *found.lone()),
        len(found.sound),
    )


def _left(found: Examined, path: Path, why: str) -> Repair:
    """Return that nothing was done, and why; the reason, which is about `path`, stands first."""
    other = [item for item in found.findings() if item.file != path.name]
    return Repair(
        (), (), (Finding(path.name, why), *other, *found.gone, *found.lone()), len(found.sound)
    )


def _named(found: Examined) -> set[str]:
    """Return the ids of the runs that the manifests and the journal say they are of."""
    named = {manifest.run for manifest in found.sound.values()}
    for path in found.broken:
        try:
            named.add(load_manifest(path, None).run)
        except (DamagedError, OSError):
            continue
    attempts = found.record.attempts() if found.record else []
    named |= {event.run for event in attempts if event.run}
    return named


@dataclass
class _Work:
    """A repair under way: what is done, and what was."""

    found: Examined
    moved: list[Moved] = field(default_factory=list)
    mended: list[Finding] = field(default_factory=list)

    def do(self) -> None:
        found, layout = self.found, self.found.layout
        broken = [(path, _problem(found, path)) for path in sorted(found.broken)]
        idle = found.unreachable()
        other = (found.folders, found.packs, found.journal, found.gone)
        if not (broken or idle or any(other)):
            return
        for folder in (layout.packs, layout.checkpoints):
            self._make(folder)
        self._mend_journal(len(broken) + len(idle))
        for path, error in found.packs.items():
            if isinstance(error, DamagedError):  # else it cannot be copied
                self._mend_pack(path)
        for path, why in (*broken, *idle):
            self._move(path, why)

    def _make(self, folder: Path) -> None:
        """Make a directory of the run where there is none."""
        if folder.is_dir():
            return
        if os.path.lexists(folder):
            self._move(folder, "expected a directory")
        files.make_directory(folder)
        self.mended.append(Finding(folder.name, "it was missing, and is there again"))

    def _move(self, path: Path, why: str) -> None:
        target = self.found.layout.found(path)
        files.make_directory(target.parent)
        files.move(path, target)
        self._note(path, why, target)

    def _note(self, path: Path, why: str, target: Path) -> None:
        root = self.found.layout.root
        self.moved.append(Moved(str(path.relative_to(root)), why, str(target.relative_to(root))))

    def _copy(self, path: Path, why: str, whole: Iterable[Buffer]) -> None:
        """Make a copy of a file as it is; a half one never has its name."""
        target = self.found.layout.found(path)
        files.make_directory(target.parent)
        aside = temporary(target)
        files.write_new(aside, whole)
        files.move(aside, target)
        self._note(path, why, target)

    def _mend_journal(self, moving: int) -> None:
        """Replace a damaged journal, and tell it that what it tells of may be gone."""
        found, path = self.found, self.found.layout.journal
        torn = found.record is not None and found.record.torn > 0
        if found.journal or torn:
            why = found.journal[0].problem if found.journal else "its end was cut off"
            whole = b""
            if found.record is None:
                self._move_unreadable(path, why)
            elif os.path.lexists(path):
                whole = path.read_bytes()
                self._copy(path, why, [whole])
            files.replace(path, mended(whole, found))
            self.mended.append(
                Finding(path.name, "what was damaged is blank; all else is where it was")
            )
        log = Journal(path, journal.read(path))
        try:
            log.append(Repaired(time.time(), moving + len(self.moved)))
            log.sync()
        finally:
            log.close()

    def _move_unreadable(self, path: Path, why: str) -> None:
        """Move what cannot be read, and so cannot be copied, unless nobody may read it."""
        try:
            path.read_bytes()
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EISDIR):
                raise
        self._move(path, why)

    def _mend_pack(self, path: Path) -> None:
        """Replace a pack by one of the arrays that checkpoints need: those are sound."""
        entries = self.found.needed()[path.name]
        with packs.Pack(path) as old:
            arrays = [old.read(name) for name in entries]
        with path.open("rb") as file:
            why = finding(self.found.layout, path, self.found.packs[path]).problem
            self._copy(path, why, iter(lambda: file.read(_PIECE), b""))
        aside = temporary(path)
        with packs.writing(aside, arrays) as new:
            for array in arrays:
                new.add(array, entries[array.name].blake3)
        files.move(aside, path)
        self.mended.append(
            Finding(f"{path.parent.name}/{path.name}", "it has what checkpoints need of it")
        )


def mended(whole: bytes, found: Examined) -> bytes:
    """Return a journal with blanks in place of its damage, and as long as checkpoints know it.

    Manifests and events name offsets in the journal: every sound line stays where it is.
    """
    record = found.record or Record(found.layout.journal, 0, 0, (), ())
    bad = set(record.damaged)
    attempts = {
        turn.offset: is_foreign(turn.event, found.run)
        for turn in record.turns
        if isinstance(turn.event, AttemptStarted)
    }
    parts, foreign, size = [], False, 0
    for raw in io.BytesIO(whole):
        foreign = attempts.get(size, foreign)
        torn = size >= record.size
        if torn and size >= found.recorded:
            break  # a write that was cut off: no checkpoint knew of it
        parts.append(_blank(len(raw)) if foreign or torn or size in bad else raw)
        size += len(raw)
    if size < found.recorded:
        parts.append(_blank(found.recorded - size))
    return b"".join(parts)


def _blank(length: int) -> bytes:
    return b" " * (length - 1) + b"\n"


def _problem(found: Examined, path: Path) -> str:
    return finding(found.layout, path, found.broken[path]).problem
