"""The pictures of this part: for each subject time and memory over the size, both logarithmic.

The dashed line has slope 1: what grows in proportion runs beside it, what is worse crosses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pictures as style
from growth.curves import Curve, curves
from growth.series import SUBJECTS

_PEERS = ("-", ":", "-.")
_MARKERS = "osD"
_SHADES = (style.OURS, "#edae49", "#d1495b", "#6a4c93", "#66a182", "#2e4057")


def draw(found: Mapping[str, Any], pictures: Path) -> None:
    for subject, (words, in_bytes) in SUBJECTS.items():
        mine = curves(found, subject)
        if mine:
            _draw(
                mine, pictures / f"growth-{subject}.png", f"bytes of {words}" if in_bytes else words
            )


def _draw(mine: Sequence[Curve], path: Path, words: str) -> None:
    with style.drawn(path, width=9, height=3.8, columns=2) as (left, right):
        _panel(left, [curve for curve in mine if not curve.memory], words, "seconds", 1.0)
        _panel(right, [curve for curve in mine if curve.memory], words, "memory, MB", 1e-6)


def _panel(axes: Any, mine: Sequence[Curve], words: str, unit: str, scale: float) -> None:
    peers = iter(_PEERS)
    for number, curve in enumerate(mine):
        line = next(peers) if curve.series.peer else "-"
        colour = style.PEER if curve.series.peer else _SHADES[number % len(_SHADES)]
        sizes = [point.size for point in curve.points]
        costs = [max(point.cost * scale, 1e-7) for point in curve.points]
        axes.plot(
            sizes,
            costs,
            line,
            marker=_MARKERS[number // len(_SHADES)],
            color=colour,
            markersize=4,
            label=curve.words.replace("`", ""),
        )
    points = [point for curve in mine for point in curve.points if point.cost > 0]
    if points:
        _slope_one(axes, points, scale)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(words)
    axes.set_ylabel(unit)
    # Below: over the lines there is no room for so many names.
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _slope_one(axes: Any, points: Sequence[Any], scale: float) -> None:
    """Draw the line of proportion through the dearest point."""
    top = max(points, key=lambda point: point.cost)
    least = min(point.cost for point in points)
    size = max(top.size * least / top.cost, min(point.size for point in points))
    ends = [size, top.size]
    axes.plot(
        ends,
        [scale * top.cost * end / top.size for end in ends],
        "--",
        color="#888888",
        linewidth=1,
        label="in proportion",
    )
