"""Training: seconds an epoch and to the end of a program, for three programs on MNIST.

Owns who takes part and how often. What a contender does is its script's, what is read off the
rounds `figures`', what is said of it `section`'s.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import environments
import numpy as np
import racing
from fit.figures import FAMILIES, FAR, OURS, PEERS, best, family_of
from racing import Contender

NEEDS_MNIST = True
ROUNDS = 2
ENVIRONMENTS = ("jax", "tensorflow", "torch")

HERE = Path(__file__).parent
CNN_IMAGES = 6_000
SECONDS = 240
_LIBRARIES = {
    "jax": "holdfast, keras, flax.nnx, optax",
    "tensorflow": "keras, tensorflow",
    "torch": "keras, torch, lightning",
}


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Let all contenders do all programs, and return what they printed."""
    _warm()
    few = _fewer(mnist, folder / "fewer.npz")
    plan = {"mlp": mnist, "dropout": mnist, "cnn": few}
    found: dict[str, Any] = {
        "batch": 32,
        "epochs": 5,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "images": {program: _count(images) for program, images in plan.items()},
        "rounds": rounds,
        "runs": {},
        "failed": {},
    }
    for program, images in plan.items():
        found["runs"][program], found["failed"][program] = _race(program, images, rounds, folder)
    return found


def _race(
    program: str, images: Path, rounds: int, folder: Path
) -> tuple[racing.Runs, dict[str, str]]:
    """Run contenders by turns; after the first round only those that may still matter."""
    runs: racing.Runs = {}
    failed: dict[str, str] = {}
    names = [name for family in FAMILIES for name in family.settings]
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            for name in names:
                if name == "holdfast-again":
                    continue
                for each in (name, "holdfast-again") if name == "holdfast" else (name,):
                    racing.tell("fit", f"{program}, round {number + 1} of {rounds}: {each}")
                    contender = _contender(each, program, images, Path(fresh))
                    _try(contender, number, runs, failed)
        names = [name for name in names if name in runs and _goes_on(name, runs)]
        # Whoever runs first finds another machine than whoever runs last.
        names = names[len(names) // 3 :] + names[: len(names) // 3]
    racing.tell("fit", "")
    return runs, failed


def _try(contender: Contender, number: int, runs: racing.Runs, failed: dict[str, str]) -> None:
    """Run a contender; a peer that fails is told of, Holdfast and the limit must not fail."""
    try:
        printed = racing.run(contender, SECONDS)
    except (subprocess.TimeoutExpired, RuntimeError) as error:
        if family_of(contender.name) not in PEERS:
            raise
        failed[contender.name] = _words(error)
    else:
        runs.setdefault(contender.name, []).append({**printed, "round": number})


def _words(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"was not done after {SECONDS} s"
    return f"failed: {str(error).strip().splitlines()[-1]}"


def _goes_on(name: str, runs: racing.Runs) -> bool:
    """Return whether a contender is measured again, by what the rounds so far have shown."""
    family = family_of(name)
    if family.ours or name == "keras-jax-1":
        return True
    far = runs[name][0]["process"] > FAR * runs[OURS][0]["process"]
    return not far and name in {best(family, runs, figure) for figure in ("epoch", "process")}


def _contender(name: str, program: str, images: Path, fresh: Path) -> Contender:
    """Return a contender of this name; what it compiles it keeps in this round's folder."""
    family = family_of(name)
    place = fresh / name
    place.mkdir()
    setting = name.rpartition("-")[2] if len(family.settings) > 1 else "1"
    return Contender(
        name,
        HERE / family.script,
        (program, str(images), str(place), setting),
        family.environment,
        {
            "KERAS_BACKEND": family.backend,
            "HOLDFAST_CACHE": str(fresh / "compiled"),
            "TORCHINDUCTOR_CACHE_DIR": str(place / "compiled"),
        },
    )


def _warm() -> None:
    """Import the libraries once: no contender is to wait for a disk that the next finds warm."""
    for name, libraries in _LIBRARIES.items():
        racing.tell("fit", f"warming {name}")
        command = [environments.python(name), "-c", f"import {libraries}"]
        variables = {**os.environ, "KERAS_BACKEND": "torch" if name == "torch" else "jax"}
        if name == "tensorflow":
            variables["KERAS_BACKEND"] = "tensorflow"
        subprocess.run(command, env=variables, check=True, capture_output=True, timeout=SECONDS)


def _fewer(mnist: Path, path: Path) -> Path:
    """Write MNIST with the first CNN_IMAGES images to train on alone."""
    with np.load(mnist) as arrays:
        fewer = {key: arrays[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    for key in ("x_train", "y_train"):
        fewer[key] = fewer[key][:CNN_IMAGES]
    np.savez_compressed(path, **fewer)
    return path


def _count(images: Path) -> int:
    with np.load(images) as arrays:
        return len(arrays["y_train"])
