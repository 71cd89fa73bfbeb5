"""How fast `holdfast serve` answers, against a bare endpoint around onnxruntime.

    python bench/serve.py [--rounds N] [--seconds S] [--connections N] [--json FILE]

Contenders, each in a process of its own, with uvicorn and httptools, on the same requests:
    bare        an ASGI function: reads the body, runs onnxruntime on it, writes the answer; no
                batching, no checks, no bounds
    holdfast    `holdfast serve` as it is by default

Requests are of one row each, as the Open Inference Protocol has them, with binary tensors or JSON.
They come from a client in a third process, over so many connections, each of which asks again once
it is answered. Within a round every contender runs once; each figure is the median over rounds.
Every answer of the client's first request is compared with onnxruntime's own.

Models:
    mlp         784-64-10: judging is next to nothing, what counts is all around it
    wide        784-4096-4096-10: a batch costs less than its rows one by one
    lstm        28 steps of 28 numbers, 256 units
    slow        the same with 512 units, for bench/load.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

HOLDFAST = Path(sys.executable).with_name("holdfast")
MODELS = {"mlp": (784,), "wide": (784,), "lstm": (28, 28), "slow": (28, 28)}
FORMS = ("binary", "json")
CONTENDERS = ("bare", "holdfast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only", nargs="*", choices=sorted(MODELS), default=list(MODELS)[:3])
    parser.add_argument("--forms", nargs="*", choices=FORMS, default=list(FORMS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bare", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("--client", nargs=2, metavar=("PORT", "REQUEST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.bare)
    elif options.client:
        port, request = options.client
        print(json.dumps(ask(int(port), Path(request).read_bytes(), options)))
    else:
        with tempfile.TemporaryDirectory() as directory:
            results = race(Path(directory), options)
        report(results, options)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))


def race(directory: Path, options: argparse.Namespace) -> dict[str, dict[str, list[dict]]]:
    results: dict[str, dict[str, list[dict]]] = {}
    for model in options.only:
        path = directory / f"{model}.onnx"
        build(model, path)
        for number in range(options.rounds):
            for contender in CONTENDERS:
                print(f"\r{model}: round {number + 1}, {contender:10}", end="", file=sys.stderr)
                process, port = start(contender, path)
                try:
                    for form in options.forms:
                        request = directory / f"{model}.{form}"
                        request.write_bytes(requested(model, form))
                        check(port, request.read_bytes(), path, model, form)
                        one = measured(port, request, options) | {"memory": memory(process.pid)}
                        kinds = results.setdefault(f"{model} {form}", {})
                        kinds.setdefault(contender, []).append(one)
                finally:
                    process.terminate()
                    process.wait(30)
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return results


def start(contender: str, path: Path) -> tuple[subprocess.Popen, int]:
    """Start a contender and return it with its port."""
    command = (
        [sys.executable, __file__, "--bare", str(path)]
        if contender == "bare"
        else [str(HOLDFAST), "serve", str(path), "--name", "model", "--port", "0"]
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = re.search(r":(\d+)$", process.stdout.readline().strip())
    if not found:
        raise SystemExit(f"{contender} did not start")
    return process, int(found[1])


def measured(port: int, request: Path, options: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--client", str(port), str(request)]
    command += ["--seconds", str(options.seconds), "--connections", str(options.connections)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def ask(port: int, request: bytes, options: argparse.Namespace) -> dict:
    """Send a request again and again over many connections; the first part is not counted."""
    selector = selectors.DefaultSelector()
    for _ in range(options.connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        selector.register(connection, selectors.EVENT_READ, [time.perf_counter(), b""])
    begin = time.perf_counter() + options.seconds / 4
    end = begin + options.seconds
    latencies: list[float] = []
    while (now := time.perf_counter()) < end:
        for key, _ in selector.select(1):
            state = key.data
            state[1] += key.fileobj.recv(1 << 20)
            if not whole(state[1]):
                continue
            if not state[1].startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"refused: {state[1][:200]!r}")
            now = time.perf_counter()
            if state[0] >= begin:
                latencies.append(now - state[0])
            state[:] = [now, b""]
            key.fileobj.sendall(request)
    latencies.sort()
    return {
        "per_second": len(latencies) / options.seconds,
        "median": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
    }


def whole(answer: bytes) -> bool:
    """Return whether an answer is there to its end."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    at = head.lower().index(b"content-length:") + 15
    return len(body) >= int(head[at:].split(b"\r\n", 1)[0])


def sample(model: str) -> np.ndarray:
    return np.random.default_rng(0).random((1, *MODELS[model]), dtype="float32")


def requested(model: str, form: str) -> bytes:
    """Return a request of one row, with its head."""
    row = sample(model)
    part = {"name": "x", "datatype": "FP32", "shape": list(row.shape)}
    lines = ["POST /v2/models/model/infer HTTP/1.1", "Host: localhost"]
    if form == "binary":
        part["parameters"] = {"binary_data_size": row.nbytes}
        head = json.dumps({"inputs": [part], "parameters": {"binary_data_output": True}}).encode()
        body = head + row.tobytes()
        lines += [f"Inference-Header-Content-Length: {len(head)}"]
        lines += ["Content-Type: application/octet-stream"]
    else:
        part["data"] = row.ravel().tolist()
        body = json.dumps({"inputs": [part]}).encode()
        lines += ["Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def check(port: int, request: bytes, path: Path, model: str, form: str) -> None:
    """Compare an answer with onnxruntime's own."""
    import onnxruntime

    expected = onnxruntime.InferenceSession(str(path)).run(None, {"x": sample(model)})[0]
    answer = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        while not whole(answer):
            answer += connection.recv(1 << 16)
    body = answer.partition(b"\r\n\r\n")[2]
    if form == "binary":
        found = np.frombuffer(body[-expected.nbytes :], "float32")
    else:
        found = np.array(json.loads(body)["outputs"][0]["data"])
    np.testing.assert_allclose(found.ravel(), expected.ravel(), atol=1e-5)


def bare(path: str) -> None:
    """Serve a model by an ASGI function around onnxruntime."""
    import onnxruntime
    import uvicorn

    session = onnxruntime.InferenceSession(path)

    async def app(scope: dict, receive: object, send: object) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        length = dict(scope["headers"]).get(b"inference-header-content-length")
        if length is None:
            part = json.loads(body)["inputs"][0]
            rows = np.array(part["data"], "float32").reshape(part["shape"])
        else:
            part = json.loads(body[: int(length)])["inputs"][0]
            rows = np.frombuffer(body, "float32", offset=int(length)).reshape(part["shape"])
        (found,) = session.run(None, {part["name"]: rows})
        output = {"name": "y", "datatype": "FP32", "shape": found.shape}
        answer = {"model_name": "model", "outputs": [output]}
        headers = []
        if length is None:
            output["data"] = found.ravel().tolist()
            body = json.dumps(answer).encode()
        else:
            output["parameters"] = {"binary_data_size": found.nbytes}
            head = json.dumps(answer).encode()
            headers.append((b"inference-header-content-length", b"%d" % len(head)))
            body = head + found.tobytes()
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", log_level="error", access_log=False
        )
        uvicorn.Server(config).run([listening])


def build(model: str, path: Path) -> None:
    """Write a model of random weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    weights, nodes = [], []

    def weight(*shape: int) -> str:
        name = f"w{len(weights)}"
        values = random.normal(0, 1 / np.sqrt(shape[-1]), shape).astype("float32")
        weights.append(numpy_helper.from_array(values, name))
        return name

    def dense(into: str, sizes: list[int]) -> None:
        for number, (before, after) in enumerate(itertools.pairwise(sizes)):
            last = number == len(sizes) - 2
            given = [into, weight(before, after), weight(after)]
            out = f"h{number}"
            nodes.append(helper.make_node("Gemm", given, [out]))
            into = "y" if last else f"a{number}"
            nodes.append(helper.make_node("Softmax" if last else "Relu", [out], [into]))

    if model in ("lstm", "slow"):
        units = 256 if model == "lstm" else 512
        nodes.append(helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]))
        given = ["steps", weight(1, 4 * units, 28), weight(1, 4 * units, units)]
        nodes.append(helper.make_node("LSTM", given, ["", "state"], hidden_size=units))
        axis = numpy_helper.from_array(np.array([0]), "axis")
        weights.append(axis)
        nodes.append(helper.make_node("Squeeze", ["state", "axis"], ["last"]))
        dense("last", [units, 10])
    else:
        dense("x", [784, 64, 10] if model == "mlp" else [784, 4096, 4096, 10])
    shape = ["batch", *MODELS[model]]
    graph = helper.make_graph(
        nodes,
        model,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)


def memory(pid: int) -> int:
    """Return how many bytes a process holds."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def report(results: dict[str, dict[str, list[dict]]], options: argparse.Namespace) -> None:
    names = ("onnxruntime", "uvicorn", "numpy")
    print(
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in names)
        + f"; {os.cpu_count()} cores, {options.connections} connections"
    )
    for kind, contenders in results.items():
        print(f"\n{kind}")
        for name, rounds in contenders.items():
            each = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            print(
                f"  {name:10} {each['per_second']:8.0f}/s   median {1000 * each['median']:7.1f} ms"
                f"   p99 {1000 * each['p99']:7.1f} ms   {each['memory'] / 2**20:5.0f} MiB"
            )
        ratios = [
            ours["per_second"] / theirs["per_second"]
            for ours, theirs in zip(contenders["holdfast"], contenders["bare"], strict=True)
        ]
        print(f"  {statistics.median(ratios):.2f} times the bare endpoint's requests")


if __name__ == "__main__":
    main()
