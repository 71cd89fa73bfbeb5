"""How fast checkpoints are written and read, how long training stands still, what tuning writes.

    python bench/store.py [--rounds N] [--only PART …] [--size MB …] [--folder DIR]
                          [--orbax PYTHON] [--json FILE]

States are weights of a Keras model on JAX: 1 MB in 6 arrays, 100 MB in 50, 1000 MB in 200. Within
a round every contender runs once, one after the other in changing order, so that all see the same
machine; ratios are medians of the ratios within the rounds. What was written before is synced and
gone before the clock starts. All is read from the page cache. Takes up to 6 GB of disk, and cleans
up.

Parts:
    commit      a checkpoint: sums, write, sync, rename; all arrays have changed
    restore     open, check the sums, to arrays in the host's memory
    stall       how long training stands still for a checkpoint, in a real training
    tuning      bytes and time of the second checkpoint where 1 % of 1000 MB has changed

Contenders:
    plain       write and fsync of the same bytes in one file; read of that file at once
    holdfast    Store.commit; load_newest
    safetensors save_file and fsync; load_file
    keras       save_weights to .weights.h5 and fsync; load_weights
    orbax       StandardCheckpointer of orbax-checkpoint, in a process of its own with a Python
                that has it: --orbax, or else an environment made in bench/.peers by pip
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

PARTS = ("commit", "restore", "stall", "tuning")
ARRAYS = {1: 6, 100: 50, 1000: 200}
PEERS = Path(__file__).parent / ".peers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--size", nargs="*", type=int, choices=ARRAYS, default=list(ARRAYS))
    parser.add_argument("--folder", type=Path, help="a directory on the disk to measure")
    parser.add_argument("--orbax", metavar="PYTHON", help="a Python that has orbax-checkpoint")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("PART", "MB"), help=argparse.SUPPRESS)
    parser.add_argument("--peer", nargs=2, metavar=("FOLDER", "MB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        serve_orbax(Path(options.peer[0]), int(options.peer[1]))
        return
    if options.one:
        part, size = options.one[0], int(options.one[1])
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found = MEASURES[part](Path(folder), size, options.rounds, options.orbax)
        print(json.dumps(found))
        return
    orbax = options.orbax
    if orbax is None and {"commit", "restore"} & set(options.only):
        orbax = make_peer()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    names = ("holdfast", "keras", "jax", "numpy", "blake3", "safetensors")
    print(", ".join(f"{name} {version(name)}" for name in names), f"; {options.rounds} rounds")
    results: dict[str, dict[str, dict]] = {}
    for size in options.size:
        for part in ("files", "stall", "tuning"):
            parts = {"commit", "restore"} if part == "files" else {part}
            if not parts & set(options.only) or (part == "tuning" and size != 1000):
                continue
            command = [sys.executable, __file__, "--one", part, str(size)]
            command += ["--rounds", str(options.rounds if size < 1000 else min(5, options.rounds))]
            command += ["--folder", str(options.folder)] if options.folder else []
            command += ["--orbax", orbax] if orbax else []
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found = json.loads(output.splitlines()[-1])
            for name, times in found.items():
                if name in options.only:
                    results.setdefault(name, {})[str(size)] = times
                    report(name, size, times)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def report(part: str, size: int, found: dict) -> None:
    print(f"\n{part}, {size} MB in {ARRAYS[size]} arrays")
    if part == "tuning":
        print(f"  bytes of the second over the first's: {found['share']:.4f}")
    base = found["seconds"][found["base"]]
    print("  seconds     median     least      most       over " + found["base"])
    for name, values in found["seconds"].items():
        ratio = statistics.median(a / b for a, b in zip(values, base, strict=True))
        print(
            f"  {name:11} {statistics.median(values):.5f}  {min(values):.5f}  "
            f"{max(values):.5f}  {ratio:.2f}",
            flush=True,
        )


def race(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round; one round before them counts for nothing."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            os.sync()
            seconds = contenders[name]()
            if number:
                times[name].append(seconds)
    return times


def clocked(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - began
    del found
    return seconds


# commit and restore


def measure_files(folder: Path, size: int, rounds: int, orbax: str | None) -> dict:
    """Commit and restore: what is read is what was written last."""
    import safetensors.numpy

    model = build(size)
    values = copies(model)
    saved, loaded = {}, {}
    plain, library, weights = folder / "plain", folder / "library", folder / "x.weights.h5"

    def write_plain() -> None:
        with plain.open("xb", buffering=0) as file:
            for value in values:
                data = memoryview(value).cast("B")
                while data:
                    data = data[file.write(data) :]
            os.fsync(file.fileno())

    def write_library() -> None:
        safetensors.numpy.save_file(
            {str(number): value for number, value in enumerate(values)}, library
        )
        sync(library)

    def write_weights() -> None:
        model.save_weights(weights)
        sync(weights)

    saved["plain"] = afresh(plain, write_plain)
    saved["holdfast"], loaded["holdfast"] = ours(folder, values)
    saved["safetensors"] = afresh(library, write_library)
    saved["keras"] = afresh(weights, write_weights)
    loaded["plain"] = lambda: clocked(plain.read_bytes)
    loaded["safetensors"] = lambda: clocked(lambda: safetensors.numpy.load_file(library))
    loaded["keras"] = lambda: clocked(lambda: model.load_weights(weights))
    peer = Peer(orbax, folder / "orbax", size) if orbax else None
    if peer is not None:
        saved["orbax"] = lambda: peer.ask("save")
        loaded["orbax"] = lambda: peer.ask("load")
    try:
        return {
            "commit": {"base": "plain", "seconds": race(saved, rounds)},
            "restore": {"base": "plain", "seconds": race(loaded, rounds)},
        }
    finally:
        if peer is not None:
            peer.end()


def ours(folder: Path, values: list) -> tuple[Callable[[], float], Callable[[], float]]:
    from holdfast.store.checkpoints import load_newest

    store, layout = new_store(folder / "run")
    step = 0

    def commit() -> float:
        nonlocal step
        step += 1
        change(values)
        for path in [*layout.manifests(), *layout.all_packs()]:
            path.unlink()
        os.sync()
        snapshot = snapshot_of(values, step)
        return clocked(lambda: store.commit(snapshot))

    return commit, lambda: clocked(lambda: load_newest(layout, final=False))


def new_store(root: Path) -> tuple[Any, Any]:
    from holdfast.store import identity, journal
    from holdfast.store.checkpoints import Store
    from holdfast.store.journal import Journal
    from holdfast.store.layout import Layout

    layout = Layout(root)
    root.mkdir()
    identity.begin(layout, {}, {}, None)
    log = Journal(layout.journal, journal.read(layout.journal))
    return Store(layout, log, identity.load_identity(layout).id, "plan", {}), layout


def snapshot_of(values: list, step: int) -> Any:
    from holdfast.state.values import to_array
    from holdfast.types import Position, Snapshot

    arrays = [to_array(f"trainable/{number:04d}", value) for number, value in enumerate(values)]
    return Snapshot(Position(0, step, step), tuple(arrays), {})


def change(values: list) -> None:
    for value in values:
        value[...] *= 1.0001


def afresh(path: Path, write: Callable[[], None]) -> Callable[[], float]:
    def run() -> float:
        path.unlink(missing_ok=True)
        os.sync()
        return clocked(write)

    return run


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


# what training waits for


def measure_stall(folder: Path, size: int, rounds: int, orbax: str | None) -> dict:
    """Checkpoints of a real training, and copies of its state beside them."""
    import jax
    import numpy as np

    import holdfast
    from holdfast.training.keeper import Keeper

    model = build(size)
    width = model.input_shape[-1]
    x, y = np.zeros((8, width), "float32"), np.zeros((8, width), "float32")
    times: dict[str, list[float]] = {"copy": [], "holdfast": []}
    save = Keeper.save

    def timed(keeper: Keeper, state: Callable[[], Any], **how: Any) -> None:
        values = jax.block_until_ready(state().values)
        keeper.wait()
        times["copy"].append(clocked(lambda: [np.asarray(value).copy() for value in values]))
        times["holdfast"].append(clocked(lambda: save(keeper, state, **how)))
        keeper.wait()

    Keeper.save = timed
    holdfast.Run(folder / "run").fit(
        model,
        x,
        y,
        batch_size=8,
        epochs=rounds + 2,
        verbose=0,
        every=holdfast.Every(epochs=1),
        keep=holdfast.Keep(last=1),
    )
    # The first are before the first step and with what it compiles.
    found = {name: values[2 : rounds + 2] for name, values in times.items()}
    return {"stall": {"base": "copy", "seconds": found}}


# a second checkpoint where little has changed


def measure_tuning(folder: Path, size: int, rounds: int, orbax: str | None) -> dict:
    values = copies(build(size))
    tuned = values[: len(values) // 100]
    store, _ = new_store(folder / "run")
    first = store.commit(snapshot_of(values, 1)).size
    sizes, step = [], 1

    def commit() -> float:
        nonlocal step
        step += 1
        change(tuned)
        snapshot = snapshot_of(values, step)
        began = time.perf_counter()
        sizes.append(store.commit(snapshot).size)
        return time.perf_counter() - began

    def read() -> float:
        from blake3 import blake3

        arrays = snapshot_of(values, step).arrays
        return clocked(lambda: [blake3(array.data).digest() for array in arrays])

    times = race({"sums": read, "holdfast": commit}, rounds)
    return {"tuning": {"base": "sums", "seconds": times, "share": sizes[0] / first}}


# the state


def build(size: int) -> Any:
    import keras

    width = int((size * 1e6 / ARRAYS[size] / 4) ** 0.5)
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(width, use_bias=False) for _ in range(ARRAYS[size])]
    model = keras.Sequential([keras.Input((width,)), *layers])
    model.compile("sgd", "mse")
    return model


def copies(model: Any) -> list:
    import numpy as np

    return [np.array(variable.value) for variable in model.trainable_variables]


MEASURES = {"files": measure_files, "stall": measure_stall, "tuning": measure_tuning}


# orbax, in a process of its own


def make_peer() -> str | None:
    """The Python of an environment that has orbax, or None where it cannot be made."""
    python = PEERS / "bin" / "python"
    if (PEERS / "made").is_file():
        return str(python)
    print(f"making {PEERS} for orbax-checkpoint …", file=sys.stderr)
    try:
        venv.create(PEERS, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "orbax-checkpoint"]
        subprocess.run([*install, f"jax=={version('jax')}"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"orbax is left out: it could not be installed ({error})")
        return None
    (PEERS / "made").touch()
    return str(python)


class Peer:
    """The process that answers what orbax takes."""

    def __init__(self, python: str, folder: Path, size: int) -> None:
        command = [python, __file__, "--peer", str(folder), str(size)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, what: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("took "):
                return float(line.split()[1])
        raise RuntimeError("orbax has ended; run the bench with --orbax PYTHON to see why")

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve_orbax(folder: Path, size: int) -> None:
    import numpy as np
    import orbax.checkpoint as ocp

    width = int((size * 1e6 / ARRAYS[size] / 4) ** 0.5)
    random = np.random.default_rng(1)
    state = {
        f"{number:04d}": random.standard_normal((width, width), np.float32)
        for number in range(ARRAYS[size])
    }
    checkpointer = ocp.StandardCheckpointer()

    def save() -> None:
        checkpointer.save(folder / "state", state)
        checkpointer.wait_until_finished()

    for what in lines():
        if what == "save":
            shutil.rmtree(folder, ignore_errors=True)
            os.sync()
            took = clocked(save)
        else:
            took = clocked(lambda: checkpointer.restore(folder / "state", state))
        print(f"took {took}", flush=True)


def lines() -> Iterator[str]:
    for line in sys.stdin:
        yield line.strip()


if __name__ == "__main__":
    main()
