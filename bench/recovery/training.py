"""The training that every contender runs, and its data.

Owns the numbers: the same for all. From the third epoch on the learning rate is far too large, so
that the best epoch lies before the kill and every later one is worse. Leaves the model to
`keras_parts` and `torch_parts`, and how it is made to survive a kill to the contenders.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = 12_800
BATCH = 32
STEPS = SAMPLES // BATCH
EPOCHS = 4
KILLED_IN = 2
"""The index of the epoch in which the kill comes: the third."""

RATE = 1e-3
LATE_RATE = 3e-2
DROPOUT = 0.2
JUDGED_AT_ONCE = 1000
"""Samples in a batch of validation."""


@dataclass(frozen=True)
class Asked:
    """What a contender's program is told.

    Args:
        folder: its own; what it keeps there outlives a kill.
        data: where the arrays lie.
        seed: of everything random.
        every: a checkpoint each so many steps; 0 for the contender's own way.
    """

    folder: Path
    data: Path
    seed: int
    every: int


def asked() -> Asked:
    """Return what this program was told on its command line."""
    folder, data, seed, every = sys.argv[1:]
    return Asked(Path(folder), Path(data), int(seed), int(every))


def prepare(mnist: Path, data: Path) -> None:
    """Write the arrays as every contender loads them, so that none spends time on unpacking."""
    data.mkdir()
    with np.load(mnist) as arrays:
        for name, samples in (("train", SAMPLES), ("test", 10_000)):
            x = arrays[f"x_{name}"][:samples].reshape(-1, 784).astype("float32") / 255
            np.save(data / f"x_{name}.npy", x)
            np.save(data / f"y_{name}.npy", arrays[f"y_{name}"][:samples].astype("int64"))


def load(data: Path) -> tuple[Any, Any, Any, Any]:
    """Return x and y to train on, x and y to validate on."""
    names = ("x_train", "y_train", "x_test", "y_test")
    x, y, xv, yv = (np.load(data / f"{name}.npy") for name in names)
    return x, y, xv, yv
