"""Prune: the only module that deletes.

Owns the order of deleting: manifests go first and durably, packs that no manifest needs
after them, so that a cut in between leaves packs too many and never one too few. Leaves the
choice to `retention`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import StoreError
from holdfast.store import files
from holdfast.store.checkpoints import load_manifest, newest_sound
from holdfast.store.identity import run_id
from holdfast.store.layout import Layout
from holdfast.store.manifest import Manifest
from holdfast.store.retention import Candidate, Decision, Keep, decide

_ALL = Keep(last=sys.maxsize)
# After a commit, the checkpoints are gone through when one in so many is new.
_SHARE = 16


@dataclass(frozen=True)
class Pruned:
    """What a prune decided and did.

    Args:
        decisions: on each checkpoint.
        removed: the files that went, or would go.
        freed: the bytes of those.
        unneeded: those of them that are no checkpoints, each with why it went.
    """

    decisions: tuple[Decision, ...]
    removed: tuple[Path, ...]
    freed: int
    unneeded: tuple[tuple[Path, str], ...] = ()


def prune(layout: Layout, keep: Keep, *, dry_run: bool = False) -> Pruned:
    """Delete the checkpoints that `keep` lets go, packs nobody needs, and leftovers.

    Only the process that holds the run's lock may call this, unless `dry_run`. A manifest
    that is not readable is never deleted, and while there is one no pack is either: it might
    need it. The newest checkpoint is read first: if it is damaged, the newest that is not stays.

    Raises:
        NewerFormatError: a newer Holdfast wrote the newest checkpoint.
    """
    sound = newest_sound(layout)
    newest = sound.position.total if sound else -1
    return Pruner(layout, keep).prune(newest=newest, dry_run=dry_run)


class Pruner:
    """Prunes a run again and again, reading each manifest once."""

    def __init__(self, layout: Layout, keep: Keep) -> None:
        self._layout = layout
        self._keep = keep
        self._read: dict[Path, tuple[tuple[int, int], Candidate, set[str]]] = {}
        self._stayed = self._since = self._newest = 0

    def follow(self, *, newest: int, final: bool) -> None:
        """Prune after a commit: after each one, unless more than a dozen or so checkpoints stay.

        To decide takes time for every checkpoint that is there. So that a run which keeps all that
        it takes does not spend ever more on each, it is done once one in `_SHARE` is new, and
        after a final one. Until then that many may be too many.

        Args:
            newest: see `prune`.
            final: whether the commit was of a final checkpoint.
        """
        self._since += 1
        self._newest = newest
        if final or self._since * _SHARE >= self._stayed:
            self.prune(newest=newest)
            self._since = 0

    def make_room(self) -> None:
        """Prune now what `follow` has put off, if it has: a commit found the disk full."""
        if self._since:
            self.prune(newest=self._newest)
            self._since = 0

    def prune(self, *, newest: int, dry_run: bool = False) -> Pruned:
        """See the function `prune`.

        Args:
            newest: the step of the newest checkpoint of the training that is sound.
            dry_run: delete nothing.
        """
        unreadable = not self._refresh()
        candidates = [candidate for _, candidate, _ in self._read.values()]
        decisions = decide(candidates, self._keep, newest)
        kept = {decision.name for decision in decisions if decision.keep}
        self._stayed = len(kept)
        manifests = [path for path in self._read if path.name not in kept][::-1]
        needed = {
            name
            for path, (_, _, names) in self._read.items()
            if path.name in kept
            for name in names
        }
        packs = [
            path for path in self._layout.all_packs() if not unreadable and path.name not in needed
        ]
        leftovers = self._layout.leftovers()
        removed = (*manifests, *packs, *leftovers)
        freed = sum(_size(path) for path in removed)
        if not dry_run:
            self._remove(manifests)
            if manifests:  # the packs that they need go after them
                files.settle_names(self._layout.checkpoints)
            files.discard([*packs, *leftovers])
        unneeded = (
            *((path, "no checkpoint needs it") for path in packs),
            *((path, "left by a process that died") for path in leftovers),
        )
        return Pruned(tuple(decisions), removed, freed, unneeded)

    def beyond(self, total: int) -> list[Path]:
        """Return the manifests of steps beyond `total`."""
        return [path for path in self._layout.manifests() if self._layout.step(path) > total]

    def undo(self, manifests: Sequence[Path]) -> None:
        """Delete checkpoints of a course that the training went back on.

        One that a cut brings back is of a training that goes back once more.
        """
        self._since = 0
        self._refresh()
        self._remove(sorted(manifests, key=self._layout.step, reverse=True))

    def _remove(self, manifests: Sequence[Path]) -> None:
        """Delete manifests, given the newest first: one goes, durably, before those it pins."""
        pinned: set[int] = set()
        for path in manifests:
            if self._layout.step(path) in pinned:
                files.settle_names(path.parent)
                pinned.clear()
            files.discard([path])
            if path in self._read:
                pinned.update(self._read[path][1].pins)

    def _refresh(self) -> bool:
        """Read the manifests that are new. Returns whether all could be read."""
        sound = True
        present = self._layout.manifests()
        run = run_id(self._layout)
        self._read = {path: self._read[path] for path in present if path in self._read}
        for path in present:
            try:
                stat = path.stat()
                stamp = (stat.st_mtime_ns, stat.st_ino)
                if path in self._read and self._read[path][0] == stamp:
                    continue
                self._read.pop(path, None)
                manifest = load_manifest(path, run)
            except FileNotFoundError:  # a dry run: the run's writer has pruned it meanwhile
                self._read.pop(path, None)
                continue
            except StoreError:
                sound = False
                continue
            self._read[path] = (stamp, candidate(path, manifest), manifest.packs())
        return sound


def clean(layout: Layout) -> None:
    """Delete packs that no checkpoint needs and leftovers, and no checkpoint.

    Only the process that holds the run's lock may call this.
    """
    Pruner(layout, _ALL).prune(newest=-1)


def candidate(path: Path, manifest: Manifest) -> Candidate:
    """Return what retention knows of a manifest."""
    return Candidate(
        path.name,
        manifest.position,
        manifest.epoch_end,
        manifest.final,
        manifest.metrics,
        manifest.pins,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
