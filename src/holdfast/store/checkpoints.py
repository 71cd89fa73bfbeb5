"""Checkpoints: commit, list, open.

Owns the order of writes that makes a checkpoint wholly there or not there, and the checks
when one is read. Leaves when to write to `training/cadence`, what goes away to `retention`
and `prune`, and the thread to `writer`.

The order (docs/format.md says why each sync stands where it does):

    1. the pack, and its name in packs/, are made durable
    2. the journal is made durable up to now
    3. the manifest is written beside its place, made durable, and renamed: the commit
    4. the name in checkpoints/ is made durable
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from holdfast.errors import DamagedError, NoCheckpointError
from holdfast.store import files, packs
from holdfast.store.journal import Journal
from holdfast.store.layout import Layout
from holdfast.store.manifest import Entry, Manifest, decode
from holdfast.types import Array, Snapshot


def load_manifest(path: Path) -> Manifest:
    """Read one manifest; its sum is checked."""
    return decode(path.read_bytes(), path)


def load_arrays(layout: Layout, manifest: Manifest, prefixes: Iterable[str] = ("",)) -> list[Array]:
    """Read the arrays whose names begin with one of `prefixes`; every sum is checked."""
    wanted = [entry for entry in manifest.arrays if entry.name.startswith(tuple(prefixes))]
    found: dict[str, Array] = {}
    for pack_name in dict.fromkeys(entry.pack for entry in wanted):
        path = layout.packs / pack_name
        try:
            with packs.Pack(path) as pack:
                for entry in wanted:
                    if entry.pack == pack_name:
                        found[entry.name] = _checked(pack.read(entry.name), entry, path)
        except FileNotFoundError as error:
            raise DamagedError(f"{path}: the pack is missing") from error
    return [found[entry.name] for entry in wanted]


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
    damaged: list[DamagedError] = []
    for path in newest(layout):
        try:
            manifest = load_manifest(path)
            if manifest.final and not final:
                continue
            return manifest, load_arrays(layout, manifest), damaged
        except DamagedError as error:
            damaged.append(error)
    findings = "".join(f"\n  {error}" for error in damaged)
    raise NoCheckpointError(
        f"{layout.root} has no sound checkpoint{':' if findings else '.'}{findings}"
    )


class Store:
    """The checkpoints of a run, open for writing by the one process that holds its lock."""

    def __init__(
        self, layout: Layout, journal: Journal, plan: str, versions: Mapping[str, str]
    ) -> None:
        self.layout = layout
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
        """
        pack = self.layout.new_pack(snapshot.position.total)
        entries, new = self._divide(snapshot.arrays, pack.name)
        size = packs.write(pack, new) if new else 0
        self._journal.sync()
        manifest = Manifest(
            position=snapshot.position,
            final=snapshot.final,
            epoch_end=snapshot.epoch_end,
            time=time.time(),
            metrics=snapshot.metrics,
            plan=self._plan,
            versions=self._versions,
            journal=snapshot.journal,
            state=snapshot.state,
            arrays=tuple(entries),
        )
        data = manifest.encode()
        # The rename within is the commit: before it the checkpoint is not there, after it
        # the checkpoint is wholly there.
        files.replace(self.layout.manifest(snapshot.position.total, final=snapshot.final), data)
        self.remember(manifest)
        return manifest, size + len(data)

    def _divide(self, arrays: Sequence[Array], pack: str) -> tuple[list[Entry], list[Array]]:
        """Return an entry for each array, and those that go to `pack`: no other has them."""
        entries, new = [], []
        for array in arrays:
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


def _checked(array: Array, entry: Entry, path: Path) -> Array:
    if (array.dtype, array.shape) != (entry.dtype, entry.shape):
        raise DamagedError(
            f"{path}: {entry.name} should be {entry.dtype} of shape {entry.shape}, "
            f"found {array.dtype} of shape {array.shape}"
        )
    found = blake3(array.data).hexdigest()
    if found != entry.blake3:
        raise DamagedError(
            f"{path}: the BLAKE3 of {entry.name} should be {entry.blake3}, found {found}"
        )
    return array
