"""The switch that tests the disk, as it is set from outside a process: `HOLDFAST_DISK`."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_training import train

from holdfast.store import disk
from holdfast.store.layout import Layout
from holdfast.store.verify import verify

PROGRAM = "import sys, pathlib, tiny_training; tiny_training.train(pathlib.Path(sys.argv[1]))"


def start(root, **asked):
    """Train in a new process with the switch set."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root)],
        env={
            **os.environ,
            "HOLDFAST_DISK": json.dumps(asked),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_nobody_else_is_touched_by_it():
    assert disk.switch is None


def test_operations_are_logged_with_what_they_write_and_where(tmp_path):
    done = start(tmp_path / "run", log=str(tmp_path / "log"))
    assert done.returncode == 0, done.stderr
    lines = read(tmp_path / "log")
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    written = [line for line in lines if line["path"].endswith("journal.jsonl") and line["data"]]
    journal = b"".join(base64.b64decode(line["data"]) for line in written)
    assert journal == (tmp_path / "run" / "journal.jsonl").read_bytes()
    renamed = [line for line in lines if line["kind"] == "rename"]
    assert any(line["target"].endswith("/run.json") for line in renamed)
    assert all("store.files:" in line["site"] for line in renamed)


@pytest.mark.parametrize("when", ["before", "within", "after"])
def test_the_process_is_killed_at_an_operation(when, tmp_path):
    log = tmp_path / "log"
    start(tmp_path / "whole", log=str(log))
    first = next(line for line in read(log) if line["path"].endswith(".safetensors") and line["at"])
    number, size = first["number"], len(base64.b64decode(first["data"]))
    log.unlink()
    done = start(tmp_path / "run", log=str(log), kill=[number, when])
    assert done.returncode == -signal.SIGKILL
    assert read(log)[-1]["number"] == number
    (pack,) = Layout(tmp_path / "run").all_packs()
    there = {"before": 0, "within": first["at"] + size // 2, "after": first["at"] + size}[when]
    assert pack.stat().st_size == there


def test_operations_fail_with_the_error_that_is_named(tmp_path):
    log = tmp_path / "log"
    done = start(tmp_path / "run", log=str(log), fail=[40, None, "ENOSPC"])
    assert done.returncode == 1
    assert "OSError: [Errno 28] No space left on device" in done.stderr
    undone = [line["undone"] for line in read(log) if "undone" in line]
    assert undone
    assert min(undone) == 40
    train(tmp_path / "run")
    assert verify(Layout(tmp_path / "run")).findings == ()


def test_operations_are_slow(tmp_path):
    log = tmp_path / "log"
    began = time.monotonic()
    assert start(tmp_path / "run", log=str(log), slow=0.01).returncode == 0
    assert time.monotonic() - began >= 0.01 * len(read(log))


def test_what_is_no_object_is_refused(tmp_path):
    environment = {**os.environ, "HOLDFAST_DISK": "[1]"}
    command = [sys.executable, "-c", "import holdfast.store.disk"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "HOLDFAST_DISK must be a JSON object: expected an object" in done.stderr
