"""The picture of the part: how long each way stands still, and how long it takes, by size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
from checkpoints.contenders import OURS, WAYS, Way
from checkpoints.figures import Found, limit, median, survives, synced, title


def draw(found: Found, folder: Path) -> None:
    """Write checkpoints.png."""
    sizes = found["sizes"]
    path = folder / "checkpoints.png"
    with pictures.drawn(path, width=11, height=4, columns=len(sizes)) as axes:
        for number, size in enumerate(sizes):
            panel(axes[number], found, size)
            axes[number].set_yticks(range(len(WAYS)), [label(found, way) for way in WAYS])
            if number:
                axes[number].set_yticklabels([])


def panel(axes: Any, found: Found, size: int) -> None:
    """Draw one size: the pale bar is the whole time, the strong one the stall within it."""
    places = range(len(WAYS))
    totals = [median(found, way.name, size, "durable") for way in WAYS]
    stalls = [median(found, way.name, size, "stall") for way in WAYS]
    colours = [pictures.OURS if way.name == OURS else "#6b6b6b" for way in WAYS]
    axes.barh(places, totals, color=colours, alpha=0.35)
    axes.barh(places, stalls, color=colours, height=0.5)
    axes.axvline(limit(found, size, "plain"), color=pictures.LIMIT)
    axes.axvline(limit(found, size, "copy"), color=pictures.LIMIT, linestyle=":")
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_title(title(size), fontsize=10)
    axes.set_xlabel("seconds")


def label(found: Found, way: Way) -> str:
    """Return a contender's name with its marks: S for synced, K for surviving every kill."""
    plain = way.title.replace("*", "").replace("`", "")
    marks = ["S"] if synced(found, way.name).startswith("files") else []
    marks += ["K"] if survives(found, way.name) else []
    return f"{plain}  [{' '.join(marks) or '-'}]"
