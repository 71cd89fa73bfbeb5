"""A training that is killed again and again, and says on a board what it is doing.

python soaked.py FOLDER LIFE BOARD

All its files, the run among them, are in FOLDER. LIFE is a JSON object of what may be another in
each of its lives, and must not change a bit: how it is watched, when it saves, what it keeps, and
what is done to the disk; and of the program and the data, which are the same in all. BOARD is
the file of a `Board`.
"""

import sys

from board import Board

FOLDER, LIFE, BOARD = sys.argv[1:]
board = Board(BOARD)
board.say("imports")

import faulthandler
import json
import os
import threading
from pathlib import Path

import holdfast  # isort: skip
import jax
import keras
import numpy as np
from blake3 import blake3
from keras import layers

from holdfast.store import disk
from holdfast.store.faults import Faults

faulthandler.enable()
life = json.loads(LIFE)
MAIN = threading.main_thread()


def operation_told(operation):
    """Say what the writer and the threads of callbacks do, by what leads to an operation."""
    site = operation.site
    told = "store.journal" in site and "store.checkpoints" not in site
    if threading.current_thread() is MAIN:
        if told and b'"attempt_started"' in operation.data:
            board.say("training")
    elif "callbacks.model_files" in site:
        # Once on the way to what the thread does, once more where that is a file of a model.
        if told or site.count("callbacks.model_files") > 1:
            board.say("nothing" if told else "saving a model", lane=2)
    else:
        doing = "pruning" if "store.prune" in site else "writing"
        board.say("nothing" if told else doing, lane=1)


class Compiling:
    """Says when the main thread compiles, and when it does no longer."""

    def __init__(self):
        self.before = board.now()
        jax.monitoring.register_event_listener(self.begins)
        jax.monitoring.register_event_duration_secs_listener(self.ends)

    def begins(self, event, **_):
        if event.endswith("/compile_requests_use_cache") and threading.current_thread() is MAIN:
            self.before = board.now()
            board.say("compiling")

    def ends(self, event, _, **__):
        if event.endswith("/backend_compile_duration") and board.now() == "compiling":
            board.say(self.before)


class Watcher(keras.callbacks.Callback):
    """Says where the training is. With `batches` it looks at every one, so that each is a stretch.

    It has no state: what it does is of no concern to the run.
    """

    def __init__(self, *, batches):
        super().__init__()
        if batches:
            self.on_train_batch_end = lambda batch, logs=None: None

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_begin(self, logs=None):
        board.say("resuming")

    def on_test_begin(self, logs=None):
        board.say("validation")

    def on_test_end(self, logs=None):
        board.say("training")

    def on_train_end(self, logs=None):
        board.say("ending")


def dense():
    """One compiled loop; stops early, with a checkpoint of the best epoch that others pin."""
    return {
        "layers": [
            layers.Dropout(0.2),
            layers.Dense(32, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(10, "softmax"),
        ],
        "optimizer": keras.optimizers.Adam(0.0005),
        "callbacks": [
            keras.callbacks.CSVLogger("log.csv"),
            holdfast.ModelCheckpoint("best.keras", save_best_only=True),
            holdfast.EarlyStopping(patience=9, restore_best_weights=True),
        ],
        "epochs": 150,
    }


def conv():
    """Steps sent ahead; Keras's callbacks."""
    return {
        "layers": [
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, "softmax"),
        ],
        "optimizer": keras.optimizers.Adam(0.002),
        "callbacks": [
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.99),
            keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.8),
            keras.callbacks.EarlyStopping(patience=20, restore_best_weights=True),
            keras.callbacks.CSVLogger("log.csv", separator=";"),
            keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True),
        ],
        "epochs": 60,
    }


def rollback():
    """One sample breaks every epoch at another step; the files of the best models come and go."""
    return {
        "layers": [
            layers.Dense(24, "relu"),
            layers.Dropout(0.2),
            layers.Dense(10, "softmax"),
        ],
        "optimizer": keras.optimizers.SGD(0.05, momentum=0.9),
        "callbacks": [
            holdfast.Rollback(factor=0.97, most=1000, every=30, spike=None, verbose=0),
            holdfast.ModelCheckpoint(
                "{epoch:02d}.weights.h5", save_weights_only=True, save_top_k=3
            ),
            keras.callbacks.CSVLogger("log.csv"),
        ],
        "epochs": 60,
        "broken": 77,
    }


class Forgets(keras.callbacks.Callback):
    """Does by the epochs of this life what should be done by those of the training."""

    def __init__(self):
        super().__init__()
        self.heard = 0

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.1 / (1 + self.heard)
        self.heard += 1


def forgetful():
    """What a soak must find: it ends with other bits when it was killed."""
    return {
        "layers": [layers.Dense(10, "softmax")],
        "optimizer": keras.optimizers.SGD(0.1),
        "callbacks": [Forgets()],
        "epochs": 150,
    }


def of_weights(model):
    total = blake3()
    for weight in model.get_weights():
        total.update(weight.tobytes())
    return total.hexdigest()


board.say("building")
digits = np.load(life["data"])
os.chdir(FOLDER)
Compiling()
disk.switch = Faults(
    log=operation_told,
    kill=(life["kill"][0], life["kill"][1]) if life.get("kill") else None,
    slow=life.get("slow", 0.0),
)
run = holdfast.Run("run")
x, y = digits["x"], digits["y"]
programs = {made.__name__: made for made in (dense, conv, rollback, forgetful)}
keras.utils.set_random_seed(11)
made = programs[life["program"]]()
if "broken" in made:
    x[made["broken"]] = np.nan
model = keras.Sequential([keras.Input((64,)), *made["layers"]])
model.compile(made["optimizer"], "sparse_categorical_crossentropy", metrics=["accuracy"])

board.say("opening")
history = run.fit(
    model,
    x[:1203],
    y[:1203],
    batch_size=16,
    epochs=made["epochs"],
    verbose=0,
    validation_data=(x[1203:], y[1203:]),
    callbacks=[Watcher(batches=life.get("batches", False)), *made["callbacks"]],
    every=holdfast.Every(**life.get("every", {})),
    keep=holdfast.Keep(**life.get("keep", {})),
)
result = {
    "digest": run.digest(),
    "history": history.history,
    "epochs": history.epoch,
    "weights": of_weights(model),
    "rows": [path.read_text() for path in Path().glob("*.csv")],
    "files": {},
}
for path in sorted(Path().glob("*.keras")) + sorted(Path().glob("*.h5")):
    if path.suffix == ".keras":
        model = keras.models.load_model(path)
    else:
        model.load_weights(path)
    loss, _ = model.evaluate(x[1203:], y[1203:], verbose=0)
    result["files"][path.name] = {"weights": of_weights(model), "val_loss": loss}
print(json.dumps(result))
