"""The model, and what tells of its training, for the two contenders that stand on Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import training
from telling import Teller


def model() -> keras.Model:
    """Return the compiled model."""
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [training.KILLED_IN * training.STEPS], [training.RATE, training.LATE_RATE]
    )
    made = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(training.DROPOUT),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    made.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return made


def state(model: Any) -> Iterator[bytes]:
    """Return weights and optimizer as bytes."""
    for variable in [*model.variables, *model.optimizer.variables]:
        yield np.asarray(variable).tobytes()


def judged(model: Any, xv: np.ndarray, yv: np.ndarray) -> float:
    """Return a model's val_loss."""
    found = model.evaluate(xv, yv, training.JUDGED_AT_ONCE, verbose=0, return_dict=True)
    return found["loss"]


def telling(teller: Teller) -> keras.callbacks.Callback:
    """Return a callback that tells of every step and epoch."""

    class Tell(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.epoch = 0

        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            teller.step(self.epoch * training.STEPS + batch + 1)

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            teller.epoch(epoch, float((logs or {})["val_loss"]))

    return Tell()
