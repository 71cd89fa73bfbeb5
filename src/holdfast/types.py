"""Plain values that several parts of Holdfast pass to each other.

Owns no behaviour. The words are those of docs/design.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any
"""None, bool, int, float, str, and lists and dicts of these."""


PLACE = "place"
"""In a snapshot's state, and before its arrays' names: the place in the data. It decides from
where batches are drawn again, not which batches come, and is no part of the digest."""


@dataclass(frozen=True, order=True)
class Position:
    """Where a run stands.

    Args:
        epoch: epochs completed, which is the index of the epoch under way.
        step: steps completed within that epoch.
        total: steps completed overall.
    """

    epoch: int = 0
    step: int = 0
    total: int = 0


@dataclass(frozen=True)
class Array:
    """A named array as the store sees it: bytes with a shape and a type.

    Args:
        name: unique within its snapshot, such as `optimizer/0003`.
        dtype: numpy's name for the type (`float32`, `bfloat16`).
        shape: its dimensions.
        data: the elements in row-major order, as one contiguous block of bytes.
        label: what a person calls it (`dense/kernel`); no part of the digest.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview
    label: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A copy in memory of everything that decides the next step.

    Args:
        position: where the run stood.
        arrays: model, optimizer, metrics, random and callback arrays, in a fixed order.
        state: all that is no array: random state, callback state, history so far.
        metrics: the last epoch's logs, by which checkpoints are compared.
        epoch_end: whether an epoch had just ended.
        final: whether this is what the training returned, after its last callback.
        journal: bytes of the journal that were written when it was taken.
        pins: steps of the checkpoints that this one needs beside it, such as that of the best
            epoch, whose weights a callback will ask for.
    """

    position: Position
    arrays: tuple[Array, ...]
    state: Mapping[str, Json]
    metrics: Mapping[str, float] = field(default_factory=dict)
    epoch_end: bool = False
    final: bool = False
    journal: int = 0
    pins: tuple[int, ...] = ()
