"""The writer: the one background thread of a run. It commits checkpoints and prunes after.

Owns the thread, and what becomes of an error in it. Leaves the commit to `checkpoints` and
the choice of moments to `training`.

It holds what was submitted at once, which is one snapshot and those it needs beside it: while
it is busy the caller does not submit another, so nothing queues up.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.store.checkpoints import Store
from holdfast.store.prune import Pruner
from holdfast.types import Position, Snapshot


@dataclass(frozen=True)
class Outcome:
    """What became of a snapshot.

    Args:
        position: where it was taken.
        final: whether it was the final one.
        bytes: written.
        seconds: from start to commit.
        processor: seconds of processor time the threads took, pruning included.
        error: why it is not on disk, or None.
    """

    position: Position
    final: bool
    bytes: int
    seconds: float
    processor: float
    error: OSError | None


class Writer:
    """Commits snapshots in a thread of its own.

    Args:
        store: where to.
        pruner: prunes after each commit.
        told: called in the writer's thread with each outcome, commits and failures alike.
    """

    def __init__(self, store: Store, pruner: Pruner, told: Callable[[Outcome], None]) -> None:
        self._store = store
        self._pruner = pruner
        self._told = told
        self._thread: threading.Thread | None = None
        self._broken: BaseException | None = None

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def submit(self, snapshots: Sequence[Snapshot]) -> None:
        """Begin to commit snapshots in this order; waits for those before them.

        Where one cannot be written, those after it, which may need it, are not tried.
        """
        self.wait()
        self._thread = threading.Thread(
            target=self._work, args=(snapshots,), name="holdfast-writer", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is being written. Re-raises what went wrong in the thread.

        A disk's error (OSError) is not re-raised: it is an outcome.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken

    def _work(self, snapshots: Sequence[Snapshot]) -> None:
        try:
            for snapshot in snapshots:
                outcome = self._commit(snapshot)
                self._told(outcome)
                if outcome.error is not None:
                    break
        except BaseException as error:
            self._broken = error

    def _commit(self, snapshot: Snapshot) -> Outcome:
        _yield_to_training()
        began, processor = time.perf_counter(), time.thread_time()
        size, helped, error = 0, 0.0, None
        try:
            _, size, helped = self._store.commit(snapshot)
        except OSError as caught:
            error = caught
            with contextlib.suppress(OSError):
                self._pruner.make_room()
        seconds = time.perf_counter() - began
        if error is None:
            # What cannot be deleted now is deleted after the next commit.
            with contextlib.suppress(OSError):
                self._pruner.follow(newest=snapshot.position.total, final=snapshot.final)
        return Outcome(
            position=snapshot.position,
            final=snapshot.final,
            bytes=size,
            seconds=seconds,
            processor=time.thread_time() - processor + helped,
            error=error,
        )


def _yield_to_training() -> None:
    """Lower this thread's priority where threads have one of their own (Linux)."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
