"""A helper for tests: stop a run at every step, go on, and compare.

Owns the oracle, which is the run that was not interrupted. For tests of Holdfast itself and
of your own callbacks and models.
"""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError, Interrupted
from holdfast.run import Run
from holdfast.store.retention import Keep
from holdfast.training.cadence import Every
from holdfast.training.signals import Interruption
from holdfast.types import Position

Make = Callable[[int], dict[str, Any]]


class NotExactError(HoldfastError, AssertionError):
    """A run that was stopped and went on ended with other bits than the whole one."""


@dataclass(frozen=True)
class Restarts:
    """What was compared.

    Args:
        digest: of the run that was not interrupted, and of all others.
        history: of it.
        moments: at how many moments a run was stopped: after each step, about ten times a
            second within validations, and at each epoch's end.
    """

    digest: str
    history: dict[str, list[Any]]
    moments: int


def restart_at_every_step(make: Make, directory: Path) -> Restarts:
    """Stop and resume a small run at every step, and compare with the uninterrupted one.

    At each moment one run is stopped and then trains to its end in another attempt; one more
    run is stopped at all moments, one after the other.

    Args:
        make: called with a seed before each attempt; returns the arguments of `Run.fit`,
            `model` among them, all made anew. It should draw the initial weights from the
            seed: attempts that go on are given another, and must not be changed by it.
        directory: where the runs go; they stay.

    Raises:
        NotExactError: a digest or a history differs; the moment is named.

    Example:
        ```python
        def make(seed):
            keras.utils.set_random_seed(seed)
            return dict(model=build(), x=x, y=y, epochs=3, verbose=0)

        restart_at_every_step(make, tmp_path)
        ```
    """
    whole = Run(directory / "whole")
    history = _fit(whole, make(0), _Moments(None))
    expected = (whole.digest(), history.history, history.epoch)

    moment = 1
    while True:
        run = Run(directory / f"stopped-at-{moment}")
        if not _stopped(run, make(0), moment):
            break
        _compare(expected, run, _fit(run, make(moment), _Moments(None)), f"moment {moment}")
        moment += 1

    relay = Run(directory / "stopped-at-each")
    history, attempts = _relay(relay, make)
    _compare(expected, relay, history, f"{attempts} moments one after the other")
    return Restarts(expected[0], history.history, moment - 1)


def _relay(run: Run, make: Make) -> tuple[Any, int]:
    """Stop a run at each moment; returns its history and the number of attempts."""
    attempt, patience, position = 0, 1, Position()
    while True:
        attempt += 1
        try:
            return _fit(run, make(attempt - 1), _Moments(patience)), attempt
        except Interrupted:
            # A validation that is stopped begins anew: the next attempt gets further in it.
            patience = patience + 1 if run.position == position else 1
            position = run.position


def _fit(run: Run, arguments: dict[str, Any], moments: _Moments) -> Any:
    options = {"every": Every(steps=1), "keep": Keep(), "fresh": False, **arguments}
    return run._fit(options.pop("model"), moments, **_complete(options))


def _stopped(run: Run, arguments: dict[str, Any], moment: int) -> bool:
    """Whether a run was stopped at a moment: it is not where it ends before it."""
    try:
        _fit(run, arguments, _Moments(moment))
    except Interrupted:
        return True
    return False


def _compare(expected: tuple[Any, ...], run: Run, history: Any, where: str) -> None:
    found = (run.digest(), history.history, history.epoch)
    for what, was, now in zip(("digest", "history", "epochs"), expected, found, strict=True):
        if repr(was) != repr(now):  # NaN is not equal to itself
            raise NotExactError(f"stopped at {where}, {what} should be {was}, found {now}")


def _complete(options: dict[str, Any]) -> dict[str, Any]:
    """Return fit's arguments with its defaults for those not given."""
    parameters = inspect.signature(Run.fit).parameters.values()
    defaults = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not inspect.Parameter.empty
    }
    return {**defaults, **options}


class _Moments(Interruption):
    """Counts how often the loop looks whether to stop, and says so at one of them."""

    def __init__(self, stop_at: int | None) -> None:
        self.passed = 0
        self._stop_at = stop_at
        super().__init__()

    @property
    def signal(self) -> int | None:
        self.passed += 1
        if self._stop_at is not None and self.passed >= self._stop_at:
            return signal.SIGTERM
        return None

    @signal.setter
    def signal(self, number: int | None) -> None:
        """A real signal stops at the next moment."""
        if number is not None:
            self._stop_at = self.passed
