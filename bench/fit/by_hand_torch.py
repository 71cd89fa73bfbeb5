"""PyTorch by hand: tensors in memory, batches by `index_select` of a permutation, no loader.

The setting is `eager`, or `compiled`: model, loss and accuracy through `torch.compile`. The
optimizer is the fused one, gradients are set to None, and the metrics are read once an epoch.
"""

from __future__ import annotations

from collections.abc import Callable

import task
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_models import build, optimizer, right, tensors

Judge = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def main() -> None:
    given = task.read()
    model = build(given.program)
    updates = optimizer(given.program, model)
    judge = _judge(model)
    if given.setting == "compiled":
        judge = torch.compile(judge, dynamic=False)
    train = tensors(given.train, given.program)
    held = None if given.validation is None else tensors(given.validation, given.program)
    clock, val_accuracy = task.Clock(), None
    for _ in range(task.EPOCHS):
        loss, accuracy = _train(model, updates, judge, *train)
        if held is not None:
            val_accuracy = _validate(model, judge, *held)
        clock.tick()
    task.tell(clock, loss, accuracy, val_accuracy)


def _judge(model: nn.Module) -> Judge:
    def judge(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(x)
        return functional.cross_entropy(logits, y), right(logits, y)

    return judge


def _train(
    model: nn.Module, updates: torch.optim.Optimizer, judge: Judge, x: Tensor, y: Tensor
) -> tuple[float, float]:
    model.train()
    total, counted, steps = torch.zeros(()), torch.zeros((), dtype=torch.int64), 0
    for indices in torch.randperm(len(x)).split(task.BATCH):
        loss, hits = judge(x.index_select(0, indices), y.index_select(0, indices))
        loss.backward()
        updates.step()
        updates.zero_grad(set_to_none=True)
        total += loss.detach()
        counted += hits
        steps += 1
    return float(total) / steps, float(counted) / len(x)


def _validate(model: nn.Module, judge: Judge, x: Tensor, y: Tensor) -> float:
    model.eval()
    total, counted = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    with torch.no_grad():
        for some_x, some_y in zip(x.split(task.BATCH), y.split(task.BATCH), strict=True):
            loss, hits = judge(some_x, some_y)
            total += loss
            counted += hits
    return float(counted) / len(x)


if __name__ == "__main__":
    main()
