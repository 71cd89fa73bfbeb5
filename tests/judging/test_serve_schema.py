"""schemathesis asks `holdfast serve` whatever its OpenAPI document allows, and what it does not."""

import subprocess
import sys
from pathlib import Path

import pytest
from server_process import serving, small_model

pytest.importorskip("schemathesis")
EXAMPLES = 8
TOKEN = "sesame-4711"


def test_the_server_does_what_its_document_says(tmp_path):
    model = tmp_path / "shapes.onnx"
    small_model(model)
    with serving(model, tmp_path / "log", token=TOKEN) as server:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"http://127.0.0.1:{server.port}/openapi.json",
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
        ]
        run = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert server.process.poll() is None
        assert server.log.read_text() == ""
