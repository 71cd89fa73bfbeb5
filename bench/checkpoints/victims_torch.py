"""PyTorch's and Lightning's ways of saving, for `kills`.

Of several checkpoints that are left the newest that can be opened counts: which of them is whole
is for the user to find.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import by_lightning
import by_torch
from kills import COUNT, SIDE, Teller
from torch.distributed.checkpoint.api import CheckpointException

PRELOADED = ("torch", "torch.distributed.checkpoint", "safetensors.torch", "lightning", "by_torch")
# Lightning's own words for its two ways of writing.
WRITERS = {"lightning": "plain", "lightning-async": "async"}


def save_for_ever(kind: str, folder: Path, teller: Teller) -> None:
    """Save checkpoint after checkpoint over the last one."""
    kept = folder / "saved"
    kept.mkdir()
    if kind in WRITERS:
        train(kind, folder, kept, teller)
        return
    model = build()
    saver = by_torch.Distributed(kept) if kind == "dcp" else by_torch.OneFile(kept)
    number = 0
    while True:
        number += 1
        fill(model, number)
        begin = saver.saving(model.state_dict(), number)

        def save(begin: Callable[[], None] = begin) -> None:
            begin()
            saver.wait()

        teller.saved(number, save)


def train(kind: str, folder: Path, kept: Path, teller: Teller) -> None:
    """Train with Lightning: its callback saves at the end of each epoch."""
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    by_lightning.quiet()
    plugins, wait = by_lightning.writers(WRITERS[kind])

    class Telling(ModelCheckpoint):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            saved = super().on_train_epoch_end
            fill(pl_module, trainer.current_epoch + 1)

            def save() -> None:
                saved(trainer, pl_module)
                wait()

            teller.saved(trainer.current_epoch + 1, save)

    row = torch.zeros((1, SIDE))
    by_lightning.trainer(folder, 10**6, Telling(kept), plugins).fit(
        by_lightning.module(build()),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(row, row)),
    )


def left(kind: str, folder: Path) -> set[float]:
    """Return the numbers in the newest checkpoint that can be opened."""
    several = openers(kind, folder / "saved")
    if not several:
        raise FileNotFoundError("no checkpoint is left")
    for opened in several[:-1]:
        # That of torch.distributed.checkpoint is no Exception.
        with contextlib.suppress(Exception, CheckpointException):
            return numbers(opened())
    return numbers(several[-1]())


def openers(kind: str, kept: Path) -> list[Callable[[], dict[str, Any]]]:
    """Return what opens each checkpoint that is there, the newest first."""
    import torch

    if kind in WRITERS:
        paths = sorted(kept.glob("*.ckpt"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [
            lambda path=path: torch.load(path, weights_only=True)["state_dict"] for path in paths
        ]
    if kind == "safetensors":
        return [lambda: by_torch.OneFile(kept).load({})]
    saver, state = by_torch.Distributed(kept), build().state_dict()
    return [lambda place=place: saver.load(state, place) for place in range(len(saver.folders()))]


def build() -> Any:
    """Return a model whose weights are the state."""
    import torch

    layers = [torch.nn.Linear(SIDE, SIDE, bias=False) for _ in range(COUNT)]
    return torch.nn.Sequential(*layers)


def fill(model: Any, number: float) -> None:
    """Set all weights to a number."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(number)


def numbers(state: dict[str, Any]) -> set[float]:
    """Return the numbers that a state is full of: the least and the most of each of its arrays."""
    return {float(end) for weight in state.values() for end in ends(weight)}


def ends(weight: Any) -> tuple[float, float]:
    """Return the least and the most of a tensor."""
    return float(weight.min()), float(weight.max())
