"""From what happened to a run to its curves: points, marks, and which epoch was the best.

Owns which facts a picture has. Leaves how they look to `figure` and `chart`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

from holdfast.events import AttemptStarted, EpochEnded, Event, Finished, Measured, RolledBack
from holdfast.monitors import larger_is_better
from holdfast.types import Position

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curves:
    """What is drawn of a run. Epochs are those completed: 2.5 is the middle of the third.

    Args:
        series: metric name -> its points (epochs completed, value), one an epoch.
        restarts: where attempts after the first went on.
        rollbacks: where the training went back from.
        stopped: the epoch after which the training was stopped early, or None.
        points: metric name -> what was measured within epochs, as `series`.
        monitor: the metric that the best epoch is judged by; empty for `val_loss`, or `loss`
            without validation.
        mode: which values of it are better: `min`, `max` or `auto`.
    """

    series: Mapping[str, Sequence[tuple[int, float]]]
    restarts: Sequence[float] = ()
    rollbacks: Sequence[float] = ()
    stopped: int | None = None
    points: Mapping[str, Points] = field(default_factory=dict)
    monitor: str = ""
    mode: str = "auto"

    kinds: ClassVar[tuple[type[Event], ...]] = (
        AttemptStarted,
        EpochEnded,
        Finished,
        Measured,
        RolledBack,
    )
    """The events that a picture is made of."""

    @classmethod
    def from_rows(
        cls, rows: Iterable[tuple[int, Mapping[str, Any]]], restarts: Sequence[float] = ()
    ) -> Curves:
        """Return the curves of epochs' logs, each given with the epoch's number, from 0."""
        series: dict[str, list[tuple[int, float]]] = {}
        for epoch, logs in rows:
            _add(series, epoch + 1, logs)
        return cls(series, restarts)

    @classmethod
    def from_events(cls, events: Iterable[Event]) -> Curves:
        """Return the curves of a run's journal, of the course that it lived.

        Args:
            events: in order; those that are not of `kinds` are of no interest.
        """
        story = _Story()
        for event in events:
            story.hear(event)
        return cls(
            series=story.series,
            restarts=[story.where(position) for position in story.restarts],
            rollbacks=[story.where(position) for position in story.rollbacks],
            stopped=story.stopped,
            points=story.points,
            monitor=story.monitor,
            mode=story.mode,
        )

    def plot(self, title: str = "") -> Any:
        """Return the curves as a matplotlib figure; see `history.figure.draw`."""
        from holdfast.history.figure import draw

        return draw(self, title)

    def best(self) -> tuple[str, int, float] | None:
        """Return the best epoch: the metric it is judged by, the epoch, and the value then.

        Judged by `monitor`, or where no epoch has it by `val_loss`, else `loss`. Of equals
        the earlier is better, as in Keras.
        """
        for name in filter(None, (self.monitor, "val_loss", "loss")):
            judged = [point for point in self.series.get(name, ()) if not math.isnan(point[1])]
            if judged:
                mode = self.mode if self.monitor in ("", name) else "auto"
                choose = max if larger_is_better(name, mode) else min
                epoch, value = choose(judged, key=lambda point: point[1])
                return name, epoch, value
        return None

    def overfitted(self) -> tuple[int, int] | None:
        """Return the epoch of the lowest `val_loss` and the last one, if there are any between."""
        judged = [point for point in self.series.get("val_loss", ()) if math.isfinite(point[1])]
        if not judged:
            return None
        lowest, last = min(judged, key=lambda point: point[1])[0], judged[-1][0]
        return (lowest, last) if last > lowest else None

    def of(self, metric: str) -> list[tuple[bool, Points]]:
        """Return the curves of a panel: whether it is of validation, and its points.

        What was measured within epochs stands for a metric as long as no epoch has ended.
        """
        names = ((False, metric), (True, f"val_{metric}"))
        found = ((which, self.series.get(name) or self.points.get(name)) for which, name in names)
        return [(which, curve) for which, curve in found if curve]

    def best_point(self, metric: str) -> tuple[int, float] | None:
        """Return where the best epoch is in a panel: on validation's curve, if it has a value."""
        best = self.best()
        for name in (f"val_{metric}", metric):
            for epoch, value in self.series.get(name, ()):
                if best is not None and epoch == best[1]:
                    return epoch, value
        return None


def panels(runs: Iterable[Curves]) -> list[str]:
    """Return the metrics that get a panel each, with their validation: the losses first."""
    names = {
        name.removeprefix("val_") for run in runs for name in (*run.series.keys(), *run.points)
    }
    return sorted(names, key=lambda name: (name != "loss", not name.endswith("loss"), name))


def _add(series: dict[str, list[tuple[Any, float]]], where: Any, logs: Mapping[str, Any]) -> None:
    for name, value in logs.items():
        if isinstance(value, (float, Real)):
            series.setdefault(name, []).append((where, float(value)))


class _Story:
    """What is known of a run after some of its events; none is held."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.points: dict[str, list[tuple[float, float]]] = {}
        self.restarts: list[Position] = []
        self.rollbacks: list[Position] = []
        self.stopped: int | None = None
        self.monitor, self.mode = "", "auto"
        self._lengths: dict[int, int] = {}
        self._ends: dict[int, int] = {}

    def hear(self, event: Event) -> None:
        if isinstance(event, EpochEnded):
            _add(self.series, event.epoch + 1, event.logs)
            begin = self._ends.get(event.epoch, None if self._ends else 0)
            self._ends[event.epoch + 1] = event.total
            if begin is not None:  # else the line of the epoch before is lost
                self._lengths[event.epoch] = event.total - begin
        elif isinstance(event, Measured):
            _add(self.points, event.epoch + event.step / max(event.steps, 1), event.logs)
            self._lengths[event.epoch] = event.steps
        elif isinstance(event, AttemptStarted):
            self.monitor, self.mode = event.monitor, event.mode
            self.stopped = None
            if event.attempt > 1:
                self.restarts.append(event.position)
        elif isinstance(event, RolledBack):
            self.rollbacks.append(event.position)
        elif isinstance(event, Finished):
            self.stopped = event.position.epoch if event.reason == "stopped" else None

    def where(self, position: Position) -> float:
        """Return a position in epochs completed."""
        # An epoch that did not end yet is as long as the others, as far as anybody knows.
        steps = self._lengths.get(position.epoch) or next(reversed(self._lengths.values()), 0)
        return position.epoch + (min(position.step / steps, 1.0) if steps > 0 else 0.0)
