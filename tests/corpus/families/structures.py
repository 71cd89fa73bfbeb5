"""How layers are joined: branches, nesting, sharing, freezing, dictionaries, subclasses."""

import tensorflow as tf
from case import Case, normal, whole

keras = tf.keras
L = keras.layers


def branches():
    x = keras.Input((6, 6, 2), name="picture")
    a = L.Conv2D(2, 1, name="one")(x)
    b = L.Conv2D(2, 3, padding="same", name="three")(x)
    c = L.Conv2D(2, 1, name="pooled")(L.AveragePooling2D(3, strides=1, padding="same")(x))
    y = L.Concatenate(name="joined")([a, b, c])
    return Case(keras.Model(x, L.Dense(2)(L.Flatten()(y)), name="inception"), normal(2, 6, 6, 2))


def residual():
    x = keras.Input((5, 5, 2))
    y = L.Conv2D(3, 1)(x)
    for i in range(2):
        z = L.BatchNormalization(name=f"bn{i}")(y)
        z = L.Conv2D(3, 3, padding="same", activation="relu", name=f"conv{i}")(z)
        y = L.Add(name=f"add{i}")([y, z])
    return Case(keras.Model(x, L.GlobalAveragePooling2D()(y)), normal(2, 5, 5, 2))


def several_inputs_outputs():
    a, b = keras.Input((3,), name="left"), keras.Input((4,), name="right")
    x = L.Concatenate()([L.Dense(3, activation="relu")(a), b])
    return Case(
        keras.Model([a, b], [L.Dense(2, name="kind")(x), L.Dense(1, name="size")(x)]),
        [normal(2, 3), normal(2, 4)],
    )


def dict_inputs():
    inputs = {"b": keras.Input((3,), name="b"), "a": keras.Input((4,), name="a")}
    y = L.Concatenate()([L.Dense(2)(inputs["a"]), inputs["b"]])
    return Case(keras.Model(inputs, L.Dense(2)(y)), {"b": normal(2, 3), "a": normal(2, 4)})


def dict_outputs():
    x = keras.Input((4,), name="x")
    y = L.Dense(3, name="hidden")(x)
    outputs = {"zeta": L.Dense(1, name="last")(y), "alpha": L.Dense(2, name="first")(y)}
    return Case(keras.Model(x, outputs), normal(2, 4))


def list_of_one_output():
    x = keras.Input((4,))
    return Case(keras.Model([x], [L.Dense(3)(x)]), [normal(2, 4)])


def input_is_output():
    x = keras.Input((4,))
    return Case(keras.Model(x, [x, L.Dense(3)(x)]), normal(2, 4))


def nested():
    a = keras.Input((4,), name="a")
    inner = keras.Model(a, L.BatchNormalization()(L.Dense(3)(a)), name="inner")
    b = keras.Input((4,), name="b")
    middle = keras.Model(b, L.Dense(3, name="after")(inner(b)), name="middle")
    c = keras.Input((5,), name="c")
    y = middle(L.Dense(4, name="before")(c))
    return Case(keras.Model(c, L.Dense(2, name="last")(y), name="outer"), normal(2, 5))


def nested_same_names():
    """Names need to differ within one model only; HDF5 of Keras 2 needs more."""
    a = keras.Input((4,))
    inner = keras.Model(a, L.Dense(3, name="dense")(a), name="inner")
    b = keras.Input((4,))
    middle = keras.Model(b, L.Dense(3, name="dense")(inner(b)), name="middle")
    c = keras.Input((5,))
    return Case(keras.Model(c, middle(L.Dense(4, name="dense")(c)), name="outer"), normal(2, 5))


def nested_sequential():
    base = keras.Sequential(
        [L.Conv2D(2, 2, input_shape=(5, 5, 1)), L.BatchNormalization(), L.ReLU()], name="base"
    )
    head = keras.Sequential([L.Flatten(), L.Dense(3), keras.Sequential([L.Dense(2)])], name="head")
    return Case(keras.Sequential([base, L.MaxPooling2D(), head]), normal(2, 5, 5, 1))


def nested_several_outputs():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    inner = keras.Model(
        [a, b], [L.Dense(2, name="p")(a), L.Dense(2, name="q")(L.Add()([a, b]))], name="inner"
    )
    x = keras.Input((3,))
    p, q = inner([x, L.Dense(3)(x)])
    return Case(keras.Model(x, L.Subtract()([p, q])), normal(2, 3))


def nested_dictionaries():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    inner = keras.Model(
        {"a": a, "b": b},
        {"sum": L.Dense(2)(L.Concatenate()([a, b])), "part": L.Dense(2)(a)},
        name="inner",
    )
    x, y = keras.Input((3,), name="x"), keras.Input((2,), name="y")
    out = inner({"a": x, "b": y})
    return Case(
        keras.Model([x, y], L.Add()([out["sum"], out["part"]])), [normal(2, 3), normal(2, 2)]
    )


def shared_layer():
    a, b = keras.Input((4,)), keras.Input((4,))
    shared = L.Dense(3, activation="tanh", name="shared")
    y = L.Dot(axes=1)([shared(a), shared(b)])
    return Case(keras.Model([a, b], y), [normal(2, 4), normal(2, 4, seed=1)])


def shared_in_chain():
    x = keras.Input((4,))
    shared, norm = L.Dense(4, name="shared"), L.BatchNormalization(name="norm")
    y = x
    for _ in range(3):
        y = norm(shared(y))
    return Case(keras.Model(x, y), normal(2, 4))


def shared_model():
    tower = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu"), L.Dense(2)])
    a, b, c = keras.Input((4,)), keras.Input((4,)), keras.Input((3,))
    y = L.Concatenate()([tower(a), tower(b), tower(L.Dense(4)(c))])
    return Case(
        keras.Model([a, b, c], L.Dense(1)(y)), [normal(2, 4), normal(2, 4, seed=1), normal(2, 3)]
    )


def shared_across_depths():
    shared = L.Dense(4, name="shared")
    a = keras.Input((4,))
    inner = keras.Model(a, L.ReLU()(shared(a)), name="inner")
    x = keras.Input((4,))
    return Case(keras.Model(x, L.Add()([inner(x), shared(x)])), normal(2, 4))


def model_of_layers_of_another():
    x = keras.Input((4,))
    whole_model = keras.Sequential(
        [keras.Input((4,)), L.Dense(3, name="features"), L.Dense(2, name="classes")]
    )
    cut = keras.Model(whole_model.inputs, whole_model.get_layer("features").output)
    return Case(keras.Model(x, [cut(x), whole_model(x)]), normal(2, 4))


def _base(name="base"):
    x = keras.Input((4,))
    y = L.BatchNormalization(name="norm0")(L.Dense(3, name="dense0")(x))
    y = L.BatchNormalization(name="norm1")(L.Dense(3, name="dense1")(y))
    return keras.Model(x, L.Dense(3, name="dense2")(y), name=name)


def frozen_some_inner_layers():
    base = _base()
    for name in ("dense0", "norm1"):
        base.get_layer(name).trainable = False
    return Case(keras.Sequential([keras.Input((4,)), base, L.Dense(2)]), normal(2, 4))


def frozen_model():
    base = _base()
    base.trainable = False
    x = keras.Input((4,))
    return Case(keras.Model(x, L.Dense(2)(base(x, training=False))), normal(2, 4))


def frozen_after():
    base = _base()
    model = keras.Sequential([keras.Input((4,)), base, L.BatchNormalization(), L.Dense(2)])
    base.get_layer("dense1").trainable = False
    model.layers[1].trainable = False
    return Case(model, normal(2, 4))


def frozen_then_thawed():
    base = _base()
    base.trainable = False
    for layer in base.layers[-3:]:
        layer.trainable = True
    base.trainable = True
    base.get_layer("norm0").trainable = False
    return Case(keras.Sequential([keras.Input((4,)), base, L.Dense(2)]), normal(2, 4))


def frozen_whole():
    model = keras.Sequential([L.Dense(3, input_shape=(4,)), L.BatchNormalization(), L.Dense(2)])
    model.trainable = False
    return Case(model, normal(2, 4))


def frozen_recurrent():
    x = keras.Input((4, 3))
    y = L.Bidirectional(L.LSTM(2, return_sequences=True), name="both")(x)
    y = L.TimeDistributed(keras.Sequential([L.Dense(3), L.BatchNormalization(), L.Dense(2)]))(y)
    model = keras.Model(x, L.GRU(2)(y))
    model.get_layer("both").trainable = False
    model.layers[2].layer.layers[0].trainable = False
    return Case(model, normal(2, 4, 3))


def names_with_slashes():
    x = keras.Input((4,), name="net/input")
    y = L.Dense(3, name="net/block_1/dense")(x)
    y = L.BatchNormalization(name="net/block_1/bn")(y)
    inner = keras.Sequential([L.Dense(3, name="deep/dense")], name="net/inner")
    return Case(keras.Model(x, inner(y), name="net"), normal(2, 4))


def names_of_all_kinds():
    x = keras.Input((4,), name="Input.0")
    y = L.Dense(3, name="Dense-1")(x)
    y = L.Dense(3, name="1x1_conv")(y)
    y = L.Dense(3, name="kernel")(y)
    return Case(keras.Model(x, L.Dense(2, name="dense_17")(y), name="my.model"), normal(2, 4))


def many_layers():
    layers = [L.Dense(2, activation="tanh", name=f"layer_{i}") for i in range(13)]
    return Case(keras.Sequential([keras.Input((2,)), *layers]), normal(2, 2))


def autoencoder():
    encoder = keras.Sequential(
        [keras.Input((8,)), L.Dense(4, activation="relu"), L.Dense(2)], name="encoder"
    )
    decoder = keras.Sequential(
        [keras.Input((2,)), L.Dense(4, activation="relu"), L.Dense(8)], name="decoder"
    )
    x = keras.Input((8,))
    return Case(keras.Model(x, decoder(encoder(x)), name="autoencoder"), normal(2, 8))


def keyword_tensors():
    x, mask = keras.Input((4, 3)), keras.Input((4,), dtype="bool")
    y = L.LSTM(2, return_sequences=True)(inputs=x, mask=mask)
    y = L.GlobalAveragePooling1D()(y, mask=mask)
    seen = whole(0, 2, 3, 4).astype(bool)
    seen[:, 0] = True
    return Case(keras.Model([x, mask], y), [normal(3, 4, 3), seen])


class TwoTowers(keras.Model):
    """A model by subclass: it has weights and no config that another program can follow."""

    def __init__(self):
        super().__init__()
        self.left = L.Dense(3, activation="relu", name="left")
        self.norm = L.BatchNormalization()
        self.blocks = [L.Dense(3), L.Dense(3)]
        self.last = L.Dense(2)

    def call(self, inputs, training=False):
        x = self.norm(self.left(inputs), training=training)
        for block in self.blocks:
            x = block(x) + x
        return self.last(x)


def subclassed():
    return Case(TwoTowers(), normal(2, 4), refused="a subclassed model has no config")


class Recurrent(keras.Model):
    def __init__(self):
        super().__init__()
        self.embed = L.Embedding(9, 3, mask_zero=True)
        self.both = L.Bidirectional(L.GRU(2, return_sequences=True))
        self.lstm = L.LSTM(3)
        self.head = keras.Sequential([L.Dense(3, activation="relu"), L.Dense(1)])

    def call(self, inputs):
        return self.head(self.lstm(self.both(self.embed(inputs))))


def subclassed_recurrent():
    return Case(Recurrent(), whole(0, 9, 2, 5), refused="a subclassed model has no config")


def lambda_layer():
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(3), L.Lambda(lambda x: x * 2 + 1, name="double")]
    )
    return Case(model, normal(2, 4), refused="Lambda: code in the file")


@keras.utils.register_keras_serializable("corpus")
class Scale(L.Layer):
    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, shape):
        self.factor = self.add_weight("factor", (shape[-1],), initializer="ones")

    def call(self, inputs):
        return inputs * self.factor * self.start

    def get_config(self):
        return {**super().get_config(), "start": self.start}


def custom_layer():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3), Scale(2.0, name="scaled")])
    return Case(model, normal(2, 4), refused="a custom layer", custom_objects={"Scale": Scale})


def custom_activation():
    @keras.utils.register_keras_serializable("corpus")
    def squared(x):
        return x * x

    model = keras.Sequential([keras.Input((4,)), L.Dense(3, activation=squared)])
    return Case(model, normal(2, 4), refused="a custom function")
