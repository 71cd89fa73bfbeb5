"""Holdfast's callbacks: what they do, in a run that is stopped anywhere and in Keras's own fit."""

import shutil

import h5py
import keras
import numpy as np
import pytest
from test_exact import arguments, model_of_everything

import holdfast
from holdfast import errors
from holdfast.testing import restart_at_every_step


def train(blobs, path, callbacks, **more):
    keras.utils.set_random_seed(3)
    given = arguments(blobs, callbacks, **more)
    run = holdfast.Run(path)
    return run, given["model"], run.fit(**given)


def scores(path, blobs):
    """The validation loss of the model in a file."""
    x, y = blobs
    return keras.models.load_model(path).evaluate(x[34:], y[34:], verbose=0)[0]


# Restarts


def test_early_stopping_and_checkpoint_restart_anywhere(blobs, memory):
    """The files are in a folder that each run makes anew: none is there from another's future."""
    files = memory / "files"

    def make(seed):
        keras.utils.set_random_seed(seed)
        if seed == 0:
            shutil.rmtree(files, ignore_errors=True)
        callbacks = [
            holdfast.EarlyStopping("loss", min_delta=10, patience=2, restore_best_weights=True),
            holdfast.ModelCheckpoint(
                files / "best.weights.h5", "loss", save_best_only=True, save_weights_only=True
            ),
            holdfast.ModelCheckpoint(files / "{epoch}.keras", save_top_k=2),
        ]
        return arguments(blobs, callbacks, epochs=4)

    found = restart_at_every_step(make, memory)
    assert len(found.history["loss"]) == 3, "it did not stop early"
    assert {path.name for path in files.iterdir()} <= {
        "best.weights.h5",
        "1.keras",
        "2.keras",
        "3.keras",
    }


def test_checkpoints_by_batches_restart_anywhere(blobs, memory):
    def make(seed):
        keras.utils.set_random_seed(seed)
        each = holdfast.ModelCheckpoint(
            memory / "{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=3
        )
        return arguments(blobs, [each], epochs=2)

    restart_at_every_step(make, memory / "runs")
    # 10 steps, 5 an epoch: after 3, 6 and 9.
    assert {path.name for path in memory.glob("*.h5")} == {
        "1-3.weights.h5",
        "2-1.weights.h5",
        "2-4.weights.h5",
    }


# EarlyStopping


@pytest.mark.parametrize(
    "given",
    [
        {"monitor": "val_accuracy"},
        {"patience": 2, "min_delta": 0.05},
        {"monitor": "loss", "patience": 1, "min_delta": 0.02, "mode": "min"},
        {"baseline": 0.5, "patience": 2},
        {"start_from_epoch": 4, "patience": 1},
    ],
)
def test_early_stopping_stops_where_keras_does(blobs, tmp_path, given):
    """The same logs, the same decisions; and the weights are the best epoch's."""
    given = {"restore_best_weights": True, **given}
    ours, theirs = holdfast.EarlyStopping(**given), keras.callbacks.EarlyStopping(**given)
    _, model, history = train(blobs, tmp_path / "a", [ours], epochs=12, learning_rate=0.05)
    _, model2, history2 = train(blobs, tmp_path / "b", [theirs], epochs=12, learning_rate=0.05)
    assert history.history == history2.history
    for name in ("wait", "stopped_epoch", "best_epoch"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.best == pytest.approx(float(theirs.best))
    for mine, its in zip(model.get_weights(), model2.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_early_stopping_in_keras_own_fit(blobs):
    x, y = blobs
    stop = holdfast.EarlyStopping("loss", min_delta=9, patience=2, restore_best_weights=True)
    keras.utils.set_random_seed(3)
    model = model_of_everything(0.01)
    weights = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(model.get_weights())
    )
    model.fit(x, y, batch_size=8, epochs=9, verbose=0, callbacks=[look, stop])
    assert (stop.best_epoch, stop.stopped_epoch, len(weights)) == (0, 2, 3)
    assert "loss did not improve for 2 epochs; its best was" in stop.why
    for found, expected in zip(model.get_weights(), weights[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_patience_in_steps(blobs, tmp_path):
    """5 steps an epoch: 12 steps without improvement are over after the third such epoch."""
    stop = holdfast.EarlyStopping("loss", min_delta=9, patience_steps=12)
    train(blobs, tmp_path / "run", [stop], epochs=9)
    assert stop.stopped_epoch == 3


def test_patience_in_seconds_of_training(blobs, tmp_path):
    import time

    slow = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: time.sleep(0.2))
    stop = holdfast.EarlyStopping("loss", min_delta=9, patience_seconds=0.5)
    train(blobs, tmp_path / "run", [slow, stop], epochs=20)
    assert 1 <= stop.stopped_epoch <= 3


@pytest.mark.parametrize(("join", "stopped"), [("any", 2), ("all", 0)])
def test_several_monitors(blobs, tmp_path, join, stopped):
    """The loss falls all the time; an accuracy that must rise by 9 never does."""
    stop = holdfast.EarlyStopping(["loss", "accuracy"], min_delta=[0, 9], patience=2, join=join)
    _, _, history = train(blobs, tmp_path / "run", [stop], epochs=5)
    assert stop.stopped_epoch == stopped
    assert stop.best == min(history.history["loss"])


def test_the_first_epoch_that_is_no_number_is_not_the_best(blobs, tmp_path):
    """In Keras NaN is the best for good, since nothing is less than it."""

    class Odd(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = float("nan") if epoch == 0 else 5.0 - epoch

    stop = holdfast.EarlyStopping("score", mode="min", patience=2, restore_best_weights=True)
    train(blobs, tmp_path / "run", [Odd(), stop], epochs=4)
    assert (stop.best, stop.best_epoch, stop.stopped_epoch) == (2.0, 3, 0)


def test_the_best_weights_are_the_checkpoint_and_not_in_memory(blobs, tmp_path):
    stop = holdfast.EarlyStopping("loss", min_delta=9, patience=3, restore_best_weights=True)
    run, model, _ = train(blobs, tmp_path / "run", [stop], epochs=9)
    steps = [item.position.total for item in run.checkpoints]
    assert 5 in steps, "the best epoch's checkpoint was pruned"
    assert not [value for value in vars(stop).values() if isinstance(value, np.ndarray)]
    assert not stop._weights
    best = holdfast.Run(run.path).load_model(5)
    for found, expected in zip(model.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_finished_run_tells_its_callbacks_what_it_told_them_then(blobs, tmp_path):
    """A program that is started again after its end prints the same."""

    def fit():
        stop = holdfast.EarlyStopping("loss", min_delta=9, patience=1, restore_best_weights=True)
        theirs = keras.callbacks.EarlyStopping("loss", min_delta=9, patience=5)
        _, model, history = train(blobs, tmp_path / "run", [stop, theirs], epochs=9)
        assert model.history is history
        assert history.model is stop.model is theirs.model is model
        assert history.params == stop.params == theirs.params
        told = stop.stopped_epoch, stop.best_epoch, stop.best, stop.why, float(theirs.best)
        return told, history.params

    first = fit()
    assert first[1].keys() == {"verbose", "epochs", "steps"}
    assert first[1]["epochs"] == 9
    assert fit() == first


# ModelCheckpoint


@pytest.mark.parametrize("weights_only", [False, True])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5", ".hdf5"])
def test_every_ending_is_written_and_read_by_keras(blobs, tmp_path, ending, weights_only):
    path = tmp_path / f"model{ending}"
    if (ending == ".keras" and weights_only) or (ending == ".weights.h5" and not weights_only):
        with pytest.raises(errors.PlanError, match="asked for"):
            holdfast.ModelCheckpoint(path, save_weights_only=weights_only)
        return
    save = holdfast.ModelCheckpoint(path, save_weights_only=weights_only)
    _, model, _ = train(blobs, tmp_path / "run", [save], epochs=2)
    if weights_only:
        loaded = model_of_everything(0.01)
        loaded.load_weights(path)
    else:
        loaded = keras.models.load_model(path)
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    if not weights_only:
        expected = [np.array(variable) for variable in model.optimizer.variables]
        if path.suffix != ".keras":
            # As Keras 2 has them: without the learning rate, one of Adam's slots after the other.
            steps, _, *slots = expected
            expected = [steps, *slots[::2], *slots[1::2]]
        for one, other in zip(optimizer_in(path, loaded), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def optimizer_in(path, loaded):
    if path.suffix == ".keras":
        return [np.array(variable) for variable in loaded.optimizer.variables]
    # Keras 3 opens an HDF5 file without its optimizer's state.
    with h5py.File(path) as file:
        group = file["optimizer_weights"]
        return [group[name][()] for name in group.attrs["weight_names"]]


@pytest.mark.parametrize(
    "name", ["model.ckpt", "model", "dir/model.tf", "w-{epoch:02d}-{loss:.2f}"]
)
def test_a_saved_model_is_not_written_while_a_model_trains(name):
    with pytest.raises(errors.UnsupportedError, match="TensorFlow's SavedModels"):
        holdfast.ModelCheckpoint(name)


@pytest.mark.parametrize("name", ["best.ckpt", "best", "best.safetensors"])
def test_weights_of_other_formats_are_written_and_read(blobs, tmp_path, name):
    path = tmp_path / name
    save = holdfast.ModelCheckpoint(path, save_weights_only=True)
    _, model, _ = train(blobs, tmp_path / "run", [save], epochs=2)
    loaded = model_of_everything(0.01)
    holdfast.load_weights(loaded, path)
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_files_of_checkpoints_that_fall_out_go(blobs, tmp_path):
    save = holdfast.ModelCheckpoint(
        tmp_path / "{epoch}.ckpt", "val_accuracy", save_top_k=2, save_weights_only=True
    )
    _, _, history = train(blobs, tmp_path / "run", [save], epochs=6, learning_rate=0.1)
    values = history.history["val_accuracy"]
    best = sorted(range(6), key=lambda epoch: (-values[epoch], epoch))[:2]
    expected = {f"{e + 1}.ckpt{end}" for e in best for end in (".index", ".data-00000-of-00001")}
    assert {path.name for path in tmp_path.glob("*.ckpt*")} == expected


def test_best_only_keeps_the_best_and_all_keeps_all(blobs, tmp_path):
    best = holdfast.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
    each = holdfast.ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.3f}.keras")
    _, _, history = train(blobs, tmp_path / "run", [best, each], epochs=6, learning_rate=0.1)
    losses = history.history["val_loss"]
    assert best.best == min(losses)
    assert scores(tmp_path / "best.keras", blobs) == pytest.approx(min(losses), rel=1e-5)
    assert {path.name for path in tmp_path.glob("0*.keras")} == {
        f"{number:02d}-{loss:.3f}.keras" for number, loss in enumerate(losses, start=1)
    }


def test_top_k_are_the_k_best(blobs, tmp_path):
    save = holdfast.ModelCheckpoint(tmp_path / "{epoch}.keras", "val_accuracy", save_top_k=2)
    _, _, history = train(blobs, tmp_path / "run", [save], epochs=6, learning_rate=0.1)
    values = history.history["val_accuracy"]
    ranked = sorted(range(6), key=lambda epoch: (-values[epoch], epoch))[:2]
    assert {path.stem for path in tmp_path.glob("*.keras")} == {str(e + 1) for e in ranked}
    with pytest.raises(errors.PlanError, match=r"put \{epoch:02d\} in it"):
        holdfast.ModelCheckpoint("best.keras", save_top_k=2)


def test_a_number_of_batches_and_a_validation_metric(blobs, tmp_path):
    """Keras saves every time then, best or not. Here it is judged when validation is done."""
    save = holdfast.ModelCheckpoint(tmp_path / "{epoch}.keras", save_best_only=True, save_freq=8)
    _, _, history = train(blobs, tmp_path / "run", [save], epochs=8, learning_rate=1.0)
    losses, best, expected, seen = history.history["val_loss"], np.inf, [], 0
    for epoch, loss in enumerate(losses):
        seen += 5
        if seen >= 8:
            seen = 0
            if loss < best:
                best = loss
                expected.append(f"{epoch + 1}.keras")
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == expected
    assert 0 < len(expected) < 4, "the test shows nothing"


def test_a_threshold_to_beat(blobs, tmp_path):
    save = holdfast.ModelCheckpoint(
        tmp_path / "best.keras", save_best_only=True, initial_value_threshold=1e-9
    )
    train(blobs, tmp_path / "run", [save])
    assert save.best == 1e-9
    assert not list(tmp_path.glob("*.keras"))


def test_in_keras_own_fit_files_stand_when_it_returns(blobs, tmp_path, capfd):
    x, y = blobs
    save = holdfast.ModelCheckpoint(tmp_path / "m.keras", "loss", verbose=1, save_best_only=True)
    keras.utils.set_random_seed(3)
    model = model_of_everything(0.01)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[save])
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]
    assert f"saved to {tmp_path / 'm.keras'}" in capfd.readouterr().out


def test_a_file_that_cannot_be_written_is_said_once_and_tried_again(blobs, tmp_path):
    folder = tmp_path / "files"
    folder.write_text("in the way")

    class Clear(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                folder.unlink()

    save = holdfast.ModelCheckpoint(folder / "m.keras", "loss", save_best_only=True)
    with pytest.warns(UserWarning, match="cannot write .*m.keras") as said:
        train(blobs, tmp_path / "run", [save, Clear()], epochs=5)
    assert len([one for one in said if "cannot write" in str(one.message)]) == 1
    assert (folder / "m.keras").exists()


def test_a_last_file_that_cannot_be_written_is_an_error_and_the_model_is_whole(blobs, tmp_path):
    folder = tmp_path / "files"
    folder.write_text("in the way")
    save = holdfast.ModelCheckpoint(folder / "m.keras")
    with (
        pytest.warns(UserWarning, match="cannot write"),
        pytest.raises(errors.NotSavedError, match=r"m\.keras could not be written"),
    ):
        train(blobs, tmp_path / "run", [save], epochs=2)
    assert holdfast.Run(tmp_path / "run").position.epoch == 2


def test_a_file_that_went_away_between_attempts_is_saved_again(blobs, tmp_path):
    path = tmp_path / "best.keras"

    def attempt(epochs):
        save = holdfast.ModelCheckpoint(path, "loss", save_best_only=True)
        return train(blobs, tmp_path / "run", [save], epochs=epochs)

    attempt(2)
    path.unlink()
    shutil.rmtree(tmp_path / "run" / "saved")  # where the run keeps it
    with pytest.warns(UserWarning, match=r"best\.keras is gone"):
        attempt(3)
    assert path.exists()


# What is refused, and how


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: holdfast.EarlyStopping(restor_best_weights=True), "'restore_best_weights'"),
        (lambda: holdfast.ModelCheckpoint("a.keras", save_best_onyl=True), "'save_best_only'"),
        (lambda: holdfast.Rollback(facter=0.1), "'factor'"),
        (lambda: holdfast.Keep(moniter="loss"), "'monitor'"),
        (lambda: holdfast.Every(step=1), "'steps'"),
        (lambda: holdfast.Run("r").fit(None, epoch=2), "'epochs'"),
        (lambda: holdfast.Run("r").best(monitr="loss"), "'monitor'"),
    ],
)
def test_a_misspelt_argument_is_answered_with_the_right_one(wrong, words):
    with pytest.raises(TypeError, match=f"did you mean {words}"):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: holdfast.EarlyStopping(mode="mim"), "did you mean 'min'"),
        (lambda: holdfast.EarlyStopping(patience=-1), "must be an integer >= 0, found -1"),
        (lambda: holdfast.EarlyStopping(monitor=[]), "must name a metric"),
        (lambda: holdfast.EarlyStopping(["loss", "acc"], mode=["min"]), "one for each of the 2"),
        (lambda: holdfast.EarlyStopping(join="both"), "must be 'any' or 'all'"),
        (lambda: holdfast.ModelCheckpoint("a.keras", save_freq="epochs"), "'epoch' or a number"),
        (lambda: holdfast.ModelCheckpoint("a-{epoch.keras"), "no pattern for a name"),
        (lambda: holdfast.ModelCheckpoint("a.pkl"), "no format that can be written"),
        (lambda: holdfast.Rollback(factor=2), "above 0 and at most 1, found 2"),
        (lambda: holdfast.Rollback(batches="skp"), "did you mean 'skip'"),
        (lambda: holdfast.Rollback(most=-1), "must be an integer >= 0"),
    ],
)
def test_arguments_that_cannot_be(wrong, words):
    with pytest.raises(errors.PlanError, match=words):
        wrong()


@pytest.mark.parametrize(
    "callback",
    [
        lambda: holdfast.EarlyStopping("val_los"),
        lambda: holdfast.ModelCheckpoint("best.keras", "val_los", save_best_only=True),
        lambda: holdfast.ModelCheckpoint("{epoch}-{val_los:.2f}.keras"),
    ],
)
def test_a_monitor_that_no_log_has_is_refused_before_the_first_step(blobs, tmp_path, callback):
    with pytest.raises(errors.PlanError, match=r"did you mean 'val_loss'\?.*accuracy, loss, val_"):
        train(blobs, tmp_path / "run", [callback()])
    assert holdfast.Run(tmp_path / "run").position.total == 0


def test_a_monitor_that_only_a_callback_could_log_is_refused_at_the_first_epochs_end(
    blobs, tmp_path
):
    adds = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(f2=1.0))
    train(blobs, tmp_path / "a", [adds, holdfast.EarlyStopping("f2", mode="max", patience=3)])
    with pytest.raises(errors.PlanError, match="monitors 'f3', which is in no log"):
        train(blobs, tmp_path / "b", [adds, holdfast.EarlyStopping("f3", mode="max")])
    assert holdfast.Run(tmp_path / "b").position.epoch == 0


def test_a_validation_monitor_without_validation(blobs, tmp_path):
    with pytest.raises(errors.PlanError, match="there is no validation data"):
        train(blobs, tmp_path / "run", [holdfast.EarlyStopping()], validation_data=None)


def test_epochs_that_are_not_validated_are_not_judged(blobs, tmp_path):
    stop = holdfast.EarlyStopping(min_delta=9, patience=1)
    train(blobs, tmp_path / "run", [stop], epochs=9, validation_freq=2)
    assert stop.stopped_epoch == 3


def test_a_metric_that_says_no_direction(blobs, tmp_path):
    adds = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(odd=1.0))
    with pytest.raises(errors.PlanError, match="pass mode='max' or mode='min'"):
        train(blobs, tmp_path / "run", [adds, holdfast.EarlyStopping("odd")])


def test_another_monitor_than_before_starts_anew(blobs, tmp_path):
    train(blobs, tmp_path / "run", [holdfast.EarlyStopping("loss", patience=5)], epochs=2)
    with pytest.warns(UserWarning, match="monitored loss and now monitors accuracy"):
        train(blobs, tmp_path / "run", [holdfast.EarlyStopping("accuracy", patience=5)], epochs=3)


# The best epoch


def test_the_best_epoch_is_there_without_any_callback(blobs, tmp_path):
    """Checkpoints by time come once a minute: the best epoch has one all the same."""
    run, _, history = train(blobs, tmp_path / "run", [], epochs=8, learning_rate=0.1)
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert best < 7, "the last epoch is the best: the test shows nothing"
    assert run.best().position.epoch == best + 1
    assert history.best_epoch == best
    found = run.load_model("best").evaluate(blobs[0][34:], blobs[1][34:], verbose=0)[0]
    assert found == pytest.approx(losses[best], rel=1e-5)


def test_the_best_epoch_is_by_what_the_callbacks_monitor(blobs, tmp_path):
    stop = holdfast.EarlyStopping("accuracy", mode="min", patience=20)
    run, _, history = train(blobs, tmp_path / "run", [stop], epochs=6, learning_rate=0.1)
    worst = int(np.argmin(history.history["accuracy"]))
    assert stop.best_epoch == worst == history.best_epoch
    assert run.best().position.epoch == worst + 1
    run.prune(holdfast.Keep(last=1))
    assert holdfast.Run(run.path).best().position.epoch == worst + 1


def test_the_best_two(blobs, tmp_path):
    keep = holdfast.Keep(last=1, best=2, monitor="val_accuracy")
    run, _, history = train(blobs, tmp_path / "run", [], epochs=8, learning_rate=0.1, keep=keep)
    values = history.history["val_accuracy"]
    ranked = sorted(range(8), key=lambda epoch: (-values[epoch], epoch))[:2]
    kept = {item.position.epoch - 1 for item in run.checkpoints if not item.final}
    assert kept == {*ranked, 7}


def test_the_run_ends_with_three_lines(blobs, tmp_path, capsys):
    stop = holdfast.EarlyStopping("loss", min_delta=9, patience=1)
    train(blobs, tmp_path / "run", [stop], epochs=9, verbose=2)
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines[0].startswith("holdfast: best epoch 2 of 2:  accuracy: ")
    assert lines[1].startswith(
        "holdfast: ended: EarlyStopping: loss did not improve for 1 epoch; its best was "
    )
    assert lines[2] == f"holdfast: saved in {tmp_path / 'run'}"
