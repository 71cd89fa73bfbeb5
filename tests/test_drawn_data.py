"""Batches that somebody else makes, on their way to the device: how far ahead, what is said."""

import time

import keras
import numpy as np
import pytest

import holdfast

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
    lengths = [(4, 5), (4, 5), (2, 7), (4, 5), (3, 5), (3, 7), (4, 7)]
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
