"""Files of a large model, read: `python bench/formats.py [--size MB] [--rounds N]`.

Times opening a model, or its weights, from each format that Holdfast writes, against reading the
file's bytes and against Keras where it reads the format; each in a process of its own, by turns.
Also `holdfast inspect`, and the checksums of a TensorFlow checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

WIDTH = 4096
FILES = {
    "keras": "model.keras",
    "h5": "model.h5",
    "safetensors": "model.safetensors",
    "weights.h5": "model.weights.h5",
    "weights h5": "weights.h5",
    "checkpoint": "model.ckpt",
}
WHOLE = ("keras", "h5", "safetensors")
BY_KERAS = ("keras", "h5", "weights.h5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=500, help="of the weights, in MB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=FILES, default=list(FILES))
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "FORMAT", "FOLDER"))
    parser.add_argument("--layers", type=int, default=0)
    options = parser.parse_args()
    if options.one:
        what, form, folder = options.one
        print(json.dumps(one(what, form, Path(folder), options.layers)))
        return
    layers = max(1, options.size * 1_000_000 // (WIDTH * WIDTH * 4))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), layers, options.only)
        report(Path(folder), layers, options.rounds, options.only)


def model_of(layers: int) -> Any:
    import keras

    parts = [keras.layers.Dense(WIDTH, name=f"dense_{n}") for n in range(layers)]
    return keras.Sequential([keras.Input((WIDTH,)), *parts])


def write(folder: Path, layers: int, forms: list[str]) -> None:
    import holdfast

    model = model_of(layers)
    for form in forms:
        name = FILES[form]
        began = time.perf_counter()
        save = holdfast.save_model if form in WHOLE else holdfast.save_weights
        save(model, folder / name)
        print(f"wrote {form:12} in {time.perf_counter() - began:5.2f} s", flush=True)


def report(folder: Path, layers: int, rounds: int, forms: list[str]) -> None:
    found: dict[tuple[str, str], list[float]] = {}
    turns = [(what, form) for form in forms for what in ("read", "holdfast", "keras", "inspect")]
    turns = [turn for turn in turns if turn[0] != "keras" or turn[1] in BY_KERAS]
    for _ in range(rounds):
        for what, form in turns:
            found.setdefault((what, form), []).append(measured(what, form, folder, layers))
    print(f"\nmedians of {rounds} rounds, {layers * WIDTH * WIDTH * 4 / 1e6:.0f} MB of weights")
    print(f"{'format':12} {'read':>8} {'holdfast':>9} {'/read':>6} {'keras':>8} {'inspect':>8}")
    for form in forms:
        middle = {w: statistics.median(t) for (w, f), t in found.items() if f == form}
        keras = f"{middle['keras']:8.2f}" if "keras" in middle else f"{'-':>8}"
        print(
            f"{form:12} {middle['read']:8.3f} {middle['holdfast']:9.3f} "
            f"{middle['holdfast'] / middle['read']:6.2f} {keras} {middle['inspect']:8.2f}"
        )
    if "checkpoint" in forms:
        checksums(folder)


def measured(what: str, form: str, folder: Path, layers: int) -> float:
    """Return the seconds that something took, in a process of its own."""
    if what == "inspect":
        command = [str(Path(sys.executable).with_name("holdfast")), "inspect"]
        began = time.perf_counter()
        subprocess.run([*command, str(folder / FILES[form])], check=True, capture_output=True)
        return time.perf_counter() - began
    command = [sys.executable, __file__, "--one", what, form, str(folder)]
    done = subprocess.run(
        [*command, "--layers", str(layers)], check=True, capture_output=True, text=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def one(what: str, form: str, folder: Path, layers: int) -> float:
    """Return the seconds of one turn, without imports and without building a given model."""
    path = folder / FILES[form]
    if what == "read":
        data = path.with_name(f"{path.name}.data-00000-of-00001") if form == "checkpoint" else path
        return timed(data.read_bytes)
    work = by_holdfast(form, path, layers) if what == "holdfast" else by_keras(form, path, layers)
    return timed(work)


def by_holdfast(form: str, path: Path, layers: int) -> Callable[[], Any]:
    import keras

    import holdfast
    from holdfast.formats.live import reading  # what is imported at the first call

    assert reading
    keras.ops.zeros(1)
    if form in WHOLE:
        return lambda: holdfast.load_model(path, compile=False)
    model = model_of(layers)
    return lambda: holdfast.load_weights(model, path)


def by_keras(form: str, path: Path, layers: int) -> Callable[[], Any]:
    import keras

    keras.ops.zeros(1)
    if form in WHOLE:
        return lambda: keras.saving.load_model(path, compile=False)
    model = model_of(layers)
    return lambda: model.load_weights(path)


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    del result
    return seconds


def checksums(folder: Path) -> None:
    from holdfast.formats.bundle import Bundle

    bundle = Bundle.open(folder / FILES["checkpoint"])
    size = 0
    began = time.perf_counter()
    for key in bundle.entries:
        size += bundle.read(key).nbytes
    rate = size / (time.perf_counter() - began) / 1e6
    print(f"a checkpoint by memory map, its checksums compared: {rate:.0f} MB/s")


if __name__ == "__main__":
    main()
