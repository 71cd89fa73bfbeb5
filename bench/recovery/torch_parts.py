"""The model and the data's loaders, for the two contenders that stand on PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import training
from torch.utils.data import DataLoader, TensorDataset


def layers() -> torch.nn.Sequential:
    """Return the model."""
    return torch.nn.Sequential(
        torch.nn.Linear(784, 64),
        torch.nn.ReLU(),
        torch.nn.Dropout(training.DROPOUT),
        torch.nn.Linear(64, 10),
    )


def optimizer(model: torch.nn.Module) -> tuple[Any, Any]:
    """Return the optimizer, and the schedule of its rate, which takes a turn each step."""
    adam = torch.optim.Adam(model.parameters(), lr=training.RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        adam,
        milestones=[training.KILLED_IN * training.STEPS],
        gamma=training.LATE_RATE / training.RATE,
    )
    return adam, schedule


def loaders(data: Path, seed: int) -> tuple[DataLoader, DataLoader]:
    """Return what gives the batches to train on, shuffled, and those to validate on.

    The first has a generator of its own, as PyTorch's notes on reproducibility say: else each
    start of a loader draws from the random state that dropout draws from.
    """
    own = torch.Generator().manual_seed(seed)
    x, y, xv, yv = (torch.from_numpy(array) for array in training.load(data))
    return (
        DataLoader(TensorDataset(x, y), batch_size=training.BATCH, shuffle=True, generator=own),
        DataLoader(TensorDataset(xv, yv), batch_size=training.JUDGED_AT_ONCE),
    )


@torch.no_grad()
def judged(model: torch.nn.Module, validation: Any) -> float:
    """Return a model's val_loss."""
    model.eval()
    losses = [torch.nn.functional.cross_entropy(model(x), y) for x, y in validation]
    return float(torch.stack(losses).mean())


def state(model: torch.nn.Module, adam: torch.optim.Optimizer) -> Iterator[bytes]:
    """Return weights and optimizer as bytes."""
    for tensor in model.state_dict().values():
        yield tensor.numpy().tobytes()
    for kept in adam.state_dict()["state"].values():
        for name in sorted(kept):
            yield torch.as_tensor(kept[name]).numpy().tobytes()
