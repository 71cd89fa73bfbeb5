"""The engine on JAX: compiled programs that take any number of steps.

Owns the state between stretches, and what a training and an evaluation step are. Leaves compiling
and running them to `phase`, samples on the device to `feed`.

A stretch is executed in one of four ways, which gives the same bits for any cutting of an
epoch into stretches, since every step runs the same compiled code:

* `loop`: one compiled loop whose number of steps is an argument.
* `ahead`: one compiled step, sent again and again without waiting. For models with
  convolutions on a CPU: XLA's CPU compiler puts convolutions in the form its fast kernels
  take only outside of loops.
* `alone`: one compiled step, waited for before anything else is done. For steps that call
  functions of the host, which may draw from the global random state.
* `eager`: nothing compiled, where the model says `run_eagerly` or `jit_compile=False`.

Batches of another size, such as a last partial one, have their own program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.data.order import Reshuffle
from holdfast.data.reading import Going
from holdfast.data.source import Source
from holdfast.data.source import State as Place
from holdfast.engines import cache
from holdfast.engines.base import Logs, Stretch
from holdfast.engines.copies import Copies
from holdfast.engines.feed import make_feed
from holdfast.engines.phase import Phase, State, StepFunction, Way
from holdfast.engines.watch import Watch
from holdfast.state import variables

_WAYS: Mapping[Way, str] = {
    "loop": "one compiled loop",
    "ahead": "one compiled step, sent ahead, since XLA's CPU compiler slows convolutions in loops",
    "alone": "one compiled step at a time",
    "eager": "nothing compiled",
}


class JaxEngine:
    """Executes steps on JAX. See `engines.base.Engine`.

    Args:
        model: compiled and built.
        train: the source of training batches.
        validation: the source of validation batches, or None.
        seed: of the shuffling.
        name: `fused` or `stepwise`.
        reason: why that one, in words.
        eager: whether to compile nothing.
        hooked: whether anything that may change what a step reads runs before the first step is
            traced; the same of evaluation's first step.
        watch: whether to see each step's loss and gradient norm.
        stopped: whether the training was told to stop.
    """

    def __init__(
        self,
        model: Any,
        train: Source,
        validation: Source | None,
        *,
        seed: int,
        name: str,
        reason: str,
        eager: bool,
        hooked: tuple[bool, bool],
        watch: bool,
        stopped: Going,
    ) -> None:
        self.name = name
        self.seen: NDArray[np.float32] | None = None
        self._model = model
        self._state: State | None = None
        self._copies = Copies()
        cache.activate()
        feed, occupied = make_feed(train, seed, 0, goes_on=True, stopped=stopped)
        state = self._current()
        step = _train_step(model, Watch(model) if watch else None)
        self._train = Phase(train, feed, step, state, (), eager, hooked[0])
        self._test: Phase | None = None
        if validation is not None:
            feed, _ = make_feed(validation, seed, occupied, goes_on=False, stopped=stopped)
            carried, kept = _divide_for_test(state)
            step = _test_step(model)
            self._test = Phase(validation, feed, step, carried, kept, eager, hooked[1])
        self.names = _names(self._train, self._test)
        asks = self._train.asks or (self._test.asks if self._test is not None else "")
        if asks:
            self.name, reason = "stepwise", f"a step calls a function of the host ({asks})"
        self.looks = self.name == "stepwise"
        self.reason = f"{reason}; {_WAYS[self._train.way]}"

    def train(self, epoch: int, step: int, steps: int) -> Stretch:
        """Execute `steps` training steps from a position, or those up to the end of the data."""
        # Until the stretch has ended the state is what was given away: `intact` asks for that.
        self._state = self._current()
        self._state, stretch, self.seen = self._train.run(self._state, (), epoch, step, steps)
        return stretch

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Take training batches in another order from now on."""
        self._train.reorder(reshuffles)

    def fetch(self, epoch: int, step: int) -> bool:
        """Have the training batch of a position ready; returns whether there is one."""
        return self._train.fetch(epoch, step)

    def place(self, epoch: int, step: int) -> Place:
        """Return what `go_on` takes for the training data to go on from a position."""
        return self._train.place(epoch, step)

    def go_on(self, place: Place) -> None:
        """Go on with the training data from a place."""
        self._train.go_on(place)

    def test(self, number: int, step: int, steps: int) -> Stretch:
        """Execute `steps` evaluation steps from step `step` of validation `number`."""
        if self._test is None:
            raise RuntimeError("there is no validation data")
        trainable, _, optimizer, _ = state = self._current()
        carried, kept = _divide_for_test(state)
        (fixed, metrics), stretch, _ = self._test.run(carried, kept, number, step, steps)
        self._state = (trainable, fixed, optimizer, metrics)
        return stretch

    def attach(self) -> None:
        """Give the model its variables' values."""
        if self._state is not None:
            for group, values in zip(variables.groups(self._model), self._state, strict=True):
                keras_private.attach(group, values)
            self._state = None

    def values(self) -> Sequence[Any]:
        """Return the values of all variables, as immutable arrays, without copying."""
        return [value for group in self._current() for value in group]

    def intact(self) -> bool:
        """Return whether no value was given away to a stretch that did not end."""
        return not any(value.is_deleted() for value in self.values())

    def copy(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """Copy values to memory of the host that nothing else uses."""
        if jax.default_backend() != "cpu":
            for value in values:  # all transfers begin before one is waited for
                value.copy_to_host_async()
        # On a CPU `asarray` hands out a view of memory that the next stretch writes to.
        return self._copies.of([np.asarray(value) for value in values])

    def close(self) -> None:
        """Give up threads and device memory."""
        self._train.close()
        if self._test is not None:
            self._test.close()

    def _current(self) -> State:
        if self._state is not None:
            return self._state
        return tuple([v.value for v in group] for group in variables.groups(self._model))


def _names(train: Phase, test: Phase | None) -> frozenset[str] | None:
    """Return the names an epoch's logs will have, or None where no step was tried."""
    if train.names is None or (test is not None and test.names is None):
        return None
    tested = test.names or frozenset() if test is not None else frozenset()
    return train.names | {f"val_{name}" for name in tested}


def _train_step(model: Any, watch: Watch | None) -> StepFunction:
    def step(carried: State, kept: State, batch: Any) -> tuple[Logs, State, Any]:
        if watch is None:
            return (*model.train_step(carried, batch), None)
        with watch.listening():
            logs, new = model.train_step(carried, batch)
        return logs, new, watch.seen(logs)

    return step


def _test_step(model: Any) -> StepFunction:
    def step(carried: State, kept: State, batch: Any) -> tuple[Logs, State, Any]:
        logs, (_, fixed, metrics) = model.test_step((kept[0], *carried), batch)
        return logs, (fixed, metrics), None

    return step


def _divide_for_test(state: State) -> tuple[State, State]:
    """Return what an evaluation step replaces, and what it reads."""
    trainable, fixed, _, metrics = state
    return (fixed, metrics), (trainable,)
