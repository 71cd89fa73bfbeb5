"""What a long life costs: runs of many epochs, many runs, runs of many checkpoints.

    python bench/growth.py [--rounds N] [--only NAME …] [--json FILE]

    open    `Run.fit` on a run of so many epochs, each with its line in the journal, from the call
            to the first `on_epoch_begin`; how much of it reads the run (the journal, the
            checkpoint and its history), and the memory that the process takes then, over what
            it takes for the shortest. Each in a process of its own
    save    the bytes of the next checkpoint, one epoch later
    ls      `holdfast ls`, the whole command, in a directory of so many small runs
    prune   `Run.prune` of so many checkpoints down to four

Figures are medians over rounds. What is measured is made without syncs, and is small: the model
has 30 numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

EPOCHS = (100, 1_000, 10_000, 100_000)
RUNS = 1_000
CHECKPOINTS = (1_000, 3_000, 10_000)
KINDS = ("open", "ls", "prune")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make)
        return
    if options.one:
        print(json.dumps(opening(options.one)))
        return
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    names = ("holdfast", "keras", "jax", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names), f"; {options.rounds} rounds")
    results: dict = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "open" in options.only:
            results["open"] = openings(folder, options.rounds)
            report_openings(results["open"])
        if "ls" in options.only:
            results["ls"] = listings(folder, options.rounds)
            report_listings(results["ls"])
        if "prune" in options.only:
            results["prune"] = prunings(folder, options.rounds)
            report_prunings(results["prune"])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def openings(folder: Path, rounds: int) -> dict[int, list[dict]]:
    results: dict[int, list[dict]] = {count: [] for count in EPOCHS}
    progress("open: making runs")
    # Not here: a process begins with the peak of memory of the one that it is forked from.
    subprocess.run([sys.executable, __file__, "--make", str(folder)], check=True)
    for number in range(rounds):
        for count in EPOCHS:
            progress(f"open: round {number + 1} of {rounds}, {count} epochs")
            run = folder / "run"
            shutil.copytree(folder / f"of {count}", run)
            command = [sys.executable, __file__, "--one", str(run)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[count].append(json.loads(output.splitlines()[-1]))
            shutil.rmtree(run)
    progress()
    return results


def make(folder: Path) -> None:
    """Make a run of each number of epochs."""
    begun = folder / "begun"
    train(begun, 1)
    for count in EPOCHS:
        lengthen(shutil.copytree(begun, folder / f"of {count}"), count)


def report_openings(results: dict[int, list[dict]]) -> None:
    print("\nopening a run: seconds to the first epoch, of these for reading; memory over")
    print("the shortest, MB; the next checkpoint, KB")
    least = median(results[EPOCHS[0]], "peak")
    for count, runs in results.items():
        print(
            f"  {count:7} epochs  {median(runs, 'opened'):.3f}  {median(runs, 'read'):.3f}  "
            f"{(median(runs, 'peak') - least) / 1e6:6.1f}  {median(runs, 'written') / 1e3:6.1f}"
        )


def opening(path: Path) -> dict:
    """Go on with the run at a path, for one more epoch."""
    import holdfast  # isort: skip
    import keras

    from holdfast.state import snapshot
    from holdfast.store import journal
    from holdfast.training import opening

    spent = [0.0]
    for module, name in (
        (journal, "skim"), (opening, "load_newest"),
        (snapshot, "load_course"),
    ):  # fmt: skip
        clocked(module, name, spent)
    clocked(holdfast.callbacks.history.History, "restore", spent)
    found: dict = {}

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            found["opened"] = time.perf_counter() - began
            found["read"] = spent[0]
            found["peak"] = peak()

    epochs = holdfast.Run(path).position.epoch + 1
    before = sizes(path / "packs")
    began = time.perf_counter()
    train(path, epochs, Look())
    newest = holdfast.Run(path).checkpoints[-2]  # before what the training returned
    new = [size for name, size in sizes(path / "packs").items() if name not in before]
    return {**found, "written": sum(new) + newest.path.stat().st_size, "epochs": epochs}


def clocked(owner: object, name: str, spent: list[float]) -> None:
    """Add the time that a function takes to `spent`."""
    function = getattr(owner, name)

    def timed(*given: object, **named: object) -> object:
        began = time.perf_counter()
        result = function(*given, **named)
        spent[0] += time.perf_counter() - began
        return result

    setattr(owner, name, timed)


def train(path: Path, epochs: int, *callbacks: object) -> None:
    import holdfast  # isort: skip
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    x = np.random.default_rng(1).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=["mae"])
    data = (x, x[:, :3])
    holdfast.Run(path).fit(
        model, *data, epochs=epochs, verbose=0, validation_data=data, callbacks=list(callbacks)
    )


def lengthen(path: Path, count: int) -> None:
    """Make a run of one epoch one of `count`: lines of the journal, and a checkpoint."""
    from holdfast.events import EpochEnded
    from holdfast.state.rows import Rows
    from holdfast.store import journal
    from holdfast.store.checkpoints import Store, load_newest
    from holdfast.store.identity import load_identity
    from holdfast.store.layout import Layout
    from holdfast.types import Position, Snapshot

    layout = Layout(path)
    for manifest in layout.manifests():
        if manifest.stem.endswith("-final"):
            manifest.unlink()
    manifest, arrays, _ = load_newest(layout, final=False)
    rows = Rows()
    log = journal.Journal(layout.journal, journal.skim(layout.journal))
    with unsynced():
        for epoch in range(count):
            logs = dict.fromkeys(manifest.metrics, (1 + epoch % 97) / 7)
            rows.append(epoch, logs)
            if epoch:
                log.append(EpochEnded(1.0 + epoch, epoch, epoch + 1, logs))
        kept = [array for array in arrays if not array.name.startswith("history/")]
        snapshot = Snapshot(
            Position(count, 0, count),
            (*kept, *rows.to_arrays(count)),
            {**manifest.state, "history": count},
            epoch_end=True,
            journal=log.size,
        )
        Store(layout, log, load_identity(layout).id, manifest.plan, manifest.versions).commit(
            snapshot
        )
    log.close()


def listings(folder: Path, rounds: int) -> dict[str, list[float]]:
    from tiny_run import make_run

    place = folder / "runs"
    place.mkdir()
    progress(f"ls: making {RUNS} runs")
    with unsynced():
        for number in range(RUNS):
            make_run(place / f"run-{number:04}", 10, 20)
    results: dict[str, list[float]] = {"empty": [], "runs": []}
    (folder / "empty").mkdir()
    for _ in range(rounds):
        for name, seconds in results.items():
            began = time.perf_counter()
            command = [sys.executable, "-c", "from holdfast.cli.main import main; main()", "ls"]
            subprocess.run([*command, folder / name], check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
    shutil.rmtree(place)
    progress()
    return results


def report_listings(results: dict[str, list[float]]) -> None:
    print(f"\nholdfast ls: seconds for {RUNS} runs (median, least, most), and for none")
    runs, none = results["runs"], results["empty"]
    print(
        f"  {statistics.median(runs):.3f}  {min(runs):.3f}  {max(runs):.3f}  "
        f"{statistics.median(none):.3f}"
    )


def prunings(folder: Path, rounds: int) -> dict[int, list[float]]:
    from tiny_run import make_run

    import holdfast

    results: dict[int, list[float]] = {count: [] for count in CHECKPOINTS}
    for count in CHECKPOINTS:
        progress(f"prune: making {count} checkpoints")
        whole = folder / f"whole {count}"
        with unsynced():
            make_run(whole, *range(10, 10 * count + 10, 10))
    for number in range(rounds):
        for count in CHECKPOINTS:
            progress(f"prune: round {number + 1} of {rounds}, {count} checkpoints")
            run = folder / "pruned"
            shutil.copytree(folder / f"whole {count}", run)
            began = time.perf_counter()
            holdfast.Run(run).prune(holdfast.Keep(last=3))
            results[count].append(time.perf_counter() - began)
            shutil.rmtree(run)
    progress()
    return results


def report_prunings(results: dict[int, list[float]]) -> None:
    print("\npruning: seconds, and how much longer a checkpoint takes than of the fewest")
    first = statistics.median(results[CHECKPOINTS[0]]) / CHECKPOINTS[0]
    for count, seconds in results.items():
        middle = statistics.median(seconds)
        print(f"  {count:7} checkpoints  {middle:.3f}  {middle / count / first:.2f}")


class unsynced:  # noqa: N801
    """While this lasts, nothing is synced: what is made is to be measured, not to last."""

    def __enter__(self) -> None:
        self._sync = os.fsync
        os.fsync = lambda _: None  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        os.fsync = self._sync


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def median(runs: list[dict], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def progress(text: str = "") -> None:
    print(f"\r{text:60}" + ("" if text else "\r"), end="", file=sys.stderr)


if __name__ == "__main__":
    main()
