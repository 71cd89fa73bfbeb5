"""What is seen of a training from inside: its stretches and its checkpoints.

Owns where it is looked, and what one checkpoint cost. It adds two readings of a clock to each
stretch and each checkpoint. Leaves the trainings to `trained`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

_SETTLING = 0.5
_NEIGHBOURS = 3

Span = tuple[float, float]
"""When something began and ended, on the process's clock."""


@dataclass
class Seen:
    """What a training did, and when.

    Args:
        stretches: with the steps of each.
        saves: how long training stood still for each checkpoint.
        writes: how long the writer was at work, on the commit and what follows it.
        durable: when each checkpoint was on the disk, as the commit returned.
    """

    stretches: list[tuple[float, float, int]] = field(default_factory=list)
    saves: list[Span] = field(default_factory=list)
    writes: list[Span] = field(default_factory=list)
    durable: list[float] = field(default_factory=list)

    def window(self) -> Span:
        """Return what counts: from when the training is compiled and settled to its last step."""
        begin = self.stretches[0][1] + _SETTLING
        return begin, self.stretches[-1][1]

    def step(self) -> float:
        """Return the seconds a step took, over all there is in the window, checkpoints included."""
        begin, _ = self.window()
        inside = [one for one in self.stretches if one[0] >= begin]
        return (inside[-1][1] - inside[0][0]) / sum(steps for _, _, steps in inside)


@contextmanager
def watched() -> Iterator[Seen]:
    """See what the trainings within do."""
    from holdfast.engines.fused import JaxEngine
    from holdfast.store.checkpoints import Store
    from holdfast.store.writer import Writer
    from holdfast.training.keeper import Keeper

    seen = Seen()

    def stretched(span: Span, found: Any) -> None:
        seen.stretches.append((*span, found.steps))

    with (
        _each(JaxEngine, "train", stretched),
        _each(Keeper, "save", lambda span, _: seen.saves.append(span)),
        _each(Store, "commit", lambda span, _: seen.durable.append(span[1])),
        _each(Writer, "_work", lambda span, _: seen.writes.append(span)),
    ):
        yield seen


@contextmanager
def _each(kind: type, name: str, told: Callable[[Span, Any], None]) -> Iterator[None]:
    """Tell when each call of a method began and ended, and what it returned."""
    real = getattr(kind, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        found = real(*arguments, **named)
        told((began, time.perf_counter()), found)
        return found

    setattr(kind, name, timed)
    try:
        yield
    finally:
        setattr(kind, name, real)


def costs(seen: Seen) -> dict[str, Any]:
    """Return what each checkpoint within the window cost, and what was at risk.

    `stall` is how long training stood still; `slow` is how much longer the stretches took during
    which the writer was at work than the quiet ones next to them, None where none was quiet;
    `late` is the time from the state that a checkpoint holds to its being durable; `apart` the
    time between checkpoints; `risk` the longest time between a state and the next one's being
    durable: what a kill at the worst moment costs.
    """
    begin, end = seen.window()
    all_three = list(zip(seen.saves, seen.writes, seen.durable, strict=False))
    inside = [one for one in all_three if one[0][0] >= begin and one[1][1] <= end]
    quiet = [
        one
        for one in seen.stretches
        if one[0] >= begin and not any(_overlap(one, write) for write in seen.writes)
    ]
    risks = [
        durable - before[0][0]
        for before, (save, _, durable) in pairwise(all_three)
        if before[0][0] >= seen.stretches[0][0] and save[1] <= end
    ]
    return {
        "stall": [save[1] - save[0] for save, _, _ in inside],
        "slow": [_slow(seen, write, quiet) for _, write, _ in inside],
        "late": [durable - save[0] for save, _, durable in inside],
        "apart": [b[0][0] - a[0][0] for a, b in pairwise(inside)],
        "risk": max(risks, default=None),
    }


def _slow(seen: Seen, write: Span, quiet: list[tuple[float, float, int]]) -> float | None:
    before = [one for one in quiet if one[1] <= write[0]][-_NEIGHBOURS:]
    after = [one for one in quiet if one[0] >= write[1]][:_NEIGHBOURS]
    near = before + after
    if not near:
        return None
    step = statistics.fmean((ended - began) / steps for began, ended, steps in near)
    hit = [one for one in seen.stretches if _overlap(one, write)]
    return sum(ended - began - steps * step for began, ended, steps in hit)


def _overlap(one: tuple[float, ...], other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
