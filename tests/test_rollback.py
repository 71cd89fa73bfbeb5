"""Rollback: back to the last point when a step breaks the training, the same in every attempt."""

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from turns import today

import holdfast
from holdfast import errors
from holdfast.events import RolledBack
from holdfast.testing import restart_at_every_step

HOLDFAST = Path(sys.executable).with_name("holdfast")
STEPS = 6
BAD = [24, 25, 26, 27, 28, 29, 30, 31]
"""The fourth batch of 8, without shuffling: step 4 of every epoch."""


@pytest.fixture
def planted():
    """A linear problem with one batch of 1e20: its loss is infinite."""
    random = np.random.default_rng(1)
    x = random.normal(size=(8 * STEPS, 5)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    x[BAD] = 1e20
    return x, y


def model_of_a_line():
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    model.layers[0].activation = keras.activations.linear
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def arguments(planted, rollback, **more):
    x, y = planted
    return {
        "model": model_of_a_line(),
        "x": x,
        "y": y,
        "batch_size": 8,
        "epochs": 3,
        "shuffle": False,
        "verbose": 0,
        "callbacks": [rollback],
        **more,
    }


def rollbacks(run):
    return [event for event in run.journal().lived() if isinstance(event, RolledBack)]


def test_without_it_the_model_is_lost(planted, tmp_path):
    given = arguments(planted, keras.callbacks.Callback())
    holdfast.Run(tmp_path / "run").fit(**given)
    assert not all(np.isfinite(weights).all() for weights in given["model"].get_weights())


def test_a_planted_batch_ends_in_a_finite_model_and_is_named(planted, tmp_path, capfd):
    rollback = holdfast.Rollback(factor=0.5, most=3)
    given = arguments(planted, rollback)
    run = holdfast.Run(tmp_path / "run")
    history = run.fit(**given)
    assert all(np.isfinite(weights).all() for weights in given["model"].get_weights())
    assert np.isfinite(history.history["loss"]).all()
    found = rollbacks(run)
    # Once an epoch: the batch is skipped where it broke, and the next epoch takes it again.
    assert [(event.position.epoch, event.position.step) for event in found] == [
        (0, 4),
        (1, 4),
        (2, 4),
    ]
    assert [event.to.step for event in found] == [0, 0, 0]
    assert all(list(event.samples) == BAD for event in found)
    assert all("the loss is inf" in event.reason for event in found)
    assert [event.learning_rate for event in found] == pytest.approx([0.005, 0.0025, 0.00125])
    assert history.rollbacks == found
    assert rollback.rollbacks == 3
    # Every step counts, but each skipped one was no update.
    assert run.position.total == 3 * STEPS
    assert int(given["model"].optimizer.iterations) == 3 * (STEPS - 1)
    said = capfd.readouterr().err
    shown = subprocess.run([HOLDFAST, "show", run.path], capture_output=True, text=True, check=True)
    assert "the loss is inf" in shown.stdout
    assert "24, 25, 26, 27, 28, 29, 30, 31" in shown.stdout
    assert "at step 4 (epoch 1, step 4) the loss is inf; samples 24, 25, 26" in said


def test_it_goes_back_to_the_last_point_and_not_further(planted, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    run.fit(**arguments(planted, holdfast.Rollback(every=2)))
    assert [(event.position.total, event.to.total) for event in rollbacks(run)] == [
        (4, 2),
        (10, 8),
        (16, 14),
    ]


@pytest.mark.parametrize("every", [1000, 3])
def test_twice_from_one_point_lowers_the_rate_twice(planted, memory, every):
    x, y = planted
    x[BAD[-1] + 1 : BAD[-1] + 9] = 1e20  # the fifth batch too

    def make(seed):
        return arguments((x, y), holdfast.Rollback(every=every, most=9), epochs=2)

    restart_at_every_step(make, memory)
    found = rollbacks(holdfast.Run(memory / "stopped-at-each"))
    assert [event.position.step for event in found] == [4, 5, 4, 5]
    rates = [0.01 * 0.5**number for number in range(1, 5)]
    assert [event.learning_rate for event in found] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("looks", "every"), today([(False, 1000), (True, 1000), (False, 2), (True, 2)], one_in=4)
)
def test_stopped_anywhere_it_ends_with_the_same_bits(planted, memory, every, looks):
    """With and without a callback that looks at single batches."""

    def make(seed):
        callbacks = [holdfast.Rollback(every=every)]
        if looks:
            callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: 0))
        return arguments(planted, None, callbacks=callbacks)

    found = restart_at_every_step(make, memory)
    run = holdfast.Run(memory / "stopped-at-3")
    assert len(rollbacks(run)) == 3
    assert np.isfinite(found.history["loss"]).all()


def test_reshuffled_it_ends_with_the_same_bits(memory):
    """One sample breaks the training with any other: each time the rest is reshuffled."""
    random = np.random.default_rng(1)
    x = random.normal(size=(48, 5)).astype("float32")
    planted = x, x.sum(axis=1, keepdims=True)

    class Breaks(keras.callbacks.Callback):
        """Ruins the weights before the ninth step, if the learning rate is what it was."""

        def on_train_batch_begin(self, batch, logs=None):
            rate = float(self.model.optimizer.learning_rate)
            if self.model.optimizer.iterations == 8 and rate > 0.009:
                self.model.layers[0].bias.assign(np.full(8, np.nan, "float32"))

    def make(seed):
        rollback = holdfast.Rollback(batches="reshuffle")
        return arguments(planted, None, shuffle=True, callbacks=[Breaks(), rollback])

    restart_at_every_step(make, memory)
    run = holdfast.Run(memory / "stopped-at-4")
    (event,) = rollbacks(run)
    assert (event.position.epoch, event.position.step) == (1, 3)
    # The same samples are trained on in that epoch, in another order from its start.
    assert run.position.total == 18
    assert run.history.series["loss"]


def test_reshuffling_takes_the_same_samples_in_another_order():
    from holdfast.data.order import Reshuffle, order

    before = order(40, 4, "samples", 7, 2)
    after = order(40, 4, "samples", 7, 2, [Reshuffle(2, 12, 0), Reshuffle(1, 0, 1)])
    assert (before[:12] == after[:12]).all()
    assert (before[12:] != after[12:]).any()
    assert sorted(before) == sorted(after) == list(range(40))


def test_more_often_than_it_may_is_an_error_that_names_it(planted, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    with pytest.raises(errors.DivergedError, match=r"the loss is inf, and Rollback\(most=2\) has"):
        run.fit(**arguments(planted, holdfast.Rollback(most=2)))
    assert run.status == "failed"
    # What is on the disk is from before the step that broke it.
    assert run.position.total <= 15
    assert all(np.isfinite(w).all() for w in run.load_model().get_weights())


def test_a_spike_is_found_and_ordinary_noise_is_not(digits, tmp_path):
    """Batches whose answers are wrong, far into a training that goes well."""
    x, y = digits
    x, y = x[:1600].reshape(1600, -1), y[:1600].copy()

    def fit(name, y, **given):
        keras.utils.set_random_seed(5)
        model = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)]
        )
        model.compile(
            keras.optimizers.Adam(0.003),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        run = holdfast.Run(tmp_path / name)
        rollback = holdfast.Rollback(verbose=0, **given)
        run.fit(model, x, y, epochs=30, shuffle=False, verbose=0, callbacks=[rollback])
        return rollbacks(run)

    assert fit("well", y) == []
    y[640:672] = (y[640:672] + 5) % 10
    found = fit("wrong", y, spike=4, most=1)
    assert found
    assert list(found[0].samples) == list(range(640, 672))
    assert "robust deviations above the median" in found[0].reason


def test_a_rate_that_is_a_schedule_cannot_be_lowered(planted, tmp_path):
    given = arguments(planted, holdfast.Rollback())
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
    given["model"].compile(keras.optimizers.Adam(schedule), "mse")
    with pytest.raises(errors.PlanError, match="pass factor=1"):
        holdfast.Run(tmp_path / "run").fit(**given)
    given["callbacks"] = [holdfast.Rollback(factor=1)]
    history = holdfast.Run(tmp_path / "run").fit(**given)
    assert np.isfinite(history.history["loss"]).all()


def test_in_keras_own_fit_it_says_where_it_works(planted):
    x, y = planted
    with pytest.raises(errors.PlanError, match="works in holdfast's Run"):
        model_of_a_line().fit(x, y, verbose=0, callbacks=[holdfast.Rollback()])


def test_two_of_them_are_refused(planted, tmp_path):
    given = arguments(planted, None, callbacks=[holdfast.Rollback(), holdfast.Rollback()])
    with pytest.raises(errors.PlanError, match="more than one Rollback"):
        holdfast.Run(tmp_path / "run").fit(**given)


@pytest.mark.parametrize("eager", [False, True])
def test_convolutions_and_eager_steps_are_watched_too(digits, tmp_path, eager):
    x, y = digits
    x = x[:160].copy()
    x[64:96] = 1e30
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse", run_eagerly=eager)
    run = holdfast.Run(tmp_path / "run")
    run.fit(model, x, y[:160], shuffle=False, verbose=0, epochs=1, callbacks=[holdfast.Rollback()])
    assert list(rollbacks(run)[0].samples) == list(range(64, 96))
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_added_to_a_run_that_is_under_way(planted, tmp_path):
    x, _ = planted
    run = holdfast.Run(tmp_path / "run")
    good = {"x": np.where(x > 1e10, 0, x)}

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        run.fit(**arguments(planted, Stop(), **good))
    rollback = holdfast.Rollback()
    run.fit(**arguments(planted, rollback, **good))
    assert run.status == "finished"
    assert rollback.rollbacks == 0


def test_killed_after_it_went_back_it_goes_back_again(planted, tmp_path):
    """The journal of the course that was lived has each rollback once."""
    whole = holdfast.Run(tmp_path / "whole")
    whole.fit(**arguments(planted, holdfast.Rollback()))
    run = holdfast.Run(tmp_path / "run")

    class Dies(keras.callbacks.Callback):
        died = False

        def on_epoch_end(self, epoch, logs=None):
            if not Dies.died:
                Dies.died = True
                raise KeyError("killed")

    with pytest.raises(KeyError):
        run.fit(**arguments(planted, None, callbacks=[holdfast.Rollback(), Dies()]))
    # As a kill would have left it: what was saved on the way out is gone.
    for path in sorted((run.path / "checkpoints").iterdir())[1:]:
        path.unlink()
    run.fit(**arguments(planted, None, callbacks=[holdfast.Rollback(), Dies()]))
    assert len(rollbacks(run)) == 3
    assert [event.position for event in rollbacks(run)] == [
        event.position for event in rollbacks(whole)
    ]
    assert (
        run.load_model().get_weights()[0].tobytes() == whole.load_model().get_weights()[0].tobytes()
    )


def test_all_callbacks_together_stopped_anywhere(planted, memory):
    """Holdfast's and Keras's, with a batch that breaks the training in every epoch."""
    files = memory / "files"
    x, y = planted

    def make(seed):
        if seed == 0:
            shutil.rmtree(files, ignore_errors=True)
            files.mkdir()
        callbacks = [
            holdfast.Rollback(every=2),
            holdfast.EarlyStopping("loss", patience=1, restore_best_weights=True),
            holdfast.EarlyStopping("val_loss", min_delta=1e9, patience=2, mode="min"),
            holdfast.ModelCheckpoint(files / "best.keras", save_best_only=True),
            holdfast.ModelCheckpoint(
                files / "{epoch}.weights.h5", save_top_k=2, save_weights_only=True
            ),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
            keras.callbacks.ReduceLROnPlateau("loss", min_delta=1e9, patience=0, factor=0.5),
            keras.callbacks.CSVLogger(files / "rows.csv"),
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.ModelCheckpoint(files / "theirs.keras", save_best_only=True),
        ]
        good = slice(0, 24)
        return arguments(
            planted, None, callbacks=callbacks, epochs=5, validation_data=(x[good], y[good])
        )

    found = restart_at_every_step(make, memory / "runs")
    assert len(found.history["loss"]) == 3, "it did not stop early"
    rows = (files / "rows.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]
    run = holdfast.Run(memory / "runs" / "stopped-at-each")
    assert len(rollbacks(run)) == 3
    best = keras.models.load_model(files / "best.keras").evaluate(x[:24], y[:24], verbose=0)
    assert best == pytest.approx(min(found.history["val_loss"]), rel=1e-5)


def test_going_back_forgets_no_file_that_is_being_written(tmp_path):
    """The best score stays, and what was reported is not overwritten by worse."""
    from test_callbacks_again import Logs

    x = np.zeros((64, 4), "float32")
    x[20] = np.nan
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1500), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    save = holdfast.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
    callbacks = [Logs(val_loss=[1.0, 2.0, 3.0]), save, holdfast.Rollback(verbose=0)]
    given = {"batch_size": 16, "steps_per_epoch": 1, "shuffle": False, "verbose": 0}
    validation = (x[:16], x[:16, :1])
    run = holdfast.Run(tmp_path / "run")
    run.fit(
        model, x, x[:, :1] * 0, epochs=3, callbacks=callbacks, validation_data=validation, **given
    )
    assert rollbacks(run)
    assert save.best == 1.0


def test_an_epoch_of_which_every_step_is_skipped_is_not_judged(planted, tmp_path):
    """Its metrics are of nothing: no number, and so never the best."""
    x, y = planted
    stop = holdfast.EarlyStopping("loss", patience=9, restore_best_weights=True)
    given = arguments((x[24:], y[24:]), None, callbacks=[stop, holdfast.Rollback(most=9)])
    run = holdfast.Run(tmp_path / "run")
    # The first epoch's one step is of the batch that breaks it.
    history = run.fit(**given | {"steps_per_epoch": 1})
    assert np.isnan(history.history["loss"][0])
    assert np.isfinite(history.history["loss"][1:]).all()
    assert stop.best_epoch == history.best_epoch == run.best().position.epoch - 1 > 0


def test_hooks_are_told_the_batches_that_keras_would_tell(planted, tmp_path):
    seen = []
    x, y = planted
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    given = arguments((np.where(x > 1e9, 0, x), y), None, epochs=2)
    given["model"].compile("sgd", "mse", steps_per_execution=4)
    given["callbacks"] = [look, holdfast.Rollback(every=3)]
    holdfast.Run(tmp_path / "run").fit(**given)
    assert seen == [3, 7, 3, 7]


def test_batches_from_before_the_point_are_not_named(planted, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    run.fit(**arguments(planted, holdfast.Rollback(every=3, skip=99), epochs=1))
    assert [list(event.samples) for event in rollbacks(run)] == [BAD]
