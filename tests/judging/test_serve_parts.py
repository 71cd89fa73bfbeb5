"""Parts of the server that are hard to reach from without: failures, and silent connections."""

import asyncio
import contextlib
import gc
import gzip
import io
import json
import logging
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from holdfast.errors import InputError
from holdfast.judge import Judge
from holdfast.judge.about import About
from holdfast.judge.signature import Signature, Tensor
from holdfast.serving import connections
from holdfast.serving.access import Access
from holdfast.serving.app import App
from holdfast.serving.batching import Limits
from holdfast.serving.served import Served

SECRET = "/home/somebody/models"


class Failing:
    """Raises what it is told to."""

    name = "none"
    signature = Signature(
        (Tensor("x", (None, 2), "float32"),), (Tensor("y", (None, 2), "float32"),)
    )

    def __init__(self, error):
        self.error = error

    def run(self, feed):
        raise self.error

    def close(self):
        pass


def app(runtime, most_body=1 << 20):
    judge = Judge(Path(SECRET), runtime, About(name="model"))
    return App(Served(judge, "1"), Access(None, "127.0.0.1"), Limits(), most_body)


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError(f"{SECRET}: index out of range"), 400), (OSError(5, "failed", SECRET), 500)],
)
def test_what_fails_is_in_the_log_and_the_answer_tells_nothing_of_the_machine(
    error, status, caplog
):
    async def ask():
        served = app(Failing(error))
        sent, _ = await posted(served, json.dumps({"inputs": [[1, 2]]}).encode())
        await served.close()
        return sent

    with caplog.at_level(logging.ERROR, "holdfast.serving"):
        start, answer = asyncio.run(ask())
    assert start["status"] == status
    said = json.loads(answer["body"])["error"]
    assert SECRET not in said
    number = said.partition("(id ")[2].partition(")")[0]
    assert number
    assert number in caplog.text
    assert SECRET in caplog.text


class Wide:
    """Gives four MiB for each row."""

    name = "none"
    signature = Signature(
        (Tensor("x", (None, 4, 4), "float32"),), (Tensor("y", (None, 1 << 20), "float32"),)
    )

    def run(self, feed):
        return {"y": np.zeros((len(feed["x"]), 1 << 20), "float32")}

    def close(self):
        pass


@asynccontextmanager
async def listening(runtime, monkeypatch):
    """An application of a model, its server and its port, in this loop."""
    monkeypatch.setattr(connections, "SILENT", 0.1)
    application = app(runtime)
    config = uvicorn.Config(
        application, http=connections.Connection, lifespan="off", port=0, log_config=None
    )
    server = connections.Server(config, application)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    closing = asyncio.create_task(connections.close_silent(server))
    try:
        yield server, server.servers[0].sockets[0].getsockname()[1]
    finally:
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        server.should_exit = True
        await running
        await application.close()


def test_connections_on_which_nothing_comes_are_closed(monkeypatch):
    async def hold():
        async with listening(Failing(ValueError()), monkeypatch) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /v2 HT")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()

    asyncio.run(hold())


def test_answers_that_are_not_taken_are_let_go(monkeypatch):
    body = b"[" + b",".join([b"[" + b"0," * 15 + b"0]"] * 8) + b"]"
    ask = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-npy\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )

    async def hold():
        async with listening(Wide(), monkeypatch) as (server, port):
            with socket.socket() as silent:
                silent.setblocking(False)
                silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(silent, ("127.0.0.1", port))
                await loop.sock_sendall(silent, ask)
                async with asyncio.timeout(20):
                    while not any(one.unsent for one in server.server_state.connections):
                        await asyncio.sleep(0.01)
                    unsent = max(one.unsent for one in server.server_state.connections)
                    assert unsent < 8 << 20  # of 32 MiB: what is not taken is not handed on
                    while server.server_state.connections:
                        await asyncio.sleep(0.01)

    asyncio.run(hold())


def test_too_many_connections_are_told_to_come_again(monkeypatch):
    monkeypatch.setattr(connections, "MOST", 2)

    async def hold():
        async with listening(Wide(), monkeypatch) as (_, port):
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            reader, writer = opened[-1]
            writer.write(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = (await asyncio.wait_for(reader.read(), 10)).decode()
            assert answer.startswith("HTTP/1.1 503")
            assert "retry-after: 1" in answer
            assert "connection: close" in answer
            assert answer.endswith('ask again later"}')
            for _, writer in opened:
                writer.close()

    asyncio.run(hold())


async def posted(application, body, *headers, path="/predict", method="POST"):
    """Return the answer to a body, and how often the loop went round."""
    sent, messages = [], [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return messages.pop() if messages else await asyncio.Future()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": headers}
    asked = asyncio.create_task(application(scope, receive, send))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    return sent, turns


def test_what_takes_long_to_read_does_not_hold_the_others():
    from PIL import Image

    image = io.BytesIO()
    Image.new("L", (6000, 6000)).save(image, "png")

    async def ask():
        application = app(Wide())
        headers = [(b"content-type", b"image/png"), (b"accept", b"application/x-npy")]
        sent, turns = await posted(application, image.getvalue(), *headers)
        await application.close()
        return sent, turns

    sent, turns = asyncio.run(ask())
    assert sent[0]["status"] == 200, sent
    assert turns > 100  # as many as it takes to wait: without a thread, a few


def test_what_takes_long_to_unpack_does_not_hold_the_others():
    most = 32 << 20
    bomb = gzip.compress(bytes(most + 1), 1)
    assert len(bomb) < 256 << 10

    async def ask():
        application = app(Wide(), most)
        sent, turns = await posted(application, bomb, (b"content-encoding", b"gzip"))
        await application.close()
        return sent, turns

    sent, turns = asyncio.run(ask())
    assert sent[0]["status"] == 413, sent
    assert turns > 100


def test_the_time_of_what_failed_is_not_counted_to_what_was_answered():
    async def ask():
        application = app(Failing(ValueError()))
        await posted(application, b"[[1, 2]]")
        answer, _ = await posted(application, b"", path="/v2/models/model/stats", method="GET")
        await application.close()
        return json.loads(answer[1]["body"])["model_stats"][0]["inference_stats"]

    told = asyncio.run(ask())
    assert told["fail"]["count"] == 1
    assert told["fail"]["ns"] > 0
    assert told["success"] == {"count": 0, "ns": 0}


def test_what_was_refused_is_not_kept():
    body = b"[" + b",".join([b"[]"] * 200_000) + b"]"

    async def ask():
        application = app(Wide())
        await posted(application, b"[]")
        before = sys.getallocatedblocks()
        sent, _ = await posted(application, body)
        kept = sys.getallocatedblocks() - before
        await application.close()
        return sent[0]["status"], kept

    gc.disable()
    try:
        status, kept = asyncio.run(ask())
    finally:
        gc.enable()
    assert status == 400
    assert kept < 100_000
