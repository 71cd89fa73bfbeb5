"""What Holdfast's callbacks may ask of the run.

Owns the answers, and what people are told of files that are put back. Leaves the files to
`store/kept`, and the training to `loop` and `keeper`, which an attempt makes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from holdfast.errors import StoreError
from holdfast.events import ModelSaved
from holdfast.state.values import from_array
from holdfast.store.journal import Record
from holdfast.store.kept import Kept
from holdfast.store.layout import Layout
from holdfast.training.keeper import Keeper
from holdfast.training.loop import Loop
from holdfast.training.progress import Reporter
from holdfast.types import Position


class RunHost:
    """The run, as its callbacks know it.

    Args:
        layout: of the run, whose lock the caller holds.
        record: what happened before.
        reporter: tells people.

    Attributes:
        loop, keeper: of the attempt, once there are.
        lost: paths whose files could not be put back, each with why.
    """

    def __init__(self, layout: Layout, record: Record, reporter: Reporter) -> None:
        self._kept = Kept(layout)
        self._kept.tidy()
        self._record = record
        self._reporter = reporter
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

    def score_of(self, path: str, monitor: str) -> float | None:
        # What stands at a path is known to be the run's only where it is kept.
        if path in self.lost or not self._kept.holds(path):
            return None
        return self._scores.get((path, monitor))

    @cached_property
    def _scores(self) -> dict[tuple[str, str], float]:
        saved = (event for event in self._record.of(ModelSaved) if isinstance(event, ModelSaved))
        return {(event.path, event.monitor): event.score for event in saved}

    def tell_saved(self, path: str, epoch: int, monitor: str, score: float) -> None:
        assert self.keeper is not None
        self.keeper.record_model(path, epoch, monitor, score)

    def keep(self, pattern: str, path: str, found: Sequence[Path], stay: Collection[str]) -> None:
        self._kept.keep(pattern, path, found, stay)
        self.lost.pop(path, None)

    def let_go(self, paths: Iterable[str]) -> None:
        self._kept.let_go(paths)

    def forget(self, pattern: str) -> None:
        self._kept.forget(pattern)

    def put_back(
        self,
        pattern: str,
        place: Callable[[str], Path],
        standing: Callable[[str], Collection[Path]],
    ) -> Collection[str]:
        result = self._kept.put_back(pattern, place, standing)
        for path in result.back:
            self._reporter.say(f"{path} was another file, or gone: it is again what was saved here")
        self.lost.update(result.lost)
        return result.lost
