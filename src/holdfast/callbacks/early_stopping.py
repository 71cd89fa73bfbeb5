"""EarlyStopping: end the training when it no longer improves, and go back to the best epoch.

Owns patience, over one monitor or several. Leaves the judging to `monitor`; the best weights
are the run's checkpoint of that epoch, which it pins.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from holdfast.arguments import count, named, number
from holdfast.callbacks.hosted import Hosted
from holdfast.callbacks.monitor import Monitor
from holdfast.errors import PlanError, StoreError, did_you_mean

Mode = Literal["auto", "min", "max"]


class _Tracker:
    """One monitor: its best value so far, and how long ago that was."""

    def __init__(self, monitor: Monitor, baseline: float | None) -> None:
        self.monitor = monitor
        self._baseline = baseline
        self.best: float | None = None
        self.best_epoch = 0
        self.wait = 0
        self.steps = 0
        self.seconds = 0.0
        self.tired = False

    def judge(self, epoch: int, value: float) -> bool:
        """Take an epoch's value; returns whether it is the best so far."""
        self.wait += 1
        if not self.monitor.better(value, self.best):
            return False
        self.best, self.best_epoch = value, epoch
        # As in Keras: a best that is short of the baseline is the best, and uses up patience.
        if self._baseline is None or self.monitor.better(value, self._baseline):
            self.wait, self.steps, self.seconds = 0, 0, 0.0
        return True


class EarlyStopping(Hosted):
    """Stop the training when a metric has stopped improving. Takes what Keras's takes.

    In a run everything it knows outlives the process, and the best weights are not in memory a
    second time once they are written: they are the checkpoint of the best epoch, which stays.

    Args:
        monitor: the metric by which epochs are judged, or several. The first of several decides
            which epoch is the best.
        min_delta: how much better a value must be to count as better.
        patience: so many epochs without improvement end the training.
        verbose: 1 to print a line when it stops and when it restores.
        mode: `min`, `max`, or `auto`: as the metric says.
        baseline: the value to beat; epochs short of it use up patience.
        restore_best_weights: whether the model has the best epoch's weights when `fit` returns.
        start_from_epoch: epochs before this one, counted from 0, are not judged.
        patience_steps: the same in steps. Where several kinds of patience are given, all must
            have run out. They are looked at when an epoch ends.
        patience_seconds: the same in seconds of training; the time between attempts does not
            count. A run with this one depends on the clock: killed and gone on with, it may
            stop in another epoch.
        join: with several monitors, whether the patience with `any` of them must have run out,
            or with `all`.

        `min_delta`, `mode` and `baseline` are one value for all monitors, or a list with one for
        each.

    Attributes:
        best: the best value of the first monitor, or None.
        best_epoch: its epoch, counted from 0.
        stopped_epoch: the epoch after which it stopped the training, 0 if it did not.
        wait: epochs that used up patience.
        why: a sentence that says why it stopped; empty if it did not.

    Raises:
        PlanError: an argument that cannot be used. `fit` raises it, before the first step,
            for a monitor that no log will have.

    Example:
        `holdfast.EarlyStopping(patience=2, restore_best_weights=True)`
    """

    _best_step: int | None
    _clock: float
    _seen: int
    _weights: list[Any]

    @named
    def __init__(
        self,
        monitor: str | Sequence[str] = "val_loss",
        min_delta: float | Sequence[float] = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: Mode | Sequence[Mode] = "auto",
        baseline: float | Sequence[float | None] | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        patience_steps: int | None = None,
        patience_seconds: float | None = None,
        join: Literal["any", "all"] = "any",
    ) -> None:
        super().__init__()
        names: list[Any] = list(monitor) if isinstance(monitor, (list, tuple)) else [monitor]
        if not names:
            raise PlanError("EarlyStopping(monitor=…) must name a metric, found none")
        if join not in ("any", "all"):
            hint = did_you_mean(str(join), ("any", "all"))
            raise PlanError(f"EarlyStopping(join=…) must be 'any' or 'all', found {join!r}{hint}")
        self.monitor = monitor
        self.patience = count("EarlyStopping", "patience", patience, 0)
        self.patience_steps = (
            None
            if patience_steps is None
            else count("EarlyStopping", "patience_steps", patience_steps, 0)
        )
        self.patience_seconds = (
            None
            if patience_seconds is None
            else number("EarlyStopping", "patience_seconds", patience_seconds, least=0)
        )
        self.verbose = verbose
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = count("EarlyStopping", "start_from_epoch", start_from_epoch, 0)
        self.join_by = join
        self._settings = list(
            zip(
                [
                    Monitor(name, way, delta, "EarlyStopping")
                    for name, way, delta in zip(
                        names,
                        _each("mode", mode, names),
                        _each("min_delta", min_delta, names),
                        strict=True,
                    )
                ],
                [
                    None if value is None else number("EarlyStopping", "baseline", value)
                    for value in _each("baseline", baseline, names)
                ],
                strict=True,
            )
        )
        self._forget()

    @property
    def judges(self) -> bool:
        return True

    @property
    def best(self) -> float | None:
        """The best value of the first monitor, or None."""
        return self._trackers[0].best

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 0, of the first monitor's best value."""
        return self._trackers[0].best_epoch

    @property
    def wait(self) -> int:
        """Epochs that used up patience with the first monitor."""
        return self._trackers[0].wait

    @property
    def mode(self) -> str:
        """Whether a smaller (`min`) or a larger (`max`) value of the first monitor is better."""
        return self._settings[0][0].mode

    def rename(self, present: Callable[[str], str]) -> None:
        """Take other names of the same metrics.

        Args:
            present: returns the name that the logs will have.
        """
        for monitor, _ in self._settings:
            monitor.name = present(monitor.name)
        names = [monitor.name for monitor, _ in self._settings]
        self.monitor = names[0] if isinstance(self.monitor, str) else names

    def check(self, names: Collection[str] | None, *, validates: bool) -> None:
        for monitor, _ in self._settings:
            monitor.check(names, validates)
            monitor.resolve(self.model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._forget()
        if self.host is None:
            for monitor, _ in self._settings:
                monitor.resolve(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now, step = time.monotonic(), self._step(epoch)
        seconds, self._clock = now - self._clock, now
        steps, self._seen = step - self._seen, step
        if epoch < self.start_from_epoch:
            return
        values = [tracker.monitor.value(logs) for tracker in self._trackers]
        for place, (tracker, value) in enumerate(zip(self._trackers, values, strict=True)):
            tracker.steps += steps
            tracker.seconds += seconds
            if value is None:  # an epoch that was not validated
                continue
            improved = tracker.judge(epoch, value)
            if place == 0 and (improved or self._best_step is None):
                self._take_best(epoch, step)
            tracker.tired = not improved and epoch > 0 and self._impatient(tracker)
        tired = [tracker.tired for tracker in self._trackers]
        if any(tired) if self.join_by == "any" else all(tired):
            self.stopped_epoch = epoch
            self.why = self._reason(epoch)
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.why:
            self._say(f"Epoch {self.stopped_epoch + 1}: early stopping: {self.why}")
        if not self.restore_best_weights or self._best_step is None:
            return
        self._say(f"The model gets the weights of the best epoch, {self.best_epoch + 1}")
        if self.host is None:
            self.model.set_weights(self._weights)
            return
        try:
            self.host.load_weights(self._best_step)
        except StoreError as error:
            warnings.warn(
                f"EarlyStopping cannot restore the weights of the best epoch, "
                f"{self.best_epoch + 1}: {error}. The model has those of the last.",
                stacklevel=2,
            )

    def pins(self) -> Sequence[int]:
        if self.restore_best_weights and self._best_step is not None:
            return (self._best_step,)
        return ()

    def get_state(self) -> dict[str, Any]:
        timed = self.patience_seconds is not None
        return {
            "monitors": [tracker.monitor.name for tracker in self._trackers],
            "trackers": [
                [
                    tracker.best,
                    tracker.best_epoch,
                    tracker.wait,
                    tracker.steps,
                    tracker.seconds if timed else 0.0,
                    tracker.tired,
                ]
                for tracker in self._trackers
            ],
            "best_step": self._best_step,
            "seen": self._seen,
            "stopped_epoch": self.stopped_epoch,
            "why": self.why,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        names = [tracker.monitor.name for tracker in self._trackers]
        if state["monitors"] != names:
            warnings.warn(
                f"EarlyStopping monitored {', '.join(state['monitors'])} and now monitors "
                f"{', '.join(names)}: it starts anew",
                stacklevel=2,
            )
            return
        for tracker, saved in zip(self._trackers, state["trackers"], strict=True):
            tracker.best, tracker.best_epoch, tracker.wait, *rest = saved
            tracker.steps, tracker.seconds, tracker.tired = rest
        self._best_step, self._seen = state["best_step"], state["seen"]
        self.stopped_epoch, self.why = state["stopped_epoch"], state["why"]

    def _forget(self) -> None:
        self._trackers = [_Tracker(monitor, baseline) for monitor, baseline in self._settings]
        self._best_step = None
        self._weights = []
        self._clock = time.monotonic()
        self._seen = 0
        self.stopped_epoch = 0
        self.why = ""

    def _step(self, epoch: int) -> int:
        if self.host is not None:
            return self.host.position.total
        return (epoch + 1) * int(self.params.get("steps") or 0)

    def _take_best(self, epoch: int, step: int) -> None:
        self._best_step = step
        # Before the first value that is a number, the first epoch judged is the best there is.
        if self.best is None:
            self._trackers[0].best_epoch = epoch
        if self.restore_best_weights and self.host is None:
            self._weights = self.model.get_weights()

    def _impatient(self, tracker: _Tracker) -> bool:
        return (
            tracker.wait >= self.patience
            and (self.patience_steps is None or tracker.steps >= self.patience_steps)
            and (self.patience_seconds is None or tracker.seconds >= self.patience_seconds)
        )

    def _reason(self, epoch: int) -> str:
        parts = []
        for tracker in self._trackers:
            if tracker.wait:
                epochs = "epoch" if tracker.wait == 1 else "epochs"
                best = "it was never a number"
                if tracker.best is not None:
                    best = f"its best was {tracker.best:.5g}, in epoch {tracker.best_epoch + 1}"
                parts.append(
                    f"{tracker.monitor.name} did not improve for {tracker.wait} {epochs}; {best}"
                )
        return "; ".join(parts)

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)


def _each(name: str, value: Any, monitors: Sequence[str]) -> list[Any]:
    """Return one value for each monitor."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(monitors)
    if len(value) != len(monitors):
        raise PlanError(
            f"EarlyStopping({name}=…) must be one value, or one for each of the "
            f"{len(monitors)} monitors, found {len(value)}"
        )
    return list(value)
