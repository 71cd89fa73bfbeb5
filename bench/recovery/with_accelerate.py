"""Hugging Face Accelerate: `save_state`, `load_state` and `skip_first_batches`, by its guide.

The sampler is the one it has for training that can be repeated, and is told its epoch. What it
leaves to the program, the position, the best score and the history, is registered to be kept with
the rest. The newest checkpoints are found by their names, as in its example.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import telling
import torch
import torch_parts
import training
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from safetensors.torch import load_file

IMPORTED = time.monotonic()


class Progress:
    """What the program keeps beside the model."""

    def __init__(self) -> None:
        self.steps = 0
        self.best = float("inf")
        self.history: list[int] = []

    def state_dict(self) -> dict[str, Any]:
        return vars(self).copy()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def main() -> None:
    asked = training.asked()
    teller = telling.Teller(asked.folder)
    teller.imported(IMPORTED)
    set_seed(asked.seed)
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True)
    )
    model = torch_parts.layers()
    adam, schedule = torch_parts.optimizer(model)
    model, adam, schedule, train, validation = accelerator.prepare(
        model, adam, schedule, *torch_parts.loaders(asked.data, asked.seed)
    )
    progress = Progress()
    accelerator.register_for_checkpointing(progress)
    if there := checkpoints(asked.folder):
        accelerator.load_state(str(there[-1]))
    first, skipped = divmod(progress.steps, training.STEPS)
    for epoch in range(first, training.EPOCHS):
        train.set_epoch(epoch)
        skip = skipped if epoch == first else 0
        batches = accelerator.skip_first_batches(train, skip) if skip else train
        model.train()
        for x, y in batches:
            adam.zero_grad()
            accelerator.backward(torch.nn.functional.cross_entropy(model(x), y))
            adam.step()
            schedule.step()
            progress.steps += 1
            teller.step(progress.steps)
            if progress.steps % asked.every == 0 and progress.steps % training.STEPS:
                save(accelerator, asked.folder, progress.steps)
        val_loss = torch_parts.judged(model, validation)
        progress.history.append(epoch)
        if val_loss < progress.best:
            progress.best = val_loss
            accelerator.save_model(model, asked.folder / "best")
        teller.epoch(epoch, val_loss)
        save(accelerator, asked.folder, progress.steps)
    state = list(torch_parts.state(model, adam.optimizer))
    model.load_state_dict(load_file(asked.folder / "best" / "model.safetensors"))
    teller.end(state, torch_parts.judged(model, validation), progress.history, None)


def save(accelerator: Accelerator, folder: Path, steps: int) -> None:
    """Keep a checkpoint, and one before it."""
    accelerator.save_state(str(folder / f"step_{steps}"))
    for old in checkpoints(folder)[:-2]:
        shutil.rmtree(old)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints, the newest last."""
    return sorted(folder.glob("step_*"), key=lambda path: int(path.name.partition("_")[2]))


if __name__ == "__main__":
    main()
