"""Rollback: when a step breaks the training, go back and do without the batches that did it.

Owns what counts as broken, the point to go back to, and which batches are left out. It decides;
the loop tells it each step's loss and gradient norm, and does the going back.

All it knows is a function of the steps taken, never of the clock or of how steps were executed
together: so a run that was killed breaks, and goes back, at the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.arguments import count, named, number
from holdfast.callbacks.hosted import Hosted
from holdfast.data.order import Reshuffle
from holdfast.errors import DivergedError, PlanError, did_you_mean
from holdfast.types import Position

# A median's absolute deviation times this is a standard deviation, of normal values.
_NORMAL = 1.4826
_WATCHED = ("loss", "gradient norm")


@dataclass(frozen=True)
class Trouble:
    """A step that broke the training.

    Args:
        index: of the step among those that were judged.
        reason: what was wrong, in words.
    """

    index: int
    reason: str


class Rollback(Hosted):
    """Go back when the loss, or the norm of the gradient, is NaN, infinite, or a spike.

    The training goes back to the last point, weights, optimizer, metrics, random state and all,
    takes the learning rate down, and goes on without the batches that did it. Each time is in
    the journal, with the step and the samples' indices, and in the history. With a
    `LossScaleOptimizer`, which lets no infinite gradient pass, the loss alone is watched. A run
    with rollbacks that is killed anywhere ends with the same bits as one that is not. Works in
    `Run.fit` alone.

    Args:
        factor: the learning rate is multiplied by it; 1 leaves it. A `LearningRateScheduler`
            that sets rates of its own sets them again at the next epoch.
        batches: `skip` does not train on the batch that did it, and counts its step;
            `reshuffle` takes the samples that are left in the pass, from the point on, in
            another order.
        skip: how many batches are skipped, the one that did it the last.
        most: how often it may go back. After that a spike is let pass, and what is no finite
            number ends the training with an error.
        every: a point is at every epoch's start and after each so many steps of it (with
            `steps_per_execution`, the next multiple of that). Each is a checkpoint: what going
            back costs at most, against what points cost.
        spike: a value is a spike if it is above every value of the window, and above their
            median by so many robust deviations (1.4826 times the median absolute deviation). It
            is judged by logarithms, where all are above 0, since losses and gradients vary by
            factors. None to go back for what is no finite number alone.
        window: of so many steps before.
        verbose: 1 to print a line each time.

    Attributes:
        rollbacks: how often it went back.

    Raises:
        PlanError: an argument that cannot be used, a model that has no learning rate to lower.
        DivergedError: the training broke once more than it may go back.

    Example:
        `run.fit(model, x, y, callbacks=[holdfast.Rollback(factor=0.5, most=3)])`
    """

    _number: int
    _point: Position | None
    _skipped: list[tuple[int, int]]
    _reshuffles: list[Reshuffle]
    _recent: list[NDArray[np.float64]]

    @named
    def __init__(
        self,
        factor: float = 0.5,
        batches: Literal["skip", "reshuffle"] = "skip",
        skip: int = 1,
        most: int = 3,
        every: int = 1000,
        spike: float | None = 10.0,
        window: int = 100,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.factor = number("Rollback", "factor", factor, above=0)
        if self.factor > 1:
            raise PlanError(f"Rollback(factor=…) must be above 0 and at most 1, found {factor!r}")
        if batches not in ("skip", "reshuffle"):
            hint = did_you_mean(str(batches), ("skip", "reshuffle"))
            raise PlanError(
                f"Rollback(batches=…) must be 'skip' or 'reshuffle', found {batches!r}{hint}"
            )
        self.batches = batches
        self.skip = count("Rollback", "skip", skip, 1)
        self.most = count("Rollback", "most", most, 0)
        self.every = count("Rollback", "every", every, 1)
        self.spike = None if spike is None else number("Rollback", "spike", spike, above=0)
        self.window = count("Rollback", "window", window, 8)
        self.verbose = verbose
        self._forget()

    @property
    def rollbacks(self) -> int:
        """How often the training went back."""
        return self._number

    @property
    def point(self) -> Position | None:
        """The position that the training would go back to; None before there is one."""
        return self._point

    @property
    def reshuffles(self) -> Sequence[Reshuffle]:
        """What is taken in another order since the training went back."""
        return self._reshuffles

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()
        if self.host is None:
            raise PlanError("Rollback works in holdfast's Run.fit: Model.fit cannot go back")
        schedule = keras_private.schedule(self.model.optimizer)
        if self.factor != 1 and schedule is not None:
            raise PlanError(
                f"Rollback(factor={self.factor}) cannot lower the rate of a "
                f"{type(schedule).__name__}: pass factor=1, or set the rate by a "
                "LearningRateScheduler"
            )

    def is_point(self, position: Position, *, epoch_end: bool) -> bool:
        """Return whether a position is one to go back to."""
        return epoch_end or (position.step > 0 and position.step % self._apart() == 0)

    def mark(self, position: Position) -> None:
        """Take a position as the point to go back to."""
        self._point = position

    def clear(self, position: Position) -> int:
        """Return how many steps may be taken at once from a position; 0 where one is skipped."""
        ahead = [
            step - position.step
            for epoch, step in self._skipped
            if epoch == position.epoch and step >= position.step
        ]
        return min([self._apart() - position.step % self._apart(), *ahead])

    def judge(self, seen: NDArray[np.float32]) -> Trouble | None:
        """Take steps in their order, and return the first that broke the training, if any.

        Args:
            seen: loss and gradient norm of each step, of shape (steps, 2).
        """
        found: list[Trouble] = []
        for column, name in enumerate(_WATCHED):
            values = seen[:, column].astype(np.float64)
            odd = np.flatnonzero(~np.isfinite(values))
            end = int(odd[0]) if len(odd) else len(values)
            if len(odd):
                found.append(Trouble(end, f"the {name} is {values[end]:g}"))
            before = self._recent[column]
            together = np.concatenate([before, values[:end]])
            if self.spike is not None and self._number < self.most:
                spike = self._first_spike(together, len(before))
                if spike is not None:
                    found.append(Trouble(spike[0], f"the {name} {spike[1]}"))
            self._recent[column] = together[-self.window :]
        return min(found, key=lambda trouble: trouble.index, default=None)

    def go_back(self, trouble: Trouble, rows: Sequence[tuple[int, int]], again: Reshuffle) -> None:
        """Note that the training goes back, and what it does without from now on.

        Args:
            trouble: what was wrong.
            rows: epoch and step of the batches that did it.
            again: what `reshuffle` takes in another order.

        Raises:
            DivergedError: it went back as often as it may.
        """
        if self._number >= self.most:
            raise DivergedError(
                f"{trouble.reason}, and Rollback(most={self.most}) has gone back {self._number} "
                "times. The training is broken: a smaller learning rate, or a look at the samples "
                "that the journal names (holdfast show), may mend it."
            )
        self._number += 1
        if self.batches == "skip":
            self._skipped = sorted({*self._skipped, *rows})
        else:
            self._reshuffles = [*self._reshuffles, again]

    def carry(self) -> Any:
        return self._number, self._skipped, self._reshuffles

    def set_carried(self, carried: Any) -> None:
        self._number, self._skipped, self._reshuffles = carried

    def pins(self) -> Sequence[int]:
        return () if self._point is None else (self._point.total,)

    def get_state(self) -> dict[str, Any]:
        point = self._point
        return {
            "point": point and [point.epoch, point.step, point.total],
            "number": self._number,
            "skipped": [list(pair) for pair in self._skipped],
            "reshuffles": [[item.number, item.row, item.again] for item in self._reshuffles],
            "recent": [column.copy() for column in self._recent],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self._point = state["point"] and Position(*state["point"])
        self._number = state["number"]
        self._skipped = [(epoch, step) for epoch, step in state["skipped"]]
        self._reshuffles = [Reshuffle(*item) for item in state["reshuffles"]]
        self._recent = [column[-self.window :] for column in state["recent"]]

    def _forget(self) -> None:
        self._point = None
        self._number = 0
        self._skipped = []
        self._reshuffles = []
        self._recent = [np.zeros(0) for _ in _WATCHED]

    def _apart(self) -> int:
        execution = int(self.model.steps_per_execution)
        return -(-self.every // execution) * execution

    def _first_spike(self, values: NDArray[np.float64], begin: int) -> tuple[int, str] | None:
        """Return the index, counted from `begin`, and a description of the first spike."""
        if len(values) <= self.window:
            return None
        assert self.spike is not None
        windows = np.lib.stride_tricks.sliding_window_view(values, self.window)[:-1]
        ahead = values[self.window :]
        for place in np.flatnonzero(ahead > windows.max(axis=1)):
            index = int(place) + self.window - begin
            if index < 0:
                continue
            deviations = _deviations(windows[place], ahead[place])
            if deviations > self.spike:
                return index, (
                    f"is {ahead[place]:.4g}, {deviations:.0f} robust deviations above the median "
                    f"{np.median(windows[place]):.4g} of the {self.window} steps before"
                )
        return None


def _deviations(before: NDArray[np.float64], value: float) -> float:
    """Return by how many robust deviations a value is above those before it; 0 if these are one."""
    if before.min() > 0:
        before, value = np.log(before), float(np.log(value))
    median = np.median(before)
    deviation = _NORMAL * np.median(np.abs(before - median))
    return float((value - median) / deviation) if deviation > 0 else 0.0
