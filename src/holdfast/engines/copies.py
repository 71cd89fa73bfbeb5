"""Copies of values in memory of the host that is used again.

Owns that memory. The first touch of memory that the system has just given takes several times
as long as the copying itself, and training waits for it: what the copies before took is used again
as soon as nobody has one of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What is smaller the allocator has at hand.
_SMALL = 1 << 18
_ALIGNED = 64


class Copies:
    """Makes copies of the same values again and again.

    Its memory is that of one copy of them all. Where the copies before are still in use, those
    that are made get memory of their own, which is the one used again from then on.
    """

    def __init__(self) -> None:
        self._room: NDArray[np.uint8] | None = None
        self._lent: weakref.ref[NDArray[np.uint8]] | None = None

    def of(self, values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return copies of `values`; nothing changes them as long as somebody has one."""
        large = [value for value in values if value.nbytes > _SMALL]
        if not large:
            return [np.array(value) for value in values]
        whole = self._lend(sum(_aligned(value.nbytes) for value in large))
        copies, begin = [], 0
        for value in values:
            if value.nbytes <= _SMALL:
                copies.append(np.array(value))
                continue
            place = whole[begin : begin + value.nbytes].view(value.dtype).reshape(value.shape)
            np.copyto(place, value)
            copies.append(place)
            begin += _aligned(value.nbytes)
        return copies

    def _lend(self, size: int) -> NDArray[np.uint8]:
        free = self._lent is None or self._lent() is None
        if self._room is None or self._room.nbytes != size or not free:
            self._room = np.empty(size, np.uint8)
        # Every copy refers to this array, and by it to the memory: when it is gone, so are they.
        whole = np.frombuffer(self._room.data, np.uint8)
        self._lent = weakref.ref(whole)
        return whole


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
