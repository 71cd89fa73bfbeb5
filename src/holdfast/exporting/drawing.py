"""Random inputs that a model can be compared on: of the right kind, and in the right range.

Owns drawing them. Leaves comparing to `exporting/comparing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
        first = _first(model.model, len(model.signature.inputs))
        below, masks = _below(model.model), _masks(model.model)
        yield [
            {
                tensor.name: _masked_at_the_end(
                    _drawn(
                        tensor,
                        _shape(tensor, size, length * (2 if size == sizes[-1] else 1)),
                        layer,
                        below,
                        random,
                    ),
                    masks,
                )
                for tensor, layer in zip(model.signature.inputs, first, strict=True)
            }
            for size in sizes
        ]


def _shape(tensor: Tensor, batch: int, length: int) -> tuple[int, ...]:
    return (batch, *(size or length for size in tensor.sample))


def _drawn(
    tensor: Tensor, shape: tuple[int, ...], first: Any, below: int, random: np.random.Generator
) -> NDArray[Any]:
    if tensor.dtype == "uint8":
        return random.integers(0, 256 if below == 2 else min(below, 256), shape).astype("uint8")
    if isinstance(first, keras.layers.Embedding):
        return random.integers(0, first.input_dim, shape).astype(tensor.dtype)
    if tensor.dtype.startswith(("int", "uint", "bool")):
        return random.integers(0, below, shape).astype(tensor.dtype)
    spread = _spread(random.normal(size=shape), first)
    return spread.astype(keras.backend.standardize_dtype(tensor.dtype))


def _spread(array: NDArray[Any], first: Any) -> NDArray[Any]:
    """Bring numbers into the range that the first layer expects.

    Far from it a model may give the same for whatever it is given, and nothing would be compared.
    """
    if isinstance(first, keras.layers.Rescaling):
        array = (array - np.asarray(first.offset)) / np.asarray(first.scale)
    if isinstance(first, keras.layers.Normalization) and not first.invert:
        mean, variance = map(keras.ops.convert_to_numpy, (first.mean, first.variance))
        array = array * np.sqrt(variance) + mean
    return array


def _first(model: Any, count: int) -> list[Any]:
    """Return for each input the layer that takes it, or None where that is not known."""
    asked = keras.tree.flatten(getattr(model, "inputs", None) or [])
    found: list[Any] = [None] * count
    for layer in model.layers:
        try:
            given = layer.input
        except (AttributeError, ValueError):  # it was called never, or more than once
            continue
        for number, tensor in enumerate(asked[:count]):
            if given is tensor and not isinstance(layer, keras.layers.InputLayer):
                found[number] = layer
    return found


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


def _masks(model: Any) -> dict[str, float]:
    """Return the values that mask a step, by the kind of numbers: whole (i) or not (f)."""
    masks: dict[str, float] = {}
    for layer in keras_private.all_layers(model):
        if isinstance(layer, keras.layers.Masking):
            masks["f"] = float(layer.mask_value)
        elif isinstance(layer, keras.layers.Embedding) and layer.mask_zero:
            masks["i"] = 0.0
    return masks


def _masked_at_the_end(array: NDArray[Any], masks: Mapping[str, float]) -> NDArray[Any]:
    """Let every second sample be shorter than the others, as padded ones are."""
    kind, least = ("f", 3) if array.dtype.kind == "f" else ("i", 2)
    if kind in masks and array.ndim >= least:
        array[1::2, array.shape[1] // 2 :] = masks[kind]
    return array
