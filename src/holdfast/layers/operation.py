"""A layer that computes one of TensorFlow's operations with Keras's, on any backend.

Owns calling: which of an operation's arguments are tensors, and sizes that are taken from shapes.
Leaves what each operation computes to `arithmetic` and `shapes`.
"""

from __future__ import annotations

from typing import Any

import keras

from holdfast.layers import arithmetic, shapes

_OPERATIONS = {**arithmetic.OPERATIONS, **shapes.OPERATIONS}


@keras.saving.register_keras_serializable(package="holdfast")
class Operation(keras.layers.Layer):  # type: ignore[misc]
    """Computes one operation, as TensorFlow does.

    Args:
        op: which one: `reduce_mean`.
        arguments: by TensorFlow's names. `{"tensor": 0}` stands for the first tensor that the layer
            is called on, `{"slice": [start, stop, step]}` and `{"ellipsis": true}` for what they
            say, and `{"op": …, "arguments": …, "output": 0}` for a size from a tensor's shape.
        options: of every layer.
    """

    def __init__(self, op: str, arguments: dict[str, Any], **options: Any) -> None:
        super().__init__(**{**options, "autocast": False})
        if op not in _OPERATIONS:
            raise ValueError(f"op must be one of {', '.join(sorted(_OPERATIONS))}; found {op!r}")
        self.op = op
        self.arguments = arguments
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the operation."""
        tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        arguments = {key: _value(value, tensors) for key, value in self.arguments.items()}
        return _OPERATIONS[self.op](**arguments)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "op": self.op, "arguments": self.arguments}


def _value(part: Any, tensors: list[Any]) -> Any:
    if isinstance(part, (list, tuple)):
        return [_value(each, tensors) for each in part]
    if not isinstance(part, dict):
        return part
    if "tensor" in part:
        return tensors[part["tensor"]]
    if "ellipsis" in part:
        return ...
    if "slice" in part:
        return slice(*(_value(each, tensors) for each in part["slice"]))
    arguments = {key: _value(value, tensors) for key, value in part["arguments"].items()}
    found = shapes.OF_SIZES[part["op"]](**arguments)
    return found[part["output"]] if part["op"] == "unstack" else found
