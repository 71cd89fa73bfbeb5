"""The figures of the part, read off what was found: medians, ratios, and marks of durability."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import racing
from checkpoints.contenders import OURS

Found = Mapping[str, Any]


def title(size: int) -> str:
    """Return the size of a state in words."""
    return f"{size // 1000} GB" if size >= 1000 else f"{size} MB"


def each(found: Found, name: str, size: int, figure: str) -> list[float]:
    """Return the median of a figure in each round."""
    rounds = found["saving"][name]
    # The first reading takes the memory and the pages as well; the least is what reading takes.
    middle = min if figure == "restore" else statistics.median
    return [middle(one[str(size)][figure]) for one in rounds]


def median(found: Found, name: str, size: int, figure: str) -> float:
    """Return the median of the rounds' medians."""
    return statistics.median(each(found, name, size, figure))


def kept_bytes(found: Found, name: str, size: int) -> int:
    """Return the bytes that lie on the disk for one checkpoint."""
    return int(found["saving"][name][-1][str(size)]["bytes"])


def over_limit(found: Found, size: int, figure: str, limit: str) -> float:
    """Return a figure of Holdfast's over a limit: each checkpoint has its own beside it."""
    ratios = [
        ours / least
        for one in found["saving"][OURS]
        for ours, least in zip(one[str(size)][figure], one[str(size)][limit], strict=True)
    ]
    return statistics.median(ratios)


def limit(found: Found, size: int, name: str) -> float:
    """Return a limit: the median over all contenders' processes."""
    every = [value for way in found["saving"] for value in each(found, way, size, name)]
    return statistics.median(every)


def times(found: Found, name: str, size: int, figure: str) -> float:
    """Return how many times as fast as a peer Holdfast is in a figure."""
    return racing.ratio(each(found, name, size, figure), each(found, OURS, size, figure))


def synced(found: Found, name: str) -> str:
    """Return in words what a checkpoint syncs."""
    trace = found["traces"][name]
    if trace is None:
        return "not known"
    if not trace["files"]:
        return "nothing"
    return "files and folders" if trace["folders"] else "files"


def renamed(found: Found, name: str) -> str:
    """Return in words whether a checkpoint gets its name when it is written."""
    trace = found["traces"][name]
    if trace is None:
        return "not known"
    return "yes" if trace["renamed"] else "no"


def survives(found: Found, kind: str) -> bool:
    """Return whether there was a whole checkpoint after every kill."""
    kills = found["kills"][kind]
    return kills["whole"] == kills["within"]
