"""Prune: the only module that deletes.

Owns the order of deleting: manifests go first and durably, packs that no manifest needs
after them, so that a cut in between leaves packs too many and never one too few. Leaves the
choice to `retention`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import StoreError
from holdfast.store import files
from holdfast.store.checkpoints import load_manifest, newest_sound
from holdfast.store.identity import run_id
from holdfast.store.layout import Layout
from holdfast.store.manifest import Manifest
from holdfast.store.retention import Candidate, Decision, Keep, decide


@dataclass(frozen=True)
class Pruned:
    """What a prune decided and did."""

    decisions: tuple[Decision, ...]
    removed: tuple[Path, ...]
    freed: int


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
        manifests = [path for path in self._read if path.name not in kept]
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
            files.remove(manifests)
            files.remove([*packs, *leftovers])
        return Pruned(tuple(decisions), removed, freed)

    def undo(self, total: int) -> None:
        """Delete the checkpoints of steps beyond `total`: the training went back to there."""
        beyond = [path for path in self._layout.manifests() if self._layout.step(path) > total]
        files.remove(beyond)

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
