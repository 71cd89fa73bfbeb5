"""Twice as much as `holdfast serve` can do, for a minute, and what is not as it should be too.

    python bench/load.py [--seconds S] [--seed N] [--json FILE]

A first part measures how many requests a second a server answers. Then a second process asks it
twice as often, at a steady pace that does not wait for answers:

    good        one to four rows; what is answered must be right, or that there is too much to do
    malformed   bytes that are no request, wrong shapes, JSON cut off, bytes that are not gzip
    oversized   a length beyond the bound, or a small body that unpacks to more than it
    slow        a body that comes in pieces over two seconds, or never comes whole
    aborted     a client that goes away before it is answered, with its body sent or half of it

Reported: what was answered to each, seconds until a good request was answered, and the server's
memory. It exits with 1 where an answer was wrong, the server ended, or its memory, after a first
sixth, is not flat within 10 %.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gzip
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from serve import HOLDFAST, MODELS, build, measured, requested

KINDS = {"good": 75, "malformed": 10, "oversized": 4, "slow": 4, "aborted": 7}
QUEUE, TIMEOUT, LARGEST = 256, 5, 1 << 20
SAMPLES = 64
MODEL = "slow"
# Requests of the client that may be under way at once, and how far it may be behind, in seconds.
MOST, LATEST = 800, 0.25
# What may be answered to each kind; 503 may be answered to all.
EXPECTED = {
    "good": {"right"},
    "malformed": {"400"},
    "oversized": {"413"},
    "slow": {"right", "408"},
    "aborted": {"left"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--client", nargs=3, metavar=("PORT", "RATE", "SAMPLES"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.client:
        port, rate, samples = options.client
        client = Client(int(port), np.load(samples), options.seed)
        print(json.dumps(asyncio.run(client.run(float(rate), options.seconds))))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        result = load(Path(directory), options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    return report(result)


def load(directory: Path, options: argparse.Namespace) -> dict:
    path = directory / f"{MODEL}.onnx"
    build(MODEL, path)
    samples = answered(path, directory / "samples.npz")
    command = [str(HOLDFAST), "serve", str(path), "--name", "model", "--port", "0"]
    command += ["--queue", str(QUEUE), "--timeout", str(TIMEOUT), "--most-body", str(LARGEST)]
    log = directory / "log"
    with log.open("w") as errors:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        port = re.search(r":(\d+)$", server.stdout.readline().strip())[1]
        capacity = able(int(port), directory)
        memory: list[int] = []
        ended = threading.Event()
        watching = threading.Thread(target=watch, args=(server.pid, memory, ended))
        watching.start()
        client = [sys.executable, __file__, "--client", port, str(2 * capacity), str(samples)]
        client += ["--seconds", str(options.seconds), "--seed", str(options.seed)]
        output = subprocess.run(client, check=True, stdout=subprocess.PIPE, text=True).stdout
        ended.set()
        watching.join()
        alive = server.poll() is None
    finally:
        server.terminate()
        status = server.wait(60)
    return {
        "capacity": capacity,
        **json.loads(output.splitlines()[-1]),
        "memory": memory,
        "alive": alive,
        "exit": status,
        "log": log.read_text(),
    }


def able(port: int, directory: Path) -> float:
    """Return how many good requests a second a server answers."""
    request = directory / "request"
    request.write_bytes(requested(MODEL, "binary"))
    return measured(port, request, argparse.Namespace(seconds=3.0, connections=64))["per_second"]


def answered(path: Path, target: Path) -> Path:
    """Write rows and what onnxruntime gives for each."""
    import onnxruntime

    rows = np.random.default_rng(0).random((SAMPLES, *MODELS[MODEL]), dtype="float32")
    session = onnxruntime.InferenceSession(str(path))
    outputs = np.concatenate([session.run(None, {"x": row[None]})[0] for row in rows])
    np.savez(target, rows=rows, outputs=outputs)
    return target


def watch(pid: int, memory: list[int], ended: threading.Event) -> None:
    """Note a process's memory every half second."""
    while not ended.wait(0.5):
        try:
            pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        except OSError:
            return
        memory.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))


class Client:
    """Asks in every way.

    Args:
        port: of the server.
        samples: rows, and the right answer to each.
        seed: of what is asked when.
    """

    def __init__(self, port: int, samples: dict, seed: int) -> None:
        self.port = port
        self.rows, self.outputs = samples["rows"], samples["outputs"]
        self.random = random.Random(seed)
        self.counts: dict[str, collections.Counter] = {
            kind: collections.Counter() for kind in KINDS
        }
        self.seconds: list[float] = []
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, rate: float, seconds: float) -> dict:
        """Ask so many times a second, for so long."""
        tasks: set[asyncio.Task] = set()
        kinds, weights = list(KINDS), list(KINDS.values())
        begun = time.perf_counter()
        asked, due = 0, 0.0
        while (now := time.perf_counter() - begun) < seconds:
            # A client that was held up does not make up for it all at once.
            due = max(due, rate * (now - LATEST))
            while due < rate * now and len(tasks) < MOST:
                due += 1
                (kind,) = self.random.choices(kinds, weights)
                task = asyncio.create_task(self.one(kind))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                asked += 1
            await asyncio.sleep(0.005)
        late = time.perf_counter() - begun
        if tasks:
            await asyncio.wait(tasks, timeout=60)
        self.seconds.sort()
        return {
            "asked": asked,
            "per_second": asked / late,
            "unanswered": len(tasks),
            "answers": {kind: dict(found) for kind, found in self.counts.items()},
            "median": statistics.median(self.seconds or [0]),
            "p99": self.seconds[len(self.seconds) * 99 // 100] if self.seconds else 0,
        }

    async def one(self, kind: str) -> None:
        try:
            found = await getattr(self, kind)()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            found = type(error).__name__
        self.counts[kind][found] += 1

    async def good(self) -> str:
        chosen = [self.random.randrange(SAMPLES) for _ in range(self.random.randint(1, 4))]
        head, body = self.request(chosen)
        began = time.perf_counter()
        found = await self.asked(head + body, chosen, fresh=False)
        if found == "right":
            self.seconds.append(time.perf_counter() - began)
        return found

    async def malformed(self) -> str:
        head, body = self.request([0])
        kind = self.random.randrange(4)
        if kind == 0:
            body = self.random.randbytes(200)
            head = self.head(len(body), "Content-Type: application/json")
        elif kind == 1:
            body = body.replace(b"28, 28", b"28, 27")
        elif kind == 2:
            body = b'{"inputs": [{"name": "x", "shape": [1, 28, 28], "data": [[[1, 2'
            head = self.head(len(body))
        else:
            head = self.head(len(body), "Content-Encoding: gzip")
        return await self.asked(head + body, [], fresh=False)

    async def oversized(self) -> str:
        if self.random.random() < 0.5:
            return await self.asked(self.head(100 * LARGEST), [])
        return await self.asked(self.head(len(BOMB), "Content-Encoding: gzip") + BOMB, [])

    async def slow(self) -> str:
        chosen = [self.random.randrange(SAMPLES)]
        head, body = self.request(chosen)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(head)
            whole = self.random.random() < 0.5
            answer = asyncio.create_task(self.answer(reader, chosen))
            for at in range(0, len(body) if whole else len(body) // 2, len(body) // 8):
                if answer.done():
                    break
                writer.write(body[at : at + len(body) // 8])
                await asyncio.wait([answer], timeout=0.25)
            return (await answer)[0]
        finally:
            writer.close()

    async def aborted(self) -> str:
        head, body = self.request([0])
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        whole = self.random.random() < 0.5
        writer.write(head + body[: len(body) if whole else len(body) // 2])
        await asyncio.sleep(self.random.random() * 0.1)
        writer.transport.abort()
        return "left"

    async def asked(self, request: bytes, chosen: list[int], *, fresh: bool = True) -> str:
        while self.idle and not fresh:
            reader, writer = self.idle.pop()
            if not reader.at_eof():  # else the server has closed it, being idle
                break
            writer.close()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            found, kept = await self.answer(reader, chosen)
        except BaseException:
            writer.close()
            raise
        if fresh or not kept:
            writer.close()
        else:
            self.idle.append((reader, writer))
        return found

    async def answer(self, reader: asyncio.StreamReader, chosen: list[int]) -> tuple[str, bool]:
        """Return the status of an answer, or whether it is right, and if more may be asked."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"\r\ncontent-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]))
        status = head.split(" ", 2)[1]
        kept = "\r\nconnection: close" not in head
        if status != "200":
            return status, kept
        count = int(re.search(r"\r\ninference-header-content-length: (\d+)", head)[1])
        found = np.frombuffer(body[count:], "float32").reshape(-1, 10)
        same = len(found) == len(chosen) and np.allclose(found, self.outputs[chosen], atol=1e-4)
        return "right" if same else "wrong", kept

    def request(self, chosen: list[int]) -> tuple[bytes, bytes]:
        rows = self.rows[chosen]
        part = {"name": "x", "datatype": "FP32", "shape": list(rows.shape)}
        part["parameters"] = {"binary_data_size": rows.nbytes}
        text = json.dumps({"inputs": [part], "parameters": {"binary_data_output": True}}).encode()
        body = text + rows.tobytes()
        return self.head(len(body), f"Inference-Header-Content-Length: {len(text)}"), body

    def head(self, length: int, *lines: str) -> bytes:
        first = ["POST /v2/models/model/infer HTTP/1.1", "Host: localhost"]
        return "\r\n".join([*first, f"Content-Length: {length}", *lines, "", ""]).encode()


BOMB = gzip.compress(bytes(8 * LARGEST))


def report(result: dict) -> int:
    settled = result["memory"][len(result["memory"]) // 6 :]
    grown = max(settled) / min(settled) - 1 if settled else 0.0
    print(
        f"{result['asked']} requests, {result['per_second']:.0f}/s; alone it answers "
        f"{result['capacity']:.0f}/s"
    )
    wrong = result["unanswered"]
    for kind, found in result["answers"].items():
        listed = ", ".join(f"{what} {count}" for what, count in sorted(found.items()))
        print(f"  {kind:10} {listed}")
        wrong += sum(count for what, count in found.items() if what not in EXPECTED[kind] | {"503"})
    print(f"  good ones: median {result['median']:.2f} s, p99 {result['p99']:.2f} s")
    print(
        f"  memory {min(settled) / 2**20:.0f} to {max(settled) / 2**20:.0f} MiB "
        f"({100 * grown:.1f} %)"
    )
    lines = len(result["log"].splitlines())
    print(f"  {wrong} answered wrongly; exit status {result['exit']}, {lines} lines in the log")
    sound = wrong == 0 and result["alive"] and result["exit"] == 0 and grown <= 0.1 and not lines
    print("  as it should be" if sound else "  NOT as it should be")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
