"""A program that `holdfast run` looks after: what is shown of it.

Owns these facts and their tables. Leaves the runs of its calls of fit to `facts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from holdfast.cli import output
from holdfast.cli.facts import Row, row
from holdfast.cli.find import find_runs, name_of
from holdfast.events import Event, ProgramDied, ProgramEnded, ProgramStarted
from holdfast.run import Run
from holdfast.store import journal, lock
from holdfast.store.layout import Layout


@dataclass(frozen=True)
class Start:
    """A start of the program. `end` is running, ended or died; `call` and `step` are where it died.

    `status` is the exit status of one that ended, `why` what one that died did so of.
    """

    start: int
    began: float
    command: tuple[str, ...]
    host: str
    pid: int
    end: str
    ended: float | None = None
    status: int | None = None
    why: str | None = None
    where: str | None = None
    call: int | None = None
    step: int | None = None


@dataclass(frozen=True)
class Program:
    """All that is told of one program."""

    name: str
    path: str
    holder: lock.Holder | None
    starts: tuple[Start, ...]
    runs: tuple[Row, ...]


def is_program(path: Path) -> bool:
    """Return whether a path is the directory of a program."""
    try:
        return (path / "program.json").is_file()
    except (OSError, ValueError):
        return False


def program(path: Path) -> Program:
    """Return what is told of the program in a directory."""
    files = Layout(path)
    holder = lock.holder(files.lock)
    starts = tuple(_starts(journal.read(files.journal), running=holder is not None))
    runs = tuple(row(Run(run), run.name) for run in find_runs(path, lambda _: None))
    return Program(name_of(path), str(path), holder, starts, runs)


def cells(starts: Sequence[Start]) -> Iterator[list[str]]:
    """Yield the cells of a table of starts, under `HEADINGS`."""
    for item in starts:
        when = f" {output.moment(item.ended)}" if item.ended is not None else ""
        how = item.end
        if item.end == "ended":
            how = f"ended with exit status {item.status}"
        if item.end == "died":
            at = f" at {item.where}" if item.where else ""
            training = f", in call {item.call} of fit, step {item.step}" if item.call else ""
            how = f"died: {item.why}{at}{training}"
        yield [
            str(item.start),
            output.moment(item.began),
            " ".join(item.command),
            f"{item.host}, process {item.pid}",
            f"{how}{when}",
        ]


HEADINGS = ("start", "began", "command", "on", "end")


def _starts(record: journal.Record, *, running: bool) -> Iterator[Start]:
    began: Start | None = None
    for event in record.of(ProgramStarted, ProgramDied, ProgramEnded):
        if isinstance(event, ProgramStarted):
            if began is not None:
                yield began
            began = Start(
                event.start, event.time, event.command, event.host, event.pid, "died", why="unknown"
            )
        elif began is not None:
            yield replace(began, **_end(event))
            began = None
    if began is not None:
        yield replace(began, end="running", why=None) if running else began


def _end(event: Event) -> dict[str, Any]:
    if isinstance(event, ProgramEnded):
        return {"end": "ended", "ended": event.time, "status": event.status, "why": None}
    assert isinstance(event, ProgramDied)
    return {
        "ended": event.time,
        "why": event.reason,
        "where": event.where or None,
        "call": event.call,
        "step": event.step,
    }
