"""Parts of the server that are hard to reach from without: failures, and silent connections."""

import asyncio
import contextlib
import json
import logging
from pathlib import Path

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


def app(error):
    judge = Judge(Path(SECRET), Failing(error), About(name="failing"))
    return App(Served(judge, "1"), Access(None, "127.0.0.1"), Limits(), 1000)


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError(f"{SECRET}: index out of range"), 400), (OSError(5, "failed", SECRET), 500)],
)
def test_what_fails_is_in_the_log_and_the_answer_tells_nothing_of_the_machine(
    error, status, caplog
):
    sent = []

    async def ask():
        served = app(error)
        body = json.dumps({"inputs": [[1, 2]]}).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return messages.pop() if messages else await asyncio.Future()

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
        await served(scope, receive, send)
        await served.close()

    with caplog.at_level(logging.ERROR, "holdfast.serving"):
        asyncio.run(ask())
    start, answer = sent
    assert start["status"] == status
    said = json.loads(answer["body"])["error"]
    assert SECRET not in said
    number = said.partition("(id ")[2].partition(")")[0]
    assert number
    assert number in caplog.text
    assert SECRET in caplog.text


def test_connections_on_which_nothing_comes_are_closed(monkeypatch):
    monkeypatch.setattr(connections, "SILENT", 0.1)

    async def hold():
        served = app(ValueError())
        config = uvicorn.Config(
            served, http=connections.Connection, lifespan="off", port=0, log_config=None
        )
        server = connections.Server(config, served)
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        closing = asyncio.create_task(connections.close_silent(server))
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v2 HT")
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        server.should_exit = True
        await running
        await served.close()

    asyncio.run(hold())
