"""Reading batches ahead of the training, and giving each when it is due.

Owns which batches are on the host, and what becomes of an error or of the end of the data that was
met ahead of time. Leaves drawing them to `drawing`, and the way to a device to the engines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from holdfast.data.drawing import Drawing, Stopped, isolated
from holdfast.data.source import BatchSource, State, Tree

Going = Callable[[], bool]


class Reader:
    """The batches of one source, read ahead and kept until a later one is asked for.

    Args:
        source: of the batches.
        seed: of the run.
        goes_on: whether its place is kept, so that states of the source are worth taking.
        stopped: whether the training was told to stop: a long way to a place is then left.
    """

    def __init__(self, source: BatchSource, seed: int, *, goes_on: bool, stopped: Going) -> None:
        self._source = source
        self._drawing = Drawing(source, seed, keeps_states=goes_on, stopped=stopped)
        self._number = 0
        self._first = 0
        self._ready: deque[Tree] = deque()
        self._ended = False
        self._late: Exception | None = None

    def read(self, number: int, batch: int, most: int, going: Going) -> Sequence[Tree]:
        """Return batches of a pass from one on: that one, and those that are read ahead.

        Args:
            number: of the pass.
            batch: the first; those before it are let go of.
            most: how many to read ahead.
            going: whether to read on, where nothing was read ahead; one is read in any case.

        Returns the batches, none of them if the pass has ended. What is wrong with a batch is
        raised when that one is the first.

        Raises:
            Stopped: the training was told to stop before the first was reached.
        """
        self.stand(number, batch)
        if not self._ready and self._late is None and not self._ended:
            self._draw(1, lambda: True)
            self.ahead(most, going)
        if self._ready:
            return self._ready
        if self._late is not None:
            raise self._late
        schedule = self._source.schedule
        if schedule.batches is None and self._drawing.ended is not None:
            schedule.batches = self._drawing.ended[1]
        return ()

    def ahead(self, most: int, going: Going) -> None:
        """Read on while `going`, up to `most` batches, and none that nobody will ask for."""
        if len(self._ready) < most and not self._ended and self._late is None and going():
            self._draw(most, going, wanted=True)

    def place(self, number: int, batch: int) -> State:
        """Return what `go_on` takes to go on with batch `batch` of pass `number`."""
        return self._drawing.place(number, batch)

    def go_on(self, place: State) -> None:
        """Go on from a place."""
        self._forget(-1, 0)
        self._drawing.restore(place)

    def close(self) -> None:
        """Let go of the batches, and of the source's workers and files."""
        self._forget(-1, 0)
        self._drawing.close()

    def after(self, count: int) -> list[Tree]:
        """Return the batches that were read ahead, but for the first `count`."""
        return list(islice(self._ready, count, None))

    def stand(self, number: int, batch: int) -> None:
        """Let go of what comes before a batch of a pass; what was read after it stays."""
        if number != self._number or not 0 <= batch - self._first <= len(self._ready):
            self._forget(number, batch)
        while self._first < batch:
            self._ready.popleft()
            self._first += 1

    def _forget(self, number: int, batch: int) -> None:
        self._number, self._first = number, batch
        self._ready.clear()
        self._ended, self._late = False, None

    def _draw(self, most: int, going: Going, *, wanted: bool = False) -> None:
        schedule = self._source.schedule
        try:
            with isolated():
                self._drawing.seek(self._number, self._first + len(self._ready))
                while len(self._ready) < most and going():
                    end = self._first + len(self._ready)
                    if wanted and schedule.is_beyond(self._number, end):
                        break
                    drawn = self._drawing.draw()
                    if drawn is None:
                        self._ended = True
                        break
                    self._ready.append(drawn)
        except Stopped:
            if not self._ready:
                raise
        except Exception as error:
            self._late = error
