"""Trains over four devices of this host, stopped and resumed at every step; beside Keras's own.

Prints the number of moments at which it was stopped, and how far its weights are from those of
`Model.fit`. Arguments: a directory for the runs.
"""

import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import holdfast  # isort: skip
import jax
import keras
import numpy as np

from holdfast.testing import restart_at_every_step

random = np.random.default_rng(5)
y = random.integers(0, 3, 40).astype("int32")
x = (random.normal(size=(40, 6)) + y[:, None]).astype("float32")


def build(dropout):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def arguments(samples, dropout):
    data = {"x": x[:samples], "y": y[:samples], "batch_size": 16, "epochs": 2, "verbose": 0}
    return {"model": build(dropout), "validation_data": (x[:8], y[:8]), **data}


def make(seed):
    keras.utils.set_random_seed(seed)
    # A batch of 16, which the devices share, and one of 6, which they cannot.
    return arguments(22, 0.3)


def farthest(directory):
    """Return the largest relative difference between the weights of `Run.fit` and `Model.fit`."""
    weights = []
    for fit in (holdfast.Run(directory / "beside").fit, keras.Model.fit):
        keras.utils.set_random_seed(1)
        given = arguments(40, 0.0)
        model = given.pop("model")
        fit(model, shuffle=False, **given)
        assert {len(v.value.sharding.device_set) for v in model.variables} == {4}
        weights.append(model.get_weights())
    pairs = zip(*weights, strict=True)
    return max(float(np.max(np.abs(a - b) / (np.abs(b) + 1e-6))) for a, b in pairs)


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    assert len(jax.devices()) == 4
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    print(restart_at_every_step(make, directory).moments)
    print(farthest(directory))
