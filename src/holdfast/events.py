"""What happens to a run, as typed values: what the journal keeps and readers are told.

Owns the events and their JSON form, and how a dataclass is made of JSON that may be anything.
Leaves the bytes of a line to `store/journal`.
"""

from __future__ import annotations

import functools
import math
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from holdfast.errors import DamagedError
from holdfast.types import Json, Position

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = TypeVar("Kind", bound="DataclassInstance")

_LARGEST = 2**63 - 1
_KINDS = {bool: "true or false", int: "a count", float: "a number", str: "a text"}


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
    `monitor` and `mode` say by which metric the run's best epoch is judged; without one it is
    `val_loss`, or `loss` without validation. `run` is the run's id.
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
    monitor: str = ""
    mode: str = "auto"
    run: str = ""


@dataclass(frozen=True)
class EpochEnded(Event):
    """Epoch `epoch` (counted from 0) ended with `logs`, at step `total`."""

    name: ClassVar[str] = "epoch_ended"
    time: float
    epoch: int
    total: int
    logs: Mapping[str, Json]


@dataclass(frozen=True)
class Measured(Event):
    """Within epoch `epoch` (counted from 0), after `step` of its `steps` steps: the logs then.

    Recorded about once a second, for epochs that last longer.
    """

    name: ClassVar[str] = "measured"
    time: float
    epoch: int
    step: int
    steps: int
    logs: Mapping[str, Json]


@dataclass(frozen=True)
class RolledBack(Event):
    """The training went back from `position`, after the step that did it, to `to`.

    `journal` is the length the journal had at `to`: what it says of training between there and
    this line was undone. `reason` says in words what was wrong, `samples` are the indices of
    the samples in the batches that did it, `number` counts the rollbacks from 1, and
    `learning_rate` is what it is from now on.
    """

    name: ClassVar[str] = "rolled_back"
    time: float
    position: Position
    to: Position
    journal: int
    number: int
    reason: str
    samples: tuple[int, ...]
    learning_rate: float


@dataclass(frozen=True)
class ModelSaved(Event):
    """A callback's file of the model stands at `path`; `monitor` had the value `score` then."""

    name: ClassVar[str] = "model_saved"
    time: float
    path: str
    epoch: int
    monitor: str
    score: float


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
    """The training came to its end. `reason` is `epochs` or `stopped`, `why` says it in words."""

    name: ClassVar[str] = "finished"
    time: float
    position: Position
    reason: str
    why: str = ""


@dataclass(frozen=True)
class Repaired(Event):
    """What was broken or not needed was moved out of the way: so many files.

    Checkpoints that were committed before this line may be among them.
    """

    name: ClassVar[str] = "repaired"
    time: float
    moved: int


@dataclass(frozen=True)
class ProgramStarted(Event):
    """A program was started, for the `start`-th time. In the program's journal."""

    name: ClassVar[str] = "program_started"
    time: float
    start: int
    command: tuple[str, ...]
    host: str
    pid: int


@dataclass(frozen=True)
class CallBegan(Event):
    """The program's `call`-th call of fit began, or goes on to other `epochs`, in the run `run`.

    `before` says what the training starts from: the digest of the weights, and the settings of the
    callbacks that decide when it ends.
    """

    name: ClassVar[str] = "call_began"
    time: float
    call: int
    run: str
    epochs: int
    before: Mapping[str, Any]


@dataclass(frozen=True)
class ProgramDied(Event):
    """A program died: of what, at which of its lines, and how far its training was.

    `call` is the last call of fit that began, counted from 1 (0: none had), `step` the step of its
    newest checkpoint. `where` is empty where nobody could tell.
    """

    name: ClassVar[str] = "program_died"
    time: float
    reason: str
    where: str
    call: int
    step: int


@dataclass(frozen=True)
class ProgramEnded(Event):
    """A program came to its end, with an exit status of its own."""

    name: ClassVar[str] = "program_ended"
    time: float
    status: int


_EVENTS: Mapping[str, type[Event]] = {
    kind.name: kind
    for kind in (
        AttemptStarted,
        EpochEnded,
        Measured,
        RolledBack,
        ModelSaved,
        CheckpointCommitted,
        CheckpointFailed,
        Stopped,
        Failed,
        Finished,
        Repaired,
        ProgramStarted,
        CallBegan,
        ProgramDied,
        ProgramEnded,
    )
}


def from_json(value: Mapping[str, Json]) -> Event | None:
    """Return the event that `value` describes, or None where this version knows no such event.

    Fields that this version does not know are ignored.

    Raises:
        DamagedError: a field is missing or is not what it should be.
    """
    name = value.get("event")
    kind = _EVENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        if isinstance(name, str):
            return None
        raise DamagedError(f"an event should have a name, found {reprlib.repr(name)}")
    try:
        return build(kind, value, lenient=True)
    except ValueError as error:
        raise DamagedError(f"the event {name} is not readable ({error})") from error


def build(kind: type[Kind], value: Json, *, lenient: bool = False) -> Kind:
    """Return the dataclass `kind` with its fields as the JSON object `value` has them.

    An `int` field is a count: not negative, below 2**63. A `float` field is finite; the floats
    of a mapping need not be.

    Args:
        kind: a dataclass of JSON's types, mappings, tuples and dataclasses.
        value: what was read, whatever it is.
        lenient: let fields that have a default be missing, and ignore those not known.

    Raises:
        ValueError: a field is missing, not known, or not of its type; it is named.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, found {reprlib.repr(value)}")
    types = _types(kind)
    known = {name: value[name] for name in types if name in value}
    odd = [] if lenient else sorted(value.keys() - types.keys())
    missing = [
        item.name
        for item in fields(kind)
        if item.name not in known and not (lenient and _has_default(item))
    ]
    for what, names in (("is missing", missing), ("is not known", odd)):
        if names:
            raise ValueError(f"the field {reprlib.repr(names[0])} {what}")
    given = {name: _typed(types[name], item, name) for name, item in known.items()}
    for name, item in given.items():
        if types[name] is float and not math.isfinite(item):
            raise ValueError(f"{name} should be a finite number, found {item}")
    return kind(**given)


def _typed(kind: Any, value: Json, name: str) -> Any:
    """Return `value` as the type `kind`, which is that of the field `name`."""
    if kind is Any:
        return value
    if _is_dataclass(kind):
        try:
            return build(kind, value)
        except ValueError as error:
            raise ValueError(f"in {name}, {error}") from None
    origin, parts = _origin(kind)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} should be an object, found {reprlib.repr(value)}")
        return {key: _typed(parts[1], item, f"{name}/{key}") for key, item in value.items()}
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} should be a list, found {reprlib.repr(value)}")
        return tuple(_typed(parts[0], item, f"{name}/{n}") for n, item in enumerate(value))
    # Not isinstance: to Python a bool is an int.
    if type(value) is kind and (kind is not int or 0 <= value <= _LARGEST):
        return value
    if kind is float and type(value) is int and abs(value) <= _LARGEST:
        return float(value)
    raise ValueError(f"{name} should be {_KINDS[kind]}, found {reprlib.repr(value)}")


@functools.cache
def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}


@functools.cache
def _origin(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(kind), get_args(kind)


@functools.cache
def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _has_default(item: Any) -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING
