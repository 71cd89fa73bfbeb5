"""Writes `.tflite`: in the child process, on TensorFlow, by LiteRT's converter.

Owns the conversion, also to int8 and float16, and how recurrent layers become what LiteRT has
operations for. Imports TensorFlow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from holdfast.errors import ExportError
from holdfast.exporting import archive
from holdfast.exporting.tasks import Task
from holdfast.keras_private import all_layers


def write(model: Any, task: Task, target: Path) -> None:
    """Write the file.

    Raises:
        ExportError: a recurrent layer is given sequences of unknown length.
    """
    _unroll(model)
    with tempfile.TemporaryDirectory(prefix=".saved-", dir=target.parent) as folder:
        saved = Path(folder) / "model"
        _save(model, task, saved)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        if task.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if task.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif task.precision == "int8":
            assert task.calibration is not None
            converter.representative_dataset = _samples(task.calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        target.write_bytes(converter.convert())


def _save(model: Any, task: Task, saved: Path) -> None:
    try:
        archive.write(model, task, saved)
    except ValueError as error:
        if "unroll" not in str(error):
            raise
        raise ExportError(
            "LiteRT runs recurrent layers over a known number of steps, and the model takes "
            "sequences of any length: build it with Input((steps, ...))"
        ) from error


def _unroll(model: Any) -> None:
    """Let recurrent layers write out their steps: LiteRT has no lists of tensors to loop over."""
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.RNN):
            layer.unroll = True


def _samples(path: str) -> Any:
    def each() -> Iterator[dict[str, Any]]:
        with np.load(path) as inputs:
            whole = {name: inputs[name] for name in inputs.files}
        for row in range(len(next(iter(whole.values())))):
            yield {name: part[row : row + 1] for name, part in whole.items()}

    return each
