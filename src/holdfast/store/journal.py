"""The journal: the append-only record of what happened to a run.

Owns the bytes of a line, how a torn end is recognised and cut, and what a reader sees after
a run went back to a checkpoint. Leaves what the events mean to `events`.

A line is one JSON object whose last member is `"b3"`: the first 16 hex digits of the BLAKE3
of the line without that member. A line that does not end in a newline, or whose sum is wrong,
at the end of the file, is the end of a write that was cut off: it never happened. One whose sum
holds was written, even where what it says cannot be read: it is damaged, and never cut off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from holdfast.errors import DamagedError
from holdfast.events import AttemptStarted, Event, RolledBack, from_json
from holdfast.store.files import Appender
from holdfast.types import Json

_MARK = b',"b3":"'
_GOES_BACK = (AttemptStarted, RolledBack)
_TAIL = len(_MARK) + 16 + len(b'"}')


@dataclass(frozen=True)
class Line:
    """One line: the event and the offset of its first byte."""

    offset: int
    event: Event


@dataclass(frozen=True)
class Record:
    """A journal as read.

    Args:
        lines: the sound lines that this version knows, in order.
        size: bytes up to the end of the last line whose sum holds.
        torn: bytes after that, which a cut-off write has left.
        damaged: offsets of lines before that which are not what was written.
    """

    lines: tuple[Line, ...]
    size: int
    torn: int
    damaged: tuple[int, ...]

    @property
    def events(self) -> list[Event]:
        return [line.event for line in self.lines]

    def lived(self) -> list[Event]:
        """Return the events of the one course the run took.

        Where an attempt went back to a checkpoint, or the training rolled back to one, what was
        recorded after that checkpoint is left out, but for the attempts themselves. Rollbacks
        stay when the training rolls back once more; one that a later attempt does not know of,
        since no checkpoint was taken after it, is left out.
        """
        lived: list[Line] = []
        for line in self.lines:
            if isinstance(line.event, _GOES_BACK):
                back = line.event.journal
                stay = AttemptStarted if isinstance(line.event, AttemptStarted) else _GOES_BACK
                lived = [old for old in lived if old.offset < back or isinstance(old.event, stay)]
            lived.append(line)
        return [line.event for line in lived]


def encode(event: dict[str, Json]) -> bytes:
    """Return the line for an event, with its newline."""
    body = json.dumps(event, separators=(",", ":"), sort_keys=False).encode()
    return body[:-1] + _MARK + blake3(body).hexdigest()[:16].encode() + b'"}\n'


def decode(line: bytes) -> dict[str, Json] | None:
    """Return the event in a line without its newline, or None where its sum does not hold.

    Raises:
        DamagedError: its sum holds, and it is not the JSON of an object.
    """
    body, tail = line[:-_TAIL] + b"}", line[-_TAIL:]
    if tail != _MARK + blake3(body).hexdigest()[:16].encode() + b'"}':
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"a line of the journal is not readable ({error})") from error
    if not isinstance(value, dict):
        raise DamagedError("a line of the journal should be an object")
    return value


def read(path: Path) -> Record:
    """Read a journal. One that does not exist is empty."""
    lines: list[Line] = []
    damaged: list[int] = []
    size = 0
    end = 0
    for offset, raw in _raw_lines(path):
        end = offset + len(raw)
        try:
            value = decode(raw[:-1]) if raw.endswith(b"\n") else None
            event = from_json(value) if value is not None else None
        except DamagedError:
            damaged.append(offset)
            size = end
            continue
        if value is None:
            damaged.append(offset)
            continue
        size = end
        if event is not None:
            lines.append(Line(offset, event))
    return Record(
        lines=tuple(lines),
        size=size,
        torn=end - size,
        damaged=tuple(offset for offset in damaged if offset < size),
    )


class Journal:
    """The journal of a run, open for appending by its one writer. Safe to use from threads."""

    def __init__(self, path: Path, record: Record) -> None:
        """Open the journal at `path`, of which `record` was read, and cut its torn end off."""
        self._file = Appender(path)
        if record.torn:
            self._file.truncate(record.size)

    @property
    def size(self) -> int:
        """Bytes, with those that could not be written yet."""
        return self._file.size

    def append(self, event: Event) -> None:
        """Write an event. It is durable after the next `sync`.

        Raises:
            OSError: it could not be written; it will be with the next, or with the next `sync`.
        """
        self._file.append(encode(event.to_json()))

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        """Close the file. What was appended since the last `sync` is not made durable."""
        self._file.close()


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        offset = 0
        for raw in file:
            yield offset, raw
            offset += len(raw)
