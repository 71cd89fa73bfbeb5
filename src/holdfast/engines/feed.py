"""Feeds: samples on the device, in the order of a pass.

Owns where samples lie: all of them on the device if they fit, else in blocks that a thread
gathers and sends ahead; or in blocks of batches that somebody else makes. Leaves which batch
comes when to `data/source`.

All kinds give the compiled programs the same thing, a window: arrays on the device and the
rows to take from them, so that one program serves all.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from holdfast import config
from holdfast.data.batches import device_type, rows
from holdfast.data.order import Reshuffle
from holdfast.data.reading import Going, Reader
from holdfast.data.source import BatchSource, SampleSource, Source, State, Tree
from holdfast.engines.spread import put

_BLOCK_BYTES = 1 << 26
_DRAWN_BYTES = 1 << 23
_DRAWN_BATCHES = 64
_DRAWN_SECONDS = 0.05
_ALIGNMENT = 64


@dataclass(frozen=True)
class Window:
    """Batches on the device.

    Args:
        data: arrays on the device.
        order: row numbers into `data`, on the device.
        row: where in `order` the batch asked for begins.
        rows: samples a batch.
        batches: how many of so many rows, that one included, the window has.
        waited: seconds that passed until it was there, in which nothing else was done.
    """

    data: Tree
    order: Any
    row: int
    rows: int
    batches: int
    waited: float = 0.0


class Feed(Protocol):
    """Gives the window that holds a batch."""

    def window(self, number: int, batch: int) -> Window | None:
        """Return the window with batch `batch` of pass `number`; None if the pass has ended."""
        ...

    def ahead(self, busy: Callable[[], bool]) -> None:
        """Get on with what comes next, while the device is busy."""
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


class Drawn:
    """Batches of somebody else's making, on the device a block at a time.

    They are drawn in the training's own thread, since they may be anybody's code: while the device
    works on the block before. A block has room for as many batches as make eight megabytes; one
    whose batches come slowly is sent with those that are there.
    """

    def __init__(self, source: BatchSource, seed: int, *, goes_on: bool, stopped: Going) -> None:
        self._reader = Reader(source, seed, goes_on=goes_on, stopped=stopped)
        self._room = _DRAWN_BATCHES
        self._block: _Block | None = None
        self._next: _Block | None = None

    def window(self, number: int, batch: int) -> Window | None:
        began = time.perf_counter()
        if self._block is None or not self._block.has(number, batch):
            # Let go of first: the device holds the block in use and the one sent ahead.
            self._block, self._next = self._next, None
        if self._block is None or not self._block.has(number, batch):
            self._block = None
            until = began + _DRAWN_SECONDS
            found = self._reader.read(
                number, batch, self._room, lambda: time.perf_counter() < until
            )
            if not found:
                return None
            self._room = _room(found[0])
            self._block = _Block.of(number, batch, _alike(found))
        block = self._block
        within = batch - block.batch
        waited = time.perf_counter() - began
        return Window(
            block.data, block.order, within * block.rows, block.rows, block.count - within, waited
        )

    def ahead(self, busy: Callable[[], bool]) -> None:
        block = self._block
        if block is None or self._next is not None:
            return
        self._reader.stand(block.number, block.batch)
        self._reader.ahead(block.count + self._room, busy)
        found = self._reader.after(block.count)
        if len(found) == self._room and len(drawn := _alike(found)) == self._room:
            self._next = _Block.of(block.number, block.batch + block.count, drawn)

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Batches have no samples that could change places."""

    def place(self, number: int, batch: int) -> State:
        return self._reader.place(number, batch)

    def go_on(self, place: State) -> None:
        self._block = self._next = None
        self._reader.go_on(place)

    def close(self) -> None:
        self._block = self._next = None
        self._reader.close()


@dataclass(frozen=True)
class _Block:
    """Batches of one shape on the device, one after the other."""

    number: int
    batch: int
    count: int
    rows: int
    data: Tree
    order: Any

    @classmethod
    def of(cls, number: int, batch: int, drawn: Sequence[Tree]) -> _Block:
        size, room, count = rows(drawn[0]), _room(drawn[0]), len(drawn)

        def send(*leaves: NDArray[Any]) -> Any:
            # Every block has the same shape, so that one program serves all.
            out = _aligned((room * size, *leaves[0].shape[1:]), leaves[0].dtype)
            np.concatenate(leaves, out=out[: count * size])
            return put(out)

        data = jax.tree.map(send, *drawn)
        order = put(np.arange(room * size, dtype=np.int32))
        return cls(number, batch, count, size, data, order)

    def has(self, number: int, batch: int) -> bool:
        return self.number == number and 0 <= batch - self.batch < self.count


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array, not filled, that lies as JAX takes it over on a CPU without copying it."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + size].view(dtype).reshape(shape)


def _room(batch: Tree) -> int:
    """Return how many batches like this one a block has room for."""
    size: int = sum(leaf.nbytes for leaf in jax.tree.leaves(batch))
    return max(1, min(_DRAWN_BATCHES, _DRAWN_BYTES // max(1, size)))


def _alike(batches: Sequence[Tree]) -> list[Tree]:
    """Return the first batches that have one shape, as many as a block has room for."""
    first, room = _shapes(batches[0]), _room(batches[0])
    like = itertools.takewhile(lambda batch: _shapes(batch) == first, batches)
    return list(itertools.islice(like, room))


def _shapes(batch: Tree) -> Any:
    leaves, structure = jax.tree.flatten(batch)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


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
