"""TensorFlow's operations in a model of Keras 2, as layers that compute them with Keras 3's.

Owns which operations are let through, by TensorFlow's names for them and for their arguments, and
how a call becomes the arguments of `holdfast.layers.Operation`, which computes it. An operation
that is not in the tables is a problem that names it.

A size that a program took from a tensor's shape, to reshape another by it, is computed within the
layer that uses it: a backend that compiles must know it then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from holdfast.errors import FormatError
from holdfast.formats.legacy import node_defs, values
from holdfast.formats.legacy.context import Context, Place, made
from holdfast.types import Json

_LAYERS = frozenset(["TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"])

_OF_TWO = (
    "add subtract multiply truediv floordiv floormod pow maximum minimum squared_difference "
    "greater greater_equal less less_equal equal not_equal logical_and logical_or atan2 "
    "divide_no_nan"
)
_OF_ONE = (
    "abs negative exp expm1 log log1p sqrt rsqrt square reciprocal sign floor ceil round sin cos "
    "tan asin acos atan sinh cosh tanh asinh acosh atanh erf sigmoid log_sigmoid logical_not "
    "is_nan is_inf is_finite trace det inv diag_part"
)
_ACTIVATIONS = "relu relu6 elu selu softplus softsign silu"
_REDUCTIONS = (
    "reduce_mean reduce_sum reduce_max reduce_min reduce_prod reduce_std reduce_variance "
    "reduce_logsumexp reduce_any reduce_all"
)
_WITH_TYPE = "identity stop_gradient zeros_like ones_like shape rank size"

# By the name in `holdfast.layers.Operation`: the arguments that it takes, in order.
OPERATIONS: Mapping[str, str] = {
    **dict.fromkeys(_OF_TWO.split(), "x y"),
    **dict.fromkeys(_OF_ONE.split(), "x"),
    **dict.fromkeys(_ACTIVATIONS.split(), "features"),
    **dict.fromkeys(_REDUCTIONS.split(), "input_tensor axis keepdims"),
    **dict.fromkeys(_WITH_TYPE.split(), "x dtype"),
    "leaky_relu": "features alpha",
    "gelu": "features approximate",
    "softmax": "logits axis",
    "log_softmax": "logits axis",
    "l2_normalize": "x axis epsilon",
    "norm": "tensor order axis keepdims",
    "argmax": "x axis output_type",
    "argmin": "x axis output_type",
    "cumsum": "x axis exclusive reverse",
    "cumprod": "x axis exclusive reverse",
    "sort": "values axis direction",
    "argsort": "values axis direction",
    "top_k": "x k",
    "add_n": "inputs",
    "clip_by_value": "t clip_value_min clip_value_max",
    "where": "condition x y",
    "cast": "x dtype",
    "one_hot": "indices depth on_value off_value axis dtype",
    "reshape": "tensor shape",
    "transpose": "a perm",
    "concat": "values axis",
    "stack": "values axis",
    "unstack": "value num axis",
    "split": "value num_or_size_splits axis",
    "expand_dims": "x axis",
    "squeeze": "x axis",
    "tile": "x multiples",
    "pad": "tensor paddings mode constant_values",
    "repeat": "x repeats axis",
    "reverse": "tensor axis",
    "roll": "x shift axis",
    "gather": "params indices axis batch_dims",
    "slice": "input_ begin size",
    "getitem": "tensor slice_spec",
    "broadcast_to": "x shape",
    "fill": "dims value",
    "range": "start limit delta dtype",
    "matmul": "a b transpose_a transpose_b",
    "tensordot": "a b axes",
    "bias_add": "value bias",
    "moments": "x axes keepdims",
    "diag": "diagonal",
    "matrix_transpose": "a",
    "resize": "images size method antialias",
    "flip_left_right": "image",
    "flip_up_down": "image",
    "max_pool2d": "x ksize strides padding",
    "avg_pool2d": "x ksize strides padding",
    "depth_to_space": "x block_size",
    "space_to_depth": "x block_size",
}

# TensorFlow's names, without what they begin with, that are none of the above.
_OTHER_NAMES = {
    "__operators__.add": "add",
    "__operators__.getitem": "getitem",
    "add_v2": "add",
    "argmax_v2": "argmax",
    "avg_pool": "avg_pool2d",
    "div": "truediv",
    "div_no_nan": "divide_no_nan",
    "divide": "truediv",
    "floor_div": "floordiv",
    "gather_v2": "gather",
    "l2_norm": "norm",
    "max_pool": "max_pool2d",
    "mod": "floormod",
    "mul": "multiply",
    "neg": "negative",
    "pow_v2": "pow",
    "reduce_euclidean_norm": "norm",
    "swish": "silu",
    "sub": "subtract",
    "where_v2": "where",
    "xdivy": "",
}

# The parts of TensorFlow where these names mean these operations.
_SPACES = ("", "math.", "nn.", "linalg.", "image.", "random.experimental.")

# With these names, TensorFlow's first interface computed something else.
_NOT_IN_V1 = frozenset(["resize", "argmax", "div"])

# Arguments under their older names, and those that change nothing.
_OTHER_ARGUMENTS = {
    "keep_dims": "keepdims",
    "ord": "order",
    "dim": "axis",
    "reduction_indices": "axis",
    "squeeze_dims": "axis",
    "tensors": "values",
    "out_type": "dtype",
    "negative_slope": "alpha",
}
_WITHOUT_EFFECT = frozenset(["name", "validate_indices", "num"])

# All that the sizes of a shape go through on their way to where they are used.
_THROUGH = (
    "getitem add subtract multiply floordiv truediv floormod maximum minimum stack concat cast "
    "unstack identity reduce_prod expand_dims squeeze"
)
_OF_SHAPES = frozenset(_THROUGH.split())
_MOST_PARTS = 1000


class Reference(NamedTuple):
    """A tensor within a model, as its file counts: a layer's name, its call, its output."""

    layer: str
    node: int
    output: int


class Called(NamedTuple):
    """An operation and what it is called on, with references to tensors; no name: not known."""

    operation: str
    arguments: Mapping[str, Any]


def is_operation(class_name: str) -> bool:
    """Return whether a layer of this class is one of TensorFlow's operations."""
    return class_name in _LAYERS


def read(
    spec: Json, calls: Sequence[tuple[Any, Mapping[str, Any]]], context: Context, place: Place
) -> Called:
    """Return what a layer computes; what it cannot be made to becomes a problem.

    Args:
        spec: the layer as the file has it.
        calls: each time it is called, what on and what with, with references to tensors.
        context: gathers problems.
        place: of the layer.
    """
    nothing = Called("", {})
    if any(call != calls[0] for call in calls[1:]):
        context.unsupported(place, "it is an operation that is called in two ways")
        return nothing
    config = spec.get("config")
    if not isinstance(config, dict) or not calls:
        context.unsupported(place, "it is an operation, and the file does not say on what")
        return nothing
    inputs, told = calls[0]
    if spec["class_name"] == "TensorFlowOpLayer":
        name, arguments, why = node_defs.read(config, inputs)
        if why:
            context.unsupported(place, why)
            return nothing
        return Called(name, arguments)
    symbol = str(config.get("function"))
    operation = _operation(symbol)
    if symbol == "einsum":
        context.unsupported(place, "it is an einsum, of which Keras 2 did not save the operands")
        return nothing
    if operation is None:
        context.unsupported(
            place, f"it is TensorFlow's operation {symbol!r}, which has no equal here"
        )
        return nothing
    return Called(operation, _arguments(operation, symbol, inputs, told, context, place))


def is_shape(layer: str, called: Mapping[str, Called], depth: int = 0) -> bool:
    """Return whether an operation computes sizes from the shape of a tensor, and nothing else."""
    one = called.get(layer)
    if one is None or depth > _MOST_PARTS:
        return False
    if one.operation == "shape":
        return True
    inputs = {tensor.layer for tensor in _references(one.arguments)}
    return (
        one.operation in _OF_SHAPES
        and bool(inputs)
        and layer not in inputs
        and all(is_shape(each, called, depth + 1) for each in inputs)
    )


def layer(
    old: str, called: Mapping[str, Called], new: str, context: Context, place: Place
) -> tuple[Json, list[Reference]]:
    """Return the layer that computes an operation, and the tensors that it is called on.

    Args:
        old: the layer's name in the file.
        called: all operations of the model, by their layers' names in the file.
        new: the layer's name in Keras 3.
        context: gathers problems.
        place: of the layer.
    """
    tensors: list[Reference] = []
    parts = 0

    def part(value: Any) -> Json:
        nonlocal parts
        parts += 1
        if parts > _MOST_PARTS + len(called):
            raise FormatError(f"{place}: it is computed from too many sizes of shapes")
        if isinstance(value, Reference):
            if is_shape(value.layer, called):
                inner = called[value.layer]
                return {
                    "op": inner.operation,
                    "arguments": {key: part(each) for key, each in inner.arguments.items()},
                    "output": value.output,
                }
            if value not in tensors:
                tensors.append(value)
            return {"tensor": tensors.index(value)}
        if isinstance(value, list):
            return [part(each) for each in value]
        if isinstance(value, dict):
            return _marked(value, part)
        return value

    one = called[old]
    arguments = {key: part(value) for key, value in one.arguments.items()}
    if one.operation and not tensors:
        context.unsupported(
            place, f"the file does not say on what tensors its {one.operation} is called"
        )
    config = {"name": new, "op": one.operation, "arguments": arguments}
    return made("holdfast.layers", "Operation", config, "holdfast>Operation"), tensors


def _marked(value: dict[str, Any], part: Any) -> Json:
    if value.get("class_name") == "__ellipsis__":
        return {"ellipsis": True}
    if value.keys() == {"start", "stop", "step"}:
        return {"slice": [part(value[key]) for key in ("start", "stop", "step")]}
    if "class_name" in value and "config" in value:
        return part(value["config"])
    raise FormatError(f"an operation is called with {value!r:.80}")


def _operation(symbol: str) -> str | None:
    """Return the operation that a symbol of TensorFlow's stands for."""
    name = symbol.removeprefix("compat.v1.")
    old = name != symbol
    for space in sorted(_SPACES, key=len, reverse=True):
        if name.startswith(space):
            name = name.removeprefix(space)
            break
    name = _OTHER_NAMES.get(name, name)
    if name not in OPERATIONS or (old and name in _NOT_IN_V1):
        return None
    return name


def _arguments(
    operation: str,
    symbol: str,
    inputs: Any,
    told: Mapping[str, Any],
    context: Context,
    place: Place,
) -> dict[str, Any]:
    known = OPERATIONS[operation].split()
    arguments: dict[str, Any] = {known[0]: inputs}
    for key, value in told.items():
        name = key if key in known else _OTHER_ARGUMENTS.get(key, key)
        if name not in known and key in ("axis", "dim") and "axes" in known:
            name = "axes"
        if name in known:
            if value is not None:
                arguments[name] = _type(value) if name in ("dtype", "output_type") else value
        elif not _changes_nothing(key, value):
            context.unsupported(
                place, f"TensorFlow's {symbol!r} is called with {key}={value!r:.60}, not known here"
            )
    return arguments


def _changes_nothing(key: str, value: Any) -> bool:
    if key == "data_format":
        return value in (None, "NHWC")
    return value is None or value is False or key in _WITHOUT_EFFECT


def _type(value: Any) -> Any:
    return values.policy(value) or value


def _references(value: Any) -> list[Reference]:
    if isinstance(value, Reference):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return [each for item in value for each in _references(item)]
    return []
