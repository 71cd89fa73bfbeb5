"""Models of the Keras 2 that stood beside TensorFlow: 2.0.8 to 2.3.1.

Python 3.6; numpy 1.16.6, scipy < 1.5, h5py 2.10.0, protobuf 3.19.6, setuptools < 58, pyyaml, six,
keras_applications 1.0.8 and keras_preprocessing 1.1.2 (1.0.2 and 1.0.1 for 2.2.0), tensorflow
1.12.3 (1.15.5 for 2.3.1), and keras with --no-deps: 2.0.8, 2.1.6, 2.2.0, 2.2.4, 2.3.1. Run once
for each of these:

    python keras2.py
"""

import os

import keras
import keras.backend as K  # noqa: N812
import keras.layers as L  # noqa: N812
import numpy as np
import tensorflow as tf
from keeping import Keeper, random_weights, trained
from keras import optimizers
from keras.models import Model, Sequential
from keras.regularizers import l2

VERSION = tuple(int(part) for part in keras.__version__.split("."))
KEEPER = Keeper("keras-" + keras.__version__, "keras", K.backend())


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
    shapes = [value.shape for value in K.batch_get_value(model.weights)]
    K.batch_set_value(list(zip(model.weights, random_weights(names, shapes, seed))))  # noqa: B905


def keep(name, family, model, inputs, small=True, runner=None, **more):
    """Fills the weights, predicts, and keeps the whole file; the weights and the JSON if not small.

    `runner` makes the model that predicts out of the kept file, where this one cannot run.
    """
    if "training" not in more:
        fill(model, sum(map(ord, name)))
    folder = KEEPER.place(name)
    formats = {"h5": "model.h5"}
    model.save(os.path.join(folder, "model.h5"))
    if not small:
        model.save_weights(os.path.join(folder, "weights.h5"))
        with open(os.path.join(folder, "model.json"), "w") as file:
            file.write(model.to_json())
        formats.update({"h5_weights": "weights.h5", "json": "model.json"})
    running = runner(os.path.join(folder, "model.h5")) if runner else model
    outputs = running.predict(inputs, batch_size=len(inputs[0]))
    KEEPER.keep(
        name,
        family,
        layers_of(model),
        formats,
        [weight.name for weight in model.weights],
        K.batch_get_value(model.weights),
        inputs,
        outputs if isinstance(outputs, list) else [outputs],
        library_version=keras.__version__,
        **more,
    )


def dense():
    model = Sequential()
    model.add(L.Dense(4, input_shape=(5,), activation="tanh", kernel_regularizer=l2(0.01)))
    model.add(L.Dropout(0.5))
    model.add(L.BatchNormalization())
    model.add(L.Dense(3, use_bias=False, kernel_initializer="he_normal"))
    model.add(L.Activation("hard_sigmoid"))
    model.add(L.Reshape((3, 1)))
    model.add(L.Permute((2, 1)))
    model.add(L.Flatten())
    model.compile("sgd", "mse", metrics=["accuracy"])
    keep("dense", "core", model, [rand(3, 5)], small=False)


def activations():
    model = Sequential()
    model.add(L.PReLU(input_shape=(4, 3), shared_axes=[1]))
    model.add(L.LeakyReLU(0.2))
    model.add(L.ELU(0.7))
    model.add(L.ThresholdedReLU(0.1))
    model.add(L.Flatten())
    model.add(L.Dense(3, activation="selu"))
    keep("activations", "activations", model, [rand(2, 4, 3)])


def recurrent():
    for kind in ("LSTM", "GRU", "SimpleRNN"):
        layer = getattr(L, kind)
        model = Sequential()
        model.add(L.Embedding(7, 3, mask_zero=True))
        model.add(layer(4, return_sequences=True, dropout=0.1))
        model.add(L.Bidirectional(layer(3, return_sequences=True), merge_mode="sum"))
        model.add(layer(3, go_backwards=True, implementation=2))
        model.add(L.Dense(2))
        x = ints(7, 2, 5)
        x[0, 3:] = 0
        keep(kind.lower(), "recurrent", model, [x], small=kind != "LSTM")
    model = Sequential()
    model.add(L.Bidirectional(L.LSTM(3), input_shape=(4, 2)))
    model.add(L.RepeatVector(3))
    model.add(L.TimeDistributed(L.Dense(2)))
    model.add(L.GRU(2, recurrent_activation="sigmoid", return_sequences=True))
    keep("bidirectional", "recurrent", model, [rand(2, 4, 2)])
    model = Sequential()
    model.add(L.Masking(0.5, batch_input_shape=(2, 4, 2)))
    model.add(L.LSTM(2, unroll=True, unit_forget_bias=False, stateful=True))
    x = rand(2, 4, 2)
    x[1, 2:] = 0.5
    keep("unrolled", "recurrent", model, [x])
    model = Sequential()
    model.add(L.ConvLSTM2D(2, (2, 2), input_shape=(3, 4, 4, 2), padding="same"))
    keep("conv_lstm", "recurrent", model, [rand(2, 3, 4, 4, 2)])
    if VERSION >= (2, 1):
        sequence = L.Input((4, 3))
        model = Sequential()
        model.add(L.RNN([L.LSTMCell(3), L.GRUCell(2)], input_shape=(4, 3)))
        keep("stacked_cells", "recurrent", model, [rand(2, 4, 3)])
        encoded, state_h, state_c = L.LSTM(3, return_state=True)(sequence)
        decoded = L.LSTM(3, return_sequences=True)(sequence, initial_state=[state_h, state_c])
        keep("initial_state", "recurrent", Model(sequence, [encoded, decoded]), [rand(2, 4, 3)])
        model = Sequential()
        model.add(L.GRU(3, input_shape=(4, 2), reset_after=True, return_sequences=True))
        model.add(L.GRU(2, reset_after=False))
        keep("gru_reset_after", "recurrent", model, [rand(2, 4, 2)])


def cudnn():
    if VERSION < (2, 2):  # only later ones can turn such weights into a plain layer's
        return
    # The operations have no kernel on a CPU: let TensorFlow not look for one in what is not run.
    pruned = tf.GraphOptions(place_pruned_graph=True)
    K.set_session(tf.Session(config=tf.ConfigProto(graph_options=pruned)))
    for kind in ("LSTM", "GRU"):
        model = Sequential()
        model.add(getattr(L, "CuDNN" + kind)(3, input_shape=(4, 2), return_sequences=True))
        model.add(getattr(L, "CuDNN" + kind)(2, name="last"))

        def as_plain(path, kind=kind):
            more = {"recurrent_activation": "sigmoid"}
            if kind == "GRU":
                more["reset_after"] = True
            running = Sequential()
            running.add(getattr(L, kind)(3, input_shape=(4, 2), return_sequences=True, **more))
            running.add(getattr(L, kind)(2, **more))
            running.load_weights(path)
            return running

        keep("cudnn_" + kind.lower(), "recurrent", model, [rand(2, 4, 2)], runner=as_plain)
        sides = Sequential()
        layer = getattr(L, "CuDNN" + kind)(3)
        sides.add(L.Bidirectional(layer, input_shape=(4, 2)))

        def both(path, kind=kind):
            more = {"recurrent_activation": "sigmoid"}
            if kind == "GRU":
                more["reset_after"] = True
            running = Sequential()
            running.add(L.Bidirectional(getattr(L, kind)(3, **more), input_shape=(4, 2)))
            running.load_weights(path)
            return running

        name = "cudnn_bidirectional_" + kind.lower()
        keep(name, "recurrent", sides, [rand(2, 4, 2)], runner=both)


def convolutions():
    for order in ("channels_last", "channels_first"):
        x = rand(2, 7, 6, 2) if order == "channels_last" else rand(2, 2, 7, 6)
        axis = -1 if order == "channels_last" else 1
        model = Sequential()
        model.add(L.Conv2D(3, (3, 2), data_format=order, input_shape=x.shape[1:]))
        model.add(L.BatchNormalization(axis=axis))
        model.add(L.MaxPooling2D(data_format=order))
        model.add(L.ZeroPadding2D(((1, 0), (2, 1)), data_format=order))
        model.add(L.Conv2DTranspose(2, 2, strides=2, data_format=order))
        model.add(L.Cropping2D(1, data_format=order))
        model.add(L.AveragePooling2D(2, padding="same", data_format=order))
        model.add(L.UpSampling2D((1, 2), data_format=order))
        model.add(L.Conv2D(2, 2, dilation_rate=2, padding="same", data_format=order))
        model.add(L.Flatten())
        model.add(L.Dense(2))
        keep("conv2d_" + order, "convolution", model, [x])
    model = Sequential()
    model.add(L.SeparableConv2D(5, 2, depth_multiplier=2, input_shape=(6, 5, 2)))
    model.add(L.LocallyConnected2D(2, (2, 3)))
    if VERSION >= (2, 2):
        model.add(L.DepthwiseConv2D(2, depth_multiplier=2, padding="same"))
    model.add(L.GlobalAveragePooling2D())
    keep("separable2d", "convolution", model, [rand(2, 6, 5, 2)])
    model = Sequential()
    model.add(L.Embedding(9, 3, input_length=10))
    model.add(L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu"))
    model.add(L.SpatialDropout1D(0.2))
    model.add(L.MaxPooling1D(2))
    if VERSION >= (2, 1):
        model.add(L.SeparableConv1D(6, 2, padding="same"))
    model.add(L.LocallyConnected1D(2, 2))
    model.add(L.GlobalMaxPooling1D())
    keep("conv1d", "convolution", model, [ints(9, 2, 10)])
    model = Sequential()
    model.add(L.Conv3D(2, (2, 3, 2), input_shape=(4, 5, 4, 2)))
    model.add(L.MaxPooling3D((1, 2, 1)))
    if VERSION >= (2, 1):
        model.add(L.Conv3DTranspose(2, 2))
    model.add(L.UpSampling3D((2, 1, 1)))
    model.add(L.GlobalAveragePooling3D())
    keep("conv3d", "convolution", model, [rand(2, 4, 5, 4, 2)])


def structures():
    first, second = L.Input((4,), name="first"), L.Input((4,), name="second")
    shared = L.Dense(3, activation="tanh", name="shared")
    a, b = shared(first), shared(second)
    kinds = ("add", "multiply", "average", "maximum", "concatenate")
    merged = [getattr(L, kind)([a, b]) for kind in kinds]
    if VERSION >= (2, 1):
        merged.append(L.subtract([a, b]))
    merged.append(L.dot([a, b], axes=1, normalize=True))
    joined = L.concatenate(merged)
    outputs = [L.Dense(2, name="a")(joined), L.Dense(1, name="b")(joined)]
    model = Model([first, second], outputs)
    model.compile("adam", {"a": "mse", "b": "mae"}, loss_weights={"a": 0.5, "b": 2.0})
    keep("functional", "structure", model, [rand(3, 4), 2 * rand(3, 4)], small=False)
    keep("nested", "structure", nested(), [rand(2, 5), 2 * rand(2, 5)])
    x = L.Input((3, 5))
    per_step = Sequential([L.Dense(3, input_shape=(5,)), L.BatchNormalization()])
    model = Model(x, L.TimeDistributed(per_step)(x))
    keep("time_distributed_model", "structure", model, [rand(2, 3, 5)])


def nested():
    x = L.Input((3,))
    inner = Model(x, L.BatchNormalization()(L.Dense(4, name="deep")(x)), name="inner")
    tower = Sequential(name="tower")
    tower.add(L.Dense(3, input_shape=(5,)))
    tower.add(inner)
    tower.add(L.Dense(2))
    tower.layers[0].trainable = False
    inner.layers[1].trainable = False
    first, second = L.Input((5,)), L.Input((5,))
    return Model([first, second], L.Dense(2)(L.add([tower(first), tower(second)])))


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
        "sgd": lambda: optimizers.SGD(lr=0.05, momentum=0.9, nesterov=True, decay=0.01),
        "rmsprop": lambda: optimizers.RMSprop(lr=0.01, rho=0.8),
        "adagrad": lambda: optimizers.Adagrad(lr=0.05),
        "adadelta": lambda: optimizers.Adadelta(lr=0.9),
        "adam": lambda: optimizers.Adam(lr=0.02, beta_1=0.8, decay=0.1),
        "adamax": lambda: optimizers.Adamax(lr=0.02),
        "nadam": lambda: optimizers.Nadam(lr=0.02),
    }
    if VERSION >= (2, 1):
        makers["amsgrad"] = lambda: optimizers.Adam(lr=0.02, amsgrad=True)
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
        after = K.batch_get_value(further.weights)
        training = trained(type(further.optimizer).__name__, config, x, y, after)
        keep("trained_" + name, "trained", build(), [rand(3, 4)], training=training)


def main():
    np.random.seed(1)
    makers = [
        dense, activations, recurrent, cudnn, convolutions, structures, lambdas, optimizing,
    ]  # fmt: skip
    for maker in makers:
        try:
            maker()
        except Exception as error:
            print("NOT", maker.__name__, type(error).__name__, str(error)[:300])
        K.clear_session()
    KEEPER.write()


main()
