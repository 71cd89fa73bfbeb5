"""Starts a contender's program, kills it, and starts it again until it ends.

Owns the processes and what is read off them. Leaves what the programs do to them, and what the
figures mean to `section`.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
import racing
from racing import Contender
from recovery import telling

STARTS = 3
"""After a kill a program is started so often at most, until it ends."""

SECONDS = 120
"""So long an attempt may take."""

_LOOKS = 0.0003
_LOOKS_FOR_END = 0.02


@dataclass(frozen=True)
class Attempt:
    """One process's part of a training.

    Args:
        done: steps done, counted from the training's beginning.
        first: the first step it did.
        to_step: seconds from the process's start to the end of that step.
        after_imports: of these, those after the imports.
        back: seconds from the process's start until it stood where the one before was killed.
        losses: val_loss of each epoch that it ended.
        end: what the program told at its end; empty where it came to none.
        failed: why it ended by itself without coming to its end.
    """

    done: int
    first: int
    to_step: float
    after_imports: float
    back: float
    losses: dict[int, float]
    end: dict[str, Any]
    failed: str


def attempt(
    contender: Contender, folder: Path, moment: int | None = None, before: int | None = None
) -> Attempt:
    """Run a program to its end, or until it has done `moment` steps, when it is killed.

    Args:
        contender: whose program.
        folder: what it keeps.
        moment: when to kill it.
        before: how many steps the attempt before had done.
    """
    telling.prepare(folder)
    command = [environments.python(contender.environment), str(contender.program)]
    with (folder / "words").open("wb") as words:
        began = time.monotonic()
        child = subprocess.Popen(
            [*command, str(folder), *contender.arguments],
            env=racing.environment_of(contender),
            stdout=words,
            stderr=words,
        )
        back = None if before is None else _until(child, folder, before, began + SECONDS)
        reached = _until(child, folder, moment, began + SECONDS)
        late = child.poll() is None and reached is None
        child.kill()
        child.wait()
    failed = f"did not end within {SECONDS} s" if late else ""
    if child.returncode > 0:
        failed = _words(folder)
    return _read(folder, began, back, failed)


def survive(contender: Contender, folder: Path, moment: int) -> list[Attempt]:
    """Kill a program once at `moment` and start it again until it ends; return all attempts."""
    attempts = [attempt(contender, folder, moment)]
    while not attempts[-1].end and len(attempts) <= STARTS:
        attempts.append(attempt(contender, folder, before=attempts[0].done))
    return attempts


def _until(
    child: subprocess.Popen, folder: Path, position: int | None, late: float
) -> float | None:
    """Wait until a child stands at a position, or ends, or is late; return when it stood there.

    Without a position its end is waited for, and None is returned.
    """
    while child.poll() is None and time.monotonic() < late:
        if position is not None and telling.told(folder) >= position:
            return time.monotonic()
        time.sleep(_LOOKS if position is not None else _LOOKS_FOR_END)
    return None


def _read(folder: Path, began: float, back: float | None, failed: str) -> Attempt:
    events = telling.events(folder)
    by_kind = {event["event"]: event for event in events}
    step, imported = by_kind.get("step"), by_kind.get("imported")
    stepped = step is not None and imported is not None
    return Attempt(
        done=telling.told(folder),
        first=step["position"] if step else 0,
        to_step=step["time"] - began if step else 0.0,
        after_imports=step["time"] - imported["time"] if step and imported else 0.0,
        back=back - began if back else 0.0,
        losses={e["index"]: e["val_loss"] for e in events if e["event"] == "epoch"},
        end=by_kind.get("end", {}),
        failed=failed or ("" if stepped else "was killed before its first step"),
    )


def _words(folder: Path) -> str:
    lines = (folder / "words").read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "ended without a word"
