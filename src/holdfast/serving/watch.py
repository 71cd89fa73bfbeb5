"""A run still training: its better checkpoints take the place of the one that is served.

Owns when a checkpoint is looked for, loaded and tried, beside the one that answers. Leaves the swap
to `batching`, between two batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.judge.of_run import best_checkpoint
from holdfast.run import Run
from holdfast.serving.served import Served

_EVERY = 1.0
_log = logging.getLogger("holdfast.serving")


class Watch:
    """Looks after a run.

    Args:
        path: of the run.
        load: returns what is the best there now, tried.
    """

    def __init__(self, path: Path, load: Callable[[], Served]) -> None:
        self._run = Run(path)
        self._load = load
        self._thread = ThreadPoolExecutor(1, "holdfast-watch")
        self._failed = ""

    async def follow(self, now: Callable[[], Served], swap: Callable[[Served], None]) -> None:
        """Look for better checkpoints until cancelled.

        Args:
            now: says what is served.
            swap: serves another.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(_EVERY)
                better = await loop.run_in_executor(self._thread, self._better, now())
                if better is not None:
                    swap(better)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _better(self, served: Served) -> Served | None:
        """Return a better version than the one that is served, or None."""
        step = "?"
        try:
            step = str(best_checkpoint(self._run).position.total)
            if step == served.version:
                return None
            better = self._load()
            if better.version == served.version:
                return None
            if better.signature != served.signature:
                raise HoldfastError("it takes or gives something else than the one that is served")
        except Exception as error:  # whatever it is, the old one goes on answering
            if self._failed != step:
                self._failed = step
                _log.warning(
                    "step %s of the run cannot be served, %s stays: %s", step, served.version, error
                )
            return None
        _log.info("step %s is served from now on", better.version)
        return better
