"""The engine on any backend: one step at a time, as Keras's own trainer takes it.

Owns the order of things within a stretch, and values that stay what they were while hooks run.
Leaves batches to `batching`, and the step itself to the backend's module: `torch` and `tensorflow`
beside this one. On JAX, `fused` is both engines.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakSet

import keras
import numpy as np
from numpy.typing import NDArray

from holdfast.data.drawing import Stopped
from holdfast.data.order import Reshuffle
from holdfast.data.reading import Going
from holdfast.data.source import SampleSource, Source, State, Tree
from holdfast.engines.base import Logs, Stretch
from holdfast.engines.batching import Batches, make_batches
from holdfast.state import variables

_STEP = ("train_step", "test_step", "compute_metrics", "make_train_function", "make_test_function")


class Steps(Protocol):
    """What a backend has to offer: single steps, and values of variables.

    Attributes:
        how: how a step is executed, in words.
    """

    how: str

    def train(self, batch: Tree) -> Logs:
        """Take a training step on a batch of numpy arrays; returns its logs."""
        ...

    def test(self, batch: Tree) -> Logs:
        """Take an evaluation step on a batch of numpy arrays; returns its logs."""
        ...

    def seen(self, logs: Logs) -> Any | None:
        """Return loss and gradient norm of the step just taken, as an array of two of the backend.

        None where they are not watched.
        """
        ...

    def value(self, variable: Any) -> Any:
        """Return a variable's value as it is now: nothing changes what is returned."""
        ...

    def copy(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """Copy values to memory of the host that nothing else uses.

        They are those of variables as they are now, or what `value` or this returned.
        """
        ...

    def rest(self) -> None:
        """Nothing is trained for now: hooks between epochs are about to run."""
        ...

    def wait(self) -> None:
        """Wait until the device has done what it was sent."""
        ...


class StepwiseEngine:
    """Executes steps one by one. See `engines.base.Engine`.

    Args:
        model: compiled and built.
        train: the source of training batches.
        validation: the source of validation batches, or None.
        steps: of the backend.
        seed: of the shuffling.
        reason: why this engine, in words.
        stopped: whether the training was told to stop.
    """

    name = "stepwise"
    looks = False

    def __init__(
        self,
        model: Any,
        train: Source,
        validation: Source | None,
        steps: Steps,
        *,
        seed: int,
        reason: str,
        stopped: Going,
    ) -> None:
        self.seen: NDArray[np.float32] | None = None
        self._model = model
        self._steps = steps
        self._source = train
        self._train = make_batches(train, seed, goes_on=True, stopped=stopped)
        self._validation = validation
        self._test = None
        if validation is not None:
            self._test = make_batches(validation, seed, goes_on=False, stopped=stopped)
        self._given: WeakSet[_Value] = WeakSet()
        self._whole = True
        self.names = _names(model)
        if self.names is not None and validation is not None:
            self.names |= {f"val_{name}" for name in self.names}
        self.reason = f"{reason}; {steps.how}"

    def train(self, epoch: int, step: int, steps: int) -> Stretch:
        """Execute `steps` training steps from a position, or those up to the end of the data.

        Data that fails costs no step that was taken before: the error is raised when the next one
        is asked for.
        """
        self._whole = True
        self._keep()
        seen: list[Any] = []

        def take(batch: Tree) -> Logs:
            self._whole = False
            logs = self._steps.train(batch)
            watched = self._steps.seen(logs)
            if watched is not None:
                seen.append(watched)
            return logs

        stretch = self._run(self._source, self._train, take, epoch, step, steps)
        self.seen = _on_host(seen) if seen else None
        self._whole = True
        return stretch

    def test(self, number: int, step: int, steps: int) -> Stretch:
        """Execute `steps` evaluation steps from step `step` of validation `number`."""
        if self._test is None or self._validation is None:
            raise RuntimeError("there is no validation data")
        self._keep()
        return self._run(self._validation, self._test, self._steps.test, number, step, steps)

    def fetch(self, epoch: int, step: int) -> bool:
        """Have the training batch of a position ready; returns whether there is one."""
        if isinstance(self._source, SampleSource):
            return True
        return self._train.get(*self._source.schedule.locate(epoch, step)) is not None

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Take training samples in another order from now on, where they have indices."""
        self._train.reorder(reshuffles)

    def place(self, epoch: int, step: int) -> State:
        """Return what `go_on` takes for the training data to go on from a position."""
        if isinstance(self._source, SampleSource):
            return None
        schedule = self._source.schedule
        return {
            "batches": schedule.batches,
            "feed": self._train.place(*schedule.locate(epoch, step)),
        }

    def go_on(self, place: State) -> None:
        """Go on with the training data from a place."""
        if place is not None:
            self._source.schedule.batches = place["batches"]
            self._train.go_on(place["feed"])

    def attach(self) -> None:
        """The model has its variables' values all the time; those held are kept from now on."""
        if self._given:
            # What is held while hooks run is what the state was before them.
            self._keep()
            self._steps.rest()

    def values(self) -> Sequence[Any]:
        """Return the values of all variables. None is copied until something may change it."""
        found = [_Value(variable) for group in variables.groups(self._model) for variable in group]
        self._given.update(found)
        return found

    def intact(self) -> bool:
        """Return whether no step of this stretch broke: one may have changed some variables."""
        return self._whole

    def copy(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """Copy values to memory of the host that nothing else uses."""
        copies = self._steps.copy([value.now() for value in values])
        for value, copy in zip(values, copies, strict=True):
            value.kept = copy
            self._given.discard(value)
        return copies

    def close(self) -> None:
        """Give up workers and files of the data."""
        self._steps.rest()
        self._train.close()
        if self._test is not None:
            self._test.close()

    def _run(
        self,
        source: Source,
        batches: Batches,
        take: Callable[[Tree], Logs],
        pass_: int,
        step: int,
        steps: int,
    ) -> Stretch:
        logs: Logs = {}
        taken, drawn, ended = 0, 0.0, False
        while taken < steps:
            began = time.perf_counter()
            try:
                batch = batches.get(*source.schedule.locate(pass_, step + taken))
            except Stopped:
                break
            except Exception:
                if not taken:
                    raise
                break  # it is raised when the next step is asked for
            drawn += time.perf_counter() - began
            if batch is None:
                ended = True
                break
            logs = take(batch)
            taken += 1
        began = time.perf_counter()
        self._steps.wait()
        # A device that is still at work after the last batch was drawn has not waited for data.
        waited = max(0.0, drawn - (time.perf_counter() - began))
        return Stretch(logs, taken, ended, waited)

    def _keep(self) -> None:
        """Copy what was given out and is still held: variables are about to change."""
        for value in list(self._given):
            if value.kept is None:
                value.kept = self._steps.value(value.variable)
        self._given.clear()


class _Value:
    """A variable's value: the one it has, and once that may change the one it had.

    Args:
        variable: whose value it is.
    """

    def __init__(self, variable: Any) -> None:
        self.variable = variable
        self.kept: Any = None

    @property
    def nbytes(self) -> int:
        return int(math.prod(self.variable.shape) * np.dtype(self.variable.dtype).itemsize)

    def now(self) -> Any:
        """Return it, as the backend has it or as a copy on the host."""
        return self.variable.value if self.kept is None else self.kept


def _names(model: Any) -> frozenset[str] | None:
    """Return what steps will log, where they are Keras's own."""
    if any(getattr(type(model), name) is not getattr(keras.Model, name) for name in _STEP):
        return None
    try:
        return frozenset(model.get_metrics_result())
    except Exception:  # a metric of the user's own may have no result before a step
        return None


def _on_host(arrays: Sequence[Any]) -> NDArray[np.float32]:
    """Return arrays of the backend as one."""
    return np.stack([np.asarray(keras.ops.convert_to_numpy(array)) for array in arrays])
