"""Models of the Keras within TensorFlow 1.15, its SavedModels, and checkpoints by variables' names.

Python 3.6; numpy 1.16.6, scipy < 1.5, h5py 2.10.0, protobuf 3.19.6, tensorflow 1.15.5.

`export_saved_model` puts the configuration into `assets/saved_model.json`. The savers' checkpoints,
of the first and the second kind, hold the model and its optimizer by the names of variables.

    python tf1.py
"""

import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from keeping import Keeper, random_weights, trained
from tensorflow.keras import Input, Model, Sequential, optimizers
from tensorflow.keras import backend as K  # noqa: N812
from tensorflow.keras import layers as L  # noqa: N812

tf.compat.v1.logging.set_verbosity("ERROR")
KEEPER = Keeper("tf-" + tf.__version__, "tensorflow", "tensorflow")


def rand(*shape):
    return np.random.RandomState(sum(shape)).uniform(-1, 1, size=shape).astype("float32")


def ints(high, *shape):
    return np.random.RandomState(sum(shape)).randint(0, high, size=shape).astype("int32")


def fill(model, seed):
    names = [weight.name for weight in model.weights]
    shapes = [weight.shape.as_list() for weight in model.weights]
    model.set_weights(random_weights(names, shapes, seed))


def save_by_name(path, version):
    """All variables of the session, with a global step as estimators have it."""
    step = tf.compat.v1.train.get_or_create_global_step()
    session = K.get_session()
    session.run(step.assign(1234))
    saver = tf.compat.v1.train.Saver(write_version=version)
    saver.save(session, path[: -len("-1234")], global_step=step, write_meta_graph=False)


def keep(name, family, model, inputs, leave=(), filled=False, **more):
    if not filled:
        fill(model, sum(map(ord, name)))
    outputs = model.predict(inputs if len(inputs) > 1 else inputs[0])
    folder = KEEPER.place(name)
    os.makedirs(os.path.join(folder, "by_name"))
    os.makedirs(os.path.join(folder, "by_name_v1"))
    writers = {
        "h5": ("model.h5", model.save),
        "h5_weights": ("weights_only.h5", model.save_weights),
        "saved_model_1": (
            "saved_model",
            lambda path: tf.keras.experimental.export_saved_model(model, path),
        ),
        "saved_model": ("saved_model_2", lambda path: model.save(path, save_format="tf")),
        "checkpoint": ("checkpoint/ck", lambda path: model.save_weights(path, save_format="tf")),
        "name_checkpoint": ("by_name/model.ckpt-1234", lambda path: save_by_name(path, 2)),
        "name_checkpoint_v1": ("by_name_v1/model.ckpt-1234", lambda path: save_by_name(path, 1)),
    }
    formats = {}
    for kind, (file, write) in writers.items():
        if kind in leave:
            continue
        try:
            write(os.path.join(folder, file))
            formats[kind] = file
        except Exception as error:
            line = (str(error).splitlines() or [""])[0][:200]
            formats[kind] = {"not written": f"{type(error).__name__}: {line}"}
            print("NOT", name, kind, line)
            shutil.rmtree(os.path.join(folder, file), ignore_errors=True)
    KEEPER.keep(
        name,
        family,
        [type(layer).__name__ for layer in model.layers],
        formats,
        [weight.name for weight in model.weights],
        model.get_weights(),
        inputs,
        outputs if isinstance(outputs, list) else [outputs],
        library_version=tf.__version__,
        **more,
    )
    K.clear_session()


def dense():
    model = Sequential()
    model.add(L.Dense(4, input_shape=(5,), activation="tanh", kernel_regularizer="l2"))
    model.add(L.Dropout(0.5))
    model.add(L.BatchNormalization())
    model.add(L.Dense(3, use_bias=False))
    model.add(L.Activation("hard_sigmoid"))
    model.add(L.LeakyReLU(0.2))
    keep("dense", "core", model, [rand(3, 5)])


def convolutions():
    model = Sequential()
    model.add(L.Conv2D(3, (3, 2), input_shape=(7, 6, 2), activation="relu"))
    model.add(L.BatchNormalization())
    model.add(L.MaxPooling2D())
    model.add(L.SeparableConv2D(4, 2))
    model.add(L.DepthwiseConv2D(2, padding="same"))
    model.add(L.Flatten())
    model.add(L.Dense(2))
    keep("conv2d", "convolution", model, [rand(2, 7, 6, 2)], leave=("saved_model",))


def recurrent():
    for kind in ("LSTM", "GRU"):
        layer = getattr(L, kind)
        model = Sequential()
        model.add(L.Embedding(7, 3, mask_zero=True))
        model.add(layer(3, return_sequences=True))
        model.add(layer(2))
        model.add(L.Dense(2))
        x = ints(7, 2, 5)
        x[0, 3:] = 0
        keep(kind.lower(), "recurrent", model, [x], leave=("saved_model",))
        model = Sequential()
        model.add(L.Bidirectional(layer(3, return_sequences=True), input_shape=(4, 2)))
        model.add(L.TimeDistributed(L.Dense(2)))
        name = "bidirectional_" + kind.lower()
        keep(name, "recurrent", model, [rand(2, 4, 2)], leave=("saved_model",))


def structures():
    first, second = Input((4,), name="first"), Input((4,), name="second")
    shared = L.Dense(3, activation="tanh", name="shared")
    a, b = shared(first), shared(second)
    joined = L.concatenate([L.add([a, b]), L.multiply([a, b])])
    outputs = [L.Dense(2, name="a")(joined), L.Dense(1, name="b")(joined)]
    keep("functional", "structure", Model([first, second], outputs), [rand(3, 4), 2 * rand(3, 4)])
    x = Input((3,))
    inner = Model(x, L.BatchNormalization()(L.Dense(4, name="deep")(x)), name="inner")
    tower = Sequential([L.Dense(3, input_shape=(5,)), inner, L.Dense(2)], name="tower")
    tower.layers[0].trainable = False
    first, second = Input((5,)), Input((5,))
    model = Model([first, second], L.Dense(2)(L.add([tower(first), tower(second)])))
    keep("nested", "structure", model, [rand(2, 5), 2 * rand(2, 5)], leave=("saved_model",))


def optimizing():
    x, y = rand(8, 4), rand(8, 2)
    makers = {
        "sgd": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        "rmsprop": lambda: optimizers.RMSprop(0.01, rho=0.8),
        "adam": lambda: optimizers.Adam(0.02, beta_1=0.8),
    }

    def build(maker, epochs):
        model = Sequential([L.Dense(3, input_shape=(4,), activation="tanh"), L.Dense(2)])
        fill(model, 5)
        model.compile(maker(), "mse", metrics=["mae"])
        model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
        return model

    for name, maker in sorted(makers.items()):
        further = build(maker, 9)
        kind, after = type(further.optimizer).__name__, further.get_weights()
        config = {
            key: float(value) if hasattr(value, "dtype") else value
            for key, value in further.optimizer.get_config().items()
        }
        K.clear_session()
        training = trained(kind, config, x, y, after)
        leave = () if name == "adam" else ("saved_model", "saved_model_1")
        model = build(maker, 4)
        keep("trained_" + name, "trained", model, [rand(3, 4)], leave, True, training=training)


def main():
    np.random.seed(1)
    for maker in (dense, convolutions, recurrent, structures, optimizing):
        try:
            maker()
        except Exception as error:
            print("NOT", maker.__name__, type(error).__name__, str(error)[:300])
            K.clear_session()
    KEEPER.write()


main()
