"""The architectures that are exported in tests, small, with weights from seeds."""

import keras
import numpy as np
from keras import layers


def mlp():
    return keras.Sequential(
        [keras.Input((12,)), layers.Dense(16, "relu"), layers.Dense(4, "softmax")], name="mlp"
    )


def cnn():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, padding="same", strides=2),
            layers.Flatten(),
            layers.Dense(4, "softmax"),
        ],
        name="cnn",
    )


def batch_norm():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ],
        name="batch_norm",
    )


def dropout():
    return keras.Sequential(
        [keras.Input((12,)), layers.Dense(16, "relu"), layers.Dropout(0.5), layers.Dense(4)],
        name="dropout",
    )


def lstm():
    return keras.Sequential(
        [
            keras.Input((10, 6)),
            layers.LSTM(8, return_sequences=True),
            layers.LSTM(8),
            layers.Dense(4),
        ],
        name="lstm",
    )


def gru():
    return keras.Sequential([keras.Input((10, 6)), layers.GRU(8), layers.Dense(4)], name="gru")


def bidirectional():
    return keras.Sequential(
        [keras.Input((10, 6)), layers.Bidirectional(layers.LSTM(8)), layers.Dense(4)],
        name="bidirectional",
    )


def attention():
    given = keras.Input((10, 6))
    seen = layers.MultiHeadAttention(2, 4)(given, given)
    seen = layers.LayerNormalization()(layers.Add()([seen, given]))
    seen = layers.GlobalAveragePooling1D()(seen)
    return keras.Model(given, layers.Dense(4)(seen), name="attention")


def embedding():
    given = keras.Input((10,), dtype="int32", name="words")
    seen = layers.GlobalAveragePooling1D()(layers.Embedding(50, 8)(given))
    return keras.Model(given, layers.Dense(4)(seen), name="embedding")


def two():
    # In no order of the alphabet, which is the one that other runtimes have them in.
    wide, narrow = keras.Input((12,), name="wide"), keras.Input((5,), name="narrow")
    seen = layers.Concatenate()([layers.Dense(8, "relu")(wide), narrow])
    outputs = [layers.Dense(1, name="size")(seen), layers.Dense(3, "softmax", name="kind")(seen)]
    return keras.Model([wide, narrow], outputs, name="two")


def residual():
    given = keras.Input((12, 12, 3))
    seen = layers.Conv2D(8, 3, padding="same")(given)
    more = layers.Conv2D(8, 3, padding="same", activation="relu")(seen)
    seen = layers.GlobalMaxPooling2D()(layers.Add()([seen, more]))
    return keras.Model(given, layers.Dense(4)(seen), name="residual")


def depthwise():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.SeparableConv2D(8, 3, strides=2, padding="same"),
            layers.ReLU(6.0),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(4),
        ],
        name="depthwise",
    )


def prepared():
    """Has its preprocessing within it, as a run may."""
    given = keras.Input((12,))
    seen = layers.Normalization(mean=np.linspace(-1, 1, 12), variance=np.linspace(1, 3, 12))(given)
    seen = layers.Rescaling(1 / 16, offset=0.5)(seen)
    return keras.Model(given, layers.Dense(4, "gelu")(seen), name="prepared")


TWELVE = (
    mlp,
    cnn,
    batch_norm,
    dropout,
    lstm,
    gru,
    bidirectional,
    attention,
    embedding,
    two,
    residual,
    depthwise,
)


def built(make):
    """Return a model with the same weights each time, its batch statistics as after training."""
    keras.utils.set_random_seed(3)
    model = make()
    random = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shapes = [weight.shape for weight in layer.weights]
            layer.set_weights([random.uniform(0.5, 2.0, shape) for shape in shapes])
    return model
