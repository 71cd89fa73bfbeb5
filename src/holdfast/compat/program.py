"""A program's directory: what its starts have in common, and what happened to them.

    runs/train/
      program.json          the program's random seeds; written once
      journal.jsonl         its starts, its calls of fit, its deaths
      lock                  one process at a time
      1-sequential/         the run of its first call of fit
      2-sequential_1/       … of the second
      2-sequential_1.old-1/ … what was there before the program was changed

Owns these files. Leaves the runs to `calls`, and starting the program to `launch`.

A program that fixes no seed would be another one at every start: other data, other initial
weights. So the seed is drawn once and kept.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdfast.compat.old import say
from holdfast.errors import DamagedError, HoldfastError, RunError
from holdfast.events import (
    CallBegan,
    Event,
    ProgramDied,
    ProgramEnded,
    ProgramStarted,
    build,
)
from holdfast.run import Run
from holdfast.store import files, journal
from holdfast.store.journal import Journal
from holdfast.store.layout import FORMAT, Layout, is_run
from holdfast.store.lock import Lock
from holdfast.store.manifest import sealed, unsealed

_CALL = re.compile(r"([1-9][0-9]*)-(.+)")
_ASIDE = re.compile(r"\.old-[0-9]+$")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Seeds:
    """What makes every start of a program draw the same numbers.

    Args:
        seed: of Python's and numpy's random state.
        hash_seed: of the order of sets (PYTHONHASHSEED).
        script: the program's file, seen from the directory.
        format: of the program's directory.
    """

    seed: int
    hash_seed: int
    script: str = ""
    format: int = FORMAT


class Program:
    """A program while it runs. It holds the lock of its directory until the process ends.

    Args:
        directory: of the program.
        command: what was typed: the script and its arguments. None where nobody started it to
            look after it: then its starts are not recorded.
        fresh: move what is there aside and start over.
        take_over: see `Run.fit`.

    Raises:
        RunLockedError: another process runs the program.
        RunError: the directory cannot be used.
        DamagedError: its program.json is not what was written.
    """

    def __init__(
        self, directory: Path, *, command: Sequence[str] | None, fresh: bool, take_over: bool
    ) -> None:
        self.directory = directory.absolute()
        self._files = Layout(self.directory)
        script = command[0] if command else ""
        try:
            self._lock = self._open(fresh, take_over)
            self.seeds = _seeds(self.directory, script)
            record = journal.read(self._files.journal)
            self._journal = Journal(self._files.journal, record)
            if command is not None:
                self._starts(record, command)
        except OSError as error:
            raise RunError(
                f"cannot use {self.directory} for the program's runs: {error.strerror or error}. "
                "Choose another place with --runs."
            ) from error
        self._pid = os.getpid()
        self.call = 0

    @classmethod
    def open(
        cls, directory: Path, *, command: Sequence[str] | None, fresh: bool, take_over: bool
    ) -> Program:
        """Return the program of a directory, which is made where it is not there."""
        return cls(directory, command=command, fresh=fresh, take_over=take_over)

    @property
    def seed(self) -> int:
        return self.seeds.seed

    @property
    def is_here(self) -> bool:
        """Whether this process is the program, and not a child that was forked from it."""
        return os.getpid() == self._pid

    def sow(self) -> None:
        """Seed Python's random state, from which Keras's grows."""
        random.seed(self.seed)

    def sow_numpy(self) -> None:
        """Seed numpy's. The program imports it first: it may say before with how many threads."""
        import numpy as np

        np.random.seed(self.seed)

    def runs(self) -> dict[int, Layout]:
        """Return the runs of the program's calls of fit, by the call's number."""
        found = {}
        for entry in self.directory.iterdir():
            match = _CALL.fullmatch(entry.name)
            if match and not _ASIDE.search(entry.name) and entry.is_dir():
                found[int(match[1])] = Layout(entry)
        return dict(sorted(found.items()))

    def new_run(self, call: int, model: str) -> Layout:
        """Return where the run of a call is to be, named by the model's name."""
        name = _ASIDE.sub("_", _UNFIT.sub("_", model)[:_LONGEST_NAME]).strip(".") or "model"
        return Layout(self.directory / f"{call}-{name}")

    def move_aside(self, call: int) -> list[Path]:
        """Move the runs of a call and of all after it aside, the last first; returns where to.

        Should the process die meanwhile, the first that differs is still there to be seen.
        """
        moved = []
        for number, layout in reversed(self.runs().items()):
            if number >= call:
                aside = layout.aside()
                Lock(layout.lock).release()  # nobody may be at it
                files.move(layout.root, aside)
                moved.append(aside)
        return moved[::-1]

    def began(self, call: int, layout: Layout, epochs: int, before: Mapping[str, Any]) -> None:
        """Record that a call began, and from what."""
        self._note(CallBegan(time.time(), call, layout.root.name, epochs, before))

    def last_began(self, call: int, layout: Layout) -> CallBegan | None:
        """Return how a call began that has a run, or None where the journal does not tell."""
        for event in journal.skim(self._files.journal).newest(CallBegan):
            assert isinstance(event, CallBegan)
            if (event.call, event.run) == (call, layout.root.name):
                return event
        return None

    def position(self) -> tuple[int, int]:
        """Return how far the program is: the call of fit, and the step of its newest checkpoint."""
        return _position(self.directory, self.call or None)

    def died(self, reason: str, where: str) -> None:
        """Record of what the program dies, and at which line."""
        at = (self.call, 0)
        with contextlib.suppress(HoldfastError, OSError):
            at = self.position()
        self._note(ProgramDied(time.time(), reason, where, *at))

    def ended(self, status: int) -> None:
        """Record that the program has come to its end."""
        self._note(ProgramEnded(time.time(), status))

    def close(self) -> None:
        """Let others run the program."""
        self._journal.close()
        self._lock.release()

    def _open(self, fresh: bool, take_over: bool) -> Lock:
        _check_place(self.directory)
        files.make_directory(self.directory)
        lock = Lock(self._files.lock, take_over=take_over)
        if lock.took_over is not None:
            say(f"took over the lock of {lock.took_over}")
        if fresh and (_path(self.directory).exists() or self.runs()):
            aside = self._files.aside()
            files.move(self.directory, aside)
            say(f"what was in {self.directory} is now in {aside}")
            lock.release()
            files.make_directory(self.directory)
            lock = Lock(self._files.lock)
        return lock

    def _starts(self, record: journal.Record, command: Sequence[str]) -> None:
        starts = list(record.of(ProgramStarted))
        last = next(record.newest(ProgramStarted, ProgramDied, ProgramEnded), None)
        if isinstance(last, ProgramStarted):
            where = _position(self.directory, None)
            self._note(ProgramDied(time.time(), "it was killed, or the machine went", "", *where))
        self._note(
            ProgramStarted(
                time.time(), len(starts) + 1, tuple(command), socket.gethostname(), os.getpid()
            )
        )

    def _note(self, event: Event) -> None:
        try:
            self._journal.append(event)
            self._journal.sync()
        except OSError as error:  # the training itself is what counts
            say(f"{self._files.journal} could not be written: {error.strerror}")


def peek_hash_seed(directory: Path, script: str, *, named: bool) -> int:
    """Return the PYTHONHASHSEED of a program, which is needed before its process begins.

    Args:
        directory: of the program.
        script: its file.
        named: whether the directory was asked for; else it has the script's name.

    Raises:
        RunError: the directory is not the program's own, or another script's of the same name.
        DamagedError: its program.json is not what was written.
        OSError: it cannot be written.
    """
    directory = directory.absolute()
    _check_place(directory)
    files.make_directory(directory)
    seeds = _seeds(directory, script)
    if not named and seeds.script not in ("", _seen_from(directory, script)):
        raise RunError(
            f"{directory} is that of {os.path.normpath(directory / seeds.script)}. Give "
            f"{script} a directory of its own with --name, or say that this one is meant: "
            f"--name {directory.name}"
        )
    return seeds.hash_seed


def note_death(directory: Path, reason: str, where: str = "") -> None:
    """Record of what a program died that could not do so itself, and is gone."""
    record = journal.read(Layout(directory).journal)
    log = Journal(Layout(directory).journal, record)
    log.append(ProgramDied(time.time(), reason, where, *_position(directory, None)))
    log.sync()
    log.close()


def last_death(directory: Path) -> ProgramDied | None:
    """Return of what a program's last start died, or None where it did not or none can tell."""
    record = journal.read(Layout(directory).journal)
    last = next(record.newest(ProgramStarted, ProgramDied, ProgramEnded), None)
    return last if isinstance(last, ProgramDied) else None


def _position(directory: Path, call: int | None) -> tuple[int, int]:
    if call is None:
        began = journal.read(Layout(directory).journal).newest(CallBegan)
        last = next(began, None)
        call = last.call if isinstance(last, CallBegan) else 0
    runs = [
        entry
        for entry in directory.glob(f"{call}-*")
        if not _ASIDE.search(entry.name) and is_run(entry)
    ]
    return (call, Run(runs[0]).position.total) if runs else (call, 0)


def _path(directory: Path) -> Path:
    return directory / "program.json"


def _check_place(directory: Path) -> None:
    """Refuse a directory that is there and not a program's: it may be moved aside as a whole."""
    if not directory.exists() or _path(directory).exists():
        return
    if not directory.is_dir():
        raise RunError(f"{directory} is a file; expected a directory for the program's runs")
    own = ("journal.jsonl", "lock")
    strange = [
        entry.name
        for entry in directory.iterdir()
        if entry.name not in own and not _CALL.fullmatch(entry.name) and entry.suffix != ".tmp"
    ]
    if is_run(directory) or strange:
        what = "is a run" if is_run(directory) else f"has {min(strange)} in it"
        raise RunError(
            f"{directory} {what}; expected a directory of this program's own. Choose another with "
            "--runs or --name."
        )


def _seeds(directory: Path, script: str) -> Seeds:
    """Return a program's seeds; drawn where there are none yet."""
    path = _path(directory)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # A process's own cannot be changed any more.
        text = os.environ.get("PYTHONHASHSEED", "")
        hash_seed = int(text) if text.isdecimal() else secrets.randbits(32)
        place = _seen_from(directory, script) if script else ""
        seeds = Seeds(secrets.randbits(32), hash_seed, place)
        files.replace(path, sealed(asdict(seeds)))
        return seeds
    try:
        return build(Seeds, unsealed(data, path), lenient=True)
    except ValueError as error:
        raise DamagedError(f"{path}: not readable ({error})") from error


def _seen_from(directory: Path, script: str) -> str:
    """Return a script's path from a directory: a project that is moved keeps it."""
    return os.path.relpath(os.path.abspath(script), directory)
