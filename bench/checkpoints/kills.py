"""What is left when the process is killed within a checkpoint: python kills.py KIND FOLDER KILLS

A process saves over its last checkpoint again and again, and is killed with SIGKILL at a random
moment within saving; then what is left is opened, as the contender's documentation has it. Prints
how often it was killed within, and how often a checkpoint was whole, not whole, or none at all
could be opened. Owns the killing and the counting; who saves, and how it is opened, are the
victims': `victims_holdfast`, `victims_keras`, `victims_torch`.

The state is 40 MB in 4 arrays, each full of the checkpoint's number: what is opened is whole if all
of it has one number, and that is of the checkpoint that was being written, or of the one before.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

COUNT, SIDE = 4, 1581
VICTIMS = {
    "holdfast": "victims_holdfast",
    "holdfast-file": "victims_holdfast",
    "dcp": "victims_torch",
    "safetensors": "victims_torch",
    "lightning": "victims_torch",
    "lightning-async": "victims_torch",
}
PATIENCE = 60
FIRST = 3
"""Which checkpoint is killed; those before it show how long one takes."""


@dataclass
class Found:
    """What was left after all kills.

    Args:
        kills: how many processes were killed.
        within: how many of them before they said that the checkpoint was done.
        whole: after how many of these the checkpoint, or the one before, could be opened.
        torn: after how many something could be opened that was neither.
        lost: after how many nothing could be opened.
        why: what was said of the first that was torn or lost.
    """

    kills: int = 0
    within: int = 0
    whole: int = 0
    torn: int = 0
    lost: int = 0
    why: str = ""


@dataclass
class Teller:
    """How a victim says where it is."""

    pipe: Connection

    def saved(self, number: int, save: Callable[[], object]) -> None:
        """Save a checkpoint, and say before and after it that this is so."""
        self.pipe.send(("begins", number))
        began = time.perf_counter()
        save()
        self.pipe.send(("ends", time.perf_counter() - began))


def main() -> None:
    kind, folder, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(asdict(kill_many(kind, folder, kills))))


def kill_many(kind: str, folder: Path, kills: int) -> Found:
    """Kill so many processes within a checkpoint, and look after each."""
    victims = import_module(VICTIMS.get(kind, "victims_keras"))
    # Imported once, and forked from there: importing takes most of such a short life.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(victims.PRELOADED))
    moments, found = random.Random(time.time_ns()), Found()
    while found.within < kills and found.kills < 3 * kills:
        place = folder / f"{found.kills}"
        place.mkdir()
        number, within = kill(context, victims.save_for_ever, kind, place, moments)
        found.kills += 1
        found.within += within
        if within:
            look(found, partial(victims.left, kind, place), number)
        shutil.rmtree(place)
    return found


def kill(
    context: Any,
    victim: Callable[[str, Path, Teller], None],
    kind: str,
    place: Path,
    moments: random.Random,
) -> tuple[int, bool]:
    """Kill one process; returns the number of its last checkpoint, and if it was within it."""
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=run, args=(victim, kind, place, theirs), daemon=True)
    child.start()
    theirs.close()
    takes = [hear(ours, "ends") for _ in range(FIRST - 1)][-1]
    number = hear(ours, "begins")
    time.sleep(moments.uniform(0, takes))
    child.kill()
    child.join()
    return int(number), not said(ours)


def run(victim: Callable[[str, Path, Teller], None], kind: str, place: Path, pipe: Any) -> None:
    """Be the victim; what it says besides goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    with (place / "said.txt").open("wb") as said_here:
        os.dup2(said_here.fileno(), 2)
    # What a victim has begun elsewhere nobody removes.
    tempfile.tempdir = str(place)
    victim(kind, place, Teller(pipe))


def hear(pipe: Connection, what: str) -> float:
    """Wait until a victim says something, and return what it said of it."""
    while pipe.poll(PATIENCE):
        word, value = pipe.recv()
        if word == what:
            return float(value)
    raise TimeoutError(f"a victim did not say that a checkpoint {what}")


def said(pipe: Connection) -> bool:
    """Return whether a victim has said anything more before it died."""
    try:
        return bool(pipe.poll()) and bool(pipe.recv())
    except (EOFError, OSError):
        return False


def look(found: Found, left: Callable[[], set[float]], number: int) -> None:
    """Open what is left and count it."""
    try:
        values = left()
    except BaseException as error:
        # That of torch.distributed.checkpoint is no Exception.
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        found.lost += 1
        found.why = found.why or type(error).__name__
        return
    if values in ({float(number)}, {float(number - 1)}):
        found.whole += 1
        return
    found.torn += 1
    found.why = found.why or f"numbers {sorted(values)}, where {number - 1} or {number} should be"


if __name__ == "__main__":
    main()
