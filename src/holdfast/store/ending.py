"""The end of a run, where the process that came to it was killed before all was done.

Owns what is left to do once the disk has what the training returned. Leaves the training's own
end to `training`.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from holdfast.events import AttemptStarted, Finished
from holdfast.store import prune
from holdfast.store.journal import Journal, Record
from holdfast.store.layout import Layout
from holdfast.store.retention import Keep


def complete(layout: Layout, record: Record, durable: int, end: Finished, keep: Keep) -> None:
    """Record the end, if nobody has, and remove what a killed process has left.

    Where nobody has, the process may have been killed before it pruned: that is done first.

    A disk that fails is no matter: the training is safe, and the next call tries again.

    Args:
        layout: of the run, whose lock the caller holds.
        record: of its journal.
        durable: how long the journal was, in bytes, at the final checkpoint.
        end: to be recorded.
        keep: which checkpoints stay. What it does not say of the best epoch, the journal does.
    """
    with contextlib.suppress(OSError):
        log = Journal(layout.journal, record, durable)
        try:
            last = next(record.newest(AttemptStarted, Finished), None)
            if isinstance(last, AttemptStarted):
                prune.Pruner(layout, _judged(keep, last)).prune(newest=end.position.total)
            if not isinstance(last, Finished):
                log.append(end)
            # Whoever recorded it may have been killed before this.
            log.sync()
        finally:
            log.close()
        prune.clean(layout)


def _judged(keep: Keep, started: AttemptStarted) -> Keep:
    if keep.monitor is not None or not started.monitor:
        return keep
    return replace(keep, monitor=started.monitor, mode=started.mode)
