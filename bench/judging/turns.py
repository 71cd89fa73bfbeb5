"""Calls of one process by turns, and the seconds that each took."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turns(
    calls: Mapping[str, Callable[[Any], Any]], asked: Any, turns: int, seconds: float
) -> dict[str, float]:
    """Return the median seconds of each call, in turns of at least `seconds` and one call."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = random.Random(1)
    for _ in range(turns):
        # What ran before, and its threads, must not be the same for one each time.
        for name, call in order.sample(list(calls.items()), len(calls)):
            time.sleep(0.03)  # the threads of the one before spin for a while
            until = time.perf_counter() + seconds
            while True:
                began = time.perf_counter()
                call(asked)
                ended = time.perf_counter()
                times[name].append(ended - began)
                if ended > until:
                    break
    return {name: statistics.median(taken) for name, taken in times.items()}
