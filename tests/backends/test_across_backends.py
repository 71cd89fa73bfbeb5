"""A run goes on under another backend than the one it was begun under."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

OTHERS = [name for name in ("torch", "tensorflow") if importlib.util.find_spec(name)]
if not OTHERS:
    pytest.skip("there is no backend but JAX", allow_module_level=True)
PROGRAM = Path(__file__).parents[1] / "programs" / "backends.py"


def train(backend, run, epochs, weights):
    """Train a run under a backend in a process of its own; returns what the process said."""
    done = subprocess.run(
        [sys.executable, PROGRAM, run, str(epochs), weights],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_it_takes_the_same_steps_under_all_of_them(tmp_path):
    """Begun on JAX, on and on under the others, ended on JAX: weights, curves, whole history.

    The state of random generators is of another type under each, and counts on.
    """
    way = ["jax", *OTHERS, "jax"]
    for epochs, backend in enumerate(way, start=1):
        said = train(backend, tmp_path / "run", epochs, tmp_path / "last.npz")
        if epochs > 1:
            assert f"last step was taken under {way[epochs - 2]}, and it goes on under" in said
    train("jax", tmp_path / "whole", len(way), tmp_path / "whole.npz")
    found, expected = np.load(tmp_path / "last.npz"), np.load(tmp_path / "whole.npz")
    assert list(found) == list(expected)
    assert len(found["log loss"]) == len(found["log val_loss"]) == len(way)
    np.testing.assert_array_equal(found["draws"], expected["draws"])
    assert found["draws"][1] == 3 * len(way)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6)
