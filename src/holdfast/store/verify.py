"""Verify: read everything a run has and check every sum. Findings are data.

Owns the finding of damage; what the disk refuses to read is damage too. Changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import DamagedError, StoreError
from holdfast.store import journal
from holdfast.store.checkpoints import load_arrays, load_manifest
from holdfast.store.identity import load_identity
from holdfast.store.layout import Layout


@dataclass(frozen=True)
class Finding:
    """Something wrong: the file, as a path within the run, and what is wrong with it."""

    file: str
    problem: str


@dataclass(frozen=True)
class Verified:
    """What was read, and what was found wrong."""

    findings: tuple[Finding, ...]
    checkpoints: int
    arrays: int
    bytes: int


def verify(layout: Layout) -> Verified:
    """Read every manifest, every array and every journal line of a run, and check the sums."""
    findings: list[Finding] = []
    checkpoints = arrays = size = 0
    try:
        load_identity(layout)
    except (StoreError, OSError) as error:
        findings.append(_finding(layout, layout.identity, error))
    for path in layout.manifests():
        try:
            manifest = load_manifest(path)
            loaded = load_arrays(layout, manifest)
        except FileNotFoundError:  # pruned by the run's writer since it was listed
            continue
        except DamagedError as error:
            if path.exists():
                findings.append(_finding(layout, path, error))
            continue
        except (StoreError, OSError) as error:
            findings.append(_finding(layout, path, error))
            continue
        checkpoints += 1
        arrays += len(loaded)
        size += sum(array.data.nbytes for array in loaded)
    try:
        damaged = journal.read(layout.journal).damaged
    except OSError as error:
        damaged = ()
        findings.append(_finding(layout, layout.journal, error))
    findings.extend(
        Finding(layout.journal.name, f"the line at byte {offset} is not what was written")
        for offset in damaged
    )
    return Verified(tuple(findings), checkpoints, arrays, size)


def _finding(layout: Layout, path: Path, error: Exception) -> Finding:
    problem = str(error).removeprefix(f"{path}: ").replace(f"{layout.root}/", "")
    return Finding(str(path.relative_to(layout.root)), problem)
