"""Operations of TensorFlow on numbers, computed with Keras's.

Owns those that work element by element, that reduce, and that multiply matrices. Leaves those that
move elements to `shapes`. Arguments have TensorFlow's names and defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops


def typed(name: str) -> str:
    """Return a type that the backend has: JAX computes in 32 bits unless told otherwise."""
    if keras.backend.backend() == "jax" and name in ("int64", "uint64", "float64"):
        import jax

        return name if jax.config.jax_enable_x64 else name.replace("64", "32")
    return name


def tensor(value: Any, like: Any = None) -> Any:
    """Return a value as a tensor, a constant in the type of the tensor that it meets."""
    if keras.ops.is_tensor(value):
        return value
    dtype = like.dtype if keras.ops.is_tensor(like) else None
    return ops.convert_to_tensor(value, dtype=dtype)


def _two(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def operation(x: Any, y: Any) -> Any:
        return function(tensor(x, y), tensor(y, x))

    return operation


def _one(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x: function(tensor(x))


def _of_features(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def operation(features: Any) -> Any:
        return function(tensor(features))

    return operation


def axes(axis: Any) -> Any:
    """Return an axis or several as Keras takes them."""
    return tuple(map(int, axis)) if isinstance(axis, (list, tuple)) else axis


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(input_tensor: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return function(tensor(input_tensor), axis=axes(axis), keepdims=keepdims)

    return operation


def _floormod(x: Any, y: Any) -> Any:
    return ops.mod(x, y)


def _divide_no_nan(x: Any, y: Any) -> Any:
    zero = ops.equal(y, 0)
    return ops.where(zero, ops.zeros_like(x), x / ops.where(zero, ops.ones_like(y), y))


def _truediv(x: Any, y: Any) -> Any:
    return ops.true_divide(x, y)


def _reduce_mean(value: Any, axis: Any, keepdims: bool) -> Any:
    mean = ops.mean(value, axis=axis, keepdims=keepdims)
    # Of whole numbers, TensorFlow gives a whole mean.
    whole = keras.backend.is_int_dtype(value.dtype)
    return ops.cast(ops.trunc(mean), value.dtype) if whole else mean


def _leaky_relu(features: Any, alpha: float = 0.2) -> Any:
    return ops.leaky_relu(features, negative_slope=alpha)


def _gelu(features: Any, approximate: bool = False) -> Any:
    return ops.gelu(features, approximate=approximate)


def _softmax(logits: Any, axis: int = -1) -> Any:
    return ops.softmax(logits, axis=axis)


def _log_softmax(logits: Any, axis: int = -1) -> Any:
    return ops.log_softmax(logits, axis=axis)


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    squares = ops.sum(ops.square(x), axis=axes(axis), keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, epsilon))


def _norm(tensor: Any, order: Any = "euclidean", axis: Any = None, keepdims: bool = False) -> Any:
    over = {"axis": axes(axis), "keepdims": bool(keepdims)}
    if order in ("euclidean", "fro", 2):
        return ops.sqrt(ops.sum(ops.square(tensor), **over))
    if order == 1:
        return ops.sum(ops.abs(tensor), **over)
    raise ValueError(f"a norm is of the order 'euclidean', 1 or 2, found {order!r}")


def _accumulation(function: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    def operation(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Any:
        x = ops.flip(x, axis) if reverse else x
        found = function(x, axis=axis)
        if exclusive:
            first = ops.full_like(ops.take(x, [0], axis=axis), neutral)
            count = ops.shape(x)[axis]
            kept = ops.take(found, range(count - 1), axis=axis) if count > 1 else None
            found = first if kept is None else ops.concatenate([first, kept], axis=axis)
        return ops.flip(found, axis) if reverse else found

    return operation


def _add_n(inputs: Any) -> Any:
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return sum(inputs[1:], inputs[0])


def _clip(t: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    low, high = (tensor(bound, t) for bound in (clip_value_min, clip_value_max))
    return ops.minimum(ops.maximum(t, low), high)


def _where(condition: Any, x: Any, y: Any) -> Any:
    return ops.where(tensor(condition), tensor(x, y), tensor(y, x))


def _cast(x: Any, dtype: str) -> Any:
    return ops.cast(tensor(x), typed(dtype))


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    a, b = tensor(a, b), tensor(b, a)
    return ops.matmul(
        ops.swapaxes(a, -1, -2) if transpose_a else a,
        ops.swapaxes(b, -1, -2) if transpose_b else b,
    )


def _tensordot(a: Any, b: Any, axes: Any) -> Any:
    return ops.tensordot(tensor(a, b), tensor(b, a), axes=axes)


def _moments(x: Any, axes: Any, keepdims: bool = False) -> Any:
    return list(ops.moments(x, tuple(axes) if isinstance(axes, list) else axes, keepdims=keepdims))


def _trace(x: Any) -> Any:
    return ops.trace(x, axis1=-2, axis2=-1)


def _bias_add(value: Any, bias: Any) -> Any:
    return value + tensor(bias, value)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "add": _two(ops.add),
    "subtract": _two(ops.subtract),
    "multiply": _two(ops.multiply),
    "truediv": _two(_truediv),
    "floordiv": _two(ops.floor_divide),
    "floormod": _two(_floormod),
    "pow": _two(ops.power),
    "maximum": _two(ops.maximum),
    "minimum": _two(ops.minimum),
    "squared_difference": _two(lambda x, y: ops.square(x - y)),
    "divide_no_nan": _two(_divide_no_nan),
    "greater": _two(ops.greater),
    "greater_equal": _two(ops.greater_equal),
    "less": _two(ops.less),
    "less_equal": _two(ops.less_equal),
    "equal": _two(ops.equal),
    "not_equal": _two(ops.not_equal),
    "logical_and": _two(ops.logical_and),
    "logical_or": _two(ops.logical_or),
    "atan2": _two(ops.arctan2),
    "abs": _one(ops.abs),
    "negative": _one(ops.negative),
    "exp": _one(ops.exp),
    "expm1": _one(ops.expm1),
    "log": _one(ops.log),
    "log1p": _one(ops.log1p),
    "sqrt": _one(ops.sqrt),
    "rsqrt": _one(ops.rsqrt),
    "square": _one(ops.square),
    "reciprocal": _one(ops.reciprocal),
    "sign": _one(ops.sign),
    "floor": _one(ops.floor),
    "ceil": _one(ops.ceil),
    "round": _one(ops.round),
    "sin": _one(ops.sin),
    "cos": _one(ops.cos),
    "tan": _one(ops.tan),
    "asin": _one(ops.arcsin),
    "acos": _one(ops.arccos),
    "atan": _one(ops.arctan),
    "sinh": _one(ops.sinh),
    "cosh": _one(ops.cosh),
    "tanh": _one(ops.tanh),
    "asinh": _one(ops.arcsinh),
    "acosh": _one(ops.arccosh),
    "atanh": _one(ops.arctanh),
    "erf": _one(ops.erf),
    "sigmoid": _one(ops.sigmoid),
    "log_sigmoid": _one(ops.log_sigmoid),
    "logical_not": _one(ops.logical_not),
    "is_nan": _one(ops.isnan),
    "is_inf": _one(ops.isinf),
    "is_finite": _one(ops.isfinite),
    "relu": _of_features(ops.relu),
    "relu6": _of_features(ops.relu6),
    "elu": _of_features(ops.elu),
    "selu": _of_features(ops.selu),
    "softplus": _of_features(ops.softplus),
    "softsign": _of_features(ops.softsign),
    "silu": _of_features(ops.silu),
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "l2_normalize": _l2_normalize,
    "norm": _norm,
    "reduce_mean": _reduction(_reduce_mean),
    "reduce_sum": _reduction(ops.sum),
    "reduce_max": _reduction(ops.max),
    "reduce_min": _reduction(ops.min),
    "reduce_prod": _reduction(ops.prod),
    "reduce_std": _reduction(ops.std),
    "reduce_variance": _reduction(ops.var),
    "reduce_logsumexp": _reduction(ops.logsumexp),
    "reduce_any": _reduction(ops.any),
    "reduce_all": _reduction(ops.all),
    "cumsum": _accumulation(ops.cumsum, 0),
    "cumprod": _accumulation(ops.cumprod, 1),
    "add_n": _add_n,
    "clip_by_value": _clip,
    "where": _where,
    "cast": _cast,
    "matmul": _matmul,
    "tensordot": _tensordot,
    "bias_add": _bias_add,
    "moments": _moments,
    "trace": _trace,
    "det": _one(ops.det),
    "inv": _one(ops.inv),
}
