"""What the functions of older `keras.backend` did, over `keras.ops`, on every backend.

Owns those of tensors alone, each by its old name. Leaves values, variables and phases to
`backend_state`, and which are gone and what is written today to `old_backend`.
"""

# ruff: noqa: D103  Each does what its name says.

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def argmax(x: Any, axis: int = -1) -> Any:
    return ops.argmax(x, axis=axis)


def argmin(x: Any, axis: int = -1) -> Any:
    return ops.argmin(x, axis=axis)


def cumsum(x: Any, axis: int = 0) -> Any:
    return ops.cumsum(x, axis=axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    return ops.cumprod(x, axis=axis)


def sqrt(x: Any) -> Any:
    return ops.sqrt(ops.maximum(x, 0))


def clip(x: Any, min_value: Any = None, max_value: Any = None) -> Any:
    least = -math.inf if min_value is None else min_value
    most = math.inf if max_value is None else max_value
    numbers = isinstance(least, (int, float)) and isinstance(most, (int, float))
    return ops.clip(x, least, max(least, most) if numbers else most)


def concatenate(tensors: Sequence[Any], axis: int = -1) -> Any:
    return ops.concatenate(list(tensors), axis=axis)


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    return ops.stack(list(x), axis=axis)


def expand_dims(x: Any, axis: int = -1) -> Any:
    return ops.expand_dims(x, axis)


def gather(reference: Any, indices: Any) -> Any:
    return ops.take(reference, indices, axis=0)


def repeat(x: Any, n: int) -> Any:
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: str = "int32") -> Any:
    if stop is None and isinstance(start, (int, float)) and start < 0:
        start = 0
    return ops.arange(start, stop, step, dtype=dtype)


def flatten(x: Any) -> Any:
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))


def reverse(x: Any, axes: Any) -> Any:
    return ops.flip(x, axis=axes)


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    if axes is None:
        axes = (len(x.shape) - 1, max(len(y.shape) - 2, 1))
    axes = (axes, axes) if isinstance(axes, int) else tuple(axes)
    return keras.layers.dot([x, y], axes=axes)


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    first = (data_format or keras.config.image_data_format()) == "channels_first"
    if first and len(x.shape) > 2 and len(bias.shape) == 1:
        bias = ops.reshape(bias, (-1, *[1] * (len(x.shape) - 2)))
    return ops.add(x, bias)


def l2_normalize(x: Any, axis: Any = None) -> Any:
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(squares, 1e-12)))


def relu(x: Any, alpha: float = 0.0, max_value: Any = None, threshold: float = 0.0) -> Any:
    return keras.activations.relu(x, alpha, max_value, threshold)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    return ops.binary_crossentropy(target, output, from_logits)


def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    return ops.in_top_k(targets, predictions, k)


def batch_normalization(
    x: Any,
    mean: Any,
    var: Any,
    beta: Any,
    gamma: Any,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Any:
    # It took means of any shape that fits.
    mean, var, beta, gamma = (
        part if part is None else ops.reshape(part, (-1,)) for part in (mean, var, beta, gamma)
    )
    return ops.batch_normalization(x, mean, var, axis, beta, gamma, epsilon)


def conv2d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def pool2d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, strides, padding, data_format)


def temporal_padding(x: Any, padding: Any = (1, 1)) -> Any:
    return ops.pad(x, ((0, 0), tuple(padding), (0, 0)))


def spatial_2d_padding(
    x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    first = (data_format or keras.config.image_data_format()) == "channels_first"
    sides = [tuple(side) for side in padding]
    return ops.pad(x, [(0, 0), (0, 0), *sides] if first else [(0, 0), *sides, (0, 0)])


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """Return one or the other: for a single condition whole, else by element."""
    rank = len(getattr(condition, "shape", ()))
    if rank == 0:
        yes, no = (
            part if callable(part) else functools.partial(ops.convert_to_tensor, part)
            for part in (then_expression, else_expression)
        )
        return ops.cond(ops.cast(condition, "bool"), yes, no)
    yes = then_expression() if callable(then_expression) else then_expression
    no = else_expression() if callable(else_expression) else else_expression
    missing = max(len(getattr(yes, "shape", ())) - rank, 0)
    shaped = ops.reshape(condition, (*condition.shape, *[1] * missing))
    return ops.where(ops.cast(shaped, "bool"), yes, no)
