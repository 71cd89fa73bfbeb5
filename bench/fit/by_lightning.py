"""Lightning's `Trainer`, with nothing switched on that costs time: `barebones=True`.

That mode is there to measure the trainer alone: no logger, no progress bar, no checkpoints, no
summary. Batches are fetched whole from tensors in memory, by a sampler of batches;
`batch_size=None` switches automatic batching off.
"""

from __future__ import annotations

import logging
import warnings

import task
import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler
from torch.utils.data import TensorDataset as Tensors
from torch_models import build, optimizer, right, tensors


class Classifier(LightningModule):
    """One of the programs; counts its own loss and accuracy, since barebones logs nothing."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self.program = program
        self.model = build(program)
        self.clock = task.Clock()
        self.found: dict[str, float] = {}
        self._begin()

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        loss, hits = self._judge(batch)
        self.total += loss.detach()
        self.hits += hits
        self.steps += 1
        self.seen += len(batch[1])
        return loss

    def on_validation_epoch_start(self) -> None:
        self._read("loss", "accuracy")

    def validation_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:
        loss, hits = self._judge(batch)
        self.total += loss
        self.hits += hits
        self.steps += 1
        self.seen += len(batch[1])

    def on_validation_epoch_end(self) -> None:
        self._read("val_loss", "val_accuracy")

    def on_train_epoch_end(self) -> None:
        if self.steps:
            self._read("loss", "accuracy")
        self.clock.tick()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer(self.program, self.model)

    def _judge(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, y = batch
        logits = self.model(x)
        return functional.cross_entropy(logits, y), right(logits, y)

    def _begin(self) -> None:
        self.total, self.hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        self.steps = self.seen = 0

    def _read(self, loss: str, accuracy: str) -> None:
        self.found[loss] = float(self.total) / self.steps
        self.found[accuracy] = float(self.hits) / self.seen
        self._begin()


def main() -> None:
    for name in ("lightning.pytorch", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    given = task.read()
    model = Classifier(given.program)
    train = _loader(tensors(given.train, given.program), shuffled=True)
    held = None
    if given.validation is not None:
        held = _loader(tensors(given.validation, given.program), shuffled=False)
    Trainer(max_epochs=task.EPOCHS, accelerator="cpu", devices=1, barebones=True).fit(
        model, train, held
    )
    found = model.found
    task.tell(model.clock, found["loss"], found["accuracy"], found.get("val_accuracy"))


def _loader(data: tuple[Tensor, Tensor], *, shuffled: bool) -> DataLoader:
    images = Tensors(*data)
    order = RandomSampler(images) if shuffled else SequentialSampler(images)
    batches = BatchSampler(order, task.BATCH, drop_last=False)
    return DataLoader(images, sampler=batches, batch_size=None)


if __name__ == "__main__":
    main()
