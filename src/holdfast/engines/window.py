"""What compiled programs are given: batches that lie on the device.

Owns the two protocols between programs and feeds. Leaves where samples lie to `feed` and `drawn`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.data.order import Reshuffle
from holdfast.data.source import State, Tree


@dataclass(frozen=True)
class Window:
    """Batches on the device.

    Args:
        data: arrays on the device.
        order: row numbers into `data`, on the device.
        row: where in `order` the batch asked for begins.
        rows: samples a batch.
        batches: how many of so many rows, that one included, the window has.
        waited: seconds that passed until it was there, in which nothing else was done.
    """

    data: Tree
    order: Any
    row: int
    rows: int
    batches: int
    waited: float = 0.0


class Feed(Protocol):
    """Gives the window that holds a batch."""

    def window(self, number: int, batch: int) -> Window | None:
        """Return the window with batch `batch` of pass `number`; None if the pass has ended."""
        ...

    def ahead(self, busy: Callable[[], bool]) -> None:
        """Get on with what comes next, while the device is busy."""
        ...

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Take samples in another order from now on."""
        ...

    def place(self, number: int, batch: int) -> State:
        """Return what `go_on` takes to go on with batch `batch` of pass `number`."""
        ...

    def go_on(self, place: State) -> None:
        """Go on from a place."""
        ...

    def close(self) -> None: ...
