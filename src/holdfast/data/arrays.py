"""Arrays as a source: numpy, memory-mapped or JAX arrays, alone or nested.

Owns how arrays become batches. Leaves what Keras means by x, y and weights to Keras's own
adapter, and the moving of samples to a device to the engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from blake3 import blake3
from keras import backend, tree
from numpy.typing import NDArray

from holdfast.data.order import Reshuffle, Shuffle, order
from holdfast.data.source import Schedule, Tree
from holdfast.errors import PlanError, UnsupportedError
from holdfast.keras_private import ArrayDataAdapter, packed

_HASHED_WHOLE = 1 << 26
_BLOCKS = 256


class ArraySource:
    """A source over arrays in memory or in memory-mapped files.

    Args:
        x, y, sample_weight, batch_size, class_weight: as `Model.fit` takes them.
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
        self.arrays: Tree = tree.map_structure(_as_numpy, inputs, none_is_leaf=False)
        self.schedule = Schedule(batches, steps, initial_epoch)
        self._shuffle: Shuffle = (
            "within batches" if shuffle == "batch" else "samples" if shuffle else "none"
        )

    def order(
        self, seed: int, number: int, reshuffles: Sequence[Reshuffle] = ()
    ) -> NDArray[np.int64]:
        """Return the order of all samples in pass `number`."""
        return order(self.samples, self.batch_size, self._shuffle, seed, number, reshuffles)

    def fingerprint(self) -> dict[str, Any]:
        """Return shapes, types, order and a BLAKE3 of the contents.

        Of arrays above 64 MiB, 256 evenly spaced blocks of 256 KiB are read, so that a
        memory-mapped file is not read whole to begin a training.
        """
        leaves = [leaf for leaf in tree.flatten(self.arrays) if leaf is not None]
        return {
            "samples": self.samples,
            "batch size": self.batch_size,
            "steps an epoch": self.schedule.steps_per_epoch,
            "shuffled": self._shuffle,
            "shapes": [list(leaf.shape[1:]) for leaf in leaves],
            "types": [str(leaf.dtype) for leaf in leaves],
            "contents": [_content_sum(leaf) for leaf in leaves],
        }


def check_arrays(value: Any, name: str) -> None:
    """Refuse what is not arrays of numbers, and say what is supported.

    Raises:
        UnsupportedError: a data set, a generator, a tensor of another backend, …
    """
    for leaf in tree.flatten(value):
        if leaf is None:
            continue
        kind = type(leaf)
        foreign = kind.__module__.partition(".")[0] in ("torch", "tensorflow")
        if foreign or not hasattr(leaf, "__array__") or not leaf.shape:
            raise UnsupportedError(
                f"{name} holds a {kind.__module__}.{kind.__qualname__}. Run.fit takes arrays "
                "(numpy, memory-mapped or JAX), and lists, tuples and dicts of arrays; "
                "of other data, convert what fits in memory with numpy.asarray."
            )
        if isinstance(leaf, np.ma.MaskedArray):
            raise UnsupportedError(
                f"{name} holds a masked array, whose mask Keras would not see. Fill it "
                "(x.filled(value)) and pass the mask as sample_weight or as an input."
            )
        # A pandas frame has a type a column: as an array it has one.
        dtype = np.dtype(leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype)
        if dtype.kind in "OSUMm":
            raise UnsupportedError(
                f"{name} holds an array of type {dtype}; expected numbers or booleans"
            )


def _as_numpy(array: Any) -> NDArray[Any]:
    return np.asarray(array)


def device_type(array: NDArray[Any]) -> str:
    """Return the type an array's samples have in training: Keras's, floats as `floatx`."""
    name: str = backend.standardize_dtype(array.dtype)
    return str(backend.floatx()) if backend.is_float_dtype(name) else name


def _content_sum(array: NDArray[Any]) -> str:
    total = blake3(max_threads=blake3.AUTO)
    if array.nbytes <= _HASHED_WHOLE:
        total.update(_bytes(array))
    else:
        rows = max(1, (_HASHED_WHOLE // _BLOCKS) // max(1, array.nbytes // len(array)))
        for start in np.linspace(0, len(array) - rows, _BLOCKS).astype(int):
            total.update(_bytes(array[start : start + rows]))
    digest: str = total.hexdigest()
    return digest


def _bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
