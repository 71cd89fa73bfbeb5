"""What is measured against what: each series with its program, its sizes and its figures.

Owns the literal table. Leaves running it to `part`, and what is said of it to `section`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

GIGABYTE = 10**9
_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
# A tenth more than the machine has, in whole ten gigabytes.
BEYOND_MEMORY = -(-_MEMORY * 11 // 10 // (10 * GIGABYTE)) * 10 * GIGABYTE

TENS = (10, 100, 1_000, 10_000)
CHECKPOINTS = (10, 100, 1_000, 3_000)
EPOCHS = (10, 100, 1_000, 4_000)


@dataclass(frozen=True)
class Series:
    """One program at several sizes.

    Args:
        key: in the results.
        subject: what grows: a key of `SUBJECTS`.
        words: what it does, as a column's head has it.
        program: the script, without its ending.
        arguments: before the folder and the size.
        sizes: from the smallest.
        figures: of seconds, as its program names them, each with words of its own.
        memory: as its program names it; empty where there is none.
        peer: whether it is Keras and not Holdfast that is measured.
        once: whether one round has to do: it takes long, or makes what others look at.
        seconds: the most that a size may take.
        limits: for a figure the one, before it, that says what the machine alone takes.
    """

    key: str
    subject: str
    words: str
    program: str
    arguments: tuple[str, ...]
    sizes: tuple[int, ...]
    figures: tuple[tuple[str, str], ...] = (("seconds", ""),)
    memory: str = "memory"
    peer: bool = False
    once: bool = False
    seconds: float = 120
    limits: Mapping[str, str] = field(default_factory=dict)


# What grows, in words, and whether it is counted in bytes.
SUBJECTS = {
    "epochs": ("epochs", False),
    "checkpoints": ("checkpoints", False),
    "arrays": ("arrays", False),
    "state": ("state", True),
    "data": ("data", True),
    "runs": ("runs", False),
}

SERIES = (
    Series("make", "epochs", "", "long_run", ("make",), (*TENS, 100_000), (), "", once=True),
    Series(
        "open",
        "epochs",
        "opening a run",
        "long_run",
        ("open",),
        (*TENS, 100_000),
        (("seconds", "opening a run"), ("reading", "of it reading")),
    ),
    Series(
        "train",
        "epochs",
        "training",
        "long_run",
        ("train",),
        EPOCHS,
        (("seconds", "training, all epochs"),),
        once=True,
    ),
    Series(
        "train-keras",
        "epochs",
        "training, Keras",
        "long_run",
        ("keras",),
        EPOCHS,
        (("seconds", "the same by Keras"),),
        peer=True,
        once=True,
    ),
    Series(
        "take",
        "checkpoints",
        "taking all",
        "many_checkpoints",
        ("take",),
        CHECKPOINTS,
        (("seconds", "taking and keeping all"),),
        once=True,
        seconds=300,
    ),
    Series(
        "list",
        "checkpoints",
        "listing",
        "many_checkpoints",
        ("list",),
        CHECKPOINTS,
        (("seconds", "listing"),),
    ),
    Series(
        "open-many",
        "checkpoints",
        "opening",
        "many_checkpoints",
        ("open",),
        CHECKPOINTS,
        (("seconds", "opening"),),
        once=True,
    ),
    Series(
        "prune",
        "checkpoints",
        "pruning",
        "many_checkpoints",
        ("prune",),
        CHECKPOINTS,
        (("seconds", "pruning to four"),),
    ),
    Series(
        "store",
        "arrays",
        "keeping",
        "many_arrays",
        ("store",),
        TENS,
        (("snapshot", "snapshot"), ("commit", "commit"), ("restore", "restore")),
    ),
    Series(
        "fit",
        "arrays",
        "Holdfast",
        "many_arrays",
        ("fit",),
        TENS[:3],
        (
            ("first", "first epoch's end"),
            ("tracing", "of it tracing"),
            ("compiling", "of it XLA"),
            ("rest", "of it the rest"),
            ("opening", "opening again"),
            ("epoch", "50 steps"),
        ),
        once=True,
    ),
    Series(
        "fit-keras",
        "arrays",
        "Keras",
        "many_arrays",
        ("keras",),
        TENS[:3],
        (
            ("first", "first epoch's end, Keras"),
            ("compiling", "of it XLA, Keras"),
            ("epoch", "50 steps, Keras"),
        ),
        peer=True,
        once=True,
    ),
    Series(
        "state",
        "state",
        "keeping",
        "large_state",
        (),
        (10**6, 10**7, 10**8, 10**9, 2 * 10**9),
        (
            ("plain", "a plain write and sync"),
            ("commit", "commit"),
            ("read", "a plain read"),
            ("restore", "restore"),
        ),
        limits={"commit": "plain", "restore": "read"},
    ),
    Series(
        "data",
        "data",
        "Holdfast",
        "large_data",
        ("ours",),
        (10**6, 10**7, 10**8, 10**9, 10**10, BEYOND_MEMORY),
        (("first", "first epoch's end"), ("steps", "a step")),
        once=True,
    ),
    Series(
        "data-keras",
        "data",
        "Keras",
        "large_data",
        ("keras",),
        (10**6, 10**7, 10**8, 10**9, 10**10, BEYOND_MEMORY),
        (("first", "first epoch's end, Keras"), ("steps", "a step, Keras")),
        peer=True,
        once=True,
    ),
    Series(
        "ls",
        "runs",
        "`holdfast ls`",
        "many_runs",
        (),
        TENS[:3],
        (("seconds", "`holdfast ls`"),),
    ),
)
