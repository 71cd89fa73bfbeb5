"""`keras.utils.PyDataset`: any batch by its number, whoever draws it, and Keras's meaning."""

import cProfile
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from drawn_again import drawn, same_from_everywhere
from keras._tf_keras.keras.preprocessing.image import ImageDataGenerator

import holdfast
from holdfast.data.drawing import Drawing, isolated
from holdfast.data.own_state import apart
from holdfast.data.pydataset import PyDatasetSource
from holdfast.data.source import Schedule
from holdfast.errors import PlanError, RunError
from holdfast.testing import restart_at_every_step


class Plain(keras.utils.PyDataset):
    """Batches of 4 of 22 samples."""

    def __init__(self, **options):
        super().__init__(**options)
        self.x = np.random.default_rng(3).normal(size=(22, 3)).astype("float32")
        self.y = (self.x.sum(axis=1) > 0).astype("int32")
        self.lock = threading.Lock()  # cannot be pickled
        self.log = []

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.log.append(index)
        rows = slice(4 * index, 4 * index + 4)
        return self.x[rows], self.y[rows]


class Noisy(Plain):
    """Draws from all global generators, and from its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.own = np.random.default_rng()
        self.nested = {"old": np.random.RandomState(), "python": [random.Random()]}

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        noise = np.random.random() + random.random() + self.own.random()
        noise += self.nested["old"].rand() + self.nested["python"][0].random()
        return x + np.float32(noise), y


class Shuffling(Plain):
    """Shuffles itself as many do: first in its constructor, then at each epoch's end."""

    def __init__(self, **options):
        super().__init__(**options)
        self.rows = np.arange(22)
        self.level = 0
        self.log = []
        np.random.RandomState().shuffle(self.rows)
        self.rows.sort()

    def on_epoch_begin(self):
        self.log.append("begin")

    def on_epoch_end(self):
        self.log.append("end")
        self.level += 1
        np.random.shuffle(self.rows)

    def __getitem__(self, index):
        self.log.append(index)
        rows = self.rows[4 * index : 4 * index + 4]
        return self.x[rows] + self.level, self.y[rows]


class Endless(Noisy):
    @property
    def num_batches(self):
        return None


def source(x, **options):
    options = {"class_weight": None, "shuffle": True, "seed": 5, "name": "x", **options}
    steps = options.pop("steps", None)
    made = PyDatasetSource(x, **options)
    made.schedule = Schedule(made.length, steps)
    return made


def workers_left():
    return [child for child in multiprocessing.active_children() if child.is_alive()]


WORKERS = (
    {},
    {"workers": 3, "max_queue_size": 2},
    {"workers": 2, "use_multiprocessing": True},
)


@pytest.mark.parametrize("kind", [Plain, Noisy, Shuffling])
def test_a_batch_is_the_same_wherever_it_is_drawn_from_and_whoever_draws_it(kind):
    def draw(options):
        return same_from_everywhere(lambda: source(kind(**options)))

    found = [draw(options) for options in WORKERS[:2]]
    # Each fork takes its time: processes start from a few places.
    drawing = Drawing(source(kind(**WORKERS[2])), 5)
    for number, batch in ((0, 0), (1, 4), (2, 1)):
        with isolated():
            drawing.seek(number, batch)
        assert drawn(source(kind(**WORKERS[2])), number, batch) == found[0][number][batch:]
    drawing.close()
    assert found[0] == found[1]
    assert found[0][0] != found[0][1], "both passes are in the same order"
    assert not workers_left()


class Sometimes(Plain):
    """Draws random numbers in one item, which is neither the first nor the last."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        if index in (3, 4):
            time.sleep(0.01 * (index - 3))
            x = x + np.float32(np.random.random())
        return x, y


def test_threads_leave_off_when_an_item_draws_random_numbers():
    expected = drawn(source(Sometimes(), shuffle=False), 0)
    made = source(Sometimes(workers=3), shuffle=False)
    assert not made.sentences()
    with pytest.warns(UserWarning, match="draws random numbers .* drawn one at a time"):
        assert drawn(made, 0) == expected
    assert "one at a time; with use_multiprocessing=True" in "".join(made.sentences())
    assert drawn(made, 0) == expected


def test_threads_draw_only_while_they_are_waited_for():
    class Counting(Plain):
        drawing = 0

        def __getitem__(self, index):
            self.drawing += 1
            time.sleep(0.01)
            self.drawing -= 1
            return super().__getitem__(index)

    dataset = Counting(workers=3)
    drawing = Drawing(source(dataset), 5)
    for batch in range(4):
        with isolated():
            drawing.seek(0, batch)
            drawing.draw()
        assert dataset.drawing == 0
    drawing.close()


def test_a_data_set_taken_apart_shares_nothing_that_its_hooks_change():
    one = Shuffling()
    other = apart(one)
    training, validation = source(one), source(other, shuffle=False)
    expected = [drawn(source(Shuffling()), 2), drawn(source(Shuffling(), shuffle=False), 1)]
    assert [drawn(training, 2), drawn(validation, 1)] == expected
    assert [drawn(training, 2), drawn(validation, 1)] == expected
    assert one.rows.tolist() != other.rows.tolist()


def test_keeping_the_order():
    plain = Plain()
    drawn(source(plain, shuffle=False), 1)
    assert plain.log[-6:] == [0, 1, 2, 3, 4, 5]


def test_hooks_are_called_as_keras_calls_them(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    theirs, ours = Shuffling(), Shuffling()
    options = {"epochs": 3, "verbose": 0, "shuffle": False, "steps_per_epoch": 4}
    model.fit(theirs, **options)
    holdfast.Run(tmp_path / "run").fit(model, ours, **options)
    built = theirs.log.index("end")
    # Each looks at batches before it trains: Keras to build the model, Holdfast for a fingerprint.
    assert ours.log[:6] == ["end", "begin", 0, 0, 5, 5]
    expected = theirs.log[built + 2 : -1]
    assert expected == [0, 1, 2, 3, "end", "begin", 4, 5, "end", "begin", 0, 1, 2, 3]
    assert ours.log[6 : 6 + len(expected)] == expected


def test_a_pass_cut_into_epochs_has_hooks_between_them():
    whole, _ = same_from_everywhere(lambda: source(Shuffling(), steps=4), passes=2)
    assert drawn(source(Shuffling(**WORKERS[1]), steps=4), 0) == whole
    assert drawn(source(Shuffling(**WORKERS[2]), steps=4), 0, 3) == whole[3:]


def test_without_an_end():
    endless = source(Endless(workers=2), steps=3)
    assert endless.length is None
    ahead = Drawing(source(Endless(), steps=3), 5)
    with isolated():
        ahead.seek(0, 0)
        whole = [ahead.draw() for _ in range(7)]
        late = Drawing(endless, 5)
        late.seek(0, 5)
        np.testing.assert_equal([late.draw(), late.draw()], whole[5:])
        late.close()


def test_going_back_to_an_earlier_epoch():
    made = source(Shuffling())
    first = drawn(made, 1)
    drawn(made, 3)
    assert drawn(made, 1) == first


def test_the_length_is_asked_in_each_pass():
    class Growing(Plain):
        def __len__(self):
            return self.now

        now = 3

        def on_epoch_end(self):
            self.now += 1

    whole = same_from_everywhere(lambda: source(Growing()))
    assert [len(one) for one in whole] == [4, 5, 6]


def test_class_weights_are_keras_s(tmp_path):
    def model():
        keras.utils.set_random_seed(1)
        made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        return made

    options = {"epochs": 2, "shuffle": False, "verbose": 0, "class_weight": {0: 0.3, 1: 4.0}}
    theirs, ours = model(), model()
    theirs.fit(Plain(), validation_data=Plain(), **options)
    holdfast.Run(tmp_path / "run").fit(ours, Plain(), validation_data=Plain(), **options)
    for expected, found in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_two_weights_are_refused():
    class Weighted(Plain):
        def __getitem__(self, index):
            return (*super().__getitem__(index), np.ones(4))

    with pytest.raises(PlanError, match="expected one of them"):
        source(Weighted(), class_weight={0: 1.0}).specimen()


def test_what_is_no_data_set():
    class Mute(keras.utils.PyDataset):
        pass

    class Empty(Plain):
        def __len__(self):
            return 0

    class Odd(Plain):
        def __getitem__(self, index):
            return 1, 2, 3, 4

    with pytest.raises(PlanError, match="does not say how long"):
        source(Mute())
    with pytest.raises(PlanError, match="has 0 batches"):
        source(Empty())
    with pytest.raises(PlanError, match="a tuple of 4"):
        source(Odd()).specimen()


def test_an_exception_names_the_item():
    class Broken(Plain):
        def __getitem__(self, index):
            if index == 4:
                raise LookupError("image 17 is gone")
            return super().__getitem__(index)

    for options in WORKERS:
        with pytest.raises(LookupError, match="image 17 is gone") as caught:
            drawn(source(Broken(**options), shuffle=False), 0)
        assert "item 4 of x, a PyDataset, of class" in "".join(caught.value.__notes__)
        assert "batch 4 of pass 0" in "".join(caught.value.__notes__)
        if options.get("use_multiprocessing"):
            assert 'raise LookupError("image 17 is gone")' in str(caught.value.__cause__)
        assert not workers_left()


def test_an_exception_that_cannot_be_pickled():
    class LocalError(Exception):
        pass

    class Broken(Plain):
        def __getitem__(self, index):
            if index == 4:
                raise LocalError("no")
            return super().__getitem__(index)

    with pytest.raises(RuntimeError, match="LocalError: no"):
        drawn(source(Broken(**WORKERS[2]), shuffle=False), 0)


def test_a_worker_process_that_is_killed_is_named():
    home = os.getpid()

    class Greedy(Plain):
        def __getitem__(self, index):
            if index == 3 and os.getpid() != home:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(index)

    with pytest.raises(RunError, match=r"batch 3 of x.*was killed by SIGKILL"):
        drawn(source(Greedy(**WORKERS[2]), shuffle=False), 0)
    assert not workers_left()


@pytest.mark.parametrize("options", WORKERS[1:])
def test_workers_draw_side_by_side(options):
    class Meeting(Plain):
        """The first of two items is not drawn before the second is begun.

        Of later ones a worker may have two to draw while another has none.
        """

        meets = False
        barrier = multiprocessing.get_context("fork").Barrier(2)
        begun = multiprocessing.get_context("fork").Value("i", 0)

        def __getitem__(self, index):
            if self.meets:
                with self.begun.get_lock():
                    self.begun.value += 1
                    early = self.begun.value <= 2
                if early:
                    self.barrier.wait(20)
            return super().__getitem__(index)

    dataset = Meeting(**options)
    made = source(dataset)
    made.specimen()
    dataset.meets = True
    assert len(drawn(made, 0)) == 6


def test_no_further_ahead_than_asked():
    dataset = Plain(workers=3, max_queue_size=4)
    drawing = Drawing(source(dataset), 5)
    with isolated():
        drawing.seek(0, 0)
        before = len(dataset.log)
        drawing.draw()
        time.sleep(0.2)
    assert len(dataset.log) - before <= 5
    drawing.close()


def test_nothing_runs_on_when_it_is_closed():
    for options in WORKERS[1:]:
        made = source(Endless(**options))
        drawing = Drawing(made, 5)
        with isolated():
            drawing.seek(0, 0)
            drawing.draw()
        drawing.close()
        assert not workers_left()
        assert not [one for one in threading.enumerate() if one.name.startswith("holdfast-data")]


def test_what_computes_with_jax_is_not_forked():
    class Computing(Plain):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return keras.ops.convert_to_numpy(keras.ops.sin(x)), keras.utils.to_categorical(y, 2)

    class Converting(Plain):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x, keras.utils.to_categorical(y, 2)

    made = source(Computing(**WORKERS[2]))
    assert any("computes with jax" in sentence for sentence in made.sentences())
    assert drawn(made, 0) == drawn(source(Computing()), 0)
    assert not source(Converting(**WORKERS[2])).sentences()


def test_what_is_said_before_the_first_step():
    class Counting(Plain):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return x + len(self.log), y

    assert not source(Plain(**WORKERS[1])).sentences()
    assert not source(Noisy(**WORKERS[2])).sentences()
    (shared,) = source(Noisy(**WORKERS[1])).sentences()
    assert "one at a time; with use_multiprocessing=True" in shared
    (counted,) = source(Counting()).sentences()
    assert "not with the same bits" in counted
    assert "contents" not in source(Counting()).fingerprint()


def test_a_fingerprint_tells_other_data():
    class Other(Plain):
        def __init__(self):
            super().__init__()
            self.y += 1

    one, same = source(Noisy()).fingerprint(), source(Noisy(**WORKERS[1])).fingerprint()
    assert one == same
    assert source(Plain()).fingerprint() != source(Other()).fingerprint()
    assert source(Plain()).fingerprint() != source(Plain(), shuffle=False).fingerprint()


def test_to_draw_leaves_all_random_state_alone():
    noisy = Noisy()
    before = (random.getstate(), np.random.get_state(), noisy.own.bit_generator.state)
    made = source(noisy)
    made.fingerprint()
    with isolated():
        drawing = Drawing(made, 5)
        drawing.seek(1, 2)
        drawing.draw()
    after = (random.getstate(), np.random.get_state(), noisy.own.bit_generator.state)
    np.testing.assert_equal(after, before)


def test_old_image_generators(digits):
    x, y = digits
    made = ImageDataGenerator(horizontal_flip=True)
    for seed in (None, 3):

        def flow(seed=seed):
            return source(made.flow(x[:40], y[:40], batch_size=16, seed=seed))

        same_from_everywhere(flow, passes=2)
        assert not flow().sentences()


def test_a_training_ends_well_when_an_item_fails(memory):
    class Broken(Plain):
        def __getitem__(self, index):
            if index == 4:
                raise LookupError("image 17 is gone")
            return super().__getitem__(index)

    for number, options in enumerate(WORKERS):
        run = holdfast.Run(memory / str(number))
        arguments = {**make(Broken, options)(3), "steps_per_epoch": None, "shuffle": False}
        with pytest.raises(LookupError, match="image 17 is gone"):
            run.fit(arguments.pop("model"), **arguments)
        assert run.position.total == 4
        assert not workers_left()


class Short(Noisy, Shuffling):
    def __len__(self):
        return 3


def make(kind, options):
    def arguments(seed):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        options_of_fit = {"epochs": 2, "steps_per_epoch": 2, "verbose": 0}
        return {"model": model, "x": kind(**options), **options_of_fit}

    return arguments


@pytest.mark.parametrize("options", WORKERS)
def test_restarts_at_every_step(options, memory):
    kind = Plain if options.get("max_queue_size") else Short
    assert restart_at_every_step(make(kind, options), memory).moments >= 4


class Traced(Shuffling):
    """Leaves the number of each process that draws from it in a directory."""

    def __init__(self, folder, **options):
        super().__init__(**options)
        self.folder = folder

    def __len__(self):
        return 40

    def __getitem__(self, index):
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.002)
        return super().__getitem__(index % 6)


def train(folder, run):
    """A training of 160 steps, in a process of its own: trained by processes, judged by threads."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    processes, threads = WORKERS[2], WORKERS[1]
    training = holdfast.Run(run)
    training.fit(
        model,
        Traced(folder, **processes),
        validation_data=Traced(folder, **threads),
        epochs=4,
        validation_steps=8,
        verbose=0,
        every=holdfast.Every(steps=1),
    )
    run.with_suffix(".txt").write_text(training.digest())


def is_alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_killed_10_times_no_worker_is_left_and_the_end_is_the_same(memory):
    # Imported once, and forked from there: importing takes most of such a short life.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras", "jax", "holdfast", "holdfast.training.attempt"])
    seed = time.time_ns() % 2**32
    print("seed", seed)
    moments = random.Random(seed)
    folder, run, whole = memory / "processes", memory / "run", memory / "whole"
    folder.mkdir()

    def start(run):
        child = context.Process(target=train, args=(folder, run))
        child.start()
        return child

    def alive():
        return {int(path.name) for path in folder.iterdir() if is_alive(path.name)}

    expected = start(whole)
    expected.join(60)
    training = holdfast.Run(run)
    for _ in range(10):
        before = training.position.total
        child = start(run)
        while training.position.total == before:
            assert child.is_alive(), "it ended by itself"
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.05))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        deadline = time.monotonic() + 5
        while left := alive():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.01)
    assert len(list(folder.iterdir())) >= 20
    child = start(run)
    child.join(60)
    assert (expected.exitcode, child.exitcode) == (0, 0)
    assert run.with_suffix(".txt").read_text() == whole.with_suffix(".txt").read_text()
    assert not alive()


def test_a_profiler_is_left_alone():
    profiler = cProfile.Profile()
    profiler.enable()
    made = source(Noisy(**WORKERS[2]))
    assert sys.getprofile() is profiler
    profiler.disable()
    assert made.specimen()
