"""Arrays that are not whole in memory: rows of them, dense, when they are asked for.

Owns reading rows from memory maps, h5py, zarr and scipy's sparse matrices, at the speed of what
they lie on. Leaves which rows come when to `order`, and what else is an array to `array_kinds`.

An h5py or zarr array is not read for less than a whole chunk. So it is read in blocks, each once
a pass: `order` shuffles so many of them at a time as are kept here.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.data.order import Blocks
from holdfast.errors import PlanError, RunError

_BLOCK_BYTES = 1 << 21
_TOGETHER_BYTES = 1 << 26
_LARGEST_COMMON = 1 << 24


class Rows:
    """Some rows, one after the other, of an array that is not in memory as it is to be given.

    Args:
        whole: the array.
        start: the first row.
        stop: the row after the last.
    """

    def __init__(self, whole: Any, start: int = 0, stop: int | None = None) -> None:
        self._whole = whole
        self._start = start
        count = (whole.shape[0] if stop is None else stop) - start
        self.shape: tuple[int, ...] = (count, *whole.shape[1:])
        self.dtype: np.dtype[Any] = np.dtype(whole.dtype)
        self.ndim = len(self.shape)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Return rows in the order asked for: a slice or an array of row numbers."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._span(self._start + start, self._start + max(start, stop))
            rows = np.arange(start, stop, step)
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"row {rows.max()} of an array of {len(self)} rows")
        return self._gathered(rows + self._start)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows in memory: of another type, without all of them in both."""
        if dtype is None or np.dtype(dtype) == self.dtype:
            return np.array(self[:], copy=copy)
        out = np.empty(self.shape, dtype)
        rows = max(1, _TOGETHER_BYTES * len(self) // max(1, self.nbytes))
        for start in range(0, len(self), rows):
            out[start : start + rows] = self[start : start + rows]
        return out

    def part(self, start: int, stop: int) -> Rows:
        """Return rows `start` to before `stop`. Nothing is read."""
        return type(self)(self._whole, self._start + start, self._start + stop)

    def foresee(self, starts: NDArray[np.int64], rows: int) -> None:
        """Learn that `rows` rows from each of `starts` are about to be read."""

    def _span(self, start: int, stop: int) -> NDArray[Any]:
        raise NotImplementedError

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        raise NotImplementedError


class MappedRows(Rows):
    """Rows of a memory map.

    The system is told which pages will be read before they are: else it waits for each.
    """

    def __init__(self, whole: Any, start: int = 0, stop: int | None = None) -> None:
        super().__init__(whole, start, stop)
        self._array = np.asarray(whole)
        self._map, self._offset = _place(self._array)

    def foresee(self, starts: NDArray[np.int64], rows: int) -> None:
        self._advise(starts + self._start, rows)

    def _span(self, start: int, stop: int) -> NDArray[Any]:
        return self._array[start:stop]

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        ascending = np.sort(rows)
        if len(rows) and ascending[-1] - ascending[0] >= 2 * len(rows):
            self._advise(ascending, 1)
        return self._array.take(rows, axis=0)

    def _advise(self, starts: NDArray[np.int64], rows: int) -> None:
        if self._map is None or not self._array.flags.c_contiguous:
            return
        size = _row_bytes(self)
        first = self._offset + starts * size
        pages = first // mmap.PAGESIZE * mmap.PAGESIZE
        lengths = first + rows * size - pages
        # Where the system takes no advice, rows are read without.
        with contextlib.suppress(OSError):
            for page, length in zip(pages.tolist(), lengths.tolist(), strict=True):
                self._map.madvise(mmap.MADV_WILLNEED, page, length)


class SparseRows(Rows):
    """Rows of a scipy sparse matrix, in its CSR form."""

    def _span(self, start: int, stop: int) -> NDArray[Any]:
        return np.asarray(self._whole[start:stop].toarray())

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(self._whole[rows].toarray())


class StoredRows(Rows):
    """Rows of an h5py dataset or a zarr array.

    Args:
        whole: the dataset.
        start: the first row.
        stop: the row after the last.

    Attributes:
        chunk: rows that are stored together.
    """

    def __init__(self, whole: Any, start: int = 0, stop: int | None = None) -> None:
        super().__init__(whole, start, stop)
        self.chunk = int(whole.chunks[0]) if whole.chunks else 1
        self._lock = threading.Lock()
        self._keep(blocks_of([self]))

    def keep(self, blocks: Blocks) -> None:
        """Read blocks of this size, and keep as many as two times those that are together."""
        with self._lock:
            self._keep(blocks)

    def _keep(self, blocks: Blocks) -> None:
        self._rows = blocks.rows
        self._room = min(2 * blocks.together, -(-len(self) // blocks.rows) + 1)
        self._kept: NDArray[Any] | None = None
        self._slots: OrderedDict[int, int] = OrderedDict()

    def _span(self, start: int, stop: int) -> NDArray[Any]:
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        self._read(start, stop, out)
        return out

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        if len(rows) >= 4 * self._rows and (np.diff(rows) == 1).all():
            return self._span(int(rows[0]), int(rows[-1]) + 1)
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        block = rows // self._rows
        blocks, first, which = np.unique(block, return_index=True, return_inverse=True)
        # By first use: what the next rows asked for begin with is kept.
        use = np.argsort(first)
        turn = np.empty_like(use)
        turn[use] = np.arange(len(use))
        with self._lock:
            for at in range(0, len(use), self._room):
                taken = use[at : at + self._room]
                slots = np.zeros(len(blocks), np.int64)
                slots[taken] = self._held(blocks[taken].tolist())
                where = slots[which] * self._rows + rows - block * self._rows
                assert self._kept is not None
                if len(use) <= self._room:
                    # Out of bounds cannot be: `clip` spares a copy.
                    self._kept.take(where, axis=0, out=out, mode="clip")
                else:
                    mine = (turn[which] >= at) & (turn[which] < at + self._room)
                    out[mine] = self._kept[where[mine]]
        return out

    def _held(self, blocks: list[int]) -> list[int]:
        """Return in which slots blocks are, read where they were not there."""
        if self._kept is None:
            self._kept = np.empty((self._room * self._rows, *self.shape[1:]), self.dtype)
        for block in blocks:
            if block in self._slots:
                self._slots.move_to_end(block)
        for block in blocks:
            if block not in self._slots:
                if len(self._slots) == self._room:
                    self._slots.popitem(last=False)
                taken = set(self._slots.values())
                slot = next(slot for slot in range(self._room) if slot not in taken)
                start = max(block * self._rows, self._start)
                stop = min((block + 1) * self._rows, self._start + len(self))
                within = slot * self._rows + start - block * self._rows
                self._read(start, stop, self._kept[within : within + stop - start])
                self._slots[block] = slot
        return [self._slots[block] for block in blocks]

    def _read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        if _is_closed(self._whole):
            raise RunError(
                "an HDF5 file was closed while its dataset was trained on. Keep the h5py.File "
                "open until fit returns, and call fit again to go on."
            )
        if start == stop:
            return
        if hasattr(self._whole, "read_direct"):
            self._whole.read_direct(out, np.s_[start:stop])
        else:
            out[...] = self._whole[start:stop]


def stored(dataset: Any, name: str) -> StoredRows | NDArray[Any]:
    """Return the rows of a dataset, or its value where it has no rows.

    Args:
        dataset: of h5py or zarr.
        name: of the argument, for errors.

    Raises:
        PlanError: its file is closed.
    """
    if _is_closed(dataset):
        raise PlanError(
            f"{name} holds a dataset of an HDF5 file that is closed. Keep the h5py.File open until "
            "fit returns."
        )
    return StoredRows(dataset) if dataset.shape else np.asarray(dataset[()])


def blocks_of(arrays: Sequence[StoredRows]) -> Blocks:
    """Return blocks in which arrays that share an order are read.

    They are whole chunks of each array, or where those would be large, of the largest array.
    """
    row = sum(_row_bytes(array) for array in arrays) or 1
    chunk = math.lcm(*(array.chunk for array in arrays))
    if chunk * row > _LARGEST_COMMON:
        chunk = max(arrays, key=_row_bytes).chunk
    rows = chunk * max(1, -(-_BLOCK_BYTES // (chunk * row)))
    rows = max(1, min(rows, max(len(array) for array in arrays)))
    return Blocks(rows, max(1, _TOGETHER_BYTES // (rows * row)))


def _row_bytes(array: Rows) -> int:
    return math.prod(array.shape[1:]) * array.dtype.itemsize


def _is_closed(array: Any) -> bool:
    # A zarr array is not closed, and has no truth of its own.
    return type(array).__module__.partition(".")[0] == "h5py" and not array


def _place(array: NDArray[Any]) -> tuple[mmap.mmap | None, int]:
    """Return the memory map that an array is a view of, if it takes advice, and where in it."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if not isinstance(base, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
        return None, 0
    begins = np.frombuffer(base, np.uint8).__array_interface__["data"][0]
    return base, array.__array_interface__["data"][0] - begins
