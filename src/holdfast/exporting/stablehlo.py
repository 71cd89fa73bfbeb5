"""Writes `.stablehlo`: in the child process, on JAX, by jax.export.

The file is what `jax.export` serializes: a program for CPU, CUDA and TPU whose weights are in it,
with a batch of any size. Its function takes a dict by the inputs' names and gives one by the
outputs'. Imports JAX.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import keras
from jax import export

from holdfast.exporting.tasks import Task
from holdfast.judge.keras_model import flat, packed, signature_of

_PLATFORMS = ("cpu", "cuda", "tpu")


def write(model: Any, task: Task, target: Path) -> None:
    """Write the file."""

    def forward(feed: dict[str, Any]) -> dict[str, Any]:
        arrays = packed(model, [feed[name] for name in task.inputs])
        # What layers would note down while they are traced goes with the scope.
        with keras.StatelessScope():
            outputs = model(arrays, training=False)
        return dict(zip(task.outputs, flat(outputs), strict=True))

    target.write_bytes(_lowered(jax.jit(forward), model, task).serialize())


def _lowered(function: Any, model: Any, task: Task) -> Any:
    """Lower for all devices, with free lengths; for fewer and with equal ones if that cannot be."""
    first: Exception | None = None
    for platforms in (_PLATFORMS, _PLATFORMS[:1]):
        for equal in (False, True):
            try:
                return export.export(function, platforms=platforms)(_shapes(model, task, equal))
            except Exception as error:  # of JAX, or of a layer that it traces
                first = first or error
    assert first is not None
    raise first


def _shapes(model: Any, task: Task, equal: bool) -> dict[str, Any]:
    """Describe the inputs. Of dimensions of any length, those at the same place may be equal."""
    scope = export.SymbolicScope()
    shapes = {}
    for number, tensor in enumerate(signature_of(model).inputs):
        sizes: list[Any] = [task.batch or "batch"]
        sizes += [
            (f"length_{place}" if equal else f"length_{number}_{place}") if size is None else size
            for place, size in enumerate(tensor.sample, 1)
        ]
        shape = export.symbolic_shape(", ".join(map(str, sizes)), scope=scope)
        shapes[task.inputs[number]] = jax.ShapeDtypeStruct(shape, tensor.dtype)
    return shapes
