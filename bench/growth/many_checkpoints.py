"""A run that keeps every checkpoint: what taking, listing, opening and pruning them costs.

    many_checkpoints.py take FOLDER N     train a tiny model, with a checkpoint after every step
    many_checkpoints.py list FOLDER N     `run.checkpoints`
    many_checkpoints.py open FOLDER N     `fit` on a copy, up to the first `on_epoch_begin`
    many_checkpoints.py prune FOLDER N    `run.prune` of a copy, down to four

Nothing is synced, so that the figures are of the work and not of the disk.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from footprint import Peak, show, unsynced

STEPS = 10


def main() -> None:
    what, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    path = folder / f"checkpoints-{count}"
    with unsynced():
        {"take": take, "list": listed, "open": opened, "prune": pruned}[what](path, count)


def take(path: Path, count: int) -> None:
    import keras

    shutil.rmtree(path, ignore_errors=True)
    found: dict[str, float] = {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            found.setdefault("compiled", time.perf_counter())

    with Peak() as peak:
        fit(path, count // STEPS, [Watch()])
    took = time.perf_counter() - found["compiled"]
    # It can be gone on with: what the training returned stands in the way of that.
    for final in (path / "checkpoints").glob("*-final.json"):
        final.unlink()
    show({"seconds": took, "memory": peak.bytes})


def listed(path: Path, count: int) -> None:
    import holdfast

    with Peak() as peak:
        began = time.perf_counter()
        found = holdfast.Run(path).checkpoints
        took = time.perf_counter() - began
    # The beginning has one too.
    assert count <= len(found) <= count + 1, len(found)
    show({"seconds": took, "memory": peak.bytes})


def opened(path: Path, count: int) -> None:
    import keras

    copy = copied(path)
    found: dict[str, float] = {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            found.setdefault("seconds", time.perf_counter() - began)
            found.setdefault("memory", 0)

    with Peak() as peak:
        began = time.perf_counter()
        fit(copy, count // STEPS + 1, [Watch()])
    shutil.rmtree(copy)
    show({**found, "memory": peak.bytes})


def pruned(path: Path, count: int) -> None:
    import holdfast

    copy = copied(path)
    with Peak() as peak:
        began = time.perf_counter()
        holdfast.Run(copy).prune(holdfast.Keep(last=3))
        took = time.perf_counter() - began
    shutil.rmtree(copy)
    show({"seconds": took, "memory": peak.bytes})


def fit(path: Path, epochs: int, callbacks: list[Any]) -> None:
    import keras
    import numpy as np

    import holdfast

    keras.utils.set_random_seed(1)
    x = np.random.default_rng(1).normal(size=(STEPS, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    holdfast.Run(path).fit(
        model,
        x,
        x[:, :3],
        batch_size=1,
        epochs=epochs,
        verbose=0,
        callbacks=callbacks,
        every=holdfast.Every(steps=1),
        keep=holdfast.Keep(last=1_000_000),
    )


def copied(path: Path) -> Path:
    copy = path.with_name(f"{path.name}-copy")
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(path, copy)


if __name__ == "__main__":
    main()
