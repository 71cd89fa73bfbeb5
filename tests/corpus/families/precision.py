"""Layers that compute or keep their numbers in other types than float32."""

import numpy as np
import tensorflow as tf
from case import Case, normal, whole

keras = tf.keras
L = keras.layers


def _network(dtype):
    return keras.Sequential(
        [
            keras.Input((6, 2)),
            L.Conv1D(3, 2, dtype=dtype, activation="relu"),
            L.BatchNormalization(dtype=dtype),
            L.Flatten(dtype=dtype),
            L.Dense(3, dtype=dtype),
            L.Dense(2, dtype="float32"),
        ]
    )


def policy_mixed_float16():
    return Case(
        _network(keras.mixed_precision.Policy("mixed_float16")), normal(2, 6, 2), tolerance=5e-3
    )


def policy_mixed_bfloat16():
    return Case(
        _network(keras.mixed_precision.Policy("mixed_bfloat16")), normal(2, 6, 2), tolerance=5e-2
    )


def policy_global():
    """As most programs do it: one policy for all, the last layer in float32."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        x = keras.Input((6, 2))
        y = L.LSTM(3)(x)
        y = L.LayerNormalization()(L.Dense(3)(y))
        model = keras.Model(x, L.Dense(2, activation="softmax", dtype="float32")(y))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return Case(model, normal(2, 6, 2), tolerance=5e-3)


def float16():
    return Case(_network("float16"), normal(2, 6, 2), tolerance=5e-3)


def bfloat16():
    return Case(_network("bfloat16"), normal(2, 6, 2), tolerance=5e-2)


def float64():
    x = keras.Input((4, 3), dtype="float64")
    y = L.LSTM(2, dtype="float64")(x)
    return Case(keras.Model(x, L.Dense(2, dtype="float64")(y)), normal(2, 4, 3).astype("float64"))


def float64_among_float32():
    x = keras.Input((4,))
    y = L.Dense(3, dtype="float64")(L.Dense(3)(x))
    return Case(keras.Model(x, [y, L.Dense(2)(y)]), normal(2, 4))


def no_autocast():
    x = keras.Input((3,), dtype="int32")
    y = L.Embedding(5, 2, dtype="float16")(x)
    return Case(keras.Model(x, L.Flatten(autocast=False)(y)), np.int32(whole(0, 5, 2, 3)), 1e-3)
