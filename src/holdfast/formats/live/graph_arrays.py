"""The operations of a served graph that make, join and turn arrays.

Owns their meaning in TensorFlow. Leaves arithmetic to `graph_math`, and taking parts of arrays to
`graph_parts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from holdfast.errors import FormatError
from holdfast.formats.graph.definition import Attributes
from holdfast.formats.live.graph_values import (
    Operation,
    dtype_of,
    integer,
    integers,
    is_known,
    known,
    room_for,
    shape_of,
    tensor,
)


def _same(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return inputs[0]


def _all_same(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return list(inputs)


def _nothing(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return []


def _constant(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return attributes.tensor("value")


def _shape(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return np.asarray(shape_of(inputs[0]), attributes.dtype("out_type", 3))


def _shapes(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return [_shape([value], attributes) for value in inputs]


def _size(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return np.asarray(np.prod(shape_of(inputs[0])), attributes.dtype("out_type", 3))


def _rank(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return np.asarray(len(shape_of(inputs[0])), np.int32)


def _reshape(inputs: Sequence[Any], attributes: Attributes) -> Any:
    shape = tuple(integers(inputs[1], "shape"))
    return inputs[0].reshape(shape) if is_known(inputs[0]) else ops.reshape(inputs[0], shape)


def _expand_dims(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axis = integer(inputs[1], "axis")
    if is_known(inputs[0]):
        return np.expand_dims(inputs[0], axis)
    return ops.expand_dims(inputs[0], axis)


def _squeeze(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value = inputs[0]
    listed = attributes.integers("squeeze_dims") or attributes.integers("axis")
    shape = shape_of(value)
    gone = (
        {axis % len(shape) for axis in listed}
        if listed
        else {axis for axis, size in enumerate(shape) if size == 1}
    )
    kept = tuple(size for axis, size in enumerate(shape) if axis not in gone)
    return value.reshape(kept) if is_known(value) else ops.reshape(value, kept)


def _transpose(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axes = integers(inputs[1], "axes")
    if is_known(inputs[0]):
        return np.transpose(inputs[0], axes)
    return ops.transpose(inputs[0], axes)


def _pack(inputs: Sequence[Any], attributes: Attributes) -> Any:
    axis = attributes.integer("axis")
    if is_known(*inputs):
        return np.stack(inputs, axis)
    return ops.stack([*map(tensor, inputs)], axis)


def _joined(values: Sequence[Any], axis: int) -> Any:
    if is_known(*values):
        return np.concatenate(values, axis)
    return ops.concatenate([*map(tensor, values)], axis)


def _concat(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return _joined(inputs[:-1], integer(inputs[-1], "axis"))


def _concat_old(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return _joined(inputs[1:], integer(inputs[0], "axis"))


def _tile(inputs: Sequence[Any], attributes: Attributes) -> Any:
    times = integers(inputs[1], "multiples")
    shape = [size * n for size, n in zip(shape_of(inputs[0]), times, strict=True)]
    room_for(shape, is_known(inputs[0]))
    return np.tile(inputs[0], times) if is_known(inputs[0]) else ops.tile(inputs[0], times)


def _fill(inputs: Sequence[Any], attributes: Attributes) -> Any:
    shape = room_for(integers(inputs[0], "shape"))
    if is_known(inputs[1]):
        return np.broadcast_to(inputs[1], shape)
    return ops.broadcast_to(inputs[1], shape)


def _range(inputs: Sequence[Any], attributes: Attributes) -> Any:
    start, end, step = (known(part, "range").item() for part in inputs)
    if not step:
        raise FormatError("The graph is not sound: it has a range with a step of 0.")
    room_for([max(0, int((end - start) / step) + 1)], True)
    return np.arange(start, end, step, dtype=inputs[0].dtype)


def _filled_like(value: int) -> Operation:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        if is_known(inputs[0]):
            return np.full_like(inputs[0], value)
        return ops.full_like(inputs[0], value)

    return run


def _broadcast(inputs: Sequence[Any], attributes: Attributes) -> Any:
    shape = room_for(integers(inputs[1], "shape"))
    if is_known(inputs[0]):
        return np.broadcast_to(inputs[0], shape)
    return ops.broadcast_to(inputs[0], shape)


def _broadcast_shapes(inputs: Sequence[Any], attributes: Attributes) -> Any:
    shapes = [tuple(integers(part, "shape")) for part in inputs]
    return np.asarray(np.broadcast_shapes(*shapes), inputs[0].dtype)


def _pad(inputs: Sequence[Any], attributes: Attributes) -> Any:
    widths = known(inputs[1], "padding").reshape(-1, 2).tolist()
    _room_for_padded(inputs[0], widths)
    value = inputs[2] if len(inputs) > 2 else None
    return ops.pad(
        tensor(inputs[0]),
        widths,
        mode="constant",
        constant_values=None if value is None else tensor(value),
    )


def _mirror_pad(inputs: Sequence[Any], attributes: Attributes) -> Any:
    widths = known(inputs[1], "padding").reshape(-1, 2).tolist()
    _room_for_padded(inputs[0], widths)
    return ops.pad(tensor(inputs[0]), widths, mode=attributes.text("mode", "REFLECT").lower())


def _room_for_padded(value: Any, widths: Sequence[Sequence[int]]) -> None:
    room_for([size + sum(width) for size, width in zip(shape_of(value), widths, strict=True)])


def _select(inputs: Sequence[Any], attributes: Attributes) -> Any:
    if is_known(*inputs):
        return np.where(*inputs)
    return ops.where(*map(tensor, inputs))


def _select_old(inputs: Sequence[Any], attributes: Attributes) -> Any:
    which, yes, no = inputs
    missing = len(shape_of(yes)) - len(shape_of(which))
    if missing and shape_of(which):  # a list of conditions is one for each row
        which = ops.reshape(tensor(which), (*shape_of(which), *[1] * missing))
    return _select([which, yes, no], attributes)


def _where(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return np.argwhere(known(inputs[0], "condition"))


def _one_hot(inputs: Sequence[Any], attributes: Attributes) -> Any:
    places, depth, on, off = inputs
    count, axis = integer(depth, "depth"), attributes.integer("axis", -1)
    room_for([*shape_of(places), count])
    hot = ops.one_hot(tensor(places), count, axis=axis, dtype="bool")
    return ops.where(hot, tensor(on), tensor(off))


def _linspace(inputs: Sequence[Any], attributes: Attributes) -> Any:
    start, stop, count = (known(part, "range") for part in inputs)
    room_for([int(count)], True)
    return np.linspace(start.item(), stop.item(), int(count), dtype=start.dtype)


def _invert_permutation(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return np.argsort(known(inputs[0], "permutation")).astype(dtype_of(inputs[0]))


def _band(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value = tensor(inputs[0])
    below, above = (integer(part, "width of a band") for part in inputs[1:])
    rows, columns = np.ogrid[: value.shape[-2], : value.shape[-1]]
    kept = (rows - columns <= below) if below >= 0 else np.bool_(True)
    kept = kept & ((columns - rows <= above) if above >= 0 else np.bool_(True))
    return ops.where(tensor(np.asarray(kept)), value, ops.zeros_like(value))


OPERATIONS: Mapping[str, Operation] = {
    "BroadcastArgs": _broadcast_shapes,
    "BroadcastTo": _broadcast,
    "CheckNumerics": _same,
    "Concat": _concat_old,
    "ConcatV2": _concat,
    "Const": _constant,
    "EnsureShape": _same,
    "ExpandDims": _expand_dims,
    "Fill": _fill,
    "Identity": _same,
    "IdentityN": _all_same,
    "InvertPermutation": _invert_permutation,
    "LinSpace": _linspace,
    "MatrixBandPart": _band,
    "MirrorPad": _mirror_pad,
    "NoOp": _nothing,
    "OneHot": _one_hot,
    "OnesLike": _filled_like(1),
    "Pack": _pack,
    "Pad": _pad,
    "PadV2": _pad,
    "PreventGradient": _same,
    "Range": _range,
    "Rank": _rank,
    "Reshape": _reshape,
    "Select": _select_old,
    "SelectV2": _select,
    "Shape": _shape,
    "ShapeN": _shapes,
    "Size": _size,
    "Snapshot": _same,
    "Squeeze": _squeeze,
    "StopGradient": _same,
    "Tile": _tile,
    "Transpose": _transpose,
    "Where": _where,
    "ZerosLike": _filled_like(0),
}
