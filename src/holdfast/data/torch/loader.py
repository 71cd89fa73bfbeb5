"""A torch `DataLoader` as a source, on any backend.

Owns which batch of a loader is where, and the way to it. Fetching them is `fetching`'s, and
what its sampler gives `order`'s.

| data | place |
| --- | --- |
| by index | the number of the batch: its indices are drawn again, nothing else is fetched |
| that keeps its own state (`state_dict`), best in torchdata's `StatefulDataLoader` | that state |
| other iterable data; a loader with an iteration of its own | all before it is drawn again |

The loader itself is not gone through: a copy of it is, whose workers seed themselves by batch.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from holdfast.data import batches
from holdfast.data.drawing import isolated, seed_by
from holdfast.data.source import Place, Schedule, State, Stream, Tree
from holdfast.data.torch.fetching import Ended, Fetched, Fetching, Indices, Iterated, Peeked
from holdfast.data.torch.order import Order
from holdfast.data.torch.state import is_stateful, loaders_state
from holdfast.data.torch.workers import Starting
from holdfast.errors import PlanError

_OPENING = (1 << 64) - 1


class LoaderSource:
    """A source over a `torch.utils.data.DataLoader`.

    Args:
        x: the loader.
        seed: of the run.
        name: of the argument, for errors.

    Raises:
        UnsupportedError: its sampler gives indices only once.
    """

    schedule: Schedule
    once = False

    def __init__(self, x: DataLoader[Any], *, seed: int, name: str = "x") -> None:
        self._loader = x
        self._seed = seed
        self.kind = f"a {type(x).__name__}"
        self._what = f"{name}, {self.kind},"
        self._by_index = not isinstance(x.dataset, IterableDataset)
        self._own_iteration = _has_own_iteration(x)
        self.place: Place = self._found_place()
        self.length = _length(x) if self.place == "sought" else None
        self._order: Order | None = None
        if self._by_index and not self._own_iteration:
            self._order = Order(x.sampler if x.batch_sampler is None else x.batch_sampler, seed)
        self._fetching = Fetching(x, seed, self._what, with_samplers=self._own_iteration)
        self._beginning = copy.deepcopy(x.dataset.state_dict()) if is_stateful(x.dataset) else None
        self._first: Tree = None
        self._repeats = True
        self._first_took = 0.0
        self._peeked: Peeked | None = None

    def open(self, number: int, batch: int, state: State = None) -> Stream:
        """Return the batches of pass `number` from a place on."""
        peeked, self._peeked = self._peeked, None
        if peeked is not None:
            if (number, batch, state) == (0, 0, None):
                return peeked
            peeked.close()
        seed_by(self._seed, number, _OPENING)
        if self.place == "sought" and not self._loader.num_workers:
            return Fetched(self._fetching, self._begin(number, batch)(), number, batch)
        return self._iterated(number, batch, state)

    def begins_again(self) -> None:
        """Nothing: what it gives depends on nothing that was drawn before."""

    def turn(self, number: int) -> None:
        """Pass `number` is over: a sampler that remembers passes goes through it."""
        if self._order is not None:
            self._order.turn(number)

    def specimen(self) -> Tree:
        """Return the first batch."""
        if self._first is None:
            began = time.perf_counter()
            with isolated():
                if self.place == "sought":
                    self._draw_twice()
                else:
                    self._peek()
            self._first_took = time.perf_counter() - began
        if self._first is None:
            raise PlanError(f"{self._what} has no batches")
        return self._first

    def fingerprint(self) -> dict[str, Any]:
        """Return what the loader is made of, and a sum of its first batch where it can be had.

        Of data that is not by index the first batch is drawn once, so nothing is known of
        whether it is the same the next time.
        """
        loader = self._loader
        first = self.specimen()
        found = {
            "data set": type(loader.dataset).__qualname__,
            "batch size": loader.batch_size,
            "drop last": loader.drop_last,
            "batches": self.length,
            **batches.described(first),
        }
        if self._order is not None:
            found["samplers"] = [type(part).__qualname__ for part in self._order.parts]
        if self.place != "sought":
            found["workers"] = loader.num_workers
        elif self._repeats:
            found["contents"] = batches.content_sum(first)
        return found

    def sentences(self) -> list[str]:
        """Return what is to be said of this source before the first step."""
        self.specimen()
        found = []
        if self.place == "replayed":
            found.append(
                f"{self._what} cannot say where it stands: a run that goes on within an epoch "
                "first draws again all batches before that place, which takes as long as it "
                f"took then (the first batch took {self._first_took:.2g} s). Data by index has a "
                "place, and so has an IterableDataset with state_dict and load_state_dict, in "
                "torchdata's StatefulDataLoader where it has workers."
            )
        if not self._repeats:
            found.append(
                f"{self._what} does not give the same batch again when Python's, numpy's and "
                "torch's random generators are set as they were: a run that goes on will not "
                "be bit for bit one that was never interrupted."
            )
        return found

    def _found_place(self) -> Place:
        loader, dataset = self._loader, self._loader.dataset
        if self._own_iteration:
            return "replayed"
        if is_stateful(loader):
            if is_stateful(dataset) or (not self._by_index and _gives_state(dataset)):
                return "saved"
        elif is_stateful(dataset) and not self._by_index and not loader.num_workers:
            return "saved"
        return "sought" if self._by_index else "replayed"

    def _begin(self, number: int, batch: int) -> Callable[[], Iterator[Any]]:
        """Return what gives the indices of a pass from a batch on, or what stands for them.

        It must not lead to this source: an iterator with workers that only the garbage
        collector finds has lost the threads by which it would end them.
        """
        order, size = self._order, self._loader.batch_size
        if order is None:
            return lambda: repeat(None if size is None else [None] * size)
        return lambda: islice(order.begin(number), batch, None)

    def _iterated(self, number: int, batch: int, state: State) -> Stream:
        if state and state["ended"]:
            return Ended()
        state, skipped = (state["state"], state["skip"]) if state else (None, 0)
        loader, indices = self._copied(self._loader.num_workers)
        first = batch if self.place == "sought" else 0
        indices.give(self._seed, number, first, self._begin(number, first))
        dataset = self._loader.dataset
        if not self._by_index and callable(getattr(dataset, "set_epoch", None)):
            dataset.set_epoch(number)
        if self.place == "saved":
            self._load(loader, state)
        stream = Iterated(self._fetching, loader, number, batch - skipped, state)
        for _ in range(skipped):
            stream.draw()
        return stream

    def _load(self, loader: Any, state: State) -> None:
        if self._beginning is not None and (state is None or not is_stateful(loader)):
            beginning = self._beginning if state is None else loaders_state(state)
            self._loader.dataset.load_state_dict(copy.deepcopy(beginning))
        elif state is not None:
            loader.load_state_dict(loaders_state(state))

    def _copied(self, workers: int) -> tuple[DataLoader[Any], Indices]:
        """Return a copy of the loader, to be gone through in its stead, and its indices."""
        loader, indices = copy.copy(self._loader), Indices(bool(workers))
        changes: dict[str, Any] = {
            "_iterator": None,
            "generator": None,
            "in_order": True,
            "pin_memory": False,
            "num_workers": workers,
            "persistent_workers": False,  # a pass ends them: none outlives the training
        }
        if workers:
            changes["worker_init_fn"] = Starting(loader.worker_init_fn, loader.collate_fn)
        if not self._own_iteration:
            changes["sampler" if loader.batch_sampler is None else "batch_sampler"] = indices
        vars(loader).update(changes)  # the class forbids setting some of them
        return loader, indices

    def _peek(self) -> None:
        stream = self.open(0, 0)
        seed_by(self._seed, 0, 0)
        self._first = stream.draw()
        if self._loader.num_workers:
            stream.close()  # its data was the workers' own copy, and is whole in this process
        else:
            self._peeked = Peeked(stream, self._first)

    def _draw_twice(self) -> None:
        """Draw the first batch, and once more to see whether it is the same.

        Where the loader has workers a worker does it: what data sets open to read from is
        not to be handed from process to process.
        """
        twice = list(islice(self._begin(0, 0)(), 1)) * 2
        drawn = []
        if self._loader.num_workers:
            loader, indices = self._copied(1)
            indices.give(self._seed, 0, 0, lambda: iter(twice), each=0)
            stream = Iterated(self._fetching, loader, 0, 0, None)
            try:
                drawn = [stream.draw() for _ in twice]
            finally:
                stream.close()
        else:
            for one in twice:
                seed_by(self._seed, 0, 0)
                drawn.append(Fetched(self._fetching, iter([one]), 0, 0).draw())
        if drawn:
            self._first = drawn[0]
            self._repeats = batches.content_sum(drawn[0]) == batches.content_sum(drawn[1])


def _has_own_iteration(loader: DataLoader[Any]) -> bool:
    """Return whether a subclass goes through its data in its own way."""
    kind = type(loader)
    for name in ("__iter__", "_get_iterator", "_index_sampler"):
        owner = next(base for base in kind.__mro__ if name in vars(base))
        if owner.__module__.partition(".")[0] not in ("torch", "torchdata"):
            return True
    return False


def _length(loader: DataLoader[Any]) -> int | None:
    with contextlib.suppress(TypeError, NotImplementedError):
        return len(loader)
    return None


def _gives_state(dataset: Any) -> bool:
    """Return whether what goes through a data set has a state."""
    with isolated():
        return is_stateful(iter(dataset))
