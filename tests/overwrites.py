"""A training that saves its best model to one name again and again, and is killed meanwhile.

Owns the killing and the looking at what is left. Used by the test of Holdfast's ModelCheckpoint.
"""

import multiprocessing
import os
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path

SAMPLES, FEATURES, HIDDEN = 64, 16, 4096
REPORT = re.compile(r"^Epoch \d+: val_loss improved from \S+ to (\d+\.\d+)", re.MULTILINE)


@dataclass
class Found:
    """What was left after all kills.

    Args:
        kills: how many there were.
        within: how many of them came while a file was being written.
        unreadable: after how many the file could not be opened.
        worse: after how many it held a worse model than had been reported.
    """

    kills: int = 0
    within: int = 0
    unreadable: int = 0
    worse: int = 0


def data():
    import numpy as np

    values = np.random.default_rng(3)
    x = values.normal(size=(SAMPLES, FEATURES)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def train(folder):
    """Train in `folder` until killed; the program that is killed."""
    import holdfast  # isort: skip
    import keras

    log = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    x, y = data()
    run = holdfast.Run(folder / "run")
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((FEATURES,)), keras.layers.Dense(HIDDEN), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(1e-5), "mse")
    save = holdfast.ModelCheckpoint(folder / "best.keras", save_best_only=True, verbose=1)
    run.fit(
        model,
        x,
        y,
        batch_size=SAMPLES,
        epochs=10**6,
        verbose=0,
        callbacks=[save],
        validation_data=(x, y),
        every=holdfast.Every(seconds=0.05),
    )


def loss_of(path):
    """The loss of the model in a file."""
    import keras
    import numpy as np

    x, y = data()
    (one, one_bias), (two, two_bias) = (
        layer.get_weights() for layer in keras.models.load_model(path, compile=False).layers
    )
    found = (x.astype("float64") @ one + one_bias) @ two + two_bias
    return float(np.mean((found - y) ** 2))


def kill_many(kills, folder, seed):
    """Kill a training `kills` times at random moments, and look after each."""
    # Imported once, and forked from there: importing takes most of such a short life.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras", "jax", "holdfast", "holdfast.training.attempt"])
    moments, found = random.Random(seed), Found()
    path, said = folder / "best.keras", folder / "said.txt"
    reported = float("inf")
    for _ in range(kills):
        said.unlink(missing_ok=True)
        child = context.Process(target=train, args=(Path(folder),), daemon=True)
        child.start()
        deadline = time.monotonic() + 60
        while not (said.exists() and REPORT.search(said.read_text())):
            assert child.is_alive(), said.read_text() if said.exists() else "it died"
            assert time.monotonic() < deadline, "it reported nothing"
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.1))
        child.kill()
        child.join()
        found.kills += 1
        values = [float(value) for value in REPORT.findall(said.read_text())]
        reported = min([*values, reported])
        found.within += any(folder.glob(".best.keras.*.tmp"))
        try:
            value = loss_of(path)
        except Exception:
            found.unreadable += 1
            path.unlink(missing_ok=True)
            continue
        # A report has five decimals.
        found.worse += value > reported * (1 + 1e-5) + 1e-5
    return found
