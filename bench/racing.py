"""Contenders by turns: each a process of its own, all in one round before the next begins.

Owns what is the same for every part: the order, which changes from round to round, the fresh
process, the wall clock around it, what is told of the progress, and the figures that are read off
the rounds. What a contender does is its program's; it prints its figures as JSON on its last line.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environments

Runs = dict[str, list[dict[str, Any]]]
"""What was found: for each contender what it printed in each round."""


@dataclass(frozen=True)
class Contender:
    """A program that is measured.

    Args:
        name: its key in the results.
        program: the script; it runs in a process of its own.
        arguments: what the script is given.
        environment: which Python runs it, a key of `environments`.
        variables: environment variables on top of those of this process.
    """

    name: str
    program: Path
    arguments: tuple[str, ...] = ()
    environment: str = environments.OURS
    variables: Mapping[str, str] = field(default_factory=dict)


def race(part: str, contenders: Sequence[Contender], rounds: int, seconds: float = 900) -> Runs:
    """Run all contenders `rounds` times, by turns, and return what each of them printed.

    To what a contender printed comes `process`, the seconds from before its start to its end.

    Raises:
        RuntimeError: a contender failed; what it wrote to its standard error is in the message.
    """
    found: Runs = {contender.name: [] for contender in contenders}
    order = list(contenders)
    for number in range(rounds):
        for place, contender in enumerate(order):
            done = number * len(order) + place
            tell(part, f"{contender.name}, {done + 1} of {rounds * len(order)}")
            found[contender.name].append(run(contender, seconds))
        # Whoever runs first finds another machine than whoever runs last.
        order = order[1:] + order[:1]
    tell(part, "")
    return found


def run(contender: Contender, seconds: float = 900) -> dict[str, Any]:
    """Run one contender to its end and return what it printed, and `process`, its seconds."""
    command = [environments.python(contender.environment), str(contender.program)]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *contender.arguments],
        env=environment_of(contender),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{contender.name} failed:\n{done.stderr[-3000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "process": took}


def environment_of(contender: Contender) -> dict[str, str]:
    """Return the environment variables a contender runs with."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "jax"}
    return {**os.environ, **quiet, **contender.variables}


def tell(part: str, words: str) -> None:
    """Say on the standard error how far a part is; on a terminal in one line that changes."""
    if sys.stderr.isatty():
        line = f"{part}: {words}" if words else ""
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    elif words:
        print(f"{time.strftime('%H:%M:%S')} {part}: {words}", file=sys.stderr, flush=True)


def values(runs: Sequence[Mapping[str, Any]], figure: str) -> list[float]:
    """Return one figure of a contender in each round."""
    return [float(run[figure]) for run in runs]


def spread(several: Sequence[float]) -> dict[str, float]:
    """Return the median, the least and the most of what was measured."""
    return {
        "median": statistics.median(several),
        "least": min(several),
        "most": max(several),
    }


def ratio(those: Sequence[float], these: Sequence[float]) -> float:
    """Return how many times these go into those: the median of the ratios within the rounds."""
    return statistics.median(a / b for a, b in zip(those, these, strict=True))
