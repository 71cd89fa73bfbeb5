"""The three programs' models in PyTorch, and their optimizers.

Weights begin as Keras's do (Glorot, zero), so that what is learned can be compared. The loss takes
logits, as `torch.nn.functional.cross_entropy` wants it: the same function as Keras's softmax and
cross entropy.
"""

from __future__ import annotations

from typing import Any

import torch
from task import ADAM_EPSILON, ADAM_RATE, DROPPED, SGD_RATE, Images
from torch import Tensor, nn


def build(program: str) -> nn.Module:
    """Return a program's model."""
    if program == "mlp":
        parts = [nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)]
    elif program == "dropout":
        dropout = nn.Dropout(DROPPED[program])
        parts = [nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), dropout, nn.Linear(100, 10)]
    else:
        convolution = [nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        dense = [nn.Linear(16 * 13 * 13, 100), nn.ReLU(), nn.Dropout(DROPPED[program])]
        parts = [*convolution, *dense, nn.Linear(100, 10)]
    for part in parts:
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
    # PyTorch's tuning guide names this order for convolutions; dense layers do not know it.
    return nn.Sequential(*parts).to(memory_format=torch.channels_last)


def optimizer(program: str, model: nn.Module) -> torch.optim.Optimizer:
    """Return a program's optimizer: fused, which updates all weights in one call."""
    if program == "dropout":
        return torch.optim.Adam(model.parameters(), ADAM_RATE, eps=ADAM_EPSILON, fused=True)
    return torch.optim.SGD(model.parameters(), SGD_RATE, fused=True)


def tensors(images: Images, program: str) -> tuple[Tensor, Tensor]:
    """Return images and digits as PyTorch has them: one channel, in the model's memory format."""
    x, y = images
    given = torch.from_numpy(x)
    if program == "cnn":
        given = given.permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    return given, torch.from_numpy(y.astype("int64"))


def right(logits: Tensor, digits: Tensor) -> Any:
    """Return how many are right, without waiting for it."""
    return (logits.argmax(1) == digits).sum()
