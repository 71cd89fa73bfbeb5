"""Requests judged together: a queue with bounds, and batches that form by themselves.

Owns which rows are judged together, when, and in which thread. A request that comes while nothing
is judged goes at once; what comes meanwhile goes together next. Where the model is so fast that
handing over to a thread would cost more than judging, it judges in the event loop's own thread.
Leaves reading requests to `protocol` and `people`, and the model to `served`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from holdfast.judge.signature import Feed, Signature
from holdfast.serving.refusal import RequestError
from holdfast.serving.served import Served, any_batch

# How often requests that have waited too long are looked for, in parts of their time.
_LOOKS = 20
# How long those who have just been answered are waited for, before a batch without them begins: a
# part of the time that the last batch took, and never more than so many seconds.
_LINGER_PART = 0.1
_LINGER = 0.003


OnBatch = Callable[[int, float, float], None]


class Answer(NamedTuple):
    """What was judged, and by which version of the model."""

    outputs: Feed
    served: Served


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


class _Request:
    """A request that waits, or is judged in several pieces."""

    __slots__ = ("answer", "came", "feed", "kind", "parts", "rows", "served", "size", "taken")

    def __init__(
        self, feed: Feed, kind: object, came: float, answer: asyncio.Future[Answer]
    ) -> None:
        self.feed = feed
        self.kind = kind
        self.came = came
        self.answer = answer
        self.rows = len(next(iter(feed.values())))
        self.size = sum(array.nbytes for array in feed.values())
        self.taken = 0
        self.parts: list[Feed] = []
        self.served: Served | None = None


class _Piece(NamedTuple):
    request: _Request
    feed: Feed
    rows: int


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
        self._queue: deque[_Request] = deque()
        self._running: Sequence[_Piece] = ()
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
        request = _Request(feed, kind, self._loop.time(), self._loop.create_future())
        if len(self._queue) >= self.limits.waiting or (
            self._bytes + request.size > self.limits.bytes and self._bytes
        ):
            raise overloaded()
        self._bytes += request.size
        self._queue.append(request)
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
        """Judge with another version from the next batch on, and let go of the old one."""
        old, self.served = self.served, served
        self._thread.submit(old.judge.close)  # once the thread has judged what it has begun

    async def close(self) -> None:
        """Wait for what is being judged, and let go of the thread."""
        if self._look:
            self._look.cancel()
        await self._loop.run_in_executor(None, self._thread.shutdown)

    def _go(self) -> None:
        """Judge the next batch."""
        self._lingering = None
        pieces = self._take()
        if not pieces:
            self._going = False
            return
        served, rows = self.served, sum(piece.rows for piece in pieces)
        self._last = len(pieces)
        began = self._loop.time()
        waited = sum(began - piece.request.came for piece in pieces)
        self._running = pieces
        if rows <= served.at_once:
            outcomes = judged(served, pieces)
            self._on_batch(rows, waited, self._loop.time() - began)
            self._answer(pieces, served, outcomes)
            self._loop.call_soon(self._go)
            return
        job = self._loop.run_in_executor(self._thread, judged, served, pieces)

        def done(job: asyncio.Future[list[Feed | Exception]]) -> None:
            took = self._loop.time() - began
            self._on_batch(rows, waited, took)
            self._answer(pieces, served, job.result())
            self._next(took)

        job.add_done_callback(done)

    def _next(self, took: float) -> None:
        """Go on after a batch of the thread; those it answered may ask again in a moment."""
        if len(self._queue) >= self._last or self._last < 2:
            self._loop.call_soon(self._go)
        else:
            self._lingering = self._loop.call_later(min(took * _LINGER_PART, _LINGER), self._go)

    def _take(self) -> list[_Piece]:
        """Take the rows of the next batch from the queue."""
        pieces: list[_Piece] = []
        others: list[_Request] = []
        room, kind, queue = self.limits.batch, None, self._queue
        while queue and room > 0:
            request = queue.popleft()
            if request.answer.done():  # cancelled, too late or refused by the model
                self._bytes -= request.size
                continue
            if pieces and (self._alone or request.kind != kind):
                others.append(request)
                if self._alone:
                    break
                continue
            kind = request.kind
            if self._alone or (not request.taken and request.rows <= room):
                pieces.append(_Piece(request, request.feed, request.rows))
                room -= request.rows
            elif request.rows <= self.limits.batch:  # it goes whole, as the first of the next
                others.append(request)
                break
            else:
                pieces.append(self._piece(request, room))
                room = 0
                if request.taken < request.rows:
                    queue.append(request)  # others get their turn between its pieces
        queue.extendleft(reversed(others))
        return pieces

    def _piece(self, request: _Request, room: int) -> _Piece:
        """Return the next rows of a request that has more than a batch takes."""
        if request.served is not self.served:  # an answer is of one version alone
            request.served, request.taken, request.parts = self.served, 0, []
        start, request.taken = request.taken, min(request.taken + room, request.rows)
        feed = {name: array[start : request.taken] for name, array in request.feed.items()}
        return _Piece(request, feed, request.taken - start)

    def _answer(
        self, pieces: Sequence[_Piece], served: Served, outcomes: Sequence[Feed | Exception]
    ) -> None:
        self._running = ()
        for (request, _, rows), result in zip(pieces, outcomes, strict=True):
            outcome = result
            if isinstance(result, dict) and rows < request.rows:
                request.parts.append(result)
                if request.taken < request.rows:
                    continue
                outcome = _joined(request.parts)
            if isinstance(outcome, _NotByRowsError):
                self._again(request)
                continue
            if not 0 < request.taken < request.rows:
                self._bytes -= request.size  # else it is in the queue, and will be taken from there
            if request.answer.done():
                continue
            if isinstance(outcome, Exception):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(Answer(outcome, served))

    def _again(self, request: _Request) -> None:
        """Judge a request once more, and from now on each by itself: outputs are not one a row."""
        self._alone = True
        request.taken, request.parts = 0, []
        if request not in self._queue:
            self._queue.appendleft(request)

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


class _NotByRowsError(Exception):
    """The outputs of a batch have not a row for each of its rows."""


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


def judged(served: Served, pieces: Sequence[_Piece]) -> list[Feed | Exception]:
    """Return what each piece of a batch came to: its outputs, or what was wrong with it.

    A batch that fails is judged piece by piece, since one of them may be all that is wrong.
    """
    if len(pieces) == 1:
        return [_alone(served, pieces[0])]
    feeds = [piece.feed for piece in pieces]
    try:
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        outputs = served.judge.outputs(joined)
    except Exception:
        return [_alone(served, piece) for piece in pieces]
    rows = sum(piece.rows for piece in pieces)
    if any(array.shape[:1] != (rows,) for array in outputs.values()):
        return [_NotByRowsError() for _ in pieces]
    parts: list[Feed | Exception] = []
    start = 0
    for piece in pieces:
        end = start + piece.rows
        parts.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return parts


def _alone(served: Served, piece: _Piece) -> Feed | Exception:
    try:
        outputs = served.judge.outputs(piece.feed)
    except Exception as error:
        return error
    whole = piece.rows == piece.request.rows
    if not whole and any(array.shape[:1] != (piece.rows,) for array in outputs.values()):
        return _NotByRowsError()
    return outputs


def _joined(parts: Sequence[Feed]) -> Feed:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _has_kinds(signature: Signature) -> bool:
    """Whether samples of different shapes can be asked for."""
    return any(size is None for tensor in signature.inputs for size in tensor.sample)
