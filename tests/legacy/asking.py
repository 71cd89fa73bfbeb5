"""Asking Keras 2.15: HOLDFAST_TF215 is a Python that has tensorflow-cpu 2.15.1."""

import json
import os
import subprocess
from pathlib import Path

TESTS = Path(__file__).parents[1]


def keras2(folder: Path, jobs: list[dict]) -> list[dict]:
    """Have Keras 2.15 read files; see `read_back.py` in the corpus for the jobs."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    python = os.environ["HOLDFAST_TF215"]
    program = TESTS / "corpus" / "read_back.py"
    subprocess.run(
        [python, str(program), str(folder / "jobs.json"), str(folder / "results.json")],
        check=True,
        cwd=program.parent,
    )
    return json.loads((folder / "results.json").read_text())
