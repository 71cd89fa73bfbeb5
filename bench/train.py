"""How fast `Run.fit` trains, what checkpoints cost, and how much memory they take.

    python bench/train.py [--mnist FILE] [--rounds N] [--only NAME …] [--json FILE]

Each figure is the median over rounds; within a round every contender runs once, in a process
of its own, one after the other, so that all see the same machine. An epoch's time is the
median over a process's epochs, but for the cost of checkpoints, which is over the mean: an
epoch with a checkpoint in it is not the median one.

Contenders:
    loop        the loop by hand: lax.fori_loop over Model.train_step, data on the device,
                shuffled each epoch; no callbacks, no logs, no checkpoints
    keras-N     Model.fit with steps_per_execution=N
    holdfast    Run.fit as it is by default
    bare        Run.fit with no checkpoint between beginning and end
    validated   Run.fit with validation
    callbacks   the same with EarlyStopping and ModelCheckpoint (weights only, best only), where
                nothing improves
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

MNIST = Path("../shared/data/mnist.npz")
EPOCHS = {"mlp": 21, "cnn": 3, "long": 121, "wide": 9, "callbacks": 61}
SETS = {
    "mlp": ["loop", "keras-1", "keras-16", "keras-64", "keras-256", "holdfast"],
    "cnn": ["loop", "keras-1", "keras-16", "holdfast"],
    "long": ["bare", "holdfast"],
    "wide": ["keras-1", "bare", "holdfast"],
    "callbacks": ["validated", "callbacks"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, default=MNIST)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=sorted(SETS), default=sorted(SETS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "CONTENDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.mnist)))
        return
    if not options.mnist.is_file():
        print(f"skipped: there is no MNIST at {options.mnist}; give --mnist FILE (mnist.npz)")
        return
    results = {
        model: race(model, SETS[model], options.rounds, options.mnist)
        for model in SETS
        if model in options.only
    }
    report(results, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def race(model: str, contenders: list[str], rounds: int, mnist: Path) -> dict[str, list[dict]]:
    results: dict[str, list[dict]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in contenders:
            print(f"\r{model}: round {number + 1} of {rounds}, {name:12}", end="", file=sys.stderr)
            command = [sys.executable, __file__, "--one", model, name, "--mnist", str(mnist)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[name].append(json.loads(output.splitlines()[-1]))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return results


def report(results: dict[str, dict[str, list[dict]]], rounds: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    names = ("holdfast", "keras", "jax", "jaxlib", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names), f"; {rounds} rounds")
    for model in ("mlp", "cnn"):
        if model not in results:
            continue
        times = {name: [run["median"] for run in runs] for name, runs in results[model].items()}
        print(f"\n{model}: seconds an epoch (median, least, most), and over holdfast's")
        for name, values in times.items():
            ratio = statistics.median(
                value / ours for value, ours in zip(values, times["holdfast"], strict=True)
            )
            print(
                f"  {name:10} {statistics.median(values):.4f}  {min(values):.4f}  "
                f"{max(values):.4f}  {ratio:.2f}"
            )
    if "long" in results:
        runs = results["long"]
        for figure in ("median", "mean"):
            pairs = zip(runs["holdfast"], runs["bare"], strict=True)
            ratios = [ours[figure] / bare[figure] for ours, bare in pairs]
            print(
                f"\nmlp, {EPOCHS['long'] - 1} epochs: {figure} epoch with default checkpoints over "
                f"without: {statistics.median(ratios):.4f} "
                f"(least {min(ratios):.4f}, most {max(ratios):.4f})",
                end="",
            )
        count = statistics.median(run["checkpoints"] for run in runs["holdfast"])
        seconds = statistics.median(run["mean"] for run in runs["holdfast"]) * EPOCHS["long"]
        print(f"\n  {count:.0f} checkpoints in {seconds:.1f} s")
    if "callbacks" in results:
        runs = results["callbacks"]
        pairs = zip(runs["callbacks"], runs["validated"], strict=True)
        ratios = [ours["median"] / bare["median"] for ours, bare in pairs]
        print(
            "\nmlp with validation: epoch with EarlyStopping and ModelCheckpoint, where nothing "
            f"improves, over without: {statistics.median(ratios):.4f} "
            f"(least {min(ratios):.4f}, most {max(ratios):.4f})"
        )
    if "wide" in results:
        runs = results["wide"]
        print(f"\na state of {runs['holdfast'][0]['state'] / 1e6:.0f} MB: peak memory, MB")
        for name, several in runs.items():
            print(f"  {name:10} {statistics.median(run['peak'] for run in several) / 1e6:.0f}")


def measure(model_name: str, contender: str, mnist: Path) -> dict:
    import holdfast  # isort: skip
    import keras
    import numpy as np

    with np.load(mnist) as data:
        x = (data["x_train"].reshape(-1, 784) / 255).astype("float32")
        y = data["y_train"].astype("int32")
    keras.utils.set_random_seed(1)
    if model_name == "cnn":
        x = x.reshape(-1, 28, 28, 1)
    if model_name == "wide":
        x, y = x[:640], y[:640]
    steps = int(contender.partition("-")[2] or 1)
    model = build(model_name, steps)
    epochs = EPOCHS[model_name]
    clock = Clock() if contender == "loop" else clock_callback()
    extra: dict = {}
    if contender == "loop":
        by_hand(model, x, y, epochs, clock)
    elif contender.startswith("keras"):
        model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[clock])
    else:
        every = holdfast.Every(seconds=1e9) if contender == "bare" else None
        with tempfile.TemporaryDirectory() as folder:
            run = holdfast.Run(Path(folder) / "run")
            callbacks = [*watching(contender, folder), clock]
            validation = (x[:10000], y[:10000]) if model_name == "callbacks" else None
            run.fit(
                model,
                x,
                y,
                batch_size=32,
                epochs=epochs,
                verbose=0,
                callbacks=callbacks,
                validation_data=validation,
                every=every,
            )
            extra["checkpoints"] = sum(
                event.name == "checkpoint_committed" for event in run.journal().events
            )
            extra["state"] = run.checkpoints[-1].size
    # The first epoch has compiled; its end is where the clock starts.
    spans = [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]
    return {
        "median": statistics.median(spans),
        "mean": statistics.fmean(spans),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
        **extra,
    }


def watching(contender: str, folder: str) -> list:
    """The callbacks that are measured: they judge every epoch and find none better."""
    import holdfast

    if contender != "callbacks":
        return []
    return [
        holdfast.EarlyStopping(min_delta=1e9, patience=10**6, restore_best_weights=True),
        holdfast.ModelCheckpoint(
            Path(folder) / "best.weights.h5",
            save_best_only=True,
            save_weights_only=True,
            initial_value_threshold=0.0,
        ),
    ]


def build(name: str, steps_per_execution: int):
    import keras
    from keras import layers

    if name == "cnn":
        parts = [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dropout(0.5),
        ]
    elif name == "wide":
        parts = [keras.Input((784,)), *(layers.Dense(2800, activation="relu") for _ in range(3))]
    else:
        parts = [keras.Input((784,)), layers.Dense(64, activation="relu")]
    model = keras.Sequential([*parts, layers.Dense(10, activation="softmax")])
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9) if name == "wide" else "sgd",
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    return model


class Clock:
    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self) -> None:
        self.ends.append(time.perf_counter())


def clock_callback():
    import keras

    class ClockCallback(keras.callbacks.Callback, Clock):
        def __init__(self) -> None:
            keras.callbacks.Callback.__init__(self)
            Clock.__init__(self)

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            self.tick()

        def get_state(self) -> dict:
            return {}

        def set_state(self, state: dict) -> None: ...

    return ClockCallback()


def by_hand(model, x, y, epochs: int, clock: Clock) -> None:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    batch = 32
    model.optimizer.build(model.trainable_variables)
    model.train_on_batch(x[:batch], y[:batch])  # builds the metrics
    model.reset_metrics()
    data = (jax.device_put(x), jax.device_put(y))
    state = tuple(
        [variable.value for variable in group]
        for group in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )

    def epoch(state, data, order):
        def body(number, state):
            index = lax.dynamic_slice(order, (number * batch,), (batch,))
            samples = jax.tree.map(lambda a: jnp.take(a, index, axis=0, mode="clip"), data)
            return model.train_step(state, samples)[1]

        return lax.fori_loop(0, len(x) // batch, body, state)

    compiled = jax.jit(epoch, donate_argnums=0)
    for _ in range(epochs):
        order = jax.device_put(np.random.permutation(len(x)).astype("int32"))
        state = jax.block_until_ready(compiled(state, data, order))
        clock.tick()


if __name__ == "__main__":
    main()
