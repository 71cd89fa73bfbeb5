"""Calls of fit in a program that is started again: found, gone on with, or trained anew."""

import multiprocessing
import sys

import holdfast  # isort: skip
import keras
import numpy as np
import pytest
from keras import layers

from holdfast import errors
from holdfast.compat import switch
from holdfast.store.layout import Layout


@pytest.fixture
def enabled(monkeypatch):
    """Enable as a program does that has just been started, with these arguments."""

    def enable(directory, *arguments, **options):
        switch._calls.clear()
        monkeypatch.setattr(sys, "argv", ["train.py", *map(repr, arguments)])
        return holdfast.enable(directory, name="train", **options)

    yield enable
    switch._calls.clear()


@pytest.fixture
def start(tmp_path, capsys, enabled):
    """Start a program once: its function is called with holdfast enabled, and with no seed."""

    def start(program, *arguments, **options):
        told = getattr(program, "arguments", arguments)
        with enabled(tmp_path / "runs", *told, **options):
            result = program()
        start.said = capsys.readouterr().err
        return result

    return start


def model_of(units=4, rate=0.01, patience=None):
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(units, "relu"), layers.Dropout(0.2), layers.Dense(1)]
    )
    model.compile("adam" if rate is None else keras.optimizers.Adam(rate), "mse")
    return model


class Program:
    """Three trainings, as programs have them: nothing seeded, something drawn in between.

    Args:
        epochs: of each.
        rates: of each.
        die: at which (call, epoch) it dies.
    """

    def __init__(self, epochs=(2, 2, 2), rates=(0.01, 0.01, 0.01), die=None, between=None):
        self.epochs, self.rates, self.die, self.between = epochs, rates, die, between
        self.trained = []
        self.arguments = (epochs, rates)

    def __call__(self):
        x, y = np.random.random((40, 6)), np.random.random((40, 1))
        seen = []
        for call, (epochs, rate) in enumerate(zip(self.epochs, self.rates, strict=True), start=1):
            model = model_of(rate=rate)
            if self.between:
                self.between(call, model)
            history = model.fit(
                x, y, epochs=epochs, verbose=0, callbacks=[self.watch(call)], batch_size=8
            )
            scores = np.random.random(2).tolist()
            seen.append((history.history, [w.tolist() for w in model.get_weights()], scores))
        return seen

    def watch(self, call):
        def end(epoch, logs):
            self.trained.append((call, epoch))
            if (call, epoch) == self.die:
                raise KeyboardInterrupt

        return keras.callbacks.LambdaCallback(on_epoch_end=end)


def dies(start, program, **options):
    with pytest.raises(KeyboardInterrupt):
        start(program, **options)


def seeds_of(tmp_path):
    return (tmp_path / "runs" / "train" / "program.json").read_bytes()


def test_a_program_that_has_finished_returns_at_once_and_draws_the_same_numbers(start, tmp_path):
    first = start(Program())
    again = Program()
    assert start(again) == first
    assert again.trained == []
    names = sorted(path.name[:2] for path in (tmp_path / "runs" / "train").glob("*-*"))
    assert names == ["1-", "2-", "3-"]


def test_killed_anywhere_it_ends_as_if_nothing_had_happened(start, enabled, tmp_path):
    first = start(Program())
    seeds = seeds_of(tmp_path)
    for die in ((1, 0), (1, 1), (2, 0), (3, 1)):
        directory = tmp_path / f"{die}" / "runs" / "train"
        directory.mkdir(parents=True)
        (directory / "program.json").write_bytes(seeds)
        again = Program()
        with enabled(directory.parent, *again.arguments), pytest.raises(KeyboardInterrupt):
            Program(die=die)()
        with enabled(directory.parent, *again.arguments):
            assert again() == first, die
        assert all(call >= die[0] for call, _ in again.trained), die


def test_what_is_before_a_change_is_kept_and_from_there_on_it_is_trained_anew(start, tmp_path):
    first = start(Program())
    changed = Program(rates=(0.01, 0.02, 0.01))
    second = start(changed)
    assert second[0] == first[0]
    assert {call for call, _ in changed.trained} == {2, 3}
    assert "call 2 of fit is not what it was" in start.said
    assert "learning_rate" in start.said
    assert "was 0.01" in start.said
    assert "is 0.02" in start.said
    kept = sorted(path.name for path in (tmp_path / "runs" / "train").glob("*.old-1"))
    assert [name[:2] for name in kept] == ["2-", "3-"]
    once_more = Program(rates=(0.01, 0.02, 0.01))
    assert start(once_more) == second
    assert once_more.trained == []
    assert start.said == ""


def test_more_epochs_go_on_and_what_came_after_is_trained_anew(start, enabled, tmp_path):
    start(Program())
    longer = Program(epochs=(2, 3, 2))
    found = start(longer)
    assert longer.trained == [(2, 2), (3, 0), (3, 1)]
    assert "call 2 of fit goes on from 2 to 3 epochs" in start.said
    again = tmp_path / "oracle" / "train"
    again.mkdir(parents=True)
    (again / "program.json").write_bytes(seeds_of(tmp_path))
    with enabled(again.parent):
        assert Program(epochs=(2, 3, 2))() == found


def test_fewer_epochs_are_trained_anew(start):
    start(Program(epochs=(2, 3, 2)))
    shorter = Program()
    start(shorter)
    assert shorter.trained == [(2, 0), (2, 1), (3, 0), (3, 1)]
    assert "epochs: was 3, is 2" in start.said


def test_other_weights_before_a_call_are_a_change_of_a_program_that_was_touched(start):
    start(Program())

    def halve(call, model):
        if call == 3:
            model.set_weights([weight / 2 for weight in model.get_weights()])

    by_itself = Program(between=halve)
    start(by_itself)
    assert by_itself.trained == []
    assert start.said == ""
    changed = Program(between=halve)
    changed.arguments = ("--halve",)
    start(changed)
    assert {call for call, _ in changed.trained} == {3}
    assert "the weights that it starts from are others" in start.said


def test_a_program_that_goes_on_by_itself_is_not_trained_twice(start, tmp_path):
    """What people write who have lost trainings before."""
    own = tmp_path / "own.keras"
    ends = []

    def program(die):
        x, y = np.random.random((40, 6)), np.random.random((40, 1))
        if own.exists():
            model = keras.models.load_model(own)
        else:
            model = model_of()
            model.compile("adam", "mse", metrics=["mae"])

        def end(epoch, logs):
            ends.append(epoch)
            model.save(own)
            if epoch == die:
                raise KeyboardInterrupt

        watch = keras.callbacks.LambdaCallback(on_epoch_end=end)
        return model.fit(x, y, epochs=4, verbose=0, callbacks=[watch]).history

    dies(start, lambda: program(2))
    found = start(lambda: program(None))
    assert "not what it was" not in start.said
    assert start(lambda: program(None)) == found
    assert "not what it was" not in start.said
    assert ends == [0, 1, 2, 2, 3]
    assert len(found["loss"]) == 4


def test_another_patience_is_a_change(start):
    def program(patience):
        def run():
            x, y = np.random.random((40, 6)), np.random.random((40, 1))
            model = model_of()
            stop = keras.callbacks.EarlyStopping(monitor="loss", patience=patience, min_delta=9)
            model.fit(x, y, epochs=9, verbose=0, callbacks=[stop])
            return stop.stopped_epoch

        return run

    assert start(program(1)) == 1
    assert start(program(1)) == 1
    assert start.said == ""
    assert start(program(3)) == 3
    assert "patience: was 1, is 3" in start.said


def test_a_setting_of_a_callback_that_has_no_attribute_is_a_change_too(start):
    def program(delta):
        def run():
            x, y = np.random.random((40, 6)), np.random.random((40, 1))
            # All samples at once, and small steps: the loss falls in each epoch.
            model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
            model.compile(keras.optimizers.SGD(0.01), "mse")
            stop = keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=delta)
            fitted = model.fit(x, y, 40, 6, verbose=0, callbacks=[stop])
            return len(fitted.epoch)

        return run

    assert start(program(9.0)) == 2
    assert start(program(0.0)) > 2
    assert "min_delta: was 9.0, is 0.0" in start.said


def test_other_code_behind_the_same_name_is_a_change_of_a_program_that_was_touched(start):
    def program(factor):
        text = f"def loss(true, given): return {factor} * keras.ops.mean(abs(true - given))"
        names = {"keras": keras, "__name__": "__main__"}
        exec(compile(text, "train.py", "exec"), names)

        def run():
            x, y = np.random.random((40, 6)), np.random.random((40, 1))
            model = model_of()
            model.compile("sgd", names["loss"])
            return model.fit(x, y, verbose=0).history["loss"]

        return run

    first = start(program(1), 1)
    assert start(program(5), 1) == first  # touched by nobody, as far as can be seen
    assert start(program(5), 2) != first
    assert "the code of loss is another" in start.said


def test_a_program_that_leaves_out_what_it_finds_done_goes_on_where_it_was(start, tmp_path):
    done = tmp_path / "first.keras"
    ends = []

    def program(die):
        x, y = np.random.random((40, 6)), np.random.random((40, 1))

        def end(call):
            def ended(epoch, logs):
                ends.append((call, epoch))
                if (call, epoch) == die:
                    raise KeyboardInterrupt

            return [keras.callbacks.LambdaCallback(on_epoch_end=ended)]

        if not done.exists():
            first = model_of()
            first.fit(x, y, epochs=2, verbose=0, callbacks=end(1))
            first.save(done)
        second = model_of(units=8)
        return second.fit(x, y, epochs=4, verbose=0, callbacks=end(2)).history

    dies(start, lambda: program((2, 2)))
    assert len(start(lambda: program(None))["loss"]) == 4
    assert start.said == ""
    assert ends == [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 2), (2, 3)]


def test_enabling_again_and_again_counts_the_calls_all_through(tmp_path, enabled):
    ends = []

    def train():
        watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(1))
        with holdfast.enable(tmp_path, name="train"):
            x, y = np.ones((8, 6)), np.ones((8, 1))
            return model_of().fit(x, y, verbose=0, callbacks=[watch]).history

    switch._calls.clear()
    found = [train() for _ in range(3)]
    assert len(ends) == 3
    switch._calls.clear()
    assert [train() for _ in range(3)] == found
    assert len(ends) == 3


def test_a_rate_that_training_has_changed_is_no_change_of_an_untouched_program(start, tmp_path):
    own = tmp_path / "own.keras"
    ends = []

    def program(die):
        x, y = np.random.random((40, 6)), np.random.random((40, 1))
        model = keras.models.load_model(own) if own.exists() else model_of(rate=0.1)

        def end(epoch, logs):
            ends.append(epoch)
            model.save(own)
            if epoch == die:
                raise KeyboardInterrupt

        watch = keras.callbacks.LambdaCallback(on_epoch_end=end)
        slower = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
        model.fit(x, y, epochs=5, verbose=0, callbacks=[slower, watch])

    dies(start, lambda: program(3))
    start(lambda: program(None))
    assert ends == [0, 1, 2, 3, 3, 4]
    assert start.said == ""


def test_a_training_that_was_stopped_has_the_same_end_with_more_epochs(start):
    def program(epochs):
        def run():
            x, y = np.random.random((40, 6)), np.random.random((40, 1))
            model = model_of()
            stop = keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=9)
            first = model.fit(x, y, epochs=epochs, verbose=0, callbacks=[stop])
            return first.history, model.fit(x, y, epochs=1, verbose=0).history

        return run

    found = start(program(8))
    assert start(program(20)) == found
    assert start.said == ""


def test_fresh_moves_the_old_aside(start, tmp_path):
    first = start(Program())
    assert start(Program(), fresh=True) != first
    assert (tmp_path / "runs" / "train.old-1" / "program.json").is_file()


def test_a_model_with_a_fit_of_its_own_is_durable_too(start):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def fit(self, *args, **kwargs):
            return super().fit(*args, **{**kwargs, "verbose": 0})

    calls = []

    def program():
        model = Own()
        model.compile("sgd", "mse")
        watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: calls.append(1))
        return model.fit(np.ones((8, 2)), np.ones((8, 1)), callbacks=[watch]).history

    assert start(program) == start(program)
    assert calls == [1]


def test_what_cannot_be_kept_is_trained_by_keras_and_said(start, tmp_path):
    class Own(keras.Sequential):
        def make_train_function(self, force=False):
            return super().make_train_function(force)

    def program():
        own = Own([keras.Input((6,)), layers.Dense(1)])
        own.compile("sgd", "mse")
        own.fit(np.ones((8, 6)), np.ones((8, 1)), verbose=0)
        return model_of().fit(np.ones((8, 6)), np.ones((8, 1)), verbose=0).history

    first = start(program)
    assert "call 1 of fit is trained by Keras alone and not kept" in start.said
    assert start(program) == first
    assert [path.name[:2] for path in (tmp_path / "runs" / "train").glob("*-*")] == ["2-"]


def test_a_generator_s_training_is_kept(start):
    drawn = []

    def batches():
        while True:
            drawn.append(1)
            yield np.random.rand(4, 6), np.random.rand(4, 1)

    def program():
        model = model_of()
        history = model.fit(
            batches(), steps_per_epoch=3, epochs=2, validation_data=batches(), validation_steps=1
        )
        return history.history, model.get_weights()[0].tolist()

    first = start(program)
    assert len(drawn) >= 2 * 3 + 2
    drawn.clear()
    assert start(program) == first
    assert len(drawn) == 2, "nothing but the first batches, for their shapes"


def test_a_training_within_a_callback_is_part_of_the_call(start, tmp_path):
    def program():
        inner = model_of()
        train_inner = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: inner.fit(np.ones((8, 6)), np.ones((8, 1)), verbose=0)
        )
        outer = model_of()
        outer.fit(np.ones((8, 6)), np.ones((8, 1)), epochs=2, verbose=0, callbacks=[train_inner])

    start(program)
    assert [path.name[:2] for path in (tmp_path / "runs" / "train").glob("*-*")] == ["1-"]


def _fit_in_a_child(queue):
    # No training: after a fork JAX has no threads. That it would be Keras's own is what counts.
    model = model_of()
    try:
        model.fit(None, verbose=0)
    except Exception as error:
        queue.put(type(error).__module__)


def test_the_runs_are_the_program_s_and_not_its_children_s(start, tmp_path):
    def program():
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_fit_in_a_child, args=(queue,))
        child.start()
        child.join(60)
        return queue.get(timeout=10)

    assert not start(program).startswith("holdfast")
    assert list((tmp_path / "runs" / "train").glob("*-*")) == []


def test_one_process_at_a_time(start, tmp_path):
    with holdfast.enable(tmp_path / "runs", name="train"):
        from holdfast.compat.program import Program as Directory

        with pytest.raises(errors.RunLockedError, match="process"):
            Directory.open(tmp_path / "runs" / "train", command=["x"], fresh=False, take_over=False)


def test_a_directory_of_something_else_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "data.csv").write_text("1,2")
    with pytest.raises(errors.RunError, match=r"has data\.csv in it"):
        holdfast.enable(tmp_path, name="train")
    model = model_of()
    holdfast.fit(model, np.ones((8, 6)), np.ones((8, 1)), run=tmp_path / "one", verbose=0)
    with pytest.raises(errors.RunError, match="is a run"):
        holdfast.enable(tmp_path, name="one")


def test_disable_gives_keras_back(tmp_path):
    before = (keras.Model.fit, keras.callbacks.EarlyStopping, keras.models.load_model)
    hooks = list(sys.meta_path)
    enabled = holdfast.enable(tmp_path, name="train")
    assert enabled.directory == tmp_path / "train"
    assert keras.Model.fit is not before[0]
    holdfast.enable(tmp_path, name="other")  # in its place
    holdfast.disable()
    holdfast.disable()
    assert before == (keras.Model.fit, keras.callbacks.EarlyStopping, keras.models.load_model)
    assert sys.meta_path == hooks
    assert "tensorflow" not in sys.modules


def test_deaths_and_starts_are_in_the_program_s_journal(start, tmp_path):
    from holdfast.compat.program import Program as Directory
    from holdfast.events import CallBegan, ProgramDied, ProgramEnded, ProgramStarted
    from holdfast.store import journal

    dies(start, Program(die=(2, 0)))
    directory = tmp_path / "runs" / "train"
    options = {"command": ["train.py"], "fresh": False, "take_over": False}
    program = Directory.open(directory, **options)
    assert program.position()[0] == 2
    program.died("ValueError: no", "train.py:3")
    program.close()
    Directory.open(directory, **options).close()  # and is not heard of again
    program = Directory.open(directory, **options)
    program.ended(3)
    program.close()
    Directory.open(directory, **options).close()
    events = journal.read(Layout(directory).journal).events
    told = [type(event) for event in events if not isinstance(event, CallBegan)]
    assert told == [
        ProgramStarted,
        ProgramDied,
        ProgramStarted,
        ProgramDied,
        ProgramStarted,
        ProgramEnded,
        ProgramStarted,
    ]
    deaths = [event for event in events if isinstance(event, ProgramDied)]
    assert [(event.reason, event.where, event.call) for event in deaths] == [
        ("ValueError: no", "train.py:3", 2),
        ("it was killed, or the machine went", "", 2),
    ]


def test_a_notebook_s_cell_run_again_is_the_same_call_unless_its_plan_differs(tmp_path):
    testing = pytest.importorskip("IPython.testing.globalipapp")
    shell = testing.start_ipython()
    cells = [
        f"import holdfast; holdfast.enable({str(tmp_path)!r}, name='book')",
        "import keras, numpy as np\n"
        "from keras import layers\n"
        "x = np.arange(40.0).reshape(20, 2) / 40; y = x.sum(axis=1, keepdims=True)\n"
        "ends = []\n"
        "watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, l: ends.append(e))\n"
        "model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])\n"
        "model.compile('sgd', 'mse')",
        "for _ in range(2): h = model.fit(x, y, epochs=2, verbose=0, callbacks=[watch])",
        "h = model.fit(x, y, epochs=2, batch_size=5, verbose=0, callbacks=[watch])",
        # Its batches are known again, though each process draws other numbers.
        "class Noisy(keras.utils.PyDataset):\n"
        "    def __len__(self): return 2\n"
        "    def __getitem__(self, i): return x[:10] + np.random.rand(), y[:10]\n"
        "np.random.seed()\n"
        "h = model.fit(Noisy(), epochs=2, verbose=0, callbacks=[watch])",
    ]
    try:
        for cell in cells:
            shell.run_cell(cell, store_history=True).raise_error()
        assert shell.user_ns["ends"] == [0, 1, 0, 1, 0, 1, 0, 1]
        runs = sorted(path.name[:2] for path in (tmp_path / "book").glob("*-*"))
        assert runs == ["1-", "2-", "3-", "4-"]
        shell.run_cell(cells[4], store_history=True).raise_error()
        # The same cells again, the last one first; and one with more epochs.
        shell.run_cell(cells[3], store_history=True).raise_error()
        shell.run_cell(cells[2], store_history=True).raise_error()
        assert len(shell.user_ns["ends"]) == 8
        shell.run_cell(cells[3].replace("epochs=2", "epochs=3"), store_history=True).raise_error()
        assert shell.user_ns["ends"][8:] == [2]
        assert len(list((tmp_path / "book").glob("*-*"))) == 4
    finally:
        holdfast.disable()
