"""Sums of arrays, computed in a thread ahead of the one that writes them.

Owns the thread. Leaves what the sums are for to `checkpoints`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from blake3 import blake3

from holdfast.types import Array

# Below this a thread costs more than it saves.
_WORTH_A_THREAD = 1 << 22


class Sums:
    """The BLAKE3 of each array, in order. Use it as a context manager, and iterate over it once.

    The thread has ended when the block is left. On Linux a thread has the priority of the one
    that makes it, so that this one yields to training as the writer does.

    Attributes:
        processor: seconds of processor time that the thread took so far.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.processor = 0.0
        self._arrays = arrays
        self._thread: ThreadPoolExecutor | None = None
        if len(arrays) > 1 and sum(array.data.nbytes for array in arrays) >= _WORTH_A_THREAD:
            self._thread = ThreadPoolExecutor(1, "holdfast-sums")

    def __enter__(self) -> Sums:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[str]:
        if self._thread is None:
            yield from map(_sum, self._arrays)
            return
        coming = [self._thread.submit(self._timed, array) for array in self._arrays]
        for array, total in zip(self._arrays, coming, strict=True):
            # Where the thread is not ahead, nobody waits for it: the processors are busy.
            yield _sum(array) if total.cancel() else total.result()

    def _timed(self, array: Array) -> str:
        began = time.thread_time()
        found = _sum(array)
        self.processor += time.thread_time() - began
        return found


def _sum(array: Array) -> str:
    return blake3(array.data).hexdigest()
