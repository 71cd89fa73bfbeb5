"""Trains a small run for some epochs, under whichever backend Keras runs on.

Usage: python backends.py DIRECTORY EPOCHS WEIGHTS_FILE [dropout] [every] [killed]

The model has a layer that draws random numbers. With `dropout` they make a difference, with `every`
each step is saved, with `killed` the program kills itself at its fourth step.
"""

import os
import signal
import sys

import keras
import numpy as np

import holdfast


def model_of(dropout):
    keras.utils.set_random_seed(3)
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(8, "relu", kernel_initializer=start(6, 8)),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.3) if dropout else keras.layers.GaussianNoise(1e-9),
        keras.layers.Dense(3, "softmax", kernel_initializer=start(8, 3)),
    ]
    model = keras.Sequential(layers)
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def start(*shape):
    """Return weights that are the same under every backend."""
    values = np.random.default_rng(sum(shape)).normal(size=shape, scale=0.4)
    return keras.initializers.Constant(values.astype("float32"))


class Kills(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 4:
            os.kill(os.getpid(), signal.SIGKILL)


def train(directory, epochs, weights, *more):
    random = np.random.default_rng(5)
    y = random.integers(0, 3, 20).astype("int32")
    x = (random.normal(size=(20, 6)) + y[:, None]).astype("float32")
    model = model_of("dropout" in more)
    history = holdfast.Run(directory).fit(
        model,
        x,
        y,
        batch_size=8,
        epochs=int(epochs),
        validation_data=(x, y),
        callbacks=[Kills()] if "killed" in more else [],
        every=holdfast.Every(steps=1) if "every" in more else holdfast.Every(),
    )
    values = {f"{n:03d}": value for n, value in enumerate(model.get_weights())}
    (state,) = [v for v in model.non_trainable_variables if "seed_generator" in v.path]
    values["draws"] = keras.ops.convert_to_numpy(state)
    np.savez(weights, **values, **{f"log {k}": v for k, v in history.history.items()})


if __name__ == "__main__":
    train(*sys.argv[1:])
