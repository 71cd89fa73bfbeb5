"""Verify: read everything a run has and check every sum. Findings are data.

Owns the finding of damage, and of what no checkpoint reaches; what the disk refuses to read is
damage too. Changes nothing: moving things out of the way is for `repair`.

A checkpoint whose file is gone leaves no damage behind. Two things tell of it: the journal, which
knows the newest that was committed, and the checkpoints that need another beside them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.errors import DamagedError, HoldfastError, StoreError
from holdfast.events import AttemptStarted, CheckpointCommitted, Repaired
from holdfast.store import journal, lock, packs
from holdfast.store.checkpoints import check_arrays, load_manifest
from holdfast.store.identity import load_identity
from holdfast.store.journal import Record
from holdfast.store.layout import Layout
from holdfast.store.manifest import Entry, Manifest

# Beside a writer that prunes: how often the checkpoints are listed to find the newest.
_LISTINGS = 20


@dataclass(frozen=True)
class Finding:
    """Something wrong: the file, as a path within the run, and what is wrong with it."""

    file: str
    problem: str


@dataclass(frozen=True)
class Verified:
    """What was read, what was found wrong, and what is merely not needed.

    Args:
        findings: what is wrong.
        checkpoints: how many are sound.
        arrays: of those.
        bytes: of these arrays.
        unreachable: files that no checkpoint needs: `repair` moves them.
        unreachable_bytes: of those files.
    """

    findings: tuple[Finding, ...]
    checkpoints: int
    arrays: int
    bytes: int
    unreachable: int = 0
    unreachable_bytes: int = 0


@dataclass
class Examined:
    """All that a run has, as it was read.

    Args:
        layout: of the run.
        run: its id, or None where run.json cannot tell.
        identity: what is wrong with run.json, if anything.
        folders: that are missing, and what is wrong.
        sound: the checkpoints whose every sum holds, by manifest.
        broken: manifests that are not what was written, or whose arrays are not.
        obscure: manifests that could not be looked into: of a newer format, or refused by the
            system. What they need is not known.
        packs: that the sound ones need, and that are not wholly what was written although every
            array needed is.
        record: the journal, or None where it could not be read.
        journal: what is wrong with it.
        recorded: the length that the sound checkpoints know it to have had.
        gone: checkpoints that the journal tells of and that should be there, and are not.
    """

    layout: Layout
    run: str | None = None
    identity: Finding | None = None
    folders: list[Finding] = field(default_factory=list)
    sound: dict[Path, Manifest] = field(default_factory=dict)
    broken: dict[Path, DamagedError] = field(default_factory=dict)
    obscure: dict[Path, Exception] = field(default_factory=dict)
    packs: dict[Path, Exception] = field(default_factory=dict)
    record: Record | None = None
    journal: list[Finding] = field(default_factory=list)
    recorded: int = 0
    gone: list[Finding] = field(default_factory=list)

    def findings(self) -> list[Finding]:
        """Return what is wrong with what is there."""
        wrong: Mapping[Path, Exception] = {**self.broken, **self.obscure, **self.packs}
        files = [finding(self.layout, path, wrong[path]) for path in sorted(wrong)]
        first = [] if self.identity is None else [self.identity]
        return [*first, *self.folders, *files, *self.journal]

    def unreachable(self) -> list[tuple[Path, str]]:
        """Return what no sound checkpoint needs and nothing of Holdfast's reads, each with why.

        While a manifest cannot be looked into, no pack is unreachable: it may need any.
        """
        layout, needed = self.layout, self.needed()
        packs = [] if self.obscure else layout.all_packs()
        idle = [path for path in packs if path.name not in needed]
        return [
            *((path, "no sound checkpoint needs it") for path in idle),
            *((path, "left by a process that died") for path in layout.leftovers(folders=True)),
            *((path, "no file of Holdfast's") for path in self.layout.strangers()),
        ]

    def needed(self) -> dict[str, dict[str, Entry]]:
        """Return the packs that the sound checkpoints need, with the arrays in each by name."""
        found: dict[str, dict[str, Entry]] = {}
        for manifest in self.sound.values():
            for entry in manifest.arrays:
                found.setdefault(entry.pack, {})[entry.name] = entry
        return found

    def lone(self) -> list[Finding]:
        """Return which sound checkpoints need another beside them that is not there now."""
        present = set(self.layout.manifests())
        return [
            Finding(
                str(path.relative_to(self.layout.root)),
                f"it needs the checkpoint at step {step} beside it, which is gone",
            )
            for path, manifest in self.sound.items()
            for step in (() if manifest.final else manifest.pins)
            if self.layout.manifest(step, final=False) not in present
        ]


def verify(layout: Layout) -> Verified:
    """Read every manifest, every array and every journal line of a run, and check the sums."""
    # What a living writer has in hand looks as if it were left behind, or gone.
    writing = _is_written(layout)
    examined = examine(layout)
    gone = [*examined.gone, *examined.lone()]
    idle = [path for path, _ in examined.unreachable()]
    if writing or _is_written(layout):
        gone, idle = [], []
    sizes = [size for path in idle for size in _sizes(path)]
    entries = [entry for manifest in examined.sound.values() for entry in manifest.arrays]
    return Verified(
        findings=(*examined.findings(), *gone),
        checkpoints=len(examined.sound),
        arrays=len(entries),
        bytes=sum(entry.size for entry in entries),
        unreachable=len(sizes),
        unreachable_bytes=sum(sizes),
    )


def examine(layout: Layout) -> Examined:
    """Read a run as `verify` does, and return all of what was found."""
    found = Examined(layout)
    try:
        found.run = load_identity(layout).id
    except (HoldfastError, OSError) as error:
        found.identity = finding(layout, layout.identity, error)
    for folder in (layout.packs, layout.checkpoints):
        if not folder.is_dir():
            problem = "expected a directory" if os.path.lexists(folder) else "it is missing"
            found.folders.append(Finding(folder.name, problem))
    _examine_manifests(found)
    _examine_packs(found)
    _examine_journal(found)
    found.gone.extend(_gone(found))
    return found


def finding(layout: Layout, path: Path, error: Exception) -> Finding:
    """Return an error about a file of a run as a finding."""
    problem = str(error).removeprefix(f"{path}: ").replace(f"{layout.root}/", "")
    return Finding(str(path.relative_to(layout.root)), problem)


def _examine_manifests(found: Examined) -> None:
    checked: set[Entry] = set()
    for _ in range(_LISTINGS):
        listed = [path for path in found.layout.manifests() if path not in found.sound]
        for path in listed:
            _examine_manifest(found, path, checked)
        seen = (found.sound, found.broken, found.obscure)
        if not listed or any(listed[-1] in group for group in seen):
            break  # else the newest was pruned since it was listed: there is a newer one by now


def _examine_manifest(found: Examined, path: Path, checked: set[Entry]) -> None:
    try:
        manifest = load_manifest(path, found.run)
        # Arrays that checkpoints share are read once.
        young = tuple(entry for entry in manifest.arrays if entry not in checked)
        check_arrays(found.layout, replace(manifest, arrays=young))
    except FileNotFoundError:  # pruned by the run's writer since it was listed
        return
    except DamagedError as error:
        if os.path.lexists(path):
            found.broken[path] = error
        return
    except (StoreError, OSError) as error:
        found.obscure[path] = error
        return
    checked.update(young)
    found.sound[path] = manifest


def _examine_packs(found: Examined) -> None:
    """Look at what no checkpoint reads of a pack that it needs: the rest of the header, others."""
    for name, entries in sorted(found.needed().items()):
        path = found.layout.packs / name
        try:
            with packs.Pack(path) as pack:
                pack.check({name: entry.blake3 for name, entry in entries.items()})
        except FileNotFoundError:  # pruned by the run's writer
            continue
        except (DamagedError, OSError) as error:
            found.packs[path] = error


def _examine_journal(found: Examined) -> None:
    path = found.layout.journal
    where = ""
    for name, manifest in found.sound.items():
        if manifest.journal > found.recorded:
            found.recorded, where = manifest.journal, name.name
    try:
        record = found.record = journal.read(path)
    except OSError as error:
        found.journal.append(finding(found.layout, path, error))
        return
    problems = [
        f"the line at byte {offset} is not what was written"
        for offset in record.damage(found.recorded)
    ]
    problems.extend(
        f"attempt {event.attempt} is of the run {event.run}, and this is the run {found.run}"
        for event in record.attempts()
        if is_foreign(event, found.run)
    )
    if record.size < found.recorded:
        problems.append(
            f"it is sound up to byte {record.size}; "
            f"at checkpoint {where} it had {found.recorded} bytes"
        )
    found.journal.extend(Finding(path.name, problem) for problem in problems)


def is_foreign(event: AttemptStarted, run: str | None) -> bool:
    """Return whether an attempt says that it is of another run."""
    return bool(event.run) and run not in (None, event.run)


def _gone(found: Examined) -> list[Finding]:
    """Return the newest checkpoints if they are not there, whole or damaged."""
    present = [found.layout.key(path) for path in found.layout.manifests()]
    newest = _newest_committed(found.record) if found.record else []
    return [
        Finding(
            str(found.layout.manifest(step, final=final).relative_to(found.layout.root)),
            "it is gone; the journal tells of its commit, and of no newer one",
        )
        for step, final in newest
        # The final one gives way to any that is newer, those of the training to each other.
        if not any(key >= (step, final) and (final or not key[1]) for key in present)
    ]


def _newest_committed(record: Record) -> list[tuple[int, bool]]:
    """Return the newest checkpoint of the training, and the final one if it is newer.

    Those are never pruned. What was undone, and what was lost before a repair, does not count.
    """
    newest: list[tuple[int, bool]] = []
    for event in record.newest(CheckpointCommitted, Repaired):
        if not isinstance(event, CheckpointCommitted):
            break
        if not event.final:
            return [*newest, (event.position.total, False)]
        newest = newest or [(event.position.total, True)]
    return newest


def _is_written(layout: Layout) -> bool:
    """Return whether a living process writes the run, or may do so."""
    try:
        return lock.holder(layout.lock) is not None
    except OSError:
        return True


def _sizes(path: Path) -> list[int]:
    """Return the size of a file, or of each in a directory."""
    if path.is_symlink() or not path.is_dir():
        try:
            return [path.lstat().st_size]
        except FileNotFoundError:
            return []
    inner = [Path(root, name) for root, _, names in os.walk(path) for name in names]
    return [size for item in inner for size in _sizes(item)] or [0]
