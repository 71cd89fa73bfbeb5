"""Random inputs that a model can be compared on: of the right kind, and in the right range.

Owns drawing them. Leaves comparing to `exporting/comparing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.exporting.portable import Portable
from holdfast.judge.signature import Feed, Tensor

BATCHES = (1, 3, 32)
# What a dimension of any length is tried with, until the model takes one; and then twice that.
_LENGTHS = (8, 32, 64, 224)


def feeds(model: Portable) -> Iterator[list[Feed]]:
    """Yield, for each length to try, inputs by name in several batch sizes, the last longest."""
    sizes = BATCHES if model.batch is None else (model.batch,)
    free = any(None in tensor.sample for tensor in model.signature.inputs)
    for length in _LENGTHS if free else _LENGTHS[:1]:
        random = np.random.default_rng(0)
        below = _below(model.model)
        masked = _masked(model.model)
        yield [
            {
                tensor.name: _masked_at_the_end(
                    _drawn(tensor, size, length * (2 if size == sizes[-1] else 1), below, random),
                    masked,
                )
                for tensor in model.signature.inputs
            }
            for size in sizes
        ]


def _drawn(
    tensor: Tensor, batch: int, length: int, below: int, random: np.random.Generator
) -> NDArray[Any]:
    shape = (batch, *(size or length for size in tensor.sample))
    if tensor.dtype == "uint8":
        return random.integers(0, 256 if below == 2 else min(below, 256), shape).astype("uint8")
    if tensor.dtype.startswith(("int", "uint", "bool")):
        return random.integers(0, below, shape).astype(tensor.dtype)
    return random.normal(size=shape).astype(keras.backend.standardize_dtype(tensor.dtype))


def _below(model: Any) -> int:
    """Return what whole numbers must be less than: the rows of the smallest table."""
    layers = keras_private.all_layers(model)
    rows = [layer.input_dim for layer in layers if isinstance(layer, keras.layers.Embedding)]
    rows += [
        layer.num_tokens
        for layer in layers
        if isinstance(layer, keras.layers.CategoryEncoding) and layer.num_tokens
    ]
    return min(rows, default=2)


def _masked(model: Any) -> float | None:
    """Return the value that masks a step, or None where the model masks none."""
    for layer in keras_private.all_layers(model):
        if isinstance(layer, keras.layers.Masking):
            return float(layer.mask_value)
    return None


def _masked_at_the_end(array: NDArray[Any], value: float | None) -> NDArray[Any]:
    """Let every second sample be shorter than the others, as padded ones are."""
    if value is not None and array.ndim > 2 and array.dtype.kind == "f":
        array[1::2, array.shape[1] // 2 :] = value
    return array
