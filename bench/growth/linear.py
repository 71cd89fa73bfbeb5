"""Is it worse than linear? The rule, and the numbers it is read off.

What is fixed is in every size, so only differences count: a unit costs (cost of the larger - cost
of the smaller) / (units between). From one pair of neighbours to the next that may grow by
`ALLOWED` and no more. A pair counts where the larger costs at least `SEEN` times the smaller and
more than noise, and no round of the one costs what a round of the other did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from racing import spread

ALLOWED = 1.25
SEEN = 1.5
LEAST_SECONDS = 0.005
LEAST_BYTES = 1_000_000
"""Less more is noise: of the machine's clock and speed, and of how an allocator asks for memory."""


@dataclass(frozen=True)
class Point:
    """What was measured at a size: the median over rounds, the least and the most."""

    size: float
    cost: float
    least: float
    most: float


@dataclass(frozen=True)
class Growth:
    """How a cost grows.

    Args:
        unit: what a unit more costs, between the two largest sizes; 0 where it is not seen.
        exponent: the power of the size by which the cost beyond the smallest's grows, between the
            last two sizes at which it is seen; None where it is seen at one at most.
        worst: how many times as much a unit costs as between the sizes before, where that is most;
            0 where no growth is seen.
    """

    unit: float
    exponent: float | None
    worst: float

    @property
    def linear(self) -> bool:
        return self.worst <= ALLOWED


def point(size: float, several: Sequence[float]) -> Point:
    found = spread(several)
    return Point(size, found["median"], found["least"], found["most"])


def grown(points: Sequence[Point], least: float) -> Growth:
    """Return how the cost grows over points in the order of their sizes.

    Args:
        points: from the smallest size.
        least: so much more is seen: `LEAST_SECONDS` or `LEAST_BYTES`.
    """
    slopes = [_slope(a, b) for a, b in pairwise(points)]
    seen = [_is_seen(a, b) and b.cost - a.cost >= least for a, b in pairwise(points)]
    rises = [
        after / before
        for (before, after), both in zip(pairwise(slopes), pairwise(seen), strict=True)
        if all(both)
    ]
    # Also where it is seen once only: what is fixed makes this smaller, never larger. A step that
    # is followed by less is no growth.
    rises += [
        (b.cost / a.cost) / (b.size / a.size)
        for (a, b), visible, slope, after in zip(
            pairwise(points), seen, slopes, [*slopes[1:], math.inf], strict=True
        )
        if visible and a.cost > 0 and after >= slope
    ]
    return Growth(slopes[-1] if seen[-1] else 0.0, _exponent(points, seen), max(rises, default=0.0))


def _slope(a: Point, b: Point) -> float:
    return (b.cost - a.cost) / (b.size - a.size)


def _is_seen(a: Point, b: Point) -> bool:
    return b.cost >= SEEN * a.cost and b.least > a.most


def _exponent(points: Sequence[Point], seen: Sequence[bool]) -> float | None:
    above = [p for p, visible in zip(points[1:], seen, strict=True) if visible]
    if len(above) < 2:
        return None
    a, b = above[-2:]
    base = points[0]
    if min(a.cost, b.cost) <= base.cost or a.size == base.size:
        return None
    return math.log((b.cost - base.cost) / (a.cost - base.cost)) / math.log(
        (b.size - base.size) / (a.size - base.size)
    )
