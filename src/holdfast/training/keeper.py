"""The keeper: joins what is kept to where it is kept, while a training runs.

Owns saving: from a held state to a snapshot to the writer, and what the journal and the user
are told of it. A disk that fails never ends a training: it is said once, tried again later,
and an error at the end if the last state could not be saved.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.callbacks.hosted import hosted
from holdfast.engines.base import Engine
from holdfast.errors import DamagedError, NotSavedError
from holdfast.events import (
    CheckpointCommitted,
    CheckpointFailed,
    EpochEnded,
    Event,
    Failed,
    Finished,
    Measured,
    ModelSaved,
    RolledBack,
    Stopped,
)
from holdfast.state import callbacks as callback_state
from holdfast.state.snapshot import Held, make_snapshot
from holdfast.store.checkpoints import Store, load_arrays, load_manifest
from holdfast.store.journal import Journal
from holdfast.store.prune import Pruner
from holdfast.store.retention import Leaders
from holdfast.store.writer import Outcome, Writer
from holdfast.training.cadence import Cadence
from holdfast.training.progress import Reporter
from holdfast.types import Array, Json, Position, Snapshot

_LARGE = 1 << 26
_LAST_PAUSES = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Kept:
    """A checkpoint as the training goes back to it.

    Args:
        position: where it was taken.
        state: all that is no array.
        arrays: of the model, the optimizer, the metrics, the random state and the callbacks.
        journal: bytes of the journal that were written when it was taken.
    """

    position: Position
    state: Mapping[str, Json]
    arrays: Sequence[Array]
    journal: int


@dataclass(frozen=True)
class _Copy:
    """What a snapshot is made of when it is written: most that are needed are soon no longer.

    `values` are copies of those of the variables, `journal` the bytes it had then.
    """

    held: Held
    values: Sequence[NDArray[Any]]
    epoch_end: bool
    final: bool
    journal: int


class Keeper:
    """Saves the state of one attempt.

    Args:
        model: whose variables are named in the snapshots.
        callbacks: those of the training, whose state is kept.
        leaders: the best epochs so far, whose checkpoints stay.
        engine: copies values to the host.
        store: where checkpoints go.
        pruner: prunes after each.
        journal: of the run.
        cadence: says when.
        reporter: tells people.
        saved: the position of the checkpoint gone on from, or None.
    """

    def __init__(
        self,
        model: Any,
        callbacks: Sequence[Any],
        leaders: Leaders,
        engine: Engine,
        store: Store,
        pruner: Pruner,
        journal: Journal,
        cadence: Cadence,
        reporter: Reporter,
        saved: Position | None,
    ) -> None:
        self._model = model
        self._callbacks = callbacks
        self._leaders = leaders
        self._engine = engine
        self._store = store
        self._journal = journal
        self._cadence = cadence
        self._reporter = reporter
        self._pruner = pruner
        self._writer = Writer(store, pruner, self._told)
        self._waiting: dict[Position, _Copy] = {}
        self._undone: set[Path] = set()
        self._saved = saved
        self._error: OSError | None = None
        self._warned = False

    def due(self, position: Position, *, epoch_end: bool) -> bool:
        """Return whether to save now.

        While one is being written, the next by time waits for a later stretch, so that training
        need not wait. One by count is never left out: training waits for the writer.
        """
        if self._cadence.counted(position, epoch_end=epoch_end):
            return True
        if self._writer.busy or not self._cadence.due():
            return False
        self._let_go()
        if any(_is_large(item.held) for item in self._waiting.values()):
            # These first, while training goes on; what is due now, when they are written.
            self._flush()
            return False
        return True

    def steps_until_due(self, position: Position) -> int | None:
        """Return after how many steps the next is due by count, or None without such a rule."""
        return self._cadence.steps_until_due(position)

    def needs(self, position: Position, *, epoch_end: bool) -> bool:
        """Return whether the checkpoint of a moment is one that later ones need beside them."""
        if position.total in callback_state.pins(self._callbacks):
            return True
        return epoch_end and position.epoch - 1 in self._leaders

    def hold(self, state: Callable[[], Held], *, epoch_end: bool) -> None:
        """Take a snapshot that is needed, to be written before the next one.

        Until then it is in memory, and let go if it is no longer needed by then.
        """
        began = time.perf_counter()
        held = state()
        self._let_go(held.pins)
        if _is_large(held):  # memory holds one copy of it
            if self._waiting:
                self._flush()
            self._writer.wait()
        self._waiting[held.position] = self._copy(held, epoch_end=epoch_end)
        self._cadence.spent(time.perf_counter() - began)

    def save(self, state: Callable[[], Held], *, epoch_end: bool, final: bool = False) -> None:
        """Take a snapshot and begin to write it. Training waits for the copying.

        Before that it waits for files of callbacks, if there are any that are being written.
        """
        self.settle()
        began = time.perf_counter()
        held = state()
        self._writer.wait()
        self._let_go(held.pins)
        if _is_large(held) and self._waiting:
            self._flush()
            self._writer.wait()
        copy = self._copy(held, epoch_end=epoch_end, final=final)
        before = dict(self._waiting)
        if not final:
            before.pop(held.position, None)
            if self.needs(held.position, epoch_end=epoch_end):
                # Should the disk fail now, it is there to be written later.
                self._waiting[held.position] = copy
        self._submit([*(item for _, item in sorted(before.items())), copy])
        self._cadence.taken(held.position, time.perf_counter() - began)

    def wait(self) -> None:
        """Wait until what is being written is on the disk, or could not be written."""
        self._writer.wait()

    def settle(self) -> None:
        """Wait until the disk has what the state of callbacks speaks of."""
        for callback in hosted(self._callbacks):
            callback.settle()

    def load(self, step: int) -> Kept:
        """Return the checkpoint at a step that a callback pins, from memory or from the disk.

        Raises:
            DamagedError: it is not what was written, or gone.
        """
        self._writer.wait()
        # Where an epoch ends two have the same step: the later one is what is pinned.
        found = [item for position, item in sorted(self._waiting.items()) if position.total == step]
        if found:
            waiting = self._snapshot(found[-1])
            return Kept(waiting.position, waiting.state, waiting.arrays, waiting.journal)
        layout = self._store.layout
        path = layout.manifest(step, final=False)
        try:
            manifest = load_manifest(path, self._store.run)
            arrays = load_arrays(layout, manifest)
        except FileNotFoundError as error:
            raise DamagedError(f"{path} is gone, and the training needs it") from error
        except OSError as error:
            raise DamagedError(f"{path} cannot be read: {error}") from error
        return Kept(manifest.position, manifest.state, arrays, manifest.journal)

    def undo(self, event: RolledBack) -> None:
        """Record that the training goes back, and let go of what is undone."""
        self._writer.wait()
        self._record(event)
        self._sync()
        self._waiting = {
            position: item for position, item in self._waiting.items() if position <= event.to
        }
        self._undone.update(self._pruner.beyond(event.to.total))
        self._undo()

    def _undo(self) -> None:
        """Delete checkpoints of what was undone; where the disk fails, again before the next."""
        if not self._undone:
            return
        self._writer.wait()  # it prunes too
        with contextlib.suppress(OSError):
            self._pruner.undo(list(self._undone))
            self._undone.clear()

    def _flush(self) -> None:
        self.settle()
        self._submit([item for _, item in sorted(self._waiting.items())])

    def _let_go(self, pins: Sequence[int] = ()) -> None:
        """Forget what waits and is not needed by the callbacks, nor by a state with `pins`."""
        for position, item in list(self._waiting.items()):
            if position.total not in pins and not self.needs(position, epoch_end=item.epoch_end):
                self._waiting.pop(position, None)

    def _copy(self, held: Held, *, epoch_end: bool, final: bool = False) -> _Copy:
        values = self._engine.copy(held.values)
        return _Copy(held, values, epoch_end, final, self._journal.size)

    def _submit(self, copies: Sequence[_Copy]) -> None:
        self._undo()
        self._writer.submit([self._snapshot(copy) for copy in copies])

    def _snapshot(self, copy: _Copy) -> Snapshot:
        return make_snapshot(
            copy.held,
            self._model,
            copy.values,
            epoch_end=copy.epoch_end,
            final=copy.final,
            journal=copy.journal,
        )

    def record_epoch(self, epoch: int, total: int, logs: Mapping[str, Any]) -> None:
        """Tell the journal that an epoch ended."""
        self._leaders.add(epoch, logs)
        self._record(EpochEnded(time.time(), epoch, total, _plain(logs)))

    def record_point(self, epoch: int, step: int, steps: int, logs: Mapping[str, Any]) -> None:
        """Tell the journal what the logs are within an epoch."""
        self._record(Measured(time.time(), epoch, step, steps, _plain(logs)))

    def record_model(self, path: str, epoch: int, monitor: str, score: float) -> None:
        """Tell the journal, durably, that a file of the model stands."""
        self._record(ModelSaved(time.time(), path, epoch, monitor, score))
        self._sync()

    def finish(self, state: Callable[[], Held], reason: str, why: str, position: Position) -> None:
        """Save what the training returned, and wait until it is on the disk.

        Where the disk fails it is tried again a few times: there is no later checkpoint.

        Raises:
            NotSavedError: it could not be written.
        """
        for pause in (0.0, *_LAST_PAUSES):
            time.sleep(pause)
            self.save(state, epoch_end=True, final=True)
            self._writer.wait()
            if self._error is None:
                break
        else:
            raise NotSavedError(
                f"the training has ended, and its last state could not be written to "
                f"{self._store.layout.root}: {self._error}. The model in memory is whole: save it "
                "elsewhere with model.save(...). " + self._way_on()
            )
        self._record(Finished(time.time(), position, reason, why))
        self._sync()

    def stop(self, state: Callable[[], Held], number: int, *, epoch_end: bool) -> None:
        """Save, wait until it is on the disk, and say how to go on. Ends an attempt on a signal."""
        self.settle()
        held = state()
        self.save(lambda: held, epoch_end=epoch_end)
        self._writer.wait()
        self._record(Stopped(time.time(), held.position, number))
        self._sync()
        self._reporter.insist(f"stopped on signal {number}. {self._way_on()}")

    def fail(self, held: Held | None, error: BaseException, position: Position) -> None:
        """Save what was last sound, if any, and record why the training failed."""
        try:
            self.settle()
            if held is not None and held.position != self._saved:
                self.save(lambda: held, epoch_end=False)
            self._writer.wait()
        except Exception as second:
            error.add_note(f"holdfast: the last sound state could not be saved: {second}")
        self._record(Failed(time.time(), position, f"{type(error).__name__}: {error}"[:1000]))
        self._sync()
        error.add_note(f"holdfast: {self._way_on()}")

    def close(self) -> None:
        """Wait for the writer and for files of callbacks; nothing more is saved."""
        with contextlib.suppress(Exception):
            self.settle()
        with contextlib.suppress(Exception):
            self._writer.wait()

    def _way_on(self) -> str:
        path = self._store.layout.root
        if self._saved is None:
            return f"Nothing was saved in {path}: the same program starts anew."
        step = self._saved.total
        present = self._store.layout.manifests()
        if not any(self._store.layout.step(found) == step for found in present):
            return f"What was saved in {path}, of step {step}, is there no longer."
        return f"The same program goes on from step {step}, which is saved in {path}."

    def _told(self, outcome: Outcome) -> None:
        """Hear from the writer's thread what became of a snapshot."""
        failed = outcome.error is not None
        self._cadence.written(outcome.processor, outcome.seconds, failed=failed)
        self._error = outcome.error
        if outcome.error is not None:
            self._warn(outcome.error)
            self._record(CheckpointFailed(time.time(), outcome.position, str(outcome.error)))
            return
        if not outcome.final:
            self._waiting.pop(outcome.position, None)
        # In the place of one that could not be deleted there may be a new one now.
        path = self._store.layout.manifest(outcome.position.total, final=outcome.final)
        self._undone.discard(path)
        self._saved = outcome.position
        self._record(
            CheckpointCommitted(
                time.time(), outcome.position, outcome.final, outcome.bytes, outcome.seconds
            )
        )

    def _record(self, event: Event) -> None:
        try:
            self._journal.append(event)
        except OSError as error:
            self._warn(error)

    def _sync(self) -> None:
        try:
            self._journal.sync()
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"cannot write to {self._store.layout.root}: {error}. Training goes on and "
                f"writing is tried again. {self._way_on()}",
                stacklevel=2,
            )


def _plain(logs: Mapping[str, Any]) -> dict[str, Json]:
    """Return what of an epoch's logs is JSON."""
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in logs.items()
    }
    return {
        name: value for name, value in plain.items() if isinstance(value, (bool, int, float, str))
    }


def _is_large(held: Held) -> bool:
    return bool(sum(value.nbytes for value in held.values) > _LARGE)
