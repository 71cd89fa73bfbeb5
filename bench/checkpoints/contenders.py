"""Who is measured: the names, the programs, and what is said of each where it stands apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import environments
from racing import Contender

HERE = Path(__file__).parent
OURS = "holdfast"


@dataclass(frozen=True)
class Way:
    """One way of saving.

    Args:
        name: its key in the results.
        title: how the page calls it.
        program: what trains and saves with it.
        kind: what the program is told.
        environment: which Python has it.
        note: how it is set up, and what it does and leaves, as its documentation has it.
        stall: why training may stand still for less than with Holdfast.
        total: why it may be done before Holdfast is.
    """

    name: str
    title: str
    program: str
    kind: str
    environment: str
    note: str
    stall: str = ""
    total: str = "it says that it is done before anything is on the disk: it does not sync"


WAYS = (
    Way(
        OURS,
        "**Holdfast**",
        "by_holdfast.py",
        "holdfast",
        environments.OURS,
        "`Run.fit`, a checkpoint an epoch, the last kept",
    ),
    Way(
        "keras",
        "Keras `ModelCheckpoint`, `.keras`",
        "by_keras.py",
        "keras",
        "jax",
        "to one name, an epoch each",
    ),
    Way(
        "weights",
        "Keras `ModelCheckpoint`, `.weights.h5`",
        "by_keras.py",
        "weights",
        "jax",
        "to one name, an epoch each, weights and optimizer",
    ),
    Way(
        "backup",
        "Keras `BackupAndRestore`",
        "by_keras.py",
        "backup",
        "jax",
        "an epoch each, as it is by default: one file, overwritten",
    ),
    Way(
        "orbax",
        "Keras `OrbaxCheckpoint`",
        "by_keras.py",
        "orbax",
        "jax",
        "in the background, the last kept, as it is by default; it compresses",
        stall="it begins to write from the arrays themselves and copies less",
        total="it writes fewer bytes",
    ),
    Way(
        "lightning",
        "Lightning `ModelCheckpoint`",
        "by_lightning.py",
        "plain",
        "torch",
        "the last kept, as it is by default",
    ),
    Way(
        "lightning-async",
        "Lightning, `AsyncCheckpointIO`",
        "by_lightning.py",
        "async",
        "torch",
        "the same with the plugin that writes in a thread",
    ),
    Way(
        "dcp",
        "PyTorch `dcp.async_save`",
        "by_torch.py",
        "dcp",
        "torch",
        "one process, a thread, a stager that is kept, a folder a step; the program removes the "
        "one before",
        stall="both copy into memory that they keep from one checkpoint to the next",
        total="it sums nothing and syncs no folder",
    ),
    Way(
        "safetensors",
        "safetensors `save_file`",
        "by_torch.py",
        "safetensors",
        "torch",
        "to one name",
        stall="for so little, writing without a sync is faster than what Holdfast does once for "
        "every checkpoint, whatever its size",
        total="it writes from the weights themselves while training stands still, sums nothing "
        "and syncs nothing",
    ),
)

VICTIMS = {
    "holdfast": ("**Holdfast**", environments.OURS),
    "holdfast-file": ("**Holdfast `ModelCheckpoint`**, `.keras`", environments.OURS),
    "keras": ("Keras `ModelCheckpoint`, `.keras`", "jax"),
    "weights": ("Keras `ModelCheckpoint`, `.weights.h5`", "jax"),
    "backup": ("Keras `BackupAndRestore`", "jax"),
    "backup-double": ("Keras `BackupAndRestore(double_checkpoint=True)`", "jax"),
    "orbax": ("Keras `OrbaxCheckpoint`", "jax"),
    "lightning": ("Lightning `ModelCheckpoint`", "torch"),
    "lightning-async": ("Lightning, `AsyncCheckpointIO`", "torch"),
    "dcp": ("PyTorch `dcp.async_save`", "torch"),
    "safetensors": ("safetensors `save_file`", "torch"),
}
"""Who is killed, and in which environment."""


def saving(way: Way, folder: Path, checkpoints: int, sizes: tuple[int, ...]) -> Contender:
    """Return the program that trains and saves one way, in a folder of its own."""
    place = folder / way.name
    place.mkdir(exist_ok=True)
    given = (way.kind, str(place), str(checkpoints), *(str(size) for size in sizes))
    return Contender(way.name, HERE / way.program, given, way.environment)


def dying(kind: str, folder: Path, kills: int) -> Contender:
    """Return the program that kills one way of saving again and again."""
    place = folder / f"kills-{kind}"
    place.mkdir(exist_ok=True)
    return Contender(kind, HERE / "kills.py", (kind, str(place), str(kills)), VICTIMS[kind][1])
