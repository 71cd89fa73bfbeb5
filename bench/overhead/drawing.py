"""The picture of the overhead: the share of the time against the bound, a line a size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
from overhead.section import ANCHOR, BOUNDS, GOAL, least, share
from tables import size


def draw(found: dict[str, Any], folder: Path) -> None:
    """Draw the share against the bound, a line a size."""
    tints = ("#9ccbd3", "#5fa9b5", pictures.OURS, "#17515b")
    with pictures.drawn(folder / "overhead.png", height=4.2) as axes:
        for one, tint in zip(found["sizes"], tints, strict=True):
            shares = [100 * share(one, bound) for bound in BOUNDS]
            axes.plot(BOUNDS, shares, "o-", color=tint, label=size(one["state"]))
        floor = [100 * least(found["sizes"][-1], bound) for bound in BOUNDS]
        axes.plot(BOUNDS, floor, ":", color=tints[-1], label="copy and plain write of the largest")
        for level, words, colour in (
            (GOAL, "goal", pictures.LIMIT),
            (ANCHOR, "CheckFreq, as published", pictures.BEHIND),
        ):
            axes.axhline(100 * level, color=colour, linewidth=1)
            axes.annotate(
                f"{100 * level:g} %: {words}",
                (BOUNDS[-1], 100 * level),
                ha="right",
                va="bottom",
                fontsize=9,
                color=colour,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(BOUNDS, [f"{bound:g} s" for bound in BOUNDS])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:g} %")
        axes.set_xlabel("work at risk, at most")
        axes.set_ylabel("share of the time")
        axes.legend(frameon=False, fontsize=9)
