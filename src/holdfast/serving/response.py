"""An answer, and how it is sent.

Owns its headers, and that it goes in pieces. Leaves what is answered to `app`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from holdfast.serving.refusal import RequestError

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = "application/json"
# Pieces that the client does not take are not handed on.
_PIECE = 256 << 10


class Response(NamedTuple):
    """An answer."""

    body: bytes
    kind: str = JSON
    status: int = 200
    headers: Mapping[str, str] = {}


def refused(error: RequestError) -> Response:
    """Return the answer to a request that cannot be done."""
    return Response(error.body(), JSON, error.status, error.headers)


async def send(response: Response, send: Send, *, last: bool) -> None:
    """Send an answer.

    Args:
        response: it.
        send: as ASGI has it.
        last: whether the connection is to end.
    """
    headers = []
    if response.status != 304:  # these would be those of the body that is not sent
        headers = [
            (b"content-type", response.kind.encode()),
            (b"content-length", b"%d" % len(response.body)),
        ]
    for name, value in response.headers.items():
        headers.append((name.lower().encode(), value.encode()))
    if last and "Connection" not in response.headers:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    body = response.body
    for end in range(_PIECE, len(body), _PIECE):
        piece = body[end - _PIECE : end]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": body[(len(body) - 1) // _PIECE * _PIECE :]})
