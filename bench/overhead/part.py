"""Overhead at a bound: the share of time checkpoints take when little work may be lost.

Owns what is run. Leaves the trainings to `trained` and `daily`, the words and verdicts to
`section`, the picture to `drawing`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from racing import Contender, race, run, tell

NEEDS_MNIST = False
ROUNDS = 1
ENVIRONMENTS = ("jax",)

HERE = Path(__file__).parent
MEGABYTES = (1, 10, 100, 1000)


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Return what checkpoints cost at each size, and in an ordinary training."""
    sizes = []
    for megabytes in MEGABYTES:
        tell("overhead", f"{megabytes} MB, {len(sizes) + 1} of {len(MEGABYTES)}")
        arguments = (str(folder), "--megabytes", str(megabytes), "--rounds", str(rounds))
        sizes.append(run(Contender(f"{megabytes} MB", HERE / "trained.py", arguments)))
    daily = []
    for turn in range(2 * rounds):
        arguments = (str(folder), "--turn", str(turn))
        daily += race("overhead", [Contender("daily", HERE / "daily.py", arguments)], 1)["daily"]
    return {"sizes": sizes, "daily": daily}
