"""Feeds: samples on the device, in the order of a pass.

Owns where samples lie: all of them on the device if they fit, else in blocks that a thread
gathers and sends ahead; or in blocks of batches that somebody else makes. Leaves which batch
comes when to `data/source`.

All kinds give the compiled programs the same thing, a window: arrays on the device and the
rows to take from them, so that one program serves all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from holdfast import config
from holdfast.data.batches import device_type
from holdfast.data.order import Reshuffle
from holdfast.data.reading import Going
from holdfast.data.source import SampleSource, Source, State, Tree
from holdfast.engines.drawn import Drawn
from holdfast.engines.spread import put
from holdfast.engines.window import Feed, Window

_BLOCK_BYTES = 1 << 26


def make_feed(
    source: Source, seed: int, occupied: int, *, goes_on: bool, stopped: Going
) -> tuple[Feed, int]:
    """Return a feed for a source, and the bytes it holds on the device.

    Args:
        source: of the samples or batches.
        seed: of the shuffling.
        occupied: bytes of the device's share for data already taken by other feeds.
        goes_on, stopped: see `data.reading.Reader`.
    """
    if not isinstance(source, SampleSource):
        return Drawn(source, seed, goes_on=goes_on, stopped=stopped), 0
    size = _bytes_a_sample(source) * source.samples
    if occupied + size <= _share() and source.samples < 2**31:
        return Resident(source, seed), size
    return Blocks(source, seed), 0


class _Placed:
    """A feed of samples by index: every position is a place."""

    def ahead(self, busy: Callable[[], bool]) -> None:
        """A thread does it."""

    def place(self, number: int, batch: int) -> State:
        return None

    def go_on(self, place: State) -> None:
        pass


class Resident(_Placed):
    """All samples on the device; each pass sends its order only, worked out one pass ahead."""

    def __init__(self, source: SampleSource, seed: int) -> None:
        self._source = source
        self._seed = seed
        self._data = jax.tree.map(lambda array: put(_typed(array)), source.arrays)
        self._orders: dict[int, Future[Any]] = {}
        self._reshuffles: Sequence[Reshuffle] = ()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="holdfast-feed")

    def window(self, number: int, batch: int) -> Window:
        self._orders = {
            wanted: self._orders.get(wanted) or self._thread.submit(self._order, wanted)
            for wanted in (number, number + 1)
        }
        order = self._orders[number].result()
        size, count = _batches_from(self._source, batch)
        return Window(self._data, order, batch * self._source.batch_size, size, count)

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        self._reshuffles = reshuffles
        self._orders.clear()

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._data = None
        self._orders.clear()

    def _order(self, number: int) -> Any:
        order = self._source.order(self._seed, number, self._reshuffles)
        return put(order.astype(np.int32))


class Blocks(_Placed):
    """Samples on the device a block at a time; a thread gathers the next one ahead."""

    def __init__(self, source: SampleSource, seed: int) -> None:
        self._source = source
        self._seed = seed
        a_batch = max(1, _bytes_a_sample(source) * source.batch_size)
        batches = _length(source)
        self._batches = min(batches, max(1, min(_BLOCK_BYTES, _share()) // a_batch))
        rows = self._batches * source.batch_size
        self._order = put(np.arange(rows, dtype=np.int32))
        self._rows = rows
        self._pass: tuple[int, NDArray[np.int64]] | None = None
        self._reshuffles: Sequence[Reshuffle] = ()
        self._ahead: dict[tuple[int, int], Future[Tree]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="holdfast-feed")

    def window(self, number: int, batch: int) -> Window:
        block, within = divmod(batch, self._batches)
        began = time.perf_counter()
        data = self._block(number, block)
        waited = time.perf_counter() - began
        size, count = _batches_from(self._source, batch)
        count = min(self._batches - within, count)
        return Window(data, self._order, within * self._source.batch_size, size, count, waited)

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        # In the thread, so that no block is gathered meanwhile by the order of before.
        self._ahead.clear()
        self._thread.submit(self._take_order, reshuffles).result()

    def _take_order(self, reshuffles: Sequence[Reshuffle]) -> None:
        self._reshuffles, self._pass = reshuffles, None

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._ahead.clear()

    def _block(self, number: int, block: int) -> Tree:
        wanted = (number, block)
        last = -(-_length(self._source) // self._batches) - 1
        following = (number, block + 1) if block < last else (number + 1, 0)
        # Only these two stay: the device holds a block in use and the one sent ahead.
        self._ahead = {key: self._ahead[key] for key in (wanted, following) if key in self._ahead}
        for key in (wanted, following):
            if key not in self._ahead:
                self._ahead[key] = self._thread.submit(self._gather, *key)
        return self._ahead[wanted].result()

    def _gather(self, number: int, block: int) -> Tree:
        if self._pass is None or self._pass[0] != number:
            order = self._source.order(self._seed, number, self._reshuffles)
            self._pass = (number, order)
        rows = self._pass[1][block * self._rows : (block + 1) * self._rows]

        def gather(array: NDArray[Any]) -> Any:
            # Every block has the same shape, so that one program serves all.
            out = np.zeros((self._rows, *array.shape[1:]), dtype=device_type(array.dtype))
            out[: len(rows)] = array[rows]
            return put(out)

        return jax.tree.map(gather, self._source.arrays)


def _length(source: SampleSource) -> int:
    """Return how many batches a pass has, a partial one counted."""
    return -(-source.samples // source.batch_size)


def _batches_from(source: SampleSource, batch: int) -> tuple[int, int]:
    """Return how many rows a batch has, and how many batches from it on have as many."""
    whole = source.samples // source.batch_size - batch
    return (source.batch_size, whole) if whole > 0 else (source.samples % source.batch_size, 1)


def _typed(array: Any) -> NDArray[Any]:
    return np.asarray(array, dtype=device_type(array.dtype))


def _bytes_a_sample(source: SampleSource) -> int:
    return sum(
        int(np.prod(array.shape[1:], dtype=np.int64)) * np.dtype(device_type(array.dtype)).itemsize
        for array in jax.tree.leaves(source.arrays)
    )


def _share() -> int:
    """Return how many bytes of the device's memory training data may take: a quarter."""
    chosen = config.device_data_limit()
    if chosen is not None:
        return chosen
    stats = jax.local_devices()[0].memory_stats() or {}
    memory = stats.get("bytes_limit") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(memory) // 4
