"""Promise 3 on a disk that fails: the training goes on, says so once, and harms nothing."""

import errno
import os
import warnings

import keras
import numpy as np
import pytest

import holdfast
from holdfast.errors import NoRoomError, NotSavedError, RunError
from holdfast.store import disk
from holdfast.store.faults import Failure, Faults
from holdfast.training import cadence, keeper

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


def at_once(monkeypatch):
    """Have what failed tried again without a pause."""
    monkeypatch.setattr(cadence, "_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "_LAST_PAUSES", (0.0,) * 3)


def attempt(run, blobs, failing):
    """Train on a disk that fails; returns the model, the error, and what was said of the disk."""
    model = error = None
    with failing, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            _, model = train(run, blobs)
        except (RunError, NotSavedError) as caught:
            error = caught
    return model, error, [str(item.message) for item in said if "cannot write" in str(item.message)]


def test_a_disk_that_fails_for_good(whole, blobs, memory, monkeypatch):
    """From the k-th operation on, for k over the whole training."""
    oracle, weights, count = whole
    at_once(monkeypatch)
    refused = unsaved = 0
    for number in range(1, count + 1, 5):
        error = ERRORS[number % 3]
        run = holdfast.Run(memory / f"run-{number}")
        model, failure, said = attempt(run, blobs, Failing(number, error=error))
        where = f"after {os.strerror(error)} from operation {number} of {count} on"
        assert len(said) <= 1, where
        if failure is None:
            assert same(model.get_weights(), weights), where
        else:
            assert os.strerror(error) in str(failure), where
        if isinstance(failure, RunError):
            assert "Nothing was trained" in str(failure), where
            refused += 1
        if isinstance(failure, NotSavedError):
            assert "The model in memory is whole" in str(failure), where
            assert said, where
            unsaved += 1
        if run.status != "new":
            assert run.verify().findings == (), where
        train(run, blobs)
        assert run.digest() == oracle.digest(), where
        assert run.status == "finished", where
    assert refused
    assert unsaved


def test_the_model_is_whole_when_its_end_could_not_be_saved(whole, blobs, tmp_path, monkeypatch):
    at_once(monkeypatch)
    _, weights, _ = whole
    failing = Failing(1)

    class Last(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            failing.model = self.model
            failing.__enter__()

    run = holdfast.Run(tmp_path / "run")
    try:
        with pytest.warns(UserWarning, match="cannot write to"), pytest.raises(NotSavedError):
            train(run, blobs, callbacks=[Last()])
    finally:
        disk.switch = None
    assert same(failing.model.get_weights(), weights)
    assert run.verify().findings == ()
    assert run.position.total >= 8


def test_a_disk_that_fails_for_a_while(whole, blobs, memory, monkeypatch):
    """Six operations fail, wherever they are: the training ends as if nothing had happened."""
    oracle, _, count = whole
    at_once(monkeypatch)
    trained = 0
    for number in range(1, count - 20, 11):
        run = holdfast.Run(memory / f"run-{number}")
        _, failure, said = attempt(run, blobs, Failing(number, number + 5, ERRORS[number % 3]))
        where = f"operations {number} to {number + 5} of {count} fail"
        assert len(said) <= 1, where
        if isinstance(failure, RunError):
            continue
        assert failure is None, where
        trained += 1
        assert run.verify().findings == (), where
        assert run.digest() == oracle.digest(), where
        assert run.history.series == oracle.history.series, where
        assert run.status == "finished", where
    assert trained > 5


def test_after_a_failure_it_waits_longer_each_time(blobs, tmp_path, monkeypatch):
    """Not at each checkpoint: the disk would be asked again and again."""
    monkeypatch.setattr(keeper, "_LAST_PAUSES", ())
    run = holdfast.Run(tmp_path / "run")
    failing = Failing(40)
    _, failure, _ = attempt(run, blobs, failing)
    assert isinstance(failure, NotSavedError)
    tried = [item.path for item in failing.operations if item.kind == "create"]
    assert len([path for path in tried if path.suffix == ".safetensors"]) <= 4


def test_a_disk_without_room_is_refused_before_the_first_step(blobs, tmp_path):
    steps = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(batch)

    run = holdfast.Run(tmp_path / "run")
    keep = holdfast.Keep(last=10**12)
    with pytest.raises(NoRoomError, match=r"will need .* checkpoints of .* and the disk has") as no:
        train(run, blobs, keep=keep, epochs=10**12, callbacks=[Count()])
    assert "holdfast.Keep(last=1, best=0)" in str(no.value)
    assert not steps
    assert run.checkpoints == []
    train(run, blobs, keep=keep)  # all that will be there do fit
    assert run.status == "finished"


@pytest.mark.parametrize("path", ["/proc/run", "/dev/null/run"])
def test_a_directory_that_cannot_be_made_is_refused(blobs, path):
    with pytest.raises(RunError, match=r"cannot use .*run for the run: .*Nothing was trained"):
        train(holdfast.Run(path), blobs)


def test_a_directory_that_cannot_be_written_to_is_refused(blobs, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    for number in range(1, 4):
        with Failing(number, error=errno.EROFS), pytest.raises(RunError, match="Read-only"):
            train(run, blobs)


class Stubborn(Faults):
    """The first attempts to delete what a rollback undid fail."""

    def __init__(self, fails):
        super().__init__()
        self.left = fails

    def around(self, kind, path, **details):
        if kind == "remove" and self.left and path.suffix == ".json":
            self.left -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().around(kind, path, **details)


def test_what_could_not_be_deleted_at_a_rollback_takes_nothing_newer_with_it(blobs, tmp_path):
    x, y = blobs
    x = x.copy()
    x[24:32] = 1e20
    runs = []
    for fails in (0, 1, 2, 3):
        run = holdfast.Run(tmp_path / f"run-{fails}")
        disk.switch = Stubborn(fails)
        try:
            train(
                run,
                (x, y),
                callbacks=[holdfast.Rollback(factor=0.5, most=3)],
                every=holdfast.Every(steps=1),
                keep=holdfast.Keep(last=50),
                shuffle=False,
            )
        finally:
            disk.switch = None
        runs.append([(item.position, item.final, item.digest) for item in run.checkpoints])
    assert len(runs[0]) > 5
    assert runs[1:] == runs[:1] * 3
