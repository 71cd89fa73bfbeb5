"""Writes `.onnx`: in the child process, on TensorFlow, by tf2onnx.

Keras's own ONNX export on JAX gives files that onnxruntime refuses for some models with a free
batch. This way has none such.

Owns the conversion and the names and dimensions in the file. Leaves int8 and float16 to
`quantizing`. Imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from holdfast.errors import ExportError
from holdfast.exporting import archive
from holdfast.exporting.tasks import Task

OPSET = 18
# What one message of Protocol Buffers can hold.
_LARGEST = 2**31 - 1
_LARGE = 2**24


def write(model: Any, task: Task, target: Path) -> None:
    """Write the file.

    Raises:
        ExportError: it would be too large, or ONNX has no such operation.
    """
    if _size(model) > _LARGEST:
        raise ExportError(
            f"an .onnx holds less than 2 GiB, and the weights are {_size(model)} bytes"
        )
    made = _converted(model, task)
    _check_operations(made)
    _name_dimensions(made, task)
    onnx.save(made, target)
    if task.precision != "float32":
        from holdfast.exporting import quantizing

        quantizing.rewrite(target, task)


def _converted(model: Any, task: Task) -> onnx.ModelProto:
    import tf2onnx

    specs = archive.specs(model, task)
    concrete = tf.function(archive.forward(model, task)).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(
        concrete, lower_control_flow=False, aggressive_inlining=True
    )
    inputs = [tensor.name for tensor in frozen.inputs]
    # TensorFlow has the outputs in the order of their names.
    outputs = dict(zip(sorted(task.outputs), (part.name for part in frozen.outputs), strict=True))
    wanted = [outputs[name] for name in task.outputs]
    if not hasattr(np, "product"):
        # numpy 2 has it no more, and the converter calls it.
        setattr(np, "product", np.prod)  # noqa: B010
    graph = frozen.graph.as_graph_def()
    _allow_inlining(graph)
    made, aside = tf2onnx.convert.from_graph_def(
        graph,
        name=model.name,
        input_names=inputs,
        output_names=wanted,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
        # Large arrays are passed by the converter, which would hold each some fifty times.
        large_model=_size(model) > _LARGE,
        tensors_to_rename=dict(zip([*inputs, *wanted], [*task.inputs, *task.outputs], strict=True)),
    )
    if aside is not None:
        _put_back(made, aside.name_to_tensor_data)
    return made


def _allow_inlining(graph: Any) -> None:
    """Let functions that XLA would compile, as of grouped convolutions, be taken apart."""
    nodes = [*graph.node, *(node for part in graph.library.function for node in part.node_def)]
    for part in [*nodes, *graph.library.function]:
        for name in ("_XlaMustCompile", "_noinline"):
            part.attr.pop(name, None)


def _put_back(made: onnx.ModelProto, arrays: dict[str, bytes]) -> None:
    """Put arrays that the converter has kept aside into the file."""
    for tensor in onnx.external_data_helper._get_all_tensors(made):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            (place,) = (part.value for part in tensor.external_data if part.key == "location")
            tensor.raw_data = arrays[place]
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]


def _size(model: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.weights) * 4


def _erfc(context: Any, node: Any, name: str, _: Any) -> None:
    """Write 1 - Erf(x), as ONNX has no Erfc."""
    dtype, shape = context.get_dtype(node.output[0]), context.get_shape(node.output[0])
    given, output = node.input[0], node.output[0]
    context.remove_node(node.name)
    erf = context.make_node("Erf", [given], shapes=[shape], dtypes=[dtype])
    one = context.make_const(
        f"{name}_one", np.array(1, onnx.helper.tensor_dtype_to_np_dtype(dtype))
    )
    context.make_node(
        "Sub",
        [one.output[0], erf.output[0]],
        outputs=[output],
        shapes=[shape],
        dtypes=[dtype],
        name=name,
    )


def _check_operations(made: onnx.ModelProto) -> None:
    # The converter writes the names of operations that it does not know as they are.
    lacking = sorted({node.op_type for node in _nodes(made.graph) if not _known(node)})
    if lacking:
        raise ExportError(f"ONNX has no operation for TensorFlow's {', '.join(lacking)}")


def _known(node: onnx.NodeProto) -> bool:
    domain: str = node.domain
    return domain not in ("", "ai.onnx", "ai.onnx.ml") or bool(onnx.defs.has(node.op_type, domain))


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    found = list(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found += _nodes(attribute.g)
    return found


def _name_dimensions(made: onnx.ModelProto, task: Task) -> None:
    """Call the first dimension `batch`, and others of any length after what has them."""
    _order(made.graph.input, task.inputs)
    _order(made.graph.output, task.outputs)
    for tensor in [*made.graph.input, *made.graph.output]:
        for place, size in enumerate(tensor.type.tensor_type.shape.dim):
            if size.WhichOneof("value") == "dim_value" and size.dim_value > 0:
                continue
            size.dim_param = "batch" if place == 0 else f"{tensor.name}_{place}"


def _order(parts: Any, names: Sequence[str]) -> None:
    by_name = {part.name: part for part in parts}
    ordered = [by_name[name] for name in names]
    copies = [type(part).FromString(part.SerializeToString()) for part in ordered]
    del parts[:]
    parts.extend(copies)
