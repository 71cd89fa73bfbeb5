"""The arithmetic of a served graph.

Owns operations element by element, along axes, and products of matrices. Leaves what moves elements
to `graph_arrays`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
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
    room_for,
    shape_of,
    tensor,
)


def _elementwise(name: str) -> Operation:
    """Return an operation that numpy and Keras have under one name."""
    by_numpy, by_keras = getattr(np, name), getattr(ops, name)

    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        room_for(np.broadcast_shapes(*map(shape_of, inputs)), is_known(*inputs))
        if is_known(*inputs):
            with np.errstate(all="ignore"):
                return np.asarray(by_numpy(*inputs))
        return by_keras(*map(tensor, inputs))

    return run


def _tensors(function: Callable[..., Any]) -> Operation:
    """Return an operation that is computed by the backend, whatever its inputs."""
    return lambda inputs, attributes: function(*map(tensor, inputs))


def _divide(inputs: Sequence[Any], attributes: Attributes) -> Any:
    room_for(np.broadcast_shapes(*map(shape_of, inputs)), is_known(*inputs))
    if is_known(*inputs):
        with np.errstate(all="ignore"):
            return np.asarray(np.true_divide(*inputs).astype(inputs[0].dtype))
    if "int" in dtype_of(inputs[0]):  # TensorFlow's rounds towards zero
        quotient = ops.trunc(ops.divide(*map(tensor, inputs)))
        return ops.cast(quotient, dtype_of(inputs[0]))
    return ops.divide(*map(tensor, inputs))


def _or_zero(function: Callable[..., Any], zero: int) -> Operation:
    """Return an operation that is 0 wherever its input `zero` is, whatever the other one is."""

    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        values = [*map(tensor, inputs)]
        isnt = ops.not_equal(values[zero], 0)
        values[zero] = ops.where(isnt, values[zero], ops.ones_like(values[zero]))
        found = function(*values)
        return ops.where(isnt, found, ops.zeros_like(found))

    return run


def _reduce(name: str) -> Operation:
    by_numpy, by_keras = getattr(np, name), getattr(ops, name)

    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        value, axes = inputs
        axis = tuple(integers(axes, "axes"))
        keep = attributes.flag("keep_dims")
        if not axis:
            return value
        if is_known(value):
            return np.asarray(by_numpy(value, axis=axis, keepdims=keep)).astype(value.dtype)
        found = by_keras(value, axis=axis, keepdims=keep)
        return ops.cast(found, dtype_of(value))

    return run


def _arg(name: str) -> Operation:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        axis = integer(inputs[1], "axis") if len(inputs) > 1 else 0
        wanted = attributes.dtype("output_type", 9).name
        return ops.cast(getattr(ops, name)(tensor(inputs[0]), axis=axis), wanted)

    return run


def _cumulative(name: str) -> Operation:
    def run(inputs: Sequence[Any], attributes: Attributes) -> Any:
        value, axis = tensor(inputs[0]), integer(inputs[1], "axis")
        back, exclusive = attributes.flag("reverse"), attributes.flag("exclusive")
        value = ops.flip(value, axis) if back else value
        found = ops.cast(getattr(ops, name)(value, axis=axis), dtype_of(value))
        if exclusive:
            first = ops.zeros_like if name == "cumsum" else ops.ones_like
            one = ops.take(value, [0], axis=axis)
            kept = ops.take(found, np.arange(value.shape[axis] - 1), axis=axis)
            found = ops.concatenate([first(one), kept], axis=axis)
        found = ops.flip(found, axis) if back else found
        return np.asarray(ops.convert_to_numpy(found)) if is_known(inputs[0]) else found

    return run


def _matmul(inputs: Sequence[Any], attributes: Attributes) -> Any:
    left, right = map(tensor, inputs)
    if attributes.flag("transpose_a") or attributes.flag("adj_x"):
        left = ops.swapaxes(left, -1, -2)
    if attributes.flag("transpose_b") or attributes.flag("adj_y"):
        right = ops.swapaxes(right, -1, -2)
    return ops.matmul(left, right)


def _einsum(inputs: Sequence[Any], attributes: Attributes) -> Any:
    equation = attributes.text("equation")
    if not equation.isascii() or len(equation) > 200:
        raise FormatError(f"The graph is not sound: {equation!r} is no equation.")
    return ops.einsum(equation, *map(tensor, inputs))


def _cast(inputs: Sequence[Any], attributes: Attributes) -> Any:
    wanted = attributes.dtype("DstT")
    if wanted.kind == "O":
        raise FormatError("The graph casts to strings, which Holdfast does not compute.")
    if is_known(inputs[0]):
        return inputs[0].astype(wanted)
    return ops.cast(inputs[0], wanted.name)


def _bucketize(inputs: Sequence[Any], attributes: Attributes) -> Any:
    bounds = np.asarray(attributes.reals("boundaries"), np.float32)
    return ops.cast(ops.searchsorted(tensor(bounds), tensor(inputs[0]), side="right"), "int32")


def _clip(inputs: Sequence[Any], attributes: Attributes) -> Any:
    value, low, high = map(tensor, inputs)
    return ops.minimum(ops.maximum(value, low), high)


def _softmax(function: Callable[..., Any]) -> Operation:
    return lambda inputs, attributes: function(tensor(inputs[0]), axis=-1)


def _leaky_relu(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return ops.leaky_relu(tensor(inputs[0]), attributes.real("alpha", 0.2))


def _add_n(inputs: Sequence[Any], attributes: Attributes) -> Any:
    return functools.reduce(ops.add, map(tensor, inputs))


def _half_square(value: Any) -> Any:
    return ops.sum(ops.square(value)) / 2


def _xlogy(value: Any, other: Any) -> Any:
    return value * ops.log(other)


_SAME_NAME = {
    "Abs": "abs",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Add": "add",
    "AddV2": "add",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atan2": "arctan2",
    "Atanh": "arctanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Equal": "equal",
    "Exp": "exp",
    "Expm1": "expm1",
    "Floor": "floor",
    "FloorDiv": "floor_divide",
    "FloorMod": "mod",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "IsFinite": "isfinite",
    "IsInf": "isinf",
    "IsNan": "isnan",
    "Less": "less",
    "LessEqual": "less_equal",
    "Log": "log",
    "Log1p": "log1p",
    "LogicalAnd": "logical_and",
    "LogicalNot": "logical_not",
    "LogicalOr": "logical_or",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Mul": "multiply",
    "Neg": "negative",
    "NotEqual": "not_equal",
    "Pow": "power",
    "Rint": "round",
    "Round": "round",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Square": "square",
    "Sub": "subtract",
    "Tan": "tan",
    "Tanh": "tanh",
}

OPERATIONS: Mapping[str, Operation] = {
    **{op: _elementwise(name) for op, name in _SAME_NAME.items()},
    "AddN": _add_n,
    "All": _reduce("all"),
    "Any": _reduce("any"),
    "ArgMax": _arg("argmax"),
    "ArgMin": _arg("argmin"),
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Bucketize": _bucketize,
    "Cast": _cast,
    "ClipByValue": _clip,
    "Cumprod": _cumulative("cumprod"),
    "Cumsum": _cumulative("cumsum"),
    "Div": _divide,
    "DivNoNan": _or_zero(ops.divide, 1),
    "Einsum": _einsum,
    "Elu": _tensors(ops.elu),
    "Erf": _tensors(ops.erf),
    "Erfc": _tensors(lambda value: 1 - ops.erf(value)),
    "Inv": _tensors(ops.reciprocal),
    "L2Loss": _tensors(_half_square),
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax(ops.log_softmax),
    "MatMul": _matmul,
    "Max": _reduce("max"),
    "Mean": _reduce("mean"),
    "Min": _reduce("min"),
    "Mod": _tensors(lambda a, b: a - b * ops.trunc(a / b)),
    "MulNoNan": _or_zero(ops.multiply, 1),
    "Prod": _reduce("prod"),
    "RealDiv": _divide,
    "Reciprocal": _tensors(ops.reciprocal),
    "Relu": _tensors(ops.relu),
    "Relu6": _tensors(ops.relu6),
    "Rsqrt": _tensors(ops.rsqrt),
    "Selu": _tensors(ops.selu),
    "Sigmoid": _tensors(ops.sigmoid),
    "Softmax": _softmax(ops.softmax),
    "Softplus": _tensors(ops.softplus),
    "Softsign": _tensors(ops.softsign),
    "SquaredDifference": _tensors(lambda a, b: ops.square(a - b)),
    "Sum": _reduce("sum"),
    "Xdivy": _or_zero(ops.divide, 0),
    "Xlogy": _or_zero(_xlogy, 0),
}
