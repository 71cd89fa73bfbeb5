"""Grain's datasets and loaders as a source: MapDataset, IterDataset and DataLoader.

Owns how they are gone through and their places. A MapDataset is read by index, in the training's
thread or by Grain's own threads, whichever takes less of its time. Of the others Grain's iterators
say the place themselves; it is that of the element given last, however far they have read ahead.

Of Grain it uses what is not public, where there is no other way: `DataLoader._dataset` and
`_datasets` of interleaved ones, to find worker processes; their `_worker_init_fn`, so that they end
with the training; `DataLoaderIterator._iterator`, to close it.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import tree

from holdfast.data import batches, workers
from holdfast.data.drawing import isolated, seed_by
from holdfast.data.source import Place, Schedule, State, Tree
from holdfast.errors import PlanError

_TRIED = 8
_QUICK = 0.001
_ENDLESS = 1 << 48  # one that is repeated for ever has sys.maxsize rows, in batches fewer
_THREADS = min(16, os.cpu_count() or 1)


class GrainSource:
    """A source over a Grain dataset or loader whose elements are batches.

    Args:
        x: grain.MapDataset, grain.IterDataset or grain.DataLoader.
        name: of the argument, for errors.

    Raises:
        PlanError: it gives no batches, or what it gives is none.
    """

    schedule: Schedule
    once = False

    def __init__(self, x: Any, *, name: str) -> None:
        self.kind = f"a grain.{_class_name(x)}"
        self._named = f"{name} ({self.kind})"
        self.length: int | None = None
        self.place: Place = "saved"
        self._dataset = x
        self._pace = _Pace()
        self._indexed = _class_name(x) == "MapDataset"
        if not self._indexed:
            _guard(x)
        self._trouble = ""
        if self._indexed and len(x) < _ENDLESS and not _filters(x):
            self.length = len(x)
        self._try()

    def open(self, number: int, batch: int, state: State = None) -> _Indexed | _Iterated:
        """Return the batches of a pass from where `state` was taken, or from its start."""
        stream: _Indexed | _Iterated
        if self._indexed:
            stream = _Indexed(self._dataset, self._named, self._pace)
        else:
            stream = _Iterated(self._dataset, self._named)
        if state is not None:
            stream.go_to(state)
        return stream

    def begins_again(self) -> None:
        """Nothing: what it gives depends on nothing that was drawn before."""

    def turn(self, number: int) -> None:
        """Nothing changes between passes: each is a new iteration, as in Keras."""

    def specimen(self) -> Tree:
        """Return the first batch."""
        return self._first

    def fingerprint(self) -> dict[str, Any]:
        """Return kind, shapes, types, length, and a sum of the first batch if it is always so."""
        words = {"data": self.kind, **batches.described(self._first), "batches": self.length}
        if self._repeatable:
            words["contents"] = batches.content_sum(self._first)
        return words

    def sentences(self) -> list[str]:
        """Return what people are to be told of it before the first step."""
        said = []
        if not self._repeatable and not self._indexed:
            said.append(
                f"{self._named} gives other values each time it is drawn, so a training that was "
                "stopped does not see what an uninterrupted one would. Draw random numbers in "
                "random_map, from the generator that Grain hands it."
            )
        if self.place == "replayed":
            said.append(
                f"{self._named} cannot be restored to a place ({self._trouble}): after a stop its "
                "pass is drawn again from the start, which took "
                f"{self._seconds:.2g} s for the first batch."
            )
        return said

    def _try(self) -> None:
        """Draw the first batches, to see what they are and whether they can be had again."""
        with isolated():
            began = time.perf_counter()
            stream = self.open(0, 0)
            try:
                start = self._state(stream)
                seed_by(0, 0, 0)
                first = stream.draw()
                if first is None:
                    raise PlanError(f"{self._named} has no batches")
                self._first = first
                self._seconds = time.perf_counter() - began
                # What takes no random numbers but its own is the same under another state too.
                seed_by(0, 0, 1)
                self._repeatable = _same(self._again(stream, start), first)
            finally:
                stream.close()
        self._pace.alone = not self._repeatable

    def _state(self, stream: _Indexed | _Iterated) -> State:
        try:
            state = stream.state()
        except Exception as error:
            self.place, self._trouble = "replayed", f"{type(error).__name__}: {error}"
            return None
        unkept = _unkept(state)
        if unkept:
            self.place, self._trouble = "replayed", f"its state holds a {unkept}"
        return state

    def _again(self, stream: _Indexed | _Iterated, start: State) -> Tree | None:
        """Return the first batch once more, by the way also trying the state after it."""
        state = self._state(stream)
        if self.place == "replayed":
            stream.close()
            return self._draw_first()
        second = stream.draw()
        try:
            stream.go_to(state)
            if _same(stream.draw(), second):
                stream.go_to(start)
                return stream.draw()
        except Exception as error:
            self.place, self._trouble = "replayed", f"{type(error).__name__}: {error}"
        stream.close()
        again = self._draw_first()
        if self.place == "saved" and _same(again, self._first):
            self.place, self._trouble = "replayed", "its state does not lead back to its place"
        return again

    def _draw_first(self) -> Tree | None:
        stream = self.open(0, 0)
        try:
            return stream.draw()
        finally:
            stream.close()


class _Indexed:
    """Elements of a MapDataset by index: any place in O(1)."""

    def __init__(self, dataset: Any, kind: str, pace: _Pace) -> None:
        self._dataset, self._kind, self._pace = dataset, kind, pace
        self._index, self._end = 0, len(dataset)
        self._reader: Iterator[Any] | None = None

    def draw(self) -> Tree | None:
        while self._index < self._end:
            began = time.perf_counter()
            element = self._element()
            self._pace.took(time.perf_counter() - began)
            self._index += 1
            if element is not None:  # a filter left it out
                return batches.packed(element, self._kind)
        return None

    def state(self) -> State:
        return self._index

    def go_to(self, state: State) -> None:
        self.close()
        self._index = state

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()  # type: ignore[attr-defined]
            self._reader = None

    def _element(self) -> Any:
        if not self._pace.ahead:
            self.close()
            return self._dataset[self._index]
        if self._reader is None:
            self._reader = self._read_ahead()
        return next(self._reader)

    def _read_ahead(self) -> Iterator[Any]:
        import grain

        options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=2 * _THREADS)
        rest = self._dataset[self._index :]
        return iter(rest.to_iter_dataset(options, allow_nones=True))


class _Pace:
    """Whether a MapDataset is read ahead by threads: tried where an element takes long.

    Of data in memory threads get in each other's way; files are worth them.
    The elements are the same either way.
    """

    def __init__(self) -> None:
        self.ahead = False
        self.alone = False
        self._times: list[float] = []
        self._own: float | None = None
        self._settled = False

    def took(self, seconds: float) -> None:
        """Note what an element took of the training's time."""
        if self._settled or self.alone:
            return
        self._times.append(seconds)
        if self._own is None:
            if len(self._times) == _TRIED:
                self._own = statistics.median(self._times)
                self.ahead = self._own > _QUICK
                self._settled = not self.ahead
                self._times = []
        elif len(self._times) == 4 * _THREADS:
            # The first ones only drained what was read while nobody waited.
            self.ahead = statistics.mean(self._times[2 * _THREADS :]) < self._own
            self._settled = True


class _Iterated:
    """Elements of an IterDataset or a DataLoader, by their iterator."""

    def __init__(self, dataset: Any, kind: str) -> None:
        self._dataset, self._kind = dataset, kind
        self._iterator = iter(dataset)

    def draw(self) -> Tree | None:
        element = next(self._iterator, None)
        if element is None:
            return None
        return batches.packed(tree.map_structure(_unshared, element), self._kind)

    def state(self) -> State:
        state = self._iterator.get_state()
        # A DataLoader's is JSON. Others hand out what they go on changing.
        return state.decode() if isinstance(state, bytes) else copy.deepcopy(state)

    def go_to(self, state: State) -> None:
        """Go on from a state, of this or another process."""
        if isinstance(state, str):
            # In it are the texts of sampler and data, which hold addresses in memory.
            own, kept = json.loads(self._iterator.get_state()), json.loads(state)
            kept.update({key: own[key] for key in ("sampler", "data_source") if key in own})
            self._iterator.set_state(json.dumps(kept).encode())
        else:
            self._iterator.set_state(copy.deepcopy(state))
        # Restored workers would else begin one after the other, each when it is first wanted.
        self._iterator.start_prefetch()

    def close(self) -> None:
        getattr(self._iterator, "_iterator", self._iterator).close()


def _guard(dataset: Any) -> None:
    """Make worker processes end with this one."""
    found = False
    nodes = [getattr(dataset, "_dataset", dataset)]
    while nodes:
        node = nodes.pop()
        nodes.extend(node.parents)
        inner = getattr(node, "_datasets", None)
        nodes.extend(inner if isinstance(inner, list | tuple) else ())
        if hasattr(node, "_worker_init_fn"):
            found = True
            then = node._worker_init_fn
            if getattr(then, "func", None) is not workers.begin:
                node._worker_init_fn = functools.partial(workers.begin, then)
    if found:
        _parse_flags()


def _parse_flags() -> None:
    """Give Grain's flags their defaults in a program that has not read its command line."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _filters(dataset: Any) -> bool:
    """Whether a MapDataset leaves elements out, so that its length is not that of a pass."""
    return "Filter" in type(dataset).__name__ or any(map(_filters, dataset.parents))


def _unshared(leaf: Any) -> Any:
    """Copy what lies in memory shared with workers: there is little, and it is wanted back."""
    if isinstance(leaf, np.ndarray) and type(leaf).__module__.startswith("grain."):
        return np.array(leaf)
    return leaf


def _unkept(state: Any) -> str:
    """Return the type of what in a state cannot be kept in a checkpoint, or an empty text."""
    if isinstance(state, dict):
        state = [*state.keys(), *state.values()]
    if isinstance(state, list | tuple):
        return next((found for found in map(_unkept, state) if found), "")
    numbers = isinstance(state, np.ndarray | np.generic) and state.dtype.kind in "biuf"
    if state is None or numbers or type(state) in (bool, int, float, str):
        return ""
    return type(state).__name__


def _same(one: Tree | None, other: Tree | None) -> bool:
    if one is None or other is None:
        return one is other
    return batches.content_sum(one) == batches.content_sum(other)


def _class_name(dataset: Any) -> str:
    names = [kind.__name__ for kind in type(dataset).__mro__]
    return next(name for name in ("MapDataset", "IterDataset", "DataLoader") if name in names)
