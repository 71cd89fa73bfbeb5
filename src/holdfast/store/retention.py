"""Which checkpoints stay: a pure function from checkpoints to decisions, each with its reason.

Owns the policy `Keep`. Leaves the deleting to `prune`.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from holdfast.arguments import named_fields
from holdfast.errors import PlanError
from holdfast.monitors import larger_is_better
from holdfast.types import Position


@named_fields
@dataclass(frozen=True)
class Keep:
    """Which checkpoints of a run stay. The newest, and what training returned, always do.

    Args:
        last: how many of the newest; 2 by default, so that one damaged file costs little.
        best: how many of the best, among those taken at the end of an epoch.
        every_epochs: also every checkpoint taken at the end of each so many epochs.
        monitor: by which metric `best` is judged; None for what the first callback that judges
            epochs monitors, else `val_loss`, or `loss` without validation.
        mode: `min`, `max`, or `auto`: as the metric or its name says (accuracy, auc, …).

    Raises:
        PlanError: a number that is not a positive integer, or another mode.

    Example:
        `run.fit(model, x, y, keep=holdfast.Keep(last=3, best=1, monitor="val_accuracy"))`
    """

    last: int = 2
    best: int = 1
    every_epochs: int | None = None
    monitor: str | None = None
    mode: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("last", 1), ("best", 0), ("every_epochs", 1)):
            value = getattr(self, name)
            if value is None and name == "every_epochs":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise PlanError(f"Keep({name}=…) must be an integer >= {least}, found {value!r}")
        if self.monitor is not None and not isinstance(self.monitor, str):
            raise PlanError(f"Keep(monitor=…) must be the name of a metric, found {self.monitor!r}")
        if self.mode not in ("auto", "min", "max"):
            raise PlanError(f"Keep(mode=…) must be 'auto', 'min' or 'max', found {self.mode!r}")


@dataclass(frozen=True)
class Candidate:
    """What retention knows of a checkpoint."""

    name: str
    position: Position
    epoch_end: bool
    final: bool
    metrics: Mapping[str, float]
    pins: Sequence[int] = ()


@dataclass(frozen=True)
class Decision:
    """Whether a checkpoint stays, and why."""

    name: str
    keep: bool
    reason: str


def decide(
    candidates: Sequence[Candidate], keep: Keep, newest: int | None = None
) -> list[Decision]:
    """Return a decision for each checkpoint, in the order given.

    Args:
        candidates: all checkpoints of a run, in any order.
        keep: the policy.
        newest: the step of the newest checkpoint of the training that is sound, where that is
            known. Those beyond it are damaged: they stay, and no rule counts on them.
    """
    reasons: dict[str, str] = {}
    ordered = []
    for item in sorted(candidates, key=_age):
        if newest is not None and item.position.total > newest and not item.final:
            reasons[item.name] = "newer than the newest that is sound"
        else:
            ordered.append(item)
    training = [item for item in ordered if not item.final]
    if ordered and ordered[-1].final:
        reasons[ordered[-1].name] = "what the training returned"
    for rank, item in enumerate(reversed(training[-keep.last :]), start=1):
        reasons.setdefault(item.name, "the newest" if rank == 1 else f"newest but {rank - 1}")
    for rank, item in enumerate(best(training, keep.monitor, keep.mode)[: keep.best], start=1):
        reasons.setdefault(item.name, f"number {rank} by {_monitor(training, keep.monitor)}")
    if keep.every_epochs:
        for item in training:
            if (
                item.epoch_end
                and item.position.epoch
                and not (item.position.epoch % keep.every_epochs)
            ):
                reasons.setdefault(item.name, f"every {keep.every_epochs} epochs")
    _keep_pinned(training, reasons)
    return [
        Decision(item.name, item.name in reasons, reasons.get(item.name, "no rule keeps it"))
        for item in candidates
    ]


def best(
    candidates: Sequence[Candidate], monitor: str | None = None, mode: str = "auto"
) -> list[Candidate]:
    """Return the checkpoints taken at an epoch's end that have the metric, best first.

    Of equals the earlier is better, as in Keras.
    """
    name = _monitor(candidates, monitor)
    judged = [
        item
        for item in candidates
        if item.epoch_end and not math.isnan(item.metrics.get(name, math.nan))
    ]
    sign = -1.0 if larger_is_better(name, mode) else 1.0
    return sorted(judged, key=lambda item: (sign * item.metrics[name], *_age(item)))


class Leaders:
    """The best epochs so far, told one by one.

    Args:
        keep: how many, by which metric; its monitor is not None.
    """

    def __init__(self, keep: Keep) -> None:
        assert keep.monitor is not None
        self._most = keep.best
        self._monitor = keep.monitor
        self._sign = -1.0 if larger_is_better(keep.monitor, keep.mode) else 1.0
        self._ranked: list[tuple[float, int]] = []

    def add(self, epoch: int, logs: Mapping[str, object]) -> None:
        """Take epoch `epoch` with its logs. Of equals the earlier is better."""
        value = logs.get(self._monitor)
        # Not Real alone: to ask that of the many epochs of a long run takes its time.
        if isinstance(value, (float, Real)) and not math.isnan(value):
            one = (self._sign * float(value), epoch)
            full = len(self._ranked) == self._most
            if self._most and not (full and one > self._ranked[-1]):
                insort(self._ranked, one)
                del self._ranked[self._most :]

    def __contains__(self, epoch: int) -> bool:
        return any(epoch == leader for _, leader in self._ranked)


def _keep_pinned(training: Sequence[Candidate], reasons: dict[str, str]) -> None:
    """Add what the checkpoints that stay need beside them, and what these need in turn."""
    by_step = {item.position.total: item for item in training}
    left = [item for item in training if item.name in reasons]
    while left:
        item = left.pop()
        for step in item.pins:
            pinned = by_step.get(step)
            if pinned is not None and pinned.name not in reasons:
                reasons[pinned.name] = f"the checkpoint at step {item.position.total} needs it"
                left.append(pinned)


def _age(item: Candidate) -> tuple[int, bool, str]:
    return item.position.total, item.final, item.name


def _monitor(candidates: Sequence[Candidate], monitor: str | None) -> str:
    if monitor is not None:
        return monitor
    return "val_loss" if any("val_loss" in item.metrics for item in candidates) else "loss"
