"""Checkpoints: commit, list, open.

Owns the order of writes that makes a checkpoint wholly there or not there, and the checks
when one is read. Leaves when to write to `training/cadence`, what goes away to `retention`
and `prune`, and the thread to `writer`.

The order (docs/format.md says why each sync stands where it does):

    1. the packs, and their names in packs/, are made durable
    2. the journal is made durable up to now
    3. the manifest is written beside its place, made durable, and renamed: the commit
    4. the name in checkpoints/ is made durable

A reader may stand beside a writer, which prunes: where what was listed is gone when it is read,
it lists again.
"""

from __future__ import annotations

import contextlib
import errno
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeVar

from blake3 import blake3

from holdfast.errors import DamagedError, NoCheckpointError, StoreError
from holdfast.store import files, packs
from holdfast.store.identity import run_id
from holdfast.store.journal import Journal
from holdfast.store.layout import Layout
from holdfast.store.manifest import Entry, Manifest, decode
from holdfast.store.sums import Sums
from holdfast.types import Array, Snapshot

Contents = TypeVar("Contents")

_LISTINGS = 20
_SHARED = 1 << 16
# Threads that read: what one has read it checks while another reads.
_READERS = 2
# Below this, threads cost more than they save.
_WORTH_THREADS = 1 << 22


class Committed(NamedTuple):
    """A checkpoint that was written.

    Args:
        manifest: of the checkpoint.
        size: bytes written.
        processor: seconds of processor time that a thread beside the caller's took.
    """

    manifest: Manifest
    size: int
    processor: float


def load_manifest(path: Path, run: str | None) -> Manifest:
    """Read one manifest; its sum is checked.

    Args:
        path: of the manifest.
        run: the id of the run it is in, or None where run.json cannot tell.
    """
    with _the_disk_may_fail(path):
        data = path.read_bytes()
    manifest = decode(data, path)
    if run not in (None, manifest.run):
        raise DamagedError(f"{path}: it is of the run {manifest.run}, and this is the run {run}")
    return manifest


def load_arrays(layout: Layout, manifest: Manifest, prefixes: Iterable[str] = ("",)) -> list[Array]:
    """Read the arrays whose names begin with one of `prefixes`; every sum is checked."""
    wanted = [entry for entry in manifest.arrays if entry.name.startswith(tuple(prefixes))]
    found: dict[str, Array] = {}
    for name, held in _by_pack(wanted).items():
        with _opened(layout.packs / name) as pack:
            found.update(_read(pack, held))
    return [found[entry.name] for entry in wanted]


def check_arrays(layout: Layout, manifest: Manifest) -> None:
    """Read all arrays, a piece at a time, and check every sum."""
    for name, held in _by_pack(manifest.arrays).items():
        with _opened(layout.packs / name) as pack:
            for entry in held:
                _check_description(pack, entry)
                _check_sum(pack, entry, pack.total(entry.name))


def newest(layout: Layout) -> list[Path]:
    """Return the paths of all manifests, newest first."""
    return layout.manifests()[::-1]


def settle(layout: Layout) -> None:
    """Make what a killed process had committed, and not synced, durable.

    For the writer of a run, before it says or does anything on the strength of a checkpoint.
    """
    files.settle_names(layout.checkpoints)


def load_newest(layout: Layout, *, final: bool) -> tuple[Manifest, list[Array], list[DamagedError]]:
    """Load the newest checkpoint that is sound, with or without final ones.

    Returns its manifest, its arrays, and what was found wrong with newer ones.

    Raises:
        NoCheckpointError: there is none, or none is sound; the findings are named.
        NewerFormatError: the newest is in a format this version does not know.
    """
    return _newest_sound(layout, load_arrays, final=final)


def newest_sound(layout: Layout) -> Manifest | None:
    """Return the newest checkpoint of the training, but final ones, whose every sum holds."""
    try:
        return _newest_sound(layout, check_arrays, final=False)[0]
    except NoCheckpointError:
        return None


class Store:
    """The checkpoints of a run, open for writing by the one process that holds its lock.

    Args:
        layout: of the run.
        journal: is made durable before each commit.
        run: the run's id.
        plan: the fingerprint of the plan.
        versions: of what writes.
        shared: the least size, in bytes, of an array that is not written again where it has not
            changed. Smaller ones cost nothing, and one damaged byte should not cost all
            checkpoints.
    """

    def __init__(
        self,
        layout: Layout,
        journal: Journal,
        run: str,
        plan: str,
        versions: Mapping[str, str],
        shared: int = _SHARED,
    ) -> None:
        self.layout = layout
        self.run = run
        self._journal = journal
        self._plan = plan
        self._versions = versions
        self._shared = shared
        self._stored: dict[tuple[str, str], Entry] = {}

    def remember(self, manifest: Manifest) -> None:
        """Take the arrays of a checkpoint that stands as written: they need not be again."""
        self._stored = {
            (entry.name, entry.blake3): entry
            for entry in manifest.arrays
            if entry.size >= self._shared
        }

    def commit(self, snapshot: Snapshot) -> Committed:
        """Write a snapshot as a checkpoint. It is durable when this returns.

        Raises:
            OSError: it could not be written; the checkpoints before it are untouched.
            ValueError: two of its arrays have the same name.
        """
        total = snapshot.position.total
        path = self.layout.manifest(total, final=snapshot.final)
        new, moved = self.layout.new_pack(total), self.layout.new_pack(total)
        try:
            entries, size, processor = self._write(snapshot.arrays, new)
            entries, more = self._move(snapshot.arrays, entries, new, moved)
            manifest = Manifest(
                run=self.run,
                position=snapshot.position,
                final=snapshot.final,
                epoch_end=snapshot.epoch_end,
                time=time.time(),
                metrics=snapshot.metrics,
                plan=self._plan,
                versions=self._versions,
                journal=snapshot.journal,
                state=snapshot.state,
                pins=snapshot.pins,
                arrays=tuple(entries),
            )
            data = manifest.encode()
            self._journal.sync()
            # The rename within is the commit: before it the checkpoint is not there, after it
            # the checkpoint is wholly there.
            files.replace(path, data)
        except BaseException:
            self._discard([new, moved], path)
            raise
        self.remember(manifest)
        return Committed(manifest, size + more + len(data), processor)

    def _write(self, arrays: Sequence[Array], pack: Path) -> tuple[list[Entry], int, float]:
        """Write the arrays that are new to `pack`.

        Returns an entry for each array, the bytes written, and the processor time of the sums.
        """
        _refuse_twins(arrays)
        entries = []
        with packs.writing(pack, arrays) as new, Sums(arrays) as sums:
            for array, total in zip(arrays, sums, strict=True):
                entry = Entry(
                    name=array.name,
                    label=array.label,
                    dtype=array.dtype,
                    shape=array.shape,
                    blake3=total,
                    size=array.data.nbytes,
                    pack=pack.name,
                )
                old = self._stored.get((array.name, total))
                if old is not None and replace(old, label=array.label, pack=pack.name) == entry:
                    entry = replace(entry, pack=old.pack)
                else:
                    new.add(array, total)
                entries.append(entry)
        return entries, new.size, sums.processor

    def _move(
        self, arrays: Sequence[Array], entries: Sequence[Entry], new: Path, pack: Path
    ) -> tuple[list[Entry], int]:
        """Write what is left of packs that are mostly dead, and of those gone, to `pack`.

        Such a pack would stay for the sake of what is left of it. So what never changes is
        seldom written more than twice, and packs are less than half of bytes that nobody needs.

        Returns the entries as they are now, and the bytes written.
        """
        needed: Counter[str] = Counter()
        for entry in entries:
            needed[entry.pack] += entry.size
        del needed[new.name]
        dead = {name for name, size in needed.items() if 2 * size < self._held(name, size)}
        left = [array for array, entry in zip(arrays, entries, strict=True) if entry.pack in dead]
        moved = []
        with packs.writing(pack, left) as settled:
            for array, entry in zip(arrays, entries, strict=True):
                if entry.pack in dead:
                    settled.add(array, entry.blake3)
                    moved.append(replace(entry, pack=pack.name))
                else:
                    moved.append(entry)
        return moved, settled.size

    def _held(self, pack: str, needed: int) -> float:
        """Return how many bytes a pack holds; one that cannot be used counts as endless."""
        try:
            held = packs.data_size(self.layout.packs / pack)
        except (OSError, DamagedError):
            return math.inf
        return held if held >= needed else math.inf

    def _discard(self, written: Sequence[Path], path: Path) -> None:
        """Remove the packs of a commit that failed, unless the manifest came to need them."""
        with contextlib.suppress(OSError, StoreError):
            try:
                needed = load_manifest(path, self.run).packs()
            except FileNotFoundError:
                needed = set()
            files.remove([pack for pack in written if pack.name not in needed and pack.exists()])


def _refuse_twins(arrays: Sequence[Array]) -> None:
    names = set()
    for array in arrays:
        if array.name in names:
            raise ValueError(f"two arrays of the snapshot are named {array.name!r}")
        names.add(array.name)


def _newest_sound(
    layout: Layout, read: Callable[[Layout, Manifest], Contents], *, final: bool
) -> tuple[Manifest, Contents, list[DamagedError]]:
    """See `load_newest`; `read` reads the arrays of a checkpoint."""
    run = run_id(layout)
    for _ in range(_LISTINGS):
        damaged: list[DamagedError] = []
        try:
            for path in newest(layout):
                try:
                    manifest = load_manifest(path, run)
                    if manifest.final and not final:
                        continue
                    return manifest, read(layout, manifest), damaged
                except DamagedError as error:
                    path.stat()  # where its manifest was pruned meanwhile, so were its packs
                    damaged.append(error)
        except FileNotFoundError:
            continue
        findings = "".join(f"\n  {error}" for error in damaged)
        raise NoCheckpointError(
            f"{layout.root} has no sound checkpoint{':' if findings else '.'}{findings}"
        )
    raise NoCheckpointError(
        f"{layout.root}: {_LISTINGS} times a checkpoint was pruned while it was read; "
        "wait for the process that writes the run, or try again"
    )


def _by_pack(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.pack, []).append(entry)
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[packs.Pack]:
    """Open a pack; one that is gone, or that the disk cannot read, is damaged."""
    try:
        with _the_disk_may_fail(path), packs.Pack(path) as pack:
            yield pack
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedError(f"{path}: the pack is missing") from error


def _read(pack: packs.Pack, entries: Sequence[Entry]) -> dict[str, Array]:
    """Read arrays of a pack, by name; every sum is checked."""
    for entry in entries:
        _check_description(pack, entry)
    # One block for all: the kernel gives that in large pages, which takes a fraction of the time.
    # It is no larger than the pack's data, since that is so of all arrays of a pack together.
    block = packs.memory(sum(entry.size for entry in entries))
    ends = accumulate(entry.size for entry in entries)
    rooms = [block[end - entry.size : end] for entry, end in zip(entries, ends, strict=True)]

    def one(entry: Entry, room: memoryview) -> tuple[str, Array]:
        array = pack.read(entry.name, room)
        _check_sum(pack, entry, blake3(room).hexdigest())
        return entry.name, array

    if len(block) < _WORTH_THREADS:
        return dict(map(one, entries, rooms))
    with ThreadPoolExecutor(_READERS, "holdfast-reader") as threads:
        return dict(threads.map(one, entries, rooms))


@contextlib.contextmanager
def _the_disk_may_fail(path: Path) -> Iterator[None]:
    """What the disk has lost is damaged: an older checkpoint may be where it has not."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedError(f"{path}: the disk cannot read it ({error.strerror})") from error


def _check_description(pack: packs.Pack, entry: Entry) -> None:
    dtype, shape, size = pack.describe(entry.name)
    if (dtype, shape, size) != (entry.dtype, entry.shape, entry.size):
        raise DamagedError(
            f"{pack.path}: {entry.name} should be {entry.dtype} of shape {entry.shape} "
            f"in {entry.size} bytes, found {dtype} of shape {shape} in {size}"
        )


def _check_sum(pack: packs.Pack, entry: Entry, found: str) -> None:
    if found != entry.blake3:
        raise DamagedError(
            f"{pack.path}: the BLAKE3 of {entry.name} should be {entry.blake3}, found {found}"
        )
