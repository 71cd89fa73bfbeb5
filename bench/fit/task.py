"""What a contender is asked to do, and how it tells what it did.

Owns the command line, the images as every contender gets them, the clock around its epochs, and the
line of JSON at its end. Imports numpy alone: whatever else a contender needs is part of what it
is measured by.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 32
EPOCHS = 5
SHAPES = {"mlp": (784,), "dropout": (28, 28), "cnn": (28, 28, 1)}
SGD_RATE = 0.01
ADAM_RATE = 0.001
ADAM_EPSILON = 1e-7
DROPPED = {"dropout": 0.2, "cnn": 0.5}

Images = tuple[NDArray[np.float32], NDArray[np.int32]]


@dataclass(frozen=True)
class Task:
    """What one process is to do.

    Args:
        program: `mlp`, `dropout` or `cnn`.
        setting: the contender's own; what it means is said there.
        train: images and digits to train on.
        validation: those to judge by after each epoch, or None.
        folder: where it may write.
    """

    program: str
    setting: str
    train: Images
    validation: Images | None
    folder: Path


@dataclass
class Clock:
    """Reads the time at the end of each epoch."""

    ends: list[float] = field(default_factory=list)

    def tick(self) -> None:
        self.ends.append(time.perf_counter())


def read() -> Task:
    """Read the command line and the images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=SHAPES)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("setting", nargs="?", default="")
    asked = parser.parse_args()
    with np.load(asked.mnist) as arrays:
        train = _images(arrays["x_train"], arrays["y_train"], asked.program)
        validated = asked.program == "dropout"
        test = _images(arrays["x_test"], arrays["y_test"], asked.program) if validated else None
    return Task(asked.program, asked.setting, train, test, asked.folder)


def tell(clock: Clock, loss: float, accuracy: float, val_accuracy: float | None = None) -> None:
    """Print what was measured; the last thing a contender does.

    The first epoch has compiled and warmed everything: the median is over the others.
    """
    spans = [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]
    found: dict[str, Any] = {
        "epoch": statistics.median(spans),
        "loss": float(loss),
        "accuracy": float(accuracy),
    }
    if val_accuracy is not None:
        found["val_accuracy"] = float(val_accuracy)
    print(json.dumps(found))


def _images(pixels: NDArray[Any], digits: NDArray[Any], program: str) -> Images:
    x = pixels.astype("float32") / np.float32(255)
    return x.reshape(-1, *SHAPES[program]), digits.astype("int32")
