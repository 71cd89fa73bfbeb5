"""Holdfast's checkpoints within `Run.fit`: python by_holdfast.py KIND FOLDER CHECKPOINTS SIZE …

Prints by size what the stopwatch found, and `commit`: the part of the total in which the store
writes. Training stands still in `Keeper.save`; the checkpoint is durable when its writer is idle.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from by_keras import build
from stopwatch import BATCH, Stopwatch, asked, samples, tell

UNSEEN = 3
"""The first stands before the first step, the second and third with what the first steps make."""


def main() -> None:
    _, folder, most, sizes = asked()
    watched = Watched()
    tell({size: measure(size, folder, most, watched) for size in sizes})


def measure(size: int, folder: Path, most: int, watched: Watched) -> dict[str, Any]:
    import holdfast
    from holdfast.store.checkpoints import load_newest
    from holdfast.store.layout import Layout

    folder = folder / str(size)
    folder.mkdir()
    watch = watched.begin(Stopwatch(folder, folder / "run", UNSEEN, most))
    x, y = samples(size)
    holdfast.Run(folder / "run").fit(
        build(size),
        x,
        y,
        batch_size=BATCH,
        epochs=most + UNSEEN,
        verbose=0,
        every=holdfast.Every(epochs=1),
        keep=holdfast.Keep(last=1),
    )
    layout = Layout(folder / "run")
    watch.restores(lambda: load_newest(layout, final=False))
    shutil.rmtree(folder)
    return {**watch.found(), "commit": watched.commits[UNSEEN : UNSEEN + most]}


class Watched:
    """Puts a stopwatch around every checkpoint that a run of this process makes."""

    def __init__(self) -> None:
        import jax
        import numpy as np

        from holdfast.store.checkpoints import Store
        from holdfast.training.keeper import Keeper

        save, commit = Keeper.save, Store.commit

        def timed_save(keeper: Keeper, state: Callable[[], Any], **how: Any) -> None:
            keeper.wait()
            arrays = [np.asarray(value) for value in jax.block_until_ready(state().values)]
            weights = [array for array in arrays if array.ndim == 2]
            self.watch.checkpoint(weights, lambda: save(keeper, state, **how), keeper.wait)

        def timed_commit(store: Store, snapshot: Any) -> Any:
            began = time.perf_counter()
            committed = commit(store, snapshot)
            self.commits.append(time.perf_counter() - began)
            return committed

        Keeper.save, Store.commit = timed_save, timed_commit

    def begin(self, watch: Stopwatch) -> Stopwatch:
        """Take another stopwatch for the checkpoints to come."""
        self.watch, self.commits = watch, list[float]()
        return watch


if __name__ == "__main__":
    main()
