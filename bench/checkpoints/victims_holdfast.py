"""Holdfast's checkpoints, and the files of its ModelCheckpoint, for `kills`.

KIND is `holdfast` (the checkpoints of `Run.fit`) or `holdfast-file` (ModelCheckpoint of one
`.keras`, which writes in the background).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import victims_keras
from kills import SIDE, Teller

PRELOADED = ("keras", "jax", "holdfast", "holdfast.training.attempt", "victims_keras")


def save_for_ever(kind: str, folder: Path, teller: Teller) -> None:
    """Train, and save checkpoint after checkpoint over the last one."""
    # Before keras: it says which backend there is.
    import holdfast  # isort: skip
    import numpy as np

    model = victims_keras.build()
    row = np.zeros((1, SIDE), "float32")
    if kind == "holdfast":
        tell_of_checkpoints(teller)
        every, callbacks = holdfast.Every(epochs=1), [filling()]
    else:
        every = holdfast.Every(seconds=1e9)
        callbacks = [filling(), telling(folder / "model.keras", teller)]
    holdfast.Run(folder / "run").fit(
        model,
        row,
        row,
        batch_size=1,
        epochs=10**6,
        verbose=0,
        callbacks=callbacks,
        every=every,
        keep=holdfast.Keep(last=1),
    )


def left(kind: str, folder: Path) -> set[float]:
    """Return the numbers in the newest checkpoint that can be opened."""
    import holdfast  # isort: skip
    import keras

    if kind == "holdfast":
        return victims_keras.numbers(holdfast.Run(folder / "run").load_model("last"))
    return victims_keras.numbers(keras.models.load_model(folder / "model.keras"))


def filling() -> Any:
    """Return a callback that fills the weights with the number of the epoch, from 1."""
    import keras

    class Filling(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            victims_keras.fill(self.model, epoch + 1)

    return Filling()


def tell_of_checkpoints(teller: Teller) -> None:
    """Let the teller speak of each checkpoint at the end of an epoch, until it is durable."""
    from holdfast.training.keeper import Keeper

    save = Keeper.save

    def told(keeper: Keeper, state: Callable[[], Any], **how: Any) -> None:
        keeper.wait()
        epoch = state().position.epoch
        if not epoch:
            save(keeper, state, **how)
            return

        def whole() -> None:
            save(keeper, state, **how)
            keeper.wait()

        teller.saved(epoch, whole)

    Keeper.save = told


def telling(path: Path, teller: Teller) -> Any:
    """Return a ModelCheckpoint that says when a file is begun, and when it stands."""
    import holdfast

    class Telling(holdfast.ModelCheckpoint):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            begin = super().on_epoch_end

            def whole() -> None:
                begin(epoch, logs)
                self.settle()

            teller.saved(epoch + 1, whole)

    return Telling(path)
