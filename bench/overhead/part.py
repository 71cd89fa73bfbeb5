"""Overhead at a bound: the share of time checkpoints take when little work may be lost.

Owns what is run and the picture. Leaves the trainings to `trained` and `daily`, the words and
verdicts to `section`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
from overhead.section import ANCHOR, BOUNDS, GOAL, least, section, share, verdicts
from racing import Contender, race, run, tell
from tables import size

__all__ = [
    "ENVIRONMENTS",
    "NEEDS_MNIST",
    "ROUNDS",
    "TITLE",
    "draw",
    "measure",
    "section",
    "verdicts",
]

NEEDS_MNIST = False
ROUNDS = 1
ENVIRONMENTS = ("holdfast",)
TITLE = "Overhead at a bound"

HERE = Path(__file__).parent
MEGABYTES = (1, 10, 100, 1000)


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Return what checkpoints cost at each size, and in an ordinary training."""
    sizes = []
    for megabytes in MEGABYTES:
        tell("overhead", f"{megabytes} MB, {len(sizes) + 1} of {len(MEGABYTES)}")
        arguments = (str(folder), "--megabytes", str(megabytes), "--rounds", str(rounds))
        sizes.append(run(Contender(f"{megabytes} MB", HERE / "trained.py", arguments)))
    daily = []
    for turn in range(2 * rounds):
        arguments = (str(folder), "--turn", str(turn))
        daily += race("overhead", [Contender("daily", HERE / "daily.py", arguments)], 1)["daily"]
    return {"sizes": sizes, "daily": daily}


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
