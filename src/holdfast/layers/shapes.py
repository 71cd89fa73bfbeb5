"""Operations of TensorFlow that move elements, computed with Keras's.

Owns shapes, slices, joining, sorting and images. Leaves numbers to `arithmetic`. Arguments have
TensorFlow's names and defaults.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from holdfast.layers.arithmetic import axes, tensor, typed


def _sizes(value: Any) -> Any:
    """Return a shape as Keras takes it. A size may be a number, a tensor, or not known yet."""
    if ops.is_tensor(value):
        return value
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _shape(x: Any, dtype: str = "int32") -> Any:
    return ops.convert_to_tensor(list(ops.shape(x)), dtype=typed(dtype))


def _identity(x: Any, dtype: str | None = None) -> Any:
    return x


def _zeros_like(x: Any, dtype: str | None = None) -> Any:
    return ops.zeros_like(x, dtype=dtype and typed(dtype))


def _ones_like(x: Any, dtype: str | None = None) -> Any:
    return ops.ones_like(x, dtype=dtype and typed(dtype))


def _reshape(tensor: Any, shape: Any) -> Any:
    return ops.reshape(tensor, _sizes(shape))


def _transpose(a: Any, perm: Any = None) -> Any:
    return ops.transpose(a, axes=axes(perm))


def _concat(values: Any, axis: int) -> Any:
    values = values if isinstance(values, list) else [values]
    like = next((value for value in values if ops.is_tensor(value)), None)
    return ops.concatenate([tensor(value, like) for value in values], axis=axis)


def _stack(values: Any, axis: int = 0) -> Any:
    values = values if isinstance(values, list) else [values]
    like = next((value for value in values if ops.is_tensor(value)), None)
    return ops.stack([tensor(value, like) for value in values], axis=axis)


def _unstack(value: Any, num: int | None = None, axis: int = 0) -> Any:
    return list(ops.unstack(value, num=num, axis=axis))


def _split(value: Any, num_or_size_splits: Any, axis: int = 0) -> Any:
    if isinstance(num_or_size_splits, list):
        sizes = list(num_or_size_splits)
        if -1 in sizes:
            sizes[sizes.index(-1)] = value.shape[axis] - sum(sizes) - 1
        return list(ops.split(value, np.cumsum(sizes[:-1]).tolist(), axis=axis))
    return list(ops.split(value, num_or_size_splits, axis=axis))


def _expand_dims(x: Any, axis: int) -> Any:
    return ops.expand_dims(x, axes(axis))


def _squeeze(x: Any, axis: Any = None) -> Any:
    return ops.squeeze(x, axis=axes(axis))


def _tile(x: Any, multiples: Any) -> Any:
    return ops.tile(x, _sizes(multiples))


def _pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    mode = mode.lower()
    value = constant_values if mode == "constant" else None
    return ops.pad(tensor, paddings, mode=mode, constant_values=value)


def _repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    return ops.repeat(x, repeats, axis=axis)


def _reverse(tensor: Any, axis: Any) -> Any:
    return ops.flip(tensor, axis=axes(axis))


def _roll(x: Any, shift: Any, axis: Any) -> Any:
    return ops.roll(x, axes(shift), axis=axes(axis))


def _gather(params: Any, indices: Any, axis: int = 0, batch_dims: int = 0) -> Any:
    params, indices = tensor(params), tensor(indices)
    if batch_dims == 0:
        return ops.take(params, indices, axis=axis)
    if batch_dims != 1 or len(indices.shape) != 2 or axis not in (0, 1):
        raise ValueError(
            f"gather takes batch_dims=1 of a matrix of indices, found batch_dims={batch_dims}, "
            f"axis={axis} and indices of the shape {tuple(indices.shape)}"
        )
    extra = len(params.shape) - 2
    wide = ops.reshape(indices, (*ops.shape(indices), *([1] * extra)))
    return ops.take_along_axis(params, wide, axis=1)


def _slice(input_: Any, begin: Any, size: Any) -> Any:
    spec = [
        slice(start, None if count == -1 else start + count)
        for start, count in zip(_sizes(begin), _sizes(size), strict=True)
    ]
    return input_[tuple(spec)]


def _getitem(tensor: Any, slice_spec: Any) -> Any:
    if isinstance(slice_spec, list):
        return tensor[tuple(slice_spec)]
    return tensor[slice_spec]


def _broadcast_to(x: Any, shape: Any) -> Any:
    return ops.broadcast_to(tensor(x), _sizes(shape))


def _range(start: Any, limit: Any = None, delta: Any = 1, dtype: str | None = None) -> Any:
    if limit is None:
        start, limit = 0, start
    whole = not any(isinstance(value, float) for value in (start, limit, delta))
    return ops.arange(start, limit, delta, dtype=typed(dtype or ("int32" if whole else "float32")))


def _fill(dims: Any, value: Any) -> Any:
    return ops.broadcast_to(tensor(value), _sizes(dims))


def _arg(function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(x: Any, axis: int | None = None, output_type: str = "int64") -> Any:
        return ops.cast(function(x, axis=0 if axis is None else axis), typed(output_type))

    return operation


def _sort(values: Any, axis: int = -1, direction: str = "ASCENDING") -> Any:
    found = ops.sort(values, axis=axis)
    return ops.flip(found, axis) if direction == "DESCENDING" else found


def _argsort(values: Any, axis: int = -1, direction: str = "ASCENDING") -> Any:
    return ops.argsort(-values if direction == "DESCENDING" else values, axis=axis)


def _top_k(x: Any, k: int = 1) -> Any:
    return list(ops.top_k(x, k))


def _one_hot(
    indices: Any,
    depth: int,
    on_value: Any = None,
    off_value: Any = None,
    axis: int = -1,
    dtype: str = "float32",
) -> Any:
    hot = ops.one_hot(tensor(indices), depth, axis=axis, dtype=typed(dtype))
    if on_value is None and off_value is None:
        return hot
    on = 1 if on_value is None else on_value
    off = 0 if off_value is None else off_value
    return hot * (on - off) + off


def _diag(diagonal: Any) -> Any:
    return ops.expand_dims(diagonal, -1) * ops.eye(diagonal.shape[-1], dtype=diagonal.dtype)


def _diag_part(x: Any) -> Any:
    return ops.diagonal(x, axis1=-2, axis2=-1)


def _resize(images: Any, size: Any, method: str = "bilinear", antialias: bool = False) -> Any:
    if method not in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"):
        raise ValueError(f"Keras does not resize by {method!r}")
    found = ops.image.resize(
        images, _sizes(size), method, antialias=antialias, data_format="channels_last"
    )
    return found if method == "nearest" else ops.cast(found, "float32")


def _window(value: Any) -> Any:
    return tuple(value[1:3]) if isinstance(value, list) and len(value) == 4 else value


def _pooling(function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(x: Any, ksize: Any, strides: Any, padding: str) -> Any:
        sizes = {"strides": axes(_window(strides)), "padding": padding.lower()}
        return function(x, axes(_window(ksize)), data_format="channels_last", **sizes)

    return operation


def _depth_to_space(x: Any, block_size: int) -> Any:
    _, height, width, depth = ops.shape(x)
    blocks = (-1, height, width, block_size, block_size, depth // block_size**2)
    apart = ops.transpose(ops.reshape(x, blocks), (0, 1, 3, 2, 4, 5))
    return ops.reshape(apart, (-1, height * block_size, width * block_size, blocks[-1]))


def _space_to_depth(x: Any, block_size: int) -> Any:
    _, height, width, depth = ops.shape(x)
    rows, columns = height // block_size, width // block_size
    blocks = ops.reshape(x, (-1, rows, block_size, columns, block_size, depth))
    joined = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
    return ops.reshape(joined, (-1, rows, columns, depth * block_size**2))


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "identity": _identity,
    "stop_gradient": lambda x, dtype=None: ops.stop_gradient(x),
    "zeros_like": _zeros_like,
    "ones_like": _ones_like,
    "shape": _shape,
    "rank": lambda x, dtype=None: ops.convert_to_tensor(len(x.shape), dtype="int32"),
    "size": lambda x, dtype="int32": ops.convert_to_tensor(ops.size(x), typed(dtype)),
    "argmax": _arg(ops.argmax),
    "argmin": _arg(ops.argmin),
    "sort": _sort,
    "argsort": _argsort,
    "top_k": _top_k,
    "one_hot": _one_hot,
    "reshape": _reshape,
    "transpose": _transpose,
    "concat": _concat,
    "stack": _stack,
    "unstack": _unstack,
    "split": _split,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "tile": _tile,
    "pad": _pad,
    "repeat": _repeat,
    "reverse": _reverse,
    "roll": _roll,
    "gather": _gather,
    "slice": _slice,
    "getitem": _getitem,
    "broadcast_to": _broadcast_to,
    "fill": _fill,
    "range": _range,
    "diag": _diag,
    "diag_part": _diag_part,
    "matrix_transpose": lambda a: ops.swapaxes(a, -1, -2),
    "resize": _resize,
    "flip_left_right": lambda image: ops.flip(image, axis=-2),
    "flip_up_down": lambda image: ops.flip(image, axis=-3),
    "max_pool2d": _pooling(ops.max_pool),
    "avg_pool2d": _pooling(ops.average_pool),
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
}


# The same on sizes, which are plain numbers wherever the backend knows them.
OF_SIZES: Mapping[str, Callable[..., Any]] = {
    "shape": lambda x, dtype=None: list(ops.shape(x)),
    "getitem": lambda tensor, slice_spec: tensor[
        slice_spec[0] if isinstance(slice_spec, list) else slice_spec
    ],
    "add": lambda x, y: _each(operator.add, x, y),
    "subtract": lambda x, y: _each(operator.sub, x, y),
    "multiply": lambda x, y: _each(operator.mul, x, y),
    "floordiv": lambda x, y: _each(operator.floordiv, x, y),
    "truediv": lambda x, y: _each(operator.floordiv, x, y),
    "floormod": lambda x, y: _each(operator.mod, x, y),
    "maximum": lambda x, y: _each(max, x, y),
    "minimum": lambda x, y: _each(min, x, y),
    "stack": lambda values, axis=0: list(values),
    "concat": lambda values, axis=0: [size for value in values for size in value],
    "cast": lambda x, dtype=None: x,
    "unstack": lambda value, num=None, axis=0: list(value),
    "identity": lambda x, dtype=None: x,
    "reduce_prod": lambda input_tensor, axis=None, keepdims=False: math.prod(input_tensor),
    "expand_dims": lambda x, axis=0: [x],
    "squeeze": lambda x, axis=None: x[0] if isinstance(x, list) else x,
}


def _each(function: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    if isinstance(x, list) or isinstance(y, list):
        count = len(x) if isinstance(x, list) else len(y)
        xs = x if isinstance(x, list) else [x] * count
        ys = y if isinstance(y, list) else [y] * count
        return [function(a, b) for a, b in zip(xs, ys, strict=True)]
    return function(x, y)
