"""A model that is being served: what it is called, which version it is, how fast it is.

Owns what is found out of a model before it serves: that it works, and how many rows it judges
within half a millisecond. Leaves loading to `judge` and taking turns to `batching`.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.judge import Judge
from holdfast.judge.signature import Feed, Signature, Tensor

# What takes less does not gain by a thread of its own: handing over takes a tenth of it.
_AT_ONCE = 0.0005
# Larger batches than the first that takes so long are not tried before they are asked for.
_LONG_TRIAL = 0.25
# Of a dimension that takes any length, where a batch is made up.
_ANY = 8
_TRIALS = 3
_DIGITS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A model that works, and what its answers say of it.

    Args:
        judge: the model.
        version: that its answers name.
        at_once: so many rows it judges in next to no time.
    """

    judge: Judge
    version: str
    at_once: int = 0

    @property
    def name(self) -> str:
        """By which it is asked for."""
        return self.judge.about.name

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.judge.signature


def tried(judge: Judge, version: str, most_rows: int) -> Served:
    """Return a model to serve, after it has judged batches of made-up rows.

    That also compiles what some runtimes compile at the first batch of a size.

    Args:
        judge: the model.
        version: that its answers name.
        most_rows: of a batch.

    Raises:
        Exception: what the runtime raises, where the model does not work.
    """
    at_once, rows, free = 0, 1, any_batch(judge.signature)
    while rows <= most_rows:
        feed = made_up(judge.signature, rows)
        try:
            took = _shortest(judge, feed)
        except Exception:
            if _all_known(judge.signature):
                raise
            break  # the lengths that were made up may not be such that the model takes
        if took < _AT_ONCE and at_once == rows // 2:
            at_once = rows
        if took > _LONG_TRIAL or not free:
            break
        rows *= 2
    return Served(judge, version, at_once)


def version_of(judge: Judge) -> str:
    """Return the step of the run that a model is from, or the beginning of its file's digest."""
    step = judge.about.run.get("step")
    if judge.path.is_dir() and isinstance(step, int):
        return str(step)
    digest = hashlib.sha256()
    for path in sorted(_files(judge.path)):
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()[:_DIGITS]


def made_up(signature: Signature, rows: int) -> Feed:
    """Return a batch of made-up rows."""
    random = np.random.default_rng(0)
    return {tensor.name: _made_up(tensor, rows, random) for tensor in signature.inputs}


def _made_up(tensor: Tensor, rows: int, random: np.random.Generator) -> Any:
    shape = [_ANY if size is None else size for size in tensor.shape]
    if tensor.shape[0] is None:
        shape[0] = rows
    if tensor.dtype == "string":
        return np.full(shape, "", object)
    if tensor.dtype.startswith(("float", "bfloat")):
        return random.random(shape).astype(tensor.dtype)
    return np.zeros(shape, tensor.dtype)  # the one number that any vocabulary has


def _shortest(judge: Judge, feed: Feed) -> float:
    """Return the shortest time of a few trials, in seconds."""
    shortest = float("inf")
    for _ in range(1 + _TRIALS):
        began = time.perf_counter()
        judge.outputs(feed)
        took = time.perf_counter() - began
        if took < shortest:
            shortest = took
        elif shortest > _AT_ONCE:
            break
    return shortest


def any_batch(signature: Signature) -> bool:
    """Whether a model takes batches of any size."""
    return all(tensor.shape[:1] == (None,) for tensor in signature.inputs)


def _all_known(signature: Signature) -> bool:
    return all(size is not None for tensor in signature.inputs for size in tensor.sample)


def _files(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]
