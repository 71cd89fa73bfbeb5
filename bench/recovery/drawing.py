"""The picture of the recovery part: seconds and steps after a kill, a bar a contender."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pictures as style


def draw(found: Mapping[str, Any], pictures: Path) -> None:
    """Draw recovery.png."""
    kills = {
        name: [one for one in figures["kills"] if one["ended"]]
        for name, figures in found["contenders"].items()
    }
    kills = {name: ended for name, ended in kills.items() if ended}
    names = list(kills)
    colours = [style.OURS if name.startswith("Holdfast") else style.PEER for name in names]
    with style.drawn(pictures / "recovery.png", width=10, height=3.2, columns=2) as (left, right):
        step = [_median(kills[name], "to_step") for name in names]
        style.bars(left, names, step, colours, "seconds from the start to the first new step")
        again = [_median(kills[name], "again") for name in names]
        style.bars(right, names, again, colours, "steps done again")
        right.set_yticklabels([])


def _median(kills: list[Mapping[str, Any]], figure: str) -> float:
    return statistics.median([one[figure] for one in kills])
