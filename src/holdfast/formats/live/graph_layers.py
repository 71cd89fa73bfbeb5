"""The operations of a served graph that layers are made of: convolution, pooling, normalization.

Owns their meaning in TensorFlow, where paddings depend on strides and sizes. Leaves arithmetic to
`graph_math`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from holdfast.errors import FormatError
from holdfast.formats.graph.definition import Attributes
from holdfast.formats.live.graph_values import (
    Operation,
    dtype_of,
    integers,
    known,
    room_for,
    shape_of,
    tensor,
)


def _channels_first(attributes: Attributes) -> bool:
    return attributes.text("data_format", "NHWC").startswith("NC")


def _spatial(listed: Sequence[int], rank: int, first: bool) -> tuple[int, ...]:
    """Return the entries of a list for the spatial dimensions; 1 each where there is no list."""
    if not listed:
        return (1,) * (rank - 2)
    if len(listed) != rank:
        raise FormatError(f"The graph is not sound: {list(listed)} is not for {rank} dimensions.")
    return tuple(listed[2:] if first else listed[1:-1])


def _last(value: Any, first: bool) -> Any:
    """Return a value with its channels last."""
    return ops.moveaxis(value, 1, -1) if first else value


def _back(value: Any, first: bool) -> Any:
    return ops.moveaxis(value, -1, 1) if first else value


def _convolution(function: Callable[..., Any]) -> Operation:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        value, kernel = map(tensor, inputs[:2])
        first, rank = _channels_first(attributes), len(value.shape)
        strides = _spatial(attributes.integers("strides"), rank, first)
        dilations = _spatial(attributes.integers("dilations"), rank, first)
        padding = attributes.text("padding", "VALID")
        if padding == "EXPLICIT":
            widths = np.reshape(attributes.integers("explicit_paddings"), (-1, 2)).tolist()
            value, padding = ops.pad(value, widths), "VALID"
        found = function(
            _last(value, first),
            kernel,
            strides=strides,
            padding=padding.lower(),
            data_format="channels_last",
            dilation_rate=dilations,
        )
        return _back(found, first)

    return run


def _transposed_convolution(inputs: Sequence[Any], attributes: Attributes) -> Any:
    """Convolve backwards: what TensorFlow writes as the gradient of a convolution."""
    sizes = integers(inputs[0], "shape")
    kernel, value = map(tensor, inputs[1:])
    first, rank = _channels_first(attributes), len(value.shape)
    strides = _spatial(attributes.integers("strides"), rank, first)
    dilations = _spatial(attributes.integers("dilations"), rank, first)
    padding = attributes.text("padding", "VALID")
    if padding not in ("SAME", "VALID"):
        raise FormatError(f"The graph convolves with the padding {padding!r}, which is not read.")
    wanted = _spatial(sizes, rank, first) if len(sizes) == rank else tuple(sizes)
    room_for([shape_of(value)[0], *wanted, shape_of(kernel)[-2]])
    value = _last(value, first)
    for axis, (size, step) in enumerate(zip(wanted, strides, strict=True), 1):
        reach = (kernel.shape[axis - 1] - 1) * dilations[axis - 1] + 1
        spread = (value.shape[axis] - 1) * step + 1
        cut = max(spread + reach - 1 - size, 0) // 2 if padding == "SAME" else 0
        value = _spread(value, axis, step)
        before = reach - 1 - cut
        value = _padded(value, axis, before, size + reach - 1 - before - spread)
    turned = ops.swapaxes(ops.flip(kernel, axis=tuple(range(rank - 2))), -1, -2)
    found = ops.conv(
        value, turned, padding="valid", data_format="channels_last", dilation_rate=dilations
    )
    return _back(found, first)


def _spread(value: Any, axis: int, step: int) -> Any:
    """Put `step` - 1 zeros between neighbours."""
    if step == 1:
        return value
    shape = list(value.shape)
    widths = [[0, 0] for _ in range(len(shape) + 1)]
    widths[axis + 1] = [0, step - 1]
    wide = ops.reshape(
        ops.pad(ops.expand_dims(value, axis + 1), widths),
        [size * step if place == axis else size for place, size in enumerate(shape)],
    )
    return _padded(wide, axis, 0, 1 - step)


def _padded(value: Any, axis: int, before: int, after: int) -> Any:
    """Add zeros along an axis, or take away where there are fewer than none to add."""
    widths = [[0, 0] for _ in value.shape]
    widths[axis] = [max(before, 0), max(after, 0)]
    value = ops.pad(value, widths)
    index = [slice(None)] * len(widths)
    index[axis] = slice(max(-before, 0), value.shape[axis] - max(-after, 0))
    return value[tuple(index)]


def _pool(function: Callable[..., Any]) -> Operation:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        value = tensor(inputs[0])
        first, rank = _channels_first(attributes), len(value.shape)
        padding = attributes.text("padding", "VALID")
        if padding not in ("SAME", "VALID"):
            raise FormatError(f"The graph pools with the padding {padding!r}, which is not read.")
        found = function(
            _last(value, first),
            _spatial(attributes.integers("ksize"), rank, first),
            strides=_spatial(attributes.integers("strides"), rank, first),
            padding=padding.lower(),
            data_format="channels_last",
        )
        return _back(found, first)

    return run


def _batch_norm(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, scale, offset, mean, variance = map(tensor, inputs)
    first = _channels_first(attributes)
    kind = dtype_of(value)
    value = ops.cast(_last(value, first), dtype_of(scale))
    if attributes.flag("is_training", True):
        axes = tuple(range(len(value.shape) - 1))
        mean = ops.mean(value, axis=axes)
        variance = ops.mean(ops.square(value - mean), axis=axes)
    factor = scale * ops.rsqrt(variance + attributes.real("epsilon", 1e-4))
    found = ops.cast((value - mean) * factor + offset, kind)
    return [_back(found, first), mean, variance]


def _bias_add(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, bias = map(tensor, inputs)
    if _channels_first(attributes):
        bias = ops.reshape(bias, (-1, *[1] * (len(value.shape) - 2)))
    return ops.add(value, bias)


def _sources(
    there: int, wanted: int, attributes: Attributes
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return where in `there` pixels each of `wanted` comes from, and how far one step reaches."""
    places = np.arange(wanted, dtype=np.float32)
    if attributes.flag("align_corners") and wanted > 1:
        return places * np.float32((there - 1) / (wanted - 1)), places
    scale = np.float32(there / wanted)
    if attributes.flag("half_pixel_centers"):
        return (places + np.float32(0.5)) * scale - np.float32(0.5), (places + 0.5) * scale
    return places * scale, places * scale


def _resize_nearest(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, sizes = tensor(inputs[0]), integers(inputs[1], "size")
    room_for([shape_of(value)[0], *sizes, shape_of(value)[-1]])
    for axis, size in enumerate(sizes, 1):
        exact, centers = _sources(value.shape[axis], size, attributes)
        corners = attributes.flag("align_corners")
        places = np.floor(exact + np.float32(0.5) if corners else centers)
        places = np.clip(places, 0, value.shape[axis] - 1).astype(np.int32)
        value = ops.take(value, places, axis=axis)
    return value


def _resize_bilinear(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, sizes = ops.cast(tensor(inputs[0]), "float32"), integers(inputs[1], "size")
    room_for([shape_of(value)[0], *sizes, shape_of(value)[-1]])
    for axis, size in enumerate(sizes, 1):
        exact, _ = _sources(value.shape[axis], size, attributes)
        low = np.floor(exact)
        part = np.reshape(exact - low, [-1, *[1] * (3 - axis)])
        last = value.shape[axis] - 1
        lower, upper = (np.clip(n, 0, last).astype(np.int32) for n in (low, low + 1))
        one, other = ops.take(value, lower, axis=axis), ops.take(value, upper, axis=axis)
        value = one + (other - one) * part.astype(np.float32)
    return value


def _space_to_batch(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, blocks = tensor(inputs[0]), integers(inputs[1], "block")
    pads = known(inputs[2], "padding").reshape(-1, 2).tolist()
    rest = len(value.shape) - 1 - len(blocks)
    room_for(
        [
            shape_of(value)[0],
            *[size + sum(pad) for size, pad in zip(shape_of(value)[1:], pads, strict=False)],
        ]
    )
    value = ops.pad(value, [[0, 0], *pads, *[[0, 0]] * rest])
    shape, count = list(value.shape), len(blocks)
    split = [shape[0]]
    for size, block in zip(shape[1:], blocks, strict=False):
        split += [size // block, block]
    tail = shape[1 + count :]
    value = ops.reshape(value, [*split, *tail])
    axes = [2 * k + 2 for k in range(count)] + [0] + [2 * k + 1 for k in range(count)]
    value = ops.transpose(value, [*axes, *range(1 + 2 * count, len(value.shape))])
    cut = [size // block for size, block in zip(shape[1:], blocks, strict=False)]
    return ops.reshape(value, [shape[0] * int(np.prod(blocks)), *cut, *tail])


def _batch_to_space(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, blocks = tensor(inputs[0]), integers(inputs[1], "block")
    crops = known(inputs[2], "crops").reshape(-1, 2).tolist()
    shape, count = list(value.shape), len(blocks)
    batch, tail = shape[0] // int(np.prod(blocks)), shape[1 + count :]
    value = ops.reshape(value, [*blocks, batch, *shape[1:]])
    axes = [count]
    for k in range(count):
        axes += [count + 1 + k, k]
    value = ops.transpose(value, [*axes, *range(1 + 2 * count, len(value.shape))])
    grown = [size * block for size, block in zip(shape[1:], blocks, strict=False)]
    value = ops.reshape(value, [batch, *grown, *tail])
    index = [slice(None)]
    index += [slice(a, size - b) for size, (a, b) in zip(grown, crops, strict=True)]
    return value[tuple(index)]


def _depth_to_space(inputs: Sequence[Any], attributes: Attributes) -> Any:
    first, block = _channels_first(attributes), attributes.integer("block_size")
    value = _last(tensor(inputs[0]), first)
    count, height, width, depth = value.shape
    deep = depth // (block * block)
    value = ops.reshape(value, (count, height, width, block, block, deep))
    value = ops.transpose(value, (0, 1, 3, 2, 4, 5))
    return _back(ops.reshape(value, (count, height * block, width * block, deep)), first)


def _space_to_depth(inputs: Sequence[Any], attributes: Attributes) -> Any:
    first, block = _channels_first(attributes), attributes.integer("block_size")
    value = _last(tensor(inputs[0]), first)
    count, height, width, depth = value.shape
    value = ops.reshape(value, (count, height // block, block, width // block, block, depth))
    value = ops.transpose(value, (0, 1, 3, 2, 4, 5))
    deep = depth * block * block
    return _back(ops.reshape(value, (count, height // block, width // block, deep)), first)


OPERATIONS: Mapping[str, Operation] = {
    "AvgPool": _pool(ops.average_pool),
    "AvgPool3D": _pool(ops.average_pool),
    "BatchToSpaceND": _batch_to_space,
    "BiasAdd": _bias_add,
    "BiasAddV1": _bias_add,
    "Conv2D": _convolution(ops.conv),
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3D": _convolution(ops.conv),
    "Conv3DBackpropInputV2": _transposed_convolution,
    "DepthToSpace": _depth_to_space,
    "DepthwiseConv2dNative": _convolution(ops.depthwise_conv),
    "FusedBatchNorm": _batch_norm,
    "FusedBatchNormV2": _batch_norm,
    "FusedBatchNormV3": _batch_norm,
    "MaxPool": _pool(ops.max_pool),
    "MaxPool3D": _pool(ops.max_pool),
    "ResizeBilinear": _resize_bilinear,
    "ResizeNearestNeighbor": _resize_nearest,
    "SpaceToBatchND": _space_to_batch,
    "SpaceToDepth": _space_to_depth,
}
