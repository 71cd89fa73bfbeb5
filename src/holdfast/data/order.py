"""The order of samples: a pure function of (seed, pass over the data).

Owns shuffling. There is no iterator state to keep: any pass's order can be computed again.
The generator is Philox, keyed by seed and pass, under numpy's RandomState, whose streams
numpy has frozen for good.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Shuffle = Literal["samples", "within batches", "none"]


def order(
    samples: int, batch_size: int, shuffle: Shuffle, seed: int, number: int
) -> NDArray[np.int64]:
    """Return the indices of all samples in the order in which a pass takes them.

    Args:
        samples: how many there are.
        batch_size: samples a batch.
        shuffle: `samples` over all; `within batches` keeps which samples share a batch, as
            `shuffle="batch"` of `Model.fit` does; `none`.
        seed: the run's shuffle seed, below 2**63.
        number: of the pass, from 0.

    Example:
        `order(1797, 32, "samples", seed=7, number=0)[:32]` is the first batch.
    """
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
