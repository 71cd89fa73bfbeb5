"""What is told of a run, as plain values: tables and JSON are made of the same ones.

Owns which facts there are and their names, which are the keys of the JSON. Leaves reading to
`Run` and printing to `output`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

from holdfast.cli.find import name_of
from holdfast.cli.output import reason
from holdfast.errors import NoCheckpointError, StoreError
from holdfast.events import (
    AttemptStarted,
    EpochEnded,
    Event,
    Failed,
    Finished,
    RolledBack,
    Stopped,
)
from holdfast.run import Checkpoint, Run
from holdfast.store import journal, lock
from holdfast.store.checkpoints import load_manifest
from holdfast.store.journal import Record
from holdfast.store.layout import Layout
from holdfast.types import Position

if TYPE_CHECKING:
    from holdfast.store.verify import Finding


@dataclass(frozen=True)
class Row:
    """A run in a list of runs. Where it cannot be read, `problem` says why.

    `epoch` and `step` are those completed: as saved, or as far as the journal tells while the
    run is running. `metrics` are the logs of the last epoch among them.
    """

    name: str
    path: str
    status: str
    size: int
    changed: float
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One process's part of the run. `end` is running, finished, stopped, failed or killed."""

    attempt: int
    began: float
    position: Position
    epochs: int
    host: str
    pid: int
    engine: str
    reason: str
    end: str
    why: str | None
    ended: float | None


@dataclass(frozen=True)
class Rollback:
    """A time the training went back: from the end of step `step` to `to`, and why.

    `samples` are the indices of those in the batches that it then did without.
    """

    number: int
    epoch: int
    step: int
    to: int
    reason: str
    samples: tuple[int, ...]
    learning_rate: float
    time: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint. `kinds` are of final, newest and best."""

    file: str
    step: int
    epoch: int
    epoch_end: bool
    kinds: tuple[str, ...]
    time: float
    size: int
    metrics: Mapping[str, float]
    digest: str


@dataclass(frozen=True)
class Portrait:
    """All that is told of one run. `epochs`, `engine` and `reason` are the last attempt's."""

    name: str
    path: str
    id: str
    status: str
    model: str | None
    created: float
    versions: Mapping[str, str]
    position: Position
    epochs: int | None
    engine: str | None
    reason: str | None
    size: int
    changed: float
    digest: str | None
    holder: lock.Holder | None
    attempts: tuple[Attempt, ...]
    rollbacks: tuple[Rollback, ...]
    checkpoints: tuple[Saved, ...]
    problems: tuple[Finding, ...]


def row(run: Run, name: str) -> Row:
    """Return a run as a row of a list; a run that cannot be read has a row too."""
    size, changed = _on_disk(run.path)
    try:
        standing = run.standing()
        position, record = standing.position, standing.record
        ended = _last_epoch(record, position, running=standing.status == "running")
    except (StoreError, OSError) as error:
        problem = reason(error) if isinstance(error, OSError) else str(error)
        return Row(name, str(run.path), "unreadable", size, changed, problem=problem)
    started = record.attempts()
    if ended is not None and ended.total > position.total:
        position = Position(ended.epoch + 1, 0, ended.total)
    return Row(
        name,
        str(run.path),
        standing.status,
        size,
        changed,
        epoch=position.epoch,
        epochs=started[-1].epochs if started else None,
        step=position.total,
        metrics=_numbers(ended.logs) if ended is not None else {},
    )


def _last_epoch(record: Record, position: Position, *, running: bool) -> EpochEnded | None:
    """Return the end of the last epoch, of those saved where the run is not running."""
    for event in record.newest(EpochEnded):
        # What was not saved is lost, unless it may be yet.
        if isinstance(event, EpochEnded) and (running or event.total <= position.total):
            return event
    return None


def portrait(run: Run) -> Portrait:
    """Return all that is told of a run. Arrays are not read: that is for `verify`.

    Raises:
        DamagedError: run.json is not what was written.
        NewerFormatError: a newer Holdfast wrote the run, or one of its checkpoints.
    """
    layout = Layout(run.path)
    identity = run.identity()
    status = run.status
    record = journal.read(layout.journal)
    checkpoints = run.checkpoints
    course = list(record.of(AttemptStarted, Stopped, Failed, Finished))
    attempts = _attempts(course, status)
    size, changed = _on_disk(run.path)
    return Portrait(
        name=name_of(run.path),
        path=str(run.path),
        id=identity.id,
        status=status,
        model=identity.plan.get("model", {}).get("class"),
        created=identity.created,
        versions=identity.versions,
        position=checkpoints[-1].position if checkpoints else Position(),
        epochs=attempts[-1].epochs if attempts else None,
        engine=attempts[-1].engine if attempts else None,
        reason=attempts[-1].reason if attempts else None,
        size=size,
        changed=changed,
        digest=checkpoints[-1].digest if checkpoints else None,
        holder=lock.holder(layout.lock),
        attempts=tuple(attempts),
        rollbacks=tuple(_rollbacks(list(record.lived(RolledBack)))),
        checkpoints=tuple(_saved(run, checkpoints)),
        problems=(*unreadable(run, checkpoints), *_damaged_lines(layout, record, checkpoints)),
    )


def unreadable(run: Run, checkpoints: Sequence[Checkpoint]) -> list[Finding]:
    """Return what is wrong with the manifests that are not among the checkpoints."""
    from holdfast.store.verify import Finding

    read = {item.path for item in checkpoints}
    found = []
    for path in Layout(run.path).manifests():
        if path in read:
            continue
        try:
            load_manifest(path, run.identity().id)
        except FileNotFoundError:  # pruned by the run's writer since it was listed
            continue
        except StoreError as error:
            problem = str(error).removeprefix(f"{path}: ")
            found.append(Finding(str(path.relative_to(run.path)), problem))
    return found


def _damaged_lines(
    layout: Layout, record: Record, checkpoints: Sequence[Checkpoint]
) -> list[Finding]:
    from holdfast.store.verify import Finding

    durable = max((item.journal for item in checkpoints), default=0)
    return [
        Finding(layout.journal.name, f"the line at byte {offset} is not what was written")
        for offset in record.damage(durable)
    ]


def _saved(run: Run, checkpoints: Sequence[Checkpoint]) -> list[Saved]:
    training = [item for item in checkpoints if not item.final]
    best = _best(run)
    found = []
    for item in checkpoints:
        kinds = {
            "final": item.final,
            "newest": training[-1:] == [item],
            "best": item.path == best,
        }
        found.append(
            Saved(
                file=str(item.path.relative_to(run.path)),
                step=item.position.total,
                epoch=item.position.epoch,
                epoch_end=item.epoch_end,
                kinds=tuple(kind for kind, holds in kinds.items() if holds),
                time=item.time,
                size=item.size,
                metrics=item.metrics,
                digest=item.digest,
            )
        )
    return found


def _best(run: Run) -> Path | None:
    try:
        return run.best().path
    except NoCheckpointError:  # no epoch has ended, or every loss is NaN
        return None


def _attempts(events: Sequence[Event], status: str) -> list[Attempt]:
    begun = [n for n, event in enumerate(events) if isinstance(event, AttemptStarted)]
    found = []
    for begin, end in itertools.pairwise([*begun, len(events)]):
        started = events[begin]
        assert isinstance(started, AttemptStarted)
        last = end == len(events)
        how, why, ended = _end(events[begin + 1 : end], running=last and status == "running")
        found.append(
            Attempt(
                attempt=started.attempt,
                began=started.time,
                position=started.position,
                epochs=started.epochs,
                host=started.host,
                pid=started.pid,
                engine=started.engine,
                reason=started.reason,
                end=how,
                why=why,
                ended=ended,
            )
        )
    return found


def _rollbacks(events: Sequence[Event]) -> list[Rollback]:
    return [
        Rollback(
            number=event.number,
            epoch=event.position.epoch,
            step=event.position.total,
            to=event.to.total,
            reason=event.reason,
            samples=tuple(event.samples),
            learning_rate=event.learning_rate,
            time=event.time,
        )
        for event in events
        if isinstance(event, RolledBack)
    ]


def _end(events: Sequence[Event], *, running: bool) -> tuple[str, str | None, float | None]:
    """Return how an attempt ended, why, and when."""
    for event in reversed(events):
        if isinstance(event, Stopped):
            return "stopped", _signal(event.signal), event.time
        if isinstance(event, Failed):
            return "failed", event.error, event.time
        if isinstance(event, Finished):
            return "finished", event.why or event.reason, event.time
    # A process that was killed could not write that it was.
    return ("running", None, None) if running else ("killed", "no end recorded", None)


def _signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _numbers(logs: Mapping[str, object]) -> dict[str, float]:
    return {name: value for name, value in logs.items() if isinstance(value, (int, float))}


def _on_disk(folder: Path) -> tuple[int, float]:
    """Return the bytes of all files of a run, and when one last changed.

    A file of the program that is kept by a second name takes no room of the run's.
    """
    size, changed = 0, 0.0
    saved = Layout(folder).saved
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                stat = os.lstat(os.path.join(root, name))
            except FileNotFoundError:  # pruned since it was listed
                continue
            if stat.st_nlink == 1 or not Path(root).is_relative_to(saved):
                size += stat.st_size
            changed = max(changed, stat.st_mtime)
    return size, changed
