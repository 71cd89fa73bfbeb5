"""Layers that prepare images, numbers, categories and text."""

import numpy as np
import tensorflow as tf
from case import Case, normal, whole

keras = tf.keras
L = keras.layers

NEEDS_TENSORFLOW = "the layer's Keras 3 form needs TensorFlow"
WORDS = np.array([["red", "blue", "green"], ["blue", "none", "red"]])
LINES = np.array([["the cat sat on the mat"], ["The dog! sat, down"]])


def rescaling():
    x = keras.Input((3, 3, 2))
    outputs = [L.Rescaling(1 / 127.5, offset=-1)(x), L.Rescaling([2.0, 0.5], [0.1, -0.1])(x)]
    return Case(keras.Model(x, outputs), 100 * normal(2, 3, 3, 2))


def resizing():
    x = keras.Input((6, 5, 2))
    kinds = ("bilinear", "nearest", "bicubic")
    outputs = [L.Resizing(4, 8, interpolation=kind)(x) for kind in kinds]
    outputs.append(L.Resizing(3, 3, crop_to_aspect_ratio=True)(x))
    return Case(keras.Model(x, outputs), normal(2, 6, 5, 2))


def center_crop():
    x = keras.Input((6, 5, 2))
    outputs = [L.CenterCrop(4, 3)(x), L.CenterCrop(3, 3)(x), L.CenterCrop(8, 8)(x)]
    return Case(keras.Model(x, outputs), normal(2, 6, 5, 2))


def random_images():
    x = keras.Input((6, 6, 3))
    y = x
    for layer in (
        L.RandomFlip("horizontal", seed=1),
        L.RandomRotation(0.1, fill_mode="nearest"),
        L.RandomZoom(0.2, 0.1),
        L.RandomTranslation(0.1, (-0.2, 0.3), interpolation="nearest"),
        L.RandomContrast(0.2),
        L.RandomBrightness(0.3, value_range=(0, 1)),
    ):
        y = layer(y)
    return Case(keras.Model(x, L.Conv2D(2, 2)(y)), normal(2, 6, 6, 3))


def random_crop():
    """At inference the largest part with the crop's proportions, resized; nothing is random."""
    x = keras.Input((6, 6, 3))
    return Case(keras.Model(x, [L.RandomCrop(4, 4)(x), L.RandomCrop(3, 5)(x)]), normal(2, 6, 6, 3))


def random_height_width():
    x = keras.Input((6, 6, 3))
    y = L.RandomWidth(0.2)(L.RandomHeight((-0.1, 0.2))(x))
    return Case(keras.Model(x, L.GlobalMaxPooling2D()(y)), normal(2, 6, 6, 3))


def discretization():
    x = keras.Input((3,))
    outputs = [
        L.Discretization(bin_boundaries=[-0.5, 0.0, 0.7])(x),
        L.Discretization(bin_boundaries=[-1.0, 1.0], output_mode="multi_hot")(x),
    ]
    return Case(keras.Model(x, outputs), normal(3, 3, seed=1))


def discretization_adapted():
    """The bins are not in the config; they follow from the summary among the weights."""
    layer = L.Discretization(num_bins=4)
    layer.adapt(normal(200))
    x = keras.Input((3,))
    return Case(keras.Model(x, L.Embedding(4, 2)(layer(x))), normal(3, 3, seed=1))


def category_encoding():
    x = keras.Input((3,), dtype="int32")
    one = keras.Input((1,), dtype="int32")
    outputs = [
        L.CategoryEncoding(5, output_mode="multi_hot")(x),
        L.CategoryEncoding(5, output_mode="count")(x),
        L.CategoryEncoding(5, output_mode="one_hot")(one),
    ]
    return Case(keras.Model([x, one], outputs), [whole(0, 5, 4, 3), whole(0, 5, 4, 1)])


def category_encoding_weighted():
    x, weights = keras.Input((3,), dtype="int32"), keras.Input((3,))
    y = L.CategoryEncoding(5, output_mode="count")(x, count_weights=weights)
    return Case(keras.Model([x, weights], y), [whole(0, 5, 4, 3), normal(4, 3)])


def hashing():
    x, words = keras.Input((2,), dtype="int64"), keras.Input((3,), dtype="string")
    outputs = [
        L.Hashing(5)(x),
        L.Hashing(5, salt=[3, 7])(words),
        L.Hashing(4, mask_value="")(words),
        L.Hashing(4, output_mode="multi_hot")(x),
    ]
    return Case(
        keras.Model([x, words], outputs),
        [whole(0, 100, 3, 2).astype("int64"), np.array([*WORDS, ["", "blue", "x"]])],
        refused=NEEDS_TENSORFLOW,
    )


def hashed_crossing():
    a, b = keras.Input((1,), dtype="int64"), keras.Input((1,), dtype="int64")
    outputs = [L.HashedCrossing(5)((a, b)), L.HashedCrossing(6, output_mode="one_hot")((a, b))]
    return Case(
        keras.Model([a, b], outputs),
        [whole(0, 9, 4, 1).astype("int64"), whole(0, 9, 4, 1, seed=1).astype("int64")],
        refused=NEEDS_TENSORFLOW,
    )


def integer_lookup():
    x = keras.Input((3,), dtype="int64")
    outputs = [
        L.IntegerLookup(vocabulary=[12, 36, 1138, 42])(x),
        L.IntegerLookup(vocabulary=[12, 36, 42], num_oov_indices=2)(x),
        L.IntegerLookup(vocabulary=[12, 36, 42], output_mode="count")(x),
    ]
    inputs = np.array([[12, 36, 5], [42, 1138, 12]], "int64")
    return Case(keras.Model(x, outputs), inputs, refused=NEEDS_TENSORFLOW)


def integer_lookup_adapted():
    adapted = L.IntegerLookup(max_tokens=5)
    adapted.adapt(np.array([12, 12, 36, 36, 36, 1138, 42, 42, 7]))
    model = keras.Sequential([keras.Input((3,), dtype="int64"), adapted, L.Embedding(5, 2)])
    inputs = np.array([[12, 36, 5], [42, 1138, 12]], "int64")
    return Case(model, inputs, refused=NEEDS_TENSORFLOW)


def string_lookup():
    words = ["red", "green", "blue"]
    x = keras.Input((3,), dtype="string")
    outputs = [
        L.StringLookup(vocabulary=words)(x),
        L.StringLookup(vocabulary=words, mask_token="none", num_oov_indices=2)(x),
        L.StringLookup(vocabulary=words, output_mode="multi_hot")(x),
        L.StringLookup(vocabulary=words, idf_weights=[0.5, 1.0, 1.5], output_mode="tf_idf")(x),
    ]
    return Case(keras.Model(x, outputs), WORDS, refused=NEEDS_TENSORFLOW)


def string_lookup_adapted():
    adapted = L.StringLookup()
    adapted.adapt(np.array(["blue", "red", "red"]))
    model = keras.Sequential([keras.Input((3,), dtype="string"), adapted, L.Embedding(4, 2)])
    return Case(model, WORDS, refused=NEEDS_TENSORFLOW)


def string_lookup_embedding():
    x = keras.Input((3,), dtype="string", name="words")
    ids = L.StringLookup(vocabulary=["red", "green", "blue"], name="ids")(x)
    y = L.GlobalAveragePooling1D()(L.Embedding(4, 2)(ids))
    return Case(keras.Model(x, L.Dense(2)(y)), WORDS, refused=NEEDS_TENSORFLOW)


def text_vectorization():
    layer = L.TextVectorization(output_sequence_length=6)
    layer.adapt(LINES[:, 0])
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), layer, L.Embedding(12, 3, mask_zero=True), L.LSTM(2)]
    )
    return Case(model, LINES, refused=NEEDS_TENSORFLOW)


def text_vectorization_modes():
    x = keras.Input((1,), dtype="string")
    outputs = []
    for options in (
        {"output_mode": "multi_hot", "ngrams": 2},
        {"output_mode": "count", "split": "character"},
        {"output_mode": "tf_idf", "standardize": "lower"},
    ):
        layer = L.TextVectorization(max_tokens=20, **options)
        layer.adapt(LINES[:, 0])
        outputs.append(layer(x))
    return Case(keras.Model(x, outputs), LINES, refused=NEEDS_TENSORFLOW)


def dense_features():
    columns = [
        tf.feature_column.numeric_column("size", shape=(2,)),
        tf.feature_column.indicator_column(
            tf.feature_column.categorical_column_with_identity("kind", 3)
        ),
    ]
    inputs = {
        "size": keras.Input((2,), name="size"),
        "kind": keras.Input((1,), dtype="int32", name="kind"),
    }
    y = L.Dense(2)(L.DenseFeatures(columns)(inputs))
    return Case(
        keras.Model(inputs, y),
        {"size": normal(3, 2), "kind": whole(0, 3, 3, 1)},
        refused="DenseFeatures is TensorFlow's feature columns",
    )
