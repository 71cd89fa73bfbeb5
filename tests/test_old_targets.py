"""Losses and metrics of a program's own, and data, in the forms that older Keras took."""

import json
import sys
from types import ModuleType

import keras
import numpy as np
import pytest
from keras import backend as K  # noqa: N812
from keras import layers

from holdfast.compat import old, old_backend, old_inputs, old_methods
from holdfast.compat.patches import Patches

TODAYS = """
import keras

def squared(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred[:, 0]))
"""


@pytest.fixture(scope="module", autouse=True)
def enabled():
    patches = Patches()
    old.begin(quiet=True)
    for module in (old_backend, old_inputs, old_methods):
        module.put(patches)
    yield
    patches.undo()
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="Expected `metrics` argument to be a list"):
        model.compile("sgd", "mse", metrics="mae")
    assert old_methods.fit_signature().parameters["epochs"].default == 1


def r2(y_true, y_pred):
    rest = K.sum(K.square(y_true - y_pred))
    return 1 - rest / (K.sum(K.square(y_true - K.mean(y_true))) + K.epsilon())


def f1(y_true, y_pred):
    hits = K.sum(K.round(K.clip(y_true * y_pred, 0, 1)))
    found = K.sum(K.round(K.clip(y_pred, 0, 1)))
    return hits / (found + K.sum(K.round(K.clip(y_true, 0, 1))) + K.epsilon())


class Mean(keras.metrics.Metric):
    """A metric as older programs wrote them."""

    def __init__(self, name="own", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight("total", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(K.sum((y_true - y_pred) ** 2))

    def result(self):
        return self.total


class Squares(keras.losses.Loss):
    """A loss as older programs wrote them."""

    def call(self, y_true, y_pred):
        return K.mean(K.square(y_true - y_pred), axis=-1)


@pytest.fixture(scope="module")
def data():
    r = np.random.RandomState(0)
    x = r.rand(64, 4).astype("float32")
    weights = [r.randn(4, 1).astype("float32"), np.zeros(1, "float32")]
    return x, (x.sum(1) > 2).astype("float32"), weights


def _model(weights=None, **compiled):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    if weights is not None:
        model.set_weights(weights)
    model.compile(optimizer="sgd", **compiled)
    return model


def test_metrics_of_a_program_are_given_targets_as_columns(data):
    x, y, weights = data
    for targets in (y, y.astype(int), y[:, None]):
        model = _model(weights, loss=Squares(), metrics=[r2, f1, Mean(), "mae", "acc"])
        found = model.evaluate(x, targets, batch_size=32, verbose=0, return_dict=True)
        # What Keras 2.15 gives.
        then = {"loss": 1.5507, "r2": -5.2623, "f1": 0.326, "mae": 1.0979, "acc": 0.5156}
        assert {name: found[name] for name in then} == pytest.approx(then, abs=1e-4)
        assert found["own"] == pytest.approx(64 * found["loss"], rel=1e-5)
    validated = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    assert validated["val_own"][0] == pytest.approx(64 * validated["val_loss"][0], rel=1e-5)
    config = model.get_compile_config()["metrics"]
    assert [part["config"] for part in config[:2]] == ["r2", "f1"]
    json.dumps(config)


def test_a_loss_of_a_program_is_given_targets_as_columns(data):
    x, y, weights = data
    plain = _model(weights, loss="mse").evaluate(x, y, verbose=0)
    assert _model(weights, loss=Squares()).evaluate(x, y, verbose=0) == pytest.approx(plain)
    # Called by the program itself, it is given what the program gives it.
    assert Squares()(y, x[:, :1]).shape == ()
    wide = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    wide.compile("sgd", lambda y_true, y_pred: K.mean(K.abs(y_true - y_pred), axis=-1))
    assert wide.evaluate(x, y, verbose=0) > 0


def test_the_metric_of_keras_that_refuses_them(data):
    x, y, _ = data
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["binary_crossentropy"])
    loss, metric = model.evaluate(x, y, verbose=0)
    assert metric == pytest.approx(loss, rel=1e-5)


def test_a_metric_written_with_todays_functions_is_left_alone(data):
    x, y, weights = data
    program = ModuleType("todays_program")
    exec(TODAYS, vars(program))
    sys.modules[program.__name__] = program
    try:
        model = _model(weights, loss="mse", metrics=[program.squared])
        loss, metric = model.evaluate(x, y, verbose=0)
    finally:
        del sys.modules[program.__name__]
    assert metric == pytest.approx(loss, rel=1e-5)


def test_metrics_and_losses_in_other_forms(data):
    x, y = data[0][:4], data[1][:4]
    eager = {"optimizer": "sgd", "run_eagerly": True}
    one = _model()
    for told in ("acc", ("acc",), [None, "acc"], {"a": "acc"}):
        one.compile(loss="mse", metrics=told, **eager)
        assert set(one.fit(x, y, verbose=0).history) == {"loss", "acc"}
    one.compile(loss="mse", metrics=f1, **eager)
    assert "f1" in one.fit(x, y, verbose=0).history
    start = keras.Input((4,))
    two = keras.Model(start, [layers.Dense(1, name=name)(start) for name in "pq"])
    each = ["loss", "p_loss", "p_mae", "q_loss", "q_mae"]
    for told in (
        {"loss": "mse", "metrics": ["mae"]},
        {"loss": "mse", "metrics": "mae", "loss_weights": [1, 0.5]},
        {"loss": "mse", "metrics": ["mae"], "loss_weights": {"p": 1, "q": 0.5}},
        {"loss": {"p": "mse", "q": "mse"}, "metrics": [keras.metrics.MeanAbsoluteError("mae")]},
    ):
        two.compile(**told, **eager)
        assert sorted(two.fit(x, [y, y], verbose=0).history) == each
    two.compile(loss="mse", metrics=["mae", "mse"], **eager)
    assert "p_mse" not in two.fit(x, [y, y], verbose=0).history, "as it is today"
    two.compile(loss={"p": "mse"}, **eager)
    before = two.layers[2].get_weights()[0]
    two.fit(x, [y, y], verbose=0)
    np.testing.assert_array_equal(two.layers[2].get_weights()[0], before)


def test_lists_of_numbers(data):
    x, y, weights = data
    model, lists = _model(weights, loss="mse"), (x.tolist(), y.tolist())
    plain = model.evaluate(x, y, verbose=0)
    assert model.evaluate(*lists, verbose=0) == plain
    np.testing.assert_array_equal(model.predict(lists[0]), model.predict(x, verbose=0))
    assert model.predict([list(x[0]), list(x[1])]).shape == (2, 1)
    assert model.predict([x]).shape == (64, 1), "a list of arrays is several inputs"
    told = {"shuffle": False, "verbose": 0}
    then = model.fit(x, y, sample_weight=y, validation_data=(x, y), **told).history
    model.set_weights(weights)
    assert model.fit(*lists, sample_weight=lists[1], validation_data=lists, **told).history == then
    one = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    assert one.predict([10.0]).shape == (1, 1)


def test_fit_that_a_program_has_wrapped(data):
    x, y, _ = data
    ours = keras.Model.fit

    def fit(*args, **kwargs):
        return ours(*args, **kwargs)

    keras.Model.fit = fit
    try:
        assert len(_model(loss="mse").fit(x, y, nb_epoch=2, verbose=0).epoch) == 2
    finally:
        keras.Model.fit = ours
