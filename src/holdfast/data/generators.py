"""Generators, and whatever else gives batches when it is gone through, as a source.

Owns going through them from the beginning, which is all that can be done with them: what was
trained on before an interruption is drawn again, and let go of. The random state that batches are
drawn under is `drawing`'s.

A generator gives its batches once. So does what is its own iterator, unless it begins again when
it is asked to. What can be gone through again is, in each pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import FunctionType, GeneratorType
from typing import Any

from holdfast.data.batches import content_sum, described, packed
from holdfast.data.drawing import isolated, seed_by
from holdfast.data.own_state import OwnRandom
from holdfast.data.source import Place, Schedule, State, Tree
from holdfast.errors import PlanError, RunError

_OPENING = (1 << 64) - 3


class GeneratorSource:
    """A source over a generator, an iterator or an iterable of batches.

    Args:
        x: what gives the batches.
        seed: of the run.
        name: of the argument, for errors.

    Attributes:
        length: None: what has a `len` may count samples by it.

    Raises:
        PlanError: it gives no batch at all.
    """

    place: Place = "replayed"
    length: int | None = None

    def __init__(self, x: Iterable[Any], *, seed: int, name: str) -> None:
        self._x = x
        self._seed = seed
        kind = type(x).__name__
        self.kind = f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
        self._name = f"{name}, {self.kind},"
        self._own = OwnRandom(x)
        self._peeked: list[Tree] = []
        self._seconds = 0.0
        self._repeats = True
        self._running: Iterator[Any] | None = None
        self._begun = False
        self.once = False
        self._peek()
        self.schedule = Schedule(None)

    def open(self, number: int, batch: int, state: State = None) -> _Pass:
        """Return the batches of pass `number`. Of what gives them once, only pass 0 has any.

        Raises:
            RunError: it gives them once, and they were drawn already.
        """
        if not self.once:
            return _Pass(self._gone_through(number), [], self._name, own=True)
        if number > 0:
            return _Pass(iter(()), [], self._name, own=True)
        if self._begun:
            raise RunError(
                f"{self._name} gives its batches once and cannot go back to the first. Start the "
                "program again, which makes a new one: the training goes on from its checkpoint"
            )
        self._begun = True
        assert self._running is not None
        return _Pass(self._running, self._peeked, self._name, own=False)

    def turn(self, number: int) -> None:
        """Nothing: a pass begins when it is opened."""

    def specimen(self) -> Tree:
        """Return the first batch."""
        return self._first

    def fingerprint(self) -> dict[str, Any]:
        """Return shapes, types, and a sum of the first batch where it is known to repeat.

        What gives its batches once cannot be asked for one twice.
        """
        found = {
            "kind": self.kind,
            "steps an epoch": self.schedule.steps_per_epoch,
            **described(self._first),
        }
        if self._repeats and not self.once:
            found["contents"] = [content_sum(self._first)]
        return found

    def sentences(self) -> list[str]:
        """Return what is to be told before the first step."""
        whole = self.once or self.schedule.steps_per_epoch is not None
        since = "it began" if whole else "the epoch began"
        rate = f"{max(0.001, self._seconds):.3g} s" if self._seconds >= 0.001 else "less than 1 ms"
        found = [
            f"{self._name} cannot be asked for a batch in its midst: after an interruption all "
            f"that it gave since {since} is drawn again; its first batch took {rate}"
        ]
        if self.once:
            found.append(
                f"{self._name} gives its batches once: the training ends when it does, and goes "
                "on with the same bits only if a new one gives the same batches"
            )
        elif not self._repeats:
            found.append(
                f"{self._name} gives another first batch each time, though the random generators "
                "are set before: a run that is interrupted does not end with the same bits"
            )
        return found

    def _gone_through(self, number: int) -> Iterator[Any]:
        """Return what gives the batches of a pass, from its beginning. Sets the random state."""
        word = seed_by(self._seed, number, _OPENING)
        self._own.begin(word)
        return iter(self._x)

    def _peek(self) -> None:
        """Draw the first batch, and find out whether it can be drawn again."""
        with isolated():
            running = self._gone_through(0)
            self._first = self._draw_first(running)
            self.once = running is self._x
            if self.once and isinstance(getattr(type(self._x), "__iter__", None), FunctionType):
                # A class of the user's may begin again when it is asked for its iterator.
                again = self._first_again()
                self.once = again is None or content_sum(again) != content_sum(self._first)
                if again is not None and self.once:
                    self._peeked = [again]
            elif not self.once:
                again = self._first_again()
                self._repeats = again is not None and content_sum(again) == content_sum(self._first)
        if self.once:
            self._running = running
            self._peeked = [self._first, *self._peeked]

    def _draw_first(self, running: Iterator[Any]) -> Tree:
        seed_by(self._seed, 0, 0)
        began = time.perf_counter()
        try:
            batch = next(running)
        except StopIteration:
            raise PlanError(f"{self._name} is empty; expected at least one batch") from None
        self._seconds = time.perf_counter() - began
        return packed(batch, self._name)

    def _first_again(self) -> Tree | None:
        running = self._gone_through(0)
        seed_by(self._seed, 0, 0)
        batch = next(running, None)
        if isinstance(running, GeneratorType):
            running.close()
        return None if batch is None else packed(batch, self._name)


class _Pass:
    """The batches of one pass, from its first on: those peeked at, then the others."""

    def __init__(self, running: Iterator[Any], peeked: list[Tree], name: str, *, own: bool) -> None:
        self._own = own
        self._running = running
        self._peeked = list(peeked)
        self._drawn = 0
        self._name = name

    def draw(self) -> Tree | None:
        """Return the next batch, or None at the end."""
        if self._peeked:
            batch = self._peeked.pop(0)
        else:
            try:
                batch = packed(next(self._running), self._name)
            except StopIteration:
                return None
            except Exception as error:
                error.add_note(f"Raised by {self._name} when asked for batch {self._drawn}.")
                raise
        self._drawn += 1
        return batch

    def state(self) -> State:
        """Nothing: there is no way to go on from within."""
        return None

    def close(self) -> None:
        """Let a generator that was made for this pass end."""
        if self._own and isinstance(self._running, GeneratorType):
            self._running.close()
