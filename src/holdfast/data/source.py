"""What a source of batches is: batches that can be asked for again, from any place on.

Owns the two protocols, and the arithmetic from (epoch, step) to a batch of a pass over the data.

A `SampleSource` has every sample at hand and makes batches of them by index. A `BatchSource` is
somebody else's: it gives batches one after the other, from a place it can be opened at. Each epoch
is a pass over the data, or with `steps_per_epoch` a part of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from holdfast.data.order import Reshuffle

Tree = Any
"""Arrays nested in tuples, lists and dicts, as Keras packs (x, y, sample_weight)."""

State = Any
"""What `state.values` can keep: numbers, strings, arrays, and lists, tuples and dicts of them."""

Place = Literal["sought", "saved", "replayed"]
"""How a source finds a batch again: by its number, by its own state, by giving all before it."""


@runtime_checkable
class SampleSource(Protocol):
    """Samples by index.

    `samples`, `batch_size` and `schedule` do not change. `arrays` has every sample in the
    order the user gave; each has `shape`, `dtype`, and `array[rows]` for rows in any order.
    """

    samples: int
    batch_size: int
    schedule: Schedule
    arrays: Tree

    def order(
        self, seed: int, number: int, reshuffles: Sequence[Reshuffle] = ()
    ) -> NDArray[np.int64]:
        """Return the order of all samples in pass `number`."""
        ...

    def specimen(self) -> Tree:
        """Return a whole batch, for its shapes and types."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return in words what the data is, for comparison with a later attempt's."""
        ...


class Stream(Protocol):
    """The batches of one pass, one after the other, from where it was opened."""

    def draw(self) -> Tree | None:
        """Return the next batch, as numpy arrays packed as Keras packs them; None at the end.

        Called with Python's, numpy's, Keras's and torch's random state set by the number of the
        batch (`data/drawing`), so that what draws from it draws the same again.
        """
        ...

    def state(self) -> State:
        """Return what `open` takes to go on after the last batch drawn. Of `saved` ones only."""
        ...

    def close(self) -> None:
        """Let go of workers and files. Nothing of it runs on after that."""
        ...


class BatchSource(Protocol):
    """Batches of somebody else's making.

    Attributes:
        schedule: set by `data/adapt`; its `batches` may not be known before a pass has ended.
        length: batches in a pass, as far as the source knows.
        once: whether it gives its batches once: there is no second pass from its beginning.
        place: how it is opened at a place.
        kind: what the user passed, in words (`a PyDataset`).
    """

    schedule: Schedule
    length: int | None
    once: bool
    place: Place
    kind: str

    def open(self, number: int, batch: int, state: State = None) -> Stream:
        """Return the batches of pass `number` from a place on.

        Args:
            number: of the pass, from 0. Passes are opened in any order, one at a time.
            batch: the first to be drawn: any for `sought`; that which `state` was taken before
                for `saved`, 0 without one; always 0 for `replayed`.
            state: of a stream of this pass, for `saved`.
        """
        ...

    def begins_again(self) -> None:
        """Called where batches are to be skipped that were trained on before. Of `replayed` ones.

        Raises:
            RunError: its first batch is another one than the training's was.
        """
        ...

    def turn(self, number: int) -> None:
        """Pass `number` is over: change what changes between passes.

        Called once for each pass, in order, before the one after it is first opened; in a
        process that goes on with a later pass too. The random state is set by the pass.
        """
        ...

    def specimen(self) -> Tree:
        """Return the first batch, for its shapes and types. Does not cost the training a batch."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return in words what the data is, for comparison with a later attempt's."""
        ...

    def sentences(self) -> list[str]:
        """Return what people are to be told of it before the first step."""
        ...


Source = SampleSource | BatchSource


@dataclass
class Schedule:
    """Which batches an epoch takes.

    Without `steps_per_epoch` an epoch is one pass. With it, Keras goes on through a pass
    where the epoch before left off, an epoch that meets the end of the pass ends there,
    and the next epoch begins a new pass.

    Args:
        batches: in a whole pass; None where that is not known until one has ended.
        steps_per_epoch: asked for, or None.
        initial_epoch: the epoch that begins the first pass.
        epochs: the first epoch that is not trained any more, or None where nobody knows.
    """

    batches: int | None
    steps_per_epoch: int | None = None
    initial_epoch: int = 0
    epochs: int | None = None

    def steps(self, epoch: int) -> int | None:
        """Return how many steps an epoch has, or None where that is not known yet."""
        if self.batches is None:
            return self.steps_per_epoch
        _, first = self.locate(epoch, 0)
        return min(self.steps_per_epoch or self.batches, self.batches - first)

    def locate(self, epoch: int, step: int) -> tuple[int, int]:
        """Return the number of the pass, and the index of the batch within it."""
        if self.steps_per_epoch is None:
            return epoch - self.initial_epoch, step
        if self.batches is None:
            return 0, (epoch - self.initial_epoch) * self.steps_per_epoch + step
        epochs_a_pass = -(-self.batches // self.steps_per_epoch)
        number, part = divmod(epoch - self.initial_epoch, epochs_a_pass)
        return number, part * self.steps_per_epoch + step

    def is_beyond(self, number: int, batch: int) -> bool:
        """Return whether a batch of a pass is one that nobody will ask for."""
        if self.batches is not None and batch >= self.batches:
            return True
        return self.epochs is not None and (number, batch) >= self.locate(self.epochs, 0)
