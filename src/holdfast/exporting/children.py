"""Asks a child process, with another backend of Keras, to write files.

Owns starting it, its surroundings and its end. Leaves what it does to `exporting/child`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from typing import IO

from holdfast.exporting import reasons
from holdfast.exporting.tasks import Task

# It computes nothing that would be worth a device, and must not take one from who has it.
_SURROUNDINGS = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONWARNINGS": "ignore",
}


def write(backend: str, tasks: Sequence[Task]) -> list[str | None]:
    """Return for each task None where its file was written, else why not.

    Args:
        backend: of Keras that the child has.
        tasks: done one after the other by one child.
    """
    asked = {"path": sys.path, "tasks": [asdict(task) for task in tasks]}
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "holdfast.exporting.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **_SURROUNDINGS, "KERAS_BACKEND": backend},
        )
        try:
            answers = _ask(child, asked)
        finally:
            child.kill()
            child.wait()
        while len(answers) < len(tasks):
            answers.append(_died(child.returncode, errors))
        return answers


def _ask(child: subprocess.Popen[bytes], asked: object) -> list[str | None]:
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        try:
            child.stdin.write(json.dumps(asked).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            return []
        answers = []
        for line in child.stdout:
            answers.append(json.loads(line)["error"])
        return answers


def _died(status: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    said = errors.read().decode(errors="replace")
    if status < 0:
        return f"the process that writes it was ended by signal {-status}"
    return (
        f"the process that writes it failed: {reasons.shortened(said.strip()[-2000:], last=True)}"
    )
