"""Data of many bytes in a memory-mapped file: to the first step, and some steps after it.

    large_data.py ours FOLDER BYTES     `Run.fit`
    large_data.py keras FOLDER BYTES    `Model.fit`

The file is sparse: it has no blocks on the disk and reads as zeros, so that a file larger than
memory takes no room. Shuffled; an epoch has so many steps at every size.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from footprint import Peak, show

COLUMNS = 1024
BATCH = 32
STEPS = 200


def main() -> None:
    who, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    rows = size // COLUMNS // 4
    path = folder / f"data-{who}-{size}.npy"
    run = folder / f"data-{size}"
    np.lib.format.open_memmap(path, "w+", "float32", (rows, COLUMNS)).flush()
    x = np.load(path, mmap_mode="r")
    y = np.zeros((rows, 1), "float32")
    found = measured(who, run, x, y)
    shutil.rmtree(run, ignore_errors=True)
    path.unlink()
    show(found)


def measured(who: str, run: Path, x: Any, y: Any) -> dict[str, float]:
    import keras

    import holdfast

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((COLUMNS,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    seconds: dict[str, float] = {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            seconds[f"begin {epoch}"] = time.perf_counter() - began

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            seconds[f"end {epoch}"] = time.perf_counter() - began

    # Keras ends the training where two epochs have not the steps.
    steps = min(STEPS, len(x) // BATCH // 2)
    given = (model, x, y) if who == "ours" else (x, y)
    with Peak() as peak:
        began = time.perf_counter()
        (holdfast.Run(run) if who == "ours" else model).fit(
            *given,
            batch_size=BATCH,
            epochs=2,
            steps_per_epoch=steps,
            verbose=0,
            callbacks=[Watch()],
        )
    return {
        "first": seconds["end 0"],
        "steps": (seconds["end 1"] - seconds["begin 1"]) / steps,
        "memory": peak.bytes,
    }


if __name__ == "__main__":
    main()
