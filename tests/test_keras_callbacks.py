"""Every callback of Keras, and a user's own, goes on after a stop as if there had been none."""

import csv
import importlib.util
import io
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import numpy as np
import pytest

import holdfast
from holdfast.callbacks.csv_rows import CsvRows
from holdfast.testing import restart_at_every_step

PROGRAM = Path(__file__).parent / "programs" / "all_callbacks.py"
LEARNING_RATE = 0.5
X = np.random.default_rng(3).normal(size=(22, 4)).astype("float32")
Y = (np.arange(22) % 3).astype("int32")


def arguments(callbacks, *, optimizer=None, **more):
    """Three epochs of two steps on 16 samples; 6 more are for validation."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    optimizer = optimizer or keras.optimizers.SGD(LEARNING_RATE, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return {
        "model": model,
        "x": X[:16],
        "y": Y[:16],
        "batch_size": 8,
        "epochs": 3,
        "verbose": 0,
        "validation_data": (X[16:], Y[16:]),
        "callbacks": callbacks,
        **more,
    }


def ends_alike(tmp_path, make_callbacks, look, optimizer=None, begin=None, **more):
    """Stop everywhere; what a user sees at the end of every run must be what the whole one shows.

    `look(callbacks, model)` is called when a run has ended: after its last hook.
    """
    files = tmp_path / "files"
    seen = []

    def make(seed):
        if seed == 0:  # a new run, in a place where nothing is yet
            shutil.rmtree(files, ignore_errors=True)
            files.mkdir(parents=True)
            if begin:
                begin(files)
        keras.utils.set_random_seed(seed)
        callbacks = make_callbacks(files)
        ended = keras.callbacks.LambdaCallback(
            on_train_end=lambda logs: seen.append(look(callbacks, options["model"]))
        )
        made = optimizer() if optimizer else None
        options = arguments([*callbacks, ended], optimizer=made, **more)
        return options

    found = restart_at_every_step(make, tmp_path / "runs")
    assert len(seen) >= found.moments + 2
    for number, other in enumerate(seen[1:], 1):
        assert repr(other) == repr(seen[0]), f"run {number} ended otherwise than the whole one"
    return found, seen[0]


def of(callbacks, kind):
    return next(callback for callback in callbacks if isinstance(callback, kind))


def test_early_stopping(tmp_path):
    def look(callbacks, model):
        stopping = of(callbacks, keras.callbacks.EarlyStopping)
        restored = [np.array_equal(a, b) for a, b in zip(stopping.best_weights, model.get_weights(),
                                                         strict=True)]  # fmt: skip
        return stopping.wait, stopping.best, stopping.best_epoch, stopping.stopped_epoch, restored

    def callbacks(files):
        return [
            keras.callbacks.EarlyStopping(
                "loss", min_delta=10, patience=2, restore_best_weights=True
            )
        ]

    found, (wait, best, best_epoch, stopped_epoch, restored) = ends_alike(
        tmp_path, callbacks, look, epochs=9
    )
    assert (wait, best_epoch, stopped_epoch) == (2, 0, 2)
    assert best == found.history["loss"][0]
    assert len(found.history["loss"]) == 3
    assert all(restored)


def test_model_checkpoint_of_the_best_epoch(tmp_path):
    def look(callbacks, model):
        checkpoint = of(callbacks, keras.callbacks.ModelCheckpoint)
        best = keras.models.load_model(checkpoint.filepath)
        return checkpoint.best, best.evaluate(X[16:], Y[16:], verbose=0)

    def callbacks(files):
        return [keras.callbacks.ModelCheckpoint(files / "best.keras", save_best_only=True)]

    found, (best, loss) = ends_alike(tmp_path, callbacks, look)
    assert best == min(found.history["val_loss"])
    assert loss == pytest.approx(best)
    assert found.history["val_loss"].index(best) < 2, "the last epoch is the best: nothing shown"


def test_model_checkpoint_counts_batches_over_epochs_and_attempts(tmp_path):
    def look(callbacks, model):
        folder = Path(of(callbacks, keras.callbacks.ModelCheckpoint).filepath).parent
        sums = {}
        for path in sorted(folder.iterdir()):
            model.load_weights(path)
            sums[path.name] = [weight.sum() for weight in model.get_weights()]
        return sums

    def callbacks(files):
        path = str(files / "{epoch}-{batch}.weights.h5")
        return [keras.callbacks.ModelCheckpoint(path, save_weights_only=True, save_freq=3)]

    _, sums = ends_alike(tmp_path, callbacks, look)
    assert list(sums) == ["2-1.weights.h5", "3-2.weights.h5"]


def test_reduce_on_plateau(tmp_path):
    def look(callbacks, model):
        plateau = of(callbacks, keras.callbacks.ReduceLROnPlateau)
        return plateau.wait, plateau.best, plateau.cooldown_counter

    def callbacks(files):
        return [
            keras.callbacks.ReduceLROnPlateau(
                "loss", min_delta=10, factor=0.5, patience=1, cooldown=2
            )
        ]

    found, (wait, best, cooldown) = ends_alike(tmp_path, callbacks, look, epochs=4)
    assert best == found.history["loss"][0]
    # Reduced after the second epoch; the third is within the cooldown, the fourth reduces again.
    assert found.history["learning_rate"] == [0.5, 0.5, 0.25, 0.25]
    assert (wait, cooldown) == (0, 2)


def test_learning_rate_scheduler(tmp_path):
    def callbacks(files):
        return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * (0.5 + epoch))]

    found, rate = ends_alike(
        tmp_path, callbacks, lambda _, model: float(model.optimizer.learning_rate.numpy())
    )
    assert found.history["learning_rate"] == [0.25, 0.375, 0.9375]
    assert rate == 0.9375


def test_terminate_on_nan(tmp_path):
    def look(callbacks, model):
        return model.stop_training, int(model.optimizer.iterations.numpy())

    def callbacks(files):
        return [
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: 3e38 if epoch else rate),
            keras.callbacks.TerminateOnNaN(),
        ]

    found, (stopped, steps) = ends_alike(tmp_path, callbacks, look, epochs=9)
    assert stopped
    assert 3 <= steps < 9 * 2
    assert not np.isfinite(found.history["loss"][-1])
    assert np.isfinite(found.history["loss"][0])


@pytest.mark.parametrize("on_epoch", [False, True])
def test_swap_ema_weights(on_epoch, tmp_path):
    """With `swap_on_epoch` a checkpoint between epochs has the averages in the model."""

    def callbacks(files):
        return [
            keras.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch),
            keras.callbacks.ModelCheckpoint(files / "{epoch}.weights.h5", save_weights_only=True),
        ]

    def look(callbacks, model):
        """The weights at the end, and those that were saved at the end of each epoch."""
        weights = [np.concatenate([weight.ravel() for weight in model.get_weights()])]
        pattern = of(callbacks, keras.callbacks.ModelCheckpoint).filepath
        copy = keras.models.clone_model(model)
        for epoch in (1, 2, 3):
            copy.load_weights(pattern.format(epoch=epoch))
            weights.append(np.concatenate([weight.ravel() for weight in copy.get_weights()]))
        return [each.tolist() for each in weights]

    def optimizer():
        return keras.optimizers.SGD(LEARNING_RATE, use_ema=True, ema_momentum=0.8)

    ends_alike(tmp_path, callbacks, look, optimizer)

    def by(fit, name):
        keras.utils.set_random_seed(0)
        options = arguments(callbacks(tmp_path / name), optimizer=optimizer(), shuffle=False)
        model = options.pop("model")
        fit(model, **options)
        return look(options["callbacks"], model)

    theirs = by(keras.Model.fit, "theirs")
    ours = by(holdfast.Run(tmp_path / "run").fit, "ours")
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_lambda_callback(tmp_path):
    """It has no state, and hears each hook once over all attempts that are one run."""

    def callbacks(files):
        def note(*words):
            with (files / "heard").open("a") as file:
                print(*words, file=file)

        return [
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: note("begin", epoch),
                on_epoch_end=lambda epoch, logs: note("end", epoch, logs["val_loss"]),
                on_train_batch_end=lambda batch, logs: note("batch", batch, logs["loss"]),
            )
        ]

    lines = []

    def look(callbacks, model):
        lines.append((tmp_path / "files" / "heard").read_text().splitlines())
        # An epoch whose end was being reached when the run was stopped ends again.
        return sorted(set(lines[-1]))

    _, heard = ends_alike(tmp_path, callbacks, look)
    assert len(heard) == 3 * (1 + 2 + 1)
    kinds = [line.split()[:2] for line in lines[0]]
    hooks = ["begin {}", "batch 0", "batch 1", "end {}"]
    assert kinds == [hook.format(epoch).split() for epoch in range(3) for hook in hooks]


@pytest.fixture
def monitor():
    """A server on this machine, and what it was told."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            told.append((self.path, json.loads(urllib.parse.parse_qs(body)["data"][0])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()
    thread.join()


def test_remote_monitor(monitor, tmp_path):
    pytest.importorskip("requests")
    root, told = monitor

    def look(callbacks, model):
        heard = [*told]
        told.clear()
        paths = {path for path, _ in heard}
        return paths, {event["epoch"]: event["val_loss"] for _, event in heard}

    found, (paths, losses) = ends_alike(
        tmp_path, lambda files: [keras.callbacks.RemoteMonitor(root)], look
    )
    assert paths == {"/publish/epoch/end/"}
    assert losses == dict(enumerate(found.history["val_loss"]))


def scalars(folder):
    """What TensorBoard would show: tag -> the steps it has values for."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), {"tensors": 0})
    events.Reload()
    return {
        tag: sorted({event.step for event in events.Tensors(tag)})
        for tag in events.Tags()["tensors"]
    }


def has_tensorflow():
    return importlib.util.find_spec("tensorflow") and importlib.util.find_spec("tensorboard")


@pytest.mark.skipif(not has_tensorflow(), reason="tensorflow is not installed")
@pytest.mark.parametrize("update_freq", ["epoch", 1])
def test_tensorboard(update_freq, tmp_path):
    """Every epoch is there after every restart; one trained twice may be there twice.

    Of single batches the writer holds the last value back, which a kill loses.
    """

    def callbacks(files):
        return [keras.callbacks.TensorBoard(files / "logs", update_freq=update_freq)]

    def look(callbacks, model):
        found = scalars(tmp_path / "files" / "logs" / "train")
        if update_freq == 1:
            batches.append(found.pop("batch_loss", []))
        return found

    batches = []
    _, train = ends_alike(tmp_path, callbacks, look)
    assert train["epoch_loss"] == [0, 1, 2]
    if update_freq == 1:
        whole, stopped = batches[:2]
        assert whole == [1, 2, 3, 4, 5, 6]
        assert stopped[-4:] == [3, 4, 5, 6], "the count of batches began anew"
    validation = scalars(tmp_path / "files" / "logs" / "validation")
    assert validation["epoch_loss"] == [0, 1, 2]


# ---- the file of a CSVLogger


def rows_of(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("old", [b"", b"epoch,loss\r\n0,7.5\r\n"])
def test_csv_logger_has_each_row_once(append, old, tmp_path):
    def begin(files):
        (files / "log.csv").write_bytes(old)

    def callbacks(files):
        return [keras.callbacks.CSVLogger(files / "log.csv", append=append)]

    def look(callbacks, model):
        return (tmp_path / "files" / "log.csv").read_bytes()

    found, data = ends_alike(tmp_path, callbacks, look, begin=begin, epochs=2)
    kept = old if append else b""
    assert data.startswith(kept)
    rows = rows_of(data[len(kept) :])
    if not kept:
        assert rows.pop(0) == ["epoch", "loss", "val_loss"]
    values = zip(found.history["loss"], found.history["val_loss"], strict=True)
    assert rows == [[str(epoch), *map(str, row)] for epoch, row in enumerate(values)]


class Tabs(keras.callbacks.CSVLogger):
    """A user's own kind of logger."""

    def __init__(self, filename):
        super().__init__(filename, separator="\t")


class FailsAt(keras.callbacks.Callback):
    """Ends the attempt in the middle of an epoch's hooks: its row is written already."""

    def __init__(self, epoch):
        super().__init__()
        self._at = epoch

    def get_state(self):
        return None

    def set_state(self, state):
        pass

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._at:
            raise RuntimeError("the machine is gone")


def fit(run, callbacks, **more):
    """One attempt."""
    keras.utils.set_random_seed(len(run.checkpoints))
    options = {"every": holdfast.Every(epochs=1), **more}
    return run.fit(**arguments(callbacks, **options))


def epochs_in(path, separator=","):
    lines = path.read_text().splitlines()
    return [line.split(separator)[0] for line in lines]


def test_a_row_of_an_epoch_that_is_trained_again_is_not_there_twice(tmp_path):
    run, path = holdfast.Run(tmp_path / "run"), tmp_path / "log.tsv"
    with pytest.raises(RuntimeError):
        fit(run, [Tabs(path), FailsAt(1)])
    assert epochs_in(path, "\t") == ["epoch", "0", "1"], "the row of epoch 1 was written"
    fit(run, [Tabs(path), FailsAt(-1)])
    assert epochs_in(path, "\t") == ["epoch", "0", "1", "2"]


def test_the_state_is_the_same_however_many_attempts_wrote_the_rows(tmp_path):
    def digest(name, *ends):
        run = holdfast.Run(tmp_path / name)
        for epoch in ends:
            with pytest.raises(RuntimeError):
                fit(run, [keras.callbacks.CSVLogger(tmp_path / "log.csv"), FailsAt(epoch)])
        return run.digest()

    assert digest("one", 2) == digest("two", 1, 2)


def test_more_epochs_add_rows_and_a_finished_run_adds_none(tmp_path):
    run, path = holdfast.Run(tmp_path / "run"), tmp_path / "log.csv"
    fit(run, [keras.callbacks.CSVLogger(path)], epochs=2)
    fit(run, [keras.callbacks.CSVLogger(path)], epochs=4)
    assert epochs_in(path) == ["epoch", "0", "1", "2", "3"]
    before = path.read_bytes()
    fit(run, [keras.callbacks.CSVLogger(path)], epochs=4)
    assert path.read_bytes() == before


def test_the_same_logger_in_one_more_call(tmp_path):
    run, logger = holdfast.Run(tmp_path / "run"), keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fit(run, [logger], epochs=1)
    fit(run, [logger], epochs=2)
    assert epochs_in(tmp_path / "log.csv") == ["epoch", "0", "1"]
    options = arguments([logger])
    options.pop("model").fit(**options)
    assert epochs_in(tmp_path / "log.csv") == ["epoch", "0", "1", "2"], "as Keras begins anew"


@pytest.mark.parametrize("append", [False, True])
def test_fresh_begins_the_file_as_keras_does(append, tmp_path):
    run, path = holdfast.Run(tmp_path / "run"), tmp_path / "log.csv"
    fit(run, [keras.callbacks.CSVLogger(path, append=append)], epochs=2)
    fit(run, [keras.callbacks.CSVLogger(path, append=append)], epochs=1, fresh=True)
    assert epochs_in(path) == (["epoch", "0", "1", "0"] if append else ["epoch", "0"])


@pytest.mark.parametrize("change", ["gone", "shorter", "longer", "edited"])
def test_a_file_that_somebody_changed_is_left_as_it_is_and_goes_on(change, tmp_path):
    run, path = holdfast.Run(tmp_path / "run"), tmp_path / "log.csv"
    fit(run, [keras.callbacks.CSVLogger(path)], epochs=2)
    lines = path.read_text().splitlines(keepends=True)
    changed = {
        "gone": [],
        "shorter": lines[:2],
        "longer": ["a note on this training\n", *lines],
        "edited": [line.replace(".", ",") for line in lines],
    }[change]
    path.unlink()
    if changed:
        path.write_text("".join(changed))
    with pytest.warns(UserWarning, match=r"log\.csv is not as it was at the checkpoint: expected"):
        fit(run, [keras.callbacks.CSVLogger(path)], epochs=3)
    found = path.read_text()
    assert found.startswith("".join(changed))
    rest = [line.split(",")[0] for line in found[len("".join(changed)) :].splitlines()]
    assert rest == (["2"] if changed else ["epoch", "2"])


def test_a_file_that_cannot_be_synced_is_said_once_and_ends_nothing(tmp_path):
    logger = keras.callbacks.CSVLogger(tmp_path / "logs" / "log.csv")
    (tmp_path / "logs").mkdir()
    rows = CsvRows(logger)
    rows.prepare(resumed=False)
    logger.on_train_begin()
    rows.on_train_begin()
    shutil.rmtree(tmp_path / "logs")
    with pytest.warns(UserWarning, match=r"cannot write to .*log\.csv: .* Training goes on"):
        rows.settle()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows.settle()
        assert rows.get_state() is None
    logger.on_train_end()


def test_a_logger_that_was_added_does_not_empty_its_file(tmp_path):
    """Rows of an attempt before the last one may be in it."""
    run, path = holdfast.Run(tmp_path / "run"), tmp_path / "log.csv"
    fit(run, [keras.callbacks.CSVLogger(path)], epochs=1)
    fit(run, [], epochs=2)
    logger = keras.callbacks.CSVLogger(path)
    fit(run, [logger], epochs=3)
    assert epochs_in(path) == ["epoch", "0", "2"]
    assert not logger.append, "what the program asked for is changed"


# ---- a user's callbacks


class Counts(keras.callbacks.Callback):
    """Counts epochs by an attribute."""

    def __init__(self, name="", begin=0):
        super().__init__()
        self.name = name
        self.count = begin

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1


class Keeps(Counts):
    """Counts by the protocol, and says with what it was called."""

    def __init__(self, name="", begin=0):
        super().__init__(name, begin)
        self.hidden = open  # cannot be kept, and need not be

    def get_state(self):
        return {"count": self.count, "array": np.arange(3.0)}

    def set_state(self, state):
        assert state["array"].tolist() == [0, 1, 2]
        self.count = state["count"]


def test_a_users_callbacks_keep_their_state(tmp_path):
    def callbacks(files):
        return [Counts("a"), Keeps("b"), Counts("c", 100), Keeps("d", 1000)]

    _, counts = ends_alike(
        tmp_path,
        callbacks,
        lambda callbacks, _: [(callback.name, callback.count) for callback in callbacks],
        epochs=2,
    )
    assert counts == [("a", 2), ("b", 2), ("c", 102), ("d", 1002)]


def two_attempts(tmp_path, first, second):
    """Train two epochs with `first`, then two more with `second`."""
    run = holdfast.Run(tmp_path / "run")
    fit(run, first, epochs=2)
    fit(run, second, epochs=4, verbose=2)
    return run


def test_callbacks_that_came_and_went_are_said_and_harm_nothing(tmp_path, capsys):
    added, kept = Keeps(), Counts()
    two_attempts(tmp_path, [Counts(), keras.callbacks.TerminateOnNaN()], [added, kept])
    assert (kept.count, added.count) == (4, 2)
    said = capsys.readouterr().out
    assert "callback Keeps was not there at the checkpoint: it starts anew" in said
    assert "callback TerminateOnNaN is gone: its state is dropped" in said


def test_one_of_two_of_a_class_is_gone_or_new(tmp_path, capsys):
    """Within a class it is the order that tells them apart: the first is the first."""
    (only,) = more = [Counts()]
    two_attempts(tmp_path / "less", [Counts(begin=10), Counts(begin=20)], more)
    assert only.count == 14
    assert "callback Counts is gone" in capsys.readouterr().out
    first, second = more = [Counts(), Counts()]
    two_attempts(tmp_path / "more", [Counts(begin=10)], more)
    assert (first.count, second.count) == (14, 2)
    assert "callback Counts was not there at the checkpoint" in capsys.readouterr().out


def test_callbacks_of_other_classes_may_change_places(tmp_path):
    counts, keeps = Counts(), Keeps()
    two_attempts(tmp_path, [Keeps(begin=5), Counts(begin=7)], [counts, keeps])
    assert (counts.count, keeps.count) == (11, 9)


class Grown(Counts):
    """The next version of Counts: what was an attribute is worked out now."""

    @property
    def name(self):
        return "worked out"

    @name.setter
    def name(self, value):
        if value:
            raise AttributeError("name is worked out")


class Slots(keras.callbacks.Callback):
    """Has its attribute in a slot."""

    __slots__ = ("count",)

    def __init__(self):
        super().__init__()
        self.count = 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1


class Refuses(Keeps):
    """Cannot make sense of what an earlier version of it has kept."""

    def set_state(self, state):
        raise KeyError("total")


def named(kind, name):
    """The class as a program has it after an edit: under the name it had before."""
    kind.__qualname__ = name
    return kind


def test_an_attribute_that_cannot_be_set_any_more_is_said(tmp_path, capsys):
    grown = named(Grown, "Counts")()
    two_attempts(tmp_path, [Counts("plain")], [grown])
    assert grown.count == 4
    assert "Counts.name cannot be set" in capsys.readouterr().out


def test_an_attribute_in_a_slot_is_kept(tmp_path):
    slots = Slots()
    two_attempts(tmp_path, [Slots()], [slots])
    assert slots.count == 4


def test_a_set_state_that_fails_ends_the_attempt_and_names_the_callback(tmp_path):
    run = holdfast.Run(tmp_path / "run")
    fit(run, [Keeps()], epochs=2)
    digest = run.digest()
    with pytest.raises(KeyError) as caught:
        fit(run, [named(Refuses, "Keeps")()], epochs=4)
    assert run.digest() == digest
    assert any("set_state of the callback Keeps" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("order", [1, -1])
def test_a_callback_that_got_or_lost_get_state_starts_anew(order, tmp_path, capsys):
    kept = named(type("Kept", (Keeps,), {}), "Changed")
    plain = named(type("Plain", (Counts,), {}), "Changed")
    first, second = (kept, plain)[::order]
    last = second()
    two_attempts(tmp_path, [first()], [last])
    assert last.count == 2
    assert "callback Changed" in capsys.readouterr().out


def test_a_setting_that_was_changed_in_the_program_counts(tmp_path):
    stopping = keras.callbacks.EarlyStopping("loss", min_delta=10, patience=2)
    run = two_attempts(
        tmp_path, [keras.callbacks.EarlyStopping("loss", min_delta=10, patience=9)], [stopping]
    )
    assert stopping.patience == 2
    assert run.position.epoch == 3


def test_files_go_where_the_program_says_now(tmp_path):
    before, after = tmp_path / "before.weights.h5", tmp_path / "after.weights.h5"

    def saves(path):
        return [keras.callbacks.ModelCheckpoint(path, save_weights_only=True)]

    two_attempts(tmp_path, saves(before), saves(after))
    assert after.exists()


# ---- all of them at once, stopped and killed


def test_all_of_them_at_once(monitor, tmp_path):
    root, _ = monitor

    def callbacks(files):
        made = [
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
            keras.callbacks.ReduceLROnPlateau("loss", min_delta=10, patience=1, factor=0.5),
            keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True),
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.CSVLogger(files / "log.csv"),
            keras.callbacks.CSVLogger(files / "log.tsv", separator="\t", append=True),
            keras.callbacks.ModelCheckpoint(files / "best.keras", save_best_only=True),
            keras.callbacks.ModelCheckpoint(
                str(files / "{epoch}.weights.h5"), save_weights_only=True, save_freq=4
            ),
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: None),
        ]
        if importlib.util.find_spec("requests"):
            made.append(keras.callbacks.RemoteMonitor(root))
        if has_tensorflow():
            made.append(keras.callbacks.TensorBoard(files / "logs"))
        return made

    def look(callbacks, model):
        files = tmp_path / "files"
        stopping = of(callbacks, keras.callbacks.EarlyStopping)
        best = keras.models.load_model(files / "best.keras")
        return {
            "stopping": (stopping.wait, stopping.best, stopping.best_epoch),
            "plateau": of(callbacks, keras.callbacks.ReduceLROnPlateau).wait,
            "logs": [(files / name).read_bytes() for name in ("log.csv", "log.tsv")],
            "best": best.evaluate(X[16:], Y[16:], verbose=0),
            "files": sorted(path.name for path in files.iterdir()),
            "weights": [weight.tolist() for weight in model.get_weights()],
        }

    def optimizer():
        return keras.optimizers.SGD(LEARNING_RATE, use_ema=True, ema_momentum=0.8)

    found, end = ends_alike(tmp_path, callbacks, look, optimizer)
    log, tabs = end["logs"]
    assert [row[0] for row in rows_of(log)] == ["epoch", "0", "1", "2"]
    assert tabs.replace(b"\t", b",") == log
    assert end["best"] == pytest.approx(min(found.history["val_loss"]))
    assert {"2.weights.h5", "best.keras", "log.csv", "log.tsv"} <= set(end["files"])


def start(folder, *options):
    command = [sys.executable, str(PROGRAM), str(folder), *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(folder, *options):
    child = start(folder, *options)
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def size(path):
    return path.stat().st_size if path.exists() else 0


def test_killed_with_all_callbacks(tmp_path):
    """SIGKILL after every few rows: at the end the files are those of the whole training."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = finish(whole)
    path, kills, rows = killed / "log.csv", 0, 0
    while True:
        child = start(killed, "--slow", 0.05)
        before = size(path)
        while child.poll() is None and size(path) < before + 400:
            time.sleep(0.002)
        time.sleep(0.03 * kills)  # at another moment of an epoch each time
        child.kill()
        _, errors = child.communicate()
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, errors
        kills += 1
        rows = max(rows, len(epochs_in(path)))
    assert kills >= 3
    assert rows > 2
    assert finish(killed) == expected
    for name in ("log.csv", "appended.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert len(epochs_in(killed / "log.csv")) == 1 + expected["epochs"]


@pytest.mark.skipif(not has_tensorflow(), reason="tensorflow is not installed")
def test_tensorboard_has_every_epoch_after_a_kill(tmp_path):
    """Of epochs that are not trained again too: what is written in one is flushed at its end."""
    run = holdfast.Run(tmp_path / "killed" / "run")
    child = start(tmp_path / "killed", "--slow", 0.2, "--tensorboard")
    while child.poll() is None and (not run.checkpoints or run.position.epoch < 2):
        time.sleep(0.002)
    child.kill()
    _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors
    ended = finish(tmp_path / "killed", "--tensorboard")
    epochs = list(range(ended["epochs"]))
    for part in ("train", "validation"):
        assert scalars(tmp_path / "killed" / "logs" / part)["epoch_loss"] == epochs, part
