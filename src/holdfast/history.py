"""The history of a run as curves, and their picture.

Owns what a picture of a run shows. Knows no Keras, so that the command line draws without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.errors import MissingExtraError
from holdfast.events import AttemptStarted, EpochEnded, Event

_TRAIN, _VALIDATION, _MARK = "#56a0d3", "#0b3c6f", "#8a8a8a"
_MOST_COLUMNS = 3
_MOST_DOTS = 40


@dataclass(frozen=True)
class Curves:
    """What is drawn of a run.

    Args:
        series: metric name -> its points (epochs completed, value).
        restarts: where attempts after the first went on, in epochs completed.
    """

    series: Mapping[str, Sequence[tuple[int, float]]]
    restarts: Sequence[float] = ()

    @classmethod
    def from_rows(
        cls, rows: Sequence[tuple[int, Mapping[str, Any]]], restarts: Sequence[float]
    ) -> Curves:
        """Return the curves of epochs' logs, given with the epoch's number, from 0."""
        series: dict[str, list[tuple[int, float]]] = {}
        for epoch, logs in rows:
            for name, value in logs.items():
                if isinstance(value, (int, float)):
                    series.setdefault(name, []).append((epoch + 1, float(value)))
        return cls(series, restarts)

    @classmethod
    def from_events(cls, events: Sequence[Event]) -> Curves:
        """Return the curves of a run's journal, of the course that it lived."""
        rows = [(event.epoch, event.logs) for event in events if isinstance(event, EpochEnded)]
        return cls.from_rows(rows, restarts(events))

    def plot(self, title: str = "") -> Any:
        """Return the curves as a matplotlib figure; see `draw`."""
        return draw(self, title)

    def best(self) -> tuple[str, int, float] | None:
        """Return name, epoch and value of the lowest `val_loss`, or `loss` without one."""
        for name in ("val_loss", "loss"):
            points = [point for point in self.series.get(name, ()) if not math.isnan(point[1])]
            if points:
                epoch, value = min(points, key=lambda point: point[1])
                return name, epoch, value
        return None

    def panels(self) -> list[list[str]]:
        """Return the names that share a panel: the losses first, then each metric with its own."""
        names = sorted(self.series, key=lambda name: (name.removeprefix("val_"), name))
        panels: dict[str, list[str]] = {}
        for name in names:
            bare = name.removeprefix("val_")
            panels.setdefault(bare, []).append(name)
        return sorted(panels.values(), key=lambda group: group[0].removeprefix("val_") != "loss")


def restarts(events: Sequence[Event]) -> list[float]:
    """Return where each attempt after the first went on, in epochs completed."""
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    if not epochs:
        return []
    ends = {event.epoch + 1: event.total for event in epochs}
    found = []
    for event in events:
        if isinstance(event, AttemptStarted) and event.attempt > 1:
            begin, end = ends.get(event.position.epoch, 0), ends.get(event.position.epoch + 1)
            part = event.position.step / (end - begin) if end and end > begin else 0.0
            found.append(event.position.epoch + part)
    return found


def draw(curves: Curves, title: str = "") -> Any:
    """Return a matplotlib figure of the curves: one panel for the losses, one a metric.

    Train is solid and light with dots, validation dashed and dark with squares, so that they
    differ in print too. A star marks the best epoch, thin lines the restarts. The legend is
    below the panels, where no data are.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot", "A picture") from error
    panels = curves.panels() or [[]]
    rows = math.ceil(len(panels) / _MOST_COLUMNS)
    columns = math.ceil(len(panels) / rows)
    figure = Figure(figsize=(5.6 * columns, 0.6 + 3.8 * rows), layout="constrained")
    best = curves.best()
    shown: dict[str, Any] = {}
    for place, names in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, place)
        _draw_panel(axes, curves, names, best)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            shown.setdefault(label, handle)
    if shown:
        figure.legend(
            shown.values(), shown, loc="outside lower center", ncols=len(shown), frameon=False
        )
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _draw_panel(
    axes: Any, curves: Curves, names: Sequence[str], best: tuple[str, int, float] | None
) -> None:
    for name in names:
        validation = name.startswith("val_")
        epochs, values = zip(*curves.series[name], strict=True)
        axes.plot(
            epochs,
            values,
            color=_VALIDATION if validation else _TRAIN,
            linestyle="--" if validation else "-",
            marker=("s" if validation else "o") if len(epochs) <= _MOST_DOTS else None,
            markersize=3,
            label="validation" if validation else "train",
            zorder=2,
        )
    if best is not None:
        # Where a metric has both, the star is on the validation's curve.
        values_then = [
            value for name in names for epoch, value in curves.series[name] if epoch == best[1]
        ]
        axes.plot(
            [best[1]] * len(values_then[-1:]),
            values_then[-1:],
            "*",
            color=_VALIDATION,
            markeredgecolor="white",
            markersize=14,
            label=f"best epoch ({best[1]}, by {best[0]})",
            zorder=3,
        )
    for number, where in enumerate(curves.restarts):
        label = f"restart ({len(curves.restarts)})" if number == 0 else None
        axes.axvline(where, color=_MARK, linewidth=0.9, linestyle=":", label=label, zorder=1)
    heading = names[0].removeprefix("val_") if names else "no epoch has ended yet"
    axes.set_title(heading, parse_math=False)
    axes.set_xlabel("epoch")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
