"""Writes a SavedModel: in the child process, on TensorFlow.

Owns the traced function that also `.onnx` and `.tflite` are made of. Imports TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from holdfast.exporting.tasks import Task
from holdfast.judge.keras_model import flat, packed, signature_of


def write(model: Any, task: Task, target: Path) -> None:
    """Write a directory with the endpoint `serving_default`."""
    # Not tf.saved_model.save of a tf.Module: LiteRT's converter would leave the weights as
    # variables that nothing initializes.
    made = keras.export.ExportArchive()
    made.track(model)
    made.add_endpoint("serving_default", forward(model, task), input_signature=specs(model, task))
    made.write_out(str(target), verbose=False)


def forward(model: Any, task: Task) -> Any:
    """Return the function that the file has: arrays in the model's order, outputs by name."""

    def call(*arrays: Any) -> dict[str, Any]:
        outputs = flat(model(packed(model, arrays), training=False))
        # TensorFlow refuses an output that is an input as it came.
        return {
            name: tf.identity(part, name=name)
            for name, part in zip(task.outputs, outputs, strict=True)
        }

    return call


def specs(model: Any, task: Task) -> list[tf.TensorSpec]:
    """Return the inputs as TensorFlow describes them."""
    return [
        tf.TensorSpec((task.batch, *tensor.sample), tensor.dtype, name=name)
        for name, tensor in zip(task.inputs, signature_of(model).inputs, strict=True)
    ]
