"""The models that are judged with, and what they are asked: for all contenders the same.

    python bench/judging/models.py FOLDER

writes each model in each format, by Holdfast. A script of its own, because the environment that can
export is not that of all contenders.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

ROWS = 10_000
SHAPES = {"mlp": (784,), "cnn": (28, 28, 1)}
FORMATS = ("keras", "onnx", "tflite")


def build(name: str) -> Any:
    """Return a model, its weights drawn by a seed."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    body = {
        "mlp": [layers.Dense(64, "relu")],
        "cnn": [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(4), layers.Flatten()],
    }
    return keras.Sequential(
        [keras.Input(SHAPES[name]), *body[name], layers.Dense(10, "softmax")], name=name
    )


def asked(name: str, rows: int) -> Any:
    """Return what a model is asked."""
    import numpy as np

    return np.random.default_rng(1).random((rows, *SHAPES[name]), "float32")


def main(folder: Path) -> None:
    from holdfast.exporting.export import export

    for name in SHAPES:
        model = build(name)
        for form in FORMATS:
            export(model, folder / f"{name}.{form}")
    print(json.dumps({}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
