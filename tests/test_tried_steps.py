"""A step that was tried on shapes is traced again wherever something may have changed it since."""

import keras
import numpy as np
import pytest

import holdfast


class Scaled(keras.layers.Layer):
    """Multiplies by a number that is no variable, and counts how often it is traced."""

    scale = 1.0
    traced = 0

    def call(self, x):
        self.traced += 1
        return x * self.scale


def built():
    layer = Scaled()
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse")
    return model, layer


def losses(path, model, **more):
    x = np.full((8, 3), 2.0, "float32")
    run = holdfast.Run(path)
    return run.fit(model, x, np.zeros_like(x), batch_size=8, verbose=0, **more).history["loss"]


class Before(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[-1].scale = 10.0


class BeforeAndEarly(holdfast.EarlyStopping):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[-1].scale = 10.0


class Kept(keras.callbacks.Callback):
    """Scales more after the first epoch, and puts that back in the next attempt."""

    scale = 1.0

    def on_epoch_end(self, epoch, logs=None):
        self.scale = 10.0

    def get_state(self):
        return {"scale": self.scale}

    def set_state(self, state):
        self.model.layers[-1].scale = state["scale"]


def test_without_hooks_it_is_traced_once(tmp_path):
    model, layer = built()
    layer.traced = 0
    assert losses(tmp_path / "run", model) == [4.0]
    hooked, other = built()
    other.traced = 0
    losses(tmp_path / "hooked", hooked, callbacks=[Before()])
    assert other.traced == layer.traced + 1


@pytest.mark.parametrize("callback", [Before(), BeforeAndEarly(monitor="loss")])
def test_what_a_hook_changes_is_seen(tmp_path, callback):
    model, _ = built()
    assert losses(tmp_path / "run", model, callbacks=[callback]) == [400.0]


def test_what_an_attempt_puts_back_is_seen(tmp_path):
    model, _ = built()
    losses(tmp_path / "run", model, callbacks=[Kept()])
    model, _ = built()
    found = losses(tmp_path / "run", model, callbacks=[Kept()], epochs=2)
    assert found == [4.0, 400.0]


def test_batches_of_another_structure_are_not_mixed_up(tmp_path):
    class Mixed(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            x = np.full((4, 1), 2.0, "float32")
            other = "b" if index == 0 else "c"
            return {"a": x, other: 5 * x}, np.zeros((4, 1), "float32")

    class Named(keras.Model):
        def call(self, x):
            return x["b"] * 1.0

    model = Named()
    model.compile("sgd", "mse")
    with pytest.raises(KeyError, match="b"):
        holdfast.Run(tmp_path / "run").fit(model, Mixed(), shuffle=False, verbose=0)
