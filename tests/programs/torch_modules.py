"""Trains PyTorch's modules, and kills itself after some steps: RUN STEPS, 0 for never."""

import os
import signal
import sys

import keras
import numpy as np
import torch

import holdfast

torch.set_num_threads(1)


class Modules(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Sequential(
            torch.nn.Linear(8, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.3)
        )
        self.last = keras.layers.Dense(3)

    def call(self, x, training=None):
        return self.last(self.first(x, training=training))


class Kill(keras.callbacks.Callback):
    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def get_state(self):
        return None

    def set_state(self, state):
        """Each life counts its own steps."""

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


random = np.random.default_rng(1)
y = random.integers(0, 3, 24)
x = (random.normal(size=(24, 8)) + y[:, None]).astype("float32")
keras.utils.set_random_seed(4)
model = Modules()
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
run = holdfast.Run(sys.argv[1])
every = holdfast.Every(steps=2)
callbacks = [Kill(int(sys.argv[2]))]
run.fit(model, x, y, batch_size=4, epochs=4, every=every, callbacks=callbacks, verbose=0)
print(run.digest())
