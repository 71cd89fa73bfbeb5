"""`holdfast run --restarts`: starts a program again when it dies.

Owns when and how often, and that signals reach the program. Leaves how it is started to `launch`,
and what is recorded of its deaths to `program`.

A program dies of a signal, or of an exception that nobody caught. An exit status of its own is no
death, and neither is being told to stop through this process. On Linux the program is killed when
this process is; elsewhere it goes on, and its lock keeps a second one away.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from holdfast.compat.old import say
from holdfast.compat.program import last_death, note_death
from holdfast.events import ProgramDied, ProgramStarted
from holdfast.store import journal
from holdfast.store.layout import Layout

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LONGEST_DELAY = 60
_LOOK = 0.05
_SET_PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def supervise(
    first: Sequence[str],
    again: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    restarts: int,
) -> int:
    """Run a program until it ends, or has died too often; returns its status as `Popen` has it.

    Args:
        first: the command that starts it, until it has begun.
        again: the command that starts it from then on.
        environment: of both.
        directory: of the program.
        restarts: how often to start it again.
    """
    child = _Child(environment)
    command, delay = first, 0
    before: ProgramDied | None = None
    for number in range(restarts + 1):
        status = child.live(command)
        began = _has_begun(directory, child.pid)
        if began:
            command = again
        death = _death(directory, status, began)
        if death is None or child.told is not None:
            return status
        reason = _said(death)
        if before is not None and _is_same(death, before):
            say(f"{reason}, twice at the same position; not started again")
            return status
        if number == restarts:
            say(f"{reason}; not started again ({number} of {restarts})")
            return status
        delay = next_delay(delay, death, before)
        say(f"{reason}; starts again in {delay} s ({number + 1} of {restarts})")
        if not child.wait(delay):
            return -(child.told or 0)
        before = death
    return status


def next_delay(delay: int, death: ProgramDied, before: ProgramDied | None) -> int:
    """Return how many seconds to wait after a death: longer each time, unless it got further.

    Args:
        delay: how long it was after the death before.
        death: what it died of now.
        before: what it died of before.
    """
    if before is None or _position(death) > _position(before):
        return 1
    return min(2 * delay, _LONGEST_DELAY)


def end_as(status: int) -> NoReturn:
    """End this process as another has ended, by its exit status or its signal."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the dump would be of the wrong process
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        sys.stderr.flush()
        os.kill(os.getpid(), -status)
        status = 128 - status
    sys.exit(status)


class _Child:
    """The program's process, one after the other, and the signals on their way to it.

    Attributes:
        told: the signal that this process was told to stop by.
        pid: of the one that lives, or lived last.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.told: int | None = None
        self.pid = 0
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as it is under nohup
                signal.signal(number, self._pass_on)

    def live(self, command: Sequence[str]) -> int:
        """Start the program and return its status when it has ended."""
        process = subprocess.Popen(
            command,
            env=self._environment,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 (this process has no other thread)
        )
        self._process, self.pid = process, process.pid
        if self.told is not None:
            process.send_signal(signal.SIGTERM)
        status = process.wait()
        self._process = None
        return status

    def wait(self, seconds: float) -> bool:
        """Wait; returns whether nobody told this process to stop meanwhile."""
        deadline = time.monotonic() + seconds
        while self.told is None and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return self.told is None

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        first, self.told = self.told is None, number
        # Of Ctrl-C the terminal tells all its processes; a second SIGINT would end it unsaved.
        if self._process is None or (number == signal.SIGINT and first and _is_at_terminal()):
            return
        # Nothing but the terminal is gone: the program is to save what it has.
        self._process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)


def _has_begun(directory: Path, pid: int) -> bool:
    """Return whether a process came as far as being recorded."""
    newest = next(journal.read(Layout(directory).journal).newest(ProgramStarted), None)
    return isinstance(newest, ProgramStarted) and newest.pid == pid


def _death(directory: Path, status: int, began: bool) -> ProgramDied | None:
    """Return of what a process of the program died, or None where it ended by its own wish."""
    noted = last_death(directory) if began else None
    if noted is not None or status >= 0:
        return noted
    reason = f"killed by {_name(-status)}"
    try:
        note_death(directory, reason)
    except OSError as error:  # a full disk is no reason to give up
        say(f"{Layout(directory).journal} could not be written: {error.strerror}")
        return ProgramDied(time.time(), reason, "", 0, 0)
    return last_death(directory)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the nameless ones, for a program's own use
        return f"signal {number}"


def _said(death: ProgramDied) -> str:
    place = f" ({os.path.basename(death.where)})" if death.where else ""
    return f"died: {death.reason}{place}"


def _is_same(death: ProgramDied, before: ProgramDied) -> bool:
    """Return whether the program died of an exception both times, of the same kind and there."""
    return bool(death.where) and _cause(death) == _cause(before)


def _cause(death: ProgramDied) -> tuple[str, str, tuple[int, int]]:
    return death.reason.partition(":")[0], death.where, _position(death)


def _position(death: ProgramDied) -> tuple[int, int]:
    return death.call, death.step


def _is_at_terminal() -> bool:
    """Return whether Ctrl-C at the terminal reaches this process, and so all of its group."""
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _die_with_parent() -> Callable[[], None] | None:
    """Return what has a process killed when this one is killed, if the system can do that."""
    if sys.platform != "linux":
        return None
    import ctypes

    system, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        system.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it was too late
            os._exit(1)

    return ask
