"""What runs first in another library's worker processes, so that none outlives the training.

Owns the watch on the process that started them. Imported in the worker: light.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable


def begin(then: Callable[[], None] | None = None) -> None:
    """Make this worker end with the process that started it, then go on with `then`.

    A process that is killed tells its workers nothing: they would wait for ever on a full queue.
    """
    # Ctrl-C goes to all processes of a terminal; the training still wants its stretch's batches.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="holdfast-parent", daemon=True).start()
    if then is not None:
        then()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)
