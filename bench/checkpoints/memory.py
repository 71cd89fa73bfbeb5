"""The most memory that a training takes: python memory.py KIND FOLDER

KIND is `keras` (`Model.fit`), `bare` (`Run.fit` with no checkpoint between its first and its last)
or `holdfast` (`Run.fit` as it is by default). An MLP 784-2800-2800-2800-10 with momentum, of which
a checkpoint holds weights and velocities. Prints the peak and, for a run, the checkpoint's bytes.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

EPOCHS = 9


def main() -> None:
    kind = sys.argv[1]
    with tempfile.TemporaryDirectory(dir=sys.argv[2]) as folder:
        found = {"state": train(kind, Path(folder))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**found, "peak": peak * (1 if sys.platform == "darwin" else 1024)}))


def train(kind: str, folder: Path) -> int | None:
    # Imported by all, so that all have it in memory.
    import holdfast  # isort: skip
    import numpy as np

    random = np.random.default_rng(1)
    x = random.random((640, 784), "float32")
    y = random.integers(0, 10, 640).astype("int32")
    model = build()
    if kind == "keras":
        model.fit(x, y, batch_size=32, epochs=EPOCHS, verbose=0)
        return None
    run = holdfast.Run(folder / "run")
    every = holdfast.Every(seconds=1e9) if kind == "bare" else None
    run.fit(model, x, y, batch_size=32, epochs=EPOCHS, verbose=0, every=every)
    return run.checkpoints[-1].size


def build() -> Any:
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(2800, activation="relu") for _ in range(3)]
    model = keras.Sequential(
        [keras.Input((784,)), *layers, keras.layers.Dense(10, activation="softmax")]
    )
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


if __name__ == "__main__":
    main()
