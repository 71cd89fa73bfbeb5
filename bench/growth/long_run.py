"""A run of many epochs: what opening it costs, what an epoch costs, and the same for Model.fit.

    long_run.py make FOLDER N     make a run of N epochs
    long_run.py open FOLDER N     go on with a copy of it, for one more epoch
    long_run.py train FOLDER N    train a tiny model for N epochs
    long_run.py keras FOLDER N    the same by Keras

Opening is from the call of `fit` to the first `on_epoch_begin`. Training is from the beginning of
the second epoch to the end of `fit`: the first one compiles.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from footprint import Peak, anonymous, show, unsynced


def main() -> None:
    what, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    {"make": make, "open": opened, "train": trained, "keras": by_keras}[what](folder, count)


def opened(folder: Path, count: int) -> None:
    import keras

    import holdfast

    path = copied(folder / f"epochs-{count}")
    model, data = problem()
    spent = clocked_reading()
    found: dict[str, float] = {}

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            found.setdefault("seconds", time.perf_counter() - began)
            found.setdefault("reading", spent[0])

    before = sizes(path / "packs")
    with Peak() as peak:
        began = time.perf_counter()
        fit(holdfast.Run(path), model, data, count + 1, [Look()])
    newest = holdfast.Run(path).checkpoints[-2]  # before what the training returned
    new = [size for name, size in sizes(path / "packs").items() if name not in before]
    written = sum(new) + newest.path.stat().st_size
    shutil.rmtree(path)
    show({**found, "memory": peak.bytes, "written": written})


def trained(folder: Path, count: int) -> None:
    import holdfast

    path = folder / f"trained-{count}"
    shutil.rmtree(path, ignore_errors=True)
    model, data = problem()
    watch, peak = timing()
    with peak:
        fit(holdfast.Run(path), model, data, count + 1, [watch])
    ended = time.perf_counter()
    shutil.rmtree(path)
    show(since(watch, ended))


def by_keras(folder: Path, count: int) -> None:
    model, data = problem()
    watch, peak = timing()
    with peak:
        fit(model, None, data, count + 1, [watch])
    show(since(watch, time.perf_counter()))


def timing() -> tuple[Any, Peak]:
    """Return a callback that knows when the second epoch began, and how much memory there was."""
    import keras

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 1:
                self.base, self.began = anonymous(), time.perf_counter()

    return Watch(), Peak()


def since(watch: Any, ended: float) -> dict[str, float]:
    return {"seconds": ended - watch.began, "memory": max(0, anonymous() - watch.base)}


def problem() -> tuple[Any, tuple[Any, Any]]:
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    x = np.random.default_rng(1).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model, (x, x[:, :3])


def fit(first: Any, model: Any, data: Any, epochs: int, callbacks: list[Any]) -> None:
    """Call `fit` of a run with a model, or of a model alone."""
    given = () if model is None else (model,)
    first.fit(*given, *data, epochs=epochs, verbose=0, validation_data=data, callbacks=callbacks)


def clocked_reading() -> list[float]:
    """Return where the seconds add up that are spent with reading the run."""
    from holdfast.callbacks.history import History
    from holdfast.state import snapshot
    from holdfast.store import journal
    from holdfast.training import opening

    spent = [0.0]
    for owner, name in (
        (journal, "skim"),
        (opening, "load_newest"),
        (snapshot, "load_course"),
        (History, "restore"),
    ):
        _clock(owner, name, spent)
    return spent


def _clock(owner: Any, name: str, spent: list[float]) -> None:
    function = getattr(owner, name)

    def timed(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        result = function(*given, **named)
        spent[0] += time.perf_counter() - began
        return result

    setattr(owner, name, timed)


def make(folder: Path, count: int) -> None:
    """Make a run of one epoch, and of that one of `count`: journal lines, and a checkpoint."""
    import holdfast
    from holdfast.events import EpochEnded
    from holdfast.state.rows import Rows
    from holdfast.store import journal
    from holdfast.store.checkpoints import Store, load_newest
    from holdfast.store.identity import load_identity
    from holdfast.store.layout import Layout
    from holdfast.types import Position, Snapshot

    path = folder / f"epochs-{count}"
    model, data = problem()
    fit(holdfast.Run(path), model, data, 1, [])
    layout = Layout(path)
    for manifest in layout.manifests():
        if manifest.stem.endswith("-final"):
            manifest.unlink()
    found, arrays, _ = load_newest(layout, final=False)
    rows = Rows()
    log = journal.Journal(layout.journal, journal.skim(layout.journal))
    with unsynced():
        for epoch in range(count):
            logs = dict.fromkeys(found.metrics, (1 + epoch % 97) / 7)
            rows.append(epoch, logs)
            if epoch:
                log.append(EpochEnded(1.0 + epoch, epoch, epoch + 1, logs))
        kept = [array for array in arrays if not array.name.startswith("history/")]
        store = Store(layout, log, load_identity(layout).id, found.plan, found.versions)
        store.commit(
            Snapshot(
                Position(count, 0, count),
                (*kept, *rows.to_arrays(count)),
                {**found.state, "history": count},
                epoch_end=True,
                journal=log.size,
            )
        )
    log.close()
    show({})


def copied(path: Path) -> Path:
    copy = path.with_name(f"{path.name}-copy")
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(path, copy)


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


if __name__ == "__main__":
    main()
