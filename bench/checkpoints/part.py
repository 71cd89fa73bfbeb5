"""The part "checkpoints": what a checkpoint costs and what it is worth, for every way of saving.

Owns what is run, and in which order: first what is timed, alone on the machine; then what needs no
clock, two at once. Leaves the ways to `contenders`, the words to `section`, the picture to
`drawing`.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import racing
from checkpoints.contenders import HERE, VICTIMS, WAYS, dying, saving
from checkpoints.traced import traced
from racing import Contender

NEEDS_MNIST = False
ROUNDS = 1
ENVIRONMENTS = ("jax", "torch")

SIZES = (1, 100, 1000)
CHECKPOINTS = 2
KILLS = 5
TUNINGS = 3
KINDS = ("keras", "bare", "holdfast")


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Return all figures of the part; takes up to 3 GB of disk at a time."""
    found: dict[str, Any] = {"sizes": list(SIZES), "checkpoints": CHECKPOINTS}
    timed = [saving(way, folder, CHECKPOINTS, SIZES) for way in WAYS]
    found["saving"] = racing.race("checkpoints", timed, rounds)
    found["tuning"] = tuning(folder)
    found["memory"] = memory(rounds, folder)
    with ThreadPoolExecutor(2) as lanes:
        traces = {way.name: lanes.submit(trace, way, folder) for way in WAYS}
        kills = {kind: lanes.submit(kill, kind, folder) for kind in VICTIMS}
        found["traces"] = {name: future.result() for name, future in traces.items()}
        found["kills"] = {kind: future.result() for kind, future in kills.items()}
    return found


def tuning(folder: Path) -> dict[str, Any]:
    """Return what checkpoints write where 1 % of the state changes."""
    racing.tell("checkpoints", "1 % of 1 GB")
    given = (str(folder), str(TUNINGS))
    found = racing.run(Contender("tuning", HERE / "tuning.py", given))
    shutil.rmtree(folder / "tuned")
    return found


def memory(rounds: int, folder: Path) -> racing.Runs:
    """Return the most memory that trainings take, without checkpoints and with them."""
    contenders = [Contender(kind, HERE / "memory.py", (kind, str(folder))) for kind in KINDS]
    return racing.race("checkpoints", contenders, rounds)


def trace(way: Any, folder: Path) -> dict[str, int] | None:
    """Return what a way of saving asks of the kernel for one checkpoint of 1 MB."""
    racing.tell("checkpoints", f"what {way.name} syncs")
    place = folder / "traces"
    place.mkdir(exist_ok=True)
    return traced(saving(way, place, 1, SIZES[:1]), place / way.name)


def kill(kind: str, folder: Path) -> dict[str, Any]:
    """Return what is left of a way of saving that is killed."""
    racing.tell("checkpoints", f"killing {kind}")
    return racing.run(dying(kind, folder, KILLS))
