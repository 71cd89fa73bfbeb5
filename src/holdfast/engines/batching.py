"""Batches on the host, by their place: what steps that are taken one by one are given.

Owns gathering samples into a batch, and drawing somebody else's batches a few at a time. Leaves
which batch comes when to `data/source`, and blocks on a device to `feed`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from keras import tree
from numpy.typing import NDArray

from holdfast.data.batches import device_type
from holdfast.data.order import Reshuffle
from holdfast.data.reading import Going, Reader
from holdfast.data.source import BatchSource, SampleSource, Source, State, Tree

_SLOW = 0.001
_DRAWN_SECONDS = 0.01
_DRAWN_BATCHES = 16


class Batches(Protocol):
    """Gives batches by their place."""

    def get(self, number: int, batch: int) -> Tree | None:
        """Return batch `batch` of pass `number`; None if the pass has ended."""
        ...

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Take samples in another order from now on."""
        ...

    def place(self, number: int, batch: int) -> State:
        """Return what `go_on` takes to go on with batch `batch` of pass `number`."""
        ...

    def go_on(self, place: State) -> None:
        """Go on from a place."""
        ...

    def close(self) -> None: ...


def make_batches(source: Source, seed: int, *, goes_on: bool, stopped: Going) -> Batches:
    """Return the batches of a source, under the run's seed; see `data.reading.Reader`."""
    if isinstance(source, SampleSource):
        return Gathered(source, seed)
    return Drawn(source, seed, goes_on=goes_on, stopped=stopped)


class Gathered:
    """Batches gathered from samples by index.

    Where that takes long, as from a disk, a thread gathers the next one while a step is taken.
    """

    def __init__(self, source: SampleSource, seed: int) -> None:
        self._source = source
        self._seed = seed
        self._reshuffles: Sequence[Reshuffle] = ()
        self._pass: tuple[int, NDArray[np.int64], bool] | None = None
        self._types = tree.map_structure(_type_of, source.arrays, none_is_leaf=False)
        self._seconds = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: tuple[tuple[int, int], Future[Tree | None]] | None = None

    def get(self, number: int, batch: int) -> Tree | None:
        ahead, self._ahead = self._ahead, None
        # Waited for in any case: two that gather would change the pass under each other.
        found = None if ahead is None else ahead[1].result()
        if ahead is None or ahead[0] != (number, batch):
            found = self._gather(number, batch)
        if self._seconds > _SLOW and found is not None:
            self._send_ahead(number, batch + 1)
        return found

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        self._forget_ahead()
        self._reshuffles, self._pass = reshuffles, None

    def place(self, number: int, batch: int) -> State:
        return None

    def go_on(self, place: State) -> None:
        pass

    def close(self) -> None:
        self._forget_ahead()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _send_ahead(self, number: int, batch: int) -> None:
        if batch * self._source.batch_size >= self._source.samples:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="holdfast-gather")
        self._ahead = (number, batch), self._thread.submit(self._gather, number, batch)

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead[1].exception()
            self._ahead = None

    def _gather(self, number: int, batch: int) -> Tree | None:
        began = time.perf_counter()
        if self._pass is None or self._pass[0] != number:
            order = self._source.order(self._seed, number, self._reshuffles)
            self._pass = number, order, bool((np.diff(order) == 1).all())
        _, order, straight = self._pass
        size = self._source.batch_size
        rows = order[batch * size : (batch + 1) * size]
        if not len(rows):
            return None

        def gather(array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
            if type(array) is not np.ndarray:
                return np.asarray(array[rows], dtype=dtype)
            if straight:
                # A copy: what a step is given is its own, and it may write into it.
                return array[rows[0] : rows[-1] + 1].astype(dtype)
            return array.take(rows, axis=0).astype(dtype, copy=False)

        found = tree.map_structure(gather, self._source.arrays, self._types, none_is_leaf=False)
        self._seconds = time.perf_counter() - began
        return found


class Drawn:
    """Batches of somebody else's making, drawn a few at a time."""

    def __init__(self, source: BatchSource, seed: int, *, goes_on: bool, stopped: Going) -> None:
        self._reader = Reader(source, seed, goes_on=goes_on, stopped=stopped)

    def get(self, number: int, batch: int) -> Tree | None:
        until = time.perf_counter() + _DRAWN_SECONDS
        found = self._reader.read(
            number, batch, _DRAWN_BATCHES, lambda: time.perf_counter() < until
        )
        return found[0] if found else None

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Batches have no samples that could change places."""

    def place(self, number: int, batch: int) -> State:
        return self._reader.place(number, batch)

    def go_on(self, place: State) -> None:
        self._reader.go_on(place)

    def close(self) -> None:
        self._reader.close()


def _type_of(array: Any) -> np.dtype[Any]:
    return np.dtype(device_type(array.dtype))
