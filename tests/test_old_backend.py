"""`from keras import backend as K`: each function gives what Keras 2.15 gave."""

import json
from pathlib import Path

import jax
import keras
import numpy as np
import pytest
from old_backend_calls import calls, plain

from holdfast.compat import old, old_backend
from holdfast.compat.patches import Patches
from holdfast.errors import PlanError, UnsupportedError

_THEN = json.loads((Path(__file__).parent / "data/backend_of_keras_2.json").read_text())
# What is no array, or changes a variable.
_ALONE = {"of a tensor", "shape", "variable", "learning_phase"}


@pytest.fixture(scope="module")
def K():  # noqa: N802
    patches = Patches()
    old.begin(quiet=True)
    old_backend.put(patches)
    yield keras.backend
    patches.undo()
    assert not hasattr(keras.backend, "mean")


def test_every_function_returns_what_keras_2_returned(K):  # noqa: N803
    assert calls(K).keys() == _THEN.keys()
    # All in one compiled function: one by one, each operation would be compiled.
    together = jax.jit(lambda: {name: calls(K)[name]() for name in _THEN.keys() - _ALONE})()
    found = together | {name: calls(K)[name]() for name in _ALONE}
    for name, then in _THEN.items():
        assert _close(plain(K, found[name]), then), name


def test_what_is_there_is_left_alone():
    there = {name: getattr(keras.backend, name) for name in ("epsilon", "floatx", "backend")}
    patches = Patches()
    old_backend.put(patches)
    assert there == {name: getattr(keras.backend, name) for name in there}
    patches.undo()


def test_a_function_of_a_models_tensors(K):  # noqa: N803
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5, seed=1)]
    )
    x = np.ones((2, 3), "float32")
    dense = model.layers[0]
    (found,) = K.function(model.inputs, [dense.output])([x])
    np.testing.assert_allclose(found, x @ dense.get_weights()[0], rtol=1e-5)
    both = K.function([*model.inputs, K.learning_phase()], model.outputs)
    assert (both([x, 0])[0] != 0).all()
    assert (both([x, 1])[0] == 0).any()


def test_in_layers_and_losses_of_a_models_own(K):  # noqa: N803
    def distance(true, found):
        return K.sqrt(K.sum(K.square(true - found), axis=-1) + K.epsilon())

    model = keras.Sequential(
        [
            keras.Input((2, 3)),
            keras.layers.Lambda(lambda x: K.l2_normalize(K.mean(x, axis=1), axis=-1)),
            keras.layers.Lambda(lambda x: K.concatenate([x, K.ones_like(x)])),
            keras.layers.Dense(2),
        ]
    )
    model.compile("sgd", distance)
    x, y = np.ones((4, 2, 3), "float32"), np.zeros((4, 2), "float32")
    losses = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]


def test_random_numbers_are_drawn(K):  # noqa: N803
    keras.utils.set_random_seed(3)
    normal = K.get_value(K.random_normal((1000,), mean=2.0, stddev=0.5))
    uniform = K.get_value(K.random_uniform((1000,), minval=-1.0, maxval=3.0))
    assert abs(normal.mean() - 2.0) < 0.1
    assert abs(normal.std() - 0.5) < 0.1
    assert uniform.min() >= -1.0
    assert uniform.max() < 3.0
    assert abs(uniform.mean() - 1.0) < 0.2
    assert 0.2 < K.get_value(K.random_binomial((1000,), p=0.3)).mean() < 0.4


def test_the_order_of_an_images_dimensions(K):  # noqa: N803
    before = keras.config.image_data_format()
    try:
        K.set_image_dim_ordering("th")
        assert keras.config.image_data_format() == "channels_first"
        assert K.image_dim_ordering() == "th"
        with pytest.raises(PlanError, match="must be 'th' or 'tf', found 'xy'"):
            K.set_image_dim_ordering("xy")
    finally:
        keras.config.set_image_data_format(before)


def test_what_there_is_no_more_says_what_there_is(K):  # noqa: N803
    with pytest.raises(UnsupportedError, match=r"K\.gradients .* jax\.grad"):
        K.gradients(1, [2])
    with pytest.raises(UnsupportedError, match="override train_step"):
        K.function([], [], updates=[1])
    with pytest.raises(PlanError, match=r"sets a variable, found 0\.1"):
        K.set_value(0.1, 0.2)


def test_each_is_said_once(K, capsys):  # noqa: N803
    old.begin(quiet=False)
    for _ in range(2):
        K.mean(np.ones(3))
    old.begin(quiet=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("K.mean is gone since Keras 3.0; today: keras.ops.mean")
    assert "test_old_backend.py:" in line


def test_layers_that_draw_numbers_draw_others_each_time(K):  # noqa: N803
    def sample(parts):
        mean, spread = parts
        noise = K.random_normal(shape=(K.shape(mean)[0], K.int_shape(mean)[1]))
        return mean + K.exp(spread / 2) * noise

    class Sampling(keras.layers.Layer):
        """As tutorials have it."""

        def call(self, inputs):
            return inputs + K.random_uniform(K.shape(inputs))

    start = keras.Input((4,))
    drawn = keras.layers.Lambda(sample, output_shape=(4,))([start, start])
    model = keras.Model(start, Sampling()(drawn))
    model.compile("sgd", "mse")
    x = np.zeros((8, 4), "float32")
    losses = model.fit(x, x, epochs=3, batch_size=8, verbose=0).history["loss"]
    assert len(set(losses)) == 3
    assert (model.predict(x, verbose=0) != model.predict(x, verbose=0)).all()


def _close(found, then):
    if isinstance(then, list):
        same = isinstance(found, (list, tuple)) and len(found) == len(then)
        return same and all(_close(*pair) for pair in zip(found, then, strict=True))
    if isinstance(then, float):
        # Keras 2 took crossentropies of probabilities an epsilon away.
        return bool(np.isclose(found, then, rtol=2e-5, atol=2e-6, equal_nan=True))
    return found == then
