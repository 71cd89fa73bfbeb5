"""The end of a run, where the process that came to it was killed before all was done.

Owns what is left to do once the disk has what the training returned. Leaves the training's own
end to `training`.
"""

from __future__ import annotations

import contextlib

from holdfast.events import AttemptStarted, Finished
from holdfast.store import prune
from holdfast.store.journal import Journal, Record
from holdfast.store.layout import Layout


def complete(layout: Layout, record: Record, durable: int, end: Finished) -> None:
    """Record the end, if nobody has, and remove what a killed process has left.

    A disk that fails is no matter: the training is safe, and the next call tries again.

    Args:
        layout: of the run, whose lock the caller holds.
        record: of its journal.
        durable: how long the journal was, in bytes, at the final checkpoint.
        end: to be recorded.
    """
    with contextlib.suppress(OSError):
        log = Journal(layout.journal, record, durable)
        try:
            if not isinstance(next(record.newest(AttemptStarted, Finished), None), Finished):
                log.append(end)
            # Whoever recorded it may have been killed before this.
            log.sync()
        finally:
            log.close()
        prune.clean(layout)
