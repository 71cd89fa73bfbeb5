"""Models of Keras 1.2.2, on TensorFlow and on Theano, with the kernels in both orders of axes.

Python 3.6; numpy 1.13.3, scipy 1.0.1, h5py 2.10.0, protobuf 3.19.6, setuptools < 58, pyyaml, six,
tensorflow 1.2.1, theano 1.0.5, and keras 1.2.2 with --no-deps. Run once for each backend:

    KERAS_BACKEND=tensorflow python keras1.py
    KERAS_BACKEND=theano python keras1.py

Theano compiles C and some of it wants a BLAS: `THEANO_FLAGS=blas.ldflags=...` names one.
"""

import os
import sys

import keras
import keras.backend as K  # noqa: N812
import keras.layers as L  # noqa: N812
import numpy as np
from keeping import Keeper, random_weights, trained
from keras import optimizers
from keras.constraints import maxnorm
from keras.models import Model, Sequential
from keras.regularizers import l1l2, l2

BACKEND = K.backend()
if BACKEND == "theano":
    import theano.ifelse  # noqa: F401 - Keras uses it without importing it
KEEPER = Keeper(f"keras-{keras.__version__}-{BACKEND}", "keras", BACKEND)


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


def keep(name, family, model, inputs, small=False, **more):
    """Fills the weights, predicts, and keeps the whole file, the weights alone and the JSON."""
    seed = sum(map(ord, name))
    names = [weight.name for weight in model.weights]
    shapes = [value.shape for value in K.batch_get_value(model.weights)]
    if "training" not in more:
        K.batch_set_value(
            list(zip(model.weights, random_weights(names, shapes, seed)))  # noqa: B905
        )
    values = K.batch_get_value(model.weights)
    outputs = model.predict(inputs, batch_size=len(inputs[0]))
    if not isinstance(outputs, list):
        outputs = [outputs]
    folder = KEEPER.place(name)
    formats = {"h5": "model.h5"}
    model.save(os.path.join(folder, "model.h5"))
    if not small:
        model.save_weights(os.path.join(folder, "weights.h5"))
        with open(os.path.join(folder, "model.json"), "w") as file:
            file.write(model.to_json())
        formats.update({"h5_weights": "weights.h5", "json": "model.json"})
    KEEPER.keep(
        name,
        family,
        layers_of(model),
        formats,
        names,
        values,
        inputs,
        outputs,
        library_version=keras.__version__,
        dim_ordering=K.image_dim_ordering(),
        **more,
    )


# --- plain layers ---


def dense():
    model = Sequential()
    model.add(L.Dense(4, input_dim=5, activation="tanh", W_regularizer=l2(0.01)))
    model.add(L.Dropout(0.5))
    model.add(L.Dense(3, bias=False, init="he_normal", W_constraint=maxnorm(2)))
    model.add(L.Activation("hard_sigmoid"))
    model.add(L.Dense(2, activation="softmax", b_regularizer=l1l2(0.1, 0.2)))
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    keep("dense", "core", model, [rand(3, 5)])


def shapes():
    model = Sequential()
    model.add(L.Reshape((2, 6), input_shape=(12,)))
    model.add(L.Permute((2, 1)))
    model.add(L.Flatten())
    model.add(L.Dense(3))
    model.add(L.RepeatVector(2))
    model.add(L.ActivityRegularization(l1=0.1, l2=0.2))
    keep("shapes", "core", model, [rand(2, 12)], small=True)


def activations():
    model = Sequential()
    model.add(L.PReLU(input_shape=(4, 3), shared_axes=[1]))
    model.add(L.ELU(alpha=0.7))
    model.add(L.LeakyReLU(alpha=0.2))
    model.add(L.ThresholdedReLU(theta=0.1))
    model.add(L.PReLU())
    keep("activations", "activations", model, [rand(3, 4, 3)])
    model = Sequential()
    model.add(L.ParametricSoftplus(alpha_init=0.3, beta_init=4.0, input_shape=(4,)))
    model.add(L.SReLU())
    keep("srelu", "activations", model, [rand(3, 4)], small=True)
    names = ["relu", "sigmoid", "hard_sigmoid", "tanh", "softplus", "softsign", "linear", "softmax"]
    model = Sequential([L.Dense(5, input_dim=4)])
    for activation in names:
        model.add(L.Activation(activation))
    keep("activation_names", "activations", model, [3 * rand(3, 4)], small=True)


def highway():
    model = Sequential()
    model.add(L.Highway(input_dim=4, activation="relu"))
    model.add(L.MaxoutDense(3, nb_feature=2))
    keep("highway_maxout", "core", model, [rand(3, 4)])


def noise():
    model = Sequential()
    model.add(L.GaussianNoise(0.3, input_shape=(4, 5)))
    model.add(L.GaussianDropout(0.3))
    model.add(L.SpatialDropout1D(0.3))
    model.add(L.Dropout(0.2))
    model.add(L.Flatten())
    model.add(L.Dense(2))
    keep("noise", "regularization", model, [rand(2, 4, 5)], small=True)


def batchnorm():
    model = Sequential()
    model.add(L.Dense(4, input_dim=5))
    model.add(L.BatchNormalization(epsilon=0.002, momentum=0.9))
    model.add(L.Dense(2))
    keep("batchnorm", "normalization", model, [rand(3, 5)])
    for mode in (1, 2):
        model = Sequential()
        model.add(L.BatchNormalization(mode=mode, input_shape=(4,)))
        model.add(L.Dense(2))
        reason = f"BatchNormalization mode {mode} has no Keras 3 layer"
        keep(
            f"batchnorm_mode{mode}",
            "normalization",
            model,
            [rand(3, 4)],
            small=True,
            refused=reason,
        )


def local():
    model = Sequential()
    model.add(L.LocallyConnected1D(3, 2, input_shape=(6, 2), activation="tanh"))
    model.add(L.LocallyConnected1D(2, 2, bias=False))
    keep("local1d", "local", model, [rand(2, 6, 2)])


# --- convolutions ---


def image(rows, columns, channels, batch=2):
    """A random image shape, and data, in today's order of axes."""
    if K.image_dim_ordering() == "th":
        return rand(batch, channels, rows, columns)
    return rand(batch, rows, columns, channels)


def conv1d():
    model = Sequential()
    model.add(L.ZeroPadding1D(2, input_shape=(9, 2)))
    model.add(L.Convolution1D(3, 3, border_mode="valid", activation="relu"))
    model.add(L.MaxPooling1D(2))
    model.add(L.UpSampling1D(3))
    model.add(L.Convolution1D(2, 2, subsample_length=2, border_mode="same", bias=False))
    model.add(L.Cropping1D((1, 1)))
    model.add(L.AveragePooling1D(pool_length=2, stride=1))
    keep("conv1d", "convolution", model, [rand(2, 9, 2)])
    model = Sequential()
    model.add(L.AtrousConvolution1D(3, 2, atrous_rate=2, input_shape=(9, 2)))
    model.add(L.GlobalMaxPooling1D())
    keep("atrous1d", "convolution", model, [rand(2, 9, 2)], small=True)


def conv2d(order):
    x = image(8, 7, 2)
    model = Sequential()
    model.add(L.Convolution2D(3, 3, 2, input_shape=x.shape[1:], activation="relu"))
    model.add(L.MaxPooling2D((2, 2)))
    model.add(L.Convolution2D(2, 2, 2, subsample=(1, 2), border_mode="same", W_regularizer=l2(0.1)))
    model.add(L.Flatten())
    model.add(L.Dense(2, activation="softmax"))
    model.compile("adadelta", "categorical_crossentropy")
    keep("conv2d_" + order, "convolution", model, [x])
    x = image(6, 6, 2)
    model = Sequential()
    model.add(L.ZeroPadding2D((1, 2), input_shape=x.shape[1:]))
    model.add(L.AtrousConvolution2D(2, 2, 2, atrous_rate=(2, 2)))
    model.add(L.UpSampling2D((2, 1)))
    model.add(L.Cropping2D(((1, 0), (0, 1))))
    model.add(L.AveragePooling2D((2, 2), strides=(1, 1), border_mode="valid"))
    model.add(L.SpatialDropout2D(0.2))
    model.add(L.GlobalAveragePooling2D())
    keep("image_layers_" + order, "convolution", model, [x], small=True)
    model = Sequential()
    model.add(
        L.Deconvolution2D(3, 3, 2, output_shape=deconvolved(x, 8, 7, 3), input_shape=x.shape[1:])
    )
    model.add(
        L.Deconvolution2D(
            2,
            2,
            2,
            output_shape=deconvolved(x, 16, 14, 2),
            subsample=(2, 2),
            border_mode="valid",
        )
    )
    keep("deconv2d_" + order, "convolution", model, [x])
    x = image(6, 5, 3)
    axis = 1 if order == "th" else -1
    model = Sequential()
    model.add(L.Convolution2D(2, 2, 2, input_shape=x.shape[1:], border_mode="same"))
    model.add(L.BatchNormalization(axis=axis))
    model.add(L.PReLU())
    model.add(L.LocallyConnected2D(2, 3, 2))
    keep("local2d_bn_" + order, "local", model, [x])
    if BACKEND == "tensorflow":
        x = image(6, 5, 2)
        model = Sequential()
        model.add(L.SeparableConvolution2D(5, 2, 2, depth_multiplier=2, input_shape=x.shape[1:]))
        model.add(L.SeparableConvolution2D(6, 2, 2, border_mode="same", bias=False))
        keep("separable2d_" + order, "convolution", model, [x])


def deconvolved(x, rows, columns, channels):
    shape = (
        (channels, rows, columns) if K.image_dim_ordering() == "th" else (rows, columns, channels)
    )
    return (len(x), *shape)


def conv3d(order):
    x = rand(2, 2, 5, 6, 4) if order == "th" else rand(2, 5, 6, 4, 2)
    model = Sequential()
    model.add(L.Convolution3D(3, 2, 3, 2, input_shape=x.shape[1:], activation="tanh"))
    model.add(L.MaxPooling3D((2, 2, 1)))
    model.add(L.UpSampling3D((1, 2, 2)))
    model.add(L.ZeroPadding3D((1, 0, 1)))
    model.add(L.Cropping3D(((1, 0), (0, 1), (1, 1))))
    model.add(L.AveragePooling3D((1, 2, 2)))
    model.add(L.Convolution3D(2, 1, 1, 2, border_mode="same", subsample=(1, 1, 2)))
    model.add(L.GlobalMaxPooling3D())
    keep("conv3d_" + order, "convolution", model, [x])


def conv_lstm(order):
    x = np.stack([image(5, 4, 2), image(5, 4, 2) * 0.5, image(5, 4, 2) ** 2], 1)
    model = Sequential()
    model.add(
        L.ConvLSTM2D(3, 2, 2, input_shape=x.shape[1:], border_mode="same", return_sequences=True)
    )
    model.add(L.TimeDistributed(L.Convolution2D(2, 2, 2)))
    model.add(L.TimeDistributed(L.Flatten()))
    model.add(L.LSTM(2))
    keep("conv_lstm_" + order, "recurrent", model, [x], tolerance=1e-4)


# --- recurrent layers ---


def recurrent():
    for consume in ("cpu", "mem", "gpu"):
        for kind in ("LSTM", "GRU", "SimpleRNN"):
            if consume == "mem" and kind != "LSTM":
                continue
            layer = getattr(L, kind)
            model = Sequential()
            model.add(L.Embedding(7, 3, input_length=5))
            model.add(layer(4, return_sequences=True, consume_less=consume))
            model.add(layer(3, consume_less=consume, dropout_W=0.2, dropout_U=0.1))
            model.add(L.Dense(2))
            name = f"{kind.lower()}_{consume}"
            keep(name, "recurrent", model, [ints(7, 2, 5)], small=consume != "cpu")
    model = Sequential()
    model.add(L.Embedding(7, 3, mask_zero=True))
    model.add(L.LSTM(4, inner_activation="sigmoid", return_sequences=True))
    model.add(L.GRU(3, activation="relu", inner_activation="sigmoid", go_backwards=True))
    keep("masked", "recurrent", model, [np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]], "int32")])
    model = Sequential()
    model.add(L.Masking(0.0, input_shape=(4, 3)))
    model.add(L.LSTM(3, unroll=True, forget_bias_init="zero"))
    x = rand(2, 4, 3)
    x[0, 2:] = 0
    keep("masking_unrolled", "recurrent", model, [x], small=True)
    model = Sequential()
    model.add(L.GRU(3, batch_input_shape=(2, 4, 3), stateful=True))
    keep("stateful", "recurrent", model, [rand(2, 4, 3)], small=True)


def wrappers():
    for mode in ("concat", "sum", "mul", "ave"):
        model = Sequential()
        model.add(
            L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode=mode, input_shape=(5, 4))
        )
        model.add(L.Bidirectional(L.GRU(2), merge_mode=mode))
        keep("bidirectional_" + mode, "wrappers", model, [rand(2, 5, 4)], small=mode != "concat")
    model = Sequential()
    model.add(L.TimeDistributed(L.Dense(3, activation="tanh"), input_shape=(4, 5)))
    model.add(L.TimeDistributedDense(2))
    inner = Sequential([L.Dense(3, input_dim=2), L.Dense(2)])
    model.add(L.TimeDistributed(inner))
    keep("time_distributed", "wrappers", model, [rand(2, 4, 5)])


# --- structures ---


def merge_sequential():
    left = Sequential([L.Dense(3, input_dim=4)])
    right = Sequential([L.Dense(3, input_dim=5)])
    for mode in ("concat", "sum"):
        model = Sequential()
        model.add(L.Merge([left, right], mode=mode))
        model.add(L.Dense(2))
        keep(
            "merge_sequential_" + mode,
            "merge",
            model,
            [rand(2, 4), rand(2, 5)],
            small=mode == "sum",
        )


def merge_functional():
    first, second = L.Input((3, 4)), L.Input((3, 4))
    a, b = L.Dense(4)(L.Flatten()(first)), L.Dense(4)(L.Flatten()(second))
    outputs = [L.merge([a, b], mode=mode) for mode in ("sum", "mul", "ave", "max", "concat")]
    outputs.append(L.merge([first, second], mode="concat", concat_axis=1))
    outputs.append(L.merge([first, second], mode="dot", dot_axes=2))
    model = Model([first, second], outputs)
    keep("merge_functional", "merge", model, [rand(2, 3, 4), 2 * rand(2, 3, 4)])
    a, b = L.Input((4,)), L.Input((4,))
    outputs = [
        L.merge([a, b], mode="dot", dot_axes=1),
        L.merge([a, b], mode="cos", dot_axes=1),
    ]
    keep(
        "merge_dot_cos", "merge", Model([a, b], outputs), [rand(3, 4), rand(3, 4)[::-1]], small=True
    )
    model = Model([a, b], L.merge([a, b], mode=lambda x: x[0] - x[1], output_shape=lambda s: s[0]))
    keep(
        "merge_lambda",
        "merge",
        model,
        [rand(2, 4), 2 * rand(2, 4)],
        small=True,
        refused="a Merge layer whose mode is Python bytecode",
    )


def functional():
    first, second = L.Input((4,), name="first"), L.Input((4,), name="second")
    shared = L.Dense(3, activation="tanh", name="shared")
    joined = L.merge([shared(first), shared(second)], mode="concat", name="joined")
    joined = L.merge([L.Dense(6, name="mid")(joined), joined], mode="sum")
    model = Model([first, second], [L.Dense(2, name="a")(joined), L.Dense(1, name="b")(joined)])
    model.compile("adam", {"a": "mse", "b": "mae"}, loss_weights={"a": 0.5, "b": 2.0})
    keep("functional", "structure", model, [rand(3, 4), 2 * rand(3, 4)])


def tower():
    x = L.Input((3,))
    inner = Model(x, L.BatchNormalization()(L.Dense(4, name="deep")(x)), name="inner")
    model = Sequential([L.Dense(3, input_dim=5), inner, L.Dense(2)], name="tower")
    model.layers[0].trainable = False
    inner.layers[1].trainable = False
    return model


def nested():
    shared = tower()
    first, second = L.Input((5,)), L.Input((5,))
    out = L.merge([shared(first), shared(second)], mode="sum")
    keep(
        "nested", "structure", Model([first, second], L.Dense(2)(out)), [rand(2, 5), 2 * rand(2, 5)]
    )
    model = Sequential([tower(), L.Dense(2)])
    keep("sequential_in_sequential", "structure", model, [rand(2, 5)])


def double(x):
    return x * 2


def lambdas():
    for name, function in (("lambda", lambda x: x * 2), ("lambda_named", double)):
        model = Sequential([L.Dense(3, input_dim=4)])
        model.add(L.Lambda(function, output_shape=(3,), name="twice"))
        model.add(L.Dense(2))
        refused = "a Lambda layer (pass it as a custom object: x * 2)"
        keep(name, "lambda", model, [rand(2, 4)], small=True, refused=refused)


# --- training ---


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
    for name, maker in sorted(makers.items()):

        def build():
            model = Sequential([L.Dense(3, input_dim=4, activation="tanh"), L.Dense(2)])
            names = [weight.name for weight in model.weights]
            shapes = [value.shape for value in K.batch_get_value(model.weights)]
            model.set_weights(random_weights(names, shapes, 5))
            model.compile(maker(), "mse", metrics=["mae"])  # noqa: B023
            model.fit(x, y, batch_size=8, nb_epoch=4, shuffle=False, verbose=0)
            return model

        further = build()
        further.fit(x, y, batch_size=8, nb_epoch=5, shuffle=False, verbose=0)
        config = plain(further.optimizer.get_config())
        after = K.batch_get_value(further.weights)
        training = trained(type(further.optimizer).__name__, config, x, y, after)
        keep("trained_" + name, "trained", build(), [rand(3, 4)], small=True, training=training)


def main():
    np.random.seed(1)
    own = "th" if BACKEND == "theano" else "tf"
    K.set_image_dim_ordering(own)
    makers = [
        dense, shapes, activations, highway, noise, batchnorm, local, conv1d, recurrent, wrappers,
        merge_sequential, merge_functional, functional, nested, lambdas, optimizing,
    ]  # fmt: skip
    if BACKEND == "theano":  # only what differs there, and a sample of the rest
        makers = [dense, activations, batchnorm, conv1d, functional, nested]
    for maker in makers:
        attempt(maker)
    for order in ("tf", "th"):
        K.set_image_dim_ordering(order)
        for maker in (conv2d, conv3d, conv_lstm):
            attempt(maker, order)
    KEEPER.write()


def attempt(maker, *arguments):
    try:
        maker(*arguments)
    except Exception as error:
        print("NOT", maker.__name__, arguments, type(error).__name__, str(error)[:300])
        if "--strict" in sys.argv:
            raise


main()
