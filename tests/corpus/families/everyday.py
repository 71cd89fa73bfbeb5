"""What tutorials and programs of those years build, in small."""

import tensorflow as tf
from case import Case, Training, normal, whole

keras = tf.keras
L = keras.layers


def first_tutorial():
    model = keras.Sequential(
        [
            L.Flatten(input_shape=(6, 6)),
            L.Dense(5, activation="relu"),
            L.Dropout(0.2),
            L.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return Case(model, normal(2, 6, 6))


def explicit_input_layer():
    model = keras.Sequential(name="by_add")
    model.add(L.InputLayer(input_shape=(4,), name="given"))
    model.add(L.Dense(3, activation="relu"))
    model.add(L.Dense(2))
    return Case(model, normal(2, 4))


def activations_of_tensorflow():
    """`activation=tf.nn.relu`: functions of TensorFlow, kept by their names."""
    x = keras.Input((4,))
    chosen = [tf.nn.relu, tf.nn.softmax, tf.nn.sigmoid, tf.nn.tanh, tf.nn.elu, tf.nn.selu]
    chosen += [tf.nn.swish, tf.nn.softplus, tf.nn.gelu, tf.nn.softsign]
    return Case(keras.Model(x, [L.Dense(3, activation=one)(x) for one in chosen]), normal(2, 4))


def activation_leaky_relu_of_tensorflow():
    """Keras 2.15 has no activation of this name, and does not open its own file again."""
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, activation=tf.nn.leaky_relu)])
    return Case(model, normal(2, 4))


def layer_as_activation():
    model = keras.Sequential(
        [
            keras.Input((6, 2)),
            L.Conv1D(3, 2, activation=L.LeakyReLU(alpha=0.1)),
            L.Flatten(),
            L.Dense(3, activation=L.ReLU(max_value=1.0)),
        ]
    )
    return Case(model, normal(2, 6, 2))


def preprocess_for_mobilenet():
    x = keras.Input((5, 5, 3))
    y = keras.applications.mobilenet_v2.preprocess_input(x)
    y = L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(y))
    return Case(keras.Model(x, L.Dense(2)(y)), 100 + 50 * normal(2, 5, 5, 3))


def preprocess_for_resnet():
    x = keras.Input((5, 5, 3))
    y = keras.applications.resnet50.preprocess_input(x)
    y = L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(y))
    return Case(keras.Model(x, L.Dense(2)(y)), 100 + 50 * normal(2, 5, 5, 3), tolerance=1e-4)


def transfer_learning():
    base = keras.Sequential(
        [
            L.Conv2D(3, 3, strides=2, use_bias=False, input_shape=(9, 9, 3), name="conv1"),
            L.BatchNormalization(name="bn1"),
            L.ReLU(6.0, name="relu1"),
            L.ZeroPadding2D(((0, 1), (0, 1)), name="pad"),
            L.DepthwiseConv2D(3, strides=2, use_bias=False, name="dw"),
            L.BatchNormalization(name="bn2"),
        ],
        name="mobile",
    )
    base.trainable = False
    x = keras.Input((9, 9, 3))
    y = keras.Sequential([L.RandomFlip("horizontal"), L.RandomRotation(0.2)], name="augment")(x)
    y = base(L.Rescaling(1 / 127.5, offset=-1)(y), training=False)
    y = L.Dropout(0.2)(L.GlobalAveragePooling2D()(y))
    model = keras.Model(x, L.Dense(1)(y))
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    return Case(model, 127 + 60 * normal(2, 9, 9, 3))


def generator():
    model = keras.Sequential(
        [
            L.Dense(2 * 2 * 4, use_bias=False, input_shape=(5,)),
            L.BatchNormalization(),
            L.LeakyReLU(),
            L.Reshape((2, 2, 4)),
            L.Conv2DTranspose(3, (5, 5), strides=(1, 1), padding="same", use_bias=False),
            L.BatchNormalization(),
            L.LeakyReLU(),
            L.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh"),
        ]
    )
    return Case(model, normal(2, 5))


def u_net():
    x = keras.Input((8, 8, 1))
    down = L.Conv2D(2, 3, activation="relu", padding="same", kernel_initializer="he_normal")(x)
    y = L.MaxPooling2D(pool_size=(2, 2))(down)
    y = L.Conv2D(3, 3, activation="relu", padding="same")(y)
    y = L.Conv2D(2, 2, activation="relu", padding="same")(L.UpSampling2D(size=(2, 2))(y))
    y = L.concatenate([down, y], axis=3)
    return Case(
        keras.Model(inputs=x, outputs=L.Conv2D(1, 1, activation="sigmoid")(y)), normal(2, 8, 8, 1)
    )


def recurrent_autoencoder():
    model = keras.Sequential(
        [
            L.LSTM(4, activation="relu", input_shape=(5, 2), return_sequences=True),
            L.LSTM(2, activation="relu"),
            L.RepeatVector(5),
            L.LSTM(3, return_sequences=True),
            L.TimeDistributed(L.Dense(2)),
        ]
    )
    return Case(model, normal(2, 5, 2))


def convolution_and_recurrence():
    model = keras.Sequential(
        [
            L.Embedding(20, 4, input_length=8),
            L.SpatialDropout1D(0.2),
            L.Conv1D(3, 3, padding="causal", activation="relu"),
            L.MaxPooling1D(2),
            L.Bidirectional(L.GRU(3, dropout=0.1)),
            L.Dense(2, activation="softmax"),
        ]
    )
    return Case(model, whole(0, 20, 2, 8))


def positions():
    """Token and position embeddings, the positions counted in the graph."""
    ids = keras.Input((6,), dtype="int32")
    where = tf.range(start=0, limit=tf.shape(ids)[-1], delta=1)
    x = L.Embedding(9, 4)(ids) + L.Embedding(6, 4)(where)
    y = L.LayerNormalization(epsilon=1e-6)(x + L.MultiHeadAttention(2, 2)(x, x))
    return Case(keras.Model(ids, L.Dense(2)(L.GlobalAveragePooling1D()(y))), whole(0, 9, 2, 6))


def siamese():
    tower = keras.Sequential([L.Dense(4, activation="relu", input_shape=(3,)), L.Dense(2)])
    a, b = keras.Input((3,)), keras.Input((3,))
    distance = tf.sqrt(tf.reduce_sum(tf.square(tower(a) - tower(b)), axis=1, keepdims=True) + 1e-7)
    return Case(
        keras.Model([a, b], L.Dense(1, activation="sigmoid")(distance)),
        [normal(2, 3), normal(2, 3, seed=1)],
    )


def recommender():
    user, item = keras.Input((1,), name="user"), keras.Input((1,), name="item")
    u = L.Flatten()(L.Embedding(6, 3, embeddings_regularizer=keras.regularizers.l2(1e-6))(user))
    i = L.Flatten()(L.Embedding(7, 3)(item))
    y = L.Add()([L.Dot(axes=1)([u, i]), L.Flatten()(L.Embedding(6, 1)(user))])
    model = keras.Model([user, item], y)
    model.compile(keras.optimizers.legacy.Adam(0.01), loss="mse")
    pairs = [whole(0, 6, 16, 1), whole(0, 7, 16, 1, seed=1)]
    ratings = (pairs[0] + pairs[1]).astype("float32")
    return Case(model, [p[:4] for p in pairs], training=Training(pairs, ratings))
