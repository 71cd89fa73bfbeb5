"""Keras's callbacks within `Model.fit`: python by_keras.py KIND FOLDER CHECKPOINTS SIZE …

KIND is `keras` (ModelCheckpoint of `.keras`), `weights` (of `.weights.h5`), `backup`
(BackupAndRestore) or `orbax` (OrbaxCheckpoint, which saves in the background by default). One
epoch is one step, and each is saved, always to the same name. Prints by size what the stopwatch
found.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stopwatch import ARRAYS, BATCH, Stopwatch, asked, samples, tell, width

UNSEEN = 1


def main() -> None:
    kind, folder, most, sizes = asked()
    tell({size: measure(kind, size, folder, most) for size in sizes})


def measure(kind: str, size: int, folder: Path, most: int) -> dict[str, Any]:
    folder = folder / str(size)
    folder.mkdir()
    kept = place(kind, folder)
    watch = Stopwatch(folder, kept, UNSEEN, most)
    model = build(size)
    x, y = samples(size)
    one = callback(kind, kept)
    restore = reader(kind, kept, model, one)
    model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=most + UNSEEN,
        verbose=0,
        callbacks=[timed(one, watch)],
    )
    watch.restores(restore)
    shutil.rmtree(folder)
    return watch.found()


def build(size: int) -> Any:
    """Return a model whose weights are the state; plain SGD has none of its own."""
    import keras

    keras.utils.set_random_seed(1)
    sides = width(size)
    layers = [keras.layers.Dense(sides, use_bias=False) for _ in range(ARRAYS[size])]
    model = keras.Sequential([keras.Input((sides,)), *layers])
    model.compile("sgd", "mse")
    return model


def place(kind: str, folder: Path) -> Path:
    """Return where a kind of callback writes."""
    names = {"keras": "model.keras", "weights": "model.weights.h5"}
    return folder / names.get(kind, kind)


def callback(kind: str, kept: Path, **more: Any) -> Any:
    """Return the callback that is measured, set up as Keras documents it."""
    import keras

    if kind == "backup":
        return keras.callbacks.BackupAndRestore(str(kept), delete_checkpoint=False, **more)
    if kind == "orbax":
        return keras.callbacks.OrbaxCheckpoint(str(kept), **more)
    return keras.callbacks.ModelCheckpoint(
        str(kept), save_weights_only=kind == "weights", save_best_only=False, **more
    )


def reader(kind: str, kept: Path, model: Any, one: Any) -> Callable[[], object]:
    """Return what brings the newest checkpoint back, as Keras documents it."""
    import keras

    if kind == "keras":
        return lambda: keras.models.load_model(kept)
    if kind == "backup":
        return one.on_train_begin
    return lambda: model.load_weights(str(kept))


def timed(one: Any, watch: Stopwatch) -> Any:
    """Return a callback that hands everything to `one`, with the stopwatch around each saving."""
    import jax
    import keras
    import numpy as np

    wait = getattr(one, "wait_until_finished", lambda: None)

    class Timed(keras.callbacks.Callback):
        def set_model(self, model: Any) -> None:
            super().set_model(model)
            one.set_model(model)

        def set_params(self, params: Any) -> None:
            one.set_params(params)

        def on_train_begin(self, logs: Any = None) -> None:
            one.on_train_begin(logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            weights = self.model.trainable_variables
            arrays = jax.block_until_ready([weight.value for weight in weights])
            watch.checkpoint(
                [np.asarray(array) for array in arrays],
                lambda: one.on_epoch_end(epoch, logs),
                wait,
            )

        def on_train_end(self, logs: Any = None) -> None:
            one.on_train_end(logs)

    return Timed()


if __name__ == "__main__":
    main()
