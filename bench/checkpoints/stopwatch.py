"""The states that are saved, and the clock around a checkpoint; for every contender's program.

Owns what is the same for all: the shapes, the limits measured beside each checkpoint (a copy of the
state, a plain write and sync of it), and what is counted as standing still, as done and as
durable. Leaves training and saving to the programs; needs numpy alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ARRAYS = {1: 6, 100: 50, 1000: 200}
"""How many arrays a state of so many MB has."""

BEGINS, ENDS = "/checkpoint-begins", "/checkpoint-ends"
"""Names that are asked for and never there: by them a trace knows where a checkpoint lies."""

BATCH = 8


def width(size: int) -> int:
    """Return the length of the sides of the square arrays of a state of `size` MB."""
    return int((size * 1e6 / ARRAYS[size] / 4) ** 0.5)


def samples(size: int) -> tuple[Any, Any]:
    """Return one batch: random, so that every array changes in every step."""
    random = np.random.default_rng(1)
    shape = (BATCH, width(size))
    return tuple(random.standard_normal(shape).astype("float32") for _ in range(2))


@dataclass
class Stopwatch:
    """Times the checkpoints of one training.

    Args:
        folder: where the plain file goes; on the disk that the contender writes to.
        kept: the file or folder that the contender writes.
        unseen: how many of the first checkpoints count for nothing: they compile and grow.
        most: how many count after them.
    """

    folder: Path
    kept: Path
    unseen: int
    most: int
    figures: dict[str, list[float]] = field(default_factory=dict)
    bytes: int = 0
    _seen: int = 0

    def checkpoint(
        self,
        arrays: Sequence[Any],
        save: Callable[[], object],
        wait: Callable[[], object] = lambda: None,
    ) -> None:
        """Measure the limits, then one checkpoint: `save` is what training stands still for.

        Args:
            arrays: the state, as arrays of numpy.
            save: makes the checkpoint, or begins to.
            wait: returns when the contender says that it is done.
        """
        limits = {"copy": self._copied(arrays), "plain": self._written(arrays)}
        os.sync()
        os.access(BEGINS, os.F_OK)
        began = time.perf_counter()
        save()
        stood = time.perf_counter() - began
        wait()
        done = time.perf_counter() - began
        os.access(ENDS, os.F_OK)
        sync(self.kept)
        durable = time.perf_counter() - began
        self._seen += 1
        if self.unseen < self._seen <= self.unseen + self.most:
            for name, value in {
                **limits,
                "stall": stood,
                "total": done,
                "durable": durable,
            }.items():
                self.figures.setdefault(name, []).append(value)

    def restores(self, load: Callable[[], object], times: int = 5) -> None:
        """Measure what the training left, and how long it takes to have it in memory again."""
        self.bytes = sum(path.stat().st_size for path in files(self.kept))
        for _ in range(times):
            self.figures.setdefault("restore", []).append(clocked(load))

    def found(self) -> dict[str, Any]:
        """Return what was measured."""
        return {**self.figures, "bytes": self.bytes}

    def _copied(self, arrays: Sequence[Any]) -> float:
        return clocked(lambda: [np.array(array) for array in arrays])

    def _written(self, arrays: Sequence[Any]) -> float:
        path = self.folder / ".limit"
        os.sync()
        seconds = clocked(lambda: write(path, arrays))
        path.unlink()
        return seconds


def write(path: Path, arrays: Sequence[Any]) -> None:
    """Write the bytes of arrays to a new file, and sync it: the least that durable can mean."""
    with path.open("xb", buffering=0) as file:
        for array in arrays:
            data = memoryview(np.ascontiguousarray(array)).cast("B")
            while data:
                data = data[file.write(data) :]
        os.fsync(file.fileno())


def sync(kept: Path) -> None:
    """Make files durable that may not be."""
    for path in files(kept):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def files(kept: Path) -> list[Path]:
    """Return a file, or all files in a folder."""
    return [kept] if kept.is_file() else [path for path in kept.rglob("*") if path.is_file()]


def clocked(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes; what it returns is let go after the clock stopped."""
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    del found
    return seconds


def asked() -> tuple[str, Path, int, list[int]]:
    """Return what the program was given: the kind, a folder, how many checkpoints, the sizes."""
    kind, folder, most, *sizes = sys.argv[1:]
    return kind, Path(folder), int(most), [int(size) for size in sizes]


def tell(found: dict[int, dict[str, Any]]) -> None:
    """Print what was found, by size, as the last line."""
    print(json.dumps({str(size): figures for size, figures in found.items()}))
