"""The body of a request, read within bounds: of its size, of its time, and of all bodies together.

Owns these bounds, also of what a compressed body unpacks to. Leaves what the bytes mean to
`protocol` and `people`, and what is done beside the event loop to `app`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from types import TracebackType
from typing import Any

from holdfast.serving.batching import overloaded
from holdfast.serving.refusal import RequestError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
# Returns what a work on so many bytes comes to.
Done = Callable[[int, Callable[[], bytes | None]], Awaitable[bytes | None]]

# So many bytes take so long that it is done beside the event loop.
LARGE = 256 << 10

# zlib finds out itself whether it is gzip or deflate with its header.
_AUTOMATIC = 32 + zlib.MAX_WBITS
_ENCODINGS = {"gzip": _AUTOMATIC, "x-gzip": _AUTOMATIC, "deflate": _AUTOMATIC}


class GoneError(Exception):
    """The client went away before its request was read."""


class Room:
    """The memory that all bodies have together.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self) -> Share:
        """Return a share, which grows with the body and ends with the request."""
        return Share(self)


class Share:
    """One request's part of the room."""

    __slots__ = ("_held", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0

    def grow(self, size: int) -> None:
        """Make the share at least so large.

        Raises:
            RequestError: 503, others have taken what is left.
        """
        more = size - self._held
        if more > 0:
            if self._room.held and self._room.held + more > self._room.most:
                raise overloaded()
            self._room.held += more
            self._held = size

    def stretch(self, size: int) -> None:
        """Make the share so large, room or no room: what has been judged is answered."""
        more = max(size - self._held, 0)
        self._room.held += more
        self._held += more

    def __enter__(self) -> Share:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._room.held -= self._held


async def read(
    headers: Mapping[bytes, bytes],
    receive: Receive,
    most: int,
    seconds: float,
    share: Share,
    done: Done,
) -> bytes:
    """Return a request's body, unpacked.

    Args:
        headers: of the request, by their names in small letters.
        receive: gives the body piece by piece, as ASGI has it.
        most: bytes of it, packed and unpacked.
        seconds: in which it must be there.
        share: of the memory for bodies.
        done: unpacks what is large.

    Raises:
        RequestError: 413, it is larger; 408, it does not come; 503, there is no memory for it; 415
            or 400, it is packed in a way that is not known, or badly.
        GoneError: the client went away.
    """
    length = headers.get(b"content-length")
    if length is not None and int(length) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(seconds):
            body = await _whole(receive, most, share)
    except TimeoutError:
        raise RequestError(
            f"the request's body was not there within {seconds:g} s", 408, {"Connection": "close"}
        ) from None
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in _ENCODINGS:
        raise RequestError(f"Content-Encoding: expected gzip or deflate, found {encoding!r}", 415)
    # A body that is small may unpack to very much: how much is only known by doing it.
    unpacked = _unpacked(body, encoding, min(most, LARGE)) if len(body) < LARGE else None
    if unpacked is None:
        unpacked = await done(LARGE, partial(_unpacked, body, encoding, most))
    if unpacked is None:
        raise _too_large(most)
    share.grow(len(body) + len(unpacked))
    return unpacked


async def _whole(receive: Receive, most: int, share: Share) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message["body"]
        if len(body) > most:
            raise _too_large(most)
        share.grow(len(body))
        return body
    whole = bytearray()
    while message["type"] == "http.request":
        whole += message["body"]
        if len(whole) > most:
            raise _too_large(most)
        share.grow(len(whole))
        if not message.get("more_body"):
            return bytes(whole)
        message = await receive()
    raise GoneError


def _unpacked(body: bytes, encoding: str, most: int) -> bytes | None:
    """Return a body unpacked, or None where that is more than so many bytes."""
    unpacker = zlib.decompressobj(_ENCODINGS[encoding])
    try:
        unpacked = unpacker.decompress(body, most + 1)
    except zlib.error:
        raise RequestError(f"the body is no {encoding}, which its Content-Encoding says") from None
    if len(unpacked) > most:
        return None
    if not unpacker.eof or unpacker.unused_data:
        raise RequestError(f"the body's {encoding} is cut off, or has more behind its end")
    return unpacked


def _too_large(most: int) -> RequestError:
    return RequestError(f"the body is larger than the {most} bytes this server takes", 413)
