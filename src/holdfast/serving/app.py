"""The server's answers: what is answered to whom, as an ASGI application.

Owns statuses and headers. Leaves paths and methods to `routes`, what requests and answers say to
`protocol`, `people`, `answers`, `metadata` and `openapi`, reading bodies to `body`, judging to
`batching`, and connections to `server`. Nothing in an answer tells of this machine: what went wrong
is in the log, by an id.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, TypeVar

from holdfast.errors import InputError
from holdfast.judge.signature import Feed
from holdfast.serving import answers, metadata, metrics, openapi, page, people, protocol, routes
from holdfast.serving.access import Access
from holdfast.serving.batching import Batcher, Limits, late
from holdfast.serving.body import LARGE, GoneError, Receive, Room, read
from holdfast.serving.pieces import Answer
from holdfast.serving.refusal import RequestError
from holdfast.serving.response import JSON, Response, Send, refused
from holdfast.serving.response import send as sending
from holdfast.serving.routes import Handler, Request
from holdfast.serving.served import Served
from holdfast.types import Json

Scope = MutableMapping[str, Any]

_BYTES = "application/octet-stream"
_LENGTH = b"inference-header-content-length"
_log = logging.getLogger("holdfast.serving")

_Result = TypeVar("_Result")


class App:
    """The application. Belongs to one event loop.

    Args:
        served: the model.
        access: who may ask.
        limits: of what waits.
        most_body: bytes of a request.
    """

    def __init__(self, served: Served, access: Access, limits: Limits, most_body: int) -> None:
        self.draining = False
        self._access = access
        self._limits = limits
        self._most_body = most_body
        self._room = Room(max(limits.bytes, most_body))
        self._metrics = metrics.Metrics(lambda: self._batcher.waiting)
        self._metrics.model(served.name, served.version)
        self._batcher = Batcher(served, limits, self._metrics.batch)
        # One, so that no more than one image is unpacked at a time.
        self._beside = ThreadPoolExecutor(1, "holdfast-bodies")
        self._routes = routes.Routes(served.name, self._handlers())

    @property
    def served(self) -> Served:
        """The model that answers now."""
        return self._batcher.served

    def swap(self, served: Served) -> None:
        """Answer with another version from the next batch on."""
        self._metrics.model(served.name, served.version, swapped=True)
        self._batcher.swap(served)

    async def close(self) -> None:
        """Wait for what is being judged."""
        self._beside.shutdown(wait=False, cancel_futures=True)
        await self._batcher.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        began = time.perf_counter()
        path: str = scope["path"]
        headers = dict(scope["headers"])
        route, version = self._routes.find(path)
        with self._room.take() as share:
            try:
                self._access.check_name(headers)
                if not route.free:
                    self._access.check_token(headers)
                handler = self._routes.handler(route, scope["method"], path)
                response = await handler(Request(headers, receive, share, path, version))
            except RequestError as error:
                response = refused(error)
                # Else what was read is kept by it, until cycles are collected.
                error.__traceback__ = None
            except GoneError:
                self._metrics.answered(route.label, 499, time.perf_counter() - began)
                return
            except Exception:
                response = _broken()
            share.stretch(len(response.body))
            await sending(response, send, last=self.draining)
        self._metrics.answered(route.label, response.status, time.perf_counter() - began)

    def _handlers(self) -> dict[routes.Route, Handler]:
        return {
            routes.PREDICT: self._predict,
            routes.INFER: self._infer,
            routes.LIVE: self._live,
            routes.READY: self._ready,
            routes.SERVER: self._server,
            routes.ALL_STATS: self._stats,
            # What is the model's own comes last: it may be called `stats`.
            routes.MODEL: self._model,
            routes.MODEL_READY: self._model_ready,
            routes.CONFIG: self._config,
            routes.STATS: self._stats,
            routes.INDEX: self._index,
            routes.OPENAPI: self._openapi,
            routes.METRICS: self._metrics_text,
            routes.FACTS: self._facts,
            routes.ASSET: self._asset,
        }

    async def _infer(self, request: Request) -> Response:
        self._check_version(request)
        began = time.perf_counter()
        good = False
        try:
            body = await self._body(request)
            length = protocol.header_length(request.headers.get(_LENGTH))
            # Binary tensors take no time to read.
            asked = await self._done(
                len(body) if length is None else length,
                partial(protocol.read_infer, body, length, self.served.signature),
            )
            outputs, served = await self._judged(asked.feed, request.receive)
            if request.version is not None and request.version != served.version:
                self._check_version(request)  # it was swapped meanwhile
            about = served.judge.about
            body, length = await self._done(
                _size(outputs),
                partial(
                    protocol.write_infer, asked, outputs, served.name, served.version, about.classes
                ),
            )
            good = True
        finally:
            self._metrics.inferred(good, time.perf_counter() - began)
        headers = {"Holdfast-Version": served.version}
        if length is None:
            return Response(body, headers=headers)
        headers["Inference-Header-Content-Length"] = str(length)
        return Response(body, _BYTES, headers=headers)

    async def _predict(self, request: Request) -> Response:
        began = time.perf_counter()
        good = False
        try:
            body = await self._body(request)
            kind = request.headers.get(b"content-type", b"").decode("latin-1")
            served = self.served
            feed = await self._done(
                LARGE if people.is_slow(kind) else len(body),
                partial(people.read, kind, body, served.signature, served.judge.about),
            )
            outputs, served = await self._judged(feed, request.receive)
            accept = request.headers.get(b"accept", b"").decode("latin-1")
            kind, body = await self._done(
                _size(outputs),
                partial(answers.write, outputs, served.judge.about, served.version, accept),
            )
            good = True
        finally:
            self._metrics.inferred(good, time.perf_counter() - began)
        return Response(body, kind, headers={"Holdfast-Version": served.version})

    async def _body(self, request: Request) -> bytes:
        return await read(
            request.headers,
            request.receive,
            self._most_body,
            self._limits.seconds,
            request.share,
            self._done,
        )

    async def _done(self, size: int, work: Callable[[], _Result]) -> _Result:
        """Return what a work on so many bytes comes to; what takes long does not hold the loop."""
        if size < LARGE:
            return work()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await loop.run_in_executor(self._beside, work)
        except TimeoutError:
            raise late(self._limits.seconds) from None

    async def _judged(self, feed: Feed, receive: Receive) -> Answer:
        """Return what the model gives, unless the client goes away before."""
        answer = self._batcher.put(feed)
        if not self._batcher.is_quick(feed):
            watching = asyncio.ensure_future(_cancel_when_gone(receive, answer))
            watching.add_done_callback(_forget)
        try:
            return await answer
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise GoneError from None
        except InputError:
            # Its words are a runtime's, which may tell of this machine.
            raise RequestError(
                "the model cannot be run on these values, though their shapes and types are its "
                f"own (id {_logged('a model refused its inputs')})"
            ) from None

    def _check_version(self, request: Request) -> None:
        version = self.served.version
        if request.version not in (None, version):
            raise RequestError(
                f"there is no version {str(request.version)[:40]!r}; here is {version!r}",
                404,
            )

    async def _live(self, request: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, request: Request) -> Response:
        return _json({"ready": not self.draining}, 503 if self.draining else 200)

    async def _model_ready(self, request: Request) -> Response:
        self._check_version(request)
        ready = {"name": self.served.name, "ready": not self.draining}
        return _json(ready, 503 if self.draining else 200)

    async def _server(self, request: Request) -> Response:
        return _json(metadata.server())

    async def _model(self, request: Request) -> Response:
        self._check_version(request)
        served = self.served
        return _json(metadata.model(served.signature, served.name, served.version))

    async def _config(self, request: Request) -> Response:
        self._check_version(request)
        served = self.served
        return _json(
            metadata.config(served.signature, served.name, served.version, self._limits.batch)
        )

    async def _stats(self, request: Request) -> Response:
        self._check_version(request)
        served = self.served
        return _json(metadata.statistics(served.name, served.version, self._metrics.counts()))

    async def _index(self, request: Request) -> Response:
        return _json(metadata.index(self.served.name, self.served.version))

    async def _openapi(self, request: Request) -> Response:
        served = self.served
        document = openapi.document(
            served.signature,
            served.judge.about,
            served.name,
            secured=self._access.secured,
            most_body=self._most_body,
        )
        return _json(document)

    async def _facts(self, request: Request) -> Response:
        served = self.served
        facts = page.facts(served.judge, served.version)
        return _json(facts, headers={"Cache-Control": "no-store"})

    async def _metrics_text(self, request: Request) -> Response:
        return Response(self._metrics.text(), metrics.CONTENT_TYPE)

    async def _asset(self, request: Request) -> Response:
        found = page.asset(request.path)
        assert found is not None  # the route was found by it
        kind, body = found
        headers = {"ETag": _tag(body), "Cache-Control": "no-cache"}
        if request.headers.get(b"if-none-match", b"").decode("latin-1") == headers["ETag"]:
            return Response(b"", kind, 304, headers)
        return Response(body, kind, headers=headers)


def _size(outputs: Feed) -> int:
    return sum(array.nbytes for array in outputs.values())


async def _cancel_when_gone(receive: Receive, answer: asyncio.Future[Answer]) -> None:
    message = await receive()
    if message["type"] == "http.disconnect":
        answer.cancel()


def _forget(watching: asyncio.Future[None]) -> None:
    """Take note of how watching ended, so that nothing is said of it."""
    if not watching.cancelled():
        watching.exception()


def _json(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(value).encode(), JSON, status, headers or {})


def _broken() -> Response:
    """Return the answer to a request that failed by a mistake of this program."""
    body = {"error": f"internal error (id {_logged('a request failed')})"}
    return _json(body, 500)


def _logged(what: str) -> str:
    """Write the error that is being handled to the log, and return the id it has there."""
    number = secrets.token_hex(4)
    _log.exception("%s (id %s)", what, number)
    return number


@cache
def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'
