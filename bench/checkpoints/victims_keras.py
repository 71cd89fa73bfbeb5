"""Keras's callbacks, called as `Model.fit` calls them, for `kills`.

KIND as in `by_keras`, and `backup-double`: BackupAndRestore with `double_checkpoint=True`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from by_keras import callback, place, reader
from kills import COUNT, SIDE, Teller

PRELOADED = ("keras", "jax", "by_keras")


def save_for_ever(kind: str, folder: Path, teller: Teller) -> None:
    """Save checkpoint after checkpoint over the last one."""
    model, one = prepared(kind, folder)
    wait = getattr(one, "wait_until_finished", lambda: None)
    number = 0
    while True:
        number += 1
        fill(model, number)

        def save(epoch: int = number) -> None:
            one.on_epoch_end(epoch, {})
            wait()

        teller.saved(number, save)


def left(kind: str, folder: Path) -> set[float]:
    """Return the numbers in the newest checkpoint that can be opened."""
    model, one = prepared(kind, folder)
    restored = reader(kind.partition("-")[0], kept(kind, folder), model, one)()
    return numbers(restored if kind == "keras" else model)


def prepared(kind: str, folder: Path) -> tuple[Any, Any]:
    """Return a model that is built, and the callback on it."""
    model = build()
    fill(model, 0)
    more = {"double_checkpoint": True} if kind == "backup-double" else {}
    one = callback(kind.partition("-")[0], kept(kind, folder), **more)
    one.set_model(model)
    return model, one


def kept(kind: str, folder: Path) -> Path:
    """Return where a kind of callback writes."""
    return place(kind.partition("-")[0], folder)


def build() -> Any:
    """Return a model whose weights are the state."""
    import keras

    # Orbax finds arrays by names, and Keras counts those it gives within a process.
    keras.utils.clear_session()
    layers = [keras.layers.Dense(SIDE, use_bias=False) for _ in range(COUNT)]
    model = keras.Sequential([keras.Input((SIDE,)), *layers])
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def fill(model: Any, number: float) -> None:
    """Set all weights to a number."""
    import numpy as np

    for weight in model.trainable_variables:
        weight.assign(np.full(weight.shape, number, "float32"))


def numbers(model: Any) -> set[float]:
    """Return the numbers that a model is full of: the least and the most of each of its arrays."""
    import numpy as np

    weights = [np.asarray(weight) for weight in model.trainable_variables]
    return {float(end(weight)) for weight in weights for end in (np.min, np.max)}
