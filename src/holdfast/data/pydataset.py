"""A `keras.utils.PyDataset` as a source: any batch of it by its number.

Owns the order of batches, when the data set's hooks are called, and which workers draw. Leaves the
workers themselves to `crew`, and the random state that batches are drawn under to `drawing`
and `own_state`.

The hooks are called as Keras calls them: `on_epoch_end` and `on_epoch_begin` before the first
epoch, and both between two epochs. A process that goes on with a later epoch calls them as often
before it, each under the random state of its epoch, so that a data set which shuffles itself in
them has the same order again. To go back, they are called again from what attributes were first.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from keras.utils import PyDataset

from holdfast import keras_private
from holdfast.data.batches import content_sum, described, packed
from holdfast.data.crew import Crew, Processes, Threads, can_fork, computing
from holdfast.data.drawing import isolated, key, seed_by
from holdfast.data.order import Shuffle, order
from holdfast.data.own_state import Kept, OwnRandom
from holdfast.data.source import Place, Schedule, State, Tree
from holdfast.errors import PlanError

_HOOKS = (1 << 64) - 2


class PyDatasetSource:
    """A source over a `keras.utils.PyDataset`.

    Args:
        x: the data set.
        class_weight: as `Model.fit` takes it.
        shuffle: whether each pass takes the batches in another order. Not of an infinite one.
        seed: of the run.
        name: of the argument, for errors.

    Raises:
        PlanError: it has no batches, or does not say how many.
    """

    once = False
    place: Place = "sought"
    kind = "a PyDataset"

    def __init__(
        self,
        x: PyDataset,
        *,
        class_weight: dict[int, float] | None,
        shuffle: bool | str,
        seed: int,
        name: str,
    ) -> None:
        self._x = x
        self._class_weight = class_weight
        self._shuffle = bool(shuffle)
        self.seed = seed
        self._name = f"{name}, {self.kind},"
        self._own = OwnRandom(x)
        self._at_first = Kept(x) if _has_hooks(x) else None
        self._epoch = -1
        self._specimen: Tree | None = None
        self._repeats = True
        self._draws_random = False
        self._computes: set[str] = set()
        self.length = self._batches()
        if self.length is not None and self.length < 1:
            raise PlanError(f"{self._name} has {self.length} batches; expected at least one")
        self.schedule = Schedule(self.length)

    def open(self, number: int, batch: int, state: State = None) -> _Pass:
        """Return the batches of pass `number` from `batch` on."""
        if self._specimen is None:
            self.specimen()
        return _Pass(self, number, batch)

    def begins_again(self) -> None:
        """Nothing: what it gives depends on nothing that was drawn before."""

    def turn(self, number: int) -> None:
        """Nothing: the hooks that stand between two epochs are called when a batch is drawn."""

    def specimen(self) -> Tree:
        """Return the first batch of the first pass."""
        if self._specimen is None:
            with isolated():
                self.live(0)
                self._specimen = self._try(0)
        return self._specimen

    def fingerprint(self) -> dict[str, Any]:
        """Return shapes, types, length, order, and sums of the first and the last batch.

        The sums are left out where a batch is not the same each time it is drawn.
        """
        first = self.specimen()
        found = {
            "kind": self.kind,
            "batches": self.length,
            "steps an epoch": self.schedule.steps_per_epoch,
            "shuffled": "batches" if self._shuffles else "none",
            **described(first),
        }
        batches = [first]
        if self.length is not None and self.length > 1:
            with isolated():
                self.live(0)
                batches.append(self._try(self.length - 1))
        if self._repeats:
            found["contents"] = [content_sum(batch) for batch in batches]
        return found

    def sentences(self) -> list[str]:
        """Return what is to be told before the first step."""
        self.specimen()
        found = []
        if not self._repeats:
            found.append(
                f"{self._name} gives another batch each time it is asked for the same one, "
                "though the random generators are set before: a run that is interrupted goes on "
                "with the right batch, but not with the same bits"
            )
        asked = self._asked
        if asked == "processes" and not can_fork():
            found.append(f"{self._name} is not drawn by processes: none can be forked here")
        elif asked == "processes" and self._computes:
            found.append(
                f"{self._name} computes with {' and '.join(sorted(self._computes))}, which does "
                "not work in worker processes: its batches are drawn in this process"
            )
        if asked != "alone" and self._way == "alone":
            found.append(self._one_at_a_time())
        return found

    def live(self, epoch: int) -> None:
        """Make the data set what its hooks make of it by an epoch. Sets the random state."""
        if self._at_first is None:
            return
        if epoch < self._epoch:
            self._at_first.give_back(self._x)
            self._epoch = -1
        while self._epoch < epoch:
            self._epoch += 1
            word = seed_by(self.seed, self._epoch, _HOOKS)
            with OwnRandom(self._x).set_by(word):
                self._x.on_epoch_end()
                self._x.on_epoch_begin()
        self._own = OwnRandom(self._x)

    def epoch(self, number: int, batch: int) -> int:
        """Return which epoch a batch is of, counted from the first that was trained."""
        steps = self.schedule.steps_per_epoch
        if steps is None:
            return number
        epochs_a_pass = 0 if self.length is None else -(-self.length // steps)
        return number * epochs_a_pass + batch // steps

    def epoch_end(self, batch: int) -> int | None:
        """Return the batch of the pass at which hooks are called next, or None."""
        steps = self.schedule.steps_per_epoch
        return None if steps is None or self._at_first is None else (batch // steps + 1) * steps

    def order(self, number: int) -> Any | None:
        """Return the indices of pass `number` in order, or None where it has no end."""
        count = self._batches()
        kind: Shuffle = "samples" if self._shuffles else "none"
        return None if count is None else order(count, 1, kind, self.seed, number)

    def crew(self, tasks: Iterator[tuple[int, int, int]]) -> Crew | None:
        """Return the workers that draw some batches, or None where nobody draws ahead."""
        if self._way == "alone":
            return None
        workers, ahead = int(self._x.workers), max(1, int(self._x.max_queue_size))
        if self._way == "threads":
            return Threads(self.item, tasks, workers, ahead)
        return Processes(self._seeded, tasks, workers, ahead, self._name)

    def gather(self, crew: Crew | None, number: int, batch: int) -> bool:
        """Have threads draw from a batch on; return whether any drew a random number.

        Any of them may then have been given it. The random state is set for the batch again.
        """
        if not isinstance(crew, Threads) or crew.ready:
            return False
        with self._own.set_by(key(self.seed, number, batch)):
            before = self._own.state()
            crew.gather()
            self._draws_random |= self._own.state() != before
        if self._draws_random:
            warnings.warn(self._one_at_a_time(), stacklevel=2)
            seed_by(self.seed, number, batch)
        return self._draws_random

    def draw(self, number: int, batch: int, index: int) -> Tree:
        """Return a batch, drawn under its random state; the global one is set by the caller."""
        with self._own.set_by(key(self.seed, number, batch)):
            return self.item(number, batch, index)

    def item(self, number: int, batch: int, index: int) -> Tree:
        """Return a batch, drawn under whatever the random state is."""
        if hasattr(self._x, "total_batches_seen"):
            # Keras's old image iterators seed NumPy by how many batches they ever gave.
            self._x.total_batches_seen = number * (self.length or 0) + batch
        try:
            drawn = self._x[index]
        except Exception as error:
            error.add_note(
                f"Raised by item {index} of {self._name} of class {type(self._x).__qualname__}, "
                f"which is batch {batch} of pass {number}."
            )
            raise
        return packed(self._weighted(drawn), self._name)

    @property
    def _shuffles(self) -> bool:
        return self._shuffle and self.length is not None

    @property
    def _asked(self) -> str:
        """Who is to draw by the data set's own settings."""
        if self._x.use_multiprocessing and self._x.workers > 0:
            return "processes"
        return "threads" if self._x.workers > 1 else "alone"

    @property
    def _way(self) -> str:
        """Who draws."""
        asked = self._asked
        if asked == "processes" and can_fork() and not self._computes:
            return asked
        return "alone" if asked == "alone" or self._draws_random else "threads"

    def _one_at_a_time(self) -> str:
        able = self._asked == "threads" and can_fork() and not self._computes
        way_out = "; with use_multiprocessing=True they are drawn side by side" if able else ""
        return (
            f"{self._name} draws random numbers from generators that threads share: its batches "
            f"are drawn one at a time{way_out}"
        )

    def _seeded(self, number: int, batch: int, index: int) -> Tree:
        seed_by(self.seed, number, batch)
        return self.draw(number, batch, index)

    def _try(self, batch: int) -> Tree:
        """Return a batch of the first pass, and learn from drawing it how to draw others."""
        indices = self.order(0)
        index = batch if indices is None else int(indices[batch])
        word = seed_by(self.seed, 0, batch)
        with self._own.set_by(word):
            before = self._own.state()
            drawn = self.item(0, batch, index)
            self._draws_random |= self._own.state() != before
        # However long it takes: a fingerprint must not depend on the time that it took.
        with computing(self._computes):
            again = self._seeded(0, batch, index)
        self._repeats &= content_sum(again) == content_sum(drawn)
        return drawn

    def _batches(self) -> int | None:
        try:
            count = self._x.num_batches
        except NotImplementedError as error:
            raise PlanError(f"{self._name} does not say how long it is: {error}") from error
        return None if count is None else int(count)

    def _weighted(self, batch: Any) -> Any:
        """Return a batch with weights for its samples by their class, where they are asked for."""
        if isinstance(batch, list):
            batch = tuple(batch)
        if self._class_weight is None or not isinstance(batch, tuple):
            return batch
        if len(batch) == 3 and batch[2] is not None:
            raise PlanError(
                f"{self._name} gives sample weights, and class_weight was passed too; expected "
                "one of them"
            )
        if len(batch) < 2:
            return batch
        weights = keras_private.class_weight_to_sample_weights(batch[1], self._class_weight)
        return (*batch[:2], weights)


class _Pass:
    """The batches of one pass, from one on."""

    def __init__(self, source: PyDatasetSource, number: int, batch: int) -> None:
        self._source = source
        self._number = number
        self._batch = batch
        # How many there are is asked once a pass, whatever epochs it is cut into.
        source.live(source.epoch(number, 0))
        self._indices = source.order(number)
        self._until: int | None = batch
        self._crew: Crew | None = None

    def draw(self) -> Tree | None:
        """Return the next batch, or None at the end of the pass."""
        if self._indices is not None and self._batch >= len(self._indices):
            return None
        if self._batch == self._until:
            self._begin()
        batch = self._batch
        if self._source.gather(self._crew, self._number, batch):
            self.close()  # what it drew is worth nothing
        if self._crew is not None:
            drawn = self._crew.draw()
        else:
            drawn = self._source.draw(self._number, batch, self._index(batch))
        self._batch += 1
        return drawn

    def state(self) -> State:
        """Nothing: a batch is found by its number."""

    def close(self) -> None:
        """Let go of the workers."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def _begin(self) -> None:
        """Go on to the batches between this one and where hooks are called next."""
        source, number, batch = self._source, self._number, self._batch
        self.close()
        source.live(source.epoch(number, batch))
        seed_by(source.seed, number, batch)
        self._until = source.epoch_end(batch)
        self._crew = source.crew(self._tasks())

    def _tasks(self) -> Iterator[tuple[int, int, int]]:
        batch, until = self._batch, self._until
        if self._indices is not None:
            until = min(until or len(self._indices), len(self._indices))
        while until is None or batch < until:
            yield self._number, batch, self._index(batch)
            batch += 1

    def _index(self, batch: int) -> int:
        return batch if self._indices is None else int(self._indices[batch])


def _has_hooks(x: PyDataset) -> bool:
    """Return whether a data set does anything between epochs."""
    return any(
        getattr(getattr(x, name), "__func__", None) is not getattr(PyDataset, name)
        for name in ("on_epoch_begin", "on_epoch_end")
    )
