"""What a contender's program tells of itself, so that it is known whatever happens to it.

Owns both sides: `Teller` in the program, `told` and `events` for who watches it. The position goes
through a file mapped into memory, events through a file without a buffer: both outlive a SIGKILL.
Moments are of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

POSITION = "position"
EVENTS = "events.jsonl"


class Teller:
    """Tells where a training stands.

    Args:
        folder: of the program; the file of the position is there already.
    """

    def __init__(self, folder: Path) -> None:
        self._events = (folder / EVENTS).open("ab", buffering=0)
        with (folder / POSITION).open("r+b") as file:
            self._position = mmap.mmap(file.fileno(), 8)
        self._stepped = False

    def imported(self, moment: float) -> None:
        """Tell when the imports were done."""
        self._tell("imported", time=moment)

    def step(self, position: int) -> None:
        """Tell that a step was done: how many there are now from the beginning."""
        self._position[:] = position.to_bytes(8, "little")
        if not self._stepped:
            self._stepped = True
            self._tell("step", time=time.monotonic(), position=position)

    def epoch(self, index: int, val_loss: float) -> None:
        """Tell that an epoch was done and judged."""
        self._tell("epoch", index=index, val_loss=val_loss)

    def end(
        self,
        state: Iterable[bytes],
        best: float | None,
        returned: Sequence[int] | None,
        logged: Sequence[int] | None,
    ) -> None:
        """Tell what came of it.

        Args:
            state: weights and optimizer, always in the same order.
            best: val_loss of the best model on the disk, judged anew.
            returned: the epochs in the history that the program holds at its end.
            logged: the epochs in the log that the contender wrote to the disk.
        """
        digest = hashlib.sha256()
        for part in state:
            digest.update(part)
        self._tell("end", digest=digest.hexdigest(), best=best, returned=returned, logged=logged)

    def _tell(self, event: str, **facts: Any) -> None:
        self._events.write(json.dumps({"event": event, **facts}).encode() + b"\n")


def prepare(folder: Path) -> None:
    """Make the files for a program's next start; what earlier starts told goes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / POSITION).write_bytes(bytes(8))
    (folder / EVENTS).write_bytes(b"")


def told(folder: Path) -> int:
    """Return how many steps a program has done by now."""
    return int.from_bytes((folder / POSITION).read_bytes(), "little")


def events(folder: Path) -> list[dict[str, Any]]:
    """Return what a program has told; a line that a kill cut off is left out."""
    lines = (folder / EVENTS).read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]
