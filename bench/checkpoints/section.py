"""What the page says of the part, and what is concluded. All numbers come from what was found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from checkpoints.contenders import OURS, VICTIMS, WAYS, Way
from checkpoints.figures import (
    Found,
    kept_bytes,
    limit,
    median,
    over_limit,
    renamed,
    survives,
    synced,
    times,
    title,
)
from tables import number, seconds, size, table
from verdicts import Against, Goal, Verdicts

TITLE = "Checkpoints"

FIXED = (
    "what a checkpoint takes whatever its size: capturing the random state and what is no array, "
    "opening files, starting a thread"
)
ALLOWED = 100e6
PICTURE = """\
![Seconds that training stands still, and until durable, by size](benchmarks/checkpoints.png)

Strong: training stands still; dotted line: a copy of the state. Pale: until the checkpoint is
durable; line: a plain write and sync. S: it syncs by itself. K: whole after every kill."""


def section(found: dict[str, Any]) -> str:
    """Return the part's Markdown below its title."""
    return "\n\n".join(
        [
            how(found),
            stalls(found),
            totals(found),
            PICTURE,
            durability(found),
            tuning(found["tuning"]),
            memory(found),
        ]
    )


def how(found: Found) -> str:
    """Return how the part is measured."""
    setups = "\n".join(f"* {way.title}: {way.note}." for way in WAYS if way.note)
    return f"""\
A state of 1 MB in 6 arrays, 100 MB in 50 and 1 GB in 200: the weights of dense layers that are
trained with plain SGD. Each contender saves within a real training of its own library, a
checkpoint after each step, and every array changes in each. The *stall* is the time within the
hook that saves; the *total* ends when the contender says that it is done, with no training beside
it; *durable* adds a sync of the files that it left. Beside every checkpoint its process measures
the limits: a copy of the state for the stall, one plain write and sync of the same bytes for the
total. Medians of {found["checkpoints"]} checkpoints a process, after those that warm up. Set up
as its documentation has it:

{setups}"""


def stalls(found: Found) -> str:
    """Return the table of how long training stands still."""
    return _by_size(found, "training stands still", "stall", "copy", "*limit: a copy of the state*")


def totals(found: Found) -> str:
    """Return the tables of the whole time, of reading it back, and of the bytes."""
    done = _by_size(found, "total", "total", "plain", "*limit: a plain write and sync*")
    durable = _by_size(
        found, "until durable", "durable", "plain", "*limit: a plain write and sync*"
    )
    restored = _by_size(found, "back in memory", "restore")
    bytes_ = table(
        ["on the disk at the end", *_titles(found)],
        [
            [way.title, *(size(kept_bytes(found, way.name, one)) for one in found["sizes"])]
            for way in WAYS
        ],
    )
    note = (
        "A restore reads from the page cache, the least of several. Holdfast checks every sum and "
        "gives arrays; Keras loads into a model, of `.keras` into a new one; the others give "
        "tensors."
    )
    return "\n\n".join([done, durable, restored, note, bytes_])


def _by_size(found: Found, what: str, figure: str, least: str = "", limit_title: str = "") -> str:
    rows = []
    if least:
        rows.append([limit_title, *(seconds(limit(found, one, least)) for one in found["sizes"])])
    for way in WAYS:
        cells = []
        for one in found["sizes"]:
            cell = seconds(median(found, way.name, one, figure))
            faster = "" if way.name == OURS else f" ({number(times(found, way.name, one, figure))})"
            cells.append(f"**{cell}**" if way.name == OURS else cell + faster)
        rows.append([way.title, *cells])
    return table([f"{what} (over Holdfast's)", *_titles(found)], rows)


def _titles(found: Found) -> list[str]:
    return [title(one) for one in found["sizes"]]


def durability(found: Found) -> str:
    """Return the table of what is synced, and what is left after a kill."""
    rows = []
    for kind, (name, _) in VICTIMS.items():
        kills = found["kills"][kind]
        traced = kind in found["traces"]
        rows.append(
            [
                name,
                synced(found, kind) if traced else "",
                renamed(found, kind) if traced else "",
                f"{kills['whole']} of {kills['within']}",
                str(kills["torn"]),
                str(kills["lost"]),
            ]
        )
    header = ["", "synced", "named when whole", "whole after a kill", "not whole", "nothing left"]
    return f"""\
What is synced, and whether a file gets its name only when it is written, is what the kernel was
asked for within a checkpoint (`strace`). Where no *folders* are synced a power cut may leave the
data without its name. For the kills a process saves 40 MB over its last checkpoint again and again,
and gets SIGKILL at a random moment within saving; then what is left is opened. It is *whole* if it
is the checkpoint that was being written, or the one before. Where several are left the newest that
can be opened counts; with PyTorch and Lightning that one is for the user to find. A kill tests no
sync: what a process has written outlives it in the system's memory.

{table(header, rows)}"""


def tuning(found: Mapping[str, Any]) -> str:
    """Return what the second checkpoint of fine-tuning writes."""
    share = f"{found['second'] / found['first']:.2%}"
    first, second = size(found["first"]), size(found["second"])
    took = seconds(statistics.median(found["commit"]))
    sums = seconds(statistics.median(found["sums"]))
    return f"""\
**Fine-tuning**, 1 GB of which 1 % is trained: the first checkpoint writes {first}, each later one
{second} ({share}), in {took}. The sums of all bytes, by which Holdfast knows what has changed, take
{sums} alone."""


def memory(found: Found) -> str:
    """Return the peaks of memory."""
    keras, bare, ours = (size(_peak(found, kind)) for kind in ("keras", "bare", "holdfast"))
    return f"""\
**Memory** at its peak, with a state of {size(_state(found))}: `Model.fit` {keras}; `Run.fit` with
no checkpoint between the first and the last {bare}; `Run.fit` as it is by default {ours}, which is
{_more(found)} than `Model.fit`."""


def _more(found: Found) -> str:
    more = _peak(found, "holdfast") - _peak(found, "keras")
    return f"{size(abs(more))} {'more' if more > 0 else 'less'}"


def _peak(found: Found, kind: str) -> float:
    return statistics.median(one["peak"] for one in found["memory"][kind])


def _state(found: Found) -> float:
    return float(found["memory"]["holdfast"][0]["state"])


def verdicts(found: dict[str, Any]) -> Verdicts:
    """Return what is concluded against each peer, and the goals."""
    against = []
    for figure in ("stall", "total", "restore"):
        for way in WAYS[1:]:
            against += _against(found, way, figure)
    return Verdicts(tuple(against), tuple(_goals(found)))


def _against(found: Found, way: Way, figure: str) -> list[Against]:
    """Return one verdict where Holdfast is ahead in all sizes: its least; else one a size."""
    every = [
        Against(
            f"checkpoint, {figure}, {title(one)}",
            _plain(way),
            times(found, way.name, one, figure),
            _reason(way, figure),
        )
        for one in found["sizes"]
    ]
    if all(one.place == "ahead" for one in every):
        least = min(one.times for one in every)
        return [Against(f"checkpoint, {figure}, every size (the least)", _plain(way), least)]
    return every


def _plain(way: Way) -> str:
    return way.title.replace("*", "")


def _reason(way: Way, figure: str) -> str:
    if figure == "restore":
        return "it checks no sums of what it reads"
    if figure == "stall":
        return way.stall or f"for so little it is {FIXED}"
    return way.total


def _goals(found: Found) -> list[Goal]:
    goals = []
    for one in [one for one in found["sizes"] if one >= 100]:
        ratio = over_limit(found, one, "commit", "plain")
        goals.append(
            Goal(
                f"a commit of {title(one)} over a plain write and sync",
                "at most 1.15",
                f"{ratio:.2f}",
                ratio <= 1.15,
                "this disk takes the bytes about as fast as a processor sums and copies them",
            )
        )
    for one in found["sizes"]:
        ratio = over_limit(found, one, "stall", "copy")
        reason = FIXED if one == 1 else "the copy, and the random state and all that is no array"
        goals.append(
            Goal(
                f"the stall for {title(one)} over a copy of it",
                "at most 1.2",
                f"{ratio:.2f}",
                ratio <= 1.2,
                reason,
            )
        )
    for kind in ("holdfast", "holdfast-file"):
        kills = found["kills"][kind]
        goals.append(
            Goal(
                f"{VICTIMS[kind][0].replace('*', '')}: whole after a kill",
                "always",
                f"{kills['whole']} of {kills['within']}",
                survives(found, kind),
                "a defect",
            )
        )
    more = _peak(found, "holdfast") - _peak(found, "keras")
    allowed = _state(found) + ALLOWED
    goals.append(
        Goal(
            "memory of `Run.fit` beyond that of `Model.fit`",
            f"at most one copy of the state and 100 MB, {size(allowed)}",
            _more(found),
            more <= allowed,
            "a defect",
        )
    )
    return goals
