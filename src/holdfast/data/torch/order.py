"""The order of a loader's batches: the indices its sampler gives, pass after pass.

Owns drawing them again: the same for a pass whenever it is asked for, and so the place of a
batch is its number. Fetching what they stand for is `torch`'s.

A sampler draws with the random generators, its own and the global ones, set by (seed, pass), and
what they were before is put back. One that also remembers earlier passes is gone through for
each of them, without its data, and is put back for a pass that is asked for again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import Sampler

from holdfast.data.drawing import isolated, seed_by
from holdfast.data.own_state import Kept, OwnRandom
from holdfast.errors import UnsupportedError

_CHUNK = 256
_FIRST_KEY = (1 << 64) - 2  # and those below it: no pass has so many batches
_KEPT = 3


class Order:
    """What a sampler gives, for any pass.

    Args:
        sampler: gives lists of indices, or indices.
        seed: of the run.

    Attributes:
        parts: the sampler and those within it, where they have attributes.

    Raises:
        UnsupportedError: it gives them once.
    """

    def __init__(self, sampler: Any, seed: int) -> None:
        if isinstance(sampler, Iterator):
            raise UnsupportedError(
                f"the DataLoader's sampler is a {type(sampler).__name__}, which gives its indices "
                "once. Give a list of them, or a torch.utils.data.Sampler."
            )
        self._sampler = sampler
        self._seed = seed
        self.parts = _samplers(sampler)
        self._own = OwnRandom([list(vars(part).values()) for part in self.parts])
        self._remembering = [part for part in self.parts if not _is_torchs(part)]
        self._reached = 0
        self._begun: Pass | None = None
        self._marks: dict[int, list[Kept]] = {}

    def begin(self, number: int) -> Pass:
        """Return the indices of pass `number`, from its beginning."""
        self._reach(number)
        self._begun = self._pass(number)
        return self._begun

    def turn(self, number: int) -> None:
        """Pass `number` is over."""
        if self._reached <= number:
            self._reach(number + 1)

    def _pass(self, number: int) -> Pass:
        for part in self.parts:
            if callable(getattr(part, "set_epoch", None)):
                part.set_epoch(number)
        return Pass(self._sampler, self._own, self._seed, number)

    def _reach(self, number: int) -> None:
        """Bring a sampler that remembers earlier passes to the beginning of one."""
        if not self._remembering:
            return
        if self._begun is not None:
            if number > self._reached:
                deque(self._begun, maxlen=0)
                self._reached += 1
            else:
                self._put_back(self._reached)
            self._begun = None
        if number < self._reached:
            self._put_back(max(mark for mark in self._marks if mark <= number))
        self._mark()
        while self._reached < number:
            deque(self._pass(self._reached), maxlen=0)
            self._reached += 1
            self._mark()

    def _mark(self) -> None:
        if self._reached not in self._marks:
            self._marks[self._reached] = [Kept(part) for part in self._remembering]
            for old in sorted(self._marks)[1:-_KEPT]:
                del self._marks[old]

    def _put_back(self, number: int) -> None:
        for part, kept in zip(self._remembering, self._marks[number], strict=True):
            kept.give_back(part)
        self._reached = number


class Pass:
    """The indices of one pass, drawn some hundred batches at a time."""

    def __init__(self, sampler: Any, own: OwnRandom, seed: int, number: int) -> None:
        self._sampler = sampler
        self._own = own
        self._seed = seed
        self._number = number
        self._chunks = 0
        self._ready: deque[Any] = deque()
        self._rest: Iterator[Any] | None = None

    def __iter__(self) -> Pass:
        return self

    def __next__(self) -> Any:
        """Return the indices of the next batch."""
        if not self._ready:
            self._draw()
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def _draw(self) -> None:
        with isolated():
            word = seed_by(self._seed, self._number, _FIRST_KEY - self._chunks)
            with self._own.set_by(word):
                if self._rest is None:
                    self._rest = iter(self._sampler)
                for indices in islice(self._rest, _CHUNK):
                    # A sampler may fill the same list again.
                    self._ready.append(list(indices) if isinstance(indices, list) else indices)
        self._chunks += 1


def _samplers(sampler: Any) -> list[Any]:
    found: list[Any] = []
    waiting = [sampler]
    while waiting:
        part = waiting.pop()
        if hasattr(part, "__dict__") and not any(part is other for other in found):
            found.append(part)
            waiting += [value for value in vars(part).values() if isinstance(value, Sampler)]
    return found


def _is_torchs(part: Any) -> bool:
    return type(part).__module__.partition(".")[0] in ("torch", "torchdata")
