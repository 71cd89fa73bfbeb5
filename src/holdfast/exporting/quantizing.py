"""Rewrites an `.onnx` in int8 or float16: in the child process, by onnxruntime's own tools.

The inputs and outputs stay float32. Owns how the tools are used. Leaves measuring what was lost to
`exporting/measuring`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from holdfast.exporting.tasks import Task


def rewrite(path: Path, task: Task) -> None:
    """Put the narrower file in the place of the one that is there."""
    if task.precision == "float16":
        _float16(path)
    else:
        assert task.calibration is not None
        _int8(path, task.calibration)


def _float16(path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


def _int8(path: Path, calibration: str) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
        shape_inference,
    )

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        """Gives the calibration inputs one by one."""

        def __init__(self) -> None:
            with np.load(calibration) as inputs:
                self._whole = {name: inputs[name] for name in inputs.files}
            self._rows = iter(range(len(next(iter(self._whole.values())))))

        def get_next(self) -> dict[str, Any] | None:
            row = next(self._rows, None)
            if row is None:
                return None
            return {name: part[row : row + 1] for name, part in self._whole.items()}

    prepared, narrow = path.with_suffix(".prepared.onnx"), path.with_suffix(".int8.onnx")
    shape_inference.quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(narrow),
        Samples(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    prepared.unlink()
    narrow.replace(path)
