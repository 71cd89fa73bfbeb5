"""Verify: read everything a run has and check every sum. Findings are data.

Owns the finding of damage; what the disk refuses to read is damage too. Changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import DamagedError, StoreError
from holdfast.events import AttemptStarted
from holdfast.store import journal
from holdfast.store.checkpoints import check_arrays, load_manifest
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
    recorded, where = 0, ""
    run = None
    try:
        run = load_identity(layout).id
    except (StoreError, OSError) as error:
        findings.append(_finding(layout, layout.identity, error))
    for path in layout.manifests():
        try:
            manifest = load_manifest(path, run)
            check_arrays(layout, manifest)
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
        arrays += len(manifest.arrays)
        size += sum(entry.size for entry in manifest.arrays)
        if manifest.journal > recorded:
            recorded, where = manifest.journal, path.name
    findings.extend(_verify_journal(layout, run, recorded, where))
    return Verified(tuple(findings), checkpoints, arrays, size)


def _verify_journal(layout: Layout, run: str | None, recorded: int, where: str) -> list[Finding]:
    """Return what is wrong with the journal, which had `recorded` bytes at checkpoint `where`."""
    try:
        record = journal.read(layout.journal)
    except OSError as error:
        return [_finding(layout, layout.journal, error)]
    problems = [f"the line at byte {offset} is not what was written" for offset in record.damaged]
    problems.extend(
        f"attempt {event.attempt} is of the run {event.run}, and this is the run {run}"
        for event in record.events
        if isinstance(event, AttemptStarted) and event.run and run not in (None, event.run)
    )
    if record.size < recorded:
        problems.append(
            f"it is sound up to byte {record.size}; at checkpoint {where} it had {recorded} bytes"
        )
    return [Finding(layout.journal.name, problem) for problem in problems]


def _finding(layout: Layout, path: Path, error: Exception) -> Finding:
    problem = str(error).removeprefix(f"{path}: ").replace(f"{layout.root}/", "")
    return Finding(str(path.relative_to(layout.root)), problem)
