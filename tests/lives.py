"""The lives of a training that is killed again and again: how each is lived, and when it ends.

Owns which moments are chosen and the waiting for them, on the board where the program says what it
is doing. Leaves the processes, and what must hold after their deaths, to `soaking`.
"""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
sys.path.insert(0, str(PROGRAMS))
from board import FILES, PHASES, WRITER, Board

__all__ = ["AIMS", "FILES", "PHASES", "PROGRAMS", "WRITER", "Aim", "Board", "Life", "SoakError"]

_LOOK = 0.0005
_PATIENCE = 20.0
_STILL = 5.0
_HUNG = 180.0


class SoakError(Exception):
    """Something that must hold does not; the directory stays as it was found."""


@dataclass(frozen=True)
class Aim:
    """The moment of a kill.

    Args:
        weight: how often it is chosen.
        lane: of the board.
        name: what is to be under way.
        times: it is to have begun so often, at most, in that life: chosen between 1 and this.
        delay: seconds from then to the kill, at most: chosen between 0 and this.
    """

    weight: int
    lane: int
    name: str
    times: int
    delay: float


AIMS = (
    Aim(2, 0, "starting", 0, 0.03),
    Aim(10, 0, "imports", 1, 2.5),
    Aim(6, 0, "building", 1, 0.3),
    Aim(8, 0, "opening", 1, 0.03),
    Aim(10, 0, "resuming", 1, 0.5),
    Aim(14, 0, "compiling", 20, 0.2),
    Aim(12, 0, "training", 12, 0.3),
    Aim(12, 0, "validation", 15, 0.002),
    Aim(12, 1, "writing", 20, 0.01),
    Aim(8, 1, "pruning", 15, 0.003),
    Aim(6, 2, "saving a model", 8, 0.02),
    Aim(4, 0, "ending", 1, 0.2),
)
_AT_AN_OPERATION = 12

RULES = (
    {"seconds": 0.02},
    {"seconds": 0.02},
    {"steps": 7},
    {"steps": 40},
    {"epochs": 1},
    {},
)
KEPT = ({"last": 1, "best": 0}, {"last": 2}, {"last": 3, "every_epochs": 5})
_COLD = 0.12


@dataclass
class Life:
    """One process's life: what it is told, and when it is to be killed.

    Args:
        options: of programs/soaked.
        aim: at which moment to kill it; None for a life that kills itself, at an operation, or
            is let live.
        times, delay: see `Aim`.
        cold: whether nothing is compiled yet.
    """

    options: dict
    aim: Aim | None = None
    times: int = 0
    delay: float = 0.0
    cold: bool = False

    @classmethod
    def draw(cls, moments):
        """Draw a life that ends by a kill, if it is not at its end before."""
        options = {
            "batches": moments.random() < 0.2,
            "every": moments.choice(RULES),
            "keep": moments.choice(KEPT),
        }
        aims = [*AIMS, None]
        weights = [*(aim.weight for aim in AIMS), _AT_AN_OPERATION]
        aim = moments.choices(aims, weights)[0]
        cold = moments.random() < _COLD
        if aim is None:
            # As many among the first ten, which open the run, as among the next hundred.
            number = int(10 ** moments.uniform(0, 2.7))
            options["kill"] = [number, moments.choice(["before", "within", "after"])]
            return cls(options, cold=cold)
        if aim.lane and moments.random() < 0.5:
            options["slow"] = 0.002
        times = moments.randint(min(1, aim.times), aim.times)
        delay = moments.uniform(0, aim.delay * (5 if cold and aim.name == "compiling" else 1))
        return cls(options, aim, times, delay, cold)

    def is_time(self, board):
        """Return whether what it is to be killed in is under way."""
        aim = self.aim
        return (
            aim is not None
            and board.now(aim.lane) == aim.name
            and board.count(aim.name, aim.lane) >= self.times
        )

    def wait(self, child, board, stopped):
        """Wait until its moment has come; returns whether to kill it, and not whether it ended.

        Args:
            child: its process.
            board: where it says what it is doing.
            stopped: an event that ends the waiting.

        Raises:
            SoakError: nothing has happened for minutes.
        """
        began = changed = time.monotonic()
        before = None
        while child.poll() is None and not stopped.is_set():
            if self.is_time(board):
                time.sleep(self.delay)
                return True
            time.sleep(_LOOK)
            now = time.monotonic()
            if now - changed > 0.1 and board.copy() != before:
                before, changed = board.copy(), now
            if now - changed > _HUNG:
                child.send_signal(signal.SIGABRT)  # it says where each of its threads stands
                with suppress(subprocess.TimeoutExpired):
                    child.wait(30)
                raise SoakError(f"the program stands still: {board.now()} for {_HUNG:.0f} s")
            # What does not come in time is given up, unless the program stands still.
            if self.aim and now - began > _PATIENCE and now - changed < _STILL:
                return True
        return False
