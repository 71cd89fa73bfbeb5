"""Layers of a program's own, which another process imports by this module's name."""

import keras


class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


class OtherwiseElsewhere(keras.layers.Layer):
    """Computes something else where a backend is not the one that the tests run on."""

    def call(self, x):
        return x if keras.config.backend() == "jax" else 1.25 * x
