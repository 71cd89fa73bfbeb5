"""A training with all of Keras's callbacks that can be combined. Tests kill it.

python all_callbacks.py FOLDER [--epochs N] [--slow SECONDS] [--tensorboard]

All files, the run among them, are in FOLDER.
"""

import argparse
import json
import os
import time
from pathlib import Path

import holdfast  # isort: skip
import keras
from keras import layers
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--epochs", type=int, default=14)
parser.add_argument("--slow", type=float, default=0.0, help="seconds each epoch begins later")
parser.add_argument("--tensorboard", action="store_true")
options = parser.parse_args()
options.folder.mkdir(exist_ok=True)
os.chdir(options.folder)

if not Path("run").exists():
    Path("appended.csv").write_text("epoch;loss\n0;9.5\n")
run = holdfast.Run("run")
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
keras.utils.set_random_seed(11)
model = keras.Sequential([keras.Input((64,)), layers.Dropout(0.2), layers.Dense(10, "softmax")])
model.compile(
    keras.optimizers.Adam(0.003, use_ema=True, ema_momentum=0.9),
    "sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
callbacks = [
    keras.callbacks.SwapEMAWeights(),
    keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.99),
    keras.callbacks.ReduceLROnPlateau("loss", min_delta=0.05, patience=1, factor=0.9),
    keras.callbacks.EarlyStopping(patience=50, restore_best_weights=True),
    keras.callbacks.TerminateOnNaN(),
    keras.callbacks.CSVLogger("log.csv"),
    keras.callbacks.CSVLogger("appended.csv", separator=";", append=True),
    keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True),
    keras.callbacks.ModelCheckpoint("{epoch}.weights.h5", save_weights_only=True, save_freq=50),
    keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: time.sleep(options.slow)),
]
if options.tensorboard:
    callbacks.append(keras.callbacks.TensorBoard("logs"))
history = run.fit(
    model,
    x[:300],
    y[:300],
    batch_size=32,
    epochs=options.epochs,
    verbose=0,
    validation_data=(x[300:400], y[300:400]),
    callbacks=callbacks,
    every=holdfast.Every(seconds=0.05),
)
best = keras.models.load_model("best.keras")
result = {
    "digest": run.digest(),
    "history": history.history,
    "epochs": len(history.epoch),
    "best": best.evaluate(x[300:400], y[300:400], verbose=0),
    "weights": sorted(path.name for path in Path().glob("*.weights.h5")),
}
print(json.dumps(result))
