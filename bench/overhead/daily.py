"""What the default cadence and two callbacks cost in an ordinary training, by turns.

    python bench/overhead/daily.py FOLDER [--epochs N] [--turn N]

An MLP 784-64-10 with SGD on data of MNIST's shape, batch 32:

    bare        no checkpoint between beginning and end
    default     checkpoints as they come: nothing is set
    validated   default, with validation on 10,000 samples
    callbacks   the same with EarlyStopping and ModelCheckpoint (weights only, best only), where
                nothing improves
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import holdfast  # isort: skip
import keras
import numpy as np

TRAININGS = ("bare", "default", "validated", "callbacks")
SAMPLES = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--turn", type=int, default=0, help="which training comes first")
    options = parser.parse_args()
    os.environ["HOLDFAST_CACHE"] = str(options.folder / "cache")
    random = np.random.default_rng(1)
    x = random.random((SAMPLES, 784), np.float32)
    y = (x[:, :10].argmax(1)).astype("int32")
    order = TRAININGS[options.turn % 4 :] + TRAININGS[: options.turn % 4]
    print(json.dumps({name: train(name, x, y, options) for name in order}))


def train(name: str, x: Any, y: Any, options: argparse.Namespace) -> dict[str, Any]:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((784,)), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        run = holdfast.Run(Path(folder) / "run")
        run.fit(
            model,
            x,
            y,
            batch_size=32,
            epochs=options.epochs + 1,
            verbose=0,
            callbacks=[*_watching(name, folder), clock],
            validation_data=(x[:10000], y[:10000]) if name in TRAININGS[2:] else None,
            every=holdfast.Every(seconds=1e9) if name == "bare" else None,
        )
        committed = sum(event.name == "checkpoint_committed" for event in run.journal().events)
    # The first epoch has compiled; its end is where the clock starts.
    spans = [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]
    return {
        "median": statistics.median(spans),
        "mean": statistics.fmean(spans),
        "checkpoints": committed,
    }


def _watching(name: str, folder: str) -> list[Any]:
    """Return the callbacks that are measured: they judge every epoch and find none better."""
    if name != "callbacks":
        return []
    return [
        holdfast.EarlyStopping(min_delta=1e9, patience=10**6, restore_best_weights=True),
        holdfast.ModelCheckpoint(
            Path(folder) / "best.weights.h5",
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold=0.0,
        ),
    ]


class Clock(keras.callbacks.Callback):
    """Notes when each epoch ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.ends.append(time.perf_counter())

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None: ...


if __name__ == "__main__":
    main()
