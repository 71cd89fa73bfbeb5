"""The order of samples: a pure function of (seed, pass over the data).

Owns shuffling. There is no iterator state to keep: any pass's order can be computed again.
The generator is Philox, keyed by seed and pass, under numpy's RandomState, whose streams
numpy has frozen for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Shuffle = Literal["samples", "within batches", "none"]


@dataclass(frozen=True)
class Reshuffle:
    """From `row` on, pass `number` takes the samples that are left in another order.

    `again` tells reshuffles of one pass apart.
    """

    number: int
    row: int
    again: int


@dataclass(frozen=True)
class Blocks:
    """Samples that are read together, since one is not read for less than all its neighbours.

    Blocks are shuffled, and the samples of as many as are in memory at a time among each other.

    Args:
        rows: samples a block.
        together: blocks at a time.
    """

    rows: int
    together: int


def order(
    samples: int,
    batch_size: int,
    shuffle: Shuffle,
    seed: int,
    number: int,
    reshuffles: Sequence[Reshuffle] = (),
    blocks: Blocks | None = None,
) -> NDArray[np.int64]:
    """Return the indices of all samples in the order in which a pass takes them.

    Args:
        samples: how many there are.
        batch_size: samples a batch.
        shuffle: `samples` over all; `within batches` keeps which samples share a batch, as
            `shuffle="batch"` of `Model.fit` does; `none`.
        seed: the run's shuffle seed, below 2**63.
        number: of the pass, from 0.
        reshuffles: of any passes, in the order in which they came to be.
        blocks: of samples that are read together; None where each is as near as any other.

    Example:
        `order(1797, 32, "samples", seed=7, number=0)[:32]` is the first batch.
    """
    indices = _shuffled(samples, batch_size, shuffle, seed, number, blocks)
    for item in reshuffles:
        if item.number == number:
            # A key that no pass has: passes are counted from 0.
            key = [seed, (1 << 63) + (item.again << 32) + number]
            random = np.random.RandomState(np.random.Philox(key=key))
            left = indices[item.row :]
            indices[item.row :] = (
                random.permutation(left)
                if blocks is None
                else _by_blocks(np.sort(left), blocks, random)
            )
    return indices


def _shuffled(
    samples: int,
    batch_size: int,
    shuffle: Shuffle,
    seed: int,
    number: int,
    blocks: Blocks | None,
) -> NDArray[np.int64]:
    if shuffle == "none":
        return np.arange(samples, dtype=np.int64)
    random = np.random.RandomState(np.random.Philox(key=[seed, number]))
    if shuffle == "samples" and blocks is not None:
        return _by_blocks(np.arange(samples, dtype=np.int64), blocks, random)
    if shuffle == "samples":
        return random.permutation(samples).astype(np.int64, copy=False)
    batches = [
        start + random.permutation(min(batch_size, samples - start))
        for start in range(0, samples, batch_size)
    ]
    return np.concatenate(batches).astype(np.int64, copy=False)


def _by_blocks(
    rows: NDArray[np.int64], blocks: Blocks, random: np.random.RandomState
) -> NDArray[np.int64]:
    """Return ascending rows in another order, in which those of a block stay near each other."""
    starts = np.flatnonzero(np.diff(rows // blocks.rows, prepend=-1))
    ends = np.append(starts[1:], len(rows))
    turn = random.permutation(len(starts))
    mixed = [rows[:0]]
    for first in range(0, len(turn), blocks.together):
        taken = turn[first : first + blocks.together]
        near = [rows[starts[block] : ends[block]] for block in taken]
        mixed.append(random.permutation(np.concatenate(near)))
    return np.concatenate(mixed)
