"""Connections, as uvicorn has them, with the bounds that it lacks, and an end that loses nothing.

Owns what is done to connections that send no request, or a head without an end. Imports uvicorn
and httptools: import this module where it is used. Leaves requests to `app`.
"""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast.serving.app import App

# What is on its way when the server is told to end is still taken, so long.
_LAST_CALL = 0.3
# A connection on which no request comes is closed after so long, or twice that.
SILENT = 10.0
# A request's first line and headers.
_MOST_HEAD = 64 << 10


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
    """A connection whose requests have heads of a bounded size."""

    _in_head = False
    _head = 0

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is still the same head after too much of it."""
        if self._in_head:
            self._head += len(data)
            if self._head > _MOST_HEAD:
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is whole."""
        self._in_head = False
        super().on_headers_complete()


async def close_silent(server: uvicorn.Server) -> None:
    """Close connections that have no request under way at two looks one after the other."""
    before: dict[object, object] = {}
    while True:
        await asyncio.sleep(SILENT)
        silent: dict[object, object] = {}
        for connection in list(server.server_state.connections):
            if not isinstance(connection, Connection):
                continue
            cycle = connection.cycle
            if cycle is None or cycle.response_complete:
                silent[connection] = cycle
                if connection in before and before[connection] is cycle:
                    connection.transport.close()
        before = silent
