"""How fast `Run.fit` trains from data that comes in batches, beside `Model.fit` on the same.

    python bench/data.py [--mnist FILE] [--rounds N] [--model mlp|cnn] [--only NAME …] [--json FILE]

MNIST in batches of 32, on the backend that KERAS_BACKEND names (jax by default). Each figure is the
median over rounds; within a round both contenders run once, in a process of its own, one after the
other. An epoch's time is the median over a process's epochs after the first, which compiles.

Sources, those whose library is installed:
    arrays      numpy arrays in memory, shuffled
    pydataset   a keras.utils.PyDataset that slices them
    grain       a grain MapDataset of batches, sliced of them
    samples     a grain MapDataset of samples, batched by grain: the data is the limit
    loader      a torch DataLoader over a TensorDataset, batches fetched whole by a BatchSampler
    collated    a torch DataLoader as most write it, sample by sample: the data is the limit
    tfdata      tf.data.Dataset.from_tensor_slices, batched and prefetched
    bare        drawing the batches and nothing else, for each of these: what the data takes

    python bench/data.py --fingerprint [--rounds N]

How long it takes to recognise a gigabyte of data before the first step: an array in memory, and a
memory-mapped file that the system has in memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

MNIST = Path("../shared/data/mnist.npz")
NEEDS = {
    "arrays": "numpy",
    "pydataset": "numpy",
    "grain": "grain",
    "samples": "grain",
    "loader": "torch",
    "collated": "torch",
    "tfdata": "tensorflow",
}
EPOCHS = 6
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, default=MNIST)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--only", nargs="*", choices=sorted(NEEDS), default=list(NEEDS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--fingerprint", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("SOURCE", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.model, options.mnist)))
        return
    if options.fingerprint:
        recognise(options.rounds)
        return
    if not options.mnist.is_file():
        print(f"skipped: there is no MNIST at {options.mnist}; give --mnist FILE (mnist.npz)")
        return
    backend = os.environ.setdefault("KERAS_BACKEND", "jax")
    names = ("holdfast", "keras", backend, "numpy")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(
        ", ".join(f"{name} {version(dist(name))}" for name in names), f"; {options.rounds} rounds"
    )
    print(f"{backend}, {options.model}: seconds an epoch (median, least, most)")
    found = {}
    for source in options.only:
        if importlib.util.find_spec(NEEDS[source]) is not None:
            found[source] = race(source, options)
            report(source, found[source])
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def recognise(rounds: int) -> None:
    import holdfast  # noqa: F401  isort: skip
    import numpy as np

    from holdfast.data.arrays import ArraySource

    with tempfile.TemporaryDirectory() as folder:
        array = np.random.default_rng(1).random((1 << 18, 1024), dtype="float32")
        np.save(Path(folder) / "x.npy", array)
        for name, x in (("memory", array), ("mapped", np.load(Path(folder) / "x.npy", "r"))):
            source, times = ArraySource(x, batch_size=BATCH), []
            for _ in range(rounds):
                began = time.perf_counter()
                source.fingerprint()
                times.append(1e3 * (time.perf_counter() - began))
            found = f"{statistics.median(times):.1f}  {min(times):.1f}  {max(times):.1f}"
            print(f"{x.nbytes / 1e9:.2f} GB, {name}: {found} ms (median, least, most)")


def dist(name: str) -> str:
    return "tensorflow-cpu" if name == "tensorflow" else name


def race(source: str, options: argparse.Namespace) -> dict[str, list[float]]:
    contenders = ("keras", "holdfast") if source == "arrays" else ("keras", "holdfast", "bare")
    results: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(options.rounds):
        for name in contenders:
            print(f"\r{source}: round {number + 1}, {name:10}", end="", file=sys.stderr)
            command = [sys.executable, __file__, "--one", source, name]
            command += ["--mnist", str(options.mnist), "--model", options.model]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[name].append(json.loads(output.splitlines()[-1]))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return results


def report(source: str, results: dict[str, list[float]]) -> None:
    pairs = zip(results["keras"], results["holdfast"], strict=True)
    ratios = [keras / ours for keras, ours in pairs]
    for name, values in results.items():
        times = f"{statistics.median(values):.4f}  {min(values):.4f}  {max(values):.4f}"
        print(f"  {source:10} {name:9} {times}")
    ratio = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    print(f"  {source:10} keras over holdfast: {ratio}")


def measure(source: str, contender: str, model_name: str, mnist: Path) -> float:
    import holdfast  # isort: skip
    import keras
    import numpy as np

    with np.load(mnist) as data:
        x = (data["x_train"].reshape(-1, 784) / 255).astype("float32")
        y = data["y_train"].astype("int32")
    if model_name == "cnn":
        x, y = x[:6400].reshape(-1, 28, 28, 1), y[:6400]
    keras.utils.set_random_seed(1)
    data = make(source, x, y)
    given = {"x": x, "y": y, "batch_size": BATCH} if source == "arrays" else {"x": data}
    if contender == "bare":
        return draw(source, data)
    model = build(model_name)
    clock = clock_callback()
    more = {"epochs": EPOCHS, "verbose": 0, "callbacks": [clock]}
    if source != "arrays":
        more["shuffle"] = source == "pydataset"
    if contender == "keras":
        model.fit(**given, **more)
    else:
        with tempfile.TemporaryDirectory() as folder:
            holdfast.Run(Path(folder) / "run").fit(model, **given, **more)
    spans = [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]
    return statistics.median(spans)


def build(name: str):
    import keras
    from keras import layers

    if name == "mlp":
        parts = [layers.Dense(64, activation="relu")]
        shape: tuple[int, ...] = (784,)
    else:
        shape = (28, 28, 1)
        parts = [
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
        ]
    model = keras.Sequential([keras.Input(shape), *parts, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model


def make(source: str, x, y):
    """Return the data as a user would make it."""
    import keras
    import numpy as np

    count = len(x) // BATCH
    if source == "pydataset":

        class Slices(keras.utils.PyDataset):
            def __len__(self):
                return count

            def __getitem__(self, index):
                rows = slice(index * BATCH, (index + 1) * BATCH)
                return x[rows], y[rows]

        return Slices()
    if source in ("grain", "samples"):
        import grain

        if source == "samples":
            return (
                grain.MapDataset.range(len(x))
                .seed(1)
                .shuffle()
                .map(lambda index: (x[index], y[index]))
                .batch(BATCH)
            )
        return (
            grain.MapDataset.range(count)
            .seed(1)
            .shuffle()
            .map(
                lambda index: (
                    x[index * BATCH : (index + 1) * BATCH],
                    y[index * BATCH : (index + 1) * BATCH],
                )
            )
        )
    if source in ("loader", "collated"):
        import torch
        from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

        samples = TensorDataset(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)))
        if source == "collated":
            return DataLoader(samples, batch_size=BATCH, shuffle=True)
        whole = BatchSampler(RandomSampler(samples), BATCH, drop_last=False)
        return DataLoader(samples, sampler=whole, batch_size=None)
    if source == "tfdata":
        import tensorflow as tf

        slices = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(10_000, seed=1)
        return slices.batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return None


def draw(source: str, data) -> float:
    """Return how long a pass over the data takes that does nothing with it."""
    import numpy as np

    spans = []
    for _ in range(3):
        began = time.perf_counter()
        batches = (data[i] for i in range(len(data))) if source == "pydataset" else iter(data)
        for images, _ in batches:
            np.asarray(images)
        spans.append(time.perf_counter() - began)
    return statistics.median(spans)


def clock_callback():
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.ends: list[float] = []

        def on_epoch_end(self, epoch, logs=None):
            self.ends.append(time.perf_counter())

    return Clock()


if __name__ == "__main__":
    main()
