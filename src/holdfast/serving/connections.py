"""Connections, as uvicorn has them, with the bounds that it lacks, and an end that loses nothing.

Owns what is done to connections that send no request, or a head without an end, that do not take
their answers, or are too many. Imports uvicorn and httptools: import this module where it is used.
Leaves requests to `app`.
"""

from __future__ import annotations

import asyncio
import re
import socket

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast.serving import response
from holdfast.serving.app import App, Scope
from holdfast.serving.batching import overloaded
from holdfast.serving.body import Receive

# What is on its way when the server is told to end is still taken, so long.
_LAST_CALL = 0.3
# A connection on which nothing moves is closed after so long, or twice that.
SILENT = 10.0
# More are answered 503, and, so many further on, not at all: files must be left to answer with.
MOST = 2048
_REFUSED = 64
_OTHER_FILES = 128
# A request's first line and headers.
_MOST_HEAD = 64 << 10
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class Server(uvicorn.Server):
    """uvicorn's server with a last call: what is on its way is taken and answered.

    Args:
        config: of uvicorn.
        app: that answers.
    """

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take what is on its way, then end as uvicorn does: answer all, and close."""
        self._app.draining = True
        await asyncio.sleep(_LAST_CALL)
        await super().shutdown(sockets)


class Connection(HttpToolsProtocol):
    """A connection whose requests have heads of a bounded size, one of a bounded number."""

    _in_head = False
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless not even a refusal can be afforded."""
        super().connection_made(transport)
        if len(self.connections) > _most() + _REFUSED:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is still the same head after too much of it."""
        if self._in_head:
            self._head += len(data)
            if self._head > _MOST_HEAD:
                self.transport.close()
                return
        elif self.cycle is None or self.cycle.response_complete:
            data = _without_upgrade(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is whole; where there are too many, refuse."""
        self._in_head = False
        if len(self.connections) > _most():
            self.app = _refuse
        super().on_headers_complete()

    @property
    def unsent(self) -> int:
        """How many bytes of answers the client has not taken."""
        return int(self.transport.get_write_buffer_size())


async def close_silent(server: uvicorn.Server) -> None:
    """Close connections on which nothing has moved between two looks, one after the other.

    That is: no request is under way, or there is an answer of which the client takes nothing.
    """
    before: dict[Connection, object] = {}
    while True:
        await asyncio.sleep(SILENT)
        silent: dict[Connection, object] = {}
        for connection in list(server.server_state.connections):
            if not isinstance(connection, Connection):
                continue
            cycle, unsent = connection.cycle, connection.unsent
            if unsent or cycle is None or cycle.response_complete:
                silent[connection] = (cycle, unsent)
                if before.get(connection) == (cycle, unsent):
                    # To close it would wait for the client to take what is left.
                    connection.transport.abort()
        before = silent


def _without_upgrade(data: bytes) -> bytes:
    """Return the beginning of a request that asks for no other protocol.

    A server may pass over that wish, but httptools then drops the body. Java's own client offers
    HTTP/2 with its first request, whatever it is.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-upgrade:", head) + end + rest if _UPGRADE.search(head) else data


def _most() -> int:
    """Return how many connections are answered: fewer than the files this process may open."""
    try:
        import resource
    except ModuleNotFoundError:  # where files have no such limit
        return MOST
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(MOST, files - _REFUSED - _OTHER_FILES), 1)


async def _refuse(scope: Scope, receive: Receive, send: response.Send) -> None:
    await response.send(response.refused(overloaded()), send, last=True)
