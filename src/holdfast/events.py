"""What happens to a run, as typed values: what the journal keeps and readers are told.

Owns the events and their JSON form. Leaves the bytes of a line to `store/journal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import ClassVar

from holdfast.types import Json, Position


@dataclass(frozen=True)
class Event:
    """Something that happened. `time` is in seconds since 1970."""

    name: ClassVar[str]

    def to_json(self) -> dict[str, Json]:
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True)
class AttemptStarted(Event):
    """A process began to work on the run, from `position`.

    `journal` is the length the journal had at the checkpoint it went on from (0 for a new
    run): what the journal says of training between there and this line is another future.
    """

    name: ClassVar[str] = "attempt_started"
    time: float
    attempt: int
    position: Position
    journal: int
    epochs: int
    engine: str
    reason: str
    host: str
    pid: int
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochEnded(Event):
    """Epoch `epoch` (counted from 0) ended with `logs`, at step `total`."""

    name: ClassVar[str] = "epoch_ended"
    time: float
    epoch: int
    total: int
    logs: Mapping[str, Json]


@dataclass(frozen=True)
class CheckpointCommitted(Event):
    """A checkpoint is on the disk to stay."""

    name: ClassVar[str] = "checkpoint_committed"
    time: float
    position: Position
    final: bool
    bytes: int
    seconds: float


@dataclass(frozen=True)
class CheckpointFailed(Event):
    """A checkpoint could not be written; training went on."""

    name: ClassVar[str] = "checkpoint_failed"
    time: float
    position: Position
    error: str


@dataclass(frozen=True)
class Stopped(Event):
    """A signal ended the attempt, after its state was saved."""

    name: ClassVar[str] = "stopped"
    time: float
    position: Position
    signal: int


@dataclass(frozen=True)
class Failed(Event):
    """An exception ended the attempt."""

    name: ClassVar[str] = "failed"
    time: float
    position: Position
    error: str


@dataclass(frozen=True)
class Finished(Event):
    """The training came to its end. `reason` is `epochs` or `stopped`."""

    name: ClassVar[str] = "finished"
    time: float
    position: Position
    reason: str


_EVENTS: Mapping[str, type[Event]] = {
    kind.name: kind
    for kind in (
        AttemptStarted,
        EpochEnded,
        CheckpointCommitted,
        CheckpointFailed,
        Stopped,
        Failed,
        Finished,
    )
}


def from_json(value: Mapping[str, Json]) -> Event | None:
    """Return the event that `value` describes, or None where this version knows no such event."""
    kind = _EVENTS.get(value.get("event", ""))
    if kind is None:
        return None
    known = {item.name for item in fields(kind)}
    given = {name: item for name, item in value.items() if name in known}
    if isinstance(given.get("position"), Mapping):
        given["position"] = Position(**given["position"])
    return kind(**given)
