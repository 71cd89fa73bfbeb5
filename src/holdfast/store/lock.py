"""The lock: one writer a run.

Owns who may write. The lock is the kernel's, on an open file: it ends with the process that
holds it, however that ends, so a dead writer's lock is simply free. The file's contents say
who holds it, for people and for the error; they decide nothing.
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

PATIENCE = 0.5
_PAUSE = 0.02


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
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._acquire(path, patience)
            holder = Holder(socket.gethostname(), os.getpid(), time.time())
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(asdict(holder)).encode() + b"\n", 0)
        except BaseException:
            os.close(self._handle)
            raise

    def release(self) -> None:
        os.ftruncate(self._handle, 0)
        os.close(self._handle)

    def _acquire(self, path: Path, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE)
        found = _read(path)
        who = f"process {found.pid} on {found.host}" if found else "another process"
        raise RunLockedError(
            f"{path.parent} is being written by {who}. "
            "Wait for it to end, or stop it; its lock ends with it."
        )


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


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
