"""SIGTERM and SIGINT while training: set a flag, nothing more.

Owns the handlers. Leaves what follows to the loop, which looks at the flag between stretches.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """While this is entered, the first SIGTERM or SIGINT is noted in `signal`.

    A second SIGINT ends the process at once, by the system's own hand: what is on disk is
    whole at any instruction. Handlers can only be set from the main thread; from another,
    signals are left as they are.

    A signal that came too late for the training to stop on is raised again when this is left:
    whoever sent it meant the process.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._received is not None and error is None:
            signal.raise_signal(self._received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = self._received = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
