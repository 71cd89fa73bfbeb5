"""Requests, and the pieces of them that one batch judges.

Owns how the rows of several requests become one batch, how its outputs become theirs again, and
what happens to a batch that fails. Leaves when and with whom a request is judged to `batching`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from holdfast.judge.signature import Feed
from holdfast.serving.served import Served


class Answer(NamedTuple):
    """What was judged, and by which version of the model."""

    outputs: Feed
    served: Served


class Request:
    """A request that waits, or is judged in several pieces.

    Args:
        feed: the arrays by name.
        kind: what requests that are judged together have in common.
        came: when, by the loop's clock.
        answer: the future of it.

    Attributes:
        since: when it last began to wait.
        judging: whether a piece of it is being judged.
        taken: how many of its rows have been, or are being.
        parts: the outputs of the pieces before.
        served: the version that has judged them, or None.
        size: the bytes that it holds; 0 when it has given them back.
    """

    __slots__ = (
        "answer",
        "came",
        "feed",
        "judging",
        "kind",
        "parts",
        "rows",
        "served",
        "since",
        "size",
        "taken",
    )

    def __init__(
        self, feed: Feed, kind: object, came: float, answer: asyncio.Future[Answer]
    ) -> None:
        self.feed = feed
        self.kind = kind
        self.came = self.since = came
        self.judging = False
        self.answer = answer
        self.rows = len(next(iter(feed.values())))
        self.size = sum(array.nbytes for array in feed.values())
        self.taken = 0
        self.parts: list[Feed] = []
        self.served: Served | None = None


class Piece(NamedTuple):
    """Rows of a request: all of them, or those that are judged with one batch."""

    request: Request
    feed: Feed
    rows: int


class NotByRowsError(Exception):
    """The outputs of a batch have not a row for each of its rows."""


def next_piece(request: Request, room: int, served: Served) -> Piece:
    """Return the next rows of a request that has more than a batch takes."""
    request.served = served  # an answer is of one version alone
    start, request.taken = request.taken, min(request.taken + room, request.rows)
    feed = {name: array[start : request.taken] for name, array in request.feed.items()}
    return Piece(request, feed, request.taken - start)


def judged(served: Served, pieces: Sequence[Piece]) -> list[Feed | Exception]:
    """Return what each piece of a batch came to: its outputs, or what was wrong with it.

    A batch that fails is judged piece by piece, since one of them may be all that is wrong.
    """
    if len(pieces) == 1:
        return [_alone(served, pieces[0])]
    feeds = [piece.feed for piece in pieces]
    try:
        whole = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
        outputs = served.judge.outputs(whole)
    except Exception:
        return [_alone(served, piece) for piece in pieces]
    rows = sum(piece.rows for piece in pieces)
    if any(array.shape[:1] != (rows,) for array in outputs.values()):
        return [NotByRowsError() for _ in pieces]
    parts: list[Feed | Exception] = []
    start = 0
    for piece in pieces:
        end = start + piece.rows
        parts.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return parts


def _alone(served: Served, piece: Piece) -> Feed | Exception:
    """Return the outputs of a piece that is judged by itself, or what was wrong with it."""
    try:
        outputs = served.judge.outputs(piece.feed)
    except StopIteration as error:  # which no future takes
        return RuntimeError(f"the model raised {error!r}")
    except Exception as error:
        return error
    whole = piece.rows == piece.request.rows
    if not whole and any(array.shape[:1] != (piece.rows,) for array in outputs.values()):
        return NotByRowsError()
    return outputs


def joined(parts: Sequence[Feed]) -> Feed | Exception:
    """Return the outputs of all pieces of a request, or why they cannot be put together."""
    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except Exception as error:  # their shapes, or no memory for it
        return error
