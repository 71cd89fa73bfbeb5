"""The best of a training's model files: which score is one, and which files then stay.

Owns the order of the best. Leaves the comparing of two scores to `monitor`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.callbacks.monitor import Monitor


@dataclass(frozen=True)
class Verdict:
    """What a score is: the best so far, or one of the best whose files stay.

    Args:
        was: the best score before it.
        improved: whether it is better than that.
        stays: whether its file is to be written.
    """

    was: float | None
    improved: bool
    stays: bool


class BestFiles:
    """The best scores so far, and the files of the models that have them.

    Args:
        monitor: compares.
        threshold: the score to beat for the first file.
        most: how many files stay, or None where none is deleted.
        best_only: a file is written only where the score is better than ever before.
    """

    def __init__(
        self, monitor: Monitor, threshold: float | None, most: int | None, *, best_only: bool
    ) -> None:
        self._monitor = monitor
        self._threshold = threshold
        self._most = most
        self._best_only = best_only
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.best: float | None = self._threshold
        self.top: list[tuple[float, str]] = []

    def take(self, best: float | None, top: Sequence[tuple[float, str]]) -> None:
        """Take what an earlier attempt has found."""
        self.best, self.top = best, list(top)

    def distrust(self) -> None:
        """Have the next model judged saved: a file of the best is not what it was."""
        self.best = self._threshold

    def judge(self, value: float) -> Verdict:
        """Take a score; the file, if it is to be one, is enlisted by the caller."""
        was = self.best
        improved = self._monitor.better(value, was)
        if improved:
            self.best = value
        return Verdict(was, improved, improved or self._among_best(value))

    def enlist(self, value: float, path: str) -> list[str]:
        """Take a file among those that stay, the best first; returns those that go."""
        most = self._most or 1
        top = [item for item in self.top if item[1] != path]
        place = 0
        while place < len(top) and not self._monitor.better(value, top[place][0]):
            place += 1
        top.insert(place, (value, path))
        self.top = top[:most]
        return [old for _, old in top[most:]] if self._most else []

    def _among_best(self, value: float) -> bool:
        if self._most is None or self._best_only or math.isnan(value):
            return False
        return len(self.top) < self._most or self._monitor.better(value, self.top[-1][0])
