"""Who takes part, by family and setting, and the figures that are read off their runs.

A family is one peer; its settings are ways to run it, of which the one with the lowest median
counts, for each figure on its own. Runs are paired by their round.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Runs = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Family:
    """A peer, or Holdfast, or the limit.

    Args:
        label: how the page calls it.
        settings: the names of its contenders; what follows the last dash is given to the script.
        script: what runs.
        environment: in which Python.
        backend: Keras's.
        ours: whether it is Holdfast.
    """

    label: str
    settings: tuple[str, ...]
    script: str
    environment: str
    backend: str = "jax"
    ours: bool = False


OURS = "holdfast"
LIMIT = Family("the limit: by hand", ("limit-fori", "limit-steps"), "by_hand_jax.py", "jax")
HOLDFAST = Family("Holdfast", (OURS, "holdfast-again"), "by_holdfast.py", "jax", ours=True)
PEERS = (
    Family("Keras on JAX", ("keras-jax-1", "keras-jax-64"), "by_keras.py", "jax"),
    Family(
        "Keras on TensorFlow",
        ("keras-tf-1", "keras-tf-64"),
        "by_keras.py",
        "tensorflow",
        "tensorflow",
    ),
    Family("Keras on PyTorch", ("keras-torch",), "by_keras.py", "torch", "torch"),
    Family(
        "PyTorch by hand", ("torch-eager", "torch-compiled"), "by_hand_torch.py", "torch", "torch"
    ),
    Family("Lightning", ("lightning",), "by_lightning.py", "torch", "torch"),
    Family("Flax by hand", ("flax",), "by_hand_flax.py", "jax"),
)
FAMILIES = (LIMIT, HOLDFAST, *PEERS)

NAMES = {
    "limit-fori": "limit: `lax.fori_loop` by hand",
    "limit-steps": "limit: one step after the other by hand",
    OURS: "**`Run.fit`, checkpoints on**",
    "holdfast-again": "`Run.fit`, a new run of the same program",
    "keras-jax-1": "Keras on JAX",
    "keras-jax-64": "Keras on JAX, `steps_per_execution=64`",
    "keras-tf-1": "Keras on TensorFlow",
    "keras-tf-64": "Keras on TensorFlow, `steps_per_execution=64`",
    "keras-torch": "Keras on PyTorch",
    "torch-eager": "PyTorch by hand",
    "torch-compiled": "PyTorch by hand, `torch.compile`",
    "lightning": "Lightning",
    "flax": "Flax by hand",
}
PROGRAMS = {"mlp": "MLP", "dropout": "dropout", "cnn": "CNN"}

FAR = 2
"""Whoever takes this many times as long as Holdfast for the whole program is measured once."""


def family_of(name: str) -> Family:
    """Return the family that a contender belongs to."""
    return next(family for family in FAMILIES if name in family.settings)


def best(family: Family, runs: Runs, figure: str) -> str | None:
    """Return the setting of a family with the lowest median, or None where none came through."""
    there = [name for name in family.settings if name in runs and name != "holdfast-again"]
    return min(there, key=lambda name: median(runs, name, figure), default=None)


def median(runs: Runs, name: str, figure: str) -> float:
    """Return a contender's median over its rounds."""
    return statistics.median(run[figure] for run in runs[name])


def over(runs: Runs, name: str, other: str, figure: str) -> float:
    """Return a contender's figure over another's: the median of the ratios within the rounds.

    Both have been in the first round, at least.
    """
    others = {run["round"]: run[figure] for run in runs[other]}
    return statistics.median(
        run[figure] / others[run["round"]] for run in runs[name] if run["round"] in others
    )
