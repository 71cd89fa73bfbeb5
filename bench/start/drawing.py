"""The picture of the start: where the time of a program of five epochs goes, a bar a contender."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pictures
from start.section import NAMES, PHASES


def draw(found: dict[str, Any], folder: Path) -> None:
    """Draw a bar a contender, cut into its phases."""
    bars = {
        name: {phase: statistics.median(run.get(phase, 0.0) for run in runs) for phase in PHASES}
        for name, runs in found["programs"].items()
    }
    tints = (
        "#d9d9d9", "#9c9c9c", "#8fb8de", "#c6dbb5", "#e8d3a2", "#d99c6c", "#b56576", "#6d597a",
        pictures.OURS, pictures.LIMIT, "#595959",
    )  # fmt: skip
    with pictures.drawn(folder / "start.png", width=9, height=3.6) as axes:
        left = [0.0] * len(bars)
        for phase, tint in zip(PHASES, tints, strict=True):
            lengths = [bar[phase] for bar in bars.values()]
            axes.barh(range(len(bars)), lengths, left=left, color=tint, label=phase)
            left = [a + b for a, b in zip(left, lengths, strict=True)]
        axes.set_yticks(range(len(bars)), [NAMES[name] for name in bars])
        axes.invert_yaxis()
        axes.set_xlabel("seconds of the whole process")
        for place, length in enumerate(left):
            axes.annotate(f" {length:.2f}", (length, place), va="center", fontsize=9)
        axes.legend(
            frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.4, -0.2)
        )
