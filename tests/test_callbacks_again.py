"""Holdfast's callbacks where attempts differ: another argument, a moved folder, a lost file."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from test_callbacks import train
from test_exact import arguments

import holdfast
from holdfast import errors


class Logs(keras.callbacks.Callback):
    """Puts given values into the logs, as a user's own metric does."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def get_state(self):
        return None

    def set_state(self, state):
        """The values are the program's."""

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.values.items()})


class Die(keras.callbacks.Callback):
    """Ends an attempt."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def get_state(self):
        return None

    def set_state(self, state):
        """When it dies is the program's."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise RuntimeError("dies")


def attempt(blobs, path, die, callbacks, **more):
    """Train, and die before an epoch."""
    more = {"every": holdfast.Every(epochs=1), **more}
    with pytest.raises(RuntimeError, match="dies"):
        train(blobs, path, [*callbacks, Die(die)], **more)


# The best epoch


def test_metrics_that_a_callback_adds_decide_which_checkpoint_is_best(blobs, tmp_path):
    logs = Logs(val_f1=[np.float32(value) for value in (0.1, 0.5, 0.9, 0.3, 0.2, 0.1)])
    stop = holdfast.EarlyStopping("val_f1", mode="max", patience=9)
    every = holdfast.Every(epochs=1)
    run, _, history = train(blobs, tmp_path / "run", [logs, stop], epochs=6, every=every)
    assert stop.best_epoch == history.best_epoch == 2
    assert run.best().position.epoch == 3
    assert run.best().metrics["val_f1"] == pytest.approx(0.9)
    assert run.history.series["val_f1"][2] == (3, pytest.approx(0.9))


@pytest.mark.parametrize(
    ("monitor", "best"), [("val_acceleration_loss", 3), ("val_accuracy", 0), ("inaccuracy", 3)]
)
def test_the_direction_is_told_by_words_and_not_by_letters(blobs, tmp_path, monitor, best):
    logs = Logs(**{monitor: [4.0, 3.0, 2.0, 1.0]})
    keep = holdfast.Keep(monitor=monitor)
    _, _, history = train(blobs, tmp_path / "run", [logs], epochs=4, keep=keep)
    assert history.best_epoch == best


def test_the_direction_is_what_the_metric_says(blobs, tmp_path):
    given = arguments(blobs, [keras.callbacks.EarlyStopping("val_score", patience=9)], epochs=4)
    given["model"].compile("sgd", "mse", metrics=[keras.metrics.R2Score(name="score")])
    x, y = blobs
    one_hot = keras.utils.to_categorical(y, 3)
    given |= {"y": one_hot[:34], "validation_data": (x[34:], one_hot[34:])}
    history = holdfast.Run(tmp_path / "run").fit(**given)
    assert history.best_epoch == int(np.argmax(history.history["val_score"]))


def test_a_misspelt_monitor_of_keep_is_refused(blobs, tmp_path):
    with pytest.raises(errors.PlanError, match=r"'val_acuracy'\) is in no log \(did you mean 'val"):
        train(blobs, tmp_path / "run", [], keep=holdfast.Keep(monitor="val_acuracy"))


# EarlyStopping


def test_a_best_epoch_whose_checkpoint_is_gone_does_not_keep_the_run_from_finishing(
    blobs, tmp_path
):
    """The first attempt did not ask for the best weights, and so nothing kept them."""
    losses = [0.5, 1.0, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]

    def callbacks(**given):
        stop = holdfast.EarlyStopping(patience=9, start_from_epoch=1, **given)
        return [Logs(val_loss=losses), stop]

    attempt(blobs, tmp_path / "run", 6, callbacks(), epochs=8)
    with pytest.warns(UserWarning, match="cannot restore the weights of the best epoch, 2"):
        run, _, _ = train(blobs, tmp_path / "run", callbacks(restore_best_weights=True), epochs=8)
    assert run.status == "finished"


def test_keras_early_stopping_on_another_monitor_starts_anew_and_says_so(blobs, tmp_path, capsys):
    logs = {"val_loss": [3.0, 2.9, 2.8, 2.7, 2.6], "val_score": [0.1, 0.2, 0.3, 0.4, 0.5]}
    first = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=1)
    attempt(blobs, tmp_path / "run", 3, [Logs(**logs), first], epochs=5)
    second = keras.callbacks.EarlyStopping("val_score", mode="max", patience=1)
    train(blobs, tmp_path / "run", [Logs(**logs), second], epochs=5, verbose=2)
    said = "callback EarlyStopping monitored val_loss and now monitors val_score: it starts anew"
    assert said in capsys.readouterr().out
    assert (second.stopped_epoch, second.best) == (0, 0.5)


def test_one_object_twice_is_refused(blobs, tmp_path):
    stop = holdfast.EarlyStopping()
    with pytest.raises(errors.PlanError, match="the same EarlyStopping twice"):
        train(blobs, tmp_path / "run", [stop, stop])


# ModelCheckpoint


def best_only(path, **given):
    return holdfast.ModelCheckpoint(path, save_best_only=True, **given)


def test_a_project_that_was_moved_goes_on_with_its_files(blobs, tmp_path, monkeypatch, recwarn):
    logs = Logs(val_loss=[3.0, 2.0, 1.0, 1.5, 1.6, 1.7])
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    monkeypatch.chdir(before)
    attempt(blobs, "run", 4, [logs, best_only("best.weights.h5", save_weights_only=True)], epochs=6)
    whole = (before / "best.weights.h5").read_bytes()
    before.rename(after)
    monkeypatch.chdir(after)
    save = best_only("best.weights.h5", save_weights_only=True)
    train(blobs, "run", [logs, save], epochs=6)
    assert save.best == 1.0
    assert (after / "best.weights.h5").read_bytes() == whole
    assert not [one for one in recwarn if "gone" in str(one.message)]


def test_the_digest_does_not_know_the_folder(blobs, tmp_path, monkeypatch):
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        run, _, _ = train(blobs, "run", [best_only("best.keras")], epochs=2)
        digests.append(run.digest())
    assert digests[0] == digests[1]


def test_a_callback_that_changes_the_directory_changes_no_file(blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "away").mkdir()
    go = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs: os.chdir(tmp_path / "away"))
    train(blobs, "run", [go, holdfast.ModelCheckpoint("{epoch}.keras")], epochs=2)
    assert {path.name for path in tmp_path.glob("*.keras")} == {"1.keras", "2.keras"}


@pytest.mark.parametrize("changed", [{"monitor": "val_loss"}, {"path": "other.h5"}])
def test_another_monitor_or_name_saves_the_next_model_judged(blobs, tmp_path, changed):
    logs = Logs(val_score=[0.5, 0.6, 0.7, 0.7, 0.7, 0.7], val_loss=[3, 2.8, 2.6, 2.4, 2.2, 2.0])

    def save(monitor="val_score", path="best.keras"):
        return best_only(tmp_path / path, monitor=monitor, mode="min")

    attempt(blobs, tmp_path / "run", 3, [logs, save()], epochs=6)
    path = tmp_path / changed.get("path", "best.keras")
    before = path.stat().st_mtime_ns if path.exists() else 0
    with pytest.warns(UserWarning, match="and now has .*: it starts anew"):
        train(blobs, tmp_path / "run", [logs, save(**changed)], epochs=6)
    assert path.stat().st_mtime_ns > before


def test_a_best_model_that_could_not_be_written_is_written_by_the_next_attempt(blobs, tmp_path):
    logs = Logs(val_loss=[3.0, 1.0, 2.0])
    folder = tmp_path / "folder"
    folder.write_text("in the way")

    def fit():
        return train(blobs, tmp_path / "run", [logs, best_only(folder / "best.keras")])

    with (
        pytest.warns(UserWarning, match="cannot write"),
        pytest.raises(errors.NotSavedError, match="could not be written"),
    ):
        fit()
    folder.unlink()
    run, _, _ = fit()
    assert run.status == "finished"
    saved = keras.models.load_model(folder / "best.keras").get_weights()
    for one, other in zip(saved, run.load_model("best").get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_in_keras_own_fit_a_file_is_whole_though_training_ends_by_an_exception(tmp_path):
    program = f"""
        import holdfast, keras, numpy as np
        model = keras.Sequential(
            [keras.Input((4,)), *(keras.layers.Dense(1500) for _ in range(4))]
        )
        model.compile("adam", "mse")
        def die(epoch, logs):
            if epoch:
                raise RuntimeError("dies")
        x, y = np.zeros((64, 4)), np.zeros((64, 1500))
        save = holdfast.ModelCheckpoint({str(tmp_path / "m.keras")!r}, "loss")
        model.fit(x, y, epochs=2, verbose=0, callbacks=[
            save, keras.callbacks.LambdaCallback(on_epoch_begin=die)])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 1, child.stderr
    assert child.stderr.rstrip().endswith("RuntimeError: dies")
    assert keras.models.load_model(tmp_path / "m.keras").count_params() > 6e6


def test_a_name_as_long_as_the_file_system_takes(blobs, tmp_path):
    path = tmp_path / ("n" * 248 + ".keras")
    train(blobs, tmp_path / "run", [holdfast.ModelCheckpoint(path)], epochs=1)
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("m{batch}.keras", {}),
        ("m{val_loss:.2f}.keras", {"save_freq": 3}),
        ("m{val_loss:d}.keras", {}),
        ("m{metrics[0]}.keras", {}),
    ],
)
def test_names_that_no_hook_could_fill_in(name, given):
    with pytest.raises(errors.PlanError, match=r"not known at the end of|cannot be filled in"):
        holdfast.ModelCheckpoint(name, **given)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: holdfast.EarlyStopping(min_delta="x"),
        lambda: holdfast.EarlyStopping(monitor=None),
        lambda: holdfast.EarlyStopping(patience_seconds=-1),
        lambda: holdfast.EarlyStopping(baseline="a"),
        lambda: holdfast.ModelCheckpoint("a.keras", initial_value_threshold="a"),
        lambda: holdfast.Rollback(factor="a"),
        lambda: holdfast.Rollback(spike=0),
        lambda: holdfast.Keep(monitor=3),
    ],
)
def test_what_is_no_number_or_no_name_is_refused_at_once(wrong):
    with pytest.raises(errors.PlanError, match="must be"):
        wrong()


def test_a_finished_program_that_is_started_again_knows_its_files(blobs, tmp_path):
    def fit():
        save = best_only(tmp_path / "best.keras")
        train(blobs, tmp_path / "run", [save], epochs=2)
        return save.best

    assert fit() == fit()


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_a_full_disk_where_models_go_does_not_end_the_training(tmp_path, ending):
    """The system refuses files above a size, as a full disk refuses writes."""
    program = f"""
        import resource, signal
        import holdfast, keras, numpy as np
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(600)])
        model.compile("sgd", "mse")
        path = {str(tmp_path / "m")!r} + {ending!r}
        save = holdfast.ModelCheckpoint(path, "loss", save_weights_only=".weights" in path)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        def room(epoch, logs):
            size = 2000 if epoch < 3 else limit[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
        x = np.ones((8, 4), "float32")
        model.fit(x, np.ones((8, 600)), epochs=5, verbose=0, callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=room), save])
        save.settle()
        print("trained to the end")
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (0, "trained to the end\n"), child.stderr
    assert (tmp_path / f"m{ending}").exists()


def test_a_file_that_outlives_a_training_that_failed_is_in_the_journal(tmp_path):
    keras.utils.set_random_seed(1)
    x = np.ones((32, 4), "float32")
    x[16:] = np.nan
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1500), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    save = best_only(tmp_path / "best.keras", monitor="loss", save_freq=1)
    run = holdfast.Run(tmp_path / "run")
    with pytest.raises(errors.DivergedError):
        run.fit(
            model,
            x,
            x[:, :1] * 0,
            batch_size=16,
            shuffle=False,
            verbose=0,
            callbacks=[save, holdfast.Rollback(most=0)],
        )
    assert (tmp_path / "best.keras").exists()
    assert [event.name for event in run.journal().events].count("model_saved") == 1


def test_a_monitor_of_keras_that_is_not_there_decides_nothing(blobs, tmp_path):
    """Keras only warns of it: the best epoch is judged by what there is."""
    stop = keras.callbacks.EarlyStopping("val_loss", patience=9)
    with pytest.warns(UserWarning, match="not available"):
        run, _, history = train(blobs, tmp_path / "run", [stop], epochs=3, validation_data=None)
    assert run.best().position.epoch == history.best_epoch + 1


@pytest.mark.parametrize("order", [1, -1])
def test_several_monitors_in_any_order_where_not_every_epoch_is_validated(blobs, tmp_path, order):
    stop = holdfast.EarlyStopping(["loss", "val_loss"][::order], min_delta=9, patience=2)
    train(blobs, tmp_path / "run", [stop], epochs=9, validation_freq=3)
    assert stop.stopped_epoch == 2


def test_steps_of_epochs_that_are_not_validated_count(blobs, tmp_path):
    """5 steps an epoch, validated every second: 12 steps without improvement are over there."""
    stop = holdfast.EarlyStopping(min_delta=9, patience_steps=12)
    train(blobs, tmp_path / "run", [stop], epochs=9, validation_freq=2)
    # Best in epoch 2; 10 steps later it is epoch 4, and 20 steps later epoch 6.
    assert stop.stopped_epoch == 5
