"""The server as a process: its socket, its connections, its beginning and its end.

Owns what uvicorn is told, and that a signal ends it well. Leaves connections to `connections`,
and answering to `app`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import holdfast.judge
from holdfast.errors import HoldfastError, MissingExtraError
from holdfast.judge.loading import check_classes
from holdfast.prediction.inputs import check_rows
from holdfast.serving.access import Access
from holdfast.serving.app import App
from holdfast.serving.batching import Limits
from holdfast.serving.served import Served, tried, version_of
from holdfast.serving.watch import Watch

# What an answer may take after its deadline, to be sent.
_SENDING = 5
_BACKLOG = 1024
# The thread that judges waits no longer than this for the one that reads requests.
_SWITCH = 0.0005
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is, and who may ask.

    Args:
        host: that it listens at.
        port: 0 for any that is free.
        token: that requests must bring, or None.
    """

    host: str
    port: int
    token: str | None


def load(path: Path, name: str | None, classes: tuple[str, ...], most_rows: int) -> Served:
    """Return a model to serve, loaded and tried.

    Args:
        path: of the file or the run.
        name: by which it is asked for; by default its own.
        classes: their names; by default those it knows.
        most_rows: of a batch.

    Raises:
        HoldfastError: there is no such model, or it is not sound.
    """
    judge = holdfast.judge.load(path)
    about = judge.about
    judge.about = replace(
        about,
        name=(name or about.name).replace("/", "-"),  # it is a part of paths
        classes=classes or about.classes,
    )
    check_classes(path, judge.about, judge.signature)
    check_rows(judge.signature)
    try:
        return tried(judge, version_of(judge), most_rows)
    except HoldfastError:
        raise
    except Exception as error:
        raise HoldfastError(f"{path}: it does not run: {error}") from error


def serve(
    served: Served,
    place: Place,
    limits: Limits,
    most_body: int,
    *,
    watch: Watch | None,
    ready: Callable[[str], None],
) -> None:
    """Serve until a signal says to end, and what was accepted is answered.

    Args:
        served: the model.
        place: where.
        limits: of what waits.
        most_body: bytes of a request.
        watch: looks for better versions of the model.
        ready: called with the address once it can be asked.

    Raises:
        OSError: the port is taken, or there is no such host.
        MissingExtraError: uvicorn is not installed.
    """
    try:
        from uvicorn.config import Config

        from holdfast.serving import connections
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve", "Serving") from error
    config = Config(
        "",  # the application belongs to the loop, and is made in it
        http=connections.Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        backlog=_BACKLOG,
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=_HEADERS,
        timeout_graceful_shutdown=int(2 * limits.seconds) + _SENDING,  # to come, to be judged
    )

    async def main() -> None:
        app = App(served, Access(place.token, place.host), limits, most_body)
        config.app = app
        server = connections.Server(config, app)
        others = [asyncio.create_task(connections.close_silent(server))]
        if watch is not None:
            others.append(asyncio.create_task(watch.follow(lambda: app.served, app.swap)))
        ready(_address(listening))
        try:
            await server.serve(sockets=[listening])
        finally:
            for task in others:
                task.cancel()
            await app.close()

    listening = _listening(place)
    sys.setswitchinterval(_SWITCH)
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with listening, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(main())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(*_: object) -> NoReturn:
    """End well: uvicorn raises a signal again once it has drained; before, nobody has asked."""
    raise SystemExit(0)


def _listening(place: Place) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # With its protocol said, asyncio sends small pieces without waiting for others.
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)  # whoever asks from now on is answered once all is ready
    except OSError as error:
        where = f"port {place.port} of {place.host}"
        raise HoldfastError(f"{where} cannot be had: {error.strerror}; say another") from None
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
