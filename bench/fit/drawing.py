"""The pictures of training: bars for each program, the limit marked by a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fit import figures
from fit.figures import HOLDFAST, PEERS, PROGRAMS, Runs, best, median
from pictures import BEHIND, LIMIT, OURS, PEER, bars, drawn


def draw(found: dict[str, Any], pictures: Path) -> None:
    """Draw fit.png, seconds an epoch, and fit-program.png, seconds of the whole program."""
    for figure, name in (("epoch", "fit.png"), ("process", "fit-program.png")):
        with drawn(pictures / name, width=13, height=3, columns=len(PROGRAMS)) as row:
            for axes, (program, title) in zip(row, PROGRAMS.items(), strict=True):
                axes.set_title(title)
                _panel(axes, found["runs"][program], figure)


def _panel(axes: Any, runs: Runs, figure: str) -> None:
    names, lengths, colours = [], [], []
    ours = best(HOLDFAST, runs, figure)
    for family in (HOLDFAST, *PEERS):
        name = best(family, runs, figure)
        if name is None:
            continue
        length = median(runs, name, figure)
        quicker = ours is not None and length < median(runs, ours, figure)
        names.append(family.label)
        lengths.append(length)
        colours.append(OURS if family.ours else BEHIND if quicker else PEER)
    unit = "seconds an epoch" if figure == "epoch" else "seconds, start to end"
    bars(axes, names, lengths, colours, unit)
    limit = best(figures.LIMIT, runs, figure)
    if limit is not None:
        axes.axvline(median(runs, limit, figure), color=LIMIT, linestyle="--")
