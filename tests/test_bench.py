"""The benchmarks measure: each of what they run once, on the least there is to measure.

Nothing here is timed. The page is what its results say.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "bench"


def run(*arguments, folder, seconds=240):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "HOLDFAST_CACHE": str(folder / "cache")}
    found = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found


def told(*arguments, folder):
    """Return the figures that a program of the benchmarks prints on its last line."""
    return json.loads(run(*arguments, folder=folder).stdout.splitlines()[-1])


@pytest.fixture
def mnist(tmp_path):
    """Noise of MNIST's shape, a little of it."""
    random = np.random.default_rng(1)
    arrays = {}
    for part, count in (("train", 640), ("test", 64)):
        arrays[f"x_{part}"] = random.integers(0, 256, (count, 28, 28), "uint8")
        arrays[f"y_{part}"] = random.integers(0, 10, count, "uint8")
    np.savez(tmp_path / "mnist.npz", **arrays)
    return tmp_path / "mnist.npz"


def test_the_page_says_what_the_results_say(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(BENCH)!r}); import page; print(page.text())"
    written = run("-c", code, folder=tmp_path)
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert written.stdout.rstrip() == page.rstrip()


def test_without_mnist_a_part_that_needs_it_is_left_out(tmp_path):
    found = run(BENCH, "--only", "fit", "--mnist", "nowhere.npz", folder=tmp_path)
    assert f"fit: skipped: there is no MNIST at {tmp_path / 'nowhere.npz'}" in found.stderr


@pytest.mark.parametrize("program", ["by_holdfast", "by_hand_jax"])
def test_fit(program, mnist, tmp_path):
    script = BENCH / "fit" / f"{program}.py"
    setting = ["fori"] if program == "by_hand_jax" else []
    found = told(script, "dropout", mnist, tmp_path, *setting, folder=tmp_path)
    assert found["epoch"] > 0
    assert found["loss"] > 0
    assert 0 <= found["val_accuracy"] <= 1


def test_checkpoints(tmp_path):
    found = told(
        BENCH / "checkpoints" / "by_holdfast.py", "holdfast", tmp_path, 1, 1, folder=tmp_path
    )
    assert found
    (tmp_path / "killed").mkdir()
    kills = BENCH / "checkpoints" / "kills.py"
    assert told(kills, "holdfast", tmp_path / "killed", 1, folder=tmp_path)


def test_overhead(tmp_path):
    script = BENCH / "overhead" / "trained.py"
    found = told(script, tmp_path, "--seconds", 1, "--bounds", 0.4, folder=tmp_path)
    assert {training["bound"] for training in found["trainings"]} == {None, 0.4}


def test_files(tmp_path):
    script = BENCH / "files" / "loading.py"
    assert told(script, "write", tmp_path, 1, folder=tmp_path)["bytes"]
    assert told(script, "holdfast", "keras", tmp_path, 1, folder=tmp_path)


def test_data_that_comes_in_batches(mnist, tmp_path):
    command = [BENCH / "data.py", "--mnist", mnist, "--rounds", 1, "--only", "pydataset"]
    assert "pydataset  keras over holdfast: " in run(*command, folder=tmp_path).stdout
