"""Curves as matplotlib figures: of one run with all its marks, or of several side by side.

Owns how a picture looks: colours, lines, marks and the legend. Leaves what is on it to `curves`.

Colours are never alone in telling things apart: lines differ in style, weight or marker, so
that a picture is read in black and white, and by the colour-blind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.errors import MissingExtraError
from holdfast.history.curves import Curves, Points, panels

_TRAIN, _VALIDATION, _MARK = "#56a0d3", "#0b3c6f", "#6a6a6a"
# Okabe and Ito's colours, without the yellow that is lost on white. The three lists differ in
# length, so that it takes many runs until two look the same.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
_STYLES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P")
_MOST_COLUMNS = 3
_MOST_DOTS = 30
_LONGEST_NAME = 48
_PANEL = (5.6, 3.8)


@dataclass(frozen=True)
class _Look:
    colour: str
    style: Any
    width: float
    marker: str
    label: str | None
    alpha: float = 1.0


def draw(curves: Curves, title: str = "") -> Any:
    """Return a matplotlib figure of a run: one panel for the losses, one a metric.

    Train is solid and light with dots, validation dashed and dark with squares; what was
    measured within epochs is a thin line. A star marks the best epoch; thin lines mark where
    attempts went on (dotted, to the right), where the training rolled back (broken, to the
    left) and where it was stopped early (solid, a cross). What came after the lowest
    `val_loss` is shaded. The legend is below the panels, where no data are.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, axes = _panels(panels([curves]), title)
    looks = (
        _Look(_TRAIN, "-", 1.5, "o", "train"),
        _Look(_VALIDATION, "--", 1.5, "s", "validation"),
    )
    best = curves.best()
    for metric, panel in axes.items():
        for validation, points in curves.of(metric):
            _draw_line(panel, points, looks[validation])
        if best is not None:
            label = f"best epoch ({best[1]}, by {best[0]})"
            _draw_star(panel, curves.best_point(metric), _VALIDATION, label)
        _draw_within(panel, curves, metric)
        _draw_odd(panel, [point for _, points in curves.of(metric) for point in points])
        _draw_course(panel, curves)
    _draw_legend(figure)
    return figure


def compare(runs: Mapping[str, Curves], title: str = "") -> Any:
    """Return a matplotlib figure of several runs, in the panels of `draw`.

    Each run has its colour, style of line and marker: thin and light for train, heavy for
    validation. A star marks each run's best epoch.

    Args:
        runs: name -> its curves.
        title: of the whole picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, axes = _panels(panels(runs.values()), title)
    for metric, panel in axes.items():
        for number, (name, curves) in enumerate(runs.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            style = _STYLES[number % len(_STYLES)]
            marker = _MARKERS[number % len(_MARKERS)]
            looks = (
                _Look(colour, style, 1.1, "", None, alpha=0.7),
                _Look(colour, style, 2.2, marker, None),
            )
            for validation, points in curves.of(metric):
                _draw_line(panel, points, looks[validation])
            _draw_star(panel, curves.best_point(metric), colour, None)
            # For the legend alone: a panel need not have both curves of a run.
            panel.plot(
                [], [], color=colour, linestyle=style, marker=marker, label=_short(name), lw=2.2
            )
        for width, alpha, label in ((1.1, 0.7, "thin: train"), (2.2, 1.0, "heavy: validation")):
            panel.plot([], [], color=_MARK, linewidth=width, alpha=alpha, label=label)
        panel.plot([], [], "*", color=_MARK, markersize=12, label="best epoch")
    _draw_legend(figure)
    return figure


def _panels(metrics: Sequence[str], title: str) -> tuple[Any, dict[str, Any]]:
    """Return a figure and the axes in it, by metric."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingExtraError("matplotlib", "plot", "A picture") from error
    names = metrics or [""]
    rows = math.ceil(len(names) / _MOST_COLUMNS)
    columns = math.ceil(len(names) / rows)
    size = (_PANEL[0] * columns, 0.6 + _PANEL[1] * rows)
    figure = Figure(figsize=size, layout="constrained")
    found = {}
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, columns, place)
        axes.set_title(name or "no epoch has ended yet", parse_math=False)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#e6e6e6", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        found[name] = axes
    if title:
        figure.suptitle(_short(title), parse_math=False)
    return figure, found


def _draw_line(axes: Any, points: Points, look: _Look) -> None:
    epochs, values = zip(*points, strict=True)
    alone = len(epochs) == 1
    axes.plot(
        epochs,
        values,
        color=look.colour,
        alpha=look.alpha,
        linestyle=look.style,
        linewidth=look.width,
        # A thin line of one point would not be seen at all.
        marker=look.marker or ("." if alone else ""),
        markevery=math.ceil(len(epochs) / _MOST_DOTS),
        markersize=3 * max(1.0, look.width / 1.5),
        label=look.label,
        zorder=2,
    )


def _draw_within(axes: Any, curves: Curves, metric: str) -> None:
    """Draw what was measured within epochs, each epoch up to the value it ended with."""
    ends = dict(curves.series.get(metric, ()))
    epochs: dict[int, list[tuple[float, float]]] = {}
    for where, value in curves.points.get(metric, ()):
        epochs.setdefault(math.ceil(where), []).append((where, value))
    label: str | None = "within epochs"
    for end, points in epochs.items():
        whole = [*points, (end, ends[end])] if end in ends else points
        axes.plot(
            *zip(*whole, strict=True), color=_TRAIN, alpha=0.7, lw=0.6, label=label, zorder=1.5
        )
        label = None


def _draw_course(axes: Any, curves: Curves) -> None:
    """Draw what is of the run and not of a metric: shade and marks."""
    shaded = curves.overfitted()
    if shaded is not None:
        axes.axvspan(*shaded, color="#000000", alpha=0.06, lw=0, label="after the lowest val_loss")
    stops = [curves.stopped] if curves.stopped is not None else []
    for places, style, marker, what in (
        (curves.restarts, ":", ">", f"restart ({len(curves.restarts)})"),
        (curves.rollbacks, "-.", "<", f"rollback ({len(curves.rollbacks)})"),
        (stops, "-", "X", f"stopped early ({curves.stopped})"),
    ):
        for number, where in enumerate(places):
            axes.plot(
                [where, where],
                [0, 1],
                transform=axes.get_xaxis_transform(),
                color=_MARK,
                linewidth=0.9,
                linestyle=style,
                marker=marker,
                markevery=[0],
                markersize=6,
                clip_on=False,
                label=what if number == 0 else None,
                zorder=1,
            )


def _draw_star(axes: Any, point: tuple[int, float] | None, colour: str, label: str | None) -> None:
    if point is not None:
        axes.plot(
            [point[0]],
            [point[1]],
            "*",
            color=colour,
            markeredgecolor="white",
            markersize=14,
            label=label,
            zorder=3,
        )


def _draw_odd(axes: Any, points: Points) -> None:
    """Mark at the upper edge where there is no finite value to draw."""
    if not any(math.isfinite(value) for _, value in points):
        axes.set_yticks([])
    odd = sorted({where for where, value in points if not math.isfinite(value)})
    if odd:
        axes.plot(
            odd,
            [1.0] * len(odd),
            "x",
            transform=axes.get_xaxis_transform(),
            color=_MARK,
            markersize=5,
            clip_on=False,
            label="NaN or infinite",
        )


def _draw_legend(figure: Any) -> None:
    shown: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            shown.setdefault(label, handle)
    if not shown:
        return
    # In inches, about: what a letter takes, and a sample of the line with its margins.
    longest = 0.65 + 0.075 * max(map(len, shown))
    columns = max(1, min(len(shown), int(figure.get_figwidth() / longest)))
    legend = figure.legend(
        shown.values(), shown, loc="outside lower center", ncols=columns, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
