"""What a child process is asked to write. Owns the question's form; both sides import it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Task:
    """One file to write.

    Args:
        model: the `.keras` to read.
        format: of the new file.
        target: its path; nothing is there.
        inputs, outputs: their names in the new file, in the model's order.
        batch: the size of a batch where the model has a fixed one.
        precision: `float32`, `float16` or `int8`.
        calibration: an `.npz` with inputs by name, for int8.
        custom: classes and functions by the names that the configuration has, each as its
            module and its name there.
        modules: to import, which register what they have with Keras.
    """

    model: str
    format: str
    target: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    batch: int | None = None
    precision: str = "float32"
    calibration: str | None = None
    custom: Mapping[str, Sequence[str]] = field(default_factory=dict)
    modules: Sequence[str] = ()
