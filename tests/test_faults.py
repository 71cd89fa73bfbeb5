"""Promise 3 on a disk that fails: the training goes on, says so once, and harms nothing."""

import errno
import os
import warnings

import keras
import numpy as np
import pytest

import holdfast
from holdfast.errors import NotSavedError, RunError
from holdfast.store import disk
from holdfast.store.faults import Failure, Faults
from holdfast.training import cadence

EPOCHS = 2
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)


def train(run, blobs, *, epochs=EPOCHS, **options):
    """Train a small model; returns its history and the model."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    options = {"every": holdfast.Every(steps=4), "verbose": 0, **options}
    x, y = blobs
    return run.fit(model, x, y, batch_size=8, epochs=epochs, **options), model


class Failing:
    """While this lasts the disk fails: from operation `first` to `last`, None for ever."""

    def __init__(self, first, last=None, error=errno.ENOSPC):
        self.operations = []
        failure = Failure(first, last, error)
        self.faults = Faults(log=self.operations.append, fail=failure)

    def __enter__(self):
        disk.switch = self.faults
        return self

    def __exit__(self, *_):
        disk.switch = None


@pytest.fixture
def whole(blobs, tmp_path):
    """The run that nothing failed, its model's weights, and how many operations it took."""
    run = holdfast.Run(tmp_path / "whole")
    with Failing(10**9) as watched:
        _, model = train(run, blobs)
    return run, model.get_weights(), len(watched.operations)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def before_the_first_step(path):
    """How many operations there are before the first checkpoint's."""


def test_a_disk_that_fails_for_good(whole, blobs, tmp_path, monkeypatch):
    """From the k-th operation on, for k over the whole training."""
    oracle, weights, count = whole
    monkeypatch.setattr(cadence, "_SECONDS", 0.0)  # tried again at once
    refused = saved = 0
    for number in range(1, count + 1, 3):
        error = ERRORS[number % 3]
        run = holdfast.Run(tmp_path / f"run-{number}")
        with Failing(number, error=error), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                _, model = train(run, blobs)
                kept = same(model.get_weights(), weights)
                assert kept
            except RunError as refusal:
                assert os.strerror(error) in str(refusal)
                assert "Nothing was trained" in str(refusal)
                refused += 1
            except NotSavedError as failure:
                assert os.strerror(error) in str(failure)
                assert "The model in memory is whole" in str(failure)
                saved += 1
        told = [str(item.message) for item in said if "cannot write to" in str(item.message)]
        assert len(told) <= 1, told
        if run.status != "new":
            assert run.verify().findings == ()
        train(run, blobs)
        assert run.digest() == oracle.digest(), f"after {os.strerror(error)} from {number} on"
        assert run.status == "finished"
    assert refused
    assert saved
