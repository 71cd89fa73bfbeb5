"""When to checkpoint: the policy and the budget.

Owns the choice of moments. Leaves the writing to `store/writer`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, fields

from holdfast.arguments import named_fields
from holdfast.errors import PlanError
from holdfast.types import Position

_SECONDS = 60.0
_OVERHEAD = 0.01
_SHORTEST = 1.0
_FIRST_GUESS = 0.02
# How long a stretch takes, at whose end a checkpoint may be taken.
_STRETCH = 0.1


@named_fields
@dataclass(frozen=True)
class Every:
    """When to take a checkpoint. Several rules: whichever is due first.

    With no rule given: as often as 1 % of the time allows, but at most once a second, and at
    least once a minute, whatever that costs. That minute is the most that a kill can cost.
    A checkpoint is always taken at the end, on a signal and on an exception.

    Args:
        steps: after each so many steps.
        epochs: at the end of each so many epochs.
        seconds: so that a kill costs at most so many seconds of work: a checkpoint is taken earlier
            by as long as it takes to write, as far as that is less than half of these seconds.
        overhead: as often as this share of the time allows, such as 0.01.

    Raises:
        PlanError: a number that is not above 0.

    Example:
        `run.fit(model, x, y, every=holdfast.Every(steps=500))`
    """

    steps: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    overhead: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            whole = item.name in ("steps", "epochs")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "an integer" if whole else "a number"
                raise PlanError(f"Every({item.name}=…) must be {kind}, found {value!r}")
            if value <= 0:
                raise PlanError(f"Every({item.name}=…) must be above 0, found {value!r}")

    def resolved(self) -> Every:
        """Return the rules that apply: these, or the default ones where none is given."""
        if self == Every():
            return Every(seconds=_SECONDS, overhead=_OVERHEAD)
        return self


class Cadence:
    """Says when a checkpoint is due, from the rules and from what the earlier ones cost.

    The cost of a checkpoint is the time training stood still for it, and the processor time
    of the writer's thread as a share of the machine's processors.
    """

    def __init__(self, every: Every) -> None:
        self._every = every.resolved()
        self._last = Position()
        self._began = self._taken = time.monotonic()
        self._spent = self._stalled = 0.0
        self._stall = self._late = 0.0
        self._count = 0
        self._processors = os.cpu_count() or 1
        self._failures = 0
        self._not_before = 0.0

    def taken(self, position: Position, stall: float) -> None:
        """Note that a snapshot was taken, and how many seconds training stood still for it."""
        self._last = position
        self._taken = time.monotonic()
        self._spent += stall
        self._stall = stall
        self._count += 1

    def spent(self, stall: float) -> None:
        """Note that training stood still for so many seconds for a snapshot not yet written."""
        self._stalled += stall

    def written(self, processor: float, seconds: float, *, failed: bool) -> None:
        """Note the processor time and the seconds that writing one took, and whether it failed.

        After a failure the next is due later: in 1 s, 2 s, 4 s, … a minute.
        """
        self._spent += processor / self._processors
        # What was done since the state before this one is at risk until this one is written.
        self._late = 2 * self._stall + seconds + _STRETCH
        self._failures = self._failures + 1 if failed else 0
        wait = min(_SECONDS, 2.0 ** (self._failures - 1)) if failed else 0.0
        self._not_before = time.monotonic() + wait

    def due(self) -> bool:
        """Return whether a checkpoint is due by time: it may as well be taken a little later."""
        now = time.monotonic()
        if now < self._not_before:
            return False
        rules = self._every
        if rules.seconds:
            early = min(self._late, rules.seconds / 2)
            if now - self._taken >= rules.seconds - early:
                return True
        return bool(rules.overhead) and self._affordable(now)

    def counted(self, position: Position, *, epoch_end: bool) -> bool:
        """Return whether a checkpoint is due by count of steps or epochs: here and nowhere else."""
        if time.monotonic() < self._not_before:
            return False
        rules, last = self._every, self._last
        by_steps = rules.steps and position.total // rules.steps > last.total // rules.steps
        by_epochs = rules.epochs and epoch_end and not position.epoch % rules.epochs
        return bool(by_steps or by_epochs)

    def steps_until_due(self, position: Position) -> int | None:
        """Return after how many steps one is due by count of steps, or None without that rule."""
        if self._every.steps is None:
            return None
        return self._every.steps - position.total % self._every.steps

    def _affordable(self, now: float) -> bool:
        assert self._every.overhead is not None
        if now - self._taken < _SHORTEST:
            return False
        each = self._spent / self._count if self._count else _FIRST_GUESS
        spent = self._spent + self._stalled
        return spent + each <= self._every.overhead * (now - self._began)
