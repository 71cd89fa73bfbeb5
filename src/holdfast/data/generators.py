"""Generators, and whatever else gives batches when it is gone through, as a source.

Owns going through them from the beginning, which is all that can be done with them: what was
trained on before an interruption is drawn again, and let go of. The random state that batches are
drawn under is `drawing`'s.

A generator gives its batches once. So does what is its own iterator, unless it begins again when
it is asked to. What can be gone through again is, in each pass.

Some remember in their attributes how often they were gone through, or what they gave. What those
were at first is kept, and before a later pass they are gone through again from there: as far as
`__iter__`, or whole if they remember what they gave too.
"""

from __future__ import annotations

import contextlib
import inspect
import time
import warnings
from collections.abc import Iterable, Iterator
from types import FunctionType, GeneratorType
from typing import Any, Literal

from holdfast.data.batches import content_sum, described, packed
from holdfast.data.drawing import isolated, seed_by
from holdfast.data.own_state import Kept, OwnRandom
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
        self.name = f"{name}, {self.kind},"
        self._used = isinstance(x, GeneratorType) and inspect.getgeneratorstate(x) != "GEN_CREATED"
        self._own = OwnRandom(x)
        self._at_first = Kept(x)
        self._remembers: Literal["nothing", "passes", "batches"] = "nothing"
        self._stands_before: int | None = None
        self._mark: Kept | None = None
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
            self._stand_before(number)
            return self._pass(number)
        if number > 0:
            return _Pass(self, number, iter(()), [])
        if self._begun:
            raise RunError(
                f"{self.name} gives its batches once and cannot go back to the first. Start the "
                "program again, which makes a new one: the training goes on from its checkpoint"
            )
        self._begun = True
        assert self._running is not None
        return _Pass(self, 0, self._running, self._peeked)

    def begins_again(self) -> None:
        """Called before batches are skipped that were trained on before.

        Raises:
            RunError: it is a generator that something else drew from, so that its first batch is
                another one than the training's.
        """
        if self._used and not self._begun:
            raise RunError(
                f"{self.name} was drawn from before it was passed: what the training was given "
                "until now cannot be skipped in it. Make a new one, and pass that: the training "
                "goes on from its checkpoint"
            )

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

    @property
    def remembers_batches(self) -> bool:
        """Whether what it gives may depend on what it gave in the passes before."""
        return self._remembers == "batches"

    def sentences(self) -> list[str]:
        """Return what is to be told before the first step."""
        since = "the epoch began"
        if self._remembers == "batches":
            since = "the training began"
        elif self.once or self.schedule.steps_per_epoch is not None:
            since = "it began"
        rate = f"{max(0.001, self._seconds):.3g} s" if self._seconds >= 0.001 else "less than 1 ms"
        found = [
            f"{self.name} cannot be asked for a batch in its midst: after an interruption all "
            f"that it gave since {since} is drawn again; its first batch took {rate}"
        ]
        if self.once:
            found.append(
                f"{self.name} gives its batches once: the training ends when it does, and goes "
                "on with the same bits only if a new one gives the same batches"
            )
        if self._used:
            found.append(
                f"{self.name} was drawn from before it was passed: a new one, which a run that is "
                "interrupted goes on with, must be drawn from as often"
            )
        if not self.once and not self._repeats:
            found.append(
                f"{self.name} gives another first batch each time, though the random generators "
                "are set before: a run that is interrupted does not end with the same bits"
            )
        return found

    def ended(self, number: int, *, whole: bool) -> None:
        """Pass `number` is closed, gone through to where it is to end if it is `whole`."""
        self._stands_before = number + 1 if whole else None

    def first_was_drawn(self, number: int) -> None:
        """The first batch of a pass was drawn: look whether the pass before left anything."""
        if number and self._remembers == "nothing" and self._mark is not None:
            self._look(self._mark)
            self._mark = None

    def _stand_before(self, number: int) -> None:
        """Make what remembers the passes before one remember those."""
        if self._remembers == "nothing":
            return
        if self._remembers == "passes" and self._mark is not None:
            self._look(self._mark)
        if self._stands_before == number:
            return
        self._go_back()
        for past in range(number):
            if self._remembers == "passes":
                self._gone_through(past)
            else:
                self._pass(past).skip(self._seed)

    def _go_back(self) -> None:
        self._at_first.give_back(self._x)
        self._own = OwnRandom(self._x)
        self._stands_before, self._mark = 0, None

    def _look(self, mark: Kept) -> None:
        """Warn where a pass changed what is not known to change."""
        if not mark.is_same(Kept(self._x)):
            warnings.warn(
                f"{self.name} is changed by being gone through to its end, which could not be "
                "known before: a run that is interrupted does not end with the same bits. Let "
                "what it gives depend on nothing that it changes itself",
                stacklevel=2,
            )

    def _pass(self, number: int) -> _Pass:
        running = self._gone_through(number)
        if self._remembers == "passes":
            self._mark = Kept(self._x)
        return _Pass(self, number, running, [], own=True)

    def _gone_through(self, number: int) -> Iterator[Any]:
        """Return what gives the batches of a pass, from its beginning. Sets the random state."""
        word = seed_by(self._seed, number, _OPENING)
        self._own.begin(word)
        return iter(self._x)

    def _peek(self) -> None:
        """Draw the first batch, and find out whether it can be drawn again."""
        with isolated():
            running = self._gone_through(0)
            begun = Kept(self._x)
            self._first = self._draw_first(running)
            drawn = Kept(self._x)
            self.once = running is self._x
            again = None
            if not self.once or _is_of_a_class(self._x):
                _close(running, self._x)
                again, mark = self._first_again()
            if self.once:
                # A class of the user's may begin again when it is asked for its iterator.
                self.once = again is None or content_sum(again) != content_sum(self._first)
            if self.once:
                self._running = running
                self._peeked = [self._first] if again is None else [self._first, again]
                return
            if drawn.is_same(mark):
                self._mark = drawn
            else:
                self._remembers = "passes" if begun.is_same(drawn) else "batches"
                self._go_back()
                again, _ = self._first_again()
                self._go_back()
            self._repeats = again is not None and content_sum(again) == content_sum(self._first)

    def _draw_first(self, running: Iterator[Any]) -> Tree:
        seed_by(self._seed, 0, 0)
        began = time.perf_counter()
        try:
            batch = next(running)
        except StopIteration:
            told = "is empty; expected at least one batch"
            if self._used:
                told = "has no batches left: it was drawn from before. Make a new one"
            raise PlanError(f"{self.name} {told}") from None
        self._seconds = time.perf_counter() - began
        return packed(batch, self.name)

    def _first_again(self) -> tuple[Tree | None, Kept]:
        """Return the first batch, and what the attributes are when it was drawn."""
        running = self._gone_through(0)
        seed_by(self._seed, 0, 0)
        batch = next(running, None)
        mark = Kept(self._x)
        _close(running, self._x)
        return None if batch is None else packed(batch, self.name), mark


class _Pass:
    """The batches of one pass, from its first on: those peeked at, then the others."""

    def __init__(
        self,
        source: GeneratorSource,
        number: int,
        running: Iterator[Any],
        peeked: list[Tree],
        *,
        own: bool = False,
    ) -> None:
        self._source = source
        self._number = number
        self._running = running
        self._peeked = list(peeked)
        self._own = own
        self._drawn = 0
        self._ended = False

    def draw(self) -> Tree | None:
        """Return the next batch, or None at the end."""
        if self._peeked:
            batch = self._peeked.pop(0)
        else:
            try:
                batch = packed(next(self._running), self._source.name)
            except StopIteration:
                self._ended = True
                return None
            except Exception as error:
                error.add_note(f"Raised by {self._source.name} when asked for batch {self._drawn}.")
                raise
        self._drawn += 1
        if self._drawn == 1:
            self._source.first_was_drawn(self._number)
        return batch

    def skip(self, seed: int) -> None:
        """Draw as many batches as belong to the pass, and let go of them."""
        while not self._is_whole:
            seed_by(seed, self._number, self._drawn)
            self.draw()
        self.close()

    def state(self) -> State:
        """Nothing: there is no way to go on from within."""
        return None

    def close(self) -> None:
        """Let a generator that was made for this pass end."""
        if not self._own:
            return
        whole = self._is_whole
        if whole and not self._ended and self._source.remembers_batches:
            # What it does after its last batch belongs to the pass, asked for its end or not.
            with isolated(), contextlib.suppress(Exception, StopIteration):
                next(self._running)
        _close(self._running, None)
        self._source.ended(self._number, whole=whole)

    @property
    def _is_whole(self) -> bool:
        batches = self._source.schedule.batches
        return self._ended or (batches is not None and self._drawn >= batches)


def _close(running: Iterator[Any], x: Any) -> None:
    """Let a generator end that was made by going through something else."""
    if running is not x and isinstance(running, GeneratorType):
        running.close()


def _is_of_a_class(x: Any) -> bool:
    """Return whether somebody wrote in Python what happens when it is gone through."""
    return isinstance(getattr(type(x), "__iter__", None), FunctionType)
