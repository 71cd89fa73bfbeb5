"""Requests judged together: a queue with bounds, and batches that form by themselves.

Owns which rows are judged together, when, and in which thread. A request that comes while nothing
is judged goes at once; what comes meanwhile goes together next. Where the model is so fast that
handing over to a thread would cost more than judging, it judges in the event loop's own thread.
Leaves reading requests to `protocol` and `people`, the batch itself to `pieces`, and the model to
`served`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from holdfast.judge.signature import Feed, Signature
from holdfast.serving.pieces import (
    Answer,
    NotByRowsError,
    Piece,
    Request,
    joined,
    judged,
    next_piece,
)
from holdfast.serving.refusal import RequestError
from holdfast.serving.served import Served, any_batch

# How often requests that have waited too long are looked for, in parts of their time.
_LOOKS = 20
# How long those who have just been answered are waited for, before a batch without them begins: a
# part of the time that the last batch took, and never more than so many seconds.
_LINGER_PART = 0.1
_LINGER = 0.003


OnBatch = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and for how long.

    Args:
        batch: most rows that are judged together.
        waiting: most requests.
        bytes: most bytes of them.
        seconds: for a request to come, and again for it to be judged.
    """

    batch: int = 64
    waiting: int = 1024
    bytes: int = 256 << 20
    seconds: float = 30.0


class Batcher:
    """Judges what is asked for, together where that is possible. Belongs to one event loop.

    Args:
        served: the model.
        limits: how much may wait.
        on_batch: called with each batch's number of rows, the seconds that its requests have
            waited, added up, and those that it took.
    """

    def __init__(self, served: Served, limits: Limits, on_batch: OnBatch) -> None:
        self.served = served
        self.limits = limits
        self._on_batch = on_batch
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "holdfast-judge")
        self._thread.submit(int)  # it starts now: later there might be none to be had
        # A dict, since any of them may leave at any time; in the order in which they are judged.
        self._queue: OrderedDict[Request, None] = OrderedDict()
        self._running: Sequence[Piece] = ()
        self._old: list[Served] = []
        self._bytes = 0
        self._going = False
        self._lingering: asyncio.TimerHandle | None = None
        self._last = 0
        self._look: asyncio.TimerHandle | None = None
        # Whether each request is judged by itself: the model's batch is of one size alone.
        self._alone = not any_batch(served.signature)
        self._kinds = _has_kinds(served.signature)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    @property
    def held(self) -> int:
        """How many bytes wait, or are being judged."""
        return self._bytes

    def is_quick(self, feed: Feed) -> bool:
        """Whether a request that comes now is answered in next to no time."""
        return not self._running and len(next(iter(feed.values()))) <= self.served.at_once

    def put(self, feed: Feed) -> asyncio.Future[Answer]:
        """Return a future of the answer. Whoever no longer wants it cancels it.

        Args:
            feed: what `signature.checked` has returned.

        Raises:
            RequestError: 503, there is too much waiting. The future raises 504 where it took too
                long, and what the model raises.
        """
        kind = tuple(array.shape[1:] for array in feed.values()) if self._kinds else None
        request = Request(feed, kind, self._loop.time(), self._loop.create_future())
        if len(self._queue) >= self.limits.waiting or (
            self._bytes + request.size > self.limits.bytes and self._bytes
        ):
            raise overloaded()
        self._bytes += request.size
        self._queue[request] = None
        request.answer.add_done_callback(lambda _: self._let_go(request))
        if self._look is None:
            self._look = self._loop.call_later(self.limits.seconds / _LOOKS, self._look_for_late)
        if not self._going:
            self._going = True
            # Not before what was read together with this request has come too.
            self._loop.call_soon(self._go)
        elif self._lingering and len(self._queue) >= self._last:
            self._stop_lingering()
            self._loop.call_soon(self._go)
        return request.answer

    def swap(self, served: Served) -> None:
        """Judge with another version from the next batch on.

        A request that was begun keeps the old one, which is let go of once there is none.
        """
        self._old.append(self.served)
        self.served = served
        self._close_old()

    async def close(self) -> None:
        """Wait for what is being judged, and let go of the thread."""
        if self._look:
            self._look.cancel()
        await self._loop.run_in_executor(None, self._thread.shutdown)

    def _go(self) -> None:
        """Judge the next batch."""
        self._lingering = None
        served, pieces = self._take()
        if not pieces:
            self._going = False
            return
        self._last, self._running = len(pieces), pieces
        began = self._loop.time()
        if sum(piece.rows for piece in pieces) <= served.at_once:
            try:
                self._end(served, pieces, judged(served, pieces), began)
            finally:
                self._loop.call_soon(self._go)
            return
        job = self._loop.run_in_executor(self._thread, judged, served, pieces)

        def done(job: asyncio.Future[list[Feed | Exception]]) -> None:
            took = self._loop.time() - began
            try:
                self._end(served, pieces, job.result(), began)
            finally:
                self._next(took)

        job.add_done_callback(done)

    def _next(self, took: float) -> None:
        """Go on after a batch of the thread; those it answered may ask again in a moment."""
        if len(self._queue) >= self._last or self._last < 2:
            self._loop.call_soon(self._go)
        else:
            self._lingering = self._loop.call_later(min(took * _LINGER_PART, _LINGER), self._go)

    def _take(self) -> tuple[Served, list[Piece]]:
        """Take the rows of the next batch from the queue, all for one version of the model."""
        pieces: list[Piece] = []
        served, room, kind = self.served, self.limits.batch, None
        for request in self._queue:
            if request.answer.done():  # it is about to leave the queue by itself
                continue
            version = request.served or self.served
            if not pieces:
                served, kind = version, request.kind
            elif self._alone:
                break
            elif version is not served or request.kind != kind:
                continue
            if self._alone or (not request.taken and request.rows <= room):
                pieces.append(Piece(request, request.feed, request.rows))
            elif request.rows <= self.limits.batch:  # it goes whole, as the first of the next
                break
            else:
                pieces.append(next_piece(request, room, served))
            room -= pieces[-1].rows
            if room <= 0:
                break
        for request, _, rows in pieces:
            request.judging = True
            if rows < request.rows and request.taken < request.rows:
                self._queue.move_to_end(request)  # others get their turn between its pieces
            else:
                del self._queue[request]
        return served, pieces

    def _end(
        self,
        served: Served,
        pieces: Sequence[Piece],
        outcomes: Sequence[Feed | Exception],
        began: float,
    ) -> None:
        """Tell what a batch came to."""
        self._running = ()
        now, waited = self._loop.time(), 0.0
        for piece, outcome in zip(pieces, outcomes, strict=True):
            request = piece.request
            request.judging = False
            waited += began - request.since
            request.since = now
            if request.answer.done():  # cancelled or too late
                self._give_back(request)
            else:
                self._answer(piece, served, outcome)
        self._on_batch(sum(piece.rows for piece in pieces), waited, now - began)
        self._close_old()

    def _answer(self, piece: Piece, served: Served, outcome: Feed | Exception) -> None:
        request = piece.request
        if isinstance(outcome, dict) and piece.rows < request.rows:
            request.parts.append(outcome)
            if request.taken < request.rows:
                return
            outcome = joined(request.parts)
        if isinstance(outcome, NotByRowsError):
            self._again(request)
        elif isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result(Answer(outcome, served))

    def _again(self, request: Request) -> None:
        """Judge a request once more, and from now on each by itself: outputs are not one a row."""
        self._alone = True
        request.served, request.taken, request.parts = None, 0, []
        self._queue[request] = None
        self._queue.move_to_end(request, last=False)

    def _let_go(self, request: Request) -> None:
        """Take a request that is answered, cancelled or too late out of the queue."""
        self._queue.pop(request, None)
        if not request.judging:
            self._give_back(request)
        self._close_old()

    def _give_back(self, request: Request) -> None:
        """Give back a request's bytes, once."""
        self._bytes -= request.size
        request.size = 0

    def _close_old(self) -> None:
        """Let go of old versions which no request that was begun needs."""
        if not self._old:
            return
        needed = {request.served for request in self._queue}
        for old in self._old:
            if old not in needed:
                self._thread.submit(old.judge.close)  # after what the thread is at
        self._old = [old for old in self._old if old in needed]

    def _stop_lingering(self) -> None:
        if self._lingering:
            self._lingering.cancel()
            self._lingering = None

    def _look_for_late(self) -> None:
        """Answer those whose time is over."""
        self._look = None
        latest = self._loop.time() - self.limits.seconds
        requests = [*self._queue, *(piece.request for piece in self._running)]
        for request in requests:
            if request.came <= latest and not request.answer.done():
                request.answer.set_exception(late(self.limits.seconds))
        if requests:
            self._look = self._loop.call_later(self.limits.seconds / _LOOKS, self._look_for_late)


def overloaded() -> RequestError:
    """Return what is answered where too much waits already."""
    return RequestError("too much is waiting already: ask again later", 503, {"Retry-After": "1"})


def late(seconds: float) -> RequestError:
    """Return what is answered where the time for an answer is over."""
    return RequestError(
        f"not judged within {seconds:g} s: the server has too much to do; ask again later, or with "
        "fewer rows",
        504,
    )


def _has_kinds(signature: Signature) -> bool:
    """Whether samples of different shapes can be asked for."""
    return any(size is None for tensor in signature.inputs for size in tensor.sample)
