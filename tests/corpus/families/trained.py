"""Compiled models after some steps of training: optimizers, schedules, losses, metrics."""

import tensorflow as tf
from case import Case, Training, normal, whole

keras = tf.keras
L = keras.layers
new, old = keras.optimizers, keras.optimizers.legacy


def _regression(optimizer):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            L.Dense(4, activation="tanh", name="hidden"),
            L.Dense(1, name="last"),
        ]
    )
    model.compile(optimizer, loss="mse")
    x = normal(16, 3)
    return Case(model, x[:3], training=Training(x, x.sum(1, keepdims=True) ** 2))


def trained_sgd():
    return _regression(new.SGD(0.05))


def trained_sgd_momentum():
    return _regression(new.SGD(0.02, momentum=0.9))


def trained_sgd_nesterov():
    return _regression(new.SGD(0.02, momentum=0.8, nesterov=True))


def trained_adam():
    return _regression(new.Adam(0.01))


def trained_adam_amsgrad():
    return _regression(new.Adam(0.01, beta_1=0.8, amsgrad=True))


def trained_adam_clipped():
    return _regression(new.Adam(0.01, clipnorm=0.5, weight_decay=0.01))


def trained_adam_averaged():
    return _regression(new.Adam(0.01, use_ema=True, ema_momentum=0.9, global_clipnorm=1.0))


def trained_adamw():
    return _regression(new.AdamW(0.01, weight_decay=0.02))


def trained_rmsprop():
    return _regression(new.RMSprop(0.01))


def trained_rmsprop_centered():
    return _regression(new.RMSprop(0.01, rho=0.8, momentum=0.5, centered=True))


def trained_adagrad():
    return _regression(new.Adagrad(0.1))


def trained_adadelta():
    return _regression(new.Adadelta(1.0))


def trained_adamax():
    return _regression(new.Adamax(0.01))


def trained_nadam():
    return _regression(new.Nadam(0.01))


def trained_ftrl():
    return _regression(new.Ftrl(0.1, l1_regularization_strength=0.001))


def trained_lion():
    return _regression(new.Lion(0.01))


def trained_adafactor():
    return _regression(new.Adafactor(0.01))


def trained_by_name():
    return _regression("adam")


def trained_exponential_decay():
    schedule = new.schedules.ExponentialDecay(0.05, decay_steps=3, decay_rate=0.5, staircase=True)
    return _regression(new.SGD(schedule, momentum=0.5))


def trained_cosine_decay():
    return _regression(new.Adam(new.schedules.CosineDecay(0.02, decay_steps=20, alpha=0.1)))


def trained_piecewise():
    return _regression(
        new.RMSprop(new.schedules.PiecewiseConstantDecay([4, 8], [0.02, 0.01, 0.005]))
    )


def trained_legacy_sgd():
    return _regression(old.SGD(0.02, momentum=0.9, nesterov=True))


def trained_legacy_sgd_decay():
    return _regression(old.SGD(0.05, decay=0.1))


def trained_legacy_adam():
    return _regression(old.Adam(0.01))


def trained_legacy_adam_amsgrad():
    return _regression(old.Adam(0.01, amsgrad=True, decay=0.01))


def trained_legacy_rmsprop():
    return _regression(old.RMSprop(0.01, momentum=0.5, centered=True))


def trained_legacy_adagrad():
    return _regression(old.Adagrad(0.1))


def trained_legacy_adadelta():
    return _regression(old.Adadelta(1.0))


def trained_legacy_adamax():
    return _regression(old.Adamax(0.01))


def trained_legacy_nadam():
    return _regression(old.Nadam(0.01))


def trained_legacy_ftrl():
    return _regression(old.Ftrl(0.1))


def trained_legacy_schedule():
    return _regression(old.Adam(new.schedules.InverseTimeDecay(0.02, 2, 0.5)))


def trained_classifier():
    model = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            L.Conv2D(2, 3, activation="relu"),
            L.BatchNormalization(),
            L.Flatten(),
            L.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        new.Adam(0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")],
    )
    x = normal(16, 5, 5, 1)
    return Case(model, x[:2], training=Training(x, whole(0, 3, 16, 1)))


def trained_binary():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu"), L.Dense(1)])
    model.compile(
        new.RMSprop(0.01),
        loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0), keras.metrics.AUC(from_logits=True)],
    )
    x = normal(16, 4)
    return Case(model, x[:2], training=Training(x, whole(0, 2, 16, 1).astype("float32")))


def trained_several_losses():
    x = keras.Input((4,), name="x")
    y = L.Dense(5, activation="relu", name="trunk")(x)
    kind = L.Dense(3, activation="softmax", name="kind")(y)
    size = L.Dense(1, name="size")(y)
    model = keras.Model(x, [kind, size])
    model.compile(
        new.SGD(0.05, momentum=0.9),
        loss={"kind": "categorical_crossentropy", "size": keras.losses.Huber(delta=0.7)},
        loss_weights={"kind": 1.0, "size": 0.5},
        metrics={"kind": ["accuracy"], "size": ["mae", keras.metrics.RootMeanSquaredError()]},
        weighted_metrics={"kind": [], "size": ["mse"]},
    )
    data = normal(16, 4)
    targets = [keras.utils.to_categorical(whole(0, 3, 16), 3), data[:, :1] * 2]
    return Case(model, data[:2], training=Training(data, targets))


def trained_losses_in_a_list():
    x = keras.Input((4,))
    model = keras.Model(x, [L.Dense(1, name="p")(x), L.Dense(2, name="q")(x)])
    model.compile(
        "rmsprop",
        loss=["mae", keras.losses.CosineSimilarity(axis=-1)],
        loss_weights=[0.3, 0.7],
        metrics=[["mse"], ["mae"]],
    )
    data = normal(16, 4)
    return Case(model, data[:2], training=Training(data, [data[:, :1], data[:, :2] + 1]))


def trained_recurrent():
    model = keras.Sequential(
        [L.Embedding(9, 3), L.Bidirectional(L.LSTM(2)), L.Dense(1, activation="sigmoid")]
    )
    model.compile(new.Adam(0.01), loss="binary_crossentropy", metrics=["acc"])
    x = whole(0, 9, 16, 5)
    return Case(model, x[:3], training=Training(x, (x.sum(1, keepdims=True) > 20) * 1.0))


def trained_partly_frozen():
    base = keras.Sequential(
        [keras.Input((4,)), L.Dense(3), L.BatchNormalization(), L.Dense(3)], name="base"
    )
    base.layers[0].trainable = False
    model = keras.Sequential([keras.Input((4,)), base, L.Dense(1)])
    model.compile(old.Adam(0.01), loss="mse")
    x = normal(16, 4)
    return Case(model, x[:2], training=Training(x, x[:, :1]))


def trained_regularized():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(4, kernel_regularizer="l2", activity_regularizer="l1"),
            L.Dense(1, kernel_constraint="max_norm"),
        ]
    )
    model.compile(new.SGD(0.05), loss="logcosh")
    x = normal(16, 4)
    return Case(model, x[:2], training=Training(x, x[:, :1]))


def trained_mixed_precision():
    policy = keras.mixed_precision.Policy("mixed_float16")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(4, activation="relu", dtype=policy),
            L.Dense(1, dtype="float32"),
        ]
    )
    optimizer = keras.mixed_precision.LossScaleOptimizer(new.Adam(0.01))
    model.compile(optimizer, loss="mse")
    x = normal(16, 4)
    return Case(model, x[:2], tolerance=5e-3, training=Training(x, x[:, :1]))


class Small(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = L.Dense(3, activation="relu")
        self.second = L.Dense(1)

    def call(self, inputs):
        return self.second(self.first(inputs))


def trained_subclassed():
    model = Small()
    model.compile(new.Adam(0.01), loss="mse")
    x = normal(16, 4)
    return Case(
        model,
        x[:2],
        refused="a subclassed model has no config",
        training=Training(x, x[:, :1]),
        custom_objects={"Small": Small},
    )


def trained_dictionaries():
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((2,), name="b")}
    y = L.Concatenate()([inputs["a"], inputs["b"]])
    outputs = {"p": L.Dense(1, name="first")(y), "q": L.Dense(2, name="second")(y)}
    model = keras.Model(inputs, outputs)
    model.compile(new.Adagrad(0.1), loss={"p": "mse", "q": "mae"}, loss_weights={"p": 2.0, "q": 1})
    data = {"a": normal(16, 3), "b": normal(16, 2, seed=1)}
    targets = {"p": data["a"][:, :1], "q": data["b"] * 2}
    return Case(
        model,
        {key: value[:2] for key, value in data.items()},
        training=Training(data, targets),
    )


def compiled_not_trained():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), L.Dense(1)])
    model.compile("adam", loss="mse", metrics=["mae"])
    return Case(model, normal(2, 4))
