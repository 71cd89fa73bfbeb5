"""The journal: the append-only record of what happened to a run.

Owns the bytes of a line, how a torn end is recognised and cut, and what a reader sees after
a run went back to a checkpoint. Leaves what the events mean to `events`.

A line is one JSON object whose last member is `"b3"`: the first 16 hex digits of the BLAKE3
of the line without that member. A line that does not end in a newline, or whose sum is wrong,
at the end of the file, is the end of a write that was cut off: it never happened. One whose sum
holds was written, even where what it says cannot be read: it is damaged, and never cut off. A
line of spaces is none: a repair leaves it where a damaged line was.

A journal may be long. A reader goes through it line by line, makes events only of the kinds
that it is asked for, and holds no more than the lines where the run went back.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from blake3 import blake3

from holdfast.errors import DamagedError
from holdfast.events import AttemptStarted, Event, RolledBack, from_json
from holdfast.store import files
from holdfast.store.files import Appender
from holdfast.types import Json

_MARK = b',"b3":"'
_END = b'"}'
_TAIL = len(_MARK) + 16 + len(_END)
_NAME = re.compile(rb'\{"event":"([a-z_]+)"')
_BLOCK = 1 << 16
_NEVER = 2**63


@dataclass(frozen=True)
class Turn:
    """A line where the run went back, and the offset of its first byte."""

    offset: int
    event: AttemptStarted | RolledBack


@dataclass(frozen=True)
class Record:
    """A journal as it was when it was read: what is appended later is not in it.

    Events are read from the file when they are asked for.

    Args:
        path: of the journal.
        size: bytes up to the end of the last line whose sum holds.
        torn: bytes after that, which a cut-off write has left.
        damaged: offsets of lines before that which are not what was written.
        turns: where the run went back, in order.
        lost: spans (offset, length) of those among the damaged lines whose sum does not hold.
    """

    path: Path
    size: int
    torn: int
    damaged: tuple[int, ...]
    turns: tuple[Turn, ...]
    lost: tuple[tuple[int, int], ...] = ()

    def damage(self, durable: int) -> list[int]:
        """Return the offsets of damaged lines, but of those that a power cut may have left.

        A cut may take a line that was not synced and leave those after it.

        Args:
            durable: how long the journal was when it was last known to be synced, in bytes: as
                the newest checkpoint knows it.
        """
        cut = {offset for offset, _ in self.lost if offset >= durable}
        return [offset for offset in self.damaged if offset not in cut]

    def attempts(self) -> list[AttemptStarted]:
        """Return all attempts, in order."""
        return [turn.event for turn in self.turns if isinstance(turn.event, AttemptStarted)]

    @property
    def events(self) -> list[Event]:
        """All events. For a long journal `of` takes less memory."""
        return list(self.of())

    def of(self, *kinds: type[Event]) -> Iterator[Event]:
        """Yield the events of some kinds, or all, in order."""
        for _, event in _events(_lines(self.path, self.size), kinds):
            yield event

    def lived(self, *kinds: type[Event]) -> Iterator[Event]:
        """Yield the events, of some kinds or all, of the one course the run took.

        Where an attempt went back to a checkpoint, or the training rolled back to one, what was
        recorded after that checkpoint is left out, but for the attempts themselves. Rollbacks
        stay when the training rolls back once more; one that a later attempt does not know of,
        since no checkpoint was taken after it, is left out.
        """
        if kinds and set(kinds) <= {AttemptStarted, RolledBack}:
            found: Iterator[tuple[int, Event]] = (
                (turn.offset, turn.event) for turn in self.turns if isinstance(turn.event, kinds)
            )
        else:
            found = _events(_lines(self.path, self.size), kinds)
        return (event for offset, event in found if self._has_lived(offset, event))

    def newest(self, *kinds: type[Event]) -> Iterator[Event]:
        """Yield what `lived` does, the newest first: it reads no more than is asked for."""
        found = _events(_lines_backwards(self.path, self.size), kinds)
        return (event for offset, event in found if self._has_lived(offset, event))

    def _has_lived(self, offset: int, event: Event) -> bool:
        if isinstance(event, AttemptStarted):
            return True
        offsets, any_turn, attempts = self._back
        least = attempts if isinstance(event, RolledBack) else any_turn
        return offset < least[bisect_right(offsets, offset)]

    @cached_property
    def _back(self) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """The turns' offsets; and how far back it went from each on, at any turn, at attempts."""
        any_turn, attempts = [_NEVER], [_NEVER]
        for turn in reversed(self.turns):
            back = turn.event.journal
            any_turn.append(min(any_turn[-1], back))
            is_attempt = isinstance(turn.event, AttemptStarted)
            attempts.append(min(attempts[-1], back) if is_attempt else attempts[-1])
        return [turn.offset for turn in self.turns], any_turn[::-1], attempts[::-1]


def encode(event: dict[str, Json]) -> bytes:
    """Return the line for an event, with its newline."""
    body = json.dumps(event, separators=(",", ":"), sort_keys=False).encode()
    return body[:-1] + _MARK + _sum(body) + _END + b"\n"


def decode(line: bytes) -> dict[str, Json] | None:
    """Return the event in a line without its newline, or None where its sum does not hold.

    Raises:
        DamagedError: its sum holds, and it is not the JSON of an object.
    """
    body = _body(line)
    return None if body is None else _object(body)


def read(path: Path) -> Record:
    """Read a journal and check all of it. One that does not exist is empty."""
    return _read(path, whole=True)


def skim(path: Path) -> Record:
    """Read a journal as `read` does, and check every sum, but not what the lines say.

    What is `damaged` is then not all that `read` would find; the rest is the same.
    """
    return _read(path, whole=False)


def _read(path: Path, *, whole: bool) -> Record:
    turns: list[Turn] = []
    damaged: list[int] = []
    lost: list[tuple[int, int]] = []
    size = 0
    end = 0
    wanted = None if whole else _names((AttemptStarted, RolledBack))
    for offset, raw in _lines_if_any(path):
        end = offset + len(raw)
        if _is_blank(raw):
            size = end
            continue
        body = _body(raw[:-1]) if raw.endswith(b"\n") else None
        if body is None:
            damaged.append(offset)
            lost.append((offset, len(raw)))
            continue
        size = end
        if not _may_be(body, wanted):
            continue
        try:
            event = _event(body)
        except DamagedError:
            damaged.append(offset)
            continue
        if isinstance(event, (AttemptStarted, RolledBack)):
            turns.append(Turn(offset, event))
    return Record(
        path=path,
        size=size,
        torn=end - size,
        damaged=tuple(offset for offset in damaged if offset < size),
        turns=tuple(turns),
        lost=tuple(span for span in lost if span[0] < size),
    )


class Journal:
    """The journal of a run, open for appending by its one writer. Safe to use from threads."""

    def __init__(self, path: Path, record: Record, durable: int = 0) -> None:
        """Open the journal at `path` and take out what a cut has left of lines.

        A torn end is cut off; before it, such a line is made blank: no other line moves.

        Args:
            path: of the journal.
            record: what was read of it.
            durable: see `Record.damage`.
        """
        gone = [span for span in record.lost if span[0] >= durable]
        if gone:
            files.blank(path, gone)
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


def _sum(body: bytes) -> bytes:
    return blake3(body).digest(8).hex().encode()


def _body(line: bytes) -> bytes | None:
    """Return what a line, without its newline, says, or None where its sum does not hold."""
    body = line[:-_TAIL] + b"}"
    return body if line[-_TAIL:] == _MARK + _sum(body) + _END else None


def _is_blank(raw: bytes) -> bool:
    return raw[:1] in (b" ", b"\n") and raw.strip(b" ") == b"\n"


def _may_be(line: bytes, wanted: frozenset[bytes] | None) -> bool:
    """Return whether the event in a line may be one of those wanted, by how the line begins."""
    named = _NAME.match(line)
    return wanted is None or named is None or named[1] in wanted


def _event(body: bytes) -> Event | None:
    """Return the event that a line describes, or None where this version knows no such event.

    Raises:
        DamagedError: it describes none.
    """
    event = from_json(_object(body))
    named = _NAME.match(body)
    if event is not None and named is not None and named[1] != event.name.encode():
        raise DamagedError("a line of the journal has two names")
    return event


def _object(body: bytes) -> dict[str, Json]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"a line of the journal is not readable ({error})") from error
    if not isinstance(value, dict):
        raise DamagedError("a line of the journal should be an object")
    return value


def _events(
    lines: Iterator[tuple[int, bytes]], kinds: tuple[type[Event], ...]
) -> Iterator[tuple[int, Event]]:
    """Yield the sound events of some kinds, or all, with their offsets."""
    wanted = _names(kinds) if kinds else None
    for offset, raw in lines:
        if not _may_be(raw, wanted):
            continue
        body = _body(raw[:-1])
        if body is None:
            continue
        try:
            event = _event(body)
        except DamagedError:
            continue
        if event is not None and (not kinds or isinstance(event, kinds)):
            yield offset, event


def _names(kinds: tuple[type[Event], ...]) -> frozenset[bytes]:
    return frozenset(kind.name.encode() for kind in kinds)


def _lines_if_any(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        offset = 0
        for raw in file:
            yield offset, raw
            offset += len(raw)


def _lines(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file's first `size` bytes, with their offsets."""
    if not size:
        return
    for offset, raw in _lines_if_any(path):
        if offset >= size:
            return
        yield offset, raw


def _lines_backwards(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield what `_lines` does, the last line first."""
    if not size:
        return
    with path.open("rb") as file:
        end, block, rest = size, _BLOCK, b""
        while end > 0:
            begin = max(0, end - block)
            file.seek(begin)
            data = file.read(end - begin) + rest
            # What is before the first newline is the end of a line that begins further ahead.
            cut = (data.find(b"\n") + 1 or len(data)) if begin else 0
            if cut == len(data):
                block *= 2
            end, rest = begin, data[:cut]
            offset = begin + len(data)
            for line in reversed(data[cut:].split(b"\n")[:-1]):
                offset -= len(line) + 1
                yield offset, line + b"\n"
