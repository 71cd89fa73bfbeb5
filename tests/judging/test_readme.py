"""The README's six lines, from a training to a service."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_six_lines(tmp_path):
    (shown,) = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(shown.splitlines()) == 6
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    del environment["KERAS_BACKEND"]  # as a new user has it, with TensorFlow beside JAX
    found = subprocess.run(
        ["bash", "-ec", shown.replace("8321", port)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "jax" in json.loads((tmp_path / "runs/digits/run.json").read_text())["versions"]
    table = (tmp_path / "classes.csv").read_text().splitlines()
    assert table[0].startswith("class,probability,zero,one,")
    classes = [row.partition(",")[0] for row in table[1:]]
    wanted = ["four", "nine", "zero", "eight", "nine", "eight"]  # what people say of the last six
    assert sum(a == b for a, b in zip(classes[4:], wanted, strict=True)) >= 5
    answer = json.loads(next(line for line in found.stdout.splitlines() if line.startswith("{")))
    assert answer["predictions"][0]["class"] == classes[0] == "five"
