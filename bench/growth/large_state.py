"""A state of many bytes: commit and restore, and the memory that each takes beyond the state.

large_state.py FOLDER BYTES
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from footprint import Peak, show

from holdfast.store import journal
from holdfast.store.checkpoints import Store, load_newest
from holdfast.store.identity import Identity, write_identity
from holdfast.store.layout import Layout
from holdfast.types import Array, Position, Snapshot

ARRAYS = 20


def main() -> None:
    size = int(sys.argv[2])
    path = Path(tempfile.mkdtemp(dir=place(Path(sys.argv[1]), size)))
    layout = Layout(path)
    write_identity(layout, Identity("a" * 16, 1.5, {}, {}, None))
    log = journal.Journal(layout.journal, journal.skim(layout.journal))
    store = Store(layout, log, "a" * 16, "plan", {})
    random = np.random.default_rng(1)
    values = [random.random(size // ARRAYS // 4, dtype="float32") for _ in range(ARRAYS)]
    arrays = [
        Array(f"trainable/{n:04d}", "float32", value.shape, value.view(np.uint8).data, "")
        for n, value in enumerate(values)
    ]
    plain = write_plainly(path / "plain", values)
    with Peak() as writing:
        began = time.perf_counter()
        store.commit(Snapshot(Position(0, 1, 1), tuple(arrays), {}, journal=log.size))
        commit = time.perf_counter() - began
    log.close()
    del arrays, values
    os.sync()
    began = time.perf_counter()
    whole = np.fromfile(path / "plain", np.uint8)
    read = time.perf_counter() - began
    del whole
    with Peak() as reading:
        began = time.perf_counter()
        found = load_newest(layout, final=False)
        restore = time.perf_counter() - began
    # What is read is the state itself: what it takes beyond that is what is asked.
    state = sum(array.data.nbytes for array in found[1])
    del found
    shutil.rmtree(path)
    show(
        {
            "plain": plain,
            "commit": commit,
            "read": read,
            "restore": restore,
            "memory": writing.bytes,
            "memory_restore": max(0, reading.bytes - state),
        }
    )


def place(folder: Path, size: int) -> Path:
    """Return a directory in memory where it has room: what a disk takes changes by the hour."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and shutil.disk_usage(memory).free > 3 * size
    return memory if room else folder


def write_plainly(path: Path, values: list[Any]) -> float:
    """Return the seconds of a write and sync of the same bytes; all is on the disk after it."""
    os.sync()
    began = time.perf_counter()
    with path.open("xb", buffering=0) as file:
        for value in values:
            data = value.view(np.uint8).data
            while data:
                data = data[file.write(data) :]
        os.fsync(file.fileno())
    took = time.perf_counter() - began
    os.sync()
    return took


if __name__ == "__main__":
    main()
