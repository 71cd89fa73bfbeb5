"""Growth: what Holdfast takes, in time and memory, as runs, models and data grow.

Owns the measuring: every size a process of its own, all of a series in a round before the next
begins. What is measured is in `series`, the rule for "worse than linear" in `linear`, the words in
`section`, the pictures in `drawing`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import racing
from growth.curves import in_doubt
from growth.series import SERIES, SUBJECTS, Series
from racing import Contender

NEEDS_MNIST = False
ROUNDS = 1
MORE_ROUNDS = 1
"""Of a series that grew more than it may: a machine that was slow for a while looks like that."""

ENVIRONMENTS = ("jax",)

_HERE = Path(__file__).parent


def measure(rounds: int, folder: Path, mnist: Path, sizes: int = 99) -> dict[str, Any]:
    """Return what each series found; of each the first so many sizes."""
    found: dict[str, Any] = {}
    for subject in SUBJECTS:
        place = folder / subject
        place.mkdir()
        mine = [series for series in SERIES if series.subject == subject]
        for series in mine:
            most = 1 if series.once else rounds
            kept: dict[str, list[dict[str, Any]]] = {}
            for number in range(most + MORE_ROUNDS):
                if number == most and not in_doubt(series, kept):
                    break
                for size in series.sizes[:sizes]:
                    racing.tell("growth", f"{series.key}, {size}, round {number + 1}")
                    kept.setdefault(str(size), []).append(_one(series, place, size))
            found[series.key] = kept
        shutil.rmtree(place)
    racing.tell("growth", "")
    return {key: sizes for key, sizes in found.items() if key != "make"}


def _one(series: Series, folder: Path, size: int) -> dict[str, Any]:
    """Return what a program found at a size, or why it found nothing: that is a result too."""
    program = _HERE / f"{series.program}.py"
    contender = Contender(series.key, program, (*series.arguments, str(folder), str(size)))
    try:
        return racing.run(contender, series.seconds)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {series.seconds:.0f} s"}
    except RuntimeError as error:
        if not series.peer:
            raise
        return {"failed": str(error).strip().splitlines()[-1]}
