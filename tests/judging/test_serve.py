"""`holdfast serve`: what is answered, what is refused, and how it ends."""

import gzip
import json
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from server_process import (
    CLASSES,
    binary_answer,
    images,
    infer_request,
    serving,
    small_model,
)

from holdfast.cli.main import main

INFER = "/v2/models/shapes/infer"
TOKEN = "sesame-4711"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a small model, and a function that computes the same."""
    path = tmp_path_factory.mktemp("model") / "shapes.onnx"
    return path, small_model(path)


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    """A server as it is by default."""
    with serving(model[0], tmp_path_factory.mktemp("log") / "log") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def strict(model, tmp_path_factory):
    """A server with a token, little patience, a queue of one, and a batch for every row."""
    log = tmp_path_factory.mktemp("strict") / "log"
    options = ("--queue", "1", "--timeout", "0.5", "--most-batch", "1", "--name", "other")
    with serving(model[0], log, *options, token=TOKEN) as server:
        yield server


def test_requests_of_many_at_once_are_each_answered_with_their_own_rows(server, model):
    def one(number):
        batch = images(1 + number % 5, number)
        body, headers = infer_request(batch)
        status, headers, answer = server.ask("POST", INFER, body, headers)
        assert status == 200
        np.testing.assert_allclose(binary_answer(headers, answer), model[1](batch), atol=1e-6)
        return headers["Holdfast-Version"]

    with ThreadPoolExecutor(32) as pool:
        versions = set(pool.map(one, range(300)))
    assert len(versions) == 1
    text = server.ask("GET", "/metrics")[2].decode()
    assert 'holdfast_requests_total{path="/v2/models/{model}/infer",status="200"} 300.0' in text
    assert f'version="{versions.pop()}"' in text


def test_predict_names_the_class(server, model):
    (row,) = images(1)
    answer = server.json("/predict", {"inputs": row.tolist()})
    expected = model[1](row[None])[0]
    (found,) = answer["predictions"]
    assert found["class"] == CLASSES[expected.argmax()]
    assert found["probability"] == pytest.approx(expected.max(), abs=1e-6)


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_bodies_may_be_compressed(server, model, kind):
    batch = images(3)
    body, headers = infer_request(batch)
    packed = gzip.compress(body) if kind == "gzip" else zlib.compress(body)
    headers = {**headers, "Content-Encoding": kind}
    status, headers, answer = server.ask("POST", INFER, packed, headers)
    assert status == 200
    np.testing.assert_allclose(binary_answer(headers, answer), model[1](batch), atol=1e-6)


def test_what_is_wrong_is_said_in_json(server):
    body, headers = infer_request(images(1))
    bomb = gzip.compress(bytes(64 << 20))
    cases = [
        ("POST", INFER, b"{", {}, 400, "JSON"),
        ("POST", INFER, body, {}, 400, "JSON"),
        ("POST", INFER, body[:-4], headers, 400, "256"),
        ("POST", INFER, body, {**headers, "Content-Encoding": "gzip"}, 400, "gzip"),
        ("POST", INFER, body, {**headers, "Content-Encoding": "zstd"}, 415, "zstd"),
        ("POST", INFER, gzip.compress(body)[:-9], {"Content-Encoding": "gzip"}, 400, "cut off"),
        ("POST", INFER, bomb, {"Content-Encoding": "gzip"}, 413, "larger"),
        ("POST", "/predict", b"[[1, 2]]", {}, 400, "8, 8, 1"),
        ("POST", "/predict", b"x", {"Content-Type": "video/mp4"}, 415, "video/mp4"),
        ("POST", "/v2/models/shape/infer", body, headers, 404, "did you mean 'shapes'"),
        ("POST", "/v2/models/shapes/versions/7/infer", body, headers, 404, "'7'"),
        ("GET", "/nowhere", None, {}, 404, "no such path"),
        ("GET", "/v2/systemsharedmemory/status", None, {}, 404, "shares no memory"),
        ("GET", "/predict", None, {}, 405, "POST"),
        ("DELETE", "/v2", None, {}, 405, "GET"),
        ("GET", "/v2", None, {"Host": "example.org"}, 403, "localhost"),
    ]
    for method, path, sent, given, expected, words in cases:
        status, answered, answer = server.ask(method, path, sent, given)
        assert status == expected, (path, answer)
        assert answered["Content-Type"] == "application/json"
        assert answered["X-Content-Type-Options"] == "nosniff"
        assert words in json.loads(answer)["error"]
    assert server.ask("GET", "/predict")[1]["Allow"] == "POST"


def test_other_pages_of_a_browser_are_not_let_in(server):
    headers = {"Origin": "http://example.org", "Access-Control-Request-Method": "POST"}
    status, answered, _ = server.ask("OPTIONS", "/predict", headers=headers)
    assert (status, answered["Allow"]) == (405, "POST")
    assert server.ask("OPTIONS", "/v2")[1]["Allow"] == "GET, HEAD"
    assert not [name for name in answered if name.lower().startswith("access-control")]


def test_requests_that_can_be_read_in_two_ways_are_refused(server):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
    for lengths in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: xchunked",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: 99999999999999999999999",
    ):
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(head + lengths + b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
            answer = b""
            while piece := connection.recv(1000):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1


def test_the_offer_of_another_protocol_is_passed_over(server):
    body = json.dumps(images(2).tolist()).encode()
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAE"}
    status, _, answer = server.ask("POST", "/predict", body, offer)
    assert status == 200, answer
    assert len(json.loads(answer)["predictions"]) == 2


def test_one_connection_may_ask_again_before_it_is_answered(server):
    ask = b"GET /v2/health/live HTTP/1.%d\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(ask % 1 + ask % 1 + ask % 0)
        answer = b""
        while piece := connection.recv(1000):  # HTTP/1.0 ends it
            answer += piece
    assert answer.count(b'{"live": true}') == 3


def test_a_body_that_is_too_large_is_refused_before_it_comes(server):
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    pieces = (bytes(1 << 20) for _ in range(17))  # its length is not told
    assert server.ask("POST", "/predict", pieces)[0] == 413


def test_a_head_without_an_end_is_not_kept(server):
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Endless: ")
        with pytest.raises(ConnectionError):  # closed by the server
            connection.sendall(b"x" * (64 << 20))


def test_what_the_page_is_made_of_is_there(server):
    status, headers, _ = server.ask("GET", "/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert server.ask("GET", "/", headers={"If-None-Match": headers["ETag"]})[0] == 304
    assert server.ask("HEAD", "/")[0] == 200
    facts = server.json("/page.json")
    assert facts["name"] == "shapes"
    assert facts["classes"] == list(CLASSES)
    document = server.json("/openapi.json")
    for path, operations in document["paths"].items():
        if "get" in operations and "{" not in path:
            assert server.ask("GET", path)[0] == 200, path


def test_those_who_go_away_cost_the_others_nothing(server, model):
    body, headers = infer_request(images(20_000))
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n".encode()
    head += b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items()) + b"\r\n"
    for part in (0, len(body) // 2, len(body)):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + body[:part])
    batch = images(2)
    body, headers = infer_request(batch)
    status, headers, answer = server.ask("POST", INFER, body, headers)
    assert status == 200
    np.testing.assert_allclose(binary_answer(headers, answer), model[1](batch), atol=1e-6)


def test_the_token_is_asked_for_but_for_health_and_the_page(strict):
    for path in ("/v2/health/live", "/v2/health/ready", "/", "/docs"):
        assert strict.ask("GET", path)[0] == 200
    for path in ("/v2", "/page.json", "/openapi.json", "/metrics", "/nowhere"):
        status, headers, _ = strict.ask("GET", path)
        assert status == 401
        assert headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("Bearer sesame", f"Basic {TOKEN}", TOKEN):
        assert strict.ask("GET", "/v2", headers={"Authorization": wrong})[0] == 401
    assert strict.json("/v2", Authorization=f"Bearer {TOKEN}")["name"] == "holdfast"
    assert strict.json("/v2", Authorization=f"Bearer {TOKEN}", Host="example.org")


def test_a_body_that_does_not_come_is_given_up(strict):
    with socket.create_connection(("127.0.0.1", strict.port), 20) as connection:
        connection.sendall(
            f"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Length: 100\r\n\r\n[[1,".encode()
        )
        answer = b""
        while piece := connection.recv(1000):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_full_queue_refuses_at_once_and_what_takes_too_long_is_said(strict):
    large, large_headers = infer_request(images(40_000))
    small, small_headers = infer_request(images(1))
    seen = set()

    def ask(body, headers):
        headers = {**headers, "Authorization": f"Bearer {TOKEN}"}
        status, headers, _ = strict.ask("POST", "/v2/models/other/infer", body, headers)
        seen.add(status)
        assert status != 503 or headers["Retry-After"]

    def keep_asking(until):
        while not until.is_set():
            ask(large, large_headers)

    enough = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(keep_asking, enough)
        end = time.monotonic() + 20
        while not {503, 504} <= seen and time.monotonic() < end:
            ask(small, small_headers)
        enough.set()
    assert {503, 504} <= seen <= {200, 408, 503, 504}


def test_sigterm_ends_it_once_all_is_answered(model, tmp_path):
    batches = [images(1000, number) for number in range(50)]
    with serving(model[0], tmp_path / "log") as server:
        connections = [server.connect() for _ in batches]
        for connection in connections:  # taken by the server, and open
            connection.request("GET", "/v2/health/live")
            connection.getresponse().read()
        for connection, batch in zip(connections, batches, strict=True):
            connection.request("POST", INFER, *infer_request(batch))
        assert server.stop() == 0
        # What was under way when the signal came is answered, each by its own rows.
        for connection, batch in zip(connections, batches, strict=True):
            answer = connection.getresponse()
            assert answer.status == 200
            found = binary_answer(answer.headers, answer.read())
            np.testing.assert_allclose(found, model[1](batch), atol=1e-6)
            connection.close()
        assert server.log.read_text() == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], ["HOLDFAST_TOKEN", "--open"]),
        (["--classes", "a,b"], ["2 names", "3 numbers"]),
        (["--classes", "a,,b"], ["a name for each class", "none for 1"]),
        (["--watch"], ["--watch", "no run"]),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(model, capsys, monkeypatch, options, words):
    monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(model[0]), "--port", "0", *options])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert all(word in said for word in words)
    assert "Traceback" not in said


def test_its_help_names_what_is_to_be_given(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    said = capsys.readouterr().out
    for words in ("--port PORT", "--most-batch N", "--queue N", "--timeout SECONDS"):
        assert words in " ".join(said.split())
    assert "range" not in said
    assert "where no token is set" in said
    assert "It must have a checkpoint" in said


def test_a_port_that_is_taken_is_said_in_a_line(model, server, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(model[0]), "--port", str(server.port)])
    assert ended.value.code == 1
    assert f"port {server.port}" in capsys.readouterr().err
