"""--modernize: an older program becomes one for plain Keras that means the same."""

# ruff: noqa: E501  Lines of programs are as long as they become.

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from holdfast.compat.modernize import Modernized, modernize
from holdfast.errors import HoldfastError, MissingExtraError

PROGRAMS = Path(__file__).parent / "programs"
OLD = ("a_best_weights", "b_train", "b_judge", "c_early_stopping", "d_checkpoint", "e_lesson")

# Each: what an older program says, and what it becomes.
SNIPPETS = {
    "a package of TensorFlow's": (
        """
        from tensorflow.keras.layers import Dense, Dropout  # layers
        from tensorflow.keras import backend as K, models
        from tensorflow import keras as k
        import tensorflow.keras.utils as utils
        print(Dense, Dropout, K.epsilon(), models, k.Sequential, utils.to_categorical)
        """,
        """
        from keras.layers import Dense, Dropout  # layers
        from keras import backend as K, models
        import keras as k
        import keras.utils as utils
        print(Dense, Dropout, K.epsilon(), models, k.Sequential, utils.to_categorical)
        """,
    ),
    "tf.keras, without another use of tf": (
        """
        import os, tensorflow as tf

        tf.random.set_seed(3)
        model = tf.keras.Sequential([tf.keras.layers.Dense(2, activation=tf.nn.relu)])
        """,
        """
        import keras, os

        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.layers.Dense(2, activation=keras.activations.relu)])
        """,
    ),
    "tf.keras, beside another use of tf": (
        """
        import tensorflow as tf
        data = tf.data.Dataset.range(3)
        layer = tf.keras.layers.Dense(2)
        """,
        """
        import keras, tensorflow as tf
        data = tf.data.Dataset.range(3)
        layer = keras.layers.Dense(2)
        """,
    ),
    "modules that are gone": (
        """
        from keras.utils import np_utils
        from keras.layers.core import Dense, Flatten
        from keras.layers.convolutional import *
        from keras.engine.topology import Layer
        import keras.layers.recurrent as recurrent
        y = np_utils.to_categorical([1, 2])
        print(Dense, Flatten, Layer, recurrent.LSTM, Conv2D)
        """,
        """
        import keras
        from keras.layers import Dense, Flatten
        from keras.layers import *
        from keras import Layer
        y = keras.utils.to_categorical([1, 2])
        print(Dense, Flatten, Layer, keras.layers.LSTM, Conv2D)
        """,
    ),
    "classes and functions that are gone": (
        """
        from keras.layers import (
            CuDNNLSTM,  # fast
            Deconvolution2D,
        )
        from keras.losses import mse, KLD, cosine_proximity
        from keras.constraints import maxnorm
        from keras.models import Input
        import keras.objectives as objectives
        print(CuDNNLSTM, Deconvolution2D, mse, KLD, cosine_proximity, maxnorm, Input, objectives.mae)
        """,
        """
        import keras
        from keras.layers import (
            LSTM,  # fast
            Conv2DTranspose,
        )
        from keras.losses import mean_squared_error, kl_divergence, cosine_similarity
        from keras.constraints import MaxNorm
        from keras import Input
        print(LSTM, Conv2DTranspose, mean_squared_error, kl_divergence, cosine_similarity, MaxNorm, Input, keras.losses.mean_absolute_error)
        """,
    ),
    "one of two places": (
        """
        try:
            from keras.utils import np_utils
        except ImportError:
            from tensorflow.python.keras.utils import np_utils

        def labels(y):
            return np_utils.to_categorical(y)
        """,
        """
        import keras
        try:
            pass
        except ImportError:
            pass

        def labels(y):
            return keras.utils.to_categorical(y)
        """,
    ),
    "optimizers": (
        """
        import keras
        from keras.optimizers import SGD, adam
        a = SGD(lr=0.01, decay=1e-6, momentum=0.9)
        b = SGD(0.01, 0.9, decay=rate)
        c = adam(epsilon=None, decay=0.0)
        d = keras.optimizers.legacy.RMSprop(decay=0.1)
        a.lr = 0.5
        """,
        """
        import keras
        from keras.optimizers import SGD, Adam
        a = SGD(learning_rate=keras.optimizers.schedules.InverseTimeDecay(0.01, decay_steps=1, decay_rate=1e-6), momentum=0.9)
        b = SGD(keras.optimizers.schedules.InverseTimeDecay(0.01, decay_steps=1, decay_rate=rate), 0.9)
        c = Adam()
        d = keras.optimizers.RMSprop(learning_rate=keras.optimizers.schedules.InverseTimeDecay(0.001, decay_steps=1, decay_rate=0.1))
        a.learning_rate = 0.5
        """,
    ),
    "methods of models": (
        """
        from keras.models import Sequential
        model = Sequential()
        model.compile(loss="categorical_crossentropy", optimizer="sgd", sample_weight_mode=None)
        model.fit(x, y, nb_epoch=3, workers=2)
        model.fit_generator(
            generator=flow(),
            steps_per_epoch=5,
            max_queue_size=10,  # many
            nb_epoch=3,
            use_multiprocessing=True,
        )
        model.fit_generator(flow(), 5, 3, validation_data=(x, y))
        loss = model.evaluate_generator(flow(), 5, workers=1)
        p = model.predict_proba(x) + model.predict_generator(flow(), steps=5)
        print(model.predict_classes(x, batch_size=8))
        """,
        """
        from keras.models import Sequential
        model = Sequential()
        model.compile(loss="categorical_crossentropy", optimizer="sgd")
        model.fit(x, y, epochs=3)
        model.fit(
            x=flow(),
            steps_per_epoch=5,
            epochs=3,
        )
        model.fit(flow(), steps_per_epoch=5, epochs=3, validation_data=(x, y))
        loss = model.evaluate(flow(), steps=5)
        p = model.predict(x) + model.predict(flow(), steps=5)
        print(model.predict(x, batch_size=8).argmax(axis=-1))
        """,
    ),
    "classes of one output, and of a model not seen": (
        """
        from keras.layers import Dense
        from keras.models import Sequential, load_model
        model = Sequential([Dense(8), Dense(1, activation="sigmoid")])
        a = model.predict_classes(x)
        b = load_model("m.h5").predict_classes(x)
        """,
        """
        from keras.layers import Dense
        from keras.models import Sequential, load_model
        model = Sequential([Dense(8), Dense(1, activation="sigmoid")])
        a = (model.predict(x) > 0.5).astype("int32")
        b = (lambda p: p.argmax(axis=-1) if p.shape[-1] > 1 else (p > 0.5).astype("int32"))(load_model("m.h5").predict(x))
        """,
    ),
    "what was asked of models and layers": (
        """
        from keras.layers import Layer
        print(model.layers[0].output_shape, model.input_shape)
        for layer in model.layers:
            print(layer.input_shape, array.lr)
        model.reset_states()
        class Mine(Layer):
            def build(self, input_shape):
                self.kernel = self.add_weight("kernel", (3, 2), trainable=True)
                self.bias = self.add_weight(shape=(2,), name="bias")
        """,
        """
        from keras.layers import Layer
        print(model.layers[0].output.shape, model.input_shape)
        for layer in model.layers:
            print(layer.input.shape, array.lr)
        [layer.reset_state() for layer in model.layers if hasattr(layer, "reset_state")]
        class Mine(Layer):
            def build(self, input_shape):
                self.kernel = self.add_weight(name="kernel", shape=(3, 2), trainable=True)
                self.bias = self.add_weight(shape=(2,), name="bias")
        """,
    ),
    "a version": (
        """
        import tensorflow as tf
        from tensorflow import keras
        print("versions", tf.__version__, tf.keras.__version__)
        """,
        """
        import keras
        print("versions", keras.__version__, keras.__version__)
        """,
    ),
    "layers of Keras 1": (
        """
        from keras.layers import *
        from keras.layers import merge, Input
        from keras.models import Model
        a = Convolution2D(32, 3, 3, border_mode="same", subsample=(2, 2), dim_ordering="tf")
        b = Convolution2D(nb_filter=8, nb_row=3, nb_col=5, bias=False)
        c = Dense(output_dim=3, init="uniform", W_regularizer="l2", b_constraint="maxnorm")
        d = LSTM(4, input_dim=3, input_length=5, consume_less="gpu", dropout_W=0.1)
        e = Embedding(9, 4, input_length=7)
        f = [Dropout(p=0.2), BatchNormalization(mode=0, axis=1), LeakyReLU(alpha=0.1)]
        g = merge([h, i], mode="concat", concat_axis=1)
        j = Model(input=h, output=g)
        k = Dense(3, batch_input_shape=(None, 4))
        model.add(LSTM(4, batch_input_shape=(8, 5, 3), stateful=True))
        """,
        """
        import keras
        from keras.layers import *
        from keras.layers import Input
        from keras.models import Model
        a = Conv2D(32, (3, 3), padding="same", strides=(2, 2), data_format="channels_last")
        b = Conv2D(filters=8, kernel_size=(3, 5), use_bias=False)
        c = Dense(units=3, kernel_initializer="uniform", kernel_regularizer="l2", bias_constraint="max_norm")
        d = LSTM(4, input_shape=(5, 3), dropout=0.1)
        e = Embedding(9, 4, input_shape=(7,))
        f = [Dropout(rate=0.2), BatchNormalization(axis=1), LeakyReLU(negative_slope=0.1)]
        g = keras.layers.concatenate([h, i], axis=1)
        j = Model(inputs=h, outputs=g)
        k = Dense(3, input_shape=(4,))
        model.add(keras.Input(batch_shape=(8, 5, 3))); model.add(LSTM(4, stateful=True))
        """,
    ),
    "names of logs": (
        """
        from keras.callbacks import EarlyStopping, ModelCheckpoint, LambdaCallback, Callback
        model.compile("adam", "mse", metrics=["accuracy"])
        kept = "best-{epoch:02d}-{val_acc:.2f}.h5"
        c = [ModelCheckpoint(kept, monitor="val_acc"), EarlyStopping('val_acc')]
        h = model.fit(x, y, callbacks=c)
        acc = h.history["acc"]
        for name in ["acc", "loss"]:
            print(h.history[name])
        if "lr" in h.history.keys():
            print(h.history.get("lr"))
        class Mine(Callback):
            def on_epoch_end(self, epoch, logs=None):
                print(logs["val_acc"], logs.get("acc"), other["acc"])
        """,
        """
        from keras.callbacks import EarlyStopping, ModelCheckpoint, LambdaCallback, Callback
        model.compile("adam", "mse", metrics=["accuracy"])
        kept = "best-{epoch:02d}-{val_accuracy:.2f}.h5"
        c = [ModelCheckpoint(kept, monitor="val_accuracy"), EarlyStopping('val_accuracy')]
        h = model.fit(x, y, callbacks=c)
        acc = h.history["accuracy"]
        for name in ["accuracy", "loss"]:
            print(h.history[name])
        if "learning_rate" in h.history.keys():
            print(h.history.get("learning_rate"))
        class Mine(Callback):
            def on_epoch_end(self, epoch, logs=None):
                print(logs["val_accuracy"], logs.get("accuracy"), other["acc"])
        """,
    ),
    "logs of a metric that is called acc": (
        """
        from keras.callbacks import EarlyStopping
        model.compile("adam", "mse", metrics=["acc"])
        print(model.fit(x, y, callbacks=[EarlyStopping("val_acc")]).history["acc"])
        """,
        None,
    ),
    "files": (
        """
        import os
        from keras.callbacks import ModelCheckpoint
        from keras.models import load_model
        path = os.path.join(folder, "cp-{epoch:04d}.ckpt")
        a = ModelCheckpoint(path, save_weights_only=True, save_format="tf")
        b = ModelCheckpoint("weights.best.hdf5", save_best_only=True)
        c = ModelCheckpoint(f"{folder}/all.h5", options=None)
        model.save_weights("last.h5")
        model.save(filepath="whole.h5", save_format="h5")
        model.save("saved", save_format="tf", include_optimizer=False)
        if os.path.exists("weights.best.hdf5"):
            model.load_weights("weights.best.hdf5")
        model.load_weights("last.h5")
        model.load_weights(path.format(epoch=3)).expect_partial()
        best = load_model("saved"), load_model("whole.h5"), load_model("elsewhere.h5")
        model.load_weights("elsewhere.h5", by_name=True)
        model.save_weights("run/" + name + ".hdf5")
        print("saved", "last.h5 is there")
        """,
        """
        import os
        from keras.callbacks import ModelCheckpoint
        from keras.models import load_model
        path = os.path.join(folder, "cp-{epoch:04d}.weights.h5")
        a = ModelCheckpoint(path, save_weights_only=True)
        b = ModelCheckpoint("weights.best.keras", save_best_only=True)
        c = ModelCheckpoint(f"{folder}/all.h5")
        model.save_weights("last.weights.h5")
        model.save(filepath="whole.h5")
        model.save("saved.keras", include_optimizer=False)
        if os.path.exists("weights.best.keras"):
            model.load_weights("weights.best.keras")
        model.load_weights("last.weights.h5")
        model.load_weights(path.format(epoch=3))
        best = load_model("saved.keras"), load_model("whole.h5"), load_model("elsewhere.h5")
        model.load_weights("elsewhere.h5", by_name=True)
        model.save_weights("run/" + name + ".weights.h5")
        print("saved", "last.h5 is there")
        """,
    ),
    "two names for two files": (
        """
        path = "a.csv"
        data = open(path)
        def save(model, path="b.h5"):
            path = "c"
            model.save_weights(path)
        """,
        """
        path = "a.csv"
        data = open(path)
        def save(model, path="b.h5"):
            path = "c.weights.h5"
            model.save_weights(path)
        """,
    ),
    "the backend": (
        """
        from keras import backend as K
        from keras.layers import Lambda
        def distance(a, b):
            return K.sqrt(K.sum(K.square(a - b), axis=-1, keepdims=True)) + K.epsilon()
        a = K.concatenate([K.argmax(x), K.permute_dimensions(y, pattern=(1, 0))])
        b = Lambda(K.abs)(K.clip(x, min_value=0, max_value=1))
        c = K.reshape(x, (-1, K.int_shape(x)[1])) + K.int_shape(x + y)[0]
        K.set_value(model.optimizer.lr, 0.5 * K.get_value(model.optimizer.lr))
        e = K.variable(0), K.variable(0.5), K.sqrt(x)
        d = K.l2_normalize(x, axis=1), K.flatten(x), K.gather(x, i), K.repeat_elements(x, 2, axis=0)
        if K.image_dim_ordering() == "th":
            K.set_image_dim_ordering("tf")
        """,
        """
        import keras
        from keras import backend as K
        from keras.layers import Lambda
        def distance(a, b):
            return keras.ops.sqrt(keras.ops.sum(keras.ops.square(a - b), axis=-1, keepdims=True)) + K.epsilon()
        a = keras.ops.concatenate([keras.ops.argmax(x, axis=-1), keras.ops.transpose(y, axes=(1, 0))], axis=-1)
        b = Lambda(keras.ops.abs)(keras.ops.clip(x, x_min=0, x_max=1))
        c = keras.ops.reshape(x, (-1, x.shape[1])) + (x + y).shape[0]
        model.optimizer.learning_rate.assign(0.5 * keras.ops.convert_to_numpy(model.optimizer.learning_rate))
        e = keras.Variable(0, dtype=keras.config.floatx()), keras.Variable(0.5), keras.ops.sqrt(keras.ops.maximum(x, 0.0))
        d = keras.ops.normalize(x, axis=1, epsilon=1e-6), keras.ops.reshape(x, (-1,)), keras.ops.take(x, i, axis=0), keras.ops.repeat(x, 2, axis=0)
        if keras.config.image_data_format() == "channels_first":
            keras.config.set_image_data_format("channels_last")
        """,
    ),
    "slips of the pen": (
        """
        from tensorflow.keras.callback import EarlyStoping
        from keras.layers import Dense
        a = EarlyStoping(monitor="val_loss", restor_best_weights=True)
        b = Dense(3, activaton="relu")
        """,
        """
        from keras.callbacks import EarlyStopping
        from keras.layers import Dense
        a = EarlyStopping(monitor="val_loss", restore_best_weights=True)
        b = Dense(3, activation="relu")
        """,
    ),
    "what others call alike": (
        """
        import numpy as np
        from sklearn.linear_model import SGDClassifier
        from mine import Dense, SGD, ModelCheckpoint
        a = SGD(lr=0.1, decay=0.2), Dense(output_dim=3), ModelCheckpoint("x.ckpt")
        model = SGDClassifier(loss="log_loss")
        model.fit(x, y, 3).predict_proba(x) + model.predict_proba(x) + opt.lr + clf.predict_proba(x)
        np.save("model", x); figure.save("plot"); history["acc"]; other.lr = 3
        """,
        None,
    ),
}  # fmt: skip


def modern(tmp_path: Path, text: str, name: str = "train.py") -> Modernized:
    path = tmp_path / name
    path.write_text(text)
    return modernize(path)


@pytest.mark.parametrize("name", SNIPPETS)
def test_what_it_writes(tmp_path, name):
    old, new = (dedent(text).lstrip("\n") if text else text for text in SNIPPETS[name])
    done = modern(tmp_path, old)
    assert done.program == (old if new is None else new)
    assert bool(done.diff) == (new is not None)
    # What is modern stays as it is.
    again = modern(tmp_path, done.program)
    assert again.diff == ""


def test_what_cannot_be_carried_over_is_said(tmp_path):
    old = dedent(
        """
        import tensorflow as tf
        from keras import backend as K
        from keras.callbacks import ModelCheckpoint, ReduceLROnPlateau
        from keras.optimizers import SGD
        from keras.utils import multi_gpu_model
        from keras.wrappers.scikit_learn import KerasClassifier

        data = tf.data.Dataset.range(3)
        K.learning_phase()
        model.fit_generator(flow(), samples_per_epoch=2000, nb_epoch=3)
        model.load_weights("pretrained.ckpt")
        sgd = SGD(decay=0.1)
        plateau = ReduceLROnPlateau()
        model.save_weights(args.out)
        wrapped = KerasClassifier(build_fn=f), multi_gpu_model(model, 2)
        layer = keras.layers.LSTM(3, recurrent_activation="hard_sigmoid")
        ModelCheckpoint("/there/cp.ckpt", save_weights_only=True)
        model.load_weights("cp.ckpt")
        EarlyStopping = tf.keras.callbacks.EarlyStopping(stop_at=3)
        """
    )
    done = modern(tmp_path, old)
    assert "KERAS_BACKEND" in done.notes.pop()
    said = {int(note.split(":")[1]): note for note in done.notes}
    for line, part in {
        9: "tensorflow.data.Dataset.range is TensorFlow's own",
        10: "keras.backend.learning_phase",
        11: "samples_per_epoch",
        12: "plain Keras does not read pretrained.ckpt",
        13: "ReduceLROnPlateau",
        15: ".weights.h5",
        18: "/there/cp.ckpt becomes /there/cp.weights.h5",
        19: "/there/cp.ckpt is what is saved",
        20: "stop_at",
    }.items():
        assert part in said[line], said
        assert said[line].startswith(f"train.py:{line}: ")
    assert "scikeras" in said[16] or "multi_gpu_model" in said[16]
    assert "model.fit_generator(flow(), samples_per_epoch=2000, nb_epoch=3)" in done.program


@pytest.mark.parametrize("name", [*OLD, "d_slips"])
def test_older_programs_become_modern_ones(name):
    done = modernize(PROGRAMS / f"{name}.py")
    assert "tensorflow" not in done.program.replace("TensorFlow", "").lower()
    assert "np_utils" not in done.program
    assert "import keras" in done.program or "from keras" in done.program


def test_todays_programs_stay_as_they_are():
    for name in ("all_callbacks", "board", "digits", "soaked", "writes", "ordinary"):
        done = modernize(PROGRAMS / f"{name}.py")
        assert done.diff == "", name
        assert [note for note in done.notes if "TensorBoard" not in note] == [], name


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(("newline", "end"), [("\n", "\n"), ("\n", ""), ("\r\n", "\r\n")])
def test_the_diff_applies(tmp_path, newline, end, mark):
    lines = ["from keras.layers.core import Dense  # café", ""]
    lines += [f"y{number} = {number}" for number in range(20)]
    lines += ["\f", "layer = Dense( output_dim = 3,", "  # of those", "  init='uniform' ) "]
    path = tmp_path / "train.py"
    path.write_bytes((mark + newline.join(lines) + end).encode())
    done = modernize(path)
    lines[0] = "from keras.layers import Dense  # café"
    lines[-3:] = ["layer = Dense( units = 3,", "  # of those", "  kernel_initializer='uniform' ) "]
    assert done.program == mark + newline.join(lines) + end
    (tmp_path / "to.diff").write_bytes(done.diff.encode())
    subprocess.run(["git", "apply", "to.diff"], cwd=tmp_path, check=True)
    assert path.read_bytes().decode() == done.program


def test_a_program_in_another_encoding(tmp_path):
    path = tmp_path / "train.py"
    text = "# -*- coding: latin-1 -*-\nx = 'é'\nfrom tensorflow import keras\n"
    path.write_bytes(text.encode("latin-1"))
    assert modernize(path).program == text.replace("from tensorflow ", "")


def test_what_is_no_program_of_today(tmp_path):
    with pytest.raises(HoldfastError, match=r"^train\.py:3: .*Missing parentheses"):
        modern(tmp_path, "import keras\n\nprint 'done'\n")
    (tmp_path / "train.py").write_bytes(b"x = '\xe9'\n")
    with pytest.raises(HoldfastError, match=r"train\.py"):
        modernize(tmp_path / "train.py")
    with pytest.raises(FileNotFoundError):
        modernize(tmp_path / "none.py")


def test_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "libcst", None)
    with pytest.raises(MissingExtraError, match=r"holdfast\[modernize\]"):
        modern(tmp_path, "import keras\n")


GENERATED = '''
"""2016."""
import json
import random
import numpy as np
from keras.callbacks import ModelCheckpoint
from keras.layers.convolutional import Convolution2D, MaxPooling2D
from keras.layers.core import Activation, Dense, Dropout, Flatten
from keras.models import Sequential
from keras.optimizers import SGD
from keras.utils import np_utils

random.seed(1)
np.random.seed(1)
x = np.random.rand(96, 8, 8, 1).astype("float32")
labels = (x[:, :4].mean(axis=(1, 2, 3)) > x[:, 4:].mean(axis=(1, 2, 3))).astype(int)
y = np_utils.to_categorical(labels, nb_classes=2)

model = Sequential()
model.add(Convolution2D(4, 3, 3, border_mode="same", init="normal", input_shape=(8, 8, 1)))
model.add(MaxPooling2D(pool_size=(2, 2), border_mode="valid"))
model.add(Flatten())
model.add(Dropout(p=0.1))
model.add(Dense(output_dim=2, W_regularizer="l2"))
model.add(Activation("softmax"))
sgd = SGD(lr=0.2, decay=0.05, momentum=0.9, nesterov=True)
model.compile(loss="categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])

def batches():
    while True:
        for at in range(0, 96, 16):
            yield x[at : at + 16], y[at : at + 16]

best = ModelCheckpoint("best-{epoch:02d}-{val_acc:.2f}.hdf5", monitor="val_acc", mode="max")
last = ModelCheckpoint("last.hdf5", save_weights_only=True, period=2)
history = model.fit_generator(
    batches(), steps_per_epoch=6, nb_epoch=3, verbose=0, validation_data=(x, y),
    callbacks=[best, last], max_q_size=4,
)
classes = model.predict_classes(x, verbose=0)
with open("generated.json", "w") as file:
    json.dump(
        {
            "acc": history.history["val_acc"],
            "shape": list(model.layers[0].get_weights()[0].shape),
            "rate": float(sgd.lr),
            "right": float((classes == labels).mean()),
        },
        file,
    )
'''
CHECKPOINTED = '''
"""2020."""
import json
import os
import numpy as np
import tensorflow as tf
from tensorflow.keras import backend as K

tf.random.set_seed(5)
x = np.random.RandomState(5).rand(64, 6).astype("float32")
y = x.sum(axis=1, keepdims=True)

def rmse(true, said):
    return K.sqrt(K.mean(K.square(said - true), axis=-1))

def made():
    model = tf.keras.Sequential([
        tf.keras.layers.Dense(8, activation=tf.nn.relu, input_shape=(6,)),
        tf.keras.layers.LeakyReLU(alpha=0.2),
        tf.keras.layers.Dense(1),
    ])
    model.compile(optimizer=tf.keras.optimizers.Adam(lr=0.01), loss=rmse, metrics=["mae"])
    return model

model = made()
checkpoint_path = os.path.join("training", "cp.ckpt")
os.makedirs(os.path.dirname(checkpoint_path))
saves = tf.keras.callbacks.ModelCheckpoint(
    filepath=checkpoint_path, save_weights_only=True, save_best_only=True, monitor="loss"
)
stops = tf.keras.callbacks.EarlyStopping(monitor="loss", patience=2, restor_best_weights=True)
model.fit(x, y, epochs=3, verbose=0, callbacks=[saves, stops], workers=2)
K.set_value(model.optimizer.lr, 0.5 * K.get_value(model.optimizer.lr))
model.save_weights("./weights")
model.save("whole", save_format="tf")
first = model.predict(x, verbose=0)
other = made()
other.load_weights("./weights").expect_partial()
again = tf.keras.models.load_model("whole", custom_objects={"rmse": rmse})
best = made()
best.load_weights(checkpoint_path)
a = np.array([[3.0, -4.0], [6.0, 8.0]], dtype="float32")
with open("checkpointed.json", "w") as file:
    json.dump(
        {
            "same": [bool((m.predict(x, verbose=0) == first).all()) for m in (other, again)],
            "best": len(best.get_weights()),
            "rate": float(K.get_value(model.optimizer.lr)),
            "backend": [
                K.get_value(K.l2_normalize(a, axis=1)).tolist(),
                K.get_value(K.concatenate([a, K.expand_dims(K.argmax(a) * 1.0)])).tolist(),
                K.get_value(K.sqrt(a)).tolist(),
                K.get_value(K.permute_dimensions(a, (1, 0))).tolist(),
                list(K.int_shape(K.flatten(a))),
                K.get_value(K.cumsum(a)).tolist(),
            ],
        },
        file,
    )
'''
RUNS = """
import runpy, sys
for program in sys.argv[1:]:
    runpy.run_path(program, run_name="__main__")
for name in ("holdfast", "tensorflow"):
    assert name not in sys.modules, name
"""


def test_the_new_programs_run_on_plain_keras_and_mean_the_same(tmp_path):
    programs = {"generated.py": GENERATED, "checkpointed.py": CHECKPOINTED}
    best = (PROGRAMS / "a_best_weights.py").read_text().replace("epochs=10", "epochs=2")
    programs["a_best_weights.py"] = best
    for name, text in programs.items():
        done = modern(tmp_path, text, name)
        assert modern(tmp_path, done.program, name).diff == ""
    ran = subprocess.run(
        [sys.executable, "-c", RUNS, *programs],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr

    generated = json.loads((tmp_path / "generated.json").read_text())
    assert generated["shape"] == [3, 3, 1, 4]
    assert generated["rate"] == pytest.approx(0.2 / (1 + 0.05 * 18))
    assert generated["right"] == pytest.approx(generated["acc"][-1])
    files = {path.name for path in tmp_path.iterdir()}
    assert {f"best-{n:02d}-{acc:.2f}.keras" for n, acc in enumerate(generated["acc"], 1)} <= files
    assert {"last.weights.h5", "weights.weights.h5", "whole.keras"} <= files
    assert "model_checkpoint.weights.h5" in files

    checkpointed = json.loads((tmp_path / "checkpointed.json").read_text())
    assert checkpointed["same"] == [True, True]
    assert checkpointed["best"] == 4
    assert checkpointed["rate"] == pytest.approx(0.005)
    a = np.array([[3.0, -4.0], [6.0, 8.0]])
    normalized, joined, roots, turned, flat, sums = checkpointed["backend"]
    np.testing.assert_allclose(normalized, [[0.6, -0.8], [0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(joined, [[3, -4, 0], [6, 8, 1]])
    np.testing.assert_allclose(roots, np.sqrt(np.maximum(a, 0)), rtol=1e-6)
    assert (turned, flat, sums) == (a.T.tolist(), [4], np.cumsum(a, axis=0).tolist())
