"""Progress of a training, for people: a bar on a terminal, else one line an epoch.

Owns what is printed while `fit` works. verbose=0 prints nothing; 1 shows a bar where there is
a terminal; 2 is one line an epoch everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

_SHOW_EVERY = 0.2
_WORTH_SAYING = 0.1


class Reporter:
    """Prints the progress of one attempt.

    Args:
        verbose: 0, 1 or 2, as `Model.fit`'s.
        epochs: of the plan.
    """

    def __init__(self, verbose: int, epochs: int) -> None:
        self._verbose = verbose
        self._epochs = epochs
        self._console = Console(highlight=False)
        self._bar: Progress | None = None
        self._shown = 0.0
        self._began = 0.0

    @property
    def wanted(self) -> bool:
        """Whether `step` would show anything now."""
        return self._bar is not None and time.monotonic() - self._shown >= _SHOW_EVERY

    def say(self, text: str) -> None:
        """Print a line about the run."""
        if self._verbose:
            self._console.print(f"holdfast: {text}", markup=False, soft_wrap=True)

    def insist(self, text: str) -> None:
        """Print a line that matters whatever `verbose` is, to the standard error."""
        self.pause()
        Console(stderr=True, highlight=False).print(
            f"holdfast: {text}", markup=False, soft_wrap=True
        )

    def begin_epoch(self, epoch: int, steps: int | None, done: int) -> None:
        """Begin an epoch of `steps` steps, or nobody knows how many; `done` are done already."""
        self._began = time.monotonic()
        if self._verbose == 1 and self._console.is_terminal:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[logs]}"),
                console=self._console,
                auto_refresh=False,
                transient=True,
            )
            self._bar.add_task(self._name(epoch), total=steps, completed=done, logs="")
            self._bar.start()

    def step(self, done: int, logs: Mapping[str, Any], waiting: float = 0.0) -> None:
        """Show that `done` steps of the epoch are done, and how much of it was waiting for data."""
        if self._bar is not None:
            text = _format(logs) + _waiting(waiting)
            self._bar.update(self._bar.task_ids[0], completed=done, logs=text)
            self._bar.refresh()
            self._shown = time.monotonic()

    def end_epoch(self, epoch: int, logs: Mapping[str, Any], waiting: float = 0.0) -> None:
        """End the epoch with its logs, and the part of its steps' time that waited for data."""
        self.pause()
        if self._verbose:
            seconds = time.monotonic() - self._began
            self._console.print(
                f"{self._name(epoch)}  {seconds:.1f}s  {_format(logs)}{_waiting(waiting)}",
                markup=False,
                soft_wrap=True,
            )

    def pause(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _name(self, epoch: int) -> str:
        return f"Epoch {epoch + 1}/{self._epochs}"


def _waiting(part: float) -> str:
    return f"  waiting for data {100 * part:.0f} %" if part >= _WORTH_SAYING else ""


def _format(logs: Mapping[str, Any]) -> str:
    parts = []
    for name, value in logs.items():
        try:
            parts.append(f"{name}: {float(value):.4g}")
        except (TypeError, ValueError):
            continue
    return "  ".join(parts)
