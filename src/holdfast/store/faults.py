"""What a test may do to the disk: log its operations, kill the process at one, fail or slow them.

Owns the switch `HOLDFAST_DISK`, which tests alone set. Leaves the calls themselves to `disk`.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from holdfast import config

Kind = Literal[
    "create",
    "write",
    "sync",
    "truncate",
    "rename",
    "link",
    "remove",
    "make directory",
    "sync directory",
    "remove directory",
]
When = Literal["before", "within", "after"]

_PACKAGE = Path(__file__).parents[1]
_OWN = {__file__, str(Path(__file__).with_name("disk.py"))}


@dataclass(frozen=True)
class Operation:
    """One change of the disk.

    Args:
        number: counted from 1 in this process.
        kind: what is done.
        path: to which file or directory.
        target: of a rename or a link: the new name.
        data: of a write.
        at: of a write, the offset of its first byte; of a truncation, the new size.
        site: the calls that led to it, from the outermost of Holdfast's to the innermost, as
            `module:line`, joined by ` > `.
    """

    number: int
    kind: Kind
    path: Path
    target: Path | None
    data: bytes
    at: int
    site: str


@dataclass(frozen=True)
class Failure:
    """Operations that fail: from number `first` to number `last`, None for ever."""

    first: int
    last: int | None
    error: int

    def hits(self, number: int) -> bool:
        return self.first <= number and (self.last is None or number <= self.last)


class Faults:
    """What is done to each operation. Operations are counted, and done one at a time.

    Args:
        log: called with each operation before it is done.
        undone: called with each operation that failed after all.
        kill: at which number to kill the process with SIGKILL, and when: before it, within it
            (of a write, half is done) or after it.
        fail: which operations fail, and with which error; of a write, half is done.
        slow: seconds to wait before each.
        omit: of which operations nothing is done.
    """

    def __init__(
        self,
        *,
        log: Callable[[Operation], None] | None = None,
        undone: Callable[[Operation], None] | None = None,
        kill: tuple[int, When] | None = None,
        fail: Failure | None = None,
        slow: float = 0.0,
        omit: Callable[[Operation], bool] | None = None,
    ) -> None:
        self._log = log
        self._undone = undone
        self._kill = kill
        self._fail = fail
        self._slow = slow
        self._omit = omit
        self._guard = threading.RLock()
        self._number = 0

    @contextlib.contextmanager
    def around(
        self,
        kind: Kind,
        path: Path,
        *,
        target: Path | None = None,
        data: memoryview | None = None,
        at: int = 0,
        half: Callable[[], object] | None = None,
    ) -> Iterator[bool]:
        """Do to an operation what is to be done to it; the block does it if it is given True.

        Args:
            kind, path, target, data, at: see `Operation`.
            half: does half of it.
        """
        with self._guard:
            self._number += 1
            operation = Operation(
                self._number,
                kind,
                path,
                target,
                b"" if data is None else bytes(data),
                at,
                _site(sys._getframe(2)),
            )
            if self._omit is not None and self._omit(operation):
                yield False
                return
            if self._log is not None:
                self._log(operation)
            if self._slow:
                time.sleep(self._slow)
            try:
                self._strike(operation.number, half)
                yield True
            except OSError:
                if self._undone is not None:
                    self._undone(operation)
                raise
            if self._kill == (operation.number, "after"):
                _die()

    def _strike(self, number: int, half: Callable[[], object] | None) -> None:
        if self._kill == (number, "before"):
            _die()
        if self._kill == (number, "within"):
            if half is not None:
                half()
            _die()
        if self._fail is not None and self._fail.hits(number):
            if half is not None:
                half()
            raise OSError(self._fail.error, os.strerror(self._fail.error))


def from_environment() -> Faults | None:
    """Return what `HOLDFAST_DISK` asks for: a JSON object of `Faults`' arguments, or nothing.

    `log` is a file, to which a JSON object is written for each operation; `fail` is
    `[first, last, name of the error]`.
    """
    asked = config.disk_faults()
    if asked is None:
        return None
    kill, fail, log = asked.get("kill"), asked.get("fail"), asked.get("log")
    write = _Log(log) if log else None
    return Faults(
        log=write.done if write else None,
        undone=write.undone if write else None,
        kill=(kill[0], kill[1]) if kill else None,
        fail=Failure(fail[0], fail[1], getattr(errno, fail[2])) if fail else None,
        slow=asked.get("slow", 0.0),
    )


class _Log:
    """A file with a line of JSON for each operation."""

    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def done(self, operation: Operation) -> None:
        line = {
            "number": operation.number,
            "kind": operation.kind,
            "path": str(operation.path),
            "target": str(operation.target) if operation.target else None,
            "data": base64.b64encode(operation.data).decode(),
            "at": operation.at,
            "site": operation.site,
        }
        os.write(self._handle, json.dumps(line).encode() + b"\n")

    def undone(self, operation: Operation) -> None:
        os.write(self._handle, json.dumps({"undone": operation.number}).encode() + b"\n")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _site(frame: FrameType | None) -> str:
    found: list[str] = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE) and str(path) not in _OWN:
            module = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
            found.append(f"{module}:{frame.f_lineno}")
        frame = frame.f_back
    return " > ".join(reversed(found))
