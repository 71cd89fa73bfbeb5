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


def order(
    samples: int,
    batch_size: int,
    shuffle: Shuffle,
    seed: int,
    number: int,
    reshuffles: Sequence[Reshuffle] = (),
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

    Example:
        `order(1797, 32, "samples", seed=7, number=0)[:32]` is the first batch.
    """
    indices = _shuffled(samples, batch_size, shuffle, seed, number)
    for item in reshuffles:
        if item.number == number:
            # A key that no pass has: passes are counted from 0.
            key = [seed, (1 << 63) + (item.again << 32) + number]
            random = np.random.RandomState(np.random.Philox(key=key))
            indices[item.row :] = random.permutation(indices[item.row :])
    return indices


def _shuffled(
    samples: int, batch_size: int, shuffle: Shuffle, seed: int, number: int
) -> NDArray[np.int64]:
    if shuffle == "none":
        return np.arange(samples, dtype=np.int64)
    random = np.random.RandomState(np.random.Philox(key=[seed, number]))
    if shuffle == "samples":
        return random.permutation(samples).astype(np.int64, copy=False)
    batches = [
        start + random.permutation(min(batch_size, samples - start))
        for start in range(0, samples, batch_size)
    ]
    return np.concatenate(batches).astype(np.int64, copy=False)
