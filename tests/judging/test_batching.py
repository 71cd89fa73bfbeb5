"""Requests are judged together, within bounds, and each gets its own rows' answer."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from holdfast.judge import Judge
from holdfast.judge.about import About
from holdfast.judge.signature import Signature, Tensor
from holdfast.serving.batching import Batcher, Limits
from holdfast.serving.refusal import RequestError
from holdfast.serving.served import Served, tried


class Doubling:
    """Doubles what comes; refuses rows with a negative number; waits where it is told to."""

    name = "numpy"

    def __init__(self, sample=(3,), batch=None):
        self.signature = Signature(
            (Tensor("x", (batch, *sample), "float32"),), (Tensor("y", (None, *sample), "float32"),)
        )
        self.batches = []
        self.open = threading.Event()
        self.open.set()
        self.closed = False

    def run(self, feed):
        self.open.wait(10)
        x = feed["x"]
        self.batches.append(len(x))
        if (x < 0).any():
            raise ValueError("negative")
        return {"y": x * 2}

    def close(self):
        self.closed = True


class Total(Doubling):
    """Gives one number for a whole batch: its rows cannot be told apart."""

    def run(self, feed):
        return {"y": super().run(feed)["y"].sum(keepdims=True)[0]}


class Wide(Doubling):
    """Gives as many numbers for each row as the batch's largest is."""

    def run(self, feed):
        x = super().run(feed)["y"]
        return {"y": np.ones((len(x), int(x.max())), "float32")}


def served(runtime, version="1", at_once=0):
    return Served(Judge(Path("model"), runtime, About()), version, at_once)


def rows(count, first=0.0, width=3):
    return {"x": (np.arange(count * width, dtype="float32") + first).reshape(count, width)}


def run(test, runtime, at_once=0, **limits):
    """Run a coroutine function on a batcher, and return the batcher's batches' sizes."""
    return [batch[0] for batch in batches(test, runtime, at_once, **limits)]


def batches(test, runtime, at_once=0, **limits):
    """Run a coroutine function on a batcher, and return what was told of each batch."""
    told = []

    async def main():
        batcher = Batcher(
            served(runtime, at_once=at_once), Limits(**limits), lambda *b: told.append(b)
        )
        await asyncio.wait_for(test(batcher), 20)
        assert batcher.waiting == 0
        assert batcher.held == 0
        await batcher.close()

    asyncio.run(main())
    return told


async def held(batcher, runtime):
    """Let one request occupy the thread; what is put from now on waits."""
    runtime.open.clear()
    first = batcher.put(rows(1))
    await asyncio.sleep(0.02)
    return first


@pytest.mark.parametrize("at_once", [0, 64], ids=["thread", "loop"])
def test_every_request_gets_the_answer_of_its_own_rows(at_once):
    async def test(batcher):
        feeds = [rows(1 + number % 3, number) for number in range(200)]
        answers = await asyncio.gather(*map(batcher.put, feeds))
        for feed, answer in zip(feeds, answers, strict=True):
            np.testing.assert_array_equal(answer.outputs["y"], feed["x"] * 2)

    sizes = run(test, Doubling(), at_once)
    assert max(sizes) <= 64
    assert len(sizes) < 10


def test_what_comes_while_the_model_works_goes_together_next():
    runtime = Doubling()

    async def test(batcher):
        first = await held(batcher, runtime)
        others = [batcher.put(rows(1)) for _ in range(40)]
        runtime.open.set()
        await asyncio.gather(first, *others)

    assert run(test, runtime) == [1, 40]


def test_a_request_that_comes_alone_is_judged_without_waiting_for_others():
    async def test(batcher):
        for number in range(5):
            answer = await batcher.put(rows(1, number))
            assert answer.served.version == "1"

    assert run(test, Doubling()) == [1] * 5


def test_only_samples_of_one_shape_are_joined():
    runtime = Doubling(sample=(None,))

    async def test(batcher):
        first = await held(batcher, runtime)
        feeds = [rows(1, width=2 + number % 2) for number in range(10)]
        others = [batcher.put(feed) for feed in feeds]
        runtime.open.set()
        await asyncio.gather(first, *others)
        for feed, answer in zip(feeds, others, strict=True):
            np.testing.assert_array_equal((await answer).outputs["y"], feed["x"] * 2)

    assert run(test, runtime) == [1, 5, 5]


def test_a_request_of_many_rows_is_judged_in_pieces_and_others_get_their_turn():
    runtime = Doubling()

    async def test(batcher):
        first = await held(batcher, runtime)
        large, small = rows(40), rows(1)
        order = []
        futures = [batcher.put(large), batcher.put(small)]
        for name, future in zip(("large", "small"), futures, strict=True):
            future.add_done_callback(lambda _, name=name: order.append(name))
        runtime.open.set()
        answers = await asyncio.gather(*futures)
        for feed, answer in zip((large, small), answers, strict=True):
            np.testing.assert_array_equal(answer.outputs["y"], feed["x"] * 2)
        assert order == ["small", "large"]
        await first

    assert max(run(test, runtime, batch=8)) == 8


def test_a_batch_that_fails_harms_none_but_who_is_to_blame():
    runtime = Doubling()

    async def test(batcher):
        first = await held(batcher, runtime)
        feeds = [rows(1, number) for number in range(10)]
        feeds[4] = {"x": -feeds[4]["x"]}
        futures = [batcher.put(feed) for feed in feeds]
        runtime.open.set()
        await first
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(outcomes.pop(4), ValueError)
        for feed, answer in zip(feeds[:4] + feeds[5:], outcomes, strict=True):
            np.testing.assert_array_equal(answer.outputs["y"], feed["x"] * 2)

    run(test, runtime)


@pytest.mark.parametrize("at_once", [0, 64], ids=["thread", "loop"])
def test_an_answer_that_cannot_be_put_together_stops_nothing(at_once):
    async def test(batcher):
        bad = batcher.put({"x": np.array([[1], [1], [3]], "float32")})
        good = batcher.put({"x": np.ones((1, 1), "float32")})
        with pytest.raises(ValueError, match="dimension"):
            await bad
        assert len((await good).outputs["y"]) == 1
        assert (await batcher.put({"x": np.ones((2, 1), "float32")})).outputs["y"].shape == (2, 2)

    run(test, Wide(sample=(1,)), at_once, batch=2)


def test_an_error_that_no_future_takes_stops_nothing():
    class Ending(Doubling):
        def run(self, feed):
            return super().run(feed) if feed["x"].any() else next(iter(()))

    async def test(batcher):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await batcher.put({"x": np.zeros((1, 3), "float32")})
        await batcher.put(rows(2))

    assert run(test, Ending()) == [1, 2]


def test_past_its_bounds_the_queue_refuses_at_once():
    runtime = Doubling()

    async def by_number(batcher):
        first = await held(batcher, runtime)
        waiting = [batcher.put(rows(1)) for _ in range(3)]
        with pytest.raises(RequestError) as refused:
            batcher.put(rows(1))
        assert refused.value.status == 503
        assert "Retry-After" in refused.value.headers
        runtime.open.set()
        await asyncio.gather(first, *waiting)
        await batcher.put(rows(1))

    async def by_size(batcher):
        first = await held(batcher, runtime)
        waiting = batcher.put(rows(5))
        with pytest.raises(RequestError):
            batcher.put(rows(5))
        runtime.open.set()
        await asyncio.gather(first, waiting)
        await batcher.put(rows(100))  # one alone is never too large

    run(by_number, runtime, waiting=3)
    run(by_size, runtime, bytes=100)


def test_what_waits_too_long_is_answered_so_and_never_judged():
    runtime = Doubling()

    async def test(batcher):
        first = await held(batcher, runtime)
        waiting = batcher.put(rows(1))
        with pytest.raises(RequestError) as late:
            await waiting
        assert late.value.status == 504
        with pytest.raises(RequestError):
            await first  # also what the model is at
        runtime.open.set()
        await batcher.put(rows(2))

    assert run(test, runtime, seconds=0.2) == [1, 2]


def test_what_nobody_waits_for_any_more_is_not_judged():
    runtime = Doubling()

    async def test(batcher):
        first = await held(batcher, runtime)
        waiting = [batcher.put(rows(1)) for _ in range(10)]
        for future in waiting[1:]:
            future.cancel()
        runtime.open.set()
        await asyncio.gather(first, waiting[0])

    assert run(test, runtime) == [1, 1]


def test_who_gives_up_leaves_the_queue_at_once():
    runtime = Doubling()

    async def test(batcher):
        first = await held(batcher, runtime)
        waiting = [batcher.put(rows(5)) for _ in range(3)]
        assert (batcher.waiting, batcher.held) == (3, 192)
        for future in waiting:
            future.cancel()
        await asyncio.sleep(0)
        assert (batcher.waiting, batcher.held) == (0, 12)
        others = [batcher.put(rows(5)) for _ in range(3)]
        first.cancel()
        await asyncio.sleep(0)
        assert batcher.held == 192  # what is being judged is held until that ends
        runtime.open.set()
        await asyncio.gather(*others)

    assert run(test, runtime, waiting=3, bytes=200) == [1, 15]


def test_who_has_waited_too_long_leaves_the_queue_at_once():
    runtime = Doubling()

    async def test(batcher):
        first = await held(batcher, runtime)
        with pytest.raises(RequestError):
            await batcher.put(rows(20))
        assert (batcher.waiting, batcher.held) == (0, 12)
        runtime.open.set()
        await asyncio.gather(first, return_exceptions=True)
        await batcher.put(rows(1))

    assert run(test, runtime, seconds=0.1) == [1, 1]


def test_each_moment_that_a_request_waits_is_counted_once():
    runtime = Doubling()

    async def test(batcher):
        loop = asyncio.get_running_loop()
        began = loop.time()
        large = batcher.put(rows(6))
        runtime.open.clear()
        await asyncio.sleep(0.1)
        runtime.open.set()
        await large
        elapsed.append(loop.time() - began)

    elapsed = []
    told = batches(test, runtime, batch=2)
    assert [batch[0] for batch in told] == [2, 2, 2]
    waited, took = sum(batch[1] for batch in told), sum(batch[2] for batch in told)
    assert took > 0.05
    assert 0 < waited <= elapsed[0] - took + 1e-6


def test_a_swap_takes_place_between_batches_and_closes_the_old_model():
    old, new = Doubling(), Doubling()

    async def test(batcher):
        first = await held(batcher, old)
        large = batcher.put(rows(20))
        batcher.swap(served(new, "2"))
        assert not old.closed
        old.open.set()
        assert (await first).served.version == "1"
        assert (await large).served.version == "2"

    run(test, old, batch=8)
    assert old.closed
    assert not new.closed
    assert new.batches == [8, 8, 4]


def test_a_request_that_was_begun_keeps_its_version_over_swaps():
    old, new, newest = Doubling(), Doubling(), Doubling()

    async def test(batcher):
        large = batcher.put(rows(20))
        old.open.clear()
        await asyncio.sleep(0.02)
        batcher.swap(served(new, "2"))
        small = batcher.put(rows(1))
        batcher.swap(served(newest, "3"))
        assert not old.closed
        old.open.set()
        answer = await large
        assert answer.served.version == "1"
        np.testing.assert_array_equal(answer.outputs["y"], rows(20)["x"] * 2)
        assert (await small).served.version == "3"

    run(test, old, batch=8)
    assert (old.batches, new.batches, newest.batches) == ([8, 8, 4], [], [1])
    assert (old.closed, new.closed, newest.closed) == (True, True, False)


def test_a_begun_request_that_is_given_up_holds_no_old_version():
    old, new = Doubling(), Doubling()

    async def test(batcher):
        large = batcher.put(rows(20))
        old.open.clear()
        await asyncio.sleep(0.02)
        batcher.swap(served(new, "2"))
        large.cancel()
        old.open.set()
        await batcher.put(rows(1))

    run(test, old, batch=8)
    assert (old.batches, new.batches) == ([8], [1])
    assert (old.closed, new.closed) == (True, False)


def test_models_whose_rows_cannot_be_told_apart_judge_each_request_alone():
    runtime, fixed = Total(), Doubling(batch=2)

    async def totals(batcher):
        first = await held(batcher, runtime)
        futures = [batcher.put(rows(2, number)) for number in range(5)]
        runtime.open.set()
        for number, future in enumerate(futures):
            assert (await future).outputs["y"].sum() == rows(2, number)["x"].sum() * 2
        await first

    async def pairs(batcher):
        await asyncio.gather(*(batcher.put(rows(2)) for _ in range(5)))

    run(totals, runtime)
    assert run(pairs, fixed) == [2] * 5


def test_a_model_is_tried_before_it_serves():
    small = tried(served(Doubling()).judge, "1", 16)
    assert small.at_once == 16

    class Broken(Doubling):
        def run(self, feed):
            raise RuntimeError("not so")

    with pytest.raises(RuntimeError, match="not so"):
        tried(served(Broken()).judge, "1", 16)
