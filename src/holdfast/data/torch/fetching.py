"""The batches of one pass of a loader, fetched in this process or by an iterator of torch's.

Owns the loader's worker processes: starting them, and that none is left behind. Which pass is
gone through, and from where, is `loader`'s; what a worker does by itself, `workers`'s.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import torch
from torch.utils.data import DataLoader

from holdfast.data import batches
from holdfast.data.drawing import key
from holdfast.data.source import State, Stream, Tree
from holdfast.data.torch.state import has_ended_workers, is_stateful, kept_state
from holdfast.data.torch.workers import Keyed, own_random


class Fetching:
    """What all passes of a loader have in common.

    Args:
        loader: the user's.
        seed: of the run.
        what: it is, in words, for errors.
        with_samplers: whether its samplers' random generators are to be set for each batch too.
    """

    def __init__(
        self, loader: DataLoader[Any], seed: int, what: str, *, with_samplers: bool
    ) -> None:
        self._dataset: Any = loader.dataset
        self._collate: Any = loader.collate_fn
        self._batched = loader.batch_sampler is not None
        others = [loader.sampler, loader.batch_sampler, loader.generator] if with_samplers else []
        self._own = own_random(self._dataset, self._collate, *others)
        self._seed = seed
        self.what = what

    def fetch(self, indices: Any) -> Any:
        """Return the batch of some indices, fetched in this process."""
        dataset = self._dataset
        if not self._batched:
            samples = dataset[indices]
        elif getattr(dataset, "__getitems__", None):
            samples = dataset.__getitems__(indices)
        else:
            samples = [dataset[index] for index in indices]
        return self._collate(samples)

    def packed(self, batch: Any) -> Tree:
        """Return a batch as numpy arrays that nobody else writes to."""
        return batches.packed(batch, self.what)

    def set_own_random(self, number: int, batch: int) -> None:
        """Set the data's own random generators as the global ones are set."""
        if self._own:
            self._own.begin(key(self._seed, number, batch))


class Indices:
    """What stands in for a sampler; an iterator of torch's may begin it more than once."""

    def __init__(self, keyed: bool) -> None:
        self._keyed = keyed

    def give(
        self,
        seed: int,
        number: int,
        first: int,
        indices: Callable[[], Iterator[Any]],
        each: int = 1,
    ) -> None:
        """Have it give these, of batches `first`, `first + each`, … of pass `number`."""
        self._pass = seed, number, first, indices, each

    def __iter__(self) -> Iterator[Any]:
        seed, number, batch, indices, each = self._pass
        for one in indices():
            yield Keyed(seed, number, batch, one) if self._keyed else one
            batch += each


class Fetched:
    """A pass over data by index, in this process."""

    def __init__(self, fetching: Fetching, indices: Iterator[Any], number: int, batch: int) -> None:
        self._fetching = fetching
        self._indices = indices
        self._number = number
        self._batch = batch

    def draw(self) -> Tree | None:
        """Return the next batch."""
        for indices in self._indices:
            self._fetching.set_own_random(self._number, self._batch)
            self._batch += 1
            with _one_thread():
                return self._fetching.packed(self._fetching.fetch(indices))
        return None

    def state(self) -> State:
        """Return nothing: the number of the batch is enough."""
        return None

    def close(self) -> None:
        """Let go of nothing."""


class Iterated:
    """A pass that an iterator of torch's makes, with its workers.

    Args:
        fetching: of the loader.
        loader: to go through, the user's or a copy.
        number: of the pass.
        batch: the first to be drawn.
        state: that the loader was given, before that batch.
    """

    def __init__(
        self, fetching: Fetching, loader: Any, number: int, batch: int, state: State
    ) -> None:
        self._fetching = fetching
        self._loader = loader
        self._number = number
        self._batch = batch
        self._usable = batch, state
        self._ended = False
        fetching.set_own_random(number, (1 << 64) - 1)
        self._iterator = _started(loader)

    def draw(self) -> Tree | None:
        """Return the next batch."""
        if not self._loader.num_workers:
            self._fetching.set_own_random(self._number, self._batch)
        try:
            batch = next(self._iterator)
        except StopIteration:
            self._ended = True
            return None
        except BaseException:
            self.close()
            raise
        self._batch += 1
        return self._fetching.packed(batch)

    def state(self) -> State:
        """Return the last state that can be gone on from, and how many batches ago it was.

        A data set that has come to its end may be at its beginning again.
        """
        fetcher = getattr(self._iterator, "_dataset_fetcher", None)
        if self._ended or getattr(fetcher, "ended", False):
            return Ended().state()
        stateful = self._loader if is_stateful(self._loader) else self._loader.dataset
        state = kept_state(stateful.state_dict(), f"the state of {self._fetching.what}")
        if not self._loader.num_workers or not has_ended_workers(state):
            self._usable = self._batch, state
        batch, state = self._usable
        return {"state": state, "skip": self._batch - batch, "ended": False}

    def close(self) -> None:
        """End the workers, whatever they are at."""
        if hasattr(self._iterator, "_shutdown_workers"):
            self._iterator._shutdown_workers()
            for worker in self._iterator._workers:
                if worker.is_alive():
                    worker.kill()
                    worker.join()


class Ended:
    """The end of a pass."""

    def draw(self) -> Tree | None:
        """Return no batch."""
        return None

    def state(self) -> State:
        """Return that there is nothing to come."""
        return {"state": None, "skip": 0, "ended": True}

    def close(self) -> None:
        """Let go of nothing."""


class Peeked:
    """A pass whose first batch was drawn to look at it."""

    def __init__(self, stream: Stream, first: Tree | None) -> None:
        self._stream = stream
        self._first = first
        self._given = False

    def draw(self) -> Tree | None:
        """Return the next batch."""
        if self._given:
            return self._stream.draw()
        self._given = True
        return self._first

    def state(self) -> State:
        """Return the stream's state; before the first batch there is none."""
        return self._stream.state() if self._given else None

    def close(self) -> None:
        """End the workers."""
        self._stream.close()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Have torch use one thread, as in its workers.

    More would wait for each other while another backend computes on the same cores.
    """
    threads = torch.get_num_threads()
    if threads == 1 or keras.backend.backend() == "torch":
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _started(loader: DataLoader[Any]) -> Any:
    """Begin a pass, and start workers for it.

    torch forks them unless it is told otherwise, and JAX warns of every fork: a process that
    came of one cannot use JAX. A worker does not, but where the data set itself does.
    """
    collecting = gc.isenabled()
    gc.disable()  # in a worker until it has put the parent's garbage aside: see workers
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            warnings.filterwarnings("ignore", r".*use of fork\(\)", DeprecationWarning)
            return iter(loader)
    finally:
        if collecting:
            gc.enable()
