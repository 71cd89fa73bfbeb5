"""Curves as characters, for a terminal: a panel for each metric, with numbers on its axes.

Owns where each character stands and what it means. Leaves colours to the command line, which
is told the role of each piece of text.

One run: light dots for train, heavy ones for validation. Several: a letter each, small for
train and capital for validation.
"""

from __future__ import annotations

import math
import string
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.history.curves import Curves, Points, panels

Piece = tuple[str, str]
"""A text and its role: `heading`, `train`, `validation`, `run 0`, `best`, `mark`, `axis`, ``."""

_HEIGHT = 12
_WIDEST = 100
_NARROWEST_BESIDE = 60
_LEAST = 24
# Numbers between these are written out; others with an exponent.
_SMALL, _LARGE = 1e-5, 1e6
_SMALLEST = 1e-300


@dataclass(frozen=True)
class Signs:
    """The characters that a chart is drawn with."""

    train: str
    validation: str
    best: str
    up: str
    tick: str
    corner: str
    along: str
    tick_below: str


FULL = Signs("·", "●", "★", "│", "┤", "└", "─", "┬")
ASCII = Signs(".", "o", "*", "|", "+", "+", "-", "+")

_RESTART, _ROLLBACK, _STOP = ">", "<", "X"


def chart(runs: Mapping[str, Curves], width: int, signs: Signs = FULL) -> list[list[Piece]]:
    """Return the lines of a chart, each as its pieces.

    Args:
        runs: name -> its curves; one run has its marks on the axis of the epochs.
        width: how many characters a line may have.
        signs: what to draw with: `FULL`, or `ASCII` where the terminal knows no more.
    """
    width = max(width, _LEAST)
    metrics = panels(runs.values())
    beside = max(1, min(len(metrics), width // _NARROWEST_BESIDE))
    each = min(_WIDEST, (width - 2 * (beside - 1)) // beside)
    lines: list[list[Piece]] = []
    for first in range(0, len(metrics), beside):
        row = [
            _Panel(list(runs.values()), name, each, signs).lines()
            for name in metrics[first : first + beside]
        ]
        for parts in zip(*row, strict=True):
            joined = list(parts[0])
            for part in parts[1:]:
                joined += [("  ", ""), *part]
            lines.append(joined)
        lines.append([])
    legend = _legend_of_one if len(runs) == 1 else _legend_of_many
    return [*lines, *_wrap(legend(runs, signs), width)]


class _Panel:
    """One metric: a grid of characters, filled curve by curve, with its axes."""

    def __init__(self, runs: Sequence[Curves], metric: str, width: int, signs: Signs) -> None:
        self.metric, self.signs, self.runs = metric, signs, runs
        curves = [points for run in runs for _, points in run.of(metric)]
        epochs = [where for points in curves for where, _ in points]
        values = [value for points in curves for _, value in points if math.isfinite(value)]
        self.left, self.right = min(epochs), max(epochs)
        self.low, self.high = _span(values)
        ticks = _ticks(self.low, self.high, 5)
        self.labels = dict(zip(map(self._row, ticks), _label(ticks), strict=True)) if values else {}
        self.gutter = max(5, *map(len, self.labels.values())) if self.labels else 5
        self.width = width - self.gutter - 2
        self.total = width
        self.cells: dict[tuple[int, int], Piece] = {}

    def lines(self) -> list[list[Piece]]:
        self._draw()
        heading = f"{'':{self.gutter + 2}}{self.metric}"
        if len(heading) > self.total:
            heading = heading[: self.total - 1] + "~"
        lines: list[list[Piece]] = [[(heading.ljust(self.total), "heading")]]
        for row in range(_HEIGHT):
            label = self.labels.get(row, "")
            edge = self.signs.tick if label else self.signs.up
            pieces = [(f"{label:>{self.gutter}} {edge}", "axis")]
            pieces += [self.cells.get((column, row), (" ", "")) for column in range(self.width)]
            lines.append(pieces)
        return [*lines, *self._axis()]

    def _draw(self) -> None:
        several = len(self.runs) > 1
        # All of train first: where both are in one place, validation is seen.
        for wanted in (False, True):
            for number, run in enumerate(self.runs):
                for validation, points in run.of(self.metric):
                    if validation is wanted:
                        role = "validation" if validation else "train"
                        sign = _letter(number, validation) if several else getattr(self.signs, role)
                        role = f"run {number}" if several else role
                        for cell in _trace(points, self._column, self._height):
                            self.cells[cell] = (sign, role)
        for run in self.runs:
            best = run.best_point(self.metric)
            if best is not None and math.isfinite(best[1]):
                self.cells[self._column(best[0]), self._row(best[1])] = (self.signs.best, "best")

    def _axis(self) -> list[list[Piece]]:
        line = [(self.signs.along, "axis")] * self.width
        below = [" "] * self.width
        for epoch in _epochs(self.left, self.right, self.width):
            column, text = self._column(epoch), str(epoch)
            line[column] = (self.signs.tick_below, "axis")
            begin = max(0, min(column - len(text) // 2, self.width - len(text)))
            below[begin : begin + len(text)] = text
        if len(self.runs) == 1:
            for places, sign in _marks(self.runs[0]):
                for where in places:
                    column = self._column(max(self.left, min(where, self.right)))
                    line[column] = (sign, "mark")
        return [
            [(f"{'':{self.gutter}} {self.signs.corner}", "axis"), *line],
            [(f"{'epoch':>{self.gutter}}  {''.join(below)}", "axis")],
        ]

    def _column(self, epoch: float) -> int:
        if self.right == self.left:
            return self.width // 2
        return round((epoch - self.left) / (self.right - self.left) * (self.width - 1))

    def _height(self, value: float) -> float:
        # Halves, since the difference of two large numbers may be infinite.
        part = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return (1 - part) * (_HEIGHT - 1)

    def _row(self, value: float) -> int:
        return round(self._height(value))


def _trace(
    points: Points, column: Callable[[float], int], height: Callable[[float], float]
) -> Iterator[tuple[int, int]]:
    """Yield the cells of a curve: joined from point to point, and cut where one is not finite.

    Points that share a column are drawn as their mean.
    """
    shared: dict[int, list[float]] = {}
    for where, value in points:
        shared.setdefault(column(where), []).append(value)
    before: tuple[int, float] | None = None
    for here, values in shared.items():
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            before = None
            continue
        level = height(sum(value / len(finite) for value in finite))
        yield from _join(before or (here, level), (here, level))
        before = here, level


def _join(begin: tuple[int, float], end: tuple[int, float]) -> Iterator[tuple[int, int]]:
    last = round(begin[1])
    for column in range(begin[0], end[0] + 1):
        part = (column - begin[0]) / max(end[0] - begin[0], 1)
        row = round(begin[1] + part * (end[1] - begin[1])) if column > begin[0] else last
        yield column, row
        way = 1 if row > last else -1
        for between in range(last + way, row, way) if row != last else ():
            yield column, between
        last = row


def _marks(run: Curves) -> list[tuple[Sequence[float], str]]:
    stops = [float(run.stopped)] if run.stopped is not None else []
    return [(run.restarts, _RESTART), (run.rollbacks, _ROLLBACK), (stops, _STOP)]


def _letter(number: int, validation: bool) -> str:
    letters = string.ascii_uppercase if validation else string.ascii_lowercase
    return letters[number % len(letters)]


def _legend_of_one(runs: Mapping[str, Curves], signs: Signs) -> Iterator[Piece]:
    (run,) = runs.values()
    curves = [curve for name in panels([run]) for curve in run.of(name)]
    for validation, role, sign in (
        (False, "train", signs.train),
        (True, "validation", signs.validation),
    ):
        if any(which is validation for which, _ in curves):
            yield f"{sign} {role}", role
    if run.best() is not None:
        yield f"{signs.best} {_best(run)}", "best"
    if run.restarts:
        yield f"{_RESTART} restart ({len(run.restarts)})", "mark"
    if run.rollbacks:
        yield f"{_ROLLBACK} rollback ({len(run.rollbacks)})", "mark"
    if run.stopped is not None:
        yield f"{_STOP} stopped early ({run.stopped})", "mark"
    yield from _odd(run, "")


def _legend_of_many(runs: Mapping[str, Curves], signs: Signs) -> Iterator[Piece]:
    for number, (name, run) in enumerate(runs.items()):
        yield f"{_letter(number, True)} {name}: {_best(run)}\n", f"run {number}"
        for text, role in _odd(run, f"{name}: "):
            yield f"{text}\n", role
    yield "small letters: train", ""
    yield "capital letters: validation", ""
    yield f"{signs.best} best epoch", "best"


def _best(run: Curves) -> str:
    best = run.best()
    return "no best epoch" if best is None else f"best epoch {best[1]} ({best[0]} {best[2]:.4g})"


def _odd(run: Curves, whose: str) -> Iterator[Piece]:
    odd = {
        name: [epoch for epoch, value in points if not math.isfinite(value)]
        for name, points in run.series.items()
    }
    for name, epochs in odd.items():
        if epochs:
            many = f" and {len(epochs) - 1} more" if len(epochs) > 1 else ""
            yield f"{whose}{name} is NaN or infinite in epoch {epochs[0]}{many}", "mark"


def _wrap(pieces: Iterable[Piece], width: int) -> list[list[Piece]]:
    """Return pieces in lines, three spaces apart; one that ends in a newline ends its line."""
    lines: list[list[Piece]] = [[]]
    for text, role in pieces:
        first, *more = textwrap.wrap(text, width, subsequent_indent="  ") or [""]
        taken = sum(len(part) for part, _ in lines[-1])
        if lines[-1] and taken + 3 + len(first) > width:
            lines.append([])
        if lines[-1]:
            lines[-1].append(("   ", ""))
        lines[-1].append((first, role))
        lines.extend([(part, role)] for part in more)
        if text.endswith("\n"):
            lines.append([])
    return lines


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest of the values, apart also where they are the same."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    largest = max(abs(low), abs(high))
    if high / 2 - low / 2 <= max(largest * 1e-12, _SMALLEST):
        more = largest * 0.05 if largest > _SMALLEST * 100 else 1.0
        return max(low - more, -sys.float_info.max), min(high + more, sys.float_info.max)
    return low, high


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` round numbers from `low` to `high`."""
    rough = (high / 2 - low / 2) / (most - 1) * 2
    size = 10.0 ** math.floor(math.log10(rough))
    for step in (size, size * 2, size * 5, size * 10):
        ticks = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(ticks) <= most:
            break
    return ticks


def _label(ticks: Sequence[float]) -> list[str]:
    """Return the numbers with as many digits as tell them apart."""
    plain = all(tick == 0 or _SMALL < abs(tick) < _LARGE for tick in ticks)
    # Halves, as for the heights.
    apart = abs(ticks[1] / 2 - ticks[0] / 2) if len(ticks) > 1 else abs(ticks[0])
    texts: list[str] = []
    for digits in range(17):
        texts = [f"{tick:.{digits}{'f' if plain else 'e'}}" for tick in ticks]
        pairs = zip(texts, ticks, strict=True)
        if all(abs(float(text) / 2 - tick / 2) <= apart / 100 for text, tick in pairs):
            break
    return texts


def _epochs(left: float, right: float, width: int) -> list[int]:
    """Return the whole epochs that get a number on the axis, none too near to the next."""
    first, last = math.ceil(left), math.floor(right)
    if last < first:
        return []
    room = max(1, width // (len(str(last)) + 3))
    step = next(
        step * 10**power
        for power in range(20)
        for step in (1, 2, 5)
        if (last - first) / (step * 10**power) < room
    )
    return [first, *(n for n in range(step, last + 1, step) if n - first > step / 2)]
