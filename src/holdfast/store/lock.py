"""The lock: one writer a run.

Owns who may write. The lock is the kernel's, on an open file: it ends with the process that
holds it, however that ends, so a dead writer's lock is simply free. A child that was forked
meanwhile does not share it. The file's contents say who holds it, for people and for the error;
they decide nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from holdfast.errors import RunLockedError
from holdfast.events import build

PATIENCE = 0.5
_PAUSE = 0.02
_LONGEST = 4096


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    host: str
    pid: int
    time: float


class Lock:
    """A lock, held from construction to `release`.

    Args:
        path: of the lock's file, which is made.
        patience: seconds to wait; by default long enough for a reader that asks `holder`.

    Raises:
        RunLockedError: another living process holds it; its pid and host are named.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self._handle = _acquire(path, patience)
        _held.add(self)
        try:
            holder = Holder(socket.gethostname(), os.getpid(), time.time())
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(asdict(holder)).encode() + b"\n", 0)
        except BaseException:
            self._let_go()
            raise

    def release(self) -> None:
        """Let others write. A second time, and in a forked child, this does nothing."""
        if self in _held:
            try:
                os.ftruncate(self._handle, 0)
            finally:
                self._let_go()

    def _let_go(self) -> None:
        _held.discard(self)
        os.close(self._handle)


def holder(path: Path) -> Holder | None:
    """Return who holds the lock at `path`, or None where nobody living does."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path) or Holder("unknown", 0, 0.0)
    finally:
        os.close(handle)
    return None


def _acquire(path: Path, patience: float) -> int:
    """Return the handle of the locked file at `path`."""
    deadline = time.monotonic() + patience
    while True:
        missing = None
        try:
            handle = _try(path)
        except FileNotFoundError as error:  # perhaps a run that is just being moved aside
            handle, missing = None, error
        if handle is not None:
            return handle
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    if missing is not None:
        raise missing
    found = _read(path)
    who = f"process {found.pid} on {found.host}" if found else "another process"
    raise RunLockedError(
        f"{path.parent} is being written by {who}. "
        "Wait for it to end, or stop it; its lock ends with it."
    )


def _try(path: Path) -> int | None:
    """Return the handle of the locked file, or None where another process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder may have moved the run aside, and the lock with it.
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except BlockingIOError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _read(path: Path) -> Holder | None:
    try:
        with path.open("rb") as file:
            return build(Holder, json.loads(file.read(_LONGEST)))
    except (OSError, ValueError, RecursionError):
        return None


def _leave_to_parent() -> None:
    """In a forked child, close the parent's locks: a worker that outlives it holds nothing."""
    while _held:
        os.close(_held.pop()._handle)


_held: set[Lock] = set()
os.register_at_fork(after_in_child=_leave_to_parent)
