"""Checkpoints: commit, list, open.

Owns the order of writes that makes a checkpoint wholly there or not there, and the checks
when one is read. Leaves when to write to `training/cadence`, what goes away to `retention`
and `prune`, and the thread to `writer`.

The order (docs/format.md says why each sync stands where it does):

    1. the pack, and its name in packs/, are made durable
    2. the journal is made durable up to now
    3. the manifest is written beside its place, made durable, and renamed: the commit
    4. the name in checkpoints/ is made durable

A reader may stand beside a writer, which prunes: where what was listed is gone when it is read,
it lists again.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from holdfast.errors import DamagedError, NoCheckpointError, StoreError
from holdfast.store import files, packs
from holdfast.store.identity import run_id
from holdfast.store.journal import Journal
from holdfast.store.layout import Layout
from holdfast.store.manifest import Entry, Manifest, decode
from holdfast.types import Array, Snapshot

Contents = TypeVar("Contents")

_LISTINGS = 20


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
    found = {array.name: array for array in _read(layout, wanted)}
    return [found[entry.name] for entry in wanted]


def check_arrays(layout: Layout, manifest: Manifest) -> None:
    """Read all arrays, one at a time, and check every sum."""
    for _ in _read(layout, manifest.arrays):
        pass


def newest(layout: Layout) -> list[Path]:
    """Return the paths of all manifests, newest first."""
    return layout.manifests()[::-1]


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
    """The checkpoints of a run, open for writing by the one process that holds its lock."""

    def __init__(
        self, layout: Layout, journal: Journal, run: str, plan: str, versions: Mapping[str, str]
    ) -> None:
        self.layout = layout
        self.run = run
        self._journal = journal
        self._plan = plan
        self._versions = versions
        self._stored: dict[tuple[str, str], Entry] = {}

    def remember(self, manifest: Manifest) -> None:
        """Take the arrays of a checkpoint that stands as written: they need not be again."""
        self._stored = {(entry.name, entry.blake3): entry for entry in manifest.arrays}

    def commit(self, snapshot: Snapshot) -> tuple[Manifest, int]:
        """Write a snapshot as a checkpoint. It is durable when this returns.

        Returns the manifest and the number of bytes written.

        Raises:
            OSError: it could not be written; the checkpoints before it are untouched.
            ValueError: two of its arrays have the same name.
        """
        path = self.layout.manifest(snapshot.position.total, final=snapshot.final)
        pack = self.layout.new_pack(snapshot.position.total)
        entries, new = self._divide(snapshot.arrays, pack.name)
        size = packs.write(pack, new) if new else 0
        try:
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
            self._discard(pack, path)
            raise
        self.remember(manifest)
        return manifest, size + len(data)

    def _divide(self, arrays: Sequence[Array], pack: str) -> tuple[list[Entry], list[Array]]:
        """Return an entry for each array, and those that go to `pack`: no other has them."""
        entries, new = [], []
        names = set()
        for array in arrays:
            if array.name in names:
                raise ValueError(f"two arrays of the snapshot are named {array.name!r}")
            names.add(array.name)
            total = blake3(array.data).hexdigest()
            entry = Entry(
                name=array.name,
                label=array.label,
                dtype=array.dtype,
                shape=array.shape,
                blake3=total,
                size=array.data.nbytes,
                pack=pack,
            )
            old = self._stored.get((array.name, total))
            if old is not None and replace(old, label=array.label, pack=pack) == entry:
                entry = old
            else:
                new.append(array)
            entries.append(entry)
        return entries, new

    def _discard(self, pack: Path, path: Path) -> None:
        """Remove the pack of a commit that failed, unless the manifest came to need it."""
        with contextlib.suppress(OSError, StoreError):
            try:
                needed = pack.name in load_manifest(path, self.run).packs()
            except FileNotFoundError:
                needed = False
            if not needed:
                files.remove([pack])


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


def _read(layout: Layout, entries: Iterable[Entry]) -> Iterator[Array]:
    """Read arrays, pack by pack; every sum is checked."""
    by_pack: dict[str, list[Entry]] = {}
    for entry in entries:
        by_pack.setdefault(entry.pack, []).append(entry)
    for name, held in by_pack.items():
        path = layout.packs / name
        try:
            with _the_disk_may_fail(path), packs.Pack(path) as pack:
                for entry in held:
                    yield _checked(pack.read(entry.name), entry, path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DamagedError(f"{path}: the pack is missing") from error


@contextlib.contextmanager
def _the_disk_may_fail(path: Path) -> Iterator[None]:
    """What the disk has lost is damaged: an older checkpoint may be where it has not."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedError(f"{path}: the disk cannot read it ({error.strerror})") from error


def _checked(array: Array, entry: Entry, path: Path) -> Array:
    expected = (entry.dtype, entry.shape, entry.size)
    if (array.dtype, array.shape, array.data.nbytes) != expected:
        raise DamagedError(
            f"{path}: {entry.name} should be {entry.dtype} of shape {entry.shape} "
            f"in {entry.size} bytes, "
            f"found {array.dtype} of shape {array.shape} in {array.data.nbytes}"
        )
    found = blake3(array.data).hexdigest()
    if found != entry.blake3:
        raise DamagedError(
            f"{path}: the BLAKE3 of {entry.name} should be {entry.blake3}, found {found}"
        )
    return array
