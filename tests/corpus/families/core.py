"""Dense layers, activations, shapes, dropout, merging, embedding."""

import tensorflow as tf
from case import Case, normal, whole

keras = tf.keras
L = keras.layers

ACTIVATIONS = [
    "elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish", "relu", "selu", "sigmoid",
    "softmax", "softplus", "softsign", "swish", "tanh",
]  # fmt: skip


def dense_sequential():
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(5, activation="relu"), L.Dense(3, activation="softmax")]
    )
    return Case(model, normal(3, 4))


def dense_input_shape_argument():
    model = keras.Sequential(
        [L.Dense(5, activation="tanh", input_shape=(4,), name="first"), L.Dense(2, use_bias=False)]
    )
    return Case(model, normal(3, 4))


def dense_no_input_shape():
    return Case(keras.Sequential([L.Dense(5, activation="relu"), L.Dense(2)]), normal(3, 4))


def dense_on_images():
    model = keras.Sequential([keras.Input((2, 3, 4)), L.Dense(2), L.Flatten(), L.Dense(2)])
    return Case(model, normal(2, 2, 3, 4))


def dense_activations():
    x = keras.Input((4,))
    return Case(
        keras.Model(x, [L.Dense(3, activation=a, name=f"with_{a}")(x) for a in ACTIVATIONS]),
        normal(3, 4),
    )


def dense_hard_sigmoid():
    model = keras.Sequential([keras.Input((4,)), L.Dense(6, activation="hard_sigmoid")])
    return Case(model, 3 * normal(4, 4))


def activation_layers():
    x = keras.Input((4, 3))
    outputs = [L.Activation(a)(x) for a in ACTIVATIONS]
    outputs += [
        L.ReLU()(x),
        L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)(x),
        L.LeakyReLU()(x),
        L.LeakyReLU(alpha=0.15)(x),
        L.PReLU()(x),
        L.PReLU(shared_axes=[1])(x),
        L.ELU(alpha=0.7)(x),
        L.Softmax(axis=1)(x),
        L.Softmax()(x),
    ]
    return Case(keras.Model(x, outputs), 2 * normal(2, 4, 3))


def thresholded_relu():
    model = keras.Sequential([keras.Input((5,)), L.Dense(6), L.ThresholdedReLU(theta=0.3)])
    return Case(model, normal(3, 5))


def shapes():
    x = keras.Input((2, 6))
    outputs = [
        L.Flatten()(x),
        L.Flatten(data_format="channels_first")(x),
        L.Reshape((3, 4))(x),
        L.Reshape((-1, 2, 2))(x),
        L.Permute((2, 1))(x),
        L.RepeatVector(3)(L.Flatten()(x)),
        L.Identity()(x),
        L.ActivityRegularization(l1=0.1, l2=0.2)(x),
        L.Masking(mask_value=0.5)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 2, 6))


def dropouts():
    a, b, c = keras.Input((6,)), keras.Input((4, 4, 2)), keras.Input((2, 2, 2, 2))
    x = L.Dense(6)(a)
    for layer in (L.Dropout(0.3), L.GaussianNoise(0.2), L.GaussianDropout(0.4)):
        x = layer(x)
    outputs = [
        L.AlphaDropout(0.1)(x),
        L.Dropout(0.5, noise_shape=(None, 1, 4, 2), seed=3)(b),
        L.SpatialDropout1D(0.2)(L.Reshape((3, 2))(a)),
        L.SpatialDropout2D(0.2, data_format="channels_last")(b),
        L.SpatialDropout3D(0.2)(c),
    ]
    return Case(
        keras.Model([a, b, c], outputs), [normal(2, 6), normal(2, 4, 4, 2), normal(2, 2, 2, 2, 2)]
    )


def merges():
    a, b = keras.Input((3, 4), name="a"), keras.Input((3, 4), name="b")
    x, y = L.Dense(4)(a), L.Dense(4)(b)
    outputs = [
        L.Add()([x, y, a]),
        L.Subtract()([x, y]),
        L.Multiply()([x, y]),
        L.Average()([x, y, b]),
        L.Maximum()([x, y]),
        L.Minimum()([x, y]),
        L.Concatenate()([x, y]),
        L.Concatenate(axis=1)([x, y]),
        L.Dot(axes=2)([x, y]),
        L.Dot(axes=(1, 1), normalize=True)([x, y]),
        keras.layers.add([x, y]),
    ]
    return Case(keras.Model([a, b], outputs), [normal(2, 3, 4), normal(2, 3, 4, seed=1)])


def einsum_dense():
    x = keras.Input((3, 4))
    outputs = [
        L.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d")(x),
        L.EinsumDense("...x,xy->...y", output_shape=2, activation="relu")(x),
        L.EinsumDense("abc,bcd->ad", output_shape=3, bias_axes="d")(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 3, 4))


def embedding():
    model = keras.Sequential([keras.Input((5,)), L.Embedding(7, 3), L.Flatten(), L.Dense(2)])
    return Case(model, whole(0, 7, 3, 5))


def embedding_input_length():
    model = keras.Sequential(
        [L.Embedding(7, 3, input_length=5), L.Conv1D(2, 2), L.GlobalMaxPooling1D()]
    )
    return Case(model, whole(0, 7, 3, 5))


def embedding_masked_average():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            L.Embedding(7, 3, mask_zero=True, embeddings_regularizer="l2"),
            L.GlobalAveragePooling1D(),
        ]
    )
    return Case(model, whole(0, 3, 4, 5))


def initializers():
    init = keras.initializers
    x = keras.Input((4,))
    chosen = [
        "glorot_uniform", "he_normal", "lecun_uniform", "zeros", init.Ones(), init.Constant(0.5),
        init.RandomNormal(stddev=0.1, seed=1), init.RandomUniform(-0.1, 0.1),
        init.TruncatedNormal(), init.VarianceScaling(2.0, "fan_avg", "uniform", seed=2),
        init.Orthogonal(gain=1.1), init.Identity(0.9), init.HeUniform(seed=5), init.GlorotNormal(),
    ]  # fmt: skip
    outputs = [L.Dense(4, kernel_initializer=one, bias_initializer="ones")(x) for one in chosen]
    return Case(keras.Model(x, outputs), normal(2, 4))


def regularizers_and_constraints():
    reg, con = keras.regularizers, keras.constraints
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(4, kernel_regularizer="l2", bias_regularizer=reg.L1(0.01)),
            L.Dense(4, kernel_regularizer=reg.L1L2(0.01, 0.02), activity_regularizer=reg.L2(0.1)),
            L.Dense(4, kernel_regularizer=reg.OrthogonalRegularizer(0.03)),
            L.Dense(4, kernel_constraint=con.MaxNorm(2.0, axis=0), bias_constraint="non_neg"),
            L.Dense(4, kernel_constraint=con.MinMaxNorm(0.1, 1.5, rate=0.8)),
            L.Dense(4, kernel_constraint=con.UnitNorm(axis=1)),
            L.Dense(2, kernel_constraint="max_norm"),
        ]
    )
    return Case(model, normal(3, 4))


def fixed_batch():
    x = keras.Input(batch_shape=(2, 3, 4))
    y = L.Reshape((12,))(x)
    return Case(keras.Model(x, L.Dense(3)(y)), normal(2, 3, 4))


def whole_numbers():
    a, b = keras.Input((3,), dtype="int64"), keras.Input((2,), dtype="uint8")
    x = L.Concatenate()([L.Flatten()(L.Embedding(5, 2)(a)), L.Rescaling(1 / 255.0)(b)])
    return Case(
        keras.Model([a, b], L.Dense(3)(x)),
        [whole(0, 5, 2, 3).astype("int64"), whole(0, 255, 2, 2).astype("uint8")],
    )
