"""A program of five epochs, by `Run.fit` or by `Model.fit`, and where its time went.

    python bench/start/lesson.py holdfast|keras BEGAN DATA FOLDER

BEGAN is the moment the process was started, on the clock that all processes share. Its figures
are spans of that clock: consecutive phases, what JAX traced and compiled, and what training
waited for checkpoints. Leaves adding up to `part`.
"""

from __future__ import annotations

import sys
import time

MOMENTS = [("interpreter", time.perf_counter())]


def reached(phase: str) -> None:
    """Note that a phase has ended here."""
    MOMENTS.append((phase, time.perf_counter()))


import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

reached("import keras and jax")

SPANS: dict[str, list[tuple[float, float]]] = {"tracing": [], "compiling": [], "checkpoints": []}
EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "tracing",
    "/jax/core/compile/backend_compile_duration": "compiling",
}


def main() -> None:
    who, began, data, folder = sys.argv[1:]
    jax.monitoring.register_event_duration_secs_listener(heard)
    if who == "holdfast":
        from holdfast import Run

        attempt = Run(Path(folder) / "run")
        reached("import holdfast")
        watch()
    x, y = load(Path(data))
    reached("data")
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    reached("building the model")
    settings: dict[str, Any] = {"batch_size": 32, "epochs": 5, "verbose": 0, "callbacks": [Open()]}
    if who == "holdfast":
        attempt.fit(model, x, y, **settings)
    else:
        model.fit(x, y, **settings)
    reached("training")
    print(json.dumps({"began": float(began), "moments": MOMENTS, "spans": SPANS}))


class Open(keras.callbacks.Callback):
    """Notes when the first epoch begins: until then a training is opened."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == 0:
            reached("opening the training")


def heard(event: str, seconds: float, **_: Any) -> None:
    if event in EVENTS:
        now = time.perf_counter()
        SPANS[EVENTS[event]].append((now - seconds, now))


def watch() -> None:
    """Note what training waits for checkpoints: for the copy, and in the end for the disk."""
    from holdfast.store.writer import Writer
    from holdfast.training.keeper import Keeper

    for kind, name in ((Keeper, "save"), (Keeper, "hold"), (Keeper, "finish"), (Writer, "wait")):
        setattr(kind, name, timed(getattr(kind, name)))


def timed(real: Any) -> Any:
    def run(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return real(*arguments, **named)
        finally:
            SPANS["checkpoints"].append((began, time.perf_counter()))

    return run


def load(path: Path) -> tuple[Any, Any]:
    with np.load(path) as data:
        x = (data["x"].reshape(-1, 784) / 255).astype("float32")
        return x, data["y"].astype("int32")


if __name__ == "__main__":
    main()
