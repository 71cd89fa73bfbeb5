"""What a worker of a loader does beside fetching: it seeds itself by batch, and ends in time.

Leaves what indices there are to `order`, and starting workers to `fetching`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from torch.utils.data import Dataset, get_worker_info

from holdfast.data import workers
from holdfast.data.drawing import seed_by
from holdfast.data.own_state import OwnRandom

_own = OwnRandom(None)
"""The random generators of this worker's data set."""


class Keyed:
    """Indices of a batch on their way to a worker, which is seeded by the batch as they arrive.

    Unpickled it is the indices alone: the data set, `collate_fn`, `worker_init_fn` and
    `get_worker_info` see what they see without Holdfast.
    """

    def __init__(self, seed: int, number: int, batch: int, indices: Any) -> None:
        self._all = seed, number, batch, indices

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _arrived, self._all


def _arrived(seed: int, number: int, batch: int, indices: Any) -> Any:
    _own.begin(seed_by(seed, number, batch))
    return indices


class Starting:
    """`worker_init_fn` of Holdfast's: calls the user's."""

    def __init__(self, user: Callable[[int], Any] | None, collate: Any) -> None:
        self._user = user
        self._collate = collate

    def __call__(self, worker: int) -> None:
        """Prepare this worker process."""
        global _own  # noqa: PLW0603  what arrives by a queue finds it nowhere else
        # What was garbage in the parent may be an iterator, which would end the parent's workers.
        gc.freeze()
        gc.enable()
        workers.begin()
        if self._user is not None:
            self._user(worker)
        info = get_worker_info()
        _own = own_random(info.dataset if info else None, self._collate)


def own_random(*things: Any) -> OwnRandom:
    """Return the random generators of data sets and functions, and of data sets within those."""
    found: list[Any] = list(things)
    for thing in found:
        if type(thing).__module__.startswith("torch.utils.data"):
            for value in vars(thing).values():
                several = value if isinstance(value, (list, tuple)) else [value]
                found += [one for one in several if isinstance(one, Dataset)]
    return OwnRandom(found)
