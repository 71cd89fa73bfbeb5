"""What the page says of the overhead: the shares, what they are made of, and what limits them."""

from __future__ import annotations

import math
import statistics
from typing import Any

from racing import ratio, spread, values
from tables import number, seconds, size, table
from verdicts import Goal, Verdicts

TITLE = "Overhead at a bound"

BOUNDS = (1.0, 10.0, 60.0)
GOAL = 0.01
# The next checkpoint takes as long as the last one did, but for a little.
HELD = 1.05
ANCHOR = 0.035

INTRODUCTION = """\
A kill costs what was done since the state that is on the disk. To bound that, checkpoints are
taken so often that the time from a state to the *next* one's being durable stays below the bound;
what that time came to at most is the column *at risk*. The models are stacks of `Dense` layers
trained with SGD on random data by `Run.fit` on JAX, a process for each size; every step changes
every weight, so that every checkpoint writes all of them. Nothing else is kept beside them
(`Keep(last=1, best=0)`).

What a checkpoint costs is measured within these trainings: the time training stands still while
the state is copied (*stall*), and how much longer the steps take while the writer shares the
processors than in the quiet stretches next to them (*slow-down*; below zero it is noise and
counts as none). The share is that cost over the time between two checkpoints. At 1 s and 10 s
trainings ran with that bound; at 60 s the cost of all their checkpoints is divided by a minute.
Beside that, whole trainings with a bound of 1 s are compared, by turns, with trainings without
checkpoints."""

LIMIT = """\
*Least* is what a copy of the state takes, into memory that is there, and the processor time of
one `write` and `fsync` of the same bytes, over the processors there are, measured in the same
process: no checkpoint can do without them. For comparison: CheckFreq (FAST '21) keeps its
overhead within 3.5 %, on GPUs and at intervals that it chooses itself."""


def section(found: dict[str, Any]) -> str:
    """Return the words below the title."""
    return "\n\n".join(
        [
            INTRODUCTION,
            _shares(found["sizes"]),
            LIMIT,
            _costs(found["sizes"]),
            _what_limits(found["sizes"]),
            "![share of the time against the work at risk](benchmarks/overhead.png)",
            _daily(found["daily"]),
        ]
    )


def verdicts(found: dict[str, Any]) -> Verdicts:
    """Return the goal at each bound: 1 % wherever the machine can do with less."""
    return Verdicts(goals=tuple(_goal(found["sizes"], bound) for bound in BOUNDS))


def share(one: dict[str, Any], bound: float) -> float:
    """Return the share of time that checkpoints take where at most `bound` seconds are at risk."""
    trainings = _of(one, bound)
    apart = [gap for training in trainings for gap in training["apart"]]
    stall, slow = cost(one, bound)
    period = statistics.fmean(apart) if apart else bound
    return (stall + slow) / period


def cost(one: dict[str, Any], bound: float) -> tuple[float, float]:
    """Return the stall and the slow-down of a checkpoint, in seconds.

    From the trainings at this bound; for bounds at which nothing ran from all of them.
    """
    trainings = [training for training in _of(one, bound) if training["stall"]]
    trainings = trainings or [training for training in one["trainings"] if training["bound"]]
    stalls = [stall for training in trainings for stall in training["stall"]]
    slows = [slow for training in trainings for slow in training["slow"] if slow is not None]
    # A hiccup of the machine while one is written would decide a mean.
    slow = statistics.median(slows) if slows else _beside(one, bound) - statistics.fmean(stalls)
    return statistics.fmean(stalls), max(0.0, slow)


def least(one: dict[str, Any], bound: float) -> float:
    """Return the least share that a copy and a plain write of the state leave."""
    work = statistics.median(one["again"])
    work += statistics.median(one["processor"]) / one["cores"]
    return work / bound


def whole(one: dict[str, Any], bound: float) -> list[float]:
    """Return, by rounds, how many times as long a step took as without checkpoints."""
    bare = {training["round"]: training["step"] for training in _of(one, None)}
    return [training["step"] / bare[training["round"]] for training in _of(one, bound)]


def _beside(one: dict[str, Any], bound: float) -> float:
    """Return what a checkpoint cost by whole trainings: where no stretch was quiet."""
    times = statistics.median(whole(one, bound))
    apart = [gap for training in _of(one, bound) for gap in training["apart"]]
    return (1 - 1 / times) * statistics.fmean(apart or [bound])


def _of(one: dict[str, Any], bound: float | None) -> list[dict[str, Any]]:
    return [training for training in one["trainings"] if training["bound"] == bound]


def _risk(one: dict[str, Any], bound: float) -> float:
    risks = [training["risk"] for training in _of(one, bound) if training["risk"] is not None]
    return max(risks, default=math.nan)


def _percent(value: float) -> str:
    return f"{number(100 * value)} %"


def _shares(sizes: list[dict[str, Any]]) -> str:
    header = ["state"]
    for bound in BOUNDS:
        header += [f"{bound:g} s", "least"] + (["at risk"] if bound < BOUNDS[-1] else [])
    rows = []
    for one in sizes:
        row = [size(one["state"])]
        for bound in BOUNDS:
            cell = _percent(share(one, bound))
            row += [f"**{cell}**", _percent(least(one, bound))]
            if bound < BOUNDS[-1]:
                row.append(seconds(_risk(one, bound)))
        rows.append(row)
    return "Share of the time that checkpoints take:\n\n" + table(header, rows)


def _costs(sizes: list[dict[str, Any]]) -> str:
    header = ["state", "a copy", "again", "stall", "slow-down", "write and sync", "durable after"]
    header += ["written a second", "the disk gives", "whole trainings"]
    rows = []
    for one in sizes:
        stall, slow = cost(one, BOUNDS[0])
        lates = [late for training in _of(one, BOUNDS[0]) for late in training["late"]]
        times = spread(whole(one, BOUNDS[0]))
        plain = statistics.median(one["plain"])
        apart = [gap for training in _of(one, BOUNDS[0]) for gap in training["apart"]]
        written = _of(one, BOUNDS[0])[0]["written"] / statistics.fmean(apart or BOUNDS[:1])
        rows.append(
            [
                f"{size(one['state'])} in {one['arrays']} arrays",
                seconds(statistics.median(one["copy"])),
                seconds(statistics.median(one["again"])),
                seconds(stall),
                seconds(slow),
                seconds(plain),
                seconds(statistics.median(lates)),
                size(written),
                f"{size(one['state'] / plain)}/s",
                f"{times['median']:.3f} ({times['least']:.3f} to {times['most']:.3f})",
            ]
        )
    words = (
        "One checkpoint at a bound of 1 s (the mean stall, the median slow-down) and its limits; "
        "*a copy* is into new memory, *again* into the same. Whole trainings are seconds a step\n"
        "over those of the trainings without checkpoints:"
    )
    return f"{words}\n\n{table(header, rows)}"


def _what_limits(sizes: list[dict[str, Any]]) -> str:
    lines = []
    for one in sizes:
        for bound in BOUNDS:
            if share(one, bound) > GOAL:
                lines.append(f"* {size(one['state'])} at {bound:g} s: {_reason(one, bound)}.")
    if not lines:
        return "Every size stays within 1 % at every bound."
    return "Above 1 %:\n\n" + "\n".join(lines)


def _reason(one: dict[str, Any], bound: float) -> str:
    plain = statistics.median(one["plain"])
    risk = _risk(one, bound)
    rate = f"{size(one['state'] / bound)} each second; this disk takes {size(one['state'] / plain)}"
    if plain > bound:
        return f"the disk does not allow it: {rate}"
    lost = f"; the bound is not held, {seconds(risk)} are at risk" if risk > HELD * bound else ""
    if least(one, bound) > GOAL:
        return (
            f"it is {rate}, and the copy and the plain write alone take "
            f"{_percent(least(one, bound))} of the processors' time{lost}"
        )
    stall, slow = cost(one, bound)
    return (
        f"the stall is {seconds(stall)}, the writer at work beside training costs {seconds(slow)}; "
        f"a copy and a plain write would take {_percent(least(one, bound))}{lost}"
    )


def _goal(sizes: list[dict[str, Any]], bound: float) -> Goal:
    shares = ", ".join(f"{_percent(share(one, bound))}" for one in sizes)
    missed = [one for one in sizes if share(one, bound) > GOAL and least(one, bound) <= GOAL]
    beyond = [one for one in sizes if share(one, bound) > GOAL and one not in missed]
    what = f"share of checkpoints, at most {bound:g} s at risk, " + ", ".join(
        size(one["state"]) for one in sizes
    )
    goal = "at most 1 %"
    if beyond:
        goal += f"; {', '.join(size(one['state']) for one in beyond)}: not possible here"
    reasons = "; ".join(f"{size(one['state'])}: {_reason(one, bound)}" for one in missed)
    return Goal(what, goal, shares, not missed, reasons)


def _daily(daily: list[dict[str, Any]]) -> str:
    def times(these: str, those: str, figure: str) -> str:
        ours = values([run[these] for run in daily], figure)
        bare = values([run[those] for run in daily], figure)
        ratios = spread([a / b for a, b in zip(ours, bare, strict=True)])
        return f"{ratio(ours, bare):.3f} ({ratios['least']:.3f} to {ratios['most']:.3f})"

    committed = statistics.median(run["default"]["checkpoints"] for run in daily)
    return (
        "In an ordinary training (MLP 784-64-10, SGD, batch 32, data of MNIST's shape) the mean "
        f"epoch with the default cadence, {committed:.0f} checkpoints and the best epoch's state "
        f"kept, took {times('default', 'bare', 'mean')} times as long as with checkpoints at "
        "beginning and end alone. With validation, the median epoch with `EarlyStopping` and "
        "`ModelCheckpoint` (weights only, best only, nothing improves) took "
        f"{times('callbacks', 'validated', 'median')} times as long as without them."
    )
