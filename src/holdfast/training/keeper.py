"""The keeper: joins what is kept to where it is kept, while a training runs.

Owns saving: from a held state to a snapshot to the writer, and what the journal and the user
are told of it. A disk that fails never ends a training: it is said once, tried again later,
and an error at the end if the last state could not be saved.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from holdfast.engines.base import Engine
from holdfast.errors import NotSavedError
from holdfast.events import (
    CheckpointCommitted,
    CheckpointFailed,
    EpochEnded,
    Event,
    Failed,
    Finished,
    Stopped,
)
from holdfast.state.snapshot import Held, make_snapshot
from holdfast.store.checkpoints import Store
from holdfast.store.journal import Journal
from holdfast.store.prune import Pruner
from holdfast.store.writer import Outcome, Writer
from holdfast.training.cadence import Cadence
from holdfast.training.progress import Reporter
from holdfast.types import Position


class Keeper:
    """Saves the state of one attempt.

    Args:
        model: whose variables are named in the snapshots.
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
        engine: Engine,
        store: Store,
        pruner: Pruner,
        journal: Journal,
        cadence: Cadence,
        reporter: Reporter,
        saved: Position | None,
    ) -> None:
        self._model = model
        self._engine = engine
        self._store = store
        self._journal = journal
        self._cadence = cadence
        self._reporter = reporter
        self._writer = Writer(store, pruner, self._told)
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
        return not self._writer.busy and self._cadence.due()

    def steps_until_due(self, position: Position) -> int | None:
        """Return after how many steps the next is due by count, or None without such a rule."""
        return self._cadence.steps_until_due(position)

    def save(self, state: Callable[[], Held], *, epoch_end: bool, final: bool = False) -> None:
        """Take a snapshot and begin to write it. What the copying takes is all that waits."""
        began = time.perf_counter()
        held = state()
        self._writer.wait()
        snapshot = make_snapshot(
            held,
            self._model,
            self._engine.copy(held.values),
            epoch_end=epoch_end,
            final=final,
            journal=self._journal.size,
        )
        self._writer.submit(snapshot)
        self._cadence.taken(held.position, time.perf_counter() - began)

    def record_epoch(self, epoch: int, total: int, logs: Mapping[str, Any]) -> None:
        """Tell the journal that an epoch ended."""
        plain = {
            name: value
            for name, value in logs.items()
            if isinstance(value, (bool, int, float, str))
        }
        self._record(EpochEnded(time.time(), epoch, total, plain))

    def finish(self, state: Callable[[], Held], reason: str, position: Position) -> None:
        """Save what the training returned, and wait until it is on the disk.

        Raises:
            NotSavedError: it could not be written.
        """
        self.save(state, epoch_end=True, final=True)
        self._writer.wait()
        if self._error is not None:
            raise NotSavedError(
                f"the training has ended, and its last state could not be written to "
                f"{self._store.layout.root}: {self._error}. The model in memory is whole: save it "
                "elsewhere with model.save(...). " + self._way_on()
            )
        self._record(Finished(time.time(), position, reason))
        self._sync()

    def stop(self, state: Callable[[], Held], number: int, *, epoch_end: bool) -> None:
        """Save, wait until it is on the disk, and say how to go on. Ends an attempt on a signal."""
        held = state()
        self.save(lambda: held, epoch_end=epoch_end)
        self._writer.wait()
        self._record(Stopped(time.time(), held.position, number))
        self._sync()
        self._reporter.insist(f"stopped on signal {number}. {self._way_on()}")

    def fail(self, held: Held | None, error: BaseException, position: Position) -> None:
        """Save what was last sound, if any, and record why the training failed."""
        try:
            if held is not None and held.position != self._saved:
                self.save(lambda: held, epoch_end=False)
            self._writer.wait()
        except Exception as second:
            error.add_note(f"holdfast: the last sound state could not be saved: {second}")
        self._record(Failed(time.time(), position, f"{type(error).__name__}: {error}"[:1000]))
        self._sync()
        error.add_note(f"holdfast: {self._way_on()}")

    def close(self) -> None:
        """Wait for the writer; nothing more is saved."""
        with contextlib.suppress(Exception):
            self._writer.wait()

    def _way_on(self) -> str:
        path = self._store.layout.root
        if self._saved is None:
            return f"Nothing was saved in {path}: the same program starts anew."
        step = self._saved.total
        return f"The same program goes on from step {step}, which is saved in {path}."

    def _told(self, outcome: Outcome) -> None:
        """Hear from the writer's thread what became of a snapshot."""
        failed = outcome.error is not None
        self._cadence.written(outcome.processor, failed=failed)
        self._error = outcome.error
        if outcome.error is not None:
            self._warn(outcome.error)
            self._record(CheckpointFailed(time.time(), outcome.position, str(outcome.error)))
            return
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
