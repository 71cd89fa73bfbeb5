"""Convolutions, pooling, padding, upsampling."""

import tensorflow as tf
from case import Case, normal

keras = tf.keras
L = keras.layers


def conv1d():
    x = keras.Input((9, 4))
    outputs = [
        L.Conv1D(3, 2)(x),
        L.Conv1D(3, 3, strides=2, padding="same", activation="relu")(x),
        L.Conv1D(2, 3, dilation_rate=2, padding="causal")(x),
        L.Conv1D(4, 2, groups=2, use_bias=False)(x),
        L.Conv1D(2, 3, padding="same", dilation_rate=3)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 9, 4))


def conv2d():
    x = keras.Input((7, 6, 4))
    outputs = [
        L.Conv2D(3, 2)(x),
        L.Conv2D(3, (3, 2), strides=(2, 1), padding="same", activation="elu")(x),
        L.Conv2D(2, 3, dilation_rate=2)(x),
        L.Conv2D(4, 2, groups=2, use_bias=False)(x),
        L.Conv2D(2, 3, padding="same", dilation_rate=(2, 3))(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 7, 6, 4))


def conv2d_channels_first():
    x = keras.Input((3, 6, 5))
    y = L.Conv2D(4, 2, padding="same", strides=2, data_format="channels_first")(x)
    y = L.BatchNormalization(axis=1)(y)
    y = L.MaxPooling2D(2, data_format="channels_first")(y)
    y = L.Flatten(data_format="channels_first")(y)
    return Case(keras.Model(x, L.Dense(2)(y)), normal(2, 3, 6, 5), predict=True)


def conv3d():
    x = keras.Input((5, 4, 5, 2))
    outputs = [
        L.Conv3D(2, 2)(x),
        L.Conv3D(2, (3, 2, 1), strides=(2, 1, 2), padding="same")(x),
        L.Conv3D(2, 2, dilation_rate=2)(x),
    ]
    return Case(keras.Model(x, outputs), normal(1, 5, 4, 5, 2))


def conv_transposes():
    a, b, c = keras.Input((4, 3)), keras.Input((4, 3, 2)), keras.Input((3, 2, 3, 2))
    outputs = [
        L.Conv1DTranspose(2, 3)(a),
        L.Conv1DTranspose(2, 3, strides=2, padding="same", activation="relu")(a),
        L.Conv1DTranspose(2, 2, strides=3, padding="valid", use_bias=False)(a),
        L.Conv2DTranspose(3, 2)(b),
        L.Conv2DTranspose(2, (3, 2), strides=2, padding="same")(b),
        L.Conv2DTranspose(2, 3, strides=2, padding="valid", output_padding=1)(b),
        L.Conv3DTranspose(2, 2)(c),
        L.Conv3DTranspose(2, 3, strides=2, padding="same", use_bias=False)(c),
    ]
    return Case(
        keras.Model([a, b, c], outputs),
        [normal(2, 4, 3), normal(2, 4, 3, 2), normal(1, 3, 2, 3, 2)],
    )


def conv2d_transpose_dilated():
    x = keras.Input((4, 4, 2))
    return Case(
        keras.Model(x, L.Conv2DTranspose(2, 2, dilation_rate=2, padding="valid")(x)),
        normal(1, 4, 4, 2),
    )


def depthwise():
    a, b = keras.Input((7, 3)), keras.Input((6, 6, 3))
    outputs = [
        L.DepthwiseConv1D(3)(a),
        L.DepthwiseConv1D(2, strides=2, padding="same", depth_multiplier=2)(a),
        L.DepthwiseConv2D(3)(b),
        L.DepthwiseConv2D((2, 2), strides=2, padding="same", depth_multiplier=2, use_bias=False)(b),
        L.DepthwiseConv2D(2, dilation_rate=2, activation="relu")(b),
    ]
    return Case(keras.Model([a, b], outputs), [normal(2, 7, 3), normal(2, 6, 6, 3)])


def separable():
    a, b = keras.Input((7, 3)), keras.Input((6, 6, 3))
    outputs = [
        L.SeparableConv1D(2, 3)(a),
        L.SeparableConv1D(2, 2, padding="causal", dilation_rate=2, depth_multiplier=2)(a),
        L.SeparableConv1D(2, 2, strides=2, padding="same", use_bias=False)(a),
        L.SeparableConv2D(4, 3)(b),
        L.SeparableConv2D(2, 2, strides=2, padding="same", depth_multiplier=2, activation="relu")(
            b
        ),
        L.SeparableConv2D(2, 2, dilation_rate=2)(b),
    ]
    return Case(keras.Model([a, b], outputs), [normal(2, 7, 3), normal(2, 6, 6, 3)])


def locally_connected1d():
    x = keras.Input((6, 3))
    outputs = [
        L.LocallyConnected1D(2, 3, implementation=1)(x),
        L.LocallyConnected1D(2, 3, strides=2, implementation=1, activation="relu")(x),
        L.LocallyConnected1D(2, 3, padding="same", implementation=2)(x),
        L.LocallyConnected1D(2, 2, implementation=2, strides=2)(x),
        L.LocallyConnected1D(2, 2, implementation=3, use_bias=False)(x),
        L.LocallyConnected1D(2, 3, implementation=3, padding="same", strides=2)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 6, 3))


def locally_connected2d():
    x = keras.Input((4, 3, 2))
    outputs = [
        L.LocallyConnected2D(2, 2, implementation=1)(x),
        L.LocallyConnected2D(2, (3, 2), strides=(2, 1), implementation=1, use_bias=False)(x),
        L.LocallyConnected2D(1, 2, implementation=2, padding="same")(x),
        L.LocallyConnected2D(2, (2, 3), implementation=2, activation="tanh")(x),
        L.LocallyConnected2D(2, 2, implementation=3)(x),
        L.LocallyConnected2D(2, 3, strides=2, padding="same", implementation=3)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 4, 3, 2))


def locally_connected_alone():
    model = keras.Sequential(
        [keras.Input((5, 4, 2)), L.LocallyConnected2D(2, 2), L.Flatten(), L.Dense(2)]
    )
    return Case(model, normal(2, 5, 4, 2))


def upsampling():
    a, b, c = keras.Input((3, 2)), keras.Input((3, 2, 2)), keras.Input((2, 2, 2, 1))
    outputs = [
        L.UpSampling1D(3)(a),
        L.UpSampling2D((2, 3))(b),
        L.UpSampling2D(2, interpolation="bilinear")(b),
        L.UpSampling2D(2, data_format="channels_first")(b),
        L.UpSampling3D((1, 2, 2))(c),
    ]
    return Case(
        keras.Model([a, b, c], outputs),
        [normal(2, 3, 2), normal(2, 3, 2, 2), normal(1, 2, 2, 2, 1)],
    )


def padding_and_cropping():
    a, b, c = keras.Input((6, 2)), keras.Input((6, 6, 2)), keras.Input((4, 4, 4, 1))
    outputs = [
        L.ZeroPadding1D(2)(a),
        L.ZeroPadding1D((1, 0))(a),
        L.Cropping1D((1, 2))(a),
        L.ZeroPadding2D(1)(b),
        L.ZeroPadding2D(((1, 0), (2, 1)))(b),
        L.ZeroPadding2D((1, 2), data_format="channels_first")(b),
        L.Cropping2D((1, 2))(b),
        L.Cropping2D(((1, 0), (0, 3)))(b),
        L.ZeroPadding3D(((1, 0), (0, 1), (1, 1)))(c),
        L.Cropping3D(((1, 0), (0, 1), (1, 1)))(c),
    ]
    return Case(
        keras.Model([a, b, c], outputs),
        [normal(2, 6, 2), normal(2, 6, 6, 2), normal(1, 4, 4, 4, 1)],
    )


def pooling():
    a, b, c = keras.Input((7, 2)), keras.Input((5, 5, 2)), keras.Input((4, 4, 5, 1))
    outputs = []
    for kind in ("Max", "Average"):
        one, two, three = (getattr(L, f"{kind}Pooling{n}D") for n in (1, 2, 3))
        outputs += [
            one()(a),
            one(3, strides=2, padding="same")(a),
            one(2, data_format="channels_first")(a),
            two()(b),
            two((2, 3), strides=(1, 2), padding="same")(b),
            three()(c),
            three(2, strides=1, padding="same")(c),
        ]
    return Case(
        keras.Model([a, b, c], outputs),
        [normal(2, 7, 2), normal(2, 5, 5, 2), normal(1, 4, 4, 5, 1)],
    )


def global_pooling():
    a, b, c = keras.Input((5, 2)), keras.Input((3, 4, 2)), keras.Input((2, 3, 2, 1))
    outputs = []
    for kind in ("Max", "Average"):
        for n, x in ((1, a), (2, b), (3, c)):
            layer = getattr(L, f"Global{kind}Pooling{n}D")
            outputs += [
                layer()(x),
                layer(keepdims=True)(x),
                layer(data_format="channels_first")(x),
            ]
    return Case(
        keras.Model([a, b, c], outputs),
        [normal(2, 5, 2), normal(2, 3, 4, 2), normal(1, 2, 3, 2, 1)],
    )


def image_classifier():
    model = keras.Sequential(
        [
            L.Conv2D(4, 3, activation="relu", input_shape=(10, 10, 1)),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.Conv2D(4, 3, padding="same"),
            L.LeakyReLU(),
            L.Dropout(0.25),
            L.GlobalAveragePooling2D(),
            L.Dense(3, activation="softmax"),
        ]
    )
    return Case(model, normal(2, 10, 10, 1))


def image_encoder():
    x = keras.Input((8, 8, 2), name="image")
    y = L.SeparableConv2D(4, 3, padding="same", use_bias=False, name="stem")(x)
    y = L.BatchNormalization(name="stem_bn")(y)
    y = L.Activation("swish")(y)
    squeezed = L.GlobalAveragePooling2D(keepdims=True)(y)
    squeezed = L.Conv2D(2, 1, activation="relu")(squeezed)
    squeezed = L.Conv2D(4, 1, activation="sigmoid")(squeezed)
    y = L.Multiply()([y, squeezed])
    y = L.DepthwiseConv2D(3, padding="same")(y)
    y = L.ReLU(6.0)(y)
    y = L.Conv2DTranspose(2, 2, strides=2)(y)
    return Case(keras.Model(x, y, name="encoder"), normal(2, 8, 8, 2))
