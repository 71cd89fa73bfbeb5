"""Operations as TensorFlow 2.0 to 2.3 kept them in a model: a node of a graph.

Owns TensorFlow's names for kernels and their attributes. Leaves what is computed to
`holdfast.layers.Operation`, by the names in `operations`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from holdfast.types import Json

# Kernel: (operation, its inputs in order, attribute -> argument).
_KERNELS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    kernel: (operation, inputs, attributes)
    for operation, inputs, attributes, kernels in (
        ("add", "x y", {}, "Add AddV2 BiasAdd"),
        ("subtract", "x y", {}, "Sub"),
        ("multiply", "x y", {}, "Mul"),
        ("truediv", "x y", {}, "RealDiv Div"),
        ("floordiv", "x y", {}, "FloorDiv"),
        ("floormod", "x y", {}, "FloorMod"),
        ("pow", "x y", {}, "Pow"),
        ("maximum", "x y", {}, "Maximum"),
        ("minimum", "x y", {}, "Minimum"),
        ("squared_difference", "x y", {}, "SquaredDifference"),
        ("divide_no_nan", "x y", {}, "DivNoNan"),
        ("greater", "x y", {}, "Greater"),
        ("greater_equal", "x y", {}, "GreaterEqual"),
        ("less", "x y", {}, "Less"),
        ("less_equal", "x y", {}, "LessEqual"),
        ("equal", "x y", {}, "Equal"),
        ("not_equal", "x y", {}, "NotEqual"),
        ("logical_and", "x y", {}, "LogicalAnd"),
        ("logical_or", "x y", {}, "LogicalOr"),
        ("logical_not", "x", {}, "LogicalNot"),
        ("abs", "x", {}, "Abs"),
        ("negative", "x", {}, "Neg"),
        ("exp", "x", {}, "Exp"),
        ("log", "x", {}, "Log"),
        ("log1p", "x", {}, "Log1p"),
        ("sqrt", "x", {}, "Sqrt"),
        ("rsqrt", "x", {}, "Rsqrt"),
        ("square", "x", {}, "Square"),
        ("reciprocal", "x", {}, "Reciprocal Inv"),
        ("sign", "x", {}, "Sign"),
        ("floor", "x", {}, "Floor"),
        ("ceil", "x", {}, "Ceil"),
        ("round", "x", {}, "Round"),
        ("sin", "x", {}, "Sin"),
        ("cos", "x", {}, "Cos"),
        ("tanh", "x", {}, "Tanh"),
        ("erf", "x", {}, "Erf"),
        ("sigmoid", "x", {}, "Sigmoid"),
        ("relu", "features", {}, "Relu"),
        ("relu6", "features", {}, "Relu6"),
        ("elu", "features", {}, "Elu"),
        ("selu", "features", {}, "Selu"),
        ("softplus", "features", {}, "Softplus"),
        ("softsign", "features", {}, "Softsign"),
        ("leaky_relu", "features", {"alpha": "alpha"}, "LeakyRelu"),
        ("softmax", "logits", {}, "Softmax"),
        ("log_softmax", "logits", {}, "LogSoftmax"),
        ("identity", "x", {}, "Identity"),
        ("stop_gradient", "x", {}, "StopGradient"),
        ("zeros_like", "x", {}, "ZerosLike"),
        ("ones_like", "x", {}, "OnesLike"),
        ("shape", "x", {}, "Shape"),
        ("cast", "x", {"DstT": "dtype"}, "Cast"),
        ("reduce_mean", "input_tensor axis", {"keep_dims": "keepdims"}, "Mean"),
        ("reduce_sum", "input_tensor axis", {"keep_dims": "keepdims"}, "Sum"),
        ("reduce_max", "input_tensor axis", {"keep_dims": "keepdims"}, "Max"),
        ("reduce_min", "input_tensor axis", {"keep_dims": "keepdims"}, "Min"),
        ("reduce_prod", "input_tensor axis", {"keep_dims": "keepdims"}, "Prod"),
        ("reduce_any", "input_tensor axis", {"keep_dims": "keepdims"}, "Any"),
        ("reduce_all", "input_tensor axis", {"keep_dims": "keepdims"}, "All"),
        ("argmax", "x axis", {"output_type": "output_type"}, "ArgMax"),
        ("argmin", "x axis", {"output_type": "output_type"}, "ArgMin"),
        ("cumsum", "x axis", {"exclusive": "exclusive", "reverse": "reverse"}, "Cumsum"),
        ("reshape", "tensor shape", {}, "Reshape"),
        ("transpose", "a perm", {}, "Transpose"),
        ("expand_dims", "x axis", {}, "ExpandDims"),
        ("squeeze", "x", {"squeeze_dims": "axis"}, "Squeeze"),
        ("tile", "x multiples", {}, "Tile"),
        ("pad", "tensor paddings", {}, "Pad"),
        ("pad", "tensor paddings constant_values", {}, "PadV2"),
        ("reverse", "tensor axis", {}, "ReverseV2"),
        ("gather", "params indices axis", {"batch_dims": "batch_dims"}, "GatherV2"),
        ("slice", "input_ begin size", {}, "Slice"),
        ("where", "condition x y", {}, "Select SelectV2"),
        ("clip_by_value", "t clip_value_min clip_value_max", {}, "ClipByValue"),
        ("one_hot", "indices depth on_value off_value", {"axis": "axis"}, "OneHot"),
        ("matmul", "a b", {"transpose_a": "transpose_a", "transpose_b": "transpose_b"}, "MatMul"),
        ("matmul", "a b", {"adj_x": "transpose_a", "adj_y": "transpose_b"}, "BatchMatMulV2"),
        ("broadcast_to", "x shape", {}, "BroadcastTo"),
        ("depth_to_space", "x", {"block_size": "block_size"}, "DepthToSpace"),
        ("space_to_depth", "x", {"block_size": "block_size"}, "SpaceToDepth"),
        ("stack", "*values", {"axis": "axis"}, "Pack"),
        ("unstack", "value", {"axis": "axis"}, "Unpack"),
        ("concat", "*values axis", {}, "ConcatV2"),
        ("add_n", "*inputs", {}, "AddN"),
        ("split", "axis value", {"num_split": "num_or_size_splits"}, "Split"),
    )
    for kernel in kernels.split()
}

_TYPES = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_HALF": "float16",
    "DT_BFLOAT16": "bfloat16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_INT16": "int16",
    "DT_INT8": "int8",
    "DT_UINT8": "uint8",
    "DT_BOOL": "bool",
}

# Bits of a slice's masks, by the dimension of the slice.
_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def read(config: Mapping[str, Json], inputs: Any) -> tuple[str, dict[str, Any], str]:
    """Return an operation, its arguments, and why not, if it has no equal here.

    Args:
        config: of the layer: `node_def`, and `constants` by the number of the input.
        inputs: the tensors that it is called on, in order.
    """
    node = config.get("node_def")
    if isinstance(node, str):
        try:
            node = json.loads(node)
        except ValueError:
            node = None
    if not isinstance(node, dict) or not isinstance(node.get("attr", {}), dict):
        return "", {}, "it is an operation whose node of TensorFlow's graph cannot be read"
    kernel = str(node.get("op"))
    attributes = {name: _attribute(value) for name, value in node.get("attr", {}).items()}
    given = _inputs(config.get("constants"), inputs)
    if kernel == "StridedSlice":
        return _strided_slice(given, attributes)
    if kernel not in _KERNELS:
        return "", {}, f"it is TensorFlow's operation {kernel!r}, which has no equal here"
    operation, names, renamed = _KERNELS[kernel]
    arguments = _named(given, names.split())
    if arguments is None:
        return "", {}, f"TensorFlow's {kernel!r} is called on {len(given)} tensors"
    for name, argument in renamed.items():
        if attributes.get(name) is not None:
            arguments[argument] = attributes[name]
    if operation == "squeeze" and arguments.get("axis") == []:
        del arguments["axis"]
    return operation, arguments, ""


def _inputs(constants: Json, inputs: Any) -> list[Any]:
    """Return all inputs in order: constants at their numbers, tensors between them."""
    known = constants if isinstance(constants, dict) else {}
    places = {int(number): value for number, value in known.items() if str(number).isdecimal()}
    tensors = list(inputs) if isinstance(inputs, list) else [inputs]
    found: list[Any] = []
    while tensors or len(found) in places:
        found.append(places[len(found)] if len(found) in places else tensors.pop(0))
    return found


def _named(given: list[Any], names: list[str]) -> dict[str, Any] | None:
    if names[0].startswith("*"):
        many = len(given) - (len(names) - 1)
        if many < 1:
            return None
        rest = dict(zip(names[1:], given[many:], strict=True))
        return {names[0][1:]: given[:many], **rest}
    if len(given) > len(names) or not given:
        return None
    return dict(zip(names, given, strict=False))


def _attribute(value: Json) -> Any:
    if not isinstance(value, dict):
        return None
    if "type" in value:
        return _TYPES.get(value["type"])
    if "i" in value:
        return int(value["i"]) if str(value["i"]).lstrip("-").isdecimal() else None
    if "list" in value and isinstance(value["list"], dict):
        return [
            int(each) for each in value["list"].get("i", []) if str(each).lstrip("-").isdecimal()
        ]
    return value.get("b", value.get("f"))


def _strided_slice(
    given: list[Any], attributes: Mapping[str, Any]
) -> tuple[str, dict[str, Any], str]:
    """Return a slice as `getitem` takes it: its bounds, and what the masks say of them."""
    bounds = given[1:]
    if len(given) != 4 or not all(isinstance(each, list) for each in bounds):
        return "", {}, "it is a slice whose bounds are computed"
    masks = [int(attributes.get(name) or 0) for name in _MASKS]
    spec: list[Any] = []
    for place, (start, stop, step) in enumerate(zip(*bounds, strict=False)):
        begins, ends, ellipsis, new, single = (mask >> place & 1 for mask in masks)
        if ellipsis:
            spec.append({"class_name": "__ellipsis__"})
        elif new:
            spec.append(None)
        elif single:
            spec.append(start)
        else:
            spec.append(
                {
                    "start": None if begins else start,
                    "stop": None if ends else stop,
                    "step": step,
                }
            )
    return "getitem", {"tensor": given[0], "slice_spec": spec}, ""
