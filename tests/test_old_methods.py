"""Programs that use older Keras's methods, arguments, callbacks and names of metrics."""

import copy
import functools
import json
import pickle

import keras
import numpy as np
import pytest
from keras import layers

import holdfast
from holdfast.compat import (
    old,
    old_arguments,
    old_backend,
    old_callbacks,
    old_logs,
    old_methods,
)
from holdfast.compat.patches import Patches
from holdfast.errors import PlanError, UnknownArgumentError, UnsupportedError
from holdfast.optimizers import SlowNadam

_MODULES = (old_arguments, old_backend, old_callbacks, old_methods)


@pytest.fixture(scope="module", autouse=True)
def enabled():
    patches = Patches()
    old.begin(quiet=True)
    for module in _MODULES:
        module.put(patches)
    yield
    patches.undo()
    with pytest.raises(ValueError, match="not recognized"):
        keras.optimizers.Adam(lr=0.1)
    assert keras.optimizers.Nadam(0.1).name
    assert not hasattr(keras.Model, "fit_generator")
    assert not hasattr(keras.layers, "merge")


@pytest.fixture
def said(capsys):
    """Return a function that returns the lines that were said since the last time."""
    old.begin(quiet=False)
    capsys.readouterr()
    yield lambda: [line for line in capsys.readouterr().err.splitlines() if "holdfast: " in line]
    old.begin(quiet=True)


@functools.cache
def _shared():
    model = _new()
    return model, model.get_weights()


def _model(**compiled):
    """Return a model as it begins; with no arguments the same one, which is compiled once."""
    if compiled:
        return _new(**compiled)
    model, weights = _shared()
    model.set_weights(weights)
    model.stop_training = False
    return model


def _new(**compiled):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, "relu", kernel_initializer=keras.initializers.GlorotUniform(1)),
            layers.Dense(3, "softmax", kernel_initializer=keras.initializers.GlorotUniform(2)),
        ]
    )
    told = {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**{**told, **compiled})
    return model


def _config(layer, *names):
    config = layer.get_config()
    return tuple(config[name] for name in names)


def test_rates_and_decays_of_optimizers():
    for kind in ("SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl"):
        optimizer = getattr(keras.optimizers, kind)(lr=0.25)
        assert float(optimizer.learning_rate) == 0.25
    adam = keras.optimizers.Adam(lr=0.5, beta_1=0.8, epsilon=None)
    assert (adam.beta_1, adam.epsilon) == (0.8, 1e-7)
    adam.lr = 0.125
    assert keras.backend.get_value(adam.lr) == np.float32(0.125)
    keras.backend.set_value(adam.lr, adam.lr * 0.5)
    assert float(adam.learning_rate) == 0.0625
    assert keras.regularizers.l2(l=0.5).l2 == 0.5
    assert float(keras.optimizers.adam(lr=0.3).learning_rate) == np.float32(0.3)
    with pytest.raises(PlanError, match="lr= and learning_rate= are the same"):
        keras.optimizers.SGD(lr=0.1, learning_rate=0.2)
    with pytest.raises(PlanError, match="a decay is of a number"):
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10), decay=0.1)


def test_a_decay_divides_the_rate_as_keras_2_did():
    optimizer = keras.optimizers.SGD(lr=0.5, decay=0.25, momentum=0.0)
    weight = keras.Variable(10.0)
    optimizer.build([weight])
    for _ in range(3):
        optimizer.apply_gradients([(keras.ops.ones(()), weight)])
    then = 10.0 - sum(0.5 / (1 + 0.25 * step) for step in range(3))
    np.testing.assert_allclose(float(weight), then, rtol=1e-6)
    assert float(optimizer.lr) == float(optimizer.learning_rate) == 0.5
    optimizer.lr = 0.125
    optimizer.apply_gradients([(keras.ops.ones(()), weight)])
    np.testing.assert_allclose(float(weight), then - 0.125 / 1.75, rtol=1e-6)
    by_place = keras.optimizers.SGD(0.125, 0.0, 0.25, False)
    assert by_place.get_config()["learning_rate"] == optimizer.get_config()["learning_rate"]
    again = keras.optimizers.SGD.from_config(optimizer.get_config())
    assert float(again.learning_rate) == 0.125
    assert again.get_config() == optimizer.get_config()
    schedule = keras.optimizers.schedules.InverseTimeDecay(0.5, 1, 0.25)
    own = keras.optimizers.SGD(schedule)
    with pytest.raises(TypeError, match="not settable"):
        own.learning_rate = 0.1


def test_a_decay_and_a_callback_that_sets_the_rate(blobs, tmp_path):
    x, y = blobs[0][:48], blobs[1][:48]
    model = _model(optimizer=keras.optimizers.SGD(lr=0.1, decay=0.01, momentum=0.9))
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)
    told = {"shuffle": False, "verbose": 0, "callbacks": [rates], "batch_size": 16}
    history = model.fit(x, y, epochs=2, **told).history
    assert history["lr"] == pytest.approx([0.1, 0.05])

    # As Keras 2 computed: the rate of the epoch, by the steps so far.
    by_hand = _model(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
    step = 0
    for epoch in range(2):
        for start in range(0, len(x), 16):
            by_hand.optimizer.learning_rate = 0.1 * 0.5**epoch / (1 + 0.01 * step)
            by_hand.train_on_batch(x[start : start + 16], y[start : start + 16])
            step += 1
    for ours, then in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(ours, then, rtol=1e-4, atol=1e-6)

    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert float(loaded.optimizer.learning_rate) == np.float32(0.05)
    assert int(loaded.optimizer.iterations) == step
    for ours, then in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, then)


def test_nadam_with_its_old_schedule():
    made = keras.optimizers.Nadam(lr=0.002, beta_1=0.9, epsilon=None, schedule_decay=0.004)
    assert type(made) is SlowNadam
    assert made.get_config()["schedule_decay"] == 0.004
    again = SlowNadam.from_config(made.get_config())
    assert float(again.learning_rate) == np.float32(0.002)
    assert type(keras.optimizers.Nadam(lr=0.002)) is keras.optimizers.Nadam


def test_layers_in_the_words_of_keras_1():
    dense = layers.Dense(output_dim=3, init="normal", W_regularizer="l2", bias=False, input_dim=4)
    assert _config(dense, "units", "use_bias") == (3, False)
    assert isinstance(dense.kernel_initializer, keras.initializers.RandomNormal)
    assert isinstance(dense.kernel_regularizer, keras.regularizers.L2)
    conv = layers.Convolution2D(
        8, 3, 5, border_mode="same", subsample=(2, 2), dim_ordering="th", activation="relu"
    )
    assert _config(conv, "kernel_size", "padding", "strides", "data_format") == (
        (3, 5),
        "same",
        (2, 2),
        "channels_first",
    )
    assert type(conv) is layers.Conv2D
    assert layers.Convolution2D(nb_filter=8, nb_row=3, nb_col=5).kernel_size == (3, 5)
    assert layers.Conv2D(8, 3, 2, init="uniform").kernel_size == (3, 2)
    assert layers.Conv2D(8, 3, 2).strides == (2, 2), "as it is today"
    assert layers.Convolution3D(8, 3, 2, 1).kernel_size == (3, 2, 1)
    up = layers.Deconvolution2D(8, 3, 3, (None, 14, 14, 3), subsample=(2, 2))
    assert (type(up), up.strides) == (layers.Conv2DTranspose, (2, 2))
    assert layers.AtrousConvolution2D(8, 3, 3, atrous_rate=(2, 2)).dilation_rate == (2, 2)
    pool = layers.MaxPooling1D(pool_length=3, stride=2, border_mode="same")
    assert (pool.pool_size, pool.strides, pool.padding) == ((3,), (2,), "same")
    assert layers.Dropout(p=0.3).rate == 0.3
    lstm = layers.LSTM(
        output_dim=4,
        inner_activation="hard_sigmoid",
        dropout_W=0.1,
        dropout_U=0.2,
        consume_less="gpu",
        forget_bias_init="one",
        input_dim=3,
        input_length=5,
    )
    assert _config(lstm, "units", "dropout", "recurrent_dropout") == (4, 0.1, 0.2)
    assert float(lstm.recurrent_activation(1.0)) == np.float32(0.7), "as Keras 1 and 2 had it"
    assert keras.Sequential([lstm]).input_shape == (None, 5, 3)
    bounded = layers.Dense(3, W_constraint="maxnorm", b_regularizer="l1_l2")
    assert isinstance(bounded.kernel_constraint, keras.constraints.MaxNorm)
    assert bounded.bias_regularizer.get_config()["l1"] == pytest.approx(0.01)
    norm = layers.BatchNormalization(mode=0, axis=1, beta_init="one", fused=True)
    assert isinstance(norm.beta_initializer, keras.initializers.Ones)
    embedding = layers.Embedding(10, 4, init="uniform", input_length=5, dropout=0.2)
    assert keras.Sequential([embedding]).output_shape == (None, 5, 4)
    layers.SimpleRNN(4, implementation=1, time_major=False)
    with pytest.raises(UnsupportedError, match=r"BatchNormalization\(mode=2\)"):
        layers.BatchNormalization(mode=2)
    with pytest.raises(PlanError, match="init= and kernel_initializer= are the same argument"):
        layers.Dense(3, init="one", kernel_initializer="zeros")
    with pytest.raises(ValueError, match="Unrecognized keyword arguments passed to Dense"):
        layers.Dense(3, acivation="relu")


def test_layers_that_programs_write_and_numbers_of_numpy(recwarn):
    class Own(layers.Layer):
        """As programs of TensorFlow 2 write them."""

        def build(self, input_shape):
            self.kernel = self.add_weight("kernel", [input_shape[-1], 2], initializer="ones")

        def call(self, inputs):
            self.add_loss(keras.ops.sum(self.kernel), inputs=inputs)
            return keras.ops.matmul(inputs, self.kernel)

    classes = np.max(np.array([1, 2]))
    model = keras.Sequential([layers.Dense(classes + 1, input_shape=(4,)), Own()])
    assert model.output_shape == (None, 2)
    assert model.layers[1].kernel.name == "kernel"
    model(np.ones((1, 4)))
    assert [float(loss) for loss in model.losses] == [6.0]
    assert type(model.layers[0].get_config()["units"]) is int
    assert not [each for each in recwarn if "input_shape" in str(each.message)]


def test_a_tensor_that_is_added_to_the_losses_of_a_model(tmp_path):
    start = keras.Input((3,))
    hidden = layers.Dense(2)(start)
    model = keras.Model(start, layers.Dense(3)(hidden))
    model.add_loss(keras.ops.mean(keras.ops.square(hidden), axis=-1))
    model.add_loss(0.5 * keras.ops.mean(keras.losses.mean_squared_error(start, model.outputs[0])))
    model.compile("sgd")
    x = np.random.default_rng(0).random((8, 3)).astype("float32")
    inner = np.asarray(keras.Model(start, hidden)(x))
    then = np.mean(inner**2) + 0.5 * np.mean((x - np.asarray(model(x))) ** 2)
    assert model.evaluate(x, verbose=0) == pytest.approx(then, rel=1e-5)
    assert model.fit(x, epochs=2, verbose=0).history["loss"][1] < then
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.evaluate(x, verbose=0) == pytest.approx(model.evaluate(x, verbose=0))


def test_layers_keep_what_they_are_in_a_configuration():
    class Own(layers.Dense):
        """A layer that leaves its configuration to Keras."""

    made = layers.Dense(3, "relu", init="one")
    assert layers.Dense.from_config(made.get_config()).get_config() == made.get_config()
    own = Own(output_dim=3)
    assert Own.from_config(own.get_config()).units == 3


def test_layers_that_are_told_their_weights():
    told = [np.arange(6.0).reshape(2, 3), np.ones(3)]
    built = keras.Sequential([layers.Dense(3, weights=told, input_dim=2)])
    later = keras.Sequential([layers.Dense(3, weights=told)])
    later.compile("sgd", "mse")
    later.fit(np.zeros((1, 2)), np.ones((1, 3)), verbose=0)
    for model in (built, later):
        np.testing.assert_array_equal(model.get_weights()[0], told[0])
    with pytest.raises(PlanError, match=r"shapes \[\(2, 3\), \(3,\)\], found \[\(3,\)\]"):
        keras.Sequential([layers.Dense(3, weights=[np.ones(3)], input_dim=2)])


def test_inputs_of_a_fixed_size_and_of_a_model():
    model = keras.Sequential(
        [layers.SimpleRNN(3, stateful=True, batch_input_shape=(4, 1, 2)), layers.Dense(1)]
    )
    assert model.input_shape == (4, 1, 2)
    x = np.ones((4, 1, 2), "float32")
    first, second = (np.asarray(model(x)) for _ in range(2))
    model.reset_states()
    np.testing.assert_array_equal(model(x), first)
    assert (first != second).any()
    assert keras.Sequential([layers.Dense(3, batch_size=4, input_shape=(2,))]).input_shape == (4, 2)
    start = keras.Input((3,))
    model = keras.Model(input=start, output=layers.Dense(2)(start))
    assert (model.output_shape, model.layers[1].output_shape) == ((None, 2), (None, 2))
    assert not hasattr(layers.Dense(2), "output_shape")
    part = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2)])
    inner = keras.Model(inputs=part.input, outputs=part.layers[0].output)
    assert inner.predict(np.ones((1, 3)), verbose=0).shape == (1, 4)


def test_merge_of_keras_1():
    a, b = np.float32([[1, 2]]), np.float32([[3, -1]])
    inputs = [keras.Input((2,)), keras.Input((2,))]
    for mode, then in (
        ("sum", [[4, 1]]),
        ("mul", [[3, -2]]),
        ("concat", [[1, 2, 3, -1]]),
        ("ave", [[2, 0.5]]),
        ("max", [[3, 2]]),
        ("dot", [[1]]),
        ("cos", [[[1 / np.sqrt(50)]]]),
        (lambda both: both[0] - both[1], [[-2, 3]]),
    ):
        model = keras.Model(inputs, layers.merge(inputs, mode=mode, output_shape=(2,)))
        np.testing.assert_allclose(model([a, b]), then, rtol=1e-6)
    with pytest.raises(UnsupportedError, match="none of sum, mul, ave"):
        layers.merge(inputs, mode="add")


def test_fit_evaluate_and_predict_with_old_arguments(blobs):
    x, y = blobs
    same = {"shuffle": False, "verbose": 0}
    history = _model().fit(x, y, 8, nb_epoch=2, show_accuracy=True, max_q_size=3, **same)
    model = _model()
    assert history.history == model.fit(x, y, batch_size=8, epochs=2, **same).history
    score = model.evaluate(x, y, 8, verbose=0)
    assert model.evaluate(x, y, 8, verbose=0, workers=2) == score
    scores = model.predict(x, 8, verbose=0, use_multiprocessing=False)
    np.testing.assert_array_equal(model.predict_proba(x, 8), scores)
    np.testing.assert_array_equal(model.predict_classes(x, 8), scores.argmax(axis=-1))
    assert model.metrics_names == ["loss", "accuracy"]
    binary = keras.Sequential([keras.Input((6,)), layers.Dense(1, "sigmoid")])
    classes = binary.predict_classes(x[:8])
    np.testing.assert_array_equal(classes, binary.predict(x[:8], verbose=0) > 0.5)
    assert (classes.shape, classes.dtype) == ((8, 1), np.int32)
    with pytest.raises(UnknownArgumentError, match=r"no argument 'epoch' \(did you mean 'epochs'"):
        model.fit(x, y, epoch=3)
    with pytest.raises(PlanError, match="nb_epoch= and epochs= are the same"):
        model.fit(x, y, nb_epoch=3, epochs=3)
    with pytest.raises(PlanError, match="multiple values for argument 'x'"):
        model.fit(x, y, x=x)


def test_methods_for_generators(blobs):
    x, y = blobs

    def batches():
        while True:
            for start in range(0, 40, 8):
                yield x[start : start + 8], y[start : start + 8]

    told = {"nb_epoch": 2, "nb_worker": 1, "pickle_safe": True, "verbose": 0}
    history = _model().fit_generator(
        batches(), samples_per_epoch=40, validation_data=batches(), nb_val_samples=16, **told
    )
    model = _model()
    then = model.fit(
        batches(),
        steps_per_epoch=5,
        epochs=2,
        validation_data=batches(),
        validation_steps=2,
        verbose=0,
    )
    assert history.history == then.history
    assert model.fit_generator(batches(), 5, 1, 0).epoch == [0]
    score = model.evaluate_generator(batches(), steps=39 / 8)
    assert model.evaluate_generator(batches(), val_samples=40) == score
    assert score == model.evaluate(x[:40], y[:40], 8, verbose=0)
    found = model.predict_generator(((part, None) for part, _ in batches()), 5)
    np.testing.assert_allclose(found, model.predict(x[:40], 8, verbose=0), rtol=1e-5)


def test_compile_in_old_words(blobs):
    x, y = blobs
    y = np.eye(3, dtype="float32")[y]
    model = _model(
        loss="kullback_leibler_divergence",
        metrics=["kld", "accuracy", "cosine_proximity"],
        sample_weight_mode=None,
        class_mode="categorical",
    )
    history = model.fit(x[:8], y[:8], verbose=0).history
    assert set(history) == {"loss", "kld", "accuracy", "cosine_proximity"}
    np.testing.assert_allclose(history["loss"], history["kld"], rtol=1e-4)
    assert old_logs.present("val_mean_squared_error", {"val_mse"}) == "val_mse"
    assert old_logs.present("digit_acc", {"digit_accuracy"}) == "digit_accuracy"
    with pytest.raises(UnsupportedError, match="target_tensors"):
        _model(target_tensors=[1])
    fresh = keras.Sequential([keras.Input((6,)), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        fresh.evaluate(x, y)


def test_both_names_in_a_history(blobs, said):
    x, y = blobs
    model = _model()
    rates = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)
    told = {"validation_data": (x[:8], y[:8]), "verbose": 0, "callbacks": [rates]}
    history = model.fit(x[:40], y[:40], 8, epochs=2, **told).history
    assert said() == []
    assert history["acc"] == history["accuracy"] == history.get("acc")
    assert history["val_acc"] == history["val_accuracy"]
    assert history["lr"] == history["learning_rate"]
    assert "val_acc" in history
    assert "val_mse" not in history
    assert history.get("mse") is None
    with pytest.raises(KeyError, match="mse"):
        history["mse"]
    shown = ["accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]
    assert sorted(history) == sorted(history.keys()) == sorted(dict(history)) == shown
    assert sorted(json.loads(json.dumps(history))) == shown
    assert pickle.loads(pickle.dumps(history)) == history == copy.deepcopy(history)
    assert "'acc'" not in repr(history)
    first, second = said()
    assert "acc and val_acc is gone since Keras 2.3" in first
    assert "the name lr in logs and histories is gone since Keras 3.0" in second


def test_both_names_in_what_callbacks_are_told(blobs):
    x, y = blobs
    seen = []

    class Own(keras.callbacks.Callback):
        """As people write them."""

        def on_batch_end(self, batch, logs=None):
            seen.append(logs["acc"] == logs["accuracy"])

        def on_epoch_end(self, epoch, logs=None):
            seen.append(logs.get("val_acc") == logs["val_accuracy"])
            logs["own"] = logs["acc"] * 2

    def after(epoch, logs):
        seen.append(logs["own"] == 2 * logs["accuracy"])

    callbacks = [Own(), keras.callbacks.LambdaCallback(on_epoch_end=after)]
    told = {"validation_data": (x[:8], y[:8]), "verbose": 0, "callbacks": callbacks}
    history = _model().fit(x[:40], y[:40], 8, **told).history
    assert seen == [True] * 7
    assert history["own"] == [2 * history["accuracy"][0]]


def test_a_run_knows_the_old_names(blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = blobs
    model = _model()

    def callbacks():
        return old_callbacks.today(
            [
                keras.callbacks.BackupAndRestore("backup"),
                keras.callbacks.ModelCheckpoint("w.{epoch:02d}-{val_acc:.2f}.hdf5", period=2),
                keras.callbacks.ModelCheckpoint("b.h5", monitor="val_acc", save_best_only=True),
                keras.callbacks.EarlyStopping(monitor="acc", patience=50),
                keras.callbacks.ReduceLROnPlateau(monitor="val_acc", epsilon=0.01, patience=50),
                [keras.callbacks.TensorBoard("logs", write_grads=True)],
            ]
        )

    made = callbacks()
    assert [type(item).__name__ for item in made] == [
        "ModelCheckpoint",
        "ModelCheckpoint",
        "EarlyStopping",
        "ReduceLROnPlateau",
    ]
    assert made[3].min_delta == 0.01
    model.evaluate(x[:8], y[:8], 8, verbose=0)  # it has its metrics now

    def fit(epochs):
        given = callbacks()
        old_callbacks.rename(given, model)
        told = {"validation_data": (x, y), "verbose": 0, "callbacks": given}
        return holdfast.Run("run").fit(model, x, y, epochs=epochs, **told)

    history = fit(3).history
    names = sorted(path.name for path in tmp_path.glob("w.*"))
    assert names == [f"w.02-{history['val_accuracy'][1]:.2f}.hdf5"]
    # Three epochs were looked at, the second saved: the fourth is the second after it.
    record = fit(4)
    history = record.history
    names = sorted(path.name for path in tmp_path.glob("w.*"))
    assert names[1:] == [f"w.04-{history['val_accuracy'][3]:.2f}.hdf5"]
    assert (tmp_path / "b.h5").exists()
    assert record.best_epoch == int(np.argmax(history["val_accuracy"]))


def test_a_program_s_own_early_stopping_has_what_keras_s_has():
    class Own(keras.callbacks.EarlyStopping):
        def on_epoch_end(self, epoch, logs=None):
            self.wait += self.get_monitor_value(logs) > self.min_delta
            self.model.stop_training = self.wait > self.patience

    own = Own(monitor="loss", patience=1, min_delta=0.0)
    ours = keras.callbacks.EarlyStopping(monitor="loss")
    assert isinstance(own, keras.callbacks.EarlyStopping)
    assert isinstance(ours, keras.callbacks.EarlyStopping)
    assert isinstance(ours, holdfast.EarlyStopping)
    assert not isinstance(own, holdfast.EarlyStopping)
    assert not isinstance(ours, Own)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 2)), np.ones((4, 1)) * 9, epochs=9, verbose=0, callbacks=[own])
    assert len(history.epoch) == 2


def test_a_monitor_without_validation_is_refused_before_the_first_step(blobs, tmp_path):
    x, y = blobs
    callback = keras.callbacks.EarlyStopping(monitor="val_acc")
    with pytest.raises(PlanError, match=r"'val_acc', .*no validation data\); there are: acc"):
        holdfast.Run(tmp_path / "run").fit(_model(), x, y, verbose=0, callbacks=[callback])
    with pytest.raises(UnknownArgumentError, match="did you mean 'restore_best_weights'"):
        keras.callbacks.EarlyStopping(restor_best_weights=True)
    with pytest.raises(PlanError, match=r"ModelCheckpoint\(period=…\) must be an integer >= 1"):
        keras.callbacks.ModelCheckpoint("w.h5", period=0)
