"""Models of Keras 3: `.keras`, `.weights.h5`, whole `.h5`, and sharded weights where it has them.

Python 3.10; jax[cpu] 0.4.30, numpy < 2, and keras 3.0.5, 3.3.3, 3.6.0 or 3.10.0. Run once for each:

    KERAS_BACKEND=jax python keras3.py
"""

import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
warnings.simplefilter("ignore")

import keras
import numpy as np
from keeping import Keeper, random_weights, trained
from keras import Input, Model, Sequential
from keras import layers as L  # noqa: N812

VERSION = tuple(int(part) for part in keras.__version__.split(".")[:2])
KEEPER = Keeper("keras-" + keras.__version__, "keras", keras.backend.backend())


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
    values = random_weights([w.path for w in model.weights], [w.shape for w in model.weights], seed)
    for weight, value in zip(model.weights, values):  # noqa: B905
        if "seed" not in weight.path:
            weight.assign(value)


def keep(name, family, model, inputs, filled=False, sharded=False, **more):
    if not filled:
        fill(model, sum(map(ord, name)))
    outputs = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    folder = KEEPER.place(name)
    writers = {
        "keras": ("model.keras", model.save),
        "h5": ("model.h5", model.save),
        "weights_h5": ("model.weights.h5", model.save_weights),
    }
    if sharded and VERSION >= (3, 10):
        writers["weights_json"] = (
            "model.weights.json",
            lambda path: model.save_weights(path, max_shard_size=2.5e-7),
        )
    formats = {}
    for kind, (file, write) in writers.items():
        path = os.path.join(folder, file)
        try:
            write(path)
            formats[kind] = file
        except Exception as error:
            line = (str(error).splitlines() or [""])[0][:200]
            formats[kind] = {"not written": f"{type(error).__name__}: {line}"}
            print("NOT", name, kind, line)
            if os.path.exists(path):
                os.remove(path)
    KEEPER.keep(
        name,
        family,
        layers_of(model),
        formats,
        [weight.path for weight in model.weights],
        [np.asarray(weight) for weight in model.weights],
        inputs,
        outputs if isinstance(outputs, list) else [outputs],
        library_version=keras.__version__,
        **more,
    )


def core():
    model = Sequential([Input((5,)), L.Dense(4, activation="tanh", name="chosen")])
    model.add(L.BatchNormalization())
    model.add(L.Dense(6))
    model.add(L.Reshape((3, 2)))
    model.add(L.LayerNormalization())
    model.add(L.Flatten())
    model.add(L.LeakyReLU(negative_slope=0.2))
    model.add(L.Dense(2, activation="hard_sigmoid"))
    keep("dense", "core", model, [rand(3, 5)], sharded=True)
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
        model.add(layer(2, return_sequences=True, dropout=0.1))
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
    tower.layers[0].trainable = False
    first, second = Input((5,), name="first"), Input((5,), name="second")
    joined = L.add([tower(first), tower(second)])
    model = Model([first, second], [L.Dense(2, name="a")(joined), L.Dense(1, name="b")(joined)])
    keep("nested", "structure", model, [rand(2, 5), 2 * rand(2, 5)])
    query, value = Input((3, 4)), Input((5, 4))
    attended = [L.Attention(use_scale=True)([query, value])]
    attended.append(L.MultiHeadAttention(2, 3)(query, value))
    model = Model([query, value], L.Dense(2)(L.concatenate(attended)))
    keep("attention", "attention", model, [rand(2, 3, 4), rand(2, 5, 4)])
    first, second = Input((4,)), Input((4,))
    ops = keras.ops
    x = ops.relu(L.Dense(4)(first) + second * 2.0) - 0.1
    x = ops.reshape(L.Dense(6)(ops.concatenate([x, second], axis=1)), (-1, 3, 2))
    model = Model([first, second], L.Dense(2)(ops.mean(x, axis=1) + x[:, 0]))
    keep("operations", "operations", model, [rand(2, 4), 2 * rand(2, 4)])


def preprocessing():
    layer = L.Normalization()
    layer.adapt(rand(9, 4) * 3 + 1)
    model = Sequential([Input((4,)), layer, L.Rescaling(0.5, 1.0), L.Dense(2)])
    keep("normalization", "preprocessing", model, [rand(3, 4)], filled=True)


def lambdas():
    model = Sequential([Input((4,)), L.Dense(3)])
    model.add(L.Lambda(lambda x: x * 2, name="twice"))
    refused = "a Lambda layer (pass it as a custom object: x * 2)"
    keep("lambda", "lambda", model, [rand(2, 4)], refused=refused)


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
    for maker in (core, recurrent, structures, preprocessing, lambdas, optimizing):
        try:
            maker()
        except Exception as error:
            print("NOT", maker.__name__, type(error).__name__, str(error)[:300])
        keras.backend.clear_session()
    KEEPER.write()


main()
