"""The picture of judging: a bar a contender for each model and figure, on a logarithmic scale."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pictures
from judging.section import BACKENDS, BARE, FIGURES, NAMES, OURS, SHORT, fastest


def draw(found: dict[str, Any], folder: Path) -> None:
    """Draw one row on the left and 10,000 on the right."""
    with pictures.drawn(folder / "judging.png", width=10, height=5.4, columns=2) as both:
        for axes, (figure, words) in zip(both, FIGURES.items(), strict=True):
            _bars(axes, found, figure)
            axes.set_title(words, loc="left", fontsize=10)


def _bars(axes: Any, found: dict[str, Any], figure: str) -> None:
    unit, size = ("µs", 1e6) if figure == "row" else ("ms", 1e3)
    names, lengths, colours = [], [], []
    for model, short in SHORT.items():
        times = found[model][figure]
        for who, words, colour in _contenders(times):
            names.append(f"{short}: {words}")
            lengths.append(statistics.median(times[who]) * size)
            colours.append(colour)
    pictures.bars(axes, names, lengths, colours, f"{unit}, logarithmic")
    axes.set_xscale("log")
    axes.set_xlim(left=1)
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    axes.margins(x=0.12)


def _contenders(times: dict[str, list[float]]) -> list[tuple[str, str, str]]:
    """Return each contender's key, words and colour; of Keras's ways the best on each backend."""
    listed = []
    for ours in OURS:
        listed.append((ours, NAMES[ours].replace("`", ""), pictures.OURS))
        if ours in BARE:
            listed.append((BARE[ours], NAMES[BARE[ours]], pictures.LIMIT))
    for backend, words in BACKENDS.items():
        listed.append((fastest(times, backend), f"{words}, best", pictures.PEER))
    return listed
