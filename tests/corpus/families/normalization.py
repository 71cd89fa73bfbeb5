"""Batch, layer, group, unit and spectral normalization; Normalization from data."""

import tensorflow as tf
from case import Case, normal

keras = tf.keras
L = keras.layers


def batch_normalization():
    x = keras.Input((3, 4, 2))
    outputs = [
        L.BatchNormalization()(x),
        L.BatchNormalization(axis=1, epsilon=0.01, momentum=0.9)(x),
        L.BatchNormalization(axis=2, scale=False)(x),
        L.BatchNormalization(center=False)(x),
        L.BatchNormalization(center=False, scale=False)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 3, 4, 2))


def batch_normalization_two_axes():
    x = keras.Input((3, 4, 2))
    model = keras.Model(x, L.BatchNormalization(axis=[1, 3])(x))
    return Case(model, normal(2, 3, 4, 2), refused="Keras 3's BatchNormalization has one axis")


def batch_normalization_sequential():
    model = keras.Sequential(
        [L.Dense(4, input_shape=(3,)), L.BatchNormalization(axis=[1]), L.ReLU(), L.Dense(2)]
    )
    return Case(model, normal(3, 3))


def batch_normalization_synchronized():
    model = keras.Sequential(
        [keras.Input((3,)), L.Dense(4), L.BatchNormalization(synchronized=True), L.Dense(2)]
    )
    return Case(model, normal(3, 3))


def layer_normalization():
    x = keras.Input((3, 4))
    outputs = [
        L.LayerNormalization()(x),
        L.LayerNormalization(axis=1, epsilon=0.1)(x),
        L.LayerNormalization(axis=[1, 2])(x),
        L.LayerNormalization(center=False)(x),
        L.LayerNormalization(scale=False)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 3, 4))


def group_normalization():
    x = keras.Input((3, 3, 4))
    outputs = [
        L.GroupNormalization(groups=2)(x),
        L.GroupNormalization(groups=-1)(x),
        L.GroupNormalization(groups=4, scale=False, epsilon=0.01)(x),
        L.GroupNormalization(groups=3, axis=1, center=False)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 3, 3, 4))


def unit_normalization():
    x = keras.Input((3, 4))
    return Case(
        keras.Model(x, [L.UnitNormalization()(x), L.UnitNormalization(axis=[1, 2])(x)]),
        normal(2, 3, 4),
    )


def spectral_normalization():
    x = keras.Input((5, 5, 2))
    y = L.SpectralNormalization(L.Conv2D(3, 2))(x)
    y = L.Flatten()(y)
    y = L.SpectralNormalization(L.Dense(3), power_iterations=2)(y)
    return Case(keras.Model(x, y), normal(2, 5, 5, 2))


def normalization_adapted():
    layer = L.Normalization()
    layer.adapt(3 + 2 * normal(20, 3))
    x = keras.Input((3,))
    return Case(keras.Model(x, L.Dense(2)(layer(x))), 3 + 2 * normal(2, 3, seed=1))


def normalization_first_of_sequential():
    layer = L.Normalization(axis=-1, input_shape=(3,))
    layer.adapt(1 + 4 * normal(20, 3))
    return Case(keras.Sequential([layer, L.Dense(2)]), normal(2, 3, seed=1))


def normalization_images():
    data = 1 + normal(8, 4, 4, 3)
    x = keras.Input((4, 4, 3))
    outputs = []
    for axis in (-1, 1, None, (1, 3)):
        layer = L.Normalization(axis=axis)
        layer.adapt(data)
        outputs.append(layer(x))
    return Case(keras.Model(x, outputs), normal(2, 4, 4, 3, seed=1))


def normalization_given():
    x = keras.Input((3,))
    outputs = [
        L.Normalization(mean=1.5, variance=2.0)(x),
        L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])(x),
        L.Normalization(axis=None, mean=0.5, variance=3.0, invert=True)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 3))
