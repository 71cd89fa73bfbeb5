"""The operations of a served graph that take parts of arrays.

Owns their meaning in TensorFlow. Leaves making and joining arrays to `graph_arrays`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from holdfast.errors import FormatError
from holdfast.formats.graph.definition import Attributes
from holdfast.formats.live.graph_values import (
    MOST_PARTS,
    Operation,
    integer,
    integers,
    is_known,
    shape_of,
    tensor,
)


def _unpack(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, axis = inputs[0], attributes.integer("axis")
    if shape_of(value)[axis] > MOST_PARTS:
        raise FormatError(f"The graph is refused: it cuts into {shape_of(value)[axis]:,} parts.")
    if is_known(value):
        return [np.asarray(part) for part in np.moveaxis(value, axis, 0)]
    return list(ops.unstack(value, axis=axis))


def _cut(value: Any, sizes: Sequence[int], axis: int) -> list[Any]:
    rank = len(shape_of(value))
    parts, start = [], 0
    for size in sizes:
        index = [slice(None)] * rank
        index[axis] = slice(start, start + size)
        parts.append(value[tuple(index)])
        start += size
    return parts


def _split(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axis, count = integer(inputs[0], "axis"), attributes.integer("num_split", 1)
    size = shape_of(inputs[1])[axis]
    if not 0 < count <= MOST_PARTS or size % count:
        raise FormatError(f"The graph is not sound: it cuts {size} into {count} equal parts.")
    return _cut(inputs[1], [size // count] * count, axis)


def _split_by(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, axis = inputs[0], integer(inputs[2], "axis")
    sizes = integers(inputs[1], "sizes")
    rest = shape_of(value)[axis] - sum(size for size in sizes if size >= 0)
    return _cut(value, [size if size >= 0 else rest for size in sizes], axis)


def _slice(inputs: Sequence[Any], attributes: Attributes) -> Any:
    starts, sizes = integers(inputs[1], "start"), integers(inputs[2], "size")
    return inputs[0][
        tuple(
            slice(start, None if size < 0 else start + size)
            for start, size in zip(starts, sizes, strict=True)
        )
    ]


def _strided_slice(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value = inputs[0]
    starts, ends, steps = (integers(part, "slice") for part in inputs[1:4])
    ellipsis, new, drop, no_start, no_end = (
        attributes.integer(f"{mask}_mask")
        for mask in ("ellipsis", "new_axis", "shrink_axis", "begin", "end")
    )
    index: list[Any] = []
    for place, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        bit = 1 << place
        if ellipsis & bit:
            index.append(Ellipsis)
        elif new & bit:
            index.append(None)
        elif drop & bit:
            index.append(start)
        else:
            first = None if no_start & bit else start
            index.append(slice(first, None if no_end & bit else end, step))
    sliced = value[tuple(index)]
    return np.asarray(sliced) if is_known(value) else sliced


def _gather(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, places = inputs[:2]
    axis = integer(inputs[2], "axis") if len(inputs) > 2 else 0
    batch = attributes.integer("batch_dims")
    if batch:
        return _gather_in_batches(tensor(value), tensor(places), axis, batch)
    if is_known(value, places):
        return np.take(value, places, axis)
    return ops.take(tensor(value), tensor(places), axis=axis)


def _gather_in_batches(value: Any, places: Any, axis: int, batch: int) -> Any:
    if batch != 1 or axis != 1 or len(places.shape) > 2:
        raise FormatError(
            f"The graph gathers along axis {axis} in batches of {batch} dimensions, which Holdfast "
            "does not compute."
        )
    flat = ops.reshape(places, (places.shape[0], -1))
    wide = ops.reshape(flat, (*flat.shape, *[1] * (len(value.shape) - 2)))
    found = ops.take_along_axis(
        value, ops.broadcast_to(wide, (*flat.shape, *value.shape[2:])), axis=1
    )
    return ops.reshape(found, (*places.shape, *value.shape[2:]))


def _gather_nd(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, places = map(tensor, inputs)
    count = places.shape[-1]
    return value[tuple(places[..., k] for k in range(count))]


def _reverse(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axes = tuple(integers(inputs[1], "axes"))
    if is_known(inputs[0]):
        return np.flip(inputs[0], axes)
    return ops.flip(inputs[0], axis=axes) if axes else inputs[0]


def _top_k(inputs: Sequence[Any], attributes: Attributes) -> Any:
    count = integer(inputs[1], "count") if len(inputs) > 1 else attributes.integer("k")
    values, places = ops.top_k(tensor(inputs[0]), count, sorted=True)
    return [values, ops.cast(places, "int32")]


OPERATIONS: Mapping[str, Operation] = {
    "Gather": _gather,
    "GatherNd": _gather_nd,
    "GatherV2": _gather,
    "ReverseV2": _reverse,
    "Slice": _slice,
    "Split": _split,
    "SplitV": _split_by,
    "StridedSlice": _strided_slice,
    "TopKV2": _top_k,
    "Unpack": _unpack,
}
