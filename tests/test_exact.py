"""Promise 1: a run stopped anywhere ends with the same bits as one never interrupted."""

import keras
import numpy as np
import pytest

import holdfast
from holdfast.testing import NotExactError, restart_at_every_step


def model_of_everything(learning_rate):
    """BatchNormalization, Dropout and Adam: running statistics, random state, moments."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def arguments(blobs, callbacks, learning_rate=0.01, **more):
    x, y = blobs
    return {
        "model": model_of_everything(learning_rate),
        "x": x[:34],
        "y": y[:34],
        "batch_size": 8,
        "epochs": 3,
        "verbose": 0,
        "validation_data": (x[34:], y[34:]),
        "callbacks": callbacks,
        **more,
    }


def test_schedule_early_stopping_and_plateau(blobs, memory):
    """The scheduler multiplies the rate, the plateau divides it: both are state."""

    def make(seed):
        keras.utils.set_random_seed(seed)
        callbacks = [
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
            keras.callbacks.ReduceLROnPlateau("loss", min_delta=10, patience=1, factor=0.5),
            keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        ]
        return arguments(blobs, callbacks)

    found = restart_at_every_step(make, memory)
    # 3 epochs of 5 steps, each with one look at least in its validation and one at its end.
    assert found.moments >= 3 * (5 + 1 + 1)
    rates = found.history["learning_rate"]
    assert rates[0] == pytest.approx(0.009)
    assert rates[2] < rates[1] * 0.6, "the plateau never reduced the rate"


def test_schedule_of_the_optimizer_and_early_stop(blobs, memory):
    """Early stopping ends the run in its second epoch, whatever the attempt."""

    def make(seed):
        keras.utils.set_random_seed(seed)
        schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.8)
        callbacks = [
            keras.callbacks.ReduceLROnPlateau(patience=9),
            keras.callbacks.EarlyStopping(
                "loss", min_delta=10, patience=1, restore_best_weights=True
            ),
        ]
        return arguments(blobs, callbacks, learning_rate=schedule)

    found = restart_at_every_step(make, memory)
    assert len(found.history["loss"]) == 2
    run = holdfast.Run(memory / "stopped-at-3")
    assert [event.reason for event in run.journal().events if hasattr(event, "reason")][
        -1
    ] == "stopped"


class PerBatch(keras.callbacks.Callback):
    """Looks at every batch and keeps what it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((self.params["epochs"], batch, round(logs["loss"], 6)))


def test_stepwise_engine_with_partial_batches_shuffled_within(blobs, memory):
    kept = []

    def make(seed):
        keras.utils.set_random_seed(seed)
        kept.append(PerBatch())
        return arguments(blobs, [kept[-1]], shuffle="batch", epochs=2)

    restart_at_every_step(make, memory)
    # The last attempt of the relay saw one moment itself and has the rest from its state.
    assert len(kept[-1].seen) == 2 * 5
    assert kept[-1].seen == kept[0].seen


def test_epochs_of_part_of_a_pass(blobs, memory):
    """steps_per_epoch goes on through the data: 2, 2, 1 of 5 batches, then a new pass."""

    def make(seed):
        keras.utils.set_random_seed(seed)
        return arguments(blobs, [], steps_per_epoch=2, epochs=4, validation_freq=[2, 3])

    found = restart_at_every_step(make, memory)
    assert found.moments >= (2 + 2 + 1 + 2) + 4 + 2
    assert len(found.history["val_loss"]) == 2


def test_blocks_sent_ahead_give_the_same_bits(blobs, memory, monkeypatch):
    """Data that does not fit on the device comes in blocks: nothing else changes."""

    def make(seed):
        keras.utils.set_random_seed(seed)
        return arguments(blobs, [], epochs=2)

    resident = holdfast.Run(memory / "resident")
    resident.fit(**make(0))
    monkeypatch.setenv("HOLDFAST_DEVICE_DATA", str(2 * 8 * 7 * 4))
    blocks = restart_at_every_step(make, memory / "blocks")
    assert blocks.digest == resident.digest()


def test_the_seed_of_a_later_attempt_changes_nothing_and_of_the_first_everything(blobs, tmp_path):
    def run(name, seed):
        keras.utils.set_random_seed(seed)
        holdfast.Run(tmp_path / name).fit(**arguments(blobs, []))
        return holdfast.Run(tmp_path / name).digest()

    assert run("a", 1) == run("b", 1)
    assert run("c", 2) != run("a", 1)


def test_the_helper_finds_state_that_is_forgotten(blobs, memory):
    """A check that cannot fail proves nothing: here a callback hides its state."""

    class Forgetful(keras.callbacks.Callback):
        """Sets the learning rate from a count that it says is no state."""

        def __init__(self):
            super().__init__()
            self.hidden = iter(range(1000))

        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.01 / (1 + next(self.hidden))

    def make(seed):
        keras.utils.set_random_seed(seed)
        return arguments(blobs, [Forgetful()])

    with (
        pytest.warns(UserWarning, match=r"Forgetful\.hidden"),
        pytest.raises(NotExactError, match="digest"),
    ):
        restart_at_every_step(make, memory)


def test_random_state_of_python_numpy_and_keras_goes_on(blobs, memory):
    class Draws(keras.callbacks.Callback):
        """Draws from the three global generators at each epoch's end."""

        def __init__(self):
            super().__init__()
            self.drawn = []

        def on_epoch_end(self, epoch, logs=None):
            import random

            keras_draw = keras.ops.convert_to_numpy(keras.random.uniform(()))
            self.drawn.append((random.random(), np.random.rand(), float(keras_draw)))

    callbacks = []

    def make(seed):
        keras.utils.set_random_seed(seed)
        callbacks.append(Draws())
        return arguments(blobs, [callbacks[-1]], epochs=2)

    restart_at_every_step(make, memory)
    assert callbacks[-1].drawn == callbacks[0].drawn
    assert len(set(callbacks[0].drawn)) == 2


def test_a_loss_that_is_no_number_is_the_same_no_number(blobs, memory):
    def make(seed):
        keras.utils.set_random_seed(seed)
        return arguments(blobs, [], learning_rate=1e30, epochs=2, validation_data=None)

    found = restart_at_every_step(make, memory)
    assert not np.isfinite(found.history["loss"][-1])
