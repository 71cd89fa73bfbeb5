"""Arrays as a source, alone or nested: batches of their samples by index.

Owns how arrays become batches, and their fingerprint. Leaves what Keras means by x, y and weights
to Keras's own adapter, which arrays there are to `array_kinds`, how rows are read from those that
are not in memory to `rows`, and the moving of samples to a device to the engines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from blake3 import blake3
from keras import tree
from numpy.typing import NDArray

from holdfast.data.array_kinds import Array, as_arrays
from holdfast.data.batches import device_type
from holdfast.data.order import Blocks, Reshuffle, Shuffle, order
from holdfast.data.rows import MappedRows, Rows, StoredRows, blocks_of
from holdfast.data.source import Schedule, Tree
from holdfast.errors import PlanError
from holdfast.keras_private import ArrayDataAdapter, packed

_HASHED_WHOLE = 1 << 26
_HASHED_STORED = 1 << 22
_BLOCKS = 256
_STORED_BLOCKS = 16


class ArraySource:
    """A source over arrays, in memory or not.

    Args:
        x, y, sample_weight, batch_size, class_weight: as `Model.fit` takes them; arrays of any
            kind, or what `as_arrays` returned for them.
        shuffle: True, False or "batch".
        steps: `steps_per_epoch` or `validation_steps`.
        initial_epoch: the first epoch of the run.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        class_weight: dict[int, float] | None = None,
        shuffle: bool | str = False,
        steps: int | None = None,
        initial_epoch: int = 0,
    ) -> None:
        x, y = as_arrays(x, "x"), as_arrays(y, "y")
        sample_weight = as_arrays(sample_weight, "sample_weight")
        if isinstance(y, Rows) and class_weight is not None and sample_weight is None:
            sample_weight, class_weight = _weights(y, class_weight), None
        try:
            adapter = ArrayDataAdapter(
                x,
                y,
                sample_weight=sample_weight,
                class_weight=class_weight,
                batch_size=batch_size,
                steps=steps,
            )
        except ValueError as error:
            raise PlanError(str(error)) from error
        inputs, self.samples, self.batch_size, batches = packed(adapter)
        if not self.samples:
            raise PlanError("x has no samples")
        self.arrays: Tree = inputs
        self.schedule = Schedule(batches, steps, initial_epoch if steps else 0)
        self._shuffle: Shuffle = (
            "within batches" if shuffle == "batch" else "samples" if shuffle else "none"
        )
        self._blocks = self._read_in_blocks()

    def order(
        self, seed: int, number: int, reshuffles: Sequence[Reshuffle] = ()
    ) -> NDArray[np.int64]:
        """Return the order of all samples in pass `number`."""
        return order(
            self.samples, self.batch_size, self._shuffle, seed, number, reshuffles, self._blocks
        )

    def specimen(self) -> Tree:
        """Return the first samples, as many as a batch has, as they are given to a step."""

        def first(array: Array) -> NDArray[Any]:
            return np.asarray(array[: self.batch_size], dtype=device_type(array.dtype))

        return tree.map_structure(first, self.arrays, none_is_leaf=False)

    def fingerprint(self) -> dict[str, Any]:
        """Return shapes, types, order and a BLAKE3 of the contents.

        Of arrays above 64 MiB, 256 evenly spaced blocks of 256 KiB are read, so that a
        memory-mapped file is not read whole to begin a training. Of those that are unpacked to
        be read, above 4 MiB, at most 16 blocks or two chunks.
        """
        leaves = self._leaves()
        blocks = {} if self._blocks is None else {"read in blocks": asdict(self._blocks)}
        return {
            "samples": self.samples,
            "batch size": self.batch_size,
            "steps an epoch": self.schedule.steps_per_epoch,
            "shuffled": self._shuffle,
            "shapes": [list(leaf.shape[1:]) for leaf in leaves],
            "types": [str(leaf.dtype) for leaf in leaves],
            "contents": [_content_sum(leaf) for leaf in leaves],
            **blocks,
        }

    def _read_in_blocks(self) -> Blocks | None:
        """Return the blocks of what is stored, or None where all of it may be kept in memory."""
        stored = [leaf for leaf in self._leaves() if isinstance(leaf, StoredRows)]
        if not stored:
            return None
        blocks = blocks_of(stored)
        for leaf in stored:
            leaf.keep(blocks)
        return blocks if blocks.rows * blocks.together < self.samples else None

    def _leaves(self) -> list[Array]:
        return [leaf for leaf in tree.flatten(self.arrays) if leaf is not None]


def split(x: Any, y: Any, sample_weight: Any, fraction: float) -> tuple[Tree, Tree]:
    """Return (x, y, sample_weight) to train and to validate with: the last part, as in Keras.

    What is not in memory is not read. What is becomes `floatx` where it is another float.

    Args:
        x, y, sample_weight: what `as_arrays` returned.
        fraction: of the samples, to validate with.

    Raises:
        PlanError: they have not as many samples each, or too few.
    """
    whole = (x, y, sample_weight)
    counts = [leaf.shape[0] for leaf in tree.flatten(whole) if leaf is not None]
    if len(set(counts)) > 1:
        found = ", ".join(map(str, counts))
        raise PlanError(f"expected the same number of samples in each array, found {found}")
    at = math.floor(counts[0] * (1.0 - fraction))
    if not 0 < at < counts[0]:
        raise PlanError(
            f"{counts[0]} samples are not sufficient to split off validation_split={fraction}: "
            "one part would be empty. Pass more, or another fraction."
        )

    def part(array: Array, start: int, stop: int) -> Array:
        if isinstance(array, Rows):
            return array.part(start, stop)
        return array[start:stop].astype(device_type(array.dtype), copy=False)

    def parts(start: int, stop: int) -> Tree:
        return tree.map_structure(lambda array: part(array, start, stop), whole, none_is_leaf=False)

    return parts(0, at), parts(at, counts[0])


def _weights(targets: Rows, class_weight: dict[int, float]) -> NDArray[Any]:
    """Return the weights that Keras gives samples by their class, without all targets in memory."""
    rows = max(1, _HASHED_STORED * len(targets) // max(1, targets.nbytes))
    parts = []
    for start in range(0, len(targets), rows):
        some = targets[start : start + rows]
        parts.append(packed(ArrayDataAdapter(some, some, class_weight=class_weight))[0][2])
    return np.concatenate(parts) if parts else np.zeros(0, "float32")


def _content_sum(array: Array) -> str:
    unpacked = isinstance(array, Rows) and not isinstance(array, MappedRows)
    total = blake3(max_threads=blake3.AUTO)
    if array.nbytes <= (_HASHED_STORED if unpacked else _HASHED_WHOLE):
        total.update(_bytes(array[:]))
    else:
        starts, rows = _sampled(array, unpacked)
        if isinstance(array, Rows):
            array.foresee(starts, rows)
        for start in starts:
            total.update(_bytes(array[start : start + rows]))
    digest: str = total.hexdigest()
    return digest


def _sampled(array: Array, unpacked: bool) -> tuple[NDArray[np.int64], int]:
    """Return the first rows of the blocks to be read, and how many rows they have."""
    a_row = max(1, array.nbytes // len(array))
    chunk = array.chunk if isinstance(array, StoredRows) else 1
    count = min(_STORED_BLOCKS, max(2, _HASHED_STORED // (chunk * a_row))) if unpacked else _BLOCKS
    rows = max(1, ((_HASHED_STORED if unpacked else _HASHED_WHOLE) // count) // a_row)
    if chunk > 1:
        rows = min(rows, chunk)
    starts = np.linspace(0, len(array) - rows, count).astype(np.int64)
    # Within a chunk: one is unpacked whole to be read.
    return starts // chunk * chunk, rows


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
