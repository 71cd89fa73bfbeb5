"""Run.fit on TensorFlow: exact over restarts, and the same as Model.fit."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import keras

if keras.config.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import holdfast
from holdfast import keras_private
from holdfast.engines.tensorflow import TensorFlowSteps
from holdfast.errors import Interrupted, UnsupportedError
from holdfast.events import RolledBack
from holdfast.state import variables
from holdfast.testing import restart_at_every_step

PROGRAM = Path(__file__).parents[1] / "programs" / "backends.py"
LOSS = "sparse_categorical_crossentropy"


def sentences(samples):
    """Return sequences of five words, and one of three classes for each."""
    numbers = np.random.default_rng(5)
    y = numbers.integers(0, 3, samples).astype("int32")
    return (numbers.integers(0, 7, (samples, 5)) + y[:, None]).astype("int32"), y


def model_of(optimizer, *, dtype=None, recurrent=False, **more):
    """Embedding, BatchNormalization, Dropout: sparse gradients, running means, random state."""
    layers = keras.layers
    inner = (
        layers.SimpleRNN(4, recurrent_dropout=0.2, dtype=dtype) if recurrent else layers.Flatten()
    )
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(10, 4, dtype=dtype),
            inner,
            layers.BatchNormalization(dtype=dtype),
            layers.Dropout(0.3, dtype=dtype),
            layers.Dense(3, "softmax", dtype="float32"),
        ]
    )
    model.compile(optimizer, LOSS, metrics=["accuracy"], **more)
    return model


def test_stopped_anywhere_it_ends_with_the_same_bits(memory):
    """The last batch is a partial one: some attempts begin with it."""
    x, y = sentences(10)

    def make(seed):
        keras.utils.set_random_seed(seed)
        model = model_of(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.8))
        return {"model": model, "x": x, "y": y, "batch_size": 8, "epochs": 2, "verbose": 0}

    assert restart_at_every_step(make, memory).moments == 2 * (2 + 1)


def scaled():
    """The scale of the loss grows and falls within."""
    inner = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)
    return keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**13, dynamic_growth_steps=2)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (scaled, {"dtype": "mixed_float16"}),
        (lambda: "rmsprop", {"dtype": "mixed_bfloat16", "run_eagerly": True}),
        (lambda: "adam", {"recurrent": True}),
        (lambda: "adam", {"jit_compile": True}),
    ],
    ids=["loss-scale", "bfloat16", "recurrent", "xla"],
)
def test_interrupted_it_ends_with_the_same_bits(tmp_path, optimizer, settings):
    x, y = sentences(8)

    def fitted(run, seed, stop=0):
        taken = []

        def look(batch, logs):
            taken.append(batch)
            if len(taken) == stop:
                os.kill(os.getpid(), signal.SIGTERM)

        keras.utils.set_random_seed(seed)
        model = model_of(optimizer(), **settings)
        watching = keras.callbacks.LambdaCallback(on_train_batch_end=look)
        run.fit(model, x, y, batch_size=4, epochs=2, verbose=0, callbacks=[watching])
        return run.digest()

    stopped = holdfast.Run(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        fitted(stopped, 1, stop=3)
    assert stopped.position.total == 3
    assert fitted(stopped, 2) == fitted(holdfast.Run(tmp_path / "whole"), 1)


class Draws(keras.callbacks.Callback):
    """Draws from every global generator there is."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_train_batch_end(self, batch, logs=None):
        self.drawn.append(
            [
                random.random(),
                np.random.rand(),
                float(keras.random.uniform(())),
                float(tf.random.uniform(())),
                float(tf.random.get_global_generator().uniform(())),
            ]
        )


def test_random_state_goes_on(memory):
    """Of whatever a callback draws from, with a hook that looks at batches."""
    x, y = sentences(8)
    callbacks = []

    def make(seed):
        keras.utils.set_random_seed(seed)
        tf.random.set_global_generator(tf.random.Generator.from_seed(seed))
        callbacks.append(Draws())
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, "softmax")])
        model.compile("sgd", LOSS, run_eagerly=True)
        return {
            "model": model,
            "x": x,
            "y": y,
            "batch_size": 4,
            "epochs": 2,
            "verbose": 0,
            "callbacks": [callbacks[-1]],
        }

    restart_at_every_step(make, memory)
    assert callbacks[-1].drawn == callbacks[0].drawn
    assert len({number for drawn in callbacks[0].drawn for number in drawn}) == 4 * 5


class Hooks(keras.callbacks.Callback):
    """Notes what is called, with what."""

    def __init__(self):
        super().__init__()
        self.called = []

    def on_train_batch_begin(self, batch, logs=None):
        self.called.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.called.append(("end", batch, sorted(logs), float(logs["loss"])))

    def on_test_batch_end(self, batch, logs=None):
        self.called.append(("test", batch, sorted(logs)))


@pytest.mark.parametrize(
    "settings", [{}, {"jit_compile": True}, {"steps_per_execution": 2}, {"run_eagerly": True}]
)
def test_it_trains_as_keras_does(tmp_path, settings):
    x, y = sentences(16 if settings.get("jit_compile") else 20)  # each size is compiled anew

    def made():
        keras.utils.set_random_seed(4)
        return model_of(keras.optimizers.Adam(0.01), **settings)

    hooks, theirs = Hooks(), Hooks()
    more = {"epochs": 2, "batch_size": 8, "shuffle": False, "validation_data": (x, y), "verbose": 0}
    expected = made()
    history = expected.fit(x, y, callbacks=[theirs], **more)
    model = made()
    found = holdfast.Run(tmp_path / "run").fit(model, x, y, callbacks=[hooks], **more)
    for ours, keras_own in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=1e-7)
    assert list(found.history) == list(history.history)
    for name, values in history.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=1e-5)
    for ours, keras_own in zip(hooks.called, theirs.called, strict=True):
        assert ours[:3] == keras_own[:3]
        assert ours[3:] == pytest.approx(keras_own[3:], rel=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_value_that_is_held_stays_what_it_was(jit_compile):
    x, y = sentences(8)
    model = model_of("adam", jit_compile=jit_compile)
    keras_private.build(model, (x, y))
    steps = TensorFlowSteps(model, watch=False)
    all_of_it = [variable for group in variables.groups(model) for variable in group]
    steps.train((x, y))
    held = [steps.value(variable) for variable in all_of_it]
    before = steps.copy([variable.value for variable in all_of_it])
    steps.train((x, y))
    model.reset_metrics()
    model.set_weights([weights * 2 for weights in model.get_weights()])
    for value, was in zip(held, before, strict=True):
        np.testing.assert_array_equal(np.array(value), was)
    now = steps.copy([variable.value for variable in all_of_it])
    changed = [not np.array_equal(a, b) for a, b in zip(now, before, strict=True)]
    assert sum(changed) > len(all_of_it) // 2


def test_a_step_that_breaks_the_training_is_gone_back_from(memory):
    numbers = np.random.default_rng(1)
    x = numbers.normal(size=(24, 5)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    x[8:16] = 1e20

    def make(seed):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=seed > 0)
        return {
            "model": model,
            "x": x,
            "y": y,
            "batch_size": 8,
            "shuffle": False,
            "verbose": 0,
            "callbacks": [holdfast.Rollback()],
        }

    run = holdfast.Run(memory / "run")
    given = make(0)
    run.fit(**given)
    (event,) = [event for event in run.journal().lived() if isinstance(event, RolledBack)]
    assert list(event.samples) == list(range(8, 16))
    assert all(np.isfinite(weights).all() for weights in given["model"].get_weights())
    restart_at_every_step(lambda seed: make(seed + 1), memory / "restarts")


def test_killed_it_ends_with_the_same_bits(tmp_path):
    """The program kills itself at its fourth step, wherever its writer is by then."""
    run = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, PROGRAM, run, "3", tmp_path / "none.npz", "dropout", "every", "killed"],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert holdfast.Run(run).status == "interrupted"
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        from backends import train
    finally:
        sys.path.pop(0)
    train(run, 3, tmp_path / "again.npz", "dropout", "every")
    train(tmp_path / "whole", 3, tmp_path / "whole.npz", "dropout", "every")
    assert holdfast.Run(run).digest() == holdfast.Run(tmp_path / "whole").digest()


class Noisy(keras.layers.Layer):
    """Draws numbers, and counts its calls, behind Keras's back."""

    def __init__(self):
        super().__init__()
        self.calls = tf.Variable(0.0, trainable=False, name="calls")

    def call(self, x):
        self.calls.assign_add(1.0)
        return x + tf.random.normal(tf.shape(x), stddev=0.01)


def test_what_cannot_be_kept_is_named(tmp_path):
    x, y = sentences(4)
    model = keras.Sequential([keras.Input((5,)), Noisy(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", LOSS)
    with pytest.warns(UserWarning, match=r"a step (draws|changes)") as warned:
        holdfast.Run(tmp_path / "run").fit(model, x, y, verbose=0)
    said = " ".join(str(one.message) for one in warned)
    assert "RandomStandardNormal" in said
    assert "a step changes calls:0" in said


def test_a_strategy_is_refused_before_the_first_step(tmp_path):
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        model = model_of("sgd")
    with pytest.raises(UnsupportedError, match="OneDeviceStrategy"):
        holdfast.Run(tmp_path / "run").fit(model, *sentences(4), verbose=0)
