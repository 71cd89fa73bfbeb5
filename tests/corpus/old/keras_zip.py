"""The first `.keras` files: of Keras 2.11, 2.12 and 2.13, and the last as Windows wrote them.

Run once for each of these:

* Python 3.8: tensorflow-cpu 2.11.0 (an experiment then: `variables.h5`)
* Python 3.9: tensorflow-cpu 2.12.1, 2.13.1

Keras on Windows joined the names of groups with backslashes; a file of that kind is made from a
real one by giving its groups these names.

    python keras_zip.py
"""

import io
import os
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import h5py
import keras
import numpy as np
import tensorflow as tf
from keeping import Keeper, random_weights, trained
from keras import Input, Model, Sequential
from keras import layers as L  # noqa: N812

VERSION = tuple(int(part) for part in keras.__version__.split(".")[:2])
KEEPER = Keeper("keras-" + keras.__version__ + "-zip", "keras", "tensorflow")


def rand(*shape):
    return np.random.RandomState(sum(shape)).uniform(-1, 1, size=shape).astype("float32")


def ints(high, *shape):
    return np.random.RandomState(sum(shape)).randint(0, high, size=shape).astype("int32")


def layers_of(model):
    found = []
    for layer in model.layers:
        found.append(type(layer).__name__)
        if isinstance(getattr(layer, "layer", None), L.Layer):
            found.append(type(layer.layer).__name__)
        if hasattr(layer, "layers"):
            found.extend(layers_of(layer))
    return found


def fill(model, seed):
    names = [weight.name for weight in model.weights]
    shapes = [weight.shape.as_list() for weight in model.weights]
    model.set_weights(random_weights(names, shapes, seed))


def save(model, path):
    if VERSION >= (2, 12):
        model.save(path, save_format="keras")
        return
    from keras.saving.experimental import saving_lib

    saving_lib.save_model(model, path)


def as_on_windows(source, target):
    """Copies a `.keras` with each array's group under one name that has backslashes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith(".h5"):
                data = renamed(data)
            new.writestr(info, data)


def renamed(data):
    target = io.BytesIO()
    with h5py.File(io.BytesIO(data), "r") as old, h5py.File(target, "w") as new:

        def copy(path, item):
            if path.split("/")[-1] == "vars":
                place = "\\".join(path.split("/")[:-1])
                group = new.require_group(place) if place else new
                old.copy(item, group, name="vars")

        old.visititems(copy)
    return target.getvalue()


def keep(name, family, model, inputs, filled=False, **more):
    if not filled:
        fill(model, sum(map(ord, name)))
    outputs = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    folder = KEEPER.place(name)
    path = os.path.join(folder, "model.keras")
    save(model, path)
    formats = {"keras": "model.keras"}
    if VERSION >= (2, 12):
        model.save_weights(os.path.join(folder, "model.weights.h5"))
        formats["weights_h5"] = "model.weights.h5"
    if VERSION >= (2, 13):
        as_on_windows(path, os.path.join(folder, "windows.keras"))
        formats["keras_windows"] = "windows.keras"
    KEEPER.keep(
        name,
        family,
        layers_of(model),
        formats,
        [weight.name for weight in model.weights],
        model.get_weights(),
        inputs,
        outputs if isinstance(outputs, list) else [outputs],
        library_version=keras.__version__,
        **more,
    )


def core():
    model = Sequential([Input((5,)), L.Dense(4, activation="tanh", name="chosen"), L.Dropout(0.5)])
    model.add(L.BatchNormalization())
    model.add(L.Dense(6))
    model.add(L.Reshape((3, 2)))
    model.add(L.LayerNormalization())
    model.add(L.Flatten())
    model.add(L.LeakyReLU(0.2))
    model.add(L.Dense(2))
    keep("dense", "core", model, [rand(3, 5)])
    model = Sequential([Input((7, 6, 2)), L.Conv2D(3, (3, 2), activation="relu")])
    model.add(L.MaxPooling2D())
    model.add(L.SeparableConv2D(4, 2))
    model.add(L.DepthwiseConv2D(2, padding="same"))
    model.add(L.Conv2DTranspose(2, 2))
    model.add(L.GlobalAveragePooling2D())
    keep("conv2d", "convolution", model, [rand(2, 7, 6, 2)])


def recurrent():
    for kind in ("LSTM", "GRU"):
        layer = getattr(L, kind)
        model = Sequential([Input((5,)), L.Embedding(7, 3, mask_zero=True)])
        model.add(L.Bidirectional(layer(3, return_sequences=True)))
        model.add(layer(2, return_sequences=True))
        model.add(L.TimeDistributed(L.Dense(2)))
        x = ints(7, 2, 5)
        x[0, 3:] = 0
        keep(kind.lower(), "recurrent", model, [x], tolerance=1e-4)
    model = Sequential([Input((4, 2)), L.RNN([L.LSTMCell(3), L.GRUCell(2)])])
    keep("cells", "recurrent", model, [rand(2, 4, 2)], tolerance=1e-4)


def structures():
    x = Input((3,))
    inner = Model(x, L.BatchNormalization()(L.Dense(4, name="deep")(x)), name="inner")
    tower = Sequential([Input((5,)), L.Dense(3), inner, L.Dense(2)], name="tower")
    first, second = Input((5,), name="first"), Input((5,), name="second")
    joined = L.add([tower(first), tower(second)])
    model = Model([first, second], [L.Dense(2, name="a")(joined), L.Dense(1, name="b")(joined)])
    keep("nested", "structure", model, [rand(2, 5), 2 * rand(2, 5)])
    query, value = Input((3, 4)), Input((5, 4))
    attended = [L.Attention(use_scale=True)([query, value])]
    attended.append(L.MultiHeadAttention(2, 3, value_dim=2)(query, value))
    model = Model([query, value], L.Dense(2)(L.concatenate(attended)))
    inputs = [rand(2, 3, 4), rand(2, 5, 4)]
    keep("attention", "attention", model, inputs)
    first, second = Input((4,)), Input((4,))
    x = tf.nn.relu(L.Dense(4)(first) + second * 2.0) - 0.1
    x = tf.reshape(L.Dense(6)(tf.concat([x, second], axis=1)), (-1, 3, 2))
    model = Model([first, second], L.Dense(2)(tf.reduce_mean(x, axis=1) + x[:, 0]))
    keep("operations", "operations", model, [rand(2, 4), 2 * rand(2, 4)])


def preprocessing():
    layer = L.Normalization()
    layer.adapt(rand(9, 4) * 3 + 1)
    model = Sequential([Input((4,)), layer, L.Rescaling(0.5, 1.0), L.Dense(2)])
    keep("normalization", "preprocessing", model, [rand(3, 4)], filled=True)


def optimizing():
    x, y = rand(8, 4), rand(8, 2)

    def build(maker, epochs):
        model = Sequential([Input((4,)), L.Dense(3, activation="tanh"), L.Dense(2)])
        fill(model, 5)
        model.compile(maker(), "mse", metrics=["mae"])
        model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
        return model

    makers = {
        "adam": lambda: keras.optimizers.Adam(0.02, beta_1=0.8),
        "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    }
    for name, maker in makers.items():
        further = build(maker, 9)
        config = {
            key: float(value) if hasattr(value, "dtype") else value
            for key, value in further.optimizer.get_config().items()
        }
        kind, after = type(further.optimizer).__name__, further.get_weights()
        told, arrays = trained(kind, config, x, y, after)
        told["legacy"] = False
        training = (told, arrays)
        keep("trained_" + name, "trained", build(maker, 4), [rand(3, 4)], True, training=training)


def main():
    np.random.seed(1)
    for maker in (core, recurrent, structures, preprocessing, optimizing):
        try:
            maker()
        except Exception as error:
            print("NOT", maker.__name__, type(error).__name__, str(error)[:300])
        keras.backend.clear_session()
    KEEPER.write()


main()
