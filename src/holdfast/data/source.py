"""What a source of batches is: batches that can be sought.

Owns the protocol, and the arithmetic from (epoch, step) to a batch of a pass over the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.data.order import Reshuffle

Tree = Any
"""Arrays nested in tuples, lists and dicts, as Keras packs (x, y, sample_weight)."""


class Source(Protocol):
    """Batches that can be asked for again, any (epoch, step), in any process.

    `samples`, `batch_size` and `schedule` do not change. `arrays` has every sample in the
    order the user gave.
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

    def fingerprint(self) -> dict[str, Any]:
        """Return in words what the data is, for comparison with a later attempt's."""
        ...


@dataclass(frozen=True)
class Schedule:
    """Which batches an epoch takes.

    Without `steps_per_epoch` an epoch is one pass. With it, Keras goes on through a pass
    where the epoch before left off, an epoch that meets the end of the pass ends there,
    and the next epoch begins a new pass.

    Args:
        batches: in a whole pass.
        steps_per_epoch: asked for, or None.
        initial_epoch: the epoch that begins the first pass.
    """

    batches: int
    steps_per_epoch: int | None = None
    initial_epoch: int = 0

    def steps(self, epoch: int) -> int:
        """Return how many steps an epoch has."""
        _, first = self.locate(epoch, 0)
        return min(self.steps_per_epoch or self.batches, self.batches - first)

    def locate(self, epoch: int, step: int) -> tuple[int, int]:
        """Return the number of the pass, and the index of the batch within it."""
        if self.steps_per_epoch is None:
            return epoch, step
        epochs_a_pass = -(-self.batches // self.steps_per_epoch)
        number, part = divmod(epoch - self.initial_epoch, epochs_a_pass)
        return number, part * self.steps_per_epoch + step
