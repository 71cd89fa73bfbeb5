"""What was found, as curves: for each series and figure its points, from the smallest size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from growth.linear import ALLOWED, LEAST_BYTES, LEAST_SECONDS, Growth, Point, grown, point
from growth.series import SERIES, Series

_NOT_OURS = {("fit", figure) for figure in ("first", "tracing", "compiling", "memory")}
_NOT_OURS |= {("state", "plain"), ("state", "read")}


@dataclass(frozen=True)
class Curve:
    """One figure of a series over the sizes at which it was measured.

    Args:
        series: whose.
        figure: as its program names it.
        words: what it is.
        memory: whether it is bytes, and not seconds.
        points: from the smallest size.
        failed: the sizes at which it was not measured, each with why.
        limit: the same by the machine alone, where that is measured.
    """

    series: Series
    figure: str
    words: str
    memory: bool
    points: tuple[Point, ...]
    failed: Mapping[int, str]
    limit: Curve | None = None

    @property
    def ours(self) -> bool:
        """Whether it is Holdfast's: not Keras's, and not what JAX, XLA or the machine takes."""
        return not self.series.peer and (self.series.key, self.figure) not in _NOT_OURS

    @property
    def growth(self) -> Growth:
        return grown(self.points, LEAST_BYTES if self.memory else LEAST_SECONDS)

    @property
    def excess(self) -> float:
        """How much more a unit costs than before, beyond what it does on the machine alone."""
        limit = 1.0 if self.limit is None else max(1.0, self.limit.growth.worst)
        return self.growth.worst / limit

    def at(self, size: float) -> Point | None:
        return next((point for point in self.points if point.size == size), None)


def in_doubt(series: Series, sizes: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Return whether a figure of a series grew more than it may, by what was measured so far."""
    mine = [curve for curve in _of(series, sizes) if curve.ours and curve.points]
    return any(curve.excess > ALLOWED for curve in mine)


def curves(found: Mapping[str, Any], subject: str) -> list[Curve]:
    """Return the curves of a subject, in the order of the series."""
    return [
        curve
        for series in SERIES
        if series.subject == subject and series.key in found
        for curve in _of(series, found[series.key])
    ]


def one(found: Mapping[str, Any], key: str, figure: str) -> Curve | None:
    """Return a curve, or None where it was not measured."""
    series = next(series for series in SERIES if series.key == key)
    every = _of(series, found[key]) if key in found else iter(())
    return next((curve for curve in every if curve.figure == figure and curve.points), None)


def _of(series: Series, sizes: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Curve]:
    found: dict[str, Curve] = {}
    figures = [(name, words, False) for name, words in series.figures]
    if series.memory:
        figures.append((series.memory, series.words, True))
    for name, words, memory in figures:
        points, failed = [], {}
        for size, runs in sizes.items():
            sound = [run[name] for run in runs if name in run]
            if len(sound) == len(runs):
                points.append(point(int(size), sound))
            else:
                failed[int(size)] = next(run["failed"] for run in runs if "failed" in run)
        limit = found.get(series.limits.get(name, ""))
        found[name] = Curve(series, name, words, memory, tuple(points), failed, limit)
        yield found[name]
