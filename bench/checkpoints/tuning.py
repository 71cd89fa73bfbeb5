"""What a checkpoint writes where little has changed: python tuning.py FOLDER TIMES

A state of 1 GB in 200 arrays, of which 1 % changes, as in fine-tuning. Prints the bytes of the
first checkpoint and of the later ones, their seconds, and those of the sums of all bytes alone:
Holdfast finds what has changed by its sum.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from stopwatch import ARRAYS, clocked, width

SIZE = 1000


def main() -> None:
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    print(json.dumps(measure(folder / "tuned", times)))


def measure(root: Path, times: int) -> dict[str, Any]:
    import numpy as np

    random = np.random.default_rng(1)
    sides = width(SIZE)
    values = [random.standard_normal((sides, sides), "float32") for _ in range(ARRAYS[SIZE])]
    store = new_store(root)
    first = store.commit(snapshot_of(values, 0)).size
    sizes: list[int] = []
    seconds: dict[str, list[float]] = {"sums": [], "commit": []}
    for step in range(1, times + 1):
        for value in values[: len(values) // 100]:
            np.multiply(value, 1.0001, out=value)
        snapshot = snapshot_of(values, step)
        seconds["sums"].append(clocked(partial(sums, snapshot)))
        seconds["commit"].append(clocked(partial(commit, store, snapshot, sizes)))
    return {"first": first, "second": sizes[0], **seconds}


def sums(snapshot: Any) -> list[bytes]:
    """Return the sum of each array: what a commit takes at least where it writes little."""
    from blake3 import blake3

    return [blake3(array.data).digest() for array in snapshot.arrays]


def commit(store: Any, snapshot: Any, sizes: list[int]) -> None:
    """Commit a snapshot, and note the bytes that were written."""
    sizes.append(store.commit(snapshot).size)


def new_store(root: Path) -> Any:
    """Return the store of a new run."""
    from holdfast.store import identity, journal
    from holdfast.store.checkpoints import Store
    from holdfast.store.journal import Journal
    from holdfast.store.layout import Layout

    layout = Layout(root)
    root.mkdir()
    identity.begin(layout, {}, {}, None)
    log = Journal(layout.journal, journal.read(layout.journal))
    return Store(layout, log, identity.load_identity(layout).id, "plan", {})


def snapshot_of(values: list[Any], step: int) -> Any:
    """Return a snapshot that holds these arrays."""
    from holdfast.state.values import to_array
    from holdfast.types import Position, Snapshot

    arrays = [to_array(f"trainable/{number:04d}", value) for number, value in enumerate(values)]
    return Snapshot(Position(0, step, step), tuple(arrays), {})


if __name__ == "__main__":
    main()
