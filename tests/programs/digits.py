"""A training program as a user writes it. Tests start it, kill it and start it again.

python digits.py RUN [--epochs N] [--verbose N] [--slow SECONDS] [--fail-at EPOCH]
"""

import argparse
import json
import time

import holdfast  # isort: skip
import keras
from keras import layers
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("run")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--verbose", type=int, default=0)
parser.add_argument("--every", type=float, default=0.2)
parser.add_argument("--every-steps", type=int, help="a checkpoint after so many steps instead")
parser.add_argument("--slow", type=float, default=0.0, help="seconds each epoch begins later")
parser.add_argument("--slow-end", type=float, default=0.0, help="seconds on_train_end takes")
parser.add_argument("--fail-at", type=int, default=-1, help="epoch at whose end a callback fails")
options = parser.parse_args()

run = holdfast.Run(options.run)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
keras.utils.set_random_seed(11)
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(8, 3),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])


class Slow(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        time.sleep(options.slow)

    def on_epoch_end(self, epoch, logs=None):
        if epoch == options.fail_at:
            raise RuntimeError("the disk of the logger is gone")

    def on_train_end(self, logs=None):
        time.sleep(options.slow_end)


history = run.fit(
    model,
    x[:1501],
    y[:1501],
    batch_size=8,
    epochs=options.epochs,
    verbose=options.verbose,
    validation_data=(x[1501:], y[1501:]),
    callbacks=[
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.7),
        keras.callbacks.EarlyStopping(patience=50, restore_best_weights=True),
        Slow(),
    ],
    every=holdfast.Every(steps=options.every_steps)
    if options.every_steps
    else holdfast.Every(seconds=options.every),
)
print(json.dumps({"digest": run.digest(), "history": history.history, "epoch": history.epoch}))
