"""Batches of somebody else's making on the device, a block at a time.

Owns making blocks of them and sending these ahead. Leaves reading batches to `data/reading`.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from holdfast.data.batches import rows
from holdfast.data.order import Reshuffle
from holdfast.data.reading import Going, Reader
from holdfast.data.source import BatchSource, State, Tree
from holdfast.engines.spread import put
from holdfast.engines.window import Window

_DRAWN_BYTES = 1 << 23
_DRAWN_BATCHES = 64
_DRAWN_SECONDS = 0.05
_ALIGNMENT = 64


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
