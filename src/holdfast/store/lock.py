"""The lock: one writer a run.

Owns who may write. The lock is the kernel's, on an open file: it ends with the process that
holds it, however that ends, so a dead writer's lock is simply free. A child that was forked
meanwhile does not share it. The file's contents say who holds it, for people and for the error,
and are emptied by who lets go.

They decide only where the kernel's lock may not reach: on a file system that several machines
mount, a lock that another host did not empty stands until somebody says that its process is
dead. What is such a file system, and what another machine, is for `machine` to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from holdfast.errors import RunLockedError
from holdfast.events import build
from holdfast.store.disk import File
from holdfast.store.machine import is_of_one_machine, this_machine

PATIENCE = 0.5
_PAUSE = 0.02
_LONGEST = 4096


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. `machine` is empty where the system has no name for it."""

    host: str
    pid: int
    time: float
    machine: str = ""

    def __str__(self) -> str:
        # The host is a text from a file: a terminal must not take it for a command.
        return f"process {self.pid} on {repr(self.host)[1:-1]}"


class Lock:
    """A lock, held from construction to `release`.

    Args:
        path: of the lock's file, which is made.
        patience: seconds to wait; by default long enough for a reader that asks `holder`.
        take_over: go on although another host's process did not let go, where the kernel's lock
            may not reach that host. A lock that the kernel says is held is never taken over.

    Attributes:
        took_over: whose lock was taken over, or None where that was not needed.

    Raises:
        RunLockedError: another living process holds it, or one on another host did not let go of
            it; its pid and host are named.
        OSError: the file cannot be made or written.
    """

    def __init__(self, path: Path, patience: float = PATIENCE, *, take_over: bool = False) -> None:
        self.took_over: Holder | None = None
        self._text = b""
        self._file = _acquire(path, patience)
        _held.add(self)
        try:
            own = is_of_one_machine(self._file.handle)
            left = _read(self._file.handle)
            if left is not None and not own and _is_elsewhere(left):
                if not take_over:
                    raise RunLockedError(_not_let_go(path, left))
                self.took_over = left
            # Where the kernel's lock is all, the name is for people: a full disk may do without.
            with contextlib.suppress(OSError) if own else contextlib.nullcontext():
                self._sign(durably=not own)
        except BaseException:
            self._let_go()
            raise

    def release(self) -> None:
        """Let others write. A second time, and in a forked child, this does nothing."""
        if self not in _held:
            return
        try:
            # If it cannot be emptied, the lock is free none the less; and if another host has
            # taken it over meanwhile, the name in it is that one's.
            with contextlib.suppress(OSError):
                if os.pread(self._file.handle, _LONGEST, 0) == self._text:
                    self._file.truncate(0)
        finally:
            self._let_go()

    def _sign(self, *, durably: bool) -> None:
        holder = Holder(socket.gethostname(), os.getpid(), time.time(), this_machine())
        self._text = json.dumps(asdict(holder)).encode() + b"\n"
        self._file.truncate(0)
        self._file.write(self._text, at=0)
        if durably:  # else another host may not see it before the file is closed
            self._file.sync()

    def _let_go(self) -> None:
        _held.discard(self)
        self._file.close()


def holder(path: Path) -> Holder | None:
    """Return who holds the lock at `path`, or None where a writer would get it.

    Where the kernel's lock may not reach, that is also a process on another host that did not
    let go.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(handle) or Holder("unknown", 0, 0.0)
        fcntl.flock(handle, fcntl.LOCK_UN)  # at once: a writer may be waiting
        left = _read(handle)
        elsewhere = left is not None and _is_elsewhere(left)
        return left if elsewhere and not is_of_one_machine(handle) else None
    finally:
        os.close(handle)


def _acquire(path: Path, patience: float) -> File:
    """Return the locked file at `path`."""
    deadline = time.monotonic() + patience
    while True:
        missing = None
        try:
            file = _try(path)
        except FileNotFoundError as error:  # perhaps a run that is just being moved aside
            file, missing = None, error
        if file is not None:
            return file
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    if missing is not None:
        raise missing
    found = holder(path)
    who = str(found) if found is not None and found.pid else "another process"
    raise RunLockedError(
        f"{path.parent} is being written by {who}. "
        "Wait for it to end, or stop it; its lock ends with it."
    )


def _try(path: Path) -> File | None:
    """Return the locked file, or None where another process has it."""
    file = File(path)
    try:
        fcntl.flock(file.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder may have moved the run aside, and the lock with it.
        if os.path.samestat(os.fstat(file.handle), path.stat()):
            return file
    except BlockingIOError:
        pass
    except BaseException as error:
        file.close()
        if isinstance(error, OSError) and error.filename is None:  # flock does not know it
            error.filename = str(path)
        raise
    file.close()
    return None


def _read(handle: int) -> Holder | None:
    """Return who wrote a name into the lock; None where it is empty or says no name."""
    try:
        return build(Holder, json.loads(os.pread(handle, _LONGEST, 0)), lenient=True)
    except (OSError, ValueError, RecursionError):
        return None


def _is_elsewhere(left: Holder) -> bool:
    """Whether a lock was left by another host: one of this name is this one after a reboot."""
    here = this_machine()
    return left.host != socket.gethostname() and not (here and here == left.machine)


def _not_let_go(path: Path, left: Holder) -> str:
    return (
        f"{path.parent} was locked by {left}{_since(left.time)}, which did not let go; whether it "
        f"still lives cannot be seen from {socket.gethostname()}, since several hosts may mount "
        "this file system. Wait for it to end. If it is surely dead, take the lock over with "
        "take_over=True (--take-over on the command line)."
    )


def _since(seconds: float) -> str:
    try:
        return f" since {datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # what is in the file may be any number
        return ""


def _leave_to_parent() -> None:
    """In a forked child, close the parent's locks: a worker that outlives it holds nothing."""
    while _held:
        _held.pop()._file.close()


_held: set[Lock] = set()
os.register_at_fork(after_in_child=_leave_to_parent)
