"""The start: imports and the command line in milliseconds, and a program of five epochs, by phases.

Owns what is run. Leaves the program to `lesson`, the phases, words and verdicts to `section`, the
picture to `drawing`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environments
import numpy as np
from racing import Contender, environment_of, run, tell
from start.section import NAMES, phases

NEEDS_MNIST = False
ROUNDS = 7
ENVIRONMENT = "jax"
ENVIRONMENTS = (ENVIRONMENT,)

HERE = Path(__file__).parent
SAMPLES = 60_000
LESSONS = 3
"""The program of five epochs runs in so many rounds at most."""


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Return the milliseconds of each start, and the phases of each program."""
    return {
        "imports": imports(rounds, folder),
        "programs": programs(min(rounds, LESSONS), folder),
    }


def imports(rounds: int, folder: Path) -> dict[str, list[float]]:
    """Return the seconds of fresh processes, by turns; one round before them counts for nothing."""
    python = environments.python(ENVIRONMENT)
    script = str(Path(python).with_name("holdfast"))
    commands = {
        "nothing": [python, "-c", "pass"],
        "numpy": [python, "-c", "import numpy"],
        "holdfast": [python, "-c", "import holdfast"],
        "run": [python, "-c", "from holdfast import Run"],
        "help": [python, script, "--help"],
        "version": [python, script, "--version"],
        "keras": [python, "-c", "import keras"],
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    order = list(commands)
    for number in range(rounds + 1):
        tell("start", f"imports, round {number} of {rounds}")
        for name in order:
            seconds = clocked(commands[name], folder)
            if number:
                found[name].append(seconds)
        order = order[1:] + order[:1]
    return found


def clocked(command: Sequence[str], folder: Path) -> float:
    """Return the seconds a process takes from before its start to its end."""
    variables = environment_of(Contender("start", HERE))
    began = time.perf_counter()
    # Without a timeout: with one, Python looks for the end of a process every 50 ms.
    subprocess.run(command, env=variables, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def programs(rounds: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Return the seconds of each phase of the program, for each contender in each round.

    `again` is started when compiled code is kept: by Holdfast, which does so by itself, and by
    JAX's own cache, set up as its documentation has it. Each trains anew.
    """
    data = folder / "data.npz"
    random = np.random.default_rng(1)
    x = random.integers(0, 256, (SAMPLES, 28, 28), "uint8")
    np.savez(data, x=x, y=random.integers(0, 10, SAMPLES, "uint8"))
    os.sync()  # or whoever comes first reads while the disk is still at it
    found: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for who in ("holdfast", "keras")[:: -1 if number % 2 else 1]:
            cache = folder / f"cache-{who}"
            shutil.rmtree(cache, ignore_errors=True)
            for name in (who, f"{who}-again"):
                tell("start", f"{name}, round {number + 1} of {rounds}")
                found[name].append(lesson(who, name, data, cache, folder))
    return found


def lesson(who: str, name: str, data: Path, cache: Path, folder: Path) -> dict[str, float]:
    """Run the program once and return its phases, which add up to the process's seconds."""
    variables = {"HOLDFAST_CACHE": str(cache)}
    if who == "keras":
        variables = {
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    runs = folder / "runs"
    began = time.perf_counter()
    arguments = (who, str(began), str(data), str(runs))
    contender = Contender(name, HERE / "lesson.py", arguments, ENVIRONMENT, variables)
    told = run(contender, 300)
    whole = time.perf_counter() - began
    shutil.rmtree(runs, ignore_errors=True)
    return phases(told, whole)
