"""Generators and other iterables: drawn again from the beginning, and what that cannot do."""

import itertools

import keras
import numpy as np
import pytest
from drawn_again import drawn, from_here, same_from_everywhere

import holdfast
from holdfast.data.drawing import Drawing, isolated
from holdfast.data.generators import GeneratorSource
from holdfast.data.source import Schedule
from holdfast.errors import PlanError, RunError
from holdfast.testing import restart_at_every_step


def batches(count=5, noise=0.1):
    """A generator of the global random generators' numbers."""
    for number in itertools.count() if count is None else range(count):
        x = np.full((4, 3), number, "float32") + noise * np.random.random((4, 3))
        yield x, x.sum(axis=1)


class Again:
    """Can be gone through again; shuffles by a generator of its own."""

    def __init__(self):
        self.rng = np.random.default_rng()

    def __iter__(self):
        for number in self.rng.permutation(5):
            x = number + np.random.random((4, 3)) + self.rng.random()
            yield x, x.sum(axis=1)


class Counting:
    """Gives other batches each time it is gone through. What is counted when, `where` says."""

    def __init__(self, where):
        self.where = where
        self.passes = 0
        self.given = []

    def batches(self, number):
        for batch in range(3):
            if self.where == "given":
                self.given.append(batch)
            x = np.full((4, 3), number + 10 * batch * len(self.given)) + np.random.random((4, 3))
            yield x, x.sum(axis=1)
        if self.where == "ends":
            self.passes += 1

    def __iter__(self):
        if self.where == "begins":
            self.passes += 1
        return self.batches(self.passes)


class Body(Counting):
    """Counts in the body of a generator, which runs when its first batch is asked for."""

    def __init__(self):
        super().__init__("body")

    def __iter__(self):
        self.passes += 1
        yield from self.batches(self.passes)


class Itself:
    """Its own iterator, that begins again when asked for."""

    def __iter__(self):
        self.number = 0
        return self

    def __next__(self):
        if self.number == 3:
            raise StopIteration
        self.number += 1
        return np.full((2, 3), self.number), np.random.random(2)


class Spent(Itself):
    """Its own iterator, that never begins again."""

    number = 0

    def __iter__(self):
        return self


def source(x, steps=None):
    made = GeneratorSource(x, seed=5, name="x")
    made.schedule = Schedule(None, steps)
    return made


@pytest.mark.parametrize(
    ("make", "once", "length"),
    [
        (batches, True, 5),
        (lambda: iter(list(batches(4, 0))), True, 4),
        (Spent, True, 3),
        (Again, False, 5),
        (Itself, False, 3),
        (lambda: zip(np.arange(24.0).reshape(4, 2, 3), np.ones((4, 2)), strict=True), True, 4),
    ],
)
def test_a_batch_is_the_same_wherever_it_is_drawn_from(make, once, length):
    whole = same_from_everywhere(lambda: source(make()))
    assert source(make()).once == once
    assert [len(one) for one in whole] == ([length, 0, 0] if once else [length] * 3)
    assert len(set(whole[0])) == length
    if make is Again:
        assert whole[0] != whole[1]


@pytest.mark.parametrize(
    ("make", "since"),
    [
        (lambda: Counting("begins"), "the epoch began"),
        (lambda: Counting("given"), "the training began"),
        (Body, "the training began"),
    ],
)
def test_what_remembers_how_often_it_was_gone_through(make, since):
    whole = same_from_everywhere(lambda: source(make()), passes=4)
    assert [len(one) for one in whole] == [3] * 4
    assert len({one[0] for one in whole}) == 4
    made = source(make())
    assert f"since {since} is drawn again" in made.sentences()[0]
    assert drawn(made, 3) == whole[3]
    assert drawn(made, 1) == whole[1]
    assert "contents" in made.fingerprint()


def test_what_changes_at_its_end_alone_is_warned_of():
    made = source(Counting("ends"))
    drawing = Drawing(made, 5)
    from_here(drawing, 0)
    with pytest.warns(UserWarning, match="does not end with the same bits"):
        from_here(drawing, 1)


def test_passes_of_which_a_part_is_asked_for():
    def part(number):
        made = source(Body())
        made.schedule = Schedule(2)
        drawing = Drawing(made, 5)
        found = []
        for past in range(number):
            with isolated():
                for batch in range(2):
                    drawing.seek(past, batch)
                    drawing.draw()
        with isolated():
            drawing.seek(number, 1)
            found.append(drawing.draw())
        drawing.close()
        return found

    late = source(Body())
    late.schedule = Schedule(2)
    drawing = Drawing(late, 5)
    with isolated():
        drawing.seek(3, 1)
        np.testing.assert_equal([drawing.draw()], part(3))


def test_going_on_with_a_generator_that_was_drawn_from_is_refused():
    used = batches()
    next(used)
    made = source(used)
    assert any("was drawn from before" in sentence for sentence in made.sentences())
    with pytest.raises(RunError, match=r"was drawn from before.*[Mm]ake a new one"):
        made.begins_again()
    assert len(drawn(made, 0)) == 4
    made.begins_again()  # its own doing
    source(batches()).begins_again()
    for _ in used:
        pass
    with pytest.raises(PlanError, match=r"has no batches left.*[Mm]ake a new one"):
        source(used)


def test_looking_at_it_costs_no_batch():
    made = source(batches(3))
    first = made.specimen()
    made.fingerprint()
    drawing = Drawing(made, 5)
    with isolated():
        drawing.seek(0, 0)
        np.testing.assert_equal(drawing.draw(), first)
    assert len(from_here(drawing, 0, 1)) == 2


def test_going_back_is_refused_where_it_cannot_be():
    made = source(batches())
    assert len(drawn(made, 0)) == 5
    with pytest.raises(RunError, match="x, a generator, gives its batches once"):
        drawn(made, 0)
    assert drawn(source(Again()), 1) == drawn(source(Again()), 1)


def test_what_gives_no_batches():
    with pytest.raises(PlanError, match="x, a generator, is empty"):
        source(iter_of([]))
    with pytest.raises(PlanError, match="a tuple of 4"):
        source(iter_of([(1, 2, 3, 4)]))


def iter_of(values):
    yield from values


def test_an_exception_names_the_batch():
    def broken():
        yield from batches(2)
        raise LookupError("the shard is gone")

    with pytest.raises(LookupError, match="the shard is gone") as caught:
        drawn(source(broken()), 0)
    assert caught.value.__notes__ == ["Raised by x, a generator, when asked for batch 2."]


def test_what_is_said_before_the_first_step():
    class Wild:
        def __iter__(self):
            own = np.random.default_rng()
            yield own.random((2, 3))

    replay, ends = source(batches()).sentences()
    assert "since it began is drawn again; its first batch took less than 1 ms" in replay
    assert "the training ends when it does" in ends
    (replay,) = source(Again()).sentences()
    assert "since the epoch began is drawn again" in replay
    _, wild = source(Wild()).sentences()
    assert "does not end with the same bits" in wild


def test_a_fingerprint_has_contents_where_they_can_be_known():
    assert source(Again()).fingerprint() == source(Again()).fingerprint()
    assert "contents" in source(Again()).fingerprint()
    assert "contents" not in source(batches()).fingerprint()


def compiled(seed=1):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_weights_are_keras_s(memory):
    theirs, ours = compiled(), compiled()
    options = {"epochs": 2, "steps_per_epoch": 3, "shuffle": False, "verbose": 0}
    theirs.fit(batches(6, 0), **options)
    holdfast.Run(memory / "run").fit(ours, batches(6, 0), **options)
    for expected, found in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "steps", "epochs"),
    [(Again, None, [0, 1]), (Body, 2, [0, 1, 2]), (batches, 2, [0, 1, 2])],
)
def test_restarts_at_every_step(make, steps, epochs, memory):
    def arguments(seed):
        return {
            "model": compiled(seed),
            "x": make(),
            "epochs": len(epochs),
            "steps_per_epoch": steps,
            "verbose": 0,
        }

    found = restart_at_every_step(arguments, memory)
    assert len(found.history["loss"]) == len(epochs)


def test_a_generator_that_ends_too_early(memory):
    run = holdfast.Run(memory / "run")
    with (
        pytest.warns(UserWarning, match="ended after step 1 of an epoch that was to have 2"),
        pytest.warns(UserWarning, match="the training ends after epoch 3 of 9"),
    ):
        history = run.fit(compiled(), batches(5), epochs=9, steps_per_epoch=2, verbose=0)
    assert (run.position.total, history.epoch, run.status) == (5, [0, 1, 2], "finished")
    again = run.fit(compiled(), batches(5), epochs=9, steps_per_epoch=2, verbose=0)
    assert again.epoch == history.epoch
