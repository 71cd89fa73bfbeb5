"""A model of many small arrays: what Holdfast does with each, and what compiling them costs.

    many_arrays.py store FOLDER N    snapshot, commit and restore, without compiling anything
    many_arrays.py fit FOLDER N      `Run.fit`: to the end of the first epoch, and of those after it
    many_arrays.py keras FOLDER N    the same by `Model.fit`

What of that is tracing, and what XLA's compiling, JAX tells itself.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from footprint import Peak, show

EPOCHS = 4
STEPS = 50


def main() -> None:
    what, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    # Compiled anew in each process: that is what is asked.
    os.environ["HOLDFAST_CACHE"] = str(folder / "no-cache")
    path = folder / f"arrays-{count}"
    shutil.rmtree(path, ignore_errors=True)
    {"store": stored, "fit": trained, "keras": by_keras}[what](path, count)
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(folder / "no-cache", ignore_errors=True)


def stored(path: Path, count: int) -> None:
    import numpy as np

    from holdfast.state import snapshot, variables
    from holdfast.state.snapshot import Course
    from holdfast.store import journal
    from holdfast.store.checkpoints import Store, load_newest
    from holdfast.store.identity import Identity, write_identity
    from holdfast.store.layout import Layout
    from holdfast.types import Position

    model, _ = problem(count)
    layout = Layout(path)
    path.mkdir(parents=True)
    write_identity(layout, Identity("a" * 16, 1.5, {}, {}, None))
    log = journal.Journal(layout.journal, journal.skim(layout.journal))
    store = Store(layout, log, "a" * 16, "plan", {})
    seconds: dict[str, list[float]] = {"snapshot": [], "commit": [], "restore": []}
    with Peak() as peak:
        for step in range(3):
            began = time.perf_counter()
            values = [v.value for group in variables.groups(model) for v in group]
            held = snapshot.hold(Position(0, step, step), values, [], Course(1), copy=True)
            copies = [np.array(np.asarray(value)) for value in held.values]
            snapped = time.perf_counter()
            taken = snapshot.make_snapshot(
                held, model, copies, epoch_end=False, final=False, journal=log.size
            )
            store.commit(taken)
            committed = time.perf_counter()
            manifest, arrays, _ = load_newest(layout, final=False)
            snapshot.restore(manifest.state, arrays, model, [])
            ended = time.perf_counter()
            seconds["snapshot"].append(snapped - began)
            seconds["commit"].append(committed - snapped)
            seconds["restore"].append(ended - committed)
    log.close()
    show({**{name: min(found) for name, found in seconds.items()}, "memory": peak.bytes})


def trained(path: Path, count: int) -> None:
    import holdfast

    model, data = problem(count)
    found = fit(holdfast.Run(path), (model, *data), EPOCHS)
    model, data = problem(count)
    opening = fit(holdfast.Run(path), (model, *data), EPOCHS + 1)
    show({**found, "opening": opening["begun"]})


def by_keras(path: Path, count: int) -> None:
    model, data = problem(count)
    show(fit(model, data, EPOCHS))


def fit(who: Any, given: tuple[Any, ...], epochs: int) -> dict[str, float]:
    """Return seconds to the first epoch's beginning and end, and of an epoch after it."""
    import keras

    ends: list[float] = []
    begun: list[float] = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            begun.append(time.perf_counter() - began)

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            ends.append(time.perf_counter() - began)

    compiling = heard()
    with Peak() as peak:
        began = time.perf_counter()
        who.fit(*given, batch_size=1, epochs=epochs, shuffle=False, verbose=0, callbacks=[Watch()])
        whole = time.perf_counter() - began
    later = [end - begin for begin, end in zip(begun[1:], ends[1:], strict=True)]
    rest = ends[0] - sum(compiling.values())
    found = {
        "begun": begun[0],
        "first": ends[0],
        "rest": rest,
        "whole": whole,
        "memory": peak.bytes,
        **compiling,
    }
    return {**found, **({"epoch": min(later)} if later else {})}


def heard() -> dict[str, float]:
    """Return where JAX's seconds of tracing and of compiling add up from now on."""
    import jax

    spent = {"tracing": 0.0, "compiling": 0.0}
    parts = {"backend_compile": "compiling", "jaxpr_trace": "tracing", "jaxpr_to_mlir": "tracing"}

    def hear(event: str, seconds: float, **_: Any) -> None:
        for name, part in parts.items():
            if name in event:
                spent[part] += seconds

    jax.monitoring.register_event_duration_secs_listener(hear)
    return spent


def problem(count: int) -> tuple[Any, tuple[Any, Any]]:
    """Return a compiled model of `count` arrays of eight numbers, and data for it."""
    import keras
    import numpy as np

    class Many(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.parts = [self.add_weight(shape=(8,), name=f"w{n}") for n in range(count)]

        def call(self, x: Any) -> Any:
            # Each array meets numbers of its own, so that XLA has no work that all would share.
            weights = keras.ops.concatenate(self.parts)
            return keras.ops.sum(x * weights, axis=-1, keepdims=True)

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8 * count,)), Many()])
    model.compile("sgd", "mse")
    x = np.random.default_rng(1).normal(size=(STEPS, 8 * count)).astype("float32")
    return model, (x, x[:, :1])


if __name__ == "__main__":
    main()
