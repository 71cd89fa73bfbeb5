"""What a process holds in memory of its own, and how much at most while something runs.

Anonymous pages alone: pages of a mapped file are the system's, which takes them back when it likes.
Also what all programs of this part need: no syncs while things are only made, and the last line.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PAUSE = 0.005


def anonymous() -> int:
    """Return the bytes of anonymous memory that this process has now."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise OSError("the system does not tell the anonymous memory of a process")


class Peak:
    """While this lasts, a thread looks at the memory; `bytes` is the most beyond the start."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._base = anonymous()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, anonymous() - self._base)


@contextmanager
def unsynced() -> Iterator[None]:
    """While this lasts, nothing is synced: what is made is to be measured, not to last."""
    sync = os.fsync
    os.fsync = lambda _: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = sync


def show(figures: dict[str, Any]) -> None:
    """Print the figures as the last line."""
    print(json.dumps(figures))
