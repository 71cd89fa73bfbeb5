"""Models of the Keras within TensorFlow 2.0 to 2.8: HDF5, SavedModels and checkpoints.

Run once for each of these:

* Python 3.7: tensorflow 2.0.4, and tensorflow-cpu 2.2.3; both with protobuf < 3.21, h5py < 3
* Python 3.8: tensorflow-cpu 2.4.4, 2.6.5 (with keras 2.6.0), 2.8.4; all with protobuf < 3.21

SavedModels of TensorFlow 2.0 to 2.4 hold the layers' metadata in `saved_model.pb`, the later ones
in `keras_metadata.pb`.

    python tf2.py
"""

import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from keeping import Keeper, random_weights, trained
from tensorflow.keras import Input, Model, Sequential, optimizers
from tensorflow.keras import layers as L  # noqa: N812

VERSION = tuple(int(part) for part in tf.__version__.split(".")[:2])
KEEPER = Keeper("tf-" + tf.__version__, "tensorflow", "tensorflow")


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


def keep(name, family, model, inputs, traces=False, leave=(), filled=False, **more):
    """Fills the weights, predicts, and keeps the model in every format but those in `leave`."""
    if not filled:
        fill(model, sum(map(ord, name)))
    outputs = model.predict(inputs if len(inputs) > 1 else inputs[0])
    folder = KEEPER.place(name)
    formats = {}
    small = ("dense", "lstm", "gru", "functional", "nested", "operations", "trained_adam")
    if VERSION == (2, 2) and name not in small:
        leave = (*leave, "saved_model")  # it cannot leave the traces out, and 2.0 wrote the same
    if VERSION == (2, 0) and name in ("cells", "initial_state", "conv_lstm", "attention"):
        leave = (*leave, "saved_model")
    traces = traces or VERSION < (2, 4)
    arguments = {} if traces else {"save_traces": False}
    writers = {
        "h5": ("model.h5", lambda path: model.save(path, save_format="h5")),
        "saved_model": (
            "saved_model",
            lambda path: model.save(path, save_format="tf", **arguments),
        ),
        "checkpoint": ("checkpoint/ck", lambda path: model.save_weights(path, save_format="tf")),
    }
    if "h5" not in leave:
        writers["h5_weights"] = ("weights_only.h5", model.save_weights)
    for kind, (file, write) in writers.items():
        if kind in leave:
            continue
        try:
            write(os.path.join(folder, file))
            formats[kind] = file
        except Exception as error:
            line = (str(error).splitlines() or [""])[0][:200]
            formats[kind] = {"not written": f"{type(error).__name__}: {line}"}
            print("NOT", kind, line)
            shutil.rmtree(os.path.join(folder, file), ignore_errors=True)
    KEEPER.keep(
        name,
        family,
        layers_of(model),
        formats,
        [weight.name for weight in model.weights],
        model.get_weights(),
        inputs,
        outputs if isinstance(outputs, list) else [outputs],
        library_version=tf.__version__,
        saved_model_traces=traces,
        **more,
    )


def dense():
    model = Sequential()
    model.add(L.Dense(4, input_shape=(5,), activation="tanh", kernel_regularizer="l2"))
    model.add(L.Dropout(0.5))
    model.add(L.BatchNormalization())
    model.add(L.Dense(6, use_bias=False))
    model.add(L.Activation("hard_sigmoid"))
    model.add(L.Reshape((3, 2)))
    model.add(L.LayerNormalization())
    model.add(L.Flatten())
    model.add(L.LeakyReLU(0.2))
    model.add(L.PReLU())
    model.add(L.ThresholdedReLU(0.1))
    keep("dense", "core", model, [rand(3, 5)], traces=True)


def no_input_shape():
    model = Sequential([L.Dense(3, activation="relu"), L.Dense(2)])
    model.build((None, 4))
    keep("no_input_shape", "core", model, [rand(3, 4)])


def convolutions():
    model = Sequential()
    model.add(L.Conv2D(3, (3, 2), input_shape=(7, 6, 2), activation="relu"))
    model.add(L.BatchNormalization())
    model.add(L.MaxPooling2D())
    model.add(L.Conv2DTranspose(2, 2, strides=2))
    model.add(L.SeparableConv2D(5, 2, depth_multiplier=2))
    model.add(L.DepthwiseConv2D(2, padding="same"))
    model.add(L.UpSampling2D((1, 2)))
    model.add(L.ZeroPadding2D(1))
    model.add(L.LocallyConnected2D(2, 3))
    model.add(L.GlobalAveragePooling2D())
    keep("conv2d", "convolution", model, [rand(2, 7, 6, 2)])
    model = Sequential()
    model.add(L.Embedding(9, 3, input_length=10))
    model.add(L.Conv1D(4, 3, padding="causal", dilation_rate=2))
    model.add(L.MaxPooling1D(2))
    model.add(L.SeparableConv1D(4, 2))
    model.add(L.GlobalMaxPooling1D())
    keep("conv1d", "convolution", model, [ints(9, 2, 10)], leave=("saved_model",))


def recurrent():
    for kind in ("LSTM", "GRU"):
        layer = getattr(L, kind)
        model = Sequential()
        model.add(L.Embedding(7, 3, mask_zero=True))
        model.add(layer(3))
        model.add(L.Dense(2))
        x = ints(7, 2, 5)
        x[0, 3:] = 0
        keep(kind.lower(), "recurrent", model, [x], traces=kind == "LSTM", tolerance=1e-4)
        model = Sequential()
        slow = layer(3, return_sequences=True, recurrent_activation="hard_sigmoid")
        model.add(L.Bidirectional(slow, input_shape=(4, 2)))
        model.add(L.TimeDistributed(L.Dense(3)))
        model.add(L.Bidirectional(layer(2), merge_mode="sum"))
        name = "bidirectional_" + kind.lower()
        keep(name, "recurrent", model, [rand(2, 4, 2)], tolerance=1e-4)
    model = Sequential()
    model.add(L.GRU(3, reset_after=False, return_sequences=True, input_shape=(4, 2)))
    model.add(L.SimpleRNN(3, return_sequences=True))
    model.add(L.RNN([L.LSTMCell(3), L.GRUCell(2)]))
    keep("cells", "recurrent", model, [rand(2, 4, 2)], tolerance=1e-4)
    x = Input((4, 3))
    encoded, state_h, state_c = L.LSTM(3, return_state=True)(x)
    decoded = L.LSTM(3, return_sequences=True)(x, initial_state=[state_h, state_c])
    model = Model(x, [encoded, decoded])
    keep("initial_state", "recurrent", model, [rand(2, 4, 3)], tolerance=1e-4)
    model = Sequential()
    model.add(L.ConvLSTM2D(2, (2, 2), input_shape=(3, 4, 4, 2), padding="same"))
    keep("conv_lstm", "recurrent", model, [rand(2, 3, 4, 4, 2)], tolerance=1e-4)


def structures():
    first, second = Input((4,), name="first"), Input((4,), name="second")
    shared = L.Dense(3, activation="tanh", name="shared")
    a, b = shared(first), shared(second)
    kinds = ("add", "multiply", "average", "maximum", "subtract", "concatenate")
    joined = L.concatenate([getattr(L, kind)([a, b]) for kind in kinds])
    outputs = [L.Dense(2, name="a")(joined), L.Dense(1, name="b")(joined)]
    model = Model([first, second], outputs)
    model.compile("adam", {"a": "mse", "b": "mae"}, loss_weights={"a": 0.5, "b": 2.0})
    keep("functional", "structure", model, [rand(3, 4), 2 * rand(3, 4)])
    keep("nested", "structure", nested(), [rand(2, 5), 2 * rand(2, 5)])
    query, value = Input((3, 4)), Input((5, 4))
    attended = [L.Attention(use_scale=True)([query, value]), L.AdditiveAttention()([query, value])]
    if VERSION >= (2, 4):
        attended.append(L.MultiHeadAttention(2, 3, value_dim=2)(query, value))
    model = Model([query, value], L.Dense(2)(L.concatenate(attended)))
    keep("attention", "attention", model, [rand(2, 3, 4), rand(2, 5, 4)])
    x = Input((3, 5))
    per_step = Sequential([L.Dense(3, input_shape=(5,)), L.BatchNormalization()])
    model = Model(x, L.TimeDistributed(per_step)(x))
    keep("time_distributed_model", "structure", model, [rand(2, 3, 5)])


def nested():
    x = Input((3,))
    inner = Model(x, L.BatchNormalization()(L.Dense(4, name="deep")(x)), name="inner")
    tower = Sequential(name="tower")
    tower.add(L.Dense(3, input_shape=(5,)))
    tower.add(inner)
    tower.add(L.Dense(2))
    tower.layers[0].trainable = False
    inner.layers[1].trainable = False
    first, second = Input((5,)), Input((5,))
    return Model([first, second], L.Dense(2)(L.add([tower(first), tower(second)])))


def operations():
    """TensorFlow's functions called on Keras tensors: TensorFlowOpLayer, then TFOpLambda."""
    first, second = Input((4,)), Input((4,))
    x = L.Dense(4)(first) + second * 2.0
    x = tf.nn.relu(x) - 0.1
    x = tf.concat([x, tf.reshape(second, (-1, 4))], axis=1)
    x = L.Dense(6)(x)
    x = tf.reshape(x, (-1, 3, 2))
    mean = tf.reduce_mean(x, axis=1)
    largest = tf.reduce_max(x, axis=2)
    out = tf.concat([mean, largest, tf.tanh(x[:, 0])], axis=-1)
    out = tf.math.sqrt(tf.abs(out) + 1.0) / tf.expand_dims(tf.reduce_sum(tf.square(mean), 1), 1)
    model = Model([first, second], L.Dense(2)(out))
    keep("operations", "operations", model, [rand(2, 4), 2 * rand(2, 4)], traces=True)


def normalizing():
    if VERSION < (2, 6):
        return
    layer = L.Normalization()
    layer.adapt(rand(9, 4) * 3 + 1)
    model = Sequential([Input((4,)), layer, L.Rescaling(0.5, 1.0), L.Dense(2)])
    values = model.get_weights()
    kernel = random_weights(["k", "b"], [(4, 2), (2,)], 3)
    model.set_weights(values[:-2] + kernel)
    keep("normalization", "preprocessing", model, [rand(3, 4)], filled=True)


def lambdas():
    model = Sequential([L.Dense(3, input_shape=(4,))])
    model.add(L.Lambda(lambda x: x * 2, name="twice"))
    refused = "a Lambda layer (pass it as a custom object: x * 2)"
    keep("lambda", "lambda", model, [rand(2, 4)], refused=refused)


def plain(config):
    return {
        key: float(value) if hasattr(value, "dtype") else value for key, value in config.items()
    }


def optimizing():
    x, y = rand(8, 4), rand(8, 2)
    makers = {
        "sgd": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        "rmsprop": lambda: optimizers.RMSprop(0.01, rho=0.8, momentum=0.5, centered=True),
        "adam": lambda: optimizers.Adam(0.02, beta_1=0.8),
        "amsgrad": lambda: optimizers.Adam(0.02, amsgrad=True),
        "nadam": lambda: optimizers.Nadam(0.02),
    }
    for name, maker in sorted(makers.items()):

        def build():
            model = Sequential([L.Dense(3, input_shape=(4,), activation="tanh"), L.Dense(2)])
            fill(model, 5)
            model.compile(maker(), "mse", metrics=["mae"])  # noqa: B023
            model.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0)
            return model

        further = build()
        further.fit(x, y, batch_size=8, epochs=5, shuffle=False, verbose=0)
        config = plain(further.optimizer.get_config())
        kind = type(further.optimizer).__name__
        training = trained(kind, config, x, y, further.get_weights())
        leave = () if name in ("adam", "sgd") else ("saved_model",)
        keep(
            "trained_" + name,
            "trained",
            build(),
            [rand(3, 4)],
            filled=True,
            training=training,
            leave=leave,
        )


def main():
    np.random.seed(1)
    makers = [
        dense, no_input_shape, convolutions, recurrent, structures, operations, normalizing,
        lambdas, optimizing,
    ]  # fmt: skip
    for maker in makers:
        try:
            maker()
        except Exception as error:
            print("NOT", maker.__name__, type(error).__name__, str(error)[:300])
        tf.keras.backend.clear_session()
    KEEPER.write()


main()
