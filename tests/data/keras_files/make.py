"""Write the files beside this one, by the TensorFlow that runs it: 2.11.0, 2.12.0 or 2.15.1.

    python make.py DIRECTORY

The `.npz` are the values of `model.weights`, in that order.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

keras, layers = tf.keras, tf.keras.layers
HERE = Path(sys.argv[1])


def nested():
    """A model with several layers of a class, some of them in a model of their own."""
    start = keras.Input((4,))
    x = layers.Dropout(0.1)(layers.Dense(3)(start))
    inner = [layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]
    x = keras.Sequential([keras.Input((3,)), *inner], name="inner")(x)
    x = layers.Bidirectional(layers.LSTM(2))(layers.Reshape((2, 1))(x))
    return keras.Model(start, layers.Dense(1)(layers.Dense(2)(x)))


def sequences():
    """A model with a model within TimeDistributed."""
    inner = [layers.Dense(3, input_shape=(4,), name="ia"), layers.BatchNormalization(name="ib")]
    start = keras.Input((5, 4))
    x = layers.TimeDistributed(keras.Sequential(inner, name="inner"))(start)
    x = layers.Bidirectional(layers.LSTM(2))(x)
    return keras.Model(start, layers.Dense(1)(x))


def trained(model, shape, **how):
    model.compile("adam", "mse", **how)
    model.fit(np.ones((4, *shape)), np.ones((4, 1)), verbose=0)
    return model


if tf.__version__ == "2.15.1":
    model = trained(sequences(), (5, 4), metrics=["mae"])
    model.save(HERE / "keras-2.15.h5")
    model.save(HERE / "keras-2.15.keras")
else:
    model = trained(nested(), (4,))
    version = tf.__version__.rpartition(".")[0]
    np.savez(HERE / f"keras-{version}.npz", *[weight.numpy() for weight in model.weights])
    if version == "2.11":
        from keras.saving.experimental import saving_lib

        saving_lib.save_model(model, str(HERE / "keras-2.11.keras"))
    else:
        from keras.saving import saving_lib

        saving_lib.save_weights_only(model, HERE / "keras-2.12.weights.h5")
        saving_lib.save_model(model, HERE / "keras-2.12-npz.keras", weights_format="npz")
