"""Trainings of one model with checkpoints at several bounds and without, by turns.

    python bench/overhead/trained.py FOLDER [--megabytes 1] [--rounds N] [--seconds S]
                                     [--bounds B …]

Owns the model, the trainings, and the plain copy and write of the same bytes as the limit. One
process, so that what is compared runs the same compiled code in the same memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import holdfast  # isort: skip
import keras
import numpy as np
from watching import Seen, costs, watched

ARRAYS = {1: 6, 10: 20, 100: 50, 1000: 50}
BATCH = {1: 64, 10: 32, 100: 16, 1000: 8}
STEPS = {1: 512, 10: 128, 100: 24, 1000: 4}
NEVER = 1e9
FIRST = 2.0
FEWEST = 2
LONG = 2.1
"""A training for a long bound lasts so many bounds: two checkpoints."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=int, choices=ARRAYS, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="of a training; longer bounds more"
    )
    parser.add_argument("--bounds", type=float, nargs="*", default=[1.0, 10.0])
    options = parser.parse_args()
    os.environ["HOLDFAST_CACHE"] = str(options.folder / "cache")
    print(json.dumps(measure(options)))


@dataclass(frozen=True)
class Subject:
    """What is trained, and where its runs go."""

    model: Any
    data: tuple[Any, Any]
    batch: int
    root: Path


def measure(options: argparse.Namespace) -> dict[str, Any]:
    subject = build(options.megabytes, options.folder / f"run-{options.megabytes}")
    train(subject, 1.0, min(FIRST, options.seconds))  # compiles, and counts for nothing
    short = [bound for bound in options.bounds if LONG * bound <= options.seconds]
    found = []
    for number in range(options.rounds):
        turns: list[float | None] = [None, *short]
        for bound in turns[::-1] if number % 2 else turns:
            found.append({"round": number, **bounded(subject, bound, options.seconds)})
    for bound in options.bounds:
        if bound not in short:
            found.append({"round": 0, **bounded(subject, bound, LONG * bound)})
    values = [np.array(variable.value) for variable in subject.model.trainable_variables]
    return {
        "state": sum(value.nbytes for value in values),
        "arrays": len(values),
        "cores": os.cpu_count(),
        "trainings": found,
        **limits(values, options.folder / "plain"),
    }


def bounded(subject: Subject, bound: float | None, seconds: float) -> dict[str, Any]:
    """Train so that at most `bound` seconds are at risk, or without checkpoints for None."""
    every = NEVER if bound is None else bound
    return {"bound": bound, "every": every, **train(subject, every, seconds)}


def train(subject: Subject, every: float, seconds: float) -> dict[str, Any]:
    os.sync()
    with watched() as seen:
        run = holdfast.Run(subject.root)
        run.fit(
            subject.model,
            *subject.data,
            batch_size=subject.batch,
            epochs=10**6,
            verbose=0,
            callbacks=[Enough(seconds, seen if every < NEVER else None)],
            every=holdfast.Every(seconds=every),
            keep=holdfast.Keep(last=1, best=0),
        )
    written = [
        event.bytes
        for event in run.journal().events
        if event.name == "checkpoint_committed" and not event.final
    ]
    shutil.rmtree(subject.root)
    begin, end = seen.window()
    inside = [ended - began for began, ended, _ in seen.stretches if began >= begin]
    return {
        "seconds": end - begin,
        "step": seen.step(),
        "stretch": statistics.median(inside),
        "written": min(written[1:], default=0),
        **costs(seen),
    }


class Enough(keras.callbacks.Callback):
    """Ends a training after so many seconds, counted from the end of its first epoch.

    Where checkpoints are to be seen it goes on until there were some, but not for ever.
    """

    def __init__(self, seconds: float, seen: Seen | None) -> None:
        super().__init__()
        self._seconds = seconds
        self._seen = seen
        self._began = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.perf_counter()
        self._began = self._began or now
        went = now - self._began
        had = self._seen is None or len(self._seen.durable) > FEWEST or went >= 4 * self._seconds
        if went >= self._seconds and had:
            self.model.stop_training = True

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None: ...


def build(megabytes: int, root: Path) -> Subject:
    """Return a model whose weights take so much; every step changes all of them."""
    width = int((megabytes * 1e6 / ARRAYS[megabytes] / 4) ** 0.5)
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(width, use_bias=False) for _ in range(ARRAYS[megabytes])]
    model = keras.Sequential([keras.Input((width,)), *layers])
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    random = np.random.default_rng(1)
    shape = BATCH[megabytes] * STEPS[megabytes], width
    data = random.standard_normal(shape, np.float32), random.standard_normal(shape, np.float32)
    return Subject(model, data, BATCH[megabytes], root)


def limits(values: list[Any], path: Path) -> dict[str, Any]:
    """Return what the least costs that a checkpoint can be made of: a copy, a write and a sync."""
    copies, again, writes, processor = [], [], [], []
    for _ in range(5):
        began = time.perf_counter()
        copied = [np.array(value) for value in values]
        copies.append(time.perf_counter() - began)
        began = time.perf_counter()
        for place, value in zip(copied, values, strict=True):
            np.copyto(place, value)
        again.append(time.perf_counter() - began)
        path.unlink(missing_ok=True)
        os.sync()
        began, worked = time.perf_counter(), time.thread_time()
        with path.open("xb", buffering=0) as file:
            for value in copied:
                data = memoryview(value).cast("B")
                while data:
                    data = data[file.write(data) :]
            os.fsync(file.fileno())
        writes.append(time.perf_counter() - began)
        processor.append(time.thread_time() - worked)
    path.unlink()
    return {"copy": copies, "again": again, "plain": writes, "processor": processor}


if __name__ == "__main__":
    main()
