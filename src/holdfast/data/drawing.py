"""Drawing batches from a `BatchSource`, so that each is the same whenever it is drawn.

Owns the random state that batches are drawn under, the place a training goes on from, and
skipping to it. Leaves what a batch is to the source.

Every batch is drawn with the global random generators (Python's, numpy's, Keras's, torch's) set
by (seed, pass, batch), and what they were before is put back. So a batch does not depend on what
was drawn before it, nor on how far ahead of the training it was drawn.

The place is what was trained on, never what was read ahead. A source that has a state is asked
for it now and then, as often as that costs no more than a hundredth of the time; the place is the
last such state before the batch, and how many batches are to be skipped after it.
"""

from __future__ import annotations

import contextlib
import random
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from keras import tree

from holdfast import keras_private
from holdfast.data.source import BatchSource, State, Stream, Tree
from holdfast.errors import ANEW, RunError

_COST = 0.01
_BOUNDARY = (1 << 64) - 1
_MOST_STATES = 256
_MOST_BYTES = 1 << 27
_PATIENCE = 0.1


class Stopped(Exception):  # noqa: N818 (nothing is wrong)
    """The training was told to stop while batches were skipped."""


@dataclass(frozen=True)
class Anchor:
    """A state of a source: that of pass `number` before its batch `batch` is drawn."""

    number: int
    batch: int
    state: State


class Drawing:
    """The batches of one source, from any place on.

    Args:
        source: of the batches.
        seed: of the run.
        keeps_states: whether to take the states of a source that has them.
        stopped: whether the training was told to stop.

    Attributes:
        ended: number and length of the pass that was last drawn to its end.

    `seek` and `draw` are to be called within `isolated`.
    """

    def __init__(
        self,
        source: BatchSource,
        seed: int,
        *,
        keeps_states: bool = True,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._source = source
        self._seed = seed
        self._keeps_states = keeps_states and source.place == "saved"
        self._stopped = stopped
        self._stream: Stream | None = None
        self._number = 0
        self._batch = 0
        self._anchors: deque[Anchor] = deque()
        self._spent = 0.0
        self._began = time.perf_counter()
        self._turned = 0
        self.ended: tuple[int, int] | None = None

    def seek(self, number: int, batch: int) -> None:
        """Make batch `batch` of pass `number` the next to be drawn.

        Raises:
            Stopped: the training was told to stop on a long way there.
            RunError: the data ended before it.
        """
        if self._stream is not None and (number, batch) == (self._number, self._batch):
            return
        anchor = self._anchor(number, batch)
        here = self._stream is not None and self._number == number and self._batch <= batch
        if not here or (anchor is not None and anchor.batch > self._batch):
            self._open(number, batch, anchor)
        began = time.monotonic()
        while self._batch < batch:
            if self._draw() is None:
                raise RunError(
                    f"{self._source.kind} gave {self._batch} batches, and the training stands "
                    f"after {batch} of them: is it the data that it was begun with? {ANEW}"
                )
            if time.monotonic() - began > _PATIENCE and self._stopped():
                raise Stopped

    def draw(self) -> Tree | None:
        """Return the next batch of the pass, or None at its end."""
        if self._keeps_states and self._affordable():
            self._take_anchor()
        return self._draw()

    def place(self, number: int, batch: int) -> State:
        """Return what `restore` takes to go on with batch `batch` of pass `number`."""
        anchor = self._anchor(number, batch)
        if anchor is None:
            return None
        return {"pass": anchor.number, "batch": anchor.batch, "state": anchor.state}

    def restore(self, place: State) -> None:
        """Go on from a place, of this or another process: the next `seek` finds it there."""
        self.close()
        self._anchors.clear()
        if place is not None:
            self._anchors.append(Anchor(place["pass"], place["batch"], place["state"]))

    def close(self) -> None:
        """Let go of the source's workers and files."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self, number: int, batch: int, anchor: Anchor | None) -> None:
        self.close()
        place = self._source.place
        first, state = 0, None
        if place == "sought":
            first = batch
        elif anchor is not None:
            first, state = anchor.batch, anchor.state
        if place == "replayed" and (number, batch) != (0, 0):
            self._source.begins_again()
        for past in range(self._turned, number):
            seed_by(self._seed, past, _BOUNDARY)
            self._source.turn(past)
        self._turned = max(self._turned, number)
        seed_by(self._seed, number, _BOUNDARY)
        self._stream = self._source.open(number, first, state)
        self._number, self._batch = number, first

    def _draw(self) -> Tree | None:
        assert self._stream is not None
        seed_by(self._seed, self._number, self._batch)
        batch = self._stream.draw()
        if batch is None:
            self.ended = self._number, self._batch
        else:
            self._batch += 1
        return batch

    def _anchor(self, number: int, batch: int) -> Anchor | None:
        """Return the nearest state at or before a batch; those further back are let go of."""
        found = None
        for anchor in self._anchors:
            if anchor.number == number and anchor.batch <= batch:
                found = anchor
        while found is not None and self._anchors[0] is not found:
            self._anchors.popleft()
        return found

    def _affordable(self) -> bool:
        return self._spent <= _COST * (time.perf_counter() - self._began)

    def _take_anchor(self) -> None:
        assert self._stream is not None
        began = time.perf_counter()
        self._anchors.append(Anchor(self._number, self._batch, self._stream.state()))
        if len(self._anchors) > _MOST_STATES or _bytes(self._anchors) > _MOST_BYTES:
            # Every second one: no place is much further from a state than before.
            self._anchors = deque(list(self._anchors)[::2])
        self._spent += time.perf_counter() - began


def _bytes(anchors: Iterable[Anchor]) -> int:
    leaves = tree.flatten([anchor.state for anchor in anchors])
    return sum(getattr(leaf, "nbytes", 64) for leaf in leaves)


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """While this lasts batches may be drawn: the global random state is put back after it."""
    torch = sys.modules.get("torch")
    python, legacy = random.getstate(), np.random.get_state(legacy=False)
    generator = keras_private.get_global_seed_generator()
    other = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        keras_private.set_global_seed_generator(generator)
        if torch is not None and other is not None:
            torch.set_rng_state(other)


def seed_by(seed: int, number: int, batch: int) -> int:
    """Set the global random generators by (seed, pass, batch); returns the number they are set by.

    Those of CUDA are left alone: a source that draws on the device has its own.
    """
    word = key(seed, number, batch)
    random.seed(word)
    np.random.seed(word & 0xFFFFFFFF)
    keras_private.set_global_seed_generator(None)  # the next use makes one, from Python's
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.default_generator.manual_seed(word >> 1)
    return word


def key(seed: int, number: int, batch: int) -> int:
    """Return 64 bits for (seed, pass, batch)."""
    return int.from_bytes(blake3(struct.pack("<3Q", seed, number, batch)).digest()[:8], "little")
