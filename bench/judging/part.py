"""Judging: `holdfast.judge` against the runtimes bare, and against Keras on each of its backends.

Owns who is measured and with what. Leaves the models to `models`, the calls to the contenders'
programs, the words to `section`, the picture to `drawing`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import racing
from racing import Contender

NEEDS_MNIST = False
ROUNDS = 2
ENVIRONMENTS = ("jax", "tensorflow", "torch")

TURNS = 6
"""Of every contender in each round; one row is judged for 20 ms in each."""

HERE = Path(__file__).parent
BACKENDS = {"jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}
FIRST = ("judge-onnx", "onnxruntime", "judge-tflite", "litert", "judge-keras", "keras")


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Return the seconds of each round: by model, figure and contender, and to the first answer."""
    racing.tell("judging", "the models")
    racing.run(Contender("models", HERE / "models.py", (str(folder),), "tensorflow"))
    runs = racing.race("judging", contenders(folder), rounds)
    found: dict[str, Any] = {}
    for name, rounds_of in runs.items():
        for run in rounds_of:
            if name.startswith("first "):
                first = found.setdefault("first", {})
                first.setdefault(name.removeprefix("first "), []).append(run["first"])
            else:
                put(found, "" if name == "runtimes" else name, run)
    return found


def contenders(folder: Path) -> list[Contender]:
    place, turns = str(folder), str(TURNS)
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    several = [Contender("runtimes", HERE / "runtimes.py", (place, turns), "tensorflow", jax)]
    several += [
        Contender(backend, HERE / "predicts.py", (place, turns), home, {"KERAS_BACKEND": backend})
        for backend, home in BACKENDS.items()
    ]
    several += [
        Contender(f"first {who}", HERE / "first.py", (who, place), "tensorflow", jax)
        for who in FIRST
    ]
    return several


def put(found: dict[str, Any], backend: str, run: dict[str, Any]) -> None:
    """Put a round's seconds to those before; Keras's ways get their backend's name."""
    for model, figures in run.items():
        if model == "process":
            continue
        for figure, times in figures.items():
            for way, took in times.items():
                name = f"{backend}: {way}" if backend and way != "judge-keras" else way
                several = found.setdefault(model, {}).setdefault(figure, {})
                several.setdefault(name, []).append(took)
