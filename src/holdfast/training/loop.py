"""The only loop over epochs and steps. Names no backend.

Owns the order of things: epochs, stretches, hooks, validation, stopping, and the moments at
which state may be saved. Leaves executing steps to the engine and saving to the keeper.

State is sound, and may be saved, between stretches and between epochs. While hooks run it is
not: what was held before them is.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from holdfast import keras_private
from holdfast.callbacks.history import History
from holdfast.callbacks.hosted import hosted
from holdfast.callbacks.rollback import Rollback, Trouble
from holdfast.data.drawing import Stopped
from holdfast.data.order import Reshuffle
from holdfast.data.source import SampleSource
from holdfast.engines.base import Engine, Logs, Stretch
from holdfast.engines.choose import overriding
from holdfast.errors import Interrupted, KeyboardInterrupted
from holdfast.events import RolledBack
from holdfast.state import variables
from holdfast.state.snapshot import Course, Held, hold, restore
from holdfast.training.ending import rolled_back, why_it_ended
from holdfast.training.keeper import Keeper
from holdfast.training.plan import Plan
from holdfast.training.progress import Reporter
from holdfast.training.signals import Interruption
from holdfast.types import Position

_STRETCH = 0.1
_MEASURE = 1.0
_GROWTH = 16
_FELT = 0.1


class Loop:
    """One attempt's way from a position to the end of its plan.

    Args:
        model: built, its variables as at `position`.
        plan: what to do.
        engine: executes the steps.
        callbacks: a `keras.callbacks.CallbackList`, begun, with `history` last in it.
        history: the record of epochs.
        keeper: saves state.
        reporter: shows progress.
        interruption: the flag that signals set.
        course: of the training so far.
        position: where to begin.
    """

    def __init__(
        self,
        model: Any,
        plan: Plan,
        engine: Engine,
        callbacks: Any,
        history: History,
        keeper: Keeper,
        reporter: Reporter,
        interruption: Interruption,
        course: Course,
        position: Position,
    ) -> None:
        self._model = model
        self._plan = plan
        self._engine = engine
        self._callbacks = callbacks
        self._history = history
        self._keeper = keeper
        self._reporter = reporter
        self._interruption = interruption
        self._course = course
        self.position = position
        self._execution = model.steps_per_execution
        self._looks = bool(overriding(plan.callbacks, "train")) or engine.looks
        self._looks_at_tests = bool(overriding(plan.callbacks, "test"))
        self._joined_late = False
        self._rollback = next((c for c in plan.callbacks if isinstance(c, Rollback)), None)
        if self._rollback is not None:
            engine.reorder(self._rollback.reshuffles)
            self._joined_late = self._rollback.point is None and position.total > 0
            if self._rollback.point is None:
                self._rollback.mark(position)
        self._measured = 0.0
        self._began = 0.0
        self._waited = 0.0
        self._train_stretch = _Stretch()
        self._test_stretch = _Stretch()
        self._sound: Held | None = None
        self.why = ""
        self._hooking = False

    def save_beginning(self) -> None:
        """Save the state before the first step: initial weights may be random."""
        self._keeper.save(self._hold, epoch_end=False)
        if hosted(self._plan.callbacks):
            # They write files of their own, which nobody could put back to their beginning.
            self._keeper.wait()

    def run(self) -> None:
        """Train to the end of the plan; state is saved as the keeper sees fit, and at the end.

        Raises:
            Interrupted: a signal came; the state is saved.
            NotSavedError: the training has ended and its last state could not be written.
        """
        try:
            if self._joined_late:
                # The checkpoint gone on from knows nothing of the rollback that goes back to it.
                self._keeper.hold(self._hold, epoch_end=self.position.step == 0)
            while self.position.epoch < self._plan.epochs and not self._ended():
                if not self._has_data():
                    break
                self._epoch()
            self._end()
        except Interrupted:
            raise
        except BaseException as error:
            self._rescue(error)
            raise
        finally:
            self._reporter.pause()

    def load_weights(self, step: int) -> None:
        """Give the model the weights of the checkpoint at a step that a callback pins."""
        kept = self._keeper.load(step)
        variables.load_weights(self._model, {array.name: array for array in kept.arrays})

    def _ended(self) -> bool:
        return self._course.stopped and self.position.step == 0

    def _epoch(self) -> None:
        epoch = self.position.epoch
        begun = self.position.step > 0
        if not begun:
            with self._hooks():
                self._model.reset_metrics()
                self._callbacks.on_epoch_begin(epoch)
            self._course.logs = {}
        steps = self._plan.train.schedule.steps(epoch)
        self._reporter.begin_epoch(epoch, steps, self.position.step)
        self._measured = self._began = time.monotonic()
        self._waited = 0.0
        if not (begun and self._course.stopped) and not self._steps(epoch, steps):
            return
        self._end_epoch(epoch)
        self._look(epoch_end=True)

    def _has_data(self) -> bool:
        """Return whether there is a batch left for the epoch; without one the training ends.

        That a pass has ended may show only now; the epoch then begins the next one.
        """
        source, epoch = self._plan.train, self.position.epoch
        if isinstance(source, SampleSource) or self.position.step > 0:
            return True
        for _ in range(2):
            number, _ = source.schedule.locate(epoch, 0)
            if number > 0 and source.once:
                break
            try:
                if self._engine.fetch(epoch, 0):
                    return True
            except Stopped:
                self._look(epoch_end=True)
        warnings.warn(
            f"x is {source.kind}, which ended after {source.schedule.batches} batches: the "
            f"training ends after epoch {epoch} of {self._plan.epochs}. To go through it again in "
            "every epoch, pass what can be, such as a keras.utils.PyDataset.",
            stacklevel=2,
        )
        self._course.stopped = self._model.stop_training = True
        return False

    def _steps(self, epoch: int, steps: int | None) -> bool:
        """Take the steps of an epoch; returns whether they are done, and not rolled back."""
        while steps is None or self.position.step < steps:
            ended = False
            if self._rollback is not None and self._rollback.clear(self.position) == 0:
                self._advance(1)
            else:
                stretch, trouble = self._stretch(steps)
                if trouble is not None:
                    self._roll_back(trouble)
                    if self.position.step == 0:
                        return False
                    continue
                ended = stretch.ended
            self._show(epoch, steps)
            self._course.stopped = bool(self._model.stop_training)
            if ended and steps is not None:
                _warn_of_the_end(self.position.step, steps)
            if ended:
                break
            self._look(epoch_end=False)
            if self._course.stopped:
                break
        return True

    def _show(self, epoch: int, steps: int | None) -> None:
        """Tell people and the journal how it goes within an epoch, now and then."""
        now = time.monotonic()
        within = steps is None or self.position.step < steps
        measure = now - self._measured >= _MEASURE and within
        if not measure and not self._reporter.wanted:
            return
        logs = keras_private.pythonify_logs(self._course.logs)
        if self._reporter.wanted:
            self._reporter.step(self.position.step, logs, self._waiting())
        if measure:
            self._measured = now
            self._keeper.record_point(epoch, self.position.step, steps or 0, logs)

    def _waiting(self) -> float:
        """Return for which part of the epoch so far the training has waited for its data."""
        if self._waited < _FELT:
            return 0.0
        return self._waited / max(time.monotonic() - self._began, 1e-9)

    def _advance(self, count: int) -> None:
        here = self.position
        self.position = Position(here.epoch, here.step + count, here.total + count)

    def _stretch(self, steps: int | None) -> tuple[Stretch, Trouble | None]:
        """Take some steps of an epoch; returns them, and what broke the training in them if any."""
        first = self.position.step
        count = self._execution
        if not self._looks and not self._model.stop_training:
            count = self._train_stretch.length
            count = min(count, self._keeper.steps_until_due(self.position) or count)
        if self._rollback is not None:
            count = min(count, self._rollback.clear(self.position))
        if steps is not None:
            count = min(count, steps - first)
        if self._looks:
            try:
                self._engine.fetch(self.position.epoch, first)
            except Stopped:
                return Stretch({}, 0, False, 0.0), None
            self._hooking = True
            self._callbacks.on_train_batch_begin(first)
        with self._train_stretch.timing(count):
            stretch = self._engine.train(self.position.epoch, first, count)
        self._waited += stretch.waited
        if not stretch.steps:
            self._hooking = False
            return stretch, None
        self._course.logs = stretch.logs
        if self._rollback is not None:
            assert self._engine.seen is not None
            trouble = self._rollback.judge(self._engine.seen)
            if trouble is not None:
                return stretch, trouble
        self._advance(stretch.steps)
        if self._looks:
            self._engine.attach()
            # Keras counts to the end of the execution even where the data ends before it.
            last = first - first % self._execution + self._execution - 1
            self._callbacks.on_train_batch_end(last, self._course.logs)
        self._hooking = False
        return stretch, None

    def _roll_back(self, trouble: Trouble) -> None:
        """Go back to the last point, and on from there without the batches that broke it."""
        self._hooking = True
        rollback = self._rollback
        assert rollback is not None
        self._advance(trouble.index + 1)
        end = self.position.step
        point = rollback.point
        assert point is not None
        # Those before the point were trained on, and stay so.
        begin = point.step if point.epoch == self.position.epoch else 0
        first = max(begin, end - rollback.skip)
        rows = [(self.position.epoch, step) for step in range(first, end)]
        samples = self._samples(rows, rollback.reshuffles)
        self._engine.attach()
        rollback.go_back(trouble, rows, self._reshuffle(point, rollback.rollbacks))
        self._keeper.settle()
        kept = self._keeper.load(point.total)
        carried = [(callback, callback.carry()) for callback in hosted(self._plan.callbacks)]
        course, _ = restore(kept.state, kept.arrays, self._model, self._plan.callbacks)
        for callback, what in carried:
            callback.set_carried(what)
        self._history.restore(course.rows)
        course.rows = self._history.rows
        self._course = course
        self._model.stop_training = course.stopped
        rate = float(self._model.optimizer.learning_rate) * rollback.factor
        if rollback.factor != 1:
            self._model.optimizer.learning_rate = rate
        self._engine.reorder(rollback.reshuffles)
        self._engine.go_on(course.place)
        event = RolledBack(
            time=time.time(),
            position=self.position,
            to=kept.position,
            journal=kept.journal,
            number=rollback.rollbacks,
            reason=trouble.reason,
            samples=tuple(samples),
            learning_rate=rate,
        )
        self.position = kept.position
        self._keeper.undo(event)
        # From now on the point is this state, so that going back once more lowers the rate again.
        self._keeper.hold(self._hold, epoch_end=self.position.step == 0)
        self._hooking = False
        if rollback.verbose:
            self._reporter.insist(f"went back: {rolled_back(event)}")

    def _samples(
        self, rows: Sequence[tuple[int, int]], reshuffles: Sequence[Reshuffle]
    ) -> list[int]:
        """Return the indices of the samples in batches, given by epoch and step.

        What is not made of samples by index has none.
        """
        source = self._plan.train
        if not isinstance(source, SampleSource):
            return []
        found: list[int] = []
        for epoch, step in rows:
            number, batch = source.schedule.locate(epoch, step)
            order = source.order(self._course.seed, number, reshuffles)
            found.extend(order[batch * source.batch_size : (batch + 1) * source.batch_size])
        return [int(index) for index in found]

    def _reshuffle(self, point: Position, again: int) -> Reshuffle:
        """Return what takes the samples after a point in another order."""
        source = self._plan.train
        number, batch = source.schedule.locate(point.epoch, point.step)
        size = source.batch_size if isinstance(source, SampleSource) else 1
        return Reshuffle(number, batch * size, again)

    def _end_epoch(self, epoch: int) -> None:
        waiting = self._waiting()
        with self._hooks():
            logs = self._epoch_logs()
            if self._plan.validates(epoch):
                logs.update(self._validate(epoch))
            self._callbacks.on_epoch_end(epoch, logs)
        self._course.logs = keras_private.pythonify_logs(logs)
        self._course.stopped = bool(self._model.stop_training)
        self.position = Position(epoch + 1, 0, self.position.total)
        recorded = self._history.rows[-1][1]
        self._keeper.record_epoch(epoch, self.position.total, recorded)
        self._reporter.end_epoch(epoch, recorded, waiting)

    def _epoch_logs(self) -> Logs:
        if self._course.logs:
            return keras_private.epoch_logs(self._model, self._course.logs)
        # Every step was skipped: metrics of nothing would be the best there can be.
        names = sorted(self._engine.names or ())
        return {name: math.nan for name in names if not name.startswith("val_")}

    def _validate(self, epoch: int) -> Logs:
        source = self._plan.validation
        assert source is not None
        # Of arrays every validation is the same pass.
        number = 0 if isinstance(source, SampleSource) else self._plan.validations(epoch)
        self._callbacks.on_test_begin()
        self._model.reset_metrics()
        self._model.stop_evaluating = False
        steps = source.schedule.steps(number)
        step, logs, ended = 0, Logs(), False
        while not ended and not self._model.stop_evaluating:
            count = self._execution if self._looks_at_tests else self._test_stretch.length
            if steps is not None:
                count = min(count, steps - step)
            if not count:
                break
            if self._looks_at_tests:
                self._callbacks.on_test_batch_begin(step)
            with self._test_stretch.timing(count):
                stretch = self._engine.test(number, step, count)
            ended = stretch.ended
            if stretch.steps:
                logs = stretch.logs
            if stretch.steps and self._looks_at_tests:
                self._engine.attach()
                self._callbacks.on_test_batch_end(step + self._execution - 1, logs)
            step += stretch.steps
            if self._interruption.signal is not None:
                self._leave(self._sound)
        self._engine.attach()
        if not step:
            warnings.warn(
                f"validation_data is {getattr(source, 'kind', 'arrays')}, and no batch is left of "
                f"it for epoch {epoch + 1}: the epoch has no validation",
                stacklevel=2,
            )
        logs = keras_private.pythonify_logs(keras_private.epoch_logs(self._model, logs))
        self._callbacks.on_test_end(logs)
        return {f"val_{name}": value for name, value in logs.items()}

    def _look(self, *, epoch_end: bool) -> None:
        """See whether a signal came or a checkpoint is due. The state is sound here."""
        if self._rollback is not None and self._rollback.is_point(
            self.position, epoch_end=epoch_end
        ):
            self._rollback.mark(self.position)
        if self._interruption.signal is not None:
            self._leave(None, epoch_end=epoch_end)
        if self._keeper.due(self.position, epoch_end=epoch_end):
            self._keeper.save(self._hold, epoch_end=epoch_end)
        elif self._keeper.needs(self.position, epoch_end=epoch_end):
            self._keeper.hold(self._hold, epoch_end=epoch_end)

    def _end(self) -> None:
        self._engine.attach()
        self._keeper.save(self._hold, epoch_end=True)
        # From here on the state is what the training returns, and none to go on from.
        self._hooking = True
        with self._hooks():
            if self._plan.epochs > 0:
                self._model.optimizer.finalize_variable_values(self._model.trainable_weights)
            self._callbacks.on_train_end(logs=self._course.logs)
        reason = "stopped" if self._course.stopped else "epochs"
        self.why = why_it_ended(self._plan, self._course.stopped)
        self._keeper.finish(self._hold, reason, self.why, self.position)

    def _leave(self, sound: Held | None, *, epoch_end: bool = False) -> None:
        """Save, and leave on a signal."""
        number = self._interruption.signal
        assert number is not None
        self._reporter.pause()
        self._engine.attach()
        self._keeper.stop(lambda: sound or self._hold(), number, epoch_end=epoch_end)
        raise KeyboardInterrupted(number) if number == 2 else Interrupted(number)

    def _rescue(self, error: BaseException) -> None:
        """Save what was last sound, whatever has gone wrong since."""
        self._reporter.pause()
        held = self._sound
        if held is None and not self._hooking and self._engine.intact():
            held = self._hold()
        if self._engine.intact():
            self._engine.attach()
        self._keeper.fail(held, error, self.position)

    def _hold(self, *, copy: bool = True) -> Held:
        self._course.logs = keras_private.pythonify_logs(self._course.logs)
        self._course.place = self._engine.place(self.position.epoch, self.position.step)
        values, callbacks = self._engine.values(), self._plan.callbacks
        return hold(self.position, values, callbacks, self._course, copy=copy)

    @contextlib.contextmanager
    def _hooks(self) -> Iterator[None]:
        """While this lasts, hooks run: the state before them stays held."""
        # Twice an epoch and nearly always for nothing: large arrays of callbacks stay theirs.
        self._sound = self._hold(copy=False)
        self._engine.attach()
        yield
        self._sound = None


def _warn_of_the_end(step: int, steps: int) -> None:
    warnings.warn(
        f"the data ended after step {step} of an epoch that was to have {steps}: the epoch ends "
        "there, as in Keras. Let steps_per_epoch be as many as there are, or let the data go on.",
        stacklevel=2,
    )


class _Stretch:
    """How many steps take about a tenth of a second: how often anyone may look."""

    def __init__(self) -> None:
        self.length = 1

    @contextlib.contextmanager
    def timing(self, count: int) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds = max(time.perf_counter() - began, 1e-9)
        self.length = int(min(max(1, count * _STRETCH / seconds), self.length * _GROWTH))
