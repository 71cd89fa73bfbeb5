"""What Holdfast's callbacks may ask of the run.

Owns the answers, and what people are told of files that are put back. Leaves the files to
`store/kept`, and the training to `loop` and `keeper`, which an attempt makes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from holdfast.errors import StoreError
from holdfast.state.values import from_array
from holdfast.store.kept import Kept, PutBack
from holdfast.store.layout import Layout
from holdfast.store.patterns import Pattern
from holdfast.training.keeper import Keeper
from holdfast.training.loop import Loop
from holdfast.training.progress import Reporter
from holdfast.types import Position


class RunHost:
    """The run, as its callbacks know it.

    Args:
        layout: of the run, whose lock the caller holds.
        reporter: tells people.

    Attributes:
        loop, keeper: of the attempt, once there are.
        lost: paths whose files could not be put back, each with why.
    """

    def __init__(self, layout: Layout, reporter: Reporter) -> None:
        self._kept = Kept(layout)
        self._kept.tidy()
        self._reporter = reporter
        self._claimed: set[str] = set()
        self.loop: Loop | None = None
        self.keeper: Keeper | None = None
        self.lost: dict[str, str] = {}

    @property
    def position(self) -> Position:
        assert self.loop is not None
        return self.loop.position

    def load_weights(self, step: int) -> None:
        assert self.loop is not None
        self.loop.load_weights(step)

    def load_arrays(self, step: int) -> Mapping[str, NDArray[Any]] | None:
        assert self.keeper is not None
        try:
            kept = self.keeper.load(step)
        except StoreError:
            return None
        return {array.name: from_array(array) for array in kept.arrays}

    def claim(self, pattern: str) -> None:
        self._claimed.add(pattern)

    def claimed(self, pattern: str) -> bool:
        return pattern in self._claimed

    def score_of(self, pattern: Pattern, path: str, monitor: str) -> float | None:
        # What stands at a path is known to be the run's only where it is kept.
        scores = None if path in self.lost else self._kept.scores(pattern, path)
        return None if scores is None else scores.get(monitor)

    def tell_saved(self, path: str, epoch: int, monitor: str, score: float) -> None:
        assert self.keeper is not None
        self.keeper.record_model(path, epoch, monitor, score)

    def keep(
        self,
        pattern: Pattern,
        path: str,
        found: Sequence[Path],
        stay: Collection[str],
        scores: Mapping[str, float],
    ) -> None:
        self._kept.keep(pattern, path, found, stay, scores)
        self.lost.pop(path, None)

    def let_go(self, pattern: Pattern, paths: Iterable[str]) -> None:
        self._kept.let_go(pattern, paths)

    def forget(self, pattern: Pattern) -> None:
        self._kept.forget(pattern)

    def put_back(
        self,
        pattern: Pattern,
        place: Callable[[str], Path],
        standing: Callable[[str], Collection[Path]],
    ) -> PutBack:
        result = self._kept.put_back(pattern, place, standing)
        for path in result.back:
            self._reporter.say(f"{path} was another file, or gone: it is again what was saved here")
        self.lost.update(result.lost)
        return result
