"""Recovery: a training is killed in its third epoch and started again, by each tool's own way.

Owns the course: who takes part, when the kills come, and which figures are kept. Leaves the
processes to `killing`, the training to `training`, words to `section`, the picture to `drawing`.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from racing import Contender, tell
from recovery import killing, training
from recovery.killing import Attempt

NEEDS_MNIST = True
ROUNDS = 10
ENVIRONMENTS = ("jax", "torch")

SEED = 2026
EVERY = 100
"""Steps between two checkpoints, for all that are told a number."""

_HERE = Path(__file__).parent


def contenders(data: Path) -> list[Contender]:
    """Return who takes part; the names are those of the page."""

    def made(name: str, program: str, environment: str, every: int) -> Contender:
        told = (str(data), str(SEED), str(every))
        return Contender(name, _HERE / program, told, environment)

    return [
        made("Holdfast", "with_holdfast.py", "jax", 0),
        made("Holdfast, by steps", "with_holdfast.py", "jax", EVERY),
        made("Keras", "with_keras.py", "jax", 0),
        made("Keras, by steps", "with_keras.py", "jax", EVERY),
        made("Lightning", "with_lightning.py", "torch", EVERY),
        made("Accelerate", "with_accelerate.py", "torch", EVERY),
    ]


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Train each contender twice without a kill, and `rounds` times with one."""
    data = folder / "data"
    training.prepare(mnist, data)
    order = contenders(data)
    found: dict[str, Any] = {one.name: {"whole": [], "kills": []} for one in order}
    moments = _moments(rounds)
    for turn, moment in enumerate([None, None, *moments]):
        for one in order:
            tell("recovery", f"{one.name}, {turn + 1} of {rounds + 2}")
            cache = folder / f"{one.program.stem}-{one.arguments[-1]}"
            attempts = _attempts(one, folder / "training", cache, moment)
            if moment is None:
                found[one.name]["whole"].append(_whole(attempts[0]))
            else:
                whole = found[one.name]["whole"][0]
                found[one.name]["kills"].append(_killed(attempts, moment, whole))
        order = order[1:] + order[:1]
    tell("recovery", "")
    return {
        "samples": training.SAMPLES,
        "steps": training.STEPS,
        "epochs": training.EPOCHS,
        "every": EVERY,
        "contenders": found,
    }


def _moments(rounds: int) -> list[int]:
    """Return after how many steps the kills come: one in each part of the third epoch."""
    within = random.Random(SEED)
    begin, length = training.KILLED_IN * training.STEPS, training.STEPS / rounds
    return [begin + 1 + int((turn + within.random()) * length) for turn in range(rounds)]


def _attempts(contender: Contender, folder: Path, cache: Path, moment: int | None) -> list[Attempt]:
    """Run a contender in a new folder; without a kill with nothing compiled yet, too."""
    shutil.rmtree(folder, ignore_errors=True)
    if moment is None:
        shutil.rmtree(cache, ignore_errors=True)
    one = replace(contender, variables=_cache(contender, cache))
    if moment is None:
        return [killing.attempt(one, folder)]
    return killing.survive(one, folder, moment)


def _cache(contender: Contender, cache: Path) -> Mapping[str, str]:
    """Return where compiled programs are kept: Holdfast's place, and JAX's for Keras.

    JAX keeps by itself only what took a second to compile; for Keras it is told to keep all.
    """
    if contender.program.name == "with_holdfast.py":
        return {"HOLDFAST_CACHE": str(cache)}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def _whole(attempt: Attempt) -> dict[str, Any]:
    if not attempt.end:
        return {"failed": attempt.failed}
    end = attempt.end
    return {
        "digest": end["digest"],
        "losses": [attempt.losses[index] for index in sorted(attempt.losses)],
        "best_kept": _kept(end["best"], [attempt]),
        "returned": end["returned"],
        "logged": end["logged"],
        "to_step": attempt.to_step,
        "after_imports": attempt.after_imports,
    }


def _killed(attempts: Sequence[Attempt], moment: int, whole: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of one kill."""
    first, last = attempts[0], attempts[-1]
    failures = [one.failed for one in attempts if one.failed]
    figures: dict[str, Any] = {
        "moment": moment,
        "done": first.done,
        "failures": failures,
        "first_after_imports": first.after_imports,
        "ended": bool(last.end),
    }
    if not last.end:
        return figures
    end = last.end
    return {
        **figures,
        "again": first.done - (last.first - 1),
        "to_step": last.to_step,
        "after_imports": last.after_imports,
        "back": last.back,
        "equal": end["digest"] == whole.get("digest"),
        "best_kept": _kept(end["best"], attempts),
        "returned": end["returned"],
        "logged": end["logged"],
        "losses": [asdict(one)["losses"] for one in attempts],
    }


def _kept(best: float | None, attempts: Sequence[Attempt]) -> bool:
    """Return whether the best model on the disk is that of the best epoch there was."""
    least = min(loss for one in attempts for loss in one.losses.values())
    return best is not None and abs(best - least) <= 1e-4 * least
