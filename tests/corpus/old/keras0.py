"""Weights of Keras 0.3.3, and models of Keras 1.0.5, whose BatchNormalization kept a true std.

Python 3.6 with the pins of keras1.py, and keras 0.3.3 or 1.0.5 with --no-deps, on Theano. Neither
had `model.save` yet: weights in HDF5 (before 1.0 by the layers' places alone) and JSON beside it.

    KERAS_BACKEND=theano THEANO_FLAGS=optimizer=fast_compile python keras0.py

Theano compiles C and some of it wants a BLAS: add `blas.ldflags=...` to the flags to name one.
"""

import os
import sys

import theano.ifelse  # Keras uses it without importing it
import theano.tensor.signal.pool

# Keras 0.3 imports the older name of this module.
sys.modules["theano.tensor.signal.downsample"] = theano.tensor.signal.pool

import keras
import numpy as np
from keeping import Keeper, random_weights
from keras.layers.convolutional import Convolution1D, Convolution2D, MaxPooling2D
from keras.layers.core import Activation, Dense, Dropout, Flatten, RepeatVector, Reshape
from keras.layers.embeddings import Embedding
from keras.layers.normalization import BatchNormalization
from keras.layers.recurrent import GRU, LSTM, SimpleRNN
from keras.models import Sequential

VERSION = getattr(keras, "__version__", "0.3.3")
KEEPER = Keeper("keras-" + VERSION + "-theano", "keras", "theano")


def rand(*shape):
    return np.random.RandomState(sum(shape)).uniform(-1, 1, size=shape).astype("float32")


def names_of(layer):
    """The weights' names; Keras 0.3 tells only its own name for the layer's attribute."""
    trainable = getattr(layer, "trainable_weights", [])
    frozen = getattr(layer, "non_trainable_weights", [])
    return [weight.name or "" for weight in list(trainable) + list(frozen)]


def keep(name, family, stack, inputs, **more):
    model = Sequential()
    for layer in stack:
        model.add(layer)
    model.compile(optimizer="sgd", loss="mse")
    names, values = [], []
    for place, layer in enumerate(model.layers):
        shapes = [value.shape for value in layer.get_weights()]
        own = names_of(layer)
        filled = random_weights(own, shapes, sum(map(ord, name)) + place)
        layer.set_weights(filled)
        names += own
        values += filled
    folder = KEEPER.place(name)
    model.save_weights(os.path.join(folder, "weights.h5"), overwrite=True)
    with open(os.path.join(folder, "model.json"), "w") as file:
        file.write(model.to_json())
    outputs = [model.predict(inputs, batch_size=len(inputs))]
    layers = [type(layer).__name__ for layer in stack]
    formats = {"h5_weights": "weights.h5", "json": "model.json"}
    more.update(library_version=VERSION, dim_ordering="th")
    KEEPER.keep(name, family, layers, formats, names, values, [inputs], outputs, **more)


def main():
    x = rand(3, 5)
    keep("dense", "core", [Dense(4, input_dim=5, activation="tanh"), Dropout(0.5), Dense(2)], x)
    stack = [Dense(4, input_dim=5), BatchNormalization(), Activation("relu"), Dense(2)]
    keep("batchnorm", "normalization", stack, x)
    stack = [
        Convolution2D(3, 3, 2, input_shape=(2, 7, 6), activation="relu"),
        MaxPooling2D((2, 2)),
        Convolution2D(2, 2, 2, border_mode="same"),
        BatchNormalization(axis=1),
        Flatten(),
        Dense(2),
    ]
    keep("conv2d", "convolution", stack, rand(2, 2, 7, 6))
    stack = [Convolution1D(3, 3, input_shape=(8, 2)), Reshape((3, 6)), Flatten(), Dense(2)]
    keep("conv1d", "convolution", stack, rand(2, 8, 2))
    ints = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]], "int32")
    for layer in (LSTM, GRU, SimpleRNN):
        stack = [
            Embedding(7, 3, input_length=5),
            layer(4, return_sequences=True),
            layer(3),
            RepeatVector(2),
            Flatten(),
            Dense(2),
        ]
        keep(layer.__name__.lower(), "recurrent", stack, ints)
    KEEPER.write()


main()
