"""Batches that somebody else makes, on their way to the device: how far ahead, what is said."""

import time

import keras
import numpy as np
import pytest

import holdfast
from holdfast import errors
from holdfast.data.drawing import Drawing, Stopped, isolated
from holdfast.data.source import Schedule

X = np.random.default_rng(4).normal(size=(24, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def compiled():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Slices(keras.utils.PyDataset):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def __len__(self):
        return 6

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


def test_how_long_it_waits_for_data_is_said(tmp_path, capsys):
    holdfast.Run(tmp_path / "slow").fit(compiled(), Slices(0.1), epochs=2, verbose=2)
    _, second = [line for line in capsys.readouterr().out.splitlines() if "Epoch" in line]
    waited = int(second.partition("waiting for data ")[2].removesuffix(" %"))
    assert 60 <= waited <= 100
    holdfast.Run(tmp_path / "arrays").fit(compiled(), X, Y, epochs=2, verbose=2)
    assert "waiting" not in capsys.readouterr().out


@pytest.mark.parametrize("steps", [1, 3])
def test_nothing_is_drawn_that_nobody_asks_for(steps, tmp_path):
    """A generator that waits for more would keep a training that is done from ending."""
    drawn = {"x": 0, "validation_data": 0}

    def batches(name, most):
        while True:
            assert drawn[name] < most
            drawn[name] += 1
            yield X[:4], Y[:4]

    holdfast.Run(tmp_path / "run").fit(
        compiled(),
        batches("x", 2 * steps),
        epochs=2,
        steps_per_epoch=steps,
        validation_data=batches("validation_data", 2 * 2),
        validation_steps=2,
        verbose=0,
    )
    assert drawn == {"x": 2 * steps, "validation_data": 4}


def test_an_array_that_is_written_into_again_is_taken_as_it_was(tmp_path):
    def batches(array):
        for index in range(6):
            array[:] = X[4 * index : 4 * index + 4]
            yield array, Y[4 * index : 4 * index + 4]

    weights = []
    for name in ("written", "sliced"):
        model = compiled()
        data = batches(np.empty((4, 6), "float32")) if name == "written" else Slices(0)
        holdfast.Run(tmp_path / name).fit(model, data, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for written, sliced in zip(*weights, strict=True):
        np.testing.assert_array_equal(written, sliced)


def test_batches_of_other_sizes_and_shapes_come_in_their_order(tmp_path):
    """Words in sequences of their own length: each length is a program of its own."""
    lengths = [(4, 5), (2, 7), (4, 5), (4, 5), (3, 5), (3, 7), (4, 7)]
    random = np.random.default_rng(2)
    data = [(random.integers(0, 9, size), random.integers(0, 2, size[0])) for size in lengths]
    weights = []
    for fit in (holdfast.Run(tmp_path / "run").fit, keras.Model.fit):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((None,), dtype="int32"),
                keras.layers.Embedding(9, 4),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Dense(2, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        fit(model, iter_of(data), verbose=0)
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def iter_of(data):
    yield from data


class Again:
    """Batches that can be gone through again, as many as there are; with what comes after them."""

    def __init__(self, count, then=None):
        self.count = count
        self.then = then

    def __iter__(self):
        for index in range(self.count):
            rows = slice(4 * (index % 6), 4 * (index % 6) + 4)
            yield X[rows], Y[rows]
        if self.then is not None:
            raise self.then


class Looks(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


@pytest.mark.parametrize("callbacks", [[], [Looks()]])
def test_data_that_fails_costs_no_step_before_it(callbacks, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    with pytest.raises(OSError, match="the disk is gone"):
        run.fit(compiled(), Again(7, OSError("the disk is gone")), callbacks=callbacks, verbose=0)
    assert run.position.total == 7
    run.fit(compiled(), Again(9), callbacks=callbacks, verbose=0)
    assert run.position.total == 9


def test_epochs_that_meet_the_end_of_the_data(tmp_path):
    """That there are 6 batches shows when the third epoch asks for one more."""
    weights = []
    for name, told in (("cut", {"steps_per_epoch": 3, "epochs": 4}), ("whole", {"epochs": 2})):
        model = compiled()
        history = holdfast.Run(tmp_path / name).fit(model, Again(6), verbose=0, **told)
        assert np.isfinite(history.history["loss"]).all()
        weights.append(model.get_weights())
    for cut, whole in zip(*weights, strict=True):
        np.testing.assert_array_equal(cut, whole)


def test_a_generator_of_just_as_many_batches_as_are_trained_on(tmp_path):
    run = holdfast.Run(tmp_path / "run")
    with pytest.warns(UserWarning, match="ended after 6 batches: the training ends after epoch 2"):
        history = run.fit(compiled(), iter(Again(6)), steps_per_epoch=3, epochs=5, verbose=0)
    assert history.epoch == [0, 1]
    assert np.isfinite(history.history["loss"]).all()


def test_data_that_is_shorter_than_it_was_is_refused(tmp_path):
    run = holdfast.Run(tmp_path / "run")
    with pytest.raises(OSError, match="gone"):
        run.fit(compiled(), Again(5, OSError("gone")), verbose=0)
    with pytest.raises(errors.RunError, match="gave 3 batches, and the training stands after 5"):
        run.fit(compiled(), Again(3), verbose=0)


def test_validation_data_that_can_be_gone_through_once(tmp_path):
    def fit(**told):
        told = {"epochs": 2, "verbose": 0, **told}
        return holdfast.Run(tmp_path / "run").fit(
            compiled(), X, Y, validation_data=iter(Again(6)), **told
        )

    with pytest.raises(errors.UnsupportedError, match="there are 2 validations"):
        fit()
    with pytest.warns(UserWarning, match="no batch is left of it for epoch 2"):
        fit(validation_steps=6)


def test_batches_of_words_are_for_keras_alone(tmp_path):
    words = [(np.array(["one", "two"]), np.zeros(2))]
    with pytest.raises(errors.UnsupportedError, match="expected arrays of numbers"):
        holdfast.Run(tmp_path / "run").fit(compiled(), iter(words), verbose=0)


class Counted:
    """A source whose state is large, and whose batches take their time."""

    kind, place, length, once = "a test's", "saved", None, False
    schedule = Schedule(None)

    def open(self, number, batch, state=None):
        return self

    def turn(self, number): ...

    def begins_again(self): ...

    def draw(self):
        time.sleep(0.001)
        return X[:4]

    def state(self):
        return {"buffer": np.zeros(1 << 22, "uint8")}

    def close(self): ...


def test_a_long_way_to_the_place_is_left_on_a_signal():
    drawing = Drawing(Counted(), 1, keeps_states=True, stopped=lambda: True)
    began = time.monotonic()
    with pytest.raises(Stopped), isolated():
        drawing.seek(0, 100_000)
    assert time.monotonic() - began < 5


def test_states_of_a_source_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("holdfast.data.drawing._COST", 1.0)  # as often as may be
    drawing = Drawing(Counted(), 1)
    with isolated():
        drawing.seek(0, 0)
        for _ in range(200):
            drawing.draw()
    anchors = [drawing.place(0, batch)["batch"] for batch in (0, 40, 120, 200)]
    assert anchors[0] == 0
    assert anchors[-1] > 150, "the place is far from a state"
    assert len(drawing._anchors) <= 32


def test_many_blocks_one_after_the_other(tmp_path):
    """More batches than two blocks have room for: some are sent to the device ahead."""
    random = np.random.default_rng(6)
    x, y = random.normal(size=(800, 6)).astype("float32"), random.integers(0, 2, 800)

    def batches(count=400, then=None):
        for index in range(count):
            yield x[2 * index : 2 * index + 2], y[2 * index : 2 * index + 2]
        if then is not None:
            raise then

    def wide():
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(600, activation="relu") for _ in range(2)]
        model = keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(2, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    told = {"epochs": 1, "verbose": 0}
    whole, stopped = holdfast.Run(tmp_path / "whole"), holdfast.Run(tmp_path / "stopped")
    drawn, sliced = wide(), wide()
    whole.fit(drawn, batches(), **told)
    with pytest.raises(OSError, match="gone"):
        stopped.fit(wide(), batches(230, OSError("gone")), **told)
    assert stopped.position.total == 230
    stopped.fit(wide(), batches(), **told)
    assert stopped.digest() == whole.digest()
    sliced.fit(x, y, batch_size=2, shuffle=False, **told)
    for ours, theirs in zip(drawn.get_weights(), sliced.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
