"""The three programs' models in Keras, compiled, and the clock as a callback."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers
from task import ADAM_EPSILON, ADAM_RATE, DROPPED, SGD_RATE, SHAPES, Clock


def build(program: str, steps_per_execution: int = 1) -> Any:
    """Return a program's model."""
    hidden = {
        "mlp": lambda: [layers.Dense(64, activation="relu")],
        "dropout": lambda: [
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dropout(DROPPED["dropout"]),
        ],
        "cnn": lambda: [
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dropout(DROPPED["cnn"]),
        ],
    }[program]
    answer = layers.Dense(10, activation="softmax")
    model = keras.Sequential([keras.Input(SHAPES[program]), *hidden(), answer])
    if program == "dropout":
        optimizer = keras.optimizers.Adam(ADAM_RATE, epsilon=ADAM_EPSILON)
    else:
        optimizer = keras.optimizers.SGD(SGD_RATE)
    model.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    return model


class ClockCallback(keras.callbacks.Callback):
    """Ticks at the end of each epoch, validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.clock.tick()

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None: ...
